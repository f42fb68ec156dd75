//! `exptap catalog` on the command line.

use super::parse_time;
use crate::pull::Host;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `catalog`.
#[derive(Debug, Clone, Args)]
pub struct Catalog {
    /// What to do with it.
    #[command(subcommand)]
    pub command: CatalogCommand,
}

/// What can be done with a catalog.
// Parsed once: its size costs nothing, and boxes would be in every reader's way.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Subcommand)]
pub enum CatalogCommand {
    /// Fetch it from LaunchDarkly, as a file to read, edit and compare.
    Pull(Pull),
    /// Find every mistake that can be found without a single event; exit code 1 where there is one.
    Check(Review),
    /// Show what it says, as a table.
    Show(Show),
    /// Guess it from events, as a file to correct.
    Infer(Infer),
}

/// Notations of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Notation {
    /// For people.
    Toml,
    /// For programs.
    Json,
}

/// Where a catalog is written.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Where to write it, in the notation of the name (.json is JSON, others TOML); without it, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The notation, whatever the name.
    #[arg(long, value_enum)]
    pub format: Option<Notation>,
}

/// Options of `catalog pull`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The token is an API access token with the reader role, from --token-file or the variable LAUNCHDARKLY_API_TOKEN (or \
LD_API_TOKEN); it is never an argument, where other users of the machine could read it.

With nothing but an SDK key, from --sdk-key-file or LAUNCHDARKLY_SDK_KEY, the flags are fetched, and which of them have \
an experiment, by which unit: no metrics, no names.

Proxies are taken from HTTPS_PROXY and NO_PROXY. Nothing is changed in LaunchDarkly.

Example:
  exptap catalog pull --project shop --environment production -o shop.toml")]
pub struct Pull {
    /// Project key.
    #[arg(long, value_name = "KEY", requires = "environment")]
    pub project: Option<String>,
    /// Environment key.
    #[arg(long, value_name = "KEY", requires = "project")]
    pub environment: Option<String>,
    /// Where LaunchDarkly is: a host, or eu, or federal.
    #[arg(long, value_name = "HOST", default_value = "app.launchdarkly.com")]
    pub host: Host,
    /// A file that holds an API access token and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "sdk_key_file")]
    pub token_file: Option<PathBuf>,
    /// A file that holds an SDK key and nothing else: fetch the flags by it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["project", "environment"])]
    pub sdk_key_file: Option<PathBuf>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub timeout: Duration,
    /// Where to write it.
    #[command(flatten)]
    pub output: Output,
}

/// How a review is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Options of `catalog check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit code 1 where there is a mistake, 0 where there are only warnings and remarks, 2 where the catalog cannot be read.

Example:
  exptap catalog check shop.toml --mapping segment.json")]
pub struct Review {
    /// A catalog in TOML or JSON, or a recording that holds one; - is standard input.
    #[arg(value_name = "FILE")]
    pub source: String,
    /// Settings and mappings of Segment's destination: whether its events can carry the units is checked, too.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The time to judge by what runs; without it, now. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_negative_numbers = true)]
    pub now: Option<i64>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ReviewFormat::Text)]
    pub format: ReviewFormat,
}

/// How a catalog is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// A table.
    Text,
    /// The file it would be.
    Toml,
    /// The same in JSON.
    Json,
}

/// Options of `catalog show`.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// A catalog in TOML or JSON, or a recording that holds one; - is standard input.
    #[arg(value_name = "FILE")]
    pub source: String,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ShowFormat::Text)]
    pub format: ShowFormat,
}

/// Options of `catalog infer`.
#[derive(Debug, Clone, Args)]
pub struct Infer {
    /// Files of events (recordings, NDJSON or JSON arrays, plain, .gz or .zst); - is standard input.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<String>,
    /// Where to write it.
    #[command(flatten)]
    pub output: Output,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds from 0.1 to 3600".to_owned()),
    }
}
