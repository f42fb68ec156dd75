//! The Contexts pane: which contexts it lists, the search for those it does not, and the story of one.

use super::listing::Scroll;
use super::{App, Notice, View};
use crate::view::{HeldStory, UnitList, UnitView};
use std::collections::HashSet;

/// Contexts listed at most, and found by name beside them at most.
pub(super) const UNITS: usize = 1_000;
/// Names looked at in one go: a key must not wait for a million of them.
const NAMES_AT_ONCE: u64 = 20_000;

/// The contexts on screen.
#[derive(Debug, Default)]
pub struct Contexts {
    view: UnitView,
    list: UnitList,
    /// Rows of the list that the view itself lists; those after them were found by name.
    listed: usize,
    /// The rows of the view are still to be made.
    is_of_another_view: bool,
    /// Names looked at.
    searched: u64,
    found: Vec<(String, String)>,
}

impl Contexts {
    /// Which are listed.
    pub fn view(&self) -> UnitView {
        self.view
    }
    /// Whether the rows of this view are still to be made.
    pub fn is_on_its_way(&self) -> bool {
        self.is_of_another_view
    }
    /// The rows, and how many there are of each view.
    pub fn list(&self) -> &UnitList {
        &self.list
    }
    fn wants_more(&self) -> bool {
        self.found.len() < UNITS
    }
}

/// One context with all that is held of it.
#[derive(Debug)]
pub struct Unit {
    /// What is known.
    pub held: HeldStory,
    /// How far it is scrolled.
    pub scroll: Scroll,
}

impl App<'_> {
    /// The contexts on screen.
    pub fn contexts(&self) -> &Contexts {
        &self.units
    }

    /// How far the search among the names of contexts has come: names, of names; none where nothing is searched for.
    pub fn contexts_searched(&self) -> Option<(u64, u64)> {
        self.contexts.query()?;
        Some((self.units.searched, self.store.units_known()))
    }

    pub(super) fn refresh_contexts(&mut self) {
        let list = self.store.units(self.units.view, UNITS);
        self.take_contexts(list);
    }

    pub(super) fn take_contexts(&mut self, list: UnitList) {
        self.units.is_of_another_view = false;
        self.units.list = list;
        self.units.listed = self.units.list.rows.len();
        self.search_contexts();
        self.add_found();
    }

    pub(super) fn next_contexts(&mut self) {
        self.units.view = self.units.view.next();
        self.contexts.first();
        if self.store.snapshot().is_some() {
            // It is made elsewhere; what is listed until then is not of this view.
            self.units.is_of_another_view = true;
            self.units.list.rows.clear();
            self.units.listed = 0;
        } else {
            self.refresh_contexts();
        }
        self.list();
    }

    /// Begins the search for what a new filter asks for. A list holds the first of its view only, so that a context
    /// anywhere behind them is found by its name.
    pub(super) fn begin_search(&mut self) {
        self.units.searched = 0;
        self.units.found.clear();
        self.search_contexts();
        self.add_found();
    }

    pub(super) fn is_searching(&self) -> bool {
        self.units.wants_more() && self.contexts_searched().is_some_and(|(searched, known)| searched < known)
    }

    /// Goes on with the search, where there is time.
    pub(super) fn go_on_searching(&mut self) {
        if self.is_searching() && self.search_contexts() {
            self.add_found();
            self.list();
        }
    }

    /// Looks at some names more. True if one was found.
    fn search_contexts(&mut self) -> bool {
        let Some(query) = self.contexts.query() else { return false };
        let Contexts { searched, found, .. } = &mut self.units;
        // There are fewer where a recording was put back, or an inferred catalog numbers them anew.
        if *searched > self.store.units_known() {
            *searched = 0;
            found.clear();
        }
        let before = found.len();
        if before < UNITS {
            *searched = self.store.find_units(query, *searched, NAMES_AT_ONCE, found);
            found.truncate(UNITS);
        }
        found.len() > before
    }

    fn add_found(&mut self) {
        let rows = &mut self.units.list.rows;
        rows.truncate(self.units.listed);
        let listed: HashSet<(&str, &str)> = rows.iter().map(|row| (row.kind.as_str(), row.key.as_str())).collect();
        let is_new = |(kind, key): &&(String, String)| !listed.contains(&(kind.as_str(), key.as_str()));
        let names: Vec<(String, String)> = self.units.found.iter().filter(is_new).cloned().collect();
        if !names.is_empty() {
            rows.extend(self.store.units_named(self.units.view, &names));
        }
    }

    pub(super) fn open_context(&mut self) {
        let Some(unit) = self.contexts.selected_index().and_then(|index| self.unit_rows().get(index)) else { return };
        match self.store.story(&unit.kind, &unit.key) {
            Some(held) => self.view = View::Unit(Unit { held, scroll: Scroll::default() }),
            None => {
                let text = format!(
                    "the events of {}/{} have scrolled out of memory; only its counts are left",
                    unit.kind, unit.key
                );
                self.notice = Some(Notice { text, bad: true });
            }
        }
    }
}
