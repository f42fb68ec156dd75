//! allFlags() of the JavaScript SDKs 2 and 3 (F62): it evaluates every flag at once, and each evaluation is sent and
//! exposes. It is known by evaluations of several flags at one moment that were given no default, as variation() is.

use super::request::Request;
use super::state::State;
use super::tally::EvidenceKey;
use crate::event::Event;
use crate::json::{self, Value};
use crate::reason::ReasonCode;

/// What is done within so many milliseconds is done at once.
const AT_ONCE_MS: i64 = 5;
/// So many flags at once are no code's own asking.
const FLAGS: usize = 3;

/// An evaluation without a default.
#[derive(Debug)]
pub(super) struct Glance {
    context: String,
    t_ms: i64,
    flag: String,
    number: u64,
    is_in_experiment: bool,
}

impl Request {
    /// Keeps an evaluation to be looked at among its neighbours when the request ends.
    #[cold]
    pub(super) fn glance(&mut self, event: &Event<'_>, flag: &str, number: u64) {
        let mut has_default = false;
        json::members(event.raw, |name, value| has_default |= name.is("default") && value != Value::Null);
        if let (false, Some(t_ms)) = (has_default, event.creation_ms) {
            self.glances.push(Glance {
                context: event.context_keys.iter().map(|(kind, key)| format!("{kind}\n{key}\n")).collect(),
                t_ms,
                flag: flag.to_owned(),
                number,
                is_in_experiment: event.reason.as_ref().is_some_and(|reason| reason.in_experiment),
            });
        }
    }
}

impl State {
    pub(super) fn notice_all_flags(&mut self, request: &mut Request) {
        let mut glances = std::mem::take(&mut request.glances);
        glances.sort_by(|a, b| (&a.context, a.t_ms, &a.flag).cmp(&(&b.context, b.t_ms, &b.flag)));
        // Each goes with what follows it closely enough, so that the groups do not depend on where one begins.
        let follows = |a: &Glance, b: &Glance| a.context == b.context && b.t_ms.saturating_sub(a.t_ms) <= AT_ONCE_MS;
        for group in glances.chunk_by(follows) {
            let mut flags: Vec<&str> = group.iter().map(|glance| glance.flag.as_str()).collect();
            flags.sort_unstable();
            flags.dedup();
            // Without an experiment among them nobody is exposed to anything.
            if flags.len() < FLAGS || !group.iter().any(|glance| glance.is_in_experiment) {
                continue;
            }
            for glance in group {
                let key = EvidenceKey::Code(ReasonCode::AllflagsOverexposure);
                self.add_evidence(request, key, glance.number, Some(glance.t_ms), None);
            }
        }
    }
}
