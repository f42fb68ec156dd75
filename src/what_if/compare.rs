//! Two judgements of the same events, held against each other.
//!
//! What was received is the same on both sides; what is made of it need not be: Segment's destination may make more
//! events or fewer of one, and so the events are paired by what was received, then by the mapping that made them.

use super::difference::{
    ArmDifference, ArmMetricDifference, Difference, EventsCompared, ExperimentDifference, FORMAT_VERSION,
    FindingDifference, MetricDifference, Pair, Transition, UnitMoved, UnitsDifference,
};
use super::judgement::{Judgement, Kept, Row, Verdict};
use crate::attribution::judge::is_about_time;
use crate::reason::ReasonCode;
use crate::report::{ExperimentReport, Report, build};
use std::collections::{BTreeMap, HashMap};

/// Examples kept of each change.
const EXAMPLES: usize = 5;

/// Where a verdict belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    experiment: String,
    iteration: String,
    metric: Option<String>,
}

/// What a change of a verdict is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    place: Option<usize>,
    before: Option<ReasonCode>,
    after: Option<ReasonCode>,
    variations: Option<[Option<i64>; 2]>,
    another_unit: bool,
}

#[derive(Default)]
struct Tally {
    events: u64,
    elsewhere: u64,
    examples: Vec<[Option<u64>; 2]>,
}

#[derive(Default)]
struct Comparison {
    places: Vec<Place>,
    by_place: HashMap<Place, usize>,
    changes: HashMap<Kind, Tally>,
    unchanged: HashMap<Option<usize>, u64>,
    events: EventsCompared,
}

/// The places of one side, by the numbers its rows use.
type Numbered = HashMap<(u32, Option<u32>), usize>;

impl Difference {
    /// Holds two judgements of the same events against each other. `changes` is what the second is changed by, in
    /// words.
    pub fn between(before: &Judgement, after: &Judgement, changes: Vec<String>) -> Self {
        let mut comparison = Comparison::default();
        let numbered = [comparison.number(before), comparison.number(after)];
        comparison.compare(before, after, &numbered);
        let reports = [before, after].map(|side| build::report(&side.state, &side.catalog));
        let [of_before, of_after] = &reports;
        Self {
            exptap_what_if: FORMAT_VERSION,
            changes,
            catalog: Pair { before: of_before.catalog, after: of_after.catalog },
            clock: Pair { before: of_before.clock, after: of_after.clock },
            events: comparison.events,
            verdicts: Pair { before: of_before.totals.verdicts.clone(), after: of_after.totals.verdicts.clone() },
            experiments: comparison.experiments(before, after, of_before, of_after),
            elsewhere: comparison.transitions(None),
            findings: findings(of_before, of_after),
            fixes: None,
        }
    }
}

impl Comparison {
    fn number(&mut self, side: &Judgement) -> Numbered {
        let judge = side.state.judge();
        let mut numbered = Numbered::new();
        for (index, judged) in (0..).zip(judge.iterations()) {
            let Some(experiment) = side.catalog.experiments.get(judged.experiment) else { continue };
            let metrics = judged.iteration.metrics.iter().map(|metric| Some(*metric as u32));
            for metric in std::iter::once(None).chain(metrics) {
                let key = metric.and_then(|metric| judge.metric(metric)).map(|metric| metric.key.clone());
                let place =
                    Place { experiment: experiment.key.clone(), iteration: judged.iteration.id.clone(), metric: key };
                let next = self.places.len();
                let number = *self.by_place.entry(place.clone()).or_insert(next);
                if number == next {
                    self.places.push(place);
                }
                numbered.insert((index, metric), number);
            }
        }
        numbered
    }

    fn compare(&mut self, before: &Judgement, after: &Judgement, numbered: &[Numbered; 2]) {
        let mut others = after.kept();
        let mut rest = before.kept();
        while !rest.is_empty() || !others.is_empty() {
            let item = [rest.first(), others.first()].into_iter().flatten().map(|kept| kept.item).min();
            let Some(item) = item else { break };
            let ours = take_item(&mut rest, item);
            let theirs = take_item(&mut others, item);
            self.events.received += 1;
            let mut is_changed = false;
            for (one, other) in paired(ours, theirs) {
                is_changed |= self.compare_pair(before, after, one, other, numbered);
            }
            self.events.changed += u64::from(is_changed);
        }
    }

