//! A live session: the state of attribution, and the newest events as rows that the screens show.
//!
//! The session owns no clock and reads no socket: envelopes come in by [`Session::receive`], time by
//! [`Session::advance`].

mod again;
mod checkpoint;
mod explain;
mod journal;
pub(crate) mod rows;
mod senders;
mod story;
mod units;

pub use again::{Again, Flagged, Shown};
pub use checkpoint::Checkpoint;
pub use journal::Journal;

use crate::attribution::judge::Judge;
use crate::attribution::state::{Change, Clock, Options, SEGMENT_DELIVERY_PERCENT, State};
use crate::catalog::infer::Inference;
use crate::catalog::{Catalog, Given};
use crate::envelope::Envelope;
use crate::intake;
use crate::report::{Report, build};
use crate::view::{EventRow, SourceRow};
use journal::Entry;
use rows::Notes;
use senders::{Contents, Senders};
use std::collections::HashSet;
use std::sync::Arc;

/// How long a conversion without exposure is pending (O2).
pub const GRACE_MS: i64 = 60_000;
/// How long new flags and event keys gather before an inferred catalog follows them.
const INFERENCE_PAUSE_MS: i64 = 1000;

/// How a session judges and what it keeps.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// The clock that judges.
    pub clock: Clock,
    /// Since when everything is observed; none: the history is complete.
    pub observed_from_ms: Option<i64>,
    /// How long a conversion without exposure is pending.
    pub grace_ms: i64,
    /// Events kept for the screen.
    pub max_events: usize,
    /// Bytes of bodies kept for the screen.
    pub max_bytes: usize,
    /// Units followed.
    pub max_units: usize,
    /// Conversions kept for judging again.
    pub max_conversions: usize,
    /// Of the events that a trigger in Segment matches, LaunchDarkly should get so many percent.
    pub segment_delivery_percent: f64,
    /// Clones are cheap: see [`Options::shares_clones`].
    pub shares_clones: bool,
}

impl SessionOptions {
    /// The defaults, for a session that begins to observe now.
    pub fn from_now(now_ms: i64) -> Self {
        Self {
            clock: Clock::Creation,
            observed_from_ms: Some(now_ms),
            grace_ms: GRACE_MS,
            max_events: 100_000,
            max_bytes: 256 * 1024 * 1024,
            max_units: 2_000_000,
            max_conversions: 2_000_000,
            segment_delivery_percent: SEGMENT_DELIVERY_PERCENT,
            shares_clones: true,
        }
    }

    /// For a recording, which says itself since when it observed. No unit and no conversion is given up, as none is
    /// where the same recording is summed up without a screen.
    pub fn of_recording(clock: Clock, observed_from_ms: Option<i64>, max_events: usize) -> Self {
        Self {
            clock,
            observed_from_ms,
            max_events,
            max_units: usize::MAX,
            max_conversions: usize::MAX,
            ..Self::from_now(0)
        }
    }

    fn attribution(&self) -> Options {
        Options {
            clock: self.clock,
            observed_from_ms: self.observed_from_ms,
            grace_ms: Some(self.grace_ms),
            keep_receipts: false,
            max_units: self.max_units,
            max_conversions: self.max_conversions,
            shares_clones: self.shares_clones,
            segment_delivery_percent: self.segment_delivery_percent,
            track_changes: true,
        }
    }
}

/// What an iteration is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterationName {
    /// Experiment key.
    pub experiment: Arc<str>,
    /// Iteration id.
    pub iteration: Arc<str>,
    /// Flag key.
    pub flag: Arc<str>,
}

