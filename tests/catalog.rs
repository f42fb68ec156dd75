//! `exptap catalog` as a shell runs it: what is found without traffic, what is shown, what is guessed, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A folder, and the program in it. No token of whoever runs the tests is seen by it.
struct Desk(TempDir);

const SHOP: &str = r#"[environment]
key = "production"
client_side_id = "64b0c0ffee"

[[experiments]]
key = "cta-test"
flag = "cta"
randomization_unit = "device"
rule = "fallthrough"
variations = [{ index = 0 }, { index = 1 }]
metrics = ["order", "value", "page"]
started_at = "2026-01-01T00:00:00Z"
flag_config_version = 12
metric_versions = { order = "v1" }
holdout = "global"

[[experiments]]
key = "draft"
flag = "cta"

[[metrics]]
key = "order"
event_key = "order"
units = ["user", "device"]
version = "v2"

[[metrics]]
key = "value"
event_key = "spent"
measure = "value"
data_source = "snowflake"

[[metrics]]
key = "page"
kind = "pageview"
id = "p"
units = ["device"]

[[metrics]]
key = "Order"
event_key = "value"

[[flags]]
key = "cta"
on = false
version = 13
rules = [{ id = "fallthrough", serves = "experiment", unit = "user" }]
"#;
const HEALTHY: &str = r#"[[experiments]]
key = "cta-test"
flag = "cta"
variations = [{ index = 0 }, { index = 1 }]
metrics = ["order"]
started_at = "2026-01-01T00:00:00Z"

[[metrics]]
key = "order"
event_key = "order"
"#;
const NOW: [&str; 2] = ["--now", "2026-02-01T00:00:00Z"];

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(desk.0.path().join(name), text).unwrap();
        }
        desk
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exptap"));
        command.arg("catalog").args(arguments).current_dir(self.0.path());
        for name in ["LAUNCHDARKLY_API_TOKEN", "LD_API_TOKEN", "LAUNCHDARKLY_SDK_KEY"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Code, severity, line and metric or experiment of what is found, one text each, and the exit code.
    fn found(&self, arguments: &[&str]) -> (i32, Vec<String>) {
        let (code, stdout, stderr) = self.run(&[&["check", "--format", "json"], &NOW[..], arguments].concat());
        assert_eq!(stderr, "");
        let review: Value = serde_json::from_str(&stdout).unwrap();
        let row = |it: &Value| {
            let about = it["metric"].as_str().or(it["experiment"].as_str()).unwrap_or("-");
            format!("{} {} {} {about}", it["severity"].as_str().unwrap(), it["code"].as_str().unwrap(), it["line"])
        };
        (code, review["findings"].as_array().unwrap().iter().map(row).collect())
    }
}

#[test]
fn every_mistake_that_needs_no_traffic_is_found_where_it_stands() {
    let desk = Desk::new(&[("shop.toml", SHOP)]);
    let (code, found) = desk.found(&["shop.toml"]);
    assert_eq!(code, 1);
    assert_eq!(
        found,
        [
            "error metric-unit-mismatch 27 value",
            "error flag-off 7 cta-test",
            "error rollout-unit-mismatch 8 cta-test",
            "error flag-off 19 draft",
            "warning metric-version-pinned 14 order",
            "warning metric-in-warehouse 31 value",
            "warning iteration-not-started 17 draft",
            "warning no-metrics 17 draft",
            "warning metric-key-used 41 Order",
            "info flag-changed-since-start 13 cta-test",
            "info holdout 15 cta-test",
            "info metric-not-in-experiment 39 Order",
        ]
    );
}

#[test]
fn a_catalog_without_mistakes_is_said_to_be_one() {
    let desk = Desk::new(&[("shop.toml", HEALTHY)]);
    let (code, stdout, stderr) = desk.run(&[&["check", "shop.toml"], &NOW[..]].concat());
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (0, "0 mistakes, 0 warnings, 0 remarks in 1 experiment that runs or may yet, and 1 metric.\n", "")
    );
}

