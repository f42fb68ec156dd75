//! What is particular about the requests of Segment's libraries and webhooks: write keys in their bodies, limits they
//! are refused by, signatures, and the settings analytics.js asks for before it sends anything.

use super::mask;
use crate::envelope::{BodyLoss, Credential, Envelope, GZIP_MAGIC};
use crate::segment::door::Door;
use crate::segment::limits::{self, Refusal};
use crate::segment::webhook::{self, SIGNATURE_HEADER, Secret};
use crate::segment::write_key;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderName, USER_AGENT};
use http::{HeaderMap, Method};
use serde_json::json;
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Bytes a gzip stream ends with; without them it is known to be cut off.
const GZIP_TRAILER: usize = 8;

/// Whether the head of a request on a path that says nothing is that of a webhook.
pub(super) fn is_webhook(method: &Method, headers: &HeaderMap) -> bool {
    webhook::is_webhook(method.as_str(), text_of(headers, USER_AGENT), headers.contains_key(SIGNATURE_HEADER))
}

/// A request at one of Segment's doors.
pub(super) struct SegmentRequest {
    door: Door,
    encoding: Option<String>,
    /// The key in the head, which has said already whose it is.
    write_key: Option<String>,
    signature: Option<String>,
    secret: Option<Secret>,
}

impl SegmentRequest {
    /// With a secret where the signature is to be checked.
    pub(super) fn new(door: Door, headers: &HeaderMap, secret: Option<&Secret>) -> Self {
        Self {
            door,
            encoding: text_of(headers, CONTENT_ENCODING).map(|encoding| encoding.trim().to_ascii_lowercase()),
            write_key: text_of(headers, AUTHORIZATION).and_then(mask::basic_user),
            signature: text_of(headers, HeaderName::from_static(SIGNATURE_HEADER)).map(str::to_owned),
            secret: secret.cloned(),
        }
    }

    /// Why Segment would refuse a body. `limit` is up to where one is looked into, and far more than Segment takes.
    pub(super) fn refusal(&self, body: &[u8], limit: u64) -> Option<Refusal> {
        if !self.door.is_tracking() {
            return None;
        }
        match self.open(body, limit) {
            Opened::Plain(text) => limits::refusal(&String::from_utf8_lossy(text), self.door),
            Opened::Whole(text) => limits::refusal(&String::from_utf8_lossy(&text), self.door),
            Opened::Damaged(text) => Some(Refusal::NotJson { offset: text.len(), what: "the gzip stream is damaged" }),
            Opened::TooLarge(bytes) => self.refusal_by_size(bytes),
            Opened::Closed => None,
        }
    }

    /// Why Segment would refuse a body that is larger than what is looked into.
    pub(super) fn refusal_by_size(&self, bytes: u64) -> Option<Refusal> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match self.door {
            Door::Call(_) => Some(Refusal::EventTooLarge { event: None, bytes }),
            Door::Batch => Some(Refusal::BatchTooLarge { bytes }),
            Door::Metrics | Door::Settings | Door::Webhook => None,
        }
    }

    /// Checks the signature, and lets no write key through. What cannot be looked into may hold one, so it is not kept:
    /// an encoding other than gzip, a stream that grows past `limit`, and what follows the place where one is damaged.
    pub(super) fn finish(&self, envelope: &mut Envelope, limit: u64) {
        if let (Some(secret), None) = (&self.secret, &envelope.loss) {
            envelope.signature = Some(secret.check(self.signature.as_deref(), &envelope.body));
        }
        let known = self.write_key.as_deref();
        let (kept, key) = match self.open(&envelope.body, limit) {
            Opened::Plain(text) => match write_key::mask(text, known) {
                Some(masked) => (Some(masked.text), Some(masked.raw)),
                None => (None, None),
            },
            Opened::Whole(text) => match write_key::mask(&text, known) {
                Some(masked) => {
                    envelope.decoded_from = Some("gzip".to_owned());
                    (Some(masked.text), Some(masked.raw))
                }
                None => (None, None),
            },
            Opened::Damaged(text) => match write_key::mask(&text, known) {
                Some(masked) => (Some(cut_off(&masked.text)), Some(masked.raw)),
                None => (Some(cut_off(&text)), None),
            },
            Opened::TooLarge(bytes) => {
                envelope.loss.get_or_insert(BodyLoss::TooLarge { bytes, limit });
                (Some(Vec::new()), None)
            }
            Opened::Closed => (Some(Vec::new()), None),
        };
        if let Some(kept) = kept {
            envelope.body = kept.into_boxed_slice().into();
        }
        let Some(key) = key else { return };
        let masked = Credential::mask(&key);
        mask::hide(&mut envelope.path, &key, &masked);
        envelope.headers.iter_mut().for_each(|(_, value)| mask::hide(value, &key, &masked));
        // An event that was delivered to a webhook may speak of keys, and is not sent under one.
        if self.write_key.is_none() && self.door != Door::Webhook {
            envelope.credential = Some(masked);
        }
    }

    fn open<'a>(&self, body: &'a [u8], limit: u64) -> Opened<'a> {
        if body.starts_with(&GZIP_MAGIC) {
            let mut text = Vec::new();
            let read = MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut text);
            return match read {
                _ if text.len() as u64 > limit => Opened::TooLarge(text.len() as u64),
                _ if text.starts_with(&GZIP_MAGIC) => Opened::Closed,
                Ok(_) => Opened::Whole(text),
                Err(_) => Opened::Damaged(text),
            };
        }
        // The label alone says nothing: a body that is text was not encoded.
        let is_plain = matches!(self.encoding.as_deref(), None | Some("" | "identity" | "gzip" | "x-gzip"));
        if is_plain || std::str::from_utf8(body).is_ok() { Opened::Plain(body) } else { Opened::Closed }
    }
}

