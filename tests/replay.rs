//! A recording, replayed: at every position it shows what a session shows that was fed up to there, however the
//! position was reached, and at its end it says what `exptap report` says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use exptap::attribution::state::Clock;
use exptap::catalog::Given;
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::envelope::Envelope;
use exptap::headless::{self, Request};
use exptap::input::Source;
use exptap::recording::{self, Gap, Header, Mark, Record};
use exptap::replay::{
    Command, Direction, Engine, Idle, OpenError, Player, Reading, RecordingFile, ReplayOptions, Speed, Status, Stop,
    Target, Timeline, Wake,
};
use exptap::session::{Session, SessionOptions};
use exptap::view::UnitView;
use proptest::prelude::*;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const START: i64 = 1_767_225_600_000;

fn catalog() -> Catalog {
    let text = r#"
[[metrics]]
key = "conversion"
event_key = "checkout"
units = ["user"]
[[metrics]]
key = "value"
event_key = "paid"
measure = "value"
units = ["user", "device"]
[[experiments]]
key = "cta"
flag = "cta"
metrics = ["conversion", "value"]
started_at = "2025-12-31T00:00:00Z"
[[experiments]]
key = "ranker"
flag = "ranker"
randomization_unit = "device"
metrics = ["value"]
started_at = "2025-12-31T00:00:00Z"
"#;
    load::from_text(text, "catalog.toml", Format::Toml, Origin::Recording).unwrap()
}

/// A recording under construction.
struct Tape {
    text: Vec<u8>,
    requests: u64,
}

impl Tape {
    fn new(header: &Header) -> Self {
        let mut text = Vec::new();
        recording::write_header(&mut text, header);
        Self { text, requests: 0 }
    }

    fn with_catalog() -> Self {
        Self::new(&Header { catalog: Some(catalog()), observed_from_ms: Some(START - 1000), ..Header::default() })
    }

    fn request(&mut self, t_ms: i64, body: &str) {
        self.requests += 1;
        let headers = vec![
            ("user-agent".to_owned(), format!("NodeJSClient/{}", self.requests % 3)),
            ("x-launchdarkly-event-schema".to_owned(), "4".to_owned()),
            // Every seventh is a retry of the one before.
            (
                "x-launchdarkly-payload-id".to_owned(),
                format!("p{}", self.requests - u64::from(self.requests.is_multiple_of(7))),
            ),
            ("x-launchdarkly-instance-id".to_owned(), format!("i{}", self.requests % 5)),
        ];
        let envelope = Envelope {
            arrival_ms: t_ms,
            request: self.requests,
            method: "POST".into(),
            path: "/bulk".into(),
            headers,
            body: body.as_bytes().to_vec().into(),
            wire_bytes: body.len() as u64,
            ..Envelope::default()
        };
        recording::write_request(&mut self.text, &envelope);
    }

    fn mark(&mut self, t_ms: i64, note: &str) {
        recording::write_mark(&mut self.text, &Mark { t_ms, note: note.into() });
    }

    fn gap(&mut self, t_ms: i64, lost: u64) {
        recording::write_gap(&mut self.text, &Gap { t_ms, lost, why: "full".into() });
    }

    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }
}

fn feature(flag: &str, kind: &str, key: &str, variation: u8, t_ms: i64) -> String {
    format!(
        r#"{{"kind":"feature","creationDate":{t_ms},"key":"{flag}","variation":{variation},"version":3,"reason":{{"kind":"FALLTHROUGH","inExperiment":true}},"contextKeys":{{"{kind}":"{key}"}}}}"#
    )
}

fn custom(event: &str, kind: &str, key: &str, t_ms: i64) -> String {
    format!(
        r#"{{"kind":"custom","creationDate":{t_ms},"key":"{event}","metricValue":{},"contextKeys":{{"{kind}":"{key}"}}}}"#,
        t_ms % 17
    )
}