#[test]
fn rules_that_serve_no_experiment_are_told_apart() {
    let with = |rules: &str, rule: &str| {
        let flags = format!("[[flags]]\nkey = \"cta\"\non = true\nrules = [{rules}]\n");
        let catalog = format!("{}\n{flags}", HEALTHY.replace("flag = \"cta\"", &format!("flag = \"cta\"{rule}")));
        Desk::new(&[("shop.toml", &catalog)]).found(&["shop.toml"]).1
    };
    let (variation, rollout) =
        ("{ id = \"fallthrough\", serves = \"variation\" }", "{ id = \"r\", serves = \"rollout\", unit = \"user\" }");
    let experiment = "{ id = \"fallthrough\", serves = \"experiment\", unit = \"user\" }";
    let line = |code: &str, line: u8| vec![format!("error {code} {line} cta-test")];
    assert_eq!(with(experiment, ""), Vec::<String>::new());
    assert_eq!(with(&format!("{rollout}, {variation}"), ""), line("rule-without-rollout", 1));
    assert_eq!(with(variation, "\nrule = \"fallthrough\""), line("rule-without-rollout", 4));
    assert_eq!(with(&format!("{rollout}, {experiment}"), "\nrule = \"r\""), line("rule-without-rollout", 4));
    assert_eq!(with(experiment, "\nrule = \"gone\""), line("other-rule", 4));
}

fn mapping(client: &str, fields: &str) -> String {
    format!(
        r#"{{"settings":{{"client_id":"{client}"}},"mappings":[{{"action":"trackEvent","subscribe":"type = \"track\"","mapping":{{"user_key":{{"@path":"$.userId"}},"event_name":{{"@path":"$.event"}}{fields}}}}}]}}"#
    )
}

#[test]
fn whether_segment_can_send_the_unit_is_answered_without_an_event() {
    let device = HEALTHY
        .replace("flag = \"cta\"", "flag = \"cta\"\nrandomization_unit = \"device\"")
        .replace("event_key = \"order\"", "event_key = \"order\"\nunits = [\"device\"]");
    let check = |catalog: &str, mapping: &str| {
        Desk::new(&[("shop.toml", catalog), ("m.json", mapping)]).found(&["shop.toml", "--mapping", "m.json"])
    };
    let found = |rows: &[&str]| rows.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    assert_eq!(check(HEALTHY, &mapping("c", "")), (0, found(&[])));
    assert_eq!(check(&device, &mapping("c", "")), (1, found(&["error event-lacks-unit 4 cta-test"])));
    let additional = r#","additional_context_keys":{"device":{"@path":"$.context.device.id"}}"#;
    assert_eq!(check(&device, &mapping("c", additional)), (0, found(&[])));
    let by_path = r#","context_kind":{"@path":"$.properties.kind"}"#;
    assert_eq!(check(&device, &mapping("c", by_path)), (0, found(&["warning event-lacks-unit 4 cta-test"])));
    let environment = format!("[environment]\nclient_side_id = \"64b0c0ffee\"\n\n{HEALTHY}");
    assert_eq!(check(&environment, &mapping("other", "")), (1, found(&["error wrong-environment null -"])));
    let numeric = HEALTHY.replace("event_key = \"order\"", "event_key = \"order\"\nmeasure = \"value\"");
    assert_eq!(check(&numeric, &mapping("c", "")), (1, found(&["error numeric-value-missing 11 order"])));
    let attribute = format!(
        "{HEALTHY}filter = {{ type = \"contextAttribute\", attribute = \"country\", op = \"in\", values = [\"DE\"] }}\n"
    );
    assert_eq!(check(&attribute, &mapping("c", "")), (0, found(&["warning filter-unsupported 11 order"])));
    let alias = r#"{"settings":{"client_id":"c"},"mappings":[]}"#;
    assert_eq!(check(HEALTHY, alias), (1, found(&["error segment-not-subscribed null -"])));
}

