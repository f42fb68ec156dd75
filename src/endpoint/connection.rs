//! One connection: HTTP/1.1 over a socket, encrypted or not, that is watched for silence.
//!
//! hyper's own header timeout also runs while a kept-alive connection rests between two requests, and SDKs flush
//! every 5 to 30 seconds: closing then would race with the next flush and cost it its one retry. So the two limits
//! are told apart here: a head that has begun must be complete soon, a connection at rest may rest for longer.

use super::Limits;
use super::flags::Endless;
use super::lifetime::{Lifetime, Phase};
use super::places::Place;
use super::status::Status;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// More headers than any SDK behind any chain of proxies sends. hyper's 100 would be answered 431, which is one of
/// the statuses that silence an SDK for good.
const HEADERS: usize = 1000;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The first byte that came; none: nothing did.
    pub(super) first_byte: Option<u8>,
    /// How long it was open.
    pub(super) after: Duration,
    /// Whether the other side ended it.
    pub(super) by_client: bool,
}

/// Serves one connection until it ends, is silent for too long, rests while another needs its place, or the endpoint
/// stops.
pub(super) async fn serve<Socket, Answer, Answering>(
    stream: Socket,
    place: &Place,
    limits: Limits,
    status: &Status,
    mut lifetime: Lifetime,
    answer: Answer,
) -> Ended
where
    Socket: AsyncRead + AsyncWrite + Unpin,
    Answer: Fn(Request<Incoming>, Framing) -> Answering,
    Answering: Future<Output = Response<Body>>,
{
    let began = Instant::now();
    let watch = &place.watch;
    let ended = |by_client| Ended { first_byte: watch.moves().first_byte, after: began.elapsed(), by_client };
    let service = service_fn(|request| {
        let framing = watch.request_began();
        let answering = answer(request, framing);
        async move {
            let response = answering.await;
            if response.extensions().get::<Endless>().is_none() {
                watch.request_ended();
                place.rests();
                return Ok::<_, Infallible>(response);
            }
            // A stream of flag data may be silent for minutes; it lasts for as long as it has a body.
            place.gives_up();
            let lasting = Lasting(Arc::clone(watch));
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &lasting;
                    frame
                }))
            }))
        }
    });
    let watched = Watched { stream, watch: Arc::clone(watch) };
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.header_read_timeout(None).max_headers(HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(watched), service));
    let mut silence = pin!(sleep_until(Instant::now() + limits.idle));

    let mut until_silent = async |mut connection: Pin<&mut _>| {
        poll_fn(|context| {
            if Future::poll(Pin::as_mut(&mut connection), context).is_ready() {
                return Poll::Ready(true);
            }
            let Some(deadline) = watch.deadline(limits) else { return Poll::Pending };
            if silence.deadline() != deadline {
                silence.as_mut().reset(deadline);
            }
            silence.as_mut().poll(context).map(|()| {
                status.connection_timed_out();
                false
            })
        })
        .await
    };

    tokio::select! {
        // What has come already is looked at before the place is given up.
        biased;
        by_client = until_silent(connection.as_mut()) => return ended(by_client),
        () = place.is_wanted() => {
            status.connection_displaced();
            return ended(false);
        }
        () = lifetime.reached(Phase::Draining) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = until_silent(connection.as_mut()) => {}
        () = lifetime.reached(Phase::Stopped) => {}
    }
    ended(false)
}

/// How the head of a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// In one way, or without a body.
    Clear,
    /// By a length and by chunks at once: two readers may disagree where the next request begins.
    Ambiguous,
}

/// An answer that is still being given; it has ended when this is dropped.
struct Lasting(Arc<Watch>);

impl Drop for Lasting {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// When the connection last moved, and what it is in the middle of.
pub(super) struct Watch(Mutex<Moves>);

struct Moves {
    last: Instant,
    first_byte: Option<u8>,
    head_began: Option<Instant>,
    answering: bool,
    has_asked: bool,
    head: HeadScan,
}

/// Whose turn it is to go where places are short: the least of all that have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// It has been open since then, and never asked for anything.
    Silent(Instant),
    /// It has rested since then.
    Rests(Instant),
    /// It began a request then, and its head is not complete. SDKs send theirs in one piece.
    Dawdles(Instant),
}

/// How long a head may take before its connection can be displaced.
pub(super) const DAWDLING: Duration = Duration::from_secs(1);

