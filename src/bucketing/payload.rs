//! Reading the flags as SDKs get them: what `/sdk/latest-all` answers, a message of the stream, or one flag by itself.
//!
//! Reading is total. Whatever cannot be a rollout is left out and named; nothing else of the payload is asked.

use super::{Rollout, Share};
use crate::catalog::Rule;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The rollouts of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The flags, by key.
    pub flags: BTreeMap<String, Flag>,
    /// What could not be read, a sentence each.
    pub faults: Vec<String>,
}

/// A flag, as far as bucketing goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flag {
    /// Version.
    pub version: Option<i64>,
    /// Whether it is on; absent counts as off, as it does for SDKs.
    pub is_on: bool,
    /// Its variations, as they can be shown.
    pub variations: Vec<String>,
    /// The rules that deal out by percentage, the default rule last.
    pub rules: Vec<RuleRollout>,
}

/// A rule that deals keys out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRollout {
    /// Which rule.
    pub rule: Rule,
    /// Whether it is an experiment's; otherwise nobody is marked as in one.
    pub is_experiment: bool,
    /// The context kind whose key is hashed.
    pub context_kind: String,
    /// The rollout.
    pub rollout: Rollout,
}

impl Flag {
    /// The name of a variation, for people: its index and, where it is short, its value.
    pub fn variation_name(&self, variation: i64) -> String {
        let value = usize::try_from(variation).ok().and_then(|index| self.variations.get(index));
        match value {
            Some(value) if !value.is_empty() => format!("variation {variation} ({value})"),
            _ => format!("variation {variation}"),
        }
    }
}

/// The name of a rule, for people.
pub fn rule_name(rule: &Rule) -> String {
    match rule {
        Rule::Fallthrough => "default rule".to_owned(),
        Rule::Id(id) => format!("rule {id}"),
    }
}

/// Reads a payload.
pub fn read(text: &str) -> Payload {
    let mut payload = Payload::default();
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str::<Value>(text) {
        Ok(value) => payload.document(&value),
        Err(error) => {
            let messages = stream_messages(text);
            if messages.is_empty() {
                payload.faults.push(format!("this is not JSON: {error}; expected {EXPECTED}"));
            }
            for message in messages {
                match serde_json::from_str::<Value>(&message) {
                    Ok(value) => payload.document(&value),
                    Err(error) => payload.faults.push(format!("a message of the stream is not JSON: {error}")),
                }
            }
        }
    }
    payload
}

const EXPECTED: &str =
    "what /sdk/latest-all answers an SDK key, {\"flags\":{…}}, a put message of the stream, or one flag";

/// The data of the messages of an event stream, as a terminal or a proxy shows them.
fn stream_messages(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut data = String::new();
    for line in text.lines().chain([""]) {
        if let Some(more) = line.strip_prefix("data:") {
            data.push_str(more);
            data.push('\n');
        } else if line.is_empty() && !data.is_empty() {
            messages.push(std::mem::take(&mut data));
        }
    }
    messages
}

impl Payload {
    fn document(&mut self, value: &Value) {
        let Value::Object(members) = value else {
            self.faults.push(format!("found {}; expected {EXPECTED}", described(value)));
            return;
        };
        if let Some(flags) = members.get("flags") {
            match flags {
                Value::Object(flags) => flags.iter().for_each(|(key, flag)| self.flag(key, flag)),
                other => self.faults.push(format!("flags is {}; expected an object of flags", described(other))),
            }
        } else if let Some(data @ Value::Object(_)) = members.get("data") {
            // `put` holds everything, `patch` one flag or segment; a heartbeat's data is no object.
            let is_segment = members.get("path").and_then(Value::as_str).is_some_and(|it| it.starts_with("/segments"));
            if !is_segment {
                self.document(data);
            }
        } else if let Some(Value::Array(events)) = members.get("events") {
            // What newer SDKs get: a list of changes, of which those that give something have it under `object`.
            events.iter().filter_map(|event| event.get("data")).for_each(|data| self.change(data));
        } else if members.contains_key("object") {
            self.change(value);
        } else if members.contains_key("environments") || members.contains_key("_links") {
            self.faults.push(format!("this is a flag of the REST API, which has no seed; expected {EXPECTED}"));
        } else if let Some(Value::String(key)) = members.get("key") {
            self.flag(key, value);
        } else if members.values().any(|item| item.get("flagVersion").is_some()) {
            let what = "this is what a client-side SDK gets: results for one context, without rollouts";
            self.faults.push(format!("{what}; expected {EXPECTED}"));
        } else {
            self.faults.push(format!("there are no flags in it; expected {EXPECTED}"));
        }
    }

