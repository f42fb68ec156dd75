//! From an envelope, or from plain events, into the state of attribution.

use crate::attribution::judge::EnvironmentMatch;
use crate::attribution::request::{GIF_SENDER, PayloadKey};
use crate::attribution::state::{AcceptedClaims, State};
use crate::catalog::Environment;
use crate::envelope::{AnsweredBy, Credential, Envelope, Via};
use crate::event::body::{self, Route};
use crate::event::{Event, Item, Unreadable};

/// One event that was taken in.
pub enum Received<'a, 'text> {
    /// It could be read.
    Event {
        /// Its number.
        number: u64,
        /// The event.
        event: &'a Event<'text>,
        /// Where it starts in the decoded body.
        offset: usize,
        /// What it claims.
        claims: AcceptedClaims,
    },
    /// It could not.
    Unreadable {
        /// Its number.
        number: u64,
        /// Why.
        unreadable: Unreadable,
    },
}

/// Who sent a request: the SDK's own name where a browser would say `Mozilla/5.0 …`.
pub fn sender(envelope: &Envelope) -> &str {
    if envelope.via == Via::File {
        return &envelope.path;
    }
    let sdk = envelope.header("x-launchdarkly-user-agent");
    let agent = sdk.or_else(|| envelope.header("user-agent")).unwrap_or("unknown sender");
    match (sdk, Route::of(&envelope.path).gif_data) {
        (None, Some(_)) => GIF_SENDER,
        (None, None) if agent.starts_with("Mozilla/") => "browser",
        _ => agent,
    }
}

/// Whose environment a request is of: the credential, else the client-side id, else nobody's in particular.
pub fn environment_name(envelope: &Envelope) -> Option<&str> {
    envelope.credential.as_ref().map(Credential::as_str).or(Route::of(&envelope.path).client_side_id)
}

/// R5: whether a request is of the catalog's environment. What the catalog does not say is not judged.
pub fn environment_of(envelope: &Envelope, environment: &Environment) -> EnvironmentMatch {
    if let (Some(expected), Some(id)) = (&environment.client_side_id, Route::of(&envelope.path).client_side_id)
        && expected != id
    {
        return EnvironmentMatch::Other;
    }
    match (&environment.credentials, &envelope.credential) {
        (Some(known), Some(credential)) => {
            // A person may have written the key itself into the catalog.
            let is_known = |text: &String| text == credential.as_str() || Credential::mask(text) == *credential;
            if known.iter().any(is_known) { EnvironmentMatch::Same } else { EnvironmentMatch::Other }
        }
        _ => EnvironmentMatch::Same,
    }
}

/// Takes in a request. Whatever cannot be read of it is one unreadable event.
pub fn envelope(
    state: &mut State,
    environment: &Environment,
    envelope: &Envelope,
    mut visit: impl FnMut(&State, Received<'_, '_>),
) {
    if envelope.via == Via::File {
        return match body::text(envelope) {
            Ok(text) => plain(state, sender(envelope), &text, visit),
            Err(fault) => damaged(state, sender(envelope), &fault.to_string(), visit),
        };
    }
    let source = state.source(sender(envelope));
    let environment = environment_of(envelope, environment);
    let text = match body::text(envelope) {
        Ok(text) => text,
        Err(fault) => {
            // Its payload id is not remembered: what could not be read must not turn its retry into a duplicate.
            let request = state.begin(source, Some(envelope.arrival_ms), environment, None, "");
            let number = state.unreadable(&request);
            let unreadable = Unreadable { reason: fault.to_string(), offset: 0, range: 0..envelope.body.len() };
            visit(state, Received::Unreadable { number, unreadable });
            state.end(request);
            return;
        }
    };
    let payload = envelope
        .header("x-launchdarkly-payload-id")
        .map(|id| PayloadKey::new(environment_name(envelope).unwrap_or_default(), id));
    let mut request = state.begin(source, Some(envelope.arrival_ms), environment, payload, &text);
    if envelope.answer.is_some_and(|answer| answer.from == AnsweredBy::Upstream && answer.status >= 400) {
        state.refused_upstream(&mut request);
    }
    body::batch(&text, |item| take(state, &mut request, item, &mut visit));
    state.end(request);
}

/// Takes in plain events: JSON text without requests.
pub fn plain(state: &mut State, sender: &str, text: &str, mut visit: impl FnMut(&State, Received<'_, '_>)) {
    let source = state.source(sender);
    let mut request = state.begin(source, None, EnvironmentMatch::Same, None, text);
    body::items(text, |item| take(state, &mut request, item, &mut visit));
    state.end(request);
}

/// Takes in the end of plain events that are damaged from there on: one unreadable event, for it is not known how
/// many.
pub fn damaged(state: &mut State, sender: &str, what: &str, mut visit: impl FnMut(&State, Received<'_, '_>)) {
    let source = state.source(sender);
    let request = state.begin(source, None, EnvironmentMatch::Same, None, "");
    let number = state.unreadable(&request);
    let unreadable = Unreadable { reason: what.to_owned(), offset: 0, range: 0..0 };
    visit(state, Received::Unreadable { number, unreadable });
    state.end(request);
}

fn take(
    state: &mut State,
    request: &mut crate::attribution::request::Request,
    item: Item<'_>,
    visit: &mut impl FnMut(&State, Received<'_, '_>),
) {
    match item {
        Item::Event { event, offset } => {
            let (number, claims) = state.event(request, &event);
            visit(state, Received::Event { number, event: &event, offset, claims });
        }
        Item::Unreadable(unreadable) => {
            let number = state.unreadable(request);
            visit(state, Received::Unreadable { number, unreadable });
        }
    }
}
