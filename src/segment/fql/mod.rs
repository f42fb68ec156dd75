//! Triggers: the small part of Segment's filter query language that destinations understand, as their reader of it
//! understands it.
//!
//! That reader takes what it knows and passes over the rest: the last `and` or `or` of a group holds for all of it,
//! words it does not know vanish, an operator can be anything. So this follows it token by token, instead of a
//! grammar that the triggers people write are not held to.

mod lex;

use super::javascript;
use super::path;
use super::value::Value;
use super::{Problem, Work};
use lex::{Kind, Token};
use std::collections::VecDeque;

/// A trigger that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trigger(Group);

#[derive(Clone, Debug, PartialEq)]
struct Group {
    is_or: bool,
    /// None: an empty pair of parentheses, on which the destination fails.
    conditions: Vec<Option<Condition>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Group(Group),
    Test(Test),
}

#[derive(Clone, Debug, PartialEq)]
struct Test {
    field: Field,
    check: Check,
}

/// Which part of the event is looked at.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    /// A member of the event: `type`, `event`, `name`, `userId`.
    Member(&'static str),
    /// A path below `properties`, `traits` or `context`.
    Below(&'static str, String),
}

#[derive(Clone, Debug, PartialEq)]
enum Check {
    /// The very text.
    Is(String),
    IsNot(String),
    NumberIs(f64),
    NumberIsNot(f64),
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
    Contains(String, Negated),
    /// UTF-16: what is cut off the pattern can be half a character.
    StartsWith(Vec<u16>, Negated),
    EndsWith(Vec<u16>, Negated),
    Exists,
    NotExists,
    IsBool(bool),
    /// An operator there is none of.
    Never,
}

type Negated = bool;

/// A literal as the reader takes it.
enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
}

impl Literal {
    fn of(token: &Token) -> Self {
        match token.kind {
            Kind::Text => {
                let text = token.text.strip_prefix('"').unwrap_or(&token.text);
                Self::Text(text.strip_suffix('"').unwrap_or(text).to_owned())
            }
            Kind::Number => Self::Number(javascript::number(&token.text)),
            Kind::Ident if token.text == "true" => Self::Bool(true),
            Kind::Ident if token.text == "false" => Self::Bool(false),
            _ => Self::Text(token.text.clone()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => javascript::number_text(*number),
            Self::Bool(value) => value.to_string(),
        }
    }

    fn number(&self) -> f64 {
        match self {
            Self::Text(text) => javascript::number(text),
            Self::Number(number) => *number,
            Self::Bool(value) => f64::from(u8::from(*value)),
        }
    }
}

/// What the reader says where it finds nothing it knows, or gives up reading.
const NOTHING: &str = "Cannot read properties of undefined (reading 'type')";

impl Trigger {
    /// Reads a trigger. The error is the destination's own.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // What cannot be cut into tokens counts as no tokens at all.
        let tokens = lex::tokens(text).unwrap_or_default();
        match group(join_paths(tokens))? {
            Some(Condition::Group(group)) => Ok(Self(group)),
            Some(test) => Ok(Self(Group { is_or: false, conditions: vec![Some(test)] })),
            None => Err(NOTHING.to_owned()),
        }
    }

    /// Whether an event matches.
    pub(super) fn matches(&self, event: &Value, work: &mut Work) -> Result<bool, Problem> {
        self.0.matches(event, work)
    }
}

/// Joins names with dots between them into one.
fn join_paths(tokens: Vec<Token>) -> VecDeque<Token> {
    let mut joined: VecDeque<Token> = VecDeque::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let next_is_name = rest.peek().is_some_and(|next| next.kind == Kind::Ident);
        match joined.back_mut() {
            Some(last) if last.kind == Kind::Ident && token.kind == Kind::Dot && next_is_name => {
                last.text.push('.');
                last.text.push_str(&rest.next().map(|next| next.text).unwrap_or_default());
            }
            _ => joined.push_back(token),
        }
    }
    joined
}

