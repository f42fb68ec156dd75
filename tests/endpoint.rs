//! The endpoint over real sockets: what SDKs of every kind send, what browsers ask first, and what goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::endpoint::{self, BindError, Caps, Limits, ListenOn, Loss, Options, Received};
use exptap::envelope::{Answer as Answered, AnsweredBy, BodyLoss};
use loopback::{Client, gzip, limits, loopback_options, post, post_chunked, start, start_with};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const BODY: &[u8] = br#"[{"kind":"identify","creationDate":1795243534539,"context":{"kind":"user","key":"u-1"}}]"#;
const KEY: &str = "sdk-11111111-2222-3333-4444-55555555aaaa";

const EVENT_PATHS: [&str; 9] = [
    "/bulk",
    "/diagnostic",
    "/mobile",
    "/mobile/events",
    "/mobile/events/bulk",
    "/mobile/events/diagnostic",
    "/events/bulk/64b0c0ffee",
    "/events/diagnostic/64b0c0ffee",
    "/bulk/bulk",
];

#[test]
fn a_server_sdk_gets_an_empty_202_with_a_true_date_and_the_core_gets_everything_but_its_key() {
    let mut running = start(loopback_options());
    let headers = format!(
        "Authorization: {KEY}\r\nContent-Type: application/json\r\nUser-Agent: PythonClient/9.18.2\r\nCookie: a=b\r\n\
         X-LaunchDarkly-Event-Schema: 4\r\nx-launchDarkly-payload-id: 5bd0a0c4\r\n"
    );
    let before = now_ms();
    let answer = running.ask(&post("/bulk", &headers, BODY));
    assert_eq!(answer.first_line, "HTTP/1.1 202 Accepted");
    assert_eq!(answer.body, b"");
    let date = answer.header("date").unwrap();
    let date_ms = jiff::fmt::rfc2822::parse(&date.replace("GMT", "+0000")).unwrap().timestamp().as_millisecond();
    assert!((before - 1000..=now_ms()).contains(&date_ms), "{date}");

    let envelope = running.envelope();
    assert!((before..=now_ms()).contains(&envelope.arrival_ms));
    assert_eq!(envelope.request, 1);
    assert_eq!(envelope.method, "POST");
    assert_eq!(envelope.path, "/bulk");
    let kept = [
        ("host", "events.example"),
        ("content-type", "application/json"),
        ("user-agent", "PythonClient/9.18.2"),
        ("x-launchdarkly-event-schema", "4"),
        ("x-launchdarkly-payload-id", "5bd0a0c4"),
    ];
    let headers: Vec<(&str, &str)> = envelope.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(headers, kept);
    assert_eq!(envelope.credential.as_ref().unwrap().as_str().split('#').next(), Some("sdk-…aaaa"));
    assert_eq!(&envelope.body[..], BODY);
    assert_eq!(envelope.wire_bytes, BODY.len() as u64);
    assert_eq!(envelope.loss, None);
    assert_eq!(envelope.answer, Some(Answered { status: 202, from: AnsweredBy::Local }));
    assert!(!format!("{envelope:?}").contains("11111111"));
}

#[test]
fn every_event_path_under_any_prefix_and_with_any_method_is_answered_with_success() {
    let mut running = start(loopback_options());
    let mut client = running.client();
    let mut sent = 0;
    for path in EVENT_PATHS {
        for prefix in ["", "/base/path", "/", "/sdk"] {
            for method in ["POST", "GET", "PUT", "DELETE", "PATCH", "REPORT", "BREW"] {
                let target = format!("{prefix}{path}");
                client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]").as_bytes());
                let answer = client.answer();
                assert_eq!((answer.status(), answer.body.len()), (202, 0), "{method} {target}");
                sent += 1;
                let envelope = running.envelope();
                assert_eq!((envelope.method.as_str(), &envelope.path, envelope.request), (method, &target, sent));
            }
        }
    }
    let figures = running.status.figures();
    assert_eq!((figures.event_requests, figures.connections), (sent, 1));
    assert!(figures.last_hint.unwrap().text.contains("events URI"));
}

#[test]
fn events_in_the_address_of_an_image_are_answered_with_an_image() {
    let mut running = start(loopback_options());
    for path in ["/a/64b0c0ffee.gif", "/events/bulk/64b0c0ffee/a/64b0c0ffee.gif", "//base//a//64b0c0ffee.gif"] {
        let target = format!("{path}?d=W3sia2luZCI6ImN1c3RvbSJ9XQ==");
        let answer = running.ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!((answer.status(), answer.header("content-type")), (200, Some("image/gif")));
        assert!(answer.body.starts_with(b"GIF89a\x01\x00\x01\x00"));
        assert_eq!(answer.body.len(), 43);
        let envelope = running.envelope();
        assert_eq!((envelope.path, envelope.body.len(), envelope.wire_bytes), (target, 0, 0));
        assert_eq!(envelope.answer, Some(Answered { status: 200, from: AnsweredBy::Local }));
    }
}

