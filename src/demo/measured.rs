//! The shop's catalog: what its experiments measure.

use crate::catalog::{
    Aggregation, Arm, Catalog, Environment, Experiment, Filter, Iteration, Measure, Metric, MetricGroup, MetricKind,
    Origin, Rule, UrlMatcher,
};
use crate::envelope::Credential;

/// The environment's client-side id, which browsers and Segment send events under.
pub(super) const CLIENT_SIDE_ID: &str = "64b0c0ffee5aadde60000001";
/// The client-side id of the preview deployments' environment: not the one the experiments run in.
pub(super) const PREVIEW_CLIENT_SIDE_ID: &str = "64b0c0ffee5aadde60000002";
/// The SDK key of the shop's services. Made up, as all keys here.
pub(super) const SDK_KEY: &str = "sdk-00000000-demo-shop-0000-services0001";
/// The mobile key of the shop's apps.
pub(super) const MOBILE_KEY: &str = "mob-00000000-demo-shop-0000-mobile000001";

/// Values of the flag `checkout-button`; they double as arm names.
pub(super) const CHECKOUT_BUTTON_ARMS: &[&str] = &["two-step", "one-click"];
/// Values of the flag `free-shipping-banner`.
pub(super) const BANNER_ARMS: &[&str] = &["no-banner", "top", "sticky"];
/// Values of the flag `volume-pricing`.
pub(super) const PRICING_ARMS: &[&str] = &["list-price", "tiered"];
/// Values of the flag `search-ranking`.
pub(super) const RANKING_ARMS: &[&str] = &["by-popularity", "by-relevance"];
/// The rule the volume pricing experiment runs on.
pub(super) const BUSINESS_RULE: &str = "rule-business-accounts";

/// Internal ids of the click and page-view metrics, which browsers send as the event's key.
pub(super) const PRODUCT_PAGE_ID: &str = "65f1a0aa00000000000000a1";
pub(super) const BANNER_CLICK_ID: &str = "65f1a0aa00000000000000b2";
pub(super) const RESULT_CLICK_ID: &str = "65f1a0aa00000000000000c3";

/// CSS selectors of the click metrics.
pub(super) const BANNER_SELECTOR: &str = ".free-shipping";
pub(super) const RESULT_SELECTOR: &str = ".search-result a";

/// How long the first iteration of the search experiment has been over when the shop opens.
pub(super) const GAP_BETWEEN_ITERATIONS_MS: i64 = 2 * 3_600_000;
const FIRST_ITERATION_MS: i64 = 14 * 86_400_000;

