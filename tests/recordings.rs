//! What recordings/ tells: each is read, and replayed, and what exptap finds is compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use exptap::catalog::load::Format;
use exptap::headless::{self, Read, Request};
use exptap::input::Source;
use exptap::replay::{Engine, RecordingFile, ReplayOptions, Wake};
use exptap::segment::{Destination, mapping_file};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A recording with what is found in it: severity, code, experiment, metric, events, units.
struct Expected {
    file: &'static str,
    /// Counted, dropped, exposures.
    totals: (u64, u64, u64),
    findings: &'static [&'static str],
}

const EXPECTED: &[Expected] = &[
    Expected {
        file: "metric-unit-mismatch.exptap",
        totals: (0, 14, 40),
        findings: &["error metric-unit-mismatch checkout-cta-test checkout-conversion 14 14"],
    },
    Expected {
        file: "event-lacks-unit.exptap",
        totals: (4, 20, 40),
        findings: &["error event-lacks-unit checkout-cta-test checkout-conversion 20 20"],
    },
    Expected {
        file: "segment-id-mismatch.exptap",
        totals: (0, 15, 30),
        findings: &[
            "error no-exposure checkout-cta-test checkout-conversion 15 15",
            "error segment-id-mismatch checkout-cta-test checkout-conversion 15 15",
        ],
    },
    Expected {
        file: "segment-default-mapping.exptap",
        totals: (0, 88, 40),
        findings: &[
            "error event-lacks-unit checkout-cta-test products-added 70 40",
            "error event-lacks-unit checkout-cta-test checkout-conversion 18 18",
            "error event-lacks-unit checkout-cta-test order-value 18 18",
            "warning placeholder-key - - 4 1",
        ],
    },
    Expected {
        file: "segment-device-mapping.exptap",
        totals: (88, 0, 40),
        findings: &["warning placeholder-key - - 4 1"],
    },
    Expected {
        file: "event-key-typo.exptap",
        totals: (0, 15, 30),
        findings: &[
            "error event-key-case - checkout-conversion 15 15",
            "warning no-metric-events checkout-cta-test checkout-conversion 0 0",
        ],
    },
    Expected {
        file: "no-exposure.exptap",
        totals: (4, 30, 10),
        findings: &["error no-exposure checkout-cta-test checkout-conversion 30 30"],
    },
    Expected {
        file: "exposure-too-old.exptap",
        totals: (3, 9, 30),
        findings: &["warning attribution-window-expired checkout-cta-test checkout-conversion 9 9"],
    },
    Expected {
        file: "two-variations.exptap",
        totals: (18, 0, 80),
        findings: &["warning crossover-exposure checkout-cta-test - 21 21"],
    },
    Expected {
        file: "metric-not-attached.exptap",
        totals: (0, 20, 60),
        findings: &["warning metric-not-in-experiment - checkout-conversion 20 20"],
    },
    Expected {
        file: "experiment-not-running.exptap",
        totals: (0, 80, 0),
        findings: &[
            "warning after-iteration-end checkout-cta-test - 60 60",
            "warning after-iteration-end checkout-cta-test checkout-conversion 20 20",
        ],
    },
    Expected {
        file: "duplicate-source.exptap",
        totals: (30, 0, 30),
        findings: &["warning double-source checkout-cta-test checkout-conversion 30 15"],
    },
    Expected { file: "healthy.exptap", totals: (30, 0, 100), findings: &[] },
    Expected {
        file: "shop-afternoon.exptap.zst",
        totals: (1323, 1311, 5273),
        findings: &[
            "error metric-unit-mismatch search-ranker-test order-value 1054 1036",
            "error no-exposure search-ranker-test searches 500 500",
            "error event-lacks-unit search-ranker-test searches 428 428",
            "error no-exposure checkout-cta-test checkout-conversion 231 231",
            "error no-exposure checkout-cta-test order-value 231 231",
            "error segment-id-mismatch checkout-cta-test checkout-conversion 150 150",
            "error segment-id-mismatch checkout-cta-test order-value 150 150",
            "error event-key-case - checkout-conversion 96 96",
            "error numeric-value-missing checkout-cta-test order-value 73 73",
            "warning no-feature-event search-ranker-test - 250 0",
            "warning no-metric-for-key - - 56 56",
        ],
    },
    Expected { file: "version-1.exptap", totals: (30, 0, 100), findings: &["error undecodable - - 2 0"] },
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

fn source(file: &str) -> Source {
    Source::File(folder().join(file))
}

fn read(file: &str) -> Read {
    read_under(file, None)
}

fn read_under(file: &str, mapping: Option<Destination>) -> Read {
    let request = Request { sources: vec![source(file)], mapping: mapping.map(Arc::new), ..Request::default() };
    headless::read(&request).unwrap()
}

#[test]
fn every_recording_is_found_to_be_what_it_was_made_to_be() {
    for expected in EXPECTED {
        let report = read(expected.file).report();
        let verdict = |name: &str| report.totals.verdicts[name];
        let totals = (verdict("counted"), verdict("dropped"), verdict("exposure"));
        assert_eq!(totals, expected.totals, "{}", expected.file);
        let findings: Vec<String> = report
            .findings
            .iter()
            .map(|finding| {
                let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
                let (experiment, metric) = (or_none(&finding.experiment), or_none(&finding.metric));
                let (severity, code) = (finding.severity.word(), finding.code.name());
                format!("{severity} {code} {experiment} {metric} {} {}", finding.events, finding.units)
            })
            .collect();
        assert_eq!(findings, expected.findings, "{}", expected.file);
    }
}

#[test]
fn a_replay_of_each_ends_in_its_report() {
    for expected in EXPECTED {
        let file = RecordingFile::open(&source(expected.file)).unwrap();
        let mut engine = Engine::new(file, ReplayOptions::default());
        let (mut now, mut shown) = (Instant::now(), None);
        loop {
            let wake = engine.work(now);
            shown = engine.take_update().session.or(shown);
            match wake {
                Wake::AtOnce => now += Duration::from_millis(1),
                Wake::At(at) => now = at,
                Wake::OnCommand => break,
            }
        }
        let replayed = serde_json::to_value(&*shown.unwrap().report()).unwrap();
        assert_eq!(replayed, serde_json::to_value(read(expected.file).report()).unwrap(), "{}", expected.file);
    }
}

#[test]
fn the_mapping_alone_decides_whether_what_segment_s_libraries_sent_counts() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mapping = |file: &str| {
        let text = std::fs::read_to_string(clients.join(file)).unwrap();
        mapping_file::from_text(&text, file, Format::Json).unwrap().destination
    };
    for (recorded, other, counted, lacks_unit) in [
        ("segment-default-mapping.exptap", "segment.json", 18, 0),
        ("segment-device-mapping.exptap", "recordings/presets.json", 0, 18),
    ] {
        let report = read_under(recorded, Some(mapping(other))).report();
        let metric = &report.experiments[0].metrics[0];
        let verdicts = |code: &str| metric.verdicts.get(code).copied().unwrap_or_default();
        assert_eq!((verdicts("counted"), verdicts("event-lacks-unit")), (counted, lacks_unit), "{recorded}");
    }
}

