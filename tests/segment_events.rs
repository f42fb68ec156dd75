//! Segment's events as they come in, what its destination makes of them, and what that counts for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::{Credential, Envelope, Signature};
use exptap::intake::{self, Received};
use exptap::report::build;
use exptap::segment::mapping_file;
use exptap::session::{Session, SessionOptions};
use exptap::verdicts::{self, Judged};
use serde_json::{Value, json};
use std::sync::Arc;

/// When the requests arrive: 2026-11-21 08:00:00 UTC.
const ARRIVAL: i64 = 1_795_248_000_000;

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "Order Completed"
units = ["user", "device"]

[[experiments]]
key = "checkout-cta-test"
flag = "checkout-cta"
randomization_unit = "device"
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

fn catalog() -> Catalog {
    load::from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).unwrap()
}

/// The presets, with `device` under Additional Context Keys.
fn device_mapping() -> Catalog {
    let mapping = json!({
        "user_key": {"@path": "$.userId"},
        "additional_context_keys": {"device": {"@path": "$.context.device.id"}},
        "event_name": {"@path": "$.event"},
        "timestamp": {"@path": "$.timestamp"},
    });
    let file = json!({
        "settings": {"client_id": "64b0c0ffee"},
        "mappings": [{"action": "trackEvent", "subscribe": "type = \"track\"", "mapping": mapping}],
    });
    let destination = mapping_file::from_text(&file.to_string(), "m.json", Format::Json).unwrap().destination;
    Catalog { destination: Arc::new(destination), ..catalog() }
}

fn post(request: u64, path: &str, agent: &str, body: &str) -> Envelope {
    Envelope {
        arrival_ms: ARRIVAL + request as i64,
        request,
        method: "POST".into(),
        path: path.into(),
        headers: vec![("user-agent".into(), agent.into())],
        credential: Some(Credential::mask("a-write-key-of-segment")),
        body: body.to_owned().into(),
        wire_bytes: body.len() as u64,
        ..Envelope::default()
    }
}

/// A device that is exposed, an hour before everything else.
fn exposure(request: u64, device: &str) -> Envelope {
    let body = json!([{"kind": "feature", "creationDate": ARRIVAL - 3_600_000, "key": "checkout-cta", "variation": 1,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true},
        "context": {"kind": "multi", "user": {"key": "u-1"}, "device": {"key": device}}}]);
    Envelope { credential: None, ..post(request, "/bulk", "NodeJSClient/9.13.7", &body.to_string()) }
}

fn batch(events: &Value) -> String {
    json!({"batch": events, "sentAt": "2026-11-21T07:59:59.000Z", "writeKey": "…"}).to_string()
}

