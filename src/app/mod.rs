//! The model behind the screens: what is shown, what is selected, what was asked for.
//!
//! [`App::update`] takes what happened (a key's [`Action`], a request, time passing) and says what to do about it
//! ([`Effect`]); it reads no clock, opens no file and writes to no terminal. Drawing takes the result by shared
//! reference. The session itself is borrowed as a [`Store`], and stays the caller's.

mod action;
mod contexts;
mod course;
pub mod destination;
pub mod export;
#[cfg(test)]
pub(crate) mod fixture;
pub mod keymap;
pub mod layout;
mod link;
mod listing;
mod live;
mod overlay;
pub mod palette;
mod rate;
mod reading;
mod recording;
pub mod replay;
pub mod store;
mod survey;
mod trial;
mod views;

pub use action::{Action, Edit, Kinds, Pane, Transport};
pub use contexts::{Contexts, Unit};
pub use course::{Course, Series};
pub use link::{Hole, Holes};
pub use listing::{Item, Listing, Scroll};
pub use live::{Criteria, Live, Narrowing, Rows, is_kind_mismatch, is_unmatched_key};
pub use overlay::{Line, LineError, LinePurpose, Overlay};
pub use rate::Rate;
pub use recording::Banner;
pub use replay::{ReplayCommand, ReplayView};
pub use survey::{Survey, Surveyed};
pub use trial::{Trial, TrialNews, TrialRequest, TrialResult, TrialState};
pub use views::{BOTH_SIDES, Detail, Side, View, Why};

use crate::attach::Link;
use crate::catalog::Given;
use crate::endpoint::{Delivery, FlagFigures, Received};
use crate::query::{Query, QueryError, Situation};
use crate::recorder::Snapshot;
use crate::report::Report;
use crate::report::table::grouped;
use crate::session::{Again, Flagged};
use crate::silenced::Silence;
use crate::spool;
use crate::tls::Trust;
use crate::view::SourceRow;
use jiff::tz::TimeZone;
use keymap::Scope;
use layout::Parts;
use ratatui::layout::Rect;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// What does not change while the screens are up.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Addresses that are listened on; empty: nothing is (a file is shown).
    pub addresses: Vec<SocketAddr>,
    /// What devices are to trust there; none: plain HTTP is spoken.
    pub trust: Option<Trust>,
    /// What is read instead: the name of a file.
    pub reading: Option<String>,
    /// Where requests are forwarded to.
    pub forward: Forwarding,
    /// Names of the themes there are.
    pub themes: Vec<String>,
}

/// Where requests are forwarded to, whose they are deciding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// Events of LaunchDarkly's SDKs.
    pub launchdarkly: Option<String>,
    /// Requests of Segment's libraries.
    pub segment: Option<String>,
}

/// How forwarding and the endpoint are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How the upstream takes the events of LaunchDarkly's SDKs.
    pub upstream: Delivery,
    /// How Segment's upstream takes the requests of Segment's libraries.
    pub segment_upstream: Delivery,
    /// How it stands with the spool; none: there is none.
    pub spool: Option<Box<spool::Figures>>,
    /// One sentence about what went wrong last.
    pub trouble: Option<String>,
    /// How it stands with the collector that is attached to; none: everything is received here.
    pub link: Option<Link>,
    /// The flags that passed by on their way to SDKs; none: none are passed on here.
    pub flags: Option<FlagFigures>,
}

/// Time, as the loop saw it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tick {
    /// Epoch milliseconds, for pending verdicts and filters that speak of now.
    pub now_ms: i64,
    /// Monotonic time since the start, for rates.
    pub elapsed: Duration,
    /// Whether it is time to take what is costly to make: the report, the contexts.
    pub refresh: bool,
    /// Frames drawn in the second before.
    pub frames: u64,
}

