//! What an upstream says of a request it does not take, heard as it goes back to the sender.
//!
//! The status alone does not tell a Relay Proxy that forwards no events from one that is overloaded; its answer does.
//! So the beginning of such an answer is copied while it passes: not a byte of it waits, or is another one. What was
//! received is told once enough was heard, or nothing more comes.

use super::mask::{basic_user, hide, mask_keys};
use super::receive::Arrival;
use crate::envelope::Credential;
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Bytes of an answer that are kept.
const HEARD_BYTES: usize = 200;
/// An upstream that does not come to an end is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the answer must not give away: credentials of the request, should it repeat them.
pub(super) struct Secrets(Vec<(String, Credential)>);

impl Secrets {
    /// Those of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let raw = headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
        let Some(raw) = raw.filter(|raw| !raw.is_empty()) else { return Self(Vec::new()) };
        let token = raw.split_once(' ').map(|(_, token)| token.trim().to_owned());
        let all = [basic_user(&raw), token, Some(raw)];
        Self(all.into_iter().flatten().map(|text| (text.clone(), Credential::mask(&text))).collect())
    }

    /// The text of an answer as it may be kept: of credentials only their masks, on one line.
    fn kept(&self, heard: &[u8]) -> Option<String> {
        let mut text = String::from_utf8_lossy(heard.get(..HEARD_BYTES).unwrap_or(heard)).into_owned();
        // A character that is cut in the middle is not one.
        if heard.len() >= HEARD_BYTES && text.ends_with(char::REPLACEMENT_CHARACTER) {
            text.pop();
        }
        for (raw, masked) in &self.0 {
            hide(&mut text, raw, masked);
        }
        let text = mask_keys(&text).split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty()).then_some(text)
    }
}

/// The body of an answer that is listened to.
struct Overheard {
    body: Incoming,
    heard: Vec<u8>,
    arrival: Option<Arrival>,
    secrets: Secrets,
    patience: Pin<Box<Sleep>>,
}

/// Lets an answer pass; where it is that something was not taken, the arrival learns why.
pub(super) fn passed(response: Response<Incoming>, arrival: &mut Option<Arrival>, secrets: Secrets) -> Response<Body> {
    let is_plain = response.headers().get(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && is_plain && arrival.is_some() {
        let arrival = arrival.take();
        let patience = Box::pin(sleep(PATIENCE));
        return response.map(|body| Body::new(Overheard { body, heard: Vec::new(), arrival, secrets, patience }));
    }
    response.map(Body::new)
}

impl Overheard {
    fn tell(&mut self) {
        if let Some(mut arrival) = self.arrival.take() {
            arrival.answer_text = self.secrets.kept(&self.heard);
        }
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        self.tell();
    }
}

impl hyper::body::Body for Overheard {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if self.arrival.is_some()
                    && let Some(data) = frame.data_ref()
                {
                    let room = HEARD_BYTES.saturating_sub(self.heard.len());
                    self.heard.extend_from_slice(data.get(..room).unwrap_or(data));
                    if self.heard.len() >= HEARD_BYTES || hyper::body::Body::is_end_stream(&self.body) {
                        self.tell();
                    }
                }
            }
            Poll::Ready(_) => self.tell(),
            Poll::Pending => {
                if self.arrival.is_some() && self.patience.as_mut().poll(context).is_ready() {
                    self.tell();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
