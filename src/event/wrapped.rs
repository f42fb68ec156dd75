//! Events that do not come as an SDK sends them: unwrapped from an envelope of LaunchDarkly's Data Export or from a
//! debug session of `ldcli dev-server`, or put together from a row of a warehouse's Data Export tables.
//!
//! They are told from bare events by what a bare event never has, and looked for only where something cannot be a
//! bare event: reading bare events costs nothing more. What a format tells beyond the event, or cannot tell, stands
//! in [`Wrapping`]; `docs/sources.md` lists the members and columns that are read.

mod segment;

use super::{ContextKeys, EvaluationReason, Event, Kind, MetricValue, Shape, decode};
use crate::json::{self, JsonString, Value, Walker};
use std::borrow::Cow;

/// What an event came wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Data Export, streaming: `{"project", "environment", "event", "version"}`.
    ExportEnvelope,
    /// A row of a warehouse's `evaluation_events`.
    EvaluationRow,
    /// A row of a warehouse's `metric_events`.
    MetricRow,
    /// An event of a debug session of `ldcli dev-server`: `{"id", "written_at", "kind", "data"}`.
    DebugSession,
    /// Data Export to Segment: a `track` call of a LaunchDarkly source, the event's members among its properties.
    SegmentExport,
}

/// What stands around an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrapping<'a> {
    /// What it is.
    pub format: Format,
    /// When the event arrived, where the format says: epoch ms.
    pub received_ms: Option<i64>,
    /// The environment it names.
    pub environment: Option<Cow<'a, str>>,
    /// The iteration LaunchDarkly itself says the event is an exposure of.
    pub iteration_id: Option<Cow<'a, str>>,
    /// The variation served, where it is named by its id and not by its index.
    pub variation_id: Option<Cow<'a, str>>,
    /// It has the user's key and nothing of other kinds, whatever the event had.
    pub lacks_other_kinds: bool,
}

impl Wrapping<'_> {
    /// Whether it is a row: one context of an event, without those of other kinds, without the rule that served, and
    /// without the event's own data.
    pub fn is_row(&self) -> bool {
        matches!(self.format, Format::EvaluationRow | Format::MetricRow)
    }

    /// Whether the format has no place for the rule that served, for attributes and for data.
    pub(super) fn is_partial(&self) -> bool {
        self.is_row() || self.format == Format::SegmentExport
    }
}

/// The members that tell, and those that are read. `null` is as good as absent: some warehouses write the one, some
/// the other.
#[derive(Default)]
struct Members<'a> {
    has_kind: bool,
    project: Option<Value<'a>>,
    environment: Option<Value<'a>>,
    event: Option<Value<'a>>,
    written_at: Option<Value<'a>>,
    data: Option<Value<'a>>,
    flag_key: Option<Value<'a>>,
    event_key: Option<Value<'a>>,
    event_value: Option<Value<'a>>,
    context_kind: Option<Value<'a>>,
    context_key: Option<Value<'a>>,
    context_attributes: Option<Value<'a>>,
    variation_id: Option<Value<'a>>,
    reason_kind: Option<Value<'a>>,
    reason_detail: Option<Value<'a>>,
    experiment_iteration_id: Option<Value<'a>>,
    received_time: Option<Value<'a>>,
    environment_id: Option<Value<'a>>,
    call: Option<Value<'a>>,
    properties: Option<Value<'a>>,
    user_id: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    received_at: Option<Value<'a>>,
}

impl<'a> Members<'a> {
    fn of(raw: &'a str) -> Self {
        let mut members = Self::default();
        json::members(raw, |name, value| members.take(name, value));
        members
    }

