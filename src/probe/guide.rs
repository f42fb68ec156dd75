//! What to do with probes, in words and in the languages of two SDKs; and the same for a command, as variables.

use super::{Probe, ProbeMetric};
use crate::catalog::MetricKind;
use crate::untrusted::Untrusted;
use serde_json::{Value, json};
use std::fmt::Write;

/// A value for metrics that need one: not a whole number, so that a place that makes it one shows.
const VALUE: f64 = 12.5;

/// The language that is shown beside the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snippet {
    /// JavaScript, as the Node.js server SDK has it.
    Node,
    /// Python.
    Python,
    /// Words only.
    None,
}

fn safe(text: &str) -> String {
    Untrusted::from(text).display().to_string()
}

fn quoted(text: &str) -> String {
    safe(&Value::from(text).to_string())
}

/// What to do, for a person. Probes of one experiment follow one another.
pub fn guide(probes: &[Probe], address: &str, snippet: Snippet) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_guide(&mut out, probes, address, snippet);
    out
}

fn write_guide(out: &mut String, probes: &[Probe], address: &str, snippet: Snippet) -> std::fmt::Result {
    writeln!(out, "Set the events URI of an SDK to {address}. Then, for each context below:")?;
    for of_experiment in probes.chunk_by(|one, other| one.experiment == other.experiment) {
        let Some(first) = of_experiment.first() else { continue };
        writeln!(out)?;
        writeln!(out, "{}", safe(&first.experiment))?;
        writeln!(out, "  evaluate  {} (randomized by {})", safe(&first.flag), safe(&first.unit_kind))?;
        for metric in &first.metrics {
            writeln!(out, "  {}", to_do(metric))?;
        }
        writeln!(out, "  then flush, before the process ends")?;
        for probe in of_experiment {
            let arm = probe.expected_arm.as_ref().map_or_else(String::new, |arm| format!("   lands in {}", safe(arm)));
            writeln!(out, "  context   {}{arm}", safe(&probe.context_json().to_string()))?;
        }
        write_snippet(out, first, snippet)?;
    }
    Ok(())
}

fn to_do(metric: &ProbeMetric) -> String {
    let name = safe(&metric.metric);
    match (&metric.event_key, metric.kind) {
        (Some(key), _) if metric.has_value => {
            format!("track     {} with metricValue {VALUE} ({name})", safe(key))
        }
        (Some(key), _) => format!("track     {} ({name})", safe(key)),
        (None, MetricKind::Click) => format!("click     in a browser, on what {name} measures"),
        (None, _) => format!("visit     in a browser, the page that {name} measures"),
    }
}

fn write_snippet(out: &mut String, probe: &Probe, snippet: Snippet) -> std::fmt::Result {
    let flag = quoted(&probe.flag);
    let context = probe.context_json().to_string();
    let events =
        || probe.metrics.iter().filter_map(|metric| Some((quoted(metric.event_key.as_deref()?), metric.has_value)));
    match snippet {
        Snippet::None => {}
        Snippet::Node => {
            writeln!(out, "\n    const context = {};", safe(&context))?;
            writeln!(out, "    await client.variation({flag}, context, null);")?;
            for (event, has_value) in events() {
                let value = if has_value { format!(", null, {VALUE}") } else { String::new() };
                writeln!(out, "    client.track({event}, context{value});")?;
            }
            writeln!(out, "    await client.flush();")?;
        }
        Snippet::Python => {
            writeln!(out, "\n    context = Context.from_dict(json.loads({}))", quoted(&context))?;
            writeln!(out, "    client.variation({flag}, context, None)")?;
            for (event, has_value) in events() {
                let value = if has_value { format!(", metric_value={VALUE}") } else { String::new() };
                writeln!(out, "    client.track({event}, context{value})")?;
            }
            writeln!(out, "    client.flush()")?;
        }
    }
    Ok(())
}

