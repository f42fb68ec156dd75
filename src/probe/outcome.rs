//! What came of all probes, for people and for programs.

use super::{Probe, Standing, Trouble};
use crate::reason::{ReasonCode, Severity};
use crate::report::page::Page;
use crate::report::table::Table;
use crate::report::{Finding, Report};
use crate::untrusted::Untrusted;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Version of the JSON format.
pub const FORMAT_VERSION: u32 = 1;

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Every probe was exposed and counted.
    Complete,
    /// The time was up.
    TimedOut,
    /// The commands had ended, and nothing more came of them.
    CommandsEnded,
    /// The user interrupted it.
    Interrupted,
}

/// What came of all probes. Field names are a contract (`docs/probe.md`).
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Outcome {
    /// Version of this format.
    pub exptap_probe: u32,
    /// Whether every probe was exposed and counted.
    pub complete: bool,
    /// Why following ended.
    pub ended: Ended,
    /// Requests that came, of whatever key.
    pub requests: u64,
    /// The probes.
    pub probes: Vec<ProbeOutcome>,
    /// What all that came shows about their experiments.
    pub findings: Vec<FindingSaid>,
    /// Commands that ended with anything but success: the unit, and how.
    pub commands: Vec<CommandFailed>,
}

/// A command that failed.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct CommandFailed {
    /// The unit it was run for.
    pub unit: String,
    /// How it ended.
    pub how: String,
}

/// What came of a probe.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct ProbeOutcome {
    /// Experiment key.
    pub experiment: String,
    /// Iteration id.
    pub iteration: String,
    /// Flag key.
    pub flag: String,
    /// `kind/key`.
    pub unit: String,
    /// The whole context.
    pub context: Value,
    /// The arm its key falls in; null: not known.
    pub expected_arm: Option<String>,
    /// Whether it was exposed and counted.
    pub complete: bool,
    /// Events that carry one of its contexts.
    pub events: u64,
    /// Whether an evaluation of the flag came.
    pub evaluated: bool,
    /// The arm it was exposed to.
    pub exposed_to: Option<String>,
    /// Its metrics.
    pub metrics: Vec<MetricOutcome>,
    /// What is missing, and why.
    pub missing: Vec<Missing>,
}

/// What came of a metric.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct MetricOutcome {
    /// Metric key.
    pub metric: String,
    /// Event key; null: a click or a page view.
    pub event_key: Option<String>,
    /// Events that match the metric.
    pub received: u64,
    /// Those that count.
    pub counted: u64,
    /// All of them by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
}

/// Something that is missing.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Missing {
    /// `evaluation`, `exposure`, `arm` or `conversion`.
    pub what: &'static str,
    /// The metric.
    pub metric: Option<String>,
    /// The verdict on what came instead; null: nothing came.
    pub code: Option<ReasonCode>,
    /// What is wrong.
    pub text: String,
    /// What to change.
    pub fix: String,
}

/// A finding about one of the experiments.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FindingSaid {
    /// Reason code.
    pub code: ReasonCode,
    /// How much it matters.
    pub severity: Severity,
    /// Experiment.
    pub experiment: Option<String>,
    /// Metric.
    pub metric: Option<String>,
    /// The cause.
    pub summary: String,
    /// What to change.
    pub fix: String,
}

impl From<&Finding> for FindingSaid {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code,
            severity: finding.severity,
            experiment: finding.experiment.clone(),
            metric: finding.metric.clone(),
            summary: finding.summary.clone(),
            fix: finding.fix.clone(),
        }
    }
}

/// Puts together what came of all probes.
pub fn outcome(
    probes: &[Probe],
    standings: &[Standing],
    report: &Report,
    ended: Ended,
    commands: Vec<CommandFailed>,
) -> Outcome {
    let requests = report.totals.requests;
    let probes: Vec<ProbeOutcome> =
        probes.iter().zip(standings).map(|(probe, standing)| of_probe(probe, standing, requests)).collect();
    // What was said of a probe itself need not be said once more of all.
    let is_said = |finding: &Finding| {
        let codes = probes.iter().flat_map(|probe| &probe.missing).filter_map(|missing| missing.code);
        finding.code == ReasonCode::NoMetricEvents || codes.into_iter().any(|code| code == finding.code)
    };
    let is_about = |finding: &&Finding| {
        let of_probes =
            probes.iter().any(|probe| Some(&probe.experiment) == finding.experiment.as_ref() && !probe.complete);
        of_probes && !is_said(finding)
    };
    Outcome {
        exptap_probe: FORMAT_VERSION,
        complete: probes.iter().all(|probe| probe.complete),
        ended,
        requests,
        findings: report.findings.iter().filter(is_about).map(FindingSaid::from).collect(),
        probes,
        commands,
    }
}

