//! A Segment destination against a catalog: whether the events it sends can carry the units the experiments need.

use super::{Concern, Standing, current, joined};
use crate::catalog::{Catalog, Filter, Measure, Metric, MetricKind};
use crate::reason::{ReasonCode, Severity};
use crate::segment::{Action, Destination, MappingKinds};

pub(super) fn review(
    catalog: &Catalog,
    destination: &Destination,
    mappings: &[MappingKinds],
    now_ms: i64,
    concerns: &mut Vec<Concern>,
) {
    for mapping in mappings {
        if let Some(words) = &mapping.refusal {
            concerns.push(
                Concern::new(
                    "segment-rejected",
                    Severity::Error,
                    format!("Mapping {} never sends anything: {words}", mapping.mapping),
                )
                .why("The destination refuses every event that it is given by this mapping.")
                .fix("Correct the mapping in Segment.")
                .mapping(mapping.mapping),
            );
        }
    }
    concerns.extend(other_environment(catalog, destination));
    let tracking: Vec<&MappingKinds> =
        mappings.iter().filter(|it| it.action == Action::TrackEvent && it.refusal.is_none()).collect();
    if tracking.is_empty() {
        concerns.push(
            Concern::new(
                "segment-not-subscribed",
                Severity::Error,
                "No enabled mapping sends events that can be conversions.".to_owned(),
            )
            .why("Only the action trackEvent makes custom events.")
            .fix("Enable a Track Event mapping of the destination."),
        );
        return;
    }
    let mut looked_at = Vec::new();
    for experiment in &catalog.experiments {
        let Some((iteration, standing)) = current(experiment, now_ms) else { continue };
        if standing == Standing::Ended {
            continue;
        }
        let unit = &iteration.randomization_unit;
        let of = |metric: &&Metric| metric.kind == MetricKind::Custom && metric.units.contains(unit);
        let metrics: Vec<&Metric> =
            iteration.metrics.iter().filter_map(|index| catalog.metric(*index)).filter(of).collect();
        if let Some(concern) = lacks_unit(&experiment.key, unit, &metrics, &tracking) {
            concerns.push(concern.at_iteration((experiment, iteration), &["randomization_unit"]));
        }
        for index in &iteration.metrics {
            if !looked_at.contains(index) {
                looked_at.push(*index);
                concerns.extend(catalog.metric(*index).and_then(|metric| cannot_feed(metric, &tracking)));
            }
        }
    }
}

/// The destination sends to the environment of its client-side id.
fn other_environment(catalog: &Catalog, destination: &Destination) -> Option<Concern> {
    let (own, sent) = (catalog.environment.client_side_id.as_deref()?, destination.client_side_id()?);
    let environment = catalog.environment.key.as_deref().unwrap_or(own);
    (own != sent).then(|| {
        Concern::of(ReasonCode::WrongEnvironment, &[("environment", environment)])
            .what(format!(
                "Segment sends to the client-side ID {sent}; the experiments are in {environment}, which has {own}."
            ))
            .why("Its events arrive in another environment, where these experiments are not.")
            .fix(format!("Set the destination's LaunchDarkly client-side ID to {own}."))
    })
}

/// The unit of an experiment against the kinds of each mapping.
fn lacks_unit(experiment: &str, unit: &str, metrics: &[&Metric], tracking: &[&MappingKinds]) -> Option<Concern> {
    if metrics.is_empty() {
        return None;
    }
    let without: Vec<&&MappingKinds> = tracking.iter().filter(|it| it.source(unit).is_none()).collect();
    if without.is_empty() {
        return None;
    }
    let is_open = |mapping: &&&&MappingKinds| !mapping.open.is_empty();
    let open: Vec<&str> = without.iter().filter(is_open).flat_map(|it| &it.open).map(String::as_str).collect();
    let kinds = joined(without.iter().flat_map(|it| &it.kinds).map(|it| it.kind.as_str()));
    let kinds = if kinds.is_empty() { "none by name".to_owned() } else { kinds };
    let numbers: Vec<String> = without.iter().map(|it| it.mapping.to_string()).collect();
    let numbers = numbers.join(", ");
    let which = if without.len() == 1 { format!("Mapping {numbers}") } else { format!("Mappings {numbers}") };
    let names = joined(metrics.iter().map(|metric| metric.key.as_str()));
    let concern = Concern::of(ReasonCode::EventLacksUnit, &[("unit", unit), ("kinds", &kinds)]).fix(format!(
        "In Segment, under Additional Context Keys, add {unit}: the path of a field that holds the very key {experiment}'s flag is evaluated with."
    ));
    let concern = match without.as_slice() {
        [only] => concern.mapping(only.mapping),
        _ => concern,
    };
    Some(if without.len() == tracking.len() && open.is_empty() {
        Concern {
            what: format!("{experiment} randomizes by {unit}, and Segment sends no {unit} key (it sends {kinds})."),
            why: format!(
                "A conversion counts only if its event carries the key of the {unit} that was exposed. No event of Segment can, so {names} stays at zero."
            ),
            ..concern
        }
    } else if open.is_empty() {
        Concern {
            what: format!("{which} sends no {unit} key, by which {experiment} randomizes (it sends {kinds})."),
            why: format!("Events that come by it cannot move {names}; those of the other mappings can."),
            ..concern.severity(Severity::Warning)
        }
    } else {
        Concern {
            what: format!(
                "{which} sends a {unit} key, by which {experiment} randomizes, only if {} gives one.",
                open.join(" or ")
            ),
            why: format!(
                "Which kinds its events carry is decided by each event: where there is no {unit}, {names} is not moved."
            ),
            ..concern.severity(Severity::Warning)
        }
    })
}

/// What Segment's events cannot be, whatever units they carry.
fn cannot_feed(metric: &Metric, tracking: &[&MappingKinds]) -> Option<Concern> {
    if metric.kind != MetricKind::Custom {
        return Some(
            Concern::new(
                "segment-custom-only",
                Severity::Info,
                format!("{} is measured by clicks or page views.", metric.key),
            )
            .why("Segment's destination sends custom events only; this metric needs LaunchDarkly's browser SDK.")
            .at_metric(&metric.key, &["kind"]),
        );
    }
    if metric.measure == Measure::Value && !tracking.iter().any(|it| it.has_metric_value) {
        return Some(
            Concern::of(ReasonCode::NumericValueMissing, &[("metric", &metric.key)])
                .why("Metric Value is not mapped, so no event of Segment carries a number.")
                .fix("In Segment, map Metric Value to the field that holds the number.")
                .at_metric(&metric.key, &["measure"]),
        );
    }
    let attribute = metric.filter.as_ref().and_then(context_attribute)?;
    Some(
        Concern::of(ReasonCode::FilterUnsupported, &[("metric", &metric.key)])
            .severity(Severity::Warning)
            .why(format!("The filter reads the context attribute {attribute}; events of Segment carry context keys and no attributes."))
            .fix("Filter by a property of the event instead: Segment sends its properties as data.")
            .at_metric(&metric.key, &["filter"]),
    )
}

/// An attribute that a filter reads of a context, other than its key.
fn context_attribute(filter: &Filter) -> Option<&str> {
    match filter {
        Filter::Group { members, .. } => members.iter().find_map(context_attribute),
        Filter::Attribute { context_kind: Some(_), attribute, .. } if attribute != "key" => Some(attribute),
        Filter::Attribute { .. } | Filter::Unsupported { .. } => None,
    }
}
