//! Redaction: what is shared comes to the same as what was received, and says nothing of anybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::demo::Shop;
use exptap::envelope::{Answer, AnsweredBy, BodyLoss, Credential, Envelope, Via};
use exptap::intake;
use exptap::recording::{self, Gap, Header, Mark, Record};
use exptap::redact::{Keep, Redactor, Refusal, Sort, StandIns};
use exptap::report::build;
use exptap::verdicts::{self, Judged};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

const KEY: [u8; 32] = [42; 32];
const OTHER_KEY: [u8; 32] = [43; 32];

const CAPTURES: [(&str, &str); 5] = [
    ("browser-js-client-sdk-v4", include_str!("data/captures/browser-js-client-sdk-v4.jsonl")),
    ("node-server-sdk", include_str!("data/captures/node-server-sdk.jsonl")),
    ("old-server-sdks", include_str!("data/captures/old-server-sdks.jsonl")),
    ("python-server-sdk", include_str!("data/captures/python-server-sdk.jsonl")),
    ("rust-server-sdk", include_str!("data/captures/rust-server-sdk.jsonl")),
];

fn catalog(text: &str) -> Catalog {
    load::from_text(text, "test.toml", Format::Toml, Origin::Recording).unwrap_or_else(|error| panic!("{error}"))
}

/// A recording of some requests.
fn recorded(catalog: Option<&Catalog>, envelopes: &[Envelope]) -> String {
    let mut bytes = Vec::new();
    let header = Header {
        created_ms: Some(1_795_248_000_000),
        tool: Some("exptap 0.1.0".to_owned()),
        note: Some("for Annabel, ticket 4711".to_owned()),
        catalog: catalog.cloned(),
        ..Header::default()
    };
    recording::write_header(&mut bytes, &header);
    envelopes.iter().for_each(|envelope| recording::write_request(&mut bytes, envelope));
    recording::write_mark(&mut bytes, &Mark { t_ms: 1, note: "Annabel clicked".to_owned() });
    recording::write_gap(&mut bytes, &Gap { t_ms: 2, lost: 3, why: "disk of annabels-laptop full".to_owned() });
    String::from_utf8(bytes).unwrap()
}

fn redactor(recording: &str, keep: &[Keep], key: &[u8; 32]) -> Redactor {
    let header = recording::parse_header(recording.lines().next().unwrap(), "file").unwrap();
    Redactor::new(key, header.catalog.as_ref(), true, keep).unwrap()
}

fn redacted_by(redactor: &mut Redactor, recording: &str) -> String {
    let (first, rest) = recording.split_once('\n').unwrap();
    let mut bytes = Vec::new();
    let header = recording::parse_header(first, "file").unwrap();
    recording::write_header(&mut bytes, &redactor.header(&header));
    rest.split_inclusive('\n').for_each(|line| redactor.line(line, &mut bytes));
    String::from_utf8(bytes).unwrap()
}

fn redacted(recording: &str) -> String {
    redacted_by(&mut redactor(recording, &[], &KEY), recording)
}

/// What a recording comes to.
struct Outcome {
    report: Value,
    rows: Vec<Value>,
    /// Keys of all contexts.
    keys: BTreeSet<String>,
    senders: Vec<String>,
    requests: Vec<Envelope>,
}

fn outcome(recording: &str) -> Outcome {
    let (first, rest) = recording.split_once('\n').unwrap();
    let header = recording::parse_header(first, "file").unwrap();
    let records: Vec<_> = rest.lines().map(recording::parse_line).collect();
    let requests: Vec<Envelope> = records
        .iter()
        .filter_map(|record| match record {
            Ok(Record::Request(envelope)) => Some(envelope.clone()),
            _ => None,
        })
        .collect();
    let catalog = header.given().catalog().unwrap_or_else(|mut inference| {
        requests.iter().for_each(|envelope| inference.observe_request(envelope));
        inference.catalog()
    });
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options { keep_receipts: true, ..Options::default() });
    let mut judged = Vec::new();
    for record in &records {
        match record {
            Ok(Record::Request(envelope)) => {
                intake::envelope(&mut state, &catalog.environment, envelope, |state, received| {
                    judged.push(Judged::new(state, &received, envelope.number(), envelope.arrival()));
                });
            }
            Ok(Record::Gap(gap)) => state.lost(gap.lost),
            Ok(_) => {}
            Err(_) => state.lost(1),
        }
    }
    let rows: Vec<Value> = judged
        .iter()
        .flat_map(|event| verdicts::rows(&state, &catalog, event))
        .map(|row| serde_json::to_value(row).unwrap())
        .collect();
    let units = rows.iter().filter_map(|row| row["unit"].as_str()?.split_once('/'));
    let keys = units.map(|(_, key)| key.to_owned()).collect();
    Outcome {
        report: serde_json::to_value(build::report(&state, &catalog)).unwrap(),
        rows,
        keys,
        senders: requests.iter().map(|envelope| intake::sender(envelope).into_owned()).collect(),
        requests,
    }
}

