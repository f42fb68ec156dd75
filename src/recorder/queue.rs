//! The bounded way from the endpoint, and from the keys, to the thread that writes.
//!
//! As with the endpoint's own queue, what does not fit is counted and told where it happened. It is a queue of its
//! own because the two are emptied by different threads: a disk that is slow must not cost the screen a request, nor
//! a busy screen the recording.

use super::Caps;
use crate::endpoint::{Missed, Tap};
use crate::envelope::Envelope;
use crate::recording::{Flags, Gap, Mark};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Why requests are missing that came in faster than they could be written.
pub(super) const TOO_FAST: &str = "requests came in faster than they could be written";
/// Why requests are missing whose bodies were never kept.
pub(super) const NO_ROOM: &str = "there was no room to keep the body";

/// What is to be done.
// It lives on the stack between the queue and the thread; a box would be an allocation per request.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum Item {
    Request(Envelope),
    Gap(Gap),
    Mark(Mark),
    Flags(Flags),
    Retry,
    Close,
}

/// What waiting brought.
#[allow(clippy::large_enum_variant)]
pub(super) enum Waited {
    Item(Item),
    Time,
}

pub(super) struct Queue {
    caps: Caps,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    requests: usize,
    bytes: u64,
    is_closed: bool,
}

fn bytes(envelope: &Envelope) -> u64 {
    envelope.body.len() as u64 + envelope.head_bytes()
}

impl Queue {
    pub(super) fn new(caps: Caps) -> Self {
        Self { caps, waiting: Mutex::default(), arrived: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under this lock can leave the queue half changed, so a poisoned lock is still right.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that is not counted against the caps: keys are pressed by hand.
    pub(super) fn push(&self, item: Item) {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return;
        }
        waiting.is_closed = matches!(item, Item::Close);
        waiting.items.push_back(item);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// How many requests wait.
    pub(super) fn requests(&self) -> u64 {
        self.lock().requests as u64
    }

    /// The next thing to do, or time passes until then.
    pub(super) fn next(&self, until: Option<Instant>) -> Waited {
        let mut waiting = self.lock();
        loop {
            if let Some(item) = waiting.items.pop_front() {
                if let Item::Request(envelope) = &item {
                    waiting.requests -= 1;
                    waiting.bytes -= bytes(envelope);
                }
                return Waited::Item(item);
            }
            match until {
                None => waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Waited::Time;
                    }
                    (waiting, _) = self.arrived.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lose_in(waiting: &mut Waiting, lost: u64, t_ms: i64, why: &str) {
        match waiting.items.back_mut() {
            Some(Item::Gap(gap)) if gap.why == why => gap.lost += lost,
            _ => waiting.items.push_back(Item::Gap(Gap { t_ms, lost, why: why.to_owned() })),
        }
    }
}

impl Tap for Queue {
    fn take(&self, envelope: Envelope) {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return;
        }
        let bytes = bytes(&envelope);
        if waiting.requests >= self.caps.requests || waiting.bytes + bytes > self.caps.bytes {
            Self::lose_in(&mut waiting, 1, envelope.arrival_ms, TOO_FAST);
        } else {
            waiting.requests += 1;
            waiting.bytes += bytes;
            waiting.items.push_back(Item::Request(envelope));
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    fn lose(&self, requests: u64, arrival_ms: i64) {
        let mut waiting = self.lock();
        if !waiting.is_closed {
            Self::lose_in(&mut waiting, requests, arrival_ms, NO_ROOM);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    fn miss(&self, missed: &Missed) {
        let mut waiting = self.lock();
        if !waiting.is_closed {
            Self::lose_in(&mut waiting, missed.requests.unwrap_or(0), missed.t_ms, &missed.why);
            drop(waiting);
            self.arrived.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn envelope(request: u64, body: &'static [u8]) -> Envelope {
        Envelope { request, arrival_ms: 5, body: body.into(), ..Envelope::default() }
    }

    fn told(queue: &Queue) -> Vec<String> {
        let mut told = Vec::new();
        while let Waited::Item(item) = queue.next(Some(Instant::now())) {
            told.push(match item {
                Item::Request(envelope) => envelope.request.to_string(),
                Item::Gap(gap) => format!("{} lost: {}", gap.lost, gap.why),
                other => format!("{other:?}"),
            });
        }
        told
    }

    #[test]
    fn what_does_not_fit_is_a_gap_where_it_happened() {
        let queue = Queue::new(Caps { requests: 2, bytes: 1 << 20 });
        (1..=4).for_each(|number| queue.take(envelope(number, b"[]")));
        queue.lose(3, 6);
        queue.push(Item::Mark(Mark { t_ms: 7, note: "here".into() }));
        assert_eq!(queue.requests(), 2);
        let too_fast = format!("2 lost: {TOO_FAST}");
        let no_room = format!("3 lost: {NO_ROOM}");
        let told = told(&queue);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        assert_eq!(told, ["1", "2", &too_fast, &no_room, "Mark(Mark { t_ms: 7, note: \"here\" })"]);
        queue.take(envelope(8, b"[]"));
        assert_eq!(queue.requests(), 1);
    }

    #[test]
    fn bytes_are_capped_and_come_back() {
        static BODY: [u8; 600] = [b' '; 600];
        let room = bytes(&envelope(1, &BODY));
        let queue = Queue::new(Caps { requests: 10, bytes: room });
        queue.take(envelope(1, &BODY));
        queue.take(envelope(2, b""));
        assert_eq!(told(&queue), ["1", &format!("1 lost: {TOO_FAST}")]);
        queue.take(envelope(3, &BODY));
        assert_eq!(told(&queue), ["3"]);
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let queue = Queue::new(Caps::default());
        queue.push(Item::Close);
        queue.take(envelope(1, b""));
        queue.lose(1, 1);
        assert_eq!(told(&queue), ["Close"]);
    }
}
