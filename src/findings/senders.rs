//! What the senders' own names explain: versions with known faults, and SDKs that cannot send what a metric asks for.

use super::{finished, texts};
use crate::attribution::evidence::Evidence;
use crate::attribution::state::State;
use crate::catalog::{Catalog, MetricKind};
use crate::reason::ReasonCode;
use crate::report::{Confidence, ExperimentReport, Finding};

/// A version by its numbers; what follows them is left out.
type Version = (u32, u32, u32);

/// An SDK by the name it sends, the first version with reasons that say `inExperiment`, and whether it runs where
/// there are pages. LaunchDarkly's documentation has the versions (experimentation prerequisites).
struct Sdk {
    product: &'static str,
    since: Option<Version>,
    has_pages: bool,
}

const fn sdk(product: &'static str, since: Version) -> Sdk {
    Sdk { product, since: Some(since), has_pages: false }
}

/// One whose documentation has no first version.
const fn any(product: &'static str) -> Sdk {
    Sdk { product, since: None, has_pages: false }
}

const SDKS: &[Sdk] = &[
    Sdk { product: JAVASCRIPT, since: Some((2, 6, 0)), has_pages: true },
    sdk("NodeJSClient", (6, 1, 0)),
    sdk("JavaClient", (5, 5, 0)),
    sdk("PythonClient", (7, 2, 0)),
    sdk("GoClient", (5, 4, 0)),
    sdk("DotNetClient", (6, 1, 0)),
    sdk("RubyClient", (6, 2, 0)),
    sdk("PHPClient", (4, 1, 0)),
    sdk("AndroidClient", (3, 1, 0)),
    sdk("ReactNativeClient", (5, 0, 0)),
    any("RustServerClient"),
];

const JAVASCRIPT: &str = "JSClient";
/// Before it, events that look alike are sent once, which skews the split.
const SENDS_EVERY_EVENT: Version = (2, 23, 0);
/// Versions reported to drop click and page-view events (js-client-sdk #275).
const DROPS_PAGES: std::ops::RangeInclusive<Version> = (3, 0, 0)..=(3, 1, 2);

/// A version as SDKs write theirs; anything else may be anybody's.
fn version(text: &str) -> Option<Version> {
    const LONGEST: usize = 24;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    if text.len() > LONGEST || !text.bytes().all(is_part) {
        return None;
    }
    let mut numbers = text.split(['.', '-', '+']).map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()))
}

/// The senders' names, in alphabetical order, with their SDK and version where these are known.
fn senders(state: &State) -> Vec<(&str, Option<&'static Sdk>, Option<Version>)> {
    let named = (0..).map_while(|source| state.source_name(source)).map(|name| {
        let (product, version_text) = name.split_once('/').unwrap_or((name, ""));
        let known = SDKS.iter().find(|sdk| sdk.product == product);
        (&**name, known, known.and_then(|_| version(version_text)))
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|(name, ..)| *name);
    named
}

/// F25, F33, F34.
pub(super) fn by_senders(state: &State, catalog: &Catalog, experiments: &[ExperimentReport]) -> Vec<Finding> {
    let senders = senders(state);
    let mut findings: Vec<Finding> = outdated(state, &senders).collect();
    let cannot = senders.iter().all(|(_, sdk, _)| sdk.is_some_and(|sdk| !sdk.has_pages)) && !senders.is_empty();
    let drops = |(_, sdk, version): &(&str, Option<&Sdk>, Option<Version>)| {
        sdk.is_some_and(|sdk| sdk.product == JAVASCRIPT) && version.is_some_and(|it| DROPS_PAGES.contains(&it))
    };
    let dropping: Vec<&str> = senders.iter().filter(|sender| drops(sender)).map(|(name, ..)| *name).collect();
    let (code, named) = match (cannot, dropping.is_empty()) {
        (true, _) => (ReasonCode::SdkNoGoals, senders.iter().map(|(name, ..)| *name).collect::<Vec<_>>()),
        (false, false) => (ReasonCode::SdkGoalsBug, dropping),
        (false, true) => return findings,
    };
    // Their versions do not matter to what an SDK cannot do at all.
    let mut names: Vec<&str> = match code {
        ReasonCode::SdkNoGoals => senders.iter().filter_map(|(_, sdk, _)| sdk.map(|sdk| sdk.product)).collect(),
        _ => named.clone(),
    };
    names.dedup();
    let names = names.join(", ");
    for report in experiments.iter().filter(|report| report.arms.iter().any(|arm| arm.units > 0)) {
        let experiment = catalog.experiments.iter().find(|experiment| experiment.key == report.key);
        for silent in report.metrics.iter().filter(|metric| metric.received == 0) {
            let metric = catalog.metrics.iter().find(|metric| metric.key == silent.metric);
            let kind = match metric.map(|metric| metric.kind) {
                Some(MetricKind::Click) => "click",
                Some(MetricKind::PageView) => "page-view",
                _ => continue,
            };
            let already = |finding: &Finding| {
                finding.experiment.as_ref() == Some(&report.key) && finding.metric.as_ref() == Some(&silent.metric)
            };
            if findings.iter().any(already) {
                continue;
            }
            let mut slots = vec![("senders", names.clone()), ("kind", kind.to_owned())];
            texts(code, experiment, metric, &mut slots);
            let finding = finished(state, code, experiment, metric, &Evidence::default(), &slots);
            // A browser may be on its way, and the fault of a version is known from a report only.
            let sources = named.iter().map(|name| (*name).to_owned()).collect();
            findings.push(Finding { confidence: Confidence::Likely, sources, ..finding });
        }
    }
    findings
}

fn outdated<'a>(
    state: &'a State,
    senders: &'a [(&'a str, Option<&'static Sdk>, Option<Version>)],
) -> impl Iterator<Item = Finding> + 'a {
    senders.iter().filter_map(|(name, sdk, version)| {
        let (sdk, version) = (*sdk.as_ref()?, (*version)?);
        let since = sdk.since?;
        let (minimum, why) = if version < since {
            (since, "which is the first that says of an evaluation that it is in an experiment")
        } else if sdk.product == JAVASCRIPT && version < SENDS_EVERY_EVENT {
            (SENDS_EVERY_EVENT, "and before that sends events that look alike once, which skews the split")
        } else {
            return None;
        };
        let minimum = format!("{}.{}", minimum.0, minimum.1);
        let slots = [("senders", (*name).to_owned()), ("minimum", minimum), ("why", why.to_owned())];
        let finding = finished(state, ReasonCode::OutdatedSdk, None, None, &Evidence::default(), &slots);
        Some(Finding { sources: vec![(*name).to_owned()], ..finding })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_their_numbers() {
        assert_eq!(version("2.5"), Some((2, 5, 0)));
        assert_eq!(version("3.1.2-beta.1"), Some((3, 1, 2)));
        assert_eq!(version("10.0.0+x"), Some((10, 0, 0)));
        assert_eq!(version(""), None);
        assert_eq!(version("next"), None);
        assert_eq!(version("7.1 (mine)"), None);
    }
}