/// A random shop, from a seed: exposures, conversions early, late and of the wrong kind, unknown keys, nonsense.
fn random(tape: &mut Tape, seed: u64, requests: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let mut t_ms = START;
    for _ in 0..requests {
        t_ms += [0, 5, 300, 4000, 31_000, 90_000][below(6) as usize] as i64;
        if below(40) == 0 {
            t_ms -= 2000;
        }
        match below(30) {
            0 => tape.mark(t_ms, "here"),
            1 => tape.raw("{\"t\":1,\"n\":\n"),
            2 => tape.raw("\n\r\n"),
            3 => tape.raw("{\"t\":1,\"something\":\"later\"}\n"),
            4 => tape.raw("{\"exptap\":1,\"observed_from\":5}\n"),
            5 if below(3) == 0 => tape.gap(t_ms, below(4)),
            6 => tape.request(t_ms, "not json"),
            _ => {
                let events: Vec<String> = (0..1 + below(4))
                    .map(|_| {
                        let at = t_ms - below(70_000) as i64;
                        let user = format!("u{}", below(12));
                        match below(9) {
                            0..=2 => feature("cta", "user", &user, below(2) as u8, at),
                            3 => feature("ranker", "device", &user, below(3) as u8, at),
                            4 | 5 => custom("checkout", "user", &user, at),
                            6 => custom("paid", if below(2) == 0 { "user" } else { "device" }, &user, at),
                            7 => custom("Checkout", "user", &user, at),
                            _ => r#"{"kind":"custom"}"#.to_owned(),
                        }
                    })
                    .collect();
                tape.request(t_ms, &format!("[{}]", events.join(",")));
            }
        }
    }
}

fn captures() -> Tape {
    let mut tape = Tape::new(&Header::default());
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for (file, path) in files.iter().enumerate() {
        for (number, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
            let request: serde_json::Value = serde_json::from_str(line).unwrap();
            tape.request(START + (file * 100_000 + number * 700) as i64, &request["body"].to_string());
        }
    }
    tape
}

/// A recording on disk.
struct Disk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Disk {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self { _folder: folder, path }
    }

    fn source(&self) -> Source {
        Source::File(self.path.clone())
    }

    fn engine(&self, options: ReplayOptions) -> Replay {
        let engine = Engine::new(RecordingFile::open(&self.source()).unwrap(), options);
        Replay { engine, now: Instant::now(), session: None, status: None, timeline: None, sessions: 0 }
    }

    fn report(&self, catalog: Option<Catalog>) -> serde_json::Value {
        let request = Request { sources: vec![self.source()], catalog, ..Request::default() };
        serde_json::to_value(headless::read(&request).unwrap().report()).unwrap()
    }
}

/// An engine, driven by hand.
struct Replay {
    engine: Engine,
    now: Instant,
    session: Option<Session>,
    status: Option<Status>,
    timeline: Option<Arc<Timeline>>,
    sessions: u64,
}

impl Replay {
    fn slice(&mut self) -> Wake {
        let wake = self.engine.work(self.now);
        let update = self.engine.take_update();
        self.sessions += u64::from(update.session.is_some());
        self.session = update.session.or(self.session.take());
        self.status = update.status.or(self.status.take());
        self.timeline = update.timeline.or(self.timeline.take());
        wake
    }

    /// Works until there is nothing more to do, time passing as fast as it is waited for.
    fn settle(&mut self) {
        for _ in 0..1_000_000 {
            match self.slice() {
                Wake::AtOnce => {}
                Wake::At(at) => self.now = self.now.max(at),
                Wake::OnCommand => return,
            }
        }
        panic!("it never comes to an end: {:?}", self.status);
    }

    fn send(&mut self, command: Command) {
        self.engine.command(command, self.now);
    }

    fn go(&mut self, target: Target) {
        self.send(Command::Seek(target));
        self.settle();
    }

    fn status(&self) -> &Status {
        self.status.as_ref().unwrap()
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().unwrap()
    }

    fn report(&mut self) -> serde_json::Value {
        serde_json::to_value(&*self.session().report()).unwrap()
    }
}

/// The records of a recording, read in the plainest way there is.
fn records(text: &[u8]) -> Vec<Result<Record, ()>> {
    let text = String::from_utf8_lossy(text);
    text.split_inclusive('\n')
        .filter(|line| !line.trim().is_empty() && !recording::is_header(line.trim()))
        .filter_map(|line| match recording::parse_line(line.trim()) {
            Ok(record) => Some(Ok(record)),
            Err(_) if !line.ends_with('\n') => None,
            Err(_) => Some(Err(())),
        })
        .collect()
}

/// For each record, whether another header stands before it: nobody observed in between. And whether one ends it.
fn interruptions(text: &[u8]) -> Vec<bool> {
    let text = String::from_utf8_lossy(text);
    let (mut before, mut is_interrupted) = (Vec::new(), false);
    for line in text.split_inclusive('\n').skip(1).filter(|line| !line.trim().is_empty()) {
        if recording::is_header(line.trim()) {
            is_interrupted = true;
        } else if line.ends_with('\n') || recording::parse_line(line.trim()).is_ok() {
            before.push(std::mem::take(&mut is_interrupted));
        }
    }
    before.push(is_interrupted);
    before
}

