//! What only Segment's part in it explains: which of its ids is the exposed one, what it cannot send, and how much of
//! what it should send arrives.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::segment::PRESET_ANONYMOUS_KIND;
use crate::attribution::sightings::{Seen, Sighting};
use crate::attribution::state::State;
use crate::attribution::tally::EvidenceKey;
use crate::catalog::{Catalog, MetricKind};
use crate::reason::ReasonCode;
use crate::report::{Confidence, Finding};
use std::collections::BTreeMap;

/// Fewer deliveries than these are no rate.
const DELIVERIES: u64 = 20;

/// An experiment and a metric, by their indexes.
type About = (usize, usize);

/// The sightings that came through Segment, with every iteration that was running then and measures them.
fn through_segment(state: &State) -> impl Iterator<Item = (u32, About, &Sighting, &Seen)> {
    let judge = state.judge();
    let sightings = state.sightings().filter(|(sighting, _)| sighting.is_of_segment);
    sightings.flat_map(move |(sighting, seen)| {
        let event_key = judge.metric(sighting.metric).and_then(|metric| metric.event_key.as_deref());
        let slots = event_key.map(|key| judge.slots_of_event_key(key)).into_iter().flatten();
        slots.filter_map(move |slot| {
            let judged = judge.iterations().get(slot.iteration as usize)?;
            let is_running = judged.iteration.contains(sighting.t_ms);
            is_running.then_some((slot.iteration, (judged.experiment, slot.metric as usize), sighting, seen))
        })
    })
}

fn is_exposed(state: &State, iteration: u32, kind: &str, key: &str) -> bool {
    let found = state.units().find(kind, key).and_then(|unit| state.find_state(unit, iteration));
    found.and_then(|index| state.state(index)).is_some_and(|unit| !unit.points.is_empty())
}

fn randomization_unit(state: &State, iteration: u32) -> Option<&str> {
    state.judge().iterations().get(iteration as usize).map(|judged| judged.iteration.randomization_unit.as_str())
}

fn person<'a>(sighting: &'a Sighting, name: &str) -> Option<&'a str> {
    sighting.people.iter().find(|(have, _)| have == name).map(|(_, id)| id.as_str())
}

/// The `userId` and the `anonymousId` of what Segment sent: as its event had them, or as its presets name them.
fn ids(sighting: &Sighting) -> Option<(&str, &str)> {
    if !sighting.people.is_empty() {
        return person(sighting, "userId").zip(person(sighting, "anonymousId"));
    }
    let anonymous = sighting.key(PRESET_ANONYMOUS_KIND)?;
    // Without a userId the preset sends the anonymousId under both kinds.
    Some((sighting.key("user").filter(|user| *user != anonymous)?, anonymous))
}

/// Conversions whose key is one of Segment's two ids.
#[derive(Default)]
struct Sent {
    evidence: Evidence,
    exposed: u64,
    other_exposed: u64,
    is_partial: bool,
}

/// F5: the id that is sent is never an exposed key, while the other id of the same events is.
pub(super) fn id_mismatches(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let mut sent: BTreeMap<(About, &str), Sent> = BTreeMap::new();
    for (iteration, about, sighting, seen) in through_segment(state) {
        let Some(unit) = randomization_unit(state, iteration) else { continue };
        let (Some(own), Some((user, anonymous))) = (sighting.key(unit), ids(sighting)) else { continue };
        if user == anonymous || ![user, anonymous].contains(&own) {
            continue;
        }
        let (name, other) = if own == user { ("userId", anonymous) } else { ("anonymousId", user) };
        let sent = sent.entry((about, name)).or_default();
        sent.evidence.events += seen.events;
        sent.evidence.see(Some(sighting.t_ms));
        sent.evidence.source(sighting.source);
        sent.evidence.example(seen.first_event);
        sent.evidence.units.extend(state.units().find(unit, own));
        sent.exposed += if is_exposed(state, iteration, unit, own) { seen.events } else { 0 };
        sent.other_exposed += if is_exposed(state, iteration, unit, other) { seen.events } else { 0 };
        sent.is_partial |= state.is_partial(iteration);
    }
    let mismatched = sent.into_iter().filter(|(_, sent)| sent.exposed == 0 && sent.other_exposed > 0);
    let finding = |(((experiment, metric), name), sent): ((About, &str), Sent)| {
        let (experiment, metric) = (catalog.experiments.get(experiment), catalog.metrics.get(metric));
        let other = if name == "userId" { "anonymousId" } else { "userId" };
        let events = sent.evidence.events;
        let mut slots = vec![
            ("count", events.to_string()),
            ("sent", name.to_owned()),
            ("other", other.to_owned()),
            ("share", share(sent.other_exposed, events)),
        ];
        texts(ReasonCode::SegmentIdMismatch, experiment, metric, &mut slots);
        let finding = finished(state, ReasonCode::SegmentIdMismatch, experiment, metric, &sent.evidence, &slots);
        // Not to have seen an exposure proves nothing where there may have been some before.
        let confidence = if sent.is_partial { Confidence::Likely } else { Confidence::Decided };
        Finding { confidence, ..finding }
    };
    mismatched.map(finding).collect()
}

/// "38 of 40 (95 %)". A share is never rounded to all or to nothing.
fn share(part: u64, of: u64) -> String {
    format!("{part} of {of} ({} %)", percent(part, of))
}

fn percent(part: u64, of: u64) -> String {
    let percent = part as f64 * 100.0 / of.max(1) as f64;
    match part {
        0 => "0".to_owned(),
        part if part == of => "100".to_owned(),
        _ => format!("{:.1}", percent.clamp(0.1, 99.9)).trim_end_matches(".0").to_owned(),
    }
}

