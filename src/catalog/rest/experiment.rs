//! An experiment of the REST API with its iterations.

use super::super::assembly::Assembly;
use super::super::flag_json::{Notation, rules};
use super::super::layout::Part;
use super::{Answers, list, text, warehouse, with_key};
use serde_json::{Map, Value, json};

/// Which iteration of its experiment one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Previous,
    Current,
    Draft,
}

/// The iterations of an experiment in the order they began.
pub(super) fn iterations(experiment: &Value) -> impl Iterator<Item = (&Value, Turn)> {
    let mut previous: Vec<&Value> = list(experiment, "previousIterations").iter().collect();
    previous.sort_by_key(|iteration| iteration.get("startedAt").and_then(Value::as_i64));
    let own = |name: &str| experiment.get(name).filter(|iteration| iteration.is_object());
    let current = own("currentIteration").map(|iteration| (iteration, Turn::Current));
    // A draft beside an iteration that runs measures nothing yet, and every event would be said to come too early.
    let draft = own("draftIteration").filter(|_| current.is_none()).map(|iteration| (iteration, Turn::Draft));
    previous.into_iter().map(|iteration| (iteration, Turn::Previous)).chain(current).chain(draft)
}

/// The keys of the flags of an iteration.
pub(super) fn flag_keys(iteration: &Value) -> impl Iterator<Item = &str> {
    iteration.get("flags").and_then(Value::as_object).into_iter().flat_map(|flags| flags.keys().map(String::as_str))
}

/// A metric or a group that an iteration measures.
pub(super) struct Measured<'a> {
    pub(super) key: &'a str,
    pub(super) is_group: bool,
    version: Option<&'a str>,
}

/// What an iteration measures, the primary ones first, each once.
pub(super) fn measured(iteration: &Value) -> Vec<Measured<'_>> {
    let primary = ["primaryMetric", "primarySingleMetric", "primaryFunnel"].map(|name| iteration.get(name));
    let all =
        primary.into_iter().flatten().chain(list(iteration, "metrics")).chain(list(iteration, "secondaryMetrics"));
    let mut measured: Vec<Measured<'_>> = Vec::new();
    for answer in all {
        let Some(key) = text(answer, "key") else { continue };
        // A group is one by its mark, or by having members.
        let is_group = answer.get("isGroup") == Some(&Value::Bool(true)) || answer.get("metrics").is_some();
        let version = text(answer, "_versionId");
        match measured.iter_mut().find(|known| known.key == key && known.is_group == is_group) {
            Some(known) => known.version = known.version.or(version),
            None => measured.push(Measured { key, is_group, version }),
        }
    }
    measured
}

/// Takes an experiment.
pub(super) fn add(assembly: &mut Assembly, answer: &Value, answers: &Answers) {
    let Some(key) = text(answer, "key") else {
        return assembly.note(Part::Whole, "an experiment without a key is left out".to_owned());
    };
    let part = Part::Experiment(key.to_owned());
    let all: Vec<(&Value, Turn)> = iterations(answer).collect();
    let flag = all.iter().rev().find_map(|(iteration, _)| flag_keys(iteration).next());
    let Some(flag) = flag else {
        return assembly
            .note(Part::Whole, format!("experiment {key} is left out: none of its iterations names a flag"));
    };
    assembly.name(part.clone(), text(answer, "name").unwrap_or_default());
    let mut notes = Vec::new();
    let mut windows = Vec::new();
    for (iteration, turn) in &all {
        let id = text(iteration, "_id").unwrap_or("without an id");
        if !flag_keys(iteration).any(|it| it == flag) {
            notes.push(format!("iteration {id} is left out: it was not on the flag {flag}"));
            continue;
        }
        let others: Vec<&str> = flag_keys(iteration).filter(|it| *it != flag).collect();
        if !others.is_empty() {
            notes.push(format!("iteration {id} is on {} too, which is left out", others.join(", ")));
        }
        windows.push(window(assembly, iteration, *turn, (flag, answers), &mut notes));
    }
    if answer.get("currentIteration").is_some_and(Value::is_object)
        && answer.get("draftIteration").is_some_and(Value::is_object)
    {
        notes.push("its next iteration, a draft, is left out".to_owned());
    }
    let layer = all.iter().rev().find_map(|(iteration, _)| text(iteration.get("layerSnapshot")?, "key"));
    let layer = layer.or_else(|| reserving_layer(answers, key));
    let holdout = text(answer, "holdoutId").map(|id| holdout(answers, id));
    let value = json!({
        "key": key,
        "flag": flag,
        "layer": layer,
        "holdout": holdout,
        "data_source": warehouse(answer),
        "iterations": windows,
    });
    for note in notes {
        assembly.note(part.clone(), format!("experiment {key}: {note}"));
    }
    assembly.add(&part, value);
}

