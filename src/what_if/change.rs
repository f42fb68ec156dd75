//! Something to be set up in another way.

use crate::attribution::state::Clock;
use crate::catalog::load::{self, Format};
use crate::catalog::tree::{self, quoted};
use crate::catalog::{Catalog, ITERATION_KEYS};
use crate::near_miss::nearest;
use crate::segment::Destination;
use crate::segment::edit::LineEdit;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// A field of the catalog, and what is to stand there: `experiment.checkout-cta-test.randomization_unit=user`.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogEdit {
    written: String,
    path: Vec<String>,
    value: Value,
}

/// A line of Segment's mapping, and what is to stand there: `additional_context_keys.device=$.anonymousId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingEdit {
    written: String,
    line: LineEdit,
}

/// Why a change cannot be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{edit}: {why}")]
pub struct Refusal {
    /// The part of the change, as it was written.
    pub edit: String,
    /// What is wrong, what was expected, and what to do.
    pub why: String,
}

/// All that is to be different. What is not named stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Another catalog, with what it is called.
    pub catalog: Option<(String, Catalog)>,
    /// Another mapping, with what it is called.
    pub mapping: Option<(String, Arc<Destination>)>,
    /// Another clock.
    pub clock: Option<Clock>,
    /// Fields of the catalog.
    pub set: Vec<CatalogEdit>,
    /// Lines of the mapping.
    pub map_try: Vec<MappingEdit>,
}

impl CatalogEdit {
    /// Whether it edits a field of this name.
    pub(super) fn is_of(&self, field: &str) -> bool {
        self.path.last().is_some_and(|name| name == field)
    }
}

impl fmt::Display for CatalogEdit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

impl fmt::Display for MappingEdit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

/// The names of a dotted path; one that has dots or spaces itself stands in quotes.
fn path(text: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    loop {
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let (name, after) = match quote {
            Some(quote) => {
                let inner = rest.get(1..).unwrap_or_default();
                let (name, after) =
                    inner.split_once(quote).ok_or_else(|| format!("a quote {quote} is opened and not closed"))?;
                (name, after.trim_start())
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                (name.trim(), after)
            }
        };
        if name.is_empty() {
            return Err("a name of the path is empty; expected names with dots in between".to_owned());
        }
        names.push(name.to_owned());
        rest = match after.strip_prefix('.') {
            Some(rest) => rest.trim_start(),
            None if after.is_empty() => return Ok(names),
            None => return Err(format!("expected a dot before {}", quoted(after))),
        };
    }
}

/// Cuts an edit at the first `=` outside quotes.
fn cut(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '=') => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// A value in TOML, or a bare word, which is text; `null` is nothing.
fn value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if text == "null" {
        return Ok(Value::Null);
    }
    let is_notation = text.starts_with(['"', '\'', '[', '{']);
    match tree::read_toml(&format!("value = {text}")) {
        Ok(tree::Node { value: tree::Value::Table(entries), .. }) => match entries.as_slice() {
            [only] => Ok(only.node.value.to_json()),
            // A line feed in it, and another key behind.
            _ => Ok(text.into()),
        },
        // What JSON writes is written by many who would write TOML another way.
        Err(_) if is_notation && serde_json::from_str::<Value>(text).is_ok() => {
            Ok(serde_json::from_str(text).unwrap_or_default())
        }
        Err(faults) if is_notation => {
            let words = faults.first().map_or("", |fault| fault.message.as_str());
            Err(format!("{} is no value: {words}", quoted(text)))
        }
        _ => Ok(text.into()),
    }
}

/// The path of an event that a bare text is but for its beginning.
fn nearly_path(text: &str) -> Option<String> {
    let is_part = |it: char| it.is_alphanumeric() || "._-[]$".contains(it);
    let names = text.strip_prefix('$').unwrap_or(text);
    if !text.chars().all(is_part) || !names.starts_with(|first: char| first.is_alphabetic() || first == '_') {
        return None;
    }
    let is_place = match names.split_once('.') {
        Some((first, rest)) => matches!(first, "context" | "properties" | "traits") && !rest.is_empty(),
        None => matches!(names, "userId" | "anonymousId"),
    };
    (is_place || text.starts_with('$')).then(|| format!("$.{names}"))
}

