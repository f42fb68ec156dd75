//! From an envelope, or from plain events, into the state of attribution.

use crate::attribution::judge::EnvironmentMatch;
use crate::attribution::request::{GIF_SENDER, PayloadKey, Request};
use crate::attribution::segment::PageCall;
use crate::attribution::sessions::{self, Origin};
use crate::attribution::state::{AcceptedClaims, State};
use crate::catalog::Environment;
use crate::envelope::{AnsweredBy, Credential, Envelope, Signature, Via};
use crate::event::body::{self, Route};
use crate::event::{Event, Item, Unreadable, decode};
use crate::json::Walker;
use crate::reason::ReasonCode;
use crate::segment::Destination;
use crate::segment::door::Door;
use crate::segment::fate::{Fate, Made, Part};
use crate::segment::limits;
use crate::segment::posted::Posted;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// One event that was taken in.
pub enum Received<'a, 'text> {
    /// It could be read.
    Event {
        /// Its number.
        number: u64,
        /// The event.
        event: &'a Event<'text>,
        /// Where it stands in the decoded body; of an event that Segment's destination made, where Segment's stands.
        range: Range<usize>,
        /// What it claims.
        claims: AcceptedClaims,
        /// Where Segment's destination made it, or made nothing of it, how.
        segment: Option<OfSegment<'a>>,
    },
    /// It could not.
    Unreadable {
        /// Its number.
        number: u64,
        /// Why.
        unreadable: Unreadable,
    },
}

impl Received<'_, '_> {
    /// Whose environment it was judged as being of, where its request is of this one.
    pub fn environment(&self, state: &State, of_request: EnvironmentMatch) -> EnvironmentMatch {
        match (self, of_request) {
            (Self::Event { segment: Some(_), .. }, EnvironmentMatch::Same) => {
                state.judge().environment_of_destination()
            }
            (_, of_request) => of_request,
        }
    }

    /// Where it stands in the decoded body.
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Event { range, .. } => range.clone(),
            Self::Unreadable { unreadable, .. } => unreadable.range.clone(),
        }
    }
}

/// How an event comes from one of Segment's.
#[derive(Clone, Copy, Debug)]
pub struct OfSegment<'a> {
    /// What becomes of Segment's event.
    pub fate: &'a Fate,
    /// The mapping this is about, counted from 0.
    pub mapping: Option<usize>,
    /// What it makes.
    pub made: &'a Made,
    /// Which of all that is made of Segment's event this is, counted from 0.
    pub part: usize,
}

/// What the name of a sender of Segment's begins with.
pub const SEGMENT: &str = "Segment";

/// Who sent a request: the SDK's own name where a browser would say `Mozilla/5.0 …`; what comes from Segment says so.
pub fn sender(envelope: &Envelope) -> Cow<'_, str> {
    if envelope.via == Via::File {
        return Cow::Borrowed(&envelope.path);
    }
    let sdk = envelope.header("x-launchdarkly-user-agent");
    let agent = sdk.or_else(|| envelope.header("user-agent")).unwrap_or("unknown sender");
    let route = Route::of(&envelope.path);
    let is_browser = sdk.is_none() && agent.starts_with("Mozilla/");
    match route.door {
        Some(_) if is_browser => Cow::Borrowed("Segment analytics.js"),
        Some(_) if agent.starts_with(SEGMENT) => Cow::Borrowed(agent),
        Some(_) => Cow::Owned(format!("{SEGMENT} {agent}")),
        None if sdk.is_none() && route.gif_data.is_some() => Cow::Borrowed(GIF_SENDER),
        None if is_browser => Cow::Borrowed("browser"),
        None => Cow::Borrowed(agent),
    }
}

/// Whether a request came to one of Segment's doors.
pub fn is_of_segment(envelope: &Envelope) -> bool {
    Route::of(&envelope.path).door.is_some()
}
/// What a Relay Proxy answers, with status 503, that forwards no events (F65).
pub const RELAY_EVENTS_OFF: &str = "Event proxy is not enabled for this environment";

