//! Scenarios: what the user does, and what the model makes of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::fixture::{Fixture, START_MS};
use super::keymap::lookup;
use super::*;
use crate::envelope::Envelope;
use crate::reason::ReasonCode;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

mod contexts;
mod replay;

fn app(store: &mut dyn Store) -> App<'_> {
    let setting = Setting {
        addresses: vec!["127.0.0.1:8033".parse().unwrap()],
        trust: None,
        reading: None,
        forward: Forwarding::default(),
        themes: vec!["default".into(), "light".into(), "mono".into()],
    };
    let mut app = App::new(store, setting, TimeZone::UTC);
    app.update(Message::Resize(80, 24));
    tick(&mut app, 0);
    app
}

fn tick(app: &mut App<'_>, seconds: u64) {
    let tick = Tick { now_ms: START_MS + 60_000, elapsed: Duration::from_secs(seconds), refresh: true, frames: 30 };
    app.update(Message::Tick(tick));
}

fn requests(count: usize) -> Vec<Received> {
    let envelope = Envelope {
        arrival_ms: START_MS,
        request: 1,
        method: "POST".into(),
        path: "/bulk".into(),
        body: bytes::Bytes::new(),
        wire_bytes: 0,
        ..Envelope::default()
    };
    std::iter::repeat_n(envelope, count).map(Received::Envelope).collect()
}

/// Presses keys as a user does: through the key map.
fn press(app: &mut App<'_>, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in keys.split(' ') {
        let code = match key {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "pgup" => KeyCode::PageUp,
            "end" => KeyCode::End,
            "home" => KeyCode::Home,
            "right" => KeyCode::Right,
            "left" => KeyCode::Left,
            "space" => KeyCode::Char(' '),
            text => {
                for character in text.chars() {
                    effects.extend(press_one(app, KeyCode::Char(character)));
                }
                continue;
            }
        };
        effects.extend(press_one(app, code));
    }
    effects
}

fn press_one(app: &mut App<'_>, code: KeyCode) -> Vec<Effect> {
    let action = lookup(app.scopes(), KeyEvent::new(code, KeyModifiers::NONE));
    action.map(|action| app.update(Message::Action(action)).effects).unwrap_or_default()
}

fn visible(app: &App<'_>) -> Vec<u64> {
    app.live().visible(19).collect()
}

#[test]
fn scrolling_up_stops_following_and_end_follows_again() {
    let mut store = Fixture::shop_of(100);
    let mut app = app(&mut store);
    assert_eq!(visible(&app), (81..100).collect::<Vec<_>>());
    press(&mut app, "up");
    assert!(!app.live().is_following());
    assert_eq!(app.live().selected(), Some(98));
    app.update(Message::Batch(&requests(7)));
    assert_eq!(visible(&app), (81..100).collect::<Vec<_>>(), "what is read stays where it is");
    assert_eq!(app.live().unseen(), 7);
    press(&mut app, "end");
    assert!(app.live().is_following());
    assert_eq!(visible(&app), (88..107).collect::<Vec<_>>());
}

#[test]
fn moving_past_the_last_event_follows_again() {
    let mut store = Fixture::shop_of(10);
    let mut app = app(&mut store);
    press(&mut app, "up up");
    assert_eq!(app.live().selected(), Some(7));
    press(&mut app, "down down");
    assert_eq!((app.live().selected(), app.live().is_following()), (Some(9), false));
    press(&mut app, "down");
    assert!(app.live().is_following());
}

#[test]
fn a_page_up_and_home_move_by_what_is_on_screen() {
    let mut store = Fixture::shop_of(100);
    let mut app = app(&mut store);
    press(&mut app, "pgup");
    assert_eq!(app.live().selected(), Some(80));
    assert_eq!(visible(&app).first(), Some(&80));
    press(&mut app, "home");
    assert_eq!(visible(&app), (0..19).collect::<Vec<_>>());
}

