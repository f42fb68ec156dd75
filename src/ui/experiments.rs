//! Experiments: arms, rates, and where conversions get lost on the way.

use super::paint::{Canvas, Strip, grouped};
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
    let heights = list.shown().iter().map(|index| item(index).map_or(0, |report| height_of(report, is_wide(inside))));
    let start = page_with(list.selected(), heights, inside.height.into());
    let mut y = inside.y;
    for (position, index) in list.shown().iter().enumerate().skip(start) {
        let Some(report) = item(index) else { continue };
        if y >= inside.bottom() {
            break;
        }
        let area = Rect { y, height: inside.bottom() - y, ..inside };
        let used = draw_experiment(canvas, area, report);
        if position == list.selected() {
            mark_selection(canvas, Pane::Experiments, Rect { height: 1, ..area });
        }
        y = y.saturating_add(used);
    }
}

fn height_of(report: &ExperimentReport, wide: bool) -> usize {
    let metric_rows = if wide { 1 } else { 2 };
    1 + report.arms.len().max(1) + report.metrics.len() * metric_rows + 1
}

/// One experiment; returns the rows it took, an empty one after it included.
fn draw_experiment(canvas: &mut Canvas<'_, '_>, area: Rect, report: &ExperimentReport) -> u16 {
    let mut rows = super::rows(area);
    if let Some(row) = rows.next() {
        draw_title(canvas, row, report);
    }
    if report.arms.is_empty()
        && let Some(row) = rows.next()
    {
        canvas.strip(row).gap(3).text("no unit has been exposed yet", Role::Muted);
    }
    let most = report.arms.iter().map(|arm| arm.units).max().unwrap_or(0);
    for arm in &report.arms {
        if let Some(row) = rows.next() {
            draw_arm(&mut canvas.strip(row), arm, report, most);
        }
    }
    for metric in &report.metrics {
        draw_funnel(&mut rows, canvas, metric);
    }
    u16::try_from(height_of(report, is_wide(area))).unwrap_or(u16::MAX)
}

fn draw_title(canvas: &mut Canvas<'_, '_>, area: Rect, report: &ExperimentReport) {
    let age = age(canvas.app, report);
    let mut strip = canvas.strip(area);
    strip.gap(1).text(&report.key, Role::Strong);
    if report.iteration != "1" {
        strip.text(&format!("  iteration {}", report.iteration), Role::Muted);
    }
    strip.gap(2).text(&age, Role::Muted);
    strip.gap(2).text("by ", Role::Muted).text(&report.randomization_unit, Role::Accent).gap(2);
    if let Some(ratio) = &report.sample_ratio {
        let (text, role) = sample_ratio(ratio);
        strip.text(&text, role).gap(2);
    }
    if !report.complete {
        strip.text("… history incomplete", Role::Pending);
    }
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
                0..=119 => format!("{minutes} min"),
                120..=2_879 => format!("{} h", minutes / 60),
                _ => format!("{} d", minutes / 1_440),
            }
        }
    }
}

/// The sample ratio in words.
pub(super) fn sample_ratio(ratio: &SampleRatio) -> (String, Role) {
    let p = ratio.p.map(|p| format!(" p={}", significant(p))).unwrap_or_default();
    match ratio.verdict {
        "ok" => (format!("✓ SRM{p}"), Role::Good),
        "note" => (format!("⚠ SRM note{p}"), Role::Warning),
        "alert" => (format!("✗ SRM ALERT{p}"), Role::Alert),
        "too-few" => ("SRM: too few units".to_owned(), Role::Muted),
        _ => ("SRM off".to_owned(), Role::Muted),
    }
}

/// A probability with two digits that mean something.
fn significant(p: f64) -> String {
    if p >= 0.01 {
        format!("{p:.2}")
    } else if p >= 0.0001 {
        format!("{p:.4}")
    } else {
        "<0.0001".to_owned()
    }
}

fn draw_arm(strip: &mut Strip<'_>, arm: &ArmReport, report: &ExperimentReport, most: u64) {
    let left = strip.left();
    strip.gap(3).cell(&arm.name, if left >= 64 { 16 } else { 9 }, Role::Accent);
    strip.right(&grouped(arm.units), 6, Role::Text).text("units ", Role::Muted);
    if left >= 72 {
        strip.text(&bar(arm.units, most, 10), Role::Accent).gap(1);
    }
    if let Some(metric) = arm.metrics.first() {
        draw_result(strip, metric, report.complete);
    }
    if arm.crossover_units > 0 {
        strip.whole(&format!("  ⚠ {} crossed", grouped(arm.crossover_units)), Role::Warning);
    }
}

/// Converting units, and the rate or mean with its interval where the history is complete.
pub(super) fn draw_result(strip: &mut Strip<'_>, metric: &ArmMetric, complete: bool) {
    strip.right(&grouped(metric.converting_units), 5, Role::Counted).text("✓ ", Role::Counted);
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

/// A metric's way from received to counted, on one row where it fits, else on two.
fn draw_funnel(rows: &mut impl Iterator<Item = Rect>, canvas: &mut Canvas<'_, '_>, metric: &MetricReport) {
    let Some(first) = rows.next() else { return };
    let steps = steps(metric);
    let wide = is_wide(first);
    let shown = steps.iter().filter(|step| step.always || (first.width >= 64 && step.lost > 0));
    let mut strip = canvas.strip(first);
    strip.gap(3).cell(&metric.metric, if wide { 24 } else { 30 }, Role::Text);
    if !wide {
        strip.text(&grouped(metric.received), Role::Text).text(" received", Role::Muted);
        let Some(second) = rows.next() else { return };
        strip = canvas.strip(second);
        strip.gap(3);
    }
    for step in shown.skip(usize::from(!wide)) {
        if step.word != "received" {
            strip.text(" ▸ ", Role::Muted);
        }
        strip.text(&grouped(step.events), step.role()).text(&format!(" {}", step.word), Role::Muted);
    }
}

/// Whether a row has room for bars, words and a funnel on one line.
fn is_wide(row: Rect) -> bool {
    row.width >= 96
}

/// A step of a metric's funnel: how many events got this far.
pub(super) struct Step {
    pub(super) word: &'static str,
    pub(super) events: u64,
    /// Events that failed here.
    pub(super) lost: u64,
    /// Shown even where nothing failed.
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
