//! What is kept of the events behind a finding: how many, when, from where, which units, and a few examples.

use super::codes::CodeSet;
use super::units::UnitId;
use roaring::RoaringBitmap;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use triomphe::Arc;

/// Examples kept per finding.
pub const EXAMPLES: usize = 5;

/// Number of a sender ([`super::state::State::source_name`]).
pub type SourceId = u16;

/// A set of units. Clones share it until one of them adds to it; units are numbered densely, so that it is small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitSet(Option<Arc<RoaringBitmap>>);

impl UnitSet {
    /// Adds a unit.
    pub fn insert(&mut self, unit: UnitId) {
        match &mut self.0 {
            // Most are there already, and a set that is only asked stays shared.
            Some(units) if units.contains(unit) => {}
            Some(units) => {
                Arc::make_mut(units).insert(unit);
            }
            None => self.0 = Some(Arc::new([unit].into_iter().collect())),
        }
    }

    /// The units, by number.
    pub fn iter(&self) -> impl Iterator<Item = UnitId> {
        self.0.iter().flat_map(|units| units.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |units| units.len() as usize)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that it holds and an earlier clone of it does not share; about as many as it would take to write it.
    pub(super) fn unshared_bytes(&self, earlier: Option<&Self>) -> usize {
        match (&self.0, earlier.and_then(|earlier| earlier.0.as_ref())) {
            (Some(now), Some(earlier)) if Arc::ptr_eq(now, earlier) => 0,
            (Some(now), _) => now.serialized_size(),
            (None, _) => 0,
        }
    }
}

impl Extend<UnitId> for UnitSet {
    fn extend<I: IntoIterator<Item = UnitId>>(&mut self, units: I) {
        units.into_iter().for_each(|unit| self.insert(unit));
    }
}

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
    pub units: UnitSet,
    /// Context kinds the events carried, all of them, a handful at most; or what else there is to say of them in words.
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

    /// Adds a context kind. Of too many the first by name are kept, so that the order they come in changes nothing.
    pub fn kind(&mut self, kind: &str) {
        const KINDS: usize = 8;
        let is_full = self.kinds.len() >= KINDS;
        if self.kinds.contains(kind) || (is_full && self.kinds.last().is_some_and(|last| **last < *kind)) {
            return;
        }
        self.kinds.insert(kind.into());
        if is_full {
            self.kinds.pop_last();
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
        self.units.extend(other.units.iter().map(unit));
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
