//! What is shown, as plain text: for copying, for files, for filters.
//!
//! Everything here may end on a terminal again (a paste, a `cat`), so text from events is made harmless line by
//! line, as on screen.

use super::{App, Item, Pane, Trial, TrialState, View};
use crate::app::store::Store;
use crate::explain::mapping;
use crate::explain::segment::correction_words;
use crate::near_miss::is_placeholder_key;
use crate::query::quoted;
use crate::reason::Role;
use crate::report::{ExperimentReport, Finding};
use crate::untrusted::Untrusted;
use crate::view::{EventRow, Explanation, Ladder, Outcome, SegmentView, SourceRow, UnitNote, UnitRow};
use std::fmt::Write;

/// Text made harmless.
fn display(text: &str) -> String {
    Untrusted::from(text).display().to_string()
}

/// What a trial came to, if it is done.
fn trial_text(trial: &Trial) -> Option<String> {
    match &trial.state {
        TrialState::Done(Some(result)) => {
            Some(format!("{}\n\n{}", display(&result.fix), crate::what_if::text::text(&result.difference)))
        }
        TrialState::Done(None) | TrialState::Running { .. } => None,
    }
}

/// A filter term for exactly this value.
pub(super) fn term(field: &str, value: &str) -> String {
    let plain =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "-_./".contains(character);
    // A bare value is found in any case, so only one that cannot mean another is left bare.
    let bare =
        !value.is_empty() && !value.starts_with('/') && value.chars().all(plain) && matches!(field, "code" | "kind");
    if bare { format!("{field}:{value}") } else { format!("{field}:{}", quoted(value)) }
}

/// The filter for the events of a finding. Where its code is not one that events carry (it was made from several
/// verdicts, or from a summary), what its events share is read from one of them.
pub(super) fn finding_filter(store: &dyn Store, finding: &Finding) -> String {
    use crate::reason::ReasonCode as Code;
    let example = finding.examples.iter().find_map(|event| store.row(*event));
    let code = term("code", finding.code.name());
    let about: Vec<String> = finding
        .experiment
        .iter()
        .map(|experiment| term("exp", experiment))
        .chain(finding.metric.iter().map(|metric| term("metric", metric)))
        .collect();
    let about = about.join(" ");
    let unit = |wanted: &dyn Fn(&str, &str) -> bool| {
        let unit = example.and_then(|row| row.units.iter().find(|(kind, key)| wanted(kind, key)));
        unit.map(|(kind, key)| term("unit", &format!("{kind}/{key}"))).unwrap_or_default()
    };
    let filter = match (finding.code, example) {
        // These events fit no metric, so no experiment or metric finds them.
        (Code::EventKeyCase | Code::MetricKeyUsed | Code::NoMetricForKey, Some(row)) => {
            format!("{} {}", term("code", Code::NoMetricForKey.name()), term("key", &row.key))
        }
        // Of these a metric knows, but no iteration has a verdict.
        (Code::MetricNotInExperiment, Some(row)) => format!("{code} {}", term("key", &row.key)),
        (Code::PlaceholderKey, _) => format!("verdict:about {}", unit(&|_, key| is_placeholder_key(key))),
        (Code::KeyNearMiss, _) => {
            let kind = randomization_unit(store, finding.experiment.as_deref());
            format!("{about} {}", unit(&|other, _| kind == Some(other)))
        }
        (Code::IterationRestarted, _) => format!("{} {about}", term("code", Code::NoExposure.name())),
        (Code::SegmentDeliveryRate, _) => term("code", Code::SegmentRejected.name()),
        // What came of an export has its name.
        (Code::SegmentLoop, Some(row)) => term("key", &row.key),
        // The metric has no events: these are somebody else's.
        (Code::SegmentCustomOnly, Some(row)) if !row.key.is_empty() => term("key", &row.key),
        (Code::SegmentCustomOnly | Code::SdkNoGoals | Code::SdkGoalsBug, _) => {
            finding.sources.first().map(|source| term("source", source)).unwrap_or_default()
        }
        // A summary proves what went wrong with an evaluation that left no event of its own.
        (_, Some(row)) if &*row.kind == "summary" && row.code != finding.code => {
            format!("kind:summary {}", term("source", &row.source))
        }
        (code, _) if code.reason().role == Role::Finding && !about.is_empty() => about,
        (code, _) if code.reason().role == Role::Finding => {
            finding.sources.first().map(|source| term("source", source)).unwrap_or_default()
        }
        // Without a metric it is about evaluations; conversions can carry the same code.
        (_, Some(row)) if finding.metric.is_none() && finding.experiment.is_some() => {
            format!("{code} {about} {}", term("kind", &row.kind))
        }
        _ => format!("{code} {about}"),
    };
    filter.trim().to_owned()
}

