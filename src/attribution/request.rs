//! Requests: retries of the same payload (R4), and what a payload's summary says of evaluations it holds no event
//! for (E13).

use super::all_flags::Glance;
use super::evidence::{Evidence, SourceId};
use super::index::Index;
use super::judge::{EnvironmentMatch, Judge, JudgedIteration};
use super::segment::Sender;
use super::sessions::Origin;
use super::sightings::{Named, Sighting};
use super::state::State;
use super::tail::Tail;
use super::tally::{Effect, EvidenceKey};
use crate::event::Event;
use crate::event::summary::{self, Counter, FlagSummary};
use crate::reason::ReasonCode;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// Payload ids remembered. An SDK retries after one second; this is hours of traffic.
const PAYLOADS_REMEMBERED: usize = 1_000_000;

/// A payload id, in the environment it was sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PayloadKey(Arc<str>);

impl PayloadKey {
    /// The same id under another credential is another payload.
    pub fn new(environment: &str, payload_id: &str) -> Self {
        // Neither a masked credential nor a header value can hold a line feed.
        Self(format!("{environment}\n{payload_id}").into())
    }
}

/// What can be taken back of a payload.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipt {
    pub(super) effects: Vec<Effect>,
    pub(super) entries: Range<u32>,
    pub(super) records: Range<u32>,
    /// The events that could be read, as the duplicates they become.
    pub(super) readable: Evidence,
    pub(super) sighted: Vec<Sighting>,
}

impl Receipt {
    fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.effects.capacity() * size_of::<Effect>()
            + self.sighted.capacity() * size_of::<Sighting>()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) arrival_ms: Option<i64>,
    body_hash: u64,
    pub(super) receipt: Option<triomphe::Arc<Receipt>>,
}

/// The payloads received, by id.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    by_key: Index,
    /// In the order they were received; none: taken out.
    held: Tail<Option<(PayloadKey, Payload)>, 16>,
    hasher: foldhash::fast::RandomState,
}

impl Payloads {
    pub(super) fn new(shares_clones: bool) -> Self {
        Self {
            by_key: Index::new(shares_clones),
            held: Tail::new(shares_clones),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    pub(super) fn get(&self, key: &PayloadKey) -> Option<&Payload> {
        self.number(key).and_then(|number| self.held.get(number)?.as_ref()).map(|(_, payload)| payload)
    }

    pub(super) fn insert(&mut self, key: PayloadKey, payload: Payload) {
        self.remove(&key);
        self.by_key.insert(self.hasher.hash_one(&key), self.held.next());
        self.held.push(Some((key, payload)));
        while self.by_key.len() > PAYLOADS_REMEMBERED {
            let Some((number, oldest)) = self.held.drop_oldest() else { return };
            if let Some((key, _)) = oldest {
                self.by_key.remove(self.hasher.hash_one(&key), |other| other == number);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &PayloadKey) -> Option<Payload> {
        let number = self.number(key)?;
        self.by_key.remove(self.hasher.hash_one(key), |other| other == number);
        self.held.get_mut(number)?.take().map(|(_, payload)| payload)
    }

    /// The payloads, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PayloadKey, &Payload)> {
        self.held.iter().flatten().map(|(key, payload)| (key, payload))
    }

    fn number(&self, key: &PayloadKey) -> Option<u32> {
        let is_it = |number| matches!(self.held.get(number), Some(Some((known, _))) if known == key);
        self.by_key.find(self.hasher.hash_one(key), is_it)
    }

    /// See [`State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        let elsewhere = |held: &Option<(PayloadKey, Payload)>| {
            // Text and receipt are shared by clones, whether or not the leaf is: this says too much rather than too
            // little.
            held.as_ref().map_or(0, |(key, payload)| {
                key.0.len() + payload.receipt.as_ref().map_or(0, |receipt| receipt.heap_bytes())
            })
        };
        self.held.unshared_bytes(&earlier.held, elsewhere) + self.by_key.unshared_bytes(&earlier.by_key)
    }
}

/// Evaluations a summary counts, before it is known which of them were sent as events too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    iteration: u32,
    variation: Option<i64>,
    code: ReasonCode,
    is_hint: bool,
    count: u64,
    t_ms: Option<i64>,
    event: u64,
}

