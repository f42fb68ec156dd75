//! Text from events on a terminal: shown, never obeyed. The screen of a terminal emulator is the judge.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use exptap::untrusted::{Clipped, Untrusted};
use proptest::prelude::*;

fn shown(text: &str) -> String {
    Untrusted::from(text).display().to_string()
}

fn clip(text: &str, columns: usize) -> (String, usize) {
    let Clipped { text, columns } = Untrusted::from(text).clip(columns);
    (text, columns)
}

fn escaped(bytes: &[u8]) -> String {
    Untrusted::from(bytes).escaped().to_string()
}

#[test]
fn controls_are_shown_as_their_pictures() {
    assert_eq!(shown("a\u{1b}[31mb\u{7}\0"), "a␛[31mb␇␀");
    assert_eq!(shown("line\r\nnext\tcell\u{7f}"), "line␍⏎next⇥cell␡");
    assert_eq!(shown("\u{9b}31m"), "\\x9b31m");
}

#[test]
fn what_cannot_be_seen_is_named() {
    assert_eq!(shown("abc\u{202e}def"), "abc⟨U+202E⟩def");
    assert_eq!(shown("pay\u{200b}ment"), "pay⟨U+200B⟩ment");
    assert_eq!(shown("\u{feff}x\u{e0041}"), "⟨U+FEFF⟩x⟨U+E0041⟩");
    assert_eq!(shown("a\u{a0}b\u{2028}c d"), "a⟨U+00A0⟩b⟨U+2028⟩c d");
    assert_eq!(shown("\u{2067}rtl\u{2069}"), "⟨U+2067⟩rtl⟨U+2069⟩");
}

#[test]
fn bytes_that_are_not_text_are_shown_in_hexadecimal() {
    assert_eq!(Untrusted::from([b'a', 0xff, 0xc3, b'b'].as_slice()).display().to_string(), "a\\xff\\xc3b");
}

#[test]
fn ordinary_text_of_any_script_stays_as_it_is() {
    for text in [
        "checkout-cta",
        "naïve café",
        "e\u{301}te\u{301}",
        "Ωμέγα",
        "日本語",
        "한국어",
        "\u{1112}\u{1161}\u{11ab}",
        "हिन्दी",
        "עברית",
        "👩 💻 ❤",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn marks_are_capped_and_need_a_base() {
    let zalgo = format!("a{}b", "\u{301}".repeat(16));
    assert_eq!(shown(&zalgo), format!("a{}⟨+12⟩b", "\u{301}".repeat(4)));
    assert_eq!(shown("\u{301}a"), "⟨U+0301⟩a");
    assert_eq!(shown("\u{202e}\u{301}"), "⟨U+202E⟩⟨U+0301⟩", "our own sign is no base");
}

#[test]
fn put_together_emoji_are_shown_as_their_parts() {
    assert_eq!(shown("👩\u{200d}💻"), "👩⟨U+200D⟩💻");
    assert_eq!(shown("👍🏽"), "👍⟨U+1F3FD⟩");
    assert_eq!(shown("🇫🇷"), "⟨U+1F1EB⟩⟨U+1F1F7⟩");
    assert_eq!(shown("❤\u{fe0f}"), "❤⟨U+FE0F⟩");
    assert_eq!(clip("👩\u{200d}💻", 12), ("👩⟨U+200D⟩💻".to_owned(), 12));
}

#[test]
fn a_clipped_text_says_so_in_its_last_column() {
    assert_eq!(clip("checkout", 8), ("checkout".to_owned(), 8));
    assert_eq!(clip("checkout", 7), ("checko…".to_owned(), 7));
    assert_eq!(clip("checkout", 1), ("…".to_owned(), 1));
    assert_eq!(clip("checkout", 0), (String::new(), 0));
    assert_eq!(clip("", 0), (String::new(), 0));
    assert_eq!(clip("日本語", 5), ("日本…".to_owned(), 5));
    assert_eq!(clip("日本語", 4), ("日…".to_owned(), 3), "half a character is none");
    assert_eq!(clip("ab\u{202e}c", 6), ("ab…".to_owned(), 3), "a code point is not cut");
    assert_eq!(clip("e\u{301}e\u{301}e\u{301}", 2), ("e\u{301}…".to_owned(), 2));
}

#[test]
fn a_huge_text_costs_no_more_than_its_columns() {
    let huge = format!("a{}", "\u{301}".repeat(5_000_000));
    let (text, columns) = clip(&huge, 10);
    assert!(columns <= 10 && text.ends_with('…'), "{text}");
    assert_eq!(clip(&"x".repeat(10_000_000), 10), ("xxxxxxxxx…".to_owned(), 10));
}

#[test]
fn a_pipe_gets_escapes_that_can_be_read_back() {
    assert_eq!(escaped(b"a\x1b]0;x\x07\r\n\tb\\c"), "a\\x1b]0;x\\x07\\r\\n\\tb\\\\c");
    assert_eq!(escaped("abc\u{202e}\u{9b}é日".as_bytes()), "abc\\u{202e}\\u{9b}é日");
    assert_eq!(escaped(b"a\xff"), "a\\xff");
    assert_eq!(
        escaped(format!("a{}", "\u{301}".repeat(6)).as_bytes()),
        format!("a{}\\u{{301}}\\u{{301}}", "\u{301}".repeat(4))
    );
}

/// Everything a terminal could be made to do beside showing text.
#[derive(Default)]
struct Effects(Vec<String>);

impl vt100::Callbacks for Effects {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("bell".to_owned());
    }
    fn visual_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("visual bell".to_owned());
    }
    fn resize(&mut self, _: &mut vt100::Screen, _: (u16, u16)) {
        self.0.push("resize".to_owned());
    }
    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0.push("icon name".to_owned());
    }
    fn set_window_title(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0.push("title".to_owned());
    }
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], _: &[u8]) {
        self.0.push("clipboard".to_owned());
    }
    fn paste_from_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0.push("clipboard read".to_owned());
    }
    fn unhandled_char(&mut self, _: &mut vt100::Screen, character: char) {
        self.0.push(format!("character {character:?}"));
    }
    fn unhandled_control(&mut self, _: &mut vt100::Screen, control: u8) {
        self.0.push(format!("control {control}"));
    }
    fn unhandled_osc(&mut self, _: &mut vt100::Screen, _: &[&[u8]]) {
        self.0.push("osc".to_owned());
    }
}