#[test]
fn the_kinds_segment_sends_are_said_in_words() {
    let desk = Desk::new(&[("shop.toml", HEALTHY), ("m.json", &mapping("c", r#","context_kind":{"@path":"$.kind"}"#))]);
    let (_, stdout, _) = desk.run(&[&["check", "shop.toml", "--mapping", "m.json"], &NOW[..]].concat());
    assert!(
        stdout.starts_with(
            "Segment can send these context kinds:\n  mapping 0  trackEvent of type = \"track\": user (from $.userId), whatever $.kind gives\n\n"
        ),
        "{stdout}"
    );
}

#[test]
fn a_catalog_is_shown_as_a_table_and_as_either_file() {
    let desk = Desk::new(&[("shop.toml", HEALTHY)]);
    let (code, table, _) = desk.run(&["show", "shop.toml"]);
    assert_eq!(
        (code, table.as_str()),
        (
            0,
            "experiment cta-test, flag cta\n  iteration 1  by user  since 2026-01-01T00:00:00Z  any rule  variation 0 50 %, variation 1 50 %\n    order  event order  occurrence  by user\n\n"
        )
    );
    let (_, toml, _) = desk.run(&["show", "shop.toml", "--format", "toml"]);
    let (_, json, _) = desk.run(&["show", "shop.toml", "--format", "json"]);
    let again = Desk::new(&[("a.toml", &toml), ("b.json", &json)]);
    assert_eq!(again.run(&["show", "a.toml"]).1, table);
    assert_eq!(again.run(&["show", "b.json"]).1, table);
}

#[test]
fn the_catalog_of_a_recording_is_checked_and_one_that_is_no_catalog_is_refused() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let mismatch = recordings.join("metric-unit-mismatch.exptap");
    let desk = Desk::new(&[("bad.toml", "[[metrics]]\nkey = 7\n")]);
    let (code, found) = desk.found(&[mismatch.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(found[0].starts_with("error metric-unit-mismatch null"), "{found:?}");
    let (code, stdout, stderr) = desk.run(&["check", "bad.toml"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("bad.toml:1:1: metric 1: event_key is missing"), "{stderr}");
    let (code, _, stderr) = desk.run(&["check", "gone.toml"]);
    assert_eq!((code, stderr.as_str()), (2, "gone.toml: there is no such file\n"));
}

#[test]
fn a_guessed_catalog_is_a_file_that_says_what_was_guessed() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line/scenario.ndjson");
    let desk = Desk::new(&[("empty.ndjson", "")]);
    let (code, stdout, stderr) = desk.run(&["infer", scenario.to_str().unwrap(), "-o", "guessed.toml"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", ""));
    let text = std::fs::read_to_string(desk.0.path().join("guessed.toml")).unwrap();
    assert!(text.starts_with("# Guessed from the events"), "{text}");
    assert!(text.contains("the unit is device, the context kind whose keys kept their\n# variation best."), "{text}");
    let (code, table, _) = desk.run(&["show", "guessed.toml"]);
    assert_eq!(code, 0);
    assert!(table.contains("experiment cta, flag cta\n  iteration 1  by user"), "{table}");
    let (code, _, stderr) = desk.run(&["infer", "empty.ndjson"]);
    assert_eq!(code, 2);
    assert!(stderr.starts_with("no event suggests an experiment or a metric"), "{stderr}");
}

#[test]
fn what_pulling_needs_is_asked_for_and_nothing_secret_is_repeated() {
    let desk = Desk::new(&[("sdk", "sdk-0000-1111-2222\n"), ("two", "api-one api-two"), ("token", "api-0123456789")]);
    let refused = |arguments: &[&str], words: &str| {
        let (code, stdout, stderr) = desk.run(&[&["pull"], arguments].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        for secret in ["0000-1111", "api-one", "0123456789"] {
            assert!(!stderr.contains(secret), "{stderr}");
        }
    };
    let shop = ["--project", "shop", "--environment", "production"];
    refused(&[], "what is to be pulled?");
    refused(&shop, "there is no API access token");
    refused(&[&shop[..], &["--token-file", "sdk"]].concat(), "sdk holds an SDK key");
    refused(&[&shop[..], &["--token-file", "two"]].concat(), "two holds more than one API access token");
    refused(&[&shop[..], &["--token-file", "gone"]].concat(), "gone: the API access token cannot be read");
    refused(&["--sdk-key-file", "token"], "token holds no SDK key");
    refused(&["--token-file", "token"], "which environment?");
    refused(&[&shop[..], &["--host", "http://ld.example"]].concat(), "plain http would show the token");
    // The port is one that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = format!("http://{free}");
    let (code, stdout, stderr) = desk.run(&[&["pull", "--token-file", "token", "--host", &host], &shop[..]].concat());
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert!(stderr.contains("cannot be reached") && !stderr.contains("0123456789"), "{stderr}");
}
