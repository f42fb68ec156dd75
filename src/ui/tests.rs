//! What stands on the screen, cell by cell.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::theme::{Depth, Role, Theme, Themes};
use super::*;
use crate::app::fixture::{Fixture, START_MS};
use crate::app::store::Store;
use crate::app::{Action, Edit, Forwarding, Health, Message, Setting, Tick, keymap};
use crate::endpoint::{Delivery, Received};
use crate::reason::Category;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use std::time::Duration;

mod attached;
mod experiment;
mod replay;
mod segment;
mod waiting;

fn app(store: &mut dyn Store) -> App<'_> {
    let setting = Setting {
        addresses: vec!["127.0.0.1:8033".parse().unwrap()],
        trust: None,
        reading: None,
        forward: Forwarding { launchdarkly: Some("https://events.launchdarkly.com".into()), segment: None },
        themes: Themes::built_in().names(),
    };
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let mut app = App::new(store, setting, zone);
    let tick = Tick { now_ms: START_MS + 60_000, elapsed: Duration::from_secs(30), refresh: true, frames: 30 };
    app.update(Message::Tick(tick));
    app
}

fn drawn_with(app: &mut App<'_>, theme: &Theme, ascii_only: bool, (columns, rows): (u16, u16)) -> Buffer {
    app.update(Message::Resize(columns, rows));
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| render(app, theme, ascii_only, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn theme(name: &str) -> Theme {
    Themes::built_in().get(name).unwrap().clone()
}

fn drawn(app: &mut App<'_>, size: (u16, u16)) -> Buffer {
    drawn_with(app, &theme("default"), false, size)
}

fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    buffer
        .content
        .chunks(width)
        .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n")
        .collect()
}

fn act(app: &mut App<'_>, actions: impl IntoIterator<Item = Action>) {
    for action in actions {
        app.update(Message::Action(action));
    }
}

/// The cells a text stands in.
fn cells<'a>(buffer: &'a Buffer, text: &str) -> &'a [ratatui::buffer::Cell] {
    let symbols: Vec<String> = text.chars().map(String::from).collect();
    let start = buffer
        .content
        .windows(symbols.len())
        .position(|cells| cells.iter().zip(&symbols).all(|(cell, symbol)| cell.symbol() == symbol))
        .unwrap_or_else(|| panic!("{text:?} is not on the screen:\n{}", text_of(buffer)));
    &buffer.content[start..start + symbols.len()]
}

#[test]
fn the_overview_shows_four_panes_from_120_columns_and_one_at_80() {
    for (name, size) in [("80x24", (80, 24)), ("120x40", (120, 40)), ("200x60", (200, 60))] {
        let mut store = Fixture::shop();
        let mut app = app(&mut store);
        insta::assert_snapshot!(format!("overview_{name}"), text_of(&drawn(&mut app, size)));
    }
}

#[test]
fn an_empty_session_says_how_to_get_traffic_in() {
    let mut store = Fixture::empty();
    let mut app = app(&mut store);
    insta::assert_snapshot!("empty_80x24", text_of(&drawn(&mut app, (80, 24))));
}

#[test]
fn the_explanation_stands_beside_the_event_or_behind_a_tab() {
    for (name, size) in [("80x24", (80, 24)), ("120x40", (120, 40))] {
        let mut store = Fixture::shop();
        let mut app = app(&mut store);
        drawn(&mut app, size);
        act(&mut app, [Action::First, Action::Down, Action::Open]);
        insta::assert_snapshot!(format!("why_{name}"), text_of(&drawn(&mut app, size)));
    }
}

#[test]
fn every_other_pane_and_view_has_its_picture_at_80_columns() {
    let views: [(&str, &[Action]); 7] = [
        ("contexts", &[Action::Focus(Pane::Contexts)]),
        (
            "contexts_crossover",
            &[Action::Focus(Pane::Contexts), Action::NextContexts, Action::NextContexts, Action::NextContexts],
        ),
        ("unit", &[Action::Focus(Pane::Contexts), Action::Down, Action::Down, Action::Open]),
        ("experiments", &[Action::Focus(Pane::Experiments)]),
        ("findings", &[Action::Focus(Pane::Findings)]),
        ("sources", &[Action::Focus(Pane::Sources)]),
        ("experiment", &[Action::Focus(Pane::Experiments), Action::Open]),
    ];
    for (name, actions) in views {
        let mut store = Fixture::shop();
        let mut app = app(&mut store);
        act(&mut app, actions.iter().cloned());
        insta::assert_snapshot!(format!("{name}_80x24"), text_of(&drawn(&mut app, (80, 24))));
    }
}

