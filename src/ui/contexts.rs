//! Contexts: the units that need attention first.

use super::paint::{Canvas, grouped, time_of_day, unit_within};
use super::theme::Role;
use super::{frame_pane, mark_selection, nothing, page_with, rows};
use crate::app::Pane;
use crate::app::export::unit_note;
use crate::untrusted::Untrusted;
use crate::view::{UnitNote, UnitRow, UnitView};
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let Some(list) = app.listing(Pane::Contexts) else { return };
    let contexts = app.contexts();
    let view = contexts.view();
    let role = if view == UnitView::default() { Role::Muted } else { Role::Accent };
    let count = contexts.list().counts.get(view.index()).copied().unwrap_or_default();
    let mut remarks = vec![(format!("{} {}", grouped(count), view.title()), role)];
    if !list.filter.is_empty() {
        remarks.push((list.filter.clone(), Role::Accent));
    }
    if contexts.is_on_its_way() || app.is_surveying() {
        remarks.push(("being made anew…".to_owned(), Role::Pending));
    }
    match app.contexts_searched() {
        Some((searched, known)) if searched < known => {
            remarks.push((format!("looked at {} of {} names", grouped(searched), grouped(known)), Role::Pending));
        }
        _ => (),
    }
    let inside = frame_pane(canvas, Pane::Contexts, area, &remarks);
    let mut rows = rows(inside);
    let width = usize::from(inside.width);
    let columns = [width * 24 / 100, width * 30 / 100, 16.min(width * 17 / 100).max(11)];
    let Some(heading) = rows.next() else { return };
    let [unit, exposed, converted] = columns;
    canvas
        .strip(heading)
        .cell("context", unit, Role::Muted)
        .cell("exposed to", exposed, Role::Muted)
        .cell("conversions", converted, Role::Muted)
        .text("why it is here", Role::Muted);
    let mut height = usize::from(inside.height.saturating_sub(1));
    if app.focus() == Pane::Contexts && height >= ANSWERS_FROM {
        // What each view would show is the answer to most questions already.
        height -= 1;
        draw_answers(canvas, Rect { y: inside.bottom() - 1, height: 1, ..inside });
    }
    let rows = rows.take(height);
    if list.shown().is_empty() {
        let words = match (contexts.list().counts.first(), count) {
            _ if contexts.is_on_its_way() => "all contexts are looked through; it takes a moment",
            (Some(0) | None, _) => "no context has been seen yet",
            (_, 0) => "no context is one of these; v lists others",
            _ => "no context passes the filter",
        };
        nothing(canvas, Rect { y: heading.y + 1, ..heading }, words);
        return;
    }
    let start = page_with(list.selected(), std::iter::repeat_n(1, list.shown().len()), height);
    for ((position, index), row) in list.shown().iter().enumerate().skip(start).zip(rows) {
        let Some(unit) = app.unit_rows().get(*index) else { continue };
        draw_unit(canvas, row, unit, columns);
        if position == list.selected() {
            mark_selection(canvas, Pane::Contexts, row);
        }
    }
}

/// Rows from which one can be spared.
const ANSWERS_FROM: usize = 6;

/// How many contexts each view lists, the one shown marked.
fn draw_answers(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let contexts = canvas.app.contexts();
    let (shown, counts) = (contexts.view(), contexts.list().counts);
    let mut strip = canvas.strip(area);
    let views = UnitView::ALL.into_iter().zip(counts);
    for (view, count) in views.filter(|(view, _)| !matches!(view, UnitView::Attention | UnitView::Busiest)) {
        let role = if view == shown { Role::Strong } else { Role::Muted };
        strip.whole(&format!("{} {}", grouped(count), view.title()), role).gap(2);
    }
}

fn draw_unit(canvas: &mut Canvas<'_, '_>, area: Rect, unit: &UnitRow, [first, second, third]: [usize; 3]) {
    let zone = canvas.app.zone();
    let crossover = unit.note == UnitNote::Crossover;
    let (exposed, exposed_role) = match unit.exposed.split_first() {
        None => ("never".to_owned(), if unit.dropped + unit.open > 0 { Role::Dropped } else { Role::Muted }),
        Some((exposure, others)) => {
            let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
            let arms = exposure.arms.join(", ");
            let mark = if crossover { "⚠ " } else { "" };
            let time = time_of_day(zone, exposure.first_ms, false);
            let texts = [format!("{mark}{arms} {time}{more}"), format!("{mark}{arms} {time}"), format!("{mark}{arms}")];
            let [.., shortest] = &texts;
            let text = texts.iter().find(|text| Untrusted::from(text.as_str()).columns() <= second).unwrap_or(shortest);
            (text.clone(), if crossover { Role::Warning } else { Role::Exposure })
        }
    };
    let mut strip = canvas.strip(area);
    strip.cell(&unit_within(&unit.kind, &unit.key, first), first, Role::Strong);
    strip.cell(&exposed, second, exposed_role);
    let mut left = third;
    let mut any = false;
    for (count, glyph, role) in
        [(unit.counted, "✓", Role::Counted), (unit.dropped, "✗", Role::Dropped), (unit.open, "…", Role::Pending)]
    {
        let text = format!("{} {glyph} ", grouped(count));
        if count > 0 && text.chars().count() <= left {
            left -= text.chars().count();
            any = true;
            strip.text(&text, role);
        }
    }
    if !any {
        strip.text("–", Role::Muted);
        left = left.saturating_sub(1);
    }
    strip.gap(left + 1);
    let role = match unit.note {
        UnitNote::NeverExposed { .. } if unit.dropped + unit.open > 0 => Role::Dropped,
        UnitNote::Crossover | UnitNote::Placeholder => Role::Warning,
        _ => Role::Muted,
    };
    strip.text(&unit_note(unit), role);
}
