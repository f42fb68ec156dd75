//! The recorder on a file system that fails in every way there is, and what can be read afterwards.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::writer::{Moment, Writer};
use super::*;
use crate::recording::frames::{Frames, Step};
use crate::recording::{self, Gap, Record};
use proptest::prelude::*;
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek, SeekFrom, Write};

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Only so many bytes are taken, without an error.
    Short(u8),
    /// So many bytes are taken, and an error is reported all the same.
    Error(Errno, u8),
}

#[derive(Default)]
struct Inode {
    bytes: Vec<u8>,
    is_claimed: bool,
}

#[derive(Default)]
struct World {
    names: BTreeMap<PathBuf, u64>,
    inodes: BTreeMap<u64, Inode>,
    /// What happens to the next calls; nothing, where there is no more.
    faults: VecDeque<Fault>,
    /// Calls to write.
    writes: u64,
    /// Files cannot be cut off.
    is_rigid: bool,
}

/// A file system in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<World>>);

struct Opened {
    world: Memory,
    inode: u64,
    position: usize,
}

impl Memory {
    fn fault(&self) -> io::Result<u8> {
        match self.0.lock().unwrap().faults.pop_front() {
            Some(Fault::Error(error, _)) => Err(error.into()),
            _ => Ok(0),
        }
    }

    fn content(&self, name: &str) -> Vec<u8> {
        let world = self.0.lock().unwrap();
        world.inodes[&world.names[Path::new(name)]].bytes.clone()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let mut world = self.0.lock().unwrap();
        let inode = world.inodes.len() as u64;
        world.inodes.insert(inode, Inode { bytes: bytes.to_vec(), is_claimed: false });
        world.names.insert(name.into(), inode);
    }

    fn rename(&self, from: &str, to: Option<String>) {
        let mut world = self.0.lock().unwrap();
        if let (Some(inode), Some(to)) = (world.names.remove(Path::new(from)), to) {
            world.names.insert(to.into(), inode);
        }
    }

    fn will_fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().faults = faults.into_iter().collect();
    }
}

