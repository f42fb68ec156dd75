//! The sources of a command, opened: what each is, and what it says of itself before anything is judged.

use super::{Failure, Fault, Request};
use crate::attribution::state::Clock;
use crate::bucketing::fill::fill;
use crate::bucketing::seen::Seen;
use crate::catalog::infer::Inference;
use crate::catalog::{Catalog, Given};
use crate::event::{Item, body};
use crate::input::{Chunk, InputError, Opened, Part, Piece, Source};
use crate::recording::{self, Header, Record};
use crate::segment::Destination;
use std::sync::{Arc, Mutex};

/// How often the events are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Once: what comes through a pipe need not be held.
    Once,
    /// More often.
    Twice,
}

/// A source.
pub(super) struct Text {
    source: Source,
    content: Content,
    /// The header, where it is a recording.
    pub(super) header: Option<Header>,
}

enum Content {
    /// A file that can be read as often as needed.
    Again,
    /// A pipe, opened and looked at; it can be read once.
    Once(Mutex<Option<Opened>>),
    /// What can be read only once and is looked at twice, because a catalog is inferred before anything is judged.
    Held { text: String, damage: Vec<Missing> },
}

impl Text {
    pub(super) fn open(source: &Source, request: &Request, reading: Reading) -> Result<Self, Failure> {
        let opened = source.open()?;
        let header = opened
            .first_line()
            .filter(|line| recording::is_header(line))
            .map(|line| recording::parse_header(line, &source.name()))
            .transpose()
            .map_err(|error| Failure::Recording { name: source.name(), error })?;
        let has_catalog = header.as_ref().is_some_and(|header| header.catalog.is_some());
        // A catalog is inferred, and the arrivals are looked at, before anything is judged.
        let is_inferred = request.catalog.is_none() && !has_catalog;
        let is_looked_at = request.clock == Clock::Received && header.is_none();
        let has_flags = header.as_ref().is_some_and(|header| header.has_flags);
        let content = if source.can_be_read_again() {
            Content::Again
        } else if is_inferred || is_looked_at || has_flags || reading == Reading::Twice {
            hold(opened)?
        } else {
            Content::Once(Mutex::new(Some(opened)))
        };
        Ok(Self { source: source.clone(), content, header })
    }

    pub(super) fn name(&self) -> String {
        self.source.name()
    }

    pub(super) fn is_recording(&self) -> bool {
        self.header.is_some()
    }

