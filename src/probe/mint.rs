//! Choosing what to probe, and making the keys for it.

use super::{Probe, ProbeContext, ProbeMetric};
use crate::bucketing::find;
use crate::catalog::{Catalog, Experiment, Iteration, Measure, Metric, MetricKind};
use crate::near_miss::nearest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Experiments; none: all that run.
    pub experiments: Vec<String>,
    /// Metrics; none: all custom ones of the experiments.
    pub metrics: Vec<String>,
    /// Keys for each arm, where it is known how units are dealt out, else for each experiment.
    pub keys: usize,
    /// Attributes of contexts, which rules and filters may ask for.
    pub attributes: Vec<Attribute>,
}

/// An attribute of a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Context kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl FromStr for Attribute {
    type Err = &'static str;

    /// Reads `KIND/NAME=VALUE`; a value that is not JSON is a text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected KIND/NAME=VALUE, such as user/country=US or device/beta=true";
        let (place, value) = text.split_once('=').ok_or(EXPECTED)?;
        let (kind, name) = place.split_once('/').ok_or(EXPECTED)?;
        if kind.is_empty() || name.is_empty() || matches!(kind, "kind" | "multi") {
            return Err(EXPECTED);
        }
        if matches!(name, "key" | "kind") {
            return Err("the key of a probe is made anew, and its kind is the catalog's: expected another attribute");
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self { kind: kind.to_owned(), name: name.to_owned(), value })
    }
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mint {
    /// The probes.
    pub probes: Vec<Probe>,
    /// What is not probed, and why.
    pub notes: Vec<String>,
}

