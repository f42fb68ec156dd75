//! What the contexts of one person, side by side, explain: keys that live for one request, keys that change at a login,
//! and flags that are read before identify() is done.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::sessions::{Member, Session, Tie};
use crate::attribution::state::{State, UnitState};
use crate::catalog::Catalog;
use crate::reason::ReasonCode;
use crate::report::{Confidence, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// So many anonymous contexts of one payload each are no coincidence.
const THROWAWAY: u64 = 20;
/// … of all that were looked at.
const THROWAWAY_PERCENT: u64 = 90;

fn state_of<'a>(state: &'a State, kind: &str, key: &str, iteration: u32) -> Option<&'a UnitState> {
    let unit = state.units().find(kind, key)?;
    state.states_of(unit).map(|(_, of)| of).find(|of| of.iteration == iteration)
}

/// F63: a new anonymous key with every request, so that what is exposed never converts.
pub(super) fn throwaway_keys(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, judged) in (0..).zip(state.judge().iterations()) {
        let kind = &judged.iteration.randomization_unit;
        let (contexts, is_whole) = state.anonymous_contexts();
        let (mut all, mut of_one) = (0_u64, 0_u64);
        let (mut evidence, mut has_converted, mut converts_unexposed) = (Evidence::default(), false, false);
        for context in contexts.filter(|context| context.kind == *kind) {
            all += 1;
            of_one += u64::from(context.is_of_one_payload());
            let Some(unit) = state_of(state, kind, &context.key, index) else { continue };
            if unit.own_arm().is_none() {
                converts_unexposed |= state.conversions_of(unit).next().is_some();
                continue;
            }
            let exposed = unit;
            has_converted |= !exposed.aggregates.is_empty();
            evidence.units.insert(exposed.unit);
            evidence.events += exposed.per_variation.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
            evidence.example(exposed.first_event);
            exposed.points.iter().for_each(|point| evidence.see(Some(point.t_ms)));
        }
        let is_thrown_away = all >= THROWAWAY && of_one * 100 >= all * THROWAWAY_PERCENT;
        let slots = judged.first_slot..judged.first_slot + judged.iteration.metrics.len() as u32;
        let arrives =
            slots.into_iter().any(|slot| state.slot_counts(slot).is_some_and(|it| it.iter().next().is_some()));
        // Where what converts has other keys, such as those of another sender, that is why nothing joins.
        let is_explained = arrives && !converts_unexposed;
        if !is_thrown_away || has_converted || is_explained || evidence.events == 0 {
            continue;
        }
        let experiment = catalog.experiments.get(judged.experiment);
        let of_many = if is_whole { "" } else { ", a sample of them," };
        let mut slots = vec![("count", of_one.to_string()), ("total", all.to_string()), ("share", of_many.to_owned())];
        texts(ReasonCode::ThrowawayKeys, experiment, None, &mut slots);
        let finding = finished(state, ReasonCode::ThrowawayKeys, experiment, None, &evidence, &slots);
        // Where nothing converts at all, it may be that nobody has yet.
        let confidence = if arrives { Confidence::Likely } else { Confidence::Ask };
        findings.push(Finding { confidence, ..finding });
    }
    findings
}

