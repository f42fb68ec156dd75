//! Flag data on its way through: an SDK whose base and stream URIs lead here gets its flags from LaunchDarkly all the
//! same, byte for byte, and exptap reads along.
//!
//! ```text
//!  SDK ◀── body, piece by piece ──◀ LaunchDarkly
//!              └─ a copy of each piece ──▶ queue (bounded) ──▶ thread: unpack, read ──▶ FlagBoard
//! ```
//!
//! Reading along may never hold up an SDK, which waits for its flags before it serves anybody. So what is done with an
//! answer on its way is to count its bytes and to hand on a reference to them; unpacking and parsing, which takes tens of
//! milliseconds for the payload of a large environment, is the business of a thread that nobody waits for. Where it falls
//! behind, an answer is read no further, and the SDK gets all of it.

use super::answer::Asked;
use super::forward::{ForwardUrl, Outgoing, Upstream};
use super::handle::{Handler, now_ms, streaming_body};
use super::lifetime::{Lifetime, Phase};
use super::mask::{Authorized, safe_head};
use super::receive::Stream;
use super::status::Service;
use crate::bucketing::payload;
use crate::bucketing::seen::Seen;
use axum::body::Body;
use bytes::Bytes;
use flate2::write::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Incoming};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::Notify;

/// Bytes that may wait to be read.
const WAITING_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one payload, or of one message of a stream, unpacked. Environments of thousands of flags have some megabytes.
const PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of all answers together that are unpacked and not complete yet. Every SDK that connects gets the whole payload,
/// and many connect at a time.
const UNREAD_BYTES: usize = 2 * PAYLOAD_BYTES;
/// Room that is kept for the next message of a stream.
const ROOM_BYTES: usize = 16 * 1024;
/// Credentials whose latest payload is known.
const CREDENTIALS: usize = 1000;

/// Where flag data comes from.
pub(super) struct FlagUpstreams {
    pub(super) polling: Arc<Upstream>,
    pub(super) streaming: Arc<Upstream>,
    pub(super) reading: Along,
}

impl FlagUpstreams {
    fn of(&self, path: &str) -> &Arc<Upstream> {
        if is_stream(path) { &self.streaming } else { &self.polling }
    }
}

/// Whether a path is one of the hosts that stream.
fn is_stream(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    matches!(segments.as_slice(), ["all" | "flags" | "eval" | "meval" | "ping" | "mping", ..] | ["sdk", "stream", ..])
}

/// Whether the answer holds flags with their rollouts, as server SDKs get them. Client SDKs get results only.
fn is_for_servers(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    matches!(
        segments.as_slice(),
        ["all" | "flags"]
            | ["flags", _]
            | ["sdk", "latest-all" | "latest-flags" | "poll" | "stream"]
            | ["sdk", "latest-flags", _]
    )
}

/// Where LaunchDarkly streams, by where it answers polls: both hosts of one of its regions are named alike. Any other
/// address, such as a Relay Proxy's, does both.
pub(super) fn streaming_host(polling: &ForwardUrl) -> ForwardUrl {
    let text = polling.to_string();
    let (host, _) = polling.host_and_port();
    let is_launchdarkly = host.split('.').any(|label| label == "launchdarkly");
    let named = [("://sdk.", "://stream."), ("://clientsdk.", "://clientstream.")].into_iter();
    let streaming = named.filter(|(from, _)| is_launchdarkly && text.contains(from));
    let streaming = streaming.map(|(from, to)| text.replacen(from, to, 1)).next();
    streaming.and_then(|text| text.parse().ok()).unwrap_or_else(|| polling.clone())
}

/// Marks an answer that goes on for as long as both sides like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

