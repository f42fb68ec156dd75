//! What is kept of the event keys no metric uses, by key.

use super::index::Index;
use super::list::List;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;

/// Event keys, each with the number of its evidence. Anyone can make up event keys, a hundred thousand of them.
#[derive(Clone, Debug)]
pub(super) struct Unmatched {
    keys: List<(Box<str>, u32), 32>,
    by_key: Index,
    hasher: RandomState,
}

impl Unmatched {
    /// No keys.
    pub(super) fn new(shares_clones: bool) -> Self {
        Self { keys: List::new(shares_clones), by_key: Index::new(shares_clones), hasher: RandomState::default() }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The number of a key's evidence.
    pub(super) fn get(&self, key: &str) -> Option<u32> {
        let at = self.by_key.find(self.hasher.hash_one(key), |at| {
            self.keys.get(at as usize).is_some_and(|(known, _)| **known == *key)
        })?;
        self.keys.get(at as usize).map(|(_, evidence)| *evidence)
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: &str, evidence: u32) {
        self.by_key.insert(self.hasher.hash_one(key), self.keys.len() as u32);
        self.keys.push((key.into(), evidence));
    }

    /// Keys, each with the number of its evidence.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.keys.iter().map(|(key, evidence)| (&**key, *evidence))
    }

    /// See [`super::state::State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        self.keys.unshared_bytes(&earlier.keys, |(key, _)| key.len()) + self.by_key.unshared_bytes(&earlier.by_key)
    }
}
