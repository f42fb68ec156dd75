//! From the tree of a catalog file to the catalog: defaults, references, and what is refused.

use super::fields::{Reader, Section};
use super::read_flag::{self, read_flag};
use super::read_metric::{self, read_metric};
use super::read_rollout::read_rollout;
use super::tree::{Fault, Node, Value, quoted};
use super::{Arm, Catalog, Environment, Experiment, Iteration, MetricGroup, Origin, Rule};
use crate::bucketing::Rollout;
use crate::envelope::Credential;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const CATALOG_KEYS: &[&str] = &["environment", "metrics", "metric_groups", "experiments", "flags"];
pub(super) const ENVIRONMENT_KEYS: &[&str] = &["project", "key", "client_side_id", "credentials"];
pub(super) const GROUP_KEYS: &[&str] = &["key", "kind", "metrics"];
pub(super) const EXPERIMENT_KEYS: &[&str] = &[
    "key",
    "flag",
    "randomization_unit",
    "rule",
    "variations",
    "metrics",
    "metric_groups",
    "started_at",
    "ended_at",
    "flag_config_version",
    "rollout",
    "metric_versions",
    "layer",
    "holdout",
    "data_source",
    "iterations",
];
/// The keys of an iteration.
pub(crate) const ITERATION_KEYS: &[&str] = &[
    "id",
    "randomization_unit",
    "rule",
    "variations",
    "metrics",
    "metric_groups",
    "started_at",
    "ended_at",
    "flag_config_version",
    "rollout",
    "metric_versions",
];
const ARM_KEYS: &[&str] = &["index", "id", "name", "allocation"];

/// Builds the catalog.
///
/// # Errors
/// Every fault found.
pub(super) fn read_catalog(tree: &Node, origin: Origin) -> Result<Catalog, Vec<Fault>> {
    let mut reader = Reader::default();
    let Some(root) = reader.section(tree, "the catalog".to_owned(), CATALOG_KEYS) else { return Err(reader.faults) };
    let environment = root.get("environment").and_then(|node| {
        let section = reader.section(node, "environment".to_owned(), ENVIRONMENT_KEYS)?;
        Some(read_environment(&mut reader, &section))
    });
    let metrics = Keyed::read(&mut reader, &root, "metrics", "metric", read_metric::KEYS);
    let groups = Keyed::read(&mut reader, &root, "metric_groups", "metric group", GROUP_KEYS);
    let experiments = Keyed::read(&mut reader, &root, "experiments", "experiment", EXPERIMENT_KEYS);
    let flags = Keyed::read(&mut reader, &root, "flags", "flag", read_flag::KEYS);
    let metric_groups: Vec<MetricGroup> =
        groups.members.iter().map(|section| read_group(&mut reader, section, &metrics)).collect();
    let references = References { metrics: &metrics, groups: &groups, group_members: &metric_groups };
    let catalog = Catalog {
        origin,
        environment: environment.unwrap_or_default(),
        metrics: metrics.members.iter().map(|section| read_metric(&mut reader, section)).collect(),
        experiments: experiments
            .members
            .iter()
            .map(|section| read_experiment(&mut reader, section, &references))
            .collect(),
        flags: flags.members.iter().map(|section| read_flag(&mut reader, section)).collect(),
        metric_groups,
        destination: Arc::default(),
    };
    if reader.faults.is_empty() { Ok(catalog) } else { Err(reader.faults) }
}

/// Sections of one list, and where each key is in it.
struct Keyed<'t> {
    what: &'static str,
    members: Vec<Section<'t>>,
    by_key: HashMap<&'t str, usize>,
}

impl<'t> Keyed<'t> {
    fn read(reader: &mut Reader, root: &Section<'t>, list: &str, what: &'static str, known: &[&str]) -> Self {
        let members = reader.sections(root, list, what, "key", known).unwrap_or_default();
        let mut by_key = HashMap::new();
        for (index, section) in members.iter().enumerate() {
            let Some(Node { at, value: Value::Text(key) }) = section.get("key") else { continue };
            if by_key.insert(key.as_str(), index).is_some() {
                reader.fault(
                    *at,
                    format!("there is another {what} with the key {}; keys are unique, rename one", quoted(key)),
                );
            }
        }
        Self { what, members, by_key }
    }