/// What the fix of the shop's first finding comes to, made by hand.
fn tried() -> crate::app::TrialResult {
    use crate::reason::ReasonCode as Code;
    use crate::what_if::difference::*;
    let pair = |before, after| Pair { before, after };
    let metric = |converting: Pair<u64>| ArmMetricDifference {
        metric: "checkout-conversion".into(),
        converting_units: converting,
        conversions: converting,
        sum: Pair { before: converting.before as f64, after: converting.after as f64 },
    };
    let arm = |variation, name: &str, units, converting| ArmDifference {
        variation,
        name: name.into(),
        units: pair(units, units),
        metrics: vec![metric(converting)],
    };
    let transition = |before, after, events| Transition {
        before: Some(before),
        after: Some(after),
        variations: None,
        another_unit: false,
        events,
        elsewhere: 0,
        examples: Vec::new(),
    };
    crate::app::TrialResult {
        fix:
            "Segment, Track Event mapping, Additional Context Keys: device = $.context.device.id (matches 97 % of 403 \
              events; tried: 391 of 403 count, 12 then no-exposure)."
                .into(),
        difference: Difference {
            exptap_what_if: 1,
            fixes: None,
            changes: vec!["mapping: additional_context_keys.device=$.context.device.id".into()],
            catalog: Pair { before: "file", after: "file" },
            clock: Pair { before: "creation", after: "creation" },
            events: EventsCompared { received: 12_482, changed: 403, only_before: 0, only_after: 0 },
            verdicts: Pair {
                before: [("counted", 473), ("dropped", 1_204)].into(),
                after: [("counted", 864), ("dropped", 813)].into(),
            },
            experiments: vec![ExperimentDifference {
                key: "checkout-cta-test".into(),
                iteration: "2".into(),
                randomization_unit: Pair { before: Some("device".into()), after: Some("device".into()) },
                units: UnitsDifference { exposed: pair(4_810, 4_810), ..UnitsDifference::default() },
                arms: vec![arm(0, "control", 2_412, pair(212, 390)), arm(1, "treatment", 2_398, pair(261, 474))],
                exposures: Vec::new(),
                metrics: vec![MetricDifference {
                    metric: "checkout-conversion".into(),
                    received: pair(912, 912),
                    counted: pair(473, 864),
                    unchanged: 509,
                    verdicts: vec![
                        transition(Code::EventLacksUnit, Code::Counted, 391),
                        transition(Code::EventLacksUnit, Code::NoExposure, 12),
                    ],
                }],
            }],
            elsewhere: Vec::new(),
            findings: vec![FindingDifference {
                code: Code::EventLacksUnit,
                experiment: Some("checkout-cta-test".into()),
                metric: Some("checkout-conversion".into()),
                events: pair(403, 0),
                findings: pair(1, 0),
            }],
        },
    }
}

#[test]
fn a_fix_that_is_tried_tells_how_far_it_is_and_then_what_it_comes_to() {
    use crate::app::{TrialNews, TrialState};
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    act(&mut app, [Action::Focus(Pane::Findings), Action::TryFix]);
    let news = |app: &mut App<'_>, state| app.update(Message::Trial(Box::new(TrialNews { number: 1, state })));
    news(&mut app, TrialState::Running { judgement: 2, judged: 1_203, of: 8_400 });
    let running = text_of(&drawn(&mut app, (80, 24)));
    assert!(running.contains("judgement 2, 1 203 of 8 400 requests"), "{running}");
    assert!(running.contains("esc stops it"), "{running}");
    news(&mut app, TrialState::Done(Some(Box::new(tried()))));
    insta::assert_snapshot!("trial_80x24", text_of(&drawn(&mut app, (80, 24))));
    insta::assert_snapshot!("trial_200x60", text_of(&drawn(&mut app, (200, 60))));
    let buffer = drawn(&mut app, (200, 60));
    for (text, role) in
        [("event-lacks-unit → counted", Role::Counted), ("event-lacks-unit → no-exposure", Role::Dropped)]
    {
        let expected = theme("default").style(role).fg;
        for cell in cells(&buffer, text) {
            assert_eq!(Some(cell.fg), expected, "{text}");
        }
    }
    news(&mut app, TrialState::Done(None));
    let nothing = text_of(&drawn(&mut app, (80, 24)));
    assert!(nothing.contains("Not tried (on"), "{nothing}");
}

