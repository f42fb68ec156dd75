//! The story of one unit, as a plain value: what `exptap explain --format json` prints, and the text is made from.

use super::mapping::{self, Need};
use crate::reason::ReasonCode;
use crate::segment::{Line, Resolved};
use crate::view::{EventRow, ExposedValue, Ladder, NO_ARRIVAL, NeededUnit, Outcome, Rung, SegmentView};
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the JSON format.
pub const FORMAT_VERSION: u32 = 1;

/// The story of one unit. All times are epoch milliseconds; field names are a contract (`docs/explain.md`).
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Story {
    /// Version of this format.
    pub exptap_explain: u32,
    /// `kind/key`.
    pub unit: String,
    /// Context kind.
    pub kind: String,
    /// Context key.
    pub key: String,
    /// The clock that judged.
    pub clock: &'static str,
    /// Where the catalog came from.
    pub catalog: &'static str,
    /// Since when everything was observed; null: the history is complete.
    pub observed_from: Option<i64>,
    /// Events that carry the unit, whether a filter shows them or not.
    pub events_of_unit: u64,
    /// The first of them.
    pub first: Option<i64>,
    /// The last of them.
    pub last: Option<i64>,
    /// What the unit is.
    pub identity: Identity,
    /// Its events in order of time.
    pub events: Vec<StoryEvent>,
    /// What they come to, iteration by iteration.
    pub experiments: Vec<Standing>,
    /// What to change, for most events first.
    pub changes: Vec<Change>,
}

/// What a unit is.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Identity {
    /// Its key is what a program prints for "nothing".
    pub is_placeholder: bool,
    /// Units of other kinds in the same contexts, those with most events first.
    pub seen_with: Vec<Seen>,
    /// How many more there are.
    pub seen_with_more: u64,
    /// The same key under other kinds: other units.
    pub other_kinds: Vec<Seen>,
    /// Units whose key is equal but for case or spaces: other units, too.
    pub look_alikes: Vec<LookAlike>,
    /// Events of Segment's that have this key for somebody's id, and of which LaunchDarkly gets nothing.
    pub never_sent: Vec<NeverSent>,
}

/// Events that LaunchDarkly never gets.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct NeverSent {
    /// The member that has the key: `userId` or `anonymousId`.
    pub member: &'static str,
    /// How many events.
    pub events: u64,
}

/// A unit, and in how many events.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Seen {
    /// `kind/key`.
    pub unit: String,
    /// How many events.
    pub events: u64,
}

/// A unit that could be mistaken for another.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct LookAlike {
    /// `kind/key`.
    pub unit: String,
    /// `case` or `space`.
    pub differs_by: &'static str,
    /// How many events.
    pub events: u64,
}

/// One event of the unit.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StoryEvent {
    /// Number of the event, as `verdicts` counts.
    pub event: u64,
    /// Number of its request.
    pub request: Option<u64>,
    /// Kind.
    pub kind: String,
    /// Flag key, event key, or what best names it.
    pub key: String,
    /// Instant on the judging clock.
    pub t: Option<i64>,
    /// Arrival.
    pub arrival: Option<i64>,
    /// Who sent it.
    pub source: String,
    /// All its units.
    pub units: Vec<String>,
    /// Its best verdict.
    pub verdict: ReasonCode,
    /// Remarks.
    pub warnings: Vec<ReasonCode>,
    /// How it came through Segment, where it did.
    pub segment: Option<StorySegment>,
    /// One per iteration and metric it is about.
    pub ladders: Vec<StoryLadder>,
}

impl StoryEvent {
    pub(super) fn new(row: &EventRow, ladders: &[Ladder], segment: Option<&SegmentView>) -> Self {
        Self {
            event: row.event,
            request: row.request,
            kind: row.kind.to_string(),
            key: row.key.to_string(),
            t: row.t_ms,
            arrival: (row.arrival_ms != NO_ARRIVAL).then_some(row.arrival_ms),
            source: row.source.to_string(),
            units: row.units.iter().map(|(kind, key)| format!("{kind}/{key}")).collect(),
            verdict: row.code,
            warnings: row.warnings.clone(),
            segment: segment.map(StorySegment::new),
            ladders: ladders
                .iter()
                .map(|ladder| StoryLadder::new(ladder, ladders.iter().any(|other| ladder.is_told_by(other))))
                .collect(),
        }
    }
}

