//! What has come of a probe so far, read off the stories of its contexts.

use super::{Probe, ProbeMetric};
use crate::explain::story::{Story, StoryEvent, StoryLadder};
use crate::near_miss::{nearest, units_differ_by};
use crate::reason::{Category, ReasonCode};
use crate::session::Session;
use std::collections::{BTreeMap, BTreeSet};

/// Look-alikes and other event keys named.
const NAMED: usize = 5;

/// What has come of a probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Events that carry one of its contexts.
    pub events: u64,
    /// Whether any evaluation of the flag came with one of its contexts.
    pub is_evaluated: bool,
    /// The arm it was exposed to first.
    pub exposed_to: Option<String>,
    /// The arm its key falls in, where flags that passed by told how units are dealt out.
    pub falls_in: Option<String>,
    /// Why its latest evaluation was no exposure.
    pub exposure: Option<Trouble>,
    /// Its metrics, in the probe's order.
    pub metrics: Vec<MetricStanding>,
    /// Event keys that no metric asked for was made of.
    pub other_event_keys: Vec<String>,
    /// Units that were probably meant to be this one, each with how it differs.
    pub look_alikes: Vec<(String, String)>,
}

/// What has come of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricStanding {
    /// Events that match the metric.
    pub received: u64,
    /// Those that count.
    pub counted: u64,
    /// All of them by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Why the latest that does not count does not.
    pub trouble: Option<Trouble>,
}

/// Why something is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The verdict.
    pub code: ReasonCode,
    /// What was compared.
    pub text: String,
    /// What to change.
    pub fix: String,
    /// What would have matched.
    pub near_miss: Option<String>,
}

impl Trouble {
    fn of(ladder: &StoryLadder) -> Self {
        let failed = ladder.rules.iter().rfind(|rule| rule.outcome == "failed");
        Self {
            code: ladder.verdict,
            text: failed.map_or_else(|| ladder.verdict.reason().text.to_owned(), |rule| rule.text.clone()),
            fix: ladder.fix.clone(),
            near_miss: ladder.near_miss.clone(),
        }
    }
}

impl Standing {
    /// Whether it was exposed, and every metric counted.
    pub fn is_complete(&self) -> bool {
        self.exposed_to.is_some() && self.metrics.iter().all(|metric| metric.counted > 0)
    }

    /// What there is to tell of it by now, step by step.
    pub fn steps(&self, probe: &Probe) -> Vec<String> {
        let mut steps = Vec::new();
        if self.events > 0 {
            steps.push("seen".to_owned());
        }
        for (unit, how) in &self.look_alikes {
            steps.push(format!("{unit} was seen instead: {how}"));
        }
        match (&self.exposed_to, &self.exposure) {
            (Some(arm), _) => steps.push(format!("exposed to {arm}")),
            (None, Some(trouble)) => steps.push(format!("evaluated, and not exposed: {}", trouble.code.name())),
            (None, None) => {}
        }
        for (metric, asked) in self.metrics.iter().zip(&probe.metrics) {
            match &metric.trouble {
                _ if metric.counted > 0 => steps.push(format!("{} counted", asked.metric)),
                Some(trouble) => {
                    steps.push(format!("{} received, and not counted: {}", asked.metric, trouble.code.name()))
                }
                None => {}
            }
        }
        for key in &self.other_event_keys {
            steps.push(format!("{key} received, which is no event key of its metrics"));
        }
        steps
    }

    /// The event key that was probably sent in place of a metric's.
    pub fn sent_instead(&self, asked: &ProbeMetric) -> Option<&str> {
        let wanted = asked.event_key.as_deref()?;
        nearest(wanted, self.other_event_keys.iter().map(String::as_str))
    }
}

/// What has come of a probe so far.
pub fn standing(session: &Session, probe: &Probe) -> Standing {
    let story = |kind: &String| {
        let context = probe.contexts.get(kind)?;
        Some(session.story(kind, &context.key)?.story)
    };
    let stories: Vec<Story> = probe.contexts.keys().filter_map(story).collect();
    let mut events: BTreeMap<u64, &StoryEvent> = BTreeMap::new();
    stories.iter().flat_map(|story| &story.events).for_each(|event| _ = events.insert(event.event, event));
    let own = stories.iter().find(|story| story.kind == probe.unit_kind);
    let is_about = |name: &Option<String>, id: &Option<String>| {
        name.as_ref() == Some(&probe.experiment) && id.as_ref() == Some(&probe.iteration)
    };
    let in_experiment = own.into_iter().flat_map(|story| &story.experiments);
    let in_experiment = in_experiment.filter(|it| it.experiment == probe.experiment && it.iteration == probe.iteration);
    let in_experiment = in_experiment.collect::<Vec<_>>();
    let mut standing = Standing {
        events: events.len() as u64,
        exposed_to: in_experiment.iter().find_map(|it| it.arm.clone()),
        falls_in: in_experiment.iter().find_map(|it| it.bucket.as_ref()?.arm.clone()),
        metrics: vec![MetricStanding::default(); probe.metrics.len()],
        ..Standing::default()
    };
    let mut others = BTreeSet::new();
    for event in events.values() {
        standing.is_evaluated |= event.kind == "feature" && event.key == probe.flag;
        let mut is_asked_for = event.kind != "custom";
        for ladder in event.ladders.iter().filter(|ladder| is_about(&ladder.experiment, &ladder.iteration)) {
            let category = ladder.verdict.category();
            match &ladder.metric {
                None => {
                    standing.exposure = (category != Category::Exposure).then(|| Trouble::of(ladder));
                }
                Some(metric) => {
                    is_asked_for = true;
                    let index = probe.metrics.iter().position(|asked| asked.metric == *metric);
                    let Some(of_metric) = index.and_then(|index| standing.metrics.get_mut(index)) else { continue };
                    of_metric.received += 1;
                    *of_metric.verdicts.entry(ladder.verdict.name()).or_default() += 1;
                    if category == Category::Counted {
                        of_metric.counted += 1;
                    } else {
                        of_metric.trouble = Some(Trouble::of(ladder));
                    }
                }
            }
        }
        if !is_asked_for && others.len() < NAMED {
            others.insert(event.key.clone());
        }
    }
    standing.other_event_keys = others.into_iter().collect();
    if !standing.is_complete() {
        standing.look_alikes = look_alikes(session, probe);
    }
    standing
}

/// Units among what is held that carry a key of the probe under another kind, or nearly the key.
fn look_alikes(session: &Session, probe: &Probe) -> Vec<(String, String)> {
    let mut found = BTreeMap::new();
    let rows = session.journal().first()..session.journal().next();
    let units = rows.filter_map(|event| session.row(event)).flat_map(|row| &row.units);
    for (kind, key) in units {
        for (wanted, context) in &probe.contexts {
            let how = if context.key == **key && !probe.contexts.contains_key(&**kind) {
                format!("the key is of a {wanted}, and came as that of a {kind}")
            } else if let Some(how) = units_differ_by(&context.key, key) {
                format!("the keys differ by {how}")
            } else {
                continue;
            };
            if found.len() < NAMED {
                found.entry(format!("{kind}/{key}")).or_insert(how);
            }
        }
    }
    found.into_iter().collect()
}
