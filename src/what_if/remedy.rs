//! The fix of a finding, tried on the very events that the finding is about.
//!
//! A fix that nobody has tried is a guess. Where what has to change is in the catalog or in Segment's mapping, the
//! change is made and everything judged again; what it comes to stands beside the fix. Where it has to change in an
//! application, there is nothing that could be tried here, and nothing is said.

use super::change::{CatalogEdit, Change, MappingEdit};
use super::difference::{Difference, Transition, is_counted};
use super::join::{self, Join, Lost, may_join};
use super::judgement::{Events, Judgement};
use crate::catalog::Catalog;
use crate::reason::{Category, ReasonCode};
use crate::report::table::grouped;
use crate::report::{Finding, Report};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

/// Fields tried for one finding: the best may join less than it seems, because of what else is wrong.
const FIELDS_TRIED: usize = 3;
/// Judgements made for one report.
const TRIALS: usize = 8;

/// Something that could mend what a finding tells of.
#[derive(Clone, Debug)]
pub struct Remedy {
    /// What is changed.
    pub change: Change,
    /// What the person is told, but for what it came to.
    advice: Advice,
}

#[derive(Clone, Debug)]
enum Advice {
    /// The finding's own fix, as one change of the catalog.
    Own,
    /// A key that is added in Segment's mapping.
    AddKey { kind: String, path: String, percent: u64, events: u64 },
    /// The kind is the one Segment puts the user under: nothing can be added, and the trial only shows the cause.
    OtherKey { kind: String, flag: String, path: String, percent: u64, events: u64 },
}

/// What a remedy came to, for the events of its finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Events of the finding.
    pub of: u64,
    /// Those of them that count then, or expose.
    pub gained: u64,
    /// Whether they are evaluations.
    pub are_evaluations: bool,
    /// What the others come to that come to something else, the most frequent first.
    pub then: Vec<(ReasonCode, u64)>,
    /// Conversions that counted before and do not then.
    pub lost: u64,
}

/// A remedy that was tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The remedy.
    pub remedy: Remedy,
    /// What it came to.
    pub effect: Effect,
    /// All that is different then.
    pub difference: Difference,
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match (self.are_evaluations, self.gained) {
            (false, 0 | 1) => "counts",
            (false, _) => "count",
            (true, 0 | 1) => "exposes",
            (true, _) => "expose",
        };
        match self.gained {
            0 => write!(formatter, "none of {} {verb}", grouped(self.of))?,
            gained => write!(formatter, "{} of {} {verb}", grouped(gained), grouped(self.of))?,
        }
        for (code, events) in &self.then {
            write!(formatter, ", {} then {code}", grouped(*events))?;
        }
        if self.lost > 0 {
            let verb = if self.lost == 1 { "does" } else { "do" };
            write!(formatter, "; but {} that counted before {verb} not then", grouped(self.lost))?;
        }
        Ok(())
    }
}

impl Tried {
    /// The fix with what it came to, for a finding whose own fix is given.
    pub fn fix(&self, finding: &Finding) -> String {
        self.remedy.fix(finding, &self.effect)
    }
}

impl Remedy {
    /// What a person is told to do, where the change and what it came to stand beside it.
    pub(super) fn advice(&self, finding: &Finding, effect: &Effect) -> String {
        match &self.advice {
            Advice::Own => finding.fix.clone(),
            Advice::AddKey { .. } | Advice::OtherKey { .. } => self.fix(finding, effect),
        }
    }

    /// The fix of a finding, with what it came to.
    pub(super) fn fix(&self, finding: &Finding, effect: &Effect) -> String {
        let own = &finding.fix;
        match &self.advice {
            Advice::Own => {
                let edits: Vec<String> = self.change.set.iter().map(ToString::to_string).collect();
                format!("{own} Tried: {}: {effect}.", edits.join(", "))
            }
            Advice::AddKey { kind, path, percent, events } => {
                let added = format!(
                    "Segment, Track Event mapping, Additional Context Keys: {kind} = {path} (matches {percent} % of {}; tried: {effect}).",
                    in_events(*events)
                );
                // What came another way is not mended by it.
                if *events < finding.events { format!("{added} {own}") } else { added }
            }
            Advice::OtherKey { kind, flag, path, percent, events } => format!(
                "Evaluate {flag} with the {kind} key that Segment sends (userId, else anonymousId), or let a multi-context \
                 carry both ids. The cause: the exposed {kind} keys are what Segment has in {path} (matches {percent} % of {}; \
                 tried as the Context Key, to be sure: {effect}). Setting it in the mapping would take the user away from \
                 every other metric: last resort.",
                in_events(*events)
            ),
        }
    }
}

