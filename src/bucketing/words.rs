//! A bucket in words, with the numbers.

use super::{Arithmetic, Bucket, Range, Rollout, WHOLE};
use std::fmt::Write;

/// From so many ranges on only the one that is meant is told.
const RANGES_TOLD: usize = 6;

/// A bucket to five decimals, as many as a range can have. Cut, not rounded: rounded up, it would be said to stand at
/// the beginning of the next range.
pub fn number(bucket: f64) -> String {
    let cut = (bucket * 100_000.0).floor() / 100_000.0;
    format!("{cut:.5}")
}

/// Where a range begins or ends.
pub fn edge(hundred_thousandths: u64) -> String {
    format!("{}", hundred_thousandths as f64 / WHOLE as f64)
}

impl Rollout {
    /// `seed 61`, or `salt “abc”`: what the hash begins with.
    pub fn hashed_with(&self) -> String {
        match (self.seed, &self.salt) {
            (Some(seed), _) => format!("seed {seed}"),
            (None, Some(salt)) => format!("salt “{salt}”"),
            (None, None) => "an empty salt".to_owned(),
        }
    }

    /// Why a key is where it is: `bucket 0.43127 of seed 61: control is 0 to 0.5, treatment 0.5 to 1 → control`.
    pub fn proof(&self, bucket: &Bucket, name: impl Fn(i64) -> String) -> String {
        let range = |range: &Range, is_first: bool| {
            let outside = range.share.untracked.then(|| "not in the experiment".to_owned());
            let whose = outside.unwrap_or_else(|| name(range.share.variation));
            format!("{whose}{} {} to {}", if is_first { " is" } else { "" }, edge(range.from), edge(range.to))
        };
        let ranges = self.ranges();
        let mut text = format!("bucket {} of {}: ", number(bucket.value()), self.hashed_with());
        if ranges.len() < RANGES_TOLD {
            let told: Vec<String> = ranges.iter().enumerate().map(|(at, it)| range(it, at == 0)).collect();
            text.push_str(&told.join(", "));
        } else {
            let meant = ranges.iter().find(|range| Some(range.index) == bucket.share());
            let _ = write!(text, "of {} ranges", ranges.len());
            if let Some(meant) = meant {
                let _ = write!(text, " {}", range(meant, true));
            }
        }
        let _ = write!(text, " → {}", self.lands_in(bucket, name));
        text
    }

    /// The arm a bucket falls in, or why in none.
    pub fn lands_in(&self, bucket: &Bucket, name: impl Fn(i64) -> String) -> String {
        let share = |index: Option<usize>| match index.and_then(|index| self.share(index)) {
            Some(share) if share.untracked => format!("not in the experiment, served {}", name(share.variation)),
            Some(share) => name(share.variation),
            None => "nothing".to_owned(),
        };
        if let Some(index) = bucket.share() {
            return share(Some(index));
        }
        if self.variations.is_empty() {
            return share(None);
        }
        let mut each: Vec<(String, Vec<&str>)> = Vec::new();
        for arithmetic in Arithmetic::ALL {
            let lands = share(bucket.share_by(arithmetic));
            match each.iter_mut().find(|(have, _)| *have == lands) {
                Some((_, sdks)) => sdks.push(arithmetic.sdks()),
                None => each.push((lands, vec![arithmetic.sdks()])),
            }
        }
        let each: Vec<String> = each.iter().map(|(lands, sdks)| format!("{lands} by {}", sdks.join(", "))).collect();
        format!("the SDKs differ: {}", each.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Share;
    use super::*;

    fn rollout(seed: Option<i64>, weights: &[(i64, u32, bool)]) -> Rollout {
        let share = |&(variation, weight, untracked): &(i64, u32, bool)| Share { variation, weight, untracked };
        Rollout { seed, salt: Some("abc".to_owned()), variations: weights.iter().map(share).collect() }
    }

    fn name(variation: i64) -> String {
        ["control", "treatment"].get(variation as usize).copied().unwrap_or("?").to_owned()
    }

    #[test]
    fn a_proof_has_the_numbers() {
        let halves = rollout(Some(61), &[(0, 50_000, false), (1, 50_000, false)]);
        assert_eq!(
            halves.proof(&halves.bucket("f", "userKeyB"), name),
            "bucket 0.14483 of seed 61: control is 0 to 0.5, treatment 0.5 to 1 → control"
        );
        let part = rollout(Some(61), &[(0, 5_000, false), (1, 5_000, false), (0, 90_000, true), (1, 0, true)]);
        assert_eq!(
            part.proof(&part.bucket("f", "userKeyB"), name),
            "bucket 0.14483 of seed 61: control is 0 to 0.05, treatment 0.05 to 0.1, not in the experiment 0.1 to 1 → \
             not in the experiment, served control"
        );
        let salted = Rollout { seed: None, ..halves };
        assert!(salted.proof(&salted.bucket("f", "k"), name).contains(" of salt “abc”: control is 0 to 0.5"));
    }

    #[test]
    fn of_many_ranges_only_the_one_that_is_meant_is_told() {
        let many: Vec<(i64, u32, bool)> = (0..100).map(|n| (n % 2, 1000, false)).collect();
        let many = rollout(Some(61), &many);
        assert_eq!(
            many.proof(&many.bucket("f", "userKeyB"), name),
            "bucket 0.14483 of seed 61: of 100 ranges control is 0.14 to 0.15 → control"
        );
    }

    #[test]
    fn where_the_sdks_differ_each_is_named() {
        let zero = rollout(Some(0), &[(0, 50_000, false), (1, 50_000, false)]);
        let key = (0..100).map(|key| format!("k-{key}")).find(|key| zero.bucket("f", key).share().is_none());
        let text = zero.lands_in(&zero.bucket("f", &key.unwrap_or_default()), name);
        assert!(text.starts_with("the SDKs differ: ") && text.contains(" by Node.js and edge SDKs; "), "{text}");
    }

    #[test]
    fn a_number_is_cut_so_that_it_stays_in_its_range() {
        assert_eq!(number(0.499_999_9), "0.49999");
        assert_eq!((number(0.0), number(1.0)), ("0.00000".to_owned(), "1.00000".to_owned()));
        assert_eq!([0, 33_333, 50_000, 100_000].map(edge), ["0", "0.33333", "0.5", "1"]);
    }
}