impl CatalogEdit {
    /// Reads `PATH=VALUE`.
    ///
    /// # Errors
    /// What cannot be read of it. Whether there is such a field turns out when it is applied.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: String| Refusal { edit: text.to_owned(), why };
        let (left, right) = cut(text).ok_or_else(|| {
            refuse(
                "there is no =; expected PATH=VALUE, such as metric.checkout.units=[\"user\", \"device\"]".to_owned(),
            )
        })?;
        if right.trim().is_empty() {
            return Err(refuse(
                "there is no value; expected one behind the =, or null to take the field away".to_owned(),
            ));
        }
        Ok(Self { written: text.to_owned(), path: path(left).map_err(refuse)?, value: value(right).map_err(refuse)? })
    }

    /// A field of a metric or an experiment.
    pub fn of(what: &'static str, key: &str, field: &str, value: Value) -> Self {
        let is_bare = |text: &str| !text.is_empty() && !text.contains(['.', '"', '\'', ' ', '=']);
        let shown_key = if is_bare(key) { key.to_owned() } else { quoted(key) };
        let shown = match &value {
            Value::String(text) if is_bare(text) => text.clone(),
            other => other.to_string(),
        };
        Self {
            written: format!("{what}.{shown_key}.{field}={shown}"),
            path: vec![what.to_owned(), key.to_owned(), field.to_owned()],
            value,
        }
    }
}

impl MappingEdit {
    /// Reads `LINE=VALUE`: `$.path` is where in the event the value is; anything else is the value, or a directive in
    /// JSON. What was hardly meant as a text, being nearly a path, is refused unless it stands in quotes.
    ///
    /// # Errors
    /// What cannot be read of it. Whether there is such a line turns out when it is applied.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: String| Refusal { edit: text.to_owned(), why };
        let (left, right) = cut(text).ok_or_else(|| {
            refuse(
                "there is no =; expected LINE=VALUE, such as additional_context_keys.device=$.anonymousId".to_owned(),
            )
        })?;
        let right = right.trim();
        if right.is_empty() {
            return Err(refuse(
                "there is no value; expected one behind the =, or null to take the line away".to_owned(),
            ));
        }
        let json = match right {
            "null" => None,
            path if path == "$" || path.starts_with("$.") => Some(serde_json::json!({ "@path": path }).to_string()),
            // The order of members is kept, which is what is sent.
            notation if notation.starts_with('{') && serde_json::from_str::<Value>(notation).is_ok() => {
                Some(notation.to_owned())
            }
            other => {
                if let Some(path) = nearly_path(other) {
                    return Err(refuse(format!(
                        "{} is a text, the same for every event; did you mean {path}? A text that is meant as it stands \
                         is written in quotes",
                        quoted(other)
                    )));
                }
                Some(value(other).map_err(refuse)?.to_string())
            }
        };
        Ok(Self { written: text.to_owned(), line: LineEdit { path: path(left).map_err(refuse)?, json } })
    }

    /// A line whose value stands at a path of the event.
    pub fn at_path(line: &[&str], path: &str) -> Self {
        Self {
            written: format!("{}={path}", line.join(".")),
            line: LineEdit {
                path: line.iter().map(|name| (*name).to_owned()).collect(),
                json: Some(serde_json::json!({ "@path": path }).to_string()),
            },
        }
    }
}

impl Change {
    /// Whether nothing is to be different.
    pub fn is_empty(&self) -> bool {
        self.catalog.is_none()
            && self.mapping.is_none()
            && self.clock.is_none()
            && self.set.is_empty()
            && self.map_try.is_empty()
    }

    /// The same with the edits of another on top: of two that are about one place, the later holds.
    pub(super) fn with(&self, more: &Change) -> Change {
        let mut both = self.clone();
        both.set.retain(|edit| !more.set.iter().any(|later| later.path == edit.path));
        both.set.extend(more.set.iter().cloned());
        both.map_try.retain(|edit| !more.map_try.iter().any(|later| later.line.path == edit.line.path));
        both.map_try.extend(more.map_try.iter().cloned());
        both
    }

    /// Whether an edit of each is about one place, so that only one of the two can be made.
    pub(super) fn excludes(&self, other: &Change) -> bool {
        self.set.iter().any(|edit| other.set.iter().any(|its| its.path == edit.path))
            || self.map_try.iter().any(|edit| other.map_try.iter().any(|its| its.line.path == edit.line.path))
    }

