//! Redaction: a copy of what was received that gives the same verdicts and says nothing of anybody.
//!
//! Everything is replaced that is not known to be harmless: values by [stand-ins](StandIns), numbers by 0, what cannot
//! be read by filler. What stays is the vocabulary verdicts are made of (keys of events, flags, experiments and
//! metrics, context kinds, times, variations, reasons), the structure, and what the catalog needs to come to the same:
//! all of it is counted in a [`List`]. The key of the stand-ins comes in from outside, as does everything else.

mod address;
mod catalog;
mod event;
mod list;
mod pen;
mod plan;
mod request;
mod segment;
mod standin;
mod text;

pub use list::{List, Sort};
pub use plan::Refusal;
pub use standin::{Key, StandIns};

use crate::attribution::filter::attribute_path;
use crate::catalog::Catalog;
use crate::envelope::Envelope;
use crate::recording::{self, Gap, Header, Mark, Record};
use crate::segment::Destination;
use foldhash::fast::FixedState;
use pen::Pen;
use plan::Plan;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use text::Reading;

/// Something to keep that would be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// An attribute of contexts of any kind.
    Attribute(Vec<String>),
    /// A property of the data of events.
    Data(Vec<String>),
    /// Context keys.
    Keys,
    /// Addresses of pages.
    Urls,
    /// Flag values and defaults.
    Values,
    /// Notes, and reasons of gaps.
    Notes,
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = |reference: &str| {
            attribute_path(reference).ok_or_else(|| {
                format!("{reference:?} is not the name of an attribute, nor a path such as /address/country")
            })
        };
        match text.split_once(':') {
            // What is kept of a key in one place and replaced in another would no longer be one unit.
            Some(("attribute", "key" | "/key")) => Ok(Self::Keys),
            Some(("attribute", reference)) => path(reference).map(Self::Attribute),
            Some(("data", reference)) => path(reference).map(Self::Data),
            _ => match text {
                "keys" => Ok(Self::Keys),
                "urls" => Ok(Self::Urls),
                "values" => Ok(Self::Values),
                "notes" => Ok(Self::Notes),
                _ => Err("expected attribute:NAME, data:NAME, keys, urls, values or notes".to_owned()),
            },
        }
    }
}

/// Bodies that came under one payload id, and by how many spaces each is told apart.
type Bodies = SmallVec<[(u64, u32); 1]>;

/// Redacts one source, from its beginning to its end.
#[derive(Debug)]
pub struct Redactor {
    stand_ins: StandIns,
    plan: Plan,
    list: List,
    bodies: HashMap<u64, Bodies, FixedState>,
    /// What Segment's destination makes of Segment events.
    destination: Arc<Destination>,
    value_paths: Vec<String>,
    key_paths: Vec<String>,
    /// When the last record was made.
    last_ms: i64,
}

impl Redactor {
    /// For a source that is judged by a catalog, if there is one. `travels`: the catalog is part of the source, as
    /// that of a recording is, and is redacted with it; otherwise whoever judges has it as it is.
    ///
    /// # Errors
    /// Where the verdicts cannot be kept.
    pub fn new(key: &Key, catalog: Option<&Catalog>, travels: bool, keep: &[Keep]) -> Result<Self, Refusal> {
        Ok(Self {
            stand_ins: StandIns::new(key),
            plan: Plan::new(catalog, travels, keep)?,
            list: List::default(),
            bodies: HashMap::default(),
            destination: Arc::default(),
            value_paths: Vec::new(),
            key_paths: Vec::new(),
            last_ms: 0,
        }
        .mapped_by(catalog.map(|catalog| Arc::clone(&catalog.destination)).unwrap_or_default()))
    }

    /// For events of Segment's, of which a destination that is set up like this makes what is judged.
    #[must_use]
    pub fn mapped_by(self, destination: Arc<Destination>) -> Self {
        Self { value_paths: destination.value_paths(), key_paths: destination.key_paths(), destination, ..self }
    }

    /// What was replaced and kept so far.
    pub fn list(&self) -> &List {
        &self.list
    }

    /// What stands for a value.
    pub fn stand_ins(&self) -> &StandIns {
        &self.stand_ins
    }