impl Outcome {
    /// The report with everybody's name taken out of its sentences, which name one context of several: of stand-ins
    /// another one may come first.
    fn anonymous_report(&self, new_senders: &BTreeMap<String, String>) -> Value {
        let mut report = self.report.clone();
        let mut keys: Vec<&String> = self.keys.iter().filter(|key| key.trim().len() > 2).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
        for finding in report["findings"].as_array_mut().unwrap() {
            for words in ["summary", "fix"] {
                let text = finding[words].as_str().unwrap().to_owned();
                let text = keys.iter().fold(text, |text, key| text.replace(key.trim(), "KEY"));
                // White space at the ends of a key is not the same in all of them either.
                let text = text.split_whitespace().collect::<String>();
                finding[words] = text.into();
            }
            let mut sources: Vec<String> = finding["sources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap())
                .map(|name| new_senders.get(name).cloned().unwrap_or_else(|| name.to_owned()))
                .collect();
            sources.sort();
            finding["sources"] = sources.into();
        }
        report["findings"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        report
    }

    fn rows_with(&self, stand_ins: &StandIns) -> Vec<Value> {
        let mut rows = self.rows.clone();
        for row in &mut rows {
            let kind = row["kind"].as_str().unwrap_or("custom").to_owned();
            if !["feature", "debug", "custom", "click", "pageview", "click_pageview"].contains(&kind.as_str()) {
                if let Some(key) = row["key"].as_str() {
                    row["key"] = stand_ins.of(key).into();
                }
                if !is_word(&kind) {
                    row["kind"] = stand_ins.of(&kind).into();
                }
            }
            if let Some((kind, key)) = row["unit"].as_str().and_then(|unit| unit.split_once('/')) {
                row["unit"] = format!("{kind}/{}", stand_ins.of(key)).into();
            }
        }
        rows
    }
}

/// A redacted recording comes to the same as the original, and again when it is redacted again.
#[track_caller]
fn comes_to_the_same(recording: &str) -> (String, Outcome) {
    let mut redactor = redactor(recording, &[], &KEY);
    let shared = redacted_by(&mut redactor, recording);
    same_outcome(recording, &shared, redactor.stand_ins());
    let twice = redacted_by(&mut self::redactor(&shared, &[], &OTHER_KEY), &shared);
    same_outcome(&shared, &twice, &StandIns::new(&OTHER_KEY));
    (shared, outcome(recording))
}

#[track_caller]
fn same_outcome(recording: &str, shared: &str, stand_ins: &StandIns) {
    let (before, after) = (outcome(recording), outcome(shared));
    assert_eq!(after.senders.len(), before.senders.len());
    let senders = before.senders.iter().cloned().zip(after.senders.iter().cloned()).collect();
    for (row, expected) in after.rows.iter().zip(before.rows_with(stand_ins)) {
        assert_eq!(*row, expected);
    }
    assert_eq!(after.rows.len(), before.rows.len());
    let (mut report, mut expected) = (after.anonymous_report(&BTreeMap::new()), before.anonymous_report(&senders));
    let kinds = expected["totals"]["by_kind"].as_object_mut().unwrap();
    for kind in kinds.keys().filter(|kind| !is_word(kind)).cloned().collect::<Vec<_>>() {
        let count = kinds.remove(&kind).unwrap();
        kinds.insert(stand_ins.of(&kind).into_owned(), count);
    }
    let (found, wanted) = (report["findings"].take(), expected["findings"].take());
    for (found, wanted) in found.as_array().unwrap().iter().zip(wanted.as_array().unwrap()) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.as_array().unwrap().len(), wanted.as_array().unwrap().len());
    assert_eq!(report, expected);
}

/// As kinds of events are; any other text is somebody's.
fn is_word(kind: &str) -> bool {
    kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte))
}

/// All that can be read in a recording by somebody who tries: its text, and what is hidden in base64, gzip, the
/// addresses of images, percent-encoding and escapes.
fn everything_in(recording: &str) -> String {
    let mut texts = vec![recording.to_owned()];
    for envelope in outcome_requests(recording) {
        let body = envelope.body.to_vec();
        let mut plain = Vec::new();
        let _ = flate2::read::MultiGzDecoder::new(body.as_slice()).read_to_end(&mut plain);
        texts.push(String::from_utf8_lossy(&plain).into_owned());
        texts.push(String::from_utf8_lossy(&body).into_owned());
        for piece in envelope.path.split(['=', '&', '/', '?', '.']) {
            for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
                texts.push(String::from_utf8_lossy(&engine.decode(unpercent(piece)).unwrap_or_default()).into_owned());
            }
        }
        texts.push(envelope.path.clone());
    }
    let unescaped: Vec<String> = texts.iter().map(|text| unescape(text)).collect();
    let decoded: Vec<String> = texts.iter().map(|text| unpercent(text)).collect();
    [texts, unescaped, decoded].concat().join("\n")
}

fn outcome_requests(recording: &str) -> Vec<Envelope> {
    outcome(recording).requests
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u") {
        out.push_str(before);
        let code = after.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        out.push(code.and_then(char::from_u32).unwrap_or('?'));
        rest = after.get(4..).unwrap_or_default();
    }
    out + rest
}

fn unpercent(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let ahead = bytes.as_slice_pair();
        if let (b'%', Some(code)) = (byte, ahead) {
            out.push(code);
            bytes.next();
            bytes.next();
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

trait Ahead {
    fn as_slice_pair(&self) -> Option<u8>;
}

impl Ahead for std::str::Bytes<'_> {
    fn as_slice_pair(&self) -> Option<u8> {
        let mut ahead = self.clone();
        let digits = [ahead.next()?, ahead.next()?];
        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
    }
}

/// Whether a text stands in another, and not only as part of a longer word, where it is short enough for chance.
fn stands_in(haystack: &str, needle: &str) -> bool {
    haystack.match_indices(needle).any(|(at, _)| {
        let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        let around = (haystack[..at].chars().next_back(), haystack[at + needle.len()..].chars().next());
        needle.len() >= 6 || !(is_word(around.0) || is_word(around.1))
    })
}

#[track_caller]
fn says_nothing_of(shared: &str, secrets: impl IntoIterator<Item = impl AsRef<str>>) {
    let everything = everything_in(shared);
    let secrets = secrets.into_iter().map(|secret| secret.as_ref().to_owned());
    let found: Vec<String> = secrets.filter(|secret| stands_in(&everything, secret)).collect();
    assert_eq!(found, [] as [&str; 0], "in {}", shared.chars().take(20_000).collect::<String>());
}

/// The texts of an event that may be shared, as `docs/redact.md` has them. Everything else in it may not.
fn secrets_of(value: &Value, path: &[&str], kept: &mut BTreeSet<String>, secrets: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let is_kept = match path {
                [.., "contextKinds", _] | [.., "reason", _] => true,
                [_, "kind" | "prereqOf" | "contextKind" | "operation"] => true,
                [kind, "key"] => {
                    matches!(*kind, "feature" | "debug" | "custom" | "click" | "pageview" | "click_pageview")
                }
                [_, "evaluation", "key"] | [_, "measurements", _, "key"] => true,
                [_, "context", "kind"] => true,
                [.., "redactedAttributes" | "privateAttrs", _] => true,
                _ => false,
            };
            if is_kept {
                kept.insert(text.clone());
            } else {
                secrets.insert(text.clone());
            }
        }
        Value::Array(elements) => {
            for element in elements {
                secrets_of(element, &[path, &["0"]].concat(), kept, secrets);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                kept.insert(name.clone());
                secrets_of(member, &[path, &[name.as_str()]].concat(), kept, secrets);
            }
        }
        _ => {}
    }
}

