//! Recordings, from the endpoint to the reader: whatever is done to a file, what stands before the fault is read and
//! judged; and whatever is done to the program, what it was handed is in the file or said to be missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use bytes::Bytes;
use exptap::envelope::{Answer, AnsweredBy, BodyLoss, Credential, Envelope, Signature, Via};
use exptap::event::body;
use exptap::headless::{self, Failure, Request};
use exptap::input::Source;
use exptap::recording::frames::{Frames, Step, seek_table};
use exptap::recording::{self, Gap, Header, Record};
use loopback::{Client, PATIENCE, gzip, post};
use proptest::prelude::*;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

fn envelope(request: u64, body: impl Into<Bytes>) -> Envelope {
    let body = body.into();
    Envelope {
        request,
        arrival_ms: 1_795_248_000_000 + i64::try_from(request).unwrap(),
        method: "POST".into(),
        path: "/bulk".into(),
        wire_bytes: body.len() as u64,
        body,
        ..Envelope::default()
    }
}

fn custom(key: &str) -> String {
    format!(r#"[{{"kind":"custom","key":"{key}","creationDate":1795248000000,"context":{{"kind":"user","key":"u"}}}}]"#)
}

fn judge(path: &Path) -> Result<(u64, u64, Vec<String>), Failure> {
    let request = Request { sources: vec![Source::File(path.to_owned())], ..Request::default() };
    headless::read(&request).map(|read| (read.state.totals().requests, read.state.totals().lost, read.notes))
}

/// The lines of a recording: a header, six requests with a mark and a gap between them.
fn lines() -> Vec<Vec<u8>> {
    let line = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut line = Vec::new();
        write(&mut line);
        line
    };
    let mut lines = vec![line(&|line| recording::write_header(line, &Header::default()))];
    for number in 1..=6 {
        lines.push(line(&|line| recording::write_request(line, &envelope(number, custom("checkout")))));
    }
    lines.insert(3, line(&|line| recording::write_mark(line, &recording::Mark { t_ms: 1, note: "here".into() })));
    lines.insert(6, line(&|line| recording::write_gap(line, &Gap { t_ms: 2, lost: 2, why: "full".into() })));
    lines
}

#[test]
fn a_recording_cut_at_any_byte_is_read_and_judged_up_to_its_last_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.exptap");
    let lines = lines();
    let whole = lines.concat();
    for cut in lines[0].len()..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (mut at, mut requests, mut lost, mut is_clean) = (0, 0, 0, false);
        for line in &lines {
            // A record that lacks its line feed only is whole.
            if at + line.len() - 1 <= cut {
                requests += u64::from(line.windows(7).any(|part| part == b"\"path\":"));
                lost += if line.windows(6).any(|part| part == b"\"gap\":") { 2 } else { 0 };
            }
            is_clean |= at == cut || at + line.len() - 1 == cut;
            at += line.len();
        }
        is_clean |= cut == whole.len();
        let (read, known_lost, notes) = judge(&path).unwrap();
        assert_eq!((read, known_lost, notes.is_empty()), (requests, lost, is_clean), "cut at {cut}: {notes:?}");
        if !is_clean {
            assert!(notes[0].contains("1 record is left out"), "{notes:?}");
        }
    }
    // Less than the header is nothing that could be recognised; it is refused in words.
    for cut in 1..lines[0].len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(judge(&path).map(drop).unwrap_err().to_string().contains("cut.exptap"), "cut at {cut}");
    }
}

