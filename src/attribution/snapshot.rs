//! What a checkpoint of the state costs.

use super::evidence::Evidence;
use super::state::{Aggregate, State, UnitState};

impl State {
    /// Bytes that this state holds and `earlier`, which it went on from, does not share: what it costs to keep both,
    /// above keeping `earlier`. Of a row of checkpoints each is to be measured against the one before it.
    ///
    /// An estimate, and rather too much than too little: what lies beside a leaf that was copied counts whole, though
    /// some of it may be shared; what the allocator adds does not count. It takes a walk over the references of this
    /// state, and over the items of what was copied.
    pub fn unshared_bytes(&self, earlier: &Self) -> usize {
        let plain = size_of::<Self>()
            + self.sources.len() * size_of::<std::sync::Arc<str>>()
            + self.slot_counts.len() * COUNTS_BYTES
            + self.iteration_counts.len() * 3 * COUNTS_BYTES
            + self.totals.by_kind.len() * COUNTS_BYTES
            + self.evidence_by_key.len() * 2 * size_of::<(super::tally::EvidenceKey, u32)>()
            + size_of_val(self.changes.as_slice());
        plain
            + self.units.unshared_bytes(&earlier.units)
            + self.states.unshared_bytes(&earlier.states, unit_state)
            + self.log.unshared_bytes(&earlier.log, |_| 0)
            + self.records.unshared_bytes(&earlier.records, |_| 0)
            + self.evidence.unshared_bytes(&earlier.evidence, evidence)
            + self.unit_sets(earlier)
            + self.unmatched.unshared_bytes(&earlier.unmatched)
            + self.sightings.unshared_bytes(&earlier.sightings)
            + self.sessions.unshared_bytes(&earlier.sessions)
            + self.pages.unshared_bytes(&earlier.pages)
            + self.payloads.unshared_bytes(&earlier.payloads)
            + self.pending.unshared_bytes(&earlier.pending, |_| 0)
    }

    /// Sets of units are shared by themselves: a finding gains events far oftener than units.
    fn unit_sets(&self, earlier: &Self) -> usize {
        let sets = self.evidence.iter().enumerate();
        sets.map(|(index, now)| now.units.unshared_bytes(earlier.evidence.get(index).map(|before| &before.units))).sum()
    }
}

/// A map of a few counts.
const COUNTS_BYTES: usize = 128;

fn unit_state(state: &UnitState) -> usize {
    let aggregates = if state.aggregates.spilled() { state.aggregates.capacity() * size_of::<Aggregate>() } else { 0 };
    let settled = state.settled.as_ref().map_or(0, |settled| {
        size_of_val(&**settled) + if settled.spilled() { settled.capacity() * size_of::<Aggregate>() } else { 0 }
    });
    let variations = &state.per_variation;
    let per_variation = if variations.spilled() { variations.capacity() * size_of::<(i64, u32)>() } else { 0 };
    state.points.heap_bytes() + per_variation + aggregates + settled
}

fn evidence(evidence: &Evidence) -> usize {
    evidence.kinds.iter().map(|kind| kind.len() + size_of::<Box<str>>()).sum()
}
