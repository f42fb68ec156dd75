//! How a path finds a value. The mapping and the trigger each have a way of their own.

use super::Problem;
use super::javascript::{array_index, is_truthy};
use super::value::{HALF_CHARACTER, Value};

/// The value a mapping's path names: `$.properties.list[0]["name"]` without its `$.`.
///
/// A path is cut at dots and at brackets, but at brackets only where a quote or digit is inside them; quotes are then
/// dropped, which is why `a['b.c']` is four names and finds nothing.
pub(super) fn mapped(data: &Value, path: &str) -> Result<Value, Problem> {
    if path.is_empty() || path == "." {
        return Ok(data.clone());
    }
    let mut value = data.clone();
    let mut name = String::new();
    let take = |value: &mut Value, name: &mut String| -> Result<(), Problem> {
        if !name.is_empty() {
            name.retain(|character| !matches!(character, '\'' | '"'));
            *value = member(value, name)?;
            name.clear();
        }
        Ok(())
    };
    let is_quote_or_digit = |character: char| matches!(character, '"' | '\'') || character.is_ascii_digit();
    let mut previous = None;
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        let is_cut = match character {
            '.' => true,
            '[' => characters.peek().copied().is_some_and(is_quote_or_digit),
            ']' => previous.is_some_and(is_quote_or_digit),
            _ => false,
        };
        if is_cut {
            take(&mut value, &mut name)?;
        } else {
            name.push(character);
        }
        // A run of closing brackets is cut as a whole.
        if !(is_cut && character == ']') {
            previous = Some(character);
        }
    }
    take(&mut value, &mut name)?;
    Ok(value)
}

/// The value a trigger's path names, below `properties`, `traits` or `context`: cut at dots and brackets wherever they
/// are, quotes kept. A path of nothing but dots and brackets is none of JavaScript's, and throws.
pub(super) fn triggered(data: &Value, path: &str) -> Result<Value, Problem> {
    if path.is_empty() {
        return Ok(Value::Undefined);
    }
    let mut names = path.split(['[', '.', ']']).filter(|name| !name.is_empty()).peekable();
    if names.peek().is_none() {
        return Err(Problem::Refused("Cannot read properties of null (reading 'reduce')".to_owned()));
    }
    names.try_fold(data.clone(), |value, name| member(&value, name))
}

/// `value && value[name]`: what is falsy stays what it is.
fn member(value: &Value, name: &str) -> Result<Value, Problem> {
    if !is_truthy(value) {
        return Ok(value.clone());
    }
    let (own, methods): (_, &[&str]) = match value {
        Value::Object(object) => (object.get(name).cloned(), &[]),
        Value::Array(elements) if name == "length" => (Some(length(elements.len())), &[]),
        Value::Array(elements) => {
            let index = array_index(name).and_then(|index| usize::try_from(index).ok());
            (index.and_then(|index| elements.get(index)).cloned(), ARRAY_METHODS)
        }
        Value::Text(text) if name == "length" => (Some(length(text.encode_utf16().count())), &[]),
        Value::Text(text) => (array_index(name).map_or(Ok(None), |index| unit(text, index))?, STRING_METHODS),
        Value::Number(_) => (None, NUMBER_METHODS),
        _ => (None, &[]),
    };
    match own {
        Some(value) => Ok(value),
        None if OBJECT_METHODS.contains(&name) || methods.contains(&name) => Err(Problem::NotModelled(format!(
            "the path names {name}, which the value does not have, but JavaScript gives to every such value"
        ))),
        None => Ok(Value::Undefined),
    }
}

fn length(length: usize) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "no text and no array is that long")]
    Value::Number(length as f64)
}

/// One UTF-16 unit of a text, as a text.
fn unit(text: &str, index: u32) -> Result<Option<Value>, Problem> {
    let Some(unit) = usize::try_from(index).ok().and_then(|index| text.encode_utf16().nth(index)) else {
        return Ok(None);
    };
    let character = char::from_u32(u32::from(unit)).ok_or_else(|| Problem::NotModelled(HALF_CHARACTER.to_owned()))?;
    Ok(Some(Value::text(character.encode_utf8(&mut [0; 4]))))
}

