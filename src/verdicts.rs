//! One row per event, iteration and metric: what `exptap verdicts` prints (`docs/report.md`).

use crate::attribution::codes::CodeSet;
use crate::attribution::judge::Codes;
use crate::attribution::state::{Accepted, AcceptedClaims, State};
use crate::catalog::Catalog;
use crate::event::Event;
use crate::intake::Received;
use crate::reason::ReasonCode;
use serde::Serialize;
use std::sync::Arc;

/// An event as far as its rows need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Number of the event.
    pub event: u64,
    /// Number of its request.
    pub request: Option<u64>,
    /// Kind; none if it could not be read.
    pub kind: Option<Arc<str>>,
    /// Flag key, event key, or metric id.
    pub key: Option<Arc<str>>,
    /// Instant on the judging clock.
    pub t_ms: Option<i64>,
    /// What it claims; none if it could not be read.
    pub claims: AcceptedClaims,
    /// Its units, kind and key, where a claim is decided without following the unit.
    pub units: Vec<(Arc<str>, Arc<str>)>,
}

impl Judged {
    /// Keeps what the rows need of an event that was taken in.
    pub fn new(state: &State, received: &Received<'_, '_>, request: Option<u64>, arrival_ms: Option<i64>) -> Self {
        match received {
            Received::Event { number, event, claims, .. } => Self {
                event: *number,
                request,
                kind: Some(event.kind.name().unwrap_or(&event.kind_name).into()),
                key: event.key.as_deref().map(Into::into),
                t_ms: state.instant(event, arrival_ms),
                claims: claims.clone(),
                units: units(event, claims),
            },
            Received::Unreadable { number, .. } => Self {
                event: *number,
                request,
                kind: None,
                key: None,
                t_ms: None,
                claims: AcceptedClaims::new(),
                units: Vec::new(),
            },
        }
    }
}

fn units(event: &Event<'_>, claims: &AcceptedClaims) -> Vec<(Arc<str>, Arc<str>)> {
    if !claims.iter().any(|claim| matches!(claim, Accepted::Decided { .. })) {
        return Vec::new();
    }
    event.context_keys.iter().map(|(kind, key)| (kind.into(), key.into())).collect()
}

/// A row. Field names are a contract.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct VerdictRow<'a> {
    /// Number of the event, from 0.
    pub event: u64,
    /// Number of its request, from 1.
    pub request: Option<u64>,
    /// Kind.
    pub kind: Option<&'a str>,
    /// Flag key, event key, or metric id.
    pub key: Option<&'a str>,
    /// Instant on the judging clock.
    pub t: Option<i64>,
    /// Experiment key.
    pub experiment: Option<&'a str>,
    /// Iteration id.
    pub iteration: Option<&'a str>,
    /// Metric key.
    pub metric: Option<&'a str>,
    /// The verdict.
    pub verdict: ReasonCode,
    /// Variation exposed to or credited.
    pub variation: Option<i64>,
    /// The unit, `kind/key`.
    pub unit: Option<String>,
    /// What would fail next.
    pub then: Vec<ReasonCode>,
    /// Remarks.
    pub warnings: Vec<ReasonCode>,
    /// The verdict was another one before.
    pub revised: bool,
}

/// The verdict of one claim, as things stand now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Index of the iteration.
    pub iteration: Option<u32>,
    /// Index of the metric.
    pub metric: Option<u32>,
    /// The verdict.
    pub code: ReasonCode,
    /// Variation exposed to or credited.
    pub variation: Option<i64>,
    /// Index of the unit's state.
    pub state: Option<u32>,
    /// What would fail next.
    pub then: CodeSet,
    /// Remarks.
    pub warnings: Codes,
}

/// Resolves a claim of an event against what is known now.
pub fn outcome(state: &State, event: u64, claim: &Accepted) -> Outcome {
    let slot_of = |slot: u32| state.judge().slots().get(slot as usize).copied();
    match claim {
        Accepted::Decided { iteration, slot, code, failures, warnings } => Outcome {
            iteration: Some(*iteration),
            metric: slot.and_then(slot_of).map(|slot| slot.metric),
            code: *code,
            variation: None,
            state: None,
            then: failures.iter().filter(|failure| failure != code).collect(),
            warnings: warnings.clone(),
        },
        Accepted::Exposure { state: index, variation, warnings } => Outcome {
            iteration: state.state(*index).map(|state| state.iteration),
            metric: None,
            code: state.exposure_code(*index, event, *variation),
            variation: Some(*variation),
            state: Some(*index),
            then: CodeSet::default(),
            warnings: warnings.clone(),
        },
        Accepted::Conversion { entry, warnings } => {
            let Some(entry) = state.conversion(*entry) else { return apart(ReasonCode::NotAnExperimentEvent, None) };
            let mut warnings = warnings.clone();
            if state.is_first_seen_here(entry) {
                warnings.push(ReasonCode::FirstSeenHere);
            }
            let slot = slot_of(entry.slot);
            Outcome {
                iteration: slot.map(|slot| slot.iteration),
                metric: slot.map(|slot| slot.metric),
                code: entry.code,
                variation: entry.variation,
                state: Some(entry.state),
                then: state.next_failures(entry),
                warnings,
            }
        }
        Accepted::Apart { code, metric, warnings } => Outcome { warnings: warnings.clone(), ..apart(*code, *metric) },
    }
}

fn apart(code: ReasonCode, metric: Option<u32>) -> Outcome {
    Outcome {
        iteration: None,
        metric,
        code,
        variation: None,
        state: None,
        then: CodeSet::default(),
        warnings: Codes::new(),
    }
}

/// The rows of one event, in catalog order.
pub fn rows<'a>(state: &'a State, catalog: &'a Catalog, judged: &'a Judged) -> Vec<VerdictRow<'a>> {
    if judged.kind.is_none() {
        return vec![row(state, catalog, judged, apart(ReasonCode::Undecodable, None))];
    }
    let mut outcomes: Vec<Outcome> = judged.claims.iter().map(|claim| outcome(state, judged.event, claim)).collect();
    outcomes.sort_by_key(|outcome| (outcome.iteration, outcome.metric));
    outcomes.into_iter().map(|outcome| row(state, catalog, judged, outcome)).collect()
}

fn row<'a>(state: &'a State, catalog: &'a Catalog, judged: &'a Judged, outcome: Outcome) -> VerdictRow<'a> {
    let iteration = outcome.iteration.and_then(|index| state.judge().iterations().get(index as usize));
    let followed = outcome.state.and_then(|index| state.units().name(state.state(index)?.unit));
    let of_event = || {
        let wanted = iteration?.iteration.randomization_unit.as_str();
        judged.units.iter().map(|(kind, key)| (&**kind, &**key)).find(|(kind, _)| *kind == wanted)
    };
    let unit = followed.or_else(of_event);
    VerdictRow {
        event: judged.event,
        request: judged.request,
        kind: judged.kind.as_deref(),
        key: judged.key.as_deref(),
        t: judged.t_ms,
        experiment: iteration
            .and_then(|iteration| catalog.experiments.get(iteration.experiment))
            .map(|experiment| experiment.key.as_str()),
        iteration: iteration.map(|iteration| iteration.iteration.id.as_str()),
        metric: outcome.metric.and_then(|index| catalog.metrics.get(index as usize)).map(|metric| metric.key.as_str()),
        verdict: outcome.code,
        variation: outcome.variation,
        unit: unit.map(|(kind, key)| format!("{kind}/{key}")),
        then: outcome.then.iter().collect(),
        warnings: outcome.warnings.to_vec(),
        revised: false,
    }
}
