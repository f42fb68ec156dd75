//! The laws of attribution: whatever the order whole requests come in, and however they are split into parts that
//! are judged apart and merged, the report is the same; and what a session shows live is what a file of the same
//! requests comes to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use bytes::Bytes;
use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::intake;
use exptap::report::{Report, build};
use exptap::session::{Session, SessionOptions};
use exptap::verdicts::{self, Judged};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const DAY: i64 = 86_400_000;
const START: i64 = 1_767_225_600_000;

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "checkout"
        event_key = "checkout"
        units = ["user", "device"]
        [[metrics]]
        key = "value"
        event_key = "checkout"
        measure = "value"
        units = ["user"]
        [[metrics]]
        key = "views"
        event_key = "view"
        measure = "count"
        units = ["user", "device"]
        [[metrics]]
        key = "nowhere"
        event_key = "nowhere"
        [[metric_groups]]
        key = "funnel"
        kind = "funnel"
        metrics = ["views", "checkout"]
        [[experiments]]
        key = "by-user"
        flag = "f"
        variations = [{ index = 0 }, { index = 1 }, { index = 2 }]
        metrics = ["checkout", "value"]
        metric_groups = ["funnel"]
        iterations = [
            { id = "a", started_at = 2026-01-01T00:00:00Z, ended_at = 2026-03-01T00:00:00Z },
            { id = "b", started_at = 2026-03-01T00:00:00Z, rollout = { seed = 137, variations = [
                { variation = 0, weight = 25000 }, { variation = 1, weight = 25000 },
                { variation = 0, weight = 50000, untracked = true },
            ] } },
        ]
        [[experiments]]
        key = "by-device"
        flag = "g"
        randomization_unit = "device"
        metrics = ["checkout", "value", "views"]
        started_at = 2026-01-02T00:00:00Z
        # Of the units below it leaves 3 and U1 out; where one of them is exposed all the same, it proves nothing.
        rollout = { seed = 137, variations = [
            { variation = 0, weight = 25000 }, { variation = 1, weight = 25000 },
            { variation = 0, weight = 50000, untracked = true },
        ] }
    "#;
    load::from_text(text, "laws.toml", Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}"))
}

/// Instants that meet the edges: the window, the iterations' ends, one hour again and again, and anywhere.
fn instant() -> impl Strategy<Value = i64> {
    prop_oneof![
        (0..200_i64).prop_map(|day| START + day * DAY / 2),
        (0..4_i64, -1..2_i64).prop_map(|(n, off)| START + n * 90 * DAY + off),
        (0..400_i64).prop_map(|second| START + 5 * DAY + second * 1000),
        Just(START + 59 * DAY),
    ]
}

fn context() -> impl Strategy<Value = Value> {
    let key = prop_oneof![Just("1"), Just("2"), Just("3"), Just("U1"), Just("null")];
    prop_oneof![
        key.clone().prop_map(|key| json!({"kind": "user", "key": key})),
        key.clone().prop_map(|key| json!({"kind": "device", "key": key})),
        (key.clone(), key)
            .prop_map(|(user, device)| json!({"kind": "multi", "user": {"key": user}, "device": {"key": device}})),
        Just(json!({"kind": "organization", "key": "o"})),
    ]
}

fn feature() -> impl Strategy<Value = Value> {
    let reason = prop_oneof![
        6 => Just(json!({"kind": "FALLTHROUGH", "inExperiment": true})),
        1 => Just(json!({"kind": "OFF"})),
        1 => Just(Value::Null),
    ];
    let ratio = prop_oneof![30 => Just(1), 1 => Just(4)];
    (instant(), context(), prop_oneof![Just("f"), Just("g"), Just("other")], 0..4_i64, reason, ratio).prop_map(
        |(t, context, flag, variation, reason, ratio)| {
            json!({"kind": "feature", "creationDate": t, "key": flag, "variation": variation, "version": 3, "reason": reason, "context": context, "samplingRatio": ratio})
        },
    )
}

