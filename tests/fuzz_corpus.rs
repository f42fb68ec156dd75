//! The functions of the fuzzer, without the fuzzer: on real requests, on requests that are known to be hard, on
//! damaged ones and on arbitrary bytes. How to run the fuzzer itself: `docs/development.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod fuzz_targets;

use exptap::spool::format;
use flate2::{Compression, write::GzEncoder};
use fuzz_targets as targets;
use proptest::prelude::*;
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// Texts that look like what each room expects.
const BODIES: [&str; 21] = [
    r#"[{"kind":"feature","key":"f","creationDate":10,"variation":1,"version":3,"context":{"kind":"multi","user":{"key":"u"},"device":{"key":"d"}},"reason":{"kind":"RULE_MATCH","ruleId":"r","inExperiment":true},"samplingRatio":2}]"#,
    r#"[{"kind":"custom","key":"checkout","creationDate":20,"metricValue":-1e400,"data":[1,{"a":null}],"contextKeys":{"user":"u"}}]"#,
    r#"[{"kind":"custom","key":"checkout","creationDate":9,"metricValue":7,"user":{"key":"u"}},{"kind":"custom","key":"\ud800"}]"#,
    r#"[{"kind":"pageview","key":"id","url":"https://x.example/a?b#c","creationDate":30,"contextKeys":{"user":"u"}},]"#,
    r#"[{"kind":"summary","startDate":1,"endDate":9,"features":{"f":{"default":0,"contextKinds":["device"],"counters":[{"variation":0,"version":3,"count":4},{"unknown":true,"count":1}]}}}]"#,
    r#"{"kind":"diagnostic","droppedEvents":3}"#,
    r#"[{"kind":"identify","key":"6" nails"},{"kind":"index"} {"kind":"alias"}}, 7 8]"#,
    "[{\"kind\":\"index\"},{\"kind\":\"al\n[{\"kind\":\"index\"}\n{\"kind\":\"alias\"}\n",
    "{\"kind\":\"custom\",\"key\":\"checkout\",\"creationDate\":1e3,\"userKey\":\"u\"}\r\n\r\nnot JSON",
    r#"{"project":"p","environment":"62f0c0ffee62f0c0ffee62f0","event":{"kind":"custom","key":"checkout","creationDate":20,"contextKeys":{"user":"u"}},"version":2}"#,
    r#"{"FLAG_KEY":"f","CONTEXT_KEY":"u","CONTEXT_KIND":"user","CONTEXT_ATTRIBUTES":"{\"a\":1}","VARIATION_ID":"v","REASON_DETAIL":"{\"in_experiment\":true}","EXPERIMENT_ITERATION_ID":"1","RECEIVED_TIME":"2026-01-01 00:00:00.1 +0000"}"#,
    r#"[{"event_key":"checkout","event_value":"1e1","context_key":"u","context_kind":"user","received_time":"1767225600000","environment_id":"e"}]"#,
    r#"{"events":[{"id":1,"written_at":"2026-01-01T00:00:00Z","kind":"index","data":{"kind":"index"}},7],"total_count":1,"has_more":false}"#,
    r#"{"id":1,"written_at":"2026-01-01 00:00:00","kind":"custom","data":"{\"kind\":\"custom\",\"key\":\"k\",\"creationDate\":1,\"metricValue\":\"x\"}"}"#,
    r#"{"batch":[{"type":"track","event":"checkout","userId":"u","anonymousId":null,"timestamp":"2026-01-01T00:00:00Z","messageId":"m","properties":{"revenue":"12.5"}},{"type":"page","name":"Home","userId":7},5,{"type":"track","event":"checkout","messageId":"m","userId":"u","timestamp":1}],"sentAt":"2026-01-01T00:00:01Z","context":{"device":{"id":"d"}},"writeKey":"k"}"#,
    r#"{"type":"identify","anonymousId":"a","userId":"u","traits":{"email":"x"},"integrations":{"All":false,"LaunchDarkly (Actions)":true},"originalTimestamp":"soon"}"#,
    r#"[{"type":"track","event":"feature","userId":"u","timestamp":"2026-01-01T00:00:00Z","properties":{"environment":"e","project":"p","key":"f","contextKeys":{"user":"u"},"variation":0,"reasonKind":"FALLTHROUGH","inExperiment":true,"flagVersion":3}},{"type":"track","event":"Custom","properties":{"environment":"e","project":"p"}}]"#,
    "{\"type\":\"track\",\"event\":\"checkout\",\"userId\":\"u\"}\n{\"batch\":[{\"type\":\"track\",\"event\":\"checkout\",\"userId\":\"\"}]}\n",
    "\u{feff}[]",
    "W3sia2luZCI6ImluZGV4In1d",
    "",
];
const FLAGS: [&str; 3] = [
    r#"{"flags":{"f":{"key":"f","version":7,"on":true,"salt":"s","variations":["a","b"],"rules":[{"id":"r","rollout":{"variations":[{"variation":0,"weight":100000}]}}],"fallthrough":{"rollout":{"kind":"experiment","contextKind":"user","seed":61,"variations":[{"variation":0,"weight":50000},{"variation":1,"weight":50000,"untracked":true}]}}}}}"#,
    "event: put\ndata: {\"path\":\"/\",\"data\":{\"flags\":{\"f\":{\"fallthrough\":{\"rollout\":{\"kind\":\"experiment\",\"seed\":0,\"variations\":[{\"variation\":1,\"weight\":100000}]}}}}}}\n\n",
    r#"{"key":"f","salt":"","fallthrough":{"rollout":{"kind":"experiment","bucketBy":"email","variations":[{"variation":0,"weight":30000},{"variation":0,"weight":0}]}}}"#,
];

