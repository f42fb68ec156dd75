//! SDKs whose base and stream URIs lead to exptap get their flags from upstream byte by byte, and exptap judges by what it
//! read on their way: live, and again from the recording. Flags, events and catalog are those of tests/bucket_proof.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::endpoint::{self, Caps, FlagBoard, Limits, Options, Status};
use launchdarkly_server_sdk::{Client as Sdk, ConfigBuilder, ContextBuilder, ServiceEndpointsBuilder};
use loopback::upstream::Upstream;
use loopback::{Client, PATIENCE, gzip, loopback_options, post};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

const KEY: &str = "sdk-00000000-1111-2222-3333-44444444f1a9";
const FLAGS: &str = include_str!("bucket_proof/flags.json");
const EVENTS: &str = include_str!("bucket_proof/events.ndjson");

/// An endpoint that passes requests for flags on.
struct Passing {
    address: SocketAddr,
    status: Arc<Status>,
    flags: Arc<FlagBoard>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Passing {
    fn start(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let bound = runtime.block_on(endpoint::bind(options)).unwrap();
        let (address, status, flags) = (bound.addresses()[0], bound.status(), bound.flags().unwrap());
        let (intake, receiver) = endpoint::intake(Caps::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _receiver = receiver;
            runtime.block_on(bound.serve(intake, async {
                let _ = stopped.await;
            }));
        });
        Self { address, status, flags, stop: Some(stop), thread: Some(thread) }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Stops it, after which everything that passed by was read.
    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.stop();
    }
}

fn forwarding_to(polling: SocketAddr) -> Options {
    Options { forward_flags: Some(format!("http://{polling}").parse().unwrap()), ..loopback_options() }
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: sdk.example\r\nAuthorization: {KEY}\r\n{headers}\r\n").into_bytes()
}

#[test]
fn what_is_polled_goes_through_as_it_is_and_is_read_packed_or_not() {
    let packed = gzip(FLAGS.as_bytes());
    let upstream = Upstream::start(move |request| {
        let path = request.first_line.split(' ').nth(1).unwrap();
        let (head, body): (&str, &[u8]) = match path {
            "/sdk/latest-all" if request.header("if-none-match") == Some("\"7\"") => {
                return b"HTTP/1.1 304 Not Modified\r\nDate: x\r\nETag: \"7\"\r\n\r\n".to_vec();
            }
            "/sdk/latest-all" => ("ETag: \"7\"\r\nContent-Encoding: gzip\r\n", &packed),
            "/sdk/poll?basis=(p:1)" => ("X-LD-EnvID: 64b0c0ffee\r\n", b"{\"events\": []}"),
            _ => ("Access-Control-Allow-Origin: *\r\n", b"{\"cta\": {\"flagVersion\": 3, \"value\": 1}}"),
        };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nDate: x\r\n{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        answer
    });
    let mut passing = Passing::start(forwarding_to(upstream.address));
    let mut client = passing.client();
    client.send(&get("/sdk/latest-all", "Accept-Encoding: gzip\r\n"));
    let answer = client.answer();
    let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["date", "etag", "content-encoding", "content-length"]);
    assert_eq!((answer.status(), answer.body), (200, gzip(FLAGS.as_bytes())));
    let asked = upstream.request();
    assert_eq!((asked.header("authorization"), asked.header("accept-encoding")), (Some(KEY), Some("gzip")));
    client.send(&get("/sdk/latest-all", "If-None-Match: \"7\"\r\n"));
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.header("etag")), (304, Some("\"7\"")));
    client.send(&get("/sdk/poll?basis=(p:1)", ""));
    assert_eq!(client.answer().header("x-ld-envid"), Some("64b0c0ffee"));
    for path in ["/sdk/evalx/64b0c0ffee/contexts/e30", "/sdk/goals/64b0c0ffee", "/msdk/evalx/contexts/e30"] {
        client.send(&get(path, ""));
        assert_eq!((client.answer().text(), path), ("{\"cta\": {\"flagVersion\": 3, \"value\": 1}}", path));
    }
    client.send(b"REPORT /sdk/evalx/64b0c0ffee/context HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.answer().status(), 200);
    let asked = std::iter::repeat_with(|| upstream.request()).find(|asked| asked.first_line.starts_with("REPORT"));
    assert_eq!(asked.unwrap().body, b"{}");
    drop(client);
    passing.stop();
    let figures = passing.flags.figures();
    assert_eq!((figures.flags, figures.experiments, figures.payloads, figures.fault), (3, 1, 1, None));
    let kept = passing.flags.known().seen.to_json().to_string();
    assert!(kept.contains("\"credential\":\"sdk-…f1a9#") && !kept.contains("11111111"), "{kept}");
    let answers: Vec<(u16, u64)> = passing.status.figures().flags_upstream.answers.into_iter().collect();
    assert_eq!(answers, [(200, 6), (304, 1)]);
}

