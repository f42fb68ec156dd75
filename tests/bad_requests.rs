//! What bad senders do to a program that listens: every request is answered as LaunchDarkly would, what follows is
//! judged as if nothing had happened, and every event is accounted for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use loopback::{Client, PATIENCE, gzip, post, post_chunked};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use tempfile::TempDir;

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"

[[metrics]]
key = "revenue"
event_key = "purchase"
measure = "value"

[[experiments]]
key = "cta-test"
flag = "cta"
variations = [{ index = 0 }, { index = 1 }]
metrics = ["checkout-conversion", "revenue"]
started_at = "2020-01-01T00:00:00Z"
"#;
const T: i64 = 1_767_225_600_000;

fn exptap(folder: &TempDir, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A program that listens, without a screen. It is stopped when dropped.
struct Listening {
    child: Child,
    address: SocketAddr,
    stderr: Option<JoinHandle<String>>,
    folder: TempDir,
}

/// What a program that listened came to.
struct Ended {
    code: Option<i32>,
    table: String,
    stderr: String,
    rows: Vec<Value>,
}

impl Listening {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.toml"), CATALOG).unwrap();
        let mut child = exptap(
            &folder,
            &[
                "listen",
                "--no-tui",
                "--listen",
                "127.0.0.1:0",
                "--catalog",
                "catalog.toml",
                "--observed-from",
                "2020-01-01T00:00:00Z",
                "--verdicts",
                "verdicts.ndjson",
            ],
        );
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
        let address = address.parse().unwrap();
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            rest
        });
        Self { child, address, stderr: Some(rest), folder }
    }

    /// Sends a request, which has to be answered 202 whatever is in it.
    #[track_caller]
    fn accepts(&self, request: &[u8]) {
        let mut client = Client::connect(self.address);
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (202, ""), "{}", answer.first_line);
    }

    #[track_caller]
    fn takes(&self, body: impl AsRef<[u8]>) {
        self.accepts(&post("/bulk", "", body.as_ref()));
    }

    /// The most memory it ever had, in bytes, as the kernel counts it.
    fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        Some(line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024)
    }

    /// Sends a good batch and stops the program; the batch has to be judged as if nothing had come before it. Gives
    /// the rest.
    fn end(mut self) -> Ended {
        self.takes(good().to_string());
        let ended = self.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.check_accounts();
        let (good, rest): (Vec<Value>, Vec<Value>) =
            ended.rows.into_iter().partition(|row| row["unit"] == "user/after-it-all");
        let verdicts: Vec<&str> = good.iter().map(|row| row["verdict"].as_str().unwrap()).collect();
        assert_eq!(verdicts, ["exposure", "counted"], "the good batch: {good:?}");
        Ended { rows: rest, ..ended }
    }

    fn stop(&mut self) -> Ended {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut table = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
        let code = self.child.wait().unwrap().code();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let rows = std::fs::read_to_string(self.folder.path().join("verdicts.ndjson")).unwrap();
        let rows = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ended { code, table, stderr, rows }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Every event is in one category, and has at least one row.
    fn check_accounts(&self) {
        let first = self.table.lines().next().unwrap();
        let (events, categories) = first.split_once(": ").unwrap();
        let count = |words: &str| {
            let digits: String = words.chars().take_while(|c| c.is_ascii_digit() || *c == ' ').collect();
            digits.replace(' ', "").parse::<usize>().unwrap_or_else(|_| panic!("{words}"))
        };
        assert_eq!(count(events), categories.split(", ").map(count).sum::<usize>(), "{first}");
        let mut numbers: Vec<u64> = self.rows.iter().map(|row| row["event"].as_u64().unwrap()).collect();
        numbers.dedup();
        assert_eq!(numbers, (0..count(events) as u64).collect::<Vec<_>>(), "{first}");
    }

    /// Key and verdict of every row but those of the good batch.
    fn verdicts(&self) -> Vec<String> {
        let row = |row: &Value| format!("{} {}", row["key"].as_str().unwrap_or("-"), row["verdict"].as_str().unwrap());
        self.rows.iter().map(row).collect()
    }
}

