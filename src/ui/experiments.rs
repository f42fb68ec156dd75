//! Experiments: arms, rates, and where conversions get lost on the way.

use super::paint::{Canvas, Strip, columns, grouped, short};
use super::theme::Role;
use super::{frame_pane, mark_selection, nothing, page_with};
use crate::app::{App, Pane};
use crate::reason::{Category, ReasonCode};
use crate::report::{ArmMetric, ArmReport, ExperimentReport, MetricReport, SampleRatio};
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let Some(list) = app.listing(Pane::Experiments) else { return };
    let mut remarks = Vec::new();
    if app.report().catalog == "inferred" && !app.report().experiments.is_empty() {
        remarks.push(("inferred from the traffic".to_owned(), Role::Warning));
    }
    if !list.filter.is_empty() {
        remarks.push((list.filter.clone(), Role::Accent));
    }
    if !list.shown().is_empty() {
        remarks.push(("received▸unit▸exposed▸counted".to_owned(), Role::Muted));
    }
    let inside = frame_pane(canvas, Pane::Experiments, area, &remarks);
    if list.shown().is_empty() {
        let words = if app.report().experiments.is_empty() {
            "no experiment is known: give --catalog FILE, or send evaluations that are in one"
        } else {
            "no experiment passes the filter"
        };
        nothing(canvas, inside, words);
        return;
    }
    let item = |index: &usize| app.report().experiments.get(*index);
    let selected = list.selected();
    let heights = list.shown().iter().enumerate().map(|(position, index)| {
        item(index).map_or(0, |report| metrics_shown(report, position == selected).count() + rows_besides(report))
    });
    let start = page_with(selected, heights, inside.height.into());
    let mut rows = super::rows(inside);
    for (position, index) in list.shown().iter().enumerate().skip(start) {
        let (Some(report), Some(first)) = (item(index), rows.next()) else { break };
        draw_title(canvas, first, report);
        if position == selected {
            mark_selection(canvas, Pane::Experiments, first);
        }
        draw_metrics(canvas, &mut rows, report, position == selected);
        rows.next();
    }
}

/// The metrics shown: all of the selected experiment; of the others the first, which has the arms below it, and the
/// one that loses most, if it loses anything.
fn metrics_shown(report: &ExperimentReport, selected: bool) -> impl Iterator<Item = (usize, &MetricReport)> {
    let lost = |metric: &MetricReport| metric.received.saturating_sub(metric.counted);
    let worst = report
        .metrics
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, metric)| lost(metric) > 0)
        .max_by_key(|(index, metric)| (lost(metric), std::cmp::Reverse(*index)))
        .map(|(index, _)| index);
    report.metrics.iter().enumerate().filter(move |(index, _)| selected || *index == 0 || Some(*index) == worst)
}

/// Title, arms, and the empty row after them.
fn rows_besides(report: &ExperimentReport) -> usize {
    1 + report.arms.len().max(1) + 1
}

fn draw_metrics(
    canvas: &mut Canvas<'_, '_>,
    rows: &mut impl Iterator<Item = Rect>,
    report: &ExperimentReport,
    selected: bool,
) {
    let most = report.arms.iter().map(|arm| arm.units).max().unwrap_or(0);
    let mut metrics = metrics_shown(report, selected);
    if let Some((_, metric)) = metrics.next()
        && let Some(row) = rows.next()
    {
        draw_funnel(canvas, row, metric);
    }
    if report.arms.is_empty()
        && let Some(row) = rows.next()
    {
        canvas.strip(row).gap(5).text("no unit has been exposed yet", Role::Muted);
    }
    for arm in &report.arms {
        if let Some(row) = rows.next() {
            draw_arm(&mut canvas.strip(row), arm, report, most);
        }
    }
    for (_, metric) in metrics {
        if let Some(row) = rows.next() {
            draw_funnel(canvas, row, metric);
        }
    }
}

