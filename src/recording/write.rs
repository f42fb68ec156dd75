//! Writing: one line per record, ready to be written at once.

use super::{Flags, Gap, Header, MAX_TEXT_BYTES, Mark, Record, VERSION};
use crate::envelope::{AnsweredBy, BodyLoss, Envelope};
use crate::event::body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Appends the header's line.
pub fn write_header(line: &mut Vec<u8>, header: &Header) {
    let instant = |ms: i64| {
        jiff::Timestamp::from_millisecond(ms).map_or_else(|_| Value::from(ms), |time| time.to_string().into())
    };
    // Written member by member, so that the telling one comes first: a reader knows a recording by its beginning.
    line.extend_from_slice(format!("{{\"exptap\":{VERSION}").as_bytes());
    member(line, "created_at", &json!(header.created_ms.map(instant)));
    member(line, "observed_from", &json!(header.observed_from_ms));
    member(line, "tool", &json!(header.tool));
    member(line, "note", &json!(header.note));
    member(line, "catalog", &header.catalog.as_ref().map_or(Value::Null, crate::catalog::Catalog::to_json));
    // Its text may be spread over lines; read and written anew it stands on one.
    let mapping = header.mapping.as_deref().and_then(|text| serde_json::from_str(text).ok());
    member(line, "mapping", &mapping.unwrap_or(Value::Null));
    member(line, "redacted", &json!(header.redacted));
    if let Some(part) = &header.part {
        member(line, "part", &json!({"of": part.of, "number": part.number}));
    }
    if header.has_flags {
        member(line, "flags", &json!(true));
    }
    line.extend_from_slice(b"}\n");
}

/// Appends the line of a request.
///
/// The body is kept as the sender's own text wherever that can stand in a line of JSON, so that a person can read it
/// and `jq` can query it; otherwise as the bytes that came over the wire, in base64.
pub fn write_request(line: &mut Vec<u8>, envelope: &Envelope) {
    let start = line.len();
    if let Some((text, encoding)) = body::exact_text(envelope)
        && text.len() <= MAX_TEXT_BYTES
        && !text.contains(['\n', '\r', '\u{feff}'])
    {
        head(line, envelope, encoding);
        line.extend_from_slice(b",\"body\":");
        line.extend_from_slice(text.as_bytes());
        tail(line, envelope);
        // What is JSON by itself may still be nested too deep within a record, or be two values. Only what is read
        // back as it was stays.
        let is_whole = line.get(start..).and_then(|bytes| std::str::from_utf8(bytes).ok()).is_some_and(
            |line| matches!(super::parse_line(line), Ok(Record::Request(read)) if read.body == text.as_bytes()),
        );
        if is_whole {
            return;
        }
        line.truncate(start);
    }
    head(line, envelope, envelope.decoded_from.as_deref());
    line.extend_from_slice(b",\"body_base64\":\"");
    line.extend_from_slice(STANDARD.encode(&envelope.body).as_bytes());
    line.push(b'"');
    tail(line, envelope);
}

/// Appends the line of a bookmark.
pub fn write_mark(line: &mut Vec<u8>, mark: &Mark) {
    line.extend_from_slice(format!("{{\"t\":{}", mark.t_ms).as_bytes());
    member(line, "mark", &json!(mark.note));
    line.extend_from_slice(b"}\n");
}

/// Appends the line of flags that passed by.
pub fn write_flags(line: &mut Vec<u8>, flags: &Flags) {
    line.extend_from_slice(format!("{{\"t\":{}", flags.t_ms).as_bytes());
    // Read and written anew it stands on one line.
    member(line, "flags", &serde_json::from_str(&flags.json).unwrap_or(Value::Null));
    line.extend_from_slice(b"}\n");
}

/// Appends the line of a gap.
pub fn write_gap(line: &mut Vec<u8>, gap: &Gap) {
    line.extend_from_slice(format!("{{\"t\":{}", gap.t_ms).as_bytes());
    member(line, "gap", &json!({"lost": gap.lost, "why": gap.why}));
    line.extend_from_slice(b"}\n");
}

fn head(line: &mut Vec<u8>, envelope: &Envelope, encoding: Option<&str>) {
    line.extend_from_slice(format!("{{\"t\":{},\"n\":{}", envelope.arrival_ms, envelope.request).as_bytes());
    member(line, "via", &json!(envelope.via.name()));
    member(line, "method", &json!(envelope.method));
    member(line, "path", &json!(envelope.path));
    line.extend_from_slice(b",\"headers\":{");
    // In the order received; a map of serde_json's would sort them.
    for (index, (name, value)) in envelope.headers.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        line.extend_from_slice(format!("{}:{}", json!(name), json!(value)).as_bytes());
    }
    line.push(b'}');
    member(line, "credential", &json!(envelope.credential.as_ref().map(crate::envelope::Credential::as_str)));
    member(line, "encoding", &json!(encoding));
    member(line, "wire_bytes", &json!(envelope.wire_bytes));
}

fn tail(line: &mut Vec<u8>, envelope: &Envelope) {
    if let Some(loss) = &envelope.loss {
        let loss = match loss {
            BodyLoss::TooLarge { bytes, limit } => json!({"too_large": {"bytes": bytes, "limit": limit}}),
            BodyLoss::Closed { received, announced } => {
                json!({"closed": {"received": received, "announced": announced}})
            }
        };
        member(line, "loss", &loss);
    }
    if let Some(answer) = envelope.answer {
        let from = match answer.from {
            AnsweredBy::Local => "local",
            AnsweredBy::Upstream => "upstream",
        };
        let mut response = json!({"status": answer.status, "from": from});
        if let (Some(text), Some(members)) = (&envelope.answer_text, response.as_object_mut()) {
            members.insert("text".to_owned(), text.as_str().into());
        }
        member(line, "response", &response);
    }
    if let Some(signature) = envelope.signature {
        member(line, "signature", &json!(signature.name()));
    }
    line.extend_from_slice(b"}\n");
}

fn member(line: &mut Vec<u8>, name: &str, value: &Value) {
    line.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
}
