#![allow(clippy::unwrap_used)]
use super::*;
use Outcome::{Fails, Passes, Redacted, Unsupported};
use proptest::prelude::*;
use serde_json::json;

fn on(context_kind: Option<&str>, attribute: &str, op: &str, values: Value, negate: bool) -> Filter {
    Filter::Attribute {
        context_kind: context_kind.map(str::to_owned),
        attribute: attribute.to_owned(),
        op: op.to_owned(),
        values: values.as_array().unwrap().clone(),
        negate,
    }
}

fn user(attribute: &str, op: &str, values: Value) -> Filter {
    on(Some("user"), attribute, op, values, false)
}

fn country_is_us() -> Filter {
    user("country", "in", json!(["US"]))
}

fn group(all: bool, negate: bool, members: Vec<Filter>) -> Filter {
    Filter::Group { all, members, negate }
}

fn with_context(filter: &Filter, context: Value) -> Outcome {
    let context = context.to_string();
    judge(filter, &EventView::new(Some(context.as_bytes()), None, None))
}

fn with_data(filter: &Filter, data: &str) -> Outcome {
    judge(filter, &EventView::new(None, None, Some(data.as_bytes())))
}

/// Judges the operator on a property of `data` with this value.
fn compare(own: Value, op: &str, values: Value) -> Outcome {
    with_data(&on(None, "a", op, values, false), &json!({ "a": own }).to_string())
}

#[test]
fn an_attribute_that_matches_passes_and_one_that_differs_by_case_is_redacted_or_is_absent_does_not() {
    let us = country_is_us();
    assert_eq!(with_context(&us, json!({"kind": "user", "key": "u1", "country": "US"})), Passes);
    assert_eq!(with_context(&us, json!({"kind": "user", "key": "u1", "country": "us"})), Fails);
    let redacted =
        json!({"kind": "user", "key": "u1", "anonymous": true, "_meta": {"redactedAttributes": ["country"]}});
    assert_eq!(with_context(&us, redacted), Redacted);
    assert_eq!(with_context(&us, json!({"kind": "user", "key": "u1"})), Fails);
}

#[test]
fn an_absent_null_or_redacted_attribute_matches_neither_way_however_often_it_is_negated() {
    let not_us = on(Some("user"), "country", "in", json!(["US"]), true);
    assert_eq!(with_context(&not_us, json!({"kind": "user", "key": "u", "country": "FR"})), Passes);
    let absent = json!({"kind": "user", "key": "u"});
    let null = json!({"kind": "user", "key": "u", "country": null});
    let redacted = json!({"kind": "user", "key": "u", "_meta": {"redactedAttributes": ["/country"]}});
    let other_kind = json!({"kind": "device", "key": "d", "country": "FR"});
    for filter in [not_us, group(true, true, vec![country_is_us()]), group(false, true, vec![country_is_us()])] {
        assert_eq!(with_context(&filter, absent.clone()), Fails);
        assert_eq!(with_context(&filter, null.clone()), Fails);
        assert_eq!(with_context(&filter, other_kind.clone()), Fails);
        assert_eq!(with_context(&filter, redacted.clone()), Redacted);
    }
}

#[test]
fn the_context_of_the_filters_kind_is_read_whether_single_multi_or_legacy_user() {
    let us = country_is_us();
    let multi = |country: &str| json!({"kind": "multi", "user": {"key": "u", "country": country}, "device": {"key": "d", "country": "US"}});
    assert_eq!(with_context(&us, multi("US")), Passes);
    assert_eq!(with_context(&us, multi("FR")), Fails);
    let legacy = |user: Value, filter: &Filter| {
        let text = user.to_string();
        judge(filter, &EventView::new(None, Some(text.as_bytes()), None))
    };
    assert_eq!(legacy(json!({"key": "u", "country": "US"}), &us), Passes);
    assert_eq!(legacy(json!({"key": "u", "custom": {"country": "US"}}), &us), Passes);
    assert_eq!(legacy(json!({"key": "u", "custom": {}, "privateAttrs": ["country"]}), &us), Redacted);
    assert_eq!(legacy(json!({"key": "u"}), &on(Some("device"), "os", "in", json!(["ios"]), false)), Fails);
}

#[test]
fn an_event_that_carries_only_keys_cannot_be_judged_by_attribute() {
    assert_eq!(judge(&country_is_us(), &EventView::new(None, None, None)), Unsupported);
    assert_eq!(judge(&country_is_us(), &EventView::new(Some(b"{\"kind\":"), None, None)), Unsupported);
}

