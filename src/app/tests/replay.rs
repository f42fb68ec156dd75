//! A recording that is played: what keys ask of it, and what its news changes.

use super::*;
use crate::app::fixture::{Position, positions, recording};
use crate::app::replay::{Progress, Speed, Work, part_of};

/// A replay that stands in the middle of its recording.
fn replay(store: &mut Fixture) -> App<'_> {
    let mut app = app(store);
    news(&mut app, recording());
    app
}

fn news(app: &mut App<'_>, view: ReplayView) -> bool {
    app.update(Message::Replay(Box::new(view))).redraw
}

fn commands(app: &mut App<'_>, keys: &str) -> Vec<ReplayCommand> {
    let effects = press(app, keys);
    effects
        .into_iter()
        .map(|effect| match effect {
            Effect::Replay(command) => command,
            other => panic!("{other:?} is no command of the replay"),
        })
        .collect()
}

fn cells(app: &App<'_>) -> u16 {
    layout::divide_bar(app.parts().unwrap().bar.unwrap()).cells.width
}

fn notice<'a>(app: &'a App<'_>) -> &'a str {
    app.notice().map_or("", |notice| &notice.text)
}

#[test]
fn every_key_of_the_replay_asks_for_what_it_says() {
    use ReplayCommand as Command;
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    for (keys, command) in [
        ("space", Command::TogglePlay),
        (".", Command::StepEvent(1)),
        (",", Command::StepEvent(-1)),
        ("]", Command::StepMark(1)),
        ("[", Command::StepMark(-1)),
        ("}", Command::StepFinding(1)),
        ("{", Command::StepFinding(-1)),
        ("0", Command::Start),
        ("9", Command::End),
    ] {
        assert_eq!(commands(&mut app, keys), [command], "{keys}");
        press(&mut app, "enter");
        assert!(matches!(app.view(), View::Why(_)));
        assert_eq!(commands(&mut app, keys), [command], "{keys} with an event explained");
        press(&mut app, "esc");
    }
    assert!(!app.live().is_frozen(), "space freezes nothing");
    assert_eq!(commands(&mut app, "space space"), [Command::TogglePlay; 2]);
    assert_eq!(commands(&mut app, ": nextmark enter"), [Command::StepMark(1)], "from the palette");
}

#[test]
fn without_a_recording_these_keys_mean_what_they_always_did() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    assert_eq!(press(&mut app, ". , [ ] { } < > 0 9 left right"), []);
    press(&mut app, "space");
    assert!(app.live().is_frozen());
    press(&mut app, "g");
    assert_eq!(app.live().selected(), Some(0));
}

#[test]
fn two_quick_steps_of_speed_are_two_steps_before_any_answer() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    let speeds = commands(&mut app, "> > < < <");
    let expected = [Speed::Two, Speed::Five, Speed::Two, Speed::One, Speed::Half].map(ReplayCommand::Speed);
    assert_eq!(speeds, expected);
    assert_eq!(app.replay().unwrap().speed, Speed::Half, "shown at once");
}

#[test]
fn the_bar_is_walked_cell_by_cell_without_waiting_for_the_answer() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    let cells = cells(&app);
    assert_eq!(cells, 33);
    let cursor = app.replay_cursor(cells);
    assert_eq!(cursor, 10);
    let walked = commands(&mut app, "right right left right");
    let expected = [11, 12, 11, 12].map(|cell| ReplayCommand::SeekFraction(part_of(cell, cells)));
    assert_eq!(walked, expected);
    assert_eq!(app.replay_cursor(cells), 12);
    // No record lies in the cell that was aimed at; the next key goes on all the same.
    news(&mut app, recording());
    assert_eq!(commands(&mut app, "right"), [ReplayCommand::SeekFraction(part_of(13, cells))]);
    press(&mut app, ".");
    assert_eq!(app.replay_cursor(cells), cursor, "any other move starts from where the recording stands");
    press(&mut app, "right");
    news(&mut app, ReplayView { playing: true, ..recording() });
    assert_eq!(app.replay_cursor(cells), cursor, "what is played moves the cursor itself");
}

#[test]
fn every_cell_of_the_bar_is_reached_and_the_ends_are_the_very_ends() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    let cells = cells(&app);
    let mut reached = Vec::new();
    press(&mut app, &["left"; 40].join(" "));
    for _ in 0..cells {
        reached.push(app.replay_cursor(cells));
        press(&mut app, "right");
    }
    assert_eq!(reached, (0..cells).collect::<Vec<_>>());
    let right = |app: &mut App<'_>| commands(app, "right");
    assert_eq!(right(&mut app), [ReplayCommand::SeekFraction(1.0)]);
    let far = lookup(app.scopes(), KeyEvent::new(KeyCode::Left, KeyModifiers::SHIFT)).unwrap();
    let jump = |app: &mut App<'_>| app.update(Message::Action(far.clone())).effects;
    assert_eq!(jump(&mut app), [Effect::Replay(ReplayCommand::SeekFraction(part_of(cells - 11, cells)))]);
    jump(&mut app);
    jump(&mut app);
    assert_eq!(jump(&mut app), [Effect::Replay(ReplayCommand::SeekFraction(0.0))]);
}

