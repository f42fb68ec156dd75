//! Redacting events of Segment's: what the destination makes of the copy must come to what it makes of the original.
//!
//! A mapping may build keys and values from anything in an event, and a stand-in has no part in common with what it
//! stands for. So it is not assumed that the two come to the same: the destination is asked about both.

use super::Redactor;
use super::address;
use super::event::is_keyed_by_us;
use super::list::Sort;
use super::pen::Pen;
use super::plan::{Place, Scope};
use super::text::Reading;
use crate::envelope::Envelope;
use crate::event::body;
use crate::event::{Event, Item, decode, wrapped};
use crate::intake;
use crate::json::{Value, Walker};
use crate::segment::fate::{Fate, Made};
use crate::segment::posted::{self, Object, Posted};
use crate::segment::{is_date, is_number};

impl Pen<'_> {
    /// Rewrites an object if it is Segment's; false: it is not.
    pub(super) fn of_segment(&mut self, raw: &str, reading: Reading) -> bool {
        match posted::look(raw, 0, reading.door()) {
            Some(Object::Batch(..)) => self.segment_batch(raw),
            Some(Object::Event(_)) => self.segment_event(raw),
            None => return false,
        }
        self.list.of_segment += 1;
        true
    }

    fn segment_batch(&mut self, batch: &str) {
        self.object(batch, false, |pen, member, raw| match (member.name.as_ref(), member.value) {
            ("batch", Value::Array(events)) => pen.array(events, |pen, value, raw| match value {
                Value::Object(event) => {
                    pen.list.exported += u64::from(wrapped::is_wrapped(event));
                    pen.segment_event(event);
                }
                _ => pen.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
            }),
            (name, value) => pen.segment_member(name, value, raw),
        });
    }

    fn segment_event(&mut self, event: &str) {
        self.object(event, false, |pen, member, raw| pen.segment_member(&member.name, member.value, raw));
    }

    /// Rewrites a member of an event, or of a batch.
    fn segment_member(&mut self, name: &str, value: Value<'_>, raw: &str) {
        match (name, value) {
            // The names a metric is told by; of pages and screens, too, for a mapping may take those.
            ("type" | "event" | "name", _) => self.kept_text(value, raw),
            ("timestamp" | "originalTimestamp" | "sentAt" | "receivedAt", Value::Number(_)) => self.copy(raw),
            ("timestamp" | "originalTimestamp" | "sentAt" | "receivedAt", Value::String(text))
                if is_date(&text.text()) =>
            {
                self.copy(raw);
            }
            ("userId" | "anonymousId" | "previousId" | "groupId", Value::Number(_))
                if self.plan.keeps(&super::Keep::Keys) =>
            {
                self.list.kept("context keys: asked for");
                self.copy(raw);
            }
            ("userId" | "anonymousId" | "previousId" | "groupId", Value::Number(number)) => {
                // The destination makes a text of it.
                self.list.replaced(Sort::ContextKey);
                let stand_in = self.stand_ins.of(number);
                self.out.push_str(&serde_json::Value::from(&*stand_in).to_string());
            }
            ("userId" | "anonymousId" | "previousId" | "groupId", _) => self.key(value, raw),
            ("integrations", Value::Object(integrations)) => {
                // Whether the destination is meant.
                self.object(integrations, true, |pen, member, raw| match member.value {
                    Value::Bool(_) => pen.copy(raw),
                    value => pen.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
                });
            }
            ("context", Value::Object(context)) => {
                self.object(context, false, |pen, member, raw| match (member.name.as_ref(), member.value) {
                    ("library", Value::Object(library)) => {
                        pen.object(library, false, |pen, member, raw| pen.word(member.value, raw));
                    }
                    (name, value) => pen.segment_value(
                        &mut vec!["context".to_owned(), name.to_owned()],
                        value,
                        raw,
                        Scope::Elsewhere,
                    ),
                });
            }
            ("properties", _) => self.segment_value(&mut vec![name.to_owned()], value, raw, Scope::Data),
            _ => self.segment_value(&mut vec![name.to_owned()], value, raw, Scope::Elsewhere),
        }
    }

    /// Replaces a value, but for the figures that a mapping takes a metric's value from.
    fn segment_value(&mut self, path: &mut Vec<String>, value: Value<'_>, raw: &str, scope: Scope) {
        let is_figure = match value {
            Value::Number(_) | Value::Bool(_) => true,
            Value::String(text) => is_number(&text.text()),
            _ => false,
        };
        match value {
            _ if is_figure && self.value_paths.contains(&path.join(".")) => {
                self.list.kept("figures that a mapping takes a metric's value from");
                self.copy(raw);
            }
            Value::String(_) | Value::Number(_)
                if self.plan.keeps(&super::Keep::Keys) && self.key_paths.contains(&path.join(".")) =>
            {
                self.list.kept("context keys: asked for");
                self.copy(raw);
            }
            Value::Object(object) => self.object(object, false, |pen, member, raw| {
                path.push(member.name.clone().into_owned());
                pen.segment_value(path, member.value, raw, scope.clone());
                path.pop();
            }),
            Value::Array(array) => {
                let mut index = 0_usize;
                self.array(array, |pen, value, raw| {
                    path.push(index.to_string());
                    index += 1;
                    pen.segment_value(path, value, raw, scope.clone());
                    path.pop();
                });
            }
            value => {
                // The event's properties are the data of what the destination makes of it.
                let names = path.get(1..).unwrap_or_default().to_vec();
                let sort = if scope == Scope::Data { Sort::Data } else { Sort::Other };
                self.anything(value, raw, sort, &mut Place { scope, path: names });
            }
        }
    }
}

