//! What is wrong with a mapping, as the destination checks it before every event.
//!
//! It checks less than it seems: not the elements of arrays, nor what stands in plain objects below `then` or `@merge`.
//! What slips through is refused, or not, when it is resolved.

use super::replace;
use super::value::Value;

/// One mistake: where, as the keys that lead there, and in what words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) path: Vec<String>,
    pub(super) message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "/{} {}", self.path.join("/"), self.message)
    }
}

type Check = fn(&Value, &[&str]) -> Result<(), Vec<Fault>>;

/// Checks a mapping.
pub(super) fn mapping(value: &Value) -> Result<(), Vec<Fault>> {
    anything(value, &[])
}

fn fault(path: &[&str], message: impl Into<String>) -> Vec<Fault> {
    vec![Fault { path: path.iter().map(|key| (*key).to_owned()).collect(), message: message.into() }]
}

/// The kind of a value, where an object with a key like `@path` is a directive.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Object(object) if object.keys().any(|key| key.starts_with('@')) => "directive",
        _ => value.real_type(),
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn expected(path: &[&str], what: &str, value: &Value) -> Vec<Fault> {
    let found = kind(value);
    fault(path, format!("should be {what} but it is {} {found}", article(found)))
}

fn anything(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    match kind(value) {
        "directive" => directive(value, path),
        "object" => object(value, path),
        _ => Ok(()),
    }
}

