//! The handle of a replay: commands in, what to show out.

use super::engine::{Engine, Wake};
use super::file::{OpenError, RecordingFile};
use super::timeline::Timeline;
use crate::attribution::state::{Clock, SEGMENT_DELIVERY_PERCENT};
use crate::catalog::Given;
use crate::input::Source;
use crate::session::Session;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How to replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Judges instead of what the recording says itself.
    pub given: Given,
    /// The clock that judges.
    pub clock: Clock,
    /// Since when everything was observed, instead of what the recording says.
    pub observed_from_ms: Option<i64>,
    /// Of the events that a trigger in Segment matches, LaunchDarkly should get so many percent.
    pub segment_delivery_percent: f64,
    /// Events in the list.
    pub rows: usize,
    /// Events between two checkpoints, to begin with.
    pub checkpoint_events: u64,
    /// Bytes of checkpoints, about, beside what the session itself takes.
    pub checkpoint_bytes: usize,
    /// A session whose report takes longer to make is shown before it is made.
    pub patience: Duration,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            given: Given::default(),
            clock: Clock::Creation,
            observed_from_ms: None,
            segment_delivery_percent: SEGMENT_DELIVERY_PERCENT,
            rows: 25_000,
            checkpoint_events: 25_000,
            checkpoint_bytes: 1024 * 1024 * 1024,
            patience: Duration::from_millis(50),
        }
    }
}

/// How fast the recording's time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast; a tenth to a hundred.
    Times(f64),
    /// As fast as it can be judged.
    Max,
}

impl Speed {
    /// The speed that is used: what is out of bounds is brought within.
    pub fn bounded(self) -> Self {
        match self {
            Self::Times(times) if times.is_nan() => Self::Times(1.0),
            Self::Times(times) => Self::Times(times.clamp(0.1, 100.0)),
            Self::Max => Self::Max,
        }
    }
}

/// What becomes of long silences while playing. They are measured in the recording's time: at half the speed a
/// silence is twice as long to sit through, but it is the same silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// They last as long as they did.
    Keep,
    /// After so many milliseconds of the recording's time the rest is skipped; 0 skips all of it.
    Shorten(i64),
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Before the first record.
    Start,
    /// After the last. While the recording is still being read, to where it was read, and along with it.
    End,
    /// After so many records.
    Position(u64),
    /// As of an instant, epoch milliseconds.
    Time(i64),
}

/// What to step by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A request, with all its events: what arrived together is judged together.
    Event,
    /// A bookmark.
    Mark,
    /// The first showing of a finding.
    Finding,
}

/// A way to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To what comes after.
    Forward,
    /// To what came before.
    Back,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Let time pass. At the end: from the beginning.
    Play,
    /// Let it stand still.
    Pause,
    /// One or the other.
    PlayOrPause,
    /// How fast.
    Speed(Speed),
    /// What becomes of silences.
    Idle(Idle),
    /// Go somewhere. Instead of where it was going, if it was. It goes on playing there if it was.
    Seek(Target),
    /// Go to the next, or back to the last; and stand still there.
    Step(Stop, Direction),
    /// Give up what takes so long: going somewhere, else reading the recording.
    Cancel,
    /// Read on, after that.
    Read,
}

/// What is being done about reading the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It names no catalog, so one is inferred from all of it, before anything is judged. What is shown meanwhile is
    /// its beginning, by what the beginning suggests.
    Inferring,
    /// It is read, judged and remembered.
    Reading,
    /// The user stopped it; what was read can be looked at.
    Stopped,
    /// It was read.
    Complete,
}

/// A way to somewhere that takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    /// The position it leads to, where that is known yet.
    pub to: Option<u64>,
    /// Events taken in.
    pub done: u64,
    /// Events to take in, about.
    pub of: u64,
}

/// A silence that was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// From when, epoch milliseconds of the recording.
    pub from_ms: i64,
    /// To when.
    pub to_ms: i64,
}

