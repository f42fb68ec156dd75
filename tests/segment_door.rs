//! What Segment's libraries and webhooks send, over real sockets: how it is answered, that no write key of theirs gets
//! past the endpoint in any form, what a signature is worth, and where it is handed on to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exptap::endpoint::{Limits, Options};
use exptap::envelope::{Answer as Answered, AnsweredBy, BodyLoss, Credential, Envelope, Signature};
use exptap::event::body;
use exptap::recording;
use exptap::segment::door::Door;
use exptap::segment::limits::{BATCH_BYTES, BATCH_EVENTS, EVENT_BYTES};
use exptap::segment::webhook::{self, Secret};
use loopback::upstream::Upstream;
use loopback::{Answer, gzip, limits, loopback_options, post, post_chunked, start};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;

const KEY: &str = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY";
const CALLS: [&str; 15] =
    ["track", "identify", "page", "screen", "group", "alias", "batch", "import", "t", "i", "p", "s", "g", "a", "b"];
const LOCAL: AnsweredBy = AnsweredBy::Local;

fn masked() -> Credential {
    Credential::mask(KEY)
}

fn basic() -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{KEY}:")))
}

fn track() -> String {
    format!(r#"{{"type":"track","event":"Order Completed","userId":"u-1","n":1.50,"writeKey":"{KEY}"}}"#)
}

/// The requests of a capture: path, headers as they were sent, body.
fn captured(name: &str) -> Vec<(String, String, String)> {
    let path = format!("{}/tests/data/segment/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let request = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let headers = row["headers"].as_array().unwrap().iter().map(|pair| {
            let [name, value] = [0, 1].map(|at| pair[at].as_str().unwrap());
            (name.to_ascii_lowercase(), format!("{name}: {value}\r\n"))
        });
        let own = ["host", "content-length", "connection"];
        let headers = headers.filter(|(name, _)| !own.contains(&name.as_str())).map(|(_, line)| line).collect();
        (row["path"].as_str().unwrap().to_owned(), headers, row["body_text"].as_str().unwrap().to_owned())
    };
    text.lines().map(request).collect()
}

/// Everything that is kept of a request, decoded and encoded, in memory and in a recording.
fn everything(envelope: &Envelope) -> Vec<u8> {
    let mut all = format!("{envelope:?}").into_bytes();
    all.extend_from_slice(&envelope.body);
    if let Ok(text) = body::text(envelope) {
        all.extend_from_slice(text.as_bytes());
    }
    let mut line = Vec::new();
    recording::write_request(&mut line, envelope);
    let Ok(recording::Record::Request(read)) = recording::parse_line(std::str::from_utf8(&line).unwrap()) else {
        panic!("the record cannot be read");
    };
    // A recording keeps what came out of gzip in place of it.
    assert_eq!(body::text(&read), body::text(envelope));
    assert_eq!((&read.credential, read.signature), (&envelope.credential, envelope.signature));
    all.extend_from_slice(&line);
    all
}

#[track_caller]
fn holds_no_key(envelope: &Envelope) {
    let all = everything(envelope);
    for raw in [KEY.to_owned(), STANDARD.encode(format!("{KEY}:")), KEY[4..].to_owned()] {
        assert!(memchr::memmem::find(&all, raw.as_bytes()).is_none(), "{}", String::from_utf8_lossy(&all));
    }
}

