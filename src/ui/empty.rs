//! Live before anything has arrived: how to get traffic in, with the address filled in; or how to play the recording.

use super::paint::{Canvas, day_and_time, plural, time_of_day, wrapped};
use super::theme::Role;
use super::{nothing, rows};
use crate::app::keymap::{BINDINGS, Scope};
use crate::app::replay::Work;
use crate::app::{Action, ReplayView, Transport};
use crate::guide::{self, Door, GuideLine};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if let Some(replay) = canvas.app.replay() {
        draw_start(canvas, area, replay);
        return;
    }
    let Some(address) = canvas.app.setting().addresses.first().copied() else {
        let words = match canvas.app.link() {
            Some(_) if canvas.app.holes().requests() > 0 => {
                "of what the collector received nothing is left; what comes is shown as it arrives there"
            }
            Some(_) => "the collector has received no event yet; what comes is shown as it arrives there",
            None => "no event was read yet; what comes is shown as it is read",
        };
        nothing(canvas, area, words);
        return;
    };
    let name_columns = 10;
    let code_columns = usize::from(area.width).saturating_sub(name_columns + 2);
    let mut lines = Vec::new();
    // Somebody tried, and this is what came of it: that is what the person is waiting to hear.
    if let Some(trouble) = &canvas.app.health().trouble {
        lines.extend(wrapped(&format!("✗ {trouble}"), area.width.into(), 1, canvas.style(Role::Bad)));
    }
    for line in guide::first_screen(Door { address, trust: canvas.app.setting().trust.as_ref() }) {
        match line {
            GuideLine::Heading(text) => lines.extend(wrapped(&text, area.width.into(), 1, canvas.style(Role::Strong))),
            GuideLine::Text(text) => lines.extend(wrapped(&text, area.width.into(), 1, canvas.style(Role::Muted))),
            GuideLine::Blank => lines.push("".into()),
            GuideLine::Code { name, code } => {
                let mut name = name;
                // Code is broken where the width ends, never at a space: a paste must not gain one.
                for piece in pieces(&code, code_columns) {
                    lines.push(Line::from(vec![
                        Span::styled(format!("  {name:<name_columns$}"), canvas.style(Role::Accent)),
                        Span::styled(piece, canvas.style(Role::Text)),
                    ]));
                    name = "";
                }
            }
        }
    }
    for (line, row) in lines.iter().zip(rows(area)) {
        canvas.lines(row, std::slice::from_ref(line));
    }
}

/// A recording of which nothing is in yet: what it holds, and the keys that play it.
fn draw_start(canvas: &mut Canvas<'_, '_>, area: Rect, replay: &ReplayView) {
    let app = canvas.app;
    let width = usize::from(area.width);
    let opening = replay.progress.is_some_and(|progress| progress.what == Work::Opening);
    let mut lines = wrapped(&replay.file, width, 1, canvas.style(Role::Strong));
    let mut facts = Vec::new();
    if let Some((first, last)) = replay.span() {
        facts.push(format!("{} to {}", day_and_time(app.zone(), first), day_and_time(app.zone(), last)));
    }
    facts.push(plural(replay.records, "record"));
    let counts = [(replay.marks.len(), "mark"), (replay.gaps.len(), "gap")];
    facts.extend(counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, noun)| plural(count as u64, noun)));
    if !opening {
        lines.extend(wrapped(&facts.join(", "), width, 1, canvas.style(Role::Text)));
    }
    let words = match (opening, replay.records) {
        (true, _) => "The file is being read. Nothing is in yet.",
        (false, 0) => "It holds no events.",
        (false, _) => "Nothing is in yet: the recording stands at its start.",
    };
    lines.extend(wrapped(words, width, 1, canvas.style(Role::Muted)));
    lines.push(Line::default());
    let keys = BINDINGS.iter().filter(|binding| {
        let of_the_replay = matches!(binding.scope, Scope::Replay | Scope::ReplayBar);
        of_the_replay && (!binding.footer.is_empty() || binding.action == Action::Replay(Transport::End))
    });
    for binding in keys {
        let key = binding.keys.first().map(|chord| chord.label()).unwrap_or_default();
        lines.push(Line::from(vec![
            Span::styled(format!("  {key:<8}"), canvas.style(Role::Accent)),
            Span::styled(binding.description, canvas.style(Role::Text)),
        ]));
    }
    lines.push(Line::default());
    for note in &replay.notes {
        lines.extend(wrapped(&format!("⚠ {note}"), width, 1, canvas.style(Role::Warning)));
    }
    for mark in &replay.marks {
        let text = format!("▾ {}  {}", time_of_day(app.zone(), mark.t_ms, false), mark.note);
        lines.extend(wrapped(&text, width, 1, canvas.style(Role::ReplayMark)));
        // More than fit are not looked at: there may be thousands.
        if lines.len() > usize::from(area.height) {
            break;
        }
    }
    canvas.lines(area, &lines);
}

fn pieces(code: &str, columns: usize) -> Vec<String> {
    let characters: Vec<char> = code.chars().collect();
    characters.chunks(columns.max(8)).map(|chunk| chunk.iter().collect()).collect()
}
