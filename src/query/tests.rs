#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::reason::ReasonCode;
use proptest::prelude::*;

const NOW: Situation = Situation { now_ms: 1_767_270_600_000, utc_offset_seconds: 3600 };

fn query(text: &str) -> Query {
    Query::parse(text, NOW).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    Query::parse(text, NOW).unwrap_err().to_string()
}

fn names() -> Names {
    Names {
        experiments: vec!["checkout-cta-test".into(), "search-ranker".into()],
        metrics: vec!["checkout-conversion".into(), "order-value".into()],
    }
}

fn verdict(iteration: u32, metric: u32, code: ReasonCode) -> RowVerdict {
    RowVerdict { iteration, metric: Some(metric), code, variation: None, revised: false }
}

/// A conversion that counts in one experiment and is dropped in the other.
fn row() -> EventRow {
    EventRow {
        event: 7,
        request: Some(2),
        arrival_ms: 1_767_270_000_000,
        t_ms: Some(1_767_269_999_000),
        kind: "custom".into(),
        key: "Checkout".into(),
        units: vec![("user".into(), "u-1".into()), ("device".into(), "D/9".into())],
        source: "NodeJSClient/9.13.7".into(),
        code: ReasonCode::Counted,
        best: Some(0),
        verdicts: vec![verdict(0, 0, ReasonCode::Counted), verdict(1, 1, ReasonCode::EventLacksUnit)],
        warnings: vec![ReasonCode::FirstSeenHere],
        note: Some("the metric analyses user".into()),
        noise: false,
        was_shown_otherwise: false,
        segment: None,
    }
}

fn lets_through(text: &str) -> bool {
    query(text).matches(&row(), &names())
}

#[track_caller]
fn check(through: &[&str], out: &[&str]) {
    for text in through {
        assert!(lets_through(text), "{text} should let it through");
    }
    for text in out {
        assert!(!lets_through(text), "{text} should keep it out");
    }
}

#[test]
fn a_field_is_compared_whole_with_stars_in_smart_case() {
    check(
        &[
            "kind:custom",
            "KIND:custom",
            "key:checkout",
            "key:Checkout",
            "key:ch*t",
            "key:*",
            "unit:u-1",
            "unit:user/u-1",
            "unit:device/*",
            "unit:d/9",
            "source:nodejsclient",
            "source:*9.13*",
            "exp:search-*",
            "metric:order-value",
        ],
        &[
            "kind:cust",
            "key:CHECKOUT",
            "key:check",
            "unit:user",
            "unit:u-",
            "source:python*",
            "exp:search",
            "metric:*x*",
        ],
    );
}

#[test]
fn a_sender_of_segment_s_is_found_by_segment_and_by_its_own_name() {
    let mut row = row();
    row.source = "Segment analytics-node/2.2.0".into();
    row.units = vec![("userId".into(), "u-7".into())];
    for text in
        ["source:segment", "source:analytics-node", "source:analytics-node/2.2.0", "unit:u-7", "unit:userId/u-7"]
    {
        assert!(query(text).matches(&row, &names()), "{text}");
    }
    for text in ["source:analytics", "source:2.2.0", "unit:user/u-7"] {
        assert!(!query(text).matches(&row, &names()), "{text}");
    }
    for other in ["SegmentDestination/2.2.0", "Segmented events/1"] {
        row.source = other.into();
        assert!(!query("source:segment").matches(&row, &names()), "{other}");
    }
}

#[test]
fn quotes_and_slashes_after_a_field_compare_exactly_and_by_expression() {
    check(
        &["key:\"Checkout\"", "key:/^check/", "unit:/^user\\/u/", "exp:\"search-ranker\""],
        &["key:\"checkout\"", "key:\"Check*\"", "key:/^Chek/", "key:/^CHECK/"],
    );
}

#[test]
fn words_are_found_fuzzily_text_as_it_stands_and_expressions_as_they_say() {
    check(
        &[
            "checkout",
            "chkout",
            "Checkout",
            "nodejs",
            "\"analyses user\"",
            "/9\\.1\\d/",
            "/lient/",
            "u-1",
            "event-lacks order-value",
        ],
        &["CHECKOUT", "\"chkout\"", "\"Analyses\"", "zebra", "/^zebra/"],
    );
}

