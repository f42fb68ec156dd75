//! What Segment's Tracking API refuses: requests and events that are too large, and what is not JSON.
//!
//! These are the only requests it answers with 400. Whatever else is wrong with an event is answered 200 and lost later.

use super::door::Door;
use crate::json::{self, Value, Walker};
use serde::de::IgnoredAny;
use std::fmt;

/// Bytes of one event, and of a request that is one.
pub const EVENT_BYTES: usize = 32 * 1024;
/// Bytes of a batch.
pub const BATCH_BYTES: usize = 500 * 1024;
/// Events of a batch.
pub const BATCH_EVENTS: usize = 2_500;

/// Why Segment answers a request with 400. Nothing of such a request is taken, not even the events that are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An event is too large.
    EventTooLarge {
        /// Which one of the batch, counted from 0; none: the request is the event.
        event: Option<usize>,
        /// Its bytes.
        bytes: usize,
    },
    /// The batch is too large.
    BatchTooLarge {
        /// Its bytes, or, where it was not kept, more than [`BATCH_BYTES`].
        bytes: usize,
    },
    /// The batch has too many events.
    TooManyEvents {
        /// How many.
        events: usize,
    },
    /// The body is not JSON.
    NotJson {
        /// Byte at which that shows.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

impl Refusal {
    /// What Segment says of it: the words its documentation gives for a large payload, and those its libraries' users
    /// report for the rest.
    pub fn words(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "Bad Request",
            _ => "Exceed payload limit",
        }
    }

    /// Why, without figures: what requests that are refused for the same reason have in common.
    pub fn reason(&self) -> String {
        match self {
            Self::EventTooLarge { .. } => format!("an event has more than {EVENT_BYTES} bytes"),
            Self::BatchTooLarge { .. } => format!("the batch has more than {BATCH_BYTES} bytes"),
            Self::TooManyEvents { .. } => format!("the batch has more than {BATCH_EVENTS} events"),
            Self::NotJson { .. } => "the body is not JSON".to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventTooLarge { event: Some(event), bytes } => {
                let number = event + 1;
                write!(formatter, "event {number} of the batch has {bytes} bytes, and Segment takes {EVENT_BYTES}")
            }
            Self::EventTooLarge { event: None, bytes } => {
                write!(formatter, "the event has {bytes} bytes, and Segment takes {EVENT_BYTES}")
            }
            Self::BatchTooLarge { bytes } => {
                write!(formatter, "the batch has {bytes} bytes, and Segment takes {BATCH_BYTES}")
            }
            Self::TooManyEvents { events } => {
                write!(formatter, "the batch has {events} events, and Segment takes {BATCH_EVENTS}")
            }
            Self::NotJson { offset, what } => write!(formatter, "the body is not JSON: {what} at byte {offset}"),
        }
    }
}

/// Why Segment would refuse a request with this body, without its encoding, at this door; none: it takes it. Only the
/// Tracking API refuses anything.
pub fn refusal(text: &str, door: Door) -> Option<Refusal> {
    let bytes = text.len();
    match door {
        Door::Call(_) if bytes > EVENT_BYTES => return Some(Refusal::EventTooLarge { event: None, bytes }),
        Door::Batch if bytes > BATCH_BYTES => return Some(Refusal::BatchTooLarge { bytes }),
        Door::Call(_) | Door::Batch => {}
        Door::Metrics | Door::Settings | Door::Webhook => return None,
    }
    let mut walker = Walker::new(text);
    let value = match walker.value() {
        Ok(value) if walker.is_at_end() => value,
        Ok(_) => return Some(Refusal::NotJson { offset: walker.offset(), what: "expected the end of the body" }),
        // What the walker finds too deep may be JSON all the same, and Segment does not say how deep is too deep.
        Err(fault) => {
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            return (!is_json).then_some(Refusal::NotJson { offset: fault.offset, what: fault.what });
        }
    };
    let Value::Object(batch) = value else { return None };
    if door == Door::Batch { batch_refusal(batch) } else { None }
}

