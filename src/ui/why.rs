//! Why: the event as it was received, and every rule it was judged by, in order; between them, where it came through
//! Segment, what the destination's mapping made of it.

mod segment;

use super::header::role_of;
use super::paint::{Canvas, columns, day_and_time, harmless, wrap, wrapped};
use super::theme::Role;
use super::{frame_box, more_below};
use crate::app::export::{ladder_title, outcome_glyph};
use crate::app::{BOTH_SIDES, Side, Why, is_kind_mismatch, is_unmatched_key};
use crate::explain::segment::correction_words;
use crate::view::{EventRow, Explanation, Ladder, Outcome};
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::text::{Line, Span};

/// Keys of an event that decide verdicts, beside those of its context kinds.
const MATTERS: [&str; 16] = [
    "kind",
    "key",
    "context",
    "contextKeys",
    "user",
    "userKey",
    "creationDate",
    "metricValue",
    "variation",
    "reason",
    "inExperiment",
    "ruleId",
    "url",
    "selector",
    "version",
    "samplingRatio",
];

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect, why: &Why) {
    if area.width >= BOTH_SIDES {
        let [left, right] = Layout::horizontal([Constraint::Percentage(38), Constraint::Fill(1)]).areas(area);
        draw_side(canvas, left, why, Side::Event);
        draw_side(canvas, right, why, Side::Rules);
    } else {
        draw_side(canvas, area, why, why.side_in(false));
    }
}

fn draw_side(canvas: &mut Canvas<'_, '_>, area: Rect, why: &Why, side: Side) {
    let is_wide = canvas.app.is_wide();
    let active = why.side_in(is_wide) == side;
    let (border, title) = if active { (Role::BorderFocused, Role::TitleFocused) } else { (Role::Border, Role::Title) };
    frame_box(canvas, area, border);
    let event = why.explanation.row.event;
    let segment = why.explanation.segment.as_ref();
    let is_delivered = segment.is_some_and(|segment| !segment.delivered.is_empty());
    let mut strip = canvas.strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area });
    match side {
        Side::Event if is_delivered => strip.text(&format!(" Event {event} as Segment delivers it "), title),
        Side::Event => strip.text(&format!(" Event {event} as received "), title),
        Side::Mapping => strip.text(&format!(" What Segment's destination makes of event {event} "), title),
        Side::Rules => strip.text(&format!(" Why: event {event} "), title),
    };
    if side == Side::Rules && segment.is_some() && is_wide {
        // The rules stand below the mapping, where they may not be in sight.
        let code = why.explanation.row.code;
        let verdict = format!("{} {} ", code.category().glyph(), code.name());
        strip.text(&verdict, role_of(code.category()));
    }
    if area.width < BOTH_SIDES {
        let next = match Why::after(side, segment.is_some() && !is_wide) {
            Side::Event => " tab: the event ",
            Side::Mapping => " tab: the mapping ",
            Side::Rules => " tab: the rules ",
        };
        let hint = format!("─{next}");
        if columns(&hint) <= strip.left() {
            strip.text("─", border).text(next, Role::Muted);
        }
    }
    let inside = area.inner(Margin::new(2, 1));
    if why.to_come {
        let words = "The recording stands before this event: it has not been received yet. Play on, or step forward.";
        let lines = wrapped(words, inside.width.into(), 0, canvas.style(Role::Muted));
        canvas.lines(inside, &lines);
        return;
    }
    let width = usize::from(inside.width);
    let (lines, scroll) = match side {
        Side::Event => (event_lines(canvas, &why.explanation, width), &why.event),
        Side::Mapping => (segment.map_or_else(Vec::new, |it| segment::mapping_lines(canvas, it, width)), &why.mapping),
        Side::Rules => {
            // Where there is room, the way of the event is told from its source to its verdict.
            let mut lines = segment.filter(|_| is_wide).map_or_else(Vec::new, |it| {
                let mut lines = segment::mapping_lines(canvas, it, width);
                lines.push(Line::default());
                lines
            });
            lines.extend(rule_lines(canvas, &why.explanation, width));
            (lines, &why.rules)
        }
    };
    let start = scroll.place(lines.len(), inside.height.into());
    canvas.lines(inside, lines.get(start..).unwrap_or_default());
    more_below(canvas, inside, lines.len().saturating_sub(start + usize::from(inside.height)));
}

