//! Changing a destination by one line at a time, as a person does on Segment's screen.
//!
//! The changed destination is written down and read again by what reads mapping files, so that whatever a file may not
//! say a line may not say either, in the same words. What a file may say and the destination then makes nothing of
//! (a remark) is refused too: nobody tries a line in order to have it dropped.

use super::Work;
use super::destination::{Action, Destination};
use super::mapping_file::{self, MappingFile};
use super::value::{Object, Value, parse};
use crate::catalog::load::Format;
use crate::catalog::tree::quoted;
use crate::near_miss::nearest;
use std::sync::Arc;

/// What stands beside a mapping's fields.
const BESIDE_FIELDS: [&str; 3] = ["action", "subscribe", "enabled"];

/// One line of a mapping, and what is to stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineEdit {
    /// Keys that lead to it: `mapping`, a number and a field; `settings` and one of them; or a field of Track Event.
    pub path: Vec<String>,
    /// What stands there then, as JSON; none: the line is taken away.
    pub json: Option<String>,
}

impl Destination {
    /// The destination with some lines changed.
    ///
    /// # Errors
    /// The number of the line that cannot be taken, and why, in one sentence.
    pub fn edited(&self, edits: &[LineEdit]) -> Result<Self, (usize, String)> {
        let before = read(&self.to_json()).map_err(|words| (0, words))?;
        let mut tree = parse(&self.to_json()).unwrap_or(Value::Undefined);
        for (index, edit) in edits.iter().enumerate() {
            edit_line(&mut tree, edit).map_err(|words| (index, words))?;
            let json = tree.json(&mut Work::default()).ok().flatten().unwrap_or_default();
            let after = read(&json).map_err(|words| (index, words))?;
            if let Some(new) =
                after.remarks.iter().find(|new| !before.remarks.iter().any(|old| old.message == new.message))
            {
                return Err((index, new.message.clone()));
            }
            if index + 1 == edits.len() {
                return Ok(after.destination);
            }
        }
        Ok(self.clone())
    }

    /// The enabled mappings of Track Event, counted from 0.
    pub fn track_mappings(&self) -> Vec<usize> {
        let is_track = |(index, mapping): (usize, &super::destination::Mapping)| {
            (mapping.is_enabled && mapping.action == Action::TrackEvent).then_some(index)
        };
        self.mappings.iter().enumerate().filter_map(is_track).collect()
    }

    /// The context kinds that the enabled mappings of Track Event put the context key under, where they name one. Nothing
    /// can be added under these: the base key wins.
    pub fn base_kinds(&self) -> Vec<String> {
        let mappings = self.track_mappings().into_iter().filter_map(|index| self.mappings.get(index));
        let kind = |mapping: &super::destination::Mapping| match mapping.mapping.member("context_kind") {
            Value::Text(kind) if !kind.is_empty() => Some(kind.to_string()),
            Value::Object(_) => None,
            _ => Some("user".to_owned()),
        };
        mappings.filter_map(kind).collect()
    }
}

fn read(json: &str) -> Result<MappingFile, String> {
    mapping_file::from_text(json, "mapping", Format::Json).map_err(|error| {
        let messages: Vec<&str> = error.problems.iter().map(|problem| problem.message.as_str()).collect();
        messages.join("; ")
    })
}

