//! Filters: whether an event passes a metric's filter (rule A6).
//!
//! A filter is a tree over the attributes of the event's contexts and the properties of its `data`. Its operators
//! are those of LaunchDarkly's targeting clauses, with the meaning the public SDKs give them; that filters use the
//! same meaning is this tool's choice. Where no certain answer exists, the answer is [`Outcome::Unsupported`].

use super::pattern::JavaScriptPattern;
use crate::catalog::Filter;
use serde_json::{Map, Value};
use std::cell::OnceCell;
use std::cmp::Ordering;

/// How an event comes out of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passes.
    Passes,
    /// It does not (`filter-mismatch`).
    Fails,
    /// It does not, and what decides is an attribute the SDK redacted (`filter-attr-redacted`).
    Redacted,
    /// It cannot be told (`filter-unsupported`).
    Unsupported,
}

/// What a filter may read of an event, as raw JSON; parsed when first asked for, and only once.
#[derive(Debug, Default)]
pub struct EventView<'a> {
    context: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    is_part: bool,
    contexts: OnceCell<Option<Value>>,
    properties: OnceCell<Option<Value>>,
}

impl<'a> EventView<'a> {
    /// Takes the raw JSON of the event's `context`, of a legacy event's `user`, and of its `data`.
    ///
    /// An event with neither context nor user (it carries keys only) has no attributes to judge: a filter on them
    /// is then unsupported, not failed, because the source cannot carry its input (rule O1d).
    pub fn new(context: Option<&'a [u8]>, user: Option<&'a [u8]>, data: Option<&'a [u8]>) -> Self {
        Self { context, user, data, ..Self::default() }
    }

    /// The same where only one of the event's contexts is known, and not its `data` (a warehouse's row). What the
    /// part does not hold, the event may: it is not absent, it cannot be told.
    pub fn of_part(context: Option<&'a [u8]>) -> Self {
        Self { context, is_part: true, ..Self::default() }
    }

    fn contexts(&self) -> Option<&Map<String, Value>> {
        let parsed = self.contexts.get_or_init(|| serde_json::from_slice(self.context.or(self.user)?).ok());
        parsed.as_ref()?.as_object()
    }

    /// The kinds of the event's contexts.
    fn kinds(&self) -> Option<Vec<&str>> {
        let contexts = self.contexts()?;
        if self.context.is_none() {
            return Some(vec!["user"]);
        }
        match contexts.get("kind").and_then(Value::as_str) {
            Some("multi") => Some(contexts.keys().map(String::as_str).filter(|kind| *kind != "kind").collect()),
            Some(kind) => Some(vec![kind]),
            None => Some(Vec::new()),
        }
    }

    /// An attribute of the context of a kind.
    fn attribute(&self, kind: &str, path: &[String]) -> Found<'_> {
        let Some(contexts) = self.contexts() else { return Found::Unreadable };
        if self.context.is_none() {
            return if kind == "user" { legacy_attribute(contexts, path) } else { Found::Absent };
        }
        let context = match contexts.get("kind").and_then(Value::as_str) {
            Some("multi") => contexts.get(kind).and_then(Value::as_object),
            Some(own) if own == kind => Some(contexts),
            _ => None,
        };
        let Some(context) = context else {
            return if self.is_part { Found::Unreadable } else { Found::Absent };
        };
        let redacted = context.get("_meta").and_then(|meta| meta.get("redactedAttributes"));
        if is_redacted(redacted, path) {
            return Found::Redacted;
        }
        match path {
            [name] if name == "_meta" => Found::Absent,
            // SDKs leave out what is false, and the targeting rules read it as false.
            [name] if name == "anonymous" && !context.contains_key("anonymous") => Found::Value(&Value::Bool(false)),
            _ => Found::of(descend(context, path)),
        }
    }

    /// A property of `data`, which has properties only where it is an object.
    fn property(&self, path: &[String]) -> Found<'_> {
        let Some(data) = self.data else {
            return if self.is_part { Found::Unreadable } else { Found::Absent };
        };
        match self.properties.get_or_init(|| serde_json::from_slice(data).ok()) {
            None => Found::Unreadable,
            Some(Value::Object(properties)) => Found::of(descend(properties, path)),
            Some(_) => Found::Absent,
        }
    }
}

