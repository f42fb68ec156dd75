//! Rows of the Contexts pane.

use super::Session;
use crate::attribution::state::UnitState;
use crate::attribution::units::UnitId;
use crate::near_miss;
use crate::query::Query;
use crate::reason::{Category, ReasonCode};
use crate::view::{UnitExposure, UnitList, UnitNote, UnitRow, UnitView};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;

/// Conversions of a context that carry no key of the experiment's unit.
struct Lacking {
    events: u64,
    last_ms: i64,
}

/// Conversions looked at of one context in one iteration, to rank it.
const CONVERSIONS_RANKED: usize = 1_000;

/// What one pass over the contexts knows of one of them.
struct Ranked {
    /// The worse the note, the lower.
    rank: u8,
    weight: u64,
    unit: UnitId,
}

impl Ranked {
    fn order(&self) -> (u8, Reverse<u64>, UnitId) {
        (self.rank, Reverse(self.weight), self.unit)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// What a context did.
#[derive(Clone, Copy, Default)]
struct Done {
    known: bool,
    exposures: u64,
    crossed: bool,
    conversions: u64,
    placeholder: bool,
}

impl Done {
    fn is_in(self, view: UnitView) -> bool {
        match view {
            UnitView::Attention | UnitView::Busiest => true,
            UnitView::NeverExposed => self.never_exposed(),
            UnitView::NeverConverts => self.exposures > 0 && self.conversions == 0,
            UnitView::Crossover => self.crossed,
            UnitView::Placeholder => self.placeholder,
        }
    }

    fn never_exposed(self) -> bool {
        self.conversions > 0 && self.exposures == 0
    }

    fn note(self) -> UnitNote {
        if self.never_exposed() {
            UnitNote::NeverExposed { look_alike: None }
        } else if self.placeholder {
            UnitNote::Placeholder
        } else if self.crossed {
            UnitNote::Crossover
        } else {
            UnitNote::None
        }
    }
}

impl Session {
    /// The contexts of a view, at most `limit`, and how many each view lists. One pass over all contexts that keeps no
    /// more than is asked for: there may be millions.
    pub fn units(&self, view: UnitView, limit: usize) -> UnitList {
        let lacking = self.lacking_the_unit();
        let mut counts = [0; UnitView::ALL.len()];
        let mut first: BinaryHeap<Ranked> = BinaryHeap::new();
        for unit in 0..self.state.units().len() as UnitId {
            let done = self.done(unit, lacking.get(&unit));
            if !done.known {
                continue;
            }
            for (view, count) in UnitView::ALL.into_iter().zip(&mut counts) {
                *count += u64::from(done.is_in(view));
            }
            if !done.is_in(view) {
                continue;
            }
            let (rank, weight) = match view {
                UnitView::Attention => (rank(&done.note()), done.conversions),
                UnitView::NeverConverts => (0, done.exposures),
                _ => (0, done.conversions),
            };
            let ranked = Ranked { rank, weight, unit };
            if first.len() < limit {
                first.push(ranked);
            } else if let Some(mut last) = first.peek_mut()
                && ranked < *last
            {
                *last = ranked;
            }
        }
        let mut ranked: Vec<(Ranked, UnitNote)> = first
            .into_sorted_vec()
            .into_iter()
            .map(|ranked| {
                let note = self.done(ranked.unit, lacking.get(&ranked.unit)).note();
                (ranked, note)
            })
            .collect();
        self.find_look_alikes(&mut ranked);
        if view == UnitView::Attention {
            // Of those never exposed, the ones with a look-alike have their cause beside them.
            ranked.sort_by_key(|(ranked, note)| (rank(note), Reverse(ranked.weight), ranked.unit));
        }
        let rows =
            ranked.into_iter().filter_map(|(ranked, note)| self.unit_row(ranked.unit, note, lacking.get(&ranked.unit)));
        UnitList { rows: rows.collect(), counts }
    }

    /// The rows of contexts that were found by their names; those that a view does not list are left out.
    pub fn units_named(&self, view: UnitView, names: &[(String, String)]) -> Vec<UnitRow> {
        let lacking = self.lacking_the_unit();
        let found = names.iter().filter_map(|(kind, key)| {
            let unit = self.state.units().find(kind, key)?;
            let note = self.done(unit, lacking.get(&unit)).note();
            Some((Ranked { rank: 0, weight: 0, unit }, note))
        });
        let mut found: Vec<(Ranked, UnitNote)> = found.collect();
        self.find_look_alikes(&mut found);
        found
            .into_iter()
            .filter_map(|(ranked, note)| self.unit_row(ranked.unit, note, lacking.get(&ranked.unit)))
            .filter(|row| view.lists(row))
            .collect()
    }

    /// How many contexts there are to search.
    pub fn units_known(&self) -> u64 {
        self.state.units().len() as u64
    }

    /// Goes through the names of contexts from a number on, at most so many, and finds those a filter lets through by
    /// name alone. Returns the number to go on from.
    pub fn find_units(&self, query: &Query, from: u64, at_most: u64, found: &mut Vec<(String, String)>) -> u64 {
        let to = from.saturating_add(at_most).min(self.units_known());
        let mut text = String::new();
        for unit in from..to {
            let Some((kind, key)) = self.state.units().name(unit as UnitId) else { continue };
            text.clear();
            text.extend([kind, "/", key]);
            if query.matches_text(&[("unit", &text)]) {
                found.push((kind.to_owned(), key.to_owned()));
            }
        }
        to
    }

    fn done(&self, unit: UnitId, lacking: Option<&Lacking>) -> Done {
        let mut done = Done::default();
        for (_, state) in self.state.states_of(unit) {
            done.known = true;
            done.exposures += state.per_variation.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
            done.crossed |= state.per_variation.len() > 1;
            done.conversions += self.state.conversions_of(state).take(CONVERSIONS_RANKED).count() as u64;
        }
        done.conversions += lacking.map_or(0, |lacking| lacking.events);
        done.known |= done.conversions > 0;
        done.placeholder =
            done.known && self.state.units().name(unit).is_some_and(|(_, key)| near_miss::is_placeholder_key(key));
        done
    }

    /// F4: names for contexts that were never exposed one that was, under the same key of another kind, or a key that
    /// differs by case or space. The keys of all contexts are looked at once, by a number made of each.
    fn find_look_alikes(&self, ranked: &mut [(Ranked, UnitNote)]) {
        // Two would do to find one that is not the unit itself; spellings of one key can be made up by the thousand.
        const LOOK_ALIKES: usize = 8;
        let hasher = foldhash::fast::FixedState::default();
        let units = self.state.units();
        let mut alike: HashMap<u64, Vec<UnitId>, _> = HashMap::with_hasher(hasher.clone());
        for (ranked, note) in ranked.iter() {
            if let UnitNote::NeverExposed { .. } = note
                && let Some((_, key)) = units.name(ranked.unit)
            {
                alike.entry(folded(&hasher, key)).or_default();
            }
        }
        if alike.is_empty() {
            return;
        }
        for state in self.state.states().filter(|state| !state.points.is_empty()) {
            if let Some((_, key)) = units.name(state.unit)
                && let Some(alike) = alike.get_mut(&folded(&hasher, key))
                && alike.len() < LOOK_ALIKES
                && !alike.contains(&state.unit)
            {
                alike.push(state.unit);
            }
        }
        for (ranked, note) in ranked {
            let UnitNote::NeverExposed { look_alike } = note else { continue };
            let Some((kind, key)) = units.name(ranked.unit) else { continue };
            let candidates = alike.get(&folded(&hasher, key)).into_iter().flatten();
            *look_alike = candidates.filter(|candidate| **candidate != ranked.unit).find_map(|candidate| {
                let (other_kind, other_key) = units.name(*candidate)?;
                let how = if other_key == key { "another kind" } else { near_miss::units_differ_by(key, other_key)? };
                (other_kind != kind || other_key != key).then(|| (format!("{other_kind}/{other_key}"), how.to_owned()))
            });
        }
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

/// A number that keys have in common which differ by case or spaces around them only.
fn folded(hasher: &impl BuildHasher, key: &str) -> u64 {
    let key = key.trim();
    let mut buffer = [0; 64];
    match buffer.get_mut(..key.len()).filter(|_| key.is_ascii()) {
        // Nearly all keys are such, and it is asked of a million of them at once.
        Some(folded) => {
            folded.copy_from_slice(key.as_bytes());
            folded.make_ascii_lowercase();
            hasher.hash_one(&*folded)
        }
        None => hasher.hash_one(key.to_lowercase().as_bytes()),
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