impl Watch {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Moves {
            last: Instant::now(),
            first_byte: None,
            head_began: None,
            answering: false,
            has_asked: false,
            head: HeadScan::default(),
        }))
    }

    /// Its turn to go; none: it is in the middle of a request.
    pub(super) fn turn(&self) -> Option<Turn> {
        let moves = self.moves();
        match moves.head_began {
            _ if moves.answering => None,
            Some(began) => (began.elapsed() >= DAWDLING).then_some(Turn::Dawdles(began)),
            None if moves.has_asked => Some(Turn::Rests(moves.last)),
            None => Some(Turn::Silent(moves.last)),
        }
    }

    fn moves(&self) -> MutexGuard<'_, Moves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: &[u8]) {
        let mut moves = self.moves();
        moves.last = Instant::now();
        moves.first_byte = moves.first_byte.or(bytes.first().copied());
        if !moves.answering && !bytes.is_empty() {
            let last = moves.last;
            moves.head_began.get_or_insert(last);
            moves.head.read(bytes);
        }
    }

    fn wrote(&self) {
        self.moves().last = Instant::now();
    }

    fn request_began(&self) -> Framing {
        let mut moves = self.moves();
        moves.answering = true;
        moves.has_asked = true;
        moves.head_began = None;
        std::mem::take(&mut moves.head).framing()
    }

    fn request_ended(&self) {
        let mut moves = self.moves();
        moves.answering = false;
        moves.last = Instant::now();
    }

    /// When the connection is to be closed if nothing moves; `None` while a request is being answered, which has
    /// limits of its own.
    fn deadline(&self, limits: Limits) -> Option<Instant> {
        let moves = self.moves();
        if moves.answering {
            return None;
        }
        let idle = moves.last + limits.idle;
        Some(moves.head_began.map_or(idle, |began| idle.min(began + limits.header_read)))
    }
}

/// Looks for `Content-Length` beside `Transfer-Encoding` in the bytes of a head. hyper drops the length, goes by
/// the chunks and closes the connection afterwards, which is safe but leaves no trace; a sender that does this
/// is mistaken or hostile and is to be told. Where requests are pipelined the scan may start in the middle of one
/// and miss it, and what hyper does is all that happens.
#[derive(Default)]
struct HeadScan {
    name: Vec<u8>,
    in_value: bool,
    lines: usize,
    ended: bool,
    length: bool,
    encoding: bool,
}

impl HeadScan {
    fn read(&mut self, bytes: &[u8]) {
        const LONGEST: usize = "transfer-encoding".len();
        for byte in bytes {
            if self.ended {
                return;
            }
            match byte {
                b'\n' => {
                    self.ended = self.lines > 0 && self.name.is_empty() && !self.in_value;
                    self.lines += usize::from(self.in_value || !self.name.is_empty());
                    self.name.clear();
                    self.in_value = false;
                }
                b'\r' => {}
                b':' if !self.in_value => {
                    self.in_value = true;
                    self.length |= self.name == b"content-length";
                    self.encoding |= self.name == b"transfer-encoding";
                }
                _ if !self.in_value && self.name.len() <= LONGEST => self.name.push(byte.to_ascii_lowercase()),
                _ => {}
            }
        }
    }

    fn framing(&self) -> Framing {
        if self.length && self.encoding { Framing::Ambiguous } else { Framing::Clear }
    }
}

/// A socket that tells its watch about every byte.
struct Watched<Socket> {
    stream: Socket,
    watch: Arc<Watch>,
}

impl<Socket: AsyncRead + Unpin> AsyncRead for Watched<Socket> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.watch.read(buffer.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl<Socket: AsyncWrite + Unpin> AsyncWrite for Watched<Socket> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.watch.wrote();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if polled.is_ready() {
            self.watch.wrote();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(parts: &[&str]) -> Framing {
        let mut scan = HeadScan::default();
        parts.iter().for_each(|part| scan.read(part.as_bytes()));
        scan.framing()
    }

    #[test]
    fn length_beside_chunks_is_seen_in_any_order_spelling_and_cut() {
        let head = "POST /bulk HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING: chunked\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(framing(&[head]), Framing::Ambiguous);
        for at in 0..head.len() {
            let (front, back) = head.split_at(at);
            assert_eq!(framing(&[front, back]), Framing::Ambiguous, "cut at {at}");
        }
        assert_eq!(
            framing(&["\r\nPOST / HTTP/1.1\nContent-Length:3\nTransfer-Encoding:chunked\n\n"]),
            Framing::Ambiguous
        );
    }

    #[test]
    fn names_in_a_body_or_in_a_value_are_not_headers() {
        let head = "POST /bulk HTTP/1.1\r\nContent-Length: 30\r\n";
        assert_eq!(framing(&[head, "\r\nTransfer-Encoding: chunked\r\n\r\n"]), Framing::Clear);
        assert_eq!(framing(&[head, "X-Note: Transfer-Encoding: chunked\r\n\r\n"]), Framing::Clear);
        assert_eq!(framing(&[head, "X-Transfer-Encoding: chunked\r\n\r\n"]), Framing::Clear);
    }
}