/// How an event came through Segment.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StorySegment {
    /// The library that sent it.
    pub library: Option<String>,
    /// Segment's id of the event.
    pub message_id: Option<String>,
    /// The event's own `userId`.
    pub user_id: Option<String>,
    /// The event's own `anonymousId`.
    pub anonymous_id: Option<String>,
    /// The mapping that made it, counted from 0.
    pub mapping: Option<usize>,
    /// Its action.
    pub action: Option<&'static str>,
    /// Its trigger.
    pub subscribe: Option<String>,
    /// Its fields.
    pub lines: Vec<StoryLine>,
    /// The context keys that experiments need of it.
    pub needed: Vec<StoryNeed>,
    /// The lines in words.
    #[serde(skip)]
    pub told: Vec<mapping::Told>,
    /// What is to be said of the keys beside them.
    #[serde(skip)]
    pub needs: Vec<String>,
}

/// A context key that an experiment needs.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct StoryNeed {
    /// Context kind.
    pub kind: String,
    /// The experiments that are randomized by it.
    pub experiments: Vec<String>,
    /// The key LaunchDarkly gets; null: none of this kind.
    pub key: Option<String>,
    /// The arm it was exposed to.
    pub arm: Option<String>,
    /// Other places of Segment's event where the key of an exposed unit stands.
    pub elsewhere: Vec<StoryPlace>,
}

/// Where the key of an exposed unit stands in Segment's event.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct StoryPlace {
    /// As a mapping writes it.
    pub path: String,
    /// The key.
    pub key: String,
    /// The arm it was exposed to.
    pub arm: String,
}

impl From<&NeededUnit> for StoryNeed {
    fn from(needed: &NeededUnit) -> Self {
        let place = |place: &ExposedValue| StoryPlace {
            path: place.path.clone(),
            key: place.key.clone(),
            arm: place.arm.clone(),
        };
        Self {
            kind: needed.kind.clone(),
            experiments: needed.experiments.clone(),
            key: needed.key.clone(),
            arm: needed.exposed.clone(),
            elsewhere: needed.elsewhere.iter().map(place).collect(),
        }
    }
}

/// One field of a mapping. Values are JSON as the destination has it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StoryLine {
    /// The field.
    pub field: String,
    /// Where its value comes from; null: it is not mapped.
    pub source: Option<serde_json::Value>,
    /// What the mapping gives for this event; null: nothing.
    pub resolved: Option<serde_json::Value>,
    /// What the action takes of it; null: nothing.
    pub taken: Option<serde_json::Value>,
    /// The destination's words against it.
    pub fault: Option<String>,
}

impl StorySegment {
    fn new(segment: &SegmentView) -> Self {
        let id = |wanted: &str| segment.people.iter().find(|(name, _)| *name == wanted).map(|(_, id)| id.clone());
        let own = segment.mappings.iter().find(|mapping| mapping.is_own);
        Self {
            library: segment.library.clone(),
            message_id: segment.message_id.clone(),
            user_id: id("userId"),
            anonymous_id: id("anonymousId"),
            mapping: own.map(|own| own.mapped.mapping),
            action: own.map(|own| own.mapped.action.name()),
            subscribe: own.map(|own| own.trigger.clone()),
            lines: own.map(|own| own.mapped.lines.iter().map(StoryLine::from).collect()).unwrap_or_default(),
            needed: segment.needed.iter().map(StoryNeed::from).collect(),
            needs: mapping::needs(segment).iter().map(Need::sentence).collect(),
            told: own.map(|own| mapping::lines(segment, own)).unwrap_or_default(),
        }
    }
}

impl From<&Line> for StoryLine {
    fn from(line: &Line) -> Self {
        let value = |json: &str| serde_json::from_str(json).ok();
        Self {
            field: line.field.clone(),
            source: line.source.as_deref().and_then(value),
            resolved: match &line.resolved {
                Resolved::Value(json) => value(json),
                Resolved::Nothing | Resolved::Failed(_) | Resolved::NotModelled(_) => None,
            },
            taken: line.taken.as_deref().and_then(value),
            fault: line.fault.clone(),
        }
    }
}

/// Every rule of one verdict.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StoryLadder {
    /// Experiment key; null where no iteration is about the event.
    pub experiment: Option<String>,
    /// Iteration id.
    pub iteration: Option<String>,
    /// Metric key.
    pub metric: Option<String>,
    /// The verdict.
    pub verdict: ReasonCode,
    /// Arm exposed to or credited.
    pub arm: Option<String>,
    /// Whether another iteration of the experiment was running then, and tells of the event.
    pub other_iteration: bool,
    /// The verdict on the clock that does not judge, where it is another one.
    pub other_clock: Option<OtherClock>,
    /// The rules in the order they were judged.
    pub rules: Vec<RuleJudged>,
    /// What to change; empty where nothing needs changing.
    pub fix: String,
    /// What would have matched.
    pub near_miss: Option<String>,
}