const CATALOGS: [&str; 4] = [
    include_str!("catalogs/valid/everything.toml"),
    include_str!("catalogs/valid/everything.json"),
    include_str!("catalogs/invalid/wrong-types.toml"),
    include_str!("catalogs/invalid/bad-times.toml"),
];
/// Mapping files, each with an event behind a NUL.
const MAPPINGS: [&str; 5] = [
    concat!(
        r#"{"settings":{"client_id":"c"},"mappings":[{"action":"trackEvent","subscribe":"type=\"track\" and (contains(event, \"e\") or properties.n >= 5)","mapping":{"user_key":{"@if":{"exists":{"@path":"$.userId"},"then":{"@path":"$.userId"},"else":{"@path":"$.anonymousId"}}},"event_name":{"@template":"{{event}}-{{{properties.list[0]}}}"},"metric_value":{"@path":"$.properties['n']"},"event_properties":{"@flatten":{"value":{"@path":"$.properties"},"separator":"."}},"timestamp":{"@path":"$.timestamp"}}}]}"#,
        "\0",
        r#"{"type":"track","event":"e","userId":"u","timestamp":"2022-03-30T17:24:58+02:00","properties":{"n":"5","list":["x",{"a":null}]}}"#,
    ),
    concat!(
        r#"{"settings":{"client_id":1,"events_host_name":"a.b"},"mappings":[{"action":"trackEvent","subscribe":"!match(event, \"x*\")","mapping":{"user_key":{"@replace":{"pattern":"a","replacement":"$&$&","value":{"@path":"$.userId"}}},"event_name":{"@case":{"operator":"upper","value":{"@path":"$.event"}}},"additional_context_keys":{"@merge":{"direction":"left","objects":[{"device":{"@path":"$.anonymousId"}},{"@json":{"mode":"decode","value":"{\"1\":[2]}"}}]}},"event_properties":{"items":{"@arrayPath":["$.properties.items",{"k":{"@path":"$.sku"}}]},"gone":{"@excludeWhenNull":{"a":null}}}}}]}"#,
        "\0",
        r#"{"event":"e","userId":"aa","anonymousId":7,"properties":{"items":[{"sku":1},2]},"timestamp":"Wed, 30 Mar 2022 17:24:58 GMT"}"#,
    ),
    concat!(
        r#"{"settings":{"client_id":"c"},"mappings":[{"action":"aliasUser","subscribe":"type = \"identify\"","enabled":true,"mapping":{"__segment_internal_directive":{"@transform":{"apply":{"a":{"@template":"{{userId}}{{userId}}"},"t":5}}},"user_key":{"@path":"$.a"},"previous_key":{"@literal":[null]},"timestamp":{"@path":"$.t"}}}]}"#,
        "\0",
        r#"{"type":"identify","userId":"\ud83c\udf89"}"#,
    ),
    "[settings]\nclient_id = \"c\"\n[[mappings]]\naction = \"trackEvent\"\nsubscribe = 'type = \"track\"'\n[mappings.mapping]\nuser_key = \"u\"\nevent_name = { \"@path\" = \"$.event\" }\ntimestamp = 2026-01-01T00:00:00Z\n\u{0}{\"type\":\"track\",\"event\":5}",
    "{\"settings\":{}}\u{0}{\"type\":\"track\"}",
];
const QUERIES: [&str; 5] = [
    "checkout code:event-lacks-unit since:5m",
    r"(exp:checkout-* or not verdict:dropped) /time.?\/out/ unit:/a\\/",
    r#"not unit:device/* "exact \" words" key:"a\\b""#,
    "until:1767225600000 source:NodeJSClient",
    "or not ) (",
];
/// What is said on a feed.
const FEEDS: [&str; 3] = [
    "{\"feed\":\"hello\",\"version\":1,\"tool\":\"exptap 0.1.0\",\"epoch\":\"a1\",\"first\":3,\"last\":9,\"now\":5}\n{\"exptap\":1,\"redacted\":false,\"part\":{\"of\":\"a\",\"number\":2}}\n{\"feed\":\"gap\",\"from\":1,\"to\":2,\"t\":5,\"cause\":\"gone\"}\n{\"t\":5,\"n\":3,\"path\":\"/bulk\",\"body\":[]}\n{\"t\":5,\"n\":18446744073709551615,\"path\":\"/bulk\",\"body\":[]}\n",
    "{\"feed\":\"resume\",\"version\":1,\"epoch\":\"a1\",\"after\":7,\"only\":\"key:\\\"a b\\\"\",\"compress\":true}\n{\"feed\":\"weather\"}\n{\"feed\":\"bye\",\"last\":9,\"why\":\"\\u001b[2J\",\"is_final\":true}\n",
    "{\"feed\":\"gap\",\"from\":9,\"to\":2,\"t\":-1,\"cause\":\"eaten\"}\n{\"feed\":\"gap\",\"from\":1,\"to\":18446744073709551615,\"t\":0,\"cause\":\"not-asked\"}\n",
];
/// What follows the header of a recording.
const REPLAYED: [&str; 3] = [
    concat!(
        r#"{"t":1000,"n":1,"path":"/bulk","headers":{"x-launchdarkly-payload-id":"p"},"body":[{"kind":"feature","key":"f","creationDate":10,"variation":1,"context":{"kind":"user","key":"u"},"reason":{"kind":"FALLTHROUGH","inExperiment":true}}]}"#,
        "\n\r\n",
        r#"{"t":1500,"mark":"here"}"#,
        "\n",
        r#"{"t":1400,"n":2,"path":"/bulk","body":[{"kind":"custom","key":"checkout","creationDate":20,"metricValue":2,"context":{"kind":"user","key":"u"}},{"kind":"custom","key":"checkout","creationDate":5,"context":{"kind":"user","key":"v"}}]}"#,
        "\n",
        r#"{"t":90000,"gap":{"lost":2,"why":"full"}}"#,
        "\n{\"t\":\n",
        r#"{"t":95000,"n":3,"path":"/bulk","headers":{"x-launchdarkly-payload-id":"p"},"body":[{"kind":"summary","startDate":1,"endDate":9,"features":{"f":{"default":0,"contextKinds":["device"],"counters":[{"variation":0,"version":3,"count":4}]}}}]}"#,
        "\n",
        r#"{"t":95000,"n":4,"path":"/bulk","body_base64":"W3sia2luZCI6ImluZGV4In1d"}"#,
    ),
    "{\"exptap\":1,\"observed_from\":5}\n{\"t\":9223372036854775807,\"n\":1,\"path\":\"/\",\"body\":[]}\n{\"t\":-9223372036854775808,\"mark\":\"\"}\n",
    "",
];
const CHECKS: [&str; 8] = [
    "no finding of severity error code event-lacks-unit",
    "findings",
    "totals events >= 1",
    "lost = 0",
    "test@1/checkout/\"variation 0\" rate != 0.5e-3",
    "test sample_ratio p > -1",
    "\"no\"@\"a \\\" b\" exposure-lacks-unit == 12",
    "test/revenue/0 mean <= +.5",
];
const RECORDINGS: [&str; 9] = [
    r#"{"exptap":1,"created_at":"2026-11-21T08:00:00Z","observed_from":1,"tool":"t","note":"n","catalog":{"metrics":[]},"mapping":{"settings":{}},"redacted":true}"#,
    r#"{"t":5,"n":1,"via":"http","method":"POST","path":"/bulk?x=\"","headers":{"user-agent":"a\u001b","a":"b"},"credential":"sdk-…1f2a#9c41","encoding":"gzip","wire_bytes":8,"body":[{"kind":"index"}],"response":{"status":202,"from":"upstream"}}"#,
    r#"{"t":5,"n":2,"path":"/bulk","encoding":"gzip","body_base64":"H4sIAAAAAAAA/4uOBQApu0wNAgAAAA=="}"#,
    r#"{"t":5,"n":3,"via":"file","path":"x.ndjson","body":"a string","loss":{"closed":{"received":1,"announced":null}}}"#,
    r#"{"t":5,"n":4,"path":"/","body":null,"loss":{"too_large":{"bytes":5,"limit":4}},"headers":{"Authorization":"sdk-0"}}"#,
    r#"{"t":1,"mark":"clicked \"Buy\"\n"}"#,
    r#"{"t":2,"gap":{"lost":12,"why":"full"}}"#,
    "{\"t\":1,\"mark\":\"a\"}\n{\"t\":2,\"gap\":{}}\r\n{\"t\":3,\"later\":1}",
    r#"{"exptap":2,"new":["#,
];
const UNTRUSTED: [&str; 4] = [
    "\u{1b}]52;c;aGk=\u{7}\u{9b}2J\r\n",
    "\u{202e}a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "👩\u{200d}💻🇫🇷日本",
    "x",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request as the target takes it: how it is sent, then its bytes.
fn sent(how: u8, bytes: &[u8]) -> Vec<u8> {
    [&[how], bytes].concat()
}

#[test]
fn real_requests_hold() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let mut requests = 0;
    for file in std::fs::read_dir(captures).unwrap() {
        for line in std::fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            targets::json(line.as_bytes());
            let body = serde_json::from_str::<Value>(line).unwrap()["body"].to_string();
            (0..128).step_by(5).chain(0..8).for_each(|how| targets::body(&sent(how, body.as_bytes())));
            requests += 1;
        }
    }
    assert!(requests > 20, "the captures are there");
}

