//! Counts of everything, as effects that can be taken back.
//!
//! A payload that turns out to be the retry of one in another part must leave no trace in the counts. So whatever an
//! event adds to a count is an [`Effect`], applied once forwards, and once backwards if its payload is withdrawn.

use crate::reason::{Category, ReasonCode};
use std::collections::HashMap;
use std::sync::Arc;

/// Something an event adds to a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The event's category, where later events cannot change it.
    Category(Category),
    /// A verdict of a (iteration, metric) pair that later events cannot change.
    Verdict {
        /// The pair.
        slot: u32,
        /// The verdict.
        code: ReasonCode,
    },
    /// Evaluations of an iteration's flag that exposed nobody.
    Evaluations {
        /// The iteration.
        iteration: u32,
        /// Why.
        code: ReasonCode,
        /// How many.
        count: u32,
    },
    /// An exposure of a unit in an iteration to a variation.
    Exposed {
        /// The unit's state.
        state: u32,
        /// Variation served.
        variation: i64,
    },
    /// Events behind a finding.
    Evidence {
        /// Which.
        evidence: u32,
        /// How many.
        count: u32,
    },
    /// A sampled evaluation of the iteration's flag (R7).
    Sampled {
        /// The iteration.
        iteration: u32,
    },
    /// Evaluations sent, and evaluations counted in summaries, by SDKs that sample without saying so (R7).
    MaybeSampled {
        /// The iteration.
        iteration: u32,
        /// `feature` events.
        sent: u32,
        /// Evaluations in summaries.
        summarised: u32,
    },
}

/// Counts per verdict. An entry is absent until it is first used and stays, at zero, if it is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeCounts(HashMap<ReasonCode, u64, foldhash::fast::FixedState>);

impl CodeCounts {
    /// Adds to a count.
    pub fn add(&mut self, code: ReasonCode, delta: i64) {
        let count = self.0.entry(code).or_default();
        *count = count.saturating_add_signed(delta);
    }

    /// The counts that are not zero.
    pub fn iter(&self) -> impl Iterator<Item = (ReasonCode, u64)> {
        self.0.iter().filter(|(_, count)| **count > 0).map(|(code, count)| (*code, *count))
    }

    /// One count.
    pub fn get(&self, code: ReasonCode) -> u64 {
        self.0.get(&code).copied().unwrap_or_default()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(code, count)| self.add(code, count as i64));
    }
}

/// What is counted per iteration, apart from units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IterationCounts {
    /// Evaluations that exposed nobody, by reason.
    pub evaluations: CodeCounts,
    /// Evaluations that only a summary among plain events, or in a request of a flush that takes several, tells of;
    /// they say something only where the flag sent no `feature` event at all that way.
    pub plain_summaries: CodeCounts,
    /// `feature` events of the flag among plain events and in such requests.
    pub plain_features: u64,
    /// Sampled evaluations seen.
    pub sampled: u64,
    /// `feature` events from SDKs that sample without saying so.
    pub maybe_sampled_sent: u64,
    /// What their summaries counted.
    pub maybe_sampled_summarised: u64,
    /// Exposures of units that the iteration's rollout leaves out.
    pub against_the_rollout: u64,
}

impl IterationCounts {
    /// R7: whether some evaluations of the flag were left out by sampling.
    pub fn is_sampled(&self) -> bool {
        self.sampled > 0 || (self.maybe_sampled_sent > 0 && self.maybe_sampled_summarised > self.maybe_sampled_sent)
    }

    /// Whether there were exposures that are missing among those that are judged by: left out by sampling (R7), or to
    /// an arm that cannot be named,
    /// or perhaps among evaluations of which an export does not say it.
    pub fn lacks_exposures(&self) -> bool {
        let unknown = [ReasonCode::ArmUnknown, ReasonCode::UnitNotExported, ReasonCode::ReasonNotExported];
        self.is_sampled() || unknown.iter().any(|code| self.evaluations.get(*code) > 0)
    }

    /// B1: whether the rollout does not hold: units that it leaves out were exposed.
    pub fn refutes_the_rollout(&self) -> bool {
        self.against_the_rollout > 0
    }

