//! Where a key falls in a rollout: the same computation the SDKs make, so that an assignment can be shown and proven.
//!
//! An SDK hashes the key with the rollout's seed (or, without one, with the flag's key and salt), makes of the hash a
//! number from 0 to 1, the *bucket*, and walks the rollout's weights until their sum is past it. Everybody who has the
//! flag's data can do the same. The SDKs do not all calculate alike ([`Arithmetic`]); a bucket is computed in each way,
//! and is a proof only where all come to the same.

pub mod answer;
pub mod fill;
pub mod find;
pub mod payload;
pub mod seen;
pub mod words;

use sha1::{Digest, Sha1};

/// The sum of the weights of a whole rollout: weights count hundred-thousandths.
pub const WHOLE: u64 = 100_000;
/// Hexadecimal digits of the hash that make the bucket.
const DIGITS: u32 = 15;
/// The largest number of so many digits, which the hash is divided by.
const SCALE: u64 = (1 << (4 * DIGITS)) - 1;

/// The ways SDKs calculate. Each was read in their public source, and the first two and Rust's were run against this
/// computation (`docs/bucketing.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// In double precision, and a seed of 0 is taken for none.
    JavaScript,
    /// In double precision.
    Double,
    /// In single precision, which is coarse enough to matter at the edge of a range.
    Single,
}

impl Arithmetic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::JavaScript, Self::Double, Self::Single];

    /// The SDKs that calculate so.
    pub fn sdks(self) -> &'static str {
        match self {
            Self::JavaScript => "Node.js and edge SDKs",
            Self::Double => "Python and Ruby SDKs",
            Self::Single => "Go, Java, .NET and Rust SDKs",
        }
    }
}

/// A part of a rollout: those whose bucket falls in it are served a variation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Index of the variation among the flag's.
    pub variation: i64,
    /// How much of the traffic, in hundred-thousandths.
    pub weight: u32,
    /// Served, but not in the experiment.
    pub untracked: bool,
}

/// How a rule deals keys out to variations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// What the hash begins with; without it, the flag's key and the salt.
    pub seed: Option<i64>,
    /// The flag's salt.
    pub salt: Option<String>,
    /// The parts, in the order they are walked.
    pub variations: Vec<Share>,
}

/// Where a key falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    value: f64,
    shares: [Option<usize>; Arithmetic::ALL.len()],
}

impl Bucket {
    /// The number from 0 to 1, in double precision.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Index of the share it falls in, if all SDKs agree on it.
    pub fn share(&self) -> Option<usize> {
        let [first, others @ ..] = self.shares;
        first.filter(|_| others.iter().all(|other| *other == first))
    }

    /// Index of the share it falls in for the SDKs that calculate so; none in a rollout without shares.
    pub fn share_by(&self, arithmetic: Arithmetic) -> Option<usize> {
        self.shares.get(arithmetic as usize).copied().flatten()
    }
}

impl Rollout {
    /// The bucket of a context key under the rollout of a flag.
    ///
    /// Weights that do not reach a bucket leave it to the last share, whatever its own weight, as in every SDK.
    pub fn bucket(&self, flag: &str, key: &str) -> Bucket {
        let salted = || hash(&[flag, ".", self.salt.as_deref().unwrap_or_default(), ".", key]);
        let hashed = match self.seed {
            Some(seed) => hash(&[&seed.to_string(), ".", key]),
            None => salted(),
        };
        let by_javascript = if self.seed == Some(0) { salted() } else { hashed };
        let value = double(hashed);
        // By arithmetic, in the order of `Arithmetic::ALL`.
        let shares = [self.walk_double(double(by_javascript)), self.walk_double(value), self.walk_single(hashed)];
        Bucket { value, shares }
    }

    /// The share at an index.
    pub fn share(&self, index: usize) -> Option<Share> {
        self.variations.get(index).copied()
    }

    /// The shares some bucket falls in, each with where it begins and ends, in hundred-thousandths.
    pub fn ranges(&self) -> Vec<Range> {
        let mut from = 0_u64;
        let mut ranges = Vec::new();
        for (share, index) in self.variations.iter().zip(0..) {
            let to = from + u64::from(share.weight);
            if to > from && from < WHOLE {
                ranges.push(Range { from, to: to.min(WHOLE), index, share: *share });
            }
            from = to;
        }
        if let Some((last, before)) = self.variations.split_last()
            && from < WHOLE
        {
            match ranges.last_mut().filter(|range| range.index == before.len()) {
                Some(range) => range.to = WHOLE,
                None => ranges.push(Range { from, to: WHOLE, index: before.len(), share: *last }),
            }
        }
        ranges
    }

