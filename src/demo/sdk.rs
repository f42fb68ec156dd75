//! LaunchDarkly SDKs, as far as the events they send go: what is queued for an evaluation or a `track()` call,
//! what goes into the summary, and what a flush looks like on the wire.

use super::DemoRequest;
use super::context::{Context, Written};
use super::events::{
    ContextEvent, Custom, Evaluated, FlagSummary, Page, Summary, WrittenSummary, whole, written_reason,
};
use super::flags::Served;
use super::random::Random;
use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;

/// A flush of a server SDK, ms.
const SERVER_FLUSH_MS: i64 = 5_000;
/// A flush of the browser SDK, ms.
const BROWSER_FLUSH_MS: i64 = 2_000;
/// A flush of a mobile SDK, ms.
const MOBILE_FLUSH_MS: i64 = 30_000;
/// How many contexts a server SDK remembers before it sends an index event for them again.
const NOTICED_CONTEXTS: usize = 1_000;

/// Which SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sdk {
    /// `@launchdarkly/node-server-sdk`: chunked bodies.
    Node,
    /// `launchdarkly-server-sdk` for Python, with compression switched on.
    Python,
    /// `go-server-sdk`.
    Go,
    /// `@launchdarkly/js-client-sdk` 4 in a browser.
    Browser,
    /// The Android SDK, compressed.
    Android,
}

impl Sdk {
    /// Name and version, as the SDK gives them.
    fn agent(self) -> &'static str {
        match self {
            Self::Node => "NodeJSClient/9.13.7",
            Self::Python => "PythonClient/9.18.2",
            Self::Go => "GoClient/7.13.4",
            Self::Browser => "JSClient/4.10.3",
            Self::Android => "AndroidClient/5.9.2",
        }
    }

    /// The time between two flushes, ms.
    pub(super) fn flush_ms(self) -> i64 {
        match self {
            Self::Node | Self::Python | Self::Go => SERVER_FLUSH_MS,
            Self::Browser => BROWSER_FLUSH_MS,
            Self::Android => MOBILE_FLUSH_MS,
        }
    }

    fn is_server(self) -> bool {
        matches!(self, Self::Node | Self::Python | Self::Go)
    }

    fn compresses(self) -> bool {
        matches!(self, Self::Python | Self::Android)
    }
}

/// Who runs the SDK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Application {
    /// Which SDK.
    pub(super) sdk: Sdk,
    /// Application id.
    pub(super) id: &'static str,
    /// Application version.
    pub(super) version: &'static str,
    /// SDK key, mobile key or client-side id.
    pub(super) credential: &'static str,
}

/// One running SDK instance.
#[derive(Debug)]
pub(super) struct Client {
    /// The application it runs in.
    pub(super) application: Application,
    instance: String,
    browser: &'static str,
    queue: Vec<String>,
    summaries: BTreeMap<String, Summary>,
    noticed: HashSet<String>,
}

/// What a `track()` call passes besides key and context.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracked {
    /// The `data` argument.
    pub(super) data: Option<Value>,
    /// The `metricValue` argument, as the application passes it: not always a number.
    pub(super) metric_value: Option<Value>,
    /// The page's address (browsers).
    pub(super) url: Option<String>,
}

impl Client {
    /// A new instance; `browser` is the browser's own user agent, for browsers.
    pub(super) fn new(application: Application, browser: &'static str, random: &mut Random) -> Self {
        Self {
            application,
            instance: random.uuid(),
            browser,
            queue: Vec::new(),
            summaries: BTreeMap::new(),
            noticed: HashSet::new(),
        }
    }

    /// `identify()`: the context's attributes, once.
    pub(super) fn identify(&mut self, t_ms: i64, context: &Context) {
        self.noticed.insert(context.fully_qualified_key());
        self.enqueue(&ContextEvent { kind: "identify", creation_ms: t_ms, context: whole(context) });
    }

    /// `variation()`, or `variationDetail()` where `detail` is set.
    pub(super) fn evaluate(
        &mut self,
        t_ms: i64,
        context: &Context,
        served: &Served,
        detail: bool,
        random: &mut Random,
    ) {
        self.notice(t_ms, context);
        let server = self.application.sdk.is_server();
        // Client SDKs send what the service tells them to, all of it: only server SDKs sample.
        let kept = !server || served.sampling_ratio <= 1 || random.below(served.sampling_ratio) == 0;
        let mut event = Evaluated {
            kind: "feature",
            creation_ms: t_ms,
            context: Written { context, redact_anonymous: true },
            key: served.flag,
            value: served.value,
            default: served.default,
            variation: served.found.map(|(variation, _)| variation),
            version: served.found.map(|(_, version)| version),
            reason: (served.in_experiment || detail).then(|| written_reason(served)),
            sampling_ratio: (server && served.sampling_ratio > 1).then_some(served.sampling_ratio),
        };
        if (served.track_events || served.in_experiment) && kept {
            self.enqueue(&event);
        }
        if served.debugged && kept {
            event.kind = "debug";
            event.context.redact_anonymous = false;
            self.enqueue(&event);
        }
        self.summarize(t_ms, context, served);
    }

    /// `track()`.
    pub(super) fn track(&mut self, t_ms: i64, key: &str, context: &Context, tracked: &Tracked) {
        self.notice(t_ms, context);
        self.enqueue(&Custom {
            kind: "custom",
            creation_ms: t_ms,
            key,
            context: Written { context, redact_anonymous: self.application.sdk.is_server() },
            data: tracked.data.as_ref(),
            metric_value: tracked.metric_value.as_ref(),
            url: tracked.url.as_deref(),
        });
    }

