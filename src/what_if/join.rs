//! Which field of Segment's events holds the keys that were exposed.
//!
//! A conversion that Segment sends is lost where its context key is not the one that was exposed. Often the right key
//! is in the event all the same, under another name. So every field of the events that are lost is held against the
//! exposed keys, and the field that joins most is the one to map. What it then comes to is tried, not promised.

use super::judgement::{Events, Judgement};
use crate::intake::Received;
use crate::reason::ReasonCode;
use std::collections::HashMap;

/// Paths told apart for one fault; made-up names of fields must not fill memory.
const MAX_PATHS: usize = 2000;
/// A field that joins less than this share of the events is no candidate.
const LEAST_PERCENT: u64 = 10;

/// What conversions are lost by, of which experiment and metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lost {
    /// The verdict.
    pub code: ReasonCode,
    /// Index of the experiment.
    pub experiment: usize,
    /// Index of the metric.
    pub metric: u32,
}

/// Whether a field with the right key could save a conversion that is lost by this.
pub fn may_join(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::EventLacksUnit | ReasonCode::NoExposure | ReasonCode::UnknownNotObserved)
}

/// A field whose values are exposed keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is in the event: `$.context.device.id`.
    pub path: String,
    /// Events in which its value is an exposed key.
    pub joins: u64,
}

/// What is known of the events lost by one fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Events lost that came through Segment.
    pub events: u64,
    /// Fields that join, the best first.
    pub candidates: Vec<Candidate>,
}

impl Join {
    /// The share of the events that a candidate joins, in whole percent, rounded down: 100 means all of them.
    pub fn percent(&self, candidate: &Candidate) -> u64 {
        (candidate.joins * 100).checked_div(self.events).unwrap_or_default()
    }
}

/// Looks through the Segment events that are lost.
///
/// # Errors
/// What the events say.
pub fn find<E: Events + ?Sized>(events: &E, base: &Judgement) -> Result<HashMap<Lost, Join>, E::Error> {
    let mut found: HashMap<Lost, (u64, HashMap<String, u64>)> = HashMap::new();
    events.judge(&base.catalog, base.clock, &mut |_, received| {
        let Received::Event { number, segment: Some(segment), .. } = received else { return };
        let Some(event) = &segment.fate.event else { return };
        // An event may be lost in several iterations of one experiment, and is one event none the less.
        let mut lost: Vec<(Lost, Vec<u32>)> = Vec::new();
        for row in base.verdicts_of(*number) {
            let code = row.verdict.code;
            let Some((iteration, Some(metric))) = row.place.filter(|_| may_join(code)) else { continue };
            let Some(judged) = base.state.judge().iterations().get(iteration as usize) else { continue };
            let subject = Lost { code, experiment: judged.experiment, metric };
            match lost.iter_mut().find(|(other, _)| *other == subject) {
                Some((_, iterations)) => iterations.push(iteration),
                None => lost.push((subject, vec![iteration])),
            }
        }
        if lost.is_empty() {
            return;
        }
        for (subject, _) in &lost {
            found.entry(*subject).or_default().0 += 1;
        }
        event.leaves(|path, text| {
            for (subject, iterations) in &lost {
                let Some((_, paths)) = found.get_mut(subject) else { continue };
                if !iterations.iter().any(|iteration| is_exposed(base, *iteration, text)) {
                    continue;
                }
                if let Some(joins) = paths.get_mut(path) {
                    *joins += 1;
                } else if paths.len() < MAX_PATHS {
                    paths.insert(path.to_owned(), 1);
                }
            }
        });
    })?;
    Ok(found.into_iter().map(|(subject, (events, paths))| (subject, ranked(events, paths))).collect())
}

fn is_exposed(base: &Judgement, iteration: u32, key: &str) -> bool {
    let state = &base.state;
    let Some(judged) = state.judge().iterations().get(iteration as usize) else { return false };
    state.units().find(&judged.iteration.randomization_unit, key).is_some_and(|unit| {
        state.states_of(unit).any(|(_, unit)| unit.iteration == iteration && unit.own_arm().is_some())
    })
}

/// The fields that join most first; of those that join the same, the one that is most likely to stay what it is.
fn ranked(events: u64, paths: HashMap<String, u64>) -> Join {
    let mut candidates: Vec<Candidate> = paths
        .into_iter()
        .filter(|(_, joins)| joins * 100 >= events * LEAST_PERCENT)
        .map(|(path, joins)| Candidate { path, joins })
        .collect();
    candidates.sort_by(|a, b| {
        b.joins
            .cmp(&a.joins)
            .then_with(|| stability(&a.path).cmp(&stability(&b.path)).then_with(|| a.path.cmp(&b.path)))
    });
    Join { events, candidates }
}

/// The less the stabler: an element of a list has its place by chance; what Segment itself defines means the same in
/// every event, what an application puts into properties only where it does so.
fn stability(path: &str) -> (bool, usize, usize) {
    let names: Vec<&str> = path.split('.').skip(1).collect();
    let origin = match names.first() {
        Some(&("userId" | "anonymousId")) => 0,
        Some(&"context") => 1,
        Some(&"traits") => 2,
        Some(&"properties") => 3,
        _ => 4,
    };
    (path.contains('['), names.len(), origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_fields_that_join_the_same_the_shorter_and_stabler_comes_first() {
        let paths = [
            ("$.properties.ids[0]", 9),
            ("$.properties.device_id", 9),
            ("$.context.device.id", 9),
            ("$.context.deviceId", 9),
            ("$.traits.device", 9),
            ("$.anonymousId", 8),
            ("$.messageId", 9),
            ("$.rare", 0),
        ];
        let join = ranked(10, paths.map(|(path, joins)| (path.to_owned(), joins)).into());
        let order: Vec<&str> = join.candidates.iter().map(|candidate| candidate.path.as_str()).collect();
        assert_eq!(
            order,
            [
                "$.messageId",
                "$.context.deviceId",
                "$.traits.device",
                "$.properties.device_id",
                "$.context.device.id",
                "$.properties.ids[0]",
                "$.anonymousId",
            ]
        );
        assert_eq!(join.candidates.first().map(|candidate| join.percent(candidate)), Some(90));
    }
}
