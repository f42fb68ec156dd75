//! A staging box under load: `exptap collect` with a tee, a recording and two viewers, one of them behind a slow line,
//! and an exact account at the end. Not a timed test: it prints, and fails where the account does not add up.
//!
//! `cargo bench --bench load -- [SECONDS [EVENTS_PER_SECOND]]`, without them 30 seconds of 20,000 events. Everything goes
//! into the temporary folder: about 1 MB a second, three times.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const EVENTS_PER_REQUEST: u64 = 100;
const SENDERS: u64 = 4;
const UNITS: u64 = 50_000;
/// What the slow line lets through, bytes a second.
const SLOW: usize = 30_000;
const QUICK: &str = "the-line-is-quick";
const SAMPLE: Duration = Duration::from_secs(10);

const CATALOG: &str = r#"
[[metrics]]
key = "conversion"
event_key = "checkout"
[[metrics]]
key = "value"
event_key = "paid"
measure = "value"
[[experiments]]
key = "cta"
flag = "cta"
metrics = ["conversion", "value"]
variations = [{ index = 0 }, { index = 1 }]
started_at = "2026-01-01T00:00:00Z"
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [first] = arguments.as_slice()
        && first == "--slow-line"
    {
        slow_line();
        return ExitCode::SUCCESS;
    }
    let number = |at: usize, usual: u64| arguments.get(at).map_or(usual, |text| text.parse().unwrap());
    let (seconds, rate) = (number(0, 30), number(1, 20_000));
    let folder = tempfile::tempdir().unwrap();
    if run(folder.path(), seconds, rate) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Copies standard input to standard output, slowly until there is a file of the name of [`QUICK`].
fn slow_line() {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut bytes = vec![0; SLOW / 10];
    loop {
        let begun = Instant::now();
        match input.read(&mut bytes) {
            Ok(count @ 1..) if output.write_all(&bytes[..count]).and_then(|()| output.flush()).is_ok() => {
                let took = Duration::from_secs_f64(count as f64 / SLOW as f64);
                if !Path::new(QUICK).exists() {
                    std::thread::sleep(took.saturating_sub(begun.elapsed()));
                }
            }
            _ => return,
        }
    }
}

fn exptap(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exptap"));
    command.env("XDG_RUNTIME_DIR", folder).env("XDG_CONFIG_HOME", folder).current_dir(folder);
    command
}

/// An upstream that takes everything.
struct Upstream {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (Arc::clone(&requests), Arc::clone(&bytes));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, bytes) = (Arc::clone(&counters.0), Arc::clone(&counters.1));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some(body) = read_message(&mut stream) {
                        requests.fetch_add(1, Ordering::Relaxed);
                        bytes.fetch_add(body, Ordering::Relaxed);
                        if stream.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, requests, bytes }
    }
}

/// Reads a message of HTTP/1.1 with a length; gives the length.
fn read_message(stream: &mut BufReader<TcpStream>) -> Option<u64> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let copied = std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).ok()?;
    (copied == length).then_some(length)
}

