//! Contexts of a live session: which are listed as what, how one is found among many, and the story of one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use exptap::catalog::Origin;
use exptap::catalog::load::{Format, from_text};
use exptap::envelope::Envelope;
use exptap::query::{Query, Situation};
use exptap::session::{Session, SessionOptions};
use exptap::view::{UnitNote, UnitView};

const START_MS: i64 = 1_795_258_984_221;

const CATALOG: &str = r#"
[[metrics]]
key = "conversion"
event_key = "checkout"
units = ["device"]

[[experiments]]
key = "cta-test"
flag = "cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

struct Shop {
    session: Session,
    requests: u64,
}

impl Shop {
    fn new() -> Self {
        let catalog = from_text(CATALOG, "catalog.toml", Format::Toml, Origin::File).unwrap();
        let options = SessionOptions { observed_from_ms: None, ..SessionOptions::from_now(START_MS) };
        Self { session: Session::new(Some(catalog), options), requests: 0 }
    }

    /// Receives events `delay_ms` after they were made.
    fn receive(&mut self, events: &[String], delay_ms: i64) {
        self.requests += 1;
        let body = format!("[{}]", events.join(","));
        self.session.receive_owned(Envelope {
            arrival_ms: START_MS + delay_ms,
            request: self.requests,
            method: "POST".into(),
            path: "/bulk".into(),
            wire_bytes: body.len() as u64,
            body: body.into(),
            ..Envelope::default()
        });
    }

    fn listed(&self, view: UnitView) -> Vec<String> {
        self.session.units(view, 100).rows.iter().map(|row| format!("{}/{}", row.kind, row.key)).collect()
    }
}

fn feature(context: &str, variation: u8, at_ms: i64) -> String {
    format!(
        r#"{{"kind":"feature","creationDate":{},"key":"cta","version":3,"variation":{variation},"value":true,"context":{context},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}}}}"#,
        START_MS + at_ms
    )
}