    /// A change as newer SDKs get it: `{"kind":"flag","key":…,"object":{…}}`; segments and marks of progress are none
    /// of a flag.
    fn change(&mut self, data: &Value) {
        let is_flag = data.get("kind").and_then(Value::as_str) == Some("flag");
        if let (true, Some(key), Some(flag)) = (is_flag, data.get("key").and_then(Value::as_str), data.get("object")) {
            self.flag(key, flag);
        }
    }

    fn flag(&mut self, key: &str, value: &Value) {
        let Value::Object(members) = value else {
            self.faults.push(format!("flag {key} is {}; expected an object", described(value)));
            return;
        };
        if members.get("deleted").and_then(Value::as_bool) == Some(true) {
            self.flags.remove(key);
            return;
        }
        let salt = members.get("salt").and_then(Value::as_str).map(str::to_owned);
        let mut flag = Flag {
            version: members.get("version").and_then(Value::as_i64),
            is_on: members.get("on").and_then(Value::as_bool).unwrap_or_default(),
            variations: members.get("variations").and_then(Value::as_array).into_iter().flatten().map(shown).collect(),
            rules: Vec::new(),
        };
        let rules = members.get("rules").and_then(Value::as_array).into_iter().flatten();
        let rules = rules.zip(1..).map(|(rule, number)| {
            let id = rule.get("id").and_then(Value::as_str);
            (Rule::Id(id.map_or_else(|| format!("{number}"), str::to_owned)), Some(rule))
        });
        for (rule, value) in rules.chain([(Rule::Fallthrough, members.get("fallthrough"))]) {
            let Some(rollout) = value.filter(|value| is_absent(value.get("variation"))) else { continue };
            let Some(rollout) = rollout.get("rollout").filter(|rollout| !rollout.is_null()) else { continue };
            match rule_rollout(rule.clone(), rollout, salt.clone()) {
                Ok(rollout) => flag.rules.push(rollout),
                Err(fault) => self.faults.push(format!("flag {key}, {}: {fault}", rule_name(&rule))),
            }
        }
        self.flags.insert(key.to_owned(), flag);
    }
}

fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

fn rule_rollout(rule: Rule, value: &Value, salt: Option<String>) -> Result<RuleRollout, String> {
    let Value::Object(members) = value else {
        return Err(format!("rollout is {}; expected an object", described(value)));
    };
    let is_experiment = members.get("kind").and_then(Value::as_str) == Some("experiment");
    let context_kind = match members.get("contextKind") {
        None | Some(Value::Null) => "user".to_owned(),
        Some(Value::String(kind)) if !kind.is_empty() => kind.clone(),
        Some(other) => return Err(format!("contextKind is {}; expected the name of a context kind", described(other))),
    };
    // An experiment always goes by key, whatever this says.
    if !is_experiment
        && let Some(attribute) = members.get("bucketBy").filter(|attribute| !attribute.is_null())
        && !matches!(attribute.as_str(), Some("key" | "/key" | ""))
    {
        return Err(format!("it buckets by {}, which a key does not tell; expected by key", described(attribute)));
    }
    let seed = match members.get("seed") {
        None | Some(Value::Null) => None,
        Some(seed) => Some(
            seed.as_i64().ok_or_else(|| format!("seed is {}; expected a whole number of 64 bits", described(seed)))?,
        ),
    };
    let variations = match members.get("variations") {
        Some(Value::Array(shares)) if !shares.is_empty() => {
            shares.iter().zip(1..).map(|(share, number)| read_share(share, number)).collect::<Result<_, _>>()?
        }
        Some(Value::Array(_)) | None => return Err("variations is empty; expected at least one".to_owned()),
        Some(other) => return Err(format!("variations is {}; expected an array", described(other))),
    };
    Ok(RuleRollout { rule, is_experiment, context_kind, rollout: Rollout { seed, salt, variations } })
}

