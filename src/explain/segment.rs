//! How an event came through Segment: the event as Segment delivers it, what each mapping makes of it, and which
//! context keys the experiments that ask about it need.

use super::Explainer;
use crate::attribution::judge::is_about_time;
use crate::event::decode;
use crate::json::{self, Value, Walker, pretty, shorten};
use crate::near_miss;
use crate::segment::Outcome;
use crate::segment::fate::Fate;
use crate::view::{
    EventRow, ExposedValue, NeededUnit, SegmentChange, SegmentCorrection, SegmentMapping, SegmentView, ThroughSegment,
};
use std::collections::BTreeMap;

/// An event of Segment's that is to be explained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// What becomes of it.
    pub(crate) fate: &'a Fate,
    /// The mapping that the event shown is of.
    pub(crate) through: ThroughSegment,
    /// The event as it was sent, where it is still at hand.
    pub(crate) raw: Option<&'a str>,
}

/// Places looked at for exposed keys, and places named.
const PLACES: usize = 2000;
const NAMED: usize = 3;

/// All that is known about it.
pub(crate) fn view(explainer: &Explainer<'_>, origin: Origin<'_>, row: &EventRow) -> SegmentView {
    let Origin { fate, through, raw } = origin;
    let destination = explainer.state.judge().destination();
    let mut mappings: Vec<SegmentMapping> = Vec::new();
    // Where Segment itself delivers an event to nobody no mapping is asked.
    let refused = fate.parts.iter().find_map(|part| part.made.before_mappings()).map(str::to_owned);
    if let (Some(event), None) = (&fate.event, &refused) {
        mappings.extend(destination.explain(event, fate.now_ms).into_iter().map(|mapped| SegmentMapping {
            is_own: Some(mapped.mapping) == through.mapping,
            trigger: destination.trigger(mapped.mapping).unwrap_or_default(),
            payload: match &mapped.outcome {
                Outcome::Sent(request) => Some(pretty(&request.body)),
                _ => None,
            },
            mapped,
        }));
    }
    mappings.sort_by_key(|mapping| !mapping.is_own);
    let reached = fate.event.as_ref().filter(|_| refused.is_none());
    let delivered = reached.map(crate::segment::Event::to_json).unwrap_or_default();
    let changes = raw.filter(|_| !delivered.is_empty()).map(|raw| changes(raw, &delivered)).unwrap_or_default();
    SegmentView {
        library: fate.library(),
        message_id: fate.message_id.clone(),
        people: fate.people().into_iter().map(|(name, id)| (name, id.to_owned())).collect(),
        correction: raw.and_then(|raw| correction(raw, &delivered)),
        changes,
        refused,
        needed: mappings
            .iter()
            .find(|mapping| mapping.is_own)
            .map_or_else(Vec::new, |own| needed(explainer, own, &delivered, row)),
        delivered: {
            let mut shown = pretty(&delivered);
            shorten(&mut shown);
            shown
        },
        mappings,
    }
}

/// The members of a JSON object.
fn members(object: &str) -> Vec<(String, Value<'_>)> {
    let mut found = Vec::new();
    if let Ok(Value::Object(object)) = Walker::new(object).value() {
        json::members(object, |name, value| found.push((name.text().into_owned(), value)));
    }
    found
}

fn member<'a>(object: &'a str, name: &str) -> Option<Value<'a>> {
    members(object).into_iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// What Segment's servers do to an event on its way: known members only, since everything else is as it was sent.
fn changes(raw: &str, delivered: &str) -> Vec<SegmentChange> {
    let mut changes = Vec::new();
    let mut note = |path: &[&str], words: &str| {
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        changes.push(SegmentChange { path, words: words.to_owned() });
    };
    let is_new = |name: &str| member(raw, name).is_none() && member(delivered, name).is_some();
    for (name, words) in [
        ("type", "from the path"),
        ("originalTimestamp", "the timestamp as it was sent"),
        ("sentAt", "from the batch"),
        ("receivedAt", "when it arrived"),
    ] {
        if is_new(name) {
            note(&[name], words);
        }
    }
    if is_new("timestamp") {
        note(&["timestamp"], "it was sent without one: when it arrived");
    } else if correction(raw, delivered).is_some() {
        note(&["timestamp"], "corrected by sentAt");
    }
    for name in ["context", "integrations"] {
        let own = match member(raw, name) {
            Some(Value::Object(own)) => own,
            _ => "{}",
        };
        if let Some(Value::Object(merged)) = member(delivered, name) {
            for (inner, _) in members(merged) {
                if member(own, &inner).is_none() {
                    note(&[name, &inner], "from the batch");
                }
            }
        }
    }
    changes
}

/// How the time of an event was corrected, if it was.
fn correction(raw: &str, delivered: &str) -> Option<SegmentCorrection> {
    let instant = |object, name| {
        let text = member(object, name)?.string()?.text().into_owned();
        Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    };
    let sent_ms = instant(raw, "timestamp").or_else(|| instant(raw, "originalTimestamp"))?;
    let added_ms = instant(delivered, "timestamp")?.saturating_sub(sent_ms);
    (added_ms != 0).then_some(SegmentCorrection { sent_ms, added_ms })
}

