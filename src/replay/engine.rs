//! What the worker does, a slice at a time.
//!
//! Between two slices it listens: a slice is a few milliseconds' work. What the user waits for comes first (going
//! somewhere, then playing), reading on comes last. Only what time it is comes from outside, so that tests need no
//! thread and no sleep.

use super::checkpoints::{Checkpoints, Recent};
use super::file::RecordingFile;
use super::findings::Findings;
use super::head::{Gone, Head, What};
use super::inferring::{Inferred, Inferring};
use super::journey::{Journey, Leg};
use super::lines::{Place, Remark};
use super::player::{
    Command, Direction, Going, Idle, Reading, ReplayOptions, Silence, Speed, Status, Stop, Target, Update,
};
use super::playing::Playing;
use super::timeline::{FindingAt, Index, Timeline};
use crate::catalog::Catalog;
use crate::headless::Fault;
use crate::report::Report;
use crate::session::{Session, SessionOptions};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events taken in in a slice.
pub(super) const SLICE_EVENTS: u64 = 2000;
/// Records looked at in a slice.
pub(super) const SLICE_RECORDS: u32 = 500;
/// While the recording is read, what is shown follows so often, and making it takes no more than a tenth of the time.
const SNAPSHOT: Duration = Duration::from_millis(200);
/// Events of which rows are made for that.
const SNAPSHOT_EVENTS: u64 = 2000;
/// How long a pipe is left alone that has nothing to say.
const PIPE: Duration = Duration::from_millis(50);
/// Damaged lines that are told one by one.
const TOLD: usize = 3;

/// When there is work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Now.
    AtOnce,
    /// Then.
    At(Instant),
    /// When there is a command.
    OnCommand,
}

enum Stage {
    Inferring(Box<Inferring>),
    /// The session that everything is taken in by, from the first record on.
    Reading(Box<Head>),
    Complete,
}

/// What is shown.
pub(super) struct Shown {
    pub(super) head: Head,
    /// The recording's time: at or after that of the last record.
    pub(super) clock_ms: Option<i64>,
    /// Nothing more comes: it cannot go on from here.
    pub(super) is_end: bool,
}

/// What the user wants, before it is known where that is.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Go(Target),
    Step(Stop, Direction),
}

/// A replay.
pub struct Engine {
    pub(super) file: RecordingFile,
    rows: u64,
    stage: Stage,
    session_options: SessionOptions,
    pub(super) index: Index,
    pub(super) checkpoints: Checkpoints,
    pub(super) recent: Recent,
    pub(super) findings: Findings,
    pub(super) shown: Option<Shown>,
    wish: Option<Wish>,
    journey: Option<Journey>,
    pub(super) playing: Option<Playing>,
    pub(super) speed: Speed,
    pub(super) idle: Idle,
    pub(super) silence: Option<Silence>,
    is_following: bool,
    is_stopped: bool,
    /// The header of another recording ends it.
    ends_interrupted: bool,
    /// Rows are being made for what is shown next.
    is_snapshot_due: bool,
    snapshot_from_events: u64,
    snapshot_at: Option<Instant>,
    /// How long it took to make what was shown last ready.
    pub(super) show_cost: Duration,
    message: Option<&'static str>,
    damaged: Vec<Fault>,
    damaged_lines: u64,
    broken_off: Vec<Fault>,
    notes: Arc<[String]>,
    fault: Option<String>,
    name: Arc<str>,
    shown_before: u64,
    /// The report that was made last.
    figures: Option<Arc<Report>>,
    /// What is shown is shown with the report of what was shown before.
    is_figures_due: bool,
    is_look: bool,
    patience: Duration,
    figures_at: Option<Instant>,
    is_timeline_new: bool,
    timeline_at: Option<Instant>,
    read_to: u64,
    update: Update,
    status: Option<Status>,
}

