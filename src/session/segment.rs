//! How an event came through Segment: the event as Segment delivers it, and what each mapping makes of it.

use super::Session;
use super::explain::pretty;
use super::journal::Entry;
use crate::event::Item;
use crate::event::body::{self, Route};
use crate::segment::Outcome;
use crate::segment::fate::Fate;
use crate::segment::posted::Posted;
use crate::view::{SegmentMapping, SegmentView, ThroughSegment};

impl Session {
    /// What becomes of the Segment event of an entry, if it is of one: made anew from the request.
    pub(super) fn fate(&self, entry: &Entry, text: &str) -> Option<Fate> {
        entry.row.segment?;
        let mut fate = None;
        self.posted(entry, text, |posted| {
            fate = Some(Fate::of(posted, &self.catalog.destination, entry.envelope.arrival()));
        });
        fate
    }

    /// Finds the Segment event an entry is of; it stands in the body with all that its batch says of it.
    fn posted(&self, entry: &Entry, text: &str, mut found: impl FnMut(&Posted<'_>)) {
        let visit = |item: Item<'_>| match item {
            Item::Segment(posted) if posted.range() == entry.range => found(&posted),
            _ => {}
        };
        match entry.envelope.number() {
            Some(_) => body::batch(text, Route::of(&entry.envelope.path).door, visit),
            None => body::items(text, visit),
        }
    }

    /// What each mapping makes of an event, the one an entry is of first.
    pub(super) fn segment_view(&self, through: ThroughSegment, fate: &Fate, received_ms: Option<i64>) -> SegmentView {
        let destination = &self.catalog.destination;
        let mut mappings: Vec<SegmentMapping> = Vec::new();
        if let Some(event) = &fate.event {
            let now_ms = received_ms.or(fate.time_ms).unwrap_or_default();
            mappings.extend(destination.explain(event, now_ms).into_iter().map(|mapped| SegmentMapping {
                is_own: Some(mapped.mapping) == through.mapping,
                trigger: destination.trigger(mapped.mapping).unwrap_or_default(),
                payload: match &mapped.outcome {
                    Outcome::Sent(request) => Some(pretty(&request.body)),
                    _ => None,
                },
                mapped,
            }));
        }
        mappings.sort_by_key(|mapping| !mapping.is_own);
        // Where Segment itself delivers an event to nobody no mapping is asked.
        let refused = match fate.parts.as_slice() {
            [part] if part.mapping.is_none() => part.made.words().map(str::to_owned),
            _ => None,
        };
        SegmentView {
            library: fate.library(),
            message_id: fate.message_id.clone(),
            delivered: fate.event.as_ref().map(|event| pretty(&event.to_json())).unwrap_or_default(),
            refused,
            mappings,
        }
    }
}