/// Whose environment a request is of: the credential, else the client-side id, else nobody's in particular.
pub fn environment_name(envelope: &Envelope) -> Option<&str> {
    envelope.credential.as_ref().map(Credential::as_str).or(Route::of(&envelope.path).client_side_id)
}

/// R5: whether a request is of the catalog's environment. What the catalog does not say is not judged.
pub fn environment_of(envelope: &Envelope, environment: &Environment) -> EnvironmentMatch {
    if let (Some(expected), Some(id)) = (&environment.client_side_id, Route::of(&envelope.path).client_side_id)
        && expected != id
    {
        return EnvironmentMatch::Other;
    }
    // A write key of Segment's is no SDK's credential: it is judged only where the catalog has one of its sort.
    let is_sdk_key = |text: &str| ["sdk-", "mob-", "api-"].iter().any(|kind| text.starts_with(kind));
    let is_of_segment = Route::of(&envelope.path).door.is_some();
    let known = environment.credentials.as_ref();
    let is_of_its_sort = |known: &String| match &envelope.credential {
        _ if is_of_segment => !is_sdk_key(known),
        // Old SDK keys have no mark either, so that only a marked one is told from a write key.
        Some(credential) if is_sdk_key(credential.as_str()) => is_sdk_key(known),
        _ => true,
    };
    let known = known.filter(|known| known.is_empty() || known.iter().any(is_of_its_sort));
    match (known, &envelope.credential) {
        (Some(known), Some(credential)) => {
            // A person may have written the key itself into the catalog.
            let is_known = |text: &String| text == credential.as_str() || Credential::mask(text) == *credential;
            if known.iter().any(is_known) { EnvironmentMatch::Same } else { EnvironmentMatch::Other }
        }
        _ => EnvironmentMatch::Same,
    }
}

/// Takes in a request. Whatever cannot be read of it is one unreadable event.
pub fn envelope(
    state: &mut State,
    environment: &Environment,
    envelope: &Envelope,
    mut visit: impl FnMut(&State, Received<'_, '_>),
) {
    if envelope.via == Via::File {
        return match body::text(envelope) {
            Ok(text) => plain(state, &sender(envelope), &text, visit),
            Err(fault) => damaged(state, &sender(envelope), &fault.to_string(), visit),
        };
    }
    let source = state.source(&sender(envelope));
    let environment = environment_of(envelope, environment);
    let text = match body::text(envelope) {
        Ok(text) => text,
        Err(fault) => {
            // Its payload id is not remembered: what could not be read must not turn its retry into a duplicate.
            let request = state.begin(source, Some(envelope.arrival_ms), environment, None, "");
            let number = state.unreadable(&request);
            let unreadable = Unreadable { reason: fault.to_string(), offset: 0, range: 0..envelope.body.len() };
            visit(state, Received::Unreadable { number, unreadable });
            state.end(request);
            return;
        }
    };
    let door = Route::of(&envelope.path).door;
    let payload = envelope
        .header("x-launchdarkly-payload-id")
        .map(|id| PayloadKey::new(environment_name(envelope).unwrap_or_default(), id));
    let origin = origin(envelope, &text);
    let mut request = state.begin(source, Some(envelope.arrival_ms), environment, payload, &text);
    origin.into_iter().for_each(|origin| request.came_from(origin));
    if let Some(answer) = envelope.answer.filter(|it| it.from == AnsweredBy::Upstream && it.status >= 400) {
        let text = envelope.answer_text.as_deref();
        if answer.status == 503 && text.is_some_and(|text| text.contains(RELAY_EVENTS_OFF)) {
            state.refused_upstream(&mut request, ReasonCode::RelayEventsOff, None);
        } else {
            let said = text.map(|text| format!("{} {text}", answer.status));
            state.refused_upstream(&mut request, ReasonCode::HttpRejected, said.as_deref());
        }
    }
    if matches!(envelope.signature, Some(Signature::Wrong | Signature::Missing)) {
        state.badly_signed(&mut request);
    }
    let delivery = Delivery::of(envelope, door, &text);
    body::batch(&text, door, |item| take(state, &mut request, item, &delivery, &mut visit));
    state.end(request);
}

