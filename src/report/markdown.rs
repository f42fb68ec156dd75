//! A report as Markdown, for a ticket: what was watched, what counts, what does not and why, and what to change.
//!
//! Names come from events, and a ticket is read by people who click. So a name stands in a code span, in which
//! nothing is a link, a mention or HTML, and in which what could end the span or the table's cell is written as an
//! escape that can be read back (`\x60`, `\x7c`). Sentences that quote names are escaped sign by sign, and what a
//! tracker would turn into a mention or a link (`@`, `://`, `www.`, `#1`) is taken apart by a code span around the
//! sign: a backslash would not do, because trackers look for those in the rendered text.

use super::table::grouped;
use super::{ArmMetric, ArmReport, Confidence, ExperimentReport, Finding, MetricReport, Report, fixes, words};
use crate::attribution::judge::is_about_time;
use crate::explain::ladder::seconds;
use crate::reason::{Category, ReasonCode, Severity};
use crate::untrusted::Untrusted;
use std::fmt::{self, Write};

/// Findings told in full; the rest are counted.
const FINDINGS_SHOWN: usize = 20;
/// Metrics told of, per experiment.
const METRICS_SHOWN: usize = 12;
/// Unmatched event keys shown.
const KEYS_SHOWN: usize = 10;
/// Sources named.
const SOURCES_SHOWN: usize = 8;
/// Events named behind a finding.
const EXAMPLES_SHOWN: usize = 3;
/// A name longer than this is cut.
const NAME_CHARACTERS: usize = 120;
/// A sentence longer than this is cut.
const SENTENCE_CHARACTERS: usize = 700;

/// What the report itself does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// What was read, by the names it was given by.
    pub sources: Vec<String>,
    /// First and last instant on the judging clock, epoch ms.
    pub span_ms: Option<(i64, i64)>,
    /// Where the first unreadable event is, and what is wrong with it.
    pub first_unreadable: Option<String>,
}

/// The report as Markdown.
pub fn text(report: &Report, watched: &Watched) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, report, watched);
    out
}

/// A name in a code span.
pub(crate) fn code(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let escaped = Untrusted::from(text).escaped().to_string();
    let mut out = String::with_capacity(escaped.len() + 2);
    out.push('`');
    let last = escaped.chars().count() - 1;
    for (index, character) in escaped.chars().enumerate() {
        match character {
            _ if index >= NAME_CHARACTERS => {
                out.push('…');
                break;
            }
            '`' => out.push_str("\\x60"),
            '|' => out.push_str("\\x7c"),
            // Markdown takes a space off both ends, and a space at an end is what the reader must see.
            ' ' if index == 0 || index == last => out.push_str("\\x20"),
            character => out.push(character),
        }
    }
    out.push('`');
    out
}

/// A sentence that may quote names.
pub(crate) fn prose(text: &str) -> String {
    let escaped = Untrusted::from(text).escaped().to_string();
    let characters: Vec<char> = escaped.chars().collect();
    let mut out = String::with_capacity(escaped.len() + 8);
    let mut is_code = false;
    for (index, character) in characters.iter().copied().enumerate() {
        let rest = characters.get(index..).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| characters.get(before)).copied();
        let is_taken_apart = match rest {
            ['@', ..] | [':', '/', '/', ..] => true,
            ['#', next, ..] => next.is_alphanumeric(),
            ['.', ..] => {
                let from = index.saturating_sub(3);
                characters
                    .get(from..index)
                    .is_some_and(|three| three.iter().all(|it| it.eq_ignore_ascii_case(&'w')) && three.len() == 3)
            }
            _ => false,
        };
        if is_taken_apart != is_code {
            out.push('`');
            is_code = is_taken_apart;
        }
        if index >= SENTENCE_CHARACTERS && !is_code {
            out.push('…');
            return out;
        }
        let is_special = match character {
            // Between letters and digits it emphasises nothing, and event keys are full of it.
            '_' => {
                !(before.is_some_and(char::is_alphanumeric) && rest.get(1).copied().is_some_and(char::is_alphanumeric))
            }
            character => "\\`*[]<>|~&$#!".contains(character),
        };
        if is_special && !is_code {
            out.push('\\');
        }
        out.push(character);
    }
    if is_code {
        out.push('`');
    }
    out
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { several })
}

