//! The catalog: what is being measured.
//!
//! Experiments with their iterations and arms, metrics, metric groups, and what is known of the flags. A catalog is read
//! from a file ([`load`]), made of LaunchDarkly's own answers ([`rest`], [`payload`]) or inferred from the traffic
//! ([`infer`]); either way attribution sees only these types, with every reference resolved to an index, so that
//! nothing can dangle.

mod assembly;
pub(crate) mod fields;
mod flag_json;
pub mod infer;
pub mod layout;
pub mod load;
pub mod payload;
pub mod places;
mod read;
mod read_flag;
mod read_metric;
mod read_rollout;
pub mod rest;
pub mod table;
pub(crate) mod tree;
mod write;

pub use assembly::Pulled;

use crate::bucketing::Rollout;
use crate::bucketing::fill::fill_known;
use crate::bucketing::seen::Seen;
pub(crate) use read::ITERATION_KEYS;

use crate::segment::Destination;
use infer::Inference;
use std::sync::Arc;

/// Where a catalog came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// A file the user named.
    File,
    /// The header of a recording.
    Recording,
    /// Guessed from the stream; every verdict under it is marked so.
    #[default]
    Inferred,
}

impl Origin {
    /// The name used in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Recording => "recording",
            Self::Inferred => "inferred",
        }
    }
}

/// All that is measured in one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Where it came from.
    pub origin: Origin,
    /// The environment the experiments run in.
    pub environment: Environment,
    /// Metrics, in file order. Iterations refer to them by index.
    pub metrics: Vec<Metric>,
    /// Metric groups, in file order.
    pub metric_groups: Vec<MetricGroup>,
    /// Experiments, in file order.
    pub experiments: Vec<Experiment>,
    /// How the experiments' flags are set up, where that is known.
    pub flags: Vec<Flag>,
    /// What Segment's destination makes of Segment events before anything of them is measured. Not part of a catalog's
    /// file: it has one of its own, or is in a recording's header beside the catalog.
    pub destination: Arc<Destination>,
}

/// What somebody has said of what to judge by: a catalog, Segment's mapping, both or neither.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// The catalog.
    pub catalog: Option<Catalog>,
    /// What Segment's destination does.
    pub destination: Option<Arc<Destination>>,
    /// Flags that passed by on their way to SDKs: experiments get their rollouts, unless the catalog gives them.
    pub flags: Option<Arc<Seen>>,
}

impl Given {
    /// What is not said here is taken from the other.
    pub fn or(self, other: Self) -> Self {
        Self {
            catalog: self.catalog.or(other.catalog),
            destination: self.destination.or(other.destination),
            flags: self.flags.or(other.flags),
        }
    }

    /// The catalog to judge by, or what it is to be inferred with.
    ///
    /// # Errors
    /// No catalog was given.
    pub fn catalog(self) -> Result<Catalog, Inference> {
        let destination = self.destination.unwrap_or_default();
        match self.catalog {
            Some(catalog) => {
                let mut catalog = Catalog { destination, ..catalog };
                if let Some(flags) = &self.flags {
                    let (proofs, _) = flags.proofs(&catalog.environment);
                    fill_known(&mut catalog, &proofs);
                }
                Ok(catalog)
            }
            None => Err(Inference::new(destination).with_flags(self.flags.as_deref())),
        }
    }

    /// Why flags that passed by prove nothing about the experiments of the catalog, a sentence each. Without a catalog
    /// every flag that runs an experiment may be one of it.
    pub fn remarks_on_flags(&self) -> Vec<String> {
        let Some(flags) = &self.flags else { return Vec::new() };
        let environment = self.catalog.as_ref().map(|catalog| catalog.environment.clone()).unwrap_or_default();
        let (proofs, refused) = flags.proofs(&environment);
        let is_asked = |flag: &str| {
            let catalog = self.catalog.as_ref();
            catalog.is_none_or(|catalog| catalog.experiments.iter().any(|experiment| experiment.flag == flag))
        };
        let refused = refused.iter().filter(|(key, _)| is_asked(key));
        let mut remarks: Vec<String> =
            refused.map(|(key, why)| format!("flag {key} proves no bucket: {why}")).collect();
        if let Some(catalog) = &self.catalog {
            remarks.extend(fill_known(&mut catalog.clone(), &proofs));
        }
        remarks
    }
}

