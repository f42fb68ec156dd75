//! A difference as Markdown, for a ticket.

use super::difference::{CodeDifference, Difference, ExperimentDifference, Pair, Presence};
use super::text::{CAVEAT, about, arrow, counts, figure, from, sentence, share, span, state, why};
use crate::report::markdown::{code, prose};
use crate::report::table::grouped;
use std::fmt::{self, Write};

/// Event keys shown.
const KEYS_SHOWN: usize = 20;

/// The difference as Markdown.
pub fn text(difference: &Difference) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, difference);
    out
}

fn write_all(out: &mut String, difference: &Difference) -> fmt::Result {
    writeln!(out, "## exptap diff\n")?;
    let recordings = &difference.recordings;
    for (title, recording) in [("Before", &recordings.before), ("After", &recordings.after)] {
        let span = span(recording).map_or_else(String::new, |span| format!(", {span}"));
        let lost =
            if recording.lost > 0 { format!(", at least {} lost", grouped(recording.lost)) } else { String::new() };
        let (name, events) = (code(&recording.name), grouped(recording.events));
        writeln!(out, "- **{title}:** {name}: {events} events{span}{lost}; catalog: {}", recording.catalog)?;
    }
    if !difference.same_catalog {
        writeln!(out, "- The two are judged by different catalogs.")?;
    }
    if !difference.same_mapping {
        writeln!(out, "- Segment's destination is set up differently.")?;
    }
    writeln!(out, "\n{}", prose(&sentence(difference)))?;
    if !difference.changed {
        return Ok(());
    }
    if !difference.changed_most.is_empty() {
        writeln!(out, "\n### What changed most\n")?;
        writeln!(out, "Of 1 000 events that a metric asks for, or of 1 000 evaluations.\n")?;
        writeln!(out, "| verdict | about | of 1 000 | | from |\n|---|---|---|---|---|")?;
        for shift in &difference.changed_most {
            let metric = shift.metric.as_deref().map_or_else(|| "exposure".to_owned(), code);
            let (experiment, verdict) = (code(&shift.experiment), &shift.verdict);
            let (shares, word) = (arrow(verdict.per_thousand.map(share)), verdict.presence.word());
            let sources = from(verdict, code);
            writeln!(out, "| `{}` | {experiment} {metric} | {shares} | {word} | {sources} |", verdict.code)?;
        }
    }
    for experiment in &difference.experiments {
        write_experiment(out, experiment)?;
    }
    write_rest(out, difference)?;
    writeln!(out, "\n*{CAVEAT}*")
}

fn write_experiment(out: &mut String, experiment: &ExperimentDifference) -> fmt::Result {
    writeln!(out, "\n### {}, iteration {}\n", code(&experiment.key), code(&experiment.iteration))?;
    let unit = experiment.randomization_unit.clone();
    if unit.before != unit.after {
        let units = unit.map(|unit| unit.as_deref().map_or_else(|| "nothing".to_owned(), code));
        writeln!(out, "Randomized by {}.\n", arrow(units))?;
    }
    writeln!(out, "| arm | units | of 1 000 | metric | converting | conversions | rate or mean |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for arm in &experiment.arms {
        let head = format!("| {} | {} | {}", code(&arm.name), counts(arm.units), arrow(arm.per_thousand.map(share)));
        if arm.metrics.is_empty() {
            writeln!(out, "{head} | | | | |")?;
        }
        for metric in &arm.metrics {
            let (name, figure) = (code(&metric.metric), figure(metric, experiment.complete));
            let (converting, conversions) = (counts(metric.converting_units), counts(metric.conversions));
            writeln!(out, "{head} | {name} | {converting} | {conversions} | {figure} |")?;
        }
    }
    writeln!(out, "\nEvaluations: {}.\n", counts(experiment.evaluations))?;
    write_codes(out, &experiment.exposures)?;
    for metric in &experiment.metrics {
        let (received, counted) = (counts(metric.received), counts(metric.counted));
        writeln!(out, "\n{}: {received} received, {counted} counted.\n", code(&metric.metric))?;
        write_codes(out, &metric.verdicts)?;
    }
    Ok(())
}

fn write_codes(out: &mut String, codes: &[CodeDifference]) -> fmt::Result {
    for it in codes {
        let word = match it.presence {
            Presence::Both => String::new(),
            presence => format!(", {}", presence.word()),
        };
        let shares = arrow(it.per_thousand.map(share));
        writeln!(out, "- `{}`: {} ({shares} of 1 000{word})", it.code, counts(it.events))?;
    }
    Ok(())
}

fn write_rest(out: &mut String, difference: &Difference) -> fmt::Result {
    writeln!(out, "\n### Senders\n\n| sender | events | of 1 000 | |\n|---|---|---|---|")?;
    for source in &difference.sources {
        let (events, shares) = (counts(source.events), arrow(source.per_thousand.map(share)));
        writeln!(out, "| {} | {events} | {shares} | {} |", code(&source.source), source.presence.word())?;
    }
    if !difference.versions.is_empty() {
        writeln!(out)?;
    }
    for it in &difference.versions {
        let versions = Pair { before: it.versions.before.join(", "), after: it.versions.after.join(", ") };
        writeln!(out, "- {} has another version: {}", code(&it.sdk), prose(&arrow(versions)))?;
    }
    let moved: Vec<_> = difference.event_keys.iter().filter(|key| key.presence != Presence::Both).collect();
    if !moved.is_empty() {
        writeln!(out, "\n### Event keys that appeared or vanished\n")?;
        for key in moved.iter().take(KEYS_SHOWN) {
            let remark = if key.unmatched { "; no metric uses it" } else { "" };
            writeln!(out, "- {} is {}: {} events{remark}", code(&key.key), key.presence.word(), counts(key.events))?;
        }
        if moved.len() > KEYS_SHOWN {
            writeln!(out, "- … and {} more", moved.len() - KEYS_SHOWN)?;
        }
    }
    if !difference.findings.is_empty() {
        writeln!(out, "\n### Findings\n")?;
    }
    for finding in &difference.findings {
        let about = about(finding, code);
        let (word, severity, events) = (state(finding), finding.severity.word(), counts(finding.events));
        writeln!(out, "- **{word}:** {severity} `{}`, {events} events {about}", finding.code)?;
        if finding.presence == Presence::New {
            writeln!(out, "  {} {}", prose(&finding.summary), prose(&finding.fix))?;
        }
    }
    if difference.evaluations.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Evaluations that summaries count, less the events sent of them\n")?;
    writeln!(out, "| flag | from | counted | sent | sent no event |\n|---|---|---|---|---|")?;
    for it in &difference.evaluations {
        let why = it.unsent.iter().map(|unsent| why(unsent.code, unsent.evaluations, it.sampled));
        let (flag, source, why) = (code(&it.flag), code(&it.source), why.collect::<Vec<_>>().join(", "));
        let why = if why.is_empty() { "none".to_owned() } else { why };
        writeln!(out, "| {flag} | {source} | {} | {} | {why} |", counts(it.counted), counts(it.sent))?;
    }
    Ok(())
}
