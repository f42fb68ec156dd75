//! Two recordings, held against each other.

use super::difference::{
    ArmDifference, ArmMetricDifference, CodeDifference, Difference, EvaluationsDifference, ExperimentDifference,
    FORMAT_VERSION, FindingDifference, KeyDifference, MetricDifference, Pair, Presence, Recording, Shift, SourceCount,
    SourceDifference, UnsentDifference, VerdictDifference, VersionDifference,
};
use super::side::{BySource, Evaluations, Place, Sent, Side};
use crate::reason::ReasonCode;
use crate::report::{ArmReport, ExperimentReport, Finding, MetricReport};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Shifts told as those that changed most.
const MOST: usize = 10;
/// Less of a thousand is no change: it is what is left of dividing.
const NOTHING: f64 = 1e-6;

/// What is the same on both sides of what they are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Same {
    /// What is measured.
    pub catalog: bool,
    /// What Segment's destination makes of events.
    pub mapping: bool,
}

/// What is different between two recordings.
pub fn difference(sides: Pair<&Side>, Same { catalog, mapping }: Same) -> Difference {
    let experiments = experiments(sides);
    let mut difference = Difference {
        exptap_diff: FORMAT_VERSION,
        clock: sides.after.report.clock,
        same_catalog: catalog,
        same_mapping: mapping,
        changed: false,
        recordings: Pair::of(sides, recording),
        verdicts: verdicts(sides),
        changed_most: changed_most(&experiments),
        experiments,
        sources: sources(sides),
        versions: versions(sides),
        event_keys: event_keys(sides),
        findings: findings(sides),
        evaluations: evaluations(sides),
    };
    difference.changed = is_changed(&difference);
    difference
}

fn recording(side: &Side) -> Recording {
    let totals = &side.report.totals;
    Recording {
        name: side.name.clone(),
        catalog: side.report.catalog,
        requests: totals.requests,
        events: totals.events,
        lost: totals.lost,
        span: side.span_ms,
    }
}

fn per_thousand(count: Pair<u64>, of: Pair<u64>) -> Pair<Option<f64>> {
    let share = |count: u64, of: u64| (of > 0).then(|| count as f64 * 1000.0 / of as f64);
    Pair { before: share(count.before, of.before), after: share(count.after, of.after) }
}

/// Whether shares differ; something of nothing is no share.
fn differs(shares: Pair<Option<f64>>) -> bool {
    (shares.before.unwrap_or(0.0) - shares.after.unwrap_or(0.0)).abs() > NOTHING
}

fn events_of(sides: Pair<&Side>) -> Pair<u64> {
    Pair::of(sides, |side| side.report.totals.events)
}

fn is_changed(difference: &Difference) -> bool {
    let codes = |codes: &[CodeDifference]| codes.iter().any(|code| differs(code.per_thousand));
    let arm = |arm: &ArmDifference| {
        let figures = arm.metrics.iter().any(|metric| differs(metric.rate) || differs(metric.mean));
        differs(arm.per_thousand) || figures
    };
    let experiment = |it: &ExperimentDifference| {
        it.randomization_unit.before != it.randomization_unit.after
            || codes(&it.exposures)
            || it.metrics.iter().any(|metric| codes(&metric.verdicts))
            || it.arms.iter().any(arm)
    };
    difference.verdicts.iter().any(|it| differs(it.per_thousand))
        || difference.experiments.iter().any(experiment)
        || difference.sources.iter().any(|it| differs(it.per_thousand))
        || difference.event_keys.iter().any(|it| differs(it.per_thousand))
        || difference.findings.iter().any(|it| it.presence != Presence::Both || differs(it.per_thousand))
        || difference.evaluations.iter().any(|it| it.unsent.iter().any(|it| differs(it.per_thousand)))
}

