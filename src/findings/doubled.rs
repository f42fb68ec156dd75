//! The same action told twice: by two senders, or by both of Segment's destinations.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::sightings::{Seen, Sighting};
use crate::attribution::state::State;
use crate::catalog::Catalog;
use crate::event::Shape;
use crate::reason::ReasonCode;
use crate::report::{Confidence, Finding};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// How far apart two sources may date the same action.
const SAME_ACTION_MS: i64 = 2_000;
/// So many actions that arrive twice are no coincidence.
const DOUBLED: u64 = 3;

/// Event keys with the keys of the users who did them.
type Actions<'a> = HashSet<(&'a str, &'a str)>;

/// When something is said to have been done, and the sightings of it.
type Told<'a> = (i64, &'a Sighting, &'a Seen);

/// F42: what arrives twice. What both of Segment's destinations explain is not told of two senders again.
pub(super) fn doubled(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let (mut findings, told) = both_destinations(state, catalog);
    findings.extend(double_sources(state, catalog, &told));
    findings
}

/// F42: the same event of the same user at the same time, with `userKey` and with `contextKeys`.
fn both_destinations<'a>(state: &'a State, catalog: &Catalog) -> (Vec<Finding>, Actions<'a>) {
    let mut by_action: BTreeMap<(u32, &str), Vec<Told<'_>>> = BTreeMap::new();
    for (sighting, seen) in state.sightings() {
        if let Some(user) = sighting.key("user") {
            by_action.entry((sighting.metric, user)).or_default().push((sighting.creation_ms, sighting, seen));
        }
    }
    let mut found: BTreeMap<u32, Both<'_>> = BTreeMap::new();
    for ((metric, user), mut sightings) in by_action {
        sightings.sort_by_key(|(creation_ms, ..)| *creation_ms);
        let of = |shape| sightings.iter().filter(move |(_, sighting, _)| sighting.shape == shape);
        let (classic, actions): (Vec<_>, Vec<_>) = (of(Shape::UserKey).collect(), of(Shape::ContextKeys).collect());
        for (ours, others) in [(&classic, &actions), (&actions, &classic)] {
            for (creation_ms, sighting, seen) in ours {
                let next = others.partition_point(|(other_ms, ..)| other_ms < creation_ms);
                let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter_map(|at| others.get(at));
                let apart = near.map(|(other_ms, ..)| other_ms.abs_diff(*creation_ms)).min();
                if let Some(apart) = apart.filter(|apart| *apart <= SAME_ACTION_MS as u64) {
                    found.entry(metric).or_default().add(sighting, seen, apart == 0, user);
                }
            }
        }
    }
    let metric_of = |metric: u32| catalog.metrics.get(metric as usize);
    // Two that agree to the millisecond are no coincidence, for Segment gives both the same time.
    found.retain(|_, both| both.is_exact || both.evidence.events >= 2 * DOUBLED);
    let told = found.iter().flat_map(|(metric, both)| {
        let event_key = state.judge().metric(*metric).and_then(|metric| metric.event_key.as_deref());
        event_key.into_iter().flat_map(|event_key| both.users.iter().map(move |user| (event_key, *user)))
    });
    let told = told.collect();
    let finding = |(metric, both): (u32, Both<'_>)| {
        let mut slots = vec![("count", both.evidence.events.to_string())];
        texts(ReasonCode::SegmentBothDestinations, None, metric_of(metric), &mut slots);
        let finding =
            finished(state, ReasonCode::SegmentBothDestinations, None, metric_of(metric), &both.evidence, &slots);
        // SDKs from before contexts and the first with them have these shapes too, where nobody says who sent them.
        let confidence = if both.is_of_segment { Confidence::Decided } else { Confidence::Likely };
        Finding { units: both.users.len() as u64, confidence, ..finding }
    };
    (found.into_iter().map(finding).collect(), told)
}

/// What arrives in both shapes for one metric.
#[derive(Default)]
struct Both<'a> {
    evidence: Evidence,
    users: BTreeSet<&'a str>,
    is_exact: bool,
    is_of_segment: bool,
}

