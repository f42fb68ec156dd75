//! Live: every event as it arrives, and what became of it.

use super::header::role_of;
use super::paint::{Canvas, Strip, grouped, plural, time_of_day, unit_within};
use super::theme::Role;
use super::{empty, frame_pane, mark_selection, nothing, rows};
use crate::app::export::units_text;
use crate::app::layout::rows_inside;
use crate::app::{App, Hole, Kinds, Pane, is_kind_mismatch, is_unmatched_key};
use crate::catalog::Iteration;
use crate::reason::ReasonCode;
use crate::segment::reading;
use crate::untrusted::Untrusted;
use crate::view::EventRow;
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let inside = frame_pane(canvas, Pane::Live, area, &remarks(app, area));
    if app.is_empty() {
        empty::draw(canvas, inside);
        return;
    }
    let live = app.live();
    if live.is_empty() {
        let words = if app.wants_spare_time() {
            "filtering…"
        } else {
            "no event passes the filter (esc clears it, a shows every kind)"
        };
        nothing(canvas, inside, words);
        return;
    }
    let columns = Columns::of(usize::from(inside.width));
    let source = live.rows(app.store());
    let selected = live.selected();
    for (line, area) in lines(app, usize::from(inside.height)).into_iter().zip(rows(inside)) {
        let event = match line {
            Line::Event(event) => event,
            Line::Hole(hole) => {
                draw_hole(app, &mut canvas.strip(area), hole, &columns);
                continue;
            }
        };
        let Some(row) = source.row(event) else { continue };
        let mut strip = canvas.strip(area);
        draw_row(app, &mut strip, row, &columns);
        if selected == Some(event) {
            mark_selection(canvas, Pane::Live, area);
        }
    }
}

/// A line of the list.
enum Line<'a> {
    Event(u64),
    Hole(&'a Hole),
}

/// The events that are on screen with the holes between them, as many lines as fit: with the newest at the end where
/// it is followed, and with the selected event in any case.
fn lines<'a>(app: &'a App<'_>, height: usize) -> Vec<Line<'a>> {
    let (live, holes) = (app.live(), app.holes());
    let mut lines = Vec::new();
    let mut before: Option<u64> = None;
    for event in live.visible(height) {
        // In front of the oldest event that is held stands what is missing before it, and in front of the topmost one
        // of many, what is missing right there.
        let from = before.unwrap_or_else(|| if event == app.store().first() { 0 } else { event.saturating_sub(1) });
        let is_first = before.is_none() && from == 0;
        if is_first {
            lines.extend(holes.at_start().map(Line::Hole));
        }
        lines.extend(holes.between(from, event).map(Line::Hole));
        lines.push(Line::Event(event));
        before = Some(event);
    }
    let selected = lines.iter().position(|line| matches!(line, Line::Event(event) if live.selected() == Some(*event)));
    if live.is_following() && !live.is_frozen() {
        lines.extend(holes.between(before.unwrap_or(0), u64::MAX).map(Line::Hole));
        let surplus = lines.len().saturating_sub(height);
        lines.drain(..surplus);
    } else if let Some(selected) = selected {
        let surplus = (selected + 1).saturating_sub(height);
        lines.drain(..surplus);
    }
    lines
}

/// What is missing here: as many requests, and why.
fn draw_hole(app: &App<'_>, strip: &mut Strip<'_>, hole: &Hole, columns: &Columns) {
    let time = time_of_day(app.zone(), hole.t_ms, columns.milliseconds);
    strip.cell(&time, if columns.milliseconds { 12 } else { 8 }, Role::Muted);
    let missing = match hole.requests {
        Some(1) => "1 request is missing here".to_owned(),
        Some(requests) => format!("{} requests are missing here", grouped(requests)),
        None => "what was sent here is not known".to_owned(),
    };
    strip.text(&format!("⚠ {missing}: "), Role::Warning).text(&hole.why, Role::Warning);
}

/// What the title says after the name: kinds, filters, whether it follows.
fn remarks(app: &App<'_>, area: Rect) -> Vec<(String, Role)> {
    let live = app.live();
    let criteria = live.criteria();
    let mut remarks = Vec::new();
    let kinds = if criteria.narrowing.kinds == Kinds::All { Role::Muted } else { Role::Accent };
    remarks.push((criteria.narrowing.kinds.title().to_owned(), kinds));
    if live.is_frozen() {
        remarks.push(("paused".to_owned(), Role::Warning));
    } else if live.is_following() {
        remarks.push(("following".to_owned(), Role::Good));
        let one_in = app.one_in(rows_inside(Pane::Live, area));
        if one_in > 1 {
            remarks.push((format!("1 in {} shown", grouped(one_in)), Role::Warning));
        }
    } else {
        remarks.push((format!("+{} new, end follows", grouped(live.unseen() as u64)), Role::Warning));
    }
    if criteria.narrowing.dropped_only {
        remarks.push(("✗ dropped only".to_owned(), Role::Dropped));
    }
    if criteria.narrowing.noise {
        remarks.push(("with $ld:".to_owned(), Role::Muted));
    }
    if !criteria.filter.is_empty() {
        remarks.push((criteria.filter.clone(), Role::Accent));
    }
    let (looked_at, of) = live.progress(app.store());
    if looked_at < of {
        remarks.push((format!("{} of {} rows looked at", grouped(looked_at), grouped(of)), Role::Muted));
    } else if !criteria.filter.is_empty() || criteria.narrowing.dropped_only || criteria.narrowing.kinds != Kinds::All {
        remarks.push((plural(live.len() as u64, "event"), Role::Muted));
    }
    let forgotten = app.store().first();
    if forgotten > 0 {
        remarks.push((format!("{} scrolled out of memory", grouped(forgotten)), Role::Muted));
    }
    remarks
}

