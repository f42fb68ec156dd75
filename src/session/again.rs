//! Judging again what is held, by something else than before, and marking what comes out differently.

use super::Session;
use crate::catalog::{Catalog, Given};
use crate::reason::ReasonCode;
use crate::view::EventRow;
use std::collections::HashMap;
use std::sync::Arc;

/// What judging again came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// Verdicts that are another one, are there now, or are there no more.
    pub changed: u64,
    /// Events had scrolled out, so that everything is counted from the oldest that is held: so many events.
    pub counted_from_held: Option<u64>,
}

/// What flags that passed by came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flagged {
    /// Nothing: no experiment is judged otherwise by them.
    Nothing,
    /// They came too late: events have scrolled out, and nothing that was counted is given up for a rollout. Nothing is
    /// judged by them until everything is judged anew.
    TooLate,
    /// Everything was judged again.
    Judged(Again),
}

/// What a verdict is about, by name: another catalog numbers its iterations and metrics differently.
type About = (Arc<str>, Arc<str>, Option<Arc<str>>);

/// What a row says.
#[derive(Debug)]
struct Said {
    code: ReasonCode,
    verdicts: Vec<(About, (ReasonCode, Option<i64>))>,
}

/// An event by where it came from: another mapping makes more or fewer events of one, and another beginning numbers
/// them differently. Arrival and number of its request, where it stands in the body, which of those from there it is.
type Origin = (i64, u64, usize, u32);

/// What the rows of a session say, to be held against what they say later.
#[derive(Debug)]
pub struct Shown(HashMap<Origin, Said>);

impl Session {
    /// What the rows that are held say.
    pub fn shown(&self) -> Shown {
        Shown(self.origins().map(|(origin, row)| (origin, self.said(row))).collect())
    }

    /// Judges everything that is held by what was given now, and marks what is another verdict than was shown.
    ///
    /// Of what has scrolled out nothing can be judged again. Then everything is counted from the oldest request that is
    /// held, and nothing from before it counts as observed: a unit may have been exposed then.
    pub fn take_given(&mut self, given: Given) -> Again {
        let before = self.shown();
        let has_scrolled = self.journal.has_scrolled();
        if has_scrolled {
            let oldest = self.journal.envelopes().next().map(|envelope| envelope.arrival_ms);
            self.options.observed_from_ms = oldest.max(self.options.observed_from_ms);
        }
        let catalog = match given.catalog() {
            Ok(catalog) => {
                self.inference = None;
                catalog
            }
            Err(mut inference) => {
                self.journal.envelopes().for_each(|envelope| inference.observe_request(envelope));
                let catalog = inference.catalog();
                self.inference = Some(inference);
                catalog
            }
        };
        self.judge_again(catalog);
        let changed = self.mark_changes(&before);
        let held = self.journal.next() - self.journal.first();
        Again { changed, counted_from_held: has_scrolled.then_some(held) }
    }

    /// Judges by flags that passed by, where they say something of the experiments that are judged.
    ///
    /// Where events have scrolled out, counting starts afresh only for a rollout that turned out to be another one: what
    /// was counted by the one before may be wrong.
    pub fn take_flags(&mut self, given: Given) -> Flagged {
        let (before, after) = match &mut self.inference {
            Some(inference) if given.catalog.is_none() => {
                let before = Arc::new(inference.catalog());
                inference.take_flags(given.flags.as_deref());
                (before, inference.catalog())
            }
            _ => match given.clone().catalog() {
                Ok(catalog) => (Arc::clone(&self.offered), catalog),
                Err(_) => return Flagged::Judged(self.take_given(given)),
            },
        };
        if after == *before || after == *self.catalog {
            self.offered = Arc::new(after);
            return Flagged::Nothing;
        }
        if self.journal.has_scrolled() && !unproves(&self.catalog, &after) {
            self.offered = Arc::new(after);
            return Flagged::TooLate;
        }
        Flagged::Judged(self.take_given(given))
    }

