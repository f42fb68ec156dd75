//! Redacting the catalog of a recording: what it compares events with is replaced as in the events.

use super::Redactor;
use super::address;
use super::list::Sort;
use super::plan::{Addresses, Care, Place, Scope, is_word};
use crate::attribution::filter::attribute_path;
use crate::catalog::{Catalog, Filter, UrlMatcher};
use crate::envelope::Credential;
use crate::json::Walker;
use serde_json::Value;

impl Redactor {
    pub(super) fn catalog(&mut self, catalog: &Catalog) -> Catalog {
        let mut redacted = catalog.clone();
        let environment = &mut redacted.environment;
        if let Some(id) = &mut environment.client_side_id {
            *id = address::client_side_id(&self.stand_ins, &mut self.list, id).into_owned();
        }
        if let Some(credentials) = &mut environment.credentials {
            *credentials = credentials.iter().flat_map(|text| self.known_credential(text)).collect();
        }
        for metric in &mut redacted.metrics {
            metric.urls.iter_mut().for_each(|url| self.matcher(url));
            if let Some(filter) = &mut metric.filter {
                self.filter(filter);
            }
        }
        redacted
    }

    /// A credential as the catalog gives it: masked, or raw, and then it is known by its mask.
    fn known_credential(&mut self, text: &str) -> Vec<String> {
        self.list.replaced(Sort::Credential);
        let is_masked = text.contains('…');
        let known = if is_masked { Credential::masked(text) } else { Credential::mask(text) };
        vec![self.stand_ins.credential(&known).as_str().to_owned()]
    }

    fn matcher(&mut self, url: &mut UrlMatcher) {
        match (url, &self.plan.addresses) {
            (UrlMatcher::Exact(url) | UrlMatcher::Canonical(url), Addresses::ByParts) => {
                *url = address::page(&self.stand_ins, &self.plan, &mut self.list, url).into_owned();
            }
            _ => self.list.kept("URLs of metrics in the catalog: they cannot be replaced without matching other pages"),
        }
    }

    fn filter(&mut self, filter: &mut Filter) {
        match filter {
            Filter::Group { members, .. } => members.iter_mut().for_each(|member| self.filter(member)),
            Filter::Attribute { context_kind, attribute, op, values, .. } => {
                let path = attribute_path(attribute);
                // Compared with the kinds of contexts, which stay.
                if context_kind.is_some() && path.as_deref().is_some_and(|path| path == ["kind"]) {
                    return;
                }
                let place = match (context_kind, path) {
                    (Some(kind), Some(path)) => Place { scope: Scope::Context(kind.clone()), path },
                    (None, Some(path)) => Place { scope: Scope::Data, path },
                    // It leads nowhere, so nothing is compared.
                    (_, None) => Place::top(Scope::Elsewhere),
                };
                if !is_word(op) {
                    *op = self.stand_ins.of(op).into_owned();
                }
                let is_key = matches!(place.scope, Scope::Context(_)) && place.path == ["key"];
                let keys_are_kept = is_key && self.plan.keeps(&super::Keep::Keys);
                if keys_are_kept || matches!(self.plan.care(&place), Care::Keep(_)) {
                    self.list.kept("values of filters in the catalog that are compared with kept ones");
                    return;
                }
                values.iter_mut().for_each(|value| *value = self.filter_value(value, &mut place.clone()));
            }
            Filter::Unsupported { what } => {
                if !is_word(what) {
                    *what = self.stand_ins.of(what).into_owned();
                }
            }
        }
    }

    /// Replaced as the same value at the same place of an event would be.
    fn filter_value(&mut self, value: &Value, place: &mut Place) -> Value {
        let text = value.to_string();
        let mut pen = self.pen();
        if let Ok(value) = Walker::new(&text).value() {
            pen.anything(value, &text, Sort::FilterValue, place);
        }
        serde_json::from_str(&pen.out).unwrap_or(Value::Null)
    }
}
