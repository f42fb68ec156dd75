//! Where recordings are started and ended, by option or by key, and spoken of at the end.

use super::{BAD_INPUT, say};
use crate::bucketing::seen::Seen;
use crate::catalog::Given;
use crate::endpoint::Taps;
use crate::envelope::Envelope;
use crate::recorder::{Caps, Disk, FINISH, Recorder, Rotate, Snapshot, Start, State};
use crate::recording::{Flags, Header, Mark, Part};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// The recording that is under way, if one is, and what every recording of this session has in its header.
#[derive(Default)]
pub struct Desk {
    taps: Option<Taps>,
    header: Header,
    rotate: Rotate,
    recorder: Option<Recorder>,
    /// The flags that passed by so far.
    flags: Option<Flags>,
    /// What was said of a fault last, where there is no screen to show it.
    told: Option<String>,
    /// Recordings that are over.
    over: Vec<Snapshot>,
}

impl Desk {
    /// A desk of a session that takes requests from an endpoint. What the user gave is kept in it; a catalog
    /// that was inferred is inferred again from what was recorded.
    pub(super) fn new(taps: Taps, given: Given, note: Option<String>) -> Self {
        let tool = Some(concat!("exptap ", env!("CARGO_PKG_VERSION")).to_owned());
        let mut desk = Self { taps: Some(taps), header: Header { tool, note, ..Header::default() }, ..Self::default() };
        desk.take_given(given);
        desk
    }

    /// What recordings that are started from now on have in their header.
    pub(super) fn take_given(&mut self, given: Given) {
        self.header.mapping = given.destination.map(|destination| destination.to_json());
        self.header.catalog = given.catalog;
    }

    /// Flags may pass by, and are recorded when they do.
    pub(super) fn expect_flags(&mut self) {
        self.header.has_flags = true;
    }

    /// Takes the flags that passed by so far.
    pub(super) fn take_flags(&mut self, seen: &Seen, t_ms: i64) {
        let flags = Flags { t_ms, json: seen.to_json().to_string() };
        let is_known = self.flags.as_ref().is_some_and(|before| before.json == flags.json);
        if is_known || flags.json == "[]" {
            return;
        }
        if let Some(recorder) = &self.recorder {
            recorder.flags(flags.clone());
        }
        self.flags = Some(flags);
    }

    /// What every recording of this session has in its header.
    pub(super) fn header(&self, observed_from_ms: Option<i64>) -> Header {
        Header { observed_from_ms, ..self.header.clone() }
    }

    /// Puts files aside from now on.
    pub(super) fn rotate(&mut self, rotate: Rotate) {
        self.rotate = rotate;
    }

    /// Records from the start. A file that cannot be recorded to is said.
    ///
    /// # Errors
    /// The exit code to end with.
    pub(super) fn record(&mut self, path: PathBuf, observed_from_ms: Option<i64>) -> Result<(), ExitCode> {
        let refused = match self.start(path, observed_from_ms, Vec::new()) {
            Err(error) => Some(error),
            Ok(()) => self.recorder.as_ref().and_then(|recorder| recorder.opened().err()),
        };
        let Some(refused) = refused else { return Ok(()) };
        say(refused);
        Err(ExitCode::from(BAD_INPUT))
    }

    /// Starts to record: what was received before, then what waits, then what comes.
    ///
    /// # Errors
    /// Why not. That the file is refused is told by a snapshot.
    pub(super) fn start(
        &mut self,
        path: PathBuf,
        observed_from_ms: Option<i64>,
        history: Vec<Arc<Envelope>>,
    ) -> Result<(), String> {
        let Some(taps) = &self.taps else { return Err("nothing is received here that could be recorded".to_owned()) };
        let mut header = self.header(observed_from_ms);
        if self.rotate != Rotate::default() {
            let mut chance = [0; 8];
            // Without chance there is no name, and parts are taken for recordings of their own: less is known then.
            let is_named = getrandom::fill(&mut chance).is_ok();
            let of = chance.iter().map(|byte| format!("{byte:02x}")).collect();
            header.part = is_named.then_some(Part { of, number: 1 });
        }
        let start = Start { path, header, history, caps: Caps::default(), rotate: self.rotate };
        let recorder = Recorder::start(Disk, start).map_err(|error| format!("recording needs a thread: {error}"))?;
        if let Some(flags) = &self.flags {
            recorder.flags(flags.clone());
        }
        taps.open(recorder.tap());
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Ends the recording; a snapshot tells when it is over.
    pub(super) fn stop(&self) {
        if let Some(taps) = &self.taps {
            taps.close();
        }
        if let Some(recorder) = &self.recorder {
            recorder.close();
        }
    }

    /// Tries again after a fault.
    pub(super) fn retry(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.retry();
        }
    }

    /// Sets a mark.
    pub(super) fn mark(&self, mark: Mark) {
        if let Some(recorder) = &self.recorder {
            recorder.mark(mark);
        }
    }

    /// Waits until there is something new; for ever where nothing is recorded.
    pub(super) async fn changed(&self) {
        match &self.recorder {
            Some(recorder) => recorder.changed().await,
            None => std::future::pending().await,
        }
    }

    /// How the recording is doing. One that is over is told of once more, and kept for the end.
    pub(super) fn snapshot(&mut self) -> Option<Snapshot> {
        let snapshot = self.recorder.as_ref()?.snapshot();
        if snapshot.is_over() {
            if let (Some(taps), State::Refused(_)) = (&self.taps, &snapshot.state) {
                taps.close();
            }
            self.recorder = None;
            if snapshot.state == State::Closed {
                self.over.push(snapshot.clone());
            }
        }
        Some(snapshot)
    }

    /// Whether the file has failed.
    pub(super) fn is_stopped(&self) -> bool {
        let state = self.recorder.as_ref().map(|recorder| recorder.snapshot().state);
        matches!(state, Some(State::Stopped { .. }))
    }

    /// Says on standard error what a screen would show.
    pub(super) fn tell(&mut self) {
        let Some(snapshot) = self.snapshot() else { return };
        let path = snapshot.path.display();
        let news = match (&snapshot.state, &snapshot.moved) {
            (State::Stopped { why, .. }, _) => Some(format!("{path}: recording stopped: {why}; it is tried again")),
            (State::Recording, Some(moved)) => {
                let what = if moved.was_removed { "removed" } else { "moved away" };
                Some(format!("{path}: the recording was {what}; a new one was begun in its place"))
            }
            (State::Recording, None) if self.told.is_some() => Some(format!("{path}: recording goes on")),
            _ => None,
        };
        if news != self.told {
            if let Some(news) = &news {
                say(news);
            }
            self.told = news;
        }
    }

    /// Ends whatever is being recorded, and says what was. True: all of it is in the files, or said there to be lost.
    pub(super) fn finish(&mut self) -> (Vec<String>, bool) {
        if let Some(taps) = &self.taps {
            taps.close();
        }
        let mut told: Vec<String> = self.over.iter().map(ToString::to_string).collect();
        let Some(recorder) = self.recorder.take() else { return (told, true) };
        let is_done = recorder.finish(FINISH);
        let snapshot = recorder.snapshot();
        told.push(snapshot.to_string());
        if !is_done {
            let waiting = recorder.waiting();
            told.push(format!(
                "{}: the file did not take everything within {} seconds; {waiting} requests may be missing",
                snapshot.path.display(),
                FINISH.as_secs()
            ));
            // Waiting for it once more, when it is dropped, would be as much in vain.
            std::mem::forget(recorder);
        }
        (told, is_done && snapshot.state == State::Closed)
    }
}
