//! Everything that is remembered about what was received, so that every verdict can be given, and revised.
//!
//! Exposures are kept per unit and iteration ([`Points`]), conversions in a log. A conversion is judged when it
//! arrives and again whenever an exposure of its unit could change its verdict, so the verdicts held here are, at any
//! moment, those of the set of events received so far, whatever order they came in.

use super::codes::CodeSet;
use super::evidence::{Evidence, SourceId};
use super::judge::{Circumstances, Claim, Codes, Judge, Judgement};
use super::points::{Credit, Point, Points, WINDOW_MS};
use super::request::{Payloads, Request};
use super::tally::{CodeCounts, Effect, EvidenceKey, IterationCounts, Totals};
use super::units::{UnitId, UnitTable};
use crate::catalog::Measure;
use crate::event::{Event, Kind};
use crate::reason::{Category, ReasonCode};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// No index: the end of a chain.
pub(super) const NONE: u32 = u32::MAX;

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
    first: (i64, u64),
    first_entry: u32,
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
    pub aggregates: Vec<Aggregate>,
    /// Number of the event that is its first exposure.
    pub first_event: u64,
    pub(super) next_of_unit: u32,
    pub(super) newest_conversion: u32,
    pub(super) last_conversion_ms: i64,
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
pub struct State {
    pub(super) judge: Arc<Judge>,
    pub(super) options: Options,
    pub(super) units: UnitTable,
    first_state_of_unit: Vec<u32>,
    pub(super) states: Vec<UnitState>,
    pub(super) log: Vec<Conversion>,
    pub(super) records: Vec<Record>,
    pub(super) totals: Totals,
    pub(super) slot_counts: Vec<CodeCounts>,
    pub(super) iteration_counts: Vec<IterationCounts>,
    pub(super) partial: Vec<bool>,
    pub(super) evidence: Vec<Evidence>,
    pub(super) evidence_by_key: HashMap<EvidenceKey, u32>,
    pub(super) unmatched: HashMap<Box<str>, u32>,
    pub(super) sources: Vec<Arc<str>>,
    pub(super) payloads: Payloads,
    pending: VecDeque<(i64, u32)>,
    changes: Vec<Change>,
    pub(super) is_over_capacity: bool,
    /// Which iterations' flags were known to be sampled at the last review.
    sampled: Vec<bool>,
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
        let mut state = Self {
            slot_counts: vec![CodeCounts::default(); judge.slots().len()],
            iteration_counts: vec![IterationCounts::default(); judge.iterations().len()],
            partial: vec![false; judge.iterations().len()],
            judge,
            options,
            units: UnitTable::default(),
            first_state_of_unit: Vec::new(),
            states: Vec::new(),
            log: Vec::new(),
            records: Vec::new(),
            totals: Totals::default(),
            evidence: Vec::new(),
            evidence_by_key: HashMap::new(),
            unmatched: HashMap::new(),
            sources: Vec::new(),
            payloads: Payloads::default(),
            pending: VecDeque::new(),
            changes: Vec::new(),
            is_over_capacity: false,
            sampled: Vec::new(),
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
    pub fn states(&self) -> &[UnitState] {
        &self.states
    }

    /// One unit in one iteration.
    pub fn state(&self, index: u32) -> Option<&UnitState> {
        self.states.get(index as usize)
    }

    /// The conversions, in the order they were received. Those of withdrawn payloads are left out.
    pub fn conversions(&self) -> impl Iterator<Item = (u64, &Conversion)> {
        self.log.iter().filter(|entry| !entry.is_withdrawn).map(|entry| (self.event_of(entry), entry))
    }

    /// One conversion.
    pub fn conversion(&self, entry: u32) -> Option<&Conversion> {
        self.log.get(entry as usize)
    }

    /// The conversions of one unit in one iteration that only exposures decide, newest arrival first.
    pub fn conversions_of<'a>(&'a self, unit: &'a UnitState) -> impl Iterator<Item = (u64, &'a Conversion)> {
        let mut at = unit.newest_conversion;
        std::iter::from_fn(move || {
            let entry = self.log.get(at as usize)?;
            at = entry.next;
            Some(entry)
        })
        .filter(|entry| !entry.is_withdrawn)
        .map(|entry| (self.event_of(entry), entry))
    }

