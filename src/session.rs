//! Placeholder: the session of the core takes its place.
#![allow(missing_docs)]
use crate::app::store::Store;
use crate::catalog::Catalog;
use crate::envelope::Envelope;
use crate::report::Report;
use crate::view::{EventRow, Explanation, SourceRow, UnitRow};
use std::sync::Arc;

#[path = "app/fixture.rs"]
#[allow(clippy::duplicate_mod, dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
mod fixture;
pub(crate) use fixture::Fixture;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterationName {
    pub experiment: Arc<str>,
    pub iteration: Arc<str>,
    pub flag: Arc<str>,
}

pub struct Journal(pub(crate) Fixture);
impl Journal {
    pub fn first(&self) -> u64 {
        self.0.first()
    }
    pub fn next(&self) -> u64 {
        self.0.next()
    }
    pub fn row(&self, event: u64) -> Option<&EventRow> {
        self.0.row(event)
    }
}

pub struct Session {
    journal: Journal,
}
impl Session {
    pub fn placeholder(rows: u64) -> Self {
        Self { journal: Journal(if rows == 0 { Fixture::empty() } else { Fixture::shop_of(rows) }) }
    }
    pub fn receive(&mut self, envelope: &Envelope) {
        self.journal.0.receive(envelope);
    }
    pub fn advance(&mut self, now_ms: i64) {
        self.journal.0.advance(now_ms);
    }
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
    pub fn revision(&self) -> u64 {
        self.journal.0.revision()
    }
    pub fn report(&mut self) -> Arc<Report> {
        self.journal.0.report()
    }
    pub fn units(&mut self, limit: usize) -> Vec<UnitRow> {
        self.journal.0.units(limit)
    }
    pub fn sources(&self) -> Vec<SourceRow> {
        self.journal.0.sources()
    }
    pub fn explain(&self, event: u64) -> Option<Explanation> {
        self.journal.0.explain(event)
    }
    pub fn iterations(&self) -> &[IterationName] {
        self.journal.0.iterations()
    }
    pub fn metric_names(&self) -> &[Arc<str>] {
        self.journal.0.metric_names()
    }
    pub fn catalog(&self) -> &Catalog {
        self.journal.0.catalog()
    }
    pub fn observed_from_ms(&self) -> Option<i64> {
        self.journal.0.observed_from_ms()
    }
    pub fn lost(&self) -> u64 {
        self.journal.0.lost()
    }
}
