//! What Segment's "LaunchDarkly (Actions)" destination makes of a Segment event: whether a mapping's trigger matches,
//! what each of its fields comes to, and the request that LaunchDarkly gets, or why it gets none.
//!
//! The destination is JavaScript, and much of what it sends follows from how JavaScript looks things up, turns values
//! into text and reads dates. So that is what these rooms do, with the destination's mistakes: a mapping that works
//! there must work here, and the other way round. What they cannot tell they call *not modelled*, never a guess.

mod coerce;
pub mod delivery;
mod destination;
mod directives;
pub mod door;
pub mod edit;
pub mod fate;
mod fql;
mod javascript;
mod kinds;
mod leaves;
pub mod limits;
pub mod mapping_file;
mod path;
pub mod posted;
mod preset;
pub mod reading;
mod replace;
mod settings;
mod template;
mod timestamp;
mod v8_date;
mod validate;
mod value;
pub mod webhook;
pub(crate) mod write_key;

pub use destination::{
    Action, Destination, Event, EventError, Line, MAX_MAPPINGS, Mapped, Outcome, Resolved, SentRequest,
};
pub use kinds::{KindSource, MappingKinds};

/// Whether a text is a date to Segment and its destination.
pub fn is_date(text: &str) -> bool {
    timestamp::is_date_like(text)
}

/// Whether a text is a number to JavaScript.
pub fn is_number(text: &str) -> bool {
    !javascript::number(text).is_nan()
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    /// The destination refuses the event with these words.
    Refused(String),
    /// What the destination does is not known here.
    NotModelled(String),
}

/// What mapping one event may still cost. A short mapping can double a value in every line; JavaScript would run out
/// of memory, and a bound has to come before that.
#[derive(Debug)]
struct Work(usize);

impl Default for Work {
    fn default() -> Self {
        Self::on(0)
    }
}

impl Work {
    /// For an event of so many bytes: far more than an honest mapping needs, which looks at each of them a few times.
    fn on(event_bytes: usize) -> Self {
        Self(event_bytes.saturating_mul(100).saturating_add(2_000_000))
    }

    /// Takes some of it: bytes of text, or values that are visited.
    fn take(&mut self, cost: usize) -> Result<(), Problem> {
        match self.0.checked_sub(cost) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Problem::NotModelled("the mapping makes too much of the event".to_owned())),
        }
    }

    /// Visits one value at a depth.
    fn step(&mut self, depth: u32) -> Result<(), Problem> {
        if depth > value::MAX_DEPTH {
            return Err(Problem::NotModelled("the mapping nests values too deep".to_owned()));
        }
        self.take(1)
    }
}
