//! What is different between two recordings; its JSON is a contract (`docs/diff.md`).

use crate::reason::{ReasonCode, Severity};
use serde::Serialize;

pub use crate::what_if::difference::Pair;

/// Version of the format.
pub const FORMAT_VERSION: u32 = 1;

impl<T> Pair<T> {
    /// What is said of both.
    pub fn of<S>(sides: Pair<&S>, what: impl Fn(&S) -> T) -> Self {
        Self { before: what(sides.before), after: what(sides.after) }
    }

    /// The same of both.
    pub fn map<U>(self, what: impl Fn(T) -> U) -> Pair<U> {
        Pair { before: what(self.before), after: what(self.after) }
    }
}

impl Pair<u64> {
    /// Whether it is there on one side only.
    pub fn presence(self) -> Presence {
        match (self.before, self.after) {
            (0, 1..) => Presence::New,
            (1.., 0) => Presence::Gone,
            _ => Presence::Both,
        }
    }
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// In the second recording only.
    New,
    /// In the first recording only.
    Gone,
    /// In both.
    Both,
}

impl Presence {
    /// In a word, where it is worth one.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::Both => "",
        }
    }
}

/// Two recordings held against each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Version of this format.
    pub exptap_diff: u32,
    /// The clock that judged.
    pub clock: &'static str,
    /// Whether both are judged by the same catalog.
    pub same_catalog: bool,
    /// Whether Segment's destination is set up the same on both sides.
    pub same_mapping: bool,
    /// Whether any share, sender, event key or finding is another one. More of the same is no change.
    pub changed: bool,
    /// The recordings.
    pub recordings: Pair<Recording>,
    /// Every event once, by its best verdict.
    pub verdicts: Vec<VerdictDifference>,
    /// The verdicts whose shares changed most, at most ten; and where.
    pub changed_most: Vec<Shift>,
    /// One entry per experiment and iteration of either.
    pub experiments: Vec<ExperimentDifference>,
    /// The senders, by what they are called.
    pub sources: Vec<SourceDifference>,
    /// SDKs that have other versions.
    pub versions: Vec<VersionDifference>,
    /// Event keys of custom events, those that are on one side only first.
    pub event_keys: Vec<KeyDifference>,
    /// Findings of either: new ones first, then those that are gone.
    pub findings: Vec<FindingDifference>,
    /// Evaluations that summaries count, less the events that were sent of them; what nothing explains first.
    pub evaluations: Vec<EvaluationsDifference>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// What it is called.
    pub name: String,
    /// Where its catalog came from.
    pub catalog: &'static str,
    /// Requests; 0 for plain events.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// Events known to be lost.
    pub lost: u64,
    /// First and last instant on the judging clock.
    pub span: Option<(i64, i64)>,
}

/// Events by category.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictDifference {
    /// The category, as in the report's `totals.verdicts`.
    pub verdict: &'static str,
    /// Events.
    pub events: Pair<u64>,
    /// Of a thousand events; null: there are none.
    pub per_thousand: Pair<Option<f64>>,
}

/// Events of one verdict, and who they come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CodeDifference {
    /// The verdict.
    pub code: ReasonCode,
    /// Events; of exposures, evaluations.
    pub events: Pair<u64>,
    /// Of a thousand that are asked about; null: there are none.
    pub per_thousand: Pair<Option<f64>>,
    /// Whether it is on one side only.
    pub presence: Presence,
    /// Who they come from, the most first.
    pub sources: Vec<SourceCount>,
}

impl CodeDifference {
    /// By how much the share changed, of a thousand. What nothing is asked about has no share of it.
    pub fn shift(&self) -> f64 {
        self.per_thousand.after.unwrap_or(0.0) - self.per_thousand.before.unwrap_or(0.0)
    }
}

/// Events of one sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceCount {
    /// The sender.
    pub source: String,
    /// Events.
    pub events: Pair<u64>,
}

/// A verdict whose share changed, with the place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// Experiment key.
    pub experiment: String,
    /// Iteration id.
    pub iteration: String,
    /// Metric key; null: it is about who is exposed.
    pub metric: Option<String>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: CodeDifference,
}