/// What senders have done.
#[derive(Default)]
struct Sent {
    requests: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

/// Sends one part of the load until the time is over; hands over how long each answer took.
fn send(number: u64, address: SocketAddr, rate: u64, until: Instant, sent: &Sent, took: &Sender<Duration>) {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    stream.get_ref().set_nodelay(true).unwrap();
    let pause = Duration::from_secs_f64((EVENTS_PER_REQUEST * SENDERS) as f64 / rate as f64);
    let mut next = Instant::now();
    let mut event = number;
    let mut body = String::new();
    while next < until {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        body.clear();
        body.push('[');
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        for _ in 0..EVENTS_PER_REQUEST {
            let unit = (event / 10).wrapping_mul(2_654_435_761) % UNITS;
            match event % 10 {
                0..3 => write!(
                    body,
                    r#"{{"kind":"feature","creationDate":{now_ms},"key":"cta","version":3,"variation":{},"value":true,"default":false,"context":{{"kind":"user","key":"u-{unit}"}},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}}}},"#,
                    unit % 2
                ),
                3..6 => write!(
                    body,
                    r#"{{"kind":"custom","creationDate":{now_ms},"key":"checkout","context":{{"kind":"user","key":"u-{unit}"}}}},"#
                ),
                6..8 => write!(
                    body,
                    r#"{{"kind":"custom","creationDate":{now_ms},"key":"paid","metricValue":{}.5,"context":{{"kind":"user","key":"u-{unit}"}}}},"#,
                    unit % 100
                ),
                8 => write!(
                    body,
                    r#"{{"kind":"custom","creationDate":{now_ms},"key":"Checkout","context":{{"kind":"user","key":"u-{unit}"}}}},"#
                ),
                _ => write!(
                    body,
                    r#"{{"kind":"custom","creationDate":{now_ms},"key":"checkout","context":{{"kind":"device","key":"d-{unit}"}}}},"#
                ),
            }
            .unwrap();
            event += SENDERS;
        }
        body.pop();
        body.push(']');
        let head = format!(
            "POST /bulk HTTP/1.1\r\nhost: localhost\r\nauthorization: sdk-load-{number}\r\nuser-agent: NodeJSClient/9.13.7\r\n\
             content-type: application/json\r\nx-launchdarkly-event-schema: 4\r\nx-launchdarkly-payload-id: {number}-{event}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let begun = Instant::now();
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        stream.get_mut().write_all(body.as_bytes()).unwrap();
        match read_status(&mut stream) {
            202 => sent.requests.fetch_add(1, Ordering::Relaxed),
            _ => sent.failed.fetch_add(1, Ordering::Relaxed),
        };
        sent.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        took.send(begun.elapsed()).unwrap();
    }
}

fn read_status(stream: &mut BufReader<TcpStream>) -> u16 {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    read_message(stream).unwrap();
    status
}

/// A viewer in a terminal of 80x24.
struct Viewer {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    written: Arc<AtomicU64>,
    screen: Arc<Mutex<vt100::Parser>>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
    reading: JoinHandle<()>,
}

impl Viewer {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_exptap"));
        command.arg("attach");
        command.args(arguments);
        command.cwd(folder);
        for (name, value) in [("TERM", "xterm"), ("LANG", "C.UTF-8"), ("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")] {
            command.env(name, value);
        }
        command.env("XDG_RUNTIME_DIR", folder);
        command.env("XDG_CONFIG_HOME", folder);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let written = Arc::new(AtomicU64::new(0));
        let mut output = pair.master.try_clone_reader().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0)));
        let (counter, emulator) = (Arc::clone(&written), Arc::clone(&screen));
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                counter.fetch_add(count as u64, Ordering::Relaxed);
                emulator.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, written, screen, _master: pair.master, reading }
    }

    fn id(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Ends it, once it has taken everything up to the collector's farewell.
    fn end(mut self) {
        while !self.screen.lock().unwrap().screen().contents().contains("reconnecting") {
            std::thread::sleep(Duration::from_millis(20));
        }
        terminate(self.id());
        assert!(self.child.wait().unwrap().success());
        self.reading.join().unwrap();
    }
}

fn terminate(id: u32) {
    kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), Signal::TERM).unwrap();
}

/// Memory in MiB and the processor's time in seconds that a process has used.
fn used(id: u32) -> (u64, f64) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let memory = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    (memory, ticks as f64 / 100.0)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The totals of recordings, as `exptap report` has them: requests, events, requests lost.
fn totals(folder: &Path, pattern: &str) -> (u64, u64, u64, Value) {
    let mut parts: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(pattern) && name.ends_with(".exptap.zst"))
        .collect();
    // What was put aside has the time in its name, and comes before what is written to now.
    parts.sort_by_key(|name| (name.len() < pattern.len() + 20, name.clone()));
    let output = exptap(folder).arg("report").args(&parts).args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| report["totals"][name].as_u64().unwrap();
    (count("requests"), count("events"), count("lost"), report["totals"]["verdicts"].clone())
}

