//! The commands without a screen: `report` and `verdicts`.

use crate::attribution::judge::Judge;
use crate::attribution::state::{Clock, Options, State};
use crate::catalog::infer::Inference;
use crate::catalog::load::{self, Format};
use crate::catalog::{Catalog, Origin};
use crate::event::{Item, body};
use crate::input::{InputError, Source};
use crate::intake;
use crate::report::{Report, build};
use crate::verdicts::{self, Judged};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to read, in order.
    pub sources: Vec<Source>,
    /// Catalog; none: inferred.
    pub catalog: Option<Catalog>,
    /// The clock that judges.
    pub clock: Clock,
    /// Since when everything was observed; none: complete history.
    pub observed_from_ms: Option<i64>,
}

/// Why a command cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A source cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The received clock was asked of events that carry no arrival.
    #[error(
        "--clock received needs arrival times, and plain events carry none; judge them on the creation clock, or use what `exptap listen` received"
    )]
    NoArrival,
    /// Nothing in the sources is an event.
    #[error(
        "nothing readable: none of the {unreadable} lines or values in {names} is a LaunchDarkly event; the first is not because {first}"
    )]
    NothingReadable {
        /// Unreadable events.
        unreadable: u64,
        /// The sources.
        names: String,
        /// What is wrong with the first.
        first: String,
    },
    /// The output is gone or full.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Reads a catalog file.
///
/// # Errors
/// A sentence per mistake, each with file and line.
pub fn read_catalog(path: &Path) -> Result<Catalog, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: the catalog cannot be read: {error}"))?;
    load::from_text(&text, &name, Format::of(&name, &text), Origin::File).map_err(|error| error.to_string())
}

/// What reading came to.
pub struct Read {
    /// The state of attribution.
    pub state: State,
    /// The catalog judged by.
    pub catalog: Catalog,
    /// What could not be read: how much, and the first reason.
    pub unreadable: Option<(u64, String)>,
}

impl Read {
    /// The report.
    pub fn report(&self) -> Report {
        build::report(&self.state, &self.catalog)
    }
}

/// Standard input can be read only once, but a catalog is inferred before anything is judged.
fn is_read_twice(request: &Request) -> bool {
    request.catalog.is_none()
}

enum Text {
    Source(Source),
    Whole(String, String),
}

impl Text {
    fn chunks(&self, mut visit: impl FnMut(&str)) -> Result<(), InputError> {
        match self {
            Self::Source(source) => source.chunks(visit),
            Self::Whole(_, text) => {
                visit(text);
                Ok(())
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Source(source) => source.name(),
            Self::Whole(name, _) => name.clone(),
        }
    }
}

fn texts(request: &Request) -> Result<Vec<Text>, InputError> {
    let hold = |source: &Source| match source {
        Source::Stdin if is_read_twice(request) => Ok(Text::Whole(source.name(), source.read_whole()?)),
        _ => Ok(Text::Source(source.clone())),
    };
    request.sources.iter().map(hold).collect()
}

fn catalog(request: &Request, texts: &[Text]) -> Result<Catalog, InputError> {
    if let Some(catalog) = &request.catalog {
        return Ok(catalog.clone());
    }
    let mut inference = Inference::default();
    for text in texts {
        text.chunks(|chunk| {
            body::items(chunk, |item| {
                if let Item::Event { event, .. } = item {
                    inference.observe(&event);
                }
            });
        })?;
    }
    Ok(inference.catalog())
}

fn options(request: &Request) -> Options {
    Options { clock: request.clock, observed_from_ms: request.observed_from_ms, ..Options::default() }
}

/// Reads and judges everything. Large files of lines are judged in parts, side by side, and merged: the result is
/// the same, whatever the parts.
///
/// # Errors
/// See [`Failure`].
pub fn read(request: &Request) -> Result<Read, Failure> {
    if request.clock == Clock::Received {
        return Err(Failure::NoArrival);
    }
    let texts = texts(request)?;
    let catalog = catalog(request, &texts)?;
    let judge = Arc::new(Judge::new(&catalog));
    let new_state = || State::new(Arc::clone(&judge), options(request));
    let mut state = new_state();
    let mut unreadable: Option<(u64, String)> = None;
    for text in &texts {
        let name = text.name();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = match text {
            Text::Source(source) => source.parts(cores)?,
            Text::Whole(..) => Vec::new(),
        };
        if let [_, _, ..] = parts.as_slice() {
            let read_part = |part: &crate::input::Part| -> Result<(State, Option<(u64, String)>), InputError> {
                let (mut state, mut unreadable) = (new_state(), None);
                part.chunks(|chunk| plain(&mut state, &name, chunk, &mut unreadable, |_, _| {}))?;
                Ok((state, unreadable))
            };
            let read_part = &read_part;
            let read: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = parts.iter().map(|part| scope.spawn(move || read_part(part))).collect();
                threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
            });
            for part in read {
                let (part, bad) = match part {
                    Ok(part) => part?,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                state.merge(part);
                add_unreadable(&mut unreadable, bad);
            }
        } else {
            text.chunks(|chunk| plain(&mut state, &name, chunk, &mut unreadable, |_, _| {}))?;
        }
    }
    readable(request, &state, &unreadable)?;
    Ok(Read { state, catalog, unreadable })
}

fn add_unreadable(all: &mut Option<(u64, String)>, more: Option<(u64, String)>) {
    if let Some((count, first)) = more {
        all.get_or_insert((0, first)).0 += count;
    }
}

fn plain(
    state: &mut State,
    name: &str,
    chunk: &str,
    unreadable: &mut Option<(u64, String)>,
    mut visit: impl FnMut(&State, intake::Received<'_, '_>),
) {
    intake::plain(state, name, chunk, |state, received| {
        if let intake::Received::Unreadable { unreadable: bad, .. } = &received {
            add_unreadable(unreadable, Some((1, bad.reason.clone())));
        }
        visit(state, received);
    });
}

fn readable(request: &Request, state: &State, unreadable: &Option<(u64, String)>) -> Result<(), Failure> {
    match unreadable {
        Some((count, first)) if *count == state.totals().events => Err(Failure::NothingReadable {
            unreadable: *count,
            names: request.sources.iter().map(Source::name).collect::<Vec<_>>().join(", "),
            first: first.clone(),
        }),
        _ => Ok(()),
    }
}

/// Writes one verdict row per event, iteration and metric. Rows are written once everything is read, because what
/// comes last can still change the first.
///
/// # Errors
/// See [`Failure`].
pub fn verdicts(request: &Request, output: &mut impl Write) -> Result<Read, Failure> {
    if request.clock == Clock::Received {
        return Err(Failure::NoArrival);
    }
    let texts = texts(request)?;
    let catalog = catalog(request, &texts)?;
    let mut state = State::new(Arc::new(Judge::new(&catalog)), options(request));
    let (mut judged, mut unreadable) = (Vec::new(), None);
    for text in &texts {
        let name = text.name();
        text.chunks(|chunk| {
            plain(&mut state, &name, chunk, &mut unreadable, |state, received| {
                judged.push(Judged::new(state, &received, None, None));
            });
        })?;
    }
    readable(request, &state, &unreadable)?;
    for event in &judged {
        for row in verdicts::rows(&state, &catalog, event) {
            serde_json::to_writer(&mut *output, &row).map_err(io::Error::from)?;
            output.write_all(b"\n")?;
        }
    }
    output.flush()?;
    Ok(Read { state, catalog, unreadable })
}
