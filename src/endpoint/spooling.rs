//! The endpoint's side of the spool: what is put into it, and how it gets to the upstream from there.

use super::answer::Asked;
use super::forward::{self, Upstream, remove_hop_by_hop};
use super::handle::{self, Handler};
use super::mask::{Authorized, safe_head};
use super::paths::PathKind;
use super::receive::{Arrival, Collected, Stream};
use super::status::{Service, Status};
use super::{BindError, Limits, Upstreams};
use crate::envelope::{Answer, AnsweredBy, Envelope};
use crate::silenced;
use crate::spool::{self, Body, Carried, Carrier, Deliveries, Found, Head, Lane, NotKept, Spool};
use axum::body::Body as Answered;
use bytes::Bytes;
use http::header::{EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// What is read of an answer, which nobody wants, so that its connection can be used again.
const ANSWER_BYTES: usize = 64 * 1024;
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// What is read of a file at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A spool that is open and not delivered from yet.
pub(super) struct Spooling {
    spool: Arc<Spool>,
    carriers: [Option<Way>; 3],
    pub(super) notes: Vec<String>,
}

/// The way to one upstream, apart from the one requests take that do not wait: connections belong to a thread.
struct Way {
    upstream: Upstream,
    status: Arc<Status>,
}

impl Spooling {
    #[expect(clippy::result_large_err, reason = "it is given once, at the start")]
    pub(super) fn open(
        options: &spool::Options,
        upstreams: &Upstreams,
        limits: Limits,
        status: &Arc<Status>,
    ) -> Result<Self, BindError> {
        let named = [&upstreams.launchdarkly, &upstreams.mobile, &upstreams.segment];
        if named.iter().all(|upstream| upstream.is_none()) {
            return Err(spool::SpoolError::Nowhere.into());
        }
        let (spool, found) = spool::open(options)?;
        spool::check_ways(&options.folder, &found, named.map(Option::is_some))?;
        let way = |upstream: &Option<Arc<Upstream>>| {
            let Some(upstream) = upstream else { return Ok(None) };
            let url = upstream.url().clone();
            match Upstream::new(url.clone(), upstream.service(), limits.upstream) {
                Ok(upstream) => Ok(Some(Way { upstream, status: Arc::clone(status) })),
                Err(reason) => Err(BindError::Certificates { url, reason }),
            }
        };
        let [launchdarkly, mobile, segment] = named;
        let carriers = [way(launchdarkly)?, way(mobile)?, way(segment)?];
        let notes = notes(options, &found, named);
        let spool = Arc::new(spool);
        status.has_spool(Arc::clone(&spool));
        Ok(Self { spool, carriers, notes })
    }

    /// Begins to deliver.
    pub(super) fn start(self) -> (Option<Arc<Spool>>, Option<Deliveries>) {
        // Without deliveries it still keeps everything, which the next start delivers; a machine that has no thread left
        // has told so already.
        let deliveries = self.spool.deliver(self.carriers).ok();
        (Some(self.spool), deliveries)
    }
}

/// What there is to say at the start.
fn notes(options: &spool::Options, found: &Found, upstreams: [&Option<Arc<Upstream>>; 3]) -> Vec<String> {
    let folder = options.folder.display();
    let mut notes = vec![format!(
        "requests are kept in {folder} until the upstream has them, with the SDK keys they came with; only their owner can \
         read them"
    )];
    let ways: Vec<String> = found
        .requests
        .iter()
        .zip(upstreams)
        .filter(|(requests, _)| **requests > 0)
        .filter_map(|(requests, upstream)| Some(format!("{requests} go to {}", upstream.as_ref()?.url())))
        .collect();
    if let Some(oldest) = found.oldest_ms.filter(|_| !ways.is_empty()) {
        let since = Timestamp::from_millisecond(oldest).map(|at| at.to_string()).unwrap_or_default();
        notes.push(format!("requests from before wait in {folder}, the oldest since {since}: {}", ways.join(", ")));
    }
    notes.extend(found.notes.iter().cloned());
    notes
}

impl Carrier for Way {
    async fn carry(&self, head: &Head, body: Body) -> Carried {
        let body = match body {
            Body::Whole(bytes) => forward::whole_body(bytes, &head.headers),
            Body::File(file, bytes) => from_file(file, bytes),
        };
        match self.upstream.send(head.method.clone(), &head.target, head.headers.clone(), body).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
                // Where it never ends the connection is given up, and no more.
                let _ = tokio::time::timeout(ANSWER_PATIENCE, read_through(response.into_body())).await;
                if matches!(status, 200..=407 | 409..=428 | 430..=499) {
                    self.status.upstream_answered(self.upstream.service(), status);
                }
                Carried::Answered { status, retry_after }
            }
            Err(unanswered) => Carried::Unanswered { why: unanswered.why },
        }
    }

    fn name(&self) -> String {
        self.upstream.url().to_string()
    }

    fn sender(&self, head: &Head) -> String {
        let authorized = match self.upstream.service() {
            Service::LaunchDarkly | Service::Flags => Authorized::Sdk,
            Service::Segment => Authorized::Segment,
        };
        let safe = safe_head(&head.target, &head.headers, authorized);
        let envelope =
            Envelope { path: safe.path, headers: safe.headers, credential: safe.credential, ..Envelope::default() };
        silenced::who(&envelope)
    }
}

async fn read_through(mut body: Incoming) {
    let mut left = ANSWER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}

/// A number of seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Timestamp::now().duration_until(at).try_into().ok()
}