    /// The indexes of the members a list names, each once.
    fn resolve(&self, reader: &mut Reader, section: &Section<'_>, list: &str) -> Option<Vec<usize>> {
        let names = reader.texts(section, list)?;
        let mut indexes = Vec::with_capacity(names.len());
        for (at, name) in names {
            match self.find(reader, section, at, name) {
                Some(index) if !indexes.contains(&index) => indexes.push(index),
                _ => {}
            }
        }
        Some(indexes)
    }

    /// The index of the member with a key.
    fn find(&self, reader: &mut Reader, section: &Section<'_>, at: usize, name: &str) -> Option<usize> {
        let found = self.by_key.get(name).copied();
        if found.is_none() {
            let what = self.what;
            let advice = match crate::near_miss::nearest(name, self.sorted_keys()) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => format!("add the {what} to the catalog, or remove it here"),
            };
            let name = quoted(name);
            reader.fault(
                at,
                format!(
                    "{}: there is no {what} {name}; expected the key of a {what} of this catalog; {advice}",
                    section.name
                ),
            );
        }
        found
    }

    fn sorted_keys(&self) -> Vec<&'t str> {
        let mut keys: Vec<_> = self.by_key.keys().copied().collect();
        keys.sort_unstable();
        keys
    }
}

/// What experiments refer to.
struct References<'a, 't> {
    metrics: &'a Keyed<'t>,
    groups: &'a Keyed<'t>,
    group_members: &'a [MetricGroup],
}

fn read_environment(reader: &mut Reader, section: &Section<'_>) -> Environment {
    let credentials = reader.texts(section, "credentials").map(|credentials| {
        credentials
            .into_iter()
            .map(|(at, credential)| {
                // A catalog is a file people commit and send around. Neither keep a raw key nor print it.
                if !credential.contains('…') {
                    let masked = Credential::mask(credential);
                    reader.fault(
                        at,
                        format!(
                            "environment: a credential is not masked; expected its masked form; write {masked} instead"
                        ),
                    );
                }
                credential.to_owned()
            })
            .collect()
    });
    Environment {
        project: reader.text(section, "project"),
        key: reader.text(section, "key"),
        client_side_id: reader.text(section, "client_side_id"),
        credentials,
    }
}

fn read_group(reader: &mut Reader, section: &Section<'_>, metrics: &Keyed<'_>) -> MetricGroup {
    let funnel = reader.choice(section, "kind", &[("funnel", true), ("standard", false)]);
    let members = metrics.resolve(reader, section, "metrics");
    if members.is_none() && section.get("metrics").is_none() {
        reader.fault(section.at, format!("{}: metrics is missing; expected the keys of its metrics", section.name));
    }
    MetricGroup {
        key: reader.required_text(section, "key"),
        funnel: funnel.unwrap_or_default(),
        metrics: members.unwrap_or_default(),
    }
}

fn read_experiment(reader: &mut Reader, section: &Section<'_>, references: &References<'_, '_>) -> Experiment {
    let base = Window::read(reader, section, references);
    let iterations = reader.sections(section, "iterations", "iteration", "id", ITERATION_KEYS);
    let iterations = match iterations {
        None => vec![base.iteration(reader, section, "1".to_owned(), references)],
        Some(windows) => {
            check_iterations(reader, section, &windows);
            let mut taken = HashSet::new();
            let mut read = |(index, window): (usize, &Section<'_>)| {
                let id = reader.text(window, "id").unwrap_or_else(|| (index + 1).to_string());
                if !taken.insert(id.clone()) {
                    reader.fault(
                        window.at,
                        format!(
                            "{}: there is another iteration with the id {}; ids are unique, rename one",
                            section.name,
                            quoted(&id)
                        ),
                    );
                }
                Window::read(reader, window, references).or(&base).iteration(reader, window, id, references)
            };
            windows.iter().enumerate().map(&mut read).collect()
        }
    };
    Experiment {
        key: reader.required_text(section, "key"),
        flag: reader.required_text(section, "flag"),
        iterations,
        layer: reader.text(section, "layer"),
        holdout: reader.text(section, "holdout"),
        data_source: reader.text(section, "data_source"),
    }
}

