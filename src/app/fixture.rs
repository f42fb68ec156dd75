//! A shop's traffic, written down by hand: every kind of row the screens must show, small enough to read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::app::store::Store;
use crate::catalog::{Arm, Catalog, Experiment, Iteration, Metric, Origin};
use crate::envelope::Envelope;
use crate::reason::{Category, Grade, ReasonCode as Code, Severity};
use crate::report::*;
use crate::session::IterationName;
use crate::view::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// 2026-11-21 11:03:04.221 UTC, when the first row arrived.
pub(crate) const START_MS: i64 = 1_795_258_984_221;

/// A store of rows that were written down by hand.
pub(crate) struct Fixture {
    rows: Vec<EventRow>,
    first: u64,
    revision: u64,
    report: Option<Arc<Report>>,
    iterations: Vec<IterationName>,
    metrics: Vec<Arc<str>>,
    catalog: Catalog,
    pub(crate) lost: u64,
}

/// One kind of row: kind, key, units, verdict, metric, variation, note, noise.
type Pattern = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Code,
    Option<u32>,
    Option<i64>,
    Option<&'static str>,
);

const PATTERNS: &[Pattern] = &[
    ("feature", "checkout-cta", &[("device", "d-9")], Code::Exposure, None, Some(1), None),
    ("custom", "checkout", &[("user", "u-1")], Code::EventLacksUnit, Some(0), None, Some("needs device")),
    ("custom", "Checkout", &[("device", "d-9")], Code::NoMetricForKey, None, None, Some("\"checkout\"?")),
    ("custom", "checkout", &[("device", "d-9")], Code::Counted, Some(0), Some(1), None),
    ("feature", "checkout-cta", &[("device", "d-12"), ("user", "u-7")], Code::RepeatExposure, None, Some(0), None),
    ("custom", "checkout", &[("device", "d-9")], Code::CountedNoEffect, Some(0), Some(1), None),
    ("index", "user/u-7", &[("user", "u-7")], Code::NotAnExperimentEvent, None, None, None),
    ("feature", "checkout-cta", &[("device", "d-12")], Code::CrossoverExposure, None, Some(1), None),
    ("custom", "search", &[("organization", "o-3")], Code::MetricUnitMismatch, Some(1), None, Some("analyses user")),
    ("feature", "checkout-cta", &[("user", "u-1")], Code::ExposureLacksUnit, None, None, Some("needs device")),
    ("summary", "4 flags", &[], Code::NotAnExperimentEvent, None, None, None),
    ("custom", "purchase", &[("device", "d-12")], Code::NoMetricForKey, None, None, None),
    ("custom", "checkout", &[("device", "d-77")], Code::Pending, Some(0), None, None),
    ("custom", "checkout", &[("device", "null")], Code::UnknownNotObserved, Some(0), None, None),
    ("?", "", &[], Code::Undecodable, None, None, Some("not JSON at byte 12")),
    ("pageview", "64b0c0ffee", &[("device", "d-9")], Code::NotAnExperimentEvent, None, None, None),
];

impl Fixture {
    /// Nothing received yet.
    pub(crate) fn empty() -> Self {
        let text = |text: &str| Arc::<str>::from(text);
        let arms = |names: [&str; 2]| {
            Some(
                names
                    .iter()
                    .zip(0..)
                    .map(|(name, variation)| Arm { variation, name: (*name).into(), allocation: 50.0 })
                    .collect(),
            )
        };
        let iteration = |unit: &str, arms| Iteration {
            id: "1".into(),
            randomization_unit: unit.into(),
            rule: None,
            arms,
            metrics: vec![0],
            metric_groups: Vec::new(),
            started_at_ms: Some(START_MS - 12 * 86_400_000),
            ended_at_ms: None,
            flag_config_version: None,
        };
        let experiment = |key: &str, flag: &str, iteration| Experiment {
            key: key.into(),
            flag: flag.into(),
            iterations: vec![iteration],
            layer: None,
            holdout: None,
            data_source: None,
        };
        Self {
            rows: Vec::new(),
            first: 0,
            revision: 1,
            report: None,
            iterations: vec![
                IterationName {
                    experiment: text("checkout-cta-test"),
                    iteration: text("1"),
                    flag: text("checkout-cta"),
                },
                IterationName {
                    experiment: text("search-ranker-test"),
                    iteration: text("1"),
                    flag: text("search-ranker"),
                },
            ],
            metrics: vec![text("checkout-conversion"), text("search-clicks")],
            catalog: Catalog {
                origin: Origin::File,
                metrics: vec![
                    Metric::custom("checkout-conversion", "checkout"),
                    Metric::custom("search-clicks", "search"),
                ],
                experiments: vec![
                    experiment(
                        "checkout-cta-test",
                        "checkout-cta",
                        iteration("device", arms(["control", "treatment"])),
                    ),
                    experiment(
                        "search-ranker-test",
                        "search-ranker",
                        iteration("organization", arms(["bm25", "vector"])),
                    ),
                ],
                ..Catalog::default()
            },
            lost: 0,
        }
    }