/// One iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExperimentDifference {
    /// Experiment key.
    pub key: String,
    /// Iteration id.
    pub iteration: String,
    /// Flag key.
    pub flag: String,
    /// Context kind that is randomized; null: this recording's catalog does not have the iteration.
    pub randomization_unit: Pair<Option<String>>,
    /// Whether its whole history is in the recording. If not, rates and means are null.
    pub complete: Pair<bool>,
    /// Exposed units.
    pub units: Pair<u64>,
    /// The arms, by variation.
    pub arms: Vec<ArmDifference>,
    /// Evaluations of the flag.
    pub evaluations: Pair<u64>,
    /// They by outcome, those whose shares changed most first.
    pub exposures: Vec<CodeDifference>,
    /// The metrics.
    pub metrics: Vec<MetricDifference>,
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
    /// Of a thousand units of the iteration; null: there are none.
    pub per_thousand: Pair<Option<f64>>,
    /// Its metrics.
    pub metrics: Vec<ArmMetricDifference>,
}

/// One metric in one arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ArmMetricDifference {
    /// Metric key.
    pub metric: String,
    /// Units with at least one conversion credited to this arm.
    pub converting_units: Pair<u64>,
    /// Conversions credited to this arm.
    pub conversions: Pair<u64>,
    /// As in the report.
    pub rate: Pair<Option<f64>>,
    /// As in the report.
    pub mean: Pair<Option<f64>>,
    /// As in the report: each by itself. Whether they overlap says nothing of a difference.
    pub interval: Pair<Option<[f64; 2]>>,
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
    /// By verdict, those whose shares changed most first.
    pub verdicts: Vec<CodeDifference>,
}

/// One sender.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceDifference {
    /// What it calls itself; `(no sender)`: events that came without requests.
    pub source: String,
    /// Requests.
    pub requests: Pair<u64>,
    /// Events.
    pub events: Pair<u64>,
    /// Of a thousand events.
    pub per_thousand: Pair<Option<f64>>,
    /// Whether it is on one side only.
    pub presence: Presence,
}

/// An SDK that is there in both, in other versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionDifference {
    /// The SDK, without its version.
    pub sdk: String,
    /// Its versions.
    pub versions: Pair<Vec<String>>,
}

/// Custom events of one key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyDifference {
    /// The event key.
    pub key: String,
    /// Whether no metric uses it on either side.
    pub unmatched: bool,
    /// Events.
    pub events: Pair<u64>,
    /// Of a thousand events.
    pub per_thousand: Pair<Option<f64>>,
    /// Whether it is on one side only.
    pub presence: Presence,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingDifference {
    /// Reason code.
    pub code: ReasonCode,
    /// How much it matters.
    pub severity: Severity,
    /// Experiment.
    pub experiment: Option<String>,
    /// Metric.
    pub metric: Option<String>,
    /// Findings of this sort.
    pub findings: Pair<u64>,
    /// Events concerned.
    pub events: Pair<u64>,
    /// Of a thousand events.
    pub per_thousand: Pair<Option<f64>>,
    /// Senders they come from.
    pub sources: Pair<Vec<String>>,
    /// Whether it is on one side only.
    pub presence: Presence,
    /// The cause, in the words of the later of the two that tells it.
    pub summary: String,
    /// What to change.
    pub fix: String,
}

/// Evaluations of a flag by one sender while an iteration of it ran: what its summaries count, less what it sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationsDifference {
    /// Flag key.
    pub flag: String,
    /// The sender.
    pub source: String,
    /// Evaluations that its summaries count.
    pub counted: Pair<u64>,
    /// `feature` events it sent of them.
    pub sent: Pair<u64>,
    /// The rest, by why no event was sent; `no-feature-event`: nothing explains it.
    pub unsent: Vec<UnsentDifference>,
    /// Whether evaluations are known to be sampled, which explains what else is missing.
    pub sampled: Pair<bool>,
}

/// Evaluations that sent no event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnsentDifference {
    /// Why, as summaries tell it (E13).
    pub code: ReasonCode,
    /// How many.
    pub evaluations: Pair<u64>,
    /// Of a thousand that summaries count.
    pub per_thousand: Pair<Option<f64>>,
}

impl EvaluationsDifference {
    /// Whether nothing explains some of what is missing, on either side.
    pub fn is_unexplained(&self) -> bool {
        self.unsent.iter().any(|unsent| {
            let count = unsent.evaluations;
            unsent.code == ReasonCode::NoFeatureEvent
                && ((count.before > 0 && !self.sampled.before) || (count.after > 0 && !self.sampled.after))
        })
    }
}
