//! What must hold whatever the bytes: one function for each room that reads them. `tests/fuzz_corpus.rs` runs the same
//! functions without a fuzzer.

use bytes::Bytes;
use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::bucketing::Arithmetic;
use exptap::bucketing::answer::answer;
use exptap::bucketing::fill::fill;
use exptap::bucketing::payload;
use exptap::bucketing::seen::Seen;
use exptap::catalog::Given;
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::check;
use exptap::envelope::Envelope;
use exptap::event::body;
use exptap::event::{Item, Unreadable};
use exptap::headless::{self, Request};
use exptap::input::Source;
use exptap::intake;
use exptap::json::Walker;
use exptap::protocol::{self, Control, Line, Packer, Position, Unpacker};
use exptap::query::{Query, Situation};
use exptap::recording::frames::{FrameIndex, Frames, Step, decode_frame};
use exptap::recording::{self, Record};
use exptap::redact::Redactor;
use exptap::replay::{Command, Engine, RecordingFile, ReplayOptions, Target, Update, Wake};
use exptap::report::{Report, build};
use exptap::segment::{self, Outcome, mapping_file};
use exptap::spool::format;
use exptap::spool::reader::{Item as Spooled, Reader, Waiting};
use exptap::untrusted::Untrusted;
use serde::de::IgnoredAny;
use std::io::{Cursor, Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let text = r#"
        [[metrics]]
        key = "checkout"
        event_key = "checkout"
        units = ["user", "device"]
        [[metrics]]
        key = "revenue"
        event_key = "checkout"
        measure = "value"
        [[metrics]]
        key = "page"
        kind = "pageview"
        urls = [{ kind = "substring", substring = "/a" }]
        [[metric_groups]]
        key = "funnel"
        kind = "funnel"
        metrics = ["page", "checkout"]
        [[experiments]]
        key = "test"
        flag = "f"
        variations = [{ index = 0 }, { index = 1 }]
        metrics = ["revenue"]
        metric_groups = ["funnel"]
        iterations = [{ started_at = 1, ended_at = 1000 }, { started_at = 1000 }]
    "#;
    load::from_text(text, "fuzz.toml", Format::Toml, Origin::File).expect("the catalog is right")
});

/// What arrives beside the fuzzed request, so that there is something to agree or disagree with.
const COMPANION: &str = r#"[
    {"kind":"feature","key":"f","creationDate":10,"variation":0,"context":{"kind":"user","key":"u"},"reason":{"inExperiment":true}},
    {"kind":"custom","key":"checkout","creationDate":20,"metricValue":2,"context":{"kind":"user","key":"u"}},
    {"kind":"custom","key":"Checkout","creationDate":5,"context":{"kind":"user","key":"u"}},
    {"kind":"feature","key":"f","creationDate":2000,"variation":1,"context":{"kind":"user","key":"u"},"reason":{"inExperiment":true}}
]"#;

fn envelope(request: u64, path: &str, headers: &[(&str, &str)], body: Bytes) -> Envelope {
    Envelope {
        arrival_ms: i64::try_from(request).unwrap_or(i64::MAX) + 5000,
        request,
        method: "POST".to_owned(),
        path: path.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        wire_bytes: body.len() as u64,
        body,
        ..Envelope::default()
    }
}

fn judged<'a>(envelopes: impl IntoIterator<Item = &'a Envelope>) -> Report {
    let mut state = State::new(Arc::new(Judge::new(&CATALOG)), Options::default());
    let mut rows = 0;
    for envelope in envelopes {
        intake::envelope(&mut state, &CATALOG.environment, envelope, |_, _| rows += 1);
    }
    let report = build::report(&state, &CATALOG);
    let totals = &report.totals;
    assert_eq!(totals.events, rows, "every event is handed on once");
    assert_eq!(totals.events, totals.verdicts.values().sum::<u64>(), "every event is in one category");
    assert_eq!(totals.events, totals.by_kind.values().sum::<u64>() + totals.undecodable);
    for metric in report.experiments.iter().flat_map(|experiment| &experiment.metrics) {
        assert_eq!(metric.received, metric.verdicts.values().sum::<u64>());
    }
    report
}

