//! The one loop of the screens.
//!
//! It waits for signals, keys, time and requests, in this order; hands each to [`App::update`]; and draws at most
//! once per frame, only when something may have changed, and only when the terminal has taken the frame before.
//!
//! Requests are judged on this loop, in slices of a few milliseconds between which keys and frames come first.
//! The alternative, the session on a thread of its own behind a lock, would buy a second core at the price of a
//! lock that every frame contends for; judging an event takes microseconds, so at 20,000 events per second the
//! loop is busy with them for a small part of the time. What a slice leaves undone waits in the endpoint's bounded
//! queue, which counts what it cannot hold.

use super::live;
use super::pace::{Dirty, Pace};
use super::recording::Desk;
use super::replay::{Replayed, Replaying};
use super::survey::Surveys;
use super::trial::Trials;
use super::watch::{News, Watch};
use crate::app::keymap::lookup;
use crate::app::{Action, App, Effect, Forwarding, Health, Message, Pane, Setting, Surveyed, Tick, TrialNews};
use crate::attach::Board;
use crate::endpoint::{FlagBoard, IntakeReceiver, Received, Status};
use crate::recording::Mark;
use crate::report::{Report, table};
use crate::session::Session;
use crate::terminal::{Abilities, Screen};
use crate::tls::Trust;
use crate::ui;
use crate::ui::theme::{Depth, Theme, Themes};
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the screens are started with.
pub struct TuiOptions {
    /// The session, filled or empty. It is handed back at the end.
    pub session: Session,
    /// Where requests come from; none: the session is shown as it is.
    pub intake: Option<IntakeReceiver>,
    /// The recording that is played; its sessions take the place of the one above.
    pub(super) replaying: Option<Replaying>,
    /// Addresses listened on.
    pub addresses: Vec<SocketAddr>,
    /// What devices are to trust there; none: it speaks plain HTTP, or nothing is listened on.
    pub trust: Option<Trust>,
    /// What is read instead of listening: the name of a file.
    pub reading: Option<String>,
    /// Where requests are forwarded to.
    pub forward: Forwarding,
    /// How forwarding is doing, asked now and then.
    pub health: Option<Box<dyn Fn() -> Health>>,
    /// The endpoint's counters; they tell when there is a hint to be shown at once.
    pub hints: Option<Arc<Status>>,
    /// How it stands with the collector that is attached to; tells when to ask at once.
    pub link: Option<Arc<Board>>,
    /// The flags that pass by on their way to SDKs, where they do.
    pub flags: Option<Arc<FlagBoard>>,
    /// A theme: the name of one, or a file ending in `.toml`.
    pub theme: Option<String>,
    /// Frames per second at most; none: 30, over SSH 15.
    pub fps: Option<u16>,
    /// A filter for Live to start with.
    pub filter: Option<String>,
    /// Where recordings are started and ended.
    pub desk: Desk,
    /// The files that everything is judged by.
    pub(super) watch: Watch,
}

/// One slice of judging.
const SLICE: Duration = Duration::from_millis(8);
/// Requests handed over at once within a slice.
const BATCH: usize = 32;
/// The report and the contexts are made anew at most so often, and never for more than a tenth of the time.
const REFRESH: Duration = Duration::from_millis(250);
/// What is made on a thread of its own is never older than this, and the time it takes to make.
const SURVEY_PAUSE: Duration = Duration::from_secs(3);
/// The clipboard takes no more: terminals cut or refuse longer texts.
const COPY_BYTES: usize = 100_000;

