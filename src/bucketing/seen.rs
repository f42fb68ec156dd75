//! Flags that were seen on their way to SDKs: what of them may be judged by, and how a recording keeps it.
//!
//! Whoever names a file of flags says that they are the ones. Flags that merely passed by prove less: they may be those
//! of another environment, and they may change while events of before and after are judged by them. A rollout is a
//! proof only where it was the same whenever it was seen; where it was not, nobody can tell any more by which of them an
//! evaluation was made, and there is none.

use super::payload::{Flag, Payload, RuleRollout};
use crate::catalog::{Environment, Rule};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Flags told apart; more than any environment has, and a bound for what a stream can make of memory.
const MAX_FLAGS: usize = 20_000;

/// The flags seen so far, by the masked credential that they were answered to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    environments: BTreeMap<String, BTreeMap<String, Known>>,
    flags: usize,
}

/// A flag that was seen. One that is deleted stays: it was served before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// As it was seen last, with its experiments only.
    flag: Flag,
    /// Its experiments dealt out otherwise before.
    has_changed: bool,
}

impl Seen {
    /// Takes flags that were answered to a credential (masked; empty where there was none). True if what may be judged
    /// by is another than before.
    pub fn take(&mut self, credential: &str, payload: Payload) -> bool {
        let mut is_news = false;
        for (key, mut flag) in payload.flags {
            flag.rules.retain(|rule| rule.is_experiment);
            let known = self.environments.get_mut(credential).and_then(|environment| environment.get_mut(&key));
            match known {
                Some(known) => {
                    // A version that has no experiment any more ends one; it does not deal out otherwise.
                    let has_changed =
                        !flag.rules.is_empty() && !known.flag.rules.is_empty() && flag.rules != known.flag.rules;
                    let begins = known.flag.rules.is_empty() && !flag.rules.is_empty();
                    is_news |= begins || has_changed && !known.has_changed;
                    known.has_changed |= has_changed;
                    if !flag.rules.is_empty() || known.flag.rules.is_empty() {
                        known.flag = flag;
                    }
                }
                None if self.flags < MAX_FLAGS => {
                    is_news |= !flag.rules.is_empty();
                    self.flags += 1;
                    let environment = self.environments.entry(credential.to_owned()).or_default();
                    environment.insert(key, Known { flag, has_changed: false });
                }
                None => {}
            }
        }
        is_news
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.flags == 0
    }

    /// How many flags, and how many of them run an experiment.
    pub fn counts(&self) -> (usize, usize) {
        let flags = self.environments.values().flat_map(BTreeMap::values);
        (self.flags, flags.filter(|known| !known.flag.rules.is_empty()).count())
    }

