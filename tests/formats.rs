//! Events that do not come as an SDK sends them: Data Export's envelopes, rows of a warehouse, debug sessions of
//! ldcli. The files are of the shapes that `docs/sources.md` says where they were read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Clock, Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::headless::{self, Failure, Request};
use exptap::input::Source;
use exptap::intake;
use exptap::report::build;
use exptap::verdicts::{self, Judged};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

const IN_JANUARY: &str = "14e2dff3-cbf9-4ffc-b99e-88c83555f4c6";
const IN_FEBRUARY: &str = "25f3e0a4-dc0a-4a0d-8aaf-99d94666a5d7";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats").join(name)
}

fn catalog() -> Catalog {
    headless::read_catalog(&path("catalog.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn request(sources: &[PathBuf], clock: Clock) -> Request {
    let sources = sources.iter().cloned().map(Source::File).collect();
    Request { sources, catalog: Some(catalog()), clock, ..Request::default() }
}

/// A row as "event kind/key experiment iteration metric: verdict arm warnings".
fn line(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let iteration = match &*text("iteration") {
        IN_JANUARY => "january".to_owned(),
        IN_FEBRUARY => "february".to_owned(),
        other => other.to_owned(),
    };
    let arm = row["variation"].as_i64().map(|variation| format!(" → {variation}")).unwrap_or_default();
    let warnings: String =
        row["warnings"].as_array().unwrap().iter().map(|code| format!(" ({})", code.as_str().unwrap())).collect();
    format!(
        "{} {} {} {} {iteration} {}: {}{arm}{warnings}",
        row["event"],
        text("kind"),
        text("key"),
        text("experiment"),
        text("metric"),
        text("verdict")
    )
}

fn judged(request: &Request) -> (Vec<String>, Value) {
    let mut out = Vec::new();
    let read = headless::verdicts(request, &mut out).unwrap_or_else(|error| panic!("{error}"));
    let rows = String::from_utf8(out).unwrap();
    let lines = rows.lines().map(|row| line(&serde_json::from_str(row).unwrap())).collect();
    (lines, serde_json::to_value(read.report()).unwrap())
}

fn verdicts_of(name: &str) -> (Vec<String>, Value) {
    judged(&request(&[path(name)], Clock::Creation))
}

fn finding<'a>(report: &'a Value, code: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == code).collect()
}

#[test]
fn envelopes_of_data_export_are_the_events_in_them_and_another_environment_s_are_named() {
    let (rows, report) = verdicts_of("export-v2.ndjson");
    assert_eq!(rows, EXPORT_V2);
    assert_eq!(report["totals"]["undecodable"], 0);
    assert_eq!(report["totals"]["by_kind"]["pageview"], 1);
    assert_eq!(finding(&report, "source-lacks-headers").len(), 0);
    let (rows, _) = verdicts_of("export-v1.json");
    assert_eq!(
        rows,
        [
            "0 feature checkout-cta cta january -: other-rule",
            "0 feature checkout-cta cta february -: other-rule",
            "1 alias u-1 - - -: not-an-experiment-event",
        ]
    );
}

const EXPORT_V2: [&str; 18] = [
    "0 feature checkout-cta cta january -: exposure → 1",
    "0 feature checkout-cta cta february -: before-iteration-start",
    "1 index - - - -: not-an-experiment-event",
    "2 identify - - - -: not-an-experiment-event",
    "3 custom purchase cta january revenue: counted → 1",
    "3 custom purchase cta february revenue: before-iteration-start",
    "4 pageview internal cta january cart: counted → 1",
    "4 pageview internal cta february cart: before-iteration-start",
    "5 click internal cta january buy: counted → 1",
    "5 click internal cta february buy: before-iteration-start",
    "6 debug checkout-cta cta january -: debug-not-exposure",
    "6 debug checkout-cta cta february -: debug-not-exposure",
    "7 summary - - - -: not-an-experiment-event",
    "8 custom checkout cta january conversion: wrong-environment",
    "8 custom checkout cta february conversion: wrong-environment",
    "8 custom checkout devices 1 conversion: wrong-environment",
    "9 feature checkout-cta cta january -: wrong-environment",
    "9 feature checkout-cta cta february -: wrong-environment",
];

