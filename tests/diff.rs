//! `exptap diff`: two small recordings, from before a release and from after it, and exactly what is said of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::{Value, json};
use std::process::Command;

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"
units = ["device"]

[[experiments]]
key = "cta-test"
flag = "cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

const DAY_MS: i64 = 1_767_312_000_000;

/// What a release sends: who it is, and for which contexts.
struct Release {
    sdk: &'static str,
    /// Whether the contexts have a device beside the user.
    has_device: bool,
    /// How many contexts are there, half of them in each arm; every second one checks out.
    contexts: i64,
    event_key: &'static str,
    /// Evaluations of which no event was sent, though nothing says why.
    unsent: i64,
}

const RELEASE: Release =
    Release { sdk: "NodeJSClient/9.1.0", has_device: true, contexts: 4, event_key: "checkout", unsent: 0 };

impl Release {
    fn context(&self, number: i64) -> Value {
        match self.has_device {
            true => {
                json!({"kind": "multi", "user": {"key": format!("u-{number}")}, "device": {"key": format!("d-{number}")}})
            }
            false => json!({"kind": "user", "key": format!("u-{number}")}),
        }
    }

    /// A server SDK sends events of evaluations that are in an experiment, and without the device none is.
    fn events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut counts = [0, 0];
        for number in 0..self.contexts {
            let (variation, context) = (number % 2, self.context(number));
            let t = DAY_MS + number;
            counts[variation as usize] += 1;
            if self.has_device {
                events.push(
                    json!({"kind": "feature", "creationDate": t, "key": "cta", "version": 3, "variation": variation,
                    "value": true, "context": context, "reason": {"kind": "FALLTHROUGH", "inExperiment": true}}),
                );
            }
            if number % 4 < 2 {
                events.push(
                    json!({"kind": "custom", "creationDate": t + 1000, "key": self.event_key, "context": context}),
                );
            }
        }
        counts[0] += self.unsent;
        let kinds = if self.has_device { json!(["device", "user"]) } else { json!(["user"]) };
        let counters: Vec<Value> = counts
            .iter()
            .zip(0..)
            .map(|(count, variation)| json!({"variation": variation, "version": 3, "value": true, "count": count}))
            .collect();
        events.push(json!({"kind": "summary", "startDate": DAY_MS, "endDate": DAY_MS + 2000,
            "features": {"cta": {"default": false, "contextKinds": kinds, "counters": counters}}}));
        events
    }

    fn recording(&self) -> String {
        let request = json!({"t": DAY_MS + 3000, "n": 1, "via": "http", "method": "POST", "path": "/bulk",
            "headers": {"x-launchdarkly-event-schema": "4", "user-agent": self.sdk, "x-launchdarkly-payload-id": "p-1"},
            "credential": null, "encoding": null, "wire_bytes": 100, "body": self.events()});
        format!("{}\n{request}\n", json!({"exptap": 1, "observed_from": null}))
    }
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