    /// Compares what is made of the same by the same mapping. True if a verdict is another one.
    fn compare_pair(
        &mut self,
        before: &Judgement,
        after: &Judgement,
        one: Option<&Kept>,
        other: Option<&Kept>,
        numbered: &[Numbered; 2],
    ) -> bool {
        let [numbered_before, numbered_after] = numbered;
        let sides = [
            one.map(|kept| placed(before.rows(kept), numbered_before)).unwrap_or_default(),
            other.map(|kept| placed(after.rows(kept), numbered_after)).unwrap_or_default(),
        ];
        self.events.only_before += u64::from(other.is_none());
        self.events.only_after += u64::from(one.is_none());
        let example = [one.map(|kept| kept.event), other.map(|kept| kept.event)];
        let [ours, theirs] = &sides;
        let mut places: Vec<usize> = ours.placed.iter().chain(&theirs.placed).map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        let mut is_changed = false;
        for place in &places {
            let is_elsewhere = self.is_elsewhere(*place, &places, theirs);
            is_changed |= self.note(Some(*place), ours.verdict(*place), theirs.verdict(*place), example, is_elsewhere);
        }
        if places.is_empty() {
            is_changed |= self.note(None, ours.apart, theirs.apart, example, false);
        }
        is_changed
    }

    /// Whether an event is outside an iteration, and another one of the same experiment is about it.
    fn is_elsewhere(&self, place: usize, places: &[usize], verdicts: &Placed<'_>) -> bool {
        let is_outside = |at: usize| verdicts.verdict(at).map(|verdict| is_about_time(verdict.code));
        let subject = |at: usize| self.places.get(at).map(|place| (&place.experiment, &place.metric));
        is_outside(place) == Some(true)
            && places.iter().any(|other| subject(*other) == subject(place) && is_outside(*other) == Some(false))
    }

    fn note(
        &mut self,
        place: Option<usize>,
        before: Option<Verdict<'_>>,
        after: Option<Verdict<'_>>,
        example: [Option<u64>; 2],
        is_elsewhere: bool,
    ) -> bool {
        let is_same_code = before.map(|verdict| verdict.code) == after.map(|verdict| verdict.code);
        let variations = [before.and_then(|verdict| verdict.variation), after.and_then(|verdict| verdict.variation)];
        let [variation_before, variation_after] = variations;
        let units = [before.and_then(|verdict| verdict.unit), after.and_then(|verdict| verdict.unit)];
        let [unit_before, unit_after] = units;
        let is_other_arm = is_same_code && variation_before != variation_after;
        let is_other_unit = is_same_code && unit_before != unit_after;
        if is_same_code && !is_other_arm && !is_other_unit {
            *self.unchanged.entry(place).or_default() += 1;
            return false;
        }
        let kind = Kind {
            place,
            before: before.map(|verdict| verdict.code),
            after: after.map(|verdict| verdict.code),
            variations: is_other_arm.then_some(variations),
            another_unit: is_other_unit,
        };
        let tally = self.changes.entry(kind).or_default();
        tally.events += 1;
        tally.elsewhere += u64::from(is_elsewhere);
        if tally.examples.len() < EXAMPLES {
            tally.examples.push(example);
        }
        true
    }

    fn transitions(&self, place: Option<usize>) -> Vec<Transition> {
        let mut transitions: Vec<Transition> = self
            .changes
            .iter()
            .filter(|(kind, _)| kind.place == place)
            .map(|(kind, tally)| Transition {
                before: kind.before,
                after: kind.after,
                variations: kind.variations,
                another_unit: kind.another_unit,
                events: tally.events,
                elsewhere: tally.elsewhere,
                examples: tally.examples.clone(),
            })
            .collect();
        transitions.sort_by(|a, b| {
            b.events.cmp(&a.events).then_with(|| {
                (a.before, a.after, a.variations, a.another_unit).cmp(&(
                    b.before,
                    b.after,
                    b.variations,
                    b.another_unit,
                ))
            })
        });
        transitions
    }

    fn place(&self, experiment: &str, iteration: &str, metric: Option<&str>) -> Option<usize> {
        let place = Place {
            experiment: experiment.to_owned(),
            iteration: iteration.to_owned(),
            metric: metric.map(str::to_owned),
        };
        self.by_place.get(&place).copied()
    }

