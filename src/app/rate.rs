//! Events per second, and the small curve beside it.

use std::collections::VecDeque;
use std::time::Duration;

/// Seconds kept for the curve.
const SECONDS: usize = 24;
/// Seconds averaged for the number. SDKs send in batches a few seconds apart; a shorter mean would jump between
/// nothing and everything.
const MEAN_SECONDS: usize = 5;

/// Counts by second of monotonic time, so that a clock set back does not bend the curve.
#[derive(Debug, Default)]
pub struct Rate {
    second: u64,
    /// Oldest first; the last one is the second under way.
    counts: VecDeque<u64>,
}

impl Rate {
    /// The rate of seconds that are over, oldest first.
    pub fn of(seconds: impl IntoIterator<Item = u64>) -> Self {
        Self { second: 0, counts: seconds.into_iter().chain([0]).collect() }
    }

    /// Moves on to an instant, counted from the start of the program.
    pub fn advance(&mut self, elapsed: Duration) {
        let second = elapsed.as_secs();
        if self.counts.is_empty() {
            self.counts.push_back(0);
            self.second = second;
        }
        let gap = second.saturating_sub(self.second);
        for _ in 0..gap.min(SECONDS as u64 + 1) {
            self.counts.push_back(0);
        }
        while self.counts.len() > SECONDS + 1 {
            self.counts.pop_front();
        }
        self.second = self.second.max(second);
    }

    /// Counts events that arrived just now.
    pub fn add(&mut self, events: u64) {
        match self.counts.back_mut() {
            Some(count) => *count += events,
            None => self.counts.push_back(events),
        }
    }

    /// Events per second over the last few whole seconds; before one is over, what has come so far.
    pub fn per_second(&self) -> u64 {
        let whole = self.counts.len().saturating_sub(1);
        if whole == 0 {
            return self.counts.back().copied().unwrap_or(0);
        }
        let taken = whole.min(MEAN_SECONDS);
        let sum: u64 = self.counts.iter().rev().skip(1).take(taken).sum();
        sum.div_ceil(taken as u64)
    }

    /// The curve: the last `seconds` whole seconds, oldest first, each from 0 (nothing) to 8 (the most of them).
    pub fn curve(&self, seconds: usize) -> Vec<u8> {
        let whole = self.counts.len().saturating_sub(1);
        let skip = whole.saturating_sub(seconds);
        let shown = || self.counts.iter().take(whole).skip(skip);
        let most = shown().max().copied().unwrap_or(0).max(1);
        shown().map(|count| u8::try_from((count * 8).div_ceil(most)).unwrap_or(8)).collect()
    }

    /// Whether time alone would change nothing more.
    pub fn is_settled(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rate: &mut Rate, second: u64, events: u64) {
        rate.advance(Duration::from_secs(second));
        rate.add(events);
    }

    #[test]
    fn batches_five_seconds_apart_read_as_a_steady_rate() {
        let mut rate = Rate::default();
        for second in [0, 5, 10] {
            at(&mut rate, second, 500);
        }
        rate.advance(Duration::from_secs(12));
        assert_eq!(rate.per_second(), 100);
        assert_eq!(rate.curve(5), [0, 0, 0, 8, 0]);
    }

    #[test]
    fn a_rate_dies_away_and_then_time_changes_nothing() {
        let mut rate = Rate::default();
        at(&mut rate, 0, 7);
        assert!(!rate.is_settled());
        assert_eq!(rate.per_second(), 7);
        rate.advance(Duration::from_secs(3600));
        assert!(rate.is_settled());
        assert_eq!(rate.per_second(), 0);
    }
}
