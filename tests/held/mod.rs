//! Requests of Segment's that are held in memory, to be judged under one change after another.

use exptap::envelope::{Credential, Envelope};
use exptap::what_if::judgement::Held;
use serde_json::Value;
use std::sync::Arc;

/// When the requests arrive: 2026-11-21 08:00:00 UTC.
pub(crate) const ARRIVAL: i64 = 1_795_248_000_000;

pub(crate) fn held(requests: &[Arc<Envelope>]) -> Held<'_> {
    Held { requests, observed_from_ms: None, goes_on: &|_| true }
}

pub(crate) fn post(request: u64, path: &str, body: &Value) -> Arc<Envelope> {
    let body = body.to_string();
    Arc::new(Envelope {
        arrival_ms: ARRIVAL + request as i64,
        request,
        method: "POST".into(),
        path: path.into(),
        headers: vec![("user-agent".into(), "analytics-node/2.1.0".into())],
        credential: Some(Credential::mask("a-write-key-of-segment")),
        wire_bytes: body.len() as u64,
        body: body.into(),
        ..Envelope::default()
    })
}