/// Reads conditions until the end. One alone is not a group.
fn group(mut tokens: VecDeque<Token>) -> Result<Option<Condition>, String> {
    let mut conditions = Vec::new();
    let mut is_or = false;
    while let Some(token) = tokens.pop_front() {
        match token.kind {
            Kind::End => break,
            Kind::Ident if is_function(&token) => conditions.extend(function(&token, &mut tokens, false)?.map(Some)),
            Kind::Ident => conditions.extend(comparison(&token, &mut tokens)?.map(Some)),
            Kind::Operator if token.text == "!" => {
                let next = tokens.front().ok_or(NOTHING)?;
                if is_function(next)
                    && let Some(name) = tokens.pop_front()
                {
                    conditions.extend(function(&name, &mut tokens, true)?.map(Some));
                }
            }
            Kind::ParenLeft => {
                let mut inner = VecDeque::new();
                loop {
                    let token = tokens.pop_front().ok_or(NOTHING)?;
                    if token.kind == Kind::ParenRight {
                        break;
                    }
                    inner.push_back(token);
                }
                inner.push_back(Token::end());
                // No deeper than this: what stands in these parentheses has no closing one.
                conditions.push(group(inner)?);
            }
            Kind::Conditional => is_or = token.text == "or",
            _ => {}
        }
    }
    if conditions.len() > 1 {
        return Ok(Some(Condition::Group(Group { is_or, conditions })));
    }
    Ok(conditions.pop().flatten())
}

fn is_function(token: &Token) -> bool {
    token.kind == Kind::Ident && matches!(token.text.as_str(), "contains" | "match")
}

/// `field operator literal`; none where the word is not a field, which then has no meaning.
fn comparison(name: &Token, tokens: &mut VecDeque<Token>) -> Result<Option<Condition>, String> {
    let below = |part: &'static str| {
        let prefix = [part, "."].concat();
        Field::Below(part, name.text.strip_prefix(&prefix).unwrap_or(&name.text).to_owned())
    };
    let field = match name.text.split('.').next() {
        Some("type") => Field::Member("type"),
        Some("event") => Field::Member("event"),
        Some("name") => Field::Member("name"),
        Some("userId") => Field::Member("userId"),
        Some("properties") => below("properties"),
        Some("traits") => below("traits"),
        Some("context") => below("context"),
        _ => return Ok(None),
    };
    let operator = tokens.pop_front().ok_or("Operator token is missing")?;
    let value = tokens.pop_front().ok_or("Value token is missing")?;
    let literal = Literal::of(&value);
    let is_below = matches!(field, Field::Below(..));
    let knows_null = is_below || matches!(field, Field::Member("name" | "userId"));
    let knows_bool = is_below || field == Field::Member("userId");
    // Everything but what is below is compared with a text.
    let number = || if is_below { literal.number() } else { javascript::number(&literal.text()) };
    let check = match (operator.text.as_str(), value.text.as_str()) {
        ("!=", "null") if knows_null => Check::Exists,
        ("=", "null") if knows_null => Check::NotExists,
        ("=", "true") if knows_bool => Check::IsBool(true),
        ("=", "false") if knows_bool => Check::IsBool(false),
        ("=", _) if is_below && value.kind == Kind::Number => Check::NumberIs(number()),
        ("!=", _) if is_below && value.kind == Kind::Number => Check::NumberIsNot(number()),
        ("=", _) => Check::Is(literal.text()),
        ("!=", _) => Check::IsNot(literal.text()),
        ("<", _) => Check::Less(number()),
        ("<=", _) => Check::LessOrEqual(number()),
        (">", _) => Check::Greater(number()),
        (">=", _) => Check::GreaterOrEqual(number()),
        (other, _) => worded(other, &literal),
    };
    Ok(Some(Condition::Test(Test { field, check })))
}

/// The operators that have names; a word in an operator's place is taken for one.
fn worded(operator: &str, literal: &Literal) -> Check {
    let units = || literal.text().encode_utf16().collect();
    match operator {
        "contains" => Check::Contains(literal.text(), false),
        "not_contains" => Check::Contains(literal.text(), true),
        "starts_with" => Check::StartsWith(units(), false),
        "not_starts_with" => Check::StartsWith(units(), true),
        "ends_with" => Check::EndsWith(units(), false),
        "not_ends_with" => Check::EndsWith(units(), true),
        "exists" => Check::Exists,
        "not_exists" => Check::NotExists,
        "is_true" => Check::IsBool(true),
        "is_false" => Check::IsBool(false),
        "number_equals" => Check::NumberIs(literal.number()),
        "number_not_equals" => Check::NumberIsNot(literal.number()),
        _ => Check::Never,
    }
}