    /// The sum of the weights.
    pub fn weight(&self) -> u64 {
        self.variations.iter().map(|share| u64::from(share.weight)).sum()
    }

    /// What is wrong with it as the rollout of an experiment, and what to do.
    pub fn fault(&self) -> Option<String> {
        let weight = self.weight();
        if self.variations.is_empty() {
            Some("variations is empty; expected the shares of the traffic, in the order the flag has them".to_owned())
        } else if weight != WHOLE {
            let advice = if weight == 100 { "; a weight is in hundred-thousandths, not in percent" } else { "" };
            Some(format!(
                "the weights add up to {weight}; expected {WHOLE}, with 50000 for half of the traffic{advice}"
            ))
        } else if self.seed.is_none() && self.salt.is_none() {
            Some("seed is missing; expected the rollout's seed, or without one the salt of the flag".to_owned())
        } else if self.seed == Some(0) && self.salt.is_none() {
            Some("salt is missing; expected the flag's, because JavaScript SDKs use it where the seed is 0".to_owned())
        } else if self.variations.iter().all(|share| share.untracked || share.weight == 0) {
            Some("nobody is in the experiment; expected a variation that is not untracked, with some weight".to_owned())
        } else {
            None
        }
    }

    fn walk_double(&self, bucket: f64) -> Option<usize> {
        let mut sum = 0.0_f64;
        let found = self.variations.iter().position(|share| {
            sum += f64::from(share.weight) / 100_000.0;
            bucket < sum
        });
        found.or(self.variations.len().checked_sub(1))
    }

    #[expect(clippy::cast_precision_loss, reason = "as the SDKs have it")]
    fn walk_single(&self, hash: u64) -> Option<usize> {
        let bucket = hash as f32 / SCALE as f32;
        let mut sum = 0.0_f32;
        let found = self.variations.iter().position(|share| {
            sum += share.weight as f32 / 100_000.0;
            bucket < sum
        });
        found.or(self.variations.len().checked_sub(1))
    }
}

/// A share some bucket falls in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it begins, in hundred-thousandths, included.
    pub from: u64,
    /// Where it ends, excluded.
    pub to: u64,
    /// Its index.
    pub index: usize,
    /// The share.
    pub share: Share,
}

/// The first digits of the SHA-1 of what is hashed, as a number.
fn hash(parts: &[&str]) -> u64 {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part.as_bytes()));
    let digest = hash.finalize();
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(first) >> (u64::BITS - 4 * DIGITS)
}

