//! Units by kind and key, numbered.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Number of a unit.
pub type UnitId = u32;

/// A context kind with a context key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Number of the context kind.
    pub kind: u16,
    /// Context key.
    pub key: Box<str>,
}

/// All units seen. `user/u1` and `device/u1` are different units.
#[derive(Debug, Default)]
pub struct UnitTable {
    kinds: Vec<Box<str>>,
    units: Vec<Unit>,
    by_name: HashTable<UnitId>,
    hasher: RandomState,
}

impl UnitTable {
    /// How many units there are.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    fn kind_number(&mut self, kind: &str) -> u16 {
        // A stream has a handful of kinds; a search beats a map.
        if let Some(number) = self.kinds.iter().position(|known| **known == *kind) {
            return number as u16;
        }
        self.kinds.push(kind.into());
        (self.kinds.len() - 1).min(usize::from(u16::MAX)) as u16
    }

    /// The unit's number; a new one for a unit not seen before.
    pub fn number(&mut self, kind: &str, key: &str) -> UnitId {
        let kind = self.kind_number(kind);
        let hash = self.hasher.hash_one((kind, key));
        let units = &self.units;
        let same = |id: &UnitId| units.get(*id as usize).is_some_and(|unit| unit.kind == kind && *unit.key == *key);
        if let Some(id) = self.by_name.find(hash, same) {
            return *id;
        }
        let id = self.units.len() as UnitId;
        self.units.push(Unit { kind, key: key.into() });
        let (units, hasher) = (&self.units, &self.hasher);
        self.by_name.insert_unique(hash, id, |id| {
            units.get(*id as usize).map_or(0, |unit| hasher.hash_one((unit.kind, &*unit.key)))
        });
        id
    }

    /// The number of a unit that was seen.
    pub fn find(&self, kind: &str, key: &str) -> Option<UnitId> {
        let kind = self.kinds.iter().position(|known| **known == *kind)? as u16;
        let hash = self.hasher.hash_one((kind, key));
        let same =
            |id: &UnitId| self.units.get(*id as usize).is_some_and(|unit| unit.kind == kind && *unit.key == *key);
        self.by_name.find(hash, same).copied()
    }

    /// Kind and key of a unit.
    pub fn name(&self, id: UnitId) -> Option<(&str, &str)> {
        let unit = self.units.get(id as usize)?;
        Some((self.kinds.get(usize::from(unit.kind))?, &unit.key))
    }
}
