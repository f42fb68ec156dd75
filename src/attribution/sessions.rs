//! What is remembered of contexts beside their exposures and conversions: which keys are anonymous and in how many
//! payloads they were (F63), and which keys were seen side by side, as before and after a login (F6, F51).
//!
//! Both are samples of a fixed size ([`super::sample`]). Asked about are only kinds that an experiment randomizes by, and
//! only what came in requests: plain events say nothing of who sent them together.

use super::request::Request;
use super::sample::{Join, Sample};
use super::state::State;
use crate::event::{Event, Kind, Shape};
use crate::json::{self, Value};
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::hash::BuildHasher;

/// Anonymous contexts looked at.
const ANONYMOUS: usize = 512;
/// Sessions looked at.
const SESSIONS: usize = 2048;
/// With more contexts than this it is not one person's.
const CROWD: usize = 6;
/// Instants of identify() kept of one context in a session: the first.
const IDENTIFIED: usize = 8;
/// Exposing evaluations kept of one context in a session: so many of the first, and as many of the last.
const EVALUATED: usize = 8;
/// Keys longer than this are not remembered here.
const KEY_BYTES: usize = 256;

/// Context kinds of which one is one person's, if anything is. An organization is several people's, and does not look
/// like it before the second comes along.
const ONES_OWN: [&str; 5] = ["device", "ld_device", "browser", "installation", "session"];

/// An anonymous context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    /// Context kind.
    pub kind: SmolStr,
    /// Context key.
    pub key: SmolStr,
    /// The payload it was in, and who sent that; none: it was in several.
    payload: Option<(u64, Option<u64>)>,
}

impl Anonymous {
    /// Whether it was in one payload only.
    pub fn is_of_one_payload(&self) -> bool {
        self.payload.is_some()
    }

    /// Who sent the one payload it was in ([`Origin::sender`]).
    pub fn sender(&self) -> Option<u64> {
        self.payload.and_then(|(_, sender)| sender)
    }
}

impl Join for Anonymous {
    fn join(&mut self, other: &Self) {
        if self.payload != other.payload {
            self.payload = None;
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.kind.len() + self.key.len()
    }
}

/// A context in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Context kind.
    pub kind: SmolStr,
    /// Context key.
    pub key: SmolStr,
    /// Whether an event says that it is anonymous.
    pub is_anonymous: bool,
    /// When it was first there, by the sender's clock.
    pub first_ms: i64,
    /// When the flag of an experiment was evaluated for it, within the experiment, and which ([`hash_of`] its key): the
    /// first few times and the last few, in order. Kept of one instance only.
    pub evaluated: SmallVec<[(i64, u64); 1]>,
    /// When identify() named it: the first few times, in order.
    pub identified_ms: SmallVec<[i64; 1]>,
}

impl Member {
    fn name(&self) -> (&str, &str) {
        (&self.kind, &self.key)
    }

    fn join(&mut self, other: &Self) {
        self.is_anonymous |= other.is_anonymous;
        self.first_ms = self.first_ms.min(other.first_ms);
        for evaluated in &other.evaluated {
            let Err(at) = self.evaluated.binary_search(evaluated) else { continue };
            self.evaluated.insert(at, *evaluated);
            if self.evaluated.len() > 2 * EVALUATED {
                self.evaluated.remove(EVALUATED);
            }
        }
        for t_ms in &other.identified_ms {
            if let Err(at) = self.identified_ms.binary_search(t_ms) {
                self.identified_ms.insert(at, *t_ms);
            }
        }
        self.identified_ms.truncate(IDENTIFIED);
    }

    /// Whether identify() named it so often that there may be more than is kept.
    pub fn is_identified_often(&self) -> bool {
        self.identified_ms.len() >= IDENTIFIED
    }
}

/// What makes contexts one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tie {
    /// One instance of an SDK on somebody's device sent them, or one payload of it.
    Instance,
    /// They stood beside the same context of another kind, such as a device.
    Beside,
    /// An `alias` event says that they are one person.
    Alias,
}

/// Contexts that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What makes them one.
    pub tie: Tie,
    /// The contexts, by kind and key.
    members: SmallVec<[Member; 2]>,
    is_crowd: bool,
}

