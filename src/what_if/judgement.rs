//! One judgement of all the events: what each claims, and the state that says what its claims come to.

use crate::attribution::judge::Judge;
use crate::attribution::state::{AcceptedClaims, Clock, Options, State};
use crate::catalog::Catalog;
use crate::envelope::Envelope;
use crate::intake::{self, Received};
use crate::reason::ReasonCode;
use crate::verdicts;
use std::sync::Arc;

/// Events that can be judged more than once.
pub trait Events {
    /// Why they cannot.
    type Error;

    /// Judges all of them, in order, and hands on each as it is taken in.
    ///
    /// # Errors
    /// Why they cannot be read, or that nobody wants to know any more.
    fn judge(
        &self,
        catalog: &Catalog,
        clock: Clock,
        visit: &mut dyn FnMut(&State, &Received<'_, '_>),
    ) -> Result<State, Self::Error>;
}

/// An event as far as its verdicts need it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Its number.
    pub(super) event: u64,
    /// What was received, counted from 0: of a Segment event several events may be made.
    pub(super) item: u64,
    /// The mapping that made it, where it came through Segment.
    pub(super) mapping: Option<usize>,
    is_readable: bool,
    claims: AcceptedClaims,
}

/// Everything judged once.
pub struct Judgement {
    /// What it is judged by.
    pub catalog: Catalog,
    /// The clock.
    pub clock: Clock,
    /// What is known at the end.
    pub state: State,
    kept: Vec<Kept>,
}

/// What one claim of an event comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The iteration, and the metric of a conversion; none where no iteration is about the event.
    pub(super) place: Option<(u32, Option<u32>)>,
    pub(super) verdict: Verdict<'a>,
}

/// A verdict, and whom it credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    pub(super) code: ReasonCode,
    pub(super) variation: Option<i64>,
    /// Kind and key.
    pub(super) unit: Option<(&'a str, &'a str)>,
}

impl Judgement {
    /// Judges events.
    ///
    /// # Errors
    /// What the events say.
    pub fn of<E: Events + ?Sized>(events: &E, catalog: Catalog, clock: Clock) -> Result<Self, E::Error> {
        let mut kept: Vec<Kept> = Vec::new();
        let state = events.judge(&catalog, clock, &mut |_, received| {
            let items = kept.last().map_or(0, |last| last.item + 1);
            kept.push(match received {
                Received::Event { number, claims, segment, .. } => Kept {
                    event: *number,
                    item: if segment.is_some_and(|segment| segment.part > 0) { items.saturating_sub(1) } else { items },
                    mapping: segment.and_then(|segment| segment.mapping),
                    is_readable: true,
                    claims: claims.clone(),
                },
                Received::Unreadable { number, .. } => Kept {
                    event: *number,
                    item: items,
                    mapping: None,
                    is_readable: false,
                    claims: AcceptedClaims::new(),
                },
            });
        })?;
        Ok(Self { catalog, clock, state, kept })
    }

    pub(super) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// The verdicts of an event, as things stand at the end.
    pub(super) fn rows(&self, kept: &Kept) -> impl Iterator<Item = Row<'_>> {
        let unreadable = (!kept.is_readable).then_some(Row {
            place: None,
            verdict: Verdict { code: ReasonCode::Undecodable, variation: None, unit: None },
        });
        let (event, claims) = (kept.event, kept.claims.clone());
        let of_claims = claims.into_iter().map(move |claim| {
            let outcome = verdicts::outcome(&self.state, event, &claim);
            let unit = outcome.state.and_then(|index| self.state.units().name(self.state.state(index)?.unit));
            let verdict = Verdict { code: outcome.code, variation: outcome.variation, unit };
            Row { place: outcome.iteration.map(|iteration| (iteration, outcome.metric)), verdict }
        });
        unreadable.into_iter().chain(of_claims)
    }

    /// The verdicts of an event by its number.
    pub(super) fn verdicts_of(&self, event: u64) -> impl Iterator<Item = Row<'_>> {
        let found = self.kept.binary_search_by_key(&event, |kept| kept.event).ok();
        let kept = found.and_then(|index| self.kept.get(index));
        kept.into_iter().flat_map(|kept| self.rows(kept))
    }
}

/// Requests that are held in memory.
pub struct Held<'a> {
    /// The requests, in order.
    pub requests: &'a [Arc<Envelope>],
    /// Since when everything was observed; none: the history is complete.
    pub observed_from_ms: Option<i64>,
    /// Told after every request how many were judged; false: nobody wants to know any more.
    pub goes_on: &'a dyn Fn(u64) -> bool,
}

/// Nobody wants to know any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl Events for Held<'_> {
    type Error = Stopped;

    fn judge(
        &self,
        catalog: &Catalog,
        clock: Clock,
        visit: &mut dyn FnMut(&State, &Received<'_, '_>),
    ) -> Result<State, Stopped> {
        let options = Options { clock, observed_from_ms: self.observed_from_ms, ..Options::default() };
        let mut state = State::new(Arc::new(Judge::new(catalog)), options);
        for (envelope, number) in self.requests.iter().zip(1..) {
            intake::envelope(&mut state, &catalog.environment, envelope, |state, received| visit(state, &received));
            if !(self.goes_on)(number) {
                return Err(Stopped);
            }
        }
        Ok(state)
    }
}