/// The same as frames with a table, and where each frame ends.
fn compressed() -> (Vec<u8>, Vec<usize>) {
    let lines = lines();
    let (mut file, mut ends, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    for content in [&lines[..1], &lines[1..3], &lines[3..6], &lines[6..]] {
        let frame = compressor.compress(&content.concat()).unwrap();
        sizes.push((frame.len() as u32, content.concat().len() as u32));
        file.extend(frame);
        ends.push(file.len());
    }
    file.extend(seek_table(&sizes));
    (file, ends)
}

#[test]
fn a_compressed_recording_cut_at_any_byte_loses_its_last_frame_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.exptap.zst");
    let (whole, ends) = compressed();
    // After the header, two requests; then two more; then the gap and the last two.
    let requests = [0, 2, 4, 6];
    for cut in ends[0]..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let frames = ends.iter().filter(|end| **end <= cut).count() - 1;
        let (read, _, notes) = judge(&path).unwrap();
        assert!(read >= requests[frames], "cut at {cut}: {read}");
        assert!(read <= requests[(frames + 1).min(3)], "cut at {cut}: {read}");
        let is_clean = ends.contains(&cut) || cut >= ends[3] + 4;
        assert_eq!(notes.is_empty(), is_clean, "cut at {cut}: {notes:?}");
        if !is_clean {
            let place = format!("from byte {} of the file on", ends[frames]);
            assert!(notes.iter().any(|note| note.contains(&place)), "cut at {cut}: {notes:?}");
        }
    }
    assert_eq!(judge(&path).unwrap(), (6, 2, vec![]));
}

#[test]
fn a_damaged_frame_costs_itself_and_makes_what_rests_on_it_uncertain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.exptap.zst");
    let (whole, ends) = compressed();
    for at in ends[0]..ends[1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&path, &damaged).unwrap();
        let (read, lost, notes) = judge(&path).unwrap();
        // A byte that means nothing to the decompressor may be changed without harm.
        if read == 6 {
            continue;
        }
        assert_eq!((read, lost), (4, 3), "byte {at}: {notes:?}");
        let place = format!("bytes {} to {} of the file are damaged and are left out", ends[0], ends[1]);
        assert!(notes[0].contains(&place), "{notes:?}");
    }
    // The same through a pipe, which can be read only once.
    let mut damaged = whole;
    damaged[ends[0] + 20] ^= 0xff;
    let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(["report", "--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &damaged).unwrap();
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["totals"]["requests"], &report["totals"]["lost"]), (&4.into(), &3.into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("are damaged and are left out"));
}

#[test]
fn a_large_compressed_file_is_not_cut_into_parts_as_if_it_had_lines() {
    let folder = tempfile::tempdir().unwrap();
    for (name, magic) in [("large.zst", &[0x28, 0xb5, 0x2f, 0xfd][..]), ("large.gz", &[0x1f, 0x8b])] {
        let path = folder.path().join(name);
        let large = [magic, b"\n".repeat(16 << 20).as_slice()].concat();
        std::fs::write(&path, large).unwrap();
        assert_eq!(Source::File(path).parts(4).unwrap().len(), 1, "{name}");
    }
    let path = folder.path().join("large.ndjson");
    std::fs::write(&path, b"{\"a\":1}\n".repeat(2 << 20)).unwrap();
    assert_eq!(Source::File(path).parts(4).unwrap().len(), 4);
}

#[test]
fn between_two_sittings_in_one_file_nobody_observed_and_the_reader_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.exptap");
    let mut file = lines().concat();
    let doubt = |file: &[u8]| {
        std::fs::write(&path, file).unwrap();
        let request = Request { sources: vec![Source::File(path.clone())], ..Request::default() };
        headless::read(&request).unwrap().state.totals().was_interrupted
    };
    assert!(!doubt(&file));
    recording::write_header(&mut file, &Header { created_ms: Some(5), ..Header::default() });
    assert!(doubt(&file));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        prop::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
        Just("\u{1b}]0;owned\u{7}\u{0}\r\n\t\"\\".to_owned()),
    ]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1.50e+400".to_owned()),
        text().prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            prop::collection::vec((text(), inner), 0..4).prop_map(|members| {
                let member = |(name, value)| format!("{}:{value}", serde_json::Value::from(name));
                format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => json().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        2 => json().prop_map(|text| gzip(text.as_bytes())),
        1 => (json(), any::<prop::sample::Index>()).prop_map(|(text, cut)| {
            let mut packed = gzip(text.as_bytes());
            packed.truncate(cut.index(packed.len()));
            packed
        }),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| gzip(&bytes)),
        1 => json().prop_map(|text| format!("{text}\n{text}").into_bytes()),
    ]
}

