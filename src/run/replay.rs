//! `replay`: a recording on screen.

use super::live;
use super::recording::Desk;
use super::tui::TuiOptions;
use super::{BAD_INPUT, now_ms, say, screen};
use crate::app::replay::{FirstSeen, Progress, Speed as ShownSpeed, Work};
use crate::app::{Forwarding, ReplayCommand, ReplayView, reread};
use crate::catalog::Given;
use crate::cli::{self, Place};
use crate::headless;
use crate::input::Source;
use crate::recording::{Gap, Mark};
use crate::replay::{Command, Direction, Idle, Player, Reading, ReplayOptions, Speed, Status, Stop, Target, Timeline};
use crate::session::{Session, SessionOptions, Shown};
use std::process::ExitCode;
use std::sync::Arc;

/// Slices of the time line: more than any screen has columns.
const SLICES: usize = 512;

/// Shows a recording until the user quits.
pub(super) fn run(options: cli::Replay) -> ExitCode {
    let source = Source::parse(&options.source);
    if let Err(code) = screen::require_for(&source) {
        return code;
    }
    let (mut given, mut watch) = match super::given(&options.judging) {
        Ok(read) => read,
        Err(code) => return code,
    };
    match headless::recorded_flags(&source) {
        Ok(flags) => given.flags = flags,
        Err(failure) => return super::failed(failure),
    }
    watch.begin_with(given.clone());
    let how = ReplayOptions {
        given,
        clock: options.judging.clock.into(),
        observed_from_ms: options.observed_from,
        segment_delivery_percent: options.judging.segment_delivery,
        ..ReplayOptions::default()
    };
    let player = match Player::open(&source, how.clone()) {
        Ok(player) => player,
        Err(error) => {
            say(error);
            return BAD_INPUT.into();
        }
    };
    if let Some(seconds) = options.max_idle {
        player.send(Command::Idle(Idle::Shorten(i64::from(seconds) * 1000)));
    }
    let place = options.at.or(options.speed.map(|_| Place::Start));
    match place {
        Some(Place::Start) => player.send(Command::Seek(Target::Start)),
        Some(Place::Time(t_ms)) => player.send(Command::Seek(Target::Time(t_ms))),
        // That is where it goes by itself.
        Some(Place::End) | None => {}
    }
    if let Some(speed) = options.speed {
        player.send(Command::Speed(speed));
        player.send(Command::Play);
    }
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let options = TuiOptions {
        // Empty, until the player has the first to show.
        session: Session::new(None, SessionOptions::from_now(now_ms())),
        intake: None,
        replaying: Some(Replaying::new(player, source, how)),
        addresses: Vec::new(),
        trust: None,
        reading: None,
        forward: Forwarding::default(),
        health: None,
        hints: None,
        link: None,
        flags: None,
        theme: options.screen.theme,
        fps: options.screen.fps,
        filter: options.screen.filter,
        desk: Desk::default(),
        watch,
    };
    screen::run(&runtime, options)
}

/// A recording that is played, as the loop of the screens deals with it.
pub(super) struct Replaying {
    player: Player,
    source: Source,
    how: ReplayOptions,
    file: String,
    judged_again: Option<JudgedAgain>,
    status: Option<Status>,
    timeline: Option<Arc<Timeline>>,
    /// What was told already: the last step's message, the last silence, the fault.
    told: (Option<&'static str>, Option<(i64, i64)>, bool),
}

/// What was shown before the recording was judged by something else.
struct JudgedAgain {
    shown: Shown,
    /// At which position.
    position: u64,
    /// What was read again.
    what: &'static str,
    /// Whether it was said what that changed.
    is_told: bool,
}

/// What there is to show.
pub(super) struct Replayed {
    /// A session that takes the place of the one shown.
    pub(super) session: Option<Session>,
    /// How the recording stands.
    pub(super) view: ReplayView,
    /// Sentences for the last line, and whether they are bad news.
    pub(super) news: Vec<(String, bool)>,
}

impl Replaying {
    fn new(player: Player, source: Source, how: ReplayOptions) -> Self {
        let file = source.name();
        let (status, timeline, told) = (None, None, (None, None, false));
        Self { player, source, how, file, judged_again: None, status, timeline, told }
    }

