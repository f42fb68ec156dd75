//! The spool on a disk that is full or fails, and what is delivered after it was left behind in the middle.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::recorder::{Handle, Identity, Named};
use http::{HeaderMap, Method};
use proptest::prelude::*;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use tempfile::TempDir;

/// An error, and how much of what was to be written is there all the same, in 255ths.
type Fault = (Errno, u8);

/// What happens to the next calls that reach the disk; nothing, where there is no more.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<VecDeque<Option<Fault>>>>);

impl Faults {
    fn come(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        *self.0.lock().unwrap() = faults.into_iter().collect();
    }
}

/// The machine's own disk, which fails when it is told to.
struct Failing(Faults);

struct FailingFile {
    file: Box<dyn Handle>,
    faults: Faults,
}

impl Storage for Failing {
    fn look(&self, path: &Path) -> io::Result<Named> {
        Disk.look(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        Ok(Box::new(FailingFile { file: Disk.open(path)?, faults: self.0.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
}

impl Read for FailingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
impl Seek for FailingFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.faults.0.lock().unwrap().pop_front().flatten() {
            Some((error, share)) => {
                self.file.write_all(&bytes[..bytes.len() * usize::from(share) / 255])?;
                Err(error.into())
            }
            None => self.file.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Handle for FailingFile {
    fn identity(&self) -> io::Result<Identity> {
        self.file.identity()
    }
    fn is_removed(&self) -> io::Result<bool> {
        self.file.is_removed()
    }
    fn claim(&self) -> io::Result<bool> {
        self.file.claim()
    }
    fn cut(&mut self, length: u64) -> io::Result<()> {
        match self.faults.0.lock().unwrap().pop_front().flatten() {
            Some((error, _)) => Err(error.into()),
            None => self.file.cut(length),
        }
    }
    fn sync(&mut self) -> io::Result<()> {
        match self.faults.0.lock().unwrap().pop_front().flatten() {
            Some((error, _)) => Err(error.into()),
            None => self.file.sync(),
        }
    }
}

/// An upstream that writes down the bodies it gets, and answers what it is told to.
#[derive(Clone)]
struct Upstream {
    answers: Arc<Mutex<VecDeque<Carried>>>,
    got: std::sync::mpsc::Sender<String>,
}

fn upstream(answers: impl IntoIterator<Item = Carried>) -> (Upstream, std::sync::mpsc::Receiver<String>) {
    let (got, gets) = channel();
    (Upstream { answers: Arc::new(Mutex::new(answers.into_iter().collect())), got }, gets)
}

fn answer(status: u16) -> Carried {
    Carried::Answered { status, retry_after: None }
}

impl Carrier for Upstream {
    async fn carry(&self, _: &Head, body: Body) -> Carried {
        let text = match body {
            Body::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Body::File(mut file, length) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, length);
                text
            }
        };
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(answer(202));
        let status = if let Carried::Answered { status, .. } = &answer { *status } else { 0 };
        self.got.send(format!("{status} {text}")).unwrap();
        answer
    }
    fn name(&self) -> String {
        "http://upstream".to_owned()
    }
    fn sender(&self, _: &Head) -> String {
        "somebody".to_owned()
    }
}

fn head() -> Head {
    Head { method: Method::POST, target: "/bulk".to_owned(), headers: HeaderMap::new() }
}

fn options(folder: &TempDir) -> Options {
    let moment = Duration::from_micros(10);
    let pace = Pace { first: moment, longest: moment, patience: Duration::from_secs(3600) };
    Options { folder: folder.path().to_owned(), limit_bytes: 1 << 20, pace }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn append(spool: &Spool, body: &str) -> Result<(), NotKept> {
    runtime().block_on(spool.append(Lane::LaunchDarkly, &head(), 5, body.to_owned().into()))
}

/// Delivers everything, and gives what the upstream got.
fn delivered(spool: Spool, answers: impl IntoIterator<Item = Carried>) -> (Arc<Spool>, Vec<String>) {
    let spool = Arc::new(spool);
    let (carrier, gets) = upstream(answers);
    let deliveries = spool.deliver([Some(carrier), None, None]).unwrap();
    let mut got = Vec::new();
    runtime().block_on(async {
        while spool.figures().waiting_requests > 0 {
            got.extend(gets.try_iter());
            std::thread::yield_now();
        }
        deliveries.end(Duration::from_secs(30)).await;
    });
    got.extend(gets.try_iter());
    (spool, got)
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path().join("launchdarkly")).unwrap();
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_left_behind_in_the_middle_is_delivered_by_the_next_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, found) = open(&options(&folder)).unwrap();
    assert_eq!(found, Found::default());
    for number in 0..100 {
        append(&spool, &number.to_string()).unwrap();
    }
    drop(spool);
    let (spool, found) = open(&options(&folder)).unwrap();
    assert_eq!((found.requests, found.oldest_ms, found.notes.len()), ([100, 0, 0], Some(5), 0));
    let (spool, got) = delivered(spool, []);
    assert_eq!(got, (0..100).map(|number| format!("202 {number}")).collect::<Vec<_>>());
    let figures = spool.figures();
    assert_eq!(
        (figures.waiting_requests, figures.waiting_bytes, figures.oldest_ms, figures.delivered),
        (0, 0, None, 100)
    );
    drop(spool);
    let (spool, found) = open(&options(&folder)).unwrap();
    assert_eq!(found.requests, [0; 3], "what was delivered is not delivered again");
    drop(spool);
}

#[test]
fn what_fails_is_tried_again_before_anything_else_and_what_is_refused_makes_way() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    for number in 0..4 {
        append(&spool, &number.to_string()).unwrap();
    }
    let away = || Carried::Unanswered { why: "nobody there".to_owned() };
    let answers = [away(), answer(503), answer(429), answer(408), answer(200), answer(400), answer(401), answer(202)];
    let (spool, got) = delivered(spool, answers);
    assert_eq!(got, ["0 0", "503 0", "429 0", "408 0", "200 0", "400 1", "401 2", "202 3"]);
    let figures = spool.figures();
    assert_eq!((figures.delivered, figures.refused, figures.retries, figures.trouble), (2, 2, 4, None));
    let refusals: Vec<(u16, u64)> = figures.refusals.iter().map(|it| (it.status.unwrap(), it.requests)).collect();
    assert_eq!(refusals, [(400, 1), (401, 1)]);
    let said: Vec<News> = runtime().block_on(async { [spool.news().await, spool.news().await].into() });
    assert_eq!(
        said.iter().map(|news| (news.is_bad, news.text.as_str())).collect::<Vec<_>>(),
        [
            (true, "4 requests wait in the spool: http://upstream answered 503"),
            (false, "the upstream takes requests again; 4 requests wait in the spool"),
        ]
    );
    drop(spool);
}

#[test]
fn what_was_put_aside_is_sent_again_behind_what_waits_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    append(&spool, "refused").unwrap();
    append(&spool, "refused too").unwrap();
    drop(delivered(spool, [answer(400), answer(401)]));
    let lane = folder.path().join("launchdarkly");
    for waiting in ["waits", "waits too"] {
        append(&open(&options(&folder)).unwrap().0, waiting).unwrap();
    }
    std::fs::rename(lane.join("refused.spool"), lane.join("again.spool")).unwrap();
    let (spool, found) = open(&options(&folder)).unwrap();
    assert_eq!(found.requests, [4, 0, 0]);
    let again = format!("{}: what was put aside is sent again, behind what waits", lane.join("again.spool").display());
    assert_eq!(found.notes, [again]);
    assert!(!lane.join("again.spool").exists());
    append(&spool, "came later").unwrap();
    let (spool, got) = delivered(spool, []);
    assert_eq!(got, ["202 waits", "202 waits too", "202 refused", "202 refused too", "202 came later"]);
    drop(spool);
    std::fs::write(lane.join("again.spool"), "something else").unwrap();
    assert!(matches!(open(&options(&folder)), Err(SpoolError::Foreign(path)) if path == lane.join("again.spool")));
}

#[test]
fn where_nothing_waits_no_file_stays_at_the_end_that_has_keys_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    for number in 0..3 {
        append(&spool, &number.to_string()).unwrap();
    }
    let (spool, got) = delivered(spool, []);
    assert_eq!((got.len(), spool.figures().disk_bytes), (3, 0));
    assert_eq!(names(&folder), ["cursor"]);
}

