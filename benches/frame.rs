//! How long a frame takes: 200x60 and 80x24, over a journal of 100,000 rows, for every view.
//!
//! `cargo bench --bench frame` prints medians. It asserts nothing: a budget is judged by reading it, on a machine
//! one knows.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use exptap::app::ReplayView;
use exptap::app::replay::{FirstSeen, Mark};
use exptap::app::{Action, App, Edit, Forwarding, Message, Pane, Setting, Tick};
use exptap::catalog::Origin;
use exptap::catalog::load::{Format, from_text};
use exptap::endpoint::Received;
use exptap::envelope::Envelope;
use exptap::query::{Query, Situation};
use exptap::reason::{ReasonCode, Severity};
use exptap::report::build;
use exptap::session::{Session, SessionOptions};
use exptap::ui;
use exptap::ui::theme::Themes;
use exptap::view::UnitView;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::io::Write;
use std::time::{Duration, Instant};

const NOW_MS: i64 = 1_795_258_984_221;
const EVENTS: u64 = 100_000;
const PER_REQUEST: u64 = 100;

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"
units = ["user", "device"]

[[experiments]]
key = "checkout-cta-test"
flag = "checkout-cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

fn event(number: u64) -> String {
    let at = NOW_MS + i64::try_from(number).unwrap();
    let device = number % 5_000;
    match number % 5 {
        0 | 1 => format!(
            r#"{{"kind":"feature","creationDate":{at},"key":"checkout-cta","version":3,"variation":{},"value":true,"context":{{"kind":"device","key":"device-{device}"}},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}}}}"#,
            device % 2
        ),
        2 => format!(
            r#"{{"kind":"custom","creationDate":{at},"key":"checkout","context":{{"kind":"device","key":"device-{device}"}}}}"#
        ),
        3 => format!(
            r#"{{"kind":"custom","creationDate":{at},"key":"checkout","context":{{"kind":"user","key":"user-{device}"}}}}"#
        ),
        _ => format!(
            r#"{{"kind":"custom","creationDate":{at},"key":"Checkout","context":{{"kind":"device","key":"device-{device}"}}}}"#
        ),
    }
}

fn request(number: u64) -> Received {
    let first = number * PER_REQUEST;
    let events: Vec<String> = (first..first + PER_REQUEST).map(event).collect();
    let body = format!("[{}]", events.join(","));
    Received::Envelope(Envelope {
        arrival_ms: NOW_MS + i64::try_from(first).unwrap(),
        request: number + 1,
        method: "POST".into(),
        path: "/bulk".into(),
        headers: vec![("user-agent".into(), "NodeJSClient/9.13.7".into())],
        credential: None,
        wire_bytes: body.len() as u64,
        body: body.into(),
        loss: None,
        answer: None,
        ..Envelope::default()
    })
}

/// A recording with many marks and findings, in its middle.
fn recording() -> ReplayView {
    let at = |thousandth: i64| NOW_MS + thousandth * 100;
    let marks = (0..200).map(|mark| Mark { t_ms: at(mark * 5), note: format!("mark {mark}") }).collect();
    let finding = |place| FirstSeen { t_ms: at(place), code: ReasonCode::EventLacksUnit, severity: Severity::Error };
    ReplayView {
        file: "recording.exptap".into(),
        records: EVENTS / PER_REQUEST,
        position: EVENTS / PER_REQUEST / 2,
        t_ms: Some(at(500)),
        first_ms: Some(at(0)),
        last_ms: Some(at(1_000)),
        density: (0..2_000).map(|slice| slice * 7 % 31).collect(),
        marks,
        findings: (0..100).map(|place| finding(place * 10)).collect(),
        ..ReplayView::default()
    }
}

