//! B1: exposures that are not what the rollout gives.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::state::State;
use crate::catalog::Catalog;
use crate::reason::ReasonCode;
use crate::report::Finding;
use std::collections::BTreeMap;

#[derive(Default)]
struct Case<'a> {
    evidence: Evidence,
    exposures: u64,
    /// The first unit by name, what it was served and in which iteration.
    example: Option<(&'a str, &'a str, i64, u32)>,
}

/// One finding for each experiment with such exposures.
pub(super) fn mismatches(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let judge = state.judge();
    let mut cases: BTreeMap<usize, Case<'_>> = BTreeMap::new();
    for unit in state.states().filter(|unit| !unit.points.is_empty()) {
        let Some(share) = state.share_of(unit) else { continue };
        let Some(judged) = judge.iterations().get(unit.iteration as usize) else { continue };
        let case = cases.entry(judged.experiment).or_default();
        let is_other = |variation: i64| share.untracked || variation != share.variation;
        let seen = || unit.per_variation.iter().filter(|(_, count)| *count > 0);
        case.exposures += seen().map(|(_, count)| u64::from(*count)).sum::<u64>();
        let Some(served) = seen().map(|(variation, _)| *variation).filter(|served| is_other(*served)).min() else {
            continue;
        };
        let others = seen().filter(|(variation, _)| is_other(*variation)).map(|(_, count)| u64::from(*count));
        case.evidence.events += others.sum::<u64>();
        case.evidence.units.insert(unit.unit);
        for point in unit.points.iter().filter(|point| is_other(point.variation)) {
            case.evidence.see(Some(point.t_ms));
        }
        if unit.own_arm().is_some_and(is_other) {
            case.evidence.example(unit.first_event);
        }
        if let Some((kind, key)) = state.units().name(unit.unit) {
            let example = (kind, key, served, unit.iteration);
            case.example = Some(case.example.map_or(example, |have| have.min(example)));
        }
    }
    let finding = |(experiment, case): (usize, Case<'_>)| {
        let (kind, key, served, iteration) = case.example?;
        let judged = judge.iterations().get(iteration as usize)?;
        let (rollout, bucket) = judged.bucket(key)?;
        let name = |variation: i64| judged.iteration.arm_name(variation);
        let proof = rollout.proof(&bucket, name);
        let experiment = catalog.experiments.get(experiment);
        let mut slots = vec![
            ("count", case.evidence.events.to_string()),
            ("total", case.exposures.to_string()),
            ("detail", format!("{kind} {key}, for one, was served {}; {proof}", name(served))),
        ];
        texts(ReasonCode::BucketMismatch, experiment, None, &mut slots);
        Some(finished(state, ReasonCode::BucketMismatch, experiment, None, &case.evidence, &slots))
    };
    cases.into_iter().filter_map(finding).collect()
}
