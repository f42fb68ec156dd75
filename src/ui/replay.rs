//! The bar of a recording: time from left to right, what happened when, and where the recording stands.
//!
//! ```text
//!  ‖ paused 1×   ▾ clicked Buy here                  12:03:45.221   0:41 of 2:13   record 120 of 431   state, figures
//!  ▁▂▅█▃▁─────▁▂▃▂✗▃▅▃▂▁▁──────┃▂▃▅▆▃▂▁────!────▁▂▃▁▁─────▾──▁▂▅▃▂▁──⚠───▁▁▂▃▂▁───────▂▃▅█▅▃▂▁▁────   cells
//!
//!  ‖ paused 1×    ▁▂▅█▃▁──▁✗▃▅▃▂──┃▂▃▅──!──▁▂▾▁▂▅▃─▁  0:41 of 2:13  120 of 431          the same on one line
//!  opening 43 % (430 of 1 000 MB)  esc stops  ━━━━━━━━━━━━━━━━━─────────────────────    while the file is read
//! ```
//!
//! A cell is as high as there are events in its slice of time; `─`: none. `┃` is the position, `▾` a mark, `!` a loss
//! that was recorded, `✗` `⚠` `·` a finding where it was first seen. Where several fall in one cell, the first of
//! these is shown. What the position is at is told in words beside the cells.

use super::paint::{Canvas, bar_of, columns, date, grouped, harmless, short, time_of_day};
use super::theme::Role;
use crate::app::App;
use crate::app::layout::{Bar, divide_bar};
use crate::app::replay::{Progress, ReplayView, Work};
use crate::reason::Severity;
use ratatui::layout::Rect;

/// A cell of the bar.
type Cell = (char, Role);

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let Some(replay) = app.replay() else { return };
    let bar = divide_bar(area);
    if let Some(progress) = replay.progress.as_ref().filter(|progress| progress.what == Work::Opening) {
        return draw_opening(canvas, area, &bar, progress);
    }
    let remark = remark(app, replay, bar.cells.width);
    let two_lines = area.height >= 2;
    let (words, role) = state(replay);
    let mut strip = canvas.strip(bar.state);
    strip.text(&words, role);
    if two_lines && let Some((text, role)) = &remark {
        strip.gap(2).text(text, *role);
    }
    draw_cells(canvas, bar.cells, &cells(app, replay, bar.cells.width));
    if two_lines {
        canvas.strip(bar.figures).at_end(&format!("{} ", figures_in_full(app, replay)), Role::Text);
        return;
    }
    let mut strip =
        canvas.strip(Rect { x: bar.figures.x + 1, width: bar.figures.width.saturating_sub(1), ..bar.figures });
    match remark {
        Some((text, role)) if replay.progress.is_some() => {
            strip.text(&text, role);
        }
        Some((text, role)) => {
            let record = format!("{}/{}", short(replay.position), short(replay.records));
            strip.cell(&text, strip.left().saturating_sub(columns(&record) + 1), role).text(&record, Role::Text);
        }
        None => {
            let text = figures(replay, strip.left());
            strip.at_end(&text, Role::Text);
        }
    }
}

/// What the recording does, and how fast.
fn state(replay: &ReplayView) -> (String, Role) {
    let (words, role) = match replay.playing {
        true => ("▶ playing", Role::Good),
        false if replay.position >= replay.records && replay.records > 0 => ("‖ at end", Role::Warning),
        false => ("‖ paused", Role::Warning),
    };
    (format!(" {words} {}", replay.speed.label()), role)
}

/// What the position is at: long work, a mark, a loss, a finding.
fn remark(app: &App<'_>, replay: &ReplayView, cells: u16) -> Option<(String, Role)> {
    if let Some(progress) = &replay.progress {
        return Some((format!("{}, esc stops", progress_words(progress)), Role::Accent));
    }
    let cursor = app.replay_cursor(cells);
    let now_ms = replay.now_ms()?;
    let here = |t_ms: i64| replay.cell_of(t_ms, cells).unwrap_or(0) == cursor;
    let mark = replay.marks.iter().filter(|mark| here(mark.t_ms)).min_by_key(|mark| mark.t_ms.abs_diff(now_ms));
    if let Some(mark) = mark {
        return Some((format!("▾ {}", if mark.note.is_empty() { "mark" } else { &mark.note }), Role::ReplayMark));
    }
    let gap = replay.gaps.iter().filter(|gap| here(gap.t_ms)).min_by_key(|gap| gap.t_ms.abs_diff(now_ms));
    if let Some(gap) = gap {
        return Some((format!("! {} lost: {}", grouped(gap.lost), gap.why), Role::Alert));
    }
    let findings = replay.findings.iter().filter(|finding| here(finding.t_ms));
    let finding = findings.min_by_key(|finding| finding.t_ms.abs_diff(now_ms))?;
    let (glyph, role) = tick(finding.severity);
    Some((format!("{glyph} {} first seen", finding.code.name()), role))
}

