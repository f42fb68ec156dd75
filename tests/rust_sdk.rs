//! The real Rust server SDK against the endpoint. Its flag data comes from the SDK's own test data source; its events
//! travel over loopback as they would to LaunchDarkly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::attribution;
use exptap::attribution::judge::Judge;
use exptap::attribution::state::State;
use exptap::catalog::Origin;
use exptap::catalog::load::{self, Format};
use exptap::endpoint::{Options, Received};
use exptap::envelope::{Answer, AnsweredBy, Envelope};
use exptap::intake;
use exptap::report::build;
use exptap::verdicts::{self, Judged};
use launchdarkly_server_sdk::{
    Client, ConfigBuilder, Context, ContextBuilder, EventProcessorBuilder, Flag, MultiContextBuilder,
    ServiceEndpointsBuilder, TestData,
};
use loopback::{Running, loopback_options, start};
use serde_json::{Value, json};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "sdk-00000000-1111-2222-3333-44444444rust";

fn context(kind: &str, key: &str) -> Context {
    ContextBuilder::new(key).kind(kind).build().unwrap()
}

fn user_on_device(user: &str, device: &str) -> Context {
    MultiContextBuilder::new()
        .add_context(context("user", user))
        .add_context(context("device", device))
        .build()
        .unwrap()
}

/// Runs `drive` with a client that has the flags of `tests/clients/flags.json` and sends its events to `address`.
fn with_client(address: SocketAddr, compress: bool, drive: impl FnOnce(&Client)) {
    let address = format!("http://{address}");
    let flags: Value = serde_json::from_str(include_str!("clients/flags.json")).unwrap();
    let data = TestData::new();
    for flag in flags["flags"].as_object().unwrap().values() {
        data.use_preconfigured_flag(serde_json::from_value::<Flag>(flag.clone()).unwrap());
    }
    let mut events: EventProcessorBuilder = EventProcessorBuilder::new();
    // Nothing is flushed by the clock, so what is in which request is decided by the test.
    events.flush_interval(Duration::from_secs(3600)).compress_events(compress);
    let config = ConfigBuilder::new(KEY)
        .service_endpoints(ServiceEndpointsBuilder::new().relay_proxy(&address))
        .data_source(&data)
        .event_processor(&events)
        .build()
        .unwrap();
    let client = Client::build(config).unwrap();
    client.start_with_runtime().unwrap();
    drive(&client);
    client.close();
}

