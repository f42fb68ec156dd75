//! Everything that is remembered about what was received, so that every verdict can be given, and revised.
//!
//! Exposures are kept per unit and iteration ([`Points`]), conversions in a log. A conversion is judged when it
//! arrives and again at the end of a request in which an exposure of its unit could change its verdict, so the verdicts
//! held here are, after every request, those of the set of events received so far, whatever order they came in.

use super::codes::CodeSet;
use super::evidence::{Evidence, SourceId};
use super::judge::{Codes, Judge};
use super::list::List;
use super::points::Points;
use super::request::Payloads;
use super::sessions::Sessions;
use super::sightings::Sightings;
use super::tail::Tail;
use super::tally::{CodeCounts, EvidenceKey, IterationCounts, Totals};
use super::units::{UnitId, UnitTable};
use super::unmatched::Unmatched;
use super::visited::Pages;
use crate::reason::{Category, ReasonCode};
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// No index: the end of a chain.
pub(super) const NONE: u32 = u32::MAX;
/// No share: the rollout is not known, or the SDKs differ.
pub(super) const NO_SHARE: u16 = u16::MAX;

/// The share of Segment's events that LaunchDarkly should get, where nobody says another.
pub const SEGMENT_DELIVERY_PERCENT: f64 = 95.0;

/// The clock that judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// `creationDate`: the SDK's clock.
    #[default]
    Creation,
    /// Arrival here.
    Received,
}

impl Clock {
    /// The name used in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Received => "received",
        }
    }

    /// The one that does not judge (O3).
    pub fn other(self) -> Self {
        match self {
            Self::Creation => Self::Received,
            Self::Received => Self::Creation,
        }
    }
}

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The clock that judges.
    pub clock: Clock,
    /// Since when everything was observed; none: the history is complete.
    pub observed_from_ms: Option<i64>,
    /// How long a conversion without exposure is pending after its arrival (O2); none: not at all.
    pub grace_ms: Option<i64>,
    /// Keep what is needed to withdraw a payload that another part, merged in later, has too.
    pub keep_receipts: bool,
    /// Units kept at the most; past it new units are not followed, and what that leaves open is `unknown`.
    pub max_units: usize,
    /// Conversions kept for judging again; past it the verdicts of the oldest are final.
    pub max_conversions: usize,
    /// Clones of the state are checkpoints: each costs what changed since the one before it, in time and memory.
    /// Judging then takes about a fifth longer, before any clone. Otherwise a clone copies everything.
    pub shares_clones: bool,
    /// Of the events that a trigger in Segment matches, LaunchDarkly should get so many percent (failure F69).
    pub segment_delivery_percent: f64,
    /// Report which conversions changed their verdict ([`State::take_changes`]).
    pub track_changes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::Creation,
            observed_from_ms: None,
            grace_ms: None,
            keep_receipts: false,
            max_units: usize::MAX,
            max_conversions: usize::MAX,
            shares_clones: false,
            segment_delivery_percent: SEGMENT_DELIVERY_PERCENT,
            track_changes: false,
        }
    }
}

/// What one (metric, arm) came to for one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// The (iteration, metric) pair.
    pub slot: u32,
    /// The arm credited.
    pub variation: i64,
    /// Conversions.
    pub count: u32,
    /// Their values, summed.
    pub sum: f64,
    pub(super) first: (i64, u64),
    pub(super) first_entry: u32,
}

impl Aggregate {
    /// Instant of the first conversion.
    pub fn first_ms(&self) -> i64 {
        self.first.0
    }
}

/// One unit in one iteration.
#[derive(Clone, Debug)]
pub struct UnitState {
    /// The unit.
    pub unit: UnitId,
    /// The iteration.
    pub iteration: u32,
    /// Its exposures.
    pub points: Points,
    /// How often it was exposed to each variation.
    pub per_variation: SmallVec<[(i64, u32); 1]>,
    /// Conversions credited, per metric and arm.
    pub aggregates: SmallVec<[Aggregate; 1]>,
    /// What conversions that are no longer kept came to.
    pub(super) settled: Option<Box<SmallVec<[Aggregate; 1]>>>,
    /// Number of the event that is its first exposure.
    pub first_event: u64,
    pub(super) next_of_unit: u32,
    pub(super) newest_conversion: u32,
    pub(super) last_conversion_ms: i64,
    /// It was exposed again in a way that can change verdicts, and is to be judged again.
    pub(super) is_stale: bool,
    /// Index of the share of the iteration's rollout that its key falls in; [`NO_SHARE`] without a proof.
    pub(super) share: u16,
}

impl UnitState {
    /// The arm the unit is in: that of its first exposure.
    pub fn own_arm(&self) -> Option<i64> {
        self.points.first().map(|point| point.variation)
    }
}