fn write_report(out: &mut String, report: &Report, watched: &Watched) -> fmt::Result {
    writeln!(out, "## exptap report: {}\n", verdict_in_words(report))?;
    write_watched(out, report, watched)?;
    write_counting(out, report)?;
    write_losses(out, report)?;
    report.fixes.iter().try_for_each(|fixes| fixes::write_markdown(out, fixes))?;
    write_findings(out, &report.findings)?;
    write_keys(out, report)?;
    writeln!(
        out,
        "\n*exptap predicts, by published rules, what LaunchDarkly counts; this is not LaunchDarkly's result.*"
    )
}

fn verdict_in_words(report: &Report) -> String {
    let of = |severity: Severity| report.findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let found: Vec<String> = [(Severity::Error, "error", "errors"), (Severity::Warning, "warning", "warnings")]
        .into_iter()
        .filter(|(severity, ..)| of(*severity) > 0)
        .map(|(severity, one, several)| counted(of(severity), one, several))
        .collect();
    match (report.totals.events, found.as_slice()) {
        (0, _) => "no events".to_owned(),
        (_, []) => "nothing is lost for a known reason".to_owned(),
        _ => found.join(", "),
    }
}

fn write_watched(out: &mut String, report: &Report, watched: &Watched) -> fmt::Result {
    let totals = &report.totals;
    let mut names: Vec<String> = watched.sources.iter().take(SOURCES_SHOWN).map(|source| code(source)).collect();
    if watched.sources.len() > SOURCES_SHOWN {
        names.push(format!("{} more", watched.sources.len() - SOURCES_SHOWN));
    }
    let requests = match totals.requests {
        0 => String::new(),
        requests => format!(" in {}", counted(requests, "request", "requests")),
    };
    writeln!(out, "- **Watched:** {}: {}{requests}", names.join(", "), counted(totals.events, "event", "events"))?;
    if let Some((first, last)) = watched.span_ms {
        writeln!(out, "- **From** {} **to** {} UTC, by the {} clock", seconds(first), seconds(last), report.clock)?;
    }
    let history = match report.observed_from {
        Some(from) => format!("observed from {} UTC; exposures before that are not known", seconds(from)),
        None => "the history is taken as complete".to_owned(),
    };
    let catalog = match report.catalog {
        "inferred" => "**inferred from the events**: what experiments and metrics there are is a guess",
        "recording" => "from the recording",
        _ => "from a file",
    };
    writeln!(out, "- **Catalog:** {catalog}; {history}")?;
    let verdicts: Vec<String> = totals
        .verdicts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{} {}", grouped(*count), name.replace('-', " ")))
        .collect();
    if !verdicts.is_empty() {
        writeln!(out, "- **Events by best verdict:** {}", verdicts.join(", "))?;
    }
    let mut losses = Vec::new();
    if totals.lost > 0 {
        losses
            .push(format!("{} lost before they could be looked at", counted(totals.lost, "event was", "events were")));
    }
    if totals.undecodable > 0 {
        let first = watched
            .first_unreadable
            .as_ref()
            .map_or_else(String::new, |first| format!(" (the first: {})", prose(first)));
        losses.push(format!("{} not be read{first}", counted(totals.undecodable, "event could", "events could")));
    }
    if totals.duplicate_payloads > 0 {
        losses.push(format!(
            "{} a retry and not counted twice",
            counted(totals.duplicate_payloads, "payload was", "payloads were")
        ));
    }
    if losses.is_empty() { Ok(()) } else { writeln!(out, "- **Losses:** {}", losses.join("; ")) }
}

/// Whether anything was seen of an iteration.
fn is_silent(experiment: &ExperimentReport) -> bool {
    experiment.exposures.values().all(|count| *count == 0)
        && experiment.metrics.iter().all(|metric| metric.received == 0)
}

fn title(experiment: &ExperimentReport) -> String {
    format!("{} (iteration {})", code(&experiment.key), code(&experiment.iteration))
}

