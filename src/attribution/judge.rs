//! What one event says by itself: rules E1–E10, M1–M3 and A1–A7.
//!
//! Judging an event looks at the event and the catalog only. What also depends on other events (A8–A12, and
//! whether an exposure is the unit's first) is left to [`super::state`].

use super::exported::{arm_of_row, is_other_context, settled_exposure};
use super::filter::{CompiledFilter, EventView, Outcome};
use super::url::CompiledMatcher;
use crate::bucketing::{Bucket, Rollout};
use crate::catalog::{Catalog, Environment, Iteration, Measure, Metric, MetricKind, Rule};
use crate::event::{Event, Kind, MetricValue};
use crate::reason::ReasonCode;
use crate::segment::Destination;
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Reason codes that go together: failures in the order of the rules, or warnings.
pub type Codes = SmallVec<[ReasonCode; 2]>;

/// `creationDate` below this is likely in seconds (R6).
const SUSPECT_BELOW_MS: i64 = 100_000_000_000;
/// `creationDate` above this is likely in micro- or nanoseconds (R6).
const SUSPECT_ABOVE_MS: i64 = 100_000_000_000_000;
/// Clocks further apart than this are remarked on (O3).
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// Whether a request is of the catalog's environment (R5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvironmentMatch {
    /// It is, or nothing says otherwise.
    #[default]
    Same,
    /// It came under another environment's credential or client-side id.
    Other,
}

/// What judging needs beside the event itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The event's instant on the judging clock.
    pub t_ms: i64,
    /// Arrival, where the source has one.
    pub arrival_ms: Option<i64>,
    /// Whose environment it is.
    pub environment: EnvironmentMatch,
}

/// What an event says about one iteration, or one iteration and metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim<'e> {
    /// It exposes a unit (E1–E10 pass).
    Exposes {
        /// Index of the iteration.
        iteration: u32,
        /// Key of the randomization unit.
        key: &'e str,
        /// Variation served.
        variation: i64,
        /// Remarks.
        warnings: Codes,
    },
    /// It is an evaluation of the iteration's flag that exposes nobody.
    ExposesNot {
        /// Index of the iteration.
        iteration: u32,
        /// Why.
        code: ReasonCode,
        /// Remarks.
        warnings: Codes,
        /// Another iteration of the same experiment was running then.
        elsewhere: bool,
    },
    /// It is a row of another context than the one the iteration asks about; the event's own row, if it has one, is
    /// judged.
    OtherContext {
        /// Index of the iteration.
        iteration: u32,
        /// Index of the (iteration, metric) pair, for a conversion.
        slot: Option<u32>,
    },
    /// It matches a metric of the iteration.
    Converts {
        /// Index of the (iteration, metric) pair.
        slot: u32,
        /// The rules among A1–A7 that fail, in order; none: only A8–A12 remain.
        failures: Codes,
        /// Key of the randomization unit, if the event has one.
        key: Option<&'e str>,
        /// What it adds to the unit's value.
        value: f64,
        /// Remarks.
        warnings: Codes,
        /// Another iteration of the same experiment was running then.
        elsewhere: bool,
    },
}

/// What an event comes to as far as it alone can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement<'e> {
    /// One or more iterations are about it.
    Claims(SmallVec<[Claim<'e>; 2]>),
    /// None is, for this reason; the metric it matches all the same.
    Apart(ReasonCode, Option<u32>),
}

/// An iteration in the flat order everything refers to by index: experiments in catalog order, their iterations in
/// theirs.
#[derive(Clone, Debug)]
pub struct JudgedIteration {
    /// Index of the experiment.
    pub experiment: usize,
    /// Key of the experiment's flag.
    pub flag: String,
    /// The iteration itself.
    pub iteration: Iteration,
    /// Index of its first (iteration, metric) pair; the others follow.
    pub first_slot: u32,
}

impl JudgedIteration {
    /// The bucket of a unit's key, where it is known how units are dealt out (B1).
    pub fn bucket(&self, key: &str) -> Option<(&Rollout, Bucket)> {
        let rollout = self.iteration.rollout.as_ref()?;
        Some((rollout, rollout.bucket(&self.flag, key)))
    }
}

/// A metric of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Index of the iteration.
    pub iteration: u32,
    /// Index of the metric.
    pub metric: u32,
}

