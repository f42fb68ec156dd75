//! The destination: its two actions, its mappings, and what it makes of one event.

use super::coerce::{Field, Type, fit};
use super::directives::{self, Plan};
use super::fql::Trigger;
use super::javascript::{is_truthy, text};
use super::timestamp::creation_ms;
use super::value::{Object, Unreadable, Value, parse};
use super::{Problem, Work, preset, settings};

/// What the destination is called in an event's `integrations`.
const NAME: &str = "LaunchDarkly (Actions)";
/// How many mappings Segment lets a destination have.
pub const MAX_MAPPINGS: usize = 50;

/// What a mapping does with the events its trigger matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// "Track Event": a custom event.
    TrackEvent,
    /// "Alias User": an alias event, which LaunchDarkly has for users and not for contexts.
    AliasUser,
}

impl Action {
    /// Its name in a mapping.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrackEvent => "trackEvent",
            Self::AliasUser => "aliasUser",
        }
    }

    /// What Segment's screen calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::TrackEvent => "Track Event",
            Self::AliasUser => "Alias User",
        }
    }

    pub(super) fn fields(self) -> &'static [Field] {
        const fn field(name: &'static str, label: &'static str, of_type: Type) -> Field {
            Field { name, label, is_required: false, of_type }
        }
        const fn required(name: &'static str, label: &'static str) -> Field {
            Field { name, label, is_required: true, of_type: Type::Text }
        }
        match self {
            Self::TrackEvent => {
                const {
                    &[
                        field("context_kind", "Context Kind", Type::Text),
                        required("user_key", "Context Key"),
                        field("additional_context_keys", "Additional Context Keys", Type::Object),
                        required("event_name", "Event Name"),
                        field("metric_value", "Metric Value", Type::Number),
                        field("event_properties", "Event Properties", Type::Object),
                        field("timestamp", "Event timestamp", Type::Time),
                    ]
                }
            }
            Self::AliasUser => {
                const {
                    &[
                        required("user_key", "User key"),
                        required("previous_key", "Anonymous ID"),
                        field("timestamp", "Event Timestamp", Type::Time),
                    ]
                }
            }
        }
    }

    /// The event that LaunchDarkly gets.
    fn event(self, payload: &Object, now_ms: i64, work: &mut Work) -> Result<Value, Problem> {
        let field = |name: &str| payload.get(name).cloned().unwrap_or(Value::Undefined);
        let creation = Value::Number(creation_ms(&field("timestamp"), now_ms));
        let members = match self {
            Self::TrackEvent => {
                let data = match field("event_properties") {
                    Value::Undefined => Value::object(Object::default()),
                    data => data,
                };
                vec![
                    ("kind", Value::text("custom")),
                    ("key", field("event_name")),
                    ("contextKeys", context_keys(payload, work)?),
                    ("creationDate", creation),
                    ("metricValue", field("metric_value")),
                    ("data", data),
                ]
            }
            Self::AliasUser => vec![
                ("kind", Value::text("alias")),
                ("key", field("user_key")),
                ("previousKey", field("previous_key")),
                ("contextKind", Value::text("user")),
                ("previousContextKind", Value::text("anonymousUser")),
                ("creationDate", creation),
            ],
        };
        let mut event = Object::default();
        members.into_iter().for_each(|(name, value)| event.set(name.into(), value));
        Ok(Value::object(event))
    }
}

/// The additional keys, each as text, and the base key, which wins.
fn context_keys(payload: &Object, work: &mut Work) -> Result<Value, Problem> {
    let mut keys = Object::default();
    if let Some(Value::Object(additional)) = payload.get("additional_context_keys") {
        for (kind, key) in additional.iter() {
            keys.assign(kind, Value::text(&text(key, work)?))?;
        }
    }
    let kind = match payload.get("context_kind") {
        Some(Value::Text(kind)) if !kind.is_empty() => kind.clone(),
        _ => "user".into(),
    };
    keys.set(kind, payload.get("user_key").cloned().unwrap_or(Value::Undefined));
    Ok(Value::object(keys))
}

/// A Segment event that was read.
#[derive(Clone, Debug)]
pub struct Event {
    value: Value,
    bytes: usize,
}

