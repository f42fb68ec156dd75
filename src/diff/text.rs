//! A difference as text, for a terminal or any other place.

use super::difference::{
    ArmMetricDifference, CodeDifference, Difference, ExperimentDifference, FindingDifference, Pair, Presence, Recording,
};
use crate::reason::ReasonCode;
use crate::report::table::{Table, grouped, more, safe};
use std::fmt::{self, Write};

/// Event keys and senders shown.
const ROWS_SHOWN: usize = 12;
/// Senders named behind a verdict.
const SOURCES_SHOWN: usize = 3;
/// What every difference ends with.
pub(super) const CAVEAT: &str = "Two recordings side by side, as exptap reads the published rules; nothing here says whether a difference is \
more than chance.";

/// The difference as text.
pub fn text(difference: &Difference) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, difference);
    out
}

/// What changed, in one sentence.
pub fn sentence(difference: &Difference) -> String {
    let Pair { before, after } = difference.recordings.clone().map(|it| it.events);
    if before == 0 && after == 0 {
        return "Neither recording holds an event: there is nothing to compare.".to_owned();
    }
    if !difference.changed {
        let amount = if before == after {
            format!("{} in each", counted(before, "event", "events"))
        } else {
            format!("{}, then {}", counted(before, "event", "events"), grouped(after))
        };
        return format!(
            "Nothing changed: {amount}, the same senders, event keys and findings, and the same share of every verdict."
        );
    }
    let new = difference.findings.iter().filter(|finding| finding.presence == Presence::New).count() as u64;
    let gone = difference.findings.iter().filter(|finding| finding.presence == Presence::Gone).count() as u64;
    let findings = |count: u64| counted(count, "finding", "findings");
    let told = match (new, gone) {
        (0, 0) => "no finding is new or gone".to_owned(),
        (new, 0) => format!("{} new", findings(new)),
        (0, gone) => format!("{} gone", findings(gone)),
        (new, gone) => format!("{} new, {} gone", findings(new), grouped(gone)),
    };
    let that_count = difference.verdicts.iter().find(|it| it.verdict == "counted");
    let that_count = that_count.map_or_else(String::new, |it| {
        let share = it.per_thousand.map(share);
        format!(" {} of 1 000 events count, then {}.", share.before, share.after)
    });
    format!("Changed: {told}.{that_count}")
}

/// `1 event`, `2 events`.
fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { several })
}

/// `4 → 24`, or `4` where it stays.
pub(super) fn arrow<T: PartialEq + fmt::Display>(pair: Pair<T>) -> String {
    if pair.before == pair.after { pair.before.to_string() } else { format!("{} → {}", pair.before, pair.after) }
}

pub(super) fn counts(pair: Pair<u64>) -> String {
    arrow(pair.map(grouped))
}

/// Of a thousand.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{share:.1}"))
}

/// Who the events of a verdict come from, those of the side that has more of them first; names made harmless by
/// `name`.
pub(super) fn from(verdict: &CodeDifference, name: impl Fn(&str) -> String) -> String {
    let names =
        verdict.sources.iter().take(SOURCES_SHOWN).map(|it| format!("{} {}", name(&it.source), counts(it.events)));
    let mut words: Vec<String> = names.collect();
    if verdict.sources.len() > SOURCES_SHOWN {
        words.push(format!("{} more", verdict.sources.len() - SOURCES_SHOWN));
    }
    words.join(", ")
}

/// A rate or mean, or that there is none.
pub(super) fn figure(metric: &ArmMetricDifference, complete: Pair<bool>) -> String {
    let one = |rate: Option<f64>, mean: Option<f64>, interval: Option<[f64; 2]>, complete: bool| match (rate, mean) {
        _ if !complete => "partial".to_owned(),
        (Some(rate), _) => {
            let interval =
                interval.map_or_else(String::new, |[low, high]| format!(" [{:.2}, {:.2}]", low * 100.0, high * 100.0));
            format!("{:.2} %{interval}", rate * 100.0)
        }
        (_, Some(mean)) => {
            format!("{mean:.3}{}", interval.map_or_else(String::new, |[low, high]| format!(" [{low:.3}, {high:.3}]")))
        }
        (None, None) => "–".to_owned(),
    };
    let (rate, mean, interval) = (metric.rate, metric.mean, metric.interval);
    arrow(Pair {
        before: one(rate.before, mean.before, interval.before, complete.before),
        after: one(rate.after, mean.after, interval.after, complete.after),
    })
}

/// What a finding is about.
pub(super) fn about(finding: &FindingDifference, name: impl Fn(&str) -> String) -> String {
    let names = [&finding.experiment, &finding.metric].into_iter().flatten().map(|it| name(it));
    names.collect::<Vec<_>>().join(" · ")
}