    /// A visit of a page (no selector) or a click on it that the browser SDK recognised as a metric's.
    pub(super) fn page(&mut self, t_ms: i64, id: &str, context: &Context, url: &str, selector: Option<&str>) {
        self.enqueue(&Page {
            kind: if selector.is_some() { "click" } else { "pageview" },
            creation_ms: t_ms,
            context_keys: context.keys(),
            key: id,
            url,
            selector,
        });
    }

    /// Takes everything queued as one payload.
    pub(super) fn flush(&mut self, random: &mut Random) -> Option<DemoRequest> {
        for summary in std::mem::take(&mut self.summaries).into_values() {
            self.enqueue(&WrittenSummary::from(&summary));
        }
        if self.queue.is_empty() {
            return None;
        }
        let body = format!("[{}]", std::mem::take(&mut self.queue).join(","));
        let mut request = self.request("bulk", body);
        let schema = match self.application.sdk {
            Sdk::Node | Sdk::Browser => "x-launchDarkly-event-schema",
            _ => "X-LaunchDarkly-Event-Schema",
        };
        request.headers.push((schema, "4".to_owned()));
        request.headers.push(("X-LaunchDarkly-Payload-ID", random.uuid()));
        Some(request)
    }

    /// The diagnostic event of a start, or a periodic one with a count of dropped events.
    pub(super) fn diagnostic(&self, t_ms: i64, dropped_events: Option<u64>, random: &mut Random) -> DemoRequest {
        let suffix: String = {
            let characters: Vec<char> = self.application.credential.chars().collect();
            characters.iter().skip(characters.len().saturating_sub(6)).collect()
        };
        let (name, version) = self.application.sdk.agent().split_once('/').unwrap_or_default();
        let mut event = serde_json::json!({
            "kind": if dropped_events.is_some() { "diagnostic" } else { "diagnostic-init" },
            "id": { "diagnosticId": random.uuid(), "sdkKeySuffix": suffix },
            "creationDate": t_ms,
        });
        if let Some(fields) = event.as_object_mut() {
            if let Some(dropped) = dropped_events {
                fields.insert("dataSinceDate".to_owned(), Value::from(t_ms - 900_000));
                fields.insert("droppedEvents".to_owned(), Value::from(dropped));
                fields.insert("deduplicatedUsers".to_owned(), Value::from(0));
                fields.insert("eventsInLastBatch".to_owned(), Value::from(500));
                fields.insert("streamInits".to_owned(), Value::Array(Vec::new()));
            } else {
                fields.insert("sdk".to_owned(), serde_json::json!({ "name": name, "version": version }));
                let configuration =
                    serde_json::json!({ "customEventsURI": true, "eventsFlushIntervalMillis": SERVER_FLUSH_MS });
                fields.insert("configuration".to_owned(), configuration);
            }
        }
        self.request("diagnostic", event.to_string())
    }

    fn notice(&mut self, t_ms: i64, context: &Context) {
        if !self.application.sdk.is_server() {
            return;
        }
        if self.noticed.len() >= NOTICED_CONTEXTS {
            self.noticed.clear();
        }
        if self.noticed.insert(context.fully_qualified_key()) {
            self.enqueue(&ContextEvent { kind: "index", creation_ms: t_ms, context: whole(context) });
        }
    }

    fn summarize(&mut self, t_ms: i64, context: &Context, served: &Served) {
        let per_context = self.application.sdk == Sdk::Browser;
        let slot = if per_context { context.fully_qualified_key() } else { String::new() };
        let summary = self.summaries.entry(slot).or_insert_with(|| Summary {
            start_ms: t_ms,
            end_ms: t_ms,
            features: BTreeMap::new(),
            context: per_context.then(|| context.clone()),
        });
        summary.end_ms = summary.end_ms.max(t_ms);
        let flag = summary.features.entry(served.flag).or_insert_with(|| FlagSummary {
            default: served.default,
            kinds: Vec::new(),
            counters: BTreeMap::new(),
        });
        for kind in context.kinds() {
            if !flag.kinds.contains(&kind) {
                flag.kinds.push(kind);
            }
        }
        flag.counters.entry(served.found).or_insert((served.value, 0)).1 += 1;
    }

    /// Every event is text, numbers and lists, which always can be written.
    fn enqueue(&mut self, event: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(event) {
            self.queue.push(text);
        }
    }

    fn request(&self, endpoint: &str, body: String) -> DemoRequest {
        let Application { sdk, id, version, credential } = self.application;
        let path = match sdk {
            Sdk::Node | Sdk::Python | Sdk::Go => format!("/{endpoint}"),
            Sdk::Android => format!("/mobile/events/{endpoint}"),
            Sdk::Browser => format!("/events/{endpoint}/{credential}"),
        };
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("X-LaunchDarkly-Tags", format!("application-id/{id} application-version/{version}")),
        ];
        if sdk == Sdk::Browser {
            headers.push(("User-Agent", self.browser.to_owned()));
            headers.push(("X-LaunchDarkly-User-Agent", sdk.agent().to_owned()));
            headers.push(("Origin", "https://shop.example".to_owned()));
            headers.push(("Referer", "https://shop.example/".to_owned()));
        } else {
            headers.push(("User-Agent", sdk.agent().to_owned()));
            headers.push(("Authorization", credential.to_owned()));
        }
        if sdk.is_server() {
            headers.push(("X-LaunchDarkly-Instance-Id", self.instance.clone()));
        }
        let mut bytes = Bytes::from(body);
        if sdk.compresses()
            && let Some(compressed) = gzip(&bytes)
        {
            headers.push(("Content-Encoding", "gzip".to_owned()));
            bytes = compressed;
        }
        DemoRequest { method: Method::POST, path, headers, body: bytes, chunked: sdk == Sdk::Node }
    }
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
