//! Everything known about one event, for the Why view.

use super::Session;
use super::journal::Entry;
use crate::attribution::judge::EnvironmentMatch;
use crate::envelope::{Signature, Via};
use crate::event::{Event, body, decode};
use crate::explain::ladder::{instant, span};
use crate::explain::segment::{self, Origin};
use crate::explain::{Explainer, Subject, Verdicts};
use crate::intake;
use crate::json::{MAX_SHOWN, Walker, pretty, shorten};
use crate::reason::{Category, ReasonCode, fill};
use crate::segment::fate::Made;
use crate::verdicts::{self, Judged};
use crate::view::{Explanation, Ladder, Outcome, Rung};
use std::sync::Arc;

impl Session {
    /// Explains an event that is still held.
    pub fn explain(&self, number: u64) -> Option<Explanation> {
        let entry = self.journal.entry(number)?;
        let text = body::text(&entry.envelope).ok();
        let raw = text.as_ref().and_then(|text| text.get(entry.range.clone()));
        let fate = text
            .as_ref()
            .filter(|_| entry.row.segment.is_some())
            .and_then(|text| intake::fate_at(&entry.envelope, text, &entry.range, &self.catalog.destination));
        let part = fate
            .as_ref()
            .zip(entry.row.segment)
            .and_then(|(fate, through)| fate.parts.iter().find(|part| part.mapping == through.mapping));
        let event = match (&fate, part.map(|part| &part.made)) {
            (Some(_), Some(Made::Sent(json))) => decode::event(&mut Walker::new(json)).ok().and_then(Result::ok),
            (Some(fate), _) => raw.map(|raw| Event::of_another(&fate.call, fate.name.as_deref(), fate.time_ms, raw)),
            (None, _) => raw.and_then(|raw| decode::event(&mut Walker::new(raw)).ok()?.ok()),
        };
        let ladders = match (&event, part.and_then(|part| part.made.reason())) {
            (Some(event), None) => self.ladders(entry, event),
            // The rules of attribution are asked nothing where LaunchDarkly gets nothing.
            (Some(_), Some(words)) => vec![lone_rung(entry.row.code, words)],
            (None, _) => {
                vec![lone_rung(ReasonCode::Undecodable, entry.row.note.as_deref().unwrap_or("it is not JSON"))]
            }
        };
        Some(Explanation {
            segment: fate.as_ref().zip(entry.row.segment).map(|(fate, through)| {
                let origin = Origin { fate, through, raw };
                segment::view(&Explainer::new(&self.state, &self.catalog), origin, &entry.row)
            }),
            event_text: event_text(entry, raw, event.is_some()),
            provenance: self.provenance(entry, event.as_ref()),
            also: self.also(entry, ladders.iter().any(|ladder| ladder.other_clock.is_some())),
            row: entry.row.clone(),
            ladders,
        })
    }

    fn ladders(&self, entry: &Entry, event: &Event<'_>) -> Vec<Ladder> {
        let other_clock = self.verdicts_on_the_other_clock(entry);
        let explainer = Explainer::new(&self.state, &self.catalog);
        let subject = Subject {
            event,
            number: entry.row.event,
            t_ms: entry.row.t_ms.unwrap_or_default(),
            environment: self.environment_of(entry),
        };
        let mut ladders: Vec<Ladder> = entry
            .claims
            .iter()
            .map(|claim| {
                let (key, mut ladder) = explainer.ladder(&subject, claim);
                ladder.revised = entry
                    .row
                    .verdicts
                    .iter()
                    .any(|verdict| (Some(verdict.iteration), verdict.metric) == key && verdict.revised);
                ladder.note_other_clock(self.options.clock.other(), other_clock.get(&key).copied());
                ladder
            })
            .collect();
        // The best first: it is the one the row shows.
        ladders.sort_by_key(|ladder| ladder.code.category());
        ladders
    }

    pub(super) fn environment_of(&self, entry: &Entry) -> EnvironmentMatch {
        match (intake::environment_of(&entry.envelope, &self.catalog.environment), entry.row.segment) {
            (EnvironmentMatch::Same, Some(_)) => self.state.judge().environment_of_destination(),
            (of_request, _) => of_request,
        }
    }

