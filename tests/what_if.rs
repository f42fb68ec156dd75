//! The same events under a changed catalog, mapping or clock: what is different, and that it is exactly that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod held;

use exptap::attribution::state::Clock;
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::headless::{self, Passes, Request};
use exptap::input::Source;
use exptap::report::{Report, build};
use exptap::what_if::difference::Transition;
use exptap::what_if::judgement::{Events, Held};
use exptap::what_if::remedy::{self, Bench};
use exptap::what_if::{CatalogEdit, Change, Difference, Judgement, MappingEdit, markdown, text};
use held::{ARRIVAL, held, post};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

fn recording(name: &str) -> Request {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings").join(name);
    Request {
        sources: vec![Source::File(path)],
        catalog: None,
        mapping: None,
        flags: None,
        clock: Clock::Creation,
        ..Request::default()
    }
}

fn set(edits: &[&str]) -> Change {
    Change { set: edits.iter().map(|edit| CatalogEdit::parse(edit).unwrap()).collect(), ..Change::default() }
}

fn map_try(edit: &str) -> Change {
    Change { map_try: vec![MappingEdit::parse(edit).unwrap()], ..Change::default() }
}

/// The difference that a change makes.
fn tried<E: Events>(events: &E, catalog: &Catalog, change: &Change) -> Difference
where
    E::Error: std::fmt::Debug,
{
    let before = Judgement::of(events, catalog.clone(), Clock::Creation).unwrap();
    let after = Judgement::of(events, change.apply(catalog).unwrap(), change.clock.unwrap_or_default()).unwrap();
    Difference::between(&before, &after, change.words())
}

fn on_recording(name: &str, change: &Change) -> Difference {
    let passes = Passes::open(&recording(name)).unwrap();
    tried(&passes, passes.catalog(), change)
}

fn words(transitions: &[Transition]) -> Vec<String> {
    transitions.iter().map(|it| format!("{} {}", it.events, text::transition(it, |arm| format!("arm {arm}")))).collect()
}

