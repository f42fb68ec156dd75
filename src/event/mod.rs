//! LaunchDarkly's events as they are on the wire, read without copying.
//!
//! [`body`] turns a request into text and text into items; [`decode`] turns one JSON object into an [`Event`].
//! Reading is total: what cannot be read becomes an [`Unreadable`] with its reason and byte offset, and never
//! takes its neighbours with it. [`wrapped`] does the same for events that come in an envelope of LaunchDarkly's own
//! tools, or as rows of a warehouse.

pub mod body;
pub mod decode;
pub mod summary;
pub mod wrapped;

use crate::segment::posted::Posted;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use wrapped::Wrapping;

/// The kind of an event (`docs/sources.md` lists who sends what).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An individual flag evaluation.
    Feature,
    /// A copy of an evaluation, sent while debugging is on.
    Debug,
    /// A `track()` call.
    Custom,
    /// A click a browser SDK matched to a metric.
    Click,
    /// A page view a browser SDK matched to a metric.
    PageView,
    /// Sent by older browser SDKs for every click metric whose page was opened; no conversion.
    ClickPageView,
    /// An `identify()` call.
    Identify,
    /// A context seen for the first time by a server SDK.
    Index,
    /// Counts of evaluations.
    Summary,
    /// Two user keys joined, before contexts.
    Alias,
    /// A migration's read or write.
    MigrationOp,
    /// An SDK's configuration, at its start.
    DiagnosticInit,
    /// An SDK's statistics.
    Diagnostic,
    /// Both in one, from browser SDKs.
    DiagnosticCombined,
    /// A kind this version does not know; kept and shown.
    Other,
}

impl Kind {
    /// The kind with this name. `page view`, the documentation's spelling, is `pageview` (R3).
    pub fn from_name(name: &str) -> Self {
        match name {
            "feature" => Self::Feature,
            "debug" => Self::Debug,
            "custom" => Self::Custom,
            "click" => Self::Click,
            "pageview" | "page view" => Self::PageView,
            "click_pageview" => Self::ClickPageView,
            "identify" => Self::Identify,
            "index" => Self::Index,
            "summary" => Self::Summary,
            "alias" => Self::Alias,
            "migration_op" => Self::MigrationOp,
            "diagnostic-init" => Self::DiagnosticInit,
            "diagnostic" => Self::Diagnostic,
            "diagnostic-combined" => Self::DiagnosticCombined,
            _ => Self::Other,
        }
    }

    /// The name on the wire; none for a kind this version does not know.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Feature => "feature",
            Self::Debug => "debug",
            Self::Custom => "custom",
            Self::Click => "click",
            Self::PageView => "pageview",
            Self::ClickPageView => "click_pageview",
            Self::Identify => "identify",
            Self::Index => "index",
            Self::Summary => "summary",
            Self::Alias => "alias",
            Self::MigrationOp => "migration_op",
            Self::DiagnosticInit => "diagnostic-init",
            Self::Diagnostic => "diagnostic",
            Self::DiagnosticCombined => "diagnostic-combined",
            Self::Other => return None,
        })
    }

    /// Whether it says something about a flag or a metric that attribution judges.
    pub fn is_judged(self) -> bool {
        matches!(self, Self::Feature | Self::Debug | Self::Custom | Self::Click | Self::PageView)
    }
}

/// Up to so many context kinds are told apart by looking through them.
const COMPARED_ONE_BY_ONE: usize = 16;

/// Context kinds with their keys (R1). Empty keys are not keys and are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextKeys<'a>(SmallVec<[(Cow<'a, str>, Cow<'a, str>); 2]>);

impl<'a> ContextKeys<'a> {
    /// The key of a context kind.
    pub fn key(&self, kind: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == kind).map(|(_, key)| key.as_ref())
    }

    /// Kinds and keys, in the order they were read.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(kind, key)| (kind.as_ref(), key.as_ref()))
    }

    /// The one to call the event by where nothing says which: the user, whatever stands beside it, else the first.
    pub fn main(&self) -> Option<(&str, &str)> {
        self.iter().find(|(kind, _)| *kind == "user").or_else(|| self.iter().next())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a key unless its kind has one already: sources of context keys are read in order of precedence (R1).
    /// After the last, [`Self::settle`] must follow.
    fn add(&mut self, kind: Cow<'a, str>, key: Cow<'a, str>) {
        if !key.is_empty() && (self.0.len() >= COMPARED_ONE_BY_ONE || self.key(&kind).is_none()) {
            self.0.push((kind, key));
        }
    }

    /// Leaves out later keys of the same kind. No person makes contexts of so many kinds that looking through all of
    /// them for every one would matter, but a sender may.
    fn settle(&mut self) {
        if self.0.len() > COMPARED_ONE_BY_ONE {
            let mut seen = HashSet::new();
            self.0.retain(|(kind, _)| seen.insert(kind.clone()));
        }
    }
}

/// Which member names an event's contexts: it tells who may have sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// `context` or `user`, or none of them: an SDK.
    #[default]
    Contexts,
    /// `contextKeys`: Segment's "LaunchDarkly (Actions)" destination, and the first SDKs with contexts.
    ContextKeys,
    /// `userKey` and nothing else: Segment's classic destination, and SDKs from before contexts.
    UserKey,
}