#[expect(clippy::cast_precision_loss, reason = "as the SDKs have it")]
fn double(hash: u64) -> f64 {
    hash as f64 / SCALE as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn rollout(seed: Option<i64>, weights: &[(i64, u32, bool)]) -> Rollout {
        let share = |(variation, weight, untracked): &(i64, u32, bool)| Share {
            variation: *variation,
            weight: *weight,
            untracked: *untracked,
        };
        Rollout { seed, salt: Some("saltyA".to_owned()), variations: weights.iter().map(share).collect() }
    }

    /// The keys and buckets every SDK's own tests share.
    #[test]
    fn a_key_has_the_bucket_the_sdks_publish_for_it() {
        let halves = [(0, 50_000, false), (1, 50_000, false)];
        let (salted, seeded) = (rollout(None, &halves), rollout(Some(61), &halves));
        let near = |bucket: Bucket, expected: f64| (bucket.value() - expected).abs() < 1e-7;
        for (key, by_salt, by_seed) in [
            ("userKeyA", 0.421_575_87, 0.098_012_06),
            ("userKeyB", 0.670_848_5, 0.144_837_77),
            ("userKeyC", 0.103_431_06, 0.924_264_09),
        ] {
            assert!(near(salted.bucket("hashKey", key), by_salt), "{key} by salt");
            assert!(near(seeded.bucket("hashKey", key), by_seed), "{key} by seed");
        }
        assert_eq!(seeded.bucket("hashKey", "userKeyA").share(), Some(0));
        assert_eq!(seeded.bucket("hashKey", "userKeyC").share(), Some(1));
    }

    #[test]
    fn what_the_weights_do_not_reach_falls_to_the_last_share() {
        let short = rollout(Some(61), &[(0, 10_000, false), (1, 0, true)]);
        assert_eq!(short.bucket("f", "userKeyC").share(), Some(1));
        let range = |from, to, index| Range { from, to, index, share: short.share(index).unwrap() };
        assert_eq!(short.ranges(), [range(0, 10_000, 0), range(10_000, 100_000, 1)]);
        assert_eq!(rollout(Some(61), &[]).bucket("f", "userKeyC").share(), None);
        assert_eq!(rollout(Some(61), &[]).ranges(), []);
    }

    #[test]
    fn a_seed_of_0_is_a_seed_except_in_javascript() {
        let halves = [(0, 50_000, false), (1, 50_000, false)];
        let (zero, salted) = (rollout(Some(0), &halves), rollout(None, &halves));
        let differing = (0..100).map(|key| format!("k-{key}")).find(|key| zero.bucket("f", key).share().is_none());
        let key = differing.unwrap();
        let (by_seed, by_salt) = (zero.bucket("f", &key), salted.bucket("f", &key));
        assert_eq!(by_seed.share_by(Arithmetic::JavaScript), by_salt.share_by(Arithmetic::JavaScript));
        assert_eq!(by_seed.share_by(Arithmetic::Double), by_seed.share_by(Arithmetic::Single));
        assert_ne!(by_seed.share_by(Arithmetic::Double), by_seed.share_by(Arithmetic::JavaScript));
    }

    #[test]
    fn a_rollout_that_cannot_be_an_experiments_is_refused_with_a_reason() {
        let fault = |rollout: &Rollout| rollout.fault().unwrap_or_default();
        assert_eq!(fault(&rollout(Some(61), &[(0, 50_000, false), (1, 50_000, false)])), "");
        assert!(fault(&rollout(Some(61), &[])).starts_with("variations is empty"));
        assert!(fault(&rollout(Some(61), &[(0, 50, false), (1, 50, false)])).ends_with("not in percent"));
        assert!(fault(&rollout(Some(61), &[(0, 99_999, false)])).starts_with("the weights add up to 99999"));
        assert!(fault(&rollout(Some(61), &[(0, 100_000, true)])).starts_with("nobody is in the experiment"));
        let unsalted = |seed| Rollout { salt: None, ..rollout(seed, &[(0, 100_000, false)]) };
        assert!(fault(&unsalted(None)).starts_with("seed is missing"));
        assert!(fault(&unsalted(Some(0))).starts_with("salt is missing"));
        assert_eq!(fault(&unsalted(Some(-7))), "");
    }

    proptest! {
        #[test]
        fn whatever_the_weights_the_share_is_one_of_them_and_the_ranges_cover_everything(
            seed in proptest::option::of(any::<i64>()),
            weights in proptest::collection::vec((any::<i64>(), 0..120_000_u32, any::<bool>()), 0..6),
            key in "\\PC{0,8}",
        ) {
            let rollout = rollout(seed, &weights);
            let bucket = rollout.bucket("f", &key);
            prop_assert!((0.0..=1.0).contains(&bucket.value()));
            for arithmetic in Arithmetic::ALL {
                let share = bucket.share_by(arithmetic);
                prop_assert_eq!(share.is_none(), weights.is_empty());
                prop_assert!(share.is_none_or(|share| share < weights.len()));
            }
            let ranges = rollout.ranges();
            prop_assert_eq!(ranges.first().map(|range| range.from), (!weights.is_empty()).then_some(0));
            prop_assert_eq!(ranges.last().map(|range| range.to), (!weights.is_empty()).then_some(WHOLE));
            prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.to == next.from));
            if seed != Some(0) && let Some(share) = bucket.share() {
                let range = ranges.iter().find(|range| range.index == share).unwrap();
                let (from, to) = (range.from as f64 / 1e5 - 1e-9, range.to as f64 / 1e5 + 1e-9);
                prop_assert!(from <= bucket.value() && bucket.value() <= to);
            }
        }
    }
}
