//! The screens of a recording that is played.

use super::*;
use crate::app::fixture::{positions, recording};
use crate::app::replay::{FirstSeen, Gap, Mark, Progress, ReplayView, Speed, Work};
use crate::reason::{ReasonCode, Severity};
use proptest::prelude::*;

fn replay(store: &mut Fixture, view: ReplayView) -> App<'_> {
    let mut app = app(store);
    app.update(Message::Replay(Box::new(view)));
    app
}

/// The bar, on a screen of this size.
fn bar(app: &mut App<'_>, size: (u16, u16)) -> Vec<String> {
    let buffer = drawn(app, size);
    let rows = app.parts().unwrap().bar.unwrap();
    let text = text_of(&buffer);
    text.lines().skip(rows.y.into()).take(rows.height.into()).map(str::to_owned).collect()
}

fn at_second(seconds: i64) -> ReplayView {
    ReplayView { t_ms: Some(START_MS + seconds * 1_000), ..recording() }
}

#[test]
fn the_bar_stands_above_the_footer() {
    for (name, size) in [("80x24", (80, 24)), ("120x40", (120, 40)), ("200x60", (200, 60))] {
        let mut store = Fixture::shop();
        let mut app = replay(&mut store, recording());
        insta::assert_snapshot!(format!("replay_{name}"), text_of(&drawn(&mut app, size)));
    }
}

#[test]
fn at_its_start_a_recording_says_what_it_holds_and_what_to_press() {
    let start = ReplayView { position: 0, t_ms: None, ..recording() };
    for (name, size) in [("80x24", (80, 24)), ("120x40", (120, 40))] {
        let mut store = Fixture::empty();
        let mut app = replay(&mut store, start.clone());
        insta::assert_snapshot!(format!("replay_start_{name}"), text_of(&drawn(&mut app, size)));
    }
}

#[test]
fn opening_a_big_file_shows_how_far_it_is_and_how_to_stop() {
    let progress = Some(Progress { what: Work::Opening, done: 430_000_000, total: 1_000_000_000 });
    let opening = ReplayView { file: "big.exptap".into(), progress, ..ReplayView::default() };
    let mut store = Fixture::empty();
    let mut app = replay(&mut store, opening);
    let text = bar(&mut app, (80, 24));
    assert_eq!(text, [" opening 43 % (430 of 1 000 MB)  esc stops  ━━━━━━━━━━━━━━━────────────────────"]);
    let text = bar(&mut app, (120, 40));
    assert_eq!(text[0], " opening 43 % (430 of 1 000 MB)  esc stops");
    assert_eq!(text[1].chars().filter(|cell| *cell == '━').count(), 50);
}

#[test]
fn seeking_shows_how_far_it_is_and_leaves_the_bar_where_it_is() {
    let progress = Some(Progress { what: Work::Seeking, done: 1, total: 3 });
    let mut store = Fixture::shop();
    let mut app = replay(&mut store, ReplayView { progress, ..recording() });
    let text = bar(&mut app, (80, 24)).concat();
    assert!(text.contains("seeking 33 %, esc stops") && text.contains('┃'), "{text}");
}

#[test]
fn what_the_position_is_at_is_told_in_words() {
    let mut store = Fixture::shop();
    for (seconds, words) in [
        (20, "▾ opened the basket"),
        (90, "▾ clicked Buy here␛[2J"),
        (60, "! 12 lost: collector buffer full"),
        (30, "✗ event-lacks-unit first seen"),
        (70, "⚠ crossover-exposure first seen"),
        (120, "· no-metric-for-key first seen"),
    ] {
        let mut app = replay(&mut store, at_second(seconds));
        let text = bar(&mut app, (120, 40));
        assert!(text[0].contains(words), "{words:?} is not in {text:?}");
        let narrow: String = words.chars().take(20).collect();
        let text = bar(&mut app, (80, 24));
        assert!(text[0].contains(&narrow), "{narrow:?} is not in {text:?}");
    }
    let mut app = replay(&mut store, at_second(45));
    let text = bar(&mut app, (120, 40));
    assert_eq!(text[0].split_whitespace().take(5).collect::<Vec<_>>().join(" "), "‖ paused 1× 12:03:49.221 0:45");
}

