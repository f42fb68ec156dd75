//! `exptap map`: Segment events in, the requests LaunchDarkly would get out.

use super::{BAD_INPUT, now_ms, say};
use crate::catalog::load::Format;
use crate::cli;
use crate::headless::{Fault, Unreadable};
use crate::input::{Chunk, InputError, Piece, Source};
use crate::json::{Value, Walker};
use crate::segment::delivery::{Delivered, Undelivered};
use crate::segment::door::Door;
use crate::segment::posted::{self, Batch, Object, Posted};
use crate::segment::{Destination, Event, EventError, Mapped, Outcome, SentRequest, mapping_file};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Runs the command.
pub(super) fn run(options: &cli::Map) -> ExitCode {
    let destination = match options.mapping.as_deref().map(read_mapping).transpose() {
        Ok(destination) => destination.unwrap_or_else(Destination::presets),
        Err(message) => {
            say(message);
            return BAD_INPUT.into();
        }
    };
    let source = Source::parse(&options.source);
    if source == Source::Stdin && io::stdin().is_terminal() {
        say("reading Segment events from the terminal; end with Ctrl-D");
    }
    let mut mapper = Mapper {
        destination,
        now_ms: options.now.unwrap_or_else(now_ms),
        name: source.name(),
        output: BufWriter::new(io::stdout().lock()),
        inputs: 0,
        unreadable: None,
        broken: None,
    };
    match mapper.read(&source) {
        Ok(()) => mapper.verdict(),
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            say(failure);
            BAD_INPUT.into()
        }
    }
}

/// Reads a mapping file, and says what the destination will not like about it.
pub(super) fn read_mapping(path: &Path) -> Result<Destination, String> {
    let (destination, remarks) = look_at_mapping(path)?;
    remarks.iter().for_each(say);
    Ok(destination)
}

/// The same, with what is to be said of it.
pub(super) fn look_at_mapping(path: &Path) -> Result<(Destination, Vec<String>), String> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{name}: the mapping file cannot be read: {error}"))?;
    let file = mapping_file::from_text(&text, &name, Format::of(&name, &text)).map_err(|error| error.to_string())?;
    let remarks = file.remarks.iter();
    let remarks = remarks.map(|remark| format!("{name}:{}:{}: {}", remark.line, remark.column, remark.message));
    Ok((file.destination, remarks.collect()))
}

/// Why the command cannot do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

struct Mapper<W: Write> {
    destination: Destination,
    now_ms: i64,
    name: String,
    output: W,
    inputs: u64,
    unreadable: Option<Unreadable>,
    /// Why no more can be written.
    broken: Option<io::Error>,
}

/// One row. Its fields are a contract: `docs/segment.md`.
#[derive(Serialize)]
struct Row<'a> {
    input: u64,
    mapping: Option<usize>,
    action: Option<&'static str>,
    matched: bool,
    request: Option<Request<'a>>,
    error: Option<&'a str>,
    not_modelled: Option<&'a str>,
}

#[derive(Serialize)]
struct Request<'a> {
    method: &'static str,
    url: &'a str,
    #[serde(serialize_with = "headers")]
    headers: (),
    body: Box<RawValue>,
}

