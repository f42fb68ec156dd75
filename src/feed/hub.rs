//! The newest requests, for viewers to take from at their own pace.

use super::Counters;
use crate::endpoint::{Caps, Missed, Tap};
use crate::envelope::Envelope;
use crate::protocol::{Cause, Missing};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The newest requests, bounded by number and by bytes.
///
/// Bodies are shared with whoever else holds them, and kept as they came over the wire. Nothing is taken apart or
/// written here, since the endpoint waits meanwhile.
pub struct Hub {
    epoch: String,
    caps: Caps,
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
    /// What its viewers come to.
    pub counters: Counters,
}

#[derive(Default)]
struct Ring {
    items: VecDeque<Item>,
    requests: usize,
    bytes: u64,
    /// The number of the last request that was received.
    last: u64,
    is_closed: bool,
}

/// Something that was received.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A request.
    Request(Envelope),
    /// Requests that are missing.
    Missing(Missing),
}

/// What there is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The first request that is still there; one more than the last where none is.
    pub first: u64,
    /// The last one that was received.
    pub last: u64,
    /// How many are there.
    pub requests: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Item {
    fn first(&self) -> u64 {
        match self {
            Self::Request(envelope) => envelope.request,
            Self::Missing(missing) => missing.from,
        }
    }

    /// The number of the last request it is about.
    pub fn last(&self) -> u64 {
        match self {
            Self::Request(envelope) => envelope.request,
            Self::Missing(missing) => missing.to,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Request(envelope) => envelope.body.len() as u64 + envelope.head_bytes(),
            Self::Missing(_) => size_of::<Self>() as u64,
        }
    }
}

impl Hub {
    /// An empty one. `epoch` names this run.
    pub fn new(epoch: String, caps: Caps) -> Self {
        Self { epoch, caps, ring: Mutex::default(), last: watch::Sender::new(0), counters: Counters::default() }
    }

    /// The name of this run.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing that runs under this lock can leave the ring half changed, so a poisoned lock is still right.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is.
    pub fn kept(&self) -> Kept {
        let ring = self.lock();
        Kept { first: ring.first(), last: ring.last, requests: ring.requests, bytes: ring.bytes }
    }

    /// What comes after a request, about so many bytes of it; at least one thing, if there is any. What is there no
    /// longer comes first, as missing. None: nothing will come any more.
    pub fn after(&self, request: u64, bytes: u64, now_ms: i64) -> Option<Vec<Item>> {
        let ring = self.lock();
        if request >= ring.last {
            return (!ring.is_closed).then(Vec::new);
        }
        let mut taken = Vec::new();
        let from = request + 1;
        if from < ring.first() {
            taken.push(Item::Missing(Missing { from, to: ring.first() - 1, t: now_ms, cause: Cause::Gone }));
        }
        let mut room = bytes;
        let start = ring.items.partition_point(|item| item.last() <= request);
        for item in ring.items.range(start..) {
            if room == 0 {
                break;
            }
            room = room.saturating_sub(item.bytes());
            taken.push(match item {
                // A viewer may have come in the middle of it.
                Item::Missing(missing) => Item::Missing(Missing { from: missing.from.max(from), ..*missing }),
                request => request.clone(),
            });
        }
        Some(taken)
    }

    /// Tells whenever something was received, or nothing will be.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Nothing will be received any more: viewers get what is there, and then the end.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.last.send_modify(|_| ());
    }

    fn push(&self, item: Item) {
        let mut ring = self.lock();
        ring.last = ring.last.max(item.last());
        ring.bytes += item.bytes();
        ring.requests += usize::from(matches!(item, Item::Request(_)));
        match (&item, ring.items.back_mut()) {
            (Item::Missing(more), Some(Item::Missing(missing)))
                if missing.cause == more.cause && missing.to + 1 == more.from =>
            {
                missing.to = more.to;
                ring.bytes -= item.bytes();
            }
            _ => ring.items.push_back(item),
        }
        while ring.requests > self.caps.requests || ring.bytes > self.caps.bytes {
            let Some(oldest) = ring.items.pop_front() else { break };
            ring.bytes -= oldest.bytes();
            ring.requests -= usize::from(matches!(oldest, Item::Request(_)));
        }
        let last = ring.last;
        drop(ring);
        self.last.send_replace(last);
    }

    fn missing(&self, requests: u64, t_ms: i64, cause: Cause) {
        let last = self.lock().last;
        if requests > 0 {
            self.push(Item::Missing(Missing { from: last + 1, to: last + requests, t: t_ms, cause }));
        }
    }
}

