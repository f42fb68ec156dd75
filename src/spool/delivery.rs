//! Delivering: one lane, in order, until the upstream has everything.
//!
//! A few requests may be under way at once, or a distance of 50 ms would mean 20 requests a second; but of one sender
//! always one, so that what it sends arrives in its order. While the upstream does not take anything two requests of
//! different senders are tried, ever more seldom, and nothing else is sent: two, because what one of them meets may be
//! its own fault. A request that fails while others get through is tried by itself, and in the end put aside; while
//! nobody gets through the upstream is away, and nothing is.

mod taking;

use super::board::Board;
use super::format::{Head, Place};
use super::queue::{Cursor, Position, Queue, body_path, segment_path};
use super::reader::{Reader, Waiting};
use super::refused::{Aside, Put};
use super::writer::{Order, words};
use super::{Lane, Pace};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::path::Path;
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
/// A request is put aside after so many failures between which others got through.
const OWN_FAILURES: u32 = 8;

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

/// A request under way, or on its way there.
struct Flight {
    ticket: u64,
    segment: u64,
    sender: u64,
    waiting: Waiting,
    /// One of the same sender, which came before it, fails.
    overtakes: bool,
    /// How often it failed.
    failures: u32,
    /// How often others got through since it had failed before: that it fails is its own fault then.
    own_failures: u32,
    /// What the upstream had taken when it was sent first, or failed for the last time.
    taken: u64,
    /// Since when it fails.
    failing_since: Option<Instant>,
    /// It is not tried before.
    retry_at: Option<Instant>,
}

