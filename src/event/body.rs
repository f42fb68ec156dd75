//! From a request to the text of its body, and from text to items.

use super::wrapped::{self, Page};
use super::{Item, Unreadable, decode};
use crate::envelope::{BodyLoss, Envelope, GZIP_MAGIC};
use crate::json::{Value, Walker};
use crate::segment::door::Door;
use crate::segment::posted::{self, Batch, Posted};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

/// Decompressed bodies are inspected up to this size.
pub const MAX_DECODED_BYTES: u64 = 100 * 1024 * 1024;
/// … and up to this many times their size on the wire, past the first MiB: a real batch of events deflates ten to
/// thirty times, a bomb a thousand times.
pub const MAX_RATIO: u64 = 200;

/// Events of one request that are inspected, ten times what an SDK puts into one. Each costs memory for as long as the
/// session remembers it, and a body of 10 MiB could be five million of them.
pub const MAX_BATCH_EVENTS: usize = 100_000;
/// How often, in one text, the next event is sought in what a damaged one swallowed. Each time the rest of the text is
/// walked through, so without a limit a text made for it would take quadratic time.
const SEARCHES: u32 = 16;

/// What a path says about the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route<'a> {
    /// The client-side id in the path (browser, edge and GIF endpoints).
    pub client_side_id: Option<&'a str>,
    /// The `d` parameter of a GIF request, still encoded.
    pub gif_data: Option<&'a str>,
    /// The door of Segment's it is.
    pub door: Option<Door>,
}

impl<'a> Route<'a> {
    /// Reads a path with its query. Any prefix is allowed: SDKs keep the one of their events URI.
    pub fn of(path: &'a str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut segments = path.rsplit('/').filter(|segment| !segment.is_empty());
        let (last, before) = (segments.next().unwrap_or(""), segments.next().unwrap_or(""));
        if let (Some(id), "a") = (last.strip_suffix(".gif"), before) {
            let data = query.split('&').find_map(|pair| pair.strip_prefix("d="));
            return Self { client_side_id: Some(id), gif_data: Some(data.unwrap_or("")), door: None };
        }
        let under_events = matches!(before, "bulk" | "diagnostic") && segments.next() == Some("events");
        let client_side_id = under_events.then_some(last);
        let door = if under_events { None } else { Door::of(path) };
        Self { client_side_id, gif_data: None, door }
    }
}

/// Why a body has no text. The envelope keeps its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It was too large to keep.
    #[error(
        "the body is too large to inspect: {bytes} bytes, limit {limit}; it was answered and forwarded all the same"
    )]
    TooLarge {
        /// Bytes seen.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The sender went away.
    #[error("the sender closed the connection after {received} bytes{}", announced.map(|bytes| format!(" of {bytes}")).unwrap_or_default())]
    Closed {
        /// Bytes received.
        received: u64,
        /// Bytes announced.
        announced: Option<u64>,
    },
    /// A gzip stream that grows past the limits.
    #[error(
        "the body grows past {limit} bytes when it is decompressed ({wire_bytes} bytes on the wire); inspection stopped there"
    )]
    Bomb {
        /// Bytes on the wire.
        wire_bytes: u64,
        /// The limit that was met.
        limit: u64,
    },
    /// A gzip stream that is cut off or damaged.
    #[error("the gzip stream is damaged after {decoded} decompressed bytes: {detail}")]
    Gzip {
        /// Bytes that came out before.
        decoded: u64,
        /// What the decompressor says.
        detail: String,
    },
    /// An encoding exptap does not decompress.
    #[error("the body is encoded as {encoding}, which no LaunchDarkly SDK sends; only gzip is decompressed")]
    Encoding {
        /// `Content-Encoding`.
        encoding: String,
    },
    /// A GIF request without readable data.
    #[error("the d parameter of the GIF request is not base64 of UTF-8 text")]
    Gif,
}

