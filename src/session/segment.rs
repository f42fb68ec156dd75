//! What became of an event of Segment's that is still held.

use super::Session;
use super::journal::Entry;
use crate::event::Item;
use crate::event::body::{self, Route};
use crate::segment::fate::Fate;
use crate::segment::posted::Posted;

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
}
