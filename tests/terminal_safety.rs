//! Events that attack the terminal they are shown on. The program runs in a pseudo-terminal; every byte it writes is
//! kept and an emulator obeys it. Keys are typed, and every step waits for what must stand on the screen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use loopback::{Client, PATIENCE, post};
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::json;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"

[[metrics]]
key = "buy-click"
kind = "click"
selector = ".buy"
urls = [{ kind = "substring", substring = "shop" }]

[[experiments]]
key = "cta-test"
flag = "cta"
randomization_unit = "user"
variations = [{ index = 0, name = "control" }, { index = 1, name = "treatment" }]
metrics = ["checkout-conversion", "buy-click"]
started_at = "2020-01-01T00:00:00Z"
"#;

/// Everything a terminal obeys, and everything that makes text look like other text. Parameters are ones exptap itself
/// has no use for, so that they can be told apart in what it writes.
const ATTACK: &str = "\u{1b}]0;PWNED\u{7}\u{1b}]52;c;UFdORUQ=\u{1b}\\\u{1b}[13;37H\u{1b}[?1337h\u{9b}77;77m\u{9d}2;PWNED\u{9c}\u{90}q\u{1b}Pq\u{1b}_x\
    \u{8}\u{8}\u{7f}\r\n\t\u{202e}\u{2066}\u{200b}\u{200d}\u{feff}\u{e0041}z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}👩\u{200d}💻🇫🇷";

/// What a terminal was made to do beside showing text.
#[derive(Default)]
struct Effects(Vec<String>);

impl vt100::Callbacks for Effects {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("bell".to_owned());
    }
    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, name: &[u8]) {
        self.0.push(format!("icon name {name:?}"));
    }
    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.0.push(format!("title {title:?}"));
    }
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.0.push(format!("clipboard {data:?}"));
    }
    fn paste_from_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0.push("clipboard read".to_owned());
    }
    fn unhandled_osc(&mut self, _: &mut vt100::Screen, parameters: &[&[u8]]) {
        self.0.push(format!("operating system command {parameters:?}"));
    }
}

struct Written {
    bytes: Vec<u8>,
    emulator: vt100::Parser<Effects>,
}

struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    written: Arc<(Mutex<Written>, Condvar)>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    reading: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

