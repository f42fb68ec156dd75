//! One experiment in full: every arm and metric, the funnel with its drops, and conversions over time.

use super::experiments::{age, bar, sample_ratio, steps};
use super::paint::{Canvas, day_and_time, fixed, grouped, harmless, time_of_day, wrapped};
use super::theme::Role;
use super::{frame_box, more_below, rows};
use crate::app::Detail;
use crate::reason::{Category, ReasonCode};
use crate::report::{ExperimentReport, MetricReport};
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

/// How the arms are told apart in the chart: by colour, and where there is none, by what their line is made of.
const SERIES: [(Role, Marker, &str); 4] = [
    (Role::SeriesOne, Marker::Braille, "⠤⠤"),
    (Role::SeriesTwo, Marker::Dot, "••"),
    (Role::SeriesThree, Marker::Bar, "▄▄"),
    (Role::SeriesFour, Marker::Block, "██"),
];

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect, detail: &Detail) {
    frame_box(canvas, area, Role::BorderFocused);
    canvas
        .strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area })
        .text(&format!(" {} ─ iteration {} ", detail.experiment, detail.iteration), Role::TitleFocused);
    let inside = area.inner(Margin::new(2, 1));
    let report = canvas
        .app
        .report()
        .experiments
        .iter()
        .find(|report| report.key == detail.experiment && report.iteration == detail.iteration);
    let Some(report) = report else {
        super::nothing(canvas, inside, "this iteration is no longer in the catalog");
        return;
    };
    let wide = inside.width >= 130;
    let [text_area, chart_area] = if wide {
        Layout::horizontal([Constraint::Percentage(58), Constraint::Fill(1)]).spacing(2).areas(inside)
    } else {
        let chart_rows = if inside.height >= 30 { 12 } else { inside.height / 3 };
        Layout::vertical([Constraint::Fill(1), Constraint::Length(chart_rows)]).areas(inside)
    };
    let lines = lines(canvas, report, text_area.width.into());
    let start = detail.scroll.place(lines.len(), text_area.height.into());
    canvas.lines(text_area, lines.get(start..).unwrap_or_default());
    draw_chart(canvas, chart_area, report, detail);
    more_below(canvas, text_area, lines.len().saturating_sub(start + usize::from(text_area.height)));
}

fn lines(canvas: &Canvas<'_, '_>, report: &ExperimentReport, width: usize) -> Vec<Line<'static>> {
    let style = |role| canvas.style(role);
    let app = canvas.app;
    let mut lines = vec![line(vec![
        ("flag ", style(Role::Muted)),
        (&report.flag, style(Role::Strong)),
        ("   unit ", style(Role::Muted)),
        (&report.randomization_unit, style(Role::Accent)),
        ("   ", style(Role::Muted)),
        (&age(app, report), style(Role::Muted)),
        ("   clock ", style(Role::Muted)),
        (app.report().clock, style(Role::Text)),
    ])];
    if let Some(ratio) = &report.sample_ratio {
        let (text, role) = sample_ratio(ratio);
        let chi = ratio.chi_square.map(|chi| format!("   chi-square {chi:.2}")).unwrap_or_default();
        lines.push(line(vec![("sample ratio ", style(Role::Muted)), (&text, style(role)), (&chi, style(Role::Muted))]));
    }
    if !report.complete {
        let since = app.store().observed_from_ms().map(|at_ms| day_and_time(app.zone(), at_ms));
        let text = format!(
            "… history incomplete: observed since {}, so rates are not shown",
            since.as_deref().unwrap_or("later than its start")
        );
        lines.extend(wrapped(&text, width, 0, style(Role::Pending)));
    }
    lines.push(Line::default());
    lines.push(line(vec![("Arms", style(Role::Strong))]));
    let most = report.arms.iter().map(|arm| arm.units).max().unwrap_or(0);
    for arm in &report.arms {
        let crossed = format!("   ⚠ {} crossed over", grouped(arm.crossover_units));
        lines.push(line(vec![
            (&fixed(&arm.name, 22), style(Role::Accent)),
            (&format!("{:>9} units  ", grouped(arm.units)), style(Role::Text)),
            (&bar(arm.units, most, 16), style(Role::Accent)),
            (if arm.crossover_units > 0 { &crossed } else { "" }, style(Role::Warning)),
        ]));
        for metric in &arm.metrics {
            let result = match (metric.rate, metric.mean) {
                (Some(rate), _) => format!("{:>6.2} %", rate * 100.0),
                (_, Some(mean)) => format!("{mean:>8.3}"),
                _ => "       –".to_owned(),
            };
            let interval = match (metric.interval, metric.rate) {
                (Some([low, high]), Some(_)) => format!("  [{:.2}–{:.2}]", low * 100.0, high * 100.0),
                (Some([low, high]), None) => format!("  [{low:.3}–{high:.3}]"),
                (None, _) => String::new(),
            };
            let cross = format!("  {} cross-arm", grouped(metric.cross_arm_units));
            lines.push(line(vec![
                (&fixed(&format!("  {}", metric.metric), 22), style(Role::Text)),
                (&format!("{:>9} conv.  ", grouped(metric.converting_units)), style(Role::Counted)),
                (&result, style(Role::Strong)),
                (&interval, style(Role::Muted)),
                (if metric.cross_arm_units > 0 { &cross } else { "" }, style(Role::Muted)),
            ]));
        }
    }
    lines.push(Line::default());
    lines.push(line(vec![("Evaluations of the flag", style(Role::Strong))]));
    lines.extend(counts(canvas, report.exposures.iter().map(|(name, count)| (*name, *count))));
    for metric in &report.metrics {
        lines.push(Line::default());
        lines.extend(metric_lines(canvas, metric));
    }
    for funnel in &report.funnels {
        lines.push(Line::default());
        lines.push(line(vec![
            ("Funnel ", style(Role::Strong)),
            (&funnel.group, style(Role::Strong)),
            ("   units per arm; in order: this tool's reading", style(Role::Muted)),
        ]));
        for (step, ordered) in funnel.steps.iter().zip(&funnel.ordered) {
            let join = |counts: &[u64]| counts.iter().map(|count| grouped(*count)).collect::<Vec<_>>().join(" / ");
            lines.push(line(vec![
                (&fixed(&format!("  {}", step.metric), 28), style(Role::Text)),
                (&format!("{:<18}", join(&step.arms)), style(Role::Counted)),
                (&format!("in order {}", join(ordered)), style(Role::Muted)),
            ]));
        }
    }
    lines
}

