//! The demo's shop: that it is deterministic, lively within bounds, well-formed, and that every fault it promises
//! happens, told from the requests alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use exptap::demo::{DemoRequest, HISTORY_MS, Shop};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

const START_MS: i64 = 1_795_248_000_000;
const SEED: u64 = 1;

/// Everything the shop sends in the first `seconds`, asked in steps of `step_ms`, with the time it was asked.
fn traffic(seed: u64, seconds: i64, step_ms: i64) -> Vec<(i64, DemoRequest)> {
    let mut shop = Shop::new(seed, START_MS);
    let mut requests = Vec::new();
    let mut now_ms = START_MS;
    while now_ms <= START_MS + seconds * 1_000 {
        requests.extend(shop.tick(now_ms).into_iter().map(|request| (now_ms, request)));
        now_ms += step_ms;
    }
    requests
}

fn header<'a>(request: &'a DemoRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn body(request: &DemoRequest) -> Value {
    let mut text = String::new();
    match header(request, "content-encoding") {
        Some("gzip") => {
            flate2::read::GzDecoder::new(&*request.body).read_to_string(&mut text).expect("gzip that can be read")
        }
        Some(other) => panic!("unexpected encoding {other}"),
        None => (&*request.body).read_to_string(&mut text).expect("UTF-8"),
    };
    serde_json::from_str(&text).expect("JSON")
}

/// An event with what its request says about it.
struct Sent {
    arrival_ms: i64,
    application: String,
    agent: String,
    path: String,
    event: Value,
}

