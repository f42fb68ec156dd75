//! `exptap catalog`: pull, check, show, infer.

use super::answer::columns;
use super::map::read_mapping;
use super::{BAD_INPUT, CHECK_FAILED, COULD_NOT_BIND, now_ms, say};
use crate::catalog::layout::{Part, Remark};
use crate::catalog::load::{self, Format};
use crate::catalog::places::Places;
use crate::catalog::{Catalog, Origin, Pulled, infer, table};
use crate::cli::{CatalogCommand, Infer, Notation, Output, Pull, Review, ReviewFormat, Show, ShowFormat};
use crate::headless;
use crate::input::Source;
use crate::pull::{self, Client, PullError, Secret, SecretKind, WallClock};
use crate::reason::Severity;
use crate::recording;
use crate::review;
use crate::segment::Destination;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Variables a token may be in; the first that is set counts.
const TOKEN_VARIABLES: [&str; 2] = ["LAUNCHDARKLY_API_TOKEN", "LD_API_TOKEN"];
const KEY_VARIABLES: [&str; 1] = ["LAUNCHDARKLY_SDK_KEY"];
/// Notes on standard error; the file has them all.
const NOTES_SAID: usize = 20;

/// Runs a command.
pub(super) fn run(command: CatalogCommand) -> ExitCode {
    let done = match command {
        CatalogCommand::Pull(options) => pull(options),
        CatalogCommand::Check(options) => check(&options),
        CatalogCommand::Show(options) => show(&options),
        CatalogCommand::Infer(options) => infer(options),
    };
    match done {
        Ok(code) => code,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure);
            ExitCode::from(match failure {
                Failure::Pull(error) if !error.is_for_the_user() => COULD_NOT_BIND,
                _ => BAD_INPUT,
            })
        }
    }
}

/// Why a command cannot do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Told(String),
    #[error(transparent)]
    Events(#[from] headless::Failure),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

fn pull(options: Pull) -> Result<ExitCode, Failure> {
    let whole = options.project.zip(options.environment);
    let secret = match (&whole, options.token_file.as_deref(), options.sdk_key_file.as_deref()) {
        (None, None, Some(file)) => secret(SecretKind::SdkKey, Some(file))?,
        (None, None, None) => secret(SecretKind::SdkKey, None)?,
        (None, ..) => {
            return Err(Failure::Told("which environment? give --project KEY and --environment KEY".to_owned()));
        }
        (Some(_), file, _) => secret(SecretKind::ApiToken, file)?,
    };
    let mut client = Client::new(&options.host, secret, options.timeout, WallClock, |what| say(what))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pulled = runtime.block_on(async {
        match &whole {
            Some((project, environment)) => pull::project(&mut client, project, environment).await,
            None => pull::flags(&mut client).await,
        }
    })?;
    let from = match &whole {
        Some((project, environment)) => format!("project {project}, environment {environment}, from {}", options.host),
        None => format!(
            "the flags of one environment, by an SDK key, from {}",
            options.host.sdk().host_str().unwrap_or_default()
        ),
    };
    let now = jiff::Timestamp::from_millisecond(now_ms()).map(|now| now.to_string()).unwrap_or_default();
    let head = Remark {
        about: Part::Whole,
        text: format!("Pulled by exptap {} at {now}: {from}.", env!("CARGO_PKG_VERSION")),
    };
    write(&options.output, &pulled.catalog, &[vec![head], pulled.remarks()].concat())?;
    say_pulled(&pulled, options.output.output.as_deref());
    Ok(ExitCode::SUCCESS)
}

/// What came of it, and what is missing.
fn say_pulled(pulled: &Pulled, output: Option<&Path>) {
    for note in pulled.notes.iter().take(NOTES_SAID) {
        match &note.about {
            Part::Whole | Part::Metric(_) => say(&note.text),
            Part::Experiment(key) if note.text.starts_with("experiment ") || note.text.contains(key.as_str()) => {
                say(&note.text);
            }
            Part::Experiment(key) | Part::MetricGroup(key) | Part::Flag(key) => {
                say(format_args!("{key}: {}", note.text))
            }
        }
    }
    if let Some(more) = pulled.notes.len().checked_sub(NOTES_SAID).filter(|more| *more > 0) {
        say(format_args!("and {more} more of the kind; the file has them as comments"));
    }
    let catalog = &pulled.catalog;
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let counts = format!(
        "{}, {}, {}",
        counted(catalog.experiments.len(), "experiment"),
        counted(catalog.metrics.len(), "metric"),
        counted(catalog.flags.len(), "flag")
    );
    match output {
        Some(path) => {
            let path = path.display();
            say(format_args!("{counts} written to {path}; next: exptap catalog check {path}"));
        }
        None => say(counts),
    }
}

/// A secret from a file, else from a variable.
fn secret(kind: SecretKind, file: Option<&Path>) -> Result<Secret, Failure> {
    let told = |place: String, error: pull::SecretError| Failure::Told(format!("{place} {error}"));
    if let Some(file) = file {
        let place = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::Told(format!("{place}: the {} cannot be read: {error}", kind.name())))?;
        return Secret::new(&text, kind).map_err(|error| told(place, error));
    }
    let variables: &[&str] = match kind {
        SecretKind::ApiToken => &TOKEN_VARIABLES,
        SecretKind::SdkKey => &KEY_VARIABLES,
    };
    let set = variables.iter().find_map(|name| Some((*name, std::env::var(name).ok().filter(|it| !it.is_empty())?)));
    match (set, kind) {
        (Some((name, text)), _) => Secret::new(&text, kind).map_err(|error| told(name.to_owned(), error)),
        (None, SecretKind::ApiToken) => Err(Failure::Told(format!(
            "there is no API access token: put one (a reader's is enough) in a file and give --token-file FILE, or in the variable {}",
            variables.join(" or ")
        ))),
        (None, SecretKind::SdkKey) => Err(Failure::Told(
            "what is to be pulled? Give --project KEY and --environment KEY, with an API access token; or, for the flags alone, an SDK key by --sdk-key-file FILE or the variable LAUNCHDARKLY_SDK_KEY"
                .to_owned(),
        )),
    }
}

