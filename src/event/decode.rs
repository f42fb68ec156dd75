//! One JSON object → one [`Event`].

use super::{ContextKeys, EvaluationReason, Event, Kind, MetricValue, Shape, wrapped};
use crate::json::{self, Fault, JsonString, Value, Walker};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The members of an event that are asked about, as they stand in the text.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Value<'a>>,
    key: Option<Value<'a>>,
    creation_date: Option<Value<'a>>,
    end_date: Option<Value<'a>>,
    context_keys: Option<&'a str>,
    context: Option<&'a str>,
    user: Option<&'a str>,
    user_key: Option<JsonString<'a>>,
    variation: Option<i64>,
    version: Option<i64>,
    reason: Option<&'a str>,
    metric_value: Option<Value<'a>>,
    metric_value_text: &'a str,
    url: Option<JsonString<'a>>,
    selector: Option<JsonString<'a>>,
    sampling_ratio: Option<i64>,
    data: Option<&'a str>,
    features: Option<&'a str>,
    dropped_events: Option<i64>,
}

fn object(value: Value<'_>) -> Option<&str> {
    if let Value::Object(text) = value { Some(text) } else { None }
}

pub(super) fn written(value: Value<'_>) -> &str {
    match value {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(text) | Value::Array(text) | Value::Object(text) => text,
        // Quotes are left out; the text is for comparing and for showing, not for parsing again.
        Value::String(string) => string.raw,
    }
}

impl<'a> Members<'a> {
    /// As in JavaScript, the last of several members with one name is the one that holds.
    fn take(&mut self, key: JsonString<'a>, value: Value<'a>) {
        // An SDK writes no escapes in member names, but nothing forbids them.
        let unescaped;
        let name = if key.escaped {
            unescaped = key.text();
            unescaped.as_ref()
        } else {
            key.raw
        };
        match name {
            "kind" => self.kind = Some(value),
            "key" => self.key = Some(value),
            "creationDate" => self.creation_date = Some(value),
            "endDate" => self.end_date = Some(value),
            "contextKeys" => self.context_keys = object(value),
            "context" => self.context = object(value),
            "user" => self.user = object(value),
            "userKey" => self.user_key = value.string(),
            "variation" => self.variation = value.integer(),
            "version" => self.version = value.integer(),
            "reason" => self.reason = object(value),
            "metricValue" => {
                self.metric_value = Some(value);
                self.metric_value_text = written(value);
            }
            "url" => self.url = value.string(),
            "selector" => self.selector = value.string(),
            "samplingRatio" => self.sampling_ratio = value.integer(),
            "data" => self.data = (value != Value::Null).then(|| written_json(value)).flatten(),
            "features" => self.features = object(value),
            "droppedEvents" => self.dropped_events = value.integer(),
            _ => {}
        }
    }

    fn context_keys(&self) -> ContextKeys<'a> {
        let mut keys = ContextKeys::default();
        if let Some(text) = self.context_keys {
            json::members(text, |kind, key| {
                if let Value::String(key) = key {
                    keys.add(kind.text(), key.text());
                }
            });
        }
        if let Some(text) = self.context {
            add_context(&mut keys, text);
        }
        if let Some(text) = self.user {
            json::members(text, |name, key| {
                if let (true, Value::String(key)) = (name.is("key"), key) {
                    keys.add(Cow::Borrowed("user"), key.text());
                }
            });
        }
        if let Some(key) = self.user_key {
            keys.add(Cow::Borrowed("user"), key.text());
        }
        keys.settle();
        keys
    }

    fn shape(&self) -> Shape {
        match self {
            Self { context_keys: Some(_), context: None, .. } => Shape::ContextKeys,
            Self { user_key: Some(_), context: None, user: None, .. } => Shape::UserKey,
            _ => Shape::Contexts,
        }
    }

    fn reason(&self) -> Option<EvaluationReason<'a>> {
        let mut reason = EvaluationReason::default();
        json::members(self.reason?, |name, value| match name.raw {
            "kind" => reason.kind = value.string().map(JsonString::text),
            "ruleId" => reason.rule_id = value.string().map(JsonString::text),
            "inExperiment" => reason.in_experiment = value == Value::Bool(true),
            "errorKind" => reason.error_kind = value.string().map(JsonString::text),
            _ => {}
        });
        Some(reason)
    }
}

/// `data` can be any JSON; only arrays and objects are kept as written, because nothing is asked of the rest.
fn written_json(value: Value<'_>) -> Option<&str> {
    matches!(value, Value::Object(_) | Value::Array(_)).then(|| written(value))
}

