//! A screen for terminals that know ASCII only: the last step of a frame, so that no part of the drawing can
//! forget it.

use ratatui::buffer::Buffer;

/// Replaces everything that is not ASCII, cell by cell; widths do not change.
pub(super) fn plain(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if let Some(plain) = cell.symbol().chars().next().filter(|first| !first.is_ascii()).map(plain_for) {
            cell.set_char(plain);
        }
    }
}

fn plain_for(character: char) -> char {
    match character {
        '━' => '=',
        '─' | '╸' | '╌' | '–' | '—' | '−' => '-',
        '│' | '┃' | '▏' | '▕' | '▌' | '▐' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => '+',
        '✓' => '+',
        '✗' => 'x',
        '…' => '~',
        '×' => 'x',
        '▶' => '>',
        // No cell of a bar looks like it.
        '‖' => '%',
        '▾' => 'v',
        '·' | '▁' => '.',
        '→' | '▸' | '›' => '>',
        '←' => '<',
        '↑' | '▲' | '▴' => '^',
        '↓' | '▼' => 'v',
        '↵' => '>',
        '●' => '*',
        '•' => 'o',
        '⚠' => '!',
        '█' | '▇' | '▆' => '#',
        '▂' | '▃' | '▄' | '▅' => '=',
        // A dot pattern of the chart.
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' => '*',
        '“' | '”' => '"',
        '‘' | '’' => '\'',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_of_a_verdict_keeps_a_look_of_its_own() {
        let glyphs: Vec<char> = ['✓', '✗', '…', '?', '·', '=']
            .into_iter()
            .map(|glyph| if glyph.is_ascii() { glyph } else { plain_for(glyph) })
            .collect();
        assert_eq!(glyphs, ['+', 'x', '~', '?', '.', '=']);
    }

    #[test]
    fn nothing_but_ascii_is_left() {
        let mut buffer = Buffer::with_lines(["┌ 1 Live ─ ✓ counted → treatment 漢 ┐"]);
        plain(&mut buffer);
        let text: String = buffer.content.iter().map(|cell| cell.symbol().to_owned()).collect();
        assert_eq!(text, "+ 1 Live - + counted > treatment ?  +");
    }
}