    fn take(&mut self, name: JsonString<'a>, value: Value<'a>) {
        let name = name.text();
        // Snowflake's columns are in upper case unless somebody quoted them.
        let lower =
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name };
        let member = match &*lower {
            "kind" => {
                self.has_kind = true;
                return;
            }
            "project" => &mut self.project,
            "environment" => &mut self.environment,
            "event" => &mut self.event,
            "written_at" => &mut self.written_at,
            "data" => &mut self.data,
            "flag_key" => &mut self.flag_key,
            "event_key" => &mut self.event_key,
            "event_value" => &mut self.event_value,
            "context_kind" => &mut self.context_kind,
            "context_key" => &mut self.context_key,
            "context_attributes" => &mut self.context_attributes,
            "variation_id" => &mut self.variation_id,
            "reason_kind" => &mut self.reason_kind,
            "reason_detail" => &mut self.reason_detail,
            "experiment_iteration_id" => &mut self.experiment_iteration_id,
            "received_time" => &mut self.received_time,
            "environment_id" => &mut self.environment_id,
            "type" => &mut self.call,
            "properties" => &mut self.properties,
            "userid" => &mut self.user_id,
            "timestamp" => &mut self.timestamp,
            "receivedat" => &mut self.received_at,
            _ => return,
        };
        *member = Some(value).filter(|value| *value != Value::Null);
    }

    fn format(&self) -> Option<Format> {
        if self.has_kind {
            return (self.written_at.is_some() && self.data.is_some()).then_some(Format::DebugSession);
        }
        if self.event.is_some() && (self.environment.is_some() || self.project.is_some()) {
            return Some(Format::ExportEnvelope);
        }
        if segment::kind(self).is_some() {
            return Some(Format::SegmentExport);
        }
        let is_row = self.context_kind.is_some() || self.context_key.is_some() || self.received_time.is_some();
        match (is_row, self.flag_key, self.event_key) {
            (true, Some(_), _) => Some(Format::EvaluationRow),
            (true, None, Some(_)) => Some(Format::MetricRow),
            _ => None,
        }
    }
}

/// Reads an object that is no bare event as one of the formats; none: it is none of them. An error says what is wrong
/// with it.
pub(super) fn unwrap(raw: &str) -> Option<Result<Event<'_>, String>> {
    let members = Members::of(raw);
    let format = members.format()?;
    Some(match format {
        Format::ExportEnvelope => export(raw, &members),
        Format::DebugSession => debug_session(raw, &members),
        Format::SegmentExport => segment::event(raw, &members),
        Format::EvaluationRow | Format::MetricRow => row(raw, &members, format),
    })
}

/// Reads an event of Segment's as one that LaunchDarkly's Data Export sent there; none: it is not.
pub(super) fn exported_to_segment(raw: &str) -> Option<Result<Event<'_>, String>> {
    let members = Members::of(raw);
    segment::kind(&members).map(|_| segment::event(raw, &members))
}

/// Whether an object is meant as one of the formats, or as a page of them, whatever is wrong with it.
pub(crate) fn is_wrapped(raw: &str) -> bool {
    Members::of(raw).format().is_some() || page(raw).is_some()
}

/// Where the events of a page of a debug session begin: the answer of `GET /dev/debug-sessions/{key}/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// There are none.
    Empty,
    /// Offset of the array in the page.
    Events(usize),
}

/// Reads an object that is no event as a page of a debug session.
pub(super) fn page(raw: &str) -> Option<Page> {
    let (mut events, mut is_page) = (None, false);
    json::members(raw, |name, value| match name.raw {
        "events" => events = Some(value),
        "total_count" | "has_more" => is_page = true,
        _ => {}
    });
    match events.filter(|_| is_page)? {
        Value::Array(array) => Some(Page::Events((array.as_ptr() as usize).checked_sub(raw.as_ptr() as usize)?)),
        // Go's empty list.
        Value::Null => Some(Page::Empty),
        _ => None,
    }
}

fn text<'a>(name: &str, value: Option<Value<'a>>) -> Result<Option<JsonString<'a>>, String> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("its {name} is {}, not a string", other.kind())),
    }
}

/// As [`text`]; what is empty says nothing.
fn name<'a>(name: &str, value: Option<Value<'a>>) -> Result<Option<Cow<'a, str>>, String> {
    Ok(text(name, value)?.map(JsonString::text).filter(|text| !text.is_empty()))
}

fn time(name: &str, value: Option<Value<'_>>) -> Result<Option<i64>, String> {
    let Some(value) = value else { return Ok(None) };
    let instant = match value {
        Value::Number(_) => decode::instant(value),
        Value::String(text) => instant(&text.text()),
        _ => None,
    };
    instant.map(Some).ok_or_else(|| {
        format!("its {name} is {}, not epoch milliseconds, RFC 3339 or YYYY-MM-DD HH:MM:SS in UTC", shown(value))
    })
}

/// A value for a message, in few words.
fn shown(value: Value<'_>) -> String {
    match value {
        Value::String(text) if text.raw.len() <= 40 => format!("“{}”", text.text()),
        Value::Number(number) if number.len() <= 40 => number.to_owned(),
        other => other.kind().to_owned(),
    }
}

