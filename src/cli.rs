//! The command line: what can be asked for, in the words of `--help`.

mod about;
mod catalog;
mod probe;
mod tls;

pub use about::{Completions, Healthcheck, Man, ThemesOf};
pub use catalog::{Catalog, CatalogCommand, Infer, Notation, Output, Pull, Review, ReviewFormat, Show, ShowFormat};
pub use probe::{Probe, SnippetName};

pub use tls::Tls;

use crate::attribution::state::{Clock, SEGMENT_DELIVERY_PERCENT};
use crate::endpoint::{ForwardUrl, ListenOn};
use crate::redact::Keep;
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
Exit codes: 0 fine, 1 a check failed, 2 bad use or input, 3 could not reach or bind.

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
    /// Receive without a screen, for as long as the machine runs: record, and let others look on (exptap attach).
    Collect(Collect),
    /// Watch what a collector receives, on this machine or another.
    Attach(Attach),
    /// Watch a simulated shop, with the faults that are common, through the same endpoint.
    Demo(Demo),
    /// Watch a recording on the screen: play, pause, step, go back.
    Replay(Replay),
    /// Follow a growing file of events, or a pipe, on the screen.
    Tail(Tail),
    /// Say what files of events come to: what counts, what does not, and why.
    Report(Report),
    /// Print one verdict per event, iteration and metric, as NDJSON.
    Verdicts(Verdicts),
    /// Tell the story of one context key: every event of it, rule by rule, and what it comes to.
    Explain(Explain),
    /// Check what files of events come to against expectations, for CI: exit code 1 where one does not hold.
    Check(Check),
    /// Judge the same events under a changed catalog, mapping or clock, and show the difference.
    WhatIf(WhatIf),
    /// Hold two recordings against each other, such as before and after a release: by verdict, reason, sender and arm.
    Diff(Diff),
    /// Make a copy that can be shared: what says something of anybody is replaced, the verdicts stay.
    Redact(Redact),
    /// Say where keys fall in the rollout of a flag, or find keys for each arm.
    Bucket(Bucket),
    /// Mint keys that never existed, say or run what to do with them, and follow each until it is exposed and counted.
    Probe(Probe),
    /// Say what Segment's LaunchDarkly destination would send for Segment events, without sending anything.
    Map(Map),
    /// What is being measured: fetch it from LaunchDarkly, find its mistakes, show it, guess it from events.
    Catalog(Catalog),
    /// Say how to get traffic in: SDKs, containers, phones, Relay Proxy (also: exptap help sources).
    #[command(long_about = crate::guide::usual())]
    Sources,
    /// Ask whether a collector on this machine is there and answers, for whatever looks after it.
    Healthcheck(Healthcheck),
    /// Print completions for a shell.
    Completions(Completions),
    /// Print a page of the manual.
    Man(Man),
    /// List the themes, or print one to begin your own with.
    Themes(ThemesOf),
    /// List the keys of the screens.
    Keys,
}

/// How to judge.
#[derive(Debug, Clone, Args)]
pub struct Judging {
    /// What is measured: a catalog in TOML or JSON. Without one it is inferred from the events.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// What Segment's LaunchDarkly destination does with Segment events: its settings and mappings in JSON or TOML, as for
    /// `exptap map`. Without one, as a recording says, or as Segment sets it up.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The flags as server SDKs get them: how they deal units out is proof of who is in an experiment, and who cannot be.
    #[arg(long, value_name = "FILE")]
    pub flags: Option<PathBuf>,
    /// The clock that judges: when an event says it happened, or when it arrived.
    #[arg(long, value_enum, default_value_t = ClockName::Creation)]
    pub clock: ClockName,
    /// How many percent of the events that a trigger in Segment matches LaunchDarkly should get, from 0 to 100: below
    /// that it is a finding (segment-delivery-rate).
    #[arg(
        long, value_name = "PERCENT", value_parser = parse_percent, default_value_t = SEGMENT_DELIVERY_PERCENT,
        allow_negative_numbers = true
    )]
    pub segment_delivery: f64,
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