/// Why a batch that is JSON and small enough would be refused.
fn batch_refusal(batch: &str) -> Option<Refusal> {
    let mut events = None;
    json::members(batch, |name, value| {
        // The last member of a name is the one that counts, as in most readers of JSON.
        if let Value::Array(array) = value
            && name.is("batch")
        {
            events = Some(array);
        }
    });
    let (mut count, mut too_large) = (0, None);
    json::elements(events?, |event| {
        if let Value::Object(text) = event
            && text.len() > EVENT_BYTES
        {
            too_large.get_or_insert(Refusal::EventTooLarge { event: Some(count), bytes: text.len() });
        }
        count += 1;
    });
    if count > BATCH_EVENTS { Some(Refusal::TooManyEvents { events: count }) } else { too_large }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::door::Call;

    const TRACK: Door = Door::Call(Call::Track);

    /// An event of exactly so many bytes.
    fn event(bytes: usize) -> String {
        let frame = r#"{"event":""}"#;
        format!(r#"{{"event":"{}"}}"#, "x".repeat(bytes - frame.len()))
    }

    fn batch(events: &[String]) -> String {
        format!(r#"{{"batch":[{}],"writeKey":"k"}}"#, events.join(","))
    }

    #[test]
    fn an_event_may_have_32_kib_and_not_a_byte_more() {
        assert_eq!(refusal(&event(EVENT_BYTES), TRACK), None);
        let bytes = EVENT_BYTES + 1;
        assert_eq!(refusal(&event(bytes), TRACK), Some(Refusal::EventTooLarge { event: None, bytes }));
        assert_eq!(refusal(&batch(&[event(20), event(EVENT_BYTES)]), Door::Batch), None);
        let refused = refusal(&batch(&[event(20), event(bytes), event(bytes + 1)]), Door::Batch);
        assert_eq!(refused, Some(Refusal::EventTooLarge { event: Some(1), bytes }));
    }

    #[test]
    fn a_batch_may_have_500_kib_and_2500_events() {
        let frame = batch(&[]).len();
        let events: Vec<String> = (0..15).map(|_| event(EVENT_BYTES)).collect();
        let full = batch(&events).len() + 1;
        let whole = [events, vec![event(BATCH_BYTES - full)]].concat();
        assert_eq!((batch(&whole).len(), refusal(&batch(&whole), Door::Batch)), (BATCH_BYTES, None));
        let spaced = format!("{} ", batch(&whole));
        assert_eq!(refusal(&spaced, Door::Batch), Some(Refusal::BatchTooLarge { bytes: BATCH_BYTES + 1 }));

        assert_eq!(refusal(&batch(&vec!["{}".to_owned(); BATCH_EVENTS]), Door::Batch), None);
        let events = BATCH_EVENTS + 1;
        assert_eq!(
            refusal(&batch(&vec!["{}".to_owned(); events]), Door::Batch),
            Some(Refusal::TooManyEvents { events })
        );
        assert!(frame < full);
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place_and_what_is_merely_odd_is_not() {
        for (text, offset) in [("", 0), ("hello", 0), (r#"{"a":1"#, 6), (r#"{"a":1}x"#, 7), ("{'a':1}", 1)] {
            let refused = refusal(text, TRACK);
            assert!(
                matches!(refused, Some(Refusal::NotJson { offset: at, .. }) if at == offset),
                "{text}: {refused:?}"
            );
        }
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        for text in ["{}", "[]", "3", r#"{"batch":3}"#, r#"{"a":"\ud800","n":1e999}"#, &deep] {
            assert_eq!((refusal(text, TRACK), refusal(text, Door::Batch)), (None, None), "{text}");
        }
    }

    #[test]
    fn only_the_tracking_api_refuses() {
        for door in [Door::Webhook, Door::Metrics, Door::Settings] {
            assert_eq!(refusal("hello", door), None);
            assert_eq!(refusal(&" ".repeat(BATCH_BYTES + 1), door), None);
        }
    }
}