fn verdicts(sides: Pair<&Side>) -> Vec<VerdictDifference> {
    let names: BTreeSet<&'static str> =
        both(sides).flat_map(|side| side.report.totals.verdicts.keys().copied()).collect();
    let row = |verdict: &'static str| {
        let events = Pair::of(sides, |side| side.report.totals.verdicts.get(verdict).copied().unwrap_or_default());
        VerdictDifference { verdict, events, per_thousand: per_thousand(events, events_of(sides)) }
    };
    names.into_iter().map(row).collect()
}

fn both<T>(sides: Pair<&T>) -> impl Iterator<Item = &T> {
    [sides.before, sides.after].into_iter()
}

/// The names of both, in the order of the second recording; what only the first has comes behind.
fn joined<K: PartialEq>(before: impl IntoIterator<Item = K>, after: impl IntoIterator<Item = K>) -> Vec<K> {
    let mut all: Vec<K> = after.into_iter().collect();
    for name in before {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn experiments(sides: Pair<&Side>) -> Vec<ExperimentDifference> {
    let names = |side: &Side| -> Vec<(String, String)> {
        side.report.experiments.iter().map(|it| (it.key.clone(), it.iteration.clone())).collect()
    };
    joined(names(sides.before), names(sides.after))
        .into_iter()
        .filter_map(|(key, iteration)| {
            let find = |side: &'_ Side| {
                side.report.experiments.iter().position(|it| it.key == key && it.iteration == iteration)
            };
            let at = Pair::of(sides, find);
            let before = at.before.and_then(|at| sides.before.report.experiments.get(at));
            let after = at.after.and_then(|at| sides.after.report.experiments.get(at));
            experiment(sides, Pair { before, after })
        })
        .collect()
}

fn experiment(sides: Pair<&Side>, reports: Pair<Option<&ExperimentReport>>) -> Option<ExperimentDifference> {
    let known = reports.after.or(reports.before)?;
    let units = reports.map(|it| it.map_or(0, |it| it.arms.iter().map(|arm| arm.units).sum()));
    let place = |metric: Option<&str>| Place {
        experiment: known.key.as_str().into(),
        iteration: known.iteration.as_str().into(),
        metric: metric.map(Into::into),
    };
    let outcomes = reports.map(|it| it.map(|it| it.exposures.clone()).unwrap_or_default());
    let evaluations = Pair { before: outcomes.before.values().sum(), after: outcomes.after.values().sum() };
    Some(ExperimentDifference {
        key: known.key.clone(),
        iteration: known.iteration.clone(),
        flag: known.flag.clone(),
        randomization_unit: reports.map(|it| it.map(|it| it.randomization_unit.clone())),
        complete: reports.map(|it| it.is_some_and(|it| it.complete)),
        units,
        arms: arms(reports, units),
        evaluations,
        exposures: codes(&outcomes, evaluations, |code| exposed_by(sides, &place(None), &known.flag, code)),
        metrics: metrics(sides, reports, place),
    })
}

fn arms(reports: Pair<Option<&ExperimentReport>>, units: Pair<u64>) -> Vec<ArmDifference> {
    let arms = reports.map(|it| it.map(|it| it.arms.as_slice()).unwrap_or_default());
    let mut variations: Vec<i64> = arms.before.iter().chain(arms.after).map(|arm| arm.variation).collect();
    variations.sort_unstable();
    variations.dedup();
    let row = |variation: i64| {
        let arm = arms.map(|arms: &[ArmReport]| arms.iter().find(|arm| arm.variation == variation));
        let known = arm.after.or(arm.before)?;
        let metrics = arm.map(|arm| arm.map(|arm| arm.metrics.as_slice()).unwrap_or_default());
        let names = |side: &'_ [crate::report::ArmMetric]| -> Vec<String> {
            side.iter().map(|metric| metric.metric.clone()).collect()
        };
        let metric = |name: String| {
            let found = metrics.map(|metrics| metrics.iter().find(|metric| metric.metric == name));
            ArmMetricDifference {
                converting_units: found.map(|it| it.map_or(0, |it| it.converting_units)),
                conversions: found.map(|it| it.map_or(0, |it| it.conversions)),
                rate: found.map(|it| it.and_then(|it| it.rate)),
                mean: found.map(|it| it.and_then(|it| it.mean)),
                interval: found.map(|it| it.and_then(|it| it.interval)),
                metric: name,
            }
        };
        let of_arm = arm.map(|arm| arm.map_or(0, |arm| arm.units));
        Some(ArmDifference {
            variation,
            name: known.name.clone(),
            units: of_arm,
            per_thousand: per_thousand(of_arm, units),
            metrics: joined(names(metrics.before), names(metrics.after)).into_iter().map(metric).collect(),
        })
    };
    variations.into_iter().filter_map(row).collect()
}

