//! What of a request's head may be kept, and how secrets in it are made unreadable before anything sees them.
//!
//! Headers are taken by a list of names: whatever else a proxy or a page adds may be somebody's secret, and none
//! of it says anything about events.

use crate::envelope::Credential;
use crate::segment::webhook::SIGNATURE_HEADER;
pub(super) use crate::segment::write_key::{KEY_CHARACTERS, hide};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName};

const KEPT: [&str; 8] = [
    "content-type",
    "content-encoding",
    "user-agent",
    "host",
    "origin",
    "referer",
    // How often Segment's libraries tried before.
    "x-retry-count",
    // That a webhook is signed.
    SIGNATURE_HEADER,
];
const KEPT_PREFIX: &str = "x-launchdarkly-";
const KEY_KINDS: [&str; 3] = ["sdk-", "mob-", "api-"];
const SECRET_WORDS: [&str; 8] = ["key", "token", "secret", "auth", "password", "signature", "credential", "session"];
/// A key is a kind and a UUID; three digits tell one from `sdk-events-proxy` in a path or a tag.
const KEY_DIGITS: usize = 3;
/// From here on a word of letters and digits may be somebody's key.
const TOKEN_CHARACTERS: usize = 16;

/// The part of a request's head that is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SafeHead {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) credential: Option<Credential>,
}

/// Whose credential a request has in its `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorized {
    /// An SDK's: the header is the key.
    Sdk,
    /// A Segment library's: the user of the Basic scheme is the write key.
    Segment,
}

/// Takes path with query, and headers, and lets no raw credential through.
pub(super) fn safe_head(path_and_query: &str, headers: &HeaderMap, authorized: Authorized) -> SafeHead {
    let raw = headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    let raw = raw.filter(|raw| !raw.is_empty());
    let write_key = raw.as_deref().filter(|_| authorized == Authorized::Segment).and_then(basic_user);
    let credential = write_key.as_deref().or(raw.as_deref()).map(Credential::mask);
    // An SDK wrapper or a proxy may repeat the very credential in a place nobody expects.
    let hide = |mut text: String| {
        if let (Some(raw), Some(masked)) = (&raw, &credential) {
            let without_scheme = raw.split_once(' ').map_or(raw.as_str(), |(_, token)| token.trim());
            for raw in [raw, without_scheme, write_key.as_deref().unwrap_or(raw)] {
                self::hide(&mut text, raw, masked);
            }
        }
        text
    };
    let kept = headers
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = match name.as_str() {
                "referer" => mask_address(&value),
                // It fits the body, so a weak secret could be guessed from it.
                SIGNATURE_HEADER => Credential::mask(&value).to_string(),
                name if is_secret_name(name.strip_prefix(KEPT_PREFIX).unwrap_or("")) => {
                    Credential::mask(&value).to_string()
                }
                _ => mask_keys(&value),
            };
            (name.as_str().to_owned(), hide(value))
        })
        .collect();
    SafeHead { path: hide(mask_address(path_and_query)), headers: kept, credential }
}

/// The user of an `Authorization` header of the Basic scheme, where there is one.
pub(super) fn basic_user(header: &str) -> Option<String> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let user = decoded.split(':').next().unwrap_or("").trim();
    (!user.is_empty()).then(|| user.to_owned())
}

/// Masks what looks like a credential in a path or address and its query. A client-side id is no secret and stays.
pub(super) fn mask_address(address: &str) -> String {
    let Some((path, query)) = address.split_once('?') else { return mask_keys(&mask_project(address)) };
    let query: Vec<String> = query.split('&').map(mask_parameter).collect();
    format!("{}?{}", mask_keys(&mask_project(path)), query.join("&"))
}

/// What is masked in an address, raw: as it stands there, and without its percent-encoding.
pub(super) fn secrets_of_address(address: &str) -> Vec<String> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let segments: Vec<&str> = path.split('/').collect();
    let of_path =
        segments.iter().enumerate().filter(|(at, segment)| is_write_key(&segments, *at) || starts_as_key(segment));
    let of_query = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let of_query = of_query.filter(|(name, value)| *name != "d" && (is_secret_name(name) || starts_as_key(value)));
    let raw = of_path.map(|(_, segment)| *segment).chain(of_query.map(|(_, value)| value));
    raw.flat_map(|raw| [raw.to_owned(), decode_percent(raw)]).collect()
}