#[test]
fn a_metric_that_analyses_the_unit_counts_what_was_lost_by_the_mismatch() {
    let change = set(&[r#"metric.checkout-conversion.units=["user", "device"]"#]);
    let difference = on_recording("metric-unit-mismatch.exptap", &change);
    let experiment = &difference.experiments[0];
    assert_eq!(words(&experiment.metrics[0].verdicts), ["14 metric-unit-mismatch → counted"]);
    assert_eq!((experiment.metrics[0].counted.before, experiment.metrics[0].counted.after), (0, 14));
    assert_eq!(experiment.units.exposed.before, 40);
    assert_eq!((experiment.units.gained, experiment.units.lost, experiment.units.moved), (0, 0, 0));
    let converting: u64 = experiment.arms.iter().map(|arm| arm.metrics[0].converting_units.after).sum();
    assert_eq!(converting, 14);
    assert_eq!(difference.events.changed, 14);
    let findings: Vec<_> =
        difference.findings.iter().map(|it| (it.code.name(), it.events.before, it.events.after)).collect();
    assert_eq!(findings, [("metric-unit-mismatch", 14, 0)]);
}

#[test]
fn an_experiment_by_another_unit_has_other_units_and_counts_what_lacked_the_old_one() {
    let change = set(&["experiment.checkout-cta-test.randomization_unit=user"]);
    let difference = on_recording("event-lacks-unit.exptap", &change);
    let experiment = &difference.experiments[0];
    assert_eq!(
        (experiment.randomization_unit.before.as_deref(), experiment.randomization_unit.after.as_deref()),
        (Some("device"), Some("user"))
    );
    assert_eq!(
        words(&experiment.metrics[0].verdicts),
        ["20 event-lacks-unit → counted", "4 counted → counted-no-effect"]
    );
    assert_eq!(
        (experiment.units.gained, experiment.units.lost),
        (experiment.units.exposed.after, experiment.units.exposed.before)
    );
    assert_eq!(experiment.units.moved, 0);
    assert!(
        text::text(&difference).contains("checkout-cta-test · iteration 1 · by device → user\n"),
        "{}",
        text::text(&difference)
    );
}

#[test]
fn a_metric_with_the_event_key_that_was_sent_counts() {
    let change = set(&["metric.checkout-conversion.event_key=chekout"]);
    let difference = on_recording("event-key-typo.exptap", &change);
    assert_eq!(words(&difference.experiments[0].metrics[0].verdicts), ["15 no-metric-for-key → counted"]);
    assert_eq!(difference.elsewhere, []);
    assert_eq!(
        (difference.experiments[0].metrics[0].received.before, difference.experiments[0].metrics[0].received.after),
        (0, 15)
    );
}

#[test]
fn ids_that_do_not_match_are_not_mended_by_another_unit_and_the_difference_says_what_is_lost_instead() {
    let change = set(&[
        "experiment.checkout-cta-test.randomization_unit=unauthenticatedUser",
        r#"metric.checkout-conversion.units=["user", "unauthenticatedUser"]"#,
    ]);
    let difference = on_recording("segment-id-mismatch.exptap", &change);
    let experiment = &difference.experiments[0];
    assert_eq!(words(&experiment.metrics[0].verdicts), ["15 no-exposure → no-exposure, for another unit"]);
    assert_eq!((experiment.units.gained, experiment.units.lost), (0, 30));
    assert!(
        words(&experiment.exposures).contains(&"30 exposure → exposure-lacks-unit".to_owned()),
        "{:?}",
        words(&experiment.exposures)
    );
}

#[test]
fn what_changes_nothing_is_said_to_change_nothing() {
    let difference = on_recording("healthy.exptap", &set(&["experiment.checkout-cta-test.layer=checkout"]));
    assert!(difference.is_empty());
    let report = text::text(&difference);
    assert_eq!(
        report,
        format!(
            "What if\n  catalog: experiment.checkout-cta-test.layer=checkout\n\nNothing changes: {} events, and every verdict is the same.\n",
            difference.events.received
        )
    );
    assert!(markdown::text(&difference).contains("Nothing changes"));
}

/// What a difference says of one metric or evaluation, found the long way: by the rows that `exptap verdicts` prints.
type Counted = BTreeMap<(String, String, String), u64>;

fn brute_force(request: &Request, before: &Catalog, after: &Catalog, clocks: [Clock; 2]) -> Counted {
    let rows = |catalog: &Catalog, clock: Clock| -> Vec<Value> {
        let request = Request {
            catalog: Some(catalog.clone()),
            mapping: Some(Arc::clone(&catalog.destination)),
            clock,
            ..request.clone()
        };
        let mut out = Vec::new();
        headless::verdicts(&request, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    by_rows(&rows(before, clocks[0]), &rows(after, clocks[1]))
}

fn by_rows(before: &[Value], after: &[Value]) -> Counted {
    type Rows = BTreeMap<(u64, String), String>;
    // Per event and place the verdict, and of events that no experiment is about why.
    let table = |rows: &[Value]| -> (Rows, BTreeMap<u64, String>) {
        let (mut placed, mut apart) = (Rows::new(), BTreeMap::new());
        for row in rows {
            let event = row["event"].as_u64().unwrap();
            let verdict = row["verdict"].as_str().unwrap().to_owned();
            if row["experiment"].is_null() {
                apart.insert(event, verdict);
            } else {
                placed
                    .insert((event, format!("{}/{}/{}", row["experiment"], row["iteration"], row["metric"])), verdict);
            }
        }
        (placed, apart)
    };
    let ((ours, our_apart), (theirs, their_apart)) = (table(before), table(after));
    let mut counted = Counted::new();
    let places: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for (event, place) in places {
        let side = |rows: &Rows, apart: &BTreeMap<u64, String>| {
            rows.get(&(*event, place.clone()))
                .cloned()
                .or_else(|| apart.get(event).filter(|it| *it != "not-an-experiment-event").cloned())
        };
        let (one, other) = (side(&ours, &our_apart), side(&theirs, &their_apart));
        if one != other {
            let key = (place.clone(), one.unwrap_or_default(), other.unwrap_or_default());
            *counted.entry(key).or_default() += 1;
        }
    }
    counted
}

/// The same as the difference has it, for the verdicts that are another code.
fn told(difference: &Difference) -> Counted {
    let mut counted = Counted::new();
    let mut add = |place: String, transitions: &[Transition]| {
        for it in transitions.iter().filter(|it| it.before != it.after) {
            let name = |code: Option<exptap::reason::ReasonCode>| code.map_or("", |code| code.name()).to_owned();
            *counted.entry((place.clone(), name(it.before), name(it.after))).or_default() += it.events;
        }
    };
    for experiment in &difference.experiments {
        let of = |metric: Value| format!("{}/{}/{metric}", json!(experiment.key), json!(experiment.iteration));
        add(of(Value::Null), &experiment.exposures);
        for metric in &experiment.metrics {
            add(of(json!(metric.metric)), &metric.verdicts);
        }
    }
    counted
}

/// Units, converting units and conversions, by arm and metric.
type Figures = BTreeMap<(i64, String), (u64, u64, u64)>;

fn figures(report: &Report, experiment: &str, iteration: &str) -> Option<Figures> {
    let found = report.experiments.iter().find(|it| it.key == experiment && it.iteration == iteration)?;
    Some(
        found
            .arms
            .iter()
            .flat_map(|arm| {
                arm.metrics.iter().map(|metric| {
                    ((arm.variation, metric.metric.clone()), (arm.units, metric.converting_units, metric.conversions))
                })
            })
            .collect(),
    )
}

#[test]
fn every_recording_under_every_sort_of_change_differs_by_what_comparing_row_by_row_finds() {
    let mut compared = 0;
    for entry in std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The large one is judged in the tests of the replay; here it would only take time.
        if !name.ends_with(".exptap") {
            continue;
        }
        let request = recording(&name);
        let passes = Passes::open(&request).unwrap();
        let base = passes.catalog().clone();
        let Some(experiment) = base.experiments.first() else { continue };
        let key = &experiment.key;
        let changes = [
            set(&[&format!("experiment.{key}.randomization_unit=user")]),
            set(&[&format!("experiment.{key}.randomization_unit=device")]),
            set(&[
                &format!("experiment.{key}.started_at=2026-11-22T05:37:20Z"),
                &format!("experiment.{key}.ended_at=2026-11-22T05:37:24Z"),
            ]),
            set(&[&format!("metric.{}.event_key=chekout", base.metrics[0].key)]),
            set(&[&format!("metric.{}.measure=value", base.metrics[0].key)]),
            set(&[&format!("experiment.{key}.metrics=[]")]),
            Change { clock: Some(Clock::Received), ..Change::default() },
        ];
        for change in changes {
            let difference = tried(&passes, &base, &change);
            let after = change.apply(&base).unwrap();
            let clock = change.clock.unwrap_or_default();
            let expected = brute_force(&request, &base, &after, [Clock::Creation, clock]);
            assert_eq!(told(&difference), expected, "{name} {:?}", change.words());
            let report = |catalog: &Catalog, clock| {
                let request = Request { catalog: Some(catalog.clone()), clock, ..request.clone() };
                headless::read(&request).unwrap().report()
            };
            let (ours, theirs) = (report(&base, Clock::Creation), report(&after, clock));
            for experiment in &difference.experiments {
                let [before, after] =
                    [&ours, &theirs].map(|report| figures(report, &experiment.key, &experiment.iteration));
                for arm in &experiment.arms {
                    for metric in &arm.metrics {
                        let key = (arm.variation, metric.metric.clone());
                        let of = |side: &Option<Figures>| side.as_ref().and_then(|it| it.get(&key).copied());
                        let before = of(&before).unwrap_or_default();
                        let after = of(&after).unwrap_or_default();
                        assert_eq!((metric.converting_units.before, metric.conversions.before), (before.1, before.2));
                        assert_eq!((metric.converting_units.after, metric.conversions.after), (after.1, after.2));
                    }
                }
            }
            compared += 1;
        }
    }
    assert!(compared >= 70, "{compared}");
}

const SHOP: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "Order Completed"
units = ["user", "device"]

[[experiments]]
key = "checkout-cta-test"
flag = "checkout-cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

fn shop(unit: &str) -> Catalog {
    let text = SHOP.replace(r#"randomization_unit = "device""#, &format!(r#"randomization_unit = "{unit}""#));
    load::from_text(&text, "shop.toml", Format::Toml, Origin::File).unwrap()
}

/// Four hundred and three orders by way of Segment: 391 of them on a device that was exposed.
fn orders() -> Vec<Arc<Envelope>> {
    let exposures: Vec<Value> = (0..391)
        .map(|index| {
            json!({"kind": "feature", "creationDate": ARRIVAL - 3_600_000, "key": "checkout-cta", "variation": index % 2,
                "reason": {"kind": "FALLTHROUGH", "inExperiment": true},
                "context": {"kind": "multi", "user": {"key": format!("u-{index}")}, "device": {"key": format!("d-{index}")}}})
        })
        .collect();
    let order = |index: usize| {
        json!({"type": "track", "event": "Order Completed", "userId": format!("u-{index}"), "anonymousId": format!("a-{index}"),
            "messageId": format!("m-{index}"), "timestamp": "2026-11-21T07:59:58.000Z", "properties": {"total": index, "sku": "x"},
            "context": {"device": {"id": format!("d-{index}"), "type": "ios"}, "app": {"installs": [format!("d-{index}")]}}})
    };
    let mut requests = vec![post(1, "/bulk", &json!(exposures))];
    let bodies: Vec<Value> = (0..403).map(order).collect();
    requests
        .extend(bodies.chunks(50).zip(2..).map(|(batch, number)| post(number, "/v1/batch", &json!({"batch": batch}))));
    requests
}

#[test]
fn the_field_that_joins_most_is_proposed_with_what_it_comes_to() {
    let requests = orders();
    let events = held(&requests);
    let base = Judgement::of(&events, shop("device"), Clock::Creation).unwrap();
    let mut report = build::report(&base.state, &base.catalog);
    let lacks: Vec<(&str, u64)> = report.findings.iter().map(|it| (it.code.name(), it.events)).collect();
    assert_eq!(lacks[0], ("event-lacks-unit", 403));
    remedy::amend(&mut Bench::new(&events, base), &mut report).unwrap();
    assert_eq!(
        report.findings[0].fix,
        "Segment, Track Event mapping, Additional Context Keys: device = $.context.device.id (matches 97 % of 403 \
         events; tried: 391 of 403 count, 12 then no-exposure)."
    );
    let difference = tried(&events, &shop("device"), &map_try("additional_context_keys.device=$.context.device.id"));
    assert_eq!(
        words(&difference.experiments[0].metrics[0].verdicts),
        ["391 event-lacks-unit → counted", "12 event-lacks-unit → no-exposure"]
    );
    assert_eq!((difference.events.received, difference.events.changed), (794, 403));
    assert_eq!((difference.events.only_before, difference.events.only_after), (0, 0));
    // The fields that hold nothing that was exposed are not mistaken for one that does.
    let wrong = tried(&events, &shop("device"), &map_try("additional_context_keys.device=$.anonymousId"));
    assert_eq!(words(&wrong.experiments[0].metrics[0].verdicts), ["403 event-lacks-unit → no-exposure"]);
}

#[test]
fn an_event_lost_in_two_iterations_is_one_event_and_what_counts_in_one_of_them_is_not_news_in_the_other() {
    let iterations = r#"iterations = [
  { id = "1", started_at = "2026-01-01T00:00:00Z", ended_at = "2026-06-01T00:00:00Z" },
  { id = "2", started_at = "2026-06-02T00:00:00Z" },
]"#;
    let text = SHOP.replace(r#"started_at = "2026-01-01T00:00:00Z""#, iterations);
    let shop = load::from_text(&text, "shop.toml", Format::Toml, Origin::File).unwrap();
    let exposures: Vec<Value> = (0..40)
        .map(|index| {
            json!({"kind": "feature", "creationDate": ARRIVAL - 3_600_000, "key": "checkout-cta", "variation": index % 2,
                "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "device", "key": format!("d-{index}")}})
        })
        .collect();
    let orders: Vec<Value> = (0..40)
        .map(|index| {
            json!({"type": "track", "event": "Order Completed", "userId": format!("u-{index}"),
                "timestamp": "2026-11-21T07:59:58.000Z", "context": {"device": {"id": format!("d-{index}")}}})
        })
        .collect();
    let requests = [post(1, "/bulk", &json!(exposures)), post(2, "/v1/batch", &json!({"batch": orders}))];
    let events = held(&requests);
    let base = Judgement::of(&events, shop.clone(), Clock::Creation).unwrap();
    let mut report = build::report(&base.state, &base.catalog);
    assert_eq!((report.findings[0].code.name(), report.findings[0].events), ("event-lacks-unit", 40));
    remedy::amend(&mut Bench::new(&events, base), &mut report).unwrap();
    assert_eq!(
        report.findings[0].fix,
        "Segment, Track Event mapping, Additional Context Keys: device = $.context.device.id (matches 100 % of 40 \
         events; tried: 40 of 40 count)."
    );
    // The iterations are still told of one by one where everything is.
    let difference = tried(&events, &shop, &map_try("additional_context_keys.device=$.context.device.id"));
    let verdicts = |index: usize| words(&difference.experiments[index].metrics[0].verdicts);
    assert_eq!(verdicts(0), ["40 event-lacks-unit → after-iteration-end"]);
    assert_eq!(verdicts(1), ["40 event-lacks-unit → counted"]);
}

#[test]
fn where_the_kind_is_the_one_segment_puts_the_user_under_the_cause_is_shown_and_the_mapping_left_alone() {
    // The SDK knows visitors by their anonymous id, Segment sends the account.
    let exposures: Vec<Value> = (0..8)
        .map(|index| {
            json!({"kind": "feature", "creationDate": ARRIVAL - 3_600_000, "key": "checkout-cta", "variation": 1,
                "reason": {"kind": "FALLTHROUGH", "inExperiment": true},
                "context": {"kind": "user", "key": format!("a-{index}")}})
        })
        .collect();
    let orders: Vec<Value> = (0..8)
        .map(|index| {
            json!({"type": "track", "event": "Order Completed", "userId": format!("u-{index}"), "anonymousId": format!("a-{index}"),
                "timestamp": "2026-11-21T07:59:58.000Z"})
        })
        .collect();
    let requests = [post(1, "/bulk", &json!(exposures)), post(2, "/v1/batch", &json!({"batch": orders}))];
    let events = held(&requests);
    let base = Judgement::of(&events, shop("user"), Clock::Creation).unwrap();
    let mut report = build::report(&base.state, &base.catalog);
    remedy::amend(&mut Bench::new(&events, base), &mut report).unwrap();
    let finding = report.findings.iter().find(|it| it.events == 8).unwrap();
    assert_eq!(
        finding.fix,
        "Evaluate checkout-cta with the user key that Segment sends (userId, else anonymousId), or let a multi-context \
         carry both ids. The cause: the exposed user keys are what Segment has in $.anonymousId (matches 100 % of 8 \
         events; tried as the Context Key, to be sure: 8 of 8 count). Setting it in the mapping would take the user away \
         from every other metric: last resort."
    );
}

#[test]
fn a_mapping_that_makes_more_events_or_fewer_is_compared_by_what_was_received() {
    let requests = orders();
    let events = held(&requests);
    let none = tried(&events, &shop("device"), &map_try("enabled=false"));
    assert_eq!(words(&none.experiments[0].metrics[0].verdicts), ["403 event-lacks-unit → segment-not-subscribed"]);
    // Alias User takes track calls as well: two events of each.
    let both = tried(&events, &shop("device"), &map_try("mapping.1.subscribe=type = \"track\""));
    assert_eq!((both.events.received, both.events.changed, both.events.only_after), (794, 403, 403));
    assert_eq!(words(&both.elsewhere), ["403 no event → not-an-experiment-event"]);
    assert!(both.experiments.iter().all(|experiment| !experiment.is_changed()));
    assert_eq!(both.verdicts.after["not-about-an-experiment"], 403);
    let examples: Vec<[Option<u64>; 2]> = both.elsewhere[0].examples.clone();
    assert_eq!(examples[0], [None, Some(392)]);
}

#[test]
fn the_fixes_of_findings_are_tried_on_the_recordings() {
    let fix = |name: &str, code: &str| {
        let request = recording(name);
        let read = headless::read(&request).unwrap();
        let mut report = read.report();
        headless::try_fixes(&request, &read, &mut report).unwrap();
        report.findings.iter().find(|it| it.code.name() == code).unwrap().fix.clone()
    };
    assert!(
        fix("metric-unit-mismatch.exptap", "metric-unit-mismatch")
            .ends_with(" Tried: metric.checkout-conversion.units=[\"user\",\"device\"]: 14 of 14 count."),
        "{}",
        fix("metric-unit-mismatch.exptap", "metric-unit-mismatch")
    );
    assert!(
        fix("event-key-typo.exptap", "event-key-case")
            .ends_with(" Tried: metric.checkout-conversion.event_key=chekout: 15 of 15 count.")
    );
    assert!(
        fix("metric-not-attached.exptap", "metric-not-in-experiment")
            .contains("Tried: experiment.checkout-cta-test.metrics="),
        "{}",
        fix("metric-not-attached.exptap", "metric-not-in-experiment")
    );
    assert!(
        fix("experiment-not-running.exptap", "after-iteration-end")
            .contains("Tried: experiment.checkout-cta-test.ended_at=null: ")
    );
    // What an application has to change cannot be tried here.
    assert!(!fix("event-lacks-unit.exptap", "event-lacks-unit").contains("tried"));
    assert!(!fix("no-exposure.exptap", "no-exposure").contains("tried"));
}

#[test]
fn json_is_as_documented() {
    let difference =
        on_recording("event-lacks-unit.exptap", &set(&["experiment.checkout-cta-test.randomization_unit=user"]));
    let json = serde_json::to_value(&difference).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(json["exptap_what_if"], 1);
    assert_eq!(keys(&json), "catalog changes clock elsewhere events experiments exptap_what_if findings verdicts");
    assert_eq!(keys(&json["events"]), "changed only_after only_before received");
    let experiment = &json["experiments"][0];
    assert_eq!(keys(experiment), "arms exposures iteration key metrics randomization_unit units");
    assert_eq!(keys(&experiment["units"]), "examples exposed gained lost moved");
    assert_eq!(keys(&experiment["arms"][0]), "metrics name units variation");
    assert_eq!(keys(&experiment["metrics"][0]), "counted metric received unchanged verdicts");
    assert_eq!(experiment["metrics"][0]["verdicts"][0]["before"], "event-lacks-unit");
    assert_eq!(keys(&experiment["metrics"][0]["verdicts"][0]), "after before events examples");
    assert_eq!(experiment["exposures"][0]["another_unit"], true);
    assert_eq!(keys(&json["findings"][0]), "code events experiment findings metric");
}

#[test]
fn whoever_does_not_want_to_know_any_more_is_not_told() {
    let requests = orders();
    let events = Held { requests: &requests, observed_from_ms: None, goes_on: &|judged| judged < 3 };
    assert!(Judgement::of(&events, shop("device"), Clock::Creation).is_err());
}

const TWO: &str = r#"
[[metrics]]
key = "orders"
event_key = "Order"
units = ["user"]

[[metrics]]
key = "revenue"
event_key = "Order"
measure = "value"
units = ["user", "device"]

[[experiments]]
key = "by-user"
flag = "f"
metrics = ["orders"]
iterations = [ { id = "a", started_at = 1795240000000, ended_at = 1795240000500 }, { id = "b", started_at = 1795240000500 } ]

[[experiments]]
key = "by-device"
flag = "g"
randomization_unit = "device"
metrics = ["orders", "revenue"]
started_at = 1795240000000
"#;

fn sent() -> impl Strategy<Value = Value> {
    let key = || prop_oneof![Just("1"), Just("2"), Just("3")];
    let t = || 1_795_239_999_900..1_795_240_001_000_i64;
    let feature = (t(), key(), key(), any::<bool>(), 0..3_i64).prop_map(|(t, user, device, is_f, variation)| {
        json!({"kind": "feature", "creationDate": t, "key": if is_f { "f" } else { "g" }, "variation": variation,
            "reason": {"kind": "FALLTHROUGH", "inExperiment": variation != 2},
            "context": {"kind": "multi", "user": {"key": user}, "device": {"key": device}}})
    });
    let custom = (t(), key(), any::<bool>(), any::<bool>()).prop_map(|(t, key, is_user, is_order)| {
        let kind = if is_user { "user" } else { "device" };
        json!({"kind": "custom", "creationDate": t, "key": if is_order { "Order" } else { "order" }, "metricValue": 2,
            "context": {"kind": kind, "key": key}})
    });
    let track = (t(), key(), key(), any::<bool>()).prop_map(|(t, user, device, is_order)| {
        json!({"type": "track", "event": if is_order { "Order" } else { "order" }, "userId": user, "anonymousId": device,
            "timestamp": jiff::Timestamp::from_millisecond(t).unwrap().to_string(), "properties": {"value": 3}})
    });
    prop_oneof![4 => feature, 3 => custom, 3 => track, 1 => Just(json!(7))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn on_any_stream_the_difference_is_what_comparing_row_by_row_finds(events in proptest::collection::vec(sent(), 0..40), which in 0..9_usize) {
        let base = load::from_text(TWO, "two.toml", Format::Toml, Origin::File).unwrap();
        let changes = [
            set(&["experiment.by-user.randomization_unit=device"]),
            set(&["experiment.by-device.randomization_unit=user"]),
            set(&[r#"metric.orders.units=["user", "device"]"#]),
            set(&["metric.orders.event_key=order"]),
            set(&["experiment.by-user.iterations.b.started_at=1795240000700"]),
            set(&["experiment.by-device.flag=f", "metric.revenue.measure=occurrence"]),
            set(&["experiment.by-device.metrics=[]"]),
            map_try("additional_context_keys.device=$.anonymousId"),
            map_try("event_name=Order"),
        ];
        let change = &changes[which];
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: Vec<String> = events.iter().map(Value::to_string).collect();
        std::fs::write(file.path(), text.join("\n")).unwrap();
        let request = Request {
            sources: vec![Source::File(file.path().to_owned())],
            catalog: Some(base.clone()),
            mapping: None,
        flags: None,
            clock: Clock::Creation,
            ..Request::default()
        };
        // Nothing readable is refused by what reads files.
        prop_assume!(events.iter().any(|event| event.is_object()));
        let passes = Passes::open(&request).unwrap();
        let difference = tried(&passes, &base, change);
        let after = change.apply(&base).unwrap();
        prop_assert_eq!(told(&difference), brute_force(&request, &base, &after, [Clock::Creation; 2]), "{:?}", change.words());
        prop_assert_eq!(difference.events.received, events.len() as u64);
        prop_assert_eq!((difference.events.only_before, difference.events.only_after), (0, 0));
        let totals = |side: &BTreeMap<&str, u64>| side.values().sum::<u64>();
        prop_assert_eq!(totals(&difference.verdicts.before), totals(&difference.verdicts.after));
        for experiment in &difference.experiments {
            prop_assert_eq!(experiment.units.exposed.after + experiment.units.lost, experiment.units.exposed.before + experiment.units.gained);
            for metric in &experiment.metrics {
                let change: i64 = metric.verdicts.iter().map(|it| {
                    let events = it.events as i64;
                    if it.is_gain() { events } else if it.is_loss() { -events } else { 0 }
                }).sum();
                prop_assert_eq!(metric.counted.after as i64 - metric.counted.before as i64, change, "{}", &metric.metric);
            }
        }
        // Nothing changed is no difference, and the way back undoes the way there.
        prop_assert!(tried(&passes, &base, &Change::default()).is_empty());
    }
}

#[test]
fn what_segment_s_own_libraries_sent_is_mended_by_the_field_that_is_found() {
    let request = recording("segment-default-mapping.exptap");
    let read = headless::read(&request).unwrap();
    let mut report = read.report();
    headless::try_fixes(&request, &read, &mut report).unwrap();
    let fixes: Vec<(&str, &str)> =
        report.findings.iter().filter_map(|it| Some((it.metric.as_deref()?, it.fix.as_str()))).collect();
    let fix = |events: u64| {
        format!(
            "Segment, Track Event mapping, Additional Context Keys: device = $.context.device.id (matches 100 % of \
             {events} events; tried: {events} of {events} count)."
        )
    };
    let (seventy, eighteen) = (fix(70), fix(18));
    assert_eq!(
        fixes,
        [
            ("products-added", seventy.as_str()),
            ("checkout-conversion", eighteen.as_str()),
            ("order-value", eighteen.as_str())
        ]
    );
}

/// The program, in the folder of the recordings: exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(arguments)
        .current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn the_command_prints_the_difference_in_three_ways() {
    let set = "metric.checkout-conversion.units=[\"user\", \"device\"]";
    let arguments = ["what-if", "metric-unit-mismatch.exptap", "--set", set];
    let (code, out, err) = run(&arguments);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "What if
  catalog: metric.checkout-conversion.units=[\"user\", \"device\"]

14 of 96 events are judged differently; 0 → 14 count.
  counted  0 → 14
  dropped  14 → 0

checkout-cta-test · iteration 1 · by device
  arm        metric               units  converting  conversions
  control    checkout-conversion     19       0 → 6        0 → 6
  treatment  checkout-conversion     21       0 → 8        0 → 8
  checkout-conversion: 14 received, 0 → 14 counted
    14  metric-unit-mismatch → counted

Findings
  metric-unit-mismatch  checkout-cta-test · checkout-conversion  14 → 0 events  gone

The same events under a change: what would have counted, as exptap reads the published rules.
"
    );
    let (code, out, _) = run(&[&arguments[..], &["--format", "json"]].concat());
    let difference: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, difference["events"]["changed"].as_u64()), (0, Some(14)));
    let (code, out, _) = run(&[&arguments[..], &["--format", "markdown"]].concat());
    assert_eq!(code, 0);
    assert!(out.contains("| `control` | `checkout-conversion` | 19 | 0 → 6 | 0 → 6 |"), "{out}");
}

#[test]
fn the_command_refuses_what_cannot_be_changed_and_says_what_was_expected() {
    let source = "metric-unit-mismatch.exptap";
    for (arguments, err) in [
        (
            &[][..],
            "nothing is to be different: give --set, --map-try, --catalog, --mapping, --clock or --fixes (exptap what-if --help)\n",
        ),
        (
            &["--set", "metric.checkout.units=[]"][..],
            "--set metric.checkout.units=[]: there is no metric \"checkout\" in the catalog; expected one of \"checkout-conversion\"\n",
        ),
        (
            &["--set", "a", "--map-try", "b"][..],
            "--set a: there is no =; expected PATH=VALUE, such as metric.checkout.units=[\"user\", \"device\"]\n--map-try b: there is no =; expected LINE=VALUE, such as additional_context_keys.device=$.anonymousId\n",
        ),
        (
            &["--map-try", "mapping.9.user_key=x"][..],
            "--map-try mapping.9.user_key=x: there is no mapping \"9\"; expected mapping.0 to mapping.1\n",
        ),
        (
            &["--map-try", "user_key=$context.device.id"][..],
            "--map-try user_key=$context.device.id: \"$context.device.id\" is a text, the same for every event; did you mean $.context.device.id? A text that is meant as it stands is written in quotes\n",
        ),
        (
            &["--catalog", "nowhere.toml"][..],
            "nowhere.toml: the catalog cannot be read: No such file or directory (os error 2)\n",
        ),
    ] {
        assert_eq!(run(&[&["what-if", source], arguments].concat()), (2, String::new(), err.to_owned()));
    }
}

#[test]
fn a_catalog_that_is_inferred_before_is_said_to_be_where_another_is_named_after() {
    let folder = tempfile::tempdir().unwrap();
    let (events, catalog) = (folder.path().join("events.ndjson"), folder.path().join("shop.toml"));
    let event =
        r#"{"kind":"custom","key":"Order Completed","creationDate":1795240000000,"context":{"kind":"user","key":"u"}}"#;
    std::fs::write(&events, event).unwrap();
    std::fs::write(&catalog, SHOP).unwrap();
    let [events, catalog] = [&events, &catalog].map(|path| path.to_str().unwrap());
    let said =
        "before, the events are judged by a catalog that is inferred from them; --base-catalog FILE names another\n";
    let (code, _, err) = run(&["what-if", events, "--catalog", catalog]);
    assert_eq!((code, err.as_str()), (0, said));
    let (code, _, err) = run(&["what-if", events, "--catalog", catalog, "--base-catalog", catalog]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = run(&["what-if", events, "--set", "metric.\"Order Completed\".event_key=y"]);
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn in_markdown_the_list_of_one_metric_ends_before_the_next_is_told_of() {
    let two = format!(
        "{}\n[[metrics]]\nkey = \"order-value\"\nevent_key = \"Order Completed\"\nunits = [\"user\", \"device\"]\n",
        SHOP.replace(r#"metrics = ["checkout-conversion"]"#, r#"metrics = ["checkout-conversion", "order-value"]"#)
    );
    let catalog = load::from_text(&two, "shop.toml", Format::Toml, Origin::File).unwrap();
    let requests = orders();
    let change = map_try("additional_context_keys.device=$.context.device.id");
    let markdown = markdown::text(&tried(&held(&requests), &catalog, &change));
    assert!(
        markdown.contains(
            "- 12 × event-lacks-unit → no-exposure\n\n`order-value`: 403 received, 0 → 391 counted.\n\n- 391"
        ),
        "{markdown}"
    );
    assert!(!markdown.contains("\n\n\n"), "{markdown}");
}

#[test]
fn the_received_clock_is_refused_where_an_event_does_not_say_when_it_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    std::fs::write(
        &path,
        r#"{"kind":"custom","key":"x","creationDate":1795240000000,"context":{"kind":"user","key":"u"}}"#,
    )
    .unwrap();
    let (code, out, err) = run(&["what-if", path.to_str().unwrap(), "--clock", "received"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--clock received needs the arrival of every event"), "{err}");
    // A catalog that is inferred can be changed like any other.
    let (code, out, _) = run(&["what-if", path.to_str().unwrap(), "--set", "metric.x.event_key=y"]);
    assert_eq!(code, 0);
    assert!(out.contains("1 of 1 event is judged differently"), "{out}");
}