    fn experiments(
        &self,
        before: &Judgement,
        after: &Judgement,
        of_before: &Report,
        of_after: &Report,
    ) -> Vec<ExperimentDifference> {
        let units = units(before, after);
        let iterations = self.places.iter().filter(|place| place.metric.is_none());
        let compare = |place: &Place| {
            let of = |report: &'_ Report| -> Option<ExperimentReport> {
                let is_it = |it: &&ExperimentReport| it.key == place.experiment && it.iteration == place.iteration;
                report.experiments.iter().find(is_it).cloned()
            };
            let sides = Pair { before: of(of_before), after: of(of_after) };
            let unit = |report: &Option<ExperimentReport>| report.as_ref().map(|it| it.randomization_unit.clone());
            let metric_keys = self
                .places
                .iter()
                .filter(|other| other.experiment == place.experiment && other.iteration == place.iteration);
            ExperimentDifference {
                key: place.experiment.clone(),
                iteration: place.iteration.clone(),
                randomization_unit: Pair { before: unit(&sides.before), after: unit(&sides.after) },
                units: units.get(&(place.experiment.as_str(), place.iteration.as_str())).cloned().unwrap_or_default(),
                arms: arms(&sides),
                exposures: self
                    .place(&place.experiment, &place.iteration, None)
                    .map(|index| self.transitions(Some(index)))
                    .unwrap_or_default(),
                metrics: metric_keys
                    .filter_map(|other| other.metric.as_deref())
                    .map(|metric| self.metric(place, metric, &sides))
                    .collect(),
            }
        };
        iterations.map(compare).collect()
    }

    fn metric(&self, place: &Place, metric: &str, sides: &Pair<Option<ExperimentReport>>) -> MetricDifference {
        let of = |report: &Option<ExperimentReport>| {
            let found = report.iter().flat_map(|report| &report.metrics).find(|it| it.metric == metric);
            found.map_or((0, 0), |it| (it.received, it.counted))
        };
        let (before, after) = (of(&sides.before), of(&sides.after));
        let index = self.place(&place.experiment, &place.iteration, Some(metric));
        MetricDifference {
            metric: metric.to_owned(),
            received: Pair { before: before.0, after: after.0 },
            counted: Pair { before: before.1, after: after.1 },
            unchanged: index.and_then(|index| self.unchanged.get(&Some(index))).copied().unwrap_or_default(),
            verdicts: index.map(|index| self.transitions(Some(index))).unwrap_or_default(),
        }
    }
}

/// The verdicts of one event on one side.
#[derive(Default)]
struct Placed<'a> {
    placed: Vec<(usize, Verdict<'a>)>,
    apart: Option<Verdict<'a>>,
}

impl<'a> Placed<'a> {
    /// The verdict at a place; where there is none, why no iteration is about the event, if none is.
    fn verdict(&self, place: usize) -> Option<Verdict<'a>> {
        let own = self.placed.iter().find(|(at, _)| *at == place).map(|(_, verdict)| *verdict);
        own.or(self.apart.filter(|apart| apart.code != ReasonCode::NotAnExperimentEvent))
    }
}

fn placed<'a>(rows: impl Iterator<Item = Row<'a>>, numbered: &Numbered) -> Placed<'a> {
    let mut all = Placed::default();
    for row in rows {
        match row.place.and_then(|place| numbered.get(&place)) {
            Some(place) => all.placed.push((*place, row.verdict)),
            None => all.apart = Some(row.verdict),
        }
    }
    all
}

fn take_item<'a>(rest: &mut &'a [Kept], item: u64) -> &'a [Kept] {
    let end = rest.iter().position(|kept| kept.item != item).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

/// What both sides make of the same, by the mapping that made it; what is left over, in order.
fn paired<'a>(ours: &'a [Kept], theirs: &'a [Kept]) -> Vec<(Option<&'a Kept>, Option<&'a Kept>)> {
    if let ([one], [other]) = (ours, theirs) {
        return vec![(Some(one), Some(other))];
    }
    let mut left: Vec<&Kept> = theirs.iter().collect();
    let mut alone = Vec::new();
    let mut pairs = Vec::new();
    for one in ours {
        match left.iter().position(|other| other.mapping == one.mapping) {
            Some(index) => pairs.push((Some(one), Some(left.remove(index)))),
            None => alone.push(one),
        }
    }
    let mut left = left.into_iter();
    pairs.extend(alone.into_iter().map(|one| (Some(one), left.next())));
    pairs.extend(left.map(|other| (None, Some(other))));
    pairs
}

/// The own arms of the exposed units, per iteration.
type Arms<'a> = HashMap<(&'a str, &'a str), HashMap<(&'a str, &'a str), i64>>;

fn own_arms(side: &Judgement) -> Arms<'_> {
    let mut arms = Arms::new();
    for unit in side.state.states() {
        let judged = side.state.judge().iterations().get(unit.iteration as usize);
        let Some((judged, arm)) = judged.zip(unit.own_arm()) else { continue };
        let Some(experiment) = side.catalog.experiments.get(judged.experiment) else { continue };
        let Some(name) = side.state.units().name(unit.unit) else { continue };
        arms.entry((experiment.key.as_str(), judged.iteration.id.as_str())).or_default().insert(name, arm);
    }
    arms
}

