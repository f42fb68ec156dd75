//! What becomes of an event of Segment's: all that LaunchDarkly gets of it, and what it does not get, and why.

use super::Work;
use super::delivery::Undelivered;
use super::destination::{Destination, Event, Mapped, Outcome};
use super::posted::Posted;
use super::timestamp;
use super::value::Value;

/// What becomes of one event.
#[derive(Clone, Debug)]
pub struct Fate {
    /// The event as Segment delivers it; none where it delivers nothing that can be read.
    pub event: Option<Event>,
    /// Segment's own id of it, by which retries are known.
    pub message_id: Option<String>,
    /// The call: `track`, `page`, ….
    pub call: String,
    /// What best names it: the event of a `track` call, else the name of a page, a screen or a group.
    pub name: Option<String>,
    /// When it happened, epoch ms.
    pub time_ms: Option<i64>,
    /// What the destination takes for the time of an event that carries none, epoch ms.
    pub(crate) now_ms: i64,
    /// What is made of it: one part for every event that LaunchDarkly gets or was meant to get, and at least one.
    pub parts: Vec<Part>,
}

/// What one mapping makes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The mapping, counted from 0; none where none was asked or none matches.
    pub mapping: Option<usize>,
    /// Whether its trigger matches.
    pub was_matched: bool,
    /// What it makes.
    pub made: Made,
}

impl Part {
    /// An event that carries no time gets that of its delivery, which a file does not know.
    fn without_time(&mut self) {
        if let Made::Sent(json) = &self.made
            && json.contains(&format!("\"creationDate\":{UNKNOWN_MS}"))
        {
            let words = "the event carries no time, and nothing says when Segment received it";
            self.made = Made::NotModelled(words.to_owned());
        }
    }
}

/// What a mapping makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// LaunchDarkly gets this event: a JSON object.
    Sent(String),
    /// No trigger matches, or none is asked because the event says that the destination is not meant.
    NotSubscribed {
        /// Where the event says so itself, how.
        by_event: Option<&'static str>,
    },
    /// Nothing: Segment itself delivers the event to nobody, for this reason.
    Undelivered(String),
    /// Nothing: the destination refuses the event in these words.
    Refused(String),
    /// It is not known what.
    NotModelled(String),
}

impl Made {
    /// Why LaunchDarkly gets nothing, where somebody says so.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Sent(_) => None,
            Self::NotSubscribed { by_event } => *by_event,
            Self::Undelivered(words) | Self::Refused(words) | Self::NotModelled(words) => Some(words),
        }
    }

    /// Why LaunchDarkly gets nothing; none: it gets something.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::NotSubscribed { by_event: None } => Some("no mapping’s trigger matches it"),
            made => made.words(),
        }
    }

    /// Why no mapping was asked.
    pub fn before_mappings(&self) -> Option<&str> {
        match self {
            Self::Undelivered(_) | Self::NotSubscribed { by_event: Some(_) } => self.words(),
            _ => None,
        }
    }
}

/// The time that stands for one that is not known: the first that JavaScript has, which no event is of.
const UNKNOWN_MS: i64 = -8_640_000_000_000_000;

/// Ids of people, by their names in an event.
const PEOPLE: [&str; 2] = ["userId", "anonymousId"];

impl Fate {
    /// What becomes of an event that Segment received at an instant, epoch ms; none: not known, as in a file.
    pub fn of(posted: &Posted<'_>, destination: &Destination, received_ms: Option<i64>) -> Self {
        let delivered = match posted.deliver(received_ms) {
            Ok(delivered) => delivered,
            Err(Undelivered::Refused(words)) => return Self::nothing(posted, Made::Undelivered(words)),
            Err(Undelivered::NoEvent(error)) => return Self::nothing(posted, Made::NotModelled(error.to_string())),
        };
        let mut fate = Self { message_id: delivered.message_id, ..Self::told(delivered.event, received_ms) };
        let Some(event) = &fate.event else { return fate };
        fate.parts = match event.excludes_destination() {
            Some(how) => {
                vec![Part { mapping: None, was_matched: false, made: Made::NotSubscribed { by_event: Some(how) } }]
            }
            None => parts(destination.map(event, fate.now_ms)),
        };
        if fate.now_ms == UNKNOWN_MS {
            fate.parts.iter_mut().for_each(Part::without_time);
        }
        fate
    }

