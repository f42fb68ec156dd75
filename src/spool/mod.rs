//! The spool: requests are taken at once and delivered from disk until the upstream has them.
//!
//! ```text
//!  endpoint ── append ──▶ writer (one thread) ──▶ segments ──▶ delivery (one thread) ──▶ upstream
//!      ◀─ it is on the disk ─┘                        │             └── cursor, deletion, refused
//!      202                                            └── at the next start: what waits
//! ```
//!
//! Whatever was answered is delivered at least once, also when exptap is killed, and also when the power goes. What is
//! promised, and where it ends, is in `docs/remote.md`. This is the one place where SDK keys are kept as they came, so
//! everything here is readable by its owner only.

mod board;
mod body;
mod delivery;
mod folder;
pub mod format;
mod queue;
pub mod reader;
mod refused;
#[cfg(test)]
mod tests;
mod writer;

pub use board::{Figures, News, Refusal, Trouble};
pub use body::BodyFile;
pub use delivery::{Body, Carried, Carrier};
pub use folder::SpoolError;
pub use format::Head;

use crate::recorder::{Disk, Storage};
use board::Board;
use bytes::Bytes;
use delivery::{Delivery, Phase};
use format::Measure;
use queue::{Cursor, Queue};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use writer::{Append, Order, Writer};

/// How much a spool may hold where nothing else is said.
pub const DEFAULT_LIMIT_BYTES: u64 = 1 << 30;
/// The least that makes sense: a few requests.
pub const SMALLEST_LIMIT_BYTES: u64 = 64 * 1024;
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// What is put aside of refused requests, at the most, in each lane.
const ASIDE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes that may wait for the disk. A disk that takes no more must not cost memory instead.
const UNWRITTEN_BYTES: u64 = 64 * 1024 * 1024;
/// How long a request waits for the disk. Its sender waits with it.
const DISK_PATIENCE: Duration = Duration::from_secs(5);
const LANES: usize = 3;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The folder.
    pub folder: PathBuf,
    /// How much it may hold.
    pub limit_bytes: u64,
    /// How often a delivery that failed is tried again.
    pub pace: Pace,
}

/// How often a delivery that failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After the first failure.
    pub first: Duration,
    /// At the most; each failure doubles it until then.
    pub longest: Duration,
    /// How long one request may fail, and nobody else's wait, before the next one of the same sender is tried as well: that
    /// tells one that an upstream cannot digest from an upstream that is away.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60), patience: Duration::from_secs(3600) }
    }
}

impl Pace {
    /// After so many failures before this one. Half of it is left to chance: many who wait for the same upstream must
    /// not all come back at once.
    fn pause(self, times: u32) -> Duration {
        let whole = self.first.saturating_mul(1 << times.min(16)).min(self.longest);
        let mut chance = [0];
        // Without chance it is the shortest there is, which harms nobody.
        let _ = getrandom::fill(&mut chance);
        let [chance] = chance;
        whole / 2 + whole.mul_f64(f64::from(chance) / 512.0)
    }
}

/// Whose requests wait behind each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Server and browser SDKs'.
    LaunchDarkly,
    /// Mobile SDKs'.
    Mobile,
    /// Segment's libraries'.
    Segment,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; LANES] = [Self::LaunchDarkly, Self::Mobile, Self::Segment];

    fn folder(self) -> &'static str {
        match self {
            Self::LaunchDarkly => "launchdarkly",
            Self::Mobile => "mobile",
            Self::Segment => "segment",
        }
    }

    fn whose(self) -> (&'static str, &'static str) {
        match self {
            Self::LaunchDarkly => ("LaunchDarkly", "--forward"),
            Self::Mobile => ("LaunchDarkly of mobile SDKs", "--forward or --forward-mobile"),
            Self::Segment => ("Segment", "--forward-segment"),
        }
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// There is no room for it.
    Full,
    /// The disk fails, or exptap is ending.
    Failed,
}

/// What was there at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Requests that wait in each lane.
    pub requests: [u64; LANES],
    /// What could not be read, in words.
    pub notes: Vec<String>,
    /// When the oldest came, epoch milliseconds.
    pub oldest_ms: Option<i64>,
}

