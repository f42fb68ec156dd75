//! Where the parts of a catalog stand in its file, for those who speak of one that was read long ago.

use super::layout::Part;
use super::load::{Format, read_tree, without_mark};
use super::tree::{Node, Value};

/// The lines of a catalog's file.
#[derive(Clone, Debug, Default)]
pub struct Places {
    text: String,
    tree: Option<Node>,
}

impl Places {
    /// Of a text that was read as a catalog. One that is none has no places.
    pub fn new(text: &str, format: Format) -> Self {
        let text = without_mark(text).to_owned();
        let tree = read_tree(&text, format).ok();
        Self { text, tree }
    }

    /// The line, from 1, of a part, and in it of what the steps lead to, as far as they do. A step is a key of a
    /// table, or the `key`, the `id` or the text of an element of an array.
    pub fn line(&self, part: &Part, steps: &[&str]) -> Option<usize> {
        let mut node = self.tree.as_ref()?;
        let mut at = 0;
        let place = part.place();
        let (required, named) = match &place {
            Some((list, key)) => (2, [*list, *key]),
            None => (0, [""; 2]),
        };
        for (number, step) in named.iter().take(required).chain(steps).enumerate() {
            match inner(node, step) {
                Some((next, found)) => (node, at) = (next, found),
                None if number < required => return None,
                None => break,
            }
        }
        let before = self.text.get(..at).unwrap_or(&self.text);
        Some(before.bytes().filter(|byte| *byte == b'\n').count() + 1)
    }
}

/// The node a step leads to, and the byte at which a reader looks for it: a member's is its key's.
fn inner<'t>(node: &'t Node, step: &str) -> Option<(&'t Node, usize)> {
    match &node.value {
        Value::Table(entries) => {
            entries.iter().find(|entry| entry.key == step).map(|entry| (&entry.node, entry.key_at))
        }
        Value::Array(nodes) => nodes.iter().find(|node| is_called(node, step)).map(|node| (node, node.at)),
        _ => None,
    }
}

fn is_called(node: &Node, name: &str) -> bool {
    let is_name = |value: &Value| matches!(value, Value::Text(text) if text == name);
    match &node.value {
        Value::Table(entries) => {
            entries.iter().any(|entry| ["key", "id"].contains(&entry.key.as_str()) && is_name(&entry.node.value))
        }
        other => is_name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_and_what_is_in_it_are_found_by_name_as_far_as_they_are_there() {
        let text = "# a\n[[metrics]]\nkey = \"m\"\nunits = [\n  \"user\",\n  \"device\",\n]\n\n[[experiments]]\nkey = \"x\"\n\n[[experiments.iterations]]\nid = \"two\"\nmetrics = [\"m\"]\n";
        let places = Places::new(text, Format::Toml);
        let metric = Part::Metric("m".to_owned());
        assert_eq!(places.line(&metric, &[]), Some(2));
        assert_eq!(places.line(&metric, &["units"]), Some(4));
        assert_eq!(places.line(&metric, &["units", "device"]), Some(6));
        assert_eq!(places.line(&metric, &["filter", "op"]), Some(2));
        let experiment = Part::Experiment("x".to_owned());
        assert_eq!(places.line(&experiment, &["iterations", "two", "metrics"]), Some(14));
        assert_eq!(places.line(&Part::Metric("other".to_owned()), &[]), None);
        assert_eq!(places.line(&Part::Whole, &[]), Some(1));
        assert_eq!(Places::default().line(&metric, &[]), None);
    }
}
