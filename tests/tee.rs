//! The tee against a local upstream: what goes in comes out, and what the upstream says goes back, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exptap::endpoint::{self, BindError, Limits, ListenOn, Options};
use exptap::envelope::{Answer as Answered, AnsweredBy, BodyLoss};
use loopback::upstream::Upstream;
use loopback::{Answer, PATIENCE, gzip, limits, loopback_options, post, post_chunked, start};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

fn accepted(_: &Answer) -> Vec<u8> {
    b"HTTP/1.1 202 Accepted\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Length: 0\r\n\r\n".to_vec()
}

#[test]
fn method_path_query_headers_and_bytes_reach_the_upstream_unchanged() {
    let upstream = Upstream::start(accepted);
    let mut running = start(upstream.options());
    let body = gzip(b"[{\"kind\":\"identify\"}]");
    let headers = "Authorization: sdk-11111111-2222-3333-4444-55555555aaaa\r\nContent-Type: application/json\r\n\
                   Content-Encoding: gzip\r\nX-LaunchDarkly-Event-Schema: 4\r\nX-LaunchDarkly-Payload-ID: 5bd0\r\n\
                   Cookie: a=b\r\nX-Twice: one\r\nX-Twice: two\r\n";
    let targets = [
        "/bulk",
        "//bulk//",
        "/base/../bulk",
        "/bulk/bulk?a=%7e&b={}'|&&c",
        "/mobile/events/bulk",
        "/events/bulk/64b0c0ffee?",
        "/a/64b0c0ffee.gif?d=W10=",
    ];
    let mut client = running.client();
    for target in targets {
        client.send(&post(target, headers, &body));
        assert_eq!(client.answer().status(), 202);
        let got = upstream.request();
        assert_eq!(got.first_line, format!("POST {target} HTTP/1.1"));
        assert_eq!(got.body, body);
        let mut arrived = got.headers;
        arrived.sort();
        assert_eq!(arrived, loopback::handed_on(headers, body.len(), upstream.address));
        let envelope = running.envelope();
        assert_eq!(envelope.answer, Some(Answered { status: 202, from: AnsweredBy::Upstream }));
        assert_eq!(&envelope.body[..], body);
    }
}

#[test]
fn framing_is_kept_and_headers_of_one_connection_are_not_passed_on() {
    let upstream = Upstream::start(accepted);
    let running = start(upstream.options());
    running.ask(&post_chunked("/bulk", "TE: trailers\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n", &[b"[1", b"]"]));
    let got = upstream.request();
    assert_eq!(got.body, b"[1]");
    assert_eq!(
        got.headers,
        [("host".to_owned(), upstream.address.to_string()), ("transfer-encoding".into(), "chunked".into())]
    );
    running.ask(b"GET /a/64b0c0ffee.gif?d=W10= HTTP/1.1\r\nHost: x\r\n\r\n");
    let got = upstream.request();
    assert_eq!(got.first_line, "GET /a/64b0c0ffee.gif?d=W10= HTTP/1.1");
    assert_eq!(got.headers, [("host".to_owned(), upstream.address.to_string())]);
    running.ask(&post("/bulk", "", b""));
    assert_eq!(upstream.request().header("content-length"), Some("0"));
}

