//! Reading a metric: its pages, its filter, and what makes sense together.

use super::fields::{Reader, Section};
use super::tree::{Entry, Node, Value};
use super::{Aggregation, Filter, Measure, Metric, MetricKind, UrlMatcher};

/// The keys of a metric.
pub(super) const KEYS: &[&str] = &[
    "key",
    "event_key",
    "kind",
    "measure",
    "aggregation",
    "units",
    "urls",
    "selector",
    "exclude_units_without_events",
    "percentile",
    "filter",
    "filters",
    "id",
    "version",
    "data_source",
];
pub(super) const FILTER_KEYS: &[&str] = &["type", "attribute", "op", "values", "contextKind", "negate"];

/// Reads one metric.
pub(super) fn read_metric(reader: &mut Reader, section: &Section<'_>) -> Metric {
    let kinds = [("custom", MetricKind::Custom), ("click", MetricKind::Click), ("pageview", MetricKind::PageView)];
    let kind = reader.choice(section, "kind", &kinds);
    // What a kind asks for is not asked where the kind itself is the mistake.
    let kind_is_known = kind.is_some() || section.get("kind").is_none();
    let kind = kind.unwrap_or_default();
    let measures = [("occurrence", Measure::Occurrence), ("count", Measure::Count), ("value", Measure::Value)];
    let measure = reader.choice(section, "measure", &measures).unwrap_or_default();
    let aggregations = [("average", Aggregation::Average), ("sum", Aggregation::Sum)];
    let aggregation = reader.choice(section, "aggregation", &aggregations).unwrap_or(match measure {
        Measure::Occurrence => Aggregation::Average,
        Measure::Count | Measure::Value => Aggregation::Sum,
    });
    let units = reader.texts(section, "units");
    if let (Some([]), Some(node)) = (units.as_deref(), section.get("units")) {
        reader.fault(
            node.at,
            format!(
                "{}: units is empty; expected at least one context kind; leave it out for [\"user\"]",
                section.name
            ),
        );
    }
    let metric = Metric {
        key: reader.required_text(section, "key"),
        event_key: match kind {
            MetricKind::Custom if kind_is_known => Some(reader.required_text(section, "event_key")),
            _ => reader.text(section, "event_key"),
        },
        kind,
        measure,
        aggregation,
        units: units.map_or_else(
            || vec!["user".to_owned()],
            |units| units.into_iter().map(|(_, unit)| unit.to_owned()).collect(),
        ),
        urls: read_urls(reader, section),
        selector: reader.text(section, "selector"),
        exclude_units_without_events: reader.boolean(section, "exclude_units_without_events").unwrap_or_default(),
        percentile: reader.number(section, "percentile"),
        filter: section
            .get("filter")
            .or_else(|| section.get("filters"))
            .and_then(|node| read_filter(reader, node, &section.name)),
        id: reader.text(section, "id"),
        version: reader.text(section, "version"),
        data_source: reader.text(section, "data_source"),
    };
    check_metric(reader, section, &metric);
    if kind_is_known {
        check_kind(reader, section, &metric);
    }
    metric
}

/// What each key allows taken alone, and the metric as a whole does not.
fn check_metric(reader: &mut Reader, section: &Section<'_>, metric: &Metric) {
    let name = &section.name;
    if let (Some(node), Some(percentile)) = (section.get("percentile"), metric.percentile)
        && !(percentile > 0.0 && percentile < 100.0)
    {
        reader.fault(node.at, format!("{name}: percentile is {percentile}; expected a number above 0 and below 100"));
    }
    if let (Some(_), Some(node)) = (section.get("filter"), section.get("filters")) {
        reader.fault(node.at, format!("{name}: filter and filters are the same; remove one"));
    }
}

