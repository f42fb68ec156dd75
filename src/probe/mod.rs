//! Fresh keys that are followed from their evaluation to their conversion.
//!
//! A question about yesterday's user can end in *unknown*: nobody knows what was before observation began. A key that
//! never existed before has no such past. What is seen of it is all there is, so every answer about it is an answer.
//!
//! ```text
//!  catalog ──▶ mint ──▶ probes ──▶ guide (what to do with them)
//!                          │
//!  session ────────────────┴─────▶ standing (what came of each, in the words of its story) ──▶ outcome (table, JSON)
//! ```
//!
//! Nothing is judged here: a standing is read off the story that `explain` tells of the unit.

mod guide;
mod mint;
mod outcome;
mod standing;

pub use guide::{Snippet, guide, variables};
pub use mint::{Attribute, Mint, Wish, mint};
pub use outcome::{
    CommandFailed, Ended, FORMAT_VERSION, FindingSaid, MetricOutcome, Missing, Outcome, ProbeOutcome, outcome,
};
pub use standing::{MetricStanding, Standing, Trouble, standing};

use crate::catalog::MetricKind;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A unit that did not exist before, and what is to become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Experiment key.
    pub experiment: String,
    /// The iteration that runs.
    pub iteration: String,
    /// Flag key.
    pub flag: String,
    /// Context kind that is randomized.
    pub unit_kind: String,
    /// The contexts, by kind: the unit's, those that metrics analyse, and those that attributes were asked for.
    pub contexts: BTreeMap<String, ProbeContext>,
    /// The arm its key falls in, where it is known how units are dealt out.
    pub expected_arm: Option<String>,
    /// What it is to convert by.
    pub metrics: Vec<ProbeMetric>,
}

/// A context of a probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeContext {
    /// Its key.
    pub key: String,
    /// Attributes that were asked for.
    pub attributes: Map<String, Value>,
}

/// A metric that a probe is to convert by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeMetric {
    /// Metric key.
    pub metric: String,
    /// What is to be tracked; none for clicks and page views, which a browser's SDK sends by itself.
    pub event_key: Option<String>,
    /// Whether it needs a value.
    pub has_value: bool,
    /// The kind of event.
    pub kind: MetricKind,
}

impl Probe {
    /// The key that is dealt out.
    pub fn unit_key(&self) -> &str {
        self.contexts.get(&self.unit_kind).map_or("", |context| context.key.as_str())
    }

    /// `kind/key`.
    pub fn unit(&self) -> String {
        format!("{}/{}", self.unit_kind, self.unit_key())
    }

    /// The context as SDKs take it.
    pub fn context_json(&self) -> Value {
        let one = |context: &ProbeContext| {
            let mut members = Map::new();
            members.insert("key".to_owned(), context.key.clone().into());
            members.extend(context.attributes.clone());
            members
        };
        let mut members = Map::new();
        match self.contexts.iter().next() {
            Some((kind, only)) if self.contexts.len() == 1 => {
                members.insert("kind".to_owned(), kind.clone().into());
                members.extend(one(only));
            }
            _ => {
                members.insert("kind".to_owned(), "multi".into());
                members.extend(self.contexts.iter().map(|(kind, context)| (kind.clone(), one(context).into())));
            }
        }
        Value::Object(members)
    }
}
