#![allow(clippy::unwrap_used)]
use super::super::value::parse;
use super::*;

const EVENT: &str = r#"{"type":"track","event":"Order Completed","userId":"u1","properties":{"n":5,"s":"5","t":true,"f":false,
    "nil":null,"a b":"sp","list":[1,2],"emoji":"x🎉abc","quote":"it's"},"context":{"page":{"path":"/a"}}}"#;

/// Whether the event matches, or what is wrong with the trigger.
fn asked(trigger: &str) -> Result<bool, String> {
    let event = parse(EVENT).unwrap();
    Trigger::parse(trigger)?.matches(&event, &mut Work::default()).map_err(|problem| format!("{problem:?}"))
}

#[track_caller]
fn all(expected: bool, triggers: &[&str]) {
    for trigger in triggers {
        assert_eq!(asked(trigger), Ok(expected), "{trigger}");
    }
}

#[test]
fn texts_are_compared_as_they_stand() {
    all(
        true,
        &["type=\"track\"", "type = track", "type = \"track\"", "event = \"Order Completed\"", "type != \"page\""],
    );
    all(false, &["type = 'track'", "type = \"TRACK\"", "type = \"track \"", "event = \"Order \\\"Completed\\\"\""]);
    all(true, &["properties.s = \"5\"", "properties.missing != \"x\"", "properties.quote = \"it's\""]);
    all(false, &["properties.n = \"5\"", "properties.t = \"yes\""]);
}

#[test]
fn numbers_are_compared_with_numbers_only() {
    all(
        true,
        &["properties.n = 5", "properties.n != 4", "properties.n < 5.5", "properties.n >= 5", "properties.n > -1"],
    );
    all(
        false,
        &["properties.s = 5", "properties.s != 4", "properties.s > 1", "properties.missing != 4", "properties.t >= 1"],
    );
    all(true, &["properties.n > \"4\"", "properties.n > true", "properties.n = +5"]);
    all(false, &["properties.n > null", "properties.n = --5"]);
}

#[test]
fn null_true_and_false_are_known_below_properties_and_only_partly_elsewhere() {
    all(true, &["properties.nil = null", "properties.missing = null", "properties.n != null", "userId != null"]);
    all(true, &["properties.t = true", "properties.f = false", "properties.t != true"]);
    all(false, &["properties.t = \"true\"", "properties.t = false", "properties.s = true", "userId = true"]);
    // For the event's name null is but a text.
    all(true, &["event != null", "name = null"]);
    all(false, &["event = null"]);
}

#[test]
fn functions_need_a_text() {
    all(true, &["contains(event, \"Order\")", "!contains(event, \"order\")", "match(event, \"Order*\")"]);
    all(true, &["match(event, \"*pleted\")", "!match(event, \"*x\")", "match(context.page.path, \"/*\")"]);
    all(
        false,
        &["contains(properties.n, \"5\")", "!contains(properties.n, \"4\")", "!match(properties.missing, \"x*\")"],
    );
    // Without a star at its end a pattern is an ending, its first character left out.
    all(true, &["match(event, \"xpleted\")", "match(properties.emoji, \"🎉abc\")"]);
    all(false, &["match(event, \"*der*\")", "match(properties.emoji, \"*🎉x\")"]);
    // The type has no functions.
    assert_eq!(asked("contains(type, \"track\")"), Err(NOTHING.to_owned()));
}

#[test]
fn the_last_word_between_conditions_holds_for_all_of_the_group() {
    all(false, &["type=\"page\" or type=\"track\" and event=\"A\"", "type=\"track\" AND type=\"page\""]);
    all(true, &["type=\"page\" and event=\"A\" or type=\"track\""]);
    all(true, &["(type=\"page\" or type=\"track\") and event=\"Order Completed\"", "!(type = \"track\")"]);
    all(false, &["(type=\"page\" or type=\"screen\") and event=\"Order Completed\"", "!(type = \"page\")"]);
    all(true, &["type = \"track\" properties.n = 5"]);
    all(false, &["type = \"track\" properties.n = 6"]);
}

#[test]
fn what_cannot_be_read_is_invalid() {
    for trigger in [
        "",
        "  ",
        "garbage",
        "anonymousId = \"a\"",
        "integrations.All = true",
        "((type = \"track\"))",
        "(type = \"track\"",
        "type = \"track",
        "type = \"track\" && event = \"x\"",
        "type = \"track\" # c",
        "! (type = \"track\")",
        "type !=\"track\"",
        "\r",
        "()",
        "properties.a = 1.",
        "properties.a = 1.2.3",
    ] {
        assert_eq!(asked(trigger), Err(NOTHING.to_owned()), "{trigger:?}");
    }
    assert_eq!(asked("type"), Err("Value token is missing".to_owned()));
    assert_eq!(asked("!contains"), Err("contains() is missing a 1st argument".to_owned()));
    assert_eq!(asked("match(event"), Err("match() is missing a 2nd argument".to_owned()));
}

#[test]
fn what_is_not_known_is_passed_over() {
    all(true, &["anonymousId = \"a\" and type = \"track\"", "type = \"track\" )"]);
    // A second operator is taken for the literal, and the literal for a word without meaning.
    all(false, &["type == \"track\""]);
    // An index leaves an operator that is a bracket, and takes the next condition's value for one without an operator.
    assert!(asked("properties.list[0] = 1 and type = \"track\"").is_err());
}

#[test]
fn names_can_be_escaped_and_paths_go_into_lists() {
    all(
        true,
        &["properties.a\\ b = \"sp\"", "properties.list\\[0\\] = 1", "properties.list.1 = 1 or properties.n = 5"],
    );
}

#[test]
fn an_empty_group_among_others_fails_when_it_is_reached() {
    assert_eq!(asked("() and type = \"page\""), Err(format!("{:?}", Problem::Refused(NOTHING.to_owned()))));
    all(false, &["type = \"page\" and ()"]);
}

#[test]
fn a_word_that_ends_the_text_too_early_loses_its_end() {
    assert_eq!(asked("type != an"), Ok(true));
    assert_eq!(Trigger::parse("type = an"), Trigger::parse("type = a"));
    assert_ne!(Trigger::parse("type = an "), Trigger::parse("type = a"));
}