impl Engine {
    /// Begins.
    pub fn new(file: RecordingFile, options: ReplayOptions) -> Self {
        let header = file.header();
        let observed_from_ms = options.observed_from_ms.or(header.observed_from_ms);
        let session_options = SessionOptions {
            segment_delivery_percent: options.segment_delivery_percent,
            ..SessionOptions::of_recording(options.clock, observed_from_ms, options.rows)
        };
        let stage = match options.given.or(header.given()).catalog() {
            Ok(catalog) => Stage::Reading(Box::new(beginning(catalog, session_options))),
            Err(inference) => Stage::Inferring(Box::new(Inferring::new(inference))),
        };
        Self {
            name: file.name().into(),
            file,
            rows: options.rows as u64,
            stage,
            session_options,
            index: Index::default(),
            checkpoints: Checkpoints::new(options.checkpoint_events, options.checkpoint_bytes),
            recent: Recent::default(),
            findings: Findings::default(),
            shown: None,
            wish: None,
            journey: None,
            playing: None,
            speed: Speed::Times(1.0),
            idle: Idle::Shorten(5000),
            silence: None,
            is_following: true,
            is_stopped: false,
            ends_interrupted: false,
            is_snapshot_due: true,
            snapshot_from_events: 0,
            snapshot_at: None,
            show_cost: Duration::ZERO,
            message: None,
            damaged: Vec::new(),
            damaged_lines: 0,
            broken_off: Vec::new(),
            notes: Arc::default(),
            fault: None,
            shown_before: 0,
            figures: None,
            is_figures_due: false,
            is_look: false,
            patience: options.patience,
            figures_at: None,
            is_timeline_new: true,
            timeline_at: None,
            read_to: 0,
            update: Update::default(),
            status: None,
        }
    }

    /// Takes what there is to show.
    pub fn take_update(&mut self) -> Update {
        std::mem::take(&mut self.update)
    }

    /// Does what the user wants, or begins to.
    pub fn command(&mut self, command: Command, now: Instant) {
        self.message = None;
        match command {
            Command::Play => self.play(),
            Command::Pause => self.pause(),
            Command::PlayOrPause if self.playing.is_some() => self.pause(),
            Command::PlayOrPause => self.play(),
            Command::Speed(speed) => {
                self.pace_anew(now);
                self.speed = speed.bounded();
            }
            Command::Idle(idle) => self.idle = idle,
            Command::Seek(target) => self.wish(Wish::Go(target)),
            Command::Step(stop, direction) => {
                self.playing = None;
                self.wish(Wish::Step(stop, direction));
            }
            Command::Cancel => self.cancel(),
            Command::Read => self.is_stopped = false,
        }
    }

    fn play(&mut self) {
        if self.shown.as_ref().is_some_and(|shown| shown.is_end) && self.wish.is_none() && self.journey.is_none() {
            self.wish(Wish::Go(Target::Start));
        }
        self.stay();
        self.playing = Some(Playing::default());
    }

    fn pause(&mut self) {
        self.playing = None;
        self.stay();
    }

    fn cancel(&mut self) {
        if self.wish.take().is_some() | self.journey.take().is_some() {
            return;
        }
        if !matches!(self.stage, Stage::Complete) {
            self.is_stopped = true;
        }
        self.stay();
    }

    /// Follows the reading no longer. What is shown then gets all its rows.
    fn stay(&mut self) {
        if std::mem::take(&mut self.is_following)
            && self.wish.is_none()
            && !matches!(self.stage, Stage::Inferring(_))
            && let Some(shown) = &self.shown
        {
            self.wish = Some(Wish::Go(Target::Position(shown.head.position)));
        }
    }

    fn wish(&mut self, wish: Wish) {
        // A step from somewhere it is still going to is meant from there.
        if !matches!((wish, &self.wish, &self.journey), (Wish::Step(..), None, Some(_))) {
            self.journey = None;
        }
        self.is_following = false;
        self.wish = Some(wish);
    }