/// Where events come in, and where they go on to.
#[derive(Debug, Clone, Args)]
pub struct Receiving {
    /// Address to listen on (default: port 8033 of 127.0.0.1 and of [::1]); port 0 is any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<ListenOn>,
    /// Allow addresses that others can reach, for --listen and for --feed.
    #[arg(long)]
    pub public: bool,
    /// Hand every request on, byte for byte, to LaunchDarkly (https://events.launchdarkly.com) or a Relay Proxy, and
    /// its answer back.
    #[arg(long, value_name = "URL")]
    pub forward: Option<ForwardUrl>,
    /// The same for mobile SDKs (/mobile…); without it they go to --forward.
    #[arg(long, value_name = "URL")]
    pub forward_mobile: Option<ForwardUrl>,
    /// The same for Segment's libraries (/v1/track, /v1/batch…): on to Segment (https://api.segment.io); without it they
    /// get Segment's usual answer from exptap. Webhooks are not handed on.
    #[arg(long, value_name = "URL")]
    pub forward_segment: Option<ForwardUrl>,
    /// Pass requests for flags on, to LaunchDarkly (https://sdk.launchdarkly.com, for client-side SDKs
    /// https://clientsdk.launchdarkly.com) or a Relay Proxy, and read the flags of server SDKs on their way back: how they
    /// deal units out is proof of who is in an experiment. For SDKs whose base and stream URIs lead here too.
    #[arg(long, value_name = "URL")]
    pub forward_flags: Option<ForwardUrl>,
    /// Where requests for streams of flags go; without it to the stream host that belongs to --forward-flags.
    #[arg(long, value_name = "URL", requires = "forward_flags")]
    pub forward_stream: Option<ForwardUrl>,
    /// Answer SDKs at once and keep their requests in this folder until the upstream has them, also while it is away or
    /// exptap is not running. SDK keys lie there as they came, readable by you only.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// How much it may hold. What there is no room for is passed on directly, as without --spool.
    #[arg(long, value_name = "SIZE", requires = "spool", value_parser = parse_spool_size, default_value = "1GiB")]
    pub spool_limit: u64,
    /// Check the signatures of Segment's webhooks with the shared secret in this file; or with the one in the environment
    /// variable EXPTAP_SEGMENT_SECRET.
    #[arg(long, value_name = "FILE")]
    pub segment_secret_file: Option<PathBuf>,
    /// Since when every event has been seen; without it, since exptap was started. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
}

