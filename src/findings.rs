//! Verdicts grouped into explained faults: what happened, how often, from where, and what to change.

mod bucket;
mod doubled;
mod pages;
mod placeholder;
mod senders;
mod sessions;
mod through_segment;

use crate::attribution::evidence::Evidence;
use crate::attribution::segment::is_export_name;
use crate::attribution::state::{State, UnitState};
use crate::attribution::tally::EvidenceKey;
use crate::attribution::units::UnitId;
use crate::catalog::{Catalog, Experiment, Metric, Origin};
use crate::near_miss;
use crate::reason::{ReasonCode, Severity, fill};
use crate::report::{Confidence, ExperimentReport, Finding, UnmatchedKey};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a finding is about: an experiment, a metric, what somebody else said of it.
type Subject = (ReasonCode, Option<usize>, Option<usize>, Option<Arc<str>>);

/// What is gathered before texts are made.
type Cases = BTreeMap<Subject, Evidence>;

/// Findings, those that cost most first: by severity, then by events.
pub fn findings(
    state: &State,
    catalog: &Catalog,
    experiments: &[ExperimentReport],
    unmatched: &[UnmatchedKey],
) -> Vec<Finding> {
    let mut cases = Cases::new();
    decided_by_the_event(state, &mut cases);
    decided_by_exposures(state, &mut cases);
    crossovers(state, &mut cases);
    let mut findings: Vec<Finding> = cases
        .into_iter()
        .filter(|(_, case)| case.events > 0)
        .map(|(subject, case)| finding(state, catalog, subject, &case))
        .collect();
    // What came back of LaunchDarkly's own exports needs no metric.
    let has_loop = findings.iter().any(|finding| finding.code == ReasonCode::SegmentLoop);
    findings.extend(
        unmatched
            .iter()
            .filter(|unmatched| !is_own_traffic(&unmatched.key))
            .filter(|unmatched| !has_loop || !is_export_name(&unmatched.key))
            .map(|unmatched| unmatched_key(state, catalog, unmatched)),
    );
    findings.extend(look_alikes(state, catalog));
    findings.extend(placeholder::placeholder_keys(state));
    findings.extend(sessions::throwaway_keys(state, catalog));
    findings.extend(sessions::login_splits(state, catalog));
    findings.extend(sessions::identify_races(state, catalog));
    findings.extend(bucket::mismatches(state, catalog));
    through_segment::name_the_kind(state, catalog, &mut findings);
    findings.extend(doubled::doubled(state, catalog));
    findings.extend(through_segment::id_mismatches(state, catalog));
    findings.extend(through_segment::meant_for_pages(state, catalog));
    findings.extend(through_segment::delivery_rate(state));
    findings.extend(pages::unmatched(state, catalog, experiments));
    findings.extend(senders::by_senders(state, catalog, experiments));
    findings.extend(experiments.iter().flat_map(|experiment| uneven_arms(catalog, experiment)));
    let silent = silent_metrics(state, catalog, experiments, &findings);
    findings.extend(silent);
    if catalog.origin == Origin::Inferred {
        for finding in &mut findings {
            finding.confidence = finding.confidence.max(Confidence::Likely);
            if finding.code == ReasonCode::MetricNotInExperiment {
                finding.fix = NAME_THE_EXPERIMENTS.to_owned();
            }
        }
    }
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then(b.events.cmp(&a.events)).then_with(|| {
            (a.code.name(), &a.experiment, &a.metric, &a.summary).cmp(&(
                b.code.name(),
                &b.experiment,
                &b.metric,
                &b.summary,
            ))
        })
    });
    findings
}

/// What to do about a metric in no experiment where the catalog is inferred: nobody has said what the experiments are,
/// so that there is none to attach it to.
pub const NAME_THE_EXPERIMENTS: &str =
    "Name the experiments and their metrics with --catalog: the traffic does not say which measures what.";

/// LaunchDarkly's own events, which no metric of a user's is meant to match.
pub fn is_own_traffic(event_key: &str) -> bool {
    event_key.starts_with("$ld:")
}

