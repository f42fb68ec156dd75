//! Resolving a mapping: everything in it is itself, except for directives, which are computed from the event.

use super::javascript::{is_loosely_empty, is_truthy, text};
use super::path;
use super::replace::{Manner, replace};
use super::template::render;
use super::validate;
use super::value::{Object, Unreadable, Value, parse};
use super::{Problem, Work};
use std::borrow::Cow;
use std::sync::Arc;

/// A mapping with this key is one directive, which gets the rest as its `mapping`.
const ROOT: &str = "__segment_internal_directive";

/// A mapping that is ready to be resolved, or what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    mapping: Value,
    fault: Option<String>,
    faults: Vec<validate::Fault>,
}

impl Plan {
    pub(super) fn new(mapping: &Value) -> Self {
        let (mapping, fault) = match rooted(mapping) {
            Ok(mapping) => (mapping, None),
            Err(fault) => (Value::Undefined, Some(fault)),
        };
        let faults = validate::mapping(&mapping).err().unwrap_or_default();
        Self { mapping, fault, faults }
    }

    /// The mistakes of the mapping.
    pub(super) fn faults(&self) -> &[validate::Fault] {
        &self.faults
    }

    /// The destination's words for the mistakes.
    pub(super) fn refusal(&self) -> Option<String> {
        if let Some(fault) = &self.fault {
            return Some(fault.clone());
        }
        let words: Vec<String> = self.faults.iter().map(|fault| format!("ValidationError: {fault}.")).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// What is resolved.
    pub(super) fn mapping(&self) -> &Value {
        &self.mapping
    }

    /// The payload of an event.
    pub(super) fn resolve(&self, event: &Value, work: &mut Work) -> Result<Value, Problem> {
        if let Some(refusal) = self.refusal() {
            return Err(Problem::Refused(refusal));
        }
        without_undefined(&resolve(&self.mapping, event, work)?, 0, work)
    }
}

/// A mapping with its root directive, if it has one, put in its place.
fn rooted(mapping: &Value) -> Result<Value, String> {
    let Value::Object(members) = mapping else { return Ok(mapping.clone()) };
    let Some(root) = members.get(ROOT) else { return Ok(mapping.clone()) };
    let mut rest = Object::default();
    members.iter().filter(|(key, _)| &***key != ROOT).for_each(|(key, value)| rest.set(Arc::clone(key), value.clone()));
    let rest = Value::object(rest);
    let too_many = || Err("The root mapping must only have a single directive object".to_owned());
    let not_an_object = || Err("The root directive must be an object".to_owned());
    let with_mapping = |directive: &Value| match directive {
        Value::Object(options) => {
            let mut options = Object::clone(options);
            options.set("mapping".into(), rest.clone());
            Ok(Value::object(options))
        }
        // An array takes the member too, and nothing looks for it there.
        Value::Array(_) => Ok(directive.clone()),
        _ => not_an_object(),
    };
    match root {
        Value::Object(members) if members.len() > 1 => too_many(),
        Value::Object(members) => match members.iter().next() {
            Some((name, directive)) => {
                let mut root = Object::default();
                root.set(Arc::clone(name), with_mapping(directive)?);
                Ok(Value::object(root))
            }
            None => not_an_object(),
        },
        Value::Array(elements) => match elements.as_slice() {
            [directive] => Ok(Value::array(vec![with_mapping(directive)?])),
            [] => not_an_object(),
            _ => too_many(),
        },
        Value::Text(text) if text.encode_utf16().count() > 1 => too_many(),
        _ => not_an_object(),
    }
}

/// The value as a new one without members that are undefined.
fn without_undefined(value: &Value, depth: u32, work: &mut Work) -> Result<Value, Problem> {
    work.step(depth)?;
    Ok(match value {
        Value::Array(elements) => {
            let elements: Result<_, _> =
                elements.iter().map(|element| without_undefined(element, depth + 1, work)).collect();
            Value::array(elements?)
        }
        Value::Object(members) => {
            let mut kept = Object::default();
            for (key, value) in members.iter().filter(|(_, value)| **value != Value::Undefined) {
                kept.assign(key, without_undefined(value, depth + 1, work)?)?;
            }
            Value::object(kept)
        }
        other => other.clone(),
    })
}

fn refused<T>(words: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Refused(words.into()))
}