fn of_probe(probe: &Probe, standing: &Standing, requests: u64) -> ProbeOutcome {
    let metrics = probe.metrics.iter().zip(&standing.metrics);
    let metrics = metrics.map(|(asked, metric)| MetricOutcome {
        metric: asked.metric.clone(),
        event_key: asked.event_key.clone(),
        received: metric.received,
        counted: metric.counted,
        verdicts: metric.verdicts.clone(),
    });
    let expected_arm = probe.expected_arm.clone().or_else(|| standing.falls_in.clone());
    let mut missing = missing(probe, standing, requests);
    missing.extend(elsewhere(expected_arm.as_deref(), standing));
    ProbeOutcome {
        experiment: probe.experiment.clone(),
        iteration: probe.iteration.clone(),
        flag: probe.flag.clone(),
        unit: probe.unit(),
        context: probe.context_json(),
        expected_arm,
        complete: missing.is_empty(),
        events: standing.events,
        evaluated: standing.is_evaluated,
        exposed_to: standing.exposed_to.clone(),
        metrics: metrics.collect(),
        missing,
    }
}

/// An exposure to another arm than the key falls in: whoever served it has other flags, or another key.
fn elsewhere(expected: Option<&str>, standing: &Standing) -> Option<Missing> {
    let (expected, arm) = (expected?, standing.exposed_to.as_deref()?);
    (expected != arm).then(|| Missing {
        what: "arm",
        metric: None,
        code: Some(ReasonCode::BucketMismatch),
        text: format!("it was exposed to {arm}, and its key falls in {expected}"),
        fix: "See that the SDK has these very flags, and evaluates with the key as it is given.".to_owned(),
    })
}

fn because(what: &'static str, metric: Option<&str>, trouble: &Trouble) -> Missing {
    let near = trouble.near_miss.as_ref().map_or_else(String::new, |near| format!("; {near}"));
    Missing {
        what,
        metric: metric.map(str::to_owned),
        code: Some(trouble.code),
        text: format!("{}{near}", trouble.text),
        fix: trouble.fix.clone(),
    }
}

fn missing(probe: &Probe, standing: &Standing, requests: u64) -> Vec<Missing> {
    let nothing = |what, metric: Option<&str>, text: String, fix: &str| Missing {
        what,
        metric: metric.map(str::to_owned),
        code: None,
        text,
        fix: fix.to_owned(),
    };
    let mut missing = Vec::new();
    if standing.exposed_to.is_none() {
        missing.push(match (&standing.exposure, standing.look_alikes.first()) {
            (Some(trouble), _) => because("exposure", None, trouble),
            (None, Some((unit, how))) => nothing(
                "evaluation",
                None,
                format!("{} did not come, but {unit} did: {how}", probe.unit()),
                "Evaluate and track with the context exactly as it is given.",
            ),
            (None, None) if standing.is_evaluated => nothing(
                "exposure",
                None,
                format!("{} was evaluated, and not in this experiment", probe.flag),
                "See what the flag serves this context, and by which rule.",
            ),
            (None, None) if requests == 0 => nothing(
                "evaluation",
                None,
                "nothing came at all".to_owned(),
                "Set the events URI of the SDK to the address above, and see that its process flushes before it ends.",
            ),
            (None, None) => nothing(
                "evaluation",
                None,
                format!("no evaluation of {} came with this key", probe.flag),
                "Call variation() with the whole context, on an SDK that is initialized; an evaluation outside of an \
                 experiment sends no event of its own.",
            ),
        });
    }
    for (asked, metric) in probe.metrics.iter().zip(&standing.metrics).filter(|(_, metric)| metric.counted == 0) {
        let name = Some(asked.metric.as_str());
        missing.push(match (&metric.trouble, &asked.event_key, standing.sent_instead(asked)) {
            (Some(trouble), ..) => because("conversion", name, trouble),
            (None, Some(key), Some(instead)) => nothing(
                "conversion",
                name,
                format!("no {key} came with this key, but {instead} did, and event keys are compared letter by letter"),
                &format!("Track {key}, or make {instead} the event key of the metric {}.", asked.metric),
            ),
            (None, Some(key), None) => nothing(
                "conversion",
                name,
                format!("no {key} came with this key"),
                &format!(
                    "Call track(\"{key}\") with the context that was evaluated, and flush before the process ends."
                ),
            ),
            (None, None, _) => nothing(
                "conversion",
                name,
                "neither click nor page view came with this key".to_owned(),
                "They are sent by browser SDKs only, where the page's address matches the metric's.",
            ),
        });
    }
    missing
}