fn run(folder: &Path, seconds: u64, rate: u64) -> bool {
    let upstream = Upstream::start();
    fs::write(folder.join("catalog.toml"), CATALOG).unwrap();
    let forward = format!("http://{}", upstream.address);
    let mut collector = exptap(folder)
        .args(["collect", "--listen", "127.0.0.1:0", "--forward", &forward, "--catalog", "catalog.toml"])
        .args(["--record", "collector.exptap.zst", "--rotate", "256MiB"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(collector.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on http://") {
        line.clear();
        said.read_line(&mut line).unwrap();
    }
    let address: SocketAddr = line.trim().rsplit("http://").next().unwrap().parse().unwrap();
    while !line.contains("viewers at") {
        line.clear();
        said.read_line(&mut line).unwrap();
    }
    let saying = std::thread::spawn(move || said.lines().map_while(Result::ok).collect::<Vec<_>>());

    let ssh = folder.join("slow-ssh");
    let this = std::env::current_exe().unwrap();
    let exe = env!("CARGO_BIN_EXE_exptap");
    fs::write(&ssh, format!("#!/bin/sh\n'{exe}' attach --stdio | '{}' --slow-line\n", this.display())).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).unwrap();
    let near = Viewer::start(folder, &["--record", "near.exptap.zst"]);
    let far = ["ssh://far", "--ssh", ssh.to_str().unwrap(), "--record", "far.exptap.zst"];
    let far = Viewer::start(folder, &far);
    // Both are there before the first event, so that what they miss is what the load made them miss.
    while figure(folder, "exptap_viewers") < 2 {
        std::thread::sleep(Duration::from_millis(50));
    }

    println!("{seconds} s of {rate} events/s, {EVENTS_PER_REQUEST} to a request, {UNITS} units\n");
    println!("                  |   collector   |        viewer         | behind a slow line    | answered within");
    println!(
        "second     events |    MiB    cpu |    MiB    cpu    kB/s |    MiB    cpu    kB/s |      p50      p99      max"
    );
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let sent = Arc::new(Sent::default());
    let (took, taken) = channel();
    let senders: Vec<JoinHandle<()>> = (0..SENDERS)
        .map(|number| {
            let (sent, took) = (Arc::clone(&sent), took.clone());
            std::thread::spawn(move || send(number, address, rate, until, &sent, &took))
        })
        .collect();
    drop(took);
    let ids = [collector.id(), near.id(), far.id()];
    let mut before = (ids.map(used), [&near, &far].map(|viewer| viewer.written.load(Ordering::Relaxed)), begun);
    loop {
        let until_sample = (before.2 + SAMPLE).min(until);
        std::thread::sleep(until_sample.saturating_duration_since(Instant::now()));
        let now = (ids.map(used), [&near, &far].map(|viewer| viewer.written.load(Ordering::Relaxed)), Instant::now());
        let elapsed = (now.2 - before.2).as_secs_f64();
        let mut times: Vec<Duration> = taken.try_iter().collect();
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
        let cpu = |of: usize| format!("{:.0} %", (now.0[of].1 - before.0[of].1) / elapsed * 100.0);
        let terminal = |of: usize| format!("{:.1}", (now.1[of] - before.1[of]) as f64 / elapsed / 1000.0);
        println!(
            "{:>6} {:>10} | {:>6} {:>6} | {:>6} {:>6} {:>7} | {:>6} {:>6} {:>7} | {:>8} {:>8} {:>8}",
            begun.elapsed().as_secs(),
            sent.requests.load(Ordering::Relaxed) * EVENTS_PER_REQUEST,
            now.0[0].0,
            cpu(0),
            now.0[1].0,
            cpu(1),
            terminal(0),
            now.0[2].0,
            cpu(2),
            terminal(1),
            milliseconds(at(0.5)),
            milliseconds(at(0.99)),
            milliseconds(at(1.0))
        );
        before = now;
        if Instant::now() >= until {
            break;
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    // Whoever is behind the slow line is told what it missed by now, and gets the rest.
    fs::write(folder.join(QUICK), "").unwrap();
    let requests = sent.requests.load(Ordering::Relaxed);
    while figure(folder, "exptap_sent_requests_total") + figure(folder, "exptap_missed_requests_total") < 2 * requests {
        std::thread::sleep(Duration::from_millis(100));
    }
    terminate(collector.id());
    assert!(collector.wait().unwrap().success());
    near.end();
    far.end();
    let said = saying.join().unwrap();
    println!("\nthe collector said:\n  {}", said.join("\n  "));

    let failed = sent.failed.load(Ordering::Relaxed);
    println!(
        "\nsent {requests} requests, {} events; {failed} were answered otherwise than 202",
        requests * EVENTS_PER_REQUEST
    );
    println!(
        "upstream got {} requests, {} of {} bytes",
        upstream.requests.load(Ordering::Relaxed),
        upstream.bytes.load(Ordering::Relaxed),
        sent.bytes.load(Ordering::Relaxed)
    );
    let mut is_exact = failed == 0
        && upstream.requests.load(Ordering::Relaxed) == requests
        && upstream.bytes.load(Ordering::Relaxed) == sent.bytes.load(Ordering::Relaxed);
    for (what, pattern) in [("recording", "collector"), ("viewer", "near"), ("viewer behind a slow line", "far")] {
        let (has, events, lost, verdicts) = totals(folder, pattern);
        let sum: u64 = verdicts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let adds_up = has + lost == requests && events == has * EVENTS_PER_REQUEST && sum == events;
        println!("{what}: {has} requests + {lost} lost = {}, {events} events = {verdicts}", has + lost);
        is_exact &= adds_up;
    }
    println!("{}", if is_exact { "exact" } else { "NOT EXACT" });
    is_exact
}

/// One of the collector's own figures.
fn figure(folder: &Path, name: &str) -> u64 {
    let mut stream = std::os::unix::net::UnixStream::connect(folder.join("exptap/collector.sock")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}