    /// Works for a few milliseconds.
    pub fn work(&mut self, now: Instant) -> Wake {
        let wake = match self.fault {
            Some(_) => Wake::OnCommand,
            None => self.slice(now).unwrap_or_else(|error| {
                self.fault = Some(format!("{}: it can no longer be read: {error}", self.name));
                (self.playing, self.wish, self.journey) = (None, None, None);
                Wake::OnCommand
            }),
        };
        self.tell(now);
        wake
    }

    fn slice(&mut self, now: Instant) -> io::Result<Wake> {
        if let Stage::Inferring(_) = self.stage {
            // Whoever wants to go somewhere, or to play, wants it read.
            if self.wish.is_some() || self.playing.is_some() {
                self.is_stopped = false;
            }
            return if self.is_stopped { Ok(Wake::OnCommand) } else { self.infer(now) };
        }
        if let Some(wish) = self.wish
            && let Some(leg) = self.resolve(wish)?
        {
            self.wish = None;
            self.set_out(leg)?;
        }
        if self.journey.is_some() {
            self.travel()?;
            return Ok(Wake::AtOnce);
        }
        // While playing there are new figures as often as leaves most of the time for playing.
        let rest = if self.playing.is_some() { self.show_cost * 4 } else { Duration::ZERO };
        if self.is_figures_due && self.figures_at.is_none_or(|at| now >= at + rest) {
            self.make_figures();
            self.figures_at = Some(now);
            return Ok(Wake::AtOnce);
        }
        let wake = if self.wish.is_none() && self.playing.is_some() { self.play_on(now)? } else { Wake::OnCommand };
        if wake == Wake::AtOnce || self.is_stopped || self.is_complete() {
            return Ok(wake);
        }
        match (self.read_on(now)?, wake) {
            (Wake::At(pipe), Wake::At(play)) => Ok(Wake::At(pipe.min(play))),
            (wake, _) => Ok(wake),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete)
    }

    fn infer(&mut self, now: Instant) -> io::Result<Wake> {
        let Stage::Inferring(inferring) = &mut self.stage else { return Ok(Wake::AtOnce) };
        let inferred = inferring.slice(&mut self.file, self.session_options)?;
        self.read_to = inferring.offset();
        match inferred {
            Inferred::NotYet => {}
            Inferred::Waiting => return Ok(Wake::At(now + PIPE)),
            Inferred::Beginning(head) => {
                let clock_ms = head.time_ms;
                self.show(Shown { head: *head, clock_ms, is_end: false }, false);
            }
            Inferred::Catalog(catalog) => {
                self.stage = Stage::Reading(Box::new(beginning(*catalog, self.session_options)));
                self.read_to = 0;
                // It was judged by what the beginning suggested: nothing goes on from it.
                if let Some(shown) = self.shown.take()
                    && !self.is_following
                    && self.wish.is_none()
                {
                    self.wish = Some(Wish::Go(Target::Position(shown.head.position)));
                }
            }
        }
        Ok(Wake::AtOnce)
    }

