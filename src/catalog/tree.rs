//! TOML and JSON as one tree that remembers where everything stood.

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

/// A mistake, by its byte offset in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// A value and the byte offset it begins at.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) value: Value,
}

/// What both notations can hold.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// A TOML date or time.
    Time(Datetime),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: usize,
    pub(crate) node: Node,
}

impl Value {
    /// The value in words, for an error.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Text(text) => quoted(text),
            Self::Time(time) => format!("the time {time}"),
            Self::Array(_) => "an array".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }

    /// The value as JSON; a time becomes its text, and a number JSON cannot write becomes null.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Time(time) => time.to_string().into(),
            Self::Array(nodes) => nodes.iter().map(|node| node.value.to_json()).collect(),
            Self::Table(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.value.to_json())).collect()
            }
        }
    }
}

/// Text in quotes, for an error: control characters escaped, and not endless.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Reads TOML.
pub(crate) fn read_toml(text: &str) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| Fault {
            at: error.span().map_or(0, |span| span.start),
            message: format!("this is not TOML: {}; correct the line", error.message()),
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let node = Node { at: 0, value: toml_table(table.get_ref(), &mut faults) };
    if faults.is_empty() { Ok(node) } else { Err(faults) }
}

fn toml_table(table: &DeTable<'_>, faults: &mut Vec<Fault>) -> Value {
    let entry = |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().to_string(),
        key_at: key.span().start,
        node: toml_node(value, faults),
    };
    Value::Table(table.iter().map(entry).collect())
}

fn toml_node(value: &toml::Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Node {
    let at = value.span().start;
    let mut too_large = |text: &str| {
        faults.push(Fault { at, message: format!("the number {text} is too large; expected a 64-bit number") });
        Value::Null
    };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| too_large(integer.as_str()), Value::Integer),
        DeValue::Float(float) => float.as_str().parse().map_or_else(|_| too_large(float.as_str()), Value::Float),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(time) => Value::Time(*time),
        DeValue::Array(array) => Value::Array(array.iter().map(|value| toml_node(value, faults)).collect()),
        DeValue::Table(table) => toml_table(table, faults),
    };
    Node { at, value }
}

/// JSON deeper than this is refused; no catalog is.
const MAX_JSON_DEPTH: usize = 128;

/// Reads JSON. serde_json tells no offsets, but its raw values are slices of the text, and where a slice begins in
/// the text is where the value stands.
pub(crate) fn read_json(text: &str) -> Result<Node, Vec<Fault>> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(vec![json_fault(text, &error)]);
    }
    let mut faults = Vec::new();
    let node = match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => json_node(text, raw, 0, &mut faults),
        Err(error) => return Err(vec![json_fault(text, &error)]),
    };
    if faults.is_empty() { Ok(node) } else { Err(faults) }
}

fn json_fault(text: &str, error: &serde_json::Error) -> Fault {
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (line_start + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let described = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let cause = described.strip_suffix(&place).unwrap_or(&described);
    Fault { at, message: format!("this is not JSON: {cause}; correct the line") }
}

fn json_node(text: &str, raw: &RawValue, depth: usize, faults: &mut Vec<Fault>) -> Node {
    let at = offset(text, raw);
    match json_value(text, raw, depth, faults) {
        Ok(value) => Node { at, value },
        Err(message) => {
            faults.push(Fault { at, message });
            Node { at, value: Value::Null }
        }
    }
}

fn json_value(text: &str, raw: &RawValue, depth: usize, faults: &mut Vec<Fault>) -> Result<Value, String> {
    let source = raw.get();
    let unreadable = |error: serde_json::Error| format!("this JSON value cannot be read: {error}; correct it");
    match source.bytes().next() {
        Some(b'{' | b'[') if depth >= MAX_JSON_DEPTH => {
            Err(format!("this is nested deeper than {MAX_JSON_DEPTH} levels; expected fewer"))
        }
        Some(b'{') => {
            let RawObject(members) = serde_json::from_str(source).map_err(unreadable)?;
            let mut seen = HashSet::new();
            let mut entries = Vec::with_capacity(members.len());
            for (raw_key, raw_value) in members {
                let key: String = serde_json::from_str(raw_key.get()).map_err(unreadable)?;
                let key_at = offset(text, raw_key);
                if !seen.insert(key.clone()) {
                    let message = format!("the key {} is here twice in one object; remove one", quoted(&key));
                    faults.push(Fault { at: key_at, message });
                }
                entries.push(Entry { key, key_at, node: json_node(text, raw_value, depth + 1, faults) });
            }
            Ok(Value::Table(entries))
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(source).map_err(unreadable)?;
            Ok(Value::Array(elements.into_iter().map(|raw| json_node(text, raw, depth + 1, faults)).collect()))
        }
        Some(b'"') => serde_json::from_str(source).map(Value::Text).map_err(unreadable),
        Some(b't' | b'f') => Ok(Value::Boolean(source == "true")),
        Some(b'n') | None => Ok(Value::Null),
        Some(_) => match (source.parse::<i64>(), source.parse::<f64>()) {
            (Ok(integer), _) => Ok(Value::Integer(integer)),
            (_, Ok(float)) if float.is_finite() => Ok(Value::Float(float)),
            _ => Err(format!("the number {source} is too large; expected a 64-bit number")),
        },
    }
}

/// Where a slice of the text begins in it.
fn offset(text: &str, raw: &RawValue) -> usize {
    (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// An object's members, unparsed, keys included.
struct RawObject<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