/// Shows a session until the user quits, a signal ends it or the terminal goes away, and hands it back. The
/// terminal is as before then, and the session's report is printed.
///
/// The future stays on its thread; await it where the runtime blocks.
///
/// # Errors
///
/// Where there is no terminal ([`crate::terminal::TerminalError`]), or it fails.
pub async fn run(options: TuiOptions) -> anyhow::Result<Session> {
    let TuiOptions {
        mut session,
        intake,
        replaying,
        addresses,
        trust,
        reading,
        forward,
        health,
        hints,
        link,
        flags,
        theme,
        fps,
        filter,
        desk,
        watch,
    } = options;
    let mut abilities = Abilities::read(|name| std::env::var(name).ok());
    crate::terminal::require()?;
    let mut themes = Themes::built_in();
    let (theme, warnings) = choose_theme(&mut themes, theme, abilities.depth);
    if theme == "mono" {
        abilities.depth = Depth::Mono;
    }
    let setting = Setting { addresses, trust, reading, forward, themes: themes.names() };
    let mut app = App::new(&mut session, setting, TimeZone::system());
    app.take_theme(theme);
    if let Some(warning) = warnings.into_iter().next() {
        app.update(Message::Notice(warning, true));
    }
    if let Some(filter) = filter {
        app.set_filter(Pane::Live, filter);
    }
    let screen = Screen::take()?;
    let fps = fps.unwrap_or(if abilities.remote { 15 } else { 30 }).clamp(1, 120);
    let mut session_loop = Loop {
        app,
        screen,
        themes,
        abilities,
        health,
        hints,
        link,
        flags,
        replaying,
        desk,
        trials: Trials::default(),
        surveys: Surveys::default(),
        surveyed_since: None,
        watch,
        started: Instant::now(),
        second: 0,
        frames: 0,
        frames_before: 0,
        pace: Pace::new(fps, abilities.remote, Instant::now()),
        refreshed: Instant::now(),
        refresh_interval: REFRESH,
        ended: false,
    };
    let result = session_loop.run(intake).await;
    let Loop { app, screen, mut desk, .. } = session_loop;
    drop(app);
    let left = screen.leave();
    let recorded = desk.finish().0;
    if !left.takes_text {
        // Nobody would read it, and whoever told the program to end waits for that.
        result?;
        return Ok(session);
    }
    recorded.into_iter().for_each(super::say);
    // The terminal may be gone; then there is nobody to tell.
    let _ = write_farewell(&mut io::stdout().lock(), &session.report());
    for panic in left.panics {
        let _ = writeln!(io::stderr().lock(), "a part of exptap failed meanwhile: {panic}");
    }
    result?;
    Ok(session)
}

/// The theme to start with, and what was wrong with the one asked for.
fn choose_theme(themes: &mut Themes, asked: Option<String>, depth: Depth) -> (String, Vec<String>) {
    let usual = || if depth == Depth::Mono { "mono".to_owned() } else { "default".to_owned() };
    let Some(asked) = asked else { return (usual(), Vec::new()) };
    if themes.get(&asked).is_some() {
        return (asked, Vec::new());
    }
    let path = theme_path(&asked);
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_else(|| asked.clone());
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let warnings = themes.add(&name, &text);
            let taken = if themes.get(&name).is_some() { name } else { usual() };
            (taken, warnings)
        }
        Err(error) => {
            let names = themes.names().join(", ");
            let warning = format!("theme {asked}: {}: {error}; there are {names}", path.display());
            (usual(), vec![warning])
        }
    }
}

/// Where a theme that is not built in is looked for: the file named, or the user's themes.
fn theme_path(asked: &str) -> std::path::PathBuf {
    if asked.ends_with(".toml") {
        return asked.into();
    }
    let home = || std::env::home_dir().map(|home| home.join(".config"));
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(Into::into).or_else(home);
    config.unwrap_or_default().join("exptap").join("themes").join(format!("{asked}.toml"))
}

struct Loop<'a> {
    app: App<'a>,
    screen: Screen,
    themes: Themes,
    abilities: Abilities,
    health: Option<Box<dyn Fn() -> Health>>,
    hints: Option<Arc<Status>>,
    link: Option<Arc<Board>>,
    flags: Option<Arc<FlagBoard>>,
    replaying: Option<Replaying>,
    desk: Desk,
    trials: Trials,
    surveys: Surveys,
    /// When the survey under way began.
    surveyed_since: Option<Instant>,
    watch: Watch,
    started: Instant,
    /// The second of the last tick.
    second: u64,
    /// Frames drawn in the second under way, and in the one before.
    frames: u64,
    frames_before: u64,
    pace: Pace,
    refreshed: Instant,
    refresh_interval: Duration,
    ended: bool,
}

