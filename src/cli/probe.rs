//! Options of `probe`.

use super::{Judging, Receiving, Recording, StoryFormat, parse_age};
use crate::probe::{Attribute, Snippet};
use clap::{Args, ValueEnum};
use std::time::Duration;

/// Options of `probe`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  exptap probe --catalog shop.toml                            # says what to do, and waits
  exptap probe --catalog shop.toml --run 'node probe.mjs'     # runs it for every key

A command finds in its environment EXPTAP_EVENTS_URI, EXPTAP_PROBE_CONTEXT (JSON), EXPTAP_PROBE_KIND, EXPTAP_PROBE_KEY, \
EXPTAP_PROBE_EXPERIMENT, EXPTAP_PROBE_FLAG, EXPTAP_PROBE_ARM (where it is known), EXPTAP_PROBE_EVENT (the first event key) \
and EXPTAP_PROBE_EVENTS (all, as JSON with metric, event and value).

Exit codes: 0 every key was exposed and counted, 1 one was not, 2 bad use or input, 3 could not bind.")]
pub struct Probe {
    /// How to judge. The catalog says what there is to probe; with --flags every arm gets its keys.
    #[command(flatten)]
    pub judging: Judging,
    /// What to receive.
    #[command(flatten)]
    pub receiving: Receiving,
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Only this experiment. May be given several times; without it all that run.
    #[arg(long, value_name = "KEY")]
    pub experiment: Vec<String>,
    /// Only this metric. May be given several times; without it all custom metrics of the experiments.
    #[arg(long, value_name = "KEY")]
    pub metric: Vec<String>,
    /// So many keys: for each arm where the rollout is known, else for each experiment.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub keys: u16,
    /// An attribute of the contexts, for rules and filters that ask for one: user/country=US. May be given several times.
    #[arg(long, value_name = "KIND/NAME=VALUE")]
    pub attribute: Vec<Attribute>,
    /// Run this for every key, one after another, by sh -c. What it prints goes to standard error.
    #[arg(long, value_name = "COMMAND")]
    pub run: Option<String>,
    /// The language in which it is shown what to do.
    #[arg(long, value_enum, default_value_t = SnippetName::Node, conflicts_with = "run")]
    pub snippet: SnippetName,
    /// How long to follow them at the most: 90s, 5m.
    #[arg(long, value_name = "AGE", default_value = "2m", value_parser = parse_age)]
    pub timeout: Duration,
    /// How to print what came of them.
    #[arg(long, value_enum, default_value_t = StoryFormat::Text)]
    pub format: StoryFormat,
}

/// The languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SnippetName {
    /// JavaScript, as the Node.js server SDK has it.
    Node,
    /// Python.
    Python,
    /// Words only.
    None,
}

impl From<SnippetName> for Snippet {
    fn from(name: SnippetName) -> Self {
        match name {
            SnippetName::Node => Self::Node,
            SnippetName::Python => Self::Python,
            SnippetName::None => Self::None,
        }
    }
}