fn decided_by_the_event(state: &State, cases: &mut Cases) {
    let judge = state.judge();
    let experiment_of = |iteration: u32| judge.iterations().get(iteration as usize).map(|judged| judged.experiment);
    for (key, evidence) in state.evidence() {
        let subject = match key {
            // Beside the rows of the unit, those of the other contexts are as they should be.
            EvidenceKey::Slot(ReasonCode::OtherContextKind, slot)
                if state.slot_counts(*slot).is_some_and(|counts| counts.iter().next().is_some()) =>
            {
                continue;
            }
            EvidenceKey::Iteration(ReasonCode::OtherContextKind, iteration) if is_evaluated(state, *iteration) => {
                continue;
            }
            EvidenceKey::Slot(code, slot) => {
                let Some(slot) = judge.slots().get(*slot as usize) else { continue };
                (*code, experiment_of(slot.iteration), Some(slot.metric as usize), None)
            }
            // Sampling explains evaluations without an event well enough (R7).
            EvidenceKey::Iteration(ReasonCode::NoFeatureEvent, iteration) if state.is_sampled(*iteration) => continue,
            EvidenceKey::Iteration(code, iteration) => (*code, experiment_of(*iteration), None, None),
            EvidenceKey::PlainSummary(code, iteration) => {
                if state.iteration_counts(*iteration).is_none_or(|counts| counts.plain_features > 0) {
                    continue;
                }
                (*code, experiment_of(*iteration), None, None)
            }
            EvidenceKey::Metric(metric) => (ReasonCode::MetricNotInExperiment, None, Some(*metric as usize), None),
            EvidenceKey::Segment(code, words, metric) => {
                (*code, None, metric.map(|metric| metric as usize), Some(Arc::clone(words)))
            }
            // What these come to is asked of all of them together.
            EvidenceKey::SegmentSent
            | EvidenceKey::SegmentLost(_)
            | EvidenceKey::SegmentPlaceholder(..)
            | EvidenceKey::SegmentPage(_) => continue,
            EvidenceKey::Code(code) => (*code, None, None, None),
        };
        cases.entry(subject).or_default().merge(evidence, |unit| unit, |source| source, 0);
    }
    // What would fail next, once the first rule that fails is mended (O1c).
    for entry in state.conversions().filter(|entry| !entry.failures.is_empty() && !entry.elsewhere) {
        let (Some(first), Some(slot)) = (entry.failures.first(), judge.slots().get(entry.slot as usize)) else {
            continue;
        };
        let Some(case) = cases.get_mut(&(first, experiment_of(slot.iteration), Some(slot.metric as usize), None))
        else {
            continue;
        };
        case.then.extend(state.next_failures(entry).iter());
    }
}

/// Whether an evaluation was judged for an iteration.
fn is_evaluated(state: &State, iteration: u32) -> bool {
    state.iteration_counts(iteration).is_some_and(|counts| counts.evaluations.iter().next().is_some())
        || state.states().any(|unit| unit.iteration == iteration && !unit.points.is_empty())
}

/// Conversions whose verdict rests on what exposures were seen.
fn decided_by_exposures(state: &State, cases: &mut Cases) {
    for entry in state.conversions().filter(|entry| entry.failures.is_empty()) {
        if !matches!(
            entry.code,
            ReasonCode::UnitNotAllocated
                | ReasonCode::NoExposure
                | ReasonCode::ConversionBeforeExposure
                | ReasonCode::AttributionWindowExpired
                | ReasonCode::UnknownNotObserved
        ) {
            continue;
        }
        let Some(slot) = state.judge().slots().get(entry.slot as usize) else { continue };
        let experiment = state.judge().iterations().get(slot.iteration as usize).map(|judged| judged.experiment);
        let mut add = |code: ReasonCode| {
            let case = cases.entry((code, experiment, Some(slot.metric as usize), None)).or_default();
            case.events += 1;
            case.see(Some(entry.t_ms));
            case.source(entry.source);
            case.example(state.event_of(entry));
            case.units.extend(state.state(entry.state).map(|state| state.unit));
        };
        add(entry.code);
        if state.is_left_behind(entry) {
            add(ReasonCode::IterationRestarted);
        }
    }
}