#[test]
fn rows_of_a_warehouse_are_judged_by_the_iteration_they_name_and_no_event_counts_twice() {
    let (rows, report) = verdicts_of("warehouse.ndjson");
    assert_eq!(rows, WAREHOUSE);
    assert_eq!(report["totals"]["events"], 15);
    let january = &report["experiments"][0];
    assert_eq!(january["exposures"]["exposure"], 1);
    assert_eq!(january["metrics"][0]["received"], 1, "two rows, one event");
    assert_eq!(january["arms"][1]["metrics"][1]["sum"], 12.5);
    assert_eq!(finding(&report, "other-context-kind"), Vec::<&Value>::new(), "the unit's own rows are there");
    // In upper case, with objects in strings and three ways of writing a time.
    let (rows, _) = verdicts_of("warehouse-snowflake.json");
    assert_eq!(
        rows,
        [
            "0 feature checkout-cta cta january -: exposure → 0",
            "0 feature checkout-cta cta february -: before-iteration-start",
            "1 custom us-checkout cta january us-checkout: counted → 0",
            "1 custom us-checkout cta february us-checkout: before-iteration-start",
            "2 custom purchase cta january revenue: counted → 0",
            "2 custom purchase cta february revenue: before-iteration-start",
        ]
    );
}

const WAREHOUSE: [&str; 29] = [
    "0 feature checkout-cta cta january -: exposure → 1",
    "0 feature checkout-cta cta february -: before-iteration-start",
    // The same evaluation, its device: the experiment is by user, and the user's row is judged.
    "1 feature checkout-cta cta january -: other-context-kind",
    "1 feature checkout-cta cta february -: other-context-kind",
    // One conversion of a user with a device: once for the experiment by user, once for the one by device.
    "2 custom checkout cta january conversion: counted → 1",
    "2 custom checkout cta february conversion: before-iteration-start",
    "2 custom checkout devices 1 conversion: other-context-kind",
    "3 custom checkout cta january conversion: other-context-kind",
    "3 custom checkout cta february conversion: other-context-kind",
    "3 custom checkout devices 1 conversion: counted → 1",
    "4 custom purchase cta january revenue: counted → 1",
    "4 custom purchase cta february revenue: before-iteration-start",
    "5 custom purchase cta january revenue: numeric-value-missing",
    "5 custom purchase cta february revenue: numeric-value-missing",
    "6 custom us-checkout cta january us-checkout: filter-mismatch",
    "6 custom us-checkout cta february us-checkout: filter-mismatch",
    // No attributes in the row, and no data in any row: not failed, unknown.
    "7 custom us-checkout cta january us-checkout: filter-unsupported",
    "7 custom us-checkout cta february us-checkout: filter-unsupported",
    "8 custom gift-checkout cta january gift-checkout: filter-unsupported",
    "8 custom gift-checkout cta february gift-checkout: filter-unsupported",
    "9 feature checkout-cta cta january -: not-in-experiment",
    "9 feature checkout-cta cta february -: not-in-experiment",
    "10 feature checkout-cta cta january -: flag-off",
    "10 feature checkout-cta cta february -: flag-off",
    // Received before February, and of its iteration by LaunchDarkly's word.
    "11 feature checkout-cta cta february -: exposure → 0",
    "12 feature checkout-cta cta january -: wrong-environment",
    "12 feature checkout-cta cta february -: wrong-environment",
    // An iteration the catalog does not know: judged by the rules. The row names no rule, which is no failure.
    "13 feature device-layout devices 1 -: exposure → 1 (unknown-iteration)",
    "14 feature device-layout devices 1 -: other-rule (unknown-iteration)",
];

