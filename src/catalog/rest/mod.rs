//! The answers of LaunchDarkly's REST API as a catalog.
//!
//! What is asked for is decided at the edge (`crate::pull`); here answers come in as JSON and a catalog goes out. They
//! are read leniently: LaunchDarkly may add to them at any time, and its own samples do not always parse in its own
//! clients. Whatever cannot be part of a catalog is left out and said by name, never silently.

mod experiment;
mod metric;

use super::assembly::{Assembly, Pulled};
use super::flag_json::{Notation, flag_json};
use super::layout::Part;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An environment. The answer holds its SDK key and its mobile key as well; they are dropped here, by having no place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EnvironmentAnswer {
    /// Its key.
    #[serde(default)]
    pub key: String,
    /// Its client-side id.
    #[serde(default, rename = "_id")]
    pub id: String,
}

/// Everything LaunchDarkly was asked for, as it answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Project key.
    pub project: String,
    /// Environment key.
    pub environment: String,
    /// The environment.
    pub environment_answer: EnvironmentAnswer,
    /// Experiments, expanded.
    pub experiments: Vec<Value>,
    /// Metrics.
    pub metrics: Vec<Value>,
    /// Metric groups.
    pub metric_groups: Vec<Value>,
    /// The flags of the experiments.
    pub flags: Vec<Value>,
    /// Layers.
    pub layers: Vec<Value>,
    /// Holdouts.
    pub holdouts: Vec<Value>,
    /// What could not be had, in words.
    pub missing: Vec<String>,
}

/// Text under a key, if there is some.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The elements of a list, if there is one.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn with_key<'a>(answers: &'a [Value], key: &str) -> Option<&'a Value> {
    answers.iter().find(|answer| text(answer, "key") == Some(key))
}

/// The key of a data source, which is told in two ways; none where it is LaunchDarkly's own.
fn warehouse(value: &Value) -> Option<&str> {
    let source = value.get("dataSource")?;
    text(source, "key").or(source.as_str()).filter(|key| !key.is_empty() && super::is_warehouse(key))
}

impl Answers {
    /// Whether an experiment of a list has no arms in it, which have to be asked for by name then.
    pub fn lacks_treatments(experiment: &Value) -> bool {
        experiment::iterations(experiment).any(|(iteration, _)| iteration.get("treatments").is_none())
    }

    /// The keys of the flags that experiments run on, each once.
    pub fn flag_keys(&self) -> BTreeSet<String> {
        let iterations = self.experiments.iter().flat_map(experiment::iterations);
        iterations.flat_map(|(iteration, _)| experiment::flag_keys(iteration)).map(str::to_owned).collect()
    }

    /// The keys of metrics that experiments measure and the list of metrics does not have: archived ones.
    pub fn missing_metric_keys(&self) -> BTreeSet<String> {
        let iterations = self.experiments.iter().flat_map(experiment::iterations);
        let measured = iterations.flat_map(|(iteration, _)| experiment::measured(iteration));
        let is_listed = |key: &str| [&self.metrics, &self.metric_groups].iter().any(|it| with_key(it, key).is_some());
        let missing = measured.filter(|it| !it.is_group && !is_listed(it.key));
        missing.map(|it| it.key.to_owned()).collect()
    }

    /// Whether some experiment is part of a holdout, so that it is worth asking for their names.
    pub fn has_holdouts(&self) -> bool {
        self.experiments.iter().any(|experiment| text(experiment, "holdoutId").is_some())
    }

    /// The catalog.
    ///
    /// # Errors
    /// A sentence, if what was taken makes no catalog together; that would be a fault of exptap.
    pub fn catalog(&self) -> Result<Pulled, String> {
        let mut assembly = Assembly::default();
        assembly.environment("project", Some(&self.project));
        assembly.environment("key", Some(&self.environment));
        assembly.environment("client_side_id", Some(&self.environment_answer.id));
        self.missing.iter().for_each(|words| assembly.note(Part::Whole, words.clone()));
        for answer in &self.metrics {
            metric::add(&mut assembly, answer);
        }
        for answer in &self.metric_groups {
            add_group(&mut assembly, answer);
        }
        for answer in &self.flags {
            if let (Some(key), Some(environment)) = (text(answer, "key"), self.flag_environment(answer)) {
                let mut flag = flag_json(key, environment, Notation::Rest);
                if let (Some(archived), Value::Object(flag)) =
                    (answer.get("archived").filter(|it| it.is_boolean()), &mut flag)
                {
                    // It is archived in all environments or in none.
                    flag.insert("archived".to_owned(), archived.clone());
                }
                let part = Part::Flag(key.to_owned());
                assembly.name(part.clone(), text(answer, "name").unwrap_or_default());
                assembly.add(&part, flag);
            }
        }
        for answer in &self.experiments {
            experiment::add(&mut assembly, answer, self);
        }
        assembly.finish()
    }

    /// What a flag does in this environment.
    fn flag_environment<'a>(&self, flag: &'a Value) -> Option<&'a Value> {
        flag.get("environments")?.get(&self.environment)
    }
}

fn add_group(assembly: &mut Assembly, answer: &Value) {
    let Some(key) = text(answer, "key") else {
        return assembly.note(Part::Whole, "a metric group without a key is left out".to_owned());
    };
    let part = Part::MetricGroup(key.to_owned());
    assembly.name(part.clone(), text(answer, "name").unwrap_or_default());
    let mut members = Vec::new();
    for member in list(answer, "metrics").iter().filter_map(|metric| text(metric, "key")) {
        if assembly.has("metrics", member) {
            members.push(member);
        } else {
            assembly.note(part.clone(), format!("the metric {member} of the metric group {key} is not in the catalog"));
        }
    }
    let kind = if text(answer, "kind") == Some("funnel") { "funnel" } else { "standard" };
    assembly.add(&part, json!({"key": key, "kind": kind, "metrics": members}));
}