/// A live session.
///
/// With [`SessionOptions::shares_clones`] a clone costs little: it shares with the original whatever neither changes
/// afterwards, rows included.
#[derive(Clone)]
pub struct Session {
    options: SessionOptions,
    catalog: Arc<Catalog>,
    /// The catalog that was given last, rollouts of flags that passed by included. Other than the one judged by where
    /// those came too late.
    offered: Arc<Catalog>,
    inference: Option<Inference>,
    inferred_at_ms: i64,
    state: State,
    journal: Journal,
    senders: Senders,
    iterations: Vec<IterationName>,
    metric_names: Vec<Arc<str>>,
    notes: Notes,
    now_ms: i64,
    revision: u64,
    report: Option<(u64, Arc<Report>)>,
}

impl Session {
    /// A session judged by a catalog, or, without one, by what the traffic suggests.
    pub fn new(catalog: Option<Catalog>, options: SessionOptions) -> Self {
        let destination = catalog.as_ref().map(|catalog| Arc::clone(&catalog.destination));
        Self::of(Given { catalog, destination, flags: None }, options)
    }

    /// A session judged by what was given, and by what the traffic suggests in place of the rest.
    pub fn of(given: Given, options: SessionOptions) -> Self {
        let (catalog, inference) = match given.catalog() {
            Ok(catalog) => (catalog, None),
            Err(inference) => (inference.catalog(), Some(inference)),
        };
        let state = State::new(Arc::new(Judge::new(&catalog)), options.attribution());
        let catalog = Arc::new(catalog);
        let mut session = Self {
            offered: Arc::clone(&catalog),
            journal: Journal::new(options.max_events, options.max_bytes, options.shares_clones),
            options,
            catalog,
            inference,
            inferred_at_ms: options.observed_from_ms.unwrap_or(i64::MIN),
            state,
            senders: Senders::default(),
            iterations: Vec::new(),
            metric_names: Vec::new(),
            notes: Notes::default(),
            now_ms: i64::MIN,
            revision: 0,
            report: None,
        };
        session.name_everything();
        session
    }

    fn name_everything(&mut self) {
        self.iterations = self
            .state
            .judge()
            .iterations()
            .iter()
            .filter_map(|judged| {
                let experiment = self.catalog.experiments.get(judged.experiment)?;
                Some(IterationName {
                    experiment: experiment.key.as_str().into(),
                    iteration: judged.iteration.id.as_str().into(),
                    flag: experiment.flag.as_str().into(),
                })
            })
            .collect();
        self.metric_names = self.catalog.metrics.iter().map(|metric| metric.key.as_str().into()).collect();
        self.notes = Notes::default();
    }

    /// The session as it stands, where it is so large that going through it takes longer than a frame, and a clone is
    /// none the less had at once.
    pub fn snapshot(&self) -> Option<Self> {
        const LARGE: usize = 20_000;
        (self.options.shares_clones && self.state.units().len() >= LARGE).then(|| self.clone())
    }

    /// Takes in a request.
    pub fn receive(&mut self, envelope: &Envelope) {
        self.receive_owned(envelope.clone());
    }

    /// Takes in a request, and keeps it as it is.
    pub fn receive_owned(&mut self, envelope: Envelope) {
        self.now_ms = self.now_ms.max(envelope.arrival_ms);
        self.observe(&envelope);
        self.take(Arc::new(envelope));
        self.revise_rows();
        self.revision += 1;
    }

    /// Notes that requests were lost before they could be looked at: at least as many events were.
    pub fn lose(&mut self, requests: u64) {
        if requests > 0 {
            self.state.lost(requests);
            self.revise_rows();
            self.revision += 1;
        }
    }

    /// Notes a time in between of which nothing is known.
    pub fn interrupt(&mut self) {
        self.state.interrupted();
        self.revise_rows();
        self.revision += 1;
    }

    fn observe(&mut self, envelope: &Envelope) {
        if let Some(inference) = &mut self.inference {
            inference.observe_request(envelope);
        }
    }

