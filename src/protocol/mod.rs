//! What a collector and a viewer say to each other, version 1.
//!
//! ```text
//!  collector                                   viewer
//!  {"feed":"hello","version":1,"epoch":…} ──▶
//!  {"exptap":1,"catalog":…}               ──▶           what a recording begins with
//!                                         ◀── {"feed":"resume","epoch":…,"after":17}
//!  {"feed":"gap","from":18,"to":40,…}     ──▶           what is kept no longer, exactly
//!  {"t":…,"n":41,…}                       ──▶           requests, as a recording holds them
//!  {"feed":"bye","last":41,…}             ──▶           it stops; there is nothing after that
//! ```
//!
//! Everything is a line of JSON, and everything but the few lines of the conversation itself is a line of a recording,
//! so that one format serves both. Requests are counted from 1 in every run of a collector, lost ones too; an epoch
//! names the run. So a viewer that comes back says where it was, and either side knows exactly what is missing.
//!
//! Lines travel in messages, several at once; how a message travels is not known here.

mod pack;
mod position;

pub use pack::{PackError, Packer, Unpacker};
pub use position::{Position, Step};

use crate::recording::{self, Header, Record};
use serde::{Deserialize, Serialize};

/// The version that is spoken, and the newest that is understood.
pub const VERSION: u64 = 1;
/// The largest message a collector takes: a viewer has little to say.
pub const MAX_ASKED_BYTES: usize = 64 * 1024;
/// The largest message a viewer takes, and what it may come to when it is decompressed: the largest request with what
/// stands around it, as a recording holds it.
pub const MAX_TOLD_BYTES: usize = 40 * 1024 * 1024;
/// Lines are put together up to so many bytes.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// What a collector says when a viewer comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version it speaks.
    pub version: u64,
    /// What it is.
    pub tool: String,
    /// Names its run: another one is another start of it, and numbers begin anew.
    pub epoch: String,
    /// The first request it still has.
    pub first: u64,
    /// The last one it received; 0: none yet.
    pub last: u64,
    /// Its clock, epoch milliseconds.
    pub now: i64,
}

/// What a viewer answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The version it speaks.
    pub version: u64,
    /// The run it was attached to; none: it was not.
    #[serde(default)]
    pub epoch: Option<String>,
    /// The last request it has of that run.
    #[serde(default)]
    pub after: u64,
    /// A filter: only requests with an event that matches are to be sent.
    #[serde(default)]
    pub only: Option<String>,
    /// Whether messages may come compressed.
    #[serde(default)]
    pub compress: bool,
}

/// Why requests are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The collector has them no longer.
    Gone,
    /// The collector had no room for their bodies, or could not take them apart for the feed.
    Lost,
    /// They do not match what was asked for.
    NotAsked,
    /// A cause that a later version knows.
    #[serde(other)]
    Other,
}

/// Requests that are missing at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// When that was noticed, epoch milliseconds.
    pub t: i64,
    /// Why.
    pub cause: Cause,
}

/// The last line of a collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// The last request it received.
    pub last: u64,
    /// Why it ends, in words.
    pub why: String,
    /// Whether coming back with the same words would be answered in the same way.
    #[serde(default)]
    pub is_final: bool,
}

/// A line of the conversation itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "feed", rename_all = "kebab-case")]
pub enum Control {
    /// A collector's first line.
    Hello(Hello),
    /// A viewer's only line.
    Resume(Resume),
    /// Requests are missing.
    Gap(Missing),
    /// A collector's last line.
    Bye(Bye),
    /// Something a later version says; it is passed over.
    #[serde(other)]
    Unknown,
}

/// A line of a feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Of the conversation itself.
    Control(Control),
    /// What a recording begins with.
    Header(Box<Header>),
    /// A record of a recording.
    Record(Box<Record>),
}

/// Why a line is not one of a feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The other side is newer.
    #[error(
        "the other side speaks version {0} of the feed, and this exptap understands version {VERSION}: a newer exptap is needed here"
    )]
    Newer(u64),
    /// It makes no sense.
    #[error("what came is not a line of a feed: {0}")]
    Damaged(String),
}

/// How a line of the conversation begins. Whoever writes one puts the telling member first.
const BEGINNING: &str = "{\"feed\":";

#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