#[test]
fn a_paused_view_stays_while_events_are_taken_in() {
    let mut store = Fixture::shop_of(50);
    let mut app = app(&mut store);
    press(&mut app, "space");
    app.update(Message::Batch(&requests(30)));
    tick(&mut app, 1);
    assert_eq!(app.totals().events, 80, "the header goes on counting");
    assert_eq!(app.report().totals.events, 50, "the panes do not");
    assert_eq!(visible(&app).last(), Some(&49));
    press(&mut app, "d");
    assert!(app.live().is_frozen());
    assert!(app.live().visible(100).all(|event| event < 50), "a filter looks at the frozen rows");
    press(&mut app, "a d space");
    assert_eq!(visible(&app).last(), Some(&79));
    assert_eq!(app.report().totals.events, 80);
}

#[test]
fn a_frozen_row_keeps_its_verdict_when_the_session_revises_it() {
    let mut store = Fixture::shop();
    let mut live = Live::default();
    live.change(&store, |_| ());
    live.freeze(&store, true);
    store.revise(12, ReasonCode::Counted);
    assert_eq!(live.rows(&store).row(12).unwrap().code, ReasonCode::Pending);
    live.freeze(&store, false);
    assert_eq!(live.rows(&store).row(12).unwrap().code, ReasonCode::Counted);
}

#[test]
fn kinds_are_narrowed_as_launchdarkly_names_them() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    let kinds = |app: &App<'_>| -> Vec<String> {
        visible(app).iter().map(|event| app.store().row(*event).unwrap().kind.to_string()).collect()
    };
    press(&mut app, "f");
    assert_eq!(kinds(&app), ["feature", "feature", "feature", "feature", "summary"]);
    press(&mut app, "c");
    assert_eq!(kinds(&app), ["index"]);
    press(&mut app, "e");
    assert_eq!(visible(&app), [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15]);
    press(&mut app, "a d");
    assert_eq!(visible(&app), [1, 2, 8, 9, 11, 14]);
}

#[test]
fn launchdarklys_own_traffic_is_hidden_until_asked_for() {
    let mut store = Fixture::shop();
    store.push_row(|row| row.noise = true);
    let mut app = app(&mut store);
    assert_eq!(visible(&app).last(), Some(&15));
    press(&mut app, "$");
    assert_eq!(visible(&app).last(), Some(&16));
}

#[test]
fn a_filter_is_answered_newest_first_and_finished_in_spare_time() {
    let mut store = Fixture::shop_of(100_000);
    let mut app = app(&mut store);
    press(&mut app, "/ kind:summary enter");
    assert!(app.wants_spare_time());
    assert_eq!(visible(&app).last(), Some(&99_994));
    let mut steps = 0;
    while app.wants_spare_time() {
        app.update(Message::Spare);
        steps += 1;
    }
    assert!(steps < 30, "{steps} steps");
    assert_eq!(app.live().len(), 6_250);
    assert_eq!(app.live().visible(1).last(), Some(99_994));
}

#[test]
fn an_event_whose_verdict_is_revised_leaves_and_enters_filtered_views() {
    let mut store = Fixture::shop();
    let mut live = Live::default();
    live.change(&store, |criteria| criteria.narrowing.dropped_only = true);
    assert_eq!(live.visible(20).collect::<Vec<_>>(), [1, 2, 8, 9, 11, 14]);
    store.revise(1, ReasonCode::Counted);
    store.revise(12, ReasonCode::NoExposure);
    live.look(&store);
    assert_eq!(live.visible(20).collect::<Vec<_>>(), [2, 8, 9, 11, 12, 14]);
}

#[test]
fn rows_that_scroll_out_of_memory_leave_the_view() {
    let mut store = Fixture::shop_of(40);
    let mut live = Live::default();
    live.change(&store, |_| ());
    live.step(-30, 10);
    assert_eq!(live.selected(), Some(9));
    store.evict(25);
    live.look(&store);
    assert_eq!(live.len(), 15);
    assert_eq!(live.selected(), Some(25), "the oldest one left stands in for it");
}

#[test]
fn a_filter_that_cannot_be_read_stays_open_and_esc_leaves_the_old_one() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "/ kind:custom enter");
    assert_eq!(app.filter(), "kind:custom");
    assert_eq!(app.live().len(), 8);
    press(&mut app, "/");
    app.update(Message::Action(Action::Edit(Edit::DeleteLine)));
    press(&mut app, "code:nonsense enter");
    let Some(Overlay::Line(line)) = app.overlay() else { panic!("the line was closed") };
    let LineError { column, message } = line.error.clone().unwrap();
    assert_eq!(column, Some(6));
    assert!(message.contains("nonsense"), "{message}");
    press(&mut app, "esc");
    assert_eq!(app.filter(), "kind:custom");
    press(&mut app, "esc");
    assert_eq!((app.filter(), app.live().len()), ("", 16));
}

