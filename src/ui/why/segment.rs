//! An event that came through Segment: as Segment delivers it, and what the destination's mappings make of it.
//!
//! ```text
//!  mapping 0 · Track Event · type = "track" ✓ matches
//!    ✓ Context Key              $.userId, else $.anonymousId → "u-1"
//!    · Additional Context Keys  device = $.context.device.id → nothing
//!    ✗ Metric Value             $.properties.revenue → "$5"
//!                               Metric Value must be a number but it was a string.
//!   nothing makes a device key  checkout-cta-test is randomized by device
//!  LaunchDarkly gets            POST https://events.launchdarkly.com/events/bulk/64b0c0ffee
//! ```

use super::super::paint::{Canvas, columns, day_and_time, fixed, harmless, wrap, wrapped};
use super::super::theme::Role;
use super::{MATTERS, json_line};
use crate::app::export::outcome_glyph;
use crate::explain::mapping::{self, Told};
use crate::segment::reading;
use crate::untrusted::Untrusted;
use crate::view::{Explanation, Outcome, SegmentMapping, SegmentView};
use ratatui::text::{Line, Span};

/// Columns of the fields' labels: the longest, and a space.
const LABEL: usize = 24;
/// Lines that a source may take: directives that have no short form are as long as somebody wrote them.
const SOURCE_LINES: usize = 6;
/// Lines that a value of the payload may take.
const VALUE_LINES: usize = 3;

/// What the mappings make of the event, and what LaunchDarkly gets of it.
pub(super) fn mapping_lines(canvas: &Canvas<'_, '_>, segment: &SegmentView, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(words) = &segment.refused {
        lines.extend(wrapped(
            "✗ Segment does not hand it to the destination, and no mapping is asked",
            width,
            0,
            canvas.style(Role::Bad),
        ));
        lines.extend(wrapped(words, width, 2, canvas.style(Role::Text)));
        return lines;
    }
    let own = segment.mappings.iter().find(|mapping| mapping.is_own);
    match own {
        Some(own) => own_lines(canvas, segment, own, width, &mut lines),
        None => {
            let words = "✗ no trigger matches, so LaunchDarkly gets nothing";
            lines.extend(wrapped(words, width, 0, canvas.style(Role::Bad)));
        }
    }
    let mut others = segment.mappings.iter().filter(|mapping| !mapping.is_own).peekable();
    if own.is_some() && others.peek().is_some() {
        lines.push(Line::default());
    }
    for other in others {
        let (outcome, words) = mapping::verdict(other);
        let text = format!("{} {words}: {}", outcome_glyph(outcome), mapping::title(other));
        let role = if outcome == Outcome::NotJudged { Role::Muted } else { role_of(outcome) };
        lines.push(Line::styled(Untrusted::from(text.as_str()).clip(width).text, canvas.style(role)));
    }
    lines
}

fn role_of(outcome: Outcome) -> Role {
    match outcome {
        Outcome::Passed => Role::Good,
        Outcome::Failed => Role::Bad,
        Outcome::WouldFail => Role::Warning,
        Outcome::NotJudged => Role::Muted,
    }
}

