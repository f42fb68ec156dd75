//! The newest events, bounded by number and by bytes.

use super::rows;
use crate::attribution::list::List;
use crate::attribution::state::{Accepted, AcceptedClaims, State};
use crate::envelope::Envelope;
use crate::view::EventRow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// An event with where it came from.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) row: EventRow,
    pub(super) claims: AcceptedClaims,
    pub(super) envelope: Arc<Envelope>,
    /// Where the event stands in the decoded body.
    pub(super) range: Range<usize>,
}

/// The newest events. Event numbers go on; the oldest scroll out. With `shares_clones` clones share the rows
/// that neither changes.
#[derive(Clone, Debug)]
pub struct Journal {
    first: u64,
    entries: List<Entry, 8>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

impl Journal {
    pub(super) fn new(max_events: usize, max_bytes: usize, shares_clones: bool) -> Self {
        Self { first: 0, entries: List::new(shares_clones), bytes: 0, max_events: max_events.max(1), max_bytes }
    }

    /// Number of the oldest event that is still held.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// One past the number of the newest event.
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The row of an event, if it is still held.
    pub fn row(&self, event: u64) -> Option<&EventRow> {
        self.entry(event).map(|entry| &entry.row)
    }

    pub(super) fn has_scrolled(&self) -> bool {
        self.first > 0
    }

    pub(super) fn entry(&self, event: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(event.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        // A body is shared by its events; it is accounted for with the first and released with the last.
        let last = self.entries.len().checked_sub(1).and_then(|last| self.entries.get(last));
        if last.is_none_or(|last| !Arc::ptr_eq(&last.envelope, &entry.envelope)) {
            self.bytes += entry.envelope.body.len();
        }
        self.entries.push(entry);
        while self.entries.len() > self.max_events || (self.bytes > self.max_bytes && self.entries.len() > 1) {
            let Some(oldest) = self.entries.get(0) else { break };
            let next = self.entries.get(1);
            if next.is_none_or(|next| !Arc::ptr_eq(&next.envelope, &oldest.envelope)) {
                self.bytes -= oldest.envelope.body.len();
            }
            self.first += 1;
            self.entries.drop_front();
        }
    }

    /// The requests whose events are still held, in order. Of the first the earlier events may have scrolled out.
    pub fn envelopes(&self) -> impl Iterator<Item = &Arc<Envelope>> {
        let mut last: Option<&Arc<Envelope>> = None;
        self.entries
            .iter()
            .map(|entry| &entry.envelope)
            .filter(move |envelope| !last.replace(envelope).is_some_and(|last| Arc::ptr_eq(last, envelope)))
    }

    /// Empties the journal and gives back the requests it held, in order.
    pub(super) fn restart(&mut self) -> Vec<Arc<Envelope>> {
        let mut envelopes: Vec<Arc<Envelope>> = Vec::new();
        for entry in self.entries.iter() {
            if envelopes.last().is_none_or(|last| !Arc::ptr_eq(last, &entry.envelope)) {
                envelopes.push(Arc::clone(&entry.envelope));
            }
        }
        self.scroll_to(0);
        envelopes
    }

    /// Lets everything scroll out: the next event has this number.
    pub(super) fn scroll_to(&mut self, next: u64) {
        self.entries = self.entries.emptied();
        (self.first, self.bytes) = (next, 0);
    }

    /// Brings one row up to date and marks what changed.
    pub(super) fn revise(&mut self, event: u64, state: &State) {
        let Some(index) = event.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else { return };
        if let Some(entry) = self.entries.get_mut(index) {
            rows::resolve(&mut entry.row, &entry.claims, state, true);
        }
    }

    /// Marks verdicts of an event as revised, or, without any, the event.
    pub(super) fn mark_revised(&mut self, event: u64, verdicts: &[usize]) {
        let Some(index) = event.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.row.was_shown_otherwise |= verdicts.is_empty();
        for index in verdicts {
            if let Some(verdict) = entry.row.verdicts.get_mut(*index) {
                verdict.revised = true;
            }
        }
    }

    /// Brings the exposures of some units up to date.
    pub(super) fn revise_exposures(&mut self, units: &HashSet<u32>, state: &State) {
        let concerned = |claim: &Accepted| matches!(claim, Accepted::Exposure { state, .. } if units.contains(state));
        for index in 0..self.entries.len() {
            // Looked at before it is written: writing copies what a clone shares.
            if self.entries.get(index).is_some_and(|entry| entry.claims.iter().any(concerned))
                && let Some(entry) = self.entries.get_mut(index)
            {
                rows::resolve(&mut entry.row, &entry.claims, state, true);
            }
        }
    }

    /// Brings every row up to date, marking nothing.
    pub(super) fn refresh(&mut self, state: &State) {
        for index in 0..self.entries.len() {
            if let Some(entry) = self.entries.get_mut(index) {
                rows::resolve(&mut entry.row, &entry.claims, state, false);
            }
        }
    }
}
