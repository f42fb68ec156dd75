//! `@template`: text with `{{path}}` and `{{{path}}}` in it.

use super::javascript::{is_space, text};
use super::path;
use super::value::Value;
use super::{Problem, Work};

/// Fills a template. What three braces put in is looked through for two.
pub(super) fn render(template: &str, data: &Value, work: &mut Work) -> Result<String, Problem> {
    let triple = fill(template, "{{{", "}}}", data, work)?;
    fill(&triple, "{{", "}}", data, work)
}

fn fill(template: &str, open: &str, close: &str, data: &Value, work: &mut Work) -> Result<String, Problem> {
    work.take(template.len())?;
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(open) {
        let (plain, marked) = rest.split_at(at);
        out.push_str(plain);
        let inner = marked.get(open.len()..).unwrap_or("");
        let length = inner.find('}').unwrap_or(inner.len());
        let (path, after) = inner.split_at(length);
        match after.strip_prefix(close) {
            Some(after) if !path.is_empty() => {
                let value = path::mapped(data, path.trim_matches(is_space))?;
                if !matches!(value, Value::Undefined | Value::Null) {
                    out.push_str(&text(&value, work)?);
                }
                rest = after;
            }
            // Not a place to fill; the next one may begin at the very next brace.
            _ => {
                out.push('{');
                rest = marked.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::value::parse;
    use super::*;

    #[test]
    fn places_are_filled_with_text_and_what_is_missing_with_nothing() {
        let data = parse(
            r#"{"a":"x","n":1.50,"no":false,"nil":null,"o":{"b":1},"l":[1,null,[2]],"inner":"{{a}}","money":"$&"}"#,
        )
        .unwrap();
        for (template, expected) in [
            ("{{a}}-{{ n }}-{{no}}", "x-1.5-false"),
            ("{{nil}}{{missing}}{{$.a}}|", "|"),
            ("{{o}} {{l}} {{o.b}}", "[object Object] 1,,2 1"),
            ("{{{a}}}{{money}}", "x$&"),
            ("{{{inner}}}", "x"),
            ("{{inner}}", "{{a}}"),
            ("{a}} {{}} {{a} {{", "{a}} {{}} {{a} {{"),
            ("{{{{a}}}}", "}"),
            ("{{a}", "{{a}"),
        ] {
            assert_eq!(render(template, &data, &mut Work::default()), Ok(expected.to_owned()), "{template}");
        }
    }
}
