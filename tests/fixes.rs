//! The smallest set of changes that brings most conversions back: each on top of those before it, and exactly what
//! making all of them comes to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod held;

use exptap::attribution::state::Clock;
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::report::fixes::{Fixes, Step, counted};
use exptap::report::{build, markdown, table};
use exptap::what_if::plan::{self, Plan};
use exptap::what_if::remedy::Bench;
use exptap::what_if::{CatalogEdit, Change, Judgement, MappingEdit};
use held::{ARRIVAL, held, post};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

fn catalog(text: &str) -> Catalog {
    load::from_text(text, "shop.toml", Format::Toml, Origin::File).unwrap()
}

/// A shop of which everything is set up wrong that a catalog and a mapping can be.
const SHOP: &str = r#"
[[metrics]]
key = "orders"
event_key = "Order Completed"
units = ["user"]

[[metrics]]
key = "sign-ups"
event_key = "sign-up"
units = ["user", "device"]

[[experiments]]
key = "checkout-cta-test"
flag = "checkout-cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["orders", "sign-ups"]
started_at = "2026-01-01T00:00:00Z"
"#;

fn exposures(devices: std::ops::Range<usize>) -> Value {
    devices
        .map(|index| {
            json!({"kind": "feature", "creationDate": ARRIVAL - 3_600_000, "key": "checkout-cta", "variation": index % 2,
                "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": {"kind": "device", "key": format!("d-{index}")}})
        })
        .collect()
}

fn order(index: usize) -> Value {
    json!({"type": "track", "event": "Order Completed", "userId": format!("u-{index}"), "anonymousId": format!("a-{index}"),
        "messageId": format!("m-{index}"), "timestamp": "2026-11-21T07:59:58.000Z",
        "context": {"device": {"id": format!("d-{index}"), "type": "ios"}}})
}

fn custom(key: &str, device: usize) -> Value {
    json!({"kind": "custom", "creationDate": ARRIVAL - 1000, "key": key, "context": {"kind": "device", "key": format!("d-{device}")}})
}

fn plan(requests: &[Arc<Envelope>], catalog: &Catalog) -> Plan {
    let events = held(requests);
    let base = Judgement::of(&events, catalog.clone(), Clock::Creation).unwrap();
    let report = build::report(&base.state, &base.catalog);
    plan::make(&mut Bench::new(&events, base), &report).unwrap()
}

/// What counts under some edits, read as `exptap what-if` reads them.
fn counts_under(requests: &[Arc<Envelope>], catalog: &Catalog, steps: &[&Step]) -> u64 {
    let change = Change {
        set: steps.iter().flat_map(|step| &step.set).map(|edit| CatalogEdit::parse(edit).unwrap()).collect(),
        map_try: steps.iter().flat_map(|step| &step.map_try).map(|edit| MappingEdit::parse(edit).unwrap()).collect(),
        ..Change::default()
    };
    let after = Judgement::of(&held(requests), change.apply(catalog).unwrap(), Clock::Creation).unwrap();
    counted(&build::report(&after.state, &after.catalog))
}

/// A step: its change, what it recovers in order and alone, and what would fail next.
type Told<'a> = (String, i64, Option<i64>, Vec<(&'a str, u64)>);

fn steps(fixes: &Fixes) -> Vec<Told<'_>> {
    let step = |step: &Step| {
        let edits = step.set.iter().chain(&step.map_try).cloned().collect::<Vec<_>>().join(" ");
        (edits, step.gained, step.alone, step.then.iter().map(|(code, events)| (*code, *events)).collect())
    };
    fixes.steps.iter().map(step).collect()
}

const UNITS: &str = r#"metric.orders.units=["user","device"]"#;
const MAPPED: &str = "additional_context_keys.device=$.context.device.id";

