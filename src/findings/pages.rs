//! F31: a page that was visited, of which a click or page-view metric gets nothing because no matcher matches it.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::state::State;
use crate::attribution::url_near::differs_by;
use crate::attribution::visited::Visited;
use crate::catalog::{Catalog, MetricKind, UrlMatcher};
use crate::reason::ReasonCode;
use crate::report::{Confidence, ExperimentReport, Finding};

/// Which matcher which page fails, and by what.
type Miss<'a> = (Vec<&'static str>, &'a Visited, &'a UrlMatcher);

/// A metric that gets nothing, of pages that are nearly its own.
pub(super) fn unmatched(state: &State, catalog: &Catalog, experiments: &[ExperimentReport]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for report in experiments {
        let experiment = catalog.experiments.iter().find(|experiment| experiment.key == report.key);
        for silent in report.metrics.iter().filter(|metric| metric.received == 0) {
            let Some(metric) = catalog.metrics.iter().find(|metric| metric.key == silent.metric) else { continue };
            let already = |finding: &Finding| {
                finding.experiment.as_ref() == Some(&report.key) && finding.metric.as_ref() == Some(&metric.key)
            };
            if metric.kind == MetricKind::Custom || findings.iter().any(already) {
                continue;
            }
            let Some((differences, page, matcher)) = nearest(state, &metric.urls) else { continue };
            let (kind, pattern) = match matcher {
                UrlMatcher::Exact(url) => ("exact", url),
                UrlMatcher::Canonical(url) => ("simple match", url),
                UrlMatcher::Substring(part) => ("substring", part),
                UrlMatcher::Regex(pattern) => ("regex", pattern),
            };
            let mut evidence = Evidence::default();
            evidence.see(Some(page.first_ms));
            evidence.see(Some(page.last_ms));
            let mut slots = vec![
                ("near", page.href.to_string()),
                ("kind", kind.to_owned()),
                ("detail", format!("“{pattern}”")),
                ("how", differences.join(" and ")),
            ];
            texts(ReasonCode::UrlNoMatch, experiment, Some(metric), &mut slots);
            let finding = finished(state, ReasonCode::UrlNoMatch, experiment, Some(metric), &evidence, &slots);
            findings.push(Finding { confidence: Confidence::Likely, ..finding });
        }
    }
    findings
}

/// The page that comes nearest, unless one matches: then the metric gets nothing for another reason.
fn nearest<'a>(state: &'a State, urls: &'a [UrlMatcher]) -> Option<Miss<'a>> {
    let matches = |page: &&Visited| {
        urls.iter().any(|matcher| crate::attribution::url::matches(matcher, &page.href).unwrap_or(true))
    };
    if state.visited().any(|page| matches(&page)) {
        return None;
    }
    let misses = state.visited().flat_map(|page| {
        urls.iter().filter_map(move |matcher| Some((differs_by(matcher, &page.href)?, page, matcher)))
    });
    misses.min_by(|a, b| (a.0.len(), &a.1.href).cmp(&(b.0.len(), &b.1.href)))
}
