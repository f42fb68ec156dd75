//! What a row says beside its verdict, and what a finding counts, also where an event exposes nobody.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::{Credential, Envelope};
use exptap::intake;
use exptap::report::build;
use exptap::session::{Session, SessionOptions};
use exptap::verdicts::{self, Judged};
use serde_json::{Value, json};
use std::sync::Arc;

const START: i64 = 1_767_225_600_000;

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "conv"
        event_key = "checkout"
        [[experiments]]
        key = "x"
        flag = "f"
        variations = [{ index = 0 }, { index = 1 }]
        metrics = ["conv"]
        iterations = [
            { started_at = 2026-01-01T00:00:00Z, ended_at = 2026-02-01T00:00:00Z },
            { started_at = 2026-02-01T00:00:00Z },
        ]
    "#;
    load::from_text(text, "remarks.toml", Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}"))
}

/// The rows and the report of plain events.
fn judge(events: &[Value]) -> (Vec<Value>, Value) {
    judge_by(&catalog(), events)
}

fn judge_by(catalog: &Catalog, events: &[Value]) -> (Vec<Value>, Value) {
    let mut state = State::new(Arc::new(Judge::new(catalog)), Options::default());
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    let mut judged = Vec::new();
    intake::plain(&mut state, "events", &text, |state, received| {
        judged.push(Judged::new(state, &received, None, None));
    });
    let rows = judged.iter().flat_map(|event| verdicts::rows(&state, catalog, event));
    let rows = rows.map(|row| serde_json::to_value(row).unwrap()).collect();
    (rows, serde_json::to_value(build::report(&state, catalog)).unwrap())
}

fn feature(t: i64, more: Value) -> Value {
    let mut event = json!({"kind": "feature", "creationDate": t, "key": "f", "variation": 0,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "user", "key": "u"}});
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn finding<'a>(report: &'a Value, code: &str) -> &'a Value {
    report["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == code).unwrap_or(&Value::Null)
}

#[test]
fn seconds_instead_of_milliseconds_are_remarked_on_although_such_an_event_is_always_too_early() {
    let (rows, report) = judge(&[
        feature(START / 1000, json!({})),
        json!({"kind": "custom", "creationDate": START / 1000, "key": "unknown", "context": {"kind": "user", "key": "u"}}),
        json!({"kind": "identify", "creationDate": START * 1000, "context": {"kind": "user", "key": "u"}}),
    ]);
    let verdicts: Vec<_> = rows.iter().map(|row| (&row["verdict"], &row["warnings"])).collect();
    let suspect = json!(["timestamp-unit-suspect"]);
    assert_eq!(
        verdicts,
        [
            (&json!("before-iteration-start"), &suspect),
            (&json!("before-iteration-start"), &suspect),
            (&json!("no-metric-for-key"), &suspect),
            (&json!("not-an-experiment-event"), &suspect),
        ]
    );
    assert_eq!(finding(&report, "timestamp-unit-suspect")["events"], 3, "one event of two iterations is one event");
}

#[test]
fn evaluations_that_expose_nobody_show_all_the_same_that_their_flag_is_sampled() {
    let (rows, report) = judge(&[
        feature(START, json!({"samplingRatio": 10, "reason": {"kind": "OFF"}})),
        json!({"kind": "custom", "creationDate": START + 1, "key": "checkout", "context": {"kind": "user", "key": "u"}}),
    ]);
    assert_eq!((&rows[0]["verdict"], &rows[0]["warnings"]), (&json!("flag-off"), &json!(["sampled"])));
    assert_eq!(rows[2]["verdict"], "unknown-not-observed");
    assert_eq!(report["experiments"][0]["complete"], false);
}

#[test]
fn an_evaluation_that_exposes_nobody_names_its_unit() {
    let (rows, _) = judge(&[feature(START, json!({"reason": {"kind": "OFF"}}))]);
    assert_eq!((&rows[0]["verdict"], &rows[0]["unit"]), (&json!("flag-off"), &json!("user/u")));
}

#[test]
fn a_finding_about_an_experiment_counts_an_event_once_whatever_the_number_of_iterations() {
    let (rows, report) = judge(&[
        feature(START, json!({"reason": {"kind": "OFF"}})),
        feature(START - 1, json!({})),
        feature(START - 1, json!({"context": {"kind": "device", "key": "d"}})),
    ]);
    assert_eq!(rows.len(), 6, "each event is judged for both iterations");
    for code in ["flag-off", "before-iteration-start", "exposure-lacks-unit"] {
        assert_eq!(finding(&report, code)["events"], 1, "{code}");
    }
}

#[test]
fn exposures_and_conversions_of_one_unit_in_reverse_order_come_to_what_they_would_in_order() {
    let mut events: Vec<Value> = (0..3_000)
        .flat_map(|n| {
            let t = START + n * 60_000;
            let checkout =
                json!({"kind": "custom", "creationDate": t, "key": "checkout", "context": {"kind": "user", "key": "u"}});
            [feature(t, json!({"variation": n % 2})), checkout]
        })
        .collect();
    let (_, in_order) = judge(&events);
    events.reverse();
    let (rows, mut reversed) = judge(&events);
    assert_eq!(rows.iter().filter(|row| row["verdict"] == "counted").count(), 1, "an occurrence counts once");
    // Numbers of events are not the same from the other end.
    for (finding, other) in
        reversed["findings"].as_array_mut().unwrap().iter_mut().zip(in_order["findings"].as_array().unwrap())
    {
        finding["examples"] = other["examples"].clone();
    }
    assert_eq!(reversed, in_order);
}

