//! The recording format, version 1: what was received, as it was received, one JSON object a line.
//!
//! A header comes first; after it requests, bookmarks and gaps in the order they happened. Everything that exptap shows
//! is derived again from them, so a recording says nothing of verdicts and never grows old. Bytes come in and go out;
//! files are opened and synced elsewhere.

pub mod frames;
mod read;
mod write;

pub use read::{HeaderError, LineError, is_header, parse_header, parse_line};
pub use write::{write_flags, write_gap, write_header, write_mark, write_request};

use crate::catalog::load::Format;
use crate::catalog::{Catalog, Given};
use crate::envelope::Envelope;
use crate::segment::Destination;
use crate::segment::mapping_file::{self, MappingError};
use std::sync::Arc;

/// The version of the format that is written, and the newest that is read.
pub const VERSION: u64 = 1;
/// Bodies are kept as text up to this size. A larger one stays as it came over the wire, where the endpoint's limit
/// bounds it, so that every line stays short enough to be read at once.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// The first line of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// When recording began, epoch milliseconds.
    pub created_ms: Option<i64>,
    /// Since when everything was observed, epoch milliseconds.
    pub observed_from_ms: Option<i64>,
    /// What wrote it.
    pub tool: Option<String>,
    /// What its author says about it.
    pub note: Option<String>,
    /// What was being measured, where the user named it.
    pub catalog: Option<Catalog>,
    /// The Segment mapping, as JSON text.
    pub mapping: Option<String>,
    /// Whether keys and values were replaced by stand-ins.
    pub redacted: bool,
    /// Which part of a recording it is that is kept in several files.
    pub part: Option<Part>,
    /// Whether requests for flags were passed on meanwhile: flags may be among the records.
    pub has_flags: bool,
}

/// A part of a recording that is kept in several files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Names the recording: one sitting of one recorder.
    pub of: String,
    /// Parts are counted from 1.
    pub number: u64,
}

impl Part {
    /// The part that follows it.
    pub fn next(&self) -> Self {
        Self { of: self.of.clone(), number: self.number.saturating_add(1) }
    }
}

impl Header {
    /// What it says of what to judge by.
    pub fn given(&self) -> Given {
        Given {
            catalog: self.catalog.clone(),
            destination: self.destination().ok().flatten().map(Arc::new),
            flags: None,
        }
    }

    /// Whether it goes on right where another one ends, with nothing between them.
    pub fn goes_on_from(&self, before: &Self) -> bool {
        self.part.is_some() && self.part == before.part.as_ref().map(Part::next)
    }

    /// The mapping, read.
    fn destination(&self) -> Result<Option<Destination>, MappingError> {
        let read = |text: &String| mapping_file::from_text(text, "mapping", Format::Json);
        Ok(self.mapping.as_ref().map(read).transpose()?.map(|file| file.destination))
    }
}

/// A bookmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was set, epoch milliseconds.
    pub t_ms: i64,
    /// Its note.
    pub note: String,
}

/// Something that was received and is not in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it is known to have been lost, epoch milliseconds.
    pub t_ms: i64,
    /// Requests at the least.
    pub lost: u64,
    /// Why.
    pub why: String,
}

/// Flags that passed by on their way to SDKs, all that were seen by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// When the latest of them came, epoch milliseconds.
    pub t_ms: i64,
    /// What is kept of them, as JSON text ([`crate::bucketing::seen::Seen::to_json`]).
    pub json: String,
}