struct CompiledMetric {
    metric: Metric,
    urls: CompiledMatcher,
    filter: Option<CompiledFilter>,
    slots: Vec<u32>,
}

/// A catalog made ready to judge by.
pub struct Judge {
    pub(super) environment: Environment,
    destination: Arc<Destination>,
    pub(super) iterations: Vec<JudgedIteration>,
    slots: Vec<Slot>,
    metrics: Vec<CompiledMetric>,
    flags: HashMap<String, Vec<u32>, RandomState>,
    custom: HashMap<String, Vec<u32>, RandomState>,
    pages: Vec<u32>,
}

impl Judge {
    /// Makes a catalog ready.
    pub fn new(catalog: &Catalog) -> Self {
        let mut judge = Self {
            environment: catalog.environment.clone(),
            destination: Arc::clone(&catalog.destination),
            iterations: Vec::new(),
            slots: Vec::new(),
            metrics: Vec::new(),
            flags: HashMap::default(),
            custom: HashMap::default(),
            pages: Vec::new(),
        };
        for (index, metric) in catalog.metrics.iter().enumerate() {
            let index = index as u32;
            match (metric.kind, &metric.event_key) {
                (MetricKind::Custom, Some(key)) => judge.custom.entry(key.clone()).or_default().push(index),
                (MetricKind::Custom, None) => {}
                (MetricKind::Click | MetricKind::PageView, _) => judge.pages.push(index),
            }
            judge.metrics.push(CompiledMetric {
                urls: CompiledMatcher::new(&metric.urls),
                filter: metric.filter.as_ref().map(CompiledFilter::new),
                metric: metric.clone(),
                slots: Vec::new(),
            });
        }
        for (experiment_index, experiment) in catalog.experiments.iter().enumerate() {
            for iteration in &experiment.iterations {
                let index = judge.iterations.len() as u32;
                judge.flags.entry(experiment.flag.clone()).or_default().push(index);
                let first_slot = judge.slots.len() as u32;
                for metric in &iteration.metrics {
                    let slot = judge.slots.len() as u32;
                    judge.slots.push(Slot { iteration: index, metric: *metric as u32 });
                    if let Some(metric) = judge.metrics.get_mut(*metric) {
                        metric.slots.push(slot);
                    }
                }
                judge.iterations.push(JudgedIteration {
                    experiment: experiment_index,
                    flag: experiment.flag.clone(),
                    iteration: iteration.clone(),
                    first_slot,
                });
            }
        }
        judge
    }

    /// What Segment's destination makes of Segment events.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// The first metric that an event key counts for.
    pub fn metric_of_event_key(&self, key: &str) -> Option<u32> {
        self.custom.get(key).and_then(|metrics| metrics.first()).copied()
    }

    /// The (iteration, metric) pairs an event key counts for.
    pub fn slots_of_event_key(&self, key: &str) -> impl Iterator<Item = Slot> {
        let metrics = self.custom.get(key).map(Vec::as_slice).unwrap_or_default();
        let slots = metrics.iter().filter_map(|metric| self.metrics.get(*metric as usize)).flat_map(|it| &it.slots);
        slots.filter_map(|slot| self.slots.get(*slot as usize)).copied()
    }

    /// Whether there are click and page-view metrics.
    pub(super) fn has_pages(&self) -> bool {
        !self.pages.is_empty()
    }

