//! Laying a catalog out as TOML that a person reads, edits and compares.
//!
//! What is written is the catalog's JSON form without what goes without saying: defaults are left out, and what all
//! iterations of an experiment share stands once, with the experiment. A key that the JSON form has and this room has
//! never heard of is written all the same. That it reads back as the same catalog is a property test.

use super::read::{ENVIRONMENT_KEYS, EXPERIMENT_KEYS, GROUP_KEYS, ITERATION_KEYS};
use super::{Catalog, read_flag, read_metric};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value as Toml};

/// A longer array stands on several lines, and a longer comment is wrapped.
const LINE: usize = 100;
/// What an iteration has of its own, even where several have the same.
const OWN_KEYS: [&str; 4] = ["id", "started_at", "ended_at", "rollout"];
/// The order in which a person looks for them in a table on one line; others follow by name.
const INLINE_KEYS: &[&str] = &[
    "index",
    "seed",
    "salt",
    "variation",
    "weight",
    "type",
    "kind",
    "id",
    "name",
    "allocation",
    "serves",
    "unit",
    "contextKind",
    "attribute",
    "negate",
    "op",
    "values",
];

/// A part of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The metric with this key.
    Metric(String),
    /// The metric group with this key.
    MetricGroup(String),
    /// The experiment with this key.
    Experiment(String),
    /// The flag with this key.
    Flag(String),
}

impl Part {
    /// Name of its list, and its key.
    pub(super) fn place(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Whole => None,
            Self::Metric(key) => Some(("metrics", key)),
            Self::MetricGroup(key) => Some(("metric_groups", key)),
            Self::Experiment(key) => Some(("experiments", key)),
            Self::Flag(key) => Some(("flags", key)),
        }
    }
}

/// Something to say about a part of a catalog, in a comment above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it is about.
    pub about: Part,
    /// The words.
    pub text: String,
}

impl Catalog {
    /// The catalog as a TOML file, with remarks as comments.
    pub fn to_toml(&self, remarks: &[Remark]) -> String {
        let mut json = self.to_json();
        simplify(&mut json);
        let mut document = DocumentMut::new();
        let mut text = String::new();
        comment(&mut text, remarks, &Part::Whole);
        if let Some(environment) = json.get("environment").and_then(Value::as_object).filter(|it| !it.is_empty()) {
            let mut table = table(environment, ENVIRONMENT_KEYS);
            table.decor_mut().set_prefix("\n");
            document.insert("environment", Item::Table(table));
        }
        type Make = fn(String) -> Part;
        let lists: [(&str, &[&str], Make); 4] = [
            ("experiments", EXPERIMENT_KEYS, Part::Experiment),
            ("metrics", read_metric::KEYS, Part::Metric),
            ("metric_groups", GROUP_KEYS, Part::MetricGroup),
            ("flags", read_flag::KEYS, Part::Flag),
        ];
        for (list, order, part) in lists {
            let members = json.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let mut tables = ArrayOfTables::new();
            for member in members.iter().filter_map(Value::as_object) {
                let mut table = table(member, order);
                let key = member.get("key").and_then(Value::as_str).unwrap_or_default();
                let mut prefix = "\n".to_owned();
                comment(&mut prefix, remarks, &part(key.to_owned()));
                table.decor_mut().set_prefix(prefix);
                tables.push(table);
            }
            if !tables.is_empty() {
                document.insert(list, Item::ArrayOfTables(tables));
            }
        }
        let body = document.to_string();
        text.push_str(if text.is_empty() { body.trim_start_matches('\n') } else { &body });
        text
    }
}

/// Writes the remarks about a part as comment lines. A remark may quote a name: no character of it ends the comment.
fn comment(text: &mut String, remarks: &[Remark], part: &Part) {
    for remark in remarks.iter().filter(|remark| remark.about.place() == part.place()) {
        let mut column = 0;
        for word in remark.text.split_whitespace() {
            let word: String = word.chars().filter(|it| !it.is_control()).collect();
            let width = word.chars().count() + 1;
            if column == 0 || column + width > LINE {
                text.push_str(if column == 0 { "#" } else { "\n#" });
                column = 1;
            }
            let _ = write!(text, " {word}");
            column += width;
        }
        text.push('\n');
    }
}

/// Leaves out what goes without saying.
fn simplify(catalog: &mut Value) {
    let groups: Vec<(Value, Vec<Value>)> = members(catalog, "metric_groups")
        .map(|group| (group["key"].clone(), group["metrics"].as_array().cloned().unwrap_or_default()))
        .collect();
    for metric in members(catalog, "metrics") {
        let aggregation = if metric["measure"] == "occurrence" { "average" } else { "sum" };
        leave_out(metric, "aggregation", &json!(aggregation));
        leave_out(metric, "measure", &json!("occurrence"));
        leave_out(metric, "kind", &json!("custom"));
        leave_out(metric, "units", &json!(["user"]));
        leave_out(metric, "exclude_units_without_events", &json!(false));
        without_negate(&mut metric["filter"]);
        leave_out(metric, "filter", &Value::Null);
    }
    members(catalog, "metric_groups").for_each(|group| leave_out(group, "kind", &json!("standard")));
    members(catalog, "flags").for_each(|flag| leave_out(flag, "archived", &json!(false)));
    for experiment in members(catalog, "experiments") {
        for iteration in members(experiment, "iterations") {
            without_members_of_groups(iteration, &groups);
            leave_out(iteration, "metrics", &json!([]));
            leave_out(iteration, "metric_groups", &json!([]));
            simplify_arms(iteration);
        }
        gather(experiment);
    }
}

