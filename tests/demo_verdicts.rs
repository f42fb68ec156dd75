//! The demo's traffic judged by the core: the shop is mostly healthy, and every fault it makes is found under its
//! own code, with the application that makes it as the source.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::demo::Shop;
use exptap::envelope::{Credential, Envelope};
use exptap::intake;
use exptap::report::{Finding, Report};
use std::collections::BTreeSet;
use std::sync::Arc;

const START_MS: i64 = 1_795_248_000_000;
const SEED: u64 = 1;

/// The report of a session that watched the shop for this long from its first request on.
fn report_after(seconds: i64) -> Report {
    let mut shop = Shop::new(SEED, START_MS);
    let catalog = shop.catalog();
    let options = Options { observed_from_ms: Some(shop.opened_at_ms()), ..Options::default() };
    let mut state = State::new(Arc::new(Judge::new(&catalog)), options);
    let mut received = 0;
    for now_ms in (START_MS..=START_MS + seconds * 1_000).step_by(50) {
        for request in shop.tick(now_ms) {
            received += 1;
            let (secret, headers): (Vec<_>, Vec<_>) =
                request.headers.iter().partition(|(name, _)| *name == "Authorization");
            let envelope = Envelope {
                arrival_ms: now_ms,
                request: received,
                method: request.method.to_string(),
                path: request.path.clone(),
                headers: headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
                credential: secret.first().map(|(_, value)| Credential::mask(value)),
                wire_bytes: request.body.len() as u64,
                body: request.body.clone(),
                ..Envelope::default()
            };
            intake::envelope(&mut state, &catalog.environment, &envelope, |_, _| {});
        }
    }
    exptap::report::build::report(&state, &catalog)
}

fn finding<'a>(report: &'a Report, code: &str, experiment: Option<&str>, metric: Option<&str>) -> &'a Finding {
    let about = |finding: &&Finding| {
        finding.code.name() == code
            && finding.experiment.as_deref() == experiment
            && (metric.is_none() || finding.metric.as_deref() == metric)
    };
    report.findings.iter().find(about).unwrap_or_else(|| panic!("no finding {code} about {experiment:?} {metric:?}"))
}