/// A spool that is open.
pub struct Spool {
    board: Arc<Board>,
    queues: [Arc<Queue>; LANES],
    next_body: [AtomicU64; LANES],
    orders: Sender<Order>,
    unwritten: Arc<AtomicU64>,
    cursors: Mutex<Option<[Cursor; LANES]>>,
    pace: Pace,
    aside_bytes: u64,
    /// Held as long as this lives: the folder is nobody else's.
    _lock: File,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Spool").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

/// Opens a spool.
///
/// # Errors
/// Why the folder cannot be one.
pub fn open(options: &Options) -> Result<(Spool, Found), SpoolError> {
    open_on(options, Box::new(Disk))
}

fn open_on(options: &Options, storage: Box<dyn Storage>) -> Result<(Spool, Found), SpoolError> {
    let limit = options.limit_bytes.max(SMALLEST_LIMIT_BYTES);
    let folder = folder::take(&options.folder)?;
    let board = Arc::new(Board::new(&options.folder, limit));
    let mut found = Found::default();
    for ((lane, there), requests) in Lane::ALL.into_iter().zip(&folder.lanes).zip(&mut found.requests) {
        *requests = there.requests;
        board.has_taken(there.disk_bytes);
        if let Some(oldest_ms) = there.oldest_ms {
            board.written(lane, there.requests, there.bytes, oldest_ms);
            found.oldest_ms = Some(found.oldest_ms.map_or(oldest_ms, |at: i64| at.min(oldest_ms)));
        }
        found.notes.extend(there.notes.iter().cloned());
    }
    let next = folder.lanes.each_ref().map(|lane| lane.next_segment);
    let next_body = folder.lanes.each_ref().map(|lane| AtomicU64::new(lane.next_body));
    let [a, b, c] = folder.lanes.map(|lane| (Arc::new(lane.queue), lane.cursor));
    let queues = [a.0, b.0, c.0];
    let (orders, waiting) = channel();
    let unwritten = Arc::<AtomicU64>::default();
    let writer = Writer {
        storage,
        board: Arc::clone(&board),
        queues: queues.clone(),
        active: Default::default(),
        next,
        segment_bytes: SEGMENT_BYTES.min(limit / 8),
        unwritten: Arc::clone(&unwritten),
    };
    let thread = std::thread::Builder::new().name("spool writer".to_owned()).spawn(move || writer.run(&waiting));
    if let Err(error) = thread {
        return Err(SpoolError::Refused { path: options.folder.clone(), why: format!("there is no thread: {error}") });
    }
    let spool = Spool {
        board,
        queues,
        next_body,
        orders,
        unwritten,
        cursors: Mutex::new(Some([a.1, b.1, c.1])),
        pace: options.pace,
        aside_bytes: ASIDE_BYTES.min(limit / 16),
        _lock: folder.lock,
    };
    Ok((spool, found))
}

impl Spool {
    /// Keeps a request; when this returns it is on the disk for certain, and in its place behind those before it.
    ///
    /// # Errors
    /// Where it is not kept, and nothing is known of it here.
    pub async fn append(&self, lane: Lane, head: &Head, arrival_ms: i64, body: Bytes) -> Result<(), NotKept> {
        if body.len() as u64 > format::INLINE_BYTES {
            let mut file = self.body_file(lane);
            file.write(body).await.inspect_err(|_| self.board.turned_away())?;
            return self.append_file(lane, head, arrival_ms, file).await;
        }
        let result = self.put(lane, head, arrival_ms, body.clone(), Measure::of(&body)).await;
        result.inspect_err(|_| self.board.turned_away())
    }

    /// Begins to keep a body that is too large for memory.
    pub fn body_file(&self, lane: Lane) -> BodyFile {
        let number = self.next_body.get(lane as usize).map_or(0, |next| next.fetch_add(1, Ordering::Relaxed));
        let folder = self.queue(lane).map(|queue| queue.folder().to_owned()).unwrap_or_default();
        BodyFile::new(queue::body_path(&folder, number), number, Arc::clone(&self.board))
    }

    /// As [`Spool::append`], of a body that was written to a file.
    ///
    /// # Errors
    /// Where it is not kept, and nothing is known of it here.
    pub async fn append_file(
        &self,
        lane: Lane,
        head: &Head,
        arrival_ms: i64,
        mut file: BodyFile,
    ) -> Result<(), NotKept> {
        let kept = match file.finish().await {
            Ok(measure) => {
                // Before it is known: a sender may leave meanwhile, and its request is delivered all the same.
                file.keep(true);
                self.put(lane, head, arrival_ms, Bytes::new(), measure).await.inspect_err(|_| file.keep(false))
            }
            Err(not_kept) => Err(not_kept),
        };
        kept.inspect_err(|_| self.board.turned_away())
    }

