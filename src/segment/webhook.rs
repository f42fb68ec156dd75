//! Segment's webhooks: how a request is known to be one, and what its signature is worth.
//!
//! A webhook's path is whatever somebody entered, so it is known by its head as well. Its signature is a hexadecimal
//! HMAC-SHA1 with a secret both sides know.

use super::door::Door;
use crate::envelope::{Envelope, Signature};
use crate::json::Walker;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;

/// The header the signature stands in.
pub const SIGNATURE_HEADER: &str = "x-signature";

/// Whether a request on a path that says nothing is a webhook of Segment's: it has a body, and its sender's name
/// begins with `Segment` or it is signed.
pub fn is_webhook(method: &str, user_agent: Option<&str>, is_signed: bool) -> bool {
    let has_body = matches!(method, "POST" | "PUT" | "PATCH");
    has_body && (is_signed || user_agent.is_some_and(|name| name.starts_with("Segment")))
}

/// The door a request came to: by its path, else by its head. The endpoint takes a path LaunchDarkly's SDKs use for one
/// of theirs before it asks this.
pub fn door(envelope: &Envelope) -> Option<Door> {
    let is_signed = envelope.header(SIGNATURE_HEADER).is_some();
    let by_head = || is_webhook(&envelope.method, envelope.header("user-agent"), is_signed).then_some(Door::Webhook);
    Door::of(&envelope.path).or_else(by_head)
}

/// What both sides know. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret, without the white space around it; none where nothing is left.
    pub fn new(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| Self(text.to_vec()))
    }

    /// What the signature of a body, as it came over the wire, is worth.
    ///
    /// The webhook that sends several events at once signs the first of them only. So where the whole is not what was
    /// signed, the first element of an array is tried, as it stands there: nothing rewrites it between the signature
    /// and the wire.
    pub fn check(&self, signature: Option<&str>, body: &[u8]) -> Signature {
        let Some(signature) = signature.map(str::trim).filter(|signature| !signature.is_empty()) else {
            return Signature::Missing;
        };
        let Some(signature) = hexadecimal(signature) else { return Signature::Wrong };
        let signs = |text: &[u8]| self.signs(&signature, text);
        if signs(body) || first_element(body).is_some_and(|element| signs(element.as_bytes())) {
            Signature::Valid
        } else {
            Signature::Wrong
        }
    }

    fn signs(&self, signature: &[u8], text: &[u8]) -> bool {
        // A secret of any length is a key, so there is no error to report.
        let Ok(mut hmac) = Hmac::<Sha1>::new_from_slice(&self.0) else { return false };
        hmac.update(text);
        hmac.verify_slice(signature).is_ok()
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high * 16 + low).collect())
}

/// The text of the first element, where the body is an array.
fn first_element(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let mut walker = Walker::new(text);
    if !walker.take(b'[') {
        return None;
    }
    walker.next_byte()?;
    let start = walker.offset();
    walker.value().ok()?;
    text.get(start..walker.offset())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // echo -n '{"type":"track"}' | openssl dgst -sha1 -hmac shh-secret
    const SIGNATURE: &str = "da68443e1a1a6b7e737b3736737d211baa108879";

    fn check(signature: Option<&str>, body: &str) -> Signature {
        Secret::new(b" shh-secret\n").unwrap().check(signature, body.as_bytes())
    }

    #[test]
    fn a_signature_covers_the_body_or_the_first_event_of_an_array() {
        for body in [
            r#"{"type":"track"}"#,
            r#"[{"type":"track"}]"#,
            r#"[{"type":"track"},{"type":"identify"}]"#,
            "[ {\"type\":\"track\"} , 3]",
        ] {
            assert_eq!(check(Some(SIGNATURE), body), Signature::Valid, "{body}");
            assert_eq!(check(Some(&format!(" {} ", SIGNATURE.to_uppercase())), body), Signature::Valid, "{body}");
            assert_eq!(check(None, body), Signature::Missing, "{body}");
            assert_eq!(check(Some(" "), body), Signature::Missing, "{body}");
        }
        for body in [r#"{"type":"track"} "#, r#"[{"type": "track"}]"#, r#"[[{"type":"track"}]]"#, "", "[", "[]"] {
            assert_eq!(check(Some(SIGNATURE), body), Signature::Wrong, "{body}");
        }
        for signature in ["00", "zz", "f5e", "sha1=f5", "é", &SIGNATURE.replace('6', "7")] {
            assert_eq!(check(Some(signature), r#"{"type":"track"}"#), Signature::Wrong, "{signature}");
        }
    }

    #[test]
    fn a_secret_is_trimmed_and_never_printed() {
        assert_eq!(Secret::new(b" \n"), None);
        assert_eq!(Secret::new(b"\tshh-secret\r\n"), Secret::new(b"shh-secret"));
        assert_eq!(format!("{:?}", Secret::new(b"shh-secret").unwrap()), "Secret(…)");
    }

    #[test]
    fn a_webhook_is_known_by_its_sender_s_name_or_by_being_signed() {
        assert!(is_webhook("POST", Some("Segment (Actions)"), false));
        assert!(is_webhook("PUT", None, true));
        assert!(!is_webhook("GET", Some("Segment (Actions)"), true));
        assert!(!is_webhook("POST", Some("curl/8 Segment"), false));
        assert!(!is_webhook("POST", None, false));
    }
}
