//! How values are made to fit the types a schema wants (ajv 8 with `coerceTypes: 'array'`), and the words for those
//! that do not fit.

use super::javascript::{number, text};
use super::timestamp::is_date_like;
use super::value::{Object, Value};
use super::{Problem, Work};
use std::sync::LazyLock;

/// What a field of an action or of the settings has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Object,
    /// Text that is a date, or a number.
    Time,
    HostName,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// What it is called on Segment's screen, and in errors.
    pub(super) label: &'static str,
    pub(super) is_required: bool,
    pub(super) of_type: Type,
}

/// The fields of an object made to fit; unknown ones are dropped. The error holds every misfit.
pub(super) fn fit(value: &Value, fields: &[Field], work: &mut Work) -> Result<Object, Problem> {
    let Value::Object(members) = value else {
        return Err(Problem::Refused(format!("The root value must be an object but it was {}.", described(value))));
    };
    let given = |field: &Field| members.get(field.name).filter(|value| **value != Value::Undefined);
    let mut faults: Vec<String> =
        fields.iter().filter(|field| given(field).is_none()).filter_map(Field::missing).collect();
    let mut fitted = Object::default();
    for field in fields {
        match given(field).map(|value| field.fit(value, work)).transpose()? {
            None => {}
            Some(Ok(value)) => fitted.set(field.name.into(), value),
            Some(Err(words)) => faults.push(words),
        }
    }
    if faults.is_empty() { Ok(fitted) } else { Err(Problem::Refused(faults.join(" "))) }
}

impl Field {
    /// The words for an event without the field, if it must be there.
    pub(super) fn missing(&self) -> Option<String> {
        self.is_required.then(|| format!("The root value is missing the required field '{}'.", self.name))
    }

    /// The value as the field wants it, or the words for all that is wrong with it.
    pub(super) fn fit(&self, value: &Value, work: &mut Work) -> Result<Result<Value, String>, Problem> {
        Ok(self.of_type.fit(value, work)?.map_err(|found| {
            let words: Vec<String> =
                found.iter().map(|fault| format!("{} {fault}.", capitalised(self.label))).collect();
            words.join(" ")
        }))
    }
}

fn capitalised(label: &str) -> String {
    let mut characters = label.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Undefined => "undefined",
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Text(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl Type {
    fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::HostName => "a string",
            Self::Number => "a number",
            Self::Object => "an object",
            Self::Time => "a string or number",
        }
    }

    fn has(self, value: &Value) -> bool {
        match value {
            Value::Text(_) => matches!(self, Self::Text | Self::HostName | Self::Time),
            Value::Number(number) => number.is_finite() && matches!(self, Self::Number | Self::Time),
            Value::Object(_) => self == Self::Object,
            _ => false,
        }
    }

    /// The value as the type wants it, or all that is wrong with it.
    fn fit(self, value: &Value, work: &mut Work) -> Result<Result<Value, Vec<String>>, Problem> {
        let mut faults = Vec::new();
        let fitted = if self.has(value) {
            value.clone()
        } else {
            match self.coerce(value, work)? {
                Ok(coerced) => coerced,
                Err(found) => {
                    faults.push(format!("must be {} but it was {}", self.expected(), described(found)));
                    // A text that was refused for its type is looked at all the same.
                    found.clone()
                }
            }
        };
        let format = match (self, &fitted) {
            (Self::Time, Value::Text(text)) if !is_date_like(text) => Some("date-like"),
            (Self::HostName, Value::Text(text)) if !is_host_name(text) => Some("hostname"),
            _ => None,
        };
        faults.extend(format.map(|format| format!("must be a valid {format} string but it was not")));
        Ok(if faults.is_empty() { Ok(fitted) } else { Err(faults) })
    }

    /// The value as the type wants it, or the value that does not go.
    fn coerce<'a>(self, value: &'a Value, work: &mut Work) -> Result<Result<Value, &'a Value>, Problem> {
        if self == Self::Object {
            return Ok(Err(value));
        }
        // An array of one is its element. A date's element is never taken as it is, since no value is both a text and
        // a number, which is what is asked of it; it goes on to be coerced.
        let value = match value {
            Value::Array(elements) => match elements.as_slice() {
                [element] if self.has(element) && self != Self::Time => return Ok(Ok(element.clone())),
                [element] => element,
                _ => value,
            },
            other => other,
        };
        let to_text = matches!(self, Self::Text | Self::HostName | Self::Time);
        let to_number = matches!(self, Self::Number | Self::Time);
        Ok(match value {
            Value::Bool(_) | Value::Number(_) if to_text => Ok(Value::text(&text(value, work)?)),
            Value::Null if to_text => Ok(Value::text("")),
            Value::Null => Ok(Value::Number(0.0)),
            Value::Bool(value) => Ok(Value::Number(f64::from(u8::from(*value)))),
            Value::Text(text) if to_number && !text.is_empty() && !number(text).is_nan() => {
                Ok(Value::Number(number(text)))
            }
            other => Err(other),
        })
    }
}

/// ajv-formats' hostname.
fn is_host_name(text: &str) -> bool {
    static EXPRESSION: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
        regex::Regex::new(r"^(?i-u)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-0-9a-z]{0,61}[0-9a-z])?)*\.?$")
            .ok()
    });
    let length = text.strip_suffix('.').unwrap_or(text).len();
    (1..=253).contains(&length) && EXPRESSION.as_ref().is_some_and(|expression| expression.is_match(text))
}
