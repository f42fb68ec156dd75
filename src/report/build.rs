//! Makes a [`Report`] from the state of attribution.

use super::{
    ArmMetric, ArmReport, ExperimentReport, FunnelReport, FunnelStep, MetricReport, Report, Totals, UnmatchedKey,
};
use crate::attribution::judge::JudgedIteration;
use crate::attribution::state::{State, UnitState};
use crate::catalog::{Aggregation, Catalog, Measure, Metric, Origin};
use crate::reason::{Category, ReasonCode};
use crate::{findings, near_miss, statistics};
use std::collections::{BTreeMap, HashMap};

/// Version of the report format.
pub const FORMAT_VERSION: u32 = 1;

/// What one metric came to in one arm, before it is put into figures.
#[derive(Default)]
struct Cell {
    converting_units: u64,
    cross_arm_units: u64,
    conversions: u64,
    sum: f64,
    /// One value per converting unit whose own arm this is.
    own_values: Vec<f64>,
    /// Values of single conversions, for a percentile.
    values: Vec<f64>,
}

/// What one arm came to.
#[derive(Default)]
struct ArmCounts {
    units: u64,
    crossover_units: u64,
}

/// Figures of one iteration, gathered in one pass over the units.
#[derive(Default)]
struct Gathered {
    arms: BTreeMap<i64, ArmCounts>,
    cells: HashMap<(u32, i64), Cell>,
    exposures: u64,
    repeats: u64,
    crossovers: u64,
    funnel_times: HashMap<u32, Vec<(u32, i64)>>,
}

/// The report of everything received so far.
pub fn report(state: &State, catalog: &Catalog) -> Report {
    let gathered = gather(state, catalog);
    let experiments: Vec<ExperimentReport> = state
        .judge()
        .iterations()
        .iter()
        .zip(&gathered)
        .enumerate()
        .filter_map(|(index, (judged, gathered))| experiment(state, catalog, index as u32, judged, gathered))
        .collect();
    let unmatched_event_keys = unmatched(state, catalog);
    let findings = findings::findings(state, catalog, &experiments, &unmatched_event_keys);
    Report {
        exptap_report: FORMAT_VERSION,
        clock: state.options().clock.name(),
        observed_from: state.options().observed_from_ms,
        catalog: catalog.origin.name(),
        totals: totals(state),
        experiments,
        unmatched_event_keys,
        findings,
        fixes: None,
    }
}

fn totals(state: &State) -> Totals {
    let totals = state.totals();
    let is_live = state.options().grace_ms.is_some();
    Totals {
        requests: totals.requests,
        events: totals.events,
        undecodable: totals.undecodable,
        duplicate_payloads: totals.duplicate_payloads,
        lost: totals.lost,
        by_kind: totals.by_kind.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
        // Pending exists only while more may come.
        verdicts: Category::ALL
            .into_iter()
            .filter(|category| *category != Category::Pending || is_live)
            .map(|category| (category.name(), totals.of(category)))
            .collect(),
    }
}

fn gather(state: &State, catalog: &Catalog) -> Vec<Gathered> {
    let mut all: Vec<Gathered> = Vec::new();
    all.resize_with(state.judge().iterations().len(), Gathered::default);
    for unit in state.states() {
        if let Some(gathered) = all.get_mut(unit.iteration as usize) {
            gathered.unit(state, unit);
        }
    }
    let wanted = |slot: u32| {
        let percentile = state.judge().slot_metric(slot).is_some_and(|metric| metric.percentile.is_some());
        let funnel = state.judge().slot_iteration(slot).is_some_and(|judged| {
            judged
                .iteration
                .metric_groups
                .iter()
                .any(|group| catalog.metric_groups.get(*group).is_some_and(|group| group.funnel))
        });
        (percentile, funnel)
    };
    let wanted: Vec<(bool, bool)> = (0..state.judge().slots().len() as u32).map(wanted).collect();
    if !wanted.iter().any(|(percentile, funnel)| *percentile || *funnel) {
        return all;
    }
    for entry in state.conversions() {
        let Some((percentile, funnel)) = wanted.get(entry.slot as usize) else { continue };
        let (Some(variation), Some(slot)) = (entry.variation, state.judge().slots().get(entry.slot as usize)) else {
            continue;
        };
        let Some(gathered) = all.get_mut(slot.iteration as usize) else { continue };
        if *percentile && let Some(cell) = gathered.cells.get_mut(&(entry.slot, variation)) {
            cell.values.push(entry.value);
        }
        if *funnel {
            gathered.funnel_times.entry(entry.state).or_default().push((entry.slot, entry.t_ms));
        }
    }
    all
}