#[test]
fn the_words_say_whether_it_plays_how_fast_and_when_it_is_over() {
    let mut store = Fixture::shop();
    for (view, words) in [
        (ReplayView { playing: true, speed: Speed::Tenth, ..recording() }, " ▶ playing 0.1× "),
        (ReplayView { speed: Speed::Max, ..recording() }, " ‖ paused max "),
        (ReplayView { position: 431, ..recording() }, " ‖ at end 1× "),
        (ReplayView { playing: true, speed: Speed::Hundred, ..recording() }, " ▶ playing 100×"),
    ] {
        let mut app = replay(&mut store, view);
        for size in [(60, 15), (80, 24), (120, 40)] {
            let text = bar(&mut app, size);
            assert!(text[0].starts_with(words), "{words:?} is not in {text:?}");
        }
    }
}

#[test]
fn the_header_names_the_file_and_no_address() {
    let mut store = Fixture::shop_of(400);
    let mut app = replay(&mut store, recording());
    let header = |app: &mut App<'_>, size| text_of(&drawn(app, size)).lines().next().unwrap_or_default().to_owned();
    let text = header(&mut app, (120, 40));
    assert!(text.starts_with(" exptap  replay recordings/buy-flow.exptap "), "{text}");
    assert!(text.contains(" 8/s ") && !text.contains("8033"), "{text}");
    let text = header(&mut app, (80, 24));
    assert!(text.starts_with(" exptap  replay buy-flow.exptap  8/s  400 events"), "{text}");
}

#[test]
fn an_event_that_is_still_to_come_is_not_explained() {
    let mut store = positions(&[16, 12, 16]);
    let mut app = App::new(&mut store, Setting::default(), TimeZone::UTC);
    app.update(Message::Replay(Box::new(recording())));
    drawn(&mut app, (120, 40));
    act(&mut app, [Action::Open]);
    for (position, to_come) in [false, true, false].into_iter().enumerate() {
        if position > 0 {
            app.store_mut().lose(0);
            app.update(Message::Replaced);
        }
        let text = text_of(&drawn(&mut app, (120, 40)));
        assert!(text.contains(" Why: event 15 "), "{text}");
        assert_eq!(text.contains("it has not been received yet"), to_come, "{text}");
        assert_eq!(text.contains(" DOC"), !to_come, "{text}");
    }
}

#[test]
fn below_the_smallest_screen_there_is_no_bar() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store, recording());
    let text = text_of(&drawn(&mut app, (59, 14)));
    assert!(text.starts_with("exptap needs 60x15,") && !text.contains('┃'), "{text}");
}

#[test]
fn ascii_and_no_colour_lose_nothing() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store, ReplayView { playing: true, speed: Speed::Five, ..at_second(20) });
    let mono = theme("mono").at(Depth::Mono);
    for size in [(80, 24), (120, 40)] {
        let buffer = drawn_with(&mut app, &mono, true, size);
        for cell in &buffer.content {
            assert!(cell.symbol().is_ascii());
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
        let rows = app.parts().unwrap().bar.unwrap();
        let text: Vec<String> =
            text_of(&buffer).lines().skip(rows.y.into()).take(rows.height.into()).map(str::to_owned).collect();
        assert!(text[0].starts_with(" > playing 5x"), "{text:?}");
        let cells = text.last().unwrap();
        for glyph in ['|', 'v', '!', 'x', '-', '#'] {
            assert!(cells.contains(glyph), "{glyph} is not in {cells:?}");
        }
    }
    app.update(Message::Replay(Box::new(at_second(20))));
    let text = text_of(&drawn_with(&mut app, &mono, true, (80, 24)));
    assert!(text.contains(" % paused 1x"), "{text}");
}

