//! Reading a segment from somewhere in it up to where it is known to be whole.

use super::format::{self, Head, Measure, Step};
use bytes::Bytes;
use std::io::{self, Read};

/// How much is read at a time.
const PIECE_BYTES: u64 = 256 * 1024;

/// What a segment has next.
// It lives on the stack between the reader and whoever asked; a box would be an allocation per request.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A request.
    Request(Waiting),
    /// Bytes that cannot be read, followed by something that can, or by the end.
    Damaged {
        /// Where they begin, in the file.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A request at the end that was never finished, and so never answered.
    Unfinished {
        /// Where it begins, in the file.
        offset: u64,
        /// Its bytes.
        bytes: u64,
    },
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Where it begins, in the file.
    pub offset: u64,
    /// Bytes it takes there.
    pub bytes: u64,
    /// When it came, epoch milliseconds.
    pub arrival_ms: i64,
    /// Its head.
    pub head: Head,
    /// Its body's measure.
    pub measure: Measure,
    /// Its body; empty where that lies in a file.
    pub body: Bytes,
}

impl Waiting {
    /// Bytes it takes on the disk, its body included wherever that lies.
    pub fn disk_bytes(&self) -> u64 {
        if self.measure.place == format::Place::Here { self.bytes } else { self.bytes + self.measure.bytes }
    }
}

/// Reads a segment. It may grow meanwhile.
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next request begins.
    start: usize,
    /// Where that is in the file.
    offset: u64,
    /// Up to where the file was read.
    read: u64,
}

impl<R: Read> Reader<R> {
    /// Of a source that stands at this offset.
    pub fn new(source: R, offset: u64) -> Self {
        Self { source, buffer: Vec::new(), start: 0, offset, read: offset }
    }

