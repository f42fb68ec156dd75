//! How long a recording takes to open, to read and to go about in, and how much memory: with a real file, on a real
//! thread. Not a timed test: it prints, and people compare. Of seeks it prints the time that passed and the time that
//! the processor worked, which is what they take where nothing else runs.
//!
//! `cargo bench --bench replay` makes a recording of about 1 GB with 1,000,000 units in the temporary folder, uses it
//! and deletes it. `cargo bench --bench replay -- EVENTS.ndjson CATALOG [UNITS]` makes it of the events of a file
//! instead, 50 to a request. `-- EVENTS.ndjson -` has the catalog inferred. `-- RECORDING` uses a recording as it is.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::input::Source;
use exptap::recording::{self, Header};
use exptap::replay::{Command, Direction, Player, Reading, ReplayOptions, Status, Stop, Target};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const START_MS: i64 = 1_767_225_600_000;
const EVENTS_PER_REQUEST: usize = 50;
const UNITS: u64 = 1_000_000;
const EVENTS: u64 = 4_500_000;
const SEEKS: usize = 50;

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
started_at = "2026-01-01T00:00:00Z"
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut made = None;
    let path = match arguments.as_slice() {
        [recording] => PathBuf::from(recording),
        rest => {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("made.exptap");
            match rest {
                [events, catalog, ..] => wrap(Path::new(events), catalog, &path),
                _ => make(&path),
            }
            made = Some(folder);
            path
        }
    };
    measure(&path);
    drop(made);
}

struct Recorder {
    out: BufWriter<File>,
    line: Vec<u8>,
    body: Vec<u8>,
    held: usize,
    requests: u64,
}

impl Recorder {
    fn new(path: &Path, catalog: Option<Catalog>) -> Self {
        let mut line = Vec::new();
        let header = Header { observed_from_ms: Some(START_MS), catalog, ..Header::default() };
        recording::write_header(&mut line, &header);
        let mut out = BufWriter::new(File::create(path).unwrap());
        out.write_all(&line).unwrap();
        Self { out, line, body: Vec::new(), held: 0, requests: 0 }
    }

    fn event(&mut self, event: &str) {
        self.body.push(if self.held == 0 { b'[' } else { b',' });
        self.body.extend_from_slice(event.as_bytes());
        self.held += 1;
        if self.held == EVENTS_PER_REQUEST {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.held == 0 {
            return;
        }
        self.body.push(b']');
        self.requests += 1;
        let body = std::mem::take(&mut self.body);
        let envelope = Envelope {
            arrival_ms: START_MS + self.requests as i64 * 100,
            request: self.requests,
            method: "POST".into(),
            path: "/bulk".into(),
            headers: vec![
                ("user-agent".into(), "NodeJSClient/9.13.7".into()),
                ("x-launchdarkly-payload-id".into(), format!("payload-{}", self.requests)),
            ],
            wire_bytes: body.len() as u64,
            body: body.into(),
            ..Envelope::default()
        };
        self.line.clear();
        recording::write_request(&mut self.line, &envelope);
        self.out.write_all(&self.line).unwrap();
        self.held = 0;
    }
}

fn read_catalog(text: &str, name: &str) -> Catalog {
    load::from_text(text, name, Format::Toml, Origin::Recording).unwrap()
}

fn wrap(events: &Path, catalog: &str, path: &Path) {
    let catalog = (catalog != "-").then(|| read_catalog(&std::fs::read_to_string(catalog).unwrap(), catalog));
    let mut recorder = Recorder::new(path, catalog);
    for line in BufReader::new(File::open(events).unwrap()).lines() {
        recorder.event(&line.unwrap());
    }
    recorder.flush();
    recorder.out.flush().unwrap();
}

fn make(path: &Path) {
    let mut recorder = Recorder::new(path, Some(read_catalog(CATALOG, "catalog")));
    let mut state = 88_172_645_463_325_252_u64;
    for number in 0..EVENTS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let t_ms = START_MS + number as i64 * 2;
        let (unit, variation) = (state % UNITS, state % 2);
        let padding = "/products/a-page-with-a-name-of-some-length?campaign=winter&source=newsletter";
        let event = match state >> 32 & 7 {
            0..=3 => format!(
                r#"{{"kind":"feature","creationDate":{t_ms},"key":"cta","version":7,"variation":{variation},"value":"treatment","default":"control","reason":{{"kind":"FALLTHROUGH","inExperiment":true}},"context":{{"kind":"user","key":"user-{unit:08}","page":"{padding}"}}}}"#
            ),
            4 | 5 => format!(
                r#"{{"kind":"custom","creationDate":{t_ms},"key":"checkout","contextKeys":{{"user":"user-{unit:08}"}},"data":{{"page":"{padding}","cart":[1,2,3],"currency":"EUR"}}}}"#
            ),
            6 => format!(
                r#"{{"kind":"custom","creationDate":{t_ms},"key":"paid","metricValue":{},"contextKeys":{{"user":"user-{unit:08}"}},"data":{{"page":"{padding}"}}}}"#,
                state % 997
            ),
            _ => format!(
                r#"{{"kind":"custom","creationDate":{t_ms},"key":"Checkout","contextKeys":{{"user":"user-{unit:08}"}},"data":{{"page":"{padding}"}}}}"#
            ),
        };
        recorder.event(&event);
    }
    recorder.flush();
    recorder.out.flush().unwrap();
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}