fn custom(key: &str, unit: &str, t: i64) -> Value {
    json!({"kind": "custom", "key": key, "creationDate": t, "context": {"kind": "user", "key": unit}})
}

fn exposure(unit: &str, t: i64) -> Value {
    json!({"kind": "feature", "key": "cta", "creationDate": t, "context": {"kind": "user", "key": unit}, "variation": 0,
        "reason": {"kind": "FALLTHROUGH", "inExperiment": true}})
}

fn good() -> Value {
    json!([exposure("after-it-all", T), custom("checkout", "after-it-all", T + 1)])
}

/// What one request comes to, and the note on standard error.
#[track_caller]
fn sent(request: &[u8]) -> (Vec<String>, String) {
    let program = Listening::start();
    program.accepts(request);
    let ended = program.end();
    (ended.verdicts(), ended.stderr)
}

#[track_caller]
fn one_unreadable(request: &[u8], words: &str) {
    let (verdicts, stderr) = sent(request);
    assert_eq!(verdicts, ["- undecodable"]);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("1 of the events could not be read; the first: request 1, byte "), "{stderr}");
    assert!(stderr.contains(words), "{words}: {stderr}");
}

#[test]
fn a_body_that_is_not_json_is_one_unreadable_event() {
    one_unreadable(&post("/bulk", "", b"hello"), "byte 0: it is not JSON: expected a JSON value");
    one_unreadable(&post("/bulk", "", b"[{\"kind\":\"custom\""), "byte 17: it is not JSON: the text ends");
    one_unreadable(&post("/bulk", "", b"null"), "byte 0: expected an event, which is an object, and found null");
    one_unreadable(&post("/bulk", "", b"\xff\xfe\0["), "byte 0: it is not JSON");
}

#[test]
fn a_gzip_stream_that_is_truncated_or_damaged_is_one_unreadable_event() {
    let whole = gzip(good().to_string().as_bytes());
    let headers = "Content-Encoding: gzip\r\n";
    one_unreadable(&post("/bulk", headers, &whole[..whole.len() / 2]), "the gzip stream is damaged");
    let mut wrong_sum = whole;
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    one_unreadable(&post("/bulk", headers, &wrong_sum), "the gzip stream is damaged");
    one_unreadable(&post("/bulk", "Content-Encoding: br\r\n", b"\x0b\x02"), "the body is encoded as br");
}

#[test]
fn a_body_that_lies_about_its_encoding_is_read_all_the_same() {
    let body = json!([custom("checkout", "u1", T)]).to_string();
    for request in
        [post("/bulk", "Content-Encoding: gzip\r\n", body.as_bytes()), post("/bulk", "", &gzip(body.as_bytes()))]
    {
        assert_eq!(sent(&request), (vec!["checkout no-exposure".to_owned()], String::new()));
    }
}

#[test]
fn a_gzip_bomb_is_one_unreadable_event_and_costs_no_memory() {
    // Ten thousand million bytes in ten million: a member of 16 MiB, again and again.
    let member = gzip(&vec![b' '; 16 * 1024 * 1024]);
    let bomb = member.repeat(10_000_000 / member.len());
    assert!(bomb.len() > 9_000_000 && bomb.len() / member.len() > 500, "{} of {}", bomb.len(), member.len());
    let mut program = Listening::start();
    program.accepts(&post("/bulk", "Content-Encoding: gzip\r\n", &bomb));
    program.takes(good().to_string());
    // It judges after the signal and a process that has ended has no memory, so it is asked until then.
    kill_process(Pid::from_child(&program.child), Signal::TERM).unwrap();
    let mut peak = 0;
    while program.child.try_wait().unwrap().is_none() {
        peak = peak.max(program.peak_memory().unwrap_or(0));
        std::thread::yield_now();
    }
    assert!((1..400_000_000).contains(&peak), "{peak} bytes");
    let stderr = program.stderr.take().unwrap().join().unwrap();
    assert!(
        stderr.contains("request 1, byte 0: the body grows past 104857600 bytes when it is decompressed"),
        "{stderr}"
    );
}