impl Sent {
    fn is(&self, kind: &str, key: &str) -> bool {
        self.event["kind"] == kind && self.event["key"] == key
    }
    fn t_ms(&self) -> i64 {
        self.event["creationDate"].as_i64().unwrap_or(0)
    }
    fn context_key(&self, kind: &str) -> Option<&str> {
        let event = &self.event;
        event["contextKeys"][kind].as_str().or_else(|| match event["context"]["kind"].as_str() {
            Some("multi") => event["context"][kind]["key"].as_str(),
            Some(single) if single == kind => event["context"]["key"].as_str(),
            _ => None,
        })
    }
    fn reason(&self) -> &str {
        self.event["reason"]["kind"].as_str().unwrap_or("")
    }
    fn in_experiment(&self) -> bool {
        self.event["reason"]["inExperiment"] == true
    }
    /// The summary's counters for a flag.
    fn counters(&self, flag: &str) -> &[Value] {
        self.event["features"][flag]["counters"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// All events of all analytics payloads, retries left out.
fn events(requests: &[(i64, DemoRequest)]) -> Vec<Sent> {
    let mut payloads = BTreeSet::new();
    let mut all = Vec::new();
    for (arrival_ms, request) in requests {
        if request.path.contains("diagnostic") {
            continue;
        }
        if let Some(id) = header(request, "x-launchdarkly-payload-id")
            && !payloads.insert(id.to_owned())
        {
            continue;
        }
        let application = header(request, "x-launchdarkly-tags")
            .and_then(|tags| tags.split(' ').find_map(|tag| tag.strip_prefix("application-id/")))
            .unwrap_or("")
            .to_owned();
        let agent = header(request, "x-launchdarkly-user-agent").or(header(request, "user-agent")).unwrap();
        for event in body(request).as_array().expect("a JSON array") {
            all.push(Sent {
                arrival_ms: *arrival_ms,
                application: application.clone(),
                agent: agent.to_owned(),
                path: request.path.clone(),
                event: event.clone(),
            });
        }
    }
    all
}

fn first_minute() -> Vec<Sent> {
    events(&traffic(SEED, 60, 50))
}

#[test]
fn the_same_seed_sends_the_same_requests_however_often_it_is_asked() {
    let strip = |requests: Vec<(i64, DemoRequest)>| -> Vec<DemoRequest> {
        requests.into_iter().map(|(_, request)| request).collect()
    };
    let often = strip(traffic(7, 30, 50));
    assert!(often.len() > 500, "{} requests", often.len());
    assert!(often == strip(traffic(7, 30, 50)), "twice the same");
    assert!(often == strip(traffic(7, 30, 2_000)), "asked less often");
    assert!(often != strip(traffic(8, 30, 50)), "another seed tells another story");
}

#[test]
fn every_body_is_a_json_array_of_events_and_diagnostics_are_objects_on_their_own_path() {
    let requests = traffic(SEED, 60, 50);
    let mut diagnostics = 0;
    for (_, request) in &requests {
        assert_eq!(request.method, http::Method::POST);
        assert!(request.path.starts_with('/'), "{}", request.path);
        assert_eq!(header(request, "content-type"), Some("application/json"));
        let body = body(request);
        if request.path.contains("diagnostic") {
            diagnostics += 1;
            assert!(body["kind"].as_str().unwrap().starts_with("diagnostic"));
        } else {
            assert!(!body.as_array().expect("an array").is_empty());
        }
    }
    assert!(diagnostics >= 2);
}

#[test]
fn there_is_plenty_in_the_first_second_and_then_a_steady_flow_within_bounds() {
    let events = first_minute();
    let arrived =
        |from: i64, to: i64| events.iter().filter(|sent| (from..to).contains(&(sent.arrival_ms - START_MS))).count();
    let burst = arrived(0, 1_000);
    assert!((500..2_500).contains(&burst), "{burst} events in the first second");
    for window in 0..5 {
        let from = 10_000 + window * 10_000;
        let rate = arrived(from, from + 10_000) / 10;
        assert!((30..=130).contains(&rate), "{rate} events/s from {from} ms on");
    }
}

#[test]
fn nothing_is_sent_before_it_happened_or_dated_before_the_shop_opened_unless_a_story_says_so() {
    let opened_at_ms = START_MS - HISTORY_MS;
    for sent in first_minute().iter().filter(|sent| sent.event.is_object() && sent.event["kind"] != "summary") {
        assert!(sent.t_ms() <= sent.arrival_ms, "{}", sent.event);
        // The kiosk's clock counts seconds, and a phone was out of reach for hours.
        let told = sent.agent.starts_with("shop-kiosk")
            || sent.is("feature", "search-ranking")
            || sent.event["kind"] == "click";
        assert!(told || sent.t_ms() >= opened_at_ms, "{}", sent.event);
    }
}

#[test]
fn within_five_seconds_all_kinds_of_sources_have_spoken_and_units_of_every_experiment_are_exposed() {
    let events = events(&traffic(SEED, 5, 50));
    let agents: BTreeSet<&str> = events.iter().map(|sent| sent.agent.as_str()).collect();
    let expected = [
        "AndroidClient/5.9.2",
        "GoClient/7.13.4",
        "JSClient/4.10.3",
        "NodeJSClient/9.13.7",
        "PythonClient/9.18.2",
        "SegmentDestination/2.2.0",
        "shop-kiosk/1.3",
    ];
    assert_eq!(agents, BTreeSet::from(expected));
    for (flag, unit) in [
        ("checkout-button", "user"),
        ("free-shipping-banner", "device"),
        ("volume-pricing", "organization"),
        ("search-ranking", "user"),
    ] {
        let mut units: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
        for sent in events.iter().filter(|sent| sent.is("feature", flag) && sent.in_experiment()) {
            units.entry(sent.event["variation"].as_i64().unwrap()).or_default().insert(sent.context_key(unit).unwrap());
        }
        assert!(units.len() >= 2, "{flag} has one arm only");
        assert!(units.values().all(|arm| arm.len() >= 3), "{flag}: {units:?}");
    }
}

#[test]
fn the_catalog_has_experiments_by_user_device_and_organization_one_of_them_with_two_iterations() {
    let catalog = Shop::new(SEED, START_MS).catalog();
    let units: Vec<(&str, &str, usize)> = catalog
        .experiments
        .iter()
        .map(|it| (it.key.as_str(), it.iterations[0].randomization_unit.as_str(), it.iterations.len()))
        .collect();
    assert_eq!(
        units,
        [
            ("checkout-button-test", "user", 1),
            ("free-shipping-banner-test", "device", 1),
            ("volume-pricing-test", "organization", 1),
            ("search-ranking-test", "user", 2),
        ]
    );
    assert_eq!(catalog.metric_groups.len(), 1);
    for iteration in catalog.experiments.iter().flat_map(|experiment| &experiment.iterations) {
        assert!(iteration.metrics.iter().all(|metric| catalog.metric(*metric).is_some()));
        assert!(iteration.contains(START_MS) || iteration.ended_at_ms < Some(START_MS - HISTORY_MS));
        assert!(iteration.arms.iter().flatten().count() >= 2);
    }
    let funnel = &catalog.metric_groups[0];
    assert!(funnel.metrics.iter().all(|metric| catalog.experiments[0].iterations[0].metrics.contains(metric)));
    let mut kinds: Vec<String> = catalog.metrics.iter().map(|it| format!("{:?} {:?}", it.kind, it.measure)).collect();
    kinds.sort();
    kinds.dedup();
    let expected = ["Click Occurrence", "Custom Count", "Custom Occurrence", "Custom Value", "PageView Occurrence"];
    assert_eq!(kinds, expected);
}

#[test]
fn most_conversions_are_of_units_that_were_exposed_before() {
    let events = first_minute();
    let first_exposed = |flag: &str, unit: &str| -> BTreeMap<String, i64> {
        let mut first = BTreeMap::new();
        for sent in events.iter().filter(|sent| sent.is("feature", flag) && sent.in_experiment()) {
            let at = first.entry(sent.context_key(unit).unwrap().to_owned()).or_insert(i64::MAX);
            *at = sent.t_ms().min(*at);
        }
        first
    };
    for (flag, unit, keys, percent) in [
        ("checkout-button", "user", vec!["checkout", "order-placed", "add-to-cart"], 85),
        ("free-shipping-banner", "device", vec!["delivery-estimate-opened"], 95),
        ("volume-pricing", "organization", vec!["quote-requested", "quote-accepted"], 95),
    ] {
        let exposed = first_exposed(flag, unit);
        let conversions: Vec<&Sent> =
            events.iter().filter(|sent| keys.iter().any(|key| sent.is("custom", key))).collect();
        let counted = conversions
            .iter()
            .filter(|sent| {
                sent.context_key(unit).and_then(|key| exposed.get(key)).is_some_and(|first| *first <= sent.t_ms())
            })
            .count();
        assert!(conversions.len() >= 30, "{flag}: {}", conversions.len());
        assert!(counted * 100 >= conversions.len() * percent, "{flag}: {counted} of {}", conversions.len());
    }
}

#[test]
fn every_promised_fault_happens_within_a_minute_and_comes_from_its_own_application() {
    let requests = traffic(SEED, 60, 50);
    let events = events(&requests);
    let exposed = |flag: &str, unit: &str| -> BTreeMap<String, Vec<(i64, i64)>> {
        let mut all: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
        for sent in events.iter().filter(|sent| sent.is("feature", flag) && sent.in_experiment()) {
            let key = sent.context_key(unit).unwrap().to_owned();
            all.entry(key).or_default().push((sent.t_ms(), sent.event["variation"].as_i64().unwrap()));
        }
        all
    };
    let checkout_exposures = exposed("checkout-button", "user");
    let banner_exposures = exposed("free-shipping-banner", "device");
    let from = |application: &'static str| events.iter().filter(move |sent| sent.application == application);

    let segment = events.iter().filter(|sent| sent.agent == "SegmentDestination/2.2.0").collect::<Vec<_>>();
    assert!(segment.len() >= 20, "event-lacks-unit: Segment sends orders");
    assert!(segment.iter().all(|sent| sent.is("custom", "Order Completed") && sent.context_key("device").is_none()));
    let near =
        segment.iter().filter(|sent| banner_exposures.contains_key(sent.context_key("unauthenticatedUser").unwrap()));
    assert!(near.count() * 10 >= segment.len() * 9, "its anonymous id is the exposed device");

    let catalog = Shop::new(SEED, START_MS).catalog();
    let signup = catalog.metrics.iter().position(|metric| metric.key == "signup-rate").unwrap();
    assert!(catalog.experiments[1].iterations[0].metrics.contains(&signup), "metric-unit-mismatch");
    assert_eq!(catalog.metrics[signup].units, ["user"]);
    assert!(events.iter().any(|sent| sent.is("custom", "newsletter-signup")), "metric-unit-mismatch");

    assert!(events.iter().any(|sent| sent.is("custom", "Checkout")), "event-key-case");
    assert!(events.iter().filter(|sent| sent.is("custom", "Checkout")).all(|sent| sent.agent.starts_with("Android")));
    assert!(from("loyalty").any(|sent| sent.is("custom", "signup-rate")), "metric-key-used");

    let early = from("checkout-api").filter(|sent| {
        sent.is("custom", "checkout")
            && checkout_exposures
                .get(sent.context_key("user").unwrap())
                .is_some_and(|exposures| exposures.iter().all(|(t_ms, _)| *t_ms > sent.t_ms()))
    });
    assert!(early.count() >= 5, "conversion-before-exposure");

    let summary_only = from("page-rendering")
        .filter(|sent| sent.event["features"]["free-shipping-banner"]["contextKinds"] == serde_json::json!(["user"]));
    assert!(summary_only.count() >= 5, "exposure-lacks-unit");
    assert!(!from("page-rendering").any(|sent| sent.event["kind"] == "feature"), "exposure-lacks-unit is silent");

    let never = from("call-centre")
        .filter(|sent| {
            sent.is("custom", "checkout") && !checkout_exposures.contains_key(sent.context_key("user").unwrap())
        })
        .collect::<Vec<_>>();
    assert!(never.len() >= 5, "no-exposure");
    assert!(
        never.iter().any(|sent| checkout_exposures.contains_key(&sent.context_key("user").unwrap().to_lowercase())),
        "key-near-miss"
    );

    let crossed = banner_exposures.values().filter(|seen| seen.iter().any(|(_, arm)| *arm != seen[0].1)).count();
    assert!(crossed >= 1, "crossover-exposure");
    assert!(crossed * 10 < banner_exposures.len(), "{crossed} crossovers of {}", banner_exposures.len());

    assert!(from("gift-cards").any(|sent| sent.context_key("user") == Some("undefined")), "placeholder-key");
    let orders = || events.iter().filter(|sent| sent.is("custom", "order-placed"));
    assert!(
        orders().any(|sent| sent.event["metricValue"].is_null() && sent.event["data"]["total"].is_number()),
        "numeric-value-missing"
    );
    assert!(orders().any(|sent| sent.event["metricValue"].is_string()), "numeric-value-invalid");

    let country = |sent: &Sent| sent.event["context"]["user"]["country"].as_str().unwrap_or("").to_owned();
    let abroad =
        from("storefront").filter(|sent| sent.is("custom", "checkout") && ["FR", "NL"].contains(&&*country(sent)));
    assert!(abroad.count() >= 1, "filter-mismatch");

    let by_reason = |application, reason| {
        from(application).filter(|sent| sent.is("feature", "checkout-button") && sent.reason() == reason).count()
    };
    assert!(by_reason("smoke-tests", "TARGET_MATCH") >= 3, "individually-targeted");
    assert!(by_reason("legacy-cart", "OFF") >= 5, "flag-off");
    assert!(
        from("pricing").any(|sent| sent.counters("volume-pricing").iter().any(|counter| counter["unknown"] == true)),
        "eval-error"
    );

    let mut payloads = BTreeMap::new();
    for (_, request) in &requests {
        if let Some(id) = header(request, "x-launchdarkly-payload-id") {
            payloads.entry(id.to_owned()).or_insert_with(Vec::new).push(request.clone());
        }
    }
    let retried: Vec<_> = payloads.values().filter(|requests| requests.len() == 2).collect();
    assert!(retried.len() >= 2, "duplicate-payload");
    assert!(retried.iter().all(|pair| pair[0] == pair[1]), "a retry is the same request");

    assert!(events.iter().any(|sent| sent.is("debug", "volume-pricing")), "debug-not-exposure");
    assert!(from("search").any(|sent| sent.event["samplingRatio"] == 2), "sampled");
    assert!(from("assistant").any(|sent| sent.event["key"].as_str().unwrap_or("").starts_with("$ld:ai:")), "AI noise");
    let diagnostics = requests.iter().filter(|(_, request)| request.path == "/diagnostic").map(|(_, it)| body(it));
    assert_eq!(diagnostics.filter(|event| event["droppedEvents"] == 37).count(), 1, "queue-overflow");

    let kiosk = events.iter().filter(|sent| sent.agent == "shop-kiosk/1.3").collect::<Vec<_>>();
    assert!(kiosk.iter().any(|sent| sent.event.is_string()), "undecodable");
    assert!(kiosk.iter().any(|sent| sent.t_ms() > 0 && sent.t_ms() < 100_000_000_000), "timestamp-unit-suspect");

    let [first, second] = &catalog.experiments[3].iterations[..] else { panic!("two iterations") };
    let late = |sent: &&Sent| Some(sent.t_ms()) >= first.ended_at_ms && Some(sent.t_ms()) < second.started_at_ms;
    let clicks =
        || events.iter().filter(|sent| sent.event["kind"] == "click" && sent.event["selector"] == ".search-result a");
    assert!(clicks().any(|sent| late(&sent)), "after-iteration-end and before-iteration-start");
    assert!(clicks().any(|sent| first.contains(sent.t_ms())), "a late event of the first iteration");

    let elsewhere = events.iter().filter(|sent| {
        sent.path.starts_with("/events/bulk/")
            && !sent.path.ends_with(catalog.environment.client_side_id.as_deref().unwrap())
    });
    assert!(elsewhere.count() >= 5, "wrong-environment");
}

#[test]
fn a_caller_who_was_away_for_a_day_does_not_get_a_days_traffic_at_once() {
    let mut shop = Shop::new(SEED, START_MS);
    shop.tick(START_MS + 1_000);
    let requests = shop.tick(START_MS + 86_400_000);
    assert!(!requests.is_empty() && requests.len() < 1_000, "{} requests", requests.len());
    let later = shop.tick(START_MS + 86_400_000 + 5_000);
    assert!((20..500).contains(&later.len()), "{} requests", later.len());
}

#[test]
fn credentials_of_the_demo_are_the_catalogs_own() {
    let catalog = Shop::new(SEED, START_MS).catalog();
    let known = catalog.environment.credentials.unwrap();
    for (_, request) in traffic(SEED, 10, 50) {
        if let Some(credential) = header(&request, "authorization") {
            let masked = exptap::envelope::Credential::mask(credential).to_string();
            assert!(known.contains(&masked), "{masked}");
        }
    }
}