fn metrics(
    sides: Pair<&Side>,
    reports: Pair<Option<&ExperimentReport>>,
    place: impl Fn(Option<&str>) -> Place,
) -> Vec<MetricDifference> {
    let metrics = reports.map(|it| it.map(|it| it.metrics.as_slice()).unwrap_or_default());
    let names = |side: &[MetricReport]| -> Vec<String> { side.iter().map(|metric| metric.metric.clone()).collect() };
    let row = |name: String| {
        let found = metrics.map(|metrics| metrics.iter().find(|metric| metric.metric == name));
        let received = found.map(|it| it.map_or(0, |it| it.received));
        let verdicts = found.map(|it| it.map(|it| it.verdicts.clone()).unwrap_or_default());
        let place = place(Some(&name));
        MetricDifference {
            received,
            counted: found.map(|it| it.map_or(0, |it| it.counted)),
            verdicts: codes(&verdicts, received, |code| sent_by(sides, &place, code)),
            metric: name,
        }
    };
    joined(names(metrics.before), names(metrics.after)).into_iter().map(row).collect()
}

/// Counts by verdict, those whose shares changed most first.
fn codes(
    counts: &Pair<BTreeMap<&'static str, u64>>,
    of: Pair<u64>,
    sources: impl Fn(ReasonCode) -> Pair<BySource>,
) -> Vec<CodeDifference> {
    let names: BTreeSet<&'static str> = counts.before.keys().chain(counts.after.keys()).copied().collect();
    let row = |name: &'static str| {
        let code = ReasonCode::from_name(name)?;
        let get = |counts: &BTreeMap<&'static str, u64>| counts.get(name).copied().unwrap_or_default();
        let events = Pair { before: get(&counts.before), after: get(&counts.after) };
        (events.before + events.after > 0).then(|| CodeDifference {
            code,
            events,
            per_thousand: per_thousand(events, of),
            presence: events.presence(),
            sources: source_counts(sources(code)),
        })
    };
    let mut rows: Vec<CodeDifference> = names.into_iter().filter_map(row).collect();
    rows.sort_by(|a, b| b.shift().abs().total_cmp(&a.shift().abs()).then_with(|| a.code.name().cmp(b.code.name())));
    rows
}

fn source_counts(counts: Pair<BySource>) -> Vec<SourceCount> {
    let names: BTreeSet<&Arc<str>> = counts.before.keys().chain(counts.after.keys()).collect();
    let get = |counts: &BySource, name: &Arc<str>| counts.get(name).copied().unwrap_or_default();
    let row = |name: &Arc<str>| SourceCount {
        source: name.to_string(),
        events: Pair { before: get(&counts.before, name), after: get(&counts.after, name) },
    };
    let mut rows: Vec<SourceCount> = names.into_iter().map(row).collect();
    rows.sort_by_key(|row| Reverse(row.events.before.max(row.events.after)));
    rows
}

/// Who sent the events of a verdict.
fn sent_by(sides: Pair<&Side>, place: &Place, code: ReasonCode) -> Pair<BySource> {
    Pair::of(sides, |side| side.verdicts.get(place).and_then(|codes| codes.get(&code)).cloned().unwrap_or_default())
}