/// The rules in the order judged, then the fix, for every iteration and metric the event is about.
fn rule_lines(canvas: &Canvas<'_, '_>, explanation: &Explanation, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for ladder in &explanation.ladders {
        ladder_lines(canvas, ladder, width, &mut lines);
        lines.push(Line::default());
    }
    let also: Vec<String> = explanation.also.clone();
    if !also.is_empty() {
        labelled(canvas, "Also", &also.join("; "), width, Role::Text, &mut lines);
        let hint = canvas.style(Role::Muted);
        lines.extend(wrapped("↵ shows the events with this verdict", width, LABEL, hint));
    }
    lines
}

/// Columns of the labels below a ladder.
const LABEL: usize = 16;

fn ladder_lines(canvas: &Canvas<'_, '_>, ladder: &Ladder, width: usize, lines: &mut Vec<Line<'static>>) {
    let role = role_of(ladder.code.category());
    let reason = ladder.code.reason();
    let title = ladder_title(ladder);
    let (about, verdict) = title.rsplit_once(": ").unwrap_or((&title, ""));
    lines.extend(wrapped(about, width, 0, canvas.style(Role::Strong)));
    let mut spans = vec![Span::styled(harmless(verdict), canvas.style(role))];
    if is_kind_mismatch(ladder.code) {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(" KIND ", canvas.style(Role::DroppedKind)));
    } else if is_unmatched_key(ladder.code) {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(" KEY ", canvas.style(Role::DroppedUnmatched)));
    }
    if ladder.revised {
        spans.push(Span::styled("  revised: it was shown as something else before", canvas.style(Role::Warning)));
    }
    lines.push(Line::from(spans));
    if let Some((clock, code)) = ladder.other_clock {
        let text = format!("on the {clock} clock: {} {}", code.category().glyph(), code.name());
        lines.extend(wrapped(&text, width, 2, canvas.style(Role::Warning)));
    }
    for rung in &ladder.rungs {
        let (role, word) = match rung.outcome {
            Outcome::Passed => (Role::Good, "holds"),
            Outcome::Failed => (Role::Bad, "fails"),
            Outcome::WouldFail => (Role::Warning, "next"),
            Outcome::NotJudged => (Role::Muted, "open"),
        };
        let mark = rung.grade.mark();
        let lead = format!("  {} {word:<5} {:<6} ", outcome_glyph(rung.outcome), rung.rule);
        let text_columns = width.saturating_sub(columns(&lead) + 8);
        let mut text = rung.text.clone();
        if let Some(code) = rung.code.filter(|_| matches!(rung.outcome, Outcome::Failed | Outcome::WouldFail)) {
            text.push_str(&format!(" ({})", code.name()));
        }
        let text_role = if rung.outcome == Outcome::NotJudged { Role::Muted } else { Role::Text };
        for (index, piece) in wrap(&text, text_columns).into_iter().enumerate() {
            let pad = text_columns.saturating_sub(columns(&piece));
            let mut spans = vec![
                Span::styled(if index == 0 { lead.clone() } else { " ".repeat(columns(&lead)) }, canvas.style(role)),
                Span::styled(piece, canvas.style(text_role)),
            ];
            if index == 0 {
                spans.push(Span::raw(" ".repeat(pad + 2)));
                spans.push(Span::styled(mark, canvas.style(Role::Muted)));
            }
            lines.push(Line::from(spans));
        }
    }
    if ladder.fix.is_empty() && !reason.text.is_empty() && ladder.rungs.is_empty() {
        labelled(canvas, "Meaning", reason.text, width, Role::Text, lines);
    }
    if !ladder.fix.is_empty() {
        labelled(canvas, "What to change", &ladder.fix, width, Role::Good, lines);
    }
    if let Some(near_miss) = &ladder.near_miss {
        labelled(canvas, "Near miss", near_miss, width, Role::Warning, lines);
    }
}

fn labelled(
    canvas: &Canvas<'_, '_>,
    label: &str,
    text: &str,
    width: usize,
    role: Role,
    lines: &mut Vec<Line<'static>>,
) {
    for (index, piece) in wrap(text, width.saturating_sub(LABEL)).into_iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{label:<LABEL$}"), canvas.style(Role::Strong)),
            Span::styled(piece, canvas.style(role)),
        ]));
    }
}

