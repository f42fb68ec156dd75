//! What exptap says about Segment's part in it: for every finding one story that has it and one that must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::intake;
use exptap::report::build;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// When the requests arrive: 2026-11-21 08:00:00 UTC.
const ARRIVAL: i64 = 1_795_248_000_000;
const ACTIONS: &str = "SegmentDestination/2.2.0";
const CLASSIC: &str = "Segment.io/1.0";
const SDK: &str = "NodeJSClient/9.13.7";

fn catalog_by(unit: &str) -> Catalog {
    let text = format!(
        r#"
        [[metrics]]
        key = "checkout-conversion"
        event_key = "Order Completed"
        measure = "count"
        units = ["user", "device"]
        [[metrics]]
        key = "thanks-page"
        kind = "pageview"
        urls = [{{ kind = "canonical", url = "https://shop.example/thanks" }}]
        units = ["user", "device"]
        [[metrics]]
        key = "buy-clicked"
        kind = "click"
        selector = ".buy"
        urls = [{{ kind = "substring", substring = "shop.example" }}]
        units = ["user", "device"]
        [[experiments]]
        key = "cta"
        flag = "checkout-cta"
        randomization_unit = "{unit}"
        metrics = ["checkout-conversion", "thanks-page", "buy-clicked"]
        started_at = "2026-01-01T00:00:00Z"
        "#
    );
    load::from_text(&text, "catalog.toml", Format::Toml, Origin::File).unwrap()
}

fn post(number: usize, path: &str, agent: &str, body: &Value) -> Envelope {
    let body = body.to_string();
    Envelope {
        arrival_ms: ARRIVAL + number as i64,
        request: number as u64 + 1,
        method: "POST".into(),
        path: path.into(),
        headers: vec![("user-agent".into(), agent.into())],
        wire_bytes: body.len() as u64,
        body: body.into(),
        ..Envelope::default()
    }
}

/// A request: its path, who sends it, its body.
type Sent<'a> = (&'a str, &'a str, Value);