/// Where a request came from, as far as it tells which contexts are one person's; none for a flush that is taken apart,
/// and for what Segment has. A server serves many, and so do the SDKs on the edge, whose path is a browser's.
fn origin(envelope: &Envelope, text: &str) -> Option<Origin> {
    const EDGE: [&str; 5] = ["cloudflare", "vercel", "akamai", "fastly", "edge"];
    let route = Route::of(&envelope.path);
    if route.door.is_some() || route.gif_data.is_some() {
        return None;
    }
    let payload = match envelope.header("x-launchdarkly-payload-id") {
        Some(id) => sessions::hash_of((environment_name(envelope), id)),
        None => sessions::hash_of((envelope.arrival_ms, text)),
    };
    let path = envelope.path.split('?').next().unwrap_or_default();
    let is_mobile = path.split('/').any(|segment| segment == "mobile");
    // A browser's own name may hold anything: Edge is one.
    let agent =
        envelope.header("x-launchdarkly-user-agent").or_else(|| envelope.header("user-agent")).unwrap_or_default();
    let agent = agent.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let is_of_a_device = is_mobile || (route.client_side_id.is_some() && !EDGE.iter().any(|edge| agent.contains(edge)));
    let environment = environment_name(envelope);
    let named = envelope.header("x-launchdarkly-instance-id");
    let named = named.map(|id| sessions::hash_of((environment, "instance", id)));
    let server = || (!agent.is_empty()).then(|| sessions::hash_of((environment, "server", &agent)));
    Some(Origin {
        payload,
        instance: is_of_a_device.then(|| named.unwrap_or(payload)),
        sender: if is_of_a_device { named } else { server() },
    })
}

/// Why Segment takes nothing of a request, if so. What it was answered is known better than what it would be.
pub(crate) fn refused_by_segment(envelope: &Envelope, door: Door, text: &str) -> Option<String> {
    let is_refused = envelope.answer.map(|answer| answer.status == 400);
    match limits::refusal(text, door) {
        Some(refusal) if is_refused.unwrap_or(true) => {
            Some(format!("Segment answers 400 {}: {}", refusal.words(), refusal.reason()))
        }
        None if is_refused == Some(true) && door.is_tracking() => Some("Segment answered 400".to_owned()),
        _ => None,
    }
}

/// What holds for all of Segment's events in a request.
#[derive(Default)]
struct Delivery<'a> {
    /// Whose message ids they have.
    scope: &'a str,
    /// Why Segment takes none of them.
    refused: Option<String>,
}

impl<'a> Delivery<'a> {
    fn of(envelope: &'a Envelope, door: Option<Door>, text: &str) -> Self {
        Self {
            scope: environment_name(envelope).unwrap_or_default(),
            refused: door.and_then(|door| refused_by_segment(envelope, door, text)),
        }
    }

    fn fate(&self, posted: &Posted<'_>, destination: &Destination, received_ms: Option<i64>) -> Fate {
        match &self.refused {
            Some(words) => Fate::refused(posted, received_ms, words.clone()),
            None => Fate::of(posted, destination, received_ms),
        }
    }
}

/// What becomes of the Segment event that stands at a place of a request's text, as it was when it was taken in.
pub(crate) fn fate_at(
    envelope: &Envelope,
    text: &str,
    place: &Range<usize>,
    destination: &Destination,
) -> Option<Fate> {
    let mut fate = None;
    let door = Route::of(&envelope.path).door;
    let delivery = if envelope.via == Via::File { Delivery::default() } else { Delivery::of(envelope, door, text) };
    let visit = |item: Item<'_>| match item {
        Item::Segment(posted) if posted.range() == *place => {
            fate = Some(delivery.fate(&posted, destination, envelope.arrival()));
        }
        _ => {}
    };
    match envelope.via {
        Via::Http => body::batch(text, door, visit),
        Via::File => body::items(text, visit),
    }
    fate
}

/// Takes in plain events: JSON text without requests.
pub fn plain(state: &mut State, sender: &str, text: &str, mut visit: impl FnMut(&State, Received<'_, '_>)) {
    let source = state.source(sender);
    let mut request = state.begin(source, None, EnvironmentMatch::Same, None, text);
    body::items(text, |item| take(state, &mut request, item, &Delivery::default(), &mut visit));
    state.end(request);
}