fn write_counting(out: &mut String, report: &Report) -> fmt::Result {
    if report.experiments.is_empty() {
        return writeln!(out, "\nThere is no experiment to count for.");
    }
    writeln!(out, "\n### What counts")?;
    for experiment in report.experiments.iter().filter(|experiment| !is_silent(experiment)) {
        let partial =
            if experiment.complete { "" } else { " The history is not complete, so no rates or means are given." };
        writeln!(
            out,
            "\n**{}**, flag {}, randomized by {}. {}{partial}\n",
            title(experiment),
            code(&experiment.flag),
            code(&experiment.randomization_unit),
            words::sample_ratio(experiment.sample_ratio.as_ref())
        )?;
        write_arms(out, experiment)?;
    }
    let silent: Vec<String> = report.experiments.iter().filter(|experiment| is_silent(experiment)).map(title).collect();
    if silent.is_empty() { Ok(()) } else { writeln!(out, "\nNothing was seen of {}.", silent.join(", ")) }
}

/// The arms with what is credited to them. A metric nothing counted for is only named: its zeros are of no use here,
/// and why they are zeros stands below.
fn write_arms(out: &mut String, experiment: &ExperimentReport) -> fmt::Result {
    if experiment.arms.is_empty() {
        return writeln!(out, "No unit was exposed.");
    }
    let (counting, nothing): (Vec<&MetricReport>, Vec<&MetricReport>) =
        experiment.metrics.iter().partition(|metric| metric.counted > 0);
    let shown: Vec<&str> = counting.iter().take(METRICS_SHOWN).map(|metric| metric.metric.as_str()).collect();
    if shown.is_empty() {
        writeln!(out, "| arm | units |\n|---|---:|")?;
        for arm in &experiment.arms {
            writeln!(out, "| {} | {} |", code(&arm.name), units(arm))?;
        }
    } else {
        writeln!(out, "| metric | arm | units | converting units | conversions | rate or mean | 95 % interval |")?;
        writeln!(out, "|---|---|---:|---:|---:|---:|---|")?;
    }
    for name in &shown {
        for arm in &experiment.arms {
            let Some(metric) = arm.metrics.iter().find(|metric| metric.metric == *name) else { continue };
            let (figure, interval) = figures(metric, experiment.complete);
            let cross = match metric.cross_arm_units {
                0 => String::new(),
                units => format!(" ({} of other arms)", grouped(units)),
            };
            writeln!(
                out,
                "| {} | {} | {} | {}{cross} | {} | {figure} | {interval} |",
                code(&metric.metric),
                code(&arm.name),
                units(arm),
                grouped(metric.converting_units),
                grouped(metric.conversions)
            )?;
        }
    }
    if counting.len() > shown.len() {
        writeln!(out, "\n… and {} metrics more (`--format json` has them all).", counting.len() - shown.len())?;
    }
    if !nothing.is_empty() {
        let mut names: Vec<String> = nothing.iter().take(METRICS_SHOWN).map(|metric| code(&metric.metric)).collect();
        if nothing.len() > METRICS_SHOWN {
            names.push(format!("{} more", nothing.len() - METRICS_SHOWN));
        }
        writeln!(out, "\nNothing counted for {}.", names.join(", "))?;
    }
    Ok(())
}

fn units(arm: &ArmReport) -> String {
    match arm.crossover_units {
        0 => grouped(arm.units),
        crossover => format!("{} ({} saw another arm later)", grouped(arm.units), grouped(crossover)),
    }
}

fn figures(metric: &ArmMetric, complete: bool) -> (String, String) {
    let figure = match (metric.rate, metric.mean, metric.percentile) {
        (Some(rate), ..) => format!("{:.2} %", rate * 100.0),
        (_, Some(mean), _) => format!("{mean:.3}"),
        (.., Some(percentile)) => format!("{percentile:.3} (percentile)"),
        _ if !complete => "partial".to_owned(),
        _ => "–".to_owned(),
    };
    let interval = match (metric.interval, metric.rate) {
        (Some([low, high]), Some(_)) => format!("{:.2} to {:.2} %", low * 100.0, high * 100.0),
        (Some([low, high]), None) => format!("{low:.3} to {high:.3}"),
        (None, _) => "–".to_owned(),
    };
    (figure, interval)
}

/// Counts by code without those that only say that the iteration was not running, and the number of these. Where an
/// experiment has several iterations, each of its events is outside all but one.
fn inside(counts: Vec<(ReasonCode, u64)>, has_others: bool) -> (Vec<(ReasonCode, u64)>, u64) {
    let (outside, inside): (Vec<_>, Vec<_>) =
        counts.into_iter().partition(|(code, _)| has_others && is_about_time(*code));
    (inside, outside.iter().map(|(_, count)| count).sum())
}

