//! The command line: what can be asked for, in the words of `--help`.

use crate::attribution::state::Clock;
use crate::endpoint::{ForwardUrl, ListenOn};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// See which LaunchDarkly experimentation events count, which do not, and why.
///
/// Without a command exptap listens: point an SDK's events URI at the address it shows.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "\
Exit codes: 0 fine, 2 bad use or input, 3 could not reach or bind.

exptap predicts what LaunchDarkly counts by published rules; it does not reproduce LaunchDarkly's results."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `listen`, which is what happens without a command.
    #[command(flatten)]
    pub listen: Listen,
}

/// The commands.
// Parsed once: its size costs nothing, and boxes would be in every reader's way.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch live: an events endpoint for SDKs, and the screen.
    Listen(Listen),
    /// Watch a simulated shop, with the faults that are common, through the same endpoint.
    Demo(Demo),
    /// Say what files of events come to: what counts, what does not, and why.
    Report(Report),
    /// Print one verdict per event, iteration and metric, as NDJSON.
    Verdicts(Verdicts),
    /// Say how to get traffic in: SDKs, containers, phones, Relay Proxy (also: exptap help sources).
    #[command(long_about = crate::guide::usual())]
    Sources,
}

/// How to judge.
#[derive(Debug, Clone, Args)]
pub struct Judging {
    /// What is measured: a catalog in TOML or JSON. Without one it is inferred from the events.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// The clock that judges: when an event says it happened, or when it arrived.
    #[arg(long, value_enum, default_value_t = ClockName::Creation)]
    pub clock: ClockName,
}

/// The clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClockName {
    /// creationDate, the SDK's clock.
    Creation,
    /// Arrival here.
    Received,
}

impl From<ClockName> for Clock {
    fn from(name: ClockName) -> Self {
        match name {
            ClockName::Creation => Self::Creation,
            ClockName::Received => Self::Received,
        }
    }
}

/// Whether to record.
#[derive(Debug, Clone, Default, Args)]
pub struct Recording {
    /// Write everything that is received to this file (.exptap; .exptap.zst is compressed). A recording that is there
    /// already is gone on with; any other file is left alone.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// What the recording is of, kept in it.
    #[arg(long, value_name = "TEXT", requires = "record")]
    pub record_note: Option<String>,
}

/// Options of the screen.
#[derive(Debug, Clone, Args)]
pub struct Screen {
    /// Theme: a built-in name, or a TOML file.
    #[arg(long, value_name = "NAME", env = "EXPTAP_THEME")]
    pub theme: Option<String>,
    /// Frames per second at the most (default 30, 15 over SSH).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=120))]
    pub fps: Option<u16>,
    /// Show only events that match, from the start.
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
}

/// Options of `listen`.
#[derive(Debug, Clone, Args)]
pub struct Listen {
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// Address to listen on (default: port 8033 of 127.0.0.1 and of [::1]); port 0 is any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<ListenOn>,
    /// Allow an address that others can reach.
    #[arg(long)]
    pub public: bool,
    /// Hand every request on, byte for byte, to LaunchDarkly (https://events.launchdarkly.com) or a Relay Proxy, and
    /// its answer back.
    #[arg(long, value_name = "URL")]
    pub forward: Option<ForwardUrl>,
    /// The same for mobile SDKs (/mobile…); without it they go to --forward.
    #[arg(long, value_name = "URL")]
    pub forward_mobile: Option<ForwardUrl>,
    /// Since when every event has been seen; without it, since exptap was started. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Options of the screen.
    #[command(flatten)]
    pub screen: Screen,
    /// No screen: receive until interrupted, then print the report. For scripts and CI.
    #[arg(long, conflicts_with_all = ["filter", "fps"])]
    pub no_tui: bool,
    /// With --no-tui: write one verdict per event, iteration and metric to this file at the end.
    #[arg(long, value_name = "FILE", requires = "no_tui")]
    pub verdicts: Option<PathBuf>,
}

/// Options of `demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Options of the screen.
    #[command(flatten)]
    pub screen: Screen,
    /// Another shop: the same seed gives the same traffic.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Address to listen on (default: any free port of 127.0.0.1 and [::1]).
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<ListenOn>,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    Table,
    /// For programs.
    Json,
}

/// Options of `report`.
#[derive(Debug, Clone, Args)]
pub struct Report {
    /// Files of events (recordings, NDJSON or JSON arrays, plain, .gz or .zst); - is standard input. Several are read as one.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<String>,
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event is in the sources; without it they are taken as complete. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Options of `verdicts`.
#[derive(Debug, Clone, Args)]
pub struct Verdicts {
    /// Files of events (recordings, NDJSON or JSON arrays, plain, .gz or .zst); - is standard input. Several are read as one.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<String>,
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event is in the sources; without it they are taken as complete. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
}

/// RFC 3339 or epoch milliseconds.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(epoch_ms) = text.parse() {
        return Ok(epoch_ms);
    }
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_millisecond)
        .map_err(|_| "expected a time such as 2026-01-01T00:00:00Z, or milliseconds since 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_option_of_the_screen_is_refused_where_there_is_no_screen() {
        let parse = |option: &str| Cli::try_parse_from(["exptap", "--no-tui", option, "5"]).map(|_| ());
        let kinds = ["--filter", "--fps"].map(|option| parse(option).map_err(|error| error.kind()));
        assert_eq!(kinds, [Err(clap::error::ErrorKind::ArgumentConflict); 2]);
    }

    #[test]
    fn times_are_rfc_3339_or_epoch_milliseconds() {
        assert_eq!(parse_time("2026-01-01T00:00:00Z"), Ok(1_767_225_600_000));
        assert_eq!(parse_time("1767225600000"), Ok(1_767_225_600_000));
        assert!(parse_time("yesterday").is_err());
    }
}