/// The catalog of a shop that opened at this instant (epoch ms); its running iterations started then.
pub(super) fn catalog(opened_at_ms: i64) -> Catalog {
    let anyone = || vec!["user".to_owned(), "device".to_owned()];
    let organization = || vec!["organization".to_owned()];
    let page = |part: &str| vec![UrlMatcher::Substring(part.to_owned())];

    let metrics = vec![
        Metric {
            kind: MetricKind::PageView,
            event_key: None,
            urls: page("https://shop.example/products/"),
            id: Some(PRODUCT_PAGE_ID.to_owned()),
            ..Metric::custom("product-viewed", "")
        },
        Metric::custom("basket-started", "add-to-cart"),
        Metric::custom("checkout-completed", "checkout"),
        Metric {
            filter: Some(Filter::Attribute {
                context_kind: Some("user".to_owned()),
                attribute: "country".to_owned(),
                op: "in".to_owned(),
                values: ["DE", "AT", "CH"].map(serde_json::Value::from).to_vec(),
                negate: false,
            }),
            ..Metric::custom("domestic-checkout", "checkout")
        },
        Metric {
            measure: Measure::Value,
            aggregation: Aggregation::Sum,
            ..Metric::custom("order-value", "order-placed")
        },
        Metric {
            measure: Measure::Count,
            aggregation: Aggregation::Sum,
            ..Metric::custom("items-added", "add-to-cart")
        },
        Metric {
            kind: MetricKind::Click,
            event_key: None,
            units: anyone(),
            urls: page("https://shop.example/"),
            selector: Some(BANNER_SELECTOR.to_owned()),
            id: Some(BANNER_CLICK_ID.to_owned()),
            ..Metric::custom("banner-clicked", "")
        },
        Metric {
            measure: Measure::Count,
            aggregation: Aggregation::Sum,
            units: anyone(),
            ..Metric::custom("delivery-estimates", "delivery-estimate-opened")
        },
        Metric { units: anyone(), ..Metric::custom("orders-by-device", "Order Completed") },
        Metric::custom("signup-rate", "newsletter-signup"),
        Metric {
            kind: MetricKind::Click,
            event_key: None,
            urls: vec![UrlMatcher::Regex("^https://shop\\.example/search$".to_owned())],
            selector: Some(RESULT_SELECTOR.to_owned()),
            id: Some(RESULT_CLICK_ID.to_owned()),
            ..Metric::custom("search-result-clicked", "")
        },
        Metric {
            measure: Measure::Count,
            aggregation: Aggregation::Sum,
            units: organization(),
            ..Metric::custom("quotes-requested", "quote-requested")
        },
        Metric {
            measure: Measure::Value,
            aggregation: Aggregation::Average,
            units: organization(),
            ..Metric::custom("quote-value", "quote-accepted")
        },
        Metric::custom("support-contacts", "support-contacted"),
    ];
    let at = |keys: &[&str]| -> Vec<usize> {
        keys.iter().filter_map(|key| metrics.iter().position(|metric| metric.key == *key)).collect()
    };

    let running = |unit: &str, rule, arms: &[&str], measured: &[&str]| Iteration {
        id: "1".to_owned(),
        randomization_unit: unit.to_owned(),
        rule: Some(rule),
        arms: Some(equal_arms(arms)),
        metrics: at(measured),
        metric_groups: Vec::new(),
        started_at_ms: Some(opened_at_ms),
        ended_at_ms: None,
        flag_config_version: None,
        rollout: None,
        metric_versions: Vec::new(),
    };
    let experiment = |key: &str, flag: &str, iterations| Experiment {
        key: key.to_owned(),
        flag: flag.to_owned(),
        iterations,
        layer: None,
        holdout: None,
        data_source: None,
    };

    let first_search_ended_at_ms = opened_at_ms - GAP_BETWEEN_ITERATIONS_MS;
    let search = running("user", Rule::Fallthrough, RANKING_ARMS, &["search-result-clicked"]);
    let experiments = vec![
        experiment(
            "checkout-button-test",
            super::flags::CHECKOUT_BUTTON,
            vec![Iteration {
                metric_groups: vec![0],
                ..running(
                    "user",
                    Rule::Fallthrough,
                    CHECKOUT_BUTTON_ARMS,
                    &[
                        "checkout-completed",
                        "domestic-checkout",
                        "order-value",
                        "items-added",
                        "product-viewed",
                        "basket-started",
                    ],
                )
            }],
        ),
        experiment(
            "free-shipping-banner-test",
            super::flags::FREE_SHIPPING_BANNER,
            vec![running(
                "device",
                Rule::Fallthrough,
                BANNER_ARMS,
                &["banner-clicked", "delivery-estimates", "orders-by-device", "signup-rate"],
            )],
        ),
        experiment(
            "volume-pricing-test",
            super::flags::VOLUME_PRICING,
            vec![running(
                "organization",
                Rule::Id(BUSINESS_RULE.to_owned()),
                PRICING_ARMS,
                &["quotes-requested", "quote-value"],
            )],
        ),
        experiment(
            "search-ranking-test",
            super::flags::SEARCH_RANKING,
            vec![
                Iteration {
                    started_at_ms: Some(first_search_ended_at_ms - FIRST_ITERATION_MS),
                    ended_at_ms: Some(first_search_ended_at_ms),
                    ..search.clone()
                },
                Iteration { id: "2".to_owned(), ..search },
            ],
        ),
    ];
    Catalog {
        origin: Origin::File,
        environment: Environment {
            project: Some("shop".to_owned()),
            key: Some("production".to_owned()),
            client_side_id: Some(CLIENT_SIDE_ID.to_owned()),
            credentials: Some([SDK_KEY, MOBILE_KEY].map(|key| Credential::mask(key).to_string()).to_vec()),
        },
        metric_groups: vec![MetricGroup {
            key: "purchase-funnel".to_owned(),
            funnel: true,
            metrics: at(&["product-viewed", "basket-started", "checkout-completed"]),
        }],
        experiments,
        metrics,
        ..Catalog::default()
    }
}

fn equal_arms(names: &[&str]) -> Vec<Arm> {
    (0_i64..)
        .zip(names)
        .map(|(variation, name)| Arm { variation, id: None, name: (*name).to_owned(), allocation: 1.0 })
        .collect()
}
