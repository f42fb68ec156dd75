//! `tail`: a growing file, or a pipe, on screen.
//!
//! A thread reads and hands on what it read as envelopes, as the endpoint does; but unlike an SDK a file can wait, so
//! it waits where the session does not keep up, and nothing is lost.

use super::recording::Desk;
use super::{BAD_INPUT, now_ms, say, screen};
use crate::app::Health;
use crate::cli;
use crate::endpoint::{self, Caps, Intake};
use crate::envelope::{BodyLoss, Envelope, Via};
use crate::input::{InputError, Piece, Source};
use crate::json::Walker;
use crate::recording;
use crate::session::{Session, SessionOptions};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a file that has no more is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After so many looks an array that is not closed is shown as it is.
const GIVEN_UP: u32 = 20;
/// How much may wait for the session before reading waits for it.
const WAITING_REQUESTS: usize = 8_192;
const WAITING_BYTES: u64 = 16 * 1024 * 1024;
/// The longest line that is taken in.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Shows a file, or standard input, as it grows.
pub(super) fn run(options: cli::Tail) -> ExitCode {
    let source = Source::parse(&options.source);
    if let Err(code) = screen::require_for(&source) {
        return code;
    }
    let (given, watch) = match super::given(&options.judging) {
        Ok(read) => read,
        Err(code) => return code,
    };
    // Of a file it is known before the first frame whether it can be read.
    if let Source::File(path) = &source
        && (source.can_be_read_again() || !path.exists())
        && let Err(error) = refuse_recording(&source)
    {
        say(error);
        return BAD_INPUT.into();
    }
    let observed_from_ms = options.observed_from;
    let session_options = SessionOptions {
        clock: options.judging.clock.into(),
        // A file is complete unless it, or the user, says otherwise.
        observed_from_ms,
        segment_delivery_percent: options.judging.segment_delivery,
        ..SessionOptions::from_now(now_ms())
    };
    let (sender, intake) = endpoint::intake(Caps::default());
    let mut desk = Desk::new(intake.taps(), given.clone(), options.recording.record_note);
    if let Some(path) = options.recording.record
        && let Err(code) = desk.record(path, observed_from_ms)
    {
        return code;
    }
    let session = Session::of(given, session_options);
    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let reading = source.name();
    let tell: Tell = {
        let told = Arc::clone(&told);
        Box::new(move |text| *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(text))
    };
    let tail = Tail::new(source, sender, Arc::clone(&stop), now_ms, tell);
    // Not waited for at the end: it may be in the middle of waiting for a pipe that says nothing.
    if let Err(error) = std::thread::Builder::new().name("tail".to_owned()).spawn(move || tail.run()) {
        say(format_args!("cannot start a thread to read with: {error}"));
        return BAD_INPUT.into();
    }
    let health =
        move || Health { trouble: told.lock().unwrap_or_else(PoisonError::into_inner).clone(), ..Health::default() };
    let beside = screen::Beside { watch, ..screen::Beside::new(desk) };
    let code = screen::show_read(session, intake, reading, options.screen, Box::new(health), None, beside);
    stop.store(true, Ordering::Relaxed);
    code
}

/// A recording has marks, losses and a time of its own, which have no place here.
fn refuse_recording(source: &Source) -> Result<(), String> {
    let opened = source.open().map_err(|error| error.to_string())?;
    match opened.first_line() {
        Some(line) if recording::is_header(line) => Err(is_recording(source)),
        _ => Ok(()),
    }
}

fn is_recording(source: &Source) -> String {
    format!("{}: this is a recording; `exptap replay` shows it", source.name())
}

/// What happened to the file, for the screen.
type Tell = Box<dyn Fn(String) + Send>;

/// Reads until told to stop, or until a pipe ends.
struct Tail {
    source: Source,
    intake: Intake,
    stop: Arc<AtomicBool>,
    now_ms: fn() -> i64,
    tell: Tell,
    lines: Lines,
}

impl Tail {
    fn new(source: Source, intake: Intake, stop: Arc<AtomicBool>, now_ms: fn() -> i64, tell: Tell) -> Self {
        let lines = Lines::default();
        Self { source, intake, stop, now_ms, tell, lines }
    }

