//! A story as text.

use super::ladder::{instant, seconds, span};
use super::story::{Change, Identity, Standing, Story, StoryEvent, StoryLadder, StorySegment};
use crate::reason::{Category, ReasonCode};
use crate::report::page::Page;
use crate::report::table::grouped;
use crate::report::words;
use crate::untrusted::Untrusted;
use crate::view::Outcome;
use std::fmt::{self, Write};

/// From so many events in a row that came out alike, only the first is told rule by rule.
const ALIKE: usize = 3;
/// Event numbers named of such a row.
const NUMBERS_NAMED: usize = 5;

fn safe(text: &str) -> String {
    Untrusted::from(text).escaped().to_string()
}

/// The story as text, wrapped to so many columns if any are given.
pub fn text(story: &Story, columns: Option<usize>) -> String {
    let mut page = Page::new(columns);
    // Writing to a string cannot fail.
    let _ = write_story(&mut page, story);
    page.into_text()
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{} events", grouped(count)) }
}

fn write_story(page: &mut Page, story: &Story) -> fmt::Result {
    let span = match (story.first, story.last) {
        (Some(first), Some(last)) if first != last => format!(", {} to {} UTC", seconds(first), seconds(last)),
        (Some(first), _) => format!(", {} UTC", seconds(first)),
        _ => String::new(),
    };
    page.line(
        "",
        &format!("{}: {}{span}, by the {} clock", safe(&story.unit), events(story.events_of_unit), story.clock),
    );
    if story.catalog == "inferred" {
        page.line("", "No catalog was given: experiments, metrics and units are inferred from the events. Name one with --catalog.");
    }
    if let Some(from) = story.observed_from {
        page.line("", &format!("Observed from {} UTC; exposures before that are not known.", seconds(from)));
    }
    write_identity(page, &story.identity);
    let shown = story.events.len() as u64;
    if shown < story.events_of_unit {
        page.line("", "");
        page.line("", &format!("{} of {} pass the filter.", grouped(shown), events(story.events_of_unit)));
    }
    let mut rest = story.events.as_slice();
    while let Some(first) = rest.first() {
        let told = alike(rest);
        write_event(page, first)?;
        let (row, after) = rest.split_at(told);
        if told > 1 {
            write_alike(page, row.get(1..).unwrap_or_default())?;
        }
        rest = after;
    }
    write_outcome(page, story)
}

/// What a unit is, in lines of so many columns.
pub fn identity(story: &Story, columns: Option<usize>) -> String {
    let mut page = Page::new(columns);
    write_identity(&mut page, &story.identity);
    page.into_text()
}

/// What the events of a unit come to and what to change, in lines of so many columns.
pub fn outcome(story: &Story, columns: Option<usize>) -> String {
    let mut page = Page::new(columns);
    // Writing to a string cannot fail.
    let _ = write_outcome(&mut page, story);
    page.into_text()
}

/// How many events, from the first on, are told as one: those that came out alike, if there are enough of them.
pub fn alike(events: &[StoryEvent]) -> usize {
    let Some(first) = events.first() else { return 0 };
    let alike = events.iter().take_while(|event| is_alike(first, event)).count();
    if alike >= ALIKE { alike } else { 1 }
}

fn write_outcome(page: &mut Page, story: &Story) -> fmt::Result {
    page.line("", "");
    page.line("", "What it comes to");
    if story.experiments.is_empty() {
        page.line("  ", "Nothing: no experiment asks about any of these events.");
    }
    story.experiments.iter().try_for_each(|standing| write_standing(page, story, standing))?;
    write_changes(page, &story.changes);
    page.line("", "");
    page.line("", "This is what exptap saw and how it reads the published rules; it is not LaunchDarkly's result.");
    Ok(())
}

fn write_identity(page: &mut Page, identity: &Identity) {
    let Identity { is_placeholder, seen_with, seen_with_more, other_kinds, look_alikes, never_sent } = identity;
    if *is_placeholder {
        page.line("  ", "This key looks like a placeholder: everybody without a real key lands on this one unit.");
    }
    if !seen_with.is_empty() {
        let units: Vec<String> =
            seen_with.iter().map(|seen| format!("{} ({})", safe(&seen.unit), events(seen.events))).collect();
        let more = if *seen_with_more > 0 { format!(" and {} more", grouped(*seen_with_more)) } else { String::new() };
        page.line("  in one context with  ", &format!("{}{more}", units.join(", ")));
    }
    for seen in other_kinds {
        page.line(
            "  not the same unit    ",
            &format!("{} ({}): the same key of another kind", safe(&seen.unit), events(seen.events)),
        );
    }
    for look_alike in look_alikes {
        page.line(
            "  not the same unit    ",
            &format!(
                "{} ({}): differs by {}",
                safe(&look_alike.unit),
                events(look_alike.events),
                look_alike.differs_by
            ),
        );
    }
    for never in never_sent {
        let has = if never.events == 1 { "has" } else { "have" };
        page.line(
            "  never sent           ",
            &format!(
                "{} of Segment's {has} this key as {}, and LaunchDarkly gets nothing of it",
                events(never.events),
                never.member
            ),
        );
    }
}

