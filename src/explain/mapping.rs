//! What a mapping makes of an event, field by field, in words: for the Why view, for what is copied, and for the story
//! of a unit.

use crate::json::{self, Value, Walker};
use crate::reason::Category;
use crate::segment::{self, Line, Resolved, reading};
use crate::view::{NeededUnit, Outcome, SegmentMapping, SegmentView};

/// One line of what a mapping makes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Passed: the action takes something; failed: the event is refused for it; not judged: it gets nothing.
    pub outcome: Outcome,
    /// The field; empty where the line goes on with the one before.
    pub label: String,
    /// Where the value comes from.
    pub source: String,
    /// What it is for this event; empty where the source says it.
    pub value: String,
    /// The destination's words against it, or what an experiment says of it.
    pub remark: Option<String>,
    /// Whether it makes a context key that an experiment needs, or that was exposed.
    pub is_key: bool,
}

/// What is said of a context key an experiment needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What leaps to the eye: `nothing makes a device key`; empty where the key is there.
    pub missing: String,
    /// The rest of it.
    pub words: String,
}

impl Need {
    /// All of it.
    pub fn sentence(&self) -> String {
        if self.missing.is_empty() { self.words.clone() } else { format!("{}: {}", self.missing, self.words) }
    }
}

/// `mapping 0 · Track Event · type = "track"`.
pub fn title(mapping: &SegmentMapping) -> String {
    format!("mapping {} · {} · {}", mapping.mapped.mapping, mapping.mapped.action.title(), mapping.trigger)
}

/// How its trigger and all of it came out.
pub fn verdict(mapping: &SegmentMapping) -> (Outcome, String) {
    use segment::Outcome as Made;
    match &mapping.mapped.outcome {
        Made::NotMatched => (Outcome::NotJudged, "does not match".to_owned()),
        Made::InvalidTrigger(words) => (Outcome::Failed, words.clone()),
        Made::NotModelled { matched: false, what } => (Outcome::NotJudged, format!("not known: {what}")),
        Made::Sent(_) if mapping.is_own => (Outcome::Passed, "matches".to_owned()),
        Made::Sent(_) => (Outcome::Passed, "matches too, and makes an event of its own".to_owned()),
        Made::Refused(_) if mapping.is_own => (Outcome::Passed, "matches".to_owned()),
        Made::Refused(words) => (Outcome::Failed, format!("matches too: {words}")),
        Made::NotModelled { .. } => (Outcome::Passed, "matches".to_owned()),
    }
}

/// What LaunchDarkly gets by it, or that it gets nothing and why, with the sign for that.
pub fn sent(mapping: &SegmentMapping) -> Result<&segment::SentRequest, (&'static str, String)> {
    use segment::Outcome as Made;
    match &mapping.mapped.outcome {
        Made::Sent(request) => Ok(request),
        Made::Refused(words) | Made::InvalidTrigger(words) => {
            Err((Category::Dropped.glyph(), format!("LaunchDarkly gets nothing: {words}")))
        }
        Made::NotModelled { what, .. } => {
            Err((Category::Unknown.glyph(), format!("What LaunchDarkly gets is not known to exptap: {what}")))
        }
        Made::NotMatched => Err((Category::NotAbout.glyph(), "LaunchDarkly gets nothing by it".to_owned())),
    }
}

/// The members of the event LaunchDarkly gets: name, and value as JSON.
pub fn payload(request: &segment::SentRequest) -> Vec<(String, String)> {
    let event = request.body.strip_prefix('[').and_then(|body| body.strip_suffix(']')).unwrap_or_default();
    members(event)
}

/// The fields of a mapping one by one; of one that makes an object, its members.
pub fn lines(segment: &SegmentView, mapping: &SegmentMapping) -> Vec<Told> {
    let kind = mapping.mapped.lines.iter().find(|line| line.field == "context_kind");
    let kind = kind.and_then(|line| line.taken.as_deref()).map_or_else(|| "user".to_owned(), text);
    let sent = sent(mapping).map(payload).unwrap_or_default();
    let context_keys = sent.iter().find(|(name, _)| name == "contextKeys").map(|(_, keys)| members(keys));
    let mut told = Vec::new();
    for line in &mapping.mapped.lines {
        let parts = line.source.as_deref().and_then(reading::members);
        match (parts, &line.resolved) {
            (Some(parts), Resolved::Value(value)) if line.label.is_some() && line.fault.is_none() => {
                let is_keys = line.field == "additional_context_keys";
                let values = members(line.taken.as_deref().unwrap_or(value));
                for (index, (name, source)) in parts.into_iter().enumerate() {
                    let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
                    let label = if index == 0 { line.label.unwrap_or_default() } else { "" };
                    let mut part = Told {
                        outcome: if value.is_some() { Outcome::Passed } else { Outcome::NotJudged },
                        label: label.to_owned(),
                        source: format!("{name} = {}", reading::short(&source)),
                        value: value.unwrap_or("nothing").to_owned(),
                        remark: None,
                        is_key: false,
                    };
                    if let Some(value) = value.filter(|_| is_keys) {
                        let sent = context_keys.as_ref().and_then(|keys| keys.iter().find(|(kind, _)| *kind == name));
                        if let Some((_, sent)) = sent.filter(|(_, sent)| sent != value) {
                            part.value = format!("{value}, sent as {sent}");
                        }
                        let key = sent.map_or_else(|| text(value), |(_, sent)| text(sent));
                        note_key(&mut part, segment, &name, &key);
                    }
                    told.push(part);
                }
            }
            _ => {
                let mut whole = whole(line);
                if line.field == "user_key"
                    && let Some(taken) = &line.taken
                {
                    note_key(&mut whole, segment, &kind, &text(taken));
                }
                told.push(whole);
            }
        }
    }
    told
}