#[test]
fn two_faults_of_the_same_conversions_are_mended_one_after_the_other_though_neither_helps_alone() {
    // Of 100 orders on 90 exposed devices each fails twice: its metric does not analyse devices, and it names none.
    let orders: Vec<Value> = (0..100).map(order).collect();
    let requests = [post(1, "/bulk", &exposures(0..90)), post(2, "/v1/batch", &json!({"batch": orders}))];
    let Plan { fixes, change } = plan(&requests, &catalog(SHOP));
    assert_eq!(
        steps(&fixes),
        [
            (UNITS.to_owned(), 0, Some(0), vec![("event-lacks-unit", 100)]),
            (MAPPED.to_owned(), 90, Some(0), vec![("no-exposure", 10)]),
        ]
    );
    assert_eq!((fixes.counted.before, fixes.counted.after), (0, 90));
    assert_eq!((fixes.lost.before, fixes.lost.after), (100, 10));
    let rest: Vec<_> = fixes.remains.iter().map(|it| (it.code.name(), it.conversions, it.tried)).collect();
    assert_eq!(rest, [("no-exposure", 10, false)]);
    assert_eq!(change.words(), [format!("catalog: {UNITS}"), format!("mapping: {MAPPED}")]);
}

#[test]
fn what_brings_most_back_comes_first_and_what_loses_more_than_it_brings_is_no_step() {
    let mut sent: Vec<Value> = (0..4).map(|device| custom("sign-up", device)).collect();
    // Three are sent under another key; the metric by that key would lose the four that are right.
    sent.extend((4..7).map(|device| custom("Sign-Up", device)));
    sent.extend((0..20).map(|device| custom("Order Completed", device)));
    let requests = [post(1, "/bulk", &exposures(0..30)), post(2, "/bulk", &json!(sent))];
    let fixes = plan(&requests, &catalog(SHOP)).fixes;
    assert_eq!(steps(&fixes), [(UNITS.to_owned(), 20, Some(20), vec![])]);
    assert_eq!((fixes.counted.before, fixes.counted.after), (4, 24));
    let rest: Vec<_> = fixes.remains.iter().map(|it| (it.code.name(), it.conversions, it.tried)).collect();
    assert_eq!(rest, [("event-key-case", 3, false)]);
}

#[test]
fn where_nothing_is_lost_there_is_nothing_to_begin_with() {
    let sent: Vec<Value> = (0..4).map(|device| custom("sign-up", device)).collect();
    let requests = [post(1, "/bulk", &exposures(0..30)), post(2, "/bulk", &json!(sent))];
    let fixes = plan(&requests, &catalog(SHOP)).fixes;
    assert!(fixes.is_empty(), "{fixes:?}");
    assert_eq!((fixes.counted.before, fixes.counted.after), (4, 4));
}

#[test]
fn a_report_says_where_to_begin_in_words() {
    let orders: Vec<Value> = (0..100).map(order).collect();
    let requests = [post(1, "/bulk", &exposures(0..90)), post(2, "/v1/batch", &json!({"batch": orders}))];
    let shop = catalog(SHOP);
    let events = held(&requests);
    let base = Judgement::of(&events, shop.clone(), Clock::Creation).unwrap();
    let mut report = build::report(&base.state, &base.catalog);
    report.fixes = Some(plan(&requests, &shop).fixes);
    let text = table::text(&report);
    let begin = text.find("Where to begin").expect(&text);
    let end = text.find("\nFindings").unwrap();
    assert_eq!(
        &text[begin..end],
        "\
Where to begin
  2 changes bring 90 conversions back: 0 → 90 count, 100 → 10 do not.
  1. +0  metric.orders.units=[\"user\",\"device\"]
      → Add device to the metric's analysis units and start a new iteration (a running one may keep the metric's old version), or change the experiment's randomization unit.
      then 100 event-lacks-unit
  2. +90  additional_context_keys.device=$.context.device.id
      → Segment, Track Event mapping, Additional Context Keys: device = $.context.device.id (matches 90 % of 100 events; tried: 90 of 100 count, 10 then no-exposure).
      alone +0; then 10 no-exposure
  What remains
    10 no-exposure  checkout-cta-test · orders  (not tried: the change is the application's)
"
    );
    let page = markdown::text(&report, &markdown::Watched::default());
    assert!(page.contains("### Where to begin\n\n2 changes bring 90 conversions back"), "{page}");
    assert!(page.contains("1. **+0** `metric.orders.units=[\"user\",\"device\"]`\\\n"), "{page}");
    assert!(page.contains("- 10 `no-exposure` · `checkout-cta-test` · `orders` (not tried"), "{page}");
    let json = serde_json::to_value(&report).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&json["fixes"]), "counted lost note remains steps tried");
    assert_eq!(keys(&json["fixes"]["steps"][0]), "alone code experiment fix gained loses map_try metric set then");
    assert_eq!(keys(&json["fixes"]["remains"][0]), "code conversions experiment fix metric tried");
}