    /// Reads. What cannot be read is told.
    fn run(mut self) {
        let ended = match &self.source {
            Source::File(path) if self.source.can_be_read_again() => {
                let path = path.clone();
                self.follow(path)
            }
            _ => self.read_once(),
        };
        match ended {
            Ok(()) => {}
            Err(error) => (self.tell)(error.to_string()),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A pipe: read to its end.
    fn read_once(&mut self) -> Result<(), InputError> {
        let mut reader: Box<dyn Read> = match &self.source {
            Source::Stdin => Box::new(io::stdin()),
            Source::File(path) => Box::new(File::open(path).map_err(|error| self.source.error(error.to_string()))?),
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => self.take(buffer.get(..bytes).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.source.error(format!("it cannot be read: {error}"))),
            }
            if self.is_stopped() {
                return Ok(());
            }
        }
        let rest = self.lines.rest();
        self.offer(rest);
        Ok(())
    }

    /// A file: read to its end, and on from there as it grows.
    fn follow(&mut self, path: PathBuf) -> Result<(), InputError> {
        let fault = |error: io::Error| self.source.error(format!("it cannot be read: {error}"));
        let mut file = File::open(&path).map_err(fault)?;
        let mut head = [0; 4];
        let bytes = file.read(&mut head).map_err(fault)?;
        if crate::input::Compression::of(head.get(..bytes).unwrap_or_default()).is_some() {
            return self.compressed();
        }
        file.seek(SeekFrom::Start(0)).map_err(fault)?;
        let mut opened = file.metadata().map_err(fault)?;
        let (mut read, mut quiet) = (0_u64, 0_u32);
        let mut buffer = vec![0; 256 * 1024];
        while !self.is_stopped() {
            let bytes = match file.read(&mut buffer) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.source.error(format!("it cannot be read: {error}"))),
            };
            read += bytes as u64;
            self.take(buffer.get(..bytes).unwrap_or_default());
            if bytes > 0 {
                quiet = 0;
                continue;
            }
            quiet += 1;
            // What has no line feed at its end is either all there is, or still being written.
            if (quiet == 1 && self.lines.is_complete()) || (quiet == GIVEN_UP && self.lines.is_one_value()) {
                let rest = self.lines.rest();
                self.offer(rest);
            }
            std::thread::sleep(LOOK_AGAIN);
            match replaced(&path, &opened, read) {
                Replaced::No => {}
                Replaced::Truncated => {
                    (self.tell)(format!("{} was truncated; reading it from the start", self.source.name()));
                    self.lines = Lines::default();
                    read = 0;
                    if file.seek(SeekFrom::Start(0)).is_err() {
                        return Ok(());
                    }
                }
                Replaced::Another => {
                    // What was written to the old one until it was put aside comes first.
                    loop {
                        match file.read(&mut buffer) {
                            Ok(0) | Err(_) => break,
                            Ok(bytes) => self.take(buffer.get(..bytes).unwrap_or_default()),
                        }
                    }
                    let rest = self.lines.rest();
                    self.offer(rest);
                    let Ok(another) = File::open(&path) else { continue };
                    let Ok(metadata) = another.metadata() else { continue };
                    (self.tell)(format!("{} was replaced by another file; reading that", self.source.name()));
                    (file, opened, read, self.lines) = (another, metadata, 0, Lines::default());
                }
            }
        }
        Ok(())
    }

    /// A compressed file does not grow: read to its end.
    fn compressed(&mut self) -> Result<(), InputError> {
        let source = self.source.clone();
        let mut damage = None;
        source.pieces(|piece| match piece {
            Piece::Text(chunk) => self.take(chunk.text.as_bytes()),
            Piece::Damaged(line, what) | Piece::LeftOut(line, what) => {
                damage = Some(format!("{}, line {line}: {what}", source.name()));
            }
        })?;
        let rest = self.lines.rest();
        self.offer(rest);
        if let Some(damage) = damage {
            (self.tell)(damage);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
        while let Some(line) = self.lines.next() {
            self.offer(Some(line));
            if self.is_stopped() {
                return;
            }
        }
    }

    fn offer(&self, line: Option<Line>) {
        let Some(line) = line else { return };
        let (bytes, loss) = match line {
            Line::Whole(bytes) => (bytes, None),
            Line::TooLong(bytes) => (Vec::new(), Some(BodyLoss::TooLarge { bytes, limit: MAX_LINE_BYTES as u64 })),
        };
        let text = String::from_utf8_lossy(&bytes);
        let content = text.trim();
        if loss.is_none() && content.is_empty() {
            return;
        }
        if recording::is_header(content) {
            (self.tell)(is_recording(&self.source));
        }
        let envelope = Envelope {
            via: Via::File,
            arrival_ms: (self.now_ms)(),
            path: self.source.name(),
            wire_bytes: bytes.len() as u64,
            body: bytes.into(),
            loss,
            ..Envelope::default()
        };
        loop {
            let (requests, waiting) = self.intake.waiting();
            if requests < WAITING_REQUESTS && waiting < WAITING_BYTES {
                break;
            }
            if self.is_stopped() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.intake.offer(envelope);
    }
}

enum Replaced {
    No,
    Truncated,
    Another,
}

/// Whether the path names another file by now, or the same one cut short.
fn replaced(path: &std::path::Path, opened: &Metadata, read: u64) -> Replaced {
    // A name that is gone for a moment is a rotation under way; what is open can still be read.
    let Ok(now) = path.metadata() else { return Replaced::No };
    if (now.dev(), now.ino()) != (opened.dev(), opened.ino()) {
        Replaced::Another
    } else if now.len() < read {
        Replaced::Truncated
    } else {
        Replaced::No
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    /// A line longer than what is taken in, and how long.
    TooLong(u64),
}

/// Cuts what is read into lines, or keeps it together where it is one value over many lines.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    taken: usize,
    /// How much of it was searched for a line feed.
    searched: usize,
    /// Bytes that were left out of a line that is too long.
    skipped: u64,
    on_lines: Option<bool>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        (self.searched, self.taken) = (self.searched - self.taken, 0);
        self.buffer.extend_from_slice(bytes);
        if self.on_lines.is_none() && !self.buffer.trim_ascii_start().is_empty() {
            // One byte decides in most files; a first line that is not whole yet may still turn out to be an object.
            let is_decided =
                memchr::memchr(b'\n', self.buffer.trim_ascii_start()).is_some() || self.buffer.len() > 64 * 1024;
            self.on_lines = is_decided.then(|| crate::input::stands_on_lines(&self.buffer));
        }
    }

    fn is_one_value(&self) -> bool {
        self.on_lines == Some(false) || (self.on_lines.is_none() && !crate::input::stands_on_lines(&self.buffer))
    }

    /// Whether what is left is a whole value.
    fn is_complete(&self) -> bool {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        std::str::from_utf8(rest).is_ok_and(|text| {
            let mut walker = Walker::new(text);
            walker.value().is_ok() && walker.is_at_end()
        })
    }

    fn next(&mut self) -> Option<Line> {
        if self.on_lines != Some(true) {
            return None;
        }
        let unsearched = self.buffer.get(self.searched..)?;
        let Some(feed) = memchr::memchr(b'\n', unsearched) else {
            self.searched = self.buffer.len();
            if self.searched - self.taken > MAX_LINE_BYTES {
                self.skipped += (self.searched - self.taken) as u64;
                self.taken = self.searched;
            }
            return None;
        };
        let end = self.searched + feed;
        let line = self.buffer.get(self.taken..end).unwrap_or_default().to_vec();
        (self.taken, self.searched) = (end + 1, end + 1);
        match std::mem::take(&mut self.skipped) {
            0 => Some(Line::Whole(line)),
            skipped => Some(Line::TooLong(skipped + line.len() as u64)),
        }
    }

    /// What is left when nothing more will come.
    fn rest(&mut self) -> Option<Line> {
        let rest = self.buffer.split_off(self.taken);
        *self = Self { on_lines: self.on_lines, ..Self::default() };
        (!rest.trim_ascii().is_empty()).then_some(Line::Whole(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let (mut lines, mut read) = (Lines::default(), Vec::new());
        let text = |line| match line {
            Line::Whole(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Line::TooLong(bytes) => format!("too long: {bytes}"),
        };
        for piece in pieces {
            lines.push(piece.as_bytes());
            read.extend(std::iter::from_fn(|| lines.next()).map(text));
        }
        (read, lines.rest().map(text))
    }

    #[test]
    fn lines_are_handed_on_when_they_are_whole_wherever_the_pieces_end() {
        let text = "{\"kind\":\"index\"}\n\n{\"kind\":\"alias\"}\n{\"half\"";
        let expected = (
            vec!["{\"kind\":\"index\"}".to_owned(), String::new(), "{\"kind\":\"alias\"}".to_owned()],
            Some("{\"half\"".to_owned()),
        );
        assert_eq!(lines(&[text]), expected);
        let bytes: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn an_array_over_many_lines_stays_together() {
        assert_eq!(lines(&["[\n{},\n", "{}\n]\n"]), (vec![], Some("[\n{},\n{}\n]\n".to_owned())));
        assert_eq!(lines(&["{\n\"kind\":\"index\"\n}\n"]).0, Vec::<String>::new());
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_is_read() {
        let long = "x".repeat(MAX_LINE_BYTES / 2 + 1);
        let (read, rest) = lines(&["{\"n\":1}\n", &long, &long, "x\n{\"n\":2}\n"]);
        let too_long = format!("too long: {}", 2 * long.len() + 1);
        assert_eq!(read, ["{\"n\":1}".to_owned(), too_long, "{\"n\":2}".to_owned()]);
        assert_eq!(rest, None);
    }
}
