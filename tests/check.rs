//! `exptap check`: what holds, what does not and what is said of it, and how a mistake is pointed at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::check::{self, Case, junit};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line")
}

fn run(arguments: &[&str]) -> Ran {
    let output =
        Command::new(env!("CARGO_BIN_EXE_exptap")).arg("check").args(arguments).current_dir(folder()).output().unwrap();
    // What is unreadable in the scenario is said every time; it is not what these tests are about.
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stderr =
        stderr.lines().filter(|line| !line.contains("could not be read; the first")).map(|line| format!("{line}\n"));
    Ran {
        code: output.status.code().expect("the program was killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: stderr.collect(),
    }
}

fn check(expectations: &[&str]) -> Ran {
    let mut arguments = vec!["scenario.ndjson", "--catalog", "scenario.toml"];
    for expectation in expectations {
        arguments.extend(["--expect", expectation]);
    }
    run(&arguments)
}

#[test]
fn everything_the_report_says_can_be_expected() {
    let holding = [
        "finding of severity error code no-exposure",
        "finding of severity warning",
        "no finding of severity info",
        "no finding code flag-off",
        "totals events = 23",
        "events == 23",
        "lost = 0",
        "undecodable <= 1",
        "duplicate_payloads = 0",
        "requests = 0",
        "totals counted = 8",
        "totals not-about-an-experiment = 2",
        "totals by_kind custom > 10",
        "totals by_kind click = 0",
        "cta-test units = 1",
        "cta-test@a units = 3",
        "cta-test@a crossover_units = 1",
        "cta-test@a crossover-exposure = 1",
        "cta-test@a repeat-exposure = 1",
        "banner-test exposure-lacks-unit = 4",
        "banner-test flag-off = 0",
        "cta-test@a/views received = 3",
        "cta-test@a/views counted != 3",
        "cta-test@a/views conversion-before-exposure < 2",
        "cta-test@a/revenue sum = 20",
        "cta-test@a/revenue converting_units = 1",
        "cta-test@a/revenue/treatment mean = 10",
        "cta-test@a/revenue/1 mean = 10",
        "cta-test@a/load-time/control percentile = 100",
        "cta-test@a/checkout-conversion/control rate = 1",
        "cta-test@a/checkout-conversion/treatment units = 2",
        "cta-test@a/checkout-conversion/treatment cross_arm_units = 0",
        "\"cta-test\" @ \"b\" / \"checkout-conversion\" counted = 1",
        "search-test/checkout-conversion metric-unit-mismatch >= 4",
    ];
    let ran = check(&holding);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    let expected: String = holding.iter().map(|text| format!("ok    {text}\n")).collect();
    assert_eq!(ran.stdout, format!("{expected}all {} expectations hold\n", holding.len()));
}

#[test]
fn what_does_not_hold_is_told_with_what_is_behind_it_and_what_to_change() {
    let ran = check(&[
        "cta-test@a/checkout-conversion counted >= 3",
        "cta-test@a units >= 3",
        "banner-test units >= 1",
        "no finding code event-key-case",
        "finding code flag-off",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let expected = "\
FAIL  cta-test@a/checkout-conversion counted >= 3
      expected counted >= 3; it is 2
      - iteration a (there is also cta-test@b): 4 received, 2 counted
      - 1 after-iteration-end: It happened after the iteration had stopped.
        → Start a new iteration if the experiment should still measure.
      - 1 no-exposure: user u3 never received cta in this iteration.
        → Evaluate cta for this very context (call variation()) before the conversion.
      - error event-key-case (1 event, checkout-conversion): The event key “Checkout” is not “checkout”: they differ by upper and lower case. Keys are compared byte for byte.
        → Send “checkout”, or change the metric's event key.
ok    cta-test@a units >= 3
FAIL  banner-test units >= 1
      expected units >= 1; it is 0
      - iteration 1, units by arm: none
      - 4 exposure-lacks-unit: The flag was evaluated without a user context, so the unit was not in the experiment.
        → Evaluate banner with a context that has a user key.
FAIL  no finding code event-key-case
      there is 1 such finding
      - error event-key-case (1 event, checkout-conversion): The event key “Checkout” is not “checkout”: they differ by upper and lower case. Keys are compared byte for byte.
        → Send “checkout”, or change the metric's event key.
FAIL  finding code flag-off
      there is no such finding; there are 10 others
4 of 5 expectations do not hold
";
    assert_eq!(ran.stdout, expected);
}

#[test]
fn a_figure_there_is_none_of_fails_with_the_reason() {
    let observed = run(&[
        "scenario.ndjson",
        "--catalog",
        "scenario.toml",
        "--observed-from",
        "2026-01-15T00:00:00Z",
        "--expect",
        "cta-test@a/checkout-conversion/control rate >= 0",
        "--expect",
        "cta-test@a/views/control mean < 1e9",
    ]);
    assert_eq!(observed.code, 1);
    assert_eq!(
        observed.stdout.matches("there is none: the history of this iteration is not complete").count(),
        2,
        "{}",
        observed.stdout
    );
    let whys = [
        ("cta-test@a/views/control rate >= 0", "this metric has a mean instead"),
        ("cta-test@a/checkout-conversion/control mean >= 0", "this metric has a rate instead"),
        ("cta-test@a/load-time/control mean >= 0", "this metric has a percentile instead"),
        ("cta-test@a/views/control percentile >= 0", "this is no percentile metric"),
        ("cta-test@b/checkout-conversion/control rate >= 0", "no unit is in control"),
        ("cta-test sample_ratio p != 2", "there are too few units for a sample ratio"),
        ("search-test sample_ratio p != 2", "the catalog names no arms with an allocation to compare with"),
    ];
    for (expectation, why) in whys {
        let ran = check(&[expectation]);
        assert_eq!(ran.code, 1, "{expectation}");
        assert!(ran.stdout.contains(&format!("; there is none: {why}\n")), "{}", ran.stdout);
    }
}

#[test]
fn without_expectations_no_finding_may_be_an_error() {
    let ran = check(&[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.starts_with("FAIL  no finding of severity error\n      there are 9 such findings\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("      - … and 6 more\nthe expectation does not hold\n"), "{}", ran.stdout);
}

#[test]
fn a_mistake_is_pointed_at_and_the_nearest_name_is_given() {
    let cases = [
        (
            "cta-tst units > 1",
            1,
            "there is no experiment \"cta-tst\"; expected one of cta-test, search-test, banner-test; did you mean cta-test?",
        ),
        (
            "cta-test/viws counted >= 1",
            10,
            "there is no metric \"viws\"; expected one of revenue, load-time, views, checkout-conversion; did you mean views?",
        ),
        (
            "cta-test/views/contrl mean > 1",
            16,
            "there is no arm \"contrl\"; expected one of control, treatment; did you mean control?",
        ),
        ("cta-test@c units > 1", 10, "there is no iteration \"c\"; expected one of a, b"),
        (
            "cta-test/views rate > 1",
            16,
            "EXPERIMENT/METRIC has no field \"rate\"; expected received, counted, converting_units, cross_arm_units, conversions, sum, or a reason code; rate is a field of EXPERIMENT/METRIC/ARM",
        ),
        (
            "cta-test event-lacks-unit = 0",
            10,
            "EXPERIMENT has no field \"event-lacks-unit\"; expected units, crossover_units, sample_ratio, or a reason code; event-lacks-unit is a field of EXPERIMENT/METRIC",
        ),
        (
            "cta-test/views event-lacks-unt = 0",
            16,
            "EXPERIMENT/METRIC has no field \"event-lacks-unt\"; expected received, counted, converting_units, cross_arm_units, conversions, sum, or a reason code; did you mean event-lacks-unit?",
        ),
        (
            "cta-test/views event-key-case = 0",
            16,
            "EXPERIMENT/METRIC has no field \"event-key-case\"; expected received, counted, converting_units, cross_arm_units, conversions, sum, or a reason code; to ask of findings: finding code event-key-case",
        ),
        (
            "cta-test/views counted extra > 0",
            24,
            "counted has no field \"extra\" of its own; expected one of = != < <= > >=",
        ),
        ("cta-test sample_ratio q > 1", 23, "found \"q\"; expected p, chi_square or bayes_factor after sample_ratio"),
        ("cta-test sample_ratio > 1", 10, "expected p, chi_square or bayes_factor after sample_ratio"),
        (
            "totals by_kind > 1",
            8,
            "by_kind needs a kind of event after it, such as custom; seen: custom, feature, identify, summary",
        ),
        (
            "no finding of severity eror",
            24,
            "found \"eror\"; expected a severity: error, warning or info; did you mean error?",
        ),
        (
            "finding code no-exposur",
            14,
            "found \"no-exposur\"; expected a reason code, as in docs/reasons.md; did you mean no-exposure?",
        ),
        ("finding of code x", 12, "found \"code\"; expected severity after of"),
        ("finding severity error", 9, "found \"severity\"; expected of severity S, code C, or the end"),
        ("no units > 1", 4, "found \"units\"; expected finding after no"),
        ("cta-test/views counted > many", 26, "found \"many\"; expected a number, such as 1 or 0.05"),
        ("cta-test/views counted > inf", 26, "found \"inf\"; expected a number, such as 1 or 0.05"),
        ("cta-test/views counted", 23, "found the end; expected one of = != < <= > >="),
        ("cta-test/views counted ! 1", 24, "found !; expected !=, or the name in quotes"),
        (
            "cta-test units > 1 and lost = 0",
            20,
            "found \"and\"; expected the end of the expectation; one expectation says one thing: give several, all must hold",
        ),
        ("\"cta-test units > 1", 1, "this quote is never closed; expected \" at the end of the name"),
        ("\"\" units > 1", 1, "there is nothing between these quotes; expected a name"),
        (
            "a/b/c/d units > 1",
            6,
            "found /; expected a field of the report, or a reason code, in quotes if it holds spaces, slashes or signs",
        ),
        (
            "",
            1,
            "there is no expectation here; expected [no] finding [of severity S] [code C], or EXPERIMENT[/METRIC[/ARM]] FIELD OP NUMBER",
        ),
    ];
    for (expectation, column, message) in cases {
        let ran = check(&[expectation]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{expectation}");
        let caret = format!("    {}^", " ".repeat(column - 1));
        assert_eq!(ran.stderr, format!("--expect, column {column}: {message}\n    {expectation}\n{caret}\n"));
    }
}

#[test]
fn every_mistake_is_told_at_once_and_nothing_is_checked() {
    let ran = check(&["cta-tst units > 1", "lost = 0", "nowhere units > 1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(ran.stderr.matches("there is no experiment").count(), 2, "{}", ran.stderr);
}

#[test]
fn expectations_come_from_a_file_too_and_a_mistake_there_has_its_line() {
    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join("expect.txt");
    let name = file.to_str().unwrap();
    let with = |content: &str| {
        std::fs::write(&file, content).unwrap();
        run(&["scenario.ndjson", "--catalog", "scenario.toml", "--expect", "lost = 0", "--expect-file", name])
    };
    let ran = with("\u{feff}# what the shop needs\r\n\r\n  events >= 1\r\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "ok    lost = 0\nok    events >= 1\nall 2 expectations hold\n"));
    let ran = with("events >= 1\n\nevents => 1\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("expect.txt, line 3, column 9: found >; expected a number"), "{}", ran.stderr);
    std::fs::write(&file, "# nothing\n").unwrap();
    let ran = run(&["scenario.ndjson", "--expect-file", name]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.ends_with("expect.txt: there is no expectation in it; expected one a line\n"), "{}", ran.stderr);
    let ran = run(&["scenario.ndjson", "--expect-file", "nowhere.txt"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("nowhere.txt: the expectations cannot be read: "), "{}", ran.stderr);
}

#[test]
fn junit_has_one_case_per_expectation_in_a_file_or_on_standard_output() {
    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join("checks.xml");
    let arguments =
        ["scenario.ndjson", "--catalog", "scenario.toml", "--expect", "lost = 0", "--expect", "lost > 5", "--junit"];
    let to_file = run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(to_file.code, 1);
    assert!(to_file.stdout.ends_with("1 of 2 expectations does not hold\n"), "{}", to_file.stdout);
    let to_stdout = run(&[&arguments[..], &["-"]].concat());
    assert_eq!((to_stdout.code, &to_stdout.stdout), (1, &std::fs::read_to_string(&file).unwrap()));
    assert_eq!(to_stdout.stderr, to_file.stdout);
    let document = roxmltree::Document::parse(&to_stdout.stdout).unwrap();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("2"), Some("1")));
    let names: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .map(|node| node.attribute("name").unwrap())
        .collect();
    assert_eq!(names, ["lost = 0", "lost > 5"]);
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert_eq!(failure.attribute("message"), Some("expected lost > 5; it is 0"));
    assert!(failure.text().unwrap().starts_with("23 events: 8 counted, 5 dropped"), "{failure:?}");
    let nowhere = run(&[&arguments[..], &["nowhere/checks.xml"]].concat());
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.starts_with("nowhere/checks.xml: the result cannot be written: "), "{}", nowhere.stderr);
}

#[test]
fn without_a_catalog_a_name_is_sought_in_what_the_traffic_suggests() {
    let ran = run(&["scenario.ndjson", "--expect", "cta units >= 1", "--expect", "cta/checkout counted >= 1"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    let ran = run(&["scenario.ndjson", "--expect", "cta-test units >= 1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("expected one of cta, search"), "{}", ran.stderr);
}

proptest! {
    #[test]
    fn junit_is_xml_whatever_the_text(name in "\\PC{0,20}|(?s).{0,20}", found in "(?s).{0,20}", line in "(?s).{0,20}") {
        let xml = junit::xml(&name, &[
            Case { expectation: name.clone(), failure: Some((found, vec![line.clone(), line])) },
            Case { expectation: name.clone(), failure: None },
        ]);
        let document = roxmltree::Document::parse(&xml);
        prop_assert!(document.is_ok(), "{document:?}\n{xml}");
        prop_assert!(!xml.contains(|it: char| it.is_control() && it != '\n'));
    }

    #[test]
    fn names_read_back_as_they_are_written(name in "(?s).{1,12}", metric in "\\PC{1,12}", number in -1e12..1e12_f64) {
        let quoted = exptap::query::quoted;
        let text = format!("{}@{} / {} counted >= {number}", quoted(&name), quoted(&metric), quoted(&metric));
        let read = check::parse(&text).unwrap();
        prop_assert_eq!(check::parse(&read.to_string()).unwrap(), read);
    }
}