/// What has to be the same in every order: neither which events are named as examples, nor what huge numbers of
/// opposite signs add up to.
fn comparable(mut report: Report) -> Report {
    for finding in &mut report.findings {
        finding.examples.clear();
    }
    report.findings.sort_by_key(|finding| {
        format!("{:?} {:?} {:?} {}", finding.code, finding.experiment, finding.metric, finding.summary)
    });
    for arm in report.experiments.iter_mut().flat_map(|experiment| &mut experiment.arms) {
        for metric in &mut arm.metrics {
            (metric.sum, metric.mean, metric.interval, metric.percentile) = (0.0, None, None, None);
        }
    }
    report
}

/// The path the first byte chooses: LaunchDarkly's, an image's, or a door of Segment's.
fn path(how: u8, text: &str) -> String {
    match (how >> 5, how & 8) {
        (1, _) => "/v1/batch".to_owned(),
        (2, _) => "/v1/t".to_owned(),
        (3, _) => "/webhook".to_owned(),
        (_, 8) => format!("/a/id.gif?d={text}"),
        _ => "/bulk".to_owned(),
    }
}

/// A request: everything in it is accounted for, what is unreadable lies in the body, and another order gives the
/// same report. The first byte chooses how it is sent.
pub fn body(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let gzip: &[(&str, &str)] = if how & 1 == 1 { &[("content-encoding", "gzip")] } else { &[] };
    let id: &[(&str, &str)] = if how & 2 == 2 { &[("x-launchdarkly-payload-id", "p")] } else { &[] };
    let python: &[(&str, &str)] = if how & 4 == 4 { &[("user-agent", "PythonClient/9.0.0")] } else { &[] };
    let headers = [gzip, id, python].concat();
    let text = String::from_utf8_lossy(bytes);
    let path = path(*how, &text);
    let fuzzed = envelope(1, &path, &headers, Bytes::copy_from_slice(bytes));
    if let Ok(text) = body::text(&fuzzed) {
        body::batch(&text, body::Route::of(&fuzzed.path).door, |item| match item {
            Item::Event { event, offset } => assert_eq!(text.get(offset..offset + event.raw.len()), Some(event.raw)),
            Item::Segment(posted) => assert_eq!(text.get(posted.range()), Some(posted.raw)),
            Item::Unreadable(Unreadable { offset, range, reason }) => {
                assert!(text.get(range.clone()).is_some(), "{range:?} of {} bytes: {reason}", text.len());
                assert!(offset <= text.len() && !reason.is_empty());
            }
        });
    }
    let companion = envelope(2, "/bulk", &[], Bytes::from_static(COMPANION.as_bytes()));
    let forward = comparable(judged([&fuzzed, &companion]));
    let backward = comparable(judged([&companion, &fuzzed]));
    assert_eq!(forward, backward);
}

/// What is shared comes to the same: as many events of each kind, units, exposures and conversions, whatever the bytes.
/// The first byte chooses how they came.
pub fn redact(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let mut redactor = Redactor::new(&[5; 32], Some(&CATALOG), how & 16 == 16, &[]).expect("nothing is refused");
    let gzip: &[(&str, &str)] = if how & 1 == 1 { &[("content-encoding", "gzip")] } else { &[] };
    let id: &[(&str, &str)] = if how & 2 == 2 { &[("x-launchdarkly-payload-id", "p")] } else { &[] };
    let text = String::from_utf8_lossy(bytes);
    let path = path(*how, &text);
    let fuzzed = envelope(1, &path, &[gzip, id].concat(), Bytes::copy_from_slice(bytes));
    let companion = envelope(2, "/bulk", id, Bytes::from_static(COMPANION.as_bytes()));
    let shared = [&fuzzed, &companion].map(|envelope| {
        let mut line = Vec::new();
        recording::write_request(&mut line, &redactor.envelope(envelope));
        match recording::parse_line(std::str::from_utf8(&line).expect("a line is text")) {
            Ok(Record::Request(read)) => read,
            other => panic!("{other:?}"),
        }
    });
    let anonymous = |report: Report| {
        let mut report = comparable(report);
        report.findings.clear();
        report.totals.by_kind.clear();
        report
    };
    let findings = |report: &Report| {
        let mut codes: Vec<_> = report.findings.iter().map(|it| (it.code.name(), it.events, it.units)).collect();
        codes.sort_unstable();
        codes
    };
    // Exports are refused, not promised to come to the same.
    if redactor.list().exported == 0 && redactor.list().differing.is_none() {
        let (before, after) = (judged([&fuzzed, &companion]), judged(&shared));
        assert_eq!(findings(&after), findings(&before));
        assert_eq!(anonymous(after), anonymous(before));
    }
    // Lines of a recording that anybody wrote.
    let mut lines = Vec::new();
    text.split_inclusive('\n').for_each(|line| redactor.line(line, &mut lines));
    let lines = String::from_utf8(lines).expect("a recording is text");
    lines.lines().for_each(|line| assert!(recording::parse_line(line).is_ok(), "{line}"));
}

