//! The feed over real sockets: what viewers get, what they are told to be missing, and who is not let in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::attach::{
    Board, ConnectError, Connection, Connector, Follower, Greeting, LinkState, Target, Vouching, Wanted,
};
use exptap::endpoint::{self, Caps, Figures, Intake, IntakeReceiver, Missed, Received, Status};
use exptap::envelope::Envelope;
use exptap::feed::{Counters, Door, Feed, Hub, Options, Patience, Socket, Token};
use exptap::protocol::{self, Bye, Cause, Control, Line, Missing, Resume, VERSION};
use exptap::recording::{Header, Record};
use exptap::tls::Identity;
use futures_util::{SinkExt, StreamExt};
use loopback::{Client, PATIENCE};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A feed at a socket and an address, and the endpoint's side of it.
struct Running {
    intake: Intake,
    _receiver: IntakeReceiver,
    hub: Arc<Hub>,
    folder: tempfile::TempDir,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

fn start(caps: Caps, patience: Patience) -> Running {
    start_with(caps, patience, None)
}

fn start_with(caps: Caps, patience: Patience, tls: Option<Arc<Identity>>) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (intake, receiver) = endpoint::intake(Caps::default());
    let hub = Arc::new(Hub::new("first-run".into(), caps));
    receiver.feed().open(Arc::<Hub>::clone(&hub));
    let socket = Socket::open(&folder.path().join("feed.sock")).unwrap();
    let token = Token::of(TOKEN, "test").unwrap();
    let door = exptap::feed::open(([127, 0, 0, 1], 0).into(), false, token, vec!["box.example".into()], tls).unwrap();
    let Door::Address { listener, .. } = &door else { panic!("an address") };
    let address = listener.local_addr().unwrap();
    let options = Options {
        hub: Arc::clone(&hub),
        header: Header { observed_from_ms: Some(7), note: Some("from the collector".into()), ..Header::default() },
        status: Arc::<Status>::default(),
        recording: Box::new(|| None),
        patience,
    };
    let feed = Feed::new(options, vec![Door::Socket(socket), door]);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async { feed.serve(async { drop(stopped.await) }).await.unwrap() });
    Running { intake, _receiver: receiver, hub, folder, address, stop: Some(stop), serving }
}