const SHOP: &str = r#"
    [environment]
    project = "shop"
    key = "production"
    client_side_id = "64b0c0ffee"
    [[metrics]]
    key = "purchases"
    event_key = "purchase"
    units = ["user", "device"]
    [[metrics]]
    key = "purchase-value"
    event_key = "purchase"
    measure = "value"
    units = ["user"]
    [[experiments]]
    key = "by-device"
    flag = "exp-device"
    randomization_unit = "device"
    rule = "fallthrough"
    variations = [{ index = 0, name = "control" }, { index = 1, name = "treatment" }]
    metrics = ["purchases", "purchase-value"]
    started_at = 2026-01-01T00:00:00Z
"#;

/// How a body travels.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Gif,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The requests of a capture, with all their headers.
fn captured(text: &str, packing: Packing) -> Vec<Envelope> {
    let requests = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    requests
        .filter(|request| request["method"] == "POST")
        .enumerate()
        .map(|(number, request)| {
            let headers = request["headers"].as_object().unwrap();
            let authorization = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            let text = request["body"].to_string();
            let mut path = request["path"].as_str().unwrap().to_owned();
            let body = match packing {
                Packing::Plain => text.into_bytes(),
                Packing::Gzip => gzip(text.as_bytes()),
                Packing::Gif => {
                    path = format!("/prefix/a/64b0c0ffee.gif?who=annabel&d={}", STANDARD.encode(text));
                    Vec::new()
                }
            };
            Envelope {
                arrival_ms: (request["t"].as_f64().unwrap() * 1000.0) as i64,
                request: number as u64 + 1,
                method: "POST".to_owned(),
                path,
                headers: headers
                    .iter()
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()))
                    .filter(|(name, _)| name != "authorization" && name != "content-encoding")
                    .collect(),
                credential: authorization.map(|(_, raw)| Credential::mask(raw.as_str().unwrap())),
                wire_bytes: body.len() as u64,
                body: Bytes::from(body),
                ..Envelope::default()
            }
        })
        .collect()
}

#[test]
fn what_real_sdks_sent_comes_to_the_same_and_says_nothing_of_anybody() {
    let catalog = catalog(SHOP);
    for (name, text) in CAPTURES {
        for (packing, catalog) in
            [(Packing::Plain, Some(&catalog)), (Packing::Gzip, None), (Packing::Gif, Some(&catalog))]
        {
            let recording = recorded(catalog, &captured(text, packing));
            let (shared, was) = comes_to_the_same(&recording);
            assert!(was.rows.len() > 20, "{name}");
            let (mut kept, mut secrets) = (BTreeSet::new(), BTreeSet::new());
            for line in text.lines() {
                let request: Value = serde_json::from_str(line).unwrap();
                let events = request["body"].as_array().cloned().unwrap_or_else(|| vec![request["body"].clone()]);
                for event in &events {
                    let kind = event["kind"].as_str().unwrap_or_default();
                    secrets_of(event, &[kind], &mut kept, &mut secrets);
                }
                for (header, value) in request["headers"].as_object().unwrap() {
                    if ["authorization", "host", "origin", "referer", "x-launchdarkly-payload-id"]
                        .contains(&header.to_ascii_lowercase().as_str())
                    {
                        secrets.insert(value.as_str().unwrap().to_owned());
                    }
                }
            }
            // Parts of addresses are secrets of their own.
            let parts: Vec<String> = secrets
                .iter()
                .filter(|secret| secret.contains("://"))
                .flat_map(|url| url.split(['/', '?', '#', '&', '=', ':']))
                .map(str::to_owned)
                .collect();
            secrets.extend(parts);
            // The name and version of an SDK stand in a header and in its diagnostics.
            let agents: Vec<String> = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .flat_map(|request| request["headers"].as_object().unwrap().clone())
                .filter(|(name, _)| name.to_ascii_lowercase().contains("user-agent"))
                .map(|(_, value)| value.as_str().unwrap().to_owned())
                .filter(|agent| !agent.starts_with("Mozilla/"))
                .collect();
            let agents = agents.join(" ");
            // Names that are in the vocabulary as well; numbers stand in times, too.
            let vocabulary =
                ["http", "https", "control", "treatment", "purchase", "true", "false", "NodeJSClient", "click", "page"];
            let secrets: Vec<&String> = secrets
                .iter()
                .filter(|secret| secret.chars().count() >= 3 && !kept.contains(*secret) && !agents.contains(*secret))
                .filter(|secret| !kept.iter().any(|kept| kept.contains(*secret)) && *secret != "0.1")
                .filter(|secret| {
                    !vocabulary.contains(&secret.as_str()) && !secret.bytes().all(|byte| byte.is_ascii_digit())
                })
                .collect();
            assert!(secrets.len() > 10, "{name} {packing:?}: {secrets:?}");
            says_nothing_of(&shared, secrets);
            says_nothing_of(&shared, ["Annabel", "annabel", "annabels-laptop", "4711"]);
        }
    }
}

