//! Small helpers: cells of a row, numbers, times, wrapped lines.
//!
//! Text reaches the screen through [`Strip`] and [`wrap`] only, and both make it harmless first: whatever an event
//! carries, it can neither move the cursor nor push the columns beside it.

use crate::app::App;
use crate::ui::theme::{Role, Theme};
use crate::untrusted::Untrusted;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// What drawing needs everywhere.
pub(super) struct Canvas<'a, 'store> {
    pub(super) app: &'a App<'store>,
    pub(super) theme: &'a Theme,
    pub(super) buffer: &'a mut Buffer,
}

impl Canvas<'_, '_> {
    pub(super) fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// One row of the screen, to be filled from the left.
    pub(super) fn strip(&mut self, area: Rect) -> Strip<'_> {
        let area = Rect { height: area.height.min(1), ..area }.intersection(self.buffer.area);
        Strip {
            theme: self.theme,
            buffer: &mut *self.buffer,
            x: area.x,
            y: area.y,
            end: area.right(),
            visible: area.height > 0,
        }
    }

    /// Lines of text, as many as fit.
    pub(super) fn lines(&mut self, area: Rect, lines: &[Line<'_>]) {
        let area = area.intersection(self.buffer.area);
        for (line, y) in lines.iter().zip(area.y..area.bottom()) {
            self.buffer.set_line(area.x, y, line, area.width);
        }
    }

    pub(super) fn paint(&mut self, area: Rect, role: Role) {
        let style = self.style(role);
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }
}

/// A row that is filled cell by cell.
pub(super) struct Strip<'a> {
    theme: &'a Theme,
    buffer: &'a mut Buffer,
    x: u16,
    y: u16,
    end: u16,
    visible: bool,
}

impl Strip<'_> {
    /// Columns left.
    pub(super) fn left(&self) -> usize {
        usize::from(self.end.saturating_sub(self.x))
    }

    fn put(&mut self, text: &str, style: Style, width: usize) {
        // What lies below (a border, say) must not shine through where a role leaves the colour open.
        let style = Style::reset().patch(self.theme.style(Role::Text)).patch(style);
        let width = u16::try_from(width.min(self.left())).unwrap_or(u16::MAX);
        if self.visible && width > 0 {
            self.buffer.set_stringn(self.x, self.y, text, usize::from(width), style);
        }
        self.x = self.x.saturating_add(width);
    }

    /// Text, as wide as it is.
    pub(super) fn text(&mut self, text: &str, role: Role) -> &mut Self {
        let shown = Untrusted::from(text).clip(self.left());
        let style = self.theme.style(role);
        self.put(&shown.text, style, shown.columns);
        self
    }

    /// Text in a cell of a fixed width, cut with an ellipsis, and a space after it.
    pub(super) fn cell(&mut self, text: &str, width: usize, role: Role) -> &mut Self {
        let shown = Untrusted::from(text).clip(width.min(self.left()));
        let style = self.theme.style(role);
        self.put(&shown.text, style, shown.columns);
        self.gap(width - shown.columns + 1)
    }

    /// The same, to the right of the cell.
    pub(super) fn right(&mut self, text: &str, width: usize, role: Role) -> &mut Self {
        let shown = Untrusted::from(text).clip(width.min(self.left()));
        let style = self.theme.style(role);
        self.gap(width - shown.columns).put(&shown.text, style, shown.columns);
        self.gap(1)
    }

    /// Text at the right end of the row.
    pub(super) fn at_end(&mut self, text: &str, role: Role) -> &mut Self {
        let shown = Untrusted::from(text).clip(self.left());
        let style = self.theme.style(role);
        self.gap(self.left() - shown.columns).put(&shown.text, style, shown.columns);
        self
    }

    /// Text, if all of it fits.
    pub(super) fn whole(&mut self, text: &str, role: Role) -> &mut Self {
        if Untrusted::from(text).columns() <= self.left() { self.text(text, role) } else { self }
    }

    /// A gap.
    pub(super) fn gap(&mut self, columns: usize) -> &mut Self {
        self.x = self.x.saturating_add(u16::try_from(columns.min(self.left())).unwrap_or(u16::MAX));
        self
    }
}