/// The program, in the folder of the recordings: exit code, standard output, standard error.
fn run(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    use std::io::Write;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(arguments)
        .current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let ran = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn the_report_of_a_file_has_tried_them_and_that_of_a_pipe_says_why_not() {
    let (code, out, _) = run(&["report", "metric-unit-mismatch.exptap", "--format", "json"], b"");
    let fixes = serde_json::from_str::<Value>(&out).unwrap()["fixes"].clone();
    assert_eq!((code, &fixes["tried"], &fixes["steps"][0]["gained"]), (0, &json!(true), &json!(14)));
    let file = std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings/metric-unit-mismatch.exptap"));
    let (code, out, _) = run(&["report", "-", "--format", "json"], &file.unwrap());
    let fixes = serde_json::from_str::<Value>(&out).unwrap()["fixes"].clone();
    assert_eq!((code, &fixes["tried"], &fixes["remains"][0]["conversions"]), (0, &json!(false), &json!(14)));
    assert_eq!(fixes["note"], "the events can be read only once; read from a file, they are tried");
}

#[test]
fn what_if_finds_the_changes_itself_and_shows_what_all_of_them_come_to() {
    let (code, out, err) = run(&["what-if", "metric-unit-mismatch.exptap", "--fixes"], b"");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("1 change brings 14 conversions back: 0 → 14 count, 14 → 0 do not."), "{out}");
    assert!(out.contains("14  metric-unit-mismatch → counted"), "{out}");
    let (_, out, _) = run(&["what-if", "metric-unit-mismatch.exptap", "--fixes", "--format", "json"], b"");
    let difference: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(difference["experiments"][0]["metrics"][0]["counted"], json!({"before": 0, "after": 14}));
    assert_eq!(difference["fixes"]["counted"], json!({"before": 0, "after": 14}));
    let (code, _, err) = run(&["what-if", "healthy.exptap", "--fixes", "--set", "metric.a.units=[]"], b"");
    assert_eq!(code, 2, "{err}");
}

#[test]
fn no_plan_moves_the_start_or_the_end_of_an_iteration() {
    let started = format!("started_at = {}", ARRIVAL - 7_200_000);
    let ended = format!("{started}\nended_at = {}", ARRIVAL - 1_800_000);
    for (iteration, code) in [(ended.as_str(), "after-iteration-end"), ("", "iteration-not-started")] {
        let text = SHOP.replace("started_at = \"2026-01-01T00:00:00Z\"", iteration);
        let sign_up = |index: usize| {
            json!({"kind": "custom", "creationDate": ARRIVAL, "key": "sign-up",
                "context": {"kind": "device", "key": format!("d-{index}")}})
        };
        let requests =
            [post(1, "/bulk", &exposures(0..20)), post(2, "/bulk", &json!((0..20).map(sign_up).collect::<Vec<_>>()))];
        let Plan { fixes, change } = plan(&requests, &catalog(&text));
        assert_eq!((fixes.steps.len(), change.words()), (0, Vec::<String>::new()), "{code}: {fixes:?}");
        assert_eq!((fixes.counted.before, fixes.counted.after), (0, 0), "{code}");
        assert!(fixes.remains.iter().any(|it| it.code.name() == code), "{code}: {:?}", fixes.remains);
    }
}

/// As the shop, with two experiments by different units and a metric that is in none.
const TWO: &str = r#"
[[metrics]]
key = "orders"
event_key = "Order"
units = ["user"]

[[metrics]]
key = "revenue"
event_key = "Revenue"
measure = "value"
units = ["organization"]

[[experiments]]
key = "by-user"
flag = "f"
metrics = ["orders", "revenue"]
started_at = 1795240000000