#[test]
fn the_faults_of_the_demo_are_found_in_its_redacted_copy() {
    let start = 1_795_248_000_000;
    let mut shop = Shop::new(7, start);
    let catalog = shop.catalog();
    let mut envelopes = Vec::new();
    for second in 1..40 {
        for request in shop.tick(start + second * 1000) {
            let header = |wanted: &str| request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            envelopes.push(Envelope {
                arrival_ms: start + second * 1000,
                request: envelopes.len() as u64 + 1,
                method: request.method.to_string(),
                path: request.path.clone(),
                headers: request
                    .headers
                    .iter()
                    .filter(|(name, _)| !name.eq_ignore_ascii_case("authorization"))
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                    .collect(),
                credential: header("authorization").map(|(_, raw)| Credential::mask(raw)),
                wire_bytes: request.body.len() as u64,
                body: request.body.clone(),
                ..Envelope::default()
            });
        }
    }
    assert!(envelopes.len() > 100);
    let catalog = Catalog { origin: Origin::Recording, ..catalog };
    let (shared, was) = comes_to_the_same(&recorded(Some(&catalog), &envelopes));
    assert!(was.report["findings"].as_array().unwrap().len() > 5);
    assert!(was.keys.len() > 50);
    // Placeholders are what they look like; everybody else is gone.
    let keys = was.keys.iter().filter(|key| key.len() >= 3 && !exptap::near_miss::is_placeholder_key(key));
    says_nothing_of(&shared, keys);
}