/// A line after the header.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A request, or events without one.
    Request(Envelope),
    /// A bookmark.
    Mark(Mark),
    /// A loss.
    Gap(Gap),
    /// Flags that passed by.
    Flags(Flags),
    /// Something a later version writes; it is passed over.
    Unknown,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::envelope::{Answer, AnsweredBy, BodyLoss, Credential, Signature};
    use crate::event::body;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn envelope(body: &[u8]) -> Envelope {
        Envelope {
            arrival_ms: 1_795_248_000_123,
            request: 7,
            method: "POST".into(),
            path: "/bulk?x=\"".into(),
            headers: vec![
                ("user-agent".into(), "Node\u{1b}".into()),
                ("a".into(), "b".into()),
                ("a".into(), "c".into()),
            ],
            credential: Some(Credential::mask("sdk-00000000-1f2a")),
            body: body.to_vec().into(),
            wire_bytes: body.len() as u64,
            answer: Some(Answer { status: 503, from: AnsweredBy::Upstream }),
            answer_text: Some("no \"events\"".into()),
            ..Envelope::default()
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn written(envelope: &Envelope) -> String {
        let mut line = Vec::new();
        write_request(&mut line, envelope);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line");
        line
    }

    fn read(line: &str) -> Envelope {
        let Ok(Record::Request(read)) = parse_line(line) else { panic!("{line}") };
        read
    }

    #[test]
    fn a_body_of_json_on_one_line_is_kept_as_its_own_text() {
        let envelope = envelope(br#"[{"kind":"custom", "n":1.50,"n":2}]"#);
        let line = written(&envelope);
        assert!(line.contains(r#","body":[{"kind":"custom", "n":1.50,"n":2}],"#), "{line}");
        assert_eq!(read(&line), envelope);
    }

    #[test]
    fn a_compressed_body_is_kept_decompressed_with_what_it_was() {
        let envelope = envelope(&gzip(b"[{}]"));
        let line = written(&envelope);
        assert!(line.contains(r#""encoding":"gzip""#) && line.contains(r#""body":[{}]"#), "{line}");
        let read = read(&line);
        assert_eq!((read.wire_bytes, read.was_compressed()), (envelope.wire_bytes, true));
        assert_eq!(body::text(&read), body::text(&envelope));
    }

    #[test]
    fn a_body_that_cannot_stand_in_a_line_is_kept_byte_for_byte() {
        let deep = "[".repeat(128) + &"]".repeat(128);
        let bodies: [&[u8]; 10] = [
            b"",
            b"[]\n",
            b" []",
            b"[] []",
            b"[],\"t\":5",
            b"not json",
            b"\xef\xbb\xbf[]",
            b"[\"\xff\"]",
            &gzip(b"[{}]")[..15],
            deep.as_bytes(),
        ];
        for body in bodies {
            let envelope = envelope(body);
            assert_eq!(read(&written(&envelope)), envelope, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_was_lost_of_a_body_stays_known() {
        for loss in [
            BodyLoss::TooLarge { bytes: 5, limit: 4 },
            BodyLoss::Closed { received: 1, announced: None },
            BodyLoss::Closed { received: 1, announced: Some(9) },
        ] {
            let envelope = Envelope { loss: Some(loss), ..envelope(b"[]") };
            assert_eq!(read(&written(&envelope)), envelope);
        }
    }

    #[test]
    fn what_a_signature_was_worth_is_kept_and_is_absent_where_none_was_checked() {
        assert!(!written(&envelope(b"{}")).contains("signature"));
        for signature in Signature::ALL {
            let envelope = Envelope { signature: Some(signature), ..envelope(b"{}") };
            let line = written(&envelope);
            assert!(line.ends_with(&format!(",\"signature\":\"{}\"}}\n", signature.name())), "{line}");
            assert_eq!(read(&line), envelope);
        }
        assert_eq!(read(r#"{"t":5,"n":1,"path":"/","body":[],"signature":"of a later version"}"#).signature, None);
    }

    #[test]
    fn a_body_in_an_encoding_nobody_takes_off_is_refused_again_when_it_is_replayed() {
        let mut envelope = envelope(b"[{}]");
        envelope.headers.push(("content-encoding".into(), "br".into()));
        let read = read(&written(&envelope));
        assert_eq!(read, envelope);
        assert!(body::text(&read).is_err());
    }

    #[test]
    fn a_reader_needs_only_time_number_path_and_body() {
        let read = read(r#"{"t":5,"n":1,"path":"/bulk","body":[],"a_later_field":{"x":[1]}}"#);
        assert_eq!(
            (read.arrival_ms, read.request, read.path.as_str(), read.body.as_ref()),
            (5, 1, "/bulk", &b"[]"[..])
        );
        for lacking in [
            r#"{"n":1,"path":"/","body":[]}"#,
            r#"{"t":1,"path":"/","body":[]}"#,
            r#"{"t":1,"n":1,"body":[]}"#,
            r#"{"t":1,"n":1,"path":"/"}"#,
        ] {
            assert!(matches!(parse_line(lacking), Err(LineError::Shape(_))), "{lacking}");
        }
        let flags = Flags { t_ms: 7, json: r#"[{"credential":"sdk-…1","flags":{}}]"#.to_owned() };
        let mut line = Vec::new();
        write_flags(&mut line, &flags);
        assert_eq!(parse_line(std::str::from_utf8(&line).unwrap()), Ok(Record::Flags(flags)));
        assert_eq!(parse_line(r#"{"t":1,"flags":"of another version"}"#), Ok(Record::Unknown));
        assert_eq!(parse_line(r#"{"t":1,"something":"a later version writes"}"#), Ok(Record::Unknown));
    }

    #[test]
    fn a_raw_credential_in_the_headers_of_anothers_recording_is_masked() {
        let read = read(r#"{"t":5,"n":1,"path":"/bulk","headers":{"Authorization":"sdk-00000000-1f2a"},"body":[]}"#);
        assert_eq!(read.credential, Some(Credential::mask("sdk-00000000-1f2a")));
        assert_eq!(read.headers, []);
    }

    #[test]
    fn a_header_is_read_back_as_it_was_and_a_newer_one_is_refused() {
        let header = Header {
            created_ms: Some(1_795_248_000_000),
            observed_from_ms: Some(1_795_247_999_000),
            tool: Some("exptap 0.1.0".into()),
            note: Some("the \"buy\" button".into()),
            redacted: true,
            part: Some(Part { of: "a1".into(), number: 3 }),
            ..Header::default()
        };
        let mut line = Vec::new();
        write_header(&mut line, &header);
        let line = String::from_utf8(line).unwrap();
        assert!(
            line.starts_with(r#"{"exptap":1,"created_at":"2026-11-21T08:00:00Z","observed_from":1795247999000,"#),
            "{line}"
        );
        assert_eq!(parse_header(&line, "file").unwrap(), header);
        assert_eq!(parse_header(r#"{"exptap":2,"new":["#, "file"), Err(HeaderError::Newer(2)));
        assert_eq!(parse_header(r#"{"kind":"custom"}"#, "file"), Err(HeaderError::Foreign));
        assert!(matches!(
            parse_header(r#"{"exptap":1,"catalog":{"metrics":3}}"#, "file"),
            Err(HeaderError::Catalog(_))
        ));
        assert!(matches!(parse_header(r#"{"exptap":1,"catalog":"#, "file"), Err(HeaderError::Damaged(_))));
    }

    #[test]
    fn marks_and_gaps_are_read_back_as_they_were() {
        let (mark, gap) =
            (Mark { t_ms: 1, note: "clicked \"Buy\"\nhere".into() }, Gap { t_ms: 2, lost: 12, why: "full".into() });
        let (mut line, mut other) = (Vec::new(), Vec::new());
        write_mark(&mut line, &mark);
        write_gap(&mut other, &gap);
        assert_eq!(parse_line(std::str::from_utf8(&line).unwrap()), Ok(Record::Mark(mark)));
        assert_eq!(parse_line(std::str::from_utf8(&other).unwrap()), Ok(Record::Gap(gap)));
    }
}
