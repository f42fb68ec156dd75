//! Fields of the report by the names expectations use, at each of the four things they can be of.

use super::CheckError;
use super::Name;
use super::parse::did_you_mean;
use crate::near_miss::nearest;
use crate::reason::{REASONS, ReasonCode, Role};
use crate::report::{ArmMetric, ArmReport, ExperimentReport, MetricReport, SampleRatio, Totals};

/// A figure of a report.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    /// Counted: exact.
    Count(u64),
    /// Measured: compared to one part in 10⁹, as the report's sums agree.
    Measure(f64),
    /// There is none, and why.
    Null(String),
}

impl Figure {
    fn measure(value: Option<f64>, why_not: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::Null(why_not()), Self::Measure)
    }
}

/// What a field can be of, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Totals,
    Experiment,
    Metric,
    Arm,
}

impl Level {
    const ALL: [Self; 4] = [Self::Totals, Self::Experiment, Self::Metric, Self::Arm];

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Totals => &["requests", "events", "undecodable", "duplicate_payloads", "lost", "by_kind"],
            Self::Experiment => &["units", "crossover_units", "sample_ratio"],
            Self::Metric => &["received", "counted", "converting_units", "cross_arm_units", "conversions", "sum"],
            Self::Arm => &[
                "units",
                "crossover_units",
                "converting_units",
                "cross_arm_units",
                "conversions",
                "sum",
                "mean",
                "rate",
                "percentile",
            ],
        }
    }

    fn has_code(self, code: ReasonCode) -> bool {
        match self {
            Self::Experiment => is_of_evaluations(code),
            Self::Metric => is_of_conversions(code),
            Self::Totals | Self::Arm => false,
        }
    }

    fn written(self) -> &'static str {
        match self {
            Self::Totals => "totals",
            Self::Experiment => "EXPERIMENT",
            Self::Metric => "EXPERIMENT/METRIC",
            Self::Arm => "EXPERIMENT/METRIC/ARM",
        }
    }
}

fn has_rule_of(code: ReasonCode, section: char) -> bool {
    code.reason().rule.split([' ', '-']).any(|rule| rule.starts_with(section))
}

/// Codes an evaluation can have: those of the rules E. A condition on any other would hold, or fail, for ever.
fn is_of_evaluations(code: ReasonCode) -> bool {
    matches!(code.reason().role, Role::Verdict(_)) && has_rule_of(code, 'E')
}

/// Codes a conversion can have: those of the rules A and O.
fn is_of_conversions(code: ReasonCode) -> bool {
    matches!(code.reason().role, Role::Verdict(_)) && (has_rule_of(code, 'A') || has_rule_of(code, 'O'))
}

/// Why there is no such field here, and where there is, if anywhere.
fn unknown(level: Level, field: &Name, totals: Option<&Totals>) -> CheckError {
    let verdicts = totals.map(|totals| totals.verdicts.keys().copied()).into_iter().flatten();
    let codes = REASONS.iter().filter(|reason| level.has_code(reason.code)).map(|reason| reason.name);
    let known: Vec<&str> = level.fields().iter().copied().chain(verdicts).collect();
    let elsewhere = Level::ALL.into_iter().find(|other| {
        other.fields().contains(&field.text.as_str())
            || ReasonCode::from_name(&field.text).is_some_and(|code| other.has_code(code))
    });
    let listed = known.join(", ");
    let or_code = if matches!(level, Level::Experiment | Level::Metric) { ", or a reason code" } else { "" };
    let advice = match (elsewhere, nearest(&field.text, known.iter().copied().chain(codes))) {
        (Some(other), _) => format!("; {} is a field of {}", field.text, other.written()),
        (None, Some(near)) => did_you_mean(near),
        (None, None) if ReasonCode::from_name(&field.text).is_some() => {
            format!("; to ask of findings: finding code {}", field.text)
        }
        (None, None) => String::new(),
    };
    let message = format!("{} has no field {:?}; expected {listed}{or_code}{advice}", level.written(), field.text);
    CheckError { column: field.column, message }
}

/// Only two fields have fields of their own.
fn no_part(field: &Name, part: Option<&Name>) -> Result<(), CheckError> {
    match part {
        None => Ok(()),
        Some(part) => Err(CheckError {
            column: part.column,
            message: format!("{} has no field {:?} of its own; expected one of = != < <= > >=", field.text, part.text),
        }),
    }
}

pub(super) fn of_totals(totals: &Totals, field: &Name, part: Option<&Name>) -> Result<Figure, CheckError> {
    if field.text == "by_kind" {
        // A kind that did not come is none, and not a mistake: that is what a check is for.
        let Some(kind) = part else {
            let known = totals.by_kind.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("by_kind needs a kind of event after it, such as custom; seen: {known}");
            return Err(CheckError { column: field.column, message });
        };
        return Ok(Figure::Count(totals.by_kind.get(&kind.text).copied().unwrap_or_default()));
    }
    let figure = match field.text.as_str() {
        "requests" => totals.requests,
        "events" => totals.events,
        "undecodable" => totals.undecodable,
        "duplicate_payloads" => totals.duplicate_payloads,
        "lost" => totals.lost,
        category => match totals.verdicts.get(category) {
            Some(count) => *count,
            None => return Err(unknown(Level::Totals, field, Some(totals))),
        },
    };
    no_part(field, part)?;
    Ok(Figure::Count(figure))
}

