//! Gathering the story of one unit: what it is, every event of it in order of time, and what that comes to.
//!
//! A [`Collector`] is handed every event as it is taken in and keeps those of the unit; the state of attribution,
//! which has to hold all units anyway, says the rest once everything was read. So memory is bounded by the state and
//! the unit's own events, whatever the size of the source.

use super::segment::{self, Origin};
use super::story::{
    ArmSeen, BucketOfUnit, Change, Credited, FORMAT_VERSION, Identity, LookAlike, MetricStanding, NeverSent, Seen,
    Standing, Story, StoryEvent,
};
use super::{Explainer, Subject, VerdictKey, Verdicts};
use crate::attribution::judge::{EnvironmentMatch, is_about_time};
use crate::attribution::state::{AcceptedClaims, Clock, State};
use crate::catalog::{Catalog, Metric};
use crate::event::decode;
use crate::intake::{OfSegment, Received};
use crate::json::Walker;
use crate::near_miss;
use crate::query::{self, Names, Query};
use crate::reason::{Category, ReasonCode};
use crate::segment::fate::{Fate, Made};
use crate::session::rows::{self, Came, Notes};
use crate::verdicts::{self, Judged};
use crate::view::{EventRow, Ladder, NO_ARRIVAL};
use std::collections::{BTreeMap, HashMap};

/// Other units told apart: a placeholder such as `null` may be seen with millions.
const UNITS_TOLD_APART: usize = 1000;
/// Units named of each sort.
const UNITS_NAMED: usize = 8;

/// How an event came, for the story.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Number of its request, from 1; none for plain events.
    pub request: Option<u64>,
    /// Arrival, epoch ms; none for plain events.
    pub arrival_ms: Option<i64>,
    /// Who sent it.
    pub source: &'a str,
    /// Whose environment it is of.
    pub environment: EnvironmentMatch,
}

/// One reading of what was asked for: a key, of a kind or of any.
struct Probe {
    kind: Option<String>,
    key: String,
    /// Events by the kinds the key itself was seen under.
    kinds: BTreeMap<String, u64>,
    /// Events of units that are equal but for case or spaces, and how they differ.
    look_alikes: BTreeMap<(String, String), (&'static str, u64)>,
    /// Events of units that begin alike.
    begin_alike: BTreeMap<(String, String), u64>,
    /// Events of Segment's of which LaunchDarkly gets nothing, by the member that has the key.
    never_sent: BTreeMap<&'static str, u64>,
}

impl Probe {
    fn new(kind: Option<&str>, key: &str) -> Self {
        Self {
            kind: kind.map(str::to_owned),
            key: key.to_owned(),
            kinds: BTreeMap::new(),
            look_alikes: BTreeMap::new(),
            begin_alike: BTreeMap::new(),
            never_sent: BTreeMap::new(),
        }
    }

    /// Takes note of a unit of an event. True if it is the one.
    fn note(&mut self, kind: &str, key: &str) -> bool {
        /// Fewer letters begin everything.
        const LETTERS: usize = 3;
        if key == self.key {
            add(&mut self.kinds, kind, || kind.to_owned());
            return self.kind.as_deref().is_none_or(|wanted| wanted == kind);
        }
        if may_look_alike(key, &self.key)
            && let Some(how) = near_miss::units_differ_by(&self.key, key)
        {
            let unit = (kind.to_owned(), key.to_owned());
            if self.look_alikes.len() < UNITS_TOLD_APART || self.look_alikes.contains_key(&unit) {
                self.look_alikes.entry(unit).or_insert((how, 0)).1 += 1;
            }
        } else if self.kinds.is_empty() && self.key.len() >= LETTERS && key.starts_with(&self.key) {
            let unit = (kind.to_owned(), key.to_owned());
            if self.begin_alike.len() < UNITS_TOLD_APART || self.begin_alike.contains_key(&unit) {
                *self.begin_alike.entry(unit).or_default() += 1;
            }
        }
        false
    }

