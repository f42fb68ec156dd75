//! Words that the report's text forms and `check` share.

use super::{ExperimentReport, Report, SampleRatio};
use crate::reason::{ReasonCode, fill};
use std::collections::BTreeMap;

/// What a verdict means for an iteration, and what to change: in the words of the finding about it where there is one,
/// else in those of the reason table.
pub fn explained(
    report: &Report,
    code: ReasonCode,
    experiment: &ExperimentReport,
    metric: Option<&str>,
) -> (String, String) {
    let finding = report.findings.iter().find(|finding| {
        finding.code == code
            && finding.experiment.as_ref() == Some(&experiment.key)
            && finding.metric.as_deref() == metric
    });
    match finding {
        Some(finding) => (finding.summary.clone(), finding.fix.clone()),
        None => in_general(code, experiment, metric),
    }
}

/// What a verdict means for an iteration, and what to change, in the words of the reason table.
pub fn in_general(code: ReasonCode, experiment: &ExperimentReport, metric: Option<&str>) -> (String, String) {
    // The table speaks of one context by its key; here it is any.
    let unit = experiment.randomization_unit.as_str();
    let article = if unit.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) { ("an", "An") } else { ("a", "A") };
    let any = |template: &str| match template.strip_prefix("{unit} {key}") {
        Some(rest) => format!("{} {{unit}} context{rest}", article.1),
        None => template.replace("{unit} {key}", &format!("{} {{unit}} context", article.0)),
    };
    let slots = [
        ("unit", unit),
        ("key", "this key"),
        ("kinds", "other kinds, or none"),
        ("flag", &experiment.flag),
        ("experiment", &experiment.key),
        ("metric", metric.unwrap_or("of this event")),
        ("units", "other units"),
        ("arm", "an arm"),
        ("environment", "of the experiment"),
    ];
    let reason = code.reason();
    (fill(&any(reason.text), &slots), fill(&any(reason.fix), &slots))
}

/// Counts by code, the most frequent first; zeros left out.
pub fn ranked(counts: &BTreeMap<&'static str, u64>) -> Vec<(ReasonCode, u64)> {
    let mut ranked: Vec<(ReasonCode, u64)> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .filter_map(|(name, count)| Some((ReasonCode::from_name(name)?, *count)))
        .collect();
    ranked.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), code.name()));
    ranked
}

/// The sample ratio in a sentence.
pub fn sample_ratio(ratio: Option<&SampleRatio>) -> String {
    let Some(ratio) = ratio else { return "Sample ratio: the catalog gives no allocation to compare with.".to_owned() };
    let p = ratio.p.map_or_else(String::new, |p| format!(" (p = {p:.3})"));
    match ratio.verdict {
        "ok" => format!("Sample ratio: the arms are filled as allocated{p}."),
        "note" => format!("Sample ratio: the arms may not be filled as allocated{p}; keep an eye on it."),
        "alert" => {
            format!("Sample ratio: the arms are not filled as allocated{p}; read no result before this is explained.")
        }
        "off" => "Sample ratio: not judged for this experiment.".to_owned(),
        _ => "Sample ratio: too few units to tell.".to_owned(),
    }
}