    /// One row of every kind.
    pub(crate) fn shop() -> Self {
        Self::shop_of(PATTERNS.len() as u64)
    }

    /// The same rows over and over.
    pub(crate) fn shop_of(rows: u64) -> Self {
        let mut fixture = Self::empty();
        fixture.push(rows);
        fixture
    }

    /// Receives so many rows more.
    pub(crate) fn push(&mut self, rows: u64) {
        for _ in 0..rows {
            let event = self.next();
            self.rows.push(row(event));
        }
        self.revision += 1;
        self.report = None;
    }

    /// Receives one row that the caller makes from a row of the usual kind.
    pub(crate) fn push_row(&mut self, change: impl FnOnce(&mut EventRow)) {
        let mut row = row(self.next());
        change(&mut row);
        self.rows.push(row);
        self.revision += 1;
        self.report = None;
    }

    /// Rewrites a row, as a later exposure does.
    pub(crate) fn revise(&mut self, event: u64, code: Code) {
        let index = (event - self.first) as usize;
        let row = &mut self.rows[index];
        row.code = code;
        for verdict in &mut row.verdicts {
            verdict.code = code;
            verdict.revised = true;
        }
        self.revision += 1;
        self.report = None;
    }

    /// Forgets the oldest rows, as a full ring does.
    pub(crate) fn evict(&mut self, rows: u64) {
        self.rows.drain(..rows as usize);
        self.first += rows;
        self.revision += 1;
    }
}

fn row(event: u64) -> EventRow {
    let (kind, key, units, code, metric, variation, note) = PATTERNS[event as usize % PATTERNS.len()];
    let judged = !matches!(code, Code::NoMetricForKey | Code::NotAnExperimentEvent | Code::Undecodable);
    let verdicts = if judged {
        vec![RowVerdict {
            iteration: metric.unwrap_or(0),
            metric,
            code,
            variation,
            revised: code == Code::CountedNoEffect,
        }]
    } else {
        Vec::new()
    };
    let arrival_ms = START_MS + event as i64 * 137;
    EventRow {
        event,
        request: Some(event / 4 + 1),
        arrival_ms,
        t_ms: Some(arrival_ms - 40),
        kind: kind.into(),
        key: key.into(),
        units: units.iter().map(|(kind, key)| ((*kind).into(), (*key).into())).collect(),
        source: "NodeJSClient/9.13.7".into(),
        code,
        best: judged.then_some(0),
        verdicts,
        warnings: Vec::new(),
        note: note.map(Into::into),
        noise: false,
    }
}

