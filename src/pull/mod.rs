//! Asking LaunchDarkly what is being measured: its REST API by an access token, or the flag payload by an SDK key.
//!
//! This is the edge: requests, pages, limits, waiting. What the answers mean is decided in [`crate::catalog::rest`] and
//! [`crate::catalog::payload`], which see no socket. Nothing is ever changed in LaunchDarkly; a reader's token is
//! enough.

mod client;
mod host;
mod pace;
mod secret;

pub use client::{Client, PullError};
pub use host::{Host, HostError};
pub use pace::{Pace, WallClock};
pub use secret::{Secret, SecretError, SecretKind};

use crate::catalog::rest::{Answers, EnvironmentAnswer};
use crate::catalog::{Pulled, payload};
use client::{List, Version};
use serde_json::Value;

/// LaunchDarkly gives twenty of anything unless asked for more, and of metrics fifty at the most.
const USUAL_PAGE: usize = 20;
const PAGE_OF_METRICS: usize = 50;
/// What stands in an experiment only when it is asked for.
const EXPANDED: (&str, &str) =
    ("expand", "treatments,previousIterations,draftIteration,secondaryMetrics,analysisConfig");

/// Pulls the catalog of an environment.
///
/// # Errors
/// See [`PullError`]. What is only nice to have (groups, layers, holdouts, flags) is noted instead.
pub async fn project<P: Pace>(client: &mut Client<P>, project: &str, environment: &str) -> Result<Pulled, PullError> {
    let environment_answer = find_environment(client, project, environment).await?;
    let mut answers = Answers {
        project: project.to_owned(),
        environment: environment.to_owned(),
        environment_answer,
        ..Answers::default()
    };
    let in_environment = ["api", "v2", "projects", project, "environments", environment];
    let experiments = [&in_environment[..], &["experiments"]].concat();
    answers.experiments =
        client.list(&List { what: "experiments", path: &experiments, query: &[EXPANDED], limit: USUAL_PAGE }).await?;
    for experiment in answers.experiments.iter_mut().filter(|experiment| Answers::lacks_treatments(experiment)) {
        let Some(key) = experiment.get("key").and_then(Value::as_str).map(str::to_owned) else { continue };
        let path = [&experiments[..], &[&key]].concat();
        client.say(&format!("experiment {key}"));
        match client.get(&path, &[EXPANDED], Version::Dated).await {
            Ok(expanded) => *experiment = expanded,
            Err(error) if error.is_refusal() => answers.missing.push(format!("the arms of {key} are missing: {error}")),
            Err(error) => return Err(error),
        }
    }
    let metrics = ["api", "v2", "metrics", project];
    answers.metrics =
        client.list(&List { what: "metrics", path: &metrics, query: &[], limit: PAGE_OF_METRICS }).await?;
    let groups = ["api", "v2", "projects", project, "metric-groups"];
    answers.metric_groups = optional(client, &mut answers.missing, "metric groups", &groups).await?;
    for key in answers.missing_metric_keys() {
        // It may be archived, and then only its name helps; the experiment that measures it says that it is missing.
        if let Some(metric) = client.found(&[&metrics[..], &[&key]].concat(), &[]).await? {
            answers.metrics.push(metric);
        }
    }
    let flags = answers.flag_keys();
    for (number, key) in flags.iter().enumerate() {
        client.say(&format!("flags: {} of {}", number + 1, flags.len()));
        match client.found(&["api", "v2", "flags", project, key], &[("env", environment)]).await? {
            Some(flag) => answers.flags.push(flag),
            None => answers
                .missing
                .push(format!("the flag {key} cannot be read: which index its variations have is not known")),
        }
    }
    let layers = ["api", "v2", "projects", project, "layers"];
    answers.layers = optional(client, &mut answers.missing, "layers", &layers).await?;
    if answers.has_holdouts() {
        let holdouts = [&in_environment[..], &["holdouts"]].concat();
        answers.holdouts = optional(client, &mut answers.missing, "holdouts", &holdouts).await?;
    }
    answers.catalog().map_err(PullError::NoCatalog)
}

/// Pulls what an SDK key alone gives: the flags, and which of them have an experiment.
///
/// # Errors
/// See [`PullError`].
pub async fn flags<P: Pace>(client: &mut Client<P>) -> Result<Pulled, PullError> {
    client.say("flag payload");
    let text = client.text(&["sdk", "latest-all"], &[], Version::None).await?;
    payload::from_text(&text).map_err(PullError::NoCatalog)
}

/// Looks an environment up among all, so that a misspelt one can be told from a project that is not there.
async fn find_environment<P: Pace>(
    client: &mut Client<P>,
    project: &str,
    environment: &str,
) -> Result<EnvironmentAnswer, PullError> {
    let path = ["api", "v2", "projects", project, "environments"];
    let list = List { what: "environments", path: &path, query: &[], limit: USUAL_PAGE };
    let all: Vec<EnvironmentAnswer> = match client.list(&list).await {
        Err(error) if error.is_not_found() => return Err(PullError::NoProject(project.to_owned())),
        all => all?,
    };
    let mut keys: Vec<String> = all.iter().map(|it| it.key.clone()).collect();
    keys.sort();
    let found = all.into_iter().find(|it| it.key == environment);
    found.ok_or_else(|| PullError::NoEnvironment {
        project: project.to_owned(),
        environment: environment.to_owned(),
        keys: keys.join(", "),
    })
}

/// A list that a catalog can do without: what refuses it is noted.
async fn optional<P: Pace>(
    client: &mut Client<P>,
    missing: &mut Vec<String>,
    what: &'static str,
    path: &[&str],
) -> Result<Vec<Value>, PullError> {
    match client.list(&List { what, path, query: &[], limit: USUAL_PAGE }).await {
        Err(error) if error.is_refusal() => {
            missing.push(format!("{what} are missing: {error}"));
            Ok(Vec::new())
        }
        answer => answer,
    }
}
