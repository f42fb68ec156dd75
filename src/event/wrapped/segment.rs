//! LaunchDarkly events that its Data Export sends to Segment: `track` calls whose properties are the members of the
//! event. Two documents name the calls differently (`page view` and `Page`), so that case and spelling do not matter.

use super::{
    Cow, EvaluationReason, Event, Format, Kind, Members, MetricValue, Shape, Wrapping, name, number, text, time, wrap,
};
use crate::event::ContextKeys;
use crate::json::{self, Value};

/// The properties that are read; `null` is as good as absent.
#[derive(Default)]
struct Properties<'a> {
    environment: Option<Value<'a>>,
    project: Option<Value<'a>>,
    key: Option<Value<'a>>,
    user_id: Option<Value<'a>>,
    context_keys: Option<Value<'a>>,
    variation: Option<Value<'a>>,
    flag_version: Option<Value<'a>>,
    in_experiment: Option<Value<'a>>,
    reason_kind: Option<Value<'a>>,
    url: Option<Value<'a>>,
    selector: Option<Value<'a>>,
    metric_value: Option<Value<'a>>,
}

impl<'a> Properties<'a> {
    fn of(raw: &'a str) -> Self {
        let mut properties = Self::default();
        json::members(raw, |name, value| {
            let property = match &*name.text() {
                "environment" => &mut properties.environment,
                "project" => &mut properties.project,
                "key" => &mut properties.key,
                "userId" => &mut properties.user_id,
                "contextKeys" => &mut properties.context_keys,
                "variation" => &mut properties.variation,
                "flagVersion" => &mut properties.flag_version,
                "inExperiment" => &mut properties.in_experiment,
                "reasonKind" => &mut properties.reason_kind,
                "url" => &mut properties.url,
                "selector" => &mut properties.selector,
                "metricValue" => &mut properties.metric_value,
                _ => return,
            };
            *property = Some(value).filter(|value| *value != Value::Null);
        });
        properties
    }
}

/// The kind of event a Segment event is an export of, by its name and by what only LaunchDarkly's have.
pub(super) fn kind(members: &Members<'_>) -> Option<Kind> {
    let (Some(Value::String(call)), Some(Value::String(event)), Some(Value::Object(properties))) =
        (members.call, members.event, members.properties)
    else {
        return None;
    };
    let kind = match &*event.text().to_ascii_lowercase() {
        "feature" => Kind::Feature,
        "custom" => Kind::Custom,
        "click" => Kind::Click,
        "page view" | "pageview" | "page" => Kind::PageView,
        _ => return None,
    };
    let properties = Properties::of(properties);
    let is_text = |value: Option<Value<'_>>| matches!(value, Some(Value::String(_)));
    (call.is("track") && is_text(properties.environment) && is_text(properties.project)).then_some(kind)
}

/// Reads it.
pub(super) fn event<'a>(raw: &'a str, members: &Members<'a>) -> Result<Event<'a>, String> {
    let kind = kind(members).unwrap_or(Kind::Other);
    let properties = match members.properties {
        Some(Value::Object(properties)) => Properties::of(properties),
        _ => Properties::default(),
    };
    let key = name("key", properties.key)?;
    if key.is_none() && matches!(kind, Kind::Feature | Kind::Custom) {
        return Err("the exported event has no key".to_owned());
    }
    let mut context_keys = ContextKeys::default();
    let has_contexts = if let Some(Value::Object(keys)) = properties.context_keys {
        json::members(keys, |kind, key| {
            if let Value::String(key) = key {
                context_keys.add(kind.text(), key.text());
            }
        });
        true
    } else {
        false
    };
    if let Some(key) = text("userId", properties.user_id.or(members.user_id))? {
        context_keys.add(Cow::Borrowed("user"), key.text());
    }
    context_keys.settle();
    let received_ms = time("receivedAt", members.received_at)?;
    let reason_kind = name("reasonKind", properties.reason_kind)?;
    let in_experiment = properties.in_experiment == Some(Value::Bool(true));
    let has_reason = kind == Kind::Feature && (reason_kind.is_some() || properties.in_experiment.is_some());
    let reason =
        has_reason.then(|| EvaluationReason { kind: reason_kind, in_experiment, ..EvaluationReason::default() });
    let event = Event {
        kind,
        kind_name: Cow::Borrowed(kind.name().unwrap_or_default()),
        key,
        creation_ms: time("timestamp", members.timestamp)?.or(received_ms),
        context_keys,
        shape: Shape::Contexts,
        variation: properties.variation.and_then(Value::integer),
        version: properties.flag_version.and_then(Value::integer),
        reason,
        metric_value: properties.metric_value.map_or(MetricValue::Missing, number),
        url: name("url", properties.url)?,
        selector: name("selector", properties.selector)?,
        sampling_ratio: None,
        context: None,
        user: None,
        data: None,
        features: None,
        dropped_events: None,
        wrapping: None,
        raw,
    };
    let environment = name("environment", properties.environment)?;
    let wrapping =
        Wrapping { received_ms, environment, lacks_other_kinds: !has_contexts, ..Wrapping::new(Format::SegmentExport) };
    Ok(wrap(event, wrapping))
}
