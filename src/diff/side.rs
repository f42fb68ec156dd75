//! One recording, summed up: what its report does not hold and a comparison needs, which is who sent what.

use crate::attribution::request::why_unsent;
use crate::attribution::state::{Accepted, AcceptedClaims, State};
use crate::catalog::Catalog;
use crate::event::{Event, Kind, summary};
use crate::explain::collect::Arrival;
use crate::intake::Received;
use crate::reason::ReasonCode;
use crate::report::{Report, build};
use crate::verdicts;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stands for who sent events that came without requests: the name of a file says nothing of an SDK.
pub const NO_SENDER: &str = "(no sender)";
/// Stands for the event keys past the limit: anyone can make them up.
const OTHER_KEYS: &str = "…other event keys";
const KEYS_TOLD_APART: usize = 100_000;

/// What an iteration asks about: one of its metrics, or, without one, who was exposed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Experiment key.
    pub experiment: Arc<str>,
    /// Iteration id.
    pub iteration: Arc<str>,
    /// Metric key.
    pub metric: Option<Arc<str>>,
}

/// Counts by sender.
pub type BySource = BTreeMap<Arc<str>, u64>;

/// What one sender sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests; 0 for plain events.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// The number of its last request.
    last_request: Option<u64>,
}

/// Evaluations of a flag by one sender, while an iteration of the flag ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluations {
    /// What its summaries count.
    pub counted: u64,
    /// Its `feature` events.
    pub sent: u64,
    /// What the summaries count, by why it would have sent no event (E13).
    why: BTreeMap<ReasonCode, u64>,
}

impl Evaluations {
    /// Evaluations that sent no event: by reason, where the summary tells one. The events that were sent are set off
    /// first against what has no better explanation, as E13 does within a request.
    pub fn unsent(&self) -> BTreeMap<ReasonCode, u64> {
        let mut sent = self.sent;
        let mut unsent = BTreeMap::new();
        let is_last = |code: &&ReasonCode| **code != ReasonCode::NoFeatureEvent;
        let (explained, unexplained): (Vec<_>, Vec<_>) = self.why.keys().partition(is_last);
        for code in unexplained.into_iter().chain(explained) {
            let count = self.why.get(code).copied().unwrap_or_default();
            let taken = count.min(sent);
            sent -= taken;
            if count > taken {
                unsent.insert(*code, count - taken);
            }
        }
        unsent
    }
}

/// A recording, summed up.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Its report.
    pub report: Report,
    /// First and last instant on the judging clock.
    pub span_ms: Option<(i64, i64)>,
    /// Who the verdicts come from.
    pub verdicts: BTreeMap<Place, BTreeMap<ReasonCode, BySource>>,
    /// The senders.
    pub sources: BTreeMap<Arc<str>, Sent>,
    /// Custom events by key, retries left out.
    pub event_keys: BTreeMap<Arc<str>, u64>,
    /// Evaluations by flag and sender, of flags that an experiment is about.
    pub evaluations: BTreeMap<(Arc<str>, Arc<str>), Evaluations>,
    /// Flags of which evaluations were sampled (R7).
    pub sampled_flags: Vec<String>,
}

/// Sums up a recording, event by event.
#[derive(Debug, Default)]
pub struct Gathering {
    names: BTreeMap<Arc<str>, Sent>,
    kept: Vec<Kept>,
    event_keys: BTreeMap<Arc<str>, u64>,
    evaluations: BTreeMap<(Arc<str>, Arc<str>), Evaluations>,
}

/// An event that an iteration asks about. What it comes to is known when everything is read.
#[derive(Debug)]
struct Kept {
    event: u64,
    source: Arc<str>,
    claims: AcceptedClaims,
}

impl Gathering {
    /// Takes in an event.
    pub fn take(&mut self, state: &State, arrival: &Arrival<'_>, received: &Received<'_, '_>) {
        let name = if arrival.request.is_some() { arrival.source } else { NO_SENDER };
        let source = match self.names.get_key_value(name) {
            Some((source, _)) => Arc::clone(source),
            None => name.into(),
        };
        let sent = self.names.entry(Arc::clone(&source)).or_default();
        sent.events += 1;
        if arrival.request.is_some() && sent.last_request != arrival.request {
            sent.requests += 1;
            sent.last_request = arrival.request;
        }
        let Received::Event { number, event, claims, .. } = received else { return };
        let apart = claims.iter().find_map(|claim| match claim {
            Accepted::Apart { code, .. } => Some(*code),
            _ => None,
        });
        if apart == Some(ReasonCode::DuplicatePayload) {
            return;
        }
        self.note_key(event);
        self.note_evaluations(state, arrival, event, &source);
        if apart.is_none() {
            self.kept.push(Kept { event: *number, source, claims: claims.clone() });
        }
    }

