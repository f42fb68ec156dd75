//! What an upstream says of a request it does not take, heard as it goes back to the sender.
//!
//! The status alone does not tell a Relay Proxy that forwards no events from one that is overloaded; its answer does.
//! So the beginning of such an answer is copied while it passes: not a byte of it waits, or is another one. What was
//! received is told once enough was heard, or nothing more comes.

use super::mask::{KEY_CHARACTERS, decode_percent, hide, is_in_token, mask_keys, mask_tokens};
use super::mask::{secrets_of_address, secrets_of_headers};
use super::receive::Arrival;
use crate::envelope::{Credential, GZIP_MAGIC};
use crate::intake::RELAY_EVENTS_OFF;
use crate::segment::write_key;
use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Bytes of an answer that are kept.
const KEPT_BYTES: usize = 200;
/// Bytes of an answer that are listened to: a credential that is cut where the text ends could not be told from a word.
const HEARD_BYTES: usize = KEPT_BYTES + 1024;
/// Bytes of a packed body that are looked through for keys.
const UNPACKED_BYTES: u64 = 16 * 1024 * 1024;
/// The shortest secret that is one; two or three letters may be any word.
const SECRET_CHARACTERS: usize = 4;
/// An upstream that does not come to an end is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the answer must not give away: credentials of the request, should it repeat them.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those in the head of a request.
    pub(super) fn of(target: &str, headers: &HeaderMap) -> Self {
        let mut secrets = secrets_of_address(target);
        secrets.extend(secrets_of_headers(headers));
        Self(secrets)
    }

    /// The text of an answer as it may be kept: of credentials only their masks, on one line. Where it may give one away
    /// all the same, or nobody can tell because the request's body (none: it was not kept) cannot be looked into, only the
    /// phrase remains that something is concluded from.
    fn kept(&self, heard: &[u8], body: Option<&[u8]>) -> Option<String> {
        if heard.is_empty() {
            return None;
        }
        let masked = write_key::mask(heard, None).map(|masked| masked.text);
        let text = String::from_utf8_lossy(masked.as_deref().unwrap_or(heard));
        let phrase = || text.contains(RELAY_EVENTS_OFF).then(|| RELAY_EVENTS_OFF.to_owned());
        let Some(keys) = body.and_then(unpacked).and_then(|body| write_key::keys(&body)) else { return phrase() };
        let mut secrets: Vec<&str> = self.0.iter().chain(&keys).map(String::as_str).collect();
        secrets.retain(|secret| secret.chars().count() >= SECRET_CHARACTERS);
        // One may stand in another: the longer is masked first.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut text = text.as_ref().to_owned();
        if heard.len() >= HEARD_BYTES {
            // What is cut at the end may be the beginning of a key.
            text.truncate(text.trim_end_matches(|it| is_in_token(it) || it == char::REPLACEMENT_CHARACTER).len());
        }
        for secret in &secrets {
            hide(&mut text, secret, &Credential::mask(secret));
        }
        let text = mask_tokens(&mask_keys(&text));
        if secrets.iter().any(|secret| gives_away(&text, secret)) {
            return phrase();
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.get(..text.floor_char_boundary(KEPT_BYTES)).unwrap_or_default().trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Whether a part of a secret stands in a text that is too long for chance; of a short one, all of it as a word.
fn gives_away(text: &str, secret: &str) -> bool {
    let decoded = decode_percent(text);
    if secret.len() < KEY_CHARACTERS {
        return decoded.split(|it| !is_in_token(it)).any(|word| word == secret);
    }
    let parts: HashSet<&[u8]> =
        [text, &decoded].into_iter().flat_map(|it| it.as_bytes().windows(KEY_CHARACTERS)).collect();
    secret.as_bytes().windows(KEY_CHARACTERS).any(|part| parts.contains(part))
}

/// A body without its encoding; none: it cannot be looked into.
fn unpacked(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !body.starts_with(&GZIP_MAGIC) {
        return std::str::from_utf8(body).is_ok().then_some(Cow::Borrowed(body));
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(body).take(UNPACKED_BYTES).read_to_end(&mut text).ok()?;
    let is_all = (text.len() as u64) < UNPACKED_BYTES && !text.starts_with(&GZIP_MAGIC);
    is_all.then_some(Cow::Owned(text))
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
            arrival.answer_text = self.secrets.kept(&self.heard, arrival.whole().map(AsRef::as_ref));
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
