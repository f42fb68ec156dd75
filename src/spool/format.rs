//! How a request lies in the spool: what must be delivered as it came, between two checksums.
//!
//! ```text
//!  exptap spool 1⏎                                       one line at the beginning of every segment
//!  mark 4 │ head 4 │ body 8 │ arrival 8 │ file 8 │ crc of head 4 │ crc of body 4 │ crc of all this 4
//!  head: the request line and the headers, as HTTP/1.1 has them
//!  body, unless it lies in a file of its own
//! ```
//!
//! Numbers are little-endian. The lengths have a checksum of their own: a body that says something about lengths is
//! never believed, and what is damaged is passed over to where the next request begins.

use flate2::Crc;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// What every segment begins with.
pub const FIRST_LINE: &[u8] = b"exptap spool 1\n";
/// What it begins with in any version.
pub const MAGIC: &[u8] = b"exptap spool ";
/// What every request begins with: bytes that text, JSON and gzip do not have next to each other.
const MARK: [u8; 4] = [0xf5, b'X', b'T', 0x00];
/// Bytes before the head of a request.
pub const FIXED_BYTES: usize = 44;
/// No request line with headers is longer: a server takes far less.
const HEAD_BYTES: u32 = 4 * 1024 * 1024;
/// A larger body lies in a file of its own.
pub const INLINE_BYTES: u64 = 16 * 1024 * 1024;

/// What is kept of a request beside its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Path and query, as they came.
    pub target: String,
    /// The headers, as they came: the credential among them.
    pub headers: HeaderMap,
}

impl Head {
    /// As it is written.
    pub fn to_bytes(&self) -> Vec<u8> {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut bytes = Vec::with_capacity(self.target.len() + headers + 32);
        for part in [self.method.as_str(), " ", &self.target, "\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// As it was written; `None`: it never was by exptap.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let method = method.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = memchr::memchr(b':', line)?;
            let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
            let value = line.get(colon + 1..)?;
            let value = HeaderValue::from_bytes(value.strip_prefix(b" ").unwrap_or(value)).ok()?;
            headers.try_append(name, value).ok()?;
        }
        Some(Self { method, target: target.to_owned(), headers })
    }
}

/// Where a body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the head.
    Here,
    /// In the file with this number.
    File(u64),
}

/// What is known of a body before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its bytes.
    pub bytes: u64,
    /// Their checksum.
    pub crc: u32,
    /// Where it lies.
    pub place: Place,
}

impl Measure {
    /// Of a body that is written behind its head.
    pub fn of(body: &[u8]) -> Self {
        Self { bytes: body.len() as u64, crc: crc(body), place: Place::Here }
    }
}

/// A request, as a segment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it came, epoch milliseconds.
    pub arrival_ms: i64,
    /// Its head.
    pub head: Head,
    /// Its body's measure.
    pub measure: Measure,
    /// Its body; empty where that lies in a file.
    pub body: &'a [u8],
}

/// What stands at the beginning of some bytes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A request, and how many bytes it takes.
    Entry(Box<Entry<'a>>, usize),
    /// Nothing that can be read: so many bytes are to be passed over.
    Damaged(usize),
    /// The beginning of a request. At the end of a segment, one that was never finished.
    Partial,
}

/// A checksum.
pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Everything of a request but its body: what stands before the body, wherever that lies.
pub fn encode(head: &[u8], arrival_ms: i64, measure: Measure) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED_BYTES + head.len());
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&measure.bytes.to_le_bytes());
    bytes.extend_from_slice(&arrival_ms.to_le_bytes());
    let file = if let Place::File(number) = measure.place { number } else { 0 };
    bytes.extend_from_slice(&file.to_le_bytes());
    bytes.extend_from_slice(&crc(head).to_le_bytes());
    bytes.extend_from_slice(&measure.crc.to_le_bytes());
    let fixed = crc(&bytes);
    bytes.extend_from_slice(&fixed.to_le_bytes());
    bytes.extend_from_slice(head);
    bytes
}

/// Whether a head can be written.
pub fn fits(head: &[u8]) -> bool {
    u32::try_from(head.len()).is_ok_and(|bytes| bytes <= HEAD_BYTES)
}

/// Reads what stands at the beginning of some bytes, which are not empty.
pub fn step(bytes: &[u8]) -> Step<'_> {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else {
        let known = bytes.len().min(MARK.len());
        return if bytes.get(..known) == MARK.get(..known) { Step::Partial } else { Step::Damaged(to_next(bytes)) };
    };
    let Some((lengths, rest)) = Fixed::read(fixed).and_then(|fixed| {
        let rest = bytes.get(FIXED_BYTES..)?;
        Some((fixed, rest))
    }) else {
        return Step::Damaged(to_next(bytes));
    };
    let inline = if lengths.file == 0 { usize::try_from(lengths.body).unwrap_or(usize::MAX) } else { 0 };
    let head = lengths.head as usize;
    let length = FIXED_BYTES + head + inline;
    let (Some(head), Some(body)) = (rest.get(..head), rest.get(head..head + inline)) else { return Step::Partial };
    let is_right = crc(head) == lengths.head_crc && (lengths.file != 0 || crc(body) == lengths.body_crc);
    match Head::from_bytes(head).filter(|_| is_right) {
        Some(head) => {
            let place = if lengths.file == 0 { Place::Here } else { Place::File(lengths.file) };
            let measure = Measure { bytes: lengths.body, crc: lengths.body_crc, place };
            Step::Entry(Box::new(Entry { arrival_ms: lengths.arrival_ms, head, measure, body }), length)
        }
        // The lengths are right, so what follows is found without looking for it in what a sender wrote.
        None => Step::Damaged(length),
    }
}

