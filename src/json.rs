//! A walker over JSON text that accounts for every byte and copies none.
//!
//! serde_json would refuse a whole batch for one bad event and reports a line and column of a copy; an inspector
//! has to say which event is bad, at which byte of the body, and go on with the next. It must also read what real
//! senders write and serde_json refuses: lone surrogates, numbers outside f64. What is accepted is JSON as RFC 8259
//! defines it, no more: a property test holds the walker against serde_json.

mod pretty;

pub(crate) use pretty::{MAX_SHOWN, pretty, shorten};

use std::borrow::Cow;
use std::fmt;

/// How deep values may be nested before they are refused; the same limit serde_json has.
pub const MAX_DEPTH: u32 = 128;

/// What is wrong with the text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset of the offending byte in the text that was walked.
    pub offset: usize,
    /// What was expected there, or what is wrong.
    pub what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.what, self.offset)
    }
}

/// A JSON string as it stands in the text: the part between the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonString<'a> {
    /// The text between the quotes, escapes still in it.
    pub raw: &'a str,
    /// Whether there are any escapes.
    pub escaped: bool,
}

impl<'a> JsonString<'a> {
    /// The text the string stands for; borrowed where nothing is escaped. A lone surrogate, which has no UTF-8
    /// form, becomes U+FFFD.
    pub fn text(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Whether the string stands for this text.
    pub fn is(self, text: &str) -> bool {
        if self.escaped { unescape(self.raw) == text } else { self.raw == text }
    }
}

/// The first quote, backslash or control character at or after `from`, or the end.
///
/// Most strings of an event are shorter than what a vectorised search needs to pay for its call, so eight bytes are
/// looked at together in a register. In each of the three tests a byte's high bit is set if it is what is looked
/// for; a borrow can set it wrongly only above a byte that is, and only the lowest is asked for.
fn plain_until(bytes: &[u8], from: usize) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let is_zero = |word: u64| word.wrapping_sub(LOW) & !word;
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = is_zero(word ^ (LOW * u64::from(b'"')));
        let backslash = is_zero(word ^ (LOW * u64::from(b'\\')));
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).map_or(bytes.len(), |found| at + found)
}

fn hex4(text: &str) -> Option<u32> {
    u32::from_str_radix(text.get(..4)?, 16).ok()
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut characters = escape.chars();
        let Some(letter) = characters.next() else { return out };
        rest = characters.as_str();
        match letter {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let Some(first) = hex4(rest) else { return out };
                rest = rest.get(4..).unwrap_or("");
                let low = rest.strip_prefix("\\u").and_then(hex4).filter(|low| (0xDC00..0xE000).contains(low));
                let code = match (first, low) {
                    (0xD800..=0xDBFF, Some(low)) => {
                        rest = rest.get(6..).unwrap_or("");
                        0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00)
                    }
                    _ => first,
                };
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    out
}

