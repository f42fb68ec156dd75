//! The smallest set of changes that brings most conversions back, in the order they are worth making.
//!
//! Each is tried on top of those before it, on the very events of the report, so that what is promised for all of them
//! is what they come to together: two faults of one conversion are not counted twice.

use super::markdown::{code, prose};
use super::table::{grouped, safe};
use crate::reason::{Category, ReasonCode};
use crate::report::{Finding, Report};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// What of the rest is told with its fix; more is counted.
const REST_SHOWN: usize = 8;

/// What changes would bring back, and what they would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fixes {
    /// Whether changes were tried.
    pub tried: bool,
    /// Why not, or why not all of them.
    pub note: Option<String>,
    /// Conversions that count: now, and with all the steps. The sum of `counted` over the report's metrics.
    pub counted: BeforeAfter,
    /// Conversions that do not: now, and with all the steps.
    pub lost: BeforeAfter,
    /// The changes, in the order they are worth making.
    pub steps: Vec<Step>,
    /// What does not count then, the most first.
    pub remains: Vec<Remaining>,
}

/// A figure as it is, and as it would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BeforeAfter {
    /// As it is.
    pub before: u64,
    /// As it would be.
    pub after: u64,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Fields of the catalog, as `what-if --set` takes them.
    pub set: Vec<String>,
    /// Lines of Segment's mapping, as `what-if --map-try` takes them.
    pub map_try: Vec<String>,
    /// The finding that it mends.
    pub code: ReasonCode,
    /// Its experiment.
    pub experiment: Option<String>,
    /// Its metric.
    pub metric: Option<String>,
    /// What to change, with what it came to for the events of that finding.
    pub fix: String,
    /// Conversions that count more than now, were this the only change; null: it was not tried alone.
    pub alone: Option<i64>,
    /// Conversions that count more with it than with the steps before it alone.
    pub gained: i64,
    /// Conversions that count before it and not with it; `gained` is less these already.
    pub loses: u64,
    /// Why those of the finding do not count that still do not.
    pub then: BTreeMap<&'static str, u64>,
}

/// Conversions that no step brings back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remaining {
    /// Why they do not count.
    pub code: ReasonCode,
    /// Experiment.
    pub experiment: Option<String>,
    /// Metric.
    pub metric: Option<String>,
    /// How many.
    pub conversions: u64,
    /// Whether a change was tried for them, and brings nothing.
    pub tried: bool,
    /// What to change.
    pub fix: String,
}

impl Fixes {
    /// Where nothing is tried, for a reason.
    pub fn untried(report: &Report, why: impl Into<String>) -> Self {
        let (counted, lost) = (counted(report), lost(report));
        Self {
            tried: false,
            note: Some(why.into()),
            counted: BeforeAfter { before: counted, after: counted },
            lost: BeforeAfter { before: lost, after: lost },
            steps: Vec::new(),
            remains: remains(report, |_| false),
        }
    }

    /// Where no change of the catalog or of Segment's mapping could mend anything.
    pub fn none_to_try(report: &Report) -> Self {
        Self { tried: true, note: None, ..Self::untried(report, "") }
    }

    /// Whether there is nothing that anybody would have to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.remains.is_empty()
    }
}

/// Conversions of a report that count.
pub fn counted(report: &Report) -> u64 {
    report.experiments.iter().flat_map(|experiment| &experiment.metrics).map(|metric| metric.counted).sum()
}

/// Conversions of a report that do not count.
pub fn lost(report: &Report) -> u64 {
    report.findings.iter().filter(|finding| is_loss(finding)).map(|finding| finding.events).sum()
}

/// Whether a finding's events are conversions that do not count. Findings made of several verdicts tell of the same
/// events as these verdicts, except where no metric takes the event at all.
pub fn is_loss(finding: &Finding) -> bool {
    let is_missed = matches!(
        finding.code,
        ReasonCode::EventKeyCase | ReasonCode::MetricKeyUsed | ReasonCode::MetricNotInExperiment
    );
    let is_verdict = matches!(finding.code.category(), Category::Dropped | Category::Unknown | Category::Pending);
    finding.metric.is_some() && finding.events > 0 && (is_missed || is_verdict)
}

/// What a report says of conversions that do not count, the most first.
pub fn remains(report: &Report, was_tried: impl Fn(&Finding) -> bool) -> Vec<Remaining> {
    let of = |finding: &Finding| Remaining {
        code: finding.code,
        experiment: finding.experiment.clone(),
        metric: finding.metric.clone(),
        conversions: finding.events,
        tried: was_tried(finding),
        fix: finding.fix.clone(),
    };
    let mut remains: Vec<Remaining> = report.findings.iter().filter(|finding| is_loss(finding)).map(of).collect();
    remains.sort_by_key(|it| std::cmp::Reverse(it.conversions));
    remains
}