/// The walker takes what serde_json takes, down to its depth, and nothing else.
pub fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut walker = Walker::new(text);
    let walked = walker.value().map(|_| walker.is_at_end());
    let parsed = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match walked {
        Ok(is_all) => assert_eq!(is_all, parsed, "{text:?}"),
        Err(fault) => {
            assert!(fault.offset <= text.len());
            assert!(!parsed || fault.what.contains("deep"), "{fault}: {text:?}");
        }
    }
}

/// A flag payload gives rollouts that every key has a place in, or says what is wrong.
pub fn flags(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let payload = payload::read(text);
    let mut passed = Seen::default();
    passed.take("sdk-…1", payload.clone());
    let kept = passed.to_json();
    assert_eq!(seen(&kept.to_string()).to_json(), kept, "a recording keeps it");
    for (key, flag) in &payload.flags {
        let answer = answer(key, flag, &["u".to_owned(), "device/d".to_owned()], None);
        assert_eq!(answer.rules.len(), flag.rules.len());
        for (rule, answer) in flag.rules.iter().zip(&answer.rules) {
            assert!(rule.rollout.bucket(key, "u").share_by(Arithmetic::Single).is_some(), "{rule:?}");
            assert_eq!(answer.ranges.first().map(|range| range.from), Some(0.0), "{rule:?}");
            assert_eq!(answer.ranges.last().map(|range| range.to), Some(1.0), "{rule:?}");
        }
        assert!(!answer.text().is_empty());
    }
    let mut catalog = CATALOG.clone();
    let notes = fill(&mut catalog, &payload);
    // What was taken is what a catalog may hold: a recording takes it along.
    let written = catalog.to_json().to_string();
    let read = load::from_text(&written, "filled.json", Format::Json, Origin::File);
    assert_eq!(read.as_ref(), Ok(&catalog), "{notes:?}");
}

/// A catalog is refused with its lines, or reads back from what it is written as.
pub fn catalog(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for format in [Format::Toml, Format::Json] {
        match load::from_text(text, "fuzz", format, Origin::File) {
            Ok(catalog) => {
                let written = catalog.to_json().to_string();
                match load::from_text(&written, "written", Format::Json, Origin::File) {
                    Ok(read) => assert_eq!(read, catalog, "{written}"),
                    Err(error) => panic!("{error}\n{written}"),
                }
            }
            Err(error) => assert!(error.to_string().lines().all(|line| line.starts_with("fuzz:")), "{error}"),
        }
    }
}

