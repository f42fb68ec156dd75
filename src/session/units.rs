//! Rows of the Contexts pane.

use super::Session;
use crate::attribution::state::UnitState;
use crate::attribution::units::UnitId;
use crate::near_miss;
use crate::reason::{Category, ReasonCode};
use crate::view::{UnitExposure, UnitNote, UnitRow};
use std::collections::HashMap;

/// Conversions of a context that carry no key of the experiment's unit.
struct Lacking {
    events: u64,
    last_ms: i64,
}

impl Session {
    /// Contexts by need of attention: those that convert and were never exposed, those that saw two arms,
    /// placeholders, then the busiest.
    pub fn units(&mut self, limit: usize) -> Vec<UnitRow> {
        let folded = self.exposed_by_folded_key();
        let lacking = self.lacking_the_unit();
        let mut ranked: Vec<(UnitNote, std::cmp::Reverse<u64>, UnitId)> = Vec::new();
        for unit in 0..self.state.units().len() as UnitId {
            let (mut exposed, mut crossed, mut conversions) = (false, false, 0);
            let mut any = false;
            for (_, state) in self.state.states_of(unit) {
                any = true;
                exposed |= !state.points.is_empty();
                crossed |= state.per_variation.len() > 1;
                conversions += self.state.conversions_of(state).take(1000).count() as u64;
            }
            conversions += lacking.get(&unit).map_or(0, |lacking| lacking.events);
            if !any && conversions == 0 {
                continue;
            }
            let Some((_, key)) = self.state.units().name(unit) else { continue };
            let note = if conversions > 0 && !exposed {
                UnitNote::NeverExposed { look_alike: self.look_alike(unit, &folded) }
            } else if near_miss::is_placeholder_key(key) {
                UnitNote::Placeholder
            } else if crossed {
                UnitNote::Crossover
            } else {
                UnitNote::None
            };
            ranked.push((note, std::cmp::Reverse(conversions), unit));
        }
        ranked.sort_by(|a, b| rank(&a.0).cmp(&rank(&b.0)).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        ranked
            .into_iter()
            .take(limit)
            .filter_map(|(note, _, unit)| self.unit_row(unit, note, lacking.get(&unit)))
            .collect()
    }

    fn exposed_by_folded_key(&self) -> HashMap<String, Vec<UnitId>> {
        // Two would do to find one that is not the unit itself; spellings of one key can be made up by the thousand.
        const LOOK_ALIKES: usize = 8;
        let mut folded: HashMap<String, Vec<UnitId>> = HashMap::new();
        for state in self.state.states().filter(|state| !state.points.is_empty()) {
            if let Some((_, key)) = self.state.units().name(state.unit) {
                let units = folded.entry(key.trim().to_lowercase()).or_default();
                if units.len() < LOOK_ALIKES && !units.contains(&state.unit) {
                    units.push(state.unit);
                }
            }
        }
        folded
    }

    /// F4: a unit that was exposed under the same key of another kind, or a key that differs by case or space.
    fn look_alike(&self, unit: UnitId, folded: &HashMap<String, Vec<UnitId>>) -> Option<(String, String)> {
        let (kind, key) = self.state.units().name(unit)?;
        let candidates = folded.get(&key.trim().to_lowercase())?;
        candidates.iter().filter(|candidate| **candidate != unit).find_map(|candidate| {
            let (other_kind, other_key) = self.state.units().name(*candidate)?;
            let how = if other_key == key { "another kind" } else { near_miss::units_differ_by(key, other_key)? };
            (other_kind != kind || other_key != key).then(|| (format!("{other_kind}/{other_key}"), how.to_owned()))
        })
    }

    /// Conversions held that were dropped because they carry another kind of context than the experiment's unit, by
    /// the context they carry.
    fn lacking_the_unit(&self) -> HashMap<UnitId, Lacking> {
        let mut lacking: HashMap<UnitId, Lacking> = HashMap::new();
        for row in self.journal.entries().map(|entry| &entry.row).filter(|row| row.code == ReasonCode::EventLacksUnit) {
            if let Some(unit) = row.units.first().and_then(|(kind, key)| self.state.units().find(kind, key)) {
                let lacking = lacking.entry(unit).or_insert(Lacking { events: 0, last_ms: i64::MIN });
                lacking.events += 1;
                lacking.last_ms = lacking.last_ms.max(row.seen_ms().unwrap_or(i64::MIN));
            }
        }
        lacking
    }

    fn unit_row(&self, unit: UnitId, note: UnitNote, lacking: Option<&Lacking>) -> Option<UnitRow> {
        let (kind, key) = self.state.units().name(unit)?;
        let mut row = UnitRow {
            kind: kind.to_owned(),
            key: key.to_owned(),
            exposed: Vec::new(),
            counted: 0,
            dropped: lacking.map_or(0, |lacking| lacking.events),
            open: 0,
            last_seen_ms: lacking.map_or(i64::MIN, |lacking| lacking.last_ms),
            note,
        };
        for (_, state) in self.state.states_of(unit) {
            row.exposed.extend(self.unit_exposure(state));
            for (_, conversion) in self.state.conversions_of(state) {
                row.last_seen_ms = row.last_seen_ms.max(conversion.t_ms);
                match conversion.code.category() {
                    Category::Counted => row.counted += 1,
                    Category::Pending | Category::Unknown => row.open += 1,
                    _ => row.dropped += 1,
                }
            }
            if let Some(last) = state.points.iter().last() {
                row.last_seen_ms = row.last_seen_ms.max(last.t_ms);
            }
        }
        row.exposed.sort_by_key(|exposure| exposure.first_ms);
        Some(row)
    }

    fn unit_exposure(&self, state: &UnitState) -> Option<UnitExposure> {
        let first = state.points.first()?;
        let judged = self.state.judge().iterations().get(state.iteration as usize)?;
        let mut arms = vec![judged.iteration.arm_name(first.variation)];
        let others = state.per_variation.iter().filter(|(variation, _)| *variation != first.variation);
        arms.extend(others.map(|(variation, _)| judged.iteration.arm_name(*variation)));
        Some(UnitExposure {
            experiment: self.catalog.experiments.get(judged.experiment)?.key.clone(),
            arms,
            first_ms: first.t_ms,
        })
    }
}

fn rank(note: &UnitNote) -> u8 {
    match note {
        UnitNote::NeverExposed { look_alike: Some(_) } => 0,
        UnitNote::NeverExposed { look_alike: None } => 1,
        UnitNote::Placeholder => 2,
        UnitNote::Crossover => 3,
        UnitNote::None => 4,
    }
}
