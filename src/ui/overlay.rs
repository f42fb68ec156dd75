//! What lies over a view: help, palette, themes, and the line being typed.

use super::frame_box;
use super::paint::{Canvas, wrapped, zone_name};
use super::theme::Role;
use crate::app::destination::FORMS;
use crate::app::keymap::{BINDINGS, SCOPES};
use crate::app::{Line as TypedLine, LineError, LinePurpose, Overlay};
use ratatui::layout::{Margin, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use tui_input::Input;

/// Draws what lies over the view; returns where the cursor stands, if a line is typed.
pub(super) fn draw(canvas: &mut Canvas<'_, '_>, screen: Rect) -> Option<Position> {
    match canvas.app.overlay()? {
        Overlay::Help(scroll) => {
            let area = popup(canvas, screen, 84, screen.height.saturating_sub(2), " Every key ");
            let lines = help_lines(canvas, area.width.into());
            let start = scroll.place(lines.len(), area.height.into());
            canvas.lines(area, lines.get(start..).unwrap_or_default());
            super::more_below(canvas, area, lines.len().saturating_sub(start + usize::from(area.height)));
            None
        }
        Overlay::Palette { input, commands, found, selected } => {
            let area = popup(canvas, screen, 90, 18, " Commands ");
            let cursor = draw_input(canvas, area, input);
            let rows = found.iter().filter_map(|index| commands.get(*index));
            let list = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
            let start = selected.saturating_sub(usize::from(list.height).saturating_sub(1));
            for ((position, command), row) in rows.enumerate().skip(start).zip(super::rows(list)) {
                let name = 20;
                let key = 10;
                let description = usize::from(row.width).saturating_sub(name + key + 3);
                canvas
                    .strip(row)
                    .cell(&command.name, name, Role::Strong)
                    .cell(&command.description, description, Role::Muted)
                    .cell(&command.key, key, Role::Accent);
                if position == *selected {
                    canvas.paint(row, Role::Selection);
                }
            }
            if found.is_empty() {
                super::nothing(canvas, list, "no command is called so");
            }
            Some(cursor)
        }
        Overlay::Themes { input, themes, found, selected } => {
            let area = popup(canvas, screen, 40, 14, " Themes ");
            let cursor = draw_input(canvas, area, input);
            let list = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
            let rows = found.iter().filter_map(|index| themes.get(*index));
            for ((position, theme), row) in rows.enumerate().zip(super::rows(list)) {
                canvas.strip(row).gap(1).text(theme, Role::Text);
                if position == *selected {
                    canvas.paint(row, Role::Selection);
                }
            }
            if found.is_empty() {
                super::nothing(canvas, list, "no theme is called so");
            }
            Some(cursor)
        }
        Overlay::Line(line) => Some(draw_line(canvas, screen, line)),
    }
}

/// A box in the middle of the screen; returns what is inside.
fn popup(canvas: &mut Canvas<'_, '_>, screen: Rect, columns: u16, rows: u16, title: &str) -> Rect {
    let width = columns.min(screen.width.saturating_sub(4));
    let height = rows.min(screen.height.saturating_sub(2));
    let area =
        Rect { x: screen.x + (screen.width - width) / 2, y: screen.y + (screen.height - height) / 2, width, height };
    Clear.render(area, canvas.buffer);
    canvas.paint(area, Role::Text);
    frame_box(canvas, area, Role::BorderFocused);
    canvas.strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area }).text(title, Role::TitleFocused);
    area.inner(Margin::new(2, 1))
}

fn draw_input(canvas: &mut Canvas<'_, '_>, area: Rect, input: &Input) -> Position {
    let width = usize::from(area.width.saturating_sub(2));
    let scroll = input.visual_scroll(width);
    let shown: String = input.value().chars().skip(scroll).collect();
    canvas.strip(area).text("> ", Role::Accent).text(&shown, Role::Text);
    let column = u16::try_from(input.visual_cursor().saturating_sub(scroll)).unwrap_or(0);
    Position::new(area.x + 2 + column, area.y)
}

