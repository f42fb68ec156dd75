//! Redacting a request: its path, its headers, its credential and its body.

use super::Redactor;
use super::address::{self, counted};
use super::list::{List, Sort};
use super::standin::StandIns;
use super::text::{Reading, filler};
use crate::attribution::request::GIF_SENDER;
use crate::envelope::{Envelope, GZIP_MAGIC, Via};
use crate::event::body::{self, BodyFault, Route};
use crate::intake;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::borrow::Cow;

/// Content encodings there are; another word may be anything.
const ENCODINGS: [&str; 8] = ["", "gzip", "x-gzip", "identity", "br", "deflate", "zstd", "compress"];
const CONTENT_TYPES: [&str; 3] = ["application/json", "application/json; charset=utf-8", "text/plain"];
/// Headers whose names say nothing of anybody; of others the name is replaced, too.
const HEADER_NAMES: [&str; 18] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "origin",
    "referer",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];
const OWN_PREFIX: &str = "x-launchdarkly-";
/// What is in the name of an SDK, and hardly ever in another program's.
const SDK_MARKS: [&str; 8] =
    ["Client", "Server", "SDK", "Relay", "sdk", "Provider", "SegmentDestination", "analytics-"];
/// Bodies told apart under one payload id.
const MAX_BODIES: u32 = 64;
/// SDKs that sample without saying so are known by this (R7).
const PYTHON: &str = "PythonClient/";

/// Whether it is the name of an SDK, with or without a version: `NodeJSClient/9.13.7`, `react-client-sdk`.
fn is_sdk(agent: &str) -> bool {
    let (name, version) = agent.split_once('/').unwrap_or((agent, ""));
    let is_name = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    let is_version = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    name.len() <= 40
        && name.bytes().all(is_name)
        && SDK_MARKS.iter().any(|mark| name.contains(mark))
        && version.len() <= 24
        && version.bytes().all(is_version)
        // Segment's library for Node says `latest`.
        && (version.is_empty() || version == "latest" || version.starts_with(|first: char| first.is_ascii_digit()))
}

/// A user agent: an SDK's stays; of a browser's only that it is one, and which of those seen.
fn agent<'a>(stand_ins: &StandIns, list: &mut List, agent: &'a str) -> Cow<'a, str> {
    if is_sdk(agent) || ["unknown sender", "browser", GIF_SENDER].contains(&agent) {
        return Cow::Borrowed(agent);
    }
    list.replaced(Sort::Header);
    if agent.starts_with("Mozilla/") {
        return Cow::Owned(format!("Mozilla/5.0 ({})", stand_ins.of(agent)));
    }
    if let Some(version) = agent.strip_prefix(PYTHON) {
        return Cow::Owned(format!("{PYTHON}{}", stand_ins.of(version)));
    }
    stand_ins.of(agent)
}

/// A header's name and value.
fn header(stand_ins: &StandIns, list: &mut List, name: &str, value: &str) -> (String, String) {
    let is_own = name.strip_prefix(OWN_PREFIX).is_some_and(super::plan::is_word);
    let new_name = if is_own || HEADER_NAMES.contains(&name) {
        name.to_owned()
    } else {
        counted(stand_ins, list, Sort::Header, name).into_owned()
    };
    let known = |known: &[&str]| known.contains(&value.trim().to_ascii_lowercase().as_str());
    let value = match name {
        "content-encoding" if known(&ENCODINGS) => Cow::Borrowed(value),
        "content-type" if known(&CONTENT_TYPES) => Cow::Borrowed(value),
        "user-agent" | "x-launchdarkly-user-agent" | "x-launchdarkly-wrapper" => agent(stand_ins, list, value),
        "x-launchdarkly-event-schema" if value.len() <= 2 && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Borrowed(value)
        }
        "x-launchdarkly-unsummarized" if value == "true" => Cow::Borrowed(value),
        "x-launchdarkly-tags" => Cow::Owned(tags(stand_ins, list, value)),
        _ => counted(stand_ins, list, Sort::Header, value),
    };
    (new_name, value.into_owned())
}

/// `application-id/shop application-version/1.2.3`: the words stay, what they are set to does not.
fn tags(stand_ins: &StandIns, list: &mut List, tags: &str) -> String {
    let tag = |tag: &str| match tag.split_once('/') {
        Some((
            name @ ("application-id" | "application-name" | "application-version" | "application-version-name"),
            value,
        )) => {
            format!("{name}/{}", stand_ins.of(value))
        }
        _ => stand_ins.of(tag).into_owned(),
    };
    list.replaced(Sort::Header);
    tags.split(' ').map(tag).collect::<Vec<_>>().join(" ")
}

