//! Receiving the body of one request: kept while there is room, counted in any case, handed to the core once.

use super::intake::{Hold, Intake};
use super::mask::SafeHead;
use super::segment::SegmentRequest;
use super::status::Status;
use crate::envelope::{Answer, BodyLoss, Envelope, Via};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Room made at once for a body whose length is announced; an announcement alone must not cost memory.
const FIRST_ROOM_BYTES: u64 = 64 * 1024;

/// One request on an event path, from its head to its answer. When this is dropped, however that comes about (the
/// answer was given, the sender left, the endpoint stopped), the core gets its envelope: once, and always.
pub(super) struct Arrival {
    pub(super) intake: Intake,
    pub(super) arrival_ms: i64,
    pub(super) method: String,
    pub(super) head: SafeHead,
    pub(super) progress: Arc<Progress>,
    pub(super) answer: Option<Answer>,
    /// What the upstream said, where it did not take the request.
    pub(super) answer_text: Option<String>,
    pub(super) limit_bytes: u64,
    /// What there is to it where it came to one of Segment's doors.
    pub(super) segment: Option<SegmentRequest>,
    announced: Option<u64>,
    kept: Kept,
}

/// What has come of a body so far, readable while it still streams through.
#[derive(Default)]
pub(super) struct Progress {
    received: AtomicU64,
    broken: AtomicBool,
}

enum Kept {
    Receiving(Vec<u8>, Hold),
    Whole(Bytes, Hold),
    TooLarge,
    NoRoom,
}

/// A body as far as it was received.
pub(super) enum Collected {
    /// All of it.
    Whole(Bytes),
    /// It ended in the middle.
    Broken(Breach),
    /// It goes on: larger than what is kept, or than what there is room for.
    Streaming(Stream),
}

/// Why a body ended in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// The sender closed the connection, or nothing came for too long.
    Left,
    /// The chunks are not framed as they must be.
    Malformed,
}

/// A body of which the beginning was received and the rest is still to come.
pub(super) struct Stream {
    beginning: Bytes,
    // Bytes that wait for a slow upstream are memory too, so their room stays taken.
    _hold: Option<Hold>,
    rest: Incoming,
    progress: Arc<Progress>,
    stall: Duration,
    has_events: bool,
}

impl Arrival {
    pub(super) fn new(
        intake: Intake,
        arrival_ms: i64,
        method: String,
        head: SafeHead,
        headers: &HeaderMap,
        limit_bytes: u64,
    ) -> Self {
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let kept = match intake.hold(0) {
            _ if announced.is_some_and(|bytes| bytes > limit_bytes) => Kept::TooLarge,
            Some(hold) => {
                let room = announced.unwrap_or(0).min(FIRST_ROOM_BYTES);
                Kept::Receiving(Vec::with_capacity(usize::try_from(room).unwrap_or(0)), hold)
            }
            None => Kept::NoRoom,
        };
        let progress = Arc::default();
        Self {
            intake,
            arrival_ms,
            method,
            head,
            progress,
            answer: None,
            answer_text: None,
            limit_bytes,
            segment: None,
            announced,
            kept,
        }
    }

    /// Receives the body while it may be kept. `stall` is how long the sender may be silent.
    pub(super) async fn collect(&mut self, mut incoming: Incoming, stall: Duration, status: &Status) -> Collected {
        loop {
            let Kept::Receiving(bytes, hold) = &mut self.kept else {
                return Collected::Streaming(self.stream(Bytes::new(), None, incoming, stall));
            };
            match next_data(&mut incoming, stall).await {
                Some(Ok(data)) => {
                    status.event_bytes(data.len());
                    self.progress.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                    bytes.extend_from_slice(&data);
                    let overflow = if bytes.len() as u64 > self.limit_bytes {
                        Kept::TooLarge
                    } else if !hold.grow(data.len() as u64) {
                        Kept::NoRoom
                    } else {
                        continue;
                    };
                    if let Kept::Receiving(bytes, hold) = std::mem::replace(&mut self.kept, overflow) {
                        return Collected::Streaming(self.stream(bytes.into(), Some(hold), incoming, stall));
                    }
                }
                Some(Err(breach)) => {
                    self.progress.broken.store(true, Ordering::Relaxed);
                    return Collected::Broken(breach);
                }
                None => {
                    // Exactly as large as the body: what is kept is counted by its length.
                    let whole = Bytes::from(std::mem::take(bytes).into_boxed_slice());
                    if let Kept::Receiving(_, hold) = std::mem::replace(&mut self.kept, Kept::NoRoom) {
                        self.kept = Kept::Whole(whole.clone(), hold);
                    }
                    return Collected::Whole(whole);
                }
            }
        }
    }