    /// The kind, if it is clear by now.
    fn resolved(&self) -> Option<&str> {
        match &self.kind {
            Some(kind) => self.kinds.get_key_value(kind).map(|(kind, _)| kind.as_str()),
            None => match self.kinds.len() {
                1 => self.kinds.keys().next().map(String::as_str),
                _ => None,
            },
        }
    }
}

/// Whether comparing two keys letter by letter can be worth it: it is asked of every key of every event.
fn may_look_alike(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    if one.is_ascii() && other.is_ascii() {
        one.eq_ignore_ascii_case(other)
    } else {
        !one.is_empty() && !other.is_empty()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, owned: impl FnOnce() -> String) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < UNITS_TOLD_APART {
        counts.insert(owned(), 1);
    }
}

/// An event of the unit.
pub(crate) struct Kept {
    /// Its row.
    pub(crate) row: EventRow,
    /// What it was taken for.
    pub(crate) claims: AcceptedClaims,
    /// Whose environment it is of.
    pub(crate) environment: EnvironmentMatch,
    /// The event, as LaunchDarkly gets it.
    pub(crate) raw: String,
    /// What became of Segment's event, where it is of one.
    pub(crate) fate: Option<Fate>,
}

/// Keeps the events of a unit while everything is taken in.
pub struct Collector {
    probes: Vec<Probe>,
    kept: Vec<Kept>,
    notes: Notes,
}

/// Why there is no story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The key was given without a kind, and there is more than one: each with its events.
    Ambiguous(Vec<(String, u64)>),
    /// No event carries it. What does come near, each with how.
    Unknown(Vec<(String, String)>),
}

impl Collector {
    /// Keeps the events of `kind/key`, or of a key of whatever kind. A key may hold slashes, so a text with one is
    /// read both ways, as kind and key first.
    pub fn new(wanted: &str) -> Self {
        let mut probes = Vec::new();
        if let Some((kind, key)) = wanted.split_once('/')
            && !kind.is_empty()
            && !key.is_empty()
        {
            probes.push(Probe::new(Some(kind), key));
        }
        probes.push(Probe::new(None, wanted));
        Self { probes, kept: Vec::new(), notes: Notes::default() }
    }

    /// Keeps the events of a unit that is known, handed one by one to [`Collector::keep`] by who holds them.
    pub(crate) fn of(kind: &str, key: &str) -> Self {
        Self { probes: vec![Probe::new(Some(kind), key)], kept: Vec::new(), notes: Notes::default() }
    }

    /// Takes note of a unit of an event, whosever it is.
    pub(crate) fn note(&mut self, kind: &str, key: &str) {
        for probe in &mut self.probes {
            probe.note(kind, key);
        }
    }