/// The layer that keeps traffic for an experiment in this environment.
fn reserving_layer<'a>(answers: &'a Answers, experiment: &str) -> Option<&'a str> {
    let reserves = |layer: &&Value| {
        let environment = layer.get("environments").and_then(|all| all.get(&answers.environment));
        let mut reservations = environment.map(|it| list(it, "reservations")).unwrap_or_default().iter();
        reservations.any(|it| text(it, "experimentKey") == Some(experiment))
    };
    answers.layers.iter().find(reserves).and_then(|layer| text(layer, "key"))
}

/// The key of a holdout; where the list of holdouts could not be had, its id is better than nothing.
fn holdout<'a>(answers: &'a Answers, id: &'a str) -> &'a str {
    let is_it = |holdout: &&Value| ["_id", "id"].iter().any(|name| text(holdout, name) == Some(id));
    answers.holdouts.iter().find(is_it).and_then(|holdout| text(holdout, "key")).unwrap_or(id)
}

fn window(
    assembly: &Assembly,
    iteration: &Value,
    turn: Turn,
    (flag, answers): (&str, &Answers),
    notes: &mut Vec<String>,
) -> Value {
    let on_flag = iteration.get("flags").and_then(|flags| flags.get(flag)).unwrap_or(&Value::Null);
    let rule = text(on_flag, "targetingRule");
    let (mut metrics, mut groups, mut versions) = (Vec::new(), Vec::new(), Map::new());
    for it in measured(iteration) {
        // Not every list of an answer marks its groups.
        let is_group = it.is_group || !assembly.has("metrics", it.key) && assembly.has("metric_groups", it.key);
        let (list, what, named) =
            if is_group { ("metric_groups", "metric group", &mut groups) } else { ("metrics", "metric", &mut metrics) };
        if !assembly.has(list, it.key) {
            let note = format!("the {what} {} is not in the catalog, so nothing is judged by it", it.key);
            if !notes.contains(&note) {
                notes.push(note);
            }
            continue;
        }
        named.push(it.key);
        if let Some(version) = it.version.filter(|_| !is_group) {
            versions.insert(it.key.to_owned(), version.into());
        }
    }
    let is_started = turn != Turn::Draft && text(iteration, "status") != Some("not_started");
    let time = |name: &str| instant(iteration.get(name)).filter(|_| is_started);
    let (started_at, ended_at) = (time("startedAt"), time("endedAt"));
    let id = text(iteration, "_id");
    if is_started && started_at.is_none() {
        let (id, status) = (id.unwrap_or_default(), text(iteration, "status").unwrap_or("not known"));
        notes.push(format!(
            "iteration {id} (status {status}) has no start that can be read: it is taken as not started"
        ));
    } else if ended_at.is_none() && (turn == Turn::Previous || text(iteration, "status") == Some("stopped")) {
        let id = id.unwrap_or_default();
        notes.push(format!("iteration {id} is over, and LaunchDarkly does not say since when: give it ended_at"));
    }
    json!({
        "id": id,
        "randomization_unit": text(iteration, "randomizationUnit"),
        "rule": rule,
        "variations": arms(iteration, rule, (flag, answers), notes),
        "metrics": metrics,
        "metric_groups": groups,
        "started_at": started_at,
        "ended_at": ended_at.as_ref().filter(|_| started_at.is_some()),
        "flag_config_version": on_flag.get("flagConfigVersion").filter(|version| version.is_i64()),
        "metric_versions": versions,
        // A restart deals anew: what the flag has now is the rollout of the iteration that runs now.
        "rollout": (turn == Turn::Current && started_at.is_some() && ended_at.is_none())
            .then(|| dealing(rule, text(iteration, "randomizationUnit"), (flag, answers)))
            .flatten(),
    })
}