/// Resolves a mapping, or a part of one, against data.
pub(super) fn resolve(mapping: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    work.take(1)?;
    match mapping {
        Value::Array(elements) => {
            let elements: Result<_, _> = elements.iter().map(|element| resolve(element, data, work)).collect();
            Ok(Value::array(elements?))
        }
        Value::Object(members) => {
            if let Some((name, options)) = directive(members) {
                return run(name, options, data, work);
            }
            let mut resolved = Object::default();
            for (key, value) in members.iter() {
                resolved.assign(key, resolve(value, data, work)?)?;
            }
            Ok(Value::object(resolved))
        }
        other => Ok(other.clone()),
    }
}

/// The directive an object is: all its keys begin with an at sign, the first one counts.
fn directive(members: &Object) -> Option<(&str, &Value)> {
    if !members.keys().all(|key| key.starts_with('@') || **key == *"_metadata") {
        return None;
    }
    members.iter().find(|(key, _)| key.starts_with('@')).map(|(key, value)| (&**key, value))
}

fn run(name: &str, options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    match name {
        "@path" => {
            let path = string(name, options, data, work)?;
            path::mapped(data, &without_root(&path))
        }
        "@template" => {
            let template = string(name, options, data, work)?;
            Ok(Value::text(&render(&template, data, work)?))
        }
        "@literal" => resolve(options, data, work),
        "@if" => run_if(options, data, work),
        "@case" => run_case(options, data, work),
        "@replace" => run_replace(options, data, work),
        "@arrayPath" => run_array_path(options, data, work),
        "@flatten" => run_flatten(options, data, work),
        "@json" => run_json(options, data, work),
        "@merge" => run_merge(options, data, work),
        "@transform" => run_transform(options, data, work),
        "@excludeWhenNull" => match resolve(options, data, work)? {
            Value::Null => Ok(Value::Undefined),
            value => without_null(&value, 0, work),
        },
        "@liquid" => run_liquid(options),
        unknown => refused(format!("{unknown} is not a valid directive, got undefined")),
    }
}

/// Only the first `$.` is taken out, wherever it stands.
fn without_root(path: &str) -> Cow<'_, str> {
    if path.contains("$.") { path.replacen("$.", "", 1).into() } else { path.into() }
}

fn string(name: &str, options: &Value, data: &Value, work: &mut Work) -> Result<Arc<str>, Problem> {
    match resolve(options, data, work)? {
        Value::Text(text) => Ok(text),
        other => refused(format!("{name}: expected string, got {}", other.real_type())),
    }
}

fn object(name: &str, options: &Value) -> Result<(), Problem> {
    if matches!(options, Value::Object(_)) { Ok(()) } else { refused(format!("{name} requires an object")) }
}

/// A key that has to hold something, and what it holds.
fn required<'a>(name: &str, options: &'a Value, key: &str) -> Result<&'a Value, Problem> {
    match options.member(key) {
        value if is_truthy(value) => Ok(value),
        _ => refused(format!("{name} requires a \"{key}\" key")),
    }
}

fn run_if(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@if", options)?;
    let (exists, blank) = (options.member("exists"), options.member("blank"));
    if !is_truthy(exists) && !is_truthy(blank) {
        return refused("@if requires an \"exists\" key or a \"blank\" key");
    }
    let condition = if *exists == Value::Undefined {
        let value = resolve(blank, data, work)?;
        !matches!(value, Value::Undefined | Value::Null) && !is_loosely_empty(&value, work)?
    } else {
        !matches!(resolve(exists, data, work)?, Value::Undefined | Value::Null)
    };
    // What stands under `else` has to be something, what stands under `then` need not be.
    let (then, otherwise) = (options.member("then"), options.member("else"));
    match condition {
        true if *then != Value::Undefined => resolve(then, data, work),
        false if is_truthy(otherwise) => resolve(otherwise, data, work),
        _ => Ok(Value::Undefined),
    }
}

fn run_case(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@case", options)?;
    let operator = required("@case", options, "operator")?;
    let value = options.member("value");
    if !is_truthy(value) {
        return Ok(Value::Undefined);
    }
    let value = resolve(value, data, work)?;
    if let Value::Text(text) = &value {
        work.take(text.len())?;
    }
    match (value, operator) {
        (Value::Text(text), Value::Text(operator)) if **operator == *"lower" => Ok(Value::text(&text.to_lowercase())),
        (Value::Text(text), Value::Text(operator)) if **operator == *"upper" => Ok(Value::text(&text.to_uppercase())),
        (Value::Text(_), _) => refused("operator key should have a value of \"lower\" or \"upper\""),
        (value, _) => Ok(value),
    }
}