fn own_lines(
    canvas: &Canvas<'_, '_>,
    segment: &SegmentView,
    own: &SegmentMapping,
    width: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let (outcome, words) = mapping::verdict(own);
    lines.extend(wrapped(&mapping::title(own), width, 0, canvas.style(Role::Strong)));
    let verdict =
        Span::styled(format!(" {} {}", outcome_glyph(outcome), harmless(&words)), canvas.style(role_of(outcome)));
    match lines.last_mut() {
        Some(last) if last.width() + columns(&verdict.content) <= width => last.push_span(verdict),
        _ => lines.extend(wrapped(&verdict.content, width, 0, verdict.style)),
    }
    let told = mapping::lines(segment, own);
    for line in &told {
        field_lines(canvas, line, width, lines);
    }
    for need in mapping::needs(segment) {
        let lead = if need.missing.is_empty() { String::new() } else { format!(" ✗ {} ", harmless(&need.missing)) };
        let mut spans = vec![Span::raw("  "), Span::styled(lead.clone(), canvas.style(Role::DroppedKind))];
        let mut pieces = wrap(&need.words, width.saturating_sub(4)).into_iter();
        // The words stand beside what is missing where all of them fit.
        if columns(&lead) + 4 + columns(&need.words) <= width {
            spans.extend(pieces.by_ref().map(|piece| Span::styled(format!(" {piece}"), canvas.style(Role::Warning))));
        }
        lines.push(Line::from(spans));
        lines.extend(pieces.map(|piece| Line::styled(format!("    {piece}"), canvas.style(Role::Warning))));
    }
    lines.push(Line::default());
    match mapping::sent(own) {
        Ok(request) => payload_lines(canvas, request, segment, width, lines),
        Err((sign, words)) => {
            // The words stand beside the field they are about, if they are about one.
            let is_told = told.iter().any(|line| line.outcome == Outcome::Failed);
            let words = if is_told { words.split_once(':').map_or(words.as_str(), |(what, _)| what) } else { &words };
            lines.extend(wrapped(&format!("{sign} {words}"), width, 0, canvas.style(Role::Bad)));
        }
    }
}

/// One field: its name, where its value comes from, what that is, and what is to be said of it.
fn field_lines(canvas: &Canvas<'_, '_>, told: &Told, width: usize, lines: &mut Vec<Line<'static>>) {
    let role = role_of(told.outcome);
    let is_dull = told.outcome == Outcome::NotJudged;
    let lead = format!("  {} {}", outcome_glyph(told.outcome), fixed(&told.label, LABEL));
    let indent = columns(&lead);
    let room = width.saturating_sub(indent).max(8);
    let source_role = if is_dull { Role::Muted } else { Role::Accent };
    let mut pieces = wrap(&Untrusted::from(told.source.as_str()).clip(room * SOURCE_LINES).text, room);
    let source = pieces.pop().unwrap_or_default();
    let value_role = match (told.is_key, told.outcome) {
        (true, _) => Role::JsonMatters,
        (_, Outcome::Failed) => Role::Bad,
        (_, Outcome::NotJudged) => Role::Muted,
        _ => Role::Text,
    };
    let mut lead = Span::styled(lead, canvas.style(role));
    for piece in pieces {
        let lead = std::mem::replace(&mut lead, Span::raw(" ".repeat(indent)));
        lines.push(Line::from(vec![lead, Span::styled(piece, canvas.style(source_role))]));
    }
    let left = room.saturating_sub(columns(&source) + 3);
    let mut spans = vec![lead, Span::styled(source, canvas.style(source_role))];
    if !told.value.is_empty() {
        let arrow = Span::styled(" → ", canvas.style(Role::Muted));
        let value = |room: usize| Untrusted::from(told.value.as_str()).clip(room).text;
        let is_whole = Untrusted::from(told.value.as_str()).columns() <= left;
        // A few columns would show nothing of it.
        if !is_whole && left < 24 {
            lines.push(Line::from(std::mem::take(&mut spans)));
            spans = vec![Span::raw(" ".repeat(indent.saturating_sub(1))), arrow];
            spans.push(Span::styled(value(room.saturating_sub(2)), canvas.style(value_role)));
        } else {
            spans.extend([arrow, Span::styled(value(left), canvas.style(value_role))]);
        }
    }
    lines.push(Line::from(spans));
    if let Some(remark) = &told.remark {
        let (mark, role) = if told.is_key { ("▸ ", Role::Accent) } else { ("✗ ", Role::Bad) };
        // In a narrow pane what goes wrong would be a tower of words under the value.
        let indent = if room < 40 { 4 } else { indent };
        lines.extend(wrapped(&format!("{mark}{remark}"), width, indent, canvas.style(role)));
    }
}

