//! Who sends what.

use crate::envelope::Envelope;
use crate::intake;
use crate::view::SourceRow;
use std::collections::{BTreeMap, HashSet};

/// Senders told apart; names come from headers, which anyone can make up.
const MAX_SENDERS: usize = 1000;
/// Instances told apart per sender.
const MAX_INSTANCES: usize = 10_000;

#[derive(Debug, Default)]
struct Sender {
    row: SourceRow,
    instances: HashSet<String>,
}

/// The senders seen, by SDK and environment.
#[derive(Debug, Default)]
pub(super) struct Senders(BTreeMap<(String, Option<String>), Sender>);

impl Senders {
    pub(super) fn note(
        &mut self,
        envelope: &Envelope,
        events: u64,
        undecodable: u64,
        dropped_by_sdk: u64,
        duplicate: bool,
    ) {
        let sdk = intake::sender(envelope).to_owned();
        let environment = intake::environment_name(envelope).map(ToOwned::to_owned);
        let mut key = (sdk, environment);
        if self.0.len() >= MAX_SENDERS && !self.0.contains_key(&key) {
            key = ("…other senders".to_owned(), None);
        }
        let sender = self.0.entry(key.clone()).or_default();
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
            sender.instances.insert(instance.to_owned());
            row.instances = sender.instances.len() as u64;
        }
        row.requests += 1;
        row.events += events;
        row.undecodable += undecodable;
        row.dropped_by_sdk = row.dropped_by_sdk.saturating_add(dropped_by_sdk);
        row.wire_bytes += envelope.wire_bytes;
        row.compressed += u64::from(envelope.was_compressed());
        row.duplicates += u64::from(duplicate);
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

    pub(super) fn rows(&self) -> Vec<SourceRow> {
        let mut rows: Vec<SourceRow> = self.0.values().map(|sender| sender.row.clone()).collect();
        rows.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.sdk.cmp(&b.sdk)));
        rows
    }
}