/// The verdict on the clock that does not judge.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct OtherClock {
    /// Which one that is.
    pub clock: &'static str,
    /// The verdict.
    pub verdict: ReasonCode,
}

/// One rule.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RuleJudged {
    /// The rule (`A3`).
    pub rule: &'static str,
    /// How well it is sourced: `DOC`, `CODE`, `CORR` or `CHOICE`.
    pub grade: &'static str,
    /// `passed`, `failed`, `would-fail` or `not-judged`.
    pub outcome: &'static str,
    /// The code, if it fails.
    pub code: Option<ReasonCode>,
    /// What was compared.
    pub text: String,
}

impl From<&Rung> for RuleJudged {
    fn from(rung: &Rung) -> Self {
        Self {
            rule: rung.rule,
            grade: rung.grade.mark(),
            outcome: match rung.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "failed",
                Outcome::WouldFail => "would-fail",
                Outcome::NotJudged => "not-judged",
            },
            code: rung.code,
            text: rung.text.clone(),
        }
    }
}

impl StoryLadder {
    fn new(ladder: &Ladder, is_told_elsewhere: bool) -> Self {
        Self {
            experiment: ladder.experiment.clone(),
            iteration: ladder.iteration.clone(),
            metric: ladder.metric.clone(),
            verdict: ladder.code,
            arm: ladder.arm.clone(),
            other_iteration: is_told_elsewhere,
            other_clock: ladder.other_clock.map(|(clock, verdict)| OtherClock { clock, verdict }),
            rules: ladder.rungs.iter().map(RuleJudged::from).collect(),
            fix: ladder.fix.clone(),
            near_miss: ladder.near_miss.clone(),
        }
    }
}

/// What a unit's events come to in one iteration.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Standing {
    /// Experiment key.
    pub experiment: String,
    /// Iteration id.
    pub iteration: String,
    /// Flag key.
    pub flag: String,
    /// Context kind that is randomized.
    pub randomization_unit: String,
    /// Whether that is the unit's kind; if not, it is in no arm itself.
    pub is_randomized: bool,
    /// Whether the whole history of the iteration was seen.
    pub complete: bool,
    /// The arm it is in.
    pub arm: Option<String>,
    /// Where its key falls, if it is known how units are dealt out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketOfUnit>,
    /// Its first exposure.
    pub first_exposure: Option<i64>,
    /// Exposures to its own arm.
    pub exposures: u64,
    /// Other arms it saw.
    pub other_arms: Vec<ArmSeen>,
    /// Its evaluations by verdict.
    pub evaluations: BTreeMap<&'static str, u64>,
    /// Its conversions.
    pub metrics: Vec<MetricStanding>,
}

/// Where a unit's key falls in the rollout of an iteration.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BucketOfUnit {
    /// The bucket, from 0 to 1.
    pub value: f64,
    /// The arm it falls in; null where that is not in the experiment, or the SDKs differ.
    pub arm: Option<String>,
    /// Whether the arm is the one the unit was exposed to; null without an exposure or where it proves nothing.
    pub agrees: Option<bool>,
    /// Whether it is proven that the unit cannot have been exposed, observed or not.
    pub excluded: bool,
    /// All of it with the numbers.
    pub proof: String,
}

/// An arm a unit saw beside its own.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct ArmSeen {
    /// Its name.
    pub arm: String,
    /// How often.
    pub exposures: u64,
}

/// What a unit's events come to for one metric.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct MetricStanding {
    /// Metric key.
    pub metric: String,
    /// Events that match the metric.
    pub received: u64,
    /// What is credited, and to whom.
    pub credited: Vec<Credited>,
    /// The events by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
}

/// Conversions credited to an arm.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Credited {
    /// Its name.
    pub arm: String,
    /// How many.
    pub conversions: u64,
    /// Their values, summed.
    pub sum: f64,
}

/// What to change.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Change {
    /// The code it is about.
    pub code: ReasonCode,
    /// Verdicts of the unit's events with it.
    pub events: u64,
    /// What to change.
    pub fix: String,
    /// What would have matched.
    pub near_miss: Option<String>,
}
