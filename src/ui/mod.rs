//! Drawing: from the model to cells.
//!
//! ```text
//!  exptap ● 127.0.0.1:8033 → events.launchdarkly.com ✓   ▁▂▅▇▃ 132/s   12 482 events  8 120 ✓  1 204 ✗   header
//! ┌ 1 Live ─ All ─ following ──────────────────┐┌ 3 Experiments ─────────────────────────────────┐
//! │ 12:03:04 feature checkout-cta  device/d-9   ││ checkout-cta-test  unit device  SRM ok p=0.84   │
//! ├ 2 Contexts ────────────────────────────────┤├ 4 Findings ────────────────────────────────────┤
//! │ user/u-1  never exposed  3 ✗                ││ ✗ 403 event-lacks-unit  checkout-conversion     │
//! └─────────────────────────────────────────────┘└─────────────────────────────────────────────────┘
//!  ↵ open  / filter  a all  d dropped  space pause  tab pane  z zoom  : commands  ? help  q quit           footer
//! ```
//!
//! [`render`] takes the model by shared reference; it decides nothing but where things go. Lists are windowed: a
//! frame looks at the rows on screen, never at the hundred thousand behind them.

mod ascii;
mod banner;
mod contexts;
mod empty;
mod experiment;
mod experiments;
mod findings;
mod footer;
mod header;
mod live;
mod overlay;
mod paint;
mod replay;
mod sources;
pub mod theme;
mod trial;
mod unit;
mod why;

use crate::app::{App, Pane, View};
use paint::Canvas;
use ratatui::Frame;
use ratatui::layout::{Margin, Rect};
use ratatui::widgets::{Block, BorderType, Borders, Widget};
use theme::{Role, Theme};

/// Draws the model.
pub fn render(app: &App<'_>, theme: &Theme, ascii_only: bool, frame: &mut Frame<'_>) {
    let screen = frame.area();
    let mut cursor = None;
    {
        let mut canvas = Canvas { app, theme, buffer: frame.buffer_mut() };
        canvas.paint(screen, Role::Text);
        match app.parts() {
            None => too_small(&mut canvas, screen),
            Some(parts) => {
                header::draw(&mut canvas, parts.header);
                match app.view() {
                    View::Panes => {
                        if let Some(tabs) = parts.tabs {
                            header::draw_tabs(&mut canvas, tabs);
                        }
                        for (pane, area) in &parts.panes {
                            draw_pane(&mut canvas, *pane, *area);
                        }
                    }
                    View::Why(why) => {
                        let area = parts.tabs.map_or(parts.body, |tabs| tabs.union(parts.body));
                        why::draw(&mut canvas, area, why);
                    }
                    View::Experiment(detail) => {
                        let area = parts.tabs.map_or(parts.body, |tabs| tabs.union(parts.body));
                        experiment::draw(&mut canvas, area, detail);
                    }
                    View::Trial(trial) => {
                        let area = parts.tabs.map_or(parts.body, |tabs| tabs.union(parts.body));
                        trial::draw(&mut canvas, area, trial);
                    }
                    View::Unit(unit) => {
                        let area = parts.tabs.map_or(parts.body, |tabs| tabs.union(parts.body));
                        unit::draw(&mut canvas, area, unit);
                    }
                }
                if let Some(bar) = parts.bar {
                    replay::draw(&mut canvas, bar);
                }
                footer::draw(&mut canvas, parts.footer);
                if let Some(area) = parts.banner {
                    banner::draw(&mut canvas, area);
                }
                cursor = overlay::draw(&mut canvas, screen);
            }
        }
        if ascii_only {
            ascii::plain(canvas.buffer);
        }
    }
    if let Some(position) = cursor {
        frame.set_cursor_position(position);
    }
}

fn draw_pane(canvas: &mut Canvas<'_, '_>, pane: Pane, area: Rect) {
    match pane {
        Pane::Live => live::draw(canvas, area),
        Pane::Contexts => contexts::draw(canvas, area),
        Pane::Experiments => experiments::draw(canvas, area),
        Pane::Findings => findings::draw(canvas, area),
        Pane::Sources => sources::draw(canvas, area),
    }
}

/// The border of a pane with its number, name and remarks; returns what is inside.
fn frame_pane(canvas: &mut Canvas<'_, '_>, pane: Pane, area: Rect, remarks: &[(String, Role)]) -> Rect {
    let focused = canvas.app.focus() == pane;
    let (border, title) = if focused { (Role::BorderFocused, Role::TitleFocused) } else { (Role::Border, Role::Title) };
    frame_box(canvas, area, border);
    let mut strip = canvas.strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area });
    strip.text(&format!(" {} {} ", pane.number(), pane.title()), title);
    for (text, role) in remarks {
        strip.text("─", border).text(&format!(" {text} "), *role);
    }
    area.inner(Margin::new(1, 1))
}

fn frame_box(canvas: &mut Canvas<'_, '_>, area: Rect, border: Role) {
    let area = area.intersection(canvas.buffer.area);
    Block::new()
        .borders(Borders::ALL)
        .border_type(BorderType::Plain)
        .border_style(canvas.style(border))
        .render(area, canvas.buffer);
}

/// Marks the selected row.
fn mark_selection(canvas: &mut Canvas<'_, '_>, pane: Pane, area: Rect) {
    let role = if canvas.app.focus() == pane { Role::Selection } else { Role::SelectionIdle };
    canvas.paint(area, role);
}

/// The page of a list that the selected item is on: items go to pages in order, each as full as it gets. Turning
/// whole pages needs no memory of where the list was scrolled to.
fn page_with(selected: usize, heights: impl Iterator<Item = usize>, height: usize) -> usize {
    let (mut start, mut used) = (0, 0);
    for (index, item) in heights.enumerate() {
        if used > 0 && used + item > height {
            if index > selected {
                break;
            }
            (start, used) = (index, 0);
        }
        used += item;
    }
    start
}

/// What a list without items says.
fn nothing(canvas: &mut Canvas<'_, '_>, area: Rect, words: &str) {
    canvas.strip(area).gap(1).text(words, Role::Muted);
}

/// Says on the row below a text that so many of its lines did not fit.
fn more_below(canvas: &mut Canvas<'_, '_>, text: Rect, lines: usize) {
    if lines > 0 {
        let foot = Rect { y: text.bottom(), height: 1, ..text };
        canvas.strip(foot).at_end(&format!(" {lines} more ↓ "), Role::Muted);
    }
}

/// The rows of an area, from the top.
fn rows(area: Rect) -> impl Iterator<Item = Rect> {
    (area.y..area.bottom()).map(move |y| Rect { y, height: 1, ..area })
}

fn too_small(canvas: &mut Canvas<'_, '_>, screen: Rect) {
    let (columns, lines) = crate::app::layout::SMALLEST;
    let totals = canvas.app.totals();
    let texts = [
        (format!("exptap needs {columns}x{lines},"), Role::Strong),
        (format!("has {}x{}", screen.width, screen.height), Role::Text),
        (format!("{} events", paint::short(totals.events)), Role::Text),
        (header::glyph_counts(totals).join(" "), Role::Text),
    ];
    for (area, (text, role)) in rows(screen).zip(texts) {
        canvas.strip(area).text(&text, role);
    }
}

#[cfg(test)]
mod tests;