impl Gathered {
    fn unit(&mut self, state: &State, unit: &UnitState) {
        let own_arm = unit.own_arm();
        if let Some(own_arm) = own_arm {
            let arm = self.arms.entry(own_arm).or_default();
            arm.units += 1;
            self.exposures += 1;
            let mut crossed = false;
            for (variation, count) in unit.per_variation.iter().filter(|(_, count)| *count > 0) {
                if *variation == own_arm {
                    self.repeats += u64::from(*count) - 1;
                } else {
                    crossed = true;
                    self.crossovers += u64::from(*count);
                }
            }
            arm.crossover_units += u64::from(crossed);
        }
        for aggregate in &unit.aggregates {
            let cell = self.cells.entry((aggregate.slot, aggregate.variation)).or_default();
            cell.converting_units += 1;
            cell.conversions += u64::from(aggregate.count);
            cell.sum += aggregate.sum;
            if own_arm == Some(aggregate.variation) {
                cell.own_values.push(unit_value(
                    state.judge().slot_metric(aggregate.slot),
                    aggregate.count,
                    aggregate.sum,
                ));
            } else {
                cell.cross_arm_units += 1;
            }
        }
    }
}

/// The unit's value of a metric (`attribution.md`, per-unit aggregation).
fn unit_value(metric: Option<&Metric>, count: u32, sum: f64) -> f64 {
    match metric.map(|metric| (metric.measure, metric.aggregation)) {
        Some((Measure::Occurrence, _)) | None => 1.0,
        Some((_, Aggregation::Sum)) => sum,
        Some((_, Aggregation::Average)) => sum / f64::from(count.max(1)),
    }
}

fn experiment(
    state: &State,
    catalog: &Catalog,
    index: u32,
    judged: &JudgedIteration,
    gathered: &Gathered,
) -> Option<ExperimentReport> {
    let experiment = catalog.experiments.get(judged.experiment)?;
    let iteration = &judged.iteration;
    let complete = !state.is_partial(index);
    let slots: Vec<(u32, &Metric)> = (judged.first_slot..)
        .zip(&iteration.metrics)
        .filter_map(|(slot, metric)| Some((slot, catalog.metrics.get(*metric)?)))
        .collect();
    let variations: Vec<i64> = match &iteration.arms {
        Some(arms) => arms.iter().map(|arm| arm.variation).collect(),
        None => {
            let credited = gathered.cells.keys().map(|(_, variation)| *variation);
            let mut seen: Vec<i64> = gathered.arms.keys().copied().chain(credited).collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        }
    };
    let arms: Vec<ArmReport> = variations
        .iter()
        .map(|variation| {
            let counts = gathered.arms.get(variation);
            let units = counts.map_or(0, |arm| arm.units);
            ArmReport {
                variation: *variation,
                name: iteration.arm_name(*variation),
                units,
                crossover_units: counts.map_or(0, |arm| arm.crossover_units),
                metrics: slots
                    .iter()
                    .map(|(slot, metric)| arm_metric(metric, gathered.cells.get(&(*slot, *variation)), units, complete))
                    .collect(),
            }
        })
        .collect();
    // How the traffic is allocated is in no event: where the arms are inferred, there is nothing to compare with.
    let is_allocated = catalog.origin != Origin::Inferred;
    let sample_ratio = iteration.arms.as_ref().filter(|_| is_allocated).map(|allocated| {
        let observed: Vec<u64> = arms.iter().map(|arm| arm.units).collect();
        let allocation: Vec<f64> = allocated.iter().map(|arm| arm.allocation).collect();
        statistics::sample_ratio(&observed, &allocation)
    });
    Some(ExperimentReport {
        key: experiment.key.clone(),
        iteration: iteration.id.clone(),
        flag: experiment.flag.clone(),
        randomization_unit: iteration.randomization_unit.clone(),
        complete,
        sample_ratio,
        exposures: exposures(state, index, gathered),
        metrics: slots.iter().map(|(slot, metric)| metric_report(state, *slot, metric)).collect(),
        funnels: funnels(state, catalog, judged, gathered, &arms),
        arms,
    })
}

fn exposures(state: &State, index: u32, gathered: &Gathered) -> BTreeMap<&'static str, u64> {
    let mut exposures: BTreeMap<&'static str, u64> = [
        (ReasonCode::Exposure, gathered.exposures),
        (ReasonCode::RepeatExposure, gathered.repeats),
        (ReasonCode::CrossoverExposure, gathered.crossovers),
    ]
    .into_iter()
    .map(|(code, count)| (code.name(), count))
    .collect();
    if let Some(counts) = state.iteration_counts(index) {
        for (code, count) in counts.evaluations.iter() {
            *exposures.entry(code.name()).or_default() += count;
        }
        if counts.plain_features == 0 {
            for (code, count) in counts.plain_summaries.iter() {
                *exposures.entry(code.name()).or_default() += count;
            }
        }
    }
    exposures
}