/// Where the event came from, and its JSON with the keys that matter marked.
fn event_lines(canvas: &Canvas<'_, '_>, explanation: &Explanation, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let row = &explanation.row;
    let zone = canvas.app.zone();
    let mut fact = |name: &str, value: &str| {
        for (index, piece) in wrap(value, width.saturating_sub(12)).into_iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!("{name:<12}"), canvas.style(Role::Muted)),
                Span::styled(piece, canvas.style(Role::Text)),
            ]));
        }
    };
    if let Some(arrived_ms) = row.arrived_ms() {
        fact("arrived", &day_and_time(zone, arrived_ms));
    }
    let created = row.t_ms.filter(|_| canvas.app.report().clock == "creation");
    if let Some(t_ms) = created {
        let delay = row.arrived_ms().map(|arrived_ms| distance(arrived_ms.saturating_sub(t_ms))).unwrap_or_default();
        fact("created", &format!("{}{delay}", day_and_time(zone, t_ms)));
    }
    if let Some(correction) = explanation.segment.as_ref().and_then(|segment| segment.correction) {
        fact("sent as", &format!("{}, {}", day_and_time(zone, correction.sent_ms), correction_words(correction)));
    }
    for (name, value) in &explanation.provenance {
        // Times are told once, in the zone of the viewer.
        if *name != "arrived" && !(*name == "created" && created.is_some()) {
            fact(name, value);
        }
    }
    if let Some(segment) = &explanation.segment {
        if let Some(library) = &segment.library {
            fact("library", library);
        }
        if let Some(message_id) = &segment.message_id {
            fact("message id", message_id);
        }
    }
    lines.push(Line::default());
    if let Some(segment) = explanation.segment.as_ref().filter(|segment| !segment.delivered.is_empty()) {
        lines.extend(segment::delivered_lines(canvas, explanation, segment, width));
        return lines;
    }
    let mut redacted = false;
    for line in explanation.event_text.lines() {
        // The list ends on a line of its own, or, where it is empty, on the one it begins on.
        let ends = line.trim_end_matches(',').ends_with(']');
        redacted = (redacted || line.contains("\"redactedAttributes\"")) && !ends;
        lines.extend(json_line(canvas, line, width, redacted, false, row));
    }
    lines
}

/// How long before its arrival an event was created.
fn distance(milliseconds: i64) -> String {
    match milliseconds {
        0 => String::new(),
        1..=999 => format!(" ({milliseconds} ms before)"),
        1_000.. => format!(" ({} s before)", milliseconds / 1_000),
        _ => format!(" ({} s after)", milliseconds.unsigned_abs() / 1_000),
    }
}

/// A line of JSON; what does not fit goes on below, two columns further in.
fn json_line(
    canvas: &Canvas<'_, '_>,
    line: &str,
    width: usize,
    redacted: bool,
    is_read: bool,
    row: &EventRow,
) -> Vec<Line<'static>> {
    let text = line.trim_start();
    let indent = (line.len() - text.len()).min(width / 2);
    let role = if redacted { Role::Redacted } else { Role::Text };
    let key = text.strip_prefix('"').and_then(|rest| rest.split_once("\":")).map(|(key, _)| key);
    let matters = |key| match row.segment {
        Some(_) => is_read,
        None => MATTERS.contains(&key) || row.units.iter().any(|(kind, _)| &**kind == key),
    };
    let key_role = match key {
        Some(key) if !redacted && matters(key) => Role::JsonMatters,
        Some(_) if !redacted => Role::JsonKey,
        _ => role,
    };
    let key_bytes = key.map_or(0, |key| harmless(key).len() + 2);
    wrap(text, width.saturating_sub(indent + 2))
        .into_iter()
        .enumerate()
        .map(|(index, piece)| {
            let (name, value) = piece.split_at_checked(key_bytes).filter(|_| index == 0).unwrap_or(("", &piece));
            Line::from(vec![
                Span::raw(" ".repeat(if index == 0 { indent } else { indent + 2 })),
                Span::styled(name.to_owned(), canvas.style(key_role)),
                Span::styled(value.to_owned(), canvas.style(role)),
            ])
        })
        .collect()
}
