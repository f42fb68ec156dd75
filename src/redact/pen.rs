//! Rewriting JSON: the text of a value with some spans replaced. What stands between names and values, and what is
//! kept, is copied byte for byte.

use super::list::{List, Sort};
use super::plan::{Care, Place, Plan, Scope};
use super::standin::StandIns;
use crate::json::{JsonString, Value, Walker};
use std::borrow::Cow;
use std::ops::Range;

/// A member of an object, and where it stands in the object's text.
pub(super) struct Member<'t> {
    pub(super) name: Cow<'t, str>,
    raw_name: JsonString<'t>,
    pub(super) value: Value<'t>,
    name_at: Range<usize>,
    value_at: Range<usize>,
}

/// The members of an object that was taken whole before.
pub(super) fn members(object: &str) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    let mut walker = Walker::new(object);
    if !walker.take(b'{') {
        return members;
    }
    loop {
        if walker.next_byte() != Some(b'"') {
            return members;
        }
        let name_start = walker.offset();
        let Ok(Value::String(raw_name)) = walker.value() else { return members };
        let name_at = name_start..walker.offset();
        walker.take(b':');
        walker.next_byte();
        let start = walker.offset();
        let Ok(value) = walker.value() else { return members };
        let value_at = start..walker.offset();
        members.push(Member { name: raw_name.text(), raw_name, value, name_at, value_at });
        if !walker.take(b',') {
            return members;
        }
    }
}

/// The elements of an array that was taken whole before, and where they stand in its text.
fn elements(array: &str) -> Vec<(Value<'_>, Range<usize>)> {
    let mut elements = Vec::new();
    let mut walker = Walker::new(array);
    walker.take(b'[');
    if walker.next_byte() == Some(b']') {
        return elements;
    }
    loop {
        walker.next_byte();
        let start = walker.offset();
        let Ok(value) = walker.value() else { return elements };
        elements.push((value, start..walker.offset()));
        if !walker.take(b',') {
            return elements;
        }
    }
}

/// Writes redacted JSON.
pub(super) struct Pen<'a> {
    pub(super) stand_ins: &'a StandIns,
    pub(super) plan: &'a Plan,
    pub(super) list: &'a mut List,
    /// Where in Segment's events mappings take values of metrics from.
    pub(super) value_paths: &'a [String],
    /// … and context keys.
    pub(super) key_paths: &'a [String],
    /// Line feeds between values become spaces.
    pub(super) on_one_line: bool,
    pub(super) out: String,
}

