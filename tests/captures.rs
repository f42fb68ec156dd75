//! Requests as real SDKs sent them (`tests/data/captures`): every event they sent well-formed is read, however the
//! request is packed, and attribution finds in them what the drivers did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use base64::Engine as _;
use bytes::Bytes;
use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::{Credential, Envelope};
use exptap::event::{Item, Kind, body};
use exptap::intake;
use exptap::report::{Report, build};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

const CAPTURES: [(&str, &str); 5] = [
    ("browser-js-client-sdk-v4", include_str!("data/captures/browser-js-client-sdk-v4.jsonl")),
    ("node-server-sdk", include_str!("data/captures/node-server-sdk.jsonl")),
    ("old-server-sdks", include_str!("data/captures/old-server-sdks.jsonl")),
    ("python-server-sdk", include_str!("data/captures/python-server-sdk.jsonl")),
    ("rust-server-sdk", include_str!("data/captures/rust-server-sdk.jsonl")),
];

/// How a body travels.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Gif,
}

/// The event requests of a capture, packed in one way.
fn envelopes(text: &str, packing: Packing) -> Vec<Envelope> {
    let requests = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let events = requests.filter(|request| request["method"] == "POST");
    events
        .enumerate()
        .map(|(number, request)| {
            let header = |name: &str| {
                let headers = request["headers"].as_object().unwrap();
                headers
                    .iter()
                    .find(|(have, _)| have.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.as_str().unwrap().to_owned())
            };
            let text = request["body"].to_string();
            let mut path = request["path"].as_str().unwrap().to_owned();
            let body: Vec<u8> = match packing {
                Packing::Plain => text.into_bytes(),
                Packing::Gzip => {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                    encoder.write_all(text.as_bytes()).unwrap();
                    encoder.finish().unwrap()
                }
                Packing::Gif => {
                    path = format!(
                        "/prefix/a/client-side-id.gif?d={}",
                        base64::engine::general_purpose::STANDARD.encode(text)
                    );
                    Vec::new()
                }
            };
            let names =
                ["user-agent", "x-launchdarkly-user-agent", "x-launchdarkly-payload-id", "x-launchdarkly-event-schema"];
            Envelope {
                arrival_ms: (request["t"].as_f64().unwrap() * 1000.0) as i64,
                request: number as u64 + 1,
                method: "POST".to_owned(),
                path,
                headers: names.iter().filter_map(|name| Some(((*name).to_owned(), header(name)?))).collect(),
                credential: header("authorization").map(|raw| Credential::mask(&raw)),
                wire_bytes: body.len() as u64,
                body: Bytes::from(body),
                ..Envelope::default()
            }
        })
        .collect()
}

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "purchases"
        event_key = "purchase"
        units = ["user", "device"]
        [[metrics]]
        key = "purchase-value"
        event_key = "purchase"
        measure = "value"
        units = ["user"]
        [[experiments]]
        key = "by-device"
        flag = "exp-device"
        randomization_unit = "device"
        rule = "fallthrough"
        variations = [{ index = 0, name = "control" }, { index = 1, name = "treatment" }]
        metrics = ["purchases", "purchase-value"]
        started_at = 2026-01-01T00:00:00Z
        [[experiments]]
        key = "untracked"
        flag = "exp-device-untracked"
        randomization_unit = "device"
        started_at = 2026-01-01T00:00:00Z
    "#;
    load::from_text(text, "captures.toml", Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}"))
}

fn report(envelopes: &[Envelope]) -> Report {
    let catalog = catalog();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    for envelope in envelopes {
        intake::envelope(&mut state, &catalog.environment, envelope, |_, _| {});
    }
    build::report(&state, &catalog)
}