#[test]
fn chunked_and_compressed_bodies_arrive_exactly_as_they_were_sent() {
    let mut running = start(loopback_options());
    let compressed = gzip(BODY);
    let (front, back) = compressed.split_at(20);
    let mut client = running.client();
    client.send(&post_chunked("/bulk", "Content-Encoding: gzip\r\n", &[front, back]));
    assert_eq!(client.answer().status(), 202);
    client.send(&post("/bulk", "Content-Encoding: gzip\r\n", &compressed));
    assert_eq!(client.answer().status(), 202);
    client.send(&post_chunked("/diagnostic", "", &[b"{}"]));
    assert_eq!(client.answer().status(), 202);
    for number in 1..=2 {
        let envelope = running.envelope();
        assert_eq!((envelope.request, &envelope.body[..]), (number, &compressed[..]));
        assert_eq!(envelope.header("content-encoding"), Some("gzip"));
        assert_eq!(envelope.wire_bytes, compressed.len() as u64);
    }
    assert_eq!(&running.envelope().body[..], b"{}");
}

#[test]
fn a_browser_is_granted_its_preflight_on_every_path_and_may_read_every_answer() {
    let mut running = start(loopback_options());
    let wanted = "content-type,x-launchdarkly-event-schema,x-launchdarkly-payload-id,x-launchdarkly-user-agent,\
                  x-launchdarkly-wrapper";
    for path in ["/events/bulk/64b0c0ffee", "/sdk/goals/64b0c0ffee", "/nowhere"] {
        let answer = running.ask(
            format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1:18410\r\n\
                 Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: {wanted}\r\n\
                 Access-Control-Request-Private-Network: true\r\n\r\n"
            )
            .as_bytes(),
        );
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://127.0.0.1:18410"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(wanted));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("false"));
        assert_eq!(answer.header("access-control-allow-private-network"), Some("true"));
        assert_eq!(answer.header("access-control-max-age"), Some("300"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("Date"));
    }
    let requests: [(&[u8], u16); 4] = [
        (b"POST /events/bulk/64b0c0ffee HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nContent-Length: 2\r\n\r\n[]", 202),
        (b"GET /sdk/goals/64b0c0ffee HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n", 200),
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n", 200),
    ];
    for (request, status) in requests {
        let answer = running.ask(request);
        assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (status, Some("null")));
        assert_eq!(answer.header("access-control-expose-headers"), Some("Date"));
        assert_eq!(answer.header("access-control-allow-private-network"), None);
    }
    let answer = running.ask(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (204, Some("*")));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("X-LaunchDarkly-Payload-ID"));
    assert_eq!(running.status.figures().preflights, 4);
    assert_eq!(running.envelope().path, "/events/bulk/64b0c0ffee");
    assert!(running.stop().is_empty(), "a preflight is no event");
}

#[test]
fn other_paths_are_told_what_this_is() {
    let running = start(loopback_options());
    let goals = running.ask(b"GET /sdk/goals/64b0c0ffee HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((goals.status(), goals.text()), (200, "[]"));
    let home = running.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(home.status(), 200);
    assert!(home.text().contains(&format!("http://{}", running.address())), "{}", home.text());
    for path in ["/sdk/latest-all", "/all", "/eval/64b0c0ffee", "/favicon.ico", "/bulky"] {
        let answer = running.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.text().contains("/events/bulk/{id}"), "{}", answer.text());
    }
    let figures = running.status.figures();
    assert_eq!((figures.event_requests, figures.other_requests, figures.hints), (0, 7, 5));
    assert!(running.stop().is_empty());
}