/// Whether two events came out alike.
fn is_alike(one: &StoryEvent, other: &StoryEvent) -> bool {
    let verdicts = |event: &StoryEvent| {
        let of = |ladder: &StoryLadder| {
            (
                ladder.experiment.clone(),
                ladder.iteration.clone(),
                ladder.metric.clone(),
                ladder.verdict,
                ladder.arm.clone(),
                ladder.other_clock,
            )
        };
        event.ladders.iter().map(of).collect::<Vec<_>>()
    };
    (&one.kind, &one.key, &one.units, &one.warnings) == (&other.kind, &other.key, &other.units, &other.warnings)
        && verdicts(one) == verdicts(other)
}

fn write_alike(page: &mut Page, alike: &[StoryEvent]) -> fmt::Result {
    let mut numbers: Vec<String> = alike.iter().take(NUMBERS_NAMED).map(|event| format!("#{}", event.event)).collect();
    if alike.len() > NUMBERS_NAMED {
        numbers.push("…".to_owned());
    }
    let until = alike
        .last()
        .and_then(|event| event.t.or(event.arrival))
        .map_or_else(String::new, |t_ms| format!(", the last at {}", instant(t_ms)));
    page.line("  ", &format!("… {} more like it{until}: {}", grouped(alike.len() as u64), numbers.join(", ")));
    Ok(())
}

fn write_event(page: &mut Page, event: &StoryEvent) -> fmt::Result {
    let mut title = String::new();
    match event.t.or(event.arrival) {
        Some(t_ms) => write!(title, "{}", instant(t_ms))?,
        None => title.push_str("at an unknown time"),
    }
    write!(title, "  #{}  {} {}", event.event, safe(&event.kind), safe(&event.key))?;
    let is_about = event.ladders.iter().any(|ladder| ladder.experiment.is_some());
    write!(title, "  {} {}", event.verdict.category().glyph(), event.verdict)?;
    page.line("", "");
    page.line("", &title);
    let mut came = Vec::new();
    if let (Some(arrival), Some(t)) = (event.arrival, event.t) {
        let delay = arrival.saturating_sub(t);
        match delay {
            0 => {}
            _ if delay > 0 => came.push(format!("arrived {} later", span(delay))),
            _ => came.push(format!("arrived {} before it was made: that clock is ahead", span(delay))),
        }
    }
    if let Some(request) = event.request {
        came.push(format!("request {request} from {}", safe(&event.source)));
    }
    if event.units.len() > 1 {
        came.push(format!("of {}", event.units.iter().map(|unit| safe(unit)).collect::<Vec<_>>().join(", ")));
    }
    if !came.is_empty() {
        page.line("  ", &came.join("; "));
    }
    if let Some(segment) = &event.segment {
        write_segment(page, segment);
    }
    for ladder in &event.ladders {
        if is_about || ladder.rules.iter().any(|rule| rule.outcome != "passed") {
            write_ladder(page, ladder)?;
        } else {
            ladder.rules.iter().for_each(|rule| page.line("  ", &safe(&rule.text)));
        }
    }
    for warning in &event.warnings {
        page.line("  ! ", &format!("{warning}: {}", warning.reason().text));
    }
    Ok(())
}

/// More of a value than this is not told: the whole event can stand in one.
const VALUE_COLUMNS: usize = 60;

/// The way of an event through Segment: whose event it is there, and what the mapping takes from it.
fn write_segment(page: &mut Page, segment: &StorySegment) {
    let ids =
        [("messageId", &segment.message_id), ("userId", &segment.user_id), ("anonymousId", &segment.anonymous_id)];
    let mut parts: Vec<String> = segment.library.iter().map(|library| safe(library)).collect();
    parts.extend(ids.into_iter().filter_map(|(name, id)| Some(format!("{name} {}", safe(id.as_deref()?)))));
    if let (Some(mapping), Some(action)) = (segment.mapping, segment.action) {
        parts.push(format!("{action}, mapping {mapping}"));
    }
    page.line("  through Segment  ", &parts.join("; "));
    let columns = segment.told.iter().map(|line| Untrusted::from(line.label.as_str()).columns()).max().unwrap_or(0);
    for line in &segment.told {
        // What is not mapped is missed only where something is missing, which is told below.
        if line.outcome == Outcome::NotJudged && line.value.is_empty() {
            continue;
        }
        let sign = outcome_sign(line.outcome);
        let label = safe(&line.label);
        let pad = columns.saturating_sub(Untrusted::from(line.label.as_str()).columns());
        let value = Untrusted::from(line.value.as_str()).clip(VALUE_COLUMNS).text;
        let remark = line.remark.as_ref().map_or_else(String::new, |remark| format!(": {}", safe(remark)));
        let head = format!("    {sign} {label}{}  ", " ".repeat(pad));
        let arrow = if value.is_empty() { "" } else { " → " };
        page.line(&head, &format!("{}{arrow}{value}{remark}", safe(&line.source)));
    }
    for need in &segment.needs {
        page.line("    ✗ ", &safe(need));
    }
}

