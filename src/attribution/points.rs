//! The exposures of one unit in one iteration, and whom they credit (rules A8–A11).
//!
//! A server evaluates the same flag for the same unit thousands of times an hour, and a later conversion needs only
//! the earliest exposure of the 90 days before it. So not every repeat is kept: in each hour of the clock at most
//! [`KEPT_PER_HOUR`] distinct exposures are, and once an hour has had more, only the first and the last of each arm.
//! Which hours are thinned depends only on what exposures there were, never on the order they came in, so any order
//! and any merge of parts ends in the same state. The answer is exact unless one unit alternates between arms within
//! an hour that held more than [`KEPT_PER_HOUR`] exposures, and a conversion's window begins inside that very hour.

use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::collections::HashMap;

/// The attribution window (A10): an exposure exactly this old still counts.
pub const WINDOW_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// Distinct exposures of one unit kept in full per hour.
pub const KEPT_PER_HOUR: usize = 32;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// An exposure: when, and to which variation. Ordered so that of two in one millisecond the lower variation is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Instant on the judging clock.
    pub t_ms: i64,
    /// Variation served.
    pub variation: i64,
}

/// Whom a conversion credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// The variation of the earliest exposure in the window (A11).
    To(Point),
    /// The unit has no exposure at all (A8).
    NoExposure,
    /// All its exposures are later (A9); the first of them.
    BeforeExposure(Point),
    /// The last exposure before the conversion is older than the window (A10).
    Expired(Point),
}

/// The exposures of one unit in one iteration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Sorted, distinct.
    kept: SmallVec<[Point; 1]>,
    /// Hours (epoch ms / 3,600,000) of which only the first and last exposure of each arm are kept. Sorted.
    thinned: Vec<i64>,
}

impl Points {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The first exposure: the unit's own arm.
    pub fn first(&self) -> Option<Point> {
        self.kept.first().copied()
    }