#[test]
fn within_five_seconds_every_experiment_that_runs_has_units_in_every_arm_and_conversions() {
    let report = report_after(5);
    for experiment in
        report.experiments.iter().filter(|it| (it.key.as_str(), it.iteration.as_str()) != ("search-ranking-test", "1"))
    {
        for arm in &experiment.arms {
            assert!(arm.units >= 3, "{} {}: {} units", experiment.key, arm.name, arm.units);
        }
        assert!(experiment.metrics.iter().any(|metric| metric.counted > 0), "{}", experiment.key);
    }
    let codes: BTreeSet<&str> = report.findings.iter().map(|finding| finding.code.name()).collect();
    for code in [
        "event-lacks-unit",
        "exposure-lacks-unit",
        "metric-unit-mismatch",
        "conversion-before-exposure",
        "event-key-case",
    ] {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
}

#[test]
fn the_shop_is_mostly_healthy() {
    let report = report_after(60);
    let verdicts = &report.totals.verdicts;
    let of = |category: &str| verdicts.get(category).copied().unwrap_or(0);
    assert!(of("counted") > 3 * of("dropped"), "{verdicts:?}");
    assert!(of("unknown") * 20 < report.totals.events, "{verdicts:?}");
    let complete: Vec<(&str, &str, bool)> =
        report.experiments.iter().map(|it| (it.key.as_str(), it.iteration.as_str(), it.complete)).collect();
    assert_eq!(
        complete,
        [
            ("checkout-button-test", "1", true),
            ("free-shipping-banner-test", "1", true),
            ("volume-pricing-test", "1", true),
            // It began before the shop was watched, and its flag is sampled.
            ("search-ranking-test", "1", false),
            ("search-ranking-test", "2", false),
        ]
    );
    for experiment in &report.experiments {
        let verdict = experiment.sample_ratio.as_ref().unwrap().verdict;
        assert!(["ok", "too-few"].contains(&verdict), "{} {verdict}", experiment.key);
    }
}

#[test]
fn every_fault_is_found_under_its_own_code_and_source_within_a_minute() {
    let report = report_after(60);
    let (button, banner, pricing, search) = (
        Some("checkout-button-test"),
        Some("free-shipping-banner-test"),
        Some("volume-pricing-test"),
        Some("search-ranking-test"),
    );
    for (code, experiment, metric, source) in [
        ("event-lacks-unit", banner, Some("orders-by-device"), "SegmentDestination/2.2.0"),
        ("metric-unit-mismatch", banner, Some("signup-rate"), "JSClient/4.10.3"),
        ("exposure-lacks-unit", banner, None, "NodeJSClient/9.13.7"),
        ("conversion-before-exposure", button, Some("checkout-completed"), "NodeJSClient/9.13.7"),
        ("no-exposure", button, Some("checkout-completed"), "GoClient/7.13.4"),
        ("key-near-miss", button, None, "GoClient/7.13.4"),
        ("numeric-value-missing", button, Some("order-value"), "AndroidClient/5.9.2"),
        ("numeric-value-invalid", button, Some("order-value"), "NodeJSClient/9.13.7"),
        ("filter-mismatch", button, Some("domestic-checkout"), "JSClient/4.10.3"),
        ("wrong-environment", button, Some("checkout-completed"), "JSClient/4.10.3"),
        ("individually-targeted", button, None, "NodeJSClient/9.13.7"),
        ("flag-off", button, None, "NodeJSClient/9.13.7"),
        ("eval-error", pricing, None, "PythonClient/9.18.2"),
        ("debug-not-exposure", pricing, None, "PythonClient/9.18.2"),
        ("unknown-not-observed", search, Some("search-result-clicked"), "JSClient/4.10.3"),
        ("after-iteration-end", search, Some("search-result-clicked"), "AndroidClient/5.9.2"),
        ("before-iteration-start", search, Some("search-result-clicked"), "AndroidClient/5.9.2"),
        ("event-key-case", None, None, "AndroidClient/5.9.2"),
        ("metric-key-used", None, None, "PythonClient/9.18.2"),
        ("placeholder-key", None, None, "JSClient/4.10.3"),
        ("metric-not-in-experiment", None, None, "JSClient/4.10.3"),
        ("undecodable", None, None, "shop-kiosk/1.3"),
        ("timestamp-unit-suspect", None, None, "shop-kiosk/1.3"),
        ("duplicate-payload", None, None, "JSClient/4.10.3"),
        ("sampled", None, None, "NodeJSClient/9.13.7"),
    ] {
        let finding = finding(&report, code, experiment, metric);
        assert!(finding.sources.iter().any(|it| it == source), "{code}: {:?}", finding.sources);
    }
    let banner = &report.experiments[1];
    let crossed: u64 = banner.arms.iter().map(|arm| arm.crossover_units).sum();
    assert!(crossed >= 1, "crossover-exposure");
    let orders = banner.metrics.iter().find(|metric| metric.metric == "orders-by-device").unwrap();
    assert_eq!(
        (orders.counted, orders.verdicts["event-lacks-unit"]),
        (0, orders.received),
        "Segment's orders never count"
    );
}

/// Every field name in a JSON value, those of maps keyed by codes or kinds left out.
fn fields(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                if !["by_kind", "verdicts", "exposures"].contains(&name.as_str()) {
                    fields(value, names);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
        _ => {}
    }
}

#[test]
fn the_page_about_the_report_names_every_field_of_it() {
    let mut names = BTreeSet::new();
    fields(&serde_json::to_value(report_after(10)).unwrap(), &mut names);
    assert!(names.len() > 50, "{names:?}");
    let page = include_str!("../docs/report.md");
    // A field stands there as `name`, `parent.name` or `name[].child`.
    let is_named = |name: &str| {
        ["`", "."].iter().any(|before| ["`", "["].iter().any(|after| page.contains(&format!("{before}{name}{after}"))))
    };
    let unnamed: Vec<&String> = names.iter().filter(|name| !is_named(name)).collect();
    assert!(unnamed.is_empty(), "docs/report.md does not name {unnamed:?}");
}