[[experiments]]
key = "by-device"
flag = "g"
randomization_unit = "device"
metrics = ["orders"]
iterations = [ { id = "1", started_at = 1795240000000, ended_at = 1795240000700 } ]
"#;

fn sent() -> impl Strategy<Value = (bool, Value)> {
    let key = || prop_oneof![Just("1"), Just("2"), Just("3")];
    let event = || prop_oneof![3 => Just("Order"), 2 => Just("order"), 1 => Just("orders"), 2 => Just("Revenue")];
    let t = || 1_795_240_000_000..1_795_240_001_000_i64;
    let feature = (t(), key(), key(), any::<bool>(), 0..2_i64).prop_map(|(t, user, device, is_f, variation)| {
        json!({"kind": "feature", "creationDate": t - 100, "key": if is_f { "f" } else { "g" }, "variation": variation,
            "reason": {"kind": "FALLTHROUGH", "inExperiment": true},
            "context": {"kind": "multi", "user": {"key": user}, "device": {"key": device}}})
    });
    let custom = (t(), key(), 0..3, event()).prop_map(|(t, key, kinds, event)| {
        let context = match kinds {
            0 => json!({"kind": "user", "key": key}),
            1 => json!({"kind": "device", "key": key}),
            _ => json!({"kind": "multi", "user": {"key": key}, "device": {"key": key}}),
        };
        json!({"kind": "custom", "creationDate": t, "key": event, "metricValue": 2, "context": context})
    });
    let track = (t(), key(), key(), event()).prop_map(|(t, user, device, event)| {
        json!({"type": "track", "event": event, "userId": format!("s-{user}"), "anonymousId": "a",
            "timestamp": jiff::Timestamp::from_millisecond(t).unwrap().to_string(), "properties": {"value": 3},
            "context": {"device": {"id": device}, "traits": {"account": user}}})
    });
    prop_oneof![4 => feature.prop_map(|it| (false, it)), 3 => custom.prop_map(|it| (false, it)), 3 => track.prop_map(|it| (true, it))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_promised_is_what_making_the_changes_comes_to(events in proptest::collection::vec(sent(), 0..60)) {
        let (segment, sdk): (Vec<_>, Vec<_>) = events.into_iter().partition(|(is_of_segment, _)| *is_of_segment);
        let bodies = |all: Vec<(bool, Value)>| all.into_iter().map(|(_, body)| body).collect::<Vec<_>>();
        let requests =
            [post(1, "/bulk", &json!(bodies(sdk))), post(2, "/v1/batch", &json!({"batch": bodies(segment)}))];
        let catalog = catalog(TWO);
        let Plan { fixes, change } = plan(&requests, &catalog);
        let steps: Vec<&Step> = fixes.steps.iter().collect();
        let under = |steps: &[&Step]| counts_under(&requests, &catalog, steps);
        prop_assert_eq!(fixes.counted.before, under(&[]));
        prop_assert_eq!(fixes.counted.after, under(&steps), "{:?}", change.words());
        let mut so_far = fixes.counted.before as i64;
        for (index, step) in steps.iter().enumerate() {
            so_far += step.gained;
            prop_assert_eq!(so_far, under(&steps[..=index]) as i64);
            let alone = under(&[step]) as i64 - fixes.counted.before as i64;
            prop_assert!(step.alone.is_none_or(|told| told == alone), "{:?}, and is {alone}", step.alone);
            // Without it less would count: the set has nothing needless in it.
            let mut others = steps.clone();
            others.remove(index);
            prop_assert!(under(&others) < fixes.counted.after, "{:?} is needless among {:?}", step, change.words());
        }
        // What was lost and is not any more counts; nothing else does.
        prop_assert!(fixes.lost.after <= fixes.lost.before || fixes.note.is_some(), "{fixes:?}");
        // Where it ends nothing of what can be tried brings more back.
        if fixes.note.is_none() {
            let after = plan(&requests, &change.apply(&catalog).unwrap()).fixes;
            prop_assert!(after.steps.iter().all(|step| step.alone.is_some_and(|alone| alone <= 0)), "{after:?} after {fixes:?}");
        }
    }
}