fn draw_title(canvas: &mut Canvas<'_, '_>, area: Rect, report: &ExperimentReport) {
    let age = age(canvas.app, report);
    let mut strip = canvas.strip(area);
    strip.gap(1).text(&report.key, Role::Strong);
    if report.iteration != "1" {
        strip.text(&format!("  iteration {}", report.iteration), Role::Muted);
    }
    strip.text("  by ", Role::Muted).text(&report.randomization_unit, Role::Accent);
    if let Some(ratio) = &report.sample_ratio {
        let (text, role) = sample_ratio(ratio);
        let left = strip.left();
        let bare = text.split_once(" p").map_or(text.as_str(), |(bare, _)| bare);
        strip.gap(2).text(if columns(&text) + 2 <= left { &text } else { bare }, role);
    }
    if !report.complete {
        strip.text("  … partial history", Role::Pending);
    }
    strip.whole(&format!("  {age}"), Role::Muted);
}

/// Whether the iteration runs, and for how long.
pub(super) fn age(app: &App<'_>, report: &ExperimentReport) -> String {
    let catalog = app.store().catalog();
    let iteration = catalog
        .experiments
        .iter()
        .find(|experiment| experiment.key == report.key)
        .and_then(|experiment| experiment.iterations.iter().find(|iteration| iteration.id == report.iteration));
    let Some(iteration) = iteration else { return String::new() };
    let now_ms = app.now_ms();
    match (iteration.started_at_ms, iteration.ended_at_ms) {
        (None, _) => "not started".to_owned(),
        (Some(_), Some(end)) if end <= now_ms => "stopped".to_owned(),
        (Some(start), _) if now_ms <= start => "running".to_owned(),
        (Some(start), _) => {
            let minutes = (now_ms - start) / 60_000;
            match minutes {
                0 => "<1 min".to_owned(),
                1..=119 => format!("{minutes} min"),
                120..=2_879 => format!("{} h", minutes / 60),
                _ => format!("{} d", minutes / 1_440),
            }
        }
    }
}

/// The sample ratio in words.
pub(super) fn sample_ratio(ratio: &SampleRatio) -> (String, Role) {
    let p = ratio.p.map(|p| format!(" p{}", significant(p))).unwrap_or_default();
    match ratio.verdict {
        "ok" => (format!("✓ SRM{p}"), Role::Good),
        "note" => (format!("⚠ SRM note{p}"), Role::Warning),
        "alert" => (format!("✗ SRM ALERT{p}"), Role::Alert),
        "too-few" => ("SRM: too few units".to_owned(), Role::Muted),
        _ => ("SRM off".to_owned(), Role::Muted),
    }
}

/// What a probability is, with two digits that mean something.
fn significant(p: f64) -> String {
    if p >= 0.01 {
        format!("={p:.2}")
    } else if p >= 0.0001 {
        format!("={p:.4}")
    } else {
        "<0.0001".to_owned()
    }
}

fn draw_arm(strip: &mut Strip<'_>, arm: &ArmReport, report: &ExperimentReport, most: u64) {
    let wide = strip.left() >= 76;
    strip.gap(if wide { 5 } else { 3 }).cell(&arm.name, if wide { 18 } else { 10 }, Role::Accent);
    match arm.metrics.first() {
        Some(metric) => {
            strip.right(&grouped(metric.converting_units), 5, Role::Counted).text("✓ of ", Role::Muted);
        }
        None => _ = strip.gap(11),
    }
    strip.right(&grouped(arm.units), 6, Role::Text);
    if wide {
        strip.text("units ", Role::Muted).text(&bar(arm.units, most, 10), Role::Accent).gap(1);
    }
    if let Some(metric) = arm.metrics.first() {
        draw_result(strip, metric, report.complete);
    }
    if arm.crossover_units > 0 {
        strip.whole(&format!("  ⚠ {} crossed", grouped(arm.crossover_units)), Role::Warning);
    }
}

