//! The bounded way from the endpoint to the core.
//!
//! The endpoint must never wait for whoever judges, draws or records; whoever does that must never be surprised
//! by memory. So the queue between them has two caps, a number of requests and a number of bytes, and what does
//! not fit is dropped on the spot, counted, and reported to the receiver *where it happened* in the stream: a
//! loss that cannot be placed cannot be reasoned about.
//!
//! A channel from a library would bound the count only, and would have to report a loss beside the queue instead
//! of in it.

use super::tap::{Open, Place, Taps};
use crate::envelope::Envelope;
use crate::segment::write_key;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How much may wait between the endpoint and the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Requests waiting.
    pub requests: usize,
    /// Bytes waiting: bodies, paths and headers, and the bodies that are being received at this moment.
    pub bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { requests: 65_536, bytes: 64 * 1024 * 1024 }
    }
}

/// Requests that were answered but did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many requests.
    pub requests: u64,
    /// The bytes of their bodies on the wire.
    pub bytes: u64,
    /// The number of the first of them; requests are counted from 1, lost ones too.
    pub first_request: u64,
    /// The number of the last of them.
    pub last_request: u64,
    /// Arrival of the earliest of them, epoch milliseconds.
    pub first_ms: i64,
    /// Arrival of the latest of them, epoch milliseconds.
    pub last_ms: i64,
}

/// Requests that somebody else received and did not hand on: a collector whose backlog did not reach back so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many; none: nobody knows.
    pub requests: Option<u64>,
    /// When that was noticed, epoch milliseconds.
    pub t_ms: i64,
    /// Why, in words.
    pub why: Arc<str>,
    /// Whether whoever is shown the rest asked for that.
    pub is_intended: bool,
}

/// What the core takes from the intake, in the order it happened.
// It lives on the stack between the queue and its reader; a box would be an allocation per request.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Received {
    /// A request.
    Envelope(Envelope),
    /// Requests that are missing at this place.
    Lost(Loss),
    /// Requests that are missing at this place because they never came so far.
    Missed(Missed),
}

impl Received {
    /// Without write keys. A body that came to one of Segment's doors has lost them already; of any other they are
    /// taken here, where nobody who waits for an answer waits for it, and nobody who wants the queue.
    fn cleaned(self) -> Self {
        match self {
            Self::Envelope(envelope) => Self::Envelope(write_key::cleaned(&envelope).unwrap_or(envelope)),
            other => other,
        }
    }
}

/// What waiting for a limited time brought.
// It lives on the stack between the queue and its reader; a box would be an allocation per request.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Waited {
    /// Something arrived.
    Received(Received),
    /// Nothing arrived within the time.
    Nothing,
    /// Every [`Intake`] is gone and the queue is empty: nothing will arrive any more.
    Ended,
}

/// Makes an intake and its receiver.
pub fn intake(caps: Caps) -> (Intake, IntakeReceiver) {
    let shared = Arc::new(Shared {
        caps,
        held_bytes: AtomicU64::new(0),
        lost_requests: AtomicU64::new(0),
        lost_bytes: AtomicU64::new(0),
        queue: Mutex::new(Queue {
            waiting: VecDeque::new(),
            envelopes: 0,
            requests: 0,
            senders: 1,
            receiver_gone: false,
            taps: Open::default(),
        }),
        is_tapped: AtomicBool::new(false),
        blocking: Condvar::new(),
        asynchronous: Notify::new(),
    });
    (Intake { shared: Arc::clone(&shared) }, IntakeReceiver { shared })
}

pub(super) struct Shared {
    caps: Caps,
    /// Whether there is a tap: asked before the queue is locked, to copy a request for it.
    pub(super) is_tapped: AtomicBool,
    held_bytes: AtomicU64,
    lost_requests: AtomicU64,
    lost_bytes: AtomicU64,
    queue: Mutex<Queue>,
    blocking: Condvar,
    asynchronous: Notify,
}

