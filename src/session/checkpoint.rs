//! Going back: a session as it was, without its rows.
//!
//! Rows are most of what a session holds of its newest events, and can be had again by taking in the same requests;
//! the state of attribution cannot, short of beginning at the first. So a checkpoint keeps the state and not the rows.

use super::Session;
use super::senders::{Contents, Senders};
use crate::attribution::state::State;
use crate::envelope::Envelope;
use crate::intake;
use crate::report::Report;
use std::sync::Arc;

/// A session as it was after some request, without rows. Checkpoints of one session share what did not change between
/// them.
#[derive(Clone)]
pub struct Checkpoint(Session);

impl Checkpoint {
    /// The session, going on from here. Its list begins empty, as if everything had scrolled out.
    pub fn resume(&self) -> Session {
        self.0.clone()
    }

    /// Bytes that this checkpoint holds and `earlier` does not share; without it, all of them. An estimate.
    pub fn unshared_bytes(&self, earlier: Option<&Self>) -> usize {
        let session = &self.0;
        let beside = size_of::<Session>();
        match earlier {
            Some(Self(earlier)) => {
                beside + session.state.unshared_bytes(&earlier.state) + session.senders.unshared_bytes(&earlier.senders)
            }
            None => {
                let nothing = State::new(Arc::clone(session.state.judge()), *session.state.options());
                beside + session.state.unshared_bytes(&nothing) + session.senders.unshared_bytes(&Senders::default())
            }
        }
    }
}

impl Session {
    /// A checkpoint to resume from.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut session = self.clone();
        session.journal.scroll_to(session.state.totals().events);
        session.report = None;
        Checkpoint(session)
    }

    /// Takes in a request without making its rows, and lets those there are scroll out. For getting somewhere: rows
    /// are most of the work.
    pub fn pass(&mut self, envelope: &Envelope) {
        self.now_ms = self.now_ms.max(envelope.arrival_ms);
        self.observe(envelope);
        let mut contents = Contents::default();
        let duplicates_before = self.state.totals().duplicate_payloads;
        intake::envelope(&mut self.state, &self.catalog.environment, envelope, |_, received| contents.count(&received));
        contents.duplicate = self.state.totals().duplicate_payloads > duplicates_before;
        self.senders.note(envelope, &contents);
        self.journal.scroll_to(self.state.totals().events);
        // Of rows that are not there.
        self.state.take_changes();
        self.revision += 1;
    }

    /// Nothing more will come: what is pending is decided. From then on the report is the one that `exptap report`
    /// gives of the same requests.
    pub fn conclude(&mut self) {
        self.state.conclude();
        self.revise_rows();
        self.revision += 1;
    }

    /// Takes another session's report for its own until something changes.
    pub fn lend_report(&mut self, report: Arc<Report>) {
        self.report = Some((self.revision, report));
    }

    /// Gives the session a revision, so that who is shown one session after another never takes two for the same.
    pub fn renumber(&mut self, revision: u64) {
        if let Some((_, report)) = self.report.take_if(|(of, _)| *of == self.revision) {
            self.report = Some((revision, report));
        }
        self.revision = revision;
    }
}