/// Events that lack the unit, and where else in them its exposed key is.
#[derive(Default)]
struct Lacking<'a> {
    events: u64,
    carried: BTreeMap<&'a str, u64>,
}

/// F2: says under which other name the events that lack the unit carry the key of an exposed one.
pub(super) fn name_the_kind(state: &State, catalog: &Catalog, findings: &mut [Finding]) {
    if !findings.iter().any(|finding| finding.code == ReasonCode::EventLacksUnit) {
        return;
    }
    let mut lacking: BTreeMap<About, Lacking<'_>> = BTreeMap::new();
    for (iteration, about, sighting, seen) in through_segment(state) {
        let Some(unit) = randomization_unit(state, iteration).filter(|unit| sighting.key(unit).is_none()) else {
            continue;
        };
        let lacking = lacking.entry(about).or_default();
        lacking.events += seen.events;
        for (name, key) in sighting.keys.iter().chain(&sighting.people) {
            if is_exposed(state, iteration, unit, key) {
                *lacking.carried.entry(name).or_default() += seen.events;
            }
        }
    }
    for ((experiment, metric), Lacking { events, carried }) in lacking {
        let (Some(experiment), Some(metric)) = (catalog.experiments.get(experiment), catalog.metrics.get(metric))
        else {
            continue;
        };
        let finding = findings.iter_mut().find(|finding| {
            finding.code == ReasonCode::EventLacksUnit
                && finding.experiment.as_ref() == Some(&experiment.key)
                && finding.metric.as_ref() == Some(&metric.key)
        });
        // Of two names that carry it alike, Segment's own is what a mapping can be given.
        let is_member = |name: &str| matches!(name, "userId" | "anonymousId");
        let most = carried.into_iter().max_by_key(|(name, count)| (*count, is_member(name)));
        // A path is named only where its values are exposed keys (F2), not where one of them happens to be.
        let (Some(finding), Some((name, count))) = (finding, most.filter(|(_, count)| count * 2 >= events)) else {
            continue;
        };
        let unit = experiment.iterations.last().map_or("unit", |iteration| iteration.randomization_unit.as_str());
        let path = match name {
            "userId" | "anonymousId" => format!("$.{name}"),
            PRESET_ANONYMOUS_KIND => "$.anonymousId (what the preset calls unauthenticatedUser)".to_owned(),
            kind => format!("the field that {kind} is taken from"),
        };
        finding.summary += &format!(
            " Through Segment it is there under another name: {name} is the key of an exposed {unit} in {}.",
            share(count, events)
        );
        finding.fix =
            format!("In the mapping of Segment's destination, under Additional Context Keys, add {unit} from {path}.");
    }
}

/// F33: page and track calls that a click or page-view metric was meant to count, which has no events of its own.
pub(super) fn meant_for_pages(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let judge = state.judge();
    let mut findings: BTreeMap<About, Finding> = BTreeMap::new();
    for (key, evidence) in state.evidence() {
        let EvidenceKey::SegmentPage(wanted) = key else { continue };
        let slots = || (0..).zip(judge.slots()).filter(|(_, slot)| slot.metric == *wanted);
        let has_events = slots().any(|(slot, _)| state.slot_counts(slot).is_some_and(|it| it.iter().next().is_some()));
        if has_events || evidence.events == 0 {
            continue;
        }
        for (_, slot) in slots() {
            let Some(judged) = judge.iterations().get(slot.iteration as usize) else { continue };
            let about = (judged.experiment, slot.metric as usize);
            let (experiment, metric) = (catalog.experiments.get(about.0), catalog.metrics.get(about.1));
            let kind = match metric.map(|metric| metric.kind) {
                Some(MetricKind::Click) => "click",
                _ => "page-view",
            };
            let mut slots = vec![("count", evidence.events.to_string()), ("kind", kind.to_owned())];
            texts(ReasonCode::SegmentCustomOnly, experiment, metric, &mut slots);
            let finding = finished(state, ReasonCode::SegmentCustomOnly, experiment, metric, evidence, &slots);
            // What they were meant for is a guess from their names.
            findings.insert(about, Finding { confidence: Confidence::Likely, ..finding });
        }
    }
    findings.into_values().collect()
}

/// Of the events that a trigger matched, too few reach LaunchDarkly.
pub(super) fn delivery_rate(state: &State) -> Option<Finding> {
    let (mut sent, mut lost, mut commonest) = (0, Evidence::default(), None::<(u64, &str)>);
    for (key, evidence) in state.evidence() {
        match key {
            EvidenceKey::SegmentSent => sent += evidence.events,
            EvidenceKey::SegmentLost(words) if evidence.events > 0 => {
                lost.merge(evidence, |unit| unit, |source| source, 0);
                let is_more = |(most, of): (u64, &str)| (evidence.events, of) > (most, words);
                if commonest.is_none_or(is_more) {
                    commonest = Some((evidence.events, words));
                }
            }
            _ => {}
        }
    }
    let (times, words) = commonest?;
    let (deliveries, threshold) = (sent + lost.events, state.options().segment_delivery_percent);
    if deliveries < DELIVERIES || sent as f64 * 100.0 >= threshold * deliveries as f64 {
        return None;
    }
    let slots = [
        ("share", share(sent, deliveries)),
        ("threshold", threshold.to_string()),
        ("times", format!("{times} times")),
        ("detail", words.to_owned()),
    ];
    Some(finished(state, ReasonCode::SegmentDeliveryRate, None, None, &lost, &slots))
}
