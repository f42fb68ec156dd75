//! The commands without a screen: `report`, `verdicts`, and going through events one by one for those that need it.

mod reader;
mod sources;

use crate::attribution::judge::{EnvironmentMatch, Judge};
use crate::attribution::state::{Clock, Options, SEGMENT_DELIVERY_PERCENT, State};
use crate::bucketing::fill::fill;
use crate::bucketing::payload::Payload;
use crate::bucketing::seen::Seen;
use crate::catalog::infer::Inference;
use crate::catalog::load::{self, Format};
use crate::catalog::{Catalog, Origin};
use crate::envelope::Envelope;
use crate::explain::collect::{self, Arrival};
use crate::input::{InputError, Part, Source};
use crate::intake;
use crate::query::Query;
use crate::recording::HeaderError;
use crate::report::fixes::Fixes;
use crate::report::table::grouped;
use crate::report::{Report, build};
use crate::segment::Destination;
use crate::session::rows::{self, Came, Notes};
use crate::verdicts::{self, Judged};
use crate::what_if::Judgement;
use crate::what_if::judgement::Events;
use crate::what_if::plan;
use crate::what_if::remedy::{self, Bench};
use reader::{Faults, Reader};
use sources::{Reading, Sources, Text};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to read, in order.
    pub sources: Vec<Source>,
    /// Catalog; none: that of a recording, or inferred.
    pub catalog: Option<Catalog>,
    /// What Segment's destination does; none: as a recording says, or as Segment sets it up.
    pub mapping: Option<Arc<Destination>>,
    /// Where the experiments of the catalog, whichever it is, get their rollouts from.
    pub flags: Option<Payload>,
    /// The clock that judges.
    pub clock: Clock,
    /// Since when everything was observed; none: complete history.
    pub observed_from_ms: Option<i64>,
    /// Of the events that a trigger in Segment matches, LaunchDarkly should get so many percent.
    pub segment_delivery_percent: f64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            catalog: None,
            mapping: None,
            flags: None,
            clock: Clock::default(),
            observed_from_ms: None,
            segment_delivery_percent: SEGMENT_DELIVERY_PERCENT,
        }
    }
}

/// Why a command cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A source cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A recording cannot be read.
    #[error("{name}: {error}")]
    Recording {
        /// Its name.
        name: String,
        /// Why.
        error: HeaderError,
    },
    /// The received clock was asked of an event that carries no arrival.
    #[error(
        "{0}; judge by --clock creation, or use a source whose events say when they arrived (a recording, rows of a warehouse, debug sessions of ldcli)"
    )]
    NoArrival(Fault),
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
    /// What is to be different cannot be taken.
    #[error("{0}")]
    Change(String),
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

/// The catalog that the events of some sources suggest, whatever one a recording among them holds.
///
/// # Errors
/// See [`Failure`].
pub fn infer(sources: Vec<Source>) -> Result<Catalog, Failure> {
    let request = Request { sources, ..Request::default() };
    let texts = request.sources.iter().map(|source| Text::open(source, &request, Reading::Once));
    let texts: Vec<Text> = texts.collect::<Result<_, _>>()?;
    let mapping = sources::recorded_mapping(&texts, &mut Vec::new()).unwrap_or_default();
    let flags = sources::recorded_flags(&texts)?;
    Ok(sources::infer(&texts, Inference::new(mapping).with_flags(flags.as_deref()))?)
}

/// The flags that passed by while a recording was made; none: it has none, or it comes through a pipe.
///
/// # Errors
/// See [`Failure`].
pub fn recorded_flags(source: &Source) -> Result<Option<Arc<Seen>>, Failure> {
    sources::flags_of(source)
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
    /// What else a person should know: a recording that ends in the middle, lines left out.
    pub notes: Vec<String>,
}

impl Read {
    /// The report.
    pub fn report(&self) -> Report {
        build::report(&self.state, &self.catalog)
    }
}

fn options(request: &Request, sources: &Sources) -> Options {
    // The parts of a recording are merged, and a retry may stand in another part than what it repeats.
    let keep_receipts = sources.texts.iter().any(Text::is_recording);
    Options {
        clock: request.clock,
        observed_from_ms: sources.observed_from_ms,
        segment_delivery_percent: request.segment_delivery_percent,
        keep_receipts,
        ..Options::default()
    }
}

