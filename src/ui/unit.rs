//! One context: its events on one axis of time, one by one with their verdicts, and what they come to.
//!
//! ```text
//!  evaluations  ✓···········✓····················✓·······
//!  conversions  ·····✗·············✓✓····················
//!  others       ·····················•···················
//!               12:03:04            12:14:31      12:26:00
//! ```

use super::header::role_of;
use super::paint::{Canvas, fixed, grouped, harmless, plural, time_of_day, wrap, wrapped};
use super::theme::Role;
use super::{frame_box, more_below};
use crate::app::{Unit, is_kind_mismatch, is_unmatched_key};
use crate::explain::ladder::span;
use crate::explain::story::{Story, StoryEvent, StoryLadder};
use crate::explain::text;
use crate::reason::{Category, ReasonCode};
use ratatui::layout::{Margin, Rect};
use ratatui::text::{Line, Span};

/// Columns of the names of the lanes.
const LABEL: usize = 13;
/// Arrivals that are no further from when an event happened are told as the same time.
const SAME_TIME_MS: u64 = 1_000;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect, unit: &Unit) {
    frame_box(canvas, area, Role::BorderFocused);
    let story = &unit.held.story;
    canvas
        .strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area })
        .text(&format!(" {} ", story.unit), Role::TitleFocused)
        .text("─", Role::BorderFocused)
        .text(&format!(" {} by the {} clock ", plural(story.events_of_unit, "event"), story.clock), Role::Muted);
    let inside = area.inner(Margin::new(2, 1));
    let lines = lines(canvas, unit, inside.width.into());
    let start = unit.scroll.place(lines.len(), inside.height.into());
    canvas.lines(inside, lines.get(start..).unwrap_or_default());
    more_below(canvas, inside, lines.len().saturating_sub(start + usize::from(inside.height)));
}

fn lines(canvas: &Canvas<'_, '_>, unit: &Unit, width: usize) -> Vec<Line<'static>> {
    let held = &unit.held;
    let story = &held.story;
    let told = |text: String, role: Role, lines: &mut Vec<Line<'static>>| {
        for line in text.lines() {
            lines.extend(wrapped(line, width, 0, canvas.style(role)));
        }
    };
    let mut lines = axis(canvas, story, width);
    told(text::identity(story, Some(width)), Role::Text, &mut lines);
    for alias in &held.aliases {
        lines.extend(wrapped(
            &format!("  alias                {alias}: said to be the same person"),
            width,
            0,
            canvas.style(Role::Text),
        ));
    }
    let mut missing = Vec::new();
    if held.older > 0 {
        missing.push(format!("{} older are held and not told of", plural(held.older, "event")));
    }
    if held.has_scrolled {
        missing
            .push("what has scrolled out of memory is not told of; the arm and what is credited count it".to_owned());
    }
    if !missing.is_empty() {
        lines.extend(wrapped(&format!("… {}", missing.join("; ")), width, 0, canvas.style(Role::Pending)));
    }
    lines.push(Line::default());
    let mut rest = story.events.as_slice();
    while let Some(first) = rest.first() {
        let alike = text::alike(rest);
        event_lines(canvas, first, width, &mut lines);
        if alike > 1 {
            let until = rest.get(alike - 1).and_then(time_of);
            let until = until.map(|at_ms| format!(", the last at {}", time_of_day(canvas.app.zone(), at_ms, true)));
            let text = format!("… {} more like it{}", grouped(alike as u64 - 1), until.unwrap_or_default());
            lines.extend(wrapped(&text, width, LABEL + 1, canvas.style(Role::Muted)));
        }
        rest = rest.get(alike..).unwrap_or_default();
    }
    told(text::outcome(story, Some(width)), Role::Text, &mut lines);
    lines
}

fn time_of(event: &StoryEvent) -> Option<i64> {
    event.t.or(event.arrival)
}

/// What an event is on the axis.
fn lane(event: &StoryEvent) -> usize {
    match event.kind.as_str() {
        "feature" | "debug" => 0,
        "custom" | "click" | "pageview" => 1,
        _ => 2,
    }
}

const LANES: [&str; 3] = ["evaluations", "conversions", "others"];