#[test]
fn of_a_refused_request_that_is_too_large_to_be_put_aside_it_is_said_that_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    append(&spool, "small").unwrap();
    runtime().block_on(async {
        let mut file = spool.body_file(Lane::LaunchDarkly);
        file.write("large".into()).await.unwrap();
        spool.append_file(Lane::LaunchDarkly, &head(), 5, file).await.unwrap();
    });
    let (spool, _) = delivered(spool, [answer(400), answer(400)]);
    let [kept, lost] = runtime().block_on(async { [spool.news().await.text, spool.news().await.text] });
    assert!(kept.starts_with("the upstream answered 400 to a request of somebody: it is put aside in "), "{kept}");
    assert_eq!(
        lost,
        "the upstream answered 400 to a request of somebody: too large to be put aside: not kept, and it is lost"
    );
    assert_eq!((spool.figures().refused, spool.figures().refused_not_kept), (2, 1));
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (mode, is_open) in [(0o777, true), (0o770, true), (0o755, false), (0o700, false)] {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let opened = open(&options(&folder));
        assert_eq!(matches!(opened, Err(SpoolError::Open(_))), is_open, "{mode:o}");
    }
}

/// Answers by what a body begins with, and writes down what it got.
#[derive(Clone)]
struct Picky<F>(F, std::sync::mpsc::Sender<String>);