fn outcome_sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "✓",
        Outcome::Failed | Outcome::WouldFail => "✗",
        Outcome::NotJudged => "·",
    }
}

fn write_ladder(page: &mut Page, ladder: &StoryLadder) -> fmt::Result {
    let mut title = String::new();
    let subject: Vec<String> = [
        ladder.experiment.as_ref().map(|experiment| safe(experiment)),
        ladder.iteration.as_ref().map(|iteration| format!("iteration {}", safe(iteration))),
        ladder.metric.as_ref().map(|metric| safe(metric)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !subject.is_empty() {
        write!(title, "{}: ", subject.join(" · "))?;
    }
    write!(title, "{} {}", ladder.verdict.category().glyph(), ladder.verdict)?;
    if let Some(arm) = &ladder.arm {
        write!(title, " → {}", safe(arm))?;
    }
    if ladder.other_iteration {
        title.push_str(" (another iteration was running)");
    }
    page.line("  ", &title);
    if let Some(other) = ladder.other_clock {
        page.line(
            "    ! ",
            &format!(
                "by the {} clock it is {}: {}",
                other.clock,
                other.verdict,
                ReasonCode::ClockDependent.reason().text
            ),
        );
    }
    if ladder.other_iteration {
        return Ok(());
    }
    for rule in &ladder.rules {
        let (sign, before) = match rule.outcome {
            "passed" => ("✓", ""),
            "failed" => ("✗", ""),
            "would-fail" => ("✗", "would fail next: "),
            _ => ("·", "not judged: "),
        };
        page.line(&format!("    {sign} {:<7} {:<6} ", rule.rule, rule.grade), &format!("{before}{}", safe(&rule.text)));
    }
    if let Some(near) = &ladder.near_miss {
        page.line("    near miss        ", &safe(near));
    }
    Ok(())
}

fn write_standing(page: &mut Page, story: &Story, standing: &Standing) -> fmt::Result {
    let mut line = format!("{} · iteration {}: ", safe(&standing.experiment), safe(&standing.iteration));
    match (&standing.arm, standing.is_randomized) {
        (_, false) => write!(
            line,
            "randomizes by {}, so {} itself is in no arm; its events count by the {} key they carry, if any",
            safe(&standing.randomization_unit),
            safe(&story.unit),
            safe(&standing.randomization_unit)
        )?,
        (Some(arm), true) => {
            let since = standing.first_exposure.map_or_else(String::new, |t_ms| format!(" since {}", instant(t_ms)));
            write!(line, "in {}{since}, exposed {}", safe(arm), times(standing.exposures))?;
        }
        (None, true) if standing.bucket.as_ref().is_some_and(|bucket| bucket.excluded) => {
            line.push_str("never exposed, and cannot have been, observed or not")
        }
        (None, true) if !standing.complete => {
            line.push_str("no exposure seen; there may have been one before observation began")
        }
        (None, true) => line.push_str("never exposed"),
    }
    page.line("  ", &line);
    if let Some(bucket) = &standing.bucket {
        let against = if bucket.agrees == Some(false) { ": not what it was exposed to (bucket-mismatch)" } else { "" };
        page.line("    ", &format!("{}{against}", safe(&bucket.proof)));
    }
    for other in &standing.other_arms {
        page.line("    ", &format!("also saw {} ({}): a crossover", safe(&other.arm), times(other.exposures)));
    }
    let lost: Vec<String> = words::ranked(&standing.evaluations)
        .into_iter()
        .filter(|(code, _)| code.category() != Category::Exposure)
        .map(|(code, count)| format!("{} {code}", grouped(count)))
        .collect();
    if !lost.is_empty() {
        page.line("    ", &format!("evaluations that expose nobody: {}", lost.join(", ")));
    }
    for metric in &standing.metrics {
        let credited: Vec<String> = metric
            .credited
            .iter()
            .map(|credited| {
                let conversions = if credited.conversions == 1 { "conversion" } else { "conversions" };
                format!("{} {conversions} credited to {}", grouped(credited.conversions), safe(&credited.arm))
            })
            .collect();
        let mut parts =
            if credited.is_empty() && standing.is_randomized { vec!["nothing credited".to_owned()] } else { credited };
        parts.extend(
            words::ranked(&metric.verdicts)
                .into_iter()
                .filter(|(code, _)| !standing.is_randomized || code.category() != Category::Counted)
                .map(|(code, count)| format!("{} {code}", grouped(count))),
        );
        page.line("    ", &format!("{}: {}", safe(&metric.metric), parts.join(", ")));
    }
    Ok(())
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{} times", grouped(count)) }
}

fn write_changes(page: &mut Page, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    page.line("", "");
    page.line("", "What to change");
    for change in changes {
        page.line("  → ", &format!("{} ({} × {})", safe(&change.fix), grouped(change.events), change.code));
        if let Some(near) = &change.near_miss {
            page.line("    ", &safe(near));
        }
    }
}