    fn event_of(&self, entry: &Conversion) -> u64 {
        self.records.get(entry.record as usize).map_or(0, |record| record.event)
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
        self.unmatched.iter().filter_map(|(key, index)| Some((&**key, self.evidence.get(*index as usize)?)))
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
        let mut at = self.first_state_of_unit.get(unit as usize).copied().unwrap_or(NONE);
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
        let unit = self.units.number(kind, key);
        if self.first_state_of_unit.len() < self.units.len() {
            self.first_state_of_unit.resize(self.units.len(), NONE);
        }
        Some(unit)
    }

    pub(super) fn state_for(&mut self, unit: UnitId, iteration: u32) -> u32 {
        if let Some(index) = self.find_state(unit, iteration) {
            return index;
        }
        let index = self.states.len() as u32;
        let Some(first) = self.first_state_of_unit.get_mut(unit as usize) else { return NONE };
        self.states.push(UnitState {
            unit,
            iteration,
            points: Points::default(),
            per_variation: SmallVec::new(),
            aggregates: Vec::new(),
            first_event: u64::MAX,
            next_of_unit: std::mem::replace(first, index),
            newest_conversion: NONE,
            last_conversion_ms: i64::MIN,
        });
        index
    }

    /// Takes in an event and gives what it claims.
    pub fn event(&mut self, request: &mut Request, event: &Event<'_>) -> (u64, AcceptedClaims) {
        let number = self.totals.events;
        self.totals.events += 1;
        self.totals.kind(event.kind.name().unwrap_or(&event.kind_name));
        let t_ms = self.instant(event, request.arrival_ms);
        if self.options.keep_receipts {
            request.readable.events += 1;
            request.readable.see(t_ms);
            request.readable.source(request.source);
            request.readable.example(number);
        }
        if request.is_duplicate {
            self.totals.category(Category::Duplicate, 1);
            self.add_evidence(request, EvidenceKey::Code(ReasonCode::DuplicatePayload), number, t_ms, None);
            let warnings = request.is_reused.then_some(ReasonCode::PayloadIdReused).into_iter().collect();
            let claim = Accepted::Apart { code: ReasonCode::DuplicatePayload, metric: None, warnings };
            return (number, smallvec::smallvec![claim]);
        }
        if event.kind == Kind::Summary {
            request.summary(&self.judge, event, number, t_ms);
        } else if event.kind == Kind::Feature {
            request.feature(&self.judge, event);
        }
        let judge = Arc::clone(&self.judge);
        let circumstances = Circumstances {
            t_ms: t_ms.unwrap_or_default(),
            arrival_ms: request.arrival_ms,
            environment: request.environment,
        };
        let claims = match judge.judge(event, circumstances) {
            Judgement::Apart(code, metric) => self.apart(request, event, number, t_ms, code, metric),
            Judgement::Claims(claims) => self.claims(request, event, number, circumstances, claims),
        };
        (number, claims)
    }

    /// Takes in something that could not be read as an event.
    pub fn unreadable(&mut self, request: &Request) -> u64 {
        let number = self.totals.events;
        self.totals.events += 1;
        self.totals.undecodable += 1;
        self.totals.category(Category::Undecodable, 1);
        // Not an effect: withdrawing a payload does not make what could not be read readable.
        let evidence = self.evidence_for(EvidenceKey::Code(ReasonCode::Undecodable));
        self.count(Effect::Evidence { evidence, count: 1 }, 1);
        self.witness(evidence, request.source, number, request.arrival_ms, None);
        number
    }

    /// Notes that events were lost: nothing that rests on not having seen an exposure is certain any more.
    pub fn lost(&mut self, events: u64) {
        self.totals.lost += events;
        self.review_completeness();
    }

    /// The event's instant on the judging clock.
    pub fn instant(&self, event: &Event<'_>, arrival_ms: Option<i64>) -> Option<i64> {
        match self.options.clock {
            Clock::Creation => event.creation_ms,
            Clock::Received => arrival_ms.or(event.creation_ms),
        }
    }

    fn apart(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        number: u64,
        t_ms: Option<i64>,
        code: ReasonCode,
        metric: Option<u32>,
    ) -> AcceptedClaims {
        self.apply(request, Effect::Category(code.category()));
        let unit = event.context_keys.iter().next();
        match (code, metric, &event.key) {
            (ReasonCode::NoMetricForKey, _, Some(key)) => {
                let evidence = self.unmatched_evidence(key);
                self.add_to_evidence(request, evidence, number, t_ms, unit);
            }
            (ReasonCode::MetricNotInExperiment, Some(metric), _) => {
                self.add_evidence(request, EvidenceKey::Metric(metric), number, t_ms, unit);
            }
            _ => {}
        }
        smallvec::smallvec![Accepted::Apart { code, metric, warnings: Codes::new() }]
    }

