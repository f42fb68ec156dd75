//! The Live pane's filtered view of the journal.
//!
//! The journal is the store; this keeps the numbers of the events that pass the filter, and where the user is
//! among them. A new filter is answered newest first, a slice of the journal at a time, so that a hundred
//! thousand rows never hold up a key. Verdicts change after the fact (an exposure arrives late); the kept numbers
//! are checked again in the same small slices, round and round.

use super::action::Kinds;
use super::store::Store;
use crate::query::{Names, Query};
use crate::reason::{Category, ReasonCode};
use crate::view::EventRow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Rows looked at in one step.
const STEP: u64 = 4_000;
/// Rows a frozen view keeps.
const FROZEN_ROWS: u64 = 10_000;

/// The rows as they were when the view was frozen.
#[derive(Debug)]
pub struct Frozen {
    first: u64,
    rows: Vec<EventRow>,
}

/// Where rows are read from: the journal, or what was kept of it when the view was frozen.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// The journal.
    Journal(&'a dyn Store),
    /// The frozen rows.
    Frozen(&'a Frozen),
}

impl<'a> Rows<'a> {
    fn first(self) -> u64 {
        match self {
            Self::Journal(store) => store.first(),
            Self::Frozen(frozen) => frozen.first,
        }
    }

    fn next(self) -> u64 {
        match self {
            Self::Journal(store) => store.next(),
            Self::Frozen(frozen) => frozen.first + frozen.rows.len() as u64,
        }
    }

    /// One row.
    pub fn row(self, event: u64) -> Option<&'a EventRow> {
        match self {
            Self::Journal(store) => store.row(event),
            Self::Frozen(frozen) => {
                event.checked_sub(frozen.first).and_then(|index| frozen.rows.get(usize::try_from(index).ok()?))
            }
        }
    }
}

/// What keys narrow Live to, whatever its filter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Kinds of events.
    pub kinds: Kinds,
    /// Dropped events only.
    pub dropped_only: bool,
    /// LaunchDarkly's own traffic too.
    pub noise: bool,
}

impl Narrowing {
    /// None at all.
    pub const OFF: Self = Self { kinds: Kinds::All, dropped_only: false, noise: true };
}

/// What of the journal Live shows.
#[derive(Debug, Default)]
pub struct Criteria {
    /// What keys narrow it to.
    pub narrowing: Narrowing,
    /// The filter as it was typed; empty: none.
    pub filter: String,
    query: Option<Query>,
}

impl Criteria {
    fn passes(&self, row: &EventRow, names: &Names) -> bool {
        if row.noise && !self.narrowing.noise {
            return false;
        }
        if self.narrowing.dropped_only && !matches!(row.category(), Category::Dropped | Category::Undecodable) {
            return false;
        }
        let kind = match self.narrowing.kinds {
            Kinds::All => true,
            Kinds::Flags => matches!(&*row.kind, "feature" | "debug" | "summary" | "migration_op"),
            Kinds::Contexts => matches!(&*row.kind, "index" | "identify" | "alias"),
            Kinds::Experiments => {
                row.best.is_some() || matches!(&*row.kind, "custom" | "click" | "pageview" | "page view")
            }
        };
        kind && self.query.as_ref().is_none_or(|query| query.matches(row, names))
    }

    /// Whether a verdict that changes can make a row come or go.
    fn depends_on_verdicts(&self) -> bool {
        self.narrowing.dropped_only || self.query.is_some()
    }
}

/// The Live pane.
#[derive(Debug, Default)]
pub struct Live {
    criteria: Criteria,
    /// Numbers of the events that pass, oldest first.
    matched: VecDeque<u64>,
    /// Events from here up to `scanned_to` were looked at.
    scanned_from: u64,
    scanned_to: u64,
    /// Where the next check of kept numbers begins.
    checked_to: u64,
    checked_revision: u64,
    /// The kept numbers are from another session; a whole check of them is due, whatever decides what passes.
    stale: bool,
    /// The selected event, unless following.
    selected: Option<u64>,
    /// The topmost event on screen, unless following.
    top: u64,
    /// Events from here on came after following stopped.
    unseen_from: u64,
    frozen: Option<Frozen>,
}

impl Live {
    /// What is shown.
    pub fn criteria(&self) -> &Criteria {
        &self.criteria
    }

    /// Changes what is shown, and looks at the journal anew.
    pub fn change(&mut self, store: &dyn Store, change: impl FnOnce(&mut Criteria)) {
        change(&mut self.criteria);
        self.start_over(store);
    }

