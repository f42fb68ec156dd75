//! The recorder: writes what is received to a file, on a thread of its own, and never slows anything else down.
//!
//! ```text
//!  endpoint ── tap ──▶ queue (bounded) ──▶ thread ──▶ writer ──▶ file
//!  keys ────── mark ──▶                       └──▶ snapshot ──▶ header, banner, stderr
//! ```
//!
//! What does not fit in the queue is a gap in the recording where it happened. Where the file fails, the writer stops,
//! says so and counts; the session goes on, and so does the recording when it is told to try again. What is promised,
//! and what a file holds, is in `docs/recordings.md`.

mod open;
mod queue;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::endpoint::Caps;
pub use open::Refusal;
pub use storage::{Disk, Handle, Identity, Named, Storage};

use crate::endpoint::{Missed, Tap};
use crate::envelope::Envelope;
use crate::recording::{Flags, Header, Mark};
use queue::{Item, Queue, Waited};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use writer::{Moment, Writer};

/// Who looks on is told at most so often of figures; of a change of state at once.
const TELL: Duration = Duration::from_millis(250);

/// What a recording begins with.
#[derive(Debug, Default)]
pub struct Start {
    /// The file.
    pub path: PathBuf,
    /// Its header; when it is created is filled in.
    pub header: Header,
    /// Requests that were received before, in order.
    pub history: Vec<Arc<Envelope>>,
    /// How much may wait to be written.
    pub caps: Caps,
    /// When to go on in another file.
    pub rotate: Rotate,
}

/// When to put a file aside, under a name with the time in it, and go on in a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotate {
    /// Once it has so many bytes.
    pub bytes: Option<u64>,
    /// Once it is so old.
    pub age: Option<Duration>,
}

/// How a recording is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The file is being opened.
    Opening,
    /// The file cannot be recorded to. Nothing was changed in it.
    Refused(String),
    /// Everything is fine.
    Recording,
    /// The file failed.
    Stopped {
        /// When, epoch milliseconds.
        since_ms: i64,
        /// Why.
        why: String,
        /// Requests that came since and are not recorded.
        not_kept: u64,
    },
    /// It was ended and is complete.
    Closed,
}

/// A file that was removed or renamed while it was recorded to, so that another one was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When that was noticed, epoch milliseconds.
    pub at_ms: i64,
    /// Whether the file is gone, and not only elsewhere.
    pub was_removed: bool,
    /// Requests in it.
    pub requests: u64,
}

/// A recording at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// How it is doing.
    pub state: State,
    /// Requests written since it was begun.
    pub requests: u64,
    /// Marks written since it was begun.
    pub marks: u64,
    /// Requests that are missing, each of them accounted for by a gap.
    pub lost: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Set where another file took the place of the first.
    pub moved: Option<Moved>,
    /// Files that were put aside, as [`Rotate`] says.
    pub put_aside: u64,
}

impl Snapshot {
    fn opening(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, state: State::Opening, requests: 0, marks: 0, lost: 0, bytes: 0, moved: None, put_aside: 0 }
    }

    /// The file's name without its folder.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(|| self.path.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// Whether nothing will come of it any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Refused(_))
    }
}

/// In a sentence, for the end of a session.
impl fmt::Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if let State::Refused(why) = &self.state {
            return write!(formatter, "{path}: {why}");
        }
        let requests = if self.requests == 1 { "request" } else { "requests" };
        write!(formatter, "recorded {} {requests} to {path} ({})", self.requests, size(self.bytes))?;
        match self.put_aside {
            0 => {}
            1 => write!(formatter, " and a file put aside before it")?,
            files => write!(formatter, " and {files} files put aside before it")?,
        }
        if let Some(Moved { was_removed, requests, .. }) = &self.moved {
            let what = if *was_removed { "removed" } else { "moved away" };
            write!(formatter, "; the file before it, with {requests} in it, was {what} meanwhile")?;
        }
        if self.lost > 0 {
            write!(formatter, "; {} are missing, and it says where", self.lost)?;
        }
        if let State::Stopped { why, not_kept, .. } = &self.state {
            write!(formatter, "; then recording stopped: {why}; {not_kept} requests after that were not kept")?;
        }
        Ok(())
    }
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        // Tenths, rounded down: a size must not seem to be reached before it is.
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

/// A recording that is under way. Dropped, it is ended as [`Recorder::finish`] does.
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue,
    told: Mutex<Told>,
    changed: Notify,
    told_anew: Condvar,
}

struct Told {
    snapshot: Snapshot,
    /// The thread is gone, however that came about.
    has_ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Told> {
        // A snapshot is replaced as a whole, so a poisoned lock is still right.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, snapshot: &Snapshot) {
        self.lock().snapshot.clone_from(snapshot);
        self.changed.notify_one();
        self.told_anew.notify_all();
    }
}