fn custom() -> impl Strategy<Value = Value> {
    let key = prop_oneof![4 => Just("checkout"), 2 => Just("view"), 1 => Just("Checkout"), 1 => Just("nowhere"), 1 => Just("$ld:x")];
    let value = prop_oneof![Just(Value::Null), Just(json!(1.5)), Just(json!(-2)), Just(json!("7"))];
    (instant(), context(), key, value).prop_map(|(t, context, key, value)| {
        json!({"kind": "custom", "creationDate": t, "key": key, "metricValue": value, "context": context})
    })
}

fn summary() -> impl Strategy<Value = Value> {
    (instant(), prop_oneof![Just("f"), Just("g")], 0..4_i64, 1..5_i64, any::<bool>()).prop_map(|(t, flag, variation, count, user)| {
        let kinds = if user { json!(["user"]) } else { json!(["user", "device"]) };
        json!({"kind": "summary", "startDate": t - 5, "endDate": t, "features": {flag: {"default": 0, "contextKinds": kinds,
            "counters": [{"variation": variation, "version": 3, "value": 1, "count": count}]}}})
    })
}

fn event() -> impl Strategy<Value = Value> {
    prop_oneof![5 => feature(), 6 => custom(), 1 => summary(), 1 => Just(json!({"kind": "index"})), 1 => Just(json!(7))]
}

/// A request: sender, payload id, events. A payload id always carries the same events, as a retry does.
type Sent = (usize, Option<usize>, Vec<Value>);

fn requests() -> impl Strategy<Value = Vec<Sent>> {
    let events = || proptest::collection::vec(event(), 0..6);
    let plain = (0..2_usize, Just(None), events());
    let payloads = proptest::collection::vec(events(), 4);
    (proptest::collection::vec(plain, 0..8), payloads, proptest::collection::vec(0..4_usize, 0..6)).prop_map(
        |(mut plain, payloads, retries)| {
            plain.extend(retries.into_iter().map(|id| (id % 2, Some(id), payloads[id].clone())));
            plain
        },
    )
}

fn envelope(number: usize, (sender, payload, events): &Sent) -> Envelope {
    let body = Bytes::from(Value::from(events.clone()).to_string());
    let mut headers =
        vec![("user-agent".to_owned(), ["NodeJSClient/9.13.7", "PythonClient/9.18.2"][*sender].to_owned())];
    if let Some(id) = payload {
        headers.push(("x-launchdarkly-payload-id".to_owned(), format!("payload-{id}")));
    }
    Envelope {
        arrival_ms: START + 300 * DAY + number as i64,
        request: number as u64 + 1,
        method: "POST".to_owned(),
        path: "/bulk".to_owned(),
        headers,
        wire_bytes: body.len() as u64,
        body,
        ..Envelope::default()
    }
}

fn judged(catalog: &Catalog, envelopes: &[Envelope]) -> State {
    judged_from(catalog, envelopes, None)
}

/// Judged where everything is observed only from an instant on.
fn judged_from(catalog: &Catalog, envelopes: &[Envelope], observed_from_ms: Option<i64>) -> State {
    let options = Options { keep_receipts: true, observed_from_ms, ..Options::default() };
    let mut state = State::new(Arc::new(Judge::new(catalog)), options);
    for envelope in envelopes {
        intake::envelope(&mut state, &catalog.environment, envelope, |_, _| {});
    }
    state
}

/// A state with the events it judged, whose verdicts are asked again and again.
#[derive(Clone)]
struct Followed {
    state: State,
    judged: Vec<Judged>,
    changes: Vec<String>,
}

impl Followed {
    fn new(catalog: &Catalog, options: Options) -> Self {
        Self { state: State::new(Arc::new(Judge::new(catalog)), options), judged: Vec::new(), changes: Vec::new() }
    }