impl<F: Fn(&str) -> Carried> Carrier for Picky<F> {
    async fn carry(&self, _: &Head, body: Body) -> Carried {
        let Body::Whole(bytes) = body else { panic!("a body in a file") };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        // Another one may be sent meanwhile.
        tokio::task::yield_now().await;
        let answer = (self.0)(&text);
        self.1.send(text).unwrap();
        answer
    }
    fn name(&self) -> String {
        "http://upstream".to_owned()
    }
    fn sender(&self, head: &Head) -> String {
        head.headers.get("user-agent").unwrap().to_str().unwrap().to_owned()
    }
}

fn append_of(spool: &Spool, sender: &str, body: &str) {
    let mut head = head();
    head.headers.append("user-agent", sender.parse().unwrap());
    runtime().block_on(spool.append(Lane::LaunchDarkly, &head, 5, body.to_owned().into())).unwrap();
}

/// Delivers until it is so, and gives what the upstream got.
fn delivered_until(
    spool: Spool,
    answers: impl Fn(&str) -> Carried + Send + 'static,
    is_so: impl Fn(&Figures, &[String]) -> bool,
) -> (Arc<Spool>, Vec<String>) {
    let spool = Arc::new(spool);
    let (got, gets) = channel();
    let deliveries = spool.deliver([Some(Picky(answers, got)), None, None]).unwrap();
    let mut got: Vec<String> = Vec::new();
    while !is_so(&spool.figures(), &got) {
        got.extend(gets.try_iter());
        std::thread::yield_now();
    }
    runtime().block_on(deliveries.end(Duration::ZERO));
    got.extend(gets.try_iter());
    (spool, got)
}

fn unanswered() -> Carried {
    Carried::Unanswered { why: "connection reset by peer".to_owned() }
}