    /// Adds another part's counts.
    pub fn merge(&mut self, other: &Self) {
        self.evaluations.merge(&other.evaluations);
        self.plain_summaries.merge(&other.plain_summaries);
        self.plain_features += other.plain_features;
        self.sampled += other.sampled;
        self.maybe_sampled_sent += other.maybe_sampled_sent;
        self.maybe_sampled_summarised += other.maybe_sampled_summarised;
        self.against_the_rollout += other.against_the_rollout;
    }
}

/// Counts over all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Events, unreadable ones included.
    pub events: u64,
    /// Unreadable events.
    pub undecodable: u64,
    /// Payloads received before.
    pub duplicate_payloads: u64,
    /// Events known to be lost.
    pub lost: u64,
    /// First and last instant on the judging clock; what does not look like milliseconds is left out.
    pub span_ms: Option<(i64, i64)>,
    /// Whether there was a time in between of which nothing is known, not even whether anything was lost.
    pub was_interrupted: bool,
    /// Readable events by kind.
    pub by_kind: HashMap<Box<str>, u64, foldhash::fast::FixedState>,
    /// Events by category, in the order of [`Category::ALL`].
    pub categories: [u64; Category::ALL.len()],
}

impl Totals {
    /// Adds to a category.
    pub fn category(&mut self, category: Category, delta: i64) {
        if let Some(count) = self.categories.get_mut(category as usize) {
            *count = count.saturating_add_signed(delta);
        }
    }

    /// Events of a category.
    pub fn of(&self, category: Category) -> u64 {
        self.categories.get(category as usize).copied().unwrap_or_default()
    }

    /// Counts a readable event. Kinds are the senders' own words, so only so many are told apart.
    pub fn kind(&mut self, kind: &str) {
        const KINDS_TOLD_APART: usize = 256;
        if let Some(count) = self.by_kind.get_mut(kind) {
            *count += 1;
        } else {
            let kind = if self.by_kind.len() < KINDS_TOLD_APART { kind } else { "…other kinds" };
            *self.by_kind.entry(kind.into()).or_default() += 1;
        }
    }

    /// Notes an instant.
    pub fn see(&mut self, t_ms: i64) {
        let (first, last) = self.span_ms.unwrap_or((t_ms, t_ms));
        self.span_ms = Some((first.min(t_ms), last.max(t_ms)));
    }

    /// Adds another part's counts.
    pub fn merge(&mut self, other: &Self) {
        if let Some((first, last)) = other.span_ms {
            self.see(first);
            self.see(last);
        }
        self.requests += other.requests;
        self.events += other.events;
        self.undecodable += other.undecodable;
        self.duplicate_payloads += other.duplicate_payloads;
        self.lost += other.lost;
        self.was_interrupted |= other.was_interrupted;
        for (kind, count) in &other.by_kind {
            *self.by_kind.entry(kind.clone()).or_default() += count;
        }
        for (count, more) in self.categories.iter_mut().zip(other.categories) {
            *count += more;
        }
    }
}

/// Which finding a piece of evidence belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EvidenceKey {
    /// A verdict of a (iteration, metric) pair.
    Slot(ReasonCode, u32),
    /// Evaluations of an iteration's flag.
    Iteration(ReasonCode, u32),
    /// The same, known only from summaries that need not stand beside the events they count.
    PlainSummary(ReasonCode, u32),
    /// Events that match a metric no experiment lists.
    Metric(u32),
    /// Segment events of which LaunchDarkly gets nothing, by what the destination says; with the metric that would
    /// have counted them by their name.
    Segment(ReasonCode, Arc<str>, Option<u32>),
    /// Segment events of which LaunchDarkly gets something: no finding, but what the others are held against.
    SegmentSent,
    /// Segment events whose trigger matches and of which LaunchDarkly gets nothing all the same, by what is said of it.
    SegmentLost(Arc<str>),
    /// Events that came through Segment with what is nobody's key: the kind, and the key.
    SegmentPlaceholder(Arc<str>, Arc<str>),
    /// Segment events that were meant for a click or page-view metric.
    SegmentPage(u32),
    /// Events that stand apart from every experiment, or remarks, by code alone.
    Code(ReasonCode),
}
