//! How an experiment went, as charts over the judging clock, of the events still held.

use crate::app::{Course, is_kind_mismatch};
use crate::reason::{Category, ReasonCode};
use crate::report::ExperimentReport;
use crate::ui::header::role_of;
use crate::ui::paint::{Canvas, grouped, in_columns, time_of_day};
use crate::ui::rows;
use crate::ui::theme::Role;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Sparkline, Widget};

/// How the arms are told apart in the chart: by colour, and where there is none, by what their line is made of.
const SERIES: [(Role, Marker, &str); 4] = [
    (Role::SeriesOne, Marker::Braille, "⠤⠤"),
    (Role::SeriesTwo, Marker::Dot, "••"),
    (Role::SeriesThree, Marker::Bar, "▄▄"),
    (Role::SeriesFour, Marker::Block, "██"),
];

/// The colour of a reason's name.
pub(super) fn role_of_code(code: ReasonCode) -> Role {
    if is_kind_mismatch(code) { Role::DroppedKind } else { role_of(code.category()) }
}

/// Both charts, one above the other.
pub(super) fn draw_all(canvas: &mut Canvas<'_, '_>, area: Rect, report: &ExperimentReport, course: &Course) {
    let lost = losses(course);
    let rows = u16::try_from(lost.len()).unwrap_or(u16::MAX).saturating_mul(LOSS_ROWS).saturating_add(3);
    let rows = if lost.is_empty() { 0 } else { rows.min(area.height / 2) };
    let [conversions, losses] =
        Layout::vertical([Constraint::Max(24), Constraint::Length(rows)]).spacing(1).areas(area);
    draw_conversions(canvas, conversions, report, course);
    draw_losses(canvas, losses, &lost, course);
}

/// Conversions per arm, added up.
pub(super) fn draw_conversions(canvas: &mut Canvas<'_, '_>, area: Rect, report: &ExperimentReport, course: &Course) {
    if course.most() == 0 {
        if let Some(row) = rows(area).next() {
            canvas.strip(row).text("Conversions over time: none among the events still held", Role::Muted);
        }
        return;
    }
    if area.height < 5 {
        return;
    }
    let (start, end) = (course.start_ms as f64, course.end_ms() as f64);
    let points: Vec<Vec<(f64, f64)>> = course
        .conversions
        .iter()
        .map(|arm| {
            let slices = in_columns(arm, area.width.into());
            let slice = (end - start) / slices.len() as f64;
            let mut sum = 0;
            let sums = slices.into_iter().enumerate().map(|(before, conversions)| {
                sum += conversions;
                (start + slice * (before + 1) as f64, sum as f64)
            });
            std::iter::once((start, 0.0)).chain(sums).collect()
        })
        .collect();
    let mut title = canvas.strip(area);
    title.text("Conversions so far", Role::Strong);
    for ((arm, conversions), (role, _, sample)) in
        report.arms.iter().zip(&course.conversions).zip(SERIES.into_iter().cycle())
    {
        let count = grouped(conversions.iter().sum());
        title.gap(3).text(sample, role).gap(1).text(&arm.name, Role::Text).gap(1).text(&count, Role::Counted);
    }
    title.whole("   all metrics", Role::Muted);
    let chart_area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let datasets = points
        .iter()
        .zip(SERIES.into_iter().cycle())
        .map(|(points, (role, marker, _))| {
            Dataset::default().marker(marker).graph_type(GraphType::Line).style(canvas.style(role)).data(points)
        })
        .collect();
    let muted = canvas.style(Role::Muted);
    let most = course.most();
    let marks = if most.is_multiple_of(2) { vec![0, most / 2, most] } else { vec![0, most] };
    Chart::new(datasets)
        .x_axis(Axis::default().style(muted).bounds([start, end]).labels(times(canvas, course)))
        .y_axis(Axis::default().style(muted).bounds([0.0, most as f64]).labels(marks.into_iter().map(grouped)))
        .legend_position(None)
        .render(chart_area.intersection(canvas.buffer.area), canvas.buffer);
}

