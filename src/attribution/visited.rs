//! Pages that were seen: a browser SDK sends no page view that no metric asks for, but what it sends beside says where it
//! was. A bounded sample ([`super::sample`]) of their addresses.

use super::sample::{Join, Sample};
use super::sessions::hash_of;
use super::state::State;
use crate::event::Event;

/// Addresses looked at.
const ADDRESSES: usize = 256;
/// Longer ones are not.
const ADDRESS_BYTES: usize = 2048;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// Its address.
    pub href: Box<str>,
    /// When it was first seen, on the judging clock.
    pub first_ms: i64,
    /// When it was last seen.
    pub last_ms: i64,
}

impl Join for Visited {
    fn join(&mut self, other: &Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.href.len()
    }
}

/// The sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages(Sample<Visited, ADDRESSES>);

impl Pages {
    pub(super) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// See [`State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        self.0.unshared_bytes(&earlier.0)
    }
}

impl State {
    /// Pages that were seen, or a sample of them.
    pub fn visited(&self) -> impl Iterator<Item = &Visited> {
        self.pages.0.iter()
    }

    /// Notes the page that an event was sent from.
    pub(super) fn note_page_of(&mut self, event: &Event<'_>, t_ms: Option<i64>) {
        let Some(href) = event.url.as_deref().filter(|href| href.len() <= ADDRESS_BYTES) else { return };
        let hash = hash_of(href);
        let t_ms = t_ms.unwrap_or_default();
        let is_news = |known: &Visited| !(known.first_ms..=known.last_ms).contains(&t_ms);
        if self.pages.0.keeps(hash) && self.pages.0.get(hash).is_none_or(is_news) {
            self.pages.0.add(hash, &Visited { href: href.into(), first_ms: t_ms, last_ms: t_ms });
        }
    }
}