/// What a finding looks like on the bar.
fn tick(severity: Severity) -> Cell {
    match severity {
        Severity::Error => ('✗', Role::Bad),
        Severity::Warning => ('⚠', Role::Warning),
        Severity::Info => ('·', Role::Muted),
    }
}

fn cells(app: &App<'_>, replay: &ReplayView, width: u16) -> Vec<Cell> {
    let cursor = app.replay_cursor(width);
    let density = replay.density_in(width);
    let most = density.iter().copied().max().unwrap_or(0).max(1);
    let mut cells: Vec<Cell> = density
        .iter()
        .zip(0..)
        .map(|(events, cell)| {
            let role = if cell < cursor { Role::ReplayPlayed } else { Role::ReplayAhead };
            let bar = if *events == 0 { '─' } else { bar_of(*events, most) };
            (bar, role)
        })
        .collect();
    let mut put = |t_ms: i64, cell: Cell| {
        let index = replay.cell_of(t_ms, width).unwrap_or(0);
        if let Some(slot) = cells.get_mut(usize::from(index)) {
            *slot = cell;
        }
    };
    // The later one is the one that is seen.
    for severity in [Severity::Info, Severity::Warning, Severity::Error] {
        let findings = replay.findings.iter().filter(|finding| finding.severity == severity);
        findings.for_each(|finding| put(finding.t_ms, tick(severity)));
    }
    replay.gaps.iter().for_each(|gap| put(gap.t_ms, ('!', Role::Alert)));
    replay.marks.iter().for_each(|mark| put(mark.t_ms, ('▾', Role::ReplayMark)));
    if let Some(slot) = cells.get_mut(usize::from(cursor)) {
        *slot = ('┃', Role::ReplayCursor);
    }
    cells
}

fn draw_cells(canvas: &mut Canvas<'_, '_>, area: Rect, cells: &[Cell]) {
    let mut strip = canvas.strip(area);
    for run in cells.chunk_by(|one, other| one.1 == other.1) {
        let text: String = run.iter().map(|(glyph, _)| *glyph).collect();
        strip.text(&text, run.first().map_or(Role::Text, |(_, role)| *role));
    }
}

/// Where it stands, with every word: time, time passed, records.
fn figures_in_full(app: &App<'_>, replay: &ReplayView) -> String {
    let mut text = String::new();
    if let Some((now_ms, (first, last))) = replay.now_ms().zip(replay.span()) {
        if last.abs_diff(first) >= 86_400_000 {
            text.push_str(&format!("{} ", date(app.zone(), now_ms)));
        }
        text.push_str(&time_of_day(app.zone(), now_ms, true));
        text.push_str(&format!("   {} of {}   ", length(first, now_ms), length(first, last)));
    }
    text.push_str(&format!("record {} of {}", grouped(replay.position), grouped(replay.records)));
    text
}

/// The same in so many columns: the most telling form that fits.
fn figures(replay: &ReplayView, width: usize) -> String {
    let times =
        replay.now_ms().zip(replay.span()).map(|(now, (first, last))| (length(first, now), length(first, last)));
    let (passed, whole) = times.unwrap_or_default();
    let (position, records) = (replay.position, replay.records);
    let few = format!("{}/{}", short(position), short(records));
    if whole.is_empty() {
        let words = format!("record {} of {}", grouped(position), grouped(records));
        return if columns(&words) <= width { words } else { few };
    }
    let forms = [
        format!("{passed} of {whole}  record {} of {}", grouped(position), grouped(records)),
        format!("{passed} of {whole}  {} of {}", grouped(position), grouped(records)),
        format!("{passed} of {whole}  {few}"),
        format!("{passed}/{whole} {few}"),
    ];
    forms.into_iter().find(|form| columns(form) <= width).unwrap_or(few)
}