struct Fixed {
    head: u32,
    body: u64,
    arrival_ms: i64,
    file: u64,
    head_crc: u32,
    body_crc: u32,
}

impl Fixed {
    /// `None`: these are not the lengths of a request.
    fn read(bytes: &[u8; FIXED_BYTES]) -> Option<Self> {
        let (guarded, guard) = bytes.split_last_chunk::<4>()?;
        if crc(guarded) != u32::from_le_bytes(*guard) {
            return None;
        }
        let (mark, rest) = guarded.split_first_chunk::<4>()?;
        let (head, rest) = rest.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_first_chunk::<8>()?;
        let (arrival_ms, rest) = rest.split_first_chunk::<8>()?;
        let (file, rest) = rest.split_first_chunk::<8>()?;
        let (head_crc, rest) = rest.split_first_chunk::<4>()?;
        let (body_crc, _) = rest.split_first_chunk::<4>()?;
        let fixed = Self {
            head: u32::from_le_bytes(*head),
            body: u64::from_le_bytes(*body),
            arrival_ms: i64::from_le_bytes(*arrival_ms),
            file: u64::from_le_bytes(*file),
            head_crc: u32::from_le_bytes(*head_crc),
            body_crc: u32::from_le_bytes(*body_crc),
        };
        let is_inline_too_large = fixed.file == 0 && fixed.body > INLINE_BYTES;
        (*mark == MARK && fixed.head <= HEAD_BYTES && !is_inline_too_large).then_some(fixed)
    }
}

/// How far it is to where the next request may begin. What may be the first bytes of a mark at the end stays.
fn to_next(bytes: &[u8]) -> usize {
    let rest = bytes.get(1..).unwrap_or_default();
    if let Some(at) = memchr::memmem::find(rest, &MARK) {
        return at + 1;
    }
    let is_begun = |kept: &usize| rest.ends_with(MARK.get(..*kept).unwrap_or_default());
    let kept = (1..MARK.len()).rev().find(is_begun).unwrap_or(0);
    bytes.len() - kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn head() -> Head {
        let mut headers = HeaderMap::new();
        headers.append("authorization", "sdk-1".parse().unwrap());
        headers.append("x-twice", "one".parse().unwrap());
        headers.append("x-twice", "two: three".parse().unwrap());
        headers.append("x-odd", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        headers.append("x-empty", HeaderValue::from_static(""));
        Head { method: Method::POST, target: "/bulk?a=%7e&b={}'|".to_owned(), headers }
    }

    fn written(body: &[u8]) -> Vec<u8> {
        let mut bytes = encode(&head().to_bytes(), 5, Measure::of(body));
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let bytes = written(b"[1]");
        let Step::Entry(entry, length) = step(&bytes) else { unreachable!() };
        assert_eq!((entry.arrival_ms, &entry.head, entry.body, length), (5, &head(), &b"[1]"[..], bytes.len()));
        let measure = Measure { bytes: 3, crc: 9, place: Place::File(7) };
        let bytes = encode(&head().to_bytes(), -1, measure);
        let Step::Entry(entry, length) = step(&bytes) else { unreachable!() };
        assert_eq!((entry.arrival_ms, entry.measure, entry.body, length), (-1, measure, &b""[..], bytes.len()));
    }

    #[test]
    fn a_request_cut_anywhere_is_partial_and_one_with_a_changed_byte_is_never_taken_for_another() {
        let bytes = written(b"[{\"kind\":\"index\"}]");
        for end in 1..bytes.len() {
            assert_eq!(step(&bytes[..end]), Step::Partial, "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = [bytes.clone(), written(b"next")].concat();
            changed[at] ^= 0x20;
            let Step::Damaged(skip) = step(&changed) else { unreachable!("byte {at}") };
            assert_eq!(skip, bytes.len(), "byte {at}");
        }
    }

    #[test]
    fn a_mark_that_is_cut_off_behind_what_is_damaged_is_not_passed_over() {
        for kept in 0..MARK.len() {
            let mut bytes = b"damaged".to_vec();
            bytes.extend_from_slice(&MARK[..kept]);
            assert_eq!(step(&bytes), Step::Damaged(7), "{kept}");
        }
    }
}
