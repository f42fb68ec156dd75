//! Metrics: which nothing asks for, and whose keys invite mistakes.

use super::{Concern, Standing, standing};
use crate::attribution::filter::CompiledFilter;
use crate::catalog::{Catalog, Metric};
use crate::near_miss::near_miss;
use crate::reason::{ReasonCode, Severity};

pub(super) fn review(catalog: &Catalog, now_ms: i64, concerns: &mut Vec<Concern>) {
    for (index, metric) in catalog.metrics.iter().enumerate() {
        concerns.extend(unused(catalog, index, metric, now_ms));
        concerns.extend(key_of_another(catalog, metric));
        concerns.extend(look_alike(catalog.metrics.get(..index).unwrap_or_default(), metric));
        if metric.filter.as_ref().is_some_and(|filter| !CompiledFilter::new(filter).is_modelled()) {
            concerns.push(
                Concern::of(ReasonCode::FilterUnsupported, &[("metric", &metric.key)])
                    .at_metric(&metric.key, &["filter"]),
            );
        }
        if metric.exclude_units_without_events {
            concerns.push(
                Concern::new(
                    "units-excluded",
                    Severity::Info,
                    format!("Units without events are left out of {}.", metric.key),
                )
                .why("Its denominator is the units that converted, not all that were exposed.")
                .at_metric(&metric.key, &["exclude_units_without_events"]),
            );
        }
    }
}

fn unused(catalog: &Catalog, index: usize, metric: &Metric, now_ms: i64) -> Option<Concern> {
    let measuring = || {
        let iterations = catalog.experiments.iter().flat_map(|experiment| &experiment.iterations);
        iterations.filter(|iteration| iteration.metrics.contains(&index))
    };
    if measuring().any(|iteration| standing(iteration, now_ms) == Standing::Running) {
        return None;
    }
    let slots = [("metric", metric.key.as_str())];
    let concern = Concern::of(ReasonCode::MetricNotInExperiment, &slots).severity(Severity::Info);
    Some(
        if measuring().next().is_some() {
            Concern {
                what: format!("{} is measured only by iterations that do not run now.", metric.key),
                fix: String::new(),
                ..concern
            }
        } else {
            concern
        }
        .why("Its events arrive and are counted nowhere.")
        .at_metric(&metric.key, &[]),
    )
}

/// An event key that is the key of another metric: who tracks that key means the other one.
fn key_of_another(catalog: &Catalog, metric: &Metric) -> Option<Concern> {
    let event_key = metric.event_key.as_deref()?;
    let other = catalog.metrics.iter().find(|other| {
        other.key == event_key && other.key != metric.key && other.event_key.as_deref() != Some(event_key)
    })?;
    let theirs = other.event_key.as_deref().map_or_else(String::new, |key| format!(", whose event key is {key}"));
    Some(
        Concern::new(
            "metric-key-used",
            Severity::Warning,
            format!("The event key of {} is the key of another metric, {}{theirs}.", metric.key, other.key),
        )
        .why(format!("Whoever tracks {event_key} and means {} moves {} instead.", other.key, metric.key))
        .fix("Give the two names that cannot be mistaken for one another, and look at what is tracked.")
        .at_metric(&metric.key, &["event_key"]),
    )
}

/// Two event keys that differ by what people overlook.
fn look_alike(before: &[Metric], metric: &Metric) -> Option<Concern> {
    let event_key = metric.event_key.as_deref()?;
    if before.iter().any(|other| other.event_key.as_deref() == Some(event_key)) {
        return None;
    }
    let near = near_miss(event_key, before).filter(|near| ["case", "space", "separator"].contains(&near.how))?;
    Some(
        Concern::new(
            "event-key-case",
            Severity::Warning,
            format!("The event keys {event_key} and {} differ by {} only.", near.event_key, near.how),
        )
        .why(format!("Keys are compared byte for byte: an event moves {} or {}, never both.", metric.key, near.metric))
        .fix("If they mean the same, make them the same.")
        .at_metric(&metric.key, &["event_key"]),
    )
}