/// The context keys that the experiments asking about an event need, and where else in it an exposed one stands.
fn needed(explainer: &Explainer<'_>, own: &SegmentMapping, delivered: &str, row: &EventRow) -> Vec<NeededUnit> {
    let Outcome::Sent(request) = &own.mapped.outcome else { return Vec::new() };
    let sent = request.body.strip_prefix('[').and_then(|body| body.strip_suffix(']')).unwrap_or_default();
    let Ok(Ok(event)) = decode::event(&mut Walker::new(sent)) else { return Vec::new() };
    let is_running = |code| !is_about_time(code);
    let any_is_running = row.verdicts.iter().any(|verdict| is_running(verdict.code));
    let mut by_kind: BTreeMap<&str, (u32, Vec<String>)> = BTreeMap::new();
    for verdict in row.verdicts.iter().filter(|verdict| !any_is_running || is_running(verdict.code)) {
        let Some(judged) = explainer.state.judge().iterations().get(verdict.iteration as usize) else { continue };
        let Some(experiment) = explainer.catalog.experiments.get(judged.experiment) else { continue };
        let (_, experiments) = by_kind
            .entry(judged.iteration.randomization_unit.as_str())
            .or_insert_with(|| (verdict.iteration, Vec::new()));
        if !experiments.contains(&experiment.key) {
            experiments.push(experiment.key.clone());
        }
    }
    let mut places = Vec::new();
    places_of(delivered, &mut String::from("$"), &mut places);
    by_kind
        .into_iter()
        .map(|(kind, (iteration, experiments))| {
            let key = event.context_keys.key(kind);
            let mut elsewhere = Vec::new();
            for (path, value) in places.iter().filter(|(_, value)| Some(value.as_str()) != key) {
                if elsewhere.len() < NAMED
                    && !near_miss::is_placeholder_key(value)
                    && let Some(arm) = explainer.exposed_to(iteration, kind, value)
                {
                    elsewhere.push(ExposedValue { path: path.clone(), key: value.clone(), arm });
                }
            }
            NeededUnit {
                kind: kind.to_owned(),
                experiments,
                key: key.map(str::to_owned),
                exposed: key.and_then(|key| explainer.exposed_to(iteration, kind, key)),
                elsewhere,
            }
        })
        .collect()
}

/// Every text in an object that a path of a mapping can lead to, with that path.
fn places_of(object: &str, path: &mut String, places: &mut Vec<(String, String)>) {
    for (name, value) in members(object) {
        // A path is cut at dots and brackets, so that no path leads to such a name.
        if name.is_empty() || name.contains(['.', '[', ']', '\'', '"']) || places.len() >= PLACES {
            continue;
        }
        let length = path.len();
        path.push('.');
        path.push_str(&name);
        match value {
            Value::String(text) => places.push((path.clone(), text.text().into_owned())),
            Value::Object(inner) => places_of(inner, path, places),
            _ => {}
        }
        path.truncate(length);
    }
}

/// How a time was corrected, in words.
pub fn correction_words(correction: SegmentCorrection) -> String {
    let direction = if correction.added_ms > 0 { "forward" } else { "back" };
    format!("put {direction} by {}", super::ladder::span(correction.added_ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_segment_adds_is_told_from_what_was_sent() {
        let raw = r#"{"event":"x","timestamp":"2026-11-20T08:00:00Z","context":{"device":{"id":"d-1"}}}"#;
        let delivered = r#"{"event":"x","timestamp":"2026-11-21T08:00:00.000Z","context":{"ip":"1","device":{"id":"d-1"}},
            "originalTimestamp":"2026-11-20T08:00:00Z","sentAt":"…","receivedAt":"…","type":"track"}"#;
        let told: Vec<(String, String)> =
            changes(raw, delivered).into_iter().map(|change| (change.path.join("."), change.words)).collect();
        let expected = [
            ("type", "from the path"),
            ("originalTimestamp", "the timestamp as it was sent"),
            ("sentAt", "from the batch"),
            ("receivedAt", "when it arrived"),
            ("timestamp", "corrected by sentAt"),
            ("context.ip", "from the batch"),
        ];
        assert_eq!(told, expected.map(|(path, words)| (path.to_owned(), words.to_owned())));
        let correction = correction(raw, delivered).unwrap();
        assert_eq!((correction.sent_ms, correction.added_ms), (1_795_161_600_000, 86_400_000));
        assert_eq!(correction_words(correction), "put forward by 1 d 0 h");
        assert_eq!(changes(raw, raw), []);
        assert_eq!(super::correction(raw, raw), None);
    }

    #[test]
    fn only_places_that_a_path_leads_to_are_named() {
        let mut places = Vec::new();
        places_of(r#"{"a":{"b":"1","c.d":"2","":"3"},"e":["4"],"f":5,"g":"6"}"#, &mut "$".to_owned(), &mut places);
        assert_eq!(places, [("$.a.b".to_owned(), "1".to_owned()), ("$.g".to_owned(), "6".to_owned())]);
    }
}
