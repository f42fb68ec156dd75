//! One client of LaunchDarkly: requests with their limits and retries, lists with their pages.

use super::host::{Host, is_loopback};
use super::pace::Pace;
use super::secret::{Secret, SecretKind};
use hyper_rustls::ConfigBuilderExt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The version of the API whose answers are known. It is always sent: without it they are those of the token's day.
const API_VERSION: &str = "20240415";
/// A limit lasts ten seconds and is shared by everybody in the account.
const WINDOW: Duration = Duration::from_secs(10);
/// Whoever asks to wait longer than this means tomorrow.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
const LIMITED_TRIES: u32 = 8;
const FAILED_TRIES: u32 = 3;
const MOST_PAGES: usize = 1000;
const MOST_BYTES: usize = 256 * 1024 * 1024;
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// Why nothing was pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The client could not be set up.
    #[error("no connection can be set up: {0}")]
    Setup(String),
    /// Nobody answered.
    #[error("{host} cannot be reached: {why}; check the network, --host, and the proxy (HTTPS_PROXY, NO_PROXY)")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// The answer did not come in time.
    #[error("{host} gave no answer within {seconds} s; try again, or give it longer with --timeout")]
    TimedOut {
        /// Who was asked.
        host: String,
        /// How long was waited.
        seconds: f64,
    },
    /// The token or the key is not known there.
    #[error(
        "{host} does not know this {what} (401{said}): check that it is whole and not deleted, and that it is of an account there (--host eu and --host federal are others)"
    )]
    Unauthorized {
        /// Who was asked.
        host: String,
        /// What was shown.
        what: &'static str,
        /// What was said.
        said: String,
    },
    /// The token may not read this.
    #[error("this {what} may not read {path} (403{said}): give it the reader role, or a role that allows it")]
    Forbidden {
        /// What was shown.
        what: &'static str,
        /// What was asked for.
        path: String,
        /// What was said.
        said: String,
    },
    /// It is not there.
    #[error("there is no {path} (404{said})")]
    NotFound {
        /// What was asked for.
        path: String,
        /// What was said.
        said: String,
    },
    /// The limit did not pass.
    #[error("{host} limits this account's requests ({why}); try again in a few minutes")]
    Limited {
        /// Who was asked.
        host: String,
        /// What it said.
        why: String,
    },
    /// Another status.
    #[error("{host} answered {status} to {path}{said}")]
    Status {
        /// Who was asked.
        host: String,
        /// Its answer.
        status: StatusCode,
        /// What was asked for.
        path: String,
        /// What was said.
        said: String,
    },
    /// The answer is none of LaunchDarkly's.
    #[error("what {host} answered to {path} {why}; check --host, and that no proxy answers in its place")]
    Unreadable {
        /// Who was asked.
        host: String,
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such project.
    #[error("there is no project {0}, or this token may not see it: check --project (the key, not the name)")]
    NoProject(String),
    /// There is no such environment.
    #[error("the project {project} has no environment {environment}; it has: {keys}")]
    NoEnvironment {
        /// The project.
        project: String,
        /// What was asked for.
        environment: String,
        /// What there is.
        keys: String,
    },
    /// The answers make no catalog.
    #[error("{0}")]
    NoCatalog(String),
}

impl PullError {
    /// Whether it is this one resource that cannot be had, and others can.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::NotFound { .. })
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether it is for the user to give something else, instead of LaunchDarkly or the network that failed.
    pub fn is_for_the_user(&self) -> bool {
        self.is_refusal()
            || matches!(
                self,
                Self::Unauthorized { .. } | Self::NoProject(_) | Self::NoEnvironment { .. } | Self::NoCatalog(_)
            )
    }
}

/// The version of the API a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The one whose answers are known.
    Dated,
    /// What is not final yet; asked for only where the other is refused.
    Beta,
    /// It is not the REST API that is asked.
    None,
}

/// A list of the REST API.
pub(super) struct List<'a> {
    pub(super) what: &'static str,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) limit: usize,
}

/// A page of a list. The total goes by two names.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    #[serde(default, alias = "total_count", rename = "totalCount")]
    total: Option<usize>,
    #[serde(default, rename = "_links")]
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    next: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    href: Option<String>,
}

/// Asks LaunchDarkly, one request at a time.
pub struct Client<P> {
    http: reqwest::Client,
    base: Url,
    secret: Secret,
    timeout: Duration,
    pace: P,
    progress: Box<dyn FnMut(&str) + Send>,
    /// Until when the limit is used up, epoch ms.
    used_up_until_ms: Option<i64>,
}

