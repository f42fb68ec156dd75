//! Events that came through Segment.

use super::*;
use crate::app::fixture::segment_shop;

/// Opens the explanation of an event, counted from the first.
fn explained(app: &mut App<'_>, event: usize, size: (u16, u16)) -> String {
    drawn(app, size);
    act(app, std::iter::once(Action::First).chain(std::iter::repeat_n(Action::Down, event)).chain([Action::Open]));
    text_of(&drawn(app, size))
}

#[test]
fn the_way_of_an_event_is_told_from_its_source_to_its_verdict() {
    for size in [(120, 40), (200, 60)] {
        let mut store = segment_shop(false);
        let mut app = app(&mut store);
        let name = format!("why_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, explained(&mut app, 1, size));
    }
}

#[test]
fn in_80_columns_tab_leads_from_the_event_over_the_mapping_to_the_rules() {
    let mut store = segment_shop(false);
    let mut app = app(&mut store);
    insta::assert_snapshot!("rules_80x24", explained(&mut app, 1, (80, 24)));
    for name in ["event_80x24", "mapping_80x24"] {
        act(&mut app, [Action::SwapSide]);
        insta::assert_snapshot!(name, text_of(&drawn(&mut app, (80, 24))));
    }
    act(&mut app, [Action::Down]);
    let scrolled = text_of(&drawn(&mut app, (80, 24)));
    assert!(!scrolled.contains("mapping 0 · Track Event"), "{scrolled}");
    act(&mut app, [Action::SwapSide]);
    assert!(text_of(&drawn(&mut app, (80, 24))).contains("Why: event 1"), "and round again");
    // An event that came no such way has no such side.
    act(&mut app, [Action::PreviousEvent, Action::SwapSide, Action::SwapSide]);
    assert!(text_of(&drawn(&mut app, (80, 24))).contains("Why: event 0"));
}

#[test]
fn a_missing_unit_leaps_to_the_eye_with_and_without_colour() {
    let mut store = segment_shop(false);
    let mut app = app(&mut store);
    explained(&mut app, 1, (120, 40));
    let default = theme("default");
    let missing = " ✗ nothing makes a device key ";
    let buffer = drawn(&mut app, (120, 40));
    assert_eq!(cells(&buffer, missing)[1].fg, default.style(Role::DroppedKind).fg.unwrap());
    let mono = drawn_with(&mut app, &theme("mono"), false, (120, 40));
    assert!(cells(&mono, missing)[1].modifier.contains(ratatui::style::Modifier::REVERSED));
    let plain = text_of(&drawn_with(&mut app, &theme("mono"), true, (120, 40)));
    assert!(plain.is_ascii() && plain.contains("x nothing makes a device key"), "{plain}");
    // What the mapping reads stands out in the event; what it does not read, does not.
    let shown = |text: &str| cells(&buffer, text)[1].fg;
    assert_eq!(shown("\"userId\""), default.style(Role::JsonMatters).fg.unwrap());
    assert_ne!(shown("\"sku\""), default.style(Role::JsonMatters).fg.unwrap());
}

#[test]
fn the_line_that_makes_the_key_says_so_and_nothing_is_missing() {
    let mut store = segment_shop(true);
    let mut app = app(&mut store);
    let text = explained(&mut app, 1, (160, 40));
    assert!(text.contains("Why: event 1 ✓ counted"), "{text}");
    assert!(text.contains("✓ Additional Context Keys device = $.context.device.id → \"d-9\""), "{text}");
    assert!(text.contains("▸ the device key checkout-cta-test needs, exposed to treatment"), "{text}");
    assert!(!text.contains("nothing makes"), "{text}");
    let buffer = drawn(&mut app, (160, 40));
    let key = cells(&buffer, "→ \"d-9\"");
    assert_eq!(key[3].fg, theme("default").style(Role::JsonMatters).fg.unwrap());
}

#[test]
fn what_launchdarkly_never_gets_has_its_words_on_the_line_that_fails() {
    let mut store = segment_shop(false);
    let mut app = app(&mut store);
    let text = explained(&mut app, 2, (160, 40));
    assert!(
        text.contains("✗ Metric Value            $.properties.revenue, else $.properties.value → \"$25\""),
        "{text}"
    );
    assert!(text.contains("✗ Metric Value must be a number but it was a string."), "{text}");
    assert!(text.contains("✗ LaunchDarkly gets nothing"), "{text}");
    act(&mut app, [Action::Back]);
    let text = explained(&mut app, 3, (160, 40));
    assert!(text.contains("✗ no trigger matches, so LaunchDarkly gets nothing"), "{text}");
    assert!(text.contains("· does not match: mapping 0 · Track Event · type = \"track\""), "{text}");
    act(&mut app, [Action::Back]);
    let text = explained(&mut app, 4, (160, 40));
    assert!(text.contains("✗ Segment does not hand it to the destination, and no mapping is asked"), "{text}");
    assert!(text.contains("Event 4 as received"), "{text}");
}

#[test]
fn rows_say_that_segment_is_between_and_cut_its_words_where_they_can_be_cut() {
    let mut store = segment_shop(false);
    let mut app = app(&mut store);
    let live = |app: &mut App<'_>, size| -> Vec<String> {
        let text = text_of(&drawn(app, size));
        text.lines()
            .filter(|line| line.contains("12:03:"))
            .map(|line| line[..line.rfind('│').unwrap()].trim_end().to_owned())
            .collect()
    };
    assert_eq!(
        live(&mut app, (80, 24))[1..],
        [
            "│12:03:06 custom   Order Completed user/u-1       ✗  KIND  event-lacks-unit  n…",
            "│12:03:06 track    Order Completed userId/u-2     ✗ segment-rejected  Metric…",
            "│12:03:06 page     Home            anonymousId/a… · segment-not-subscribed",
            "│12:03:06 track    Order Completed                ✗ segment-refused  no_user_a…",
        ]
    );
    act(&mut app, [Action::Zoom]);
    let rows = live(&mut app, (130, 30));
    assert!(rows[1].contains(" custom Seg "), "{rows:#?}");
    assert!(rows[2].ends_with("✗ segment-rejected  Metric Value is a string"), "{rows:#?}");
    let rows = live(&mut app, (200, 60));
    assert!(
        rows[2].ends_with(
            "Segment analytics-node/… ✗ segment-rejected  Metric Value must be a number but it was a string."
        ),
        "{rows:#?}"
    );
}