    /// Reads on: takes in, indexes and keeps checkpoints.
    fn read_on(&mut self, now: Instant) -> io::Result<Wake> {
        let Stage::Reading(head) = &mut self.stage else { return Ok(Wake::OnCommand) };
        if !self.is_snapshot_due && self.snapshot_at.is_none_or(|at| now >= at + SNAPSHOT.max(self.show_cost * 10)) {
            (self.is_snapshot_due, self.snapshot_from_events) = (true, head.events());
        }
        let with_rows = self.is_following && self.is_snapshot_due;
        let until = head.events() + SLICE_EVENTS;
        let mut wake = Wake::AtOnce;
        let mut is_end = false;
        let mut faults = Vec::new();
        for _ in 0..SLICE_RECORDS {
            self.index.at(head.place());
            self.checkpoints.consider(head);
            match head.step(&mut self.file, with_rows)? {
                Gone::On(seen) => {
                    self.index.add(&seen);
                    match seen.what {
                        What::Damaged(line, error) => faults.push((line, error)),
                        What::LeftOut(line, reason) => {
                            self.broken_off.push(Fault { source: self.name.to_string(), line, byte: None, reason });
                        }
                        _ => {}
                    }
                }
                Gone::Remark(remark) => self.broken_off.extend(remarked(&self.name, &remark)),
                Gone::End => {
                    is_end = true;
                    self.ends_interrupted = head.is_interrupted();
                    break;
                }
                Gone::Waiting => {
                    wake = Wake::At(now + PIPE);
                    break;
                }
            }
            if head.events() >= until {
                break;
            }
        }
        self.read_to = head.place().offset;
        self.is_timeline_new = true;
        let line = head.place().line;
        let is_enough = head.events() >= self.snapshot_from_events + SNAPSHOT_EVENTS || wake != Wake::AtOnce;
        let snapshot = (with_rows && is_enough && !is_end).then(|| head.fork());
        for (line, error) in faults {
            self.damaged(line, &error);
        }
        if let Some(mut head) = snapshot {
            head.is_filled = false;
            let clock_ms = head.time_ms;
            self.show(Shown { head, clock_ms, is_end: false }, true);
            if self.is_figures_due {
                self.make_figures();
            }
            (self.is_snapshot_due, self.snapshot_at) = (false, Some(now));
        }
        if is_end {
            if let Some(what) = self.file.damage() {
                let reason = format!("{what}; what comes before it was read");
                self.broken_off.push(Fault { source: self.name.to_string(), line, byte: None, reason });
            }
            self.note();
            self.stage = Stage::Complete;
            self.timeline_at = None;
            if std::mem::take(&mut self.is_following) {
                self.wish = Some(Wish::Go(Target::End));
            }
        }
        Ok(wake)
    }

    fn damaged(&mut self, line: u64, error: &crate::recording::LineError) {
        self.damaged_lines += 1;
        if self.damaged.len() < TOLD {
            let byte = match error {
                crate::recording::LineError::Json { offset, .. } => Some(*offset as u64 + 1),
                crate::recording::LineError::Shape(_) => None,
            };
            self.damaged.push(Fault { source: self.name.to_string(), line, byte, reason: error.to_string() });
        }
        self.note();
    }

    fn note(&mut self) {
        let mut notes = Vec::new();
        if self.damaged_lines > 0 {
            let first = self.damaged.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let (lines, verb) = if self.damaged_lines == 1 { ("line", "is") } else { ("lines", "are") };
            let more = if self.damaged_lines > TOLD as u64 { "; …" } else { "" };
            notes.push(format!(
                "{} damaged {lines} of the recording {verb} left out and counted as lost: {first}{more}",
                self.damaged_lines
            ));
        }
        notes.extend(self.broken_off.iter().take(TOLD).map(ToString::to_string));
        self.notes = notes.into();
    }