impl Recorder {
    /// Starts recording. Whether the file can be recorded to is found out on the recorder's thread: see
    /// [`Recorder::opened`], or the first snapshot that says so.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(storage: impl Storage + 'static, start: Start) -> io::Result<Self> {
        let Start { path, header, history, caps, rotate } = start;
        let shared = Arc::new(Shared {
            queue: Queue::new(caps),
            told: Mutex::new(Told { snapshot: Snapshot::opening(&path), has_ended: false }),
            changed: Notify::new(),
            told_anew: Condvar::new(),
        });
        let writer = Writer::new(storage, &path, header).rotating(rotate);
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            let ended = Ended(theirs);
            record(&ended.0, writer, history);
        })?;
        Ok(Self { shared })
    }

    /// What the endpoint hands requests to.
    pub fn tap(&self) -> Arc<dyn Tap> {
        Arc::new(Entrance(Arc::clone(&self.shared)))
    }

    /// Sets a mark after everything that was received so far.
    pub fn mark(&self, mark: Mark) {
        self.shared.queue.push(Item::Mark(mark));
    }

    /// Writes the flags that passed by so far, and at the beginning of every file that follows.
    pub fn flags(&self, flags: Flags) {
        self.shared.queue.push(Item::Flags(flags));
    }

    /// Tries again after a fault; takes the news of a file that was moved as read.
    pub fn retry(&self) {
        self.shared.queue.push(Item::Retry);
    }

    /// How it is doing.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.lock().snapshot.clone()
    }

    /// Waits until the snapshot may have changed.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Waits until it is known whether the file can be recorded to.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn opened(&self) -> Result<(), String> {
        let mut told = self.shared.lock();
        while told.snapshot.state == State::Opening && !told.has_ended {
            told = self.shared.told_anew.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
        match &told.snapshot.state {
            State::Refused(_) => Err(told.snapshot.to_string()),
            _ => Ok(()),
        }
    }

    /// Ends it, without waiting: a snapshot will say when it is over.
    pub fn close(&self) {
        self.shared.queue.push(Item::Close);
    }

    /// Ends it: everything that waits is written and the file is synced. Waits for so long at most. True: it is done.
    pub fn finish(&self, at_most: Duration) -> bool {
        self.close();
        let until = Instant::now() + at_most;
        let mut told = self.shared.lock();
        while !told.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (told, _) = self.shared.told_anew.wait_timeout(told, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Requests that wait to be written.
    pub fn waiting(&self) -> u64 {
        self.shared.queue.requests()
    }
}

/// How long the end of a recording may take.
pub const FINISH: Duration = Duration::from_secs(5);

impl Drop for Recorder {
    fn drop(&mut self) {
        // Also on the way out of a panic: what was received before it is what somebody will want to see.
        self.finish(FINISH);
    }
}

/// Says that the thread is gone when it is, whether it returned or panicked.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut told = self.0.lock();
        told.has_ended = true;
        if std::thread::panicking() && !told.snapshot.is_over() {
            let why = "a part of exptap failed".to_owned();
            told.snapshot.state = State::Stopped { since_ms: now().epoch_ms, why, not_kept: self.0.queue.requests() };
        }
        drop(told);
        // Nobody empties the queue any more.
        self.0.queue.push(Item::Close);
        self.0.changed.notify_one();
        self.0.told_anew.notify_all();
    }
}

/// The tap keeps the queue, not the recorder: whoever drops the recorder ends the recording.
struct Entrance(Arc<Shared>);

impl Tap for Entrance {
    fn take(&self, envelope: Envelope) {
        self.0.queue.take(envelope);
    }
    fn lose(&self, requests: u64, arrival_ms: i64) {
        self.0.queue.lose(requests, arrival_ms);
    }
    fn miss(&self, missed: &Missed) {
        self.0.queue.miss(missed);
    }
}

fn now() -> Moment {
    Moment { epoch_ms: jiff::Timestamp::now().as_millisecond(), instant: Instant::now() }
}

/// The thread.
fn record<S: Storage>(shared: &Shared, mut writer: Writer<S>, history: Vec<Arc<Envelope>>) {
    if let Err(refusal) = writer.open(now()) {
        let state = State::Refused(refusal.to_string());
        return shared.tell(&Snapshot { state, ..writer.snapshot().clone() });
    }
    shared.tell(writer.snapshot());
    writer.history(history.iter().map(AsRef::as_ref), now());
    drop(history);
    let mut told = writer.snapshot().clone();
    let mut told_at = Instant::now();
    loop {
        let due = writer.tick(now());
        let is_changed = *writer.snapshot() != told;
        let is_news = std::mem::discriminant(&writer.snapshot().state) != std::mem::discriminant(&told.state)
            || writer.snapshot().moved != told.moved;
        if is_news || (is_changed && told_at.elapsed() >= TELL) {
            told.clone_from(writer.snapshot());
            told_at = Instant::now();
            shared.tell(&told);
        }
        let tell = (*writer.snapshot() != told).then(|| told_at + TELL);
        match shared.queue.next([due, tell].into_iter().flatten().min()) {
            Waited::Time => {}
            Waited::Item(Item::Request(envelope)) => writer.request(&envelope, now()),
            Waited::Item(Item::Gap(gap)) => writer.gap(&gap, now()),
            Waited::Item(Item::Mark(mark)) => writer.mark(mark, now()),
            Waited::Item(Item::Flags(flags)) => writer.flags(flags, now()),
            Waited::Item(Item::Retry) => writer.retry(now()),
            Waited::Item(Item::Close) => {
                writer.close(now());
                return shared.tell(writer.snapshot());
            }
        }
    }
}