/// What all threads worked so far, where the system says it.
fn worked() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_task = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(of_task).sum())
}

struct Watch {
    player: Player,
    runtime: tokio::runtime::Runtime,
    sessions: u64,
    status: Option<Status>,
}

impl Watch {
    fn until(&mut self, done: impl Fn(&Status, u64) -> bool) -> Status {
        let Self { player, runtime, sessions, status } = self;
        runtime.block_on(async {
            loop {
                player.changed().await;
                let update = player.take();
                *sessions += u64::from(update.session.is_some());
                if let Some(new) = update.status {
                    *status = Some(new);
                }
                if let Some(status) = status.as_ref().filter(|status| done(status, *sessions)) {
                    return status.clone();
                }
            }
        })
    }

    fn timed(&mut self, command: Command, done: impl Fn(&Status, u64) -> bool) -> (Duration, Duration) {
        // What is made behind a first showing is not to be counted with the next seek.
        loop {
            let before = worked();
            std::thread::sleep(Duration::from_millis(50));
            if worked().saturating_sub(before) < Duration::from_millis(10) {
                break;
            }
        }
        let (begun, worked_before, before) = (Instant::now(), worked(), self.sessions);
        self.player.send(command);
        self.until(|status, sessions| sessions > before && done(status, sessions));
        (begun.elapsed(), worked().saturating_sub(worked_before))
    }
}

fn tell(what: &str, times: Vec<(Duration, Duration)>) {
    let (passed, worked) = times.into_iter().unzip();
    tell_of(&format!("{what}, passed"), passed);
    tell_of(&format!("{what}, worked"), worked);
}

fn tell_of(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at =
        |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).copied().unwrap_or_default();
    println!("{what}: median {:.1?}, p95 {:.1?}, max {:.1?}", at(0.5), at(0.95), at(1.0));
}

fn measure(path: &Path) {
    println!("{} MB", path.metadata().unwrap().len() / 1_000_000);
    let begun = Instant::now();
    let mut options = ReplayOptions::default();
    // To see what checkpoints cost.
    if let Some(events) = std::env::var("CHECKPOINT_EVENTS").ok().and_then(|events| events.parse().ok()) {
        options.checkpoint_events = events;
    }
    let player = Player::open(&Source::File(path.into()), options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut watch = Watch { player, runtime, sessions: 0, status: None };
    let first = watch.until(|_, sessions| sessions > 0);
    println!("first session after {:.1?}, of {} events", begun.elapsed(), first.events);
    let end = watch.until(|status, _| status.reading == Reading::Complete && status.is_end);
    println!(
        "read and shown to the end after {:.2?}, {:.2?} of work: {} records, {} events, {} sessions shown meanwhile; peak {} MiB",
        begun.elapsed(),
        worked(),
        end.records,
        end.events,
        watch.sessions,
        peak_mib()
    );
    println!("{} checkpoints of about {} MiB", end.checkpoints.0, end.checkpoints.1 / 1024 / 1024);
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut seeks = Vec::new();
    let mut middle = 0;
    for _ in 0..SEEKS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let target = state % end.records;
        middle = target;
        seeks.push(watch.timed(Command::Seek(Target::Position(target)), |status, _| status.position == target));
    }
    tell("seeks anywhere", seeks);
    let mut steps = Vec::new();
    for _ in 0..SEEKS {
        let target = middle - 1;
        middle = target;
        let back = Command::Step(Stop::Event, Direction::Back);
        steps.push(watch.timed(back, |status, _| status.position == target));
    }
    tell("steps back", steps);
    let mut steps = Vec::new();
    for _ in 0..SEEKS {
        middle += 1;
        let target = middle;
        let forward = Command::Step(Stop::Event, Direction::Forward);
        steps.push(watch.timed(forward, |status, _| status.position == target));
    }
    tell("steps forward", steps);
    println!("peak {} MiB", peak_mib());
}
