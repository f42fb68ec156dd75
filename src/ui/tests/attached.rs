//! The screens of a collector elsewhere.

use super::*;
use crate::attach::{Link, LinkState};
use crate::endpoint::Missed;

fn attached(store: &mut Fixture) -> App<'_> {
    let setting =
        Setting { reading: Some("ssh://staging".into()), themes: Themes::built_in().names(), ..Setting::default() };
    App::new(store, setting, TimeZone::UTC)
}

fn stands(app: &mut App<'_>, link: Link) {
    app.update(Message::Health(Health { link: Some(link), ..Health::default() }));
}

fn first_line(app: &mut App<'_>, columns: u16) -> String {
    text_of(&drawn(app, (columns, 24))).lines().next().unwrap().to_owned()
}

#[test]
fn the_header_says_whether_it_is_attached_and_if_not_why_and_for_how_long() {
    let mut store = Fixture::shop();
    let mut app = attached(&mut store);
    stands(&mut app, Link::default());
    assert!(first_line(&mut app, 120).contains("● ssh://staging attached"));
    let why = || "the connection broke off".to_owned();
    stands(&mut app, Link { state: LinkState::Waiting { seconds: 4, why: why() }, ..Link::default() });
    let wide = first_line(&mut app, 140);
    assert!(wide.contains("○ staging reconnecting in 4 s: the connection broke off"), "{wide}");
    let narrow = first_line(&mut app, 80);
    assert!(narrow.contains("○ staging reconnecting in 4 s"), "{narrow}");
    stands(&mut app, Link { state: LinkState::Ended { why: why() }, ..Link::default() });
    let ended = first_line(&mut app, 140);
    assert!(ended.contains("✗ staging not attached: the connection broke off"), "{ended}");
    let part = Link { only: Some("key:checkout".into()), not_asked: 1_204, ..Link::default() };
    stands(&mut app, part);
    let part = first_line(&mut app, 140);
    assert!(
        part.contains(&format!("PART ONLY: key:checkout, {} not sent", super::super::paint::grouped(1_204))),
        "{part}"
    );
}

#[test]
fn what_is_missing_stands_where_it_is_missing() {
    let missed_as = |requests, why: &str, is_intended| {
        Received::Missed(Missed { requests, t_ms: START_MS, why: why.into(), is_intended })
    };
    let missed = |requests, why: &str| missed_as(requests, why, false);
    let mut store = Fixture::empty();
    let mut app = attached(&mut store);
    stands(&mut app, Link::default());
    app.update(Message::Batch(&[missed(Some(1_204), "they were older")]));
    let text = text_of(&drawn(&mut app, (120, 24)));
    assert!(text.contains("of what the collector received nothing is left"), "{text}");
    drop(app);
    let mut store = Fixture::shop_of(5);
    let mut app = attached(&mut store);
    stands(&mut app, Link::default());
    app.update(Message::Batch(&[missed(Some(1), "slow"), missed(Some(2), "slow"), missed(None, "started anew")]));
    app.update(Message::Batch(&[missed_as(Some(9), "not asked for", true)]));
    let text = text_of(&drawn(&mut app, (140, 30)));
    let row =
        |part: &str| text.lines().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    assert_eq!(row("⚠ what was sent here is not known: started anew"), row("⚠ 3 requests are missing here: slow") + 1);
    assert!(!text.contains("not asked for"), "{text}");
    assert_eq!(app.holes().requests(), 3);
}