/// Options of `listen`.
#[derive(Debug, Clone, Args)]
pub struct Listen {
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// What to receive.
    #[command(flatten)]
    pub receiving: Receiving,
    /// Encryption.
    #[command(flatten)]
    pub tls: Tls,
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Let others look on meanwhile: exptap attach, at the usual socket or where --socket and --feed say.
    #[arg(long)]
    pub share: bool,
    /// Who may look on.
    #[command(flatten)]
    pub feed: Feed,
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

/// Who may look on from elsewhere.
#[derive(Debug, Clone, Args)]
pub struct Feed {
    /// Socket for viewers (default: exptap/collector.sock in $XDG_RUNTIME_DIR). Only its owner can open it.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Address for viewers beside the socket (ws://, or wss:// with --tls or --feed-tls), and for /metrics and /healthz; whoever has the token may use it.
    #[arg(long, value_name = "ADDR:PORT")]
    pub feed: Option<std::net::SocketAddr>,
    /// Another name viewers may ask --feed by. May be given several times.
    #[arg(long, value_name = "NAME", requires = "feed")]
    pub feed_host: Vec<String>,
    /// File with the token of --feed (default: exptap/token in $XDG_CONFIG_HOME, or the variable EXPTAP_TOKEN). Where
    /// there is none a token is made, and shown once.
    #[arg(long, value_name = "FILE", requires = "feed")]
    pub token_file: Option<PathBuf>,
    /// How much of what was received last is kept for viewers that come later, or are slow.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub backlog: u64,
}

/// Options of `collect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  exptap collect --record events.exptap.zst --rotate 256MiB
  exptap attach                                # on the same machine
  exptap attach ssh://staging                  # from another one

As a service of yours, so that a restart loses nothing: exptap collect --print-unit says how.")]
pub struct Collect {
    /// What is measured: a catalog in TOML or JSON. It is recorded, and viewers judge by it unless they have their own.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// What Segment's LaunchDarkly destination does with Segment events, likewise.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// What to receive.
    #[command(flatten)]
    pub receiving: Receiving,
    /// Encryption.
    #[command(flatten)]
    pub tls: Tls,
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Put the recording aside once it has this size, under a name with the time in it, and go on in a new file.
    #[arg(long, value_name = "SIZE", requires = "record", value_parser = parse_size)]
    pub rotate: Option<u64>,
    /// Put it aside once it is so old: 24h, 30m.
    #[arg(long, value_name = "AGE", requires = "record", value_parser = parse_age)]
    pub rotate_every: Option<std::time::Duration>,
    /// Who may look on.
    #[command(flatten)]
    pub feed: Feed,
    /// Print the units that make this a service of yours under systemd, with the options given here, and end.
    #[arg(long)]
    pub print_unit: bool,
}

/// Options of `attach`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  exptap attach                                # the collector on this machine
  exptap attach ssh://staging                  # one on another, by your own ssh: no port, no token
  exptap attach ws://localhost:9000 --token-file token      # through a tunnel: ssh -L 9000:localhost:8034 staging
  exptap attach wss://staging:8034 --ca ca.pem              # without one: exptap collect --feed … --feed-tls")]
pub struct Attach {
    /// The collector: ssh://[USER@]HOST[:PORT], ws://HOST:PORT, wss://HOST, or the path of a socket. Without it, the usual
    /// socket on this machine.
    #[arg(value_name = "URL")]
    pub target: Option<crate::attach::Target>,
    /// How to judge; without a catalog here, by the collector's.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event has been seen, instead of what the collector says. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// Have the collector send only requests with an event that matches (kind, key, unit, source, since, until, texts).
    /// What it does not send is missing in every count; --filter narrows what is shown, and counts everything.
    #[arg(long, value_name = "EXPR")]
    pub only: Option<String>,
    /// File with the token of ws:// and wss:// (default: exptap/token in $XDG_CONFIG_HOME, or the variable EXPTAP_TOKEN).
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The CA (PEM) that vouches for wss://, and no other; without it, those this machine trusts. A collector that makes
    /// its own certificate says where its CA is.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The program that is run for ssh://.
    #[arg(long, value_name = "PROGRAM", default_value = "ssh", env = "EXPTAP_SSH")]
    pub ssh: PathBuf,
    /// What it runs on the other machine, where exptap is not on the path there.
    #[arg(long, value_name = "PROGRAM", default_value = "exptap")]
    pub remote_program: String,
    /// No screen: pass standard input and output on to the collector's socket. What ssh:// runs on the other machine.
    #[arg(long, conflicts_with_all = ["only", "token_file", "ca", "catalog", "mapping", "observed_from", "record", "filter"])]
    pub stdio: bool,
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Options of the screen.
    #[command(flatten)]
    pub screen: Screen,
}

/// Options of `replay`.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// A recording (.exptap, .exptap.zst, .gz); - is standard input.
    #[arg(value_name = "FILE")]
    pub source: String,
    /// How to judge; a catalog named here beats the recording's own.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event is in the recording, instead of what it says itself. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// Where to begin: start, end, or an instant (RFC 3339 or epoch ms). Without it at the end, where everything is in;
    /// with --speed at the start.
    #[arg(long, value_name = "PLACE", value_parser = Place::parse)]
    pub at: Option<Place>,
    /// Play, at so many times the speed it happened at (0.1 to 100), or max.
    #[arg(long, value_name = "N", value_parser = parse_speed)]
    pub speed: Option<crate::replay::Speed>,
    /// Sit through silences in the recording for so many seconds at the most.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32))]
    pub max_idle: Option<u32>,
    /// Options of the screen.
    #[command(flatten)]
    pub screen: Screen,
}