/// The text of a request's body: decompressed, decoded from a GIF's query, with what is not UTF-8 replaced.
///
/// The gzip header decides, not `Content-Encoding`: proxies strip or add the header, and a body that lies about
/// itself should still be shown.
///
/// # Errors
/// Why there is no text.
pub fn text(envelope: &Envelope) -> Result<Cow<'_, str>, BodyFault> {
    match envelope.loss {
        Some(BodyLoss::TooLarge { bytes, limit }) => return Err(BodyFault::TooLarge { bytes, limit }),
        Some(BodyLoss::Closed { received, announced }) => return Err(BodyFault::Closed { received, announced }),
        None => {}
    }
    if let Some(data) = Route::of(&envelope.path).gif_data {
        return gif(data).map(Cow::Owned).ok_or(BodyFault::Gif);
    }
    let body = envelope.body.as_ref();
    if body.starts_with(&GZIP_MAGIC) {
        let decoded = gunzip(body)?;
        let text = String::from_utf8(decoded);
        return Ok(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()).into());
    }
    if let (None, Some(encoding)) = (&envelope.decoded_from, envelope.header("content-encoding"))
        && !matches!(encoding.trim().to_ascii_lowercase().as_str(), "" | "identity" | "gzip" | "x-gzip")
    {
        return Err(BodyFault::Encoding { encoding: encoding.to_owned() });
    }
    let text = String::from_utf8_lossy(body);
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        owned @ Cow::Owned(_) => owned,
    })
}

/// The body without its encoding, where nothing was lost and nothing has to be replaced: what a recording may keep
/// in place of the bytes. With it the encoding that was taken off.
pub fn exact_text(envelope: &Envelope) -> Option<(Cow<'_, str>, Option<&str>)> {
    if envelope.loss.is_some() {
        return None;
    }
    let body = envelope.body.as_ref();
    if body.starts_with(&GZIP_MAGIC) {
        let decoded = String::from_utf8(gunzip(body).ok()?).ok()?;
        return Some((Cow::Owned(decoded), Some("gzip")));
    }
    let text = std::str::from_utf8(body).ok()?;
    // A body in an encoding that is not taken off, but happens to be text, must be refused again when it is read.
    let encoding = envelope.header("content-encoding").map(str::trim);
    let is_plain = matches!(encoding, None | Some("" | "identity" | "gzip" | "x-gzip"));
    (is_plain || envelope.decoded_from.is_some()).then_some((Cow::Borrowed(text), envelope.decoded_from.as_deref()))
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, BodyFault> {
    let wire_bytes = body.len() as u64;
    let limit = MAX_DECODED_BYTES.min((wire_bytes * MAX_RATIO).max(1024 * 1024));
    let mut decoded = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut decoded);
    if let Err(error) = read {
        return Err(BodyFault::Gzip { decoded: decoded.len() as u64, detail: error.to_string() });
    }
    if decoded.len() as u64 > limit {
        return Err(BodyFault::Bomb { wire_bytes, limit });
    }
    Ok(decoded)
}

/// Standard and url-safe base64, with or without padding; percent-encoded or not.
fn gif(data: &str) -> Option<String> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let mut plain = Vec::with_capacity(data.len());
    let mut bytes = data.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'-' => b'+',
            b'_' => b'/',
            // A decoder before us may have read '+' as a space.
            b' ' => b'+',
            other => other,
        });
    }
    String::from_utf8(ENGINE.decode(plain).ok()?).ok()
}

/// Reads the items of a text: an array of events, one event, or several in a row, as a file has them.
///
/// One bad element of an array costs only itself; one bad line of a file costs only itself.
pub fn items<'a>(text: &'a str, visit: impl FnMut(Item<'a>)) {
    walk(text, usize::MAX, None, visit);
}

/// Reads the items of a request, which came to a door of Segment's or to none. What comes after [`MAX_BATCH_EVENTS`] is
/// one unreadable item.
pub fn batch<'a>(text: &'a str, door: Option<Door>, visit: impl FnMut(Item<'a>)) {
    walk(text, MAX_BATCH_EVENTS, door, visit);
}

/// What reading one text may still cost.
struct Allowance {
    items: usize,
    searches: u32,
    /// A page in a page is none: reading them would cost more the deeper they are nested.
    is_in_page: bool,
    /// Everything is Segment's.
    door: Option<Door>,
}

