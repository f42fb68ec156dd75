//! What `/metrics` says, as Prometheus reads it.

use super::Kept;
use crate::endpoint::{Delivery, Figures};
use crate::recorder::{Snapshot, State};
use crate::spool;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a feed's viewers come to.
#[derive(Debug, Default)]
pub struct Counters {
    /// Viewers that are attached.
    pub viewers: AtomicU64,
    /// Viewers that have been.
    pub attached: AtomicU64,
    /// Requests sent to viewers, once for each of them.
    pub sent: AtomicU64,
    /// Requests that viewers were told to be missing because they were slow, or came late.
    pub gone: AtomicU64,
    /// Requests of web pages, or for somebody else, that were refused.
    pub refused_pages: AtomicU64,
    /// Requests with a wrong token, or without one, that were refused.
    pub refused_tokens: AtomicU64,
    /// TLS handshakes that failed.
    pub refused_handshakes: AtomicU64,
}

impl Counters {
    /// Reads one.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn take(counter: &AtomicU64) {
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is told.
pub(super) fn page(
    figures: &Figures,
    kept: Kept,
    counters: &Counters,
    recording: Option<&Snapshot>,
    now_ms: i64,
) -> String {
    let mut page = Page(String::new());
    let read = Counters::read;
    page.counter("requests", "Requests received, lost ones included.", kept.last);
    page.counter("event_requests", "Requests on event paths.", figures.event_requests);
    page.counter("event_bytes", "Bytes of bodies received on event paths.", figures.event_bytes);
    page.gauge("connections", "Connections of SDKs that are open.", figures.connections_open);
    page.counter("connections_accepted", "Connections of SDKs accepted.", figures.connections);
    page.counter("connections_timed_out", "Connections closed because nothing came.", figures.connections_timed_out);
    page.counter(
        "connections_displaced",
        "Connections closed while they rested, because another needed the place.",
        figures.connections_displaced,
    );
    page.counter("other_requests", "Requests on paths that carry no events.", figures.other_requests);
    page.counter("refused_requests", "Requests whose framing was ambiguous.", figures.refused);
    page.counter("tls_failed", "TLS handshakes of SDKs that failed.", figures.handshakes_failed);
    page.counter("plain_requests", "Requests in clear text to an address that speaks TLS.", figures.plain_requests);
    page.delivery("upstream", "LaunchDarkly's upstream", &figures.upstream);
    page.delivery("segment_upstream", "Segment's upstream", &figures.segment_upstream);
    if let Some(spool) = &figures.spool {
        page.spool(spool, now_ms);
    }
    page.gauge("backlog_requests", "Requests kept for viewers.", kept.requests);
    page.gauge("backlog_bytes", "Bytes kept for viewers.", kept.bytes);
    page.gauge("viewers", "Viewers that are attached.", read(&counters.viewers));
    page.counter("viewers_attached", "Viewers that have been attached.", read(&counters.attached));
    page.counter("sent_requests", "Requests sent to viewers, once for each.", read(&counters.sent));
    page.counter("missed_requests", "Requests that viewers missed, once for each.", read(&counters.gone));
    page.counter("refused_pages", "Requests refused: a web page's, or by another name.", read(&counters.refused_pages));
    page.counter("refused_tokens", "Requests refused for want of the token.", read(&counters.refused_tokens));
    page.counter("viewers_tls_failed", "TLS handshakes of viewers that failed.", read(&counters.refused_handshakes));
    if let Some(recording) = recording {
        let is_recording = u8::from(!matches!(recording.state, State::Stopped { .. } | State::Refused(_)));
        page.gauge("recording", "Whether what comes is recorded.", is_recording);
        page.gauge("recording_bytes", "Bytes of the file recorded to.", recording.bytes);
        page.gauge("recording_requests", "Requests in the file recorded to.", recording.requests);
        page.gauge("recording_lost", "Requests missing in it.", recording.lost);
    }
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let _ = writeln!(self.0, "# HELP exptap_{name}{suffix} {help}\n# TYPE exptap_{name}{suffix} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "exptap_{name}{labels} {value}");
    }

    fn delivery(&mut self, name: &str, whose: &str, delivery: &Delivery) {
        let answers = format!("{name}_answers");
        self.family(&answers, "counter", &format!("Answers of {whose}."));
        for (status, count) in &delivery.answers {
            self.sample(&format!("{answers}_total"), &format!("{{status=\"{status}\"}}"), count);
        }
        let help = format!("Requests {whose} gave no answer to.");
        self.counter(&format!("{name}_failures"), &help, delivery.unanswered);
    }

    fn spool(&mut self, spool: &spool::Figures, now_ms: i64) {
        let age = spool.oldest_ms.map_or(0.0, |oldest_ms| (now_ms - oldest_ms).max(0) as f64 / 1000.0);
        self.gauge("spool_waiting_requests", "Requests that were answered and wait.", spool.waiting_requests);
        self.gauge("spool_waiting_bytes", "Their bytes.", spool.waiting_bytes);
        self.gauge("spool_oldest_seconds", "How long the oldest of them waits.", age);
        self.gauge("spool_disk_bytes", "Bytes of the spool on the disk.", spool.disk_bytes);
        self.gauge("spool_limit_bytes", "The most it may have.", spool.limit_bytes);
        self.gauge("spool_failing", "Whether nothing is delivered.", u8::from(spool.trouble.is_some()));
        self.gauge("spool_disk_failing", "Whether nothing can be kept.", u8::from(spool.disk_trouble.is_some()));
        self.counter("spool_delivered", "Requests delivered.", spool.delivered);
        self.counter("spool_refused", "Requests refused for good, and put aside.", spool.refused);
        self.counter("spool_refused_not_kept", "Refused requests not kept.", spool.refused_not_kept);
        self.counter("spool_retries", "Deliveries that failed and were tried again.", spool.retries);
        self.counter("spool_turned_away", "Requests there was no room for.", spool.turned_away);
        self.counter("spool_damaged", "Places on the disk that could not be read.", spool.damaged);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(&format!("{name}_total"), "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_sample_follows_its_help_and_type_and_names_stand_once() {
        let upstream = Delivery { answers: BTreeMap::from([(202, 7), (401, 1)]), ..Delivery::default() };
        let spool = spool::Figures { waiting_requests: 4, oldest_ms: Some(1_500), ..spool::Figures::default() };
        let figures = Figures { upstream, spool: Some(spool), ..Figures::default() };
        let kept = Kept { first: 3, last: 9, requests: 7, bytes: 700 };
        let page = page(&figures, kept, &Counters::default(), None, 4_000);
        let mut family = String::new();
        let mut families = Vec::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap_or_default().to_owned();
                families.push(family.clone());
            } else if !line.starts_with('#') {
                let name = line.split([' ', '{']).next().unwrap_or_default();
                assert_eq!(name, family, "{line}");
                assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "{line}");
            }
        }
        let count = families.len();
        families.sort();
        families.dedup();
        assert_eq!(families.len(), count);
        assert!(page.contains("exptap_requests_total 9\n"), "{page}");
        assert!(page.contains("exptap_spool_waiting_requests 4\n"), "{page}");
        assert!(page.contains("exptap_spool_oldest_seconds 2.5\n"), "{page}");
        assert!(page.contains("exptap_upstream_answers_total{status=\"401\"} 1\n"), "{page}");
    }
}