impl Store for Fixture {
    fn receive(&mut self, _envelope: &Envelope) {
        self.push(1);
    }
    fn advance(&mut self, _now_ms: i64) {}
    fn first(&self) -> u64 {
        self.first
    }
    fn next(&self) -> u64 {
        self.first + self.rows.len() as u64
    }
    fn row(&self, event: u64) -> Option<&EventRow> {
        self.rows.get(usize::try_from(event.checked_sub(self.first)?).ok()?)
    }
    fn revision(&self) -> u64 {
        self.revision
    }
    fn report(&mut self) -> Arc<Report> {
        if let Some(report) = &self.report {
            return Arc::clone(report);
        }
        let report = Arc::new(report(&self.rows, self.lost));
        self.report = Some(Arc::clone(&report));
        report
    }
    fn units(&mut self, limit: usize) -> Vec<UnitRow> {
        if self.rows.is_empty() { Vec::new() } else { units().into_iter().take(limit).collect() }
    }
    fn sources(&self) -> Vec<SourceRow> {
        if self.rows.is_empty() { Vec::new() } else { sources() }
    }
    fn explain(&self, event: u64) -> Option<Explanation> {
        self.row(event).map(explanation)
    }
    fn lose(&mut self, requests: u64) {
        self.lost += requests;
    }
    fn iterations(&self) -> &[IterationName] {
        &self.iterations
    }
    fn metric_names(&self) -> &[Arc<str>] {
        &self.metrics
    }
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }
    fn observed_from_ms(&self) -> Option<i64> {
        None
    }
    fn lost(&self) -> u64 {
        self.lost
    }
}

fn report(rows: &[EventRow], lost: u64) -> Report {
    let mut totals =
        Totals { requests: rows.last().and_then(|row| row.request).unwrap_or(0), lost, ..Totals::default() };
    for category in Category::ALL {
        totals.verdicts.insert(category.name(), 0);
    }
    for row in rows {
        totals.events += 1;
        *totals.verdicts.get_mut(row.category().name()).unwrap() += 1;
        if &*row.kind == "?" {
            totals.undecodable += 1;
        } else {
            *totals.by_kind.entry(row.kind.to_string()).or_default() += 1;
        }
    }
    let empty = rows.is_empty();
    Report {
        exptap_report: 1,
        clock: "creation",
        observed_from: None,
        catalog: "file",
        totals,
        experiments: if empty { Vec::new() } else { experiments() },
        unmatched_event_keys: Vec::new(),
        findings: if empty { Vec::new() } else { findings() },
    }
}

fn arm(variation: i64, name: &str, units: u64, crossover_units: u64, metrics: Vec<ArmMetric>) -> ArmReport {
    ArmReport { variation, name: name.into(), units, crossover_units, metrics }
}

fn converted(metric: &str, converting_units: u64, conversions: u64, rate: f64, interval: [f64; 2]) -> ArmMetric {
    ArmMetric {
        metric: metric.into(),
        converting_units,
        cross_arm_units: 2,
        conversions,
        sum: conversions as f64,
        mean: None,
        rate: Some(rate),
        interval: Some(interval),
        percentile: None,
    }
}

fn experiments() -> Vec<ExperimentReport> {
    let counts = |counts: &[(Code, u64)]| -> BTreeMap<&'static str, u64> {
        counts.iter().map(|(code, count)| (code.name(), *count)).collect()
    };
    vec![
        ExperimentReport {
            key: "checkout-cta-test".into(),
            iteration: "1".into(),
            flag: "checkout-cta".into(),
            randomization_unit: "device".into(),
            complete: true,
            arms: vec![
                arm(0, "control", 2_412, 3, vec![converted("checkout-conversion", 212, 231, 0.0879, [0.0772, 0.0998])]),
                arm(
                    1,
                    "treatment",
                    2_398,
                    5,
                    vec![converted("checkout-conversion", 261, 290, 0.1088, [0.0970, 0.1219])],
                ),
            ],
            sample_ratio: Some(SampleRatio {
                chi_square: Some(0.041),
                p: Some(0.84),
                bayes_factor: Some(0.02),
                verdict: "ok",
            }),
            exposures: counts(&[
                (Code::Exposure, 4_810),
                (Code::RepeatExposure, 7_204),
                (Code::CrossoverExposure, 8),
                (Code::ExposureLacksUnit, 61),
            ]),
            metrics: vec![MetricReport {
                metric: "checkout-conversion".into(),
                received: 1_012,
                counted: 521,
                verdicts: counts(&[
                    (Code::Counted, 473),
                    (Code::CountedNoEffect, 48),
                    (Code::EventLacksUnit, 403),
                    (Code::NoExposure, 41),
                    (Code::ConversionBeforeExposure, 19),
                    (Code::AttributionWindowExpired, 28),
                ]),
            }],
            funnels: vec![FunnelReport {
                group: "buy-funnel".into(),
                steps: vec![
                    FunnelStep { metric: "view".into(), arms: vec![1_900, 1_910] },
                    FunnelStep { metric: "checkout-conversion".into(), arms: vec![212, 261] },
                ],
                ordered: vec![vec![1_900, 1_910], vec![208, 255]],
            }],
        },
        ExperimentReport {
            key: "search-ranker-test".into(),
            iteration: "1".into(),
            flag: "search-ranker".into(),
            randomization_unit: "organization".into(),
            complete: false,
            arms: vec![
                arm(
                    0,
                    "bm25",
                    41,
                    0,
                    vec![ArmMetric {
                        rate: None,
                        interval: None,
                        ..converted("search-clicks", 12, 40, 0.0, [0.0, 0.0])
                    }],
                ),
                arm(
                    1,
                    "vector",
                    77,
                    0,
                    vec![ArmMetric {
                        rate: None,
                        interval: None,
                        ..converted("search-clicks", 31, 90, 0.0, [0.0, 0.0])
                    }],
                ),
            ],
            sample_ratio: Some(SampleRatio {
                chi_square: Some(10.98),
                p: Some(0.00092),
                bayes_factor: Some(31.0),
                verdict: "note",
            }),
            exposures: counts(&[(Code::Exposure, 118)]),
            metrics: vec![MetricReport {
                metric: "search-clicks".into(),
                received: 212,
                counted: 130,
                verdicts: counts(&[(Code::Counted, 130), (Code::MetricUnitMismatch, 82)]),
            }],
            funnels: Vec::new(),
        },
    ]
}

