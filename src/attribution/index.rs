//! Numbers of things, found by the hash of their names, in a table whose clones share what neither has changed since.

use super::list::List;
use super::state::NONE;

#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    /// [`NONE`]: free.
    number: u32,
}

const FREE: Place = Place { hash: 0, number: NONE };

/// A hash table of numbers. What they number is kept by whoever asks, which can tell whether a number is meant.
///
/// Places are tried one after another from where the hash points, so that an entry costs a clone one leaf; an
/// ordinary hash table would be copied whole, and one cut in parts, part by part, of which a few thousand new
/// entries leave none alone.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// A power of two of them, or none.
    places: List<Place, 32>,
    held: usize,
}

impl Index {
    /// An empty table.
    pub(super) fn new(shares_clones: bool) -> Self {
        Self { places: List::new(shares_clones), held: 0 }
    }

    /// How many numbers are held.
    pub(super) fn len(&self) -> usize {
        self.held
    }

    /// The number for a name of this hash, for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.place(hash, is_it).map(|(_, number)| number)
    }

    /// Adds a number, whose name is not in the table.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        // Full to five eighths at the most: the longer the runs of places taken, the slower to find that a name is
        // new.
        if (self.held + 1) * 8 > self.places.len() * 5 {
            self.double();
        }
        self.held += 1;
        self.put(Place { hash: folded(hash), number });
    }

    /// Removes the number for a name of this hash, for which `is_it` holds.
    pub(super) fn remove(&mut self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mut hole, number) = self.place(hash, is_it)?;
        self.held -= 1;
        // What follows and was put aside because of this entry moves up, so that no mark of the removed one stays.
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some(place) = self.places.get(at).copied().filter(|place| place.number != NONE) else { break };
            let home = place.hash as usize & mask;
            let (from_home, from_hole) = (at.wrapping_sub(home) & mask, at.wrapping_sub(hole) & mask);
            if from_home >= from_hole {
                self.write(hole, place);
                hole = at;
            }
        }
        self.write(hole, FREE);
        Some(number)
    }

    /// See [`super::state::State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        self.places.unshared_bytes(&earlier.places, |_| 0)
    }

    fn mask(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }

    fn place(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let (hash, mask) = (folded(hash), self.mask());
        let mut at = hash as usize & mask;
        loop {
            // Never full, so a free place ends the search.
            let place = self.places.get(at).filter(|place| place.number != NONE)?;
            if place.hash == hash && is_it(place.number) {
                return Some((at, place.number));
            }
            at = (at + 1) & mask;
        }
    }

    fn put(&mut self, place: Place) {
        let mask = self.mask();
        let mut at = place.hash as usize & mask;
        while self.places.get(at).is_some_and(|place| place.number != NONE) {
            at = (at + 1) & mask;
        }
        self.write(at, place);
    }

    fn write(&mut self, at: usize, place: Place) {
        if let Some(there) = self.places.get_mut(at) {
            *there = place;
        }
    }

    fn double(&mut self) {
        let mut places = self.places.emptied();
        places.grow((self.places.len() * 2).max(64), &FREE);
        let before = std::mem::replace(&mut self.places, places);
        before.iter().filter(|place| place.number != NONE).for_each(|place| self.put(*place));
    }
}

/// The part of a hash that is kept. Tables of more than 2³² places would need more; numbers end there too.
fn folded(hash: u64) -> u32 {
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16),
        Remove(u16),
        Clone,
    }

    /// Hashes that meet: names share a few places, at the end of the table too, so that runs wrap around.
    fn hash(name: u16) -> u64 {
        u64::from(name % 7) * 9 + 60
    }

    fn found(index: &Index, name: u16) -> Option<u32> {
        index.find(hash(name), |number| number == u32::from(name))
    }

    proptest! {
        #[test]
        fn what_is_in_it_is_found_and_nothing_else(steps in proptest::collection::vec(prop_oneof![
            6 => (0..60_u16).prop_map(Step::Insert),
            4 => (0..60_u16).prop_map(Step::Remove),
            1 => Just(Step::Clone),
        ], 0..300), shares_clones in any::<bool>()) {
            let (mut index, mut model) = (Index::new(shares_clones), HashMap::new());
            let mut clones = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(name) => {
                        if model.insert(name, u32::from(name)).is_none() {
                            index.insert(hash(name), u32::from(name));
                        }
                    }
                    Step::Remove(name) => {
                        let removed = index.remove(hash(name), |number| number == u32::from(name));
                        prop_assert_eq!(removed, model.remove(&name));
                    }
                    Step::Clone => clones.push((index.clone(), model.clone())),
                }
            }
            clones.push((index, model));
            for (index, model) in clones {
                prop_assert_eq!(index.len(), model.len());
                for name in 0..60 {
                    prop_assert_eq!(found(&index, name), model.get(&name).copied());
                }
            }
        }
    }

    #[test]
    fn thousands_are_found_again_after_it_has_grown() {
        let mut index = Index::new(true);
        let hash = |name: u32| u64::from(name).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..10_000).for_each(|name| index.insert(hash(name), name));
        assert!((0..10_000).all(|name| index.find(hash(name), |number| number == name) == Some(name)));
        assert!((10_000..20_000).all(|name| index.find(hash(name), |number| number == name).is_none()));
    }
}