    fn take(&mut self, catalog: &Catalog, envelope: &Envelope) {
        let judged = &mut self.judged;
        intake::envelope(&mut self.state, &catalog.environment, envelope, |state, received| {
            judged.push(Judged::new(state, &received, Some(envelope.request), Some(envelope.arrival_ms)));
        });
        self.state.advance(envelope.arrival_ms - 3);
        self.changes.extend(self.state.take_changes().iter().map(|change| format!("{change:?}")));
    }

    /// The exact report, the rows of all verdicts, every unit and what changed on the way.
    fn seen(&self, catalog: &Catalog) -> (Value, Vec<Value>, Vec<String>, Vec<String>) {
        let rows = self.judged.iter().flat_map(|event| verdicts::rows(&self.state, catalog, event));
        let rows = rows.map(|row| serde_json::to_value(row).unwrap()).collect();
        let units = (0..self.state.units().len() as u32).map(|unit| {
            let (kind, key) = self.state.units().name(unit).unwrap();
            assert_eq!(self.state.units().find(kind, key), Some(unit));
            format!("{kind}/{key} {:?}", self.state.states_of(unit).collect::<Vec<_>>())
        });
        let report = serde_json::to_value(build::report(&self.state, catalog)).unwrap();
        (report, rows, units.collect(), self.changes.clone())
    }
}

/// The report without what is a matter of order by its nature: the numbers of example events. Sums are rounded:
/// floating point adds differently in another order.
fn comparable(report: &Report) -> Value {
    let mut report = report.clone();
    for finding in &mut report.findings {
        finding.examples.clear();
    }
    report
        .findings
        .sort_by_key(|finding| format!("{:?}", (finding.code, &finding.experiment, &finding.metric, &finding.summary)));
    for experiment in &mut report.experiments {
        for metric in experiment.arms.iter_mut().flat_map(|arm| &mut arm.metrics) {
            metric.sum = (metric.sum * 1e6).round() / 1e6;
            metric.mean = metric.mean.map(|mean| (mean * 1e6).round() / 1e6);
            metric.interval =
                metric.interval.map(|[low, high]| [(low * 1e6).round() / 1e6, (high * 1e6).round() / 1e6]);
        }
    }
    serde_json::to_value(&report).unwrap()
}