fn headers<S: Serializer>((): &(), serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(SentRequest::HEADERS.len()))?;
    for (name, value) in SentRequest::HEADERS {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

impl<W: Write> Mapper<W> {
    fn read(&mut self, source: &Source) -> Result<(), Failure> {
        source.pieces(|piece| {
            // What is piped in cannot be told to stop; what still comes is read and left.
            if self.broken.is_some() {
                return;
            }
            let written = match piece {
                Piece::Text(chunk) => self.text(chunk),
                Piece::Damaged(line, what) | Piece::LeftOut(line, what) => self.bad(line, None, what),
            };
            self.broken = written.err();
        })?;
        match self.broken.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.output.flush()?),
        }
    }

    /// A value a line, or values over several lines, as a debugger shows them; the elements of an array are events.
    fn text(&mut self, chunk: Chunk<'_>) -> io::Result<()> {
        let mut walker = Walker::new(chunk.text);
        while walker.next_byte().is_some() {
            let start = walker.offset();
            let line_end = line_end(chunk.text, start);
            let value = walker.value();
            let end = walker.offset();
            let fault = match value {
                Ok(_) if end > line_end => None,
                // A line is one value, or it is no JSON.
                Ok(_) => Walker::at(chunk.text.get(..line_end).unwrap_or(""), end)
                    .next_byte()
                    .map(|_| (end, "more text follows the value")),
                Err(fault) => Some((fault.offset, fault.what)),
            };
            match (fault, value) {
                (None, Ok(Value::Array(array))) => self.array(chunk, start, array)?,
                (None, _) => self.value(chunk, start, walker.between(start, end))?,
                // It may be nested too deep and be JSON all the same.
                (Some((at, _)), Err(_)) => {
                    let rest = chunk.text.get(start..line_end).unwrap_or("");
                    self.event(
                        chunk,
                        start,
                        if at <= line_end { rest } else { chunk.text.get(start..).unwrap_or("") },
                    )?;
                    walker = Walker::at(chunk.text, resume(chunk.text, line_end, at));
                }
                (Some((at, what)), Ok(_)) => {
                    let (line, byte) = chunk.place(at);
                    self.bad(line, Some(byte), &format!("it is not JSON: {what}"))?;
                    walker = Walker::at(chunk.text, line_end);
                }
            }
        }
        Ok(())
    }

    fn array(&mut self, chunk: Chunk<'_>, start: usize, array: &str) -> io::Result<()> {
        let mut walker = Walker::new(array);
        walker.take(b'[');
        while walker.next_byte().is_some_and(|byte| byte != b']') {
            let from = walker.offset();
            if walker.value().is_err() {
                break;
            }
            self.value(chunk, start + from, walker.between(from, walker.offset()))?;
            walker.take(b',');
        }
        Ok(())
    }

    /// A value that is JSON: an event, or a batch of them as a library posts it. All that is read here is Segment's.
    fn value(&mut self, chunk: Chunk<'_>, start: usize, text: &str) -> io::Result<()> {
        match text.starts_with('{').then(|| posted::look(text, 0, Some(Door::Webhook))).flatten() {
            Some(Object::Batch(batch, at)) => self.batch(chunk, start, text, batch, at),
            _ => self.event(chunk, start, text),
        }
    }

    fn batch(&mut self, chunk: Chunk<'_>, start: usize, text: &str, batch: Batch<'_>, at: usize) -> io::Result<()> {
        let mut walker = Walker::at(text, at);
        walker.take(b'[');
        while walker.next_byte().is_some_and(|byte| byte != b']') {
            let offset = walker.offset();
            let event = match walker.value() {
                Ok(Value::Object(raw)) => {
                    match (Posted { raw, offset, call: None, batch: batch.clone(), is_raw: false }).deliver(None) {
                        Ok(Delivered { event, .. }) => Ok(event),
                        Err(Undelivered::NoEvent(error)) => Err(error),
                        Err(Undelivered::Refused(words)) => {
                            let (line, byte) = chunk.place(start + offset);
                            self.bad(line, Some(byte), &words)?;
                            walker.take(b',');
                            continue;
                        }
                    }
                }
                Ok(other) => Err(EventError::NotAnObject(other.kind())),
                Err(_) => break,
            };
            self.parsed(chunk, start + offset, event)?;
            walker.take(b',');
        }
        Ok(())
    }

    fn event(&mut self, chunk: Chunk<'_>, start: usize, text: &str) -> io::Result<()> {
        self.parsed(chunk, start, Event::parse(text))
    }

    fn parsed(&mut self, chunk: Chunk<'_>, start: usize, event: Result<Event, EventError>) -> io::Result<()> {
        match event {
            Ok(event) => {
                for mapped in self.destination.map(&event, self.now_ms) {
                    self.row(&mapped)?;
                }
                self.inputs += 1;
                Ok(())
            }
            Err(EventError::NotModelled(what)) => {
                self.write(&Row {
                    input: self.inputs,
                    mapping: None,
                    action: None,
                    matched: false,
                    request: None,
                    error: None,
                    not_modelled: Some(what),
                })?;
                self.inputs += 1;
                Ok(())
            }
            Err(error) => {
                let offset = if let EventError::NotJson { offset, .. } = &error { *offset } else { 0 };
                let (line, byte) = chunk.place(start + offset);
                self.bad(line, Some(byte), &error.to_string())
            }
        }
    }

    fn row(&mut self, mapped: &Mapped) -> io::Result<()> {
        let (request, error, not_modelled) = match &mapped.outcome {
            Outcome::NotMatched => (None, None, None),
            Outcome::Sent(sent) => {
                let body = RawValue::from_string(sent.body.clone())?;
                (Some(Request { method: SentRequest::METHOD, url: &sent.url, headers: (), body }), None, None)
            }
            Outcome::InvalidTrigger(words) | Outcome::Refused(words) => (None, Some(words.as_str()), None),
            Outcome::NotModelled { what, .. } => (None, None, Some(what.as_str())),
        };
        self.write(&Row {
            input: self.inputs,
            mapping: Some(mapped.mapping),
            action: Some(mapped.action.name()),
            matched: mapped.is_matched(),
            request,
            error,
            not_modelled,
        })
    }

    /// A row for what is no event.
    fn bad(&mut self, line: u64, byte: Option<u64>, reason: &str) -> io::Result<()> {
        let fault = Fault { source: self.name.clone(), line, byte, reason: reason.to_owned() };
        let error = fault.to_string();
        self.write(&Row {
            input: self.inputs,
            mapping: None,
            action: None,
            matched: false,
            request: None,
            error: Some(&error),
            not_modelled: None,
        })?;
        self.inputs += 1;
        match &mut self.unreadable {
            Some(unreadable) => unreadable.count += 1,
            None => self.unreadable = Some(Unreadable { count: 1, first: fault }),
        }
        Ok(())
    }

    fn write(&mut self, row: &Row<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.output, row)?;
        self.output.write_all(b"\n")
    }

    fn verdict(&self) -> ExitCode {
        match &self.unreadable {
            Some(Unreadable { count, first }) if *count == self.inputs => {
                say(format_args!(
                    "nothing readable: none of the {count} lines or values in {} is a Segment event; the first: {first}",
                    self.name
                ));
                BAD_INPUT.into()
            }
            Some(Unreadable { count, first }) => {
                say(format_args!("{count} of the lines could not be read; the first: {first}"));
                ExitCode::SUCCESS
            }
            None => {
                if self.inputs == 0 {
                    say("no events: the source is empty");
                }
                ExitCode::SUCCESS
            }
        }
    }
}