/// A place in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before the first record.
    Start,
    /// After the last.
    End,
    /// An instant, epoch milliseconds.
    Time(i64),
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            time => parse_time(time).map(Self::Time).map_err(|_| {
                "expected start, end, a time such as 2026-01-01T00:00:00Z, or milliseconds since 1970".to_owned()
            }),
        }
    }
}

/// A number of times, or `max`.
fn parse_speed(text: &str) -> Result<crate::replay::Speed, String> {
    if text == "max" {
        return Ok(crate::replay::Speed::Max);
    }
    match text.trim_end_matches('x').parse::<f64>() {
        Ok(times) if (0.1..=100.0).contains(&times) => Ok(crate::replay::Speed::Times(times)),
        _ => Err("expected a number from 0.1 to 100, or max".to_owned()),
    }
}

/// Options of `tail`.
#[derive(Debug, Clone, Args)]
pub struct Tail {
    /// A file of events, read to its end and on as it grows; - is standard input (keys come from the terminal). A
    /// recording is shown by `exptap replay`.
    #[arg(value_name = "FILE")]
    pub source: String,
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event is in the file; without it the file is taken as complete. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// Whether to record.
    #[command(flatten)]
    pub recording: Recording,
    /// Options of the screen.
    #[command(flatten)]
    pub screen: Screen,
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
    /// For a ticket.
    Markdown,
}

/// Options of `report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  exptap report events.ndjson --catalog shop.toml --format markdown > ticket.md

There is no --filter here: counts over a part of the events would look like results and be none. Filter the rows of \
`verdicts` and the events of `explain` instead.")]
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
#[command(after_help = "\
Example:
  exptap verdicts events.ndjson --catalog shop.toml --filter 'verdict:dropped key:checkout'")]
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
    /// Only events that match, with all their verdicts; the language is the screen's, times of day are UTC.
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
}

/// How a story is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoryFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Options of `explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  exptap explain events.ndjson device/d-9 --catalog shop.toml")]
pub struct Explain {
    /// File of events (NDJSON, JSON arrays or recordings, plain, .gz or .zst); - is standard input.
    #[arg(value_name = "SRC")]
    pub source: String,
    /// The unit: kind/key, or a key alone where only one kind has it.
    #[arg(value_name = "UNIT")]
    pub unit: String,
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event is in the source; without it, it is taken as complete. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// Tell only of events that match (what they come to is still said of all); times of day are UTC.
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = StoryFormat::Text)]
    pub format: StoryFormat,
}

/// Options of `check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
An expectation is one of
  [no] finding [of severity error|warning|info] [code CODE]
  totals FIELD OP NUMBER                   totals events >= 1
  EXPERIMENT[@ITERATION] FIELD OP NUMBER   cta-test sample_ratio p > 0.01
  EXPERIMENT/METRIC FIELD OP NUMBER        cta-test/checkout no-exposure = 0
  EXPERIMENT/METRIC/ARM FIELD OP NUMBER    cta-test/checkout/v2 rate > 0.05

FIELD is one of `report --format json`, or a reason code; OP is one of = != < <= > >=. Names with spaces, slashes or \
signs stand in quotes. Without an iteration it is the running one, else the last.

Example:
  exptap check run.ndjson --catalog shop.toml --expect 'totals lost = 0'

There is no --filter here: a check of a part of the events would pass for the wrong reason.")]
pub struct Check {
    /// Files of events (NDJSON, JSON arrays or recordings, plain, .gz or .zst); - is standard input. Several are read as one.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<String>,
    /// What must hold; several: all of them. Without any: no finding of severity error.
    #[arg(long, value_name = "EXPR")]
    pub expect: Vec<String>,
    /// More of them from a file, one a line; # begins a comment line.
    #[arg(long, value_name = "FILE")]
    pub expect_file: Option<PathBuf>,
    /// Write the result as JUnit XML, too; - is standard output (what is for people then goes to standard error).
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How to judge.
    #[command(flatten)]
    pub judging: Judging,
    /// Since when every event is in the sources; without it they are taken as complete. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
}

