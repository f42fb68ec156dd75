//! Verdicts that rest on other events (A8–A12), given when a conversion arrives and revised when an exposure does.

use super::allotted::could_not_be;
use super::codes::CodeSet;
use super::points::{Credit, WINDOW_MS};
use super::state::{Aggregate, Change, Conversion, NONE, State};
use super::tally::IterationCounts;
use crate::catalog::Measure;
use crate::reason::ReasonCode;

impl State {
    /// Whether a verdict of this code gives way to `pending` while its exposure may be on its way (O2).
    pub(super) fn may_be_pending(code: ReasonCode) -> bool {
        matches!(code, ReasonCode::NoExposure | ReasonCode::ConversionBeforeExposure | ReasonCode::UnknownNotObserved)
    }

    /// What A8–A11 say of a conversion, were A1–A7 no obstacle: for a decided one, what would fail next.
    pub fn attribution_of(&self, entry: &Conversion) -> (ReasonCode, Option<i64>) {
        let Some(state) = self.state(entry.state) else { return (ReasonCode::NoExposure, None) };
        code_of_credit(state.points.credit(entry.t_ms), self.is_partial(state.iteration), self.could_not_be(state))
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

    /// F17: its unit was exposed before the experiment was restarted, and not since.
    pub fn is_left_behind(&self, entry: &Conversion) -> bool {
        if entry.code != ReasonCode::NoExposure {
            return false;
        }
        let iterations = self.judge.iterations();
        let Some(unit) = self.state(entry.state) else { return false };
        let Some(now) = iterations.get(unit.iteration as usize) else { return false };
        self.states_of(unit.unit).any(|(_, other)| {
            let before = iterations.get(other.iteration as usize).filter(|it| it.experiment == now.experiment);
            let is_before = before.is_some_and(|it| it.iteration.started_at_ms < now.iteration.started_at_ms);
            is_before && !other.points.is_empty()
        })
    }

    pub(super) fn is_occurrence(&self, slot: u32) -> bool {
        self.judge.slot_metric(slot).is_some_and(|metric| metric.measure == Measure::Occurrence)
    }

    /// Judges a conversion that has just been put into the log.
    pub(super) fn judge_new(&mut self, index: u32, event: u64, arrival_ms: Option<i64>) {
        let Some(entry) = self.log.get_mut(index).filter(|entry| entry.failures.is_empty()) else { return };
        let (slot, state_index, t_ms, value) = (entry.slot, entry.state, entry.t_ms, entry.value);
        let (mut code, mut variation) = (ReasonCode::NoExposure, None);
        let occurrence = self.is_occurrence(slot);
        let (mut overtaken, mut next) = (None, NONE);
        if let Some(state) = self.states.get_mut(state_index as usize) {
            let could_not_be = could_not_be(&self.judge, &self.refuted, state);
            (code, variation) =
                code_of_credit(state.points.credit(t_ms), is_true(&self.partial, state.iteration), could_not_be);
            next = std::mem::replace(&mut state.newest_conversion, index);
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
        let pending_until = self.options.grace_ms.zip(arrival_ms).map(|(grace, arrival)| arrival.saturating_add(grace));
        let pending_until = pending_until.filter(|_| Self::may_be_pending(code));
        if let Some(until) = pending_until {
            code = ReasonCode::Pending;
            self.pending.push((until, index));
        }
        if let Some(entry) = self.log.get_mut(index) {
            entry.is_pending = pending_until.is_some();
            entry.next = next;
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

    /// Judges again whatever the exposures since the last call can have changed.
    pub(super) fn rejudge_stale(&mut self) {
        for index in std::mem::take(&mut self.stale) {
            if let Some(state) = self.states.get_mut(index as usize) {
                state.is_stale = false;
            }
            self.rejudge(index);
        }
    }

    /// Judges all conversions of a unit in an iteration again.
    pub(super) fn rejudge(&mut self, index: u32) {
        let Some(state) = self.states.get(index as usize) else { return };
        let mut aggregates = state.settled.as_deref().cloned().unwrap_or_default();
        let mut at = state.newest_conversion;
        let mut entries = Vec::new();
        while let Some(entry) = self.log.get(at) {
            if !entry.is_withdrawn {
                entries.push((entry.t_ms, self.event_of(entry), at));
            }
            at = entry.next;
        }
        // In the order of time, so that the first of several conversions is the one that counts (A12).
        entries.sort_unstable();
        for (t_ms, event, at) in entries {
            let Some(entry) = self.log.get(at) else { continue };
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

    pub(super) fn set_verdict(&mut self, index: u32, code: ReasonCode, variation: Option<i64>) {
        // Asked first: most verdicts stand, and what is not written stays shared with the clones of this state.
        if self.log.get(index).is_none_or(|entry| (entry.code, entry.variation) == (code, variation)) {
            return;
        }
        let Some(entry) = self.log.get_mut(index) else { return };
        let before = std::mem::replace(&mut entry.code, code);
        entry.variation = variation;
        let (slot, record_index) = (entry.slot, entry.record);
        if let Some(counts) = self.slot_counts.get_mut(slot as usize) {
            counts.add(before, -1);
            counts.add(code, 1);
        }
        let category = self.best_of(record_index);
        let Some(record) = self.records.get(record_index) else { return };
        let (before, event) = (record.category, record.event);
        if self.options.track_changes {
            self.changes.push(Change::Event(event));
        }
        if before != category
            && let Some(record) = self.records.get_mut(record_index)
        {
            record.category = category;
            self.totals.category(before, -1);
            self.totals.category(category, 1);
        }
    }

    /// Lets time pass: conversions whose grace is over are no longer pending (O2).
    pub fn advance(&mut self, now_ms: i64) {
        while let Some((_, index)) = self.pending.get(0).copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.pending.pop_front();
            let Some(entry) = self.log.get_mut(index) else { continue };
            entry.is_pending = false;
            if entry.code == ReasonCode::Pending && !entry.is_withdrawn {
                let (code, variation) =
                    self.log.get(index).map_or((ReasonCode::NoExposure, None), |entry| self.attribution_of(entry));
                self.set_verdict(index, code, variation);
            }
        }
    }

    /// Whether exposures of any iteration are found to be missing, or a rollout not to hold, or no longer, since the
    /// last review.
    pub(super) fn needs_review(&self) -> bool {
        let counts = || self.iteration_counts.iter();
        !counts().map(IterationCounts::lacks_exposures).eq(self.lacking.iter().copied())
            || !counts().map(IterationCounts::refutes_the_rollout).eq(self.refuted.iter().copied())
    }

    /// Nothing more will come: what is pending is decided, and pending exists no more, as where it never did.
    pub fn conclude(&mut self) {
        self.advance(i64::MAX);
        self.options.grace_ms = None;
    }

    /// Whether the flag of an iteration was found to be sampled (R7).
    pub fn is_sampled(&self, iteration: u32) -> bool {
        self.iteration_counts(iteration).is_some_and(IterationCounts::is_sampled)
    }

    /// Decides anew which iterations' histories are complete, and judges again where that changed.
    pub fn review_completeness(&mut self) {
        self.lacking = self.iteration_counts.iter().map(IterationCounts::lacks_exposures).collect();
        let refuted = self.iteration_counts.iter().map(IterationCounts::refutes_the_rollout).collect();
        let refuted_before = std::mem::replace(&mut self.refuted, refuted);
        for index in 0..self.partial.len() {
            let Some(judged) = self.judge.iterations().get(index) else { continue };
            let started = judged.iteration.started_at_ms;
            let observed_late =
                matches!((self.options.observed_from_ms, started), (Some(from), Some(start)) if from > start);
            let lacking = self.lacking.get(index).copied().unwrap_or_default();
            let was_lost = self.totals.lost > 0 || self.totals.was_interrupted;
            let is_partial = observed_late || lacking || was_lost || self.is_over_capacity;
            let Some(partial) = self.partial.get_mut(index) else { continue };
            let was_refuted = refuted_before.get(index).copied().unwrap_or_default();
            let is_refuted = self.refuted.get(index).copied().unwrap_or_default();
            if std::mem::replace(partial, is_partial) != is_partial || was_refuted != is_refuted {
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
}

fn is_true(of_iterations: &[bool], iteration: u32) -> bool {
    of_iterations.get(iteration as usize).copied().unwrap_or_default()
}

fn code_of_credit(credit: Credit, is_partial: bool, could_not_be: bool) -> (ReasonCode, Option<i64>) {
    match credit {
        Credit::NoExposure if could_not_be => (ReasonCode::UnitNotAllocated, None),
        Credit::To(point) => (ReasonCode::Counted, Some(point.variation)),
        Credit::Expired(_) => (ReasonCode::AttributionWindowExpired, None),
        Credit::NoExposure | Credit::BeforeExposure(_) if is_partial => (ReasonCode::UnknownNotObserved, None),
        Credit::NoExposure => (ReasonCode::NoExposure, None),
        Credit::BeforeExposure(_) => (ReasonCode::ConversionBeforeExposure, None),
    }
}