/// Why a text is not a Segment event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It is not JSON.
    #[error("it is not JSON: {what}")]
    NotJson {
        /// The byte of the text at which it is wrong.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// It is JSON, and not an object.
    #[error("expected a Segment event, which is an object, and found {0}")]
    NotAnObject(&'static str),
    /// It is an event that JavaScript holds in a way that is not modelled.
    #[error("{0}")]
    NotModelled(&'static str),
}

impl Event {
    pub(super) fn new(value: Value, bytes: usize) -> Self {
        Self { value, bytes }
    }

    /// The event as JSON.
    pub fn to_json(&self) -> String {
        self.value.json(&mut Work::on(self.bytes)).ok().flatten().unwrap_or_default()
    }

    /// How the event says that the destination is not meant; none: it does not.
    pub(super) fn excludes_destination(&self) -> Option<&'static str> {
        let integrations = self.value.member("integrations");
        match (integrations.member(NAME), integrations.member("All")) {
            (Value::Bool(false), _) => Some("the event’s integrations turn LaunchDarkly (Actions) off"),
            (Value::Undefined, Value::Bool(false)) => {
                Some("the event’s integrations turn all destinations off, and LaunchDarkly (Actions) not on again")
            }
            _ => None,
        }
    }

    pub(super) fn whole(&self) -> &Value {
        &self.value
    }

    /// A member; undefined where there is none.
    pub(super) fn member(&self, name: &str) -> &Value {
        self.value.member(name)
    }

    /// A member that is a text.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        match path.iter().fold(&self.value, |value, name| value.member(name)) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads one event.
    ///
    /// # Errors
    /// See [`EventError`].
    pub fn parse(json: &str) -> Result<Self, EventError> {
        match parse(json) {
            Ok(value @ Value::Object(_)) => Ok(Self { value, bytes: json.len() }),
            Ok(other) => Err(EventError::NotAnObject(match other {
                Value::Array(_) => "an array",
                Value::Text(_) => "a string",
                Value::Number(_) => "a number",
                Value::Bool(_) => "a boolean",
                _ => "null",
            })),
            Err(Unreadable::NotJson(fault)) => Err(EventError::NotJson { offset: fault.offset, what: fault.what }),
            Err(Unreadable::NotModelled(what)) => Err(EventError::NotModelled(what)),
        }
    }
}

/// One mapping of the destination.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) action: Action,
    /// The trigger as it is written, which may be no text at all.
    pub(super) subscribe: Value,
    pub(super) is_enabled: bool,
    pub(super) mapping: Value,
    /// The trigger as it is understood, or the destination's words against it.
    pub(super) trigger: Result<Trigger, String>,
    pub(super) plan: Plan,
}

impl Mapping {
    pub(super) fn new(action: Action, subscribe: Value, is_enabled: bool, mapping: Value) -> Self {
        let trigger = match &subscribe {
            Value::Text(text) if !text.is_empty() => {
                Trigger::parse(text).map_err(|words| format!("Invalid subscription : {words}"))
            }
            _ => Err("Failed to validate subscription".to_owned()),
        };
        let plan = Plan::new(&mapping);
        Self { action, subscribe, is_enabled, mapping, trigger, plan }
    }
}

/// The destination as it is set up; by default, as Segment sets it up when it is added.
#[derive(Clone, Debug)]
pub struct Destination {
    pub(super) settings: Value,
    pub(super) mappings: Vec<Mapping>,
    url: Result<Result<String, String>, Problem>,
}

impl Default for Destination {
    fn default() -> Self {
        Self::presets()
    }
}

/// Two that are set up alike do alike; everything else in them is made from this.
impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        let alike = |(one, other): (&Mapping, &Mapping)| {
            (one.action, &one.subscribe, one.is_enabled, &one.mapping)
                == (other.action, &other.subscribe, other.is_enabled, &other.mapping)
        };
        self.settings == other.settings
            && self.mappings.len() == other.mappings.len()
            && self.mappings.iter().zip(&other.mappings).all(alike)
    }
}

/// The request LaunchDarkly gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRequest {
    /// The address.
    pub url: String,
    /// The body: a JSON array of one event.
    pub body: String,
}