#[test]
fn conditions_combine_with_and_or_not_and_parentheses() {
    check(
        &[
            "kind:custom key:checkout",
            "kind:custom and key:checkout",
            "kind:feature or key:checkout",
            "not kind:feature",
            "not (kind:feature or kind:click)",
            "kind:feature key:x or key:checkout",
            "kind:custom (key:x or unit:u-1)",
            "NOT kind:feature AND key:*",
        ],
        &["kind:custom key:x", "not kind:custom", "not not kind:feature", "(kind:feature or key:checkout) key:x"],
    );
    assert!(query("  ").is_empty());
    assert!(lets_through(""));
}

#[test]
fn beside_an_experiment_or_a_metric_code_and_verdict_speak_of_that_very_verdict() {
    check(
        &[
            "verdict:counted",
            "code:event-lacks-unit",
            "code:first-seen-here",
            "verdict:counted code:event-lacks-unit",
            "exp:search-ranker code:event-lacks-unit",
            "exp:search-ranker verdict:dropped",
            "metric:order-value verdict:dropped",
            "exp:search-ranker (code:no-exposure or code:event-*)",
            "exp:search-ranker not verdict:counted",
            "verdict:about",
        ],
        &[
            "verdict:dropped",
            "exp:checkout-cta-test code:event-lacks-unit",
            "exp:search-ranker verdict:counted",
            "exp:search-ranker metric:checkout-conversion",
            "verdict:not-about",
            "code:no-exposure",
        ],
    );
}

#[test]
fn an_event_no_experiment_is_about_is_found_by_its_own_code() {
    let lonely = EventRow { code: ReasonCode::NoMetricForKey, best: None, verdicts: Vec::new(), ..row() };
    let holds = |text: &str| query(text).matches(&lonely, &names());
    assert!(holds("code:no-metric-*") && holds("verdict:dropped") && holds("not exp:*"));
    assert!(!holds("exp:* code:no-metric-for-key"));
}

#[test]
fn since_takes_in_its_instant_and_until_leaves_it_out() {
    check(
        &[
            "since:1767269999000",
            "until:1767269999001",
            "since:2026-01-01T12:19:59Z",
            "since:11m",
            "since:1d until:5m",
            "since:13:19:59",
        ],
        &["since:1767269999001", "until:1767269999000", "since:10m", "since:13:20", "until:13:19"],
    );
    let unread = EventRow { t_ms: None, ..row() };
    assert!(query("since:1767270000000").matches(&unread, &names()), "arrival stands in for an instant it lacks");
}

#[test]
fn a_time_of_day_is_the_last_one_the_local_clock_showed() {
    // It is 13:30 local time, 12:30 UTC.
    assert_eq!(query("since:13:30").to_string(), "since:1767270600000");
    assert_eq!(query("since:13:31").to_string(), "since:1767184260000", "yesterday");
    assert_eq!(query("since:00:00").to_string(), "since:1767222000000");
    assert_eq!(query("until:90s").to_string(), "until:1767270510000");
}

