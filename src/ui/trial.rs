//! What the fix of a finding comes to: the same events before and after.
//!
//! ```text
//! ┌ Try the fix: event-lacks-unit ─ checkout-cta-test · checkout-conversion ─ 12 482 events ┐
//! │ → Segment, Track Event mapping, Additional Context Keys: device = $.context.device.id … │
//! │                                                                                        │
//! │ 403 of 12 482 events are judged differently; 0 → 391 count.                            │
//! └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use super::paint::{Canvas, grouped, plural, wrapped};
use super::theme::Role;
use super::{frame_box, more_below};
use crate::app::{Trial, TrialState};
use crate::report::fixes;
use crate::what_if::text;
use ratatui::layout::{Margin, Rect};
use ratatui::text::Line;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect, trial: &Trial) {
    frame_box(canvas, area, Role::BorderFocused);
    let finding = &trial.finding;
    let mut strip = canvas.strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area });
    strip.text(&format!(" Try the fix: {} ", finding.code), Role::TitleFocused);
    let about: Vec<&str> = [&finding.experiment, &finding.metric].into_iter().flatten().map(String::as_str).collect();
    if !about.is_empty() {
        strip.text("─", Role::BorderFocused).whole(&format!(" {} ", about.join(" · ")), Role::Muted);
    }
    let inside = area.inner(Margin::new(2, 1));
    let lines = lines(canvas, trial, inside.width.into());
    let start = trial.scroll.place(lines.len(), inside.height.into());
    canvas.lines(inside, lines.get(start..).unwrap_or_default());
    more_below(canvas, inside, lines.len().saturating_sub(start + usize::from(inside.height)));
}

fn lines(canvas: &Canvas<'_, '_>, trial: &Trial, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut say = |words: &str, indent: usize, role: Role| {
        lines.extend(wrapped(words, width, indent, canvas.style(role)));
    };
    say(&trial.finding.summary, 0, Role::Text);
    let (events, has_scrolled) = trial.events;
    let held = match has_scrolled {
        true => {
            format!("on the {} still held; what was exposed before them is not known here", plural(events, "event"))
        }
        false if canvas.app.replay().is_some() => format!("on {}, as of this position", plural(events, "event")),
        false => format!("on {}", plural(events, "event")),
    };
    match &trial.state {
        TrialState::Running { judgement, judged, of } => {
            say("", 0, Role::Text);
            let words = format!(
                "… trying it {held}: judgement {judgement}, {} of {}",
                grouped(*judged),
                plural(*of, "request")
            );
            say(&words, 2, Role::Pending);
            say("esc stops it; what arrives meanwhile is still taken in", 2, Role::Muted);
        }
        TrialState::Done(None) => {
            say(&format!("→ {}", trial.finding.fix), 2, Role::Good);
            say("", 0, Role::Text);
            let words = format!(
                "Not tried ({held}): what has to change is in the application, or no field of the events holds what was \
                 exposed. exptap what-if tries any change of the catalog, the mapping or the clock."
            );
            say(&words, 0, Role::Muted);
        }
        TrialState::Done(Some(result)) => {
            say(&format!("→ {}", result.fix), 2, Role::Good);
            say("", 0, Role::Text);
            say(&format!("Before and after, {held}:"), 0, Role::Muted);
            // Its first line is the title of a text; here the view has one.
            let mut difference = result.difference.clone();
            let fixes = difference.fixes.take();
            for line in text::text(&difference).lines().skip(1) {
                let words = line.trim_start();
                say(words, line.len() - words.len(), role_of(line));
            }
            // With what else is to be changed, this fix is one of several, or none of the best.
            let mut begin = String::new();
            if let Some(fixes) = fixes
                && fixes::write_text(&mut begin, &fixes).is_ok()
            {
                for line in begin.lines() {
                    let words = line.trim_start();
                    say(
                        words,
                        line.len() - words.len(),
                        if line == "Where to begin" { Role::Strong } else { Role::Text },
                    );
                }
            }
        }
    }
    lines
}

/// Lines of a difference tell by their beginning what they are; the words say the same as the colour.
fn role_of(line: &str) -> Role {
    let after = line.rsplit_once(" → ").map(|(_, after)| after.split([',', ' ']).next().unwrap_or_default());
    match after.and_then(crate::reason::ReasonCode::from_name).map(crate::reason::ReasonCode::category) {
        Some(category) => super::header::role_of(category),
        None if line.contains(" · iteration ") || line.contains("judged differently") || line == "Findings" => {
            Role::Strong
        }
        None if line.starts_with("  arm ") || line.starts_with("The same events") => Role::Muted,
        None => Role::Text,
    }
}
