//! What the endpoint has seen and done, for the screens: counters that can be read at any moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Live counters of an endpoint. Shared behind an `Arc`; reading never holds up a request.
#[derive(Debug, Default)]
pub struct Status {
    connections_open: AtomicU64,
    connections: AtomicU64,
    connections_timed_out: AtomicU64,
    event_requests: AtomicU64,
    event_bytes: AtomicU64,
    preflights: AtomicU64,
    other_requests: AtomicU64,
    refused: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    answers: BTreeMap<u16, u64>,
    failures: u64,
    last_failure: Option<Note>,
    hints: u64,
    last_hint: Option<Note>,
}

/// A text and the moment it was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Epoch milliseconds.
    pub at_ms: i64,
    /// One sentence; secrets are masked in it.
    pub text: String,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections accepted since the start.
    pub connections: u64,
    /// Connections closed because nothing came for too long.
    pub connections_timed_out: u64,
    /// Requests on event paths.
    pub event_requests: u64,
    /// Body bytes received on event paths.
    pub event_bytes: u64,
    /// CORS preflights answered.
    pub preflights: u64,
    /// Requests on other paths.
    pub other_requests: u64,
    /// Requests refused because their framing was ambiguous.
    pub refused: u64,
    /// The upstream's answers by HTTP status.
    pub upstream_answers: BTreeMap<u16, u64>,
    /// Requests the upstream gave no answer to.
    pub upstream_failures: u64,
    /// Why the latest of them failed.
    pub last_upstream_failure: Option<Note>,
    /// Requests to odd or unknown paths.
    pub hints: u64,
    /// What to do about the latest of them.
    pub last_hint: Option<Note>,
}

impl Figures {
    /// Requests the upstream answered, with whatever status.
    pub fn upstream_answered(&self) -> u64 {
        self.upstream_answers.values().sum()
    }

    /// Requests the upstream took (status below 300).
    pub fn upstream_delivered(&self) -> u64 {
        self.upstream_answers.range(..300).map(|(_, count)| count).sum()
    }
}

impl Status {
    /// Reads all counters.
    pub fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            connections_open: read(&self.connections_open),
            connections: read(&self.connections),
            connections_timed_out: read(&self.connections_timed_out),
            event_requests: read(&self.event_requests),
            event_bytes: read(&self.event_bytes),
            preflights: read(&self.preflights),
            other_requests: read(&self.other_requests),
            refused: read(&self.refused),
            upstream_answers: notes.answers.clone(),
            upstream_failures: notes.failures,
            last_upstream_failure: notes.last_failure.clone(),
            hints: notes.hints,
            last_hint: notes.last_hint.clone(),
        }
    }

    pub(super) fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.connections_open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn connection_timed_out(&self) {
        self.connections_timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn event_request(&self) {
        self.event_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn event_bytes(&self, bytes: usize) {
        self.event_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn preflight(&self) {
        self.preflights.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn other_request(&self) {
        self.other_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn upstream_answered(&self, status: u16) {
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner).answers.entry(status).or_default() += 1;
    }

    pub(super) fn upstream_failed(&self, at_ms: i64, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.failures += 1;
        notes.last_failure = Some(Note { at_ms, text });
    }

    pub(super) fn hinted(&self, at_ms: i64, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.hints += 1;
        notes.last_hint = Some(Note { at_ms, text });
    }
}
