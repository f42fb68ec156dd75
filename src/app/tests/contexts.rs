//! Contexts: which are listed, how one is found, and its story.

use super::*;
use crate::view::UnitView;

#[test]
fn v_goes_through_the_sorts_of_contexts_and_round_again() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2");
    let shown = |app: &App<'_>| -> Vec<String> {
        let rows = app.listing(Pane::Contexts).unwrap().shown().iter().map(|index| app.unit_rows()[*index].key.clone());
        rows.collect()
    };
    let all = ["u-1", "d-77", "d-12", "null", "d-9", "o-3"];
    assert_eq!(shown(&app), all);
    assert_eq!(app.contexts().list().counts, [6, 2, 0, 1, 1, 6]);
    for expected in [&["u-1", "d-77"][..], &[], &["d-12"], &["null"], &all, &all] {
        press(&mut app, "v");
        assert_eq!(shown(&app), expected);
    }
    assert_eq!(app.contexts().view(), UnitView::Attention);
}

#[test]
fn a_context_behind_the_thousand_listed_is_found_by_its_key_a_part_at_a_time() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2 / unit:far-29999 enter");
    assert_eq!(app.contexts_searched(), Some((20_000, 30_000)));
    assert!(app.listing(Pane::Contexts).unwrap().shown().is_empty());
    assert!(app.wants_spare_time());
    while app.wants_spare_time() {
        app.update(Message::Spare);
    }
    assert_eq!(app.contexts_searched(), Some((30_000, 30_000)));
    let found = app.listing(Pane::Contexts).unwrap().selected_index().unwrap();
    assert_eq!(app.unit_rows()[found].key, "far-29999");
    press(&mut app, "esc");
    assert_eq!(app.contexts_searched(), None);
    assert_eq!(app.unit_rows().len(), 6);
}

#[test]
fn a_search_ends_when_there_are_as_many_as_a_list_takes() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2 / unit:account/* enter");
    assert_eq!(app.listing(Pane::Contexts).unwrap().shown().len(), 1_000);
    app.update(Message::Spare);
    assert!(!app.wants_spare_time());
}

#[test]
fn enter_tells_the_story_of_a_context_and_enter_again_shows_its_events() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2 down down enter");
    let View::Unit(unit) = app.view() else { panic!("no context is open") };
    assert_eq!(unit.held.story.unit, "device/d-12");
    press(&mut app, "enter");
    assert!(matches!(app.view(), View::Panes));
    assert_eq!((app.focus(), app.filter()), (Pane::Live, "unit:\"device/d-12\""));
    press(&mut app, "esc");
    assert_eq!(app.focus(), Pane::Contexts);
}

#[test]
fn a_context_whose_events_are_gone_says_so() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2 / unit:account/far-7 enter enter");
    assert!(matches!(app.view(), View::Panes));
    assert!(app.notice().unwrap().text.ends_with("only its counts are left"), "{:?}", app.notice());
}
