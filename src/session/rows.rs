//! Rows of the Live pane.

use crate::attribution::judge::is_about_time;
use crate::attribution::state::{AcceptedClaims, State};
use crate::catalog::Catalog;
use crate::envelope::Envelope;
use crate::event::{Event, Kind};
use crate::findings::is_own_traffic;
use crate::intake::{self, OfSegment, Received};
use crate::near_miss;
use crate::reason::ReasonCode;
use crate::segment::fate::Made;
use crate::verdicts;
use crate::view::{EventRow, NO_ARRIVAL, RowVerdict, ThroughSegment};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Names are cut here for the list; the explanation shows them whole.
const MAX_NAME_CHARACTERS: usize = 200;
/// Near misses remembered, and texts shared between rows.
const MAX_REMEMBERED: usize = 10_000;

/// Texts shared between rows, so that a hundred thousand rows do not hold a hundred thousand copies of `feature`.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    near: HashMap<Arc<str>, Option<Arc<str>>>,
    shared: HashMap<Box<str>, Arc<str>>,
}

/// A clone begins without: what is remembered only spares memory and time, and copying it would cost both.
impl Clone for Notes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Notes {
    fn share(&mut self, text: &str) -> Arc<str> {
        let text = &*cut(text);
        if let Some(shared) = self.shared.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        if self.shared.len() < MAX_REMEMBERED {
            self.shared.insert(text.into(), Arc::clone(&shared));
        }
        shared
    }

    fn near_miss(&mut self, key: &Arc<str>, catalog: &Catalog) -> Option<Arc<str>> {
        if let Some(near) = self.near.get(key) {
            return near.clone();
        }
        let near = near_miss::near_miss(key, &catalog.metrics).map(|near| {
            Arc::from(match near.how {
                "metric-key" => format!("that is a metric's key; its event key is “{}”", near.event_key),
                how => format!("“{}”? ({how})", near.event_key),
            })
        });
        if self.near.len() < MAX_REMEMBERED {
            self.near.insert(Arc::clone(key), near.clone());
        }
        near
    }
}

/// What best names an event. The key of a click or page view is an internal id, so the page stands for it, without
/// its query, which may hold anything.
fn name(event: &Event<'_>) -> String {
    if let (Kind::Click | Kind::PageView | Kind::ClickPageView, Some(url)) = (event.kind, &event.url) {
        let page = url.split(['?', '#']).next().unwrap_or_default();
        let path = page.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
        return path.unwrap_or(page).to_owned();
    }
    match (&event.key, event.features.as_deref()) {
        (Some(key), _) if !key.is_empty() => key.to_string(),
        (_, Some(features)) => {
            let flags = crate::event::summary::flags(features);
            let names: Vec<&str> = flags.iter().take(3).map(|flag| flag.flag.as_ref()).collect();
            match flags.len().saturating_sub(names.len()) {
                0 => names.join(", "),
                more => format!("{} +{more}", names.join(", ")),
            }
        }
        _ => event.context_keys.iter().map(|(kind, _)| kind).collect::<Vec<_>>().join(", "),
    }
}

/// A name as rows have it: cut where it is longer than any list shows.
pub(crate) fn cut(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_NAME_CHARACTERS) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()).into(),
        None => name.into(),
    }
}

/// How an event came.
#[derive(Clone, Debug)]
pub(crate) struct Came<'a> {
    /// Number of its request, from 1; none for plain events.
    pub(crate) request: Option<u64>,
    /// Arrival, epoch ms; none for plain events.
    pub(crate) arrival_ms: Option<i64>,
    /// Who sent it.
    pub(crate) source: Cow<'a, str>,
}

impl<'a> Came<'a> {
    /// In a request.
    pub(crate) fn by(envelope: &'a Envelope) -> Self {
        Self { request: envelope.number(), arrival_ms: envelope.arrival(), source: intake::sender(envelope) }
    }
}