fn units<'a>(before: &'a Judgement, after: &'a Judgement) -> HashMap<(&'a str, &'a str), UnitsDifference> {
    let (ours, theirs) = (own_arms(before), own_arms(after));
    let none = HashMap::new();
    let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
    keys.map(|key| {
        let (ours, theirs) = (ours.get(key).unwrap_or(&none), theirs.get(key).unwrap_or(&none));
        let mut difference = UnitsDifference {
            exposed: Pair { before: ours.len() as u64, after: theirs.len() as u64 },
            ..Default::default()
        };
        let mut moved: Vec<UnitMoved> = Vec::new();
        let gained =
            theirs.iter().filter(|(unit, _)| !ours.contains_key(*unit)).map(|(unit, arm)| (unit, None, Some(*arm)));
        let kept = ours.iter().map(|(unit, arm)| (unit, Some(*arm), theirs.get(unit).copied()));
        for (unit, before, after) in kept.chain(gained).filter(|(_, before, after)| before != after) {
            match (before, after) {
                (None, _) => difference.gained += 1,
                (_, None) => difference.lost += 1,
                _ => difference.moved += 1,
            }
            moved.push(UnitMoved { unit: format!("{}/{}", unit.0, unit.1), before, after });
        }
        // Some of each sort, in the order of their names, whatever order they were found in.
        moved.sort();
        let sort = |it: &UnitMoved| (it.before.is_some(), it.after.is_some());
        for wanted in [(true, true), (false, true), (true, false)] {
            let room = EXAMPLES - difference.examples.len();
            difference.examples.extend(moved.iter().filter(|it| sort(it) == wanted).take(room).cloned());
        }
        (*key, difference)
    })
    .collect()
}

fn arms(sides: &Pair<Option<ExperimentReport>>) -> Vec<ArmDifference> {
    let reports = [&sides.before, &sides.after];
    let mut names: BTreeMap<i64, &str> = BTreeMap::new();
    for arm in reports.into_iter().flatten().flat_map(|report| &report.arms) {
        names.insert(arm.variation, &arm.name);
    }
    let arm = |(variation, name): (i64, &str)| {
        let [before, after] =
            reports.map(|report| report.iter().flat_map(|report| &report.arms).find(|arm| arm.variation == variation));
        let mut keys: Vec<&str> = Vec::new();
        for metric in [before, after].into_iter().flatten().flat_map(|arm| &arm.metrics) {
            if !keys.contains(&metric.metric.as_str()) {
                keys.push(&metric.metric);
            }
        }
        let metric = |key: &str| {
            let [before, after] =
                [before, after].map(|arm| arm.and_then(|arm| arm.metrics.iter().find(|metric| metric.metric == key)));
            let pair = |figure: fn(&crate::report::ArmMetric) -> u64| Pair {
                before: before.map_or(0, figure),
                after: after.map_or(0, figure),
            };
            ArmMetricDifference {
                metric: key.to_owned(),
                converting_units: pair(|metric| metric.converting_units),
                conversions: pair(|metric| metric.conversions),
                sum: Pair {
                    before: before.map_or(0.0, |metric| metric.sum),
                    after: after.map_or(0.0, |metric| metric.sum),
                },
            }
        };
        ArmDifference {
            variation,
            name: name.to_owned(),
            units: Pair { before: before.map_or(0, |arm| arm.units), after: after.map_or(0, |arm| arm.units) },
            metrics: keys.into_iter().map(metric).collect(),
        }
    };
    names.into_iter().map(arm).collect()
}

fn findings(before: &Report, after: &Report) -> Vec<FindingDifference> {
    /// Events, and findings, by code, experiment and metric.
    type Counts<'a> = BTreeMap<(ReasonCode, Option<&'a str>, Option<&'a str>), (Pair<u64>, Pair<u64>)>;
    let mut all = Counts::new();
    for (report, is_after) in [(before, false), (after, true)] {
        for finding in &report.findings {
            let key = (finding.code, finding.experiment.as_deref(), finding.metric.as_deref());
            let (events, count) = all.entry(key).or_default();
            *(if is_after { &mut events.after } else { &mut events.before }) += finding.events;
            *(if is_after { &mut count.after } else { &mut count.before }) += 1;
        }
    }
    let mut changed: Vec<FindingDifference> = all
        .into_iter()
        .filter(|(_, (events, count))| events.is_changed() || count.is_changed())
        .map(|((code, experiment, metric), (events, findings))| FindingDifference {
            code,
            experiment: experiment.map(str::to_owned),
            metric: metric.map(str::to_owned),
            events,
            findings,
        })
        .collect();
    changed.sort_by_key(|it| std::cmp::Reverse(it.events.before.abs_diff(it.events.after)));
    changed
}
