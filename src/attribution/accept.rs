//! Taking events in: what they claim becomes exposures, conversions in the log, and counts.

use super::codes::CodeSet;
use super::judge::{Circumstances, Claim, Codes, EnvironmentMatch, Judgement, is_suspect_timestamp, warnings};
use super::points::Point;
use super::request::Request;
use super::state::{Accepted, AcceptedClaims, Change, Clock, Conversion, NONE, Record, State};
use super::tally::{Effect, EvidenceKey};
use crate::event::wrapped::Format;
use crate::event::{Event, Kind, Shape};
use crate::reason::{Category, ReasonCode};
use smallvec::SmallVec;
use std::sync::Arc;

impl State {
    /// Takes in an event and gives what it claims.
    pub fn event(&mut self, request: &mut Request, event: &Event<'_>) -> (u64, AcceptedClaims) {
        let number = self.totals.events;
        let t_ms = self.enter(request, event, number);
        let arrival_ms = request.arrival_ms.or(event.received_ms());
        if request.is_duplicate {
            return (number, self.duplicate(request, number, t_ms));
        }
        if request.is_of_segment {
            self.add_evidence(request, EvidenceKey::SegmentSent, number, t_ms, None);
        }
        if let Some(dropped) = event
            .dropped_events
            .map(|dropped| u32::try_from(dropped.max(0)).unwrap_or(u32::MAX))
            .filter(|dropped| *dropped > 0)
        {
            let evidence = self.evidence_for(EvidenceKey::Code(ReasonCode::QueueOverflow));
            self.apply(request, Effect::Evidence { evidence, count: dropped });
            self.witness(evidence, request.source, number, t_ms, None);
        }
        let environment = match &event.wrapping {
            None => request.environment,
            Some(wrapping) => self.wrapped(request, event, wrapping.format, number, t_ms),
        };
        if event.kind == Kind::Custom && event.shape != Shape::Contexts {
            self.note_custom(request, event, environment, number, t_ms);
        }
        if environment == EnvironmentMatch::Same && (request.origin.is_some() || event.kind == Kind::Alias) {
            self.note_contexts(request, event);
        }
        if event.url.is_some()
            && environment == EnvironmentMatch::Same
            && !request.is_of_segment
            && self.judge.has_pages()
        {
            self.note_page_of(event, t_ms);
        }
        if event.kind == Kind::Summary {
            request.summary(&self.judge, event, environment, number, t_ms);
        } else if event.kind == Kind::Feature {
            request.feature(&self.judge, event, number);
        }
        let judge = Arc::clone(&self.judge);
        let circumstances = Circumstances { t_ms: t_ms.unwrap_or_default(), arrival_ms, environment };
        let claims = match judge.judge(event, circumstances) {
            Judgement::Apart(code, metric) => {
                let mut warnings = warnings(event, circumstances);
                if judge.is_address_unsupported(event) {
                    warnings.push(ReasonCode::RegexUnsupported);
                }
                let mut claims = self.apart(request, event, number, t_ms, code, metric);
                // Sampling of what no experiment asks about is no finding.
                self.remark(
                    request,
                    warnings.iter().copied().filter(|code| *code != ReasonCode::Sampled),
                    number,
                    t_ms,
                );
                if let Some(Accepted::Apart { warnings: remarks, .. }) = claims.first_mut() {
                    *remarks = warnings;
                }
                claims
            }
            Judgement::Claims(claims) => self.claims(request, event, number, circumstances, claims),
        };
        (number, claims)
    }

