//! Experiments: whether they run, on what, and whether their metrics can be read by their unit.

use super::{Concern, Standing, current, joined};
use crate::catalog::{Catalog, Experiment, Iteration, Rule, Serves, is_warehouse};
use crate::reason::{ReasonCode, Severity};

pub(super) fn review(catalog: &Catalog, now_ms: i64, concerns: &mut Vec<Concern>) {
    for experiment in &catalog.experiments {
        let Some((iteration, standing)) = current(experiment, now_ms) else { continue };
        let it = (experiment, iteration);
        if let Some(concern) = not_running(it, standing) {
            concerns.push(concern);
        }
        // Nothing of what is over can be put right.
        if standing == Standing::Ended {
            continue;
        }
        units(catalog, it, concerns);
        flag(catalog, it, concerns);
        arms(it, concerns);
        sources(catalog, it, concerns);
        concerns.extend(shared(catalog, it, now_ms));
    }
}

type Place<'a> = (&'a Experiment, &'a Iteration);

fn not_running(it: Place<'_>, standing: Standing) -> Option<Concern> {
    let key = &it.0.key;
    Some(match standing {
        Standing::Running => return None,
        Standing::NotStarted => Concern::of(ReasonCode::IterationNotStarted, &[])
            .severity(Severity::Warning)
            .what(format!("{key} has not been started."))
            .why("Nothing is counted for it before Start, whatever arrives.")
            .at_iteration(it, &[]),
        Standing::Coming => Concern::of(ReasonCode::BeforeIterationStart, &[])
            .what(format!("{key} starts at an instant that is yet to come."))
            .why("Nothing is counted for it until then.")
            .fix("Correct started_at if it runs already.")
            .at_iteration(it, &["started_at"]),
        Standing::Ended => Concern::of(ReasonCode::AfterIterationEnd, &[])
            .severity(Severity::Info)
            .what(format!("Every iteration of {key} is over."))
            .why("Events of today are counted for none of them.")
            .at_iteration(it, &["ended_at"]),
    })
}

/// The randomization unit against the analysis units of every metric (rule A2): the commonest fault of all.
fn units(catalog: &Catalog, it: Place<'_>, concerns: &mut Vec<Concern>) {
    let (experiment, iteration) = it;
    let unit = &iteration.randomization_unit;
    for metric in iteration.metrics.iter().filter_map(|index| catalog.metric(*index)) {
        if !metric.units.contains(unit) {
            let units = joined(metric.units.iter().map(String::as_str));
            let slots = [("unit", unit.as_str()), ("metric", metric.key.as_str()), ("units", units.as_str())];
            let mut concern = Concern::of(ReasonCode::MetricUnitMismatch, &slots).at_metric(&metric.key, &["units"]);
            concern.experiment = Some(experiment.key.clone());
            concern.iteration = Some(iteration.id.clone());
            concern.why = format!(
                "A conversion is joined with an exposure by the key of the {unit}. {} is read by {units} only, so none of its events can count in {}.",
                metric.key, experiment.key
            );
            concerns.push(concern);
        }
    }
    if iteration.metrics.is_empty() {
        concerns.push(
            Concern::new("no-metrics", Severity::Warning, format!("{} measures nothing.", experiment.key))
                .why("Exposures are seen, but no event can be a conversion of it.")
                .fix("List its metrics.")
                .at_iteration(it, &["metrics"]),
        );
    }
    for (index, pinned) in &iteration.metric_versions {
        let Some(metric) = catalog.metric(*index) else { continue };
        if let Some(version) = metric.version.as_ref().filter(|version| *version != pinned) {
            concerns.push(
                Concern::new(
                    "metric-version-pinned",
                    Severity::Warning,
                    format!(
                        "{} was edited after this iteration of {} had started (version {version}; the iteration has {pinned}).",
                        metric.key, experiment.key
                    ),
                )
                .why("The iteration may still go by the old version: what this catalog says of the metric, its units included, need not be what LaunchDarkly measures.")
                .fix("Start a new iteration to measure by the metric as it is now.")
                .at_iteration(it, &["metric_versions", &metric.key])
                .metric(&metric.key),
            );
        }
    }
}