#[test]
fn a_body_of_100_mb_is_answered_and_not_kept() {
    let program = Listening::start();
    let head = "POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n";
    let mut client = Client::connect(program.address);
    client.send(head.as_bytes());
    let piece = vec![b' '; 1_000_000];
    (0..100).for_each(|_| client.send(&piece));
    assert_eq!(client.answer().status(), 202);
    // The same in chunks, where nothing announces how long it will be.
    let chunks: Vec<&[u8]> = vec![&piece; 100];
    program.accepts(&post_chunked("/bulk", "", &chunks));
    let peak = program.peak_memory().unwrap();
    assert!(peak < 200_000_000, "{peak} bytes");
    let ended = program.end();
    assert_eq!(ended.verdicts(), ["- undecodable", "- undecodable"]);
    assert!(ended.stderr.contains("the body is too large to inspect: 100000000 bytes"), "{}", ended.stderr);
}

#[test]
fn a_body_of_millions_of_values_is_inspected_up_to_a_limit() {
    let program = Listening::start();
    program.takes(format!("[{}1]", "1,".repeat(5_000_000)));
    let ended = program.end();
    assert_eq!(ended.rows.len(), 100_001);
    assert!(ended.stderr.starts_with("100001 of the events could not be read"), "{}", ended.stderr);
}

#[test]
fn a_verdict_file_that_cannot_be_written_is_said_at_the_start() {
    let (code, stderr) =
        refused(&["listen", "--no-tui", "--listen", "127.0.0.1:0", "--verdicts", "no/such/folder.ndjson"]);
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("no/such/folder.ndjson: verdicts cannot be written there"), "{stderr}");
}

#[test]
fn a_sender_that_leaves_in_the_middle_is_one_unreadable_event() {
    let program = Listening::start();
    let mut client = Client::connect(program.address);
    client.send(b"POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 4096\r\n\r\n[{\"kind\":");
    client.no_more_to_send();
    client.rest();
    let ended = program.end();
    assert_eq!(ended.verdicts(), ["- undecodable"]);
    assert!(ended.stderr.contains("the sender closed the connection after 9 bytes of 4096"), "{}", ended.stderr);
}

#[test]
fn json_nested_100_000_deep_is_one_unreadable_event() {
    let words = "values are nested more than 128 deep";
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let closed = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        one_unreadable(&post("/bulk", "", closed.as_bytes()), words);
        one_unreadable(&post("/bulk", "", open.repeat(100_000).as_bytes()), words);
        let inside = format!("[{{\"kind\":\"custom\",\"data\":{closed}}}]");
        one_unreadable(&post("/bulk", "", inside.as_bytes()), words);
    }
}

#[test]
fn one_bad_event_among_fifty_costs_only_itself_and_its_place_is_said() {
    let events: Vec<Value> = (0..49).map(|n| custom("checkout", &format!("u{n}"), T)).collect();
    let mut texts: Vec<String> = events.iter().map(ToString::to_string).collect();
    texts.insert(20, "{\"kind\":\"custom\",\"key\":oops}".to_owned());
    let body = format!("[{}]", texts.join(","));
    let (verdicts, stderr) = sent(&post("/bulk", "", body.as_bytes()));
    let unreadable: Vec<usize> = (0..50).filter(|n| verdicts[*n] == "- undecodable").collect();
    assert_eq!((verdicts.len(), unreadable), (50, vec![20]));
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "checkout no-exposure").count(), 49);
    let byte = body.find("oops").unwrap();
    let expected = format!(
        "1 of the events could not be read; the first: request 1, byte {byte}: it is not JSON: expected a JSON value\n"
    );
    assert_eq!(stderr, expected);
}