pub(super) struct Queue {
    pub(super) waiting: VecDeque<Waiting>,
    envelopes: usize,
    requests: u64,
    senders: usize,
    receiver_gone: bool,
    pub(super) taps: Open,
}

pub(super) enum Waiting {
    Envelope { envelope: Envelope, held_bytes: u64 },
    Lost(Loss),
    Missed(Missed),
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that runs under this lock can leave the queue half changed, so a poisoned lock is still right.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.blocking.notify_one();
        self.asynchronous.notify_one();
    }

    fn take(&self, queue: &mut Queue) -> Option<Received> {
        match queue.waiting.pop_front()? {
            Waiting::Envelope { envelope, held_bytes } => {
                queue.envelopes -= 1;
                self.held_bytes.fetch_sub(held_bytes, Ordering::Relaxed);
                Some(Received::Envelope(envelope))
            }
            Waiting::Lost(loss) => Some(Received::Lost(loss)),
            Waiting::Missed(missed) => Some(Received::Missed(missed)),
        }
    }
}

/// The endpoint's side. Cheap to clone; the receiver ends when every clone is gone.
pub struct Intake {
    shared: Arc<Shared>,
}

impl Intake {
    /// Hands a request on, or counts it as lost when there is no room; never waits. The request gets its number
    /// here, so numbers rise in the order in which the core sees requests. Returns whether it was taken.
    pub fn offer(&self, envelope: Envelope) -> bool {
        let hold = self.hold(envelope.body.len() as u64);
        match hold {
            Some(hold) => self.offer_held(envelope, hold),
            None => {
                self.lose(envelope.wire_bytes, envelope.arrival_ms);
                false
            }
        }
    }

    /// Notes that requests are missing at this place which were never handed on to here. They have numbers, so that
    /// what comes has the same number here as where it was received.
    pub fn miss(&self, missed: Missed) {
        let mut queue = self.shared.lock();
        queue.requests += missed.requests.unwrap_or(0);
        queue.taps.each().for_each(|tap| tap.miss(&missed));
        if !queue.receiver_gone {
            queue.waiting.push_back(Waiting::Missed(missed));
        }
        drop(queue);
        self.shared.wake();
    }

    /// Whether nobody takes from it any more.
    pub fn is_abandoned(&self) -> bool {
        self.shared.lock().receiver_gone
    }

    /// Requests lost since the start.
    pub fn lost_requests(&self) -> u64 {
        self.shared.lost_requests.load(Ordering::Relaxed)
    }

    /// Body bytes lost since the start.
    pub fn lost_bytes(&self) -> u64 {
        self.shared.lost_bytes.load(Ordering::Relaxed)
    }

    /// Requests and bytes that wait at this moment.
    pub fn waiting(&self) -> (usize, u64) {
        (self.shared.lock().envelopes, self.shared.held_bytes.load(Ordering::Relaxed))
    }

    /// Sets room aside for bytes that are being received; `None` when there is none.
    pub(super) fn hold(&self, bytes: u64) -> Option<Hold> {
        let mut hold = Hold { shared: Arc::clone(&self.shared), bytes: 0 };
        hold.grow(bytes).then_some(hold)
    }

    /// As [`Intake::offer`], with the room for the body set aside already.
    pub(super) fn offer_held(&self, mut envelope: Envelope, mut hold: Hold) -> bool {
        // Path and headers are bounded by the head of a request, but 65,536 heads are memory too.
        let has_room = hold.grow(envelope.head_bytes());
        // A copy shares the body and costs a few small allocations. Sharing the whole envelope would spare them, and
        // make every reader of the queue hold one more pointer for the sake of those who record.
        let copy = self.shared.is_tapped.load(Ordering::Acquire).then(|| envelope.clone());
        let mut queue = self.shared.lock();
        queue.requests += 1;
        envelope.request = queue.requests;
        if let Some(mut copy) = copy.or_else(|| (!queue.taps.is_none()).then(|| envelope.clone())) {
            copy.request = envelope.request;
            // Nearly always there is one tap at most, which takes the copy itself.
            let mut taps = queue.taps.each().peekable();
            while let Some(tap) = taps.next() {
                match taps.peek() {
                    Some(_) => tap.take(copy.clone()),
                    None => {
                        tap.take(copy);
                        break;
                    }
                }
            }
        }
        if !has_room || queue.envelopes >= self.shared.caps.requests || queue.receiver_gone {
            self.lose_in(&mut queue, envelope.wire_bytes, envelope.arrival_ms);
            drop(queue);
            self.shared.wake();
            return false;
        }
        queue.envelopes += 1;
        let held_bytes = std::mem::take(&mut hold.bytes);
        queue.waiting.push_back(Waiting::Envelope { envelope, held_bytes });
        drop(queue);
        self.shared.wake();
        true
    }