fn crossovers(state: &State, cases: &mut Cases) {
    for unit in state.states() {
        let Some(own_arm) = unit.own_arm() else { continue };
        let others: u64 = unit
            .per_variation
            .iter()
            .filter(|(variation, _)| *variation != own_arm)
            .map(|(_, count)| u64::from(*count))
            .sum();
        if others == 0 {
            continue;
        }
        let experiment = state.judge().iterations().get(unit.iteration as usize).map(|judged| judged.experiment);
        let case = cases.entry((ReasonCode::CrossoverExposure, experiment, None, None)).or_default();
        case.events += others;
        case.units.insert(unit.unit);
        for point in unit.points.iter().filter(|point| point.variation != own_arm) {
            case.see(Some(point.t_ms));
        }
    }
}

fn source_names(state: &State, evidence: &Evidence) -> Vec<String> {
    let mut names: Vec<String> =
        evidence.sources.iter().filter_map(|source| state.source_name(*source)).map(|name| name.to_string()).collect();
    names.sort();
    names
}

fn confidence(code: ReasonCode, evidence: &Evidence) -> Confidence {
    match code {
        ReasonCode::NoFeatureEvent
        | ReasonCode::UnknownNotObserved
        | ReasonCode::NoMetricForKey
        | ReasonCode::OtherContextKind => Confidence::Ask,
        _ if evidence.only_likely => Confidence::Likely,
        _ => Confidence::Decided,
    }
}

/// "d-9", or "contexts (12 of them, d-9 among them)": the subject of a sentence that begins with the unit's kind.
fn units_in_words(state: &State, evidence: &Evidence) -> Option<String> {
    let first = evidence.units.iter().filter_map(|unit| state.units().name(unit)).min()?;
    Some(match evidence.units.len() {
        1 => first.1.to_owned(),
        count => format!("contexts ({count} of them, such as {})", first.1),
    })
}

