//! Delivering: one lane, in order, until the upstream has everything.
//!
//! A few requests may be under way at once, or a distance of 50 ms would mean 20 requests a second; but of one sender
//! always one, so that what it sends arrives in its order. While the upstream does not take anything one request is
//! tried, ever more seldom, and nothing else is sent.

use super::board::Board;
use super::folder::damaged;
use super::format::{FIRST_LINE, Head, Place};
use super::queue::{Cursor, Position, Queue, body_path, segment_path};
use super::reader::{Item, Reader, Waiting};
use super::refused::Aside;
use super::writer::{Order, words};
use super::{Lane, Pace};
use bytes::Bytes;
use flate2::Crc;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Requests under way at once, each of another sender.
const UNDER_WAY: usize = 8;
/// A wait that the upstream asks for is not longer.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// How long nothing waits before what was delivered is deleted.
const IDLE: Duration = Duration::from_secs(1);
/// After so many failures in a row it is said that nothing is delivered: a single one happens to everybody.
const SAID_AFTER: u32 = 2;

/// A body to be sent.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// In a file, of so many bytes.
    File(File, u64),
}

/// What came of sending a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// The upstream answered.
    Answered {
        /// Its status.
        status: u16,
        /// How long it wants not to be asked again.
        retry_after: Option<Duration>,
    },
    /// It did not.
    Unanswered {
        /// Why not.
        why: String,
    },
    /// It could not be sent: its body is gone, or is another.
    Unreadable {
        /// What is wrong.
        why: String,
    },
}

/// Who takes requests to the upstream.
pub trait Carrier {
    /// Sends one request, once.
    fn carry(&self, head: &Head, body: Body) -> impl Future<Output = Carried>;
    /// What the upstream is called.
    fn name(&self) -> String;
    /// Who sent a request, as it may be shown.
    fn sender(&self, head: &Head) -> String;
}

/// How far deliveries are on their way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Delivering,
    /// What can be delivered at once is, and then it ends.
    Finishing,
    Stopped,
}

/// A request under way.
struct Flight {
    ticket: u64,
    segment: u64,
    sender: u64,
    waiting: Waiting,
    /// Since when the upstream fails over it, as opposed to not being there.
    failing_since: Option<Instant>,
}

/// Nothing is delivered.
struct Failing {
    times: u32,
    asked: Option<Duration>,
    why: String,
    retry_at: Instant,
}

type Flights<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = (Flight, Carried)> + 'a>>>;

/// The deliveries of one lane.
pub(super) struct Delivery<'a, C> {
    lane: Lane,
    queue: &'a Queue,
    board: &'a Arc<Board>,
    orders: &'a Sender<Order>,
    carrier: &'a C,
    pace: Pace,
    cursor: Cursor,
    aside: Aside,
    reader: Option<(u64, Reader<File>)>,
    /// Up to where requests were read.
    position: Position,
    /// A request that waits for one of the same sender.
    next: Option<Flight>,
    ticket: u64,
    /// What was read and is not delivered: where it begins, and when it came.
    pending: BTreeMap<u64, (Position, i64)>,
    busy: HashSet<u64>,
    failed: BTreeMap<u64, Flight>,
    failing: Option<Failing>,
    is_told_to_end: bool,
}

impl<'a, C: Carrier> Delivery<'a, C> {
    #[expect(clippy::too_many_arguments, reason = "everything a lane has")]
    pub(super) fn new(
        lane: Lane,
        queue: &'a Queue,
        board: &'a Arc<Board>,
        orders: &'a Sender<Order>,
        carrier: &'a C,
        pace: Pace,
        cursor: Cursor,
        aside_bytes: u64,
    ) -> Self {
        Self {
            lane,
            queue,
            board,
            orders,
            carrier,
            pace,
            cursor,
            aside: Aside::new(queue.folder(), aside_bytes),
            reader: None,
            position: Position::default(),
            next: None,
            ticket: 0,
            pending: BTreeMap::new(),
            busy: HashSet::new(),
            failed: BTreeMap::new(),
            failing: None,
            is_told_to_end: false,
        }
    }

