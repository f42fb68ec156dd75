//! The program as a shell runs it, without a screen: what goes to which stream, what the exit code is, and what
//! becomes of input that is damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The verdicts printed, one string a row: the event's number, its key and its verdict.
    fn verdicts(&self) -> Vec<String> {
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let key = row["key"].as_str().unwrap_or("-");
            format!("{} {key} {}", row["event"], row["verdict"].as_str().unwrap())
        };
        self.stdout.lines().map(row).collect()
    }

    fn report(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line").join(name)
}

/// A folder with a catalog of one experiment and one metric, for files of events.
struct Desk(TempDir);

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"

[[experiments]]
key = "cta-test"
flag = "cta"
variations = [{ index = 0 }, { index = 1 }]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;
const EXPOSURE: &str = r#"{"kind":"feature","key":"cta","creationDate":1767225600000,"context":{"kind":"user","key":"u1"},"variation":0,"reason":{"kind":"FALLTHROUGH","inExperiment":true}}"#;
const CHECKOUT: &str =
    r#"{"kind":"custom","key":"checkout","creationDate":1767225601000,"context":{"kind":"user","key":"u1"}}"#;
/// What EXPOSURE and CHECKOUT come to when they are read in this order and nothing else is.
const BOTH: [&str; 2] = ["0 cta exposure", "1 checkout counted"];

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.put("catalog.toml", CATALOG);
        desk
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    fn run_with(&self, stdin: impl AsRef<[u8]>, arguments: &[&str]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.as_ref().to_vec();
        // A program that refuses its options closes its input without reading it.
        let writing = std::thread::spawn(move || drop(input.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        Ran {
            code: output.status.code().expect("the program was killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with("", arguments)
    }

    fn verdicts(&self, sources: &[&str]) -> Ran {
        self.run(&[&["verdicts", "--catalog", "catalog.toml"], sources].concat())
    }

    /// The verdicts on a file with this content; nothing may be wrong with it.
    #[track_caller]
    fn reads_both(&self, name: &str, content: impl AsRef<[u8]>) {
        let ran = self.put(name, content).verdicts(&[name]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert_eq!(ran.verdicts(), BOTH);
    }
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_report_holds_every_field_of_its_contract_with_figures_computed_by_hand() {
    let desk = Desk::new();
    let (catalog, events) = (fixture("scenario.toml"), fixture("scenario.ndjson"));
    let source = events.to_str().unwrap();
    let ran = desk.run(&["report", "--format", "json", "--catalog", catalog.to_str().unwrap(), source]);
    let mut report = ran.report();
    for finding in report["findings"].as_array_mut().unwrap() {
        for words in ["summary", "fix"] {
            assert!(finding[words].as_str().unwrap().ends_with('.'), "{finding}");
            finding[words] = json!("text");
        }
    }
    for finding in report["fixes"]["remains"].as_array_mut().unwrap() {
        assert!(finding["fix"].as_str().unwrap().ends_with('.'), "{finding}");
        finding["fix"] = json!("text");
    }
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(fixture("report.json")).unwrap()).unwrap();
    assert_eq!(report["experiments"], expected["experiments"]);
    assert_eq!(report, expected);
    assert_eq!(
        ran.stderr,
        "1 of the events could not be read; the first: scenario.ndjson, line 11, byte 1: it is not JSON: expected a JSON value\n"
    );
    assert!(!ran.stdout.contains("-0.0"), "nothing is less than nothing");
}

#[test]
fn the_totals_of_a_report_add_up() {
    let desk = Desk::new();
    let (catalog, events) = (fixture("scenario.toml"), fixture("scenario.ndjson"));
    let report = desk
        .run(&["report", "--format", "json", "--catalog", catalog.to_str().unwrap(), events.to_str().unwrap()])
        .report();
    let sum = |counts: &Value| counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    let totals = &report["totals"];
    assert_eq!(sum(&totals["by_kind"]) + totals["undecodable"].as_u64().unwrap(), 23);
    assert_eq!(sum(&totals["verdicts"]), 23);
    for experiment in report["experiments"].as_array().unwrap() {
        for metric in experiment["metrics"].as_array().unwrap() {
            assert_eq!(json!(sum(&metric["verdicts"])), metric["received"], "{metric}");
        }
    }
}

#[test]
fn verdicts_hold_every_field_of_their_contract_and_number_unreadable_lines_too() {
    let desk = Desk::new();
    let (catalog, events) = (fixture("scenario.toml"), fixture("scenario.ndjson"));
    let ran = desk.run(&["verdicts", "--catalog", catalog.to_str().unwrap(), events.to_str().unwrap()]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.stdout, std::fs::read_to_string(fixture("verdicts.ndjson")).unwrap());
}

#[test]
fn lines_arrays_and_single_objects_are_recognised_by_their_content_and_not_by_their_name() {
    let desk = Desk::new();
    let both: Value = serde_json::from_str(&format!("[{EXPOSURE},{CHECKOUT}]")).unwrap();
    let objects = [&both[0], &both[1]].map(|event| serde_json::to_string_pretty(event).unwrap());
    desk.reads_both("lines", format!("{EXPOSURE}\n{CHECKOUT}\n"));
    desk.reads_both("lines.without-a-last-line-feed", format!("{EXPOSURE}\n{CHECKOUT}"));
    desk.reads_both("lines.crlf", format!("{EXPOSURE}\r\n\r\n{CHECKOUT}\r\n"));
    desk.reads_both("lines.with-a-byte-order-mark", format!("\u{feff}{EXPOSURE}\n{CHECKOUT}\n"));
    desk.reads_both("array", format!("[{EXPOSURE},{CHECKOUT}]"));
    desk.reads_both("array.with-a-byte-order-mark", format!("\u{feff}[{EXPOSURE},{CHECKOUT}]"));
    desk.reads_both("array.pretty", serde_json::to_string_pretty(&both).unwrap());
    desk.reads_both("arrays", format!("[{EXPOSURE}]\n[]\n[{CHECKOUT}]\n"));
    desk.reads_both("objects.pretty", objects.join("\n"));
    desk.reads_both("objects.on-one-line", format!("{EXPOSURE}{CHECKOUT}"));
    desk.reads_both("lines.gz", gzip(format!("{EXPOSURE}\n{CHECKOUT}\n")));
    desk.reads_both("array.compressed", gzip(serde_json::to_string_pretty(&both).unwrap()));
    let members = [gzip(format!("{EXPOSURE}\n")), gzip(CHECKOUT)].concat();
    desk.reads_both("lines.in-two-members.gz", members);
}

#[test]
fn standard_input_is_read_with_and_without_a_catalog() {
    let desk = Desk::new();
    let text = format!("{EXPOSURE}\n{CHECKOUT}\n");
    for stdin in [text.clone().into_bytes(), gzip(&text)] {
        let with = desk.run_with(&stdin, &["verdicts", "--catalog", "catalog.toml", "-"]);
        assert_eq!((with.code, with.verdicts(), with.stderr.as_str()), (0, BOTH.map(str::to_owned).to_vec(), ""));
        let report = desk.run_with(&stdin, &["report", "--format", "json", "-"]).report();
        assert_eq!(report["catalog"], "inferred");
        assert_eq!(report["totals"]["verdicts"]["counted"], 1);
    }
}

#[test]
fn without_a_catalog_nobody_is_told_to_attach_a_metric_to_an_experiment_there_is_not() {
    let ran = Desk::new().run_with(CHECKOUT, &["report", "-"]);
    assert!(ran.stdout.contains("metric-not-in-experiment"), "{}", ran.stdout);
    assert!(ran.stdout.contains("→ Name the experiments and their metrics with --catalog"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("Attach"), "{}", ran.stdout);
}

#[test]
fn a_pipe_that_has_a_name_is_read_once_with_and_without_a_catalog() {
    let desk = Desk::new();
    let made = Command::new("mkfifo").arg(desk.0.path().join("pipe")).status().unwrap();
    assert!(made.success());
    for arguments in [
        ["verdicts", "pipe"].as_slice(),
        &["verdicts", "--catalog", "catalog.toml", "pipe"],
        &["report", "--format", "json", "pipe"],
        &["report", "--format", "json", "--catalog", "catalog.toml", "pipe"],
    ] {
        let path = desk.0.path().join("pipe");
        let writing = std::thread::spawn(move || std::fs::write(path, format!("{EXPOSURE}\n{CHECKOUT}\n")).unwrap());
        let ran = desk.run(arguments);
        writing.join().unwrap();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        if arguments[0] == "report" {
            assert_eq!(ran.report()["totals"]["events"], 2);
        } else {
            assert_eq!(ran.verdicts(), BOTH);
        }
    }
}

#[test]
fn several_sources_are_read_as_one() {
    let desk = Desk::new();
    desk.put("a.ndjson", format!("{EXPOSURE}\n")).put("b.json", format!("[{CHECKOUT}]"));
    let ran = desk.run_with(CHECKOUT, &["verdicts", "--catalog", "catalog.toml", "a.ndjson", "b.json", "-"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.verdicts(), ["0 cta exposure", "1 checkout counted", "2 checkout counted-no-effect"]);
    let report = desk.run(&["report", "--format", "json", "b.json", "a.ndjson"]).report();
    assert_eq!(report["totals"]["verdicts"]["counted"], 1, "the catalog is inferred from all of them");
}

#[test]
fn what_cannot_be_opened_is_named_and_nothing_is_printed() {
    let desk = Desk::new();
    desk.put("events", EXPOSURE);
    std::fs::create_dir(desk.0.path().join("folder")).unwrap();
    for command in ["report", "verdicts"] {
        for (source, words) in [("nowhere.ndjson", "there is no such file"), ("folder", "this is a folder")] {
            let ran = desk.run(&[command, "--catalog", "catalog.toml", "events", source]);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
            assert!(ran.stderr.starts_with(&format!("{source}: {words}")), "{}", ran.stderr);
        }
    }
}

#[test]
fn an_empty_source_is_no_fault_but_is_pointed_out() {
    let desk = Desk::new();
    for content in ["", "\n\r\n\n", "[]", "\u{feff}"] {
        let report = desk.put("empty", content).run(&["report", "--format", "json", "empty"]);
        assert_eq!(report.report()["totals"]["events"], 0);
        assert_eq!(report.stderr, "no events: the sources are empty\n");
        let verdicts = desk.verdicts(&["empty"]);
        assert_eq!((verdicts.code, verdicts.stdout.as_str()), (0, ""));
    }
}

#[test]
fn a_source_without_anything_readable_is_refused_with_the_place_and_the_reason() {
    let desk = Desk::new();
    let ran = desk.put("notes.txt", "hello\nworld\n").verdicts(&["notes.txt"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(
        ran.stderr,
        "nothing readable: none of the 2 lines or values in notes.txt is a LaunchDarkly event; \
         the first: notes.txt, line 1, byte 1: it is not JSON: expected a JSON value\n"
    );
    for content in ["{}", "{\"kind\":3}", "[[]]", "\"text\"", "12", "\0\0\0", "null"] {
        let ran = desk.put("notes.txt", content).verdicts(&["notes.txt"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{content}");
        assert!(ran.stderr.contains("none of the 1 lines or values in notes.txt"), "{content}: {}", ran.stderr);
    }
}

/// The verdicts on some lines, and the note about the unreadable ones, without its beginning.
#[track_caller]
fn damaged(content: impl AsRef<[u8]>) -> (Vec<String>, String) {
    let ran = Desk::new().put("events", content).verdicts(&["events"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    (ran.verdicts(), ran.stderr)
}

#[test]
fn unreadable_lines_are_counted_and_the_note_names_the_first_by_file_line_and_byte() {
    let content = format!("{EXPOSURE}\n{{\"kind\":\"custom\",}}\n\nnot JSON\n{CHECKOUT}\n");
    let (verdicts, note) = damaged(content);
    assert_eq!(verdicts, ["0 cta exposure", "1 - undecodable", "2 - undecodable", "3 checkout counted"]);
    assert_eq!(
        note,
        "2 of the events could not be read; the first: events, line 2, byte 18: it is not JSON: expected a member name in quotes\n"
    );
}

#[test]
fn the_byte_is_that_of_the_file_where_bytes_that_are_not_text_stand_before_it() {
    let content = [EXPOSURE.as_bytes(), b"\n{\"kind\":\"\xff\xfe\xf0\x9f\",}\n"].concat();
    let (_, note) = damaged(content);
    assert!(note.contains("events, line 2, byte 16: it is not JSON"), "{note}");
}

#[test]
fn a_line_that_is_cut_off_is_one_unreadable_event_wherever_it_stands() {
    for cut in [1, 20, 60, 99] {
        let (verdicts, note) = damaged(format!("{EXPOSURE}\n{CHECKOUT}\n{}", &CHECKOUT[..cut]));
        assert_eq!(verdicts, [BOTH[0], BOTH[1], "2 - undecodable"]);
        assert!(note.starts_with("1 of the events could not be read; the first: events, line 3, byte"), "{note}");
        let (verdicts, _) = damaged(format!("{}\n{EXPOSURE}\n{CHECKOUT}\n", &CHECKOUT[..cut]));
        assert_eq!(verdicts, ["0 - undecodable", "1 cta exposure", "2 checkout counted"]);
        let (verdicts, _) = damaged(format!("[{}\n[{EXPOSURE}]\n[{CHECKOUT}]\n", &CHECKOUT[..cut]));
        assert_eq!(verdicts, ["0 - undecodable", "1 cta exposure", "2 checkout counted"]);
    }
}

#[test]
fn one_bad_event_of_an_array_spoils_no_other_however_the_array_is_written() {
    for bad in
        ["7", "{}", "{\"kind\":\"custom\",}", "{\"kind\":\"custom\",\"key\":\"a \" b\"}", "[1,[2]]", "{\"a\":{\"b\":}}"]
    {
        for between in [",", ",\n", ", ", ",\n  "] {
            let (verdicts, _) = damaged(format!("[{}]", [EXPOSURE, bad, CHECKOUT].join(between)));
            assert_eq!(verdicts, ["0 cta exposure", "1 - undecodable", "2 checkout counted"], "{bad} {between:?}");
        }
    }
    let (verdicts, _) = damaged(format!("[{EXPOSURE} {CHECKOUT}]"));
    assert_eq!(verdicts, ["0 cta exposure", "1 - undecodable", "2 checkout counted"], "a comma is missing");
}

#[test]
fn zero_bytes_and_bytes_that_are_not_text_stay_in_the_line_they_are_in() {
    let (verdicts, note) = damaged([EXPOSURE.as_bytes(), b"\n\0\0\0\n", CHECKOUT.as_bytes()].concat());
    assert_eq!(verdicts, ["0 cta exposure", "1 - undecodable", "2 checkout counted"]);
    assert!(note.contains("line 2, byte 1: it is not JSON"), "{note}");
    let key = b"{\"kind\":\"custom\",\"creationDate\":1767225601000,\"key\":\"caf\xe9\"}\n";
    let ran = Desk::new().put("events", [key, CHECKOUT.as_bytes()].concat()).verdicts(&["events"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.verdicts(), ["0 caf\u{fffd} no-metric-for-key", "1 checkout no-exposure"]);
}

#[test]
fn a_compressed_file_that_is_cut_off_gives_what_stands_before_the_cut() {
    let lines: String =
        (0..2000_u64).map(|n| format!("{}\n", CHECKOUT.replace("u1", &format!("u{}", n * n)))).collect();
    let whole = gzip(&lines);
    let desk = Desk::new();
    let ran = desk.put("events.gz", &whole[..whole.len() / 2]).verdicts(&["events.gz"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let verdicts = ran.verdicts();
    let unreadable = verdicts.iter().filter(|row| row.ends_with("undecodable")).count();
    assert!(verdicts.len() > 200, "{}", verdicts.len());
    assert!((1..=2).contains(&unreadable), "the line that is cut off, and the rest: {unreadable}");
    assert!(ran.stderr.starts_with(&format!("{unreadable} of the events could not be read")), "{}", ran.stderr);
    let tail = desk.put("tail.gz", [gzip(CHECKOUT), b"no gzip".to_vec()].concat()).verdicts(&["tail.gz"]);
    assert_eq!(tail.verdicts(), ["0 checkout no-exposure", "1 - undecodable"]);
    assert!(tail.stderr.contains("tail.gz, line 1: the gzip stream is damaged from here on"), "{}", tail.stderr);
    let nothing = desk.put("head.gz", [0x1f, 0x8b, 8]).verdicts(&["head.gz"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (2, ""));
}

/// An event on a line of this many bytes.
fn long_line(bytes: usize) -> String {
    let (before, after) = (r#"{"kind":"custom","key":"checkout","creationDate":1767225601000,"data":{"a":""#, r#""}}"#);
    format!("{before}{}{after}", "x".repeat(bytes - before.len() - after.len()))
}

#[test]
fn a_line_of_64_mib_is_read_and_a_longer_one_costs_only_itself() {
    let longest = 64 * 1024 * 1024;
    let (verdicts, note) = damaged(format!("{}\n{CHECKOUT}\n", long_line(longest)));
    assert_eq!((verdicts.len(), note.as_str()), (2, ""));
    // What stands in the part that is left out looks like an event, and is none.
    let trap = format!("{}{CHECKOUT}", long_line(longest + 5 * 1024 * 1024));
    let (verdicts, note) = damaged(format!("{EXPOSURE}\n{trap}\n{CHECKOUT}\n"));
    assert_eq!(verdicts, ["0 cta exposure", "1 - undecodable", "2 checkout counted"]);
    assert!(note.contains("line 2, byte"), "{note}");
}

#[test]
fn lines_are_numbered_through_where_a_large_file_is_read_in_parts() {
    let line = format!("{CHECKOUT}\n");
    let count = 16 * 1024 * 1024 / line.len();
    let content = format!("{}not JSON\n", line.repeat(count));
    let desk = Desk::new();
    let ran = desk.put("large", content).run(&["report", "--format", "json", "--catalog", "catalog.toml", "large"]);
    assert_eq!(ran.report()["totals"]["events"], count + 1);
    assert!(ran.stderr.contains(&format!("large, line {}, byte 1: it is not JSON", count + 1)), "{}", ran.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_closes_the_pipe_and_that_is_no_fault() {
    let desk = Desk::new();
    desk.put("many", format!("{CHECKOUT}\n").repeat(20_000));
    for arguments in [["verdicts", "many"].as_slice(), &["report", "many"], &["sources"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .args(arguments)
            .current_dir(desk.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let first = output.read(&mut [0; 1]).unwrap();
        drop(output);
        let ended = child.wait_with_output().unwrap();
        assert_eq!((first, ended.status.code()), (1, Some(0)), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}

#[test]
fn the_received_clock_is_refused_where_nothing_says_when_events_arrived() {
    let desk = Desk::new();
    desk.put("events", EXPOSURE);
    for command in ["report", "verdicts"] {
        let ran = desk.run(&[command, "--clock", "received", "events"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(
            ran.stderr.starts_with("events, line 1, byte 1: --clock received needs the arrival of every event"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_catalog_with_a_mistake_stops_everything_and_every_mistake_has_its_line() {
    let desk = Desk::new();
    desk.put("events", EXPOSURE);
    for (mistake, words) in [
        (CATALOG.replace("event_key", "event-key"), "bad.toml:4:"),
        (CATALOG.replace("[\"checkout-conversion\"]", "[\"checkout\"]"), "bad.toml:10:"),
        (CATALOG.replace("2026-01-01T00:00:00Z", "on Monday"), "bad.toml:11:"),
        (CATALOG.replace("[[metrics]]", "[[metrics]"), "bad.toml:2:"),
        ("{\"metrics\":[{\"key\":\"a\",\n\"colour\":1}]}".to_owned(), "bad.toml:2:"),
    ] {
        for command in ["report", "verdicts", "listen"] {
            let sources = if command == "listen" { ["--listen", "127.0.0.1:0"].as_slice() } else { &["events"] };
            let ran = desk.put("bad.toml", &mistake).run(&[&[command, "--catalog", "bad.toml"], sources].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command}: {}", ran.stderr);
            assert!(ran.stderr.lines().any(|line| line.starts_with(words)), "{words} {}", ran.stderr);
        }
    }
    let ran = desk.run(&["report", "--catalog", "nowhere.toml", "events"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("nowhere.toml: the catalog cannot be read"), "{}", ran.stderr);
}

#[test]
fn a_time_is_rfc_3339_or_epoch_milliseconds_and_changes_what_is_known() {
    let desk = Desk::new();
    desk.put("events", CHECKOUT);
    for time in ["2026-01-02T00:00:00Z", "1767312000000"] {
        let ran = desk.run(&["verdicts", "--catalog", "catalog.toml", "--observed-from", time, "events"]);
        assert_eq!(ran.verdicts(), ["0 checkout unknown-not-observed"]);
    }
    for time in ["tomorrow", "2026-01-02", "", "1e3"] {
        let ran = desk.run(&["report", &format!("--observed-from={time}"), "events"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.contains("expected a time such as 2026-01-01T00:00:00Z"), "{}", ran.stderr);
    }
}

#[test]
fn bad_use_is_exit_code_2_and_help_goes_to_standard_output() {
    let desk = Desk::new();
    for arguments in [["report"].as_slice(), &["verdicts", "--format", "json", "-"], &["frobnicate"], &["--no-such"]] {
        let ran = desk.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.starts_with("error: "), "{arguments:?}: {}", ran.stderr);
    }
    for argument in ["--help", "--version"] {
        let ran = desk.run(&[argument]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.to_lowercase().contains("exptap"));
    }
}

#[test]
fn without_a_terminal_the_screens_are_refused_with_what_to_do_instead() {
    let desk = Desk::new();
    for arguments in [["listen", "--listen", "127.0.0.1:0"].as_slice(), &["demo"], &[]] {
        let ran = desk.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains("terminal") && ran.stderr.contains("--no-tui"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn tables_and_notes_hold_nothing_a_terminal_would_obey() {
    let hostile = r"\u001b]0;owned\u0007\u001b[2J\u202e\u009b1m\r\nline";
    let checkout = CHECKOUT.replace("\"checkout\"", &format!("\"{hostile}\"")).replace("u1", &format!("u1{hostile}"));
    let exposure = EXPOSURE.replace("cta", hostile).replace("u1", &format!("u1{hostile}"));
    let bad = "{\"kind\":\"custom\u{1b}]0;owned\u{7}\"}".to_owned();
    let content = format!("{exposure}\n{checkout}\n{}\n{bad}\n", checkout.replace("custom", hostile));
    let desk = Desk::new();
    let name = "events\u{1b}]0;owned\u{7}\u{202e}";
    let ran = desk.put(name, content).run(&["report", name]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("owned") && ran.stderr.contains("line 4"), "{ran:?}");
    for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        let obeyed = text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(obeyed, None, "{stream}: {text:?}");
    }
    let missing = desk.run(&["report", "\u{1b}]0;owned\u{7}"]);
    assert!(!missing.stderr.contains('\u{1b}'), "{:?}", missing.stderr);
}

#[test]
fn a_redacted_copy_of_plain_events_comes_to_the_same_and_is_written_whole_or_not_at_all() {
    let desk = Desk::new();
    let text = format!("{EXPOSURE}\n{CHECKOUT}\n").replace("u1", "annabel.lee");
    desk.put("events.ndjson", &text);
    for output in ["shared.ndjson", "shared.ndjson.gz", "shared.ndjson.zst"] {
        let ran = desk.run(&["redact", "events.ndjson", "--catalog", "catalog.toml", "-o", output]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
        assert!(ran.stderr.contains("2  context keys"), "{}", ran.stderr);
        assert_eq!(desk.verdicts(&[output]).verdicts(), BOTH);
    }
    let path = desk.0.path().join("shared.ndjson");
    let shared = std::fs::read_to_string(&path).unwrap();
    assert!(!shared.contains("annabel") && shared.contains("\"checkout\""), "{shared}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let ran = desk.run_with(&text, &["redact", "-"]);
    assert_eq!(ran.code, 0);
    assert!(!ran.stdout.contains("annabel") && ran.stdout != shared, "another run has other stand-ins");

    let ran = desk.run(&["redact", "events.ndjson", "-o", "./events.ndjson"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("name another file"), "{}", ran.stderr);
    let ran = desk.run_with("nothing", &["redact", "-", "-o", "nothing.ndjson"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = desk.run(&["redact", "events.ndjson", "--dry-run", "-o", "nothing.ndjson"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    let ran = desk.run(&["redact", "events.ndjson", "-o", "nowhere/nothing.ndjson"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let mut files: Vec<String> =
        std::fs::read_dir(desk.0.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["catalog.toml", "events.ndjson", "shared.ndjson", "shared.ndjson.gz", "shared.ndjson.zst"]);
}

#[test]
fn a_redacted_recording_takes_the_named_catalog_along_and_is_marked() {
    let desk = Desk::new();
    let context = r#"{"kind":"user","key":"u1","plan":"Annabel's"}"#;
    let events = format!("[{EXPOSURE},{CHECKOUT}]").replace(r#"{"kind":"user","key":"u1"}"#, context);
    let filter = r#"filter = { type = "contextAttribute", contextKind = "user", attribute = "plan", op = "in", values = ["Annabel's"] }"#;
    desk.put(
        "filtered.toml",
        CATALOG.replace("event_key = \"checkout\"", &format!("event_key = \"checkout\"\n{filter}")),
    );
    desk.put(
        "session.exptap",
        format!("{{\"exptap\":1,\"note\":\"for Annabel\"}}\n{{\"t\":1767225602000,\"n\":1,\"path\":\"/bulk\",\"body\":{events}}}\n"),
    );
    let ran = desk.run(&["redact", "session.exptap", "--catalog", "filtered.toml", "-o", "shared.exptap.zst"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(desk.run(&["verdicts", "shared.exptap.zst"]).verdicts(), BOTH);
    let packed = std::fs::read(desk.0.path().join("shared.exptap.zst")).unwrap();
    let shared = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    assert!(shared.lines().next().unwrap().ends_with(r#""redacted":true}"#), "{shared}");
    assert!(!shared.contains("Annabel") && !shared.contains("u1"), "{shared}");
}

const SEGMENT_TRACK: &str =
    r#"{"type":"track","event":"Order Completed","userId":"u1","properties":{"revenue":"12.50"}}"#;

#[test]
fn map_prints_a_row_for_each_event_and_mapping() {
    let desk = Desk::new();
    let ran = desk.run_with(format!("{SEGMENT_TRACK}\nnot json\n"), &["map", "--now", "2026-01-01T00:00:00Z"]);
    let expected = concat!(
        r#"{"input":0,"mapping":0,"action":"trackEvent","matched":true,"request":{"method":"POST","url":"https://events.launchdarkly.com/events/bulk/client-side-id","headers":{"content-type":"application/json","user-agent":"SegmentDestination/2.2.0","x-launchdarkly-event-schema":"4"},"body":[{"kind":"custom","key":"Order Completed","contextKeys":{"user":"u1"},"creationDate":1767225600000,"metricValue":12.5,"data":{"revenue":"12.50"}}]},"error":null,"not_modelled":null}"#,
        "\n",
        r#"{"input":0,"mapping":1,"action":"aliasUser","matched":false,"request":null,"error":null,"not_modelled":null}"#,
        "\n",
        r#"{"input":1,"mapping":null,"action":null,"matched":false,"request":null,"error":"standard input, line 2, byte 1: it is not JSON: expected a JSON value","not_modelled":null}"#,
        "\n",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (0, expected));
    assert_eq!(
        ran.stderr,
        "1 of the lines could not be read; the first: standard input, line 2, byte 1: it is not JSON: expected a JSON value\n"
    );
}

#[test]
fn map_reads_files_and_refuses_a_mapping_file_that_is_none() {
    let desk = Desk::new();
    desk.put("events.json.gz", gzip(format!("[{SEGMENT_TRACK},\n{SEGMENT_TRACK}]")));
    desk.put(
        "m.toml",
        "[settings]\nclient_id = 'c'\n[[mappings]]\naction = 'trackEvent'\nsubscribe = 'type = \"track\"'\n[mappings.mapping]\nuser_key = 'u'\n",
    );
    let ran = desk.run(&["map", "--mapping", "m.toml", "events.json.gz"]);
    let errors: Vec<Value> =
        ran.stdout.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()["error"].clone()).collect();
    assert_eq!(errors, ["The root value is missing the required field 'event_name'."; 2]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));

    desk.put("bad.json", r#"{"settings":{},"mapping":[]}"#);
    let ran = desk.run(&["map", "--mapping", "bad.json", "events.json.gz"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(
        ran.stderr,
        "bad.json:1:16: the mapping file: unknown key \"mapping\"; expected one of settings, mappings; did you mean mappings?\n"
    );
    let ran = desk.run_with("nothing\n", &["map"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.starts_with("nothing readable: none of the 1 lines or values in standard input is a Segment event")
    );
    assert_eq!(desk.run_with("", &["map"]).code, 0);
    assert_eq!(desk.run(&["map", "nowhere.json"]).code, 2);
}