/// A mapping file, a NUL, and a Segment event. Whatever the mapping, it comes to an end; what it sends is one event
/// that can be decoded; it says the same when it is explained, and when the file is written again.
pub fn segment(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, event) = text.split_once('\0').unwrap_or((text, r#"{"type":"track","event":"e","userId":"u"}"#));
    let event = segment::Event::parse(event);
    for format in [Format::Toml, Format::Json] {
        let destination = match mapping_file::from_text(file, "fuzz", format) {
            Ok(read) => read.destination,
            Err(error) => {
                assert!(error.to_string().lines().all(|line| line.starts_with("fuzz:")), "{error}");
                continue;
            }
        };
        let Ok(event) = &event else { continue };
        let mapped = destination.map(event, 0);
        let outcomes = |mapped: Vec<segment::Mapped>| mapped.into_iter().map(|it| it.outcome).collect::<Vec<_>>();
        let written = destination.to_json();
        match mapping_file::from_text(&written, "written", Format::Json) {
            Ok(read) => assert_eq!(outcomes(read.destination.map(event, 0)), outcomes(mapped.clone()), "{written}"),
            Err(error) => panic!("{error}\n{written}"),
        }
        assert_eq!(outcomes(destination.explain(event, 0)), outcomes(mapped.clone()));
        for mapped in mapped {
            let Outcome::Sent(request) = mapped.outcome else { continue };
            let mut events = 0;
            body::items(&request.body, |item| {
                assert!(matches!(item, Item::Event { .. }), "{}", request.body);
                events += 1;
            });
            assert_eq!(events, 1, "{}", request.body);
        }
    }
}

/// A recording, as lines or as frames: what is read of a line is written as a line that is read as the same; every
/// frame that is found can be decoded or is refused in words; and however the bytes come, they come to the same.
pub fn recording(bytes: &[u8]) {
    let content = |bytes: &[u8], piece: usize| {
        let mut frames = Frames::new(Pieces(bytes, piece)).expect("there is memory");
        let (mut content, mut at) = (Vec::new(), 0);
        while let Some(step) = frames.step().expect("bytes in memory can be read") {
            match step {
                Step::Content(piece) => content.extend(piece),
                Step::LeftOut { from, to, why } => {
                    assert!(at <= from && from < to && to <= bytes.len() as u64 && !why.is_empty());
                    at = to;
                }
                Step::BrokenOff { from, why } => {
                    assert!(at <= from && from <= bytes.len() as u64 && !why.is_empty());
                    at = bytes.len() as u64;
                }
            }
        }
        content
    };
    let whole = content(bytes, usize::MAX);
    // How much can be had of the last frame, where it is damaged, is the decompressor's affair.
    let pieces = content(bytes, 61);
    assert!(whole.starts_with(&pieces) || pieces.starts_with(&whole), "in pieces as in one");
    if let Ok(index) = FrameIndex::read(&mut Cursor::new(bytes)) {
        let mut at = 0;
        for frame in &index.frames {
            assert!(frame.compressed_offset >= at);
            at = frame.compressed_offset + frame.compressed_len;
            assert!(at <= bytes.len() as u64);
            if let Ok(content) = decode_frame(&mut Cursor::new(bytes), frame) {
                assert_eq!(content.len() as u64, frame.decompressed_len);
            }
        }
    }
    for text in [String::from_utf8_lossy(bytes), String::from_utf8_lossy(&whole)] {
        for line in text.lines() {
            if let Ok(header) = recording::parse_header(line, "fuzz") {
                let mut written = Vec::new();
                recording::write_header(&mut written, &header);
                let written = String::from_utf8(written).expect("a line is text");
                let read = recording::parse_header(written.trim_end(), "fuzz");
                assert_eq!(read.map(|read| read.note), Ok(header.note), "{written}");
            }
            let Ok(record) = recording::parse_line(line) else { continue };
            let mut written = Vec::new();
            match &record {
                Record::Request(envelope) => recording::write_request(&mut written, envelope),
                Record::Mark(mark) => recording::write_mark(&mut written, mark),
                Record::Gap(gap) => recording::write_gap(&mut written, gap),
                Record::Flags(flags) => recording::write_flags(&mut written, flags),
                Record::Unknown => continue,
            }
            let written = String::from_utf8(written).expect("a line is text");
            assert_eq!(written.find('\n'), Some(written.len() - 1), "{written:?}");
            let Ok(read) = recording::parse_line(written.trim_end()) else { panic!("{line:?}: {written:?}") };
            match (&read, &record) {
                (Record::Request(read), Record::Request(envelope)) => assert_eq!(
                    body::text(read).map_err(|fault| fault.to_string()),
                    body::text(envelope).map_err(|fault| fault.to_string()),
                    "{written:?}"
                ),
                // What JSON another reader cannot read is written as nothing.
                (Record::Flags(_) | Record::Unknown, Record::Flags(flags)) => {
                    let json = if let Record::Flags(read) = &read { read.json.as_str() } else { "" };
                    assert_eq!(seen(json).to_json(), seen(&flags.json).to_json(), "{written:?}");
                }
                _ => assert_eq!(read, record),
            }
        }
    }
}

/// The flags a recording kept.
fn seen(json: &str) -> Seen {
    let mut seen = Seen::default();
    seen.take_json(json);
    seen
}

/// Bytes that come a few at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let piece = buffer.len().min(self.1);
        self.0.read(&mut buffer[..piece])
    }
}