fn read_share(value: &Value, number: usize) -> Result<Share, String> {
    let none = Map::new();
    let members = value.as_object().unwrap_or(&none);
    let member = |name: &str, expected: &str| {
        let value = members.get(name).unwrap_or(&Value::Null);
        let whole = || value.as_f64().filter(|it| it.fract() == 0.0 && (0.0..=1e9).contains(it)).map(|it| it as i64);
        value.as_i64().filter(|it| *it >= 0).or_else(whole).ok_or_else(|| {
            format!("{name} of variation {number} in its rollout is {}; expected {expected}", described(value))
        })
    };
    let weight = member("weight", "a whole number from 0")?;
    Ok(Share {
        variation: member("variation", "the index of a variation, from 0")?,
        weight: u32::try_from(weight).map_err(|_| format!("weight {weight} is too large; expected up to 100000"))?,
        untracked: members.get("untracked").and_then(Value::as_bool).unwrap_or_default(),
    })
}

/// A value in few words, for an error or a name.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => crate::catalog::tree::quoted(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A variation's value, if it is short enough to be a name.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 24;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => return String::new(),
        other => other.to_string(),
    };
    if text.chars().count() > LONGEST { String::new() } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    const FLAG: &str = r#"{"key": "cta", "version": 7, "on": true, "salt": "c0ffee", "variations": ["control", "treatment"],
        "rules": [
            {"id": "r1", "variation": 1},
            {"id": "r2", "rollout": {"variations": [{"variation": 0, "weight": 100000}]}}
        ],
        "fallthrough": {"rollout": {"kind": "experiment", "contextKind": "device", "seed": 61, "bucketBy": "email", "variations": [
            {"variation": 0, "weight": 10000}, {"variation": 1, "weight": 10000.0}, {"variation": 0, "weight": 80000, "untracked": true}
        ]}}}"#;

    #[test]
    fn all_forms_of_a_payload_hold_the_same_flag() {
        let one = read(FLAG);
        assert_eq!(one.faults, Vec::<String>::new());
        let flag = &one.flags["cta"];
        assert_eq!((flag.version, flag.is_on, flag.rules.len()), (Some(7), true, 2));
        assert_eq!((&flag.rules[0].rule, flag.rules[0].is_experiment), (&Rule::Id("r2".to_owned()), false));
        let fallthrough = &flag.rules[1];
        assert_eq!((fallthrough.is_experiment, fallthrough.context_kind.as_str()), (true, "device"));
        assert_eq!((fallthrough.rollout.seed, fallthrough.rollout.salt.as_deref()), (Some(61), Some("c0ffee")));
        assert_eq!(fallthrough.rollout.variations[1], Share { variation: 1, weight: 10_000, untracked: false });
        assert!(fallthrough.rollout.variations[2].untracked);
        assert_eq!(flag.variation_name(1), "variation 1 (treatment)");
        assert_eq!(flag.variation_name(-1), "variation -1");

        let all = format!("\u{feff}{{\"flags\": {{\"cta\": {FLAG}}}, \"segments\": {{}}}}");
        assert_eq!(read(&all), one);
        let put = format!("{{\"path\": \"/\", \"data\": {all}}}").replace('\u{feff}', "").replace('\n', " ");
        assert_eq!(read(&put), one);
        let segment = "{\"path\": \"/segments/s\", \"data\": {\"key\": \"s\", \"version\": 2}}";
        let stream = format!("event: put\ndata: {put}\n\n:heartbeat\n\nevent: patch\ndata: {segment}\n");
        assert_eq!(read(&stream), one);
        let change = format!(r#"{{"version": 7, "kind": "flag", "key": "cta", "object": {FLAG}}}"#).replace('\n', " ");
        assert_eq!(read(&change), one);
        let other = r#"{"version": 7, "kind": "segment", "key": "cta", "object": {"included": ["u-1"]}}"#;
        let intent = r#"{"payloads": [{"id": "p", "target": 7, "intentCode": "xfer-full"}]}"#;
        let events = [intent, other, &change].map(|data| format!(r#"{{"event": "put-object", "data": {data}}}"#));
        assert_eq!(read(&format!(r#"{{"events": [{}]}}"#, events.join(","))), one);
        let deleted = format!("data: {put}\n\ndata: {{\"data\": {{\"key\": \"cta\", \"deleted\": true}}}}\n\n");
        assert_eq!(read(&deleted), Payload::default());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_costs_nothing_else() {
        let fault = |text: &str| read(text).faults.join("; ");
        assert!(fault("oops").starts_with("this is not JSON: "), "{}", fault("oops"));
        assert!(fault("[]").starts_with("found an array; expected what /sdk/latest-all answers"));
        assert!(fault("{}").starts_with("there are no flags in it"));
        assert!(fault(r#"{"flags": 7}"#).starts_with("flags is 7; expected an object of flags"));
        assert!(fault(r#"{"key": "f", "environments": {}}"#).starts_with("this is a flag of the REST API"));
        assert!(fault(r#"{"f": {"flagVersion": 3, "value": 1}}"#).starts_with("this is what a client-side SDK gets"));
        assert!(fault("data: {\n\n").starts_with("a message of the stream is not JSON"));
        for (was, is, expected) in [
            (
                "\"seed\": 61",
                "\"seed\": 61.5",
                "flag cta, default rule: seed is 61.5; expected a whole number of 64 bits",
            ),
            (
                "\"seed\": 61",
                "\"seed\": \"61\"",
                "flag cta, default rule: seed is \"61\"; expected a whole number of 64 bits",
            ),
            ("\"device\"", "7", "flag cta, default rule: contextKind is 7; expected the name of a context kind"),
            (
                "\"weight\": 80000",
                "\"weight\": -1",
                "flag cta, default rule: weight of variation 3 in its rollout is -1; expected a whole number from 0",
            ),
            (
                "\"weight\": 80000",
                "\"weight\": 1e300",
                "flag cta, default rule: weight of variation 3 in its rollout is 1e+300; expected a whole number from 0",
            ),
            (
                "\"weight\": 80000",
                "\"weight\": 9999999999",
                "flag cta, default rule: weight 9999999999 is too large; expected up to 100000",
            ),
            (
                "{\"variation\": 0, \"weight\": 10000}",
                "7",
                "flag cta, default rule: weight of variation 1 in its rollout is missing; expected a whole number from 0",
            ),
        ] {
            let payload = read(&FLAG.replace(was, is));
            assert_eq!(payload.faults, [expected]);
            assert_eq!(payload.flags["cta"].rules.len(), 1, "the other rule is read");
        }
        let by_email = FLAG.replace("\"kind\": \"experiment\"", "\"kind\": \"rollout\"");
        assert!(fault(&by_email).contains("it buckets by \"email\""));
    }

    proptest! {
        #[test]
        fn no_text_whatever_makes_reading_panic(text in r#"(data:|\{|\}|\[|\]|"flags"|"key"|"rules"|"fallthrough"|"rollout"|"variations"|"data"|:|,|"|[0-9]|\n|[a-z ]){0,60}"#) {
            let payload = read(&text);
            for flag in payload.flags.values() {
                for rule in &flag.rules {
                    rule.rollout.bucket("f", "k");
                }
            }
        }
    }
}