/// A number with its thousands apart: `12 482`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number in at most five columns: `9 999`, `12.4k`, `124k`, `3.1M`.
pub(super) fn short(number: u64) -> String {
    let scaled = |unit: u64, suffix: char| {
        if number < unit * 100 {
            format!("{}.{}{suffix}", number / unit, number % unit * 10 / unit)
        } else {
            format!("{}{suffix}", number / unit)
        }
    };
    match number {
        0..=9_999 => grouped(number),
        10_000..=999_999 => scaled(1_000, 'k'),
        1_000_000..=999_999_999 => scaled(1_000_000, 'M'),
        _ => scaled(1_000_000_000, 'G'),
    }
}

/// A number of things: `1 request`, `12 482 requests`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(number)) }
}

/// A size: `812 B`, `2.3 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{} B", grouped(bytes)),
        10_000..=999_999 => format!("{} kB", bytes / 1_000),
        1_000_000..=999_999_999 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

/// The bars of a curve, lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How high a bar stands that is not empty, against the most there is.
pub(super) fn bar_of(events: u64, most: u64) -> char {
    let level = u128::from(events) * BARS.len() as u128 / u128::from(most.max(1));
    let level = usize::try_from(level).unwrap_or(BARS.len()).saturating_sub(1);
    BARS.get(level).copied().unwrap_or('█')
}

/// Events per slice of time, added up to so many columns, or to as many as there are slices.
pub(super) fn in_columns(events: &[u64], columns: usize) -> Vec<u64> {
    let columns = columns.min(events.len());
    let edge = |column: usize| column * events.len() / columns;
    let sum = |column: usize| events.get(edge(column)..edge(column + 1)).unwrap_or_default().iter().sum();
    (0..columns).map(sum).collect()
}

/// A curve in so many columns.
pub(super) fn curve_of(events: &[u64], columns: usize) -> String {
    let cells = in_columns(events, columns);
    let most = cells.iter().copied().max().unwrap_or(0);
    cells.iter().map(|events| if *events == 0 { ' ' } else { bar_of(*events, most) }).collect()
}

/// The time of day, with milliseconds where there is room.
pub(super) fn time_of_day(zone: &TimeZone, at_ms: i64, milliseconds: bool) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(at_ms) else { return "--:--:--".to_owned() };
    let zoned = timestamp.to_zoned(zone.clone());
    zoned.strftime(if milliseconds { "%H:%M:%S%.3f" } else { "%H:%M:%S" }).to_string()
}

/// The day.
pub(super) fn date(zone: &TimeZone, at_ms: i64) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(at_ms) else { return "----------".to_owned() };
    timestamp.to_zoned(zone.clone()).date().to_string()
}

/// Day and time.
pub(super) fn day_and_time(zone: &TimeZone, at_ms: i64) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(at_ms) else { return format!("{at_ms} ms since 1970") };
    timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string()
}

/// The name of the zone in force.
pub(super) fn zone_name(zone: &TimeZone, now_ms: i64) -> String {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    now.to_zoned(zone.clone()).strftime("%Z").to_string()
}

/// A text wrapped to a width at spaces, harmless; a word that is too long is broken. Spaces at the start are kept.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(4);
    let shown = Untrusted::from(text).display().to_string();
    let rest = shown.trim_start_matches(' ');
    let mut line = " ".repeat((shown.len() - rest.len()).min(width / 2));
    let mut used = line.len();
    let mut lines = Vec::new();
    let mut in_front = true;
    for word in rest.split(' ') {
        let mut word = word;
        if !in_front {
            if used + 1 + columns(word) > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            } else {
                line.push(' ');
                used += 1;
            }
        }
        in_front = false;
        while used + columns(word) > width {
            let (head, tail) = word.split_at(fitting(word, width - used));
            line.push_str(head);
            lines.push(std::mem::take(&mut line));
            used = 0;
            word = tail;
        }
        line.push_str(word);
        used += columns(word);
    }
    lines.push(line);
    lines
}

