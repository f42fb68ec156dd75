//! The statistics against values computed elsewhere (scipy 1.17 and gbstats 0.8, which agree).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use exptap::report::SampleRatio;
use exptap::statistics::{bayes_factor, chi_square, mean_interval, percentile, sample_ratio, wilson};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(serde::Deserialize)]
struct Reference {
    srm: Vec<Split>,
    wilson95: BTreeMap<String, [f64; 2]>,
}

#[derive(serde::Deserialize)]
struct Split {
    obs: Vec<u64>,
    weights: Vec<f64>,
    chi2: f64,
    p: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("data/vectors/stats_reference.json")).unwrap()
}

/// Equal to nine digits.
fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * other.abs().max(1e-300) || (one - other).abs() < 1e-15
}

#[test]
fn wilson_intervals_are_those_of_the_reference() {
    let reference = reference();
    assert_eq!(reference.wilson95.len(), 5);
    for (fraction, [low, high]) in reference.wilson95 {
        let (successes, trials) = fraction.split_once('/').unwrap();
        let [own_low, own_high] = wilson(successes.parse().unwrap(), trials.parse().unwrap()).unwrap();
        assert!(close(own_low, low) && close(own_high, high), "{fraction}: [{own_low}, {own_high}]");
    }
}

#[test]
fn a_rate_of_nothing_has_no_interval() {
    assert_eq!(wilson(0, 0), None);
    assert_eq!(wilson(3, 2), None);
    assert_eq!(wilson(0, 10).unwrap()[0], 0.0);
    assert_eq!(wilson(10, 10).unwrap()[1], 1.0);
}

#[test]
fn chi_square_and_its_p_are_those_of_the_reference() {
    let reference = reference();
    assert_eq!(reference.srm.len(), 6);
    for Split { obs, weights, chi2, p } in reference.srm {
        let own = chi_square(&obs, &weights).unwrap();
        assert!(close(own.statistic, chi2), "{obs:?}: {}", own.statistic);
        assert!(close(own.p, p) || (own.p / p - 1.0).abs() < 1e-6, "{obs:?}: {}", own.p);
    }
}

#[test]
fn a_mean_has_students_interval_over_its_units() {
    // The 97.5 % quantiles of Student's t: 2.262157162740992 for 9 degrees of freedom, 12.706204736432095 for 1.
    let [low, high] = mean_interval(10, 5.0, 2.0).unwrap();
    let half_width = 2.262_157_162_740_992 * 2.0 / 10_f64.sqrt();
    assert!(close(low, 5.0 - half_width) && close(high, 5.0 + half_width), "[{low}, {high}]");
    let [low, high] = mean_interval(2, 0.0, 1.0).unwrap();
    assert!(close(high, 12.706_204_736_432_095 / 2_f64.sqrt()) && low == -high, "[{low}, {high}]");
    assert_eq!(mean_interval(10, 5.0, 0.0), Some([5.0, 5.0]));
    assert_eq!(mean_interval(1, 5.0, 0.0), None);
    assert_eq!(mean_interval(10, 5.0, f64::NAN), None);
    assert_eq!(mean_interval(10, f64::INFINITY, 1.0), None);
}

#[test]
fn the_percentile_is_a_value_that_was_really_there() {
    let mut values = [40.0, 15.0, 50.0, 20.0, 35.0];
    for (rank, expected) in [(5.0, 15.0), (30.0, 20.0), (40.0, 20.0), (50.0, 35.0), (95.0, 50.0), (100.0, 50.0)] {
        assert_eq!(percentile(&mut values, rank), Some(expected), "{rank}");
    }
    assert_eq!(percentile(&mut [], 50.0), None);
    assert_eq!(percentile(&mut [1.0], 0.0), None);
    assert_eq!(percentile(&mut [1.0, f64::NAN], 50.0), None);
}

