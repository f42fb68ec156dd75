//! Taking the rollouts of a catalog's experiments from a flag payload.

use super::payload::{Flag, Payload, RuleRollout, rule_name};
use crate::catalog::{Catalog, Iteration, Rule};
use crate::near_miss::nearest;

/// Gives the iterations of a catalog that run the rollouts their flags have now. Returns a sentence for each
/// experiment that gets none, with why.
///
/// A payload holds what is served now, and a restart changes the seed; so of an experiment only the iteration that has
/// not ended gets one. A rollout the catalog gives itself stays.
pub fn fill(catalog: &mut Catalog, payload: &Payload) -> Vec<String> {
    fill_where(catalog, payload, |_| true)
}

/// The same with flags that are known by chance: of what is not among them nothing is said.
pub fn fill_known(catalog: &mut Catalog, payload: &Payload) -> Vec<String> {
    fill_where(catalog, payload, |flag| payload.flags.contains_key(flag))
}

fn fill_where(catalog: &mut Catalog, payload: &Payload, is_asked: impl Fn(&str) -> bool) -> Vec<String> {
    let mut notes = Vec::new();
    for experiment in catalog.experiments.iter_mut().filter(|experiment| is_asked(&experiment.flag)) {
        let note = match payload.flags.get(&experiment.flag) {
            None => {
                let keys = payload.flags.keys().map(String::as_str);
                let near =
                    nearest(&experiment.flag, keys).map_or_else(String::new, |near| format!("; {near} is near it"));
                Some(format!("the payload has no flag {}{near}", experiment.flag))
            }
            Some(flag) => match experiment.iterations.iter_mut().rfind(|iteration| iteration.ended_at_ms.is_none()) {
                None => Some("it has ended, and a payload holds what is served now".to_owned()),
                Some(iteration) => fill_iteration(iteration, &experiment.flag, flag),
            },
        };
        notes.extend(note.map(|note| format!("no rollout for the experiment {}: {note}", experiment.key)));
    }
    notes
}

fn fill_iteration(iteration: &mut Iteration, key: &str, flag: &Flag) -> Option<String> {
    let found = match choose(iteration, key, flag) {
        Ok(found) => found,
        Err(note) => return Some(note),
    };
    let rule = rule_name(&found.rule);
    if found.context_kind != iteration.randomization_unit {
        return Some(format!(
            "the {rule} of {key} deals out by {}, and the catalog randomizes by {}; correct randomization_unit",
            found.context_kind, iteration.randomization_unit
        ));
    }
    if let Some(fault) = found.rollout.fault() {
        return Some(format!("the {rule} of {key}: {fault}"));
    }
    match &iteration.rollout {
        Some(own) if own.seed != found.rollout.seed || own.variations != found.rollout.variations => Some(format!(
            "the catalog gives another one ({}) than the {rule} of {key} has ({}); the catalog's is taken",
            own.hashed_with(),
            found.rollout.hashed_with()
        )),
        Some(_) => None,
        None => {
            iteration.rollout = Some(found.rollout.clone());
            None
        }
    }
}

