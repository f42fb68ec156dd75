//! What is shown of requests that wait in the spool, of those that were refused, and of SDKs that fell silent.

use super::*;
use crate::envelope::{Answer, AnsweredBy, Credential, Envelope};
use crate::spool::{Figures, Refusal, Trouble};

fn listening(store: &mut Fixture) -> App<'_> {
    let mut setting = Setting { addresses: vec!["127.0.0.1:8033".parse().unwrap()], ..Setting::default() };
    setting.themes = Themes::built_in().names();
    setting.forward.launchdarkly = Some("https://events.launchdarkly.com".into());
    let mut app = App::new(store, setting, TimeZone::UTC);
    app.update(Message::Tick(Tick { now_ms: START_MS, ..Tick::default() }));
    app
}

fn waiting() -> Figures {
    Figures {
        waiting_requests: 1_204,
        waiting_bytes: 3_300_000,
        oldest_ms: Some(START_MS - 185_000),
        delivered: 17,
        trouble: Some(Trouble {
            since_ms: START_MS - 180_000,
            why: "https://events.launchdarkly.com could not be reached: connection refused".into(),
        }),
        ..Figures::default()
    }
}

fn stands(app: &mut App<'_>, spool: Figures) {
    app.update(Message::Health(Health { spool: Some(Box::new(spool)), ..Health::default() }));
}

/// The row above the keys.
fn banner(app: &mut App<'_>, size: (u16, u16)) -> String {
    let text = text_of(&drawn(app, size));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len() - 2].trim_end().to_owned()
}

#[test]
fn what_waits_is_in_the_header_the_banner_and_sources_until_it_is_delivered() {
    let mut store = Fixture::shop();
    let mut app = listening(&mut store);
    stands(&mut app, waiting());
    let number = super::super::paint::grouped(1_204);
    let why = "https://events.launchdarkly.com could not be reached: connection refused";
    assert_eq!(banner(&mut app, (160, 30)), format!(" ! {number} requests wait in the spool, oldest 3 min: {why}"));
    let narrow = banner(&mut app, (80, 24));
    assert!(narrow.starts_with(&format!(" ! {number} wait, 3 min: https://events.launchdarkly.com")), "{narrow}");
    let header = text_of(&drawn(&mut app, (160, 30)));
    assert!(header.lines().next().unwrap().contains(&format!("{number} in the spool")), "{header}");
    act(&mut app, [Action::Focus(Pane::Sources)]);
    let sources = text_of(&drawn(&mut app, (140, 24)));
    assert!(sources.contains(&format!("spool {number} (3.3 MB) 17 delivered")), "{sources}");
    act(&mut app, [Action::Focus(Pane::Live)]);
    stands(&mut app, Figures { delivered: 1_221, ..Figures::default() });
    assert!(!banner(&mut app, (160, 30)).contains("wait"));
    assert!(!text_of(&drawn(&mut app, (160, 30))).contains("in the spool"));
}

#[test]
fn whose_requests_were_refused_is_shown_until_it_was_seen() {
    let mut store = Fixture::shop();
    let mut app = listening(&mut store);
    let refusal = Refusal {
        status: Some(401),
        who: "PythonClient/9.18.2 (sdk-…1f2a#9c41)".into(),
        requests: 3,
        first_ms: START_MS,
    };
    let refused = |refused| Figures { refused, refusals: vec![refusal.clone()], ..Figures::default() };
    stands(&mut app, refused(3));
    assert_eq!(
        banner(&mut app, (160, 30)),
        " ✗ the upstream refused 3 requests from the spool, the latest with 401: PythonClient/9.18.2 (sdk-…1f2a#9c41); put \
         aside (r: seen)"
    );
    act(&mut app, [Action::Retry]);
    assert!(!banner(&mut app, (160, 30)).contains("refused"));
    stands(&mut app, refused(4));
    assert!(banner(&mut app, (160, 30)).contains("refused 1 request from"));
}

#[test]
fn whom_an_answer_silenced_is_named_until_it_was_seen() {
    let mut store = Fixture::shop();
    let mut app = listening(&mut store);
    let answered = |instance: &str| {
        Received::Envelope(Envelope {
            arrival_ms: START_MS,
            method: "POST".into(),
            path: "/bulk".into(),
            headers: vec![
                ("user-agent".into(), "PythonClient/9.18.2".into()),
                ("x-launchdarkly-instance-id".into(), instance.into()),
            ],
            credential: Some(Credential::masked("sdk-…1f2a#9c41")),
            answer: Some(Answer { status: 401, from: AnsweredBy::Upstream }),
            ..Envelope::default()
        })
    };
    app.update(Message::Batch(&[answered("5bd0")]));
    let told = banner(&mut app, (160, 30));
    assert!(told.starts_with(" ✗ the upstream answered 401 at "), "{told}");
    assert!(
        told.ends_with(
            ": PythonClient/9.18.2 (sdk-…1f2a#9c41, instance 5bd0) has stopped sending until it is restarted (r: seen)"
        ),
        "{told}"
    );
    app.update(Message::Batch(&[answered("5bd1"), answered("5bd2")]));
    let narrow = banner(&mut app, (80, 24));
    assert!(narrow.starts_with(" ✗ 401, stopped sending, and 2 more (r: seen): PythonClient/9.18.2"), "{narrow}");
    act(&mut app, [Action::Retry]);
    assert!(!banner(&mut app, (160, 30)).contains("stopped sending"));
}