#[test]
fn the_same_filter_works_on_anything_that_has_names() {
    let finding =
        [("code", "event-lacks-unit"), ("exp", "search-ranker"), ("summary", "no device key"), ("t", "1767270000000")];
    let unit = [
        ("unit", "user/u-1"),
        ("verdict", "dropped"),
        ("verdict", "not-about-an-experiment"),
        ("source", "Python/9.2"),
    ];
    for (text, on_finding, on_unit) in [
        ("code:event-*", true, false),
        ("exp:search-ranker code:event-lacks-unit", true, false),
        ("\"device key\"", true, false),
        ("since:1767270000000", true, false),
        ("unit:u-1", false, true),
        ("verdict:about", false, true),
        ("verdict:not-about", false, true),
        ("verdict:counted", false, false),
        ("source:python", false, true),
        ("not unit:u-2", true, true),
        ("1767270000000", false, false),
    ] {
        assert_eq!(query(text).matches_text(&finding), on_finding, "{text} on the finding");
        assert_eq!(query(text).matches_text(&unit), on_unit, "{text} on the unit");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_column_and_the_nearest_name() {
    let expected = [
        (
            "kind:custom knd:x",
            "column 13: there is no field \"knd\"; expected one of kind, key, unit, exp, metric, verdict, code, source, since, until; did you mean kind?",
        ),
        (
            "experiment:x",
            "column 1: there is no field \"experiment\"; expected one of kind, key, unit, exp, metric, verdict, code, source, since, until; did you mean exp?",
        ),
        (
            "https://shop.example",
            "column 1: there is no field \"https\"; expected one of kind, key, unit, exp, metric, verdict, code, source, since, until; to find it as text, put it in quotes",
        ),
        (
            "é verdict:droped",
            "column 11: there is no verdict \"droped\"; expected counted, exposure, pending, unknown, dropped, about, not-about, duplicate or undecodable; did you mean dropped?",
        ),
        (
            "code:no-exposur",
            "column 6: there is no code \"no-exposur\"; expected a reason code, with * for any part of it; did you mean no-exposure?",
        ),
        (
            "key:",
            "column 5: key: has no value; expected one right after the colon, in quotes if it holds spaces or parentheses",
        ),
        (
            "since:noon",
            "column 7: since: \"noon\" is not a time; expected a time of day (12:30 or 12:30:05), how long ago (30s, 5m, 2h, 1d), RFC 3339 or epoch milliseconds",
        ),
        ("a or", "column 5: found the end; expected a word, field:value, \"text\", /regex/, not or ("),
        ("or a", "column 1: found \"or\"; expected a word, field:value, \"text\", /regex/, not or ("),
        ("(a", "column 1: this parenthesis is never closed; expected ) at the end"),
        ("a)", "column 2: this parenthesis closes nothing; remove it or open one before"),
        ("()", "column 2: found \")\"; expected a word, field:value, \"text\", /regex/, not or ("),
        ("\"a", "column 1: this quote is never closed; expected \" at the end of the text"),
        (
            "/a",
            "column 1: this regular expression is never closed; expected / at its end; to find a slash, put the text in quotes",
        ),
        ("/a(/", "column 1: this is not a regular expression: unclosed group; correct it, or put the text in quotes"),
    ];
    for (text, error) in expected {
        assert_eq!(refused(text), error);
    }
    assert!(refused(&"(".repeat(100_000)).contains("write it flatter"));
    assert!(refused(&"not ".repeat(100_000)).contains("write it flatter"));
}

#[test]
fn a_hostile_expression_is_refused_or_runs_in_linear_time() {
    let long = EventRow { key: "a".repeat(100_000).into(), ..row() };
    assert!(!query("/(a+)+$x/").matches(&long, &names()));
    assert!(refused("/((a{1000}){1000}){1000}/").contains("not a regular expression"));
}

#[test]
fn a_program_can_ask_for_exactly_one_name() {
    let odd = r#"say "hi" \ *"#;
    let row = EventRow { key: odd.into(), ..row() };
    let text = format!("key:{}", quoted(odd));
    assert!(query(&text).matches(&row, &names()));
    assert_eq!(query(&text).to_string(), text);
}

#[test]
fn fuzzy_scores_prefer_what_is_closer() {
    let near = fuzzy_score("checkout", "check").unwrap();
    let far = fuzzy_score("c-h-e-c-k", "check").unwrap();
    assert!(near > far);
    assert_eq!(fuzzy_score("checkout", "xyz"), None);
    assert_eq!(fuzzy_score("checkout", "Check"), None, "a capital makes case count");
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_is_printed_reads_back_as_an_equal_filter(
        text in r#"(kind:|key:|since:5m|until:|code:no-\*|verdict:dropped|exp:|not |or |and |[a-c*"/\\():. é1]){0,12}"#,
    ) {
        if let Ok(parsed) = Query::parse(&text, NOW) {
            let printed = parsed.to_string();
            let later = Situation { now_ms: NOW.now_ms + 1_000_000, utc_offset_seconds: 0 };
            prop_assert_eq!(Query::parse(&printed, later), Ok(parsed.clone()), "printed as {}", printed);
            parsed.matches(&row(), &names());
        }
    }

    #[test]
    fn any_text_at_all_is_parsed_or_refused_within_its_columns(text in ".{0,40}") {
        if let Err(error) = Query::parse(&text, NOW) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
        }
    }

    #[test]
    fn a_glob_agrees_with_the_same_pattern_as_an_expression(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
        let expression = format!("^{}$", pattern.replace('*', ".*"));
        prop_assert_eq!(glob(&pattern, &text), regex::Regex::new(&expression).unwrap().is_match(&text));
    }

    #[test]
    fn fuzzy_search_takes_any_text(text in ".{0,60}", pattern in ".{0,20}") {
        fuzzy_score(&text, &pattern);
    }
}