fn choose<'p>(iteration: &Iteration, key: &str, flag: &'p Flag) -> Result<&'p RuleRollout, String> {
    let experiments: Vec<&RuleRollout> = flag.rules.iter().filter(|rule| rule.is_experiment).collect();
    let rules = || experiments.iter().map(|rule| rule_name(&rule.rule)).collect::<Vec<_>>().join(", ");
    match (&iteration.rule, experiments.as_slice()) {
        (_, []) => Err(format!("no rule of {key} runs an experiment now")),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("several rules of {key} run one ({}); name its rule in the catalog", rules())),
        (Some(rule), several) => several.iter().find(|it| it.rule == *rule).copied().ok_or_else(|| {
            let rule = match rule {
                Rule::Fallthrough => "the default rule".to_owned(),
                Rule::Id(id) => format!("rule {id}"),
            };
            format!("{rule} of {key} runs none; {} does", rules())
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::payload;
    use super::*;
    use crate::catalog::Origin;
    use crate::catalog::load::{Format, from_text};

    fn catalog(experiment: &str) -> Catalog {
        let text =
            format!("[[experiments]]\nkey = \"e\"\nflag = \"cta\"\nrandomization_unit = \"device\"\n{experiment}");
        from_text(&text, "c.toml", Format::Toml, Origin::File).unwrap()
    }

    fn flag(rules: &str) -> Payload {
        let rollout = |seed: u32| {
            format!(
                r#"{{"kind": "experiment", "contextKind": "device", "seed": {seed}, "variations": [{{"variation": 0, "weight": 100000}}]}}"#
            )
        };
        let rules = rules.replace("ONE", &rollout(1)).replace("TWO", &rollout(2));
        let payload = payload::read(&format!(r#"{{"key": "cta", "salt": "s", {rules}}}"#));
        assert_eq!(payload.faults, Vec::<String>::new());
        payload
    }

    fn filled(experiment: &str, payload: &Payload) -> (Option<i64>, String) {
        let mut catalog = catalog(experiment);
        let notes = fill(&mut catalog, payload).join("; ");
        let last = catalog.experiments[0].iterations.last().unwrap();
        (last.rollout.as_ref().and_then(|rollout| rollout.seed), notes)
    }

    #[test]
    fn the_iteration_that_runs_gets_the_rollout_of_its_rule() {
        let both = flag(r#""rules": [{"id": "r1", "rollout": ONE}], "fallthrough": {"rollout": TWO}"#);
        assert_eq!(filled("rule = \"r1\"", &both), (Some(1), String::new()));
        assert_eq!(filled("rule = \"fallthrough\"", &both), (Some(2), String::new()));
        let restarted = "rule = \"r1\"\niterations = [{ started_at = 1, ended_at = 2 }, { started_at = 2 }]";
        assert_eq!(filled(restarted, &both), (Some(1), String::new()));
        let mut catalog = catalog(restarted);
        fill(&mut catalog, &both);
        assert_eq!(catalog.experiments[0].iterations[0].rollout, None, "it had another seed");
        let one = flag(r#""rules": [{"id": "r1", "rollout": ONE}], "fallthrough": {"variation": 0}"#);
        assert_eq!(filled("", &one), (Some(1), String::new()), "the only one there is");
    }

    #[test]
    fn an_experiment_that_gets_none_is_told_why() {
        let both = flag(r#""rules": [{"id": "r1", "rollout": ONE}], "fallthrough": {"rollout": TWO}"#);
        let why = |experiment: &str, payload: &Payload| {
            let (_, note) = filled(experiment, payload);
            note.strip_prefix("no rollout for the experiment e: ").unwrap().to_owned()
        };
        assert_eq!(
            why("", &both),
            "several rules of cta run one (rule r1, default rule); name its rule in the catalog"
        );
        assert_eq!(why("rule = \"r9\"", &both), "rule r9 of cta runs none; rule r1, default rule does");
        assert_eq!(why("started_at = 1\nended_at = 2", &both), "it has ended, and a payload holds what is served now");
        let mut other = Payload::default();
        other.flags.insert("CTA".to_owned(), Flag::default());
        assert_eq!(why("", &other), "the payload has no flag cta; CTA is near it");
        assert_eq!(why("", &flag(r#""fallthrough": {"variation": 1}"#)), "no rule of cta runs an experiment now");
        let one = flag(r#""fallthrough": {"rollout": ONE}"#);
        let by_user = payload::read(
            r#"{"key": "cta", "salt": "s", "fallthrough": {"rollout": {"kind": "experiment", "seed": 1, "variations": [{"variation": 0, "weight": 100000}]}}}"#,
        );
        assert_eq!(
            why("", &by_user),
            "the default rule of cta deals out by user, and the catalog randomizes by device; correct randomization_unit"
        );
        let own = "rollout = { seed = 9, variations = [{ variation = 0, weight = 100000 }] }";
        assert_eq!(
            why(own, &one),
            "the catalog gives another one (seed 9) than the default rule of cta has (seed 1); the catalog's is taken"
        );
        assert_eq!(filled(&own.replace('9', "1"), &one), (Some(1), String::new()));
        let mut short = one.clone();
        short.flags.get_mut("cta").unwrap().rules[0].rollout.variations[0].weight = 5;
        assert!(why("", &short).starts_with("the default rule of cta: the weights add up to 5; expected 100000"));
    }
}