fn some(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    fn start(columns: u16, rows: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.toml"), CATALOG).unwrap();
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_exptap"));
        command.args(["listen", "--listen", "127.0.0.1:0", "--catalog", "catalog.toml"]);
        command.cwd(folder.path());
        command.env_clear();
        [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC")]
            .iter()
            .for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let emulator = vt100::Parser::new_with_callbacks(some(rows), some(columns), 0, Effects::default());
        let written = Arc::new((Mutex::new(Written { bytes: Vec::new(), emulator }), Condvar::new()));
        let mut output = pair.master.try_clone_reader().unwrap();
        let writing = Arc::clone(&written);
        let reading = std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                let mut written = writing.0.lock().unwrap();
                written.bytes.extend_from_slice(&piece[..count]);
                written.emulator.process(&piece[..count]);
                writing.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { master: pair.master, keys, written, child, reading: Some(reading), _folder: folder }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as it must be.
    #[track_caller]
    fn wait<T>(&self, what: &str, read: impl Fn(&vt100::Screen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.written.0.lock().unwrap();
        loop {
            if let Some(value) = read(written.emulator.screen()) {
                return value;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what}; the screen was:\n{}", written.emulator.screen().contents());
            (written, _) = self.written.1.wait_timeout(written, left).unwrap();
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text).then_some(()));
    }

    fn address(&self) -> SocketAddr {
        self.wait("the address", |screen| {
            let contents = screen.contents();
            let after = contents.split("127.0.0.1:").nth(1)?;
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().map(|port: u16| ([127, 0, 0, 1], port).into())
        })
    }

    /// What stood on the screen is gone, so that whoever waits for a text waits for the screens of the new size: keys
    /// mean something else where there is no room.
    fn resize(&self, columns: u16, rows: u16) {
        let mut written = self.written.0.lock().unwrap();
        written.emulator.screen_mut().set_size(some(rows), some(columns));
        written.emulator.process(b"\x1b[2J");
        drop(written);
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Quits, and gives every byte that was written and what it made the terminal do.
    fn quit(mut self) -> (Vec<u8>, Vec<String>) {
        self.press("q");
        let mut killer = self.child.clone_killer();
        let (ended, waiting) = std::sync::mpsc::channel();
        let status = std::thread::scope(|scope| {
            let child = &mut self.child;
            scope.spawn(move || ended.send(child.wait().unwrap()).unwrap());
            waiting.recv_timeout(PATIENCE).inspect_err(|_| killer.kill().unwrap())
        });
        let status = status.unwrap_or_else(|_| panic!("it does not quit"));
        assert!(status.success(), "{status:?}");
        self.reading.take().unwrap().join().unwrap();
        let mut written = self.written.0.lock().unwrap();
        assert!(!written.emulator.screen().alternate_screen(), "the terminal is given back");
        let effects = std::mem::take(&mut written.emulator.callbacks_mut().0);
        (std::mem::take(&mut written.bytes), effects)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Requests whose every field carries the attack.
fn attacks(now_ms: i64) -> Vec<Vec<u8>> {
    let hostile = |name: &str| format!("{name}{ATTACK}");
    let context =
        json!({"kind": "multi", "user": {"key": hostile("u"), "name": ATTACK}, hostile("kind"): {"key": hostile("k")}});
    let batch = json!([
        {"kind": "feature", "key": "cta", "creationDate": now_ms, "variation": 1, "value": ATTACK, "default": ATTACK, "context": context,
            "reason": {"kind": "FALLTHROUGH", "inExperiment": true, "ruleId": ATTACK, "errorKind": ATTACK}},
        {"kind": "feature", "key": hostile("flag"), "creationDate": now_ms, "variation": 0, "context": context, "reason": {"kind": ATTACK}},
        {"kind": "custom", "key": hostile("event"), "creationDate": now_ms, "context": context, "metricValue": ATTACK, "data": {hostile("data"): ATTACK}},
        {"kind": "custom", "key": "checkout", "creationDate": now_ms, "context": {"kind": hostile("kind"), "key": hostile("k")}},
        {"kind": "custom", "key": "checkout", "creationDate": now_ms, "contextKeys": {"user": hostile("u"), hostile("kind"): "k"}},
        {"kind": "click", "key": hostile("id"), "creationDate": now_ms, "url": hostile("https://shop.example/"), "selector": hostile(".buy"), "contextKeys": {"user": hostile("u")}},
        {"kind": hostile("quantum"), "key": hostile("key"), "creationDate": now_ms},
        {"kind": "custom", "key": "界".repeat(4000), "creationDate": now_ms, "context": {"kind": "user", "key": "שלום".repeat(3000)}, "data": {"a": "x".repeat(1_000_000)}},
        {"kind": "custom", "key": 7, hostile("member"): ATTACK},
        ATTACK,
    ]);
    // A path and a header can hold no control characters, but C1, bidi and zero width as raw UTF-8.
    let visible: String = ATTACK.chars().filter(|character| !character.is_ascii_control()).collect();
    let headers = format!("User-Agent: Client{visible}/1.0\r\nX-LaunchDarkly-Wrapper: {visible}\r\n");
    let escaped: String = ATTACK.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        post(&format!("/bulk?q={escaped}"), &headers, batch.to_string().as_bytes()),
        post("/bulk/bulk", &headers, format!("[{{\"kind\":\"custom\",\"key\":\"raw{ATTACK}\"}}]").as_bytes()),
        post(&format!("/{escaped}/bulk"), &format!("Content-Encoding: br{visible}\r\n"), ATTACK.as_bytes()),
    ]
}

/// The frame around the zoomed pane stands in line on every row, whatever the rows hold.
fn frame_is_straight(screen: &vt100::Screen) -> Result<(), String> {
    let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
    let cell = |row, column| screen.cell(row, column).map(|cell| cell.contents().to_owned()).unwrap_or_default();
    let is_corner = |text: &str, corners: &[&str]| corners.contains(&text);
    let top = (0..rows).find(|row| is_corner(&cell(*row, columns - 1), &["┐", "╮", "┓", "╗"])).ok_or("no top")?;
    let bottom =
        (top + 1..rows).find(|row| is_corner(&cell(*row, columns - 1), &["┘", "╯", "┛", "╝"])).ok_or("no bottom")?;
    for row in top + 1..bottom {
        for column in [0, columns - 1] {
            let found = cell(row, column);
            if !is_corner(&found, &["│", "┃", "║", "├", "┤", "┠", "┨"]) {
                return Err(format!("row {row} has {found:?} in column {column}:\n{}", screen.contents()));
            }
        }
    }
    Ok(())
}

/// A session at this size that was sent all attacks, Live zoomed.
fn attacked(columns: u16, rows: u16) -> Terminal {
    let mut terminal = Terminal::start(columns, rows);
    let mut client = Client::connect(terminal.address());
    for attack in attacks(jiff::Timestamp::now().as_millisecond()) {
        client.send(&attack);
        assert_eq!(client.answer().status(), 202);
    }
    terminal.wait_for("12 events");
    terminal.press("1z");
    terminal.wait_for_straight("1 Live");
    terminal
}

impl Terminal {
    /// Waits until a zoomed pane, or a view as large, holds a text and has a straight frame.
    #[track_caller]
    fn wait_for_straight(&self, text: &str) {
        self.wait(&format!("{text} in a straight frame"), |screen| {
            (screen.contents().contains(text) && frame_is_straight(screen).is_ok()).then_some(())
        });
    }
}

/// What the attacks must not leave in what is written.
fn check_bytes(bytes: Vec<u8>) {
    let text = String::from_utf8(bytes).expect("what is written is UTF-8");
    let unseen = |character: char| {
        matches!(character, '\u{7}' | '\u{8}' | '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(character, '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    if let Some((at, character)) = text.char_indices().find(|(_, character)| unseen(*character)) {
        panic!("{character:?} after {:?}", &text[text.floor_char_boundary(at.saturating_sub(60))..at]);
    }
    for sequence in ["\u{1b}]", "\u{1b}P", "\u{1b}_", "\u{1b}^", "\u{1b}X", "\u{1b}[13;37H", "\u{1b}[?1337h"] {
        assert!(!text.contains(sequence), "{sequence:?} was written");
    }
    assert!(text.contains("␛]0;PWNED␇"), "the attack was shown");
    assert!(!text.contains("\u{305}"), "marks are capped");
}

/// exptap leaves the window's title, its icon name and the clipboard alone.
const NO_EFFECTS: [&str; 0] = [];

#[test]
#[should_panic = "was written"]
fn the_check_itself_notices_an_attack() {
    let written: String =
        ATTACK.chars().filter(|character| *character == '\u{1b}' || character.is_ascii_graphic()).collect();
    check_bytes(written.into_bytes());
}

#[test]
fn attacks_in_every_field_are_shown_in_every_pane_and_obeyed_in_none() {
    for (columns, rows) in [(80, 24), (120, 40)] {
        let mut terminal = attacked(columns, rows);
        for (key, title) in [("2", "2 Contexts"), ("3", "3 Experiments"), ("4", "4 Findings"), ("5", "5 Sources")] {
            terminal.press(key);
            terminal.wait_for_straight(&format!("┌ {title}"));
        }
        terminal.press("1\r");
        for event in (0..12).rev() {
            terminal.wait_for_straight(&format!("Why: event {event}"));
            terminal.press("\t");
            terminal.press("G");
            terminal.press("\t");
            if event > 0 {
                terminal.press("h");
            }
        }
        terminal.press("q");
        terminal.wait_for_straight("┌ 1 Live");
        // A filter that is made of what was received.
        terminal.press("5\r");
        terminal.wait_for_straight("source:");
        let (bytes, effects) = terminal.quit();
        assert_eq!(effects, NO_EFFECTS);
        check_bytes(bytes);
    }
}

#[test]
fn what_is_copied_on_a_key_holds_no_attack_either() {
    let mut terminal = attacked(120, 40);
    terminal.press("g\r");
    terminal.wait_for("Why: event 0");
    terminal.press("y");
    terminal.wait_for("sent to the terminal");
    terminal.press("q");
    terminal.wait_for("1 Live");
    let (_, effects) = terminal.quit();
    let [copied] = effects.as_slice() else { panic!("{} effects", effects.len()) };
    let base64: Vec<u8> = serde_json::from_str(copied.strip_prefix("clipboard ").unwrap()).unwrap();
    let text =
        String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).unwrap()).unwrap();
    assert!(text.contains("PWNED"), "{text}");
    let obeyed = |character: char| {
        (character.is_control() && character != '\n') || ('\u{202a}'..='\u{202e}').contains(&character)
    };
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn a_terminal_of_any_size_is_survived_and_a_usable_one_shows_everything_again() {
    for (columns, rows) in [(1, 1), (20, 5), (2, 100), (300, 1)] {
        let terminal = Terminal::start(columns, rows);
        terminal.wait("the screens", |screen| screen.alternate_screen().then_some(()));
        let (_, effects) = terminal.quit();
        assert_eq!(effects, NO_EFFECTS);
    }
    let mut terminal = attacked(80, 24);
    for view in ["", "\r", "q?", "q/a"] {
        terminal.press(view);
        for (columns, rows) in [(1, 1), (20, 5), (3, 60), (200, 2)] {
            terminal.resize(columns, rows);
        }
        terminal.resize(300, 100);
        terminal.wait_for("12 events");
    }
    // Not escape: with the key that follows it would be another one.
    terminal.press("\u{15}\r");
    terminal.resize(80, 24);
    terminal.wait_for_straight("┌ 1 Live");
    let (bytes, _) = terminal.quit();
    check_bytes(bytes);
}