/// The report on requests: path, user agent, credential, events.
fn received(requests: &[(&str, &str, &str, Value)]) -> Value {
    let mut catalog = catalog();
    catalog.environment.credentials = Some(vec![Credential::mask("sdk-fake-0000-ours").as_str().to_owned()]);
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    for (request, (path, agent, credential, events)) in (1..).zip(requests) {
        let body = Bytes::from(events.to_string());
        let envelope = Envelope {
            arrival_ms: START + 10,
            request,
            method: if body.is_empty() { "GET" } else { "POST" }.to_owned(),
            path: (*path).to_owned(),
            headers: vec![("user-agent".to_owned(), (*agent).to_owned())],
            credential: Some(Credential::mask(credential)),
            wire_bytes: body.len() as u64,
            body,
            ..Envelope::default()
        };
        intake::envelope(&mut state, &catalog.environment, &envelope, |_, _| {});
    }
    serde_json::to_value(build::report(&state, &catalog)).unwrap()
}

fn summary(kinds: Value, count: u64) -> Value {
    json!({"kind": "summary", "startDate": START, "endDate": START + 1, "features": {"f": {"default": null,
        "contextKinds": kinds, "counters": [{"variation": 0, "version": 3, "value": true, "count": count}]}}})
}

#[test]
fn evaluations_only_a_summary_of_another_environment_counts_are_of_the_wrong_environment() {
    let report =
        received(&[("/bulk", "NodeJSClient/9.13.7", "sdk-fake-0000-other", json!([summary(json!(["org"]), 2)]))]);
    assert_eq!(report["experiments"][0]["exposures"]["wrong-environment"], 2);
    assert_eq!(report["experiments"][0]["exposures"]["exposure-lacks-unit"], Value::Null);
    assert_eq!(finding(&report, "wrong-environment")["events"], 2);
}

#[test]
fn a_summary_in_another_image_request_than_the_exposures_it_counts_accuses_nobody() {
    let image = |events: Value| format!("/a/id.gif?d={}", STANDARD.encode(events.to_string()));
    let (exposure, counts) = (image(json!([feature(START, json!({}))])), image(json!([summary(json!(["user"]), 1)])));
    let send = |path| (path, "Mozilla/5.0", "sdk-fake-0000-ours", Value::Null);
    let report = received(&[send(counts.as_str()), send(exposure.as_str())]);
    assert_eq!(report["experiments"][0]["exposures"]["exposure"], 1);
    assert_eq!(report["experiments"][0]["exposures"]["no-feature-event"], Value::Null);
    assert_eq!(finding(&report, "no-feature-event"), &Value::Null);
    let alone = received(&[send(counts.as_str())]);
    assert_eq!(alone["experiments"][0]["exposures"]["no-feature-event"], 1, "without any exposure it says something");
}

#[test]
fn instants_at_the_ends_of_time_are_judged_and_explained() {
    let mut session = Session::new(Some(catalog()), SessionOptions::from_now(START));
    let checkout = |t: i64| json!({"kind": "custom", "creationDate": t, "key": "checkout", "context": {"kind": "user", "key": "u"}});
    let dropped = || json!({"kind": "diagnostic", "creationDate": START, "droppedEvents": i64::MAX});
    let events = json!([
        feature(i64::MIN, json!({})),
        checkout(i64::MIN),
        checkout(START + 40 * 86_400_000),
        feature(i64::MAX, json!({})),
        checkout(i64::MAX),
        dropped(),
        dropped(),
        dropped(),
    ]);
    let body = Bytes::from(events.to_string());
    let envelope = Envelope {
        arrival_ms: START + 1,
        request: 1,
        method: "POST".to_owned(),
        path: "/bulk".to_owned(),
        wire_bytes: body.len() as u64,
        body,
        ..Envelope::default()
    };
    session.receive(&envelope);
    session.advance(i64::MAX);
    let codes: Vec<&str> = (0..5).map(|event| session.row(event).unwrap().code.name()).collect();
    assert_eq!(
        codes,
        ["before-iteration-start", "before-iteration-start", "conversion-before-exposure", "exposure", "counted"]
    );
    for event in 0..8 {
        assert!(!session.explain(event).unwrap().ladders.is_empty());
    }
    assert_eq!(session.sources()[0].dropped_by_sdk, u64::MAX);
}

#[test]
fn a_page_whose_pattern_would_take_for_ever_is_not_silently_no_match() {
    let text = r#"
        [[metrics]]
        key = "page"
        kind = "pageview"
        urls = [{ kind = "regex", pattern = '(?=a)(a|aa)+$' }]
        [[experiments]]
        key = "x"
        flag = "f"
        metrics = ["page"]
        started_at = 2026-01-01T00:00:00Z
    "#;
    let catalog =
        load::from_text(text, "remarks.toml", Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}"));
    let page = |url: String| json!({"kind": "pageview", "creationDate": START, "key": "goal", "url": url, "contextKeys": {"user": "u"}});
    let (rows, report) = judge_by(&catalog, &[page(format!("https://shop.example/{}!", "a".repeat(80)))]);
    assert_eq!(
        (&rows[0]["verdict"], &rows[0]["warnings"]),
        (&json!("not-an-experiment-event"), &json!(["regex-unsupported"]))
    );
    assert_eq!(finding(&report, "regex-unsupported")["events"], 1);
}
