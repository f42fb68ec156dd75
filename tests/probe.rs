//! `exptap probe` as a person or a script uses it: the keys it mints are played back to it by a sender on loopback, or by
//! a command it runs, and it says what came of each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use loopback::{Client, post};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use tempfile::TempDir;

const CATALOG: &str = r#"
[[metrics]]
key = "conversion"
event_key = "checkout"
units = ["device"]

[[experiments]]
key = "cta-test"
flag = "checkout-cta"
randomization_unit = "device"
variations = [{ index = 0, name = "control" }, { index = 1, name = "treatment" }]
metrics = ["conversion"]
started_at = "2020-01-01T00:00:00Z"
"#;

struct Probing {
    child: Child,
    address: SocketAddr,
    said: BufReader<ChildStderr>,
    _folder: TempDir,
}

impl Probing {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.toml"), CATALOG).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .args(["probe", "--catalog", "catalog.toml", "--listen", "127.0.0.1:0", "--format", "json"])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
        Self { address: address.parse().unwrap(), child, said, _folder: folder }
    }

    /// Reads what it says up to a line with these words.
    fn until(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended without saying {words}");
        }
        line
    }

    /// The context of the next probe it tells to use.
    fn context(&mut self) -> Value {
        let line = self.until("  context   ");
        let json = line.trim().trim_start_matches("context").trim_start();
        serde_json::Deserializer::from_str(json).into_iter().next().unwrap().unwrap()
    }

    fn send(&self, events: &[String]) {
        let mut client = Client::connect(self.address);
        client.send(&post("/bulk", "", format!("[{}]", events.join(",")).as_bytes()));
        assert_eq!(client.answer().status(), 202);
    }

    /// What it came to: its exit code, and what it printed.
    fn ended(mut self) -> (i32, Value) {
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        (code, serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}")))
    }

    fn interrupted(self) -> (i32, Value) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.ended()
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn evaluation(context: &Value, in_experiment: bool) -> String {
    let reason = if in_experiment { r#"{"kind":"FALLTHROUGH","inExperiment":true}"# } else { r#"{"kind":"OFF"}"# };
    format!(
        r#"{{"kind":"feature","creationDate":{},"key":"checkout-cta","value":"treatment","variation":1,"version":7,"reason":{reason},"context":{context}}}"#,
        now_ms() - 1
    )
}

fn conversion(key: &str, context: &Value) -> String {
    format!(r#"{{"kind":"custom","creationDate":{},"key":"{key}","context":{context}}}"#, now_ms())
}

fn missing(probe: &Value) -> Vec<(String, Option<String>)> {
    let missing = probe["missing"].as_array().unwrap().iter();
    missing.map(|it| (it["what"].as_str().unwrap().to_owned(), it["code"].as_str().map(str::to_owned))).collect()
}

#[test]
fn a_key_that_is_evaluated_and_converts_is_told_step_by_step_and_ends_it_with_0() {
    let mut probing = Probing::start(&[]);
    let context = probing.context();
    assert_eq!(context["kind"], "device");
    let key = context["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("exptap-probe-"), "{key}");
    probing.send(&[evaluation(&context, true)]);
    assert_eq!(probing.until("exposed").trim_end(), format!("device/{key}: exposed to treatment"));
    probing.send(&[conversion("checkout", &context)]);
    assert_eq!(probing.until("counted").trim_end(), format!("device/{key}: conversion counted"));
    let (code, outcome) = probing.ended();
    assert_eq!((code, &outcome["complete"], &outcome["ended"]), (0, &true.into(), &"complete".into()));
    let probe = &outcome["probes"][0];
    assert_eq!((&probe["exposed_to"], &probe["metrics"][0]["counted"]), (&"treatment".into(), &1.into()));
    assert_eq!(missing(probe), []);
}

#[test]
fn two_keys_are_never_the_same_and_one_that_is_missing_is_named() {
    let mut probing = Probing::start(&["--keys", "2"]);
    let (first, second) = (probing.context(), probing.context());
    assert_ne!(first, second);
    probing.send(&[evaluation(&first, true), conversion("checkout", &first)]);
    probing.until("conversion counted");
    let (code, outcome) = probing.interrupted();
    assert_eq!((code, &outcome["ended"]), (1, &"interrupted".into()));
    assert_eq!(missing(&outcome["probes"][0]), []);
    assert_eq!(missing(&outcome["probes"][1]), [("evaluation".to_owned(), None), ("conversion".to_owned(), None)]);
    let mut again = Probing::start(&[]);
    let other = again.context();
    assert!(other != first && other != second);
    again.interrupted();
}

#[test]
fn another_event_key_is_named_with_the_one_that_was_meant() {
    let mut probing = Probing::start(&[]);
    let context = probing.context();
    probing.send(&[evaluation(&context, true), conversion("Checkout", &context)]);
    probing.until("Checkout received, which is no event key of its metrics");
    let (code, outcome) = probing.interrupted();
    assert_eq!(code, 1);
    let missing = &outcome["probes"][0]["missing"];
    assert_eq!((missing.as_array().unwrap().len(), &missing[0]["what"]), (1, &"conversion".into()));
    assert_eq!(
        missing[0]["text"],
        "no checkout came with this key, but Checkout did, and event keys are compared letter by letter"
    );
    assert_eq!(missing[0]["fix"], "Track checkout, or make Checkout the event key of the metric conversion.");
}

#[test]
fn an_evaluation_outside_of_the_experiment_and_a_conversion_without_exposure_come_with_their_codes() {
    let mut probing = Probing::start(&[]);
    let context = probing.context();
    probing.send(&[evaluation(&context, false), conversion("checkout", &context)]);
    probing.until("evaluated, and not exposed: flag-off");
    let (code, outcome) = probing.interrupted();
    assert_eq!(code, 1);
    // A fresh key has no past in which it may have been exposed.
    let expected = [("exposure", "flag-off"), ("conversion", "no-exposure")]
        .map(|(what, code)| (what.to_owned(), Some(code.to_owned())));
    assert_eq!(missing(&outcome["probes"][0]), expected);
    assert!(outcome["probes"][0]["missing"][0]["fix"].as_str().unwrap().contains("on"), "{outcome:#}");
}

#[test]
fn a_key_that_comes_as_another_kind_is_found() {
    let mut probing = Probing::start(&[]);
    let context = probing.context();
    let key = context["key"].as_str().unwrap();
    let user = serde_json::json!({"kind": "user", "key": key});
    probing.send(&[
        format!(r#"{{"kind":"index","creationDate":{},"context":{user}}}"#, now_ms()),
        format!(
            r#"{{"kind":"summary","startDate":{0},"endDate":{0},"features":{{"checkout-cta":{{"default":"x","contextKinds":["user"],"counters":[{{"count":1,"value":"control","variation":0,"version":7}}]}}}}}}"#,
            now_ms()
        ),
    ]);
    probing.until(&format!("user/{key} was seen instead"));
    let (code, outcome) = probing.interrupted();
    assert_eq!(code, 1);
    let text = outcome["probes"][0]["missing"][0]["text"].as_str().unwrap();
    assert_eq!(
        text,
        format!("device/{key} did not come, but user/{key} did: the key is of a device, and came as that of a user")
    );
    let findings: Vec<&str> =
        outcome["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert!(findings.contains(&"exposure-lacks-unit"), "{findings:?}");
}

#[test]
fn where_nothing_comes_the_time_is_up() {
    let probing = Probing::start(&["--timeout", "1s"]);
    let (code, outcome) = probing.ended();
    assert_eq!((code, &outcome["ended"], &outcome["requests"]), (1, &"timed-out".into(), &0.into()));
    assert_eq!(outcome["probes"][0]["missing"][0]["text"], "nothing came at all");
}

#[test]
fn a_command_is_run_for_every_key_with_what_it_needs_and_its_failure_is_told() {
    let flags = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/flags.json");
    // A shell has no HTTP, so that this one only prints and fails; real SDKs are run so in tests/clients.
    let run = r#"echo "key $EXPTAP_PROBE_KEY arm $EXPTAP_PROBE_ARM flag $EXPTAP_PROBE_FLAG events $EXPTAP_PROBE_EVENTS to $EXPTAP_EVENTS_URI"; exit 3"#;
    let mut probing = Probing::start(&["--flags", flags, "--run", run, "--timeout", "1s"]);
    let mut arms = Vec::new();
    for _ in 0..2 {
        let line = probing.until("key exptap-probe-");
        let words: Vec<&str> = line.split_whitespace().collect();
        arms.push(words[3].to_owned());
        let expected = r#"[{"event":"checkout","metric":"conversion","value":null}]"#;
        assert_eq!((words[5], words[7]), ("checkout-cta", expected));
        assert_eq!(words[9], format!("http://{}", probing.address));
    }
    assert_eq!(arms, ["control", "treatment"]);
    let (code, outcome) = probing.ended();
    assert_eq!(code, 1);
    let how: Vec<&str> = outcome["commands"].as_array().unwrap().iter().map(|it| it["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["ended with exit status: 3"; 2]);
}

#[test]
fn a_signal_ends_it_however_much_arrives() {
    let probing = Probing::start(&["--timeout", "10m"]);
    let address = probing.address;
    let batch = format!(
        "[{}]",
        vec![conversion("checkout", &serde_json::json!({"kind": "device", "key": "d"})); 500].join(",")
    );
    let request = post("/bulk", "", batch.as_bytes());
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let request = request.clone();
            // Until there is nobody to send to.
            std::thread::spawn(move || {
                use std::io::Write;
                let mut sent = 0_u64;
                while let Ok(mut stream) = std::net::TcpStream::connect(address) {
                    let answered = |stream: &mut std::net::TcpStream| {
                        stream.write_all(&request).is_ok() && matches!(stream.read(&mut [0; 512]), Ok(1..))
                    };
                    while answered(&mut stream) {
                        sent += 1;
                    }
                }
                sent
            })
        })
        .collect();
    let (code, outcome) = probing.interrupted();
    assert_eq!((code, &outcome["ended"]), (1, &"interrupted".into()));
    let sent: u64 = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
    assert!(outcome["requests"].as_u64().unwrap() <= sent + 2, "{sent}");
}

#[test]
fn a_key_that_is_exposed_to_another_arm_than_it_falls_in_is_not_complete() {
    let flags = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/flags.json");
    let mut probing = Probing::start(&["--flags", flags]);
    // One key for each arm; whoever serves them has both in the same.
    let (first, second) = (probing.context(), probing.context());
    for context in [&first, &second] {
        probing.send(&[evaluation(context, true), conversion("checkout", context)]);
    }
    let (code, outcome) = probing.ended();
    assert_eq!((code, &outcome["complete"], &outcome["ended"]), (1, &false.into(), &"complete".into()));
    let all: Vec<_> = outcome["probes"].as_array().unwrap().iter().flat_map(missing).collect();
    assert_eq!(all, [("arm".to_owned(), Some("bucket-mismatch".to_owned()))]);
    let text = &outcome["probes"][0]["missing"][0]["text"];
    assert_eq!(text, "it was exposed to treatment, and its key falls in control");
}

#[test]
fn what_a_command_left_behind_ends_with_it() {
    let mut probing = Probing::start(&["--run", "sleep 600 & echo left $!; exit 0", "--timeout", "1s"]);
    let line = probing.until("left ");
    let left = Pid::from_raw(line.trim().rsplit(' ').next().unwrap().parse().unwrap()).unwrap();
    assert_eq!(probing.ended().0, 1);
    let state = std::fs::read_to_string(format!("/proc/{}/stat", left.as_raw_nonzero()));
    assert!(state.is_err() || state.unwrap().contains(") Z "), "it still runs");
}

#[test]
fn what_cannot_be_probed_is_refused_before_anything_is_bound() {
    let refused = |arguments: &[&str], catalog: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.toml"), catalog).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .arg("probe")
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = refused(&[], "");
    assert!(code == 2 && said.starts_with("what is to be probed? Name a catalog with --catalog"), "{said}");
    let (code, said) = refused(&["--catalog", "catalog.toml", "--experiment", "cta_test"], CATALOG);
    assert_eq!((code, said.trim()), (2, "there is no experiment cta_test in the catalog; did you mean cta-test?"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_eq!(refused(&["--catalog", "catalog.toml", "--listen", &address], CATALOG).0, 3);
}