/// What woke the loop.
enum Woken {
    Quit,
    Suspend,
    Continued,
    Resized,
    Terminal(Option<io::Result<Event>>),
    Time,
    Arrived(Option<Received>),
    Replayed,
    Recording,
    Tried(TrialNews),
    /// None: it came to nothing.
    Surveyed(Option<Surveyed>),
    Link,
    Look,
    Flags,
    Spare,
}

struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    stop: Signal,
    go_on: Signal,
    /// The terminal's own event of it is lost where a key arrives at the same moment.
    resized: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        use rustix::process::Signal as Number;
        let numbered = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop: numbered(Number::TSTP)?,
            go_on: numbered(Number::CONT)?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Woken {
        tokio::select! {
            _ = self.terminate.recv() => Woken::Quit,
            _ = self.hang_up.recv() => Woken::Quit,
            _ = self.interrupt.recv() => Woken::Quit,
            _ = self.stop.recv() => Woken::Suspend,
            _ = self.go_on.recv() => Woken::Continued,
            _ = self.resized.recv() => Woken::Resized,
        }
    }
}

impl Loop<'_> {
    async fn run(&mut self, mut intake: Option<IntakeReceiver>) -> io::Result<()> {
        let mut signals = Signals::install()?;
        let mut events = EventStream::new();
        let (columns, rows) = self.screen.size();
        self.update(Message::Resize(columns, rows), Dirty::User)?;
        if self.replaying.is_some() {
            // Before the first tick: from here on time is the recording's.
            self.take_replayed()?;
        }
        self.tick(true)?;
        while !self.ended {
            self.draw_if_due()?;
            let wake = self.next_wake();
            let spare = self.app.wants_spare_time();
            let woken = tokio::select! {
                biased;
                woken = signals.next() => woken,
                () = self.screen.hung_up() => Woken::Quit,
                event = events.next() => Woken::Terminal(event),
                () = self.screen.rested(), if !self.screen.is_ready() => Woken::Time,
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => Woken::Time,
                () = self.desk.changed() => Woken::Recording,
                () = link_changed(self.link.as_deref()), if self.link.is_some() => Woken::Link,
                () = hinted(self.hints.as_deref()), if self.hints.is_some() => Woken::Link,
                envelope = next_request(&mut intake), if intake.is_some() => Woken::Arrived(envelope),
                () = replayed(self.replaying.as_ref()), if self.replaying.is_some() => Woken::Replayed,
                news = self.trials.news() => Woken::Tried(news),
                made = self.surveys.made() => Woken::Surveyed(made),
                () = self.watch.due() => Woken::Look,
                () = live::flags_changed(self.flags.as_deref()) => Woken::Flags,
                () = std::future::ready(()), if spare => Woken::Spare,
            };
            match woken {
                Woken::Quit => self.ended = true,
                Woken::Suspend => self.suspend()?,
                Woken::Continued => {
                    self.screen.take_again()?;
                    self.pace.mark(Dirty::User);
                }
                Woken::Resized => {
                    // Also where the size is what it was: a terminal that was smaller for a moment has lost what did
                    // not fit.
                    self.screen.repaint()?;
                    let (columns, rows) = self.screen.size();
                    self.update(Message::Resize(columns, rows), Dirty::User)?;
                }
                // The terminal's input has ended or fails: nobody is there any more.
                Woken::Terminal(None | Some(Err(_))) => self.ended = true,
                Woken::Terminal(Some(Ok(event))) => self.take_event(event)?,
                Woken::Time => self.tick_if_due()?,
                Woken::Arrived(Some(envelope)) => self.judge(envelope, &mut intake)?,
                Woken::Arrived(None) => intake = None,
                Woken::Replayed => self.take_replayed()?,
                Woken::Recording => {
                    if let Some(snapshot) = self.desk.snapshot() {
                        self.update(Message::Recording(snapshot), Dirty::Data)?;
                    }
                }
                Woken::Tried(news) => self.update(Message::Trial(Box::new(news)), Dirty::Data)?,
                Woken::Surveyed(Some(made)) => self.take_survey(made)?,
                Woken::Surveyed(None) => self.app.give_up_survey(),
                Woken::Link => self.ask_health()?,
                Woken::Look => self.look_at_files()?,
                Woken::Flags => self.take_flags()?,
                Woken::Spare => self.update(Message::Spare, Dirty::Data)?,
            }
            self.ended |= self.screen.is_broken();
        }
        // What the totals say is what the last request made of them.
        self.tick(true)
    }

    fn update(&mut self, message: Message<'_>, dirty: Dirty) -> io::Result<()> {
        let effects = self.app.update(message);
        if effects.redraw {
            self.pace.mark(dirty);
        }
        for effect in effects.effects {
            match effect {
                Effect::Quit => self.ended = true,
                Effect::Suspend => self.suspend()?,
                Effect::Repaint => self.screen.repaint()?,
                // No recording is played here: without one no key asks for it.
                Effect::Replay(command) => {
                    if let Some(replaying) = &self.replaying {
                        replaying.send(command);
                    }
                }
                Effect::Try(request) => {
                    if let Err(error) = self.trials.begin(*request) {
                        let words = format!("the fix cannot be tried: {error}");
                        self.app.update(Message::Notice(words, true));
                    }
                }
                Effect::StopTrying => self.trials.stop(),
                Effect::Copy(text) => self.copy(&text)?,
                Effect::Record(path) => self.record(path),
                Effect::StopRecording => self.desk.stop(),
                Effect::RetryRecording => self.desk.retry(),
                Effect::Mark(note) => self.desk.mark(Mark { t_ms: super::now_ms(), note }),
                Effect::Write { path, text } => {
                    let notice = match write_new(&path, &text) {
                        Ok(()) => Message::Notice(format!("written to {path}"), false),
                        Err(error) => Message::Notice(format!("{path} was not written: {error}"), true),
                    };
                    self.app.update(notice);
                }
            }
        }
        Ok(())
    }

    /// Shows what the replay has come to.
    fn take_replayed(&mut self) -> io::Result<()> {
        let Some(replaying) = &mut self.replaying else { return Ok(()) };
        let Replayed { session, view, news } = replaying.take();
        if let Some(session) = session {
            let before = self.app.store_mut().replace(Box::new(session));
            // Giving back a large session takes longer than a frame.
            std::thread::spawn(move || drop(before));
            self.update(Message::Replaced, Dirty::Data)?;
        }
        self.update(Message::Replay(Box::new(view)), Dirty::Data)?;
        for (text, is_bad) in news {
            self.update(Message::Notice(text, is_bad), Dirty::Data)?;
        }
        self.tick(true)
    }

    /// Judges by the files anew where they have changed.
    fn look_at_files(&mut self) -> io::Result<()> {
        match self.watch.look() {
            News::None => Ok(()),
            News::Mistake(why) => self.update(Message::Notice(why, true), Dirty::Data),
            News::Given(given, what, remark) => {
                self.desk.take_given((*given).clone());
                if let Some(replaying) = &mut self.replaying {
                    let shown = self.app.store().shown();
                    if let Err(why) = replaying.take_given(*given, shown, what) {
                        self.update(Message::Notice(format!("{what} re-read: {why}"), true), Dirty::Data)?;
                    }
                } else {
                    self.update(Message::Given(given, what), Dirty::Data)?;
                }
                match remark {
                    Some(remark) => self.update(Message::Notice(remark, true), Dirty::Data),
                    None => Ok(()),
                }
            }
        }
    }

    /// Judges by the flags that passed by.
    fn take_flags(&mut self) -> io::Result<()> {
        let Some(known) = self.flags.as_ref().map(|flags| flags.known()) else { return Ok(()) };
        self.desk.take_flags(&known.seen, known.latest_ms.unwrap_or_else(super::now_ms));
        let (given, remark) = self.watch.take_flags(known.seen);
        // At rest nobody asks by themselves.
        self.ask_health()?;
        self.update(Message::Flags(Box::new(given)), Dirty::Data)?;
        match remark {
            Some(remark) => self.update(Message::Notice(remark, true), Dirty::Data),
            None => Ok(()),
        }
    }

    /// Records what the session holds, and what comes. Where events have scrolled out nothing from before the oldest
    /// request that is held counts as observed.
    fn record(&mut self, path: String) {
        let store = self.app.store();
        let history = store.held();
        let oldest = history.first().map(|envelope| envelope.arrival_ms).filter(|_| store.first() > 0);
        let observed_from_ms = oldest.max(store.observed_from_ms());
        if let Err(why) = self.desk.start(path.into(), observed_from_ms, history) {
            self.app.update(Message::Notice(format!("not recorded: {why}"), true));
        }
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        if text.len() > COPY_BYTES {
            let words = format!("{} bytes are too many to copy; w writes them to a file", text.len());
            return self.update(Message::Notice(words, true), Dirty::User);
        }
        self.screen.copy(text);
        let words = format!("{} bytes sent to the terminal (OSC 52); if it takes none, w writes a file", text.len());
        self.update(Message::Notice(words, false), Dirty::User)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.screen.suspend()?;
        self.pace.mark(Dirty::User);
        Ok(())
    }

    fn take_event(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => match lookup(self.app.scopes(), key) {
                Some(Action::Record) => {
                    // The name that is proposed is the time, and at rest nobody has looked at the clock.
                    self.tick(false)?;
                    self.update(Message::Action(Action::Record), Dirty::User)
                }
                Some(action) => self.update(Message::Action(action), Dirty::User),
                None => Ok(()),
            },
            Event::Paste(text) => self.update(Message::Action(Action::Paste(text)), Dirty::User),
            _ => Ok(()),
        }
    }

    /// Judges one request and, for as long as a slice lasts, those that wait behind it.
    fn judge(&mut self, first: Received, intake: &mut Option<IntakeReceiver>) -> io::Result<()> {
        let until = Instant::now() + SLICE;
        let mut batch = vec![first];
        loop {
            while batch.len() < BATCH
                && let Some(envelope) = waiting_request(intake)
            {
                batch.push(envelope);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.update(Message::Batch(&batch), Dirty::Data)?;
            batch.clear();
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let frame = self.pace.due().filter(|_| self.screen.is_ready());
        let refresh = self.app.wants_refresh().then(|| self.next_refresh());
        let second = self.app.wants_clock().then(|| {
            let elapsed = self.started.elapsed();
            self.started + Duration::from_secs(elapsed.as_secs() + 1)
        });
        [frame, refresh, second].into_iter().flatten().min()
    }

    fn next_refresh(&self) -> Instant {
        self.refreshed + self.refresh_interval
    }

    fn tick_if_due(&mut self) -> io::Result<()> {
        let refresh = self.app.wants_refresh() && Instant::now() >= self.next_refresh();
        if refresh && let Some(survey) = self.app.begin_survey() {
            self.surveyed_since = Some(Instant::now());
            if self.surveys.begin(survey).is_err() {
                // Then it is made here, late as that is.
                self.app.give_up_survey();
                return self.tick(true);
            }
            self.pace.mark(Dirty::Data);
            return self.tick(false);
        }
        self.tick(refresh)
    }

    /// Takes what a survey came to. The next is begun after a pause: it costs the loop nothing, and another core not all
    /// of its time.
    fn take_survey(&mut self, made: Surveyed) -> io::Result<()> {
        self.update(Message::Surveyed(Box::new(made)), Dirty::Data)?;
        self.ask_health()?;
        let now = Instant::now();
        let took = self.surveyed_since.take().map_or(REFRESH, |since| now - since);
        self.refresh_interval = (took * 2).clamp(REFRESH, SURVEY_PAUSE);
        self.refreshed = now;
        Ok(())
    }

    fn tick(&mut self, refresh: bool) -> io::Result<()> {
        let begun = Instant::now();
        let now_ms = Timestamp::now().as_millisecond();
        let elapsed = self.started.elapsed();
        let second_passed = self.app.wants_clock() && elapsed.as_secs() != self.second;
        if elapsed.as_secs() != self.second {
            self.frames_before = std::mem::take(&mut self.frames);
        }
        self.second = elapsed.as_secs();
        let tick = Tick { now_ms, elapsed, refresh, frames: self.frames_before };
        // Waking up to draw a frame is no news by itself.
        let dirty = if refresh || second_passed { Dirty::Data } else { Dirty::No };
        self.update(Message::Tick(tick), dirty)?;
        if second_passed && !refresh && self.app.waits_for_delivery() {
            self.ask_health()?;
        }
        if refresh {
            self.ask_health()?;
            let ended = Instant::now();
            self.refresh_interval = REFRESH.max((ended - begun) * 10);
            self.refreshed = ended;
        }
        Ok(())
    }

    fn ask_health(&mut self) -> io::Result<()> {
        match &self.health {
            Some(health) => {
                let health = health();
                self.update(Message::Health(health), Dirty::Data)
            }
            None => Ok(()),
        }
    }

    fn draw_if_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if !self.screen.is_ready() || self.pace.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        // Under full load there is no spare time; a filter still gets its slices, one a frame.
        if self.app.wants_spare_time() {
            self.app.update(Message::Spare);
        }
        let size = self.screen.size();
        let theme =
            self.themes.get(self.app.theme()).map_or_else(Theme::default, |theme| theme.at(self.abilities.depth));
        let app = &self.app;
        let ascii_only = self.abilities.ascii_only;
        let bytes = self.screen.draw(|frame| ui::render(app, &theme, ascii_only, frame))?;
        self.frames += 1;
        self.pace.drawn(now, bytes, size);
        Ok(())
    }
}

