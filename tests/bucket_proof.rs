//! What a flag payload proves: who cannot have been exposed, who is in another arm than the rollout says, and where keys
//! fall. Flags, events and catalog are in tests/bucket_proof; d-12 falls in control, d-8 and d-9 in treatment, and d-1,
//! d-2 and d-3 outside of the experiment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LATE: [&str; 2] = ["--observed-from", "2026-01-15T00:00:00Z"];
const JUDGED: [&str; 4] = ["--catalog", "catalog.toml", "--flags", "flags.json"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bucket_proof")
}

fn exptap(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read it closes it, which is not what is tested.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("the program was killed"), text(output.stdout), text(output.stderr))
}

fn json(arguments: &[&str]) -> Value {
    let (code, output, said) = exptap(arguments, "");
    assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&output).unwrap()
}

fn report(events: &str, more: &[&str]) -> Value {
    json(&[&["report", events, "--format", "json"], more].concat())
}

fn verdicts(report: &Value) -> Vec<(String, u64)> {
    let verdicts = report["experiments"][0]["metrics"][0]["verdicts"].as_object().unwrap();
    verdicts.iter().map(|(code, count)| (code.clone(), count.as_u64().unwrap())).collect()
}

fn of(verdicts: &[(&str, u64)]) -> Vec<(String, u64)> {
    verdicts.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
}

fn finding<'r>(report: &'r Value, code: &str) -> Option<&'r Value> {
    report["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == code)
}

#[test]
fn a_unit_that_the_rollout_leaves_out_is_dropped_for_certain_whatever_was_observed() {
    let without = report("events.ndjson", &[&JUDGED[..2], &LATE].concat());
    assert_eq!(verdicts(&without), of(&[("counted", 2), ("unknown-not-observed", 3)]));
    let with = report("events.ndjson", &[&JUDGED[..], &LATE].concat());
    assert_eq!(verdicts(&with), of(&[("counted", 2), ("unit-not-allocated", 2), ("unknown-not-observed", 1)]));
    let complete = report("events.ndjson", &JUDGED);
    assert_eq!(verdicts(&complete), of(&[("counted", 2), ("no-exposure", 1), ("unit-not-allocated", 2)]));
    for report in [&with, &complete] {
        let finding = finding(report, "unit-not-allocated").unwrap();
        assert_eq!((&finding["events"], &finding["units"]), (&2.into(), &1.into()));
        assert_eq!((&finding["severity"], &finding["confidence"]), (&"info".into(), &"decided".into()));
    }
}

#[test]
fn an_exposure_to_another_arm_than_the_buckets_is_a_finding_with_counts() {
    let report = report("events.ndjson", &JUDGED);
    let finding = finding(&report, "bucket-mismatch").unwrap();
    assert_eq!(finding["severity"], "warning");
    assert_eq!((&finding["events"], &finding["units"]), (&1.into(), &1.into()));
    assert_eq!(finding["examples"], serde_json::json!([2]));
    assert_eq!(
        finding["summary"],
        "1 of 2 exposures of cta-test are not what the rollout of checkout-cta gives: device d-8, for one, was served \
         control; bucket 0.32140 of seed 61: control is 0 to 0.2, treatment 0.2 to 0.4, not in the experiment 0.4 to 1 \
         → treatment."
    );
    assert!(finding["fix"].as_str().unwrap().contains("another seed, that of an earlier iteration"));
}

#[test]
fn a_rollout_that_an_exposure_refutes_proves_nothing() {
    let report = report("refuting.ndjson", &[&JUDGED[..], &LATE].concat());
    assert_eq!(verdicts(&report), of(&[("counted", 2), ("unknown-not-observed", 3)]));
    assert_eq!(finding(&report, "bucket-mismatch").unwrap()["events"], 2);
    let (_, story, _) = exptap(&[&["explain", "refuting.ndjson", "device/d-1"], &JUDGED[..], &LATE].concat(), "");
    assert!(story.contains("; but others that it leaves out were exposed, so it proves nothing\n"), "{story}");
    assert!(story.contains("no exposure seen; there may have been one before observation began"), "{story}");
}

fn explain(unit: &str) -> String {
    let (code, story, said) = exptap(&[&["explain", "events.ndjson", unit], &JUDGED[..], &LATE].concat(), "");
    assert_eq!((code, said.as_str()), (0, ""));
    story
}

