//! The spool through the endpoint: what SDKs are answered, and what the upstream gets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::endpoint::{self, BindError, Limits, Options};
use exptap::envelope::{Answer as Answered, AnsweredBy, BodyLoss};
use exptap::spool::{self, Pace, SpoolError};
use loopback::upstream::Upstream;
use loopback::{Answer, PATIENCE, Running, gzip, limits, post, post_chunked, start};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::{TempDir, tempdir};

fn accepted(_: &Answer) -> Vec<u8> {
    answer("202 Accepted")
}

fn answer(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn in_folder(folder: &Path, options: Options) -> Options {
    let moment = Duration::from_millis(1);
    let pace = Pace { first: moment, longest: moment, ..Pace::default() };
    Options { spool: Some(spool::Options { folder: folder.join("spool"), limit_bytes: 1 << 20, pace }), ..options }
}

fn spooling(folder: &TempDir, upstream: &Upstream) -> Running {
    start(in_folder(folder.path(), upstream.options()))
}

fn figures(running: &Running) -> spool::Figures {
    running.status.figures().spool.unwrap()
}

/// Waits for something that another thread is about to do.
fn wait_for(mut is_so: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it never came to be so");
        std::thread::yield_now();
    }
}

/// An upstream that is told when to answer with success; until then it answers 503.
fn recovering() -> (Upstream, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_well);
    let upstream = Upstream::start(move |_| {
        answer(if seen.load(Ordering::SeqCst) { "202 Accepted" } else { "503 Service Unavailable" })
    });
    (upstream, is_well)
}

/// What was sent again is left out.
fn until_delivered(upstream: &Upstream, running: &Running, requests: u64) -> Vec<Answer> {
    wait_for(|| figures(running).delivered >= requests);
    upstream.come()
}

#[test]
fn an_sdk_is_answered_before_the_upstream_is_and_its_request_arrives_as_it_came() {
    let folder = tempdir().unwrap();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |request| {
        released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        accepted(request)
    });
    let mut running = spooling(&folder, &upstream);
    let body = gzip(b"[{\"kind\":\"identify\"}]");
    let headers = "Authorization: sdk-11111111-2222-3333-4444-55555555aaaa\r\nContent-Encoding: gzip\r\n\
                   X-LaunchDarkly-Payload-ID: 5bd0\r\nCookie: a=b\r\nX-Twice: one\r\nX-Twice: two\r\n";
    let hop = "Connection: x-hop\r\nX-Hop: 1\r\n";
    let answer = running.ask(&post("/bulk?a=%7e&b={}'|", &format!("{headers}{hop}"), &body));
    assert_eq!((answer.status(), answer.text()), (202, ""));
    assert!(answer.header("date").is_some());
    let envelope = running.envelope();
    assert_eq!(envelope.answer, Some(Answered { status: 202, from: AnsweredBy::Local }));
    assert_eq!(&envelope.body[..], body);
    release.send(()).unwrap();
    let got = upstream.request();
    assert_eq!(got.first_line, "POST /bulk?a=%7e&b={}'| HTTP/1.1");
    assert_eq!(got.body, body);
    let mut arrived = got.headers;
    arrived.sort();
    assert_eq!(arrived, loopback::handed_on(headers, body.len(), upstream.address));
}