    /// The change, one line for each part of it.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.catalog.as_ref().map(|(name, _)| format!("catalog: {name}")));
        words.extend(self.set.iter().map(|edit| format!("catalog: {edit}")));
        words.extend(self.mapping.as_ref().map(|(name, _)| format!("mapping: {name}")));
        words.extend(self.map_try.iter().map(|edit| format!("mapping: {edit}")));
        words.extend(self.clock.map(|clock| format!("clock: {}", clock.name())));
        words
    }

    /// The catalog as it is then, mapping included.
    ///
    /// # Errors
    /// Why the change is not taken; nothing of it is then.
    pub fn apply(&self, base: &Catalog) -> Result<Catalog, Refusal> {
        let base_catalog = self.catalog.as_ref().map_or(base, |(_, catalog)| catalog);
        let mut catalog = edited(base_catalog, &self.set)?;
        let destination = self.mapping.as_ref().map_or(&base.destination, |(_, destination)| destination);
        let lines: Vec<LineEdit> = self.map_try.iter().map(|edit| edit.line.clone()).collect();
        catalog.destination = if lines.is_empty() {
            Arc::clone(destination)
        } else {
            Arc::new(destination.edited(&lines).map_err(|(index, why)| Refusal {
                edit: self.map_try.get(index).map(ToString::to_string).unwrap_or_default(),
                why,
            })?)
        };
        Ok(catalog)
    }
}

/// The catalog with some fields changed: written down, changed there, and read again.
fn edited(base: &Catalog, edits: &[CatalogEdit]) -> Result<Catalog, Refusal> {
    if edits.is_empty() {
        return Ok(base.clone());
    }
    let mut tree = base.to_json();
    flatten(&mut tree);
    for edit in edits {
        put(&mut tree, edit).map_err(|why| Refusal { edit: edit.written.clone(), why })?;
    }
    let read = |tree: &Value| load::from_text(&tree.to_string(), "catalog", Format::Json, base.origin);
    read(&tree).map_err(|error| {
        // Whose mistake it is: the first edit with which the catalog cannot be read any more.
        let mut until = base.to_json();
        flatten(&mut until);
        let breaks = |edit: &&CatalogEdit| put(&mut until, edit).is_err() || read(&until).is_err();
        let edit = edits.iter().find(breaks).or(edits.first()).map(|edit| edit.written.clone()).unwrap_or_default();
        let mut why: Vec<String> = error.problems.into_iter().map(|problem| problem.message).collect();
        why.dedup();
        Refusal { edit, why: why.join("; ") }
    })
}

/// Experiments with a single iteration that nobody named are written as a person writes them: without iterations.
fn flatten(tree: &mut Value) {
    let experiments = tree.get_mut("experiments").and_then(Value::as_array_mut);
    for experiment in experiments.into_iter().flatten().filter_map(Value::as_object_mut) {
        let is_single = matches!(experiment.get("iterations"), Some(Value::Array(all)) if all.len() == 1);
        let is_unnamed = experiment.get("iterations").and_then(|all| all.pointer("/0/id")).is_some_and(|id| id == "1");
        if is_single
            && is_unnamed
            && let Some(Value::Array(mut all)) = experiment.remove("iterations")
            && let Some(Value::Object(only)) = all.pop()
        {
            experiment.extend(only.into_iter().filter(|(name, _)| name != "id"));
        }
    }
}

/// What the catalog's file refuses beside iterations: each has its own.
const OF_ONE_ITERATION: &[&str] = &["started_at", "ended_at", "rollout"];

/// Whether it is something that every iteration has of its own, and that changes in all of them.
fn is_of_iterations(field: &str) -> bool {
    ITERATION_KEYS.contains(&field) && field != "id" && !OF_ONE_ITERATION.contains(&field)
}

/// Lists of a catalog, by what one of their members is called in a path.
const LISTS: &[(&str, &str)] =
    &[("experiment", "experiments"), ("metric", "metrics"), ("metric_group", "metric_groups")];