impl Redactor {
    /// A request as it can be shared.
    pub fn envelope(&mut self, envelope: &Envelope) -> Envelope {
        let door = Route::of(&envelope.path).door;
        let reading = if envelope.via == Via::File { Reading::File } else { Reading::Batch(door) };
        let text = body::text(envelope);
        let is_gif = Route::of(&envelope.path).gif_data.is_some();
        let readable = text.as_deref().ok().map(|text| {
            let redacted = self.text(text, reading, Some(envelope));
            self.told_apart(envelope, text, redacted)
        });
        if readable.is_none() {
            self.list.unreadable += 1;
            self.list.replaced(Sort::Unreadable);
        }
        // "!" is in no base64.
        let gif = is_gif.then(|| readable.as_ref().map_or_else(|| "!".to_owned(), |text| URL_SAFE_NO_PAD.encode(text)));
        let path = self.path(envelope, gif.as_deref());
        let was_gzip = envelope.body.starts_with(&GZIP_MAGIC);
        let known = |encoding: &String| ENCODINGS.contains(&encoding.as_str());
        let decoded_from = match &envelope.decoded_from {
            _ if was_gzip && readable.is_some() && !is_gif => Some("gzip".to_owned()),
            Some(encoding) if !known(encoding) => Some(self.stand_ins.of(encoding).into_owned()),
            other => other.clone(),
        };
        let body = match (readable, &text) {
            _ if is_gif || envelope.loss.is_some() => Vec::new(),
            (Some(text), _) => text.into_bytes(),
            // The beginning of gzip, and nothing that is.
            (None, Err(BodyFault::Gzip { .. } | BodyFault::Bomb { .. })) => {
                let mut body = GZIP_MAGIC.to_vec();
                body.resize(envelope.body.len().max(GZIP_MAGIC.len()), 0);
                body
            }
            (None, _) => filler(envelope.body.len()).into_bytes(),
        };
        let (stand_ins, list) = (&self.stand_ins, &mut self.list);
        let headers = envelope.headers.iter().map(|(name, value)| header(stand_ins, list, name, value)).collect();
        let is_method = envelope.method.len() <= 10 && envelope.method.bytes().all(|byte| byte.is_ascii_uppercase());
        let credential = envelope.credential.as_ref().map(|credential| {
            list.replaced(Sort::Credential);
            stand_ins.credential(credential)
        });
        Envelope {
            via: envelope.via,
            arrival_ms: envelope.arrival_ms,
            request: envelope.request,
            method: if is_method { envelope.method.clone() } else { stand_ins.of(&envelope.method).into_owned() },
            path,
            headers,
            credential,
            body: body.into(),
            decoded_from,
            wire_bytes: envelope.wire_bytes,
            loss: envelope.loss.clone(),
            answer: envelope.answer,
            // What an upstream says is free text, and only what is said word for word to everybody says nothing of
            // anybody.
            answer_text: envelope
                .answer_text
                .as_ref()
                .and_then(|text| text.contains(intake::RELAY_EVENTS_OFF).then(|| intake::RELAY_EVENTS_OFF.to_owned())),
            signature: envelope.signature,
        }
    }

    fn path(&mut self, envelope: &Envelope, gif: Option<&str>) -> String {
        let (stand_ins, list) = (&self.stand_ins, &mut self.list);
        if envelope.via == Via::Http || gif.is_some() {
            return address::request(stand_ins, list, &envelope.path, gif);
        }
        // The name of a file, which stands for the sender of its events.
        agent(stand_ins, list, &envelope.path).into_owned()
    }

    /// Keeps bodies different that were different under one payload id: that is a fault to be found (R4), and numbers
    /// that are all 0 now may have been all the difference. White space tells them apart.
    fn told_apart(&mut self, envelope: &Envelope, text: &str, redacted: String) -> String {
        let Some(id) = envelope.header("x-launchdarkly-payload-id") else { return redacted };
        let environment = intake::environment_name(envelope).unwrap_or_default();
        let bodies = self.bodies.entry(self.stand_ins.number(&format!("{environment}\n{id}"))).or_default();
        let was = self.stand_ins.number(text);
        if let Some((_, spaces)) = bodies.iter().find(|(body, _)| *body == was) {
            return spaced(redacted, *spaces);
        }
        // A sender that uses one id for everything must not make bodies grow without end; what is new after so many
        // is as good as the last.
        let spaces = u32::try_from(bodies.len()).unwrap_or(u32::MAX).min(MAX_BODIES);
        if spaces < MAX_BODIES {
            bodies.push((was, spaces));
        }
        spaced(redacted, spaces)
    }
}

/// Puts spaces where they say nothing: after the first bracket, if there is one.
fn spaced(text: String, spaces: u32) -> String {
    let at = usize::from(text.starts_with(['[', '{']));
    let (first, rest) = text.split_at(at);
    format!("{first}{}{rest}", " ".repeat(spaces as usize))
}