impl SentRequest {
    /// The method.
    pub const METHOD: &'static str = "POST";
    /// The headers by which LaunchDarkly reads the request, names in lower case.
    pub const HEADERS: [(&'static str, &'static str); 3] = [
        ("content-type", "application/json"),
        ("user-agent", "SegmentDestination/2.2.0"),
        ("x-launchdarkly-event-schema", "4"),
    ];
}

/// What becomes of an event by one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The trigger does not match.
    NotMatched,
    /// The trigger cannot be read, or fails on this event: nothing is sent, in the destination's words.
    InvalidTrigger(String),
    /// LaunchDarkly gets a request.
    Sent(SentRequest),
    /// The trigger matches, and the destination refuses the event in these words.
    Refused(String),
    /// The destination does something that is not modelled.
    NotModelled {
        /// Whether the trigger matches; if not, it is what is not modelled.
        matched: bool,
        /// What is not modelled.
        what: String,
    },
}

/// What one field of a mapping comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A value, as JSON.
    Value(String),
    /// Nothing, and the field is left out.
    Nothing,
    /// The destination fails with these words.
    Failed(String),
    /// Not modelled, and why.
    NotModelled(String),
}

/// One field of a mapping: where its value comes from, and what it is for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The field, such as `user_key`; empty where the whole mapping is one directive.
    pub field: String,
    /// What Segment's screen calls it; none for a field the action does not have, which is dropped.
    pub label: Option<&'static str>,
    /// The mapping of the field, as JSON; none: the field is not mapped.
    pub source: Option<String>,
    /// What the mapping gives.
    pub resolved: Resolved,
    /// What the action gets of it, as JSON, once empty values are dropped and types are made to fit; none: nothing,
    /// or the event is refused.
    pub taken: Option<String>,
    /// Why the destination refuses the event for this field, in its words.
    pub fault: Option<String>,
}

/// What one mapping makes of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Which mapping, counted from 0, disabled ones included.
    pub mapping: usize,
    /// Its action.
    pub action: Action,
    /// Its fields one by one; empty where nobody asked for them.
    pub lines: Vec<Line>,
    /// What becomes of the event.
    pub outcome: Outcome,
}

impl Mapped {
    /// Whether the trigger matches.
    pub fn is_matched(&self) -> bool {
        match &self.outcome {
            Outcome::NotMatched | Outcome::InvalidTrigger(_) => false,
            Outcome::Sent(_) | Outcome::Refused(_) => true,
            Outcome::NotModelled { matched, .. } => *matched,
        }
    }
}

impl Destination {
    pub(super) fn new(settings: Value, mappings: Vec<Mapping>) -> Self {
        let url = settings::events_url(&settings);
        Self { settings, mappings, url }
    }

    /// The destination as Segment sets it up when it is added, with a stand-in for the client-side ID.
    pub fn presets() -> Self {
        let presets = parse(preset::PRESETS).unwrap_or(Value::Undefined);
        let mapping = |action: Action, mapping: &Value| {
            Mapping::new(action, mapping.member("subscribe").clone(), true, mapping.member("mapping").clone())
        };
        let mappings = match presets.member("mappings") {
            Value::Array(mappings) => [Action::TrackEvent, Action::AliasUser]
                .into_iter()
                .zip(mappings.iter())
                .map(|(action, it)| mapping(action, it))
                .collect(),
            _ => Vec::new(),
        };
        Self::new(presets.member("settings").clone(), mappings)
    }

    /// The destination's words against its settings, with which it refuses every event.
    pub(super) fn refused_settings(&self) -> Option<&str> {
        match &self.url {
            Err(Problem::Refused(words)) | Ok(Err(words)) => Some(words),
            Ok(Ok(_)) | Err(Problem::NotModelled(_)) => None,
        }
    }

    /// The client-side ID it sends to; none where nobody has said which.
    pub fn client_side_id(&self) -> Option<&str> {
        match self.settings.member("client_id") {
            Value::Text(id) if !id.is_empty() && &**id != preset::CLIENT_SIDE_ID => Some(id),
            _ => None,
        }
    }