/// What was received and did not count, metric by metric.
fn write_losses(out: &mut String, report: &Report) -> fmt::Result {
    let mut is_first = true;
    for experiment in report.experiments.iter().filter(|experiment| !is_silent(experiment)) {
        let has_others = report.experiments.iter().filter(|other| other.key == experiment.key).count() > 1;
        let mut lines = String::new();
        let (evaluations, mut outside) = inside(words::ranked(&experiment.exposures), has_others);
        let nobody: Vec<_> =
            evaluations.into_iter().filter(|(code, _)| code.category() != Category::Exposure).collect();
        if !nobody.is_empty() {
            let count = nobody.iter().map(|(_, count)| count).sum();
            let evaluations = counted(count, "evaluation", "evaluations");
            writeln!(lines, "- {evaluations} of {} exposed nobody", code(&experiment.flag))?;
            write_reasons(&mut lines, &nobody, experiment, None)?;
        }
        let mut lossy = 0;
        for metric in &experiment.metrics {
            let (verdicts, elsewhere) = inside(words::ranked(&metric.verdicts), has_others);
            let lost: Vec<_> = verdicts.into_iter().filter(|(code, _)| code.category() != Category::Counted).collect();
            outside += elsewhere;
            lossy += usize::from(!lost.is_empty());
            if !lost.is_empty() && lossy <= METRICS_SHOWN {
                writeln!(
                    lines,
                    "- {}: {} received → {} counted",
                    code(&metric.metric),
                    grouped(metric.received),
                    grouped(metric.counted)
                )?;
                write_reasons(&mut lines, &lost, experiment, Some(&metric.metric))?;
            }
        }
        if lossy > METRICS_SHOWN {
            writeln!(lines, "- … and {} metrics more (`--format json` has them all)", lossy - METRICS_SHOWN)?;
        }
        if outside > 0 {
            let verdicts = counted(outside, "verdict", "verdicts");
            writeln!(lines, "- Left out: {verdicts} on what happened outside this iteration's time")?;
        }
        if lines.is_empty() {
            continue;
        }
        if std::mem::take(&mut is_first) {
            writeln!(out, "\n### What does not count, and why")?;
        }
        writeln!(out, "\n**{}**\n\n{}", title(experiment), lines.trim_end())?;
    }
    Ok(())
}

fn write_reasons(
    out: &mut String,
    reasons: &[(ReasonCode, u64)],
    experiment: &ExperimentReport,
    metric: Option<&str>,
) -> fmt::Result {
    reasons.iter().try_for_each(|(reason, count)| {
        let (sentence, _) = words::in_general(*reason, experiment, metric);
        writeln!(out, "  - {} `{reason}`: {}", grouped(*count), prose(&sentence))
    })
}

fn write_findings(out: &mut String, findings: &[Finding]) -> fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Findings, the costliest first")?;
    for (index, finding) in findings.iter().take(FINDINGS_SHOWN).enumerate() {
        write_finding(out, index + 1, finding)?;
    }
    if findings.len() > FINDINGS_SHOWN {
        writeln!(out, "\n… and {} more (`--format json` has them all).", findings.len() - FINDINGS_SHOWN)?;
    }
    writeln!(
        out,
        "\n`exptap explain SRC UNIT` tells the story of one unit; `exptap verdicts SRC` numbers the events as above."
    )
}