    /// The click and page-view metrics.
    pub(super) fn page_metrics(&self) -> impl Iterator<Item = (u32, &Metric, &CompiledMatcher)> {
        self.pages.iter().filter_map(|index| {
            let compiled = self.metrics.get(*index as usize)?;
            Some((*index, &compiled.metric, &compiled.urls))
        })
    }

    /// The iterations, in the order claims refer to.
    pub fn iterations(&self) -> &[JudgedIteration] {
        &self.iterations
    }

    /// The (iteration, metric) pairs, in the order claims refer to.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The iterations of a flag.
    pub fn iterations_of_flag(&self, flag: &str) -> &[u32] {
        self.flags.get(flag).map(Vec::as_slice).unwrap_or_default()
    }

    /// The metric at an index.
    pub fn metric(&self, index: u32) -> Option<&Metric> {
        self.metrics.get(index as usize).map(|compiled| &compiled.metric)
    }

    /// The metric of a slot.
    pub fn slot_metric(&self, slot: u32) -> Option<&Metric> {
        self.slots.get(slot as usize).and_then(|slot| self.metric(slot.metric))
    }

    /// The iteration of a slot.
    pub fn slot_iteration(&self, slot: u32) -> Option<&JudgedIteration> {
        self.slots.get(slot as usize).and_then(|slot| self.iterations.get(slot.iteration as usize))
    }

    /// Whether another iteration of the same experiment contains an instant: then it is no news that this one does
    /// not.
    fn runs_elsewhere(&self, iteration: &JudgedIteration, t_ms: i64) -> bool {
        self.iterations.iter().any(|other| {
            other.experiment == iteration.experiment
                && !std::ptr::eq(other, iteration)
                && other.iteration.contains(t_ms)
        })
    }

    /// Judges an event by itself.
    pub fn judge<'e>(&self, event: &'e Event<'_>, circumstances: Circumstances) -> Judgement<'e> {
        match event.kind {
            Kind::Feature | Kind::Debug => self.judge_evaluation(event, circumstances),
            Kind::Custom => {
                let metrics = event.key.as_deref().and_then(|key| self.custom.get(key));
                match metrics {
                    Some(metrics) => self.judge_conversion(
                        event,
                        circumstances,
                        metrics.iter().map(|metric| (*metric, Codes::new())),
                    ),
                    None => Judgement::Apart(ReasonCode::NoMetricForKey, None),
                }
            }
            Kind::Click | Kind::PageView => {
                let matching =
                    self.pages.iter().filter_map(|metric| Some((*metric, self.matches_page(event, *metric)?)));
                self.judge_conversion(event, circumstances, matching)
            }
            _ => Judgement::Apart(ReasonCode::NotAnExperimentEvent, None),
        }
    }

    /// M2: same kind, an address that matches, the same selector; or, failing that, the metric's internal id, with
    /// a remark.
    fn matches_page(&self, event: &Event<'_>, metric: u32) -> Option<Codes> {
        let compiled = self.metrics.get(metric as usize)?;
        let metric = &compiled.metric;
        let wanted = if event.kind == Kind::Click { MetricKind::Click } else { MetricKind::PageView };
        if metric.kind != wanted {
            return None;
        }
        let mut warnings = Codes::new();
        let address_matches = compiled.urls.matches(event.url.as_deref().unwrap_or("")).unwrap_or_else(|_| {
            warnings.push(ReasonCode::RegexUnsupported);
            false
        });
        let selector_matches = event.kind == Kind::PageView
            || (metric.selector.is_some() && event.selector.as_deref() == metric.selector.as_deref());
        if address_matches && selector_matches {
            return Some(warnings);
        }
        if metric.id.is_some() && metric.id.as_deref() == event.key.as_deref() {
            warnings.push(ReasonCode::UrlRematchFailed);
            return Some(warnings);
        }
        None
    }