/// Sessions fed from the beginning, one for every position, the last one concluded.
fn fresh(text: &[u8], catalog: &Catalog, observed_from_ms: Option<i64>, rows: usize) -> Vec<Session> {
    let options = SessionOptions::of_recording(Clock::Creation, observed_from_ms, rows);
    let mut session = Session::new(Some(catalog.clone()), options);
    let mut sessions = vec![session.clone()];
    let mut time_ms = i64::MIN;
    let mut interruptions = interruptions(text).into_iter();
    for record in records(text) {
        if interruptions.next().unwrap() {
            session.interrupt();
        }
        let t_ms = match &record {
            Ok(Record::Request(envelope)) => envelope.arrival_ms,
            Ok(Record::Mark(mark)) => mark.t_ms,
            Ok(Record::Gap(gap)) => gap.t_ms,
            Ok(Record::Flags(flags)) => flags.t_ms,
            Ok(Record::Unknown) | Err(()) => i64::MIN,
        };
        time_ms = time_ms.max(t_ms);
        if time_ms > i64::MIN {
            session.advance(time_ms);
        }
        match record {
            Ok(Record::Request(envelope)) => session.receive(&envelope),
            // Of how many requests nobody knows.
            Ok(Record::Gap(Gap { lost: 0, .. })) => session.interrupt(),
            Ok(Record::Gap(gap)) => session.lose(gap.lost),
            Ok(Record::Mark(_) | Record::Flags(_) | Record::Unknown) => {}
            Err(()) => session.lose(1),
        }
        sessions.push(session.clone());
    }
    let last = sessions.last_mut().unwrap();
    if interruptions.next().unwrap() {
        last.interrupt();
    }
    last.conclude();
    sessions
}

fn assert_same(shown: &mut Session, fresh: &mut Session, position: u64) {
    assert_eq!(*shown.report(), *fresh.report(), "the report at {position}");
    assert_eq!(shown.journal().next(), fresh.journal().next(), "at {position}");
    assert_eq!(shown.journal().first(), fresh.journal().first(), "the list goes as far back at {position}");
    for event in fresh.journal().first()..fresh.journal().next() {
        assert_eq!(shown.row(event), fresh.row(event), "event {event} at {position}");
    }
    assert_eq!(shown.sources(), fresh.sources(), "the senders at {position}");
    for view in UnitView::ALL {
        assert_eq!(shown.units(view, 1000), fresh.units(view, 1000), "the contexts at {position}");
    }
    assert_eq!(shown.lost(), fresh.lost());
    assert_eq!(shown.iterations(), fresh.iterations());
    assert_eq!(shown.metric_names(), fresh.metric_names());
}

/// Small, so that a recording of a few hundred events has checkpoints, rows that scroll out and thinning.
fn small() -> ReplayOptions {
    ReplayOptions { rows: 60, checkpoint_events: 20, patience: Duration::MAX, ..ReplayOptions::default() }
}

fn shuffled(length: u64, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..length).collect();
    let mut state = seed | 1;
    for index in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(index, (state >> 33) as usize % (index + 1));
    }
    order
}

fn assert_every_position(tape: &Tape, options: ReplayOptions, seed: u64) {
    let disk = Disk::new("shop.exptap", &tape.text);
    let rows = options.rows;
    let mut replay = disk.engine(options);
    replay.settle();
    let catalog = replay.session().catalog().clone();
    let observed_from_ms = replay.session().observed_from_ms();
    let mut fresh = fresh(&tape.text, &catalog, observed_from_ms, rows);
    assert_eq!(replay.status().records, fresh.len() as u64 - 1);
    assert!(replay.status().is_end, "it follows the reading to the end");
    assert_eq!(replay.report(), disk.report(None));
    for position in shuffled(fresh.len() as u64, seed) {
        replay.go(Target::Position(position));
        assert_eq!(replay.status().position, position);
        assert_same(replay.session(), &mut fresh[position as usize], position);
    }
    replay.go(Target::Start);
    let requests: Vec<u64> = (1..)
        .zip(records(&tape.text))
        .filter_map(|(position, record)| matches!(record, Ok(Record::Request(_))).then_some(position))
        .collect();
    for position in &requests {
        replay.send(Command::Step(Stop::Event, Direction::Forward));
        replay.settle();
        assert_eq!(replay.status().position, *position, "a step forward");
        assert_same(replay.session(), &mut fresh[*position as usize], *position);
    }
    for position in requests.iter().rev().skip(1).chain(&[0]) {
        replay.send(Command::Step(Stop::Event, Direction::Back));
        replay.settle();
        if replay.status().position != *position {
            // From after the last request the first step back is to it.
            assert_eq!(Some(&replay.status().position), requests.last());
            replay.send(Command::Step(Stop::Event, Direction::Back));
            replay.settle();
        }
        assert_eq!(replay.status().position, *position, "a step back");
        assert_same(replay.session(), &mut fresh[*position as usize], *position);
    }
}

