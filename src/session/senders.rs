//! Who sends what.

use crate::attribution::units::UnitTable;
use crate::envelope::Envelope;
use crate::intake::{self, Received};
use crate::view::SourceRow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Senders told apart; names come from headers, which anyone can make up.
const MAX_SENDERS: usize = 1000;
/// Instances told apart per sender.
const MAX_INSTANCES: usize = 10_000;

/// What a request came to.
#[derive(Debug, Default)]
pub(super) struct Contents {
    events: u64,
    undecodable: u64,
    dropped_by_sdk: u64,
    pub(super) duplicate: bool,
}

impl Contents {
    pub(super) fn count(&mut self, received: &Received<'_, '_>) {
        self.events += 1;
        match received {
            Received::Event { event, .. } => {
                let dropped = event.dropped_events.unwrap_or(0).max(0) as u64;
                self.dropped_by_sdk = self.dropped_by_sdk.saturating_add(dropped);
            }
            Received::Unreadable { .. } => self.undecodable += 1,
        }
    }
}

#[derive(Clone, Debug)]
struct Sender {
    row: SourceRow,
    /// A table of units and not a set, because its clones share what they have in common.
    instances: UnitTable,
}

impl Default for Sender {
    fn default() -> Self {
        Self { row: SourceRow::default(), instances: UnitTable::new(true) }
    }
}

/// The senders seen, by SDK and environment. Clones share those that neither hears of again.
#[derive(Clone, Debug, Default)]
pub(super) struct Senders(BTreeMap<Arc<(String, Option<String>)>, Arc<Sender>>);

impl Senders {
    pub(super) fn note(&mut self, envelope: &Envelope, contents: &Contents) {
        let sdk = intake::sender(envelope).into_owned();
        let environment = intake::environment_name(envelope).map(ToOwned::to_owned);
        let mut key = (sdk, environment);
        if self.0.len() >= MAX_SENDERS && !self.0.contains_key(&key) {
            key = ("…other senders".to_owned(), None);
        }
        let sender = Arc::make_mut(self.0.entry(Arc::new(key.clone())).or_default());
        let row = &mut sender.row;
        (row.sdk, row.environment) = key;
        if let Some(wrapper) = envelope.header("x-launchdarkly-wrapper") {
            row.wrapper = Some(wrapper.to_owned());
        }
        if let Some(schema) = envelope.header("x-launchdarkly-event-schema")
            && !row.schemas.iter().any(|known| known == schema)
            && row.schemas.len() < 8
        {
            row.schemas.push(schema.to_owned());
            row.schemas.sort();
        }
        if let Some(instance) = envelope.header("x-launchdarkly-instance-id")
            && sender.instances.len() < MAX_INSTANCES
        {
            sender.instances.number("", instance);
            row.instances = sender.instances.len() as u64;
        }
        row.requests += 1;
        row.events += contents.events;
        row.undecodable += contents.undecodable;
        row.dropped_by_sdk = row.dropped_by_sdk.saturating_add(contents.dropped_by_sdk);
        row.wire_bytes += envelope.wire_bytes;
        row.compressed += u64::from(envelope.was_compressed());
        row.duplicates += u64::from(contents.duplicate);
        row.last_seen_ms = row.last_seen_ms.max(envelope.arrival_ms);
        if let Some(answer) = envelope.answer {
            match row.statuses.iter_mut().find(|(status, _)| *status == answer.status) {
                Some((_, count)) => *count += 1,
                None => {
                    row.statuses.push((answer.status, 1));
                    row.statuses.sort_unstable();
                }
            }
        }
    }

    /// Bytes that it holds and `earlier` does not share; an estimate.
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        let entry = size_of::<(Arc<(String, Option<String>)>, Arc<Sender>)>();
        let changed = self.0.iter().map(|(key, sender)| match earlier.0.get(key) {
            Some(before) if Arc::ptr_eq(before, sender) => 0,
            before => {
                let instances = before.map_or_else(|| UnitTable::new(true), |before| before.instances.clone());
                size_of::<Sender>() + key.0.len() * 2 + sender.instances.unshared_bytes(&instances)
            }
        });
        self.0.len() * entry + changed.sum::<usize>()
    }

    pub(super) fn rows(&self) -> Vec<SourceRow> {
        let mut rows: Vec<SourceRow> = self.0.values().map(|sender| sender.row.clone()).collect();
        rows.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.sdk.cmp(&b.sdk)));
        rows
    }
}
