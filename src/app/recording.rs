//! Recording, as far as the model goes: what its keys ask for, and what is known of the recording under way.

use super::overlay::{Line, LinePurpose, Overlay};
use super::{App, Effect, Notice};
use crate::recorder::{Snapshot, State};
use crate::silenced::Silenced;
use crate::spool::Refusal;
use tui_input::Input;

/// What stays on screen until something is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Banner<'a> {
    /// The file failed.
    Stopped {
        /// When, epoch milliseconds.
        since_ms: i64,
        /// Why.
        why: &'a str,
        /// Requests that came since.
        not_kept: u64,
    },
    /// SDKs were answered so that they send no more.
    Silenced {
        /// The latest of them.
        silenced: &'a Silenced,
        /// How many others.
        others: u64,
    },
    /// Requests from the spool were refused for good.
    Refused {
        /// Whose the latest was.
        refusal: &'a Refusal,
        /// How many were refused and not seen yet.
        requests: u64,
    },
    /// Nothing is delivered from the spool.
    Waiting {
        /// Requests that wait.
        requests: u64,
        /// How long the oldest of them does, in milliseconds.
        age_ms: i64,
        /// Why.
        why: &'a str,
    },
    /// The file was removed or renamed, and another one begun.
    Moved {
        /// Its name.
        name: String,
        /// When that was noticed, epoch milliseconds.
        at_ms: i64,
        /// Whether it is gone, and not only elsewhere.
        was_removed: bool,
    },
}

impl App<'_> {
    /// The recording under way.
    pub fn recording(&self) -> Option<&Snapshot> {
        self.recording.as_ref()
    }

    /// What stays on screen until something is done about it.
    pub fn banner(&self) -> Option<Banner<'_>> {
        let recording = self.recording.as_ref();
        if let Some(State::Stopped { since_ms, why, not_kept }) = recording.map(|recording| &recording.state) {
            return Some(Banner::Stopped { since_ms: *since_ms, why, not_kept: *not_kept });
        }
        if let Some((silenced, others)) = self.silence.latest() {
            return Some(Banner::Silenced { silenced, others });
        }
        self.spool_banner().or_else(|| {
            let recording = recording?;
            let moved = recording.moved.as_ref()?;
            Some(Banner::Moved { name: recording.name(), at_ms: moved.at_ms, was_removed: moved.was_removed })
        })
    }

    fn spool_banner(&self) -> Option<Banner<'_>> {
        let spool = self.health.spool.as_ref()?;
        let requests = spool.refused.saturating_sub(self.refusals_seen);
        if let (1.., Some(refusal)) = (requests, spool.refusals.last()) {
            return Some(Banner::Refused { refusal, requests });
        }
        let trouble = spool.trouble.as_ref()?;
        let age_ms = (self.now_ms - spool.oldest_ms?).max(0);
        Some(Banner::Waiting { requests: spool.waiting_requests, age_ms, why: &trouble.why })
    }

    /// Takes what is new of the recording.
    pub(super) fn take_recording(&mut self, snapshot: Snapshot) {
        match &snapshot.state {
            State::Refused(_) => self.notice = Some(Notice { text: format!("not recorded: {snapshot}"), bad: true }),
            State::Closed => self.notice = Some(Notice { text: snapshot.to_string(), bad: false }),
            _ => {}
        }
        self.recording = Some(snapshot).filter(|snapshot| !snapshot.is_over());
    }

    /// Starts a recording, once its file is named, or ends the one under way.
    pub(super) fn record(&mut self, effects: &mut Vec<Effect>) {
        if self.recording.is_some() {
            return effects.push(Effect::StopRecording);
        }
        if self.setting.addresses.is_empty() && self.link().is_none() {
            return self.remark("nothing is received here that could be recorded");
        }
        let time = jiff::Timestamp::from_millisecond(self.now_ms).unwrap_or_default().to_zoned(self.zone.clone());
        let name = time.strftime("exptap-%Y%m%d-%H%M%S.exptap").to_string();
        self.overlay = Some(Overlay::Line(Line { purpose: LinePurpose::Record, input: Input::new(name), error: None }));
    }

    /// Sets a mark, once its note is typed.
    pub(super) fn mark(&mut self) {
        if self.recording.is_none() {
            return self.remark("nothing is being recorded that a mark could be set in; R starts a recording");
        }
        self.overlay = Some(Overlay::Line(Line { purpose: LinePurpose::Mark, input: Input::default(), error: None }));
    }

    /// Tries again after a fault.
    pub(super) fn retry(&mut self, effects: &mut Vec<Effect>) {
        match self.banner() {
            Some(Banner::Silenced { .. }) => self.silence.clear(),
            Some(Banner::Refused { .. }) => {
                self.refusals_seen = self.health.spool.as_ref().map_or(0, |spool| spool.refused);
            }
            Some(Banner::Waiting { .. }) => self.remark("what waits in the spool is tried again by itself"),
            Some(_) => effects.push(Effect::RetryRecording),
            None if self.recording.is_some() => self.remark("nothing to try again: recording goes on"),
            None => self.remark("nothing to try again: nothing is being recorded; R starts a recording"),
        }
    }

    fn remark(&mut self, words: &str) {
        self.notice = Some(Notice { text: words.to_owned(), bad: true });
    }
}