/// The credentials in headers, raw, in whatever form: with their scheme and without, and what is in base64.
pub(super) fn secrets_of_headers(headers: &HeaderMap) -> Vec<String> {
    let mut secrets = Vec::new();
    for (name, value) in headers.iter().filter(|(name, _)| is_secret_name(name.as_str()) || *name == COOKIE) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = value.trim();
        // A scheme is no secret: an answer may well say which one it expects.
        let value = value.split_once(' ').filter(|_| *name == AUTHORIZATION).map_or(value, |(_, token)| token.trim());
        for part in value.split([' ', ';', ',']).filter(|part| !part.is_empty()) {
            let part = part.split_once('=').map(|(_, value)| value).filter(|_| *name == COOKIE).unwrap_or(part);
            let decoded = STANDARD.decode(part).ok().and_then(|decoded| String::from_utf8(decoded).ok());
            secrets.extend(decoded.iter().flat_map(|decoded| decoded.split(':')).map(|it| it.trim().to_owned()));
            secrets.push(part.to_owned());
        }
    }
    secrets
}

/// Masks the write key in the path analytics.js asks for its settings at: `/v1/projects/{write key}/settings`, and
/// whatever is nearly that.
fn mask_project(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').collect();
    let masked = segments.iter().enumerate().map(|(at, segment)| {
        let is_key = is_write_key(&segments, at);
        if is_key { Credential::mask(&decode_percent(segment)).to_string() } else { (*segment).to_owned() }
    });
    masked.collect::<Vec<_>>().join("/")
}

fn is_write_key(segments: &[&str], at: usize) -> bool {
    let named = |segment: Option<&&str>, name: &str| segment.is_some_and(|segment| *segment == name);
    let mut before = segments.iter().take(at).rev().filter(|segment| !segment.is_empty());
    let mut after = segments.iter().skip(at + 1).filter(|segment| !segment.is_empty());
    segments.get(at).is_some_and(|segment| !segment.is_empty())
        && named(before.next(), "projects")
        && (named(before.next(), "v1") || named(after.next(), "settings"))
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        // The events of a GIF request: base64, where any three letters may happen to stand.
        Some(("d", _)) => parameter.to_owned(),
        Some((name, value)) if !value.is_empty() && (is_secret_name(name) || starts_as_key(value)) => {
            format!("{}={}", mask_keys(name), Credential::mask(&decode_percent(value)))
        }
        _ => mask_keys(parameter),
    }
}

fn is_kept(name: &HeaderName) -> bool {
    KEPT.contains(&name.as_str()) || name.as_str().starts_with(KEPT_PREFIX)
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

fn starts_as_key(text: &str) -> bool {
    let text = decode_percent(text);
    KEY_KINDS.iter().any(|kind| text.starts_with(kind))
}

/// Replaces every SDK key, mobile key and API key in a text.
pub(super) fn mask_keys(text: &str) -> String {
    // Percent-encoding may hide a key; the decoded text is kept only where it does, so that nothing else changes.
    let decoded = decode_percent(text);
    if decoded != text
        && let Some(masked) = masked_keys(&decoded)
    {
        return masked;
    }
    masked_keys(text).unwrap_or_else(|| text.to_owned())
}

fn masked_keys(text: &str) -> Option<String> {
    let mut masked = String::new();
    let mut copied = 0;
    let mut searched = 0;
    while let Some(start) = next_key_kind(text, searched) {
        let rest = text.get(start..)?;
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(rest.len());
        let key = rest.get(..length)?;
        searched = start + 4;
        if key.len() >= KEY_CHARACTERS + 4 && key.bytes().filter(u8::is_ascii_digit).count() >= KEY_DIGITS {
            masked.push_str(text.get(copied..start)?);
            masked.push_str(Credential::mask(key).as_str());
            copied = start + length;
            searched = copied;
        }
    }
    if copied == 0 {
        return None;
    }
    masked.push_str(text.get(copied..)?);
    Some(masked)
}

/// Masks what is long enough for a credential and mixed of letters and digits as one: better a number of a request too
/// many than a key.
pub(super) fn mask_tokens(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|it| !is_in_token(it)).unwrap_or(rest.len());
        let (token, behind) = rest.split_at(length);
        let has = |kind: fn(&u8) -> bool| token.bytes().any(|byte| kind(&byte));
        if token.len() >= TOKEN_CHARACTERS && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) {
            masked.push_str(Credential::mask(token).as_str());
        } else {
            masked.push_str(token);
        }
        let between = behind.find(is_in_token).unwrap_or(behind.len());
        let (between, behind) = behind.split_at(between);
        masked.push_str(between);
        rest = behind;
    }
    masked
}

/// Whether a character may be one of a key.
pub(super) fn is_in_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-' || character == '_'
}