#[test]
fn every_position_of_real_traffic_is_as_if_nothing_came_after() {
    assert_every_position(&captures(), ReplayOptions::default(), 3);
    assert_every_position(&captures(), small(), 4);
    // Shown before their reports are made, and again after.
    assert_every_position(&captures(), ReplayOptions { patience: Duration::ZERO, ..small() }, 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_position_of_random_traffic_is_as_if_nothing_came_after(seed in any::<u64>(), with_catalog in any::<bool>()) {
        let mut tape = if with_catalog { Tape::with_catalog() } else { Tape::new(&Header::default()) };
        random(&mut tape, seed, 120);
        assert_every_position(&tape, small(), seed);
    }

    #[test]
    fn playing_comes_to_the_same_end_at_any_speed(seed in any::<u64>(), speed in prop_oneof![
        (0.1..100.0).prop_map(Speed::Times), Just(Speed::Max)
    ], idle in prop_oneof![Just(Idle::Keep), (0..20_000_i64).prop_map(Idle::Shorten)]) {
        let mut tape = Tape::with_catalog();
        random(&mut tape, seed, 60);
        let disk = Disk::new("shop.exptap", &tape.text);
        let mut replay = disk.engine(small());
        replay.settle();
        let end = replay.report();
        replay.send(Command::Idle(idle));
        replay.send(Command::Speed(speed));
        replay.send(Command::Play);
        replay.settle();
        prop_assert!(replay.status().is_end && !replay.status().is_playing);
        prop_assert_eq!(replay.report(), end);
    }
}

#[test]
fn the_end_is_what_the_report_says_whatever_the_file_is_packed_in() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 11, 300);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tape.text).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::stream::encode_all(tape.text.as_slice(), 1).unwrap();
    let frames: Vec<u8> =
        tape.text.chunks(5000).flat_map(|chunk| zstd::stream::encode_all(chunk, 1).unwrap()).collect();
    let mut reports = Vec::new();
    for (name, bytes) in
        [("a.exptap", tape.text.clone()), ("a.gz", gzip.clone()), ("a.exptap.zst", zstd), ("b.exptap.zst", frames)]
    {
        let disk = Disk::new(name, &bytes);
        let mut replay = disk.engine(small());
        replay.settle();
        reports.push(replay.report());
        assert_eq!(replay.report(), disk.report(None), "{name}");
        let half = replay.status().records / 2;
        replay.go(Target::Position(half));
        reports.push(replay.report());
    }
    assert!(reports.iter().skip(2).step_by(2).all(|report| *report == reports[0]));
    assert!(reports.iter().skip(3).step_by(2).all(|report| *report == reports[1]));

    // With a table of its frames, and with one and two of them damaged in the middle, which costs what they hold.
    let framed = |chunk: &[u8]| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(chunk).unwrap();
        encoder.finish().unwrap()
    };
    let pieces: Vec<Vec<u8>> = tape.text.chunks(5000).map(framed).collect();
    let sizes: Vec<(u32, u32)> = pieces
        .iter()
        .zip(tape.text.chunks(5000))
        .map(|(piece, chunk)| (piece.len() as u32, chunk.len() as u32))
        .collect();
    assert!(pieces.len() > 8);
    for (damaged, with_table) in [(0, true), (1, true), (2, true), (1, false), (2, false)] {
        let mut bytes: Vec<u8> = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let mut piece = piece.clone();
            if (4..4 + damaged).contains(&number) {
                let middle = piece.len() / 2;
                piece[middle..middle + 4].copy_from_slice(&[0xff; 4]);
            }
            bytes.extend(piece);
        }
        if with_table {
            bytes.extend(recording::frames::seek_table(&sizes));
        }
        let disk = Disk::new("shop.exptap.zst", &bytes);
        let mut replay = disk.engine(small());
        replay.settle();
        assert_eq!(replay.report(), disk.report(None), "{damaged} damaged, table {with_table}");
        let is_told = replay.status().notes.iter().any(|note| note.contains("are damaged and are left out"));
        assert_eq!(is_told, damaged > 0, "{:?}", replay.status().notes);
        for position in shuffled(replay.status().records, 6).into_iter().take(20) {
            replay.go(Target::Position(position));
            let one_after = replay.report();
            replay.go(Target::Start);
            replay.go(Target::Position(position));
            assert_eq!(replay.report(), one_after, "{damaged} damaged, table {with_table}, at {position}");
        }
    }

    // Cut off in the middle: what comes before is there, and it is said that something is not.
    for (name, bytes) in [("cut.exptap", &tape.text[..tape.text.len() / 2]), ("cut.gz", &gzip[..gzip.len() / 2])] {
        let disk = Disk::new(name, bytes);
        let mut replay = disk.engine(small());
        replay.settle();
        assert_eq!(replay.report(), disk.report(None), "{name}");
        assert!(!replay.status().notes.is_empty(), "{name}");
        assert!(replay.status().records > 10, "{name}");
    }
}

