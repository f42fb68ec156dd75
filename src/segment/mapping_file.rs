//! A mapping file: the destination's settings and mappings as Segment shows them, in JSON or TOML.
//!
//! What is not a mapping file is refused, with file and line. What is one, and holds settings or mappings that the
//! destination itself refuses, is taken: to show what the destination then does is what it is for. Those mistakes are
//! remarks.

use super::coerce::Field;
use super::destination::{Action, Destination, MAX_MAPPINGS, Mapping};
use super::settings;
use super::value::{Object, Value};
use crate::catalog::fields::Reader;
use crate::catalog::load::{Format, Problem, problems, read_tree, without_mark, write_problems};
use crate::catalog::tree::{Fault, Node, Value as Tree, quoted};
use crate::near_miss::nearest;
use std::fmt;

const FILE_KEYS: &[&str] = &["settings", "mappings"];
const MAPPING_KEYS: &[&str] = &["action", "subscribe", "enabled", "mapping"];
const ACTIONS: &[(&str, Action)] = &[("trackEvent", Action::TrackEvent), ("aliasUser", Action::AliasUser)];
/// Keys of a mapping that are no fields of the action, and mean something to Segment.
const INTERNAL: &str = "__segment_internal";

/// A destination, read from a file.
#[derive(Clone, Debug)]
pub struct MappingFile {
    /// The destination.
    pub destination: Destination,
    /// What the destination will make nothing of, or refuse every event for, in the order of the file.
    pub remarks: Vec<Problem>,
}

/// Why a mapping file was refused: all its mistakes, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MappingError {
    /// The file, as the user named it.
    pub file: String,
    /// Its mistakes; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for MappingError {
    /// One line per mistake: `file:line:column: message`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_problems(formatter, &self.file, &self.problems)
    }
}

/// Reads a mapping file. `file` is only named in errors.
///
/// # Errors
/// [`MappingError`] with every mistake that can be found.
pub fn from_text(text: &str, file: &str, format: Format) -> Result<MappingFile, MappingError> {
    let text = without_mark(text);
    let mut remarks = Vec::new();
    match read_tree(text, format).and_then(|tree| read(&tree, &mut remarks)) {
        Ok(destination) => Ok(MappingFile { destination, remarks: problems(text, remarks) }),
        Err(faults) => Err(MappingError { file: file.to_owned(), problems: problems(text, faults) }),
    }
}

fn read(tree: &Node, remarks: &mut Vec<Fault>) -> Result<Destination, Vec<Fault>> {
    let mut reader = Reader::default();
    let Some(root) = reader.section(tree, "the mapping file".to_owned(), FILE_KEYS) else { return Err(reader.faults) };
    let settings = match root.get("settings") {
        Some(node) if matches!(node.value, Tree::Table(_)) => {
            let known = settings::FIELDS.iter().map(|field| field.name);
            remark_unknown(node, known, "the settings", "a setting", remarks);
            value(node, &mut reader.faults)
        }
        Some(node) => {
            let found = node.value.describe();
            reader.fault(node.at, format!("settings is {found}; expected a table with client_id"));
            Value::Undefined
        }
        None => Value::object(Object::default()),
    };
    let mappings = match root.get("mappings") {
        Some(Node { at, value: Tree::Array(nodes) }) => {
            if nodes.len() > MAX_MAPPINGS {
                let count = nodes.len();
                reader.fault(
                    *at,
                    format!("there are {count} mappings; Segment takes {MAX_MAPPINGS} for a destination; remove some"),
                );
            }
            nodes.iter().enumerate().filter_map(|(index, node)| mapping(node, index, &mut reader, remarks)).collect()
        }
        Some(node) => {
            let found = node.value.describe();
            reader.fault(node.at, format!("mappings is {found}; expected an array of tables"));
            Vec::new()
        }
        None => Destination::presets().mappings,
    };
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let at = root.get("settings").map_or(tree.at, |node| node.at);
    let destination = Destination::new(settings, mappings);
    if let Some(words) = destination.refused_settings() {
        let message = format!("the settings: the destination refuses every event for these: {words}");
        remarks.push(Fault { at, message });
    }
    Ok(destination)
}