#[test]
fn paths_lead_into_objects_and_a_redacted_part_hides_the_whole() {
    let context = json!({"kind": "user", "key": "u", "addr": {"city": "Paris", "a/b": 1}, "/x": 1,
        "_meta": {"redactedAttributes": ["/addr/zip"]}});
    let ask = |attribute: &str, values: Value| with_context(&user(attribute, "in", values), context.clone());
    assert_eq!(ask("/addr/city", json!(["Paris"])), Passes);
    assert_eq!(ask("/addr/a~1b", json!([1])), Passes);
    assert_eq!(ask("/addr/zip", json!(["75001"])), Redacted);
    assert_eq!(ask("addr", json!([{"city": "Paris", "a/b": 1}])), Redacted);
    assert_eq!(ask("/key", json!(["u"])), Passes);
    assert_eq!(ask("_meta", json!([{"redactedAttributes": ["/addr/zip"]}])), Fails);
    assert_eq!(ask("//", json!([1])), Unsupported, "not an attribute reference");
    assert_eq!(ask("anonymous", json!([false])), Passes, "a context is not anonymous unless it says so");
}

#[test]
fn event_properties_are_read_from_data_only_where_it_is_an_object() {
    let widgets = on(None, "category", "in", json!(["widgets"]), false);
    assert_eq!(with_data(&widgets, r#"{"category":"widgets"}"#), Passes);
    assert_eq!(with_data(&widgets, r#"["widgets"]"#), Fails);
    assert_eq!(with_data(&widgets, "null"), Fails);
    assert_eq!(judge(&widgets, &EventView::new(None, None, None)), Fails);
    assert_eq!(with_data(&widgets, r#"{"category":"#), Unsupported);
}

#[test]
fn values_compare_by_json_type_and_value() {
    assert_eq!(compare(json!(1), "in", json!([1.0])), Passes);
    assert_eq!(compare(json!(1), "in", json!(["1", true])), Fails);
    assert_eq!(compare(json!(true), "in", json!([true])), Passes);
    assert_eq!(compare(json!({"b": [1]}), "in", json!([{"b": [1.0]}])), Passes);
    assert_eq!(compare(json!("a"), "in", json!([])), Fails);
}

#[test]
fn an_array_matches_if_any_of_its_elements_does() {
    assert_eq!(compare(json!(["x", "beta"]), "in", json!(["beta"])), Passes);
    assert_eq!(compare(json!([]), "in", json!(["beta"])), Fails);
    let not_beta = on(None, "a", "in", json!(["beta"]), true);
    assert_eq!(with_data(&not_beta, r#"{"a":["x","beta"]}"#), Fails);
    assert_eq!(with_data(&not_beta, r#"{"a":[]}"#), Passes);
}

#[test]
fn every_operator_of_a_targeting_clause_means_what_the_sdks_make_of_it() {
    let passing = [
        (json!("checkout"), "startsWith", json!(["pay", "check"])),
        (json!("checkout"), "endsWith", json!(["out"])),
        (json!("checkout"), "contains", json!(["eck"])),
        (json!("order-42"), "matches", json!([r"-\d+$"])),
        (json!(1), "lessThan", json!([1.5])),
        (json!(2), "lessThanOrEqual", json!([2.0])),
        (json!(-1), "greaterThan", json!([-2])),
        (json!(2), "greaterThanOrEqual", json!([2])),
        (json!("2026-01-01T00:00:00Z"), "before", json!(["2026-01-01T01:00:00+00:30"])),
        (json!(1_767_225_600_001_i64), "after", json!(["2026-01-01T00:00:00Z"])),
        (json!("2"), "semVerEqual", json!(["2.0.0"])),
        (json!("2.0-rc.1"), "semVerLessThan", json!(["2"])),
        (json!("2.10.0+build"), "semVerGreaterThan", json!(["2.9"])),
        (json!("2.0.0+a"), "semVerEqual", json!(["2.0.0+b"])),
    ];
    for (own, op, values) in passing {
        assert_eq!(compare(own.clone(), op, values.clone()), Passes, "{own} {op} {values}");
    }
    let failing = [
        (json!("Checkout"), "startsWith", json!(["check"])),
        (json!(42), "contains", json!(["4"])),
        (json!("1"), "lessThan", json!([2])),
        (json!(1), "lessThan", json!(["2"])),
        (json!(2), "greaterThan", json!([2])),
        (json!("2026-01-01"), "before", json!(["2027-01-01T00:00:00Z"])),
        (json!("v2.0.0"), "semVerEqual", json!(["2.0.0"])),
        (json!("02.0.0"), "semVerEqual", json!(["2.0.0"])),
        (json!(2), "semVerEqual", json!(["2.0.0"])),
    ];
    for (own, op, values) in failing {
        assert_eq!(compare(own.clone(), op, values.clone()), Fails, "{own} {op} {values}");
    }
}

#[test]
fn what_is_not_modelled_is_unsupported_even_negated() {
    for op in ["segmentMatch", "exists", "IN", ""] {
        assert_eq!(compare(json!("a"), op, json!(["a"])), Unsupported, "{op}");
        let negated = on(None, "a", op, json!(["a"]), true);
        assert_eq!(with_data(&negated, r#"{"a":"a"}"#), Unsupported, "{op}");
    }
    assert_eq!(compare(json!("a"), "matches", json!(["("])), Unsupported);
    assert_eq!(compare(json!("a"), "matches", json!(["(", "a"])), Passes, "a pattern that can be run is enough");
    assert_eq!(with_data(&group(true, false, vec![]), "{}"), Unsupported);
    assert_eq!(judge(&Filter::Unsupported { what: "x".to_owned() }, &EventView::default()), Unsupported);
}

#[test]
fn the_attribute_kind_is_compared_with_every_kind_of_the_event() {
    let has_device = user("kind", "in", json!(["device"]));
    assert_eq!(
        with_context(&has_device, json!({"kind": "multi", "user": {"key": "u"}, "device": {"key": "d"}})),
        Passes
    );
    assert_eq!(with_context(&has_device, json!({"kind": "user", "key": "u"})), Fails);
}

#[test]
fn groups_never_turn_what_cannot_be_told_into_a_pass() {
    let event = json!({"kind": "user", "key": "u", "country": "US", "_meta": {"redactedAttributes": ["plan"]}});
    let yes = country_is_us;
    let no = || user("country", "in", json!(["FR"]));
    let redacted = || user("plan", "in", json!(["pro"]));
    let unknown = || user("country", "exists", json!([]));
    let judged = |all, negate, members| with_context(&group(all, negate, members), event.clone());
    assert_eq!(judged(true, false, vec![yes(), yes()]), Passes);
    assert_eq!(judged(true, false, vec![yes(), unknown()]), Unsupported);
    assert_eq!(judged(true, false, vec![yes(), redacted()]), Redacted);
    assert_eq!(judged(true, false, vec![redacted(), unknown()]), Redacted, "it fails whatever the other says");
    assert_eq!(judged(true, false, vec![no(), redacted()]), Fails, "showing the attribute would not help");
    assert_eq!(judged(false, false, vec![yes(), unknown(), redacted()]), Passes);
    assert_eq!(judged(false, false, vec![no(), unknown(), redacted()]), Unsupported);
    assert_eq!(judged(false, false, vec![no(), redacted()]), Redacted);
    assert_eq!(judged(false, true, vec![no(), no()]), Passes);
    assert_eq!(judged(false, true, vec![no(), redacted()]), Redacted);
    assert_eq!(judged(true, true, vec![yes(), unknown()]), Unsupported);
    assert_eq!(judged(true, true, vec![no(), unknown()]), Passes, "one failing member is enough for the opposite");
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let leaf = (
        prop::sample::select(vec!["present", "absent", "hidden"]),
        prop::sample::select(vec!["in", "exists"]),
        proptest::bool::ANY,
        proptest::bool::ANY,
    )
        .prop_map(|(attribute, op, matching, negate)| {
            on(Some("user"), attribute, op, json!([if matching { "yes" } else { "no" }]), negate)
        });
    leaf.prop_recursive(4, 24, 4, |inner| {
        (proptest::bool::ANY, proptest::bool::ANY, prop::collection::vec(inner, 1..4))
            .prop_map(|(all, negate, members)| group(all, negate, members))
    })
}

proptest! {
    // Negating a filter may move a decided event to the other side, never an undecided one to a pass.
    #[test]
    fn a_filter_and_its_opposite_never_both_pass(filter in any_filter()) {
        let event = json!({"kind": "user", "key": "u", "present": "yes", "_meta": {"redactedAttributes": ["hidden"]}});
        let straight = with_context(&filter, event.clone());
        let opposite = with_context(&group(true, true, vec![filter]), event);
        prop_assert!(!(straight == Passes && opposite == Passes));
    }
}