    /// Keeps an event of the unit.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept.push(kept);
    }

    /// Takes note of an event that was taken in.
    pub fn take(&mut self, state: &State, catalog: &Catalog, arrival: Arrival<'_>, received: Received<'_, '_>) {
        let Received::Event { event, segment, .. } = &received else { return };
        if let Some(OfSegment { fate, made, .. }) = segment
            && !matches!(made, Made::Sent(_))
        {
            for (member, id) in fate.people() {
                for probe in self.probes.iter_mut().filter(|probe| probe.key == id) {
                    *probe.never_sent.entry(member).or_default() += 1;
                }
            }
        }
        let mut is_wanted = false;
        for (kind, key) in event.context_keys.iter() {
            for probe in &mut self.probes {
                is_wanted |= probe.note(kind, key);
            }
        }
        if !is_wanted {
            return;
        }
        let raw = event.raw.to_owned();
        let fate = segment.map(|segment| segment.fate.clone());
        let came = Came { request: arrival.request, arrival_ms: arrival.arrival_ms, source: arrival.source.into() };
        let (row, claims, _) = rows::row(state, catalog, &mut self.notes, came, received);
        self.kept.push(Kept { row, claims, environment: arrival.environment, raw, fate });
    }

    /// Whether any of the unit's events has an arrival, so that there is another clock to judge on.
    pub fn has_arrivals(&self) -> bool {
        self.kept.iter().any(|kept| kept.row.arrival_ms != NO_ARRIVAL)
    }

    /// Whether an event is one of the unit's.
    pub fn has(&self, event: u64) -> bool {
        self.kept.binary_search_by_key(&event, |kept| kept.row.event).is_ok()
    }

    /// The story, once everything was taken in. `other_clock` has the verdicts of the unit's events on the clock that
    /// does not judge (O3), as far as they are known; `filter` leaves events out of the story, but not out of what it
    /// comes to.
    ///
    /// # Errors
    /// [`Missing`] where no event carries the unit, or it is not clear which one is meant.
    pub fn story(
        mut self,
        state: &State,
        catalog: &Catalog,
        other_clock: &HashMap<u64, Verdicts>,
        filter: &Query,
    ) -> Result<Story, Missing> {
        let Some(probe) = self.probes.iter().find(|probe| probe.resolved().is_some()) else {
            return Err(self.missing(state));
        };
        let (kind, key) = (probe.resolved().unwrap_or_default().to_owned(), probe.key.clone());
        // The texts of a row are cut for lists, so that the event itself is asked.
        self.kept.retain(|kept| carries(&kept.raw, &kind, &key));
        for kept in &mut self.kept {
            rows::resolve(&mut kept.row, &kept.claims, state, false);
        }
        self.kept.sort_by_key(|kept| (kept.row.seen_ms().is_none(), kept.row.seen_ms(), kept.row.event));
        let identity = self.identity(&kind, &key);
        let explainer = Explainer::new(state, catalog);
        let names = names(state, catalog);
        let none = Verdicts::new();
        let (mut events, mut standings, mut changes) = (Vec::new(), Standings::new(), Vec::<Change>::new());
        let total = self.kept.len() as u64;
        for kept in &self.kept {
            let others = other_clock.get(&kept.row.event).unwrap_or(&none);
            let ladders = ladders(&explainer, kept, state.options().clock, others);
            for (key, ladder) in &ladders {
                note_standing(&mut standings, *key, ladder);
                // What happened while another iteration was running asks for no change of this one.
                if !ladders.iter().any(|(_, other)| ladder.is_told_by(other)) {
                    note_change(&mut changes, ladder);
                }
            }
            if filter.matches(&kept.row, &names) {
                let ladders: Vec<Ladder> = ladders.into_iter().map(|(_, ladder)| ladder).collect();
                let segment =
                    kept.fate.as_ref().zip(kept.row.segment).map(|(fate, through)| {
                        segment::view(&explainer, Origin { fate, through, raw: None }, &kept.row)
                    });
                events.push(StoryEvent::new(&kept.row, &ladders, segment.as_ref()));
            }
        }
        changes.sort_by_key(|change| std::cmp::Reverse(change.events));
        let (first_ms, last_ms) = span(&self.kept);
        Ok(Story {
            exptap_explain: FORMAT_VERSION,
            unit: format!("{kind}/{key}"),
            experiments: standing(state, catalog, &kind, &key, &standings),
            kind,
            key,
            clock: state.options().clock.name(),
            catalog: catalog.origin.name(),
            observed_from: state.options().observed_from_ms,
            events_of_unit: total,
            first: first_ms,
            last: last_ms,
            identity,
            events,
            changes,
        })
    }

    fn identity(&self, kind: &str, key: &str) -> Identity {
        let mut with: BTreeMap<String, u64> = BTreeMap::new();
        let mut left_out = 0;
        for kept in &self.kept {
            for (other_kind, other_key) in &kept.row.units {
                if **other_kind == *kind {
                    continue;
                }
                let unit = format!("{other_kind}/{other_key}");
                if with.len() >= UNITS_TOLD_APART && !with.contains_key(&unit) {
                    left_out += 1;
                    continue;
                }
                *with.entry(unit).or_default() += 1;
            }
        }
        let probe = self.probes.iter().find(|probe| probe.key == key);
        let kinds = probe.map(|probe| &probe.kinds).into_iter().flatten();
        let look_alikes = probe.map(|probe| &probe.look_alikes).into_iter().flatten();
        let mut look_alikes: Vec<LookAlike> = look_alikes
            .map(|((kind, key), (how, events))| LookAlike {
                unit: format!("{kind}/{key}"),
                differs_by: how,
                events: *events,
            })
            .collect();
        look_alikes.sort_by_key(|look_alike| std::cmp::Reverse(look_alike.events));
        look_alikes.truncate(UNITS_NAMED);
        let mut seen_with: Vec<Seen> = with.into_iter().map(|(unit, events)| Seen { unit, events }).collect();
        seen_with.sort_by_key(|seen| std::cmp::Reverse(seen.events));
        let more = seen_with.len().saturating_sub(UNITS_NAMED) as u64 + left_out;
        seen_with.truncate(UNITS_NAMED);
        Identity {
            is_placeholder: near_miss::is_placeholder_key(key),
            seen_with,
            seen_with_more: more,
            other_kinds: kinds
                .filter(|(other, _)| other.as_str() != kind)
                .map(|(other, events)| Seen { unit: format!("{other}/{key}"), events: *events })
                .collect(),
            look_alikes,
            never_sent: probe
                .map(|probe| &probe.never_sent)
                .into_iter()
                .flatten()
                .map(|(member, events)| NeverSent { member, events: *events })
                .collect(),
        }
    }

    fn missing(&self, state: &State) -> Missing {
        let unit = |kind: &str, key: &str| format!("{kind}/{key}");
        let mut near: Vec<(String, String)> = Vec::new();
        let mut push = |unit: String, how: String| {
            if near.len() < UNITS_NAMED && !near.iter().any(|(have, _)| *have == unit) {
                near.push((unit, how));
            }
        };
        for probe in &self.probes {
            if probe.kind.is_none() && probe.kinds.len() > 1 {
                return Missing::Ambiguous(
                    probe.kinds.iter().map(|(kind, events)| (unit(kind, &probe.key), *events)).collect(),
                );
            }
            for (member, events) in &probe.never_sent {
                let events = if *events == 1 { "1 event".to_owned() } else { format!("{events} events") };
                push(
                    format!("{member} {}", probe.key),
                    format!("{events} of Segment's, of which LaunchDarkly gets nothing"),
                );
            }
            probe.kinds.keys().for_each(|kind| push(unit(kind, &probe.key), "the same key of another kind".to_owned()));
        }
        for ((kind, key), (how, _)) in self.probes.iter().flat_map(|probe| &probe.look_alikes) {
            push(unit(kind, key), format!("differs by {how}"));
        }
        for ((kind, key), _) in self.probes.iter().flat_map(|probe| &probe.begin_alike) {
            push(unit(kind, key), "begins alike".to_owned());
        }
        for (unit, how) in self.fuzzy(state) {
            push(unit, how);
        }
        Missing::Unknown(near)
    }

    /// Units that experiments know, written much alike. Done last and once: it looks at every one.
    fn fuzzy(&self, state: &State) -> Vec<(String, String)> {
        let names = || (0..state.units().len() as u32).filter_map(|unit| state.units().name(unit));
        let mut scored: Vec<(i64, String)> = Vec::new();
        for probe in &self.probes {
            let of_kind = |kind: &str| probe.kind.as_deref().is_none_or(|wanted| wanted == kind);
            if let Some(near) =
                near_miss::nearest(&probe.key, names().filter(|(kind, _)| of_kind(kind)).map(|(_, key)| key))
            {
                scored.extend(
                    names()
                        .filter(|(kind, key)| of_kind(kind) && *key == near)
                        .map(|(kind, key)| (i64::MAX, format!("{kind}/{key}"))),
                );
            }
            for (kind, key) in names().filter(|(kind, _)| of_kind(kind)) {
                if let Some(score) = query::fuzzy_score(key, &probe.key) {
                    scored.push((score, format!("{kind}/{key}")));
                    if scored.len() > 10_000 {
                        scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
                        scored.truncate(UNITS_NAMED);
                    }
                }
            }
        }
        scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        scored.into_iter().take(UNITS_NAMED).map(|(_, unit)| (unit, "written much alike".to_owned())).collect()
    }
}

