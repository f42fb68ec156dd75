//! What is wrong with a catalog before any event comes: every mistake that can be decided without traffic.
//!
//! The commonest question, why a metric stays at zero, is often answered by the catalog alone: the experiment deals out
//! devices and the metric reads users. With the mapping of a Segment destination it is also known which context kinds
//! its events can carry at all.

mod experiments;
mod mapping;
mod metrics;
pub mod text;

use crate::catalog::layout::Part;
use crate::catalog::places::Places;
use crate::catalog::{Catalog, Experiment, Iteration};
use crate::reason::{ReasonCode, Severity, fill};
use crate::segment::{Destination, MappingKinds};
use serde::Serialize;

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// A reason code where events will meet one, or a name of this command's own.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The experiment it is about.
    pub experiment: Option<String>,
    /// The iteration, by its id.
    pub iteration: Option<String>,
    /// The metric.
    pub metric: Option<String>,
    /// The mapping, by its number.
    pub mapping: Option<usize>,
    /// The line of the catalog's file, from 1; none where it has none.
    pub line: Option<usize>,
    /// What is the case.
    pub what: String,
    /// What comes of it.
    pub why: String,
    /// What to change; empty where nothing need be.
    pub fix: String,
    #[serde(skip)]
    place: (Part, Vec<String>),
}

impl Concern {
    /// Under a name of this command's own.
    fn new(code: &'static str, severity: Severity, what: String) -> Self {
        Self {
            code,
            severity,
            experiment: None,
            iteration: None,
            metric: None,
            mapping: None,
            line: None,
            what,
            why: String::new(),
            fix: String::new(),
            place: (Part::Whole, Vec::new()),
        }
    }

    /// Under the reason code that the verdicts of its events will have, in the words of the table.
    fn of(code: ReasonCode, slots: &[(&str, &str)]) -> Self {
        let reason = code.reason();
        let mut concern = Self::new(reason.name, reason.severity, fill(reason.text, slots));
        concern.fix = fill(reason.fix, slots);
        concern
    }

    /// In words that know more than those of the table.
    fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// About a running, coming or past iteration; `steps` lead to the place in it.
    fn at_iteration(mut self, (experiment, iteration): (&Experiment, &Iteration), steps: &[&str]) -> Self {
        self.experiment = Some(experiment.key.clone());
        self.iteration = Some(iteration.id.clone());
        self.place = (Part::Experiment(experiment.key.clone()), steps.iter().map(|it| (*it).to_owned()).collect());
        self
    }

    fn at_metric(mut self, metric: &str, steps: &[&str]) -> Self {
        self.metric = Some(metric.to_owned());
        self.place = (Part::Metric(metric.to_owned()), steps.iter().map(|it| (*it).to_owned()).collect());
        self
    }

    /// Of a metric, where another place is to be changed.
    fn metric(mut self, metric: &str) -> Self {
        self.metric = Some(metric.to_owned());
        self
    }

    fn mapping(mut self, mapping: usize) -> Self {
        self.mapping = Some(mapping);
        self
    }

    /// The line: in the iteration where it says something of its own, else in the experiment.
    fn find_line(&mut self, places: &Places) {
        let (part, steps) = &self.place;
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let whole = places.line(part, &[]);
        let own = self.iteration.as_deref().and_then(|id| {
            let iterations = places.line(part, &["iterations"]);
            let iteration = places.line(part, &["iterations", id]);
            let found = places.line(part, &[&["iterations", id], steps.as_slice()].concat());
            // As far as the steps lead is where the iteration begins, if it says nothing of its own about it.
            (iterations != whole && (found != iteration || steps.is_empty())).then_some(found).flatten()
        });
        self.line = own.or_else(|| places.line(part, &steps)).filter(|_| *part != Part::Whole);
    }
}

/// How it stands with an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no start.
    NotStarted,
    /// Its start is yet to come.
    Coming,
    /// It runs.
    Running,
    /// It is over.
    Ended,
}

/// How it stands with an iteration at an instant, epoch ms.
pub fn standing(iteration: &Iteration, now_ms: i64) -> Standing {
    match (iteration.started_at_ms, iteration.ended_at_ms) {
        (None, _) => Standing::NotStarted,
        (Some(_), Some(end)) if end <= now_ms => Standing::Ended,
        (Some(start), _) if start > now_ms => Standing::Coming,
        (Some(_), _) => Standing::Running,
    }
}

/// The iteration of an experiment that people ask about: the one that runs, else the last that is to come, else the
/// last.
pub fn current(experiment: &Experiment, now_ms: i64) -> Option<(&Iteration, Standing)> {
    let all = || experiment.iterations.iter().rev().map(|iteration| (iteration, standing(iteration, now_ms)));
    all()
        .find(|(_, it)| *it == Standing::Running)
        .or_else(|| all().find(|(_, it)| *it != Standing::Ended))
        .or_else(|| all().next())
}

/// What reviewing a catalog came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// What was found, the worst first, then in the order of the catalog.
    pub concerns: Vec<Concern>,
    /// What the mappings can give, where there are some.
    pub mappings: Option<Vec<MappingKinds>>,
    /// How much was looked at: experiments that run or may yet, and metrics.
    pub looked_at: (usize, usize),
}

impl Review {
    /// How many concerns there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.concerns.iter().filter(|it| it.severity == severity).count()
    }
}

/// Reviews a catalog at an instant (epoch ms), with the destination of a Segment source if it is fed by one.
pub fn review(catalog: &Catalog, places: &Places, destination: Option<&Destination>, now_ms: i64) -> Review {
    let mut concerns = Vec::new();
    experiments::review(catalog, now_ms, &mut concerns);
    metrics::review(catalog, now_ms, &mut concerns);
    let mappings = destination.map(Destination::kinds);
    if let (Some(destination), Some(mappings)) = (destination, &mappings) {
        mapping::review(catalog, destination, mappings, now_ms, &mut concerns);
    }
    concerns.iter_mut().for_each(|concern| concern.find_line(places));
    concerns.sort_by_key(|concern| std::cmp::Reverse(concern.severity));
    let is_open =
        |experiment: &&Experiment| current(experiment, now_ms).is_some_and(|(_, standing)| standing != Standing::Ended);
    let open = catalog.experiments.iter().filter(is_open).count();
    Review { concerns, mappings, looked_at: (open, catalog.metrics.len()) }
}

/// Words in a row: `a, b`.
fn joined<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}