#[test]
fn where_to_begin_can_be_said_before_anything_was_read() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 5, 80);
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut fresh = fresh(&tape.text, &catalog(), Some(START - 1000), small().rows);
    let mut replay = disk.engine(small());
    replay.go(Target::Start);
    for _ in 0..10 {
        replay.send(Command::Step(Stop::Event, Direction::Forward));
        replay.settle();
        let position = replay.status().position;
        assert_eq!(
            replay.report()["totals"],
            serde_json::to_value(&*fresh[position as usize].report()).unwrap()["totals"]
        );
    }
}

#[test]
fn a_given_catalog_and_a_given_beginning_beat_the_recordings_own() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 5, 80);
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut given = catalog();
    given.experiments.truncate(1);
    given.origin = Origin::File;
    let mut replay =
        disk.engine(ReplayOptions { given: Given { catalog: Some(given.clone()), ..Given::default() }, ..small() });
    replay.settle();
    assert_eq!(replay.report(), disk.report(Some(given)));
    let mut replay = disk.engine(ReplayOptions { observed_from_ms: Some(START + 1), ..small() });
    replay.settle();
    assert_eq!(replay.report()["observed_from"], START + 1);
}

#[test]
fn at_the_end_nothing_is_pending_and_before_it_everything_is_as_it_was_then() {
    let mut tape = Tape::with_catalog();
    tape.request(START, &format!("[{}]", custom("checkout", "user", "u1", START)));
    tape.request(START + 100, &format!("[{}]", custom("checkout", "user", "u2", START)));
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.settle();
    assert_eq!(replay.report()["totals"]["verdicts"].get("pending"), None);
    replay.go(Target::Position(1));
    assert_eq!(replay.report()["totals"]["verdicts"]["pending"], 1);
    assert!(!replay.status().is_end);
}

#[test]
fn going_to_an_instant_is_as_it_was_at_that_instant() {
    let mut tape = Tape::with_catalog();
    tape.request(START, &format!("[{}]", custom("checkout", "user", "u1", START)));
    tape.request(START + 200_000, "[]");
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.settle();
    for (t_ms, position, pending) in
        [(START - 5, 0, 0), (START, 1, 1), (START + 59_999, 1, 1), (START + 60_000, 1, 0), (START + 59_999, 1, 1)]
    {
        replay.go(Target::Time(t_ms));
        assert_eq!(replay.status().position, position, "{t_ms}");
        assert_eq!(replay.report()["totals"]["verdicts"]["pending"], pending, "{}", t_ms - START);
    }
    replay.go(Target::Time(i64::MAX));
    assert!(replay.status().is_end);
}

#[test]
fn playing_takes_the_time_it_took_and_skips_silences_when_asked_to() {
    let mut tape = Tape::with_catalog();
    for t_ms in [0, 1000, 1_001_000, 1_002_000] {
        tape.request(START + t_ms, &format!("[{}]", custom("checkout", "user", "u1", START)));
    }
    let disk = Disk::new("shop.exptap", &tape.text);
    let took = |speed, idle| {
        let mut replay = disk.engine(small());
        replay.settle();
        replay.send(Command::Speed(speed));
        replay.send(Command::Idle(idle));
        let begun = replay.now;
        replay.send(Command::Play);
        replay.settle();
        assert!(replay.status().is_end);
        ((replay.now - begun).as_millis(), replay.status().silence.map(|silence| silence.to_ms - START))
    };
    assert_eq!(took(Speed::Times(1.0), Idle::Keep), (1_002_000, None));
    assert_eq!(took(Speed::Times(10.0), Idle::Keep), (100_200, None));
    assert_eq!(took(Speed::Times(1.0), Idle::Shorten(5000)), (7000, Some(1_001_000)));
    assert_eq!(took(Speed::Times(0.5), Idle::Shorten(5000)), (14_000, Some(1_001_000)));
    assert_eq!(took(Speed::Times(1.0), Idle::Shorten(0)), (0, Some(1_002_000)));
    assert_eq!(took(Speed::Max, Idle::Keep).0, 0);
}