    fn pen(&mut self) -> Pen<'_> {
        Pen {
            stand_ins: &self.stand_ins,
            plan: &self.plan,
            list: &mut self.list,
            value_paths: &self.value_paths,
            key_paths: &self.key_paths,
            on_one_line: false,
            out: String::new(),
        }
    }

    /// A text, of a request or of none.
    fn text(&mut self, text: &str, reading: Reading, envelope: Option<&Envelope>) -> String {
        let before = self.list.of_segment;
        let mut pen = self.pen();
        pen.whole_text(text, reading);
        let copy = pen.out;
        if self.list.of_segment > before || reading.door().is_some() {
            self.compare_fates(text, &copy, reading, envelope);
        }
        copy
    }

    /// A piece of a file of plain events.
    pub fn plain(&mut self, text: &str) -> String {
        self.text(text, Reading::File, None)
    }

    /// In the place of the end of plain events that cannot be read: one unreadable line.
    pub fn damaged(&mut self) -> String {
        self.list.unreadable += 1;
        self.list.replaced(Sort::Unreadable);
        format!("\n{}\n", text::filler(1))
    }

    fn note(&mut self, note: &str) -> String {
        if self.plan.keeps(&Keep::Notes) {
            self.list.kept("notes and reasons: asked for");
            return note.to_owned();
        }
        address::counted(&self.stand_ins, &mut self.list, Sort::Note, note).into_owned()
    }

    /// The header of a recording.
    pub fn header(&mut self, header: &Header) -> Header {
        let is_own = |tool: &&String| {
            let version = tool.strip_prefix("exptap ").filter(|version| version.len() <= 24);
            version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        };
        self.last_ms = header.created_ms.unwrap_or_default();
        Header {
            created_ms: header.created_ms,
            observed_from_ms: header.observed_from_ms,
            tool: header.tool.as_ref().filter(is_own).cloned(),
            note: header.note.as_ref().map(|note| self.note(note)),
            catalog: header.catalog.as_ref().map(|catalog| self.catalog(catalog)),
            mapping: header.mapping.as_ref().map(|mapping| self.mapping(mapping)),
            redacted: true,
            // A name that exptap made says nothing of anybody; another one might.
            part: header
                .part
                .clone()
                .filter(|part| part.of.len() == 16 && part.of.bytes().all(|byte| byte.is_ascii_hexdigit())),
            has_flags: header.has_flags && self.plan.keep.contains(&Keep::Keys),
        }
    }

    /// Requests of a recording that are missing where it is damaged.
    pub fn loss(&mut self, lost: u64, out: &mut Vec<u8>) {
        let why = "this part of the recording is damaged".to_owned();
        recording::write_gap(out, &Gap { t_ms: self.last_ms, lost, why });
    }

    /// A line of a recording after the header, written anew. A line that cannot be read becomes the gap it is.
    pub fn line(&mut self, line: &str, out: &mut Vec<u8>) {
        let content = line.trim();
        if content.is_empty() {
            return;
        }
        // A recording that was gone on with has a header within, and nobody observed in between. One that cannot be
        // read says as much.
        if recording::is_header(content) {
            let header = recording::parse_header(content, "").unwrap_or_default();
            recording::write_header(out, &self.header(&header));
            return;
        }
        match recording::parse_line(content) {
            Ok(Record::Request(envelope)) => {
                self.last_ms = envelope.arrival_ms;
                let redacted = self.envelope(&envelope);
                recording::write_request(out, &redacted);
            }
            Ok(Record::Mark(mark)) => {
                let note = self.note(&mark.note);
                recording::write_mark(out, &Mark { t_ms: mark.t_ms, note });
            }
            Ok(Record::Gap(gap)) => {
                let why = self.note(&gap.why);
                recording::write_gap(out, &Gap { t_ms: gap.t_ms, lost: gap.lost, why });
            }
            // They name nobody, and prove nothing about other keys than those that were sent.
            Ok(Record::Flags(flags)) if self.plan.keep.contains(&Keep::Keys) => recording::write_flags(out, &flags),
            Ok(Record::Flags(_) | Record::Unknown) => self.list.replaced(Sort::Record),
            // Not a loss: a recording that was cut off ends like this.
            Err(_) if !line.ends_with('\n') => self.list.replaced(Sort::Record),
            Err(_) => {
                self.list.replaced(Sort::Record);
                let why = "a damaged line, left out when the recording was redacted".to_owned();
                recording::write_gap(out, &Gap { t_ms: self.last_ms, lost: 1, why });
            }
        }
    }
}
