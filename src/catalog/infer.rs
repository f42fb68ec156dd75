//! A catalog guessed from the traffic, for when none is given.
//!
//! Every flag seen in an experiment becomes an experiment, every event key a metric of all of them. The unit of an
//! experiment is nowhere in an event, so it is guessed: a unit gets one variation, so the context kind whose keys
//! least often saw two is taken; of equals the one most evaluations carry, then `user`, then by name. Whatever is
//! judged by such a catalog is marked inferred.

use super::layout::{Part, Remark};
use super::{Arm, Catalog, Environment, Experiment, Iteration, Metric, Origin};
use crate::bucketing::fill::fill_known;
use crate::bucketing::payload::Payload;
use crate::bucketing::seen::Seen;
use crate::envelope::Envelope;
use crate::event::{Event, Item, Kind, body, decode};
use crate::json::Walker;
use crate::segment::Destination;
use crate::segment::fate::{Fate, Made};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Flags, event keys and context kinds that are guessed from; a stream with more needs a catalog.
const MAX_GUESSED: usize = 64;
/// Keys remembered per flag and kind while guessing the unit.
const MAX_KEYS: usize = 100_000;

#[derive(Clone, Debug, Default)]
struct KindSeen {
    evaluations: u64,
    conflicts: u64,
    first_variation: HashMap<u64, i64, FixedState>,
}

/// What was seen of a flag.
#[derive(Clone, Debug, Default)]
struct FlagSeen {
    kinds: HashMap<String, KindSeen>,
    /// Variations that rows of a warehouse name by id.
    variation_ids: BTreeSet<String>,
    /// Other evaluations name them by index: then nobody says which id is which index.
    has_indexes: bool,
}

