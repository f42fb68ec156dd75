//! Trying the fix of a finding: the view that shows what it comes to.
//!
//! Judging everything again takes longer than a frame, so the model only asks for it; whoever runs the loop has it done
//! elsewhere and hands back how far it is, and what it came to.

use super::action::Pane;
use super::listing::Scroll;
use super::{App, Effect, Notice, View};
use crate::attribution::state::Clock;
use crate::catalog::Catalog;
use crate::envelope::Envelope;
use crate::report::Finding;
use crate::what_if::Difference;
use std::sync::Arc;

/// What is to be tried, and on what.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRequest {
    /// Which trial: what comes of an earlier one is no longer wanted.
    pub number: u64,
    /// The finding.
    pub finding: Finding,
    /// The requests that are still held, in order.
    pub requests: Vec<Arc<Envelope>>,
    /// What is judged by.
    pub catalog: Catalog,
    /// The clock.
    pub clock: Clock,
    /// Since when everything in the requests was observed.
    pub observed_from_ms: Option<i64>,
}

/// What a trial came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialResult {
    /// The fix, with what it came to.
    pub fix: String,
    /// All that is different.
    pub difference: Difference,
}

/// How a trial stands.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialState {
    /// Requests judged, in which of the judgements, counted from 1, and how many there are.
    Running {
        /// Judgements begun.
        judgement: u64,
        /// Requests judged in it.
        judged: u64,
        /// Requests.
        of: u64,
    },
    /// It is done; none: nothing of what exptap can change would mend it.
    Done(Option<Box<TrialResult>>),
}

/// News of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialNews {
    /// Of which.
    pub number: u64,
    /// How it stands.
    pub state: TrialState,
}

/// The view.
#[derive(Debug)]
pub struct Trial {
    /// Which trial.
    pub number: u64,
    /// The finding.
    pub finding: Finding,
    /// How it stands.
    pub state: TrialState,
    /// Number of events tried on, and whether earlier ones have scrolled out.
    pub events: (u64, bool),
    /// How far it is scrolled.
    pub scroll: Scroll,
}

impl App<'_> {
    /// Asks for the fix of the selected finding to be tried on the session as it is held.
    pub(super) fn try_fix(&mut self, effects: &mut Vec<Effect>) {
        let selected = self.findings.selected_index().filter(|_| self.focus == Pane::Findings);
        let Some(finding) = selected.and_then(|index| self.report.findings.get(index)).cloned() else {
            let words = "select a finding first: its fix is tried on the events that are held";
            self.notice = Some(Notice { text: words.to_owned(), bad: false });
            return;
        };
        let clock = if self.report.clock == Clock::Received.name() { Clock::Received } else { Clock::Creation };
        let requests = self.store.held();
        let has_scrolled = self.store.first() > 0;
        // What was exposed in events that are gone nobody knows any more, so nothing before the oldest is observed.
        let oldest = || {
            let arrival = requests.first().and_then(|envelope| envelope.arrival());
            arrival.or_else(|| self.store.row(self.store.first())?.t_ms)
        };
        let observed_from_ms = if has_scrolled { oldest() } else { None }.max(self.store.observed_from_ms());
        self.trials += 1;
        let of = requests.len() as u64;
        self.view = View::Trial(Box::new(Trial {
            number: self.trials,
            finding: finding.clone(),
            state: TrialState::Running { judgement: 1, judged: 0, of },
            events: (self.store.next() - self.store.first(), has_scrolled),
            scroll: Scroll::default(),
        }));
        effects.push(Effect::Try(Box::new(TrialRequest {
            number: self.trials,
            finding,
            requests,
            catalog: self.store.catalog().clone(),
            clock,
            observed_from_ms,
        })));
    }

    /// Takes news of the trial that is shown; of any other they come too late.
    pub(super) fn take_trial(&mut self, news: TrialNews) -> bool {
        match &mut self.view {
            View::Trial(trial) if trial.number == news.number => {
                trial.state = news.state;
                true
            }
            _ => false,
        }
    }
}