fn metric_report(state: &State, slot: u32, metric: &Metric) -> MetricReport {
    let verdicts: BTreeMap<&'static str, u64> = state
        .slot_counts(slot)
        .into_iter()
        .flat_map(|counts| counts.iter())
        .map(|(code, count)| (code.name(), count))
        .collect();
    let of = |code: ReasonCode| verdicts.get(code.name()).copied().unwrap_or_default();
    MetricReport {
        metric: metric.key.clone(),
        received: verdicts.values().sum(),
        counted: of(ReasonCode::Counted) + of(ReasonCode::CountedNoEffect),
        verdicts,
    }
}

fn arm_metric(metric: &Metric, cell: Option<&Cell>, units: u64, complete: bool) -> ArmMetric {
    let empty = Cell::default();
    let cell = cell.unwrap_or(&empty);
    let mut figures = ArmMetric {
        metric: metric.key.clone(),
        converting_units: cell.converting_units,
        cross_arm_units: cell.cross_arm_units,
        conversions: cell.conversions,
        sum: cell.sum,
        mean: None,
        rate: None,
        interval: None,
        percentile: None,
    };
    let own = cell.own_values.len() as u64;
    let denominator = if metric.exclude_units_without_events { own } else { units };
    if let Some(percentile) = metric.percentile {
        figures.percentile = statistics::percentile(&mut cell.values.clone(), percentile);
    } else if complete && denominator > 0 {
        if metric.measure == Measure::Occurrence {
            figures.rate = Some(own as f64 / denominator as f64);
            figures.interval = statistics::wilson(own, denominator);
        } else {
            // Units without events are zeros; they need no list of their own.
            let zeros = denominator - own;
            // The sum of nothing is -0.0, which would be printed as such.
            let mean = (cell.own_values.iter().sum::<f64>() + 0.0) / denominator as f64;
            let squares =
                cell.own_values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() + zeros as f64 * mean * mean;
            figures.mean = Some(mean);
            figures.interval = (denominator > 1)
                .then(|| statistics::mean_interval(denominator, mean, (squares / (denominator - 1) as f64).sqrt()))
                .flatten();
        }
    }
    figures
}

fn funnels(
    state: &State,
    catalog: &Catalog,
    judged: &JudgedIteration,
    gathered: &Gathered,
    arms: &[ArmReport],
) -> Vec<FunnelReport> {
    let groups = judged.iteration.metric_groups.iter().filter_map(|group| catalog.metric_groups.get(*group));
    groups
        .filter(|group| group.funnel)
        .map(|group| {
            let slot_of = |metric: &usize| {
                judged.iteration.metrics.iter().position(|have| have == metric).map(|at| judged.first_slot + at as u32)
            };
            let slots: Vec<u32> = group.metrics.iter().filter_map(slot_of).collect();
            let steps = slots
                .iter()
                .map(|slot| FunnelStep {
                    metric: state.judge().slot_metric(*slot).map(|metric| metric.key.clone()).unwrap_or_default(),
                    arms: arms
                        .iter()
                        .map(|arm| gathered.cells.get(&(*slot, arm.variation)).map_or(0, |cell| cell.converting_units))
                        .collect(),
                })
                .collect();
            FunnelReport { group: group.key.clone(), steps, ordered: ordered(state, gathered, &slots, arms) }
        })
        .collect()
}

/// Units that did the steps in order: exposure ≤ step 1 ≤ step 2 …, each at its earliest possible instant.
fn ordered(state: &State, gathered: &Gathered, slots: &[u32], arms: &[ArmReport]) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; arms.len()]; slots.len()];
    for (index, times) in &gathered.funnel_times {
        let Some(unit) = state.state(*index) else { continue };
        let Some(first) = unit.points.first() else { continue };
        let Some(arm) = arms.iter().position(|arm| arm.variation == first.variation) else { continue };
        let mut reached = first.t_ms;
        for (slot, counts) in slots.iter().zip(&mut counts) {
            let next =
                times.iter().filter(|(have, t_ms)| have == slot && *t_ms >= reached).map(|(_, t_ms)| *t_ms).min();
            let (Some(next), Some(count)) = (next, counts.get_mut(arm)) else { break };
            reached = next;
            *count += 1;
        }
    }
    counts
}

fn unmatched(state: &State, catalog: &Catalog) -> Vec<UnmatchedKey> {
    let mut keys: Vec<UnmatchedKey> = state
        .unmatched_keys()
        .filter(|(_, evidence)| evidence.events > 0)
        .map(|(key, evidence)| UnmatchedKey {
            key: key.to_owned(),
            events: evidence.events,
            nearest: near_miss::near_miss(key, &catalog.metrics),
        })
        .collect();
    keys.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.key.cmp(&b.key)));
    keys
}