/// What of an event that the destination made decides verdicts.
fn decisive(json: &str, key: impl Fn(&str) -> String) -> Option<String> {
    let event: Event<'_> = decode::event(&mut Walker::new(json)).ok()?.ok()?;
    let keys: Vec<String> =
        event.context_keys.iter().map(|(kind, context_key)| format!("{kind}/{}", key(context_key))).collect();
    // An alias is keyed by whom it is about.
    let own_key = event.key.as_deref().map(|own| if is_keyed_by_us(event.kind) { own.to_owned() } else { key(own) });
    Some(format!("{:?} {own_key:?} {:?} {:?} {keys:?}", event.kind, event.creation_ms, event.metric_value))
}

impl Redactor {
    /// Compares what becomes of the Segment events of a text with what becomes of those of its copy, and notes where it
    /// is not the same.
    pub(super) fn compare_fates(&mut self, text: &str, copy: &str, reading: Reading, envelope: Option<&Envelope>) {
        let (before, after) = (posted_in(text, reading), posted_in(copy, reading));
        if before.len() != after.len() {
            return self.list.differs("the copy has another number of Segment events".to_owned());
        }
        if let (Some(envelope), Some(door)) = (envelope, reading.door()) {
            let refused = |text: &str| intake::refused_by_segment(envelope, door, text);
            if refused(text) != refused(copy) {
                return self
                    .list
                    .differs("Segment takes the copy of a request that it refuses, or the other way round".to_owned());
            }
        }
        let received_ms = envelope.and_then(Envelope::arrival);
        let keeps_keys = self.plan.keeps(&super::Keep::Keys);
        for (before, after) in before.iter().zip(&after) {
            let (before, after) =
                (Fate::of(before, &self.destination, received_ms), Fate::of(after, &self.destination, received_ms));
            for (before, after) in before.parts.iter().zip(&after.parts) {
                let stand_in = |key: &str| {
                    if keeps_keys || self.plan.is_literal(key) {
                        key.to_owned()
                    } else {
                        self.stand_ins.of(key).into_owned()
                    }
                };
                let is_same = before.mapping == after.mapping
                    && match (&before.made, &after.made) {
                        (Made::Sent(before), Made::Sent(after)) => {
                            decisive(before, stand_in) == decisive(after, ToOwned::to_owned)
                        }
                        (before, after) => before == after,
                    };
                if !is_same {
                    let mapping = before.mapping.map_or_else(|| "no mapping".to_owned(), |it| format!("mapping {it}"));
                    self.list.differs(format!(
                        "{mapping} makes something else of a {} event’s copy",
                        before_call(&before.made)
                    ));
                }
            }
            if before.parts.len() != after.parts.len() {
                self.list.differs("a copy is matched by other mappings".to_owned());
            }
        }
    }

    /// A mapping, of which only the settings say anything of anybody: paths, names and directives are what it is.
    pub(super) fn mapping(&mut self, text: &str) -> String {
        let mut mapping: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(serde_json::Value::String(id)) = mapping.pointer_mut("/settings/client_id") {
            *id = address::client_side_id(&self.stand_ins, &mut self.list, id).into_owned();
        }
        self.list.kept("the Segment mapping, with the names and texts in it");
        mapping.to_string()
    }
}

fn before_call(made: &Made) -> &'static str {
    if matches!(made, Made::Sent(_)) { "sent" } else { "refused" }
}

fn posted_in(text: &str, reading: Reading) -> Vec<Posted<'_>> {
    let mut posted = Vec::new();
    let visit = |item| {
        if let Item::Segment(it) = item {
            posted.push(it);
        }
    };
    match reading {
        Reading::Batch(door) => body::batch(text, door, visit),
        Reading::File => body::items(text, visit),
    }
    posted
}
