//! What is shown, as plain text: for copying, for files, for filters.
//!
//! Everything here may end on a terminal again (a paste, a `cat`), so text from events is made harmless line by
//! line, as on screen.

use super::{App, Pane, View};
use crate::report::{ExperimentReport, Finding};
use crate::untrusted::display;
use crate::view::{EventRow, Explanation, Ladder, Outcome, SourceRow, UnitNote, UnitRow};
use std::fmt::Write;

/// A filter term, quoted where the value needs it.
pub fn term(field: &str, value: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./$@+".contains(character);
    if !value.is_empty() && value.chars().all(plain) {
        return format!("{field}:{value}");
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{field}:\"{escaped}\"")
}

/// The filter for exactly the events of a finding.
pub(super) fn finding_filter(finding: &Finding) -> String {
    let mut terms = vec![term("code", finding.code.name())];
    terms.extend(finding.experiment.iter().map(|experiment| term("exp", experiment)));
    terms.extend(finding.metric.iter().map(|metric| term("metric", metric)));
    terms.join(" ")
}

/// The filter for the events that fail as an explained one does. Where no iteration is about the event, its key is
/// what they share.
pub(super) fn same_failure_filter(explanation: &Explanation) -> String {
    let row = &explanation.row;
    let mut terms = vec![term("code", row.code.name())];
    match explanation.ladders.iter().find(|ladder| ladder.code == row.code) {
        Some(Ladder { experiment: Some(experiment), metric, .. }) => {
            terms.push(term("exp", experiment));
            terms.extend(metric.iter().map(|metric| term("metric", metric)));
        }
        _ if !row.key.is_empty() => terms.push(term("key", &row.key)),
        _ => (),
    }
    terms.join(" ")
}

/// What tells a context from others, and what a filter is matched with.
pub(super) fn unit_line(unit: &UnitRow) -> (String, String) {
    let key = format!("{}/{}", unit.kind, unit.key);
    let mut text = key.clone();
    for exposure in &unit.exposed {
        let _ = write!(text, " {} {}", exposure.experiment, exposure.arms.join(" "));
    }
    let _ = write!(text, " {}", unit_note(unit));
    (key, text)
}

/// Why a context needs attention, in words.
pub fn unit_note(unit: &UnitRow) -> String {
    match &unit.note {
        UnitNote::NeverExposed { look_alike: Some((other, how)) } => format!("see {other} ({how})"),
        UnitNote::NeverExposed { look_alike: None } => "never exposed".to_owned(),
        UnitNote::Crossover => "crossover".to_owned(),
        UnitNote::Placeholder => "placeholder key".to_owned(),
        UnitNote::None => String::new(),
    }
}

/// The same for an iteration of an experiment.
pub(super) fn experiment_line(report: &ExperimentReport) -> (String, String) {
    let metrics: Vec<&str> = report.metrics.iter().map(|metric| metric.metric.as_str()).collect();
    let text =
        format!("{} {} {} {} {}", report.key, report.iteration, report.flag, report.randomization_unit, metrics.join(" "));
    (format!("{}\0{}", report.key, report.iteration), text)
}

/// The same for a finding.
pub(super) fn finding_line(finding: &Finding) -> (String, String) {
    let experiment = finding.experiment.as_deref().unwrap_or_default();
    let metric = finding.metric.as_deref().unwrap_or_default();
    let key = format!("{}\0{experiment}\0{metric}\0{}", finding.code.name(), finding.summary);
    let text = format!(
        "{} {} {experiment} {metric} {} {} {}",
        finding.code.name(),
        finding.severity.word(),
        finding.summary,
        finding.fix,
        finding.sources.join(" ")
    );
    (key, text)
}

/// The same for a sender.
pub(super) fn source_line(source: &SourceRow) -> (String, String) {
    let environment = source.environment.as_deref().unwrap_or_default();
    let wrapper = source.wrapper.as_deref().unwrap_or_default();
    (format!("{}\0{wrapper}\0{environment}", source.sdk), format!("{} {wrapper} {environment}", source.sdk))
}

/// The names of an event's contexts: `user/u-1 device/d-9`.
pub fn units_text(row: &EventRow) -> String {
    let mut text = String::new();
    for (kind, key) in &row.units {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(kind);
        text.push('/');
        text.push_str(key);
    }
    text
}