    /// Takes a filter.
    pub fn set_filter(&mut self, store: &dyn Store, text: String, query: Option<Query>) {
        self.change(store, |criteria| {
            criteria.filter = text;
            criteria.query = query;
        });
    }

    fn start_over(&mut self, store: &dyn Store) {
        let next = self.rows(store).next();
        self.matched.clear();
        self.scanned_from = next;
        self.scanned_to = next;
        self.checked_to = next;
        self.stale = false;
        self.look(store);
    }

    /// Takes another session, of other events or with other verdicts under the same numbers. The numbers kept are
    /// the best guess until they have been checked, so nothing is missing from the screen meanwhile.
    pub fn start_again(&mut self, store: &dyn Store) {
        self.frozen = None;
        let next = store.next();
        self.matched.truncate(self.matched.partition_point(|event| *event < next));
        self.scanned_to = self.scanned_to.min(next);
        self.scanned_from = self.scanned_from.min(next);
        self.unseen_from = self.unseen_from.min(next);
        self.selected = self.selected.filter(|event| *event < next);
        self.checked_to = self.scanned_to;
        self.stale = self.scanned_to > self.scanned_from;
        self.look(store);
    }

    /// The rows the view reads.
    pub fn rows<'a>(&'a self, store: &'a dyn Store) -> Rows<'a> {
        match &self.frozen {
            Some(frozen) => Rows::Frozen(frozen),
            None => Rows::Journal(store),
        }
    }

    /// Whether the view is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Keeps the newest rows as they are now, or goes back to the journal.
    pub fn freeze(&mut self, store: &dyn Store, freeze: bool) {
        if freeze {
            let first = store.first().max(store.next().saturating_sub(FROZEN_ROWS));
            let rows = (first..store.next()).map_while(|event| store.row(event).cloned()).collect();
            self.frozen = Some(Frozen { first, rows });
        } else {
            self.frozen = None;
        }
        self.start_over(store);
    }

    /// Looks at what arrived.
    pub fn look_at_new(&mut self, store: &dyn Store) {
        self.read(store, |live, rows, names| live.look_forward(rows, names));
    }

    /// Looks at a slice of what was not looked at yet, newest first, and checks a slice of what was.
    pub fn look(&mut self, store: &dyn Store) {
        self.read(store, |live, rows, names| {
            live.look_forward(rows, names);
            live.look_back(rows, names);
            if matches!(rows, Rows::Journal(_)) && (live.stale || live.criteria.depends_on_verdicts()) {
                live.check(rows, names, store.revision());
            }
        });
    }