#[test]
fn whatever_the_upstream_answers_goes_back_as_it_is() {
    let answers = [
        "HTTP/1.1 202 Accepted\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: image/gif\r\nContent-Length: 3\r\n\r\nGIF",
        "HTTP/1.1 401 Unauthorized\r\nDate: x\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"message\":\"no\"}\n",
        "HTTP/1.1 413 Payload Too Large\r\nDate: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nDate: x\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nDate: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 4\r\n\r\ndown",
        "HTTP/1.1 302 Found\r\nDate: x\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nDate: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    ];
    let upstream = Upstream::start(move |request| {
        let number: usize = request.header("x-number").unwrap().parse().unwrap();
        answers[number].as_bytes().to_vec()
    });
    let mut running = start(upstream.options());
    let mut client = running.client();
    for (number, answer) in answers.iter().enumerate() {
        client.send(&post("/bulk", &format!("Origin: http://shop\r\nX-Number: {number}\r\n"), b"[]"));
        let got = client.answer();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(Some(got.first_line.as_str()), lines.next());
        let expected: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        assert_eq!(got.headers, expected);
        let body = if head.contains("chunked") { "abcde" } else { body };
        assert_eq!(got.text(), body);
        let answered = Answered { status: got.status(), from: AnsweredBy::Upstream };
        let envelope = running.envelope();
        assert_eq!(envelope.answer, Some(answered));
        // Of a refusal it is kept what it says.
        let said = [None, None, Some("{\"message\":\"no\"}"), None, None, Some("down"), None, None];
        assert_eq!(envelope.answer_text.as_deref(), said[number]);
        upstream.request();
    }
    assert!(upstream.has_no_more_requests(), "no redirect is followed and nothing is sent twice");
    let figures = running.status.figures();
    let counts: Vec<(u16, u64)> = figures.upstream.answers.clone().into_iter().collect();
    assert_eq!(counts, [(200, 1), (202, 2), (302, 1), (401, 1), (413, 1), (429, 1), (503, 1)]);
    let upstream = &figures.upstream;
    assert_eq!((upstream.delivered(), upstream.answered(), upstream.unanswered), (3, 8, 0));
}

#[test]
fn of_what_a_refusal_says_the_beginning_is_kept_without_the_credential_and_all_of_it_goes_back() {
    let key = "sdk-11111111-2222-3333-4444-55555555aaaa";
    let words = format!("no\u{1b}[2J\n{key} is {}", "long ".repeat(200));
    let text = words.clone();
    let upstream = Upstream::start(move |_| {
        let (one, other) = text.split_at(5);
        format!("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n",
            one.len(), other.len()).into_bytes()
    });
    let mut running = start(upstream.options());
    let answer = running.ask(&post("/bulk", &format!("Authorization: {key}\r\n"), b"[]"));
    assert_eq!((answer.status(), answer.text()), (401, words.as_str()));
    let said = running.envelope().answer_text.unwrap();
    assert!(said.starts_with("no\u{1b}[2J sdk-…aaaa#") && said.ends_with(" long lon"), "{said}");
    assert!(said.len() == 200 && !said.contains("11111111"), "{said}");
}

/// An upstream of LaunchDarkly's and Segment's that refuses everything with what a test makes of the request.
fn refusing(words: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> (Upstream, Options) {
    let upstream = Upstream::start(move |request| {
        let words = words(request);
        let mut answer = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n", words.len()).into_bytes();
        answer.extend_from_slice(&words);
        answer
    });
    let options = upstream.options();
    let options = Options { forward_segment: options.forward.clone(), ..options };
    (upstream, options)
}

#[test]
fn an_upstream_that_repeats_a_request_gives_away_no_key_of_it_wherever_it_stood() {
    const KEY: &str = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY";
    /// No digits, so that nothing but the request tells that it is a key.
    const WORDS: &str = "correct-horse-battery";
    let basic = |key: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{key}:")));
    let (_upstream, options) = refusing(|request| {
        let headers: Vec<&str> = request.headers.iter().map(|(_, value)| value.as_str()).collect();
        let body = if request.body.starts_with(&[0x1f, 0x8b]) { b"packed".to_vec() } else { request.body.clone() };
        let head = format!("unknown: {} {} ", request.first_line, headers.join(" "));
        [head.as_bytes(), &body, format!(" {WORDS} {KEY} {}", &KEY[..12]).as_bytes()].concat()
    });
    let mut running = start(options);
    for key in [KEY, WORDS] {
        let event = format!("{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"writeKey\":\"{key}\"}}");
        let other = format!("{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"write_key\":\"{key}\"}}");
        for request in [
            post("/v1/track", "", event.as_bytes()),
            post("/v1/track", "", other.as_bytes()),
            post("/v1/track", "Content-Encoding: gzip\r\n", &gzip(event.as_bytes())),
            post("/v1/track", &basic(key), b"{}"),
            post(&format!("/v1/track?writeKey={key}"), "", b"{}"),
            post(&format!("/bulk?access_token={key}"), "", b"[]"),
            post("/bulk", &format!("Authorization: {key}\r\n"), b"[]"),
            post("/bulk", &format!("Authorization: Bearer {key}\r\n"), b"[]"),
            post("/bulk", &format!("X-Api-Key: {key}\r\n"), b"[]"),
            post("/bulk", &format!("Cookie: a=b; session={key}\r\n"), b"[]"),
        ] {
            assert_eq!(running.ask(&request).status(), 401);
            let said = running.envelope().answer_text.unwrap_or_default();
            let basic = STANDARD.encode(format!("{key}:"));
            for secret in [&key[..8], &key[key.len() - 8..], &basic[..8]] {
                let request = String::from_utf8_lossy(&request);
                assert!(!said.contains(secret), "{secret} in {said}\nof {request}");
            }
        }
    }
}

#[test]
fn a_key_that_stands_where_the_text_ends_is_masked_before_it_is_cut() {
    let key = "sdk-11111111-2222-3333-4444-55555555aaaa";
    for before in (150..210).chain(1180..1230) {
        let (_upstream, options) = refusing(move |_| format!("{}{key} is not known", ".".repeat(before)).into_bytes());
        let mut running = start(options);
        running.ask(&post("/bulk", &format!("Authorization: {key}\r\n"), b"[]"));
        let said = running.envelope().answer_text.unwrap();
        assert!(!said.contains('1') && said.len() <= 200, "{before}: {said}");
        assert!(said.trim_start_matches('.').is_empty() || said.contains(".sdk") || said.contains(".s"), "{said}");
    }
}

#[test]
fn what_a_request_that_is_not_kept_is_refused_with_is_not_repeated_but_for_what_is_concluded_from() {
    let (_upstream, options) = refusing(|request| {
        let off =
            if request.first_line.contains("off") { "Event proxy is not enabled for this environment" } else { "" };
        format!("{{\"message\":\"{off} correct-horse-battery\"}}").into_bytes()
    });
    let mut running = start(Options { limits: Limits { body_bytes: 20, ..limits() }, ..options });
    let body = b"{\"writeKey\":\"correct-horse-battery\"}";
    for (path, said) in [("/bulk", None), ("/bulk?off", Some("Event proxy is not enabled for this environment"))] {
        running.ask(&post(path, "", body));
        assert_eq!(running.envelope().answer_text.as_deref(), said);
    }
}

#[test]
fn a_refusal_that_never_ends_does_not_keep_back_what_was_received() {
    let upstream = Upstream::start(|_| b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\ndown".to_vec());
    let mut running = start(upstream.options());
    let mut client = running.client();
    client.send(&post("/bulk", "", b"[]"));
    let envelope = running.envelope();
    assert_eq!(envelope.answer.map(|answer| answer.status), Some(503));
    assert_eq!(envelope.answer_text.as_deref(), Some("down"));
}

#[test]
fn an_upstream_that_cannot_be_reached_is_answered_503_with_the_reason() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let forward = Some(format!("http://{free}/base").parse().unwrap());
    let mut running = start(Options { forward, ..loopback_options() });
    let answer = running.ask(&post("/bulk", "Origin: http://shop\r\n", b"[]"));
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://shop"));
    assert!(answer.text().contains(&format!("http://{free}/base could not be reached")), "{}", answer.text());
    assert!(answer.text().to_lowercase().contains("refused"), "{}", answer.text());
    let envelope = running.envelope();
    assert_eq!((&envelope.body[..], envelope.loss), (&b"[]"[..], None));
    assert_eq!(envelope.answer, Some(Answered { status: 503, from: AnsweredBy::Local }));
    let figures = running.status.figures();
    assert_eq!((figures.upstream.unanswered, figures.upstream.answered()), (1, 0));
    assert!(figures.upstream.last_failure.unwrap().text.contains(&free.to_string()));
}

#[test]
fn an_upstream_nobody_vouches_for_is_not_sent_anything() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let stranger = std::thread::spawn(move || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into())
            .unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, listener.accept().unwrap().0);
        let mut secrets = Vec::new();
        let _ = stream.read_to_end(&mut secrets);
        secrets
    });
    let forward = Some(format!("https://localhost:{port}").parse().unwrap());
    let running = start(Options { forward, ..loopback_options() });
    let answer = running.ask(&post("/bulk", "Authorization: sdk-1234\r\n", b"[]"));
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("certificate"), "{}", answer.text());
    assert_eq!(stranger.join().unwrap(), b"");
}