/// What became of a finding.
pub(super) fn state(finding: &FindingDifference) -> &'static str {
    match finding.presence {
        Presence::Both => "still there",
        presence => presence.word(),
    }
}

/// Since when and until when.
pub(super) fn span(recording: &Recording) -> Option<String> {
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).ok().map(|time| time.strftime("%F %T").to_string());
    let (first, last) = recording.span?;
    Some(format!("{} to {} UTC", time(first)?, time(last)?))
}

fn write_all(out: &mut String, difference: &Difference) -> fmt::Result {
    let recordings = &difference.recordings;
    for (title, recording) in [("before", &recordings.before), ("after", &recordings.after)] {
        write!(out, "{title:<6}  {}: {}", safe(&recording.name), counted(recording.events, "event", "events"))?;
        if recording.requests > 0 {
            write!(out, " in {}", counted(recording.requests, "request", "requests"))?;
        }
        if let Some(span) = span(recording) {
            write!(out, ", {span}")?;
        }
        writeln!(out, "; catalog: {}", recording.catalog)?;
        if recording.lost > 0 {
            let lost = counted(recording.lost, "request was", "requests were");
            writeln!(out, "        at least {lost} lost before anything could be looked at")?;
        }
    }
    if !difference.same_catalog {
        writeln!(out, "The two are judged by different catalogs; --catalog FILE judges both by one.")?;
    }
    if !difference.same_mapping {
        writeln!(out, "Segment's destination is set up differently; --mapping FILE makes both of one mapping.")?;
    }
    writeln!(out, "\n{}", sentence(difference))?;
    if !difference.changed {
        return Ok(());
    }
    write_most(out, difference)?;
    for experiment in &difference.experiments {
        write_experiment(out, experiment)?;
    }
    write_sources(out, difference)?;
    write_keys(out, difference)?;
    write_findings(out, &difference.findings)?;
    write_evaluations(out, difference)?;
    writeln!(out, "\n{CAVEAT}")
}

fn write_most(out: &mut String, difference: &Difference) -> fmt::Result {
    if difference.changed_most.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhat changed most, of 1 000 events that a metric asks for, or of 1 000 evaluations")?;
    let mut table = Table::default();
    for shift in &difference.changed_most {
        let about = match &shift.metric {
            Some(metric) => format!("{} · {}", safe(&shift.experiment), safe(metric)),
            None => format!("{} · exposure", safe(&shift.experiment)),
        };
        table.row([
            shift.verdict.code.to_string(),
            about,
            arrow(shift.verdict.per_thousand.map(share)),
            shift.verdict.presence.word().to_owned(),
            from(&shift.verdict, safe),
        ]);
    }
    table.write(out, "  ", 5)
}

fn write_experiment(out: &mut String, experiment: &ExperimentDifference) -> fmt::Result {
    let unit = &experiment.randomization_unit;
    let unit = match (&unit.before, &unit.after) {
        (Some(before), Some(after)) if before == after => format!("by {}", safe(before)),
        (Some(before), Some(after)) => format!("by {} → {}", safe(before), safe(after)),
        (None, Some(after)) => format!("by {} · not in the catalog before", safe(after)),
        (Some(before), None) => format!("by {} · no longer in the catalog", safe(before)),
        (None, None) => String::new(),
    };
    let (key, iteration, flag) = (safe(&experiment.key), safe(&experiment.iteration), safe(&experiment.flag));
    writeln!(out, "\n{key} · iteration {iteration} · flag {flag} · {unit}")?;
    let mut table = Table::default();
    table.row(
        ["arm", "units", "of 1 000", "metric", "converting", "conversions", "rate or mean"].map(ToOwned::to_owned),
    );
    for arm in &experiment.arms {
        let head = [safe(&arm.name), counts(arm.units), arrow(arm.per_thousand.map(share))];
        if arm.metrics.is_empty() {
            table.row(head.clone());
        }
        for (index, metric) in arm.metrics.iter().enumerate() {
            let head = if index == 0 { head.clone() } else { [const { String::new() }; 3] };
            table.row(head.into_iter().chain([
                safe(&metric.metric),
                counts(metric.converting_units),
                counts(metric.conversions),
                figure(metric, experiment.complete),
            ]));
        }
    }
    table.write(out, "  ", 7)?;
    writeln!(out, "  evaluations: {}", counts(experiment.evaluations))?;
    write_codes(out, &experiment.exposures)?;
    for metric in &experiment.metrics {
        writeln!(
            out,
            "  {}: {} received, {} counted",
            safe(&metric.metric),
            counts(metric.received),
            counts(metric.counted)
        )?;
        write_codes(out, &metric.verdicts)?;
    }
    Ok(())
}

