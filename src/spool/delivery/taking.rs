//! Taking requests from the segments: in order, and past those whose sender is busy.

use super::{Body, Carrier, Delivery, Flight};
use crate::spool::folder::damaged;
use crate::spool::format::{FIRST_LINE, Head};
use crate::spool::queue::{Position, Segment, segment_path};
use crate::spool::reader::{Item, Reader, Waiting};
use crate::spool::writer::words;
use flate2::Crc;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Requests that are held in memory beside those under way: they failed, or wait for one of the same sender.
const HELD: usize = 64;
/// And their bodies' bytes, as soon as there are two.
const HELD_BYTES: usize = 32 * 1024 * 1024;

impl<C: Carrier> Delivery<'_, C> {
    /// The next request of a sender of whom none is under way or failed. What others sent before it is held.
    pub(super) fn take_next(&mut self) -> Option<Flight> {
        let free = self.ahead.iter().position(|flight| !self.busy.contains(&flight.sender));
        if let Some(flight) = free.and_then(|at| self.ahead.remove(at)) {
            self.busy.insert(flight.sender);
            return Some(flight);
        }
        while self.has_room() {
            let flight = self.read()?;
            if self.busy.insert(flight.sender) {
                return Some(flight);
            }
            self.ahead.push_back(flight);
        }
        None
    }

    /// The next request of a sender whose request before it fails. It does not make its sender free.
    pub(super) fn take_over(&mut self) -> Option<Flight> {
        let mut flight = self.ahead.pop_front()?;
        flight.overtakes = true;
        Some(flight)
    }

    /// Whether more may be held.
    fn has_room(&self) -> bool {
        let held = || self.ahead.iter().chain(self.failed.values());
        let bytes: usize = held().map(|flight| flight.waiting.body.len()).sum();
        held().count() < HELD && bytes < HELD_BYTES
    }

    /// The next request that can be read.
    fn read(&mut self) -> Option<Flight> {
        loop {
            let segment = self.queue.from(self.position.segment)?;
            let path = segment_path(self.queue.folder(), segment.number);
            if self.position.segment != segment.number || self.position.offset < segment.start {
                self.position = Position { segment: segment.number, offset: segment.start };
                self.is_told_to_end = false;
            }
            match self.next_item(&path, segment.number, segment.length, segment.is_ended) {
                Ok(Some(Item::Request(waiting))) => {
                    let begins = Position { segment: segment.number, offset: waiting.offset };
                    self.ticket += 1;
                    self.pending.insert(self.ticket, (begins, waiting.arrival_ms));
                    let sender = identity(&waiting.head);
                    let ticket = self.ticket;
                    return Some(Flight::new(ticket, segment.number, sender, waiting));
                }
                Ok(Some(Item::Damaged { offset, bytes })) => self.board.damaged(damaged(&path, offset, bytes)),
                // It was told of at the start, and nobody was answered.
                Ok(Some(Item::Unfinished { .. })) => {}
                Ok(None) if segment.is_ended => self.pass(segment.number),
                Ok(None) => return None,
                Err(error) => self.give_up(&path, segment.number, &error),
            }
        }
    }

    fn next_item(&mut self, path: &PathBuf, number: u64, end: u64, is_ended: bool) -> io::Result<Option<Item>> {
        if self.reader.as_ref().is_none_or(|(reading, _)| *reading != number) {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(self.position.offset))?;
            self.reader = Some((number, Reader::new(file, self.position.offset)));
        }
        let Some((_, reader)) = &mut self.reader else { return Ok(None) };
        let item = reader.next(end, is_ended)?;
        self.position.offset = reader.offset();
        Ok(item)
    }

    /// Goes on behind a segment.
    fn pass(&mut self, number: u64) {
        self.reader = None;
        self.position = Position { segment: number + 1, offset: FIRST_LINE.len() as u64 };
        if self.pending.is_empty() {
            self.delete_before(self.position);
        }
    }

    /// A segment that cannot be read stays where it is. What may be left in it is nothing that waits any more.
    fn give_up(&mut self, path: &Path, number: u64, error: &io::Error) {
        let taken = self.queue.take(number).unwrap_or(Segment {
            number,
            start: 0,
            length: 0,
            is_ended: true,
            requests: 0,
            bytes: 0,
        });
        let under_way = self.pending.values().filter(|(position, _)| position.segment == number).count() as u64;
        let left = taken.requests.saturating_sub(under_way);
        self.board.gone(self.lane, left, taken.bytes, None, self.pending.is_empty() && self.queue.is_empty());
        self.board.damaged(format!(
            "{}: cannot be read: {}; about {left} requests in it are not delivered, and are tried again when exptap is \
             started again",
            path.display(),
            words(error)
        ));
        self.reader = None;
        self.position = Position { segment: number + 1, offset: FIRST_LINE.len() as u64 };
    }
}

/// A body that lies in a file, if it is what was written.
pub(super) fn check(path: &Path, waiting: &Waiting) -> Result<Body, String> {
    let lost = |why: String| format!("{}: {why}; the request it belongs to is lost", path.display());
    let mut file = File::open(path).map_err(|error| lost(words(&error)))?;
    let (mut crc, mut bytes, mut piece) = (Crc::new(), 0, vec![0; 256 * 1024]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                crc.update(piece.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
            Err(error) => return Err(lost(words(&error))),
        }
    }
    if bytes != waiting.measure.bytes || crc.sum() != waiting.measure.crc {
        return Err(lost("it is damaged".to_owned()));
    }
    file.rewind().map_err(|error| lost(words(&error)))?;
    Ok(Body::File(file, bytes))
}

/// Whose order a request is part of: an instance of an SDK where it names itself, else everything that has the same
/// credential and calls itself the same.
fn identity(head: &Head) -> u64 {
    let mut hasher = DefaultHasher::new();
    match head.headers.get("x-launchdarkly-instance-id") {
        Some(instance) => instance.as_bytes().hash(&mut hasher),
        None => {
            head.target.split('?').next().unwrap_or_default().hash(&mut hasher);
            for name in ["authorization", "user-agent", "x-launchdarkly-user-agent"] {
                head.headers.get(name).map(http::HeaderValue::as_bytes).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}
