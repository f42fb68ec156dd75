//! How an experiment went: conversions per arm and drops by reason over time, of the events still held.

use super::store::Store;
use crate::reason::{Category, ReasonCode};
use crate::view::EventRow;
use std::sync::Arc;

/// Slices of time: many to a column of any screen, so that columns come out as long as one another.
const SLICES: i64 = 960;

/// How an experiment went, in slices of equal length on the judging clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// Start of the first slice, epoch ms.
    pub start_ms: i64,
    /// Length of a slice, milliseconds.
    pub slice_ms: i64,
    /// Conversions credited per slice, for each arm of the report.
    pub conversions: Vec<Vec<u64>>,
    /// Events left out: they happened while the iteration did not run, or their clock is far off. One of them on the
    /// axis would squeeze all others into a single slice.
    pub outside: u64,
    /// Everything else per slice, by metric and verdict: what did not count, and evaluations.
    pub others: Vec<Series>,
}

/// Events with one verdict over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric; none: evaluations.
    pub metric: Option<Arc<str>>,
    /// The verdict.
    pub code: ReasonCode,
    /// How many per slice.
    pub events: Vec<u64>,
}

impl Course {
    /// Slices of time; none where nothing is held.
    pub fn slices(&self) -> usize {
        self.conversions.first().map_or(0, Vec::len)
    }

    /// The end of the last slice.
    pub fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add(self.slice_ms.saturating_mul(i64::try_from(self.slices()).unwrap_or(i64::MAX)))
    }

    /// The events of one verdict over time.
    pub fn of(&self, metric: Option<&str>, code: ReasonCode) -> Option<&[u64]> {
        let same = |series: &&Series| series.metric.as_deref() == metric && series.code == code;
        self.others.iter().find(same).map(|series| &*series.events)
    }

    /// The most conversions any arm comes to.
    pub fn most(&self) -> u64 {
        self.conversions.iter().map(|arm| arm.iter().sum()).max().unwrap_or(0)
    }
}

/// The course of an iteration, from what is held. `arms` are the variations of its arms, in the report's order.
pub(super) fn course(store: &dyn Store, iteration: usize, arms: &[i64]) -> Course {
    let running = store.iterations().get(iteration).and_then(|name| {
        let experiment = store.catalog().experiments.iter().find(|experiment| *experiment.key == *name.experiment)?;
        let known = experiment.iterations.iter().find(|iteration| *iteration.id == *name.iteration)?;
        Some(known.started_at_ms.unwrap_or(i64::MIN)..known.ended_at_ms.unwrap_or(i64::MAX))
    });
    let is_inside = |row: &EventRow, t_ms: i64| {
        running.as_ref().is_none_or(|running| running.contains(&t_ms))
            && !row.warnings.contains(&ReasonCode::TimestampUnitSuspect)
    };
    let verdicts = || {
        (store.first()..store.next()).filter_map(|event| store.row(event)).flat_map(|row| {
            let of_iteration = row.verdicts.iter().filter(move |verdict| verdict.iteration as usize == iteration);
            of_iteration.filter_map(move |verdict| {
                let t_ms = row.t_ms?;
                Some((is_inside(row, t_ms).then_some(t_ms), verdict))
            })
        })
    };
    let times = || verdicts().filter_map(|(t_ms, _)| t_ms);
    let (Some(start_ms), Some(end_ms)) = (times().min(), times().max()) else { return Course::default() };
    let slice_ms = (end_ms.saturating_sub(start_ms) / SLICES).saturating_add(1);
    let slices = usize::try_from(end_ms.saturating_sub(start_ms) / slice_ms + 1).unwrap_or(1);
    let mut course = Course { start_ms, slice_ms, conversions: vec![vec![0; slices]; arms.len()], ..Course::default() };
    for (t_ms, verdict) in verdicts() {
        let slice = t_ms.and_then(|t_ms| usize::try_from(t_ms.saturating_sub(start_ms) / slice_ms).ok());
        let Some(slice) = slice else {
            course.outside += 1;
            continue;
        };
        let metric = verdict.metric.and_then(|metric| store.metric_names().get(metric as usize));
        let counted = verdict.code.category() == Category::Counted && metric.is_some();
        let slot = if counted {
            let arm = arms.iter().position(|arm| Some(*arm) == verdict.variation);
            arm.and_then(|arm| course.conversions.get_mut(arm)?.get_mut(slice))
        } else {
            let place = course
                .others
                .iter()
                .position(|series| series.code == verdict.code && series.metric.as_ref() == metric)
                .unwrap_or_else(|| {
                    let events = vec![0; slices];
                    course.others.push(Series { metric: metric.cloned(), code: verdict.code, events });
                    course.others.len() - 1
                });
            course.others.get_mut(place).and_then(|series| series.events.get_mut(slice))
        };
        if let Some(slot) = slot {
            *slot += 1;
        }
    }
    course
}