/// The columns of text that is harmless already.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or_default()).sum()
}

/// How many bytes of a word fit in so many columns; at least one character, so that wrapping ends.
fn fitting(word: &str, room: usize) -> usize {
    let mut used = 0;
    for (index, grapheme) in word.grapheme_indices(true) {
        used += columns(grapheme);
        if used > room && index > 0 {
            return index;
        }
    }
    word.len()
}

/// Text in exactly so many columns, harmless.
pub(super) fn fixed(text: &str, width: usize) -> String {
    let clipped = Untrusted::from(text).clip(width);
    format!("{}{}", clipped.text, " ".repeat(width - clipped.columns))
}

/// A context in so many columns. Of a key that is too long the end is kept: keys begin alike more often than they
/// end alike.
pub(super) fn unit_within(kind: &str, key: &str, width: usize) -> String {
    let whole = format!("{kind}/{key}");
    let kind_columns = Untrusted::from(kind).columns();
    let tail = width.saturating_sub(kind_columns + 2);
    if tail < 3 || !key.is_ascii() || kind_columns + 1 + key.len() <= width {
        return whole;
    }
    format!("{kind}/…{}", key.get(key.len() - tail..).unwrap_or(key))
}

/// Text made harmless.
pub(super) fn harmless(text: &str) -> String {
    Untrusted::from(text).display().to_string()
}

/// Lines of one style, each indented.
pub(super) fn wrapped(text: &str, width: usize, indent: usize, style: Style) -> Vec<Line<'static>> {
    let margin = " ".repeat(indent);
    wrap(text, width.saturating_sub(indent))
        .into_iter()
        .map(|line| Line::from(vec![Span::raw(margin.clone()), Span::styled(line, style)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shortened_without_losing_their_size() {
        assert_eq!([0, 999, 1_000, 12_482, 1_234_567].map(grouped), ["0", "999", "1 000", "12 482", "1 234 567"]);
        assert_eq!([9_999, 12_482, 124_000, 3_149_999].map(short), ["9 999", "12.4k", "124k", "3.1M"]);
        assert_eq!([812, 23_000, 2_412_000].map(size), ["812 B", "23 kB", "2.4 MB"]);
    }

    #[test]
    fn a_curve_loses_no_event_and_shows_the_rarest_where_it_was() {
        assert_eq!(in_columns(&[1, 0, 2, 3, 0, 4], 3), [1, 5, 4]);
        assert_eq!(in_columns(&[1, 2], 5), [1, 2]);
        assert_eq!(in_columns(&[], 5), [0; 0]);
        assert_eq!(curve_of(&[0, 8, 1, 0, 0, 4], 6), " █▁  ▄");
        assert_eq!(curve_of(&[7, 1_000_000], 2), "▁█");
        assert_eq!(curve_of(&[0, 0], 2), "  ");
    }

    #[test]
    fn text_is_wrapped_at_spaces_and_long_words_are_broken() {
        assert_eq!(wrap("the event carries no device key", 14), ["the event", "carries no", "device key"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a  b", 10), ["a  b"]);
        assert_eq!(wrap("    \"key\": 1", 20), ["    \"key\": 1"]);
        assert_eq!(wrap("a\u{1b}[2J\u{202e}b", 40), ["a␛[2J⟨U+202E⟩b"]);
    }

    #[test]
    fn times_are_told_in_the_zone_of_the_viewer() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(time_of_day(&zone, 1_795_258_984_221, true), "12:03:04.221");
        assert_eq!(time_of_day(&zone, i64::MAX, false), "--:--:--");
    }
}