#[test]
fn an_experiment_has_its_charts_beside_its_numbers_or_below_them() {
    for (name, size) in [("100x40", (100, 40)), ("200x60", (200, 60))] {
        let mut store = Fixture::shop_of(640);
        let mut app = app(&mut store);
        act(&mut app, [Action::Focus(Pane::Experiments), Action::Open]);
        insta::assert_snapshot!(format!("experiment_{name}"), text_of(&drawn(&mut app, size)));
    }
}

#[test]
fn no_view_fails_on_any_screen_however_small() {
    let views: [&[Action]; 11] = [
        &[],
        &[Action::Focus(Pane::Contexts), Action::NextContexts, Action::Open],
        &[Action::Open],
        &[Action::Open, Action::SwapSide],
        &[Action::Focus(Pane::Contexts)],
        &[Action::Focus(Pane::Experiments), Action::Open],
        &[Action::Focus(Pane::Findings), Action::Zoom],
        &[Action::Focus(Pane::Findings), Action::TryFix],
        &[Action::Focus(Pane::Sources), Action::Help],
        &[Action::Palette, Action::Edit(Edit::Insert('q'))],
        &[Action::Filter, Action::Paste("code:x and very long ".repeat(20))],
    ];
    let mut sizes = vec![(1, 1), (20, 5), (59, 15), (60, 14), (60, 15), (80, 24), (118, 24), (500, 200), (0, 0)];
    sizes.extend((1..130).step_by(7).map(|columns| (columns, 16)));
    for actions in views {
        for rows in [0, 16] {
            let mut store = if rows == 0 { Fixture::empty() } else { Fixture::shop() };
            let mut app = app(&mut store);
            for size in &sizes {
                app.update(Message::Resize(size.0, size.1));
                act(&mut app, actions.iter().cloned());
                assert_eq!(drawn(&mut app, *size).area.width, size.0);
                act(&mut app, [Action::Back, Action::Back, Action::Focus(Pane::Live)]);
            }
        }
    }
}

#[test]
fn a_screen_too_small_says_what_it_needs_and_goes_on_counting() {
    let mut store = Fixture::shop_of(12_482);
    let mut app = app(&mut store);
    let text = text_of(&drawn(&mut app, (30, 6)));
    assert_eq!(text, "exptap needs 60x15,\nhas 30x6\n12.4k events\n3 901✓ 780… 780? 4 681✗ 2 340·\n\n\n");
}

#[test]
fn dropped_events_of_the_two_common_faults_leap_to_the_eye_with_and_without_colour() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    let default = theme("default");
    let buffer = drawn(&mut app, (120, 40));
    for (badge, role) in [(" KIND ", Role::DroppedKind), (" KEY ", Role::DroppedUnmatched)] {
        for cell in cells(&buffer, badge) {
            assert_eq!(cell.fg, default.style(role).fg.unwrap());
            assert!(cell.modifier.contains(default.style(role).add_modifier));
        }
    }
    assert_eq!(cells(&buffer, "✗  KIND ")[0].fg, default.style(Role::Dropped).fg.unwrap());
    let mono = drawn_with(&mut app, &theme("mono"), false, (120, 40));
    assert!(cells(&mono, " KIND ")[1].modifier.contains(ratatui::style::Modifier::REVERSED));
}

