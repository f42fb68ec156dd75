//! JSON for people.

use super::{Value, Walker};

/// More bytes of an event than this are not shown.
pub(crate) const MAX_SHOWN: usize = 64 * 1024;

/// Cuts a text that is too long to be shown, and says what is left out.
pub(crate) fn shorten(text: &mut String) {
    if text.len() > MAX_SHOWN {
        let mut end = MAX_SHOWN;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n… {left_out} more bytes"));
    }
}

/// JSON indented, members in the order they were sent.
pub(crate) fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    if let Ok(value) = Walker::new(text).value() {
        write_value(&mut out, value, 0);
    }
    out
}

fn write_value(out: &mut String, value: Value<'_>, depth: usize) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Number(text) => out.push_str(text),
        Value::String(string) => {
            out.push('"');
            out.push_str(string.raw);
            out.push('"');
        }
        Value::Object(text) => {
            let mut first = true;
            out.push('{');
            super::members(text, |key, value| {
                if !std::mem::replace(&mut first, false) {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push('"');
                out.push_str(key.raw);
                out.push_str("\": ");
                write_value(out, value, depth + 1);
            });
            if !first {
                indent(out, depth);
            }
            out.push('}');
        }
        Value::Array(text) => {
            let mut first = true;
            out.push('[');
            super::elements(text, |value| {
                if !std::mem::replace(&mut first, false) {
                    out.push(',');
                }
                indent(out, depth + 1);
                write_value(out, value, depth + 1);
            });
            if !first {
                indent(out, depth);
            }
            out.push(']');
        }
    }
}