    /// Where a wish leads. None: that is not known before more is read. A wish that leads nowhere is dropped.
    fn resolve(&mut self, wish: Wish) -> io::Result<Option<Leg>> {
        let is_complete = self.is_complete();
        let base = match (&self.journey, &self.shown) {
            (Some(journey), _) if let Some(to) = journey.to() => to,
            (_, Some(shown)) => shown.head.position,
            _ => 0,
        };
        let timeline = &self.index.timeline;
        let records = timeline.records;
        let leg = match wish {
            Wish::Go(Target::Start) => Some(Leg::To(0, None)),
            Wish::Go(Target::End) if is_complete => Some(Leg::To(records, None)),
            Wish::Go(Target::End) => {
                (self.is_following, self.is_stopped) = (true, false);
                (self.playing, self.wish) = (None, None);
                return Ok(None);
            }
            Wish::Go(Target::Position(position)) if position <= records || is_complete => {
                Some(Leg::To(position.min(records), None))
            }
            Wish::Go(Target::Time(t_ms)) if is_complete || timeline.end_ms.is_some_and(|end_ms| t_ms < end_ms) => {
                let position = self.position_at(t_ms)?;
                Some(Leg::To(position, Some(t_ms)))
            }
            Wish::Go(_) => None,
            Wish::Step(Stop::Event, Direction::Forward) => match self.request_after(base)? {
                Some(position) => Some(Leg::To(position, None)),
                None => self.or_nothing("there is no later request").map(|()| Leg::To(records, None)),
            },
            Wish::Step(Stop::Event, Direction::Back) => Some(Leg::To(self.request_before(base)?, None)),
            Wish::Step(Stop::Mark, Direction::Forward) => {
                let mark = timeline.marks.iter().find(|mark| mark.position > base).map(|mark| mark.position);
                mark.map(|position| Leg::To(position, None)).or_else(|| {
                    self.or_nothing("there is no later mark")?;
                    Some(Leg::Nowhere)
                })
            }
            Wish::Step(Stop::Mark, Direction::Back) => {
                let mark = timeline.marks.iter().rev().find(|mark| mark.position < base).map(|mark| mark.position);
                if mark.is_none() {
                    self.message = Some("there is no earlier mark");
                }
                Some(mark.map_or(Leg::Nowhere, |position| Leg::To(position, None)))
            }
            // Before the end was looked at it is not known which findings there are.
            Wish::Step(Stop::Finding, _) if !is_complete => None,
            Wish::Step(Stop::Finding, direction) => Some(Leg::Finding(base, direction)),
        };
        if leg.is_none() {
            self.is_stopped = false;
        }
        Ok(leg)
    }

    fn or_nothing(&mut self, message: &'static str) -> Option<()> {
        if !self.is_complete() {
            return None;
        }
        self.message = Some(message);
        Some(())
    }

    pub(super) fn say(&mut self, message: &'static str) {
        self.message = Some(message);
    }

    fn set_out(&mut self, leg: Leg) -> io::Result<()> {
        self.journey = match leg {
            Leg::Nowhere => None,
            Leg::To(position, until_ms) => Some(Journey::Seek(self.seek(position, until_ms))),
            Leg::Finding(from, direction) => Some(Journey::Hunt(self.hunt(from, direction))),
        };
        Ok(())
    }

    fn travel(&mut self) -> io::Result<()> {
        let Some(mut journey) = self.journey.take() else { return Ok(()) };
        if !self.go_on(&mut journey)? {
            self.journey = Some(journey);
        } else if let Some(playing) = &mut self.playing {
            playing.begin_anew();
        }
        Ok(())
    }

    /// What everything is judged by, once that is known and while it is read.
    pub(super) fn catalog(&self) -> Option<Catalog> {
        match &self.stage {
            Stage::Reading(head) => Some(head.session.catalog().clone()),
            _ => None,
        }
    }