/// Something that happened.
#[derive(Debug)]
pub enum Message<'a> {
    /// The user asked for something.
    Action(Action),
    /// Time passed.
    Tick(Tick),
    /// The recording that is played stands so. The first of these makes the session a replay, and must come before
    /// the first [`Message::Tick`]: from then on time is that of the recording.
    Replay(Box<ReplayView>),
    /// The store now holds the session as of another position: events may have gone that were there, and verdicts
    /// changed. An event has the same number in both.
    Replaced,
    /// What to judge by was read again: what is held is judged by it, and this was changed (`catalog`, `mapping`).
    Given(Box<Given>, &'static str),
    /// Flags passed by: what is held is judged by them where they say anything of it.
    Flags(Box<Given>),
    /// Requests arrived, or found no room in the queue before.
    Batch(&'a [Received]),
    /// The screen has a new size: columns, rows.
    Resize(u16, u16),
    /// Forwarding is doing so.
    Health(Health),
    /// Recording is doing so.
    Recording(Snapshot),
    /// The trial of a fix stands so.
    Trial(Box<TrialNews>),
    /// What a session that is large came to.
    Surveyed(Box<Surveyed>),
    /// There is time to go on with what was left.
    Spare,
    /// A remark for the user, on the last line until the next key; true: it is bad news.
    Notice(String, bool),
}

/// Something to do outside the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// End the session.
    Quit,
    /// Stop, as Ctrl-Z does.
    Suspend,
    /// Paint everything again.
    Repaint,
    /// Move the recording that is played.
    Replay(ReplayCommand),
    /// Try a fix; a trial that is under way is no longer wanted.
    Try(Box<TrialRequest>),
    /// Try no longer.
    StopTrying,
    /// Hand this text to the terminal's clipboard.
    Copy(String),
    /// Record what the session holds, and what comes, to this file.
    Record(String),
    /// End the recording.
    StopRecording,
    /// Try to go on with the recording after a fault.
    RetryRecording,
    /// Set a mark with this note in the recording.
    Mark(String),
    /// Write this text to a new file.
    Write {
        /// Where.
        path: String,
        /// What.
        text: String,
    },
}

/// What an update asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The screen may have changed.
    pub redraw: bool,
    /// Things to do, in order.
    pub effects: Vec<Effect>,
}

/// A remark on the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// In words.
    pub text: String,
    /// Whether it is bad news.
    pub bad: bool,
}

/// The model.
pub struct App<'a> {
    store: &'a mut dyn Store,
    setting: Setting,
    zone: TimeZone,
    now_ms: i64,
    size: (u16, u16),
    focus: Pane,
    zoomed: bool,
    view: View,
    overlay: Option<Overlay>,
    notice: Option<Notice>,
    theme: String,
    live: Live,
    /// The pane that opened its events in Live, and what Live was narrowed to before.
    opened_from: Option<(Pane, Narrowing)>,
    contexts: Listing,
    experiments: Listing,
    findings: Listing,
    sources: Listing,
    /// What the panes show; stays as it is while the view is frozen.
    report: Arc<Report>,
    units: Contexts,
    source_rows: Vec<SourceRow>,
    /// What the header shows, frozen or not.
    counted: Arc<Report>,
    refreshed_revision: Option<u64>,
    shown_revision: Option<u64>,
    rate: Rate,
    frames: u64,
    health: Health,
    lost_requests: u64,
    /// Where requests are missing among the events.
    holes: Holes,
    /// The recording that is played.
    replay: Option<ReplayView>,
    /// The cell of its bar that keys have moved the cursor to, while the recording may not be there yet.
    aimed_cell: Option<u16>,
    recording: Option<Snapshot>,
    /// Who was answered so that it sends no more.
    silence: Silence,
    /// Refused requests of the spool that were seen.
    refusals_seen: u64,
    /// Trials asked for so far.
    trials: u64,
    /// What the panes show is being made elsewhere.
    is_surveying: bool,
}

/// What everything is judged by anew when flags passed by.
const FLAGS: &str = "flags";
/// What is said of flags that are not judged by.
const FLAGS_TOO_LATE: &str =
    "flags seen too late to judge by: older events have scrolled out, and what was counted stays";

/// What it came to that something was read again.
pub fn reread(what: &str, changed: u64, counted_from_held: Option<u64>) -> String {
    let changed = match changed {
        0 => "no verdict changed".to_owned(),
        1 => "1 verdict changed".to_owned(),
        changed => format!("{} verdicts changed", grouped(changed)),
    };
    let held = counted_from_held.map_or_else(String::new, |held| {
        format!("; older events have scrolled out, and counts restart from the {} that are held", grouped(held))
    });
    let how = if what == FLAGS { "seen" } else { "re-read" };
    format!("{what} {how}: {changed}{held}")
}