/// The context kind an experiment randomizes, in its latest iteration.
fn randomization_unit<'a>(store: &'a dyn Store, experiment: Option<&str>) -> Option<&'a str> {
    let known = store.catalog().experiments.iter().find(|known| Some(known.key.as_str()) == experiment)?;
    known.iterations.last().map(|iteration| iteration.randomization_unit.as_str())
}

/// The filter for the events that fail as an explained one does. Where no iteration is about the event, its key is
/// what they share.
pub(super) fn same_verdict_filter(explanation: &Explanation) -> String {
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

/// A context as its list sees it.
pub(super) fn unit_item(unit: &UnitRow) -> Item {
    let key = format!("{}/{}", unit.kind, unit.key);
    let mut fields = vec![("unit", key.clone()), ("t", unit.last_seen_ms.to_string()), ("note", unit_note(unit))];
    for exposure in &unit.exposed {
        fields.push(("exp", exposure.experiment.clone()));
        fields.extend(exposure.arms.iter().map(|arm| ("arm", arm.clone())));
    }
    for (count, verdict) in [(unit.counted, "counted"), (unit.dropped, "dropped"), (unit.open, "pending")] {
        if count > 0 {
            fields.push(("verdict", verdict.to_owned()));
        }
    }
    Item { key, fields }
}

/// Why a context needs attention, in words.
pub fn unit_note(unit: &UnitRow) -> String {
    match &unit.note {
        UnitNote::NeverExposed { look_alike: Some((other, how)) } => format!("see {other} ({how})"),
        UnitNote::NeverExposed { look_alike: None } => "never exposed".to_owned(),
        UnitNote::Crossover => "crossover".to_owned(),
        UnitNote::Placeholder => "placeholder key".to_owned(),
        UnitNote::None if unit.never_converts() => "exposed, never converts".to_owned(),
        UnitNote::None => String::new(),
    }
}

/// An iteration of an experiment as its list sees it.
pub(super) fn experiment_item(report: &ExperimentReport) -> Item {
    let mut fields = vec![
        ("exp", report.key.clone()),
        ("key", report.flag.clone()),
        ("iteration", report.iteration.clone()),
        ("by", report.randomization_unit.clone()),
    ];
    fields.extend(report.metrics.iter().map(|metric| ("metric", metric.metric.clone())));
    fields.extend(report.arms.iter().map(|arm| ("arm", arm.name.clone())));
    Item { key: format!("{}\0{}", report.key, report.iteration), fields }
}

/// A finding as its list sees it.
pub(super) fn finding_item(finding: &Finding) -> Item {
    let experiment = finding.experiment.clone().unwrap_or_default();
    let metric = finding.metric.clone().unwrap_or_default();
    let key = format!("{}\0{experiment}\0{metric}\0{}", finding.code.name(), finding.summary);
    let mut fields = vec![
        ("code", finding.code.name().to_owned()),
        ("severity", finding.severity.word().to_owned()),
        ("exp", experiment),
        ("metric", metric),
        ("summary", finding.summary.clone()),
        ("fix", finding.fix.clone()),
    ];
    fields.extend(finding.sources.iter().map(|source| ("source", source.clone())));
    fields.extend(finding.last.map(|last| ("t", last.to_string())));
    Item { key, fields }
}

/// A sender as its list sees it.
pub(super) fn source_item(source: &SourceRow) -> Item {
    let environment = source.environment.clone().unwrap_or_default();
    let wrapper = source.wrapper.clone().unwrap_or_default();
    Item {
        key: format!("{}\0{wrapper}\0{environment}", source.sdk),
        fields: vec![
            ("source", source.sdk.clone()),
            ("wrapper", wrapper),
            ("environment", environment),
            ("t", source.last_seen_ms.to_string()),
        ],
    }
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
        View::Trial(trial) => return trial_text(trial),
        View::Unit(unit) => return Some(crate::explain::text::text(&unit.held.story, None)),
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
            Some(display(&format!("{}/{}", unit.kind, unit.key)))
        }
        Pane::Experiments => {
            let report = app.report().experiments.get(selected(Pane::Experiments)?)?;
            Some(display(&report.key))
        }
        Pane::Findings => {
            let finding = app.report().findings.get(selected(Pane::Findings)?)?;
            Some(display(&format!("{} events: {} {}", finding.events, finding.summary, finding.fix)))
        }
        Pane::Sources => {
            let source = app.source_rows().get(selected(Pane::Sources)?)?;
            let name = [&source.sdk, source.environment.as_deref().unwrap_or_default()].join(" ");
            Some(display(name.trim_end()))
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
        View::Trial(trial) => return trial_text(trial).map(|text| ("exptap-what-if.txt".to_owned(), text)),
        View::Unit(unit) => {
            let text = crate::explain::text::text(&unit.held.story, None);
            return Some(("exptap-context.txt".to_owned(), text));
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
    let time = row.listed_ms().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map(|time| time.to_string());
    let time = time.unwrap_or_default();
    let note = row.note.as_deref().unwrap_or_default();
    let line = format!(
        "{time} {} {} {} {} {} {note}",
        row.kind,
        row.key,
        units_text(row),
        row.category().glyph(),
        row.code.name()
    );
    display(line.trim_end())
}

/// Everything known about one event, in UTC, so that it means the same wherever it is pasted.
fn explanation_text(app: &App<'_>, explanation: &Explanation) -> String {
    let mut text = row_line(&explanation.row);
    text.push('\n');
    for (name, value) in &explanation.provenance {
        let _ = writeln!(text, "{name}: {}", display(value));
    }
    if let Some(segment) = &explanation.segment {
        write_segment(&mut text, segment);
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
    let delivered = explanation.segment.as_ref().map(|segment| segment.delivered.as_str());
    if delivered.is_some_and(|delivered| !delivered.is_empty()) {
        let _ = writeln!(text, "As Segment delivers it:");
    }
    for line in delivered.filter(|text| !text.is_empty()).unwrap_or(&explanation.event_text).lines() {
        let _ = writeln!(text, "{}", display(line));
    }
    let _ = writeln!(text, "\ncatalog: {}, clock: {}", app.report().catalog, app.report().clock);
    text
}

/// How an event came through Segment: what was changed, each mapping with its fields, and what LaunchDarkly gets.
fn write_segment(text: &mut String, segment: &SegmentView) {
    text.push_str("\nThrough Segment\n");
    for (name, value) in segment
        .library
        .iter()
        .map(|library| ("library", library))
        .chain(segment.message_id.iter().map(|id| ("message id", id)))
        .chain(segment.people.iter().map(|(name, id)| (*name, id)))
    {
        let _ = writeln!(text, "  {name}: {}", display(value));
    }
    if let Some(correction) = segment.correction {
        let sent = jiff::Timestamp::from_millisecond(correction.sent_ms).map(|sent| sent.to_string());
        let _ = writeln!(text, "  sent as: {}, {}", sent.unwrap_or_default(), correction_words(correction));
    }
    for change in &segment.changes {
        let _ = writeln!(text, "  {}: {}", display(&change.path.join(".")), display(&change.words));
    }
    if let Some(words) = &segment.refused {
        let _ = writeln!(text, "  ✗ {}", display(words));
    }
    for shown in &segment.mappings {
        let (outcome, words) = mapping::verdict(shown);
        let _ = writeln!(text, "\n{} {} {}", display(&mapping::title(shown)), outcome_glyph(outcome), display(&words));
        if !shown.is_own {
            continue;
        }
        for line in mapping::lines(segment, shown) {
            let value = if line.value.is_empty() { String::new() } else { format!(" → {}", display(&line.value)) };
            let remark = line.remark.map_or_else(String::new, |remark| format!("  ({})", display(&remark)));
            let (glyph, label) = (outcome_glyph(line.outcome), display(&line.label));
            let _ = writeln!(text, "  {glyph} {label:<24} {}{value}{remark}", display(&line.source));
        }
        for need in mapping::needs(segment) {
            let _ = writeln!(text, "  ✗ {}", display(&need.sentence()));
        }
        match mapping::sent(shown) {
            Ok(request) => {
                let method = crate::segment::SentRequest::METHOD;
                let _ = writeln!(
                    text,
                    "  LaunchDarkly gets: {method} {} {}",
                    display(&request.url),
                    display(&request.body)
                );
            }
            Err((sign, words)) => {
                let _ = writeln!(text, "  {sign} {}", display(&words));
            }
        }
    }
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
