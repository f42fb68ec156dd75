//! The commands without a screen: `report`, `verdicts`, and going through events one by one for those that need it.

use crate::attribution::judge::{EnvironmentMatch, Judge};
use crate::attribution::state::{Clock, Options, State};
use crate::catalog::infer::Inference;
use crate::catalog::load::{self, Format};
use crate::catalog::{Catalog, Origin};
use crate::event::body;
use crate::explain::collect::{self, Arrival};
use crate::input::{Chunk, InputError, Part, Piece, Source};
use crate::intake;
use crate::query::Query;
use crate::report::{Report, build};
use crate::session::rows::{self, Came, Notes};
use crate::verdicts::{self, Judged};
use std::fmt;
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
        "nothing readable: none of the {} lines or values in {names} is a LaunchDarkly event; the first: {}", unreadable.count, unreadable.first
    )]
    NothingReadable {
        /// What could not be read.
        unreadable: Unreadable,
        /// The sources.
        names: String,
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

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// How many events.
    pub count: u64,
    /// The first of them.
    pub first: Fault,
}

/// One event that could not be read. Lines and bytes are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The source.
    pub source: String,
    /// The line.
    pub line: u64,
    /// The byte of the line at which it is wrong; none: the line is cut off.
    pub byte: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, line {}", self.source, self.line)?;
        if let Some(byte) = self.byte {
            write!(formatter, ", byte {byte}")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

/// What reading came to.
pub struct Read {
    /// The state of attribution.
    pub state: State,
    /// The catalog judged by.
    pub catalog: Catalog,
    /// What could not be read.
    pub unreadable: Option<Unreadable>,
}

impl Read {
    /// The report.
    pub fn report(&self) -> Report {
        build::report(&self.state, &self.catalog)
    }
}

enum Text {
    Source(Source),
    /// What can be read only once and is looked at twice, because a catalog is inferred before anything is judged.
    Held {
        name: String,
        text: String,
        damage: Option<(u64, String)>,
    },
}

impl Text {
    fn pieces(&self, mut visit: impl FnMut(Piece<'_>)) -> Result<u64, InputError> {
        match self {
            Self::Source(source) => source.pieces(visit),
            Self::Held { text, damage, .. } => {
                visit(Piece::Text(Chunk::whole(text)));
                if let Some((line, what)) = damage {
                    visit(Piece::Damaged(*line, what));
                }
                // Held text is not a part of anything: nobody counts on after it.
                Ok(0)
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Source(source) => source.name(),
            Self::Held { name, .. } => name.clone(),
        }
    }
}

fn hold(source: &Source) -> Result<Text, InputError> {
    let (mut text, mut damage) = (String::new(), None);
    source.pieces(|piece| match piece {
        Piece::Text(chunk) => text.push_str(chunk.text),
        Piece::Damaged(line, what) => damage = Some((line, what.to_owned())),
    })?;
    Ok(Text::Held { name: source.name(), text, damage })
}

fn texts(request: &Request) -> Result<Vec<Text>, InputError> {
    let text = |source: &Source| match request.catalog {
        None if !source.can_be_read_again() => hold(source),
        _ => Ok(Text::Source(source.clone())),
    };
    request.sources.iter().map(text).collect()
}

fn catalog(request: &Request, texts: &[Text]) -> Result<Catalog, InputError> {
    if let Some(catalog) = &request.catalog {
        return Ok(catalog.clone());
    }
    let mut inference = Inference::default();
    for text in texts {
        text.pieces(|piece| {
            let Piece::Text(chunk) = piece else { return };
            body::items(chunk.text, |item| inference.observe_item(&item));
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
    let mut unreadable = None;
    for text in &texts {
        let name = text.name();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = match text {
            Text::Source(source) => source.parts(cores)?,
            Text::Held { .. } => Vec::new(),
        };
        if let [_, _, ..] = parts.as_slice() {
            let read_part = |part: &Part| -> Result<(State, Option<Unreadable>, u64), InputError> {
                let (mut state, mut unreadable) = (new_state(), None);
                let lines = part.pieces(|piece| plain(&mut state, &name, piece, &mut unreadable, |_, _| {}))?;
                Ok((state, unreadable, lines))
            };
            let read_part = &read_part;
            let read: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = parts.iter().map(|part| scope.spawn(move || read_part(part))).collect();
                threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
            });
            let mut lines_before = 0;
            for part in read {
                let (part, mut bad, lines) = match part {
                    Ok(part) => part?,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                state.merge(part);
                if let Some(bad) = &mut bad {
                    bad.first.line += lines_before;
                }
                lines_before += lines;
                add_unreadable(&mut unreadable, bad);
            }
        } else {
            text.pieces(|piece| plain(&mut state, &name, piece, &mut unreadable, |_, _| {}))?;
        }
    }
    readable(request, &state, &unreadable)?;
    Ok(Read { state, catalog, unreadable })
}

fn add_unreadable(all: &mut Option<Unreadable>, more: Option<Unreadable>) {
    match (all, more) {
        (Some(all), Some(more)) => all.count += more.count,
        (all @ None, more) => *all = more,
        (Some(_), None) => {}
    }
}

fn plain(
    state: &mut State,
    name: &str,
    piece: Piece<'_>,
    unreadable: &mut Option<Unreadable>,
    mut visit: impl FnMut(&State, intake::Received<'_, '_>),
) {
    let fault = |(line, byte), reason: &str| Fault { source: name.to_owned(), line, byte, reason: reason.to_owned() };
    match piece {
        Piece::Text(chunk) => intake::plain(state, name, chunk.text, |state, received| {
            if let intake::Received::Unreadable { unreadable: bad, .. } = &received {
                let place = || {
                    let (line, byte) = chunk.place(bad.offset);
                    (line, Some(byte))
                };
                note(unreadable, || fault(place(), &bad.reason));
            }
            visit(state, received);
        }),
        Piece::Damaged(line, what) => {
            note(unreadable, || fault((line, None), what));
            intake::damaged(state, name, what, visit);
        }
    }
}

/// Counts what could not be read; only of the first is it worth knowing where it is.
fn note(unreadable: &mut Option<Unreadable>, fault: impl FnOnce() -> Fault) {
    match unreadable {
        Some(unreadable) => unreadable.count += 1,
        None => *unreadable = Some(Unreadable { count: 1, first: fault() }),
    }
}

fn readable(request: &Request, state: &State, unreadable: &Option<Unreadable>) -> Result<(), Failure> {
    match unreadable {
        Some(unreadable) if unreadable.count == state.totals().events => Err(Failure::NothingReadable {
            unreadable: unreadable.clone(),
            names: request.sources.iter().map(Source::name).collect::<Vec<_>>().join(", "),
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
        text.pieces(|piece| {
            plain(&mut state, &name, piece, &mut unreadable, |state, received| {
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

/// Sources that can be gone through event by event, more than once: on the clock that judges and on the other one.
pub struct Passes {
    request: Request,
    texts: Vec<Text>,
    catalog: Catalog,
}

impl Passes {
    /// Opens the sources. What can be read only once is held.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn open(request: &Request) -> Result<Self, Failure> {
        if request.clock == Clock::Received {
            return Err(Failure::NoArrival);
        }
        let text = |source: &Source| match source.can_be_read_again() {
            true => Ok(Text::Source(source.clone())),
            false => hold(source),
        };
        let texts = request.sources.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let catalog = catalog(request, &texts)?;
        Ok(Self { request: request.clone(), texts, catalog })
    }

    /// Reads and judges everything on a clock, in order, and hands on each event as it was taken in.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn events(
        &self,
        clock: Clock,
        mut visit: impl FnMut(&State, &Catalog, Arrival<'_>, intake::Received<'_, '_>),
    ) -> Result<Read, Failure> {
        let options = Options { clock, ..options(&self.request) };
        let mut state = State::new(Arc::new(Judge::new(&self.catalog)), options);
        let mut unreadable = None;
        for text in &self.texts {
            let name = text.name();
            let arrival =
                Arrival { request: None, arrival_ms: None, source: &name, environment: EnvironmentMatch::Same };
            text.pieces(|piece| {
                plain(&mut state, &name, piece, &mut unreadable, |state, received| {
                    visit(state, &self.catalog, arrival, received);
                });
            })?;
        }
        readable(&self.request, &state, &unreadable)?;
        Ok(Read { state, catalog: self.catalog.clone(), unreadable })
    }
}

/// Writes the verdict rows of the events that a filter lets through: the same events as on screen, with all their
/// rows.
///
/// # Errors
/// See [`Failure`].
pub fn verdicts_matching(request: &Request, filter: &Query, output: &mut impl Write) -> Result<Read, Failure> {
    let mut kept = Vec::new();
    let mut notes = Notes::default();
    let read = Passes::open(request)?.events(request.clock, |state, catalog, arrival, received| {
        let judged = Judged::new(state, &received, arrival.request, arrival.arrival_ms);
        let came = Came { request: arrival.request, arrival_ms: arrival.arrival_ms, source: arrival.source };
        let (row, ..) = rows::row(state, catalog, &mut notes, came, received);
        kept.push((judged, row));
    })?;
    let names = collect::names(&read.state, &read.catalog);
    for (judged, row) in &mut kept {
        rows::resolve(row, &judged.claims, &read.state, false);
        if filter.matches(row, &names) {
            for row in verdicts::rows(&read.state, &read.catalog, judged) {
                serde_json::to_writer(&mut *output, &row).map_err(io::Error::from)?;
                output.write_all(b"\n")?;
            }
        }
    }
    output.flush()?;
    Ok(read)
}