impl Session {
    /// The contexts; none where they are so many that it is not one person's.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    fn take(&mut self, member: &Member) {
        if self.is_crowd {
            return;
        }
        match self.members.binary_search_by(|own| own.name().cmp(&member.name())) {
            Ok(at) => {
                if let Some(own) = self.members.get_mut(at) {
                    own.join(member);
                }
            }
            Err(at) if self.members.len() < CROWD => self.members.insert(at, member.clone()),
            Err(_) => {
                self.members.clear();
                self.is_crowd = true;
            }
        }
    }
}

impl Join for Session {
    fn join(&mut self, other: &Self) {
        if other.is_crowd {
            self.members.clear();
            self.is_crowd = true;
        }
        other.members.iter().for_each(|member| self.take(member));
    }

    fn bytes(&self) -> usize {
        let text: usize = self.members.iter().map(|member| member.kind.len() + member.key.len()).sum();
        size_of::<Self>() + self.members.len() * size_of::<Member>() + text
    }
}

/// Both samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    anonymous: Sample<Anonymous, ANONYMOUS>,
    sessions: Sample<Session, SESSIONS>,
}

impl Sessions {
    pub(super) fn merge(&mut self, other: &Self) {
        self.anonymous.merge(&other.anonymous);
        self.sessions.merge(&other.sessions);
    }

    /// See [`State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self) -> usize {
        self.anonymous.unshared_bytes(&earlier.anonymous) + self.sessions.unshared_bytes(&earlier.sessions)
    }
}

/// Where a request came from, as far as it tells which contexts are one person's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Which payload it is, whatever part it is judged in.
    pub payload: u64,
    /// Which SDK on somebody's device sent it; none: a server, or nobody knows.
    pub instance: Option<u64>,
    /// Which one sender it is that could make up keys: a server's SDK, or an instance on a device that names itself;
    /// none: a browser of which nobody knows whether it is the one before.
    pub sender: Option<u64>,
}

/// A hash that is the same in every part.
pub fn hash_of(what: impl std::hash::Hash) -> u64 {
    FixedState::default().hash_one(what)
}

/// The kinds of an event's contexts that are anonymous. Most events do not even hold the word.
fn anonymous_kinds(event: &Event<'_>) -> SmallVec<[String; 2]> {
    let mut kinds = SmallVec::new();
    if event.shape == Shape::UserKey {
        if event.raw.contains("anonymousUser") {
            kinds.push("user".to_owned());
        }
        return kinds;
    }
    let says_so = |context: &str| {
        let mut is_anonymous = false;
        json::members(context, |name, value| is_anonymous |= name.is("anonymous") && value == Value::Bool(true));
        is_anonymous
    };
    if event.user.as_deref().is_some_and(|user| user.contains("anonymous") && says_so(user)) {
        kinds.push("user".to_owned());
    }
    let Some(context) = event.context.as_deref().filter(|context| context.contains("anonymous")) else { return kinds };
    let mut own_kind = None;
    json::members(context, |name, value| match value {
        Value::String(kind) if name.is("kind") => own_kind = Some(kind.text().into_owned()),
        Value::Object(inner) if says_so(inner) => kinds.push(name.text().into_owned()),
        _ => {}
    });
    match own_kind.as_deref() {
        // What is in it are contexts.
        Some("multi") => return kinds,
        _ => kinds.clear(),
    }
    if says_so(context) {
        kinds.push(own_kind.unwrap_or_else(|| "user".to_owned()));
    }
    kinds
}

impl State {
    /// Anonymous contexts seen, or a sample of them, and whether it is all.
    pub fn anonymous_contexts(&self) -> (impl Iterator<Item = &Anonymous>, bool) {
        (self.sessions.anonymous.iter(), self.sessions.anonymous.is_whole())
    }