/// `2 changes bring 128 conversions back: 20 → 148 count, 140 → 12 do not`.
pub fn sentence(fixes: &Fixes) -> String {
    let (counted, lost) = (fixes.counted, fixes.lost);
    if !fixes.tried {
        let note = fixes.note.as_deref().unwrap_or_default();
        return format!("{} of the conversions do not count. Fixes were not tried: {note}.", grouped(lost.before));
    }
    if fixes.steps.is_empty() {
        return format!(
            "No change of the catalog or of Segment's mapping brings a conversion back; {} do not count.",
            grouped(lost.before)
        );
    }
    let (changes, bring) = if fixes.steps.len() == 1 { ("change", "brings") } else { ("changes", "bring") };
    let back = counted.after.saturating_sub(counted.before);
    let conversions = if back == 1 { "conversion" } else { "conversions" };
    format!(
        "{} {changes} {bring} {} {conversions} back: {} → {} count, {} → {} do not.",
        fixes.steps.len(),
        grouped(back),
        grouped(counted.before),
        grouped(counted.after),
        grouped(lost.before),
        grouped(lost.after)
    )
}

/// `+88`, or `-3`.
fn signed(number: i64) -> String {
    format!("{}{}", if number < 0 { "-" } else { "+" }, grouped(number.unsigned_abs()))
}

/// The change itself.
pub fn change(step: &Step) -> String {
    step.set.iter().chain(&step.map_try).cloned().collect::<Vec<_>>().join(", ")
}

/// `alone +88; then 40 event-lacks-unit`.
pub fn figures(step: &Step) -> String {
    let mut parts = Vec::new();
    parts.extend(step.alone.filter(|alone| *alone != step.gained).map(|alone| format!("alone {}", signed(alone))));
    if step.loses > 0 {
        parts.push(format!("{} that counted before do not then", grouped(step.loses)));
    }
    let then: Vec<String> = step.then.iter().map(|(code, events)| format!("{} {code}", grouped(*events))).collect();
    if !then.is_empty() {
        parts.push(format!("then {}", then.join(", ")));
    }
    parts.join("; ")
}

/// Why a rest is one.
pub fn of_rest(rest: &Remaining) -> &'static str {
    if rest.tried { "tried, and not mended by it" } else { "not tried: the change is the application's" }
}

fn about<'a>(experiment: &'a Option<String>, metric: &'a Option<String>) -> impl Iterator<Item = &'a String> {
    [experiment, metric].into_iter().flatten()
}

/// The fixes as text.
///
/// # Errors
/// The output cannot be written to.
pub fn write_text(out: &mut String, fixes: &Fixes) -> fmt::Result {
    if fixes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhere to begin\n  {}", safe(&sentence(fixes)))?;
    for (number, step) in (1..).zip(&fixes.steps) {
        writeln!(out, "  {number}. {}  {}", signed(step.gained), safe(&change(step)))?;
        writeln!(out, "      → {}", safe(&step.fix))?;
        let figures = figures(step);
        if !figures.is_empty() {
            writeln!(out, "      {}", safe(&figures))?;
        }
    }
    if !fixes.tried || fixes.remains.is_empty() {
        return note(out, fixes);
    }
    writeln!(out, "  {}", if fixes.steps.is_empty() { "By what they lose" } else { "What remains" })?;
    for rest in fixes.remains.iter().take(REST_SHOWN) {
        let about: Vec<String> = about(&rest.experiment, &rest.metric).map(|name| safe(name)).collect();
        let (conversions, why) = (grouped(rest.conversions), of_rest(rest));
        writeln!(out, "    {conversions} {}  {}  ({why})", rest.code, about.join(" · "))?;
    }
    super::table::more(out, fixes.remains.len(), REST_SHOWN)?;
    note(out, fixes)
}

fn note(out: &mut String, fixes: &Fixes) -> fmt::Result {
    match &fixes.note {
        Some(note) if fixes.tried => writeln!(out, "  {}.", safe(note)),
        _ => Ok(()),
    }
}

/// The fixes as Markdown.
///
/// # Errors
/// The output cannot be written to.
pub fn write_markdown(out: &mut String, fixes: &Fixes) -> fmt::Result {
    if fixes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Where to begin\n\n{}", prose(&sentence(fixes)))?;
    if !fixes.steps.is_empty() {
        writeln!(out)?;
    }
    for (number, step) in (1..).zip(&fixes.steps) {
        writeln!(out, "{number}. **{}** {}\\", signed(step.gained), code(&change(step)))?;
        writeln!(out, "   {}", prose(&step.fix))?;
        let figures = figures(step);
        if !figures.is_empty() {
            writeln!(out, "   - {}", prose(&figures))?;
        }
    }
    if !fixes.tried || fixes.remains.is_empty() {
        return note_markdown(out, fixes);
    }
    writeln!(out, "\n{}:\n", if fixes.steps.is_empty() { "By what they lose" } else { "What remains" })?;
    for rest in fixes.remains.iter().take(REST_SHOWN) {
        let about: Vec<String> = about(&rest.experiment, &rest.metric).map(|name| code(name)).collect();
        let (conversions, why) = (grouped(rest.conversions), of_rest(rest));
        writeln!(out, "- {conversions} `{}` · {} ({why})", rest.code, about.join(" · "))?;
    }
    if let Some(more) = fixes.remains.len().checked_sub(REST_SHOWN).filter(|more| *more > 0) {
        writeln!(out, "- … and {more} more (`--format json` has them all)")?;
    }
    note_markdown(out, fixes)
}

fn note_markdown(out: &mut String, fixes: &Fixes) -> fmt::Result {
    match &fixes.note {
        Some(note) if fixes.tried => writeln!(out, "\n{}.", prose(note)),
        _ => Ok(()),
    }
}