    /// Where it stands.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next of what stands before `end`; `None` at the end. `is_ended`: nothing more will ever be written, so that
    /// a beginning of a request is all there is of it.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next(&mut self, end: u64, is_ended: bool) -> io::Result<Option<Item>> {
        let (damaged_from, mut damaged) = (self.offset, 0_u64);
        loop {
            let bytes = self.buffer.get(self.start..).unwrap_or_default();
            let step = if bytes.is_empty() { Step::Partial } else { format::step(bytes) };
            match step {
                Step::Entry(..) if damaged > 0 => break,
                Step::Entry(entry, length) => {
                    let (head, measure, arrival_ms) = (entry.head.clone(), entry.measure, entry.arrival_ms);
                    let body = Bytes::copy_from_slice(entry.body);
                    let (offset, bytes) = (self.offset, length as u64);
                    self.pass_over(length);
                    return Ok(Some(Item::Request(Waiting { offset, bytes, arrival_ms, head, measure, body })));
                }
                Step::Damaged(length) => {
                    self.pass_over(length);
                    damaged += length as u64;
                }
                Step::Partial if self.read < end => self.read_on(end)?,
                Step::Partial if damaged > 0 => break,
                Step::Partial if bytes.is_empty() || !is_ended => return Ok(None),
                Step::Partial => {
                    let (offset, length) = (self.offset, bytes.len());
                    self.pass_over(length);
                    return Ok(Some(Item::Unfinished { offset, bytes: length as u64 }));
                }
            }
        }
        Ok(Some(Item::Damaged { offset: damaged_from, bytes: damaged }))
    }

    fn pass_over(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    fn read_on(&mut self, end: u64) -> io::Result<()> {
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        // A request larger than a piece is read in ever larger ones, so that it is not looked at again and again.
        let wanted = PIECE_BYTES.max(self.buffer.len() as u64).min(end - self.read);
        let read = (&mut self.source).take(wanted).read_to_end(&mut self.buffer)? as u64;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than what was written to it",
            ));
        }
        self.read += read;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::spool::format::{Place, encode};
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    fn head(number: usize) -> Head {
        let mut headers = HeaderMap::new();
        headers.append("x-launchdarkly-payload-id", format!("p-{number}").parse().unwrap());
        Head { method: Method::POST, target: "/bulk".to_owned(), headers }
    }

    fn segment(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (number, body) in bodies.iter().enumerate() {
            bytes.extend(encode(&head(number).to_bytes(), number as i64, Measure::of(body)));
            bytes.extend_from_slice(body);
            ends.push(bytes.len() as u64);
        }
        (bytes, ends)
    }

    fn all(bytes: &[u8], is_ended: bool) -> Vec<Item> {
        let mut reader = Reader::new(bytes, 0);
        std::iter::from_fn(|| reader.next(bytes.len() as u64, is_ended).unwrap()).collect()
    }

    fn numbers(items: &[Item]) -> Vec<i64> {
        let numbers = items.iter().filter_map(|item| match item {
            Item::Request(waiting) => Some(waiting.arrival_ms),
            _ => None,
        });
        numbers.collect()
    }

    #[test]
    fn cut_at_every_byte_everything_whole_before_the_cut_is_there_and_the_rest_is_told() {
        let (bytes, ends) = segment(&[b"[1]".to_vec(), Vec::new(), vec![b'x'; 300], b"[4]".to_vec()]);
        for end in 0..=bytes.len() {
            let whole = ends.iter().filter(|it| **it <= end as u64).count();
            let last = ends[..whole].last().copied().unwrap_or(0);
            let items = all(&bytes[..end], true);
            assert_eq!(numbers(&items), (0..whole as i64).collect::<Vec<_>>(), "cut at {end}");
            let unfinished = Item::Unfinished { offset: last, bytes: end as u64 - last };
            assert_eq!(items.last() == Some(&unfinished), end as u64 > last, "cut at {end}");
            assert_eq!(all(&bytes[..end], false).len(), whole, "what may still be finished is waited for");
        }
    }

    #[test]
    fn a_damaged_request_costs_itself_and_its_place_is_told() {
        let bodies: Vec<Vec<u8>> = (0..3).map(|number| vec![b'0' + number; 40]).collect();
        let (bytes, ends) = segment(&bodies);
        let (from, to) = (ends[0], ends[1]);
        for at in from..to {
            let mut changed = bytes.clone();
            changed[at as usize] ^= 1;
            let items = all(&changed, true);
            assert_eq!(numbers(&items), [0, 2], "byte {at}");
            assert_eq!(items[1], Item::Damaged { offset: from, bytes: to - from }, "byte {at}");
        }
    }

    #[test]
    fn what_a_body_says_of_requests_is_not_believed_even_where_its_own_request_is_damaged() {
        let (forged, _) = segment(&[b"forged".to_vec()]);
        let (mut bytes, ends) = segment(&[forged, b"true".to_vec()]);
        let at = ends[0] as usize - 1;
        bytes[at] ^= 1;
        let items = all(&bytes, true);
        assert_eq!(items[0], Item::Damaged { offset: 0, bytes: ends[0] });
        assert_eq!(numbers(&items), [1]);
    }

    #[test]
    fn a_segment_that_grows_is_read_on_from_where_it_ended() {
        let (bytes, ends) = segment(&[vec![b'a'; 700_000], b"[2]".to_vec()]);
        let mut reader = Reader::new(&bytes[..], 0);
        assert!(matches!(reader.next(ends[0], false).unwrap(), Some(Item::Request(_))));
        assert_eq!(reader.next(ends[0], false).unwrap(), None);
        let Some(Item::Request(waiting)) = reader.next(ends[1], false).unwrap() else { panic!() };
        assert_eq!((waiting.offset, waiting.measure.place), (ends[0], Place::Here));
        assert_eq!(&waiting.body[..], b"[2]");
        assert_eq!(reader.offset(), ends[1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// Whatever is done to a segment, reading ends, every byte is in one item, and what was not touched is there.
        #[test]
        fn every_byte_of_a_damaged_segment_is_accounted_for(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 0..4),
        ) {
            let (mut bytes, ends) = segment(&bodies);
            let mut touched = vec![false; bodies.len()];
            for (at, change) in damage {
                let at = at.index(bytes.len());
                bytes[at] ^= change;
                touched[ends.iter().position(|end| (at as u64) < *end).unwrap()] = true;
            }
            let items = all(&bytes, true);
            let mut next = 0;
            for item in &items {
                let (offset, length) = match item {
                    Item::Request(waiting) => (waiting.offset, waiting.bytes),
                    Item::Damaged { offset, bytes } | Item::Unfinished { offset, bytes } => (*offset, *bytes),
                };
                prop_assert_eq!(offset, next);
                next += length;
            }
            prop_assert_eq!(next, bytes.len() as u64);
            let read = numbers(&items);
            for (number, touched) in touched.iter().enumerate() {
                prop_assert!(*touched || read.contains(&(number as i64)), "request {}", number);
            }
        }
    }
}
