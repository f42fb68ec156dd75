//! The only way text from events reaches a terminal.
//!
//! Keys, names and payloads are written by whoever can reach the endpoint. Sent as they are they could move the
//! cursor, set the title, fill the clipboard, reverse a line, or make two different keys look the same. So
//! everything that is not plainly visible is shown in place of being sent:
//!
//! * control characters as their pictures (`␛`), newline as `⏎`, tab as `⇥`, C1 controls and bytes that are not
//!   UTF-8 as `\x9b`;
//! * what has no width or changes direction (bidi controls, zero-width characters, tags, variation selectors), and
//!   any white space but the plain space, as its code point: `⟨U+202E⟩`;
//! * at most [`MAX_MARKS`] combining marks on one base, the others as their number: `⟨+12⟩`.
//!
//! Emoji put together from several (`👩` ZWJ `💻`, flags, skin tones) are shown as their parts, each joiner, regional
//! indicator and modifier as its code point. Terminals disagree on how many columns the whole takes, and one that
//! disagrees with us shifts the rest of the line; on the parts they agree. It also keeps keys apart that differ only
//! in what joins them, which is what this program is for. Prettier emoji are not worth either.
//!
//! The widths are those of [`unicode_width`], character by character, and a text of which whole clusters would be
//! measured otherwise is taken apart until both agree. Lay out by [`Clipped::columns`]: the width of a whole line as
//! one string may differ, because it joins letters that terminals keep apart.

use std::fmt::{self, Write};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Most combining marks shown on one base.
pub const MAX_MARKS: usize = 4;

/// Text, or bytes, that nobody vouches for. It has no `Display` of its own: how it is shown is always chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untrusted<'a>(&'a [u8]);

impl<'a> From<&'a str> for Untrusted<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Untrusted<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// A text made fit for a number of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clipped {
    /// What to write.
    pub text: String,
    /// The columns it takes: never more than were asked for.
    pub columns: usize,
}

impl<'a> Untrusted<'a> {
    /// The text as a terminal may have it, in full.
    pub fn display(self) -> impl fmt::Display + 'a {
        Displayed(self)
    }

    /// How many columns [`display`](Self::display) takes.
    pub fn columns(self) -> usize {
        let mut columns = 0;
        self.pieces(|_, width| {
            columns += width;
            true
        });
        columns
    }

    /// The text cut to a number of columns, with `…` in the last one where something was cut off. No cluster and no
    /// code point is cut in two, so up to one code point's columns may stay free.
    pub fn clip(self, columns: usize) -> Clipped {
        /// Enough for any honest text of that many columns. Without a limit a key of a megabyte of combining marks
        /// would be walked through for every frame it is on.
        const BYTES_PER_COLUMN: usize = 64;
        let examined = self.0.get(..columns.saturating_mul(BYTES_PER_COLUMN)).unwrap_or(self.0);
        let mut clipped = Clipped::default();
        // Where to cut if it turns out that not everything fits: a column is left for the mark.
        let mut cut = (0, 0);
        let mut all_fits = true;
        Self(examined).pieces(|piece, width| {
            if clipped.columns + width > columns {
                all_fits = false;
                return false;
            }
            clipped.text.push_str(piece);
            clipped.columns += width;
            if clipped.columns < columns {
                cut = (clipped.text.len(), clipped.columns);
            }
            true
        });
        if !(all_fits && examined.len() == self.0.len()) && columns > 0 {
            clipped.text.truncate(cut.0);
            clipped.text.push('…');
            clipped.columns = cut.1 + 1;
        }
        clipped
    }

    /// The text for a pipe, a log or a message: printable text as it is, and everything else in an escape that can be
    /// read back (`\n`, `\x1b`, `\u{202e}`, `\\` for a backslash, and from `\x80` on a byte that is not UTF-8).
    pub fn escaped(self) -> impl fmt::Display + 'a {
        Escaped(self)
    }

    /// Hands on the text piece by piece, each with its columns, until told to stop by `false`.
    fn pieces(self, mut take: impl FnMut(&str, usize) -> bool) {
        let mut piece = String::new();
        let mut after_escape = true;
        for chunk in self.0.utf8_chunks() {
            for cluster in chunk.valid().graphemes(true) {
                piece.clear();
                let escaped_before = after_escape;
                after_escape = push_cluster(cluster, after_escape, &mut piece);
                // A cluster that would join the sign before it, or is not measured like its characters, goes apart.
                if !piece.is_ascii() && (joins(escaped_before, &piece) || columns(&piece) != piece.width()) {
                    piece.clear();
                    push_apart(cluster, escaped_before, &mut piece);
                    after_escape = true;
                }
                if !take(&piece, columns(&piece)) {
                    return;
                }
            }
            for byte in chunk.invalid() {
                piece.clear();
                after_escape = true;
                let _ = write!(piece, "\\x{byte:02x}");
                if !take(&piece, columns(&piece)) {
                    return;
                }
            }
        }
    }
}

/// The columns of a text, character by character, as terminals count.
fn columns(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or_default()).sum()
}

/// Whether a piece would become one cluster with a sign of ours before it.
fn joins(after_escape: bool, piece: &str) -> bool {
    after_escape && format!("{CLOSE}{piece}").graphemes(true).next() != Some(CLOSE)
}

