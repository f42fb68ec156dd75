//! The report as Markdown: what a ticket shows, and what a hostile name cannot make of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{Format, from_text};
use exptap::catalog::{Catalog, Origin};
use exptap::intake;
use exptap::report::build;
use exptap::report::markdown::{self, Watched};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options as Markdown, Parser, Tag, TagEnd};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line")
}

/// The Markdown of the program itself, on files beside the tests.
fn printed(catalog: &str, events: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(["report", "--format", "markdown", "--catalog", catalog, events])
        .current_dir(folder())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_session_with_faults_reads_as_written_down() {
    let expected = std::fs::read_to_string(folder().join("report.md")).unwrap();
    assert_eq!(printed("scenario.toml", "scenario.ndjson"), expected);
}

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"
[[experiments]]
key = "cta-test"
flag = "cta"
variations = [{ index = 0, name = "control" }, { index = 1, name = "treatment" }]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

fn catalog() -> Catalog {
    from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).unwrap()
}

fn report(catalog: &Catalog, events: &[serde_json::Value], source: &str) -> String {
    let mut state = State::new(Arc::new(Judge::new(catalog)), Options::default());
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    intake::plain(&mut state, source, &lines, |_, _| {});
    let span_ms = state.totals().span_ms;
    let watched = Watched { sources: vec![source.to_owned()], span_ms, first_unreadable: None };
    markdown::text(&build::report(&state, catalog), &watched)
}

fn exposure(key: &str) -> serde_json::Value {
    json!({"kind": "feature", "key": "cta", "creationDate": 1_767_225_601_000_u64, "variation": 0,
        "context": {"kind": "user", "key": key}, "reason": {"kind": "FALLTHROUGH", "inExperiment": true}})
}

fn track(event: &str, kind: &str, key: &str) -> serde_json::Value {
    json!({"kind": "custom", "key": event, "creationDate": 1_767_225_602_000_u64,
        "context": {"kind": kind, "key": key}})
}

#[test]
fn a_healthy_session_is_short() {
    let text = report(&catalog(), &[exposure("u1"), track("checkout", "user", "u1")], "events.ndjson");
    let expected = "\
## exptap report: nothing is lost for a known reason

- **Watched:** `events.ndjson`: 2 events
- **From** 2026-01-01 00:00:01 **to** 2026-01-01 00:00:02 UTC, by the creation clock
- **Catalog:** from a file; the history is taken as complete
- **Events by best verdict:** 1 counted, 1 exposure

### What counts

**`cta-test` (iteration `1`)**, flag `cta`, randomized by `user`. Sample ratio: too few units to tell.

| metric | arm | units | converting units | conversions | rate or mean | 95 % interval |
|---|---|---:|---:|---:|---:|---|
| `checkout-conversion` | `control` | 1 | 1 | 1 | 100.00 % | 20.65 to 100.00 % |
| `checkout-conversion` | `treatment` | 0 | 0 | 0 | – | – |

*exptap predicts, by published rules, what LaunchDarkly counts; this is not LaunchDarkly's result.*
";
    assert_eq!(text, expected);
}

/// What a tracker would make of a text: nothing but what the report itself means.
fn assert_harmless(text: &str) {
    assert!(
        !text.contains(|character: char| (character.is_control() && character != '\n')
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')),
        "{text:?}"
    );
    let (mut cells, mut columns) = (0, 0);
    for event in Parser::new_ext(text, Markdown::ENABLE_TABLES | Markdown::ENABLE_STRIKETHROUGH | Markdown::ENABLE_MATH)
    {
        match event {
            Event::Start(
                Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock | Tag::Strikethrough | Tag::CodeBlock(_),
            )
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_) => panic!("{event:?} in\n{text}"),
            Event::Start(Tag::Table(alignments)) => columns = alignments.len(),
            Event::Start(Tag::TableRow | Tag::TableHead) => cells = 0,
            Event::Start(Tag::TableCell) => cells += 1,
            Event::End(TagEnd::TableRow) => assert_eq!(cells, columns, "{text}"),
            // Mentions and addresses are sought in rendered text outside code.
            Event::Text(shown) => {
                for sign in ["@", "://", "www.", "#1"] {
                    assert!(!shown.to_lowercase().contains(sign), "{sign} in {shown:?} of\n{text}");
                }
            }
            _ => {}
        }
    }
    // The parser drops what a row has too much of: the raw rows of a table have one bar more than columns.
    let mut bars = None;
    for line in text.lines() {
        if line.starts_with('|') {
            let found = line.matches('|').count();
            assert_eq!(found, *bars.get_or_insert(found), "{line}");
        } else {
            bars = None;
        }
    }
}

