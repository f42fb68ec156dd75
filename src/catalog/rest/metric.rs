//! A metric of the REST API.

use super::super::assembly::Assembly;
use super::super::layout::Part;
use super::super::read_metric::FILTER_KEYS;
use super::{list, text, warehouse};
use serde_json::{Map, Value, json};

/// What LaunchDarkly can measure and exptap cannot compute. Events are judged all the same.
const NOT_MODELLED: &[(&str, &str)] = &[
    ("denominator", "it is a ratio of two events"),
    ("winsorLowerPercentile", "it caps extreme values"),
    ("winsorUpperPercentile", "it caps extreme values"),
    ("windowStartOffset", "it counts only in a window of time"),
    ("windowEndOffset", "it counts only in a window of time"),
];

/// Takes a metric.
pub(super) fn add(assembly: &mut Assembly, answer: &Value) {
    let Some(key) = text(answer, "key") else {
        return assembly.note(Part::Whole, "a metric without a key is left out".to_owned());
    };
    let part = Part::Metric(key.to_owned());
    let kind = text(answer, "kind").unwrap_or("custom");
    if !["custom", "click", "pageview"].contains(&kind) {
        return assembly.note(
            Part::Whole,
            format!(
                "metric {key} is left out: exptap does not know metrics of kind {kind}, and cannot judge their events"
            ),
        );
    }
    assembly.name(part.clone(), text(answer, "name").unwrap_or_default());
    let mut notes = Vec::new();
    let units: Vec<&str> = ["analysisUnits", "randomizationUnits"]
        .iter()
        .map(|name| list(answer, name))
        .find(|units| !units.is_empty())
        .map(|units| units.iter().filter_map(Value::as_str).filter(|unit| !unit.is_empty()).collect())
        .unwrap_or_default();
    if units.is_empty() {
        notes.push("LaunchDarkly names no analysis units of it; user is assumed".to_owned());
    }
    let is_numeric = answer.get("isNumeric") == Some(&Value::Bool(true));
    let aggregation = match text(answer, "unitAggregationType") {
        Some(known @ ("average" | "sum")) => Some(known),
        Some(other) => {
            notes.push(format!(
                "its aggregation, {other}, is not modelled: its events are judged, its means are not LaunchDarkly's"
            ));
            Some("sum")
        }
        None => None,
    };
    let measure = match (is_numeric, aggregation) {
        (true, _) => "value",
        (false, Some("sum")) => "count",
        (false, _) => "occurrence",
    };
    for (name, what) in NOT_MODELLED {
        if answer.get(name).is_some_and(|value| !value.is_null()) && !notes.iter().any(|note| note.contains(what)) {
            notes.push(format!(
                "{what}, which is not modelled: its events are judged, its figures are not LaunchDarkly's"
            ));
        }
    }
    let is_percentile = text(answer, "analysisType") == Some("percentile");
    let percentile = answer.get("percentileValue").filter(|value| is_percentile && value.is_number());
    let of_kind = |kinds: &[&str], name: &str| text(answer, name).filter(|_| kinds.contains(&kind));
    let value = json!({
        "key": key,
        "event_key": of_kind(&["custom"], "eventKey"),
        "kind": kind,
        "measure": measure,
        "aggregation": aggregation,
        "units": if units.is_empty() { vec!["user"] } else { units },
        "urls": if kind == "custom" { Value::Null } else { urls(answer, &mut notes) },
        "selector": of_kind(&["click"], "selector"),
        "exclude_units_without_events": answer.pointer("/eventDefault/disabled").filter(|it| it.is_boolean()),
        "percentile": percentile,
        "filter": answer.get("filters").map_or(Value::Null, |node| filter(node, &mut notes)),
        "id": text(answer, "_id"),
        "version": text(answer, "_versionId"),
        "data_source": warehouse(answer),
    });
    for note in notes {
        assembly.note(part.clone(), format!("metric {key}: {note}"));
    }
    assembly.add(&part, value);
}

/// Pages, but for those of a kind that no event is compared with.
fn urls(answer: &Value, notes: &mut Vec<String>) -> Value {
    let mut urls = Vec::new();
    for url in list(answer, "urls") {
        let kind = text(url, "kind").unwrap_or_default();
        let name = match kind {
            "exact" | "canonical" => "url",
            "substring" => "substring",
            "regex" => "pattern",
            other => {
                notes.push(format!("a page of kind {other:?} is left out: exptap does not know how it matches"));
                continue;
            }
        };
        match text(url, name) {
            Some(value) if kind == "regex" && !is_pattern(value) => {
                notes.push(format!(
                    "the page pattern {value:?} is left out: it is no regular expression exptap can run"
                ));
            }
            Some(value) => urls.push(json!({"kind": kind, name: value})),
            None => notes.push(format!("a page of kind {kind} without its {name} is left out")),
        }
    }
    // The list being there, though empty, would be a mistake in a file; the internal id still matches.
    if urls.is_empty() { Value::Null } else { urls.into() }
}

fn is_pattern(pattern: &str) -> bool {
    crate::attribution::pattern::JavaScriptPattern::compile(pattern).is_ok()
}

/// A filter in the notation of a catalog, which is the same but for what is nobody's business here. One that is no
/// filter is a filter of a kind that is not known: its events are then shown as not judged.
fn filter(node: &Value, notes: &mut Vec<String>) -> Value {
    let mut unsupported = |what: &str| {
        notes.push(format!("its filter cannot be read ({what}), so no event is judged by it"));
        json!({ "type": what })
    };
    let Value::Object(members) = node else {
        return if node.is_null() { Value::Null } else { unsupported("unreadable") };
    };
    let Some(kind) = text(node, "type") else {
        return if members.is_empty() { Value::Null } else { unsupported("untyped") };
    };
    let is_group = kind == "group";
    let known = members.iter().filter(|(key, value)| FILTER_KEYS.contains(&key.as_str()) && !value.is_null());
    let mut known: Map<String, Value> = known.map(|(key, value)| (key.clone(), value.clone())).collect();
    let is_complete = match kind {
        "group" => matches!(text(node, "op"), Some("and" | "or")) && !list(node, "values").is_empty(),
        "contextAttribute" | "eventProperty" => {
            text(node, "op").is_some() && text(node, "attribute").is_some() && known.contains_key("values")
        }
        other => return unsupported(other),
    };
    let has_values = known.get("values").is_some_and(Value::is_array);
    let has_negate = known.get("negate").is_none_or(Value::is_boolean);
    if !(is_complete && has_values && has_negate) {
        return unsupported(&format!("incomplete {kind}"));
    }
    if kind == "eventProperty" {
        known.remove("contextKind");
    }
    // TOML has no null, and no attribute that is one would match.
    if let Some(Value::Array(values)) = known.get_mut("values") {
        values.retain(|value| !value.is_null());
        if is_group {
            values.iter_mut().for_each(|value| *value = filter(value, notes));
        }
    }
    Value::Object(known)
}