/// The next request; waits for it. None: there will be no more. Without an intake it waits for ever.
async fn next_request(intake: &mut Option<IntakeReceiver>) -> Option<Received> {
    match intake {
        Some(intake) => intake.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for a hint of the endpoint, or for news of the spool. Neither need come with a request.
async fn hinted(status: Option<&Status>) {
    let Some(status) = status else { return std::future::pending().await };
    tokio::select! {
        () = status.next_hint() => {}
        // What it says stands in the figures as well.
        _ = status.spool_news() => {}
    }
}

/// Waits until it stands otherwise with the collector.
async fn link_changed(board: Option<&Board>) {
    match board {
        Some(board) => board.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until the replay has something to show.
async fn replayed(replaying: Option<&Replaying>) {
    match replaying {
        Some(replaying) => replaying.changed().await,
        None => std::future::pending().await,
    }
}

/// A request that waits already.
fn waiting_request(intake: &mut Option<IntakeReceiver>) -> Option<Received> {
    intake.as_mut().and_then(IntakeReceiver::try_next)
}

/// Writes a file that is not there yet.
fn write_new(path: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What is printed when the screens are gone: the session's report.
///
/// # Errors
///
/// Where it cannot be written.
pub fn write_farewell(out: &mut impl Write, report: &Report) -> io::Result<()> {
    write!(out, "exptap: {}", table::text(report))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_theme_that_is_not_there_is_named_with_those_that_are() {
        let mut themes = Themes::built_in();
        let (taken, warnings) = choose_theme(&mut themes, Some("nowhere/none.toml".into()), Depth::Sixteen);
        assert_eq!(taken, "default");
        assert!(warnings.first().unwrap().contains("there are default, dark, light"), "{warnings:?}");
        assert_eq!(choose_theme(&mut themes, None, Depth::Mono).0, "mono");
        assert_eq!(choose_theme(&mut themes, Some("paper".into()), Depth::Mono).0, "paper");
    }

    #[test]
    fn a_file_that_exists_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let path = path.to_str().unwrap();
        write_new(path, "first").unwrap();
        assert_eq!(write_new(path, "second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "first");
    }
}