/// A body from a file. It is read on the thread that delivers, and nobody else waits there.
fn from_file(file: File, bytes: u64) -> forward::Body {
    let frames = futures_util::stream::unfold((file, bytes), async |(mut file, left)| {
        if left == 0 {
            return None;
        }
        let mut piece = Vec::new();
        let read = (&mut file).take(left.min(PIECE_BYTES as u64)).read_to_end(&mut piece);
        let frame = match read {
            Ok(0) => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => Ok(Frame::data(Bytes::from(piece))),
            Err(error) => Err(error.into()),
        };
        let left = left - frame.as_ref().ok().and_then(Frame::data_ref).map_or(left, |piece| piece.len() as u64);
        Some((frame, (file, left)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// What is kept of a request, beside its body: nothing that was meant for this connection.
fn head_of(parts: &Parts, target: &str) -> Head {
    let mut headers: HeaderMap = parts.headers.clone();
    // A body that came in chunks goes on in chunks: whether it has a length is kept, how it was framed is not.
    remove_hop_by_hop(&mut headers);
    headers.remove(EXPECT);
    Head { method: parts.method.clone(), target: target.to_owned(), headers }
}

/// What became of a request that was to be kept.
pub(super) enum Spooled {
    /// This is the answer.
    Answered(Response<Answered>),
    /// There is no room for it, but its upstream is there: it goes on directly, as without a spool.
    PassOn(Bytes),
}

impl Handler {
    /// Keeps a request, and answers as exptap does where nothing is forwarded.
    ///
    /// Where that fails the request goes on directly, since nothing is lost by that which would not be lost without a
    /// spool; it may overtake what waits, which costs nothing: events say themselves when they happened. Where the
    /// upstream is known to be away it is answered 503 at once instead, and the application waits for nothing.
    #[expect(clippy::too_many_arguments, reason = "a request in its parts, and what it meets")]
    pub(super) async fn spool(
        &self,
        spool: &Spool,
        kind: PathKind,
        parts: &Parts,
        target: &str,
        arrival: &mut Arrival,
        collected: Collected,
        asked: &Asked,
    ) -> Spooled {
        let lane = match kind {
            PathKind::Segment(_) => Lane::Segment,
            PathKind::MobileEvents => Lane::Mobile,
            _ => Lane::LaunchDarkly,
        };
        let head = head_of(parts, target);
        let (kept, whole) = match collected {
            Collected::Broken(breach) => return Spooled::Answered(handle::broken(asked, breach)),
            Collected::Whole(bytes) => {
                let refusal = arrival.segment.as_ref().and_then(|it| it.refusal(&bytes, self.limits.body_bytes));
                if refusal.is_some() {
                    // Segment would not take it either, and its library is told now or never.
                    return Spooled::Answered(answered(arrival, handle::taken(kind, asked, refusal)));
                }
                (spool.append(lane, &head, arrival.arrival_ms, bytes.clone()).await, Some(bytes))
            }
            Collected::Streaming(stream) => {
                let refusal = |arrival: &Arrival| {
                    let bytes = arrival.too_large()?;
                    arrival.segment.as_ref()?.refusal_by_size(bytes)
                };
                if refusal(arrival).is_some() {
                    return Spooled::Answered(match stream.drain(&self.status).await {
                        Ok(()) => answered(arrival, handle::taken(kind, asked, refusal(arrival))),
                        Err(breach) => handle::broken(asked, breach),
                    });
                }
                match self.spool_stream(spool, lane, &head, arrival.arrival_ms, stream).await {
                    Ok(kept) => (kept, None),
                    Err(breach) => return Spooled::Answered(handle::broken(asked, breach)),
                }
            }
        };
        match (kept, whole) {
            (Ok(()), _) => Spooled::Answered(answered(arrival, handle::taken(kind, asked, None))),
            (Err(_), Some(bytes)) if !spool.is_failing(lane) => Spooled::PassOn(bytes),
            (Err(not_kept), _) => {
                let why = match not_kept {
                    NotKept::Full => "the spool has no room for this request",
                    NotKept::Failed => "the spool cannot be written",
                };
                let text = format!(
                    "exptap keeps events until they are delivered, and {why}. SDKs send such events once more."
                );
                Spooled::Answered(answered(arrival, asked.sentence(StatusCode::SERVICE_UNAVAILABLE, text)))
            }
        }
    }

    /// Keeps a body that is not held in memory. Where there is no room for it the rest is received all the same: a sender
    /// that is cut off in the middle does not read its answer.
    async fn spool_stream(
        &self,
        spool: &Spool,
        lane: Lane,
        head: &Head,
        arrival_ms: i64,
        mut stream: Stream,
    ) -> Result<Result<(), NotKept>, super::receive::Breach> {
        let mut file = spool.body_file(lane);
        while let Some(piece) = stream.next(&self.status).await {
            if let Err(not_kept) = file.write(piece?).await {
                drop(file);
                spool.turned_away();
                stream.drain(&self.status).await?;
                return Ok(Err(not_kept));
            }
        }
        Ok(spool.append_file(lane, head, arrival_ms, file).await)
    }
}

fn answered(arrival: &mut Arrival, response: Response<Answered>) -> Response<Answered> {
    arrival.answer = Some(Answer { status: response.status().as_u16(), from: AnsweredBy::Local });
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_may_say_when_to_come_back_in_seconds_or_by_the_clock() {
        let read = |text: &str| retry_after(&text.parse().unwrap());
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        let at = Timestamp::now() + jiff::SignedDuration::from_secs(100);
        let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
        let wait = read(&date).unwrap();
        assert!(wait > Duration::from_secs(60) && wait <= Duration::from_secs(100), "{date}: {wait:?}");
        for text in ["Sat, 21 Nov 2020 08:00:00 GMT", "soon", "-1", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
