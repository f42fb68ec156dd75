//! JSON as JavaScript holds it: numbers are doubles, a member that comes twice keeps its first place and its last
//! value, members whose names are array indexes come first, and there is `undefined`.
//!
//! serde_json's own value is none of these, and turning its order of members on would turn it on everywhere.

use super::javascript::array_index;
use super::{Problem, Work};
use crate::json::{Fault, JsonString, Value as Scalar, Walker};
use indexmap::IndexMap;
use std::fmt::Write;
use std::sync::Arc;

/// How deep values made by a mapping may be nested. JSON that comes in is at most [`crate::json::MAX_DEPTH`] deep.
pub(super) const MAX_DEPTH: u32 = 256;

/// A value. Cloning one is cheap, whatever it holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Arc<str>),
    Array(Arc<Vec<Value>>),
    Object(Arc<Object>),
}

/// Members in JavaScript's order, once the object is a [`Value`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object {
    members: IndexMap<Arc<str>, Value, foldhash::fast::RandomState>,
    /// Whether a name is an array index, which goes to the front.
    has_indexes: bool,
}

impl Object {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.members.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.members.iter()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.keys()
    }

    /// A member to be written; undefined at first where it was not there.
    pub(super) fn member_mut(&mut self, key: &str) -> &mut Value {
        if self.members.get(key).is_none() {
            self.set(key.into(), Value::Undefined);
        }
        self.members.entry(key.into()).or_insert(Value::Undefined)
    }

    /// Takes a member away; the others keep their order.
    pub(super) fn remove(&mut self, key: &str) {
        self.members.shift_remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Sets a member; one that is there already keeps its place.
    pub(super) fn set(&mut self, key: Arc<str>, value: Value) {
        self.has_indexes |= array_index(&key).is_some();
        self.members.insert(key, value);
    }

    /// Sets a member as an assignment does: `__proto__` is not a member then, but what the object inherits from.
    pub(super) fn assign(&mut self, key: &Arc<str>, value: Value) -> Result<(), Problem> {
        if &**key != "__proto__" {
            self.set(Arc::clone(key), value);
        } else if matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) {
            return Err(Problem::NotModelled("a member is called __proto__, and changes what it is in".to_owned()));
        }
        Ok(())
    }
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn array(elements: Vec<Self>) -> Self {
        Self::Array(Arc::new(elements))
    }

    pub(super) fn object(mut object: Object) -> Self {
        if object.has_indexes {
            // Once, when it is complete: names that come in falling order would make every insertion a long one.
            object.members.sort_by_key(|key, _| array_index(key).unwrap_or(u32::MAX));
        }
        Self::Object(Arc::new(object))
    }

    /// A member of an object; undefined where there is none, or where this is not an object.
    pub(super) fn member(&self, key: &str) -> &Self {
        match self {
            Self::Object(object) => object.get(key).unwrap_or(&Self::Undefined),
            _ => &Self::Undefined,
        }
    }

    /// The kind of value, as `Object.prototype.toString` names it.
    pub(super) fn real_type(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value as `JSON.stringify` writes it: none for undefined.
    pub(super) fn json(&self, work: &mut Work) -> Result<Option<String>, Problem> {
        if *self == Self::Undefined {
            return Ok(None);
        }
        let mut out = String::new();
        self.write_json(&mut out, 0, work)?;
        Ok(Some(out))
    }

    fn write_json(&self, out: &mut String, depth: u32, work: &mut Work) -> Result<(), Problem> {
        work.step(depth)?;
        match self {
            Self::Undefined | Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) if !number.is_finite() => out.push_str("null"),
            Self::Number(number) => super::javascript::write_number(out, *number),
            Self::Text(text) => {
                work.take(text.len())?;
                write_quoted(out, text);
            }
            Self::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    element.write_json(out, depth + 1, work)?;
                }
                out.push(']');
            }
            Self::Object(object) => {
                out.push('{');
                let mut is_first = true;
                for (key, value) in object.iter().filter(|(_, value)| **value != Self::Undefined) {
                    if !is_first {
                        out.push(',');
                    }
                    is_first = false;
                    work.take(key.len())?;
                    write_quoted(out, key);
                    out.push(':');
                    value.write_json(out, depth + 1, work)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// A string as JSON writes it.
fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(control) => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Why a text cannot be read as a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unreadable {
    /// It is not JSON.
    NotJson(Fault),
    /// It is JSON, and JavaScript holds something for it that is not modelled.
    NotModelled(&'static str),
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        if fault.what.contains("deep") { Self::NotModelled(TOO_DEEP) } else { Self::NotJson(fault) }
    }
}

const TOO_DEEP: &str = "the JSON is nested more than 128 deep";
pub(super) const HALF_CHARACTER: &str =
    "half of a character (a lone surrogate), which text in UTF-8 cannot hold, comes up";

/// Reads a text as `JSON.parse` does.
pub(super) fn parse(text: &str) -> Result<Value, Unreadable> {
    // The walker keeps count of the depth without using the stack; after it, recursion is known to be bounded.
    let mut walker = Walker::new(text);
    walker.value()?;
    if !walker.is_at_end() {
        return Err(Fault { offset: walker.offset(), what: "more text follows the value" }.into());
    }
    read(&mut Walker::new(text))
}

fn read(walker: &mut Walker<'_>) -> Result<Value, Unreadable> {
    match walker.next_byte() {
        Some(b'{') => {
            walker.take(b'{');
            let mut object = Object::default();
            while !walker.take(b'}') {
                if let Scalar::String(key) = walker.value()? {
                    walker.take(b':');
                    let key = string(key)?;
                    object.set(key, read(walker)?);
                }
                walker.take(b',');
            }
            Ok(Value::object(object))
        }
        Some(b'[') => {
            walker.take(b'[');
            let mut elements = Vec::new();
            while !walker.take(b']') {
                elements.push(read(walker)?);
                walker.take(b',');
            }
            Ok(Value::array(elements))
        }
        _ => match walker.value()? {
            Scalar::Bool(value) => Ok(Value::Bool(value)),
            // JSON's numbers are Rust's too, and both round to the nearest; too large is infinite here and there.
            Scalar::Number(text) => Ok(Value::Number(text.parse().unwrap_or(f64::NAN))),
            Scalar::String(text) => Ok(Value::Text(string(text)?)),
            _ => Ok(Value::Null),
        },
    }
}

fn string(string: JsonString<'_>) -> Result<Arc<str>, Unreadable> {
    if string.escaped && has_lone_surrogate(string.raw) {
        return Err(Unreadable::NotModelled(HALF_CHARACTER));
    }
    Ok(string.text().as_ref().into())
}

fn has_lone_surrogate(raw: &str) -> bool {
    let mut awaits_low = false;
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        if awaits_low && !plain.is_empty() {
            return true;
        }
        let unit = escape.strip_prefix('u').and_then(|digits| u32::from_str_radix(digits.get(..4)?, 16).ok());
        match unit {
            Some(0xDC00..0xE000) if awaits_low => awaits_low = false,
            _ if awaits_low => return true,
            Some(0xD800..0xDC00) => awaits_low = true,
            Some(0xDC00..0xE000) => return true,
            _ => {}
        }
        let taken = if unit.is_some() { 5 } else { escape.chars().next().map_or(0, char::len_utf8) };
        rest = escape.get(taken..).unwrap_or("");
    }
    awaits_low
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn through(text: &str) -> String {
        match parse(text) {
            Ok(value) => value.json(&mut Work::default()).unwrap().unwrap(),
            Err(unreadable) => panic!("{text}: {unreadable:?}"),
        }
    }

    #[test]
    fn members_come_in_the_order_of_javascript() {
        assert_eq!(
            through(r#"{"b":1,"10":2,"a":3,"9":4,"01":5,"-1":6}"#),
            r#"{"9":4,"10":2,"b":1,"a":3,"01":5,"-1":6}"#
        );
        assert_eq!(through(r#"{"b":1,"a":2,"b":3}"#), r#"{"b":3,"a":2}"#);
        assert_eq!(through(r#"{"4294967294":1,"4294967295":2,"0":3}"#), r#"{"0":3,"4294967294":1,"4294967295":2}"#);
    }

    #[test]
    fn numbers_are_doubles_written_as_javascript_writes_them() {
        assert_eq!(
            through("[1.0,-0,1e21,1e400,0.1e1,123456789012345678901]"),
            "[1,0,1e+21,null,1,123456789012345680000]"
        );
    }

    #[test]
    fn half_a_character_is_noticed_and_a_whole_one_is_not() {
        for half in [r#""\ud83c""#, r#""\udf89x""#, r#""\ud83c\n""#, r#""\ud83cx\udf89""#, r#"{"\ud83c":1}"#] {
            assert_eq!(parse(half), Err(Unreadable::NotModelled(HALF_CHARACTER)), "{half}");
        }
        for whole in [r#""\ud83c\udf89""#, r#""\\ud83c""#, "\"\u{fffd}\""] {
            assert!(parse(whole).is_ok(), "{whole}");
        }
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_too_deep() {
        assert!(matches!(parse("{\"a\":}"), Err(Unreadable::NotJson(Fault { offset: 5, .. }))));
        assert!(matches!(parse("1 2"), Err(Unreadable::NotJson(_))));
        assert_eq!(parse(&"[".repeat(200)), Err(Unreadable::NotModelled(TOO_DEEP)));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again_with_the_same_meaning(text in r#"[\[\]{},:"\\ua0-9e.\-tn ]{0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match parse(&text) {
                Ok(value) => {
                    let written = value.json(&mut Work::default()).unwrap().unwrap();
                    let again = parse(&written).unwrap().json(&mut Work::default()).unwrap().unwrap();
                    prop_assert_eq!(&again, &written);
                    if let Ok(theirs) = theirs {
                        prop_assert_eq!(theirs.is_object(), written.starts_with('{'));
                    }
                }
                Err(_) => prop_assert!(theirs.is_err(), "{}", text),
            }
        }
    }
}