fn report(state: &State, catalog: &Catalog) -> Value {
    comparable(&build::report(state, catalog))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_order_of_whole_requests_gives_the_same_report(requests in requests(), seed in any::<u64>(), late in any::<bool>()) {
        let catalog = catalog();
        let envelopes: Vec<Envelope> = requests.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        let mut other = envelopes.clone();
        other.sort_by_key(|envelope| (envelope.request ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let report = |envelopes: &[Envelope]| report(&judged_from(&catalog, envelopes, late.then_some(START + 200 * DAY)), &catalog);
        prop_assert_eq!(report(&envelopes), report(&other));
    }

    #[test]
    fn parts_judged_apart_and_merged_in_any_way_give_the_same_report(requests in requests(), first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>(), late in any::<bool>()) {
        let catalog = catalog();
        let envelopes: Vec<Envelope> = requests.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        let from = late.then_some(START + 200 * DAY);
        let whole = report(&judged_from(&catalog, &envelopes, from), &catalog);
        let (a, b) = (first.index(envelopes.len() + 1), second.index(envelopes.len() + 1));
        let (a, b) = (a.min(b), a.max(b));
        let part = |range: std::ops::Range<usize>| judged_from(&catalog, &envelopes[range], from);
        let end = envelopes.len();

        let mut left_first = part(0..a);
        left_first.merge(part(a..b));
        left_first.merge(part(b..end));
        prop_assert_eq!(&report(&left_first, &catalog), &whole, "(1 + 2) + 3");

        let mut right = part(a..b);
        right.merge(part(b..end));
        let mut right_first = part(0..a);
        right_first.merge(right);
        prop_assert_eq!(&report(&right_first, &catalog), &whole, "1 + (2 + 3)");

        let mut reversed = part(b..end);
        reversed.merge(part(a..b));
        reversed.merge(part(0..a));
        prop_assert_eq!(&report(&reversed, &catalog), &whole, "3 + 2 + 1");
    }

    #[test]
    fn what_a_session_shows_in_the_end_is_what_a_file_of_the_same_requests_comes_to(requests in requests(), ticks in any::<u64>()) {
        let catalog = catalog();
        let envelopes: Vec<Envelope> = requests.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        let options = SessionOptions { observed_from_ms: Some(0), grace_ms: 3, ..SessionOptions::from_now(0) };
        let mut session = Session::new(Some(catalog.clone()), options);
        for (index, envelope) in envelopes.iter().enumerate() {
            session.receive(envelope);
            if ticks >> (index % 64) & 1 == 1 {
                session.advance(envelope.arrival_ms + 2);
            }
        }
        session.advance(START + 400 * DAY);
        let rows: Vec<_> = (session.journal().first()..session.journal().next()).map(|event| session.row(event).unwrap().clone()).collect();
        let live = session.report();
        for (name, count) in &live.totals.verdicts {
            let of_rows = rows.iter().filter(|row| row.category().name() == *name).count() as u64;
            prop_assert_eq!(of_rows, *count, "rows sorted under {}", name);
        }
        let mut live = (*live).clone();
        prop_assert_eq!(live.totals.verdicts.remove("pending"), Some(0));
        live.observed_from = None;
        prop_assert_eq!(comparable(&live), report(&judged(&catalog, &envelopes), &catalog));
    }

    #[test]
    fn a_session_that_keeps_few_conversions_comes_to_the_same_where_exposures_come_first(requests in requests(), cap in 0..6_usize) {
        let catalog = catalog();
        let mut envelopes: Vec<Envelope> = requests.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        // Exposures first, each in a request of its own, so that nothing has to be judged again later.
        let is_feature = |event: &Value| event["kind"] == "feature";
        let sent = |events: Vec<Value>| (0, None, events);
        let all: Vec<Value> = requests.iter().flat_map(|(_, _, events)| events.clone()).collect();
        let (features, mut others): (Vec<Value>, Vec<Value>) = all.into_iter().partition(is_feature);
        // In the order of time: which of several conversions is the first is final too.
        others.sort_by_key(|event| event["creationDate"].as_i64());
        envelopes.clear();
        for (number, event) in features.into_iter().chain(others).enumerate() {
            envelopes.push(envelope(number, &sent(vec![event])));
        }
        let options = SessionOptions { observed_from_ms: Some(0), grace_ms: 0, max_conversions: cap, ..SessionOptions::from_now(0) };
        let mut session = Session::new(Some(catalog.clone()), options);
        for envelope in &envelopes {
            session.receive(envelope);
            session.advance(envelope.arrival_ms);
        }
        let mut live = (*session.report()).clone();
        live.totals.verdicts.remove("pending");
        live.observed_from = None;
        // Funnels are made from the conversions still held, and say so in the documentation; the look-alikes of units
        // count the conversions held as well.
        let strip = |mut report: Value| {
            for experiment in report["experiments"].as_array_mut().unwrap() {
                experiment["funnels"] = Value::Null;
                for arm in experiment["arms"].as_array_mut().unwrap() {
                    arm["metrics"] = arm["metrics"].as_array().unwrap().iter().map(|metric| metric["converting_units"].clone()).collect();
                }
            }
            report["findings"].as_array_mut().unwrap().retain(|finding| finding["code"] != "key-near-miss" && finding["code"] != "placeholder-key");
            report
        };
        prop_assert_eq!(strip(comparable(&live)), strip(report(&judged(&catalog, &envelopes), &catalog)));
    }

    #[test]
    fn what_a_bucket_proves_is_the_same_whatever_was_observed(requests in requests()) {
        let catalog = catalog();
        let envelopes: Vec<Envelope> = requests.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        let proven = |from| {
            let state = judged_from(&catalog, &envelopes, from);
            let verdicts: Vec<(u64, u32)> = state.conversions().filter(|entry| entry.code.name() == "unit-not-allocated").map(|entry| (state.event_of(entry), entry.slot)).collect();
            for entry in state.conversions().filter(|entry| entry.code.name() == "unit-not-allocated") {
                let unit = state.state(entry.state).unwrap();
                let (_, key) = state.units().name(unit.unit).unwrap();
                prop_assert!(matches!(key, "3" | "U1") && unit.points.is_empty(), "{} was not left out", key);
            }
            Ok(verdicts)
        };
        prop_assert_eq!(proven(None)?, proven(Some(START + 200 * DAY))?);
    }

    #[test]
    fn every_event_is_sorted_once_and_every_match_has_one_verdict(requests in requests()) {
        let catalog = catalog();
        let envelopes: Vec<Envelope> = requests.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        let report = build::report(&judged(&catalog, &envelopes), &catalog);
        let totals = &report.totals;
        prop_assert_eq!(totals.verdicts.values().sum::<u64>(), totals.events);
        prop_assert_eq!(totals.by_kind.values().sum::<u64>() + totals.undecodable, totals.events);
        for experiment in &report.experiments {
            for metric in &experiment.metrics {
                prop_assert_eq!(metric.received, metric.verdicts.values().sum::<u64>());
                let conversions: u64 = experiment.arms.iter().flat_map(|arm| &arm.metrics).filter(|arm| arm.metric == metric.metric).map(|arm| arm.conversions).sum();
                prop_assert_eq!(metric.counted, conversions);
            }
        }
    }
}

proptest! {
    // Fewer and longer: a clone shares leaves only of what has grown to several.
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_clone_goes_on_as_the_original_does_and_sees_nothing_of_it(
        requests in requests(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
        cap in prop_oneof![Just(usize::MAX), 0..6_usize],
        shares_clones in any::<bool>(),
        keep_receipts in any::<bool>(),
        rounds in 1..40_usize,
    ) {
        let catalog = catalog();
        // Many times over, with other payload ids, instants and units, so that there is more than one leaf of everything.
        let again = |round: usize| {
            let text = serde_json::to_string(&requests).unwrap().replace(r#""key":"1""#, &format!(r#""key":"1-{round}""#));
            let more: Vec<Sent> = serde_json::from_str(&text).unwrap();
            more.into_iter().map(move |(sender, payload, events)| (sender, payload.map(|id| id + 4 * (round / 2)), events))
        };
        let all: Vec<Sent> = (0..rounds).flat_map(again).collect();
        let envelopes: Vec<Envelope> = all.iter().enumerate().map(|(number, sent)| envelope(number, sent)).collect();
        let options = Options {
            shares_clones, keep_receipts, max_conversions: cap, grace_ms: Some(5), track_changes: true, ..Options::default()
        };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(envelopes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut original = Followed::new(&catalog, options);
        let mut clones = Vec::new();
        for at in 0..=envelopes.len() {
            for _ in cuts.iter().filter(|cut| **cut == at) {
                clones.push((at, original.clone(), original.seen(&catalog)));
            }
            if let Some(envelope) = envelopes.get(at) {
                original.take(&catalog, envelope);
            }
        }
        let whole = original.seen(&catalog);
        for (at, clone, then) in clones {
            prop_assert_eq!(&clone.seen(&catalog), &then, "the clone taken at {} after the original went on", at);
            let mut twin = clone.clone();
            for envelope in &envelopes[at..] {
                twin.take(&catalog, envelope);
            }
            prop_assert_eq!(&twin.seen(&catalog), &whole, "gone on from {}", at);
            prop_assert_eq!(&clone.seen(&catalog), &then, "the clone taken at {} after another clone went on", at);
            prop_assert_eq!(&original.seen(&catalog), &whole, "the original after a clone went on from {}", at);
        }
    }
}