fn next_key_kind(text: &str, from: usize) -> Option<usize> {
    let found = |kind: &str| {
        text.get(from..)?
            .match_indices(kind)
            .map(|(at, _)| from + at)
            .find(|at| !text.get(..*at).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_alphanumeric())))
    };
    KEY_KINDS.iter().filter_map(|kind| found(kind)).min()
}

/// A text without its percent-encoding.
pub(super) fn decode_percent(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (byte == b'%').then(|| (ahead.next().and_then(hexadecimal), ahead.next().and_then(hexadecimal)));
        if let Some((Some(high), Some(low))) = digits {
            decoded.push(high * 16 + low);
            bytes = ahead;
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const KEY: &str = "sdk-11111111-2222-3333-4444-55555555aaaa";

    fn head(path: &str, headers: &[(&'static str, &str)]) -> SafeHead {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        safe_head(path, &map, Authorized::Sdk)
    }

    #[test]
    fn no_form_of_a_raw_key_survives_in_path_query_or_headers() {
        for path in [
            format!("/{KEY}/bulk"),
            format!("/bulk?authorization={KEY}"),
            format!("/bulk?x={KEY}&y=1"),
            format!("/bulk?x=sdk%2D{}", KEY.get(4..).unwrap()),
            format!("/bulk?x=Bearer%20{KEY}"),
            format!("/bulk?note=before:{KEY}:after"),
        ] {
            let masked = mask_address(&path);
            assert!(!masked.contains("11111111"), "{masked}");
            assert!(masked.contains("sdk-…aaaa#"), "{masked}");
        }
        let head = head(
            &format!("/bulk?w={}", "plain-secret-text"),
            &[
                ("authorization", "plain-secret-text"),
                ("cookie", "session=1"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x-launchdarkly-api-key", "hunter2hunter2"),
                ("x-launchdarkly-wrapper", "plain-secret-text"),
                ("referer", &format!("https://shop.example/?access_token=abc123abc123&k={KEY}")),
                ("x-launchdarkly-event-schema", "4"),
            ],
        );
        let text = format!("{head:?}");
        for secret in ["plain-secret", "session=1", "10.0.0.1", "hunter2h", "abc123", "11111111"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert_eq!(head.headers.iter().find(|(name, _)| name == "x-launchdarkly-event-schema").unwrap().1, "4");
        assert_eq!(head.credential.unwrap().as_str().split('#').next(), Some("…text"));
    }

    #[test]
    fn a_write_key_is_masked_the_same_whether_it_stands_in_a_path_or_in_basic_authorization() {
        let key = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY";
        let masked = Credential::mask(key);
        for (path, expected) in [
            (format!("/v1/projects/{key}/settings"), format!("/v1/projects/{masked}/settings")),
            (format!("//a//v1//projects//{key}//settings?x=1"), format!("//a//v1//projects//{masked}//settings?x=1")),
            (format!("/projects/{key}/settings"), format!("/projects/{masked}/settings")),
            (format!("/v1/projects/{key}"), format!("/v1/projects/{masked}")),
            (format!("/webhook?writeKey={key}"), format!("/webhook?writeKey={masked}")),
        ] {
            assert_eq!(mask_address(&path), expected);
        }
        let mut headers = HeaderMap::new();
        let encoded = STANDARD.encode(format!("{key}:"));
        headers.insert(AUTHORIZATION, format!("basic  {encoded}").parse().unwrap());
        headers.insert("referer", format!("https://shop.example/{encoded}/{key}").parse().unwrap());
        let head = safe_head(&format!("/{key}/v1/track"), &headers, Authorized::Segment);
        assert_eq!(head.credential, Some(masked.clone()));
        assert_eq!(head.path, format!("/{masked}/v1/track"));
        let referer = format!("https://shop.example/{masked}/{masked}");
        assert_eq!(head.headers, [("referer".to_owned(), referer)]);
        for header in ["Basic", "Basic !", "Basic Og==", "Bearer eA==", ""] {
            assert_eq!(basic_user(header), None, "{header}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_came() {
        for path in [
            "/events/bulk/64b0c0ffee64b0c0ffee6400",
            "/a/64b0c0ffee.gif?d=W3sia2luZCI6InN1bW1hcnkifV0=",
            "/a/64b0c0ffee.gif?d=api-000000000000",
            "/api-gateway/sdk-events-proxy/bulk",
            "//bulk?",
            "/bulk?a=%zz&b=%2",
            "/api/v2/projects/default/flags",
        ] {
            assert_eq!(mask_address(path), path);
        }
        let head = head("/bulk", &[("x-launchdarkly-tags", "application-id/api-server-v2 application-version/1.2.3")]);
        assert_eq!(head.headers.first().unwrap().1, "application-id/api-server-v2 application-version/1.2.3");
    }
}