    /// Whether it is not known if a click or page view matches a metric, because a pattern cannot be run on its
    /// address.
    pub(super) fn is_address_unsupported(&self, event: &Event<'_>) -> bool {
        let wanted = match event.kind {
            Kind::Click => MetricKind::Click,
            Kind::PageView => MetricKind::PageView,
            _ => return false,
        };
        let address = event.url.as_deref().unwrap_or("");
        let metrics = self.pages.iter().filter_map(|metric| self.metrics.get(*metric as usize));
        metrics
            .filter(|compiled| compiled.metric.kind == wanted)
            .any(|compiled| compiled.urls.matches(address).is_err())
    }

    /// Rules E1–E10, for every iteration on the event's flag.
    fn judge_evaluation<'e>(&self, event: &'e Event<'_>, circumstances: Circumstances) -> Judgement<'e> {
        let iterations = event.key.as_deref().map(|flag| self.iterations_of_flag(flag)).unwrap_or_default();
        if iterations.is_empty() {
            return Judgement::Apart(ReasonCode::NotAnExperimentEvent, None);
        }
        let mut claims = SmallVec::new();
        let settled = event.row().and_then(|row| self.settled(row, iterations));
        for index in iterations {
            let Some(iteration) = self.iterations.get(*index as usize) else { continue };
            if is_other_context(event, &iteration.iteration) {
                claims.push(Claim::OtherContext { iteration: *index, slot: None });
                continue;
            }
            let mut warnings = warnings(event, circumstances);
            if let (Some(needed), Some(version)) = (iteration.iteration.flag_config_version, event.version)
                && version < needed
            {
                warnings.push(ReasonCode::StaleFlagConfig);
            }
            let exposure = match (settled, event.row().and_then(|row| row.iteration_id.as_ref())) {
                (Some(settled), _) => {
                    let own = self.iterations.get(settled as usize).filter(|_| settled != *index);
                    match own {
                        Some(_) if circumstances.environment == EnvironmentMatch::Other => {
                            Err(ReasonCode::WrongEnvironment)
                        }
                        // LaunchDarkly itself says which of the experiment's iterations it belongs to.
                        Some(own) if own.experiment == iteration.experiment => {
                            match time_failure(&iteration.iteration, circumstances.t_ms) {
                                Some(code) => Err(code),
                                None => continue,
                            }
                        }
                        Some(_) => Err(ReasonCode::OtherRule),
                        None => settled_exposure(event, &iteration.iteration, circumstances),
                    }
                }
                (None, named) => {
                    if named.is_some() {
                        warnings.push(ReasonCode::UnknownIteration);
                    }
                    exposure_failure(event, &iteration.iteration, circumstances)
                }
            };
            claims.push(match exposure {
                Err(code) => {
                    let is_outside = time_failure(&iteration.iteration, circumstances.t_ms).is_some();
                    let elsewhere = is_outside && self.runs_elsewhere(iteration, circumstances.t_ms);
                    Claim::ExposesNot { iteration: *index, code, warnings, elsewhere }
                }
                Ok((key, variation)) => Claim::Exposes { iteration: *index, key, variation, warnings },
            });
        }
        Judgement::Claims(claims)
    }