/// The verdicts of an event, as they stand now.
pub fn verdicts_of(state: &State, judged: &Judged) -> Verdicts {
    let outcomes = judged.claims.iter().map(|claim| verdicts::outcome(state, judged.event, claim));
    outcomes.map(|outcome| ((outcome.iteration, outcome.metric), outcome.code)).collect()
}

/// The names a filter compares verdicts by.
pub fn names(state: &State, catalog: &Catalog) -> Names {
    let experiment = |judged: &crate::attribution::judge::JudgedIteration| {
        catalog.experiments.get(judged.experiment).map_or("", |experiment| experiment.key.as_str()).into()
    };
    Names {
        experiments: state.judge().iterations().iter().map(experiment).collect(),
        metrics: catalog.metrics.iter().map(|metric| metric.key.as_str().into()).collect(),
    }
}

fn carries(raw: &str, kind: &str, key: &str) -> bool {
    decode::event(&mut Walker::new(raw))
        .ok()
        .and_then(Result::ok)
        .is_some_and(|event| event.context_keys.key(kind) == Some(key))
}

fn span(kept: &[Kept]) -> (Option<i64>, Option<i64>) {
    let mut times = kept.iter().filter_map(|kept| kept.row.seen_ms());
    let first = times.next();
    (first, times.next_back().or(first))
}

