//! What the screens show, as plain values.
//!
//! The session makes these from its state; the screens only read them. None of the text in them is trusted: it
//! goes to a terminal only through `untrusted`.

use crate::attribution::judge::is_about_time;
use crate::attribution::state::Clock;
use crate::explain::story::Story;
use crate::near_miss::is_placeholder_key;
use crate::reason::{Category, Grade, ReasonCode};
use crate::segment::Mapped;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One verdict of an event, for one iteration and, if it is a conversion, one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct RowVerdict {
    /// Index of the iteration in the session's list (`Session::iterations`).
    pub iteration: u32,
    /// Index of the metric in the catalog.
    pub metric: Option<u32>,
    /// The verdict.
    pub code: ReasonCode,
    /// The variation it is credited to or exposed to.
    pub variation: Option<i64>,
    /// It was shown as something else before.
    pub revised: bool,
}

/// The arrival of what came without one: plain events, which the screens never show.
pub const NO_ARRIVAL: i64 = i64::MIN;

/// One event in the Live pane.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Number of the event, from 0, unreadable ones included.
    pub event: u64,
    /// Number of its request, from 1.
    pub request: Option<u64>,
    /// Arrival, epoch ms; [`NO_ARRIVAL`] for plain events.
    pub arrival_ms: i64,
    /// Instant on the judging clock.
    pub t_ms: Option<i64>,
    /// Kind (`feature`, `custom`, …; `?` if it could not be read).
    pub kind: Arc<str>,
    /// Flag key, event key or, for other kinds, what best names the event.
    pub key: Arc<str>,
    /// Context kinds and keys.
    pub units: Vec<(Arc<str>, Arc<str>)>,
    /// SDK it came from, e.g. `NodeJSClient/9.13.7`.
    pub source: Arc<str>,
    /// Its best verdict.
    pub code: ReasonCode,
    /// Index into `verdicts` of the best one; none where no iteration is about the event.
    pub best: Option<usize>,
    /// All its verdicts.
    pub verdicts: Vec<RowVerdict>,
    /// Remarks.
    pub warnings: Vec<ReasonCode>,
    /// A few words more: the near miss of an unmatched key, what could not be read, what a metric analyses.
    pub note: Option<Arc<str>>,
    /// LaunchDarkly's own traffic (`$ld:` keys, `ld_ai` contexts), hidden by default.
    pub noise: bool,
    /// Judged by another catalog or mapping it was shown as something else, and no iteration is about it any more: no
    /// verdict is there to say so.
    pub was_shown_otherwise: bool,
    /// Set where Segment's destination made the event, or made nothing of what Segment has.
    pub segment: Option<ThroughSegment>,
}

/// How an event came through Segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThroughSegment {
    /// The mapping that made it, or that made nothing of it, counted from 0; none where no mapping was asked.
    pub mapping: Option<usize>,
}

impl EventRow {
    /// The category of the best verdict.
    pub fn category(&self) -> Category {
        self.code.category()
    }
    /// When it happened on the judging clock, or when it arrived; none where neither is known.
    pub fn seen_ms(&self) -> Option<i64> {
        self.t_ms.or(self.arrived_ms())
    }
    /// When it arrived; none for plain events, of which nobody knows.
    pub fn arrived_ms(&self) -> Option<i64> {
        (self.arrival_ms != NO_ARRIVAL).then_some(self.arrival_ms)
    }
    /// The time it is listed by: arrival, or when it happened.
    pub fn listed_ms(&self) -> Option<i64> {
        self.arrived_ms().or(self.t_ms)
    }
    /// The best verdict's row, if an iteration is about the event.
    pub fn best_verdict(&self) -> Option<&RowVerdict> {
        self.best.and_then(|index| self.verdicts.get(index))
    }
    /// Whether any verdict was shown as something else before.
    pub fn revised(&self) -> bool {
        self.was_shown_otherwise || self.verdicts.iter().any(|verdict| verdict.revised)
    }
}

/// One context in the Contexts pane.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitRow {
    /// Context kind.
    pub kind: String,
    /// Context key.
    pub key: String,
    /// Experiments it was exposed in: experiment key, names of the arms it saw (own arm first), first exposure.
    pub exposed: Vec<UnitExposure>,
    /// Conversions credited.
    pub counted: u64,
    /// Conversions dropped.
    pub dropped: u64,
    /// Conversions pending or unknown.
    pub open: u64,
    /// Metrics it converted for.
    pub last_seen_ms: i64,
    /// Why it needs attention.
    pub note: UnitNote,
}