#[test]
fn kinds_and_schemas_of_the_future_are_kept_and_spoil_nothing() {
    let quantum = json!([{"kind": "quantum", "creationDate": T, "spin": 0.5}, custom("checkout", "u1", T)]);
    let request = post("/bulk", "X-LaunchDarkly-Event-Schema: 5\r\n", quantum.to_string().as_bytes());
    let program = Listening::start();
    program.accepts(&request);
    let ended = program.end();
    assert_eq!(ended.verdicts(), ["- not-an-experiment-event", "checkout no-exposure"]);
    assert_eq!(ended.rows[0]["kind"], "quantum");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_creation_date_in_seconds_or_microseconds_is_taken_as_sent_with_a_warning() {
    let program = Listening::start();
    let batch = json!([
        exposure("u1", T),
        custom("checkout", "u1", T / 1000),
        custom("checkout", "u1", T * 1000),
        custom("checkout", "u1", T + 1),
    ]);
    program.takes(batch.to_string());
    let ended = program.end();
    let verdict = |row: &Value| (row["verdict"].clone(), row["t"].clone(), row["warnings"].clone());
    let suspect = json!(["timestamp-unit-suspect"]);
    assert_eq!(
        ended.rows.iter().map(verdict).collect::<Vec<_>>(),
        [
            (json!("exposure"), json!(T), json!(["clock-skew"])),
            (json!("before-iteration-start"), json!(T / 1000), suspect.clone()),
            (json!("attribution-window-expired"), json!(T * 1000), suspect),
            (json!("counted"), json!(T + 1), json!(["clock-skew"])),
        ]
    );
}

#[test]
fn a_metric_value_that_is_no_number_is_said_to_be_none_and_text_that_is_no_json_is_unreadable() {
    let program = Listening::start();
    let event = |value: &str| {
        format!(
            r#"{{"kind":"custom","key":"purchase","creationDate":{},"context":{{"kind":"user","key":"u1"}},"metricValue":{value}}}"#,
            T + 1
        )
    };
    let values = ["12.5", "-0", "1e400", "\"12.5\"", "true", "null", "NaN", "9223372036854775808"];
    let events: Vec<String> = std::iter::once(exposure("u1", T).to_string()).chain(values.map(event)).collect();
    program.takes(format!("[{}]", events.join(",")));
    let ended = program.end();
    assert_eq!(
        ended.verdicts(),
        [
            "cta exposure",
            "purchase counted",
            "purchase counted",
            "purchase numeric-value-invalid",
            "purchase numeric-value-invalid",
            "purchase numeric-value-invalid",
            "purchase numeric-value-missing",
            "- undecodable",
            "purchase counted",
        ]
    );
}

#[test]
fn lone_surrogates_and_huge_keys_are_taken_as_far_as_text_can_hold_them() {
    let program = Listening::start();
    let surrogate = r#"{"kind":"custom","key":"\ud800x\udc00","creationDate":1767225600000,"context":{"kind":"user","key":"\udfff"}}"#;
    let long = "k".repeat(10_000);
    let huge = exposure("u1", T).to_string().replace("cta", &long);
    program.takes(format!("[{surrogate},{huge}]"));
    let ended = program.end();
    assert_eq!(
        ended.verdicts(),
        ["\u{fffd}x\u{fffd} no-metric-for-key".to_owned(), format!("{long} not-an-experiment-event")]
    );
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_same_payload_id_with_another_body_is_not_counted_and_is_warned_about() {
    let program = Listening::start();
    let id = "X-LaunchDarkly-Payload-ID: 5bd0a0c4\r\n";
    let send = |unit: &str| {
        let batch = json!([exposure(unit, T), custom("checkout", unit, T + 1)]).to_string();
        program.accepts(&post("/bulk", id, batch.as_bytes()));
    };
    send("u1");
    send("u1");
    send("u2");
    let ended = program.end();
    let row = |row: &Value| format!("{} {} {}", row["request"], row["verdict"].as_str().unwrap(), row["warnings"]);
    assert_eq!(
        ended.rows.iter().map(row).collect::<Vec<_>>(),
        [
            "1 exposure [\"clock-skew\"]",
            "1 counted [\"clock-skew\"]",
            "2 duplicate-payload []",
            "2 duplicate-payload []",
            "3 duplicate-payload [\"payload-id-reused\"]",
            "3 duplicate-payload [\"payload-id-reused\"]",
        ]
    );
}

#[test]
fn an_empty_body_an_empty_batch_and_a_lone_event_are_what_they_are() {
    let program = Listening::start();
    program.takes("");
    program.takes("[]");
    program.takes("  \r\n");
    program.takes(custom("checkout", "u1", T).to_string());
    program.takes(
        json!({"kind": "diagnostic", "id": {"diagnosticId": "d"}, "creationDate": T, "droppedEvents": 0}).to_string(),
    );
    program.accepts(&post("/diagnostic", "", b"not JSON either"));
    let ended = program.end();
    assert_eq!(ended.verdicts(), ["checkout no-exposure", "- not-an-experiment-event", "- undecodable"]);
    assert_eq!(ended.rows[0]["request"], 4);
}

#[test]
fn everything_at_once_on_one_connection_is_answered_in_order_and_accounted_for() {
    let program = Listening::start();
    let mut client = Client::connect(program.address);
    let bodies: [&[u8]; 6] =
        [b"", b"{", b"[1,2,3]", b"\x1f\x8b\x08", b"[{\"kind\":\"index\"},]", b"{\"kind\":\"index\"}"];
    for _ in 0..20 {
        for body in bodies {
            client.send(&post("/bulk", "", body));
        }
    }
    for _ in 0..20 * bodies.len() {
        assert_eq!(client.answer().status(), 202);
    }
    let ended = program.end();
    let unreadable = ended.verdicts().iter().filter(|verdict| *verdict == "- undecodable").count();
    assert_eq!((ended.rows.len(), unreadable), (20 * 8, 20 * 6));
}

/// Runs a program that has to end by itself.
#[track_caller]
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let child = exptap(&folder, arguments);
    let id = Pid::from_child(&child);
    let (give, taken) = std::sync::mpsc::channel();
    std::thread::spawn(move || give.send(child.wait_with_output()));
    let Ok(output) = taken.recv_timeout(PATIENCE) else {
        kill_process(id, Signal::KILL).unwrap();
        panic!("it does not end by itself: {arguments:?}");
    };
    let output = output.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder_and_another_is_offered() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = refused(&["listen", "--no-tui", "--listen", &address]);
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with(&format!("{address} is taken by ")), "{stderr}");
    assert!(stderr.contains(&format!("(process {})", std::process::id())), "{stderr}");
    let offered =
        stderr.split("--listen ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_else(|| panic!("{stderr}"));
    let free = TcpListener::bind(offered).unwrap();
    assert!(free.local_addr().unwrap().ip().is_loopback());
}

#[test]
fn an_address_others_can_reach_needs_to_be_meant() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (code, stderr) = refused(&["listen", "--no-tui", "--listen", address]);
        assert_eq!(code, Some(3));
        assert!(stderr.contains("add --public if that is meant"), "{stderr}");
    }
}

#[test]
fn forwarding_to_oneself_and_addresses_that_make_no_sense_are_refused() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string();
    for upstream in [format!("http://{free}"), format!("http://localhost:{}", free.rsplit(':').next().unwrap())] {
        let (code, stderr) = refused(&["listen", "--no-tui", "--listen", &free, "--forward", &upstream]);
        assert_eq!(code, Some(3), "{stderr}");
        assert!(stderr.contains("leads back to") && stderr.contains(&free), "{stderr}");
    }
    for arguments in [["--listen", "example.com:80"], ["--forward", "events.launchdarkly.com"]] {
        let (code, stderr) = refused(&[&["listen", "--no-tui"], arguments.as_slice()].concat());
        assert_eq!(code, Some(2), "{stderr}");
    }
}