fn findings() -> Vec<Finding> {
    let finding = |code: Code, severity, metric: Option<&str>, events, summary: &str, fix: &str| Finding {
        code,
        severity,
        confidence: Confidence::Decided,
        experiment: Some("checkout-cta-test".into()),
        metric: metric.map(Into::into),
        events,
        units: events / 3 + 1,
        first: Some(START_MS),
        last: Some(START_MS + 540_000),
        sources: vec!["NodeJSClient/9.13.7".into()],
        summary: summary.into(),
        fix: fix.into(),
        then: Vec::new(),
        examples: vec![1],
    };
    vec![
        Finding {
            then: vec![Code::NoExposure],
            sources: vec!["Segment".into()],
            ..finding(
                Code::EventLacksUnit,
                Severity::Error,
                Some("checkout-conversion"),
                403,
                "checkout carries user but no device key; checkout-cta-test randomizes by device.",
                "Send a multi-context with a device key: ldClient.track(\"checkout\", { kind: \"multi\", user, device }).",
            )
        },
        finding(
            Code::EventKeyCase,
            Severity::Error,
            Some("checkout-conversion"),
            12,
            "The event key Checkout is not checkout: they differ by case.",
            "Send checkout, or change the metric's event key.",
        ),
        finding(
            Code::CrossoverExposure,
            Severity::Warning,
            None,
            8,
            "8 devices saw more than one arm of checkout-cta-test.",
            "Keep the device key stable across the session.",
        ),
        Finding {
            confidence: Confidence::Ask,
            ..finding(
                Code::NoMetricForKey,
                Severity::Warning,
                None,
                5,
                "No metric uses the event key purchase.",
                "Create a metric for it, or ignore it.",
            )
        },
    ]
}

fn units() -> Vec<UnitRow> {
    let unit = |kind: &str, key: &str, arms: &[&str], counted, dropped, open, note| UnitRow {
        kind: kind.into(),
        key: key.into(),
        exposed: if arms.is_empty() {
            Vec::new()
        } else {
            vec![UnitExposure {
                experiment: "checkout-cta-test".into(),
                arms: arms.iter().map(|arm| (*arm).to_owned()).collect(),
                first_ms: START_MS,
            }]
        },
        counted,
        dropped,
        open,
        last_seen_ms: START_MS + 9_000,
        note,
    };
    vec![
        unit(
            "user",
            "u-1",
            &[],
            0,
            3,
            0,
            UnitNote::NeverExposed { look_alike: Some(("device/u-1".into(), "context kind".into())) },
        ),
        unit("device", "d-77", &[], 0, 0, 1, UnitNote::NeverExposed { look_alike: None }),
        unit("device", "d-12", &["control", "treatment"], 2, 0, 0, UnitNote::Crossover),
        unit("device", "null", &[], 0, 0, 4, UnitNote::Placeholder),
        unit("device", "d-9", &["treatment"], 1, 0, 0, UnitNote::None),
        unit("organization", "o-3", &["vector"], 0, 1, 0, UnitNote::None),
    ]
}