impl<'a> App<'a> {
    /// A model of a session. `zone` is the time zone that times are shown in.
    pub fn new(store: &'a mut dyn Store, setting: Setting, zone: TimeZone) -> Self {
        let report = store.report();
        let mut app = Self {
            store,
            setting,
            zone,
            now_ms: 0,
            size: (0, 0),
            focus: Pane::Live,
            zoomed: false,
            view: View::Panes,
            overlay: None,
            notice: None,
            theme: "default".to_owned(),
            live: Live::default(),
            opened_from: None,
            contexts: Listing::default(),
            experiments: Listing::default(),
            findings: Listing::default(),
            sources: Listing::default(),
            counted: Arc::clone(&report),
            report,
            units: Contexts::default(),
            source_rows: Vec::new(),
            refreshed_revision: None,
            shown_revision: None,
            rate: Rate::default(),
            frames: 0,
            health: Health::default(),
            lost_requests: 0,
            holes: Holes::default(),
            replay: None,
            aimed_cell: None,
            recording: None,
            silence: Silence::default(),
            refusals_seen: 0,
            trials: 0,
            is_surveying: false,
        };
        app.live.change(app.store, |_| ());
        app.refresh();
        app
    }

    /// Takes what happened, and says what to do.
    pub fn update(&mut self, message: Message<'_>) -> Effects {
        let mut effects = Effects { redraw: true, effects: Vec::new() };
        match message {
            Message::Action(action) => {
                self.notice = None;
                self.act(action, &mut effects.effects);
            }
            Message::Tick(tick) => {
                // A recording has a time of its own: what was pending at its position is pending still.
                self.now_ms = match &self.replay {
                    Some(replay) => replay.now_ms().unwrap_or(self.now_ms),
                    None => tick.now_ms,
                };
                if self.replay.as_ref().is_none_or(|replay| replay.t_ms.is_some()) {
                    self.store.advance(self.now_ms);
                }
                self.rate.advance(tick.elapsed);
                self.frames = tick.frames;
                if tick.refresh {
                    self.refresh();
                }
            }
            Message::Batch(envelopes) => {
                let before = self.store.next();
                for received in envelopes {
                    match received {
                        Received::Envelope(envelope) => {
                            // Of a recording it is long past.
                            if self.replay.is_none() {
                                self.silence.note(envelope);
                            }
                            self.store.receive(envelope);
                        }
                        Received::Lost(loss) => {
                            // What a recording lost, its own queue did not lose just now.
                            if self.replay.is_none() {
                                self.lost_requests += loss.requests;
                                let why = "they came faster than they could be judged";
                                self.holes.add(self.store.next(), Some(loss.requests), loss.last_ms, why);
                            }
                            self.store.lose(loss.requests);
                        }
                        Received::Missed(missed) => self.miss(missed),
                    }
                }
                self.rate.add(self.store.next() - before);
                self.live.look_at_new(self.store);
                return effects;
            }
            Message::Resize(columns, rows) => self.size = (columns, rows),
            Message::Health(health) => {
                effects.redraw = health != self.health;
                // News is told once, on the last line; the Sources pane keeps it.
                if let Some(trouble) = health.trouble.as_ref().filter(|now| self.health.trouble.as_ref() != Some(now)) {
                    self.notice = Some(Notice { text: trouble.clone(), bad: true });
                }
                self.health = health;
            }
            Message::Replay(view) => effects.redraw = self.take_replay(*view),
            Message::Replaced => self.take_replacement(),
            Message::Given(given, what) => self.take_given(*given, what, &mut effects.effects),
            Message::Flags(given) => match self.store.take_flags(*given) {
                Flagged::Nothing => {}
                Flagged::TooLate => self.notice = Some(Notice { text: FLAGS_TOO_LATE.to_owned(), bad: false }),
                Flagged::Judged(again) => self.judged_again(FLAGS, again, &mut effects.effects),
            },
            Message::Recording(snapshot) => self.take_recording(snapshot),
            Message::Trial(news) => effects.redraw = self.take_trial(*news),
            Message::Surveyed(surveyed) => self.take_survey(*surveyed),
            Message::Spare => self.go_on_searching(),
            Message::Notice(text, bad) => self.notice = Some(Notice { text, bad }),
        }
        self.live.look(self.store);
        effects
    }

    /// Judges what is held by something else, and says what that changes.
    fn take_given(&mut self, given: Given, what: &str, effects: &mut Vec<Effect>) {
        let again = self.store.take_given(given);
        self.judged_again(what, again, effects);
    }

    fn judged_again(&mut self, what: &str, again: Again, effects: &mut Vec<Effect>) {
        if let View::Trial(_) = self.view {
            // It was tried on the catalog before.
            effects.push(Effect::StopTrying);
            self.view = View::Panes;
        }
        let Again { changed, counted_from_held } = again;
        if counted_from_held.is_some() {
            // Events are numbered anew: what is open, or selected, would be another one.
            self.view = View::Panes;
            self.live.follow();
        }
        self.take_replacement();
        self.notice = Some(Notice { text: reread(what, changed, counted_from_held), bad: false });
    }

