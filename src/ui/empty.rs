//! Live before anything has arrived: how to get traffic in, with the address filled in.

use super::paint::{Canvas, wrapped};
use super::theme::Role;
use super::{nothing, rows};
use crate::guide::{self, GuideLine};
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let Some(address) = canvas.app.setting().addresses.first().copied() else {
        nothing(canvas, area, "no event was read yet; what comes is shown as it is read");
        return;
    };
    let name_columns = 10;
    let code_columns = usize::from(area.width).saturating_sub(name_columns + 2);
    let mut lines = Vec::new();
    for line in guide::first_screen(address) {
        match line {
            GuideLine::Heading(text) => lines.extend(wrapped(&text, area.width.into(), 1, canvas.style(Role::Strong))),
            GuideLine::Text(text) => lines.extend(wrapped(&text, area.width.into(), 1, canvas.style(Role::Muted))),
            GuideLine::Blank => lines.push("".into()),
            GuideLine::Code { name, code } => {
                let mut name = name;
                // Code is broken where the width ends, never at a space: a paste must not gain one.
                for piece in pieces(&code, code_columns) {
                    lines.push(ratatui::text::Line::from(vec![
                        ratatui::text::Span::styled(format!("  {name:<name_columns$}"), canvas.style(Role::Accent)),
                        ratatui::text::Span::styled(piece, canvas.style(Role::Text)),
                    ]));
                    name = "";
                }
            }
        }
    }
    for (line, row) in lines.iter().zip(rows(area)) {
        canvas.lines(row, std::slice::from_ref(line));
    }
}

fn pieces(code: &str, columns: usize) -> Vec<String> {
    let characters: Vec<char> = code.chars().collect();
    characters.chunks(columns.max(8)).map(|chunk| chunk.iter().collect()).collect()
}