prop_compose! {
    fn any_envelope()(
        body in body(),
        number in 1..u64::MAX / 2,
        arrival_ms in any::<i64>(),
        path in prop_oneof![
            Just("/a/64b0c0ffee.gif?d=W3sia2luZCI6ImluZGV4In1d&v=2".to_owned()),
            text().prop_map(|text| format!("/{text}")),
        ],
        headers in prop::collection::vec(("[a-z-]{1,12}", text()), 0..5),
        method in prop::sample::select(vec!["POST", "GET", "PUT"]),
        has_credential: bool,
        loss in prop::sample::select(vec![
            None,
            Some(BodyLoss::TooLarge { bytes: 9, limit: 4 }),
            Some(BodyLoss::Closed { received: 3, announced: Some(9) }),
            Some(BodyLoss::Closed { received: 3, announced: None }),
        ]),
        answer in prop::sample::select(vec![
            None,
            Some(Answer { status: 202, from: AnsweredBy::Local }),
            Some(Answer { status: 401, from: AnsweredBy::Upstream }),
        ]),
        signature in prop::option::of(prop::sample::select(Signature::ALL.to_vec())),
        said in prop::option::of("[a-zé\"\\\\ ]{1,60}"),
        extra in 0..100_u64,
    ) -> Envelope {
        Envelope {
            via: Via::Http,
            arrival_ms,
            request: number,
            method: method.to_owned(),
            path,
            headers: headers.into_iter().filter(|(name, _)| name != "authorization").collect(),
            credential: has_credential.then(|| Credential::mask("sdk-00000000-1f2a")),
            wire_bytes: body.len() as u64 + extra,
            body: body.into(),
            decoded_from: None,
            loss,
            answer_text: said.filter(|_| answer.is_some()),
            answer,
            signature,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_is_received_stands_on_one_line_and_is_read_back_as_it_was(sent in any_envelope()) {
        let mut line = Vec::new();
        recording::write_request(&mut line, &sent);
        let line = String::from_utf8(line).unwrap();
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok(), "{}", line);
        let Ok(Record::Request(read)) = recording::parse_line(line.trim_end()) else { panic!("{line}") };
        // What is judged is the same text, or refused for the same reason.
        prop_assert_eq!(
            body::text(&read).map_err(|fault| fault.to_string()),
            body::text(&sent).map_err(|fault| fault.to_string())
        );
        prop_assert_eq!(read.was_compressed(), sent.was_compressed());
        // A body that was decompressed is the one thing that is not as it came.
        let as_sent = if read.decoded_from.is_some() {
            Envelope { body: sent.body.clone(), decoded_from: None, ..read.clone() }
        } else {
            read.clone()
        };
        prop_assert_eq!(as_sent, sent);
        // Written again it is the same line: a recording of a recording is the recording.
        let mut again = Vec::new();
        recording::write_request(&mut again, &read);
        prop_assert_eq!(String::from_utf8(again).unwrap(), line);
    }
}

/// `exptap listen --no-tui` that records.
struct Listening {
    child: Child,
    stderr: BufReader<ChildStderr>,
    port: u16,
}

impl Listening {
    #[expect(clippy::zombie_processes, reason = "one that listens is waited for where it is ended or killed")]
    fn start(arguments: &[&str], folder: &Path) -> Result<Self, (Option<i32>, String)> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_exptap"))
            .args(["listen", "--no-tui", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if stderr.read_line(&mut line).unwrap() == 0 {
                return Err((child.wait().unwrap().code(), said));
            }
            if let Some(address) = line.trim().strip_prefix("listening on http://127.0.0.1:") {
                return Ok(Self { child, stderr, port: address.parse().unwrap() });
            }
            said.push_str(&line);
        }
    }

    fn send(&self, body: &str) {
        let mut client = Client::connect(([127, 0, 0, 1], self.port).into());
        client.send(&post("/bulk", "", body.as_bytes()));
        assert_eq!(client.answer().status(), 202);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Ends it, and gives its exit code and what it said meanwhile.
    fn end(mut self, signal: rustix::process::Signal) -> (Option<i32>, String) {
        self.signal(signal);
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

/// The records of a file, whatever became of its end.
fn records(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = bytes.clone();
    if path.extension().is_some_and(|extension| extension == "zst") {
        text.clear();
        let mut frames = Frames::new(bytes.as_slice()).unwrap();
        while let Some(step) = frames.step().unwrap() {
            if let Step::Content(content) = step {
                text.extend(content);
            }
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .filter(|line| !recording::is_header(line))
        .filter_map(|line| recording::parse_line(line).ok())
        .collect()
}

/// The keys of the events in a file.
fn keys(path: &Path) -> Vec<String> {
    let key = |record: Record| match record {
        Record::Request(envelope) => {
            let events: serde_json::Value = serde_json::from_slice(&envelope.body).unwrap();
            Some(events[0]["key"].as_str().unwrap().to_owned())
        }
        _ => None,
    };
    records(path).into_iter().filter_map(key).collect()
}

/// Waits until a file is as it must be.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_received_is_recorded_and_told_at_the_end_and_a_second_sitting_goes_on_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.exptap", "a.exptap.zst"] {
        let path = folder.path().join(name);
        for (sitting, signal) in [(1, rustix::process::Signal::TERM), (2, rustix::process::Signal::HUP)] {
            let listening =
                Listening::start(&["--record", name, "--record-note", "the \"buy\" button"], folder.path()).unwrap();
            listening.send(&custom(&format!("{sitting}a")));
            listening.send(&custom(&format!("{sitting}b")));
            let (code, said) = listening.end(signal);
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains(&format!("recorded 2 requests to {name} (")), "{said}");
        }
        assert_eq!(keys(&path), ["1a", "1b", "2a", "2b"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (requests, lost, notes) = judge(&path).unwrap();
        assert_eq!((requests, lost, notes), (4, 0, vec![]));
    }
    let first = std::fs::read_to_string(folder.path().join("a.exptap")).unwrap();
    let header = recording::parse_header(first.lines().next().unwrap(), "a").unwrap();
    assert_eq!(header.note.as_deref(), Some("the \"buy\" button"));
    assert_eq!(header.tool, Some(format!("exptap {}", env!("CARGO_PKG_VERSION"))));
    assert!(header.observed_from_ms.is_some() && header.created_ms.is_some() && header.catalog.is_none());
}

#[test]
fn a_second_writer_is_refused_and_whatever_is_no_recording_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str]| match Listening::start(arguments, folder.path()) {
        Ok(_) => panic!("{arguments:?} was taken"),
        Err(refused) => refused,
    };
    let first = Listening::start(&["--record", "a.exptap"], folder.path()).unwrap();
    let (code, said) = refused(&["--record", "a.exptap"]);
    assert_eq!(code, Some(2));
    assert_eq!(said, "a.exptap: another exptap is recording to this file; name another one\n");
    assert_eq!(first.end(rustix::process::Signal::INT).0, Some(0));

    std::fs::write(folder.path().join("notes.txt"), "buy milk\n").unwrap();
    let (code, said) = refused(&["--record", "notes.txt"]);
    assert!(code == Some(2) && said.contains("it is not a recording; nothing was written to it"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "buy milk\n");
    assert!(refused(&["--record", "."]).1.contains("this is a folder"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(refused(&["--record", "pipe"]).1.contains("a pipe, a socket or a device"));
    assert!(refused(&["--record", "nowhere/a.exptap"]).1.contains("nowhere/a.exptap: No such file or directory"));
    let (code, _) = refused(&["--record-note", "of what?"]);
    assert_eq!(code, Some(2), "a note needs a recording");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_is_received() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        // Whoever may do anything, as the superuser may, is refused nothing: /proc takes no file from anybody.
        let (code, said) = Listening::start(&["--record", "/proc/a.exptap"], folder.path()).err().unwrap();
        assert!(code == Some(2) && said.starts_with("/proc/a.exptap: "), "{said}");
        return;
    }
    let (code, said) = Listening::start(&["--record", "closed/a.exptap"], folder.path()).err().unwrap();
    assert_eq!((code, said.as_str()), (Some(2), "closed/a.exptap: Permission denied\n"));
}

#[test]
fn a_recording_that_is_removed_is_begun_anew_and_both_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.exptap");
    let mut listening = Listening::start(&["--record", "a.exptap"], folder.path()).unwrap();
    listening.send(&custom("first"));
    wait("the first request", || keys(&path) == ["first"]);
    std::fs::remove_file(&path).unwrap();
    let mut news = String::new();
    listening.stderr.read_line(&mut news).unwrap();
    assert_eq!(news, "a.exptap: the recording was removed; a new one was begun in its place\n");
    listening.send(&custom("second"));
    let (code, said) = listening.end(rustix::process::Signal::TERM);
    assert_eq!(code, Some(0));
    assert_eq!(keys(&path), ["second"]);
    let gap = |record: &Record| matches!(record, Record::Gap(gap) if gap.lost == 1 && gap.why.contains("was removed"));
    assert!(records(&path).iter().any(gap));
    assert!(said.contains("the file before it, with 1 in it, was removed meanwhile; 1 are missing"), "{said}");
}

/// A file system of so many bytes, where this may be made; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_stops_the_recording_and_not_the_session_and_room_lets_it_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // Only the superuser may mount; everybody else has the faults that are made up, in the recorder's own tests.
    let Some(small) = Small::mount(folder.path(), "64k") else { return };
    let ballast = small.0.join("ballast");
    std::fs::write(&ballast, vec![0; 40 * 1024]).unwrap();
    let path = small.0.join("a.exptap");
    let mut listening = Listening::start(&["--record", "a.exptap"], &small.0).unwrap();
    let long = custom(&"x".repeat(3000));
    let mut sent = 0;
    let mut said = String::new();
    // The file has room for fewer than these; every one of them is answered.
    while sent < 20 {
        listening.send(&long);
        sent += 1;
    }
    listening.stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "a.exptap: recording stopped: No space left on device; it is tried again\n");
    std::fs::remove_file(&ballast).unwrap();
    said.clear();
    while !said.contains("recording goes on") {
        said.clear();
        assert!(listening.stderr.read_line(&mut said).unwrap() > 0);
    }
    listening.send(&custom("last"));
    sent += 1;
    let (code, said) = listening.end(rustix::process::Signal::TERM);
    assert_eq!(code, Some(0), "{said}");
    let records = records(&path);
    let lost: u64 =
        records.iter().filter_map(|record| if let Record::Gap(gap) = record { Some(gap.lost) } else { None }).sum();
    let found = keys(&path);
    assert_eq!((found.len() as u64 + lost, found.last().map(String::as_str)), (sent, Some("last")));
    assert!(lost > 0);
}

/// Sends without a pause until the program is killed; gives the key of each request with when it was answered.
fn load(port: u16, name: &str) -> Vec<(String, Instant)> {
    let mut answered = Vec::new();
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    for number in 0.. {
        let key = format!("{name}-{number}");
        if !client.try_send(&post("/bulk", "", custom(&key).as_bytes())) || client.message().is_none() {
            break;
        }
        answered.push((key, Instant::now()));
    }
    answered
}

#[test]
fn a_program_that_is_killed_while_it_records_loses_the_last_second_at_most() {
    for name in ["killed.exptap", "killed.exptap.zst"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut listening = Listening::start(&["--record", name], folder.path()).unwrap();
        let port = listening.port;
        let senders: Vec<_> = ["a", "b"].map(|name| std::thread::spawn(move || load(port, name))).into_iter().collect();
        // Long enough that there is something older than the last second, and that frames were written.
        let begun = Instant::now();
        wait("load", || begun.elapsed() > Duration::from_secs(3) && std::fs::metadata(&path).unwrap().len() > 1000);
        let killed = Instant::now();
        listening.child.kill().unwrap();
        listening.child.wait().unwrap();
        let answered: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        let found: HashSet<String> = keys(&path).into_iter().collect();
        // A second is what is promised; another is for a machine that has something else to do.
        let due = answered.iter().filter(|(_, at)| killed.duration_since(*at) > Duration::from_secs(2));
        let missing: Vec<_> = due.clone().filter(|(key, _)| !found.contains(key)).collect();
        assert!(due.count() > 10 && missing.is_empty(), "{name}: {} are missing", missing.len());
        let (requests, lost, _) = judge(&path).unwrap();
        assert_eq!((requests, lost), (found.len() as u64, 0), "what is there is read");
    }
}
