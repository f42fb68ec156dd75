//! Bounding what a long session remembers: the verdicts of the oldest conversions become final.
//!
//! What they counted stays, in the counts, per unit and behind the findings; only an exposure that arrives later
//! still can no longer revise them.

use super::state::{Aggregate, Conversion, State};
use super::tally::{Effect, EvidenceKey};
use crate::reason::ReasonCode;

impl State {
    /// Makes the verdicts of the oldest conversions final, down to the cap. All conversions of an event go together,
    /// because its category is the best of them.
    pub(super) fn settle(&mut self) {
        while self.log.held() > self.options.max_conversions {
            let Some(record) = self.records.iter().next().cloned() else { return };
            for number in record.first_entry..record.first_entry + record.entries {
                self.settle_pending(number);
            }
            for _ in 0..record.entries {
                if let Some((_, entry)) = self.log.drop_oldest() {
                    self.keep_what_it_counted(&entry, record.event);
                }
            }
            self.records.drop_oldest();
        }
    }

    fn settle_pending(&mut self, number: u32) {
        let pending = self.log.get(number).filter(|entry| entry.code == ReasonCode::Pending);
        if let Some((code, variation)) = pending.map(|entry| self.attribution_of(entry)) {
            self.set_verdict(number, code, variation);
        }
    }

    fn keep_evidence(&mut self, evidence: u32, entry: &Conversion, event: u64) {
        let unit = self.state(entry.state).map(|state| state.unit);
        self.count(Effect::Evidence { evidence, count: 1 }, 1);
        self.witness(evidence, entry.source, event, Some(entry.t_ms), None);
        if let Some(evidence) = self.evidence.get_mut(evidence as usize) {
            evidence.units.extend(unit);
        }
    }

    fn keep_what_it_counted(&mut self, entry: &Conversion, event: u64) {
        if entry.is_withdrawn {
            return;
        }
        if let Some(variation) = entry.variation {
            let Some(state) = self.states.get_mut(entry.state as usize) else { return };
            let settled = state.settled.get_or_insert_default();
            match settled.iter_mut().find(|have| have.slot == entry.slot && have.variation == variation) {
                Some(aggregate) => {
                    aggregate.count += 1;
                    aggregate.sum += entry.value;
                    aggregate.first = aggregate.first.min((entry.t_ms, event));
                }
                None => settled.push(Aggregate {
                    slot: entry.slot,
                    variation,
                    count: 1,
                    sum: entry.value,
                    first: (entry.t_ms, event),
                    first_entry: u32::MAX,
                }),
            }
            return;
        }
        let next = self.next_failures(entry);
        let code = entry.failures.first().unwrap_or(entry.code);
        if entry.elsewhere {
            return;
        }
        let evidence = self.evidence_for(EvidenceKey::Slot(code, entry.slot));
        if entry.failures.is_empty() {
            self.keep_evidence(evidence, entry, event);
            if self.is_left_behind(entry) {
                let restarted = self.evidence_for(EvidenceKey::Slot(ReasonCode::IterationRestarted, entry.slot));
                self.keep_evidence(restarted, entry, event);
            }
        }
        if let Some(evidence) = self.evidence.get_mut(evidence as usize) {
            evidence.then.extend(next.iter());
        }
    }
}
