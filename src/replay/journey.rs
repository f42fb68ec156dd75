//! Going somewhere: to a position, or to where a finding first shows.
//!
//! A position is reached from the session that is shown, a recent copy of it, or a checkpoint: whichever takes the
//! least. From a checkpoint the list is empty, so that it must be one from which the list fills on the way. Rows are
//! most of the work near the end of a way, and nobody looks at thousands of them at once: first what fills a screen is
//! made and shown, then the way is gone once more from where the list begins, with all of its rows.

use super::checkpoints::{RECENT_EVENTS, Saved};
use super::engine::{Engine, SLICE_EVENTS, SLICE_RECORDS, Shown};
use super::head::{Gone, Head, cut_short};
use super::lines::{Cursor, Place, Step};
use super::player::{Direction, Going};
use crate::session::Session;
use std::io;

/// How much longer an event takes whose row is made.
const ROW_COST: u64 = 3;
/// Copies are kept along so many of the last events of a way, for steps back.
const RECENT_WINDOW: u64 = 4 * RECENT_EVENTS;

/// Events of which rows are made for the first showing.
const PREVIEW_EVENTS: u64 = 1000;

/// Where a wish leads.
pub(super) enum Leg {
    Nowhere,
    /// To a position, and to an instant after its last record.
    To(u64, Option<i64>),
    /// To the next finding from a position.
    Finding(u64, Direction),
}

pub(super) enum Journey {
    Seek(Seek),
    Hunt(Hunt),
}

pub(super) struct Seek {
    head: Head,
    target: u64,
    until_ms: Option<i64>,
    from_events: u64,
    to_events: u64,
    /// From this position on rows are made …
    rows_from: u64,
    /// … of all of the list, for which they are made from here on …
    list_from: u64,
    /// … where this one stands. It goes the rest of the way once more.
    again: Option<Head>,
    /// It is shown already, with some of its rows.
    is_shown: bool,
}

/// The search for the record at which a finding first shows.
pub(super) struct Hunt {
    from: u64,
    direction: Direction,
    /// On the way to a look.
    probe: Option<(Head, u64)>,
    /// Where it was looked last and was not there.
    low: Option<Head>,
    done: u64,
}

impl Journey {
    pub(super) fn to(&self) -> Option<u64> {
        match self {
            Self::Seek(seek) => Some(seek.target),
            Self::Hunt(_) => None,
        }
    }

    /// How far it has come; nothing where what is on its way is more of what is shown already.
    pub(super) fn going(&self) -> Option<Going> {
        Some(match self {
            Self::Seek(Seek { is_shown: true, .. }) => return None,
            Self::Seek(seek) => Going {
                to: Some(seek.target),
                done: seek.head.events() - seek.from_events,
                of: seek.to_events.max(seek.head.events()) - seek.from_events,
            },
            Self::Hunt(hunt) => {
                let (done, of) = hunt.probe.as_ref().map_or((0, 0), |(head, _)| (head.events(), head.events()));
                Going { to: None, done: hunt.done + done, of: hunt.done + of }
            }
        })
    }
}

impl Engine {
    /// Sets out to a position.
    pub(super) fn seek(&mut self, target: u64, until_ms: Option<i64>) -> Seek {
        let to_events = self.index.events_at(target);
        let rows_from = self.index.position_of_events(to_events.saturating_sub(self.rows() + RECENT_WINDOW));
        let from = |head: &Head| (to_events.saturating_sub(head.events())) * ROW_COST;
        let shown = self.shown.as_ref().filter(|shown| {
            let is_before = shown.head.position < target
                || (shown.head.position == target && shown.clock_ms <= until_ms.max(shown.head.time_ms));
            is_before && shown.head.is_filled && !shown.is_end
        });
        let recent = self.recent.before(target);
        let near = shown.map(|shown| &shown.head).into_iter().chain(recent).min_by_key(|head| from(head));
        let saved = self.checkpoints.before(rows_from);
        let from_saved = |saved: &Saved| {
            let rows_events = self.index.events_at(rows_from);
            rows_events.saturating_sub(saved.events) + to_events.saturating_sub(rows_events) * ROW_COST
        };
        let head = match (near, saved) {
            (Some(near), Some(saved)) if from(near) <= from_saved(saved) => near.fork(),
            (_, Some(saved)) => saved.resume(),
            // There is a checkpoint at the beginning as soon as anything was read.
            (Some(near), None) => near.fork(),
            (None, None) => {
                let (head, again) = (self.nothing(), None);
                return Seek {
                    head,
                    target: 0,
                    until_ms,
                    from_events: 0,
                    to_events: 0,
                    rows_from: 0,
                    list_from: 0,
                    again,
                    is_shown: false,
                };
            }
        };
        let has_list = near.is_some_and(|near| near.position == head.position);
        let list_from = if has_list { 0 } else { rows_from };
        let preview_from = self.index.position_of_events(to_events.saturating_sub(PREVIEW_EVENTS));
        // Not worth it where the list is hardly longer.
        let is_long = to_events.saturating_sub(self.index.events_at(list_from).max(head.events())) > 4 * PREVIEW_EVENTS;
        let rows_from = if !has_list && is_long { preview_from } else { list_from };
        self.recent.truncate(head.position);
        Seek {
            from_events: head.events(),
            head,
            target,
            until_ms,
            to_events,
            rows_from,
            list_from,
            again: None,
            is_shown: false,
        }
    }