    fn take(&mut self, envelope: Arc<Envelope>) {
        let (journal, catalog, notes) = (&mut self.journal, &self.catalog, &mut self.notes);
        let mut contents = Contents::default();
        let duplicates_before = self.state.totals().duplicate_payloads;
        intake::envelope(&mut self.state, &catalog.environment, &envelope, |state, received| {
            contents.count(&received);
            let (row, claims, range) = rows::row(state, catalog, notes, rows::Came::by(&envelope), received);
            journal.push(Entry { row, claims, envelope: Arc::clone(&envelope), range });
        });
        contents.duplicate = self.state.totals().duplicate_payloads > duplicates_before;
        self.senders.note(&envelope, &contents);
    }

    /// Lets time pass.
    pub fn advance(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.state.advance(self.now_ms);
        if self.now_ms.saturating_sub(self.inferred_at_ms) >= INFERENCE_PAUSE_MS {
            self.follow_inference();
        }
        if self.revise_rows() {
            self.revision += 1;
        }
    }

    /// Judges everything that is still held by the catalog the traffic suggests by now. Once events have scrolled
    /// out the catalog stays as it is: they could not be judged again.
    fn follow_inference(&mut self) {
        self.inferred_at_ms = self.now_ms;
        let Some(inference) = &self.inference else { return };
        if self.journal.has_scrolled() {
            return;
        }
        let catalog = inference.catalog();
        if catalog != *self.catalog {
            self.judge_again(catalog);
        }
    }

    /// Judges everything that is still held by another catalog.
    fn judge_again(&mut self, catalog: Catalog) {
        self.catalog = Arc::new(catalog);
        self.offered = Arc::clone(&self.catalog);
        let (lost, was_interrupted) = (self.state.totals().lost, self.state.totals().was_interrupted);
        self.state = State::new(Arc::new(Judge::new(&self.catalog)), self.options.attribution());
        self.state.lost(lost);
        if was_interrupted {
            self.state.interrupted();
        }
        self.name_everything();
        self.senders = Senders::default();
        for envelope in self.journal.restart() {
            self.take(envelope);
        }
        self.state.advance(self.now_ms);
        self.state.take_changes();
        self.journal.refresh(&self.state);
        self.revision += 1;
    }

    /// Brings rows up to date whose verdicts changed. True if any did.
    fn revise_rows(&mut self) -> bool {
        let changes = self.state.take_changes();
        if changes.is_empty() {
            return false;
        }
        let mut units = HashSet::new();
        for change in changes {
            match change {
                Change::Event(event) => self.journal.revise(event, &self.state),
                Change::Exposures(unit) => {
                    units.insert(unit);
                }
            }
        }
        if !units.is_empty() {
            self.journal.revise_exposures(&units, &self.state);
        }
        true
    }

    /// The newest events.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Changes whenever anything that is shown may have changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The report of everything received so far. It is made anew only if something changed.
    pub fn report(&mut self) -> Arc<Report> {
        match &self.report {
            Some((revision, report)) if *revision == self.revision => Arc::clone(report),
            _ => {
                let report = Arc::new(build::report(&self.state, &self.catalog));
                self.report = Some((self.revision, Arc::clone(&report)));
                report
            }
        }
    }

    /// The senders.
    pub fn sources(&self) -> Vec<SourceRow> {
        self.senders.rows()
    }

    /// The iterations, as rows refer to them.
    pub fn iterations(&self) -> &[IterationName] {
        &self.iterations
    }

    /// The metrics' keys, as rows refer to them.
    pub fn metric_names(&self) -> &[Arc<str>] {
        &self.metric_names
    }

    /// The catalog judged by.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The state of attribution.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Since when everything is observed.
    pub fn observed_from_ms(&self) -> Option<i64> {
        self.options.observed_from_ms
    }

    /// Events known to be lost.
    pub fn lost(&self) -> u64 {
        self.state.totals().lost
    }

    /// A row by its event's number, if it is still held.
    pub fn row(&self, event: u64) -> Option<&EventRow> {
        self.journal.row(event)
    }
}
