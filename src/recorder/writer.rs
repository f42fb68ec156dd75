//! From records to a file, and what is done where the file fails.
//!
//! The writer knows neither threads nor clocks: it is told what to record and what time it is, and says until when it
//! can be left alone. That makes every fault repeatable.

use super::open::{self, Opened, Refusal, words};
use super::storage::{Identity, Named, Storage};
use super::{Moved, Rotate, Snapshot, State};
use crate::envelope::Envelope;
use crate::recording::frames;
use crate::recording::{self, Flags, Gap, Header, Mark, Part};
use crate::segment::write_key;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// A frame is written when it is so old, or so large.
const FRAME_AGE: Duration = Duration::from_secs(1);
const FRAME_BYTES: usize = 1024 * 1024;
/// zstd's own default: a sixth of the size of real events, at some hundred megabytes a second.
const LEVEL: i32 = 3;
/// What was written is on the disk so much later at the latest, power cut or not.
const SYNC_AGE: Duration = Duration::from_secs(5);
/// How often it is looked whether the file is still where it was.
const LOOK: Duration = Duration::from_secs(1);
/// More files than that are not put aside within a second.
const NAMES_TRIED: u32 = 1000;

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) epoch_ms: i64,
    pub(super) instant: Instant,
}

/// Lines that are to be written together.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    requests: u64,
    marks: u64,
    /// Requests that gaps among them account for.
    lost: u64,
    /// When the first of them came.
    since: Option<Instant>,
}

struct Output {
    file: Opened,
    /// Since when something may not be on the disk.
    unsynced: Option<Instant>,
}

pub(super) struct Writer<S> {
    storage: S,
    path: PathBuf,
    is_compressed: bool,
    header: Header,
    output: Option<Output>,
    compressor: Option<Compressor<'static>>,
    /// What is not in the file yet: of a compressed recording the next frame, after a fault what could not be written.
    pending: Pending,
    /// Requests that came since recording stopped, and marks that were set since.
    not_kept: u64,
    marks_kept: Vec<Mark>,
    /// The flags that passed by so far.
    flags: Option<Flags>,
    look_at: Option<Instant>,
    rotate: Rotate,
    /// When the file that is recorded to was begun, and how many requests were in others before it.
    begun: Option<Instant>,
    requests_aside: u64,
    /// The file that was being recorded to, where it is closed because of a fault.
    before: Option<Before>,
    snapshot: Snapshot,
}

/// A file that was closed, and how far everything in it is right.
struct Before {
    identity: Identity,
    length: u64,
    was_removed: bool,
}

impl<S: Storage> Writer<S> {
    pub(super) fn new(storage: S, path: &Path, header: Header) -> Self {
        Self {
            storage,
            path: path.to_owned(),
            is_compressed: open::is_compressed(path),
            header,
            output: None,
            compressor: None,
            pending: Pending::default(),
            not_kept: 0,
            marks_kept: Vec::new(),
            flags: None,
            look_at: None,
            rotate: Rotate::default(),
            begun: None,
            requests_aside: 0,
            before: None,
            snapshot: Snapshot::opening(path),
        }
    }

    /// The same, which puts files aside.
    pub(super) fn rotating(mut self, rotate: Rotate) -> Self {
        self.rotate = rotate;
        self
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Opens the file and writes the header.
    pub(super) fn open(&mut self, now: Moment) -> Result<(), Refusal> {
        let file = open::open(&self.storage, &self.path, None)?;
        self.begin(file, self.header.clone(), now);
        self.snapshot.state = State::Recording;
        self.flush(now);
        match &self.snapshot.state {
            // A file that cannot even take its header is refused at once; a live session cannot have depended on it.
            State::Stopped { why, .. } => Err(Refusal::Io(io::Error::other(why.clone()))),
            _ => Ok(()),
        }
    }

    /// Takes a file to write to; the header is the first thing to be written.
    fn begin(&mut self, file: Opened, header: Header, now: Moment) {
        let mut line = if file.is_unended { vec![b'\n'] } else { Vec::new() };
        recording::write_header(&mut line, &Header { created_ms: Some(now.epoch_ms), ..header });
        if let Some(flags) = &self.flags {
            recording::write_flags(&mut line, flags);
        }
        self.pending.lines.splice(0..0, line);
        self.pending.since.get_or_insert(now.instant);
        self.snapshot.bytes = file.length;
        self.output = Some(Output { file, unsynced: None });
        self.look_at = Some(now.instant + LOOK);
        self.begun = Some(now.instant);
    }

    /// Records requests that were received before recording began. What is missing between their numbers is a gap.
    pub(super) fn history<'a>(&mut self, held: impl Iterator<Item = &'a Envelope>, now: Moment) {
        let mut next = 1;
        for envelope in held {
            if let Some(lost @ 1..) = envelope.request.checked_sub(next) {
                let why = "no longer held when recording began".to_owned();
                self.gap(&Gap { t_ms: envelope.arrival_ms, lost, why }, now);
            }
            next = envelope.request.saturating_add(1);
            self.request(envelope, now);
        }
    }