#[test]
fn a_finding_shows_exactly_its_events() {
    let mut store = Fixture::shop_of(64);
    let mut app = app(&mut store);
    press(&mut app, "d 4 enter");
    assert_eq!(app.focus(), Pane::Live);
    assert_eq!(app.filter(), "code:event-lacks-unit exp:\"checkout-cta-test\" metric:\"checkout-conversion\"");
    assert_eq!(visible(&app), [1, 17, 33, 49]);
}

#[test]
fn clearing_the_filter_of_a_finding_leads_back_to_it_and_to_what_live_showed() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "d e");
    let before = app.live().criteria().narrowing;
    press(&mut app, "4 enter");
    assert_eq!(app.live().criteria().narrowing, Narrowing::OFF, "nothing hides an event of the finding");
    press(&mut app, "esc");
    assert_eq!((app.focus(), app.filter()), (Pane::Findings, ""));
    assert_eq!(app.live().criteria().narrowing, before);

    press(&mut app, "enter 2 enter enter esc");
    assert_eq!(app.focus(), Pane::Contexts, "back to where it was opened last");
    assert_eq!(app.live().criteria().narrowing, before);

    press(&mut app, "enter enter d esc");
    assert_eq!(app.focus(), Pane::Live, "narrowed by hand since");
    assert!(app.live().criteria().narrowing.dropped_only);
}

#[test]
fn a_context_and_a_sender_show_their_events() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2 enter enter");
    assert_eq!(app.filter(), "unit:\"user/u-1\"");
    assert_eq!(visible(&app), [1, 9]);
    press(&mut app, "5 enter");
    assert_eq!(app.filter(), "source:\"NodeJSClient/9.13.7\"");
    assert_eq!(app.live().len(), 16);
}

#[test]
fn a_list_is_filtered_by_the_same_language() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "2 / unit:device/* enter");
    let shown = app.listing(Pane::Contexts).unwrap().shown().to_vec();
    let keys: Vec<&str> = shown.iter().map(|index| app.unit_rows()[*index].key.as_str()).collect();
    assert_eq!(keys, ["d-77", "d-12", "null", "d-9"]);
    assert_eq!(app.live().len(), 16, "Live has a filter of its own");
}

#[test]
fn the_explanation_walks_from_event_to_event_and_shows_the_events_with_its_verdict() {
    let mut store = Fixture::shop_of(32);
    let mut app = app(&mut store);
    press(&mut app, "home down enter");
    let event = |app: &App<'_>| match app.view() {
        View::Why(why) => Some(why.explanation.row.event),
        _ => None,
    };
    assert_eq!(event(&app), Some(1));
    press(&mut app, "tab right");
    assert_eq!(event(&app), Some(2));
    let View::Why(why) = app.view() else { panic!("the explanation is closed") };
    assert_eq!(why.side, Side::Event, "the side stays");
    press(&mut app, "h enter");
    assert_eq!(event(&app), None);
    assert_eq!(app.filter(), "code:event-lacks-unit exp:\"checkout-cta-test\" metric:\"checkout-conversion\"");
    assert_eq!(visible(&app), [1, 17]);
}

#[test]
fn q_leaves_an_opened_view_and_quits_from_the_panes_only() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    assert_eq!(press(&mut app, "enter q"), []);
    assert!(matches!(app.view(), View::Panes));
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn an_opened_experiment_adds_up_its_conversions_over_time() {
    let mut store = Fixture::shop_of(64);
    let mut app = app(&mut store);
    press(&mut app, "3 enter");
    let View::Experiment(detail) = app.view() else { panic!("no experiment is open") };
    assert_eq!(detail.experiment, "checkout-cta-test");
    let sums: Vec<u64> = detail.course.conversions.iter().map(|arm| arm.iter().sum()).collect();
    assert_eq!(sums, [0, 8]);
    assert_eq!(detail.course.others.iter().map(|series| series.events.iter().sum::<u64>()).sum::<u64>(), 28);
    assert!(detail.course.slices() <= 961);
}