fn run_replace(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@replace", options)?;
    let pattern = required("@replace", options, "pattern")?;
    let value = options.member("value");
    if !is_truthy(value) {
        return Ok(Value::Undefined);
    }
    let or = |key: &str, default: Value| match options.member(key) {
        Value::Undefined | Value::Null => default,
        value => value.clone(),
    };
    let value = match resolve(value, data, work)? {
        value @ (Value::Bool(_) | Value::Number(_)) => Value::text(&text(&value, work)?),
        value => value,
    };
    let replacement = or("replacement", Value::text(""));
    let (ignorecase, global) = (or("ignorecase", Value::Bool(false)), or("global", Value::Bool(true)));
    let (
        Value::Text(value),
        Value::Text(pattern),
        Value::Text(replacement),
        Value::Bool(any_case),
        Value::Bool(everywhere),
    ) = (value, pattern, replacement, ignorecase, global)
    else {
        return Ok(Value::text(""));
    };
    let manner = Manner { everywhere, any_case };
    let mut replaced = replace(&value, pattern, &replacement, manner, work)?;
    if let (Value::Text(pattern), Value::Text(replacement)) =
        (options.member("pattern2"), or("replacement2", Value::text("")))
        && !pattern.is_empty()
    {
        replaced = replace(&replaced, pattern, &replacement, manner, work)?;
    }
    Ok(Value::text(&replaced))
}

fn run_array_path(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    let Value::Array(elements) = options else {
        return refused(format!("@arrayPath expected array, got {}", options.real_type()));
    };
    let at = |index: usize| elements.get(index).unwrap_or(&Value::Undefined);
    let root = match at(0) {
        Value::Text(path) => path::mapped(data, &without_root(path))?,
        other => resolve(other, data, work)?,
    };
    let shape = at(1);
    if !matches!(shape, Value::Object(members) if members.len() > 0) {
        return Ok(root);
    }
    match &root {
        Value::Array(items) => {
            let items: Result<_, _> = items.iter().map(|item| resolve(shape, item, work)).collect();
            Ok(Value::array(items?))
        }
        Value::Object(_) => Ok(Value::array(vec![resolve(shape, &root, work)?])),
        _ => Ok(root),
    }
}

fn run_flatten(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@flatten", options)?;
    let Value::Text(separator) = resolve(required("@flatten", options, "separator")?, data, work)? else {
        return refused("@flatten requires a string separator");
    };
    let value = resolve(options.member("value"), data, work)?;
    let mut flat = Object::default();
    let manner = Flat { separator: &separator, arrays: !is_truthy(options.member("omitArrays")) };
    manner.flatten(&mut flat, &value, "", 0, work)?;
    Ok(Value::object(flat))
}

struct Flat<'a> {
    separator: &'a str,
    arrays: bool,
}

impl Flat<'_> {
    fn flatten(
        &self,
        flat: &mut Object,
        value: &Value,
        name: &str,
        depth: u32,
        work: &mut Work,
    ) -> Result<(), Problem> {
        work.step(depth)?;
        work.take(name.len())?;
        let below = |key: &str| if name.is_empty() { key.to_owned() } else { [name, self.separator, key].concat() };
        match value {
            Value::Object(members) => {
                members.iter().try_for_each(|(key, value)| self.flatten(flat, value, &below(key), depth + 1, work))
            }
            Value::Array(elements) if self.arrays => elements
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| self.flatten(flat, value, &below(&index.to_string()), depth + 1, work)),
            other => {
                flat.set(name.into(), other.clone());
                Ok(())
            }
        }
    }
}