    pub(super) fn request(&mut self, envelope: &Envelope, now: Moment) {
        if self.is_stopped() {
            self.not_kept += 1;
            return self.tell_not_kept();
        }
        let mut record = Pending { requests: 1, ..Pending::default() };
        // Its copy was taken before anybody looked.
        let cleaned = write_key::cleaned(envelope);
        recording::write_request(&mut record.lines, cleaned.as_ref().unwrap_or(envelope));
        self.append(now, record);
    }

    pub(super) fn gap(&mut self, gap: &Gap, now: Moment) {
        if self.is_stopped() {
            self.not_kept += gap.lost;
            return self.tell_not_kept();
        }
        let mut record = Pending { lost: gap.lost, ..Pending::default() };
        recording::write_gap(&mut record.lines, gap);
        self.append(now, record);
    }

    pub(super) fn mark(&mut self, mark: Mark, now: Moment) {
        if self.is_stopped() {
            return self.marks_kept.push(mark);
        }
        let mut record = Pending { marks: 1, ..Pending::default() };
        recording::write_mark(&mut record.lines, &mark);
        self.append(now, record);
    }

    /// Takes flags that passed by. A file that begins later begins with them; one that has stopped gets them when it
    /// goes on.
    pub(super) fn flags(&mut self, flags: Flags, now: Moment) {
        if !self.is_stopped() {
            let mut record = Pending::default();
            recording::write_flags(&mut record.lines, &flags);
            self.append(now, record);
        }
        self.flags = Some(flags);
    }

    fn append(&mut self, now: Moment, record: Pending) {
        let Pending { mut lines, requests, marks, lost, .. } = record;
        if self.is_compressed && self.pending.lines.len() + lines.len() > FRAME_BYTES {
            // Where this fails the record waits with what waits already; there is room for one.
            self.flush(now);
        }
        self.pending.lines.append(&mut lines);
        self.pending.requests += requests;
        self.pending.marks += marks;
        self.pending.lost += lost;
        self.pending.since.get_or_insert(now.instant);
        if !self.is_compressed || self.pending.lines.len() >= FRAME_BYTES {
            self.flush(now);
        }
        if self.rotate.bytes.is_some_and(|bytes| self.snapshot.bytes >= bytes) {
            self.put_aside(now);
        }
    }

    /// Ends the file, gives it a name with the time in it, and goes on in a new one. No request is between them.
    fn put_aside(&mut self, now: Moment) {
        self.end_file(now);
        if self.is_stopped() {
            return;
        }
        let opened = self.name_aside(now).and_then(|name| {
            self.storage.rename(&self.path, &name)?;
            open::open(&self.storage, &self.path, None).map_err(|refusal| io::Error::other(refusal.to_string()))
        });
        match opened {
            Ok(file) => {
                self.snapshot.put_aside += 1;
                self.requests_aside = self.snapshot.requests;
                let header = self.later_header(now);
                self.begin(file, header, now);
                self.flush(now);
            }
            Err(error) => {
                // Tried again and again it would fail again and again, and cost what comes meanwhile.
                self.rotate = Rotate::default();
                self.stop(format!("no further file can be begun, and the last will grow: {}", words(&error)), now);
            }
        }
    }