#[test]
fn hard_requests_hold_at_every_cut_and_in_every_way_of_sending() {
    for body in BODIES {
        targets::json(body.as_bytes());
        for how in (0..16).chain([32, 33, 64, 96, 98]) {
            targets::body(&sent(how, body.as_bytes()));
            targets::body(&sent(how, &gzip(body.as_bytes())));
        }
        for how in (0..32).chain([32, 33, 64, 96, 98]) {
            targets::redact(&sent(how, body.as_bytes()));
            targets::redact(&sent(how, &gzip(body.as_bytes())));
        }
        for cut in 0..body.len() {
            targets::body(&sent(0, &body.as_bytes()[..cut]));
            targets::body(&sent(32, &body.as_bytes()[..cut]));
            targets::redact(&sent(2, &body.as_bytes()[..cut]));
        }
        let packed = gzip(body.as_bytes());
        for cut in (0..packed.len()).step_by(5) {
            targets::body(&sent(1, &packed[..cut]));
        }
    }
}

#[test]
fn the_corpora_of_the_other_rooms_hold() {
    CATALOGS.iter().for_each(|text| targets::catalog(text.as_bytes()));
    FLAGS.iter().for_each(|text| targets::flags(text.as_bytes()));
    QUERIES.iter().for_each(|text| targets::query(text.as_bytes()));
    CHECKS.iter().for_each(|text| targets::check(text.as_bytes()));
    MAPPINGS.iter().for_each(|text| targets::segment(text.as_bytes()));
    UNTRUSTED.iter().for_each(|text| targets::untrusted(text.as_bytes()));
    RECORDINGS.iter().for_each(|text| targets::recording(text.as_bytes()));
    FEEDS.iter().for_each(|text| targets::feed(text.as_bytes()));
}

