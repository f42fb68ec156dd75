//! Where a viewer is in what a collector received.

use super::{Hello, Missing};

/// How far a viewer has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The run of the collector; none: it was attached to none yet.
    pub epoch: Option<String>,
    /// The last request of that run which it has, or knows to be missing.
    pub after: u64,
}

/// What a request is to a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next one.
    Next,
    /// It has that one.
    Seen,
    /// The next one after so many that nobody spoke of.
    After(u64),
}

impl Position {
    /// Takes a collector's greeting. True: it is another run than before, of which nothing is known yet.
    pub fn greet(&mut self, hello: &Hello) -> bool {
        let is_other = self.epoch.as_ref().is_some_and(|epoch| *epoch != hello.epoch);
        if self.epoch.as_ref() != Some(&hello.epoch) {
            *self = Self { epoch: Some(hello.epoch.clone()), after: 0 };
        }
        is_other
    }

    /// Takes a request by its number.
    pub fn take(&mut self, number: u64) -> Step {
        let before = self.after;
        if number <= before {
            return Step::Seen;
        }
        self.after = number;
        match number - before {
            1 => Step::Next,
            more => Step::After(more - 1),
        }
    }

    /// Takes a gap: how many requests are missing that were not known to be.
    pub fn skip(&mut self, missing: &Missing) -> u64 {
        let before = self.after;
        self.after = before.max(missing.to);
        // A gap that does not begin where the viewer is leaves out what lies between as well.
        self.after - before
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Cause;
    use super::*;

    fn hello(epoch: &str) -> Hello {
        Hello { version: 1, tool: String::new(), epoch: epoch.into(), first: 1, last: 0, now: 0 }
    }

    fn missing(from: u64, to: u64) -> Missing {
        Missing { from, to, t: 0, cause: Cause::Gone }
    }

    #[test]
    fn requests_count_once_and_what_nobody_spoke_of_is_counted_too() {
        let mut position = Position::default();
        assert!(!position.greet(&hello("a")));
        assert_eq!(position.skip(&missing(1, 4)), 4);
        let steps = [5, 6, 6, 2, 9].map(|number| position.take(number));
        assert_eq!(steps, [Step::Next, Step::Next, Step::Seen, Step::Seen, Step::After(2)]);
        assert_eq!(position.skip(&missing(3, 9)), 0);
        assert_eq!(position.skip(&missing(12, 14)), 5);
        assert_eq!(position.after, 14);
        assert_eq!(position.take(u64::MAX), Step::After(u64::MAX - 15));
        assert_eq!(position.take(u64::MAX), Step::Seen);
    }

    #[test]
    fn the_same_run_is_gone_on_with_and_another_begins_anew() {
        let mut position = Position::default();
        position.greet(&hello("a"));
        position.take(1);
        assert!(!position.greet(&hello("a")));
        assert_eq!(position.after, 1);
        assert!(position.greet(&hello("b")));
        assert_eq!(position, Position { epoch: Some("b".into()), after: 0 });
    }
}
