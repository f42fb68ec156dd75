//! Putting a catalog together from what LaunchDarkly says: part by part, each read as if it stood in a file.
//!
//! LaunchDarkly's answers are not ours to refuse: what cannot be part of a catalog is left out, and said by name. Each
//! part is written in the catalog's own notation and goes through its one reader, so that what is taken can be written
//! to a file and read back.

use super::layout::{Part, Remark};
use super::load::{Format, read_tree};
use super::read::read_catalog;
use super::{Catalog, Origin};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// A catalog made of LaunchDarkly's answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulled {
    /// The catalog.
    pub catalog: Catalog,
    /// What its parts are called, and other things a reader of the file likes to know.
    pub names: Vec<Remark>,
    /// What is missing or not quite what LaunchDarkly has, and why.
    pub notes: Vec<Remark>,
}

impl Pulled {
    /// Everything worth a comment in the file.
    pub fn remarks(&self) -> Vec<Remark> {
        self.names.iter().chain(&self.notes).cloned().collect()
    }
}

/// The parts so far.
#[derive(Default)]
pub(super) struct Assembly {
    environment: Map<String, Value>,
    lists: [List; 4],
    names: Vec<Remark>,
    notes: Vec<Remark>,
}

#[derive(Default)]
struct List {
    members: Vec<Value>,
    keys: HashSet<String>,
}

/// The lists of a catalog, and what one of each is called.
const LISTS: [(&str, &str); 4] =
    [("metrics", "metric"), ("metric_groups", "metric group"), ("experiments", "experiment"), ("flags", "flag")];

impl Assembly {
    /// Something of the environment; what cannot be said is not.
    pub(super) fn environment(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.environment.insert(key.to_owned(), value.into());
        }
    }

    pub(super) fn name(&mut self, about: Part, text: &str) {
        if !text.trim().is_empty() {
            self.names.push(Remark { about, text: text.to_owned() });
        }
    }

    pub(super) fn note(&mut self, about: Part, text: String) {
        self.notes.push(Remark { about, text });
    }

    /// Takes a part, unless it cannot be one; then it is said why.
    pub(super) fn add(&mut self, part: &Part, value: Value) {
        let Some((list, key)) = part.place() else { return };
        let Some(index) = LISTS.iter().position(|(name, _)| *name == list) else { return };
        let (key, what): (String, _) = (key.to_owned(), LISTS.get(index).map_or("part", |(_, what)| what));
        let refusal = if self.has(list, &key) {
            Some("there is another one with this key".to_owned())
        } else {
            self.alone(list, &value).err()
        };
        match (refusal, self.lists.get_mut(index)) {
            (None, Some(list)) => {
                list.members.push(value);
                list.keys.insert(key);
            }
            (refusal, _) => {
                let why = refusal.unwrap_or_default();
                self.note(Part::Whole, format!("{what} {key} is left out: {why}"));
            }
        }
    }

    /// Whether there is a part with a key.
    pub(super) fn has(&self, list: &str, key: &str) -> bool {
        LISTS.iter().zip(&self.lists).any(|((name, _), members)| *name == list && members.keys.contains(key))
    }

    /// Reads a part by itself; what it refers to is there by name.
    fn alone(&self, list: &str, value: &Value) -> Result<Catalog, String> {
        let mut whole = json!({ list: [value] });
        if let Value::Object(whole) = &mut whole
            && list != "flags"
        {
            let named = |list: &str| self.named(list, value);
            if list != "metrics" {
                let metrics = named("metrics").into_iter().map(|key| json!({"key": key, "event_key": "any"})).collect();
                whole.insert("metrics".to_owned(), metrics);
            }
            if list == "experiments" {
                let groups = named("metric_groups").into_iter().map(|key| json!({"key": key, "metrics": []})).collect();
                whole.insert("metric_groups".to_owned(), groups);
            }
        }
        read(&whole)
    }

    /// The keys of a list that a part names somewhere.
    fn named(&self, list: &str, value: &Value) -> Vec<String> {
        let mut named = HashSet::new();
        let mut rest = vec![value];
        while let Some(value) = rest.pop() {
            match value {
                Value::String(text) if self.has(list, text) => {
                    named.insert(text.clone());
                }
                Value::Array(elements) => rest.extend(elements),
                Value::Object(members) => {
                    named.extend(members.keys().filter(|key| self.has(list, key)).cloned());
                    rest.extend(members.values());
                }
                _ => {}
            }
        }
        named.into_iter().collect()
    }

    /// The catalog.
    ///
    /// # Errors
    /// Why the parts, each of which is fine, are none together; that would be a fault of exptap.
    pub(super) fn finish(self) -> Result<Pulled, String> {
        let mut whole = Map::new();
        whole.insert("environment".to_owned(), Value::Object(self.environment));
        for ((name, _), list) in LISTS.iter().zip(self.lists) {
            whole.insert((*name).to_owned(), Value::Array(list.members));
        }
        Ok(Pulled { catalog: read(&Value::Object(whole))?, names: self.names, notes: self.notes })
    }
}

fn read(whole: &Value) -> Result<Catalog, String> {
    let faults = match read_tree(&whole.to_string(), Format::Json) {
        Ok(tree) => match read_catalog(&tree, Origin::File) {
            Ok(catalog) => return Ok(catalog),
            Err(faults) => faults,
        },
        Err(faults) => faults,
    };
    Err(faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("; "))
}
