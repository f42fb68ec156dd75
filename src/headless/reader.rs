//! From the pieces of a source into the state of attribution.

use super::sources::Text;
use super::{Fault, Unreadable};
use crate::attribution::state::State;
use crate::catalog::Environment;
use crate::envelope::Envelope;
use crate::input::{Chunk, Piece};
use crate::intake::{self, Received};
use crate::recording::{self, Gap, Header, LineError, Record};

/// How many damaged lines of a recording are told one by one.
const TOLD: usize = 3;

/// What was wrong with what was read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Events that could not be read.
    unreadable: Option<Unreadable>,
    /// Lines of a recording that were left out: the first few.
    damaged: Vec<Fault>,
    damaged_lines: u64,
    /// Where a source ends before its end.
    broken_off: Vec<Fault>,
}

impl Faults {
    /// Adds what was found in a later part, of which the lines were counted from 1.
    pub(super) fn add(&mut self, mut more: Self, lines_before: u64) {
        let later = more.damaged.iter_mut().chain(&mut more.broken_off);
        later.chain(more.unreadable.as_mut().map(|bad| &mut bad.first)).for_each(|fault| fault.line += lines_before);
        match (&mut self.unreadable, more.unreadable) {
            (Some(all), Some(more)) => all.count += more.count,
            (all @ None, more) => *all = more,
            (Some(_), None) => {}
        }
        self.damaged_lines += more.damaged_lines;
        self.damaged.extend(more.damaged);
        self.damaged.truncate(TOLD);
        self.broken_off.extend(more.broken_off);
    }

    /// Counts an event that could not be read; only of the first is it worth knowing where it is.
    fn note(&mut self, fault: impl FnOnce() -> Fault) {
        match &mut self.unreadable {
            Some(unreadable) => unreadable.count += 1,
            None => self.unreadable = Some(Unreadable { count: 1, first: fault() }),
        }
    }

    fn damaged(&mut self, fault: Fault) {
        self.damaged_lines += 1;
        if self.damaged.len() < TOLD {
            self.damaged.push(fault);
        }
    }

    /// What could not be read, and what else a person should know.
    pub(super) fn told(self) -> (Option<Unreadable>, Vec<String>) {
        let mut notes: Vec<String> = Vec::new();
        if self.damaged_lines > 0 {
            let first = self.damaged.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let (lines, verb) = if self.damaged_lines == 1 { ("line", "is") } else { ("lines", "are") };
            let more = if self.damaged_lines > TOLD as u64 { "; …" } else { "" };
            notes.push(format!(
                "{} damaged {lines} of the recording {verb} left out and counted as lost: {first}{more}",
                self.damaged_lines
            ));
        }
        notes.extend(self.broken_off.iter().map(ToString::to_string));
        (self.unreadable, notes)
    }
}

/// Reads one source, or one part of it.
pub(super) struct Reader<'a> {
    name: String,
    environment: &'a Environment,
    header: Option<&'a Header>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a Text, environment: &'a Environment) -> Self {
        Self { name: text.name(), environment, header: text.header.as_ref() }
    }

    /// Takes in a piece.
    pub(super) fn take(
        &self,
        state: &mut State,
        piece: Piece<'_>,
        faults: &mut Faults,
        mut visit: impl FnMut(&State, Option<&Envelope>, Received<'_, '_>),
    ) {
        match piece {
            Piece::Text(chunk) if self.header.is_some() => self.records(state, chunk, faults, visit),
            Piece::Text(chunk) => intake::plain(state, &self.name, chunk.text, |state, received| {
                if let Received::Unreadable { unreadable, .. } = &received {
                    faults.note(|| {
                        let (line, byte) = chunk.place(unreadable.offset);
                        self.fault(line, Some(byte), &unreadable.reason)
                    });
                }
                visit(state, None, received);
            }),
            // Of how many requests the place is left empty nobody can know: one at the least.
            Piece::LeftOut(line, what) if self.header.is_some() => {
                state.lost(1);
                faults.broken_off.push(self.fault(line, None, what));
            }
            Piece::Damaged(line, what) if self.header.is_some() => {
                faults.broken_off.push(self.fault(line, None, &format!("{what}; what comes before it was read")));
            }
            Piece::LeftOut(line, what) | Piece::Damaged(line, what) => {
                faults.note(|| self.fault(line, None, what));
                intake::damaged(state, &self.name, what, |state, received| visit(state, None, received));
            }
        }
    }

    fn records(
        &self,
        state: &mut State,
        chunk: Chunk<'_>,
        faults: &mut Faults,
        mut visit: impl FnMut(&State, Option<&Envelope>, Received<'_, '_>),
    ) {
        for (line, text) in chunk.lines() {
            let content = text.trim();
            if content.is_empty() {
                continue;
            }
            // A recording that was gone on with, or two put together, have a header within: in between nobody observed.
            if recording::is_header(content) {
                if recording::parse_header(content, &self.name).ok().as_ref() != self.header {
                    state.interrupted();
                }
                continue;
            }
            match recording::parse_line(content) {
                Ok(Record::Request(envelope)) => {
                    intake::envelope(state, self.environment, &envelope, |state, received| {
                        if let Received::Unreadable { unreadable, .. } = &received {
                            let place = format!("request {}, byte {}", envelope.request, unreadable.offset);
                            faults.note(|| self.fault(line, None, &format!("{place}: {}", unreadable.reason)));
                        }
                        visit(state, Some(&envelope), received);
                    });
                }
                // Of some gaps nobody knows how many requests they are.
                Ok(Record::Gap(Gap { lost: 0, .. })) => state.interrupted(),
                Ok(Record::Gap(gap)) => state.lost(gap.lost),
                // What flags there are was read before anything was judged.
                Ok(Record::Mark(_) | Record::Flags(_) | Record::Unknown) => {}
                // A recording that was cut off, by a crash or because it is still being written, ends like this.
                Err(_) if !text.ends_with('\n') => {
                    let what = "the recording ends in the middle of this line: 1 record is left out";
                    faults.broken_off.push(self.fault(line, None, what));
                }
                Err(error) => {
                    state.lost(1);
                    let byte =
                        if let LineError::Json { offset, .. } = &error { Some(*offset as u64 + 1) } else { None };
                    faults.damaged(self.fault(line, byte, &error.to_string()));
                }
            }
        }
    }

    fn fault(&self, line: u64, byte: Option<u64>, reason: &str) -> Fault {
        Fault { source: self.name.clone(), line, byte, reason: reason.to_owned() }
    }
}
