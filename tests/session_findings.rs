//! What contexts side by side explain: keys that live for one request, keys that change at a login, and flags that are
//! read before identify() is done. Each fault is found, and what only looks like it is not.
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

/// When everything begins: 2026-11-21 08:00:00 UTC.
const START: i64 = 1_795_248_000_000;
const BROWSER: (&str, &str) = ("/events/bulk/64b0c0ffee", "JSClient/3.5.0");
const SERVER: (&str, &str) = ("/bulk", "NodeJSClient/9.13.7");
const EDGE: (&str, &str) = ("/events/bulk/64b0c0ffee", "CloudflareEdgeSDK/1.0");

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "orders"
        event_key = "order"
        [[experiments]]
        key = "x"
        flag = "f"
        metrics = ["orders"]
        started_at = 2026-01-01T00:00:00Z
    "#;
    load::from_text(text, "shop.toml", Format::Toml, Origin::File).unwrap()
}

fn post((path, agent): (&str, &str), number: u64, instance: Option<&str>, events: &Value) -> Envelope {
    let body = events.to_string();
    let mut headers = vec![
        ("x-launchdarkly-user-agent".to_owned(), agent.to_owned()),
        ("x-launchdarkly-payload-id".into(), format!("payload-{number}")),
    ];
    headers.extend(instance.map(|id| ("x-launchdarkly-instance-id".to_owned(), id.to_owned())));
    Envelope {
        arrival_ms: START + number as i64,
        request: number,
        method: "POST".into(),
        path: path.into(),
        headers,
        wire_bytes: body.len() as u64,
        body: body.into(),
        ..Envelope::default()
    }
}

fn state(envelopes: &[Envelope]) -> State {
    let catalog = catalog();
    let options = Options { keep_receipts: true, ..Options::default() };
    let mut state = State::new(Arc::new(Judge::new(&catalog)), options);
    envelopes.iter().for_each(|envelope| intake::envelope(&mut state, &catalog.environment, envelope, |_, _| {}));
    state
}

fn findings(state: &State) -> Vec<Value> {
    let findings = build::report(state, &catalog()).findings;
    findings.into_iter().map(|finding| serde_json::to_value(finding).unwrap()).collect()
}

/// The finding with a code; null without one.
fn found(envelopes: &[Envelope], code: &str) -> Value {
    findings(&state(envelopes)).into_iter().find(|finding| finding["code"] == code).unwrap_or_default()
}

fn user(key: &str) -> Value {
    json!({"kind": "user", "key": key})
}

fn anonymous(key: &str) -> Value {
    json!({"kind": "user", "key": key, "anonymous": true})
}

