//! A difference as text, for a terminal or any other place.

use super::difference::{ArmDifference, Difference, ExperimentDifference, Pair, Transition};
use crate::reason::ReasonCode;
use crate::report::fixes;
use crate::report::table::{Table, grouped, safe};
use std::fmt::{self, Write};

/// Transitions shown of each metric; the rest are counted.
const SHOWN: usize = 12;

/// The difference as text.
pub fn text(difference: &Difference) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, difference);
    out
}

/// What changes, in one sentence.
pub fn sentence(difference: &Difference) -> String {
    let events = difference.events;
    let noun = if events.received == 1 { "event" } else { "events" };
    if difference.is_empty() {
        return format!("Nothing changes: {} {noun}, and every verdict is the same.", grouped(events.received));
    }
    let verb = if events.changed == 1 { "is" } else { "are" };
    let counted =
        |verdicts: &std::collections::BTreeMap<&str, u64>| verdicts.get("counted").copied().unwrap_or_default();
    let before_after =
        Pair { before: counted(&difference.verdicts.before), after: counted(&difference.verdicts.after) };
    let count = if before_after.is_changed() {
        format!("{} count.", arrow(before_after))
    } else {
        format!("{} count, as before.", grouped(before_after.before))
    };
    format!("{} of {} {noun} {verb} judged differently; {count}", grouped(events.changed), grouped(events.received))
}

/// `4 → 24`, or `4` where it stays.
pub fn arrow(pair: Pair<u64>) -> String {
    if pair.is_changed() {
        format!("{} → {}", grouped(pair.before), grouped(pair.after))
    } else {
        grouped(pair.before)
    }
}

/// `event-lacks-unit → counted`.
pub fn transition(it: &Transition, arm: impl Fn(i64) -> String) -> String {
    let name = |code: Option<ReasonCode>| code.map_or("no event", ReasonCode::name);
    let mut words = format!("{} → {}", name(it.before), name(it.after));
    if let Some([before, after]) = it.variations {
        let arm = |variation: Option<i64>| variation.map_or_else(|| "no arm".to_owned(), &arm);
        let _ = write!(words, ", in {} instead of {}", arm(after), arm(before));
    }
    if it.another_unit {
        words.push_str(", for another unit");
    }
    words
}

/// The name of an arm.
pub fn arm_name(arms: &[ArmDifference], variation: i64) -> String {
    let named = arms.iter().find(|arm| arm.variation == variation);
    named.map_or_else(|| format!("variation {variation}"), |arm| arm.name.clone())
}

/// What becomes of the units, in words; none where they stay as they are.
pub fn units(experiment: &ExperimentDifference) -> Option<String> {
    let units = &experiment.units;
    if units.gained + units.lost + units.moved == 0 {
        return None;
    }
    let mut parts = Vec::new();
    for (count, words) in [(units.gained, "new"), (units.lost, "gone"), (units.moved, "in another arm")] {
        if count > 0 {
            parts.push(format!("{} {words}", grouped(count)));
        }
    }
    let arm = |variation: Option<i64>| {
        variation.map_or_else(|| "not exposed".to_owned(), |variation| arm_name(&experiment.arms, variation))
    };
    let example = units.examples.first().map_or_else(String::new, |it| {
        format!(" (such as {}: {} → {})", safe(&it.unit), safe(&arm(it.before)), safe(&arm(it.after)))
    });
    Some(format!("{} exposed: {}{example}", arrow(units.exposed), parts.join(", ")))
}

fn write_all(out: &mut String, difference: &Difference) -> fmt::Result {
    if let Some(fixes) = &difference.fixes {
        let mut told = String::new();
        fixes::write_text(&mut told, fixes)?;
        if !told.is_empty() {
            writeln!(out, "{}", told.trim_start())?;
        }
    }
    writeln!(out, "What if")?;
    for change in &difference.changes {
        writeln!(out, "  {}", safe(change))?;
    }
    writeln!(out, "\n{}", sentence(difference))?;
    if difference.is_empty() {
        return Ok(());
    }
    for (events, what) in [
        (difference.events.only_before, "made by the mapping before and no more"),
        (difference.events.only_after, "made by the mapping now and not before"),
    ] {
        if events > 0 {
            let (noun, verb) = if events == 1 { ("event", "is") } else { ("events", "are") };
            writeln!(out, "{} {noun} {verb} {what}.", grouped(events))?;
        }
    }
    let mut table = Table::default();
    for (name, before) in &difference.verdicts.before {
        let pair = Pair { before: *before, after: difference.verdicts.after.get(name).copied().unwrap_or_default() };
        if pair.is_changed() {
            table.row([name.replace('-', " "), arrow(pair)]);
        }
    }
    table.write(out, "  ", 2)?;
    for experiment in difference.experiments.iter().filter(|experiment| experiment.is_changed()) {
        write_experiment(out, experiment)?;
    }
    if !difference.elsewhere.is_empty() {
        writeln!(out, "\nEvents that no experiment is about")?;
        write_transitions(out, &difference.elsewhere, &[])?;
    }
    if !difference.findings.is_empty() {
        writeln!(out, "\nFindings")?;
        let mut table = Table::default();
        for finding in &difference.findings {
            let about: Vec<String> =
                [&finding.experiment, &finding.metric].into_iter().flatten().map(|name| safe(name)).collect();
            let what = match (finding.findings.before, finding.findings.after) {
                (0, _) => "new",
                (_, 0) => "gone",
                _ => "",
            };
            let events = format!("{} events", arrow(finding.events));
            table.row([finding.code.to_string(), about.join(" · "), events, what.to_owned()]);
        }
        table.write(out, "  ", 4)?;
    }
    writeln!(out, "\nThe same events under a change: what would have counted, as exptap reads the published rules.")
}

