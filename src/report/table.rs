//! A report as tables for a terminal, or for any text.

use super::{ExperimentReport, Finding, Report, fixes};
use crate::untrusted::Untrusted;
use std::fmt::{self, Write};

/// Findings shown with their fix; the rest are counted.
const FINDINGS_SHOWN: usize = 20;
/// Unmatched event keys shown.
const KEYS_SHOWN: usize = 10;

/// Text of an event or a file, with nothing in it for a terminal to obey.
pub(crate) fn safe(text: &str) -> String {
    Untrusted::from(text).escaped().to_string()
}

/// Thousands apart, so that long numbers can be read.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Rows of cells, columns as wide as their widest cell; numbers to the right.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes all rows, the first `left_columns` to the left.
    pub(crate) fn write(&self, out: &mut String, indent: &str, left_columns: usize) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| Untrusted::from(cell.as_str()).columns())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (column, cell) in row.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                let padding = " ".repeat(width.saturating_sub(Untrusted::from(cell.as_str()).columns()));
                let cells = if column < left_columns { [cell.as_str(), &padding] } else { [padding.as_str(), cell] };
                if column > 0 {
                    line.push_str("  ");
                }
                cells.into_iter().for_each(|part| line.push_str(part));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The report as text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, report);
    out
}

fn write_report(out: &mut String, report: &Report) -> fmt::Result {
    let totals = &report.totals;
    let events = if totals.events == 1 { "event" } else { "events" };
    write!(out, "{} {events}", grouped(totals.events))?;
    if totals.requests > 0 {
        let requests = if totals.requests == 1 { "request" } else { "requests" };
        write!(out, " in {} {requests}", grouped(totals.requests))?;
    }
    let verdicts: Vec<String> = totals
        .verdicts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{} {}", grouped(*count), name.replace('-', " ")))
        .collect();
    writeln!(out, ": {}", if verdicts.is_empty() { "nothing yet".to_owned() } else { verdicts.join(", ") })?;
    if totals.lost > 0 {
        let (noun, verb) = if totals.lost == 1 { ("request", "was") } else { ("requests", "were") };
        writeln!(out, "at least {} {noun} {verb} lost before anything could be looked at", grouped(totals.lost))?;
    }
    if report.catalog == "inferred" {
        writeln!(
            out,
            "No catalog was given: experiments, metrics and units are inferred from the events. Name one with --catalog."
        )?;
    }
    for experiment in &report.experiments {
        write_experiment(out, experiment)?;
    }
    write_keys(out, report)?;
    report.fixes.iter().try_for_each(|fixes| fixes::write_text(out, fixes))?;
    write_findings(out, &report.findings)?;
    writeln!(out, "\nThis is what exptap saw and how it reads the published rules; it is not LaunchDarkly's result.")
}