#[test]
fn the_palette_finds_and_runs_a_command() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, ": droppedonly enter");
    assert!(app.overlay().is_none());
    assert!(app.live().criteria().narrowing.dropped_only);
    press(&mut app, ": themono enter");
    assert_eq!(app.theme(), "mono");
}

#[test]
fn a_theme_is_previewed_and_taken_or_left() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "t down");
    assert_eq!(app.theme(), "light");
    press(&mut app, "esc");
    assert_eq!(app.theme(), "default");
    press(&mut app, "t down enter");
    assert_eq!(app.theme(), "light");
}

#[test]
fn the_way_through_segment_is_copied_and_written_with_the_explanation() {
    let mut store = super::fixture::segment_shop(false);
    let mut app = app(&mut store);
    app.update(Message::Resize(80, 24));
    press(&mut app, "gj");
    press_one(&mut app, KeyCode::Enter);
    let effects = press(&mut app, "y");
    let [Effect::Copy(text)] = effects.as_slice() else { panic!("{effects:?}") };
    let start = text.find("Through Segment").unwrap();
    let end = text.find("\ncheckout-cta-test").unwrap();
    assert_eq!(
        text[start..end],
        *r#"Through Segment
  library: analytics-node/2.2.0
  message id: msg-1
  userId: u-1
  anonymousId: a-77
  sent as: 2026-11-20T11:03:05Z, put forward by 1 d 0 h
  originalTimestamp: the timestamp as it was sent
  sentAt: from the batch
  receivedAt: when it arrived
  timestamp: corrected by sentAt
  context.library: from the batch

mapping 0 · Track Event · type = "track" ✓ matches
  ✓ Context Kind             "user"
  ✓ Context Key              $.userId, else $.anonymousId → "u-1"
  ✓ Additional Context Keys  unauthenticatedUser = $.anonymousId → "a-77"
  ✓ Event Name               $.event → "Order Completed"
  ✓ Metric Value             $.properties.revenue, else $.properties.value → "25.00", taken as 25
  ✓ Event Properties         $.properties → {"revenue":"25.00","sku":"é"}
  ✓ Event timestamp          $.timestamp → "2026-11-21T11:03:05.921Z"
  ✗ nothing makes a device key: checkout-cta-test is randomized by device. $.context.device.id is “d-9”, a device exposed to treatment. Map it: device = $.context.device.id
  LaunchDarkly gets: POST https://events.launchdarkly.com/events/bulk/client-side-id [{"kind":"custom","key":"Order Completed","contextKeys":{"unauthenticatedUser":"a-77","user":"u-1"},"creationDate":1795258985921,"metricValue":25,"data":{"revenue":"25.00","sku":"é"}}]

mapping 1 · Alias User · type = "identify" or type = "alias" · does not match
"#
    );
    assert!(text.contains("\nAs Segment delivers it:\n{\n  \"type\": \"track\""), "{text}");
}