    /// Delivers until told to stop.
    pub(super) async fn run(mut self, mut phase: watch::Receiver<Phase>) {
        let mut flights: Flights<'a> = FuturesUnordered::new();
        loop {
            self.fill(&mut flights);
            let now = *phase.borrow_and_update();
            let is_done = flights.is_empty() && (self.failing.is_some() || self.next.is_none());
            if now == Phase::Stopped || now == Phase::Finishing && is_done {
                return;
            }
            let retry_at = self.failing.as_ref().filter(|_| flights.is_empty()).map(|failing| failing.retry_at);
            let is_idle = !self.is_told_to_end && self.pending.is_empty() && self.has_delivered();
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() { return },
                Some((flight, carried)) = flights.next(), if !flights.is_empty() => {
                    self.landed(flight, carried, flights.is_empty());
                }
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    // One at a time, while it is not known whether the upstream is there.
                    match self.failed.pop_first().map(|(_, flight)| flight).or_else(|| self.take_next()) {
                        Some(flight) => flights.push(self.send(flight)),
                        None => {
                            self.failing = None;
                            self.board.nothing_waits(self.lane);
                        }
                    }
                }
                () = self.queue.changed.notified() => {}
                () = sleep(IDLE), if is_idle => {
                    self.is_told_to_end = true;
                    // Where nobody writes any more, nothing is left to be ended.
                    let _ = self.orders.send(Order::EndSegment(self.lane));
                }
            }
        }
    }

    /// Sends what may be sent.
    fn fill(&mut self, flights: &mut Flights<'a>) {
        while self.failing.is_none() && flights.len() < UNDER_WAY {
            let flight = match self.failed.pop_first() {
                Some((_, flight)) => flight,
                None => match self.take_next() {
                    Some(flight) => flight,
                    None => return,
                },
            };
            flights.push(self.send(flight));
        }
    }

    /// The next request, unless one of its sender is under way.
    fn take_next(&mut self) -> Option<Flight> {
        if self.next.is_none() {
            self.next = self.read();
        }
        match self.next.take() {
            Some(flight) if self.busy.insert(flight.sender) => Some(flight),
            waiting => {
                self.next = waiting;
                None
            }
        }
    }

    fn send(&self, flight: Flight) -> Pin<Box<dyn Future<Output = (Flight, Carried)> + 'a>> {
        let carrier = self.carrier;
        let body = match flight.waiting.measure.place {
            Place::Here => Ok(Body::Whole(flight.waiting.body.clone())),
            // Looked at anew each time: what has become of it meanwhile must hold up nothing.
            Place::File(number) => check(&body_path(self.queue.folder(), number), &flight.waiting),
        };
        Box::pin(async move {
            let carried = match body {
                Ok(body) => carrier.carry(&flight.waiting.head, body).await,
                Err(why) => Carried::Unreadable { why },
            };
            (flight, carried)
        })
    }

    fn landed(&mut self, mut flight: Flight, carried: Carried, is_last: bool) {
        match carried {
            Carried::Answered { status: 200..=299, .. } => {
                self.board.delivered();
                self.recovered();
                self.finish(&flight);
            }
            Carried::Answered { status: status @ (408 | 429 | 500..), retry_after } => {
                let since = *flight.failing_since.get_or_insert_with(Instant::now);
                let is_its_own = matches!(status, 500..) && since.elapsed() >= self.pace.patience;
                if is_its_own {
                    // The upstream is there, and has not taken this one for an hour: the next may fare better.
                    return self.refuse(&flight, status);
                }
                let why = format!("{} answered {status}", self.carrier.name());
                self.fail(flight, why, retry_after, is_last);
            }
            Carried::Answered { status, .. } => {
                self.recovered();
                self.refuse(&flight, status);
            }
            Carried::Unreadable { why } => {
                self.board.damaged(why);
                self.finish(&flight);
            }
            Carried::Unanswered { why } => {
                flight.failing_since = None;
                let why = format!("{} could not be reached: {why}", self.carrier.name());
                self.fail(flight, why, None, is_last);
            }
        }
    }

    fn fail(&mut self, flight: Flight, why: String, asked: Option<Duration>, is_last: bool) {
        self.board.retried();
        let failing = self.failing.get_or_insert_with(|| Failing {
            times: 0,
            asked: None,
            why: String::new(),
            retry_at: Instant::now(),
        });
        failing.why = why;
        failing.asked = failing.asked.max(asked);
        self.failed.insert(flight.ticket, flight);
        if is_last {
            let asked = failing.asked.take().unwrap_or_default().min(LONGEST_ASKED);
            failing.retry_at = Instant::now() + self.pace.pause(failing.times).max(asked);
            failing.times += 1;
            if failing.times >= SAID_AFTER {
                self.board.failing(self.lane, crate::run::now_ms(), &failing.why);
            }
        }
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            self.board.recovered(self.lane);
        }
    }

    fn refuse(&mut self, flight: &Flight, status: u16) {
        let who = self.carrier.sender(&flight.waiting.head);
        self.board.refused(status, &who, crate::run::now_ms());
        let not_kept = match flight.waiting.measure.place {
            Place::Here => {
                let Waiting { head, arrival_ms, body, .. } = &flight.waiting;
                self.aside.put(head, *arrival_ms, body).unwrap_or(1)
            }
            Place::File(_) => 1,
        };
        if not_kept > 0 {
            self.board.refused_not_kept(not_kept);
        }
        self.finish(flight);
    }

    /// A request needs no further thought.
    fn finish(&mut self, flight: &Flight) {
        self.pending.remove(&flight.ticket);
        self.busy.remove(&flight.sender);
        let bytes = flight.waiting.disk_bytes();
        self.queue.gone(flight.segment, bytes);
        let oldest = self.pending.values().next();
        let front = oldest.map_or(self.position, |(position, _)| *position);
        let is_empty = self.pending.is_empty() && self.queue.is_empty();
        if is_empty && self.failing.take().is_some() {
            self.board.nothing_waits(self.lane);
        }
        self.board.gone(self.lane, 1, bytes, oldest.map(|(_, arrival_ms)| *arrival_ms), is_empty);
        // Only then its body: until the cursor is past it, it may be read again.
        let moved = self.cursor.write(front);
        if let Place::File(number) = flight.waiting.measure.place {
            self.delete(&body_path(self.queue.folder(), number), flight.waiting.measure.bytes);
        }
        if let Err(error) = moved {
            self.board.cannot_write(&words(&error));
        }
        self.delete_before(front);
    }

    fn delete_before(&self, position: Position) {
        for segment in self.queue.take_before(position) {
            self.delete(&segment_path(self.queue.folder(), segment.number), segment.length);
        }
    }

    /// Deletes a file; where that fails it is delivered from again at the next start.
    fn delete(&self, path: &Path, bytes: u64) {
        if fs::remove_file(path).is_ok() {
            self.board.give_room(bytes);
        }
    }

    /// Whether there is something to delete once no more comes.
    fn has_delivered(&self) -> bool {
        let current = self.queue.from(self.position.segment);
        self.next.is_none()
            && current.is_some_and(|segment| !segment.is_ended && self.position.offset >= segment.length)
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
                    return Some(Flight { ticket, segment: segment.number, sender, waiting, failing_since: None });
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
        let taken = self.queue.take(number).unwrap_or(super::queue::Segment {
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
fn check(path: &Path, waiting: &Waiting) -> Result<Body, String> {
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