/// `iterations` stands instead of the experiment's own times, and says something.
fn check_iterations(reader: &mut Reader, section: &Section<'_>, windows: &[Section<'_>]) {
    let name = &section.name;
    if let (Some(node), true) = (section.get("iterations"), windows.is_empty()) {
        reader.fault(
            node.at,
            format!("{name}: iterations is empty; expected at least one; leave it out for a single iteration"),
        );
    }
    for key in ["started_at", "ended_at"] {
        if let Some(node) = section.get(key) {
            reader.fault(
                node.at,
                format!(
                    "{name}: {key} stands beside iterations; expected the times in the iterations only; move it there"
                ),
            );
        }
    }
    // Each iteration has a seed of its own: taken from the experiment, that of one would be held against another.
    if let Some(node) = section.get("rollout") {
        reader.fault(
            node.at,
            format!("{name}: rollout stands beside iterations; expected it in the iteration it is of; move it there"),
        );
    }
}

/// What an iteration may take from its experiment.
#[derive(Clone, Default)]
struct Window {
    unit: Option<String>,
    rule: Option<Rule>,
    arms: Option<Vec<Arm>>,
    metrics: Option<Vec<usize>>,
    groups: Option<Vec<usize>>,
    flag_config_version: Option<i64>,
    rollout: Option<Rollout>,
    metric_versions: Option<Vec<(usize, String)>>,
}

impl Window {
    fn read(reader: &mut Reader, section: &Section<'_>, references: &References<'_, '_>) -> Self {
        Self {
            unit: reader.text(section, "randomization_unit"),
            rule: reader.text(section, "rule").map(Rule::named),
            arms: read_arms(reader, section),
            metrics: references.metrics.resolve(reader, section, "metrics"),
            groups: references.groups.resolve(reader, section, "metric_groups"),
            flag_config_version: reader.integer(section, "flag_config_version"),
            rollout: read_rollout(reader, section),
            metric_versions: read_versions(reader, section, references.metrics),
        }
    }

    fn or(self, base: &Self) -> Self {
        let base = base.clone();
        Self {
            unit: self.unit.or(base.unit),
            rule: self.rule.or(base.rule),
            arms: self.arms.or(base.arms),
            metrics: self.metrics.or(base.metrics),
            groups: self.groups.or(base.groups),
            flag_config_version: self.flag_config_version.or(base.flag_config_version),
            rollout: self.rollout,
            metric_versions: self.metric_versions.or(base.metric_versions),
        }
    }

    fn iteration(
        self,
        reader: &mut Reader,
        section: &Section<'_>,
        id: String,
        references: &References<'_, '_>,
    ) -> Iteration {
        let metric_groups = self.groups.unwrap_or_default();
        let mut metrics = self.metrics.unwrap_or_default();
        for group in metric_groups.iter().filter_map(|index| references.group_members.get(*index)) {
            for metric in &group.metrics {
                if !metrics.contains(metric) {
                    metrics.push(*metric);
                }
            }
        }
        let (started_at_ms, ended_at_ms) = (reader.time(section, "started_at"), reader.time(section, "ended_at"));
        if let (Some(node), Some(end)) = (section.get("ended_at"), ended_at_ms) {
            let fault = match started_at_ms {
                None if section.get("started_at").is_none() => {
                    Some("started_at is missing beside ended_at; expected when it began")
                }
                Some(start) if end <= start => Some("ended_at is not after started_at; expected a later time"),
                _ => None,
            };
            if let Some(fault) = fault {
                reader.fault(node.at, format!("{}: {fault}", section.name));
            }
        }
        Iteration {
            id,
            randomization_unit: self.unit.unwrap_or_else(|| "user".to_owned()),
            rule: self.rule,
            arms: self.arms,
            metrics,
            metric_groups,
            started_at_ms,
            ended_at_ms,
            flag_config_version: self.flag_config_version,
            rollout: self.rollout,
            metric_versions: self.metric_versions.unwrap_or_default(),
        }
    }
}