#[test]
fn a_story_has_the_numbers_and_says_whether_the_unit_could_have_been_exposed() {
    let ranges = "control is 0 to 0.2, treatment 0.2 to 0.4, not in the experiment 0.4 to 1";
    let told = |unit: &str, lines: &[String]| {
        let story = explain(unit);
        lines.iter().for_each(|line| assert!(story.contains(&format!("{line}\n")), "{unit}: {line}\n{story}"));
    };
    told("device/d-12", &[format!("    ✓ B1      CODE   bucket 0.00992 of seed 61: {ranges} → control")]);
    told(
        "device/d-8",
        &[
            format!(
                "bucket 0.32140 of seed 61: {ranges} → treatment; but control was served in the experiment (bucket-mismatch)"
            ),
            format!("bucket 0.32140 of seed 61: {ranges} → treatment: not what it was exposed to (bucket-mismatch)"),
        ],
    );
    told(
        "device/d-1",
        &[
            "    ✗ A8      CODE   device “d-1” has no exposure to checkout-cta in this iteration, and cannot have had one".to_owned(),
            format!("    ✓ B1      CODE   bucket 0.90774 of seed 61: {ranges} → not in the experiment, served control"),
            "  cta-test · iteration 1: never exposed, and cannot have been, observed or not".to_owned(),
        ],
    );
    told(
        "device/d-9",
        &[format!(
            "bucket 0.31011 of seed 61: {ranges} → treatment: evaluating checkout-cta by the experiment's rule exposes it to that"
        )],
    );
    told(
        "device/d-2",
        &[format!("    ✓ B1      CODE   bucket 0.80727 of seed 61: {ranges} → not in the experiment, served control")],
    );
    let story = json(&[&["explain", "events.ndjson", "device/d-8", "--format", "json"], &JUDGED[..]].concat());
    let bucket = &story["experiments"][0]["bucket"];
    assert_eq!(
        (&bucket["arm"], &bucket["agrees"], &bucket["excluded"]),
        (&"treatment".into(), &false.into(), &false.into())
    );
    assert!((bucket["value"].as_f64().unwrap() - 0.3214).abs() < 1e-5);
}