fn put(tree: &mut Value, edit: &CatalogEdit) -> Result<(), String> {
    let path: Vec<&str> = edit.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["environment", field, rest @ ..] => {
            let environment = tree.get_mut("environment").and_then(Value::as_object_mut);
            set(environment.ok_or("the catalog has no environment")?, "environment", field, rest, &edit.value)
        }
        [head, key, field, rest @ ..] => {
            let Some((what, list)) = LISTS.iter().find(|(what, _)| what == head) else { return Err(no_such(head)) };
            let members = tree.get_mut(list).and_then(Value::as_array_mut).ok_or("the catalog has no such list")?;
            let member = find(members, what, "key", key)?;
            let name = format!("{what} {}", quoted(key));
            match (field, rest) {
                (&"iterations", [id, field, rest @ ..]) => {
                    if !member.contains_key("iterations") && *id == "1" {
                        return set(member, &name, field, rest, &edit.value);
                    }
                    let iterations = member.get_mut("iterations").and_then(Value::as_array_mut);
                    let mut none = Vec::new();
                    let iteration = find(iterations.unwrap_or(&mut none), "iteration", "id", id)?;
                    set(iteration, &format!("{name}: iteration {}", quoted(id)), field, rest, &edit.value)
                }
                // What an iteration says itself beats its experiment, so that it has to be changed there.
                (field, rest) if *what == "experiment" && is_of_iterations(field) => {
                    match member.get_mut("iterations").and_then(Value::as_array_mut) {
                        None => set(member, &name, field, rest, &edit.value),
                        Some(iterations) => {
                            for iteration in iterations.iter_mut().filter_map(Value::as_object_mut) {
                                set(iteration, &name, field, rest, &edit.value)?;
                            }
                            Ok(())
                        }
                    }
                }
                (field, _) if OF_ONE_ITERATION.contains(field) && member.contains_key("iterations") => {
                    let ids = names(member.get("iterations").and_then(Value::as_array), "id");
                    Err(format!(
                        "{name} has iterations, each with its own {field}; expected {what}.KEY.iterations.ID.{field}, \
                         with one of the ids {}",
                        ids.join(", ")
                    ))
                }
                (field, rest) => set(member, &name, field, rest, &edit.value),
            }
        }
        [head] | [head, _] if LISTS.iter().any(|(what, _)| what == head) || *head == "environment" => {
            Err(format!("the field is not named; expected {}", EXPECTED))
        }
        [head, ..] => Err(no_such(head)),
        [] => Err(format!("the field is not named; expected {EXPECTED}")),
    }
}

const EXPECTED: &str = "experiment.KEY.FIELD, metric.KEY.FIELD, metric_group.KEY.FIELD or environment.FIELD";

fn no_such(head: &str) -> String {
    let known = LISTS.iter().map(|(what, _)| *what).chain(["environment"]);
    let advice = nearest(head, known).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("{} is no part of a catalog; expected {EXPECTED}{advice}", quoted(head))
}

fn names<'a>(members: Option<&'a Vec<Value>>, by: &str) -> Vec<&'a str> {
    members.into_iter().flatten().filter_map(|member| member.get(by)?.as_str()).collect()
}

/// A member of a list, by its key.
fn find<'a>(
    members: &'a mut Vec<Value>,
    what: &str,
    by: &str,
    key: &str,
) -> Result<&'a mut Map<String, Value>, String> {
    const SHOWN: usize = 10;
    let index = members.iter().position(|member| member.get(by).is_some_and(|own| own == key));
    let missing = || {
        let known = names(Some(members), by);
        let advice = match (nearest(key, known.iter().copied()), known.len()) {
            (Some(near), _) => format!("did you mean {}?", quoted(near)),
            (None, 0) => format!("the catalog has no {what}"),
            (None, count) => {
                let shown: Vec<String> = known.iter().take(SHOWN).map(|key| quoted(key)).collect();
                let more = if count > SHOWN { ", …" } else { "" };
                format!("expected one of {}{more}", shown.join(", "))
            }
        };
        format!("there is no {what} {} in the catalog; {advice}", quoted(key))
    };
    let index = index.ok_or_else(missing)?;
    members.get_mut(index).and_then(Value::as_object_mut).ok_or_else(|| format!("the {what} is no table"))
}

/// Sets a field of a table, or something further in.
fn set(table: &mut Map<String, Value>, name: &str, field: &str, rest: &[&str], value: &Value) -> Result<(), String> {
    let Some((last, between)) = rest.split_last() else {
        if value.is_null() {
            table
                .remove(field)
                .map(drop)
                .ok_or_else(|| format!("{name}: there is no {} to take away", quoted(field)))?;
        } else {
            table.insert(field.to_owned(), value.clone());
        }
        return Ok(());
    };
    let mut at = table.entry(field.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    let mut to = field.to_owned();
    for step in between {
        at = inner(at, name, &to, step)?;
        to = format!("{to}.{step}");
    }
    *inner(at, name, &to, last)? = value.clone();
    Ok(())
}

fn inner<'a>(at: &'a mut Value, name: &str, to: &str, step: &str) -> Result<&'a mut Value, String> {
    match at {
        Value::Object(table) => Ok(table.entry(step.to_owned()).or_insert(Value::Null)),
        Value::Array(members) => {
            let count = members.len();
            let member = step.parse().ok().and_then(|index: usize| members.get_mut(index));
            member.ok_or_else(|| {
                let expected =
                    if count == 0 { "it is empty".to_owned() } else { format!("expected 0 to {}", count - 1) };
                format!("{name}: {to} has no member {}; {expected}", quoted(step))
            })
        }
        other => Err(format!("{name}: {to} is {other}, and nothing is in it; expected a value for {to} itself")),
    }
}

#[cfg(test)]
mod tests;