impl Storage for Memory {
    fn look(&self, path: &Path) -> io::Result<Named> {
        let named = |inode: &u64| Named::File(Identity { device: 0, inode: *inode });
        Ok(self.0.lock().unwrap().names.get(path).map_or(Named::Nothing, named))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        self.fault()?;
        let mut world = self.0.lock().unwrap();
        let next = world.inodes.len() as u64;
        let inode = *world.names.entry(path.to_owned()).or_insert(next);
        world.inodes.entry(inode).or_default();
        Ok(Box::new(Opened { world: self.clone(), inode, position: 0 }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fault()?;
        Memory::rename(self, &from.to_string_lossy(), Some(to.to_string_lossy().into_owned()));
        Ok(())
    }
}

impl Opened {
    fn with<T>(&self, act: impl FnOnce(&mut Inode) -> T) -> T {
        act(self.world.0.lock().unwrap().inodes.get_mut(&self.inode).unwrap())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.with(|inode| inode.is_claimed = false);
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.with(|inode| inode.bytes.get(self.position..).unwrap_or_default().read(buffer))?;
        self.position += read;
        Ok(read)
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = self.with(|inode| inode.bytes.len() as u64);
        let to = match to {
            SeekFrom::Start(to) => to,
            SeekFrom::End(to) => length.checked_add_signed(to).unwrap(),
            SeekFrom::Current(to) => (self.position as u64).checked_add_signed(to).unwrap(),
        };
        self.position = to as usize;
        Ok(to)
    }
}

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fault = {
            let mut world = self.world.0.lock().unwrap();
            world.writes += 1;
            world.faults.pop_front()
        };
        let taken = match fault {
            Some(Fault::Short(share)) => (bytes.len() * usize::from(share) / 256).max(1),
            Some(Fault::Error(_, share)) => bytes.len() * usize::from(share) / 255,
            _ => bytes.len(),
        };
        self.with(|inode| inode.bytes.extend_from_slice(&bytes[..taken]));
        match fault {
            Some(Fault::Error(error, _)) => Err(error.into()),
            _ => Ok(taken),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Handle for Opened {
    fn identity(&self) -> io::Result<Identity> {
        Ok(Identity { device: 0, inode: self.inode })
    }
    fn is_removed(&self) -> io::Result<bool> {
        Ok(!self.world.0.lock().unwrap().names.values().any(|inode| *inode == self.inode))
    }
    fn claim(&self) -> io::Result<bool> {
        Ok(self.with(|inode| !std::mem::replace(&mut inode.is_claimed, true)))
    }
    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.world.0.lock().unwrap().is_rigid {
            return Err(Errno::IO.into());
        }
        self.with(|inode| inode.bytes.truncate(length as usize));
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.world.fault().map(drop)
    }
}

/// What a recording holds, and whether anything in it could not be read.
fn read(bytes: &[u8]) -> (Vec<Record>, usize) {
    let (mut records, mut bad) = (Vec::new(), 0);
    let mut text = Vec::new();
    if bytes.starts_with(&recording::frames::FRAME_MAGIC) {
        let mut frames = Frames::new(bytes).unwrap();
        while let Some(step) = frames.step().unwrap() {
            match step {
                Step::Content(content) => text.extend(content),
                _ => bad += 1,
            }
        }
    } else {
        text = bytes.to_vec();
    }
    for line in String::from_utf8_lossy(&text).lines() {
        match recording::parse_line(line) {
            _ if recording::is_header(line) => {}
            Ok(record) => records.push(record),
            Err(_) => bad += 1,
        }
    }
    (records, bad)
}

fn envelope(request: u64, body: &[u8]) -> Envelope {
    Envelope {
        request,
        arrival_ms: 1000 + request as i64,
        method: "POST".into(),
        path: "/bulk".into(),
        wire_bytes: body.len() as u64,
        body: body.to_vec().into(),
        ..Envelope::default()
    }
}

/// A clock that is told what time it is.
struct Clock(Instant, u64);

impl Clock {
    fn now(&self) -> Moment {
        Moment { epoch_ms: 5000 + self.1 as i64, instant: self.0 + Duration::from_millis(self.1) }
    }
}

const FULL: Fault = Fault::Error(Errno::NOSPC, 40);

fn requests(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| if let Record::Request(envelope) = record { Some(envelope.request) } else { None };
    records.iter().filter_map(number).collect()
}

fn gaps(records: &[Record]) -> Vec<(u64, &str)> {
    let gap =
        |record| if let &Record::Gap(Gap { lost, ref why, .. }) = record { Some((lost, why.as_str())) } else { None };
    records.iter().filter_map(gap).collect()
}

#[test]
fn one_record_is_one_write_and_a_full_disk_costs_what_comes_until_it_is_tried_again() {
    let (memory, clock) = (Memory::default(), Clock(Instant::now(), 0));
    let mut writer = Writer::new(memory.clone(), Path::new("a.exptap"), Header::default());
    writer.open(clock.now()).unwrap();
    writer.request(&envelope(1, b"[]"), clock.now());
    assert_eq!(memory.0.lock().unwrap().writes, 2, "the header, and one request");
    memory.will_fail([FULL]);
    memory.0.lock().unwrap().is_rigid = true;
    for number in 2..=5 {
        writer.request(&envelope(number, b"[]"), clock.now());
    }
    memory.0.lock().unwrap().is_rigid = false;
    let stopped = |why: &str, not_kept| State::Stopped { since_ms: 5000, why: why.into(), not_kept };
    assert_eq!(writer.snapshot().state, stopped("No space left on device", 3));
    assert_eq!(read(&memory.content("a.exptap")).1, 1, "half a line");
    memory.will_fail([Fault::None, FULL]);
    writer.retry(clock.now());
    assert_eq!(writer.snapshot().state, stopped("No space left on device", 0), "it is still full");
    writer.mark(Mark { t_ms: 9, note: "meanwhile".into() }, clock.now());
    writer.retry(clock.now());
    writer.request(&envelope(6, b"[]"), clock.now());
    writer.close(clock.now());
    assert_eq!((writer.snapshot().state.clone(), writer.snapshot().lost), (State::Closed, 3));
    let (records, bad) = read(&memory.content("a.exptap"));
    assert_eq!((requests(&records), bad), (vec![1, 2, 6], 0), "what could not be written was kept");
    assert_eq!(gaps(&records), [(3, "recording had stopped: No space left on device")]);
    assert!(records.contains(&Record::Mark(Mark { t_ms: 9, note: "meanwhile".into() })));
}

#[test]
fn a_compressed_recording_is_written_once_a_second_and_has_a_table_at_its_end() {
    let memory = Memory::default();
    let mut clock = Clock(Instant::now(), 0);
    let mut writer = Writer::new(memory.clone(), Path::new("a.exptap.zst"), Header::default());
    writer.open(clock.now()).unwrap();
    for number in 1..=30 {
        writer.request(&envelope(number, b"[]"), clock.now());
        clock.1 += 100;
        let due = writer.tick(clock.now()).unwrap();
        assert!(due <= clock.now().instant + Duration::from_secs(1));
    }
    assert_eq!(memory.0.lock().unwrap().writes, 4, "the header, and three seconds");
    assert_eq!(requests(&read(&memory.content("a.exptap.zst")).0), (1..=30).collect::<Vec<_>>());
    writer.close(clock.now());
    let file = memory.content("a.exptap.zst");
    let index = recording::frames::FrameIndex::read(&mut io::Cursor::new(&file)).unwrap();
    assert_eq!((index.is_rebuilt, index.frames.len()), (false, 4));

    // Gone on with, the file has one table again, at its end, of all frames.
    let mut writer = Writer::new(memory.clone(), Path::new("a.exptap.zst"), Header::default());
    writer.open(clock.now()).unwrap();
    writer.request(&envelope(1, b"[]"), clock.now());
    writer.close(clock.now());
    let file = memory.content("a.exptap.zst");
    let index = recording::frames::FrameIndex::read(&mut io::Cursor::new(&file)).unwrap();
    assert_eq!((index.is_rebuilt, index.frames.len()), (false, 6));
    assert_eq!(requests(&read(&file).0).len(), 31);
}

#[test]
fn a_large_record_is_a_frame_of_its_own() {
    let (memory, clock) = (Memory::default(), Clock(Instant::now(), 0));
    let mut writer = Writer::new(memory.clone(), Path::new("a.zst"), Header::default());
    writer.open(clock.now()).unwrap();
    let large = format!("[\"{}\"]", "x".repeat(3 << 20));
    let bodies = [b"[]", large.as_bytes(), b"[]", b"[]"];
    (1..).zip(bodies).for_each(|(number, body)| writer.request(&envelope(number, body), clock.now()));
    writer.close(clock.now());
    let file = memory.content("a.zst");
    let index = recording::frames::FrameIndex::read(&mut io::Cursor::new(&file)).unwrap();
    assert_eq!(index.frames.len(), 4, "header, first, large, the rest");
    assert_eq!(requests(&read(&file).0), [1, 2, 3, 4]);
}

#[test]
fn what_was_held_before_comes_first_and_what_is_not_held_any_more_is_a_gap() {
    let (memory, clock) = (Memory::default(), Clock(Instant::now(), 0));
    let mut writer = Writer::new(memory.clone(), Path::new("a"), Header::default());
    writer.open(clock.now()).unwrap();
    let held = [4, 5, 8].map(|number| envelope(number, b"[]"));
    writer.history(held.iter(), clock.now());
    writer.close(clock.now());
    let (records, _) = read(&memory.content("a"));
    let why = "no longer held when recording began";
    assert_eq!((requests(&records), gaps(&records)), (vec![4, 5, 8], vec![(3, why), (2, why)]));
}

#[test]
fn a_file_that_is_removed_or_renamed_is_followed_by_a_new_one_that_says_what_is_gone() {
    for (to, expected) in [(None, vec![(2, "the recording was removed")]), (Some("old".to_owned()), vec![])] {
        let memory = Memory::default();
        let mut clock = Clock(Instant::now(), 0);
        let mut writer = Writer::new(memory.clone(), Path::new("a"), Header::default());
        writer.open(clock.now()).unwrap();
        (1..=2).for_each(|number| writer.request(&envelope(number, b"[]"), clock.now()));
        memory.rename("a", to.clone());
        clock.1 += 1000;
        writer.tick(clock.now());
        let moved = Moved { at_ms: 6000, was_removed: to.is_none(), requests: 2 };
        assert_eq!(writer.snapshot().moved, Some(moved));
        writer.request(&envelope(3, b"[]"), clock.now());
        writer.retry(clock.now());
        assert_eq!(writer.snapshot().moved, None, "it was seen");
        writer.close(clock.now());
        let file = memory.content("a");
        assert!(recording::parse_header(std::str::from_utf8(&file).unwrap().lines().next().unwrap(), "a").is_ok());
        let (records, _) = read(&file);
        assert_eq!((requests(&records), gaps(&records)), (vec![3], expected));
        if to.is_some() {
            assert_eq!(requests(&read(&memory.content("old")).0), [1, 2]);
        }
    }
}

#[test]
fn only_recordings_are_gone_on_with_and_only_by_one() {
    let (memory, clock) = (Memory::default(), Clock(Instant::now(), 0));
    let refused = |name: &str| {
        let refusal = Writer::new(memory.clone(), Path::new(name), Header::default()).open(clock.now());
        refusal.map_err(|refusal| refusal.to_string()).unwrap_err()
    };
    memory.put("notes.txt", b"buy milk\n");
    assert_eq!(refused("notes.txt"), Refusal::Foreign.to_string());
    memory.put("later", b"{\"exptap\":2}\n");
    assert!(refused("later").contains("a newer exptap is needed"));
    memory.put("plain.zst", b"{\"exptap\":1}\n");
    assert!(refused("plain.zst").contains("is not compressed, and its name says otherwise"));
    memory.put("packed", &zstd::bulk::compress(b"{\"exptap\":1}\n", 3).unwrap());
    assert!(refused("packed").contains("is compressed, and its name says otherwise"));
    assert!(refused("a.gz").contains(".zst instead of .gz"));
    for name in ["notes.txt", "later", "plain.zst", "packed"] {
        assert!(!memory.content(name).is_empty(), "{name} is as it was");
    }
    let mut first = Writer::new(memory.clone(), Path::new("a"), Header::default());
    first.open(clock.now()).unwrap();
    assert!(refused("a").contains("another exptap is recording to this file"));
    first.close(clock.now());
    Writer::new(memory.clone(), Path::new("a"), Header::default()).open(clock.now()).unwrap();
    memory.will_fail([Fault::Error(Errno::ROFS, 0)]);
    assert_eq!(refused("b"), "Read-only file system");
    memory.will_fail([Fault::None, FULL]);
    assert_eq!(refused("c"), "No space left on device");
}

/// Where the last whole frame before a cut ends.
fn frames_before(file: &[u8], cut: usize) -> usize {
    let index = recording::frames::FrameIndex::read(&mut io::Cursor::new(file)).unwrap();
    let ends = index.frames.iter().map(|frame| (frame.compressed_offset + frame.compressed_len) as usize);
    ends.filter(|end| *end <= cut).max().unwrap_or(0)
}

#[test]
fn a_recording_cut_at_any_byte_is_gone_on_with_from_its_last_whole_record() {
    let clock = Clock(Instant::now(), 0);
    for name in ["a.exptap", "a.exptap.zst"] {
        let memory = Memory::default();
        let mut writer = Writer::new(memory.clone(), Path::new(name), Header::default());
        writer.open(clock.now()).unwrap();
        for number in 1..=3 {
            writer.request(&envelope(number, b"[{\"kind\":\"custom\"}]"), clock.now());
            writer.flush(clock.now());
        }
        writer.close(clock.now());
        let whole = memory.content(name);
        for cut in 0..=whole.len() {
            memory.put(name, &whole[..cut]);
            let mut writer = Writer::new(memory.clone(), Path::new(name), Header::default());
            match writer.open(clock.now()) {
                Ok(()) => {}
                // Less than the first frame is nothing that could be recognised.
                Err(refusal) => {
                    assert!(name.ends_with(".zst") && requests(&read(&whole[..cut]).0).is_empty(), "{cut}: {refusal}");
                    continue;
                }
            }
            writer.request(&envelope(9, b"[]"), clock.now());
            writer.close(clock.now());
            let (records, bad) = read(&memory.content(name));
            let is_compressed = name.ends_with(".zst");
            let kept = if is_compressed { frames_before(&whole, cut) } else { cut };
            let mut expected = requests(&read(&whole[..kept]).0);
            expected.push(9);
            assert_eq!((requests(&records), bad), (expected, 0), "{name} cut at {cut}");
        }
    }
}

/// What happens to a recorder.
#[derive(Clone, Debug)]
enum Happens {
    Request(Vec<u8>),
    Lose(u8),
    Mark,
    Time(u16),
    Retry,
    Rename,
    Remove,
    Faults(Vec<Fault>),
}

fn fault() -> impl Strategy<Value = Fault> {
    let errors = prop::sample::select(vec![Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::INTR, Errno::DQUOT]);
    prop_oneof![
        3 => Just(Fault::None),
        2 => any::<u8>().prop_map(Fault::Short),
        2 => (errors, any::<u8>()).prop_map(|(error, taken)| match error {
            // An interrupted call has taken nothing.
            Errno::INTR => Fault::Error(error, 0),
            error => Fault::Error(error, taken),
        }),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    let body = prop_oneof![
        Just(b"[{\"kind\":\"custom\",\"key\":\"checkout\"}]".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        12 => body.prop_map(Happens::Request),
        1 => any::<u8>().prop_map(Happens::Lose),
        1 => Just(Happens::Mark),
        4 => (0..3000_u16).prop_map(Happens::Time),
        2 => Just(Happens::Retry),
        1 => Just(Happens::Rename),
        1 => Just(Happens::Remove),
        3 => prop::collection::vec(fault(), 0..4).prop_map(Happens::Faults),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_handed_in_is_read_back_equal_or_accounted_for(
        story in prop::collection::vec(happens(), 0..60),
        is_compressed: bool,
        ends_well: bool,
    ) {
        let name = if is_compressed { "a.exptap.zst" } else { "a.exptap" };
        let memory = Memory::default();
        let mut clock = Clock(Instant::now(), 0);
        let mut writer = Writer::new(memory.clone(), Path::new(name), Header::default());
        writer.open(clock.now()).unwrap();
        let (mut sent, mut lost, mut marks, mut names) = (Vec::new(), 0, 0, vec![name.to_owned()]);
        let mut was_removed = false;
        for happens in story {
            match happens {
                Happens::Request(body) => {
                    let envelope = envelope(sent.len() as u64 + 1, &body);
                    writer.request(&envelope, clock.now());
                    sent.push(envelope);
                }
                Happens::Lose(requests) => {
                    let gap = Gap { t_ms: 1, lost: requests.into(), why: "no room".into() };
                    writer.gap(&gap, clock.now());
                    lost += u64::from(requests);
                }
                Happens::Mark => {
                    writer.mark(Mark { t_ms: 1, note: String::new() }, clock.now());
                    marks += 1;
                }
                Happens::Time(passed) => {
                    clock.1 += u64::from(passed);
                    writer.tick(clock.now());
                }
                Happens::Retry => writer.retry(clock.now()),
                // While the file is closed because of a fault, nobody can know whether it was moved or removed.
                Happens::Rename | Happens::Remove if writer.is_without_file() => {}
                Happens::Rename => {
                    if memory.0.lock().unwrap().names.contains_key(Path::new(name)) {
                        names.push(format!("renamed {}", names.len()));
                        memory.rename(name, names.last().cloned());
                    }
                }
                Happens::Remove => {
                    memory.rename(name, None);
                    was_removed = true;
                }
                Happens::Faults(faults) => memory.will_fail(faults),
            }
        }
        if ends_well {
            memory.will_fail([]);
            // A file that is moved in the last second is noticed only if it lasts.
            clock.1 += 1000;
            writer.tick(clock.now());
        }
        writer.close(clock.now());
        let not_kept = match &writer.snapshot().state {
            State::Stopped { not_kept, .. } => *not_kept,
            state => {
                prop_assert_eq!(state, &State::Closed);
                0
            }
        };
        if ends_well {
            prop_assert_eq!(&writer.snapshot().state, &State::Closed);
        }
        let (mut all, mut accounted, mut damaged) = (Vec::new(), not_kept, 0);
        // The file under the first name is the latest.
        names.rotate_left(1);
        for name in names.iter().filter(|name| memory.0.lock().unwrap().names.contains_key(Path::new(name.as_str()))) {
            let (records, bad) = read(&memory.content(name));
            accounted += gaps(&records).iter().map(|(lost, _)| lost).sum::<u64>();
            damaged += bad;
            all.extend(records);
        }
        let found: Vec<&Envelope> =
            all.iter().filter_map(|record| if let Record::Request(envelope) = record { Some(envelope) } else { None }).collect();
        // In order, none twice, each as it was.
        prop_assert!(found.windows(2).all(|pair| pair[0].request < pair[1].request), "{:?}", requests(&all));
        for envelope in &found {
            prop_assert_eq!(*envelope, &sent[envelope.request as usize - 1]);
        }
        if ends_well {
            prop_assert_eq!(accounted, sent.len() as u64 - found.len() as u64 + lost);
            prop_assert_eq!(damaged, 0);
            if !was_removed {
                let found = all.iter().filter(|record| matches!(record, Record::Mark(_))).count();
                prop_assert_eq!(found, marks);
            }
        }
    }
}

#[test]
fn a_recorder_on_its_thread_writes_what_it_is_handed_and_ends_when_it_is_dropped() {
    let memory = Memory::default();
    let start = Start { path: "a".into(), history: vec![Arc::new(envelope(1, b"[]"))], ..Start::default() };
    let recorder = Recorder::start(memory.clone(), start).unwrap();
    recorder.opened().unwrap();
    let tap = recorder.tap();
    tap.take(envelope(2, b"[]"));
    recorder.mark(Mark { t_ms: 1, note: "here".into() });
    tap.lose(3, 7);
    drop(recorder);
    tap.take(envelope(6, b"nobody records this any more"));
    let (records, bad) = read(&memory.content("a"));
    assert_eq!((requests(&records), bad, records.len()), (vec![1, 2], 0, 4));
    assert_eq!(gaps(&records), [(3, "there was no room to keep the body")]);
}

#[test]
fn a_refused_file_is_told_to_whoever_waits_for_it() {
    let memory = Memory::default();
    memory.put("a", b"something else\n");
    let recorder = Recorder::start(memory, Start { path: "a".into(), ..Start::default() }).unwrap();
    assert!(recorder.opened().unwrap_err().starts_with("a: there is such a file already"));
    assert!(recorder.finish(FINISH) && recorder.snapshot().is_over());
}

#[test]
fn sizes_are_told_in_the_unit_a_person_would_take() {
    assert_eq!([0, 999, 1000, 4_299_999, 7_050_000_000].map(size), ["0 B", "999 B", "1.0 kB", "4.2 MB", "7.0 GB"]);
}

#[test]
fn a_file_that_is_large_enough_is_put_aside_whole_and_the_next_says_that_it_follows() {
    use crate::recording::Part;
    for name in ["all.exptap", "all.exptap.zst"] {
        let (memory, mut clock) = (Memory::default(), Clock(Instant::now(), 0));
        let header = Header { part: Some(Part { of: "a1".into(), number: 1 }), ..Header::default() };
        let rotate = Rotate { bytes: Some(400), age: Some(Duration::from_secs(60)) };
        let mut writer = Writer::new(memory.clone(), Path::new(name), header).rotating(rotate);
        writer.open(clock.now()).unwrap();
        for number in 1..=12 {
            writer.request(&envelope(number, b"[]"), clock.now());
            writer.flush(clock.now());
        }
        let aside = writer.snapshot().put_aside;
        assert!(aside >= 2, "{name}: {:?}", writer.snapshot());
        // By age as well, once there is something in it; twice as old and empty it stays.
        writer.request(&envelope(13, b"[]"), clock.now());
        clock.1 = 61_000;
        writer.tick(clock.now());
        assert_eq!(writer.snapshot().put_aside, aside + 1, "{name}");
        clock.1 = 200_000;
        writer.tick(clock.now());
        assert_eq!(writer.snapshot().put_aside, aside + 1, "{name}");
        writer.request(&envelope(14, b"[]"), clock.now());
        writer.close(clock.now());
        let told = writer.snapshot();
        assert_eq!((&told.state, told.requests, told.lost), (&State::Closed, 14, 0), "{name}");
        let names: Vec<String> = {
            let world = memory.0.lock().unwrap();
            let mut named: Vec<_> = world.names.iter().map(|(name, inode)| (*inode, name.clone())).collect();
            named.sort();
            named.into_iter().map(|(_, name)| name.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names.len() as u64, aside + 2, "{names:?}");
        assert!(names[0].starts_with("all-19700101T000005Z") && names[0].ends_with(&name[3..]), "{names:?}");
        let mut seen = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let content = memory.content(name);
            let text =
                if name.ends_with("zst") { zstd::stream::decode_all(&content[..]).unwrap() } else { content.clone() };
            let first = String::from_utf8(text).unwrap().lines().next().unwrap().to_owned();
            let header = recording::parse_header(&first, name).unwrap();
            assert_eq!(header.part, Some(Part { of: "a1".into(), number: index as u64 + 1 }));
            let (records, bad) = read(&content);
            assert_eq!(bad, 0, "{name}");
            seen.extend(requests(&records));
        }
        assert_eq!(seen, (1..=14).collect::<Vec<u64>>(), "{name}");
    }
}

#[test]
fn where_no_further_file_can_be_begun_the_last_one_grows() {
    let (memory, clock) = (Memory::default(), Clock(Instant::now(), 0));
    let rotate = Rotate { bytes: Some(1), age: None };
    let mut writer = Writer::new(memory.clone(), Path::new("a"), Header::default()).rotating(rotate);
    writer.open(clock.now()).unwrap();
    // The record is written and synced; the file cannot be renamed.
    memory.will_fail([Fault::None, Fault::None, Fault::Error(Errno::ACCESS, 0)]);
    writer.request(&envelope(1, b"[]"), clock.now());
    let stopped = matches!(&writer.snapshot().state, State::Stopped { why, .. } if why.contains("the last will grow"));
    assert!(stopped, "{:?}", writer.snapshot());
    writer.request(&envelope(2, b"[]"), clock.now());
    writer.retry(clock.now());
    writer.request(&envelope(3, b"[]"), clock.now());
    writer.close(clock.now());
    let (records, bad) = read(&memory.content("a"));
    assert_eq!((requests(&records), bad, gaps(&records).len()), (vec![1, 3], 0, 1));
}