/// A time as warehouses, Go and SQLite write it. Without an offset it is UTC, which the exports say of themselves.
fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let text = text.strip_suffix("UTC").map_or(text, str::trim_end);
    // Snowflake sets the offset apart.
    let joined = match text.rsplit_once(' ') {
        Some((time, offset)) if offset.starts_with(['+', '-', 'Z']) => Cow::Owned(format!("{time}{offset}")),
        _ => Cow::Borrowed(text),
    };
    let instant = joined.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = joined.parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(instant.as_millisecond())
}

/// The event in a member: an object, or a string that holds one.
fn inner<'a>(member: &str, value: Value<'a>, raw: &'a str) -> Result<Event<'a>, String> {
    let event = match value {
        Value::Object(text) => decode::bare(text).map(|event| Event { raw, ..event }),
        Value::String(text) => {
            let text = text.text();
            object_in(&text)
                .map_err(|what| format!("what it holds {what}"))
                .and_then(|text| decode::bare(text).map(|event| owned(event, raw)))
        }
        other => return Err(format!("its {member} is {}, not an object", other.kind())),
    };
    event.map_err(|reason| format!("its {member} is no event: {reason}"))
}

/// The object a text holds, and nothing else.
fn object_in(text: &str) -> Result<&str, String> {
    let mut walker = Walker::new(text);
    match walker.value() {
        Ok(Value::Object(object)) if walker.is_at_end() => Ok(object),
        Ok(Value::Object(_)) => Err("goes on after an object".to_owned()),
        Ok(other) => Err(format!("is {}, not an object", other.kind())),
        Err(fault) => Err(format!("is not JSON: {}", fault.what)),
    }
}

fn export<'a>(raw: &'a str, members: &Members<'a>) -> Result<Event<'a>, String> {
    name("project", members.project)?;
    let environment = name("environment", members.environment)?;
    let event = members.event.ok_or_else(|| "it has no event".to_owned())?;
    if !matches!(event, Value::Object(_)) {
        return Err(format!("its event is {}, not an object", event.kind()));
    }
    Ok(wrap(inner("event", event, raw)?, Wrapping { environment, ..Wrapping::new(Format::ExportEnvelope) }))
}

fn debug_session<'a>(raw: &'a str, members: &Members<'a>) -> Result<Event<'a>, String> {
    let received_ms = time("written_at", members.written_at)?;
    let data = members.data.ok_or_else(|| "it has no data".to_owned())?;
    Ok(wrap(inner("data", data, raw)?, Wrapping { received_ms, ..Wrapping::new(Format::DebugSession) }))
}

impl Wrapping<'_> {
    fn new(format: Format) -> Self {
        Self {
            format,
            received_ms: None,
            environment: None,
            iteration_id: None,
            variation_id: None,
            lacks_other_kinds: false,
        }
    }
}

fn wrap<'a>(event: Event<'a>, wrapping: Wrapping<'a>) -> Event<'a> {
    Event { wrapping: Some(Box::new(wrapping)), ..event }
}

fn required<'a>(name: &str, value: Option<Value<'a>>) -> Result<JsonString<'a>, String> {
    text(name, value)?.filter(|text| !text.raw.is_empty()).ok_or_else(|| format!("the row has no {name}"))
}

/// An evaluation or a conversion of one context, as a warehouse has it.
fn row<'a>(raw: &'a str, members: &Members<'a>, format: Format) -> Result<Event<'a>, String> {
    let is_evaluation = format == Format::EvaluationRow;
    let key =
        if is_evaluation { required("flag_key", members.flag_key) } else { required("event_key", members.event_key) };
    let key = key?;
    let context_kind = required("context_kind", members.context_kind)?;
    let context_key = required("context_key", members.context_key)?;
    let received = time("received_time", members.received_time)?;
    let received_ms = Some(received.ok_or_else(|| "the row has no received_time".to_owned())?);
    let mut context_keys = ContextKeys::default();
    context_keys.add(context_kind.text(), context_key.text());
    let iteration_id = name("experiment_iteration_id", members.experiment_iteration_id)?.filter(|_| is_evaluation);
    let reason = if is_evaluation { Some(reason(members, iteration_id.is_some())?) } else { None };
    let (kind, kind_name) = if is_evaluation { (Kind::Feature, "feature") } else { (Kind::Custom, "custom") };
    let wrapping = Wrapping {
        received_ms,
        environment: name("environment_id", members.environment_id)?,
        iteration_id,
        variation_id: name("variation_id", members.variation_id)?,
        ..Wrapping::new(format)
    };
    Ok(Event {
        kind,
        kind_name: Cow::Borrowed(kind_name),
        key: Some(key.text()),
        // The tables have no time of the SDK's: what LaunchDarkly received stands for it on either clock.
        creation_ms: received_ms,
        context_keys,
        shape: Shape::Contexts,
        variation: None,
        version: None,
        reason,
        metric_value: members.event_value.map_or(MetricValue::Missing, number),
        url: None,
        selector: None,
        sampling_ratio: None,
        context: context(members, context_kind, context_key)?.map(Cow::Owned),
        user: None,
        data: None,
        features: None,
        dropped_events: None,
        wrapping: Some(Box::new(wrapping)),
        raw,
    })
}

