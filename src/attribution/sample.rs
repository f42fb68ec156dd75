//! A sample of things by the hash of their name, with what is known of each.
//!
//! Up to its bound all are kept; past it those with the lowest hashes. Which these are depends on what there was and on
//! no order, and of what is kept everything is known from the first time it was seen: whatever order things came in,
//! however they were split and merged, the sample is the same. Clones share it until one of them adds to it.

use std::collections::BTreeMap;
use triomphe::Arc;

/// What can be known in parts. Joining is associative, commutative, and joining the same twice changes nothing, so that
/// a payload that two parts have (R4) needs not be taken back.
pub(super) trait Join: Clone {
    /// Adds what another part knows.
    fn join(&mut self, other: &Self);
    /// Bytes that it takes, about.
    fn bytes(&self) -> usize;
}

#[derive(Clone, Debug)]
struct Kept<V> {
    items: BTreeMap<u64, V>,
    /// Hashes from this one on are not kept; none: all are.
    below: Option<u64>,
}

/// A sample of at most so many.
#[derive(Clone, Debug)]
pub(super) struct Sample<V, const MOST: usize>(Option<Arc<Kept<V>>>);

impl<V, const MOST: usize> Default for Sample<V, MOST> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V: Join, const MOST: usize> Sample<V, MOST> {
    /// Whether what has this hash would be kept.
    pub(super) fn keeps(&self, hash: u64) -> bool {
        self.0.as_ref().and_then(|kept| kept.below).is_none_or(|below| hash < below)
    }

    /// What is known of what has this hash.
    pub(super) fn get(&self, hash: u64) -> Option<&V> {
        self.0.as_ref()?.items.get(&hash)
    }

    /// Adds what is known of something.
    pub(super) fn add(&mut self, hash: u64, item: &V) {
        if !self.keeps(hash) {
            return;
        }
        let empty = || Arc::new(Kept { items: BTreeMap::new(), below: None });
        let kept = Arc::make_mut(self.0.get_or_insert_with(empty));
        match kept.items.get_mut(&hash) {
            Some(known) => known.join(item),
            None => _ = kept.items.insert(hash, item.clone()),
        }
        if kept.items.len() > MOST
            && let Some((highest, _)) = kept.items.pop_last()
        {
            kept.below = Some(highest);
        }
    }

    /// Adds another part's.
    pub(super) fn merge(&mut self, other: &Self) {
        let Some(other) = &other.0 else { return };
        if let (Some(below), Some(kept)) = (other.below, self.0.as_mut()) {
            let kept = Arc::make_mut(kept);
            kept.items.split_off(&below);
            kept.below = Some(kept.below.map_or(below, |own| own.min(below)));
        }
        other.items.iter().for_each(|(hash, item)| self.add(*hash, item));
        // An empty sample learns here what the other does not keep.
        if let (Some(below), Some(kept)) = (other.below, self.0.as_mut()) {
            let kept = Arc::make_mut(kept);
            kept.below = Some(kept.below.map_or(below, |own| own.min(below)));
        }
    }

    /// Whether nothing was left out.
    pub(super) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|kept| kept.below.is_none())
    }

    /// All that are kept, in no order that means anything, but always the same.
    pub(super) fn iter(&self) -> impl Iterator<Item = &V> {
        self.0.iter().flat_map(|kept| kept.items.values())
    }

    /// See [`super::state::State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        match (&self.0, &earlier.0) {
            (Some(now), Some(earlier)) if Arc::ptr_eq(now, earlier) => 0,
            (Some(now), _) => now.items.values().map(|item| item.bytes() + 2 * size_of::<u64>()).sum(),
            (None, _) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    impl Join for BTreeSet<u8> {
        fn join(&mut self, other: &Self) {
            self.extend(other);
        }

        fn bytes(&self) -> usize {
            self.len()
        }
    }

    fn of(items: &[(u64, u8)]) -> Sample<BTreeSet<u8>, 8> {
        let mut sample = Sample::default();
        items.iter().for_each(|(hash, item)| sample.add(*hash, &BTreeSet::from([*item])));
        sample
    }

    fn all(sample: &Sample<BTreeSet<u8>, 8>) -> (Vec<BTreeSet<u8>>, bool) {
        (sample.iter().cloned().collect(), sample.is_whole())
    }

    proptest! {
        #[test]
        fn what_is_kept_depends_on_no_order_and_no_split(
            items in proptest::collection::vec((0..40_u64, any::<u8>()), 0..120),
            split in any::<prop::sample::Index>(),
        ) {
            let whole = of(&items);
            prop_assert!(whole.iter().count() <= 8);
            let distinct: BTreeSet<u64> = items.iter().map(|(hash, _)| *hash).collect();
            prop_assert_eq!(whole.is_whole(), distinct.len() <= 8);
            let mut reversed = items.clone();
            reversed.reverse();
            prop_assert_eq!(all(&of(&reversed)), all(&whole));
            let (one, other) = items.split_at(split.index(items.len() + 1));
            for (one, other) in [(one, other), (other, one)] {
                let mut merged = of(one);
                merged.merge(&of(other));
                prop_assert_eq!(all(&merged), all(&whole));
                // What both have changes nothing.
                merged.merge(&of(other));
                prop_assert_eq!(all(&merged), all(&whole));
            }
        }
    }
}