/// Name of the senders that put their events in the address of an image.
pub const GIF_SENDER: &str = "JSClient (GIF)";

/// `feature` events by iteration and variation.
type Features = HashMap<(u32, Option<i64>), u64, foldhash::fast::FixedState>;

/// A request while its events are taken in. Plain events, which come without requests, are one request without
/// arrival.
#[derive(Debug)]
pub struct Request {
    pub(super) source: SourceId,
    pub(super) arrival_ms: Option<i64>,
    pub(super) environment: EnvironmentMatch,
    /// Where it came from, as far as that ties contexts together; none: nothing is said of it.
    pub(super) origin: Option<Origin>,
    pub(super) is_duplicate: bool,
    /// … and its body is another one.
    pub(super) is_reused: bool,
    pub(super) payload: Option<PayloadKey>,
    pub(super) effects: Vec<Effect>,
    is_plain: bool,
    /// One event of Segment's, which its destination sends by itself: a part of a request, and none of its own.
    pub(super) is_of_segment: bool,
    pub(super) sender: Sender,
    /// Ids of people in Segment's event, by the names of their members.
    pub(super) people: Named,
    pub(super) sighted: Vec<Sighting>,
    /// A summary may stand in another request than the events it counts.
    is_split: bool,
    body_hash: u64,
    samples_silently: bool,
    /// Its SDK is one whose allFlags() sends an evaluation of every flag (F62).
    pub(super) evaluates_all_flags: bool,
    pub(super) glances: Vec<Glance>,
    first_entry: u32,
    first_record: u32,
    pub(super) readable: Evidence,
    features: Features,
    counted: Vec<Counted>,
}

impl Request {
    /// Who sent it.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// Arrival, epoch ms; none for plain events.
    pub fn arrival_ms(&self) -> Option<i64> {
        self.arrival_ms
    }