impl Flight {
    fn new(ticket: u64, segment: u64, sender: u64, waiting: Waiting) -> Self {
        let (failing_since, retry_at) = (None, None);
        let (overtakes, failures, own_failures, taken) = (false, 0, 0, 0);
        Self { ticket, segment, sender, waiting, overtakes, failures, own_failures, taken, failing_since, retry_at }
    }
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
    /// Requests that wait for one of the same sender.
    ahead: VecDeque<Flight>,
    ticket: u64,
    /// Requests the upstream took, or refused for good: it was there.
    taken: u64,
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
            ahead: VecDeque::new(),
            ticket: 0,
            taken: 0,
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
            let is_delivered = self.pending.is_empty() && self.has_delivered();
            if now == Phase::Finishing && is_delivered && !self.is_told_to_end {
                self.end_segment();
            }
            // What may be sent was sent just now; and where nothing waits no file stays, for it has keys in it.
            if now == Phase::Stopped || now == Phase::Finishing && flights.is_empty() && !is_delivered {
                return;
            }
            let retry_at = self.retry_at(&flights);
            let is_idle = !self.is_told_to_end && is_delivered;
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() { return },
                Some((flight, carried)) = flights.next(), if !flights.is_empty() => {
                    self.landed(flight, carried, flights.is_empty());
                }
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    if self.failing.is_some() {
                        self.probe(&mut flights);
                    }
                }
                () = self.queue.changed.notified() => {}
                () = sleep(IDLE), if is_idle => self.end_segment(),
            }
        }
    }

    /// Everything is delivered: the segment can be deleted as soon as nobody writes to it.
    fn end_segment(&mut self) {
        self.is_told_to_end = true;
        // Where nobody writes any more, nothing is left to be ended.
        let _ = self.orders.send(Order::EndSegment(self.lane));
    }

    /// When something is to be tried again.
    fn retry_at(&self, flights: &Flights<'a>) -> Option<Instant> {
        match &self.failing {
            Some(failing) => flights.is_empty().then_some(failing.retry_at),
            None if flights.len() < UNDER_WAY => self.failed.values().filter_map(|flight| flight.retry_at).min(),
            None => None,
        }
    }

    /// Sends what may be sent.
    fn fill(&mut self, flights: &mut Flights<'a>) {
        while self.failing.is_none() && flights.len() < UNDER_WAY {
            let now = Instant::now();
            let is_due = |flight: &&Flight| flight.retry_at.is_none_or(|at| at <= now);
            let due = self.failed.values().find(is_due).map(|flight| flight.ticket);
            let Some(flight) = due.and_then(|ticket| self.failed.remove(&ticket)).or_else(|| self.take_next()) else {
                return;
            };
            flights.push(self.send(flight));
        }
    }

    /// Looks whether the upstream takes something: the oldest that failed, and one of another sender, rather one that
    /// was never tried. Where for long there is no other sender, the next one of the same has to do.
    fn probe(&mut self, flights: &mut Flights<'a>) {
        let oldest = self.failed.pop_first().map(|(_, flight)| flight).or_else(|| self.take_next());
        let Some(oldest) = oldest else {
            self.failing = None;
            self.board.nothing_waits(self.lane);
            return;
        };
        let is_for_long = oldest.failing_since.is_some_and(|since| since.elapsed() >= self.pace.patience);
        let least = self.failed.values().min_by_key(|flight| flight.failures);
        let is_tried = least.is_none_or(|flight| flight.failures >= OWN_FAILURES);
        let least = least.map(|flight| flight.ticket);
        let other = self
            .take_next()
            .or_else(|| (is_for_long && is_tried).then(|| self.take_over()).flatten())
            .or_else(|| self.failed.remove(&least?));
        flights.push(self.send(oldest));
        if let Some(other) = other {
            flights.push(self.send(other));
        }
    }

    fn send(&self, mut flight: Flight) -> Pin<Box<dyn Future<Output = (Flight, Carried)> + 'a>> {
        if flight.failures == 0 {
            flight.taken = self.taken;
        }
        let carrier = self.carrier;
        let body = match flight.waiting.measure.place {
            Place::Here => Ok(Body::Whole(flight.waiting.body.clone())),
            // Looked at anew each time: what has become of it meanwhile must hold up nothing.
            Place::File(number) => taking::check(&body_path(self.queue.folder(), number), &flight.waiting),
        };
        Box::pin(async move {
            let carried = match body {
                Ok(body) => carrier.carry(&flight.waiting.head, body).await,
                Err(why) => Carried::Unreadable { why },
            };
            (flight, carried)
        })
    }

    fn landed(&mut self, flight: Flight, carried: Carried, is_last: bool) {
        match carried {
            Carried::Answered { status: 200..=299, .. } => {
                self.board.delivered();
                self.recovered();
                self.finish(&flight);
            }
            Carried::Answered { status: status @ (408 | 429 | 500..), retry_after } => {
                let why = format!("{} answered {status}", self.carrier.name());
                self.fail(flight, Some(status), why, retry_after);
            }
            Carried::Answered { status, .. } => {
                self.recovered();
                self.refuse(&flight, Some(status));
            }
            Carried::Unreadable { why } => {
                self.board.damaged(why);
                self.finish(&flight);
            }
            Carried::Unanswered { why } => {
                let why = format!("{} could not be reached: {why}", self.carrier.name());
                self.fail(flight, None, why, None);
            }
        }
        if is_last && let Some(failing) = &mut self.failing {
            let asked = failing.asked.take().unwrap_or_default().min(LONGEST_ASKED);
            failing.retry_at = Instant::now() + self.pace.pause(failing.times).max(asked);
            failing.times += 1;
            if failing.times >= SAID_AFTER {
                self.board.failing(self.lane, crate::run::now_ms(), &failing.why);
            }
        }
    }

    fn fail(&mut self, mut flight: Flight, status: Option<u16>, why: String, asked: Option<Duration>) {
        let is_its_own = self.taken > flight.taken;
        flight.taken = self.taken;
        flight.failures += 1;
        flight.failing_since.get_or_insert_with(Instant::now);
        flight.retry_at = None;
        if is_its_own {
            flight.own_failures += 1;
            if flight.own_failures >= OWN_FAILURES {
                return self.refuse(&flight, status);
            }
            let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
            flight.retry_at = Some(Instant::now() + self.pace.pause(flight.own_failures - 1).max(asked));
        }
        self.board.retried();
        if !is_its_own || self.failing.is_some() {
            let failing = self.failing.get_or_insert_with(|| Failing {
                times: 0,
                asked: None,
                why: String::new(),
                retry_at: Instant::now(),
            });
            failing.why = why;
            failing.asked = failing.asked.max(asked);
        }
        self.failed.insert(flight.ticket, flight);
    }

    /// The upstream is there.
    fn recovered(&mut self) {
        self.taken += 1;
        if self.failing.take().is_some() {
            self.board.recovered(self.lane);
        }
    }

    fn refuse(&mut self, flight: &Flight, status: Option<u16>) {
        let Waiting { head, arrival_ms, body, measure, .. } = &flight.waiting;
        let put = match measure.place {
            Place::Here => self.aside.put(head, *arrival_ms, body),
            Place::File(_) => Ok(Put::TooLarge),
        };
        let (lost, not_kept) = match put {
            Ok(Put::Kept { fell_out }) => (None, fell_out),
            Ok(Put::TooLarge) => (Some("too large to be put aside".to_owned()), 1),
            Err(error) => (Some(format!("it cannot be put aside ({})", words(&error))), 1),
        };
        self.board.refused(status, &self.carrier.sender(head), lost.as_deref(), crate::run::now_ms());
        if not_kept > 0 {
            self.board.refused_not_kept(not_kept);
        }
        self.finish(flight);
    }

    /// A request needs no further thought.
    fn finish(&mut self, flight: &Flight) {
        self.pending.remove(&flight.ticket);
        if !flight.overtakes {
            self.busy.remove(&flight.sender);
        }
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
        current.is_some_and(|segment| !segment.is_ended && self.position.offset >= segment.length)
    }
}