#[test]
fn an_https_upstream_that_speaks_plain_http_is_answered_503() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let forward = Some(format!("https://127.0.0.1:{port}").parse().unwrap());
    let running = start(Options { forward, ..loopback_options() });
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 503);
}

#[test]
fn an_upstream_that_never_finishes_its_answer_is_answered_503() {
    let upstream = Upstream::start(|_| b"HTTP/1.1 ".to_vec());
    let limits = Limits { upstream: Duration::from_millis(50), ..limits() };
    let running = start(Options { limits, ..upstream.options() });
    let answer = running.ask(&post("/bulk", "", b"[]"));
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("no answer within"), "{}", answer.text());
}

#[test]
fn a_slow_upstream_holds_up_only_the_request_it_is_slow_for() {
    let (release, released) = channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |request| {
        if request.body == b"[1]" {
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        accepted(request)
    });
    let mut running = start(upstream.options());
    let mut slow = running.client();
    slow.send(&post("/bulk", "", b"[1]"));
    assert_eq!(running.ask(&post("/bulk", "", b"[2]")).status(), 202);
    assert_eq!(&running.envelope().body[..], b"[2]");
    release.send(()).unwrap();
    assert_eq!(slow.answer().status(), 202);
    assert_eq!(&running.envelope().body[..], b"[1]");
}