    /// Marks the verdicts that are another one than was shown, and says how many are. Of an event that was not held
    /// then nothing is known.
    pub fn mark_changes(&mut self, before: &Shown) -> u64 {
        let mut changed = 0;
        let mut marks: Vec<(u64, Vec<usize>)> = Vec::new();
        for (origin, row) in self.origins() {
            let Some(before) = before.0.get(&origin) else { continue };
            let now = self.said(row);
            let verdict = |said: &Said, about: &About| said.verdicts.iter().find(|it| it.0 == *about).map(|it| it.1);
            let differs = |(_, (about, now)): &(usize, &(About, _))| verdict(before, about) != Some(*now);
            let other: Vec<usize> = now.verdicts.iter().enumerate().filter(differs).map(|(index, _)| index).collect();
            let gone = before.verdicts.iter().filter(|(about, _)| verdict(&now, about).is_none()).count();
            // An event that no iteration is about has a verdict all the same.
            let apart = before.verdicts.is_empty() && now.verdicts.is_empty() && before.code != now.code;
            changed += (other.len() + gone) as u64 + u64::from(apart);
            if !other.is_empty() || gone > 0 || apart {
                marks.push((row.event, other));
            }
        }
        for (event, verdicts) in marks {
            self.journal.mark_revised(event, &verdicts);
        }
        if changed > 0 {
            self.revision += 1;
        }
        changed
    }

    fn origins(&self) -> impl Iterator<Item = (Origin, &EventRow)> {
        let mut last = None;
        self.journal.entries().map(move |entry| {
            let place = (entry.envelope.arrival_ms, entry.envelope.request, entry.range.start);
            let part = match last {
                Some((same, part)) if same == place => part + 1,
                _ => 0,
            };
            last = Some((place, part));
            ((place.0, place.1, place.2, part), &entry.row)
        })
    }

    fn said(&self, row: &EventRow) -> Said {
        let verdicts = row.verdicts.iter().filter_map(|verdict| {
            let name = self.iterations.get(verdict.iteration as usize)?;
            let metric = verdict.metric.and_then(|metric| self.metric_names.get(metric as usize)).map(Arc::clone);
            let about = (Arc::clone(&name.experiment), Arc::clone(&name.iteration), metric);
            Some((about, (verdict.code, verdict.variation)))
        });
        Said { code: row.code, verdicts: verdicts.collect() }
    }
}