fn in_events(events: u64) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{} events", grouped(events)) }
}

/// The verdict of the events that a finding tells of.
fn row_code(code: ReasonCode) -> ReasonCode {
    match code {
        ReasonCode::EventKeyCase | ReasonCode::MetricKeyUsed => ReasonCode::NoMetricForKey,
        code if code.name() == "segment-id-mismatch" => ReasonCode::NoExposure,
        code => code,
    }
}

/// Whether a field of Segment's events could mend a finding.
fn asks_for_join(finding: &Finding) -> bool {
    may_join(row_code(finding.code))
}

/// What could mend a finding by a change of the catalog.
fn in_catalog(finding: &Finding, report: &Report, catalog: &Catalog) -> Option<Change> {
    let metric = finding.metric.as_deref().and_then(|key| catalog.metrics.iter().find(|metric| metric.key == key));
    let experiment = finding
        .experiment
        .as_deref()
        .and_then(|key| catalog.experiments.iter().find(|experiment| experiment.key == key));
    let one = |edit: CatalogEdit| Some(Change { set: vec![edit], ..Change::default() });
    match finding.code {
        ReasonCode::MetricUnitMismatch => {
            let (metric, unit) = (metric?, &experiment?.iterations.last()?.randomization_unit);
            let units: Vec<&String> = metric.units.iter().chain([unit]).collect();
            one(CatalogEdit::of("metric", &metric.key, "units", serde_json::json!(units)))
        }
        ReasonCode::EventKeyCase | ReasonCode::MetricKeyUsed => {
            let is_it = |key: &&crate::report::UnmatchedKey| {
                key.nearest.as_ref().is_some_and(|near| Some(&near.metric) == finding.metric.as_ref())
                    && key.events == finding.events
                    && finding.summary.contains(&format!("“{}”", key.key))
            };
            let sent = report.unmatched_event_keys.iter().find(is_it)?;
            one(CatalogEdit::of("metric", &metric?.key, "event_key", sent.key.as_str().into()))
        }
        // Which experiment it belongs to nobody has said, unless there is only one.
        ReasonCode::MetricNotInExperiment => {
            let [experiment] = catalog.experiments.as_slice() else { return None };
            let key = |index: &usize| catalog.metrics.get(*index).map(|metric| metric.key.as_str());
            let mut keys: Vec<&str> = experiment.iterations.last()?.metrics.iter().filter_map(key).collect();
            keys.push(&metric?.key);
            one(CatalogEdit::of("experiment", &experiment.key, "metrics", serde_json::json!(keys)))
        }
        ReasonCode::IterationNotStarted => {
            let [_] = experiment?.iterations.as_slice() else { return None };
            let of_same = report
                .findings
                .iter()
                .filter(|other| other.code == finding.code && other.experiment == finding.experiment);
            let first = of_same.filter_map(|other| other.first).min()?;
            let started = jiff::Timestamp::from_millisecond(first).ok()?.to_string();
            one(CatalogEdit::of("experiment", &experiment?.key, "started_at", started.into()))
        }
        ReasonCode::AfterIterationEnd => {
            let [only] = experiment?.iterations.as_slice() else { return None };
            only.ended_at_ms?;
            one(CatalogEdit::of("experiment", &experiment?.key, "ended_at", serde_json::Value::Null))
        }
        _ => None,
    }
}