    /// Rules A1–A7, for every iteration of every metric the event matches.
    fn judge_conversion<'e>(
        &self,
        event: &'e Event<'_>,
        circumstances: Circumstances,
        metrics: impl Iterator<Item = (u32, Codes)>,
    ) -> Judgement<'e> {
        let mut claims = SmallVec::new();
        let mut in_no_experiment = None;
        for (index, matching_warnings) in metrics {
            let Some(compiled) = self.metrics.get(index as usize) else { continue };
            if compiled.slots.is_empty() {
                in_no_experiment.get_or_insert(index);
            }
            for slot in &compiled.slots {
                let Some(iteration) = self.slot_iteration(*slot) else { continue };
                let unit = &iteration.iteration.randomization_unit;
                if is_other_context(event, &iteration.iteration) {
                    let iteration = self.slots.get(*slot as usize).map_or(0, |slot| slot.iteration);
                    claims.push(Claim::OtherContext { iteration, slot: Some(*slot) });
                    continue;
                }
                let failures = conversion_failures(event, compiled, &iteration.iteration, circumstances);
                let about_time = failures.iter().any(|code| is_about_time(*code));
                let mut warnings = warnings(event, circumstances);
                warnings.extend(matching_warnings.iter().copied());
                claims.push(Claim::Converts {
                    slot: *slot,
                    elsewhere: about_time && self.runs_elsewhere(iteration, circumstances.t_ms),
                    failures,
                    key: event.context_keys.key(unit),
                    value: match (compiled.metric.measure, &event.metric_value) {
                        (Measure::Value, MetricValue::Number(number)) => *number,
                        (Measure::Value, _) => 0.0,
                        (Measure::Occurrence | Measure::Count, _) => 1.0,
                    },
                    warnings,
                });
            }
        }
        match (claims.is_empty(), in_no_experiment) {
            (false, _) => Judgement::Claims(claims),
            (true, Some(metric)) => Judgement::Apart(ReasonCode::MetricNotInExperiment, Some(metric)),
            (true, None) => Judgement::Apart(ReasonCode::NotAnExperimentEvent, None),
        }
    }
}

/// Codes that say the event's instant is outside the iteration.
pub fn is_about_time(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::IterationNotStarted | ReasonCode::BeforeIterationStart | ReasonCode::AfterIterationEnd)
}

/// What is remarkable about an event whatever is judged of it (R6, R7, O3).
pub(super) fn warnings(event: &Event<'_>, circumstances: Circumstances) -> Codes {
    let mut warnings = Codes::new();
    if let Some(creation) = event.creation_ms {
        if is_suspect_timestamp(creation) {
            warnings.push(ReasonCode::TimestampUnitSuspect);
        } else if circumstances.arrival_ms.is_some_and(|arrival| arrival.abs_diff(creation) > CLOCK_SKEW_MS as u64) {
            warnings.push(ReasonCode::ClockSkew);
        }
    }
    if event.sampling_ratio.is_some_and(|ratio| ratio > 1) {
        warnings.push(ReasonCode::Sampled);
    }
    warnings
}

/// R6: not milliseconds.
pub fn is_suspect_timestamp(creation_ms: i64) -> bool {
    !(SUSPECT_BELOW_MS..=SUSPECT_ABOVE_MS).contains(&creation_ms)
}

/// Where an instant is outside an iteration (A7; E8–E10).
pub fn time_failure(iteration: &Iteration, t_ms: i64) -> Option<ReasonCode> {
    match (iteration.started_at_ms, iteration.ended_at_ms) {
        (None, _) => Some(ReasonCode::IterationNotStarted),
        (Some(start), _) if t_ms < start => Some(ReasonCode::BeforeIterationStart),
        (_, Some(end)) if t_ms >= end => Some(ReasonCode::AfterIterationEnd),
        _ => None,
    }
}

