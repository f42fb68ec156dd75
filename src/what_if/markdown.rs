//! A difference as Markdown, for a ticket.

use super::difference::{Difference, ExperimentDifference, Transition};
use super::text::{arm_name, arrow, sentence, transition, units};
use crate::report::fixes;
use crate::report::markdown::{code, prose};
use crate::report::table::grouped;
use std::fmt::{self, Write};

/// The difference as Markdown.
pub fn text(difference: &Difference) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, difference);
    out
}

fn write_all(out: &mut String, difference: &Difference) -> fmt::Result {
    if let Some(fixes) = &difference.fixes {
        let mut told = String::new();
        fixes::write_markdown(&mut told, fixes)?;
        if !told.is_empty() {
            writeln!(out, "{}", told.trim_start())?;
        }
    }
    writeln!(out, "## What if\n")?;
    for change in &difference.changes {
        writeln!(out, "- {}", code(change))?;
    }
    writeln!(out, "\n{}", prose(&sentence(difference)))?;
    for experiment in difference.experiments.iter().filter(|experiment| experiment.is_changed()) {
        write_experiment(out, experiment)?;
    }
    if !difference.elsewhere.is_empty() {
        writeln!(out, "\n### Events that no experiment is about\n")?;
        write_transitions(out, &difference.elsewhere, |variation| format!("variation {variation}"))?;
    }
    if !difference.findings.is_empty() {
        writeln!(out, "\n### Findings\n\n| finding | about | events |\n|---|---|---|")?;
        for finding in &difference.findings {
            let about: Vec<String> =
                [&finding.experiment, &finding.metric].into_iter().flatten().map(|name| code(name)).collect();
            writeln!(out, "| {} | {} | {} |", finding.code, about.join(" "), arrow(finding.events))?;
        }
    }
    if difference.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nThe same events under a change: what would have counted, as exptap reads the published rules.")
}

fn write_experiment(out: &mut String, experiment: &ExperimentDifference) -> fmt::Result {
    writeln!(out, "\n### {}, iteration {}\n", code(&experiment.key), code(&experiment.iteration))?;
    if experiment.randomization_unit.is_changed() {
        let unit = |unit: &Option<String>| unit.as_deref().map_or_else(|| "none".to_owned(), code);
        let units = &experiment.randomization_unit;
        writeln!(out, "Randomized by {} → {}.\n", unit(&units.before), unit(&units.after))?;
    }
    if experiment.arms.iter().any(|arm| arm.is_changed() && !arm.metrics.is_empty()) {
        writeln!(out, "| arm | metric | units | converting | conversions |\n|---|---|---|---|---|")?;
        for arm in experiment.arms.iter().filter(|arm| arm.is_changed()) {
            for metric in &arm.metrics {
                let (units, converting) = (arrow(arm.units), arrow(metric.converting_units));
                let (arm, name) = (code(&arm.name), code(&metric.metric));
                writeln!(out, "| {arm} | {name} | {units} | {converting} | {} |", arrow(metric.conversions))?;
            }
        }
        writeln!(out)?;
    }
    if let Some(words) = units(experiment) {
        writeln!(out, "Units: {}\n", prose(&words))?;
    }
    let arm = |variation: i64| arm_name(&experiment.arms, variation);
    if !experiment.exposures.is_empty() {
        writeln!(out, "Evaluations:\n")?;
        write_transitions(out, &experiment.exposures, arm)?;
        writeln!(out)?;
    }
    let mut metrics = experiment.metrics.iter().filter(|metric| metric.is_changed()).peekable();
    while let Some(metric) = metrics.next() {
        let (received, counted) = (arrow(metric.received), arrow(metric.counted));
        writeln!(out, "{}: {received} received, {counted} counted.\n", code(&metric.metric))?;
        write_transitions(out, &metric.verdicts, arm)?;
        // Else the next paragraph would belong to the last of the list.
        if !metric.verdicts.is_empty() && metrics.peek().is_some() {
            writeln!(out)?;
        }
    }
    Ok(())
}

fn write_transitions(out: &mut String, all: &[Transition], arm: impl Fn(i64) -> String) -> fmt::Result {
    for it in all {
        writeln!(out, "- {} × {}", grouped(it.events), prose(&transition(it, &arm)))?;
    }
    Ok(())
}