/// "user", "device and user", or "no context key at all".
fn kinds_in_words(evidence: &Evidence) -> String {
    let kinds: Vec<&str> = evidence.kinds.iter().map(|kind| &**kind).collect();
    match kinds.split_last() {
        None => "no context key at all".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

fn finding(state: &State, catalog: &Catalog, (code, experiment, metric, words): Subject, case: &Evidence) -> Finding {
    let experiment = experiment.and_then(|index| catalog.experiments.get(index));
    let metric = metric.and_then(|index| catalog.metrics.get(index));
    let mut slots = Vec::new();
    slots.extend(units_in_words(state, case).map(|words| ("key", words)));
    slots.push(("kinds", kinds_in_words(case)));
    slots.push(("count", case.events.to_string()));
    slots.push((
        "detail",
        words.map_or_else(|| "see the raw bytes of these events".to_owned(), |words| words.to_string()),
    ));
    slots.push(("environment", catalog.environment.key.clone().unwrap_or_else(|| "of the experiment".to_owned())));
    texts(code, experiment, metric, &mut slots);
    let mut finding = finished(state, code, experiment, metric, case, &slots);
    match (code, experiment.and_then(|experiment| experiment.holdout.as_ref())) {
        // A holdout is made of a prerequisite (F66).
        (ReasonCode::PrerequisiteFailed, Some(holdout)) => {
            finding.summary += &format!(" Possibly these are held out by {holdout}.");
        }
        (ReasonCode::HttpRejected, _) => {
            if let Some(said) = case.kinds.first() {
                let others = if case.kinds.len() > 1 { ", or something else" } else { "" };
                finding.summary += &format!(" It said: {said}{others}");
            }
        }
        (ReasonCode::EvalError, _) if !case.kinds.is_empty() => {
            finding.summary += &format!(" The error is {}.", kinds_in_words(case));
        }
        _ => {}
    }
    finding
}

/// The texts every finding about an experiment or a metric can use.
fn texts(
    code: ReasonCode,
    experiment: Option<&Experiment>,
    metric: Option<&Metric>,
    slots: &mut Vec<(&'static str, String)>,
) {
    if let Some(experiment) = experiment {
        slots.push(("experiment", experiment.key.clone()));
        slots.push(("flag", experiment.flag.clone()));
        slots.extend(experiment.iterations.last().map(|iteration| ("unit", iteration.randomization_unit.clone())));
    }
    if let Some(metric) = metric {
        slots.push(("metric", metric.key.clone()));
        slots.push(("units", metric.units.join(", ")));
        slots.extend(metric.event_key.clone().map(|key| ("event", key)));
    }
    if code == ReasonCode::CrossoverExposure {
        slots.push(("arm", "several arms".to_owned()));
    }
}

fn finished(
    state: &State,
    code: ReasonCode,
    experiment: Option<&Experiment>,
    metric: Option<&Metric>,
    evidence: &Evidence,
    slots: &[(&'static str, String)],
) -> Finding {
    let reason = code.reason();
    let slots: Vec<(&str, &str)> = slots.iter().map(|(name, text)| (*name, text.as_str())).collect();
    Finding {
        code,
        severity: reason.severity,
        confidence: confidence(code, evidence),
        experiment: experiment.map(|experiment| experiment.key.clone()),
        metric: metric.map(|metric| metric.key.clone()),
        events: evidence.events,
        units: evidence.units.len() as u64,
        first: evidence.first_ms,
        last: evidence.last_ms,
        sources: source_names(state, evidence),
        summary: fill(reason.text, &slots),
        fix: fill(reason.fix, &slots),
        then: evidence.then.iter().collect(),
        examples: evidence.examples.to_vec(),
    }
}

fn unmatched_key(state: &State, catalog: &Catalog, unmatched: &UnmatchedKey) -> Finding {
    let none = Evidence::default();
    let evidence = state.unmatched_key(&unmatched.key).unwrap_or(&none);
    let mut slots = vec![("event", format!("“{}”", unmatched.key))];
    let Some(near) = &unmatched.nearest else {
        return finished(state, ReasonCode::NoMetricForKey, None, None, evidence, &slots);
    };
    let metric = catalog.metrics.iter().find(|metric| metric.key == near.metric);
    slots.push(("near", format!("“{}”", near.event_key)));
    slots.push(("metric", near.metric.clone()));
    slots.push((
        "how",
        match near.how {
            "case" => "upper and lower case",
            "space" => "white space",
            "separator" => "separators",
            "edit-distance" => "a letter or two",
            other => other,
        }
        .to_owned(),
    ));
    let code = if near.how == "metric-key" { ReasonCode::MetricKeyUsed } else { ReasonCode::EventKeyCase };
    finished(state, code, None, metric, evidence, &slots)
}

/// What keys that look alike have in common. Most keys are that already, and are not copied.
fn folded(key: &str) -> Cow<'_, str> {
    let key = key.trim();
    if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(key.to_lowercase())
    }
}

/// Whether folding changes a key.
fn is_folded(key: &str) -> bool {
    // Most keys have nothing in them that it could change, and are not looked at closer.
    !key.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()) && folded(key) != key
}

/// F4: a unit converts and was never exposed, while one whose key differs only by case or white space was.
fn look_alikes(state: &State, catalog: &Catalog) -> Vec<Finding> {
    let key = |unit: &UnitState| state.units().name(unit.unit).map(|(_, key)| key);
    // Two keys that differ fold to the same only if folding changes one of them. Most keys it leaves as they are, so
    // that of most units nothing is looked up.
    let (mut exposed_change, mut unexposed_change) = (false, false);
    for unit in state.states() {
        let change = if unit.points.is_empty() { &mut unexposed_change } else { &mut exposed_change };
        *change = *change || key(unit).is_some_and(is_folded);
    }
    if !exposed_change && !unexposed_change {
        return Vec::new();
    }
    // Of all the exposed units, which are most, only those that a key without exposure folds to are worth keeping.
    let unexposed = || state.states().filter(|unit| unit.points.is_empty());
    let mut exposed: HashMap<(u32, Cow<'_, str>), Option<UnitId>, RandomState> = unexposed()
        .filter_map(|unit| {
            let key = key(unit).filter(|key| exposed_change || is_folded(key))?;
            Some(((unit.iteration, folded(key)), None))
        })
        .collect();
    if exposed.is_empty() {
        return Vec::new();
    }
    for unit in state.states().filter(|unit| !unit.points.is_empty()) {
        if let Some(key) = key(unit)
            && let Some(near) = exposed.get_mut(&(unit.iteration, folded(key)))
        {
            *near = Some(unit.unit);
        }
    }
    let mut alike: Vec<_> = unexposed()
        .filter_map(|unit| {
            let own = key(unit)?;
            let near = exposed.get(&(unit.iteration, folded(own))).copied().flatten()?;
            let near = state.units().name(near)?;
            Some((unit, own, near, near_miss::units_differ_by(own, near.1)?))
        })
        .collect();
    alike.sort_by_key(|(unit, ..)| (unit.iteration, state.units().name(unit.unit)));
    let mut findings = Vec::new();
    for (unit, key, near, how) in alike {
        let mut evidence = Evidence { events: state.conversions_of(unit).count() as u64, ..Evidence::default() };
        evidence.units.insert(unit.unit);
        for (event, entry) in state.conversions_of(unit) {
            evidence.see(Some(entry.t_ms));
            evidence.source(entry.source);
            evidence.example(event);
        }
        let experiment = state
            .judge()
            .iterations()
            .get(unit.iteration as usize)
            .and_then(|judged| catalog.experiments.get(judged.experiment));
        let mut slots = vec![("key", key.to_owned()), ("near", near.1.to_owned()), ("how", how.to_owned())];
        texts(ReasonCode::KeyNearMiss, experiment, None, &mut slots);
        findings.push(finished(state, ReasonCode::KeyNearMiss, experiment, None, &evidence, &slots));
        if findings.len() == 20 {
            break;
        }
    }
    findings
}

/// F52: the arms are not filled as allocated.
fn uneven_arms(catalog: &Catalog, report: &ExperimentReport) -> Option<Finding> {
    let ratio = report.sample_ratio.as_ref()?;
    let severity = match ratio.verdict {
        "alert" => Severity::Error,
        "note" => Severity::Warning,
        _ => return None,
    };
    let experiment = catalog.experiments.iter().find(|experiment| experiment.key == report.key)?;
    let iteration = experiment.iterations.iter().find(|iteration| iteration.id == report.iteration)?;
    let units: u64 = report.arms.iter().map(|arm| arm.units).sum();
    let allocation: f64 = iteration.arms.iter().flatten().map(|arm| arm.allocation).sum();
    let list = |values: Vec<String>| values.join(" : ");
    let observed = list(report.arms.iter().map(|arm| arm.units.to_string()).collect());
    let expected = list(
        iteration
            .arms
            .iter()
            .flatten()
            .map(|arm| format!("{:.0}", units as f64 * arm.allocation / allocation))
            .collect(),
    );
    let reason = ReasonCode::SampleRatioMismatch.reason();
    let slots = [("experiment", report.key.as_str()), ("observed", observed.as_str()), ("expected", expected.as_str())];
    Some(Finding {
        code: ReasonCode::SampleRatioMismatch,
        severity,
        confidence: Confidence::Likely,
        experiment: Some(report.key.clone()),
        metric: None,
        events: 0,
        units,
        first: None,
        last: None,
        sources: Vec::new(),
        summary: fill(reason.text, &slots),
        fix: fill(reason.fix, &slots),
        then: Vec::new(),
        examples: Vec::new(),
    })
}

/// F67: a metric of an iteration that has exposures, for which nothing arrived while other events did.
fn silent_metrics(
    state: &State,
    catalog: &Catalog,
    experiments: &[ExperimentReport],
    found: &[Finding],
) -> Vec<Finding> {
    let any_custom = state.totals().by_kind.get("custom").is_some_and(|count| *count > 0);
    let mut findings: Vec<Finding> = Vec::new();
    for report in experiments.iter().filter(|report| any_custom && report.arms.iter().any(|arm| arm.units > 0)) {
        for silent in report.metrics.iter().filter(|metric| metric.received == 0) {
            let Some(metric) = catalog.metrics.iter().find(|metric| metric.key == silent.metric) else { continue };
            let experiment = catalog.experiments.iter().find(|experiment| experiment.key == report.key);
            let already = |finding: &Finding| {
                finding.experiment.as_ref() == Some(&report.key) && finding.metric.as_ref() == Some(&metric.key)
            };
            // Something did arrive, in rows of another context.
            let of_other_contexts =
                |finding: &Finding| finding.code == ReasonCode::OtherContextKind && already(finding);
            if metric.event_key.is_none() || findings.iter().any(already) || found.iter().any(of_other_contexts) {
                continue;
            }
            let mut slots = Vec::new();
            texts(ReasonCode::NoMetricEvents, experiment, Some(metric), &mut slots);
            findings.push(finished(
                state,
                ReasonCode::NoMetricEvents,
                experiment,
                Some(metric),
                &Evidence::default(),
                &slots,
            ));
        }
    }
    findings
}