    /// Takes what is costly to make, where anything changed.
    fn refresh(&mut self) {
        let revision = self.store.revision();
        if self.refreshed_revision != Some(revision) {
            self.counted = self.store.report();
            self.refreshed_revision = Some(revision);
        }
        if self.live.is_frozen() || self.shown_revision == Some(revision) {
            return;
        }
        self.shown_revision = Some(revision);
        self.report = Arc::clone(&self.counted);
        self.refresh_contexts();
        self.source_rows = self.store.sources();
        self.list();
        self.refresh_view();
    }

    /// Puts the lists in step with what they list and with their filters.
    fn list(&mut self) {
        self.contexts.refresh(self.units.list().rows.iter().map(export::unit_item));
        self.experiments.refresh(self.report.experiments.iter().map(export::experiment_item));
        self.findings.refresh(self.report.findings.iter().map(export::finding_item));
        self.sources.refresh(self.source_rows.iter().map(export::source_item));
    }

    fn act(&mut self, action: Action, effects: &mut Vec<Effect>) {
        match action {
            Action::Quit => effects.push(Effect::Quit),
            Action::Suspend => effects.push(Effect::Suspend),
            Action::Redraw => effects.push(Effect::Repaint),
            action if self.overlay.is_some() => self.act_in_overlay(action, effects),
            Action::Replay(key) => self.transport(key, effects),
            action => match self.view {
                View::Panes => self.act_in_panes(action, effects),
                View::Why(_) | View::Experiment(_) | View::Trial(_) | View::Unit(_) => {
                    self.act_in_view(action, effects)
                }
            },
        }
    }

