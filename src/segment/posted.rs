//! What Segment's sources post: one event, or a batch of them, as they stand in a body.
//!
//! Only what tells events from other JSON, and what a batch says of all its events, is looked at here; what Segment
//! makes of an event on its way to the destination is [`super::delivery`]'s.

use super::delivery;
use super::destination::EventError;
use super::door::{Call, Door};
use super::value::Value as JavaScript;
use crate::json::{self, Value, Walker};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A Segment event in a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted<'a> {
    /// The event as it was written: an object.
    pub raw: &'a str,
    /// Byte of the body at which it starts.
    pub offset: usize,
    /// The call its path means, where it has one of its own.
    pub call: Option<Call>,
    /// What the batch it stands in says of all its events.
    pub batch: Batch<'a>,
    /// Whether it came by the Tracking API, before Segment has done anything to it.
    pub is_raw: bool,
}

impl Posted<'_> {
    /// Where it stands in the body.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.raw.len()
    }
}

/// The members of a batch that hold for its events, as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<'a> {
    /// `context`: an object.
    pub context: Option<&'a str>,
    /// `integrations`: an object.
    pub integrations: Option<&'a str>,
    /// `sentAt`: JSON.
    pub sent_at: Option<Value<'a>>,
    /// The first two, read: once for all events, for a batch may say as much as all of them together.
    shared: Option<Arc<OnceLock<Result<Shared, EventError>>>>,
}

/// What holds for all events of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shared {
    pub(super) context: Option<JavaScript>,
    pub(super) integrations: Option<JavaScript>,
}

impl Batch<'_> {
    /// What holds for all its events.
    pub(super) fn shared(&self) -> Result<Shared, EventError> {
        let read = || {
            let part = |text: Option<&str>| text.map(delivery::read).transpose();
            Ok(Shared { context: part(self.context)?, integrations: part(self.integrations)? })
        };
        match &self.shared {
            Some(shared) => shared.get_or_init(read).clone(),
            None => Ok(Shared::default()),
        }
    }
}

/// An object of a body, as Segment would take it.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub(crate) enum Object<'a> {
    /// An event.
    Event(Posted<'a>),
    /// A batch, and where its array of events begins in the body.
    Batch(Batch<'a>, usize),
}

/// Looks at an object, which is well-formed JSON, at an offset of its body. With a door everything is Segment's; without
/// one it is what nobody else's events look like. None: it is not Segment's.
pub(crate) fn look(raw: &str, offset: usize, door: Option<Door>) -> Option<Object<'_>> {
    let mut members = Members::default();
    let mut walker = Walker::new(raw);
    // Offsets are needed here, and what visits members does not give them.
    walker.take(b'{');
    while walker.next_byte() == Some(b'"') {
        let name = walker.value().ok()?.string()?;
        walker.take(b':');
        walker.next_byte();
        let at = walker.offset();
        let value = walker.value().ok()?;
        members.take(&name.text(), value, at);
        walker.take(b',');
    }
    let call = match door {
        Some(Door::Call(call)) => Some(call),
        _ => None,
    };
    let is_raw = door.is_some_and(Door::is_tracking);
    if call.is_none()
        && let Some((array, at)) = members.batch
        && (door.is_some() || (!members.has_kind && begins_with_event(array)))
    {
        let shared = Some(Arc::default());
        return Some(Object::Batch(Batch { shared, ..members.shared }, offset + at));
    }
    let is_event = door.is_some() || (!members.has_kind && members.has_type && members.has_more);
    is_event.then_some(Object::Event(Posted { raw, offset, call, batch: Batch::default(), is_raw }))
}

/// Whether the first element of an array is a Segment event.
fn begins_with_event(array: &str) -> bool {
    let mut first = None;
    json::elements(array, |element| {
        first.get_or_insert(element);
    });
    matches!(first, Some(Value::Object(raw)) if matches!(look(raw, 0, None), Some(Object::Event(_))))
}

#[derive(Default)]
struct Members<'a> {
    has_kind: bool,
    has_type: bool,
    /// What an event has beside its type.
    has_more: bool,
    batch: Option<(&'a str, usize)>,
    shared: Batch<'a>,
}

impl<'a> Members<'a> {
    fn take(&mut self, name: &str, value: Value<'a>, at: usize) {
        match (name, value) {
            ("kind", _) => self.has_kind = true,
            ("type", Value::String(call)) => self.has_type = Call::from_name(&call.text()).is_some(),
            ("batch", Value::Array(array)) => self.batch = Some((array, at)),
            ("context", Value::Object(context)) => {
                self.shared.context = Some(context);
                self.has_more = true;
            }
            ("integrations", Value::Object(integrations)) => self.shared.integrations = Some(integrations),
            ("sentAt", sent_at) => self.shared.sent_at = Some(sent_at),
            ("messageId" | "anonymousId" | "userId" | "event" | "properties" | "traits", _) => self.has_more = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_event_is_known_by_its_type_and_by_what_comes_with_it() {
        for event in [
            r#"{"type":"track","event":"Order Completed"}"#,
            r#"{"userId":null,"type":"page"}"#,
            r#"{"type":"identify","traits":{}}"#,
        ] {
            assert!(
                matches!(look(event, 5, None), Some(Object::Event(Posted { offset: 5, is_raw: false, .. }))),
                "{event}"
            );
        }
        for other in [
            r#"{"type":"track"}"#,
            r#"{"type":"order","event":"x"}"#,
            r#"{"type":"track","kind":"custom","event":"x"}"#,
            r#"{"kind":"custom"}"#,
            r#"{"batch":[]}"#,
            r#"{"batch":[{"kind":"custom"}]}"#,
        ] {
            assert_eq!(look(other, 0, None), None, "{other}");
        }
    }

    #[test]
    fn by_a_door_everything_is_segment_s() {
        let Some(Object::Event(posted)) = look(r#"{"event":"x"}"#, 0, Some(Door::Call(Call::Track))) else { panic!() };
        assert_eq!((posted.call, posted.is_raw), (Some(Call::Track), true));
        let Some(Object::Event(posted)) = look("{}", 0, Some(Door::Webhook)) else { panic!() };
        assert_eq!((posted.call, posted.is_raw), (None, false));
    }

    #[test]
    fn a_batch_says_what_holds_for_all_its_events() {
        let raw = r#"{"sentAt":"2026-01-01T00:00:00Z","batch" : [{"type":"track","event":"x"}],"context":{"ip":"1"}}"#;
        let Some(Object::Batch(batch, at)) = look(raw, 10, None) else { panic!() };
        assert_eq!(raw.get(at - 10..at - 8), Some("[{"));
        assert_eq!((batch.context, batch.integrations), (Some(r#"{"ip":"1"}"#), None));
        assert!(batch.sent_at.is_some());
        assert!(matches!(look(r#"{"batch":[]}"#, 0, Some(Door::Batch)), Some(Object::Batch(..))));
    }
}
