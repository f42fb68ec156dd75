//! Custom events that have the shape Segment's destinations give them, as they were seen.
//!
//! What they come to depends on exposures and on other such events, both of which may arrive later, so that they are
//! kept until somebody asks. All are kept up to [`KNOWN_BYTES`], or [`OTHER_BYTES`] where nobody says that they are
//! Segment's: SDKs of a time have these shapes too. Past that it is those of the persons and hours with the
//! lowest hashes: which these are depends only on what events there were, never on the order they came in, so that any
//! order and any merge of parts keeps the same ones, each with its exact count; and what is said of all of a person's
//! events in an hour stays true, because they are kept or dropped together.

use super::evidence::SourceId;
use crate::event::Shape;
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use triomphe::Arc;

/// Bytes kept of what is known to be Segment's, about: twenty thousand events with keys of the usual length.
const KNOWN_BYTES: usize = 4 * 1024 * 1024;
/// Bytes kept of the rest: a thousand events. There may be millions of them, and each that is kept costs time.
const OTHER_BYTES: usize = 256 * 1024;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Names and what they stand for: context kinds and keys, or the members of Segment's event and the ids in them.
pub type Named = SmallVec<[(SmolStr, SmolStr); 2]>;

/// One event, or several that do not differ in any of this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Hash of the person and the hour: first, so that a map of sightings is in its order.
    pub(super) group: u64,
    /// Whether the sender says that it is Segment's, or a kind that only its preset has does.
    pub(super) is_known: bool,
    /// The first metric that counts its event key.
    pub metric: u32,
    /// Its shape.
    pub shape: Shape,
    /// `creationDate`, by which the two shapes of one action are matched.
    pub creation_ms: i64,
    /// Its instant on the judging clock.
    pub t_ms: i64,
    /// Kinds and keys, as sent.
    pub keys: Named,
    /// Ids of people in the event as Segment had it, by the names of their members; empty where that is not known.
    pub people: Named,
    /// The sender.
    pub source: SourceId,
    /// Whether it certainly came through Segment.
    pub is_of_segment: bool,
}

impl Sighting {
    /// The group of a person's events of an hour.
    pub(super) fn group(person: Option<&str>, creation_ms: i64) -> u64 {
        FixedState::default().hash_one((person, creation_ms.div_euclid(HOUR_MS)))
    }

    /// The key of a context kind.
    pub fn key(&self, kind: &str) -> Option<&str> {
        self.keys.iter().find(|(have, _)| have == kind).map(|(_, key)| key.as_str())
    }

    fn bytes(&self) -> usize {
        let text: usize = self.keys.iter().chain(&self.people).map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Self>() + size_of::<Seen>() + text
    }
}

/// How often something was sighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Events.
    pub events: u64,
    /// The lowest of their numbers.
    pub first_event: u64,
}

/// The sightings, shared by clones until one of them adds to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings {
    known: Table<KNOWN_BYTES>,
    others: Table<OTHER_BYTES>,
}

/// As much as fits into so many bytes.
#[derive(Clone, Debug, Default)]
struct Table<const BYTES: usize>(Option<Arc<Kept>>);

#[derive(Clone, Debug, Default)]
struct Kept {
    sightings: BTreeMap<Sighting, Seen>,
    bytes: usize,
    /// Groups from this one on are not kept; none: all are.
    below: Option<u64>,
}

impl Kept {
    fn add(&mut self, sighting: Sighting, seen: Seen, most_bytes: usize) {
        if self.below.is_some_and(|below| sighting.group >= below) {
            return;
        }
        if let Some(have) = self.sightings.get_mut(&sighting) {
            have.events += seen.events;
            have.first_event = have.first_event.min(seen.first_event);
            return;
        }
        self.bytes += sighting.bytes();
        self.sightings.insert(sighting, seen);
        while self.bytes > most_bytes {
            let Some(highest) = self.sightings.last_key_value().map(|(sighting, _)| sighting.group) else { return };
            self.drop_from(highest);
        }
    }

    fn drop_from(&mut self, group: u64) {
        self.below = Some(self.below.map_or(group, |below| below.min(group)));
        while let Some(highest) = self.sightings.last_entry().filter(|entry| entry.key().group >= group) {
            self.bytes -= highest.key().bytes();
            highest.remove();
        }
    }
}

impl<const BYTES: usize> Table<BYTES> {
    fn keeps(&self, group: u64) -> bool {
        self.0.as_ref().and_then(|kept| kept.below).is_none_or(|below| group < below)
    }

    fn add(&mut self, sighting: Sighting, seen: Seen) {
        // What is not kept is not worth copying what a clone shares.
        if self.keeps(sighting.group) {
            Arc::make_mut(self.0.get_or_insert_with(Arc::default)).add(sighting, seen, BYTES);
        }
    }

    fn take_back(&mut self, sighting: &Sighting) {
        let Some(kept) = self.0.as_mut().map(Arc::make_mut) else { return };
        let Some(seen) = kept.sightings.get_mut(sighting) else { return };
        seen.events -= 1;
        if seen.events == 0 {
            kept.sightings.remove(sighting);
            kept.bytes -= sighting.bytes();
        }
    }