/// One event's claim on one (iteration, metric), as far as it has a unit.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The (iteration, metric) pair.
    pub slot: u32,
    /// The unit's state.
    pub state: u32,
    /// The verdict now.
    pub code: ReasonCode,
    /// The arm credited, if it counts.
    pub variation: Option<i64>,
    /// Instant on the judging clock.
    pub t_ms: i64,
    /// What it adds to the unit's value.
    pub value: f64,
    /// The sender.
    pub source: SourceId,
    /// Rules among A1–A7 that fail; if there are any, the first is the verdict for good.
    pub failures: CodeSet,
    /// Another iteration of the experiment was running then.
    pub elsewhere: bool,
    pub(super) record: u32,
    pub(super) next: u32,
    pub(super) is_pending: bool,
    pub(super) is_withdrawn: bool,
}

/// An event with at least one conversion in the log.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) event: u64,
    pub(super) first_entry: u32,
    pub(super) entries: u32,
    /// The best category among the event's other claims.
    pub(super) best_elsewhere: Category,
    pub(super) category: Category,
}

/// A claim as it was taken in: decided, or a reference to what can still change it.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted {
    /// Decided by the event alone.
    Decided {
        /// The iteration.
        iteration: u32,
        /// The (iteration, metric) pair, for a conversion.
        slot: Option<u32>,
        /// The verdict.
        code: ReasonCode,
        /// All rules that fail.
        failures: CodeSet,
        /// Remarks.
        warnings: Codes,
    },
    /// An exposure.
    Exposure {
        /// The unit's state.
        state: u32,
        /// Variation served.
        variation: i64,
        /// Remarks.
        warnings: Codes,
    },
    /// A conversion in the log.
    Conversion {
        /// Its index.
        entry: u32,
        /// Remarks.
        warnings: Codes,
    },
    /// No iteration is about the event.
    Apart {
        /// Why.
        code: ReasonCode,
        /// The metric it matches all the same.
        metric: Option<u32>,
        /// Remarks.
        warnings: Codes,
    },
}

/// All claims of one event.
pub type AcceptedClaims = SmallVec<[Accepted; 2]>;

/// The state of attribution.
///
/// A clone is a checkpoint: attribution can go on from it as from the original. With [`Options::shares_clones`] it
/// costs little to take, and shares with the original whatever neither changes afterwards.
#[derive(Clone)]
pub struct State {
    pub(super) judge: Arc<Judge>,
    pub(super) options: Options,
    pub(super) units: UnitTable,
    pub(super) states: List<UnitState, 2>,
    pub(super) log: Tail<Conversion, 8>,
    pub(super) records: Tail<Record, 16>,
    pub(super) totals: Totals,
    pub(super) slot_counts: Vec<CodeCounts>,
    pub(super) iteration_counts: Vec<IterationCounts>,
    pub(super) partial: Vec<bool>,
    pub(super) evidence: List<Evidence, 4>,
    pub(super) evidence_by_key: HashMap<EvidenceKey, u32, RandomState>,
    pub(super) unmatched: Unmatched,
    pub(super) sightings: Sightings,
    pub(super) sessions: Sessions,
    pub(super) pages: Pages,
    pub(super) sources: Vec<Arc<str>>,
    pub(super) payloads: Payloads,
    pub(super) pending: List<(i64, u32), 64>,
    pub(super) changes: Vec<Change>,
    /// States to judge again when the request ends: once then, not once for every exposure in it.
    pub(super) stale: Vec<u32>,
    pub(super) is_over_capacity: bool,
    /// Of which iterations exposures were known to be missing at the last review.
    pub(super) lacking: Vec<bool>,
    /// Of which iterations the rollout was known not to hold at the last review.
    pub(super) refuted: Vec<bool>,
}

/// Something whose verdict may not be what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The conversions of this event.
    Event(u64),
    /// The exposures of this unit: its first exposure is another one.
    Exposures(u32),
}

impl State {
    /// An empty state.
    pub fn new(judge: Arc<Judge>, options: Options) -> Self {
        let shares_clones = options.shares_clones;
        let mut state = Self {
            slot_counts: vec![CodeCounts::default(); judge.slots().len()],
            iteration_counts: vec![IterationCounts::default(); judge.iterations().len()],
            partial: vec![false; judge.iterations().len()],
            judge,
            options,
            units: UnitTable::new(shares_clones),
            states: List::new(shares_clones),
            log: Tail::new(shares_clones),
            records: Tail::new(shares_clones),
            totals: Totals::default(),
            evidence: List::new(shares_clones),
            evidence_by_key: HashMap::default(),
            unmatched: Unmatched::new(shares_clones),
            sightings: Sightings::default(),
            sessions: Sessions::default(),
            pages: Pages::default(),
            sources: Vec::new(),
            payloads: Payloads::new(shares_clones),
            pending: List::new(shares_clones),
            changes: Vec::new(),
            stale: Vec::new(),
            is_over_capacity: false,
            lacking: Vec::new(),
            refuted: Vec::new(),
        };
        state.review_completeness();
        state
    }

    /// The catalog, made ready to judge by.
    pub fn judge(&self) -> &Arc<Judge> {
        &self.judge
    }

    /// How it judges.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Counts over all events.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The units seen.
    pub fn units(&self) -> &UnitTable {
        &self.units
    }

