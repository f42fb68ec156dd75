//! Answers after which an SDK sends no more events until its process is started again, and who has got one.
//!
//! LaunchDarkly's SDKs take every 4xx but 400, 408 and 429 for the last word. Nobody notices: the application runs on,
//! flags are evaluated, and no event comes any more.

use crate::envelope::{AnsweredBy, Envelope};
use crate::intake;
use std::fmt;

/// Senders that are told apart; whoever is beyond that is only counted.
const SENDERS: usize = 256;
/// Of an instance's name so much is shown: enough to find it in a log.
const INSTANCE_CHARACTERS: usize = 12;

/// A sender that stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silenced {
    /// The upstream's answer.
    pub status: u16,
    /// Who: the SDK with its version, the masked credential, the instance.
    pub who: String,
    /// When, epoch milliseconds.
    pub at_ms: i64,
}

impl fmt::Display for Silenced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, who, .. } = self;
        write!(formatter, "the upstream answered {status}: {who} has stopped sending until it is restarted")
    }
}

/// Everybody who stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    senders: Vec<Silenced>,
    others: u64,
}

impl Silence {
    /// Looks at a request and its answer; gives the sender where it is one that stopped just now.
    pub fn note(&mut self, envelope: &Envelope) -> Option<&Silenced> {
        let answer = envelope.answer.filter(|answer| answer.from == AnsweredBy::Upstream)?;
        if !silences(envelope, answer.status) {
            // Whoever still sends, and is heard, has not stopped.
            if !self.senders.is_empty() && answer.status < 300 {
                let who = who(envelope);
                self.senders.retain(|silenced| silenced.who != who);
            }
            return None;
        }
        let who = who(envelope);
        if self.senders.iter().any(|silenced| silenced.who == who) {
            return None;
        }
        if self.senders.len() >= SENDERS {
            self.others += 1;
            return None;
        }
        self.senders.push(Silenced { status: answer.status, who, at_ms: envelope.arrival_ms });
        self.senders.last()
    }

    /// The one that stopped last, and how many more did.
    pub fn latest(&self) -> Option<(&Silenced, u64)> {
        let last = self.senders.last()?;
        Some((last, self.senders.len() as u64 - 1 + self.others))
    }

    /// They have been seen.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Whether this answer to this request is the last its sender asks for.
fn silences(envelope: &Envelope, status: u16) -> bool {
    let is_final = (400..500).contains(&status) && !matches!(status, 400 | 408 | 429);
    if !is_final || intake::is_of_segment(envelope) {
        return false;
    }
    // The newer JavaScript SDKs drop a batch that is too large, and go on.
    let sender = intake::sender(envelope);
    status != 413 || !(sender.starts_with("NodeJSClient/") || sender.starts_with("JSClient/4"))
}

/// Who sent a request, as a person would look for it.
pub fn who(envelope: &Envelope) -> String {
    let sender = intake::sender(envelope);
    let instance = envelope.header("x-launchdarkly-instance-id").map(|instance| {
        let short: String = instance.chars().take(INSTANCE_CHARACTERS).collect();
        let rest = if short.len() < instance.len() { "…" } else { "" };
        format!("instance {short}{rest}")
    });
    let parts: Vec<String> =
        intake::environment_name(envelope).map(str::to_owned).into_iter().chain(instance).collect();
    if parts.is_empty() { sender.into_owned() } else { format!("{sender} ({})", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::envelope::{Answer, Credential};

    fn answered(status: u16, instance: &str) -> Envelope {
        Envelope {
            arrival_ms: 5,
            method: "POST".into(),
            path: "/bulk".into(),
            headers: vec![
                ("user-agent".into(), "PythonClient/9.18.2".into()),
                ("x-launchdarkly-instance-id".into(), instance.into()),
            ],
            credential: Some(Credential::masked("sdk-…1f2a#9c41")),
            answer: Some(Answer { status, from: AnsweredBy::Upstream }),
            ..Envelope::default()
        }
    }

    #[test]
    fn whoever_is_answered_for_the_last_time_is_named_once_with_sdk_key_and_instance() {
        let mut silence = Silence::default();
        let told = silence.note(&answered(401, "5bd0c0ffee-4711-0815")).map(ToString::to_string);
        assert_eq!(
            told.as_deref(),
            Some(
                "the upstream answered 401: PythonClient/9.18.2 (sdk-…1f2a#9c41, instance 5bd0c0ffee-4…) has stopped \
                 sending until it is restarted"
            )
        );
        assert_eq!(silence.note(&answered(401, "5bd0c0ffee-4711-0815")), None);
        assert!(silence.note(&answered(404, "other")).is_some());
        assert_eq!(silence.latest().unwrap().1, 1);
        // It was started again under the same name, or never was of those that stop.
        silence.note(&answered(202, "other"));
        assert_eq!(silence.latest().unwrap().1, 0);
        silence.clear();
        assert_eq!(silence.latest(), None);
    }

    #[test]
    fn answers_that_an_sdk_survives_and_answers_that_are_ours_silence_nobody() {
        let mut silence = Silence::default();
        for status in [200, 202, 302, 400, 408, 429, 500, 503] {
            assert_eq!(silence.note(&answered(status, "a")), None, "{status}");
        }
        for status in [401, 403, 404, 405, 410, 413, 415] {
            assert!(Silence::default().note(&answered(status, "a")).is_some(), "{status}");
        }
        let mut local = answered(401, "a");
        local.answer = Some(Answer { status: 401, from: AnsweredBy::Local });
        assert_eq!(silence.note(&local), None);
        let headers = vec![("user-agent".into(), "NodeJSClient/9.13.7".into())];
        let node = Envelope { headers, ..answered(413, "a") };
        assert_eq!(silence.note(&node), None);
        let segment = Envelope { path: "/v1/track".into(), ..answered(401, "a") };
        assert_eq!(silence.note(&segment), None);
    }
}
