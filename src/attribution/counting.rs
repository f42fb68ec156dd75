//! Counting, forwards and backwards, and keeping what findings show.

use super::allotted::is_left_out;
use super::evidence::{Evidence, SourceId};
use super::request::Request;
use super::state::State;
use super::tally::{Effect, EvidenceKey};
use crate::reason::ReasonCode;
use std::sync::Arc;

/// Stands for the event keys past the limit.
const OTHER_KEYS: &str = "…other event keys";

impl State {
    /// Notes remarks on an event.
    pub(super) fn remark(
        &mut self,
        request: &mut Request,
        remarks: impl Iterator<Item = ReasonCode>,
        number: u64,
        t_ms: Option<i64>,
    ) {
        for code in remarks {
            self.add_evidence(request, EvidenceKey::Code(code), number, t_ms, None);
        }
    }

    pub(super) fn new_evidence(&mut self) -> u32 {
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

    pub(super) fn add_to_evidence(
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

    /// The words by which findings tell Segment's refusals apart. They quote events, so that only so many are kept.
    pub(super) fn segment_words(&self, words: &str) -> Arc<str> {
        const TOLD_APART: usize = 4096;
        const CHARACTERS: usize = 300;
        if self.evidence_by_key.len() >= TOLD_APART {
            return "…other reasons".into();
        }
        match words.char_indices().nth(CHARACTERS) {
            Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()).into(),
            None => words.into(),
        }
    }

    pub(super) fn unmatched_evidence(&mut self, key: &str) -> u32 {
        if let Some(evidence) = self.unmatched.get(key) {
            return evidence;
        }
        // Anyone can make up event keys; past the limit they share one row.
        const TOLD_APART: usize = 100_000;
        if self.unmatched.len() >= TOLD_APART && key != OTHER_KEYS {
            return self.unmatched_evidence(OTHER_KEYS);
        }
        let evidence = self.new_evidence();
        self.unmatched.insert(key, evidence);
        evidence
    }

    /// Keeps what an event adds to a finding beside the count: sets and extremes, which a retry cannot change.
    pub(super) fn witness(
        &mut self,
        index: u32,
        source: SourceId,
        number: u64,
        t_ms: Option<i64>,
        unit: Option<(&str, &str)>,
    ) {
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
                if let Some(counts) = self.iteration_counts.get_mut(state.iteration as usize)
                    && is_left_out(&self.judge, state)
                {
                    add(&mut counts.against_the_rollout, 1);
                }
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
