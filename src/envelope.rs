//! The one type everything that comes in is wrapped in: bytes, arrival and provenance.
//!
//! Whatever the source (the endpoint, a file, the demo), it hands on envelopes; the recorder and the forwarder
//! take theirs before anything is decoded, and the core decodes only from here.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fmt;

/// How a gzip stream begins.
pub const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A credential that cannot print itself: its kind, its last four characters, and `#` with the first four hex
/// digits of its SHA-256. That is enough to tell two apart and to recognise one's own, and useless to anyone else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Credential(String);

impl Credential {
    /// Masks a raw SDK key, mobile key or write key. The raw text is not kept.
    pub fn mask(raw: &str) -> Self {
        let raw = raw.trim();
        let raw = raw.strip_prefix("api_key ").unwrap_or(raw);
        let (prefix, secret) = match raw.split_once('-') {
            Some((kind @ ("sdk" | "mob" | "api"), secret)) => (format!("{kind}-"), secret),
            _ => (String::new(), raw),
        };
        let characters: Vec<char> = secret.chars().collect();
        // A short secret would be half given away by four of its characters.
        let shown = if characters.len() >= 8 { 4 } else { 0 };
        let tail: String = characters.iter().skip(characters.len() - shown).collect();
        let digest = Sha256::digest(raw.as_bytes());
        let [first, second, ..] = digest.as_slice() else { return Self(format!("{prefix}…{tail}")) };
        Self(format!("{prefix}…{tail}#{first:02x}{second:02x}"))
    }

    /// Takes a credential that is masked already, as a catalog or a recording holds it.
    pub fn masked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The masked form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// exptap itself.
    Local,
    /// The upstream named by `--forward`.
    Upstream,
}

/// The answer the sender got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Who gave it.
    pub from: AnsweredBy,
}

/// What the signature of one of Segment's webhooks is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Whoever sent it knows the secret.
    Valid,
    /// It is another's, or the body is.
    Wrong,
    /// There is none.
    Missing,
}

impl Signature {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Valid, Self::Wrong, Self::Missing];

    /// The word in a recording.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signature| signature.name() == name)
    }
}

/// Why the bytes of a body are not all here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyLoss {
    /// The body is larger than what is inspected; it was answered (and forwarded) all the same.
    TooLarge {
        /// Bytes that were announced or seen.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The sender closed the connection in the middle.
    Closed {
        /// Bytes received.
        received: u64,
        /// Bytes announced, where a length was.
        announced: Option<u64>,
    },
}

/// How something came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// A request, with its headers and its arrival.
    #[default]
    Http,
    /// Events without a request, as a file or a pipe has them. The path is the name of where they were read, and the
    /// arrival is when: neither says anything of when or how they were sent.
    File,
}

impl Via {
    /// The word in a recording.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::File => "file",
        }
    }
}

/// One request as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// How it came in.
    pub via: Via,
    /// Arrival, epoch milliseconds, by the clock of the machine exptap runs on.
    pub arrival_ms: i64,
    /// Requests are counted from 1.
    pub request: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query as received, raw credentials in them masked (a client-side id is not a secret and stays).
    pub path: String,
    /// Headers by lower-case name, in the order received. `authorization` is never among them.
    pub headers: Vec<(String, String)>,
    /// The masked credential of the `Authorization` header, or Segment's write key in the body, if there was one.
    pub credential: Option<Credential>,
    /// The body as it came over the wire, still encoded unless `decoded_from` says otherwise. Only Segment's write keys
    /// in it are masked.
    pub body: Bytes,
    /// The encoding that was taken off the body already: a recording keeps the decoded text.
    pub decoded_from: Option<String>,
    /// Bytes of the body on the wire; more than `body` holds where it was too large to keep.
    pub wire_bytes: u64,
    /// Set where the body is not whole.
    pub loss: Option<BodyLoss>,
    /// What the sender was answered.
    pub answer: Option<Answer>,
    /// The beginning of what the upstream said, where it did not take the request; credentials in it are masked.
    pub answer_text: Option<String>,
    /// What the signature of one of Segment's webhooks is worth. None: it was not checked, because no secret was given,
    /// it is no webhook, or its body is not whole.
    pub signature: Option<Signature>,
}

impl Envelope {
    /// The value of a header, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Arrival as far as it says when the events were sent, epoch milliseconds.
    pub fn arrival(&self) -> Option<i64> {
        (self.via == Via::Http).then_some(self.arrival_ms)
    }

    /// The number of the request, if it is one.
    pub fn number(&self) -> Option<u64> {
        (self.via == Via::Http).then_some(self.request)
    }

    /// Bytes of memory beside the body, about.
    pub fn head_bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        (headers + self.path.len() + size_of::<Self>()) as u64
    }

    /// Whether the body was compressed on the wire.
    pub fn was_compressed(&self) -> bool {
        self.body.starts_with(&GZIP_MAGIC) || self.decoded_from.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_credential_shows_kind_tail_and_hash_only() {
        assert_eq!(Credential::mask("sdk-fake-0000-node").as_str().split('#').next(), Some("sdk-…node"));
        assert_eq!(Credential::mask("sdk-fake-0000-node").as_str().len(), "sdk-…node#0000".len());
        assert!(!Credential::mask("short").as_str().contains("shor"));
        assert_eq!(Credential::mask("api_key mob-aaaaaaaa1234").as_str().split('#').next(), Some("mob-…1234"));
    }
}