fn post(number: u64, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Envelope {
    let body = body.into();
    Envelope {
        arrival_ms: 1_767_226_000_000 + number as i64,
        request: number,
        method: "POST".to_owned(),
        path: "/bulk".to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        wire_bytes: body.len() as u64,
        body: body.into(),
        ..Envelope::default()
    }
}

const T: i64 = 1_767_225_700_000;

fn event(kind: &str, key: &str, more: Value) -> Value {
    let mut event = json!({"kind": kind, "key": key, "creationDate": T});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn exposure(context: Value) -> Value {
    event(
        "feature",
        "f",
        json!({"variation": 1, "value": "gold-price", "default": {"price": 1999, "of": "vip@shop.example"}, "reason": {"kind": "FALLTHROUGH", "inExperiment": true}, "context": context}),
    )
}

const FILTERED: &str = r#"
    [environment]
    client_side_id = "c0ffee"
    credentials = ["sdk-…aaaa#fae5", "sdk-…bbbb#1234"]
    [[metrics]]
    key = "vips"
    event_key = "buy"
    filter = { type = "group", op = "or", values = [
        { type = "contextAttribute", contextKind = "user", attribute = "email", op = "in", values = ["vip@shop.example", 7] },
        { type = "contextAttribute", contextKind = "user", attribute = "/address/zip", op = "startsWith", values = ["940"] },
        { type = "eventProperty", attribute = "sku", op = "in", values = ["GOLD-1"], negate = true },
    ] }
    [[metrics]]
    key = "new-apps"
    event_key = "buy"
    filter = { type = "contextAttribute", contextKind = "user", attribute = "app", op = "semVerGreaterThan", values = ["2.0.0"] }
    [[metrics]]
    key = "this-user"
    event_key = "buy"
    filter = { type = "contextAttribute", contextKind = "user", attribute = "key", op = "in", values = ["Bob-4711"] }
    [[metrics]]
    key = "seen"
    kind = "pageview"
    urls = [{ kind = "canonical", url = "https://shop.example/Checkout" }, { kind = "exact", url = "https://shop.example/x?y=z#a/b" }]
    [[metrics]]
    key = "pressed"
    kind = "click"
    selector = ".buy"
    urls = [{ kind = "canonical", url = "https://shop.example/Checkout" }]
    [[experiments]]
    key = "e"
    flag = "f"
    metrics = ["vips", "new-apps", "this-user", "seen", "pressed"]
    started_at = 2026-01-01T00:00:00Z
"#;

/// One event for each way a filter or a page can come out.
fn filtered_events() -> Vec<Value> {
    let user = |key: &str, more: Value| {
        let mut user = json!({"kind": "user", "key": key, "name": "Annabel Lee"});
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        user
    };
    let mut events = vec![exposure(user("Bob-4711", json!({}))), exposure(user("carol-17", json!({})))];
    for more in [
        json!({"email": "vip@shop.example"}),
        json!({"email": "VIP@shop.example"}),
        json!({"email": 7, "phone": 5_551_234}),
        json!({"email": 8}),
        json!({"email": ["other@shop.example", "vip@shop.example"]}),
        json!({"address": {"zip": "94016", "street": "Rue Morgue 7"}}),
        json!({"address": {"zip": "10001"}, "_meta": {"redactedAttributes": ["email", "/address/zip"]}}),
        json!({"app": "2.1.0", "friends": {"dave@shop.example": 1, "u-9284": true}}),
        json!({"app": "1.9.9", "_meta": {"redactedAttributes": ["/app"]}}),
    ] {
        for (key, sku) in [("Bob-4711", "GOLD-1"), ("carol-17", "TIN-2"), ("bob-4711 ", "GOLD-1"), ("undefined", "x")] {
            let data = json!({"sku": sku, "card": 4_111_111_111_111_111_u64, "gift": true});
            events.push(event(
                "custom",
                "buy",
                json!({"context": user(key, more.clone()), "data": data, "metricValue": "12,50 to Annabel"}),
            ));
        }
    }
    events.push(event("custom", "buy", json!({"user": {"key": "Bob-4711", "email": "vip@shop.example", "custom": {"app": "3.0.0", "iban": "DE02120300000000202051"}, "privateAttrs": ["lastName"]}, "data": ["GOLD-1"]})));
    for url in [
        "https://shop.example/Checkout",
        "https://shop.example/Checkout/?session=deadbeef99#top",
        "https://shop.example/Checkout//",
        "https://shop.example/checkout",
        "http://shop.example/Checkout",
        "https://shop.example/x?y=z#a/b",
        "https://shop.example/x?y=z",
        "https://shop.example/x/?y=z#a/b/",
        "https://shop.example/Checkout?",
        "https://ann:hunter22@shop.example:8443/users/annabel.lee/orders",
        "",
        "about:blank",
    ] {
        for (kind, more) in [
            ("pageview", json!({})),
            ("click", json!({"selector": ".buy"})),
            ("click", json!({"selector": "#buy-for-annabel"})),
        ] {
            let mut more = more.clone();
            more["url"] = url.into();
            more["contextKeys"] = json!({"user": "Bob-4711"});
            events.push(event(kind, "internal-id", more));
        }
    }
    events
}

const SECRETS: [&str; 27] = [
    "vip@shop.example",
    "other@shop.example",
    "dave@shop.example",
    "u-9284",
    "Bob-4711",
    "bob-4711",
    "carol-17",
    "Annabel",
    "annabel",
    "Lee",
    "5551234",
    "94016",
    "10001",
    "Rue Morgue",
    "GOLD-1",
    "TIN-2",
    "4111111111111111",
    "12,50",
    "DE02120300000000202051",
    "shop.example",
    "deadbeef99",
    "hunter22",
    "gold-price",
    "1999",
    "aaaa",
    "bbbb",
    "c0ffee",
];

#[test]
fn filters_and_pages_come_out_as_before_though_the_catalog_is_replaced_along() {
    let catalog = catalog(FILTERED);
    let mut first =
        post(1, &[("x-launchdarkly-payload-id", "Annabels-id")], Value::from(filtered_events()).to_string());
    first.credential = Some(Credential::mask("sdk-11111111-2222-3333-4444-55555555aaaa"));
    let mut second = post(2, &[], Value::from(filtered_events()).to_string());
    second.path = "/events/bulk/c0ffee".to_owned();
    second.credential = Some(Credential::masked("sdk-…bbbb#1234"));
    let mut elsewhere = post(3, &[], Value::from(filtered_events()).to_string());
    elsewhere.path = "/events/bulk/c0ffee00".to_owned();
    let mut foreign = post(4, &[], Value::from(filtered_events()).to_string());
    foreign.credential = Some(Credential::mask("mob-99999999-2222-3333-4444-55555555aaaa"));
    let recording = recorded(Some(&catalog), &[first, second, elsewhere, foreign]);
    let (shared, was) = comes_to_the_same(&recording);
    let verdicts: BTreeSet<&str> = was.rows.iter().map(|row| row["verdict"].as_str().unwrap()).collect();
    for expected in [
        "counted",
        "filter-mismatch",
        "filter-attr-redacted",
        "wrong-environment",
        "not-an-experiment-event",
        "unknown-not-observed",
    ] {
        assert!(verdicts.contains(expected), "{expected} in {verdicts:?}");
    }
    // What a filter reads with other operators than "in" is kept, and the list says so.
    let secrets = SECRETS.into_iter().filter(|secret| !["94016", "10001"].contains(secret));
    says_nothing_of(&shared, secrets);
    assert!(shared.contains("94016") && shared.contains(r#""3.0.0""#));
    let mut redactor = redactor(&recording, &[], &KEY);
    redacted_by(&mut redactor, &recording);
    let list = redactor.list().to_string();
    assert!(list.contains("values of user /address/zip: the filter of metric vips reads them (startsWith)"), "{list}");
    assert!(list.contains("selectors a metric of the catalog names"), "{list}");
    assert!(shared.lines().next().unwrap().contains(r#""redacted":true"#));
}

#[test]
fn patterns_on_pages_are_answered_as_before() {
    let text = FILTERED.replace(
        r#"{ kind = "exact", url = "https://shop.example/x?y=z#a/b" }"#,
        r#"{ kind = "substring", substring = "/ord" }, { kind = "regex", pattern = "/users/[^/]+/orders/[0-9]{4}$" }"#,
    );
    let catalog = catalog(&text);
    let mut events = filtered_events();
    for url in [
        "https://shop.example/users/annabel.lee/orders/9917",
        "https://shop.example/users/annabel.lee/orders/991",
        "https://shop.example/users/annabel.lee/ordinary",
        "https://shop.example/ord#/annabel.lee",
        "https://shop.example/or#d/annabel.lee",
    ] {
        events.push(event("pageview", "internal-id", json!({"url": url, "contextKeys": {"user": "Bob-4711"}})));
    }
    let recording = recorded(Some(&catalog), &[post(1, &[], Value::from(events).to_string())]);
    let (shared, was) = comes_to_the_same(&recording);
    assert!(was.rows.iter().any(|row| row["metric"] == "seen" && row["verdict"] == "counted"));
    says_nothing_of(&shared, ["annabel.lee", "9917", "hunter22", "deadbeef99"]);
}

#[test]
fn a_filter_that_looks_into_keys_is_refused_unless_they_are_kept() {
    let catalog =
        catalog(&FILTERED.replace(r#"attribute = "key", op = "in""#, r#"attribute = "key", op = "endsWith""#));
    let refused = Redactor::new(&KEY, Some(&catalog), true, &[]).unwrap_err();
    assert_eq!(refused, Refusal::FilterOnKeys { metric: "this-user".to_owned(), op: "endsWith".to_owned() });
    let recording = recorded(Some(&catalog), &[post(1, &[], Value::from(filtered_events()).to_string())]);
    let shared = redacted_by(&mut redactor(&recording, &[Keep::Keys], &KEY), &recording);
    assert!(shared.contains("Bob-4711"));
    assert_eq!(outcome(&shared).rows, outcome(&recording).rows);
}

#[test]
fn what_is_asked_for_is_kept_and_nothing_else() {
    let keep: Vec<Keep> =
        ["attribute:/address/street", "data:sku", "values", "notes"].map(|keep| keep.parse().unwrap()).into();
    assert_eq!("attribute:key".parse(), Ok(Keep::Keys));
    assert!("attribute:".parse::<Keep>().is_err() && "everything".parse::<Keep>().is_err());
    let recording = recorded(None, &[post(1, &[], Value::from(filtered_events()).to_string())]);
    let shared = redacted_by(&mut redactor(&recording, &keep, &KEY), &recording);
    for kept in ["Rue Morgue 7", "GOLD-1", "gold-price", "1999", "disk of annabels-laptop full"] {
        assert!(shared.contains(kept), "{kept}");
    }
    says_nothing_of(&shared, ["94016", "Bob-4711", "Lee", "5551234", "shop.example/"]);
}

#[test]
fn where_the_reader_has_the_catalog_what_it_names_stays_and_only_that() {
    let catalog = catalog(FILTERED);
    let text = filtered_events().iter().map(|event| format!("{event}\n")).collect::<String>();
    let mut redactor = Redactor::new(&KEY, Some(&catalog), false, &[]).unwrap();
    let shared = redactor.plain(&text);
    let judged = |text: &str| {
        let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
        let mut rows = Vec::new();
        let mut events = Vec::new();
        intake::plain(&mut state, "file", text, |state, received| {
            events.push(Judged::new(state, &received, None, None))
        });
        for event in &events {
            rows.extend(verdicts::rows(&state, &catalog, event).into_iter().map(|row| {
                let mut row = serde_json::to_value(row).unwrap();
                row["unit"] = Value::Null;
                row
            }));
        }
        rows
    };
    assert_eq!(judged(&shared), judged(&text));
    assert!(shared.contains("vip@shop.example") && shared.contains("Bob-4711"));
    for gone in ["carol-17", "Annabel", "annabel", "TIN-2", "dave@", "hunter22", "DE0212", "other@"] {
        assert!(!shared.contains(gone), "{gone}");
    }
}

#[test]
fn what_cannot_be_read_is_filled_and_stays_as_unreadable() {
    let good = exposure(json!({"kind": "user", "key": "Annabel"})).to_string();
    let bodies: Vec<Vec<u8>> = vec![
        b"Annabel is not json".to_vec(),
        format!("[{good},{{\"kind\":\"custom\",\"key\":\"6\" Annabel\"}},{good}]").into_bytes(),
        format!("[{good} {good},,[\"Annabel\"],7,\"Annabel\",null]").into_bytes(),
        format!("[{good},{{\"kind\":\"custom\",\"name\":\"Annabel").into_bytes(),
        format!("[{good}\n[{good},{{\"Annabel\n{good}").into_bytes(),
        format!("[{good}] Annabel").into_bytes(),
        format!("\u{feff}[{good}]").into_bytes(),
        gzip(b"Annabel"),
        gzip(format!("[{good}]").as_bytes()),
        gzip(b"Annabel Annabel")[..20].to_vec(),
        b"[\"Annabel \xff\"]".to_vec(),
        b"".to_vec(),
        b"[{\"kind\":\"custom\",\"key\":null,\"creationDate\":1,\"who\":\"Annabel\"}]".to_vec(),
        b"{\"kind\":\"Annabel likes this\",\"key\":\"Annabel\"}".to_vec(),
        b"[{\"kind\":\"quantum\",\"Annabel@home\":\"\\u0041nnabel\",\"n\":17999}]".to_vec(),
    ];
    let mut envelopes: Vec<Envelope> =
        bodies.into_iter().enumerate().map(|(number, body)| post(number as u64 + 1, &[], body)).collect();
    let loss = BodyLoss::Closed { received: 9, announced: None };
    envelopes.push(Envelope { loss: Some(loss), ..post(90, &[], "Annabel") });
    envelopes.push(post(91, &[("content-encoding", "br")], "Annabel"));
    envelopes.push(post(92, &[("content-encoding", "Annabel")], "Annabel"));
    envelopes.push(Envelope { path: "/a/Annabel.gif?d=%%Annabel".to_owned(), ..post(93, &[], "Annabel") });
    envelopes.push(Envelope { path: "/a/Annabel.gif?x=Annabel".to_owned(), ..post(94, &[], "") });
    envelopes.push(Envelope { via: Via::File, path: "Annabel.ndjson".to_owned(), ..post(95, &[], good.clone()) });
    let answer = Some(Answer { status: 401, from: AnsweredBy::Upstream });
    envelopes.push(Envelope { answer, ..post(96, &[], good) });
    let mut recording = recorded(None, &envelopes);
    recording.push_str("{\"t\":5,\"n\":1,\"Annabel\n{\"t\":7,\"something\":\"Annabel later writes\"}\n{\"t\":6,\"n\":1,\"path\":\"Annabel");
    // The half line at the end is no loss, and is not there any more.
    let whole = recording.rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let shared = redacted(&recording);
    same_outcome(&whole, &shared, &StandIns::new(&KEY));
    let undecodable = outcome(&shared).report["totals"]["undecodable"].as_u64().unwrap();
    assert!(undecodable > 12, "{undecodable}");
    says_nothing_of(&shared, ["Annabel", "annabel", "17999"]);
}

#[test]
fn what_a_retry_changed_is_still_a_change_though_the_numbers_are_gone() {
    let body = |age: u64| {
        Value::from(vec![event("custom", "x", json!({"context": {"kind": "user", "key": "u", "age": age}}))])
            .to_string()
    };
    let id = [("x-launchdarkly-payload-id", "one")];
    let envelopes = [post(1, &id, body(41)), post(2, &id, body(41)), post(3, &id, body(42)), post(4, &id, body(43))];
    let (shared, was) = comes_to_the_same(&recorded(None, &envelopes));
    let codes: Vec<&str> =
        was.report["findings"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"payload-id-reused"), "{codes:?}");
    assert!(!shared.contains("41") && shared.contains(r#""age":0"#), "{shared}");
}

#[test]
fn headers_are_kept_by_a_list_of_those_that_say_nothing() {
    let envelope = post(
        1,
        &[
            ("user-agent", "Mozilla/5.0 (X11; Annabel's machine) Firefox/1.0"),
            ("x-launchdarkly-user-agent", "JSClient/4.10.3"),
            ("x-launchdarkly-event-schema", "4"),
            ("x-launchdarkly-tags", "application-id/annabels-shop application-version/1.2.3"),
            ("x-launchdarkly-annabel@home", "x"),
            ("x-launchdarkly-instance-id", "5c0ffee5-0000-4000-8000-000000000000"),
            ("x-launchdarkly-wrapper", "react-client-sdk/3.0.0"),
            ("content-type", "application/json"),
            ("x-forwarded-for", "10.1.2.3"),
            ("cookie", "session=deadbeef"),
            ("referer", "https://shop.example/annabel"),
            ("x-annabel", "hello"),
        ],
        "[]",
    );
    let shared = Redactor::new(&KEY, None, true, &[]).unwrap().envelope(&envelope);
    let kept: Vec<(&str, &str)> = shared
        .headers
        .iter()
        .zip(&envelope.headers)
        .filter(|(new, old)| new == old)
        .map(|(new, _)| (new.0.as_str(), new.1.as_str()))
        .collect();
    assert_eq!(
        kept,
        [
            ("x-launchdarkly-user-agent", "JSClient/4.10.3"),
            ("x-launchdarkly-event-schema", "4"),
            ("x-launchdarkly-wrapper", "react-client-sdk/3.0.0"),
            ("content-type", "application/json"),
        ]
    );
    let text = format!("{:?}", shared.headers);
    for secret in ["nnabel", "10.1.2.3", "deadbeef", "shop.example", "5c0ffee5", "1.2.3\"", "Firefox", "hello"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(shared.header("user-agent").unwrap().starts_with("Mozilla/5.0 ("));
    assert!(shared.header("x-launchdarkly-tags").unwrap().starts_with("application-id/"));
}

#[test]
fn two_runs_share_no_stand_in_and_one_run_is_consistent() {
    let text = Value::from(filtered_events()).to_string();
    let recording = recorded(None, &[post(1, &[], text)]);
    let one = redacted(&recording);
    let other = redacted_by(&mut redactor(&recording, &[], &OTHER_KEY), &recording);
    let stand_in = StandIns::new(&KEY).of("Bob-4711").into_owned();
    assert!(one.contains(&stand_in) && !other.contains(&stand_in));
    // The same text is the same as a key, in another kind, and in an attribute.
    let context = json!({"kind": "multi", "user": {"key": "Bob-4711"}, "device": {"key": "Bob-4711", "owner": "Bob-4711", "at": ["Bob-4711"]}});
    let shared = Redactor::new(&KEY, None, false, &[]).unwrap().plain(&exposure(context).to_string());
    assert_eq!(shared.matches(&stand_in).count(), 4, "{shared}");
}

#[test]
fn only_values_change_in_json_and_every_byte_between_them_stays() {
    let text = "  [ {\"kind\" : \"custom\",\n\t\"key\":\"b\\u0075y\", \"creationDate\":1.767e12,\"metricValue\": 1.50, \"context\":{\"kind\":\"user\",\"key\":\"null\",\"a\":1e400,\"b\":-0.0,\"c\":[],\"d\":{ },\"e\":true,\"f\":\"\"}} ,\r\n{\"kind\":\"index\"}]\n";
    let shared = Redactor::new(&KEY, None, false, &[]).unwrap().plain(text);
    let expected = text.replace("1e400", "1e999").replace("-0.0", "0").replace("true", "false");
    assert_eq!(shared, expected);
    let mut redactor = Redactor::new(&KEY, None, false, &[]).unwrap();
    redactor.plain(text);
    assert_eq!((redactor.list().count(Sort::Number), redactor.list().count(Sort::Boolean)), (2, 1));
    assert_eq!((redactor.list().events, redactor.list().unreadable), (2, 0));
}

/// Values that are alike, and some that are not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => prop::sample::select(vec!["Key-One", "key-one", "KEY-ONE ", " key-one", "key-two", "key-two\u{fffd}", "null", "anonymous", ""]).prop_map(str::to_owned),
        1 => "[a-cA-C]{3,5}-9",
        1 => "\\PC{2,4}§",
    ]
}

fn attribute() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![
            json!(7),
            json!(7.5),
            json!(-3),
            json!(null),
            json!("2.5.0"),
            json!("vip@shop.example"),
            json!("GOLD-1")
        ]),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(name(), inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["email", "address", "zip", "app", "sku", "anonymous", "x@y", "id-12345", "_meta"])
        .prop_map(str::to_owned)
}

fn attributes() -> impl Strategy<Value = Value> {
    let redacted = prop::option::weighted(
        0.2,
        prop::sample::subsequence(vec!["email", "/address", "/address/zip", "app", "x@y", "//"], 0..3),
    );
    (text(), prop::collection::hash_map(name(), attribute(), 0..4), redacted).prop_map(
        |(key, mut attributes, redacted)| {
            attributes.insert("key".to_owned(), key.into());
            if let Some(redacted) = redacted {
                attributes.insert("_meta".to_owned(), json!({"redactedAttributes": redacted, "secondary": "s-e-c"}));
            }
            Value::Object(attributes.into_iter().collect())
        },
    )
}

fn context() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (attributes(), prop::sample::select(vec!["user", "device"])).prop_map(|(mut attributes, kind)| {
            attributes["kind"] = kind.into();
            json!({"context": attributes})
        }),
        2 => (attributes(), attributes()).prop_map(|(user, device)| json!({"context": {"kind": "multi", "user": user, "device": device}})),
        1 => (text(), text()).prop_map(|(user, device)| json!({"contextKeys": {"user": user, "device": device}})),
        1 => attributes().prop_map(|mut user| {
            let custom = user["address"].take();
            user["custom"] = json!({"address": custom});
            user["privateAttrs"] = json!(["email"]);
            json!({"user": user})
        }),
        1 => text().prop_map(|key| json!({"userKey": key})),
        1 => Just(json!({})),
    ]
}

fn any_event() -> impl Strategy<Value = Value> {
    let url = prop::sample::select(vec![
        "https://shop.example/Checkout",
        "https://shop.example/Checkout/?q=Key-One",
        "https://shop.example/x?y=z#a/b",
        "https://shop.example/null/#a",
        "x",
    ]);
    let part = prop_oneof![
        3 => (context(), prop_oneof![Just(true), Just(false)], 0..3).prop_map(|(context, inside, variation)| {
            let reason = json!({"kind": "FALLTHROUGH", "inExperiment": inside});
            ("feature", "f", json!([context, {"reason": reason, "variation": variation, "version": 3, "value": "v-a-l-u-e"}]))
        }),
        4 => (context(), attribute()).prop_map(|(context, data)| ("custom", "buy", json!([context, {"data": data, "metricValue": 3}]))),
        2 => (context(), url, any::<bool>()).prop_map(|(context, url, click)| {
            (if click { "click" } else { "pageview" }, "id", json!([context, {"url": url, "selector": ".buy"}]))
        }),
        1 => context().prop_map(|context| ("identify", "Key-One", json!([context]))),
        1 => Just(("alias", "Key-One", json!([{"previousKey": "key-two", "contextKind": "user"}]))),
        1 => text().prop_map(|value| ("summary", "", json!([{"startDate": T, "endDate": T, "features": {"f": {"default": value, "contextKinds": ["device"], "counters": [{"value": value, "variation": 1, "version": 3, "count": 2}]}}}]))),
        1 => text().prop_map(|text| ("later", "k", json!([{"unheard": text, "of": [1, text]}]))),
    ];
    (part, 0..5_i64).prop_map(|((kind, key, parts), t)| {
        let mut event = json!({"kind": kind, "key": key, "creationDate": T + t});
        for part in parts.as_array().unwrap() {
            event.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        event
    })
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let agent = prop::sample::select(vec![
        "NodeJSClient/9.0.0",
        "PythonClient/9.18.2",
        "PythonClient/Key-One",
        "Mozilla/5.0 (Key-One)",
        "Key-One",
    ]);
    let path =
        prop::sample::select(vec!["/bulk", "/events/bulk/c0ffee", "/events/bulk/Key-One", "/Key-One/mobile?x=Key-One"]);
    let credential =
        prop::sample::select(vec![None, Some("sdk-11111111-2222-3333-4444-55555555aaaa"), Some("mob-123456789")]);
    let body = (
        prop::collection::vec(any_event(), 0..6),
        prop::option::weighted(0.15, (any::<prop::sample::Index>(), "[\\[\\]{},:\"x\n]{0,2}")),
        0..4,
    )
        .prop_map(|(events, damage, packing)| {
            let mut text = Value::from(events).to_string();
            if let Some((at, insert)) = damage {
                let mut at = at.index(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                text.insert_str(at, &insert);
            }
            (text, packing)
        });
    (agent, path, credential, prop::option::of(0..3), body).prop_map(
        |(agent, path, credential, id, (text, packing))| {
            let mut headers = vec![("user-agent".to_owned(), agent.to_owned())];
            headers.extend(id.map(|id| ("x-launchdarkly-payload-id".to_owned(), format!("Key-One-{id}"))));
            let (path, body) = match packing {
                0 => (format!("/a/c0ffee.gif?d={}", URL_SAFE_NO_PAD.encode(&text)), Vec::new()),
                1 => (path.to_owned(), gzip(text.as_bytes())),
                _ => (path.to_owned(), text.into_bytes()),
            };
            Envelope {
                path,
                headers,
                credential: credential.map(Credential::mask),
                via: if packing == 3 { Via::File } else { Via::Http },
                ..post(1, &[], body)
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_is_received_comes_to_the_same(mut envelopes in prop::collection::vec(any_envelope(), 1..6), given in any::<bool>()) {
        for (number, envelope) in envelopes.iter_mut().enumerate() {
            envelope.request = number as u64 + 1;
        }
        let catalog = catalog(FILTERED);
        let recording = recorded(given.then_some(&catalog), &envelopes);
        let (shared, _) = comes_to_the_same(&recording);
        // Some of the filters read values that are kept for them.
        if !given {
            says_nothing_of(&shared, ["Key-One", "key-one", "KEY-ONE", "key-two", "vip@shop.example", "GOLD-1", "v-a-l-u-e", "s-e-c", "id-12345", "x@y"]);
        }
    }
}