fn body(key: &str) -> String {
    format!(r#"[{{"kind":"custom","key":"{key}","creationDate":1795248000000,"context":{{"kind":"user","key":"u"}}}}]"#)
}

impl Running {
    /// Receives a request.
    fn offer(&self, key: &str) {
        let body = body(key).into_bytes();
        let envelope =
            Envelope { path: "/bulk".into(), wire_bytes: body.len() as u64, body: body.into(), ..Envelope::default() };
        assert!(self.intake.offer(envelope));
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("feed.sock")
    }

    fn to_socket(&self) -> Connector {
        connector(Target::Socket(self.socket()), None)
    }

    fn to_address(&self, token: Option<&str>) -> Connector {
        connector(format!("ws://{}", self.address).parse().unwrap(), token)
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        within(&mut self.serving).await.unwrap();
    }
}

fn connector(target: Target, token: Option<&str>) -> Connector {
    let token = token.map(|token| Token::of(token, "test").unwrap());
    Connector { target, token, vouching: Vouching::default(), ssh: "ssh".into(), remote_program: "exptap".into() }
}

async fn within<Done>(done: impl Future<Output = Done>) -> Done {
    timeout(PATIENCE, done).await.expect("it takes too long")
}

fn now_ms() -> i64 {
    5
}

/// A viewer as `exptap attach` is one.
struct Viewer {
    receiver: IntakeReceiver,
    board: Arc<Board>,
    following: JoinHandle<()>,
}

impl Viewer {
    fn of(connector: Connector, connected: (Connection, Greeting), wanted: Wanted) -> Self {
        let (intake, receiver) = endpoint::intake(Caps::default());
        let board = Arc::new(Board::default());
        let follower = Follower::new(connector, intake, Arc::clone(&board), wanted, now_ms);
        Self { receiver, board, following: tokio::spawn(follower.run(connected)) }
    }

    async fn attach(connector: Connector, wanted: Wanted) -> Self {
        let connected = within(connector.connect(true)).await.unwrap();
        Self::of(connector, connected, wanted)
    }

    /// The next thing: a request's number, or what is missing.
    async fn next(&mut self) -> String {
        match within(self.receiver.next()).await {
            Some(Received::Envelope(envelope)) => envelope.request.to_string(),
            Some(Received::Missed(Missed { requests, why, .. })) => match requests {
                Some(requests) => format!("{requests} missing: {why}"),
                None => format!("unknown: {why}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it stands so.
    async fn wait_for(&self, stands: impl Fn(&LinkState) -> bool) {
        within(async {
            while !stands(&self.board.link().state) {
                self.board.changed().await;
            }
        })
        .await;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.following.abort();
    }
}

const GONE: &str = "the collector keeps only the newest, and they were older";

#[tokio::test]
async fn a_viewer_gets_the_backlog_what_comes_and_the_very_requests_that_were_received() {
    let mut running = start(Caps::default(), Patience::default());
    (1..=3).for_each(|_| running.offer("before"));
    let connector = running.to_address(Some(TOKEN));
    let connected = within(connector.connect(true)).await.unwrap();
    let greeting = &connected.1;
    assert_eq!((greeting.hello.first, greeting.hello.last, &*greeting.hello.epoch), (1, 3, "first-run"));
    assert_eq!(
        (greeting.header.observed_from_ms, greeting.header.note.as_deref()),
        (Some(7), Some("from the collector"))
    );
    let mut viewer = Viewer::of(connector, connected, Wanted { only: None, compress: true });
    for number in ["1", "2", "3"] {
        assert_eq!(viewer.next().await, number);
    }
    running.offer("after \u{1b}");
    let Some(Received::Envelope(envelope)) = within(viewer.receiver.next()).await else { panic!("a request") };
    assert_eq!((envelope.request, &*envelope.body), (4, body("after \u{1b}").as_bytes()));
    // The end: what is left comes first, and then it is known that there is no more.
    running.offer("last");
    running.stop().await;
    assert_eq!(viewer.next().await, "5");
    viewer.wait_for(|state| matches!(state, LinkState::Waiting { why, .. } if why == "the collector stops")).await;
}

#[tokio::test]
async fn what_is_kept_no_longer_is_missing_exactly_and_numbers_are_the_collectors() {
    let running = start(Caps { requests: 2, bytes: 1 << 20 }, Patience::default());
    (1..=7).for_each(|_| running.offer("x"));
    let mut viewer = Viewer::attach(running.to_socket(), Wanted::default()).await;
    let told = [viewer.next().await, viewer.next().await, viewer.next().await];
    assert_eq!(told, [format!("5 missing: {GONE}"), "6".into(), "7".into()]);
}

#[tokio::test]
async fn viewers_with_filters_get_their_own_and_know_how_many_they_did_not() {
    let running = start(Caps::default(), Patience::default());
    let only = |only: &str| Wanted { only: Some(only.into()), compress: false };
    let mut of_a = Viewer::attach(running.to_socket(), only("key:a")).await;
    let mut of_b = Viewer::attach(running.to_address(Some(TOKEN)), only("key:b or user/x")).await;
    let mut all = Viewer::attach(running.to_socket(), Wanted::default()).await;
    for (index, key) in ["a", "b", "b", "a"].into_iter().enumerate() {
        running.offer(key);
        // One after the other, so that what is said of those in between does not depend on how fast it goes.
        assert_eq!(all.next().await, (index + 1).to_string());
        let not = "1 missing: not asked for (--only)".to_owned();
        let told = (of_a.next().await, of_b.next().await);
        let number = (index + 1).to_string();
        assert_eq!(told, if key == "a" { (number, not) } else { (not, number) });
    }
    assert_eq!((of_a.board.link().not_asked, of_b.board.link().not_asked), (2, 2));
    assert_eq!(of_a.board.link().only.as_deref(), Some("key:a"));
}

/// Attaches by hand.
async fn by_hand(connector: &Connector, resume: Resume) -> Connection {
    let (mut connection, _) = within(connector.connect(true)).await.unwrap();
    let mut line = Vec::new();
    protocol::write(&mut line, &Control::Resume(resume));
    connection.send(Message::text(String::from_utf8(line).unwrap())).await.unwrap();
    connection
}

/// Everything until request `last` or a goodbye: numbers that came, and how many were said to be missing.
async fn read_up_to(connection: &mut Connection, last: u64) -> (Vec<u64>, u64, Option<Bye>) {
    let (mut numbers, mut missing) = (Vec::new(), 0);
    loop {
        let Some(Ok(message)) = within(connection.next()).await else { return (numbers, missing, None) };
        let Message::Text(text) = message else { continue };
        for line in text.lines() {
            match protocol::parse(line).unwrap() {
                Line::Record(record) => match *record {
                    Record::Request(envelope) => numbers.push(envelope.request),
                    other => panic!("{other:?}"),
                },
                Line::Control(Control::Gap(Missing { from, to, cause: Cause::Gone, .. })) => missing += to - from + 1,
                Line::Control(Control::Bye(bye)) => return (numbers, missing, Some(bye)),
                other => panic!("{other:?}"),
            }
        }
        if numbers.last() == Some(&last) {
            return (numbers, missing, None);
        }
    }
}

#[tokio::test]
async fn a_write_key_that_came_to_launchdarkly_s_path_is_told_to_no_viewer() {
    const KEY: &str = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY";
    let running = start(Caps::default(), Patience::default());
    let body = format!(r#"{{"type":"track","event":"Order","userId":"u","writeKey":"{KEY}"}}"#).into_bytes();
    let envelope = Envelope { path: "/bulk".into(), body: body.into(), ..Envelope::default() };
    assert!(running.intake.offer(envelope));
    let mut connection = by_hand(&running.to_socket(), Resume { version: VERSION, ..Resume::default() }).await;
    let told = loop {
        let Some(Ok(message)) = within(connection.next()).await else { panic!("the connection ended") };
        match message {
            Message::Text(text) if text.contains("writeKey") => break text,
            _ => {}
        }
    };
    let masked = exptap::envelope::Credential::mask(KEY);
    assert!(told.contains(masked.as_str()) && !told.contains(&KEY[4..]), "{told}");
}

#[tokio::test]
async fn one_that_does_not_read_costs_nobody_anything_and_is_told_exactly_what_it_missed() {
    const REQUESTS: u64 = 3_000;
    let running = start(Caps { requests: 20, bytes: 1 << 20 }, Patience::default());
    let resume = || Resume { version: VERSION, ..Resume::default() };
    let mut slow = by_hand(&running.to_socket(), resume()).await;
    let mut quick = by_hand(&running.to_socket(), resume()).await;
    let key = "k".repeat(2_000);
    for number in 1..=REQUESTS {
        running.offer(&key);
        if number % 10 == 0 {
            let (numbers, missing, _) = read_up_to(&mut quick, number).await;
            assert_eq!((numbers.len(), missing), (10, 0));
        }
    }
    // Much more than fits in the socket's own buffers was received meanwhile.
    let (numbers, missing, _) = read_up_to(&mut slow, REQUESTS).await;
    assert!(missing > REQUESTS / 2, "{missing}");
    assert_eq!(numbers.len() as u64 + missing, REQUESTS, "not one more, not one less");
    assert!(numbers.is_sorted());
}

#[tokio::test]
async fn a_viewer_that_comes_back_goes_on_where_it_was_without_loss() {
    let running = start(Caps::default(), Patience::default());
    (1..=5).for_each(|_| running.offer("x"));
    let resume =
        |epoch: &str, after| Resume { version: VERSION, epoch: Some(epoch.into()), after, ..Resume::default() };
    let mut first = by_hand(&running.to_socket(), Resume { version: VERSION, ..Resume::default() }).await;
    assert_eq!(read_up_to(&mut first, 5).await.0, [1, 2, 3, 4, 5]);
    drop(first);
    (6..=7).for_each(|_| running.offer("x"));
    let mut again = by_hand(&running.to_socket(), resume("first-run", 5)).await;
    assert_eq!(read_up_to(&mut again, 7).await, (vec![6, 7], 0, None));
    // What it has of another run is of no use here.
    let mut foreign = by_hand(&running.to_socket(), resume("another-run", 5)).await;
    assert_eq!(read_up_to(&mut foreign, 7).await.0, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_made_anew_and_nothing_is_missing_or_doubled() {
    let running = start(Caps::default(), Patience::default());
    // A way that can be cut: whoever comes is passed on to the feed until told otherwise.
    let way = running.folder.path().join("way.sock");
    let listener = tokio::net::UnixListener::bind(&way).unwrap();
    let (cut, cutting) = tokio::sync::watch::channel(0_u32);
    let feed = running.socket();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = tokio::net::UnixStream::connect(&feed).await.unwrap();
            let mut cutting = cutting.clone();
            cutting.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cutting.changed() => {}
                }
            });
        }
    });
    let mut viewer = Viewer::attach(connector(Target::Socket(way), None), Wanted::default()).await;
    let mut number = 0;
    for round in 1..=3 {
        for _ in 0..4 {
            number += 1;
            running.offer("x");
            assert_eq!(viewer.next().await, number.to_string());
        }
        cut.send(round).unwrap();
        viewer.wait_for(|state| !matches!(state, LinkState::Attached)).await;
        running.offer("while it is away");
        number += 1;
        assert_eq!(viewer.next().await, number.to_string());
        viewer.wait_for(|state| matches!(state, LinkState::Attached)).await;
    }
}

/// A feed that speaks TLS with a certificate that is made in a folder, and how to attach to it.
fn start_secure(folder: &std::path::Path) -> (Running, Arc<Identity>) {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let names = vec!["127.0.0.1".parse().unwrap()];
    let identity = Arc::new(Identity::made(folder.to_owned(), names, now_ms).unwrap().0);
    (start_with(Caps::default(), Patience::default(), Some(Arc::clone(&identity))), identity)
}

impl Running {
    fn to_wss(&self, host: &str, ca: &std::path::Path) -> Connector {
        let target = format!("wss://{host}:{}", self.address.port()).parse().unwrap();
        Connector { vouching: Vouching::read(ca).unwrap(), ..connector(target, Some(TOKEN)) }
    }
}

async fn refused(connector: &Connector) -> String {
    match within(connector.connect(true)).await {
        Err(ConnectError::Refused(why)) => why,
        Err(ConnectError::Unreachable(why)) => panic!("it would be tried again: {why}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn over_wss_a_viewer_that_has_the_ca_and_the_token_gets_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (running, identity) = start_secure(&folder.path().join("tls"));
    let connector = running.to_wss("127.0.0.1", identity.trust().authority.as_ref().unwrap());
    (1..=2).for_each(|_| running.offer("before"));
    let mut viewer = Viewer::attach(connector.clone(), Wanted { only: None, compress: true }).await;
    running.offer("after");
    for number in ["1", "2", "3"] {
        assert_eq!(viewer.next().await, number);
    }
    // TLS is no stand-in for the token.
    let without = Connector { token: None, ..connector.clone() };
    assert!(refused(&without).await.contains("wants a token"));
    let other = Connector { token: Some(Token::of(&"f".repeat(32), "test").unwrap()), ..connector };
    assert!(refused(&other).await.contains("does not take this token"));
}

#[tokio::test]
async fn a_collector_nobody_vouches_for_is_one_plain_line_and_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (running, identity) = start_secure(&folder.path().join("tls"));
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let other = Identity::made(folder.path().join("other"), vec!["localhost".parse().unwrap()], now_ms).unwrap().0;
    let port = running.address.port();
    let why = refused(&running.to_wss("127.0.0.1", other.trust().authority.as_ref().unwrap())).await;
    let path = folder.path().join("other/ca.pem");
    assert_eq!(
        why,
        format!(
            "wss://127.0.0.1:{port} is not believed: the CA in {} does not vouch for its certificate; it is another \
             collector's, or an older one",
            path.display()
        )
    );
    let by_machine = Connector {
        vouching: Vouching::Machine,
        ..running.to_wss("127.0.0.1", identity.trust().authority.as_ref().unwrap())
    };
    let why = refused(&by_machine).await;
    assert!(why.contains("give the collector's CA with --ca FILE"), "{why}");
    // The certificate is for the address alone.
    let why = refused(&running.to_wss("localhost", identity.trust().authority.as_ref().unwrap())).await;
    assert!(why.contains("is not for localhost, but for 127.0.0.1; start the collector with --tls-name"), "{why}");
    let refused_handshakes = Counters::read(&running.hub.counters.refused_handshakes);
    assert!(refused_handshakes >= 2, "{refused_handshakes}");
}

#[tokio::test]
async fn clear_text_where_tls_is_spoken_and_the_other_way_round_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (secure, identity) = start_secure(&folder.path().join("tls"));
    let port = secure.address.port();
    assert_eq!(
        refused(&secure.to_address(Some(TOKEN))).await,
        format!("ws://127.0.0.1:{port} speaks TLS: attach with wss://127.0.0.1:{port}")
    );
    let plain = start(Caps::default(), Patience::default());
    let why = refused(&plain.to_wss("127.0.0.1", identity.trust().authority.as_ref().unwrap())).await;
    assert!(why.contains("speaks no TLS: attach with ws://"), "{why}");
    for (text, expected) in [("", "there is no certificate in it"), ("-----BEGIN CERTIFICATE-----\n*\n", "damaged")] {
        let path = folder.path().join("bad.pem");
        std::fs::write(&path, text).unwrap();
        let why = Vouching::read(&path).unwrap_err();
        assert!(why.starts_with("--ca /") && why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_collector_that_was_started_anew_is_another_run_and_the_time_between_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let way = folder.path().join("way.sock");
    let connector = connector(Target::Socket(way.clone()), None);
    let first = start(Caps::default(), Patience::default());
    std::os::unix::fs::symlink(first.socket(), &way).unwrap();
    first.offer("x");
    let mut viewer = Viewer::attach(connector, Wanted::default()).await;
    assert_eq!(viewer.next().await, "1");
    let second = start(Caps::default(), Patience::default());
    // The same name of a run would be a chance of one in 2^64; here it is given.
    let hub = Arc::new(Hub::new("second-run".into(), Caps::default()));
    let socket = Socket::open(&second.folder.path().join("second.sock")).unwrap();
    let path = socket.path().to_owned();
    let options = Options {
        hub: Arc::clone(&hub),
        header: Header::default(),
        status: Arc::<Status>::default(),
        recording: Box::new(|| None),
        patience: Patience::default(),
    };
    tokio::spawn(async { Feed::new(options, vec![Door::Socket(socket)]).serve(std::future::pending()).await });
    use exptap::endpoint::Tap;
    hub.take(Envelope { request: 1, path: "/bulk".into(), ..Envelope::default() });
    std::fs::remove_file(&way).unwrap();
    std::os::unix::fs::symlink(path, &way).unwrap();
    let mut first = first;
    first.stop().await;
    assert_eq!(
        viewer.next().await,
        "unknown: the collector was started anew; of what was sent meanwhile nothing is known"
    );
    // It is the second that this viewer has of all.
    assert_eq!(viewer.next().await, "2");
}

/// A collector that shakes hands, says what it is told to, byte for byte, and goes.
fn saying(path: &std::path::Path, frames: Vec<u8>) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let key = lines.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).map(|(_, key)| key).next();
        let accept = derive_accept_key(key.unwrap().as_bytes());
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        write!(stream, "{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n").unwrap();
        // Whoever has seen enough may leave.
        let _ = stream.write_all(&frames);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// A frame of a server.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ ..126) => frame.push(length),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame
}

const HELLO: &str = r#"{"feed":"hello","version":1,"tool":"t","epoch":"e","first":1,"last":3,"now":5}"#;
const HEADER: &str = r#"{"exptap":1,"redacted":false}"#;

#[tokio::test]
async fn what_a_collector_says_may_be_cut_at_every_byte_and_whole_requests_are_taken() {
    let request = |number: u64| format!(r#"{{"t":5,"n":{number},"path":"/bulk","body":[]}}"#);
    let frames = [
        frame(&format!("{HELLO}\n{HEADER}\n")),
        frame(&format!("{}\n{}\n", request(1), request(2))),
        frame("{\"feed\":\"gap\",\"from\":3,\"to\":9,\"t\":5,\"cause\":\"gone\"}\n"),
        frame(&format!("{}\n", request(10))),
    ];
    let ends: Vec<usize> = frames
        .iter()
        .scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        })
        .collect();
    let whole = frames.concat();
    let folder = tempfile::tempdir().unwrap();
    for cut in 0..=whole.len() {
        let path = folder.path().join(cut.to_string());
        let saying = saying(&path, whole[..cut].to_vec());
        let connector = connector(Target::Socket(path), None);
        match within(connector.connect(true)).await {
            Err(ConnectError::Unreachable(_) | ConnectError::Refused(_)) => assert!(cut < ends[0], "{cut}"),
            Ok(connected) => {
                assert!(cut >= ends[0], "{cut}");
                let mut viewer = Viewer::of(connector, connected, Wanted::default());
                viewer.wait_for(|state| matches!(state, LinkState::Waiting { .. })).await;
                let mut told = Vec::new();
                while let Some(received) = viewer.receiver.try_next() {
                    told.push(match received {
                        Received::Envelope(envelope) => envelope.request.to_string(),
                        Received::Missed(missed) => format!("-{}", missed.requests.unwrap()),
                        Received::Lost(loss) => panic!("{loss:?}"),
                    });
                }
                let known = [(ends[1], vec!["1", "2"]), (ends[2], vec!["-7"]), (ends[3], vec!["10"])];
                let expected: Vec<&str> =
                    known.into_iter().filter(|(end, _)| cut >= *end).flat_map(|(_, told)| told).collect();
                assert_eq!(told, expected, "cut at {cut}");
            }
        }
        saying.join().unwrap();
    }
}

#[tokio::test]
async fn what_is_no_collector_or_a_newer_one_is_told_in_a_line_and_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let newer = HELLO.replace("\"version\":1", "\"version\":9");
    let cases = [
        (frame("hello there"), "not a line of a feed"),
        (frame(&format!("{newer}\n{HEADER}\n")), "a newer exptap is needed"),
        (frame(&format!("{HELLO}\n{{\"exptap\":7}}\n")), "a newer exptap is needed"),
        (frame(&format!("{HELLO}\n")), "no exptap collector"),
        (vec![0x82, 1, 0], "no exptap collector"),
    ];
    for (index, (frames, words)) in cases.into_iter().enumerate() {
        let path = folder.path().join(index.to_string());
        let saying = saying(&path, frames);
        let error = within(connector(Target::Socket(path), None).connect(true)).await.map(drop).unwrap_err();
        assert!(matches!(&error, ConnectError::Refused(why) if why.contains(words) && !why.contains('\n')), "{error}");
        saying.join().unwrap();
    }
    // A frame that breaks the protocol, or a text that is not one, may be an accident.
    for (index, frames) in [vec![0xff, 0xff, 0xff], vec![0x81, 1, 0xff], vec![0x81, 0x7f, 0xff]].into_iter().enumerate()
    {
        let path = folder.path().join(format!("broken{index}"));
        let saying = saying(&path, frames);
        let error = within(connector(Target::Socket(path), None).connect(true)).await.map(drop).unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
        saying.join().unwrap();
    }
}