/// A metric's way from received to counted, and what was lost at each step.
fn metric_lines(canvas: &Canvas<'_, '_>, metric: &MetricReport) -> Vec<Line<'static>> {
    let style = |role| canvas.style(role);
    let mut lines = vec![line(vec![("Conversions ", style(Role::Strong)), (&metric.metric, style(Role::Strong))])];
    for step in steps(metric) {
        lines.push(line(vec![
            (&fixed(&format!("  {}", step.word), 22), style(Role::Muted)),
            (&format!("{:>9}  ", grouped(step.events)), style(step.role())),
            (&bar(step.events, metric.received, 24), style(step.role())),
        ]));
    }
    let drops = metric.verdicts.iter().map(|(name, count)| (*name, *count));
    lines.extend(counts(canvas, drops));
    lines
}

/// Reason codes with their counts, most first, with glyph and colour.
fn counts(canvas: &Canvas<'_, '_>, counts: impl Iterator<Item = (&'static str, u64)>) -> Vec<Line<'static>> {
    let mut counts: Vec<(&str, u64)> = counts.filter(|(_, count)| *count > 0).collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    if counts.is_empty() {
        return vec![line(vec![("  none yet", canvas.style(Role::Muted))])];
    }
    counts
        .into_iter()
        .map(|(name, count)| {
            let code = ReasonCode::from_name(name);
            let category = code.map_or(Category::NotAbout, ReasonCode::category);
            let role = match code {
                Some(code) if crate::app::is_kind_mismatch(code) => Role::DroppedKind,
                _ => super::header::role_of(category),
            };
            line(vec![
                (
                    &format!("  {} {:>9}  ", category.glyph(), grouped(count)),
                    canvas.style(super::header::role_of(category)),
                ),
                (name, canvas.style(role)),
            ])
        })
        .collect()
}

/// A harmless line.
fn line(parts: Vec<(&str, Style)>) -> Line<'static> {
    parts.into_iter().map(|(text, style)| Span::styled(harmless(text), style)).collect()
}

fn draw_chart(canvas: &mut Canvas<'_, '_>, area: Rect, report: &ExperimentReport, detail: &Detail) {
    let app = canvas.app;
    let (Some(first), Some(last)) = (detail.chart.first(), detail.chart.last()) else {
        if let Some(row) = rows(area).next() {
            canvas.strip(row).text("Conversions over time: none among the events still held", Role::Muted);
        }
        return;
    };
    if area.height < 4 {
        return;
    }
    let points: Vec<Vec<(f64, f64)>> = (0..report.arms.len())
        .map(|arm| {
            detail
                .chart
                .iter()
                .map(|bucket| (bucket.start_ms as f64, bucket.conversions.get(arm).copied().unwrap_or(0) as f64))
                .collect()
        })
        .collect();
    let most = last.conversions.iter().copied().max().unwrap_or(0).max(1);
    let mut title = canvas.strip(area);
    title.text("Conversions so far, all metrics  ", Role::Strong);
    for (arm, (role, _, sample)) in report.arms.iter().zip(SERIES.into_iter().cycle()) {
        title.text(sample, role).gap(1).text(&arm.name, Role::Text).gap(2);
    }
    let chart_area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let datasets = points
        .iter()
        .zip(SERIES.into_iter().cycle())
        .map(|(points, (role, marker, _))| {
            Dataset::default().marker(marker).graph_type(GraphType::Line).style(canvas.style(role)).data(points)
        })
        .collect();
    let muted = canvas.style(Role::Muted);
    let times = [first.start_ms, last.start_ms].map(|at_ms| time_of_day(app.zone(), at_ms, false));
    let end = if last.start_ms > first.start_ms { last.start_ms } else { first.start_ms.saturating_add(1) };
    Chart::new(datasets)
        .x_axis(Axis::default().style(muted).bounds([first.start_ms as f64, end as f64]).labels(times))
        .y_axis(Axis::default().style(muted).bounds([0.0, most as f64]).labels(["0".to_owned(), grouped(most)]))
        .legend_position(None)
        .render(chart_area.intersection(canvas.buffer.area), canvas.buffer);
}
