//! Segment's write keys: credentials that stand in bodies and paths, where everything else is kept as it came.
//!
//! A body is searched, not parsed: one that is cut off or no JSON at all holds the key as well. Nor is it enough to
//! look for one spelling, for JSON may escape any letter, and one document may be a string in another.

use crate::envelope::{Credential, Envelope, GZIP_MAGIC};
use crate::event::body;
use crate::json::{Value, Walker};
use std::borrow::Cow;
use std::ops::Range;

/// The name of the member, in lower case: libraries and people do not agree on the case, nor on a `_` between the words.
const NAME: &[u8] = b"writekey";
const FIRST_WORD: usize = 5;

/// The shortest key that is looked for outside its member: a shorter one might be any word.
pub(crate) const KEY_CHARACTERS: usize = 8;

/// Keys of one body that are looked for outside their members; made-up ones must not cost a search each.
const KEYS_SOUGHT: usize = 8;

/// A text whose write keys are masked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Masked {
    /// The text; nothing else of it is changed.
    pub(crate) text: Vec<u8>,
    /// The key as it was: the one that stands for the whole where there is one, else the first, else the one known.
    pub(crate) raw: String,
}

/// Masks every write key in a body, and what is one of these keys or the key known already wherever else it stands.
/// None: there is none in it, or they are masked.
pub(crate) fn mask(text: &[u8], known: Option<&str>) -> Option<Masked> {
    let (mut masked, mut copied) = (Vec::new(), 0);
    let mut keys: Vec<String> = Vec::new();
    let mut has_member = false;
    let mut at = 0;
    while let Some((value, raw)) = next_key(text, at) {
        masked.extend_from_slice(text.get(copied..value.start)?);
        masked.extend_from_slice(escaped(Credential::mask(&raw).as_str()).as_bytes());
        has_member = true;
        if keys.len() < KEYS_SOUGHT && !keys.contains(&raw) {
            keys.push(raw);
        }
        copied = value.end;
        at = value.end;
    }
    let key = if has_member { of_the_whole(text) } else { None };
    let first = keys.first().cloned();
    let sought: Vec<&str> = keys.iter().map(String::as_str).chain(key.as_deref()).chain(known).collect();
    if !has_member && !sought.iter().any(|raw| spellings(raw).any(|it| memchr::memmem::find(text, &it).is_some())) {
        return None;
    }
    masked.extend_from_slice(text.get(copied..)?);
    for raw in &sought {
        hide_bytes(&mut masked, raw);
    }
    Some(Masked { raw: key.or(first).or_else(|| known.map(str::to_owned))?, text: masked })
}

/// The write keys in a text; none: there are more than can be looked for elsewhere.
pub(crate) fn keys(text: &[u8]) -> Option<Vec<String>> {
    let (mut keys, mut at) = (Vec::new(), 0);
    while let Some((value, raw)) = next_key(text, at) {
        if !keys.contains(&raw) {
            keys.push(raw);
        }
        if keys.len() > KEYS_SOUGHT {
            return None;
        }
        at = value.end;
    }
    Some(keys)
}

/// The next write key that is not masked yet: where it stands, and what it is.
fn next_key(text: &[u8], mut at: usize) -> Option<(Range<usize>, String)> {
    while let Some(found) = memchr::memchr3(b'w', b'W', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        let Some(value) = value_of_member(text, at) else {
            at += 1;
            continue;
        };
        let raw = plain(text.get(value.clone())?);
        if !is_masked(&raw) {
            return Some((value, raw));
        }
        at = value.end;
    }
    None
}

/// The request without the write keys in its body; none where nothing is to be changed, which is nearly always.
///
/// For what came to no door of Segment's. A body that cannot be looked into is left as it is: it is hardly Segment's.
pub(crate) fn cleaned(envelope: &Envelope) -> Option<Envelope> {
    let is_gzip = envelope.body.starts_with(&GZIP_MAGIC);
    let text = if is_gzip {
        Cow::Owned(body::text(envelope).ok()?.into_owned().into_bytes())
    } else {
        Cow::Borrowed(&*envelope.body)
    };
    let Masked { text, raw } = mask(&text, None)?;
    let mut cleaned = Envelope { body: text.into_boxed_slice().into(), ..envelope.clone() };
    if is_gzip {
        cleaned.decoded_from = Some("gzip".to_owned());
    }
    let masked = Credential::mask(&raw);
    hide(&mut cleaned.path, &raw, &masked);
    cleaned.headers.iter_mut().for_each(|(_, value)| hide(value, &raw, &masked));
    Some(cleaned)
}