#[test]
fn what_is_copied_and_written_is_harmless() {
    let mut store = Fixture::shop();
    store.push_row(|row| row.key = "x\u{1b}]0;owned\u{7}\u{202e}y".into());
    let mut app = app(&mut store);
    let effects = press(&mut app, "y");
    let [Effect::Copy(text)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(text.contains("x␛]0;owned␇⟨U+202E⟩y"), "{text}");
    let effects = press(&mut app, "w enter");
    let [Effect::Write { path, text }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(path, "exptap-event-16.txt");
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
    assert!(text.contains("[DOC]"), "{text}");
    let effects = press(&mut app, "3 w enter");
    let [Effect::Write { path, text }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(path, "exptap-report.json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap()["totals"]["events"], 17);
}

#[test]
fn the_clock_is_wanted_only_while_time_can_change_something() {
    let mut store = Fixture::empty();
    let mut app = app(&mut store);
    assert!(!app.wants_clock() && !app.wants_refresh() && !app.wants_spare_time());
    app.update(Message::Batch(&requests(4)));
    assert!(app.wants_clock() && app.wants_refresh());
    tick(&mut app, 600);
    assert!(!app.wants_clock() && !app.wants_refresh() && !app.wants_spare_time());
    app.update(Message::Batch(&requests(12)));
    tick(&mut app, 1_200);
    assert!(app.wants_clock(), "a verdict is pending");
}

fn recording(state: crate::recorder::State) -> crate::recorder::Snapshot {
    let (path, moved) = ("folder/buy-flow.exptap".into(), None);
    crate::recorder::Snapshot { path, state, requests: 1, marks: 0, lost: 0, bytes: 4_299_999, moved, put_aside: 0 }
}

#[test]
fn a_recording_is_started_marked_and_ended_by_keys() {
    use crate::recorder::State;
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    assert_eq!(press(&mut app, "m"), []);
    assert!(app.notice().unwrap().text.contains("R starts a recording"));
    assert_eq!(press(&mut app, "R"), []);
    let Some(Overlay::Line(line)) = app.overlay() else { panic!("no line") };
    assert_eq!((line.input.value(), &line.purpose), ("exptap-20261121-110404.exptap", &LinePurpose::Record));
    assert_eq!(press(&mut app, "enter"), [Effect::Record("exptap-20261121-110404.exptap".into())]);
    app.update(Message::Recording(recording(State::Recording)));
    assert_eq!(press(&mut app, "m here enter"), [Effect::Mark("here".into())]);
    assert_eq!(press(&mut app, "r"), []);
    assert_eq!(press(&mut app, "R"), [Effect::StopRecording]);
    app.update(Message::Recording(recording(State::Closed)));
    assert_eq!(app.recording(), None);
    assert_eq!(app.notice().unwrap().text, "recorded 1 request to folder/buy-flow.exptap (4.2 MB)");
}

#[test]
fn a_recording_that_stopped_is_told_until_it_is_tried_again() {
    use crate::recorder::State;
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    let why = "No space left on device";
    app.update(Message::Recording(recording(State::Stopped { since_ms: START_MS, why: why.into(), not_kept: 120 })));
    press(&mut app, "down");
    assert_eq!(app.banner(), Some(Banner::Stopped { since_ms: START_MS, why, not_kept: 120 }));
    assert_eq!(press(&mut app, "r"), [Effect::RetryRecording]);
    app.update(Message::Recording(recording(State::Recording)));
    assert_eq!(app.banner(), None);
}

#[test]
fn x_on_a_finding_asks_for_its_fix_to_be_tried_and_esc_stops_it() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    assert_eq!(press(&mut app, "x"), [], "in Live x means nothing");
    let effects = press(&mut app, "4 x");
    let [Effect::Try(request)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((request.number, request.requests.len()), (1, 1));
    assert_eq!(request.finding, app.report().findings[0]);
    let View::Trial(trial) = app.view() else { panic!("{:?}", app.view()) };
    assert_eq!(trial.state, TrialState::Running { judgement: 1, judged: 0, of: 1 });
    assert_eq!(press(&mut app, "y w"), [], "there is nothing to copy or write yet");
    assert_eq!(press(&mut app, "esc"), [Effect::StopTrying]);
    assert!(matches!(app.view(), View::Panes));
    // What comes too late, or of another trial, changes nothing.
    let news = |number| Message::Trial(Box::new(TrialNews { number, state: TrialState::Done(None) }));
    assert!(!app.update(news(1)).redraw);
    press(&mut app, "x");
    assert!(!app.update(news(1)).redraw);
    assert!(app.update(news(2)).redraw);
    assert_eq!(press(&mut app, "esc"), [], "it is done: there is nothing to stop");
}

#[test]
fn without_a_finding_there_is_nothing_to_try() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    press(&mut app, "4 / code:nothing-of-this-name");
    let effects = app.update(Message::Action(Action::TryFix)).effects;
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Try(_))), "{effects:?}");
}

/// A conversion of this unit, in a request of its own.
fn converted(number: u64, unit: &str) -> Received {
    let body = format!(
        r#"[{{"kind":"custom","creationDate":{START_MS},"key":"checkout","context":{{"kind":"{unit}","key":"k-{number}"}}}}]"#
    );
    Received::Envelope(Envelope {
        arrival_ms: START_MS,
        request: number,
        method: "POST".into(),
        path: "/bulk".into(),
        body: body.into(),
        ..Envelope::default()
    })
}

