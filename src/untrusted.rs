//! Stand-in until the real one arrives.
use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Text made safe to show.
pub fn display(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c.is_control() { '␛' } else { c }).collect())
}

/// At most `width` columns of it, with an ellipsis where something is missing.
pub fn clip(text: &str, width: usize) -> Cow<'_, str> {
    if UnicodeWidthStr::width(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut clipped = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let columns = UnicodeWidthStr::width(grapheme);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        clipped.push_str(grapheme);
    }
    if width > 0 {
        clipped.push('…');
    }
    Cow::Owned(clipped)
}