/// Whether the flag serves the experiment to anybody, and by the same unit.
fn flag(catalog: &Catalog, it: Place<'_>, concerns: &mut Vec<Concern>) {
    let (experiment, iteration) = it;
    let Some(flag) = catalog.flag(&experiment.flag) else { return };
    let slots = [("flag", flag.key.as_str())];
    if flag.on == Some(false) {
        concerns.push(
            Concern::of(ReasonCode::FlagOff, &slots)
                .what(format!("{} is off.", flag.key))
                .why(format!("Everybody gets its off variation, and nobody is exposed to {}.", experiment.key))
                .at_iteration(it, &["flag"]),
        );
    }
    if flag.archived {
        concerns.push(
            Concern::new("flag-archived", Severity::Error, format!("{} is archived.", flag.key))
                .why(format!("SDKs do not get it any more, so nobody is exposed to {}.", experiment.key))
                .fix("Restore the flag, or stop the experiment.")
                .at_iteration(it, &["flag"]),
        );
    }
    if let (Some(has), Some(needs)) = (flag.version, iteration.flag_config_version)
        && has != needs
    {
        concerns.push(
            if has < needs {
                Concern::of(ReasonCode::StaleFlagConfig, &slots)
                    .severity(Severity::Warning)
                    .what(format!(
                        "The iteration of {} began with version {needs} of {}, and the version here is {has}.",
                        experiment.key, flag.key
                    ))
                    .why("What this catalog says of the flag is older than the iteration.")
                    .fix("Pull the catalog again; if it is the same then, what answers is behind.")
            } else {
                Concern::new(
                    "flag-changed-since-start",
                    Severity::Info,
                    format!("{} was changed since this iteration began (version {needs} then, {has} now).", flag.key),
                )
                .why("Rules, targets or the rollout may be others than the ones it began with.")
            }
            .at_iteration(it, &["flag_config_version"]),
        );
    }
    rule(flag.rules.as_deref(), it, concerns);
}

fn rule(rules: Option<&[crate::catalog::FlagRule]>, it: Place<'_>, concerns: &mut Vec<Concern>) {
    let (experiment, iteration) = it;
    let (Some(rules), flag) = (rules, &experiment.flag) else { return };
    let of_experiments: Vec<_> = rules.iter().filter(|rule| rule.serves == Serves::Experiment).collect();
    let Some(named) = &iteration.rule else {
        if of_experiments.is_empty() {
            concerns.push(without_rollout(it, format!("No rule of {flag} serves an experiment.")));
        }
        return;
    };
    let name = match named {
        Rule::Fallthrough => "the default rule".to_owned(),
        Rule::Id(id) => format!("the rule {id}"),
    };
    let Some(rule) = rules.iter().find(|rule| rule.rule == *named) else {
        concerns.push(
            Concern::of(ReasonCode::OtherRule, &[])
                .severity(Severity::Error)
                .what(format!("{} runs on {name} of {flag}, and {flag} has no such rule.", experiment.key))
                .why("Whatever serves a variation, it is another rule, and no evaluation is an exposure.")
                .fix(format!("Name one of its rules: {}.", joined(rules.iter().map(|rule| rule.rule.name()))))
                .at_iteration(it, &["rule"]),
        );
        return;
    };
    match rule.serves {
        Serves::Variation => {
            concerns
                .push(without_rollout(it, format!("{} of {flag} serves one variation to everybody.", capital(&name))));
        }
        Serves::Rollout => {
            concerns.push(without_rollout(
                it,
                format!("{} of {flag} is a percentage rollout and belongs to no experiment.", capital(&name)),
            ));
        }
        Serves::Experiment => {
            let unit = &iteration.randomization_unit;
            if let Some(dealt) = rule.unit.as_ref().filter(|dealt| *dealt != unit) {
                concerns.push(
                    Concern::new(
                        "rollout-unit-mismatch",
                        Severity::Error,
                        format!("{} randomizes by {unit}, and {name} of {flag} deals out by {dealt}.", experiment.key),
                    )
                    .why(format!(
                        "Who gets which variation is decided by the {dealt}; exposures by {unit} would be mixed."
                    ))
                    .fix(format!("Set randomization_unit to {dealt}, or pull the catalog again."))
                    .at_iteration(it, &["randomization_unit"]),
                );
            }
        }
    }
}