/// Widths of the columns.
struct Columns {
    milliseconds: bool,
    kind: usize,
    key: usize,
    unit: usize,
    source: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        let milliseconds = width >= 96;
        let kind = if width >= 90 { 12 } else { 8 };
        let time = if milliseconds { 12 } else { 8 };
        let source = if width >= 150 { 24 } else { 0 };
        let rest = width.saturating_sub(time + kind + 4 + if source > 0 { source + 1 } else { 0 });
        // In a narrow pane the verdict comes first: what says what is wrong must not be what is cut.
        let (key, unit) = if width < 74 { (23, 25) } else { (27, 25) };
        Self { milliseconds, kind, key: (rest * key / 100).min(40), unit: (rest * unit / 100).min(48), source }
    }
}

fn draw_row(app: &App<'_>, strip: &mut Strip<'_>, row: &EventRow, columns: &Columns) {
    strip.cell(
        &time_of_day(app.zone(), row.listed_ms().unwrap_or(i64::MIN), columns.milliseconds),
        if columns.milliseconds { 12 } else { 8 },
        Role::Muted,
    );
    if columns.kind > 8 && columns.source == 0 && row.segment.is_some() {
        // Without a column for the sender this is where to see that Segment is between.
        let mark = " Seg";
        let kind = Untrusted::from(&*row.kind).clip(columns.kind.saturating_sub(mark.len()));
        strip.text(&kind.text, Role::Text).text(mark, Role::Muted);
        strip.gap(columns.kind.saturating_sub(kind.columns + mark.len()) + 1);
    } else {
        strip.cell(&row.kind, columns.kind, Role::Text);
    }
    strip.cell(&row.key, columns.key, Role::Strong);
    strip.cell(&units_in(app, row, columns.unit), columns.unit, Role::Text);
    if columns.source > 0 {
        strip.cell(&row.source, columns.source, Role::Muted);
    }
    draw_verdict(app, strip, row);
}

/// An event's contexts in so many columns. Where not all fit, the one the verdict is about is shown.
fn units_in(app: &App<'_>, row: &EventRow, width: usize) -> String {
    let all = units_text(row);
    if Untrusted::from(all.as_str()).columns() <= width {
        return all;
    }
    let about = iteration_of(app, row).map(|iteration| iteration.randomization_unit.as_str());
    let given = row.units.iter().filter(|(_, key)| !key.is_empty());
    let mut shown = given.map(|(kind, key)| (&**kind, unit_within(kind, key, width)));
    let fits = |text: &str| Untrusted::from(text).columns() <= width;
    // Where the event lacks that one, a context whose key can be read beats the start of a long kind.
    let unit = shown.clone().find(|(kind, _)| Some(*kind) == about);
    let unit = unit.or_else(|| shown.clone().find(|(_, text)| fits(text))).or_else(|| shown.next());
    unit.map_or(all, |(_, text)| text)
}

/// The iteration a row's best verdict is about.
fn iteration_of<'a>(app: &'a App<'_>, row: &EventRow) -> Option<&'a Iteration> {
    let name = app.store().iterations().get(row.best_verdict()?.iteration as usize)?;
    let experiment = app.store().catalog().experiments.iter().find(|known| *known.key == *name.experiment)?;
    experiment.iterations.iter().find(|known| *known.id == *name.iteration)
}

/// The verdict: glyph, words, arm. The two faults people come for carry a badge as well.
fn draw_verdict(app: &App<'_>, strip: &mut Strip<'_>, row: &EventRow) {
    let role = role_of(row.category());
    strip.text(row.category().glyph(), role).gap(1);
    if is_kind_mismatch(row.code) {
        strip.text(" KIND ", Role::DroppedKind).gap(1);
    } else if is_unmatched_key(row.code) {
        strip.text(" KEY ", Role::DroppedUnmatched).gap(1);
    }
    strip.text(row.code.name(), role);
    if let Some(arm) = arm(app, row) {
        strip.text(" → ", role).text(&arm, Role::Accent);
    }
    if row.revised() {
        strip.whole("  revised", Role::Warning);
    }
    if let Some(note) = &row.note {
        strip.text("  ", Role::Muted);
        let note = note_within(row, note, strip.left());
        strip.text(&note, Role::Muted);
    }
    if row.verdicts.len() > 1 {
        strip.whole(&format!("  +{} more", row.verdicts.len() - 1), Role::Muted);
    }
    for warning in &row.warnings {
        strip.text("  ⚠ ", Role::Warning).text(warning.name(), Role::Warning);
    }
}

/// A row's note in so many columns. The words of Segment's destination say last what is wrong, so that where not all of
/// them fit they are told in short, and cut between words.
fn note_within(row: &EventRow, note: &str, width: usize) -> String {
    let fits = |text: &str| Untrusted::from(text).columns() <= width;
    if row.segment.is_none()
        || !matches!(row.code, ReasonCode::SegmentRejected | ReasonCode::SegmentRefused)
        || fits(note)
    {
        return note.to_owned();
    }
    let mut brief = reading::brief(note);
    while !fits(&brief) {
        let Some((head, _)) = brief.trim_end_matches('…').rsplit_once(' ') else { break };
        brief = format!("{head}…");
    }
    brief
}

/// The name of the arm a row's best verdict is about.
fn arm(app: &App<'_>, row: &EventRow) -> Option<String> {
    let variation = row.best_verdict()?.variation?;
    iteration_of(app, row).map(|iteration| iteration.arm_name(variation))
}
