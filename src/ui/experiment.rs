//! One experiment in full: every arm and metric, the funnel with its drops, and how it went over time.

mod charts;

use super::experiments::{age, bar, sample_ratio, steps};
use super::paint::{Canvas, columns, curve_of, day_and_time, fixed, grouped, harmless, wrapped};
use super::theme::Role;
use super::{frame_box, more_below};
use crate::app::Detail;
use crate::catalog::{Iteration, Metric};
use crate::reason::{Category, ReasonCode};
use crate::report::{ArmMetric, ArmReport, ExperimentReport, FunnelReport, MetricReport, SampleRatio};
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// From so many columns on the charts stand beside the numbers.
const CHARTS_BESIDE: u16 = 130;
/// From so many rows on they stand below them; with fewer the numbers need every row.
const CHARTS_BELOW: u16 = 26;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect, detail: &Detail) {
    frame_box(canvas, area, Role::BorderFocused);
    canvas
        .strip(Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area })
        .text(&format!(" {} ─ iteration {} ", detail.experiment, detail.iteration), Role::TitleFocused);
    let inside = area.inner(Margin::new(2, 1));
    let app = canvas.app;
    let report = app
        .report()
        .experiments
        .iter()
        .find(|report| report.key == detail.experiment && report.iteration == detail.iteration);
    let Some(report) = report else {
        super::nothing(canvas, inside, "this iteration is no longer in the catalog");
        return;
    };
    let is_beside = inside.width >= CHARTS_BESIDE;
    let [numbers, charts] = if is_beside {
        Layout::horizontal([Constraint::Percentage(56), Constraint::Fill(1)]).spacing(3).areas(inside)
    } else {
        let rows = if inside.height >= CHARTS_BELOW { 11 } else { 0 };
        Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(inside)
    };
    let page = Page { canvas, report, detail, width: numbers.width.into(), has_curves: !is_beside };
    let lines = page.lines();
    let start = detail.scroll.place(lines.len(), numbers.height.into());
    canvas.lines(numbers, lines.get(start..).unwrap_or_default());
    if is_beside {
        charts::draw_all(canvas, charts, report, &detail.course);
    } else if charts.height > 0 {
        charts::draw_conversions(canvas, charts, report, &detail.course);
    }
    more_below(canvas, numbers, lines.len().saturating_sub(start + usize::from(numbers.height)));
}

/// Columns of a name.
const NAME: usize = 22;
/// Columns of a curve beside a count.
const CURVE: usize = 24;

/// The numbers.
struct Page<'a, 'canvas, 'store> {
    canvas: &'a Canvas<'canvas, 'store>,
    report: &'a ExperimentReport,
    detail: &'a Detail,
    width: usize,
    /// Counts have their curve beside them, where no chart shows it.
    has_curves: bool,
}