/// Takes in the end of plain events that are damaged from there on: one unreadable event, for it is not known how
/// many.
pub fn damaged(state: &mut State, sender: &str, what: &str, mut visit: impl FnMut(&State, Received<'_, '_>)) {
    let source = state.source(sender);
    let request = state.begin(source, None, EnvironmentMatch::Same, None, "");
    let number = state.unreadable(&request);
    let unreadable = Unreadable { reason: what.to_owned(), offset: 0, range: 0..0 };
    visit(state, Received::Unreadable { number, unreadable });
    state.end(request);
}

fn take(
    state: &mut State,
    request: &mut Request,
    item: Item<'_>,
    delivery: &Delivery<'_>,
    visit: &mut impl FnMut(&State, Received<'_, '_>),
) {
    match item {
        Item::Event { event, offset } => {
            let (number, claims) = state.event(request, &event);
            let range = offset..offset + event.raw.len();
            visit(state, Received::Event { number, event: &event, range, claims, segment: None });
        }
        Item::Segment(posted) => take_segment(state, request, posted, delivery, visit),
        Item::Unreadable(unreadable) => {
            let number = state.unreadable(request);
            visit(state, Received::Unreadable { number, unreadable });
        }
    }
}

/// Takes in what Segment's destination makes of an event: each event that LaunchDarkly gets of it, and what it does not
/// get.
#[cold]
fn take_segment(
    state: &mut State,
    request: &Request,
    posted: Posted<'_>,
    delivery: &Delivery<'_>,
    visit: &mut impl FnMut(&State, Received<'_, '_>),
) {
    let judge = Arc::clone(state.judge());
    let fate = delivery.fate(&posted, judge.destination(), request.arrival_ms());
    let scope = delivery.scope;
    let payload = fate.message_id.as_deref().map(|id| PayloadKey::new(&format!("segment {scope}"), id));
    let environment = match request.environment() {
        EnvironmentMatch::Same => judge.environment_of_destination(),
        EnvironmentMatch::Other => EnvironmentMatch::Other,
    };
    let (source, arrival_ms) = (request.source(), request.arrival_ms());
    let content = fate.content().unwrap_or_default();
    let people = fate.people().into_iter().map(|(name, id)| (name.into(), id.into())).collect();
    let mut message = state.begin_segment_event(source, arrival_ms, environment, payload, &content, people);
    let page = PageCall { call: &fate.call, name: fate.name.as_deref(), url: fate.url() };
    state.note_page(&mut message, page, state.totals().events, fate.time_ms);
    for (part, Part { mapping, was_matched, made }) in fate.parts.iter().enumerate() {
        let segment = Some(OfSegment { fate: &fate, mapping: *mapping, made, part });
        let range = posted.range();
        let (code, words) = match made {
            Made::Sent(json) => match decode::event(&mut Walker::new(json)) {
                // What the destination sends is an event: a custom one has a key and a date, and an alias needs none.
                Ok(Ok(event)) => {
                    let (number, claims) = state.event(&mut message, &event);
                    visit(state, Received::Event { number, event: &event, range, claims, segment });
                    continue;
                }
                // A mapping can nest values deeper than is read. Nothing that was received goes uncounted.
                _ => (ReasonCode::SegmentNotModelled, "the mapping nests values too deep"),
            },
            Made::NotSubscribed { .. } => (ReasonCode::SegmentNotSubscribed, made.reason().unwrap_or_default()),
            Made::Undelivered(words) => (ReasonCode::SegmentRefused, words.as_str()),
            Made::Refused(words) => (ReasonCode::SegmentRejected, words.as_str()),
            Made::NotModelled(what) => (ReasonCode::SegmentNotModelled, what.as_str()),
        };
        let event = Event::of_another(&fate.call, fate.name.as_deref(), fate.time_ms, posted.raw);
        let (number, claims) = state.unsent(&mut message, &event, (code, words), *was_matched);
        visit(state, Received::Event { number, event: &event, range, claims, segment });
    }
    state.end(message);
}
