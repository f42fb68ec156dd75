//! The failure catalogue of docs/failures.md: what it says exptap tells exists and is tested, and what had no story of
//! its own has one here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::{Answer, AnsweredBy, Envelope};
use exptap::intake;
use exptap::reason::ReasonCode;
use exptap::report::build;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// 2026-01-01.
const START: i64 = 1_767_225_600_000;

fn read(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_else(|_| panic!("{name}"))
}

/// The rows of the catalogue: number, code and where it is seen.
fn rows(page: &str) -> Vec<(usize, Vec<&str>, &str)> {
    let rows = page.lines().filter(|line| line.starts_with("| F"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let codes = cells[2].split(',').map(str::trim).filter(|code| !code.is_empty()).collect();
        (cells[0][1..].parse().unwrap(), codes, cells[3])
    })
    .collect()
}

#[test]
fn the_page_names_no_test_and_no_code_that_is_not_there() {
    let page = read("docs/failures.md");
    let rows = rows(&page);
    assert_eq!(rows.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), (1..=69).collect::<Vec<_>>());
    let tests: String = fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let vectors: Value = serde_json::from_str(&read("tests/data/vectors/attribution.json")).unwrap();
    let vectors = vectors.to_string();
    for (number, codes, seen_in) in rows {
        for code in &codes {
            assert!(ReasonCode::from_name(code).is_some(), "F{number}: {code}");
        }
        let is_vector = seen_in.starts_with('C') && seen_in[1..].chars().all(|it| it.is_ascii_digit());
        if is_vector {
            assert!(vectors.contains(&format!("\"{seen_in}\"")), "F{number}: no case {seen_in}");
        } else if !seen_in.contains(' ') {
            assert!(tests.contains(&format!("fn {seen_in}(")), "F{number}: no test {seen_in}");
        }
        assert_eq!(codes.is_empty(), seen_in.contains(' '), "F{number} is told, and seen in a test, or says why not");
    }
    // F9, which every other test has by the way.
    let unknown = found(
        &post(
            json!([{"kind": "custom", "creationDate": START, "key": "unheard-of", "context": {"kind": "user", "key": "u"}}]),
        ),
        "no-metric-for-key",
    );
    assert_eq!(unknown["events"], 1);
}

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "conv"
        event_key = "checkout"
        [[experiments]]
        key = "x"
        flag = "f"
        flag_config_version = 7
        metrics = ["conv"]
        variations = [{ index = 0 }, { index = 1 }]
        started_at = 2026-01-01T00:00:00Z
    "#;
    load::from_text(text, "catalog.toml", Format::Toml, Origin::File).unwrap()
}

fn post(events: Value) -> Envelope {
    let body = events.to_string();
    Envelope {
        arrival_ms: START + 60_000,
        request: 1,
        method: "POST".into(),
        path: "/bulk".into(),
        headers: vec![("user-agent".into(), "NodeJSClient/9.13.7".into())],
        wire_bytes: body.len() as u64,
        body: body.into(),
        ..Envelope::default()
    }
}

/// The finding with a code, of one request; null without one.
fn found(envelope: &Envelope, code: &str) -> Value {
    let catalog = catalog();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    intake::envelope(&mut state, &catalog.environment, envelope, |_, _| {});
    let findings = serde_json::to_value(build::report(&state, &catalog).findings).unwrap();
    let findings = findings.as_array().unwrap().iter().find(|finding| finding["code"] == code);
    findings.cloned().unwrap_or_default()
}

fn feature(user: &str, variation: i64, version: i64) -> Value {
    json!({"kind": "feature", "creationDate": START, "key": "f", "variation": variation, "version": version,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "user", "key": user}})
}

#[test]
fn a_refusal_of_the_upstream_is_told() {
    let answered = |status, from| {
        let answer = Some(Answer { status, from });
        found(&Envelope { answer, ..post(json!([feature("u", 0, 7)])) }, "http-rejected")["events"].clone()
    };
    assert_eq!(answered(401, AnsweredBy::Upstream), 1);
    assert_eq!(answered(202, AnsweredBy::Upstream), Value::Null);
    assert_eq!(answered(503, AnsweredBy::Local), Value::Null);
}

#[test]
fn a_relay_that_forwards_no_events_is_told_from_one_that_is_overloaded() {
    let answered = |status, text: &str, code| {
        let answer = Some(Answer { status, from: AnsweredBy::Upstream });
        let answer_text = Some(text.to_owned());
        found(&Envelope { answer, answer_text, ..post(json!([feature("u", 0, 7)])) }, code)
    };
    let off = r#"{"message":"Event proxy is not enabled for this environment"}"#;
    assert_eq!(answered(503, off, "relay-events-off")["events"], 1);
    assert_eq!(answered(503, off, "http-rejected"), Value::Null);
    assert_eq!(answered(503, "upstream connect error", "relay-events-off"), Value::Null);
    assert_eq!(answered(400, off, "relay-events-off"), Value::Null);
    assert_eq!(
        answered(503, "upstream connect error", "http-rejected")["summary"],
        "Upstream answered 1 batch of events with an error. It said: 503 upstream connect error"
    );
}

#[test]
fn what_an_sdk_dropped_is_told_with_how_much() {
    let dropped = |count: i64| {
        let event = json!([{"kind": "diagnostic", "creationDate": START, "droppedEvents": count}]);
        found(&post(event), "queue-overflow")["summary"].clone()
    };
    assert_eq!(dropped(12), "An SDK dropped 12 events because its queue was full.");
    assert_eq!(dropped(0), Value::Null);
}

#[test]
fn an_older_version_of_the_flag_than_the_iteration_s_is_remarked_on() {
    let remarked = |version| found(&post(json!([feature("u", 0, version)])), "stale-flag-config")["events"].clone();
    assert_eq!(remarked(6), 1);
    assert_eq!(remarked(7), Value::Null);
}

#[test]
fn a_page_bootstrapped_with_bare_values_leaves_only_a_summary() {
    let counted = |counter: Value| {
        let summary = json!([{"kind": "summary", "startDate": START, "endDate": START + 1, "features": {"f": {
            "default": null, "contextKinds": ["user"], "counters": [counter]}}}]);
        found(&post(summary), "bootstrap-without-metadata")["events"].clone()
    };
    assert_eq!(counted(json!({"version": 0, "value": true, "count": 3})), 3);
    assert_eq!(counted(json!({"variation": 0, "version": 7, "value": true, "count": 3})), Value::Null);
}

#[test]
fn arms_that_are_not_filled_as_allocated_are_told_with_both_numbers() {
    let split = |first: usize, second: usize| {
        let unit = |n: usize| feature(&format!("u-{n}"), i64::from(n >= first), 7);
        let events: Vec<Value> = (0..first + second).map(unit).collect();
        found(&post(json!(events)), "sample-ratio-mismatch")["summary"].clone()
    };
    assert_eq!(split(300, 100), "The arms of x are not filled as allocated: 300 : 100 against 200 : 200.");
    assert_eq!(split(210, 190), Value::Null);
}
