//! Writing a catalog: the JSON that [`super::load`] reads back as the same catalog.

use super::{
    Aggregation, Arm, Catalog, Environment, Experiment, Filter, Flag, FlagRule, Iteration, Measure, Metric, MetricKind,
    Serves, UrlMatcher,
};
use crate::bucketing::{Rollout, Share};
use serde_json::{Map, Value, json};

impl Catalog {
    /// The catalog in the JSON form of its file format, as a recording's header holds it. Defaults are written out,
    /// what is absent is left out.
    pub fn to_json(&self) -> Value {
        let keys = |indexes: &[usize]| -> Vec<&str> {
            indexes.iter().filter_map(|index| self.metrics.get(*index)).map(|metric| metric.key.as_str()).collect()
        };
        let groups = self.metric_groups.iter().map(|group| {
            json!({"key": group.key, "kind": if group.funnel { "funnel" } else { "standard" }, "metrics": keys(&group.metrics)})
        });
        let versions = |iteration: &Iteration| {
            let versions = iteration.metric_versions.iter();
            versions.filter_map(|(index, version)| Some((self.metric(*index)?.key.clone(), version.clone()))).collect()
        };
        let iteration = |iteration: &Iteration| {
            let groups: Vec<&str> = iteration
                .metric_groups
                .iter()
                .filter_map(|index| self.metric_groups.get(*index))
                .map(|group| group.key.as_str())
                .collect();
            object([
                ("id", Some(iteration.id.clone().into())),
                ("randomization_unit", Some(iteration.randomization_unit.clone().into())),
                ("rule", iteration.rule.as_ref().map(|rule| rule.name().into())),
                ("variations", iteration.arms.as_ref().map(|arms| arms.iter().map(arm).collect())),
                ("metrics", Some(keys(&iteration.metrics).into())),
                ("metric_groups", Some(groups.into())),
                ("started_at", iteration.started_at_ms.map(instant)),
                ("ended_at", iteration.ended_at_ms.map(instant)),
                ("flag_config_version", iteration.flag_config_version.map(Value::from)),
                ("rollout", iteration.rollout.as_ref().map(rollout)),
                ("metric_versions", (!iteration.metric_versions.is_empty()).then(|| versions(iteration))),
            ])
        };
        let experiment = |experiment: &Experiment| {
            object([
                ("key", Some(experiment.key.clone().into())),
                ("flag", Some(experiment.flag.clone().into())),
                ("layer", experiment.layer.clone().map(Value::from)),
                ("holdout", experiment.holdout.clone().map(Value::from)),
                ("data_source", experiment.data_source.clone().map(Value::from)),
                ("iterations", Some(experiment.iterations.iter().map(iteration).collect())),
            ])
        };
        object([
            ("environment", Some(environment(&self.environment))),
            ("metrics", Some(self.metrics.iter().map(metric).collect())),
            ("metric_groups", Some(groups.collect())),
            ("experiments", Some(self.experiments.iter().map(experiment).collect())),
            ("flags", (!self.flags.is_empty()).then(|| self.flags.iter().map(flag).collect())),
        ])
    }
}

/// An object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let present = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn environment(environment: &Environment) -> Value {
    object([
        ("project", environment.project.clone().map(Value::from)),
        ("key", environment.key.clone().map(Value::from)),
        ("client_side_id", environment.client_side_id.clone().map(Value::from)),
        ("credentials", environment.credentials.clone().map(Value::from)),
    ])
}

fn metric(metric: &Metric) -> Value {
    let kind = match metric.kind {
        MetricKind::Custom => "custom",
        MetricKind::Click => "click",
        MetricKind::PageView => "pageview",
    };
    let measure = match metric.measure {
        Measure::Occurrence => "occurrence",
        Measure::Count => "count",
        Measure::Value => "value",
    };
    let aggregation = match metric.aggregation {
        Aggregation::Average => "average",
        Aggregation::Sum => "sum",
    };
    object([
        ("key", Some(metric.key.clone().into())),
        ("event_key", metric.event_key.clone().map(Value::from)),
        ("kind", Some(kind.into())),
        ("measure", Some(measure.into())),
        ("aggregation", Some(aggregation.into())),
        ("units", Some(metric.units.clone().into())),
        ("urls", (!metric.urls.is_empty()).then(|| metric.urls.iter().map(url).collect())),
        ("selector", metric.selector.clone().map(Value::from)),
        ("exclude_units_without_events", Some(metric.exclude_units_without_events.into())),
        ("percentile", metric.percentile.map(Value::from)),
        ("filter", metric.filter.as_ref().map(filter)),
        ("id", metric.id.clone().map(Value::from)),
        ("version", metric.version.clone().map(Value::from)),
        ("data_source", metric.data_source.clone().map(Value::from)),
    ])
}

fn url(matcher: &UrlMatcher) -> Value {
    match matcher {
        UrlMatcher::Exact(url) => json!({"kind": "exact", "url": url}),
        UrlMatcher::Canonical(url) => json!({"kind": "canonical", "url": url}),
        UrlMatcher::Substring(part) => json!({"kind": "substring", "substring": part}),
        UrlMatcher::Regex(pattern) => json!({"kind": "regex", "pattern": pattern}),
    }
}

fn filter(node: &Filter) -> Value {
    match node {
        Filter::Group { all, members, negate } => {
            let members: Value = members.iter().map(filter).collect();
            json!({"type": "group", "op": if *all { "and" } else { "or" }, "values": members, "negate": negate})
        }
        Filter::Attribute { context_kind, attribute, op, values, negate } => {
            let kind = if context_kind.is_some() { "contextAttribute" } else { "eventProperty" };
            object([
                ("type", Some(kind.into())),
                ("contextKind", context_kind.clone().map(Value::from)),
                ("attribute", Some(attribute.clone().into())),
                ("op", Some(op.clone().into())),
                ("values", Some(values.clone().into())),
                ("negate", Some((*negate).into())),
            ])
        }
        Filter::Unsupported { what } => json!({"type": what}),
    }
}

fn flag(flag: &Flag) -> Value {
    let rule = |rule: &FlagRule| {
        let serves = match rule.serves {
            Serves::Variation => "variation",
            Serves::Rollout => "rollout",
            Serves::Experiment => "experiment",
        };
        object([
            ("id", Some(rule.rule.name().into())),
            ("serves", Some(serves.into())),
            ("unit", rule.unit.clone().map(Value::from)),
        ])
    };
    object([
        ("key", Some(flag.key.clone().into())),
        ("on", flag.on.map(Value::from)),
        ("archived", Some(flag.archived.into())),
        ("version", flag.version.map(Value::from)),
        ("rules", flag.rules.as_ref().map(|rules| rules.iter().map(rule).collect())),
    ])
}

fn arm(arm: &Arm) -> Value {
    object([
        ("index", Some(arm.variation.into())),
        ("id", arm.id.clone().map(Value::from)),
        ("name", Some(arm.name.clone().into())),
        ("allocation", Some(arm.allocation.into())),
    ])
}

/// A rollout in the notation of a catalog.
pub(super) fn rollout(rollout: &Rollout) -> Value {
    let share =
        |share: &Share| json!({"variation": share.variation, "weight": share.weight, "untracked": share.untracked});
    object([
        ("seed", rollout.seed.map(Value::from)),
        ("salt", rollout.salt.clone().map(Value::from)),
        ("variations", Some(rollout.variations.iter().map(share).collect())),
    ])
}

/// RFC 3339, because a number can be mistaken for seconds and is refused where it may be.
fn instant(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.into(), |instant| instant.to_string().into())
}
