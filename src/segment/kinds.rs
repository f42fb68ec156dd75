//! Which context kinds a mapping can give an event, read from the mapping alone, without an event.
//!
//! Where the mapping names a kind, it is that one. Where it takes the kind from the event, it can be any: that is said,
//! with the place it is taken from, and nothing is concluded from it.

use super::Work;
use super::destination::{Action, Destination, Mapping};
use super::value::Value;

/// A kind that a mapping can give, and where its key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindSource {
    /// The context kind.
    pub kind: String,
    /// Where the key comes from, in words: `$.userId, else $.anonymousId`.
    pub from: String,
}

/// What is known of an enabled mapping before any event comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingKinds {
    /// Which mapping, counted from 0, disabled ones included.
    pub mapping: usize,
    /// Its action.
    pub action: Action,
    /// Its trigger, as it is written.
    pub trigger: String,
    /// Why it never sends anything, in the destination's words.
    pub refusal: Option<String>,
    /// The kinds it names.
    pub kinds: Vec<KindSource>,
    /// Where it takes further kinds from, in words; then it can give any.
    pub open: Vec<String>,
    /// Whether anything is mapped to the metric value.
    pub has_metric_value: bool,
}

impl MappingKinds {
    /// Where the key of a kind comes from, if the mapping names that kind.
    pub fn source(&self, kind: &str) -> Option<&str> {
        self.kinds.iter().find(|it| it.kind == kind).map(|it| it.from.as_str())
    }
}

impl Destination {
    /// What each enabled mapping can give.
    pub fn kinds(&self) -> Vec<MappingKinds> {
        self.mappings.iter().enumerate().filter(|(_, it)| it.is_enabled).map(|(index, it)| kinds(index, it)).collect()
    }
}

fn kinds(index: usize, mapping: &Mapping) -> MappingKinds {
    let trigger = match &mapping.subscribe {
        Value::Text(text) => text.to_string(),
        _ => String::new(),
    };
    let refusal = mapping.trigger.as_ref().err().cloned().or_else(|| mapping.plan.refusal());
    let mut found = MappingKinds {
        mapping: index,
        action: mapping.action,
        trigger,
        refusal,
        kinds: Vec::new(),
        open: Vec::new(),
        has_metric_value: false,
    };
    let whole = mapping.plan.mapping();
    match (mapping.action, is_directive(whole)) {
        (Action::AliasUser, _) => {}
        (Action::TrackEvent, true) => {
            found.open.push(words(whole));
            found.has_metric_value = true;
        }
        (Action::TrackEvent, false) => {
            found.has_metric_value = !is_nothing(whole.member("metric_value"));
            let key = words(whole.member("user_key"));
            let mut names = Names::default();
            names.of(whole.member("context_kind"));
            // Where the kind comes to nothing, it is user.
            if names.can_be_nothing || names.fixed.iter().any(String::is_empty) {
                names.fixed.push("user".to_owned());
            }
            for kind in names.fixed.into_iter().filter(|kind| !kind.is_empty()) {
                found.add(kind, key.clone());
            }
            found.open.extend(names.open);
            found.additional(whole.member("additional_context_keys"));
        }
    }
    found
}

impl MappingKinds {
    fn add(&mut self, kind: String, from: String) {
        if self.source(&kind).is_none() {
            self.kinds.push(KindSource { kind, from });
        }
    }

    /// The kinds of the additional context keys.
    fn additional(&mut self, value: &Value) {
        match value {
            value if is_nothing(value) => {}
            Value::Object(members) if !is_directive(value) => {
                for (kind, from) in members.iter() {
                    self.add(kind.to_string(), words(from));
                }
            }
            Value::Object(members) if members.get("@if").is_some() => {
                let options = value.member("@if");
                self.additional(options.member("then"));
                self.additional(options.member("else"));
            }
            Value::Object(members) if members.get("@literal").is_some() => self.additional(value.member("@literal")),
            other => self.open.push(words(other)),
        }
    }
}

/// What the text of a field can be.
#[derive(Default)]
struct Names {
    fixed: Vec<String>,
    open: Vec<String>,
    can_be_nothing: bool,
}