#[test]
fn every_event_real_sdks_sent_is_read_plain_gzipped_and_from_a_gif() {
    for (name, text) in CAPTURES {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Gif] {
            let (mut read, mut sent) = (0, 0);
            for envelope in envelopes(text, packing) {
                body::items(&body::text(&envelope).unwrap(), |item| match item {
                    Item::Event { event, .. } => {
                        assert_ne!(event.kind, Kind::Other, "{name}: {}", event.raw);
                        read += 1;
                    }
                    other => panic!("{name}: {other:?}"),
                });
            }
            for line in text.lines() {
                let body = serde_json::from_str::<Value>(line).unwrap()["body"].clone();
                sent += match body {
                    Value::Array(events) => events.len(),
                    Value::Object(_) => 1,
                    _ => 0,
                };
            }
            assert_eq!(read, sent, "{name} {packing:?}");
            assert!(read > 20, "{name}");
        }
    }
}

#[test]
fn the_kinds_read_are_those_the_drivers_made() {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for (_, text) in CAPTURES {
        for (kind, count) in report(&envelopes(text, Packing::Plain)).totals.by_kind {
            *kinds.entry(kind).or_default() += count;
        }
    }
    let kinds: Vec<(&str, u64)> = kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    let expected: BTreeMap<String, u64> = CAPTURES
        .iter()
        .flat_map(|(_, text)| text.lines())
        .flat_map(|line| match serde_json::from_str::<Value>(line).unwrap()["body"].take() {
            Value::Array(events) => events,
            Value::Object(event) => vec![Value::Object(event)],
            _ => Vec::new(),
        })
        .fold(BTreeMap::new(), |mut kinds, event| {
            *kinds.entry(event["kind"].as_str().unwrap().to_owned()).or_default() += 1;
            kinds
        });
    assert_eq!(kinds, expected.iter().map(|(kind, count)| (kind.as_str(), *count)).collect::<Vec<_>>());
}

#[test]
fn a_retry_is_recognised_by_its_payload_id_and_a_retried_diagnostic_on_the_analytics_path_is_read() {
    let report = report(&envelopes(CAPTURES[1].1, Packing::Plain));
    assert_eq!(
        report.totals.duplicate_payloads, 4,
        "one after a 503, one after two, one after a dropped connection, one after a 400"
    );
    assert_eq!(report.totals.by_kind["diagnostic-init"], 3, "the third is the retry that went to /bulk");
    assert_eq!(report.totals.undecodable, 0);
}

#[test]
fn an_evaluation_without_the_unit_leaves_only_a_summary_and_that_explains_it() {
    for (name, text, without_unit) in
        [("node", CAPTURES[1].1, 2), ("python", CAPTURES[3].1, 2), ("rust", CAPTURES[4].1, 2)]
    {
        let report = report(&envelopes(text, Packing::Plain));
        let by_device = &report.experiments[0];
        assert_eq!(by_device.key, "by-device");
        assert!(by_device.exposures["exposure-lacks-unit"] >= without_unit, "{name}: {:?}", by_device.exposures);
        assert_eq!(by_device.arms[1].units, 1, "{name}: d-1 is in treatment");
        let untracked = &report.experiments[1];
        assert!(untracked.exposures["no-feature-event"] >= 1, "{name}: {:?}", untracked.exposures);
        let finding = report.findings.iter().find(|finding| finding.code.name() == "exposure-lacks-unit").unwrap();
        assert_eq!(finding.experiment.as_deref(), Some("by-device"));
    }
}

#[test]
fn odd_metric_values_of_a_real_sdk_are_judged_one_by_one() {
    let report = report(&envelopes(CAPTURES[1].1, Packing::Plain));
    let value = report.experiments[0].metrics.iter().find(|metric| metric.metric == "purchase-value").unwrap();
    // The metric analyses user, the experiment randomizes by device: whatever the value, that is the first to fail.
    assert_eq!(value.verdicts.keys().copied().collect::<Vec<_>>(), ["metric-unit-mismatch"]);
    let finding = report.findings.iter().find(|finding| finding.metric.as_deref() == Some("purchase-value")).unwrap();
    let then: Vec<&str> = finding.then.iter().map(|code| code.name()).collect();
    assert!(then.contains(&"event-lacks-unit"), "{then:?}");
}
