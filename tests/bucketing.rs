//! Buckets are those of real SDKs: the Rust one is asked here, and what Node's and Python's answered was kept (see
//! tests/data/bucketing for how).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::bucketing::payload::{self, RuleRollout};
use exptap::bucketing::{Arithmetic, Share};
use launchdarkly_server_sdk::{
    Client, ConfigBuilder, ContextBuilder, Flag, NullEventProcessorBuilder, Reason, TestData,
};
use serde_json::Value;
use std::collections::BTreeMap;

const FLAGS: &str = include_str!("data/bucketing/flags.json");
const KEYS: &str = include_str!("data/bucketing/keys.json");

fn keys() -> Vec<String> {
    let keys: Vec<String> = serde_json::from_str(KEYS).unwrap();
    assert!(keys.len() > 300);
    keys
}

/// The rollout of each flag's default rule.
fn rollouts() -> BTreeMap<String, RuleRollout> {
    let payload = payload::read(FLAGS);
    assert_eq!(payload.faults, Vec::<String>::new());
    payload.flags.into_iter().map(|(key, flag)| (key, flag.rules.into_iter().next().unwrap())).collect()
}

/// Variation and whether it is in the experiment, as SDKs that calculate so have it.
fn computed(flag: &str, rule: &RuleRollout, key: &str, arithmetic: Arithmetic) -> (i64, bool) {
    let share = rule.rollout.bucket(flag, key).share_by(arithmetic).unwrap();
    let Share { variation, untracked, .. } = rule.rollout.variations[share];
    (variation, rule.is_experiment && !untracked)
}

/// What an SDK answered: per flag, a digit a key.
fn answered(json: &str, arithmetic: Arithmetic) {
    let vectors: Value = serde_json::from_str(json).unwrap();
    let (keys, rollouts) = (keys(), rollouts());
    let digits = |flag: &str, of: &str| vectors["assigned"][flag][of].as_str().unwrap().as_bytes().to_vec();
    assert_eq!(vectors["assigned"].as_object().unwrap().len(), rollouts.len());
    for (flag, rule) in &rollouts {
        let (variations, in_experiment) = (digits(flag, "variations"), digits(flag, "in_experiment"));
        assert_eq!((variations.len(), in_experiment.len()), (keys.len(), keys.len()));
        for ((key, variation), in_experiment) in keys.iter().zip(variations).zip(in_experiment) {
            let expected = (i64::from(variation - b'0'), in_experiment == b'1');
            assert_eq!(computed(flag, rule, key, arithmetic), expected, "{flag} {key} by {}", vectors["sdk"]);
        }
        let first = rule.rollout.ranges()[0].share.variation;
        assert_eq!(vectors["without_unit"][flag], serde_json::json!([first, false]), "{flag}: no unit is bucket 0");
    }
}

#[test]
fn the_node_sdk_put_every_key_where_it_is_computed_to_be() {
    answered(include_str!("data/bucketing/node.json"), Arithmetic::JavaScript);
}

#[test]
fn the_python_sdk_put_every_key_where_it_is_computed_to_be() {
    answered(include_str!("data/bucketing/python.json"), Arithmetic::Double);
}

#[test]
fn the_rust_sdk_puts_every_key_where_it_is_computed_to_be() {
    let flags: Value = serde_json::from_str(FLAGS).unwrap();
    let data = TestData::new();
    for flag in flags["flags"].as_object().unwrap().values() {
        data.use_preconfigured_flag(serde_json::from_value::<Flag>(flag.clone()).unwrap());
    }
    let config = ConfigBuilder::new("sdk-00000000-0000-0000-0000-000000000000")
        .data_source(&data)
        .event_processor(&NullEventProcessorBuilder::new())
        .build()
        .unwrap();
    let client = Client::build(config).unwrap();
    client.start_with_runtime().unwrap();
    for (flag, rule) in &rollouts() {
        for key in &keys() {
            let context = ContextBuilder::new(key.as_str()).build().unwrap();
            let detail = client.str_variation_detail(&context, flag, "none".into());
            let in_experiment = matches!(detail.reason, Reason::Fallthrough { in_experiment: true });
            let expected = (detail.variation_index.unwrap() as i64, in_experiment);
            assert_eq!(computed(flag, rule, key, Arithmetic::Single), expected, "{flag} {key}");
        }
    }
    client.close();
}

/// Without these the comparisons above could not tell one way to calculate from another.
#[test]
fn the_keys_and_flags_are_such_that_the_sdks_differ() {
    let (keys, rollouts) = (keys(), rollouts());
    let differing = |flag: &str, one: Arithmetic, other: Arithmetic| {
        let rule = &rollouts[flag];
        keys.iter().filter(|key| computed(flag, rule, key, one) != computed(flag, rule, key, other)).count()
    };
    let (javascript, double, single) = (Arithmetic::JavaScript, Arithmetic::Double, Arithmetic::Single);
    assert!(differing("thousand", double, single) >= 12, "single precision drifts over a thousand shares");
    assert!(differing("seed-of-0", javascript, double) > 100, "JavaScript takes a seed of 0 for none");
    for flag in ["seeded", "salted", "part", "short", "percentage"] {
        assert_eq!((differing(flag, javascript, double), differing(flag, double, single)), (0, 0), "{flag}");
    }
    let agreed = |key: &String| rollouts["thousand"].rollout.bucket("thousand", key).share().is_some();
    assert!(keys.iter().filter(|key| !agreed(key)).count() >= 12, "and then nothing is proven");
}
