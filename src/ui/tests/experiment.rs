//! An experiment full screen, of a real session: what a metric's kind changes in its figures.

use super::*;
use crate::catalog::Origin;
use crate::catalog::load::{Format, from_text};
use crate::envelope::Envelope;
use crate::session::{Session, SessionOptions};

const CATALOG: &str = r#"
[[metrics]]
key = "latency"
event_key = "load"
measure = "value"
percentile = 95

[[metrics]]
key = "spend"
event_key = "buy"
measure = "value"
exclude_units_without_events = true

[[metrics]]
key = "loaded"
event_key = "load"

[[metrics]]
key = "bought"
event_key = "buy"

[[metric_groups]]
key = "buy-funnel"
kind = "funnel"
metrics = ["loaded", "bought"]

[[experiments]]
key = "cta"
flag = "cta"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["latency", "spend"]
metric_groups = ["buy-funnel"]
started_at = "2026-01-01T00:00:00Z"
"#;

/// Two hundred users, of whom a quarter is in treatment; every third buys, every fifteenth of them as a device. One
/// event is from 1970.
fn session(observed_from_ms: Option<i64>) -> Session {
    let catalog = from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).unwrap();
    let options = SessionOptions { observed_from_ms, ..SessionOptions::from_now(START_MS) };
    let mut session = Session::new(Some(catalog), options);
    let mut events = Vec::new();
    for user in 0..200 {
        let at = START_MS + user * 250;
        let context = format!(r#"{{"kind":"user","key":"u-{user}"}}"#);
        let variation = u8::from(user % 4 == 0);
        events.push(format!(
            r#"{{"kind":"feature","creationDate":{at},"key":"cta","version":1,"variation":{variation},"value":true,"context":{context},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}}}}"#
        ));
        let load = at + 50;
        events.push(format!(
            r#"{{"kind":"custom","creationDate":{load},"key":"load","metricValue":{user}.5,"context":{context}}}"#
        ));
        if user % 3 == 0 {
            let buyer = if user % 15 == 0 { r#"{"kind":"device","key":"d"}"# } else { &context };
            let buy = at + 90;
            events.push(format!(
                r#"{{"kind":"custom","creationDate":{buy},"key":"buy","metricValue":{},"context":{buyer}}}"#,
                user % 7
            ));
        }
    }
    events.push(
        r#"{"kind":"custom","creationDate":1795258984,"key":"buy","context":{"kind":"user","key":"u-1"}}"#.into(),
    );
    let body = format!("[{}]", events.join(","));
    session.receive_owned(Envelope {
        arrival_ms: START_MS + 60_000,
        request: 1,
        method: "POST".into(),
        path: "/bulk".into(),
        wire_bytes: body.len() as u64,
        body: body.into(),
        ..Envelope::default()
    });
    session
}

fn text(session: &mut Session, size: (u16, u16)) -> String {
    let mut app = app(session);
    act(&mut app, [Action::Focus(Pane::Experiments), Action::Open]);
    text_of(&drawn(&mut app, size))
}

#[test]
fn percentiles_are_a_number_and_a_value_and_units_without_events_are_left_out_and_said_to_be() {
    insta::assert_snapshot!("kinds_of_metrics_140x70", text(&mut session(None), (140, 70)));
}

#[test]
fn where_the_history_is_not_complete_there_is_no_rate_but_every_count() {
    let complete = text(&mut session(None), (100, 100));
    let partial = text(&mut session(Some(START_MS)), (100, 100));
    assert!(complete.contains("150   ━━━━━━━━━━━━━━━━") && partial.contains("150   ━━━━━━━━━━━━━━━━"), "{partial}");
    assert!(complete.contains("100.00 %  [97.50–100.00]"), "{complete}");
    assert!(complete.contains(" %  [") && !partial.contains(" %  ["), "{partial}");
    assert!(
        partial.contains("partial") && partial.contains("history incomplete: observed since 2026-11-21"),
        "{partial}"
    );
}

#[test]
fn a_clock_far_off_does_not_squeeze_the_charts() {
    let wide = text(&mut session(None), (200, 60));
    assert!(wide.contains("2 outside the iteration, not drawn"), "{wide}");
    assert!(!wide.contains("1970"), "{wide}");
    assert!(wide.contains("12:03:04") && wide.contains("12:03:54"), "{wide}");
}