/// Reads a line.
///
/// # Errors
/// See [`LineError`].
pub fn parse(line: &str) -> Result<Line, LineError> {
    if line.starts_with(BEGINNING) {
        let damaged = |error: serde_json::Error| LineError::Damaged(error.to_string());
        // The version is asked about first: what else is strange may be right in it.
        let versioned: Versioned = serde_json::from_str(line).map_err(damaged)?;
        if let Some(newer) = versioned.version.filter(|version| *version > VERSION) {
            return Err(LineError::Newer(newer));
        }
        return serde_json::from_str(line).map(Line::Control).map_err(damaged);
    }
    if recording::is_header(line) {
        let header = recording::parse_header(line, "the collector");
        return header.map(|header| Line::Header(Box::new(header))).map_err(|e| LineError::Damaged(e.to_string()));
    }
    let record = recording::parse_line(line);
    record.map(|record| Line::Record(Box::new(record))).map_err(|e| LineError::Damaged(e.to_string()))
}

/// Appends a line of the conversation.
pub fn write(text: &mut Vec<u8>, control: &Control) {
    // Numbers, texts and names only: there is nothing in it that cannot be written.
    text.extend(serde_json::to_vec(control).unwrap_or_default());
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn hello() -> Hello {
        Hello { version: 1, tool: "exptap 0.1.0".into(), epoch: "a1".into(), first: 3, last: 9, now: 5 }
    }

    fn written(control: &Control) -> String {
        let mut line = Vec::new();
        write(&mut line, control);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn every_line_of_the_conversation_is_read_back_as_it_was() {
        let resume = Resume {
            version: 1,
            epoch: Some("a1".into()),
            after: 7,
            only: Some("source:\"x y\"".into()),
            compress: true,
        };
        for control in [
            Control::Hello(hello()),
            Control::Resume(resume),
            Control::Gap(Missing { from: 3, to: 9, t: -1, cause: Cause::NotAsked }),
            Control::Bye(Bye { last: 9, why: "a\n\"b\"".into(), is_final: true }),
        ] {
            let line = written(&control);
            assert!(line.starts_with(BEGINNING), "{line}");
            assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line}");
            assert_eq!(parse(line.trim_end()), Ok(Line::Control(control)));
        }
    }

    #[test]
    fn a_line_of_a_recording_is_one_of_a_feed() {
        let record = parse(r#"{"t":5,"n":1,"path":"/bulk","body":[]}"#).unwrap();
        assert!(matches!(record, Line::Record(record) if matches!(*record, Record::Request(_))));
        assert!(matches!(parse(r#"{"exptap":1,"redacted":false}"#), Ok(Line::Header(_))));
    }

    #[test]
    fn a_viewer_need_not_say_more_than_its_version() {
        let asked = parse(r#"{"feed":"resume","version":1}"#).unwrap();
        assert_eq!(asked, Line::Control(Control::Resume(Resume { version: 1, ..Resume::default() })));
    }

    #[test]
    fn what_a_later_version_says_is_passed_over_and_a_newer_one_is_told_whatever_else_is_in_it() {
        assert_eq!(parse(r#"{"feed":"weather","sun":[1]}"#), Ok(Line::Control(Control::Unknown)));
        let later_cause = parse(r#"{"feed":"gap","from":1,"to":2,"t":0,"cause":"eaten","by":"a dog"}"#).unwrap();
        assert!(matches!(
            later_cause,
            Line::Control(Control::Gap(Missing { cause: Cause::Other, from: 1, to: 2, .. }))
        ));
        assert_eq!(parse(r#"{"feed":"hello","version":2,"epoch":{}}"#), Err(LineError::Newer(2)));
    }

    #[test]
    fn what_is_cut_at_any_byte_or_is_something_else_is_refused_in_words() {
        let line = written(&Control::Hello(hello()));
        let line = line.trim_end();
        for cut in 0..line.len() {
            let Some(part) = line.get(..cut) else { continue };
            assert!(matches!(parse(part), Err(LineError::Damaged(_))), "{part}");
        }
        for foreign in ["", "HTTP/1.1 400 Bad Request", "<html>", "[]", "{\"feed\":\"hello\",\"version\":1}", "\u{0}"] {
            assert!(matches!(parse(foreign), Err(LineError::Damaged(_))), "{foreign}");
        }
    }
}
