//! A catalog as a table: what is measured, by which unit, since when.

use super::{Catalog, Experiment, Iteration, Measure, Metric, MetricKind, UrlMatcher};
use crate::report::table::{Table, safe};
use std::fmt::{self, Write};

/// The catalog for a person.
pub fn text(catalog: &Catalog) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_catalog(&mut out, catalog);
    out
}

fn write_catalog(out: &mut String, catalog: &Catalog) -> fmt::Result {
    let environment = &catalog.environment;
    let names: Vec<&str> = [&environment.project, &environment.key].into_iter().flatten().map(String::as_str).collect();
    if !names.is_empty() {
        writeln!(out, "environment {}\n", safe(&names.join("/")))?;
    }
    for experiment in &catalog.experiments {
        write_experiment(out, catalog, experiment)?;
    }
    let measured = |index: usize| {
        catalog.experiments.iter().flat_map(|it| &it.iterations).any(|iteration| iteration.metrics.contains(&index))
    };
    let unused: Vec<(usize, &Metric)> =
        catalog.metrics.iter().enumerate().filter(|(index, _)| !measured(*index)).collect();
    if !unused.is_empty() {
        writeln!(out, "metrics of no experiment")?;
        let mut table = Table::default();
        unused.into_iter().for_each(|(_, metric)| table.row(metric_cells(metric, "")));
        table.write(out, "  ", usize::MAX)?;
        writeln!(out)?;
    }
    if catalog.experiments.is_empty() && catalog.metrics.is_empty() {
        writeln!(out, "nothing is measured: no experiments, no metrics")?;
    }
    Ok(())
}

fn write_experiment(out: &mut String, catalog: &Catalog, experiment: &Experiment) -> fmt::Result {
    let on = catalog.flag(&experiment.flag).and_then(|flag| flag.on);
    let flag = match on {
        Some(true) => " (on)",
        Some(false) => " (off)",
        None => "",
    };
    writeln!(out, "experiment {}, flag {}{flag}", safe(&experiment.key), safe(&experiment.flag))?;
    let notes =
        [("layer", &experiment.layer), ("holdout", &experiment.holdout), ("data source", &experiment.data_source)];
    for (what, value) in notes {
        if let Some(value) = value {
            writeln!(out, "  {what} {}", safe(value))?;
        }
    }
    let mut table = Table::default();
    for iteration in &experiment.iterations {
        table.row([
            format!("iteration {}", safe(&iteration.id)),
            format!("by {}", safe(&iteration.randomization_unit)),
            window(iteration),
            iteration.rule.as_ref().map_or_else(|| "any rule".to_owned(), |rule| format!("rule {}", safe(rule.name()))),
            arms(iteration),
        ]);
    }
    table.write(out, "  ", usize::MAX)?;
    if let Some(iteration) = experiment.iterations.last() {
        let mut table = Table::default();
        for metric in iteration.metrics.iter().filter_map(|index| catalog.metric(*index)) {
            let is_read = metric.units.contains(&iteration.randomization_unit);
            table.row(metric_cells(metric, if is_read { "" } else { "metric-unit-mismatch" }));
        }
        table.write(out, "    ", usize::MAX)?;
        for group in iteration.metric_groups.iter().filter_map(|index| catalog.metric_groups.get(*index)) {
            let members: Vec<&str> =
                group.metrics.iter().filter_map(|index| catalog.metric(*index)).map(|it| it.key.as_str()).collect();
            let (kind, joint) = if group.funnel { ("funnel", " > ") } else { ("group", ", ") };
            writeln!(out, "    {kind} {}: {}", safe(&group.key), safe(&members.join(joint)))?;
        }
    }
    writeln!(out)
}

fn window(iteration: &Iteration) -> String {
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |it| it.to_string());
    match (iteration.started_at_ms, iteration.ended_at_ms) {
        (None, _) => "not started".to_owned(),
        (Some(start), None) => format!("since {}", time(start)),
        (Some(start), Some(end)) => format!("{} to {}", time(start), time(end)),
    }
}

fn arms(iteration: &Iteration) -> String {
    let Some(arms) = &iteration.arms else { return "any variation".to_owned() };
    let whole: f64 = arms.iter().map(|arm| arm.allocation).sum();
    let arm = |arm: &super::Arm| {
        let share = if whole > 0.0 { 100.0 * arm.allocation / whole } else { 0.0 };
        format!("{} {} %", safe(&arm.name), (share * 10.0).round() / 10.0)
    };
    arms.iter().map(arm).collect::<Vec<_>>().join(", ")
}

fn metric_cells(metric: &Metric, note: &str) -> [String; 5] {
    let measure = match (metric.percentile, metric.measure) {
        (Some(percentile), _) => format!("percentile {percentile}"),
        (None, Measure::Occurrence) => "occurrence".to_owned(),
        (None, Measure::Count) => "count".to_owned(),
        (None, Measure::Value) => "value".to_owned(),
    };
    let event = match (metric.kind, &metric.event_key) {
        (MetricKind::Custom, key) => format!("event {}", safe(key.as_deref().unwrap_or("-"))),
        (kind, _) => {
            let what = if kind == MetricKind::Click { "click" } else { "page view" };
            let pages = metric.urls.iter().map(|url| match url {
                UrlMatcher::Exact(url) | UrlMatcher::Canonical(url) => safe(url),
                UrlMatcher::Substring(part) => format!("…{}…", safe(part)),
                UrlMatcher::Regex(pattern) => format!("/{}/", safe(pattern)),
            });
            format!("{what} {}", pages.collect::<Vec<_>>().join(" "))
        }
    };
    let filter = if metric.filter.is_some() { "filtered" } else { "" };
    let notes = [filter, note].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
    [safe(&metric.key), event, measure, format!("by {}", safe(&metric.units.join(", "))), notes]
}
