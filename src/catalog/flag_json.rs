//! A flag as LaunchDarkly gives it, by REST or in an SDK's payload, in the notation of a catalog.

use super::write::rollout as rollout_json;
use crate::bucketing::{Rollout, Share};
use serde_json::{Value, json};

/// Weights are thousandths of a percent.
const WEIGHT_OF_A_PERCENT: f64 = 1000.0;

/// Who gives the flag. The two say the same in slightly different words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// The REST API, one environment of a flag.
    Rest,
    /// The payload of a server-side SDK.
    Payload,
}

/// A rule of a flag.
pub(super) struct RuleAnswer<'a> {
    /// Its id, or `fallthrough`.
    pub(super) id: &'a str,
    rule: &'a Value,
    notation: Notation,
}

/// What a flag is set up to do.
pub(super) fn flag_json(key: &str, flag: &Value, notation: Notation) -> Value {
    let rule = |rule: RuleAnswer<'_>| match rule.serves() {
        "variation" => json!({"id": rule.id, "serves": "variation"}),
        serves => json!({"id": rule.id, "serves": serves, "unit": rule.unit()}),
    };
    json!({
        "key": key,
        "on": flag.get("on").filter(|on| on.is_boolean()),
        "archived": flag.get("archived").filter(|archived| archived.is_boolean()),
        "version": flag.get("version").filter(|version| version.is_i64()),
        "rules": rules(flag, notation).map(rule).collect::<Vec<_>>(),
    })
}

/// The rules of a flag in the order they are tried; the default rule is the last.
pub(super) fn rules(flag: &Value, notation: Notation) -> impl Iterator<Item = RuleAnswer<'_>> {
    let id = match notation {
        Notation::Rest => "_id",
        Notation::Payload => "id",
    };
    let own = flag.get("rules").and_then(Value::as_array).into_iter().flatten();
    let own = own.filter_map(move |rule| Some((rule.get(id)?.as_str().filter(|id| !id.is_empty())?, rule)));
    own.chain(flag.get("fallthrough").map(|rule| ("fallthrough", rule))).map(move |(id, rule)| RuleAnswer {
        id,
        rule,
        notation,
    })
}

impl<'a> RuleAnswer<'a> {
    /// Its rollout, unless it serves one variation.
    pub(super) fn rollout(&self) -> Option<&'a Value> {
        self.rule.get("rollout").filter(|rollout| rollout.is_object())
    }

    /// In the word of a catalog.
    pub(super) fn serves(&self) -> &'static str {
        let is_experiment = |rollout: &Value| match self.notation {
            Notation::Rest => rollout.get("experimentAllocation").is_some_and(Value::is_object),
            Notation::Payload => rollout.get("kind").and_then(Value::as_str) == Some("experiment"),
        };
        match self.rollout() {
            None => "variation",
            Some(rollout) if is_experiment(rollout) => "experiment",
            Some(_) => "rollout",
        }
    }

    /// The context kind that its rollout deals out.
    pub(super) fn unit(&self) -> &'a str {
        let unit = self.rollout().and_then(|rollout| rollout.get("contextKind")).and_then(Value::as_str);
        unit.filter(|unit| !unit.is_empty()).unwrap_or("user")
    }

    /// How an experiment's rule deals units out, where all of it is told: it proves where a unit belongs, so nothing in
    /// it may be guessed.
    pub(super) fn dealing(&self, flag: &Value) -> Option<Value> {
        let rollout = self.rollout().filter(|_| self.serves() == "experiment")?;
        let seed = rollout.get("seed")?.as_i64()?;
        let share = |bucket: &Value| {
            let untracked = bucket.get(self.untracked()).and_then(Value::as_bool).unwrap_or_default();
            let weight = u32::try_from(bucket.get("weight")?.as_u64()?).ok()?;
            Some(Share { variation: bucket.get("variation")?.as_i64()?, weight, untracked })
        };
        let variations: Vec<Share> = rollout.get("variations")?.as_array()?.iter().map(share).collect::<Option<_>>()?;
        let salt = flag.get("salt").and_then(Value::as_str).map(str::to_owned);
        let rollout = Rollout { seed: Some(seed), salt, variations };
        rollout.fault().is_none().then(|| rollout_json(&rollout))
    }

    /// What marks traffic that is served and not in the experiment.
    fn untracked(&self) -> &'static str {
        match self.notation {
            Notation::Rest => "_untracked",
            Notation::Payload => "untracked",
        }
    }

    /// The arms of an experiment: the variations whose traffic is in it, with their share in percent.
    pub(super) fn arms(&self) -> Value {
        let mut arms: Vec<(i64, f64)> = Vec::new();
        let buckets = self.rollout().and_then(|rollout| rollout.get("variations")).and_then(Value::as_array);
        for bucket in buckets.into_iter().flatten() {
            let is_tracked = bucket.get(self.untracked()) != Some(&Value::Bool(true));
            let Some(variation) = bucket.get("variation").and_then(Value::as_i64).filter(|_| is_tracked) else {
                continue;
            };
            let share = bucket.get("weight").and_then(Value::as_f64).unwrap_or_default() / WEIGHT_OF_A_PERCENT;
            match arms.iter_mut().find(|(known, _)| *known == variation) {
                Some((_, sum)) => *sum += share,
                None => arms.push((variation, share)),
            }
        }
        // Nothing to say is not the same as no arms.
        if arms.iter().all(|(_, share)| *share == 0.0) {
            return Value::Null;
        }
        arms.iter().map(|(variation, share)| json!({"index": variation, "allocation": share})).collect()
    }
}