/// An upstream that streams what a test sends it.
struct Streaming {
    address: SocketAddr,
    connections: Receiver<TcpStream>,
}

impl Streaming {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections): (Sender<TcpStream>, _) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut asking = Client::over(stream.try_clone().unwrap());
                assert!(asking.message().unwrap().first_line.starts_with("GET /all "));
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    /// The next connection that asked, answered with the head of a stream.
    fn next(&self) -> Stream {
        let mut stream = self.connections.recv_timeout(PATIENCE).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        Stream(stream)
    }
}

struct Stream(TcpStream);

impl Stream {
    fn send(&mut self, text: &str) {
        self.0.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
    }
}

fn put(flags: &str) -> String {
    format!("event:put\ndata:{{\"path\":\"/\",\"data\":{}}}\n\n", flags.replace('\n', " "))
}

/// Reads until the text has come.
fn read_until(client: &mut Client, wanted: &str) {
    let mut text = String::new();
    while !text.contains(wanted) {
        text.push_str(&String::from_utf8(client.some().expect("the stream was closed")).unwrap());
    }
}

#[test]
fn a_stream_passes_piece_by_piece_outlasts_the_patience_with_others_and_ends_with_the_endpoint() {
    let upstream = Streaming::start();
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let mut passing = Passing::start(Options { limits, ..forwarding_to(upstream.address) });
    let mut client = passing.client();
    client.send(&get("/all", "Accept: text/event-stream\r\n"));
    let mut stream = upstream.next();
    let head = client.head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    stream.send(":hello\n\n");
    // Nothing more is sent yet, so what is read here did not wait for it.
    read_until(&mut client, ":hello\n\n");
    // A connection that rests is closed after the patience of the endpoint; the stream has rested for longer by then.
    assert_eq!(passing.client().rest(), b"");
    stream.send(&put(FLAGS));
    read_until(&mut client, "\"checkout-cta\"");
    stream.send("event:patch\ndata:{\"path\":\"/segments/vip\",\"data\":{\"key\":\"vip\",\"included\":[\"ann\"]}}\n\n");
    read_until(&mut client, "\"ann\"");
    passing.stop();
    read_until(&mut client, "0\r\n\r\n");
    let figures = passing.flags.figures();
    assert_eq!((figures.flags, figures.experiments, figures.payloads, figures.fault), (3, 1, 1, None));
    assert!(!passing.flags.known().seen.to_json().to_string().contains("ann"));
}

#[test]
fn an_sdk_that_leaves_ends_its_stream_upstream_too() {
    let upstream = Streaming::start();
    let passing = Passing::start(forwarding_to(upstream.address));
    let mut client = passing.client();
    client.send(&get("/all", ""));
    let mut stream = upstream.next();
    stream.send(":hello\n\n");
    read_until(&mut client, ":hello");
    drop(client);
    stream.0.set_read_timeout(Some(PATIENCE)).unwrap();
    // Closed, or reset: it is over.
    assert_eq!(stream.0.read(&mut [0; 8]).unwrap_or(0), 0);
}