fn write_experiment(out: &mut String, experiment: &ExperimentDifference) -> fmt::Result {
    let unit = &experiment.randomization_unit;
    let unit = match (&unit.before, &unit.after) {
        (Some(before), Some(after)) if before == after => format!("by {}", safe(before)),
        (Some(before), Some(after)) => format!("by {} → {}", safe(before), safe(after)),
        (None, Some(after)) => format!("by {} · not there before", safe(after)),
        (Some(before), None) => format!("by {} · no longer there", safe(before)),
        (None, None) => String::new(),
    };
    writeln!(out, "\n{} · iteration {} · {unit}", safe(&experiment.key), safe(&experiment.iteration))?;
    let mut table = Table::default();
    // The sum of a metric that is not numeric is the number of its conversions.
    let figures = experiment.arms.iter().flat_map(|arm| &arm.metrics);
    let has_sums = figures.clone().any(|it| {
        [(it.sum.before, it.conversions.before), (it.sum.after, it.conversions.after)]
            .iter()
            .any(|(sum, conversions)| (sum - *conversions as f64).abs() > f64::EPSILON)
    });
    let mut heads = vec!["arm", "metric", "units", "converting", "conversions"];
    heads.extend(has_sums.then_some("sum"));
    table.row(heads.into_iter().map(ToOwned::to_owned));
    for arm in experiment.arms.iter().filter(|arm| arm.is_changed()) {
        if arm.metrics.is_empty() {
            table.row([safe(&arm.name), String::new(), arrow(arm.units)]);
        }
        for (index, metric) in arm.metrics.iter().enumerate() {
            let sum = |sum: f64| if sum.fract() == 0.0 { format!("{sum:.0}") } else { format!("{sum:.2}") };
            let sums = match metric.sum.is_changed() {
                true => format!("{} → {}", sum(metric.sum.before), sum(metric.sum.after)),
                false => sum(metric.sum.before),
            };
            let is_first = index == 0;
            let mut cells = vec![
                if is_first { safe(&arm.name) } else { String::new() },
                safe(&metric.metric),
                if is_first { arrow(arm.units) } else { String::new() },
                arrow(metric.converting_units),
                arrow(metric.conversions),
            ];
            cells.extend(has_sums.then_some(sums));
            table.row(cells);
        }
    }
    if experiment.arms.iter().any(ArmDifference::is_changed) {
        table.write(out, "  ", 2)?;
    }
    if let Some(words) = units(experiment) {
        writeln!(out, "  units: {words}")?;
    }
    if !experiment.exposures.is_empty() {
        writeln!(out, "  evaluations:")?;
        write_transitions(out, &experiment.exposures, &experiment.arms)?;
    }
    for metric in experiment.metrics.iter().filter(|metric| metric.is_changed()) {
        writeln!(
            out,
            "  {}: {} received, {} counted",
            safe(&metric.metric),
            arrow(metric.received),
            arrow(metric.counted)
        )?;
        write_transitions(out, &metric.verdicts, &experiment.arms)?;
    }
    Ok(())
}

fn write_transitions(out: &mut String, transitions: &[Transition], arms: &[ArmDifference]) -> fmt::Result {
    let width = transitions.iter().take(SHOWN).map(|it| grouped(it.events).len()).max().unwrap_or(0);
    for it in transitions.iter().take(SHOWN) {
        let words = safe(&transition(it, |variation| arm_name(arms, variation)));
        writeln!(out, "    {:>width$}  {words}", grouped(it.events))?;
    }
    if transitions.len() > SHOWN {
        writeln!(out, "    … and {} more (--format json has them all)", transitions.len() - SHOWN)?;
    }
    Ok(())
}
