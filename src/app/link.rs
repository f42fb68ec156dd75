//! Attached to a collector, as far as the model goes: what is missing of what it received, and where.

use super::App;
use crate::attach::Link;
use crate::endpoint::Missed;
use std::collections::VecDeque;

/// Holes that are remembered; the oldest are forgotten first, as the events around them are.
const MAX_HOLES: usize = 10_000;

/// Requests that are missing between two events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The number of the first event after it.
    pub before: u64,
    /// How many requests; none: nobody knows.
    pub requests: Option<u64>,
    /// When that was noticed, epoch milliseconds.
    pub t_ms: i64,
    /// Why.
    pub why: String,
}

/// Where requests are missing among the events.
#[derive(Clone, Debug, Default)]
pub struct Holes(VecDeque<Hole>);

impl Holes {
    /// Adds one before the event that comes next. Of one kind, at one place, there is one.
    pub(super) fn add(&mut self, before: u64, requests: Option<u64>, t_ms: i64, why: &str) {
        if let Some(last) = self.0.back_mut().filter(|last| last.before == before && last.why == why) {
            last.requests = last.requests.zip(requests).map(|(sum, more)| sum.saturating_add(more));
            last.t_ms = t_ms;
            return;
        }
        if self.0.len() >= MAX_HOLES {
            self.0.pop_front();
        }
        self.0.push_back(Hole { before, requests, t_ms, why: why.to_owned() });
    }

    /// Those between two events: behind the first, up to just before the second.
    pub fn between(&self, first: u64, second: u64) -> impl Iterator<Item = &Hole> {
        let start = self.0.partition_point(|hole| hole.before <= first);
        self.0.range(start..).take_while(move |hole| hole.before <= second)
    }

    /// Those before every event.
    pub fn at_start(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().take_while(|hole| hole.before == 0)
    }

    /// Requests that are known to be missing.
    pub fn requests(&self) -> u64 {
        self.0.iter().filter_map(|hole| hole.requests).sum()
    }
}

impl App<'_> {
    /// Where requests are missing among the events.
    pub fn holes(&self) -> &Holes {
        &self.holes
    }

    /// How it stands with the collector that is attached to.
    pub fn link(&self) -> Option<&Link> {
        self.health.link.as_ref()
    }

    /// Notes that requests are missing which a collector received.
    pub(super) fn miss(&mut self, missed: &Missed) {
        // What was asked to be left out is no surprise, and would stand between all the rest; the header counts it.
        if !missed.is_intended {
            self.holes.add(self.store.next(), missed.requests, missed.t_ms, &missed.why);
        }
        match missed.requests {
            Some(requests) => self.store.lose(requests),
            None => self.store.interrupt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_of_one_kind_at_one_place_are_one_and_are_found_between_events() {
        let mut holes = Holes::default();
        holes.add(0, Some(3), 1, "old");
        holes.add(5, Some(1), 2, "slow");
        holes.add(5, Some(2), 3, "slow");
        holes.add(5, None, 4, "anew");
        holes.add(9, Some(1), 5, "slow");
        let hole = |before, requests, t_ms, why: &str| Hole { before, requests, t_ms, why: why.into() };
        let between = |first, second| holes.between(first, second).cloned().collect::<Vec<_>>();
        assert_eq!(between(4, 5), [hole(5, Some(3), 3, "slow"), hole(5, None, 4, "anew")]);
        assert_eq!(between(5, 8), []);
        assert_eq!(between(8, 9), [hole(9, Some(1), 5, "slow")]);
        assert_eq!(holes.requests(), 7);
    }
}