#[test]
fn an_upstream_that_is_not_there_is_told_and_without_one_flags_are_not_here() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let passing = Passing::start(forwarding_to(free));
    let mut client = passing.client();
    client.send(&get("/sdk/latest-all", ""));
    let answer = client.answer();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains(&format!("http://{free} could not be reached")), "{}", answer.text());
    assert_eq!(passing.status.figures().flags_upstream.unanswered, 1);
    let without = loopback::start(loopback_options());
    assert_eq!(without.ask(&get("/sdk/latest-all", "")).status(), 404);
    let itself = without.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(without);
    let options = Options { listen: exptap::endpoint::ListenOn::Address(itself), ..forwarding_to(itself) };
    let error = runtime.block_on(endpoint::bind(options)).err().unwrap().to_string();
    assert!(error.starts_with(&format!("--forward-flags http://{itself} leads back to {itself}")), "{error}");
    assert!(error.ends_with("give the address LaunchDarkly answers requests for flags at"), "{error}");
}

/// `exptap listen --no-tui`, in a folder of its own.
struct Listening {
    child: Child,
    address: SocketAddr,
    said: JoinHandle<String>,
    folder: tempfile::TempDir,
}

fn bucket_proof() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bucket_proof")
}

impl Listening {
    fn start(upstream: SocketAddr, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .args(["listen", "--no-tui", "--listen", "127.0.0.1:0", "--record", "recorded.exptap"])
            .args(["--observed-from", "2026-01-15T00:00:00Z", "--forward-flags", &format!("http://{upstream}")])
            .args(more)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
        let address = address.parse().unwrap();
        let said = std::thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        Self { child, address, said, folder }
    }

    /// Interrupts it: what it printed, what it said, and where its recording is.
    fn stop(mut self) -> (String, String, tempfile::TempDir) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut table = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
        assert!(self.child.wait().unwrap().success());
        (table, self.said.join().unwrap(), self.folder)
    }
}