/// Reads and judges everything. Large files of lines are judged in parts, side by side, and merged: the result is
/// the same, whatever the parts.
///
/// # Errors
/// See [`Failure`].
pub fn read(request: &Request) -> Result<Read, Failure> {
    let sources = open(request, Reading::Once)?;
    let judge = Arc::new(Judge::new(&sources.catalog));
    let new_state = || State::new(Arc::clone(&judge), options(request, &sources));
    let mut state = new_state();
    let mut faults = Faults::default();
    for text in &sources.texts {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = text.parts(cores)?;
        let reader = Reader::new(text, &sources.catalog.environment);
        if let [_, _, ..] = parts.as_slice() {
            let read_part = |part: &Part| -> Result<(State, Faults, u64), InputError> {
                let (mut state, mut faults) = (new_state(), Faults::default());
                let lines = part.pieces(|piece| reader.take(&mut state, piece, &mut faults, |_, _, _| {}))?;
                Ok((state, faults, lines))
            };
            let read_part = &read_part;
            let read: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = parts.iter().map(|part| scope.spawn(move || read_part(part))).collect();
                threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
            });
            let mut lines_before = 0;
            for part in read {
                let (part, found, lines) = match part {
                    Ok(part) => part?,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                state.merge(part);
                faults.add(found, lines_before);
                lines_before += lines;
            }
        } else {
            text.pieces(|piece| reader.take(&mut state, piece, &mut faults, |_, _, _| {}))?;
        }
    }
    finish(request, state, sources.catalog, sources.notes, faults)
}

/// Opens the sources, and sees to it that the clock asked for has something to go by.
fn open(request: &Request, reading: Reading) -> Result<Sources, Failure> {
    let sources = Sources::open(request, reading)?;
    if request.clock == Clock::Received
        && let Some(fault) = sources.without_arrival()?
    {
        return Err(Failure::NoArrival(fault));
    }
    Ok(sources)
}

fn finish(
    request: &Request,
    state: State,
    catalog: Catalog,
    mut notes: Vec<String>,
    faults: Faults,
) -> Result<Read, Failure> {
    let (unreadable, more) = faults.told();
    readable(request, &state, &unreadable)?;
    notes.extend(more);
    Ok(Read { state, catalog, unreadable, notes })
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
    let sources = open(request, Reading::Once)?;
    let catalog = &sources.catalog;
    let mut state = State::new(Arc::new(Judge::new(catalog)), options(request, &sources));
    let (mut judged, mut faults) = (Vec::new(), Faults::default());
    for text in &sources.texts {
        let reader = Reader::new(text, &catalog.environment);
        text.pieces(|piece| {
            reader.take(&mut state, piece, &mut faults, |state, envelope, received| {
                let (number, arrival) = (envelope.and_then(Envelope::number), envelope.and_then(Envelope::arrival));
                judged.push(Judged::new(state, &received, number, arrival));
            });
        })?;
    }
    let read = finish(request, state, sources.catalog, sources.notes, faults)?;
    for event in &judged {
        for row in verdicts::rows(&read.state, &read.catalog, event) {
            serde_json::to_writer(&mut *output, &row).map_err(io::Error::from)?;
            output.write_all(b"\n")?;
        }
    }
    output.flush()?;
    Ok(read)
}

/// Sources that can be gone through event by event, more than once: on the clock that judges and on the other one.
pub struct Passes {
    request: Request,
    sources: Sources,
    /// What the last reading had to say beside the events.
    told: RefCell<(Option<Unreadable>, Vec<String>)>,
}