impl Allowance {
    /// Takes one item; false where none is left, and then the rest of the text is visited as one.
    fn take<'a>(&mut self, text: &'a str, walker: &mut Walker<'a>, visit: &mut impl FnMut(Item<'a>)) -> bool {
        if let Some(left) = self.items.checked_sub(1) {
            self.items = left;
            return true;
        }
        let offset = walker.offset();
        let bytes = text.len() - offset;
        let reason =
            format!("a request has at most {MAX_BATCH_EVENTS} events; what follows, {bytes} bytes, was not inspected");
        visit(Item::Unreadable(Unreadable { reason, offset, range: offset..text.len() }));
        *walker = Walker::at(text, text.len());
        false
    }
}

fn walk<'a>(text: &'a str, items: usize, door: Option<Door>, mut visit: impl FnMut(Item<'a>)) {
    let mut walker = Walker::new(text);
    let mut allowance = Allowance { items, searches: SEARCHES, is_in_page: false, door };
    while let Some(byte) = walker.next_byte() {
        if byte == b'[' {
            array(text, &mut walker, &mut allowance, &mut visit);
        } else if !allowance.take(text, &mut walker, &mut visit) {
            return;
        } else if let Err((start, offset, reason)) = element(text, &mut walker, &mut allowance, &mut visit) {
            let end = line_end(text, start);
            visit(Item::Unreadable(Unreadable { reason, offset, range: start..end }));
            walker = Walker::at(text, end);
        }
    }
}

/// One value that should be an event, or a page of them. A fault of the JSON is given back with where the value
/// starts, where the fault is, and what it is.
fn element<'a>(
    text: &'a str,
    walker: &mut Walker<'a>,
    allowance: &mut Allowance,
    visit: &mut impl FnMut(Item<'a>),
) -> Result<(), (usize, usize, String)> {
    let is_object = walker.next_byte() == Some(b'{');
    let start = walker.offset();
    let not_json = |fault: crate::json::Fault| (start, fault.offset, format!("it is not JSON: {}", fault.what));
    let reason = if is_object && allowance.door.is_none() {
        match decode::event(walker).map_err(not_json)? {
            Ok(event) => {
                visit(Item::Event { event, offset: start });
                return Ok(());
            }
            Err(reason) => reason,
        }
    } else {
        let found = walker.value().map_err(not_json)?.kind();
        format!("expected an event, which is an object, and found {found}")
    };
    // Out of the way of LaunchDarkly's own events.
    if !is_object || !other_object(text, start..walker.offset(), allowance, visit) {
        visit(Item::Unreadable(Unreadable { reason, offset: start, range: start..walker.offset() }));
    }
    Ok(())
}

/// An object that is no event of LaunchDarkly's: a page of them, or something of Segment's. False: neither.
#[cold]
fn other_object<'a>(
    text: &'a str,
    range: Range<usize>,
    allowance: &mut Allowance,
    visit: &mut impl FnMut(Item<'a>),
) -> bool {
    let raw = text.get(range.clone()).unwrap_or_default();
    if allowance.door.is_none()
        && !allowance.is_in_page
        && let Some(page) = wrapped::page(raw)
    {
        if let Page::Events(at) = page {
            allowance.is_in_page = true;
            array(text, &mut Walker::at(text, range.start + at), allowance, visit);
            allowance.is_in_page = false;
        }
        return true;
    }
    match posted::look(raw, range.start, allowance.door) {
        Some(posted::Object::Event(posted)) => segment_event(posted, visit),
        Some(posted::Object::Batch(shared, at)) => segment_batch(text, at, shared, allowance, visit),
        None => return false,
    }
    true
}

/// The events of a batch of Segment's. Its JSON is well-formed: Segment takes a batch whole or not at all.
fn segment_batch<'a>(
    text: &'a str,
    at: usize,
    shared: Batch<'a>,
    allowance: &mut Allowance,
    visit: &mut impl FnMut(Item<'a>),
) {
    let is_raw = allowance.door.is_some_and(Door::is_tracking);
    let mut walker = Walker::at(text, at);
    walker.take(b'[');
    while walker.next_byte().is_some_and(|byte| byte != b']') {
        let offset = walker.offset();
        if !allowance.take(text, &mut walker, visit) {
            return;
        }
        match walker.value() {
            Ok(Value::Object(raw)) => {
                segment_event(Posted { raw, offset, call: None, batch: shared.clone(), is_raw }, visit);
            }
            Ok(other) => {
                let reason = format!("expected a Segment event, which is an object, and found {}", other.kind());
                visit(Item::Unreadable(Unreadable { reason, offset, range: offset..walker.offset() }));
            }
            Err(_) => return,
        }
        walker.take(b',');
    }
}