impl UnitRow {
    /// Whether it was exposed and no conversion of it was ever seen, counted or not.
    pub fn never_converts(&self) -> bool {
        !self.exposed.is_empty() && self.counted + self.dropped + self.open == 0
    }
}

/// An exposure of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitExposure {
    /// Experiment key.
    pub experiment: String,
    /// Names of the arms it saw, its own first.
    pub arms: Vec<String>,
    /// First exposure, on the judging clock.
    pub first_ms: i64,
}

/// Why a context needs attention; in the order of need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitNote {
    /// It converts and was never exposed; another unit that was is named, with how they differ.
    NeverExposed {
        /// `kind/key` of the look-alike that was exposed, and how it differs.
        look_alike: Option<(String, String)>,
    },
    /// It saw more than one arm.
    Crossover,
    /// Its key is a placeholder such as `null` or `undefined`.
    Placeholder,
    /// Nothing to say.
    None,
}

/// Which contexts are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitView {
    /// All, those that need attention first.
    #[default]
    Attention,
    /// They convert and were never exposed.
    NeverExposed,
    /// They were exposed and never convert.
    NeverConverts,
    /// They saw more than one arm.
    Crossover,
    /// Their key is a placeholder.
    Placeholder,
    /// All, those with most conversions first.
    Busiest,
}

impl UnitView {
    /// All of them, in the order a key goes through them.
    pub const ALL: [Self; 6] =
        [Self::Attention, Self::NeverExposed, Self::NeverConverts, Self::Crossover, Self::Placeholder, Self::Busiest];

    /// What it lists, in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Attention => "by need of attention",
            Self::NeverExposed => "convert, never exposed",
            Self::NeverConverts => "exposed, never convert",
            Self::Crossover => "crossover",
            Self::Placeholder => "placeholder",
            Self::Busiest => "busiest first",
        }
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or_default()
    }

    /// The one after it; the first after the last.
    pub fn next(self) -> Self {
        Self::ALL.get(self.index() + 1).copied().unwrap_or_default()
    }

    /// Whether it lists a context.
    pub fn lists(self, row: &UnitRow) -> bool {
        match self {
            Self::Attention | Self::Busiest => true,
            Self::NeverExposed => matches!(row.note, UnitNote::NeverExposed { .. }),
            Self::NeverConverts => row.never_converts(),
            Self::Crossover => row.exposed.iter().any(|exposure| exposure.arms.len() > 1),
            Self::Placeholder => is_placeholder_key(&row.key),
        }
    }
}

/// The contexts of a view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitList {
    /// The first of them.
    pub rows: Vec<UnitRow>,
    /// How many each view lists, in the order of [`UnitView::ALL`].
    pub counts: [u64; UnitView::ALL.len()],
}

/// What is known about one context: its story, as far as its events are held.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldStory {
    /// The story of the newest of its events.
    pub story: Story,
    /// Events of it that are held and too many to tell of; older than those told.
    pub older: u64,
    /// Whether events scrolled out before.
    pub has_scrolled: bool,
    /// Keys that an alias event says are the same person's.
    pub aliases: Vec<String>,
}

/// One sender in the Sources pane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceRow {
    /// SDK and version.
    pub sdk: String,
    /// Wrapper, if any.
    pub wrapper: Option<String>,
    /// SDK instances seen.
    pub instances: u64,
    /// Masked credential or client-side id.
    pub environment: Option<String>,
    /// Event schema versions.
    pub schemas: Vec<String>,
    /// Requests.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// Requests that came compressed.
    pub compressed: u64,
    /// Payloads received before.
    pub duplicates: u64,
    /// Events that could not be read.
    pub undecodable: u64,
    /// Events the SDK says it dropped (diagnostics).
    pub dropped_by_sdk: u64,
    /// Statuses answered, with how often.
    pub statuses: Vec<(u16, u64)>,
    /// Last arrival, epoch ms.
    pub last_seen_ms: i64,
}

/// How a rule came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It fails, and decides the verdict.
    Failed,
    /// It fails too, and would decide once what fails before it is mended.
    WouldFail,
    /// It was not reached, or its input is not known.
    NotJudged,
}

/// One rung of the Why ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// How it came out.
    pub outcome: Outcome,
    /// The rule (`A3`).
    pub rule: &'static str,
    /// How well it is sourced.
    pub grade: Grade,
    /// The code if it fails.
    pub code: Option<ReasonCode>,
    /// What was compared, in words.
    pub text: String,
}