    /// Judges the recording by something else, from its beginning: nothing that was made of it holds any more. What is
    /// shown stays until it has come to the same place again; then what is another verdict than `shown` is marked.
    ///
    /// # Errors
    /// Why it cannot be read once more.
    pub(super) fn take_given(&mut self, given: Given, shown: Option<Shown>, what: &'static str) -> Result<(), String> {
        if !self.source.can_be_read_again() {
            return Err("it is of no use here: what comes through a pipe can be read only once".to_owned());
        }
        self.how.given = given;
        self.player = Player::open(&self.source, self.how.clone()).map_err(|error| error.to_string())?;
        if let Some(status) = &self.status {
            self.player.send(Command::Idle(status.idle));
            self.player.send(Command::Speed(status.speed));
            if !status.is_end && !status.is_following {
                self.player.send(Command::Seek(Target::Position(status.position)));
            }
            if status.is_playing {
                self.player.send(Command::Play);
            }
            let position = status.position;
            self.judged_again = shown.map(|shown| JudgedAgain { shown, position, what, is_told: false });
        }
        Ok(())
    }

    /// Waits until there is something new.
    pub(super) async fn changed(&self) {
        self.player.changed().await;
    }

    /// Hands on what the user asked for.
    pub(super) fn send(&self, command: ReplayCommand) {
        let steps = |stop: Stop, count: i32| {
            let direction = if count < 0 { Direction::Back } else { Direction::Forward };
            for _ in 0..count.unsigned_abs() {
                self.player.send(Command::Step(stop, direction));
            }
        };
        let seek = |target| self.player.send(Command::Seek(target));
        match command {
            ReplayCommand::TogglePlay => self.player.send(Command::PlayOrPause),
            ReplayCommand::Speed(speed) => {
                self.player.send(Command::Speed(speed.factor().map_or(Speed::Max, Speed::Times)));
            }
            ReplayCommand::SeekRecord(position) => seek(Target::Position(position)),
            ReplayCommand::SeekTime(t_ms) => seek(Target::Time(t_ms)),
            ReplayCommand::SeekFraction(part) => seek(self.target(part)),
            ReplayCommand::Start => seek(Target::Start),
            ReplayCommand::End => seek(Target::End),
            ReplayCommand::StepEvent(count) => steps(Stop::Event, count),
            ReplayCommand::StepMark(count) => steps(Stop::Mark, count),
            ReplayCommand::StepFinding(count) => steps(Stop::Finding, count),
            ReplayCommand::Cancel => self.player.send(Command::Cancel),
        }
    }

    /// A part of the recording: of its time, or of its records where that has no length.
    fn target(&self, part: f64) -> Target {
        let Some(timeline) = &self.timeline else { return Target::Start };
        if part <= 0.0 {
            return Target::Start;
        }
        if part >= 1.0 {
            return Target::End;
        }
        match timeline.start_ms.zip(timeline.end_ms) {
            Some((start, end)) if start < end => {
                Target::Time(start.saturating_add(((end - start) as f64 * part) as i64))
            }
            _ => Target::Position((timeline.records as f64 * part) as u64),
        }
    }

    /// Takes what is new.
    pub(super) fn take(&mut self) -> Replayed {
        let mut update = self.player.take();
        self.status = update.status.or(self.status.take());
        self.timeline = update.timeline.or(self.timeline.take());
        let mut news = self.news();
        let position = self.status.as_ref().map(|status| status.position);
        if let (Some(session), Some(again)) = (&mut update.session, &mut self.judged_again) {
            if position == Some(again.position) {
                let changed = session.mark_changes(&again.shown);
                if !std::mem::replace(&mut again.is_told, true) {
                    news.push((reread(again.what, changed, None), false));
                }
            } else if again.is_told {
                // The user has gone elsewhere. Before that, it is still on its way.
                self.judged_again = None;
            }
        }
        Replayed { session: update.session, view: self.view(), news }
    }

