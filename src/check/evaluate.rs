//! Whether an expectation holds in a report, and what a person needs to know where it does not.

use super::field::{self, Figure};
use super::parse::did_you_mean;
use super::{CheckError, Expectation, Name, Of};
use crate::catalog::Catalog;
use crate::near_miss::nearest;
use crate::reason::{Category, ReasonCode, Severity};
use crate::report::table::grouped;
use crate::report::{ExperimentReport, Finding, MetricReport, Report, words};
use std::cmp::Ordering;

/// Findings, and reasons, named behind an expectation that does not hold.
const NAMED: usize = 3;
/// Names listed where one is unknown.
const NAMES_LISTED: usize = 12;

/// What came of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it holds.
    pub holds: bool,
    /// What is there instead, in one sentence; empty where it holds.
    pub found: String,
    /// What is behind it, a line each; empty where it holds.
    pub because: Vec<String>,
}

impl Outcome {
    fn holds() -> Self {
        Self { holds: true, found: String::new(), because: Vec::new() }
    }

    fn fails(found: String, because: Vec<String>) -> Self {
        Self { holds: false, found, because }
    }
}

/// Holds an expectation against a report and the catalog it was judged by.
///
/// # Errors
/// [`CheckError`] where it names something the report does not have.
pub fn evaluate(expectation: &Expectation, report: &Report, catalog: &Catalog) -> Result<Outcome, CheckError> {
    match expectation {
        Expectation::Finding { none, severity, code } => Ok(finding(report, *none, *severity, *code)),
        Expectation::Figure { of, field, part, comparison, number } => {
            let (figure, because) = figure(of, field, part.as_ref(), report, catalog)?;
            let shown = match part {
                Some(part) => format!("{} {}", field.text, part.text),
                None => field.text.clone(),
            };
            let expected = format!("{} {number}", comparison.sign());
            let (ordering, actual) = match figure {
                Figure::Null(why) => {
                    return Ok(Outcome::fails(format!("expected {shown} {expected}; there is none: {why}"), because()));
                }
                Figure::Count(count) => (compare_count(count, *number), count.to_string()),
                Figure::Measure(value) => (compare_measure(value, *number), value.to_string()),
            };
            Ok(if comparison.holds(ordering) {
                Outcome::holds()
            } else {
                Outcome::fails(format!("expected {shown} {expected}; it is {actual}"), because())
            })
        }
    }
}

fn compare_count(count: u64, number: f64) -> Ordering {
    // Exact, unlike the conversion of a huge count: no count is fractional, so the number's floor decides.
    let floor = number.floor();
    if floor < 0.0 {
        return Ordering::Greater;
    }
    let whole = if floor >= u64::MAX as f64 { u64::MAX } else { floor as u64 };
    count.cmp(&whole).then(if number > floor { Ordering::Less } else { Ordering::Equal })
}

/// Sums agree to one part in 10⁹ whatever the order of the events, so that no finer difference may decide.
fn compare_measure(value: f64, number: f64) -> Ordering {
    let is_equal = (value - number).abs() <= 1e-9 * value.abs().max(number.abs());
    if is_equal { Ordering::Equal } else { value.total_cmp(&number) }
}

fn finding(report: &Report, none: bool, severity: Option<Severity>, code: Option<ReasonCode>) -> Outcome {
    let matching: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| severity.is_none_or(|severity| finding.severity == severity))
        .filter(|finding| code.is_none_or(|code| finding.code == code))
        .collect();
    if none == matching.is_empty() {
        return Outcome::holds();
    }
    if none {
        let found = match matching.len() {
            1 => "there is 1 such finding".to_owned(),
            several => format!("there are {several} such findings"),
        };
        return Outcome::fails(found, named(matching));
    }
    let found = match report.findings.len() {
        0 => "there is no finding at all".to_owned(),
        1 => "there is no such finding; there is 1 other".to_owned(),
        others => format!("there is no such finding; there are {others} others"),
    };
    Outcome::fails(found, Vec::new())
}