#[test]
fn a_place_is_typed_and_what_cannot_be_read_stays_with_a_sentence() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    assert_eq!(commands(&mut app, "g +90s enter"), [ReplayCommand::SeekTime(START_MS + 131_000)]);
    assert!(app.overlay().is_none());
    assert_eq!(commands(&mut app, "g 37% enter"), [ReplayCommand::SeekFraction(0.37)]);
    assert_eq!(commands(&mut app, "g #12 enter"), [ReplayCommand::SeekRecord(12)]);
    assert_eq!(commands(&mut app, "g 11:03:30.500 enter"), [ReplayCommand::SeekTime(START_MS + 26_279)]);

    assert_eq!(press(&mut app, "g soon"), []);
    let error = |app: &App<'_>| match app.overlay() {
        Some(Overlay::Line(line)) => line.error.clone().map(|error| error.message),
        _ => panic!("the line was closed"),
    };
    assert_eq!(error(&app), None, "half of a time is no mistake yet");
    assert_eq!(press(&mut app, "enter"), []);
    assert!(error(&app).unwrap().starts_with("that is not a place in the recording"));
    press(&mut app, "x");
    assert_eq!(error(&app), None, "typing on takes the sentence away");
    assert_eq!(press(&mut app, "esc"), []);
    assert!(app.overlay().is_none());
}

#[test]
fn esc_stops_long_work_before_it_leaves_anything() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    press(&mut app, "/ kind:custom enter");
    for what in [Work::Opening, Work::Seeking] {
        news(&mut app, ReplayView { progress: Some(Progress { what, done: 1, total: 2 }), ..recording() });
        assert_eq!(commands(&mut app, "esc"), [ReplayCommand::Cancel]);
        assert_eq!(app.filter(), "kind:custom");
        press(&mut app, "enter");
        assert_eq!(commands(&mut app, "esc"), [ReplayCommand::Cancel]);
        assert!(matches!(app.view(), View::Why(_)));
        news(&mut app, recording());
        assert_eq!(press(&mut app, "esc"), []);
        assert!(matches!(app.view(), View::Panes));
    }
    press(&mut app, "esc");
    assert_eq!(app.filter(), "");
}

#[test]
fn a_recording_without_marks_says_so_unless_it_is_still_being_read() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    let unmarked = ReplayView { marks: Vec::new(), ..recording() };
    news(&mut app, unmarked.clone());
    assert_eq!(press(&mut app, "]"), []);
    assert_eq!(notice(&app), "the recording has no marks");
    news(&mut app, ReplayView { progress: Some(Progress { what: Work::Opening, done: 1, total: 2 }), ..unmarked });
    assert_eq!(commands(&mut app, "["), [ReplayCommand::StepMark(-1)]);
}

#[test]
fn a_remark_about_the_file_is_told_once() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    let cut = ReplayView { notes: vec!["the file ends in the middle of a line".into()], ..recording() };
    assert!(news(&mut app, cut.clone()));
    assert_eq!(notice(&app), "the file ends in the middle of a line");
    press(&mut app, "down");
    assert!(!news(&mut app, cut), "the same news is none");
    assert_eq!(notice(&app), "");
}

#[test]
fn time_is_that_of_the_recording_and_stands_still_with_it() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    assert_eq!(app.now_ms(), START_MS + 41_000);
    tick(&mut app, 900);
    assert_eq!(app.now_ms(), START_MS + 41_000, "whatever the clock of the viewer says");
    assert_eq!(app.totals().verdicts["pending"], 1);
    assert!(!app.wants_clock(), "nothing changes while nothing is played");
    news(&mut app, ReplayView { playing: true, t_ms: Some(START_MS + 42_000), ..recording() });
    assert_eq!(app.now_ms(), START_MS + 42_000);
    assert!(app.wants_clock());
}

#[test]
fn the_rate_is_that_of_the_recording_up_to_its_position() {
    let mut store = Fixture::shop_of(1_000);
    let mut app = replay(&mut store);
    // An event every 137 ms.
    let at = |app: &mut App<'_>, ms| {
        news(app, ReplayView { t_ms: Some(START_MS + ms), ..recording() });
        let rate = app.recorded_rate().unwrap();
        (rate.per_second(), rate.curve(12).len())
    };
    assert_eq!(at(&mut app, 41_000), (8, 12));
    assert_eq!(at(&mut app, 3_500), (7, 4), "the second before the first event counts as far as it is there");
    assert_eq!(at(&mut app, 133_000), (8, 12));
    assert_eq!(at(&mut app, 150_000), (0, 12), "after the last event");
    news(&mut app, ReplayView { t_ms: None, ..recording() });
    assert!(app.recorded_rate().is_none());
}

