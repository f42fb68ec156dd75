//! What is kept of the events behind a finding: how many, when, from where, which units, and a few examples.

use super::codes::CodeSet;
use super::units::UnitId;
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashSet};

/// Examples kept per finding.
pub const EXAMPLES: usize = 5;

/// Number of a sender ([`super::state::State::source_name`]).
pub type SourceId = u16;

/// The events behind a finding, summed up. Everything in it is a set, an extreme or a count, so the order in which
/// events are added, and merging, change nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Events.
    pub events: u64,
    /// First instant on the judging clock.
    pub first_ms: Option<i64>,
    /// Last instant.
    pub last_ms: Option<i64>,
    /// Senders, sorted.
    pub sources: SmallVec<[SourceId; 4]>,
    /// Units.
    pub units: HashSet<UnitId, FixedState>,
    /// Context kinds the events carried, all of them, a handful at most.
    pub kinds: BTreeSet<Box<str>>,
    /// What else fails, beside the rule that decides.
    pub then: CodeSet,
    /// The lowest event numbers.
    pub examples: SmallVec<[u64; EXAMPLES]>,
    /// Some of it is a hint, not a decision.
    pub only_likely: bool,
}

impl Evidence {
    /// Widens the time span.
    pub fn see(&mut self, t_ms: Option<i64>) {
        let Some(t_ms) = t_ms else { return };
        self.first_ms = Some(self.first_ms.map_or(t_ms, |first| first.min(t_ms)));
        self.last_ms = Some(self.last_ms.map_or(t_ms, |last| last.max(t_ms)));
    }

    /// Adds a sender.
    pub fn source(&mut self, source: SourceId) {
        if let Err(at) = self.sources.binary_search(&source) {
            self.sources.insert(at, source);
        }
    }

    /// Adds a context kind.
    pub fn kind(&mut self, kind: &str) {
        const KINDS: usize = 8;
        if self.kinds.len() < KINDS && !self.kinds.contains(kind) {
            self.kinds.insert(kind.into());
        }
    }

    /// Adds an example, keeping the lowest numbers.
    pub fn example(&mut self, event: u64) {
        if let Err(at) = self.examples.binary_search(&event)
            && at < EXAMPLES
        {
            self.examples.truncate(EXAMPLES - 1);
            self.examples.insert(at, event);
        }
    }

    /// Adds all another part has, its units and senders renumbered, its events numbered on.
    pub fn merge(
        &mut self,
        other: &Self,
        unit: impl Fn(UnitId) -> UnitId,
        source: impl Fn(SourceId) -> SourceId,
        events_before: u64,
    ) {
        self.events += other.events;
        self.see(other.first_ms);
        self.see(other.last_ms);
        other.sources.iter().for_each(|id| self.source(source(*id)));
        self.units.extend(other.units.iter().map(|id| unit(*id)));
        other.examples.iter().for_each(|event| self.example(event + events_before));
        other.kinds.iter().for_each(|kind| self.kind(kind));
        self.then.extend(other.then.iter());
        self.only_likely |= other.only_likely;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_event_numbers_are_the_examples_whatever_their_order() {
        let mut evidence = Evidence::default();
        for event in [9, 3, 7, 1, 8, 2, 3] {
            evidence.example(event);
        }
        assert_eq!(evidence.examples.as_slice(), [1, 2, 3, 7, 8]);
    }
}
