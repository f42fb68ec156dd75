//! Reading: a line at a time, and no more of it than is needed.

use super::{Flags, Gap, Header, Mark, Part, Record, VERSION};
use crate::catalog::load::{self, Format};
use crate::catalog::{Catalog, Origin};
use crate::envelope::{Answer, AnsweredBy, BodyLoss, Credential, Envelope, Signature, Via};
use crate::json::{self, Value, Walker};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::borrow::Cow;

/// Why the first line is not the header of a recording that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is another file.
    #[error("this is not a recording: its first line is not a recording's header ({{\"exptap\":{VERSION},…}})")]
    Foreign,
    /// It is damaged.
    #[error("the header of the recording, its first line, is damaged: {0}")]
    Damaged(String),
    /// A later exptap wrote it.
    #[error(
        "this recording is in format version {0}, and this exptap reads version {VERSION}: a newer exptap is needed; nothing of it was read"
    )]
    Newer(u64),
    /// The mapping in it is not one.
    #[error("the Segment mapping in the header of the recording: {0}")]
    Mapping(String),
    /// The catalog in it is not one.
    #[error("the catalog in the header of the recording: {0}")]
    Catalog(String),
}

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not JSON.
    #[error("it is not JSON: {what}")]
    Json {
        /// Byte of the line.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Something is missing or of another type.
    #[error("{0}")]
    Shape(&'static str),
}

/// Whether a line begins as the header of a recording does: an object whose first member is `exptap`.
pub fn is_header(line: &str) -> bool {
    let mut walker = Walker::new(line.trim_start_matches('\u{feff}'));
    if !walker.take(b'{') || walker.next_byte() != Some(b'"') {
        return false;
    }
    matches!(walker.value(), Ok(Value::String(name)) if name.is("exptap"))
}

/// Reads the first line of a recording. `file` is only named in errors.
///
/// # Errors
/// See [`HeaderError`].
pub fn parse_header(line: &str, file: &str) -> Result<Header, HeaderError> {
    if !is_header(line) {
        return Err(HeaderError::Foreign);
    }
    let (mut header, mut version, mut catalog) = (Header::default(), None, None);
    let mut walker = Walker::new(line.trim_start_matches('\u{feff}'));
    let walked = walker.object(|name, value| match name.text().as_ref() {
        "exptap" => version = value.integer(),
        "created_at" => header.created_ms = instant(value),
        "observed_from" => header.observed_from_ms = instant(value),
        "tool" => header.tool = string(value),
        "note" => header.note = string(value),
        "catalog" => {
            if let Value::Object(text) = value {
                catalog = Some(text);
            }
        }
        "mapping" => {
            if let Value::Object(text) = value {
                header.mapping = Some(text.to_owned());
            }
        }
        "part" => header.part = part(value),
        "flags" => header.has_flags = matches!(value, Value::Bool(true)),
        "redacted" => header.redacted = matches!(value, Value::Bool(true)),
        _ => {}
    });
    // A version that cannot be read is asked about first: what else is wrong may be right in it.
    match version.map(u64::try_from) {
        Some(Ok(VERSION)) => {}
        Some(Ok(newer)) if newer > VERSION => return Err(HeaderError::Newer(newer)),
        _ => return Err(HeaderError::Damaged(format!("its version is not a number from 1 to {VERSION}"))),
    }
    walked.map_err(|fault| HeaderError::Damaged(fault.to_string()))?;
    header.catalog = catalog.map(|text| read_catalog(text, file)).transpose()?;
    header.destination().map_err(|error| HeaderError::Mapping(error.to_string()))?;
    Ok(header)
}

fn read_catalog(text: &str, file: &str) -> Result<Catalog, HeaderError> {
    load::from_text(text, file, Format::Json, Origin::Recording)
        .map_err(|error| HeaderError::Catalog(error.to_string()))
}

/// Reads a line after the header. `t`, `n`, `path` and a body are needed, nothing else.
///
/// # Errors
/// See [`LineError`].
pub fn parse_line(line: &str) -> Result<Record, LineError> {
    let mut fields = Fields::default();
    let mut walker = Walker::new(line);
    walker
        .object(|name, value| fields.take(&name.text(), value))
        .map_err(|fault| LineError::Json { offset: fault.offset, what: fault.what })?;
    if !walker.is_at_end() {
        return Err(LineError::Json { offset: walker.offset(), what: "expected the end of the line" });
    }
    fields.record()
}

#[derive(Default)]
struct Fields<'a> {
    t_ms: Option<i64>,
    mark: Option<Value<'a>>,
    gap: Option<Value<'a>>,
    flags: Option<&'a str>,
    number: Option<u64>,
    path: Option<String>,
    body: Option<Bytes>,
    body_base64: Option<Value<'a>>,
    encoding: Option<String>,
    wire_bytes: Option<u64>,
    envelope: Envelope,
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str, value: Value<'a>) {
        let envelope = &mut self.envelope;
        match name {
            "t" => self.t_ms = value.integer(),
            "mark" => self.mark = Some(value),
            "gap" => self.gap = Some(value),
            "flags" => {
                if let Value::Array(text) = value {
                    self.flags = Some(text);
                }
            }
            "n" => self.number = value.integer().and_then(|number| u64::try_from(number).ok()),
            "via" if value.string().is_some_and(|via| via.is(Via::File.name())) => envelope.via = Via::File,
            "method" => envelope.method = string(value).unwrap_or_default(),
            "path" => self.path = string(value),
            "headers" => {
                if let Value::Object(text) = value {
                    json::members(text, |name, value| header(envelope, &name.text(), value));
                }
            }
            "credential" => envelope.credential = string(value).map(|text| Credential::masked(&text)),
            "encoding" => self.encoding = string(value),
            "wire_bytes" => self.wire_bytes = value.integer().and_then(|bytes| u64::try_from(bytes).ok()),
            "body" => self.body = Some(Bytes::copy_from_slice(text(value).as_bytes())),
            "body_base64" => self.body_base64 = Some(value),
            "loss" => envelope.loss = loss(value),
            "response" => (envelope.answer, envelope.answer_text) = answer(value),
            "signature" => envelope.signature = value.string().and_then(|word| Signature::from_name(&word.text())),
            _ => {}
        }
    }

    fn record(self) -> Result<Record, LineError> {
        let Self { t_ms, mark, gap, flags, number, path, body, body_base64, encoding, wire_bytes, mut envelope } = self;
        let is_request = path.is_some() || number.is_some() || body.is_some() || body_base64.is_some();
        if mark.is_none() && gap.is_none() && flags.is_none() && !is_request {
            return Ok(Record::Unknown);
        }
        let t_ms = t_ms.ok_or(LineError::Shape("t, the arrival in epoch milliseconds, is missing"))?;
        if let Some(note) = mark {
            return Ok(Record::Mark(Mark { t_ms, note: string(note).unwrap_or_default() }));
        }
        if let Some(gap) = gap {
            let (mut lost, mut why) = (1, String::new());
            if let Value::Object(object) = gap {
                json::members(object, |name, value| match name.text().as_ref() {
                    "lost" => lost = value.integer().and_then(|lost| u64::try_from(lost).ok()).unwrap_or(1),
                    "why" => why = string(value).unwrap_or_default(),
                    _ => {}
                });
            }
            return Ok(Record::Gap(Gap { t_ms, lost, why }));
        }
        if let Some(json) = flags.filter(|_| !is_request) {
            return Ok(Record::Flags(Flags { t_ms, json: json.to_owned() }));
        }
        envelope.arrival_ms = t_ms;
        envelope.request = number.ok_or(LineError::Shape("n, the number of the request, is missing"))?;
        envelope.path = path.ok_or(LineError::Shape("the path is missing"))?;
        envelope.body = match (body, body_base64) {
            (Some(body), _) => {
                // The text stands for what came out of the encoding. In base64 stands what came over the wire.
                envelope.decoded_from = encoding;
                body
            }
            (None, Some(encoded)) => {
                let decoded = encoded.string().and_then(|text| STANDARD.decode(text.text().as_bytes()).ok());
                let body = decoded.ok_or(LineError::Shape("body_base64 is not base64"))?;
                if !body.starts_with(&crate::envelope::GZIP_MAGIC) {
                    envelope.decoded_from = encoding;
                }
                body.into()
            }
            (None, None) => return Err(LineError::Shape("the body is missing")),
        };
        envelope.wire_bytes = wire_bytes.unwrap_or(envelope.body.len() as u64);
        Ok(Record::Request(envelope))
    }
}