fn ladders(explainer: &Explainer<'_>, kept: &Kept, clock: Clock, others: &Verdicts) -> Vec<(VerdictKey, Ladder)> {
    let Some(event) = decode::event(&mut Walker::new(&kept.raw)).ok().and_then(Result::ok) else { return Vec::new() };
    let subject = Subject {
        event: &event,
        number: kept.row.event,
        t_ms: kept.row.t_ms.unwrap_or_default(),
        environment: kept.environment,
    };
    let mut ladders: Vec<(VerdictKey, Ladder)> = kept
        .claims
        .iter()
        .map(|claim| {
            let (key, mut ladder) = explainer.ladder(&subject, claim);
            ladder.note_other_clock(clock.other(), others.get(&key).copied());
            (key, ladder)
        })
        .collect();
    ladders.sort_by_key(|(key, _)| *key);
    ladders
}

/// Verdicts by iteration and metric.
type Standings = BTreeMap<(u32, Option<u32>), BTreeMap<&'static str, u64>>;

fn note_standing(standings: &mut Standings, (iteration, metric): VerdictKey, ladder: &Ladder) {
    if let Some(iteration) = iteration {
        *standings.entry((iteration, metric)).or_default().entry(ladder.code.name()).or_default() += 1;
    }
}

fn note_change(changes: &mut Vec<Change>, ladder: &Ladder) {
    let is_lost = matches!(ladder.code.category(), Category::Dropped | Category::Unknown);
    if !is_lost || ladder.fix.is_empty() {
        return;
    }
    let same = |change: &&mut Change| {
        change.code == ladder.code && change.fix == ladder.fix && change.near_miss == ladder.near_miss
    };
    match changes.iter_mut().find(same) {
        Some(change) => change.events += 1,
        None => changes.push(Change {
            code: ladder.code,
            events: 1,
            fix: ladder.fix.clone(),
            near_miss: ladder.near_miss.clone(),
        }),
    }
}

fn bucket_of(state: &State, iteration: u32, (kind, key): (&str, &str), own_arm: Option<i64>) -> Option<BucketOfUnit> {
    let judged = state.judge().iterations().get(iteration as usize)?;
    let (rollout, bucket) = judged.bucket(key).filter(|_| judged.iteration.randomization_unit == kind)?;
    let name = |variation: i64| judged.iteration.arm_name(variation);
    let share = bucket.share().and_then(|index| rollout.share(index));
    let arm = share.filter(|share| !share.untracked).map(|share| share.variation);
    Some(BucketOfUnit {
        value: bucket.value(),
        arm: arm.map(name),
        agrees: share.zip(own_arm).map(|(_, own)| arm == Some(own)),
        excluded: share.is_some_and(|share| share.untracked) && !state.is_rollout_refuted(iteration),
        proof: rollout.proof(&bucket, name),
    })
}