/// Start, middle and end of the time axis.
fn times(canvas: &Canvas<'_, '_>, course: &Course) -> [String; 3] {
    let (start, end) = (course.start_ms, course.end_ms());
    [start, start + end.saturating_sub(start) / 2, end].map(|at_ms| {
        let time = time_of_day(canvas.app.zone(), at_ms, false);
        match end.saturating_sub(start) {
            0..=86_400_000 => time,
            _ => format!("{} {time}", crate::ui::paint::date(canvas.app.zone(), at_ms)),
        }
    })
}

/// Rows of a reason: its name, and its curve.
const LOSS_ROWS: u16 = 3;

/// What did not count, by reason over all metrics, most first.
fn losses(course: &Course) -> Vec<(ReasonCode, Vec<u64>)> {
    let mut lost: Vec<(ReasonCode, Vec<u64>)> = Vec::new();
    let is_lost = |code: ReasonCode| !matches!(code.category(), Category::Counted | Category::Exposure);
    for series in course.others.iter().filter(|series| is_lost(series.code)) {
        match lost.iter_mut().find(|(code, _)| *code == series.code) {
            Some((_, sum)) => sum.iter_mut().zip(&series.events).for_each(|(sum, events)| *sum += events),
            None => lost.push((series.code, series.events.clone())),
        }
    }
    lost.sort_by_key(|(code, events)| (std::cmp::Reverse(events.iter().sum::<u64>()), *code));
    lost
}

/// A curve for each reason, each in its own height: a rare one is to be seen beside a common one.
fn draw_losses(canvas: &mut Canvas<'_, '_>, area: Rect, lost: &[(ReasonCode, Vec<u64>)], course: &Course) {
    if area.height < 2 {
        return;
    }
    let times_row = Rect { y: area.bottom() - 1, height: 1, ..area };
    let mut title = canvas.strip(area);
    title.text("What did not count, by reason, once per metric", Role::Strong);
    if course.outside > 0 {
        let text = format!("   {} outside the iteration, not drawn", grouped(course.outside));
        title.whole(&text, Role::Muted);
    }
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    for ((code, events), index) in lost.iter().zip(0..body.height / LOSS_ROWS) {
        let row = Rect { y: body.y + index * LOSS_ROWS, height: 1, ..body };
        let count = grouped(events.iter().sum());
        let cells = in_columns(events, body.width.into());
        let most = grouped(cells.iter().copied().max().unwrap_or(0));
        let columns = i64::try_from(cells.len()).unwrap_or(i64::MAX).max(1);
        let cell_ms = course.end_ms().saturating_sub(course.start_ms) / columns;
        canvas
            .strip(row)
            .text(&format!("{} {count:>7}  ", code.category().glyph()), role_of(code.category()))
            .text(code.name(), role_of_code(*code))
            .whole(&format!("   at most {most} in {}", length(cell_ms)), Role::Muted);
        let curve = Rect { y: row.y + 1, height: LOSS_ROWS - 1, ..body };
        let style = canvas.style(role_of(code.category()));
        Sparkline::default().data(cells).style(style).render(curve.intersection(canvas.buffer.area), canvas.buffer);
    }
    let [start, middle, end] = times(canvas, course);
    let width = course.slices().min(area.width.into());
    let times_row = Rect { width: u16::try_from(width).unwrap_or(area.width), ..times_row };
    let half = (width / 2).saturating_sub(start.len() + middle.len() / 2);
    canvas.strip(times_row).text(&start, Role::Muted).gap(half).text(&middle, Role::Muted).at_end(&end, Role::Muted);
}

/// A length of time in a unit that makes it short.
fn length(ms: i64) -> String {
    match ms {
        ..=9_999 => format!("{ms} ms"),
        10_000..=599_999 => format!("{} s", ms / 1_000),
        600_000..=35_999_999 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}