fn left(running: Running) -> Vec<Envelope> {
    let received = running.stop().into_iter();
    received
        .map(|received| match received {
            Received::Envelope(envelope) => envelope,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn events(envelope: &Envelope) -> Vec<Value> {
    let mut text = String::new();
    match envelope.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(&envelope.body[..]).read_to_string(&mut text).unwrap(),
        None => (&envelope.body[..]).read_to_string(&mut text).unwrap(),
        other => panic!("{other:?}"),
    };
    serde_json::from_str(&text).unwrap()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_session_with_an_exposure_and_conversions_arrives_whole_and_compressed() {
    let running = start(loopback_options());
    with_client(running.address(), true, |client| {
        let (both, user) = (user_on_device("u-1", "d-1"), context("user", "u-1"));
        assert_ne!(client.str_variation(&both, "checkout-cta", "none".into()), "none");
        client.track_event(both.clone(), "checkout");
        client.track_metric(both, "Checkout", 12.5, json!({"sku": "A-1"}));
        client.track_event(user, "checkout");
    });
    let envelopes = left(running);
    assert_eq!(envelopes.len(), 1);
    let envelope = &envelopes[0];
    assert_eq!((envelope.method.as_str(), envelope.path.as_str()), ("POST", "/bulk"));
    assert_eq!(envelope.header("content-encoding"), Some("gzip"));
    assert_eq!(envelope.header("content-type"), Some("application/json"));
    assert_eq!(envelope.header("user-agent"), Some("RustServerClient/3.2.0"));
    assert_eq!(envelope.header("x-launchdarkly-event-schema"), Some("4"));
    assert_eq!(envelope.header("x-launchdarkly-payload-id").unwrap().len(), 36);
    assert_eq!(envelope.header("x-launchdarkly-instance-id").unwrap().len(), 36);
    assert_eq!(envelope.credential.as_ref().unwrap().as_str().split('#').next(), Some("sdk-…rust"));
    assert!(!format!("{envelope:?}").contains(KEY));
    assert_eq!(envelope.answer, Some(Answer { status: 202, from: AnsweredBy::Local }));
    assert_eq!(envelope.wire_bytes, envelope.body.len() as u64);

    let events = events(envelope);
    assert_eq!(kinds(&events), ["index", "feature", "custom", "custom", "index", "custom", "summary"]);
    let both = json!({"kind": "multi", "user": {"key": "u-1"}, "device": {"key": "d-1"}});
    let user = json!({"kind": "user", "key": "u-1"});
    let contexts: Vec<&Value> = events.iter().take(6).map(|event| &event["context"]).collect();
    assert_eq!(contexts, [&both, &both, &both, &both, &user, &user]);
    assert_eq!(events[1]["key"], "checkout-cta");
    assert_eq!(events[1]["reason"], json!({"kind": "FALLTHROUGH", "inExperiment": true}));
    assert_eq!([&events[2]["key"], &events[3]["key"], &events[5]["key"]], ["checkout", "Checkout", "checkout"]);
    assert_eq!((&events[3]["metricValue"], &events[3]["data"]), (&json!(12.5), &json!({"sku": "A-1"})));
}

#[test]
fn every_event_of_a_session_is_judged_as_the_application_meant_it() {
    let running = start(loopback_options());
    with_client(running.address(), true, |client| {
        let early = user_on_device("u-2", "d-early");
        client.track_event(early.clone(), "checkout");
        // Creation times are whole milliseconds, and in the same one a conversion counts.
        let tracked = std::time::Instant::now();
        while tracked.elapsed() < Duration::from_millis(2) {
            std::thread::yield_now();
        }
        client.str_variation(&early, "checkout-cta", "none".into());
        let both = user_on_device("u-1", "d-1");
        client.str_variation(&both, "checkout-cta", "none".into());
        client.str_variation(&context("user", "u-1"), "checkout-cta", "none".into());
        client.track_event(both.clone(), "checkout");
        client.track_event(both, "Checkout");
        client.track_event(context("user", "u-1"), "checkout");
        client.track_event(context("device", "d-never"), "checkout");
    });
    let text = include_str!("clients/catalog.toml");
    let catalog = load::from_text(text, "catalog.toml", Format::Toml, Origin::File).unwrap();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), attribution::state::Options::default());
    let mut judged = Vec::new();
    for envelope in left(running) {
        intake::envelope(&mut state, &catalog.environment, &envelope, |state, received| {
            judged.push(Judged::new(state, &received, Some(envelope.request), Some(envelope.arrival_ms)));
        });
    }
    let rows = judged.iter().flat_map(|event| verdicts::rows(&state, &catalog, event));
    let mut about: Vec<String> = rows
        .filter(|row| row.verdict.name() != "not-an-experiment-event")
        .map(|row| {
            format!(
                "{} {} {} {}",
                row.key.unwrap(),
                row.verdict,
                row.unit.unwrap_or_default(),
                row.variation.map_or(String::new(), |arm| arm.to_string())
            )
        })
        .collect();
    about.sort();
    assert_eq!(
        about.iter().map(|row| row.trim_end()).collect::<Vec<_>>(),
        [
            "Checkout no-metric-for-key",
            "checkout conversion-before-exposure device/d-early",
            "checkout counted device/d-1 1",
            "checkout event-lacks-unit",
            "checkout no-exposure device/d-never",
            "checkout-cta exposure device/d-1 1",
            "checkout-cta exposure device/d-early 0",
        ]
    );
    let report = build::report(&state, &catalog);
    // The evaluation by user left only a count, in a summary that mixes it with evaluations by device: that it sent no
    // event is certain, that it lacked the unit is not.
    assert_eq!(report.experiments[0].exposures["no-feature-event"], 1);
    assert_eq!(report.unmatched_event_keys[0].nearest.as_ref().unwrap().how, "case");
}

#[test]
fn an_evaluation_without_the_experiments_kind_leaves_a_summary_and_no_feature_event() {
    let running = start(loopback_options());
    with_client(running.address(), false, |client| {
        assert_eq!(client.str_variation(&context("user", "u-1"), "checkout-cta", "none".into()), "control");
    });
    let envelopes = left(running);
    assert_eq!(envelopes.len(), 1);
    assert_eq!(envelopes[0].header("content-encoding"), None);
    let events = events(&envelopes[0]);
    assert_eq!(kinds(&events), ["index", "summary"]);
    assert_eq!(events[1]["features"]["checkout-cta"]["contextKinds"], json!(["user"]));
}

#[test]
fn every_flush_of_one_client_is_a_payload_of_its_own() {
    let mut running = start(loopback_options());
    let address = running.address();
    let mut first = None;
    with_client(address, true, |client| {
        client.identify(context("user", "u-1"));
        client.flush();
        first = Some(running.envelope());
        client.identify(context("device", "d-1"));
    });
    let envelopes = [first.unwrap(), running.envelope()];
    let keys = envelopes.each_ref().map(|envelope| events(envelope)[0]["context"]["key"].clone());
    assert_eq!(keys, ["u-1", "d-1"]);
    assert_eq!(envelopes.each_ref().map(|envelope| envelope.request), [1, 2]);
    let header = |name| envelopes.each_ref().map(|envelope| envelope.header(name).unwrap());
    let [payload, next_payload] = header("x-launchdarkly-payload-id");
    assert_ne!(payload, next_payload);
    let [instance, same_instance] = header("x-launchdarkly-instance-id");
    assert_eq!(instance, same_instance);
}

#[test]
fn a_payload_that_is_answered_503_comes_again_once_under_the_same_id() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let forward = Some(format!("http://{free}").parse().unwrap());
    let running = start(Options { forward, ..loopback_options() });
    with_client(running.address(), true, |client| client.identify(context("user", "u-1")));
    let envelopes = left(running);
    assert_eq!(envelopes.len(), 2);
    for envelope in &envelopes {
        assert_eq!(envelope.answer, Some(Answer { status: 503, from: AnsweredBy::Local }));
        assert_eq!(kinds(&events(envelope)), ["identify"]);
    }
    let ids: Vec<_> = envelopes.iter().map(|envelope| envelope.header("x-launchdarkly-payload-id").unwrap()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(envelopes[0].body, envelopes[1].body);
}
