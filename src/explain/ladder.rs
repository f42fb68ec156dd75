//! The Why ladder: every rule in the order it was judged, with what was compared.

use crate::attribution::judge::{EnvironmentMatch, JudgedIteration, is_suspect_timestamp, time_failure};
use crate::attribution::points::Credit;
use crate::attribution::state::{Conversion, State, UnitState};
use crate::catalog::{Catalog, Iteration, Measure, Metric, MetricKind, Rule};
use crate::event::{Event, Kind, MetricValue};
use crate::reason::{Category, ReasonCode};
use crate::view::{Outcome, Rung};
use jiff::Timestamp;

/// An instant, for people: UTC, to the millisecond.
pub(crate) fn instant(t_ms: i64) -> String {
    Timestamp::from_millisecond(t_ms)
        .map_or_else(|_| format!("{t_ms} ms"), |t| t.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
}

/// An instant to the second, UTC, without saying so.
pub(crate) fn seconds(t_ms: i64) -> String {
    Timestamp::from_millisecond(t_ms)
        .map_or_else(|_| format!("{t_ms} ms"), |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A span, for people, in its largest sensible units.
pub(crate) fn span(ms: i64) -> String {
    let ms = ms.unsigned_abs();
    let (days, hours, minutes, seconds) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if ms < 1000 => format!("{ms} ms"),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Builds the rungs: the first rule that fails decides, what fails after it would be next.
#[derive(Default)]
pub(super) struct Rungs {
    pub(super) rungs: Vec<Rung>,
    decided: bool,
}

impl Rungs {
    fn add(&mut self, code: ReasonCode, rule: &'static str, holds: Option<bool>, text: String) {
        let outcome = match (holds, self.decided) {
            (None, _) => Outcome::NotJudged,
            (Some(true), _) => Outcome::Passed,
            (Some(false), false) => Outcome::Failed,
            (Some(false), true) => Outcome::WouldFail,
        };
        self.decided |= outcome == Outcome::Failed;
        self.rungs.push(Rung {
            outcome,
            rule,
            grade: code.reason().grade,
            code: (holds == Some(false)).then_some(code),
            text,
        });
    }
}

fn kinds(event: &Event<'_>) -> String {
    let keys: Vec<String> = event.context_keys.iter().map(|(kind, key)| format!("{kind} “{key}”")).collect();
    if keys.is_empty() { "no context key".to_owned() } else { keys.join(", ") }
}

fn time_text(iteration: &Iteration, t_ms: i64) -> String {
    match (time_failure(iteration, t_ms), iteration.started_at_ms, iteration.ended_at_ms) {
        (Some(ReasonCode::IterationNotStarted), ..) => "the iteration has not been started".to_owned(),
        (Some(ReasonCode::BeforeIterationStart), Some(start), _) => {
            format!("it happened {} before the iteration started, {}", span(start.saturating_sub(t_ms)), instant(start))
        }
        (Some(_), _, Some(end)) => {
            format!("it happened {} after the iteration had stopped, {}", span(t_ms.saturating_sub(end)), instant(end))
        }
        (_, Some(start), _) if start > 0 => {
            format!("it happened inside the iteration, {} after its start", span(t_ms.saturating_sub(start)))
        }
        _ => "it happened inside the iteration".to_owned(),
    }
}

/// The rungs of an evaluation (E1–E10).
pub(super) fn evaluation(
    event: &Event<'_>,
    judged: &JudgedIteration,
    environment: EnvironmentMatch,
    t_ms: i64,
) -> Vec<Rung> {
    let iteration = &judged.iteration;
    let mut rungs = Rungs::default();
    let is_feature = event.kind == Kind::Feature;
    rungs.add(
        ReasonCode::DebugNotExposure,
        "E1",
        Some(is_feature),
        if is_feature {
            "it is a feature event".to_owned()
        } else {
            "it is a debug event, a copy for debugging".to_owned()
        },
    );
    add_environment(&mut rungs, "E2", environment);
    let unit = &iteration.randomization_unit;
    let key = event.context_keys.key(unit);
    rungs.add(
        ReasonCode::ExposureLacksUnit,
        "E3",
        Some(key.is_some()),
        match key {
            Some(key) => format!("the context carries the randomization unit: {unit} “{key}”"),
            None => format!("the experiment randomizes by {unit}; the context has {}", kinds(event)),
        },
    );
    let Some(reason) = &event.reason else {
        rungs.add(ReasonCode::NoReason, "E4", Some(false), "the evaluation carries no reason".to_owned());
        return rungs.rungs;
    };
    let kind = reason.kind.as_deref().unwrap_or("none");
    rungs.add(ReasonCode::NoReason, "E4", Some(true), format!("the evaluation carries its reason: {kind}"));
    let in_experiment = match kind {
        "OFF" => ReasonCode::FlagOff,
        "TARGET_MATCH" => ReasonCode::IndividuallyTargeted,
        "PREREQUISITE_FAILED" => ReasonCode::PrerequisiteFailed,
        "ERROR" => ReasonCode::EvalError,
        _ => ReasonCode::NotInExperiment,
    };
    rungs.add(
        in_experiment,
        "E5",
        Some(reason.in_experiment),
        match (reason.in_experiment, &reason.error_kind) {
            (true, _) => "the reason says inExperiment".to_owned(),
            (false, Some(error)) => format!("the reason does not say inExperiment: {kind}, {error}"),
            (false, None) => format!("the reason does not say inExperiment: {kind}"),
        },
    );
    let (by_rule, rule_text) = match (&iteration.rule, reason.rule_id.as_deref()) {
        (None, _) => (None, "the catalog names no rule, so any will do".to_owned()),
        (Some(Rule::Fallthrough), _) => {
            (Some(kind == "FALLTHROUGH"), format!("the experiment runs on the default rule; this was {kind}"))
        }
        (Some(Rule::Id(id)), Some(rule)) => {
            (Some(rule == id), format!("the experiment runs on rule {id}; this was rule {rule}"))
        }
        (Some(Rule::Id(id)), None) => (Some(false), format!("the experiment runs on rule {id}; this was {kind}")),
    };
    rungs.add(ReasonCode::OtherRule, "E6", by_rule, rule_text);
    let (is_arm, arm_text) = match (&iteration.arms, event.variation) {
        (_, None) => (Some(false), "no variation was served".to_owned()),
        (None, Some(variation)) => {
            (Some(true), format!("variation {variation} was served; the catalog names no arms, so any is one"))
        }
        (Some(arms), Some(variation)) => {
            let is_arm = arms.iter().any(|arm| arm.variation == variation);
            let text = if is_arm {
                format!("variation {variation} is the arm {}", iteration.arm_name(variation))
            } else {
                format!("variation {variation} is none of the arms")
            };
            (Some(is_arm), text)
        }
    };
    rungs.add(ReasonCode::VariationNotATreatment, "E7", is_arm, arm_text);
    add_served_bucket(&mut rungs, event, judged, reason.in_experiment);
    add_time(&mut rungs, "E8-E10", event, iteration, t_ms);
    rungs.rungs
}

/// B1 of an evaluation: what the rollout gives the unit, beside what was served. It decides nothing: what an SDK did is
/// what happened.
fn add_served_bucket(rungs: &mut Rungs, event: &Event<'_>, judged: &JudgedIteration, in_experiment: bool) {
    let iteration = &judged.iteration;
    let Some(key) = event.context_keys.key(&iteration.randomization_unit) else { return };
    let Some((rollout, bucket)) = judged.bucket(key) else { return };
    let name = |variation: i64| iteration.arm_name(variation);
    let mut text = rollout.proof(&bucket, name);
    let share = bucket.share().and_then(|index| rollout.share(index));
    let holds = match (share, event.variation) {
        (Some(share), Some(served)) if in_experiment => {
            let is_so = !share.untracked && share.variation == served;
            if !is_so {
                text.push_str(&format!("; but {} was served in the experiment (bucket-mismatch)", name(served)));
            }
            is_so
        }
        (Some(share), Some(served)) => share.untracked && share.variation == served,
        _ => false,
    };
    rungs.add(ReasonCode::BucketMismatch, "B1", holds.then_some(true), text);
}

/// What a row of a warehouse comes to, in one rung: it holds too little of the event for the rules one by one.
pub(super) fn row(event: &Event<'_>, judged: &JudgedIteration, code: ReasonCode) -> Rung {
    let reason = code.reason();
    let kinds = kinds(event);
    let mut text = crate::reason::fill(
        reason.text,
        &[("unit", judged.iteration.randomization_unit.as_str()), ("kinds", kinds.as_str())],
    );
    if let Some(id) = event.row().and_then(|row| row.iteration_id.as_deref()) {
        text = format!("LaunchDarkly attributes the row to iteration {id}. {text}");
    }
    let outcome = match code.category() {
        Category::Exposure => Outcome::Passed,
        Category::Dropped => Outcome::Failed,
        _ => Outcome::NotJudged,
    };
    Rung { outcome, rule: reason.rule, grade: reason.grade, code: Some(code), text }
}

fn add_environment(rungs: &mut Rungs, rule: &'static str, environment: EnvironmentMatch) {
    rungs.add(
        ReasonCode::WrongEnvironment,
        rule,
        Some(environment == EnvironmentMatch::Same),
        match environment {
            EnvironmentMatch::Same => "nothing says it is of another environment".to_owned(),
            EnvironmentMatch::Other => "it came under another environment's credential".to_owned(),
        },
    );
}

fn add_time(rungs: &mut Rungs, rule: &'static str, event: &Event<'_>, iteration: &Iteration, t_ms: i64) {
    let failure = time_failure(iteration, t_ms);
    let mut text = time_text(iteration, t_ms);
    if event.creation_ms.is_some_and(is_suspect_timestamp) {
        text.push_str("; its creationDate does not look like milliseconds");
    }
    rungs.add(failure.unwrap_or(ReasonCode::BeforeIterationStart), rule, Some(failure.is_none()), text);
}

/// What a conversion's rungs need.
pub(super) struct ConversionRungs<'a, 'text> {
    pub(super) state: &'a State,
    pub(super) catalog: &'a Catalog,
    pub(super) event: &'a Event<'text>,
    pub(super) judged: &'a JudgedIteration,
    pub(super) metric: &'a Metric,
    pub(super) failures: crate::attribution::codes::CodeSet,
    pub(super) entry: Option<&'a Conversion>,
    pub(super) t_ms: i64,
    /// It is about the metric by the metric's internal id alone.
    pub(super) is_by_id: bool,
}

impl ConversionRungs<'_, '_> {
    /// The rungs of a conversion (M1–M2, A1–A12).
    pub(super) fn rungs(&self) -> Vec<Rung> {
        let (event, metric, iteration) = (self.event, self.metric, &self.judged.iteration);
        let mut rungs = Rungs::default();
        let matched = match metric.kind {
            MetricKind::Custom => {
                format!("event key “{}” is the metric's event key", event.key.as_deref().unwrap_or_default())
            }
            _ if self.is_by_id => {
                "the key is the metric's internal id, although what the metric describes does not match".to_owned()
            }
            MetricKind::Click => "page and selector are the metric's".to_owned(),
            MetricKind::PageView => "the page is the metric's".to_owned(),
        };
        rungs.add(
            ReasonCode::NoMetricForKey,
            if metric.kind == MetricKind::Custom { "M1" } else { "M2" },
            Some(true),
            matched,
        );
        let failed = |code: ReasonCode| self.failures.contains(code);
        add_environment(
            &mut rungs,
            "A1",
            if failed(ReasonCode::WrongEnvironment) { EnvironmentMatch::Other } else { EnvironmentMatch::Same },
        );
        let unit = &iteration.randomization_unit;
        rungs.add(
            ReasonCode::MetricUnitMismatch,
            "A2",
            Some(!failed(ReasonCode::MetricUnitMismatch)),
            format!("the metric analyses {}; the experiment randomizes by {unit}", metric.units.join(", ")),
        );
        let key = event.context_keys.key(unit);
        rungs.add(
            ReasonCode::EventLacksUnit,
            "A3",
            Some(key.is_some()),
            match key {
                Some(key) => format!("the event carries the unit: {unit} “{key}”"),
                None => format!("the event carries no {unit} key; it has {}", kinds(event)),
            },
        );
        if metric.measure == Measure::Value {
            let (code, holds, text) = match &event.metric_value {
                MetricValue::Number(value) => {
                    (ReasonCode::NumericValueMissing, true, format!("metricValue is {value}"))
                }
                MetricValue::Missing => (
                    ReasonCode::NumericValueMissing,
                    false,
                    "the metric is numeric and there is no metricValue".to_owned(),
                ),
                MetricValue::Invalid(text) => {
                    (ReasonCode::NumericValueInvalid, false, format!("metricValue “{text}” is not a finite number"))
                }
            };
            rungs.add(code, "A4-A5", Some(holds), text);
        }
        if metric.filter.is_some() {
            let codes = [ReasonCode::FilterMismatch, ReasonCode::FilterAttrRedacted, ReasonCode::FilterUnsupported];
            match codes.into_iter().find(|code| failed(*code)) {
                Some(code) => rungs.add(
                    code,
                    "A6",
                    Some(false),
                    crate::reason::fill(code.reason().text, &[("metric", &metric.key)]),
                ),
                None => rungs.add(
                    ReasonCode::FilterMismatch,
                    "A6",
                    Some(true),
                    "the event passes the metric's filter".to_owned(),
                ),
            }
        }
        add_time(&mut rungs, "A7", event, iteration, self.t_ms);
        match self.entry.and_then(|entry| Some((entry, self.state.state(entry.state)?))) {
            Some((entry, unit)) => self.attribution(&mut rungs, entry, unit),
            None => rungs.add(
                ReasonCode::NoExposure,
                "A8-A11",
                None,
                format!("without a {unit} key nothing can be said of exposures"),
            ),
        }
        rungs.rungs
    }

    /// B1 of a unit without an exposure: whether it could have been exposed, and to what.
    fn add_bucket(&self, rungs: &mut Rungs, unit: &UnitState, key: &str, flag: &str) {
        let Some((rollout, bucket)) = self.judged.bucket(key) else { return };
        let mut text = rollout.proof(&bucket, |variation| self.judged.iteration.arm_name(variation));
        let share = self.state.share_of(unit);
        match share {
            Some(share) if !share.untracked => {
                text.push_str(&format!(": evaluating {flag} by the experiment's rule exposes it to that"));
            }
            Some(_) if self.state.is_rollout_refuted(unit.iteration) => {
                text.push_str("; but others that it leaves out were exposed, so it proves nothing");
            }
            Some(_) | None => {}
        }
        let is_proof = share.is_some() && !self.state.is_rollout_refuted(unit.iteration);
        rungs.add(ReasonCode::BucketMismatch, "B1", is_proof.then_some(true), text);
    }

    fn attribution(&self, rungs: &mut Rungs, entry: &Conversion, unit: &UnitState) {
        let iteration = &self.judged.iteration;
        let (kind, key) = self.state.units().name(unit.unit).unwrap_or_default();
        let flag =
            self.catalog.experiments.get(self.judged.experiment).map_or("", |experiment| experiment.flag.as_str());
        let partial = self.state.is_partial(unit.iteration);
        let unknown = |code| if partial { ReasonCode::UnknownNotObserved } else { code };
        let pending = entry.code == ReasonCode::Pending;
        let seen = if partial { " (seen since observation began)" } else { "" };
        let credit = unit.points.credit(entry.t_ms);
        let exposed = |holds: bool| if pending && !holds { None } else { Some(holds) };
        let could_not_be = self.state.could_not_be(unit);
        match credit {
            Credit::NoExposure if could_not_be => {
                let text =
                    format!("{kind} “{key}” has no exposure to {flag} in this iteration, and cannot have had one");
                rungs.add(ReasonCode::UnitNotAllocated, "A8", Some(false), text);
                self.add_bucket(rungs, unit, key, flag);
                return;
            }
            Credit::NoExposure => {
                let wait = if pending { "; one may still be on its way" } else { "" };
                rungs.add(
                    unknown(ReasonCode::NoExposure),
                    "A8",
                    exposed(false),
                    format!("{kind} “{key}” has no exposure to {flag} in this iteration{seen}{wait}"),
                );
                self.add_bucket(rungs, unit, key, flag);
                return;
            }
            _ => rungs.add(
                ReasonCode::NoExposure,
                "A8",
                Some(true),
                format!("{kind} “{key}” was exposed to {flag} in this iteration"),
            ),
        }
        let point = match credit {
            Credit::BeforeExposure(first) => {
                rungs.add(
                    unknown(ReasonCode::ConversionBeforeExposure),
                    "A9",
                    exposed(false),
                    format!(
                        "its first exposure{seen} came {} later, {}",
                        span(first.t_ms.saturating_sub(entry.t_ms)),
                        instant(first.t_ms)
                    ),
                );
                return;
            }
            Credit::Expired(last) => {
                rungs.add(ReasonCode::ConversionBeforeExposure, "A9", Some(true), "an exposure came before".to_owned());
                rungs.add(
                    ReasonCode::AttributionWindowExpired,
                    "A10",
                    Some(false),
                    format!(
                        "the last exposure before it was {} earlier; 90 days count",
                        span(entry.t_ms.saturating_sub(last.t_ms))
                    ),
                );
                return;
            }
            Credit::To(point) => point,
            Credit::NoExposure => return,
        };
        rungs.add(
            ReasonCode::ConversionBeforeExposure,
            "A9",
            Some(true),
            "an exposure came before it, or in the same millisecond".to_owned(),
        );
        rungs.add(
            ReasonCode::AttributionWindowExpired,
            "A10",
            Some(true),
            format!("it is {} after that exposure; 90 days count", span(entry.t_ms.saturating_sub(point.t_ms))),
        );
        let conditional = if entry.failures.is_empty() { "credited" } else { "would be credited" };
        rungs.add(
            ReasonCode::Counted,
            "A11",
            Some(true),
            format!("{conditional} to {}, the first arm of the last 90 days", iteration.arm_name(point.variation)),
        );
        if self.metric.measure == Measure::Occurrence && entry.failures.is_empty() {
            let again = entry.code == ReasonCode::CountedNoEffect;
            let text = if again {
                "the unit had converted in this arm already; an occurrence metric counts it once"
            } else {
                "it is the unit's first conversion of this metric in this arm"
            };
            rungs.add(ReasonCode::CountedNoEffect, "A12", Some(true), text.to_owned());
        }
    }
}