/// LaunchDarkly's own events come by Segment too, where its Data Export sends them there.
fn segment_event<'a>(posted: Posted<'a>, visit: &mut impl FnMut(Item<'a>)) {
    match wrapped::exported_to_segment(posted.raw) {
        Some(Ok(event)) => visit(Item::Event { event, offset: posted.offset }),
        Some(Err(reason)) => {
            visit(Item::Unreadable(Unreadable { reason, offset: posted.offset, range: posted.range() }));
        }
        None => visit(Item::Segment(posted)),
    }
}

/// An array of events. What is damaged is left out up to where the next event plausibly begins: after the comma or
/// bracket that ends the damaged element; on the next line, where each line has a batch of its own and this one is
/// cut off; or at a complete event further on, where quotes are so mixed up that no end can be found.
fn array<'a>(text: &'a str, walker: &mut Walker<'a>, allowance: &mut Allowance, visit: &mut impl FnMut(Item<'a>)) {
    let line_end = end_of_batch_line(text, walker.offset());
    walker.take(b'[');
    if walker.take(b']') {
        return;
    }
    loop {
        walker.next_byte();
        if !allowance.take(text, walker, visit) {
            return;
        }
        // Where a damaged batch ends at the latest.
        let end = line_end.filter(|end| walker.offset() <= *end);
        let mut last_was_bad = false;
        if let Err((start, offset, reason)) = element(text, walker, allowance, visit) {
            last_was_bad = true;
            let found = walker.step_over_bad_element(start, end.unwrap_or(text.len()));
            if !found && end.is_none() && allowance.searches > 0 {
                allowance.searches -= 1;
                if let Some(next) = next_event(text, offset) {
                    *walker = Walker::at(text, next);
                }
            }
            let offset = offset.min(walker.offset());
            visit(Item::Unreadable(Unreadable { reason, offset, range: start..walker.offset() }));
            if !found && end.is_some() {
                return;
            }
        }
        if walker.take(b',') {
            continue;
        }
        if walker.take(b']') {
            return;
        }
        let offset = walker.offset();
        let is_cut_off = end.is_some_and(|end| offset > end);
        if is_cut_off || walker.is_at_end() {
            if !last_was_bad {
                let reason = "the array of events is not closed".to_owned();
                let offset = end.unwrap_or(offset).min(offset);
                visit(Item::Unreadable(Unreadable { reason, offset, range: offset..offset }));
            }
            return;
        }
        // Where only the comma is missing, the event behind it is whole.
        if walker.next_byte() != Some(b'{') {
            walker.step_over_bad_element(offset, text.len());
        }
        let reason = "expected ',' or ']' between events".to_owned();
        visit(Item::Unreadable(Unreadable { reason, offset, range: offset..walker.offset() }));
        if walker.is_at_end() || walker.take(b']') {
            return;
        }
        walker.take(b',');
    }
}

/// The end of the line a batch begins on, if another value begins at the very start of the next one: where each line
/// has a batch, a damaged one must not take the next with it.
fn end_of_batch_line(text: &str, start: usize) -> Option<usize> {
    let end = line_end(text, start);
    matches!(text.as_bytes().get(end + 1), Some(b'[' | b'{')).then_some(end)
}

/// The comma before the next complete event, looked for in what a damaged one seems to have swallowed.
fn next_event(text: &str, from: usize) -> Option<usize> {
    /// Far enough for any honest event.
    const WINDOW_BYTES: usize = 64 * 1024;
    /// Where none of so many objects is an event, what follows is damaged too.
    const TRIES: usize = 64;
    let window = text.get(..text.floor_char_boundary(from.saturating_add(WINDOW_BYTES)))?;
    let is_event = |comma: &usize| {
        let mut walker = Walker::at(window, comma + 1);
        matches!(decode::event(&mut walker), Ok(Ok(_)))
    };
    let commas = memchr::memchr_iter(b',', window.as_bytes().get(from..)?).map(|comma| from + comma);
    commas.filter(|comma| Walker::at(window, comma + 1).next_byte() == Some(b'{')).take(TRIES).find(is_event)
}