    /// The exposures kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = Point> {
        self.kept.iter().copied()
    }

    /// How many are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Bytes held beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        let kept = if self.kept.spilled() { self.kept.capacity() * size_of::<Point>() } else { 0 };
        kept + self.thinned.capacity() * size_of::<i64>()
    }

    /// Adds an exposure. Gives true if it can change whom a conversion at `until_ms` or before it credits.
    pub fn add(&mut self, point: Point, until_ms: i64) -> bool {
        let Err(at) = self.kept.binary_search(&point) else { return false };
        let mut matters = self.can_change_credit(point, at, until_ms);
        self.kept.insert(at, point);
        let hour = point.t_ms.div_euclid(HOUR_MS);
        let is_thinned = self.thinned.binary_search(&hour).is_ok();
        let range = self.in_hour(hour);
        if is_thinned || range.len() > KEPT_PER_HOUR {
            // Where arms alternate, thinning itself can move a credit; what was judged before must follow.
            let in_hour = self.kept.get(range.clone()).unwrap_or_default();
            let alternates = in_hour.iter().any(|other| other.variation != point.variation);
            matters |= alternates && until_ms >= hour.saturating_mul(HOUR_MS);
            if is_thinned {
                self.thin_arm(range, point.variation);
            } else {
                self.thin(hour);
            }
        }
        matters
    }

    /// Adds everything another part knows of the same unit.
    pub fn merge(&mut self, other: &Self) {
        for hour in &other.thinned {
            if let Err(at) = self.thinned.binary_search(hour) {
                self.thinned.insert(at, *hour);
            }
        }
        for point in &other.kept {
            self.add(*point, i64::MIN);
        }
        for hour in &other.thinned {
            self.thin(*hour);
        }
    }

    fn can_change_credit(&self, point: Point, at: usize, until_ms: i64) -> bool {
        if until_ms < point.t_ms {
            // Later than every conversion: it matters only to say that the unit was exposed after all.
            return self.kept.is_empty();
        }
        let Some(before) = at.checked_sub(1).and_then(|at| self.kept.get(at)) else { return true };
        if before.variation != point.variation {
            return true;
        }
        let reach = before.t_ms.saturating_add(WINDOW_MS);
        match self.kept.get(at) {
            // Between two exposures to the same arm less than a window apart, every window that holds this one
            // holds one of them too, and none of another arm in between.
            Some(after) => after.variation != point.variation || after.t_ms > reach,
            None => until_ms > reach,
        }
    }

    fn in_hour(&self, hour: i64) -> std::ops::Range<usize> {
        let start = hour.saturating_mul(HOUR_MS);
        let end = start.saturating_add(HOUR_MS);
        self.kept.partition_point(|point| point.t_ms < start)..self.kept.partition_point(|point| point.t_ms < end)
    }

    fn thin(&mut self, hour: i64) {
        if let Err(at) = self.thinned.binary_search(&hour) {
            self.thinned.insert(at, hour);
        }
        let range = self.in_hour(hour);
        let in_hour: SmallVec<[Point; 64]> = self.kept.get(range.clone()).unwrap_or_default().into();
        // Senders make up variations, so arms are not compared each with each.
        let mut ends_of_arms: HashMap<i64, (usize, usize), FixedState> = HashMap::default();
        for (index, point) in in_hour.iter().enumerate() {
            ends_of_arms.entry(point.variation).or_insert((index, index)).1 = index;
        }
        let is_end_of_arm = |index: usize, point: &Point| {
            ends_of_arms.get(&point.variation).is_some_and(|(first, last)| index == *first || index == *last)
        };
        let ends: SmallVec<[Point; 8]> = in_hour
            .iter()
            .enumerate()
            .filter(|(index, point)| is_end_of_arm(*index, point))
            .map(|(_, point)| *point)
            .collect();
        let after: SmallVec<[Point; 8]> = self.kept.get(range.end..).unwrap_or_default().into();
        self.kept.truncate(range.start);
        self.kept.extend(ends);
        self.kept.extend(after);
    }

    /// Thins an hour that was thinned before, after one exposure to this arm was added to it: at most three of the
    /// arm are there, and the one in the middle goes.
    fn thin_arm(&mut self, in_hour: std::ops::Range<usize>, variation: i64) {
        let mut of_arm =
            in_hour.filter(|index| self.kept.get(*index).is_some_and(|other| other.variation == variation));
        if let (Some(_), Some(middle), Some(_)) = (of_arm.next(), of_arm.next(), of_arm.next()) {
            self.kept.remove(middle);
        }
    }

    /// Whom a conversion at this instant credits (A8–A11).
    pub fn credit(&self, t_ms: i64) -> Credit {
        let Some(first) = self.first() else { return Credit::NoExposure };
        if first.t_ms > t_ms {
            return Credit::BeforeExposure(first);
        }
        let opens = t_ms.saturating_sub(WINDOW_MS);
        let at = self.kept.partition_point(|point| point.t_ms < opens);
        match self.kept.get(at) {
            Some(point) if point.t_ms <= t_ms => Credit::To(*point),
            _ => Credit::Expired(at.checked_sub(1).and_then(|at| self.kept.get(at)).copied().unwrap_or(first)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 24 * HOUR_MS;

    fn point(t_ms: i64, variation: i64) -> Point {
        Point { t_ms, variation }
    }

    fn points(all: &[(i64, i64)]) -> Points {
        let mut points = Points::default();
        for (t_ms, variation) in all {
            points.add(point(*t_ms, *variation), i64::MAX);
        }
        points
    }

    #[test]
    fn exactly_ninety_days_is_in_and_one_millisecond_more_is_out() {
        let points = points(&[(0, 0)]);
        assert_eq!(points.credit(90 * DAY), Credit::To(point(0, 0)));
        assert_eq!(points.credit(90 * DAY + 1), Credit::Expired(point(0, 0)));
        assert_eq!(points.credit(-1), Credit::BeforeExposure(point(0, 0)));
        assert_eq!(Points::default().credit(5), Credit::NoExposure);
    }

    #[test]
    fn the_first_exposure_inside_the_window_is_credited() {
        let points = points(&[(0, 0), (10 * DAY, 1)]);
        assert_eq!(points.credit(80 * DAY), Credit::To(point(0, 0)));
        assert_eq!(points.credit(95 * DAY), Credit::To(point(10 * DAY, 1)));
    }

    #[test]
    fn a_unit_that_evaluates_every_second_for_a_day_keeps_two_exposures_an_hour() {
        let mut points = Points::default();
        for second in 0..86_400 {
            points.add(point(second * 1000, 0), i64::MAX);
        }
        assert_eq!(points.kept(), 48);
        assert_eq!(points.credit(95 * DAY), Credit::Expired(point(86_399_000, 0)));
        assert_eq!(points.credit(90 * DAY + 1_800_000), Credit::To(point(3_599_000, 0)));
    }

    #[test]
    fn two_exposures_in_one_millisecond_are_ordered_by_variation() {
        assert_eq!(points(&[(5, 1), (5, 0)]).credit(5), Credit::To(point(5, 0)));
    }

    #[test]
    fn thousands_of_made_up_variations_within_an_hour_are_each_kept_by_their_ends() {
        // Each arm is seen thrice; the middle one of the three goes.
        let all: Vec<(i64, i64)> = (0..9_000).map(|n| (n, n % 3_000)).collect();
        let points = points(&all);
        assert_eq!(points.kept(), 6_000);
        assert_eq!(points.credit(90 * DAY + 1_500), Credit::To(point(1_500, 1_500)));
    }

    fn exposures() -> impl Strategy<Value = Vec<(i64, i64)>> {
        // Dense hours, so that thinning happens, and spans past the window.
        proptest::collection::vec(
            (prop_oneof![0..40_i64, 0..200 * DAY, (0..3_i64).prop_map(|n| n * 90 * DAY)], 0..3_i64),
            0..120,
        )
    }

    proptest! {
        #[test]
        fn order_and_merging_change_nothing(all in exposures(), split in any::<prop::sample::Index>(), shuffled in any::<u64>()) {
            let whole = points(&all);
            let cut = split.index(all.len() + 1);
            let (left, right) = all.split_at(cut);
            let mut merged = points(left);
            merged.merge(&points(right));
            let mut other_way = points(right);
            other_way.merge(&points(left));
            let mut order = all.clone();
            order.sort_by_key(|(t, v)| (*t as u64 ^ shuffled).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(*v as u64));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(&other_way, &whole);
            prop_assert_eq!(&points(&order), &whole);
        }

        #[test]
        fn credit_is_that_of_all_exposures_kept_in_full(all in proptest::collection::vec((0..200 * DAY, 0..3_i64), 0..30), t in 0..300 * DAY) {
            let mut sorted: Vec<Point> = all.iter().map(|(t, v)| point(*t, *v)).collect();
            sorted.sort();
            let expected = match sorted.iter().find(|p| p.t_ms >= t - WINDOW_MS && p.t_ms <= t) {
                Some(p) => Credit::To(*p),
                None if sorted.is_empty() => Credit::NoExposure,
                None => sorted.iter().rfind(|p| p.t_ms <= t).map_or(Credit::BeforeExposure(*sorted.first().unwrap()), |p| Credit::Expired(*p)),
            };
            prop_assert_eq!(points(&all).credit(t), expected);
        }

        #[test]
        fn an_exposure_said_not_to_matter_changes_no_conversion_up_to_then(all in exposures(), more in (0..200 * DAY, 0..3_i64), until in 0..300 * DAY) {
            let before = points(&all);
            let mut after = before.clone();
            if !after.add(point(more.0, more.1), until) {
                for t in [until, until - 1, until / 2, more.0, more.0 + WINDOW_MS, more.0 + WINDOW_MS + 1, all.first().map_or(0, |p| p.0 + WINDOW_MS)] {
                    if t <= until && after.kept() > before.kept() {
                        let arm = |credit| match credit { Credit::To(p) => Some(p.variation), _ => None };
                        prop_assert_eq!(arm(before.credit(t)), arm(after.credit(t)));
                        prop_assert_eq!(std::mem::discriminant(&before.credit(t)), std::mem::discriminant(&after.credit(t)));
                    }
                }
            }
        }
    }
}