#[test]
fn the_line_that_asks_where_to_go_shows_its_forms_and_its_sentence() {
    let mut store = Fixture::shop();
    let mut app = replay(&mut store, recording());
    act(&mut app, [Action::Replay(crate::app::Transport::GoTo)]);
    let text = text_of(&drawn(&mut app, (80, 24)));
    assert!(text.contains(" Go to:") && text.contains("12:03:04, 2026-11-21T12:03:04Z, epoch ms, +90s"), "{text}");
    act(&mut app, [Action::Paste("tomorrow".into()), Action::Open]);
    let text = text_of(&drawn(&mut app, (80, 24)));
    assert!(text.contains(" Go to: tomorrow") && text.contains("✗ that is not a place in the recording"), "{text}");
}

fn instant() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), START_MS..START_MS + 100_000, Just(i64::MIN), Just(i64::MAX)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just("漢👩\u{200d}💻\u{1b}[2J\n".repeat(40)), Just(String::new())]
}

fn any_view() -> impl Strategy<Value = ReplayView> {
    let mark = (instant(), text()).prop_map(|(t_ms, note)| Mark { t_ms, note });
    let gap = (instant(), any::<u64>(), text()).prop_map(|(t_ms, lost, why)| Gap { t_ms, lost, why });
    let severity = prop_oneof![Just(Severity::Info), Just(Severity::Warning), Just(Severity::Error)];
    let finding = (instant(), severity).prop_map(|(t_ms, severity)| FirstSeen {
        t_ms,
        code: ReasonCode::EventLacksUnit,
        severity,
    });
    let progress = (any::<bool>(), any::<u64>(), any::<u64>()).prop_map(|(opening, done, total)| Progress {
        what: if opening { Work::Opening } else { Work::Seeking },
        done,
        total,
    });
    let optional = || prop::option::of(instant());
    (
        (text(), any::<u64>(), any::<u64>(), optional(), optional(), optional()),
        (any::<bool>(), 0..Speed::ALL.len(), prop::collection::vec(any::<u32>(), 0..300)),
        (
            prop::collection::vec(mark, 0..4),
            prop::collection::vec(gap, 0..4),
            prop::collection::vec(finding, 0..4),
            prop::option::of(progress),
            prop::collection::vec(text(), 0..2),
        ),
    )
        .prop_map(|(place, manner, things)| {
            let (file, records, position, t_ms, first_ms, last_ms) = place;
            let (playing, speed, density) = manner;
            let (marks, gaps, findings, progress, notes) = things;
            let speed = Speed::ALL[speed];
            ReplayView {
                file,
                records,
                position,
                t_ms,
                first_ms,
                last_ms,
                playing,
                speed,
                density,
                marks,
                gaps,
                findings,
                progress,
                notes,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_recording_breaks_the_screen_whatever_it_says_and_however_small(
        view in any_view(), columns in 1u16..260, rows in 1u16..70, empty in any::<bool>(), ascii_only in any::<bool>(),
    ) {
        let mut store = if empty { Fixture::empty() } else { Fixture::shop() };
        let mut app = replay(&mut store, view.clone());
        let theme = theme("default");
        let buffer = drawn_with(&mut app, &theme, ascii_only, (columns, rows));
        for cell in &buffer.content {
            prop_assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
        }
        let opening = view.progress.is_some_and(|progress| progress.what == Work::Opening);
        if let Some(bar) = app.parts().and_then(|parts| parts.bar).filter(|_| !opening) {
            let area = crate::app::layout::divide_bar(bar).cells;
            let cursor = if ascii_only { "|" } else { "┃" };
            let marked: Vec<u16> = (area.x..area.right()).filter(|x| buffer.cell((*x, area.y)).unwrap().symbol() == cursor).collect();
            prop_assert_eq!(marked, [area.x + view.cursor(area.width)]);
        }
    }
}
