//! Whether time went on while nothing ran here: a laptop that slept, a machine that was paused, a clock that was set.
//!
//! Events that arrive in order may say otherwise where the clock was set back, and what others sent to a machine that
//! slept is gone without a trace. Neither shows in any request, so the clocks are compared with each request: nothing is
//! ever waked up for it, and the hole stands exactly where it was.

use super::intake::{Intake, Missed};
use super::status::Status;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Less than this is what schedulers and time servers do every day.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// The clocks as they were with the latest request.
pub(super) struct Vigil {
    begun: Instant,
    latest: Mutex<Clocks>,
}

impl Vigil {
    pub(super) fn begin() -> Self {
        let begun = Instant::now();
        Self { begun, latest: Mutex::new(Clocks::read(begun)) }
    }

    /// Looks at the clocks again, because a request has come. What the machine slept through is missing before it.
    pub(super) fn look(&self, intake: &Intake, status: &Status, now_ms: i64) {
        // Read under the lock: of two requests at once the later must not be compared with what comes after it.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Clocks::read(self.begun);
        let oddities = now.since(&latest);
        *latest = now;
        drop(latest);
        for oddity in oddities {
            match oddity {
                Oddity::Slept(_) => {
                    intake.miss(Missed {
                        requests: None,
                        t_ms: now_ms,
                        why: oddity.words().into(),
                        is_intended: false,
                    });
                }
                Oddity::SetForward(_) | Oddity::SetBack(_) => status.hinted(now_ms, oddity.words()),
            }
        }
    }
}

/// All clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// The time of day since 1970; it can be set.
    wall: Duration,
    /// Time since some moment, without that in which the machine slept.
    awake: Duration,
    /// Time since some moment, with it.
    passed: Duration,
}

/// What the clocks say happened between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// The machine slept for so long: nobody received what was sent.
    Slept(Duration),
    /// The time of day was set forward.
    SetForward(Duration),
    /// The time of day was set back.
    SetBack(Duration),
}

impl Clocks {
    /// The clocks now, `begun` being any fixed moment before.
    pub(super) fn read(begun: Instant) -> Self {
        let awake = begun.elapsed();
        Self { wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), awake, passed: passed(awake) }
    }

    /// What happened since an earlier reading that arrival times alone would not tell.
    pub(super) fn since(&self, earlier: &Self) -> Vec<Oddity> {
        let passed = self.passed.saturating_sub(earlier.passed);
        let slept = passed.saturating_sub(self.awake.saturating_sub(earlier.awake));
        let expected = earlier.wall + passed;
        let (ahead, behind) = (self.wall.saturating_sub(expected), expected.saturating_sub(self.wall));
        [(slept, Oddity::Slept(slept)), (ahead, Oddity::SetForward(ahead)), (behind, Oddity::SetBack(behind))]
            .into_iter()
            .filter(|(time, _)| *time >= WORTH_SAYING)
            .map(|(_, oddity)| oddity)
            .collect()
    }
}

/// The clock that does not stop where the machine sleeps.
#[cfg(target_os = "linux")]
fn passed(_: Duration) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// Elsewhere such a clock has other names; sleep is then taken for a clock that was set forward, which the words for
/// that allow for.
#[cfg(not(target_os = "linux"))]
fn passed(awake: Duration) -> Duration {
    awake
}

impl Oddity {
    /// In words.
    pub(super) fn words(self) -> String {
        match self {
            Self::Slept(time) => format!("this machine slept for {}", length(time)),
            Self::SetForward(time) => {
                format!("this machine's clock went {} ahead: it was set, or the machine slept", length(time))
            }
            Self::SetBack(time) => {
                format!("this machine's clock was set back by {}: arrival times repeat", length(time))
            }
        }
    }
}

fn length(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(wall: u64, awake: u64, passed: u64) -> Clocks {
        let seconds = Duration::from_secs;
        Clocks { wall: seconds(wall), awake: seconds(awake), passed: seconds(passed) }
    }

    #[test]
    fn eight_hours_of_sleep_and_clocks_that_were_set_are_told_apart() {
        let before = clocks(1_000_000, 100, 500);
        let told = |after: Clocks| after.since(&before).into_iter().map(Oddity::words).collect::<Vec<_>>();
        assert_eq!(told(clocks(1_028_810, 110, 29_310)), ["this machine slept for 8 h"]);
        assert_eq!(
            told(clocks(996_410, 110, 510)),
            ["this machine's clock was set back by 60 min: arrival times repeat"]
        );
        assert_eq!(
            told(clocks(1_000_100, 110, 510)),
            ["this machine's clock went 90 s ahead: it was set, or the machine slept"]
        );
        assert_eq!(
            told(clocks(1_000_040, 110, 700)),
            ["this machine slept for 3 min", "this machine's clock was set back by 2 min: arrival times repeat"]
        );
    }

    #[test]
    fn an_hour_without_a_request_and_a_clock_that_is_kept_right_are_nothing() {
        let before = clocks(1_000_000, 100, 500);
        assert_eq!(clocks(1_003_600, 3_700, 4_100).since(&before), []);
        assert_eq!(clocks(1_003_604, 3_700, 4_100).since(&before), []);
        assert_eq!(clocks(1_003_596, 3_700, 4_100).since(&before), []);
    }

    #[test]
    fn the_clocks_of_this_machine_agree() {
        let begun = Instant::now();
        let first = Clocks::read(begun);
        let second = Clocks::read(begun);
        assert!(second.passed >= first.passed && second.awake >= first.awake);
        assert_eq!(second.since(&first), []);
    }
}
