//! Checkpoints along the recording, within a budget of bytes.
//!
//! They are taken evenly, so that going anywhere takes about as long. What they share with the session that went on
//! from them it would hold without them too; where what they hold beside comes to more than the budget every other
//! one goes, and from then on they are taken half as often: a recording of any length fits, and what grows is
//! the time it takes to go back.

use super::head::Head;
use super::lines::Place;
use crate::session::{Checkpoint, Session};

/// A checkpoint, and where it was taken.
pub(super) struct Saved {
    pub(super) position: u64,
    pub(super) events: u64,
    place: Place,
    time_ms: Option<i64>,
    checkpoint: Checkpoint,
    /// What it holds that the one before does not.
    bytes: usize,
}

impl Saved {
    /// Going on from here.
    pub(super) fn resume(&self) -> Head {
        Head::new(self.checkpoint.resume(), self.position, self.place, self.time_ms, true)
    }
}

/// The checkpoints, first to last.
pub(super) struct Checkpoints {
    saved: Vec<Saved>,
    every_events: u64,
    budget: usize,
    /// Everything they hold, each piece counted once.
    bytes: usize,
    /// What the last of them holds by itself; at the least, for it is asked only where it matters.
    last: usize,
}

impl Checkpoints {
    pub(super) fn new(every_events: u64, budget: usize) -> Self {
        Self { saved: Vec::new(), every_events: every_events.max(1), budget, bytes: 0, last: 0 }
    }

    /// Takes one if it is time.
    pub(super) fn consider(&mut self, head: &Head) {
        let events = head.events();
        if self.saved.last().is_some_and(|last| events < last.events + self.every_events) {
            return;
        }
        let checkpoint = head.session.checkpoint();
        let bytes = checkpoint.unshared_bytes(self.saved.last().map(|last| &last.checkpoint));
        self.bytes += bytes;
        self.saved.push(Saved {
            position: head.position,
            events,
            place: head.place(),
            time_ms: head.time_ms,
            checkpoint,
            bytes,
        });
        // The beginning and one more stay: without them there would be nothing to thin out.
        while self.beside() > self.budget && self.saved.len() > 2 {
            self.last = self.saved.last().map_or(0, |last| last.checkpoint.unshared_bytes(None));
            if self.beside() <= self.budget {
                break;
            }
            self.thin();
        }
    }

    /// What they hold beside what the last of them holds.
    fn beside(&self) -> usize {
        self.bytes.saturating_sub(self.last)
    }

    fn thin(&mut self) {
        self.every_events *= 2;
        let mut index = 0;
        self.saved.retain(|_| {
            index += 1;
            index % 2 == 1
        });
        let mut before: Option<&Checkpoint> = None;
        let mut bytes = Vec::with_capacity(self.saved.len());
        for saved in &self.saved {
            bytes.push(saved.checkpoint.unshared_bytes(before));
            before = Some(&saved.checkpoint);
        }
        self.bytes = bytes.iter().sum();
        self.saved.iter_mut().zip(bytes).for_each(|(saved, bytes)| saved.bytes = bytes);
        self.last = self.saved.last().map_or(0, |last| last.checkpoint.unshared_bytes(None));
    }

    /// The last at or before a position.
    pub(super) fn before(&self, position: u64) -> Option<&Saved> {
        let after = self.saved.partition_point(|saved| saved.position <= position);
        self.saved.get(after.checked_sub(1)?)
    }

    /// How many there are, and an estimate of the bytes that they hold and the session itself does not.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.saved.len(), self.beside())
    }
}

/// Copies of the session that was shown last, rows included, at positions before it: what a step back begins from.
#[derive(Default)]
pub(super) struct Recent {
    heads: Vec<Head>,
}

/// How many are kept.
const MAX_RECENT: usize = 12;
/// How many events lie between two.
pub(super) const RECENT_EVENTS: u64 = 1000;

impl Recent {
    /// Keeps a copy if the last is some events back.
    pub(super) fn consider(&mut self, head: &Head) {
        if self.heads.last().is_some_and(|last| head.events() < last.events() + RECENT_EVENTS) {
            return;
        }
        if self.heads.len() == MAX_RECENT {
            self.heads.remove(0);
        }
        self.heads.push(head.fork());
    }

    /// Forgets what is after a position.
    pub(super) fn truncate(&mut self, position: u64) {
        self.heads.retain(|head| head.position <= position);
    }

    /// The last at or before a position.
    pub(super) fn before(&self, position: u64) -> Option<&Head> {
        self.heads.iter().rev().find(|head| head.position <= position)
    }
}

const _: fn() = || {
    fn is_handed_to_another_thread<T: Send>() {}
    is_handed_to_another_thread::<Session>();
};