    fn merge(&mut self, other: &Self, source: &impl Fn(SourceId) -> SourceId, events_before: u64) {
        let Some(other) = &other.0 else { return };
        let kept = Arc::make_mut(self.0.get_or_insert_with(Arc::default));
        if let Some(below) = other.below {
            kept.drop_from(below);
        }
        for (sighting, seen) in &other.sightings {
            let sighting = Sighting { source: source(sighting.source), ..sighting.clone() };
            kept.add(sighting, Seen { first_event: seen.first_event + events_before, ..*seen }, BYTES);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&Sighting, &Seen)> {
        self.0.iter().flat_map(|kept| &kept.sightings)
    }

    fn unshared_bytes(&self, earlier: &Self) -> usize {
        match (&self.0, &earlier.0) {
            (Some(now), Some(earlier)) if Arc::ptr_eq(now, earlier) => 0,
            (Some(now), _) => now.bytes,
            (None, _) => 0,
        }
    }
}

impl Sightings {
    /// Whether a sighting of a group would be kept.
    pub(super) fn keeps(&self, is_known: bool, group: u64) -> bool {
        if is_known { self.known.keeps(group) } else { self.others.keeps(group) }
    }

    /// Adds one event.
    pub(super) fn add(&mut self, sighting: Sighting, event: u64) {
        let seen = Seen { events: 1, first_event: event };
        if sighting.is_known {
            self.known.add(sighting, seen);
        } else {
            self.others.add(sighting, seen);
        }
    }

    /// Takes one event back.
    pub(super) fn take_back(&mut self, sighting: &Sighting) {
        if sighting.is_known {
            self.known.take_back(sighting);
        } else {
            self.others.take_back(sighting);
        }
    }

    /// Adds another part's, its senders renumbered and its events numbered on.
    pub(super) fn merge(&mut self, other: &Self, source: impl Fn(SourceId) -> SourceId, events_before: u64) {
        self.known.merge(&other.known, &source, events_before);
        self.others.merge(&other.others, &source, events_before);
    }

    /// All that are kept.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sighting, &Seen)> {
        self.known.iter().chain(self.others.iter())
    }

    /// See [`super::state::State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        self.known.unshared_bytes(&earlier.known) + self.others.unshared_bytes(&earlier.others)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sighting(person: u32, hour: i64, source: SourceId, padding: usize) -> Sighting {
        let key = format!("u-{person}-{}", "x".repeat(padding));
        Sighting {
            group: Sighting::group(Some(&key), hour * HOUR_MS),
            is_known: source == 0,
            metric: 0,
            shape: Shape::ContextKeys,
            creation_ms: hour * HOUR_MS,
            t_ms: hour * HOUR_MS,
            keys: [("user".into(), key.into())].into_iter().collect(),
            people: Named::new(),
            source,
            is_of_segment: source == 0,
        }
    }

    fn all(sightings: &Sightings) -> Vec<(Sighting, u64)> {
        sightings.iter().map(|(sighting, seen)| (sighting.clone(), seen.events)).collect()
    }

    fn of<'a>(events: impl Iterator<Item = &'a Sighting>) -> Sightings {
        let mut sightings = Sightings::default();
        events.for_each(|event| sightings.add(event.clone(), 0));
        sightings
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_kept_past_the_bound_depends_on_no_order_and_no_split(
            events in proptest::collection::vec((0..40_u32, 0..4_i64, 0..2_u16), 1..120),
            split in any::<prop::sample::Index>(),
        ) {
            // Keys so long that a few dozen fill the bound.
            let events: Vec<Sighting> =
                events.iter().map(|(person, hour, source)| sighting(*person, *hour, *source, 100_000)).collect();
            let whole = of(events.iter());
            prop_assert!(whole.known.0.as_ref().is_none_or(|kept| kept.bytes <= KNOWN_BYTES));
            prop_assert!(whole.others.0.as_ref().is_none_or(|kept| kept.bytes <= OTHER_BYTES));
            prop_assert_eq!(all(&of(events.iter().rev())), all(&whole));
            let (one, other) = events.split_at(split.index(events.len() + 1));
            let mut merged = of(one.iter());
            merged.merge(&of(other.iter()), |source| source, 0);
            prop_assert_eq!(all(&merged), all(&whole));
            let mut reversed = of(other.iter());
            reversed.merge(&of(one.iter()), |source| source, 0);
            prop_assert_eq!(all(&reversed), all(&whole));
        }
    }

    #[test]
    fn what_is_taken_back_was_never_there_and_a_clone_sees_nothing_of_it() {
        let (one, other) = (sighting(1, 0, 0, 0), sighting(2, 0, 0, 0));
        let mut sightings = of([&one, &other, &one].into_iter());
        let clone = sightings.clone();
        assert_eq!(sightings.unshared_bytes(&clone), 0);
        sightings.take_back(&one);
        sightings.take_back(&other);
        assert_eq!(all(&sightings), [(one.clone(), 1)]);
        assert_eq!(all(&clone), all(&of([&one, &other, &one].into_iter())));
        assert_eq!(sightings.unshared_bytes(&clone), one.bytes());
    }
}