impl Handler {
    /// Passes on a request for flag data, and its answer.
    pub(super) async fn flag_data(
        &self,
        upstreams: &FlagUpstreams,
        parts: Parts,
        body: Incoming,
        asked: Asked,
        mut lifetime: Lifetime,
    ) -> Response<Body> {
        let upstream = upstreams.of(parts.uri.path());
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let is_read = parts.method == Method::GET && is_for_servers(parts.uri.path());
        let head = safe_head(&target, &parts.headers, Authorized::Sdk);
        let credential = head.credential.map(|credential| credential.to_string()).unwrap_or_default();
        let is_empty = body.is_end_stream();
        let stream = Stream::passing(body, self.limits.idle);
        let body = if is_empty {
            Outgoing::Whole(Bytes::new())
        } else {
            Outgoing::Passing(streaming_body(stream, Arc::clone(&self.status)))
        };
        let sent = tokio::select! {
            sent = upstream.tee(parts.method, &target, parts.headers, body) => sent,
            () = lifetime.reached(Phase::Stopped) => Err("exptap was stopped before it answered".to_owned()),
        };
        match sent {
            Ok(response) => {
                self.status.upstream_answered(Service::Flags, response.status().as_u16());
                let copy = (is_read && response.status() == StatusCode::OK)
                    .then(|| upstreams.reading.begin(credential, &response))
                    .flatten();
                let (head, body) = response.into_parts();
                let is_stream = is_event_stream(head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()));
                let mut response = Response::from_parts(head, passed_on(body, copy, is_stream.then_some(lifetime)));
                if is_stream {
                    response.extensions_mut().insert(Endless);
                }
                response
            }
            Err(reason) => {
                let reason = format!("{} could not be reached: {reason}", upstream.url());
                let text = format!("exptap passes requests for flags on, and {reason}. SDKs try again by themselves.");
                self.status.upstream_failed(Service::Flags, now_ms(), reason);
                asked.sentence(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

fn is_event_stream(content_type: Option<&[u8]>) -> bool {
    content_type.is_some_and(|value| value.trim_ascii_start().to_ascii_lowercase().starts_with(b"text/event-stream"))
}

/// The answer on its way to the SDK. An answer of known length keeps it; a stream ends when the endpoint does, because
/// nothing else would end it.
fn passed_on(body: Incoming, copy: Option<Copying>, until: Option<Lifetime>) -> Body {
    if copy.is_none() && until.is_none() {
        return Body::new(body);
    }
    let frames = futures_util::stream::unfold((body, copy, until), async |(mut body, mut copy, mut until)| {
        let next = match &mut until {
            None => body.frame().await,
            Some(lifetime) => tokio::select! {
                biased;
                next = body.frame() => next,
                () = lifetime.reached(Phase::Draining) => None,
            },
        };
        let next = next?;
        if let (Some(copying), Ok(frame)) = (&mut copy, &next)
            && let Some(data) = frame.data_ref()
            && !copying.take(data)
        {
            copy = None;
        }
        Some((next, (body, copy, until)))
    });
    // A length that was announced stands in the head, and holds.
    Body::new(StreamBody::new(frames))
}

/// Reads along, on a thread of its own that ends when the endpoint is gone.
pub(super) struct Along {
    shared: Arc<Shared>,
}

struct Shared {
    board: Arc<FlagBoard>,
    pieces: Sender<(u64, Piece)>,
    next: AtomicU64,
    waiting: Arc<AtomicU64>,
}

enum Piece {
    Begin(Box<Copy>),
    Data(Bytes),
    End,
    /// It is not read any further.
    Abandoned,
}

/// An answer of which copies are taken.
struct Copying {
    number: u64,
    shared: Arc<Shared>,
    is_abandoned: bool,
}

impl Along {
    /// Starts to read along.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(board: Arc<FlagBoard>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (pieces, received) = mpsc::channel();
        let waiting = Arc::<AtomicU64>::default();
        let (for_thread, counter) = (Arc::clone(&board), Arc::clone(&waiting));
        let thread = std::thread::Builder::new()
            .name("flags".to_owned())
            .spawn(move || read_along(&received, Unread::new(UNREAD_BYTES), &for_thread, &counter))?;
        Ok((Self { shared: Arc::new(Shared { board, pieces, next: AtomicU64::new(0), waiting }) }, thread))
    }

    fn begin(&self, credential: String, response: &Response<Incoming>) -> Option<Copying> {
        let header = |name| response.headers().get(name).map(|value: &http::HeaderValue| value.as_bytes());
        let encoding = header(CONTENT_ENCODING).unwrap_or_default().to_ascii_lowercase();
        let packing = match encoding.as_slice() {
            b"" | b"identity" => Packing::None,
            b"gzip" | b"x-gzip" => Packing::Gzip(Box::new(GzDecoder::new(Vec::new()))),
            other => {
                let name = String::from_utf8_lossy(other).into_owned();
                self.shared.board.fault(format!("they came packed as {name}, which exptap does not unpack"));
                return None;
            }
        };
        let is_stream = is_event_stream(header(CONTENT_TYPE));
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let copy = Copy::new(credential, packing, is_stream);
        self.shared.pieces.send((number, Piece::Begin(Box::new(copy)))).ok()?;
        Some(Copying { number, shared: Arc::clone(&self.shared), is_abandoned: false })
    }
}

impl Copying {
    /// Hands on a reference to some bytes; false where there is no room for more, and this answer is not read.
    fn take(&mut self, data: &Bytes) -> bool {
        let length = data.len() as u64;
        let waiting = self.shared.waiting.fetch_add(length, Ordering::Relaxed) + length;
        if waiting > WAITING_BYTES {
            self.shared.waiting.fetch_sub(length, Ordering::Relaxed);
            self.is_abandoned = true;
            return false;
        }
        self.shared.pieces.send((self.number, Piece::Data(data.clone()))).is_ok()
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let last = if self.is_abandoned { Piece::Abandoned } else { Piece::End };
        // The thread is gone only where the process is.
        let _ = self.shared.pieces.send((self.number, last));
    }
}

/// An answer as far as it has come.
struct Copy {
    credential: String,
    packing: Packing,
    is_stream: bool,
    /// Unpacked, and not read yet: of a stream the message under way.
    text: Vec<u8>,
    /// Where its last line begins, and how far it was looked for an end: a message of megabytes comes in many pieces.
    line: usize,
    scanned: usize,
}

enum Packing {
    None,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

fn read_along(pieces: &Receiver<(u64, Piece)>, mut unread: Unread, board: &FlagBoard, waiting: &AtomicU64) {
    while let Ok((number, piece)) = pieces.recv() {
        let length = if let Piece::Data(data) = &piece { data.len() as u64 } else { 0 };
        unread.take(number, piece, board);
        waiting.fetch_sub(length, Ordering::Relaxed);
    }
}

/// The answers under way.
struct Unread {
    copies: HashMap<u64, Box<Copy>>,
    /// Bytes they take together.
    bytes: usize,
    limit: usize,
}

impl Unread {
    fn new(limit: usize) -> Self {
        Self { copies: HashMap::new(), bytes: 0, limit }
    }

    fn take(&mut self, number: u64, piece: Piece, board: &FlagBoard) {
        match piece {
            Piece::Begin(copy) => {
                self.copies.insert(number, copy);
            }
            Piece::Data(data) => {
                let Some(copy) = self.copies.get_mut(&number) else { return };
                let before = copy.text.capacity();
                let mut taken = copy.take(&data, board);
                self.bytes = self.bytes.saturating_sub(before) + copy.text.capacity();
                if taken.is_ok() && self.bytes > self.limit {
                    taken = Err(format!("more than {} MiB of them came at a time", self.limit / 1024 / 1024));
                }
                if let Err(fault) = taken {
                    board.fault(fault);
                    self.remove(number);
                }
            }
            Piece::End => {
                if let Some(copy) = self.remove(number) {
                    copy.end(board);
                }
            }
            Piece::Abandoned => {
                if self.remove(number).is_some() {
                    board.fault("they came faster than they could be read".to_owned());
                }
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Box<Copy>> {
        let copy = self.copies.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(copy.text.capacity());
        Some(copy)
    }
}

impl Copy {
    fn new(credential: String, packing: Packing, is_stream: bool) -> Self {
        Self { credential, packing, is_stream, text: Vec::new(), line: 0, scanned: 0 }
    }

    fn take(&mut self, data: &[u8], board: &FlagBoard) -> Result<(), String> {
        match &mut self.packing {
            Packing::None => self.text.extend_from_slice(data),
            Packing::Gzip(decoder) => {
                // In small steps: a few bytes may unpack to very many.
                for part in data.chunks(1024) {
                    decoder
                        .write_all(part)
                        .and_then(|()| decoder.flush())
                        .map_err(|error| format!("they cannot be unpacked: {error}"))?;
                    // Its room is given back: a few bytes may have unpacked to very many.
                    self.text.extend_from_slice(&std::mem::take(decoder.get_mut()));
                    if self.text.len() > PAYLOAD_BYTES {
                        break;
                    }
                }
            }
        }
        if self.is_stream {
            self.messages(board);
        }
        if self.text.len() > PAYLOAD_BYTES {
            return Err(format!("they are larger than {} MiB", PAYLOAD_BYTES / 1024 / 1024));
        }
        Ok(())
    }

    /// Reads the messages that are complete: each ends with an empty line.
    fn messages(&mut self, board: &FlagBoard) {
        let mut read = 0;
        while let Some(ahead) = self.text.get(self.scanned..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let end = self.scanned + ahead;
            let is_empty = matches!(self.text.get(self.line..end), Some(b"" | b"\r"));
            self.scanned = end + 1;
            self.line = self.scanned;
            if is_empty {
                let message = self.text.get(read..end).unwrap_or_default();
                // Heartbeats are comments, and have nothing to read in them.
                if message.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"data:")) {
                    board.take(&self.credential, message);
                }
                read = self.scanned;
            }
        }
        self.text.drain(..read);
        if read > 0 && self.text.len() < ROOM_BYTES {
            // A stream stays open for days, and the payload it began with was the largest of its messages.
            self.text.shrink_to(ROOM_BYTES);
        }
        self.line -= read;
        self.scanned = self.text.len();
    }

    fn end(&self, board: &FlagBoard) {
        // A message that has no end was not sent whole, and counts for nothing (as SDKs have it).
        if !self.is_stream && !self.text.is_empty() {
            board.take(&self.credential, &self.text);
        }
    }
}

/// What is known of the flags that passed by. Shared; reading it holds nobody up for long.
#[derive(Debug, Default)]
pub struct FlagBoard {
    known: Mutex<FlagsKnown>,
    /// The latest payload of each credential, by its hash. All SDKs of an environment get the same.
    latest: Mutex<HashMap<String, [u8; 32]>>,
    changed: Notify,
}

/// What is known of the flags that passed by.
#[derive(Clone, Debug, Default)]
pub struct FlagsKnown {
    /// The flags.
    pub seen: Seen,
    /// Payloads and messages that held flags.
    pub payloads: u64,
    /// When the latest came, epoch ms.
    pub latest_ms: Option<i64>,
    /// Why the latest that could not be read could not.
    pub fault: Option<String>,
}

impl FlagBoard {
    fn lock(&self) -> MutexGuard<'_, FlagsKnown> {
        // What is changed under this lock is right at any moment, so a poisoned one is too.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a payload, or a message of a stream, that was answered to a credential. False: it is the latest one once
    /// more, and was not read again.
    fn take(&self, credential: &str, text: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(text).into();
        if self.latest().get(credential) == Some(&hash) {
            let mut known = self.lock();
            known.payloads += 1;
            known.latest_ms = Some(now_ms());
            return false;
        }
        let text = String::from_utf8_lossy(text);
        let text = if text.contains('\r') { Cow::Owned(text.replace('\r', "")) } else { text };
        let mut payload = payload::read(&text);
        let fault = payload.faults.drain(..).next();
        let is_empty = payload.flags.is_empty();
        let mut known = self.lock();
        let is_news = known.seen.take(credential, payload);
        let mut latest = self.latest();
        if fault.is_some() || is_empty {
            // Its fault is told as often as it comes.
            latest.remove(credential);
        } else if latest.len() < CREDENTIALS || latest.contains_key(credential) {
            latest.insert(credential.to_owned(), hash);
        }
        drop(latest);
        if !is_empty {
            known.payloads += 1;
            known.latest_ms = Some(now_ms());
        }
        if fault.is_some() {
            known.fault = fault;
        }
        drop(known);
        if is_news {
            self.changed.notify_one();
        }
        true
    }

    fn latest(&self) -> MutexGuard<'_, HashMap<String, [u8; 32]>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, why: String) {
        self.lock().fault = Some(format!("flags passed by unread: {why}"));
    }

    /// All that is known now.
    pub fn known(&self) -> FlagsKnown {
        self.lock().clone()
    }

    /// How many flags were seen, how many of them run an experiment, how many payloads they came in, when the latest
    /// came, and the latest fault.
    pub fn figures(&self) -> FlagFigures {
        let known = self.lock();
        let (flags, experiments) = known.seen.counts();
        FlagFigures {
            flags,
            experiments,
            payloads: known.payloads,
            latest_ms: known.latest_ms,
            fault: known.fault.clone(),
        }
    }

    /// Waits until what may be judged by is another.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// What passed by, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagFigures {
    /// Flags seen.
    pub flags: usize,
    /// Those of them that run an experiment.
    pub experiments: usize,
    /// Payloads and messages that held flags.
    pub payloads: u64,
    /// When the latest came, epoch ms.
    pub latest_ms: Option<i64>,
    /// Why the latest that could not be read could not.
    pub fault: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &str = "event: put\r\ndata: {\"path\": \"/\", \"data\": {\"flags\": {\"cta\": {\"on\": true,\r\ndata:  \"fallthrough\": {\"variation\": 0}}}}}\r\n\r\n";

    fn copy(is_stream: bool, packing: Packing) -> Copy {
        Copy::new("sdk-…1".to_owned(), packing, is_stream)
    }

    #[test]
    fn a_stream_is_read_message_by_message_however_it_is_cut() {
        let text = format!(":hello\n\n{PUT}:heartbeat\n\n");
        for at in 0..text.len() {
            let board = FlagBoard::default();
            let mut copy = copy(true, Packing::None);
            let (front, back) = text.as_bytes().split_at(at);
            assert_eq!(copy.take(front, &board).and_then(|()| copy.take(back, &board)), Ok(()));
            let figures = board.figures();
            assert_eq!((figures.flags, figures.payloads, figures.fault), (1, 1, None), "cut at {at}");
        }
        let board = FlagBoard::default();
        let mut unended = copy(true, Packing::None);
        assert_eq!(unended.take(PUT.trim_end().as_bytes(), &board), Ok(()));
        unended.end(&board);
        assert_eq!(board.figures().payloads, 0, "a message without its end is none");
    }

    #[test]
    fn what_is_packed_is_read_and_what_unpacks_without_end_is_given_up() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let packed = encoder.write_all(PUT.as_bytes()).and_then(|()| encoder.finish());
        let board = FlagBoard::default();
        let mut packed_stream = copy(true, Packing::Gzip(Box::new(GzDecoder::new(Vec::new()))));
        assert_eq!(packed_stream.take(&packed.unwrap_or_default(), &board), Ok(()));
        assert_eq!(board.figures().flags, 1);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let bomb = encoder.write_all(&vec![b' '; PAYLOAD_BYTES + 2]).and_then(|()| encoder.finish());
        let mut bombed = copy(false, Packing::Gzip(Box::new(GzDecoder::new(Vec::new()))));
        assert_eq!(bombed.take(&bomb.unwrap_or_default(), &board), Err("they are larger than 64 MiB".to_owned()));
        assert!(bombed.text.len() < PAYLOAD_BYTES + 4 * 1024 * 1024, "it is given up where it is too large");
        let mut broken = copy(false, Packing::Gzip(Box::new(GzDecoder::new(Vec::new()))));
        assert!(broken.take(b"this is not gzip", &board).is_err_and(|why| why.starts_with("they cannot be unpacked")));
    }

    #[test]
    fn an_open_stream_keeps_no_room_of_the_payload_it_began_with() {
        let large =
            format!("data: {{\"flags\": {{\"cta\": {{\"on\": true, \"x\": \"{}\"}}}}}}\n\n", "x".repeat(1 << 20));
        let board = FlagBoard::default();
        let mut unread = Unread::new(UNREAD_BYTES);
        for number in 0..4 {
            unread.take(number, Piece::Begin(Box::new(copy(true, Packing::None))), &board);
            for part in [&large, ":heartbeat\n\n:hea"] {
                unread.take(number, Piece::Data(Bytes::copy_from_slice(part.as_bytes())), &board);
            }
        }
        assert_eq!((board.figures().payloads, board.figures().fault), (4, None));
        assert!(unread.bytes <= 4 * ROOM_BYTES, "{} bytes are kept for four streams at rest", unread.bytes);
        unread.take(0, Piece::End, &board);
        (1..4).for_each(|number| unread.take(number, Piece::Abandoned, &board));
        assert_eq!((unread.bytes, unread.copies.len()), (0, 0));
    }

    #[test]
    fn of_many_payloads_at_a_time_those_are_given_up_there_is_no_room_for() {
        let board = FlagBoard::default();
        let mut unread = Unread::new(3 << 20);
        let (front, back) = PUT.split_at(PUT.len() - 2);
        for number in 0..4 {
            unread.take(number, Piece::Begin(Box::new(copy(true, Packing::None))), &board);
            let comment = format!(":{}\n{front}", "x".repeat(1 << 20));
            unread.take(number, Piece::Data(comment.into()), &board);
            assert!(unread.bytes <= 3 << 20, "{} bytes", unread.bytes);
        }
        let fault = "flags passed by unread: more than 3 MiB of them came at a time";
        assert_eq!(board.figures().fault.as_deref(), Some(fault));
        (0..4).for_each(|number| unread.take(number, Piece::Data(Bytes::from_static(back.as_bytes())), &board));
        assert_eq!((board.figures().payloads, board.figures().flags), (2, 1), "the others are read");
    }

    #[test]
    fn the_payload_that_every_sdk_gets_is_read_once_for_each_credential() {
        let board = FlagBoard::default();
        let flag = |on: bool| format!("{{\"flags\": {{\"cta\": {{\"on\": {on}}}}}}}").into_bytes();
        let took = [("sdk-…1", true), ("sdk-…1", true), ("sdk-…2", true), ("sdk-…1", false), ("sdk-…1", true)]
            .map(|(credential, on)| board.take(credential, &flag(on)));
        assert_eq!(took, [true, false, true, true, true]);
        assert_eq!((board.figures().flags, board.figures().payloads), (2, 5));
        assert!(board.take("sdk-…1", b"7") && board.take("sdk-…1", b"7"), "a fault is found as often as it comes");
        assert!(board.figures().fault.is_some());
    }

    #[test]
    fn launchdarkly_streams_at_a_host_of_its_own_and_whatever_else_at_the_same() {
        for (polling, streaming) in [
            ("https://sdk.launchdarkly.com", "https://stream.launchdarkly.com"),
            ("https://sdk.eu.launchdarkly.com/", "https://stream.eu.launchdarkly.com"),
            ("https://clientsdk.launchdarkly.com", "https://clientstream.launchdarkly.com"),
            ("https://app.launchdarkly.com", "https://app.launchdarkly.com"),
            ("http://sdk.relay.example:8030", "http://sdk.relay.example:8030"),
        ] {
            let url = polling.parse::<ForwardUrl>();
            assert_eq!(url.as_ref().map(streaming_host).map(|url| url.to_string()), Ok(streaming.to_owned()));
        }
    }

    #[test]
    fn which_paths_stream_and_which_are_read() {
        for (path, streams, is_read) in [
            ("/all", true, true),
            ("/sdk/stream", true, true),
            ("/sdk/latest-all", false, true),
            ("/sdk/poll", false, true),
            ("/sdk/evalx/64b0c0ffee/contexts/e30", false, false),
            ("/msdk/evalx/context", false, false),
            ("/eval/64b0c0ffee/e30", true, false),
            ("/meval", true, false),
            ("/mping", true, false),
            ("/sdk/goals/64b0c0ffee", false, false),
        ] {
            assert_eq!((is_stream(path), is_for_servers(path)), (streams, is_read), "{path}");
        }
    }
}