/// The request LaunchDarkly gets, a member a line.
fn payload_lines(
    canvas: &Canvas<'_, '_>,
    request: &crate::segment::SentRequest,
    segment: &SegmentView,
    width: usize,
    lines: &mut Vec<Line<'static>>,
) {
    const NAME: usize = 14;
    let url = format!("  {} {}", crate::segment::SentRequest::METHOD, request.url);
    let heading = "LaunchDarkly gets";
    lines.push(Line::from(vec![
        Span::styled(heading, canvas.style(Role::Strong)),
        Span::styled(
            Untrusted::from(url.as_str()).clip(width.saturating_sub(heading.len())).text,
            canvas.style(Role::Muted),
        ),
    ]));
    for (name, value) in mapping::payload(request) {
        let is_needed = |key: &str| segment.needed.iter().any(|needed| needed.key.as_deref() == Some(key));
        let key_role = if MATTERS.contains(&name.as_str()) { Role::JsonMatters } else { Role::JsonKey };
        let value = match value.parse() {
            Ok(ms) if name == "creationDate" => format!("{value}  {}", day_and_time(canvas.app.zone(), ms)),
            _ => value,
        };
        let room = width.saturating_sub(NAME + 2).max(8);
        let pieces = wrap(&Untrusted::from(value.as_str()).clip(room * VALUE_LINES).text, room);
        let role = if is_needed(value.trim_matches('"')) { Role::JsonMatters } else { Role::Text };
        for (index, piece) in pieces.into_iter().enumerate() {
            lines.push(Line::from(vec![
                Span::styled(format!("  {}", fixed(if index == 0 { &name } else { "" }, NAME)), canvas.style(key_role)),
                Span::styled(piece, canvas.style(role)),
            ]));
        }
    }
}

/// The event as Segment delivers it: what the mapping reads stands out, and what Segment changed says so.
pub(super) fn delivered_lines(
    canvas: &Canvas<'_, '_>,
    explanation: &Explanation,
    segment: &SegmentView,
    width: usize,
) -> Vec<Line<'static>> {
    let own = segment.mappings.iter().filter(|mapping| mapping.is_own);
    let sources = own.flat_map(|mapping| &mapping.mapped.lines).filter_map(|line| line.source.as_deref());
    let read: Vec<String> = sources.flat_map(reading::paths).collect();
    let mut path: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for line in segment.delivered.lines() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        let key = text.strip_prefix('"').and_then(|rest| rest.split_once("\": ")).map(|(key, _)| key.to_owned());
        if !text.starts_with(['}', ']']) {
            path.truncate(depth.saturating_sub(1));
            path.extend((depth > 0).then(|| key.unwrap_or_default()));
        }
        let matters = read.contains(&path.join(".")) && !text.starts_with(['}', ']']);
        let mut shown = json_line(canvas, line, width, false, matters, &explanation.row);
        if !text.starts_with(['}', ']']) {
            let change = segment.changes.iter().find(|change| change.path == path);
            let notes = change.map(|change| (change.words.clone(), Role::Warning));
            for (words, role) in notes.into_iter().chain(exposed_words(segment, &path)) {
                let words = Span::styled(format!(" ← {}", harmless(&words)), canvas.style(role));
                match shown.last_mut() {
                    Some(last) if last.width() + columns(&words.content) <= width => last.push_span(words),
                    _ => shown.extend(wrapped(words.content.trim_start(), width, depth * 2 + 2, words.style)),
                }
            }
        }
        lines.extend(shown);
    }
    lines
}

/// What experiments know of the value at a place of the event, beside the keys that are made of it.
fn exposed_words(segment: &SegmentView, path: &[String]) -> Option<(String, Role)> {
    let path = format!("$.{}", path.join("."));
    segment.needed.iter().find_map(|needed| {
        let place = needed.elsewhere.iter().find(|place| place.path == path)?;
        Some((format!("a {} exposed to {}", needed.kind, place.arm), Role::Accent))
    })
}