/// What could mend a finding by a line of Segment's mapping, the best first.
fn in_mapping(finding: &Finding, catalog: &Catalog, joins: &Joins) -> Vec<Remedy> {
    let experiment = catalog.experiments.iter().position(|it| Some(&it.key) == finding.experiment.as_ref());
    let metric = catalog.metrics.iter().position(|it| Some(&it.key) == finding.metric.as_ref());
    let Some((experiment, metric)) = experiment.zip(metric) else { return Vec::new() };
    let lost = Lost { code: row_code(finding.code), experiment, metric: metric as u32 };
    let Some((join, experiment)) = joins.get(&lost).zip(catalog.experiments.get(experiment)) else { return Vec::new() };
    let Some(kind) = experiment.iterations.last().map(|iteration| iteration.randomization_unit.clone()) else {
        return Vec::new();
    };
    let is_base = catalog.destination.base_kinds().contains(&kind);
    let remedy = |candidate: &join::Candidate| {
        let (path, percent, events) = (candidate.path.clone(), join.percent(candidate), join.events);
        let kind = kind.clone();
        let (edit, advice) = if is_base {
            let flag = experiment.flag.clone();
            (MappingEdit::at_path(&["user_key"], &path), Advice::OtherKey { kind, flag, path, percent, events })
        } else {
            let line = ["additional_context_keys", kind.as_str()];
            (MappingEdit::at_path(&line, &path), Advice::AddKey { kind, path, percent, events })
        };
        Remedy { change: Change { map_try: vec![edit], ..Change::default() }, advice }
    };
    join.candidates.iter().take(FIELDS_TRIED).map(remedy).collect()
}

/// Whether anything could be tried for a finding, as far as can be told before the events are looked through.
pub fn may_be_tried(finding: &Finding, report: &Report, catalog: &Catalog) -> bool {
    in_catalog(finding, report, catalog).is_some() || (asks_for_join(finding) && is_of_segment(finding))
}

/// Whether some of a finding's events may have come through Segment: their senders say so.
fn is_of_segment(finding: &Finding) -> bool {
    // A file without requests names no sender.
    finding.sources.iter().any(|source| source.starts_with("Segment"))
        || !finding.sources.iter().any(|it| it.contains('/'))
}

/// What could mend a finding; of the fields that could, the best first. Which fields join is asked only where it
/// matters.
pub(super) fn remedies<E>(
    finding: &Finding,
    report: &Report,
    catalog: &Catalog,
    joins: impl FnOnce() -> Result<Rc<Joins>, E>,
) -> Result<Vec<Remedy>, E> {
    let own = in_catalog(finding, report, catalog).into_iter();
    let mut remedies: Vec<Remedy> = own.map(|change| Remedy { change, advice: Advice::Own }).collect();
    if asks_for_join(finding) {
        let joins = joins()?;
        remedies.extend(in_mapping(finding, catalog, &joins));
    }
    Ok(remedies)
}

/// Which fields join, by what is lost.
pub(super) type Joins = HashMap<Lost, Join>;

/// What remedies are tried with.
pub struct Bench<'a, E: Events + ?Sized> {
    pub(super) events: &'a E,
    pub(super) base: Judgement,
    /// Which fields join; looked for when it is first asked.
    joins: Option<Rc<Joins>>,
    /// What was tried already: the remedy of one finding may be that of another.
    tried: HashMap<Vec<String>, Difference>,
    trials: usize,
}

impl<'a, E: Events + ?Sized> Bench<'a, E> {
    /// For events as they are judged now.
    pub fn new(events: &'a E, base: Judgement) -> Self {
        Self { events, base, joins: None, tried: HashMap::new(), trials: 0 }
    }

    /// What is judged by now.
    pub fn base(&self) -> &Judgement {
        &self.base
    }

    /// Gives back what is judged by now.
    pub fn into_base(self) -> Judgement {
        self.base
    }

    /// Tries what could mend a finding; the best of it, if anything could be tried.
    ///
    /// # Errors
    /// What the events say.
    pub fn try_fix(&mut self, finding: &Finding, report: &Report) -> Result<Option<Tried>, E::Error> {
        let (events, base, joins) = (self.events, &self.base, &mut self.joins);
        let remedies = remedies(finding, report, &base.catalog, || joins_of(events, base, joins))?;
        let mut best: Option<Tried> = None;
        for remedy in remedies {
            let Some(difference) = self.difference(&remedy.change)? else { continue };
            let effect = effect(&difference, finding);
            // Of two that save as much the first joins more: it was asked first.
            let is_better = best.as_ref().is_none_or(|best| {
                (effect.gained.saturating_sub(effect.lost)) > (best.effect.gained.saturating_sub(best.effect.lost))
            });
            if is_better {
                best = Some(Tried { remedy, effect, difference });
            }
        }
        Ok(best)
    }

    /// Which fields join as things are now.
    pub(super) fn joins(&mut self) -> Result<Rc<Joins>, E::Error> {
        joins_of(self.events, &self.base, &mut self.joins)
    }