    /// Takes in an event of Segment's of which LaunchDarkly gets nothing, for a reason in these words, although a
    /// trigger matched it or because none did. Its `event` says what there is to say of it: its call, its name, its
    /// time.
    pub fn unsent(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        (code, words): (ReasonCode, &str),
        was_matched: bool,
    ) -> (u64, AcceptedClaims) {
        let number = self.totals.events;
        let t_ms = self.enter(request, event, number);
        if request.is_duplicate {
            return (number, self.duplicate(request, number, t_ms));
        }
        let metric = event.key.as_deref().and_then(|key| self.judge.metric_of_event_key(key));
        self.apply(request, Effect::Category(code.category()));
        if was_matched && code == ReasonCode::SegmentRejected {
            let key = EvidenceKey::SegmentLost(self.segment_words(words));
            self.add_evidence(request, key, number, t_ms, None);
        }
        // Most of what no trigger matches is meant for others; it is only worth a word where a metric asks for it.
        if code != ReasonCode::SegmentNotSubscribed || metric.is_some() {
            let key = EvidenceKey::Segment(code, self.segment_words(words), metric);
            self.add_evidence(request, key, number, t_ms, None);
        }
        (number, smallvec::smallvec![Accepted::Apart { code, metric: None, warnings: Codes::new() }])
    }

    /// Counts an event, and gives its instant.
    fn enter(&mut self, request: &mut Request, event: &Event<'_>, number: u64) -> Option<i64> {
        self.totals.events += 1;
        self.totals.kind(event.kind.name().unwrap_or(&event.kind_name));
        let t_ms = self.instant(event, request.arrival_ms);
        if let Some(t_ms) = t_ms.filter(|t_ms| !is_suspect_timestamp(*t_ms)) {
            self.totals.see(t_ms);
        }
        if self.options.keep_receipts {
            request.readable.events += 1;
            request.readable.see(t_ms);
            request.readable.source(request.source);
            request.readable.example(number);
        }
        t_ms
    }