    fn note_key(&mut self, event: &Event<'_>) {
        let (Kind::Custom, Some(key)) = (event.kind, event.key.as_deref()) else { return };
        if let Some(count) = self.event_keys.get_mut(key) {
            *count += 1;
        } else {
            let key = if self.event_keys.len() < KEYS_TOLD_APART { key } else { OTHER_KEYS };
            *self.event_keys.entry(key.into()).or_default() += 1;
        }
    }

    fn note_evaluations(&mut self, state: &State, arrival: &Arrival<'_>, event: &Event<'_>, source: &Arc<str>) {
        let judge = state.judge();
        let Some(t_ms) = state.instant(event, arrival.arrival_ms) else { return };
        let running = |flag: &str| {
            let iterations = judge.iterations_of_flag(flag).iter();
            iterations
                .filter_map(|index| judge.iterations().get(*index as usize))
                .find(|judged| judged.iteration.contains(t_ms))
        };
        match (event.kind, event.key.as_deref(), event.features.as_deref()) {
            (Kind::Feature, Some(flag), _) if running(flag).is_some() => {
                self.evaluations.entry((flag.into(), Arc::clone(source))).or_default().sent += 1;
            }
            (Kind::Summary, _, Some(features)) => {
                for flag in summary::flags(features) {
                    let Some(judged) = running(&flag.flag) else { continue };
                    let of_flag = self.evaluations.entry((flag.flag.as_ref().into(), Arc::clone(source))).or_default();
                    for counter in &flag.counters {
                        let (code, _) = why_unsent(judged, event, &flag, *counter, arrival.environment);
                        of_flag.counted = of_flag.counted.saturating_add(counter.count);
                        let count = of_flag.why.entry(code).or_default();
                        *count = count.saturating_add(counter.count);
                    }
                }
            }
            _ => {}
        }
    }

    /// Everything is read.
    pub fn end(self, name: String, state: &State, catalog: &Catalog) -> Side {
        let mut verdicts: BTreeMap<Place, BTreeMap<ReasonCode, BySource>> = BTreeMap::new();
        let mut places: BTreeMap<(u32, Option<u32>), Option<Place>> = BTreeMap::new();
        for kept in &self.kept {
            for claim in &kept.claims {
                let outcome = verdicts::outcome(state, kept.event, claim);
                let Some(iteration) = outcome.iteration else { continue };
                let place = places
                    .entry((iteration, outcome.metric))
                    .or_insert_with(|| place(state, catalog, iteration, outcome.metric));
                let Some(place) = place else { continue };
                let codes = match verdicts.get_mut(place) {
                    Some(codes) => codes,
                    None => verdicts.entry(place.clone()).or_default(),
                };
                *codes.entry(outcome.code).or_default().entry(Arc::clone(&kept.source)).or_default() += 1;
            }
        }
        let sampled = state.judge().iterations().iter().zip(0..);
        let sampled = sampled.filter(|(_, index)| state.iteration_counts(*index).is_some_and(|it| it.is_sampled()));
        Side {
            name,
            report: build::report(state, catalog),
            span_ms: state.totals().span_ms,
            verdicts,
            sources: self.names,
            event_keys: self.event_keys,
            evaluations: self.evaluations,
            sampled_flags: sampled.map(|(judged, _)| judged.flag.clone()).collect(),
        }
    }
}

fn place(state: &State, catalog: &Catalog, iteration: u32, metric: Option<u32>) -> Option<Place> {
    let judged = state.judge().iterations().get(iteration as usize)?;
    let metric = match metric {
        Some(metric) => Some(catalog.metrics.get(metric as usize)?.key.as_str().into()),
        None => None,
    };
    Some(Place {
        experiment: catalog.experiments.get(judged.experiment)?.key.as_str().into(),
        iteration: judged.iteration.id.as_str().into(),
        metric,
    })
}
