//! The texts and numbers of an event, each with the path by which a mapping reaches it.

use super::destination::Event;
use super::value::Value;
use super::{Work, javascript};
use std::fmt::Write;

/// Names of a path at most.
const MAX_NAMES: usize = 6;
/// Leaves of one event that are looked at.
const MAX_LEAVES: usize = 300;
/// Elements of a list that are looked at: those behind them have no place of their own from event to event.
const MAX_ELEMENTS: usize = 4;
/// No key that anybody is known by is longer.
const MAX_BYTES: usize = 512;

impl Event {
    /// Visits every text and number that a mapping can name by a path, within bounds: how deep, how many, how long.
    pub fn leaves(&self, mut visit: impl FnMut(&str, &str)) {
        let mut left = MAX_LEAVES;
        walk(self.whole(), &mut "$".to_owned(), 0, &mut left, &mut visit);
    }
}

fn walk(value: &Value, path: &mut String, names: usize, left: &mut usize, visit: &mut impl FnMut(&str, &str)) {
    if *left == 0 {
        return;
    }
    match value {
        Value::Text(text) if !text.is_empty() && text.len() <= MAX_BYTES => {
            *left -= 1;
            visit(path, text);
        }
        Value::Number(_) => {
            *left -= 1;
            if let Ok(text) = javascript::text(value, &mut Work::default()) {
                visit(path, &text);
            }
        }
        Value::Object(object) if names < MAX_NAMES => {
            // A name with a dot or a bracket in it no path can reach.
            let reachable = |name: &str| !name.is_empty() && !name.contains(['.', '[', ']', '"', '\'']) && name != "$";
            for (name, value) in object.iter().filter(|(name, _)| reachable(name)) {
                let end = path.len();
                path.push('.');
                path.push_str(name);
                walk(value, path, names + 1, left, visit);
                path.truncate(end);
            }
        }
        Value::Array(elements) if names < MAX_NAMES => {
            for (index, value) in elements.iter().enumerate().take(MAX_ELEMENTS) {
                let end = path.len();
                let _ = write!(path, "[{index}]");
                walk(value, path, names + 1, left, visit);
                path.truncate(end);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::segment::path;

    const EVENT: &str = r#"{"userId":"u","n":7,"x":1e21,"yes":true,"nil":null,"empty":"","context":{"device":{"id":"d"},"a.b":"no"},
        "list":[{"id":"l0"},"l1","l2","l3","l4"],"a":{"b":{"c":{"d":{"e":{"f":"six","g":{"h":"seven"}}}}}}}"#;

    #[test]
    fn every_leaf_is_found_by_the_path_that_a_mapping_reaches_it_by() {
        let event = Event::parse(EVENT).unwrap();
        let mut found = Vec::new();
        event.leaves(|path, text| {
            let value = path::mapped(event.whole(), &path.replacen("$.", "", 1)).unwrap();
            assert_eq!(javascript::text(&value, &mut Work::default()).unwrap(), text, "{path}");
            found.push(format!("{path} {text}"));
        });
        assert_eq!(
            found,
            [
                "$.userId u",
                "$.n 7",
                "$.x 1e+21",
                "$.context.device.id d",
                "$.list[0].id l0",
                "$.list[1] l1",
                "$.list[2] l2",
                "$.list[3] l3",
                "$.a.b.c.d.e.f six"
            ]
        );
    }

    #[test]
    fn an_event_of_thousands_of_fields_is_looked_at_only_so_far() {
        let fields: Vec<String> = (0..5000).map(|field| format!(r#""f{field}":"x""#)).collect();
        let event = Event::parse(&format!("{{{}}}", fields.join(","))).unwrap();
        let mut count = 0;
        event.leaves(|_, _| count += 1);
        assert_eq!(count, MAX_LEAVES);
    }
}