/// Findings in a few lines each.
fn named(findings: Vec<&Finding>) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings.iter().take(NAMED) {
        let about: Vec<&str> =
            [&finding.experiment, &finding.metric].into_iter().flatten().map(String::as_str).collect();
        let about = if about.is_empty() { String::new() } else { format!(", {}", about.join(" · ")) };
        lines.push(format!(
            "{} {} ({}{about}): {}",
            finding.severity.word(),
            finding.code,
            events(finding.events),
            finding.summary
        ));
        push_fix(&mut lines, &finding.fix);
    }
    if findings.len() > NAMED {
        lines.push(format!("… and {} more", findings.len() - NAMED));
    }
    lines
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{} events", grouped(count)) }
}

fn push_fix(lines: &mut Vec<String>, fix: &str) {
    if !fix.is_empty() {
        lines.push(format!("  → {fix}"));
    }
}

type Because<'a> = Box<dyn FnOnce() -> Vec<String> + 'a>;

fn figure<'a>(
    of: &Of,
    field: &Name,
    part: Option<&Name>,
    report: &'a Report,
    catalog: &Catalog,
) -> Result<(Figure, Because<'a>), CheckError> {
    let Of::Experiment { experiment, iteration, metric, arm } = of else {
        let figure = field::of_totals(&report.totals, field, part)?;
        return Ok((figure, Box::new(|| totals(report))));
    };
    let experiment = find_experiment(report, catalog, experiment, iteration.as_ref())?;
    let Some(metric) = metric else {
        let figure = field::of_experiment(experiment, field, part)?;
        return Ok((figure, Box::new(move || of_experiment(report, experiment))));
    };
    let metric =
        find(&experiment.metrics, metric, "metric", &format!("the experiment {}", experiment.key), |metric| {
            &metric.metric
        })?;
    let figure = match arm {
        None => field::of_metric(experiment, metric, field, part)?,
        Some(name) => {
            let by_index = || experiment.arms.iter().find(|arm| arm.variation.to_string() == name.text);
            let by_name =
                find(&experiment.arms, name, "arm", &format!("the experiment {}", experiment.key), |arm| &arm.name);
            let arm = by_name.or_else(|error| by_index().ok_or(error))?;
            let figures = arm.metrics.iter().find(|have| have.metric == metric.metric).ok_or_else(|| CheckError {
                column: name.column,
                message: format!("the arm {} has no figures of this metric", arm.name),
            })?;
            field::of_arm(experiment, arm, figures, field, part)?
        }
    };
    Ok((figure, Box::new(move || of_metric(report, experiment, metric))))
}

/// The iteration named; else the running one, else the last that was started, else the last.
fn find_experiment<'a>(
    report: &'a Report,
    catalog: &Catalog,
    experiment: &Name,
    iteration: Option<&Name>,
) -> Result<&'a ExperimentReport, CheckError> {
    let known = if report.catalog == "inferred" {
        "what the traffic suggests (name a catalog with --catalog)"
    } else {
        "the catalog"
    };
    find(&report.experiments, experiment, "experiment", known, |experiment| &experiment.key)?;
    let iterations: Vec<&ExperimentReport> =
        report.experiments.iter().filter(|report| report.key == experiment.text).collect();
    if let Some(wanted) = iteration {
        return find(&iterations, wanted, "iteration", &format!("the experiment {}", experiment.text), |report| {
            &report.iteration
        })
        .copied();
    }
    let in_catalog = catalog.experiments.iter().find(|have| have.key == experiment.text);
    let by_id = |id: &str| iterations.iter().copied().find(|report| report.iteration == id);
    let last = |is_wanted: fn(&crate::catalog::Iteration) -> bool| {
        in_catalog?
            .iterations
            .iter()
            .rev()
            .find(|iteration| is_wanted(iteration))
            .and_then(|iteration| by_id(&iteration.id))
    };
    last(|iteration| iteration.started_at_ms.is_some() && iteration.ended_at_ms.is_none())
        .or_else(|| last(|iteration| iteration.started_at_ms.is_some()))
        .or(iterations.last().copied())
        .ok_or_else(|| unknown(experiment, "experiment", known, Vec::new()))
}

fn find<'a, T>(
    all: &'a [T],
    name: &Name,
    what: &str,
    of: &str,
    named: impl Fn(&T) -> &String,
) -> Result<&'a T, CheckError> {
    all.iter().find(|one| *named(one) == name.text).ok_or_else(|| {
        let mut known: Vec<String> = all.iter().map(|one| named(one).clone()).collect();
        known.dedup();
        unknown(name, what, of, known)
    })
}

