//! The recording as the bar shows it, and where in the file its records stand.

use super::head::{Seen, What};
use super::lines::Place;
use crate::reason::ReasonCode;

/// Records between two places that are remembered. Reading over so few takes no time worth sparing, and a recording
/// of ten million records costs 10 MB.
pub(super) const STRIDE: u64 = 32;
/// Buckets of the density at the most: more than any screen has columns.
const MAX_BUCKETS: usize = 512;
/// Marks and gaps that are remembered, each; anyone can write a recording.
const MAX_REMEMBERED: usize = 10_000;

/// How many events arrived when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Density {
    /// When the first bucket begins, epoch milliseconds.
    pub start_ms: i64,
    /// How long each is, milliseconds; 0 where there is none.
    pub bucket_ms: i64,
    /// Events per bucket, up to the last that has any.
    pub events: Vec<u64>,
}

impl Density {
    fn add(&mut self, t_ms: i64, events: u64) {
        if self.bucket_ms == 0 {
            (self.start_ms, self.bucket_ms) = (t_ms, 1);
        }
        let bucket = loop {
            let bucket = t_ms.saturating_sub(self.start_ms).max(0) / self.bucket_ms;
            match usize::try_from(bucket) {
                Ok(bucket) if bucket < MAX_BUCKETS => break bucket,
                _ => self.halve(),
            }
        };
        if self.events.len() <= bucket {
            self.events.resize(bucket + 1, 0);
        }
        if let Some(count) = self.events.get_mut(bucket) {
            *count += events;
        }
    }

    fn halve(&mut self) {
        self.bucket_ms = self.bucket_ms.saturating_mul(2);
        self.events = self.events.chunks(2).map(|pair| pair.iter().sum()).collect();
    }
}

/// A bookmark in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkAt {
    /// The position right after it.
    pub position: u64,
    /// When it was set, epoch milliseconds; the latest arrival where the clock had gone back.
    pub t_ms: i64,
    /// Its note. Not to be trusted.
    pub note: String,
}

/// A loss in the recording: a gap that was recorded, or a damaged line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapAt {
    /// The position right after it.
    pub position: u64,
    /// When it is known to have been lost, epoch milliseconds; the latest arrival before, for a damaged line.
    pub t_ms: i64,
    /// Requests at the least.
    pub lost: u64,
    /// Why. Not to be trusted.
    pub why: String,
}

/// Where a finding first shows, as far as it is known: looking at every position would take longer than reading, so
/// it is looked at now and then, and closer when it is asked for. A finding that was there for a moment between two
/// looks and is gone again is not known of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingAt {
    /// Its code.
    pub code: ReasonCode,
    /// The experiment it is about.
    pub experiment: Option<String>,
    /// The metric it is about.
    pub metric: Option<String>,
    /// The last position at which it was looked for and was not there.
    pub after: u64,
    /// The first position at which it is known to show. Exact where `after` is the one before.
    pub by: u64,
    /// About when that is, epoch milliseconds.
    pub t_ms: Option<i64>,
}

impl FindingAt {
    /// Whether it is known at which record it shows.
    pub fn is_exact(&self) -> bool {
        self.after + 1 >= self.by
    }
}

/// The recording as the bar shows it, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Records read.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Arrival of the first, epoch milliseconds.
    pub start_ms: Option<i64>,
    /// Arrival of the last so far.
    pub end_ms: Option<i64>,
    /// Events over time.
    pub density: Density,
    /// Bookmarks, at most ten thousand.
    pub marks: Vec<MarkAt>,
    /// Losses, at most ten thousand.
    pub gaps: Vec<GapAt>,
    /// Findings, in the order in which they show.
    pub findings: Vec<FindingAt>,
}

/// What is known of a place on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Milestone {
    pub(super) place: Place,
    /// Events before it.
    pub(super) events: u64,
    /// The latest arrival before it.
    pub(super) time_ms: Option<i64>,
}

/// The timeline, with where records stand.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) timeline: Timeline,
    /// At positions 0, [`STRIDE`], 2 × [`STRIDE`], …
    milestones: Vec<Milestone>,
}

impl Index {
    /// Notes the place at which the next record is looked for.
    pub(super) fn at(&mut self, place: Place) {
        let timeline = &self.timeline;
        if timeline.records == self.milestones.len() as u64 * STRIDE {
            self.milestones.push(Milestone { place, events: timeline.events, time_ms: timeline.end_ms });
        }
    }

    /// Notes a record.
    pub(super) fn add(&mut self, seen: &Seen) {
        let timeline = &mut self.timeline;
        timeline.records += 1;
        timeline.events += seen.events;
        timeline.end_ms = seen.time_ms;
        timeline.start_ms = timeline.start_ms.or(seen.time_ms);
        let (position, t_ms) = (timeline.records, seen.time_ms.unwrap_or_default());
        if let Some(t_ms) = seen.time_ms {
            timeline.density.add(t_ms, seen.events);
        }
        let gap = |lost, why: String| GapAt { position, t_ms, lost, why };
        match &seen.what {
            What::Mark(note) if timeline.marks.len() < MAX_REMEMBERED => {
                timeline.marks.push(MarkAt { position, t_ms, note: note.clone() });
            }
            What::Gap(lost, why) if timeline.gaps.len() < MAX_REMEMBERED => {
                timeline.gaps.push(gap(*lost, why.clone()));
            }
            What::Damaged(line, error) if timeline.gaps.len() < MAX_REMEMBERED => {
                timeline.gaps.push(gap(1, format!("line {line} is damaged: {error}")));
            }
            What::LeftOut(_, what) if timeline.gaps.len() < MAX_REMEMBERED => {
                timeline.gaps.push(gap(1, what.clone()));
            }
            _ => {}
        }
    }

    /// The last known place at or before a position, with its position.
    pub(super) fn milestone(&self, position: u64) -> Option<(u64, Milestone)> {
        let index = (position / STRIDE).min((self.milestones.len() as u64).checked_sub(1)?);
        Some((index * STRIDE, *self.milestones.get(usize::try_from(index).ok()?)?))
    }

    /// The time of a position, or of a few records before.
    pub(super) fn time_near(&self, position: u64) -> Option<i64> {
        self.milestone(position).and_then(|(_, milestone)| milestone.time_ms).or(self.timeline.start_ms)
    }

    /// Events up to a position, or a few less.
    pub(super) fn events_at(&self, position: u64) -> u64 {
        if position >= self.timeline.records {
            return self.timeline.events;
        }
        self.milestone(position).map_or(0, |(_, milestone)| milestone.events)
    }

    /// The last position that has so many events or less.
    pub(super) fn position_of_events(&self, events: u64) -> u64 {
        let after = self.milestones.partition_point(|milestone| milestone.events <= events);
        after.saturating_sub(1) as u64 * STRIDE
    }

    /// A known position at or before the last whose time is not after this.
    pub(super) fn position_before_time(&self, t_ms: i64) -> u64 {
        let after =
            self.milestones.partition_point(|milestone| milestone.time_ms.is_none_or(|time_ms| time_ms <= t_ms));
        after.saturating_sub(1) as u64 * STRIDE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn density_gets_coarser_and_loses_nothing() {
        let mut density = Density::default();
        for t_ms in [5, 5, 7, 600, 1_000_000, i64::MAX] {
            density.add(t_ms, 2);
            assert!(density.events.len() <= MAX_BUCKETS);
        }
        assert_eq!(density.events.iter().sum::<u64>(), 12);
        assert_eq!((density.start_ms, density.events.first()), (5, Some(&10)));
    }
}
