//! What the contexts of one person, side by side, explain: keys that live for one request, keys that change at a login,
//! and flags that are read before identify() is done.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::sessions::{Member, Session, Tie, hash_of};
use crate::attribution::state::{State, UnitState};
use crate::catalog::Catalog;
use crate::reason::{Category, ReasonCode};
use crate::report::{Confidence, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// So many of one sender's anonymous contexts, each of one payload, are no coincidence.
const THROWAWAY: u64 = 20;
/// … of all that were looked at.
const THROWAWAY_PERCENT: u64 = 90;
/// Of those that convert so many would have been exposed, if exposed and other contexts converted alike: that none was
/// is no coincidence either.
const EXPECTED: u64 = 10;

fn state_of<'a>(state: &'a State, kind: &str, key: &str, iteration: u32) -> Option<&'a UnitState> {
    let unit = state.units().find(kind, key)?;
    state.states_of(unit).map(|(_, of)| of).find(|of| of.iteration == iteration)
}

/// The anonymous contexts of one sender, each of which was in one payload only.
#[derive(Default)]
struct Made {
    all: u64,
    exposed: u64,
    converts_unexposed: u64,
    /// Whether one of those that convert is known never to have been exposed.
    is_known: bool,
    evidence: Evidence,
}

/// F63: a new anonymous key with every request, so that what is exposed never converts.
///
/// A visitor who leaves again looks the same, and most do. So one sender must have made the keys, which a browser of
/// which nobody knows which it is cannot be shown to; nothing may have counted; and so many must convert under keys that
/// were not exposed that, of visitors, some would have been.
pub(super) fn throwaway_keys(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, judged) in (0..).zip(state.judge().iterations()) {
        if has_counted(state, judged.experiment) {
            continue;
        }
        let kind = &judged.iteration.randomization_unit;
        let (contexts, is_whole) = state.anonymous_contexts();
        let mut all = 0_u64;
        let mut by_sender: BTreeMap<u64, Made> = BTreeMap::new();
        for context in contexts.filter(|context| context.kind == *kind) {
            all += 1;
            let Some(sender) = context.sender() else { continue };
            let made = by_sender.entry(sender).or_default();
            made.all += 1;
            let Some(unit) = state_of(state, kind, &context.key, index) else { continue };
            if unit.own_arm().is_none() {
                made.converts_unexposed += u64::from(state.conversions_of(unit).next().is_some());
                made.is_known |= state.conversions_of(unit).any(|(_, entry)| entry.code == ReasonCode::NoExposure);
                continue;
            }
            made.exposed += 1;
            made.evidence.units.insert(unit.unit);
            made.evidence.events += unit.per_variation.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
            made.evidence.example(unit.first_event);
            unit.points.iter().for_each(|point| made.evidence.see(Some(point.t_ms)));
        }
        let is_thrown_away = |made: &&Made| {
            made.all >= THROWAWAY
                && made.all * 100 >= all * THROWAWAY_PERCENT
                && made.converts_unexposed * made.exposed >= EXPECTED * made.all
        };
        // At most one sender has so many of all.
        let Some(made) = by_sender.values().find(is_thrown_away) else { continue };
        let experiment = catalog.experiments.get(judged.experiment);
        let of_many = if is_whole { "" } else { ", a sample of them," };
        let mut slots =
            vec![("count", made.all.to_string()), ("total", all.to_string()), ("share", of_many.to_owned())];
        texts(ReasonCode::ThrowawayKeys, experiment, None, &mut slots);
        let finding = finished(state, ReasonCode::ThrowawayKeys, experiment, None, &made.evidence, &slots);
        // Who converts may have been exposed before anybody watched.
        let confidence = if made.is_known { Confidence::Likely } else { Confidence::Ask };
        findings.push(Finding { confidence, ..finding });
    }
    findings
}

/// Whether anything counted for an experiment, in any of its iterations.
fn has_counted(state: &State, experiment: usize) -> bool {
    let of_it = state.judge().iterations().iter().filter(|judged| judged.experiment == experiment);
    let slots = of_it.flat_map(|judged| judged.first_slot..judged.first_slot + judged.iteration.metrics.len() as u32);
    slots
        .filter_map(|slot| state.slot_counts(slot))
        .any(|counts| counts.iter().any(|(code, _)| code.category() == Category::Counted))
}

