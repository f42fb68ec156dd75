//! Merging parts that were judged apart, so that the result is that of judging everything together.

use super::points::Point;
use super::request::PayloadKey;
use super::state::{Conversion, NONE, Record, State};
use super::tally::{Effect, EvidenceKey, Totals};
use crate::reason::{Category, ReasonCode};
use std::cmp::Ordering;

impl State {
    /// Takes in another part, judged by the same catalog and options. Its events are numbered on.
    ///
    /// Both parts must have been made with [`super::state::Options::keep_receipts`]: a payload that both have is a
    /// retry (R4), and the later of the two is withdrawn from its part first. Equal payload ids are taken to carry
    /// equal events; with ids that were reused for other events, which of them counts depends on the parts.
    pub fn merge(&mut self, mut other: State) {
        if self.totals == Totals::default() {
            // Nothing was received here yet: the other part is the whole.
            *self = other;
            return;
        }
        self.withdraw_retries(&mut other);
        let events_before = self.totals.events;
        self.totals.merge(&other.totals);
        for (counts, more) in self.slot_counts.iter_mut().zip(&other.slot_counts) {
            counts.merge(more);
        }
        for (counts, more) in self.iteration_counts.iter_mut().zip(&other.iteration_counts) {
            counts.merge(more);
        }
        self.is_over_capacity |= other.is_over_capacity;
        let units: Vec<u32> = (0..other.units.len() as u32)
            .map(|unit| other.units.name(unit).and_then(|(kind, key)| self.unit(kind, key)).unwrap_or(NONE))
            .collect();
        let states = self.merge_units(&other, &units, events_before);
        let evidence = self.merge_evidence(&other, &units, events_before);
        self.merge_sightings(&other, events_before);
        self.sessions.merge(&other.sessions);
        self.pages.merge(&other.pages);
        let log_before = (self.log.next(), self.records.next());
        self.merge_log(&other, &states, events_before);
        self.merge_payloads(&other, &states, &evidence, log_before, events_before);
        for state in states {
            if self.state(state).is_some_and(|state| state.newest_conversion != NONE) {
                self.rejudge(state);
            }
        }
        self.review_completeness();
    }

    fn withdraw_retries(&mut self, other: &mut State) {
        let shared: Vec<PayloadKey> =
            other.payloads.iter().map(|(key, _)| key).filter(|key| self.payloads.get(key).is_some()).cloned().collect();
        for key in shared {
            let arrival = |state: &State| state.payloads.get(&key).and_then(|payload| payload.arrival_ms);
            // Of two that arrived in the same millisecond either may go: they hold the same events.
            if arrival(other).cmp(&arrival(self)) == Ordering::Less {
                self.withdraw(&key);
            } else {
                other.withdraw(&key);
            }
        }
    }

    /// Takes a payload back: its events stay, as duplicates.
    fn withdraw(&mut self, key: &PayloadKey) {
        let Some(payload) = self.payloads.remove(key) else { return };
        self.totals.duplicate_payloads += 1;
        let Some(receipt) = payload.receipt else { return };
        for effect in &receipt.effects {
            self.count(*effect, -1);
        }
        receipt.sighted.iter().for_each(|sighting| self.sightings.take_back(sighting));
        let mut touched = Vec::new();
        for index in receipt.records.clone() {
            if let Some(record) = self.records.get(index) {
                let category = record.category;
                self.totals.category(category, -1);
            }
        }
        for index in receipt.entries.clone() {
            let Some(entry) = self.log.get_mut(index) else { continue };
            entry.is_withdrawn = true;
            let (slot, code, state) = (entry.slot, entry.code, entry.state);
            if entry.failures.is_empty() {
                if let Some(counts) = self.slot_counts.get_mut(slot as usize) {
                    counts.add(code, -1);
                }
                touched.push(state);
            }
        }
        self.totals.category(Category::Duplicate, receipt.readable.events as i64);
        let duplicates = self.evidence_for(EvidenceKey::Code(ReasonCode::DuplicatePayload));
        if let Some(evidence) = self.evidence.get_mut(duplicates as usize) {
            evidence.merge(&receipt.readable, |unit| unit, |source| source, 0);
        }
        touched.sort_unstable();
        touched.dedup();
        for state in touched {
            self.rejudge(state);
        }
    }