/// The rate or mean with its interval, where the history is complete.
fn draw_result(strip: &mut Strip<'_>, metric: &ArmMetric, complete: bool) {
    match (metric.rate, metric.mean, metric.interval) {
        (Some(rate), _, Some([low, high])) => {
            strip.right(&format!("{:.1} %", rate * 100.0), 6, Role::Strong);
            strip.text(&format!("[{:.1}–{:.1}]", low * 100.0, high * 100.0), Role::Muted);
        }
        (_, Some(mean), Some([low, high])) => {
            strip.right(&format!("{mean:.2}"), 6, Role::Strong);
            strip.text(&format!("[{low:.2}–{high:.2}]"), Role::Muted);
        }
        (Some(rate), ..) => _ = strip.right(&format!("{:.1} %", rate * 100.0), 6, Role::Strong),
        (_, Some(mean), _) => _ = strip.right(&format!("{mean:.2}"), 6, Role::Strong),
        (None, None, _) if !complete => _ = strip.text("rate unknown", Role::Pending),
        (None, None, _) => (),
    }
    if let Some(percentile) = metric.percentile {
        strip.text(&format!("  percentile {percentile:.2}"), Role::Muted);
    }
}

/// A bar as long as its share of the most, in half columns. A thin line: blocks would run together from row to row.
pub(super) fn bar(value: u64, most: u64, columns: usize) -> String {
    let halves = (value * columns as u64 * 2).checked_div(most).unwrap_or(0);
    let halves = usize::try_from(halves).unwrap_or(usize::MAX).min(columns * 2);
    let mut text = "━".repeat(halves / 2);
    if halves % 2 == 1 {
        text.push('╸');
    }
    let used = halves.div_ceil(2);
    text.push_str(&" ".repeat(columns - used));
    text
}

/// A metric's way from received to counted, in the numbers that the pane's title names in order.
fn draw_funnel(canvas: &mut Canvas<'_, '_>, row: Rect, metric: &MetricReport) {
    let name = usize::from(row.width.saturating_sub(31)).clamp(8, 32);
    let mut strip = canvas.strip(row);
    strip.gap(3).cell(&metric.metric, name, Role::Text);
    for (index, step) in steps(metric).iter().filter(|step| step.always).enumerate() {
        if index > 0 {
            strip.text("▸", Role::Muted);
        }
        strip.right(&short(step.events), 5, step.role());
    }
}

/// A step of a metric's funnel: how many events got this far.
pub(super) struct Step {
    pub(super) word: &'static str,
    pub(super) events: u64,
    /// Events that failed here.
    pub(super) lost: u64,
    /// Shown where there is little room, too.
    always: bool,
}

impl Step {
    pub(super) fn role(&self) -> Role {
        match self.word {
            "counted" => Role::Counted,
            _ if self.lost > 0 => Role::Dropped,
            _ => Role::Text,
        }
    }
}

/// The steps in the order of the rules, so that the first rule that fails an event is the step that loses it.
const STEPS: [(&str, bool); 6] = [
    ("unit", true),
    ("valid", false),
    ("in iteration", false),
    ("exposed", true),
    ("in window", false),
    ("counted", true),
];

/// A metric's way from received to counted.
pub(super) fn steps(metric: &MetricReport) -> Vec<Step> {
    let mut events = metric.received;
    let mut steps = vec![Step { word: "received", events, lost: 0, always: true }];
    for (index, (word, always)) in STEPS.into_iter().enumerate() {
        let lost = metric
            .verdicts
            .iter()
            .filter(|(name, _)| ReasonCode::from_name(name).and_then(lost_at) == Some(index))
            .map(|(_, count)| count)
            .sum();
        events = events.saturating_sub(lost);
        steps.push(Step { word, events, lost, always });
    }
    steps
}

/// The step that loses an event with this verdict; none: it is counted.
fn lost_at(code: ReasonCode) -> Option<usize> {
    use ReasonCode as Code;
    Some(match code {
        code if code.category() == Category::Counted => return None,
        Code::WrongEnvironment | Code::MetricUnitMismatch | Code::EventLacksUnit => 0,
        Code::IterationNotStarted | Code::BeforeIterationStart | Code::AfterIterationEnd => 2,
        Code::NoExposure | Code::UnknownNotObserved | Code::Pending => 3,
        Code::ConversionBeforeExposure | Code::AttributionWindowExpired => 4,
        _ => 1,
    })
}