    fn duplicate(&mut self, request: &mut Request, number: u64, t_ms: Option<i64>) -> AcceptedClaims {
        self.totals.category(Category::Duplicate, 1);
        self.add_evidence(request, EvidenceKey::Code(ReasonCode::DuplicatePayload), number, t_ms, None);
        let warnings = request.is_reused.then_some(ReasonCode::PayloadIdReused).into_iter().collect();
        smallvec::smallvec![Accepted::Apart { code: ReasonCode::DuplicatePayload, metric: None, warnings }]
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

    /// Notes that upstream refused the request, and what it said.
    pub fn refused_upstream(&mut self, request: &mut Request, code: ReasonCode, said: Option<&str>) {
        let first_event = self.totals.events;
        let arrival_ms = request.arrival_ms;
        let evidence = self.evidence_for(EvidenceKey::Code(code));
        self.add_to_evidence(request, evidence, first_event, arrival_ms, None);
        if let (Some(said), Some(evidence)) = (said, self.evidence.get_mut(evidence as usize)) {
            evidence.kind(said);
        }
    }

    /// Notes that a request is not signed as it should be.
    pub fn badly_signed(&mut self, request: &mut Request) {
        let first_event = self.totals.events;
        let arrival_ms = request.arrival_ms;
        self.add_evidence(request, EvidenceKey::Code(ReasonCode::SegmentSignature), first_event, arrival_ms, None);
    }

    /// Notes that events were lost: nothing that rests on not having seen an exposure is certain any more.
    pub fn lost(&mut self, events: u64) {
        self.totals.lost += events;
        self.review_completeness();
    }

    /// Notes that nobody observed for a while: what was lost then, if anything, cannot be counted.
    pub fn interrupted(&mut self) {
        self.totals.was_interrupted = true;
        self.review_completeness();
    }

    /// The event's instant on the judging clock.
    pub fn instant(&self, event: &Event<'_>, arrival_ms: Option<i64>) -> Option<i64> {
        match self.options.clock {
            Clock::Creation => event.creation_ms,
            Clock::Received => arrival_ms.or(event.received_ms()).or(event.creation_ms),
        }
    }

    pub(super) fn apart(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        number: u64,
        t_ms: Option<i64>,
        code: ReasonCode,
        metric: Option<u32>,
    ) -> AcceptedClaims {
        self.apply(request, Effect::Category(code.category()));
        let unit = event.context_keys.main();
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

    pub(super) fn claims(
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
        let first_entry = self.log.next();
        let t_ms = circumstances.t_ms;
        let seen_ms = self.instant(event, circumstances.arrival_ms);
        let mut remarks = CodeSet::default();
        let mut found: SmallVec<[(ReasonCode, Option<usize>); 4]> = SmallVec::new();
        let is_sampled = event.kind == Kind::Feature
            && circumstances.environment == EnvironmentMatch::Same
            && event.sampling_ratio.is_some_and(|ratio| ratio > 1);
        for claim in claims {
            match claim {
                Claim::ExposesNot { iteration, code, warnings, elsewhere } => {
                    consider(code.category());
                    remarks.extend(warnings.iter().copied());
                    if is_sampled {
                        self.apply(request, Effect::Sampled { iteration });
                    }
                    self.apply(request, Effect::Evaluations { iteration, code, count: 1 });
                    // A finding is about an experiment, and the event is one, whatever the number of its iterations.
                    let experiment = self.judge.iterations().get(iteration as usize).map(|judged| judged.experiment);
                    if !elsewhere && !found.contains(&(code, experiment)) {
                        found.push((code, experiment));
                        let unit = self.unit_of_iteration(event, iteration).or_else(|| event.context_keys.main());
                        let evidence = self.evidence_for(EvidenceKey::Iteration(code, iteration));
                        self.add_to_evidence(request, evidence, number, seen_ms, unit);
                        if code == ReasonCode::EvalError
                            && let Some(evidence) = self.evidence.get_mut(evidence as usize)
                        {
                            let error = event.reason.as_ref().and_then(|reason| reason.error_kind.as_deref());
                            error.into_iter().for_each(|error| evidence.kind(error));
                        }
                    }
                    accepted.push(Accepted::Decided {
                        iteration,
                        slot: None,
                        code,
                        failures: [code].into_iter().collect(),
                        warnings,
                    });
                }
                Claim::OtherContext { iteration, slot } => {
                    consider(Category::NotAbout);
                    accepted.push(self.other_context(request, event, number, seen_ms, iteration, slot));
                }
                Claim::Exposes { iteration, key, variation, warnings } => {
                    consider(Category::Exposure);
                    remarks.extend(warnings.iter().copied());
                    if is_sampled {
                        self.apply(request, Effect::Sampled { iteration });
                    }
                    match self.expose(request, iteration, key, Point { t_ms, variation }, number) {
                        Some(state) => accepted.push(Accepted::Exposure { state, variation, warnings }),
                        None => accepted.push(self.not_followed(iteration, None, warnings)),
                    }
                }
                Claim::Converts { slot, failures, key, value, warnings, elsewhere } => {
                    remarks.extend(warnings.iter().copied());
                    let failures: CodeSet = failures.into_iter().collect();
                    if let Some(code) = failures.first() {
                        consider(code.category());
                        self.apply(request, Effect::Verdict { slot, code });
                        if !elsewhere {
                            let unit = self.unit_of_slot(event, slot).or_else(|| event.context_keys.main());
                            let evidence = self.evidence_for(EvidenceKey::Slot(code, slot));
                            self.add_to_evidence(request, evidence, number, seen_ms, unit);
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
                            let entry = self.log.next();
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
                                record: self.records.next(),
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
        // Once per event, however many iterations it is judged for.
        self.remark(request, remarks.iter(), number, seen_ms);
        self.finish_event(request, number, first_entry, best, circumstances.arrival_ms);
        accepted
    }

    /// Notes what an event came wrapped in, and gives whose environment it is. Out of the way of bare events.
    #[cold]
    fn wrapped(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        format: Format,
        number: u64,
        t_ms: Option<i64>,
    ) -> EnvironmentMatch {
        if format == Format::DebugSession {
            self.add_evidence(request, EvidenceKey::Code(ReasonCode::SourceLacksHeaders), number, t_ms, None);
        }
        match self.judge.environment_of(event) {
            EnvironmentMatch::Other => EnvironmentMatch::Other,
            EnvironmentMatch::Same => request.environment,
        }
    }

    /// A row of another context than the iteration asks about (O1d).
    #[cold]
    fn other_context(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        number: u64,
        t_ms: Option<i64>,
        iteration: u32,
        slot: Option<u32>,
    ) -> Accepted {
        let code = ReasonCode::OtherContextKind;
        let key = match slot {
            Some(slot) => EvidenceKey::Slot(code, slot),
            None => EvidenceKey::Iteration(code, iteration),
        };
        let evidence = self.evidence_for(key);
        self.add_to_evidence(request, evidence, number, t_ms, event.context_keys.main());
        if let Some(evidence) = self.evidence.get_mut(evidence as usize) {
            event.context_keys.iter().for_each(|(kind, _)| evidence.kind(kind));
        }
        Accepted::Decided { iteration, slot, code, failures: CodeSet::default(), warnings: Codes::new() }
    }

    /// A claim of a unit past the cap: nothing can be said of it.
    pub(super) fn not_followed(&self, iteration: u32, slot: Option<u32>, warnings: Codes) -> Accepted {
        let code = if slot.is_some() { ReasonCode::UnknownNotObserved } else { ReasonCode::Exposure };
        Accepted::Decided { iteration, slot, code, failures: CodeSet::default(), warnings }
    }

    /// Judges the conversions an event put into the log, and sorts the event by its best verdict.
    pub(super) fn finish_event(
        &mut self,
        request: &mut Request,
        number: u64,
        first_entry: u32,
        best_elsewhere: Category,
        arrival_ms: Option<i64>,
    ) {
        let entries = self.log.next() - first_entry;
        if entries == 0 {
            self.apply(request, Effect::Category(best_elsewhere));
            return;
        }
        let record = self.records.next();
        self.records.push(Record { event: number, first_entry, entries, best_elsewhere, category: Category::NotAbout });
        for entry in first_entry..first_entry + entries {
            self.judge_new(entry, number, arrival_ms);
        }
        let category = self.best_of(record);
        if let Some(record) = self.records.get_mut(record) {
            record.category = category;
        }
        self.totals.category(category, 1);
    }

    pub(super) fn best_of(&self, record: u32) -> Category {
        let Some(record) = self.records.get(record) else { return Category::NotAbout };
        let entries = record.first_entry..record.first_entry + record.entries;
        let of_entries = entries.filter_map(|entry| self.log.get(entry)).map(|entry| entry.code.category());
        let elsewhere = Some(record.best_elsewhere).filter(|category| *category != Category::NotAbout);
        of_entries.chain(elsewhere).min().unwrap_or(Category::NotAbout)
    }

    pub(super) fn unit_of_iteration<'e>(&self, event: &'e Event<'_>, iteration: u32) -> Option<(&'e str, &'e str)> {
        let kind = &self.judge.iterations().get(iteration as usize)?.iteration.randomization_unit;
        event.context_keys.iter().find(|(have, _)| have == kind)
    }

    pub(super) fn unit_of_slot<'e>(&self, event: &'e Event<'_>, slot: u32) -> Option<(&'e str, &'e str)> {
        self.unit_of_iteration(event, self.judge.slots().get(slot as usize)?.iteration)
    }

    pub(super) fn state_of_key(&mut self, iteration: u32, key: &str) -> Option<u32> {
        let judge = Arc::clone(&self.judge);
        let kind = &judge.iterations().get(iteration as usize)?.iteration.randomization_unit;
        let unit = self.unit(kind, key)?;
        Some(self.state_for(unit, iteration)).filter(|state| *state != NONE)
    }

    pub(super) fn expose(
        &mut self,
        request: &mut Request,
        iteration: u32,
        key: &str,
        point: Point,
        number: u64,
    ) -> Option<u32> {
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
        if matters && !std::mem::replace(&mut state.is_stale, true) {
            self.stale.push(index);
        }
        Some(index)
    }
}