/// Epoch milliseconds, as LaunchDarkly gives them, in the way a person reads them.
fn instant(value: Option<&Value>) -> Option<String> {
    jiff::Timestamp::from_millisecond(value?.as_i64()?).ok().map(|instant| instant.to_string())
}

/// How the rule of an iteration deals its units out; a rollout of another kind proves nothing about them.
fn dealing(rule: Option<&str>, unit: Option<&str>, (flag, answers): (&str, &Answers)) -> Option<Value> {
    let environment = answers.flag_environment(with_key(&answers.flags, flag)?)?;
    let found = rules(environment, Notation::Rest).find(|it| Some(it.id) == rule)?;
    if found.unit() == unit.unwrap_or("user") { found.dealing(environment) } else { None }
}

/// The arms: treatments name a variation by its id, events by its index, and the flag knows both.
fn arms(iteration: &Value, rule: Option<&str>, (flag, answers): (&str, &Answers), notes: &mut Vec<String>) -> Value {
    let flag_answer = with_key(&answers.flags, flag);
    let variations = flag_answer.map(|answer| list(answer, "variations")).unwrap_or_default();
    let mut arms: Vec<Value> = Vec::new();
    let treatments = list(iteration, "treatments");
    for treatment in treatments {
        let parameters = list(treatment, "parameters").iter();
        let on_flag = parameters.filter(|it| text(it, "flagKey").is_none_or(|key| key == flag));
        let id = on_flag.filter_map(|it| text(it, "variationId")).next().or(text(treatment, "_id"));
        let index = variations.iter().position(|variation| id.is_some() && text(variation, "_id") == id);
        let (Some(id), Some(index)) = (id, index) else {
            let name = text(treatment, "name").or(id).unwrap_or("without a name");
            notes.push(format!(
                "the flag {flag} has no variation that its treatment {name} names, so no arms are given: any variation counts"
            ));
            return Value::Null;
        };
        arms.push(json!({
            "index": index,
            "id": id,
            "name": text(treatment, "name"),
            "allocation": allocation(treatment),
        }));
    }
    let is_whole = arms.iter().all(|arm| arm["allocation"].is_number())
        && arms.iter().any(|arm| arm["allocation"].as_f64().is_some_and(|share| share > 0.0));
    if !is_whole {
        for arm in &mut arms {
            arm["allocation"] = Value::Null;
        }
    }
    if !arms.is_empty() {
        return arms.into();
    }
    // An iteration that lists no treatments still runs on a rule whose rollout does.
    let environment = flag_answer.and_then(|answer| answers.flag_environment(answer));
    let served = environment.and_then(|environment| {
        rules(environment, Notation::Rest).find(|it| Some(it.id) == rule && it.serves() == "experiment")
    });
    served.map_or(Value::Null, |rule| rule.arms())
}

/// A share that is told as text.
fn allocation(treatment: &Value) -> Value {
    let share = treatment.get("allocationPercent");
    let number = share.and_then(Value::as_f64).or_else(|| share?.as_str()?.trim().parse().ok());
    number.filter(|share| share.is_finite() && *share >= 0.0).map_or(Value::Null, Value::from)
}