    fn read(&mut self, store: &dyn Store, look: impl FnOnce(&mut Self, Rows<'_>, &Names)) {
        let frozen = self.frozen.take();
        let rows = frozen.as_ref().map_or(Rows::Journal(store), Rows::Frozen);
        let names = Names {
            experiments: store.iterations().iter().map(|name| Arc::clone(&name.experiment)).collect(),
            metrics: store.metric_names().to_vec(),
        };
        self.forget(rows.first());
        look(self, rows, &names);
        self.frozen = frozen;
    }

    /// Whether rows are left that were not looked at.
    pub fn is_behind(&self, store: &dyn Store) -> bool {
        let rows = self.rows(store);
        self.stale || self.scanned_from > rows.first() || self.scanned_to < rows.next()
    }

    /// How much of the journal was looked at: rows, of rows.
    pub fn progress(&self, store: &dyn Store) -> (u64, u64) {
        let rows = self.rows(store);
        (self.scanned_to - self.scanned_from, rows.next() - rows.first())
    }

    fn forget(&mut self, first: u64) {
        while self.matched.front().is_some_and(|event| *event < first) {
            self.matched.pop_front();
        }
        self.scanned_from = self.scanned_from.max(first);
        self.scanned_to = self.scanned_to.max(first);
    }

    fn look_forward(&mut self, rows: Rows<'_>, names: &Names) {
        let end = rows.next();
        // More than a few slices behind, the newest rows matter most: start over from them.
        if end - self.scanned_to > STEP * 8 {
            self.matched.clear();
            self.scanned_from = end;
            self.scanned_to = end;
        }
        for event in self.scanned_to..end.min(self.scanned_to + STEP * 8) {
            if rows.row(event).is_some_and(|row| self.criteria.passes(row, names)) {
                self.matched.push_back(event);
            }
            self.scanned_to = event + 1;
        }
    }

    fn look_back(&mut self, rows: Rows<'_>, names: &Names) {
        let start = rows.first().max(self.scanned_from.saturating_sub(STEP));
        for event in (start..self.scanned_from).rev() {
            if rows.row(event).is_some_and(|row| self.criteria.passes(row, names)) {
                self.matched.push_front(event);
            }
        }
        self.scanned_from = start.min(self.scanned_from);
    }

    /// Checks one slice of the numbers kept against the rows as they are now, newest slice first, until a whole
    /// round found the session as it was when the round began.
    fn check(&mut self, rows: Rows<'_>, names: &Names, revision: u64) {
        if self.checked_to <= self.scanned_from {
            if !self.stale && self.checked_revision == revision {
                return;
            }
            self.checked_to = self.scanned_to;
        }
        if self.checked_to == self.scanned_to {
            self.checked_revision = revision;
        }
        let start = self.scanned_from.max(self.checked_to.saturating_sub(STEP));
        let kept = self.matched.partition_point(|event| *event < start)
            ..self.matched.partition_point(|event| *event < self.checked_to);
        let passing: Vec<u64> = (start..self.checked_to)
            .filter(|event| rows.row(*event).is_some_and(|row| self.criteria.passes(row, names)))
            .collect();
        if !self.matched.range(kept.clone()).eq(passing.iter()) {
            let tail = self.matched.split_off(kept.end);
            self.matched.truncate(kept.start);
            self.matched.extend(&passing);
            self.matched.extend(tail);
        }
        self.checked_to = start;
        self.stale &= self.checked_to > self.scanned_from;
    }

    /// How many events pass.
    pub fn len(&self) -> usize {
        self.matched.len()
    }

    /// Whether no event passes.
    pub fn is_empty(&self) -> bool {
        self.matched.is_empty()
    }

    /// Whether the newest event is kept on screen.
    pub fn is_following(&self) -> bool {
        self.selected.is_none()
    }

    /// How many events that pass came since following stopped.
    pub fn unseen(&self) -> usize {
        match self.selected {
            Some(_) => self.matched.len() - self.matched.partition_point(|event| *event < self.unseen_from),
            None => 0,
        }
    }

    /// Position of the selected event among those that pass.
    fn position(&self) -> usize {
        let last = self.matched.len().saturating_sub(1);
        self.selected.map_or(last, |selected| self.matched.partition_point(|event| *event < selected).min(last))
    }

    /// The selected event.
    pub fn selected(&self) -> Option<u64> {
        self.matched.get(self.position()).copied()
    }

    /// Positions of the events on screen where `height` rows fit.
    fn window(&self, height: usize) -> Range<usize> {
        let len = self.matched.len();
        let end_top = len.saturating_sub(height);
        let top = if self.is_following() {
            end_top
        } else {
            let position = self.position();
            let top = self.matched.partition_point(|event| *event < self.top);
            top.min(position).max((position + 1).saturating_sub(height)).min(end_top)
        };
        top..len.min(top + height)
    }

    /// The events on screen where `height` rows fit, oldest first.
    pub fn visible(&self, height: usize) -> impl Iterator<Item = u64> + '_ {
        self.matched.range(self.window(height)).copied()
    }

    /// Moves the selection by so many events. Moving past the last one follows again.
    pub fn step(&mut self, events: isize, height: usize) {
        let top = self.window(height).start;
        let position = self.position();
        let target = position.saturating_add_signed(events);
        if target >= self.matched.len() {
            self.selected = None;
            return;
        }
        self.leave_following();
        self.top = self.matched.get(top).copied().unwrap_or(0);
        self.selected = self.matched.get(target).copied();
        self.top = self.matched.get(self.window(height).start).copied().unwrap_or(0);
    }

    fn leave_following(&mut self) {
        if self.selected.is_none() {
            self.unseen_from = self.matched.back().map_or(0, |event| event + 1);
        }
    }

    /// Selects the oldest event.
    pub fn go_first(&mut self) {
        self.leave_following();
        self.selected = self.matched.front().copied();
        self.top = 0;
    }

    /// Keeps the newest event on screen.
    pub fn follow(&mut self) {
        self.selected = None;
    }
}

/// The codes that must leap to the eye: the event was sent for a context kind the experiment does not randomize.
pub fn is_kind_mismatch(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::MetricUnitMismatch | ReasonCode::EventLacksUnit | ReasonCode::ExposureLacksUnit)
}

/// The codes that must leap to the eye: no metric knows the event key.
pub fn is_unmatched_key(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::NoMetricForKey | ReasonCode::EventKeyCase | ReasonCode::MetricKeyUsed)
}
