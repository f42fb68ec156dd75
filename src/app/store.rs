//! What the screens need from a session.
//!
//! A trait and not the session itself: the screens are tested on a handful of rows written down by hand, and a
//! remote collector can be shown by the same screens later.

use crate::catalog::{Catalog, Given};
use crate::envelope::Envelope;
use crate::query::Query;
use crate::report::Report;
use crate::session::{Again, Flagged, IterationName, Session, Shown};
use crate::view::{EventRow, Explanation, HeldStory, SourceRow, UnitList, UnitRow, UnitView};
use std::sync::Arc;

/// A session as the screens see it.
pub trait Store {
    /// Takes in one request.
    fn receive(&mut self, envelope: &Envelope);
    /// Notes that requests were lost before they could be looked at.
    fn lose(&mut self, requests: u64);
    /// Notes a time in between of which nothing is known.
    fn interrupt(&mut self) {}
    /// Lets time pass, to this instant (epoch ms): pending verdicts become definite.
    fn advance(&mut self, now_ms: i64);
    /// Number of the oldest event still held.
    fn first(&self) -> u64;
    /// One past the number of the newest event.
    fn next(&self) -> u64;
    /// One event.
    fn row(&self, event: u64) -> Option<&EventRow>;
    /// Changes whenever anything shown may have changed.
    fn revision(&self) -> u64;
    /// The report as of now; cheap where nothing changed.
    fn report(&mut self) -> Arc<Report>;
    /// The contexts of a view, at most `limit`.
    fn units(&mut self, view: UnitView, limit: usize) -> UnitList;
    /// The session as it stands, to be looked through elsewhere, where that takes longer than a key may wait; none where
    /// it does not, or where it cannot be had at once.
    fn snapshot(&self) -> Option<Box<Session>> {
        None
    }
    /// Those of these contexts that a view lists.
    fn units_named(&self, view: UnitView, names: &[(String, String)]) -> Vec<UnitRow>;
    /// How many contexts there are to search.
    fn units_known(&self) -> u64;
    /// Adds the contexts whose names a filter lets through, of so many from a number on; returns the number after them.
    fn find_units(&self, query: &Query, from: u64, at_most: u64, found: &mut Vec<(String, String)>) -> u64;
    /// The story of one context.
    fn story(&self, kind: &str, key: &str) -> Option<HeldStory>;
    /// The senders.
    fn sources(&self) -> Vec<SourceRow>;
    /// Everything known about one event.
    fn explain(&self, event: u64) -> Option<Explanation>;
    /// The iterations that [`crate::view::RowVerdict::iteration`] refers to.
    fn iterations(&self) -> &[IterationName];
    /// The metric keys that [`crate::view::RowVerdict::metric`] refers to.
    fn metric_names(&self) -> &[Arc<str>];
    /// What is being measured.
    fn catalog(&self) -> &Catalog;
    /// Since when everything was observed, epoch ms; none: the history is complete.
    fn observed_from_ms(&self) -> Option<i64>;
    /// Events known to be lost.
    fn lost(&self) -> u64;
    /// Holds another session from here on, and gives back the one it held; a store that holds none gives back the
    /// same.
    fn replace(&mut self, session: Box<Session>) -> Box<Session> {
        session
    }
    /// Judges what is held by what was given now; a store that holds nothing to judge changes nothing.
    fn take_given(&mut self, given: Given) -> Again {
        let _ = given;
        Again::default()
    }
    /// Judges what is held by flags that passed by, where they say anything of it.
    fn take_flags(&mut self, given: Given) -> Flagged {
        let _ = given;
        Flagged::Nothing
    }
    /// What is held, to be marked where another session says something else.
    fn shown(&self) -> Option<Shown> {
        None
    }
    /// The requests whose events are still held, in order.
    fn held(&self) -> Vec<Arc<Envelope>> {
        Vec::new()
    }
}

impl Store for Session {
    fn receive(&mut self, envelope: &Envelope) {
        self.receive(envelope);
    }
    fn lose(&mut self, requests: u64) {
        self.lose(requests);
    }
    fn interrupt(&mut self) {
        self.interrupt();
    }
    fn advance(&mut self, now_ms: i64) {
        self.advance(now_ms);
    }
    fn first(&self) -> u64 {
        self.journal().first()
    }
    fn next(&self) -> u64 {
        self.journal().next()
    }
    fn row(&self, event: u64) -> Option<&EventRow> {
        self.journal().row(event)
    }
    fn revision(&self) -> u64 {
        self.revision()
    }
    fn report(&mut self) -> Arc<Report> {
        self.report()
    }
    fn units(&mut self, view: UnitView, limit: usize) -> UnitList {
        Session::units(self, view, limit)
    }
    fn snapshot(&self) -> Option<Box<Session>> {
        self.snapshot().map(Box::new)
    }
    fn units_named(&self, view: UnitView, names: &[(String, String)]) -> Vec<UnitRow> {
        self.units_named(view, names)
    }
    fn units_known(&self) -> u64 {
        self.units_known()
    }
    fn find_units(&self, query: &Query, from: u64, at_most: u64, found: &mut Vec<(String, String)>) -> u64 {
        self.find_units(query, from, at_most, found)
    }
    fn story(&self, kind: &str, key: &str) -> Option<HeldStory> {
        self.story(kind, key)
    }
    fn sources(&self) -> Vec<SourceRow> {
        self.sources()
    }
    fn explain(&self, event: u64) -> Option<Explanation> {
        self.explain(event)
    }
    fn iterations(&self) -> &[IterationName] {
        self.iterations()
    }
    fn metric_names(&self) -> &[Arc<str>] {
        self.metric_names()
    }
    fn catalog(&self) -> &Catalog {
        self.catalog()
    }
    fn observed_from_ms(&self) -> Option<i64> {
        self.observed_from_ms()
    }
    fn lost(&self) -> u64 {
        self.lost()
    }
    fn replace(&mut self, mut session: Box<Session>) -> Box<Session> {
        std::mem::swap(self, &mut session);
        session
    }
    fn take_given(&mut self, given: Given) -> Again {
        self.take_given(given)
    }
    fn take_flags(&mut self, given: Given) -> Flagged {
        self.take_flags(given)
    }
    fn shown(&self) -> Option<Shown> {
        Some(self.shown())
    }
    fn held(&self) -> Vec<Arc<Envelope>> {
        self.journal().envelopes().cloned().collect()
    }
}
