//! The flag payload of a server-side SDK as a catalog: flags, the experiments among their rollouts, and their units.
//!
//! An SDK key is all it takes. The payload knows no experiment by name, no metric, and not since when an experiment
//! runs: each rollout of an experiment becomes one that is named after its flag, and the file says what to fill in.

use super::assembly::{Assembly, Pulled};
use super::flag_json::{Notation, flag_json, rules};
use super::layout::{Part, Remark};
use crate::bucketing::{self, fill};
use serde_json::{Value, json};

/// Reads a payload, as `/sdk/latest-all` answers it and as a stream puts it.
///
/// # Errors
/// Why it is none.
pub fn from_text(text: &str) -> Result<Pulled, String> {
    let answer: Value = serde_json::from_str(text)
        .map_err(|error| format!("the flag payload is not JSON (line {}, column {})", error.line(), error.column()))?;
    let payload = answer.get("data").filter(|data| data.get("flags").is_some()).unwrap_or(&answer);
    let Some(flags) = payload.get("flags").and_then(Value::as_object) else {
        return Err("the flag payload has no flags; expected what /sdk/latest-all answers".to_owned());
    };
    let mut assembly = Assembly::default();
    let mut experiments = 0;
    for (key, flag) in flags.iter().filter(|(_, flag)| flag.get("deleted") != Some(&Value::Bool(true))) {
        assembly.add(&Part::Flag(key.clone()), flag_json(key, flag, Notation::Payload));
        for rule in rules(flag, Notation::Payload).filter(|rule| rule.serves() == "experiment") {
            // The one by the default rule has the flag's name: it is the one people mean.
            let name = if rule.id == "fallthrough" { key.clone() } else { format!("{key}-{}", rule.id) };
            let part = Part::Experiment(name.clone());
            assembly.add(
                &part,
                json!({
                    "key": name,
                    "flag": key,
                    "randomization_unit": rule.unit(),
                    "rule": rule.id,
                    "variations": rule.arms(),
                    "flag_config_version": flag.get("version").filter(|version| version.is_i64()),
                    "started_at": "1970-01-01T00:00:00Z",
                }),
            );
            assembly.note(
                part,
                "LaunchDarkly's key of this experiment, its metrics and when it started are not in a flag payload: \
                 fill in key, metrics and started_at"
                    .to_owned(),
            );
            experiments += 1;
        }
    }
    let flags = flags.len();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    assembly.name(
        Part::Whole,
        &format!("{}, {} among their rollouts.", counted(flags, "flag"), counted(experiments, "experiment")),
    );
    let mut pulled = assembly.finish()?;
    let left_out = fill::fill(&mut pulled.catalog, &bucketing::payload::read(text));
    pulled.notes.extend(left_out.into_iter().map(|text| Remark { about: Part::Whole, text }));
    Ok(pulled)
}