fn check(options: &Review) -> Result<ExitCode, Failure> {
    let destination = options.mapping.as_deref().map(read_mapping).transpose().map_err(Failure::Told)?.map(Arc::new);
    let (catalog, places, recorded) = read(&options.source)?;
    let destination = destination.or(recorded);
    let name = &options.source;
    let reviewed = review::review(&catalog, &places, destination.as_deref(), options.now.unwrap_or_else(now_ms));
    let text = match options.format {
        ReviewFormat::Text => review::text::text(&reviewed, name, columns()),
        ReviewFormat::Json => review::text::json(&reviewed, name).map_err(io::Error::from)? + "\n",
    };
    print(&text)?;
    let has_mistakes = reviewed.count(Severity::Error) > 0;
    Ok(if has_mistakes { CHECK_FAILED.into() } else { ExitCode::SUCCESS })
}

fn show(options: &Show) -> Result<ExitCode, Failure> {
    let (catalog, ..) = read(&options.source)?;
    print(&match options.format {
        ShowFormat::Text => table::text(&catalog),
        ShowFormat::Toml => catalog.to_toml(&[]),
        ShowFormat::Json => json(&catalog),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn infer(options: Infer) -> Result<ExitCode, Failure> {
    let sources: Vec<Source> = options.sources.iter().map(|source| Source::parse(source)).collect();
    if sources.contains(&Source::Stdin) && io::stdin().is_terminal() {
        say("reading events from the terminal; end with Ctrl-D");
    }
    let catalog = headless::infer(sources)?;
    if catalog.experiments.is_empty() && catalog.metrics.is_empty() {
        return Err(Failure::Told(
            "no event suggests an experiment or a metric: there is no evaluation inExperiment and no custom event in what was read"
                .to_owned(),
        ));
    }
    write(&options.output, &catalog, &infer::remarks(&catalog))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a catalog, and where its parts stand; or that of a recording, with the Segment mapping it was judged by.
fn read(name: &str) -> Result<(Catalog, Places, Option<Arc<Destination>>), Failure> {
    let source = Source::parse(name);
    if source == Source::Stdin && io::stdin().is_terminal() {
        say("reading a catalog from the terminal; end with Ctrl-D");
    }
    let opened = source.open().map_err(|error| Failure::Told(error.to_string()))?;
    if let Some(line) = opened.first_line().filter(|line| recording::is_header(line)) {
        let header = recording::parse_header(line, name).map_err(|error| Failure::Told(format!("{name}: {error}")))?;
        let given = header.given();
        let catalog = given.catalog.ok_or_else(|| {
            Failure::Told(format!(
                "{name} is a recording without a catalog: name a catalog file, or see exptap catalog infer"
            ))
        })?;
        return Ok((catalog, Places::default(), given.destination));
    }
    let (mut bytes, mut rest) = opened.into_parts();
    rest.read_to_end(&mut bytes)
        .map_err(|error| Failure::Told(format!("{name}: the catalog cannot be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Told(format!("{name}: the catalog cannot be read: it is not UTF-8 text")))?;
    let format = Format::of(name, &text);
    let catalog =
        load::from_text(&text, name, format, Origin::File).map_err(|error| Failure::Told(error.to_string()))?;
    Ok((catalog, Places::new(&text, format), None))
}

fn json(catalog: &Catalog) -> String {
    format!("{:#}\n", catalog.to_json())
}

/// Writes a catalog where it is wanted.
fn write(output: &Output, catalog: &Catalog, remarks: &[Remark]) -> Result<(), Failure> {
    let path = output.output.as_deref().filter(|path| *path != Path::new("-"));
    let is_json = path.and_then(Path::extension).is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let text = match output.format {
        Some(Notation::Json) => json(catalog),
        None if is_json => json(catalog),
        Some(Notation::Toml) | None => catalog.to_toml(remarks),
    };
    match path {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::Told(format!("{}: the catalog cannot be written: {error}", path.display()))),
        None => Ok(print(&text)?),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