#[test]
fn a_request_that_gets_no_answer_holds_up_its_own_sender_alone_and_is_put_aside_while_others_get_through() {
    for (what, poison, status) in [("reset", unanswered(), None), ("503", answer(503), Some(503))] {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = open(&options(&folder)).unwrap();
        append_of(&spool, "a", "poison");
        append_of(&spool, "a", "after");
        for number in 0..20 {
            append_of(&spool, "b", &number.to_string());
        }
        let answers = move |body: &str| if body == "poison" { poison.clone() } else { answer(202) };
        let (spool, got) = delivered_until(spool, answers, |figures, _| figures.waiting_requests == 0);
        let place = |wanted: &str| got.iter().position(|body| body == wanted).unwrap();
        let last_poison = got.iter().rposition(|body| body == "poison").unwrap();
        assert!(last_poison < place("after"), "{what}: {got:?}");
        let tried = got.iter().filter(|body| *body == "poison").count();
        assert!((8..=20).contains(&tried), "{what}: {tried} attempts");
        let others: Vec<&String> = got.iter().filter(|body| !["poison", "after"].contains(&body.as_str())).collect();
        assert_eq!(others, (0..20).map(|it| it.to_string()).collect::<Vec<_>>().iter().collect::<Vec<_>>(), "{what}");
        let figures = spool.figures();
        assert_eq!((figures.delivered, figures.refused, figures.trouble), (21, 1, None), "{what}");
        assert_eq!((figures.refusals[0].status, figures.refusals[0].who.as_str()), (status, "a"), "{what}");
        let aside = std::fs::read(folder.path().join("launchdarkly/refused.spool")).unwrap();
        assert!(aside.ends_with(b"poison"), "{what}");
    }
}

#[test]
fn while_nobody_gets_through_nothing_is_put_aside_however_often_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    for number in 0..20 {
        append_of(&spool, &format!("sender {number}"), &number.to_string());
    }
    let answers = |body: &str| if body.len() == 1 { unanswered() } else { answer(503) };
    let (spool, _) = delivered_until(spool, answers, |_, got| got.len() > 500);
    let figures = spool.figures();
    assert_eq!((figures.delivered, figures.refused, figures.waiting_requests), (0, 0, 20));
    assert!(figures.trouble.is_some());
    // And when it is there again, one that fails once more is not put aside for what was before.
    drop(spool);
    let (spool, _) = open(&options(&folder)).unwrap();
    let tried = Mutex::new((0, std::collections::HashSet::new()));
    let answers = move |body: &str| {
        let mut tried = tried.lock().unwrap();
        tried.0 += 1;
        answer(if tried.0 < 300 || tried.1.insert(body.to_owned()) { 503 } else { 202 })
    };
    let (spool, _) = delivered_until(spool, answers, |figures, _| figures.waiting_requests == 0);
    assert_eq!((spool.figures().delivered, spool.figures().refused), (20, 0));
}

#[test]
fn many_that_fail_at_once_do_not_hide_that_others_would_get_through() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    for number in 0..30 {
        append_of(&spool, &format!("sender {number}"), "poison");
    }
    for number in 0..30 {
        append_of(&spool, "fine", &number.to_string());
    }
    let answers = |body: &str| if body == "poison" { unanswered() } else { answer(202) };
    let (spool, _) = delivered_until(spool, answers, |figures, _| figures.delivered == 30);
    assert!(spool.figures().trouble.is_none());
}

#[test]
fn where_only_one_sender_is_left_its_next_request_tells_after_long_whether_the_upstream_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder);
    options.pace.patience = Duration::from_millis(1);
    let (spool, _) = open(&options).unwrap();
    append_of(&spool, "a", "poison");
    append_of(&spool, "a", "another poison");
    for number in 0..20 {
        append_of(&spool, "a", &number.to_string());
    }
    let answers = |body: &str| if body.ends_with("poison") { answer(500) } else { answer(202) };
    let (spool, _) = delivered_until(spool, answers, |figures, _| figures.waiting_requests == 0);
    assert_eq!((spool.figures().delivered, spool.figures().refused), (20, 2));
}

#[test]
fn a_full_disk_costs_no_answer_that_was_given_and_the_next_request_is_kept_again() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (spool, _) = open_on(&options(&folder), Box::new(Failing(faults.clone()))).unwrap();
    append(&spool, "a").unwrap();
    faults.come([Some((Errno::NOSPC, 100))]);
    assert_eq!(append(&spool, "b"), Err(NotKept::Failed));
    let figures = spool.figures();
    assert_eq!((figures.turned_away, figures.waiting_requests), (1, 1));
    assert_eq!(figures.disk_trouble.as_deref(), Some("No space left on device"));
    // What was written is there, and whether it would stay nobody knows.
    faults.come([None, Some((Errno::IO, 0)), Some((Errno::IO, 0))]);
    assert_eq!(append(&spool, "c"), Err(NotKept::Failed));
    append(&spool, "d").unwrap();
    assert_eq!(spool.figures().disk_trouble, None);
    let (_, got) = delivered(spool, []);
    assert_eq!(got, ["202 a", "202 d"]);
}

