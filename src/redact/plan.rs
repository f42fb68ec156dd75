//! What must not be replaced, or not by just anything, so that verdicts stay: read off the catalog and the wishes of
//! the user, before anything is replaced.

use super::Keep;
use crate::attribution::filter::attribute_path;
use crate::attribution::url::CompiledMatcher;
use crate::catalog::{Catalog, Experiment, Filter, Metric, UrlMatcher};
use std::collections::HashSet;

/// Why a source cannot be made shareable and still come to the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A filter reads inside keys.
    #[error(
        "the filter of metric {metric} compares context keys with {op}, which only the keys themselves can answer: keep them (--keep keys), or redact with a catalog without this filter"
    )]
    FilterOnKeys {
        /// The metric.
        metric: String,
        /// The operator.
        op: String,
    },
    /// Rollouts are computed from keys.
    #[error(
        "the rollout of experiment {experiment} proves by the context keys who can be in it, which other keys cannot: keep them (--keep keys), or redact with a catalog without rollouts"
    )]
    RolloutOfKeys {
        /// The experiment.
        experiment: String,
    },
}

/// Where in an event a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// In the context of a kind.
    Context(String),
    /// In `data`.
    Data,
    /// In the value of a flag.
    FlagValue,
    /// In an SDK's description of itself.
    Settings,
    /// Anywhere else.
    Elsewhere,
}

/// A place: names from the scope down to the value.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) scope: Scope,
    pub(super) path: Vec<String>,
}

impl Place {
    pub(super) fn top(scope: Scope) -> Self {
        Self { scope, path: Vec::new() }
    }

    pub(super) fn at(scope: Scope, name: &str) -> Self {
        Self { scope, path: vec![name.to_owned()] }
    }
}

/// What a place asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care<'a> {
    /// Nothing: replace it all.
    None,
    /// Values are compared for equality: texts may be replaced, numbers and booleans stay.
    Compared(&'a str),
    /// Values stay, for this reason.
    Keep(&'a str),
}

#[derive(Debug)]
struct Rule {
    /// None: the contexts of all kinds.
    scope: Option<Scope>,
    path: Vec<String>,
    is_kept: bool,
    why: String,
}

/// How addresses of pages are replaced.
#[derive(Debug)]
pub(super) enum Addresses {
    /// Part by part, those of the catalog too.
    ByParts,
    /// So that each matcher of the catalog, which stays, answers as before.
    ByTrial(Vec<(CompiledMatcher, String)>),
    /// Not at all.
    Kept,
}

/// What is taken care of.
#[derive(Debug)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    /// Names a filter or the user asks for.
    names: HashSet<String>,
    /// Values the catalog of the reader will hold as they are; without case and space at the ends.
    literals: HashSet<String>,
    selectors: HashSet<String>,
    pub(super) addresses: Addresses,
    pub(super) keep: HashSet<Keep>,
}

impl Plan {
    /// `travels`: the catalog is written into what is shared, and can be changed along with it. Otherwise the reader
    /// judges by the catalog as it is.
    pub(super) fn new(catalog: Option<&Catalog>, travels: bool, keep: &[Keep]) -> Result<Self, Refusal> {
        let mut plan = Self {
            rules: Vec::new(),
            names: HashSet::new(),
            literals: HashSet::new(),
            selectors: HashSet::new(),
            addresses: Addresses::ByParts,
            keep: keep.iter().cloned().collect(),
        };
        for keep in keep {
            let (scope, path, what) = match keep {
                Keep::Attribute(path) => (None, path, "attribute"),
                Keep::Data(path) => (Some(Scope::Data), path, "data"),
                _ => continue,
            };
            plan.names.extend(path.iter().cloned());
            let why = format!("values of {what} {}: asked for", path.join("/"));
            plan.rules.push(Rule { scope, path: path.clone(), is_kept: true, why });
        }
        let experiments = catalog.map(|catalog| catalog.experiments.as_slice()).unwrap_or_default();
        let has_rollout = |experiment: &&Experiment| experiment.iterations.iter().any(|it| it.rollout.is_some());
        if let Some(experiment) = experiments.iter().find(has_rollout)
            && !plan.keep.contains(&Keep::Keys)
        {
            return Err(Refusal::RolloutOfKeys { experiment: experiment.key.clone() });
        }
        let metrics = catalog.map(|catalog| catalog.metrics.as_slice()).unwrap_or_default();
        for metric in metrics {
            plan.selectors.extend(metric.selector.clone());
            if let Some(filter) = &metric.filter {
                plan.filter(metric, filter, travels)?;
            }
        }
        let urls: Vec<&UrlMatcher> = metrics.iter().flat_map(|metric| &metric.urls).collect();
        let by_parts = |url: &&UrlMatcher| matches!(url, UrlMatcher::Exact(_) | UrlMatcher::Canonical(_));
        plan.addresses = if plan.keep.contains(&Keep::Urls) {
            Addresses::Kept
        } else if urls.is_empty() || (travels && urls.iter().all(by_parts)) {
            Addresses::ByParts
        } else {
            Addresses::ByTrial(urls.into_iter().map(compiled).collect())
        };
        Ok(plan)
    }