impl<P: Pace> Client<P> {
    /// A client that shows a secret to a host, and gives up on an answer after `timeout`. Whoever waits is told by
    /// `progress`.
    ///
    /// # Errors
    /// [`PullError::Setup`] where this machine has no certificates to trust.
    pub fn new(
        host: &Host,
        secret: Secret,
        timeout: Duration,
        pace: P,
        progress: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, PullError> {
        let base = match secret.kind() {
            SecretKind::ApiToken => host.api(),
            SecretKind::SdkKey => host.sdk(),
        };
        let http = http(base, &secret, timeout).map_err(PullError::Setup)?;
        let progress = Box::new(progress);
        Ok(Self { http, base: base.clone(), secret, timeout, pace, progress, used_up_until_ms: None })
    }

    /// Says what is being done.
    pub(super) fn say(&mut self, what: &str) {
        (self.progress)(what);
    }

    /// One thing, if it is there and may be read.
    pub(super) async fn found(&mut self, path: &[&str], query: &[(&str, &str)]) -> Result<Option<Value>, PullError> {
        match self.get(path, query, Version::Dated).await {
            Err(error) if error.is_refusal() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// One thing.
    pub(super) async fn get(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
        version: Version,
    ) -> Result<Value, PullError> {
        let text = self.text(path, query, version).await?;
        self.parse(&text, &path.join("/"))
    }

    /// Everything of a list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(&mut self, list: &List<'_>) -> Result<Vec<T>, PullError> {
        let mut all: Vec<T> = Vec::new();
        let mut version = Version::Dated;
        let mut asked = HashSet::new();
        let limit = list.limit.to_string();
        let mut url = self.url(list.path, &[list.query, &[("limit", &limit)]].concat());
        while asked.insert(url.clone()) && asked.len() <= MOST_PAGES {
            let text = match self.send(&url, version).await {
                Err(PullError::Forbidden { .. }) if version == Version::Dated => {
                    version = Version::Beta;
                    self.send(&url, version).await?
                }
                answer => answer?,
            };
            let Page { items, total, links } = self.parse(&text, url.path())?;
            let (count, is_short) = (items.len(), items.len() < list.limit);
            all.extend(items);
            let of = total.map_or_else(String::new, |total| format!(" of {total}"));
            self.say(&format!("{}: {}{of}", list.what, all.len()));
            let next = links.and_then(|links| links.next?.href);
            let is_all = match (&next, total) {
                _ if count == 0 => true,
                (Some(_), _) => false,
                (None, Some(total)) => all.len() >= total,
                (None, None) => is_short,
            };
            if is_all {
                return Ok(all);
            }
            url = match next {
                Some(next) => self.next(&next, &url)?,
                None => {
                    let offset = all.len().to_string();
                    self.url(list.path, &[list.query, &[("limit", &limit), ("offset", &offset)]].concat())
                }
            };
        }
        Err(self.unreadable(url.path(), "does not end: its pages lead round in a circle"))
    }

    /// The address of the next page. It may not lead elsewhere, where the token would be shown to somebody else.
    fn next(&self, next: &str, page: &Url) -> Result<Url, PullError> {
        match self.base.join(next) {
            Ok(url) if url.origin() == self.base.origin() => Ok(url),
            _ => Err(self.unreadable(page.path(), "names a next page at another host")),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The text of an answer.
    pub(super) async fn text(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
        version: Version,
    ) -> Result<String, PullError> {
        let url = self.url(path, query);
        self.send(&url, version).await
    }

    /// Sends a request until it is answered or there is no use in trying.
    async fn send(&mut self, url: &Url, version: Version) -> Result<String, PullError> {
        let (mut limited, mut failed) = (0, 0);
        loop {
            self.await_quota().await;
            let request = self.http.get(url.clone());
            let request = match version {
                Version::Dated => request.header("LD-API-Version", API_VERSION),
                Version::Beta => request.header("LD-API-Version", "beta"),
                Version::None => request,
            };
            let response = request.send().await.map_err(|error| self.broken(error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status == StatusCode::TOO_MANY_REQUESTS {
                limited += 1;
                let wait = self.limit(&headers);
                if limited >= LIMITED_TRIES || wait > LONGEST_WAIT {
                    let why = if wait > LONGEST_WAIT {
                        format!("it asks to wait {} s", wait.as_secs())
                    } else {
                        format!("it refused {limited} times in a row")
                    };
                    return Err(PullError::Limited { host: self.host(), why });
                }
                self.pause(wait, "LaunchDarkly limits this account's requests").await;
                continue;
            }
            if status.is_server_error() {
                failed += 1;
                if failed < FAILED_TRIES {
                    self.pause(Duration::from_secs(u64::from(failed)), &format!("LaunchDarkly answered {status}"))
                        .await;
                    continue;
                }
            }
            self.used_up_until_ms = used_up_until_ms(&headers);
            let text = self.body(response, url).await?;
            if status == StatusCode::OK {
                return Ok(text);
            }
            return Err(self.refused(status, &headers, &text, url));
        }
    }

    /// Waits where the last answer said that it was the last one for now.
    async fn await_quota(&mut self) {
        let Some(until_ms) = self.used_up_until_ms.take() else { return };
        let wait = until(until_ms, self.pace.now_ms());
        if !wait.is_zero() && wait <= LONGEST_WAIT {
            self.pause(wait, "LaunchDarkly's limit of requests is used up").await;
        }
    }

    /// How long a limit asks to wait: until its window ends, and as long as it says.
    fn limit(&self, headers: &HeaderMap) -> Duration {
        let reset = number(headers, "x-ratelimit-reset").map(|reset_ms| until(reset_ms, self.pace.now_ms()));
        let after =
            number(headers, RETRY_AFTER.as_str()).map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
        reset.max(after).unwrap_or(WINDOW)
    }

    async fn pause(&mut self, wait: Duration, why: &str) {
        let wait = wait + self.pace.jitter();
        self.say(&format!("{why}; going on in {} s", wait.as_secs_f64().ceil()));
        self.pace.wait(wait).await;
    }

    async fn body(&self, mut response: Response, url: &Url) -> Result<String, PullError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(self.unreadable(url.path(), "does not end"));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| self.unreadable(url.path(), "is no text"))
    }

    fn parse<T: DeserializeOwned>(&self, text: &str, path: &str) -> Result<T, PullError> {
        // The words of the parser may quote the answer, and an answer may hold keys; its place is enough.
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let why = match error.classify() {
                serde_json::error::Category::Data => "is not of the expected shape",
                _ => "is not JSON",
            };
            self.unreadable(path, &format!("{why} (line {line}, column {column})"))
        })
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, text: &str, url: &Url) -> PullError {
        let (host, path, what) = (self.host(), url.path().to_owned(), self.secret.kind().name());
        let said = self.said(text).map_or_else(String::new, |said| format!(": {said}"));
        match status {
            StatusCode::UNAUTHORIZED => PullError::Unauthorized { host, what, said },
            StatusCode::FORBIDDEN => PullError::Forbidden { what, path, said },
            StatusCode::NOT_FOUND => PullError::NotFound { path, said },
            status if status.is_redirection() => {
                let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
                let to: String = to.chars().take(200).collect();
                self.unreadable(&path, &format!("leads to {}, and a token does not follow", self.secret.hide(&to)))
            }
            status => PullError::Status { host, status, path, said },
        }
    }

    /// What an error's answer says for people.
    fn said(&self, text: &str) -> Option<String> {
        let answer: Value = serde_json::from_str(text).ok()?;
        let said: String = answer.get("message")?.as_str()?.chars().take(200).collect();
        Some(self.secret.hide(&said))
    }

    fn broken(&self, error: reqwest::Error) -> PullError {
        if error.is_timeout() {
            return PullError::TimedOut { host: self.host(), seconds: self.timeout.as_secs_f64() };
        }
        // The innermost cause is what a person can do something about.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        PullError::Unreachable { host: self.host(), why: cause.to_string() }
    }

    fn unreadable(&self, path: &str, why: &str) -> PullError {
        PullError::Unreadable { host: self.host(), path: path.to_owned(), why: why.to_owned() }
    }

    fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// When a limit that is used up begins anew. There are two: one of the account, one of the route.
fn used_up_until_ms(headers: &HeaderMap) -> Option<i64> {
    let is_used_up = ["x-ratelimit-global-remaining", "x-ratelimit-route-remaining"]
        .iter()
        .any(|name| number(headers, name).is_some_and(|left| left <= 0));
    number(headers, "x-ratelimit-reset").filter(|_| is_used_up)
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn until(instant_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(instant_ms.saturating_sub(now_ms).max(0).unsigned_abs())
}

fn http(base: &Url, secret: &Secret, timeout: Duration) -> Result<reqwest::Client, String> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(ConfigBuilderExt::try_with_platform_verifier)
        .map_err(|error| error.to_string())?
        .with_no_client_auth();
    let mut authorization = HeaderValue::from_str(secret.reveal()).map_err(|error| error.to_string())?;
    authorization.set_sensitive(true);
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
        .user_agent(concat!("exptap/", env!("CARGO_PKG_VERSION")))
        // Wherever a redirect leads, the token was not meant for it.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout.min(LONGEST_CONNECT))
        .timeout(timeout);
    let builder = if is_loopback(base) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| error.to_string())
}