#[test]
fn there_is_an_end_to_what_it_holds_and_what_is_delivered_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&Options { limit_bytes: SMALLEST_LIMIT_BYTES, ..options(&folder) }).unwrap();
    let body = "x".repeat(1000);
    let mut kept = 0;
    while append(&spool, &body).is_ok() {
        kept += 1;
    }
    assert_eq!(kept, 61, "64 KiB in requests of 1,056 bytes, less what segments begin with");
    assert_eq!(append(&spool, &"x".repeat(100_000)), Err(NotKept::Full));
    let figures = spool.figures();
    assert!(figures.disk_bytes <= SMALLEST_LIMIT_BYTES && figures.turned_away == 2, "{figures:?}");
    let (spool, got) = delivered(spool, []);
    assert_eq!(got.len(), 61);
    drop(spool);
    let (spool, _) = open(&Options { limit_bytes: SMALLEST_LIMIT_BYTES, ..options(&folder) }).unwrap();
    append(&spool, &body).unwrap();
}

#[test]
fn a_body_too_large_for_memory_has_a_file_of_its_own_until_it_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    runtime().block_on(async {
        let mut file = spool.body_file(Lane::LaunchDarkly);
        for piece in ["one ", "two ", "three"] {
            file.write(piece.into()).await.unwrap();
        }
        spool.append_file(Lane::LaunchDarkly, &head(), 5, file).await.unwrap();
        // Of a sender that leaves in the middle nothing stays.
        let mut broken = spool.body_file(Lane::LaunchDarkly);
        broken.write("half".into()).await.unwrap();
    });
    assert!(names(&folder).contains(&"0000000001.body".to_owned()));
    let waiting = spool.figures();
    drop(spool);
    let (spool, found) = open(&options(&folder)).unwrap();
    assert_eq!((found.requests, spool.figures().waiting_bytes), ([1, 0, 0], waiting.waiting_bytes));
    let (spool, got) = delivered(spool, [answer(503)]);
    assert_eq!(got, ["503 one two three", "202 one two three"]);
    assert!(!names(&folder).iter().any(|name| name.ends_with(".body")), "{:?}", names(&folder));
    drop(spool);
}

#[test]
fn a_body_whose_file_was_damaged_or_removed_is_lost_alone_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    for body in ["damaged", "removed"] {
        runtime().block_on(async {
            let mut file = spool.body_file(Lane::LaunchDarkly);
            file.write(body.into()).await.unwrap();
            spool.append_file(Lane::LaunchDarkly, &head(), 5, file).await.unwrap();
        });
    }
    append(&spool, "fine").unwrap();
    let lane = folder.path().join("launchdarkly");
    std::fs::write(lane.join("0000000001.body"), "dAmaged").unwrap();
    std::fs::remove_file(lane.join("0000000002.body")).unwrap();
    let (spool, got) = delivered(spool, []);
    assert_eq!(got, ["202 fine"]);
    let figures = spool.figures();
    assert_eq!((figures.damaged, figures.waiting_requests, figures.waiting_bytes), (2, 0, 0));
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_costs_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    for body in ["one", "two", "three"] {
        append(&spool, body).unwrap();
    }
    drop(spool);
    let path = folder.path().join("launchdarkly/0000000001.spool");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, b"two").unwrap();
    bytes[at] ^= 1;
    let length = bytes.len();
    bytes.extend_from_within(15..40);
    std::fs::write(&path, &bytes).unwrap();
    let (spool, found) = open(&options(&folder)).unwrap();
    assert_eq!(found.requests, [2, 0, 0]);
    let one = 15 + 44 + "POST /bulk\r\n".len() + 3;
    let [damaged, unfinished] = &found.notes[..] else { panic!("{:?}", found.notes) };
    assert!(damaged.contains(&format!("59 bytes from byte {one} on cannot be read")), "{damaged}");
    assert!(unfinished.contains(&format!("the request at byte {length} was being written")), "{unfinished}");
    let (spool, got) = delivered(spool, []);
    assert_eq!(got, ["202 one", "202 three"]);
    assert_eq!(spool.figures().damaged, 1);
}

