//! Letting the recording's time pass.

use super::engine::{Engine, SLICE_EVENTS, SLICE_RECORDS, Shown, Wake};
use super::head::{Gone, cut_short};
use super::player::{Idle, Silence, Speed};
use std::io;
use std::time::{Duration, Instant};

/// A session is shown anew so often at the most; a screen draws no oftener.
const FRAME: Duration = Duration::from_millis(33);
/// The clock of the bar moves at least so often.
const CLOCK: Duration = Duration::from_millis(100);

/// Time passes.
#[derive(Debug, Default)]
pub(super) struct Playing {
    /// It was this time in the recording at that instant. None: it begins with the next slice.
    anchor: Option<(Instant, i64)>,
    shown_at: Option<Instant>,
    /// Something was taken in that is not shown yet.
    is_ahead: bool,
}

impl Playing {
    /// Time passes from what is shown by now, from now on.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::default();
    }
}

enum Due {
    /// The end was reached.
    Over,
    /// The rest is for later.
    Later(Wake),
}

/// The recording's time after some time has passed.
fn later(anchor_ms: i64, passed: Duration, times: f64) -> i64 {
    // A little more than passed, so that what is due to the nanosecond is not found to be due in no time for ever.
    anchor_ms.saturating_add((passed.as_secs_f64() * 1000.0 * times + 0.001) as i64)
}

impl Engine {
    /// Counts time from now on: it was stood still meanwhile, or its speed changes.
    pub(super) fn pace_anew(&mut self, now: Instant) {
        let clock_ms = self.clock_ms(now);
        if let Some(shown) = &mut self.shown
            && shown.clock_ms.is_some()
        {
            shown.clock_ms = shown.clock_ms.max(clock_ms);
        }
        if let Some(playing) = &mut self.playing {
            playing.anchor = None;
        }
    }

    /// The recording's time now, if it passes.
    fn clock_ms(&self, now: Instant) -> Option<i64> {
        let (anchor, anchor_ms) = self.playing.as_ref()?.anchor?;
        match self.speed {
            Speed::Times(times) => Some(later(anchor_ms, now.saturating_duration_since(anchor), times)),
            Speed::Max => None,
        }
    }

    /// Takes in what is due.
    pub(super) fn play_on(&mut self, now: Instant) -> io::Result<Wake> {
        let (Some(mut playing), Some(mut shown)) = (self.playing.take(), self.shown.take()) else {
            return Ok(Wake::OnCommand);
        };
        let due = self.take_due(&mut playing, &mut shown, now);
        let wake = match due {
            Ok(Due::Over) => {
                self.arrive_at(shown.head, None, true);
                return Ok(Wake::AtOnce);
            }
            Ok(Due::Later(wake)) => wake,
            Err(error) => {
                self.shown = Some(shown);
                return Err(error);
            }
        };
        let frame = FRAME.max(self.show_cost * 4);
        let wake = match playing.shown_at {
            Some(shown_at) if playing.is_ahead && now < shown_at + frame => {
                self.shown = Some(shown);
                match wake {
                    Wake::At(at) => Wake::At(at.min(shown_at + frame)),
                    wake => wake,
                }
            }
            _ if playing.is_ahead => {
                (playing.is_ahead, playing.shown_at) = (false, Some(now));
                self.show(shown, true);
                wake
            }
            _ => {
                self.shown = Some(shown);
                wake
            }
        };
        self.playing = Some(playing);
        Ok(wake)
    }

    fn take_due(&mut self, playing: &mut Playing, shown: &mut Shown, now: Instant) -> io::Result<Due> {
        let until = shown.head.events() + SLICE_EVENTS;
        for _ in 0..SLICE_RECORDS {
            if shown.is_end {
                return Ok(Due::Over);
            }
            if shown.head.events() >= until {
                break;
            }
            if shown.head.position >= self.index.timeline.records {
                // What was not read yet is waited for.
                return Ok(if self.is_complete() { Due::Over } else { Due::Later(Wake::At(now + FRAME)) });
            }
            let Some(coming) = shown.head.peek(&mut self.file)? else { return Err(cut_short()) };
            if let (Speed::Times(times), Some(t_ms)) = (self.speed, coming.t_ms)
                && let Some(due) = self.wait(playing, shown, (now, times), t_ms)
            {
                return Ok(Due::Later(Wake::At(due)));
            }
            if let Gone::On(_) = shown.head.step(&mut self.file, true)? {
                playing.is_ahead = true;
                shown.clock_ms = shown.clock_ms.max(shown.head.time_ms);
                self.recent.consider(&shown.head);
            }
        }
        Ok(Due::Later(Wake::AtOnce))
    }

    /// Until when a record of this time is waited for. None: it is due. Meanwhile time passes for what is shown.
    fn wait(
        &mut self,
        playing: &mut Playing,
        shown: &mut Shown,
        (now, times): (Instant, f64),
        t_ms: i64,
    ) -> Option<Instant> {
        let (anchor, anchor_ms) = *playing.anchor.get_or_insert((now, shown.clock_ms.unwrap_or(t_ms)));
        let clock_ms = later(anchor_ms, now.saturating_duration_since(anchor), times);
        if t_ms <= clock_ms {
            return None;
        }
        let silent_from = shown.head.time_ms.unwrap_or(t_ms);
        let due_ms = match self.idle {
            Idle::Shorten(most_ms) if t_ms.saturating_sub(silent_from) > most_ms.max(0) => {
                silent_from.saturating_add(most_ms.max(0))
            }
            _ => t_ms,
        };
        if due_ms <= clock_ms {
            self.silence = Some(Silence { from_ms: clock_ms, to_ms: t_ms });
            playing.anchor = Some((now, t_ms));
            return None;
        }
        if Some(clock_ms) > shown.clock_ms {
            let before = shown.head.session.revision();
            shown.head.session.advance(clock_ms);
            playing.is_ahead |= shown.head.session.revision() != before;
            shown.clock_ms = Some(clock_ms);
        }
        let wait = Duration::try_from_secs_f64(due_ms.saturating_sub(anchor_ms) as f64 / 1000.0 / times);
        let due = wait.ok().and_then(|wait| anchor.checked_add(wait));
        Some(due.map_or(now + CLOCK, |due| due.min(now + CLOCK)))
    }
}
