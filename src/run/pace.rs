//! When to draw: no more often than a person sees, and no more bytes than a line carries.

use std::time::{Duration, Instant};

/// Bytes per second to a terminal of 80x24, and to any terminal over SSH. Data alone never sends more; a key is
/// answered at once all the same.
const BYTES_PER_SECOND: f64 = 18_000.0;
/// When the next frame may be drawn.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    remote: bool,
    last: Instant,
    /// How long the last frame's bytes last at the byte budget.
    rest: Duration,
    dirty: Dirty,
}

/// Why the screen may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dirty {
    /// It has not.
    #[default]
    No,
    /// Something arrived, or time passed.
    Data,
    /// The user did something and is waiting to see it.
    User,
}

impl Pace {
    /// A pace of at most so many frames per second.
    pub(super) fn new(fps: u16, remote: bool, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / u32::from(fps);
        Self { interval, remote, last: now, rest: Duration::ZERO, dirty: Dirty::User }
    }

    /// Notes that the screen may have changed.
    pub(super) fn mark(&mut self, dirty: Dirty) {
        self.dirty = self.dirty.max(dirty);
    }

    /// When the next frame is due; none while nothing has changed.
    pub(super) fn due(&self) -> Option<Instant> {
        let gap = match self.dirty {
            Dirty::No => return None,
            Dirty::Data => self.interval.max(self.rest),
            Dirty::User => self.interval,
        };
        Some(self.last + gap)
    }

    /// Notes a frame of so many bytes on a screen of so many columns and rows.
    pub(super) fn drawn(&mut self, now: Instant, bytes: usize, (columns, rows): (u16, u16)) {
        let screens = (f64::from(columns) * f64::from(rows) / (80.0 * 24.0)).max(1.0);
        let budget = if self.remote { BYTES_PER_SECOND } else { BYTES_PER_SECOND * screens };
        self.rest = Duration::from_secs_f64(bytes as f64 / budget);
        self.last = now;
        self.dirty = Dirty::No;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_frame_of_data_waits_for_the_byte_budget_and_a_key_does_not() {
        let now = Instant::now();
        let mut pace = Pace::new(30, true, now);
        pace.drawn(now, 9_000, (200, 60));
        assert_eq!(pace.due(), None);
        pace.mark(Dirty::Data);
        assert_eq!(pace.due().unwrap() - now, Duration::from_millis(500));
        pace.mark(Dirty::User);
        assert_eq!(pace.due().unwrap() - now, Duration::from_secs(1) / 30);
    }
}
