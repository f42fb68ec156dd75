//! `exptap explain`: the story of one unit, and what is said where there is none; and the filter, which is the screen's,
//! on rows and stories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use exptap::attribution::judge::{EnvironmentMatch, Judge};
use exptap::attribution::state::{Clock, Options, State};
use exptap::catalog::load::{Format, from_text};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::explain::collect::{Arrival, Collector, verdicts_of};
use exptap::explain::story::{OtherClock, Story};
use exptap::explain::text;
use exptap::intake;
use exptap::query::Query;
use exptap::reason::ReasonCode;
use exptap::verdicts::Judged;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain")
}

fn run(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_owned();
    let writing = std::thread::spawn(move || drop(input.write_all(stdin.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("the program was killed"), text(output.stdout), text(output.stderr))
}

fn explain(unit: &str, more: &[&str]) -> (i32, String, String) {
    run(&[&["explain", "shop.ndjson", unit, "--catalog", "shop.toml"], more].concat(), "")
}

#[test]
fn the_story_of_a_unit_reads_as_written_down() {
    let expected = std::fs::read_to_string(folder().join("device-d-9.txt")).unwrap();
    assert_eq!(explain("device/d-9", &[]), (0, expected, String::new()));
}

#[test]
fn a_unit_that_is_not_randomized_is_told_so_and_the_unit_that_was_exposed_is_named() {
    let (code, story, _) = explain("u-1", &[]);
    assert_eq!(code, 0);
    assert!(story.starts_with("user/u-1: 2 events, 2026-01-01 00:00:01 to 2026-01-01 00:00:09 UTC, by the creation clock\n  in one context with  device/d-9 (1 event)\n"), "{story}");
    assert!(story.contains("cta-test · iteration 1: randomizes by device, so user/u-1 itself is in no arm; its events count by the device key they carry, if any\n    checkout-conversion: 1 event-lacks-unit\n"), "{story}");
    let (_, story, _) = explain("user/d-9", &[]);
    assert!(
        story.contains("near miss        device/d-9 was exposed to treatment: the event carries that key as user\n"),
        "{story}"
    );
    assert!(story.contains("not the same unit    device/d-9 (8 events): the same key of another kind\n"), "{story}");
}

#[test]
fn a_unit_that_does_not_occur_is_answered_with_what_comes_near() {
    let missing = |unit: &str| {
        let (code, stdout, stderr) = explain(unit, &[]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{unit}");
        stderr
    };
    assert_eq!(
        missing("d-9"),
        "d-9: several kinds have this key, and each is a unit of its own; ask for one of\n  device/d-9  8 events\n  user/d-9  1 event\n"
    );
    assert_eq!(
        missing("session/d-9"),
        "session/d-9: no event carries it; what comes near:\n  device/d-9  the same key of another kind\n  user/d-9  the same key of another kind\n  device/D-9  differs by case\n"
    );
    assert_eq!(
        missing("device/d-12"),
        "device/d-12: no event carries it; what comes near:\n  device/d-1234  begins alike\n"
    );
    assert_eq!(
        missing("device/d-1243"),
        "device/d-1243: no event carries it; what comes near:\n  device/d-1234  written much alike\n"
    );
    assert_eq!(
        missing("nobody"),
        "nobody: no event carries it, nor anything like it; expected kind/key, such as user/u-1\n"
    );
    assert_eq!(missing(""), "the unit is empty; expected kind/key, such as user/u-1\n");
}

#[test]
fn a_key_may_hold_slashes() {
    for unit in ["a/b", "session/a/b"] {
        let (code, story, _) = explain(unit, &[]);
        assert_eq!(code, 0, "{unit}");
        assert!(story.starts_with("session/a/b: 1 event, "), "{story}");
    }
}

#[test]
fn a_filter_narrows_the_events_but_not_what_they_come_to() {
    let (code, story, _) = explain("device/d-9", &["--filter", "kind:custom"]);
    assert_eq!(code, 0);
    assert!(story.contains("\n1 of 8 events pass the filter.\n"), "{story}");
    assert!(story.contains("#5  custom checkout") && !story.contains("#1 "), "{story}");
    assert!(
        story.contains("cta-test · iteration 1: in treatment since 2026-01-01 00:00:01.000 UTC, exposed 4 times\n"),
        "{story}"
    );
    let (code, stdout, stderr) = explain("device/d-9", &["--filter", "kind:custom metrc:x"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("--filter, column 13: there is no field \"metrc\""), "{stderr}");
    assert!(stderr.ends_with("did you mean metric?\n    kind:custom metrc:x\n                ^\n"), "{stderr}");
}

#[test]
fn the_json_of_a_story_holds_every_rule() {
    let (code, stdout, _) = explain("device/d-9", &["--format", "json"]);
    assert_eq!(code, 0);
    let story: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(story["exptap_explain"], 1);
    assert_eq!(story["events_of_unit"], 8);
    let numbers: Vec<u64> =
        story["events"].as_array().unwrap().iter().map(|it| it["event"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [8, 1, 2, 3, 4, 5, 9, 10], "in order of time");
    assert_eq!(
        story["identity"],
        json!({
            "is_placeholder": false,
            "seen_with": [{"unit": "user/u-1", "events": 1}],
            "seen_with_more": 0,
            "other_kinds": [{"unit": "user/d-9", "events": 1}],
            "never_sent": [], "look_alikes": [{"unit": "device/D-9", "differs_by": "case", "events": 1}],
        })
    );
    let counted = &story["events"][5]["ladders"][0];
    let outcomes: Vec<String> = counted["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| format!("{} {}", rule["rule"].as_str().unwrap(), rule["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        outcomes,
        [
            "M1 passed",
            "A1 passed",
            "A2 passed",
            "A3 passed",
            "A7 passed",
            "A8 passed",
            "A9 passed",
            "A10 passed",
            "A11 passed",
            "A12 passed"
        ]
    );
    assert_eq!((&counted["verdict"], &counted["arm"]), (&json!("counted"), &json!("treatment")));
    let standing = &story["experiments"][0];
    assert_eq!(standing["arm"], "treatment");
    assert_eq!(standing["other_arms"], json!([{"arm": "control", "exposures": 1}]));
    assert_eq!(standing["metrics"][0]["credited"], json!([{"arm": "treatment", "conversions": 1, "sum": 1.0}]));
}

#[test]
fn standard_input_is_read_with_and_without_a_catalog() {
    let events = std::fs::read_to_string(folder().join("shop.ndjson")).unwrap();
    let (_, from_file, _) = explain("device/d-9", &[]);
    assert_eq!(run(&["explain", "-", "device/d-9", "--catalog", "shop.toml"], &events), (0, from_file, String::new()));
    let (code, story, _) = run(&["explain", "-", "device/d-9"], &events);
    assert_eq!(code, 0);
    assert!(story.contains("No catalog was given"), "{story}");
}

#[test]
fn verdicts_of_matching_events_are_those_without_a_filter() {
    let rows = |filter: &[&str]| {
        let (code, stdout, stderr) =
            run(&[&["verdicts", "shop.ndjson", "--catalog", "shop.toml"], filter].concat(), "");
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout
    };
    let all = rows(&[]);
    assert_eq!(rows(&["--filter", "kind:*"]), all);
    let of = |events: &[usize]| -> String {
        let numbered = |event: &usize| format!("{{\"event\":{event},");
        all.lines()
            .filter(|line| events.iter().any(|event| line.starts_with(&numbered(event))))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    assert_eq!(rows(&["--filter", "verdict:dropped"]), of(&[0, 6, 7, 11]));
    assert_eq!(rows(&["--filter", "code:event-lacks-unit not unit:session/*"]), of(&[0, 7]));
    assert_eq!(rows(&["--filter", "unit:\"d-9\" key:checkout"]), of(&[5, 7]));
    assert_eq!(rows(&["--filter", "exp:cta-* metric:checkout-conversion verdict:counted"]), of(&[5]));
    assert_eq!(rows(&["--filter", "source:shop.ndjson since:1767225612000"]), of(&[11, 12]));
    assert_eq!(rows(&["--filter", "until:1767225601000"]), of(&[8]));
    assert_eq!(rows(&["--filter", "key:nothing"]), "");
    let (code, stdout, stderr) = run(&["verdicts", "shop.ndjson", "--filter", "verdict:droped"], "");
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("--filter, column 9: there is no verdict \"droped\""), "{stderr}");
}

#[test]
fn an_event_without_any_time_is_neither_before_nor_after_an_instant() {
    let events = "{\"kind\":\"index\",\"creationDate\":1767225605000}\nnot JSON\n";
    let rows = |filter: &str| run(&["verdicts", "-", "--filter", filter], events).1.lines().count();
    assert_eq!(["kind:*", "since:0", "until:1767225612000", "not since:0"].map(rows), [2, 1, 1, 1]);
}

fn catalog() -> Catalog {
    let text = std::fs::read_to_string(folder().join("shop.toml")).unwrap();
    from_text(&text, "shop.toml", Format::Toml, Origin::File).unwrap()
}

fn request(number: u64, arrival_ms: i64, events: Value) -> Envelope {
    let body = Bytes::from(events.to_string());
    Envelope {
        arrival_ms,
        request: number,
        method: "POST".to_owned(),
        path: "/bulk".to_owned(),
        headers: vec![("user-agent".to_owned(), "NodeJSClient/9.13.7".to_owned())],
        credential: None,
        wire_bytes: body.len() as u64,
        body,
        loss: None,
        answer: None,
        ..Envelope::default()
    }
}

/// The story of a unit from requests, as they come in and as they come out of a recording.
fn story_of(unit: &str, requests: &[Envelope]) -> Story {
    let catalog = catalog();
    let judge = Arc::new(Judge::new(&catalog));
    let mut collector = Collector::new(unit);
    let mut states = [Clock::Creation, Clock::Received]
        .map(|clock| State::new(Arc::clone(&judge), Options { clock, ..Options::default() }));
    let mut judged = Vec::new();
    for envelope in requests {
        let sender = intake::sender(envelope);
        let arrival = Arrival {
            request: Some(envelope.request),
            arrival_ms: Some(envelope.arrival_ms),
            source: &sender,
            environment: EnvironmentMatch::Same,
        };
        let [creation, received] = &mut states;
        intake::envelope(creation, &catalog.environment, envelope, |state, event| {
            collector.take(state, &catalog, arrival, event)
        });
        intake::envelope(received, &catalog.environment, envelope, |state, event| {
            judged.push(Judged::new(state, &event, arrival.request, arrival.arrival_ms));
        });
    }
    assert!(collector.has_arrivals());
    let [creation, received] = &states;
    let other: HashMap<_, _> =
        judged.iter().filter(|it| collector.has(it.event)).map(|it| (it.event, verdicts_of(received, it))).collect();
    collector.story(creation, &catalog, &other, &Query::default()).unwrap()
}

#[test]
fn where_the_clocks_differ_both_verdicts_are_told() {
    const START: i64 = 1_767_225_600_000;
    let exposure = json!([{"kind": "feature", "key": "cta", "creationDate": START + 6000, "variation": 1,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "device", "key": "d-9"}}]);
    let conversion =
        json!([{"kind": "custom", "key": "checkout", "creationDate": START + 5000, "contextKeys": {"device": "d-9"}}]);
    let story = story_of("device/d-9", &[request(1, START + 7000, exposure), request(2, START + 10_000, conversion)]);
    let [conversion, exposure] = story.events.as_slice() else { panic!("{story:?}") };
    let ladder = &conversion.ladders[0];
    assert_eq!(ladder.verdict, ReasonCode::ConversionBeforeExposure);
    assert_eq!(ladder.other_clock, Some(OtherClock { clock: "received", verdict: ReasonCode::Counted }));
    assert_eq!(exposure.ladders[0].other_clock, None);
    let text = text::text(&story, None);
    assert!(text.contains("\n  arrived 5 s later; request 2 from NodeJSClient/9.13.7\n"), "{text}");
    assert!(text.contains("    ! by the received clock it is counted: The verdict differs between"), "{text}");
}

#[test]
fn a_hostile_key_reaches_no_terminal_as_it_is() {
    let key = "a\u{1b}]0;x\u{7}\u{202e}\nb";
    let events = json!([{"kind": "custom", "key": key, "creationDate": 1_767_225_605_000_u64,
        "context": {"kind": "multi", "device": {"key": key}, key: {"key": key}}}]);
    let story = story_of(&format!("device/{key}"), &[request(1, 1_767_225_606_000, events)]);
    for columns in [None, Some(40), Some(80)] {
        let text = text::text(&story, columns);
        assert!(!text.contains(|it: char| (it.is_control() && it != '\n') || it == '\u{202e}'), "{text:?}");
        assert!(text.replace('\n', " ").starts_with("device/a\\x1b]0;x\\x07\\u{202e}\\nb: 1 event"), "{text}");
    }
}

#[test]
fn a_narrow_terminal_gets_whole_words_under_their_beginning() {
    let story = story_of(
        "user/u-1",
        &[request(
            1,
            1_767_225_606_000,
            json!([
                {"kind": "custom", "key": "checkout", "creationDate": 1_767_225_605_000_u64, "contextKeys": {"user": "u-1"}}
            ]),
        )],
    );
    let text = text::text(&story, Some(80));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("\n    ✗ A3      DOC    the event carries no device key; it has user “u-1”\n"), "{text}");
}

#[test]
fn an_event_that_came_through_segment_says_what_the_mapping_took_from_where() {
    let exposure = json!({"kind": "feature", "creationDate": 1_767_225_601_000_i64, "key": "cta", "variation": 1,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "contextKeys": {"user": "u-5", "device": "d-5"}});
    let order = json!({"type": "track", "event": "checkout", "userId": "u-5", "anonymousId": null, "messageId": "m-1",
        "timestamp": "2026-01-01T00:00:09.000Z", "properties": {"revenue": "25.00"},
        "context": {"device": {"id": "d-5"}, "library": {"name": "analytics-node", "version": "2.2.0"}}});
    let stdin = format!("{exposure}\n{order}\n");
    let arguments = ["explain", "-", "user/u-5", "--catalog", "shop.toml"];
    let (code, story, stderr) = run(&arguments, &stdin);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let start = story.find("  through Segment").unwrap();
    let end = story[start..].find("  cta-test").unwrap() + start;
    assert_eq!(
        story[start..end],
        *r#"  through Segment  analytics-node/2.2.0; messageId m-1; userId u-5; trackEvent, mapping 0
    ✓ Context Kind             "user"
    ✓ Context Key              $.userId, else $.anonymousId → "u-5"
    ✓ Additional Context Keys  unauthenticatedUser = $.anonymousId → null, sent as "null"
    ✓ Event Name               $.event → "checkout"
    ✓ Metric Value             $.properties.revenue, else $.properties.value → "25.00", taken as 25
    ✓ Event Properties         $.properties → {"revenue":"25.00"}
    ✓ Event timestamp          $.timestamp → "2026-01-01T00:00:09.000Z"
    ✗ nothing makes a device key: cta-test is randomized by device. $.context.device.id is “d-5”, a device exposed to treatment. Map it: device = $.context.device.id
"#
    );
    let (_, story, _) = run(&[&arguments[..], &["--format", "json"]].concat(), &stdin);
    let story: Value = serde_json::from_str(&story).unwrap();
    assert_eq!(story["events"][0]["segment"], Value::Null);
    let segment = &story["events"][1]["segment"];
    let line = |field: &str| {
        segment["lines"].as_array().unwrap().iter().find(|line| line["field"] == field).expect(field).clone()
    };
    assert_eq!(
        line("metric_value"),
        json!({"field": "metric_value", "resolved": "25.00", "taken": 25, "fault": null,
            "source": {"@if": {"exists": {"@path": "$.properties.revenue"}, "then": {"@path": "$.properties.revenue"}, "else": {"@path": "$.properties.value"}}}})
    );
    let mut rest = segment.clone();
    rest.as_object_mut().unwrap().remove("lines");
    assert_eq!(
        rest,
        json!({"library": "analytics-node/2.2.0", "message_id": "m-1", "user_id": "u-5", "anonymous_id": null,
            "mapping": 0, "action": "trackEvent", "subscribe": "type = \"track\"",
            "needed": [{"kind": "device", "experiments": ["cta-test"], "key": null, "arm": null,
                "elsewhere": [{"path": "$.context.device.id", "key": "d-5", "arm": "treatment"}]}]})
    );
}

#[test]
fn events_that_segment_never_sends_are_told_of_whoever_they_are() {
    let order = |user: &str, revenue: &str| {
        json!({"type": "track", "event": "checkout", "userId": user, "timestamp": "2026-01-01T00:00:09.000Z",
            "properties": {"revenue": revenue}})
        .to_string()
    };
    let stdin = [order("u-5", "$5"), order("u-5", "5"), order("u-6", "$5"), order("u-6", "$6")].join("\n");
    let explain = |unit: &str| run(&["explain", "-", unit, "--catalog", "shop.toml"], &stdin);
    let (code, story, _) = explain("user/u-5");
    assert_eq!(code, 0);
    assert!(
        story.contains("\n  never sent           1 event of Segment's has this key as userId, and LaunchDarkly gets nothing of it\n"),
        "{story}"
    );
    let (code, _, stderr) = explain("user/u-6");
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "user/u-6: no event carries it; what comes near:\n  userId u-6  2 events of Segment's, of which LaunchDarkly gets nothing\n"
    );
}
