//! What the senders' names, restarts and ways of evaluating explain: for every finding one story that has it and one
//! that must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::intake;
use exptap::report::build;
use serde_json::{Value, json};
use std::sync::Arc;

/// 2026-01-01.
const START: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;
const NONE: [Value; 0] = [];

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "conv"
        event_key = "checkout"
        [[metrics]]
        key = "thanks"
        kind = "pageview"
        urls = [{ kind = "canonical", url = "https://shop.example/thanks" }]
        [[experiments]]
        key = "x"
        flag = "f"
        holdout = "winter-holdout"
        metrics = ["conv", "thanks"]
        iterations = [
            { started_at = 2026-01-01T00:00:00Z, ended_at = 2026-02-01T00:00:00Z },
            { started_at = 2026-02-01T00:00:00Z },
        ]
    "#;
    load::from_text(text, "catalog.toml", Format::Toml, Origin::File).unwrap()
}

fn feature(t: i64, user: &str, more: Value) -> Value {
    let mut event = json!({"kind": "feature", "creationDate": t, "key": "f", "variation": 0, "default": "control",
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "user", "key": user}});
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn checkout(t: i64, user: &str) -> Value {
    json!({"kind": "custom", "creationDate": t, "key": "checkout", "context": {"kind": "user", "key": user}})
}

/// The findings with a code, of requests: who sends, and what.
fn found(sent: &[(&str, Value)], code: &str) -> Vec<Value> {
    let catalog = catalog();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    for (request, (agent, events)) in (1..).zip(sent) {
        let body = events.to_string();
        let envelope = Envelope {
            arrival_ms: START + 60 * DAY,
            request,
            method: "POST".into(),
            path: "/bulk".into(),
            headers: vec![("user-agent".into(), (*agent).into())],
            wire_bytes: body.len() as u64,
            body: body.into(),
            ..Envelope::default()
        };
        intake::envelope(&mut state, &catalog.environment, &envelope, |_, _| {});
    }
    let findings = serde_json::to_value(build::report(&state, &catalog).findings).unwrap();
    findings.as_array().unwrap().iter().filter(|finding| finding["code"] == code).cloned().collect()
}

#[test]
fn a_version_below_the_documented_minimum_is_told_with_that_minimum() {
    let send = |agent: &'static str| found(&[(agent, json!([checkout(START, "u")]))], "outdated-sdk");
    assert_eq!(
        send("NodeJSClient/6.0.9")[0]["summary"],
        "NodeJSClient/6.0.9 is older than 6.1, which is the first that says of an evaluation that it is in an experiment."
    );
    assert_eq!(
        send("JSClient/2.22.1")[0]["summary"],
        "JSClient/2.22.1 is older than 2.23, and before that sends events that look alike once, which skews the split."
    );
    for agent in ["NodeJSClient/6.1.0", "JSClient/2.23.0", "PythonClient/10.0.0", "NodeJSClient/next", "curl/1.0"] {
        assert_eq!(send(agent), NONE, "{agent}");
    }
}

#[test]
fn a_page_metric_needs_somebody_with_pages() {
    let exposed = json!([feature(START, "u", json!({}))]);
    let servers = [("NodeJSClient/9.13.7", exposed.clone()), ("AndroidClient/5.9.2", exposed.clone())];
    let told = found(&servers, "sdk-no-goals");
    assert_eq!(told.len(), 1, "once, whatever the number of iterations");
    assert_eq!(
        told[0]["summary"],
        "thanks is a page-view metric, and all events come from SDKs that cannot send such events: AndroidClient, NodeJSClient."
    );
    assert_eq!((&told[0]["metric"], &told[0]["confidence"]), (&json!("thanks"), &json!("likely")));
    for other in ["JSClient/4.10.3", "Mozilla/5.0", "an-unknown-sender"] {
        let mut mixed = servers.to_vec();
        mixed.push((other, exposed.clone()));
        assert_eq!(found(&mixed, "sdk-no-goals"), NONE, "{other}");
    }
    let nobody_exposed = [("NodeJSClient/9.13.7", json!([checkout(START, "u")]))];
    assert_eq!(found(&nobody_exposed, "sdk-no-goals"), NONE);
}

