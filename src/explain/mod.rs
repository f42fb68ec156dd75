//! Why an event has the verdicts it has, and the story of one context key: what the Why view and `exptap explain` say.

pub mod collect;
pub mod ladder;
pub mod mapping;
pub mod segment;
pub mod story;
pub mod text;

use crate::attribution::judge::EnvironmentMatch;
use crate::attribution::state::{Accepted, State};
use crate::catalog::{Catalog, Experiment, Metric, Origin};
use crate::event::{Event, Kind};
use crate::near_miss;
use crate::reason::{ReasonCode, fill};
use crate::verdicts;
use crate::view::{Ladder, Outcome, Rung};
use ladder::ConversionRungs;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// What a verdict is about: an iteration and a metric, where there are such.
pub type VerdictKey = (Option<u32>, Option<u32>);

/// The verdicts of one event.
pub type Verdicts = BTreeMap<VerdictKey, ReasonCode>;

/// An event to explain, and what judging it needed beside it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a, 'text> {
    /// The event.
    pub event: &'a Event<'text>,
    /// Its number.
    pub number: u64,
    /// Its instant on the judging clock.
    pub t_ms: i64,
    /// Whose environment it is of.
    pub environment: EnvironmentMatch,
}

/// Makes ladders: the one place that does, with a screen and without.
pub struct Explainer<'a> {
    state: &'a State,
    catalog: &'a Catalog,
    /// Finding a look-alike goes through all units, and the conversions of one unit all ask for the same.
    look_alikes: RefCell<HashMap<(u32, String), Option<String>>>,
}

impl<'a> Explainer<'a> {
    /// Explains by what is known now.
    pub fn new(state: &'a State, catalog: &'a Catalog) -> Self {
        Self { state, catalog, look_alikes: RefCell::default() }
    }

    /// Every rule of one claim of an event, in the order it was judged, with what it is about.
    pub fn ladder(&self, subject: &Subject<'_, '_>, claim: &Accepted) -> (VerdictKey, Ladder) {
        let event = subject.event;
        let outcome = verdicts::outcome(self.state, subject.number, claim);
        let judge = self.state.judge();
        let judged = outcome.iteration.and_then(|index| judge.iterations().get(index as usize));
        let experiment = judged.and_then(|judged| self.catalog.experiments.get(judged.experiment));
        let metric = outcome.metric.and_then(|index| self.catalog.metrics.get(index as usize));
        let environment = match judge.environment_of(event) {
            EnvironmentMatch::Other => EnvironmentMatch::Other,
            EnvironmentMatch::Same => subject.environment,
        };
        let is_settled = outcome.code == ReasonCode::OtherContextKind || (event.row().is_some() && metric.is_none());
        let rungs = match (judged, metric) {
            // LaunchDarkly's own word, or what a row cannot say, takes the place of the rules.
            (Some(judged), _) if is_settled => vec![ladder::row(event, judged, outcome.code)],
            (Some(judged), Some(metric)) => {
                let (conversion, failures) = match claim {
                    Accepted::Conversion { entry, .. } => {
                        let conversion = self.state.conversion(*entry);
                        (conversion, conversion.map(|conversion| conversion.failures).unwrap_or_default())
                    }
                    Accepted::Decided { failures, .. } => (None, *failures),
                    _ => Default::default(),
                };
                ConversionRungs {
                    state: self.state,
                    catalog: self.catalog,
                    event,
                    judged,
                    metric,
                    failures,
                    entry: conversion,
                    t_ms: subject.t_ms,
                    is_by_id: outcome.warnings.contains(&ReasonCode::UrlRematchFailed),
                }
                .rungs()
            }
            (Some(judged), None) => ladder::evaluation(event, judged, environment, subject.t_ms),
            (None, _) => vec![Rung {
                outcome: if outcome.code == ReasonCode::NotAnExperimentEvent {
                    Outcome::Passed
                } else {
                    Outcome::Failed
                },
                rule: outcome.code.reason().rule,
                grade: outcome.code.reason().grade,
                code: Some(outcome.code),
                text: self.apart_text(event, outcome.code, metric.map(|metric| metric.key.as_str())),
            }],
        };
        let unit = judged.map(|judged| judged.iteration.randomization_unit.as_str());
        let ladder = Ladder {
            experiment: experiment.map(|experiment| experiment.key.clone()),
            iteration: judged.map(|judged| judged.iteration.id.clone()),
            metric: metric.map(|metric| metric.key.clone()),
            code: outcome.code,
            arm: outcome.variation.zip(judged).map(|(variation, judged)| judged.iteration.arm_name(variation)),
            revised: false,
            other_clock: None,
            rungs,
            fix: self.fix(event, outcome.code, unit, experiment, metric),
            near_miss: self.near_miss(event, outcome.code, outcome.iteration),
        };
        ((outcome.iteration, outcome.metric), ladder)
    }