/// The rows and the report of a text, judged by a catalog.
fn judged_text(catalog: &Catalog, clock: Clock, text: &str) -> (Vec<String>, Value) {
    let mut state = State::new(Arc::new(Judge::new(catalog)), Options { clock, ..Options::default() });
    let mut judged = Vec::new();
    intake::plain(&mut state, "events", text, |state, received| judged.push(Judged::new(state, &received, None, None)));
    let rows = judged.iter().flat_map(|event| verdicts::rows(&state, catalog, event));
    let rows = rows.map(|row| line(&serde_json::to_value(row).unwrap())).collect();
    (rows, serde_json::to_value(build::report(&state, catalog)).unwrap())
}

fn evaluation(context: (&str, &str), variation: &str, iteration: &str) -> Value {
    json!({"event_id": "e", "flag_key": "checkout-cta", "context_kind": context.0, "context_key": context.1,
        "variation_id": variation, "reason_kind": "FALLTHROUGH", "experiment_iteration_id": iteration,
        "received_time": "2026-01-05 00:00:00"})
}

fn conversion(context: (&str, &str)) -> Value {
    json!({"event_id": "c", "event_key": "checkout", "context_kind": context.0, "context_key": context.1,
        "received_time": "2026-01-06 00:00:00"})
}

#[test]
fn a_unit_in_an_arm_that_cannot_be_named_is_unknown_and_so_are_its_conversions() {
    let text = format!("{}\n{}", evaluation(("user", "u"), "a-new-variation", IN_JANUARY), conversion(("user", "u")));
    let (rows, report) = judged_text(&catalog(), Clock::Creation, &text);
    assert_eq!(
        rows,
        [
            "0 feature checkout-cta cta january -: arm-unknown",
            "0 feature checkout-cta cta february -: before-iteration-start",
            "1 custom checkout cta january conversion: unknown-not-observed",
            "1 custom checkout cta february conversion: before-iteration-start",
            "1 custom checkout devices 1 conversion: other-context-kind",
        ]
    );
    assert_eq!(report["experiments"][0]["complete"], false);
    assert_eq!(report["experiments"][1]["complete"], true);
}

#[test]
fn where_only_rows_of_another_context_come_the_finding_asks_and_no_silence_is_claimed() {
    let text = format!(
        "{}\n{}",
        json!({"event_id": "e", "flag_key": "device-layout", "context_kind": "device", "context_key": "d",
            "variation_id": "layout-a", "reason_kind": "RULE_MATCH", "experiment_iteration_id": "another",
            "received_time": "2026-01-05 00:00:00"}),
        conversion(("user", "u"))
    );
    let (_, report) = judged_text(&catalog(), Clock::Creation, &text);
    let about_devices: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().filter(|finding| finding["experiment"] == "devices").collect();
    assert_eq!(about_devices.len(), 1, "{about_devices:?}");
    assert_eq!(about_devices[0]["code"], "other-context-kind");
    assert_eq!(about_devices[0]["confidence"], "ask");
    assert_eq!(
        about_devices[0]["summary"],
        "The row is of a user context; the experiment randomizes by device. A warehouse has one row per context of an event, and only the row of the device is judged."
    );
}