/// Warehouses write numbers of some types as strings, lest digits get lost: that says nothing of what the SDK sent.
fn number(value: Value<'_>) -> MetricValue<'_> {
    match value {
        Value::String(text) => match text.text().trim().parse::<f64>() {
            Ok(number) if number.is_finite() => MetricValue::Number(number),
            _ => MetricValue::Invalid(text.text()),
        },
        value => {
            value.number().map_or_else(|| MetricValue::Invalid(decode::written(value).into()), MetricValue::Number)
        }
    }
}

/// An object, or a string that holds one; an empty string holds nothing.
fn object<'a>(name: &str, value: Option<Value<'a>>) -> Result<Option<Cow<'a, str>>, String> {
    match value {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(Cow::Borrowed(object))),
        Some(Value::String(string)) => {
            let text = string.text();
            if matches!(text.trim(), "" | "null") {
                return Ok(None);
            }
            object_in(&text).map_err(|what| format!("its {name} {what}"))?;
            Ok(Some(text))
        }
        Some(other) => Err(format!("its {name} is {}, not an object", other.kind())),
    }
}

/// An iteration's id is there only for exposures, by LaunchDarkly's own account: with it the evaluation was in the
/// experiment, without it and without a reason that says otherwise it was not.
fn reason<'a>(members: &Members<'a>, is_exposure: bool) -> Result<EvaluationReason<'a>, String> {
    let mut reason = EvaluationReason { in_experiment: is_exposure, ..EvaluationReason::default() };
    if let Some(detail) = object("reason_detail", members.reason_detail)? {
        json::members(&detail, |name, value| {
            let owned = || value.string().map(|text| Cow::Owned(text.text().into_owned()));
            match &*name.text() {
                "in_experiment" | "inExperiment" => reason.in_experiment |= value == Value::Bool(true),
                "rule_id" | "ruleId" => reason.rule_id = owned(),
                "error_kind" | "errorKind" => reason.error_kind = owned(),
                _ => {}
            }
        });
    }
    reason.kind = name("reason_kind", members.reason_kind)?;
    Ok(reason)
}