/// `contains(field, literal)` or `match(field, "pattern*")`. What stands between is not looked at.
fn function(name: &Token, tokens: &mut VecDeque<Token>, negated: bool) -> Result<Option<Condition>, String> {
    let missing = |which: &str| format!("{}() is missing a {which} argument", name.text);
    tokens.pop_front();
    let field = tokens.pop_front().ok_or_else(|| missing("1st"))?;
    tokens.pop_front();
    let value = tokens.pop_front().ok_or_else(|| missing("2nd"))?;
    tokens.pop_front();
    let text = Literal::of(&value).text();
    let check = if name.text == "contains" {
        Check::Contains(text, negated)
    } else {
        let mut units: Vec<u16> = text.encode_utf16().collect();
        // Where the star is not at the end it is taken to be at the beginning.
        if value.text.ends_with("*\"") {
            units.pop();
            Check::StartsWith(units, negated)
        } else {
            Check::EndsWith(units.get(1..).unwrap_or_default().to_vec(), negated)
        }
    };
    let field = match field.text.as_str() {
        "event" => Field::Member("event"),
        "name" => Field::Member("name"),
        "userId" => Field::Member("userId"),
        other => {
            let Some(part) = ["properties", "traits", "context"].into_iter().find(|part| other.starts_with(part))
            else {
                return Ok(None);
            };
            let path = other.strip_prefix(&[part, "."].concat()).unwrap_or(other);
            Field::Below(part, path.to_owned())
        }
    };
    Ok(Some(Condition::Test(Test { field, check })))
}

impl Group {
    fn matches(&self, event: &Value, work: &mut Work) -> Result<bool, Problem> {
        for condition in &self.conditions {
            let matches = match condition {
                None => return Err(Problem::Refused(NOTHING.to_owned())),
                Some(Condition::Group(group)) => group.matches(event, work)?,
                Some(Condition::Test(test)) => test.matches(event, work)?,
            };
            if matches == self.is_or {
                return Ok(self.is_or);
            }
        }
        Ok(!self.is_or)
    }
}

impl Test {
    fn matches(&self, event: &Value, work: &mut Work) -> Result<bool, Problem> {
        work.take(1)?;
        let found;
        let actual = match &self.field {
            Field::Member(name) => event.member(name),
            Field::Below(part, path) => {
                found = path::triggered(event.member(part), path)?;
                &found
            }
        };
        let text = if let Value::Text(text) = actual { Some(&**text) } else { None };
        let number = if let Value::Number(number) = actual { Some(*number) } else { None };
        let compared =
            |compare: fn(&f64, &f64) -> bool, expected: f64| number.is_some_and(|number| compare(&number, &expected));
        Ok(match &self.check {
            Check::Is(expected) => text == Some(expected),
            Check::IsNot(expected) => text != Some(expected),
            Check::NumberIs(expected) => compared(f64::eq, *expected),
            Check::NumberIsNot(expected) => compared(f64::ne, *expected),
            Check::Less(expected) => compared(f64::lt, *expected),
            Check::LessOrEqual(expected) => compared(f64::le, *expected),
            Check::Greater(expected) => compared(f64::gt, *expected),
            Check::GreaterOrEqual(expected) => compared(f64::ge, *expected),
            Check::Contains(part, negated) => text.is_some_and(|text| text.contains(part.as_str()) != *negated),
            Check::StartsWith(start, negated) => text.is_some_and(|text| units(text).starts_with(start) != *negated),
            Check::EndsWith(end, negated) => text.is_some_and(|text| units(text).ends_with(end) != *negated),
            Check::Exists => !matches!(actual, Value::Undefined | Value::Null),
            Check::NotExists => matches!(actual, Value::Undefined | Value::Null),
            Check::IsBool(expected) => *actual == Value::Bool(*expected),
            Check::Never => false,
        })
    }
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

#[cfg(test)]
mod tests;