#[test]
fn another_mapping_of_segment_is_said_because_it_is_a_part_of_what_changed() {
    let recordings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let ran = run(&recordings, &["segment-default-mapping.exptap", "segment-device-mapping.exptap"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("\nSegment's destination is set up differently; --mapping FILE"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("different catalogs"), "{}", ran.stdout);
    let counted = "  counted           checkout-cta-test · products-added       0.0 → 1000.0  new   \
                   Segment analytics-node-next/latest 0 → 70\n";
    assert!(ran.stdout.contains(counted), "{}", ran.stdout);
}

/// Runs `exptap diff before.exptap after.exptap --catalog catalog.toml` on two recordings.
fn diff(before: &str, after: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("catalog.toml"), CATALOG).unwrap();
    std::fs::write(folder.path().join("before.exptap"), before).unwrap();
    std::fs::write(folder.path().join("after.exptap"), after).unwrap();
    let mut arguments = vec!["before.exptap", "after.exptap", "--catalog", "catalog.toml"];
    arguments.extend(more);
    run(folder.path(), &arguments)
}

fn run(folder: &std::path::Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_exptap")).arg("diff").args(arguments).current_dir(folder).output();
    let output = output.unwrap();
    Ran {
        code: output.status.code().expect("the program was killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Compares with what is expected in a file, or writes it there.
fn expect(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diff").join(name);
    if std::env::var("EXPTAP_UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "{name}");
}

fn json_of(before: &Release, after: &Release) -> Value {
    let ran = diff(&before.recording(), &after.recording(), &["--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_release_that_loses_the_device_key() {
    let after = Release { has_device: false, ..RELEASE };
    let ran = diff(&RELEASE.recording(), &after.recording(), &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    expect("device-lost.txt", &ran.stdout);

    let ran = diff(&RELEASE.recording(), &after.recording(), &["--format", "markdown"]);
    expect("device-lost.md", &ran.stdout);
}

#[test]
fn what_changed_most_names_the_verdict_its_shares_and_who_sends_it() {
    let difference = json_of(&RELEASE, &Release { has_device: false, ..RELEASE });
    let told: Vec<_> = difference["changed_most"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!([it["metric"], it["code"], it["events"], it["per_thousand"], it["presence"], it["sources"]]))
        .collect();
    let pair = |before: Value, after: Value| json!({"before": before, "after": after});
    let row = |metric: Value, code: &str, before: i64, after: i64, presence: &str| {
        let share = |count: i64| json!(if count == 0 { 0.0 } else { 1000.0 });
        let events = pair(json!(before), json!(after));
        let sources = json!([{"source": "NodeJSClient/9.1.0", "events": events}]);
        json!([metric, code, events, pair(share(before), share(after)), presence, sources])
    };
    let metric = json!("checkout-conversion");
    assert_eq!(
        told,
        [
            row(Value::Null, "exposure", 4, 0, "gone"),
            row(Value::Null, "exposure-lacks-unit", 0, 4, "new"),
            row(metric.clone(), "counted", 2, 0, "gone"),
            row(metric, "event-lacks-unit", 0, 2, "new"),
        ]
    );
    let evaluations = &difference["evaluations"];
    assert_eq!(
        *evaluations,
        json!([{"flag": "cta", "source": "NodeJSClient/9.1.0", "counted": {"before": 4, "after": 4},
            "sent": {"before": 4, "after": 0}, "sampled": {"before": false, "after": false},
            "unsent": [{"code": "exposure-lacks-unit", "evaluations": {"before": 0, "after": 4},
                "per_thousand": {"before": 0.0, "after": 1000.0}}]}])
    );
}

#[test]
fn an_sdk_upgrade_changes_the_sender_and_no_share() {
    let difference = json_of(&RELEASE, &Release { sdk: "NodeJSClient/9.2.0", ..RELEASE });
    assert_eq!(difference["changed"], json!(true));
    assert_eq!(difference["changed_most"], json!([]));
    assert_eq!(difference["findings"], json!([]));
    assert_eq!(
        difference["versions"],
        json!([{"sdk": "NodeJSClient", "versions": {"before": ["9.1.0"], "after": ["9.2.0"]}}])
    );
    let senders: Vec<_> = difference["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["source"].as_str().unwrap(), it["presence"].as_str().unwrap(), it["events"].clone()))
        .collect();
    assert_eq!(
        senders,
        [
            ("NodeJSClient/9.1.0", "gone", json!({"before": 7, "after": 0})),
            ("NodeJSClient/9.2.0", "new", json!({"before": 0, "after": 7})),
        ]
    );
    let ran = diff(&RELEASE.recording(), &Release { sdk: "NodeJSClient/9.2.0", ..RELEASE }.recording(), &[]);
    assert!(ran.stdout.contains("\n  NodeJSClient has another version: 9.1.0 → 9.2.0\n"), "{}", ran.stdout);
}

#[test]
fn evaluations_that_no_event_was_sent_of_and_nothing_explains_are_told_by_flag_and_sender() {
    let difference = json_of(&RELEASE, &Release { unsent: 4, ..RELEASE });
    assert_eq!(
        difference["evaluations"],
        json!([{"flag": "cta", "source": "NodeJSClient/9.1.0", "counted": {"before": 4, "after": 8},
            "sent": {"before": 4, "after": 4}, "sampled": {"before": false, "after": false},
            "unsent": [{"code": "no-feature-event", "evaluations": {"before": 0, "after": 4},
                "per_thousand": {"before": 0.0, "after": 500.0}}]}])
    );
    let ran = diff(&RELEASE.recording(), &Release { unsent: 4, ..RELEASE }.recording(), &[]);
    let row = "\n  cta   NodeJSClient/9.1.0  4 → 8    4     0 → 4          0 → 4 not explained\n";
    assert!(ran.stdout.contains(row), "{}", ran.stdout);
}

#[test]
fn an_event_key_that_vanishes_and_one_that_appears_are_told() {
    let difference = json_of(&RELEASE, &Release { event_key: "Checkout", ..RELEASE });
    let keys: Vec<_> = difference["event_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["key"].as_str().unwrap(), it["presence"].as_str().unwrap(), it["unmatched"].as_bool().unwrap()))
        .collect();
    assert_eq!(keys, [("Checkout", "new", true), ("checkout", "gone", false)]);
    let findings: Vec<_> = difference["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["code"].as_str().unwrap(), it["presence"].as_str().unwrap()))
        .collect();
    assert!(findings.contains(&("event-key-case", "new")), "{findings:?}");
    assert_eq!(difference["experiments"][0]["metrics"][0]["received"], json!({"before": 2, "after": 0}));
}

#[test]
fn a_finding_that_is_on_both_sides_is_still_there() {
    let before = Release { has_device: false, ..RELEASE };
    let after = Release { has_device: false, sdk: "NodeJSClient/9.2.0", ..RELEASE };
    let ran = diff(&before.recording(), &after.recording(), &[]);
    let told = "\n  still there: error event-lacks-unit  2 events  cta-test · checkout-conversion\n      from NodeJSClient/9.2.0\n";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nChanged: no finding is new or gone."), "{}", ran.stdout);
    let ran = diff(&before.recording(), &RELEASE.recording(), &[]);
    assert!(ran.stdout.contains("\n  gone: error event-lacks-unit  2 → 0 events"), "{}", ran.stdout);
}

#[test]
fn identical_sessions_say_that_nothing_changed() {
    let ran = diff(&RELEASE.recording(), &RELEASE.recording(), &[]);
    let expected = "\
before  before.exptap: 7 events in 1 request, 2026-01-02 00:00:00 to 2026-01-02 00:00:02 UTC; catalog: file
after   after.exptap: 7 events in 1 request, 2026-01-02 00:00:00 to 2026-01-02 00:00:02 UTC; catalog: file

Nothing changed: 7 events in each, the same senders, event keys and findings, and the same share of every verdict.
";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, expected, ""));
}

#[test]
fn more_of_the_same_is_no_change() {
    let plain = |count: i64| -> String {
        let events = Release { contexts: count, ..RELEASE }.events();
        let events = events.iter().filter(|event| event["kind"] != "summary");
        events.map(|event| format!("{event}\n")).collect()
    };
    let ran = diff(&plain(4), &plain(8), &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("\nNothing changed: 6 events, then 12, the same senders"), "{}", ran.stdout);
}

#[test]
fn without_a_catalog_both_are_judged_by_what_is_inferred_from_both_or_by_the_one_that_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("before.exptap", &RELEASE.recording());
    // It no longer tracks anything: by itself no metric would be inferred, and nothing would be missing.
    let silent: String = RELEASE.recording().replace("\"kind\":\"custom\"", "\"kind\":\"index\"");
    write("after.exptap", &silent);
    let ran = run(folder.path(), &["before.exptap", "after.exptap", "--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let difference: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(difference["same_catalog"], json!(true));
    assert_eq!(difference["experiments"][0]["metrics"][0]["received"], json!({"before": 2, "after": 0}));

    let catalog = exptap::catalog::load::from_text(
        CATALOG,
        "catalog.toml",
        exptap::catalog::load::Format::Toml,
        exptap::catalog::Origin::File,
    );
    let catalog = catalog.unwrap().to_json();
    let requests: String = RELEASE.recording().lines().skip(1).map(|line| format!("{line}\n")).collect();
    let with = format!("{{\"exptap\":1,\"catalog\":{catalog}}}\n{requests}");
    write("with.exptap", &with);
    let ran = run(folder.path(), &["before.exptap", "with.exptap", "--format", "json"]);
    assert_eq!(ran.stderr, "before.exptap holds no catalog and is judged by that of with.exptap\n");
    let difference: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&difference["same_catalog"], &difference["changed"]), (&json!(true), &json!(false)));
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.exptap"), RELEASE.recording()).unwrap();
    std::fs::write(folder.path().join("noise.txt"), "nothing\n").unwrap();
    std::fs::write(folder.path().join("empty.ndjson"), "").unwrap();
    let ran = run(folder.path(), &["-", "-"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (2, "standard input can be one of the two, and not both\n"));
    let ran = run(folder.path(), &["a.exptap", "nowhere.exptap"]);
    assert!(ran.code == 2 && ran.stderr.starts_with("nowhere.exptap: "), "{}", ran.stderr);
    let ran = run(folder.path(), &["a.exptap", "noise.txt"]);
    assert!(ran.code == 2 && ran.stderr.contains("nothing readable"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let ran = run(folder.path(), &["empty.ndjson", "empty.ndjson"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("Neither recording holds an event"), "{}", ran.stdout);
    let ran = run(folder.path(), &["empty.ndjson", "a.exptap"]);
    assert!(ran.code == 0 && ran.stdout.contains("\nChanged: "), "{}", ran.stdout);
}

#[test]
fn text_from_events_is_left_for_no_terminal_and_no_tracker_to_obey() {
    let hostile = Release { event_key: "x\u{1b}[2J|@all", sdk: "Evil\u{1b}]0;owned\u{7}/1 <b>", ..RELEASE };
    for format in ["table", "markdown"] {
        let ran = diff(&RELEASE.recording(), &hostile.recording(), &["--format", format]);
        assert_eq!(ran.code, 0);
        assert!(!ran.stdout.contains(['\u{1b}', '\u{7}']), "{}", ran.stdout);
        assert!(ran.stdout.contains("[2J"), "{}", ran.stdout);
    }
}