/// The unit's key and the variation, or the first of E1–E10 that fails.
fn exposure_failure<'e>(
    event: &'e Event<'_>,
    iteration: &Iteration,
    circumstances: Circumstances,
) -> Result<(&'e str, i64), ReasonCode> {
    if event.kind != Kind::Feature {
        return Err(ReasonCode::DebugNotExposure);
    }
    if circumstances.environment == EnvironmentMatch::Other {
        return Err(ReasonCode::WrongEnvironment);
    }
    let lacking = if event.lacks_other_kinds() { ReasonCode::UnitNotExported } else { ReasonCode::ExposureLacksUnit };
    let key = event.context_keys.key(&iteration.randomization_unit).ok_or(lacking)?;
    let without_reason = if event.is_partial() { ReasonCode::ReasonNotExported } else { ReasonCode::NoReason };
    let reason = event.reason.as_ref().ok_or(without_reason)?;
    let reason_kind = reason.kind.as_deref().unwrap_or("");
    if !reason.in_experiment {
        return Err(match reason_kind {
            "OFF" => ReasonCode::FlagOff,
            "TARGET_MATCH" => ReasonCode::IndividuallyTargeted,
            "PREREQUISITE_FAILED" => ReasonCode::PrerequisiteFailed,
            "ERROR" => ReasonCode::EvalError,
            _ => ReasonCode::NotInExperiment,
        });
    }
    // An export need not say which rule it was, nor that it was one: what it does not say cannot fail (O1d).
    let is_partial = event.is_partial();
    let by_the_rule = match &iteration.rule {
        None => true,
        Some(Rule::Fallthrough) => reason_kind == "FALLTHROUGH" || (is_partial && reason_kind.is_empty()),
        Some(Rule::Id(_)) if is_partial && reason.rule_id.is_none() => matches!(reason_kind, "RULE_MATCH" | ""),
        Some(Rule::Id(id)) => reason.rule_id.as_deref() == Some(id),
    };
    if !by_the_rule {
        return Err(ReasonCode::OtherRule);
    }
    if event.row().is_some() {
        // It names its variation by id. Where the catalog does not, the times can decide all the same.
        return match time_failure(iteration, circumstances.t_ms) {
            Some(code) => Err(code),
            None => Ok((key, arm_of_row(event, iteration)?)),
        };
    }
    let is_arm = |variation: i64| match &iteration.arms {
        None => true,
        Some(arms) => arms.iter().any(|arm| arm.variation == variation),
    };
    let variation = event.variation.filter(|variation| is_arm(*variation)).ok_or(ReasonCode::VariationNotATreatment)?;
    match time_failure(iteration, circumstances.t_ms) {
        Some(code) => Err(code),
        None => Ok((key, variation)),
    }
}

/// All of A1–A7 that fail, in their order (O1c).
fn conversion_failures(
    event: &Event<'_>,
    compiled: &CompiledMetric,
    iteration: &Iteration,
    circumstances: Circumstances,
) -> Codes {
    let mut failures = Codes::new();
    let metric = &compiled.metric;
    if circumstances.environment == EnvironmentMatch::Other {
        failures.push(ReasonCode::WrongEnvironment);
    }
    if !metric.units.contains(&iteration.randomization_unit) {
        failures.push(ReasonCode::MetricUnitMismatch);
    }
    if event.context_keys.key(&iteration.randomization_unit).is_none() {
        let is_unknown = event.lacks_other_kinds();
        failures.push(if is_unknown { ReasonCode::UnitNotExported } else { ReasonCode::EventLacksUnit });
    }
    if metric.measure == Measure::Value {
        match &event.metric_value {
            MetricValue::Number(_) => {}
            MetricValue::Missing => failures.push(ReasonCode::NumericValueMissing),
            MetricValue::Invalid(_) => failures.push(ReasonCode::NumericValueInvalid),
        }
    }
    failures.extend(compiled.filter.as_ref().and_then(|filter| filter_failure(event, filter)));
    failures.extend(time_failure(iteration, circumstances.t_ms));
    failures
}

fn filter_failure(event: &Event<'_>, filter: &CompiledFilter) -> Option<ReasonCode> {
    fn bytes<'a>(text: &'a Option<Cow<'_, str>>) -> Option<&'a [u8]> {
        text.as_ref().map(|text| text.as_bytes())
    }
    let view = match event.is_partial() {
        true => EventView::of_part(bytes(&event.context)),
        false => EventView::new(bytes(&event.context), bytes(&event.user), bytes(&event.data)),
    };
    match filter.judge(&view) {
        Outcome::Passes => None,
        Outcome::Fails => Some(ReasonCode::FilterMismatch),
        Outcome::Redacted => Some(ReasonCode::FilterAttrRedacted),
        Outcome::Unsupported => Some(ReasonCode::FilterUnsupported),
    }
}