fn line_end(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |found| from + found)
}

/// Where to read on after a value that is broken at `at`: on the next line, if it broke on its first one; otherwise
/// where a line begins that can be the beginning of a value, or after one that can be the end of this.
fn resume(text: &str, first_line_end: usize, at: usize) -> usize {
    let mut line_start = first_line_end + 1;
    while at > first_line_end && line_start < text.len() {
        match text.as_bytes().get(line_start) {
            Some(b'{' | b'[') => return line_start,
            Some(b'}' | b']') => return line_end(text, line_start),
            _ => line_start = line_end(text, line_start) + 1,
        }
    }
    line_start.min(text.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn mapper() -> Mapper<Vec<u8>> {
        Mapper {
            destination: Destination::presets(),
            now_ms: 0,
            name: "f".to_owned(),
            output: Vec::new(),
            inputs: 0,
            unreadable: None,
            broken: None,
        }
    }

    /// What became of a text: number of the input and event key or error, a string a row.
    fn mapped(text: &str) -> Vec<String> {
        let mut mapper = mapper();
        mapper.text(Chunk::whole(text)).unwrap();
        let show = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = row["request"]["body"][0]["key"].as_str().or(row["error"].as_str());
            key.or(row["not_modelled"].as_str()).map(|key| format!("{} {key}", row["input"]))
        };
        String::from_utf8(mapper.output).unwrap().lines().filter_map(show).collect()
    }

    const A: &str = r#"{"type":"track","event":"a","userId":"u"}"#;
    const B: &str = r#"{"type":"track","event":"b","userId":"u"}"#;

    #[test]
    fn events_stand_on_lines_in_arrays_or_over_several_lines() {
        assert_eq!(mapped(&format!("{A}\n\n{B}\r\n")), ["0 a", "1 b"]);
        assert_eq!(mapped(&format!("[{A},\n {B}]\n{A}")), ["0 a", "1 b", "2 a"]);
        let pretty = A.replace(',', ",\n  ").replace('{', "{\n  ").replace('}', "\n}");
        assert_eq!(mapped(&format!("{pretty}\n{pretty}\n{B}")), ["0 a", "1 a", "2 b"]);
    }

    #[test]
    fn the_events_of_a_batch_are_inputs_of_their_own_and_get_what_it_says_of_all() {
        let batch = format!(r#"{{"context":{{"ip":"1.2.3.4"}},"batch":[{A}, 7,{B}],"sentAt":"2026-01-01T00:00:00Z"}}"#);
        let expected = [
            "0 a".to_owned(),
            "1 f, line 1, byte 81: expected a Segment event, which is an object, and found a number".to_owned(),
            "2 b".to_owned(),
            "3 a".to_owned(),
        ];
        assert_eq!(mapped(&format!("{batch}\n{A}")), expected);
        assert_eq!(mapped(&format!("[{batch},{A}]")).len(), 4);
        assert_eq!(mapped(r#"{"batch":[]}"#), [""; 0]);
        assert_eq!(mapped(&format!(r#"{{"batch":[{A}] oops}}"#)).len(), 1);
        let named = r#"{"batch":[{"type":"track","event":"a","properties":{}}],"context":{"device":{"id":"d"}}}"#;
        let file = r#"{"settings":{"client_id":"c"},"mappings":[{"action":"trackEvent","subscribe":"type = \"track\"",
            "mapping":{"user_key":{"@path":"$.context.device.id"},"event_name":{"@path":"$.event"}}}]}"#;
        let destination = mapping_file::from_text(file, "m", Format::Json).unwrap().destination;
        let mut mapper = Mapper { destination, ..mapper() };
        mapper.text(Chunk::whole(named)).unwrap();
        let row: serde_json::Value = serde_json::from_slice(&mapper.output).unwrap();
        assert_eq!(row["request"]["body"][0]["contextKeys"], serde_json::json!({"user": "d"}));
    }

    #[test]
    fn a_bad_line_is_one_row_and_costs_no_other() {
        assert_eq!(
            mapped(&format!("{A}\nnot json\n{B}\n{}\n{A}\n{B} x\n7\n{B}", A.replace("\"u\"}", "\"u"))),
            [
                "0 a",
                "1 f, line 2, byte 1: it is not JSON: expected a JSON value",
                "2 b",
                "3 f, line 4, byte 40: it is not JSON: the text ends in the middle of a value",
                "4 a",
                "5 f, line 6, byte 42: it is not JSON: more text follows the value",
                "6 f, line 7, byte 1: expected a Segment event, which is an object, and found a number",
                "7 b",
            ]
        );
        let deep = format!("{{\"type\":\"track\",\"x\":{}{}}}", "[".repeat(150), "]".repeat(150));
        assert_eq!(mapped(&format!("{deep}\n{A}")), ["0 the JSON is nested more than 128 deep", "1 a"]);
    }

    #[test]
    fn a_broken_value_over_several_lines_ends_where_it_seems_to() {
        let broken = "{\n  \"type\": \"track\",\n  \"event\": oops\n}";
        assert_eq!(
            mapped(&format!("{broken}\n{A}\n{{\"type\":\n{B}")),
            [
                "0 f, line 3, byte 12: it is not JSON: expected a JSON value",
                "1 a",
                "2 f, line 7, byte 42: it is not JSON: the text ends in the middle of a value",
                "3 b",
            ]
        );
    }
}