#[test]
fn the_bayes_factor_is_the_dirichlet_multinomials() {
    // From the formula, with the C library's lgamma. 15 of 15 at one half is 2^15 / 16 exactly.
    let expected: [(&[u64], &[f64], f64); 6] = [
        (&[0, 15], &[1.0, 1.0], 2048.0),
        (&[5000, 5200], &[50.0, 50.0], 0.088_157_000_833_812_8),
        (&[4000, 6000], &[0.5, 0.5], 3.440_232_876_212_562_6e85),
        (&[300, 330, 370], &[1.0, 1.0, 1.0], 0.095_937_336_019_287_15),
        (&[95, 905], &[10.0, 90.0], 0.026_758_535_902_078_2),
        (&[10, 30], &[1.0, 1.0], 31.636_906_390_225_07),
    ];
    for (observed, allocation, factor) in expected {
        let own = bayes_factor(observed, allocation).unwrap();
        assert!((own / factor - 1.0).abs() < 1e-7, "{observed:?}: {own}");
    }
}

#[test]
fn a_bayes_factor_too_large_to_write_is_the_largest_number() {
    assert_eq!(bayes_factor(&[1_000_000, 0], &[1.0, 1.0]), Some(f64::MAX));
    assert_eq!(bayes_factor(&[50, 50], &[100.0, 0.0]), Some(f64::MAX), "traffic where none was allocated");
}

#[test]
fn the_verdict_on_the_ratio_goes_from_too_few_over_ok_and_note_to_alert() {
    let verdict = |observed: &[u64]| sample_ratio(observed, &vec![1.0; observed.len()]).verdict;
    assert_eq!(verdict(&[0, 39]), "too-few", "39 units in two arms");
    assert_eq!(verdict(&[14, 26]), "ok");
    assert_eq!(verdict(&[10, 30]), "note");
    assert_eq!(verdict(&[8, 32]), "note");
    assert_eq!(verdict(&[6, 34]), "alert");
    assert_eq!(verdict(&[40]), "off", "one arm has no ratio");
    assert_eq!(sample_ratio(&[20, 20], &[1.0]).verdict, "off");
    assert_eq!(sample_ratio(&[20, 20], &[0.0, 0.0]).verdict, "off");
}

#[test]
fn a_figure_is_hidden_until_it_means_something() {
    let hidden = SampleRatio { chi_square: None, p: None, bayes_factor: None, verdict: "too-few" };
    assert_eq!(sample_ratio(&[0, 39], &[50.0, 50.0]), hidden);
    assert_eq!(sample_ratio(&[0, 0], &[50.0, 50.0]), hidden);
    let below_a_hundred = sample_ratio(&[49, 50], &[50.0, 50.0]);
    assert_eq!((below_a_hundred.chi_square, below_a_hundred.verdict), (None, "ok"));
    assert!(below_a_hundred.bayes_factor.is_some());
    let rare_arm = sample_ratio(&[4, 96], &[4.0, 96.0]);
    assert_eq!((rare_arm.chi_square, rare_arm.p), (None, None), "4 expected");
    let shown = sample_ratio(&[5, 95], &[5.0, 95.0]);
    assert_eq!((shown.chi_square, shown.p), (Some(0.0), Some(1.0)));
}

proptest! {
    #[test]
    fn the_order_of_the_arms_changes_nothing_and_no_figure_is_infinite(
        arms in prop::collection::vec((0..5000_u64, 0.1..100.0_f64), 2..6),
    ) {
        let judged = |arms: &[(u64, f64)]| {
            let (observed, allocation): (Vec<u64>, Vec<f64>) = arms.iter().copied().unzip();
            sample_ratio(&observed, &allocation)
        };
        let straight = judged(&arms);
        let reversed = judged(&arms.iter().rev().copied().collect::<Vec<_>>());
        for figure in [straight.chi_square, straight.p, straight.bayes_factor].into_iter().flatten() {
            prop_assert!(figure.is_finite());
        }
        // The last digits may differ with the order of a sum; what is shown must not.
        prop_assert_eq!(straight.chi_square.is_some(), reversed.chi_square.is_some());
        if let (Some(one), Some(other)) = (straight.chi_square, reversed.chi_square) {
            prop_assert!((one - other).abs() <= 1e-9 * one.max(1.0));
        }
        if let (Some(one), Some(other)) = (straight.bayes_factor, reversed.bayes_factor) {
            prop_assert!(one == other || (one.ln() - other.ln()).abs() < 1e-6);
        }
    }
}
