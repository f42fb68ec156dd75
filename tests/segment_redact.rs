//! A recording of Segment's traffic that can be shared: it comes to the same by the same mapping, and says nothing of
//! anybody; or it is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CATALOG: &str = r#"{"metrics": [{"key": "order-value", "event_key": "Order Completed", "measure": "value", "units": ["device"],
    "filter": {"type": "eventProperty", "attribute": "currency", "op": "in", "values": ["EUR"]}}],
  "experiments": [{"key": "cta", "flag": "cta", "randomization_unit": "device", "metrics": ["order-value"], "started_at": 1}]}"#;

fn mapping(user_key: Value) -> Value {
    json!({"settings": {"client_id": "64b0c0ffee64b0c0ffee6400"}, "mappings": [{"action": "trackEvent", "subscribe": "type = \"track\"",
        "mapping": {"user_key": user_key, "additional_context_keys": {"device": {"@path": "$.context.device.id"}},
            "event_name": {"@path": "$.event"}, "metric_value": {"@path": "$.properties.revenue"},
            "event_properties": {"@path": "$.properties"}, "timestamp": {"@path": "$.timestamp"}}}]})
}

/// A recording: four devices are exposed and order something through Segment, in batches and one by one.
fn recording(folder: &Path, mapping: &Value) -> PathBuf {
    let catalog: Value = serde_json::from_str(CATALOG).unwrap();
    let mut lines = vec![format!(r#"{{"exptap":1,"catalog":{catalog},"mapping":{mapping}}}"#)];
    let mut line = |n: usize, path: &str, body: Value| {
        let headers = json!({"user-agent": "analytics-python/2.4.0"});
        lines.push(
            json!({"t": 1_795_248_000_000_i64 + n as i64, "n": n, "path": path, "headers": headers, "body": body})
                .to_string(),
        );
    };
    for n in 1..=4 {
        line(
            n,
            "/bulk",
            json!([{"kind": "feature", "key": "cta", "creationDate": 1_795_247_000_000_i64, "variation": n % 2,
            "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "device", "key": format!("phone-of-annabel-{n}")}}]),
        );
    }
    let order = |n: usize, currency: &str, revenue: Value| {
        json!({"type": "track", "event": "Order Completed", "userId": format!("annabel-{n}@shop.example"), "messageId": format!("message-{n}"),
            "timestamp": "2026-11-21T07:59:58.000Z", "context": {"device": {"id": format!("phone-of-annabel-{n}")}, "ip": "203.0.113.9"},
            "properties": {"revenue": revenue, "currency": currency, "card": "4111111111111111", "items": [{"sku": "Annabel's ring", "price": 77.25}]}})
    };
    let orders = [
        order(1, "EUR", json!("12.50")),
        order(2, "USD", json!(9)),
        order(3, "EUR", json!("$9")),
        order(1, "EUR", json!("12.50")),
    ];
    line(
        5,
        "/v1/batch",
        json!({"batch": orders, "sentAt": "2026-11-21T07:59:59.000Z", "context": {"locale": "Annabelish"}, "writeKey": "…abcd#1234"}),
    );
    line(6, "/v1/track", order(4, "EUR", json!(70.5)));
    line(
        7,
        "/hooks/segment",
        json!([order(4, "EUR", json!(1)), {"type": "page", "name": "Home", "anonymousId": "annabel"}]),
    );
    let path = folder.join("session.exptap");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

fn exptap(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_exptap")).args(arguments).output().unwrap()
}

fn verdicts(file: &Path) -> Vec<String> {
    let output = exptap(&["verdicts", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    rows.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            format!("{} {} {} {} {}", row["event"], row["kind"], row["key"], row["t"], row["verdict"])
        })
        .collect()
}

#[test]
fn the_copy_has_the_same_verdicts_and_sums_and_nothing_of_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let original = recording(folder.path(), &mapping(json!({"@path": "$.userId"})));
    let copy = folder.path().join("copy.exptap");
    let output = exptap(&["redact", original.to_str().unwrap(), "-o", copy.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let before = verdicts(&original);
    assert_eq!(before, verdicts(&copy));
    let codes: Vec<&str> = before.iter().map(|row| row.rsplit(' ').next().unwrap().trim_matches('"')).collect();
    assert_eq!(
        codes,
        [
            "exposure",
            "exposure",
            "exposure",
            "exposure",
            "counted",
            "filter-mismatch",
            "segment-rejected",
            "duplicate-payload",
            "counted",
            // The webhook has an event that came by the Tracking API, too.
            "duplicate-payload",
            "segment-not-subscribed"
        ]
    );
    let sums = |file: &Path| -> Value {
        let output = exptap(&["report", file.to_str().unwrap(), "--format", "json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["experiments"].clone()
    };
    assert_eq!(sums(&original), sums(&copy));
    let text = std::fs::read_to_string(&copy).unwrap();
    for secret in ["nnabel", "203.0.113.9", "4111", "77.25", "64b0c0ffee", "message-1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(
        text.contains("Order Completed")
            && text.contains("$.context.device.id")
            && text.contains("analytics-python/2.4.0")
    );
}

#[test]
fn a_mapping_that_builds_keys_out_of_ids_is_refused_unless_they_may_stay() {
    let folder = tempfile::tempdir().unwrap();
    let original = recording(folder.path(), &mapping(json!({"@template": "shop-{{userId}}"})));
    let copy = folder.path().join("copy.exptap");
    let arguments = ["redact", original.to_str().unwrap(), "-o", copy.to_str().unwrap()];
    let output = exptap(&arguments);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("of 5 Segment events in") && said.contains("mapping 0") && said.contains("--keep keys"),
        "{said}"
    );
    assert!(!copy.exists());
    assert!(exptap(&[&arguments[..], &["--keep", "keys"]].concat()).status.success());
    assert_eq!(verdicts(&original), verdicts(&copy));
}