    pub(super) fn session_options(&self) -> SessionOptions {
        self.session_options
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Goes after a position that was found.
    pub(super) fn then_go(&mut self, position: u64) {
        self.wish = Some(Wish::Go(Target::Position(position)));
    }

    /// Shows a session. With `is_look` its report says where findings show.
    ///
    /// Where making the report takes longer than anybody should wait for a list of events, the list is shown at once
    /// with the report of the session before, and [`Engine::make_figures`] shows it again.
    pub(super) fn show(&mut self, mut shown: Shown, is_look: bool) {
        self.is_look = is_look;
        let figures = self.figures.clone().filter(|_| self.show_cost >= self.patience);
        self.is_figures_due = figures.is_some();
        if let Some(figures) = figures {
            self.renumber(&mut shown);
            let mut session = shown.head.session.clone();
            session.lend_report(figures);
            self.update.session = Some(session);
            self.shown = Some(shown);
        } else {
            self.shown = Some(shown);
            self.make_figures();
        }
    }

    /// Makes the report of what is shown, and shows it with it.
    fn make_figures(&mut self) {
        self.is_figures_due = false;
        let Some(mut shown) = self.shown.take() else { return };
        let begun = Instant::now();
        self.renumber(&mut shown);
        let report = shown.head.session.report();
        if self.is_look {
            self.look(shown.head.position, &report);
        }
        self.figures = Some(report);
        self.update.session = Some(shown.head.session.clone());
        self.shown = Some(shown);
        self.show_cost = begun.elapsed();
    }

    /// Makes of a session after the last record one of the whole recording.
    pub(super) fn conclude(&self, session: &mut Session) {
        if self.ends_interrupted {
            session.interrupt();
        }
        session.conclude();
    }

    /// Looks for findings in the report of a position.
    pub(super) fn look(&mut self, position: u64, report: &Report) {
        if self.findings.look(position, report) {
            (self.is_timeline_new, self.timeline_at) = (true, None);
        }
    }

    /// So far from the one before that what a session does by itself cannot lead from one to the next.
    fn renumber(&mut self, shown: &mut Shown) {
        self.shown_before += 1;
        shown.head.session.renumber(self.shown_before << 32);
    }

    fn tell(&mut self, now: Instant) {
        if self.is_timeline_new && self.timeline_at.is_none_or(|at| now >= at + SNAPSHOT) {
            let dated = |at: &FindingAt| FindingAt { t_ms: self.index.time_near(at.by), ..at.clone() };
            let findings = self.findings.known().iter().map(dated).collect();
            let timeline = Timeline { findings, ..self.index.timeline.clone() };
            self.update.timeline = Some(Arc::new(timeline));
            (self.is_timeline_new, self.timeline_at) = (false, Some(now));
        }
        let shown = self.shown.as_ref();
        let status = Status {
            name: Arc::clone(&self.name),
            position: shown.map_or(0, |shown| shown.head.position),
            events: shown.map_or(0, |shown| shown.head.events()),
            time_ms: shown.and_then(|shown| shown.clock_ms).or(self.index.timeline.start_ms),
            is_end: shown.is_some_and(|shown| shown.is_end),
            reading: match self.stage {
                Stage::Complete => Reading::Complete,
                _ if self.is_stopped => Reading::Stopped,
                Stage::Inferring(_) => Reading::Inferring,
                Stage::Reading(_) => Reading::Reading,
            },
            read: self.file.progress(self.read_to),
            records: self.index.timeline.records,
            is_following: self.is_following,
            going: self.going(),
            is_playing: self.playing.is_some(),
            speed: self.speed,
            idle: self.idle,
            silence: self.silence,
            message: self.message,
            has_figures: !self.is_figures_due,
            notes: Arc::clone(&self.notes),
            fault: self.fault.clone(),
            checkpoints: self.checkpoints.held(),
        };
        if self.status.as_ref() != Some(&status) {
            self.status = Some(status.clone());
            self.update.status = Some(status);
        }
    }

    fn going(&self) -> Option<Going> {
        if let Some(journey) = &self.journey {
            return journey.going();
        }
        // On the way to what was not read yet it is the reading that is waited for.
        self.wish.map(|_| Going { to: None, done: self.index.timeline.events, of: self.index.timeline.events })
    }
}

fn beginning(catalog: Catalog, options: SessionOptions) -> Head {
    Head::new(Session::new(Some(catalog), options), 0, Place::BEGINNING, None, true)
}

fn remarked(name: &str, remark: &Remark) -> Option<Fault> {
    let (line, reason) = match remark {
        Remark::BrokenOff(line) => (*line, "the recording ends in the middle of this line: 1 record is left out"),
        Remark::TooLong(line) => (*line, "this line is longer than 64 MiB and is left out"),
        Remark::Header(_) => return None,
    };
    Some(Fault { source: name.to_owned(), line, byte: None, reason: reason.to_owned() })
}