/// What an attribute reference leads to.
enum Found<'a> {
    Value(&'a Value),
    Absent,
    Redacted,
    Unreadable,
}

impl<'a> Found<'a> {
    /// Null is as good as absent, as in targeting.
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Absent,
            Some(value) => Self::Value(value),
        }
    }
}

/// A legacy user keeps some attributes beside its key and the others in `custom`; `privateAttrs` names what was
/// taken out.
fn legacy_attribute<'a>(user: &'a Map<String, Value>, path: &[String]) -> Found<'a> {
    if is_redacted(user.get("privateAttrs"), path) {
        return Found::Redacted;
    }
    match path.first().map(String::as_str) {
        Some("custom" | "privateAttrs") => Found::Absent,
        Some(name) if user.contains_key(name) => Found::of(descend(user, path)),
        _ => Found::of(user.get("custom").and_then(Value::as_object).and_then(|custom| descend(custom, path))),
    }
}

fn descend<'a>(object: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.get(first)?, |value, name| value.as_object()?.get(name))
}

/// Whether a list of redacted attributes (names, or `/`-paths) takes in the attribute, something it is part of, or
/// a part of it.
fn is_redacted(list: Option<&Value>, path: &[String]) -> bool {
    let names = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    names.filter_map(attribute_path).any(|redacted| redacted.starts_with(path) || path.starts_with(&redacted))
}

/// Splits an attribute reference: a plain name, or a path that begins with `/` and in which `~1` stands for `/` and
/// `~0` for `~`. None where it is neither.
pub(crate) fn attribute_path(reference: &str) -> Option<Vec<String>> {
    let Some(path) = reference.strip_prefix('/') else {
        return (!reference.is_empty()).then(|| vec![reference.to_owned()]);
    };
    path.split('/').map(|name| (!name.is_empty()).then(|| name.replace("~1", "/").replace("~0", "~"))).collect()
}

/// A metric's filter, compiled once.
#[derive(Clone, Debug)]
pub struct CompiledFilter(Node);

#[derive(Clone, Debug)]
enum Node {
    Group { all: bool, negate: bool, members: Vec<Node> },
    Attribute { context_kind: Option<String>, path: Vec<String>, test: Test, negate: bool },
    Unsupported,
}

/// An operator with the values it can compare with. A value of a type the operator does not take matches nothing.
#[derive(Clone, Debug)]
enum Test {
    In(Vec<Value>),
    Text(fn(&str, &str) -> bool, Vec<String>),
    Matches(Vec<Option<JavaScriptPattern>>),
    Number(fn(Ordering) -> bool, Vec<f64>),
    Instant(Ordering, Vec<f64>),
    Version(Ordering, Vec<semver::Version>),
}

impl CompiledFilter {
    /// Compiles a filter. What exptap does not model is kept as unsupported.
    pub fn new(filter: &Filter) -> Self {
        Self(Node::compile(filter))
    }

    /// Whether all of it is known: where a part is not, no event can be judged by it for certain.
    pub fn is_modelled(&self) -> bool {
        let mut rest = vec![&self.0];
        while let Some(node) = rest.pop() {
            match node {
                Node::Group { members, .. } => rest.extend(members),
                Node::Attribute { .. } => {}
                Node::Unsupported => return false,
            }
        }
        true
    }

    /// Judges an event.
    pub fn judge(&self, event: &EventView<'_>) -> Outcome {
        self.0.judge(event, false)
    }
}

