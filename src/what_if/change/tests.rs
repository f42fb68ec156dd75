//! Changes, and what is refused of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::catalog::Origin;

const CATALOG: &str = r#"
[environment]
key = "production"

[[metrics]]
key = "checkout-conversion"
event_key = "checkout"
units = ["user"]

[[experiments]]
key = "checkout-cta-test"
flag = "checkout-cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"

[[experiments]]
key = "search.ranker"
flag = "ranker"
metrics = ["checkout-conversion"]
iterations = [ { id = "a", started_at = "2026-01-01T00:00:00Z", ended_at = "2026-02-01T00:00:00Z" }, { id = "b", started_at = "2026-02-01T00:00:00Z" } ]
"#;

fn base() -> Catalog {
    load::from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).unwrap()
}

fn set(edits: &[&str]) -> Result<Catalog, String> {
    let set =
        edits.iter().map(|edit| CatalogEdit::parse(edit)).collect::<Result<_, _>>().map_err(|it| it.to_string())?;
    Change { set, ..Change::default() }.apply(&base()).map_err(|refusal| refusal.to_string())
}

fn map_try(edit: &str) -> Result<Catalog, String> {
    let edit = MappingEdit::parse(edit).map_err(|refusal| refusal.to_string())?;
    Change { map_try: vec![edit], ..Change::default() }.apply(&base()).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_field_takes_a_word_or_toml_and_everything_else_stays() {
    let mut expected = base();
    expected.experiments[0].iterations[0].randomization_unit = "user".to_owned();
    assert_eq!(set(&["experiment.checkout-cta-test.randomization_unit=user"]).unwrap(), expected);
    assert_eq!(set(&["experiment.checkout-cta-test.randomization_unit = \"user\""]).unwrap(), expected);
    let mut expected = base();
    expected.metrics[0].units = vec!["user".to_owned(), "device".to_owned()];
    assert_eq!(set(&[r#"metric.checkout-conversion.units=["user", "device"]"#]).unwrap(), expected);
    let mut expected = base();
    expected.environment.key = Some("test".to_owned());
    expected.experiments[0].iterations[0].started_at_ms = Some(1_772_323_200_000);
    assert_eq!(
        set(&["environment.key=test", "experiment.checkout-cta-test.started_at=2026-03-01T00:00:00Z"]).unwrap(),
        expected
    );
    let mut expected = base();
    expected.experiments[0].iterations[0].started_at_ms = None;
    assert_eq!(set(&["experiment.checkout-cta-test.started_at=null"]).unwrap(), expected);
}

#[test]
fn what_iterations_have_of_their_own_changes_in_all_of_them_or_in_the_one_that_is_named() {
    let mut expected = base();
    for iteration in &mut expected.experiments[1].iterations {
        iteration.randomization_unit = "device".to_owned();
    }
    assert_eq!(set(&["experiment.\"search.ranker\".randomization_unit=device"]).unwrap(), expected);
    let mut expected = base();
    expected.experiments[1].iterations[1].randomization_unit = "device".to_owned();
    assert_eq!(set(&["experiment.'search.ranker'.iterations.b.randomization_unit=device"]).unwrap(), expected);
    let mut expected = base();
    expected.experiments[0].iterations[0].arms.as_mut().unwrap()[1].name = "new".to_owned();
    assert_eq!(set(&["experiment.checkout-cta-test.iterations.1.variations.1.name=new"]).unwrap(), expected);
}

#[test]
fn times_that_depend_on_each_other_are_taken_together() {
    let catalog = set(&[
        "experiment.checkout-cta-test.ended_at=2025-06-01T00:00:00Z",
        "experiment.checkout-cta-test.started_at=2025-01-01T00:00:00Z",
    ])
    .unwrap();
    assert_eq!(catalog.experiments[0].iterations[0].ended_at_ms, Some(1_748_736_000_000));
}

#[test]
fn a_mistake_is_refused_with_what_was_expected_and_what_comes_near() {
    for (edit, why) in [
        (
            "experiment.checkout-cta.randomization_unit=user",
            "there is no experiment \"checkout-cta\" in the catalog; expected one of \"checkout-cta-test\", \
             \"search.ranker\"",
        ),
        (
            "metric.chekout-conversion.units=[]",
            "there is no metric \"chekout-conversion\" in the catalog; did you mean \"checkout-conversion\"?",
        ),
        (
            "metric.checkout-conversion.units=user",
            "metric \"checkout-conversion\": units is \"user\"; expected an array of texts",
        ),
        (
            "metric.checkout-conversion.measure=ocurrence",
            "metric \"checkout-conversion\": measure is \"ocurrence\"; expected one of occurrence, count, value; did you mean occurrence?",
        ),
        (
            "experimnt.x.y=1",
            "\"experimnt\" is no part of a catalog; expected experiment.KEY.FIELD, metric.KEY.FIELD, metric_group.KEY.FIELD or environment.FIELD; did you mean experiment?",
        ),
        (
            "experiment.checkout-cta-test=1",
            "the field is not named; expected experiment.KEY.FIELD, metric.KEY.FIELD, metric_group.KEY.FIELD or environment.FIELD",
        ),
        (
            "experiment.\"search.ranker\".started_at=2026-01-01T00:00:00Z",
            "experiment \"search.ranker\" has iterations, each with its own started_at; expected \
             experiment.KEY.iterations.ID.started_at, with one of the ids a, b",
        ),
        (
            "experiment.\"search.ranker\".iterations.c.rule=x",
            "there is no iteration \"c\" in the catalog; expected one of \"a\", \"b\"",
        ),
        (
            "experiment.checkout-cta-test.variations.5.name=x",
            "experiment \"checkout-cta-test\": variations has no member \"5\"; expected 0 to 1",
        ),
        (
            "experiment.checkout-cta-test.flag.x=1",
            "experiment \"checkout-cta-test\": flag is \"checkout-cta\", and nothing is in it; expected a value for flag itself",
        ),
        (
            "experiment.checkout-cta-test.ended_at=null",
            "experiment \"checkout-cta-test\": there is no \"ended_at\" to take away",
        ),
        (
            "experiment.checkout-cta-test.started_at=1767225600",
            "experiment \"checkout-cta-test\": started_at is 1767225600, which looks like seconds; expected RFC 3339 with an offset (2026-01-01T00:00:00Z) or epoch milliseconds",
        ),
        (
            "metric.checkout-conversion.key=other",
            "experiment \"checkout-cta-test\": there is no metric \"checkout-conversion\"; expected the key of a metric of this catalog; add the metric to the catalog, or remove it here; experiment \"search.ranker\": iteration \"a\": there is no metric \"checkout-conversion\"; expected the key of a metric of this catalog; add the metric to the catalog, or remove it here; experiment \"search.ranker\": iteration \"b\": there is no metric \"checkout-conversion\"; expected the key of a metric of this catalog; add the metric to the catalog, or remove it here",
        ),
        (
            "metric.checkout-conversion.units",
            "there is no =; expected PATH=VALUE, such as metric.checkout.units=[\"user\", \"device\"]",
        ),
        (
            "metric.checkout-conversion.units=",
            "there is no value; expected one behind the =, or null to take the field away",
        ),
        ("metric..units=1", "a name of the path is empty; expected names with dots in between"),
        ("metric.\"a=1", "there is no =; expected PATH=VALUE, such as metric.checkout.units=[\"user\", \"device\"]"),
        (
            "metric.a\"b\"c\"d=1",
            "there is no =; expected PATH=VALUE, such as metric.checkout.units=[\"user\", \"device\"]",
        ),
        ("metric.\"a\"b.c=1", "expected a dot before \"b.c\""),
    ] {
        assert_eq!(set(&[edit]).unwrap_err(), format!("{edit}: {why}"));
    }
    // All fields are listed, however many they become.
    let unknown = set(&["experiment.checkout-cta-test.randomizaton_unit=user"]).unwrap_err();
    let start = "experiment.checkout-cta-test.randomizaton_unit=user: experiment \"checkout-cta-test\": unknown key \
                 \"randomizaton_unit\"; expected one of key, flag, randomization_unit, ";
    assert!(unknown.starts_with(start) && unknown.ends_with("; did you mean randomization_unit?"), "{unknown}");
    assert!(
        set(&["metric.checkout-conversion.units=[\"user\""]).unwrap_err().contains("is no value: this is not TOML")
    );
}

#[test]
fn of_several_edits_the_one_at_fault_is_named() {
    let refusal = set(&["environment.key=test", "metric.checkout-conversion.kind=clik"]).unwrap_err();
    assert_eq!(
        refusal,
        "metric.checkout-conversion.kind=clik: metric \"checkout-conversion\": kind is \"clik\"; expected one of \
         custom, click, pageview; did you mean click?"
    );
}

#[test]
fn a_line_of_the_mapping_is_a_path_a_value_or_a_directive() {
    for (edit, line) in [
        ("additional_context_keys.device=$.context.device.id", r#""device":{"@path":"$.context.device.id"}"#),
        ("additional_context_keys.device=\"$.x\"", r#""device":"$.x""#),
        ("additional_context_keys.device=all", r#""device":"all""#),
        (
            r#"additional_context_keys.device={"@template":"{{userId}}/{{anonymousId}}"}"#,
            r#""device":{"@template":"{{userId}}/{{anonymousId}}"}"#,
        ),
        ("mapping.0.context_kind=account", r#""context_kind":"account""#),
        ("metric_value=7", r#""metric_value":7"#),
    ] {
        assert!(map_try(edit).unwrap().destination.to_json().contains(line), "{edit}");
    }
    assert_eq!(
        map_try("aditional_context_keys.device=$.x").unwrap_err(),
        "aditional_context_keys.device=$.x: \"aditional_context_keys\" is not a field of trackEvent; expected one of \
         context_kind, user_key, additional_context_keys, event_name, metric_value, event_properties, timestamp; did \
         you mean additional_context_keys?"
    );
    assert_eq!(
        map_try("x").unwrap_err(),
        "x: there is no =; expected LINE=VALUE, such as additional_context_keys.device=$.anonymousId"
    );
}

#[test]
fn what_is_nearly_a_path_is_refused_with_the_path_unless_it_stands_in_quotes() {
    for (written, path) in [
        ("$context.device.id", "$.context.device.id"),
        ("context.device.id", "$.context.device.id"),
        ("properties.ids[0]", "$.properties.ids[0]"),
        ("traits.email", "$.traits.email"),
        ("userId", "$.userId"),
        ("anonymousId", "$.anonymousId"),
        ("$userId", "$.userId"),
    ] {
        let edit = format!("user_key={written}");
        assert_eq!(
            map_try(&edit).unwrap_err(),
            format!(
                "{edit}: \"{written}\" is a text, the same for every event; did you mean {path}? A text that is meant as \
                 it stands is written in quotes"
            )
        );
        let quoted = map_try(&format!("user_key=\"{written}\"")).unwrap().destination.to_json();
        assert!(quoted.contains(&format!("\"user_key\":\"{written}\"")), "{quoted}");
        assert!(map_try(&format!("user_key='{written}'")).is_ok());
    }
    for text in ["context", "$5", "properties of mine", "context.", "user", "checkout.context"] {
        assert!(map_try(&format!("user_key={text}")).is_ok(), "{text}");
    }
}

#[test]
fn what_is_made_of_a_finding_is_written_as_a_person_would() {
    let edit = CatalogEdit::of("metric", "a.b", "units", serde_json::json!(["user", "device"]));
    assert_eq!(edit.to_string(), r#"metric."a.b".units=["user","device"]"#);
    assert_eq!(CatalogEdit::parse(&edit.to_string()).unwrap(), edit);
    let edit = CatalogEdit::of("metric", "m", "event_key", serde_json::json!("Order Completed"));
    assert_eq!(CatalogEdit::parse(&edit.to_string()).unwrap(), edit);
}