/// Reads `context`: a single one, `kind: "multi"` with one member per kind, or, without a kind, a user (R1).
fn add_context<'a>(keys: &mut ContextKeys<'a>, text: &'a str) {
    let (mut kind, mut key) = (None, None);
    let mut inner: SmallVec<[(JsonString<'a>, &'a str); 4]> = SmallVec::new();
    json::members(text, |name, value| match value {
        Value::String(value) if name.is("kind") => kind = Some(value),
        Value::String(value) if name.is("key") => key = Some(value),
        Value::Object(context) => inner.push((name, context)),
        _ => {}
    });
    match (kind, key) {
        (Some(kind), _) if kind.is("multi") => {
            for (kind, context) in inner {
                json::members(context, |name, key| {
                    if let (true, Value::String(key)) = (name.is("key"), key) {
                        keys.add(kind.text(), key.text());
                    }
                });
            }
        }
        (Some(kind), Some(key)) => keys.add(kind.text(), key.text()),
        (None, Some(key)) => keys.add(Cow::Borrowed("user"), key.text()),
        (_, None) => {}
    }
}

/// Epoch ms as sent. A fraction is cut off: Python's clocks have one.
pub(super) fn instant(value: Value<'_>) -> Option<i64> {
    value.integer().or_else(|| value.number().map(|number| number as i64))
}

/// Why a well-formed object is not an event.
fn shape(members: &Members<'_>) -> Result<Kind, String> {
    let kind = match members.kind {
        None => return Err("it has no kind".to_owned()),
        Some(Value::String(kind)) => Kind::from_name(&kind.text()),
        Some(other) => return Err(format!("its kind is {}, not a string", other.kind())),
    };
    if matches!(kind, Kind::Feature | Kind::Debug | Kind::Custom) {
        match members.key {
            Some(Value::String(_)) => {}
            None => return Err("it has no key".to_owned()),
            Some(other) => return Err(format!("its key is {}, not a string", other.kind())),
        }
    }
    if kind.is_judged() {
        match members.creation_date {
            Some(value) if instant(value).is_some() => {}
            None => return Err("it has no creationDate".to_owned()),
            Some(Value::Number(_)) => return Err("its creationDate is out of range".to_owned()),
            Some(other) => return Err(format!("its creationDate is {}, not a number", other.kind())),
        }
    }
    Ok(kind)
}

/// Reads the object the walker stands before: an event, or one of the formats events come wrapped in.
///
/// The outer error is a fault of the JSON; the inner one says why a well-formed object is not an event.
///
/// # Errors
/// The first byte that is not JSON.
pub fn event<'a>(walker: &mut Walker<'a>) -> Result<Result<Event<'a>, String>, Fault> {
    read(walker, true)
}

/// Reads a text that is one object, as it was unwrapped: what is wrapped twice is no event.
pub(super) fn bare(text: &str) -> Result<Event<'_>, String> {
    read(&mut Walker::new(text), false).map_err(|fault| format!("it is not JSON: {}", fault.what))?
}