    fn claims(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        number: u64,
        circumstances: Circumstances,
        claims: SmallVec<[Claim<'_>; 2]>,
    ) -> AcceptedClaims {
        let mut accepted = AcceptedClaims::new();
        let mut best = Category::NotAbout;
        let mut consider = |category: Category| {
            if best == Category::NotAbout || category < best {
                best = category;
            }
        };
        let first_entry = self.log.len() as u32;
        let t_ms = circumstances.t_ms;
        for claim in claims {
            match claim {
                Claim::ExposesNot { iteration, code, elsewhere } => {
                    consider(code.category());
                    self.apply(request, Effect::Evaluations { iteration, code, count: 1 });
                    if !elsewhere {
                        let unit =
                            self.unit_of_iteration(event, iteration).or_else(|| event.context_keys.iter().next());
                        self.add_evidence(request, EvidenceKey::Iteration(code, iteration), number, Some(t_ms), unit);
                    }
                    accepted.push(Accepted::Decided {
                        iteration,
                        slot: None,
                        code,
                        failures: [code].into_iter().collect(),
                        warnings: Codes::new(),
                    });
                }
                Claim::Exposes { iteration, key, variation, warnings } => {
                    consider(Category::Exposure);
                    self.remark(request, &warnings, number, t_ms);
                    if event.sampling_ratio.is_some_and(|ratio| ratio > 1) {
                        self.apply(request, Effect::Sampled { iteration });
                    }
                    match self.expose(request, iteration, key, Point { t_ms, variation }, number) {
                        Some(state) => accepted.push(Accepted::Exposure { state, variation, warnings }),
                        None => accepted.push(self.not_followed(iteration, None, warnings)),
                    }
                }
                Claim::Converts { slot, failures, key, value, warnings, elsewhere } => {
                    self.remark(request, &warnings, number, t_ms);
                    let failures: CodeSet = failures.into_iter().collect();
                    if let Some(code) = failures.first() {
                        consider(code.category());
                        self.apply(request, Effect::Verdict { slot, code });
                        if !elsewhere {
                            let unit = self.unit_of_slot(event, slot).or_else(|| event.context_keys.iter().next());
                            let evidence = self.evidence_for(EvidenceKey::Slot(code, slot));
                            self.add_to_evidence(request, evidence, number, Some(t_ms), unit);
                            if let Some(evidence) = self.evidence.get_mut(evidence as usize) {
                                event.context_keys.iter().for_each(|(kind, _)| evidence.kind(kind));
                                evidence.then.extend(failures.iter().skip(1));
                            }
                        }
                    }
                    let iteration = self.judge.slots().get(slot as usize).map_or(NONE, |slot| slot.iteration);
                    let state = key.and_then(|key| self.state_of_key(iteration, key));
                    match (state, failures.first()) {
                        (Some(state), first) => {
                            let entry = self.log.len() as u32;
                            self.log.push(Conversion {
                                slot,
                                state,
                                code: first.unwrap_or(ReasonCode::Pending),
                                variation: None,
                                t_ms,
                                value,
                                source: request.source,
                                failures,
                                elsewhere,
                                record: self.records.len() as u32,
                                next: NONE,
                                is_pending: false,
                                is_withdrawn: false,
                            });
                            accepted.push(Accepted::Conversion { entry, warnings });
                        }
                        (None, Some(code)) => {
                            accepted.push(Accepted::Decided { iteration, slot: Some(slot), code, failures, warnings })
                        }
                        (None, None) => {
                            consider(Category::Unknown);
                            self.apply(request, Effect::Verdict { slot, code: ReasonCode::UnknownNotObserved });
                            accepted.push(self.not_followed(iteration, Some(slot), warnings));
                        }
                    }
                }
            }
        }
        self.finish_event(request, number, first_entry, best);
        accepted
    }

    /// A claim of a unit past the cap: nothing can be said of it.
    fn not_followed(&self, iteration: u32, slot: Option<u32>, warnings: Codes) -> Accepted {
        let code = if slot.is_some() { ReasonCode::UnknownNotObserved } else { ReasonCode::Exposure };
        Accepted::Decided { iteration, slot, code, failures: CodeSet::default(), warnings }
    }

    /// Judges the conversions an event put into the log, and sorts the event by its best verdict.
    fn finish_event(&mut self, request: &mut Request, number: u64, first_entry: u32, best_elsewhere: Category) {
        let entries = self.log.len() as u32 - first_entry;
        if entries == 0 {
            self.apply(request, Effect::Category(best_elsewhere));
            return;
        }
        let record = self.records.len() as u32;
        self.records.push(Record { event: number, first_entry, entries, best_elsewhere, category: Category::NotAbout });
        for entry in first_entry..first_entry + entries {
            self.judge_new(entry, request.arrival_ms);
        }
        let category = self.best_of(record);
        if let Some(record) = self.records.get_mut(record as usize) {
            record.category = category;
        }
        self.totals.category(category, 1);
    }

    fn best_of(&self, record: u32) -> Category {
        let Some(record) = self.records.get(record as usize) else { return Category::NotAbout };
        let entries = record.first_entry as usize..(record.first_entry + record.entries) as usize;
        let of_entries = self.log.get(entries).unwrap_or_default().iter().map(|entry| entry.code.category());
        let elsewhere = Some(record.best_elsewhere).filter(|category| *category != Category::NotAbout);
        of_entries.chain(elsewhere).min().unwrap_or(Category::NotAbout)
    }

    fn unit_of_iteration<'e>(&self, event: &'e Event<'_>, iteration: u32) -> Option<(&'e str, &'e str)> {
        let kind = &self.judge.iterations().get(iteration as usize)?.iteration.randomization_unit;
        event.context_keys.iter().find(|(have, _)| have == kind)
    }