    async fn put(
        &self,
        lane: Lane,
        head: &Head,
        arrival_ms: i64,
        body: Bytes,
        measure: Measure,
    ) -> Result<(), NotKept> {
        let head = head.to_bytes();
        if !format::fits(&head) {
            return Err(NotKept::Full);
        }
        let elsewhere = measure.bytes - body.len() as u64;
        let head = format::encode(&head, arrival_ms, measure);
        let bytes = (head.len() + body.len()) as u64;
        if !self.board.take_room(bytes) {
            return Err(NotKept::Full);
        }
        if self.unwritten.fetch_add(bytes, Ordering::Relaxed) + bytes > UNWRITTEN_BYTES.max(bytes) {
            self.unwritten.fetch_sub(bytes, Ordering::Relaxed);
            self.board.give_room(bytes);
            return Err(NotKept::Failed);
        }
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::Append(Append { lane, head, body, elsewhere, arrival_ms, done })).is_err() {
            self.unwritten.fetch_sub(bytes, Ordering::Relaxed);
            self.board.give_room(bytes);
            return Err(NotKept::Failed);
        }
        // It may still be written, and then it is delivered as well: twice rather than never.
        match tokio::time::timeout(DISK_PATIENCE, is_done).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(_) => Err(NotKept::Failed),
            Err(_) => {
                self.board.cannot_write(&format!("the disk took longer than {} s", DISK_PATIENCE.as_secs()));
                Err(NotKept::Failed)
            }
        }
    }

    fn queue(&self, lane: Lane) -> Option<&Arc<Queue>> {
        self.queues.get(lane as usize)
    }

    /// Whether nothing of a lane can be delivered at the moment.
    pub fn is_failing(&self, lane: Lane) -> bool {
        self.board.is_failing(lane)
    }

    /// A request was not kept whose body was not even received.
    pub fn turned_away(&self) {
        self.board.turned_away();
    }

    /// How it stands.
    pub fn figures(&self) -> Figures {
        self.board.figures()
    }

    /// The next thing to say about it.
    pub async fn news(&self) -> News {
        self.board.news().await
    }

    /// Delivers until told to stop, on a thread of its own: reading a disk makes whoever does it wait.
    ///
    /// # Errors
    /// Where there is no thread to be had, or it was started before.
    pub fn deliver<C: Carrier + Send + 'static>(
        self: &Arc<Self>,
        carriers: [Option<C>; LANES],
    ) -> std::io::Result<Deliveries> {
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some([first, second, third]) = cursors else {
            return Err(std::io::Error::other("it delivers already"));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let phase = watch::Sender::new(Phase::Delivering);
        let told = phase.subscribe();
        let (ended, has_ended) = oneshot::channel();
        let spool = Arc::clone(self);
        std::thread::Builder::new().name("spool delivery".to_owned()).spawn(move || {
            let [launchdarkly, mobile, segment] = &carriers;
            runtime.block_on(async {
                tokio::join!(
                    spool.lane(Lane::LaunchDarkly, launchdarkly.as_ref(), first, told.clone()),
                    spool.lane(Lane::Mobile, mobile.as_ref(), second, told.clone()),
                    spool.lane(Lane::Segment, segment.as_ref(), third, told.clone()),
                );
            });
            // What still runs there are connections nobody waits for.
            runtime.shutdown_background();
            // Whoever waits for the end may open the folder again.
            drop((spool, carriers));
            let _ = ended.send(());
        })?;
        Ok(Deliveries { phase, has_ended })
    }

    async fn lane<C: Carrier>(&self, lane: Lane, carrier: Option<&C>, cursor: Cursor, phase: watch::Receiver<Phase>) {
        if let (Some(carrier), Some(queue)) = (carrier, self.queue(lane)) {
            let (pace, aside) = (self.pace, self.aside_bytes);
            Delivery::new(lane, queue, &self.board, &self.orders, carrier, pace, cursor, aside).run(phase).await;
        }
    }
}

/// Says which lanes have requests and nowhere to go.
///
/// # Errors
/// The first of them.
pub fn check_ways(folder: &std::path::Path, found: &Found, has_way: [bool; LANES]) -> Result<(), SpoolError> {
    if has_way.iter().all(|has| !has) {
        return Err(SpoolError::Nowhere);
    }
    for ((lane, requests), has_way) in Lane::ALL.into_iter().zip(found.requests).zip(has_way) {
        if requests > 0 && !has_way {
            let (whose, option) = lane.whose();
            return Err(SpoolError::NoUpstream { folder: folder.to_owned(), requests, whose, option });
        }
    }
    Ok(())
}

/// Deliveries that go on.
pub struct Deliveries {
    phase: watch::Sender<Phase>,
    has_ended: oneshot::Receiver<()>,
}

impl Deliveries {
    /// Ends them: what can be delivered at once still is, for so long at the most. The rest stays.
    pub async fn end(self, patience: Duration) {
        let Self { phase, mut has_ended } = self;
        phase.send_replace(Phase::Finishing);
        if tokio::time::timeout(patience, &mut has_ended).await.is_err() {
            phase.send_replace(Phase::Stopped);
            let _ = has_ended.await;
        }
    }
}