    /// Units per iteration.
    pub fn states(&self) -> impl Iterator<Item = &UnitState> {
        self.states.iter()
    }

    /// One unit in one iteration.
    pub fn state(&self, index: u32) -> Option<&UnitState> {
        self.states.get(index as usize)
    }

    /// The conversions, in the order they were received. Those of withdrawn payloads are left out.
    pub fn conversions(&self) -> impl Iterator<Item = &Conversion> {
        self.log.iter().filter(|entry| !entry.is_withdrawn)
    }

    /// One conversion.
    pub fn conversion(&self, entry: u32) -> Option<&Conversion> {
        self.log.get(entry)
    }

    /// The conversions of one unit in one iteration that only exposures decide, newest arrival first.
    pub fn conversions_of<'a>(&'a self, unit: &'a UnitState) -> impl Iterator<Item = (u64, &'a Conversion)> {
        let mut at = unit.newest_conversion;
        std::iter::from_fn(move || {
            let entry = self.log.get(at)?;
            at = entry.next;
            Some(entry)
        })
        .filter(|entry| !entry.is_withdrawn)
        .map(|entry| (self.event_of(entry), entry))
    }

    /// The number of a conversion's event.
    pub fn event_of(&self, entry: &Conversion) -> u64 {
        self.records.get(entry.record).map_or(0, |record| record.event)
    }

    /// The verdicts of a (iteration, metric) pair.
    pub fn slot_counts(&self, slot: u32) -> Option<&CodeCounts> {
        self.slot_counts.get(slot as usize)
    }

    /// Counts of an iteration, apart from units.
    pub fn iteration_counts(&self, iteration: u32) -> Option<&IterationCounts> {
        self.iteration_counts.get(iteration as usize)
    }

    /// Whether the history of an iteration is known not to be complete (O1, R7, losses).
    pub fn is_partial(&self, iteration: u32) -> bool {
        self.partial.get(iteration as usize).copied().unwrap_or_default()
    }

    /// What is kept behind findings that the events alone decide.
    pub fn evidence(&self) -> impl Iterator<Item = (&EvidenceKey, &Evidence)> {
        self.evidence_by_key.iter().filter_map(|(key, index)| Some((key, self.evidence.get(*index as usize)?)))
    }

    /// The event keys no metric uses.
    pub fn unmatched_keys(&self) -> impl Iterator<Item = (&str, &Evidence)> {
        self.unmatched.iter().filter_map(|(key, index)| Some((key, self.evidence.get(index as usize)?)))
    }

    /// What is kept of one event key no metric uses.
    pub fn unmatched_key(&self, key: &str) -> Option<&Evidence> {
        self.evidence.get(self.unmatched.get(key)? as usize)
    }

    /// The number of a sender.
    pub fn source(&mut self, name: &str) -> SourceId {
        // Past the limit senders share the last number: names come from headers, which anyone can make up.
        const TOLD_APART: usize = 4096;
        if let Some(number) = self.sources.iter().position(|known| **known == *name) {
            return number as SourceId;
        }
        if self.sources.len() >= TOLD_APART {
            return (TOLD_APART - 1) as SourceId;
        }
        self.sources.push(name.into());
        (self.sources.len() - 1) as SourceId
    }

    /// The name of a sender.
    pub fn source_name(&self, source: SourceId) -> Option<&Arc<str>> {
        self.sources.get(usize::from(source))
    }

    /// Conversions and units whose verdicts changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The unit's state in an iteration.
    pub fn find_state(&self, unit: UnitId, iteration: u32) -> Option<u32> {
        self.states_of(unit).find(|(_, state)| state.iteration == iteration).map(|(index, _)| index)
    }

    /// The unit's states, in all iterations.
    pub fn states_of(&self, unit: UnitId) -> impl Iterator<Item = (u32, &UnitState)> {
        let mut at = self.units.first_state(unit);
        std::iter::from_fn(move || {
            let state = self.states.get(at as usize)?;
            Some((std::mem::replace(&mut at, state.next_of_unit), state))
        })
    }

    pub(super) fn unit(&mut self, kind: &str, key: &str) -> Option<UnitId> {
        if self.units.len() >= self.options.max_units && self.units.find(kind, key).is_none() {
            if !self.is_over_capacity {
                self.is_over_capacity = true;
                self.review_completeness();
            }
            return None;
        }
        Some(self.units.number(kind, key))
    }

    pub(super) fn state_for(&mut self, unit: UnitId, iteration: u32) -> u32 {
        if let Some(index) = self.find_state(unit, iteration) {
            return index;
        }
        let index = self.states.len() as u32;
        let next_of_unit = self.units.first_state(unit);
        let share = self.share_of_key(unit, iteration);
        self.units.set_first_state(unit, index);
        self.states.push(UnitState {
            unit,
            iteration,
            points: Points::default(),
            per_variation: SmallVec::new(),
            aggregates: SmallVec::new(),
            settled: None,
            first_event: u64::MAX,
            next_of_unit,
            newest_conversion: NONE,
            last_conversion_ms: i64::MIN,
            is_stale: false,
            share,
        });
        index
    }
}