/// What a collector or a viewer says: whatever it is it is read or refused, every number is accounted for once, and a
/// line of the conversation reads back from what it is written as. Compressed, it is the same or nothing.
pub fn feed(bytes: &[u8]) {
    let mut position = Position::default();
    let mut known: u64 = 0;
    for line in String::from_utf8_lossy(bytes).lines() {
        match protocol::parse(line) {
            Ok(Line::Control(control)) => {
                match &control {
                    Control::Hello(hello) => {
                        position.greet(hello);
                        known = position.after;
                    }
                    Control::Gap(missing) => known = known.saturating_add(position.skip(missing)),
                    _ => {}
                }
                let mut written = Vec::new();
                protocol::write(&mut written, &control);
                let written = String::from_utf8(written).expect("JSON is text");
                assert_eq!(protocol::parse(written.trim_end()), Ok(Line::Control(control)), "{written}");
            }
            Ok(Line::Record(record)) => {
                if let Record::Request(envelope) = &*record {
                    known = known.saturating_add(match position.take(envelope.request) {
                        protocol::Step::Seen => 0,
                        protocol::Step::Next => 1,
                        protocol::Step::After(skipped) => skipped.saturating_add(1),
                    });
                }
            }
            Ok(Line::Header(_)) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        assert_eq!(known, position.after, "every number once: {line}");
    }
    let mut packer = Packer::new().expect("there is memory");
    let packed = packer.pack(bytes).expect("there is memory");
    let unpack = |packed: &[u8]| Unpacker::new().expect("there is memory").unpack(packed);
    assert_eq!(unpack(&packed).expect("it was packed"), bytes);
    if let Ok(text) = unpack(bytes) {
        assert!(text.len() <= protocol::MAX_TOLD_BYTES);
    }
}

/// Every byte of a segment of the spool is in a request or said to be lost, however it is read, and what is read is what
/// was written.
pub fn spool(bytes: &[u8]) {
    let length = bytes.len() as u64;
    let mut reader = Reader::new(bytes, 0);
    let (mut next, mut items) = (0, Vec::new());
    while let Some(item) = reader.next(length, true).expect("memory can be read") {
        let (offset, taken) = match &item {
            Spooled::Request(waiting) => (waiting.offset, waiting.bytes),
            Spooled::Damaged { offset, bytes } | Spooled::Unfinished { offset, bytes } => (*offset, *bytes),
        };
        assert_eq!(offset, next, "nothing is passed over in silence");
        assert!(taken > 0);
        next += taken;
        if let Spooled::Request(waiting) = &item {
            let mut written = format::encode(&waiting.head.to_bytes(), waiting.arrival_ms, waiting.measure);
            written.extend_from_slice(&waiting.body);
            let mut again = Reader::new(&written[..], 0);
            match again.next(written.len() as u64, true).expect("memory can be read") {
                Some(Spooled::Request(read)) => {
                    assert_eq!(read, Waiting { offset: 0, bytes: read.bytes, ..waiting.clone() })
                }
                other => panic!("{other:?}"),
            }
        }
        items.push(item);
    }
    assert_eq!(next, length);
    // As it grows, byte by byte: nothing is taken for damaged that only is not finished yet.
    if bytes.len() < 512 {
        let mut growing = Reader::new(bytes, 0);
        let mut seen = Vec::new();
        for end in 0..=length {
            while let Some(item) = growing.next(end, end == length).expect("memory can be read") {
                seen.push(item);
            }
        }
        let requests = |items: &[Spooled]| items.iter().filter(|it| matches!(it, Spooled::Request(_))).count();
        assert_eq!(requests(&seen), requests(&items));
    }
}

/// A filter reads back from what it is printed as.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let situation = Situation { now_ms: 1_767_270_600_000, utc_offset_seconds: 3600 };
    let Ok(query) = Query::parse(text, situation) else { return };
    let printed = query.to_string();
    match Query::parse(&printed, situation) {
        Ok(read) => assert_eq!(read, query, "{printed}"),
        Err(error) => panic!("{error}: {printed}"),
    }
    query.matches_text(&[("key", text)]);
}