fn members<'a>(of: &'a mut Value, list: &str) -> std::slice::IterMut<'a, Value> {
    of.get_mut(list).and_then(Value::as_array_mut).map(|list| list.iter_mut()).unwrap_or_default()
}

fn leave_out(of: &mut Value, key: &str, default: &Value) {
    if let Value::Object(of) = of
        && of.get(key) == Some(default)
    {
        of.remove(key);
    }
}

fn without_negate(filter: &mut Value) {
    leave_out(filter, "negate", &json!(false));
    if filter.get("type") == Some(&json!("group")) {
        members(filter, "values").for_each(without_negate);
    }
}

/// Metrics that its groups bring along need not be named.
fn without_members_of_groups(iteration: &mut Value, groups: &[(Value, Vec<Value>)]) {
    let own: Vec<Value> = iteration["metric_groups"].as_array().cloned().unwrap_or_default();
    let Some(metrics) = iteration.get_mut("metrics").and_then(Value::as_array_mut) else { return };
    let with_groups = |named: &[Value]| {
        let mut all = named.to_vec();
        for (_, members) in own.iter().filter_map(|key| groups.iter().find(|(group, _)| group == key)) {
            for member in members {
                if !all.contains(member) {
                    all.push(member.clone());
                }
            }
        }
        all
    };
    let is_enough = |named: &usize| metrics.get(..*named).is_some_and(|named| with_groups(named) == *metrics);
    if let Some(named) = (0..=metrics.len()).find(is_enough) {
        metrics.truncate(named);
    }
}

fn simplify_arms(iteration: &mut Value) {
    let is_equal = members(iteration, "variations").all(|arm| arm["allocation"] == json!(1.0));
    for arm in members(iteration, "variations") {
        let usual = format!("variation {}", arm["index"]);
        leave_out(arm, "name", &json!(usual));
        if is_equal {
            leave_out(arm, "allocation", &json!(1.0));
        }
    }
}

/// What all iterations share goes to the experiment; a single one that has no id of its own goes there whole.
fn gather(experiment: &mut Value) {
    let Some(Value::Array(mut iterations)) = experiment.get_mut("iterations").map(Value::take) else { return };
    let Value::Object(experiment) = experiment else { return };
    experiment.remove("iterations");
    if let [Value::Object(only)] = iterations.as_mut_slice()
        && only.get("id") == Some(&json!("1"))
    {
        only.remove("id");
        experiment.append(only);
        return;
    }
    let shared: Vec<(String, Value)> = iterations
        .first()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(key, _)| !OWN_KEYS.contains(&key.as_str()))
        .filter(|(key, value)| iterations.iter().all(|iteration| iteration.get(key.as_str()) == Some(*value)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in shared {
        iterations.iter_mut().filter_map(Value::as_object_mut).for_each(|iteration| drop(iteration.remove(&key)));
        experiment.insert(key, value);
    }
    experiment.insert("iterations".to_owned(), Value::Array(iterations));
}

/// Members in an order: those that are named, then the rest by name.
fn ordered<'a>(object: &'a Map<String, Value>, order: &[&str]) -> Vec<(&'a String, &'a Value)> {
    let mut members: Vec<_> = object.iter().filter(|(_, value)| !value.is_null()).collect();
    members.sort_by_key(|(key, _)| order.iter().position(|known| known == key).unwrap_or(order.len()));
    members
}

fn table(object: &Map<String, Value>, order: &[&str]) -> Table {
    let mut table = Table::new();
    for (key, value) in ordered(object, order) {
        let item = match value {
            Value::Array(iterations) if key == "iterations" => {
                let tables = iterations.iter().filter_map(Value::as_object).map(|it| self::table(it, ITERATION_KEYS));
                Item::ArrayOfTables(tables.collect())
            }
            other => match toml(key, other, 0) {
                Some(value) => Item::Value(value),
                None => continue,
            },
        };
        table.insert(key, item);
    }
    table
}

/// A value under a key; TOML has no null.
fn toml(key: &str, value: &Value, depth: usize) -> Option<Toml> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            // A share of 50 is what a person writes; among a filter's values 2 and 2.0 are two things.
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
            (None, Some(share))
                if ["allocation", "percentile"].contains(&key) && share.fract() == 0.0 && share.abs() < 1e9 =>
            {
                (share as i64).into()
            }
            (None, Some(float)) => float.into(),
            (None, None) => return None,
        },
        Value::Array(elements) => {
            let mut array: Array = elements.iter().filter_map(|element| toml("", element, depth + 1)).collect();
            if array.len() > 1 && array.to_string().len() > LINE.saturating_sub(2 * depth + key.len())
                || matches!(key, "variations" | "urls" | "rules") && !array.is_empty()
            {
                over_lines(&mut array, depth);
            }
            array.into()
        }
        Value::Object(members) => {
            let members = ordered(members, INLINE_KEYS);
            let members = members.into_iter().filter_map(|(key, value)| Some((key, toml(key, value, depth)?)));
            members.collect::<InlineTable>().into()
        }
    })
}

fn over_lines(array: &mut Array, depth: usize) {
    let indent = "  ".repeat(depth);
    for element in array.iter_mut() {
        element.decor_mut().set_prefix(format!("\n{indent}  "));
    }
    array.set_trailing(format!("\n{indent}"));
    array.set_trailing_comma(true);
}