/// A table of versions by metric key.
fn read_versions(reader: &mut Reader, section: &Section<'_>, metrics: &Keyed<'_>) -> Option<Vec<(usize, String)>> {
    let node = section.get("metric_versions")?;
    let Value::Table(entries) = &node.value else {
        let (name, found) = (&section.name, node.value.describe());
        reader.fault(
            node.at,
            format!("{name}: metric_versions is {found}; expected a table of version ids by metric key"),
        );
        return None;
    };
    let mut versions = Vec::with_capacity(entries.len());
    for entry in entries {
        let index = metrics.find(reader, section, entry.key_at, &entry.key);
        match (&entry.node.value, index) {
            (Value::Text(version), Some(index)) if !version.is_empty() => versions.push((index, version.clone())),
            (Value::Text(version), None) if !version.is_empty() => {}
            (other, _) => reader.fault(
                entry.node.at,
                format!(
                    "{}: the version of {} is {}; expected text that is not empty",
                    section.name,
                    quoted(&entry.key),
                    other.describe()
                ),
            ),
        }
    }
    // Two notations keep the keys of a table in different orders; the versions are the same ones.
    versions.sort();
    Some(versions)
}

fn read_arms(reader: &mut Reader, section: &Section<'_>) -> Option<Vec<Arm>> {
    let list = reader.sections(section, "variations", "variation", "", ARM_KEYS)?;
    let name = &section.name;
    let at = section.get("variations").map_or(section.at, |node| node.at);
    if matches!(section.get("variations"), Some(Node { value: Value::Array(nodes), .. }) if nodes.is_empty()) {
        reader.fault(
            at,
            format!(
                "{name}: variations is empty; expected at least one arm; leave it out for whatever variations are seen"
            ),
        );
    }
    let given = list.iter().filter(|arm| arm.get("allocation").is_some()).count();
    let mut arms: Vec<Arm> = Vec::with_capacity(list.len());
    for arm in &list {
        let variation = match reader.integer(arm, "index") {
            None if arm.get("index").is_none() => {
                reader.fault(
                    arm.at,
                    format!("{}: index is missing; expected the variation's index in the flag, from 0", arm.name),
                );
                continue;
            }
            None => continue,
            Some(index) => index,
        };
        let fault = if variation < 0 {
            Some("is negative; expected the variation's index in the flag, from 0")
        } else if arms.iter().any(|other| other.variation == variation) {
            Some("is here twice; expected each variation once; remove one")
        } else {
            None
        };
        if let Some(fault) = fault {
            reader.fault(arm.at, format!("{}: index {variation} {fault}", arm.name));
        }
        let allocation = reader.number(arm, "allocation");
        match allocation {
            Some(share) if !(share >= 0.0 && share.is_finite()) => {
                reader.fault(arm.at, format!("{}: allocation is {share}; expected a number from 0", arm.name));
            }
            None if given > 0 && arm.get("allocation").is_none() => {
                reader.fault(
                    arm.at,
                    format!(
                        "{}: allocation is missing, though others have one; expected it on every variation or on none",
                        arm.name
                    ),
                );
            }
            _ => {}
        }
        let name = reader.text(arm, "name").unwrap_or_else(|| format!("variation {variation}"));
        let id = reader.text(arm, "id");
        if let Some(id) = id.as_ref().filter(|id| arms.iter().any(|other| other.id.as_ref() == Some(id))) {
            reader.fault(
                arm.at,
                format!("{}: there is another variation with the id {}; ids are unique", arm.name, quoted(id)),
            );
        }
        arms.push(Arm { variation, id, name, allocation: allocation.unwrap_or(1.0) });
    }
    if !arms.is_empty() && arms.iter().all(|arm| arm.allocation == 0.0) {
        reader.fault(at, format!("{name}: every allocation is 0; expected some traffic in at least one arm"));
    }
    Some(arms)
}