fn write_codes(out: &mut String, codes: &[CodeDifference]) -> fmt::Result {
    let mut table = Table::default();
    for code in codes {
        let share = format!("{} of 1 000", arrow(code.per_thousand.map(share)));
        table.row([code.code.to_string(), counts(code.events), share, code.presence.word().to_owned()]);
    }
    table.write(out, "    ", 4)
}

fn write_sources(out: &mut String, difference: &Difference) -> fmt::Result {
    writeln!(out, "\nSenders")?;
    let mut table = Table::default();
    for source in difference.sources.iter().take(ROWS_SHOWN) {
        let share = format!("{} of 1 000", arrow(source.per_thousand.map(share)));
        let events = format!("{} events", counts(source.events));
        table.row([safe(&source.source), events, share, source.presence.word().to_owned()]);
    }
    table.write(out, "  ", 4)?;
    more(out, difference.sources.len(), ROWS_SHOWN)?;
    for it in &difference.versions {
        let versions = Pair { before: it.versions.before.join(", "), after: it.versions.after.join(", ") };
        writeln!(out, "  {} has another version: {}", safe(&it.sdk), safe(&arrow(versions)))?;
    }
    Ok(())
}

fn write_keys(out: &mut String, difference: &Difference) -> fmt::Result {
    let moved = difference.event_keys.iter().filter(|key| key.presence != Presence::Both);
    let moved: Vec<_> = moved.collect();
    if moved.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nEvent keys that appeared or vanished")?;
    let mut table = Table::default();
    for key in moved.iter().take(ROWS_SHOWN) {
        let remark = if key.unmatched { "no metric uses it" } else { "" };
        let events = format!("{} events", counts(key.events));
        table.row([format!("“{}”", safe(&key.key)), key.presence.word().to_owned(), events, remark.to_owned()]);
    }
    table.write(out, "  ", 4)?;
    more(out, moved.len(), ROWS_SHOWN)
}

fn write_findings(out: &mut String, findings: &[FindingDifference]) -> fmt::Result {
    if findings.is_empty() {
        return writeln!(out, "\nFindings: none on either side");
    }
    writeln!(out, "\nFindings")?;
    for finding in findings {
        let about = about(finding, safe);
        let about = if about.is_empty() { about } else { format!("  {about}") };
        let several = if finding.findings.before.max(finding.findings.after) > 1 {
            format!(" in {} findings", counts(finding.findings))
        } else {
            String::new()
        };
        let (word, severity) = (state(finding), finding.severity.word());
        writeln!(out, "  {word}: {severity} {}  {} events{several}{about}", finding.code, counts(finding.events))?;
        let sources = match finding.presence {
            Presence::Gone => &finding.sources.before,
            _ => &finding.sources.after,
        };
        if !sources.is_empty() {
            writeln!(out, "      from {}", sources.iter().map(|it| safe(it)).collect::<Vec<_>>().join(", "))?;
        }
        if finding.presence == Presence::New {
            writeln!(out, "      {}", safe(&finding.summary))?;
            if !finding.fix.is_empty() {
                writeln!(out, "      → {}", safe(&finding.fix))?;
            }
        }
    }
    Ok(())
}

fn write_evaluations(out: &mut String, difference: &Difference) -> fmt::Result {
    if difference.evaluations.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nEvaluations that summaries count, less the events sent of them")?;
    if difference.evaluations.iter().all(|it| it.unsent.is_empty()) {
        let counted = Pair {
            before: difference.evaluations.iter().map(|it| it.counted.before).sum(),
            after: difference.evaluations.iter().map(|it| it.counted.after).sum(),
        };
        return writeln!(out, "  every one of {} was sent", counts(counted));
    }
    let mut table = Table::default();
    table.row(["flag", "from", "counted", "sent", "sent no event", ""].map(ToOwned::to_owned));
    for it in difference.evaluations.iter().filter(|it| !it.unsent.is_empty()) {
        let rest = Pair {
            before: it.unsent.iter().map(|unsent| unsent.evaluations.before).sum(),
            after: it.unsent.iter().map(|unsent| unsent.evaluations.after).sum(),
        };
        let why = it.unsent.iter().map(|unsent| why(unsent.code, unsent.evaluations, it.sampled));
        table.row([
            safe(&it.flag),
            safe(&it.source),
            counts(it.counted),
            counts(it.sent),
            counts(rest),
            why.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.write(out, "  ", 6)
}

/// Why evaluations sent no event.
pub(super) fn why(code: ReasonCode, evaluations: Pair<u64>, sampled: Pair<bool>) -> String {
    let count = counts(evaluations);
    match code {
        ReasonCode::NoFeatureEvent if sampled.before || sampled.after => format!("{count} sampled"),
        ReasonCode::NoFeatureEvent => format!("{count} not explained"),
        code => format!("{count} {code}"),
    }
}