#[test]
fn every_call_under_any_prefix_is_answered_as_segment_does_and_becomes_an_envelope() {
    let mut running = start(loopback_options());
    let mut client = running.client();
    for call in CALLS {
        for prefix in ["", "/proxy", "//a"] {
            let path = format!("{prefix}/v1/{call}?x=1");
            client.send(&post(&path, &basic(), track().as_bytes()));
            let answer = client.answer();
            assert_eq!((answer.status(), answer.text()), (200, r#"{"success":true}"#), "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let envelope = running.envelope();
            assert_eq!((&envelope.path, envelope.credential.as_ref()), (&path, Some(&masked())));
            assert_eq!(&envelope.body[..], track().replace(KEY, masked().as_str()).as_bytes());
            assert_eq!(envelope.wire_bytes, track().len() as u64);
            assert_eq!(envelope.answer, Some(Answered { status: 200, from: LOCAL }));
            assert_eq!((&envelope.decoded_from, envelope.signature), (&None, None));
            assert!(webhook::door(&envelope).unwrap().is_tracking());
            holds_no_key(&envelope);
        }
    }
}

#[test]
fn what_the_real_libraries_sent_is_taken() {
    for (name, key) in [
        ("analytics-node.jsonl", "WRITE_KEY_NODE"),
        ("analytics-python.jsonl", "WRITE_KEY_PY"),
        ("analytics-next-jsdom.jsonl", "WK"),
    ] {
        let mut running = start(loopback_options());
        let mut posts = 0;
        for (path, headers, body) in captured(name).into_iter().filter(|(_, _, body)| !body.is_empty()) {
            let answer = running.ask(&post(&path, &headers, body.as_bytes()));
            assert_eq!((answer.status(), answer.text()), (200, r#"{"success":true}"#), "{name} {path}");
            let envelope = running.envelope();
            assert_eq!(envelope.credential, Some(Credential::mask(key)), "{name} {path}");
            let (kept, sent): (Value, Value) =
                (serde_json::from_slice(&envelope.body).unwrap(), serde_json::from_str(&body).unwrap());
            let mut expected = sent.clone();
            if sent["writeKey"].is_string() {
                expected["writeKey"] = Credential::mask(key).as_str().into();
            }
            assert_eq!(kept, expected, "{name} {path}");
            posts += 1;
        }
        assert!(posts > 0, "{name}");
    }
}

#[test]
fn the_credential_is_the_same_whichever_way_the_key_came_and_is_never_kept_raw() {
    let mut running = start(loopback_options());
    let in_body = track();
    let without = r#"{"type":"track","event":"e","userId":"u-1"}"#.to_owned();
    let escaped: String = KEY.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let escaped = format!(r#"{{"\u0077riteKey" : "{escaped}"}}"#);
    let batch = format!(r#"{{"batch":[{{"writeKey":"{KEY}"}},{{"writeKey":"{KEY}"}}]}}"#);
    let broken = format!(r#"{{"batch":[{{"a":1,,"writeKey":"{KEY}","x":"#);
    let cut = format!(r#"{{"writeKey":"{KEY}"#);
    let bearer = "Authorization: Bearer eyJ0eXAiOiJKV1Qi\r\n";
    for (headers, body) in [
        (basic(), &in_body),
        (basic(), &without),
        (String::new(), &in_body),
        (bearer.to_owned(), &in_body),
        (String::new(), &escaped),
        (String::new(), &batch),
        (String::new(), &broken),
        (String::new(), &cut),
        (format!("{}Referer: https://x/?k={KEY}\r\n", basic()), &in_body),
    ] {
        for encoded in [body.clone().into_bytes(), gzip(body.as_bytes())] {
            for path in ["/v1/track".to_owned(), format!("/{KEY}/v1/batch?writeKey={KEY}&k={KEY}")] {
                running.ask(&post(&path, &headers, &encoded));
                let envelope = running.envelope();
                assert_eq!(envelope.credential, Some(masked()), "{headers}{body}");
                holds_no_key(&envelope);
            }
        }
    }
    running.ask(&post("/v1/track", bearer, without.as_bytes()));
    let envelope = running.envelope();
    assert_eq!(envelope.credential, Some(Credential::mask("Bearer eyJ0eXAiOiJKV1Qi")));
    assert_eq!(&envelope.body[..], without.as_bytes());
}

#[test]
fn a_compressed_body_stays_as_it_came_unless_a_key_was_in_it() {
    let mut running = start(loopback_options());
    let with_key = gzip(track().as_bytes());
    running.ask(&post_chunked("/v1/track", "Content-Encoding: gzip\r\n", &[&with_key[..9], &with_key[9..]]));
    let envelope = running.envelope();
    assert_eq!(&envelope.body[..], track().replace(KEY, masked().as_str()).as_bytes());
    assert_eq!((envelope.decoded_from.as_deref(), envelope.wire_bytes), (Some("gzip"), with_key.len() as u64));
    assert_eq!(body::text(&envelope).unwrap().as_bytes(), &envelope.body[..]);
    holds_no_key(&envelope);

    let without = gzip(br#"{"type":"track"}"#);
    running.ask(&post("/v1/track", "", &without));
    let envelope = running.envelope();
    assert_eq!((&envelope.body[..], &envelope.decoded_from), (&without[..], &None));
}

#[test]
fn what_cannot_be_looked_into_is_not_kept_for_a_key_may_be_in_it() {
    let mut running = start(Options { limits: Limits { body_bytes: 100_000, ..limits() }, ..loopback_options() });
    let whole = gzip(format!("{}{}", track(), "x".repeat(2_000)).as_bytes());

    // Cut off, and with a wrong check sum: what comes out is kept without its key, and still known to be damaged.
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    for damaged in [&whole[..whole.len() - 12], &wrong_sum] {
        let answer = running.ask(&post("/v1/track", "Content-Encoding: gzip\r\n", damaged));
        assert_eq!(answer.status(), 400);
        let envelope = running.envelope();
        assert!(matches!(body::text(&envelope), Err(body::BodyFault::Gzip { .. })));
        assert_eq!(envelope.credential, Some(masked()));
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&envelope.body[..]), &mut text);
        assert!(memchr::memmem::find(&text, masked().as_str().as_bytes()).is_some());
        assert!(memchr::memmem::find(&text, KEY.as_bytes()).is_none());
        holds_no_key(&envelope);
    }

    let nested = gzip(&whole);
    running.ask(&post("/v1/track", "", &nested));
    assert_eq!(&running.envelope().body[..], b"");

    let bomb = gzip(format!("{}{}", track(), " ".repeat(1_000_000)).as_bytes());
    assert_eq!(running.ask(&post("/v1/batch", "", &bomb)).status(), 400);
    let envelope = running.envelope();
    assert_eq!(envelope.loss, Some(BodyLoss::TooLarge { bytes: 100_001, limit: 100_000 }));
    assert_eq!((&envelope.body[..], envelope.wire_bytes), (&b""[..], bomb.len() as u64));

    running.ask(&post("/v1/track", "Content-Encoding: br\r\n", b"\x8b\x02\xff\x80"));
    let envelope = running.envelope();
    assert_eq!(&envelope.body[..], b"");
    assert!(matches!(body::text(&envelope), Err(body::BodyFault::Encoding { .. })));

    let mut client = running.client();
    client.send(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n");
    client.send(&track().as_bytes()[..track().len() - 4]);
    drop(client);
    let envelope = running.envelope();
    assert!(matches!(envelope.loss, Some(BodyLoss::Closed { .. })));
    assert!(envelope.body.starts_with(br#"{"type":"track""#));
    assert!(memchr::memmem::find(&envelope.body, &KEY.as_bytes()[..20]).is_none());
}

#[test]
fn a_browser_may_send_text_with_its_key_and_read_the_answer() {
    let mut running = start(loopback_options());
    for path in ["/v1/t", "/v1/b", "/v1/m", "/v1/projects/k/settings"] {
        let answer = running.ask(
            format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\nAccess-Control-Request-Method: \
                 POST\r\nAccess-Control-Request-Headers: authorization,content-type\r\n\r\n"
            )
            .as_bytes(),
        );
        assert_eq!((answer.status(), answer.header("access-control-allow-methods")), (204, Some("POST")));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,content-type"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    }
    let headers = format!("{}Content-Type: text/plain\r\nOrigin: https://shop.example\r\n", basic());
    let answer = running.ask(&post("/v1/t", &headers, track().as_bytes()));
    assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (200, Some("https://shop.example")));
    assert_eq!(running.envelope().header("content-type"), Some("text/plain"));
    assert_eq!(running.status.figures().preflights, 4);
    assert!(running.stop().is_empty());
}

#[test]
fn figures_of_a_library_and_somebody_who_only_looks_are_answered_and_are_no_events() {
    let running = start(loopback_options());
    let figures = br#"{"series":[{"type":"Counter","metric":"analytics_js.invoke"}]}"#;
    let answer = running.ask(&post("/v1/m", "", figures));
    assert_eq!((answer.status(), answer.text()), (200, r#"{"success":true}"#));
    for path in ["/v1/track", "/v1/batch", "/v1/m", "/webhook"] {
        let answer = running.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.text().contains("Segment's libraries and webhooks"), "{}", answer.text());
    }
    let home = running.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(home.text().contains(&format!("http://{}/webhook", running.address())), "{}", home.text());
    let figures = running.status.figures();
    assert_eq!((figures.event_requests, figures.event_bytes, figures.other_requests, figures.hints), (0, 0, 6, 0));
    assert!(running.stop().is_empty());
}

#[test]
fn what_segment_refuses_is_refused_with_its_words_and_kept() {
    let mut running = start(loopback_options());
    let padded = |bytes: usize| format!(r#"{{"event":"{}"}}"#, "x".repeat(bytes - r#"{"event":""}"#.len()));
    let batch = |events: &[String]| format!(r#"{{"batch":[{}]}}"#, events.join(","));
    let many = |count: usize| batch(&vec!["{}".to_owned(); count]);
    let large: Vec<String> = vec![padded(EVENT_BYTES); 16];
    let limit = "Exceed payload limit";
    let cases = [
        ("/v1/track", padded(EVENT_BYTES), None),
        ("/v1/t", padded(EVENT_BYTES + 1), Some((limit, "the event has 32769 bytes, and Segment takes 32768"))),
        ("/v1/batch", batch(&[padded(EVENT_BYTES)]), None),
        (
            "/v1/batch",
            batch(&["{}".to_owned(), padded(EVENT_BYTES + 1)]),
            Some((limit, "event 2 of the batch has 32769 bytes, and Segment takes 32768")),
        ),
        ("/v1/b", batch(&large[..15]), None),
        ("/v1/b", batch(&large), Some((limit, "the batch has 524315 bytes, and Segment takes 512000"))),
        ("/v1/import", many(BATCH_EVENTS), None),
        ("/v1/import", many(BATCH_EVENTS + 1), Some((limit, "the batch has 2501 events, and Segment takes 2500"))),
        (
            "/v1/track",
            "{\"a\":".to_owned(),
            Some(("Bad Request", "the body is not JSON: the text ends in the middle of a value at byte 5")),
        ),
        (
            "/v1/track",
            String::new(),
            Some(("Bad Request", "the body is not JSON: the text ends in the middle of a value at byte 0")),
        ),
    ];
    assert!(batch(&large).len() > BATCH_BYTES);
    for (path, body, refused) in cases {
        for encoded in [body.clone().into_bytes(), gzip(body.as_bytes())] {
            let answer = running.ask(&post(path, "Origin: null\r\n", &encoded));
            let status = if refused.is_some() { 400 } else { 200 };
            assert_eq!(answer.status(), status, "{path}: {refused:?} {}", answer.text());
            if let Some((message, detail)) = refused {
                let expected =
                    json!({"success": false, "code": "invalid_request", "message": message, "detail": detail});
                assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), expected);
                assert_eq!(answer.header("access-control-allow-origin"), Some("null"));
            }
            let envelope = running.envelope();
            assert_eq!(&envelope.body[..], encoded);
            assert_eq!(envelope.answer, Some(Answered { status, from: LOCAL }));
        }
    }
}

#[test]
fn a_body_too_large_to_look_into_is_too_large_for_segment_as_well() {
    let mut running = start(Options { limits: Limits { body_bytes: 1000, ..limits() }, ..loopback_options() });
    let body = vec![b' '; 2000];
    for request in [post("/v1/batch", "", &body), post_chunked("/v1/batch", "", &[&body])] {
        let answer = running.ask(&request);
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("the batch has 2000 bytes"), "{}", answer.text());
        assert_eq!(running.envelope().loss, Some(BodyLoss::TooLarge { bytes: 2000, limit: 1000 }));
    }
    assert_eq!(running.ask(&post("/webhook", "", &body)).status(), 200);
    assert_eq!(running.envelope().signature, None);
}

fn signing() -> Options {
    Options { segment_secret: Secret::new(b"shh-secret"), ..loopback_options() }
}

#[test]
fn real_signatures_are_valid_over_one_event_and_over_the_first_of_several() {
    let mut running = start(signing());
    let captured = captured("webhook-actions.jsonl");
    let expected = [Signature::Valid, Signature::Valid, Signature::Missing, Signature::Missing];
    for (at, (path, headers, body)) in captured.iter().take(4).enumerate() {
        let answer = running.ask(&post(path, headers, body.as_bytes()));
        assert_eq!((answer.status(), answer.text(), answer.header("content-type")), (200, "", None), "{path}");
        let envelope = running.envelope();
        assert_eq!(envelope.signature, Some(expected[at]), "{path}");
        assert_eq!((&envelope.body[..], webhook::door(&envelope)), (body.as_bytes(), Some(Door::Webhook)));
        assert_eq!(envelope.header("user-agent"), Some("Segment (Actions)"));
        let (_, rest) = headers.split_once("x-signature: ").unwrap_or(("", ""));
        let raw = rest.lines().next().unwrap_or("");
        assert!(raw.is_empty() || memchr::memmem::find(&everything(&envelope), raw.as_bytes()).is_none());
    }
    let (path, headers, body) = &captured[1];
    for changed in [body.replace("Completed 1", "Completed 9"), body.replacen('{', "{ ", 1), "[]".into(), "x".into()] {
        let answer = running.ask(&post(path, headers, changed.as_bytes()));
        assert_eq!((answer.status(), answer.text()), (200, ""));
        let envelope = running.envelope();
        assert_eq!((envelope.signature, &envelope.body[..]), (Some(Signature::Wrong), changed.as_bytes()));
        everything(&envelope);
    }
    // The later events of a batch are not signed by anybody, and exptap cannot know better.
    running.ask(&post(path, headers, body.replace("Completed 2", "Completed 9").as_bytes()));
    assert_eq!(running.envelope().signature, Some(Signature::Valid));
}

#[test]
fn signatures_are_checked_for_webhooks_only_and_where_there_is_a_secret() {
    let (path, headers, body) = captured("webhook-actions.jsonl").remove(0);
    let mut running = start(loopback_options());
    running.ask(&post(&path, &headers, body.as_bytes()));
    assert_eq!(running.envelope().signature, None);
    let mut running = start(signing());
    for path in ["/v1/track", "/bulk"] {
        running.ask(&post(path, &headers, body.as_bytes()));
        assert_eq!(running.envelope().signature, None, "{path}");
    }
    running.ask(&post("/webhook", "", body.as_bytes()));
    assert_eq!(running.envelope().signature, Some(Signature::Missing));
    // The key is masked after the signature was checked over what was sent.
    let body = format!(r#"{{"type":"track","writeKey":"{KEY}"}}"#);
    let signature = hmac_sha1(b"shh-secret", body.as_bytes());
    running.ask(&post("/webhook", &format!("X-Signature: {signature}\r\n"), body.as_bytes()));
    let envelope = running.envelope();
    assert_eq!((envelope.signature, &envelope.credential), (Some(Signature::Valid), &None));
    holds_no_key(&envelope);
}

fn hmac_sha1(key: &[u8], text: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut hmac = Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
    hmac.update(text);
    hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_webhook_is_known_by_its_head_on_any_path_and_others_are_not_taken_for_one() {
    let mut running = start(loopback_options());
    for path in ["/hook", "/", "/any/thing?x=1", "/all", "/webhook", "/x/segment"] {
        for method in ["POST", "PUT", "PATCH"] {
            for header in ["User-Agent: Segment (Actions)", "x-signature: 00"] {
                let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: 5\r\n\r\nhello");
                let answer = running.ask(head.as_bytes());
                assert_eq!((answer.status(), answer.text()), (200, ""), "{head}");
                let envelope = running.envelope();
                assert_eq!((envelope.path.as_str(), &envelope.body[..]), (path, &b"hello"[..]));
                assert_eq!(webhook::door(&envelope), Some(Door::Webhook));
            }
        }
    }
    assert_eq!(running.ask(&post("/hook", "User-Agent: curl/8\r\n", b"{}")).status(), 404);
    let read = running.ask(b"GET /hook HTTP/1.1\r\nHost: x\r\nUser-Agent: Segment (Actions)\r\n\r\n");
    assert_eq!(read.status(), 404);
    // LaunchDarkly's paths stay LaunchDarkly's, and a key is masked on one that could be either's.
    let answer = running.ask(&post("/mobile/v1/track", &basic(), track().as_bytes()));
    assert_eq!((answer.status(), answer.text()), (202, ""));
    let envelope = running.envelope();
    assert_eq!((&envelope.credential, envelope.signature), (&Some(masked()), None));
    holds_no_key(&envelope);
    // Segment's own destination posts there.
    let answer = running.ask(&post("/events/bulk/64b0c0ffee", "User-Agent: SegmentDestination/2.2.0\r\n", b"[]"));
    assert_eq!(answer.status(), 202);
    assert_eq!(running.envelope().path, "/events/bulk/64b0c0ffee");
    assert_eq!(running.status.figures().hints, 3);
    assert!(running.stop().is_empty());
}

#[test]
fn odd_paths_of_segment_s_have_a_hint_and_no_key_in_it() {
    let mut running = start(loopback_options());
    assert_eq!(running.ask(&post("/v1/v1/track", "", b"{}")).status(), 200);
    assert_eq!(running.envelope().path, "/v1/v1/track");
    let hint = || running.status.figures().last_hint.unwrap().text;
    assert!(hint().starts_with("POST /v1/v1/track: ") && hint().contains("leave that off"), "{}", hint());
    let answer = running.ask(&post("/track", "", b"{}"));
    assert_eq!(answer.status(), 404);
    assert!(answer.text().contains("without its /v1") && answer.text().contains("/v1/batch"), "{}", answer.text());
    running.ask(format!("GET /projects/{KEY}/settings HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert!(hint().starts_with(&format!("GET /projects/{}/settings: ", masked())), "{}", hint());
}

#[test]
fn analytics_js_is_told_to_send_everything_to_where_it_asked() {
    let running = start(loopback_options());
    let settings = |path: &str, headers: &str| {
        let answer = running.ask(format!("GET {path} HTTP/1.1\r\n{headers}Origin: http://shop\r\n\r\n").as_bytes());
        assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://shop"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let own = running.address().to_string();
    for (path, headers, host, protocol) in [
        (format!("/v1/projects/{KEY}/settings"), "Host: 127.0.0.1:8033\r\n", "127.0.0.1:8033/v1", "http"),
        (format!("/base/v1/projects/{KEY}/settings?x=1"), "Host: localhost:1\r\n", "localhost:1/base/v1", "http"),
        (format!("//v1//projects//{KEY}//settings"), "Host: [::1]:8033\r\n", "[::1]:8033//v1", "http"),
        (
            format!("/v1/projects/{KEY}/settings"),
            "Host: tunnel.example\r\nX-Forwarded-Proto: https\r\n",
            "tunnel.example/v1",
            "https",
        ),
        (format!("/v1/projects/{KEY}/settings"), "Host: evil\"/x\r\n", &format!("{own}/v1"), "http"),
    ] {
        let settings = settings(&path, headers);
        let segment = &settings["integrations"]["Segment.io"];
        let told = (segment["apiKey"].as_str(), segment["apiHost"].as_str(), segment["protocol"].as_str());
        assert_eq!(told, (Some(KEY), Some(host), Some(protocol)), "{path} {headers}");
        assert_eq!(settings["integrations"].as_object().unwrap().len(), 1);
        assert_eq!(settings["metrics"]["sampleRate"], 0);
        assert_eq!(settings["plan"]["track"]["__default"]["enabled"], true);
        assert_eq!(settings["remotePlugins"], json!([]));
    }
    assert!(running.stop().is_empty());
}

fn taken(_: &Answer) -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nX-From: segment\r\nContent-Length: 16\r\n\r\n{\"success\":true}".to_vec()
}

fn forwarding(segment: &Upstream, launchdarkly: &Upstream) -> Options {
    let forward_segment = Some(format!("http://{}", segment.address).parse().unwrap());
    Options { forward_segment, ..launchdarkly.options() }
}

#[test]
fn segment_s_requests_go_to_segment_byte_for_byte_and_launchdarkly_s_to_launchdarkly() {
    let segment = Upstream::start(taken);
    let launchdarkly = Upstream::start(|_| b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec());
    let mut running = start(forwarding(&segment, &launchdarkly));
    // What Segment would refuse is for Segment to refuse, and a key goes on as it is.
    let huge = format!("{}{}", track(), "x".repeat(EVENT_BYTES));
    let bodies = [track().into_bytes(), gzip(track().as_bytes()), huge.into_bytes(), b"\xff{\"writeKey\":\"".to_vec()];
    for path in ["/v1/track?a=%7e", "//v1/t", "/v1/batch", "/x/v1/import"] {
        for body in &bodies {
            let headers = format!("{}Content-Type: text/plain\r\nX-Retry-Count: 1\r\n", basic());
            let answer = running.ask(&post(path, &headers, body));
            assert_eq!((answer.status(), answer.text()), (200, r#"{"success":true}"#));
            assert_eq!(answer.header("x-from"), Some("segment"));
            assert_eq!(answer.header("access-control-allow-origin"), None, "the answer is Segment's own");
            let got = segment.request();
            assert_eq!((got.first_line, &got.body), (format!("POST {path} HTTP/1.1"), body));
            let mut arrived = got.headers;
            arrived.sort();
            let basic = basic().trim_end().split_once(": ").unwrap().1.to_owned();
            let expected = [
                ("authorization", basic),
                ("content-length", body.len().to_string()),
                ("content-type", "text/plain".into()),
                ("host", segment.address.to_string()),
                ("x-retry-count", "1".into()),
            ];
            assert_eq!(arrived, expected.map(|(name, value)| (name.to_owned(), value)));
            let envelope = running.envelope();
            assert_eq!(envelope.answer, Some(Answered { status: 200, from: AnsweredBy::Upstream }));
            assert_eq!(envelope.header("x-retry-count"), Some("1"));
            holds_no_key(&envelope);
        }
    }
    running.ask(&post_chunked("/v1/m", "", &[b"{\"series\":", b"[]}"]));
    let got = segment.request();
    assert_eq!((got.first_line.as_str(), &got.body[..]), ("POST /v1/m HTTP/1.1", &b"{\"series\":[]}"[..]));
    assert_eq!(got.header("transfer-encoding"), Some("chunked"));
    let answer = running.ask(format!("GET /v1/projects/{KEY}/settings HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert_eq!(answer.header("x-from"), Some("segment"));
    let got = segment.request();
    assert_eq!(got.first_line, format!("GET /v1/projects/{KEY}/settings HTTP/1.1"));
    assert_eq!(got.headers, [("host".to_owned(), segment.address.to_string())]);

    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 202);
    assert_eq!(launchdarkly.request().first_line, "POST /bulk HTTP/1.1");
    assert_eq!(running.ask(&post("/webhook", "", b"{}")).text(), "");
    assert_eq!(running.ask(&post("/hook", "User-Agent: Segment\r\n", b"{}")).text(), "");
    assert!(segment.has_no_more_requests() && launchdarkly.has_no_more_requests());
    let figures = running.status.figures();
    assert_eq!((figures.segment_upstream.delivered(), figures.upstream.delivered()), (18, 1));
    let paths: Vec<String> = (0..3).map(|_| running.envelope().path).collect();
    assert_eq!(paths, ["/bulk", "/webhook", "/hook"]);
    assert!(running.stop().is_empty());
}

#[test]
fn a_key_that_came_to_launchdarkly_s_paths_is_forwarded_and_not_kept() {
    let upstream = Upstream::start(|_| b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec());
    let mut running = start(upstream.options());
    let masked_text = track().replace(KEY, masked().as_str());
    for path in ["/bulk", "/mobile", "/diagnostic", "/events/bulk/0123456789abcdef01234567"] {
        for (body, encoding) in [(track().into_bytes(), None), (gzip(track().as_bytes()), Some("gzip"))] {
            assert_eq!(running.ask(&post(path, "Authorization: sdk-1\r\n", &body)).status(), 202, "{path}");
            assert_eq!(upstream.request().body, body, "{path}");
            let envelope = running.envelope();
            assert_eq!((&envelope.body[..], envelope.decoded_from.as_deref()), (masked_text.as_bytes(), encoding));
            assert_eq!(envelope.wire_bytes, body.len() as u64);
            assert_eq!(envelope.credential, Some(Credential::mask("sdk-1")));
            holds_no_key(&envelope);
        }
    }
    // Nothing is found, nothing is changed.
    let body = gzip(br#"[{"kind":"custom","key":"writeKey"}]"#);
    running.ask(&post("/bulk", "", &body));
    let envelope = running.envelope();
    assert_eq!((&envelope.body[..], &envelope.decoded_from), (&body[..], &None));
}

#[test]
fn a_key_is_hidden_in_all_of_a_body_whichever_way_it_is_known() {
    let mut running = start(loopback_options());
    let url = format!(r#"{{"type":"page","userId":"u","context":{{"page":{{"url":"http://h/?k={KEY}"}}}}}}"#);
    let expected = url.replace(KEY, masked().as_str());
    running.ask(&post("/v1/page", &basic(), url.as_bytes()));
    let envelope = running.envelope();
    assert_eq!(&envelope.body[..], expected.as_bytes());
    holds_no_key(&envelope);
    running.ask(&post("/v1/page", &basic(), &gzip(url.as_bytes())));
    let envelope = running.envelope();
    assert_eq!((&envelope.body[..], envelope.decoded_from.as_deref()), (expected.as_bytes(), Some("gzip")));
    let with_member = url.replacen('{', &format!(r#"{{"writeKey":"{KEY}","#), 1);
    running.ask(&post("/v1/page", "", with_member.as_bytes()));
    let envelope = running.envelope();
    assert_eq!(&envelope.body[..], with_member.replace(KEY, masked().as_str()).as_bytes());
    assert_eq!(envelope.credential, Some(masked()));
}

#[test]
fn forward_alone_takes_nothing_of_segment_s_and_forward_segment_nothing_of_launchdarkly_s() {
    let upstream = Upstream::start(taken);
    let running = start(upstream.options());
    assert_eq!(running.ask(&post("/v1/track", "", b"{}")).header("x-from"), None);
    assert_eq!(running.ask(&post("/v1/m", "", b"{}")).header("x-from"), None);
    let options = upstream.options();
    let running = start(Options { forward: None, forward_segment: options.forward, ..loopback_options() });
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 202);
    assert_eq!(running.ask(&post("/mobile", "", b"[]")).status(), 202);
    assert!(upstream.has_no_more_requests());
}

#[test]
fn what_segment_answers_goes_back_and_is_counted_apart_from_what_launchdarkly_does() {
    let segment =
        Upstream::start(|_| b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".to_vec());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let forward = Some(format!("http://{free}").parse().unwrap());
    let running = start(Options { forward, ..forwarding(&segment, &segment) });
    let answer = running.ask(&post("/v1/track", "", b"{}"));
    assert_eq!((answer.first_line.as_str(), answer.header("retry-after")), ("HTTP/1.1 429 Too Many", Some("7")));
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 503);
    let figures = running.status.figures();
    let counts = |delivery: &exptap::endpoint::Delivery| (delivery.answers.clone(), delivery.unanswered);
    assert_eq!(counts(&figures.segment_upstream), ([(429, 1)].into(), 0));
    assert_eq!(counts(&figures.upstream), ([].into(), 1));

    let forward_segment = Some(format!("http://{free}").parse().unwrap());
    let mut running = start(Options { forward_segment, ..loopback_options() });
    let answer = running.ask(&post("/v1/track", "Origin: null\r\n", b"{}"));
    assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (503, Some("null")));
    assert!(answer.text().contains("Segment's libraries send such events again"), "{}", answer.text());
    assert_eq!(running.envelope().answer, Some(Answered { status: 503, from: LOCAL }));
    let figures = running.status.figures();
    assert_eq!((figures.segment_upstream.unanswered, figures.upstream.unanswered), (1, 0));
}

#[test]
fn a_key_is_in_no_byte_of_a_recording_the_real_program_made_and_its_secret_comes_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::File::create(at("secret")).unwrap().write_all(b"shh-secret\n").unwrap();
    let program = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_exptap"));
        command.args(["listen", "--no-tui", "--listen", "127.0.0.1:0"]).args(arguments).current_dir(&folder);
        command.env_remove("EXPTAP_SEGMENT_SECRET").stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let mut child = program(&["--segment-secret-file", "secret", "--record", "run.exptap"]).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
    let mut client = loopback::Client::connect(address);
    let (path, headers, body) = captured("webhook-actions.jsonl").remove(0);
    for request in [
        post("/v1/track", &basic(), track().as_bytes()),
        post("/v1/track", &basic(), &gzip(track().as_bytes())),
        post(&format!("/v1/batch?writeKey={KEY}"), "", format!("{{oops \"writeKey\":\"{KEY}").as_bytes()),
        post(&path, &headers, body.as_bytes()),
        post(&path, &headers, b"{}"),
        post(&format!("/mobile?k={KEY}"), "", track().as_bytes()),
        post("/events/bulk/0123456789abcdef01234567", "", &gzip(track().as_bytes())),
    ] {
        client.send(&request);
        client.answer();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let file = std::fs::read(at("run.exptap")).unwrap();
    for text in [&file[..], &output.stdout] {
        assert!(memchr::memmem::find(text, &KEY.as_bytes()[4..20]).is_none(), "{}", String::from_utf8_lossy(text));
    }
    let records: Vec<Value> =
        String::from_utf8(file).unwrap().lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let column = |name: &str| records.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    let none = Value::Null;
    let signatures =
        [none.clone(), none.clone(), none.clone(), json!("valid"), json!("wrong"), none.clone(), none.clone()];
    assert_eq!(column("signature"), signatures);
    let key = masked().to_string();
    let credentials = [json!(key), json!(key), json!(key), none.clone(), none.clone(), none.clone(), none];
    assert_eq!(column("credential"), credentials);
    assert_eq!((&records[5]["body"]["writeKey"], &records[6]["body"]["writeKey"]), (&json!(key), &json!(key)));
    assert_eq!((&records[5]["encoding"], &records[6]["encoding"]), (&Value::Null, &json!("gzip")));
    assert_eq!(records[1]["body"]["writeKey"], key);
    assert_eq!(records[1]["encoding"], "gzip");

    let refused = program(&["--segment-secret-file", "nowhere"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("nowhere: the secret cannot be read"));
}