const ROWS: u16 = 5;
const COLUMNS: u16 = 60;
const ROW: u16 = 2;
const START: u16 = 7;

/// A screen full of letters, the cursor where the text will go.
fn screen() -> vt100::Parser<Effects> {
    let mut parser =
        vt100::Parser::new_with_callbacks(ROWS.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0, Effects::default());
    for row in 1..=ROWS {
        parser.process(format!("\u{1b}[{row};1H{}", "x".repeat(usize::from(COLUMNS))).as_bytes());
    }
    parser.process(format!("\u{1b}[{};{}H", ROW + 1, START + 1).as_bytes());
    parser
}

/// Writes what is shown of a text into a part of a screen, and compares everything else with what it was.
fn check_on_a_terminal(bytes: &[u8], columns: usize) -> Result<(), TestCaseError> {
    let clipped = Untrusted::from(bytes).clip(columns);
    prop_assert!(clipped.columns <= columns);
    let before = screen();
    let mut after = screen();
    after.process(clipped.text.as_bytes());
    let end = START + u16::try_from(clipped.columns).unwrap();
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            if row != ROW || !(START..end).contains(&column) {
                let (before, after) = (before.screen().cell(row, column), after.screen().cell(row, column));
                prop_assert_eq!(before, after, "row {} column {} changed by {:?}", row, column, clipped.text);
            }
        }
    }
    prop_assert_eq!(after.screen().cursor_position(), (ROW, end), "the cursor after {:?}", clipped.text);
    prop_assert_eq!(&after.callbacks().0, &Vec::<String>::new(), "effects of {:?}", clipped.text);
    prop_assert_eq!(before.screen().attributes_formatted(), after.screen().attributes_formatted());
    prop_assert_eq!(before.screen().input_mode_formatted(), after.screen().input_mode_formatted());
    Ok(())
}

/// Writes it as the screens do, and compares the columns the two count.
fn check_in_a_buffer(text: &str) -> Result<(), TestCaseError> {
    let untrusted = Untrusted::from(text);
    let columns = untrusted.columns();
    let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 2000, 1));
    let (end, _) = buffer.set_stringn(0, 0, untrusted.display().to_string(), 2000, ratatui::style::Style::default());
    prop_assert_eq!(usize::from(end), columns.min(2000), "{:?} as {}", text, untrusted.display());
    Ok(())
}

fn hostile() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "\u{1b}[2J",
        "\u{1b}]0;owned\u{7}",
        "\u{1b}]52;c;aGk=\u{7}",
        "\u{1b}[5;5H",
        "\u{9b}2J",
        "\u{90}q",
        "\r",
        "\n",
        "\t",
        "\u{8}",
        "\u{202e}",
        "\u{200d}",
        "\u{fe0f}",
        "\u{fe0e}",
        "\u{301}",
        "\u{20e3}",
        "\u{489}",
        "👩",
        "👍🏽",
        "🇫",
        "🇷",
        "❤",
        "#",
        "1",
        "日",
        "ﷺ",
        "\u{1100}",
        "\u{1161}",
        "\u{11a8}",
        "가",
        "क",
        "\u{94d}",
        "ष",
        "\u{93e}",
        "\u{17d8}",
        "\u{17d2}",
        "ក",
        "\u{644}",
        "\u{627}",
        "\u{600}",
        "\u{e0041}",
        "\u{3000}",
        "\u{ad}",
        "\u{a4fc}",
        "\u{a4fd}",
        "\u{10c32}",
        "\u{1a10}",
        "\u{1a17}",
        "\u{2d7f}",
        "ⵏ",
        "\u{ffff}",
        "x",
        " ",
    ]);
    prop::collection::vec(prop_oneof![nasty.prop_map(str::to_owned), any::<char>().prop_map(String::from)], 0..12)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn hostile_text_changes_nothing_outside_its_columns(text in hostile(), columns in 0..40_usize) {
        check_on_a_terminal(text.as_bytes(), columns)?;
    }

    #[test]
    fn hostile_bytes_change_nothing_outside_their_columns(bytes in prop::collection::vec(any::<u8>(), 0..40), columns in 0..40_usize) {
        check_on_a_terminal(&bytes, columns)?;
    }

    #[test]
    fn the_screens_count_the_same_columns(text in hostile()) {
        check_in_a_buffer(&text)?;
    }

    #[test]
    fn an_escaped_text_holds_nothing_a_terminal_obeys(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let escaped = escaped(&bytes);
        let obeyed = |character: char| character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character);
        prop_assert!(!escaped.chars().any(obeyed), "{escaped}");
    }
}

#[test]
fn the_oracle_itself_notices_an_escape_sequence() {
    let mut parser = screen();
    parser.process("\u{1b}]0;owned\u{7}\u{1b}[2J".as_bytes());
    assert_eq!(parser.callbacks().0, ["icon name", "title"]);
    assert_ne!(parser.screen().contents(), screen().screen().contents());
}