#[test]
fn what_the_flags_do_not_give_is_said_and_the_rest_is_judged() {
    let with = |flags: &str| exptap(&["report", "events.ndjson", "--catalog", "catalog.toml", "--flags", "-"], flags);
    let (code, report, said) = with(r#"{"flags": {"Checkout-CTA": {"on": true}}}"#);
    assert_eq!(code, 0);
    assert_eq!(
        said,
        "no rollout for the experiment cta-test: the payload has no flag checkout-cta; Checkout-CTA is near it\n"
    );
    assert!(report.contains("no-exposure") && !report.contains("unit-not-allocated"));
    let flags = std::fs::read_to_string(folder().join("flags.json")).unwrap();
    let (code, _, said) = with(&flags.replace("\"device\"", "\"user\""));
    assert_eq!(code, 0);
    assert!(said.contains("deals out by user, and the catalog randomizes by device"), "{said}");
    let (code, _, said) = with(&flags.replace("61", "\"61\""));
    assert_eq!(code, 0);
    assert!(
        said.contains("flag checkout-cta, default rule: seed is \"61\"; expected a whole number of 64 bits"),
        "{said}"
    );
    for nothing in ["", "{}", "not json", r#"{"flags": {}}"#] {
        let (code, report, said) = with(nothing);
        assert_eq!((code, report.as_str()), (2, ""), "{nothing}");
        assert!(said.starts_with("-: "), "{said}");
    }
}

#[test]
fn flags_go_with_a_recordings_own_catalog() {
    let catalog = "{\"experiments\":[{\"key\":\"e\",\"flag\":\"checkout-cta\",\"randomization_unit\":\"device\",\"started_at\":1767225600000,\"metrics\":[\"m\"]}],\"metrics\":[{\"key\":\"m\",\"event_key\":\"checkout\",\"units\":[\"device\"]}]}";
    let body = "[{\"kind\":\"custom\",\"key\":\"checkout\",\"creationDate\":1769817600000,\"context\":{\"kind\":\"device\",\"key\":\"d-1\"}}]";
    let recording = format!(
        "{{\"exptap\":1,\"created_at\":\"2026-01-30T00:00:00Z\",\"observed_from\":1769731200000,\"catalog\":{catalog}}}\n{{\"t\":1769817600000,\"n\":1,\"path\":\"/bulk\",\"body\":{body}}}\n"
    );
    let count = |more: &[&str]| {
        let (code, output, _) = exptap(&[&["report", "-", "--format", "json"], more].concat(), &recording);
        assert_eq!(code, 0);
        verdicts(&serde_json::from_str(&output).unwrap())
    };
    assert_eq!(count(&[]), of(&[("unknown-not-observed", 1)]));
    assert_eq!(count(&["--flags", "flags.json"]), of(&[("unit-not-allocated", 1)]));
}

#[test]
fn a_source_judged_by_buckets_is_not_redacted_into_other_buckets() {
    let folder_of_catalog = tempfile::tempdir().unwrap();
    let catalog = folder_of_catalog.path().join("catalog.toml");
    let text = std::fs::read_to_string(folder().join("catalog.toml")).unwrap();
    let rollout = "rollout = { seed = 61, variations = [{ variation = 0, weight = 100000 }] }\n";
    std::fs::write(&catalog, text + rollout).unwrap();
    let redact = |more: &[&str]| {
        exptap(&[&["redact", "events.ndjson", "--catalog", catalog.to_str().unwrap()], more].concat(), "")
    };
    let (code, output, said) = redact(&[]);
    assert_eq!((code, output.as_str()), (2, ""));
    assert!(said.contains("the rollout of experiment cta-test") && said.contains("--keep keys"), "{said}");
    let (code, output, _) = redact(&["--keep", "keys"]);
    assert!(code == 0 && output.contains("\"d-12\""), "{output}");
}

#[test]
fn bucket_shows_the_ranges_and_where_keys_fall() {
    let (code, text, said) =
        exptap(&["bucket", "--flags", "flags.json", "checkout-cta", "d-12", "device/d-8", "d-1", "user/u-1"], "");
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(
        text,
        "checkout-cta, version 9\n\n\
         default rule: an experiment by device, seed 61\n\
         \x20 variation 0 (control)    0 to 0.2\n\
         \x20 variation 1 (treatment)  0.2 to 0.4\n\
         \x20 variation 0 (control)    0.4 to 1    not in the experiment\n\n\
         \x20 UNIT         BUCKET   LANDS IN\n\
         \x20 device/d-12  0.00992  variation 0 (control)\n\
         \x20 device/d-8   0.32140  variation 1 (treatment)\n\
         \x20 device/d-1   0.90774  not in the experiment, served variation 0 (control)\n\
         \x20 user/u-1     -        no device key: variation 0 (control), not in the experiment\n"
    );
    let (_, text, _) = exptap(&["bucket", "--flags", "flags.json", "banner", "u-1"], "");
    assert!(text.starts_with("banner, version 2: it is off, so everybody is served the same\n\nrule r1: a rollout, not an experiment, by user, salt “beef”\n"), "{text}");
}

#[test]
fn bucket_finds_the_same_keys_for_every_arm_each_time() {
    let find = ["bucket", "--flags", "flags.json", "checkout-cta", "--find", "2", "--prefix", "d-", "--format", "json"];
    let answer = json(&find);
    assert_eq!(answer["exptap_bucket"], 1);
    let units = answer["rules"][0]["units"].as_array().unwrap();
    let found: Vec<(&str, i64, bool)> = units
        .iter()
        .map(|unit| {
            (
                unit["unit"].as_str().unwrap(),
                unit["variation"].as_i64().unwrap(),
                unit["in_experiment"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("device/d-12", 0, true),
            ("device/d-35", 0, true),
            ("device/d-8", 1, true),
            ("device/d-9", 1, true),
            ("device/d-1", 0, false),
            ("device/d-2", 0, false),
        ]
    );
    assert_eq!(json(&find), answer);
}

#[test]
fn bucket_refuses_what_has_no_bucket() {
    let refused = |arguments: &[&str], stdin: &str, words: &str| {
        let (code, output, said) = exptap(&[&["bucket"], arguments].concat(), stdin);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(said.contains(words), "{said}");
    };
    refused(
        &["--flags", "flags.json", "checkout_cta", "k"],
        "",
        "there is no flag checkout_cta in it; did you mean checkout-cta?",
    );
    refused(&["--flags", "flags.json", "plain", "k"], "", "no rule of it deals out by percentage");
    refused(&["--flags", "absent.json", "f", "k"], "", "absent.json: the flags cannot be read");
    refused(&["--flags", "-", "f", "k"], "{\"key\": \"f\", \"environments\": {}}", "this is a flag of the REST API");
    refused(&["f", "k"], "", "--flags <FILE>");
    let evil = "{\"key\": \"\u{1b}[2J\", \"fallthrough\": {\"rollout\": {\"variations\": [{\"variation\": 0, \"weight\": 100000}]}}}";
    let evil = evil.replace('\u{1b}', "\\u001b");
    let (code, text, _) = exptap(&["bucket", "--flags", "-", "\u{1b}[2J", "\u{1b}[31mk"], &evil);
    assert!(code == 0 && !text.contains('\u{1b}'), "{text:?}");
}
