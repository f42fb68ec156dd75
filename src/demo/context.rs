//! Contexts, and how SDKs write them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One kind and key of a context, with its attributes.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Context kind.
    pub(super) kind: &'static str,
    /// Context key.
    pub(super) key: Arc<str>,
    /// SDKs redact the attributes of an anonymous context in most events.
    pub(super) anonymous: bool,
    /// Attributes, all of them text in this shop.
    pub(super) attributes: Vec<(&'static str, Arc<str>)>,
    /// Private attributes: the SDK sends their names only.
    pub(super) private: &'static [&'static str],
}

impl Part {
    /// A part with a key and nothing else.
    pub(super) fn bare(kind: &'static str, key: &str) -> Self {
        Self { kind, key: key.into(), anonymous: false, attributes: Vec::new(), private: &[] }
    }
}

/// A context of one kind or several.
#[derive(Clone, Debug)]
pub(super) struct Context(Arc<[Part]>);

impl Context {
    /// A context made of these parts.
    pub(super) fn of(parts: &[&Part]) -> Self {
        Self(parts.iter().map(|part| (*part).clone()).collect())
    }

    /// The key under a kind.
    pub(super) fn key(&self, kind: &str) -> Option<&str> {
        self.0.iter().find(|part| part.kind == kind).map(|part| &*part.key)
    }

    /// The kinds, in order.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|part| part.kind)
    }

    /// Kind to key, as `contextKeys` holds them.
    pub(super) fn keys(&self) -> BTreeMap<&'static str, &str> {
        self.0.iter().map(|part| (part.kind, &*part.key)).collect()
    }

    /// What tells two contexts apart, as SDKs compute it.
    pub(super) fn fully_qualified_key(&self) -> String {
        self.0.iter().map(|part| format!("{}:{}", part.kind, part.key)).collect::<Vec<_>>().join(":")
    }
}

/// A context as it stands in an event.
pub(super) struct Written<'a> {
    /// The context.
    pub(super) context: &'a Context,
    /// Whether the attributes of anonymous parts are left out.
    pub(super) redact_anonymous: bool,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let [only] = &*self.context.0 {
            map.serialize_entry("kind", only.kind)?;
            write_part(&mut map, only, self.redact_anonymous)?;
        } else {
            map.serialize_entry("kind", "multi")?;
            for part in self.context.0.iter() {
                map.serialize_entry(part.kind, &WrittenPart { part, redact_anonymous: self.redact_anonymous })?;
            }
        }
        map.end()
    }
}

struct WrittenPart<'a> {
    part: &'a Part,
    redact_anonymous: bool,
}

impl Serialize for WrittenPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_part(&mut map, self.part, self.redact_anonymous)?;
        map.end()
    }
}

fn write_part<M: SerializeMap>(map: &mut M, part: &Part, redact_anonymous: bool) -> Result<(), M::Error> {
    map.serialize_entry("key", &*part.key)?;
    if part.anonymous {
        map.serialize_entry("anonymous", &true)?;
    }
    let all = part.anonymous && redact_anonymous;
    let mut redacted = Vec::new();
    for (name, value) in &part.attributes {
        if all || part.private.contains(name) {
            redacted.push(*name);
        } else {
            map.serialize_entry(name, &**value)?;
        }
    }
    if !redacted.is_empty() {
        map.serialize_entry("_meta", &BTreeMap::from([("redactedAttributes", redacted)]))?;
    }
    Ok(())
}