/// How the replay is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The recording's name. Not to be trusted.
    pub name: Arc<str>,
    /// Records taken in by what is shown.
    pub position: u64,
    /// Events among them.
    pub events: u64,
    /// The recording's time, epoch milliseconds: while playing it moves between records too. Whoever lets time pass
    /// for the session that is shown lets it pass up to here. None: nothing in it has a time.
    pub time_ms: Option<i64>,
    /// Whether what is shown is the whole recording: nothing is pending any more, and the report is the one that
    /// `exptap report` gives.
    pub is_end: bool,
    /// What is being done about reading it.
    pub reading: Reading,
    /// Bytes read, and of how many, where that is known.
    pub read: (u64, Option<u64>),
    /// Records read.
    pub records: u64,
    /// What is shown follows the reading.
    pub is_following: bool,
    /// A way that is being gone.
    pub going: Option<Going>,
    /// Whether time passes.
    pub is_playing: bool,
    /// How fast.
    pub speed: Speed,
    /// What becomes of silences.
    pub idle: Idle,
    /// The silence that was skipped last.
    pub silence: Option<Silence>,
    /// Why the last step led nowhere.
    pub message: Option<&'static str>,
    /// Whether the report of what is shown is its own. Where making it takes long it is that of what was shown before,
    /// until a session comes that has its own.
    pub has_figures: bool,
    /// What a person should know of the recording: damaged lines, an end in the middle. Not to be trusted.
    pub notes: Arc<[String]>,
    /// Why nothing goes on: the file can no longer be read. What is shown stays. Not to be trusted.
    pub fault: Option<String>,
    /// Checkpoints held, and their bytes beside those of the session itself, about.
    pub checkpoints: (usize, usize),
}

/// What there is to show that was not there before. Only the newest of each is kept.
#[derive(Default)]
pub struct Update {
    /// How it is doing.
    pub status: Option<Status>,
    /// What is shown from now on, instead of the session before. A report is made already, though it may be that of
    /// the session before ([`Status::has_figures`]); its revision is another one than that of every session before it.
    pub session: Option<Session>,
    /// The time line.
    pub timeline: Option<Arc<Timeline>>,
}

impl Update {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.session.is_none() && self.timeline.is_none()
    }

    /// Puts what is newer over it.
    pub(super) fn take_over(&mut self, newer: Self) {
        let Self { status, session, timeline } = newer;
        self.status = status.or(self.status.take());
        self.session = session.or(self.session.take());
        self.timeline = timeline.or(self.timeline.take());
    }
}

#[derive(Default)]
struct Mailbox {
    update: Mutex<Update>,
    changed: Notify,
}

/// A replay, which goes on on a thread of its own for as long as this is held.
pub struct Player {
    commands: Sender<Command>,
    mailbox: Arc<Mailbox>,
}

impl Player {
    /// Opens a recording and begins to read it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(source: &Source, options: ReplayOptions) -> Result<Self, OpenError> {
        let engine = Engine::new(RecordingFile::open(source)?, options);
        let (commands, received) = channel();
        let mailbox = Arc::new(Mailbox::default());
        let worker = Worker { engine, commands: received, mailbox: Arc::clone(&mailbox) };
        // Not waited for: it may be waiting for a pipe, and has nothing to put in order.
        std::thread::spawn(move || worker.run());
        Ok(Self { commands, mailbox })
    }

    /// Says what the user wants. It is done as soon as a few milliseconds' work is done.
    pub fn send(&self, command: Command) {
        // Only a thread that failed does not listen, and its failure is told where it is seen.
        let _ = self.commands.send(command);
    }

    /// Waits until there is something to take.
    pub async fn changed(&self) {
        self.mailbox.changed.notified().await;
    }

    /// Takes what is new.
    pub fn take(&self) -> Update {
        std::mem::take(&mut *self.mailbox.update.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Worker {
    engine: Engine,
    commands: Receiver<Command>,
    mailbox: Arc<Mailbox>,
}

impl Worker {
    fn run(mut self) {
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.engine.command(command, Instant::now()),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let wake = self.engine.work(Instant::now());
            let update = self.engine.take_update();
            if !update.is_empty() {
                self.mailbox.update.lock().unwrap_or_else(PoisonError::into_inner).take_over(update);
                self.mailbox.changed.notify_one();
            }
            let command = match wake {
                Wake::AtOnce => continue,
                Wake::At(at) => self.commands.recv_timeout(at.saturating_duration_since(Instant::now())),
                Wake::OnCommand => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match command {
                Ok(command) => self.engine.command(command, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