impl Names {
    fn of(&mut self, value: &Value) {
        match value {
            value if is_nothing(value) => self.can_be_nothing = true,
            Value::Text(text) => self.fixed.push(text.to_string()),
            Value::Object(members) if members.get("@if").is_some() => {
                let options = value.member("@if");
                self.of(options.member("then"));
                self.of(options.member("else"));
            }
            Value::Object(members) if members.get("@literal").is_some() => self.of(value.member("@literal")),
            Value::Object(_) => {
                self.open.push(words(value));
                self.can_be_nothing = true;
            }
            other => self.fixed.push(words(other)),
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Undefined | Value::Null) || matches!(value, Value::Text(text) if text.is_empty())
}

fn is_directive(value: &Value) -> bool {
    matches!(value, Value::Object(members) if members.keys().any(|key| key.starts_with('@')))
}

/// A part of a mapping in words: a path is itself, a choice names both, the rest is its JSON.
fn words(value: &Value) -> String {
    match value {
        Value::Undefined | Value::Null => "nothing".to_owned(),
        Value::Object(members) if members.get("@path").is_some() => match value.member("@path") {
            Value::Text(path) => path.to_string(),
            other => json(other),
        },
        Value::Object(members) if members.get("@if").is_some() => {
            let options = value.member("@if");
            match (options.member("then"), options.member("else")) {
                (then, Value::Undefined) => words(then),
                (then, other) => format!("{}, else {}", words(then), words(other)),
            }
        }
        other => json(other),
    }
}

fn json(value: &Value) -> String {
    value.json(&mut Work::default()).ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::catalog::load::Format;
    use crate::segment::mapping_file;

    /// The kinds of a mapping with these fields, and the places that can give any.
    #[track_caller]
    fn of(fields: &str) -> (Vec<String>, Vec<String>) {
        let file = format!(
            r#"{{"settings":{{"client_id":"c"}},"mappings":[{{"action":"trackEvent","subscribe":"type = \"track\"","mapping":{fields}}}]}}"#
        );
        let file = mapping_file::from_text(&file, "m.json", Format::Json).unwrap();
        let kinds = file.destination.kinds();
        let named = kinds[0].kinds.iter().map(|it| format!("{}: {}", it.kind, it.from)).collect();
        (named, kinds[0].open.clone())
    }

    #[test]
    fn the_presets_give_the_user_and_the_unauthenticated_one() {
        let kinds = Destination::presets().kinds();
        let named: Vec<_> = kinds[0].kinds.iter().map(|it| (it.kind.as_str(), it.from.as_str())).collect();
        assert_eq!(named, [("user", "$.userId, else $.anonymousId"), ("unauthenticatedUser", "$.anonymousId")]);
        assert_eq!((kinds[0].open.len(), kinds[0].has_metric_value, &kinds[0].refusal), (0, true, &None));
        assert_eq!((kinds[1].action, kinds[1].kinds.len()), (Action::AliasUser, 0));
    }

    #[test]
    fn a_kind_is_a_name_or_whatever_a_path_gives() {
        let expect = |fields: &str, named: &[&str], open: &[&str]| {
            let (found_named, found_open) = of(fields);
            assert_eq!(
                (found_named, found_open),
                (named.iter().map(|it| (*it).to_owned()).collect(), open.iter().map(|it| (*it).to_owned()).collect()),
                "{fields}"
            );
        };
        let key = r#""user_key":{"@path":"$.userId"}"#;
        expect(&format!("{{{key}}}"), &["user: $.userId"], &[]);
        expect(&format!(r#"{{"context_kind":"device",{key}}}"#), &["device: $.userId"], &[]);
        expect(&format!(r#"{{"context_kind":"",{key}}}"#), &["user: $.userId"], &[]);
        expect(
            &format!(r#"{{"context_kind":{{"@path":"$.properties.kind"}},{key}}}"#),
            &["user: $.userId"],
            &["$.properties.kind"],
        );
        expect(
            &format!(r#"{{"context_kind":{{"@if":{{"exists":{{"@path":"$.a"}},"then":"device"}}}},{key}}}"#),
            &["device: $.userId", "user: $.userId"],
            &[],
        );
        expect(
            &format!(
                r#"{{{key},"additional_context_keys":{{"device":{{"@path":"$.context.device.id"}},"user":"x"}}}}"#
            ),
            &["user: $.userId", "device: $.context.device.id"],
            &[],
        );
        expect(
            &format!(r#"{{{key},"additional_context_keys":{{"@path":"$.properties.keys"}}}}"#),
            &["user: $.userId"],
            &["$.properties.keys"],
        );
    }
}
