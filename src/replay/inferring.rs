//! Without a catalog: one is inferred from the whole recording, before anything of it is judged, as `exptap report`
//! does.

use super::file::RecordingFile;
use super::head::{Gone, Head};
use super::lines::{Cursor, Entry, Next, Place, Step};
use crate::catalog::Catalog;
use crate::catalog::infer::Inference;
use crate::recording::Record;
use crate::session::{Session, SessionOptions};
use std::io;

/// Records that are shown meanwhile.
const BEGINNING: u64 = 200;
/// Records looked at in a slice.
const SLICE_RECORDS: u32 = 500;
/// Bytes looked at in a slice.
const SLICE_BYTES: u64 = 1024 * 1024;

pub(super) struct Inferring {
    cursor: Cursor,
    inference: Inference,
    records: u64,
    is_beginning_shown: bool,
}

impl Inferring {
    pub(super) fn new(inference: Inference) -> Self {
        Self { cursor: Cursor::at(Place::BEGINNING), inference, records: 0, is_beginning_shown: false }
    }
}

/// What a slice came to.
pub(super) enum Inferred {
    /// There is more to look at.
    NotYet,
    /// A pipe has nothing to say.
    Waiting,
    /// The beginning, by what it suggests itself.
    Beginning(Box<Head>),
    /// All of it was looked at.
    Catalog(Box<Catalog>),
}

impl Inferring {
    pub(super) fn offset(&self) -> u64 {
        self.cursor.place().offset
    }

    pub(super) fn slice(&mut self, file: &mut RecordingFile, options: SessionOptions) -> io::Result<Inferred> {
        let until = self.cursor.place().offset + SLICE_BYTES;
        for _ in 0..SLICE_RECORDS {
            match self.cursor.next(file)? {
                Step::Next(Next { entry, .. }) => {
                    self.records += 1;
                    if let Entry::Record(Record::Request(envelope)) = entry {
                        self.inference.observe_request(&envelope);
                    }
                }
                Step::Remark(_) => {}
                Step::End => return Ok(Inferred::Catalog(Box::new(self.inference.catalog()))),
                Step::Waiting => return Ok(Inferred::Waiting),
            }
            if self.records >= BEGINNING && !self.is_beginning_shown {
                self.is_beginning_shown = true;
                let session = Session::new(Some(self.inference.catalog()), options);
                let mut head = Head::new(session, 0, Place::BEGINNING, None, false);
                while head.position < self.records {
                    if let Gone::End | Gone::Waiting = head.step(file, true)? {
                        break;
                    }
                }
                return Ok(Inferred::Beginning(Box::new(head)));
            }
            if self.cursor.place().offset >= until {
                break;
            }
        }
        Ok(Inferred::NotYet)
    }
}
