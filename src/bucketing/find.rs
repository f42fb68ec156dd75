//! Keys that land where one wants them: for a test that has to see every arm.

use super::{Rollout, Share};

/// Keys tried for one arm before giving up: enough for an arm of one in 100,000.
const TRIES: u64 = 1_500_000;

/// What keys are looked for: a variation in the experiment, or one served outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The variation.
    pub variation: i64,
    /// Served, but not in the experiment.
    pub untracked: bool,
}

impl Wanted {
    fn is(self, share: Share) -> bool {
        (self.variation, self.untracked) == (share.variation, share.untracked)
    }
}

/// Keys that land in one of the arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The arm.
    pub wanted: Wanted,
    /// As many as were asked for, unless the arm is too small to hit.
    pub keys: Vec<String>,
}

/// `count` keys for each arm of a rollout, and for what is served outside of the experiment. They are `prefix1`,
/// `prefix2`, …: the same on every run, and only such as all SDKs agree on.
pub fn keys(rollout: &Rollout, flag: &str, prefix: &str, count: usize) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for range in rollout.ranges() {
        let wanted = Wanted { variation: range.share.variation, untracked: range.share.untracked };
        if !found.iter().any(|have| have.wanted == wanted) {
            found.push(Found { wanted, keys: Vec::new() });
        }
    }
    let mut missing = found.len() * count;
    for number in 1..=TRIES {
        if missing == 0 {
            break;
        }
        let key = format!("{prefix}{number}");
        let Some(share) = rollout.bucket(flag, &key).share().and_then(|index| rollout.share(index)) else { continue };
        if let Some(found) = found.iter_mut().find(|found| found.wanted.is(share))
            && found.keys.len() < count
        {
            found.keys.push(key);
            missing -= 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_gets_its_keys_the_same_ones_every_time() {
        let share = |variation, weight, untracked| Share { variation, weight, untracked };
        let variations =
            vec![share(0, 1_000, false), share(1, 1_000, false), share(0, 98_000, true), share(1, 0, false)];
        let rollout = Rollout { seed: Some(61), salt: None, variations };
        let found = keys(&rollout, "f", "k-", 2);
        let wanted: Vec<(i64, bool)> = found.iter().map(|it| (it.wanted.variation, it.wanted.untracked)).collect();
        assert_eq!(wanted, [(0, false), (1, false), (0, true)]);
        for Found { wanted, keys } in &found {
            assert_eq!(keys.len(), 2);
            for key in keys {
                let share = rollout.bucket("f", key).share().and_then(|index| rollout.share(index));
                assert!(share.is_some_and(|share| wanted.is(share)), "{key}");
            }
        }
        assert_eq!(keys(&rollout, "f", "k-", 2), found);
        assert_eq!(keys(&Rollout::default(), "f", "k-", 2), []);
    }
}