fn sources() -> Vec<SourceRow> {
    vec![
        SourceRow {
            sdk: "NodeJSClient/9.13.7".into(),
            instances: 2,
            environment: Some("sdk-…1f2a#9c41".into()),
            schemas: vec!["4".into()],
            requests: 812,
            events: 9_120,
            wire_bytes: 2_412_000,
            compressed: 0,
            duplicates: 3,
            statuses: vec![(202, 811), (503, 1)],
            last_seen_ms: START_MS + 9_000,
            ..SourceRow::default()
        },
        SourceRow {
            sdk: "JSClient/4.0.1".into(),
            wrapper: Some("react-client-sdk/3.8.1".into()),
            instances: 41,
            environment: Some("64b0c0ffee".into()),
            schemas: vec!["4".into()],
            requests: 611,
            events: 3_362,
            wire_bytes: 901_000,
            compressed: 611,
            undecodable: 2,
            dropped_by_sdk: 17,
            statuses: vec![(202, 611)],
            last_seen_ms: START_MS + 8_400,
            ..SourceRow::default()
        },
    ]
}

fn explanation(row: &EventRow) -> Explanation {
    let rung = |outcome, rule, grade, text: &str| Rung { outcome, rule, grade, code: None, text: text.into() };
    let ladder = Ladder {
        experiment: row.best.map(|_| "checkout-cta-test".into()),
        iteration: row.best.map(|_| "1".into()),
        metric: row.best_verdict().and_then(|verdict| verdict.metric).map(|_| "checkout-conversion".into()),
        code: row.code,
        arm: row.best_verdict().and_then(|verdict| verdict.variation).map(|_| "treatment".into()),
        revised: row.revised(),
        other_clock: None,
        rungs: vec![
            rung(Outcome::Passed, "M1", Grade::Documented, "event key \"checkout\" is the metric's event key"),
            rung(
                Outcome::Passed,
                "A2",
                Grade::Documented,
                "metric analyses units user, device; the experiment randomizes by device",
            ),
            Rung {
                code: Some(Code::EventLacksUnit),
                ..rung(Outcome::Failed, "A3", Grade::Documented, "the event carries no device key: it has user \"u-1\"")
            },
            Rung {
                code: Some(Code::FilterMismatch),
                ..rung(
                    Outcome::WouldFail,
                    "A6",
                    Grade::Code,
                    "the filter country in [US] would fail: country is \"DE\"",
                )
            },
            rung(
                Outcome::NotJudged,
                "A8",
                Grade::Documented,
                "exposures of the unit: not judged, there is no device key",
            ),
        ],
        fix: "Send a multi-context with a device key: ldClient.track(\"checkout\", { kind: \"multi\", user, device })."
            .into(),
        near_miss: Some("device/u-1 was exposed to treatment 41 s earlier".into()),
    };
    Explanation {
        row: row.clone(),
        event_text: "{\n  \"kind\": \"custom\",\n  \"creationDate\": 1795258984358,\n  \"key\": \"checkout\",\n  \"context\": {\n    \"kind\": \"user\",\n    \"key\": \"u-1\",\n    \"_meta\": {\n      \"redactedAttributes\": [\n        \"email\"\n      ]\n    }\n  },\n  \"metricValue\": 42.5\n}".into(),
        provenance: vec![
            ("request", "1 · POST /bulk".into()),
            ("sender", row.source.to_string()),
            ("credential", "sdk-…1f2a#9c41".into()),
            ("payload id", "8a1c1c9e-60f5-4c3b-9b8e-2f6f7c0e4f11".into()),
            ("answer", "202 from exptap".into()),
        ],
        ladders: vec![ladder],
        also: vec!["u-1 sent 3 such events".into(), "403 events fail the same way".into()],
    }
}