/// F6: an anonymous context was exposed, and the same person then logs in and converts under another key that never was.
pub(super) fn login_splits(state: &State, catalog: &Catalog) -> Vec<Finding> {
    type Split<'a> = (Evidence, Option<(&'a str, &'a str)>);
    let mut splits: BTreeMap<u32, (bool, Split<'_>)> = BTreeMap::new();
    let mut told: BTreeSet<(u32, u32)> = BTreeSet::new();
    for (from, to) in state.sessions().flat_map(logins) {
        for (index, judged) in (0..).zip(state.judge().iterations()) {
            if judged.iteration.randomization_unit != from.kind {
                continue;
            }
            let of = |member: &Member| state_of(state, &member.kind, &member.key, index);
            let (Some(exposed), Some(converts)) = (of(from), of(to)) else { continue };
            // Who was logged in first, and out again, was another visitor then or is one now.
            let is_before = exposed.points.first().is_some_and(|first| first.t_ms < to.first_ms);
            if exposed.own_arm().is_none() || !is_before || !converts.points.is_empty() {
                continue;
            }
            if !told.insert((index, converts.unit)) {
                continue;
            }
            for (event, entry) in state.conversions_of(converts).filter(|(_, entry)| entry.t_ms >= to.first_ms) {
                let (is_known, (evidence, named)) = splits.entry(entry.slot).or_default();
                *is_known |= entry.code != ReasonCode::UnknownNotObserved;
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
    let finding = |(slot, (is_known, (evidence, named))): (u32, (bool, Split<'_>))| {
        let slot = state.judge().slots().get(slot as usize)?;
        let experiment = state.judge().iterations().get(slot.iteration as usize)?.experiment;
        let (experiment, metric) = (catalog.experiments.get(experiment), catalog.metrics.get(slot.metric as usize));
        let (from, to) = named?;
        let mut slots = vec![("count", evidence.events.to_string()), ("key", to.to_owned()), ("near", from.to_owned())];
        texts(ReasonCode::LoginSplit, experiment, metric, &mut slots);
        let finding = finished(state, ReasonCode::LoginSplit, experiment, metric, &evidence, &slots);
        // Who logs in may have been exposed under that key before anybody watched.
        let confidence = if is_known { Confidence::Likely } else { Confidence::Ask };
        Some(Finding { confidence, ..finding })
    };
    splits.into_iter().filter_map(finding).collect()
}

/// An anonymous context, and one of the same kind that is not, of one person.
fn logins(session: &Session) -> Vec<(&Member, &Member)> {
    let members = session.members();
    // A device that was seen with a third key is shared.
    if session.tie == Tie::Beside && members.len() != 2 {
        return Vec::new();
    }
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
        for Raced { before, after, t_ms, flag } in raced(session) {
            for (index, judged) in (0..).zip(state.judge().iterations()) {
                if judged.iteration.randomization_unit != before.kind || hash_of(judged.flag.as_str()) != flag {
                    continue;
                }
                // What the experiment's rules do not take for an exposure skews nothing.
                let Some(unit) = state_of(state, &before.kind, &before.key, index).filter(|it| it.own_arm().is_some())
                else {
                    continue;
                };
                let names = (before.key.as_str(), after.key.as_str());
                let (evidence, named) = races.entry(index).or_insert_with(|| (Evidence::default(), names));
                *named = (*named).min(names);
                evidence.events += 1;
                evidence.units.insert(unit.unit);
                evidence.see(Some(t_ms));
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

/// An evaluation for a context after identify() named another.
struct Raced<'a> {
    before: &'a Member,
    after: &'a Member,
    t_ms: i64,
    flag: u64,
}

/// Evaluations in one instance for a context that it had named before, and had named another since. Where identify() was
/// called so often that not all of it is kept, nobody knows whose turn it was.
fn raced(session: &Session) -> Vec<Raced<'_>> {
    let members = session.members();
    if members.iter().any(Member::is_identified_often) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for before in members {
        for (t_ms, flag) in before.evaluated.iter().copied() {
            let named_ms = before.identified_ms.iter().copied().filter(|own| *own <= t_ms).max();
            let others = members.iter().filter(|after| after.key != before.key);
            let named_since = others.flat_map(|after| after.identified_ms.iter().map(move |at_ms| (*at_ms, after)));
            let is_since =
                |at_ms: i64| before.first_ms <= at_ms && at_ms < t_ms && named_ms.is_none_or(|own| own < at_ms);
            let latest =
                named_since.filter(|(at_ms, _)| is_since(*at_ms)).max_by_key(|(at_ms, after)| (*at_ms, &after.key));
            found.extend(latest.map(|(_, after)| Raced { before, after, t_ms, flag }));
        }
    }
    found
}
