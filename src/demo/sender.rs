//! Posts the shop's requests to a listener on this machine, over real HTTP.

use super::{DemoRequest, Shop};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How often the shop is asked for requests. Short beside any SDK's flush timer.
const TICK: Duration = Duration::from_millis(50);
/// A listener that takes longer than this to answer is treated as unreachable.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why the sender could not start.
#[derive(Debug, Error)]
pub enum SenderError {
    /// The HTTP client could not be built.
    #[error("the demo's HTTP client could not be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The cryptography the HTTP client insists on, though the demo speaks plain HTTP, could not be set up.
    #[error("the demo's HTTP client could not be set up: {0}")]
    Cryptography(#[from] rustls::Error),
}

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests answered with a success.
    pub accepted: u64,
    /// Requests answered otherwise, or not at all. Like an SDK, the demo drops them.
    pub failed: u64,
    /// What was wrong with the last of those.
    pub last_failure: Option<String>,
}

/// Posts shop traffic to one address.
#[derive(Debug)]
pub struct Sender {
    client: reqwest::Client,
    base: String,
    sent: Sent,
}

impl Sender {
    /// A sender to the listener at this address.
    ///
    /// # Errors
    ///
    /// [`SenderError`] where the HTTP client cannot be built, which no input can cause.
    pub fn new(listener: SocketAddr) -> Result<Self, SenderError> {
        // Without a process-wide provider the client has to be given its TLS; it never uses it, and trusts nobody.
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // The listener is on this machine, whatever proxy the environment names.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .build()?;
        Ok(Self { client, base: format!("http://{listener}"), sent: Sent::default() })
    }

    /// Sends the shop's traffic until `shutdown` completes, and says what became of it. `now_ms` tells the time, epoch
    /// ms. One request is under way at a time, so that they arrive in the order the shop sends them.
    pub async fn run(
        mut self,
        mut shop: Shop,
        mut now_ms: impl FnMut() -> i64,
        shutdown: impl Future<Output = ()>,
    ) -> Sent {
        tokio::select! {
            biased;
            () = shutdown => {}
            () = async {
                let mut ticks = tokio::time::interval(TICK);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                loop {
                    ticks.tick().await;
                    for request in shop.tick(now_ms()) {
                        self.send(request).await;
                    }
                }
            } => {}
        }
        self.sent
    }

    async fn send(&mut self, request: DemoRequest) {
        match self.post(request).await {
            Ok(status) if status.is_success() => self.sent.accepted += 1,
            Ok(status) => self.failed(format!("the listener answered {status}")),
            Err(error) => self.failed(error.to_string()),
        }
    }

    fn failed(&mut self, why: String) {
        self.sent.failed += 1;
        self.sent.last_failure = Some(why);
    }

    async fn post(&self, request: DemoRequest) -> Result<reqwest::StatusCode, reqwest::Error> {
        let mut builder = self.client.request(request.method, format!("{}{}", self.base, request.path));
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let body = if request.chunked {
            // A body whose length is not known beforehand is sent in chunks.
            reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, Infallible>(request.body)]))
        } else {
            reqwest::Body::from(request.body)
        };
        Ok(builder.body(body).send().await?.status())
    }
}
