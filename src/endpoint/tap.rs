//! Where a recorder, and a feed, take their copies: as soon as a request has its number, before anything can lose it.

use super::intake::{Missed, Shared, Waiting};
use crate::envelope::Envelope;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Takes a copy of everything that is received. It is called while the endpoint holds its queue, so that copies come
/// in the order of their numbers; an implementation must not wait for anything.
pub trait Tap: Send + Sync {
    /// Takes a request.
    fn take(&self, envelope: Envelope);
    /// Notes that requests were answered whose bodies there was no room to keep; the first arrived then.
    fn lose(&self, requests: u64, arrival_ms: i64);
    /// Notes that whoever received the requests first did not hand some of them on.
    fn miss(&self, missed: &Missed);
}

/// Who takes copies: each has one tap, and neither is in the other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Recorder,
    Feed,
}

/// The taps that are open.
#[derive(Default)]
pub(super) struct Open {
    recorder: Option<Arc<dyn Tap>>,
    feed: Option<Arc<dyn Tap>>,
}

impl Open {
    fn place(&mut self, place: Place) -> &mut Option<Arc<dyn Tap>> {
        match place {
            Place::Recorder => &mut self.recorder,
            Place::Feed => &mut self.feed,
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Arc<dyn Tap>> {
        self.recorder.iter().chain(&self.feed)
    }

    pub(super) fn is_none(&self) -> bool {
        self.recorder.is_none() && self.feed.is_none()
    }
}

/// Lets a tap be opened and closed while the endpoint serves. It does not keep the intake open.
#[derive(Clone)]
pub struct Taps {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
}

impl Taps {
    /// Opens a tap in place of the one there was. It is given what waits for the core at this moment first, so that
    /// together with what the core has seen already nothing is missing and nothing doubled.
    ///
    /// Copying what waits holds up the endpoint, once, for as long as that takes: nothing where the core keeps up,
    /// some tens of milliseconds where its queue is full. Copying it later instead would need a second order of events.
    pub fn open(&self, tap: Arc<dyn Tap>) {
        let mut queue = self.shared.lock();
        for waiting in &queue.waiting {
            match waiting {
                Waiting::Envelope { envelope, .. } => tap.take(envelope.clone()),
                Waiting::Lost(loss) => tap.lose(loss.requests, loss.first_ms),
                Waiting::Missed(missed) => tap.miss(missed),
            }
        }
        *queue.taps.place(self.place) = Some(tap);
        self.shared.is_tapped.store(true, Ordering::Release);
    }

    /// Closes the tap.
    pub fn close(&self) {
        let mut queue = self.shared.lock();
        *queue.taps.place(self.place) = None;
        self.shared.is_tapped.store(!queue.taps.is_none(), Ordering::Release);
    }
}