    /// The arm a unit was first exposed to in an iteration.
    pub(crate) fn exposed_to(&self, iteration: u32, unit: &str, key: &str) -> Option<String> {
        let id = self.state.units().find(unit, key)?;
        let first = self.state.state(self.state.find_state(id, iteration)?)?.points.first()?;
        Some(self.state.judge().iterations().get(iteration as usize)?.iteration.arm_name(first.variation))
    }

    fn exposed_look_alike(&self, iteration: u32, unit: &str, key: &str) -> Option<String> {
        let asked = (iteration, key.to_owned());
        if let Some(known) = self.look_alikes.borrow().get(&asked) {
            return known.clone();
        }
        let exposed = self.state.states().filter(|state| state.iteration == iteration && !state.points.is_empty());
        let found = exposed.into_iter().find_map(|state| {
            let (_, other) = self.state.units().name(state.unit)?;
            let how = near_miss::units_differ_by(key, other)?;
            Some(format!("{unit}/{other} was exposed; the keys differ by {how}"))
        });
        self.look_alikes.borrow_mut().insert(asked, found.clone());
        found
    }

    fn apart_text(&self, event: &Event<'_>, code: ReasonCode, metric: Option<&str>) -> String {
        let key = event.key.as_deref().unwrap_or_default();
        match code {
            ReasonCode::NotAnExperimentEvent if event.kind == Kind::Feature => {
                format!("no experiment of the catalog is on the flag “{key}”")
            }
            ReasonCode::NotAnExperimentEvent => {
                let kind = event.kind.name().unwrap_or(&event.kind_name);
                let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                format!("{article} {kind} event is neither an exposure nor a conversion")
            }
            code => {
                let quoted = format!("“{key}”");
                fill(code.reason().text, &[("event", &quoted), ("metric", metric.unwrap_or("of this event"))])
            }
        }
    }

    fn fix(
        &self,
        event: &Event<'_>,
        code: ReasonCode,
        unit: Option<&str>,
        experiment: Option<&Experiment>,
        metric: Option<&Metric>,
    ) -> String {
        if code == ReasonCode::MetricNotInExperiment && self.catalog.origin == Origin::Inferred {
            return crate::findings::NAME_THE_EXPERIMENTS.to_owned();
        }
        let key = event.key.as_deref().unwrap_or_default();
        if code == ReasonCode::NoMetricForKey
            && let Some(near) = near_miss::near_miss(key, &self.catalog.metrics)
        {
            // The finding's advice: who meant another key needs no new metric.
            let meant = if near.how == "metric-key" { ReasonCode::MetricKeyUsed } else { ReasonCode::EventKeyCase };
            let quoted = format!("“{}”", near.event_key);
            return fill(meant.reason().fix, &[("near", &quoted), ("metric", &near.metric), ("event", key)]);
        }
        let environment = self.catalog.environment.key.as_deref().unwrap_or("of the experiment");
        fill(
            code.reason().fix,
            &[
                ("unit", unit.unwrap_or("the unit")),
                ("key", unit.and_then(|unit| event.context_keys.key(unit)).unwrap_or("this key")),
                ("flag", experiment.map_or("the flag", |experiment| &experiment.flag)),
                ("experiment", experiment.map_or("the experiment", |experiment| &experiment.key)),
                ("metric", metric.map_or("the metric", |metric| &metric.key)),
                ("event", key),
                ("environment", environment),
            ],
        )
    }

    /// Something that would have matched: another event key, or a look-alike of the unit that was exposed.
    fn near_miss(&self, event: &Event<'_>, code: ReasonCode, iteration: Option<u32>) -> Option<String> {
        if code == ReasonCode::NoMetricForKey {
            let near = near_miss::near_miss(event.key.as_deref()?, &self.catalog.metrics)?;
            return Some(match near.how {
                "metric-key" => {
                    format!("that is the key of the metric {}; its event key is “{}”", near.metric, near.event_key)
                }
                how => format!("the metric {} listens to “{}” (differs by {how})", near.metric, near.event_key),
            });
        }
        let index = iteration?;
        let judged = self.state.judge().iterations().get(index as usize)?;
        let unit = &judged.iteration.randomization_unit;
        match code {
            // The same key, or one the event has under another kind, as an exposed unit of the right kind.
            ReasonCode::EventLacksUnit => event.context_keys.iter().find_map(|(kind, key)| {
                let arm = self.exposed_to(index, unit, key)?;
                Some(format!("{unit}/{key} was exposed to {arm}: the event carries that key as {kind}"))
            }),
            ReasonCode::NoExposure | ReasonCode::UnknownNotObserved => {
                let key = event.context_keys.key(unit)?;
                // The id the SDK knows the visitor by is often in the event, under another kind.
                let carried = event.context_keys.iter().filter(|(_, other)| *other != key).find_map(|(kind, other)| {
                    let arm = self.exposed_to(index, unit, other)?;
                    Some(format!("{unit}/{other} was exposed to {arm}: the event carries that key as {kind}"))
                });
                carried.or_else(|| self.exposed_look_alike(index, unit, key))
            }
            _ => None,
        }
    }
}