/// Takes a header. A raw credential, which exptap never writes, is masked before it is anywhere.
fn header(envelope: &mut Envelope, name: &str, value: Value<'_>) {
    let Some(value) = value.string() else { return };
    let name = name.to_ascii_lowercase();
    if name == "authorization" {
        envelope.credential.get_or_insert_with(|| Credential::mask(&value.text()));
        return;
    }
    envelope.headers.push((name, value.text().into_owned()));
}

fn loss(value: Value<'_>) -> Option<BodyLoss> {
    let Value::Object(object) = value else { return None };
    let mut loss = None;
    json::members(object, |name, value| {
        let Value::Object(figures) = value else { return };
        let figure = |wanted: &str| {
            let mut found = None;
            json::members(figures, |name, value| {
                if name.is(wanted) {
                    found = value.integer().and_then(|figure| u64::try_from(figure).ok());
                }
            });
            found
        };
        loss = match name.text().as_ref() {
            "too_large" => Some(BodyLoss::TooLarge {
                bytes: figure("bytes").unwrap_or_default(),
                limit: figure("limit").unwrap_or_default(),
            }),
            "closed" => Some(BodyLoss::Closed {
                received: figure("received").unwrap_or_default(),
                announced: figure("announced"),
            }),
            _ => return,
        };
    });
    loss
}

fn answer(value: Value<'_>) -> (Option<Answer>, Option<String>) {
    let Value::Object(object) = value else { return (None, None) };
    let (mut status, mut from, mut text) = (None, AnsweredBy::Local, None);
    json::members(object, |name, value| match name.text().as_ref() {
        "status" => status = value.integer().and_then(|status| u16::try_from(status).ok()),
        "from" if value.string().is_some_and(|from| from.is("upstream")) => from = AnsweredBy::Upstream,
        "text" => text = string(value),
        _ => {}
    });
    (status.map(|status| Answer { status, from }), text)
}

fn part(value: Value<'_>) -> Option<Part> {
    let Value::Object(object) = value else { return None };
    let (mut of, mut number) = (None, None);
    json::members(object, |name, value| match name.text().as_ref() {
        "of" => of = string(value),
        "number" => number = value.integer().and_then(|number| u64::try_from(number).ok()),
        _ => {}
    });
    Some(Part { of: of?, number: number? })
}

fn string(value: Value<'_>) -> Option<String> {
    value.string().map(|text| text.text().into_owned())
}

/// Epoch milliseconds, or RFC 3339.
fn instant(value: Value<'_>) -> Option<i64> {
    let written = || value.string()?.text().parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    value.integer().or_else(written)
}

/// A value as it was written.
fn text(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Object(text) | Value::Array(text) | Value::Number(text) => Cow::Borrowed(text),
        Value::String(text) => Cow::Owned(format!("\"{}\"", text.raw)),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Null => Cow::Borrowed("null"),
    }
}