fn without_rollout(it: Place<'_>, what: String) -> Concern {
    Concern::new("rule-without-rollout", Severity::Error, what)
        .why(format!(
            "Its evaluations are not part of an experiment (not-in-experiment), so nobody is exposed to {}.",
            it.0.key
        ))
        .fix("Start the experiment on this rule in LaunchDarkly, or name the rule it runs on.")
        .at_iteration(it, &["rule"])
}

fn arms(it: Place<'_>, concerns: &mut Vec<Concern>) {
    let (experiment, iteration) = it;
    if let Some([only]) = iteration.arms.as_deref() {
        concerns.push(
            Concern::new("one-arm", Severity::Warning, format!("{} has one arm only, {}.", experiment.key, only.name))
                .why("There is nothing to compare it with, and exposures to other variations are variation-not-a-treatment.")
                .fix("List every variation that is part of the experiment.")
                .at_iteration(it, &["variations"]),
        );
    }
}

/// What keeps units or events away for good reason.
fn sources(catalog: &Catalog, it: Place<'_>, concerns: &mut Vec<Concern>) {
    let (experiment, iteration) = it;
    if let Some(source) = experiment.data_source.as_deref().filter(|source| is_warehouse(source)) {
        concerns.push(in_warehouse(&experiment.key, source).at_iteration(it, &["data_source"]));
    }
    for metric in iteration.metrics.iter().filter_map(|index| catalog.metric(*index)) {
        if let Some(source) = metric.data_source.as_deref().filter(|source| is_warehouse(source)) {
            let mut concern = in_warehouse(&metric.key, source).at_metric(&metric.key, &["data_source"]);
            concern.experiment = Some(experiment.key.clone());
            concerns.push(concern);
        }
    }
    if let Some(holdout) = &experiment.holdout {
        concerns.push(
            Concern::new("holdout", Severity::Info, format!("{} is under the holdout {holdout}.", experiment.key))
                .why("Some units are kept out of it on purpose; they look like prerequisite-failed or not-in-experiment.")
                .at_iteration(it, &["holdout"]),
        );
    }
    if let Some(layer) = &experiment.layer {
        concerns.push(
            Concern::new("layer", Severity::Info, format!("{} shares the layer {layer} with others.", experiment.key))
                .why("A unit is in one experiment of a layer at the most: units of the others look like not-in-experiment.")
                .at_iteration(it, &["layer"]),
        );
    }
}

fn in_warehouse(what: &str, source: &str) -> Concern {
    Concern::new("metric-in-warehouse", Severity::Warning, format!("{what} is read from {source}."))
        .why("Events of SDKs and of Segment cannot move it, however many arrive here.")
        .fix("Look for its rows in the warehouse, or measure it by a metric of LaunchDarkly's own data.")
}

/// Another experiment on the same flag and rule at the same time: a unit can only be in one of them.
fn shared(catalog: &Catalog, it: Place<'_>, now_ms: i64) -> Option<Concern> {
    let (experiment, iteration) = it;
    let others = catalog.experiments.iter().skip_while(|other| other.key != experiment.key).skip(1);
    let mut others = others.filter(|other| other.flag == experiment.flag);
    let other = others.find(|other| {
        current(other, now_ms).is_some_and(|(theirs, standing)| {
            standing == Standing::Running
                && iteration.started_at_ms.is_some()
                && (theirs.rule == iteration.rule || theirs.rule.is_none() || iteration.rule.is_none())
        })
    })?;
    Some(
        Concern::new(
            "flag-shared",
            Severity::Warning,
            format!("{} and {} run on the same rule of {}.", experiment.key, other.key, experiment.flag),
        )
        .why("Every evaluation is an exposure for both, though a rule serves one experiment at a time.")
        .fix("Give each the rule it runs on, or end the one that is over.")
        .at_iteration(it, &["rule"]),
    )
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