#[test]
fn hostile_text_is_shown_and_not_sent() {
    let mut store = segment_shop(false);
    for text in [
        "\u{9b}31m\u{9d}0;x\u{9c}",
        "\u{202e}abc\u{2066}",
        "漢字漢字漢字漢字漢字漢字漢字",
        "\\u001b[2J",
        &"k".repeat(9_000),
    ] {
        let event = format!(
            r#"{{"type":"track","event":"Order Completed","userId":"{text}","anonymousId":"{text}","messageId":"{text}","properties":{{"{text}":"{text}","revenue":"{text}"}},"context":{{"library":{{"name":"{text}"}}}}}}"#
        );
        store.receive(&crate::envelope::Envelope {
            arrival_ms: START_MS + 9_000,
            request: 9,
            method: "POST".into(),
            path: "/v1/track".into(),
            body: event.into(),
            ..crate::envelope::Envelope::default()
        });
    }
    let mut app = app(&mut store);
    for size in [(80, 24), (120, 40), (200, 60)] {
        for event in 5..10 {
            explained(&mut app, event, size);
            for _ in 0..3 {
                act(&mut app, [Action::SwapSide]);
                let buffer = drawn(&mut app, size);
                let shown = text_of(&buffer);
                let invisible = |it: char| it != '\n' && (it.is_control() || matches!(it, '\u{202e}' | '\u{2066}'));
                assert!(!shown.chars().any(invisible), "{shown}");
                for y in 3..size.1 - 2 {
                    assert_eq!(buffer.cell((size.0 - 1, y)).unwrap().symbol(), "│", "row {y}\n{shown}");
                }
            }
            act(&mut app, [Action::Back]);
        }
    }
}

#[test]
fn no_size_and_no_side_fails() {
    let sizes = (1..210).step_by(26).flat_map(|columns| [(columns, 15), (columns, 40)]);
    for size in sizes {
        for event in 0..5 {
            let mut store = segment_shop(event % 2 == 0);
            let mut app = app(&mut store);
            explained(&mut app, event, size);
            for _ in 0..3 {
                act(&mut app, [Action::SwapSide, Action::Last, Action::Down]);
                assert_eq!(drawn(&mut app, size).area.width, size.0);
            }
        }
    }
}