    /// Counts a request that was answered but not kept.
    pub(super) fn lose(&self, bytes: u64, arrival_ms: i64) {
        let mut queue = self.shared.lock();
        queue.requests += 1;
        queue.taps.each().for_each(|tap| tap.lose(1, arrival_ms));
        self.lose_in(&mut queue, bytes, arrival_ms);
        drop(queue);
        self.shared.wake();
    }

    /// Notes that the request numbered last is lost to the core.
    fn lose_in(&self, queue: &mut Queue, bytes: u64, arrival_ms: i64) {
        self.shared.lost_requests.fetch_add(1, Ordering::Relaxed);
        self.shared.lost_bytes.fetch_add(bytes, Ordering::Relaxed);
        let request = queue.requests;
        if let Some(Waiting::Lost(loss)) = queue.waiting.back_mut() {
            loss.requests += 1;
            loss.bytes += bytes;
            loss.last_request = request;
            loss.first_ms = loss.first_ms.min(arrival_ms);
            loss.last_ms = loss.last_ms.max(arrival_ms);
        } else if !queue.receiver_gone {
            queue.waiting.push_back(Waiting::Lost(Loss {
                requests: 1,
                bytes,
                first_request: request,
                last_request: request,
                first_ms: arrival_ms,
                last_ms: arrival_ms,
            }));
        }
    }
}

impl Clone for Intake {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.senders -= 1;
        let ended = queue.senders == 0;
        drop(queue);
        if ended {
            self.shared.wake();
        }
    }
}

/// Room set aside in the intake's byte cap; given back when dropped.
pub(super) struct Hold {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Hold {
    /// Sets more room aside; `false`, and nothing changed, when there is not that much.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        let cap = self.shared.caps.bytes;
        let grown = self.shared.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|sum| *sum <= cap)
        });
        if grown.is_ok() {
            self.bytes += bytes;
        }
        grown.is_ok()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The core's side, for a thread of its own or for an asynchronous task.
pub struct IntakeReceiver {
    shared: Arc<Shared>,
}

impl IntakeReceiver {
    /// Lets a recorder take a copy of everything.
    pub fn taps(&self) -> Taps {
        Taps { shared: Arc::clone(&self.shared), place: Place::Recorder }
    }

    /// Lets a feed take a copy of everything.
    pub fn feed(&self) -> Taps {
        Taps { shared: Arc::clone(&self.shared), place: Place::Feed }
    }

    /// What waits at the front, if anything does.
    pub fn try_next(&mut self) -> Option<Received> {
        let received = self.shared.take(&mut self.shared.lock());
        received.map(Received::cleaned)
    }

