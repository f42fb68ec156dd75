//! Writing: one thread, which takes everything that waits, writes it at once and waits for the disk once.
//!
//! A request is answered when it is on the disk for certain. Were each waited for by itself, a disk that takes 5 ms
//! would take 200 requests a second; together they share the wait, and while it lasts the next ones gather.

use super::board::Board;
use super::format::FIRST_LINE;
use super::queue::{Queue, segment_path};
use super::{LANES, Lane};
use crate::recorder::{Handle, Storage};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;

/// What is written at once, at the most.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A request to be written.
pub(super) struct Append {
    pub(super) lane: Lane,
    /// Everything but the body.
    pub(super) head: Vec<u8>,
    /// The body; empty where it lies in a file.
    pub(super) body: Bytes,
    /// Bytes of the body where it lies in a file, which are counted as this request's.
    pub(super) elsewhere: u64,
    pub(super) arrival_ms: i64,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// What the thread is told.
pub(super) enum Order {
    Append(Append),
    /// Everything of a lane is delivered: go on in another segment, so that this one can be deleted.
    EndSegment(Lane),
}

pub(super) struct Writer {
    pub(super) storage: Box<dyn Storage>,
    pub(super) board: Arc<Board>,
    pub(super) queues: [Arc<Queue>; LANES],
    pub(super) active: [Option<Active>; LANES],
    /// The numbers the next segments get.
    pub(super) next: [u64; LANES],
    /// A segment ends once it has so many bytes.
    pub(super) segment_bytes: u64,
    /// Bytes that wait to be written.
    pub(super) unwritten: Arc<AtomicU64>,
}

/// A segment that is being written.
pub(super) struct Active {
    handle: Box<dyn Handle>,
    number: u64,
    length: u64,
}

impl Writer {
    /// Writes until nobody is left who could have something to be written.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let mut batches: [Vec<Append>; LANES] = Default::default();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Append(append) => {
                        bytes += append.head.len() + append.body.len();
                        if let Some(batch) = batches.get_mut(append.lane as usize) {
                            batch.push(append);
                        }
                    }
                    // What is in the batch already came before, and is not delivered.
                    Order::EndSegment(lane) => self.end_segment(lane),
                }
                next = if bytes < BATCH_BYTES { orders.try_recv().ok() } else { None };
            }
            for (lane, batch) in Lane::ALL.into_iter().zip(batches) {
                if !batch.is_empty() {
                    self.write(lane, batch);
                }
            }
        }
    }

    fn write(&mut self, lane: Lane, batch: Vec<Append>) {
        let first_ms = batch.iter().map(|append| append.arrival_ms).min().unwrap_or_default();
        let requests = batch.len() as u64;
        let bytes: u64 = batch.iter().map(|append| (append.head.len() + append.body.len()) as u64).sum();
        let elsewhere: u64 = batch.iter().map(|append| append.elsewhere).sum();
        let result = self.append(lane, &batch, bytes);
        self.unwritten.fetch_sub(bytes, Ordering::Relaxed);
        match &result {
            Ok((number, length)) => {
                // The board first: what is delivered is taken off it again.
                self.board.written(lane, requests, bytes + elsewhere, first_ms);
                if let Some(queue) = self.queues.get(lane as usize) {
                    queue.written(*number, *length, requests, bytes + elsewhere);
                }
                if *length >= self.segment_bytes {
                    self.end_segment(lane);
                }
            }
            Err(why) => {
                self.board.give_room(bytes);
                self.board.cannot_write(why);
            }
        }
        for append in batch {
            // An error means that the sender has left; the request is delivered all the same.
            let _ = append.done.send(result.as_ref().map(|_| ()).map_err(Clone::clone));
        }
    }

    /// Writes requests behind each other and waits for the disk. Gives the segment and its length.
    fn append(&mut self, lane: Lane, batch: &[Append], bytes: u64) -> Result<(u64, u64), String> {
        let (Some(active), Some(next), Some(queue)) =
            (self.active.get_mut(lane as usize), self.next.get_mut(lane as usize), self.queues.get(lane as usize))
        else {
            return Err("there is no such lane".to_owned());
        };
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0) + FIRST_LINE.len());
        let mut opened = match active.take() {
            Some(active) => active,
            None => {
                let number = *next;
                let handle = self.storage.open(&segment_path(queue.folder(), number)).map_err(|error| words(&error))?;
                *next += 1;
                content.extend_from_slice(FIRST_LINE);
                Active { handle, number, length: 0 }
            }
        };
        let is_new = opened.length == 0;
        for append in batch {
            content.extend_from_slice(&append.head);
            content.extend_from_slice(&append.body);
        }
        let written = opened.handle.write_all(&content).and_then(|()| opened.handle.sync());
        match written {
            Ok(()) => {
                opened.length += content.len() as u64;
                if is_new {
                    self.board.has_taken(FIRST_LINE.len() as u64);
                }
                let told = (opened.number, opened.length);
                *active = Some(opened);
                Ok(told)
            }
            // After an error of the disk nobody knows what of it is there. What was answered stands before it, and the
            // next request goes into another segment.
            Err(error) => {
                let _ = opened.handle.cut(opened.length);
                if is_new {
                    let _ = std::fs::remove_file(segment_path(queue.folder(), opened.number));
                } else {
                    queue.ended(opened.number);
                }
                Err(words(&error))
            }
        }
    }

    fn end_segment(&mut self, lane: Lane) {
        let active = self.active.get_mut(lane as usize).and_then(Option::take);
        if let (Some(active), Some(queue)) = (active, self.queues.get(lane as usize)) {
            queue.ended(active.number);
        }
    }
}

/// What the system says, without its number for it.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}