/// The ladder for one iteration and metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Experiment key.
    pub experiment: Option<String>,
    /// Iteration id.
    pub iteration: Option<String>,
    /// Metric key.
    pub metric: Option<String>,
    /// The verdict.
    pub code: ReasonCode,
    /// Arm credited.
    pub arm: Option<String>,
    /// It was shown as something else before.
    pub revised: bool,
    /// The verdict on the other clock, where it differs.
    pub other_clock: Option<(&'static str, ReasonCode)>,
    /// Every rule, in the order judged.
    pub rungs: Vec<Rung>,
    /// What to change; empty where nothing needs changing.
    pub fix: String,
    /// A look-alike that would have matched.
    pub near_miss: Option<String>,
}

impl Ladder {
    /// Whether it failed, or would fail, because the iteration was not running then.
    pub fn is_outside(&self) -> bool {
        self.rungs.iter().filter_map(|rung| rung.code).any(is_about_time)
    }

    /// Whether another ladder tells of the same metric, or evaluation, in an iteration of the experiment that was
    /// running: then that this one was not is no news.
    pub fn is_told_by(&self, other: &Self) -> bool {
        (&self.experiment, &self.metric) == (&other.experiment, &other.metric)
            && self.is_outside()
            && !other.is_outside()
    }

    /// Notes the verdict on the other clock where it is another one (O3). What is still open there says nothing.
    pub fn note_other_clock(&mut self, clock: Clock, code: Option<ReasonCode>) {
        self.other_clock =
            code.filter(|code| *code != self.code && *code != ReasonCode::Pending).map(|code| (clock.name(), code));
    }
}

/// How an event came through Segment: the event as Segment delivers it, what the mappings make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentView {
    /// The library that sent it, as it says itself.
    pub library: Option<String>,
    /// Segment's own id of it.
    pub message_id: Option<String>,
    /// The ids of people in it: the name of the member, and the id.
    pub people: Vec<(&'static str, String)>,
    /// The event as the destination sees it, pretty-printed; empty where it cannot be read.
    pub delivered: String,
    /// What is not as it was sent.
    pub changes: Vec<SegmentChange>,
    /// The time it was sent with, where Segment corrected it.
    pub correction: Option<SegmentCorrection>,
    /// Why Segment itself delivers it to nobody.
    pub refused: Option<String>,
    /// What each enabled mapping makes of it, the one that the event shown is of first.
    pub mappings: Vec<SegmentMapping>,
    /// The context keys that experiments need of the event shown.
    pub needed: Vec<NeededUnit>,
}

/// A member of an event that Segment's servers set or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentChange {
    /// The names that lead to it.
    pub path: Vec<String>,
    /// What was done, in a few words.
    pub words: String,
}

/// A time that Segment corrected by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentCorrection {
    /// As it was sent, epoch ms.
    pub sent_ms: i64,
    /// What was added, in milliseconds.
    pub added_ms: i64,
}

/// A context key that an experiment needs of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededUnit {
    /// Context kind.
    pub kind: String,
    /// The experiments that are randomized by it.
    pub experiments: Vec<String>,
    /// The key LaunchDarkly gets; none: it gets none of this kind.
    pub key: Option<String>,
    /// The arm that key was exposed to.
    pub exposed: Option<String>,
    /// Other places of Segment's event where a key of this kind stands that was exposed.
    pub elsewhere: Vec<ExposedValue>,
}

/// A value in an event that is the key of an exposed unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposedValue {
    /// Where it stands, as a mapping writes it: `$.context.device.id`.
    pub path: String,
    /// The key.
    pub key: String,
    /// The arm it was exposed to.
    pub arm: String,
}

/// What one mapping makes of an event of Segment's, line by line.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentMapping {
    /// The mapping, its fields, and what becomes of the event.
    pub mapped: Mapped,
    /// Its trigger, as written.
    pub trigger: String,
    /// What LaunchDarkly gets, pretty-printed.
    pub payload: Option<String>,
    /// Whether the event that is explained is of this mapping.
    pub is_own: bool,
}

/// Everything known about one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Its row.
    pub row: EventRow,
    /// The event as received, pretty-printed JSON where it is JSON.
    pub event_text: String,
    /// Where it came from: lines of name and value (request, arrival, SDK, credential, payload id, answer).
    pub provenance: Vec<(&'static str, String)>,
    /// How it came through Segment, where it did.
    pub segment: Option<SegmentView>,
    /// One ladder per verdict; one without an experiment where no iteration is about the event.
    pub ladders: Vec<Ladder>,
    /// Related facts ("u-1 sent 3 such events; 403 events fail the same way").
    pub also: Vec<String>,
}