fn object(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    let Value::Object(members) = value else { return Err(expected(path, "an object", value)) };
    if kind(value) != "object" {
        return Err(expected(path, "an object", value));
    }
    let faults: Vec<Fault> =
        members.iter().filter_map(|(key, value)| anything(value, &[path, &[key]].concat()).err()).flatten().collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn array(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    if matches!(value, Value::Array(_)) { Ok(()) } else { Err(expected(path, "an array", value)) }
}

fn string(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    if matches!(value, Value::Text(_)) { Ok(()) } else { Err(expected(path, "a string", value)) }
}

fn boolean(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    if matches!(value, Value::Bool(_)) { Ok(()) } else { Err(expected(path, "a boolean", value)) }
}

/// What a value may be where a directive may stand as well.
#[derive(Clone, Copy)]
enum Or {
    Raw,
    Text,
    Object,
}

impl Or {
    /// Looks at the value, and not at what is in it.
    fn shallow(self, value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
        let (is_right, what) = match self {
            Self::Raw => (!matches!(value, Value::Undefined), "a mapping directive or a JSON value"),
            Self::Text => (matches!(value, Value::Text(_)), "a string or a mapping directive"),
            Self::Object => (matches!(value, Value::Object(_)), "a object or a mapping directive"),
        };
        if is_right || kind(value) == "directive" { Ok(()) } else { Err(expected(path, what, value)) }
    }

    fn deep(self, value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
        self.shallow(value, path)?;
        match (kind(value), self) {
            ("directive", _) => directive(value, path),
            ("object", Self::Object) => object(value, path),
            _ => Ok(()),
        }
    }
}

fn raw_or_directive(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    Or::Raw.shallow(value, path)
}

fn string_or_directive(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    Or::Text.shallow(value, path)
}

fn object_or_directive(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    Or::Object.shallow(value, path)
}

fn length(value: &Value, path: &[&str], range: std::ops::RangeInclusive<usize>) -> Result<(), Vec<Fault>> {
    string(value, path)?;
    let Value::Text(text) = value else { return Ok(()) };
    let length = text.encode_utf16().count();
    if length < *range.start() {
        return Err(fault(path, format!("should be a string of length {} or greater", range.start())));
    }
    if length > *range.end() {
        return Err(fault(path, format!("should be a string of length {} or less", range.end())));
    }
    Ok(())
}

fn one_of(value: &Value, path: &[&str], words: &[&str]) -> Result<(), Vec<Fault>> {
    string(value, path)?;
    let Value::Text(text) = value else { return Ok(()) };
    if words.contains(&text.to_lowercase().as_str()) {
        return Ok(());
    }
    Err(fault(path, format!("should be one of {} but it is {text:?}", words.join(", "))))
}

/// An object's fields: which there are, whether each must be there, and how it is checked. What is in them has been
/// checked with the object, so here it is only looked at: the destination checks it once more, at every level, and
/// takes twice as long for each level of a mapping.
fn fields(value: &Value, path: &[&str], fields: &[(&str, bool, Check)]) -> Result<(), Vec<Fault>> {
    object(value, path)?;
    let mut faults = Vec::new();
    for (name, is_required, check) in fields {
        match value.member(name) {
            Value::Undefined if *is_required => {
                faults.extend(fault(path, format!("should have field {name:?} but it doesn't")));
            }
            Value::Undefined => {}
            field => faults.extend(check(field, &[path, &[name]].concat()).err().into_iter().flatten()),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn directive(value: &Value, path: &[&str]) -> Result<(), Vec<Fault>> {
    let Value::Object(members) = value else { return Err(expected(path, "a directive object", value)) };
    let names: Vec<&str> = members.keys().map(AsRef::as_ref).filter(|key| key.starts_with('@')).collect();
    if let [_, _, ..] = names.as_slice() {
        return Err(fault(path, format!("should only have one @-prefixed key but it has {} keys", names.len())));
    }
    let others = members.keys().filter(|key| !key.starts_with('@') && ***key != *"_metadata").count();
    if others > 0 {
        return Err(fault(path, format!("should only have one @-prefixed key but it has {} keys", members.len())));
    }
    let name = names.first().copied().unwrap_or("");
    let path = &[path, &[name]].concat();
    let value = value.member(name);
    match name {
        "@if" => fields(
            value,
            path,
            &[
                ("exists", false, raw_or_directive),
                ("then", false, raw_or_directive),
                ("else", false, raw_or_directive),
            ],
        ),
        "@case" => fields(value, path, &[("operator", false, string), ("value", false, string_or_directive)]),
        "@replace" => fields(
            value,
            path,
            &[
                ("pattern", true, |value, path| length(value, path, 1..=replace::MAX_LENGTH)),
                ("replacement", false, |value, path| length(value, path, 0..=replace::MAX_LENGTH)),
                ("value", true, string_or_directive),
                ("ignorecase", false, boolean),
                ("global", false, boolean),
            ],
        ),
        "@arrayPath" => {
            array(value, path)?;
            let element = |at: usize| match value {
                Value::Array(elements) => elements.get(at).unwrap_or(&Value::Undefined),
                _ => &Value::Undefined,
            };
            Or::Text.deep(element(0), path)?;
            anything(element(1), path)
        }
        "@path" | "@template" => Or::Text.deep(value, path),
        "@json" => fields(
            value,
            path,
            &[
                ("value", true, raw_or_directive),
                ("mode", true, |value, path| one_of(value, path, &["encode", "decode"])),
            ],
        ),
        "@flatten" => fields(value, path, &[("separator", false, string), ("value", true, raw_or_directive)]),
        "@merge" => {
            fields(
                value,
                path,
                &[
                    ("direction", false, |value, path| one_of(value, path, &["left", "right"])),
                    ("objects", true, array),
                ],
            )?;
            let Value::Array(objects) = value.member("objects") else { return Ok(()) };
            // The destination's own words lose the way here; ours keep it.
            objects.iter().try_for_each(|object| Or::Object.deep(object, &[path, &["objects"][..]].concat()))
        }
        "@transform" => {
            fields(value, path, &[("apply", true, object_or_directive), ("mapping", true, object_or_directive)])
        }
        "@literal" | "@excludeWhenNull" => Or::Raw.deep(value, path),
        "@liquid" => string(value, path),
        unknown => {
            let path = path.get(..path.len().saturating_sub(1)).unwrap_or_default();
            Err(fault(path, format!("has an invalid directive: {unknown}")))
        }
    }
}