#[test]
fn without_colours_not_one_cell_has_one_in_any_theme_or_view() {
    for name in Themes::built_in().names() {
        let mut store = Fixture::shop();
        let mut app = app(&mut store);
        let theme = theme(&name).at(Depth::Mono);
        let opened = |pane| [Action::Back, Action::Focus(pane), Action::Open];
        let (experiment, context) = (opened(Pane::Experiments), opened(Pane::Contexts));
        for actions in [&[][..], &[Action::Open], &experiment, &context] {
            act(&mut app, actions.iter().cloned());
            let buffer = drawn_with(&mut app, &theme, false, (150, 40));
            for cell in &buffer.content {
                assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}: {:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn a_terminal_without_utf_8_gets_ascii_only() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    let opened = |pane| [Action::Back, Action::Focus(pane), Action::Open];
    let (experiment, context) = (opened(Pane::Experiments), opened(Pane::Contexts));
    for actions in [&[][..], &[Action::Open], &experiment, &context, &[Action::Back, Action::Help]] {
        act(&mut app, actions.iter().cloned());
        let text = text_of(&drawn_with(&mut app, &theme("mono"), true, (150, 40)));
        assert!(text.is_ascii(), "{text}");
    }
}

#[test]
fn hostile_text_is_shown_and_not_sent_and_moves_nothing() {
    let hostile = [
        "\u{1b}]0;owned\u{7}",
        "\u{1b}[2J\u{1b}[31m",
        "a\nb\tc\r",
        "\u{9b}31m\u{9d}0;x\u{9c}",
        "\u{202e}abc\u{2066}",
        "a\u{200b}\u{feff}\u{e0041}",
        &format!("e{}", "\u{301}".repeat(200)),
        "漢字漢字漢字漢字漢字漢字漢字",
        "👩\u{200d}💻👨\u{200d}👩\u{200d}👧",
        &"k".repeat(10_000),
    ];
    for text in hostile {
        let mut store = Fixture::shop();
        store.push_row(|row| {
            row.kind = text.into();
            row.key = text.into();
            row.units = vec![(text.into(), text.into())];
            row.source = text.into();
            row.note = Some(text.into());
        });
        let mut app = app(&mut store);
        for size in [(80, 24), (120, 40), (200, 60)] {
            for actions in [&[][..], &[Action::Open], &[Action::Back]] {
                act(&mut app, actions.iter().cloned());
                let buffer = drawn(&mut app, size);
                for cell in &buffer.content {
                    assert!(
                        cell.symbol().chars().all(|character| {
                            let invisible =
                                matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{feff}');
                            !character.is_control() && !invisible
                        }),
                        "{:?} of {text:?}",
                        cell.symbol()
                    );
                }
                // The right border stands where it stands without the text.
                for y in 3..size.1 - 2 {
                    let border = buffer.cell((size.0 - 1, y)).unwrap().symbol().to_owned();
                    assert!("│┐┘┌└┤".contains(&border), "{border:?} at row {y} of {text:?}\n{}", text_of(&buffer));
                }
            }
        }
    }
}

#[test]
fn the_counters_add_up_to_the_events_with_words_and_without() {
    let mut store = Fixture::shop_of(160);
    store.lost = 12;
    let mut app = app(&mut store);
    let text = text_of(&drawn(&mut app, (200, 60)));
    assert_eq!(
        text.lines().nth(1).unwrap(),
        " 160 events  12 lost   ✓ 20 counted  ✓ 30 exposures  … 10 pending  ? 10 unknown  ✗ 50 dropped  · 30 other  \
         ✗ 10 unreadable"
    );
    let text = text_of(&drawn(&mut app, (120, 40)));
    assert_eq!(text.lines().nth(1).unwrap(), " 160 events  12 lost  50 ✓  10 …  10 ?  60 ✗  30 ·");
    let text = text_of(&drawn(&mut app, (80, 24)));
    assert_eq!(text.lines().next().unwrap(), " exptap  ● :8033 → … 0/s  160 events  12 lost  50✓  10…  10?  60✗  30·");
}

#[test]
fn losses_are_shown_as_an_alert() {
    let mut store = Fixture::shop();
    store.lost = 12;
    let mut app = app(&mut store);
    let buffer = drawn(&mut app, (80, 24));
    let alert = theme("default").style(Role::Alert);
    for cell in cells(&buffer, " 12 lost ") {
        assert_eq!(cell.fg, alert.fg.unwrap());
        assert!(cell.modifier.contains(alert.add_modifier));
    }
}

#[test]
fn the_footer_and_the_help_show_the_key_map() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    let text = text_of(&drawn(&mut app, (200, 60)));
    let footer = text.lines().last().unwrap();
    for binding in keymap::active(app.scopes()).filter(|binding| !binding.footer.is_empty()) {
        let hint = format!("{} {}", binding.keys[0].label(), binding.footer);
        assert!(footer.contains(&hint), "{hint:?} is not in {footer:?}");
    }
    act(&mut app, [Action::Help]);
    let help = text_of(&drawn(&mut app, (120, 200)));
    for binding in keymap::BINDINGS {
        let start: String = binding.description.chars().take(40).collect();
        assert!(help.contains(start.trim_end()), "{start:?} is not in the help");
        assert!(help.contains(&binding.keys[0].label()));
    }
    for category in Category::ALL {
        assert!(help.contains(category.name()));
    }
}

#[test]
fn scrolling_up_says_how_many_events_came_since() {
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    drawn(&mut app, (80, 24));
    act(&mut app, [Action::Up]);
    let envelope = crate::envelope::Envelope {
        arrival_ms: 0,
        request: 1,
        method: "POST".into(),
        path: "/bulk".into(),
        body: bytes::Bytes::new(),
        wire_bytes: 0,
        ..crate::envelope::Envelope::default()
    };
    let requests: Vec<Received> = std::iter::repeat_n(envelope, 128).map(Received::Envelope).collect();
    app.update(Message::Batch(&requests));
    let text = text_of(&drawn(&mut app, (80, 24)));
    assert!(text.contains("+128 new"), "{text}");
}

#[test]
fn a_recording_is_in_sight_on_every_screen_and_a_fault_of_it_stays() {
    use crate::recorder::{Snapshot, State};
    let mut store = Fixture::shop();
    let mut app = app(&mut store);
    let recording = |state| {
        let (path, moved) = ("folder/buy-flow.exptap".into(), None);
        Message::Recording(Snapshot {
            path,
            state,
            requests: 1,
            marks: 0,
            lost: 0,
            bytes: 4_299_999,
            moved,
            put_aside: 0,
        })
    };
    app.update(recording(State::Recording));
    for (size, expected) in [
        ((160, 40), "● REC buy-flow.exptap 4.2 MB"),
        ((120, 40), "● REC buy-flow.exptap 4.2 MB"),
        ((80, 24), "● REC"),
        ((60, 15), "● REC"),
    ] {
        let buffer = drawn(&mut app, size);
        assert!(text_of(&buffer).contains(expected), "{size:?}:\n{}", text_of(&buffer));
        assert_eq!(cells(&buffer, "● REC")[0].fg, Color::Red, "{size:?}");
    }
    let why = "No space left on device".to_owned();
    app.update(recording(State::Stopped { since_ms: START_MS, why, not_kept: 120 }));
    for (size, expected) in [
        ((120, 40), "✗ recording stopped 12:03:04: No space left on device; 120 requests not kept; r tries again"),
        ((80, 24), "✗ REC stopped 12:03:04: No space left on device; 120 not kept; r tries again"),
        ((60, 15), "✗ REC stopped, 120 not kept, r tries again: No space"),
    ] {
        let text = text_of(&drawn(&mut app, size));
        assert!(text.contains(expected), "{size:?}:\n{text}");
        assert!(text.contains("✗ REC"), "the header too");
    }
}

#[test]
fn segment_s_upstream_is_shown_beside_launchdarkly_s_and_never_counted_with_it() {
    let mut store = Fixture::shop();
    let mut setting = Setting { addresses: vec!["127.0.0.1:8033".parse().unwrap()], ..Setting::default() };
    setting.forward = Forwarding {
        launchdarkly: Some("https://events.launchdarkly.com".into()),
        segment: Some("https://api.segment.io".into()),
    };
    let mut app = App::new(&mut store, setting, TimeZone::UTC);
    let delivery =
        |answers: &[(u16, u64)]| Delivery { answers: answers.iter().copied().collect(), ..Delivery::default() };
    let (upstream, segment_upstream) = (delivery(&[(202, 10)]), delivery(&[(200, 1), (401, 1)]));
    app.update(Message::Health(Health { upstream, segment_upstream, ..Health::default() }));
    let wide = text_of(&drawn(&mut app, (200, 60)));
    assert!(wide.contains("→ events.launchdarkly.com ✓ → api.segment.io ! 401 ×1"), "{wide}");
    let narrow = text_of(&drawn(&mut app, (80, 24)));
    assert!(narrow.contains("→ ✓ Segment → ! 401 ×1"), "{narrow}");
    act(&mut app, [Action::Focus(Pane::Sources)]);
    let sources = text_of(&drawn(&mut app, (140, 24)));
    assert!(sources.contains("✓ upstream took 100.0 %  ✗ Segment took 50.0 %  401 ×1"), "{sources}");
}