/// Why a flag evaluation came out as it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationReason<'a> {
    /// `FALLTHROUGH`, `RULE_MATCH`, `OFF`, …
    pub kind: Option<Cow<'a, str>>,
    /// The rule that matched.
    pub rule_id: Option<Cow<'a, str>>,
    /// Set, and true, only for evaluations that are part of an experiment.
    pub in_experiment: bool,
    /// `FLAG_NOT_FOUND`, `CLIENT_NOT_READY`, …
    pub error_kind: Option<Cow<'a, str>>,
}

/// The `metricValue` of an event, which is whatever the application passed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum MetricValue<'a> {
    /// Not there, or `null` (A4 treats them alike).
    #[default]
    Missing,
    /// A finite number.
    Number(f64),
    /// Anything else, as written.
    Invalid(Cow<'a, str>),
}

/// One event, borrowed from the text it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its kind as written.
    pub kind_name: Cow<'a, str>,
    /// Flag key, event key, or internal metric id (click and page view).
    pub key: Option<Cow<'a, str>>,
    /// `creationDate`, or a summary's `endDate`: epoch ms by the SDK's clock, as sent.
    pub creation_ms: Option<i64>,
    /// Context kinds and keys.
    pub context_keys: ContextKeys<'a>,
    /// The member they were in.
    pub shape: Shape,
    /// Index of the variation served.
    pub variation: Option<i64>,
    /// Flag version evaluated.
    pub version: Option<i64>,
    /// Evaluation reason.
    pub reason: Option<EvaluationReason<'a>>,
    /// `metricValue`.
    pub metric_value: MetricValue<'a>,
    /// Page address (click, page view).
    pub url: Option<Cow<'a, str>>,
    /// CSS selector (click).
    pub selector: Option<Cow<'a, str>>,
    /// 1 in n of such events were sent.
    pub sampling_ratio: Option<i64>,
    /// `context`, as written: an object.
    pub context: Option<Cow<'a, str>>,
    /// `user`, as written: an object.
    pub user: Option<Cow<'a, str>>,
    /// `data`, as written.
    pub data: Option<Cow<'a, str>>,
    /// A summary's `features`, as written: an object.
    pub features: Option<Cow<'a, str>>,
    /// A diagnostic's `droppedEvents`.
    pub dropped_events: Option<i64>,
    /// What it came wrapped in; none for an event as an SDK sends it.
    pub wrapping: Option<Box<Wrapping<'a>>>,
    /// The whole event, as written, with what it is wrapped in.
    pub raw: &'a str,
}

impl<'a> Event<'a> {
    /// What stands for something that is no event of LaunchDarkly's: its kind, its name, its time, and nothing else.
    pub fn of_another(kind_name: &'a str, name: Option<&'a str>, t_ms: Option<i64>, raw: &'a str) -> Self {
        Self {
            kind: Kind::Other,
            kind_name: Cow::Borrowed(kind_name),
            key: name.map(Cow::Borrowed),
            creation_ms: t_ms,
            context_keys: ContextKeys::default(),
            shape: Shape::Contexts,
            variation: None,
            version: None,
            reason: None,
            metric_value: MetricValue::Missing,
            url: None,
            selector: None,
            sampling_ratio: None,
            context: None,
            user: None,
            data: None,
            features: None,
            dropped_events: None,
            wrapping: None,
            raw,
        }
    }

    /// When the event arrived, where it says so itself: epoch ms.
    pub fn received_ms(&self) -> Option<i64> {
        self.wrapping.as_ref()?.received_ms
    }

    /// Whether it came without the rule that served and without what its contexts and its data say: what is not there
    /// cannot be the wrong one (O1d).
    pub fn is_partial(&self) -> bool {
        self.wrapping.as_ref().is_some_and(|wrapping| wrapping.is_partial())
    }

    /// Whether it came with the user's key alone, whatever other keys it had (O1d).
    pub fn lacks_other_kinds(&self) -> bool {
        self.wrapping.as_ref().is_some_and(|wrapping| wrapping.lacks_other_kinds)
    }

    /// What a warehouse's row says, if it is one.
    pub fn row(&self) -> Option<&Wrapping<'a>> {
        self.wrapping.as_deref().filter(|wrapping| wrapping.is_row())
    }
}

/// Something that could not be read as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong, in words.
    pub reason: String,
    /// Byte of the decoded body at which it is wrong.
    pub offset: usize,
    /// Where it stands in the decoded body.
    pub range: Range<usize>,
}

/// One event of a body, readable or not, with where it stands in the decoded text.
// An item lives for one visit, on the stack; a box would be an allocation per event.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// An event.
    Event {
        /// The event.
        event: Event<'a>,
        /// Byte at which it starts.
        offset: usize,
    },
    /// An event of Segment's, of which its destination makes events or does not.
    Segment(Posted<'a>),
    /// Something else; kept, counted and shown.
    Unreadable(Unreadable),
}

impl Item<'_> {
    /// Where it stands in the decoded text.
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Event { event, offset } => *offset..*offset + event.raw.len(),
            Self::Segment(posted) => posted.range(),
            Self::Unreadable(unreadable) => unreadable.range.clone(),
        }
    }
}