impl Passes {
    /// Opens the sources. What can be read only once is held.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn open(request: &Request) -> Result<Self, Failure> {
        Ok(Self { request: request.clone(), sources: open(request, Reading::Twice)?, told: RefCell::default() })
    }

    /// The catalog that everything is judged by.
    pub fn catalog(&self) -> &Catalog {
        &self.sources.catalog
    }

    /// Sees to it that every event says when it arrived, as the received clock needs.
    ///
    /// # Errors
    /// The first that does not, or what cannot be read.
    pub fn need_arrivals(&self) -> Result<(), Failure> {
        match self.sources.without_arrival()? {
            Some(fault) => Err(Failure::NoArrival(fault)),
            None => Ok(()),
        }
    }

    /// A judgement of these events as what reading came to.
    pub fn read(&self, judgement: Judgement) -> Read {
        let (unreadable, notes) = self.told.take();
        Read { state: judgement.state, catalog: judgement.catalog, unreadable, notes }
    }

    /// Opens two that are to be held against each other: one without a catalog is judged by that of the other, and two
    /// without by what is inferred from both, so that both are measured by the same rule. Each keeps what its recording
    /// says of Segment's mapping. With them comes what a person should know of it.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn open_two(before: &Request, after: &Request) -> Result<(Self, Self, Option<String>), Failure> {
        let (mut before, mut after) = (Self::open(before)?, Self::open(after)?);
        let is_inferred = |passes: &Self| passes.sources.catalog.origin == Origin::Inferred;
        let names = |passes: &Self| passes.request.sources.iter().map(Source::name).collect::<Vec<_>>().join(", ");
        let words = |without: &Self, with: &Self| {
            format!("{} holds no catalog and is judged by that of {}", names(without), names(with))
        };
        let note = match (is_inferred(&before), is_inferred(&after)) {
            (false, false) => None,
            (true, false) => {
                before.take_catalog(after.catalog().clone());
                Some(words(&before, &after))
            }
            (false, true) => {
                after.take_catalog(before.catalog().clone());
                Some(words(&after, &before))
            }
            (true, true) => {
                let seen = before.sources.flags.as_ref().or(after.sources.flags.as_ref());
                let inference =
                    Inference::new(Arc::clone(&before.catalog().destination)).with_flags(seen.map(AsRef::as_ref));
                let texts = before.sources.texts.iter().chain(&after.sources.texts);
                let mut catalog = sources::infer(texts, inference)?;
                if let Some(flags) = &before.request.flags {
                    // What it has to say was noted when each was opened.
                    fill(&mut catalog, flags);
                }
                before.take_catalog(catalog.clone());
                after.take_catalog(catalog);
                None
            }
        };
        Ok((before, after, note))
    }

    fn take_catalog(&mut self, catalog: Catalog) {
        let destination = Arc::clone(&self.sources.catalog.destination);
        self.sources.catalog = Catalog { destination, ..catalog };
    }

    /// Reads and judges everything on a clock, in order, and hands on each event as it was taken in.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn events(
        &self,
        clock: Clock,
        visit: impl FnMut(&State, &Catalog, Arrival<'_>, intake::Received<'_, '_>),
    ) -> Result<Read, Failure> {
        self.events_by(&self.sources.catalog, clock, visit)
    }

    /// The same by another catalog.
    fn events_by(
        &self,
        catalog: &Catalog,
        clock: Clock,
        mut visit: impl FnMut(&State, &Catalog, Arrival<'_>, intake::Received<'_, '_>),
    ) -> Result<Read, Failure> {
        let Sources { texts, notes, .. } = &self.sources;
        let options = Options { clock, ..options(&self.request, &self.sources) };
        let mut state = State::new(Arc::new(Judge::new(catalog)), options);
        let mut faults = Faults::default();
        for text in texts {
            let name = text.name();
            let reader = Reader::new(text, &catalog.environment);
            text.pieces(|piece| {
                reader.take(&mut state, piece, &mut faults, |state, envelope, received| {
                    let source = envelope.map_or(Cow::Borrowed(name.as_str()), intake::sender);
                    let environment = envelope.map_or(EnvironmentMatch::Same, |envelope| {
                        intake::environment_of(envelope, &catalog.environment)
                    });
                    let arrival = Arrival {
                        request: envelope.and_then(Envelope::number),
                        arrival_ms: envelope.and_then(Envelope::arrival),
                        source: &source,
                        environment: received.environment(state, environment),
                    };
                    visit(state, catalog, arrival, received);
                });
            })?;
        }
        finish(&self.request, state, catalog.clone(), notes.clone(), faults)
    }
}

impl Events for Passes {
    type Error = Failure;

    fn judge(
        &self,
        catalog: &Catalog,
        clock: Clock,
        visit: &mut dyn FnMut(&State, &intake::Received<'_, '_>),
    ) -> Result<State, Failure> {
        let read = self.events_by(catalog, clock, |state, _, _, received| visit(state, &received))?;
        *self.told.borrow_mut() = (read.unreadable, read.notes);
        Ok(read.state)
    }
}

/// Events up to which a report has its fixes tried: each trial judges everything once more.
pub const TRIED_EVENTS: u64 = 100_000;

/// Puts beside the fixes of a report what they come to, where they can be tried: by a change of the catalog or of
/// Segment's mapping, on sources that can be read again and are not large. With them comes the smallest set of them
/// that brings most conversions back, or why none was looked for.
///
/// # Errors
/// See [`Failure`].
pub fn try_fixes(request: &Request, read: &Read, report: &mut Report) -> Result<(), Failure> {
    let untried = if !report.findings.iter().any(|finding| remedy::may_be_tried(finding, report, &read.catalog)) {
        Some(Fixes::none_to_try(report))
    } else if read.state.totals().events > TRIED_EVENTS {
        let most = grouped(TRIED_EVENTS);
        Some(Fixes::untried(report, format!("there are more than {most} events; exptap what-if --fixes tries them")))
    } else if !request.sources.iter().all(Source::can_be_read_again) {
        Some(Fixes::untried(report, "the events can be read only once; read from a file, they are tried"))
    } else {
        None
    };
    report.fixes = match untried {
        Some(untried) => Some(untried),
        None => {
            let passes = Passes::open(request)?;
            let base = Judgement::of(&passes, passes.catalog().clone(), request.clock)?;
            let mut bench = Bench::new(&passes, base);
            let fixes = plan::make(&mut bench, report)?.fixes;
            remedy::amend(&mut bench, report)?;
            Some(fixes)
        }
    };
    Ok(())
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
        let came = Came { request: arrival.request, arrival_ms: arrival.arrival_ms, source: arrival.source.into() };
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
