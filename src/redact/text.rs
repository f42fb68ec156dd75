//! Redacting the text of a body or a file: events one by one, and what cannot be read so that it still cannot.

use super::list::Sort;
use super::pen::Pen;
use crate::event::Item;
use crate::event::body;
use crate::json::{Value, Walker};
use crate::segment::door::Door;
use crate::segment::posted::{self, Object};
use std::ops::Range;

/// Filler is as long as what it stands for, up to here.
const MAX_FILLER_BYTES: usize = 1024 * 1024;

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As a request's body, which is inspected up to a limit; it came to a door of Segment's, or to none.
    Batch(Option<Door>),
    /// As a file.
    File,
}

impl Reading {
    /// The door of Segment's it came to.
    pub(super) fn door(self) -> Option<Door> {
        match self {
            Self::Batch(door) => door,
            Self::File => None,
        }
    }
}

/// Something in a text.
struct Found {
    range: Range<usize>,
    is_event: bool,
    /// It is one JSON value, and so can be rewritten whatever it says.
    is_whole: bool,
}

fn is_one_value(text: &str) -> bool {
    let mut walker = Walker::new(text);
    walker.value().is_ok() && walker.is_at_end()
}

/// What is in a text, and whether all of it is JSON in which nothing but brackets and commas stands between events.
fn find(text: &str, reading: Reading) -> (Vec<Found>, bool) {
    let (mut found, mut is_clean, mut end) = (Vec::new(), true, 0);
    let visit = |item: Item<'_>| {
        let (range, is_event) = (item.range(), !matches!(item, Item::Unreadable(_)));
        let is_whole = is_event || is_one_value(text.get(range.clone()).unwrap_or_default());
        is_clean &= is_whole && range.start >= end && is_structure(text.get(end..range.start));
        end = range.end;
        found.push(Found { range, is_event, is_whole });
    };
    match reading {
        Reading::Batch(door) => body::batch(text, door, visit),
        Reading::File => body::items(text, visit),
    }
    is_clean &= is_structure(text.get(end..));
    (found, is_clean)
}

fn is_structure(between: Option<&str>) -> bool {
    between
        .is_some_and(|text| text.bytes().all(|byte| matches!(byte, b'[' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r')))
}

/// Something no reader takes for JSON, on one line.
pub(super) fn filler(bytes: usize) -> String {
    "#".repeat(bytes.clamp(1, MAX_FILLER_BYTES))
}

impl Pen<'_> {
    /// Rewrites a text.
    ///
    /// Where all of it is JSON, only the values change. Otherwise the structure is somebody's accident, and no part of
    /// it can be trusted to be harmless: each event is then written on a line of its own, and each unreadable part as
    /// a line of filler, which is read as the same number of events and of unreadable ones, in the same order.
    pub(super) fn whole_text(&mut self, text: &str, reading: Reading) {
        if self.segment_text(text, reading) {
            return;
        }
        let (found, is_clean) = find(text, reading);
        self.list.events += found.iter().filter(|it| it.is_event).count() as u64;
        self.list.unreadable += found.iter().filter(|it| !it.is_event).count() as u64;
        self.on_one_line = !is_clean;
        let mut copied = 0;
        for it in &found {
            let raw = text.get(it.range.clone()).unwrap_or_default();
            if is_clean {
                self.copy(text.get(copied..it.range.start).unwrap_or_default());
                copied = it.range.end;
            }
            // On a line of its own an array would be a batch.
            match Walker::new(raw).value() {
                Ok(value) if it.is_whole && (is_clean || !matches!(value, Value::Array(_))) => {
                    self.item(value, raw, reading);
                }
                _ => {
                    self.list.replaced(Sort::Unreadable);
                    self.out.push_str(&filler(raw.len()));
                }
            }
            if !is_clean {
                self.out.push('\n');
            }
        }
        if is_clean {
            self.copy(text.get(copied..).unwrap_or_default());
        }
    }

    /// Rewrites a text that is a batch of Segment's, or has one on a line: what a batch says holds for its events, so
    /// that it stays one. False: there is none.
    fn segment_text(&mut self, text: &str, reading: Reading) -> bool {
        let is_batch = |text: &str| {
            let mut walker = Walker::new(text);
            let Ok(Value::Object(raw)) = walker.value() else { return false };
            walker.is_at_end() && matches!(posted::look(raw, 0, reading.door()), Some(Object::Batch(..)))
        };
        if !text.contains("\"batch\"") {
            return false;
        }
        if is_batch(text) {
            self.batch_text(text, reading);
            return true;
        }
        let is_lines = reading == Reading::File
            && text.lines().all(|line| line.trim().is_empty() || is_one_value(line))
            && text.lines().any(is_batch);
        if is_lines {
            for line in text.split_inclusive('\n') {
                if is_batch(line) { self.batch_text(line, reading) } else { self.whole_text(line, reading) }
            }
        }
        is_lines
    }

    fn batch_text(&mut self, text: &str, reading: Reading) {
        body_items(text, reading, |is_event| {
            let count = if is_event { &mut self.list.events } else { &mut self.list.unreadable };
            *count += 1;
        });
        let mut walker = Walker::new(text);
        walker.next_byte();
        let start = walker.offset();
        if let Ok(Value::Object(raw)) = walker.value() {
            self.copy(text.get(..start).unwrap_or_default());
            self.of_segment(raw, reading);
            self.copy(text.get(walker.offset()..).unwrap_or_default());
        }
    }
}

fn body_items(text: &str, reading: Reading, mut visit: impl FnMut(bool)) {
    let visit = |item: Item<'_>| visit(!matches!(item, Item::Unreadable(_)));
    match reading {
        Reading::Batch(door) => body::batch(text, door, visit),
        Reading::File => body::items(text, visit),
    }
}
