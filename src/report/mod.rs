//! The report: everything a session or a file came to, in one plain value.
//!
//! It is what `exptap report --format json` prints, what the tables and the Experiments and Findings panes show.
//! Field names and meanings are a contract with other tools (`docs/report.md`).

pub mod build;
pub mod fixes;
pub mod markdown;
pub(crate) mod page;
pub mod table;
pub mod words;

use crate::reason::{ReasonCode, Severity};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole report. All times are epoch milliseconds.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Report {
    /// Version of this format.
    pub exptap_report: u32,
    /// The clock that judged: `creation` or `received`.
    pub clock: &'static str,
    /// Since when everything was observed; null: the history is complete.
    pub observed_from: Option<i64>,
    /// Where the catalog came from: `file`, `recording` or `inferred`.
    pub catalog: &'static str,
    /// Counts over everything received.
    pub totals: Totals,
    /// One entry per experiment and iteration, in catalog order.
    pub experiments: Vec<ExperimentReport>,
    /// Custom events no metric uses, by events descending, then key.
    pub unmatched_event_keys: Vec<UnmatchedKey>,
    /// Explained faults, those that cost most first.
    pub findings: Vec<Finding>,
    /// The smallest set of changes that brings most conversions back; none where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<fixes::Fixes>,
}

/// Counts over everything received.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Totals {
    /// Requests; 0 for plain events.
    pub requests: u64,
    /// Events: the sum of `by_kind` and `undecodable`.
    pub events: u64,
    /// What could not be read as an event.
    pub undecodable: u64,
    /// Payloads that were received before.
    pub duplicate_payloads: u64,
    /// Events known to be lost.
    pub lost: u64,
    /// Readable events by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// Every event once, by its best verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
}

/// One iteration of one experiment.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct ExperimentReport {
    /// Experiment key.
    pub key: String,
    /// Iteration id.
    pub iteration: String,
    /// Flag key.
    pub flag: String,
    /// Context kind that is randomized.
    pub randomization_unit: String,
    /// Whether the whole history of the iteration was seen.
    pub complete: bool,
    /// The arms, by variation.
    pub arms: Vec<ArmReport>,
    /// Whether the arms are filled as allocated; null where no allocation is known.
    pub sample_ratio: Option<SampleRatio>,
    /// Evaluations of the flag, by outcome.
    pub exposures: BTreeMap<&'static str, u64>,
    /// The iteration's metrics, in catalog order.
    pub metrics: Vec<MetricReport>,
    /// Its funnels.
    pub funnels: Vec<FunnelReport>,
}

/// One arm.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct ArmReport {
    /// Index among the flag's variations.
    pub variation: i64,
    /// Name.
    pub name: String,
    /// Distinct units by first exposure in the iteration.
    pub units: u64,
    /// Those of them that later saw another arm.
    pub crossover_units: u64,
    /// Per metric, in catalog order.
    pub metrics: Vec<ArmMetric>,
}

/// One metric in one arm.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct ArmMetric {
    /// Metric key.
    pub metric: String,
    /// Units with at least one conversion credited to this arm.
    pub converting_units: u64,
    /// Those of them whose own arm is another.
    pub cross_arm_units: u64,
    /// Conversions credited to this arm.
    pub conversions: u64,
    /// Sum of their values (value metrics), or their number.
    pub sum: f64,
    /// Mean over units; count and value metrics with complete history only.
    pub mean: Option<f64>,
    /// Converting own-arm units over units; occurrence metrics with complete history only.
    pub rate: Option<f64>,
    /// 95 % interval: Wilson for a rate, Student's t over units for a mean.
    pub interval: Option<[f64; 2]>,
    /// Percentile metrics: the raw percentile of the credited values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
}

/// How the arms are filled against their allocation.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SampleRatio {
    /// Pearson's chi-square; null below 100 units or 5 expected in an arm.
    pub chi_square: Option<f64>,
    /// Its p-value.
    pub p: Option<f64>,
    /// Anytime-valid Bayes factor against the allocation.
    pub bayes_factor: Option<f64>,
    /// `ok`, `note` (above 20), `alert` (above 1000), `too-few` or `off`.
    pub verdict: &'static str,
}

/// One metric of an iteration, over all arms.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct MetricReport {
    /// Metric key.
    pub metric: String,
    /// Events that match the metric, duplicates left out.
    pub received: u64,
    /// Verdicts `counted` and `counted-no-effect`.
    pub counted: u64,
    /// By verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
}

/// A funnel group of an iteration. Arms are in the order of [`ExperimentReport::arms`].
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FunnelReport {
    /// Metric group key.
    pub group: String,
    /// Each step as its own occurrence metric.
    pub steps: Vec<FunnelStep>,
    /// Per step, per arm: units that did all steps up to it in order (this tool's reading).
    pub ordered: Vec<Vec<u64>>,
}

/// One step of a funnel.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FunnelStep {
    /// Metric key.
    pub metric: String,
    /// Converting units per arm.
    pub arms: Vec<u64>,
}

/// An event key no metric uses.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct UnmatchedKey {
    /// The event key.
    pub key: String,
    /// How often it came.
    pub events: u64,
    /// The metric it was probably meant for.
    pub nearest: Option<NearMiss>,
}

/// The metric an unmatched key was probably meant for.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct NearMiss {
    /// Metric key.
    pub metric: String,
    /// Its event key.
    pub event_key: String,
    /// What differs: `case`, `space`, `separator`, `metric-key` or `edit-distance`.
    pub how: &'static str,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Decided by the events themselves.
    Decided,
    /// Probably so.
    Likely,
    /// Worth asking.
    Ask,
}

/// Verdicts grouped into one explained fault.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Finding {
    /// Reason code.
    pub code: ReasonCode,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// Experiment it is about.
    pub experiment: Option<String>,
    /// Metric it is about.
    pub metric: Option<String>,
    /// Events concerned.
    pub events: u64,
    /// Distinct units concerned.
    pub units: u64,
    /// First instant, on the judging clock.
    pub first: Option<i64>,
    /// Last instant.
    pub last: Option<i64>,
    /// SDKs it comes from.
    pub sources: Vec<String>,
    /// The cause, in one sentence.
    pub summary: String,
    /// What to change.
    pub fix: String,
    /// What would fail next once it is fixed.
    pub then: Vec<ReasonCode>,
    /// Numbers of some of the events, at most five.
    pub examples: Vec<u64>,
}