/// Judges an event by a filter. Compiles it every time: for many events use [`CompiledFilter`].
pub fn judge(filter: &Filter, event: &EventView<'_>) -> Outcome {
    CompiledFilter::new(filter).judge(event)
}

impl Node {
    fn compile(filter: &Filter) -> Self {
        match filter {
            // An empty group says nothing, and neither reading of it is documented.
            Filter::Group { members, .. } if members.is_empty() => Self::Unsupported,
            Filter::Group { all, members, negate } => {
                Self::Group { all: *all, negate: *negate, members: members.iter().map(Self::compile).collect() }
            }
            Filter::Attribute { context_kind, attribute, op, values, negate } => {
                match (attribute_path(attribute), Test::compile(op, values)) {
                    (Some(path), Some(test)) => {
                        Self::Attribute { context_kind: context_kind.clone(), path, test, negate: *negate }
                    }
                    _ => Self::Unsupported,
                }
            }
            Filter::Unsupported { .. } => Self::Unsupported,
        }
    }

    /// A negation is carried down to the attributes, and the groups it passes change sides. Only there can it be
    /// kept from making an absent or redacted attribute match.
    fn judge(&self, event: &EventView<'_>, inverted: bool) -> Outcome {
        match self {
            Self::Group { all, negate, members } => {
                let inverted = inverted != *negate;
                let outcomes = members.iter().map(|member| member.judge(event, inverted));
                if *all != inverted { all_of(outcomes) } else { any_of(outcomes) }
            }
            Self::Attribute { context_kind, path, test, negate } => {
                let inverted = inverted != *negate;
                let found = match (context_kind, path.as_slice()) {
                    (Some(_), [name]) if name == "kind" => return judge_kinds(event, test, inverted),
                    (Some(kind), path) => event.attribute(kind, path),
                    (None, path) => event.property(path),
                };
                match found {
                    Found::Value(value) => passed(test.matches(value), inverted),
                    Found::Absent => Outcome::Fails,
                    Found::Redacted => Outcome::Redacted,
                    Found::Unreadable => Outcome::Unsupported,
                }
            }
            Self::Unsupported => Outcome::Unsupported,
        }
    }
}

/// The attribute `kind` is compared with every context kind of the event, whatever kind the filter names.
fn judge_kinds(event: &EventView<'_>, test: &Test, inverted: bool) -> Outcome {
    let Some(kinds) = event.kinds() else { return Outcome::Unsupported };
    let matched = any(kinds.into_iter().map(|kind| test.matches(&Value::String(kind.to_owned()))));
    // Another context of the event may be of a kind that matches.
    passed(matched.filter(|matched| *matched || !event.is_part), inverted)
}

fn passed(matched: Option<bool>, inverted: bool) -> Outcome {
    match matched {
        None => Outcome::Unsupported,
        Some(matched) if matched != inverted => Outcome::Passes,
        Some(_) => Outcome::Fails,
    }
}

/// A plain failure decides before a redacted attribute does: showing the attribute would not help.
fn all_of(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    strongest(outcomes, &[Outcome::Fails, Outcome::Redacted, Outcome::Unsupported, Outcome::Passes])
}

/// What cannot be told might pass, so it outweighs every failure.
fn any_of(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    strongest(outcomes, &[Outcome::Passes, Outcome::Unsupported, Outcome::Redacted, Outcome::Fails])
}

fn strongest(outcomes: impl Iterator<Item = Outcome>, order: &[Outcome]) -> Outcome {
    let rank = |outcome: &Outcome| order.iter().position(|other| other == outcome);
    outcomes.min_by_key(rank).unwrap_or(Outcome::Unsupported)
}