/// A stretch of time: `0:41`, `2:13:05`.
fn length(from_ms: i64, to_ms: i64) -> String {
    let seconds = to_ms.saturating_sub(from_ms).max(0) / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How far long work has come: `opening 43 %`.
fn progress_words(progress: &Progress) -> String {
    let what = match progress.what {
        Work::Opening => "opening",
        Work::Seeking => "seeking",
    };
    progress.percent().map_or_else(|| what.to_owned(), |percent| format!("{what} {percent} %"))
}

/// How much of the file has been read, both numbers in one unit: `430 of 1 000 MB`.
fn amount(progress: &Progress) -> String {
    let (unit, name) = match progress.total.max(progress.done) {
        0..=9_999 => (1, "B"),
        10_000..=9_999_999 => (1_000, "kB"),
        _ => (1_000_000, "MB"),
    };
    let done = grouped(progress.done / unit);
    if progress.total == 0 {
        return format!("{done} {name} so far");
    }
    format!("{done} of {} {name}", grouped(progress.total / unit))
}

/// The file is being read: nothing is known yet of what lies where.
fn draw_opening(canvas: &mut Canvas<'_, '_>, area: Rect, bar: &Bar, progress: &Progress) {
    let words = format!(" {} ({})", progress_words(progress), amount(progress));
    let mut strip = canvas.strip(area);
    strip.text(&words, Role::Accent).text("  esc stops", Role::Muted);
    let rest = if area.height >= 2 {
        bar.cells
    } else {
        let used = u16::try_from(columns(&words) + columns("  esc stops") + 2).unwrap_or(u16::MAX);
        Rect { x: area.x.saturating_add(used), width: area.width.saturating_sub(used.saturating_add(1)), ..area }
    };
    let done = u64::from(rest.width) * progress.percent().unwrap_or(0) / 100;
    let cells: Vec<Cell> = (0..u64::from(rest.width))
        .map(|cell| if cell < done { ('━', Role::ReplayPlayed) } else { ('─', Role::ReplayAhead) })
        .collect();
    draw_cells(canvas, rest, &cells);
}

/// The file in so many columns. Of a path that is too long the end is kept: it tells files apart.
pub(super) fn file_within(file: &str, width: usize) -> String {
    let file = harmless(file);
    if columns(&file) <= width {
        return file;
    }
    let mut kept = 0;
    let tail: Vec<char> = file
        .chars()
        .rev()
        .take_while(|character| {
            kept += columns(&character.to_string());
            kept < width
        })
        .collect();
    format!("…{}", tail.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_time_and_amounts_are_told_in_one_unit() {
        assert_eq!(
            [(0, 41_999), (0, 133_000), (0, 7_985_000), (5, 0)].map(|(from, to)| length(from, to)),
            ["0:41", "2:13", "2:13:05", "0:00"]
        );
        assert_eq!(length(i64::MIN, i64::MAX).len(), "2562047788015:12:55".len(), "the whole of time is a stretch too");
        let amount = |done, total| amount(&Progress { what: Work::Opening, done, total });
        assert_eq!(amount(430_000_000, 1_000_000_000), "430 of 1 000 MB");
        assert_eq!(amount(812, 9_000), "812 of 9 000 B");
        assert_eq!(amount(43_000, 0), "43 kB so far");
    }

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        assert_eq!(file_within("buy-flow.exptap", 20), "buy-flow.exptap");
        assert_eq!(file_within("recordings/november/buy-flow.exptap", 16), "…buy-flow.exptap");
        assert_eq!(columns(&file_within("漢字漢字漢字漢字", 8)), 7);
        assert_eq!(file_within("a\u{1b}b", 9), "a␛b");
    }

    #[test]
    fn the_most_telling_figures_that_fit_are_shown() {
        let view = ReplayView {
            records: 431_000,
            position: 120_000,
            t_ms: Some(41_000),
            first_ms: Some(0),
            last_ms: Some(133_000),
            ..ReplayView::default()
        };
        assert_eq!(figures(&view, 80), "0:41 of 2:13  record 120 000 of 431 000");
        assert_eq!(figures(&view, 32), "0:41 of 2:13  120 000 of 431 000");
        assert_eq!(figures(&view, 30), "0:41 of 2:13  120k/431k");
        assert_eq!(figures(&view, 20), "0:41/2:13 120k/431k");
        assert_eq!(figures(&view, 10), "120k/431k");
        assert_eq!(figures(&ReplayView { first_ms: None, t_ms: None, ..view }, 30), "record 120 000 of 431 000");
    }
}
