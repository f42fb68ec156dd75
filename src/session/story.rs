//! The story of one context, as far as its events are held.

use super::Session;
use super::journal::Entry;
use super::rows::cut;
use crate::attribution::state::{Options, State};
use crate::envelope::Envelope;
use crate::event::body;
use crate::explain::Verdicts;
use crate::explain::collect::{Collector, Kept, verdicts_of};
use crate::intake;
use crate::query::Query;
use crate::segment::fate::Made;
use crate::verdicts::Judged;
use crate::view::HeldStory;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Events told of at most, the newest: a placeholder such as `null` may have all there are.
const EVENTS_TOLD: usize = 500;
/// Aliases named at most.
const ALIASES_NAMED: usize = 8;

/// An event that says two keys are one person's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alias {
    key: String,
    previous_key: String,
}

impl Session {
    /// The story of a context; none where no event of it is held.
    pub fn story(&self, kind: &str, key: &str) -> Option<HeldStory> {
        let mut collector = Collector::of(kind, key);
        let in_rows = cut(key);
        let mut of_unit = Vec::new();
        let mut aliases = BTreeSet::new();
        for entry in self.journal.entries() {
            for (of_kind, of_key) in &entry.row.units {
                // The key itself may have been cut in the row.
                let is_it = **of_kind == *kind && **of_key == *in_rows;
                collector.note(of_kind, if is_it { key } else { of_key });
                if is_it {
                    of_unit.push(entry);
                }
            }
            if &*entry.row.kind == "alias" && aliases.len() < ALIASES_NAMED {
                aliases.extend(alias(entry, key));
            }
        }
        let older = of_unit.len().saturating_sub(EVENTS_TOLD);
        let told = of_unit.get(older..).unwrap_or_default();
        let mut last: Option<(&Arc<Envelope>, _)> = None;
        for entry in told {
            let text = match last.take() {
                Some((envelope, text)) if Arc::ptr_eq(envelope, &entry.envelope) => text,
                _ => body::text(&entry.envelope).ok(),
            };
            if let Some(text) = &text {
                collector.keep(self.kept(entry, text)?);
            }
            last = Some((&entry.envelope, text));
        }
        let other_clock = self.on_the_other_clock(told);
        let story = collector.story(&self.state, &self.catalog, &other_clock, &Query::default()).ok()?;
        Some(HeldStory {
            story,
            older: older as u64,
            has_scrolled: self.journal.has_scrolled(),
            aliases: aliases.into_iter().collect(),
        })
    }

    fn kept(&self, entry: &Entry, text: &str) -> Option<Kept> {
        let fate = entry
            .row
            .segment
            .and_then(|_| intake::fate_at(&entry.envelope, text, &entry.range, &self.catalog.destination));
        let made = fate.as_ref().zip(entry.row.segment).and_then(|(fate, through)| {
            let part = fate.parts.iter().find(|part| part.mapping == through.mapping)?;
            match &part.made {
                Made::Sent(json) => Some(json.to_string()),
                _ => None,
            }
        });
        Some(Kept {
            row: entry.row.clone(),
            claims: entry.claims.clone(),
            environment: self.environment_of(entry),
            raw: match made {
                Some(made) => made,
                None => text.get(entry.range.clone())?.to_owned(),
            },
            fate,
        })
    }

    /// A state that judges on the other clock. What is pending on one clock is compared with what is pending on the other.
    pub(super) fn state_on_the_other_clock(&self) -> State {
        let options = Options {
            clock: self.options.clock.other(),
            observed_from_ms: self.options.observed_from_ms,
            grace_ms: Some(self.options.grace_ms),
            ..Options::default()
        };
        State::new(Arc::clone(self.state.judge()), options)
    }

    /// O3: the verdicts of these events on the other clock, judged by the requests that brought them.
    fn on_the_other_clock(&self, told: &[&Entry]) -> HashMap<u64, Verdicts> {
        let mut state = self.state_on_the_other_clock();
        let mut judged: Vec<(u64, Judged)> = Vec::new();
        for of_request in told.chunk_by(|one, other| Arc::ptr_eq(&one.envelope, &other.envelope)) {
            let Some(envelope) = of_request.first().map(|entry| &entry.envelope) else { continue };
            intake::envelope(&mut state, &self.catalog.environment, envelope, |state, received| {
                let through = match &received {
                    intake::Received::Event { segment, .. } => segment.map(|segment| segment.mapping),
                    intake::Received::Unreadable { .. } => None,
                };
                let is_it = |entry: &&&Entry| {
                    received.range() == entry.range && through == entry.row.segment.map(|it| it.mapping)
                };
                if let Some(entry) = of_request.iter().find(is_it) {
                    judged.push((entry.row.event, Judged::new(state, &received, None, envelope.arrival())));
                }
            });
        }
        state.advance(self.now_ms);
        judged.iter().map(|(event, judged)| (*event, verdicts_of(&state, judged))).collect()
    }
}

/// The other key of an alias event that names one.
fn alias(entry: &Entry, key: &str) -> Option<String> {
    let text = body::text(&entry.envelope).ok()?;
    let alias: Alias = serde_json::from_str(text.get(entry.range.clone())?).ok()?;
    if alias.key == key { Some(alias.previous_key) } else { (alias.previous_key == key).then_some(alias.key) }
}