impl Ring {
    fn first(&self) -> u64 {
        self.items.front().map_or(self.last + 1, Item::first)
    }
}

/// Called in the order of the requests' numbers, one at a time: the endpoint holds its queue meanwhile.
impl Tap for Hub {
    fn take(&self, envelope: Envelope) {
        self.push(Item::Request(envelope));
    }

    fn lose(&self, requests: u64, arrival_ms: i64) {
        self.missing(requests, arrival_ms, Cause::Lost);
    }

    fn miss(&self, missed: &Missed) {
        self.missing(missed.requests.unwrap_or(0), missed.t_ms, Cause::Gone);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn envelope(request: u64) -> Envelope {
        Envelope { request, body: b"[]".as_slice().into(), ..Envelope::default() }
    }

    fn hub(requests: usize) -> Hub {
        Hub::new("a".into(), Caps { requests, bytes: 1 << 20 })
    }

    /// What a viewer gets: numbers, and `from..to` of what is missing.
    fn told(items: Option<Vec<Item>>) -> Option<Vec<String>> {
        let word = |item: &Item| match item {
            Item::Request(envelope) => envelope.request.to_string(),
            Item::Missing(missing) => format!("{}..{} {:?}", missing.from, missing.to, missing.cause),
        };
        items.map(|items| items.iter().map(word).collect())
    }

    #[test]
    fn a_viewer_gets_what_is_kept_and_before_it_exactly_what_is_not() {
        let hub = hub(3);
        assert_eq!(hub.kept(), Kept { first: 1, last: 0, requests: 0, bytes: 0 });
        assert_eq!(told(hub.after(0, 1_000_000, 5)), Some(vec![]));
        (1..=5).for_each(|number| hub.take(envelope(number)));
        assert_eq!((hub.kept().first, hub.kept().last, hub.kept().requests), (3, 5, 3));
        assert_eq!(told(hub.after(0, 1_000_000, 5)).unwrap(), ["1..2 Gone", "3", "4", "5"]);
        assert_eq!(told(hub.after(1, 1_000_000, 5)).unwrap(), ["2..2 Gone", "3", "4", "5"]);
        assert_eq!(told(hub.after(2, 1_000_000, 5)).unwrap(), ["3", "4", "5"]);
        assert_eq!(told(hub.after(2, 1, 5)).unwrap(), ["3"]);
        assert_eq!(told(hub.after(5, 1_000_000, 5)).unwrap(), Vec::<String>::new());
        // Somebody who was told of more than there is waits for it.
        assert_eq!(told(hub.after(50, 1_000_000, 5)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_was_lost_before_has_numbers_and_stands_where_it_happened() {
        let hub = hub(10);
        hub.take(envelope(1));
        hub.lose(2, 7);
        hub.lose(1, 8);
        hub.take(envelope(5));
        assert_eq!(told(hub.after(0, 1_000_000, 0)).unwrap(), ["1", "2..4 Lost", "5"]);
        assert_eq!(told(hub.after(2, 1_000_000, 0)).unwrap(), ["3..4 Lost", "5"]);
        assert_eq!(told(hub.after(4, 1_000_000, 0)).unwrap(), ["5"]);
        let bytes = hub.kept().bytes;
        hub.lose(1, 9);
        hub.lose(1, 9);
        assert_eq!(hub.kept().bytes, bytes + size_of::<Item>() as u64);
    }

    #[test]
    fn bytes_are_bounded_and_a_request_larger_than_that_is_let_go_at_once() {
        let hub = Hub::new("a".into(), Caps { requests: 100, bytes: 2_000 });
        (1..=50).for_each(|number| hub.take(envelope(number)));
        assert!(hub.kept().bytes <= 2_000 && hub.kept().requests > 1, "{:?}", hub.kept());
        hub.take(Envelope { body: vec![b' '; 3_000].into(), ..envelope(51) });
        assert_eq!(hub.kept(), Kept { first: 52, last: 51, requests: 0, bytes: 0 });
        assert_eq!(told(hub.after(49, 1_000_000, 0)).unwrap(), ["50..51 Gone"]);
    }

    #[test]
    fn viewers_are_woken_by_what_comes_and_by_the_end_and_get_the_rest_first() {
        let hub = hub(10);
        let mut changes = hub.changes();
        assert!(!changes.has_changed().unwrap());
        hub.take(envelope(1));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        hub.close();
        assert!(changes.has_changed().unwrap());
        assert_eq!(told(hub.after(0, 1_000_000, 0)).unwrap(), ["1"]);
        assert_eq!(told(hub.after(1, 1_000_000, 0)), None);
    }
}
