//! Events as current SDKs write them.

use super::context::{Context, Written};
use super::flags::{Reason, Served};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What was evaluated since the last flush.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) features: BTreeMap<&'static str, FlagSummary>,
    pub(super) context: Option<Context>,
}

/// One flag of it.
#[derive(Debug)]
pub(super) struct FlagSummary {
    pub(super) default: &'static str,
    pub(super) kinds: Vec<&'static str>,
    pub(super) counters: BTreeMap<Option<(usize, u32)>, (&'static str, u64)>,
}

pub(super) fn whole(context: &Context) -> Written<'_> {
    Written { context, redact_anonymous: false }
}

pub(super) fn written_reason(served: &Served) -> WrittenReason {
    let mut reason =
        WrittenReason { kind: "FALLTHROUGH", rule_id: None, rule_index: None, error_kind: None, in_experiment: None };
    match served.reason {
        Reason::Fallthrough => {}
        Reason::Rule(id) => {
            reason.kind = "RULE_MATCH";
            reason.rule_id = Some(id);
            reason.rule_index = Some(0);
        }
        Reason::TargetMatch => reason.kind = "TARGET_MATCH",
        Reason::Off => reason.kind = "OFF",
        Reason::ClientNotReady => {
            reason.kind = "ERROR";
            reason.error_kind = Some("CLIENT_NOT_READY");
        }
    }
    reason.in_experiment = served.in_experiment.then_some(true);
    reason
}

#[derive(Serialize)]
pub(super) struct ContextEvent<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "creationDate")]
    pub(super) creation_ms: i64,
    pub(super) context: Written<'a>,
}

#[derive(Serialize)]
pub(super) struct Evaluated<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "creationDate")]
    pub(super) creation_ms: i64,
    pub(super) context: Written<'a>,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) default: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) variation: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<WrittenReason>,
    #[serde(rename = "samplingRatio", skip_serializing_if = "Option::is_none")]
    pub(super) sampling_ratio: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenReason {
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule_id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_experiment: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Custom<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "creationDate")]
    pub(super) creation_ms: i64,
    pub(super) key: &'a str,
    pub(super) context: Written<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Value>,
    #[serde(rename = "metricValue", skip_serializing_if = "Option::is_none")]
    pub(super) metric_value: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Page<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "creationDate")]
    pub(super) creation_ms: i64,
    #[serde(rename = "contextKeys")]
    pub(super) context_keys: BTreeMap<&'static str, &'a str>,
    pub(super) key: &'a str,
    pub(super) url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) selector: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenSummary<'a> {
    pub(super) start_date: i64,
    pub(super) end_date: i64,
    pub(super) features: BTreeMap<&'static str, WrittenFlag<'a>>,
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Written<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenFlag<'a> {
    pub(super) default: &'static str,
    pub(super) counters: Vec<Counter>,
    pub(super) context_kinds: &'a [&'static str],
}

#[derive(Serialize)]
pub(super) struct Counter {
    pub(super) value: &'static str,
    pub(super) count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) variation: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<bool>,
}

impl<'a> From<&'a Summary> for WrittenSummary<'a> {
    fn from(summary: &'a Summary) -> Self {
        let features = summary.features.iter().map(|(key, flag)| {
            let counters = flag
                .counters
                .iter()
                .map(|(found, (value, count))| Counter {
                    value,
                    count: *count,
                    variation: found.map(|(variation, _)| variation),
                    version: found.map(|(_, version)| version),
                    unknown: found.is_none().then_some(true),
                })
                .collect();
            (*key, WrittenFlag { default: flag.default, counters, context_kinds: &flag.kinds })
        });
        Self {
            start_date: summary.start_ms,
            end_date: summary.end_ms,
            features: features.collect(),
            kind: "summary",
            context: summary.context.as_ref().map(whole),
        }
    }
}