/// An expectation reads back from what it is printed as, and a mistake in one, or in the names it uses, has its column.
pub fn check(bytes: &[u8]) {
    static REPORT: LazyLock<Report> =
        LazyLock::new(|| judged([&envelope(1, "/bulk", &[], Bytes::from_static(COMPANION.as_bytes()))]));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let is_inside = |column: usize| (1..=text.chars().count() + 1).contains(&column);
    match check::parse(text) {
        Ok(expectation) => {
            let printed = expectation.to_string();
            assert_eq!(check::parse(&printed).as_ref(), Ok(&expectation), "{printed}");
            match check::evaluate(&expectation, &REPORT, &CATALOG) {
                Ok(outcome) => assert_eq!(outcome.holds, outcome.found.is_empty()),
                Err(error) => assert!(is_inside(error.column) && !error.message.is_empty(), "{error}"),
            }
        }
        Err(error) => assert!(is_inside(error.column) && !error.message.is_empty(), "{error}"),
    }
}

/// Nothing that is shown can be obeyed by a terminal, and a clipped text keeps to its columns.
pub fn untrusted(bytes: &[u8]) {
    let untrusted = Untrusted::from(bytes);
    for shown in [untrusted.display().to_string(), untrusted.escaped().to_string()] {
        let is_obeyed = |character: char| {
            character.is_control()
                || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!shown.contains(is_obeyed), "{shown:?}");
    }
    for columns in [0, 1, 7, 80] {
        let clipped = untrusted.clip(columns);
        assert!(clipped.columns <= columns);
        assert_eq!(Untrusted::from(clipped.text.as_str()).columns(), clipped.columns, "{:?}", clipped.text);
    }
}

/// What follows the header of a recording: replayed to its end it is what the report says of the file, and a position
/// shows the same from before and from after. The first byte says whether there is a catalog.
pub fn replay(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"{\"exptap\":1,\"observed_from\":5}\n").and_then(|()| file.write_all(text)).expect("it is written");
    let source = Source::File(file.path().to_owned());
    let catalog = (how % 2 == 1).then(|| CATALOG.clone());
    let options = ReplayOptions {
        given: Given { catalog: catalog.clone(), ..Given::default() },
        rows: 5,
        checkpoint_events: 3,
        ..ReplayOptions::default()
    };
    let mut engine = Engine::new(RecordingFile::open(&source).expect("it is a recording"), options);
    let mut now = Instant::now();
    let mut settle = |engine: &mut Engine, command: Option<Command>| {
        if let Some(command) = command {
            engine.command(command, now);
        }
        let mut last = Update::default();
        loop {
            let wake = engine.work(now);
            let update = engine.take_update();
            last = Update {
                status: update.status.or(last.status),
                session: update.session.or(last.session),
                timeline: update.timeline.or(last.timeline),
            };
            match wake {
                Wake::AtOnce => {}
                Wake::At(at) => now = now.max(at),
                Wake::OnCommand => return last,
            }
        }
    };
    let report = |update: Update| update.session.map(|mut session| serde_json::to_value(&*session.report()).ok());
    let end = settle(&mut engine, None);
    let records = end.status.as_ref().map_or(0, |status| status.records);
    let end = report(end).expect("the end is shown");
    let request = Request { sources: vec![source], catalog, ..Request::default() };
    if let Ok(read) = headless::read(&request) {
        assert_eq!(end, serde_json::to_value(read.report()).ok(), "the end is what the report says");
    }
    let middle = Some(Command::Seek(Target::Position(records / 2)));
    let from_after = report(settle(&mut engine, middle));
    settle(&mut engine, Some(Command::Seek(Target::Start)));
    assert_eq!(report(settle(&mut engine, middle)), from_after, "a position is what it is from either side");
}