#[test]
fn losses_in_the_recording_are_not_taken_for_losses_of_its_replay() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store);
    let loss = Received::Lost(crate::endpoint::Loss {
        requests: 12,
        bytes: 0,
        first_request: 1,
        last_request: 12,
        first_ms: 0,
        last_ms: 0,
    });
    app.update(Message::Batch(&[loss]));
    assert_eq!((app.lost_requests(), app.store().lost()), (0, 12));
}

/// Goes to the next of the stores.
fn replace(app: &mut App<'_>) {
    app.store_mut().lose(0);
    app.update(Message::Replaced);
}

fn at_first(store: &mut Position) -> App<'_> {
    let mut app = App::new(store, Setting::default(), TimeZone::UTC);
    app.update(Message::Resize(80, 24));
    news(&mut app, recording());
    app
}

#[test]
fn going_back_shows_the_session_of_that_position_everywhere_at_once() {
    let mut store = positions(&[100, 40, 90]);
    let mut app = at_first(&mut store);
    for events in [100, 40, 90] {
        if events != 100 {
            replace(&mut app);
        }
        assert_eq!(visible(&app).last(), Some(&(events - 1)), "Live goes on following");
        assert_eq!(app.live().len() as u64, events);
        assert_eq!((app.totals().events, app.report().totals.events), (events, events));
        assert!(!app.wants_refresh());
    }
}

#[test]
fn the_selected_event_stays_selected_where_it_is_still_there() {
    let mut store = positions(&[100, 60, 40]);
    let mut app = at_first(&mut store);
    press(&mut app, &["up"; 50].join(" "));
    assert_eq!(app.live().selected(), Some(49));
    replace(&mut app);
    assert_eq!((app.live().selected(), app.live().is_following()), (Some(49), false));
    replace(&mut app);
    assert!(app.live().is_following(), "it is gone");
}

#[test]
fn a_filter_shows_the_verdicts_of_the_new_position_and_is_never_empty_meanwhile() {
    let mut store = positions(&[20_000, 16_000, 24_000]);
    // At the second position the last conversion of every pattern waits; at the first it was dropped.
    for event in (0..16_000).filter(|event| event % 16 == 1) {
        store.stores[1].revise(event, ReasonCode::Pending);
    }
    let mut app = at_first(&mut store);
    press(&mut app, "d");
    while app.wants_spare_time() {
        app.update(Message::Spare);
    }
    let dropped = |events: usize| events / 16 * 6;
    assert_eq!(app.live().len(), dropped(20_000));
    replace(&mut app);
    let row_passes = |app: &App<'_>| visible(app).iter().all(|event| event % 16 != 1);
    assert_eq!(visible(&app).len(), 19, "the screen is full at once");
    assert!(row_passes(&app), "and right at once");
    while app.wants_spare_time() {
        app.update(Message::Spare);
        assert_eq!(visible(&app).len(), 19);
    }
    assert_eq!(app.live().len(), dropped(16_000) - 1_000);
    replace(&mut app);
    while app.wants_spare_time() {
        app.update(Message::Spare);
    }
    assert_eq!(app.live().len(), dropped(24_000));
}

#[test]
fn an_explanation_stays_open_while_the_recording_steps_back_and_forth_over_its_event() {
    let mut store = positions(&[20, 12, 13]);
    store.stores[0].revise(12, ReasonCode::Counted);
    let mut app = at_first(&mut store);
    press(&mut app, &["up"; 7].join(" "));
    press(&mut app, "enter");
    let why = |app: &App<'_>| match app.view() {
        View::Why(why) => (why.explanation.row.event, why.explanation.row.code, why.to_come),
        _ => panic!("the explanation is closed"),
    };
    assert_eq!(why(&app), (12, ReasonCode::Counted, false));
    replace(&mut app);
    assert!(why(&app).2, "it has not been received yet");
    replace(&mut app);
    assert_eq!(why(&app), (12, ReasonCode::Pending, false), "with the verdict of this position");
}

#[test]
fn a_store_holds_another_session_and_gives_back_the_one_before() {
    use crate::session::{Session, SessionOptions};
    let session = |now_ms| Session::new(None, SessionOptions::from_now(now_ms));
    let mut store = session(1);
    let before = Store::replace(&mut store, Box::new(session(2)));
    assert_eq!((before.observed_from_ms(), store.observed_from_ms()), (Some(1), Some(2)));
}