#[test]
fn a_sender_that_does_not_wait_has_its_events_delivered_all_the_same() {
    let (release, released) = channel::<()>();
    let released = std::sync::Mutex::new(released);
    let (arrived, arrival) = channel::<()>();
    let upstream = Upstream::start(move |request| {
        arrived.send(()).unwrap();
        released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        accepted(request)
    });
    let mut running = start(upstream.options());
    let mut impatient = running.client();
    impatient.send(&post("/bulk", "", b"[1]"));
    arrival.recv_timeout(PATIENCE).unwrap();
    drop(impatient);
    release.send(()).unwrap();
    let envelope = running.envelope();
    assert_eq!(envelope.answer, Some(Answered { status: 202, from: AnsweredBy::Upstream }));
    assert_eq!(upstream.request().body, b"[1]");
}

#[test]
fn a_body_that_ends_in_the_middle_is_not_forwarded() {
    let upstream = Upstream::start(accepted);
    let mut running = start(upstream.options());
    let mut client = running.client();
    client.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[1,");
    drop(client);
    assert_eq!(running.envelope().loss, Some(BodyLoss::Closed { received: 3, announced: Some(10) }));
    assert_eq!(running.ask(&post("/bulk", "", b"[2]")).status(), 202);
    assert_eq!(upstream.request().body, b"[2]");
    assert!(upstream.has_no_more_requests());
}

#[test]
fn a_body_too_large_to_keep_streams_through_whole() {
    let upstream = Upstream::start(accepted);
    let limits = Limits { body_bytes: 100_000, ..limits() };
    let mut running = start(Options { limits, ..upstream.options() });
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let chunks: Vec<&[u8]> = body.chunks(70_000).collect();
    let framings = [
        (post("/bulk", "", &body), Some("3000000"), None),
        (post_chunked("/bulk", "", &chunks), None, Some("chunked")),
    ];
    for (request, length, encoding) in framings {
        assert_eq!(running.ask(&request).status(), 202);
        let got = upstream.request();
        assert!(got.body == body);
        assert_eq!((got.header("content-length"), got.header("transfer-encoding")), (length, encoding));
        let envelope = running.envelope();
        let loss = BodyLoss::TooLarge { bytes: 3_000_000, limit: 100_000 };
        assert_eq!((envelope.body.len(), envelope.wire_bytes, envelope.loss), (0, 3_000_000, Some(loss)));
        assert_eq!(envelope.answer, Some(Answered { status: 202, from: AnsweredBy::Upstream }));
    }
}

#[test]
fn without_room_for_a_copy_the_body_streams_through_and_the_missing_copy_is_counted() {
    let upstream = Upstream::start(accepted);
    let caps = endpoint::Caps { requests: 10, bytes: 50_000 };
    let mut running = loopback::start_with(upstream.options(), caps);
    let body = vec![b'x'; 80_000];
    assert_eq!(running.ask(&post("/bulk", "", &body)).status(), 202);
    assert!(upstream.request().body == body);
    let endpoint::Received::Lost(loss) = running.received() else { panic!("the loss was not reported") };
    assert_eq!((loss.requests, loss.bytes, loss.first_request), (1, 80_000, 1));
    assert_eq!(running.ask(&post("/bulk", "", b"[2]")).status(), 202);
    assert_eq!(running.envelope().request, 2);
}

#[test]
fn no_request_can_name_another_upstream() {
    let upstream = Upstream::start(accepted);
    let elsewhere = Upstream::start(accepted);
    let running = start(upstream.options());
    let there = elsewhere.address;
    let answer = running.ask(
        format!("POST http://{there}/bulk?a=1 HTTP/1.1\r\nHost: {there}\r\nContent-Length: 2\r\n\r\n[]").as_bytes(),
    );
    assert_eq!(answer.status(), 202);
    let got = upstream.request();
    assert_eq!(got.first_line, "POST /bulk?a=1 HTTP/1.1");
    assert_eq!(got.header("host"), Some(upstream.address.to_string().as_str()));
    for target in [format!("//{there}/bulk"), format!("/bulk@{there}/bulk"), format!("/http://{there}/bulk")] {
        assert_eq!(running.ask(&post(&target, "", b"[]")).status(), 202);
        assert_eq!(upstream.request().first_line, format!("POST {target} HTTP/1.1"));
    }
    let unknown = running.ask(format!("GET http://{there}/secrets HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert_eq!(unknown.status(), 404);
    assert!(elsewhere.has_no_more_requests() && upstream.has_no_more_requests());
}

#[test]
fn a_base_path_is_put_in_front_and_mobile_events_may_go_elsewhere() {
    let server = Upstream::start(accepted);
    let mobile = Upstream::start(accepted);
    let forward = Some(format!("http://{}/base/", server.address).parse().unwrap());
    let forward_mobile = Some(format!("http://{}", mobile.address).parse().unwrap());
    let running = start(Options { forward, forward_mobile, ..loopback_options() });
    running.ask(&post("/bulk?x=1", "", b"[]"));
    assert_eq!(server.request().first_line, "POST /base/bulk?x=1 HTTP/1.1");
    running.ask(&post("/mobile/events/bulk", "", b"[]"));
    assert_eq!(mobile.request().first_line, "POST /mobile/events/bulk HTTP/1.1");
    let preflight = running.ask(b"OPTIONS /events/bulk/64b0c0ffee HTTP/1.1\r\nHost: x\r\nOrigin: http://shop\r\n\r\n");
    assert_eq!((preflight.status(), preflight.header("access-control-allow-origin")), (204, Some("http://shop")));
    assert!(server.has_no_more_requests() && mobile.has_no_more_requests());
}

#[test]
fn mobile_events_alone_may_be_forwarded_and_the_rest_gets_the_local_answer() {
    let mobile = Upstream::start(|_| b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n".to_vec());
    let forward_mobile = Some(format!("http://{}", mobile.address).parse().unwrap());
    let running = start(Options { forward_mobile, ..loopback_options() });
    assert_eq!(running.ask(&post("/mobile", "", b"[]")).status(), 429);
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 202);
}

#[test]
fn forwarding_to_oneself_is_refused_at_the_start() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let listen = ListenOn::Address((Ipv4Addr::LOCALHOST, port).into());
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let forward = Some(format!("http://{host}:{port}/x").parse().unwrap());
        let error = bind_error(Options { listen, forward, ..Options::default() });
        assert!(matches!(error, BindError::ForwardsToItself { .. }), "{host}: {error}");
        let forward_mobile = Some(format!("http://{host}:{port}").parse().unwrap());
        let error = bind_error(Options { listen, forward_mobile, ..Options::default() });
        assert!(matches!(error, BindError::ForwardsToItself { .. }), "{host}: {error}");
        let forward_segment = Some(format!("http://{host}:{port}").parse().unwrap());
        let error = bind_error(Options { listen, forward_segment, ..Options::default() });
        assert!(
            error.to_string().starts_with("--forward-segment http://") && error.to_string().contains("Segment takes")
        );
    }
    let everywhere = ListenOn::Address((Ipv4Addr::UNSPECIFIED, port).into());
    let forward = Some(format!("http://127.0.0.1:{port}").parse().unwrap());
    let error = bind_error(Options { listen: everywhere, public: true, forward, ..Options::default() });
    assert!(matches!(error, BindError::ForwardsToItself { .. }), "{error}");
}

fn bind_error(options: Options) -> BindError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(endpoint::bind(options)) {
        Ok(_) => panic!("it was bound"),
        Err(error) => error,
    }
}