/// What `copy` copies: what is selected, or what is open.
pub(super) fn copied(app: &App<'_>) -> Option<String> {
    match app.view() {
        View::Why(why) => return Some(explanation_text(app, &why.explanation)),
        View::Experiment(_) => return Some(report_json(app)),
        View::Panes => (),
    }
    let selected = |pane| app.listing(pane).and_then(super::Listing::selected_index);
    match app.focus() {
        Pane::Live => {
            let row = app.live().selected().and_then(|event| app.live().rows(app.store()).row(event))?;
            Some(row_line(row))
        }
        Pane::Contexts => {
            let unit = app.unit_rows().get(selected(Pane::Contexts)?)?;
            Some(display(&format!("{}/{}", unit.kind, unit.key)).into_owned())
        }
        Pane::Experiments => {
            let report = app.report().experiments.get(selected(Pane::Experiments)?)?;
            Some(display(&report.key).into_owned())
        }
        Pane::Findings => {
            let finding = app.report().findings.get(selected(Pane::Findings)?)?;
            Some(display(&format!("{} events: {} {}", finding.events, finding.summary, finding.fix)).into_owned())
        }
        Pane::Sources => {
            let source = app.source_rows().get(selected(Pane::Sources)?)?;
            Some(display(&source_line(source).1).into_owned())
        }
    }
}

/// What `write` writes: the name to suggest for the file, and the text.
pub(super) fn written(app: &App<'_>) -> Option<(String, String)> {
    let explain = |explanation: &Explanation| {
        (format!("exptap-event-{}.txt", explanation.row.event), explanation_text(app, explanation))
    };
    match app.view() {
        View::Why(why) => return Some(explain(&why.explanation)),
        View::Panes if app.focus() == Pane::Live => {
            return app.live().selected().and_then(|event| app.store().explain(event)).map(|found| explain(&found));
        }
        View::Panes | View::Experiment(_) => (),
    }
    Some(("exptap-report.json".to_owned(), report_json(app)))
}

fn report_json(app: &App<'_>) -> String {
    serde_json::to_string_pretty(app.report()).unwrap_or_default()
}

/// One event on one line.
fn row_line(row: &EventRow) -> String {
    let time = jiff::Timestamp::from_millisecond(row.arrival_ms).map(|time| time.to_string()).unwrap_or_default();
    let note = row.note.as_deref().unwrap_or_default();
    let line = format!(
        "{time} {} {} {} {} {} {note}",
        row.kind,
        row.key,
        units_text(row),
        row.category().glyph(),
        row.code.name()
    );
    display(line.trim_end()).into_owned()
}

/// Everything known about one event, in UTC, so that it means the same wherever it is pasted.
fn explanation_text(app: &App<'_>, explanation: &Explanation) -> String {
    let mut text = row_line(&explanation.row);
    text.push('\n');
    for (name, value) in &explanation.provenance {
        let _ = writeln!(text, "{name}: {}", display(value));
    }
    for ladder in &explanation.ladders {
        let _ = writeln!(text, "\n{}", display(&ladder_title(ladder)));
        for rung in &ladder.rungs {
            let _ = writeln!(
                text,
                "  {} {:<4} {}  [{}]",
                outcome_glyph(rung.outcome),
                rung.rule,
                display(&rung.text),
                rung.grade.mark()
            );
        }
        if !ladder.fix.is_empty() {
            let _ = writeln!(text, "  What to change: {}", display(&ladder.fix));
        }
        if let Some(near_miss) = &ladder.near_miss {
            let _ = writeln!(text, "  Near miss: {}", display(near_miss));
        }
    }
    for also in &explanation.also {
        let _ = writeln!(text, "Also: {}", display(also));
    }
    text.push('\n');
    for line in explanation.event_text.lines() {
        let _ = writeln!(text, "{}", display(line));
    }
    let _ = writeln!(text, "\ncatalog: {}, clock: {}", app.report().catalog, app.report().clock);
    text
}

/// The heading of a ladder: `checkout-cta-test · checkout-conversion · iteration 2   dropped: event-lacks-unit`.
pub fn ladder_title(ladder: &Ladder) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(ladder.experiment.clone());
    parts.extend(ladder.metric.clone());
    parts.extend(ladder.iteration.as_ref().map(|iteration| format!("iteration {iteration}")));
    if parts.is_empty() {
        parts.push("no experiment is about this event".to_owned());
    }
    format!("{}: {}", parts.join(" · "), verdict_words(ladder))
}

/// A ladder's verdict in words.
pub fn verdict_words(ladder: &Ladder) -> String {
    let mut words = format!("{} {}", ladder.code.category().glyph(), ladder.code.name());
    if let Some(arm) = &ladder.arm {
        let _ = write!(words, " → {arm}");
    }
    words
}

/// The glyph of a rung. All four differ, so that they can be told apart without colour.
pub fn outcome_glyph(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "✓",
        Outcome::Failed => "✗",
        Outcome::WouldFail => "!",
        Outcome::NotJudged => "·",
    }
}