fn line_end(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |found| from + found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn envelope(path: &str, body: impl Into<Bytes>) -> Envelope {
        let body = body.into();
        Envelope {
            arrival_ms: 1,
            request: 1,
            method: "POST".to_owned(),
            path: path.to_owned(),
            wire_bytes: body.len() as u64,
            body,
            ..Envelope::default()
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(text: &str) -> Vec<String> {
        let mut read = Vec::new();
        items(text, |item| {
            read.push(match item {
                Item::Event { event, offset } => format!("{} {}", event.kind_name, offset),
                Item::Segment(posted) => format!("segment {}", posted.offset),
                Item::Unreadable(bad) => format!("bad {} {:?} {}", bad.offset, bad.range, bad.reason),
            });
        });
        read
    }

    #[test]
    fn paths_with_any_prefix_are_understood() {
        assert_eq!(Route::of("/bulk").client_side_id, None);
        assert_eq!(Route::of("/pre/events/bulk/abc123?x=1").client_side_id, Some("abc123"));
        assert_eq!(Route::of("/events/diagnostic/abc123/").client_side_id, Some("abc123"));
        assert_eq!(Route::of("/mobile/events/bulk").client_side_id, None);
        let gif = Route::of("/events/bulk/id1/a/id1.gif?d=W10&v=2");
        assert_eq!((gif.client_side_id, gif.gif_data), (Some("id1"), Some("W10")));
    }

    #[test]
    fn a_gif_request_carries_its_batch_in_every_spelling_of_base64() {
        let batch = r#"[{"kind":"alias","key":"?>~"}]"#;
        let standard = base64::engine::general_purpose::STANDARD.encode(batch);
        let safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(batch);
        for data in [standard.clone(), safe, standard.replace('+', "%2B").replace('=', "%3D")] {
            let envelope = envelope(&format!("/a/id.gif?d={data}"), "");
            assert_eq!(text(&envelope).unwrap(), batch, "{data}");
        }
        assert_eq!(text(&envelope("/a/id.gif?d=%zz", "")), Err(BodyFault::Gif));
    }

    #[test]
    fn gzip_is_recognised_by_its_bytes_whatever_the_header_says() {
        let mut plain_called_gzip = envelope("/bulk", "[]");
        plain_called_gzip.headers.push(("content-encoding".into(), "gzip".into()));
        assert_eq!(text(&plain_called_gzip).unwrap(), "[]");
        assert_eq!(text(&envelope("/bulk", gzip(b"[]"))).unwrap(), "[]");
        let mut brotli = envelope("/bulk", "..");
        brotli.headers.push(("content-encoding".into(), "br".into()));
        assert_eq!(text(&brotli), Err(BodyFault::Encoding { encoding: "br".into() }));
    }

    #[test]
    fn a_damaged_or_bursting_gzip_stream_says_so() {
        let mut cut = gzip(b"[1,2,3,4,5,6,7,8,9]");
        cut.truncate(cut.len() - 9);
        assert!(matches!(text(&envelope("/bulk", cut)), Err(BodyFault::Gzip { .. })));
        let mut wrong_sum = gzip(b"[1,2,3]");
        let at = wrong_sum.len() - 6;
        if let Some(byte) = wrong_sum.get_mut(at) {
            *byte ^= 1;
        }
        assert!(matches!(text(&envelope("/bulk", wrong_sum)), Err(BodyFault::Gzip { .. })));
        let bomb = gzip(&vec![b' '; 20 * 1024 * 1024]);
        assert!(matches!(text(&envelope("/bulk", bomb)), Err(BodyFault::Bomb { .. })));
    }

    #[test]
    fn one_bad_event_spoils_no_other() {
        assert_eq!(
            read(r#"[{"kind":"index"},{"kind":"custom",,"key":"}"},7,{"kind":"custom"},{"kind":"identify"}]"#),
            [
                "index 1",
                "bad 35 18..46 it is not JSON: expected a member name in quotes",
                "bad 47 47..48 expected an event, which is an object, and found a number",
                "bad 49 49..66 it has no key",
                "identify 67",
            ]
        );
    }

    #[test]
    fn a_truncated_batch_gives_what_came_before_the_cut() {
        assert_eq!(
            read(r#"[{"kind":"index"},{"kind":"cust"#),
            ["index 1", "bad 31 18..31 it is not JSON: the text ends in the middle of a value"]
        );
        assert_eq!(read(r#"[{"kind":"index"}"#), ["index 1", "bad 17 17..17 the array of events is not closed"]);
        assert_eq!(
            read(r#"[{"kind":"index"} {"kind":"index"}]"#),
            ["index 1", "bad 18 18..18 expected ',' or ']' between events", "index 18"]
        );
        assert_eq!(
            read(r#"[{"kind":"index"}}, {"kind":"index"}]"#),
            ["index 1", "bad 17 17..18 expected ',' or ']' between events", "index 20"]
        );
    }

    #[test]
    fn a_quote_too_many_costs_one_event_and_not_the_rest_of_the_batch() {
        assert_eq!(
            read(r#"[{"kind":"identify","key":"6" nails"},{"kind":"index"},{"kind":"alias"}]"#),
            ["bad 30 1..37 it is not JSON: expected ',' or '}'", "index 38", "alias 55"]
        );
    }

    #[test]
    fn a_batch_that_is_cut_off_at_the_end_of_its_line_leaves_the_next_lines_alone() {
        assert_eq!(
            read(
                "[{\"kind\":\"index\"},{\"kind\":\"al\n[{\"kind\":\"index\"}\n[{\"kind\":\"alias\"}]\n{\"kind\":\"alias\"}\n"
            ),
            [
                "index 1",
                "bad 29 18..29 it is not JSON: a control character stands unescaped in a string",
                "index 31",
                "bad 47 47..47 the array of events is not closed",
                "alias 49",
                "alias 67",
            ]
        );
    }

    #[test]
    fn a_request_of_too_many_events_is_read_up_to_the_limit_and_the_rest_is_one_unreadable_item() {
        let count = |events: usize, end: &str| {
            let text = format!("[{}{end}", r#"{"kind":"index"},"#.repeat(events));
            let (mut read, mut unreadable) = (0, Vec::new());
            batch(&text, None, |item| match item {
                Item::Event { .. } | Item::Segment(_) => read += 1,
                Item::Unreadable(bad) => unreadable.push(bad.reason),
            });
            (read, unreadable)
        };
        let last = r#"{"kind":"alias"}]"#;
        assert_eq!(count(MAX_BATCH_EVENTS - 1, last), (MAX_BATCH_EVENTS, vec![]));
        let rest = "a request has at most 100000 events; what follows, 34 bytes, was not inspected".to_owned();
        assert_eq!(count(MAX_BATCH_EVENTS + 1, last), (MAX_BATCH_EVENTS, vec![rest]));
    }

    #[test]
    fn a_text_made_to_be_searched_again_and_again_is_given_up() {
        let text = r#"[{"a":{{{{ ,{"kind":"index"}]"#.repeat(50_000);
        let (mut read, mut unreadable) = (0_u32, 0_u32);
        items(&text, |item| match item {
            Item::Event { .. } | Item::Segment(_) => read += 1,
            Item::Unreadable(_) => unreadable += 1,
        });
        assert_eq!((read, unreadable), (SEARCHES, SEARCHES + 1));
    }

    #[test]
    fn lines_arrays_and_single_events_can_stand_in_a_row_and_a_bad_line_costs_only_itself() {
        assert_eq!(
            read("{\"kind\":\"index\"}\nnot json\n{\"kind\":\n{\"kind\":\"index\"}\n[{\"kind\":\"alias\"}]\n"),
            [
                "index 0",
                "bad 17 17..25 it is not JSON: expected a JSON value",
                "bad 52 26..34 it is not JSON: expected ',' or '}'",
                "index 35",
                "alias 53",
            ]
        );
        assert_eq!(read("").len(), 0);
    }

    #[test]
    fn text_that_is_not_utf8_is_still_shown() {
        let envelope = envelope("/bulk", &b"[{\"kind\":\"custom\",\"creationDate\":1,\"key\":\"\xff\"}]"[..]);
        assert_eq!(text(&envelope).unwrap(), "[{\"kind\":\"custom\",\"creationDate\":1,\"key\":\"\u{fffd}\"}]");
    }
}