/// F6: an anonymous context was exposed, and the same person converts under another key that never was.
pub(super) fn login_splits(state: &State, catalog: &Catalog) -> Vec<Finding> {
    type Split<'a> = (Evidence, Option<(&'a str, &'a str)>);
    let mut splits: BTreeMap<u32, Split<'_>> = BTreeMap::new();
    let mut told: BTreeSet<(u32, u32)> = BTreeSet::new();
    for (from, to) in state.sessions().flat_map(logins) {
        for (index, judged) in (0..).zip(state.judge().iterations()) {
            if judged.iteration.randomization_unit != from.kind {
                continue;
            }
            let of = |member: &Member| state_of(state, &member.kind, &member.key, index);
            let (Some(exposed), Some(converts)) = (of(from), of(to)) else { continue };
            if exposed.own_arm().is_none() || !converts.points.is_empty() || !told.insert((index, converts.unit)) {
                continue;
            }
            for (event, entry) in state.conversions_of(converts) {
                let (evidence, named) = splits.entry(entry.slot).or_default();
                evidence.events += 1;
                evidence.see(Some(entry.t_ms));
                evidence.source(entry.source);
                evidence.example(event);
                evidence.units.insert(converts.unit);
                let names = (from.key.as_str(), to.key.as_str());
                *named = Some(named.map_or(names, |known| known.min(names)));
            }
        }
    }
    let finding = |(slot, (evidence, named)): (u32, Split<'_>)| {
        let slot = state.judge().slots().get(slot as usize)?;
        let experiment = state.judge().iterations().get(slot.iteration as usize)?.experiment;
        let (experiment, metric) = (catalog.experiments.get(experiment), catalog.metrics.get(slot.metric as usize));
        let (from, to) = named?;
        let mut slots = vec![("count", evidence.events.to_string()), ("key", to.to_owned()), ("near", from.to_owned())];
        texts(ReasonCode::LoginSplit, experiment, metric, &mut slots);
        let finding = finished(state, ReasonCode::LoginSplit, experiment, metric, &evidence, &slots);
        Some(Finding { confidence: Confidence::Likely, ..finding })
    };
    splits.into_iter().filter_map(finding).collect()
}

/// An anonymous context, and one of the same kind that is not, of one person.
fn logins(session: &Session) -> Vec<(&Member, &Member)> {
    let members = session.members();
    let mut pairs = Vec::new();
    for from in members.iter().filter(|member| member.is_anonymous) {
        let known = || members.iter().filter(|to| !to.is_anonymous && to.kind == from.kind);
        // Where several people log in on one device, whose the anonymous context was nobody knows.
        if let (Some(to), 1) = (known().next(), known().count()) {
            pairs.push((from, to));
        }
    }
    pairs
}

/// F51: a flag is evaluated for the context before, after identify() named another.
pub(super) fn identify_races(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let mut races: BTreeMap<u32, (Evidence, (&str, &str))> = BTreeMap::new();
    for session in state.sessions().filter(|session| session.tie == Tie::Instance) {
        for (before, after, identified_ms) in raced(session) {
            for (index, judged) in (0..).zip(state.judge().iterations()) {
                let Some(unit) = state_of(state, &before.kind, &before.key, index)
                    .filter(|_| judged.iteration.randomization_unit == before.kind)
                else {
                    continue;
                };
                let late = unit.points.iter().filter(|point| point.t_ms > identified_ms).count() as u64;
                if late == 0 {
                    continue;
                }
                let names = (before.key.as_str(), after.key.as_str());
                let (evidence, named) = races.entry(index).or_insert_with(|| (Evidence::default(), names));
                *named = (*named).min(names);
                evidence.events += late;
                evidence.units.insert(unit.unit);
                unit.points.iter().filter(|it| it.t_ms > identified_ms).for_each(|it| evidence.see(Some(it.t_ms)));
            }
        }
    }
    let finding = |(index, (evidence, (before, after))): (u32, (Evidence, (&str, &str)))| {
        let experiment = state.judge().iterations().get(index as usize)?.experiment;
        let experiment = catalog.experiments.get(experiment);
        let mut slots =
            vec![("count", evidence.events.to_string()), ("key", before.to_owned()), ("near", after.to_owned())];
        texts(ReasonCode::IdentifyRace, experiment, None, &mut slots);
        let finding = finished(state, ReasonCode::IdentifyRace, experiment, None, &evidence, &slots);
        Some(Finding { confidence: Confidence::Likely, ..finding })
    };
    races.into_iter().filter_map(finding).collect()
}

/// Contexts that were evaluated after identify() named another, without having been named again in between.
fn raced(session: &Session) -> Vec<(&Member, &Member, i64)> {
    let members = session.members();
    let mut found = Vec::new();
    for before in members {
        let Some(evaluated_ms) = before.evaluated_ms else { continue };
        for after in members.iter().filter(|after| after.kind == before.kind && after.key != before.key) {
            let is_race = |t_ms: &&i64| {
                let is_named_again = before.identified_ms.iter().any(|own| *own > **t_ms && *own <= evaluated_ms);
                before.first_ms <= **t_ms && **t_ms < evaluated_ms && !is_named_again
            };
            if let Some(t_ms) = after.identified_ms.iter().find(is_race) {
                found.push((before, after, *t_ms));
            }
        }
    }
    found
}