/// Any of several answers; none where it hangs on one that could not be had.
fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(false);
    for answer in answers {
        match answer {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

impl Test {
    fn compile(op: &str, values: &[Value]) -> Option<Self> {
        let texts = || values.iter().filter_map(Value::as_str);
        let numbers = || values.iter().filter_map(Value::as_f64).collect();
        let instants = || values.iter().filter_map(instant_ms).collect();
        let versions = || values.iter().filter_map(version).collect();
        let owned = || texts().map(str::to_owned).collect();
        Some(match op {
            "in" => Self::In(values.to_vec()),
            "startsWith" => Self::Text(|own, value| own.starts_with(value), owned()),
            "endsWith" => Self::Text(|own, value| own.ends_with(value), owned()),
            "contains" => Self::Text(|own, value| own.contains(value), owned()),
            "matches" => Self::Matches(texts().map(|pattern| JavaScriptPattern::compile(pattern).ok()).collect()),
            "lessThan" => Self::Number(Ordering::is_lt, numbers()),
            "lessThanOrEqual" => Self::Number(Ordering::is_le, numbers()),
            "greaterThan" => Self::Number(Ordering::is_gt, numbers()),
            "greaterThanOrEqual" => Self::Number(Ordering::is_ge, numbers()),
            "before" => Self::Instant(Ordering::Less, instants()),
            "after" => Self::Instant(Ordering::Greater, instants()),
            "semVerEqual" => Self::Version(Ordering::Equal, versions()),
            "semVerLessThan" => Self::Version(Ordering::Less, versions()),
            "semVerGreaterThan" => Self::Version(Ordering::Greater, versions()),
            _ => return None,
        })
    }

    /// Whether a value, or any element of an array, matches any of the operator's values. None: cannot be told.
    fn matches(&self, own: &Value) -> Option<bool> {
        match own {
            Value::Array(elements) => any(elements.iter().map(|element| self.matches_one(element))),
            _ => self.matches_one(own),
        }
    }

    fn matches_one(&self, own: &Value) -> Option<bool> {
        Some(match self {
            Self::In(values) => values.iter().any(|value| equal(own, value)),
            Self::Text(test, values) => own.as_str().is_some_and(|own| values.iter().any(|value| test(own, value))),
            Self::Matches(patterns) => {
                let Some(own) = own.as_str() else { return Some(false) };
                return any(patterns.iter().map(|pattern| pattern.as_ref()?.found_in(own).ok()));
            }
            Self::Number(test, values) => own.as_f64().is_some_and(|own| ordered(own, values).any(test)),
            Self::Instant(wanted, values) => {
                instant_ms(own).is_some_and(|own| ordered(own, values).any(|order| order == *wanted))
            }
            Self::Version(wanted, values) => {
                version(own).is_some_and(|own| values.iter().any(|value| own.cmp_precedence(value) == *wanted))
            }
        })
    }
}

fn ordered(own: f64, values: &[f64]) -> impl Iterator<Item = Ordering> {
    values.iter().filter_map(move |value| own.partial_cmp(value))
}

/// Equal in type and value. Numbers are JavaScript's: 1 and 1.0 are one.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| equal(value, other)))
        }
        _ => one == other,
    }
}

/// An instant in epoch milliseconds: a number, or RFC 3339 text.
fn instant_ms(value: &Value) -> Option<f64> {
    if let Some(text) = value.as_str() {
        // The library also takes a space or nothing between date and time; the SDKs do not agree on that.
        let instant = (text.as_bytes().get(10) == Some(&b'T')).then(|| text.parse::<jiff::Timestamp>().ok())??;
        #[expect(clippy::cast_precision_loss, reason = "a quarter of a microsecond, for instants of this age")]
        return Some(instant.as_nanosecond() as f64 / 1e6);
    }
    value.as_f64()
}

/// A semantic version; the minor and the patch number may be missing and are then 0.
fn version(value: &Value) -> Option<semver::Version> {
    let text = value.as_str()?;
    let numbers_end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at_checked(numbers_end)?;
    let missing = match numbers.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    semver::Version::parse(&format!("{numbers}{missing}{rest}")).ok()
}

#[cfg(test)]
mod tests;