/// Whether a rollout that is judged by is not given any more, or is another one.
fn unproves(judged: &Catalog, given: &Catalog) -> bool {
    judged.experiments.iter().any(|experiment| {
        let now = given.experiments.iter().find(|now| now.key == experiment.key);
        experiment.iterations.iter().filter(|iteration| iteration.rollout.is_some()).any(|iteration| {
            let now = now.and_then(|now| now.iterations.iter().find(|now| now.id == iteration.id));
            now.is_none_or(|now| now.rollout != iteration.rollout)
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::bucketing::seen::Seen;
    use crate::catalog::Origin as CatalogOrigin;
    use crate::catalog::load::{Format, from_text};
    use crate::envelope::Envelope;
    use crate::session::SessionOptions;

    const T: i64 = 1_767_312_000_000;

    fn catalog(unit: &str) -> Given {
        let text = format!(
            r#"
            [[metrics]]
            key = "checkout-conversion"
            event_key = "checkout"
            units = ["user", "device"]

            [[experiments]]
            key = "cta-test"
            flag = "cta"
            randomization_unit = "{unit}"
            variations = [ {{ index = 0, name = "control" }}, {{ index = 1, name = "treatment" }} ]
            metrics = ["checkout-conversion"]
            started_at = "2026-01-01T00:00:00Z"
            "#
        );
        let catalog: Catalog = from_text(&text, "catalog.toml", Format::Toml, CatalogOrigin::File).unwrap();
        Given { catalog: Some(catalog), ..Given::default() }
    }

    fn request(number: u64, events: &str) -> Envelope {
        Envelope {
            request: number,
            arrival_ms: T + number as i64,
            path: "/bulk".to_owned(),
            body: format!("[{events}]").into_bytes().into(),
            ..Envelope::default()
        }
    }

    fn exposure(number: u64) -> String {
        let t = T + number as i64;
        format!(
            r#"{{"kind":"feature","creationDate":{t},"key":"cta","version":1,"variation":1,"value":true,"context":{{"kind":"user","key":"u-{number}"}},"reason":{{"kind":"FALLTHROUGH","inExperiment":true}}}}"#
        )
    }

    fn conversion(number: u64, unit: u64) -> String {
        let t = T + number as i64;
        format!(
            r#"{{"kind":"custom","creationDate":{t},"key":"checkout","context":{{"kind":"user","key":"u-{unit}"}}}}"#
        )
    }

    fn codes(session: &Session) -> Vec<(ReasonCode, bool)> {
        let rows = session.journal().first()..session.journal().next();
        rows.filter_map(|event| session.row(event)).map(|row| (row.code, row.revised())).collect()
    }

    #[test]
    fn another_catalog_judges_everything_again_and_marks_what_is_another_verdict() {
        let mut session = Session::of(catalog("device"), SessionOptions::from_now(T));
        session.receive(&request(1, &format!("{},{}", exposure(1), conversion(1, 1))));
        session.receive(&request(
            2,
            r#"{"kind":"custom","creationDate":1767312000002,"key":"other","context":{"kind":"user","key":"u-1"}}"#,
        ));
        use ReasonCode::{Counted, EventLacksUnit, Exposure, ExposureLacksUnit, NoMetricForKey};
        assert_eq!(codes(&session), [(ExposureLacksUnit, false), (EventLacksUnit, false), (NoMetricForKey, false)]);
        let revision = session.revision();
        assert_eq!(session.take_given(catalog("user")), Again { changed: 2, counted_from_held: None });
        assert_eq!(codes(&session), [(Exposure, true), (Counted, true), (NoMetricForKey, false)]);
        assert_ne!(session.revision(), revision);
        assert_eq!(session.report().experiments.first().unwrap().arms.get(1).unwrap().units, 1);
    }

    #[test]
    fn an_event_that_no_iteration_is_about_any_more_is_marked_too() {
        let mut session = Session::of(catalog("user"), SessionOptions::from_now(T));
        session.receive(&request(1, &conversion(1, 1)));
        let mut other = catalog("user");
        other.catalog.iter_mut().flat_map(|catalog| &mut catalog.metrics).for_each(|metric| {
            metric.event_key = Some("purchase".to_owned());
        });
        assert_eq!(session.take_given(other).changed, 1);
        assert_eq!(codes(&session), [(ReasonCode::NoMetricForKey, true)]);
    }

    #[test]
    fn the_same_catalog_changes_nothing() {
        let mut session = Session::of(catalog("user"), SessionOptions::from_now(T));
        session.receive(&request(1, &format!("{},{}", exposure(1), conversion(1, 1))));
        assert_eq!(session.take_given(catalog("user")), Again::default());
        assert_eq!(codes(&session), [(ReasonCode::Exposure, false), (ReasonCode::Counted, false)]);
    }

    #[test]
    fn where_events_have_scrolled_out_counts_begin_with_what_is_held_and_nothing_before_counts_as_observed() {
        let options = SessionOptions { max_events: 2, ..SessionOptions::from_now(T) };
        let mut session = Session::of(catalog("user"), options);
        session.receive(&request(1, &exposure(1)));
        session.receive(&request(2, &conversion(2, 1)));
        session.receive(&request(3, &exposure(3)));
        session.advance(T + 120_000);
        assert_eq!(codes(&session), [(ReasonCode::Counted, false), (ReasonCode::Exposure, false)]);
        assert_eq!(session.take_given(catalog("user")), Again { changed: 1, counted_from_held: Some(2) });
        // The exposure is held no more: that there was none would be a lie.
        assert_eq!(codes(&session), [(ReasonCode::UnknownNotObserved, true), (ReasonCode::Exposure, false)]);
        assert_eq!(session.observed_from_ms(), Some(T + 2));
        assert_eq!(session.report().totals.events, 2);
    }

    /// A catalog with flags that passed by: the one of its experiment, where it has a seed, and another.
    fn flagged(cta: &[u32], other: u32) -> Given {
        let mut seen = Seen::default();
        let flag = |key: &str, seed: u32| {
            let text = format!(
                r#"{{"key":"{key}","on":true,"salt":"s","fallthrough":{{"rollout":{{"kind":"experiment","contextKind":"user","seed":{seed},"variations":[{{"variation":0,"weight":50000}},{{"variation":1,"weight":50000}}]}}}}}}"#
            );
            crate::bucketing::payload::read(&text)
        };
        for seed in cta {
            seen.take("sdk-…1", flag("cta", *seed));
        }
        seen.take("sdk-…1", flag("unrelated", other));
        Given { flags: Some(Arc::new(seen)), ..catalog("user") }
    }

    fn scrolled(given: Given) -> Session {
        let mut session = Session::of(given, SessionOptions { max_events: 2, ..SessionOptions::from_now(T) });
        for number in 1..=3 {
            session.receive(&request(number, &exposure(number)));
        }
        session
    }

    #[test]
    fn a_flag_of_no_experiment_changes_nothing_and_the_counts_stay() {
        let mut session = scrolled(flagged(&[61], 61));
        let revision = session.revision();
        assert_eq!(session.take_flags(flagged(&[61], 62)), Flagged::Nothing);
        assert_eq!((session.report().totals.events, session.revision()), (3, revision));
        let mut session = scrolled(Given { catalog: None, ..flagged(&[61], 61) });
        assert_eq!(session.take_flags(Given { catalog: None, ..flagged(&[61], 62) }), Flagged::Nothing);
        assert_eq!(session.report().totals.events, 3);
    }

    #[test]
    fn a_rollout_that_is_seen_too_late_gives_up_no_counts_and_one_that_changed_does() {
        let mut session = scrolled(flagged(&[], 61));
        assert_eq!(session.take_flags(flagged(&[61], 61)), Flagged::TooLate);
        assert_eq!(session.take_flags(flagged(&[61], 62)), Flagged::Nothing, "it is told once");
        assert_eq!((session.report().totals.events, session.observed_from_ms()), (3, Some(T)));
        let Flagged::Judged(again) = scrolled(flagged(&[61], 61)).take_flags(flagged(&[61, 62], 61)) else {
            panic!("what was proven by a rollout that changed stays")
        };
        assert_eq!(again.counted_from_held, Some(2));
        // Read again, the catalog takes the flags along.
        assert_eq!(session.take_given(flagged(&[61], 62)).counted_from_held, Some(2));
        assert!(session.catalog().experiments[0].iterations[0].rollout.is_some());
    }

    #[test]
    fn where_everything_is_held_flags_are_judged_by_at_once() {
        let mut session = Session::of(flagged(&[], 61), SessionOptions::from_now(T));
        session.receive(&request(1, &exposure(1)));
        assert!(matches!(session.take_flags(flagged(&[61], 61)), Flagged::Judged(_)));
        assert!(session.catalog().experiments[0].iterations[0].rollout.is_some());
        let mut session = Session::of(Given::default(), SessionOptions::from_now(T));
        session.receive(&request(1, &exposure(1)));
        session.advance(T + 120_000);
        let flags = Given { catalog: None, ..flagged(&[61], 61) };
        assert!(matches!(session.take_flags(flags.clone()), Flagged::Judged(_)));
        assert_eq!(session.take_flags(flags), Flagged::Nothing);
    }

    #[test]
    fn without_a_catalog_what_is_held_is_what_one_is_inferred_from() {
        let mut session = Session::of(catalog("device"), SessionOptions::from_now(T));
        session.receive(&request(1, &format!("{},{}", exposure(1), conversion(1, 1))));
        let again = session.take_given(Given::default());
        assert_eq!(session.report().catalog, "inferred");
        assert!(again.changed > 0 && again.counted_from_held.is_none(), "{again:?}");
    }
}