/// Replaces a raw credential wherever it stands in a text.
pub(crate) fn hide(text: &mut String, raw: &str, masked: &Credential) {
    if raw.len() >= KEY_CHARACTERS && text.contains(raw) {
        *text = text.replace(raw, masked.as_str());
    }
}

fn hide_bytes(text: &mut Vec<u8>, raw: &str) {
    let masked = escaped(Credential::mask(raw).as_str());
    for spelling in spellings(raw) {
        let (mut hidden, mut copied) = (Vec::new(), 0);
        for at in memchr::memmem::find_iter(text, &spelling) {
            hidden.extend_from_slice(text.get(copied..at).unwrap_or_default());
            hidden.extend_from_slice(masked.as_bytes());
            copied = at + spelling.len();
        }
        if copied > 0 {
            hidden.extend_from_slice(text.get(copied..).unwrap_or_default());
            *text = hidden;
        }
    }
}

/// How a key is looked for: as it is, and as JSON writes it; a short one not at all.
fn spellings(raw: &str) -> impl Iterator<Item = Vec<u8>> {
    let plain = (raw.len() >= KEY_CHARACTERS).then(|| raw.as_bytes().to_vec());
    let in_json = plain.is_some().then(|| escaped(raw).into_bytes()).filter(|it| Some(it) != plain.as_ref());
    in_json.into_iter().chain(plain)
}

/// Whether a text is a key as [`Credential`] shows one.
fn is_masked(text: &str) -> bool {
    let shown = ["sdk-", "mob-", "api-"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
    shown.strip_prefix('…').and_then(|rest| rest.rsplit_once('#')).is_some_and(|(tail, digest)| {
        matches!(tail.chars().count(), 0 | 4) && digest.len() == 4 && digest.bytes().all(|it| it.is_ascii_hexdigit())
    })
}

/// The key that a body which is one object gives for all that is in it.
fn of_the_whole(text: &[u8]) -> Option<String> {
    let mut key = None;
    // What was walked before a fault was as it must be.
    let _ = Walker::new(std::str::from_utf8(text).ok()?).object(|name, value| {
        if let Value::String(value) = value
            && name.text().eq_ignore_ascii_case("writeKey")
        {
            key = Some(value.text().into_owned());
        }
    });
    key.filter(|key| !key.is_empty() && !is_masked(key))
}

/// Where the value stands of a member whose name begins at `at`; none: it is another name, or no string follows.
fn value_of_member(text: &[u8], at: usize) -> Option<Range<usize>> {
    let is_in_a_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if at.checked_sub(1).and_then(|before| text.get(before)).is_some_and(|before| is_in_a_word(*before)) {
        return None;
    }
    let mut at = at;
    for (number, letter) in NAME.iter().enumerate() {
        if number == FIRST_WORD && text.get(at) == Some(&b'_') {
            at += 1;
        }
        let (found, next) = character(text, at)?;
        if found.to_ascii_lowercase() != *letter {
            return None;
        }
        at = next;
    }
    let (at, is_quoted) = quote(text, at).map_or((at, false), |quote| (quote.end, true));
    let at = over_white_space(text, at);
    let sign = *text.get(at)?;
    let at = over_white_space(text, at + 1);
    match (sign, quote(text, at)) {
        (b':' | b'=', Some(opening)) => {
            let start = opening.end;
            let length = closing(text.get(start..)?, opening.escapes, *text.get(start - 1)?);
            (length > 0).then(|| start..start + length)
        }
        // As in a query. A name in quotes with this behind it is no member of anything.
        (b'=', None) if !is_quoted => {
            let rest = text.get(at..)?;
            let ends = |byte: &u8| b"&#,;}]\"'\\<>".contains(byte) || byte.is_ascii_whitespace();
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            (length > 0).then(|| at..at + length)
        }
        _ => None,
    }
}

/// A letter, however JSON spells it, and where the next one stands.
fn character(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let byte = *text.get(at)?;
    if byte != b'\\' {
        return Some((byte, at + 1));
    }
    let [b'u', digits @ ..] = text.get(at + 1..at + 6)? else { return None };
    let code = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((code, at + 6))
}

/// A quote, with the backslashes before it: in a document that is a string in another, quotes are escaped.
struct Quote {
    escapes: usize,
    end: usize,
}

fn quote(text: &[u8], at: usize) -> Option<Quote> {
    let rest = text.get(at..)?;
    let escapes = rest.iter().take_while(|byte| **byte == b'\\').count();
    matches!(rest.get(escapes), Some(b'"' | b'\'')).then_some(Quote { escapes, end: at + escapes + 1 })
}

/// How long a string is whose opening quote had so many backslashes before it. One that is never closed goes on to the
/// end.
fn closing(text: &[u8], escapes: usize, quote: u8) -> usize {
    for at in memchr::memchr_iter(quote, text) {
        let backslashes = text.iter().take(at).rev().take_while(|byte| **byte == b'\\').count();
        let closes = if escapes == 0 { backslashes % 2 == 0 } else { backslashes == escapes };
        if closes {
            return if escapes == 0 { at } else { at - escapes };
        }
    }
    text.len()
}

fn over_white_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// What a string of JSON stands for; what is none stands for itself.
fn plain(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value).into_owned();
    if !text.contains('\\') {
        return text;
    }
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or(text)
}