/// The line being typed, on the last rows: the line, and below it what is wrong with it or what it takes.
fn draw_line(canvas: &mut Canvas<'_, '_>, screen: Rect, line: &TypedLine) -> Position {
    let (below, role) = match (&line.error, &line.purpose) {
        (Some(LineError { column: Some(column), message }), _) => (format!("✗ column {column}: {message}"), Role::Bad),
        (Some(LineError { column: None, message }), _) => (format!("✗ {message}"), Role::Bad),
        (None, LinePurpose::Filter(_)) => (
            "words, \"text\", /regex/, key: unit: exp: metric: verdict: code: source: kind: since:  ↵ takes it"
                .to_owned(),
            Role::Muted,
        ),
        (None, LinePurpose::GoTo) => (format!("{FORMS}  ↵ goes there"), Role::Muted),
        (None, LinePurpose::Write(_)) => {
            ("a new file; nothing is overwritten  ↵ writes, esc leaves".to_owned(), Role::Muted)
        }
        (None, LinePurpose::Record) => {
            let words =
                "what is on screen, then all that comes; .zst is compressed, a recording is gone on with  ↵ records";
            (words.to_owned(), Role::Muted)
        }
        (None, LinePurpose::Mark) => ("a note that is kept in the recording  ↵ sets the mark".to_owned(), Role::Muted),
    };
    let below = wrapped(&below, screen.width.into(), 1, canvas.style(role));
    let height = u16::try_from(below.len() + 1).unwrap_or(2).min(screen.height);
    let area = Rect { y: screen.bottom() - height, height, ..screen };
    Clear.render(area, canvas.buffer);
    canvas.paint(area, Role::Text);
    let label = match &line.purpose {
        LinePurpose::Filter(pane) => format!(" Filter {}: ", pane.title()),
        LinePurpose::Write(_) => " Write to: ".to_owned(),
        LinePurpose::GoTo => " Go to: ".to_owned(),
        LinePurpose::Record => " Record to: ".to_owned(),
        LinePurpose::Mark => " Mark: ".to_owned(),
    };
    let label_columns = u16::try_from(label.chars().count()).unwrap_or(0);
    let width = usize::from(area.width.saturating_sub(label_columns + 1));
    let scroll = line.input.visual_scroll(width);
    let shown: String = line.input.value().chars().skip(scroll).collect();
    canvas.strip(area).text(&label, Role::Accent).text(&shown, Role::Text);
    canvas.lines(Rect { y: area.y + 1, height: height - 1, ..area }, &below);
    let column = u16::try_from(line.input.visual_cursor().saturating_sub(scroll)).unwrap_or(0);
    Position::new((area.x + label_columns + column).min(area.right().saturating_sub(1)), area.y)
}

/// The table of keys, by place.
fn help_lines(canvas: &Canvas<'_, '_>, width: usize) -> Vec<Line<'static>> {
    let app = canvas.app;
    let mut lines = Vec::new();
    for scope in SCOPES {
        lines.push(Line::styled(scope.title(), canvas.style(Role::TitleFocused)));
        for binding in BINDINGS.iter().filter(|binding| binding.scope == scope) {
            let keys: Vec<String> = binding.keys.iter().map(|chord| chord.label()).collect();
            let keys = format!("  {:<15} ", keys.join(", "));
            let columns = width.saturating_sub(keys.chars().count());
            for (index, piece) in super::paint::wrap(binding.description, columns).into_iter().enumerate() {
                let lead = if index == 0 { keys.clone() } else { " ".repeat(keys.chars().count()) };
                lines.push(Line::from(vec![
                    Span::styled(lead, canvas.style(Role::Accent)),
                    Span::styled(piece, canvas.style(Role::Text)),
                ]));
            }
        }
        lines.push(Line::default());
    }
    lines.push(Line::styled("What the signs mean", canvas.style(Role::TitleFocused)));
    for category in crate::reason::Category::ALL {
        lines.push(Line::from(vec![
            Span::styled(format!("  {:<15} ", category.glyph()), canvas.style(super::header::role_of(category))),
            Span::styled(category.name(), canvas.style(Role::Text)),
        ]));
    }
    for (badge, role, words) in [
        (" KIND ", Role::DroppedKind, "dropped: the event was sent for another context kind than the experiment's"),
        (" KEY ", Role::DroppedUnmatched, "dropped: no metric knows this event key"),
    ] {
        lines.push(Line::from(vec![
            Span::raw("  "),
            Span::styled(badge, canvas.style(role)),
            Span::raw(" ".repeat(16 - badge.len())),
            Span::styled(words, canvas.style(Role::Text)),
        ]));
    }
    for grade in [
        crate::reason::Grade::Documented,
        crate::reason::Grade::Code,
        crate::reason::Grade::Corroborated,
        crate::reason::Grade::Choice,
    ] {
        lines.push(Line::from(vec![
            Span::styled(format!("  {:<15} ", grade.mark()), canvas.style(Role::Muted)),
            Span::styled(grade.meaning(), canvas.style(Role::Text)),
        ]));
    }
    lines.push(Line::default());
    let zone = format!("Times are in {}; what is written to files is in UTC.", zone_name(app.zone(), app.now_ms()));
    lines.push(Line::styled(zone, canvas.style(Role::Muted)));
    lines
}