    /// O3: the verdicts of this event on the other clock, judged by the requests still held that concern its units.
    fn verdicts_on_the_other_clock(&self, entry: &Entry) -> Verdicts {
        if entry.row.units.is_empty()
            || !entry.row.verdicts.iter().any(|verdict| {
                verdict.metric.is_some()
                    || verdict.code.category() == crate::reason::Category::Exposure
                    || crate::attribution::judge::is_about_time(verdict.code)
            })
        {
            return Verdicts::new();
        }
        let mut state = self.state_on_the_other_clock();
        let concerned = |other: &&Entry| other.row.units.iter().any(|unit| entry.row.units.contains(unit));
        let mut last: Option<Arc<crate::envelope::Envelope>> = None;
        let mut judged = None;
        for other in self.journal.entries().filter(concerned) {
            if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &other.envelope)) {
                continue;
            }
            last = Some(Arc::clone(&other.envelope));
            let is_ours = Arc::ptr_eq(&other.envelope, &entry.envelope);
            intake::envelope(&mut state, &self.catalog.environment, &other.envelope, |state, received| {
                let through = match &received {
                    intake::Received::Event { segment, .. } => segment.map(|segment| segment.mapping),
                    intake::Received::Unreadable { .. } => None,
                };
                let is_it = received.range() == entry.range && through == entry.row.segment.map(|it| it.mapping);
                if is_ours && is_it {
                    judged = Some(Judged::new(state, &received, None, other.envelope.arrival()));
                }
            });
        }
        state.advance(self.now_ms);
        let Some(judged) = judged else { return Verdicts::new() };
        judged
            .claims
            .iter()
            .map(|claim| verdicts::outcome(&state, judged.event, claim))
            .map(|outcome| ((outcome.iteration, outcome.metric), outcome.code))
            .collect()
    }

    fn provenance(&self, entry: &Entry, event: Option<&Event<'_>>) -> Vec<(&'static str, String)> {
        let envelope = &entry.envelope;
        if envelope.via == Via::File {
            let created = event.and_then(|event| event.creation_ms).map(|creation| ("created", instant(creation)));
            return created.into_iter().chain([("read from", envelope.path.clone())]).collect();
        }
        let mut lines = vec![("arrived", instant(envelope.arrival_ms))];
        if let Some(creation) = event.and_then(|event| event.creation_ms) {
            let delay = envelope.arrival_ms.saturating_sub(creation);
            let relation = if delay >= 0 { "before it arrived" } else { "after it arrived: that clock is ahead" };
            lines.push(("created", format!("{} ({} {relation})", instant(creation), span(delay))));
        }
        lines.push(("request", format!("{} {} {}", envelope.request, envelope.method, envelope.path)));
        lines.push(("sender", entry.row.source.to_string()));
        lines.extend(intake::environment_name(envelope).map(|name| ("credential", name.to_owned())));
        for (name, header) in [
            ("payload", "x-launchdarkly-payload-id"),
            ("schema", "x-launchdarkly-event-schema"),
            ("instance", "x-launchdarkly-instance-id"),
            ("tags", "x-launchdarkly-tags"),
            ("encoding", "content-encoding"),
        ] {
            lines.extend(envelope.header(header).map(|value| (name, value.to_owned())));
        }
        lines.extend(envelope.signature.map(|signature| {
            let words = match signature {
                Signature::Valid => "valid",
                Signature::Wrong => "wrong: it is not that of the body by the secret given",
                Signature::Missing => "missing, though a secret was given",
            };
            ("signature", words.to_owned())
        }));
        lines.push(("size", format!("{} bytes on the wire", envelope.wire_bytes)));
        lines.extend(envelope.answer.map(|answer| {
            let from = match answer.from {
                crate::envelope::AnsweredBy::Local => "exptap",
                crate::envelope::AnsweredBy::Upstream => "upstream",
            };
            let text = envelope.answer_text.as_ref().map_or_else(String::new, |text| format!(": {text}"));
            ("answered", format!("{} by {from}{text}", answer.status))
        }));
        lines.extend(
            (self.catalog.origin == crate::catalog::Origin::Inferred)
                .then(|| ("catalog", "inferred from the traffic; name one with --catalog".to_owned())),
        );
        lines
    }

    fn also(&self, entry: &Entry, is_clock_dependent: bool) -> Vec<String> {
        let mut also = Vec::new();
        let row = &entry.row;
        if let Some(verdict) = row.best_verdict()
            && let Some(metric) = verdict.metric
            && let Some(slot) = self
                .state
                .judge()
                .slots()
                .iter()
                .position(|slot| slot.iteration == verdict.iteration && slot.metric == metric)
            && let Some(counts) = self.state.slot_counts(slot as u32)
            && counts.get(verdict.code) > 1
        {
            also.push(format!("{} events of this metric have the verdict {}", counts.get(verdict.code), verdict.code));
        }
        // An event may carry a key of its own (an anonymous id, say); what else its sender did is found by another.
        let of_unit = row.units.iter().find_map(|unit| {
            let same = self.journal.entries().filter(|other| other.row.units.contains(unit)).count();
            (same > 1).then(|| format!("{same} of the events held are of {}/{}", unit.0, unit.1))
        });
        also.extend(of_unit);
        if is_clock_dependent {
            also.push(ReasonCode::ClockDependent.reason().text.to_owned());
        }
        also.extend(row.warnings.iter().map(|warning| warning.reason().text.to_owned()));
        also
    }
}

/// The ladder of what no rule of attribution is asked about: one rung, with somebody's words.
fn lone_rung(code: ReasonCode, detail: &str) -> Ladder {
    let reason = code.reason();
    Ladder {
        experiment: None,
        iteration: None,
        metric: None,
        code,
        arm: None,
        revised: false,
        other_clock: None,
        rungs: vec![Rung {
            outcome: if code.category() == Category::NotAbout { Outcome::NotJudged } else { Outcome::Failed },
            rule: reason.rule,
            grade: reason.grade,
            code: Some(code),
            text: fill(reason.text, &[("detail", detail)]),
        }],
        fix: reason.fix.to_owned(),
        near_miss: None,
    }
}

fn event_text(entry: &Entry, raw: Option<&str>, is_json: bool) -> String {
    let mut text = match raw {
        Some(raw) if is_json => pretty(raw),
        Some(raw) => raw.to_owned(),
        None => String::from_utf8_lossy(
            entry.envelope.body.get(..MAX_SHOWN.min(entry.envelope.body.len())).unwrap_or_default(),
        )
        .into_owned(),
    };
    shorten(&mut text);
    text
}