impl Pen<'_> {
    /// Copies what stands between values.
    fn between(&mut self, text: &str) {
        if self.on_one_line {
            self.out.extend(text.chars().map(|it| if matches!(it, '\n' | '\r') { ' ' } else { it }));
        } else {
            self.out.push_str(text);
        }
    }

    /// Rewrites an object: `member` writes the value of each, as it stands there.
    pub(super) fn object<'t>(
        &mut self,
        object: &'t str,
        names_are_kept: bool,
        mut member: impl FnMut(&mut Self, &Member<'t>, &'t str),
    ) {
        let mut copied = 0;
        for it in &members(object) {
            self.between(object.get(copied..it.name_at.start).unwrap_or_default());
            if names_are_kept || self.plan.keeps_name(&it.name) {
                self.out.push_str(object.get(it.name_at.clone()).unwrap_or_default());
            } else {
                self.stand_in(it.raw_name, Sort::Name);
            }
            self.between(object.get(it.name_at.end..it.value_at.start).unwrap_or_default());
            member(self, it, object.get(it.value_at.clone()).unwrap_or_default());
            copied = it.value_at.end;
        }
        self.between(object.get(copied..).unwrap_or_default());
    }

    /// Rewrites an array, element by element.
    pub(super) fn array<'t>(&mut self, array: &'t str, mut element: impl FnMut(&mut Self, Value<'t>, &'t str)) {
        let mut copied = 0;
        for (value, at) in elements(array) {
            self.between(array.get(copied..at.start).unwrap_or_default());
            element(self, value, array.get(at.clone()).unwrap_or_default());
            copied = at.end;
        }
        self.between(array.get(copied..).unwrap_or_default());
    }

    /// Copies a value as it stands.
    pub(super) fn copy(&mut self, raw: &str) {
        self.between(raw);
    }

    /// Writes a text in quotes. What was not Unicode stays as it was: whoever parses it strictly must still fail.
    pub(super) fn text(&mut self, was: JsonString<'_>, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        if was.escaped && is_lone_surrogate(was) {
            self.out.push_str(&quoted.replace(char::REPLACEMENT_CHARACTER, "\\ud800"));
        } else {
            self.out.push_str(&quoted);
        }
    }

    /// Writes the stand-in of a string.
    pub(super) fn stand_in(&mut self, string: JsonString<'_>, sort: Sort) {
        let text = string.text();
        if self.plan.is_literal(&text) {
            self.list.kept("values a filter of the catalog names, and their look-alikes");
            self.text(string, &text);
            return;
        }
        let stand_in = self.stand_ins.of(&text);
        if stand_in != text {
            self.list.replaced(sort);
        }
        self.text(string, &stand_in);
    }

    /// Copies a string that is a plain word, and replaces any other value.
    pub(super) fn word(&mut self, value: Value<'_>, raw: &str) {
        match value {
            Value::String(string) if super::plan::is_word(&string.text()) => self.copy(raw),
            _ => self.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        }
    }

    /// Copies a string, and replaces any other value.
    pub(super) fn kept_text(&mut self, value: Value<'_>, raw: &str) {
        match value {
            Value::String(_) => self.copy(raw),
            _ => self.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        }
    }

    /// Copies a number or a boolean, and replaces any other value.
    pub(super) fn figure(&mut self, value: Value<'_>, raw: &str) {
        match value {
            Value::Number(_) | Value::Bool(_) => self.copy(raw),
            _ => self.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        }
    }

    /// Replaces whatever it is, but for what the plan holds back.
    pub(super) fn anything(&mut self, value: Value<'_>, raw: &str, sort: Sort, place: &mut Place) {
        let are_figures_kept = match self.plan.care(place) {
            Care::Keep(why) => {
                self.list.kept(why);
                return self.copy(raw);
            }
            Care::Compared(why) => {
                if matches!(value, Value::Number(_) | Value::Bool(_)) {
                    self.list.kept(why);
                }
                true
            }
            Care::None => place.scope == Scope::Settings,
        };
        match value {
            Value::Null => self.copy(raw),
            Value::Bool(_) | Value::Number(_) if are_figures_kept => self.copy(raw),
            Value::Bool(was) => {
                if was {
                    self.list.replaced(Sort::Boolean);
                }
                self.out.push_str("false");
            }
            Value::Number(number) => self.nought(number),
            Value::String(string) => self.stand_in(string, sort),
            Value::Array(array) => {
                self.array(array, |pen, value, raw| pen.anything(value, raw, sort, place));
            }
            Value::Object(object) => self.object(object, false, |pen, member, raw| {
                place.path.push(member.name.clone().into_owned());
                pen.anything(member.value, raw, sort, place);
                place.path.pop();
            }),
        }
    }

    /// A number that no verdict needs. One that is outside f64 stays outside: with it nothing around it can be
    /// compared, and without it that would be news.
    fn nought(&mut self, number: &str) {
        let is_outside = !number.parse::<f64>().is_ok_and(f64::is_finite);
        let nought = if is_outside { "1e999" } else { "0" };
        if number != nought {
            self.list.replaced(Sort::Number);
        }
        self.out.push_str(nought);
    }
}

/// Whether a string holds half a surrogate pair, which no text can.
fn is_lone_surrogate(string: JsonString<'_>) -> bool {
    serde_json::from_str::<String>(&format!("\"{}\"", string.raw)).is_err()
}