/// The environment of a catalog. What is absent is not judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// Project key.
    pub project: Option<String>,
    /// Environment key.
    pub key: Option<String>,
    /// Client-side id; a request path that names another one is of another environment.
    pub client_side_id: Option<String>,
    /// Masked credentials of this environment; traffic under another one is of another environment.
    pub credentials: Option<Vec<String>>,
}

/// The kind of event a metric is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MetricKind {
    /// `track()` calls with the metric's event key.
    #[default]
    Custom,
    /// Clicks on an element of a page.
    Click,
    /// Visits of a page.
    PageView,
}

/// What of an event is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Measure {
    /// Whether the unit converted at all (binary).
    #[default]
    Occurrence,
    /// How often.
    Count,
    /// The event's `metricValue` (numeric).
    Value,
}

/// How a unit's events become the unit's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// Their mean.
    Average,
    /// Their sum.
    Sum,
}

/// Where a click or page-view metric looks (`attribution.md` section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlMatcher {
    /// The whole address, query and fragment included.
    Exact(String),
    /// The address without query and fragment ("simple match").
    Canonical(String),
    /// A part of the address without its query.
    Substring(String),
    /// A JavaScript regular expression on the address without its query.
    Regex(String),
}

/// A metric's filter (rule A6).
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Several filters together.
    Group {
        /// True: all of them (`and`); false: any (`or`).
        all: bool,
        /// The members.
        members: Vec<Filter>,
        /// The result is turned round.
        negate: bool,
    },
    /// An attribute of a context, or a property of the event's data.
    Attribute {
        /// `Some(kind)`: an attribute of the context of this kind; `None`: a property of `data`.
        context_kind: Option<String>,
        /// Attribute name or `/`-path.
        attribute: String,
        /// Operator, as LaunchDarkly spells it.
        op: String,
        /// Values compared with.
        values: Vec<serde_json::Value>,
        /// The result is turned round; an absent attribute matches neither way.
        negate: bool,
    },
    /// A node of a type exptap does not know; shown as unknown, never guessed.
    Unsupported {
        /// What it is.
        what: String,
    },
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Metric key.
    pub key: String,
    /// Event key (custom metrics).
    pub event_key: Option<String>,
    /// Kind of event.
    pub kind: MetricKind,
    /// What is measured.
    pub measure: Measure,
    /// How a unit's events become its value.
    pub aggregation: Aggregation,
    /// Analysis units: context kinds.
    pub units: Vec<String>,
    /// Pages (click and page view).
    pub urls: Vec<UrlMatcher>,
    /// CSS selector (click).
    pub selector: Option<String>,
    /// Units without events are left out of numerator and denominator.
    pub exclude_units_without_events: bool,
    /// A percentile metric: only n and the raw percentile are shown.
    pub percentile: Option<f64>,
    /// Filter (rule A6).
    pub filter: Option<Filter>,
    /// LaunchDarkly's internal id, which click and page-view events carry as their key.
    pub id: Option<String>,
    /// Version id.
    pub version: Option<String>,
    /// Warehouse it is read from, if any.
    pub data_source: Option<String>,
}

impl Metric {
    /// A custom occurrence metric, the commonest kind.
    pub fn custom(key: &str, event_key: &str) -> Self {
        Self {
            key: key.to_owned(),
            event_key: Some(event_key.to_owned()),
            kind: MetricKind::Custom,
            measure: Measure::Occurrence,
            aggregation: Aggregation::Average,
            units: vec!["user".to_owned()],
            urls: Vec::new(),
            selector: None,
            exclude_units_without_events: false,
            percentile: None,
            filter: None,
            id: None,
            version: None,
            data_source: None,
        }
    }
}

/// Several metrics judged together; a funnel's are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricGroup {
    /// Group key.
    pub key: String,
    /// Its steps are mandatory and ordered.
    pub funnel: bool,
    /// Indexes into [`Catalog::metrics`].
    pub metrics: Vec<usize>,
}

/// The targeting rule an iteration runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The default rule.
    Fallthrough,
    /// The rule with this id.
    Id(String),
}