/// A value as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string.
    String(JsonString<'a>),
    /// An array, brackets included.
    Array(&'a str),
    /// An object, braces included.
    Object(&'a str),
}

impl<'a> Value<'a> {
    /// The string, if it is one.
    pub fn string(self) -> Option<JsonString<'a>> {
        if let Self::String(string) = self { Some(string) } else { None }
    }

    /// A finite number, if it is one.
    pub fn number(self) -> Option<f64> {
        if let Self::Number(text) = self { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
    }

    /// A whole number, if it is one; `12.0` and `1.2e1` are, as they are in JavaScript.
    pub fn integer(self) -> Option<i64> {
        let Self::Number(text) = self else { return None };
        if let Ok(number) = text.parse() {
            return Some(number);
        }
        let number: f64 = text.parse().ok()?;
        // 2^63 is exact in f64, so the comparison keeps out everything the cast would bend.
        (number.trunc() == number && number.abs() < 9_223_372_036_854_775_808.0).then_some(number as i64)
    }

    /// What kind of value it is, for a message.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Walks a text from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walker<'a> {
    /// A walker at the start of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// A walker that stands at an offset.
    pub fn at(text: &'a str, offset: usize) -> Self {
        Self { text, at: offset }
    }

    /// Where it stands.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The text between two offsets.
    pub fn between(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        let what = if self.at >= self.text.len() { "the text ends in the middle of a value" } else { what };
        Err(Fault { offset: self.at, what })
    }

    /// Steps over white space and gives the next byte, without taking it.
    pub fn next_byte(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// Takes one byte if it is this one.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.next_byte() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Whether only white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.next_byte().is_none()
    }

    fn string(&mut self) -> Result<JsonString<'a>, Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut escaped = false;
        let mut from = start;
        loop {
            let end = plain_until(bytes, from);
            match bytes.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(JsonString { raw: self.between(start, end), escaped });
                }
                Some(b'\\') => {}
                Some(_) => {
                    self.at = end;
                    return self.fault("a control character stands unescaped in a string");
                }
                None => {
                    self.at = bytes.len();
                    return self.fault("");
                }
            }
            escaped = true;
            match bytes.get(end + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => from = end + 2,
                Some(b'u') => match bytes.get(end + 2..end + 6) {
                    Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => from = end + 6,
                    Some(_) => {
                        self.at = end;
                        return self.fault("\\u needs four hexadecimal digits");
                    }
                    None => {
                        self.at = bytes.len();
                        return self.fault("");
                    }
                },
                _ => {
                    self.at = end + 1;
                    return self.fault("unknown escape in a string");
                }
            }
        }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fault("expected a digit");
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.between(start, self.at))
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Ok(value)
        } else {
            self.fault("expected a JSON value")
        }
    }

    /// Takes one value, whatever it is; an array or object is taken whole.
    ///
    /// # Errors
    /// The first byte that is not JSON, or the byte at which values are nested too deep.
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        match self.next_byte() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => {
                let start = self.at;
                self.skip_container()?;
                Ok(Value::Object(self.between(start, self.at)))
            }
            Some(b'[') => {
                let start = self.at;
                self.skip_container()?;
                Ok(Value::Array(self.between(start, self.at)))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.fault("expected a JSON value"),
        }
    }

    /// Skips an array or object with a bit per open bracket instead of a call per level: nesting cannot exhaust
    /// the stack, and the walker stays in one loop.
    fn skip_container(&mut self) -> Result<(), Fault> {
        let mut is_object: u128 = 0;
        let mut depth: u32 = 0;
        // Each turn takes one value's opening or one scalar; closings and commas follow it.
        loop {
            match self.next_byte() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return self.fault("values are nested more than 128 deep");
                    }
                    depth += 1;
                    is_object = (is_object << 1) | u128::from(open == b'{');
                    self.at += 1;
                    if open == b'{' {
                        if self.next_byte() != Some(b'}') {
                            self.member_key()?;
                            continue;
                        }
                    } else if self.next_byte() != Some(b']') {
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                _ => {
                    self.value()?;
                }
            }
            loop {
                let in_object = is_object & 1 == 1;
                match (self.next_byte(), in_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.member_key()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        depth -= 1;
                        is_object >>= 1;
                        if depth == 0 {
                            return Ok(());
                        }
                    }
                    (_, true) => return self.fault("expected ',' or '}'"),
                    (_, false) => return self.fault("expected ',' or ']'"),
                }
            }
        }
    }

    fn member_key(&mut self) -> Result<JsonString<'a>, Fault> {
        if self.next_byte() != Some(b'"') {
            return self.fault("expected a member name in quotes");
        }
        let key = self.string()?;
        if !self.take(b':') {
            return self.fault("expected ':'");
        }
        Ok(key)
    }

    /// Takes an object member by member.
    ///
    /// # Errors
    /// The first byte that is not JSON; members before it have been visited.
    pub fn object(&mut self, mut visit: impl FnMut(JsonString<'a>, Value<'a>)) -> Result<(), Fault> {
        if !self.take(b'{') {
            return self.fault("expected an object");
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.member_key()?;
            let value = self.value()?;
            visit(key, value);
            if self.take(b',') {
                continue;
            }
            if self.take(b'}') {
                return Ok(());
            }
            return self.fault("expected ',' or '}'");
        }
    }

    /// After a fault: steps to the comma or bracket that ends the element of an enclosing array, judging by quotes
    /// and brackets alone, so that one bad element does not spoil its neighbours. Where there is none before `end`,
    /// steps there and returns false.
    pub fn step_over_bad_element(&mut self, element_start: usize, end: usize) -> bool {
        let end = end.min(self.text.len());
        let bytes = self.text.as_bytes().get(..end).unwrap_or_default();
        let mut depth = 0_u32;
        let mut in_string = false;
        let mut at = element_start;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' if in_string => at += 1,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b',' | b']' if depth == 0 => {
                    self.at = at;
                    return true;
                }
                _ => {}
            }
            at += 1;
        }
        self.at = end;
        false
    }
}