fn standing(state: &State, catalog: &Catalog, kind: &str, key: &str, standings: &Standings) -> Vec<Standing> {
    let unit_id = state.units().find(kind, key);
    let iterations = state.judge().iterations();
    let verdicts_of = |iteration: u32| standings.range((iteration, None)..=(iteration, Some(u32::MAX)));
    let is_about_time = |iteration: u32| {
        verdicts_of(iteration)
            .flat_map(|(_, verdicts)| verdicts.keys())
            .all(|name| ReasonCode::from_name(name).is_some_and(is_about_time))
    };
    let mut all = Vec::new();
    for (judged, iteration) in iterations.iter().zip(0..) {
        if verdicts_of(iteration).next().is_none() {
            continue;
        }
        // That another iteration was running then is no news where that one is told of.
        let told_elsewhere = || {
            iterations.iter().zip(0..).any(|(other, index)| {
                other.experiment == judged.experiment
                    && index != iteration
                    && verdicts_of(index).next().is_some()
                    && !is_about_time(index)
            })
        };
        if is_about_time(iteration) && told_elsewhere() {
            continue;
        }
        let unit = unit_id.and_then(|unit| state.state(state.find_state(unit, iteration)?));
        let of_unit = unit.filter(|_| judged.iteration.randomization_unit == kind);
        let name = |variation: i64| judged.iteration.arm_name(variation);
        let own_arm = of_unit.and_then(|unit| unit.own_arm());
        let exposures = |own: bool| {
            let counts = of_unit.into_iter().flat_map(|unit| &unit.per_variation);
            counts.filter(move |(variation, count)| *count > 0 && (Some(*variation) == own_arm) == own)
        };
        all.push(Standing {
            experiment: catalog.experiments.get(judged.experiment).map(|it| it.key.clone()).unwrap_or_default(),
            iteration: judged.iteration.id.clone(),
            flag: catalog.experiments.get(judged.experiment).map(|it| it.flag.clone()).unwrap_or_default(),
            randomization_unit: judged.iteration.randomization_unit.clone(),
            is_randomized: judged.iteration.randomization_unit == kind,
            complete: !state.is_partial(iteration),
            arm: own_arm.map(name),
            bucket: bucket_of(state, iteration, (kind, key), own_arm),
            first_exposure: of_unit.and_then(|unit| unit.points.first()).map(|point| point.t_ms),
            exposures: exposures(true).map(|(_, count)| u64::from(*count)).sum(),
            other_arms: exposures(false)
                .map(|(variation, count)| ArmSeen { arm: name(*variation), exposures: u64::from(*count) })
                .collect(),
            evaluations: standings.get(&(iteration, None)).cloned().unwrap_or_default(),
            metrics: verdicts_of(iteration)
                .filter_map(|((_, metric), verdicts)| {
                    let metric: &Metric = catalog.metrics.get((*metric)? as usize)?;
                    let slot = (judged.first_slot..)
                        .zip(&judged.iteration.metrics)
                        .find(|(_, index)| catalog.metrics.get(**index).is_some_and(|have| have.key == metric.key))
                        .map(|(slot, _)| slot);
                    let credited = of_unit.into_iter().flat_map(|unit| &unit.aggregates);
                    Some(MetricStanding {
                        metric: metric.key.clone(),
                        received: verdicts.values().sum(),
                        credited: credited
                            .filter(|aggregate| Some(aggregate.slot) == slot && aggregate.count > 0)
                            .map(|aggregate| Credited {
                                arm: name(aggregate.variation),
                                conversions: u64::from(aggregate.count),
                                sum: aggregate.sum,
                            })
                            .collect(),
                        verdicts: verdicts.clone(),
                    })
                })
                .collect(),
        });
    }
    all
}