/// A million devices, of which every tenth converts, every hundredth unexposed, and a thousandth crosses over.
fn a_million_contexts(out: &mut impl Write) {
    const UNITS: u64 = 1_000_000;
    let feature = |device: u64, variation: u64| {
        format!(
            r#"{{"kind":"feature","creationDate":{NOW_MS},"key":"checkout-cta","version":3,"variation":{variation},"value":true,"context":{{"kind":"device","key":"device-{device:07}"}},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}}}}"#
        )
    };
    let custom = |key: &str| {
        format!(
            r#"{{"kind":"custom","creationDate":{NOW_MS},"key":"checkout","context":{{"kind":"device","key":"{key}"}}}}"#
        )
    };
    let catalog = from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).expect("the catalog is valid");
    let mut session = Session::new(Some(catalog), SessionOptions::from_now(NOW_MS));
    for first in (0..UNITS).step_by(1_000) {
        let mut events = Vec::new();
        for device in first..first + 1_000 {
            events.push(feature(device, device % 2));
            if device % 1_000 == 0 {
                events.push(feature(device, 1));
            }
            if device % 10 == 0 {
                events.push(custom(&format!("device-{device:07}")));
            }
            if device % 100 == 0 {
                events.push(custom(&format!("Device-{device:07}")));
            }
        }
        let body = format!("[{}]", events.join(","));
        session.receive_owned(Envelope {
            arrival_ms: NOW_MS,
            request: first / 1_000 + 1,
            method: "POST".into(),
            path: "/bulk".into(),
            wire_bytes: body.len() as u64,
            body: body.into(),
            ..Envelope::default()
        });
    }
    let mut timed = |name: &str, work: &mut dyn FnMut() -> usize| {
        let mut found = 0;
        let times = (0..5)
            .map(|_| {
                let begun = Instant::now();
                found = work();
                begun.elapsed()
            })
            .collect();
        writeln!(out, "{name:<44} {:>10.1?}  ({found})", median(times)).unwrap();
    };
    let known = session.units_known();
    timed("report over a million contexts", &mut || {
        build::report(session.state(), session.catalog()).experiments.len()
    });
    for view in UnitView::ALL {
        let name = format!("contexts of a million: {}", view.title());
        timed(&name, &mut || session.units(view, 1_000).rows.len());
    }
    for text in ["0999999", "unit:device/device-0999999", "/-09999[0-9]9$/"] {
        let query = Query::parse(text, Situation { now_ms: NOW_MS, utc_offset_seconds: 0 }).expect("it is a filter");
        timed(&format!("one step of a search for {text}"), &mut || {
            let mut found = Vec::new();
            session.find_units(&query, known - 20_000, 20_000, &mut found);
            found.len()
        });
    }
    timed("the story of one context", &mut || {
        session.story("device", "device-0999990").map_or(0, |held| held.story.events.len())
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let mut out = std::io::stdout().lock();
    let catalog = from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).expect("the catalog is valid");
    let mut session = Session::new(Some(catalog), SessionOptions::from_now(NOW_MS));
    let setting = Setting {
        reading: None,
        addresses: vec!["127.0.0.1:8033".parse().unwrap()],
        trust: None,
        forward: Forwarding::default(),
        themes: Themes::built_in().names(),
    };
    let mut app = App::new(&mut session, setting, TimeZone::system());
    let themes = Themes::built_in();
    let theme = themes.get("default").unwrap();

    let requests: Vec<Received> = (0..EVENTS / PER_REQUEST).map(request).collect();
    let begun = Instant::now();
    for batch in requests.chunks(32) {
        app.update(Message::Batch(batch));
    }
    let per_event = begun.elapsed() / u32::try_from(EVENTS).unwrap();
    writeln!(out, "judging and listing  {per_event:>10.1?} an event").unwrap();
    let begun = Instant::now();
    app.update(Message::Tick(Tick {
        now_ms: NOW_MS + 200_000,
        elapsed: Duration::from_secs(60),
        refresh: true,
        frames: 30,
    }));
    writeln!(out, "report and contexts  {:>10.1?}", begun.elapsed()).unwrap();

    let views: [(&str, &[Action]); 8] = [
        ("overview", &[]),
        ("overview, filtered", &[Action::SetFilter(String::new()), Action::DroppedOnly]),
        ("why", &[Action::Open]),
        ("experiment", &[Action::Back, Action::Focus(Pane::Experiments), Action::Open]),
        ("one context", &[Action::Back, Action::Focus(Pane::Contexts), Action::Open]),
        ("help", &[Action::Back, Action::Help]),
        ("palette", &[Action::Back, Action::Palette, Action::Edit(Edit::Insert('o'))]),
        ("replay", &[Action::Back, Action::Back, Action::Focus(Pane::Live)]),
    ];
    for (name, actions) in views {
        if name == "replay" {
            app.update(Message::Replay(Box::new(recording())));
        }
        for action in actions {
            app.update(Message::Action(action.clone()));
        }
        while app.wants_spare_time() {
            app.update(Message::Spare);
        }
        for (columns, rows) in [(200, 60), (80, 24)] {
            app.update(Message::Resize(columns, rows));
            let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
            let times = (0..200)
                .map(|_| {
                    let begun = Instant::now();
                    terminal.draw(|frame| ui::render(&app, theme, false, frame)).unwrap();
                    begun.elapsed()
                })
                .collect();
            writeln!(out, "{name:<20} {:>10.1?} a frame at {columns}x{rows}", median(times)).unwrap();
        }
    }
    a_million_contexts(&mut out);
}
