//! The segments of one lane, in order: how far each is written for certain, and how far it is delivered.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What the name of a segment ends in.
pub(super) const SEGMENT: &str = "spool";
/// What the name of a file with one body ends in.
pub(super) const BODY: &str = "body";
const CURSOR: &str = "cursor";
const CURSOR_BYTES: usize = 20;

/// A place in a lane: everything before it is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// From where on it is to be delivered.
    pub(super) start: u64,
    /// How much of it is on the disk for certain.
    pub(super) length: u64,
    /// Whether nothing more is written to it.
    pub(super) is_ended: bool,
    /// Requests in it that are not delivered, and their bytes.
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

pub(super) struct Queue {
    folder: PathBuf,
    segments: Mutex<VecDeque<Segment>>,
    pub(super) changed: Notify,
}

pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{SEGMENT}"))
}

pub(super) fn body_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{BODY}"))
}

/// Digits of a number in a name.
const DIGITS: usize = 10;
/// The highest number there is.
pub(super) const LAST_NUMBER: u64 = 9_999_999_999;

/// The number in the name of a file of ours. A name that exptap never gives is somebody else's.
pub(super) fn number_of(path: &Path, kind: &str) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(kind)?.strip_suffix('.')?;
    let is_ours = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}

impl Queue {
    pub(super) fn new(folder: PathBuf, segments: VecDeque<Segment>) -> Self {
        Self { folder, segments: Mutex::new(segments), changed: Notify::new() }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn segments(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on the disk now for certain.
    pub(super) fn written(&self, number: u64, length: u64, requests: u64, bytes: u64) {
        let mut segments = self.segments();
        match segments.iter_mut().find(|segment| segment.number == number) {
            Some(segment) => {
                segment.length = length;
                segment.requests += requests;
                segment.bytes += bytes;
            }
            None => {
                let start = super::format::FIRST_LINE.len() as u64;
                segments.push_back(Segment { number, start, length, is_ended: false, requests, bytes });
            }
        }
        drop(segments);
        self.changed.notify_one();
    }

    /// Nothing more is written to a segment.
    pub(super) fn ended(&self, number: u64) {
        if let Some(segment) = self.segments().iter_mut().find(|segment| segment.number == number) {
            segment.is_ended = true;
        }
        self.changed.notify_one();
    }

    /// The first segment with this number or a higher one.
    pub(super) fn from(&self, number: u64) -> Option<Segment> {
        self.segments().iter().find(|segment| segment.number >= number).copied()
    }

    /// A request of a segment is delivered, or refused.
    pub(super) fn gone(&self, number: u64, bytes: u64) {
        if let Some(segment) = self.segments().iter_mut().find(|segment| segment.number == number) {
            segment.requests = segment.requests.saturating_sub(1);
            segment.bytes = segment.bytes.saturating_sub(bytes);
        }
    }

    /// Takes the segments out that everything is delivered of before a position.
    pub(super) fn take_before(&self, position: Position) -> Vec<Segment> {
        let mut segments = self.segments();
        let done = segments.iter().take_while(|segment| segment.number < position.segment && segment.is_ended).count();
        segments.drain(..done).collect()
    }

    /// Takes one segment out.
    pub(super) fn take(&self, number: u64) -> Option<Segment> {
        let mut segments = self.segments();
        let at = segments.iter().position(|segment| segment.number == number)?;
        segments.remove(at)
    }

    /// Requests that are not delivered.
    pub(super) fn is_empty(&self) -> bool {
        self.segments().iter().all(|segment| segment.requests == 0)
    }
}

/// Where a lane's deliveries stand. It lags behind where exptap is killed, and then some are delivered twice.
pub(super) struct Cursor(File);

impl Cursor {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(CURSOR);
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map(Self)
    }

    /// `None`: there is none, or it was being written when the power went.
    pub(super) fn read(&self) -> io::Result<Option<Position>> {
        let mut bytes = [0; CURSOR_BYTES];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(position(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, position: Position) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(CURSOR_BYTES);
        bytes.extend_from_slice(&position.segment.to_le_bytes());
        bytes.extend_from_slice(&position.offset.to_le_bytes());
        let crc = super::format::crc(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        // Not waited for: what it says comes true again by delivering once more.
        self.0.write_all_at(&bytes, 0)
    }
}

fn position(bytes: &[u8; CURSOR_BYTES]) -> Option<Position> {
    let (told, crc) = bytes.split_last_chunk::<4>()?;
    let (segment, offset) = told.split_first_chunk::<8>()?;
    let position =
        Position { segment: u64::from_le_bytes(*segment), offset: u64::from_le_bytes(offset.try_into().ok()?) };
    (super::format::crc(told) == u32::from_le_bytes(*crc)).then_some(position)
}