/// A catalog of one experiment, randomized by this kind.
fn given(unit: &str) -> Box<Given> {
    let text = format!(
        r#"
        [[metrics]]
        key = "checkout-conversion"
        event_key = "checkout"
        units = ["user", "device"]

        [[experiments]]
        key = "cta-test"
        flag = "cta"
        randomization_unit = "{unit}"
        metrics = ["checkout-conversion"]
        started_at = 0
        "#
    );
    use crate::catalog::load::{Format, from_text};
    let catalog = from_text(&text, "catalog.toml", Format::Toml, crate::catalog::Origin::File).unwrap();
    Box::new(Given { catalog: Some(catalog), ..Given::default() })
}

#[test]
fn a_catalog_that_is_read_again_says_what_it_changed_and_the_open_event_is_judged_by_it() {
    use crate::session::{Session, SessionOptions};
    let mut session = Session::of(*given("device"), SessionOptions::from_now(0));
    let mut app = app(&mut session);
    app.update(Message::Batch(&[converted(1, "user"), converted(2, "user"), converted(3, "device")]));
    tick(&mut app, 1);
    press(&mut app, "home enter");
    let View::Why(_) = app.view() else { panic!("the event is not open") };
    assert!(app.update(Message::Given(given("user"), "catalog")).redraw);
    let notice = app.notice().cloned().unwrap();
    assert_eq!((notice.text.as_str(), notice.bad), ("catalog re-read: 3 verdicts changed", false));
    let View::Why(_) = app.view() else { panic!("the event was closed") };
    app.update(Message::Given(given("user"), "mapping"));
    assert_eq!(app.notice().unwrap().text, "mapping re-read: no verdict changed");
}

#[test]
fn where_events_have_scrolled_out_it_is_said_that_counts_restart_and_no_other_event_is_shown_as_the_open_one() {
    use crate::session::{Session, SessionOptions};
    let options = SessionOptions { max_events: 2, ..SessionOptions::from_now(0) };
    let mut session = Session::of(*given("device"), options);
    let mut app = app(&mut session);
    app.update(Message::Batch(&[converted(1, "user"), converted(2, "user"), converted(3, "user")]));
    tick(&mut app, 1);
    press(&mut app, "home enter");
    app.update(Message::Given(given("user"), "catalog"));
    let told = "catalog re-read: 2 verdicts changed; older events have scrolled out, and counts restart from the 2 that are held";
    assert_eq!(app.notice().unwrap().text, told);
    assert!(matches!(app.view(), View::Panes));
    assert_eq!(visible(&app), [0, 1]);
}

#[test]
fn flags_that_come_too_late_give_up_no_counts_and_say_so_once() {
    use crate::bucketing::{payload, seen::Seen};
    use crate::session::{Session, SessionOptions};
    let options = SessionOptions { max_events: 2, ..SessionOptions::from_now(0) };
    let mut session = Session::of(*given("user"), options);
    let mut app = app(&mut session);
    app.update(Message::Batch(&[converted(1, "user"), converted(2, "user"), converted(3, "user")]));
    tick(&mut app, 1);
    press(&mut app, "home enter");
    let flag = app.store().catalog().experiments[0].flag.clone();
    let mut seen = Seen::default();
    let mut flags = |key: &str| {
        let rollout = r#"{"kind":"experiment","contextKind":"user","seed":61,"variations":[{"variation":0,"weight":50000},{"variation":1,"weight":50000}]}"#;
        let text = format!(r#"{{"key":"{key}","on":true,"salt":"s","fallthrough":{{"rollout":{rollout}}}}}"#);
        seen.take("sdk-…1", payload::read(&text));
        Message::Flags(Box::new(Given { flags: Some(std::sync::Arc::new(seen.clone())), ..*given("user") }))
    };
    app.update(flags("unrelated"));
    assert_eq!(app.notice(), None);
    app.update(flags(&flag));
    let told = "flags seen too late to judge by: older events have scrolled out, and what was counted stays";
    assert_eq!(app.notice().unwrap().text, told);
    assert!(matches!(app.view(), View::Why(_)), "the event that is open stays open");
    assert_eq!(visible(&app), [1, 2]);
}
