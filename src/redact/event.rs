//! Redacting one event: which member is replaced, and how. What is not named here is replaced.

use super::Keep;
use super::address;
use super::list::Sort;
use super::pen::{Pen, members};
use super::plan::{Place, Scope};
use super::text::Reading;
use crate::event::{Kind, wrapped};
use crate::json::{JsonString, Value};

/// The last string under a name, as decoding takes it.
fn last_text<'t>(object: &'t str, wanted: &str) -> Option<JsonString<'t>> {
    members(object).iter().rev().filter(|member| member.name == wanted).find_map(|member| member.value.string())
}

/// Whether the `key` of such an event is a flag's or a metric's, and not somebody's.
pub(super) fn is_keyed_by_us(kind: Kind) -> bool {
    matches!(kind, Kind::Feature | Kind::Debug | Kind::Custom | Kind::Click | Kind::PageView | Kind::ClickPageView)
}

impl Pen<'_> {
    /// Rewrites a value that stands where an event should.
    pub(super) fn item(&mut self, value: Value<'_>, raw: &str, reading: Reading) {
        match value {
            Value::Object(event) => {
                self.list.exported += u64::from(wrapped::is_wrapped(event));
                if !self.of_segment(event, reading) {
                    self.event(event);
                }
            }
            _ => self.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        }
    }

    fn event(&mut self, event: &str) {
        let kind = last_text(event, "kind").map(|kind| Kind::from_name(&kind.text()));
        let is_keyed_by_us = kind.is_some_and(is_keyed_by_us);
        let is_diagnostic = matches!(kind, Some(Kind::Diagnostic | Kind::DiagnosticInit | Kind::DiagnosticCombined));
        self.object(event, false, |pen, member, raw| {
            let value = member.value;
            match (member.name.as_ref(), value) {
                ("kind", _) if kind.is_some_and(|kind| kind != Kind::Other) => pen.kept_text(value, raw),
                ("kind" | "contextKind" | "previousContextKind" | "operation", _) => pen.word(value, raw),
                ("key", _) if is_keyed_by_us => pen.kept_text(value, raw),
                ("key" | "userKey" | "previousKey", _) => pen.key(value, raw),
                ("prereqOf", _) => pen.kept_text(value, raw),
                (
                    "creationDate"
                    | "startDate"
                    | "endDate"
                    | "variation"
                    | "version"
                    | "samplingRatio"
                    | "trackEvents"
                    | "debugEventsUntilDate"
                    | "excludeFromSummaries"
                    | "droppedEvents"
                    | "eventsInLastBatch"
                    | "deduplicatedUsers"
                    | "dataSinceDate"
                    | "metricValue",
                    _,
                ) => pen.figure(value, raw),
                ("contextKeys", Value::Object(keys)) => {
                    pen.object(keys, true, |pen, member, raw| pen.key(member.value, raw));
                }
                ("context", Value::Object(context)) => pen.context(context),
                ("user", Value::Object(user)) => pen.user(user),
                ("reason", Value::Object(reason)) => pen.reason(reason),
                ("features", Value::Object(features)) => pen.features(features),
                ("evaluation", Value::Object(evaluation)) => pen.evaluation(evaluation),
                ("measurements", Value::Array(measurements)) => pen.measurements(measurements),
                ("url", Value::String(url)) => {
                    let text = url.text();
                    let page = address::page(pen.stand_ins, pen.plan, pen.list, &text);
                    pen.text(url, &page);
                }
                ("selector", Value::String(selector)) if pen.plan.keeps_selector(&selector.text()) => {
                    pen.list.kept("selectors a metric of the catalog names");
                    pen.copy(raw);
                }
                ("selector", _) => pen.anything(value, raw, Sort::Selector, &mut Place::top(Scope::Elsewhere)),
                ("value" | "default", _) => pen.flag_value(value, raw),
                ("data", _) => pen.anything(value, raw, Sort::Data, &mut Place::top(Scope::Data)),
                _ if is_diagnostic => {
                    pen.anything(value, raw, Sort::Other, &mut Place::top(Scope::Settings));
                }
                _ => pen.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
            }
        });
    }

    pub(super) fn key(&mut self, value: Value<'_>, raw: &str) {
        match value {
            Value::String(_) if self.plan.keeps(&Keep::Keys) => {
                self.list.kept("context keys: asked for");
                self.copy(raw);
            }
            Value::String(string) => self.stand_in(string, Sort::ContextKey),
            _ => self.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        }
    }

    /// Rewrites a `context`, in any of its shapes (R1).
    fn context(&mut self, context: &str) {
        let kind = last_text(context, "kind").map(JsonString::text);
        match kind.as_deref() {
            // The kinds are the names.
            Some("multi") => {
                self.object(context, true, |pen, member, raw| match (member.name.as_ref(), member.value) {
                    ("kind", _) => pen.kept_text(member.value, raw),
                    (kind, Value::Object(attributes)) => {
                        pen.object(attributes, false, |pen, member, raw| {
                            pen.attribute(kind, &member.name, member.value, raw)
                        });
                    }
                    _ => pen.anything(member.value, raw, Sort::Attribute, &mut Place::top(Scope::Elsewhere)),
                })
            }
            kind => {
                let kind = kind.unwrap_or("user");
                self.object(context, false, |pen, member, raw| match member.name.as_ref() {
                    "kind" => pen.kept_text(member.value, raw),
                    name => pen.attribute(kind, name, member.value, raw),
                });
            }
        }
    }

    fn attribute(&mut self, kind: &str, name: &str, value: Value<'_>, raw: &str) {
        match (name, value) {
            ("kind", _) => self.word(value, raw),
            ("key", Value::String(_)) => self.key(value, raw),
            // Part of the protocol, and LaunchDarkly's word, not the sender's.
            ("anonymous", Value::Bool(_)) => self.copy(raw),
            ("_meta", Value::Object(meta)) => {
                self.object(meta, false, |pen, member, raw| match (member.name.as_ref(), member.value) {
                    ("redactedAttributes", Value::Array(list)) => pen.references(list),
                    (inner, value) => {
                        let path = vec![name.to_owned(), inner.to_owned()];
                        let mut place = Place { scope: Scope::Context(kind.to_owned()), path };
                        pen.anything(value, raw, Sort::Attribute, &mut place);
                    }
                })
            }
            _ => {
                let mut place = Place::at(Scope::Context(kind.to_owned()), name);
                self.anything(value, raw, Sort::Attribute, &mut place);
            }
        }
    }

    /// Rewrites a legacy `user`: some attributes stand beside its key, the others in `custom`.
    fn user(&mut self, user: &str) {
        self.object(user, false, |pen, member, raw| match (member.name.as_ref(), member.value) {
            ("privateAttrs", Value::Array(list)) => pen.references(list),
            ("custom", Value::Object(custom)) => pen.object(custom, false, |pen, member, raw| {
                let mut place = Place::at(Scope::Context("user".to_owned()), &member.name);
                pen.anything(member.value, raw, Sort::Attribute, &mut place);
            }),
            (name, value) => pen.attribute("user", name, value, raw),
        });
    }

    /// Rewrites a list of attribute names, or `/`-paths of them: each name as the attribute's own.
    fn references(&mut self, list: &str) {
        self.array(list, |pen, value, raw| {
            let Value::String(string) = value else {
                return pen.anything(value, raw, Sort::Name, &mut Place::top(Scope::Elsewhere));
            };
            let text = string.text();
            let name = |pen: &Self, name: &str| -> Option<String> {
                (!pen.plan.keeps_name(name)).then(|| pen.stand_ins.of(name).into_owned())
            };
            let replaced = match text.strip_prefix('/') {
                None => name(pen, &text).unwrap_or_else(|| text.clone().into_owned()),
                Some(path) => {
                    let names = path.split('/').map(|part| {
                        let plain = part.replace("~1", "/").replace("~0", "~");
                        name(pen, &plain).unwrap_or_else(|| part.to_owned())
                    });
                    names.fold(String::new(), |path, name| path + "/" + &name)
                }
            };
            if replaced == text {
                return pen.copy(raw);
            }
            pen.list.replaced(Sort::Name);
            pen.text(string, &replaced);
        });
    }

    fn reason(&mut self, reason: &str) {
        self.object(reason, false, |pen, member, raw| match member.name.as_ref() {
            "kind" | "errorKind" | "bigSegmentsStatus" => pen.word(member.value, raw),
            "ruleId" | "prerequisiteKey" => pen.kept_text(member.value, raw),
            "inExperiment" | "ruleIndex" => pen.figure(member.value, raw),
            _ => pen.anything(member.value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        });
    }

    fn flag_value(&mut self, value: Value<'_>, raw: &str) {
        match value {
            _ if self.plan.keeps(&Keep::Values) => {
                self.list.kept("flag values and defaults: asked for");
                self.copy(raw);
            }
            // It says no more than the number of the variation.
            Value::Bool(_) => self.copy(raw),
            _ => self.anything(value, raw, Sort::FlagValue, &mut Place::top(Scope::FlagValue)),
        }
    }

    /// Rewrites a summary's `features`: flag keys and counts stay.
    fn features(&mut self, features: &str) {
        self.object(features, true, |pen, member, raw| {
            let Value::Object(flag) = member.value else {
                return pen.anything(member.value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere));
            };
            pen.object(flag, false, |pen, member, raw| match (member.name.as_ref(), member.value) {
                ("default" | "value", _) => pen.flag_value(member.value, raw),
                ("contextKinds", Value::Array(kinds)) => {
                    pen.array(kinds, |pen, value, raw| pen.kept_text(value, raw));
                }
                ("counters", Value::Array(counters)) => pen.array(counters, |pen, value, raw| match value {
                    Value::Object(counter) => pen.counter(counter),
                    _ => pen.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
                }),
                _ => pen.anything(member.value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
            });
        });
    }

    fn counter(&mut self, counter: &str) {
        self.object(counter, false, |pen, member, raw| match member.name.as_ref() {
            "value" | "default" => pen.flag_value(member.value, raw),
            "variation" | "version" | "count" | "unknown" => pen.figure(member.value, raw),
            _ => pen.anything(member.value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        });
    }

    fn evaluation(&mut self, evaluation: &str) {
        self.object(evaluation, false, |pen, member, raw| match (member.name.as_ref(), member.value) {
            ("key", _) => pen.kept_text(member.value, raw),
            ("value" | "default", _) => pen.flag_value(member.value, raw),
            ("variation" | "version", _) => pen.figure(member.value, raw),
            ("reason", Value::Object(reason)) => pen.reason(reason),
            _ => pen.anything(member.value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere)),
        });
    }

    /// Rewrites a migration's measurements, which are figures under known names.
    fn measurements(&mut self, measurements: &str) {
        self.array(measurements, |pen, value, raw| {
            let Value::Object(measurement) = value else {
                return pen.anything(value, raw, Sort::Other, &mut Place::top(Scope::Elsewhere));
            };
            pen.object(measurement, false, |pen, member, raw| match member.name.as_ref() {
                "key" => pen.word(member.value, raw),
                _ => pen.anything(member.value, raw, Sort::Other, &mut Place::top(Scope::Settings)),
            });
        });
    }
}