impl Page<'_, '_, '_> {
    fn style(&self, role: Role) -> Style {
        self.canvas.style(role)
    }

    fn line(&self, parts: &[(&str, Role)]) -> Line<'static> {
        parts.iter().map(|(text, role)| Span::styled(harmless(text), self.style(*role))).collect()
    }

    fn iteration(&self) -> Option<&Iteration> {
        let experiments = &self.canvas.app.store().catalog().experiments;
        let experiment = experiments.iter().find(|experiment| experiment.key == self.report.key)?;
        experiment.iterations.iter().find(|iteration| iteration.id == self.report.iteration)
    }

    fn metric(&self, key: &str) -> Option<&Metric> {
        self.canvas.app.store().catalog().metrics.iter().find(|metric| metric.key == key)
    }

    fn lines(&self) -> Vec<Line<'static>> {
        let (app, report) = (self.canvas.app, self.report);
        let mut lines = vec![self.line(&[
            ("flag ", Role::Muted),
            (&report.flag, Role::Strong),
            ("   unit ", Role::Muted),
            (&report.randomization_unit, Role::Accent),
            ("   ", Role::Muted),
            (&age(app, report), Role::Muted),
            ("   clock ", Role::Muted),
            (app.report().clock, Role::Text),
        ])];
        let since = app.store().observed_from_ms().map(|at_ms| day_and_time(app.zone(), at_ms));
        let seen = since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let what = format!("What exptap saw{seen}, by the published rules; not LaunchDarkly's result.");
        lines.extend(wrapped(&what, self.width, 0, self.style(Role::Muted)));
        if let Some(ratio) = &report.sample_ratio {
            lines.extend(self.sample_ratio(ratio));
        }
        if !report.complete {
            let text = format!(
                "… history incomplete: observed since {}, so rates are not shown",
                since.as_deref().unwrap_or("later than its start")
            );
            lines.extend(wrapped(&text, self.width, 0, self.style(Role::Pending)));
        }
        lines.push(Line::default());
        lines.extend(self.arms());
        for metric in &report.metrics {
            lines.push(Line::default());
            lines.extend(self.way(metric));
        }
        for funnel in &report.funnels {
            lines.push(Line::default());
            lines.extend(self.funnel(funnel));
        }
        lines.push(Line::default());
        lines.push(self.line(&[("Evaluations of the flag", Role::Strong)]));
        lines.extend(self.counts(None, report.exposures.iter().map(|(name, count)| (*name, *count))));
        lines
    }

    /// How the arms are filled. The alert is the Bayes factor's, which may be looked at all the time; chi-square's p
    /// is what others show.
    fn sample_ratio(&self, ratio: &SampleRatio) -> Vec<Line<'static>> {
        let (text, role) = sample_ratio(ratio);
        let chi_square = ratio.chi_square.map(|chi| format!("   chi-square {chi:.2}")).unwrap_or_default();
        let mut lines = vec![self.line(&[("sample ratio ", Role::Muted), (&text, role), (&chi_square, Role::Muted)])];
        let ratio_of = |parts: Vec<String>| parts.join(" : ");
        let allocated = self.iteration().and_then(|iteration| iteration.arms.as_ref());
        let against = allocated
            .map(|arms| format!(" for {}", ratio_of(arms.iter().map(|arm| arm.allocation.to_string()).collect())))
            .unwrap_or_default();
        let factor = ratio.bayes_factor.map_or_else(String::new, |factor| {
            let factor = if factor >= 10_000.0 { ">10 000".to_owned() } else { format!("{factor:.2}") };
            format!("   Bayes factor {factor} (alert above 1000)")
        });
        let units = ratio_of(self.report.arms.iter().map(|arm| grouped(arm.units)).collect());
        let text = format!("{units} units{against}{factor}");
        lines.extend(wrapped(&text, self.width, 2, self.style(Role::Muted)));
        lines
    }

    fn arms(&self) -> Vec<Line<'static>> {
        let mut lines = vec![self.line(&[
            (&fixed("Arms", NAME), Role::Strong),
            ("    units   conversions   rate or mean, 95 % interval", Role::Muted),
        ])];
        let most = self.report.arms.iter().map(|arm| arm.units).max().unwrap_or(0);
        for arm in &self.report.arms {
            let crossed = format!("  ⚠ {} crossed over", grouped(arm.crossover_units));
            lines.push(self.line(&[
                (&fixed(&arm.name, NAME), Role::Accent),
                (&format!("{:>9}   ", grouped(arm.units)), Role::Text),
                (&bar(arm.units, most, 16), Role::Accent),
                (if arm.crossover_units > 0 { &crossed } else { "" }, Role::Warning),
            ]));
            arm.metrics.iter().for_each(|metric| lines.extend(self.arm_metric(arm, metric)));
        }
        let left_out: Vec<&str> = self
            .report
            .metrics
            .iter()
            .filter(|metric| self.metric(&metric.metric).is_some_and(|metric| metric.exclude_units_without_events))
            .map(|metric| metric.metric.as_str())
            .collect();
        if !left_out.is_empty() {
            let text = format!("units without events are left out of {}", left_out.join(", "));
            lines.extend(wrapped(&text, self.width, 2, self.style(Role::Muted)));
        }
        lines
    }

    fn arm_metric(&self, arm: &ArmReport, metric: &ArmMetric) -> Vec<Line<'static>> {
        let known = self.metric(&metric.metric);
        let result = match (metric.rate, metric.mean, known.and_then(|metric| metric.percentile)) {
            // A percentile's interval would need every value's place; the number of values and the value are all.
            (.., Some(percentile)) => match metric.percentile {
                Some(value) => format!("p{percentile} {value} of n={}", grouped(metric.conversions)),
                None => format!("p{percentile} of n=0"),
            },
            (Some(rate), ..) => format!("{:>6.2} %", rate * 100.0),
            (_, Some(mean), _) => format!("{mean:>8.3}"),
            _ if !self.report.complete => "partial".to_owned(),
            _ => "–".to_owned(),
        };
        let interval = match (metric.interval, metric.rate) {
            (Some([low, high]), Some(_)) => format!("  [{:.2}–{:.2}]", low * 100.0, high * 100.0),
            (Some([low, high]), None) => format!("  [{low:.3}–{high:.3}]"),
            (None, _) => String::new(),
        };
        let cross = match metric.cross_arm_units {
            0 => String::new(),
            1 => "  1 unit of another arm".to_owned(),
            units => format!("  {} units of another arm", grouped(units)),
        };
        let role = if self.report.complete { Role::Strong } else { Role::Pending };
        let parts = [
            (fixed(&format!("  {}", metric.metric), NAME), Role::Text),
            (format!("{:>9}   ", grouped(metric.converting_units)), Role::Counted),
            (format!("{:>11}   ", grouped(metric.conversions)), Role::Counted),
            (result, role),
            (interval, Role::Muted),
        ];
        let mut parts: Vec<(&str, Role)> = parts.iter().map(|(text, role)| (text.as_str(), *role)).collect();
        let used: usize = parts.iter().map(|(text, _)| columns(text)).sum();
        let is_sum = known.is_some_and(|metric| metric.measure == crate::catalog::Measure::Value);
        let sum = format!("  sum {:.2}", metric.sum);
        if is_sum && used + columns(&sum) + columns(&cross) <= self.width {
            parts.push((&sum, Role::Muted));
        }
        if used + columns(&cross) <= self.width {
            parts.push((&cross, Role::Muted));
            return vec![self.line(&parts)];
        }
        let text = format!("credited to {}:{cross}", arm.name);
        let below = wrapped(&text, self.width, 4, self.style(Role::Muted));
        std::iter::once(self.line(&parts)).chain(below).collect()
    }

    /// A metric's way from received to counted, and what was lost at each step.
    fn way(&self, metric: &MetricReport) -> Vec<Line<'static>> {
        let mut lines = vec![self.line(&[("Conversions ", Role::Strong), (&metric.metric, Role::Strong)])];
        for step in steps(metric) {
            let lost = format!("  −{}", grouped(step.lost));
            lines.push(self.line(&[
                (&fixed(&format!("  {}", step.word), NAME), Role::Muted),
                (&format!("{:>9}   ", grouped(step.events)), step.role()),
                (&bar(step.events, metric.received, CURVE), step.role()),
                (if step.lost > 0 { &lost } else { "" }, Role::Dropped),
            ]));
        }
        lines.extend(self.counts(Some(&metric.metric), metric.verdicts.iter().map(|(name, count)| (*name, *count))));
        lines
    }

    /// A funnel, step by step and arm by arm.
    fn funnel(&self, funnel: &FunnelReport) -> Vec<Line<'static>> {
        let mut lines = vec![self.line(&[
            ("Funnel ", Role::Strong),
            (&funnel.group, Role::Strong),
            ("   converting units; in order: this tool's reading", Role::Muted),
        ])];
        for (number, (step, ordered)) in funnel.steps.iter().zip(&funnel.ordered).enumerate() {
            lines.push(self.line(&[(&format!("  {} {}", number + 1, step.metric), Role::Text)]));
            for ((arm, units), ordered) in self.report.arms.iter().zip(&step.arms).zip(ordered) {
                let share = if self.report.complete && arm.units > 0 {
                    format!("{:>6.1} %  ", *ordered as f64 * 100.0 / arm.units as f64)
                } else {
                    String::new()
                };
                lines.push(self.line(&[
                    (&fixed(&format!("    {}", arm.name), NAME), Role::Accent),
                    (&format!("{:>9}   ", grouped(*units)), Role::Counted),
                    (&format!("in order {:>7}  ", grouped(*ordered)), Role::Text),
                    (&share, Role::Muted),
                    (&bar(*ordered, arm.units, 16), Role::Accent),
                ]));
            }
        }
        lines
    }

    /// Reason codes with their counts, most first, with glyph and colour.
    fn counts(&self, metric: Option<&str>, counts: impl Iterator<Item = (&'static str, u64)>) -> Vec<Line<'static>> {
        let mut counts: Vec<(&str, u64)> = counts.filter(|(_, count)| *count > 0).collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        if counts.is_empty() {
            return vec![self.line(&[("  none yet", Role::Muted)])];
        }
        counts
            .into_iter()
            .map(|(name, count)| {
                let code = ReasonCode::from_name(name);
                let category = code.map_or(Category::NotAbout, ReasonCode::category);
                let role = code.map_or(Role::Text, charts::role_of_code);
                let course = code.filter(|_| self.has_curves).and_then(|code| self.detail.course.of(metric, code));
                let curve = course.map(|events| curve_of(events, CURVE)).unwrap_or_default();
                let of_category = super::header::role_of(category);
                self.line(&[
                    (&format!("  {} {:>9}  ", category.glyph(), grouped(count)), of_category),
                    (&fixed(name, 30), role),
                    (&curve, of_category),
                ])
            })
            .collect()
    }
}
