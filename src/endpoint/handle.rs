//! What is done with one request.

use super::answer::{self, Asked};
use super::clocks::Vigil;
use super::connection::Framing;
use super::forward::{Outgoing, Upstream};
use super::intake::Intake;
use super::lifetime::{Lifetime, Phase};
use super::mask::{self, Authorized, safe_head};
use super::overheard::{self, Secrets};
use super::paths::{self, PathKind};
use super::receive::{Arrival, Breach, Collected, Stream};
use super::segment::{self, SegmentRequest};
use super::spooling::Spooled;
use super::status::{Service, Status};
use super::{Limits, Upstreams};
use crate::envelope::{Answer, AnsweredBy};
use crate::segment::door::Door;
use crate::segment::limits::Refusal;
use crate::segment::webhook::Secret;
use crate::spool::Spool;
use crate::tls::Identity;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Everything a request meets.
pub(super) struct Handler {
    pub(super) intake: Intake,
    pub(super) status: Arc<Status>,
    pub(super) upstreams: Upstreams,
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) segment_secret: Option<Secret>,
    pub(super) tls: Option<Arc<Identity>>,
    pub(super) limits: Limits,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) vigil: Vigil,
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
        let (kind, hint) = classify(&parts);
        let flags = self.upstreams.flags.as_ref().filter(|_| matches!(kind, PathKind::FlagData | PathKind::Goals));
        if let Some(flags) = flags {
            self.status.other_request();
            return self.flag_data(flags, parts, body, asked, lifetime).await;
        }
        if let Some(hint) = hint {
            let at = mask::mask_address(path);
            self.status.hinted(now_ms(), format!("{} {at}: {hint}", parts.method));
        }
        match kind {
            PathKind::Segment(Door::Settings) => {
                self.status.other_request();
                let settings = segment::settings(path, &parts.headers, self.addresses.first(), self.tls.is_some());
                let answer = asked.segment_settings(settings);
                self.pass(parts, body, asked, lifetime, answer).await
            }
            // Somebody looks whether anything is here.
            PathKind::Segment(_) if matches!(parts.method, Method::GET | Method::HEAD) => {
                self.status.other_request();
                asked.sentence(StatusCode::OK, answer::segment_door())
            }
            PathKind::Segment(Door::Metrics) => {
                self.status.other_request();
                let answer = asked.segment_taken();
                self.pass(parts, body, asked, lifetime, answer).await
            }
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
                asked.sentence(StatusCode::OK, answer::home(&self.addresses, self.tls.is_some()))
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
        self.vigil.look(&self.intake, &self.status, now_ms());
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        // Where a path could be either's, LaunchDarkly answers, and a write key is none the less masked.
        let door = if let PathKind::Segment(door) = kind { Some(door) } else { Door::of(parts.uri.path()) };
        let secret = self.segment_secret.as_ref().filter(|_| kind == PathKind::Segment(Door::Webhook));
        let authorized = if door.is_some() { Authorized::Segment } else { Authorized::Sdk };
        let head = safe_head(&target, &parts.headers, authorized);
        let method = parts.method.as_str().to_owned();
        let limit = self.limits.body_bytes;
        let mut arrival = Arrival::new(self.intake.clone(), now_ms(), method, head, &parts.headers, limit);
        arrival.segment = door.map(|door| SegmentRequest::new(door, &parts.headers, secret));
        let mut collected = arrival.collect(body, self.limits.idle, &self.status).await;
        let upstream = match kind {
            // It came to exptap, and to nobody else.
            PathKind::Segment(Door::Webhook) => &None,
            PathKind::Segment(_) => &self.upstreams.segment,
            PathKind::MobileEvents => &self.upstreams.mobile,
            _ => &self.upstreams.launchdarkly,
        };
        if let Some(spool) = self.spool.as_ref().filter(|_| upstream.is_some()) {
            match self.spool(spool, kind, &parts, &target, &mut arrival, collected, &asked).await {
                Spooled::Answered(response) => return response,
                Spooled::PassOn(bytes) => collected = Collected::Whole(bytes),
            }
        }
        let mut refusal = None;
        let body = match (collected, upstream) {
            (Collected::Broken(breach), _) => return broken(&asked, breach),
            (Collected::Whole(bytes), Some(upstream)) => {
                let body = Outgoing::Whole(bytes);
                return self.tee(Some(arrival), Arc::clone(upstream), parts, target, body, asked, lifetime).await;
            }
            (Collected::Streaming(stream), Some(upstream)) => {
                let body = Outgoing::Passing(streaming_body(stream, Arc::clone(&self.status)));
                return self.tee(Some(arrival), Arc::clone(upstream), parts, target, body, asked, lifetime).await;
            }
            (Collected::Whole(bytes), None) => {
                refusal = arrival.segment.as_ref().and_then(|segment| segment.refusal(&bytes, limit));
                Ok(())
            }
            (Collected::Streaming(stream), None) => stream.drain(&self.status).await,
        };
        if let Err(breach) = body {
            return broken(&asked, breach);
        }
        if let (Some(segment), Some(bytes)) = (&arrival.segment, arrival.too_large()) {
            refusal = segment.refusal_by_size(bytes);
        }
        let response = taken(kind, &asked, refusal);
        arrival.answer = Some(Answer { status: response.status().as_u16(), from: AnsweredBy::Local });
        response
    }

    /// Lets a request pass that carries no events and is Segment's to answer: on to its upstream where there is one, else
    /// it gets this answer.
    async fn pass(
        &self,
        parts: Parts,
        body: Incoming,
        asked: Asked,
        lifetime: Lifetime,
        answer: Response<Body>,
    ) -> Response<Body> {
        let is_empty = body.is_end_stream();
        let stream = Stream::passing(body, self.limits.idle);
        let Some(upstream) = &self.upstreams.segment else {
            return match stream.drain(&self.status).await {
                Ok(()) => answer,
                Err(breach) => broken(&asked, breach),
            };
        };
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let body = if is_empty {
            Outgoing::Whole(Bytes::new())
        } else {
            Outgoing::Passing(streaming_body(stream, Arc::clone(&self.status)))
        };
        self.tee(None, Arc::clone(upstream), parts, target, body, asked, lifetime).await
    }

    /// Forwards a request in a task of its own: LaunchDarkly gets what exptap received even where the sender does
    /// not wait for the answer, as it would have without exptap.
    #[expect(clippy::too_many_arguments, reason = "a request in its parts, and what it meets")]
    async fn tee(
        &self,
        mut arrival: Option<Arrival>,
        upstream: Arc<Upstream>,
        parts: Parts,
        target: String,
        body: Outgoing,
        asked: Asked,
        mut lifetime: Lifetime,
    ) -> Response<Body> {
        let (give, given) = oneshot::channel();
        let status = Arc::clone(&self.status);
        let secrets = Secrets::of(&target, &parts.headers);
        tokio::spawn(async move {
            let sent = tokio::select! {
                sent = upstream.tee(parts.method, &target, parts.headers, body) => sent,
                () = lifetime.reached(Phase::Stopped) => Err("exptap was stopped before it answered".to_owned()),
            };
            let response = match sent {
                Ok(response) => {
                    status.upstream_answered(upstream.service(), response.status().as_u16());
                    if let Some(arrival) = &mut arrival {
                        let status = response.status().as_u16();
                        arrival.answer = Some(Answer { status, from: AnsweredBy::Upstream });
                    }
                    overheard::passed(response, &mut arrival, secrets)
                }
                Err(reason) => {
                    let reason = format!("{} could not be reached: {reason}", upstream.url());
                    let again = match upstream.service() {
                        Service::LaunchDarkly => "SDKs send such events once more",
                        Service::Segment => "Segment's libraries send such events again",
                        Service::Flags => "SDKs ask for flags again",
                    };
                    let text = format!("exptap forwards events, and {reason}. {again}.");
                    status.upstream_failed(upstream.service(), now_ms(), reason);
                    let response = asked.sentence(StatusCode::SERVICE_UNAVAILABLE, text);
                    if let Some(arrival) = &mut arrival {
                        arrival.answer = Some(Answer { status: response.status().as_u16(), from: AnsweredBy::Local });
                    }
                    response
                }
            };
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

/// What a request is, and what is odd about its path.
fn classify(parts: &Parts) -> (PathKind, Option<&'static str>) {
    let path = parts.uri.path();
    // CONNECT asks for a tunnel to somewhere else, and any success would grant it.
    let kind = if parts.method == Method::CONNECT { PathKind::Unknown } else { PathKind::of(path) };
    let says_nothing = matches!(kind, PathKind::Unknown | PathKind::FlagData | PathKind::Home);
    if says_nothing && segment::is_webhook(&parts.method, &parts.headers) {
        return (PathKind::Segment(Door::Webhook), None);
    }
    (kind, paths::hint(path))
}

/// The answer where nothing is forwarded.
pub(super) fn taken(kind: PathKind, asked: &Asked, refusal: Option<Refusal>) -> Response<Body> {
    match (kind, refusal) {
        (PathKind::Gif, _) => asked.pixel(),
        (PathKind::Segment(Door::Webhook), _) => asked.received(),
        (PathKind::Segment(_), Some(refusal)) => asked.segment_refused(&refusal),
        (PathKind::Segment(_), None) => asked.segment_taken(),
        _ => asked.accepted(),
    }
}

pub(super) fn broken(asked: &Asked, breach: Breach) -> Response<Body> {
    match breach {
        Breach::Left => asked.last_sentence(StatusCode::SERVICE_UNAVAILABLE, "the body ended before it was complete"),
        Breach::Malformed => asked.last_sentence(StatusCode::BAD_REQUEST, "the chunks of the body are malformed"),
    }
}

/// A body that passes through piece by piece. A sender that leaves in the middle breaks it off for the upstream too.
pub(super) fn streaming_body(stream: super::receive::Stream, status: Arc<Status>) -> super::forward::Body {
    let frames = futures_util::stream::unfold((stream, status), async |(mut stream, status)| {
        let piece = stream.next(&status).await?;
        let frame = piece.map(Frame::data).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof).into());
        Some((frame, (stream, status)))
    });
    StreamBody::new(frames).boxed_unsync()
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