#[test]
fn while_playing_time_passes_between_requests_and_stands_still_when_paused() {
    let mut tape = Tape::with_catalog();
    tape.request(START, &format!("[{}]", custom("checkout", "user", "u1", START)));
    tape.request(START + 200_000, "[]");
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.settle();
    replay.send(Command::Idle(Idle::Keep));
    replay.go(Target::Position(1));
    replay.send(Command::Play);
    replay.slice();
    replay.now += Duration::from_millis(59_999);
    replay.slice();
    assert_eq!(replay.status().time_ms, Some(START + 59_999));
    assert_eq!(replay.report()["totals"]["verdicts"]["pending"], 1);
    replay.now += Duration::from_millis(1);
    replay.slice();
    replay.now += Duration::from_millis(40);
    replay.slice();
    assert_eq!(replay.report()["totals"]["verdicts"]["pending"], 0, "the grace is over before the next request");
    replay.send(Command::Pause);
    replay.settle();
    replay.now += Duration::from_secs(1000);
    replay.settle();
    assert_eq!((replay.status().time_ms, replay.status().position), (Some(START + 60_040), 1));
    replay.send(Command::Play);
    replay.slice();
    assert_eq!(replay.status().time_ms, Some(START + 60_040), "it goes on from where it stood still");
}

#[test]
fn going_back_while_playing_goes_on_playing_from_there() {
    let mut tape = Tape::with_catalog();
    for t_ms in [0, 10_000, 20_000] {
        tape.request(START + t_ms, &format!("[{}]", custom("checkout", "user", "u1", START)));
    }
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.settle();
    replay.send(Command::Idle(Idle::Keep));
    replay.go(Target::Position(2));
    replay.send(Command::Play);
    replay.slice();
    replay.now += Duration::from_millis(9000);
    replay.slice();
    assert_eq!(replay.status().time_ms, Some(START + 19_000));
    replay.send(Command::Seek(Target::Position(1)));
    for _ in 0..5 {
        replay.slice();
    }
    assert_eq!((replay.status().position, replay.status().time_ms), (1, Some(START)));
    assert!(replay.status().is_playing);
    replay.now += Duration::from_millis(9999);
    replay.slice();
    assert_eq!((replay.status().position, replay.status().time_ms), (1, Some(START + 9999)));
    replay.now += Duration::from_millis(1);
    replay.slice();
    assert_eq!(replay.status().position, 2);
}

#[test]
fn a_newer_wish_replaces_the_one_under_way_and_a_cancelled_one_changes_nothing() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 9, 4000);
    let disk = Disk::new("shop.exptap", &tape.text);
    // Hardly a checkpoint, so that every way is long.
    let mut replay = disk.engine(ReplayOptions { checkpoint_events: u64::MAX, ..small() });
    replay.settle();
    replay.go(Target::Position(7));
    let (before, sessions) = (replay.report(), replay.sessions);
    replay.send(Command::Seek(Target::Position(3000)));
    replay.slice();
    let going = replay.status().going.expect("it is on its way, and says so");
    assert_eq!(going.to, Some(3000));
    assert!(0 < going.done && going.done < going.of, "{going:?}");
    replay.send(Command::Cancel);
    replay.settle();
    assert_eq!((replay.status().position, replay.report(), replay.sessions), (7, before, sessions));

    replay.send(Command::Seek(Target::Position(3000)));
    replay.slice();
    replay.send(Command::Seek(Target::Position(5)));
    replay.settle();
    assert_eq!((replay.status().position, replay.sessions), (5, sessions + 1), "the first was never shown");

    // A long list is shown as soon as it fills a screen, and again when all of it is there.
    let mut long = disk.engine(ReplayOptions { rows: 2000, ..small() });
    long.settle();
    long.go(Target::Start);
    let sessions = long.sessions;
    long.send(Command::Seek(Target::Position(3500)));
    while long.sessions == sessions {
        long.slice();
    }
    let rows = |session: &Session| session.journal().next() - session.journal().first();
    let (first_rows, first) = (rows(long.session()), long.report());
    assert_eq!(long.status().position, 3500);
    long.settle();
    assert!((1000..2000).contains(&first_rows) && rows(long.session()) == 2000, "{first_rows}");
    assert_eq!((long.sessions, long.report()), (sessions + 2, first));

    // Steps add up, also while the first is still being gone.
    replay.send(Command::Seek(Target::Position(3000)));
    replay.slice();
    replay.send(Command::Step(Stop::Event, Direction::Forward));
    replay.slice();
    replay.send(Command::Step(Stop::Event, Direction::Back));
    replay.settle();
    assert!((2995..=3000).contains(&replay.status().position), "{}", replay.status().position);
}