    /// What an event says of itself.
    fn told(event: Event, received_ms: Option<i64>) -> Self {
        let text = |name: &str| event.text(&[name]).map(str::to_owned);
        let time = |name: &str| timestamp::known_ms(event.member(name));
        // Where a file does not say when Segment received the event, the event may.
        let received_ms =
            received_ms.or_else(|| ["receivedAt", "originalTimestamp", "sentAt"].iter().find_map(|name| time(name)));
        Self {
            message_id: None,
            call: text("type").unwrap_or_else(|| "?".to_owned()),
            name: text("event").or_else(|| text("name")).or_else(|| text("groupId")),
            time_ms: time("timestamp").or(received_ms),
            now_ms: received_ms.unwrap_or(UNKNOWN_MS),
            parts: Vec::new(),
            event: Some(event),
        }
    }

    /// What becomes of an event of a request that Segment refuses whole, for this reason.
    pub fn refused(posted: &Posted<'_>, received_ms: Option<i64>, words: String) -> Self {
        Self::nothing_of(posted, received_ms, Made::Undelivered(words))
    }

    fn nothing(posted: &Posted<'_>, made: Made) -> Self {
        Self::nothing_of(posted, None, made)
    }

    /// What can be told of an event of which nothing is delivered.
    fn nothing_of(posted: &Posted<'_>, received_ms: Option<i64>, made: Made) -> Self {
        let parts = vec![Part { mapping: None, was_matched: false, made }];
        if let Ok(event) = posted.undelivered() {
            return Self { parts, ..Self::told(event, received_ms) };
        }
        let mut fate = Self {
            event: None,
            message_id: None,
            call: posted.call.map_or("?", super::door::Call::name).to_owned(),
            name: None,
            time_ms: received_ms,
            now_ms: received_ms.unwrap_or(UNKNOWN_MS),
            parts,
        };
        crate::json::members(posted.raw, |name, value| {
            let text = value.string().map(|text| text.text().into_owned());
            match &*name.text() {
                "type" if posted.call.is_none() => fate.call = text.unwrap_or_default(),
                "event" => fate.name = text,
                _ => {}
            }
        });
        fate
    }

    /// What a retry has in common with what it repeats; none where nothing tells that it is one.
    pub fn content(&self) -> Option<String> {
        self.message_id.as_ref()?;
        let event = self.event.as_ref()?;
        let members = ["type", "event", "userId", "anonymousId", "properties", "traits"];
        let values = members.iter().map(|name| event.member(name).clone()).map(|value| match value {
            Value::Undefined => Value::Null,
            value => value,
        });
        Value::array(values.collect()).json(&mut Work::default()).ok().flatten()
    }

    /// The ids of people in the event: the name of the member, and the id.
    pub fn people(&self) -> Vec<(&'static str, &str)> {
        let of = |name: &'static str| Some((name, self.event.as_ref()?.text(&[name]).filter(|id| !id.is_empty())?));
        PEOPLE.into_iter().filter_map(of).collect()
    }

    /// The address of the page it happened on.
    pub fn url(&self) -> Option<&str> {
        let event = self.event.as_ref()?;
        event.text(&["properties", "url"]).or_else(|| event.text(&["context", "page", "url"]))
    }

    /// The library that sent the event, as it says itself: `analytics-node/2.1.0`.
    pub fn library(&self) -> Option<String> {
        let event = self.event.as_ref()?;
        let name = event.text(&["context", "library", "name"])?;
        Some(match event.text(&["context", "library", "version"]) {
            Some(version) => format!("{name}/{version}"),
            None => name.to_owned(),
        })
    }
}

/// The parts of what all mappings made: those that match, or the best reason why none does.
fn parts(mapped: Vec<Mapped>) -> Vec<Part> {
    let (mut matched, mut others) = (Vec::new(), Vec::new());
    for Mapped { mapping, outcome, .. } in mapped {
        let mapping = Some(mapping);
        let matching = |made| Part { mapping, was_matched: true, made };
        let other = |made| Part { mapping, was_matched: false, made };
        match outcome {
            Outcome::Sent(request) => {
                // The body is an array of this one event.
                let event = request.body.strip_prefix('[').and_then(|body| body.strip_suffix(']')).unwrap_or_default();
                matched.push(matching(Made::Sent(event.to_owned())));
            }
            Outcome::Refused(words) => matched.push(matching(Made::Refused(words))),
            Outcome::NotModelled { matched: true, what } => matched.push(matching(Made::NotModelled(what))),
            Outcome::NotModelled { matched: false, what } => others.push(other(Made::NotModelled(what))),
            Outcome::InvalidTrigger(words) => others.push(other(Made::Refused(words))),
            Outcome::NotMatched => {}
        }
    }
    if !matched.is_empty() {
        return matched;
    }
    if others.is_empty() {
        return vec![Part { mapping: None, was_matched: false, made: Made::NotSubscribed { by_event: None } }];
    }
    others.truncate(1);
    others
}