    /// Says where it came from.
    pub fn came_from(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// Whose environment it is of.
    pub fn environment(&self) -> EnvironmentMatch {
        self.environment
    }

    /// Whether its payload was received before.
    pub fn is_duplicate(&self) -> bool {
        self.is_duplicate
    }

    /// Notes a `feature` event: what a summary counts of it needs no explanation.
    pub(super) fn feature(&mut self, judge: &Judge, event: &Event<'_>, number: u64) {
        let Some(flag) = event.key.as_deref() else { return };
        if self.evaluates_all_flags {
            self.glance(event, flag, number);
        }
        for iteration in judge.iterations_of_flag(flag) {
            *self.features.entry((*iteration, event.variation)).or_default() += 1;
        }
    }

    /// Notes what a summary counts of flags that are in an experiment.
    pub(super) fn summary(
        &mut self,
        judge: &Judge,
        event: &Event<'_>,
        environment: EnvironmentMatch,
        number: u64,
        t_ms: Option<i64>,
    ) {
        for flag in event.features.as_deref().map(summary::flags).unwrap_or_default() {
            for index in judge.iterations_of_flag(&flag.flag) {
                let Some(judged) = judge.iterations().get(*index as usize) else { continue };
                if !t_ms.is_some_and(|t_ms| judged.iteration.contains(t_ms)) {
                    continue;
                }
                for counter in &flag.counters {
                    let (code, is_hint) = why_unsent(judged, event, &flag, *counter, environment);
                    self.counted.push(Counted {
                        iteration: *index,
                        variation: counter.variation,
                        code,
                        is_hint,
                        count: counter.count,
                        t_ms,
                        event: number,
                    });
                }
            }
        }
    }
}

/// E13: why evaluations that a summary counts sent no event of their own, if they did not, and whether that is only a
/// hint.
pub fn why_unsent(
    judged: &JudgedIteration,
    event: &Event<'_>,
    flag: &FlagSummary<'_>,
    counter: Counter,
    environment: EnvironmentMatch,
) -> (ReasonCode, bool) {
    // What another environment evaluates says nothing of this one's contexts (E2 comes before E3).
    if environment == EnvironmentMatch::Other {
        return (ReasonCode::WrongEnvironment, false);
    }
    let (lacks_unit, is_hint) = lacks_unit(event, flag, &judged.iteration.randomization_unit);
    let is_arm = |variation: i64| {
        judged.iteration.arms.as_ref().is_none_or(|arms| arms.iter().any(|arm| arm.variation == variation))
    };
    (explanation(lacks_unit, counter, is_arm), is_hint)
}

/// E13, first case: whether the unit was among the context kinds evaluated with, and whether that is only a hint
/// because several kinds are mixed in one summary.
fn lacks_unit(event: &Event<'_>, flag: &FlagSummary<'_>, unit: &str) -> (bool, bool) {
    match &flag.context_kinds {
        Some(kinds) => (!kinds.iter().any(|kind| kind == unit), kinds.len() > 1),
        None => (!event.context_keys.is_empty() && event.context_keys.key(unit).is_none(), false),
    }
}

/// E13: the cases in their order.
fn explanation(lacks_unit: bool, counter: Counter, is_arm: impl Fn(i64) -> bool) -> ReasonCode {
    match counter {
        _ if lacks_unit => ReasonCode::ExposureLacksUnit,
        Counter { unknown: true, .. } => ReasonCode::EvalError,
        Counter { variation: None, version: None | Some(0), .. } => ReasonCode::BootstrapWithoutMetadata,
        Counter { variation: Some(variation), .. } if !is_arm(variation) => ReasonCode::OtherRule,
        _ => ReasonCode::NoFeatureEvent,
    }
}

impl State {
    /// Begins a request: its events follow, then [`State::end`]. Plain events have no arrival and no payload.
    pub fn begin(
        &mut self,
        source: SourceId,
        arrival_ms: Option<i64>,
        environment: EnvironmentMatch,
        payload: Option<PayloadKey>,
        body: &str,
    ) -> Request {
        let body_hash = if payload.is_some() { foldhash::fast::FixedState::default().hash_one(body) } else { 0 };
        let known = payload.as_ref().and_then(|key| self.payloads.get(key));
        let is_duplicate = known.is_some();
        let is_reused = known.is_some_and(|known| known.body_hash != body_hash);
        let mut request = Request {
            source,
            arrival_ms,
            environment,
            origin: None,
            is_duplicate,
            is_reused,
            payload: payload.filter(|_| !is_duplicate),
            effects: Vec::new(),
            is_plain: arrival_ms.is_none(),
            is_of_segment: false,
            sender: self.source_name(source).map_or(Sender::Other, |name| Sender::of(name)),
            people: Named::new(),
            sighted: Vec::new(),
            // Plain events are no requests, and one flush in the address of an image is as many as it takes.
            is_split: arrival_ms.is_none() || self.source_name(source).is_some_and(|name| **name == *GIF_SENDER),
            body_hash,
            samples_silently: self.source_name(source).is_some_and(|name| name.starts_with("PythonClient/")),
            evaluates_all_flags: self
                .source_name(source)
                .is_some_and(|name| ["JSClient/2.", "JSClient/3."].iter().any(|version| name.starts_with(version))),
            glances: Vec::new(),
            first_entry: self.log.next(),
            first_record: self.records.next(),
            readable: Evidence::default(),
            features: Features::default(),
            counted: Vec::new(),
        };
        if is_duplicate {
            self.totals.duplicate_payloads += 1;
        }
        if is_reused {
            let event = self.totals.events;
            self.add_evidence(&mut request, EvidenceKey::Code(ReasonCode::PayloadIdReused), event, arrival_ms, None);
        }
        request
    }

    /// Begins what Segment's destination makes of one event of a request, which has these ids of people: it is a payload
    /// by Segment's own id of it, and no request of its own.
    pub fn begin_segment_event(
        &mut self,
        source: SourceId,
        arrival_ms: Option<i64>,
        environment: EnvironmentMatch,
        message: Option<PayloadKey>,
        content: &str,
        people: Named,
    ) -> Request {
        Request { is_of_segment: true, people, ..self.begin(source, arrival_ms, environment, message, content) }
    }