pub(super) fn of_experiment(
    experiment: &ExperimentReport,
    field: &Name,
    part: Option<&Name>,
) -> Result<Figure, CheckError> {
    if field.text == "sample_ratio" {
        return sample_ratio(experiment.sample_ratio.as_ref(), field, part);
    }
    let figure = match field.text.as_str() {
        "units" => experiment.arms.iter().map(|arm| arm.units).sum(),
        "crossover_units" => experiment.arms.iter().map(|arm| arm.crossover_units).sum(),
        code if ReasonCode::from_name(code).is_some_and(is_of_evaluations) => {
            experiment.exposures.get(code).copied().unwrap_or_default()
        }
        _ => return Err(unknown(Level::Experiment, field, None)),
    };
    no_part(field, part)?;
    Ok(Figure::Count(figure))
}

fn sample_ratio(ratio: Option<&SampleRatio>, field: &Name, part: Option<&Name>) -> Result<Figure, CheckError> {
    const PARTS: [&str; 3] = ["p", "chi_square", "bayes_factor"];
    let expected = "expected p, chi_square or bayes_factor after sample_ratio";
    let Some(part) = part else { return Err(CheckError { column: field.column, message: expected.to_owned() }) };
    if !PARTS.contains(&part.text.as_str()) {
        let near = nearest(&part.text, PARTS).map(did_you_mean).unwrap_or_default();
        let message = format!("found {:?}; {expected}{near}", part.text);
        return Err(CheckError { column: part.column, message });
    }
    let Some(ratio) = ratio else {
        return Ok(Figure::Null("the catalog names no arms with an allocation to compare with".to_owned()));
    };
    let value = match part.text.as_str() {
        "p" => ratio.p,
        "chi_square" => ratio.chi_square,
        _ => ratio.bayes_factor,
    };
    Ok(Figure::measure(value, || match ratio.verdict {
        "off" => "the sample ratio is off for this experiment".to_owned(),
        _ => "there are too few units for a sample ratio".to_owned(),
    }))
}

pub(super) fn of_metric(
    experiment: &ExperimentReport,
    metric: &MetricReport,
    field: &Name,
    part: Option<&Name>,
) -> Result<Figure, CheckError> {
    let arms = || experiment.arms.iter().flat_map(|arm| arm.metrics.iter().filter(|have| have.metric == metric.metric));
    let figure = match field.text.as_str() {
        "received" => Figure::Count(metric.received),
        "counted" => Figure::Count(metric.counted),
        "converting_units" => Figure::Count(arms().map(|arm| arm.converting_units).sum()),
        "cross_arm_units" => Figure::Count(arms().map(|arm| arm.cross_arm_units).sum()),
        "conversions" => Figure::Count(arms().map(|arm| arm.conversions).sum()),
        // The sum of nothing is -0.0, which would be printed as such.
        "sum" => Figure::Measure(arms().map(|arm| arm.sum).sum::<f64>() + 0.0),
        code if ReasonCode::from_name(code).is_some_and(is_of_conversions) => {
            Figure::Count(metric.verdicts.get(code).copied().unwrap_or_default())
        }
        _ => return Err(unknown(Level::Metric, field, None)),
    };
    no_part(field, part)?;
    Ok(figure)
}

pub(super) fn of_arm(
    experiment: &ExperimentReport,
    arm: &ArmReport,
    metric: &ArmMetric,
    field: &Name,
    part: Option<&Name>,
) -> Result<Figure, CheckError> {
    let why_not = |other: &str, is_other: bool| {
        if is_other {
            format!("this metric has a {other} instead")
        } else if !experiment.complete {
            "the history of this iteration is not complete (partly unobserved, sampled or lost), so that a figure over units would mislead".to_owned()
        } else if arm.units == 0 {
            format!("no unit is in {}", arm.name)
        } else {
            "there is nothing to compute it from".to_owned()
        }
    };
    let figure = match field.text.as_str() {
        "units" => Figure::Count(arm.units),
        "crossover_units" => Figure::Count(arm.crossover_units),
        "converting_units" => Figure::Count(metric.converting_units),
        "cross_arm_units" => Figure::Count(metric.cross_arm_units),
        "conversions" => Figure::Count(metric.conversions),
        "sum" => Figure::Measure(metric.sum),
        "mean" => Figure::measure(metric.mean, || match metric.percentile {
            Some(_) => why_not("percentile", true),
            None => why_not("rate", metric.rate.is_some()),
        }),
        "rate" => Figure::measure(metric.rate, || match metric.percentile {
            Some(_) => why_not("percentile", true),
            None => why_not("mean", metric.mean.is_some()),
        }),
        "percentile" => Figure::measure(metric.percentile, || {
            if metric.rate.is_some() || metric.mean.is_some() {
                "this is no percentile metric".to_owned()
            } else {
                "this is no percentile metric, or nothing was credited".to_owned()
            }
        }),
        _ => return Err(unknown(Level::Arm, field, None)),
    };
    no_part(field, part)?;
    Ok(figure)
}