fn whole(line: &Line) -> Told {
    let value = match (&line.resolved, &line.taken) {
        // A constant says it all where it stands.
        (Resolved::Value(value), Some(taken)) if value == taken && line.source.as_ref() == Some(value) => String::new(),
        (Resolved::Value(value), Some(taken)) if value == taken => value.clone(),
        (Resolved::Value(value), Some(taken)) => format!("{value}, taken as {taken}"),
        (Resolved::Value(value), None) if line.label.is_none() && !line.field.is_empty() => {
            format!("{value}, which the action has no field for")
        }
        (Resolved::Value(value), None) if matches!(value.as_str(), "null" | "\"\"") => {
            format!("{value}, which is as good as nothing")
        }
        (Resolved::Value(value), None) => value.clone(),
        (Resolved::Nothing, _) if line.source.is_none() => String::new(),
        (Resolved::Nothing, _) => "nothing".to_owned(),
        (Resolved::Failed(_), _) => "fails".to_owned(),
        (Resolved::NotModelled(what), _) => format!("not known to exptap: {what}"),
    };
    let is_whole = line.field.is_empty();
    Told {
        outcome: match (&line.fault, &line.taken) {
            (Some(_), _) => Outcome::Failed,
            (None, Some(_)) => Outcome::Passed,
            (None, None) => Outcome::NotJudged,
        },
        label: if is_whole { "all fields".to_owned() } else { line.label.unwrap_or(&line.field).to_owned() },
        source: line.source.as_deref().map_or_else(|| "not mapped".to_owned(), reading::short),
        value,
        remark: line.fault.clone(),
        is_key: false,
    }
}

/// Says what the experiments have to do with a context key that a line makes.
fn note_key(line: &mut Told, segment: &SegmentView, kind: &str, key: &str) {
    for needed in &segment.needed {
        let remark = if needed.kind == kind && needed.key.as_deref() == Some(key) {
            let exposed = needed.exposed.as_ref().map_or("never exposed".to_owned(), |arm| format!("exposed to {arm}"));
            format!("the {kind} key {} needs, {exposed}", needed.experiments.join(", "))
        } else if let Some(elsewhere) = needed.elsewhere.iter().find(|elsewhere| elsewhere.key == key) {
            format!("{}/{key} was exposed to {}; this makes it a key of {kind}", needed.kind, elsewhere.arm)
        } else {
            continue;
        };
        line.remark = Some(remark);
        line.is_key = true;
        return;
    }
}

/// What is to be said of the context keys that experiments need, beside the lines that make them.
pub fn needs(segment: &SegmentView) -> Vec<Need> {
    let own = segment.mappings.iter().find(|mapping| mapping.is_own);
    segment.needed.iter().filter_map(|needed| need(needed, own)).collect()
}

/// The source of a context key of a kind, in short, where the mapping has one.
fn source_of(own: &SegmentMapping, kind: &str) -> Option<String> {
    let line = own.mapped.lines.iter().find(|line| line.field == "additional_context_keys")?;
    let parts = reading::members(line.source.as_deref()?)?;
    parts.into_iter().find(|(name, _)| name == kind).map(|(_, source)| reading::short(&source))
}

fn need(needed: &NeededUnit, own: Option<&SegmentMapping>) -> Option<Need> {
    let NeededUnit { kind, experiments, key, exposed, elsewhere } = needed;
    let places: Vec<String> = elsewhere
        .iter()
        .map(|place| format!("{} is “{}”, a {kind} exposed to {}", place.path, place.key, place.arm))
        .collect();
    match key {
        None => {
            let are = if experiments.len() == 1 { "is" } else { "are" };
            let mut words = format!("{} {are} randomized by {kind}", experiments.join(", "));
            if let Some(source) = own.and_then(|own| source_of(own, kind)) {
                words = format!("{words}, and {source} is nothing in this event");
            }
            if let Some(place) = elsewhere.first() {
                words = format!("{words}. {}. Map it: {kind} = {}", places.join("; "), place.path);
            }
            Some(Need { missing: format!("nothing makes a {kind} key"), words })
        }
        // A key that was exposed is as it should be; of one that was not, another that was is of interest.
        Some(key) if exposed.is_none() && !places.is_empty() => Some(Need {
            missing: String::new(),
            words: format!("{kind}/{key} was never exposed, but {}", places.join("; ")),
        }),
        Some(_) => None,
    }
}

fn members(object: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Ok(Value::Object(inner)) = Walker::new(object).value() {
        json::members(inner, |name, value| {
            found.push((name.text().into_owned(), written(value)));
        });
    }
    found
}

/// A value as it stands in the text.
fn written(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) => format!("\"{}\"", text.raw),
        Value::Number(text) | Value::Array(text) | Value::Object(text) => text.to_owned(),
    }
}

/// A JSON text without its quotes and escapes; other JSON as it stands.
fn text(json: &str) -> String {
    match Walker::new(json).value() {
        Ok(Value::String(text)) => text.text().into_owned(),
        _ => json.to_owned(),
    }
}
