//! What Segment does to an event before a destination sees it: the call of its path becomes its type, what its batch
//! says is merged into it, its time is corrected by the sender's clock, and some events it takes and delivers to
//! nobody.
//!
//! Segment's own servers are not public. What is done here is what its documentation says of them; what it does not
//! say (whether it strips nulls, what it makes of a time it cannot read) is left as it came.

use super::destination::{Event, EventError};
use super::posted::{Posted, Shared};
use super::timestamp;
use super::value::{Object, Unreadable, Value, parse};
use crate::json::Value as Scalar;

/// Why an event is not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Segment takes it and delivers it to nobody, for this reason.
    #[error("{0}")]
    Refused(String),
    /// It is no event.
    #[error(transparent)]
    NoEvent(#[from] EventError),
}

/// An event on its way to a destination.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// As the destination sees it.
    pub event: Event,
    /// Segment's own id of it, by which retries are known.
    pub message_id: Option<String>,
}

impl Posted<'_> {
    /// The event as Segment delivers it, received at an instant, epoch ms; none: not known, as in a file.
    ///
    /// # Errors
    /// Why nobody gets it.
    pub fn deliver(&self, received_ms: Option<i64>) -> Result<Delivered, Undelivered> {
        let Value::Object(mut event) = read(self.raw)? else {
            // Whoever calls has seen that it is an object.
            return Err(EventError::NotAnObject("something else").into());
        };
        let object = std::sync::Arc::make_mut(&mut event);
        // Whatever the event says itself: it is the path that makes the call.
        if let Some(call) = self.call {
            object.set("type".into(), Value::text(call.name()));
        }
        let Shared { context, integrations } = self.batch.shared()?;
        for (name, shared) in [("context", context), ("integrations", integrations)] {
            if let Some(shared) = shared {
                merge(object, name, shared)?;
            }
        }
        if self.is_raw {
            object.remove("writeKey");
            if let Some(received_ms) = received_ms {
                self.set_times(object, received_ms)?;
            }
            if !has_somebody(object) {
                return Err(Undelivered::Refused(NOBODY.to_owned()));
            }
        }
        let message_id = match object.get("messageId") {
            Some(Value::Text(id)) if !id.is_empty() => Some(id.to_string()),
            _ => None,
        };
        Ok(Delivered { event: Event::new(Value::Object(event), self.raw.len()), message_id })
    }

    /// The event as it was sent, to tell of one that is delivered to nobody.
    pub(super) fn undelivered(&self) -> Result<Event, EventError> {
        match read(self.raw)? {
            mut event @ Value::Object(_) => {
                if let (Value::Object(members), Some(call)) = (&mut event, self.call) {
                    std::sync::Arc::make_mut(members).set("type".into(), Value::text(call.name()));
                }
                Ok(Event::new(event, self.raw.len()))
            }
            _ => Err(EventError::NotAnObject("something else")),
        }
    }

    /// The timestamp is the time of receipt less what passed between the call and the sending, both by the sender's
    /// clock, so that a wrong clock cancels out.
    fn set_times(&self, event: &mut Object, received_ms: i64) -> Result<(), Undelivered> {
        let own = |event: &Object, name: &str| event.get(name).filter(|value| !is_nothing(value)).cloned();
        let sent_at = match (own(event, "sentAt"), self.batch.sent_at) {
            (Some(sent_at), _) => Some(sent_at),
            (None, Some(Scalar::String(text))) => Some(Value::text(&text.text())),
            (None, _) => None,
        };
        let original = own(event, "timestamp").or_else(|| own(event, "originalTimestamp"));
        let ms = |value: &Option<Value>| value.as_ref().and_then(timestamp::known_ms);
        let corrected = match (&original, ms(&original), ms(&sent_at)) {
            (None, ..) => Some(received_ms),
            (Some(_), Some(original_ms), Some(sent_ms)) => {
                Some(received_ms.saturating_sub(sent_ms.saturating_sub(original_ms)))
            }
            // Without a time of sending nothing is known of the sender's clock; and one that cannot be read is the
            // destination's to refuse.
            (Some(_), ..) => None,
        };
        if let Some(corrected) = corrected.and_then(written) {
            event.set("timestamp".into(), corrected);
        }
        if let Some(original) = original {
            event.set("originalTimestamp".into(), original);
        }
        if let Some(sent_at) = sent_at {
            event.set("sentAt".into(), sent_at);
        }
        if let Some(received) = written(received_ms) {
            event.set("receivedAt".into(), received);
        }
        Ok(())
    }
}

/// What Segment's delivery overview calls an event of nobody's.
const NOBODY: &str =
    "no_user_anon_id: Segment takes an event without userId and anonymousId and delivers it to no destination";

fn has_somebody(event: &Object) -> bool {
    ["userId", "anonymousId"].iter().any(|name| event.get(name).is_some_and(|id| !is_nothing(id)))
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Undefined) || matches!(value, Value::Text(text) if text.is_empty())
}

/// An instant as Segment writes it; none beyond the years that can be written.
fn written(ms: i64) -> Option<Value> {
    let instant = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(Value::text(&format!("{instant:.3}")))
}

/// Members of a batch's object that are copied for every event that has such an object of its own.
const MERGED: usize = 1000;

/// What the event says itself beats what its batch says.
fn merge(event: &mut Object, name: &str, shared: Value) -> Result<(), EventError> {
    let Value::Object(members) = &shared else { return Ok(()) };
    let merged = match event.get(name) {
        Some(Value::Object(own)) if own.len() > 0 && members.len() > MERGED => {
            return Err(EventError::NotModelled(
                "the batch says too much of its events to be merged with what each says",
            ));
        }
        Some(Value::Object(own)) if own.len() > 0 => {
            let mut merged = Object::clone(members);
            own.iter().for_each(|(key, value)| merged.set(key.clone(), value.clone()));
            Value::object(merged)
        }
        // Shared by all events, not copied.
        Some(Value::Object(_) | Value::Null | Value::Undefined) | None => shared,
        Some(_) => return Ok(()),
    };
    event.set(name.into(), merged);
    Ok(())
}

pub(super) fn read(text: &str) -> Result<Value, EventError> {
    parse(text).map_err(|unreadable| match unreadable {
        Unreadable::NotJson(fault) => EventError::NotJson { offset: fault.offset, what: fault.what },
        Unreadable::NotModelled(what) => EventError::NotModelled(what),
    })
}