impl<'a> Both<'a> {
    fn add(&mut self, sighting: &Sighting, seen: &Seen, is_exact: bool, user: &'a str) {
        self.evidence.events += seen.events;
        self.evidence.see(Some(sighting.t_ms));
        self.evidence.source(sighting.source);
        self.evidence.example(seen.first_event);
        self.users.insert(user);
        self.is_exact |= is_exact;
        self.is_of_segment |= sighting.is_of_segment;
    }
}

/// F42: the same unit converts by the same metric at the same moment, as two different senders tell.
fn double_sources(state: &State, catalog: &Catalog, told: &Actions<'_>) -> Vec<Finding> {
    // Versions of one SDK are one sender, and most sessions have one.
    let product = |source: u16| state.source_name(source).and_then(|name| name.split('/').next());
    let products: HashSet<&str> = (0..).map_while(product).collect();
    if products.len() < 2 {
        return Vec::new();
    }
    let mut doubled: BTreeMap<u32, (Evidence, BTreeSet<&str>)> = BTreeMap::new();
    for unit in state.states() {
        let mut conversions: Vec<_> = state.conversions_of(unit).collect();
        if !told.is_empty()
            && let Some((_, key)) = state.units().name(unit.unit)
        {
            let event_key = |slot: u32| state.judge().slot_metric(slot)?.event_key.as_deref();
            conversions.retain(|(_, entry)| event_key(entry.slot).is_none_or(|event| !told.contains(&(event, key))));
        }
        conversions.sort_unstable_by_key(|(event, entry)| (entry.slot, entry.t_ms, *event));
        let told: Vec<_> =
            conversions.iter().map(|(_, entry)| (entry.slot, entry.t_ms, product(entry.source))).collect();
        let earlier = latest_of_another(told.iter().copied());
        let mut later =
            latest_of_another(told.iter().rev().map(|(slot, t_ms, sender)| (*slot, t_ms.saturating_neg(), *sender)));
        later.reverse();
        for (((event, entry), earlier), later) in conversions.iter().zip(earlier).zip(later) {
            let Some(twin) = earlier.or(later) else { continue };
            let (evidence, senders) = doubled.entry(entry.slot).or_default();
            evidence.events += 1;
            evidence.see(Some(entry.t_ms));
            evidence.source(entry.source);
            evidence.example(*event);
            evidence.units.insert(unit.unit);
            senders.extend(product(entry.source).into_iter().chain([twin]));
        }
    }
    let finding = |(slot, (evidence, senders)): (u32, (Evidence, BTreeSet<&str>))| {
        let slot = state.judge().slots().get(slot as usize)?;
        let experiment = state.judge().iterations().get(slot.iteration as usize)?.experiment;
        let (experiment, metric) = (catalog.experiments.get(experiment), catalog.metrics.get(slot.metric as usize));
        let senders: Vec<&str> = senders.into_iter().collect();
        let mut slots = vec![("count", evidence.events.to_string()), ("senders", senders.join(" and "))];
        texts(ReasonCode::DoubleSource, experiment, metric, &mut slots);
        let finding = finished(state, ReasonCode::DoubleSource, experiment, metric, &evidence, &slots);
        Some(Finding { confidence: Confidence::Likely, ..finding })
    };
    doubled.into_iter().filter(|(_, (evidence, _))| evidence.events >= 2 * DOUBLED).filter_map(finding).collect()
}

/// For each of what is told, in order of metric and time, the sender of the same action shortly before, if it is
/// another one. Two are remembered, so that it takes one pass however many there are.
fn latest_of_another<'a>(told: impl Iterator<Item = (u32, i64, Option<&'a str>)>) -> Vec<Option<&'a str>> {
    let (mut last, mut last_of_another) = (None, None);
    told.map(|(slot, t_ms, sender)| {
        let is_twin = |&(before, at, other): &(u32, i64, Option<&str>)| {
            before == slot && t_ms.saturating_sub(at) <= SAME_ACTION_MS && other != sender
        };
        let twin = [last, last_of_another].into_iter().flatten().find(is_twin).and_then(|(_, _, other)| other);
        if last.is_some_and(|(_, _, other)| other != sender) {
            last_of_another = last;
        }
        last = Some((slot, t_ms, sender));
        twin
    })
    .collect()
}