    fn nothing(&self) -> Head {
        // What is shown is gone on from, so it is judged by what the rest is judged by.
        Head::new(Session::new(self.catalog(), self.session_options()), 0, Place::BEGINNING, None, true)
    }

    pub(super) fn hunt(&mut self, from: u64, direction: Direction) -> Hunt {
        Hunt { from, direction, probe: None, low: None, done: 0 }
    }

    /// Goes on for a slice. True: it has arrived.
    pub(super) fn go_on(&mut self, journey: &mut Journey) -> io::Result<bool> {
        match journey {
            Journey::Seek(seek) => self.seek_on(seek),
            Journey::Hunt(hunt) => self.hunt_on(hunt),
        }
    }

    fn seek_on(&mut self, seek: &mut Seek) -> io::Result<bool> {
        let head = &mut seek.head;
        let until = head.events() + SLICE_EVENTS;
        for _ in 0..SLICE_RECORDS {
            if head.position >= seek.target {
                return Ok(self.arrive(seek));
            }
            if seek.again.is_none() && head.position >= seek.list_from && seek.rows_from > seek.list_from {
                seek.again = Some(head.fork());
            }
            let with_rows = head.position >= seek.rows_from;
            if let Gone::End | Gone::Waiting = head.step(&mut self.file, with_rows)? {
                return Err(cut_short());
            }
            let is_filled = seek.rows_from <= seek.list_from;
            if with_rows && is_filled && head.events() + RECENT_WINDOW >= seek.to_events {
                self.recent.consider(head);
            }
            if head.events() >= until {
                break;
            }
        }
        Ok(false)
    }

    /// Shows where it has arrived. False: that was the first showing.
    fn arrive(&mut self, seek: &mut Seek) -> bool {
        let head = match seek.again.take() {
            Some(again) => {
                (seek.rows_from, seek.from_events, seek.is_shown) = (seek.list_from, again.events(), true);
                let head = std::mem::replace(&mut seek.head, again);
                self.arrive_at(head, seek.until_ms, false);
                return false;
            }
            None => seek.head.fork(),
        };
        self.arrive_at(head, seek.until_ms, true);
        true
    }

    /// Shows a session at its position, and as of an instant after its last record. At the end nothing is pending any
    /// more.
    pub(super) fn arrive_at(&mut self, mut head: Head, until_ms: Option<i64>, is_filled: bool) {
        let is_end = self.is_complete() && head.position == self.index.timeline.records;
        let mut clock_ms = head.time_ms;
        if is_end {
            self.conclude(&mut head.session);
        } else if let Some(until_ms) = until_ms.filter(|until_ms| Some(*until_ms) > clock_ms && clock_ms.is_some()) {
            head.session.advance(until_ms);
            clock_ms = Some(until_ms);
        }
        head.is_filled = is_filled;
        self.show(Shown { head, clock_ms, is_end }, true);
    }