/// What a command that is run for a probe finds in its environment.
pub fn variables(probe: &Probe, address: &str) -> Vec<(&'static str, String)> {
    let event = |metric: &ProbeMetric| {
        let value = metric.has_value.then_some(VALUE);
        Some(json!({"metric": metric.metric, "event": metric.event_key.as_ref()?, "value": value}))
    };
    let events: Vec<Value> = probe.metrics.iter().filter_map(event).collect();
    let first = probe.metrics.iter().find_map(|metric| metric.event_key.clone());
    vec![
        ("EXPTAP_EVENTS_URI", address.to_owned()),
        ("EXPTAP_PROBE_EXPERIMENT", probe.experiment.clone()),
        ("EXPTAP_PROBE_FLAG", probe.flag.clone()),
        ("EXPTAP_PROBE_KIND", probe.unit_kind.clone()),
        ("EXPTAP_PROBE_KEY", probe.unit_key().to_owned()),
        ("EXPTAP_PROBE_CONTEXT", probe.context_json().to_string()),
        ("EXPTAP_PROBE_ARM", probe.expected_arm.clone().unwrap_or_default()),
        ("EXPTAP_PROBE_EVENT", first.unwrap_or_default()),
        ("EXPTAP_PROBE_EVENTS", Value::Array(events).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::ProbeContext;
    use super::*;

    fn probe() -> Probe {
        let context = ProbeContext { key: "exptap-probe-7f3a-1".to_owned(), ..ProbeContext::default() };
        let metric = |metric: &str, event_key: Option<&str>, has_value, kind| ProbeMetric {
            metric: metric.to_owned(),
            event_key: event_key.map(str::to_owned),
            has_value,
            kind,
        };
        Probe {
            experiment: "cta-test".to_owned(),
            iteration: "1".to_owned(),
            flag: "cta".to_owned(),
            unit_kind: "user".to_owned(),
            contexts: [("user".to_owned(), context)].into(),
            expected_arm: Some("treatment".to_owned()),
            metrics: vec![
                metric("conversion", Some("check\"out"), false, MetricKind::Custom),
                metric("revenue", Some("purchase"), true, MetricKind::Custom),
                metric("buy-clicks", None, false, MetricKind::Click),
            ],
        }
    }

    #[test]
    fn what_to_do_is_said_in_words_and_as_code_that_can_be_pasted() {
        let expected = r#"Set the events URI of an SDK to http://127.0.0.1:8033. Then, for each context below:

cta-test
  evaluate  cta (randomized by user)
  track     check"out (conversion)
  track     purchase with metricValue 12.5 (revenue)
  click     in a browser, on what buy-clicks measures
  then flush, before the process ends
  context   {"key":"exptap-probe-7f3a-1","kind":"user"}   lands in treatment

    const context = {"key":"exptap-probe-7f3a-1","kind":"user"};
    await client.variation("cta", context, null);
    client.track("check\"out", context);
    client.track("purchase", context, null, 12.5);
    await client.flush();
"#;
        assert_eq!(guide(&[probe()], "http://127.0.0.1:8033", Snippet::Node), expected);
        let python = guide(&[probe()], "http://127.0.0.1:8033", Snippet::Python);
        assert!(python.ends_with(
            r#"
    context = Context.from_dict(json.loads("{\"key\":\"exptap-probe-7f3a-1\",\"kind\":\"user\"}"))
    client.variation("cta", context, None)
    client.track("check\"out", context)
    client.track("purchase", context, metric_value=12.5)
    client.flush()
"#
        ));
    }

    #[test]
    fn a_command_is_told_the_same_by_variables() {
        let variables: std::collections::HashMap<_, _> =
            variables(&probe(), "http://127.0.0.1:1").into_iter().collect();
        let read = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!(read("EXPTAP_PROBE_CONTEXT"), Some(r#"{"key":"exptap-probe-7f3a-1","kind":"user"}"#));
        assert_eq!(read("EXPTAP_PROBE_EVENT"), Some("check\"out"));
        assert_eq!(
            read("EXPTAP_PROBE_EVENTS"),
            Some(
                r#"[{"event":"check\"out","metric":"conversion","value":null},{"event":"purchase","metric":"revenue","value":12.5}]"#
            )
        );
        assert_eq!((read("EXPTAP_PROBE_KIND"), read("EXPTAP_PROBE_ARM")), (Some("user"), Some("treatment")));
    }
}
