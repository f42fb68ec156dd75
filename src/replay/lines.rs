//! From the text of a recording to its records, one at a time.

use super::file::{Got, RecordingFile};
use crate::input::MAX_LINE_BYTES;
use crate::recording::{self, Header, LineError, Record};
use std::io;

/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// A line of the recording as a record, or why it is none.
#[derive(Clone, Debug)]
// One at a time is looked at, on the stack; a box would be an allocation per record.
#[allow(clippy::large_enum_variant)]
pub(super) enum Entry {
    /// A record.
    Record(Record),
    /// A line that is damaged: what it held is lost.
    Damaged(LineError),
    /// A part of the file is damaged: what is wrong with it.
    LeftOut(String),
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// The line that comes next, from 1.
    pub(super) line: u64,
    /// Something is missing right before it, and that was told.
    is_past_hole: bool,
}

impl Place {
    /// The beginning.
    pub(super) const BEGINNING: Self = Self { offset: 0, line: 1, is_past_hole: false };
}

/// What stands next in the recording.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) entry: Entry,
    /// The number of its line, if lines were counted from the beginning.
    pub(super) line: u64,
}

impl Next {
    /// Its arrival, as far as it has one.
    pub(super) fn t_ms(&self) -> Option<i64> {
        match &self.entry {
            Entry::Record(Record::Request(envelope)) => Some(envelope.arrival_ms),
            Entry::Record(Record::Mark(mark)) => Some(mark.t_ms),
            Entry::Record(Record::Gap(gap)) => Some(gap.t_ms),
            Entry::Record(Record::Flags(flags)) => Some(flags.t_ms),
            Entry::Record(Record::Unknown) | Entry::Damaged(_) | Entry::LeftOut(_) => None,
        }
    }

    pub(super) fn is_request(&self) -> bool {
        matches!(self.entry, Entry::Record(Record::Request(_)))
    }
}

/// What the end of a recording is like.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Remark {
    /// It ends in the middle of this line.
    BrokenOff(u64),
    /// This line is longer than any that is read.
    TooLong(u64),
    /// The header of a recording that was gone on with, or put together with another; none if it is damaged. No
    /// record, and no position of its own.
    Header(Option<Box<Header>>),
}

/// What reading on came to.
#[derive(Debug)]
// One at a time is looked at, on the stack; a box would be an allocation per record.
#[allow(clippy::large_enum_variant)]
pub(super) enum Step {
    /// A record or a damaged line.
    Next(Next),
    /// A line that is no record and no loss.
    Remark(Remark),
    /// The end.
    End,
    /// There is no more yet.
    Waiting,
}

/// A place in the recording, going forward.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Where the line stands that comes next.
    place: Place,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins, and up to where its end was looked for.
    start: usize,
    searched: usize,
    at_end: bool,
    /// Behind what is held something is missing: where reading goes on, and what is wrong.
    hole: Option<(u64, String)>,
    /// The rest of a line that is too long is passed over.
    is_skipping: bool,
}

impl Cursor {
    /// At a line that begins at this offset.
    pub(super) fn at(place: Place) -> Self {
        Self { place, hole: None, buffer: Vec::new(), start: 0, searched: 0, at_end: false, is_skipping: false }
    }

    /// Where the line stands that comes next.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Reads on, to the next record.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn next(&mut self, file: &mut RecordingFile) -> io::Result<Step> {
        loop {
            let (end, is_whole) = match memchr::memchr(b'\n', self.buffer.get(self.searched..).unwrap_or_default()) {
                Some(at) => (self.searched + at + 1, true),
                None => {
                    self.searched = self.buffer.len();
                    if self.start == self.buffer.len()
                        && let Some((to, what)) = self.hole.take()
                    {
                        self.place = Place { offset: to, is_past_hole: true, ..self.place };
                        return Ok(Step::Next(Next { entry: Entry::LeftOut(what), line: self.place.line }));
                    }
                    if self.at_end && self.start == self.buffer.len() {
                        return Ok(Step::End);
                    }
                    if self.at_end || (self.hole.is_some() && !self.is_skipping) {
                        (self.buffer.len(), false)
                    } else if self.is_skipping || self.buffer.len() - self.start > MAX_LINE_BYTES {
                        let remark = (!self.is_skipping).then_some(Remark::TooLong(self.place.line));
                        self.is_skipping = true;
                        self.place.offset += (self.buffer.len() - self.start) as u64;
                        self.start = self.buffer.len();
                        if let Some(remark) = remark {
                            return Ok(Step::Remark(remark));
                        }
                        if !self.read_more(file)? {
                            return Ok(Step::Waiting);
                        }
                        continue;
                    } else {
                        if !self.read_more(file)? {
                            return Ok(Step::Waiting);
                        }
                        continue;
                    }
                }
            };
            let line = self.buffer.get(self.start..end).unwrap_or_default();
            let was_skipping = std::mem::take(&mut self.is_skipping);
            let number = self.place.line;
            let step = if was_skipping { None } else { read(line, is_whole, number) };
            self.place.offset += (end - self.start) as u64;
            self.place.line += u64::from(is_whole);
            self.place.is_past_hole &= end == self.start;
            (self.start, self.searched) = (end, end);
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// False: there is no more yet.
    fn read_more(&mut self, file: &mut RecordingFile) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        let before = self.buffer.len();
        // Of a long line as much again, so that it is not moved about more than it takes.
        self.buffer.resize(before + READ_BYTES.max(before), 0);
        let place = self.place;
        let is_past_hole = place.is_past_hole && before == 0;
        let rest = self.buffer.get_mut(before..).unwrap_or_default();
        let got = file.read_at(place.offset + before as u64, is_past_hole, rest);
        let bytes = if let Ok(Got::Bytes(bytes)) = got { bytes } else { 0 };
        self.buffer.truncate(before + bytes);
        match got? {
            Got::Waiting => return Ok(false),
            Got::Hole { to, what } => self.hole = Some((to, what)),
            Got::End => self.at_end = true,
            Got::Bytes(_) => {}
        }
        Ok(true)
    }
}

/// What a line is. None: nothing; it is blank, or the header.
fn read(line: &[u8], is_whole: bool, number: u64) -> Option<Step> {
    let text = String::from_utf8_lossy(line);
    let content = text.trim();
    if content.is_empty() {
        return None;
    }
    if recording::is_header(content) {
        let header = || recording::parse_header(content, "").ok().map(Box::new);
        return (number > 1).then(|| Step::Remark(Remark::Header(header())));
    }
    Some(match recording::parse_line(content) {
        Ok(record) => Step::Next(Next { entry: Entry::Record(record), line: number }),
        Err(_) if !is_whole => Step::Remark(Remark::BrokenOff(number)),
        Err(error) => Step::Next(Next { entry: Entry::Damaged(error), line: number }),
    })
}