#[test]
fn reading_can_be_stopped_looked_at_and_gone_on_with() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 21, 6000);
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.slice();
    replay.slice();
    assert_eq!(replay.status().reading, Reading::Reading);
    let (read, of) = replay.status().read;
    assert!(0 < read && Some(read) < of, "{read} of {of:?}");
    assert!(replay.session.is_some(), "the panes fill while it is read");
    replay.send(Command::Cancel);
    replay.settle();
    assert_eq!(replay.status().reading, Reading::Stopped);
    let (records, position) = (replay.status().records, replay.status().position);
    assert!(position <= records && !replay.status().is_end);
    replay.go(Target::Position(10));
    assert_eq!((replay.status().position, replay.status().records), (10, records));
    replay.send(Command::Read);
    replay.settle();
    assert_eq!((replay.status().reading, replay.status().position), (Reading::Complete, 10), "nobody is moved");
    replay.go(Target::End);
    assert_eq!(replay.report(), disk.report(None));

    // A place that was not read yet is a reason to read on.
    let mut replay = disk.engine(small());
    replay.slice();
    replay.send(Command::Cancel);
    replay.go(Target::Position(5000));
    assert_eq!(replay.status().position, 5000);
}

#[test]
fn what_is_done_before_a_catalog_is_inferred_is_done_after() {
    let mut tape = Tape::new(&Header::default());
    random(&mut tape, 33, 3000);
    let disk = Disk::new("shop.exptap", &tape.text);
    for command in [Command::Play, Command::Step(Stop::Event, Direction::Forward), Command::Seek(Target::Position(50))]
    {
        let mut replay = disk.engine(small());
        replay.slice();
        assert_eq!(replay.status().reading, Reading::Inferring);
        replay.send(command);
        replay.send(Command::Speed(Speed::Max));
        replay.settle();
        replay.go(Target::End);
        assert_eq!(replay.report(), disk.report(None), "{command:?}");
    }
}

#[test]
fn checkpoints_stay_within_their_budget_and_every_position_is_still_right() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 40, 400);
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut generous = disk.engine(small());
    generous.settle();
    let (many, bytes) = generous.status().checkpoints;
    let budget = bytes / 3;
    let mut tight = disk.engine(ReplayOptions { checkpoint_bytes: budget, ..small() });
    tight.settle();
    let (few, bytes) = tight.status().checkpoints;
    assert!(many > 20 && few < many / 2 && bytes <= budget, "{few} of {many}, {bytes} of {budget}");
    for position in shuffled(tight.status().records, 1).into_iter().take(40) {
        generous.go(Target::Position(position));
        tight.go(Target::Position(position));
        assert_eq!(generous.report(), tight.report(), "at {position}");
    }
}

#[test]
fn marks_and_findings_are_gone_to_and_where_there_is_none_it_is_said() {
    let mut tape = Tape::with_catalog();
    for number in 0..50 {
        tape.request(START + number, &format!("[{}]", feature("cta", "user", &format!("u{number}"), 1, START)));
    }
    tape.mark(START + 50, "clicked Buy");
    tape.request(START + 51, &format!("[{}]", custom("Checkout", "user", "u1", START + 51)));
    for number in 52..90 {
        tape.request(START + number, &format!("[{}]", feature("cta", "user", &format!("u{number}"), 1, START)));
    }
    tape.mark(START + 90, "second");
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.settle();
    replay.go(Target::Start);
    let marks: Vec<(u64, String)> =
        replay.timeline.as_ref().unwrap().marks.iter().map(|mark| (mark.position, mark.note.clone())).collect();
    assert_eq!(marks, [(51, "clicked Buy".into()), (91, "second".into())]);
    let mut step = |stop, direction| {
        replay.send(Command::Step(stop, direction));
        replay.settle();
        (replay.status().position, replay.status().message)
    };
    assert_eq!(step(Stop::Mark, Direction::Forward), (51, None));
    assert_eq!(step(Stop::Mark, Direction::Forward), (91, None));
    assert_eq!(step(Stop::Mark, Direction::Forward), (91, Some("there is no later mark")));
    assert_eq!(step(Stop::Mark, Direction::Back), (51, None));
    assert_eq!(step(Stop::Mark, Direction::Back), (51, Some("there is no earlier mark")));
    assert_eq!(step(Stop::Finding, Direction::Forward).0, 52, "where the misspelt key first shows");
    let found = replay.timeline.as_ref().unwrap().findings.clone();
    let found = found.iter().find(|finding| finding.by == 52).unwrap();
    assert!(found.is_exact());
    assert_eq!(found.code.name(), "event-key-case");
}