#[test]
fn a_catalog_inferred_from_rows_tells_arms_by_the_ids_of_variations() {
    let text =
        [evaluation(("user", "u-1"), "b", "x"), evaluation(("user", "u-2"), "a", "x"), conversion(("user", "u-1"))]
            .map(|row| format!("{row}\n"))
            .concat();
    let mut inference = exptap::catalog::infer::Inference::default();
    exptap::event::body::items(&text, |item| inference.observe_item(&item));
    let (rows, report) = judged_text(&inference.catalog(), Clock::Creation, &text);
    assert_eq!(
        rows,
        [
            "0 feature checkout-cta checkout-cta 1 -: exposure → 1 (unknown-iteration)",
            "1 feature checkout-cta checkout-cta 1 -: exposure → 0 (unknown-iteration)",
            "2 custom checkout checkout-cta 1 checkout: counted → 1",
        ]
    );
    let arms = report["experiments"][0]["arms"].as_array().unwrap();
    assert_eq!(arms.iter().map(|arm| arm["name"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(report["experiments"][0]["sample_ratio"], Value::Null, "nobody said how the traffic is allocated");
}

#[test]
fn debug_sessions_of_ldcli_are_read_as_pages_as_items_and_from_the_database() {
    let (rows, report) = verdicts_of("ldcli-page.json");
    assert_eq!(
        rows,
        [
            "0 custom checkout cta january conversion: counted → 0",
            "0 custom checkout cta february conversion: before-iteration-start",
            "0 custom checkout devices 1 conversion: event-lacks-unit",
            "1 summary - - - -: not-an-experiment-event",
            "2 index - - - -: not-an-experiment-event",
            "3 feature checkout-cta cta january -: exposure → 0",
            "3 feature checkout-cta cta february -: before-iteration-start",
        ]
    );
    let lacks = finding(&report, "source-lacks-headers");
    assert_eq!(lacks.len(), 1);
    assert_eq!((&lacks[0]["severity"], &lacks[0]["events"]), (&json!("info"), &json!(4)));
    assert_eq!(
        lacks[0]["summary"],
        "4 events come from a debug session of ldcli, which keeps no headers: whether one is a retry (duplicate-payload) or of another environment (wrong-environment) is unknown, and neither is judged."
    );
    let (rows, _) = verdicts_of("ldcli-sqlite.json");
    assert_eq!(
        rows,
        [
            "0 feature checkout-cta cta january -: exposure → 0",
            "0 feature checkout-cta cta february -: before-iteration-start",
            "1 custom purchase cta january revenue: numeric-value-invalid",
            "1 custom purchase cta february revenue: numeric-value-invalid",
        ]
    );
    let empty = r#"{"events":null,"total_count":0,"has_more":false}"#;
    assert_eq!(judged_text(&catalog(), Clock::Creation, empty).0, Vec::<String>::new());
}

#[test]
fn what_says_when_it_arrived_can_be_judged_by_arrival_and_the_rest_is_refused_by_line() {
    let by = |clock| judged(&request(&[path("ldcli-items.ndjson")], clock)).0;
    assert!(
        by(Clock::Creation)
            .contains(&"1 custom checkout cta january conversion: conversion-before-exposure".to_owned())
    );
    assert!(by(Clock::Received).contains(&"1 custom checkout cta january conversion: counted → 0".to_owned()));
    let rows = judged(&request(&[path("warehouse.ndjson")], Clock::Received)).0;
    assert_eq!(rows, WAREHOUSE, "rows know no other time");
    let both = request(&[path("ldcli-items.ndjson"), path("export-v2.ndjson")], Clock::Received);
    let Err(refused @ Failure::NoArrival(_)) = headless::read(&both) else { panic!("judged without arrival") };
    assert_eq!(
        refused.to_string(),
        "export-v2.ndjson, line 1, byte 1: --clock received needs the arrival of every event, and this one carries none; judge by --clock creation, or use a source whose events say when they arrived (a recording, rows of a warehouse, debug sessions of ldcli)"
    );
}

#[test]
fn garbage_in_a_wrapper_is_one_unreadable_event_and_its_neighbours_are_read() {
    let lines = [
        r#"{"environment":7,"event":{"kind":"index"}}"#,
        r#"{"kind":"index","creationDate":1}"#,
        r#"{"flag_key":"f","context_kind":"user","context_key":"u","received_time":"soon"}"#,
        r#"{"id":1,"written_at":"2026-01-01T00:00:00Z","kind":"index","data":[]}"#,
    ];
    let mut reasons = Vec::new();
    let mut state = State::new(Arc::new(Judge::new(&catalog())), Options::default());
    intake::plain(&mut state, "events", &lines.join("\n"), |_, received| {
        reasons.push(match received {
            intake::Received::Unreadable { unreadable, .. } => unreadable.reason,
            intake::Received::Event { event, .. } => event.kind_name.to_string(),
        });
    });
    assert_eq!(
        reasons,
        [
            "its environment is a number, not a string",
            "index",
            "its received_time is “soon”, not epoch milliseconds, RFC 3339 or YYYY-MM-DD HH:MM:SS in UTC",
            "its data is an array, not an object",
        ]
    );
}

#[test]
fn every_file_is_read_the_same_when_it_is_compressed() {
    for name in ["export-v2.ndjson", "warehouse.ndjson", "warehouse-snowflake.json", "ldcli-page.json"] {
        let folder = tempfile::tempdir().unwrap();
        let packed = folder.path().join("events.gz");
        let mut encoder = GzEncoder::new(std::fs::File::create(&packed).unwrap(), Compression::fast());
        encoder.write_all(&std::fs::read(path(name)).unwrap()).unwrap();
        encoder.finish().unwrap();
        assert_eq!(judged(&request(&[packed], Clock::Creation)).0, verdicts_of(name).0, "{name}");
    }
}

/// Every event of the judged cases.
fn vector_events() -> Vec<Value> {
    let cases: Value = serde_json::from_str(include_str!("data/vectors/attribution.json")).unwrap();
    let events = |case: &Value| case["events"].as_array().unwrap().iter().map(|event| event["ev"].clone()).collect();
    cases.as_array().unwrap().iter().flat_map(|case| -> Vec<Value> { events(case) }).collect()
}

fn vector_catalog() -> Catalog {
    let text = r#"
        [environment]
        client_side_id = "64b0c0ffee"
        [[metrics]]
        key = "conv"
        event_key = "checkout"
        units = ["user", "device"]
        [[metrics]]
        key = "spent"
        event_key = "purchase"
        measure = "value"
        [[experiments]]
        key = "x"
        flag = "f"
        rule = "fallthrough"
        variations = [{ index = 0 }, { index = 1 }]
        metrics = ["conv", "spent"]
        started_at = 2026-01-01T00:00:00Z
    "#;
    load::from_text(text, "vectors.toml", Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}"))
}

fn wrapped(event: &Value, how: u8) -> Value {
    match how {
        0 => event.clone(),
        1 => json!({"project": "62f0c0ffee62f0c0ffee0001", "environment": "64b0c0ffee", "event": event, "version": 2}),
        2 => json!({"event": event, "environment": "64b0c0ffee", "version": 1}),
        3 => json!({"id": 1, "written_at": event["creationDate"], "kind": event["kind"], "data": event}),
        _ => json!({"id": 1, "written_at": event["creationDate"], "kind": event["kind"], "data": event.to_string()}),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_event_is_judged_the_same_whatever_it_is_wrapped_in(
        chosen in prop::sample::subsequence(vector_events(), 1..40).prop_shuffle(),
        how in prop::collection::vec(0..5_u8, 40),
    ) {
        let text = |wrap: bool| -> String {
            chosen.iter().zip(&how).map(|(event, how)| format!("{}\n", wrapped(event, if wrap { *how } else { 0 }))).collect()
        };
        let catalog = vector_catalog();
        let (bare, wrapped) = (judged_text(&catalog, Clock::Creation, &text(false)), judged_text(&catalog, Clock::Creation, &text(true)));
        prop_assert_eq!(bare.0, wrapped.0);
        prop_assert_eq!(&bare.1["experiments"], &wrapped.1["experiments"]);
    }

    #[test]
    fn the_order_of_rows_changes_no_figure(order in Just((0..15_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let file = std::fs::read_to_string(path("warehouse.ndjson")).unwrap();
        let lines: Vec<&str> = file.lines().collect();
        let shuffled: String = order.iter().map(|line| format!("{}\n", lines[*line])).collect();
        let (one, other) = (judged_text(&catalog(), Clock::Creation, &file).1, judged_text(&catalog(), Clock::Creation, &shuffled).1);
        prop_assert_eq!(&one["experiments"], &other["experiments"]);
        prop_assert_eq!(&one["totals"], &other["totals"]);
    }
}