#[test]
fn a_connection_is_kept_for_further_requests_and_pipelined_ones_are_answered_in_order() {
    let mut running = start(loopback_options());
    let mut client = running.client();
    let mut both = post("/bulk", "", b"[1]");
    both.extend(post("/diagnostic", "", b"{}"));
    client.send(&both);
    assert_eq!((client.answer().status(), client.answer().status()), (202, 202));
    client.send(b"HEAD /bulk HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 202);
    client.send(&post("/bulk", "Connection: close\r\n", b"[2]"));
    assert_eq!(client.answer().status(), 202);
    assert_eq!(client.rest(), b"");
    let bodies: Vec<_> = (0..4).map(|_| running.envelope().body).collect();
    assert_eq!(bodies, [&b"[1]"[..], b"{}", b"", b"[2]"]);
    assert_eq!(running.status.figures().connections, 1);
}

#[test]
fn a_body_of_100_mb_is_answered_and_counted_and_not_kept() {
    const SIZE: usize = 100_000_000;
    let mut running = start(loopback_options());
    let piece = vec![b' '; 100_000];
    for head in [
        format!("POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"),
        "POST /bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ] {
        let chunked = head.contains("chunked");
        let mut client = running.client();
        client.send(head.as_bytes());
        for _ in 0..SIZE / piece.len() {
            if chunked {
                client.send(b"186a0\r\n");
            }
            client.send(&piece);
            if chunked {
                client.send(b"\r\n");
            }
        }
        if chunked {
            client.send(b"0\r\n\r\n");
        }
        assert_eq!(client.answer().status(), 202);
        let envelope = running.envelope();
        let loss = BodyLoss::TooLarge { bytes: SIZE as u64, limit: limits().body_bytes };
        assert_eq!((envelope.body.len(), envelope.wire_bytes, envelope.loss), (0, SIZE as u64, Some(loss)));
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kb < 60_000, "the whole test program, all tests together, peaked at {peak_kb} kB");
    }
}

#[test]
fn a_body_that_ends_in_the_middle_is_kept_as_far_as_it_came() {
    let mut running = start(loopback_options());
    let mut client = running.client();
    client.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n[{\"kind\":");
    drop(client);
    let envelope = running.envelope();
    assert_eq!(&envelope.body[..], b"[{\"kind\":");
    assert_eq!(envelope.loss, Some(BodyLoss::Closed { received: 9, announced: Some(4096) }));
    assert_eq!((envelope.wire_bytes, envelope.answer), (9, None));

    let mut client = running.client();
    client.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n");
    client.no_more_to_send();
    assert!(!String::from_utf8_lossy(&client.rest()).contains(" 4"), "only half a request came: nothing to refuse");
    let envelope = running.envelope();
    assert_eq!((&envelope.body[..], envelope.answer), (&b"[1,"[..], None));
    assert_eq!(envelope.loss, Some(BodyLoss::Closed { received: 3, announced: None }));
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 202);
}