    /// Waits for the next one, asynchronously; `None` when nothing will arrive any more.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let (received, has_ended) = {
                let mut queue = self.shared.lock();
                (self.shared.take(&mut queue), queue.senders == 0)
            };
            if received.is_some() || has_ended {
                return received.map(Received::cleaned);
            }
            // A wake-up that came since the lock was given back is remembered, so none is missed.
            self.shared.asynchronous.notified().await;
        }
    }

    /// Waits for the next one, blocking the thread; `None` when nothing will arrive any more.
    pub fn next_blocking(&mut self) -> Option<Received> {
        let mut queue = self.shared.lock();
        loop {
            if let Some(received) = self.shared.take(&mut queue) {
                drop(queue);
                return Some(received.cleaned());
            }
            if queue.senders == 0 {
                return None;
            }
            queue = self.shared.blocking.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the next one, blocking the thread for `at_most` that long.
    pub fn next_within(&mut self, at_most: Duration) -> Waited {
        let until = Instant::now() + at_most;
        let mut queue = self.shared.lock();
        loop {
            if let Some(received) = self.shared.take(&mut queue) {
                drop(queue);
                return Waited::Received(received.cleaned());
            }
            if queue.senders == 0 {
                return Waited::Ended;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::Nothing;
            }
            (queue, _) = self.shared.blocking.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for IntakeReceiver {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.receiver_gone = true;
        while self.shared.take(&mut queue).is_some() {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::endpoint::Tap;
    use bytes::Bytes;

    fn envelope(arrival_ms: i64, body: &'static [u8]) -> Envelope {
        Envelope {
            arrival_ms,
            request: 0,
            method: "POST".into(),
            path: "/bulk".into(),
            body: Bytes::from_static(body),
            wire_bytes: body.len() as u64,
            ..Envelope::default()
        }
    }

    fn request_of(received: Option<Received>) -> u64 {
        match received {
            Some(Received::Envelope(envelope)) => envelope.request,
            other => panic!("expected an envelope, got {other:?}"),
        }
    }

    #[test]
    fn a_full_intake_reports_the_loss_at_its_place_and_numbers_go_on_after_it() {
        let (intake, mut receiver) = intake(Caps { requests: 2, bytes: 1 << 20 });
        assert!(intake.offer(envelope(1, b"a")));
        assert!(intake.offer(envelope(2, b"b")));
        assert!(!intake.offer(envelope(3, b"four")));
        assert!(!intake.offer(envelope(5, b"bytes")));
        assert_eq!(request_of(receiver.try_next()), 1);
        assert!(intake.offer(envelope(6, b"c")));
        assert_eq!(request_of(receiver.try_next()), 2);
        let Some(Received::Lost(loss)) = receiver.try_next() else { panic!("the loss was not reported") };
        assert_eq!(loss, Loss { requests: 2, bytes: 9, first_request: 3, last_request: 4, first_ms: 3, last_ms: 5 });
        assert_eq!(request_of(receiver.try_next()), 5);
        assert_eq!((intake.lost_requests(), intake.lost_bytes()), (2, 9));
        assert_eq!(intake.waiting(), (0, 0));
    }

    #[test]
    fn bytes_are_capped_too_and_room_comes_back_when_a_request_is_taken() {
        let (intake, mut receiver) = intake(Caps { requests: 100, bytes: 1000 });
        static BODY: [u8; 600] = [b' '; 600];
        assert!(intake.offer(envelope(1, &BODY)));
        assert!(!intake.offer(envelope(2, &BODY)));
        assert_eq!(request_of(receiver.try_next()), 1);
        assert!(matches!(receiver.try_next(), Some(Received::Lost(Loss { requests: 1, bytes: 600, .. }))));
        assert!(intake.offer(envelope(3, &BODY)));
        assert_eq!(request_of(receiver.try_next()), 3);
        assert!(receiver.try_next().is_none());
    }

    #[test]
    fn a_blocked_thread_and_a_waiting_task_both_learn_that_nothing_comes_any_more() {
        let (sender, mut receiver) = intake(Caps::default());
        let thread = std::thread::spawn(move || {
            let first = request_of(receiver.next_blocking());
            (
                first,
                receiver.next_blocking().is_none(),
                matches!(receiver.next_within(Duration::MAX / 4), Waited::Ended),
            )
        });
        let clone = sender.clone();
        drop(sender);
        assert!(clone.offer(envelope(1, b"a")));
        drop(clone);
        assert_eq!(thread.join().unwrap(), (1, true, true));

        let (sender, mut receiver) = intake(Caps::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (first, ()) = tokio::join!(receiver.next(), async { assert!(sender.offer(envelope(1, b"a"))) });
            assert_eq!(request_of(first), 1);
            drop(sender);
            assert!(receiver.next().await.is_none());
        });
    }

    /// Keeps the numbers of what it is given; a loss is a negative one.
    #[derive(Default)]
    struct Numbers(Mutex<Vec<i64>>);

    impl Tap for Numbers {
        fn take(&self, envelope: Envelope) {
            self.0.lock().unwrap().push(i64::try_from(envelope.request).unwrap());
        }
        fn lose(&self, requests: u64, _: i64) {
            self.0.lock().unwrap().push(-i64::try_from(requests).unwrap());
        }
        fn miss(&self, missed: &Missed) {
            self.0.lock().unwrap().push(-100 - i64::try_from(missed.requests.unwrap_or(0)).unwrap());
        }
    }

    #[test]
    fn a_tap_gets_what_waits_and_then_everything_also_what_the_core_loses() {
        let (intake, mut receiver) = intake(Caps { requests: 2, bytes: 1 << 20 });
        let taps = receiver.taps();
        assert!(intake.offer(envelope(1, b"seen by the core already")));
        assert_eq!(request_of(receiver.try_next()), 1);
        assert!(intake.offer(envelope(2, b"waits")));
        let tap = Arc::new(Numbers::default());
        taps.open(Arc::<Numbers>::clone(&tap));
        assert!(intake.offer(envelope(3, b"waits too")));
        assert!(!intake.offer(envelope(4, b"finds no room")));
        // What was never kept cannot be recorded either.
        intake.lose(5, 5);
        drop(receiver);
        assert!(!intake.offer(envelope(6, b"nobody judges any more")));
        assert_eq!(*tap.0.lock().unwrap(), [2, 3, 4, -1, 6]);
        taps.close();
        intake.offer(envelope(7, b"nobody records any more"));
        assert_eq!(tap.0.lock().unwrap().len(), 5);
        assert_eq!(intake.lost_requests(), 4);
    }

    #[test]
    fn what_was_missed_elsewhere_has_numbers_and_is_told_where_it_is_missing_to_both_taps() {
        let (intake, mut receiver) = intake(Caps::default());
        let (recorder, feed) = (Arc::new(Numbers::default()), Arc::new(Numbers::default()));
        receiver.taps().open(Arc::<Numbers>::clone(&recorder));
        receiver.feed().open(Arc::<Numbers>::clone(&feed));
        let missed = |requests| Missed { requests, t_ms: 5, why: "kept no longer".into(), is_intended: false };
        intake.miss(missed(Some(7)));
        assert!(intake.offer(envelope(1, b"the eighth")));
        intake.miss(missed(None));
        assert!(matches!(receiver.try_next(), Some(Received::Missed(Missed { requests: Some(7), .. }))));
        assert_eq!(request_of(receiver.try_next()), 8);
        assert!(matches!(receiver.try_next(), Some(Received::Missed(Missed { requests: None, .. }))));
        for tap in [recorder, feed] {
            assert_eq!(*tap.0.lock().unwrap(), [-107, 8, -100]);
        }
        receiver.taps().close();
        assert!(intake.offer(envelope(1, b"for the feed")));
        assert!(!intake.is_abandoned());
        drop(receiver);
        assert!(intake.is_abandoned());
    }

    #[test]
    fn a_tap_does_not_keep_the_intake_open() {
        let (intake, mut receiver) = intake(Caps::default());
        let taps = receiver.taps();
        drop(intake);
        assert!(receiver.next_blocking().is_none());
        taps.close();
    }

    #[test]
    fn an_intake_without_a_receiver_counts_and_keeps_nothing() {
        let (intake, receiver) = intake(Caps::default());
        assert!(intake.offer(envelope(1, b"a")));
        drop(receiver);
        assert!(!intake.offer(envelope(2, b"b")));
        assert_eq!(intake.waiting(), (0, 0));
        assert_eq!(intake.lost_requests(), 1);
    }
}
