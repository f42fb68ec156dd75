//! The judged cases of the attribution rules: every row of every case, on both clocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use exptap::attribution::judge::{EnvironmentMatch, Judge};
use exptap::attribution::request::PayloadKey;
use exptap::attribution::state::{Clock, Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::event::{Item, body};
use exptap::intake::Received;
use exptap::verdicts::{self, Judged};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The vectors' own form of configuration, as a catalog.
fn catalog(config: &Value) -> Catalog {
    let mut metrics: BTreeMap<String, Value> = BTreeMap::new();
    let mut experiments: BTreeMap<String, Value> = BTreeMap::new();
    for iteration in config["iterations"].as_array().unwrap() {
        let (flag, rule) = iteration["flags"].as_object().unwrap().iter().next().unwrap();
        let ids: Vec<&str> =
            config["variations"][flag].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let arms: Vec<Value> = iteration["treatments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| json!({"index": ids.iter().position(|have| *have == id).unwrap(), "name": id}))
            .collect();
        let mut keys = Vec::new();
        for metric in iteration["metrics"].as_array().unwrap() {
            let key = metric["key"].as_str().unwrap();
            keys.push(key.to_owned());
            let measure = match (metric["numeric"].as_bool().unwrap(), metric["agg"].as_str().unwrap()) {
                (true, _) => "value",
                (false, "sum") => "count",
                (false, _) => "occurrence",
            };
            let mut out = json!({"key": key, "kind": metric["kind"], "measure": measure, "units": metric["units"], "event_key": metric["eventKey"]});
            if let Some(filter) = metric.get("filters") {
                out["filter"] = filter.clone();
            }
            metrics.insert(key.to_owned(), out);
        }
        let mut out = json!({
            "id": iteration["id"], "randomization_unit": iteration["unit"], "rule": rule, "variations": arms, "metrics": keys,
        });
        for (from, to) in [("started", "started_at"), ("ended", "ended_at")] {
            if !iteration[from].is_null() {
                out[to] = iteration[from].clone();
            }
        }
        let experiment =
            experiments.entry(flag.clone()).or_insert_with(|| json!({"key": flag, "flag": flag, "iterations": []}));
        experiment["iterations"].as_array_mut().unwrap().push(out);
    }
    let text = json!({
        "metrics": metrics.into_values().collect::<Vec<_>>(), "experiments": experiments.into_values().collect::<Vec<_>>(),
    })
    .to_string();
    load::from_text(&text, "vector.json", Format::Json, Origin::File).unwrap_or_else(|error| panic!("{error}"))
}

type Row = (u64, String, Option<String>, String, Option<String>);

fn judge(case: &Value, clock: Clock) -> BTreeSet<Row> {
    let config = &case["config"];
    let catalog = catalog(config);
    let observed_from_ms = config["observed_from"].as_i64().filter(|from| *from > 0);
    let mut state =
        State::new(Arc::new(Judge::new(&catalog)), Options { clock, observed_from_ms, ..Options::default() });
    let source = state.source("vectors");
    let mut judged = Vec::new();
    for event in case["events"].as_array().unwrap() {
        let text = event["ev"].to_string();
        let environment = if event["env"] == config["env"] { EnvironmentMatch::Same } else { EnvironmentMatch::Other };
        // Events of one payload share its id and their index tells them apart; a repeated pair is a retry.
        let key = PayloadKey::new(event["env"].as_str().unwrap(), &format!("{}#{}", event["payload"], event["idx"]));
        let arrival = event["recv"].as_i64();
        let mut request = state.begin(source, arrival, environment, Some(key), &text);
        body::items(&text, |item| {
            let Item::Event { event, offset } = item else { panic!("unreadable") };
            let (number, claims) = state.event(&mut request, &event);
            judged.push(Judged::new(
                &state,
                &Received::Event {
                    number,
                    event: &event,
                    range: offset..offset + event.raw.len(),
                    claims,
                    segment: None,
                },
                None,
                arrival,
            ));
        });
        state.end(request);
    }
    let arm = |experiment: &str, variation: i64| {
        config["variations"][experiment][usize::try_from(variation).unwrap()].as_str().unwrap().to_owned()
    };
    let mut rows = BTreeSet::new();
    for event in &judged {
        for row in verdicts::rows(&state, &catalog, event) {
            let iteration = row.iteration.map(ToOwned::to_owned).unwrap_or_default();
            let treatment = row.variation.map(|variation| arm(row.experiment.unwrap(), variation));
            rows.insert((
                row.event,
                iteration,
                row.metric.map(ToOwned::to_owned),
                row.verdict.name().to_owned(),
                treatment,
            ));
        }
    }
    rows
}

fn expected(rows: &Value) -> BTreeSet<Row> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row[0].as_u64().unwrap(),
                text(&row[1]).unwrap_or_default(),
                text(&row[2]),
                text(&row[3]).unwrap(),
                text(&row[4]),
            )
        })
        .collect()
}

/// The vectors list only rows of iterations, and name the iteration of a retry's events.
fn comparable(rows: BTreeSet<Row>) -> BTreeSet<Row> {
    rows.into_iter()
        .filter(|row| !row.1.is_empty() || row.3 == "duplicate-payload")
        .map(|row| if row.3 == "duplicate-payload" { (row.0, String::new(), None, row.3, None) } else { row })
        .collect()
}

#[test]
fn every_case_is_judged_as_written_on_the_creation_clock_and_on_the_received_clock() {
    let cases: Value = serde_json::from_str(include_str!("data/vectors/attribution.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 44);
    let mut on_the_other_clock = 0;
    for case in cases {
        let name = format!("{} {}", case["id"], case["title"]);
        assert_eq!(comparable(judge(case, Clock::Creation)), comparable(expected(&case["expect"])), "{name}");
        if let Some(rows) = case.get("expect_received_clock") {
            on_the_other_clock += 1;
            assert_eq!(comparable(judge(case, Clock::Received)), comparable(expected(rows)), "{name}, received clock");
        }
    }
    assert_eq!(on_the_other_clock, 5);
}