/// Who evaluated: by events, and by summaries where they tell of evaluations that sent none.
fn exposed_by(sides: Pair<&Side>, place: &Place, flag: &str, code: ReasonCode) -> Pair<BySource> {
    let mut by_source = sent_by(sides, place, code);
    for (side, by_source) in [(sides.before, &mut by_source.before), (sides.after, &mut by_source.after)] {
        let of_flag = side.evaluations.iter().filter(|((of, _), _)| **of == *flag);
        for ((_, source), evaluations) in of_flag {
            if let Some(count) = evaluations.unsent().get(&code) {
                *by_source.entry(Arc::clone(source)).or_default() += count;
            }
        }
    }
    by_source
}

fn changed_most(experiments: &[ExperimentDifference]) -> Vec<Shift> {
    let shift = |it: &ExperimentDifference, metric: Option<&str>, verdict: &CodeDifference| Shift {
        experiment: it.key.clone(),
        iteration: it.iteration.clone(),
        metric: metric.map(ToOwned::to_owned),
        verdict: verdict.clone(),
    };
    let mut shifts: Vec<Shift> = Vec::new();
    for it in experiments {
        shifts.extend(it.exposures.iter().map(|verdict| shift(it, None, verdict)));
        for metric in &it.metrics {
            shifts.extend(metric.verdicts.iter().map(|verdict| shift(it, Some(&metric.metric), verdict)));
        }
    }
    shifts.retain(|shift| differs(shift.verdict.per_thousand));
    shifts.sort_by(|a, b| b.verdict.shift().abs().total_cmp(&a.verdict.shift().abs()));
    shifts.truncate(MOST);
    shifts
}

fn sources(sides: Pair<&Side>) -> Vec<SourceDifference> {
    let names: BTreeSet<&Arc<str>> = both(sides).flat_map(|side| side.sources.keys()).collect();
    let row = |name: &Arc<str>| {
        let sent = Pair::of(sides, |side| side.sources.get(name).copied().unwrap_or_default());
        let events = sent.map(|sent: Sent| sent.events);
        SourceDifference {
            source: name.to_string(),
            requests: sent.map(|sent| sent.requests),
            events,
            per_thousand: per_thousand(events, events_of(sides)),
            presence: events.presence(),
        }
    };
    let mut rows: Vec<SourceDifference> = names.into_iter().map(row).collect();
    rows.sort_by_key(|row| Reverse(row.events.before.max(row.events.after)));
    rows
}

/// The SDK and its version in what a sender calls itself.
fn version(name: &str) -> Option<(&str, &str)> {
    let (sdk, version) = name.split_once('/')?;
    version.starts_with(|character: char| character.is_ascii_digit()).then_some((sdk, version))
}

fn versions(sides: Pair<&Side>) -> Vec<VersionDifference> {
    let versions = |side: &Side| {
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (sdk, version) in side.sources.keys().filter_map(|name| version(name)) {
            versions.entry(sdk.to_owned()).or_default().push(version.to_owned());
        }
        versions
    };
    let (before, mut after) = (versions(sides.before), versions(sides.after));
    let pairs = before.into_iter().filter_map(|(sdk, before)| {
        let after = after.remove(&sdk)?;
        (before != after).then_some(VersionDifference { sdk, versions: Pair { before, after } })
    });
    pairs.collect()
}

fn event_keys(sides: Pair<&Side>) -> Vec<KeyDifference> {
    let names: BTreeSet<&Arc<str>> = both(sides).flat_map(|side| side.event_keys.keys()).collect();
    let unmatched: BTreeSet<&str> =
        both(sides).flat_map(|side| &side.report.unmatched_event_keys).map(|key| key.key.as_str()).collect();
    let row = |name: &Arc<str>| {
        let events = Pair::of(sides, |side| side.event_keys.get(name).copied().unwrap_or_default());
        KeyDifference {
            key: name.to_string(),
            unmatched: unmatched.contains(&**name),
            events,
            per_thousand: per_thousand(events, events_of(sides)),
            presence: events.presence(),
        }
    };
    let mut rows: Vec<KeyDifference> = names.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.presence == Presence::Both, Reverse(row.events.before.max(row.events.after))));
    rows
}