#[tokio::test]
async fn a_request_of_nowhere_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = connector(Target::Socket(folder.path().join("none.sock")), None);
    let error = within(nobody.connect(true)).await.map(drop).unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unreachable(why) if why.contains("start one with `exptap collect`")),
        "{error}"
    );
    // SDKs' own door is another one.
    // It has a runtime of its own, which must not begin or end within this one.
    let sdks = std::thread::spawn(|| loopback::start(loopback::loopback_options())).join().unwrap();
    let wrong = connector(format!("ws://{}", sdks.address()).parse().unwrap(), Some(TOKEN));
    let error = within(wrong.connect(true)).await.map(drop).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(why) if why.contains("no exptap collector")), "{error}");
}

/// Asks by hand; the status and everything that is said.
fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut client = Client::connect(address);
    client.send(request.as_bytes());
    let answer = client.answer();
    (answer.status(), String::from_utf8_lossy(&answer.body).into_owned())
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_and_a_name_that_points_here_get_403_and_no_data_even_with_the_token() {
    let running = start(Caps::default(), Patience::default());
    running.offer("secret-key");
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let hostile = [
        "Host: localhost\r\nOrigin: http://evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: localhost\r\nOrigin: http://localhost\r\n",
        "Host: evil.example\r\n",
        "Host: \r\n",
        "Host: [::1\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "",
    ];
    for path in ["/feed", "/metrics", "/healthz", "/"] {
        for headers in hostile {
            let (status, text) = ask(running.address, &format!("GET {path} HTTP/1.1\r\n{headers}{token}{UPGRADE}\r\n"));
            assert_eq!(status, 403, "{path} {headers}");
            assert!(!text.contains("secret-key") && !text.contains("exptap_"), "{text}");
        }
    }
    assert_eq!(Counters::read(&running.hub.counters.refused_pages), 4 * hostile.len() as u64);
    assert_eq!(Counters::read(&running.hub.counters.viewers), 0);
    for host in ["localhost", "127.0.0.1:1", "[::1]", "box.example:443"] {
        let (status, text) = ask(running.address, &format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((status, &*text), (200, "ok\n"), "{host}");
    }
    // At the socket too: a browser cannot reach it, and if one could, it would be none of its business.
    let mut stream = UnixStream::connect(running.socket()).unwrap();
    write!(stream, "GET /feed HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_there_is_neither_feed_nor_figures_and_a_viewer_does_not_try_again() {
    let running = start(Caps::default(), Patience::default());
    running.offer("x");
    for path in ["/feed", "/metrics", "/anything"] {
        for token in ["", "Authorization: Bearer 0123456789abcdef0123456789abcdee\r\n", "Authorization: Basic x\r\n"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}{UPGRADE}\r\n");
            assert_eq!(ask(running.address, &request).0, 401, "{path} {token}");
        }
    }
    let error = within(running.to_address(None).connect(true)).await.map(drop).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(why) if why.contains("wants a token")), "{error}");
    let error =
        within(running.to_address(Some("another-token-of-somebody")).connect(true)).await.map(drop).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(why) if why.contains("does not take this token")), "{error}");
    assert_eq!(Counters::read(&running.hub.counters.refused_tokens), 11);
    // A viewer whose token is taken from it stays away: one sentence, and no more attempts.
    let connected = within(running.to_address(Some(TOKEN)).connect(true)).await.unwrap();
    let viewer = Viewer::of(running.to_address(Some("another-token-of-somebody")), connected, Wanted::default());
    let mut running = running;
    let address = running.address;
    running.stop().await;
    viewer.wait_for(|state| matches!(state, LinkState::Waiting { .. })).await;
    let listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    viewer
        .wait_for(|state| matches!(state, LinkState::Ended { why } if why.contains("does not take this token")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_told_to_whoever_has_the_token() {
    let running = start(Caps::default(), Patience::default());
    (1..=3).for_each(|_| running.offer("x"));
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let (status, text) = ask(running.address, &request);
    assert_eq!(status, 200);
    for line in ["exptap_requests_total 3", "exptap_backlog_requests 3", "exptap_viewers 0"] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    assert_eq!(Figures::default().event_requests, 0);
}

#[tokio::test]
async fn a_viewer_that_asks_nonsense_is_told_why_and_that_it_is_final() {
    let running = start(Caps::default(), Patience::default());
    let ask = |text: &'static str| Message::text(text);
    let cases = [
        (ask("{\"feed\":\"resume\",\"version\":2}"), "a newer exptap is needed"),
        (ask("{\"feed\":\"resume\",\"version\":1,\"only\":\"verdict:dropped\"}"), "judges nothing"),
        (ask("{\"feed\":\"resume\",\"version\":1,\"only\":\"kind:(\"}"), "--only kind:("),
        (ask("{\"feed\":\"resume\",\"version\":1,\"after\":-1}"), "not a line of a feed"),
        (ask("GET / HTTP/1.1"), "not a line of a feed"),
        (ask("{\"feed\":\"weather\"}"), "expected what the viewer has"),
        (Message::binary(vec![0xff; 9]), "expected a line of text"),
    ];
    for (message, words) in cases {
        let (mut connection, _) = within(running.to_socket().connect(true)).await.unwrap();
        connection.send(message).await.unwrap();
        let (_, _, bye) = read_up_to(&mut connection, u64::MAX).await;
        let bye = bye.unwrap();
        assert!(bye.is_final && bye.why.contains(words), "{bye:?}");
    }
    // More than a viewer has to say is not even taken in.
    let (mut connection, _) = within(running.to_socket().connect(true)).await.unwrap();
    let _ = connection.send(Message::text(" ".repeat(protocol::MAX_ASKED_BYTES + 1))).await;
    assert_eq!(read_up_to(&mut connection, u64::MAX).await, (vec![], 0, None));
    assert_eq!(Counters::read(&running.hub.counters.attached), 0);
}

#[tokio::test]
async fn a_viewer_that_is_silent_or_does_not_answer_is_let_go_and_one_that_answers_stays() {
    let patience =
        Patience { ping: Duration::from_millis(20), answer: Duration::from_millis(200), ..Patience::default() };
    let running = start(Caps::default(), patience);
    let mut stays = Viewer::attach(running.to_socket(), Wanted::default()).await;
    // By hand, so that nobody answers its pings.
    let mut stream = UnixStream::connect(running.socket()).unwrap();
    write!(stream, "GET /feed HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n").unwrap();
    let resume = br#"{"feed":"resume","version":1}"#;
    let mut frame = vec![0x81, 0x80 | u8::try_from(resume.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(resume);
    stream.write_all(&frame).unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said
    });
    let said = within(read).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 101") && said.ends_with(&[0x89, 0]), "the last thing said was a ping");
    running.offer("x");
    assert_eq!(stays.next().await, "1");
    assert!(matches!(stays.board.link().state, LinkState::Attached));
    assert_eq!(Counters::read(&running.hub.counters.attached), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_and_does_not_go_on_is_let_go() {
    let patience = Patience { begin: Duration::from_millis(50), ..Patience::default() };
    let running = start(Caps::default(), patience);
    for begun in ["", "GET /feed HTTP/1.1\r\nHost: loc"] {
        let mut client = Client::connect(running.address);
        client.send(begun.as_bytes());
        // hyper may say that it took too long.
        let rest = tokio::task::spawn_blocking(move || client.rest());
        let rest = within(rest).await.unwrap();
        assert!(!rest.windows(5).any(|part| part == b"hello"), "{rest:?}");
    }
    // Past the token, but without a word of what it wants.
    let (mut connection, _) = within(running.to_socket().connect(true)).await.unwrap();
    assert!(!matches!(within(connection.next()).await, Some(Ok(Message::Text(_)))));
}