    /// Reads it piece by piece; returns how many line feeds were read.
    pub(super) fn pieces(&self, mut visit: impl FnMut(Piece<'_>)) -> Result<u64, InputError> {
        match &self.content {
            Content::Again => self.source.pieces(visit),
            Content::Once(opened) => {
                let opened = opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                opened.map_or(Ok(0), |opened| opened.pieces(visit))
            }
            Content::Held { text, damage } => {
                visit(Piece::Text(Chunk::whole(text)));
                for Missing { line, what, is_rest } in damage {
                    visit(if *is_rest { Piece::Damaged(*line, what) } else { Piece::LeftOut(*line, what) });
                }
                // Held text is not a part of anything: nobody counts on after it.
                Ok(0)
            }
        }
    }

    /// Cuts it into parts to be read side by side; none where that is not worth it.
    pub(super) fn parts(&self, count: usize) -> Result<Vec<Part>, InputError> {
        match self.content {
            Content::Again => self.source.parts(count),
            _ => Ok(Vec::new()),
        }
    }
}

/// Something that is missing in held text.
struct Missing {
    line: u64,
    what: String,
    is_rest: bool,
}

fn hold(opened: Opened) -> Result<Content, InputError> {
    let (mut text, mut damage) = (String::new(), Vec::new());
    opened.pieces(|piece| match piece {
        Piece::Text(chunk) => text.push_str(chunk.text),
        Piece::Damaged(line, what) => damage.push(Missing { line, what: what.to_owned(), is_rest: true }),
        Piece::LeftOut(line, what) => {
            damage.push(Missing { line, what: what.to_owned(), is_rest: false });
            // What comes behind it does not go on with a line that was cut off before it.
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
    })?;
    Ok(Content::Held { text, damage })
}

/// The sources, with what they agree on.
pub(super) struct Sources {
    pub(super) texts: Vec<Text>,
    /// The catalog to judge by.
    pub(super) catalog: Catalog,
    /// Since when everything was observed.
    pub(super) observed_from_ms: Option<i64>,
    /// The flags that passed by while recordings were made.
    pub(super) flags: Option<Arc<Seen>>,
    /// What is worth knowing about how they were put together.
    pub(super) notes: Vec<String>,
}

impl Sources {
    pub(super) fn open(request: &Request, reading: Reading) -> Result<Self, Failure> {
        let texts: Vec<Text> =
            request.sources.iter().map(|source| Text::open(source, request, reading)).collect::<Result<_, _>>()?;
        let mut notes = Vec::new();
        let named = Given { catalog: request.catalog.clone(), destination: request.mapping.clone(), flags: None };
        let recorded = Given {
            catalog: request.catalog.is_none().then(|| recorded_catalog(&texts, &mut notes)).flatten(),
            destination: request.mapping.is_none().then(|| recorded_mapping(&texts, &mut notes)).flatten(),
            flags: recorded_flags(&texts)?,
        };
        let mut given = named.or(recorded);
        // Flags that are named are the ones; what passed by is for what they do not say.
        if let (Some(catalog), Some(flags)) = (&mut given.catalog, &request.flags) {
            notes.extend(fill(catalog, flags));
        }
        notes.extend(given.remarks_on_flags());
        let flags = given.flags.clone();
        let catalog = match given.catalog() {
            Ok(catalog) => catalog,
            Err(inference) => {
                let mut catalog = infer(&texts, inference)?;
                if let Some(flags) = &request.flags {
                    notes.extend(fill(&mut catalog, flags));
                }
                catalog
            }
        };
        // What happened between two recordings nobody saw, so only since the latest beginning is everything known.
        let headers = || texts.iter().map(|text| text.header.as_ref());
        let before = std::iter::once(None).chain(headers());
        // But a recording that was put aside in parts is one, where each part follows the one before it.
        let begins = headers().zip(before).filter_map(|(header, before)| {
            header.filter(|header| !before.is_some_and(|before| header.goes_on_from(before)))
        });
        let recorded = begins.filter_map(|header| header.observed_from_ms).max();
        Ok(Self { observed_from_ms: request.observed_from_ms.or(recorded), texts, catalog, flags, notes })
    }
}

impl Sources {
    /// The first event that is judged and does not say when it arrived. The received clock needs the arrival of each:
    /// one without would be judged by another clock than the rest.
    pub(super) fn without_arrival(&self) -> Result<Option<Fault>, InputError> {
        for text in self.texts.iter().filter(|text| !text.is_recording()) {
            let mut without = None;
            text.pieces(|piece| {
                let Piece::Text(chunk) = piece else { return };
                body::items(chunk.text, |item| match item {
                    Item::Event { event, offset }
                        if without.is_none() && event.kind.is_judged() && event.received_ms().is_none() =>
                    {
                        let (line, byte) = chunk.place(offset);
                        let reason =
                            "--clock received needs the arrival of every event, and this one carries none".to_owned();
                        without = Some(Fault { source: text.name(), line, byte: Some(byte), reason });
                    }
                    _ => {}
                });
            })?;
            if without.is_some() {
                return Ok(without);
            }
        }
        Ok(None)
    }
}

/// The flags that passed by while recordings were made; none: there are none.
pub(super) fn recorded_flags(texts: &[Text]) -> Result<Option<Arc<Seen>>, InputError> {
    let mut seen = Seen::default();
    for text in texts.iter().filter(|text| text.header.as_ref().is_some_and(|header| header.has_flags)) {
        text.pieces(|piece| take_flags(&mut seen, piece))?;
    }
    Ok((!seen.is_empty()).then(|| Arc::new(seen)))
}

/// The flags that passed by while a recording was made; none: it has none, or can be read only once.
///
/// # Errors
/// See [`Failure`].
pub(super) fn flags_of(source: &Source) -> Result<Option<Arc<Seen>>, Failure> {
    if !source.can_be_read_again() {
        return Ok(None);
    }
    let request = Request { sources: vec![source.clone()], ..Request::default() };
    Ok(recorded_flags(&[Text::open(source, &request, Reading::Once)?])?)
}

fn take_flags(seen: &mut Seen, piece: Piece<'_>) {
    let Piece::Text(chunk) = piece else { return };
    // Nothing else has this so early, so that the other lines need not be parsed.
    let may_be =
        |line: &&str| line.starts_with("{\"t\":") && line.get(..40).is_some_and(|it| it.contains("\"flags\":["));
    for line in chunk.text.lines().filter(may_be) {
        if let Ok(Record::Flags(flags)) = recording::parse_line(line) {
            seen.take_json(&flags.json);
        }
    }
}

fn recorded_catalog(texts: &[Text], notes: &mut Vec<String>) -> Option<Catalog> {
    let mut recorded = texts.iter().filter_map(|text| Some((text, text.header.as_ref()?.catalog.as_ref()?)));
    let (first, catalog) = recorded.next()?;
    if let Some((other, _)) = recorded.find(|(_, other)| *other != catalog) {
        notes.push(format!(
            "{} holds another catalog than {}; everything is judged by that of {} (--catalog FILE names another)",
            other.name(),
            first.name(),
            first.name()
        ));
    }
    Some(catalog.clone())
}

pub(super) fn recorded_mapping(texts: &[Text], notes: &mut Vec<String>) -> Option<Arc<Destination>> {
    let mut recorded = texts.iter().filter_map(|text| Some((text, text.header.as_ref()?.given().destination?)));
    let (first, mapping) = recorded.next()?;
    if let Some((other, _)) = recorded.find(|(_, other)| *other != mapping) {
        notes.push(format!(
            "{} holds another Segment mapping than {}; everything is mapped by that of {} (--mapping FILE names another)",
            other.name(),
            first.name(),
            first.name()
        ));
    }
    Some(mapping)
}

/// The catalog that the events suggest, whatever one a recording holds.
pub(super) fn infer<'a>(
    texts: impl IntoIterator<Item = &'a Text>,
    mut inference: Inference,
) -> Result<Catalog, InputError> {
    for text in texts {
        text.pieces(|piece| {
            let Piece::Text(chunk) = piece else { return };
            if !text.is_recording() {
                body::items(chunk.text, |item| inference.observe_item(&item));
                return;
            }
            for line in chunk.text.lines() {
                if let Ok(Record::Request(envelope)) = recording::parse_line(line) {
                    inference.observe_request(&envelope);
                }
            }
        })?;
    }
    Ok(inference.catalog())
}