fn track(members: &Value) -> Value {
    let mut event = json!({"type": "track", "event": "Order Completed", "userId": "u-1",
        "timestamp": "2026-11-21T07:59:58.000Z", "context": {"device": {"id": "d-9"}}});
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn take(catalog: &Catalog, requests: &[Envelope]) -> (State, Vec<Judged>) {
    let mut state = State::new(Arc::new(Judge::new(catalog)), Options { keep_receipts: true, ..Options::default() });
    let mut judged = Vec::new();
    for envelope in requests {
        intake::envelope(&mut state, &catalog.environment, envelope, |state, received| {
            judged.push(Judged::new(state, &received, envelope.number(), envelope.arrival()));
        });
    }
    (state, judged)
}

/// A line for each verdict: number of the event, kind, key, verdict and unit.
fn verdicts(catalog: &Catalog, requests: &[Envelope]) -> Vec<String> {
    let (state, judged) = take(catalog, requests);
    judged
        .iter()
        .flat_map(|event| verdicts::rows(&state, catalog, event))
        .map(|row| {
            let unit = row.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
            format!("{} {} {} {}{unit}", row.event, row.kind.unwrap_or("?"), row.key.unwrap_or("-"), row.verdict)
        })
        .collect()
}

#[test]
fn a_conversion_that_the_presets_lose_counts_with_the_device_in_the_mapping() {
    let requests = [
        exposure(1, "d-9"),
        post(2, "/v1/batch", "analytics-python/2.4.0", &batch(&json!([track(&json!({"messageId": "m-1"}))]))),
    ];
    let exposed = "0 feature checkout-cta exposure device/d-9";
    assert_eq!(verdicts(&catalog(), &requests), [exposed, "1 custom Order Completed event-lacks-unit"]);
    assert_eq!(verdicts(&device_mapping(), &requests), [exposed, "1 custom Order Completed counted device/d-9"]);
}

#[test]
fn every_door_lets_the_same_event_in() {
    let event = track(&json!({}));
    let mut without_type = event.clone();
    without_type.as_object_mut().unwrap().remove("type");
    for (path, body) in [
        ("/v1/track", without_type.to_string()),
        ("/v1/t", event.to_string()),
        ("/v1/batch", batch(&json!([event]))),
        ("/v1/b", batch(&json!([event]))),
        ("/v1/import", batch(&json!([event]))),
        ("/prefix/v1/track", event.to_string()),
        ("/webhook", event.to_string()),
        ("/webhook", json!([event]).to_string()),
        // Where nothing but the body says that it is Segment's.
        ("/hook", event.to_string()),
        ("/hook", json!([event]).to_string()),
        ("/hook", batch(&json!([event]))),
    ] {
        let requests = [exposure(1, "d-9"), post(2, path, "x", &body)];
        let rows = verdicts(&device_mapping(), &requests);
        assert_eq!(rows[1..], ["1 custom Order Completed counted device/d-9"], "{path} {body}");
    }
}

#[test]
fn what_launchdarkly_never_gets_is_said_in_the_destination_s_words_and_asks_no_rule() {
    let events = json!([
        track(&json!({"userId": ""})),
        track(&json!({"properties": {"revenue": "$5"}})),
        track(&json!({"timestamp": "soon"})),
        {"type": "page", "name": "Home", "userId": "u-1"},
        track(&json!({"userId": null})),
    ]);
    let requests = [post(1, "/v1/batch", "analytics-node-next/latest", &batch(&events))];
    assert_eq!(
        verdicts(&catalog(), &requests),
        [
            // Segment itself takes an empty userId for nobody's, unless there is an anonymousId.
            "0 track Order Completed segment-refused",
            "1 track Order Completed segment-rejected",
            "2 track Order Completed segment-rejected",
            "3 page Home segment-not-subscribed",
            "4 track Order Completed segment-refused",
        ]
    );
    let (state, _) = take(&catalog(), &requests);
    let report = build::report(&state, &catalog());
    let unsent = ["segment-refused", "segment-rejected"];
    let rejected: Vec<_> = report.findings.iter().filter(|finding| unsent.contains(&finding.code.name())).collect();
    let told: Vec<(u64, &str, Option<&str>)> =
        rejected.iter().map(|it| (it.events, it.summary.as_str(), it.metric.as_deref())).collect();
    let metric = Some("checkout-conversion");
    assert_eq!(
        told,
        [
            (
                2,
                "Segment itself delivers the event to nobody: no_user_anon_id: Segment takes an event without userId and anonymousId and delivers it to no destination.",
                metric
            ),
            (
                1,
                "Segment has the event and LaunchDarkly never gets it: Event timestamp must be a valid date-like string but it was not.",
                metric
            ),
            (
                1,
                "Segment has the event and LaunchDarkly never gets it: Metric Value must be a number but it was a string.",
                metric
            ),
        ]
    );
    assert_eq!(report.totals.events, 5);
    assert_eq!(report.totals.requests, 1);
    assert_eq!(
        report.totals.by_kind.iter().map(|(kind, count)| (kind.as_str(), *count)).collect::<Vec<_>>(),
        [("page", 1), ("track", 4)]
    );
}

#[test]
fn an_unsubscribed_event_is_a_finding_only_where_a_metric_asks_for_it() {
    let mut catalog = catalog();
    let file = json!({"settings": {"client_id": "c"}, "mappings": [{"action": "trackEvent", "subscribe": "event = \"Order Refunded\"",
        "mapping": {"user_key": {"@path": "$.userId"}, "event_name": {"@path": "$.event"}}}]});
    let destination = mapping_file::from_text(&file.to_string(), "m.json", Format::Json).unwrap().destination;
    catalog.destination = Arc::new(destination);
    let events = json!([track(&json!({})), track(&json!({"event": "Page Scrolled"}))]);
    let (state, _) = take(&catalog, &[post(1, "/v1/batch", "x", &batch(&events))]);
    let report = build::report(&state, &catalog);
    let found: Vec<(&str, u64, Option<&str>)> = report
        .findings
        .iter()
        .filter(|finding| finding.code.name().starts_with("segment"))
        .map(|finding| (finding.code.name(), finding.events, finding.metric.as_deref()))
        .collect();
    assert_eq!(found, [("segment-not-subscribed", 1, Some("checkout-conversion"))]);
}

#[test]
fn a_retry_is_known_by_its_message_id_whatever_batch_it_comes_in() {
    let first = track(&json!({"messageId": "m-1"}));
    let other = track(&json!({"messageId": "m-2"}));
    let without = track(&json!({}));
    let requests = [
        exposure(1, "d-9"),
        post(2, "/v1/batch", "x", &batch(&json!([first, without]))),
        post(3, "/v1/batch", "x", &batch(&json!([other, first, without]))),
        post(4, "/v1/track", "x", &first.to_string()),
    ];
    let rows: Vec<String> = verdicts(&device_mapping(), &requests)
        .iter()
        .map(|row| row.split(' ').nth(4).unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "",
        "counted",
        "counted-no-effect",
        "counted-no-effect",
        "duplicate-payload",
        "counted-no-effect",
        "duplicate-payload",
    ];
    assert_eq!(rows[1..], expected[1..]);
    // Under another write key it is another source's event.
    let mut theirs = requests.clone();
    theirs[3].credential = Some(Credential::mask("another-write-key"));
    // … and without a time of sending its own time stands, which is the earliest.
    assert_eq!(verdicts(&device_mapping(), &theirs)[6], "6 custom Order Completed counted device/d-9");
}

#[test]
fn parts_judged_apart_and_merged_know_a_retry_too() {
    let catalog = device_mapping();
    let event = track(&json!({"messageId": "m-1"}));
    let requests = [
        exposure(1, "d-9"),
        post(2, "/v1/track", "x", &event.to_string()),
        post(3, "/v1/track", "x", &event.to_string()),
    ];
    let (whole, _) = take(&catalog, &requests);
    let whole = build::report(&whole, &catalog);
    for cut in 0..=requests.len() {
        let (mut first, _) = take(&catalog, &requests[..cut]);
        let (second, _) = take(&catalog, &requests[cut..]);
        first.merge(second);
        assert_eq!(
            serde_json::to_value(build::report(&first, &catalog)).unwrap(),
            serde_json::to_value(&whole).unwrap(),
            "{cut}"
        );
    }
}

#[test]
fn the_time_is_that_of_receipt_less_what_passed_on_the_sender_s_clock() {
    // The sender's clock is a year slow: a second passed between the call and the sending.
    let event = track(&json!({"timestamp": "2025-11-21T07:00:00.000Z", "messageId": "m"}));
    let body = json!({"batch": [event], "sentAt": "2025-11-21T07:00:01.000Z"}).to_string();
    let creation = |path: &str| {
        let (state, judged) = take(&device_mapping(), &[post(7, path, "x", &body)]);
        let _ = state;
        judged[0].t_ms.unwrap()
    };
    assert_eq!(creation("/v1/batch"), ARRIVAL + 7 - 1000);
    // A webhook's events were corrected before.
    assert_eq!(creation("/webhook"), 1_763_708_400_000);
}

#[test]
fn without_a_time_it_happened_when_it_was_received() {
    let mut event = track(&json!({}));
    event.as_object_mut().unwrap().remove("timestamp");
    let (_, judged) = take(&device_mapping(), &[post(7, "/v1/track", "x", &event.to_string())]);
    assert_eq!(judged[0].t_ms, Some(ARRIVAL + 7));
}

#[test]
fn what_a_batch_says_holds_for_its_events_unless_they_say_otherwise() {
    let mut event = track(&json!({}));
    event.as_object_mut().unwrap().remove("context");
    let own = track(&json!({"context": {"device": {"id": "d-own"}}}));
    let body = json!({"batch": [event, own], "context": {"device": {"id": "d-9"}, "ip": "1.1.1.1"}}).to_string();
    let rows =
        verdicts(&device_mapping(), &[exposure(1, "d-9"), exposure(2, "d-own"), post(3, "/v1/batch", "x", &body)]);
    assert_eq!(
        rows[2..],
        ["2 custom Order Completed counted device/d-9", "3 custom Order Completed counted device/d-own"]
    );
}

#[test]
fn a_request_that_segment_refuses_counts_for_nothing() {
    let large = track(&json!({"properties": {"note": "x".repeat(33 * 1024)}}));
    let requests = [exposure(1, "d-9"), post(2, "/v1/batch", "x", &batch(&json!([track(&json!({})), large])))];
    let rows = verdicts(&device_mapping(), &requests);
    assert_eq!(rows[1..], ["1 track Order Completed segment-refused", "2 track Order Completed segment-refused"]);
    let (state, _) = take(&device_mapping(), &requests);
    let report = build::report(&state, &device_mapping());
    let finding = report.findings.iter().find(|finding| finding.code.name() == "segment-refused").unwrap();
    assert!(
        finding.summary.ends_with("Segment answers 400 Exceed payload limit: an event has more than 32768 bytes."),
        "{}",
        finding.summary
    );
}

#[test]
fn two_mappings_that_match_one_event_make_two_of_it() {
    let mapping = |name: &str| {
        json!({"action": "trackEvent", "subscribe": "type = \"track\"", "mapping": {"user_key": {"@path": "$.userId"},
            "additional_context_keys": {"device": {"@path": "$.context.device.id"}}, "event_name": name,
            "timestamp": {"@path": "$.timestamp"}}})
    };
    let file = json!({"settings": {"client_id": "c"}, "mappings": [mapping("Order Completed"), mapping("order")]});
    let destination = mapping_file::from_text(&file.to_string(), "m.json", Format::Json).unwrap().destination;
    let catalog = Catalog { destination: Arc::new(destination), ..catalog() };
    let requests = [exposure(1, "d-9"), post(2, "/v1/track", "x", &track(&json!({"messageId": "m"})).to_string())];
    assert_eq!(
        verdicts(&catalog, &requests)[1..],
        ["1 custom Order Completed counted device/d-9", "2 custom order no-metric-for-key"]
    );
}

#[test]
fn a_destination_of_another_environment_is_told() {
    let mut catalog = device_mapping();
    catalog.environment.client_side_id = Some("64b0c0ffee".to_owned());
    let requests = [exposure(1, "d-9"), post(2, "/v1/track", "x", &track(&json!({})).to_string())];
    assert_eq!(verdicts(&catalog, &requests)[1..], ["1 custom Order Completed counted device/d-9"]);
    catalog.environment.client_side_id = Some("another".to_owned());
    assert!(verdicts(&catalog, &requests)[1].contains("wrong-environment"));
    // The catalog's SDK keys say nothing of a write key; a write key among them does.
    catalog.environment.client_side_id = None;
    catalog.environment.credentials = Some(vec!["sdk-…1f2a#9c41".to_owned()]);
    assert_eq!(verdicts(&catalog, &requests[1..]), ["0 custom Order Completed no-exposure device/d-9"]);
    catalog.environment.credentials = Some(vec!["a-write-key-of-segment".to_owned()]);
    assert_eq!(verdicts(&catalog, &requests[1..]), ["0 custom Order Completed no-exposure device/d-9"]);
    catalog.environment.credentials = Some(vec!["somebody-else-s-key".to_owned()]);
    assert!(verdicts(&catalog, &requests[1..])[0].contains("wrong-environment"));
}

#[test]
fn launchdarkly_events_exported_to_segment_are_evaluations_and_conversions() {
    let export = |event: &str, properties: Value| {
        let mut properties = properties;
        properties["environment"] = json!("64b0c0ffee");
        properties["project"] = json!("5f0d");
        json!({"type": "track", "event": event, "userId": "u-1", "timestamp": "2026-11-21T07:59:58.000Z", "properties": properties})
    };
    let evaluation = json!({"key": "checkout-cta", "contextKeys": {"user": "u-1", "device": "d-9"}, "value": true,
        "flagVersion": 7, "variation": 1, "default": false, "reasonKind": "FALLTHROUGH", "inExperiment": true});
    let events = json!([
        export("feature", evaluation.clone()),
        export(
            "Custom",
            json!({"key": "Order Completed", "contextKeys": {"user": "u-1", "device": "d-9"}, "metricValue": 5})
        ),
        // Older ones have the user's key alone: whether there was a device is not known.
        export(
            "feature",
            json!({"key": "checkout-cta", "userId": "u-2", "variation": 1, "reasonKind": "FALLTHROUGH", "inExperiment": true})
        ),
        export("custom", json!({"key": "Order Completed"})),
        export("page view", json!({"url": "https://shop.example/"})),
        export("feature", json!({"userId": "u-3"})),
    ]);
    let expected = [
        "0 feature checkout-cta exposure device/d-9",
        "1 custom Order Completed counted device/d-9",
        "2 feature checkout-cta unit-not-exported",
        "3 custom Order Completed unit-not-exported",
        "4 pageview - not-an-experiment-event",
        "5 ? - undecodable",
    ];
    for (path, body) in
        [("/v1/batch", batch(&events)), ("/webhook", events.to_string()), ("/elsewhere", events.to_string())]
    {
        assert_eq!(verdicts(&catalog(), &[post(1, path, "x", &body)]), expected, "{path}");
    }
    // A rule's id is not exported, so that it cannot be the wrong one.
    let mut by_rule = catalog();
    by_rule.experiments[0].iterations[0].rule = Some(exptap::catalog::Rule::Id("rule-1".to_owned()));
    let mut matched = evaluation;
    matched["reasonKind"] = json!("RULE_MATCH");
    let body = export("feature", matched).to_string();
    assert_eq!(verdicts(&by_rule, &[post(1, "/webhook", "x", &body)]), ["0 feature checkout-cta exposure device/d-9"]);
}

#[test]
fn a_session_explains_an_event_line_by_line_from_what_segment_has_to_what_is_judged() {
    let mut session = Session::new(Some(device_mapping()), SessionOptions::from_now(0));
    let refused = track(&json!({"userId": {"id": 1}, "anonymousId": "a-1"}));
    session.receive(&exposure(1, "d-9"));
    session.receive(&post(
        2,
        "/v1/batch",
        "analytics-python/2.4.0",
        &batch(&json!([track(&json!({"messageId": "m-1"})), refused])),
    ));
    let row = session.row(1).unwrap().clone();
    assert_eq!(
        (row.code.name(), &*row.source, row.segment.unwrap().mapping),
        ("counted", "Segment analytics-python/2.4.0", Some(0))
    );
    let explanation = session.explain(1).unwrap();
    assert_eq!(explanation.ladders[0].code.name(), "counted");
    let segment = explanation.segment.unwrap();
    assert!(segment.delivered.contains("\"receivedAt\": \"2026-11-21T08:00:00.002Z\""), "{}", segment.delivered);
    assert_eq!(segment.message_id.as_deref(), Some("m-1"));
    let lines = &segment.mappings[0].mapped.lines;
    let line = lines.iter().find(|line| line.field == "additional_context_keys").unwrap();
    assert_eq!((line.field.as_str(), line.taken.as_deref()), ("additional_context_keys", Some(r#"{"device":"d-9"}"#)));
    assert!(segment.mappings[0].payload.as_ref().unwrap().contains("\"device\": \"d-9\""));
    // The other was refused: the words, and no rule of attribution.
    let row = session.row(2).unwrap();
    assert_eq!(
        (row.code.name(), &*row.kind, row.note.as_deref()),
        ("segment-rejected", "track", Some("Context Key must be a string but it was an object."))
    );
    assert_eq!(row.units.iter().map(|(kind, key)| format!("{kind}/{key}")).collect::<Vec<_>>(), ["anonymousId/a-1"]);
    let explanation = session.explain(2).unwrap();
    assert_eq!(explanation.ladders.len(), 1);
    assert!(explanation.ladders[0].rungs[0].text.ends_with("Context Key must be a string but it was an object."));
    assert!(explanation.segment.unwrap().mappings[0].payload.is_none());
}

#[test]
fn files_of_segment_events_are_read_as_they_are() {
    let lines = [
        track(&json!({})).to_string(),
        batch(&json!([track(&json!({"messageId": "m"})), track(&json!({"messageId": "m"}))])),
    ];
    let catalog = device_mapping();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    let mut seen = Vec::new();
    intake::plain(&mut state, "events.ndjson", &lines.join("\n"), |_, received| {
        let Received::Event { event, claims, .. } = &received else { panic!("unreadable") };
        seen.push((event.creation_ms, claims.len()));
    });
    assert_eq!(seen, [(Some(1_795_247_998_000), 1); 3]);
    assert_eq!(state.totals().duplicate_payloads, 1);
    assert_eq!(state.totals().requests, 0);
}

#[test]
fn an_event_that_says_itself_that_the_destination_is_not_meant_is_not_sent() {
    for (integrations, verdict) in [
        (json!({}), "counted"),
        (json!({"All": true}), "counted"),
        (json!({"All": false, "LaunchDarkly (Actions)": true}), "counted"),
        (json!({"All": false, "LaunchDarkly (Actions)": {"x": 1}}), "counted"),
        (json!({"All": false}), "segment-not-subscribed"),
        (json!({"LaunchDarkly (Actions)": false}), "segment-not-subscribed"),
        (json!({"Segment.io": true}), "counted"),
    ] {
        let event = track(&json!({"integrations": integrations}));
        let rows = verdicts(&device_mapping(), &[exposure(1, "d-9"), post(2, "/v1/track", "x", &event.to_string())]);
        assert_eq!(rows[1].split(' ').nth(4), Some(verdict), "{integrations}: {rows:?}");
    }
}

#[test]
fn an_event_of_a_badly_signed_webhook_is_kept_and_told() {
    let requests = [None, Some(Signature::Valid), Some(Signature::Wrong), Some(Signature::Missing)].map(|signature| {
        Envelope { signature, ..post(2, "/webhook", "Segment (Actions)", &track(&json!({})).to_string()) }
    });
    let (state, judged) = take(&device_mapping(), &requests);
    assert_eq!(judged.len(), 4);
    let report = build::report(&state, &device_mapping());
    let told = report.findings.iter().find(|finding| finding.code.name() == "segment-signature").unwrap();
    assert_eq!((told.events, told.examples.as_slice()), (2, &[2, 3][..]));
}

#[test]
fn an_event_of_a_refused_request_says_so_and_asks_no_mapping() {
    let large = track(&json!({"properties": {"note": "x".repeat(33 * 1024)}}));
    let mut session = Session::new(Some(device_mapping()), SessionOptions::from_now(0));
    session.receive(&post(1, "/v1/batch", "x", &batch(&json!([track(&json!({})), large]))));
    let row = session.row(0).unwrap();
    assert_eq!(row.units.iter().map(|(kind, key)| format!("{kind}/{key}")).collect::<Vec<_>>(), ["userId/u-1"]);
    let explanation = session.explain(0).unwrap();
    let words = "Segment answers 400 Exceed payload limit: an event has more than 32768 bytes";
    assert_eq!(explanation.ladders[0].rungs[0].text, format!("Segment itself delivers the event to nobody: {words}."));
    let segment = explanation.segment.unwrap();
    assert_eq!((segment.refused.as_deref(), segment.mappings.len()), (Some(words), 0));
}

#[test]
fn an_event_of_a_file_without_any_time_is_not_dated_at_all() {
    let mut event = track(&json!({}));
    event.as_object_mut().unwrap().remove("timestamp");
    let mut received = event.clone();
    received["receivedAt"] = json!("2026-11-21T08:00:00.000Z");
    let catalog = device_mapping();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    let mut judged = Vec::new();
    intake::plain(&mut state, "f", &format!("{event}\n{received}"), |state, received| {
        judged.push(Judged::new(state, &received, None, None));
    });
    let rows: Vec<_> = judged.iter().flat_map(|event| verdicts::rows(&state, &catalog, event)).collect();
    assert_eq!((rows[0].verdict.name(), rows[0].t), ("segment-not-modelled", None));
    assert_eq!((rows[1].verdict.name(), rows[1].t), ("no-exposure", Some(ARRIVAL)));
}

#[test]
fn what_a_batch_says_at_length_is_read_once_and_shared_not_copied() {
    let mut long = json!({"device": {"id": "d-9"}});
    (0..5000).for_each(|n| long[format!("m{n}")] = json!(n));
    let mut event = track(&json!({}));
    event.as_object_mut().unwrap().remove("context");
    let own = track(&json!({"context": {"ip": "1.1.1.1"}}));
    let body = json!({"batch": [event, own], "context": long}).to_string();
    let rows = verdicts(&device_mapping(), &[exposure(1, "d-9"), post(2, "/v1/batch", "x", &body)]);
    assert_eq!(
        rows[1..],
        ["1 custom Order Completed counted device/d-9", "2 track Order Completed segment-not-modelled"]
    );
}

#[test]
fn it_is_the_path_that_makes_the_call() {
    let event = track(&json!({"type": "identify"}));
    let rows = verdicts(&device_mapping(), &[exposure(1, "d-9"), post(2, "/v1/track", "x", &event.to_string())]);
    assert_eq!(rows[1..], ["1 custom Order Completed counted device/d-9"]);
    let rows = verdicts(&device_mapping(), &[post(1, "/v1/identify", "x", &track(&json!({})).to_string())]);
    assert_eq!(rows, ["0 identify Order Completed segment-not-subscribed"]);
}

#[test]
fn sdk_keys_are_not_held_against_write_keys_nor_the_other_way_round() {
    let mut catalog = device_mapping();
    catalog.environment.credentials = Some(vec!["…ment#1234".to_owned()]);
    let mut sdk = exposure(1, "d-9");
    sdk.credential = Some(Credential::mask("sdk-00000000-0000-0000-0000-00000000aaaa"));
    assert_eq!(verdicts(&catalog, &[sdk.clone()]), ["0 feature checkout-cta exposure device/d-9"]);
    catalog.environment.credentials = Some(vec!["sdk-…bbbb#1234".to_owned()]);
    assert!(verdicts(&catalog, &[sdk])[0].contains("wrong-environment"));
}

#[test]
fn an_exported_evaluation_without_its_reason_leaves_open_who_was_exposed() {
    let export = |event: &str, properties: Value| json!({"type": "track", "event": event, "userId": "u-1", "timestamp": "2026-11-21T07:59:58.000Z", "properties": properties});
    let common = json!({"environment": "e", "project": "p", "contextKeys": {"device": "d-9"}});
    let mut evaluation = common.clone();
    (evaluation["key"], evaluation["variation"]) = (json!("checkout-cta"), json!(1));
    let mut conversion = common;
    conversion["key"] = json!("Order Completed");
    let body = json!([export("feature", evaluation), export("custom", conversion)]).to_string();
    assert_eq!(
        verdicts(&catalog(), &[post(1, "/webhook", "x", &body)]),
        [
            "0 feature checkout-cta reason-not-exported device/d-9",
            "1 custom Order Completed unknown-not-observed device/d-9"
        ]
    );
}