    fn hunt_on(&mut self, hunt: &mut Hunt) -> io::Result<bool> {
        if let Some((head, target)) = &mut hunt.probe {
            let until = head.events() + SLICE_EVENTS;
            for _ in 0..SLICE_RECORDS {
                if head.position >= *target || head.events() >= until {
                    break;
                }
                if let Gone::End | Gone::Waiting = head.step(&mut self.file, false)? {
                    return Err(cut_short());
                }
            }
            if head.position < *target {
                return Ok(false);
            }
            let Some((mut head, target)) = hunt.probe.take() else { return Ok(false) };
            hunt.done += head.events();
            if target == self.index.timeline.records {
                self.conclude(&mut head.session);
            }
            let report = head.session.report();
            self.look(target, &report);
            if self.findings.known().iter().any(|at| at.after == target) {
                hunt.low = Some(head);
            }
            return Ok(false);
        }
        // Without a look at the end it is not known which there are.
        let records = self.index.timeline.records;
        if !self.findings.has_looked_at(records) {
            hunt.probe = self.checkpoints.before(records).map(|saved| (saved.resume(), records));
            return Ok(hunt.probe.is_none());
        }
        let found = match hunt.direction {
            Direction::Forward => self.findings.after(hunt.from),
            Direction::Back => self.findings.before(hunt.from),
        };
        let Some(at) = found else {
            self.say(match hunt.direction {
                Direction::Forward => "there is no later finding",
                Direction::Back => "there is no earlier finding",
            });
            return Ok(true);
        };
        if at.after < hunt.from && hunt.from < at.by {
            // It may show here already.
            let from = hunt.from;
            hunt.probe = self.checkpoints.before(from).map(|saved| (saved.resume(), from));
            return Ok(hunt.probe.is_none());
        }
        if at.is_exact() {
            let position = at.by;
            self.then_go(position);
            return Ok(true);
        }
        let middle = at.after + (at.by - at.after) / 2;
        let low = hunt.low.as_ref().filter(|low| low.position <= middle);
        let saved = self.checkpoints.before(middle);
        hunt.probe = match (low, saved) {
            (Some(low), Some(saved)) if low.position >= saved.position => Some((low.fork(), middle)),
            (_, Some(saved)) => Some((saved.resume(), middle)),
            (low, None) => low.map(|low| (low.fork(), middle)),
        };
        Ok(hunt.probe.is_none())
    }

    /// The last position whose time is not after an instant.
    pub(super) fn position_at(&mut self, t_ms: i64) -> io::Result<u64> {
        let mut found = self.index.position_before_time(t_ms);
        let Some((mut position, milestone)) = self.index.milestone(found) else { return Ok(0) };
        let mut cursor = Cursor::at(milestone.place);
        let mut time_ms = milestone.time_ms;
        if time_ms.is_some_and(|time_ms| time_ms > t_ms) {
            return Ok(0);
        }
        while position < self.index.timeline.records {
            match cursor.next(&mut self.file)? {
                Step::Next(next) => {
                    position += 1;
                    time_ms = next.t_ms().max(time_ms);
                    if time_ms.is_some_and(|time_ms| time_ms > t_ms) {
                        break;
                    }
                    found = position;
                }
                Step::Remark(_) => {}
                Step::End | Step::Waiting => break,
            }
        }
        Ok(found)
    }

    /// The first position after this one whose last record is a request. None: none was read.
    pub(super) fn request_after(&mut self, base: u64) -> io::Result<Option<u64>> {
        let Some((mut position, milestone)) = self.index.milestone(base) else { return Ok(None) };
        let mut cursor = Cursor::at(milestone.place);
        while position < self.index.timeline.records {
            match cursor.next(&mut self.file)? {
                Step::Next(next) => {
                    position += 1;
                    if position > base && next.is_request() {
                        return Ok(Some(position));
                    }
                }
                Step::Remark(_) => {}
                Step::End | Step::Waiting => break,
            }
        }
        Ok(None)
    }

    /// The last position before this one whose last record is a request; else the beginning.
    pub(super) fn request_before(&mut self, base: u64) -> io::Result<u64> {
        let mut upto = base;
        while upto > 0 {
            let Some((from, milestone)) = self.index.milestone(upto - 1) else { break };
            let mut cursor = Cursor::at(milestone.place);
            let (mut position, mut found) = (from, None);
            while position + 1 < upto || (position < upto && upto < base) {
                match cursor.next(&mut self.file)? {
                    Step::Next(next) => {
                        position += 1;
                        if next.is_request() {
                            found = Some(position);
                        }
                    }
                    Step::Remark(_) => {}
                    Step::End | Step::Waiting => break,
                }
            }
            if let Some(found) = found {
                return Ok(found);
            }
            upto = from;
        }
        Ok(0)
    }
}