fn mapping(node: &Node, index: usize, reader: &mut Reader, remarks: &mut Vec<Fault>) -> Option<Mapping> {
    let name = format!("mapping {index}");
    let section = reader.section(node, name.clone(), MAPPING_KEYS)?;
    let action = reader.required_choice(&section, "action", ACTIONS);
    let is_enabled = reader.boolean(&section, "enabled").unwrap_or(true);
    let own = |key: &str| section.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node);
    let trigger = own("subscribe");
    if trigger.is_none() {
        reader.fault(
            section.at,
            format!("{name}: subscribe is missing; expected a trigger such as \"type = \\\"track\\\"\"; add it"),
        );
    }
    let fields = section.get("mapping");
    match fields {
        None => reader.fault(section.at, format!("{name}: mapping is missing; expected a table of fields; add it")),
        Some(Node { value: Tree::Table(_), .. }) => {}
        Some(other) => {
            let found = other.value.describe();
            reader.fault(other.at, format!("{name}: mapping is {found}; expected a table of fields"));
        }
    }
    let (action, trigger, fields) = (action?, trigger?, fields?);
    let read = Mapping::new(action, value(trigger, &mut reader.faults), is_enabled, value(fields, &mut reader.faults));
    if let Err(words) = &read.trigger {
        remarks.push(Fault {
            at: trigger.at,
            message: format!("{name}: the destination cannot read this trigger and sends nothing by it ({words})"),
        });
    }
    let what = format!("a field of {}", action.name());
    remark_unknown(fields, action.fields().iter().map(|field: &Field| field.name), &name, &what, remarks);
    remarks.extend(read.plan.faults().iter().map(|fault| Fault {
        at: node_at(fields, &fault.path),
        message: format!("{name}: the destination refuses every event for this: {fault}"),
    }));
    Some(read)
}

/// Notes keys that the destination drops without a word.
fn remark_unknown<'a>(
    node: &Node,
    known: impl Iterator<Item = &'a str> + Clone,
    within: &str,
    what: &str,
    remarks: &mut Vec<Fault>,
) {
    let Tree::Table(entries) = &node.value else { return };
    let is_unknown =
        |key: &str| !known.clone().any(|name| name == key) && !key.starts_with(['@']) && !key.starts_with(INTERNAL);
    for entry in entries.iter().filter(|entry| is_unknown(&entry.key)) {
        let advice =
            nearest(&entry.key, known.clone()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let key = quoted(&entry.key);
        remarks
            .push(Fault { at: entry.key_at, message: format!("{within}: {key} is not {what} and is dropped{advice}") });
    }
}

/// Where in the file the keys lead, as far as they do.
fn node_at(node: &Node, path: &[String]) -> usize {
    let mut node = node;
    for key in path {
        let next = match &node.value {
            Tree::Table(entries) => entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node),
            Tree::Array(nodes) => key.parse().ok().and_then(|index: usize| nodes.get(index)),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node.at
}

/// A part of the file as the value JavaScript would hold.
fn value(node: &Node, faults: &mut Vec<Fault>) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Boolean(value) => Value::Bool(*value),
        #[expect(clippy::cast_precision_loss, reason = "JavaScript's numbers are doubles")]
        Tree::Integer(value) => Value::Number(*value as f64),
        Tree::Float(value) if value.is_finite() => Value::Number(*value),
        Tree::Float(value) => {
            faults
                .push(Fault { at: node.at, message: format!("{value} is not a number in JSON; expected one that is") });
            Value::Null
        }
        Tree::Text(text) => Value::text(text),
        Tree::Time(time) => Value::text(&time.to_string()),
        Tree::Array(nodes) => Value::array(nodes.iter().map(|node| value(node, faults)).collect()),
        Tree::Table(entries) => {
            let mut object = Object::default();
            // TOML's reader sorts by key; the order of the file is the order of what is sent.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|entry| entry.key_at);
            for entry in entries {
                object.set(entry.key.as_str().into(), value(&entry.node, faults));
            }
            Value::object(object)
        }
    }
}