/// How a difference is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DifferenceFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For a ticket.
    Markdown,
}

/// Options of `what-if`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Without --base-catalog and --base-mapping, the events are judged before as a recording says itself, or as is inferred \
from them; --catalog, --mapping and --clock name what is different then. At least one of them, --set or --map-try is \
needed. A recording is written down nowhere: nothing is changed but what is judged by.

Examples:
  exptap what-if run.exptap --set 'experiment.checkout-cta-test.randomization_unit=user'
  exptap what-if run.exptap --set 'metric.checkout.units=[\"user\", \"device\"]' --format markdown
  exptap what-if run.exptap --map-try 'additional_context_keys.device=$.anonymousId'
  exptap what-if events.ndjson --base-catalog shop.toml --catalog new-shop.toml
  exptap what-if run.exptap --clock received

Every path, and the fields of the JSON: docs/what-if.md.")]
pub struct WhatIf {
    /// Files of events (recordings, NDJSON or JSON arrays, plain, .gz or .zst); - is standard input. Several are read as one.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<String>,
    /// A field of the catalog: experiment.KEY.FIELD, metric.KEY.FIELD, metric_group.KEY.FIELD or environment.FIELD, and
    /// its value in TOML or as a bare word; null takes it away. May be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// A line of Segment's mapping: a field of Track Event (or mapping.N.FIELD), and where in the event its value is
    /// ($.context.device.id), or the value itself; null takes it away. May be given several times.
    #[arg(long, value_name = "LINE=VALUE")]
    pub map_try: Vec<String>,
    /// Find the smallest set of changes that brings most conversions back, and try it: each change after those before it.
    #[arg(long, conflicts_with_all = ["set", "map_try", "catalog", "mapping", "clock"])]
    pub fixes: bool,
    /// Judge by this catalog then.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// Let Segment's destination be set up like this then.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Judge by this clock then.
    #[arg(long, value_enum)]
    pub clock: Option<ClockName>,
    /// The catalog before.
    #[arg(long, value_name = "FILE")]
    pub base_catalog: Option<PathBuf>,
    /// How Segment's destination is set up before.
    #[arg(long, value_name = "FILE")]
    pub base_mapping: Option<PathBuf>,
    /// The flags as server SDKs get them, whose rollouts hold before and after.
    #[arg(long, value_name = "FILE")]
    pub flags: Option<PathBuf>,
    /// The clock before.
    #[arg(long, value_enum, default_value_t = ClockName::Creation)]
    pub base_clock: ClockName,
    /// Since when every event is in the sources; without it they are taken as complete. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub observed_from: Option<i64>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = DifferenceFormat::Text)]
    pub format: DifferenceFormat,
}

/// Options of `diff`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
What is compared are shares, of 1 000 events or evaluations, because two recordings are rarely of as many. A recording \
is judged by its own catalog and mapping, unless they are named here; one without a catalog by that of the other; two \
without by what is inferred from both. The exit code is 0 whatever changed: `check` is for CI.

Example:
  exptap diff before.exptap after.exptap --format markdown > release.md")]