    /// A name that nothing has yet: the file's own, with the time before what its kind is told by.
    fn name_aside(&self, now: Moment) -> io::Result<PathBuf> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (stem, kind) = match name.find('.').filter(|at| *at > 0) {
            Some(at) => name.split_at(at),
            None => (name.as_str(), ""),
        };
        let time = jiff::Timestamp::from_millisecond(now.epoch_ms).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ");
        for attempt in 1..=NAMES_TRIED {
            let more = if attempt == 1 { String::new() } else { format!("-{attempt}") };
            let path = self.path.with_file_name(format!("{stem}-{time}{more}{kind}"));
            if self.storage.look(&path)? == Named::Nothing {
                return Ok(path);
            }
        }
        Err(io::Error::other("every name with the time in it is taken"))
    }

    #[cfg(test)]
    pub(super) fn is_without_file(&self) -> bool {
        self.output.is_none()
    }

    fn is_stopped(&self) -> bool {
        !matches!(self.snapshot.state, State::Recording)
    }

    fn tell_not_kept(&mut self) {
        if let State::Stopped { not_kept, .. } = &mut self.snapshot.state {
            *not_kept = self.not_kept;
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, now: Moment) {
        if self.is_stopped() || self.pending.lines.is_empty() {
            return;
        }
        let Some(output) = &mut self.output else { return };
        match write(output, &mut self.compressor, self.is_compressed, &self.pending.lines) {
            Ok(()) => {
                output.unsynced.get_or_insert(now.instant);
                self.snapshot.bytes = output.file.length;
                self.snapshot.requests += std::mem::take(&mut self.pending.requests);
                self.snapshot.marks += std::mem::take(&mut self.pending.marks);
                self.snapshot.lost += std::mem::take(&mut self.pending.lost);
                self.pending.lines.clear();
                self.pending.since = None;
            }
            Err(error) => self.stop(words(&error), now),
        }
    }

    /// Stops recording. The file stays open: as long as it does, no other process takes it.
    fn stop(&mut self, why: String, now: Moment) {
        // Half a record must not stay for as long as it takes somebody to press a key. Where even that fails, it is cut
        // off before recording goes on, and passed over by readers meanwhile.
        if let Some(output) = &mut self.output {
            let _ = output.file.handle.cut(output.file.length);
        }
        self.snapshot.state = State::Stopped { since_ms: now.epoch_ms, why, not_kept: self.not_kept };
    }

    /// Goes on after a fault, if it can: with what could not be written, and a gap for what was not kept since.
    pub(super) fn retry(&mut self, now: Moment) {
        self.snapshot.moved = None;
        let State::Stopped { why, .. } = &self.snapshot.state else { return };
        let why = why.clone();
        if let Some(output) = self.output.take() {
            let was_removed = output.file.handle.is_removed().unwrap_or(false);
            self.before = Some(Before { identity: output.file.identity, length: output.file.length, was_removed });
        }
        let known = self.before.as_ref().map(|before| (before.identity, before.length));
        let file = match open::open(&self.storage, &self.path, known) {
            Ok(file) => file,
            Err(refusal) => return self.stop(refusal.to_string(), now),
        };
        self.snapshot.state = State::Recording;
        let before = self.before.take();
        // A file in which not even the header was written has it among what waits.
        let is_same = |before: &Before| before.identity == file.identity && (file.length > 0 || before.length == 0);
        if before.as_ref().is_some_and(is_same) {
            self.snapshot.bytes = file.length;
            self.output = Some(Output { file, unsynced: None });
            self.look_at = Some(now.instant + LOOK);
        } else {
            self.replace(file, before.is_some_and(|before| before.was_removed), now);
        }
        if self.not_kept > 0 {
            let gap = Gap { t_ms: now.epoch_ms, lost: self.not_kept, why: format!("recording had stopped: {why}") };
            recording::write_gap(&mut self.pending.lines, &gap);
            self.pending.lost += std::mem::take(&mut self.not_kept);
        }
        for mark in std::mem::take(&mut self.marks_kept) {
            recording::write_mark(&mut self.pending.lines, &mark);
            self.pending.marks += 1;
        }
        if let Some(flags) = &self.flags {
            recording::write_flags(&mut self.pending.lines, flags);
        }
        self.flush(now);
    }

    /// Takes a file in place of the one there was. What is gone with that one is a gap in this.
    fn replace(&mut self, file: Opened, was_removed: bool, now: Moment) {
        // What was put aside before is where it was put.
        let requests = std::mem::take(&mut self.snapshot.requests) - std::mem::take(&mut self.requests_aside);
        self.snapshot.marks = 0;
        self.snapshot.moved = Some(Moved { at_ms: now.epoch_ms, was_removed, requests });
        // What was renamed is where it was moved to; what was removed is nowhere, and nor are the gaps that stood in it.
        let lost = requests + std::mem::take(&mut self.snapshot.lost);
        if was_removed && lost > 0 {
            let mut line = Vec::new();
            let why = "the recording was removed".to_owned();
            recording::write_gap(&mut line, &Gap { t_ms: now.epoch_ms, lost, why });
            self.pending.lines.splice(0..0, line);
            self.pending.lost += lost;
        }
        let header = self.later_header(now);
        self.begin(file, header, now);
    }

    /// The header of a file that takes the place of another one: what came before is not in it.
    fn later_header(&mut self, now: Moment) -> Header {
        // Counted whatever became of the one before: where that is gone no reader can take this for what follows it.
        self.header.part = self.header.part.as_ref().map(Part::next);
        Header { observed_from_ms: Some(now.epoch_ms), ..self.header.clone() }
    }

    /// Does what has become due; says when it wants to be asked again.
    pub(super) fn tick(&mut self, now: Moment) -> Option<Instant> {
        if self.is_stopped() {
            return None;
        }
        if self.pending.since.is_some_and(|since| now.instant >= since + FRAME_AGE) {
            self.flush(now);
        }
        if let Some(output) = &mut self.output
            && output.unsynced.is_some_and(|since| now.instant >= since + SYNC_AGE)
        {
            self.sync(now);
        }
        let is_old = self.rotate.age.zip(self.begun).is_some_and(|(age, begun)| now.instant >= begun + age);
        if is_old && self.snapshot.requests > self.requests_aside {
            self.put_aside(now);
        }
        if self.look_at.is_some_and(|at| now.instant >= at) {
            self.look_at = Some(now.instant + LOOK);
            self.look(now);
        }
        if self.is_stopped() {
            return None;
        }
        let unsynced = self.output.as_ref().and_then(|output| output.unsynced);
        let flush = self.pending.since.map(|since| since + FRAME_AGE);
        [flush, unsynced.map(|since| since + SYNC_AGE), self.look_at].into_iter().flatten().min()
    }

    fn sync(&mut self, now: Moment) {
        let Some(output) = &mut self.output else { return };
        match output.file.handle.sync() {
            Ok(()) => output.unsynced = None,
            // After this the system may have forgotten what it did not write; asking again would say that all is well.
            Err(error) => {
                output.unsynced = None;
                let why = format!("{}; the last seconds before it may be missing", words(&error));
                self.stop(why, now);
            }
        }
    }

    /// Sees whether the file is still where it was.
    fn look(&mut self, now: Moment) {
        let Some(output) = &self.output else { return };
        match self.storage.look(&self.path) {
            Ok(Named::File(identity)) if identity == output.file.identity => {}
            // What cannot be found out now may be found out next time.
            Err(_) => {}
            Ok(_) => self.follow(now),
        }
    }

    /// The file was removed or renamed: another one is begun in its place.
    fn follow(&mut self, now: Moment) {
        self.end_file(now);
        if self.is_stopped() {
            return;
        }
        let Some(output) = self.output.take() else { return };
        let was_removed = output.file.handle.is_removed().unwrap_or(true);
        match open::open(&self.storage, &self.path, None) {
            Ok(file) => {
                self.replace(file, was_removed, now);
                self.flush(now);
            }
            Err(refusal) => {
                let (identity, length) = (output.file.identity, output.file.length);
                self.before = Some(Before { identity, length, was_removed });
                self.stop(refusal.to_string(), now);
            }
        }
    }

    /// Writes what a whole file has at its end.
    fn end_file(&mut self, now: Moment) {
        self.flush(now);
        if self.is_stopped() {
            return;
        }
        let Some(output) = &mut self.output else { return };
        if self.is_compressed {
            let table = frames::seek_table(&output.file.frames);
            if let Err(error) = write_all(output, &table) {
                return self.stop(words(&error), now);
            }
            self.snapshot.bytes = output.file.length;
        }
        self.sync(now);
    }

    /// Ends the recording. Where it had stopped it is tried once more, so that the file says what is missing.
    pub(super) fn close(&mut self, now: Moment) {
        if self.is_stopped() {
            self.retry(now);
        }
        self.end_file(now);
        match &mut self.snapshot.state {
            State::Stopped { not_kept, .. } => *not_kept = self.not_kept + self.pending.requests + self.pending.lost,
            state => *state = State::Closed,
        }
        self.output = None;
    }
}

/// Writes lines, as they are or as one frame.
fn write(
    output: &mut Output,
    compressor: &mut Option<Compressor<'static>>,
    is_compressed: bool,
    lines: &[u8],
) -> io::Result<()> {
    if !is_compressed {
        return write_all(output, lines);
    }
    let frame = match compressor {
        Some(compressor) => compressor.compress(lines)?,
        None => {
            let mut new = Compressor::new(LEVEL)?;
            new.set_parameter(CParameter::ChecksumFlag(true))?;
            compressor.insert(new).compress(lines)?
        }
    };
    let size = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let sizes = (size(frame.len())?, size(lines.len())?);
    write_all(output, &frame)?;
    output.file.frames.push(sizes);
    Ok(())
}

/// Writes bytes by one call, or by more where the system takes only a part.
fn write_all(output: &mut Output, bytes: &[u8]) -> io::Result<()> {
    output.file.handle.write_all(bytes)?;
    output.file.length += bytes.len() as u64;
    Ok(())
}
