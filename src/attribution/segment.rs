//! What is noted of events that come through Segment, beside their verdicts: whose ids they carry, keys that are none,
//! LaunchDarkly's own exports that come back, what was meant for pages, and what was not delivered.
//!
//! Everything is out of the way of an SDK's events, which are not looked at here.

use super::judge::{EnvironmentMatch, Judge};
use super::request::Request;
use super::sightings::{Named, Seen, Sighting};
use super::state::State;
use super::tally::EvidenceKey;
use crate::catalog::MetricKind;
use crate::event::{Event, Shape};
use crate::json::{self, Value};
use crate::near_miss;
use crate::reason::ReasonCode;
use std::sync::Arc;

/// Who sent a request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// An SDK. The first of those with contexts, and the last before them, have the shapes of Segment's destinations.
    Sdk,
    /// One of Segment's destinations.
    Segment,
    /// Nobody who says so.
    Other,
}

impl Sender {
    /// By its name: SDKs call themselves `…Client/version`, the "LaunchDarkly (Actions)" destination
    /// `SegmentDestination/version`, and whatever else is Segment's begins like that.
    pub(super) fn of(name: &str) -> Self {
        match name.split('/').next() {
            Some(product) if product.ends_with("Client") => Self::Sdk,
            Some(product) if product.starts_with("Segment") => Self::Segment,
            _ => Self::Other,
        }
    }
}

/// The preset's name for the kind that `anonymousId` is the key of.
pub const PRESET_ANONYMOUS_KIND: &str = "unauthenticatedUser";

/// A page, a screen or a track call of Segment's, by what could make a page metric of it.
#[derive(Clone, Copy, Debug)]
pub struct PageCall<'a> {
    /// The call.
    pub call: &'a str,
    /// Its event, or the name of its page.
    pub name: Option<&'a str>,
    /// The address of the page.
    pub url: Option<&'a str>,
}

impl State {
    /// Custom events of the shapes Segment's destinations send, with how often each was seen.
    pub fn sightings(&self) -> impl Iterator<Item = (&Sighting, &Seen)> {
        self.sightings.iter()
    }

    /// Notes a custom event that names contexts by their keys alone.
    // A call, so that events of the other shape do not pay for it.
    #[inline(never)]
    pub(super) fn note_custom(
        &mut self,
        request: &mut Request,
        event: &Event<'_>,
        environment: EnvironmentMatch,
        number: u64,
        t_ms: Option<i64>,
    ) {
        let Some(key) = event.key.as_deref() else { return };
        if is_export(event) {
            self.add_evidence(request, EvidenceKey::Code(ReasonCode::SegmentLoop), number, t_ms, None);
        }
        let is_of_segment = request.is_of_segment
            || (request.sender == Sender::Segment && event.shape == Shape::ContextKeys)
            || event.context_keys.key(PRESET_ANONYMOUS_KIND).is_some();
        if is_of_segment {
            for (kind, placeholder) in event.context_keys.iter() {
                if near_miss::is_placeholder_key(placeholder) {
                    let key =
                        EvidenceKey::SegmentPlaceholder(self.segment_words(kind), self.segment_words(placeholder));
                    self.add_evidence(request, key, number, t_ms, Some((kind, placeholder)));
                }
            }
            if !request.is_of_segment {
                let url = event.data.as_deref().and_then(|data| text_member(data, "url"));
                self.note_page(request, PageCall { call: "track", name: Some(key), url: url.as_deref() }, number, t_ms);
            }
        }
        if environment == EnvironmentMatch::Other || (request.sender == Sender::Sdk && !request.is_of_segment) {
            return;
        }
        let t_ms = t_ms.unwrap_or_default();
        let creation_ms = event.creation_ms.unwrap_or(t_ms);
        let is_known = is_of_segment || request.sender == Sender::Segment;
        let person = event.context_keys.key("user").or_else(|| event.context_keys.iter().next().map(|(_, key)| key));
        let group = Sighting::group(person, creation_ms);
        // Most of a long stream is not kept, and is not looked at closer.
        if !self.sightings.keeps(is_known, group) {
            return;
        }
        let Some(metric) = self.judge.metric_of_event_key(key) else { return };
        let mut keys: Named = event.context_keys.iter().map(|(kind, key)| (kind.into(), key.into())).collect();
        keys.sort();
        let sighting = Sighting {
            group,
            is_known,
            metric,
            shape: event.shape,
            creation_ms,
            t_ms,
            keys,
            people: request.people.clone(),
            source: request.source,
            is_of_segment,
        };
        if self.options.keep_receipts && request.payload.is_some() {
            request.sighted.push(sighting.clone());
        }
        self.sightings.add(sighting, number);
    }

    /// Notes a call of Segment's that was meant for a page or a click, as far as its name and its address tell.
    #[cold]
    pub fn note_page(&mut self, request: &mut Request, page: PageCall<'_>, number: u64, t_ms: Option<i64>) {
        if request.is_duplicate {
            return;
        }
        let judge = Arc::clone(&self.judge);
        for metric in judge.pages_meant(page) {
            self.add_evidence(request, EvidenceKey::SegmentPage(metric), number, t_ms, None);
        }
    }
}

impl Judge {
    /// The click and page-view metrics that a call of Segment's would be an event of, were Segment able to send such.
    fn pages_meant(&self, page: PageCall<'_>) -> impl Iterator<Item = u32> {
        let is_view = page.call == "page" || page.name.is_some_and(near_miss::is_page_view);
        self.page_metrics().filter_map(move |(index, metric, urls)| {
            let has_its_name = page.name.is_some_and(|name| near_miss::is_spelled_like(name, &metric.key));
            let has_its_address = is_view
                && metric.kind == MetricKind::PageView
                && page.url.is_some_and(|url| urls.matches(url).unwrap_or_default());
            (has_its_name || has_its_address).then_some(index)
        })
    }
}

/// Whether a custom event is one that LaunchDarkly exported to Segment and got back: named as exports are, with what
/// only exports have among its data.
fn is_export(event: &Event<'_>) -> bool {
    event.shape != Shape::Contexts
        && event.key.as_deref().is_some_and(is_export_name)
        && event
            .data
            .as_deref()
            .is_some_and(|data| ["environment", "project", "key"].iter().all(|name| text_member(data, name).is_some()))
}

/// The events of LaunchDarkly's source in Segment. Two documents spell them differently.
pub fn is_export_name(event_key: &str) -> bool {
    ["feature", "custom", "click", "page view", "page", "pageview"]
        .iter()
        .any(|name| event_key.eq_ignore_ascii_case(name))
}

/// A member of an object that is a text.
fn text_member(object: &str, wanted: &str) -> Option<String> {
    let mut found = None;
    json::members(object, |name, value| {
        if let (true, Value::String(text)) = (name.is(wanted), value) {
            found = Some(text.text().into_owned());
        }
    });
    found
}