/// A body without its encoding.
enum Opened<'a> {
    /// It had none.
    Plain(&'a [u8]),
    /// What came out of it.
    Whole(Vec<u8>),
    /// What came out before it proved damaged.
    Damaged(Vec<u8>),
    /// It grows past what is looked into; so much had come out.
    TooLarge(u64),
    /// It cannot be looked into.
    Closed,
}

/// A gzip stream that gives this text and then ends too soon: as damaged as the one it stands for, and no more in it.
fn cut_off(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // A vector takes everything.
    let _ = encoder.write_all(text);
    let mut stream = encoder.finish().unwrap_or_default();
    stream.truncate(stream.len().saturating_sub(GZIP_TRAILER));
    stream
}

/// The settings of a source, as analytics.js asks for them: send everything here, to the host and port this request
/// came to, load no integration from anywhere, and keep your own figures to yourself.
///
/// analytics.js puts `protocol` and `://` before `apiHost`, and the letter of a call behind it. Its own figures go to a
/// host with `https` unless the page says otherwise, which exptap may not speak, so they are turned off.
pub(super) fn settings(path: &str, headers: &HeaderMap, listening: Option<&SocketAddr>, secure: bool) -> String {
    let (before, key) = match path.rfind("/projects/") {
        Some(at) => (path.get(..at).unwrap_or(""), path.get(at + "/projects/".len()..).unwrap_or("")),
        None => ("/v1", ""),
    };
    let key = key.trim_start_matches('/').split('/').next().unwrap_or("");
    let is_authority =
        |host: &&str| !host.is_empty() && host.chars().all(|it| it.is_ascii_alphanumeric() || ".-_:[]".contains(it));
    let host = text_of(headers, HOST).map(str::trim).filter(is_authority).map(str::to_owned);
    let host = host.or_else(|| listening.map(ToString::to_string)).unwrap_or_default();
    let forwarded = text_of(headers, HeaderName::from_static("x-forwarded-proto"));
    let is_https = secure || forwarded.is_some_and(|it| it.split(',').next().is_some_and(|it| it.trim() == "https"));
    let api_host = format!("{host}{}", before.trim_end_matches('/'));
    json!({
        "integrations": {"Segment.io": {
            "apiKey": mask::decode_percent(key),
            "apiHost": api_host,
            "protocol": if is_https { "https" } else { "http" },
            "addBundledMetadata": true,
            "bundledConfigIds": [],
            "unbundledConfigIds": [],
            "unbundledIntegrations": [],
            "maybeBundledConfigIds": {},
            "versionSettings": {"componentTypes": ["browser"]},
        }},
        "plan": {
            "track": {"__default": {"enabled": true, "integrations": {}}},
            "identify": {"__default": {"enabled": true}},
            "group": {"__default": {"enabled": true}},
        },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0, "host": api_host},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    })
    .to_string()
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