#[test]
fn feeds_hold_at_every_cut() {
    for text in FEEDS {
        (0..=text.len()).for_each(|cut| targets::feed(&text.as_bytes()[..cut]));
        let packed = exptap::protocol::Packer::new().unwrap().pack(text.as_bytes()).unwrap();
        (0..=packed.len()).for_each(|cut| targets::feed(&packed[..cut]));
    }
}

/// Texts as a compressed recording of one frame each, with its table.
fn packed(texts: &[&[u8]]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let frames: Vec<Vec<u8>> = texts.iter().map(|text| compressor.compress(text).unwrap()).collect();
    let sizes: Vec<(u32, u32)> =
        frames.iter().zip(texts).map(|(frame, text)| (frame.len() as u32, text.len() as u32)).collect();
    [frames.concat(), exptap::recording::frames::seek_table(&sizes)].concat()
}

#[test]
fn compressed_recordings_hold_at_every_cut() {
    let file = packed(&RECORDINGS.map(str::as_bytes));
    (0..=file.len()).step_by(3).for_each(|cut| targets::recording(&file[..cut]));
}

/// A field that doubles itself at every level, and fields as deep as a file may be.
#[test]
fn mappings_that_grow_without_end_come_to_one() {
    let mapping = |field: &str| {
        let fields = format!(r#"{{"user_key":"u","event_name":"e","event_properties":{field}}}"#);
        let mapping = format!(r#"{{"action":"trackEvent","subscribe":"type = \"track\"","mapping":{fields}}}"#);
        format!(
            "{{\"settings\":{{\"client_id\":\"c\"}},\"mappings\":[{mapping}]}}\0{{\"type\":\"track\",\"a\":\"aa\"}}"
        )
    };
    let nested = |open: &str, inner: &str, close: &str, levels: usize| {
        mapping(&[&open.repeat(levels), inner, &close.repeat(levels)].concat())
    };
    let grow = |apply: &str| format!(r#"{{"@transform":{{"apply":{{"a":{apply}}},"mapping":"#);
    for text in [
        nested(&grow(r#"{"@template":"{{a}}{{a}}"}"#), r#"{"a":{"@path":"$.a"}}"#, "}}", 50),
        nested(&grow(r#"[{"@path":"$.a"},{"@path":"$.a"}]"#), r#"{"a":{"@path":"$.a"}}"#, "}}", 50),
        nested(
            &grow(r#"{"b":{"b":{"@path":"$.a"}}}"#),
            r#"{"@flatten":{"value":{"@path":"$.a"},"separator":"."}}"#,
            "}}",
            50,
        ),
        nested(r#"{"@literal":"#, r#"{"a":1}"#, "}", 120),
        nested(r#"{"a":"#, "1", "}", 120),
        nested("[", "1", "]", 120),
        nested(r#"{"@excludeWhenNull":{"a":"#, r#"{"@path":"$."}"#, "}}", 55),
    ] {
        targets::segment(text.as_bytes());
    }
}

#[test]
fn recordings_hold_at_every_cut() {
    for text in REPLAYED {
        for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)).step_by(3).chain([text.len()]) {
            targets::replay(&sent(cut as u8, &text.as_bytes()[..cut]));
        }
    }
}

/// A text of a corpus with some bytes changed, left out and put in.
fn damaged(corpus: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    let interesting = prop::sample::select(b"{}[],:\"\\ \n\x00\x1f0eE-.*/()nt@=<>!\xff\xc3".to_vec());
    (prop::sample::select(corpus), prop::collection::vec((edit, interesting), 0..6)).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for ((at, any, how), byte) in edits {
            let at = at.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = if any < 32 { any } else { byte },
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

fn arbitrary() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damaged_requests_hold(how in 0..128_u8, bytes in prop_oneof![8 => damaged(&BODIES), 1 => arbitrary()]) {
        targets::body(&sent(how, &bytes));
        targets::body(&sent(how, &gzip(&bytes)));
    }

    #[test]
    fn damaged_requests_are_redacted(how in 0..128_u8, bytes in prop_oneof![8 => damaged(&BODIES), 1 => arbitrary()]) {
        targets::redact(&sent(how, &bytes));
        targets::redact(&sent(how, &gzip(&bytes)));
    }

    #[test]
    fn damaged_replays_hold(how in 0..2_u8, bytes in prop_oneof![8 => damaged(&REPLAYED), 1 => arbitrary()]) {
        targets::replay(&sent(how, &bytes));
    }

    #[test]
    fn damaged_json_holds(bytes in prop_oneof![8 => damaged(&BODIES), 1 => arbitrary()]) {
        targets::json(&bytes);
    }

    #[test]
    fn damaged_flags_hold(bytes in prop_oneof![8 => damaged(&FLAGS), 1 => arbitrary()]) {
        targets::flags(&bytes);
    }

    #[test]
    fn damaged_catalogs_hold(bytes in prop_oneof![8 => damaged(&CATALOGS), 1 => arbitrary()]) {
        targets::catalog(&bytes);
    }

    #[test]
    fn damaged_mappings_hold(bytes in prop_oneof![8 => damaged(&MAPPINGS), 1 => arbitrary()]) {
        targets::segment(&bytes);
    }

    #[test]
    fn damaged_filters_hold(bytes in prop_oneof![8 => damaged(&QUERIES), 1 => arbitrary()]) {
        targets::query(&bytes);
    }

    #[test]
    fn damaged_expectations_hold(bytes in prop_oneof![8 => damaged(&CHECKS), 1 => arbitrary()]) {
        targets::check(&bytes);
    }

    #[test]
    fn damaged_feeds_hold(bytes in prop_oneof![8 => damaged(&FEEDS), 1 => arbitrary()]) {
        targets::feed(&bytes);
    }

    #[test]
    fn damaged_recordings_hold(bytes in prop_oneof![8 => damaged(&RECORDINGS), 1 => arbitrary()]) {
        targets::recording(&bytes);
        targets::recording(&packed(&[RECORDINGS[0].as_bytes(), &bytes]));
    }

    #[test]
    fn damaged_frames_hold(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        moved in any::<prop::sample::Index>(),
    ) {
        let mut file = packed(&RECORDINGS.map(str::as_bytes));
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        targets::recording(&file);
        let (second, first) = file.split_at(moved.index(file.len()));
        targets::recording(&[first, second].concat());
    }

    #[test]
    fn damaged_text_holds(bytes in prop_oneof![1 => damaged(&UNTRUSTED), 1 => arbitrary()]) {
        targets::untrusted(&bytes);
    }

    #[test]
    fn damaged_spools_hold(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        tail in arbitrary(),
    ) {
        let mut file = spooled(&bodies);
        file.extend_from_slice(&tail);
        if !file.is_empty() {
            for (at, byte) in edits {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let cut = cut.index(file.len());
            targets::spool(&file[cut..]);
            targets::spool(&file[..cut]);
        }
        targets::spool(&file);
        targets::spool(&tail);
    }
}

/// Requests with these bodies, as a segment of the spool has them behind its first line.
fn spooled(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let head = format!("POST /bulk HTTP/1.1\r\nx-launchdarkly-payload-id: {number}\r\n");
        file.extend(format::encode(head.as_bytes(), number as i64, format::Measure::of(body)));
        file.extend_from_slice(body);
    }
    file
}