fn write_finding(out: &mut String, number: usize, finding: &Finding) -> fmt::Result {
    let about: Vec<String> =
        [&finding.experiment, &finding.metric].into_iter().flatten().map(|name| code(name)).collect();
    let about = if about.is_empty() { String::new() } else { format!(" · {}", about.join(" · ")) };
    let reason = finding.code.reason();
    let confidence = match finding.confidence {
        Confidence::Decided => "decided by the events",
        Confidence::Likely => "likely",
        Confidence::Ask => "worth asking",
    };
    // Indented by the width of the number, so that the list stays one list past the ninth.
    let indent = " ".repeat(number.to_string().len() + 2);
    writeln!(out, "\n{number}. **{} `{}`**{about}\\", finding.severity.word(), finding.code)?;
    writeln!(out, "{indent}{}", prose(&finding.summary))?;
    if !finding.fix.is_empty() {
        writeln!(out, "{indent}- **What to change:** {}", prose(&finding.fix))?;
    }
    writeln!(
        out,
        "{indent}- **Why:** {confidence}; rule {}, {} (docs/reasons.md, `#{}`)",
        reason.rule,
        reason.grade.meaning(),
        reason.anchor()
    )?;
    if !finding.then.is_empty() {
        let then: Vec<String> = finding.then.iter().map(|code| format!("`{code}`")).collect();
        writeln!(out, "{indent}- **Would fail next:** {}", then.join(", "))?;
    }
    let mut seen = Vec::new();
    if finding.events > 0 {
        let units =
            if finding.units > 0 { format!(" of {}", counted(finding.units, "unit", "units")) } else { String::new() };
        seen.push(format!("{}{units}", counted(finding.events, "event", "events")));
    } else if finding.units > 0 {
        seen.push(counted(finding.units, "unit", "units"));
    }
    match (finding.first, finding.last) {
        (Some(first), Some(last)) if first != last => seen.push(format!("{} to {} UTC", seconds(first), seconds(last))),
        (Some(first), _) => seen.push(format!("{} UTC", seconds(first))),
        _ => {}
    }
    if !finding.sources.is_empty() {
        let names: Vec<String> = finding.sources.iter().take(SOURCES_SHOWN).map(|source| code(source)).collect();
        seen.push(format!("from {}", names.join(", ")));
    }
    if !finding.examples.is_empty() {
        let numbers: Vec<String> =
            finding.examples.iter().take(EXAMPLES_SHOWN).map(|event| format!("{event}")).collect();
        seen.push(format!("such as {} {}", if numbers.len() == 1 { "event" } else { "events" }, numbers.join(", ")));
    }
    if seen.is_empty() { Ok(()) } else { writeln!(out, "{indent}- **Seen:** {}", seen.join("; ")) }
}

fn write_keys(out: &mut String, report: &Report) -> fmt::Result {
    if report.unmatched_event_keys.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Event keys no metric uses\n")?;
    writeln!(out, "| event key | events | nearest |")?;
    writeln!(out, "|---|---:|---|")?;
    for key in report.unmatched_event_keys.iter().take(KEYS_SHOWN) {
        let near = key.nearest.as_ref().map_or_else(
            || "–".to_owned(),
            |near| match near.how {
                "metric-key" => format!("it is the key of a metric, whose event key is {}", code(&near.event_key)),
                how => format!("{} of {} ({how})", code(&near.event_key), code(&near.metric)),
            },
        );
        writeln!(out, "| {} | {} | {near} |", code(&key.key), grouped(key.events))?;
    }
    match report.unmatched_event_keys.len().saturating_sub(KEYS_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "\n… and {more} more (`--format json` has them all)."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside_its_code_span_and_its_cell() {
        assert_eq!(code("checkout-cta"), "`checkout-cta`");
        assert_eq!(code("a`b|c"), r"`a\x60b\x7cc`");
        assert_eq!(code(" checkout "), r"`\x20checkout\x20`");
        assert_eq!(code("a\nb\u{202e}\u{1b}[2J"), r"`a\nb\u{202e}\x1b[2J`");
        assert_eq!(code(""), "(empty)");
        assert_eq!(code(&"x".repeat(1000)).chars().count(), NAME_CHARACTERS + 3);
    }

    #[test]
    fn a_sentence_pings_nobody_and_links_nowhere() {
        assert_eq!(prose("“@everyone” is not “checkout”"), "“`@`everyone” is not “checkout”");
        assert_eq!(prose("see [this](https://evil.example)"), r"see \[this\](https`:`//evil.example)");
        assert_eq!(prose("www.evil.example #12 @@a"), "www`.`evil.example `#`12 `@@`a");
        assert_eq!(prose("<img src=x> &lt; a_b _c_ **d**"), r"\<img src=x\> \&lt; a_b \_c\_ \*\*d\*\*");
        assert_eq!(prose("a`b"), r"a\`b");
        assert_eq!(prose("a\nb"), r"a\\nb", "a line feed is told, not obeyed");
    }
}