fn requests(sent: &[Sent<'_>]) -> Vec<Envelope> {
    sent.iter().enumerate().map(|(number, (path, agent, body))| post(number, path, agent, body)).collect()
}

fn judged(catalog: &Catalog, envelopes: &[Envelope], options: Options) -> State {
    let mut state = State::new(Arc::new(Judge::new(catalog)), Options { keep_receipts: true, ..options });
    for envelope in envelopes {
        intake::envelope(&mut state, &catalog.environment, envelope, |_, _| {});
    }
    state
}

fn findings_of(catalog: &Catalog, sent: &[Sent<'_>], options: Options) -> Vec<Value> {
    let report = build::report(&judged(catalog, &requests(sent), options), catalog);
    serde_json::to_value(&report.findings).unwrap().as_array().unwrap().clone()
}

fn found(catalog: &Catalog, sent: &[Sent<'_>], code: &str) -> Vec<Value> {
    let all = findings_of(catalog, sent, Options::default());
    all.into_iter().filter(|finding| finding["code"] == code).collect()
}

fn exposure(kind: &str, key: &str) -> Sent<'static> {
    let event = json!([{"kind": "feature", "creationDate": ARRIVAL - 3_600_000, "key": "checkout-cta", "variation": 1,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": kind, "key": key}}]);
    ("/bulk", SDK, event)
}

/// What the destination posts: a custom event with these context keys.
fn delivered(keys: Value, more: Value) -> Sent<'static> {
    let mut event =
        json!({"kind": "custom", "key": "Order Completed", "contextKeys": keys, "creationDate": ARRIVAL, "data": {}});
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    ("/events/bulk/64b0c0ffee", ACTIONS, json!([event]))
}

fn classic(user: &str, creation: i64) -> Sent<'static> {
    let event =
        json!({"kind": "custom", "key": "Order Completed", "userKey": user, "creationDate": creation, "data": {}});
    ("/events/bulk/64b0c0ffee", CLASSIC, json!([event]))
}

fn call(members: Value) -> Sent<'static> {
    let mut event =
        json!({"type": "track", "event": "Order Completed", "userId": "u-1", "timestamp": "2026-11-21T08:00:00Z"});
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    ("/v1/batch", "analytics-python/2.4.0", json!({"batch": [event]}))
}

#[test]
fn both_destinations_are_told_by_one_event_in_two_shapes_and_not_told_again_as_two_senders() {
    let catalog = catalog_by("user");
    let mut sent: Vec<Sent<'_>> = (0..4).map(|n| exposure("user", &format!("u-{n}"))).collect();
    for n in 0..4 {
        let (user, t) = (format!("u-{n}"), ARRIVAL + 60_000 * n);
        sent.push(delivered(json!({"user": user, "unauthenticatedUser": "a"}), json!({"creationDate": t})));
        sent.push(classic(&user, t + 900 * (n % 2)));
    }
    let both = found(&catalog, &sent, "segment-both-destinations");
    assert_eq!(both.len(), 1);
    assert_eq!((&both[0]["events"], &both[0]["units"]), (&json!(8), &json!(4)));
    assert_eq!((&both[0]["confidence"], &both[0]["metric"]), (&json!("decided"), &json!("checkout-conversion")));
    assert_eq!(both[0]["sources"], json!([CLASSIC, ACTIONS]));
    assert_eq!(found(&catalog, &sent, "double-source"), [] as [Value; 0]);
    // An experiment by device counts neither half twice, and they are twins all the same.
    assert_eq!(found(&catalog_by("device"), &sent, "segment-both-destinations")[0]["events"], 8);
}

#[test]
fn an_sdk_beside_segment_is_two_senders_and_two_actions_are_two() {
    let catalog = catalog_by("user");
    let mut sent: Vec<Sent<'_>> = (0..4).map(|n| exposure("user", &format!("u-{n}"))).collect();
    for n in 0..4 {
        let (user, t) = (format!("u-{n}"), ARRIVAL + 60_000 * n);
        sent.push(delivered(json!({"user": user}), json!({"creationDate": t})));
        let (path, _, body) = classic(&user, t);
        sent.push((path, "JSClient/2.24.2", body));
    }
    assert_eq!(found(&catalog, &sent, "segment-both-destinations"), [] as [Value; 0]);
    assert_eq!(found(&catalog, &sent, "double-source").len(), 1);
    // The same person, minutes apart; the same moment, another person; twice, and near each other only.
    let apart = [
        delivered(json!({"user": "u-1"}), json!({})),
        classic("u-1", ARRIVAL + 120_000),
        classic("u-2", ARRIVAL),
        delivered(json!({"user": "u-3"}), json!({})),
        classic("u-3", ARRIVAL + 1_000),
    ];
    assert_eq!(found(&catalog, &apart, "segment-both-destinations"), [] as [Value; 0]);
}

#[test]
fn an_export_that_comes_back_is_a_loop_and_its_name_needs_no_metric() {
    let catalog = catalog_by("user");
    let export = |name: &str, data: Value| delivered(json!({"user": "u-1"}), json!({"key": name, "data": data}));
    let exported = json!({"environment": "64b0c0ffee", "project": "p", "key": "checkout-cta", "variation": 1});
    let sent: Vec<Sent<'_>> =
        ["feature", "Custom", "click", "page view", "Page"].map(|name| export(name, exported.clone())).into();
    let found_loop = found(&catalog, &sent, "segment-loop");
    assert_eq!((&found_loop[0]["events"], &found_loop[0]["confidence"]), (&json!(5), &json!("decided")));
    assert_eq!(found(&catalog, &sent, "no-metric-for-key"), [] as [Value; 0]);
    // An application may call an event "click", and have data with a key.
    let own = [export("click", json!({"key": "k", "project": "p"})), export("Checkout", exported)];
    assert_eq!(found(&catalog, &own, "segment-loop"), [] as [Value; 0]);
    // Exports that stand at Segment's door say that there is such a source, not where it leads.
    let at_the_door = call(json!({"event": "custom", "properties": {"environment": "e", "project": "p", "key": "x"}}));
    assert_eq!(found(&catalog, &[at_the_door], "segment-loop"), [] as [Value; 0]);
}

#[test]
fn the_id_that_is_sent_is_never_exposed_and_the_other_one_is() {
    let catalog = catalog_by("user");
    let mut sent: Vec<Sent<'_>> = (0..9).map(|n| exposure("user", &format!("anon-{n}"))).collect();
    for n in 0..10 {
        let (user, anonymous) = (format!("u-{n}"), format!("anon-{n}"));
        sent.push(if n % 2 == 0 {
            delivered(json!({"user": user, "unauthenticatedUser": anonymous}), json!({}))
        } else {
            call(json!({"userId": user, "anonymousId": anonymous}))
        });
    }
    // Logged out: Segment sends the anonymousId as the user, which counts.
    sent.push(delivered(json!({"user": "anon-1", "unauthenticatedUser": "anon-1"}), json!({})));
    let mismatch = found(&catalog, &sent, "segment-id-mismatch");
    assert_eq!(mismatch.len(), 1);
    assert_eq!(
        mismatch[0]["summary"],
        "Of 10 conversions of checkout-conversion whose user key is Segment's userId, none has the key of an exposed user; the anonymousId beside it is that of one in 9 of 10 (90 %)."
    );
    assert_eq!(
        (&mismatch[0]["events"], &mismatch[0]["units"], &mismatch[0]["confidence"], &mismatch[0]["experiment"]),
        (&json!(10), &json!(10), &json!("decided"), &json!("cta"))
    );
    assert!(mismatch[0]["fix"].as_str().unwrap().contains("$.anonymousId"));
    // Where observation began after the start, the users may have been exposed before.
    let late = Options { observed_from_ms: Some(ARRIVAL - 7_200_000), ..Options::default() };
    let late = findings_of(&catalog, &sent, late);
    let late = late.iter().find(|finding| finding["code"] == "segment-id-mismatch").unwrap();
    assert_eq!(late["confidence"], "likely");
    // One of them is exposed: then it is people, and not the ids.
    sent.push(exposure("user", "u-3"));
    assert_eq!(found(&catalog, &sent, "segment-id-mismatch"), [] as [Value; 0]);
}

#[test]
fn it_is_told_the_other_way_round_too_and_not_where_neither_is_exposed() {
    let mapping = json!({"settings": {"client_id": "64b0c0ffee"}, "mappings": [{"action": "trackEvent", "subscribe": "type = \"track\"",
        "mapping": {"user_key": {"@path": "$.anonymousId"}, "event_name": {"@path": "$.event"}, "timestamp": {"@path": "$.timestamp"}}}]});
    let file = exptap::segment::mapping_file::from_text(&mapping.to_string(), "m.json", Format::Json).unwrap();
    let catalog = Catalog { destination: Arc::new(file.destination), ..catalog_by("user") };
    let sent = [exposure("user", "u-1"), call(json!({"anonymousId": "anon-1"}))];
    let mismatch = found(&catalog, &sent, "segment-id-mismatch");
    assert!(
        mismatch[0]["summary"].as_str().unwrap().starts_with(
            "Of 1 conversion of checkout-conversion whose user key is Segment's anonymousId, none has the key of an exposed user; the userId beside it"
        ),
        "{}",
        mismatch[0]["summary"]
    );
    assert_eq!(found(&catalog, &sent[1..], "segment-id-mismatch"), [] as [Value; 0]);
}

#[test]
fn a_unit_under_the_preset_s_name_is_named_with_what_to_map() {
    let catalog = catalog_by("device");
    let mut sent: Vec<Sent<'_>> = (0..38).map(|n| exposure("device", &format!("d-{n}"))).collect();
    for n in 0..40 {
        let keys = json!({"user": format!("u-{n}"), "unauthenticatedUser": format!("d-{n}")});
        sent.push(delivered(keys, json!({})));
    }
    let lacks = found(&catalog, &sent, "event-lacks-unit");
    assert_eq!(
        lacks[0]["summary"],
        "The event has no device key (it has unauthenticatedUser and user). Through Segment it is there under another name: unauthenticatedUser is the key of an exposed device in 38 of 40 (95 %)."
    );
    assert_eq!(
        lacks[0]["fix"],
        "In the mapping of Segment's destination, under Additional Context Keys, add device from $.anonymousId (what the preset calls unauthenticatedUser)."
    );
    // Its own event says which member it is.
    let own = [exposure("device", "d-1"), call(json!({"anonymousId": "d-1"}))];
    assert!(
        found(&catalog, &own, "event-lacks-unit")[0]["fix"]
            .as_str()
            .unwrap()
            .ends_with("add device from $.anonymousId.")
    );
    // Other keys: no path is named.
    let others = [exposure("device", "d-1"), call(json!({"anonymousId": "d-2"}))];
    let lacks = found(&catalog, &others, "event-lacks-unit");
    assert!(lacks[0]["fix"].as_str().unwrap().starts_with("SDK: track with a context"), "{}", lacks[0]["fix"]);
}

#[test]
fn keys_that_are_nobody_s_are_told_with_how_segment_makes_them() {
    let catalog = catalog_by("user");
    let sent = [
        call(json!({"anonymousId": null})),
        call(json!({"anonymousId": {"id": 1}})),
        call(json!({"userId": "00000000-0000-0000-0000-000000000000"})),
        call(json!({"userId": "undefined"})),
    ];
    let told: Vec<(String, u64, String, bool)> = found(&catalog, &sent, "placeholder-key")
        .iter()
        .map(|it| {
            let fix = it["fix"].as_str().unwrap();
            let summary = it["summary"].as_str().unwrap();
            let key = summary.split(" looks").next().unwrap().to_owned();
            (key, it["events"].as_u64().unwrap(), it["severity"].as_str().unwrap().to_owned(), fix.contains("Segment"))
        })
        .collect();
    let row = |key: &str, events, severity: &str| (key.to_owned(), events, severity.to_owned(), true);
    assert_eq!(
        told,
        [
            row("The user key “00000000-0000-0000-0000-000000000000”", 1, "error"),
            row("The user key “undefined”", 1, "error"),
            row("The unauthenticatedUser key “[object Object]”", 1, "warning"),
            row("The unauthenticatedUser key “null”", 1, "warning"),
        ]
    );
    let null = found(&catalog, &sent[..1], "placeholder-key");
    assert!(null[0]["fix"].as_str().unwrap().contains("analytics-python sends anonymousId as null"));
    // From an SDK it is the application's doing.
    let sdk = json!([{"kind": "custom", "key": "Order Completed", "creationDate": ARRIVAL, "context": {"kind": "user", "key": "null"}}]);
    let by_sdk = found(&catalog, &[("/bulk", SDK, sdk)], "placeholder-key");
    assert_eq!((by_sdk.len(), &by_sdk[0]["fix"]), (1, &json!("Send a real key.")));
    assert_eq!(found(&catalog, &[call(json!({"anonymousId": "a-1"}))], "placeholder-key"), [] as [Value; 0]);
}

#[test]
fn pages_and_clicks_through_segment_are_no_page_views_and_clicks() {
    let catalog = catalog_by("user");
    let page = |url: &str| call(json!({"type": "page", "name": "Thanks", "event": null, "properties": {"url": url}}));
    let sent = [
        page("https://shop.example/thanks?order=7"),
        call(json!({"event": "Page Viewed", "context": {"page": {"url": "https://shop.example/thanks"}}})),
        delivered(json!({"user": "u-1"}), json!({"key": "Buy Clicked"})),
        page("https://shop.example/elsewhere"),
        call(json!({"context": {"page": {"url": "https://shop.example/thanks"}}})),
    ];
    let told: Vec<_> = found(&catalog, &sent, "segment-custom-only")
        .iter()
        .map(|it| (it["metric"].clone(), it["events"].clone(), it["confidence"].clone()))
        .collect();
    assert_eq!(
        told,
        [(json!("thanks-page"), json!(2), json!("likely")), (json!("buy-clicked"), json!(1), json!("likely")),]
    );
    // A browser SDK sends its own: then Segment's pages are somebody else's business.
    let mut measured = sent.to_vec();
    let event = json!([{"kind": "pageview", "key": "goal", "creationDate": ARRIVAL, "url": "https://shop.example/thanks", "contextKeys": {"user": "u-1"}}]);
    measured.push(("/events/bulk/64b0c0ffee", "JSClient/4.10.3", event));
    assert_eq!(found(&catalog, &measured, "segment-custom-only").len(), 1);
    assert_eq!(found(&catalog, &sent[3..], "segment-custom-only"), [] as [Value; 0]);
}

#[test]
fn a_delivery_rate_under_the_threshold_says_the_commonest_error() {
    let catalog = catalog_by("user");
    let lost = |n: usize| {
        if n.is_multiple_of(4) { json!({"timestamp": "soon"}) } else { json!({"properties": {"revenue": "$5"}}) }
    };
    let send = |sent: usize, refused: usize| -> Vec<Sent<'static>> {
        let delivered = (0..sent).map(|n| call(json!({"messageId": format!("m-{n}")})));
        delivered.chain((0..refused).map(|n| call(lost(n)))).collect()
    };
    let rate = |sent: &[Sent<'_>], percent: f64| {
        let options = Options { segment_delivery_percent: percent, ..Options::default() };
        let all = findings_of(&catalog, sent, options);
        all.into_iter().find(|finding| finding["code"] == "segment-delivery-rate")
    };
    let finding = rate(&send(36, 4), 95.0).unwrap();
    assert_eq!(
        finding["summary"],
        "LaunchDarkly gets 36 of 40 (90 %) of the events that a trigger in Segment matches, which is under 95 %. The commonest error, 3 times: Metric Value must be a number but it was a string."
    );
    assert_eq!((&finding["events"], &finding["severity"]), (&json!(4), &json!("warning")));
    assert_eq!(rate(&send(36, 4), 90.0), None, "exactly the threshold is enough");
    assert_eq!(rate(&send(38, 2), 95.0), None);
    assert!(rate(&send(38, 2), 95.5).is_some());
    assert_eq!(rate(&send(0, 19), 95.0), None, "too few to be a rate");
    assert!(rate(&send(0, 20), 95.0).is_some());
    assert_eq!(rate(&send(0, 20), 0.0), None, "asks for nothing");
    // What no trigger matches, what Segment keeps, and retries are no deliveries.
    let mut others = send(20, 1);
    others.extend((0..50).map(|_| call(json!({"type": "page", "name": "Home"}))));
    others.extend((0..50).map(|_| call(json!({"userId": null}))));
    assert_eq!(rate(&others, 95.0), None);
}

/// Anything that the findings about Segment rest on.
fn any_request() -> impl Strategy<Value = Sent<'static>> {
    let id = || prop_oneof![Just("1"), Just("2"), Just("3"), Just("null")];
    prop_oneof![
        id().prop_map(|key| exposure("user", key)),
        id().prop_map(|key| exposure("device", key)),
        (id(), 0..3_i64).prop_map(|(user, n)| classic(user, ARRIVAL + n * 1_500)),
        (id(), id(), 0..3_i64).prop_map(|(user, other, n)| {
            let keys = json!({"user": user, "unauthenticatedUser": other});
            delivered(keys, json!({"creationDate": ARRIVAL + n * 1_500}))
        }),
        Just(delivered(
            json!({"user": "1"}),
            json!({"key": "feature", "data": {"environment": "e", "project": "p", "key": "k"}})
        )),
        (id(), id(), prop_oneof![Just(json!(1)), Just(json!("$"))], proptest::option::of(0..3_u8)).prop_map(
            |(user, other, revenue, message)| {
                let mut members = json!({"userId": user, "anonymousId": other, "properties": {"revenue": revenue}});
                if let Some(message) = message {
                    // A message id always carries the same event.
                    members = json!({"userId": "1", "anonymousId": "2", "messageId": format!("m-{message}")});
                }
                call(members)
            }
        ),
        Just(call(json!({"type": "page", "name": "Thanks", "properties": {"url": "https://shop.example/thanks"}}))),
    ]
}