/// Makes probes. `random` is what tells their keys from those of any other run.
///
/// # Errors
/// Why there is nothing to probe, or what was asked for and is not there.
pub fn mint(catalog: &Catalog, wish: &Wish, random: &str, now_ms: i64) -> Result<Mint, String> {
    let mut mint = Mint::default();
    let chosen = experiments(catalog, wish, now_ms, &mut mint.notes)?;
    for key in &wish.metrics {
        let keys = catalog.metrics.iter().map(|metric| metric.key.as_str());
        let near = || nearest(key, keys.clone()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let Some(index) = catalog.metrics.iter().position(|metric| metric.key == *key) else {
            return Err(format!("there is no metric {key} in the catalog{}", near()));
        };
        if !chosen.iter().any(|(_, iteration)| iteration.metrics.contains(&index)) {
            let names: Vec<&str> = chosen.iter().map(|(experiment, _)| experiment.key.as_str()).collect();
            return Err(format!("the metric {key} is not measured by {}", names.join(" or ")));
        }
    }
    let mut number = 0;
    for (experiment, iteration) in chosen {
        let metrics = metrics(catalog, wish, experiment, iteration, &mut mint.notes);
        for (key, expected_arm) in keys(experiment, iteration, wish, random, &mut number, &mut mint.notes) {
            let kinds = kinds(catalog, wish, iteration, &metrics);
            let contexts = kinds.into_iter().map(|kind| {
                let of_kind = wish.attributes.iter().filter(|attribute| attribute.kind == kind);
                let attributes = of_kind.map(|attribute| (attribute.name.clone(), attribute.value.clone())).collect();
                (kind, ProbeContext { key: key.clone(), attributes })
            });
            mint.probes.push(Probe {
                experiment: experiment.key.clone(),
                iteration: iteration.id.clone(),
                flag: experiment.flag.clone(),
                unit_kind: iteration.randomization_unit.clone(),
                contexts: contexts.collect(),
                expected_arm,
                metrics: metrics.clone(),
            });
        }
    }
    Ok(mint)
}

type Running<'a> = (&'a Experiment, &'a Iteration);

fn experiments<'a>(
    catalog: &'a Catalog,
    wish: &Wish,
    now_ms: i64,
    notes: &mut Vec<String>,
) -> Result<Vec<Running<'a>>, String> {
    let mut chosen = Vec::new();
    for key in &wish.experiments {
        if !catalog.experiments.iter().any(|experiment| experiment.key == *key) {
            let near = nearest(key, catalog.experiments.iter().map(|experiment| experiment.key.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return Err(format!("there is no experiment {key} in the catalog{near}"));
        }
    }
    for experiment in &catalog.experiments {
        let is_named = wish.experiments.contains(&experiment.key);
        if !wish.experiments.is_empty() && !is_named {
            continue;
        }
        match experiment.iterations.iter().rfind(|iteration| iteration.contains(now_ms)) {
            Some(iteration) => chosen.push((experiment, iteration)),
            None => {
                let is_over =
                    experiment.iterations.last().is_some_and(|last| last.ended_at_ms.is_some_and(|it| it <= now_ms));
                let why = if is_over { "it has ended" } else { "it has not started" };
                let note =
                    format!("the experiment {} does not run: {why}, and nothing counts for it now", experiment.key);
                if is_named {
                    return Err(note);
                }
                notes.push(note);
            }
        }
    }
    if chosen.is_empty() {
        let why = if notes.is_empty() { "it has no experiment".to_owned() } else { notes.join("; ") };
        return Err(format!("there is nothing to probe in the catalog: {why}"));
    }
    Ok(chosen)
}

fn metrics(
    catalog: &Catalog,
    wish: &Wish,
    experiment: &Experiment,
    iteration: &Iteration,
    notes: &mut Vec<String>,
) -> Vec<ProbeMetric> {
    let all = iteration.metrics.iter().filter_map(|index| catalog.metrics.get(*index));
    let (mut taken, mut left_out) = (Vec::new(), Vec::new());
    for metric in all {
        let is_asked = match wish.metrics.as_slice() {
            [] => metric.kind == MetricKind::Custom,
            named => named.contains(&metric.key),
        };
        if is_asked {
            taken.push(ProbeMetric {
                metric: metric.key.clone(),
                event_key: metric.event_key.clone().filter(|_| metric.kind == MetricKind::Custom),
                has_value: metric.measure == Measure::Value,
                kind: metric.kind,
            });
        } else if wish.metrics.is_empty() {
            left_out.push(metric.key.as_str());
        }
    }
    if !left_out.is_empty() {
        notes.push(format!(
            "{}: clicks and page views are a browser's to send and are not asked for ({}); --metric KEY follows one all \
             the same",
            experiment.key,
            left_out.join(", ")
        ));
    }
    taken
}

/// The unit's kind, what the metrics analyse, and what attributes are asked of.
fn kinds(catalog: &Catalog, wish: &Wish, iteration: &Iteration, metrics: &[ProbeMetric]) -> Vec<String> {
    let mut kinds = vec![iteration.randomization_unit.clone()];
    let analysed = |asked: &ProbeMetric| {
        let metric: Option<&Metric> = catalog.metrics.iter().find(|metric| metric.key == asked.metric);
        metric.map(|metric| metric.units.clone()).unwrap_or_default()
    };
    kinds.extend(metrics.iter().flat_map(analysed));
    kinds.extend(wish.attributes.iter().map(|attribute| attribute.kind.clone()));
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Keys, each with the arm it falls in where that can be known.
fn keys(
    experiment: &Experiment,
    iteration: &Iteration,
    wish: &Wish,
    random: &str,
    number: &mut usize,
    notes: &mut Vec<String>,
) -> Vec<(String, Option<String>)> {
    let prefix = |number: usize| format!("exptap-probe-{random}-{number}");
    let Some(rollout) = &iteration.rollout else {
        return (0..wish.keys)
            .map(|_| {
                *number += 1;
                (prefix(*number), None)
            })
            .collect();
    };
    *number += 1;
    let mut keys = Vec::new();
    let found = find::keys(rollout, &experiment.flag, &format!("{}-", prefix(*number)), wish.keys);
    let mut by_arm: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for found in found.into_iter().filter(|found| !found.wanted.untracked) {
        by_arm.entry(found.wanted.variation).or_default().extend(found.keys);
    }
    for (variation, found) in by_arm {
        let arm = iteration.arm_name(variation);
        if found.len() < wish.keys {
            notes.push(format!("{}: fewer keys than asked for land in {arm}: its share is too small", experiment.key));
        }
        keys.extend(found.into_iter().map(|key| (key, Some(arm.clone()))));
    }
    keys
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::catalog::Origin;
    use crate::catalog::load::{Format, from_text};

    const CATALOG: &str = r#"
        [[metrics]]
        key = "conversion"
        event_key = "checkout"
        units = ["device", "user"]
        [[metrics]]
        key = "revenue"
        event_key = "purchase"
        measure = "value"
        units = ["device"]
        [[metrics]]
        key = "buy-clicks"
        kind = "click"
        selector = ".buy"
        units = ["device"]
        urls = [{ kind = "substring", substring = "shop" }]
        [[experiments]]
        key = "cta-test"
        flag = "cta"
        randomization_unit = "device"
        variations = [{ index = 0, name = "control" }, { index = 1, name = "treatment" }]
        metrics = ["conversion", "revenue", "buy-clicks"]
        started_at = 1
        [[experiments]]
        key = "over"
        flag = "old"
        metrics = []
        started_at = 1
        ended_at = 2
    "#;

    fn catalog(more: &str) -> Catalog {
        let text = CATALOG.replacen("started_at = 1\n", &format!("started_at = 1\n{more}\n"), 1);
        from_text(&text, "c.toml", Format::Toml, Origin::File).unwrap()
    }

    fn wish(experiments: &[&str], metrics: &[&str], keys: usize) -> Wish {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Wish { experiments: owned(experiments), metrics: owned(metrics), keys, attributes: Vec::new() }
    }

    #[test]
    fn an_experiment_that_runs_gets_keys_of_every_kind_it_needs() {
        let mint = mint(&catalog(""), &wish(&[], &[], 2), "7f3a", 10).unwrap();
        let units: Vec<String> = mint.probes.iter().map(Probe::unit).collect();
        assert_eq!(units, ["device/exptap-probe-7f3a-1", "device/exptap-probe-7f3a-2"]);
        let probe = &mint.probes[0];
        assert_eq!(
            probe.context_json().to_string(),
            r#"{"device":{"key":"exptap-probe-7f3a-1"},"kind":"multi","user":{"key":"exptap-probe-7f3a-1"}}"#
        );
        let metrics: Vec<(&str, bool)> =
            probe.metrics.iter().map(|metric| (metric.event_key.as_deref().unwrap(), metric.has_value)).collect();
        assert_eq!(metrics, [("checkout", false), ("purchase", true)]);
        assert_eq!(
            mint.notes,
            [
                "cta-test: clicks and page views are a browser's to send and are not asked for (buy-clicks); --metric \
                 KEY follows one all the same",
                "the experiment over does not run: it has ended, and nothing counts for it now"
            ]
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
        );
    }

    #[test]
    fn one_metric_by_one_kind_needs_no_other_and_takes_attributes() {
        let attributes = vec!["device/beta=true".parse().unwrap(), "device/os=ios".parse().unwrap()];
        let wish = Wish { attributes, ..wish(&["cta-test"], &["revenue"], 1) };
        let mint = mint(&catalog(""), &wish, "7f3a", 10).unwrap();
        assert_eq!(
            mint.probes[0].context_json().to_string(),
            r#"{"beta":true,"key":"exptap-probe-7f3a-1","kind":"device","os":"ios"}"#
        );
        assert_eq!(mint.notes, [""; 0]);
        for wrong in ["device", "device/key=x", "/a=b", "device/=b", "multi/a=b"] {
            assert!(wrong.parse::<Attribute>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn with_a_rollout_every_arm_gets_its_keys_and_who_is_left_out_none() {
        let rollout = "rollout = { seed = 61, variations = [{ variation = 0, weight = 20000 }, { variation = 1, weight = 20000 }, { variation = 0, weight = 60000, untracked = true }] }";
        let mint = mint(&catalog(rollout), &wish(&["cta-test"], &[], 2), "7f3a", 10).unwrap();
        let arms: Vec<&str> = mint.probes.iter().map(|probe| probe.expected_arm.as_deref().unwrap()).collect();
        assert_eq!(arms, ["control", "control", "treatment", "treatment"]);
    }

    #[test]
    fn what_is_not_there_or_does_not_run_is_refused_with_what_is_near() {
        let why = |experiments: &[&str], metrics: &[&str], now_ms| {
            mint(&catalog(""), &wish(experiments, metrics, 1), "7f3a", now_ms).unwrap_err()
        };
        assert_eq!(
            why(&["cta_test"], &[], 10),
            "there is no experiment cta_test in the catalog; did you mean cta-test?"
        );
        assert_eq!(
            why(&["over"], &[], 10),
            "the experiment over does not run: it has ended, and nothing counts for it now"
        );
        assert!(why(&[], &[], 0).starts_with(
            "there is nothing to probe in the catalog: the experiment cta-test does not run: it has not started"
        ));
        assert_eq!(why(&[], &["Revenue"], 10), "there is no metric Revenue in the catalog; did you mean revenue?");
        assert_eq!(why(&["over"], &["revenue"], 1), "the metric revenue is not measured by over");
    }
}