fn safe(text: &str) -> String {
    Untrusted::from(text).escaped().to_string()
}

fn words(ended: Ended) -> &'static str {
    match ended {
        Ended::Complete => "",
        Ended::TimedOut => "; the time was up",
        Ended::CommandsEnded => "; the commands had ended, and nothing more came",
        Ended::Interrupted => "; interrupted",
    }
}

impl Outcome {
    /// The outcome as text, wrapped to so many columns if any are given.
    pub fn text(&self, columns: Option<usize>) -> String {
        let mut page = Page::new(columns);
        let mut table = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_table(&mut table);
        for probe in self.probes.iter().filter(|probe| !probe.complete) {
            page.line("", "");
            page.line("", &format!("✗ {}, {}", safe(&probe.unit), safe(&probe.experiment)));
            for missing in &probe.missing {
                let code = missing.code.map_or_else(String::new, |code| format!(" ({})", code.name()));
                let metric = missing.metric.as_ref().map_or_else(String::new, |metric| format!(" of {}", safe(metric)));
                page.line("  ", &format!("no {}{metric}: {}{code}", missing.what, safe(&missing.text)));
                if !missing.fix.is_empty() {
                    page.line("    → ", &safe(&missing.fix));
                }
            }
        }
        if !self.findings.is_empty() {
            page.line("", "");
            page.line("", "What all that came shows about them:");
            for finding in &self.findings {
                page.line("  ", &format!("{}: {}", finding.code.name(), safe(&finding.summary)));
                if !finding.fix.is_empty() {
                    page.line("    → ", &safe(&finding.fix));
                }
            }
        }
        for command in &self.commands {
            page.line("", "");
            page.line("", &format!("The command for {} {}.", safe(&command.unit), safe(&command.how)));
        }
        page.line("", "");
        let complete = self.probes.iter().filter(|probe| probe.complete).count();
        let all = self.probes.len();
        page.line("", &format!("{complete} of {all} exposed and counted{}", words(self.ended)));
        table + &page.into_text()
    }

    fn write_table(&self, out: &mut String) -> fmt::Result {
        let mut table = Table::default();
        table.row(["EXPERIMENT", "UNIT", "EXPOSED TO", "METRIC", "RECEIVED", "COUNTED"].map(str::to_owned));
        for probe in &self.probes {
            let exposed = match (&probe.exposed_to, &probe.expected_arm) {
                (Some(arm), Some(expected)) if arm != expected => {
                    format!("{} (its key: {})", safe(arm), safe(expected))
                }
                (Some(arm), _) => safe(arm),
                (None, _) if probe.evaluated => "evaluated only".to_owned(),
                (None, _) => "-".to_owned(),
            };
            let mut head = [safe(&probe.experiment), safe(&probe.unit), exposed];
            for metric in &probe.metrics {
                let [experiment, unit, exposed] = std::mem::take(&mut head);
                let numbers = [metric.received.to_string(), metric.counted.to_string()];
                let [received, counted] = numbers;
                table.row([experiment, unit, exposed, safe(&metric.metric), received, counted]);
            }
            if probe.metrics.is_empty() {
                let [experiment, unit, exposed] = head;
                table.row([experiment, unit, exposed, "-".to_owned(), String::new(), String::new()]);
            }
        }
        table.write(out, "", 4)
    }
}
