//! The few figures exptap computes itself (`docs/attribution.md`, section 10): intervals of one arm's own rate or
//! mean, and whether the arms are filled as allocated. Nothing here compares arms: which of them is better is
//! LaunchDarkly's to say, and the choice of method alone could turn the answer round.

use crate::report::SampleRatio;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};
use statrs::function::gamma::ln_gamma;

/// Two-sided 95 % quantile of the normal distribution.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Units per arm below which arms are test traffic, and their ratio says nothing.
const TOO_FEW_UNITS_PER_ARM: u64 = 20;

/// Units below which chi-square is not shown.
const CHI_SQUARE_UNITS: u64 = 100;

/// Expected units in the smallest arm below which chi-square is not shown: its approximation does not hold there.
const CHI_SQUARE_EXPECTED: f64 = 5.0;

/// Bayes factor above which a ratio is worth a note.
const NOTE_ABOVE: f64 = 20.0;

/// Bayes factor above which it is an alert.
const ALERT_ABOVE: f64 = 1000.0;

/// Wilson's 95 % interval of a rate, as fractions of 1. None without trials, or with more successes than trials.
pub fn wilson(successes: u64, trials: u64) -> Option<[f64; 2]> {
    if trials == 0 || successes > trials {
        return None;
    }
    let n = real(trials);
    let rate = real(successes) / n;
    let z_squared = NORMAL_95 * NORMAL_95;
    let scale = 1.0 + z_squared / n;
    let centre = (rate + z_squared / (2.0 * n)) / scale;
    let half_width = NORMAL_95 * (rate * (1.0 - rate) / n + z_squared / (4.0 * n * n)).sqrt() / scale;
    // At 0 and at 1 the bounds are exact, and rounding must not carry them past.
    let low = if successes == 0 { 0.0 } else { (centre - half_width).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half_width).min(1.0) };
    Some([low, high])
}

/// Student's t 95 % interval of a mean over `units` units, from their mean and sample standard deviation (the one
/// with n - 1). None below two units, or where a figure is not finite.
pub fn mean_interval(units: u64, mean: f64, standard_deviation: f64) -> Option<[f64; 2]> {
    if units < 2 || standard_deviation < 0.0 {
        return None;
    }
    let quantile = StudentsT::new(0.0, 1.0, real(units - 1)).ok()?.inverse_cdf(0.975);
    let half_width = quantile * standard_deviation / real(units).sqrt();
    let interval = [mean - half_width, mean + half_width];
    interval.iter().all(|bound| bound.is_finite()).then_some(interval)
}

/// The raw percentile of values by nearest rank: the smallest value that at least `percentile` per cent of the
/// values do not exceed. Always a value that was really there, where an interpolation would invent one. Sorts the
/// values. None without values, with one that is not a number, or for a percentile outside (0, 100].
pub fn percentile(values: &mut [f64], percentile: f64) -> Option<f64> {
    if !(percentile > 0.0 && percentile <= 100.0) || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let rank = (percentile / 100.0 * real(values.len() as u64)).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let index = (rank as usize).saturating_sub(1);
    values.get(index).copied()
}

/// Pearson's chi-square of the units per arm against the allocation, and its p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub statistic: f64,
    /// Probability of one at least as large under the allocation, with one degree of freedom less than arms.
    pub p: f64,
    /// Units expected in the arm where the fewest are.
    pub least_expected: f64,
}

/// Pearson's chi-square. The shares need not add up to anything. None with fewer than two arms, without units,
/// where the shares do not fit the arms, or where an arm is allocated nothing (it divides by what is expected).
pub fn chi_square(observed: &[u64], allocation: &[f64]) -> Option<ChiSquare> {
    let shares = shares(observed, allocation)?;
    let total = real(observed.iter().sum());
    if total == 0.0 || shares.contains(&0.0) {
        return None;
    }
    let expected = shares.iter().map(|share| total * share);
    let least_expected = expected.clone().fold(f64::INFINITY, f64::min);
    let statistic =
        observed.iter().zip(expected).map(|(units, expected)| squared(real(*units) - expected) / expected).sum();
    let p = ChiSquared::new(real(observed.len() as u64 - 1)).ok()?.sf(statistic);
    Some(ChiSquare { statistic, p, least_expected })
}

/// The Dirichlet-multinomial Bayes factor: how much better "the arms are filled in some other ratio", any ratio
/// being as likely as any other beforehand, explains the units per arm than the allocation does. It may be looked
/// at after every event without growing likelier to be wrong. Never infinite: [`f64::MAX`] is as sure as it gets.
/// None with fewer than two arms, or where the shares do not fit the arms.
pub fn bayes_factor(observed: &[u64], allocation: &[f64]) -> Option<f64> {
    let shares = shares(observed, allocation)?;
    let arms = real(observed.len() as u64);
    let total = real(observed.iter().sum());
    let mut log = ln_gamma(arms) - ln_gamma(total + arms);
    for (units, share) in observed.iter().zip(shares) {
        // An empty arm says nothing about its share, not even where that is 0 and its logarithm infinite.
        if *units > 0 {
            log += ln_gamma(real(*units) + 1.0) - real(*units) * share.ln();
        }
    }
    Some(log.exp().min(f64::MAX))
}

/// How the arms are filled against their allocation. `observed` are units per arm, `allocation` their shares in the
/// same order. The verdict is `off` where there is nothing to compare: fewer than two arms, or shares that do not
/// fit them. (It is also `off` for bandits, whose allocation moves; the caller knows those.)
pub fn sample_ratio(observed: &[u64], allocation: &[f64]) -> SampleRatio {
    let total: u64 = observed.iter().sum();
    let chi_square = chi_square(observed, allocation)
        .filter(|chi_square| total >= CHI_SQUARE_UNITS && chi_square.least_expected >= CHI_SQUARE_EXPECTED);
    let enough = total >= TOO_FEW_UNITS_PER_ARM * observed.len() as u64;
    let (bayes_factor, verdict) = match bayes_factor(observed, allocation) {
        None => (None, "off"),
        Some(_) if !enough => (None, "too-few"),
        Some(factor) if factor > ALERT_ABOVE => (Some(factor), "alert"),
        Some(factor) if factor > NOTE_ABOVE => (Some(factor), "note"),
        Some(factor) => (Some(factor), "ok"),
    };
    SampleRatio {
        chi_square: chi_square.map(|chi_square| chi_square.statistic),
        p: chi_square.map(|chi_square| chi_square.p),
        bayes_factor,
        verdict,
    }
}

/// The allocation as fractions of 1, one per arm.
fn shares(observed: &[u64], allocation: &[f64]) -> Option<Vec<f64>> {
    let sum: f64 = allocation.iter().sum();
    let fits = observed.len() == allocation.len()
        && observed.len() >= 2
        && allocation.iter().all(|share| *share >= 0.0)
        && sum > 0.0
        && sum.is_finite();
    fits.then(|| allocation.iter().map(|share| share / sum).collect())
}

fn squared(value: f64) -> f64 {
    value * value
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}