fn custom(context: &str, at_ms: i64) -> String {
    format!(r#"{{"kind":"custom","creationDate":{},"key":"checkout","context":{context}}}"#, START_MS + at_ms)
}

fn device(key: &str) -> String {
    format!(r#"{{"kind":"device","key":"{key}"}}"#)
}

fn shop() -> Shop {
    let mut shop = Shop::new();
    let person = r#"{"kind":"multi","user":{"key":"u-1"},"device":{"key":"d-1"}}"#;
    shop.receive(
        &[
            feature(person, 0, 0),
            custom(&device("d-1"), 10),
            custom(&device("D-1"), 20),
            feature(&device("d-2"), 0, 0),
            feature(&device("d-2"), 1, 5),
            custom(&device("d-2"), 9),
            feature(&device("d-3"), 1, 0),
            custom(&device("d-4"), 3),
            custom(&device("d-4"), 4),
            feature(&device("null"), 1, 0),
        ],
        50,
    );
    shop
}

#[test]
fn every_context_is_counted_and_listed_as_what_it_is() {
    let shop = shop();
    assert_eq!(shop.session.units(UnitView::Attention, 100).counts, [6, 2, 2, 1, 1, 6]);
    assert_eq!(shop.listed(UnitView::NeverExposed), ["device/d-4", "device/D-1"]);
    assert_eq!(shop.listed(UnitView::NeverConverts), ["device/d-3", "device/null"]);
    assert_eq!(shop.listed(UnitView::Crossover), ["device/d-2"]);
    assert_eq!(shop.listed(UnitView::Placeholder), ["device/null"]);
    assert_eq!(shop.listed(UnitView::Busiest)[..2], ["device/d-4", "device/d-1"].map(String::from));
    for view in UnitView::ALL {
        let list = shop.session.units(view, 100);
        assert!(list.rows.iter().all(|row| view.lists(row)), "{view:?}");
        assert_eq!(list.rows.len() as u64, list.counts[view.index()], "{view:?}");
    }
}

#[test]
fn a_context_never_exposed_comes_before_others_with_its_look_alike_beside_it() {
    let shop = shop();
    let rows = shop.session.units(UnitView::Attention, 3).rows;
    assert_eq!((rows.len(), rows[0].key.as_str()), (3, "D-1"));
    let look_alike = Some(("device/d-1".to_owned(), "case".to_owned()));
    assert_eq!(rows[0].note, UnitNote::NeverExposed { look_alike });
    assert_eq!(rows[1].note, UnitNote::NeverExposed { look_alike: None });
    assert_eq!(rows[2].note, UnitNote::Placeholder);
}

#[test]
fn a_list_holds_the_first_of_its_order_however_many_there_are() {
    let mut shop = Shop::new();
    // The busiest last: a list that kept the first it met would miss them.
    let events: Vec<String> = (0..200)
        .flat_map(|number| std::iter::repeat_n(custom(&device(&format!("d-{number:03}")), 0), number / 20 + 1))
        .collect();
    shop.receive(&events, 0);
    let list = shop.session.units(UnitView::NeverExposed, 5);
    assert_eq!(list.counts[UnitView::NeverExposed.index()], 200);
    let keys: Vec<&str> = list.rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["d-180", "d-181", "d-182", "d-183", "d-184"]);
}

#[test]
fn contexts_are_found_by_name_step_by_step() {
    let shop = shop();
    let query = Query::parse("unit:device/d-4", Situation { now_ms: START_MS, utc_offset_seconds: 0 }).unwrap();
    let (mut found, mut at, mut steps) = (Vec::new(), 0, 0);
    while at < shop.session.units_known() {
        at = shop.session.find_units(&query, at, 2, &mut found);
        steps += 1;
    }
    assert_eq!(steps, shop.session.units_known().div_ceil(2));
    assert_eq!(found, [("device".to_owned(), "d-4".to_owned())]);
    let rows = shop.session.units_named(UnitView::NeverExposed, &found);
    assert_eq!((rows.len(), rows[0].dropped), (1, 0));
    assert_eq!(shop.session.units_named(UnitView::Crossover, &found), []);
    assert_eq!(shop.session.units_named(UnitView::Attention, &[("device".into(), "nobody".into())]), []);
}

#[test]
fn the_story_of_a_context_names_its_other_kinds_its_aliases_and_its_look_alikes() {
    let mut shop = shop();
    let alias = r#"{"kind":"alias","creationDate":1795258984300,"key":"d-1","contextKind":"user","previousKey":"anonymous-7","previousContextKind":"anonymousUser"}"#;
    shop.receive(&[alias.to_owned(), r#"{"kind":"alias","key":7}"#.to_owned()], 60);
    let held = shop.session.story("device", "d-1").unwrap();
    let identity = &held.story.identity;
    assert_eq!((identity.seen_with.len(), identity.seen_with[0].unit.as_str()), (1, "user/u-1"));
    assert_eq!(identity.look_alikes[0].unit, "device/D-1");
    assert_eq!(held.aliases, ["anonymous-7"]);
    let verdicts: Vec<&str> = held.story.events.iter().map(|event| event.verdict.name()).collect();
    assert_eq!(verdicts, ["exposure", "counted"]);
    assert_eq!(held.story.experiments[0].arm.as_deref(), Some("control"));
    assert_eq!((held.older, held.has_scrolled), (0, false));
    assert_eq!(shop.session.story("device", "nobody"), None);
}

#[test]
fn a_story_tells_where_the_two_clocks_disagree_and_not_what_is_pending_on_both() {
    let mut shop = Shop::new();
    // Made after the exposure by the device's clock, received before it.
    shop.receive(&[custom(&device("d-1"), 2_000)], 0);
    shop.receive(&[feature(&device("d-1"), 1, 1_000)], 3_000);
    let others = |shop: &Shop| -> Vec<Option<&'static str>> {
        let events = shop.session.story("device", "d-1").unwrap().story.events;
        let others = events.iter().flat_map(|event| &event.ladders).map(|ladder| ladder.other_clock);
        others.map(|other| other.map(|other| other.verdict.name())).collect()
    };
    assert_eq!(others(&shop), [None, None], "an earlier exposure may still arrive");
    shop.session.advance(START_MS + 70_000);
    assert_eq!(others(&shop), [None, Some("conversion-before-exposure")]);
    shop.receive(&[custom(&device("d-5"), 0)], 70_000);
    let held = shop.session.story("device", "d-5").unwrap();
    assert_eq!(held.story.events[0].verdict.name(), "pending");
    assert_eq!(held.story.events[0].ladders[0].other_clock, None);
}

#[test]
fn of_a_context_that_everybody_falls_on_the_newest_events_are_told() {
    let mut shop = Shop::new();
    let events: Vec<String> = (0..600).map(|at_ms| custom(&device("null"), at_ms)).collect();
    shop.receive(&events, 1_000);
    let held = shop.session.story("device", "null").unwrap();
    assert_eq!((held.older, held.story.events.len(), held.story.events[0].event), (100, 500, 100));
    assert!(held.story.identity.is_placeholder);
}

#[test]
fn a_key_longer_than_any_list_shows_has_its_story_all_the_same() {
    let mut shop = Shop::new();
    let (long, other) = ("k".repeat(300) + "a", "k".repeat(300) + "b");
    shop.receive(&[custom(&device(&long), 0), custom(&device(&other), 1)], 10);
    let held = shop.session.story("device", &long).unwrap();
    assert_eq!(held.story.events.iter().map(|event| event.event).collect::<Vec<_>>(), [0]);
}
