//! How the source of a field reads to a person: `$.userId, else $.anonymousId` for the `@if` that Segment's screen
//! writes, and the paths of the event it looks at.

use super::Work;
use super::value::{Object, Value, parse};

/// How deep a source is read; beyond that it is JSON.
const DEPTH: usize = 4;

/// A source, as JSON, in short; what is not a path, an `@if` of them or a text stays JSON.
pub fn short(source: &str) -> String {
    let read = parse(source).ok().and_then(|value| read(&value, DEPTH));
    read.unwrap_or_else(|| source.to_owned())
}

fn read(value: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let Value::Object(members) = value else { return json(value) };
    let mut entries = members.iter();
    let (Some((name, options)), None) = (entries.next(), entries.next()) else { return json(value) };
    match (&**name, options) {
        ("@path", Value::Text(path)) => Some(path.to_string()),
        ("@template", Value::Text(template)) => Some(format!("“{template}”")),
        ("@literal", literal) => json(literal),
        ("@if", Value::Object(options)) => condition(options, depth),
        _ => json(value),
    }
}

/// An `@if`. Its `blank` is named for the opposite of what it asks.
fn condition(options: &Object, depth: usize) -> Option<String> {
    let option = |name: &str| options.get(name).map(|value| read(value, depth));
    let (asked, state) = match (option("exists"), option("blank")) {
        (Some(asked), None) => (asked?, "there"),
        (None, Some(asked)) => (asked?, "not empty"),
        _ => return None,
    };
    let then = option("then").unwrap_or_else(|| Some("nothing".to_owned()))?;
    let otherwise = match option("else") {
        Some(otherwise) => format!(", else {}", otherwise?),
        None => String::new(),
    };
    Some(match (asked == then, state) {
        (true, "there") => format!("{then}{otherwise}"),
        (true, _) => format!("{then} unless empty{otherwise}"),
        (false, _) => format!("{then} if {asked} is {state}{otherwise}"),
    })
}

fn json(value: &Value) -> Option<String> {
    value.json(&mut Work::default()).ok().flatten()
}

/// The parts of a source that makes an object member by member, each as JSON; none where it is something else.
pub fn members(source: &str) -> Option<Vec<(String, String)>> {
    match parse(source).ok()? {
        Value::Object(members) if members.len() > 0 && !members.keys().any(|key| key.starts_with('@')) => {
            members.iter().map(|(name, value)| Some((name.to_string(), json(value)?))).collect()
        }
        _ => None,
    }
}

/// The paths a source looks at, without their `$.`, in no order.
pub fn paths(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = parse(source).into_iter().collect::<Vec<_>>();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                for (name, value) in members.iter() {
                    match (&**name, value) {
                        ("@path", Value::Text(path)) => found.push(path.replacen("$.", "", 1)),
                        ("@template", Value::Text(template)) => found.extend(
                            template
                                .split("{{")
                                .skip(1)
                                .filter_map(|rest| rest.split_once("}}"))
                                .map(|(path, _)| path.trim_matches(['{', ' ']).to_owned()),
                        ),
                        _ => open.push(value.clone()),
                    }
                }
            }
            Value::Array(elements) => open.extend(elements.iter().cloned()),
            _ => {}
        }
    }
    found
}

/// The destination's words in short, for a row of a list: what they are about comes first, and what every such
/// sentence says is left out.
pub fn brief(words: &str) -> String {
    if let Some((reason, _)) = words.split_once(": ")
        && reason.contains('_')
        && !reason.contains(' ')
    {
        return reason.to_owned();
    }
    if let Some(field) = words.strip_prefix("The root value is missing the required field '") {
        let (field, rest) = field.split_once("'.").unwrap_or((field, ""));
        return format!("{field} missing{}", if rest.is_empty() { "" } else { ", …" });
    }
    if let Some((field, rest)) = words.split_once(" must be ")
        && let Some((_, found)) = rest.split_once(" but it was ")
        && field.len() < 40
    {
        let found = found.split_once('.').map_or(found, |(found, _)| found);
        let found = if found == "not" { "no date" } else { found };
        return format!("{field} is {found}");
    }
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_as_a_person_would_say_it() {
        for (source, expected) in [
            (r#""user""#, r#""user""#),
            (r#"{"@path":"$.userId"}"#, "$.userId"),
            (
                r#"{"@if":{"exists":{"@path":"$.userId"},"then":{"@path":"$.userId"},"else":{"@path":"$.anonymousId"}}}"#,
                "$.userId, else $.anonymousId",
            ),
            (r#"{"@if":{"blank":{"@path":"$.a"},"then":{"@path":"$.a"},"else":"x"}}"#, r#"$.a unless empty, else "x""#),
            (r#"{"@if":{"exists":{"@path":"$.a"},"then":{"@path":"$.b"}}}"#, "$.b if $.a is there"),
            (r#"{"@if":{"blank":{"@path":"$.a"},"else":1}}"#, "nothing if $.a is not empty, else 1"),
            (r#"{"@template":"{{userId}}-x"}"#, "“{{userId}}-x”"),
            (r#"{"@literal":{"a":1}}"#, r#"{"a":1}"#),
            // What it is not known how to say is said as it is written.
            (
                r#"{"@case":{"operator":"lower","value":{"@path":"$.a"}}}"#,
                r#"{"@case":{"operator":"lower","value":{"@path":"$.a"}}}"#,
            ),
            (r#"{"@if":{"then":1}}"#, r#"{"@if":{"then":1}}"#),
            (r#"{"@path":7}"#, r#"{"@path":7}"#),
            ("not JSON", "not JSON"),
        ] {
            assert_eq!(short(source), expected);
        }
    }

    #[test]
    fn an_object_has_a_source_for_each_member_and_a_directive_has_none() {
        let source = r#"{"device":{"@path":"$.context.device.id"},"x":1}"#;
        assert_eq!(
            members(source),
            Some(vec![
                ("device".to_owned(), r#"{"@path":"$.context.device.id"}"#.to_owned()),
                ("x".to_owned(), "1".to_owned())
            ])
        );
        for none in [r#"{"@path":"$.a"}"#, "{}", "7", "nonsense"] {
            assert_eq!(members(none), None, "{none}");
        }
    }

    #[test]
    fn every_path_is_found_wherever_it_stands() {
        let mut found = paths(
            r#"[{"@if":{"exists":{"@path":"$.userId"},"then":{"@template":"{{a.b}} {{{ c }}} {{open"}}},{"d":{"@path":"properties.x"}}]"#,
        );
        found.sort();
        assert_eq!(found, ["a.b", "c", "properties.x", "userId"]);
    }

    #[test]
    fn words_are_cut_to_what_differs() {
        for (words, expected) in [
            ("Metric Value must be a number but it was a string.", "Metric Value is a string"),
            ("Event timestamp must be a valid date-like string but it was not.", "Event timestamp is no date"),
            ("The root value is missing the required field 'user_key'.", "user_key missing"),
            (
                "The root value is missing the required field 'user_key'. Metric Value must be a number but it was a string.",
                "user_key missing, …",
            ),
            ("no_user_anon_id: Segment takes it and delivers it to nobody", "no_user_anon_id"),
            (
                "Segment answers 400 Exceed payload limit: too much",
                "Segment answers 400 Exceed payload limit: too much",
            ),
        ] {
            assert_eq!(brief(words), expected);
        }
    }
}