impl Rule {
    /// The rule a catalog and LaunchDarkly call so.
    pub fn named(name: impl Into<String>) -> Self {
        match name.into() {
            name if name == "fallthrough" => Self::Fallthrough,
            id => Self::Id(id),
        }
    }

    /// What a catalog and LaunchDarkly call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Fallthrough => "fallthrough",
            Self::Id(id) => id,
        }
    }
}

/// A variation as part of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Index among the flag's variations.
    pub variation: i64,
    /// LaunchDarkly's id of the variation, which rows of a warehouse carry instead of the index.
    pub id: Option<String>,
    /// Name, for people.
    pub name: String,
    /// Share of the traffic; the shares need not add up to anything.
    pub allocation: f64,
}

/// An experiment on one flag.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Experiment key.
    pub key: String,
    /// Flag key.
    pub flag: String,
    /// Its iterations, in order; at least one.
    pub iterations: Vec<Iteration>,
    /// Layer it is in, if any.
    pub layer: Option<String>,
    /// Holdout that covers it, if any.
    pub holdout: Option<String>,
    /// Warehouse its metrics are read from, if any.
    pub data_source: Option<String>,
}

/// One window of data collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Iteration {
    /// Iteration id; "1", "2", … where the catalog gives none.
    pub id: String,
    /// Context kind that is randomized.
    pub randomization_unit: String,
    /// Targeting rule; absent: any.
    pub rule: Option<Rule>,
    /// The arms; absent: whatever variations are seen.
    pub arms: Option<Vec<Arm>>,
    /// Indexes into [`Catalog::metrics`], members of groups included, each once.
    pub metrics: Vec<usize>,
    /// Indexes into [`Catalog::metric_groups`].
    pub metric_groups: Vec<usize>,
    /// Start, epoch ms; absent: not started.
    pub started_at_ms: Option<i64>,
    /// End, epoch ms, exclusive; absent: open.
    pub ended_at_ms: Option<i64>,
    /// Flag version the iteration needs (E12).
    pub flag_config_version: Option<i64>,
    /// How the flag deals the units out to the arms, if that is known: it proves where a unit belongs (B1).
    pub rollout: Option<Rollout>,
    /// The versions of metrics it was started with, by index into [`Catalog::metrics`].
    pub metric_versions: Vec<(usize, String)>,
}

/// How a flag is set up in the environment, as far as it decides whether an experiment can measure anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Flag key.
    pub key: String,
    /// Whether targeting is on; absent: not known.
    pub on: Option<bool>,
    /// Archived flags serve nobody.
    pub archived: bool,
    /// The flag's version in this environment.
    pub version: Option<i64>,
    /// What its rules serve; absent: not known.
    pub rules: Option<Vec<FlagRule>>,
}

/// A rule of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagRule {
    /// Which one.
    pub rule: Rule,
    /// What it serves.
    pub serves: Serves,
    /// The context kind a rollout deals out; absent: not known.
    pub unit: Option<String>,
}

/// What a rule serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// One variation.
    Variation,
    /// A percentage rollout, which measures nothing.
    Rollout,
    /// An experiment's rollout.
    Experiment,
}

impl Iteration {
    /// Whether an instant is inside: `started_at <= t < ended_at`.
    pub fn contains(&self, t_ms: i64) -> bool {
        self.started_at_ms.is_some_and(|start| start <= t_ms) && self.ended_at_ms.is_none_or(|end| t_ms < end)
    }

    /// The name of an arm, for people.
    pub fn arm_name(&self, variation: i64) -> String {
        self.arms
            .iter()
            .flatten()
            .find(|arm| arm.variation == variation)
            .map_or_else(|| format!("variation {variation}"), |arm| arm.name.clone())
    }
}

/// Whether a data source is a warehouse: what LaunchDarkly calls its own holds the events that SDKs send.
pub fn is_warehouse(data_source: &str) -> bool {
    !["launchdarkly", "launchdarkly-hosted"].contains(&data_source)
}

impl Catalog {
    /// The metric at an index; iterations hold only indexes that exist.
    pub fn metric(&self, index: usize) -> Option<&Metric> {
        self.metrics.get(index)
    }

    /// What is known of a flag.
    pub fn flag(&self, key: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.key == key)
    }
}