fn feature(context: Value, t: i64) -> Value {
    json!({"kind": "feature", "creationDate": START + t, "key": "f", "variation": 0, "version": 7,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": context})
}

fn identify(context: Value, t: i64) -> Value {
    json!({"kind": "identify", "creationDate": START + t, "context": context})
}

fn order(context: Value, t: i64) -> Value {
    json!({"kind": "custom", "creationDate": START + t, "key": "order", "context": context})
}

/// Visits of as many people, each with an anonymous key of its own, which buy under the key that `buyer` gives.
fn visits(count: u64, buyer: impl Fn(u64) -> Value) -> Vec<Envelope> {
    (0..count)
        .map(|n| {
            let events = json!([feature(anonymous(&format!("a-{n}")), 0), order(buyer(n), 1000)]);
            post(SERVER, n + 1, None, &events)
        })
        .collect()
}

#[test]
fn a_new_key_with_every_request_joins_nothing_and_is_told() {
    let of_another_request = |n: u64| anonymous(&format!("b-{n}"));
    let finding = found(&visits(30, of_another_request), "throwaway-keys");
    assert_eq!((&finding["severity"], &finding["confidence"]), (&json!("warning"), &json!("likely")));
    assert_eq!((&finding["experiment"], &finding["events"], &finding["units"]), (&json!("x"), &json!(30), &json!(30)));
    assert_eq!(
        finding["summary"],
        "60 of 60 anonymous user contexts were in one payload only, all of one sender; none of those that were exposed by f \
         converts, and none of those that convert was exposed: a new key seems to be made up for every request."
    );
    // Where half are exposed, of twenty that convert ten should have been; of nineteen that is in doubt.
    assert_eq!(found(&visits(20, of_another_request), "throwaway-keys")["units"], 20);
    assert_eq!(found(&visits(19, of_another_request), "throwaway-keys"), Value::Null);
    // A device makes keys up too, if it is one.
    let of_one_tab = |instance: fn(u64) -> Option<String>| {
        let mut all = visits(30, of_another_request);
        for (n, envelope) in (0..).zip(&mut all) {
            *envelope = post(BROWSER, n + 1, instance(n).as_deref(), &serde_json::from_slice(&envelope.body).unwrap());
        }
        found(&all, "throwaway-keys")
    };
    assert_eq!(of_one_tab(|_| Some("tab".to_owned()))["units"], 30);
    assert_eq!(of_one_tab(|n| Some(format!("tab-{n}"))), Value::Null, "as many visitors, for all that is known");
    assert_eq!(of_one_tab(|_| None), Value::Null, "so are these");
}

#[test]
fn visitors_who_leave_again_are_no_throwaway_keys() {
    let bounce = |sender, n: u64| {
        post(sender, n + 1, Some(&format!("i-{n}")), &json!([feature(anonymous(&format!("a-{n}")), 0)]))
    };
    for sender in [BROWSER, SERVER] {
        let bounces: Vec<Envelope> = (0..25).map(|n| bounce(sender, n)).collect();
        assert_eq!(found(&bounces, "throwaway-keys"), Value::Null, "nobody has bought yet");
        let mut returning = bounces;
        returning.push(post(sender, 100, Some("i-r"), &json!([order(anonymous("returning"), 9000)])));
        assert_eq!(found(&returning, "throwaway-keys"), Value::Null, "who buys was here before");
    }
    // A tenth of the traffic is allocated, few buy: of those that were looked at, nobody who was exposed.
    let visit = |n: u64| {
        let of = || anonymous(&format!("a-{n}"));
        let mut evaluated = feature(of(), 0);
        if !n.is_multiple_of(10) {
            evaluated["reason"] = json!({"kind": "FALLTHROUGH"});
        }
        let events = if n % 300 == 1 { json!([evaluated, order(of(), 50)]) } else { json!([evaluated]) };
        post(SERVER, n + 1, None, &events)
    };
    let few: Vec<Envelope> = (0..2400).map(visit).collect();
    assert_eq!(found(&few, "throwaway-keys"), Value::Null);
    // One that counts is enough to know that keys are kept, whether it is in the sample or not.
    let mut all = visits(2000, |n| anonymous(&format!("b-{n}")));
    assert_ne!(found(&all, "throwaway-keys"), Value::Null);
    all.push(post(SERVER, 9000, None, &json!([order(anonymous("a-0"), 1000)])));
    assert_eq!(found(&all, "throwaway-keys"), Value::Null);
}

#[test]
fn anonymous_contexts_that_come_back_or_convert_are_no_throwaway_keys() {
    let own = |n: u64| anonymous(&format!("a-{n}"));
    assert_eq!(found(&visits(30, own), "throwaway-keys"), Value::Null, "they convert");
    let known: Vec<Envelope> =
        (0..30).map(|n| post(SERVER, n + 1, None, &json!([feature(user(&format!("u-{n}")), 0)]))).collect();
    assert_eq!(found(&known, "throwaway-keys"), Value::Null, "they are not anonymous");
    // One in eight came back: that is more than a tenth.
    let mut back = visits(24, |n| user(&format!("u-{n}")));
    back.extend((0..3).map(|n| post(SERVER, 100 + n, None, &json!([feature(anonymous(&format!("a-{n}")), 5)]))));
    assert_eq!(found(&back, "throwaway-keys"), Value::Null, "they come back");
    // What converts has keys of another sort, as Segment's: a key that is thrown away is not why they do not join.
    assert_eq!(found(&visits(30, |n| user(&format!("u-{n}"))), "throwaway-keys"), Value::Null);
    // Plain events say nothing of payloads.
    let events: Vec<Value> = (0..30).map(|n| feature(anonymous(&format!("a-{n}")), 0)).collect();
    let catalog = catalog();
    let mut plain = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    intake::plain(&mut plain, "events.json", &json!(events).to_string(), |_, _| {});
    assert!(findings(&plain).iter().all(|finding| finding["code"] != "throwaway-keys"));
}

#[test]
fn who_was_exposed_before_a_login_and_converts_after_it_is_told_with_both_keys() {
    let before = post(BROWSER, 1, Some("tab"), &json!([feature(anonymous("a-1"), 0)]));
    let after = post(BROWSER, 2, Some("tab"), &json!([identify(user("u-1"), 500), order(user("u-1"), 1000)]));
    let finding = found(&[before.clone(), after.clone()], "login-split");
    assert_eq!(
        (&finding["severity"], &finding["confidence"], &finding["events"], &finding["units"]),
        (&json!("warning"), &json!("likely"), &json!(1), &json!(1))
    );
    assert_eq!(
        (&finding["experiment"], &finding["metric"], &finding["examples"]),
        (&json!("x"), &json!("orders"), &json!([2]))
    );
    assert_eq!(
        finding["summary"],
        "1 conversion of orders is of a user that was exposed under another key before it logged in: exposed as \
         anonymous a-1, converted as u-1. LaunchDarkly does not join the two."
    );
    // The same in one payload, without an instance.
    let one = json!([feature(anonymous("a-1"), 0), identify(user("u-1"), 500), order(user("u-1"), 1000)]);
    assert_eq!(found(&[post(("/mobile", "AndroidClient/5.9.0"), 1, None, &one)], "login-split")["events"], 1);
    // A device that is there before and after.
    let both = |context: Value| {
        let mut inner = context;
        inner.as_object_mut().unwrap().remove("kind");
        json!({"kind": "multi", "user": inner, "device": {"key": "d-1"}})
    };
    let beside = [
        post(SERVER, 1, None, &json!([feature(both(anonymous("a-1")), 0)])),
        post(SERVER, 2, None, &json!([order(both(user("u-1")), 1000)])),
    ];
    assert_eq!(found(&beside, "login-split")["events"], 1);
    // An event from before contexts that says so.
    let alias = json!({"kind": "alias", "key": "u-1", "contextKind": "user", "previousKey": "a-1",
        "previousContextKind": "anonymousUser", "creationDate": START + 500});
    let aliased = [
        post(SERVER, 1, None, &json!([feature(anonymous("a-1"), 0)])),
        post(SERVER, 2, None, &json!([alias])),
        post(SERVER, 3, None, &json!([order(user("u-1"), 1000)])),
    ];
    assert_eq!(found(&aliased, "login-split")["events"], 1);
}

#[test]
fn conversions_without_exposure_that_nothing_ties_to_an_anonymous_one_are_no_login() {
    let exposed = json!([feature(anonymous("a-1"), 0)]);
    let converts = json!([identify(user("u-1"), 500), order(user("u-1"), 1000)]);
    let apart = |sender: (&str, &str), instances: [Option<&str>; 2]| {
        let [one, other] = instances;
        let envelopes = [post(sender, 1, one, &exposed), post(sender, 2, other, &converts)];
        assert_eq!(found(&envelopes, "no-exposure")["events"], 1);
        found(&envelopes, "login-split")
    };
    assert_eq!(apart(BROWSER, [None, None]), Value::Null, "two browsers of one make");
    assert_eq!(apart(BROWSER, [Some("one"), Some("other")]), Value::Null, "two tabs");
    assert_eq!(apart(SERVER, [Some("pod"), Some("pod")]), Value::Null, "a server serves many");
    assert_eq!(apart(EDGE, [Some("worker"), Some("worker")]), Value::Null, "so does the edge");
    // Who is evaluated again after the login converts.
    let again = json!([identify(user("u-1"), 500), feature(user("u-1"), 600), order(user("u-1"), 1000)]);
    let envelopes = [post(BROWSER, 1, Some("tab"), &exposed), post(BROWSER, 2, Some("tab"), &again)];
    assert_eq!(found(&envelopes, "login-split"), Value::Null);
    // A terminal that many log in to is nobody's.
    let mut shared = vec![post(BROWSER, 1, Some("till"), &exposed)];
    shared.extend((0..8).map(|n| post(BROWSER, 2 + n, Some("till"), &json!([order(user(&format!("u-{n}")), 1000)]))));
    assert_eq!(found(&shared, "login-split"), Value::Null);
}

#[test]
fn two_users_of_one_organization_are_no_login() {
    let of = |kind: &str, key: &str, is_anonymous: bool| json!({"kind": "multi", "user": {"key": key, "anonymous": is_anonymous}, kind: {"key": "shared"}});
    let seen = |kind: &str, users: &[&str]| {
        let mut envelopes = vec![post(SERVER, 1, None, &json!([feature(of(kind, "a-1", true), 0)]))];
        envelopes.extend((2..).zip(users).map(|(number, user)| {
            post(
                SERVER,
                number,
                None,
                &json!([identify(of(kind, user, false), 500), order(of(kind, user, false), 1000)]),
            )
        }));
        found(&envelopes, "login-split")
    };
    assert_eq!(seen("organization", &["u-1"]), Value::Null, "the visitor is one of its many");
    assert_eq!(seen("device", &["u-1"])["events"], 1, "who logs in on a device was there before");
    assert_eq!(seen("device", &["u-1", "u-2"]), Value::Null, "a device of two is nobody's");
}

#[test]
fn who_logs_out_or_bought_before_is_no_login() {
    let tab = |requests: &[Value]| {
        let envelopes: Vec<Envelope> =
            (1..).zip(requests).map(|(number, events)| post(BROWSER, number, Some("tab"), events)).collect();
        found(&envelopes, "login-split")
    };
    let bought = json!([identify(user("u-1"), 0), order(user("u-1"), 1000)]);
    let logged_out = json!([identify(anonymous("a-1"), 60_000), feature(anonymous("a-1"), 60_001)]);
    assert_eq!(tab(&[bought, logged_out.clone()]), Value::Null);
    // What was bought before the login, elsewhere, is not lost by it.
    let elsewhere = post(SERVER, 9, None, &json!([order(user("u-1"), 30_000)]));
    let login = post(BROWSER, 2, Some("tab"), &json!([identify(user("u-1"), 70_000), order(user("u-1"), 80_000)]));
    let finding = found(&[post(BROWSER, 1, Some("tab"), &logged_out), elsewhere, login], "login-split");
    assert_eq!(finding["events"], 1);
}

#[test]
fn a_flag_read_for_the_user_before_after_identify_named_another_is_told() {
    let events = json!([
        feature(user("before"), 0),
        identify(user("after"), 500),
        feature(user("before"), 510),
        feature(user("after"), 800),
    ]);
    let finding = found(&[post(BROWSER, 1, None, &events)], "identify-race");
    assert_eq!(
        (&finding["severity"], &finding["confidence"], &finding["events"], &finding["units"]),
        (&json!("warning"), &json!("likely"), &json!(1), &json!(1))
    );
    assert_eq!(
        finding["summary"],
        "1 exposure of x is of a user that identify() had replaced already: before was still evaluated after after was \
         identified."
    );
    // Whatever payloads it is spread over, where the instance says that it is one.
    let spread: Vec<Envelope> = events
        .as_array()
        .unwrap()
        .iter()
        .zip(1..)
        .map(|(event, number)| post(BROWSER, number, Some("tab"), &json!([event])))
        .collect();
    assert_eq!(found(&spread, "identify-race")["events"], 1);
}

#[test]
fn users_that_follow_each_other_in_order_or_share_a_server_are_no_race() {
    let in_order = json!([feature(user("before"), 0), identify(user("after"), 500), feature(user("after"), 510)]);
    assert_eq!(found(&[post(BROWSER, 1, None, &in_order)], "identify-race"), Value::Null);
    let and_back = json!([
        feature(user("before"), 0),
        identify(user("after"), 500),
        identify(user("before"), 600),
        feature(user("before"), 610),
    ]);
    assert_eq!(found(&[post(BROWSER, 1, None, &and_back)], "identify-race"), Value::Null);
    let many = json!([feature(user("one"), 0), identify(user("other"), 500), feature(user("one"), 510)]);
    assert_eq!(found(&[post(SERVER, 1, Some("pod"), &many)], "identify-race"), Value::Null);
    assert_eq!(found(&[post(EDGE, 1, None, &many)], "identify-race"), Value::Null);
}

#[test]
fn a_race_is_told_of_the_instance_and_the_flag_it_was_in() {
    let of_another_flag = |key: &str, t: i64| {
        let mut event = feature(user(key), t);
        event["key"] = json!("g");
        event
    };
    let raced = |evaluated: &dyn Fn(&str, i64) -> Value| {
        let raced = json!([identify(user("A"), 0), evaluated("A", 1), identify(user("B"), 100), evaluated("A", 150)]);
        let later = [identify(user("A"), 4000), feature(user("A"), 5000), feature(user("A"), 6000)];
        let envelopes = [post(BROWSER, 1, Some("one"), &raced), post(BROWSER, 2, Some("other"), &json!(later))];
        found(&envelopes, "identify-race")
    };
    assert_eq!(raced(&of_another_flag), Value::Null, "it skews no experiment");
    assert_eq!(raced(&|key, t| feature(user(key), t))["events"], 1, "the other instance is in order");
}

#[test]
fn a_race_is_told_though_its_user_comes_back_properly() {
    let raced = json!([identify(user("A"), 0), identify(user("B"), 100), feature(user("A"), 150)]);
    let back = json!([identify(user("A"), 8000), feature(user("A"), 9000)]);
    let finding =
        found(&[post(BROWSER, 1, Some("tab"), &raced), post(BROWSER, 2, Some("tab"), &back)], "identify-race");
    assert_eq!((&finding["events"], &finding["units"]), (&json!(1), &json!(1)));
    // However much is in order before it and after it.
    let calm = |from: i64| (0..40).map(|n| feature(user("A"), from + n)).collect::<Vec<_>>();
    let before: Vec<Value> =
        [identify(user("A"), 0)].into_iter().chain((0..7).map(|n| feature(user("A"), 1 + n))).collect();
    let envelopes = [
        post(BROWSER, 1, Some("tab"), &json!(before)),
        post(BROWSER, 2, Some("tab"), &json!([identify(user("B"), 100), feature(user("A"), 150)])),
        post(BROWSER, 3, Some("tab"), &json!([identify(user("A"), 8000)])),
        post(BROWSER, 4, Some("tab"), &json!(calm(9000))),
    ];
    assert_eq!(found(&envelopes, "identify-race")["events"], 1);
}

#[test]
fn accounts_that_are_changed_back_and_forth_are_no_race() {
    for turns in [5, 7, 8, 9, 12, 40] {
        let of = |turn: i64| if turn % 2 == 0 { "A" } else { "B" };
        let turn = |turn: i64| [identify(user(of(turn)), turn * 1000), feature(user(of(turn)), turn * 1000 + 10)];
        let events: Vec<Value> = (0..2 * turns - 1).flat_map(turn).collect();
        assert_eq!(found(&[post(BROWSER, 1, Some("tab"), &json!(events))], "identify-race"), Value::Null, "{turns}");
    }
}

fn sent() -> impl Strategy<Value = (u8, u8, Vec<Value>)> {
    let context = || {
        (any::<bool>(), 0..4_u8).prop_map(|(is_anonymous, key)| {
            let key = format!("k-{key}");
            if is_anonymous { anonymous(&format!("a-{key}")) } else { user(&key) }
        })
    };
    let event = (0..3_u8, context(), 0..50_i64).prop_map(|(kind, context, t)| match kind {
        0 => feature(context, t),
        1 => identify(context, t),
        _ => order(context, t),
    });
    (0..3_u8, 0..4_u8, proptest::collection::vec(event, 1..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_found_depends_on_no_order_and_no_split(
        sent in proptest::collection::vec(sent(), 1..30),
        split in any::<prop::sample::Index>(),
    ) {
        let envelopes: Vec<Envelope> = (1..).zip(&sent).map(|(number, (sender, instance, events))| {
            let sender = [BROWSER, SERVER, EDGE][usize::from(*sender)];
            let instance = (*instance < 3).then(|| format!("i-{instance}"));
            post(sender, number, instance.as_deref(), &json!(events))
        }).collect();
        // The numbers of events are those of their order.
        let told = |state: &State| findings(state).into_iter().map(|mut finding| {
            finding.as_object_mut().unwrap().remove("examples");
            finding
        }).collect::<Vec<_>>();
        let whole = told(&state(&envelopes));
        let mut reversed = envelopes.clone();
        reversed.reverse();
        prop_assert_eq!(told(&state(&reversed)), whole.clone());
        let (one, other) = envelopes.split_at(split.index(envelopes.len() + 1));
        for (one, other) in [(one, other), (other, one)] {
            let mut merged = state(one);
            merged.merge(state(other));
            prop_assert_eq!(told(&merged), whole.clone());
        }
    }
}