    /// The paths that mappings take fields from, names and indexes set apart by dots.
    fn paths_of(&self, fields: &[&str]) -> Vec<String> {
        fn paths(directive: &Value, found: &mut Vec<String>) {
            match directive {
                Value::Object(members) => {
                    if let Some(Value::Text(path)) = members.get("@path") {
                        let path = path.replacen("$.", "", 1).replace('[', ".").replace([']', '"', '\''], "");
                        found.push(path);
                    }
                    members.iter().for_each(|(_, value)| paths(value, found));
                }
                Value::Array(elements) => elements.iter().for_each(|value| paths(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        for (_, mapping) in self.enabled() {
            fields.iter().for_each(|field| paths(mapping.mapping.member(field), &mut found));
        }
        found
    }

    /// The paths that mappings take values of metrics from.
    pub fn value_paths(&self) -> Vec<String> {
        self.paths_of(&["metric_value"])
    }

    /// The paths that mappings take context keys from.
    pub fn key_paths(&self) -> Vec<String> {
        self.paths_of(&["user_key", "previous_key", "additional_context_keys"])
    }

    /// The trigger of a mapping, counted from 0, as it is written.
    pub fn trigger(&self, mapping: usize) -> Option<String> {
        let subscribe = &self.mappings.get(mapping)?.subscribe;
        match subscribe {
            Value::Text(text) => Some(text.to_string()),
            other => other.json(&mut Work::default()).ok().flatten(),
        }
    }

    /// The mapping file that means this destination.
    pub fn to_json(&self) -> String {
        let object = |members: Vec<(&str, Value)>| {
            let mut object = Object::default();
            members.into_iter().for_each(|(name, value)| object.set(name.into(), value));
            Value::object(object)
        };
        let mapping = |mapping: &Mapping| {
            object(vec![
                ("action", Value::text(mapping.action.name())),
                ("subscribe", mapping.subscribe.clone()),
                ("enabled", Value::Bool(mapping.is_enabled)),
                ("mapping", mapping.mapping.clone()),
            ])
        };
        let file = object(vec![
            ("settings", self.settings.clone()),
            ("mappings", Value::array(self.mappings.iter().map(mapping).collect())),
        ]);
        file.json(&mut Work::default()).ok().flatten().unwrap_or_default()
    }

    /// What every enabled mapping makes of an event. `now_ms`, epoch ms, is the time of events that carry none.
    pub fn map(&self, event: &Event, now_ms: i64) -> Vec<Mapped> {
        self.enabled()
            .map(|(index, mapping)| Mapped {
                mapping: index,
                action: mapping.action,
                lines: Vec::new(),
                outcome: self.outcome(mapping, event, now_ms),
            })
            .collect()
    }

    /// The same, with every field of every mapping: the way from the event to the payload, line by line, whether the
    /// trigger matches or not.
    pub fn explain(&self, event: &Event, now_ms: i64) -> Vec<Mapped> {
        self.enabled()
            .map(|(index, mapping)| Mapped {
                mapping: index,
                action: mapping.action,
                lines: lines(mapping, event),
                outcome: self.outcome(mapping, event, now_ms),
            })
            .collect()
    }

    fn enabled(&self) -> impl Iterator<Item = (usize, &Mapping)> {
        self.mappings.iter().enumerate().filter(|(_, mapping)| mapping.is_enabled)
    }

    fn outcome(&self, mapping: &Mapping, event: &Event, now_ms: i64) -> Outcome {
        let work = &mut Work::on(event.bytes);
        let trigger = match &mapping.trigger {
            Ok(trigger) => trigger,
            Err(words) => return Outcome::InvalidTrigger(words.clone()),
        };
        match trigger.matches(&event.value, work) {
            Ok(true) => {}
            Ok(false) => return Outcome::NotMatched,
            Err(Problem::Refused(words)) => return Outcome::InvalidTrigger(words),
            Err(Problem::NotModelled(what)) => return Outcome::NotModelled { matched: false, what },
        }
        match self.request(mapping, event, now_ms, work) {
            Ok(request) => Outcome::Sent(request),
            Err(Problem::Refused(words)) => Outcome::Refused(words),
            Err(Problem::NotModelled(what)) => Outcome::NotModelled { matched: true, what },
        }
    }

    fn request(&self, mapping: &Mapping, event: &Event, now_ms: i64, work: &mut Work) -> Result<SentRequest, Problem> {
        // Settings are looked at before anything else.
        let url = self.url.clone()?;
        let payload = mapping.plan.resolve(&event.value, work)?;
        let payload = fit(&without_empty(&payload), mapping.action.fields(), work)?;
        looked_for_audience(&event.value)?;
        let event = mapping.action.event(&payload, now_ms, work)?;
        let url = url.map_err(Problem::Refused)?;
        let body = Value::array(vec![event]).json(work)?.unwrap_or_default();
        Ok(SentRequest { url, body })
    }
}

/// Before every request Segment looks for an audience in the event's context, and fails on a null where it looks.
fn looked_for_audience(event: &Value) -> Result<(), Problem> {
    let missed = match event.member("context") {
        Value::Null => "personas",
        context if *context.member("personas") == Value::Null => "computation_class",
        _ => return Ok(()),
    };
    Err(Problem::Refused(format!("Cannot destructure property '{missed}' of '{{}}' as it is null.")))
}

/// The payload without fields that are null or empty text, which count as not given; what is in them is left alone.
fn without_empty(payload: &Value) -> Value {
    match payload {
        Value::Object(fields) => {
            let mut kept = Object::default();
            for (name, value) in fields.iter().filter(|(_, value)| !is_empty(value)) {
                kept.set(name.clone(), value.clone());
            }
            Value::object(kept)
        }
        value if is_empty(value) => Value::Undefined,
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Undefined) || matches!(value, Value::Text(_) if !is_truthy(value))
}

/// The fields of an action in the order of Segment's screen, mapped or not, then what the mapping has beside them.
fn lines(mapping: &Mapping, event: &Event) -> Vec<Line> {
    let work = &mut Work::on(event.bytes);
    let fields = mapping.action.fields();
    let json = |value: &Value, work: &mut Work| value.json(work).ok().flatten();
    let resolved = |part: &Value, work: &mut Work| match directives::resolve(part, &event.value, work)
        .and_then(|value| Ok((value.json(work)?, value)))
    {
        Ok((Some(json), value)) => (Resolved::Value(json), Some(value)),
        Ok((None, _)) => (Resolved::Nothing, None),
        Err(Problem::Refused(words)) => (Resolved::Failed(words), None),
        Err(Problem::NotModelled(what)) => (Resolved::NotModelled(what), None),
    };
    let whole = mapping.plan.mapping();
    let mapped = match whole {
        Value::Object(members) if !members.keys().any(|key| key.starts_with('@')) => members,
        _ => {
            let (resolved, _) = resolved(whole, work);
            let source = json(whole, work);
            let fault = match &resolved {
                Resolved::Failed(words) => Some(words.clone()),
                _ => None,
            };
            return vec![Line { field: String::new(), label: None, source, resolved, taken: None, fault }];
        }
    };
    let mut lines = Vec::new();
    for (name, part) in mapped.iter() {
        let field = fields.iter().find(|field| field.name == &**name);
        let (resolved, value) = resolved(part, work);
        let fitted = match (field, value.filter(|value| !is_empty(value))) {
            (Some(field), Some(value)) => field.fit(&value, work).ok(),
            (Some(field), None) => field.missing().map(Err),
            (None, _) => None,
        };
        let (taken, fault) = match (fitted, &resolved) {
            // What fails before it is looked at fails in other words.
            (_, Resolved::Failed(words)) => (None, Some(words.clone())),
            (_, Resolved::NotModelled(_)) | (None, _) => (None, None),
            (Some(Ok(value)), _) => (json(&value, work), None),
            (Some(Err(words)), _) => (None, Some(words)),
        };
        let (field, label) = (name.to_string(), field.map(|field| field.label));
        lines.push(Line { field, label, source: json(part, work), resolved, taken, fault });
    }
    let missing = fields.iter().filter(|field| mapped.get(field.name).is_none());
    lines.extend(missing.map(|field| Line {
        field: field.name.to_owned(),
        label: Some(field.label),
        source: None,
        resolved: Resolved::Nothing,
        taken: None,
        fault: field.missing(),
    }));
    lines.sort_by_key(|line| fields.iter().position(|field| field.name == line.field).unwrap_or(usize::MAX));
    lines
}