const OBJECT_METHODS: &[&str] = &[
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];
const NUMBER_METHODS: &[&str] = &["toExponential", "toFixed", "toPrecision"];
#[rustfmt::skip]
const ARRAY_METHODS: &[&str] = &[
    "at", "concat", "copyWithin", "entries", "every", "fill", "filter", "find", "findIndex", "findLast",
    "findLastIndex", "flat", "flatMap", "forEach", "includes", "indexOf", "join", "keys", "lastIndexOf", "map", "pop",
    "push", "reduce", "reduceRight", "reverse", "shift", "slice", "some", "sort", "splice", "toReversed", "toSorted",
    "toSpliced", "unshift", "values", "with",
];
#[rustfmt::skip]
const STRING_METHODS: &[&str] = &[
    "anchor", "at", "big", "blink", "bold", "charAt", "charCodeAt", "codePointAt", "concat", "endsWith", "fixed",
    "fontcolor", "fontsize", "includes", "indexOf", "isWellFormed", "italics", "lastIndexOf", "link", "localeCompare",
    "match", "matchAll", "normalize", "padEnd", "padStart", "repeat", "replace", "replaceAll", "search", "slice",
    "small", "split", "startsWith", "strike", "sub", "substr", "substring", "sup", "toLocaleLowerCase",
    "toLocaleUpperCase", "toLowerCase", "toUpperCase", "toWellFormed", "trim", "trimEnd", "trimLeft", "trimRight",
    "trimStart",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Work;
    use super::super::value::parse;
    use super::*;

    const DATA: &str =
        r#"{"a":{"b":[{"c d":"x"},7],"it's":1,"":2},"a.b":3,"zero":0,"empty":"","no":false,"nil":null,"word":"né🎉"}"#;

    #[track_caller]
    fn finds(path: &str, expected: Option<&str>) {
        let value = mapped(&parse(DATA).unwrap(), path).unwrap();
        assert_eq!(value.json(&mut Work::default()).unwrap().as_deref(), expected, "{path}");
    }

    #[test]
    fn a_mapping_path_is_cut_at_dots_and_at_brackets_around_quotes_or_digits() {
        finds("a.b[0]['c d']", Some(r#""x""#));
        finds("a.b[0][\"c d\"]", Some(r#""x""#));
        finds("a.b.1", Some("7"));
        finds("['a']..b[1]", Some("7"));
        finds("a.b[-1]", None);
        finds("[a].b", None);
        finds("a['it's']", None);
        finds("['a.b']", Some(r#"[{"c d":"x"},7]"#));
        finds("a['']", Some("2"));
        finds("", Some(DATA));
        finds(".", Some(DATA));
        finds("..", Some(DATA));
        finds("$", None);
    }

    #[test]
    fn lookups_end_at_what_is_falsy_and_know_lengths() {
        for (path, found) in [("zero.x", "0"), ("empty.x.y", "\"\""), ("no.x", "false"), ("nil.x", "null")] {
            finds(path, Some(found));
        }
        finds("a.b.length", Some("2"));
        finds("word.length", Some("4"));
        finds("word[1]", Some("\"é\""));
        finds("word[9]", None);
        assert!(matches!(mapped(&parse(DATA).unwrap(), "word[2]"), Err(Problem::NotModelled(_))));
        assert!(matches!(mapped(&parse(DATA).unwrap(), "a.constructor.name"), Err(Problem::NotModelled(_))));
    }

    #[test]
    fn a_trigger_path_is_cut_at_every_dot_and_bracket() {
        let data = parse(DATA).unwrap();
        assert_eq!(triggered(&data, "a.b[1]"), Ok(Value::Number(7.0)));
        assert_eq!(triggered(&data, "a['b']"), Ok(Value::Undefined));
        assert_eq!(triggered(&data, ""), Ok(Value::Undefined));
        assert!(triggered(&data, "..").is_err());
    }
}