    /// Contexts that belong together, or a sample of them.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.sessions.iter()
    }

    /// Notes whose contexts an event has.
    pub(super) fn note_contexts(&mut self, request: &Request, event: &Event<'_>) {
        if event.kind == Kind::Alias {
            return self.note_alias(event);
        }
        let Some(origin) = request.origin else { return };
        let t_ms = event.creation_ms.unwrap_or_default();
        let is_asked = |kind: &str| self.judge.iterations().iter().any(|it| it.iteration.randomization_unit == kind);
        let asked: SmallVec<[(&str, &str); 2]> =
            event.context_keys.iter().filter(|(kind, key)| is_asked(kind) && key.len() <= KEY_BYTES).collect();
        if asked.is_empty() {
            return;
        }
        let anonymous = anonymous_kinds(event);
        let evaluated = self.exposing_evaluation(event).map(|flag| (t_ms, flag));
        for (kind, key) in asked {
            let is_anonymous = anonymous.iter().any(|it| it == kind);
            let name = hash_of((kind, key));
            if is_anonymous && self.sessions.anonymous.keeps(name) {
                let payload = Some((origin.payload, origin.sender));
                // Most of what is known to be in several stays so.
                if self.sessions.anonymous.get(name).is_none_or(|known| known.payload.is_some()) {
                    self.sessions.anonymous.add(name, &Anonymous { kind: kind.into(), key: key.into(), payload });
                }
            }
            let instance = origin.instance.map(|instance| (Tie::Instance, hash_of((Tie::Instance, instance, kind))));
            let is_tie = |other: &str| other != kind && ONES_OWN.contains(&other);
            let others = event.context_keys.iter().filter(|(other, key)| is_tie(other) && key.len() <= KEY_BYTES);
            let beside = others.map(|other| (Tie::Beside, hash_of((Tie::Beside, other, kind))));
            for (tie, session) in instance.into_iter().chain(beside) {
                if self.sessions.sessions.keeps(session) {
                    let member = Member {
                        kind: kind.into(),
                        key: key.into(),
                        is_anonymous,
                        first_ms: t_ms,
                        evaluated: evaluated.filter(|_| tie == Tie::Instance).into_iter().collect(),
                        identified_ms: (event.kind == Kind::Identify).then_some(t_ms).into_iter().collect(),
                    };
                    self.sessions.note(tie, session, member);
                }
            }
        }
    }

    /// Of an evaluation that is in an experiment of the catalog, the flag.
    fn exposing_evaluation(&self, event: &Event<'_>) -> Option<u64> {
        let flag = event.key.as_deref().filter(|_| event.kind == Kind::Feature)?;
        let is_exposing = event.reason.as_ref().is_some_and(|reason| reason.in_experiment)
            && self.judge.iterations().iter().any(|judged| judged.flag == flag);
        is_exposing.then(|| hash_of(flag))
    }

    /// An `alias` event, from before contexts: two keys of one user.
    #[cold]
    fn note_alias(&mut self, event: &Event<'_>) {
        let (mut previous, mut was_anonymous) = (None, false);
        json::members(event.raw, |name, value| {
            if let Value::String(text) = value {
                match name.raw {
                    "previousKey" => previous = Some(text.text().into_owned()),
                    "previousContextKind" => was_anonymous = text.is("anonymousUser"),
                    _ => {}
                }
            }
        });
        let (Some(previous), Some(key)) = (previous, event.key.as_deref()) else { return };
        if previous.len() > KEY_BYTES || key.len() > KEY_BYTES {
            return;
        }
        let session = hash_of((Tie::Alias, previous.as_str(), key));
        let t_ms = event.creation_ms.unwrap_or_default();
        for (key, is_anonymous) in [(previous.as_str(), was_anonymous), (key, false)] {
            let member = Member {
                kind: "user".into(),
                key: key.into(),
                is_anonymous,
                first_ms: t_ms,
                evaluated: SmallVec::new(),
                identified_ms: SmallVec::new(),
            };
            self.sessions.note(Tie::Alias, session, member);
        }
    }
}

impl Sessions {
    fn note(&mut self, tie: Tie, session: u64, member: Member) {
        // Clones share the sample: nothing is copied for what it knows already.
        let is_known = self.sessions.get(session).is_some_and(|known| {
            let mut joined = known.clone();
            joined.take(&member);
            joined == *known
        });
        if !is_known {
            self.sessions.add(session, &Session { tie, members: SmallVec::from_iter([member]), is_crowd: false });
        }
    }
}