const HOSTILE: [&str; 22] = [
    "a|b|c",
    "`` ` ```",
    "` | `",
    "[click](https://evil.example)",
    "![x](http://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "<https://evil.example>",
    "@everyone and @octo/team, me@evil.example",
    "https://evil.example www.evil.example WWW.evil.example",
    "#1 GH-1 octo/cat#1",
    "line\n\n# heading\n| a | b |\n|---|---|\n",
    "\r\n- [ ] task\r\n1. list",
    "\u{202e}gnp.exe\u{2066}",
    "\u{1b}]0;title\u{7}\u{1b}[2J",
    "~~gone~~ **bold** __bold__ $x$ $$y$$",
    "&lt;script&gt; &#64;octo",
    "\\`\\|\\",
    "a`@b`@@`c",
    "[ref]: https://evil.example",
    "\u{feff}\u{200b}",
    " checkout ",
    "Checkout\u{2028}",
];

#[test]
fn a_hostile_name_breaks_no_table_makes_no_link_and_pings_nobody() {
    let catalog = catalog();
    for name in HOSTILE {
        let events = [
            exposure(name),
            exposure("u1"),
            track(name, "user", name),
            track("checkout", "user", &format!("{name}2")),
            track("checkout", "user", &format!("{} ", name.to_uppercase())),
            track("checkout", name, "k"),
            track(&format!("checkout{}", name.chars().next().unwrap()), "user", name),
            json!({"kind": name, "key": name}),
        ];
        assert_harmless(&report(&catalog, &events, name));
        // Without a catalog the names are those of experiments and metrics, too.
        let renamed = CATALOG
            .replace("\"cta-test\"", &toml::Value::from(name).to_string())
            .replace("\"cta\"", &toml::Value::from(name).to_string())
            .replace("\"control\"", &toml::Value::from(name).to_string())
            .replace("\"checkout-conversion\"", &toml::Value::from(name).to_string());
        let renamed = from_text(&renamed, "catalog.toml", Format::Toml, Origin::File).unwrap();
        let evaluated = json!({"kind": "feature", "key": name, "creationDate": 1_767_225_601_000_u64, "variation": 0,
            "context": {"kind": "user", "key": name}, "reason": {"kind": "FALLTHROUGH", "inExperiment": true}});
        let events = [
            evaluated,
            track("checkout", "user", name),
            track("checkout", "user", "x"),
            track("Checkout", "user", "x"),
        ];
        let text = report(&renamed, &events, name);
        assert!(text.contains("| 1 | 1 | 1 |"), "{text}");
        assert_harmless(&text);
    }
}

#[test]
fn the_test_for_harm_finds_harm() {
    for harm in ["a [link](x)", "<b>", "see https://x", "@octo", "| `a` |\n| `a` | b |", "\u{1b}[2J", "\u{202e}"] {
        assert!(std::panic::catch_unwind(|| assert_harmless(harm)).is_err(), "{harm}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_name_is_harmful(parts in prop::collection::vec(prop_oneof![
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        prop::sample::select(vec!["`", "|", "\\", "@", "[", "](", "<", ">", "*", "_", "\n", " ", "://", "www.", "#1", "$", "~~"]).prop_map(str::to_owned),
        ".{0,4}",
    ], 1..6)) {
        let name = parts.concat();
        let events = [exposure(&name), track(&name, "user", &name), track("checkout", "user", &format!("{name}x"))];
        assert_harmless(&report(&catalog(), &events, &name));
    }
}