#[test]
fn a_sender_that_falls_silent_in_the_middle_is_let_go_and_its_part_kept() {
    let limits = Limits { idle: Duration::from_millis(700), ..limits() };
    let mut running = start(Options { limits, ..loopback_options() });
    let mut client = running.client();
    client.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[1,");
    assert!(client.rest().starts_with(b"HTTP/1.1 503 "));
    let envelope = running.envelope();
    assert_eq!(envelope.loss, Some(BodyLoss::Closed { received: 3, announced: Some(10) }));
}

#[test]
fn ambiguous_framing_is_refused_and_nothing_behind_it_is_read() {
    let running = start(loopback_options());
    let smuggled = "POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]";
    let heads = [
        "POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n[1,2]",
        "POST /bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n[]",
    ];
    for head in heads {
        let mut client = running.client();
        client.send(format!("{head}{smuggled}").as_bytes());
        let all = String::from_utf8(client.rest()).unwrap();
        assert!(all.starts_with("HTTP/1.1 400 "), "{head}\n{all}");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{head}\n{all}");
    }
    assert_eq!(running.status.figures().refused, 2);
    assert!(running.stop().is_empty());
}

#[test]
fn malformed_chunks_are_refused_with_the_one_status_that_silences_no_sdk() {
    let mut running = start(loopback_options());
    let mut client = running.client();
    client.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\nxyz\r\n");
    assert!(client.rest().starts_with(b"HTTP/1.1 400 "));
    let envelope = running.envelope();
    assert_eq!(envelope.loss, Some(BodyLoss::Closed { received: 2, announced: None }));
}

#[test]
fn an_address_in_the_request_line_is_read_for_its_path_only() {
    let mut running = start(loopback_options());
    let answer =
        running.ask(b"POST http://10.255.255.1/bulk HTTP/1.1\r\nHost: 10.255.255.1\r\nContent-Length: 2\r\n\r\n[]");
    assert_eq!(answer.status(), 202);
    assert_eq!(running.envelope().path, "/bulk");
    let answer = running.ask(b"CONNECT 10.255.255.1:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status(), 404);
}

#[test]
fn a_full_intake_changes_no_answer_and_the_loss_stands_where_it_happened() {
    let mut running = start_with(loopback_options(), Caps { requests: 2, bytes: 4_000 });
    let mut client = running.client();
    let large = vec![b' '; 5_000];
    for body in [b"[1]", b"[2]", &b"[3]"[..], &large] {
        client.send(&post("/bulk", "", body));
        assert_eq!(client.answer().status(), 202);
    }
    assert_eq!(running.envelope().request, 1);
    client.send(&post("/bulk", "", b"[5]"));
    assert_eq!(client.answer().status(), 202);
    assert_eq!(running.envelope().request, 2);
    let Received::Lost(loss) = running.received() else { panic!("the loss was not reported") };
    let Loss { requests, bytes, first_request, last_request, first_ms, last_ms } = loss;
    assert_eq!((requests, bytes, first_request, last_request), (2, 5_003, 3, 4));
    assert!(first_ms <= last_ms && last_ms <= now_ms());
    let after = running.envelope();
    assert_eq!((after.request, &after.body[..]), (5, &b"[5]"[..]));
}

#[test]
fn a_slow_head_is_cut_off_while_a_resting_connection_stays() {
    let limits = Limits { header_read: Duration::from_millis(200), ..limits() };
    let running = start(Options { limits, ..loopback_options() });
    let mut resting = running.client();
    resting.send(&post("/bulk", "", b"[]"));
    assert_eq!(resting.answer().status(), 202);
    let mut slow = running.client();
    slow.send(b"POST /bulk HTTP/1.1\r\nHost:");
    assert_eq!(slow.rest(), b"");
    assert_eq!(running.status.figures().connections_timed_out, 1);
    resting.send(&post("/bulk", "", b"[]"));
    assert_eq!(resting.answer().status(), 202);
}

#[test]
fn a_connection_that_rests_too_long_is_closed() {
    let limits = Limits { idle: Duration::from_millis(700), ..limits() };
    let running = start(Options { limits, ..loopback_options() });
    let mut silent = running.client();
    assert_eq!(silent.rest(), b"");
    let mut used = running.client();
    used.send(&post("/bulk", "", b"[]"));
    assert_eq!(used.answer().status(), 202);
    assert_eq!(used.rest(), b"");
    assert_eq!(running.status.figures().connections_timed_out, 2);
}

#[test]
fn where_places_are_short_a_silent_connection_goes_first_and_then_the_one_that_rested_longest() {
    let limits = Limits { connections: 3, ..limits() };
    let running = start(Options { limits, ..loopback_options() });
    let answered = |client: &mut Client| {
        client.send(&post("/bulk", "", b"[]"));
        client.answer().status()
    };
    let (mut first, mut second) = (running.client(), running.client());
    assert_eq!(answered(&mut first), 202);
    assert_eq!(answered(&mut second), 202);
    let mut silent = running.client();
    let mut third = running.client();
    assert_eq!(answered(&mut third), 202);
    assert_eq!(silent.rest(), b"", "it had never asked for anything");
    // The first has just been used again, so the second has rested the longest.
    assert_eq!(answered(&mut first), 202);
    let mut fourth = running.client();
    assert_eq!(answered(&mut fourth), 202);
    assert_eq!(second.rest(), b"");
    for client in [&mut first, &mut third, &mut fourth] {
        assert_eq!(answered(client), 202);
    }
    let figures = running.status.figures();
    assert_eq!((figures.connections_displaced, figures.connections_timed_out), (2, 0));
}

#[test]
fn a_connection_in_the_middle_of_a_request_keeps_its_place_and_another_waits() {
    let limits = Limits { connections: 1, ..limits() };
    let mut running = start(Options { limits, ..loopback_options() });
    let mut first = running.client();
    first.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n[");
    let mut second = running.client();
    second.send(&post("/bulk", "", b"[2]"));
    first.send(b"1]");
    assert_eq!(first.answer().status(), 202);
    assert_eq!(second.answer().status(), 202);
    assert_eq!(first.rest(), b"");
    let bodies: Vec<_> = (0..2).map(|_| running.envelope().body).collect();
    assert_eq!(bodies, [&b"[1]"[..], b"[2]"]);
}

#[test]
fn heads_that_dawdle_keep_nobody_out() {
    let limits = Limits { connections: 2, ..limits() };
    let running = start(Options { limits, ..loopback_options() });
    let mut slow = [running.client(), running.client()];
    slow.iter_mut().for_each(|client| client.send(b"POST /bulk HTTP/1.1\r\nHost:"));
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 202);
    assert_eq!(running.status.figures().connections_displaced, 1);
}

#[test]
fn five_thousand_connections_that_say_nothing_keep_no_sdk_out() {
    let crowd = 5_000;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    assert!(files.maximum.is_none_or(|most| most > crowd + 1_000), "this needs {crowd} open files: ulimit -Hn");
    let mut running = start(loopback_options());
    let mut sdk = running.client();
    sdk.send(&post("/bulk", "", b"[1]"));
    assert_eq!(sdk.answer().status(), 202);
    let crowd: Vec<Client> = (0..crowd).map(|_| running.client()).collect();
    assert_eq!(running.ask(&post("/bulk", "", b"[2]")).status(), 202);
    sdk.send(&post("/bulk", "", b"[3]"));
    assert_eq!(sdk.answer().status(), 202, "one that is in use keeps its connection");
    let figures = running.status.figures();
    assert!(figures.connections_open <= limits().connections as u64, "{figures:?}");
    assert!(figures.connections_displaced >= 5_002 - limits().connections as u64, "{figures:?}");
    let bodies: Vec<_> = (0..3).map(|_| running.envelope().body).collect();
    assert_eq!(bodies, [&b"[1]"[..], b"[2]", b"[3]"]);
    drop(crowd);
}

#[test]
fn both_loopback_addresses_answer_at_the_same_port() {
    let mut running = start(Options { listen: ListenOn::Loopback(0), ..Options::default() });
    match &running.note {
        None => assert_eq!(running.addresses.len(), 2),
        Some(note) => assert!(note.contains("no IPv") && running.addresses.len() == 1, "{note}"),
    }
    for address in running.addresses.clone() {
        assert!(address.ip().is_loopback() && address.port() == running.address().port());
        let mut client = Client::connect(address);
        client.send(&post("/bulk", "", b"[]"));
        assert_eq!(client.answer().status(), 202);
        assert_eq!(&running.envelope().body[..], b"[]");
    }
}

#[test]
fn a_taken_port_is_named_with_its_holder_and_a_free_one_is_offered() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap();
    for listen in [ListenOn::Address(taken), ListenOn::Loopback(taken.port())] {
        let error = bind_error(Options { listen, ..Options::default() });
        let text = error.to_string();
        let BindError::Taken { address, holder, free } = error else { panic!("{error:?}") };
        assert_eq!(address, taken);
        assert!(text.starts_with(&format!("{taken} is taken")), "{text}");
        if cfg!(target_os = "linux") {
            let holder = holder.unwrap();
            assert_eq!(holder.process, std::process::id());
            assert!(text.contains(&format!("by {} (process {})", holder.command, holder.process)), "{text}");
        }
        let free = free.unwrap();
        assert!(text.contains(&format!("--listen {free}, which is free")), "{text}");
        assert_ne!(free, listen);
        drop(start(Options { listen: free, ..Options::default() }));
    }
}

#[test]
fn anything_but_loopback_has_to_be_meant() {
    let everywhere: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    let options = Options { listen: ListenOn::Address(everywhere), ..Options::default() };
    let error = bind_error(options.clone());
    assert!(matches!(error, BindError::NotLoopback { address } if address == everywhere));
    assert!(error.to_string().contains("--public"), "{error}");
    let running = start(Options { public: true, ..options });
    assert!(running.address().ip().is_unspecified());
    let elsewhere = ListenOn::Address(([192, 0, 2, 1], 0).into());
    let error = bind_error(Options { listen: elsewhere, public: true, ..Options::default() });
    assert!(matches!(error, BindError::Refused { .. }), "{error}");
}

#[test]
fn stopping_closes_resting_connections_and_ends_the_intake() {
    let running = start(loopback_options());
    let address = running.address();
    let mut resting = running.client();
    resting.send(&post("/bulk", "", b"[]"));
    assert_eq!(resting.answer().status(), 202);
    let mut halfway = running.client();
    halfway.send(b"POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(halfway.head().unwrap().status(), 100);
    let waiting = std::thread::spawn(move || {
        assert_eq!(resting.rest(), b"");
        halfway.send(b"[1]");
        halfway.answer().status()
    });
    let left = running.stop();
    assert_eq!(waiting.join().unwrap(), 202, "what is under way is finished");
    assert_eq!(left.len(), 2);
    assert!(std::net::TcpStream::connect(address).is_err());
}

fn bind_error(options: Options) -> BindError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(endpoint::bind(options)) {
        Ok(_) => panic!("it was bound"),
        Err(error) => error,
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