    /// Ends a request: what its summaries count beyond its events is explained, and what could be taken back of it is
    /// kept.
    pub fn end(&mut self, mut request: Request) {
        if !request.is_plain && !request.is_of_segment {
            self.totals.requests += 1;
        }
        self.rejudge_stale();
        if !request.is_duplicate {
            self.explain_summaries(&mut request);
            self.notice_all_flags(&mut request);
        }
        self.settle();
        if self.needs_review() {
            self.review_completeness();
        }
        if let Some(key) = request.payload.take() {
            let receipt = self.options.keep_receipts.then(|| {
                triomphe::Arc::new(Receipt {
                    effects: std::mem::take(&mut request.effects),
                    entries: request.first_entry..self.log.next(),
                    records: request.first_record..self.records.next(),
                    readable: std::mem::take(&mut request.readable),
                    sighted: std::mem::take(&mut request.sighted),
                })
            });
            self.payloads
                .insert(key, Payload { arrival_ms: request.arrival_ms, body_hash: request.body_hash, receipt });
        }
    }

    fn explain_summaries(&mut self, request: &mut Request) {
        let mut features = std::mem::take(&mut request.features);
        let mut counted = std::mem::take(&mut request.counted);
        if request.samples_silently && request.environment == EnvironmentMatch::Same {
            self.note_silent_sampling(request, &features, &counted);
        }
        if request.is_split {
            for ((iteration, _), count) in &features {
                if let Some(counts) = self.iteration_counts.get_mut(*iteration as usize) {
                    counts.plain_features += count;
                }
            }
        } else {
            // An evaluation that was sent as an event is counted in the summary too. The events are set off first
            // against what has no better explanation.
            for unexplained in [true, false] {
                let same = |counted: &&mut Counted| (counted.code == ReasonCode::NoFeatureEvent) == unexplained;
                for counted in counted.iter_mut().filter(same) {
                    if let Some(sent) = features.get_mut(&(counted.iteration, counted.variation)) {
                        let taken = counted.count.min(*sent);
                        counted.count -= taken;
                        *sent -= taken;
                    }
                }
            }
        }
        for counted in counted.into_iter().filter(|counted| counted.count > 0) {
            self.explain(request, counted);
        }
    }

    fn explain(&mut self, request: &mut Request, counted: Counted) {
        let Counted { iteration, code, .. } = counted;
        let count = u32::try_from(counted.count).unwrap_or(u32::MAX);
        let key = if request.is_split {
            if let Some(counts) = self.iteration_counts.get_mut(iteration as usize) {
                counts.plain_summaries.add(code, i64::from(count));
            }
            EvidenceKey::PlainSummary(code, iteration)
        } else {
            self.apply(request, Effect::Evaluations { iteration, code, count });
            EvidenceKey::Iteration(code, iteration)
        };
        let evidence = self.evidence_for(key);
        self.apply(request, Effect::Evidence { evidence, count });
        if let Some(evidence) = self.evidence.get_mut(evidence as usize) {
            evidence.see(counted.t_ms);
            evidence.source(request.source);
            evidence.example(counted.event);
            evidence.only_likely |= counted.is_hint;
        }
    }

    /// R7: Python samples without saying so; its summaries then count more than it sends.
    fn note_silent_sampling(&mut self, request: &mut Request, features: &Features, counted: &[Counted]) {
        let clip = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        for ((iteration, _), count) in features {
            self.apply(request, Effect::MaybeSampled { iteration: *iteration, sent: clip(*count), summarised: 0 });
        }
        for counted in counted.iter().filter(|counted| counted.code == ReasonCode::NoFeatureEvent) {
            let summarised = clip(counted.count);
            self.apply(request, Effect::MaybeSampled { iteration: counted.iteration, sent: 0, summarised });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_payload_id_under_another_credential_is_another_payload() {
        assert_ne!(PayloadKey::new("sdk-…1", "p"), PayloadKey::new("sdk-…2", "p"));
        assert_eq!(PayloadKey::new("e", "p"), PayloadKey::new("e", "p"));
    }
}