/// Visits the members of an object that was taken whole before.
pub fn members<'a>(object: &'a str, visit: impl FnMut(JsonString<'a>, Value<'a>)) {
    // A value that was taken whole is valid, so there is no fault to report here.
    let _ = Walker::new(object).object(visit);
}

/// Visits the elements of an array that was taken whole before.
pub fn elements<'a>(array: &'a str, mut visit: impl FnMut(Value<'a>)) {
    let mut walker = Walker::new(array);
    if !walker.take(b'[') {
        return;
    }
    while let Ok(value) = walker.value() {
        visit(value);
        if !walker.take(b',') {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut walker = Walker::new(text);
        walker.value().is_ok() && walker.is_at_end()
    }

    #[test]
    fn what_is_not_json_is_refused_at_its_first_wrong_byte() {
        for (text, offset) in [
            ("{\"a\":1,}", 7),
            ("[1,2,,3]", 5),
            ("{\"a\" 1}", 5),
            ("[01]", 2),
            ("[1.]", 3),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 2),
            ("[tru]", 1),
            ("{\"a\":1", 6),
            ("", 0),
        ] {
            let fault = Walker::new(text).value().unwrap_err();
            assert_eq!(fault.offset, offset, "{text}: {fault}");
        }
    }

    #[test]
    fn nesting_is_refused_at_the_limit_without_using_the_stack() {
        let deep = "[".repeat(100_000);
        assert_eq!(Walker::new(&deep).value().unwrap_err().what, "values are nested more than 128 deep");
        let allowed = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(accepts(&allowed));
    }

    #[test]
    fn strings_are_unescaped_and_lone_surrogates_replaced() {
        let value = Walker::new(r#""jos\u00e9 \ud83d\ude00 \ud800x \"\\\/\n""#).value().unwrap();
        assert_eq!(value.string().unwrap().text(), "josé 😀 \u{fffd}x \"\\/\n");
        assert!(value.string().unwrap().is("josé 😀 \u{fffd}x \"\\/\n"));
    }

    #[test]
    fn whole_numbers_are_whole_however_they_are_written() {
        for (text, expected) in
            [("12", Some(12)), ("12.0", Some(12)), ("1.2e1", Some(12)), ("1.5", None), ("1e400", None), ("-0", Some(0))]
        {
            assert_eq!(Value::Number(text).integer(), expected, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::hash_map(".{0,4}", inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_accepts_what_serde_json_accepts(value in json(), cut in any::<prop::sample::Index>(), insert in "[\\[\\]{},:\"0-9a-z\\\\ .-]{0,2}") {
            let good = value.to_string();
            prop_assert!(accepts(&good), "{}", good);
            let mut at = cut.index(good.len() + 1);
            while !good.is_char_boundary(at) { at -= 1; }
            let bent = format!("{}{}{}", &good[..at], insert, good[at..].chars().skip(1).collect::<String>());
            let ours = accepts(&bent);
            let theirs: Result<&serde_json::value::RawValue, _> = serde_json::from_str(&bent);
            prop_assert_eq!(ours, theirs.is_ok(), "{}", bent);
        }

        #[test]
        fn strings_mean_what_serde_json_says(text in ".{0,20}") {
            let quoted = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(Walker::new(&quoted).value().unwrap().string().unwrap().text(), text);
        }
    }
}