const CLOSE: &str = "⟩";

/// Appends a cluster as it is shown. Tells whether it ends in a sign of ours, which nothing may combine with.
fn push_cluster(cluster: &str, after_escape: bool, piece: &mut String) -> bool {
    let mut after_escape = after_escape;
    let mut marks = 0;
    let mut hidden_marks = 0_usize;
    let mut previous = None;
    for character in cluster.chars() {
        match Class::of(character, previous) {
            Class::Plain => {
                piece.push(character);
                after_escape = false;
                marks = 0;
            }
            Class::Mark if after_escape => push_code_point(character, piece),
            Class::Mark if marks < MAX_MARKS => {
                piece.push(character);
                marks += 1;
            }
            Class::Mark => hidden_marks += 1,
            Class::Control => {
                push_control(character, piece);
                after_escape = true;
            }
            Class::Hidden => {
                push_code_point(character, piece);
                after_escape = true;
            }
        }
        previous = Some(character);
    }
    if hidden_marks > 0 {
        let _ = write!(piece, "⟨+{hidden_marks}⟩");
        after_escape = true;
    }
    after_escape
}

/// Appends the first character of a cluster as it is, where it may be, and every other one as its code point.
fn push_apart(cluster: &str, after_escape: bool, piece: &mut String) {
    for (index, character) in cluster.chars().enumerate() {
        if index == 0
            && Class::of(character, None) == Class::Plain
            && !joins(after_escape, character.encode_utf8(&mut [0; 4]))
        {
            piece.push(character);
        } else {
            push_code_point(character, piece);
        }
    }
}

fn push_code_point(character: char, piece: &mut String) {
    let _ = write!(piece, "⟨U+{:04X}{CLOSE}", u32::from(character));
}

fn push_control(character: char, piece: &mut String) {
    /// Where Unicode keeps the pictures of the C0 controls, in their order.
    const PICTURES: u32 = 0x2400;
    match character {
        '\n' => piece.push('⏎'),
        '\t' => piece.push('⇥'),
        '\u{7f}' => piece.push('␡'),
        '\0'..='\u{1f}' => piece.push(char::from_u32(PICTURES + u32::from(character)).unwrap_or('\u{fffd}')),
        _ => {
            let _ = write!(piece, "\\x{:02x}", u32::from(character));
        }
    }
}

/// How a character may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// As it is; one or two columns.
    Plain,
    /// As it is, on the base before it.
    Mark,
    /// A C0 or C1 control, or delete.
    Control,
    /// As its code point only.
    Hidden,
}

impl Class {
    fn of(character: char, previous: Option<char>) -> Self {
        match character {
            ' '..='~' => Self::Plain,
            _ if character.is_control() => Self::Control,
            _ if character.is_whitespace() || is_invisible(character) || depends_on_neighbours(character) => {
                Self::Hidden
            }
            // Vowels and finals of Hangul have no width after a leading consonant; elsewhere terminals disagree.
            '\u{1160}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7ff}' if !previous.is_some_and(is_conjoining) => Self::Hidden,
            _ => match character.width() {
                Some(0) => Self::Mark,
                Some(1 | 2) => Self::Plain,
                _ => Self::Hidden,
            },
        }
    }
}

/// Format characters, fillers, tags and noncharacters: nothing to see, and some of them with an effect. Also the
/// replacement character, which stands for something else, and which some terminals do not print.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffd}'
        | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters whose look or width depends on what stands beside them: signs that enclose what follows, regional
/// indicators, skin tones.
fn depends_on_neighbours(character: char) -> bool {
    matches!(character,
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}'
        | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}')
}

/// A part of a Hangul syllable that another may follow.
fn is_conjoining(character: char) -> bool {
    matches!(character, '\u{1100}'..='\u{115e}' | '\u{1161}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{ac00}'..='\u{d7a3}' | '\u{d7b0}'..='\u{d7ff}')
}

struct Displayed<'a>(Untrusted<'a>);

impl fmt::Display for Displayed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.0.pieces(|piece, _| {
            result = formatter.write_str(piece);
            result.is_ok()
        });
        result
    }
}

struct Escaped<'a>(Untrusted<'a>);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.0.utf8_chunks() {
            let mut previous = None;
            // Marks left for the base before; none at the beginning, where there is no base.
            let mut marks_left = 0;
            for character in chunk.valid().chars() {
                match (character, Class::of(character, previous)) {
                    ('\\', _) => {
                        formatter.write_str("\\\\")?;
                        marks_left = MAX_MARKS;
                    }
                    (_, Class::Plain) => {
                        formatter.write_char(character)?;
                        marks_left = MAX_MARKS;
                    }
                    (_, Class::Mark) if marks_left > 0 => {
                        formatter.write_char(character)?;
                        marks_left -= 1;
                    }
                    ('\n' | '\r' | '\t', _) => write!(formatter, "{}", character.escape_default())?,
                    ('\0'..='\u{7f}', Class::Control) => {
                        write!(formatter, "\\x{:02x}", u32::from(character))?;
                        marks_left = 0;
                    }
                    _ => {
                        write!(formatter, "{}", character.escape_unicode())?;
                        marks_left = 0;
                    }
                }
                previous = Some(character);
            }
            for byte in chunk.invalid() {
                write!(formatter, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}