#[test]
fn the_file_of_version_1_is_read_up_to_the_line_it_breaks_off_in() {
    let read = read("version-1.exptap");
    let totals = read.state.totals();
    assert_eq!((totals.requests, totals.events, totals.undecodable, totals.lost), (6, 236, 2, 2));
    assert_eq!(
        read.notes,
        ["version-1.exptap, line 11: the recording ends in the middle of this line: 1 record is left out"]
    );
    let unreadable = read.unreadable.unwrap();
    assert_eq!(
        (unreadable.count, unreadable.first.to_string().as_str()),
        (2, "version-1.exptap, line 8: request 99, byte 0: it is not JSON: expected a JSON value")
    );
}

#[test]
fn every_recording_is_expected_and_has_its_lines_in_the_readme() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let files: BTreeSet<String> = folder()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    assert_eq!(files, EXPECTED.iter().map(|expected| expected.file.to_owned()).collect());
    for expected in EXPECTED {
        let at = readme.find(&format!("**{}** — ", expected.file)).unwrap_or_else(|| panic!("{}", expected.file));
        let lines: Vec<&str> = readme[at..].lines().take(2).collect();
        assert!(lines[1].starts_with("exptap: "), "{}", expected.file);
        for finding in expected.findings.iter().take(1) {
            let code = finding.split(' ').nth(1).unwrap();
            assert!(
                lines[1].contains(&format!("`{code}`")) || expected.findings.len() > 2 || code == "undecodable",
                "{}",
                expected.file
            );
        }
    }
}

#[test]
fn no_recording_holds_a_raw_credential() {
    for expected in EXPECTED {
        let text: Vec<u8> = std::fs::read(folder().join(expected.file)).unwrap();
        let text = if expected.file.ends_with(".zst") { zstd::decode_all(text.as_slice()).unwrap() } else { text };
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("sdk-0000") && !text.contains("write-key"), "{}", expected.file);
        assert!(text.contains("#"), "{}: its senders are told apart", expected.file);
    }
}

#[test]
fn a_redacted_copy_of_each_comes_to_the_same() {
    let desk = tempfile::tempdir().unwrap();
    let figures = |source: Source| {
        let request = Request { sources: vec![source], ..Request::default() };
        let report = headless::read(&request).unwrap().report();
        // Names of SDKs stay; those of other programs are replaced.
        let is_kept = |name: &&String| name.contains("Client") || name.contains("Segment");
        let findings: Vec<_> = report
            .findings
            .iter()
            .map(|it| (it.code, it.events, it.units, it.sources.iter().filter(is_kept).cloned().collect::<Vec<_>>()))
            .collect();
        (serde_json::to_value(&report.totals).unwrap(), serde_json::to_value(&report.experiments).unwrap(), findings)
    };
    // A damaged frame in the middle, too.
    let damaged = desk.path().join("damaged.exptap.zst");
    let mut bytes = std::fs::read(folder().join("shop-afternoon.exptap.zst")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let files = EXPECTED.iter().map(|expected| folder().join(expected.file)).chain([damaged]);
    for file in files {
        let shared = desk.path().join("shared.exptap");
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_exptap"))
            .arg("redact")
            .arg(&file)
            .arg("-o")
            .arg(&shared)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(figures(Source::File(shared.clone())), figures(Source::File(file.clone())), "{}", file.display());
    }
}
