//! Typed reading of a catalog's tables: each getter takes a key and either gives its value or notes what is wrong.

use super::tree::{Entry, Fault, Node, Value, quoted};
use crate::near_miss::nearest;

/// A table under a name that errors use.
pub(crate) struct Section<'t> {
    /// Such as `metric "checkout"`, or `metric 2` where it has no key.
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) entries: &'t [Entry],
}

impl<'t> Section<'t> {
    /// The value of a key; null is as good as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        let node = self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }
}

/// Collects faults while values are read.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) faults: Vec<Fault>,
}

impl Reader {
    /// Notes a fault.
    pub(crate) fn fault(&mut self, at: usize, message: String) {
        self.faults.push(Fault { at, message });
    }

    /// A table in which only `known` keys may stand.
    pub(crate) fn section<'t>(&mut self, node: &'t Node, name: String, known: &[&str]) -> Option<Section<'t>> {
        let Value::Table(entries) = &node.value else {
            self.fault(
                node.at,
                format!("{name} is {}; expected a table with {}", node.value.describe(), known.join(", ")),
            );
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let advice = nearest(&entry.key, known.iter().copied())
                .map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near}?"));
            let message =
                format!("{name}: unknown key {}; expected one of {}; {advice}", quoted(&entry.key), known.join(", "));
            self.fault(entry.key_at, message);
        }
        Some(Section { name, at: node.at, entries })
    }

    /// The tables of a list. Each is named by its `name_key`, or by its number. None where the list is absent.
    pub(crate) fn sections<'t>(
        &mut self,
        section: &Section<'t>,
        list: &str,
        what: &str,
        name_key: &str,
        known: &[&str],
    ) -> Option<Vec<Section<'t>>> {
        let node = section.get(list)?;
        let Value::Array(nodes) = &node.value else {
            self.fault(
                node.at,
                format!("{}: {list} is {}; expected an array of tables", section.name, node.value.describe()),
            );
            return Some(Vec::new());
        };
        let within = if section.name == "the catalog" { String::new() } else { format!("{}: ", section.name) };
        let read = |(index, node): (usize, &'t Node)| {
            let own = match &node.value {
                Value::Table(entries) => {
                    entries.iter().find(|entry| entry.key == name_key).map(|entry| &entry.node.value)
                }
                _ => None,
            };
            let name = match own {
                Some(Value::Text(own)) => format!("{within}{what} {}", quoted(own)),
                _ => format!("{within}{what} {}", index + 1),
            };
            self.section(node, name, known)
        };
        Some(nodes.iter().enumerate().filter_map(read).collect())
    }

    /// A value that `convert` takes, or a fault that says what was expected.
    fn value<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let node = section.get(key)?;
        let value = convert(&node.value);
        if value.is_none() {
            self.fault(node.at, format!("{}: {key} is {}; expected {expected}", section.name, node.value.describe()));
        }
        value
    }

    /// Text that is not empty.
    pub(crate) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        self.value(section, key, "text that is not empty", |value| match value {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        })
    }

    /// Text, which may be empty.
    pub(crate) fn any_text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        self.value(section, key, "text", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Text that has to be there; a missing one is a fault, and is read as empty so that reading can go on.
    pub(crate) fn required_text(&mut self, section: &Section<'_>, key: &str) -> String {
        self.require(section, key, "text");
        self.text(section, key).unwrap_or_default()
    }

    fn require(&mut self, section: &Section<'_>, key: &str, expected: &str) {
        if section.get(key).is_none() {
            self.fault(section.at, format!("{}: {key} is missing; expected {expected}; add it", section.name));
        }
    }

    pub(crate) fn boolean(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        self.value(section, key, "true or false", |value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        })
    }

    pub(crate) fn integer(&mut self, section: &Section<'_>, key: &str) -> Option<i64> {
        self.value(section, key, "a whole number", |value| match value {
            Value::Integer(value) => Some(*value),
            _ => None,
        })
    }

    pub(crate) fn number(&mut self, section: &Section<'_>, key: &str) -> Option<f64> {
        self.value(section, key, "a number", |value| match value {
            #[expect(clippy::cast_precision_loss, reason = "shares and percentiles are small")]
            Value::Integer(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        })
    }

    /// An array of texts, each with where it stands.
    pub(crate) fn texts<'t>(&mut self, section: &Section<'t>, key: &str) -> Option<Vec<(usize, &'t str)>> {
        let node = section.get(key)?;
        let Value::Array(nodes) = &node.value else {
            self.fault(
                node.at,
                format!("{}: {key} is {}; expected an array of texts", section.name, node.value.describe()),
            );
            return None;
        };
        let mut texts = Vec::with_capacity(nodes.len());
        for node in nodes {
            match &node.value {
                Value::Text(text) if !text.is_empty() => texts.push((node.at, text.as_str())),
                other => {
                    let found = other.describe();
                    self.fault(
                        node.at,
                        format!("{}: {key} holds {found}; expected texts that are not empty", section.name),
                    );
                }
            }
        }
        Some(texts)
    }

    /// An array that has to be there.
    pub(crate) fn required_array<'t>(&mut self, section: &Section<'t>, key: &str) -> &'t [Node] {
        self.require(section, key, "an array");
        match section.get(key) {
            Some(Node { value: Value::Array(nodes), .. }) => nodes,
            Some(node) => {
                self.fault(node.at, format!("{}: {key} is {}; expected an array", section.name, node.value.describe()));
                &[]
            }
            None => &[],
        }
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&mut self, section: &Section<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let node = section.get(key)?;
        if let Value::Text(text) = &node.value
            && let Some((_, meaning)) = words.iter().find(|(word, _)| word == text)
        {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let advice = match &node.value {
            Value::Text(text) => nearest(text, names.iter().copied()).map(|near| format!("; did you mean {near}?")),
            _ => None,
        };
        let (found, expected, advice) = (node.value.describe(), names.join(", "), advice.unwrap_or_default());
        self.fault(node.at, format!("{}: {key} is {found}; expected one of {expected}{advice}", section.name));
        None
    }

    /// One of several words that has to be there.
    pub(crate) fn required_choice<T: Copy>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.require(section, key, &format!("one of {}", names.join(", ")));
        self.choice(section, key, words)
    }

    /// An instant, in epoch milliseconds.
    pub(crate) fn time(&mut self, section: &Section<'_>, key: &str) -> Option<i64> {
        /// Epoch seconds from 1973 to 5138; as milliseconds they would lie in the first three years of the epoch.
        const SECONDS: std::ops::Range<i64> = 100_000_000..100_000_000_000;
        /// From here on, milliseconds are past the year 5138, and microseconds are those of 1973 on.
        const TOO_FINE: i64 = 100_000_000_000_000;
        const EXPECTED: &str = "RFC 3339 with an offset (2026-01-01T00:00:00Z) or epoch milliseconds";
        if let Some(Node { at, value: Value::Integer(number) }) = section.get(key) {
            let unit = match *number {
                number if SECONDS.contains(&number) => Some("seconds"),
                number if number >= TOO_FINE => Some("microseconds or nanoseconds"),
                _ => None,
            };
            if let Some(unit) = unit {
                self.fault(
                    *at,
                    format!("{}: {key} is {number}, which looks like {unit}; expected {EXPECTED}", section.name),
                );
                return None;
            }
        }
        self.value(section, key, EXPECTED, |value| match value {
            Value::Integer(ms) => Some(*ms),
            Value::Text(text) => instant_ms(text),
            Value::Time(time) => instant_ms(&time.to_string()),
            _ => None,
        })
    }
}

fn instant_ms(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
