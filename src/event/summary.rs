//! What a `summary` event counts: the only trace of evaluations that sent no event of their own (E13).

use crate::json::{self, JsonString, Value};
use std::borrow::Cow;

/// The evaluations of one flag in one summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlagSummary<'a> {
    /// Flag key.
    pub flag: Cow<'a, str>,
    /// Context kinds the flag was evaluated with; none where the SDK does not say.
    pub context_kinds: Option<Vec<Cow<'a, str>>>,
    /// Counts by variation and version.
    pub counters: Vec<Counter>,
}

/// One counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Variation served; none where the code default was.
    pub variation: Option<i64>,
    /// Flag version.
    pub version: Option<i64>,
    /// The flag was not known to the SDK, or the SDK not initialised.
    pub unknown: bool,
    /// Evaluations.
    pub count: u64,
}

/// Reads the `features` of a summary. What is not of the expected shape is passed over: a summary only explains.
pub fn flags(features: &str) -> Vec<FlagSummary<'_>> {
    let mut flags = Vec::new();
    json::members(features, |flag, value| {
        let Value::Object(value) = value else { return };
        let mut summary = FlagSummary { flag: flag.text(), ..FlagSummary::default() };
        json::members(value, |name, value| match (name.raw, value) {
            ("contextKinds", Value::Array(kinds)) => {
                let mut read = Vec::new();
                json::elements(kinds, |kind| read.extend(kind.string().map(JsonString::text)));
                summary.context_kinds = Some(read);
            }
            ("counters", Value::Array(counters)) => json::elements(counters, |counter| {
                if let Value::Object(counter) = counter {
                    summary.counters.push(self::counter(counter));
                }
            }),
            _ => {}
        });
        flags.push(summary);
    });
    flags
}

fn counter(text: &str) -> Counter {
    let mut counter = Counter::default();
    json::members(text, |name, value| match name.raw {
        "variation" => counter.variation = value.integer(),
        "version" => counter.version = value.integer(),
        "unknown" => counter.unknown = value == Value::Bool(true),
        "count" => counter.count = value.integer().and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        _ => {}
    });
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_context_kinds_are_read() {
        let read = flags(
            r#"{"exp-device":{"default":"d","contextKinds":["user"],"counters":[{"count":2,"value":"control","variation":0,"version":7}]},
                "gone":{"default":1,"counters":[{"unknown":true,"value":1,"count":3}]}}"#,
        );
        assert_eq!(
            read,
            vec![
                FlagSummary {
                    flag: "exp-device".into(),
                    context_kinds: Some(vec!["user".into()]),
                    counters: vec![Counter { variation: Some(0), version: Some(7), unknown: false, count: 2 }],
                },
                FlagSummary {
                    flag: "gone".into(),
                    context_kinds: None,
                    counters: vec![Counter { variation: None, version: None, unknown: true, count: 3 }],
                },
            ]
        );
    }
}