    /// What may be judged by in an environment: credentials the environment does not name are another's. With it come the
    /// flags that run an experiment and prove nothing, with why.
    pub fn proofs(&self, environment: &Environment) -> (Payload, BTreeMap<String, &'static str>) {
        let is_ours = |credential: &str| {
            environment.credentials.as_ref().is_none_or(|ours| ours.iter().any(|ours| ours == credential))
        };
        let ours = self.environments.iter().filter(|(credential, _)| is_ours(credential));
        let (mut flags, mut refused) = (BTreeMap::<&str, &Known>::new(), BTreeMap::<String, &'static str>::new());
        for (key, known) in ours.flat_map(|(_, flags)| flags) {
            if known.has_changed {
                refused.insert(key.clone(), "its rollout changed while it was watched");
            }
            match flags.get(key.as_str()) {
                Some(other) if other.flag.rules != known.flag.rules => {
                    refused.insert(key.clone(), "it has another rollout under another SDK key; name this environment's credentials in the catalog");
                }
                Some(_) => {}
                None => {
                    flags.insert(key, known);
                }
            }
        }
        let flags = flags.into_iter().filter(|(key, _)| !refused.contains_key(*key));
        let flags = flags.map(|(key, known)| (key.to_owned(), known.flag.clone())).collect();
        (Payload { flags, faults: Vec::new() }, refused)
    }

    /// What a recording keeps of it: for each credential its flags with experiments, in the notation of a flag payload.
    /// Segments, targets and rules' clauses, which name people, are not in it.
    pub fn to_json(&self) -> Value {
        let environment = |(credential, flags): (&String, &BTreeMap<String, Known>)| {
            let flags = flags.iter().filter(|(_, known)| !known.flag.rules.is_empty());
            let flags: Map<String, Value> = flags.map(|(key, known)| (key.clone(), flag_json(known))).collect();
            (!flags.is_empty()).then(|| json!({"credential": credential, "flags": flags}))
        };
        self.environments.iter().filter_map(environment).collect()
    }

    /// Takes what a recording kept. What cannot be read of it is passed over, as whatever a later version writes is.
    pub fn take_json(&mut self, text: &str) {
        let Ok(Value::Array(environments)) = serde_json::from_str(text) else { return };
        for environment in environments {
            let credential = environment.get("credential").and_then(Value::as_str).unwrap_or_default();
            let Some(Value::Object(flags)) = environment.get("flags") else { continue };
            self.take(credential, super::payload::read(&json!({"flags": flags}).to_string()));
            let changed = flags.iter().filter(|(_, flag)| flag.get("changed") == Some(&Value::Bool(true)));
            for (key, _) in changed {
                let known = self.environments.get_mut(credential).and_then(|flags| flags.get_mut(key));
                if let Some(known) = known {
                    known.has_changed = true;
                }
            }
        }
    }
}

fn flag_json(known: &Known) -> Value {
    let Known { flag, has_changed } = known;
    let rollout = |rule: &RuleRollout| {
        let shares =
            rule.rollout.variations.iter().map(
                |share| json!({"variation": share.variation, "weight": share.weight, "untracked": share.untracked}),
            );
        let seed = rule.rollout.seed;
        json!({
            "kind": "experiment", "contextKind": rule.context_kind, "seed": seed, "variations": shares.collect::<Value>(),
        })
    };
    let by_id = flag.rules.iter().filter_map(|rule| match &rule.rule {
        Rule::Id(id) => Some(json!({"id": id, "rollout": rollout(rule)})),
        Rule::Fallthrough => None,
    });
    let fallthrough = flag.rules.iter().find(|rule| rule.rule == Rule::Fallthrough);
    let mut json = json!({
        "version": flag.version,
        "on": flag.is_on,
        "salt": flag.rules.first().and_then(|rule| rule.rollout.salt.clone()),
        "variations": flag.variations,
        "rules": by_id.collect::<Value>(),
        "fallthrough": fallthrough.map(|rule| json!({"rollout": rollout(rule)})),
    });
    if *has_changed && let Value::Object(members) = &mut json {
        members.insert("changed".to_owned(), Value::Bool(true));
    }
    json
}

impl Flag {
    /// Its only experiment: by which rule, and how it deals out. None where there are several, or none that can be.
    pub fn only_experiment(&self) -> Option<&RuleRollout> {
        let mut experiments = self.rules.iter().filter(|rule| rule.is_experiment && rule.rollout.fault().is_none());
        experiments.next().filter(|_| experiments.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::payload::read;
    use super::*;

    fn payload(seed: u32) -> Payload {
        let payload = read(&format!(
            r#"{{"flags": {{
                "cta": {{"version": 7, "on": true, "salt": "s", "variations": ["control", "treatment"],
                    "targets": [{{"values": ["ann@shop.example"], "variation": 1}}],
                    "rules": [{{"id": "r1", "clauses": [{{"attribute": "email", "op": "in", "values": ["ann@shop.example"]}}],
                        "rollout": {{"kind": "experiment", "contextKind": "device", "seed": {seed}, "variations": [
                            {{"variation": 0, "weight": 50000}}, {{"variation": 1, "weight": 50000, "untracked": true}}]}}}}],
                    "fallthrough": {{"variation": 0}}}},
                "plain": {{"version": 1, "on": true, "salt": "t", "fallthrough": {{"variation": 0}}}}
            }}, "segments": {{"vip": {{"included": ["ann@shop.example"]}}}}}}"#
        ));
        assert_eq!(payload.faults, [""; 0]);
        payload
    }

    fn proven(seen: &Seen, environment: &Environment) -> (Vec<String>, Vec<String>) {
        let (payload, notes) = seen.proofs(environment);
        let flags = payload.flags.iter().filter(|(_, flag)| !flag.rules.is_empty()).map(|(key, _)| key.clone());
        (flags.collect(), notes.iter().map(|(key, why)| format!("{key}: {why}")).collect())
    }

    #[test]
    fn the_same_flags_again_are_no_news_and_another_rollout_proves_nothing_any_more() {
        let (mut seen, anywhere) = (Seen::default(), Environment::default());
        assert!(seen.take("sdk-…1", payload(61)));
        assert_eq!((seen.counts(), proven(&seen, &anywhere)), ((2, 1), (vec!["cta".to_owned()], Vec::new())));
        assert!(!seen.take("sdk-…1", payload(61)));
        assert!(!seen.take("sdk-…1", read(r#"{"key": "cta", "version": 8, "fallthrough": {"variation": 1}}"#)));
        assert_eq!(proven(&seen, &anywhere).0, ["cta"], "an experiment that has ended ran before");
        assert!(seen.take("sdk-…1", payload(62)));
        assert!(!seen.take("sdk-…1", payload(61)), "it is known already");
        let told = "cta: its rollout changed while it was watched";
        assert_eq!(proven(&seen, &anywhere), (Vec::new(), vec![told.to_owned()]));
    }

    #[test]
    fn flags_of_two_environments_prove_something_where_the_catalog_says_which_is_meant() {
        let mut seen = Seen::default();
        seen.take("sdk-…1", payload(61));
        seen.take("sdk-…2", payload(62));
        let (flags, notes) = proven(&seen, &Environment::default());
        assert_eq!((flags, notes.len()), (Vec::new(), 1));
        let production = Environment { credentials: Some(vec!["sdk-…2".to_owned()]), ..Environment::default() };
        assert_eq!(proven(&seen, &production), (vec!["cta".to_owned()], Vec::new()));
        let (payload, _) = seen.proofs(&production);
        assert_eq!(payload.flags.get("cta").unwrap().only_experiment().unwrap().rollout.seed, Some(62));
    }

    #[test]
    fn a_recording_keeps_what_proves_something_and_nobody_s_name() {
        let mut seen = Seen::default();
        seen.take("sdk-…1", payload(61));
        seen.take("sdk-…2", payload(61));
        seen.take("sdk-…2", payload(62));
        let kept = seen.to_json().to_string();
        for name in ["ann", "vip", "clauses", "plain"] {
            assert!(!kept.contains(name), "{name} in {kept}");
        }
        let mut read = Seen::default();
        read.take_json(&kept);
        assert_eq!(read.to_json(), seen.to_json());
        for credential in ["sdk-…1", "sdk-…2"] {
            let environment = Environment { credentials: Some(vec![credential.to_owned()]), ..Environment::default() };
            assert_eq!(proven(&read, &environment), proven(&seen, &environment));
        }
        for damaged in ["", "7", "[7]", "[{}]", r#"[{"flags": {"f": 7}}]"#] {
            let before = read.clone();
            read.take_json(damaged);
            assert_eq!(read, before, "{damaged}");
        }
    }
}
