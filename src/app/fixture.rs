//! A shop's traffic, written down by hand: every kind of row the screens must show, small enough to read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod figures;
mod positions;
mod segment;
mod story;

pub(crate) use positions::{Position, positions};
pub(crate) use segment::segment_shop;

use crate::app::replay::{FirstSeen, Gap, Mark, ReplayView};
use crate::app::store::Store;
use crate::catalog::{Arm, Catalog, Experiment, Iteration, Metric, Origin};
use crate::envelope::Envelope;
use crate::query::Query;
use crate::reason::{ReasonCode as Code, Severity};
use crate::report::Report;
use crate::session::IterationName;
use crate::view::*;
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
                    .map(|(name, variation)| Arm { variation, id: None, name: (*name).into(), allocation: 50.0 })
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
            rollout: None,
            metric_versions: Vec::new(),
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

/// A recording of two minutes and thirteen seconds that stands in the middle of a visit to the shop.
pub(crate) fn recording() -> ReplayView {
    let at = |seconds: i64| START_MS + seconds * 1_000;
    let first_seen = |seconds, code, severity| FirstSeen { t_ms: at(seconds), code, severity };
    ReplayView {
        file: "recordings/buy-flow.exptap".into(),
        records: 431,
        position: 120,
        t_ms: Some(at(41)),
        first_ms: Some(at(0)),
        last_ms: Some(at(133)),
        density: (0..400).map(|slice| [0, 0, 2, 5, 9, 14, 7, 3, 1, 0][slice / 8 % 10]).collect(),
        marks: vec![
            Mark { t_ms: at(20), note: "opened the basket".into() },
            Mark { t_ms: at(90), note: "clicked Buy here\u{1b}[2J".into() },
        ],
        gaps: vec![Gap { t_ms: at(60), lost: 12, why: "collector buffer full".into() }],
        findings: vec![
            first_seen(30, Code::EventLacksUnit, Severity::Error),
            first_seen(70, Code::CrossoverExposure, Severity::Warning),
            first_seen(120, Code::NoMetricForKey, Severity::Info),
        ],
        ..ReplayView::default()
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
        was_shown_otherwise: false,
        segment: None,
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
        let report = Arc::new(figures::report(&self.rows, self.lost));
        self.report = Some(Arc::clone(&report));
        report
    }
    fn units(&mut self, view: UnitView, limit: usize) -> UnitList {
        let all = if self.rows.is_empty() { Vec::new() } else { figures::units() };
        UnitList {
            counts: UnitView::ALL.map(|view| all.iter().filter(|row| view.lists(row)).count() as u64),
            rows: all.into_iter().filter(|row| view.lists(row)).take(limit).collect(),
        }
    }
    fn units_named(&self, view: UnitView, names: &[(String, String)]) -> Vec<UnitRow> {
        let known = |row: &UnitRow| names.iter().any(|(kind, key)| (kind, key) == (&row.kind, &row.key));
        figures::hidden_units().into_iter().filter(|row| known(row) && view.lists(row)).collect()
    }
    fn units_known(&self) -> u64 {
        if self.rows.is_empty() { 0 } else { figures::hidden_units().len() as u64 }
    }
    fn find_units(&self, query: &Query, from: u64, at_most: u64, found: &mut Vec<(String, String)>) -> u64 {
        let to = (from + at_most).min(self.units_known());
        for row in &figures::hidden_units()[from as usize..to as usize] {
            if query.matches_text(&[("unit", &format!("{}/{}", row.kind, row.key))]) {
                found.push((row.kind.clone(), row.key.clone()));
            }
        }
        to
    }
    fn story(&self, kind: &str, key: &str) -> Option<HeldStory> {
        story::story(&self.rows, kind, key)
    }
    fn sources(&self) -> Vec<SourceRow> {
        if self.rows.is_empty() { Vec::new() } else { figures::sources() }
    }
    fn explain(&self, event: u64) -> Option<Explanation> {
        self.row(event).map(figures::explanation)
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
    fn held(&self) -> Vec<Arc<Envelope>> {
        vec![Arc::new(Envelope { arrival_ms: START_MS, request: 1, ..Envelope::default() })]
    }
    fn lost(&self) -> u64 {
        self.lost
    }
}
