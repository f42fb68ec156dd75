//! A session with its place in the recording.
//!
//! There is one way to take in a record, and everything goes it: time passes up to the record, as it did while it
//! was recorded, so that what was due before is decided before; then the record is taken in. So what a session shows
//! depends on its position only, and not on how it got there.

use super::file::RecordingFile;
use super::lines::{Cursor, Entry, Next, Place, Remark, Step};
use crate::recording::{Header, LineError, Record};
use crate::session::Session;
use std::io;

/// A session, and what comes next.
pub(super) struct Head {
    pub(super) session: Session,
    /// Records taken in.
    pub(super) position: u64,
    /// The latest arrival among them.
    pub(super) time_ms: Option<i64>,
    /// Whether the list goes back as far as it is meant to.
    pub(super) is_filled: bool,
    cursor: Cursor,
    /// Right behind the last record: a fork passes once more what stands between it and the next.
    place: Place,
    peeked: Option<Next>,
    /// Whether another header was passed on the way to what comes next.
    is_interrupted: bool,
}

/// A record that was taken in, as far as the index asks.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) what: What,
    /// Events it came to.
    pub(super) events: u64,
    /// The latest arrival so far.
    pub(super) time_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) enum What {
    Request,
    Mark(String),
    Gap(u64, String),
    Damaged(u64, LineError),
    /// From this line on something is missing: what is wrong.
    LeftOut(u64, String),
    Unknown,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) t_ms: Option<i64>,
}

/// What going on came to.
#[derive(Debug)]
pub(super) enum Gone {
    On(Seen),
    Remark(Remark),
    End,
    Waiting,
}

impl Head {
    pub(super) fn new(session: Session, position: u64, place: Place, time_ms: Option<i64>, is_filled: bool) -> Self {
        let cursor = Cursor::at(place);
        Self { session, position, time_ms, is_filled, cursor, place, peeked: None, is_interrupted: false }
    }

    /// Another one that goes on from here. It shares what neither changes.
    pub(super) fn fork(&self) -> Self {
        Self::new(self.session.clone(), self.position, self.place, self.time_ms, self.is_filled)
    }

    /// Where the next record's line is looked for.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Events taken in.
    pub(super) fn events(&self) -> u64 {
        self.session.state().totals().events
    }

    /// The same header again is one recording put together from its parts; another one is a time in between of which
    /// nobody knows anything.
    fn pass_header(&mut self, header: Option<&Header>, file: &RecordingFile) {
        self.is_interrupted |= header != Some(file.header());
    }

    /// Whether another header stands between the last record and where reading is.
    pub(super) fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }

    fn interrupt(&mut self) {
        if std::mem::take(&mut self.is_interrupted) {
            self.session.interrupt();
        }
    }

    /// What comes next: at what time it is to be taken in, if it says so. None: nothing, or nothing yet.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn peek(&mut self, file: &mut RecordingFile) -> io::Result<Option<Coming>> {
        while self.peeked.is_none() {
            match self.cursor.next(file)? {
                Step::Next(next) => self.peeked = Some(next),
                Step::Remark(Remark::Header(header)) => self.pass_header(header.as_deref(), file),
                Step::Remark(_) => {}
                Step::End | Step::Waiting => return Ok(None),
            }
        }
        let t_ms = self.peeked.as_ref().and_then(Next::t_ms);
        Ok(Some(Coming { t_ms: t_ms.max(self.time_ms) }))
    }

    /// Takes in the next record; without rows, as if they had scrolled out.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn step(&mut self, file: &mut RecordingFile, with_rows: bool) -> io::Result<Gone> {
        let next = loop {
            if let Some(next) = self.peeked.take() {
                break next;
            }
            match self.cursor.next(file)? {
                Step::Next(next) => break next,
                Step::Remark(Remark::Header(header)) => self.pass_header(header.as_deref(), file),
                Step::Remark(remark) => return Ok(Gone::Remark(remark)),
                Step::End => return Ok(Gone::End),
                Step::Waiting => return Ok(Gone::Waiting),
            }
        };
        self.interrupt();
        self.place = self.cursor.place();
        self.position += 1;
        self.time_ms = next.t_ms().max(self.time_ms);
        if let Some(time_ms) = self.time_ms {
            self.session.advance(time_ms);
        }
        let before = self.events();
        let what = match next.entry {
            Entry::Record(Record::Request(envelope)) => {
                if with_rows {
                    self.session.receive_owned(envelope);
                } else {
                    self.session.pass(&envelope);
                }
                What::Request
            }
            Entry::Record(Record::Gap(gap)) => {
                match gap.lost {
                    // Of some gaps nobody knows how many requests they are.
                    0 => self.session.interrupt(),
                    lost => self.session.lose(lost),
                }
                What::Gap(gap.lost, gap.why)
            }
            Entry::Record(Record::Mark(mark)) => What::Mark(mark.note),
            // What flags there are was read before anything was judged.
            Entry::Record(Record::Flags(_) | Record::Unknown) => What::Unknown,
            Entry::Damaged(error) => {
                self.session.lose(1);
                What::Damaged(next.line, error)
            }
            // How many requests it was nobody can know: one at the least.
            Entry::LeftOut(what) => {
                self.session.lose(1);
                What::LeftOut(next.line, what)
            }
        };
        Ok(Gone::On(Seen { what, events: self.events() - before, time_ms: self.time_ms }))
    }
}

/// What was there when it was read is there no more.
pub(super) fn cut_short() -> io::Error {
    io::Error::other("it ends before what was read of it already; it was cut or replaced")
}