    fn stream(&self, beginning: Bytes, hold: Option<Hold>, rest: Incoming, stall: Duration) -> Stream {
        Stream { beginning, _hold: hold, rest, progress: Arc::clone(&self.progress), stall, has_events: true }
    }

    /// The body, where all of it is kept.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        match &self.kept {
            Kept::Whole(bytes, _) => Some(bytes),
            Kept::Receiving(..) | Kept::TooLarge | Kept::NoRoom => None,
        }
    }

    /// The bytes of a body that is too large to be looked into, as far as they are known; none: it is not.
    pub(super) fn too_large(&self) -> Option<u64> {
        let received = self.progress.received.load(Ordering::Relaxed);
        matches!(self.kept, Kept::TooLarge).then(|| self.announced.unwrap_or(0).max(received))
    }

    fn closed(&self, received: u64) -> BodyLoss {
        BodyLoss::Closed { received, announced: self.announced }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let received = self.progress.received.load(Ordering::Relaxed);
        let broken = self.progress.broken.load(Ordering::Relaxed);
        let (body, hold, loss) = match std::mem::replace(&mut self.kept, Kept::NoRoom) {
            Kept::NoRoom => return self.intake.lose(received, self.arrival_ms),
            Kept::Whole(bytes, hold) => (bytes, Some(hold), None),
            Kept::Receiving(bytes, hold) => (bytes.into(), Some(hold), Some(self.closed(received))),
            Kept::TooLarge if broken => (Bytes::new(), self.intake.hold(0), Some(self.closed(received))),
            Kept::TooLarge => {
                let bytes = self.announced.unwrap_or(0).max(received);
                let loss = BodyLoss::TooLarge { bytes, limit: self.limit_bytes };
                (Bytes::new(), self.intake.hold(0), Some(loss))
            }
        };
        let Some(mut hold) = hold else { return self.intake.lose(received, self.arrival_ms) };
        let mut envelope = Envelope {
            via: Via::Http,
            arrival_ms: self.arrival_ms,
            request: 0,
            method: std::mem::take(&mut self.method),
            path: std::mem::take(&mut self.head.path),
            headers: std::mem::take(&mut self.head.headers),
            credential: self.head.credential.take(),
            body,
            decoded_from: None,
            wire_bytes: received,
            loss,
            answer: self.answer.take(),
            answer_text: self.answer_text.take(),
            signature: None,
        };
        if let Some(segment) = &self.segment {
            let before = envelope.body.len();
            segment.finish(&mut envelope, self.limit_bytes);
            if !hold.grow(envelope.body.len().saturating_sub(before) as u64) {
                return self.intake.lose(received, self.arrival_ms);
            }
        }
        self.intake.offer_held(envelope, hold);
    }
}

impl Stream {
    /// A body that nobody looks into: it only passes through.
    pub(super) fn passing(rest: Incoming, stall: Duration) -> Self {
        let progress = Arc::default();
        Self { beginning: Bytes::new(), _hold: None, rest, progress, stall, has_events: false }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self, status: &Status) -> Option<Result<Bytes, Breach>> {
        if !self.beginning.is_empty() {
            return Some(Ok(std::mem::take(&mut self.beginning)));
        }
        let next = next_data(&mut self.rest, self.stall).await;
        match &next {
            Some(Ok(data)) => {
                if self.has_events {
                    status.event_bytes(data.len());
                }
                self.progress.received.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            Some(Err(_)) => self.progress.broken.store(true, Ordering::Relaxed),
            None => {}
        }
        next
    }

    /// Receives the rest and keeps none of it.
    pub(super) async fn drain(mut self, status: &Status) -> Result<(), Breach> {
        self.beginning = Bytes::new();
        while let Some(piece) = self.next(status).await {
            piece?;
        }
        Ok(())
    }
}

/// The next data of a body. Trailers are passed over: no SDK sends any, and they are no part of the body.
async fn next_data(incoming: &mut Incoming, stall: Duration) -> Option<Result<Bytes, Breach>> {
    loop {
        match tokio::time::timeout(stall, incoming.frame()).await {
            Err(_silent) => return Some(Err(Breach::Left)),
            Ok(None) => return None,
            Ok(Some(Err(error))) => return Some(Err(breach_of(&error))),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
        }
    }
}

fn breach_of(error: &hyper::Error) -> Breach {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return match cause.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Breach::Malformed,
                _ => Breach::Left,
            };
        }
        source = cause.source();
    }
    Breach::Left
}