    /// Gives the number here of each of the other part's states.
    fn merge_units(&mut self, other: &State, units: &[u32], events_before: u64) -> Vec<u32> {
        let mut states = Vec::with_capacity(other.states.len());
        for from in other.states.iter() {
            let unit = units.get(from.unit as usize).copied().filter(|unit| *unit != NONE);
            let index = unit.map_or(NONE, |unit| self.state_for(unit, from.iteration));
            states.push(index);
            let Some(state) = self.states.get_mut(index as usize) else { continue };
            let here = state.points.first().map(|first: Point| (first, state.first_event));
            let there = from.points.first().map(|first| (first, from.first_event + events_before));
            if let Some(there) = there
                && here.is_none_or(|here| there < here)
            {
                state.first_event = there.1;
            }
            state.points.merge(&from.points);
            for (variation, count) in &from.per_variation {
                match state.per_variation.iter_mut().find(|(have, _)| have == variation) {
                    Some((_, have)) => *have += count,
                    None => state.per_variation.push((*variation, *count)),
                }
            }
        }
        states
    }

    /// Gives the number here of each piece of the other part's evidence.
    fn merge_evidence(&mut self, other: &State, units: &[u32], events_before: u64) -> Vec<u32> {
        let mut numbers = vec![NONE; other.evidence.len()];
        let sources: Vec<_> = other.sources.iter().map(|name| self.source(name)).collect();
        let source = |id: u16| sources.get(usize::from(id)).copied().unwrap_or(id);
        let unit = |id: u32| units.get(id as usize).copied().unwrap_or(NONE);
        let mut number = |there: u32, here: u32| {
            if let Some(number) = numbers.get_mut(there as usize) {
                *number = here;
            }
        };
        for (key, index) in &other.evidence_by_key {
            let here = self.evidence_for(key.clone());
            number(*index, here);
            if let (Some(here), Some(there)) =
                (self.evidence.get_mut(here as usize), other.evidence.get(*index as usize))
            {
                here.merge(there, unit, source, events_before);
            }
        }
        for (key, index) in other.unmatched.iter() {
            let here = self.unmatched_evidence(key);
            number(index, here);
            if let (Some(here), Some(there)) =
                (self.evidence.get_mut(here as usize), other.evidence.get(index as usize))
            {
                here.merge(there, unit, source, events_before);
            }
        }
        numbers
    }

    fn merge_sightings(&mut self, other: &State, events_before: u64) {
        let sources: Vec<_> = other.sources.iter().map(|name| self.source(name)).collect();
        let source = |id: u16| sources.get(usize::from(id)).copied().unwrap_or(id);
        self.sightings.merge(&other.sightings, source, events_before);
    }

    fn merge_payloads(
        &mut self,
        other: &State,
        states: &[u32],
        evidence: &[u32],
        (entries, records): (u32, u32),
        events_before: u64,
    ) {
        let renumber = |numbers: &[u32], index: u32| numbers.get(index as usize).copied().unwrap_or(NONE);
        let sources: Vec<_> = other.sources.iter().map(|name| self.source(name)).collect();
        let source = |id: u16| sources.get(usize::from(id)).copied().unwrap_or(id);
        // In the order they were remembered, so that the oldest are forgotten first.
        for (key, payload) in other.payloads.iter() {
            let mut payload = payload.clone();
            if let Some(receipt) = payload.receipt.as_mut().map(triomphe::Arc::make_mut) {
                receipt.entries = receipt.entries.start + entries..receipt.entries.end + entries;
                receipt.records = receipt.records.start + records..receipt.records.end + records;
                let readable = std::mem::take(&mut receipt.readable);
                receipt.readable.merge(&readable, |unit| unit, source, events_before);
                receipt.sighted.iter_mut().for_each(|sighting| sighting.source = source(sighting.source));
                for effect in &mut receipt.effects {
                    match effect {
                        Effect::Exposed { state, .. } => *state = renumber(states, *state),
                        Effect::Evidence { evidence: index, .. } => *index = renumber(evidence, *index),
                        _ => {}
                    }
                }
            }
            self.payloads.insert(key.clone(), payload);
        }
    }

    fn merge_log(&mut self, other: &State, states: &[u32], events_before: u64) {
        let (entries, records) = (self.log.next(), self.records.next());
        for record in other.records.iter() {
            self.records.push(Record {
                event: record.event + events_before,
                first_entry: record.first_entry + entries,
                ..record.clone()
            });
        }
        for entry in other.log.iter() {
            let index = self.log.next();
            let state = states.get(entry.state as usize).copied().unwrap_or(NONE);
            let source = other.source_name(entry.source).map_or(entry.source, |name| self.source(&name.clone()));
            let is_chained = entry.failures.is_empty();
            let next = match self.states.get_mut(state as usize) {
                Some(state) if is_chained => {
                    state.last_conversion_ms = state.last_conversion_ms.max(entry.t_ms);
                    std::mem::replace(&mut state.newest_conversion, index)
                }
                _ => NONE,
            };
            self.log.push(Conversion { state, source, record: entry.record + records, next, ..entry.clone() });
        }
    }
}