// One function for both, because whatever two functions share is called and not inlined, and every bare event pays.
#[inline(never)]
fn read<'a>(walker: &mut Walker<'a>, may_be_wrapped: bool) -> Result<Result<Event<'a>, String>, Fault> {
    let mut members = Members::default();
    walker.next_byte();
    let start = walker.offset();
    walker.object(|key, value| members.take(key, value))?;
    let raw = walker.between(start, walker.offset());
    let unwrapped = || if may_be_wrapped { wrapped::unwrap(raw) } else { None };
    let kind = match shape(&members) {
        Ok(kind) => kind,
        Err(reason) => return Ok(unwrapped().unwrap_or(Err(reason))),
    };
    let creation = if kind == Kind::Summary { members.end_date } else { members.creation_date };
    // What `ldcli` wraps around an event has a kind too, and no date of its own.
    if creation.is_none()
        && let Some(unwrapped) = unwrapped()
    {
        return Ok(unwrapped);
    }
    let metric_value = match members.metric_value {
        None | Some(Value::Null) => MetricValue::Missing,
        Some(value) => {
            value.number().map_or(MetricValue::Invalid(Cow::Borrowed(members.metric_value_text)), MetricValue::Number)
        }
    };
    Ok(Ok(Event {
        kind,
        kind_name: members.kind.and_then(Value::string).map_or(Cow::Borrowed(""), JsonString::text),
        key: members.key.and_then(Value::string).map(JsonString::text),
        creation_ms: creation.and_then(instant),
        context_keys: members.context_keys(),
        shape: members.shape(),
        variation: members.variation,
        version: members.version,
        reason: members.reason(),
        metric_value,
        url: members.url.map(JsonString::text),
        selector: members.selector.map(JsonString::text),
        sampling_ratio: members.sampling_ratio,
        context: members.context.map(Cow::Borrowed),
        user: members.user.map(Cow::Borrowed),
        data: members.data.map(Cow::Borrowed),
        features: members.features.map(Cow::Borrowed),
        dropped_events: members.dropped_events,
        wrapping: None,
        raw,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Event<'_> {
        event(&mut Walker::new(text)).unwrap().unwrap()
    }

    fn keys(text: &str) -> Vec<(String, String)> {
        read(text).context_keys.iter().map(|(kind, key)| (kind.to_owned(), key.to_owned())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned())).collect()
    }

    #[test]
    fn every_shape_of_context_gives_kinds_and_keys() {
        let of = |members: &str| keys(&format!(r#"{{"kind":"custom","creationDate":1,"key":"k",{members}}}"#));
        assert_eq!(of(r#""context":{"kind":"device","key":"d-1","os":"ios"}"#), pairs(&[("device", "d-1")]));
        assert_eq!(
            of(r#""context":{"kind":"multi","user":{"key":"u-1"},"device":{"key":"d-1","os":"ios"}}"#),
            pairs(&[("user", "u-1"), ("device", "d-1")])
        );
        assert_eq!(of(r#""contextKeys":{"user":"u-1","device":"d-1"}"#), pairs(&[("user", "u-1"), ("device", "d-1")]));
        assert_eq!(of(r#""user":{"key":"u-1","email":"x"}"#), pairs(&[("user", "u-1")]));
        assert_eq!(of(r#""userKey":"u-1","contextKind":"anonymousUser""#), pairs(&[("user", "u-1")]));
        assert_eq!(of(r#""context":{"key":"u-1"}"#), pairs(&[("user", "u-1")]));
        assert_eq!(of(r#""context":{"kind":"user","key":""}"#), pairs(&[]));
        assert_eq!(of(r#""context":{"kind":"multi","user":{"key":7}}"#), pairs(&[]));
        assert_eq!(
            of(r#""contextKeys":{"user":"u-1"},"context":{"kind":"multi","user":{"key":"other"},"org":{"key":"o"}}"#),
            pairs(&[("user", "u-1"), ("org", "o")])
        );
    }

    #[test]
    fn of_any_number_of_context_kinds_each_has_the_key_that_was_read_first() {
        let many: Vec<String> = (0..50_000).map(|n| format!(r#""k{n}":"{n}""#)).collect();
        let event = format!(
            r#"{{"kind":"custom","creationDate":1,"key":"k","contextKeys":{{{}}},"context":{{"kind":"k49999","key":"later"}}}}"#,
            many.join(",")
        );
        let event = read(&event);
        assert_eq!(event.context_keys.iter().count(), 50_000);
        assert_eq!(event.context_keys.key("k49999"), Some("49999"));
    }

    #[test]
    fn a_metric_value_is_a_finite_number_or_it_is_not() {
        let of = |value: &str| {
            let text = format!(r#"{{"kind":"custom","creationDate":1,"key":"k","metricValue":{value}}}"#);
            match read(&text).metric_value {
                MetricValue::Missing => "missing".to_owned(),
                MetricValue::Number(number) => number.to_string(),
                MetricValue::Invalid(text) => format!("invalid {text}"),
            }
        };
        for (value, expected) in [
            ("null", "missing"),
            ("0", "0"),
            ("-1.5", "-1.5"),
            ("1e+21", "1000000000000000000000"),
            ("\"12.50\"", "invalid 12.50"),
            ("true", "invalid true"),
            ("1e400", "invalid 1e400"),
            ("[1]", "invalid [1]"),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
    }

    #[test]
    fn an_object_that_is_no_event_says_why() {
        for (text, reason) in [
            (r#"{"creationDate":1}"#, "it has no kind"),
            (r#"{"kind":7}"#, "its kind is a number, not a string"),
            (r#"{"kind":"custom","creationDate":1}"#, "it has no key"),
            (r#"{"kind":"custom","key":null,"creationDate":1}"#, "its key is null, not a string"),
            (r#"{"kind":"custom","key":"k"}"#, "it has no creationDate"),
            (r#"{"kind":"feature","key":"k","creationDate":"now"}"#, "its creationDate is a string, not a number"),
            (r#"{"kind":"feature","key":"k","creationDate":1e999}"#, "its creationDate is out of range"),
        ] {
            assert_eq!(event(&mut Walker::new(text)).unwrap().unwrap_err(), reason);
        }
    }

    #[test]
    fn unknown_kinds_and_kinds_without_a_date_are_events_all_the_same() {
        assert_eq!(read(r#"{"kind":"quantum"}"#).kind, Kind::Other);
        assert_eq!(read(r#"{"kind":"page view","creationDate":1}"#).kind, Kind::PageView);
        assert_eq!(read(r#"{"kind":"summary","startDate":1,"endDate":5}"#).creation_ms, Some(5));
    }
}