pub struct Diff {
    /// Before: a file of events (a recording, NDJSON or a JSON array, plain, .gz or .zst); - is standard input.
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// After.
    #[arg(value_name = "AFTER")]
    pub after: String,
    /// How to judge both.
    #[command(flatten)]
    pub judging: Judging,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Options of `redact`.
#[derive(Debug, Clone, Args)]
pub struct Redact {
    /// A recording, or events as NDJSON or JSON, plain, .gz or .zst; - is standard input.
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Where to write; compressed if the name ends in .gz or .zst. Without it, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The catalog it will be judged by: what its filters and pages compare is taken care of. A recording takes it along.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// The mapping Segment events will be judged by, instead of the recording's own; it is taken along.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Something to leave as it is: attribute:NAME, data:NAME, keys, urls, values or notes. May be given several times.
    #[arg(long, value_name = "WHAT")]
    pub keep: Vec<Keep>,
    /// Only say what would be replaced and kept.
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `bucket`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A bucket is computed from the key and the flag's rollout alone, as SDKs do. Individual targets, the rules before it and \
prerequisites come first in an SDK; they are not looked at.

Example:
  curl -H \"Authorization: $SDK_KEY\" https://sdk.launchdarkly.com/sdk/latest-all > flags.json
  exptap bucket --flags flags.json checkout-cta device/d-1
  exptap bucket --flags flags.json checkout-cta --find 3")]
pub struct Bucket {
    /// The flags as server SDKs get them: the answer of /sdk/latest-all, a put message of the stream, or one flag; - is
    /// standard input.
    #[arg(long, value_name = "FILE")]
    pub flags: PathBuf,
    /// Key of the flag.
    #[arg(value_name = "FLAG")]
    pub flag: String,
    /// Units: kind/key, or a key alone, which is of the kind the flag deals out by.
    #[arg(value_name = "UNIT")]
    pub units: Vec<String>,
    /// Find so many new keys for each arm.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub find: Option<u16>,
    /// What the keys that are found begin with.
    #[arg(long, value_name = "TEXT", default_value = "exptap-", requires = "find")]
    pub prefix: String,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = StoryFormat::Text)]
    pub format: StoryFormat,
}

/// Options of `map`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Prints a line of JSON per event and enabled mapping: whether its trigger matches, and the request LaunchDarkly gets, \
or why it gets none. The fields, and how to write a mapping file: docs/segment.md.

The destination alone is asked: that an event excludes it (integrations) is Segment's to heed, and not looked at here.

Without --mapping these are the two presets the destination is set up with, sent to the client-side ID client-side-id.")]
pub struct Map {
    /// The destination's settings and mappings, in JSON or TOML.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The time of events that carry none; without it, now. RFC 3339 or epoch ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_negative_numbers = true)]
    pub now: Option<i64>,
    /// A file of Segment events, one a line, an array, a batch or as a debugger shows them, plain or .gz; - is standard
    /// input.
    #[arg(value_name = "SRC", default_value = "-")]
    pub source: String,
}

/// A share, with or without its sign.
fn parse_percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("expected a percentage from 0 to 100, such as 95".to_owned()),
    }
}

/// A number of bytes, with or without a unit.
fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("", 1),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let digits = text.len() - text.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim())).map(|(_, bytes)| *bytes);
    let bytes = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as 256MiB".to_owned())
}

/// A size a spool may have.
fn parse_spool_size(text: &str) -> Result<u64, String> {
    let least = crate::spool::SMALLEST_LIMIT_BYTES;
    parse_size(text).and_then(|bytes| if bytes < least { Err("expected at least 64KiB".to_owned()) } else { Ok(bytes) })
}

/// A time that passes.
fn parse_age(text: &str) -> Result<std::time::Duration, String> {
    let age = text.parse::<jiff::SignedDuration>().ok().and_then(|age| age.try_into().ok());
    age.filter(|age: &std::time::Duration| !age.is_zero())
        .ok_or_else(|| "expected a time such as 24h or 30m".to_owned())
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
    fn sizes_and_ages_have_units() {
        let sizes = ["1", "2kB", "256MiB", "1 GiB", "3mb"].map(parse_size);
        assert_eq!(sizes, [Ok(1), Ok(2_000), Ok(256 << 20), Ok(1 << 30), Ok(3_000_000)]);
        for wrong in ["", "0", "MiB", "1.5GiB", "-1", "1TB", "99999999999GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_age("30m"), Ok(std::time::Duration::from_secs(1_800)));
        assert!(["", "0s", "-1h", "soon"].into_iter().all(|wrong| parse_age(wrong).is_err()));
    }

    #[test]
    fn times_are_rfc_3339_or_epoch_milliseconds() {
        assert_eq!(parse_time("2026-01-01T00:00:00Z"), Ok(1_767_225_600_000));
        assert_eq!(parse_time("1767225600000"), Ok(1_767_225_600_000));
        assert!(parse_time("yesterday").is_err());
    }
}