    fn unit_of_slot<'e>(&self, event: &'e Event<'_>, slot: u32) -> Option<(&'e str, &'e str)> {
        self.unit_of_iteration(event, self.judge.slots().get(slot as usize)?.iteration)
    }

    fn state_of_key(&mut self, iteration: u32, key: &str) -> Option<u32> {
        let judge = Arc::clone(&self.judge);
        let kind = &judge.iterations().get(iteration as usize)?.iteration.randomization_unit;
        let unit = self.unit(kind, key)?;
        Some(self.state_for(unit, iteration)).filter(|state| *state != NONE)
    }

    fn expose(&mut self, request: &mut Request, iteration: u32, key: &str, point: Point, number: u64) -> Option<u32> {
        let index = self.state_of_key(iteration, key)?;
        self.apply(request, Effect::Exposed { state: index, variation: point.variation });
        let state = self.states.get_mut(index as usize)?;
        let (first, own_arm) = (state.points.first(), state.own_arm());
        let matters = state.points.add(point, state.last_conversion_ms);
        if first.is_none_or(|first| (point, number) < (first, state.first_event)) {
            state.first_event = number;
            if self.options.track_changes && own_arm.is_some() {
                self.changes.push(Change::Exposures(index));
            }
        }
        if matters {
            self.rejudge(index);
        }
        Some(index)
    }

    /// Whether a verdict of this code gives way to `pending` while its exposure may be on its way (O2).
    fn may_be_pending(code: ReasonCode) -> bool {
        matches!(code, ReasonCode::NoExposure | ReasonCode::ConversionBeforeExposure | ReasonCode::UnknownNotObserved)
    }

    fn code_of_credit(&self, credit: Credit, iteration: u32) -> (ReasonCode, Option<i64>) {
        match credit {
            Credit::To(point) => (ReasonCode::Counted, Some(point.variation)),
            Credit::Expired(_) => (ReasonCode::AttributionWindowExpired, None),
            Credit::NoExposure | Credit::BeforeExposure(_) if self.is_partial(iteration) => {
                (ReasonCode::UnknownNotObserved, None)
            }
            Credit::NoExposure => (ReasonCode::NoExposure, None),
            Credit::BeforeExposure(_) => (ReasonCode::ConversionBeforeExposure, None),
        }
    }

    /// What A8–A11 say of a conversion, were A1–A7 no obstacle: for a decided one, what would fail next.
    pub fn attribution_of(&self, entry: &Conversion) -> (ReasonCode, Option<i64>) {
        let Some(state) = self.state(entry.state) else { return (ReasonCode::NoExposure, None) };
        self.code_of_credit(state.points.credit(entry.t_ms), state.iteration)
    }

    /// What would fail next, once the rule that decides is mended (O1c). Before an iteration starts no exposure is
    /// possible, so nothing is said of exposures then.
    pub fn next_failures(&self, entry: &Conversion) -> CodeSet {
        let mut next: CodeSet = entry.failures.iter().skip(1).collect();
        let too_early = [ReasonCode::IterationNotStarted, ReasonCode::BeforeIterationStart];
        if !entry.failures.is_empty() && !too_early.into_iter().any(|code| entry.failures.contains(code)) {
            let (code, credited) = self.attribution_of(entry);
            if credited.is_none() {
                next.insert(code);
            }
        }
        next
    }

    fn is_occurrence(&self, slot: u32) -> bool {
        self.judge.slot_metric(slot).is_some_and(|metric| metric.measure == Measure::Occurrence)
    }

    /// Judges a conversion that has just been put into the log.
    fn judge_new(&mut self, index: u32, arrival_ms: Option<i64>) {
        let Some(entry) = self.log.get(index as usize) else { return };
        if !entry.failures.is_empty() {
            return;
        }
        let (slot, state_index, t_ms, value) = (entry.slot, entry.state, entry.t_ms, entry.value);
        let event = self.event_of(entry);
        let (mut code, variation) = self.attribution_of(entry);
        let occurrence = self.is_occurrence(slot);
        let mut overtaken = None;
        if let Some(state) = self.states.get_mut(state_index as usize) {
            if let Some(entry) = self.log.get_mut(index as usize) {
                entry.next = std::mem::replace(&mut state.newest_conversion, index);
            }
            state.last_conversion_ms = state.last_conversion_ms.max(t_ms);
            if let Some(variation) = variation {
                let found = state
                    .aggregates
                    .iter_mut()
                    .find(|aggregate| aggregate.slot == slot && aggregate.variation == variation);
                match found {
                    Some(aggregate) => {
                        aggregate.count += 1;
                        aggregate.sum += value;
                        if (t_ms, event) < aggregate.first {
                            aggregate.first = (t_ms, event);
                            overtaken =
                                Some(std::mem::replace(&mut aggregate.first_entry, index)).filter(|_| occurrence);
                        } else if occurrence {
                            code = ReasonCode::CountedNoEffect;
                        }
                    }
                    None => state.aggregates.push(Aggregate {
                        slot,
                        variation,
                        count: 1,
                        sum: value,
                        first: (t_ms, event),
                        first_entry: index,
                    }),
                }
            }
        }
        if let (Some(grace), Some(arrival)) = (self.options.grace_ms, arrival_ms)
            && Self::may_be_pending(code)
        {
            code = ReasonCode::Pending;
            self.pending.push_back((arrival.saturating_add(grace), index));
            if let Some(entry) = self.log.get_mut(index as usize) {
                entry.is_pending = true;
            }
        }
        if let Some(entry) = self.log.get_mut(index as usize) {
            entry.code = code;
            entry.variation = variation;
        }
        if let Some(counts) = self.slot_counts.get_mut(slot as usize) {
            counts.add(code, 1);
        }
        if let Some(overtaken) = overtaken {
            self.set_verdict(overtaken, ReasonCode::CountedNoEffect, variation);
        }
    }

    /// Judges all conversions of a unit in an iteration again.
    pub(super) fn rejudge(&mut self, index: u32) {
        let Some(state) = self.states.get_mut(index as usize) else { return };
        state.aggregates.clear();
        let mut at = state.newest_conversion;
        let mut entries = Vec::new();
        while let Some(entry) = self.log.get(at as usize) {
            if !entry.is_withdrawn {
                entries.push((entry.t_ms, self.event_of(entry), at));
            }
            at = entry.next;
        }
        // In the order of time, so that the first of several conversions is the one that counts (A12).
        entries.sort_unstable();
        let mut aggregates: Vec<Aggregate> = Vec::new();
        for (t_ms, event, at) in entries {
            let Some(entry) = self.log.get(at as usize) else { continue };
            let (slot, value, is_pending) = (entry.slot, entry.value, entry.is_pending);
            let (mut code, variation) = self.attribution_of(entry);
            if let Some(variation) = variation {
                match aggregates.iter_mut().find(|aggregate| aggregate.slot == slot && aggregate.variation == variation)
                {
                    Some(aggregate) => {
                        aggregate.count += 1;
                        aggregate.sum += value;
                        if self.is_occurrence(slot) {
                            code = ReasonCode::CountedNoEffect;
                        }
                    }
                    None => aggregates.push(Aggregate {
                        slot,
                        variation,
                        count: 1,
                        sum: value,
                        first: (t_ms, event),
                        first_entry: at,
                    }),
                }
            }
            if is_pending && Self::may_be_pending(code) {
                code = ReasonCode::Pending;
            }
            self.set_verdict(at, code, variation);
        }
        if let Some(state) = self.states.get_mut(index as usize) {
            state.aggregates = aggregates;
        }
    }

    fn set_verdict(&mut self, index: u32, code: ReasonCode, variation: Option<i64>) {
        let Some(entry) = self.log.get_mut(index as usize) else { return };
        if (entry.code, entry.variation) == (code, variation) {
            return;
        }
        let before = std::mem::replace(&mut entry.code, code);
        entry.variation = variation;
        let (slot, record_index) = (entry.slot, entry.record);
        if let Some(counts) = self.slot_counts.get_mut(slot as usize) {
            counts.add(before, -1);
            counts.add(code, 1);
        }
        let category = self.best_of(record_index);
        if let Some(record) = self.records.get_mut(record_index as usize) {
            self.totals.category(record.category, -1);
            self.totals.category(category, 1);
            record.category = category;
            if self.options.track_changes {
                self.changes.push(Change::Event(record.event));
            }
        }
    }

    /// Lets time pass: conversions whose grace is over are no longer pending (O2).
    pub fn advance(&mut self, now_ms: i64) {
        while let Some((due_ms, index)) = self.pending.front().copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.pending.pop_front();
            debug_assert!(due_ms <= now_ms);
            let Some(entry) = self.log.get_mut(index as usize) else { continue };
            entry.is_pending = false;
            if entry.code == ReasonCode::Pending && !entry.is_withdrawn {
                let (code, variation) = self
                    .log
                    .get(index as usize)
                    .map_or((ReasonCode::NoExposure, None), |entry| self.attribution_of(entry));
                self.set_verdict(index, code, variation);
            }
        }
    }

    /// Whether the flag of any iteration is found to be sampled, or no longer, since the last review.
    pub(super) fn sampling_changed(&self) -> bool {
        !self.iteration_counts.iter().map(IterationCounts::is_sampled).eq(self.sampled.iter().copied())
    }

    /// Whether the flag of an iteration was found to be sampled (R7).
    pub fn is_sampled(&self, iteration: u32) -> bool {
        self.sampled.get(iteration as usize).copied().unwrap_or_default()
    }

    /// Decides anew which iterations' histories are complete, and judges again where that changed.
    pub fn review_completeness(&mut self) {
        self.sampled = self.iteration_counts.iter().map(IterationCounts::is_sampled).collect();
        for index in 0..self.partial.len() {
            let Some(judged) = self.judge.iterations().get(index) else { continue };
            let started = judged.iteration.started_at_ms;
            let observed_late =
                matches!((self.options.observed_from_ms, started), (Some(from), Some(start)) if from > start);
            let sampled = self.sampled.get(index).copied().unwrap_or_default();
            let is_partial = observed_late || sampled || self.totals.lost > 0 || self.is_over_capacity;
            let Some(partial) = self.partial.get_mut(index) else { continue };
            if std::mem::replace(partial, is_partial) != is_partial {
                for state in 0..self.states.len() as u32 {
                    if self
                        .state(state)
                        .is_some_and(|state| state.iteration as usize == index && state.newest_conversion != NONE)
                    {
                        self.rejudge(state);
                    }
                }
            }
        }
    }

    /// Whether an arm is only the first that was seen here (O1b).
    pub fn is_first_seen_here(&self, entry: &Conversion) -> bool {
        let started = self.judge.slot_iteration(entry.slot).and_then(|judged| judged.iteration.started_at_ms);
        match (self.options.observed_from_ms, entry.variation) {
            (Some(from), Some(_)) => from > started.unwrap_or(i64::MIN).max(entry.t_ms.saturating_sub(WINDOW_MS)),
            _ => false,
        }
    }

    /// The verdict of an exposure: the unit's first, a repeat, or another arm.
    pub fn exposure_code(&self, state: u32, event: u64, variation: i64) -> ReasonCode {
        match self.state(state) {
            Some(state) if state.first_event == event => ReasonCode::Exposure,
            Some(state) if state.own_arm() == Some(variation) => ReasonCode::RepeatExposure,
            _ => ReasonCode::CrossoverExposure,
        }
    }

    fn remark(&mut self, request: &mut Request, warnings: &Codes, number: u64, t_ms: i64) {
        for code in warnings {
            self.add_evidence(request, EvidenceKey::Code(*code), number, Some(t_ms), None);
        }
    }

    fn new_evidence(&mut self) -> u32 {
        self.evidence.push(Evidence::default());
        (self.evidence.len() - 1) as u32
    }

    pub(super) fn evidence_for(&mut self, key: EvidenceKey) -> u32 {
        if let Some(index) = self.evidence_by_key.get(&key) {
            return *index;
        }
        let index = self.new_evidence();
        self.evidence_by_key.insert(key, index);
        index
    }

    pub(super) fn add_evidence(
        &mut self,
        request: &mut Request,
        key: EvidenceKey,
        number: u64,
        t_ms: Option<i64>,
        unit: Option<(&str, &str)>,
    ) {
        let evidence = self.evidence_for(key);
        self.add_to_evidence(request, evidence, number, t_ms, unit);
    }

    fn add_to_evidence(
        &mut self,
        request: &mut Request,
        index: u32,
        number: u64,
        t_ms: Option<i64>,
        unit: Option<(&str, &str)>,
    ) {
        self.apply(request, Effect::Evidence { evidence: index, count: 1 });
        self.witness(index, request.source, number, t_ms, unit);
    }

    pub(super) fn unmatched_evidence(&mut self, key: &str) -> u32 {
        if let Some(evidence) = self.unmatched.get(key) {
            return *evidence;
        }
        let evidence = self.new_evidence();
        self.unmatched.insert(key.into(), evidence);
        evidence
    }

    /// Keeps what an event adds to a finding beside the count: sets and extremes, which a retry cannot change.
    fn witness(&mut self, index: u32, source: SourceId, number: u64, t_ms: Option<i64>, unit: Option<(&str, &str)>) {
        let unit = unit.and_then(|(kind, key)| self.unit(kind, key));
        if let Some(evidence) = self.evidence.get_mut(index as usize) {
            evidence.see(t_ms);
            evidence.source(source);
            evidence.example(number);
            evidence.units.extend(unit);
        }
    }

    /// Counts an effect, and keeps it where it may have to be taken back.
    pub(super) fn apply(&mut self, request: &mut Request, effect: Effect) {
        self.count(effect, 1);
        if self.options.keep_receipts && request.payload.is_some() {
            request.effects.push(effect);
        }
    }

    /// Counts an effect forwards (`1`) or backwards (`-1`).
    pub(super) fn count(&mut self, effect: Effect, sign: i64) {
        let add = |count: &mut u64, delta: u32| *count = count.saturating_add_signed(sign * i64::from(delta));
        match effect {
            Effect::Category(category) => self.totals.category(category, sign),
            Effect::Verdict { slot, code } => {
                if let Some(counts) = self.slot_counts.get_mut(slot as usize) {
                    counts.add(code, sign);
                }
            }
            Effect::Evaluations { iteration, code, count } => {
                if let Some(counts) = self.iteration_counts.get_mut(iteration as usize) {
                    counts.evaluations.add(code, sign * i64::from(count));
                }
            }
            Effect::Exposed { state, variation } => {
                let Some(state) = self.states.get_mut(state as usize) else { return };
                match state.per_variation.iter_mut().find(|(have, _)| *have == variation) {
                    Some((_, count)) => *count = count.saturating_add_signed(sign as i32),
                    None => state.per_variation.push((variation, 1)),
                }
            }
            Effect::Evidence { evidence, count } => {
                if let Some(evidence) = self.evidence.get_mut(evidence as usize) {
                    add(&mut evidence.events, count);
                }
            }
            Effect::Sampled { iteration } => {
                if let Some(counts) = self.iteration_counts.get_mut(iteration as usize) {
                    add(&mut counts.sampled, 1);
                }
            }
            Effect::MaybeSampled { iteration, sent, summarised } => {
                if let Some(counts) = self.iteration_counts.get_mut(iteration as usize) {
                    add(&mut counts.maybe_sampled_sent, sent);
                    add(&mut counts.maybe_sampled_summarised, summarised);
                }
            }
        }
    }
}