fn edit_line(tree: &mut Value, edit: &LineEdit) -> Result<(), String> {
    let value = match &edit.json {
        Some(json) => Some(parse(json).map_err(|_| format!("{} is not JSON", quoted(json)))?),
        None => None,
    };
    let path: Vec<&str> = edit.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] | [""] => Err("the line is not named; expected a field such as additional_context_keys.device".to_owned()),
        ["settings", rest @ ..] if !rest.is_empty() => {
            set(object(member(object(tree)?, "settings"))?, rest, value.as_ref())
        }
        ["mapping", number, rest @ ..] if !rest.is_empty() => {
            let mappings = elements(tree);
            let count = mappings.len();
            let known = || match count {
                0 => "there is none".to_owned(),
                1 => "there is one, mapping.0".to_owned(),
                _ => format!("expected mapping.0 to mapping.{}", count - 1),
            };
            let mapping = number.parse().ok().and_then(|index: usize| mappings.get_mut(index));
            let mapping = mapping.ok_or_else(|| format!("there is no mapping {}; {}", quoted(number), known()))?;
            within(mapping, rest, value.as_ref())
        }
        ["mapping" | "settings", ..] => {
            Err("what is to change is not named; expected mapping.0.FIELD or settings.FIELD".to_owned())
        }
        fields => {
            let mut is_any = false;
            let mut is_known = false;
            for mapping in elements(tree) {
                if *mapping.member("enabled") == Value::Bool(false) || !is_track(mapping) {
                    continue;
                }
                is_any = true;
                is_known = is_known || fields.first().is_some_and(|name| is_field(name));
                within(mapping, fields, value.as_ref())?;
            }
            if !is_any {
                return Err("no mapping of trackEvent is enabled; expected one, or mapping.N.FIELD".to_owned());
            }
            if is_known {
                return Ok(());
            }
            let names = Action::TrackEvent.fields().iter().map(|field| field.name);
            let wrong = fields.first().copied().unwrap_or_default();
            let advice =
                nearest(wrong, names.clone()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let names: Vec<&str> = names.collect();
            Err(format!("{} is not a field of trackEvent; expected one of {}{advice}", quoted(wrong), names.join(", ")))
        }
    }
}

fn is_track(mapping: &Value) -> bool {
    matches!(mapping.member("action"), Value::Text(action) if **action == *Action::TrackEvent.name())
}

fn is_field(name: &str) -> bool {
    BESIDE_FIELDS.contains(&name) || Action::TrackEvent.fields().iter().any(|field| field.name == name)
}

/// Sets a line of one mapping: of its fields, or of what stands beside them.
fn within(mapping: &mut Value, path: &[&str], value: Option<&Value>) -> Result<(), String> {
    let mapping = object(mapping)?;
    match path {
        [name] if BESIDE_FIELDS.contains(name) => set(mapping, path, value),
        _ => set(object(member(mapping, "mapping"))?, path, value),
    }
}

fn set(at: &mut Object, path: &[&str], value: Option<&Value>) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [name] => {
            match value {
                Some(value) => at.set((*name).into(), value.clone()),
                None if at.get(name).is_none() => return Err(format!("there is no {} to take away", quoted(name))),
                None => at.remove(name),
            }
            Ok(())
        }
        [name, rest @ ..] => {
            let inner = member(at, name);
            if let Value::Object(fields) = inner
                && fields.keys().any(|key| key.starts_with('@'))
                && !rest.first().is_some_and(|next| next.starts_with('@'))
            {
                return Err(format!(
                    "{name} is one directive as a whole, and a line cannot be put into it; give all of {name}"
                ));
            }
            set(object(inner).map_err(|found| format!("{name} is {found}"))?, rest, value)
        }
    }
}

/// A member, made where it is not there.
fn member<'a>(at: &'a mut Object, name: &str) -> &'a mut Value {
    at.member_mut(name)
}

fn object(value: &mut Value) -> Result<&mut Object, String> {
    if matches!(value, Value::Undefined | Value::Null) {
        *value = Value::object(Object::default());
    }
    match value {
        Value::Object(object) => Ok(Arc::make_mut(object)),
        other => Err(format!("{}, not a table of lines", other.real_type())),
    }
}