#[test]
fn what_is_no_recording_is_said_to_be_none_in_one_sentence() {
    let refused = |name: &str, bytes: &[u8]| {
        let disk = Disk::new(name, bytes);
        let error = RecordingFile::open(&disk.source()).map(|_| ()).unwrap_err();
        let words = error.to_string();
        assert!(words.starts_with(name) || words.contains(&format!("/{name}:")), "{words}");
        assert!(!words.contains('\n'), "{words}");
        (words, error)
    };
    let is = |name: &str, bytes: &[u8], wanted: &str| {
        let (words, _) = refused(name, bytes);
        assert!(words.contains(wanted), "{words}");
    };
    is("empty.exptap", b"", "the file is empty");
    is("blank.exptap", b"\n", "the file is empty");
    is("events.ndjson", b"{\"kind\":\"custom\",\"key\":\"a\"}\n", "`exptap tail events.ndjson`");
    is("events.json", b"[{\"kind\":\"custom\",\"key\":\"a\"}]", "`exptap report events.json`");
    is("events.json", b"[\n  {\"kind\":\"custom\"}\n]\n", "plain events");
    is("notes.txt", b"hello\nworld\n", "not a recording");
    is("newer.exptap", b"{\"exptap\":2,\"x\":1}\n", "version 2");
    is("damaged.exptap", b"{\"exptap\":1,\"catalog\":{\n", "damaged");
    is("cut.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "nothing of it was read");
    is("cut.zst", &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff], "nothing of it was read");
    let folder = tempfile::tempdir().unwrap();
    let error = RecordingFile::open(&Source::File(folder.path().into())).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Input(_)) && error.to_string().contains("this is a folder"), "{error}");
    let error = RecordingFile::open(&Source::File(folder.path().join("none"))).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("there is no such file"), "{error}");
}

#[test]
fn a_recording_of_nothing_is_an_end_at_once() {
    let disk = Disk::new("nothing.exptap", &Tape::with_catalog().text);
    let mut replay = disk.engine(small());
    replay.settle();
    assert_eq!((replay.status().records, replay.status().is_end), (0, true));
    assert_eq!(replay.report(), disk.report(None));
    for command in [
        Command::Play,
        Command::Step(Stop::Event, Direction::Forward),
        Command::Step(Stop::Event, Direction::Back),
        Command::Step(Stop::Finding, Direction::Forward),
        Command::Seek(Target::Time(0)),
    ] {
        replay.send(command);
        replay.settle();
        assert!(replay.status().is_end, "{command:?}");
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_looked_at_is_a_fault_that_is_told_and_what_is_shown_stays() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 2, 3000);
    let disk = Disk::new("shop.exptap", &tape.text);
    let mut replay = disk.engine(small());
    replay.settle();
    replay.go(Target::Position(5));
    std::fs::write(&disk.path, &tape.text[..tape.text.len() / 2]).unwrap();
    replay.go(Target::Position(2900));
    let fault = replay.status().fault.clone().unwrap();
    assert!(fault.contains("cut or replaced"), "{fault}");
    assert_eq!(replay.status().position, 5);
}

#[test]
fn the_thread_does_all_of_it_and_ends_with_its_handle() {
    let mut tape = Tape::with_catalog();
    random(&mut tape, 13, 500);
    let disk = Disk::new("shop.exptap", &tape.text);
    let expected = disk.report(None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let player = Player::open(&disk.source(), small()).unwrap();
    let mut last = (None, None);
    let mut until = |done: &dyn Fn(&Status) -> bool| {
        runtime.block_on(async {
            loop {
                player.changed().await;
                let update = player.take();
                last = (update.session.or(last.0.take()), update.status.or(last.1.take()));
                if last.1.as_ref().is_some_and(done) {
                    return;
                }
            }
        });
        serde_json::to_value(&*last.0.as_mut().unwrap().report()).unwrap()
    };
    assert_eq!(until(&|status| status.is_end), expected);
    player.send(Command::Seek(Target::Position(100)));
    assert_ne!(until(&|status| status.position == 100), expected);
    player.send(Command::Speed(Speed::Max));
    player.send(Command::Play);
    assert_eq!(until(&|status| status.is_end), expected);
}
