//! What is done with one request.

use super::Limits;
use super::answer::{self, Asked};
use super::connection::Framing;
use super::forward::Upstream;
use super::intake::Intake;
use super::lifetime::{Lifetime, Phase};
use super::mask::safe_head;
use super::paths::{self, PathKind};
use super::receive::{Arrival, Breach, Collected};
use super::status::Status;
use crate::envelope::{Answer, AnsweredBy};
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Everything a request meets.
pub(super) struct Handler {
    pub(super) intake: Intake,
    pub(super) status: Arc<Status>,
    pub(super) forward: Option<Arc<Upstream>>,
    pub(super) forward_mobile: Option<Arc<Upstream>>,
    pub(super) limits: Limits,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Handler {
    /// Answers one request.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        framing: Framing,
        lifetime: Lifetime,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let asked = Asked::of(&parts.headers);
        if framing == Framing::Ambiguous {
            self.status.refused();
            let text = "a request has either a Content-Length or a Transfer-Encoding, not both";
            return asked.last_sentence(StatusCode::BAD_REQUEST, text);
        }
        if parts.method == Method::OPTIONS {
            self.status.preflight();
            return asked.preflight();
        }
        let path = parts.uri.path();
        let hint = paths::hint(path);
        if let Some(hint) = hint {
            let at = super::mask::mask_address(path);
            self.status.hinted(now_ms(), format!("{} {at}: {hint}", parts.method));
        }
        // CONNECT asks for a tunnel to somewhere else, and any success would grant it.
        let kind = if parts.method == Method::CONNECT { PathKind::Unknown } else { PathKind::of(path) };
        match kind {
            kind if kind.is_events() => {
                self.status.event_request();
                self.events(kind, parts, body, asked, lifetime).await
            }
            PathKind::Goals => {
                self.status.other_request();
                asked.no_goals()
            }
            PathKind::Home => {
                self.status.other_request();
                asked.sentence(StatusCode::OK, answer::home(&self.addresses))
            }
            _ => {
                self.status.other_request();
                asked.sentence(StatusCode::NOT_FOUND, answer::not_here(hint.unwrap_or("this is another path")))
            }
        }
    }

    async fn events(
        &self,
        kind: PathKind,
        parts: Parts,
        body: Incoming,
        asked: Asked,
        lifetime: Lifetime,
    ) -> Response<Body> {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let head = safe_head(&target, &parts.headers);
        let method = parts.method.as_str().to_owned();
        let limit = self.limits.body_bytes;
        let mut arrival = Arrival::new(self.intake.clone(), now_ms(), method, head, &parts.headers, limit);
        let collected = arrival.collect(body, self.limits.idle, &self.status).await;
        let upstream = if kind == PathKind::MobileEvents { &self.forward_mobile } else { &self.forward };
        let body = match (collected, upstream) {
            (Collected::Broken(breach), _) => return broken(&asked, breach),
            (Collected::Whole(bytes), Some(upstream)) => {
                let body = whole_body(bytes, &parts);
                return self.tee(arrival, Arc::clone(upstream), parts, target, body, asked, lifetime).await;
            }
            (Collected::Streaming(stream), Some(upstream)) => {
                let body = streaming_body(stream, Arc::clone(&self.status));
                return self.tee(arrival, Arc::clone(upstream), parts, target, body, asked, lifetime).await;
            }
            (Collected::Whole(_), None) => Ok(()),
            (Collected::Streaming(stream), None) => stream.drain(&self.status).await,
        };
        if let Err(breach) = body {
            return broken(&asked, breach);
        }
        let response = if kind == PathKind::Gif { asked.pixel() } else { asked.accepted() };
        arrival.answer = Some(Answer { status: response.status().as_u16(), from: AnsweredBy::Local });
        response
    }

    /// Forwards a request in a task of its own: LaunchDarkly gets what exptap received even where the sender does
    /// not wait for the answer, as it would have without exptap.
    #[expect(clippy::too_many_arguments, reason = "a request in its parts, and what it meets")]
    async fn tee(
        &self,
        mut arrival: Arrival,
        upstream: Arc<Upstream>,
        parts: Parts,
        target: String,
        body: super::forward::Body,
        asked: Asked,
        mut lifetime: Lifetime,
    ) -> Response<Body> {
        let (give, given) = oneshot::channel();
        let status = Arc::clone(&self.status);
        tokio::spawn(async move {
            let sent = tokio::select! {
                sent = upstream.send(parts.method, &target, parts.headers, body) => sent,
                () = lifetime.reached(Phase::Stopped) => Err("exptap was stopped before it answered".to_owned()),
            };
            let (response, from) = match sent {
                Ok(response) => {
                    status.upstream_answered(response.status().as_u16());
                    (response.map(Body::new), AnsweredBy::Upstream)
                }
                Err(reason) => {
                    let reason = format!("{} could not be reached: {reason}", upstream.url());
                    let text = format!("exptap forwards events, and {reason}. SDKs send such events once more.");
                    status.upstream_failed(now_ms(), reason);
                    (asked.sentence(StatusCode::SERVICE_UNAVAILABLE, text), AnsweredBy::Local)
                }
            };
            arrival.answer = Some(Answer { status: response.status().as_u16(), from });
            drop(arrival);
            // An error means that the sender has left: the events are delivered all the same.
            let _ = give.send(response);
        });
        given.await.unwrap_or_else(|_| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        })
    }
}

fn broken(asked: &Asked, breach: Breach) -> Response<Body> {
    match breach {
        Breach::Left => asked.last_sentence(StatusCode::SERVICE_UNAVAILABLE, "the body ended before it was complete"),
        Breach::Malformed => asked.last_sentence(StatusCode::BAD_REQUEST, "the chunks of the body are malformed"),
    }
}

/// A body that is all here, framed as it came: with a length, in chunks, or not at all.
fn whole_body(bytes: Bytes, parts: &Parts) -> super::forward::Body {
    if parts.headers.contains_key(CONTENT_LENGTH) || bytes.is_empty() {
        return Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    }
    let frame = futures_util::stream::once(async { Ok(Frame::data(bytes)) });
    StreamBody::new(frame).boxed_unsync()
}

/// A body that passes through piece by piece. A sender that leaves in the middle breaks it off for the upstream too.
fn streaming_body(stream: super::receive::Stream, status: Arc<Status>) -> super::forward::Body {
    let frames = futures_util::stream::unfold((stream, status), async |(mut stream, status)| {
        let piece = stream.next(&status).await?;
        let frame = piece.map(Frame::data).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof).into());
        Some((frame, (stream, status)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
