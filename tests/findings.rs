//! A finding opens the events it counts: the demo's traffic through the session, and the screens' own
//! filter for every finding.

#![allow(clippy::unwrap_used, clippy::panic)]

use exptap::app::{Action, App, Message, Pane, Setting, Tick};
use exptap::demo::Shop;
use exptap::endpoint::Received;
use exptap::envelope::{Credential, Envelope};
use exptap::reason::{ReasonCode, Role};
use exptap::session::{Session, SessionOptions};
use jiff::tz::TimeZone;
use std::time::Duration;

const START_MS: i64 = 1_795_248_000_000;
const SECONDS: i64 = 90;

/// The shop's requests of a minute and a half.
fn requests(shop: &mut Shop) -> Vec<Received> {
    let mut received = Vec::new();
    for now_ms in (START_MS..START_MS + SECONDS * 1_000).step_by(50) {
        for request in shop.tick(now_ms) {
            let (secret, headers): (Vec<_>, Vec<_>) =
                request.headers.iter().partition(|(name, _)| *name == "Authorization");
            received.push(Received::Envelope(Envelope {
                arrival_ms: now_ms,
                request: received.len() as u64 + 1,
                method: request.method.to_string(),
                path: request.path.clone(),
                headers: headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
                credential: secret.first().map(|(_, value)| Credential::mask(value)),
                wire_bytes: request.body.len() as u64,
                body: request.body.clone(),
                ..Envelope::default()
            }));
        }
    }
    received
}

#[test]
fn every_finding_opens_its_events_and_no_others_where_events_carry_its_code() {
    let mut shop = Shop::new(1, START_MS);
    let mut session = Session::new(Some(shop.catalog()), SessionOptions::from_now(shop.opened_at_ms()));
    let requests = requests(&mut shop);
    let mut app = App::new(&mut session, Setting::default(), TimeZone::UTC);
    app.update(Message::Resize(120, 40));
    app.update(Message::Batch(&requests));
    // The grace of whatever is pending is over.
    let now_ms = START_MS + (SECONDS + 600) * 1_000;
    app.update(Message::Tick(Tick { now_ms, elapsed: Duration::from_secs(1), refresh: true, frames: 30 }));
    let findings = app.report().findings.clone();
    let mut wrong = Vec::new();
    let (mut opened, mut exactly) = (0, 0);
    for (position, finding) in findings.iter().enumerate() {
        app.update(Message::Action(Action::Focus(Pane::Findings)));
        app.update(Message::Action(Action::First));
        for _ in 0..position {
            app.update(Message::Action(Action::Down));
        }
        app.update(Message::Action(Action::Open));
        while app.wants_spare_time() {
            app.update(Message::Spare);
        }
        let shown = app.live().len() as u64;
        let code = finding.code;
        let about_time = matches!(
            code,
            ReasonCode::IterationNotStarted | ReasonCode::BeforeIterationStart | ReasonCode::AfterIterationEnd
        );
        // Findings made from several verdicts and from summaries count more than events; a restarted experiment's
        // events fail the time of one iteration and pass another's. Those open a little more than they count.
        let exact = finding.metric.is_some() && !about_time && matches!(code.reason().role, Role::Verdict(_));
        if (exact && shown != finding.events) || (finding.events > 0 && shown == 0) {
            wrong.push(format!("{}: {} events, {shown} shown by {}", code.name(), finding.events, app.filter()));
        }
        if exact {
            exactly += 1;
        }
        opened += 1;
    }
    assert!(opened > 20 && exactly > 8, "{opened} findings, {exactly} of them exact");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