    fn act_in_panes(&mut self, action: Action, effects: &mut Vec<Effect>) {
        match action {
            Action::Focus(pane) => self.focus = pane,
            Action::FocusNext => self.move_focus(1),
            Action::FocusPrevious => self.move_focus(Pane::ALL.len() - 1),
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-self.page()),
            Action::PageDown => self.step(self.page()),
            Action::First => match self.listing_mut() {
                Some(listing) => listing.first(),
                None => self.live.go_first(),
            },
            Action::Last => match self.listing_mut() {
                Some(listing) => listing.last(),
                None => self.live.follow(),
            },
            Action::Open => self.open(),
            Action::Back if self.stop_work(effects) => (),
            Action::Back if !self.filter().is_empty() => self.clear_filter(),
            Action::Back => self.zoomed = false,
            Action::Pause => self.pause(),
            Action::Show(kinds) => self.change_live(|narrowing| narrowing.kinds = kinds),
            Action::DroppedOnly => self.change_live(|narrowing| narrowing.dropped_only = !narrowing.dropped_only),
            Action::Noise => self.change_live(|narrowing| narrowing.noise = !narrowing.noise),
            Action::SetFilter(text) => self.set_filter(self.focus, text),
            Action::TryFix => self.try_fix(effects),
            Action::NextContexts => self.next_contexts(),
            Action::Record => self.record(effects),
            Action::Mark => self.mark(),
            Action::Retry => self.retry(effects),
            Action::Copy => effects.extend(self.copied().map(Effect::Copy)),
            action => self.open_overlay(action),
        }
    }

    /// Clears the filter of the focused pane. Live is as it was before something opened its events there.
    fn clear_filter(&mut self) {
        self.set_filter(self.focus, String::new());
        if self.focus == Pane::Live
            && let Some((pane, narrowing)) = self.opened_from.take()
        {
            self.live.change(self.store, |criteria| criteria.narrowing = narrowing);
            self.focus = pane;
        }
    }

    fn change_live(&mut self, change: impl FnOnce(&mut Narrowing)) {
        self.opened_from = None;
        self.focus = Pane::Live;
        self.live.change(self.store, |criteria| change(&mut criteria.narrowing));
    }

    fn pause(&mut self) {
        let freeze = !self.live.is_frozen();
        if self.store.snapshot().is_some() {
            // The panes stay at what they show, a moment behind the rows: a key does not wait for a million contexts.
            self.live.freeze(self.store, freeze);
            return;
        }
        if freeze {
            // The panes are frozen in step with the rows, not up to a refresh behind them.
            self.refresh();
        }
        self.live.freeze(self.store, freeze);
        self.refresh();
    }

    fn move_focus(&mut self, places: usize) {
        let index = (self.focus.number() + places - 1) % Pane::ALL.len();
        self.focus = Pane::ALL.get(index).copied().unwrap_or(Pane::Live);
    }

    fn step(&mut self, rows: isize) {
        let page = self.page();
        match self.listing_mut() {
            Some(listing) => listing.step(rows),
            None => self.live.step(rows, page.unsigned_abs()),
        }
    }

    /// Rows of the focused pane.
    fn page(&self) -> isize {
        let area = self
            .parts()
            .and_then(|parts| parts.panes.iter().find(|(pane, _)| *pane == self.focus).map(|(_, area)| *area))
            .unwrap_or_default();
        isize::try_from(layout::rows_inside(self.focus, area).max(1)).unwrap_or(1)
    }

    /// The list of the focused pane; none in Live.
    fn listing_mut(&mut self) -> Option<&mut Listing> {
        match self.focus {
            Pane::Live => None,
            Pane::Contexts => Some(&mut self.contexts),
            Pane::Experiments => Some(&mut self.experiments),
            Pane::Findings => Some(&mut self.findings),
            Pane::Sources => Some(&mut self.sources),
        }
    }

    /// The filter of the focused pane, as it was typed.
    pub fn filter(&self) -> &str {
        match self.listing(self.focus) {
            Some(listing) => &listing.filter,
            None => &self.live.criteria().filter,
        }
    }

    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with the column.
    pub fn read_filter(&self, text: &str) -> Result<Option<Query>, QueryError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let offset = jiff::Timestamp::from_millisecond(self.now_ms)
            .map(|now| self.zone.to_offset(now))
            .unwrap_or(jiff::tz::Offset::UTC);
        Query::parse(text, Situation { now_ms: self.now_ms, utc_offset_seconds: offset.seconds() }).map(Some)
    }

    /// Filters a pane. A filter that cannot be read changes nothing and says why.
    pub fn set_filter(&mut self, pane: Pane, text: String) {
        let query = match self.read_filter(&text) {
            Ok(query) => query,
            Err(error) => {
                self.notice = Some(Notice { text: format!("filter not taken: {error}"), bad: true });
                return;
            }
        };
        self.focus = pane;
        match self.listing_mut() {
            None => self.live.set_filter(self.store, text, query),
            Some(listing) => {
                listing.set_filter(text, query);
                if pane == Pane::Contexts {
                    self.begin_search();
                }
                self.list();
            }
        }
    }

    /// The session, to be replaced by another one ([`Store::replace`]); [`Message::Replaced`] must follow.
    pub fn store_mut(&mut self) -> &mut dyn Store {
        self.store
    }

    /// The parts of the screen; none where it is too small.
    pub fn parts(&self) -> Option<Parts> {
        let screen = Rect::new(0, 0, self.size.0, self.size.1);
        layout::divide(screen, self.focus, self.zoomed, self.replay.is_some(), self.banner().is_some())
    }

    /// Where the user is, for the key map.
    pub fn scopes(&self) -> &'static [Scope] {
        match &self.overlay {
            Some(overlay) => overlay.scopes(),
            None => self.view.scopes(self.focus, self.replay.is_some()),
        }
    }

    /// Every list of scopes a user can be in.
    #[cfg(test)]
    pub(crate) fn every_scope_list() -> Vec<&'static [Scope]> {
        let mut lists: Vec<_> = Overlay::every_scope_list().to_vec();
        lists.extend(View::every_scope_list());
        lists
    }

    /// Whether what is costly to make would come out differently now.
    pub fn wants_refresh(&self) -> bool {
        let revision = self.store.revision();
        !self.is_surveying
            && (self.refreshed_revision != Some(revision)
                || self.units.is_on_its_way()
                || (!self.live.is_frozen() && self.shown_revision != Some(revision)))
    }

    /// Whether time alone can change something: a rate that dies away, a verdict that is pending.
    pub fn wants_clock(&self) -> bool {
        // A recording that stands still has no time that passes.
        let time_passes = self.replay.as_ref().is_none_or(|replay| replay.playing);
        let pending = self.totals().verdicts.get("pending").is_some_and(|pending| *pending > 0);
        !self.rate.is_settled() || (time_passes && pending) || self.waits_for_delivery()
    }

    /// Whether requests wait in the spool: they are delivered, and grow old, whether or not others come.
    pub fn waits_for_delivery(&self) -> bool {
        self.health.spool.as_ref().is_some_and(|spool| spool.waiting_requests > 0)
    }

    /// Whether there is work left for spare time.
    pub fn wants_spare_time(&self) -> bool {
        self.live.is_behind(self.store) || self.is_searching()
    }
}

#[cfg(test)]
mod tests;