    fn news(&mut self) -> Vec<(String, bool)> {
        let mut news = Vec::new();
        let Some(status) = &self.status else { return news };
        let silence = status.silence.as_ref().map(|silence| (silence.from_ms, silence.to_ms));
        if let Some((from_ms, to_ms)) = silence.filter(|_| silence != self.told.1) {
            news.push((
                format!("skipped {} s in which nothing was received", to_ms.saturating_sub(from_ms) / 1000),
                false,
            ));
        }
        if let Some(message) = status.message.filter(|_| status.message != self.told.0) {
            news.push((message.to_owned(), false));
        }
        if let Some(fault) = status.fault.as_ref().filter(|_| !self.told.2) {
            news.push((fault.clone(), true));
        }
        self.told = (status.message, silence, status.fault.is_some());
        news
    }

    fn view(&self) -> ReplayView {
        let mut view = ReplayView { file: self.file.clone(), ..ReplayView::default() };
        if let Some(timeline) = &self.timeline {
            (view.records, view.first_ms, view.last_ms) = (timeline.records, timeline.start_ms, timeline.end_ms);
            view.density = density(timeline);
            view.marks = timeline.marks.iter().map(|mark| Mark { t_ms: mark.t_ms, note: mark.note.clone() }).collect();
            let gap = |gap: &crate::replay::GapAt| Gap { t_ms: gap.t_ms, lost: gap.lost, why: gap.why.clone() };
            view.gaps = timeline.gaps.iter().map(gap).collect();
            view.findings = timeline
                .findings
                .iter()
                .filter_map(|at| Some(FirstSeen { t_ms: at.t_ms?, code: at.code, severity: at.code.reason().severity }))
                .collect();
        }
        let Some(status) = &self.status else {
            view.progress = Some(Progress { what: Work::Opening, done: 0, total: 0 });
            return view;
        };
        view.records = view.records.max(status.records);
        (view.position, view.t_ms, view.playing) = (status.position, status.time_ms, status.is_playing);
        view.speed = shown(status.speed);
        view.notes = status.notes.iter().cloned().collect();
        view.progress = match (&status.going, status.reading) {
            (Some(going), _) => Some(Progress { what: Work::Seeking, done: going.done, total: going.of }),
            (None, Reading::Inferring | Reading::Reading) => {
                let (done, total) = status.read;
                Some(Progress { what: Work::Opening, done, total: total.unwrap_or(0) })
            }
            // The rows are there, and the figures of the panes are still those of the position before.
            (None, Reading::Stopped | Reading::Complete) => (!status.has_figures && !status.is_playing)
                .then_some(Progress { what: Work::Seeking, done: 0, total: 0 }),
        };
        view
    }
}

/// The nearest of the speeds that have a key.
fn shown(speed: Speed) -> ShownSpeed {
    let Speed::Times(times) = speed else { return ShownSpeed::Max };
    let distance = |shown: &ShownSpeed| shown.factor().map_or(f64::INFINITY, |factor| (factor / times).ln().abs());
    ShownSpeed::ALL.into_iter().min_by(|one, other| distance(one).total_cmp(&distance(other))).unwrap_or_default()
}

/// Events in equal slices of the recording's time.
fn density(timeline: &Timeline) -> Vec<u32> {
    let Some((start, end)) = timeline.start_ms.zip(timeline.end_ms).filter(|(start, end)| start < end) else {
        return Vec::new();
    };
    // No more slices than there are buckets: a bucket that is longer than a slice would leave gaps.
    let count = timeline.density.events.len().clamp(1, SLICES);
    let mut slices = vec![0_u32; count];
    let length = i128::from(end) - i128::from(start) + 1;
    for (index, events) in timeline.density.events.iter().enumerate() {
        let at = i128::from(timeline.density.start_ms) + index as i128 * i128::from(timeline.density.bucket_ms);
        let slice = ((at - i128::from(start)).clamp(0, length - 1) * count as i128 / length) as usize;
        if let Some(count) = slices.get_mut(slice) {
            *count = count.saturating_add(u32::try_from(*events).unwrap_or(u32::MAX));
        }
    }
    slices
}
