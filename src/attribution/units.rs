//! Units by kind and key, numbered.

use super::index::Index;
use super::list::List;
use super::state::NONE;
use foldhash::fast::RandomState;
use smol_str::SmolStr;
use std::hash::BuildHasher;

/// Number of a unit.
pub type UnitId = u32;

/// A context kind with a context key.
#[derive(Clone, Debug)]
struct Unit {
    /// Most keys are short enough to lie here: one place less to look at when an event names the unit.
    key: SmolStr,
    /// Start of the chain of the unit's states, here and not in a list of its own for the same reason.
    first_state: u32,
    /// Number of the context kind.
    kind: u16,
}

/// All units seen. `user/u1` and `device/u1` are different units.
#[derive(Clone, Debug)]
pub struct UnitTable {
    kinds: Vec<Box<str>>,
    units: List<Unit, 16>,
    by_name: Index,
    hasher: RandomState,
    /// The unit asked for last: an event asks for its unit once for every iteration and metric it is about.
    last: UnitId,
}

impl UnitTable {
    /// A table without units.
    pub(crate) fn new(shares_clones: bool) -> Self {
        Self {
            kinds: Vec::new(),
            units: List::new(shares_clones),
            by_name: Index::new(shares_clones),
            hasher: RandomState::default(),
            last: 0,
        }
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find_kind(&self, kind: &str) -> Option<u16> {
        // A stream has a handful of kinds; a search beats a map.
        self.kinds.iter().position(|known| **known == *kind).map(|number| number as u16)
    }

    fn kind_number(&mut self, kind: &str) -> u16 {
        self.find_kind(kind).unwrap_or_else(|| {
            self.kinds.push(kind.into());
            (self.kinds.len() - 1).min(usize::from(u16::MAX)) as u16
        })
    }

    fn is(&self, id: UnitId, kind: u16, key: &str) -> bool {
        self.units.get(id as usize).is_some_and(|unit| unit.kind == kind && unit.key == *key)
    }

    /// The unit's number; a new one for a unit not seen before.
    pub fn number(&mut self, kind: &str, key: &str) -> UnitId {
        let kind = self.kind_number(kind);
        if self.is(self.last, kind, key) {
            return self.last;
        }
        let hash = self.hasher.hash_one((kind, key));
        self.last = self.by_name.find(hash, |id| self.is(id, kind, key)).unwrap_or_else(|| {
            let id = self.units.len() as UnitId;
            self.units.push(Unit { key: key.into(), first_state: NONE, kind });
            self.by_name.insert(hash, id);
            id
        });
        self.last
    }

    /// The number of a unit that was seen.
    pub fn find(&self, kind: &str, key: &str) -> Option<UnitId> {
        let kind = self.find_kind(kind)?;
        let hash = self.hasher.hash_one((kind, key));
        self.by_name.find(hash, |id| self.is(id, kind, key))
    }

    /// Kind and key of a unit.
    pub fn name(&self, id: UnitId) -> Option<(&str, &str)> {
        let unit = self.units.get(id as usize)?;
        Some((self.kinds.get(usize::from(unit.kind))?, &unit.key))
    }

    /// The first of a unit's states, [`NONE`] without any.
    pub(super) fn first_state(&self, id: UnitId) -> u32 {
        self.units.get(id as usize).map_or(NONE, |unit| unit.first_state)
    }

    /// Makes a state the first of its unit's.
    pub(super) fn set_first_state(&mut self, id: UnitId, state: u32) {
        if let Some(unit) = self.units.get_mut(id as usize) {
            unit.first_state = state;
        }
    }

    /// See [`super::state::State::unshared_bytes`].
    pub(crate) fn unshared_bytes(&self, earlier: &Self) -> usize {
        self.units.unshared_bytes(&earlier.units, |unit| if unit.key.is_heap_allocated() { unit.key.len() } else { 0 })
            + self.by_name.unshared_bytes(&earlier.by_name)
    }
}