#[test]
fn versions_that_drop_page_views_are_told_where_none_arrived() {
    let exposed = json!([feature(START, "u", json!({}))]);
    let send = |agent: &'static str| found(&[(agent, exposed.clone())], "sdk-goals-bug");
    assert_eq!(send("JSClient/3.1.2")[0]["metric"], "thanks");
    assert_eq!(send("JSClient/3.1.3"), NONE);
    let view = json!([exposed[0], {"kind": "pageview", "key": "goal", "creationDate": START + 1, "url": "https://shop.example/thanks", "contextKeys": {"user": "u"}}]);
    assert_eq!(found(&[("JSClient/3.1.2", view)], "sdk-goals-bug"), NONE);
}

#[test]
fn who_was_exposed_before_a_restart_only_is_told_from_who_never_was() {
    let after = START + 40 * DAY;
    let events = json!([
        feature(START, "left", json!({})),
        feature(START, "back", json!({})),
        feature(after, "back", json!({})),
        checkout(after + 1, "left"),
        checkout(after + 2, "left"),
        checkout(after + 1, "back"),
        checkout(after + 1, "never"),
    ]);
    let told = found(&[("NodeJSClient/9.13.7", events.clone())], "iteration-restarted");
    assert_eq!(
        told[0]["summary"],
        "2 conversions of conv are of units that were exposed in an earlier iteration of x only: since it was restarted they have not been exposed again."
    );
    assert_eq!((&told[0]["events"], &told[0]["units"], &told[0]["experiment"]), (&json!(2), &json!(1), &json!("x")));
    assert_eq!(found(&[("NodeJSClient/9.13.7", events)], "no-exposure")[0]["events"], 3, "they are of it as before");
    let none_left = json!([checkout(after, "never"), feature(after + 9, "later", json!({}))]);
    assert_eq!(found(&[("NodeJSClient/9.13.7", none_left)], "iteration-restarted"), NONE);
}

#[test]
fn all_flags_at_once_and_without_a_default_are_no_evaluation_of_a_feature() {
    let flags = |agent: &'static str, default: Value, apart: i64| {
        let of = |(n, flag): (i64, &&str)| feature(START + n * apart, "u", json!({"key": *flag, "default": default}));
        let events: Vec<Value> = (0..).zip(&["f", "g", "h", "g"]).map(of).collect();
        found(&[(agent, json!(events))], "allflags-overexposure")
    };
    assert_eq!(flags("JSClient/2.24.2", Value::Null, 0)[0]["events"], 4);
    assert_eq!(flags("JSClient/3.9.5", Value::Null, 2)[0]["events"], 4);
    assert_eq!(flags("JSClient/2.24.2", json!("control"), 0), NONE, "variation() has a default");
    assert_eq!(flags("JSClient/2.24.2", Value::Null, 6), NONE, "one after another");
    assert_eq!(flags("JSClient/4.10.3", Value::Null, 0), NONE, "it sends no such events");
    let two = json!([
        feature(START, "u", json!({"default": null})),
        feature(START, "u", json!({"key": "g", "default": null}))
    ]);
    assert_eq!(found(&[("JSClient/2.24.2", two)], "allflags-overexposure"), NONE);
}

#[test]
fn a_holdout_and_the_error_of_an_evaluation_are_named() {
    let event = |reason: Value| json!([feature(START, "u", json!({"reason": reason}))]);
    let failed = found(&[("x", event(json!({"kind": "PREREQUISITE_FAILED"})))], "prerequisite-failed");
    assert!(failed[0]["summary"].as_str().unwrap().ends_with(" Possibly these are held out by winter-holdout."));
    let error = found(&[("x", event(json!({"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"})))], "eval-error");
    assert!(error[0]["summary"].as_str().unwrap().ends_with(" The error is CLIENT_NOT_READY."));
    let off = found(&[("x", event(json!({"kind": "OFF"})))], "flag-off");
    assert!(!off[0]["summary"].as_str().unwrap().contains("winter-holdout"));
}
