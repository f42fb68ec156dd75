//! The report and the contexts of a session so large that making them takes longer than a key may wait.
//!
//! The model hands out the session as it stands, which costs little; whoever runs the loop has it gone through elsewhere
//! and hands back what it came to. Until then the panes show what they showed, marked as being on its way.

use super::App;
use crate::report::Report;
use crate::session::Session;
use crate::view::{UnitList, UnitView};
use std::fmt;
use std::sync::Arc;

/// A session to be gone through.
pub struct Survey {
    session: Box<Session>,
    view: UnitView,
    limit: usize,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Surveyed {
    /// Of which revision.
    revision: u64,
    report: Arc<Report>,
    /// Of which view the contexts are.
    view: UnitView,
    list: UnitList,
}

impl fmt::Debug for Survey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "survey of revision {}", self.session.revision())
    }
}

impl Survey {
    /// Goes through the session: for millions of contexts about a second.
    pub fn make(mut self) -> Surveyed {
        let report = self.session.report();
        let list = self.session.units(self.view, self.limit);
        Surveyed { revision: self.session.revision(), report, view: self.view, list }
    }
}

impl App<'_> {
    /// The session to be gone through elsewhere, where that is called for; [`super::Message::Surveyed`] must follow.
    pub fn begin_survey(&mut self) -> Option<Survey> {
        let session = self.store.snapshot()?;
        self.is_surveying = true;
        Some(Survey { session, view: self.units.view(), limit: super::contexts::UNITS })
    }

    /// Goes back to making everything here.
    pub fn give_up_survey(&mut self) {
        self.is_surveying = false;
    }

    /// Whether what the panes show is being made anew.
    pub fn is_surveying(&self) -> bool {
        self.is_surveying
    }

    pub(super) fn take_survey(&mut self, surveyed: Surveyed) {
        self.is_surveying = false;
        let Surveyed { revision, report, view, list } = surveyed;
        self.counted = Arc::clone(&report);
        self.refreshed_revision = Some(revision);
        if self.live.is_frozen() && self.shown_revision.is_some() {
            // What is shown stands still, but for a list that was asked for meanwhile.
            if self.units.is_on_its_way() && view == self.units.view() {
                self.take_contexts(list);
            }
            return;
        }
        self.shown_revision = Some(revision);
        self.report = report;
        if view == self.units.view() {
            self.take_contexts(list);
        }
        self.source_rows = self.store.sources();
        self.list();
        self.refresh_view();
    }
}
