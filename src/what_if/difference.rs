//! What is different between two judgements of the same events; its JSON is a contract (`docs/what-if.md`).

use crate::reason::{Category, ReasonCode};
use crate::report::fixes::Fixes;
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the format.
pub const FORMAT_VERSION: u32 = 1;

/// Something before the change and after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// Before.
    pub before: T,
    /// After.
    pub after: T,
}

impl<T: PartialEq> Pair<T> {
    /// Whether it is another one.
    pub fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

/// What a change comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Version of this format.
    pub exptap_what_if: u32,
    /// What is different, one line for each part of the change.
    pub changes: Vec<String>,
    /// Where the catalog came from.
    pub catalog: Pair<&'static str>,
    /// The clock that judged.
    pub clock: Pair<&'static str>,
    /// The events.
    pub events: EventsCompared,
    /// Every event once, by its best verdict.
    pub verdicts: Pair<BTreeMap<&'static str, u64>>,
    /// One entry per experiment and iteration, whether anything changes in it or not.
    pub experiments: Vec<ExperimentDifference>,
    /// Changes of events that no experiment is about, before and after.
    pub elsewhere: Vec<Transition>,
    /// Findings that are told of another number of events.
    pub findings: Vec<FindingDifference>,
    /// Where the change is the smallest set of fixes that brings most conversions back: what each of them comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<Fixes>,
}

/// How the events compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventsCompared {
    /// Events received: the same on both sides.
    pub received: u64,
    /// Those of them with any verdict that is another one.
    pub changed: u64,
    /// Events that only the mapping before makes.
    pub only_before: u64,
    /// Events that only the mapping after makes.
    pub only_after: u64,
}

/// One iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExperimentDifference {
    /// Experiment key.
    pub key: String,
    /// Iteration id.
    pub iteration: String,
    /// Context kind that is randomized; null: this side does not have the iteration.
    pub randomization_unit: Pair<Option<String>>,
    /// The units exposed.
    pub units: UnitsDifference,
    /// The arms, by variation.
    pub arms: Vec<ArmDifference>,
    /// Evaluations whose verdict is another one.
    pub exposures: Vec<Transition>,
    /// The metrics.
    pub metrics: Vec<MetricDifference>,
}

/// The units of an iteration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UnitsDifference {
    /// Exposed units.
    pub exposed: Pair<u64>,
    /// Exposed after, and not before.
    pub gained: u64,
    /// Exposed before, and not after.
    pub lost: u64,
    /// Exposed before and after, and in another arm.
    pub moved: u64,
    /// Some of those: kind and key, and the variation of its arm.
    pub examples: Vec<UnitMoved>,
}

/// A unit in another arm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UnitMoved {
    /// `kind/key`.
    pub unit: String,
    /// Variation before; null: not exposed.
    pub before: Option<i64>,
    /// Variation after.
    pub after: Option<i64>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmDifference {
    /// Index among the flag's variations.
    pub variation: i64,
    /// Name.
    pub name: String,
    /// Distinct units by first exposure.
    pub units: Pair<u64>,
    /// Its metrics.
    pub metrics: Vec<ArmMetricDifference>,
}

/// One metric in one arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmMetricDifference {
    /// Metric key.
    pub metric: String,
    /// Units with at least one conversion credited to this arm.
    pub converting_units: Pair<u64>,
    /// Conversions credited to this arm.
    pub conversions: Pair<u64>,
    /// Sum of their values, or their number.
    pub sum: Pair<f64>,
}

/// One metric, over all arms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricDifference {
    /// Metric key.
    pub metric: String,
    /// Events that match it.
    pub received: Pair<u64>,
    /// Those that count.
    pub counted: Pair<u64>,
    /// Verdicts that are the same on both sides.
    pub unchanged: u64,
    /// Verdicts that are not, the most frequent first.
    pub verdicts: Vec<Transition>,
}

/// Verdicts that are another one, or credit somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// Verdict before; null: there was no event, or it was not about this.
    pub before: Option<ReasonCode>,
    /// Verdict after.
    pub after: Option<ReasonCode>,
    /// Where the verdict is the same: the variations credited, if they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variations: Option<[Option<i64>; 2]>,
    /// Where the verdict is the same: whether it credits another unit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub another_unit: bool,
    /// How many.
    pub events: u64,
    /// Those of them of which it is no news that this iteration was not running then: another one takes the event.
    #[serde(skip)]
    pub elsewhere: u64,
    /// Numbers of some of the events, before and after.
    pub examples: Vec<[Option<u64>; 2]>,
}

/// A fault that is told of another number of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingDifference {
    /// Reason code.
    pub code: ReasonCode,
    /// Experiment.
    pub experiment: Option<String>,
    /// Metric.
    pub metric: Option<String>,
    /// Events concerned.
    pub events: Pair<u64>,
    /// Findings of this sort: one that is told of no event is still one.
    pub findings: Pair<u64>,
}

impl Difference {
    /// Whether no verdict, no figure and no finding is another one.
    pub fn is_empty(&self) -> bool {
        self.events.changed == 0
            && !self.verdicts.is_changed()
            && self.findings.is_empty()
            && !self.experiments.iter().any(ExperimentDifference::is_changed)
    }
}

impl ExperimentDifference {
    /// Whether anything is different in it.
    pub fn is_changed(&self) -> bool {
        self.randomization_unit.is_changed()
            || self.units.gained + self.units.lost + self.units.moved > 0
            || !self.exposures.is_empty()
            || self.arms.iter().any(ArmDifference::is_changed)
            || self.metrics.iter().any(MetricDifference::is_changed)
    }
}

impl ArmDifference {
    /// Whether anything is different in it.
    pub fn is_changed(&self) -> bool {
        let is_changed = |metric: &ArmMetricDifference| {
            metric.converting_units.is_changed() || metric.conversions.is_changed() || metric.sum.is_changed()
        };
        self.units.is_changed() || self.metrics.iter().any(is_changed)
    }
}

impl MetricDifference {
    /// Whether anything is different in it.
    pub fn is_changed(&self) -> bool {
        self.received.is_changed() || self.counted.is_changed() || !self.verdicts.is_empty()
    }
}

impl Transition {
    /// Whether it counts after, and did not before.
    pub fn is_gain(&self) -> bool {
        !is_counted(self.before) && is_counted(self.after)
    }

    /// Whether it counted before, and does not after.
    pub fn is_loss(&self) -> bool {
        is_counted(self.before) && !is_counted(self.after)
    }
}

pub(super) fn is_counted(code: Option<ReasonCode>) -> bool {
    code.is_some_and(|code| code.category() == Category::Counted)
}