fn write_experiment(out: &mut String, experiment: &ExperimentReport) -> fmt::Result {
    let ratio = experiment.sample_ratio.as_ref().map_or_else(String::new, |ratio| match (ratio.verdict, ratio.p) {
        (verdict, Some(p)) => format!(", sample ratio {verdict} (p = {p:.3})"),
        ("too-few", None) => ", too few units for a sample ratio".to_owned(),
        (verdict, None) => format!(", sample ratio {verdict}"),
    });
    writeln!(
        out,
        "\n{} · iteration {} · flag {} · by {}{ratio}{}",
        safe(&experiment.key),
        safe(&experiment.iteration),
        safe(&experiment.flag),
        safe(&experiment.randomization_unit),
        if experiment.complete { "" } else { " · partial history" }
    )?;
    let mut table = Table::default();
    table.row(
        ["arm", "metric", "units", "converting", "conversions", "sum", "rate or mean", "95 % interval"]
            .map(ToOwned::to_owned),
    );
    for arm in &experiment.arms {
        if arm.metrics.is_empty() {
            table.row([safe(&arm.name), String::new(), grouped(arm.units)]);
        }
        for (index, metric) in arm.metrics.iter().enumerate() {
            let first = index == 0;
            let figure = match (metric.rate, metric.mean, metric.percentile) {
                (Some(rate), ..) => format!("{:.2} %", rate * 100.0),
                (_, Some(mean), _) => format!("{mean:.3}"),
                (.., Some(percentile)) => format!("{percentile:.3} (percentile)"),
                _ if !experiment.complete => "partial".to_owned(),
                _ => "–".to_owned(),
            };
            let interval = metric.interval.map_or_else(String::new, |[low, high]| {
                if metric.rate.is_some() {
                    format!("[{:.2}, {:.2}] %", low * 100.0, high * 100.0)
                } else {
                    format!("[{low:.3}, {high:.3}]")
                }
            });
            let sum =
                if metric.sum.fract() == 0.0 { format!("{:.0}", metric.sum) } else { format!("{:.2}", metric.sum) };
            table.row([
                if first { safe(&arm.name) } else { String::new() },
                safe(&metric.metric),
                if first { grouped(arm.units) } else { String::new() },
                grouped(metric.converting_units),
                grouped(metric.conversions),
                sum,
                figure,
                interval,
            ]);
        }
    }
    table.write(out, "  ", 2)?;
    write_counts(out, "exposures", experiment.exposures.iter())?;
    for metric in &experiment.metrics {
        write_counts(
            out,
            &format!(
                "{}: {} received, {} counted",
                safe(&metric.metric),
                grouped(metric.received),
                grouped(metric.counted)
            ),
            metric.verdicts.iter(),
        )?;
    }
    for funnel in &experiment.funnels {
        writeln!(
            out,
            "  funnel {}: units per arm at each step, and (in brackets) those that did the steps in order",
            safe(&funnel.group)
        )?;
        let mut table = Table::default();
        for (step, ordered) in funnel.steps.iter().zip(&funnel.ordered) {
            let arms = step
                .arms
                .iter()
                .zip(ordered)
                .map(|(units, ordered)| format!("{} ({})", grouped(*units), grouped(*ordered)));
            table.row(std::iter::once(safe(&step.metric)).chain(arms));
        }
        table.write(out, "    ", 1)?;
    }
    Ok(())
}

fn write_counts<'a>(
    out: &mut String,
    title: &str,
    counts: impl Iterator<Item = (&'a &'static str, &'a u64)>,
) -> fmt::Result {
    let mut counts: Vec<_> = counts.filter(|(_, count)| **count > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let list: Vec<String> = counts.into_iter().map(|(name, count)| format!("{} {name}", grouped(*count))).collect();
    writeln!(out, "  {title}: {}", if list.is_empty() { "none".to_owned() } else { list.join(", ") })
}

fn write_keys(out: &mut String, report: &Report) -> fmt::Result {
    if report.unmatched_event_keys.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nEvent keys no metric uses")?;
    let mut table = Table::default();
    for key in report.unmatched_event_keys.iter().take(KEYS_SHOWN) {
        let near = key.nearest.as_ref().map_or_else(String::new, |near| match near.how {
            "metric-key" => format!("is the key of a metric; its event key is “{}”", safe(&near.event_key)),
            how => format!("did you mean “{}”? ({how})", safe(&near.event_key)),
        });
        table.row([format!("“{}”", safe(&key.key)), grouped(key.events), near]);
    }
    table.write(out, "  ", 1)?;
    more(out, report.unmatched_event_keys.len(), KEYS_SHOWN)
}

/// Says how many more there are than were shown.
pub(crate) fn more(out: &mut String, have: usize, shown: usize) -> fmt::Result {
    if have > shown { writeln!(out, "  … and {} more (--format json has them all)", have - shown) } else { Ok(()) }
}

fn write_findings(out: &mut String, findings: &[Finding]) -> fmt::Result {
    if findings.is_empty() {
        return writeln!(out, "\nNothing to report: every event that an experiment asks about counts.");
    }
    writeln!(out, "\nFindings")?;
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        let about: Vec<String> =
            [&finding.experiment, &finding.metric].into_iter().flatten().map(|name| safe(name)).collect();
        let about = if about.is_empty() { String::new() } else { format!("  {}", about.join(" · ")) };
        let events = if finding.events == 1 { "event" } else { "events" };
        writeln!(out, "  {} {}  {} {events}{about}", finding.severity.word(), finding.code, grouped(finding.events))?;
        writeln!(out, "      {}", safe(&finding.summary))?;
        if !finding.fix.is_empty() {
            writeln!(out, "      → {}", safe(&finding.fix))?;
        }
        if !finding.then.is_empty() {
            let then: Vec<&str> = finding.then.iter().map(|code| code.name()).collect();
            writeln!(out, "      then: {}", then.join(", "))?;
        }
    }
    more(out, findings.len(), FINDINGS_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }
}