/// What `exptap report` says of a file.
fn report(folder: &Path, more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(["report", "recorded.exptap", "--format", "json"])
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn verdicts(report: &Value) -> String {
    report["experiments"][0]["metrics"][0]["verdicts"].to_string()
}

#[test]
fn what_passed_by_is_proof_live_and_in_the_recording_and_names_nobody_there() {
    let flags = FLAGS.replacen('{', "{\"segments\": {\"vip\": {\"included\": [\"ann@shop.example\"]}},", 1);
    let upstream = Upstream::start(move |_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{flags}", flags.len()).into_bytes()
    });
    let catalog = bucket_proof().join("catalog.toml");
    let listening = Listening::start(upstream.address, &["--catalog", catalog.to_str().unwrap()]);
    let mut client = Client::connect(listening.address);
    let body = format!("[{}]", EVENTS.trim().replace('\n', ","));
    client.send(&post("/bulk", &format!("Authorization: {KEY}\r\n"), body.as_bytes()));
    assert_eq!(client.answer().status(), 202);
    // The flags come after the events they prove something about.
    client.send(&get("/sdk/latest-all", ""));
    assert_eq!(client.answer().status(), 200);
    drop(client);
    let (table, said, folder) = listening.stop();
    assert!(table.contains("unit-not-allocated"), "{table}\n{said}");
    let proven = r#"{"counted":2,"unit-not-allocated":2,"unknown-not-observed":1}"#;
    assert_eq!(verdicts(&report(folder.path(), &[])), proven);
    let recorded = std::fs::read_to_string(folder.path().join("recorded.exptap")).unwrap();
    assert!(recorded.lines().next().unwrap().contains("\"flags\":true"), "{recorded}");
    for secret in ["11111111", "ann@shop.example", "vip"] {
        assert!(!recorded.contains(secret), "{secret} in {recorded}");
    }
    let without: String =
        recorded.lines().filter(|line| !line.contains("\"flags\":[")).map(|it| format!("{it}\n")).collect();
    assert_ne!(without, recorded);
    std::fs::write(folder.path().join("recorded.exptap"), without).unwrap();
    assert_eq!(verdicts(&report(folder.path(), &[])), r#"{"counted":2,"unknown-not-observed":3}"#);
    let named = report(folder.path(), &["--flags", bucket_proof().join("flags.json").to_str().unwrap()]);
    assert_eq!(verdicts(&named), proven, "a file of flags says the same");
}

#[test]
fn a_recording_that_is_redacted_keeps_flags_only_with_the_keys_they_deal_out() {
    let upstream =
        Upstream::start(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{FLAGS}", FLAGS.len()).into_bytes());
    let listening = Listening::start(upstream.address, &[]);
    let mut client = Client::connect(listening.address);
    client.send(&get("/sdk/latest-all", ""));
    assert_eq!(client.answer().status(), 200);
    client.send(&post("/bulk", "", format!("[{}]", EVENTS.trim().replace('\n', ",")).as_bytes()));
    assert_eq!(client.answer().status(), 202);
    drop(client);
    let (_, _, folder) = listening.stop();
    let redact = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .args(["redact", "recorded.exptap"])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!redact(&[]).contains("\"flags\":"));
    let kept = redact(&["--keep", "keys"]);
    assert!(kept.contains("\"flags\":true") && kept.contains("\"seed\":61"), "{kept}");
}

#[test]
fn the_real_rust_sdk_gets_its_flags_and_sends_its_events_through_one_address() {
    let upstream = Streaming::start();
    let listening = Listening::start(upstream.address, &[]);
    let address = format!("http://{}", listening.address);
    let config = ConfigBuilder::new(KEY)
        .service_endpoints(ServiceEndpointsBuilder::new().relay_proxy(&address))
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Sdk::build(config).unwrap();
    client.start_with_runtime().unwrap();
    let mut stream = upstream.next();
    stream.send(&put(include_str!("clients/flags.json")));
    assert_eq!(runtime.block_on(client.wait_for_initialization(PATIENCE)), Some(true));
    let both = |device: &str| {
        let context = |kind: &str, key: &str| ContextBuilder::new(key).kind(kind).build().unwrap();
        let mut multi = launchdarkly_server_sdk::MultiContextBuilder::new();
        multi
            .add_context(context("device", device))
            .add_context(context("user", &format!("of-{device}")))
            .build()
            .unwrap()
    };
    for (device, variation) in [("d-12", "control"), ("d-1", "treatment"), ("d-2", "treatment")] {
        assert_eq!(client.str_variation(&both(device), "checkout-cta", "none".into()), variation);
        client.track_event(both(device), "checkout");
    }
    client.flush();
    client.close();
    let (table, said, folder) = listening.stop();
    drop(stream);
    let report = report(folder.path(), &[]);
    // Without a catalog the flags say what the unit is; from the events alone, user would be taken.
    assert_eq!(report["experiments"][0]["randomization_unit"], "device", "{table}\n{said}");
    let arms: Vec<(u64, u64)> = report["experiments"][0]["arms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arm| (arm["units"].as_u64().unwrap(), arm["metrics"][0]["converting_units"].as_u64().unwrap()))
        .collect();
    assert_eq!(arms, [(1, 1), (2, 2)], "{report:#}");
    assert!(!std::fs::read_to_string(folder.path().join("recorded.exptap")).unwrap().contains("11111111"));
    let inferred = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(["catalog", "infer", "recorded.exptap"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let inferred = String::from_utf8(inferred.stdout).unwrap();
    for line in ["randomization_unit = \"device\"", "the unit is device, as the flags say that passed by", "seed = 61"]
    {
        assert!(inferred.contains(line), "{line}: {inferred}");
    }
}