impl FlagSeen {
    /// Arms for the variations that are known by id alone, numbered in the order of their ids: what matters is that
    /// it is the same order whatever the rows' order, and no index stands in any row it could contradict.
    fn arms(&self) -> Option<Vec<Arm>> {
        let arm = |(variation, id): (i64, &String)| Arm {
            variation,
            id: Some(id.clone()),
            name: id.clone(),
            allocation: 1.0,
        };
        let is_known = !self.variation_ids.is_empty() && !self.has_indexes;
        is_known.then(|| (0..).zip(&self.variation_ids).map(arm).collect())
    }
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Inference {
    destination: Arc<Destination>,
    /// Flags that passed by: they say what the unit is, and how it is dealt out.
    known: Arc<Payload>,
    flags: BTreeMap<String, FlagSeen>,
    event_keys: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Inference {
    /// Guesses by what Segment's destination, set up like this, makes of Segment events.
    pub fn new(destination: Arc<Destination>) -> Self {
        Self { destination, ..Self::default() }
    }

    /// Takes what flags that passed by say of experiments over what evaluations suggest.
    pub fn with_flags(mut self, flags: Option<&Seen>) -> Self {
        self.take_flags(flags);
        self
    }

    /// The same from here on.
    pub fn take_flags(&mut self, flags: Option<&Seen>) {
        let known = flags.map(|flags| flags.proofs(&Environment::default()).0).unwrap_or_default();
        self.known = Arc::new(known);
    }

    /// Takes note of a request. One that cannot be read suggests nothing.
    pub fn observe_request(&mut self, envelope: &Envelope) {
        if let Ok(text) = body::text(envelope) {
            let door = body::Route::of(&envelope.path).door;
            body::batch(&text, door, |item| self.observe_item(&item));
        }
    }

    /// Takes note of what was read of a text.
    pub fn observe_item(&mut self, item: &Item<'_>) {
        match item {
            Item::Event { event, .. } => self.observe(event),
            // When it was received does not matter here: no guess rests on a time.
            Item::Segment(posted) => {
                for part in Fate::of(posted, &self.destination, Some(0)).parts {
                    if let Made::Sent(json) = part.made
                        && let Ok(Ok(event)) = decode::event(&mut Walker::new(&json))
                    {
                        self.observe(&event);
                    }
                }
            }
            Item::Unreadable(_) => {}
        }
    }

    /// Takes note of an event.
    fn observe(&mut self, event: &Event<'_>) {
        let Some(key) = event.key.as_deref() else { return };
        match event.kind {
            Kind::Feature if event.reason.as_ref().is_some_and(|reason| reason.in_experiment) => {
                if self.flags.len() >= MAX_GUESSED && !self.flags.contains_key(key) {
                    return;
                }
                if !self.flags.contains_key(key) {
                    self.flags.insert(key.to_owned(), FlagSeen::default());
                }
                let Some(flag) = self.flags.get_mut(key) else { return };
                let variation_id = event.row().and_then(|row| row.variation_id.as_deref());
                flag.has_indexes |= event.variation.is_some();
                if let Some(id) = variation_id {
                    see(&mut flag.variation_ids, id);
                }
                let variation =
                    event.variation.or_else(|| Some(FixedState::default().hash_one(variation_id?).cast_signed()));
                let kinds = &mut flag.kinds;
                for (kind, context_key) in event.context_keys.iter() {
                    see(&mut self.kinds, kind);
                    if !kinds.contains_key(kind) && kinds.len() < MAX_GUESSED {
                        kinds.insert(kind.to_owned(), KindSeen::default());
                    }
                    let (Some(seen), Some(variation)) = (kinds.get_mut(kind), variation) else { continue };
                    seen.evaluations += 1;
                    let hash = FixedState::default().hash_one(context_key);
                    match seen.first_variation.get(&hash) {
                        Some(first) => seen.conflicts += u64::from(*first != variation),
                        None if seen.first_variation.len() < MAX_KEYS => {
                            seen.first_variation.insert(hash, variation);
                        }
                        None => {}
                    }
                }
            }
            Kind::Custom if !crate::findings::is_own_traffic(key) => {
                see(&mut self.event_keys, key);
                event.context_keys.iter().for_each(|(kind, _)| see(&mut self.kinds, kind));
            }
            _ => {}
        }
    }

    /// The catalog these events suggest.
    pub fn catalog(&self) -> Catalog {
        let units: Vec<String> = self.kinds.iter().cloned().collect();
        let metrics: Vec<Metric> =
            self.event_keys.iter().map(|key| Metric { units: units.clone(), ..Metric::custom(key, key) }).collect();
        let experiments = self
            .flags
            .iter()
            .map(|(flag, seen)| Experiment {
                key: flag.clone(),
                flag: flag.clone(),
                iterations: vec![Iteration {
                    id: "1".to_owned(),
                    randomization_unit: self.known_unit(flag).unwrap_or_else(|| guess_unit(&seen.kinds)),
                    rule: None,
                    arms: seen.arms(),
                    metrics: (0..metrics.len()).collect(),
                    metric_groups: Vec::new(),
                    // Since when it runs is not in the stream either; it was running when it was seen.
                    started_at_ms: Some(0),
                    ended_at_ms: None,
                    flag_config_version: None,
                    rollout: None,
                    metric_versions: Vec::new(),
                }],
                layer: None,
                holdout: None,
                data_source: None,
            })
            .collect();
        let destination = Arc::clone(&self.destination);
        let mut catalog = Catalog { origin: Origin::Inferred, metrics, experiments, destination, ..Catalog::default() };
        fill_known(&mut catalog, &self.known);
        catalog
    }

    /// The context kind that all experiments of a flag deal out.
    fn known_unit(&self, flag: &str) -> Option<String> {
        let rules = self.known.flags.get(flag)?.rules.as_slice();
        let (first, others) = rules.split_first()?;
        others.iter().all(|other| other.context_kind == first.context_kind).then(|| first.context_kind.clone())
    }
}

/// What a person who makes a file of an inferred catalog has to know of it.
pub fn remarks(catalog: &Catalog) -> Vec<Remark> {
    let about = |about: Part, text: String| Remark { about, text };
    let whole = "Guessed from the events: what the file says is what exptap has seen, and not what LaunchDarkly measures. \
                 Correct it before you rely on it: a catalog that is named on the command line is taken at its word.";
    let experiments = catalog.experiments.iter().flat_map(|experiment| {
        let unit = experiment.iterations.first().map(|it| it.randomization_unit.as_str()).unwrap_or_default();
        let is_known = experiment.iterations.first().is_some_and(|it| it.rollout.is_some());
        let why = if is_known {
            "as the flags say that passed by, and its rollout with it"
        } else {
            "the context kind whose keys kept their variation best"
        };
        let part = Part::Experiment(experiment.key.clone());
        [
            format!("Guessed: the key is the flag's; the unit is {unit}, {why}."),
            "Not in the events: since when it runs (it is taken as always running), its rule, and which metrics it \
             measures (all of them are listed)."
                .to_owned(),
        ]
        .map(|text| about(part.clone(), text))
    });
    let metrics = catalog.metrics.first().map(|metric| {
        about(
            Part::Metric(metric.key.clone()),
            "Guessed: one metric for each event key seen, named after it, whether a unit converted at all (measure = \
             \"occurrence\"), by any context kind that was seen. Not in the events: measure, filter, analysis units."
                .to_owned(),
        )
    });
    std::iter::once(about(Part::Whole, whole.to_owned())).chain(experiments).chain(metrics).collect()
}

fn see(set: &mut BTreeSet<String>, name: &str) {
    if set.len() < MAX_GUESSED && !set.contains(name) {
        set.insert(name.to_owned());
    }
}

fn guess_unit(kinds: &HashMap<String, KindSeen>) -> String {
    let share = |seen: &KindSeen| seen.conflicts as f64 / seen.evaluations.max(1) as f64;
    kinds
        .iter()
        .min_by(|(a_name, a), (b_name, b)| {
            share(a)
                .total_cmp(&share(b))
                .then(b.evaluations.cmp(&a.evaluations))
                .then((*a_name != "user").cmp(&(*b_name != "user")))
                .then(a_name.cmp(b_name))
        })
        .map_or_else(|| "user".to_owned(), |(kind, _)| kind.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    fn infer(text: &str) -> Catalog {
        let mut inference = Inference::default();
        body::items(text, |item| inference.observe_item(&item));
        inference.catalog()
    }

    #[test]
    fn the_unit_is_the_kind_whose_keys_keep_their_variation() {
        let feature = |user: &str, device: &str, variation: i64| {
            format!(
                r#"{{"kind":"feature","creationDate":1,"key":"f","variation":{variation},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}},"contextKeys":{{"user":"{user}","device":"{device}"}}}}"#
            )
        };
        let one_user_two_devices = format!("{}\n{}", feature("u", "d1", 0), feature("u", "d2", 1));
        assert_eq!(
            infer(&one_user_two_devices).experiments.first().unwrap().iterations.first().unwrap().randomization_unit,
            "device"
        );
        let undecided = feature("u", "d1", 0);
        assert_eq!(
            infer(&undecided).experiments.first().unwrap().iterations.first().unwrap().randomization_unit,
            "user"
        );
    }

    #[test]
    fn flags_that_passed_by_say_what_the_unit_is_and_how_it_is_dealt_out() {
        let event = r#"{"kind":"feature","creationDate":1,"key":"f","variation":0,"reason":{"kind":"FALLTHROUGH","inExperiment":true},"contextKeys":{"user":"u","device":"d"}}"#;
        let payload = r#"{"flags":{"f":{"on":true,"salt":"s","fallthrough":{"rollout":{"kind":"experiment","contextKind":"device","seed":61,"variations":[{"variation":0,"weight":100000}]}}}}}"#;
        let mut seen = Seen::default();
        assert!(seen.take("sdk-…1", crate::bucketing::payload::read(payload)));
        let mut inference = Inference::default().with_flags(Some(&seen));
        body::items(event, |item| inference.observe_item(&item));
        let catalog = inference.catalog();
        let iteration = catalog.experiments.first().unwrap().iterations.first().unwrap();
        assert_eq!(iteration.randomization_unit, "device");
        assert_eq!(iteration.rollout.as_ref().unwrap().seed, Some(61));
    }

    #[test]
    fn flags_outside_experiments_and_launchdarkly_s_own_events_are_no_part_of_it() {
        let catalog = infer(
            r#"{"kind":"feature","creationDate":1,"key":"plain","variation":0,"context":{"kind":"user","key":"u"}}
               {"kind":"custom","creationDate":1,"key":"$ld:ai:tokens:total","context":{"kind":"user","key":"u"}}
               {"kind":"custom","creationDate":1,"key":"checkout","context":{"kind":"user","key":"u"}}"#,
        );
        assert_eq!(catalog.experiments.len(), 0);
        assert_eq!(catalog.metrics.iter().map(|metric| metric.key.as_str()).collect::<Vec<_>>(), ["checkout"]);
    }
}