fn run_json(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@json", options)?;
    let mode = required("@json", options, "mode")?;
    let value = resolve(required("@json", options, "value")?, data, work)?;
    match (mode, value) {
        (Value::Text(mode), value) if **mode == *"encode" => {
            Ok(value.json(work)?.map_or(Value::Undefined, |json| Value::text(&json)))
        }
        (Value::Text(mode), Value::Text(text)) if **mode == *"decode" => {
            work.take(text.len())?;
            match parse(&text) {
                Ok(value) => Ok(value),
                Err(Unreadable::NotJson(_)) => Ok(Value::Text(text)),
                Err(Unreadable::NotModelled(what)) => Err(Problem::NotModelled(format!("@json decode: {what}"))),
            }
        }
        (Value::Text(mode), value) if **mode == *"decode" => Ok(value),
        // The check of the mapping takes any case, this does not.
        _ => Ok(Value::Undefined),
    }
}

fn run_merge(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@merge", options)?;
    let direction = resolve(required("@merge", options, "direction")?, data, work)?;
    let Value::Array(objects) = required("@merge", options, "objects")? else {
        return refused("@merge: expected opts.array");
    };
    let objects: Result<Vec<Value>, _> = objects.iter().map(|object| resolve(object, data, work)).collect();
    let mut objects = objects?;
    if matches!(&direction, Value::Text(direction) if **direction == *"left") {
        objects.reverse();
    }
    let mut merged = Object::default();
    for object in &objects {
        match object {
            Value::Object(members) => {
                for (key, value) in members.iter() {
                    work.take(1)?;
                    merged.assign(key, value.clone())?;
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    work.take(1)?;
                    merged.set(index.to_string().into(), element.clone());
                }
            }
            Value::Text(text) => {
                for (index, character) in text.chars().enumerate() {
                    work.take(1)?;
                    if character.len_utf16() > 1 {
                        return Err(Problem::NotModelled(super::value::HALF_CHARACTER.to_owned()));
                    }
                    merged.set(index.to_string().into(), Value::text(character.encode_utf8(&mut [0; 4])));
                }
            }
            _ => {}
        }
    }
    Ok(Value::object(merged))
}

fn run_transform(options: &Value, data: &Value, work: &mut Work) -> Result<Value, Problem> {
    object("@transform", options)?;
    let mapping = required("@transform", options, "mapping")?;
    let apply = required("@transform", options, "apply")?;
    object("@transform", apply)?;
    if !matches!(data, Value::Object(_)) {
        return refused(format!("data must be an object, got {}", data.real_type()));
    }
    work.take(weight(apply))?;
    let transformed = Plan::new(apply).resolve(data, work)?;
    resolve(mapping, &transformed, work)
}

/// How many values a mapping is made of: what it costs to check it.
fn weight(mapping: &Value) -> usize {
    match mapping {
        Value::Array(elements) => 1 + elements.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 1 + members.iter().map(|(_, value)| weight(value)).sum::<usize>(),
        _ => 1,
    }
}

/// Takes nulls out of objects, and of objects in objects, but not of arrays.
fn without_null(value: &Value, depth: u32, work: &mut Work) -> Result<Value, Problem> {
    work.step(depth)?;
    let Value::Object(members) = value else { return Ok(value.clone()) };
    let mut kept = Object::default();
    for (key, value) in members.iter().filter(|(_, value)| **value != Value::Null) {
        kept.assign(key, without_null(value, depth + 1, work)?)?;
    }
    Ok(Value::object(kept))
}

/// Liquid is a language of its own and not modelled, except for what it refuses and for text without any of it.
fn run_liquid(template: &Value) -> Result<Value, Problem> {
    const MAX_LENGTH: usize = 1000;
    const DISABLED: [&str; 6] = ["case", "for", "include", "layout", "render", "tablerow"];
    let Value::Text(template) = template else { return refused("liquid template value must be a string") };
    if template.encode_utf16().count() > MAX_LENGTH {
        return refused("liquid template values are limited to 1000 characters");
    }
    if !template.contains("{{") && !template.contains("{%") {
        return Ok(Value::Text(Arc::clone(template)));
    }
    // A disabled tag is refused when the template is read, wherever it stands; but not in a comment or raw text.
    let mut tags = template.split("{%").skip(1).map(|tag| {
        let tag = tag.strip_prefix('-').unwrap_or(tag).trim_start();
        tag.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').next().unwrap_or("")
    });
    let first = tags.next().filter(|_| !template.split("{%").next().unwrap_or("").contains("{{"));
    if let Some(tag) = first.filter(|tag| DISABLED.contains(tag)) {
        return refused(format!("tag \"{tag}\" is disabled"));
    }
    Err(Problem::NotModelled("@liquid".to_owned()))
}