type Subject<'a> = (ReasonCode, Option<&'a str>, Option<&'a str>);

fn findings(sides: Pair<&Side>) -> Vec<FindingDifference> {
    let subjects: BTreeSet<Subject<'_>> =
        both(sides).flat_map(|side| side.report.findings.iter().map(subject)).collect();
    let row = |about: Subject<'_>| {
        let of = |side: &Side| -> Vec<Finding> {
            side.report.findings.iter().filter(|finding| subject(finding) == about).cloned().collect()
        };
        let found = Pair { before: of(sides.before), after: of(sides.after) };
        let told = found.after.first().or(found.before.first())?;
        let counts = |found: &[Finding]| (found.len() as u64, found.iter().map(|finding| finding.events).sum());
        let (before, after): ((u64, u64), (u64, u64)) = (counts(&found.before), counts(&found.after));
        let findings = Pair { before: before.0, after: after.0 };
        let events = Pair { before: before.1, after: after.1 };
        let senders = |found: &[Finding]| -> Vec<String> {
            let names: BTreeSet<&String> = found.iter().flat_map(|finding| &finding.sources).collect();
            names.into_iter().cloned().collect()
        };
        Some(FindingDifference {
            code: about.0,
            severity: told.severity,
            experiment: told.experiment.clone(),
            metric: told.metric.clone(),
            findings,
            events,
            per_thousand: per_thousand(events, events_of(sides)),
            sources: Pair { before: senders(&found.before), after: senders(&found.after) },
            presence: findings.presence(),
            summary: told.summary.clone(),
            fix: told.fix.clone(),
        })
    };
    let mut rows: Vec<FindingDifference> = subjects.into_iter().filter_map(row).collect();
    let order = |presence: Presence| match presence {
        Presence::New => 0,
        Presence::Gone => 1,
        Presence::Both => 2,
    };
    rows.sort_by_key(|row| {
        (order(row.presence), Reverse(row.severity), Reverse(row.events.before.max(row.events.after)))
    });
    rows
}

fn subject(finding: &Finding) -> Subject<'_> {
    (finding.code, finding.experiment.as_deref(), finding.metric.as_deref())
}

fn evaluations(sides: Pair<&Side>) -> Vec<EvaluationsDifference> {
    let names: BTreeSet<&(Arc<str>, Arc<str>)> = both(sides).flat_map(|side| side.evaluations.keys()).collect();
    let row = |name: &(Arc<str>, Arc<str>)| {
        let of = Pair::of(sides, |side| side.evaluations.get(name).cloned().unwrap_or_default());
        let counted = Pair { before: of.before.counted, after: of.after.counted };
        // Without summaries there is nothing to take the events from.
        (counted.before + counted.after > 0).then(|| EvaluationsDifference {
            flag: name.0.to_string(),
            source: name.1.to_string(),
            counted,
            sent: Pair { before: of.before.sent, after: of.after.sent },
            unsent: unsent(&of, counted),
            sampled: Pair::of(sides, |side| side.sampled_flags.iter().any(|flag| **flag == *name.0)),
        })
    };
    let mut rows: Vec<EvaluationsDifference> = names.into_iter().filter_map(row).collect();
    rows.sort_by_key(|row| !row.is_unexplained());
    rows
}

fn unsent(of: &Pair<Evaluations>, counted: Pair<u64>) -> Vec<UnsentDifference> {
    let (before, after) = (of.before.unsent(), of.after.unsent());
    let codes: BTreeSet<ReasonCode> = before.keys().chain(after.keys()).copied().collect();
    let get = |unsent: &BTreeMap<ReasonCode, u64>, code| unsent.get(&code).copied().unwrap_or_default();
    let row = |code| {
        let evaluations = Pair { before: get(&before, code), after: get(&after, code) };
        UnsentDifference { code, evaluations, per_thousand: per_thousand(evaluations, counted) }
    };
    codes.into_iter().map(row).collect()
}