fn elements(tree: &mut Value) -> &mut [Value] {
    match tree {
        Value::Object(root) => match Arc::make_mut(root).member_mut("mappings") {
            Value::Array(mappings) => Arc::make_mut(mappings).as_mut_slice(),
            _ => &mut [],
        },
        _ => &mut [],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edit(path: &str, json: Option<&str>) -> LineEdit {
        LineEdit { path: path.split('.').map(str::to_owned).collect(), json: json.map(str::to_owned) }
    }

    fn changed(path: &str, json: Option<&str>) -> Result<String, String> {
        let destination = Destination::presets().edited(&[edit(path, json)]).map_err(|(_, words)| words)?;
        Ok(destination.to_json())
    }

    #[test]
    fn a_line_is_added_to_the_track_mapping_and_the_rest_stays() {
        let after = changed("additional_context_keys.device", Some(r#"{"@path":"$.context.device.id"}"#)).unwrap();
        let expected = Destination::presets().to_json().replace(
            r#"{"unauthenticatedUser":{"@path":"$.anonymousId"}}"#,
            r#"{"unauthenticatedUser":{"@path":"$.anonymousId"},"device":{"@path":"$.context.device.id"}}"#,
        );
        assert_eq!(after, expected);
        assert_eq!(changed("mapping.1.enabled", Some("false")).unwrap().matches(r#""enabled":false"#).count(), 1);
        assert!(
            !changed("timestamp", None).unwrap().contains(r#""event_properties":{"@path":"$.properties"},"timestamp""#)
        );
        assert!(changed("settings.client_id", Some(r#""64b0""#)).unwrap().contains(r#""client_id":"64b0""#));
    }

    #[test]
    fn what_a_mapping_file_may_not_say_a_line_may_not_say_either() {
        let refused = |path: &str, json: &str| changed(path, Some(json)).unwrap_err();
        assert_eq!(
            refused("aditional_context_keys.device", "1"),
            "\"aditional_context_keys\" is not a field of trackEvent; expected one of context_kind, user_key, \
             additional_context_keys, event_name, metric_value, event_properties, timestamp; did you mean \
             additional_context_keys?"
        );
        assert_eq!(refused("mapping.7.user_key", "1"), "there is no mapping \"7\"; expected mapping.0 to mapping.1");
        assert_eq!(
            refused("mapping.0.usr_key", "1"),
            "mapping 0: \"usr_key\" is not a field of trackEvent and is dropped; did you mean user_key?"
        );
        assert_eq!(
            refused("subscribe", "\"\""),
            "mapping 0: the destination cannot read this trigger and sends nothing by it (Failed to validate \
             subscription)"
        );
        assert_eq!(refused("mapping.0.enabled", "3"), "mapping 0: enabled is the number 3; expected true or false");
        assert_eq!(
            refused("user_key.device", "3"),
            "user_key is one directive as a whole, and a line cannot be put into it; give all of user_key"
        );
        assert_eq!(
            refused("event_name.x.y", "1"),
            "event_name is one directive as a whole, and a line cannot be put into it; give all of event_name"
        );
        assert_eq!(refused("context_kind.x", "1"), "context_kind is string, not a table of lines");
        assert_eq!(changed("additional_context_keys.device", None).unwrap_err(), "there is no \"device\" to take away");
    }

    #[test]
    fn a_line_goes_to_every_enabled_track_mapping() {
        let file = r#"{"settings":{"client_id":"c"},"mappings":[
            {"action":"trackEvent","subscribe":"event = \"a\"","mapping":{"user_key":{"@path":"$.userId"},"event_name":"a"}},
            {"action":"trackEvent","subscribe":"event = \"b\"","enabled":false,"mapping":{"user_key":{"@path":"$.userId"},"event_name":"b"}},
            {"action":"trackEvent","subscribe":"event = \"c\"","mapping":{"user_key":{"@path":"$.userId"},"event_name":"c"}}]}"#;
        let destination = mapping_file::from_text(file, "m", Format::Json).unwrap().destination;
        assert_eq!(destination.track_mappings(), [0, 2]);
        let edited = destination.edited(&[edit("additional_context_keys.device", Some("\"d\""))]).unwrap();
        assert_eq!(edited.to_json().matches(r#""additional_context_keys":{"device":"d"}"#).count(), 2);
        assert_eq!(edited.base_kinds(), ["user", "user"]);
    }
}