/// All events on one axis, each with the glyph of its verdict; where several fall together, the one that lost most.
fn axis(canvas: &Canvas<'_, '_>, story: &Story, width: usize) -> Vec<Line<'static>> {
    let columns = width.saturating_sub(LABEL).max(1);
    let times = || story.events.iter().filter_map(time_of);
    let (Some(start), Some(end)) = (times().min(), times().max()) else { return Vec::new() };
    let column_of = |at_ms: i64| {
        let share = (at_ms.saturating_sub(start)) as f64 / (end.saturating_sub(start).max(1)) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the axis")]
        let column = (share.clamp(0.0, 1.0) * (columns - 1) as f64).round() as usize;
        column
    };
    let mut lanes = vec![vec![None::<ReasonCode>; columns]; LANES.len()];
    let mut arrivals = vec![" "; columns];
    let mut differs = false;
    for event in &story.events {
        let Some(at_ms) = time_of(event) else { continue };
        if let Some(arrival) = event.arrival {
            differs |= arrival.abs_diff(at_ms) > SAME_TIME_MS && column_of(arrival) != column_of(at_ms);
            if let Some(cell) = arrivals.get_mut(column_of(arrival)) {
                *cell = if arrival > end { "›" } else { "▴" };
            }
        }
        let cell = lanes.get_mut(lane(event)).and_then(|lane| lane.get_mut(column_of(at_ms)));
        if let Some(cell) = cell
            && cell.is_none_or(|code| attention(code) < attention(event.verdict))
        {
            *cell = Some(event.verdict);
        }
    }
    let muted = canvas.style(Role::Muted);
    let label = |text: &str| Span::styled(fixed(text, LABEL), muted);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (name, cells) in LANES.iter().zip(&lanes).filter(|(_, cells)| cells.iter().any(Option::is_some)) {
        let mut spans = vec![label(name)];
        spans.extend(cells.iter().map(|cell| match cell {
            Some(code) => Span::styled(code.category().glyph(), canvas.style(role_of(code.category()))),
            None => Span::styled("─", muted),
        }));
        lines.push(spans.into());
    }
    if differs {
        let mut spans = vec![label("arrived")];
        spans.extend(arrivals.iter().map(|arrived| Span::styled(*arrived, muted)));
        lines.push(spans.into());
    }
    let [first, middle, last] =
        [start, start + end.saturating_sub(start) / 2, end].map(|at_ms| time_of_day(canvas.app.zone(), at_ms, false));
    let gap = columns.saturating_sub(first.len() + middle.len() + last.len());
    let times = if gap >= 4 && end > start {
        format!("{first}{}{middle}{}{last}", " ".repeat(gap / 2), " ".repeat(gap - gap / 2))
    } else {
        first
    };
    lines.push(vec![label(""), Span::styled(times, muted)].into());
    if story.events.iter().filter_map(time_of).any(|at_ms| at_ms.abs_diff(end) >= 86_400_000) {
        let days = [start, end].map(|at_ms| super::paint::date(canvas.app.zone(), at_ms)).join(" to ");
        lines.push(vec![label(""), Span::styled(days, muted)].into());
    }
    lines
}

/// How much a verdict asks to be looked at.
fn attention(code: ReasonCode) -> u8 {
    match code.category() {
        Category::Dropped | Category::Undecodable => 4,
        Category::Unknown | Category::Pending => 3,
        Category::Counted => 2,
        Category::Exposure => 1,
        _ => 0,
    }
}

fn event_lines(canvas: &Canvas<'_, '_>, event: &StoryEvent, width: usize, lines: &mut Vec<Line<'static>>) {
    let time =
        time_of(event).map_or_else(|| "--:--:--".to_owned(), |at_ms| time_of_day(canvas.app.zone(), at_ms, true));
    let about: Vec<&StoryLadder> =
        event.ladders.iter().filter(|ladder| ladder.experiment.is_some() && !ladder.other_iteration).collect();
    let role = if is_kind_mismatch(event.verdict) {
        Role::DroppedKind
    } else if is_unmatched_key(event.verdict) {
        Role::DroppedUnmatched
    } else {
        role_of(event.verdict.category())
    };
    let name = width.saturating_sub(LABEL + 9 + 34).clamp(10, 40);
    let category = event.verdict.category();
    let arm = about.iter().find(|ladder| ladder.verdict == event.verdict).and_then(|ladder| ladder.arm.as_deref());
    let mut spans = vec![
        Span::styled(fixed(&time, LABEL), canvas.style(Role::Muted)),
        Span::styled(fixed(&event.kind, 9), canvas.style(Role::Muted)),
        Span::styled(fixed(&event.key, name), canvas.style(Role::Text)),
        Span::styled(format!(" {} ", category.glyph()), canvas.style(role_of(category))),
        Span::styled(event.verdict.name(), canvas.style(role)),
    ];
    if let Some(arm) = arm {
        spans.push(Span::styled(harmless(&format!(" → {arm}")), canvas.style(Role::Accent)));
    }
    lines.push(spans.into());
    let mut more = |text: String, role: Role| lines.extend(wrapped(&text, width, LABEL + 1, canvas.style(role)));
    if let (Some(arrival), Some(t_ms)) = (event.arrival, event.t)
        && arrival.abs_diff(t_ms) > SAME_TIME_MS
    {
        let arrived = time_of_day(canvas.app.zone(), arrival, true);
        let delay = arrival.saturating_sub(t_ms);
        let relation = if delay > 0 { "later" } else { "before it was made: that clock is ahead" };
        more(format!("arrived {arrived}, {} {relation}", span(delay)), Role::Muted);
    }
    let mut said: Vec<String> = Vec::new();
    for ladder in about {
        let of = ladder.metric.as_ref().or(ladder.experiment.as_ref()).cloned().unwrap_or_default();
        if ladder.verdict != event.verdict {
            let category = ladder.verdict.category();
            let arm = ladder.arm.as_ref().map(|arm| format!(" → {arm}")).unwrap_or_default();
            said.push(format!("{of}: {} {}{arm}", category.glyph(), ladder.verdict.name()));
        }
        if let Some(other) = ladder.other_clock {
            more(
                format!("{of}: by the {} clock {} {}", other.clock, other.verdict.category().glyph(), other.verdict),
                Role::Warning,
            );
        }
    }
    said.dedup();
    for text in wrap(&said.join("; "), width.saturating_sub(LABEL + 1)).into_iter().filter(|text| !text.is_empty()) {
        more(text, Role::Muted);
    }
}