#[test]
fn every_kind_of_request_is_answered_as_exptap_answers_it_and_delivered_where_it_belongs() {
    let folder = tempdir().unwrap();
    let [server, mobile, segment] = [(); 3].map(|()| Upstream::start(accepted));
    let to = |upstream: &Upstream| Some(format!("http://{}/base", upstream.address).parse().unwrap());
    let options = Options {
        forward: to(&server),
        forward_mobile: to(&mobile),
        forward_segment: to(&segment),
        ..loopback::loopback_options()
    };
    let running = start(in_folder(folder.path(), options));
    let chunked = running.ask(&post_chunked("/events/bulk/64b0c0ffee", "", &[b"[1", b"]"]));
    assert_eq!(chunked.status(), 202);
    let got = server.request();
    assert_eq!((got.first_line.as_str(), &got.body[..]), ("POST /base/events/bulk/64b0c0ffee HTTP/1.1", &b"[1]"[..]));
    assert_eq!((got.header("transfer-encoding"), got.header("content-length")), (Some("chunked"), None));
    let gif = running.ask(b"GET /a/64b0c0ffee.gif?d=W10= HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((gif.status(), gif.header("content-type")), (200, Some("image/gif")));
    assert_eq!(server.request().first_line, "GET /base/a/64b0c0ffee.gif?d=W10= HTTP/1.1");
    assert_eq!(running.ask(&post("/mobile/events/bulk", "", b"[]")).status(), 202);
    assert_eq!(mobile.request().first_line, "POST /base/mobile/events/bulk HTTP/1.1");
    let track = br#"{"userId":"u","event":"Order Completed","writeKey":"abcdefgh12345678"}"#;
    let taken = running.ask(&post("/v1/track", "Content-Type: application/json\r\n", track));
    assert_eq!((taken.status(), taken.text()), (200, r#"{"success":true}"#));
    assert_eq!(segment.request().body, track, "with the write key it came with");
    // What Segment refuses is refused at once, as without a spool.
    let refused = running.ask(&post("/v1/track", "Content-Type: application/json\r\n", b"no JSON"));
    assert_eq!(refused.status(), 400);
    wait_for(|| figures(&running).delivered == 4);
    assert!(server.has_no_more_requests() && mobile.has_no_more_requests() && segment.has_no_more_requests());
}

#[test]
fn what_came_while_the_upstream_was_down_is_delivered_in_order_with_its_payload_ids() {
    let folder = tempdir().unwrap();
    let (upstream, is_well) = recovering();
    let running = spooling(&folder, &upstream);
    let mut client = running.client();
    for number in 0..50 {
        client.send(&post("/bulk", &format!("X-LaunchDarkly-Payload-ID: p-{number}\r\n"), b"[]"));
        assert_eq!(client.answer().status(), 202);
    }
    wait_for(|| figures(&running).trouble.is_some());
    let waiting = figures(&running);
    assert_eq!((waiting.waiting_requests, waiting.delivered), (50, 0));
    assert_eq!(waiting.trouble.unwrap().why, format!("http://{} answered 503", upstream.address));
    is_well.store(true, Ordering::SeqCst);
    let mut got: Vec<String> = until_delivered(&upstream, &running, 50)
        .iter()
        .map(|request| request.header("x-launchdarkly-payload-id").unwrap().to_owned())
        .collect();
    got.dedup();
    assert_eq!(got, (0..50).map(|number| format!("p-{number}")).collect::<Vec<_>>());
    let after = figures(&running);
    assert_eq!((after.waiting_requests, after.waiting_bytes, after.trouble), (0, 0, None));
}

#[test]
fn of_one_instance_one_request_is_under_way_and_others_need_not_wait_for_it() {
    let folder = tempdir().unwrap();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |request| {
        if request.body == b"[\"a1\"]" {
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        accepted(request)
    });
    let running = spooling(&folder, &upstream);
    for (instance, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1"), ("b", "b2")] {
        let body = format!("[\"{body}\"]");
        let header = format!("X-LaunchDarkly-Instance-Id: {instance}\r\n");
        assert_eq!(running.ask(&post("/bulk", &header, body.as_bytes())).status(), 202);
    }
    // The second of the first one waits, and holds up nobody.
    wait_for(|| figures(&running).delivered == 3);
    release.send(()).unwrap();
    let got = until_delivered(&upstream, &running, 5);
    let bodies: Vec<&str> = got.iter().map(Answer::text).collect();
    let place = |wanted: &str| bodies.iter().position(|body| body.contains(wanted)).unwrap();
    assert!(place("a1") < place("a2") && place("b1") < place("b2"), "{bodies:?}");
    assert_eq!(bodies.len(), 5);
}

#[test]
fn a_request_that_gets_no_answer_does_not_block_the_others_and_is_put_aside() {
    let folder = tempdir().unwrap();
    let upstream =
        Upstream::start(|request| if request.text() == "[0]" { b"gone\r\n\r\n".to_vec() } else { accepted(request) });
    let running = spooling(&folder, &upstream);
    let ask = |instance: &str, body: &str| {
        let headers = format!("X-LaunchDarkly-Instance-Id: {instance}\r\n");
        assert_eq!(running.ask(&post("/bulk", &headers, body.as_bytes())).status(), 202);
    };
    ask("poisoned", "[0]");
    ask("poisoned", "[1]");
    let mut delivered = 0;
    while figures(&running).refused == 0 {
        ask("fine", "[2]");
        delivered += 1;
        wait_for(|| figures(&running).delivered >= delivered);
    }
    wait_for(|| figures(&running).waiting_requests == 0);
    let figures = figures(&running);
    assert_eq!((figures.delivered, figures.refused, figures.refused_not_kept), (delivered + 1, 1, 0));
    assert_eq!(figures.refusals[0].status, None);
}

#[test]
fn one_bad_request_does_not_block_the_others_and_whose_it_was_is_said() {
    let folder = tempdir().unwrap();
    let upstream = Upstream::start(|request| match request.text() {
        "[400]" => answer("400 Bad Request"),
        "[401]" => answer("401 Unauthorized"),
        _ => accepted(request),
    });
    let mut running = spooling(&folder, &upstream);
    let headers = "Authorization: sdk-11111111-2222-3333-4444-55555555aaaa\r\nUser-Agent: PythonClient/9.18.2\r\n\
                   X-LaunchDarkly-Instance-Id: 5bd0c0ff\r\n";
    for body in ["[1]", "[400]", "[401]", "[401]", "[2]"] {
        assert_eq!(running.ask(&post("/bulk", headers, body.as_bytes())).status(), 202);
        assert_eq!(running.envelope().answer, Some(Answered { status: 202, from: AnsweredBy::Local }));
    }
    wait_for(|| figures(&running).waiting_requests == 0);
    let figures = figures(&running);
    assert_eq!((figures.delivered, figures.refused, figures.refused_not_kept), (2, 3, 0));
    let refusals: Vec<(u16, u64)> = figures.refusals.iter().map(|it| (it.status.unwrap(), it.requests)).collect();
    assert_eq!(refusals, [(400, 1), (401, 2)]);
    let who = &figures.refusals[1].who;
    assert!(who.starts_with("PythonClient/9.18.2 (sdk-…aaaa#") && who.ends_with(", instance 5bd0c0ff)"), "{who}");
    let answers = running.status.figures().upstream.answers;
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), [(202, 2), (400, 1), (401, 2)]);
    let aside = std::fs::read(folder.path().join("spool/launchdarkly/refused.spool")).unwrap();
    assert!(String::from_utf8_lossy(&aside).contains("[401]"));
}

#[test]
fn a_full_spool_passes_on_directly_while_the_upstream_is_there_and_answers_503_while_it_is_not() {
    let folder = tempdir().unwrap();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |request| {
        if request.header("x-kept").is_some() {
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        b"HTTP/1.1 202 Accepted\r\nX-From: upstream\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let mut options = in_folder(folder.path(), upstream.options());
    options.spool.as_mut().unwrap().limit_bytes = 64 * 1024;
    let mut running = start(options.clone());
    let kept = running.ask(&post("/bulk", "X-Kept: 1\r\n", &[b'x'; 60_000]));
    assert_eq!((kept.status(), kept.header("x-from")), (202, None));
    running.envelope();
    let passed = running.ask(&post("/bulk", "", &[b'y'; 10_000]));
    assert_eq!((passed.status(), passed.header("x-from")), (202, Some("upstream")));
    assert_eq!(running.envelope().answer, Some(Answered { status: 202, from: AnsweredBy::Upstream }));
    assert_eq!(figures(&running).turned_away, 1);
    release.send(()).unwrap();
    wait_for(|| figures(&running).delivered == 1);
    drop(running);
    // The same with an upstream that is away.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    options.forward = Some(format!("http://{free}").parse().unwrap());
    let mut running = start(options);
    assert_eq!(running.ask(&post("/bulk", "", &[b'x'; 60_000])).status(), 202);
    running.envelope();
    wait_for(|| figures(&running).trouble.is_some());
    let turned_away = running.ask(&post("/bulk", "Origin: http://shop\r\n", &[b'y'; 10_000]));
    assert_eq!(turned_away.status(), 503);
    assert_eq!(turned_away.header("access-control-allow-origin"), Some("http://shop"));
    assert!(turned_away.text().contains("no room"), "{}", turned_away.text());
    assert_eq!(running.envelope().answer, Some(Answered { status: 503, from: AnsweredBy::Local }));
    assert_eq!(running.status.figures().upstream.unanswered, 0);
}

#[test]
fn a_body_too_large_to_keep_goes_through_the_disk_whole() {
    let folder = tempdir().unwrap();
    let (upstream, is_well) = recovering();
    let mut options = in_folder(folder.path(), upstream.options());
    options.limits = Limits { body_bytes: 100_000, ..limits() };
    options.spool.as_mut().unwrap().limit_bytes = 10_000_000;
    let mut running = start(options);
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let chunks: Vec<&[u8]> = body.chunks(70_000).collect();
    for request in [post("/bulk", "", &body), post_chunked("/bulk", "", &chunks)] {
        assert_eq!(running.ask(&request).status(), 202);
        let envelope = running.envelope();
        assert_eq!(envelope.loss, Some(BodyLoss::TooLarge { bytes: 3_000_000, limit: 100_000 }));
        assert_eq!(envelope.answer, Some(Answered { status: 202, from: AnsweredBy::Local }));
    }
    // A third has no room, and is answered without ever having been held.
    let third = running.ask(&post("/bulk", "", &vec![b'z'; 6_000_000]));
    assert!(matches!(third.status(), 503), "{}", third.status());
    is_well.store(true, Ordering::SeqCst);
    let mut got = until_delivered(&upstream, &running, 2);
    got.dedup();
    let framings: Vec<_> =
        got.iter().map(|it| (it.header("content-length"), it.header("transfer-encoding"), it.body == body)).collect();
    assert_eq!(framings, [(Some("3000000"), None, true), (None, Some("chunked"), true)]);
    let names = std::fs::read_dir(folder.path().join("spool/launchdarkly")).unwrap();
    assert!(!names.into_iter().any(|it| it.unwrap().file_name().to_string_lossy().ends_with(".body")));
}

#[test]
fn a_body_that_ends_in_the_middle_is_not_kept() {
    let folder = tempdir().unwrap();
    let upstream = Upstream::start(accepted);
    let mut options = in_folder(folder.path(), upstream.options());
    options.limits = Limits { body_bytes: 100_000, ..limits() };
    let mut running = start(options);
    for length in [10, 1_000_000] {
        let mut client = running.client();
        client.send(format!("POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n[1,").as_bytes());
        drop(client);
        assert_eq!(running.envelope().loss, Some(BodyLoss::Closed { received: 3, announced: Some(length) }));
    }
    assert_eq!(running.ask(&post("/bulk", "", b"[2]")).status(), 202);
    assert_eq!(upstream.request().body, b"[2]");
    wait_for(|| figures(&running).delivered == 1);
    assert!(upstream.has_no_more_requests());
    assert_eq!(figures(&running).disk_bytes, figures(&running).disk_bytes.min(200));
}

#[test]
fn what_stays_is_delivered_by_the_next_and_an_absent_upstream_holds_up_no_end() {
    let folder = tempdir().unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let away = Options { forward: Some(format!("http://{free}").parse().unwrap()), ..loopback::loopback_options() };
    let running = start(in_folder(folder.path(), away));
    for number in 0..5 {
        assert_eq!(running.ask(&post("/bulk", "", format!("[{number}]").as_bytes())).status(), 202);
    }
    let status = Arc::clone(&running.status);
    running.stop();
    assert_eq!(status.figures().spool.unwrap().waiting_requests, 5);
    drop(status);
    let upstream = Upstream::start(accepted);
    let running = spooling(&folder, &upstream);
    let notes = running.spool_notes.join("\n");
    assert!(notes.contains(&format!("5 go to http://{}", upstream.address)), "{notes}");
    let got: Vec<String> = (0..5).map(|_| upstream.request().text().to_owned()).collect();
    assert_eq!(got, ["[0]", "[1]", "[2]", "[3]", "[4]"]);
}

#[test]
fn an_end_waits_for_an_upstream_that_is_there() {
    let folder = tempdir().unwrap();
    let upstream = Upstream::start(accepted);
    let running = spooling(&folder, &upstream);
    for number in 0..20 {
        assert_eq!(running.ask(&post("/bulk", "", format!("[{number}]").as_bytes())).status(), 202);
    }
    let status = Arc::clone(&running.status);
    running.stop();
    let figures = status.figures().spool.unwrap();
    assert_eq!((figures.waiting_requests, figures.delivered), (0, 20));
}

#[test]
fn only_the_owner_can_read_what_holds_sdk_keys() {
    let folder = tempdir().unwrap();
    let (upstream, _) = recovering();
    let running = spooling(&folder, &upstream);
    running.ask(&post("/bulk", "Authorization: sdk-1\r\n", b"[]"));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let spool = folder.path().join("spool");
    assert_eq!(mode(&spool), 0o700);
    let lane = spool.join("launchdarkly");
    assert_eq!(mode(&lane), 0o700);
    let files: Vec<_> = std::fs::read_dir(&lane).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(files.iter().any(|path| path.extension().is_some_and(|it| it == "spool")), "{files:?}");
    for path in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_spool_needs_somewhere_to_deliver_to_for_everything_that_waits_in_it() {
    let folder = tempdir().unwrap();
    let error = bind_error(in_folder(folder.path(), loopback::loopback_options()));
    assert!(matches!(error, BindError::Spool(SpoolError::Nowhere)), "{error}");
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let to = || Some(format!("http://{free}").parse().unwrap());
    let options = Options { forward_segment: to(), ..loopback::loopback_options() };
    let running = start(in_folder(folder.path(), options));
    let track = br#"{"userId":"u","event":"Order Completed"}"#;
    assert_eq!(running.ask(&post("/v1/track", "", track)).status(), 200);
    let taken = bind_error(in_folder(folder.path(), Options { forward: to(), ..loopback::loopback_options() }));
    assert!(taken.to_string().contains("another exptap delivers from this folder"), "{taken}");
    running.stop();
    let error = bind_error(in_folder(folder.path(), Options { forward: to(), ..loopback::loopback_options() }));
    assert!(
        error.to_string().contains("requests for Segment wait in it (1 of them), and --forward-segment"),
        "{error}"
    );
}

fn bind_error(options: Options) -> BindError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(endpoint::bind(options)) {
        Ok(_) => panic!("it was bound"),
        Err(error) => error,
    }
}