/// Makes the row of an event that was taken in: what the screens list, and what a filter is held against, with a
/// screen and without.
pub(crate) fn row(
    state: &State,
    catalog: &Catalog,
    notes: &mut Notes,
    came: Came<'_>,
    received: Received<'_, '_>,
) -> (EventRow, AcceptedClaims, Range<usize>) {
    let mut row = EventRow {
        event: 0,
        request: came.request,
        arrival_ms: came.arrival_ms.unwrap_or(NO_ARRIVAL),
        t_ms: None,
        kind: notes.share("?"),
        key: notes.share(""),
        units: Vec::new(),
        source: notes.share(&came.source),
        segment: None,
        code: ReasonCode::Undecodable,
        best: None,
        verdicts: Vec::new(),
        warnings: Vec::new(),
        note: None,
        noise: false,
        was_shown_otherwise: false,
    };
    match received {
        Received::Unreadable { number, unreadable } => {
            row.event = number;
            row.note = Some(format!("{}, at byte {}", unreadable.reason, unreadable.offset).into());
            (row, AcceptedClaims::new(), unreadable.range)
        }
        Received::Event { number, event, range, claims, segment } => {
            row.event = number;
            row.segment = segment.map(|segment| ThroughSegment { mapping: segment.mapping });
            row.t_ms = state.instant(event, came.arrival_ms);
            row.arrival_ms = came.arrival_ms.or(event.received_ms()).unwrap_or(NO_ARRIVAL);
            row.kind = notes.share(event.kind.name().unwrap_or(&event.kind_name));
            row.key = notes.share(&name(event));
            row.units = event.context_keys.iter().map(|(kind, key)| (notes.share(kind), notes.share(key))).collect();
            row.noise = event.key.as_deref().is_some_and(is_own_traffic)
                || row.units.iter().any(|(kind, _)| **kind == *"ld_ai");
            resolve(&mut row, &claims, state, false);
            row.note = note(&row, notes, state, catalog);
            if let Some(OfSegment { fate, made, .. }) = segment
                && !matches!(made, Made::Sent(_))
            {
                // Nobody's contexts, but what a person would look for it by.
                row.units = fate.people().into_iter().map(|(name, id)| (notes.share(name), notes.share(id))).collect();
                row.note = made.words().map(|words| notes.share(words));
            }
            (row, claims, range)
        }
    }
}

/// A few words that spare opening the event, for the verdicts that are asked about most.
fn note(row: &EventRow, notes: &mut Notes, state: &State, catalog: &Catalog) -> Option<Arc<str>> {
    let verdict = row.best_verdict();
    let iteration = verdict.and_then(|verdict| state.judge().iterations().get(verdict.iteration as usize));
    let unit = iteration.map(|judged| judged.iteration.randomization_unit.as_str());
    let kinds = || match row.units.as_slice() {
        [] => "no context key".to_owned(),
        units => format!("has {}", units.iter().map(|(kind, _)| &**kind).collect::<Vec<_>>().join(", ")),
    };
    match row.code {
        ReasonCode::NoMetricForKey => notes.near_miss(&row.key, catalog),
        ReasonCode::EventLacksUnit | ReasonCode::ExposureLacksUnit => {
            Some(format!("needs {}, {}", unit?, kinds()).into())
        }
        ReasonCode::MetricUnitMismatch => {
            let metric = catalog.metrics.get(verdict?.metric? as usize)?;
            Some(format!("randomized by {}, metric analyses {}", unit?, metric.units.join(", ")).into())
        }
        _ => None,
    }
}

/// Fills in a row's verdicts as they stand now. With `mark`, a verdict that was another one is marked as revised;
/// `pending` giving way to a verdict is no revision, it is what pending means.
pub(crate) fn resolve(row: &mut EventRow, claims: &AcceptedClaims, state: &State, mark: bool) {
    let before = std::mem::take(&mut row.verdicts);
    row.warnings.clear();
    let mut apart = None;
    for claim in claims {
        let outcome = verdicts::outcome(state, row.event, claim);
        for warning in &outcome.warnings {
            if !row.warnings.contains(warning) {
                row.warnings.push(*warning);
            }
        }
        let Some(iteration) = outcome.iteration else {
            apart = Some(outcome.code);
            continue;
        };
        row.verdicts.push(RowVerdict {
            iteration,
            metric: outcome.metric,
            code: outcome.code,
            variation: outcome.variation,
            revised: false,
        });
    }
    row.verdicts.sort_by_key(|verdict| (verdict.iteration, verdict.metric));
    for (verdict, before) in row.verdicts.iter_mut().zip(&before) {
        let changed = (verdict.code, verdict.variation) != (before.code, before.variation);
        verdict.revised = before.revised || (mark && changed && before.code != ReasonCode::Pending);
    }
    // Of several drops, one that only says that another iteration was running then is the least worth showing.
    row.best = (0..row.verdicts.len()).min_by_key(|index| {
        let code = row.verdicts.get(*index).map_or(ReasonCode::Undecodable, |verdict| verdict.code);
        (code.category(), is_about_time(code), code)
    });
    row.code = row.best_verdict().map(|verdict| verdict.code).or(apart).unwrap_or(row.code);
}