/// What the metric's kind asks for, and what it has no use for.
fn check_kind(reader: &mut Reader, section: &Section<'_>, metric: &Metric) {
    let name = &section.name;
    let inapplicable: &[&str] = match metric.kind {
        MetricKind::Custom => &["urls", "selector"],
        MetricKind::PageView => &["event_key", "selector"],
        MetricKind::Click => &["event_key"],
    };
    for entry in section.entries.iter().filter(|entry| inapplicable.contains(&entry.key.as_str())) {
        if matches!(entry.node.value, Value::Null) {
            continue;
        }
        let kind = match metric.kind {
            MetricKind::Custom => "custom",
            MetricKind::Click => "click",
            MetricKind::PageView => "pageview",
        };
        reader.fault(
            entry.key_at,
            format!("{name}: {} means nothing for a metric of kind {kind}; remove it, or change the kind", entry.key),
        );
    }
    // Without these no event could ever match, and that would look like traffic that never came.
    let lacking = match metric.kind {
        MetricKind::Custom => None,
        MetricKind::Click | MetricKind::PageView if metric.id.is_some() => None,
        MetricKind::Click | MetricKind::PageView if section.get("urls").is_none() => Some("urls"),
        MetricKind::Click if section.get("selector").is_none() => Some("selector"),
        MetricKind::Click | MetricKind::PageView => None,
    };
    if let Some(key) = lacking {
        reader.fault(section.at, format!("{name}: {key} is missing; expected it here, or LaunchDarkly's internal id as id; without either no event can match"));
    }
}

fn read_urls(reader: &mut Reader, section: &Section<'_>) -> Vec<UrlMatcher> {
    const KEYS: &[&str] = &["kind", "url", "substring", "pattern"];
    type Make = fn(String) -> UrlMatcher;
    let kinds: [(&str, (&str, Make)); 4] = [
        ("exact", ("url", UrlMatcher::Exact)),
        ("canonical", ("url", UrlMatcher::Canonical)),
        ("substring", ("substring", UrlMatcher::Substring)),
        ("regex", ("pattern", UrlMatcher::Regex)),
    ];
    let sections = reader.sections(section, "urls", "url", "", KEYS).unwrap_or_default();
    let mut urls = Vec::with_capacity(sections.len());
    for url in sections {
        let Some((key, make)) = reader.required_choice(&url, "kind", &kinds) else { continue };
        for entry in url.entries.iter().filter(|entry| KEYS.contains(&entry.key.as_str())) {
            if entry.key != "kind" && entry.key != key {
                let kind = url.get("kind").map(|node| node.value.describe()).unwrap_or_default();
                reader.fault(
                    entry.key_at,
                    format!("{}: {} means nothing for a url of kind {kind}; expected {key}", url.name, entry.key),
                );
            }
        }
        let matcher = make(reader.required_text(&url, key));
        if let UrlMatcher::Regex(pattern) = &matcher
            && let Err(error) = crate::attribution::pattern::JavaScriptPattern::compile(pattern)
        {
            reader.fault(url.at, format!("{}: {error}", url.name));
        }
        urls.push(matcher);
    }
    urls
}

fn read_filter(reader: &mut Reader, node: &Node, owner: &str) -> Option<Filter> {
    let name = format!("{owner}: filter");
    let Value::Table(entries) = &node.value else {
        reader.fault(
            node.at,
            format!("{name} is {}; expected a table with type, attribute, op and values", node.value.describe()),
        );
        return None;
    };
    let type_of = |entry: &&Entry| entry.key == "type";
    let known = ["group", "contextAttribute", "eventProperty"];
    if let Some(Value::Text(other)) = entries.iter().find(type_of).map(|entry| &entry.node.value)
        && !known.contains(&other.as_str())
    {
        // Not ours to refuse: LaunchDarkly may have types this tool has not seen. Its verdicts are then unknown.
        return Some(Filter::Unsupported { what: other.clone() });
    }
    let section = reader.section(node, name, FILTER_KEYS)?;
    let kind = reader.required_text(&section, "type");
    let negate = reader.boolean(&section, "negate").unwrap_or_default();
    let values = reader.required_array(&section, "values");
    if kind == "group" {
        let all = reader.required_choice(&section, "op", &[("and", true), ("or", false)]).unwrap_or(true);
        if values.is_empty() && section.get("values").is_some() {
            reader.fault(
                section.at,
                format!("{}: a group without values; expected at least one filter in it", section.name),
            );
        }
        let members = values.iter().filter_map(|node| read_filter(reader, node, owner)).collect();
        return Some(Filter::Group { all, members, negate });
    }
    let context_kind = reader.text(&section, "contextKind");
    if let (Some(node), "eventProperty") = (section.get("contextKind"), kind.as_str()) {
        reader.fault(node.at, format!("{}: contextKind means nothing for an eventProperty; remove it", section.name));
    }
    Some(Filter::Attribute {
        context_kind: (kind == "contextAttribute").then(|| context_kind.unwrap_or_else(|| "user".to_owned())),
        attribute: reader.required_text(&section, "attribute"),
        op: reader.required_text(&section, "op"),
        values: values.iter().map(|node| node.value.to_json()).collect(),
        negate,
    })
}