/// The row's context as an SDK writes one; none where the row has no attributes, for then nothing is known of them.
fn context(members: &Members<'_>, kind: JsonString<'_>, key: JsonString<'_>) -> Result<Option<String>, String> {
    let Some(attributes) = object("context_attributes", members.context_attributes)? else { return Ok(None) };
    let inside = attributes.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().trim();
    let comma = if inside.is_empty() { "" } else { "," };
    Ok(Some(format!(r#"{{{inside}{comma}"kind":"{}","key":"{}"}}"#, kind.raw, key.raw)))
}

/// The same event, borrowing nothing of the text it was read from.
fn owned<'a>(event: Event<'_>, raw: &'a str) -> Event<'a> {
    fn own<'a>(text: Option<Cow<'_, str>>) -> Option<Cow<'a, str>> {
        text.map(|text| Cow::Owned(text.into_owned()))
    }
    let mut context_keys = ContextKeys::default();
    for (kind, key) in event.context_keys.iter() {
        context_keys.add(Cow::Owned(kind.to_owned()), Cow::Owned(key.to_owned()));
    }
    Event {
        kind: event.kind,
        kind_name: Cow::Owned(event.kind_name.into_owned()),
        key: own(event.key),
        creation_ms: event.creation_ms,
        context_keys,
        variation: event.variation,
        shape: event.shape,
        version: event.version,
        reason: event.reason.map(|reason| EvaluationReason {
            kind: own(reason.kind),
            rule_id: own(reason.rule_id),
            in_experiment: reason.in_experiment,
            error_kind: own(reason.error_kind),
        }),
        metric_value: match event.metric_value {
            MetricValue::Missing => MetricValue::Missing,
            MetricValue::Number(number) => MetricValue::Number(number),
            MetricValue::Invalid(text) => MetricValue::Invalid(Cow::Owned(text.into_owned())),
        },
        url: own(event.url),
        selector: own(event.selector),
        sampling_ratio: event.sampling_ratio,
        context: own(event.context),
        user: own(event.user),
        data: own(event.data),
        features: own(event.features),
        dropped_events: event.dropped_events,
        wrapping: None,
        raw,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_read_as_warehouses_and_databases_write_them() {
        for (text, expected) in [
            ("2024-10-22T17:00:00Z", Some(1_729_616_400_000)),
            ("2024-10-22T17:00:00.123Z", Some(1_729_616_400_123)),
            ("2024-10-22T19:00:00+02:00", Some(1_729_616_400_000)),
            ("2024-10-22 17:00:00", Some(1_729_616_400_000)),
            ("2024-10-22 17:00:00.123", Some(1_729_616_400_123)),
            ("2024-10-22 17:00:00.123456 UTC", Some(1_729_616_400_123)),
            ("2024-10-22 17:00:00.000 Z", Some(1_729_616_400_000)),
            ("2024-10-22 19:00:00.000 +0200", Some(1_729_616_400_000)),
            ("1729616400000", Some(1_729_616_400_000)),
            ("yesterday", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
    }

    fn fault(raw: &str) -> String {
        unwrap(raw).unwrap().unwrap_err()
    }

    #[test]
    fn garbage_in_a_wrapper_says_what_is_wrong_with_it() {
        let row = |members: &str| fault(&format!(r#"{{"flag_key":"f","context_key":"u",{members}}}"#));
        for (said, expected) in [
            (fault(r#"{"environment":7,"event":{}}"#), "its environment is a number, not a string"),
            (fault(r#"{"project":[],"environment":"e","event":{}}"#), "its project is an array, not a string"),
            (fault(r#"{"environment":"e","event":"x"}"#), "its event is a string, not an object"),
            (fault(r#"{"environment":"e","event":{"kind":"custom"}}"#), "its event is no event: it has no key"),
            (
                fault(r#"{"kind":"custom","written_at":"noon","data":{}}"#),
                "its written_at is “noon”, not epoch milliseconds, RFC 3339 or YYYY-MM-DD HH:MM:SS in UTC",
            ),
            (
                fault(r#"{"kind":"custom","written_at":1,"data":"{\"kind\":"}"#),
                "its data is no event: what it holds is not JSON: the text ends in the middle of a value",
            ),
            (row(r#""received_time":1"#), "the row has no context_kind"),
            (row(r#""context_kind":"user""#), "the row has no received_time"),
            (row(r#""context_kind":7,"received_time":1"#), "its context_kind is a number, not a string"),
            (
                row(r#""context_kind":"user","received_time":1,"reason_detail":"[]""#),
                "its reason_detail is an array, not an object",
            ),
            (
                row(r#""context_kind":"user","received_time":1,"context_attributes":3"#),
                "its context_attributes is a number, not an object",
            ),
            (
                row(r#""context_kind":"user","received_time":1,"experiment_iteration_id":3"#),
                "its experiment_iteration_id is a number, not a string",
            ),
        ] {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_row_s_context_is_what_an_sdk_would_have_written() {
        let raw = r#"{"EVENT_KEY":"buy","EVENT_VALUE":"12.50","CONTEXT_KIND":"user","CONTEXT_KEY":"u\"1","CONTEXT_ATTRIBUTES":"{\"country\": {\"code\":\"US\"}}","RECEIVED_TIME":"2024-10-22 17:00:00.000"}"#;
        let event = unwrap(raw).unwrap().unwrap();
        assert_eq!(event.context.as_deref(), Some(r#"{"country": {"code":"US"},"kind":"user","key":"u\"1"}"#));
        assert_eq!(event.context_keys.key("user"), Some("u\"1"));
        assert_eq!(event.metric_value, MetricValue::Number(12.5));
    }

    #[test]
    fn an_ordinary_object_is_none_of_these() {
        for raw in [
            r#"{"a":1}"#,
            r#"{"kind":"custom","data":{}}"#,
            r#"{"event":{}}"#,
            r#"{"flag_key":"f"}"#,
            r#"{"events":[]}"#,
        ] {
            assert!(unwrap(raw).is_none(), "{raw}");
            assert_eq!(page(raw), None, "{raw}");
        }
        assert_eq!(page(r#"{"events":null,"total_count":0,"has_more":false}"#), Some(Page::Empty));
        assert_eq!(page(r#"{"has_more":true,"events": [1]}"#), Some(Page::Events(27)));
    }
}
