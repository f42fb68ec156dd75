//! F56: keys that are nobody's, on which every event without a real one lands.

use super::finished;
use crate::attribution::evidence::Evidence;
use crate::attribution::state::State;
use crate::attribution::tally::EvidenceKey;
use crate::attribution::units::UnitId;
use crate::near_miss;
use crate::reason::{ReasonCode, Severity};
use crate::report::Finding;
use std::collections::BTreeMap;

/// A context kind and a key.
type Named = (String, String);

/// Every context without a real key lands on one unit.
pub(super) fn placeholder_keys(state: &State) -> Vec<Finding> {
    let mut through_segment: BTreeMap<Named, &Evidence> = BTreeMap::new();
    for (key, evidence) in state.evidence().filter(|(_, evidence)| evidence.events > 0) {
        if let EvidenceKey::SegmentPlaceholder(kind, key) = key {
            through_segment.insert((kind.to_string(), key.to_string()), evidence);
        }
    }
    let mut findings = Vec::new();
    for (unit, (kind, key)) in
        (0..state.units().len() as UnitId).filter_map(|unit| Some((unit, state.units().name(unit)?)))
    {
        if !near_miss::is_placeholder_key(key) {
            continue;
        }
        let mut evidence = Evidence::default();
        for (_, unit_state) in state.states_of(unit) {
            evidence.events += unit_state.per_variation.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
            unit_state.points.iter().for_each(|point| evidence.see(Some(point.t_ms)));
            for (event, entry) in state.conversions_of(unit_state) {
                evidence.events += 1;
                evidence.see(Some(entry.t_ms));
                evidence.source(entry.source);
                evidence.example(event);
            }
        }
        if evidence.events > 0 {
            evidence.units.insert(unit);
            let is_of_segment = through_segment.remove(&(kind.to_owned(), key.to_owned())).is_some();
            findings.push(finding(state, kind, key, &evidence, is_of_segment));
        }
    }
    // No experiment asks for these kinds, so that nothing is lost yet.
    findings.extend(through_segment.into_iter().map(|((kind, key), evidence)| Finding {
        severity: Severity::Warning,
        ..finding(state, &kind, &key, evidence, true)
    }));
    findings
}

fn finding(state: &State, kind: &str, key: &str, evidence: &Evidence, is_of_segment: bool) -> Finding {
    let slots = [("unit", kind.to_owned()), ("key", format!("“{key}”"))];
    let mut finding = finished(state, ReasonCode::PlaceholderKey, None, None, evidence, &slots);
    if is_of_segment {
        finding.fix = format!("{} {}", finding.fix, segment_cause(key));
    }
    finding
}

/// How Segment comes to send a key that is none.
fn segment_cause(key: &str) -> &'static str {
    match key.trim().to_ascii_lowercase().as_str() {
        "null" => {
            "Through Segment: what a field under Additional Context Keys holds is turned into text, so that a null one becomes the key “null” (analytics-python sends anonymousId as null). Take that kind out of the mapping, or send the field in every event."
        }
        "[object object]" => {
            "Through Segment: what a field under Additional Context Keys holds is turned into text, so that an object becomes “[object Object]”. Let the path in the mapping lead to a text within the object."
        }
        key if key.starts_with("00000000-") => {
            "Through Segment: the field the mapping takes the key from is an identifier that the device keeps back, as iOS does with the advertising id. Map another, such as $.context.device.id."
        }
        _ => {
            "Through Segment: the application itself sends this text in the field the mapping takes the key from. Leave the field out where there is no value."
        }
    }
}