    fn filter(&mut self, metric: &Metric, filter: &Filter, travels: bool) -> Result<(), Refusal> {
        match filter {
            Filter::Group { members, .. } => {
                members.iter().try_for_each(|member| self.filter(metric, member, travels))?;
            }
            Filter::Attribute { context_kind, attribute, op, values, .. } => {
                let Some(path) = attribute_path(attribute) else { return Ok(()) };
                self.names.extend(path.iter().cloned());
                let is_compared = op == "in";
                if is_compared && !travels {
                    values.iter().for_each(|value| self.literal(value));
                }
                let is_key = context_kind.is_some() && path == ["key"];
                if is_key && !is_compared && !self.keep.contains(&Keep::Keys) {
                    return Err(Refusal::FilterOnKeys { metric: metric.key.clone(), op: op.clone() });
                }
                let (scope, owner) = match context_kind {
                    Some(kind) => (Scope::Context(kind.clone()), kind.as_str()),
                    None => (Scope::Data, "event data"),
                };
                let what = if is_compared { "numbers and booleans" } else { "values" };
                let why =
                    format!("{what} of {owner} {attribute}: the filter of metric {} reads them ({op})", metric.key);
                self.rules.push(Rule { scope: Some(scope), path, is_kept: !is_compared, why });
            }
            Filter::Unsupported { .. } => {}
        }
        Ok(())
    }

    fn literal(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => drop(self.literals.insert(folded(text))),
            serde_json::Value::Array(values) => values.iter().for_each(|value| self.literal(value)),
            serde_json::Value::Object(members) => {
                self.names.extend(members.keys().cloned());
                members.values().for_each(|value| self.literal(value));
            }
            _ => {}
        }
    }

    /// What a place asks for.
    pub(super) fn care(&self, place: &Place) -> Care<'_> {
        let applies = |rule: &&Rule| {
            let in_scope = match &rule.scope {
                None => matches!(place.scope, Scope::Context(_)),
                Some(scope) => *scope == place.scope,
            };
            in_scope && place.path.starts_with(&rule.path)
        };
        let mut care = Care::None;
        for rule in self.rules.iter().filter(applies) {
            if rule.is_kept {
                return Care::Keep(&rule.why);
            }
            care = Care::Compared(&rule.why);
        }
        care
    }

    /// Whether a value stands in the reader's catalog, or looks like one that does: look-alikes must stay alike.
    pub(super) fn is_literal(&self, value: &str) -> bool {
        !self.literals.is_empty() && self.literals.contains(&folded(value))
    }

    /// Whether a name stays: one the catalog or the user asks for, or one that is a word rather than somebody's id.
    pub(super) fn keeps_name(&self, name: &str) -> bool {
        is_word(name) || self.names.contains(name)
    }

    pub(super) fn keeps_selector(&self, selector: &str) -> bool {
        self.selectors.contains(selector)
    }

    pub(super) fn keeps(&self, keep: &Keep) -> bool {
        self.keep.contains(keep)
    }
}

/// A matcher by itself, and what it is made of.
fn compiled(url: &UrlMatcher) -> (CompiledMatcher, String) {
    let (UrlMatcher::Exact(text) | UrlMatcher::Canonical(text) | UrlMatcher::Substring(text) | UrlMatcher::Regex(text)) =
        url;
    (CompiledMatcher::new(std::slice::from_ref(url)), text.clone())
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Whether a text is a plain word of a program: `firstName`, `utm_source`, `line2`. An id has more digits, an address
/// an `@`.
pub(super) fn is_word(text: &str) -> bool {
    const MOST_CHARACTERS: usize = 40;
    const MOST_DIGITS: usize = 2;
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.len() <= MOST_CHARACTERS
        && digits <= MOST_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$'))
}