fn unknown(name: &Name, what: &str, of: &str, known: Vec<String>) -> CheckError {
    let near = nearest(&name.text, known.iter().map(String::as_str)).map(did_you_mean).unwrap_or_default();
    let listed: Vec<&str> = known.iter().take(NAMES_LISTED).map(String::as_str).collect();
    let more = match known.len().saturating_sub(NAMES_LISTED) {
        0 => String::new(),
        more => format!(" or {more} more"),
    };
    let expected = match listed.as_slice() {
        [] => format!("there is none in {of}"),
        [only] => format!("the only one in {of} is {only}"),
        several => format!("expected one of {}{more}", several.join(", ")),
    };
    CheckError { column: name.column, message: format!("there is no {what} {:?}; {expected}{near}", name.text) }
}

fn totals(report: &Report) -> Vec<String> {
    let verdicts: Vec<String> = report
        .totals
        .verdicts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{} {}", grouped(*count), name.replace('-', " ")))
        .collect();
    let verdicts = if verdicts.is_empty() { "nothing".to_owned() } else { verdicts.join(", ") };
    let mut lines = vec![format!("{}: {verdicts}", events(report.totals.events))];
    lines.extend(named(report.findings.iter().collect()));
    lines
}

fn of_experiment(report: &Report, experiment: &ExperimentReport) -> Vec<String> {
    let arms: Vec<String> = experiment.arms.iter().map(|arm| format!("{} {}", arm.name, grouped(arm.units))).collect();
    let arms = if arms.is_empty() { "none".to_owned() } else { arms.join(", ") };
    let mut lines = vec![format!("{}, units by arm: {arms}", iteration(report, experiment))];
    let counts = words::ranked(&experiment.exposures);
    lines.extend(reasons(report, experiment, None, &counts));
    if lines.len() == 1 && counts.is_empty() {
        lines.push(format!("no evaluation of the flag {} was seen", experiment.flag));
    }
    lines
}

fn of_metric(report: &Report, experiment: &ExperimentReport, metric: &MetricReport) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} received, {} counted",
        iteration(report, experiment),
        grouped(metric.received),
        grouped(metric.counted)
    )];
    lines.extend(reasons(report, experiment, Some(&metric.metric), &words::ranked(&metric.verdicts)));
    // An event key that is nearly right is not received for the metric at all: only its finding tells of it.
    let near: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| finding.metric.as_ref() == Some(&metric.metric))
        .filter(|finding| {
            finding.experiment.is_none()
                || (finding.experiment.as_ref() == Some(&experiment.key) && finding.code == ReasonCode::NoMetricEvents)
        })
        .collect();
    lines.extend(named(near));
    lines
}

/// Which iteration it is, and how to ask for the others.
fn iteration(report: &Report, experiment: &ExperimentReport) -> String {
    let others: Vec<String> = report
        .experiments
        .iter()
        .filter(|other| other.key == experiment.key && other.iteration != experiment.iteration)
        .map(|other| {
            let name = |text: &str| Name { text: text.to_owned(), column: 0 };
            format!("{}@{}", name(&other.key), name(&other.iteration))
        })
        .collect();
    match others.as_slice() {
        [] => format!("iteration {}", experiment.iteration),
        others => format!("iteration {} (there is also {})", experiment.iteration, others.join(", ")),
    }
}

/// The reasons that cost most, with what to change.
fn reasons(
    report: &Report,
    experiment: &ExperimentReport,
    metric: Option<&str>,
    counts: &[(ReasonCode, u64)],
) -> Vec<String> {
    let mut lines = Vec::new();
    let lost: Vec<&(ReasonCode, u64)> = counts
        .iter()
        .filter(|(code, _)| matches!(code.category(), Category::Dropped | Category::Unknown | Category::Pending))
        .collect();
    for (code, count) in lost.iter().take(NAMED) {
        let (text, fix) = words::explained(report, *code, experiment, metric);
        lines.push(format!("{} {code}: {text}", grouped(*count)));
        push_fix(&mut lines, &fix);
    }
    if lost.len() > NAMED {
        lines.push(format!("… and {} reasons more", lost.len() - NAMED));
    }
    lines
}