/// The same within the quotes of a string of JSON. The last characters of a key are shown, and may be anything.
fn escaped(masked: &str) -> String {
    let quoted = serde_json::Value::from(masked).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY";

    fn masked() -> String {
        Credential::mask(KEY).to_string()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = mask(text.as_bytes(), None).unwrap();
        assert_eq!(String::from_utf8(found.text).unwrap(), expected.replace("MASKED", &masked()));
        assert_eq!(found.raw, KEY);
    }

    #[test]
    fn a_key_is_masked_in_whatever_form_it_stands_and_nothing_else_is_changed() {
        let escaped: String = KEY.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
        for (before, after) in [
            (format!(r#"{{"writeKey":"{KEY}","n":1.50}}"#), r#"{"writeKey":"MASKED","n":1.50}"#),
            (format!("{{\"writeKey\" :\n \"{KEY}\" }}"), "{\"writeKey\" :\n \"MASKED\" }"),
            (format!(r#"{{"WriteKey":"{KEY}"}}"#), r#"{"WriteKey":"MASKED"}"#),
            (format!(r#"{{"write_key":"{KEY}"}}"#), r#"{"write_key":"MASKED"}"#),
            (format!(r#"{{"\u0077rite\u004bey":"{KEY}"}}"#), r#"{"\u0077rite\u004bey":"MASKED"}"#),
            (format!(r#"{{"writeKey":"{escaped}"}}"#), r#"{"writeKey":"MASKED"}"#),
            (
                format!(r#"[{{"writeKey":"{KEY}"}},{{"writeKey":"{KEY}"}}]"#),
                r#"[{"writeKey":"MASKED"},{"writeKey":"MASKED"}]"#,
            ),
            (format!(r#"{{"a":{{"b":[{{"writeKey":"{KEY}"}}]}}}}"#), r#"{"a":{"b":[{"writeKey":"MASKED"}]}}"#),
            (format!(r#"{{"batch":[,"writeKey":"{KEY}"#), r#"{"batch":[,"writeKey":"MASKED"#),
            (format!(r#"{{"x":"lost quote,"writeKey":"{KEY}","y":1"#), r#"{"x":"lost quote,"writeKey":"MASKED","y":1"#),
            (format!("{{writeKey: '{KEY}'}}"), "{writeKey: 'MASKED'}"),
            (format!("data=1&writeKey={KEY}&x=2"), "data=1&writeKey=MASKED&x=2"),
            (format!(r#"{{"url":"https://x/?writeKey={KEY}"}}"#), r#"{"url":"https://x/?writeKey=MASKED"}"#),
            (
                format!(r#"{{"s":"{{\"writeKey\":\"{KEY}\",\"a\":1}}"}}"#),
                r#"{"s":"{\"writeKey\":\"MASKED\",\"a\":1}"}"#,
            ),
        ] {
            check(&before, after);
            assert!(!after.contains(KEY));
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are_around_a_key() {
        let mut body = b"\xff\xfe{\"writeKey\":\"".to_vec();
        body.extend_from_slice(KEY.as_bytes());
        body.extend_from_slice(b"\",\"x\":\"\xc3\"}\0");
        let mut expected = b"\xff\xfe{\"writeKey\":\"".to_vec();
        expected.extend_from_slice(masked().as_bytes());
        expected.extend_from_slice(b"\",\"x\":\"\xc3\"}\0");
        assert_eq!(mask(&body, None).unwrap().text, expected);
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        for text in [
            "",
            "{}",
            r#"{"writeKey":""}"#,
            r#"{"writeKey":null}"#,
            r#"{"writeKey":{"a":"b"}}"#,
            r#"{"writeKeys":"many"}"#,
            r#"{"overwriteKey":"x"}"#,
            r#"{"key":"writeKey","value":"x"}"#,
            r#"{"text":"the writeKey: see below"}"#,
            r#""writeKey"#,
            r#"\u00"#,
            "writeKey=",
        ] {
            assert_eq!(mask(text.as_bytes(), None), None, "{text}");
        }
    }

    #[test]
    fn the_key_of_the_whole_is_the_credential_and_not_one_inside_an_event() {
        let text = format!(r#"{{"batch":[{{"properties":{{"writeKey":"another"}}}}],"writeKey":"{KEY}"}}"#);
        assert_eq!(mask(text.as_bytes(), None).unwrap().raw, KEY);
        let text = format!(r#"{{"batch":[{{"writeKey":"{KEY}"}},{{"writeKey":"another"}}]}}"#);
        assert_eq!(mask(text.as_bytes(), None).unwrap().raw, KEY);
    }

    #[test]
    fn a_key_is_hidden_wherever_else_it_stands_and_a_short_one_only_in_its_member() {
        check(
            &format!(r#"{{"context":{{"page":{{"url":"http://h/?k={KEY}&x={KEY}"}}}},"writeKey":"{KEY}"}}"#),
            r#"{"context":{"page":{"url":"http://h/?k=MASKED&x=MASKED"}},"writeKey":"MASKED"}"#,
        );
        let known = mask(format!(r#"{{"url":"http://h/?k={KEY}"}}"#).as_bytes(), Some(KEY)).unwrap();
        assert_eq!(String::from_utf8(known.text).unwrap(), format!(r#"{{"url":"http://h/?k={}"}}"#, masked()));
        assert_eq!(mask(br#"{"url":"http://h/"}"#, Some(KEY)), None);
        assert_eq!(mask(br#"{"event":"short"}"#, Some("short")), None);
        let short = mask(br#"{"event":"key","writeKey":"key"}"#, None).unwrap();
        assert!(short.text.starts_with(br#"{"event":"key","writeKey":""#));
        let quoted = mask(br#"{"writeKey":"a\"bcdefgh","x":"a\"bcdefgh"}"#, None).unwrap();
        assert_eq!(memchr::memmem::find(&quoted.text, b"bcdefgh"), None);
    }

    #[test]
    fn what_is_masked_is_not_masked_again() {
        let once = mask(format!(r#"{{"writeKey":"{KEY}","a":{{"writeKey":"key"}}}}"#).as_bytes(), None).unwrap();
        assert_eq!(mask(&once.text, None), None);
    }

    #[test]
    fn a_key_with_quotes_in_it_leaves_json_behind() {
        let found = mask(br#"{"writeKey":"a\\\"bcdefg\"\\\"h","x":1}"#, None).unwrap();
        assert_eq!(found.raw, r#"a\"bcdefg"\"h"#);
        let value: serde_json::Value = serde_json::from_slice(&found.text).unwrap();
        assert_eq!(value["writeKey"], Credential::mask(&found.raw).as_str());
    }

    proptest! {
        #[test]
        fn whatever_surrounds_a_member_its_key_is_gone(
            before in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let body = [&before[..], b",\"writeKey\":\"", KEY.as_bytes(), b"\",", &after[..]].concat();
            let found = mask(&body, None).unwrap();
            prop_assert!(memchr::memmem::find(&found.text, KEY.as_bytes()).is_none());
        }

        #[test]
        fn any_bytes_are_taken(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            mask(&body, None);
        }
    }
}