#[test]
fn a_folder_is_one_process_s_and_what_is_not_ours_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(&options(&folder)).unwrap();
    assert!(matches!(open(&options(&folder)), Err(SpoolError::Taken(_))));
    drop(spool);
    let lane = folder.path().join("launchdarkly");
    std::fs::write(lane.join("notes.txt"), "mine").unwrap();
    std::fs::write(folder.path().join("0000000001.spool"), "mine too").unwrap();
    let unlike = ["7.spool", "00000000007.spool", "18446744073709551615.spool", "18446744073709551615.body", "7.body"];
    for name in unlike {
        std::fs::write(lane.join(name), "exptap spool 1\n").unwrap();
    }
    drop(open(&options(&folder)).unwrap());
    for name in unlike {
        assert_eq!(std::fs::read(lane.join(name)).unwrap(), b"exptap spool 1\n", "{name}");
    }
    std::fs::write(lane.join("9999999999.spool"), "exptap spool 1\n").unwrap();
    assert!(matches!(open(&options(&folder)), Err(SpoolError::Foreign(_))), "there is no number behind it");
    std::fs::remove_file(lane.join("9999999999.spool")).unwrap();
    assert_eq!(std::fs::read(lane.join("notes.txt")).unwrap(), b"mine");
    std::fs::write(lane.join("0000000009.spool"), "something that is no spool").unwrap();
    assert!(matches!(open(&options(&folder)), Err(SpoolError::Foreign(_))));
    std::fs::write(lane.join("0000000009.spool"), "exptap spool 2\n").unwrap();
    assert!(matches!(open(&options(&folder)), Err(SpoolError::Newer(_))));
    std::fs::write(lane.join("0000000009.spool"), "exptap sp").unwrap();
    drop(open(&options(&folder)).unwrap());
    assert!(!lane.join("0000000009.spool").exists(), "exptap was killed while it made it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Whatever the disk does and wherever exptap is killed: what was answered is delivered, and in its order.
    #[test]
    fn what_was_answered_is_delivered_at_least_once_and_in_order(
        steps in proptest::collection::vec(
            (any::<bool>(), proptest::option::weighted(0.3, (any::<bool>(), any::<u8>()))), 1..40),
        cut in proptest::option::of(any::<u8>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { limit_bytes: SMALLEST_LIMIT_BYTES, ..options(&folder) };
        let faults = Faults::default();
        let mut spool = open_on(&options, Box::new(Failing(faults.clone()))).unwrap().0;
        let mut answered = Vec::new();
        for (number, (is_killed, fault)) in steps.into_iter().enumerate() {
            if is_killed {
                drop(spool);
                spool = open_on(&options, Box::new(Failing(faults.clone()))).unwrap().0;
            }
            let fault = fault.map(|(at_sync, share)| {
                let fault = Some((if at_sync { Errno::IO } else { Errno::NOSPC }, share));
                if at_sync { vec![None, fault, fault] } else { vec![fault] }
            });
            faults.come(fault.into_iter().flatten());
            if append(&spool, &format!("{number} {}", "x".repeat(300))).is_ok() {
                answered.push(number);
            }
        }
        drop(spool);
        faults.come([]);
        // Half a request more, as a kill leaves it.
        let last = names(&folder).into_iter().rfind(|name| name.ends_with(".spool") && !name.starts_with('r'));
        if let (Some(last), Some(cut)) = (last, cut) {
            let path = folder.path().join("launchdarkly").join(last);
            let bytes = std::fs::read(&path).unwrap();
            let half = bytes.get(15..15 + usize::from(cut).min(bytes.len().saturating_sub(16))).unwrap_or_default().to_vec();
            if half.len() < 300 {
                std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&half).unwrap();
            }
        }
        let (_, got) = delivered(open(&options).unwrap().0, []);
        let got: Vec<usize> = got.iter().map(|it| it.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        let in_order: Vec<usize> = got.iter().copied().filter(|number| answered.contains(number)).collect();
        prop_assert_eq!(in_order, answered);
    }
}
