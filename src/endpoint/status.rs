//! What the endpoint has seen and done, for the screens: counters that can be read at any moment.

use crate::spool::{self, Spool};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Notify;

/// Live counters of an endpoint. Shared behind an `Arc`; reading never holds up a request.
#[derive(Debug, Default)]
pub struct Status {
    connections_open: AtomicU64,
    connections: AtomicU64,
    connections_timed_out: AtomicU64,
    connections_displaced: AtomicU64,
    event_requests: AtomicU64,
    event_bytes: AtomicU64,
    preflights: AtomicU64,
    other_requests: AtomicU64,
    refused: AtomicU64,
    handshakes_failed: AtomicU64,
    plain_requests: AtomicU64,
    notes: Mutex<Notes>,
    spool: OnceLock<Arc<Spool>>,
    hinted: Notify,
}

#[derive(Debug, Default)]
struct Notes {
    upstream: Delivery,
    segment_upstream: Delivery,
    flags_upstream: Delivery,
    hints: u64,
    last_hint: Option<Note>,
}

impl Notes {
    fn delivery(&mut self, service: Service) -> &mut Delivery {
        match service {
            Service::LaunchDarkly => &mut self.upstream,
            Service::Segment => &mut self.segment_upstream,
            Service::Flags => &mut self.flags_upstream,
        }
    }
}

/// Whose events an upstream takes, or that it gives flags. They are counted apart: one may be well while the other is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    LaunchDarkly,
    Segment,
    Flags,
}

/// How an upstream takes what is forwarded to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its answers by HTTP status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests it gave no answer to.
    pub unanswered: u64,
    /// Why the latest of them failed.
    pub last_failure: Option<Note>,
}

impl Delivery {
    /// Requests it answered, with whatever status.
    pub fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Requests it took (status below 300).
    pub fn delivered(&self) -> u64 {
        self.answers.range(..300).map(|(_, count)| count).sum()
    }

    /// Requests it refused: status, how often.
    pub fn refused(&self) -> impl DoubleEndedIterator<Item = (u16, u64)> {
        self.answers.range(300..).map(|(status, count)| (*status, *count))
    }
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
    /// Connections closed while they rested, because another needed the place.
    pub connections_displaced: u64,
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
    /// TLS handshakes that failed: a client that does not believe the certificate, or speaks TLS to a plain address.
    pub handshakes_failed: u64,
    /// Requests in clear text to an address that speaks TLS, which were refused.
    pub plain_requests: u64,
    /// How the upstream takes the events of LaunchDarkly's SDKs.
    pub upstream: Delivery,
    /// How Segment's upstream takes the requests of Segment's libraries.
    pub segment_upstream: Delivery,
    /// How requests for flag data are answered upstream.
    pub flags_upstream: Delivery,
    /// How it stands with the spool; none: there is none.
    pub spool: Option<spool::Figures>,
    /// Requests to odd or unknown paths, and connections that came to nothing.
    pub hints: u64,
    /// What to do about the latest of them.
    pub last_hint: Option<Note>,
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
            connections_displaced: read(&self.connections_displaced),
            event_requests: read(&self.event_requests),
            event_bytes: read(&self.event_bytes),
            preflights: read(&self.preflights),
            other_requests: read(&self.other_requests),
            refused: read(&self.refused),
            handshakes_failed: read(&self.handshakes_failed),
            plain_requests: read(&self.plain_requests),
            upstream: notes.upstream.clone(),
            segment_upstream: notes.segment_upstream.clone(),
            flags_upstream: notes.flags_upstream.clone(),
            spool: self.spool.get().map(|spool| spool.figures()),
            hints: notes.hints,
            last_hint: notes.last_hint.clone(),
        }
    }

    /// The next thing to say about the spool; without one, nothing ever.
    pub async fn spool_news(&self) -> spool::News {
        match self.spool.get() {
            Some(spool) => spool.news().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn has_spool(&self, spool: Arc<Spool>) {
        // There is one at the most.
        let _ = self.spool.set(spool);
    }

    /// Waits until there is a hint that was not waited for yet. What it is about brings no request with it, so nothing
    /// else would say that there is news.
    pub async fn next_hint(&self) {
        self.hinted.notified().await;
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

    pub(super) fn connection_displaced(&self) {
        self.connections_displaced.fetch_add(1, Ordering::Relaxed);
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

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn plain_request(&self) {
        self.plain_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn upstream_answered(&self, service: Service, status: u16) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        *notes.delivery(service).answers.entry(status).or_default() += 1;
    }

    pub(super) fn upstream_failed(&self, service: Service, at_ms: i64, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let delivery = notes.delivery(service);
        delivery.unanswered += 1;
        delivery.last_failure = Some(Note { at_ms, text });
    }

    pub(super) fn hinted(&self, at_ms: i64, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.hints += 1;
        notes.last_hint = Some(Note { at_ms, text });
        drop(notes);
        self.hinted.notify_one();
    }
}