/// The findings without the numbers of examples, which are a matter of order by their nature, and the totals.
fn comparable(state: &State, catalog: &Catalog) -> Value {
    let mut report = build::report(state, catalog);
    report.findings.iter_mut().for_each(|finding| finding.examples.clear());
    report.findings.sort_by_key(|it| format!("{:?}", (it.code, &it.experiment, &it.metric, &it.summary)));
    serde_json::to_value((&report.findings, &report.totals)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_and_no_split_changes_what_is_found(
        sent in proptest::collection::vec(any_request(), 0..40),
        seed in any::<u64>(),
        cut in any::<prop::sample::Index>(),
        by_device in any::<bool>(),
    ) {
        let catalog = catalog_by(if by_device { "device" } else { "user" });
        let envelopes = requests(&sent);
        let whole = comparable(&judged(&catalog, &envelopes, Options::default()), &catalog);
        let mut shuffled = envelopes.clone();
        shuffled.sort_by_key(|envelope| (envelope.request ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (one, other) = envelopes.split_at(cut.index(envelopes.len() + 1));
        let mut merged = judged(&catalog, one, Options::default());
        merged.merge(judged(&catalog, other, Options::default()));
        prop_assert_eq!(&comparable(&merged, &catalog), &whole);
        let mut reversed = judged(&catalog, other, Options::default());
        reversed.merge(judged(&catalog, one, Options::default()));
        prop_assert_eq!(&comparable(&reversed, &catalog), &whole);
        // Which of several retries is the first decides its time of receipt, so that order matters to those alone.
        if !sent.iter().any(|(_, _, body)| body.to_string().contains("messageId")) {
            prop_assert_eq!(&comparable(&judged(&catalog, &shuffled, Options::default()), &catalog), &whole);
        }
    }
}