    fn difference(&mut self, change: &Change) -> Result<Option<Difference>, E::Error> {
        let words = change.words();
        if let Some(difference) = self.tried.get(&words) {
            return Ok(Some(difference.clone()));
        }
        // A change that cannot be made, as where a field is one directive as a whole, is not proposed.
        let Ok(catalog) = change.apply(&self.base.catalog) else { return Ok(None) };
        if self.trials >= TRIALS {
            return Ok(None);
        }
        self.trials += 1;
        let after = Judgement::of(self.events, catalog, change.clock.unwrap_or(self.base.clock))?;
        let difference = Difference::between(&self.base, &after, words.clone());
        self.tried.insert(words, difference.clone());
        Ok(Some(difference))
    }
}

fn joins_of<E: Events + ?Sized>(
    events: &E,
    base: &Judgement,
    known: &mut Option<Rc<Joins>>,
) -> Result<Rc<Joins>, E::Error> {
    let joins = match known.take() {
        Some(joins) => joins,
        None => Rc::new(join::find(events, base)?),
    };
    *known = Some(Rc::clone(&joins));
    Ok(joins)
}

/// Puts what every fix came to beside it, where it can be tried.
///
/// # Errors
/// What the events say; the report is then as it was.
pub fn amend<E: Events + ?Sized>(bench: &mut Bench<'_, E>, report: &mut Report) -> Result<(), E::Error> {
    let mut fixes: Vec<(usize, String)> = Vec::new();
    for (index, finding) in report.findings.iter().enumerate() {
        if may_be_tried(finding, report, &bench.base().catalog)
            && let Some(tried) = bench.try_fix(finding, report)?
        {
            fixes.push((index, tried.fix(finding)));
        }
    }
    for (index, fix) in fixes {
        if let Some(finding) = report.findings.get_mut(index) {
            finding.fix = fix;
        }
    }
    Ok(())
}

/// What a change comes to for the events of a finding.
pub fn effect(difference: &Difference, finding: &Finding) -> Effect {
    let code = row_code(finding.code);
    let are_evaluations = finding.metric.is_none();
    let mut best: Vec<&Transition> = Vec::new();
    let mut of_experiment: Vec<&Transition> = Vec::new();
    let gained = |transitions: &[&Transition]| -> u64 {
        transitions.iter().filter(|it| saves(it, are_evaluations)).map(|it| it.events).sum()
    };
    let mut lost = 0;
    for experiment in &difference.experiments {
        let metrics = || experiment.metrics.iter();
        lost +=
            metrics().flat_map(|metric| &metric.verdicts).filter(|it| it.is_loss()).map(|it| it.events).sum::<u64>();
        if finding.experiment.as_ref().is_some_and(|key| *key != experiment.key) {
            continue;
        }
        let transitions: Vec<&Transition> = if are_evaluations {
            experiment.exposures.iter().collect()
        } else {
            metrics().filter(|it| Some(&it.metric) == finding.metric.as_ref()).flat_map(|it| &it.verdicts).collect()
        };
        let transitions = transitions.into_iter().filter(|it| it.before == Some(code));
        if finding.experiment.is_some() {
            // Its iterations are told of as one.
            of_experiment.extend(transitions);
        } else {
            let transitions: Vec<&Transition> = transitions.collect();
            if best.is_empty() || gained(&transitions) > gained(&best) {
                best = transitions;
            }
        }
    }
    let transitions = if finding.experiment.is_some() { of_experiment } else { best };
    let mut then: BTreeMap<ReasonCode, u64> = BTreeMap::new();
    for transition in transitions.iter().filter(|it| !saves(it, are_evaluations)) {
        if let Some(after) = transition.after {
            *then.entry(after).or_default() += transition.events.saturating_sub(transition.elsewhere);
        }
    }
    let mut then: Vec<(ReasonCode, u64)> = then.into_iter().filter(|(_, events)| *events > 0).collect();
    then.sort_by_key(|(_, events)| std::cmp::Reverse(*events));
    Effect { of: finding.events, gained: gained(&transitions), are_evaluations, then, lost }
}

fn saves(transition: &Transition, are_evaluations: bool) -> bool {
    if are_evaluations {
        transition.after.is_some_and(|code| code.category() == Category::Exposure)
    } else {
        is_counted(transition.after)
    }
}
