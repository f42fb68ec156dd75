//! The way on to LaunchDarkly, or to Segment: a tee nobody notices.
//!
//! hyper's own client is used, not reqwest: reqwest adds `Accept: */*` to every request and normalises addresses
//! (`/a/../bulk`, `%7e`), and a tee must do neither.

use super::status::Service;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Shorter than the minute after which load balancers commonly close a resting connection, so that a flush seldom
/// meets one that is being closed.
const REST: Duration = Duration::from_secs(30);
const CONNECTIONS_AT_REST: usize = 16;
const CONNECTIONS_KNOWN: usize = 4096;

/// Where to forward to: `http://` or `https://`, a host, and optionally a port and a base path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardUrl {
    https: bool,
    authority: String,
    host: String,
    port: u16,
    base: String,
}

/// Why a text is no [`ForwardUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardUrlError {
    /// It is no absolute http or https address.
    #[error("`{0}` is no address to forward to: expected one such as https://events.launchdarkly.com")]
    NoAddress(String),
    /// It carries user and password, a query, or a fragment.
    #[error("an address to forward to has no {0}: leave it off, SDKs send their own credential with every request")]
    Surplus(&'static str),
}

impl FromStr for ForwardUrl {
    type Err = ForwardUrlError;

    fn from_str(text: &str) -> Result<Self, ForwardUrlError> {
        let text = text.trim();
        if text.contains('#') {
            return Err(ForwardUrlError::Surplus("fragment"));
        }
        // What stands before an @ may be a password, so it is refused before anything could print the text.
        let address = text.split_once("://").map_or(text, |(_, rest)| rest);
        if address.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(ForwardUrlError::Surplus("user or password"));
        }
        let no_address = || ForwardUrlError::NoAddress(super::mask::mask_address(text));
        let uri: Uri = text.parse().map_err(|_| no_address())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(no_address()),
        };
        let authority = uri.authority().ok_or_else(no_address)?;
        if uri.query().is_some() {
            return Err(ForwardUrlError::Surplus("query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(no_address());
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { https, authority: authority.as_str().to_owned(), host, port, base })
    }
}

impl fmt::Display for ForwardUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.base)
    }
}

impl ForwardUrl {
    /// The host, without brackets around an IPv6 address, and the port.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether it means this machine, which no proxy can reach on anybody's behalf.
    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    }

    fn uri(&self, path_and_query: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{self}{path_and_query}").parse()
    }

    /// As [`ForwardUrl::uri`], with the port also where it is the usual one: a tunnel is opened to 443 otherwise, whatever
    /// the scheme. The `Host` header does not have it all the same.
    fn uri_with_port(&self, path_and_query: &str) -> Result<Uri, http::uri::InvalidUri> {
        if self.https || self.authority.ends_with(&format!(":{}", self.port)) {
            return self.uri(path_and_query);
        }
        format!("http://{}:{}{}{path_and_query}", self.authority, self.port, self.base).parse()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body on its way to the upstream.
pub(super) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// What a request carries to the upstream.
pub(super) enum Outgoing {
    /// A body that is all here, so that it can be sent again.
    Whole(Bytes),
    /// A body that passes through.
    Passing(Body),
}

/// Why there was no answer.
pub(super) struct Unanswered {
    pub(super) why: String,
    /// Whether the connection had answered before, and then broke off without a word: it was probably being closed when
    /// the request came to it.
    was_at_rest: bool,
}

/// One fixed upstream. Nothing in a request can change where it goes.
pub(super) struct Upstream {
    url: ForwardUrl,
    service: Service,
    client: Client,
    patience: Duration,
    /// Connections that have answered, by our end of them.
    have_answered: Mutex<HashSet<SocketAddr>>,
}

enum Client {
    Direct(legacy::Client<HttpsConnector<HttpConnector>, Body>),
    Tunnelled(legacy::Client<HttpsConnector<Tunnel<HttpConnector>>, Body>),
}

impl Client {
    fn request(&self, request: Request<Body>) -> ResponseFuture {
        match self {
            Self::Direct(client) => client.request(request),
            Self::Tunnelled(client) => client.request(request),
        }
    }
}

impl Upstream {
    /// Prepares the way to an upstream. A proxy is used where the usual environment variables name one.
    ///
    /// # Errors
    ///
    /// The machine's certificate store cannot be read.
    pub(super) fn new(url: ForwardUrl, service: Service, patience: Duration) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_PATIENCE));
        let tls = tls(url.https).map_err(|error| describe(&*error))?;
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(REST).pool_max_idle_per_host(CONNECTIONS_AT_REST);
        let proxy = match url.uri("/") {
            Ok(uri) if !url.is_loopback() => Matcher::from_env().intercept(&uri),
            _ => None,
        };
        let client = match proxy {
            None => Client::Direct(builder.build(tls.wrap_connector(tcp))),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(credential) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credential.clone());
                }
                Client::Tunnelled(builder.build(tls.wrap_connector(tunnel)))
            }
        };
        Ok(Self { url, service, client, patience, have_answered: Mutex::default() })
    }

    pub(super) fn url(&self) -> &ForwardUrl {
        &self.url
    }

    /// Whose events it takes.
    pub(super) fn service(&self) -> Service {
        self.service
    }

    /// Sends a request on as it came and gives the upstream's answer as it came, both without the headers that
    /// belong to one connection.
    ///
    /// # Errors
    ///
    /// Why there was no answer, in words.
    pub(super) async fn tee(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Outgoing,
    ) -> Result<Response<Incoming>, String> {
        let bytes = match body {
            Outgoing::Whole(bytes) => bytes,
            Outgoing::Passing(body) => {
                return self.send(method, path_and_query, headers, body).await.map_err(|unanswered| unanswered.why);
            }
        };
        // Whether a request arrived that met a connection being closed nobody knows. An SDK that is told so sends it again,
        // a second later, and LaunchDarkly drops what it gets twice; so it is sent again here, at once. All
        // connections at rest may have been closed together.
        let mut why = String::new();
        for _ in 0..=CONNECTIONS_AT_REST {
            let body = whole_body(bytes.clone(), &headers);
            match self.send(method.clone(), path_and_query, headers.clone(), body).await {
                Ok(response) => return Ok(response),
                Err(unanswered) if unanswered.was_at_rest => why = unanswered.why,
                Err(unanswered) => return Err(unanswered.why),
            }
        }
        Err(why)
    }

    /// Sends a request once.
    ///
    /// # Errors
    ///
    /// Why there was no answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, Unanswered> {
        let unanswered = |why| Unanswered { why, was_at_rest: false };
        let uri = match self.client {
            Client::Direct(_) => self.url.uri(path_and_query),
            Client::Tunnelled(_) => self.url.uri_with_port(path_and_query),
        };
        let uri = uri.map_err(|error| unanswered(describe(&error)))?;
        remove_hop_by_hop(&mut headers);
        headers.remove(HOST);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match tokio::time::timeout(self.patience, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_informational() => {
                Err(unanswered(format!("it answered {}, to another protocol nobody asked for", response.status())))
            }
            Ok(Ok(mut response)) => {
                remove_hop_by_hop(response.headers_mut());
                if let Some(connection) = response.extensions().get::<HttpInfo>() {
                    self.has_answered(connection.local_addr());
                }
                Ok(response)
            }
            Ok(Err(error)) => Err(Unanswered { why: describe(&error), was_at_rest: self.was_at_rest(&error) }),
            Err(_) => Err(unanswered(format!("no answer within {} s", self.patience.as_secs()))),
        }
    }

    fn has_answered(&self, connection: SocketAddr) {
        let mut known = self.have_answered.lock().unwrap_or_else(PoisonError::into_inner);
        // Far more than there are at once. Whoever is forgotten is only not tried again.
        if known.len() >= CONNECTIONS_KNOWN {
            known.clear();
        }
        known.insert(connection);
    }

    fn was_at_rest(&self, error: &legacy::Error) -> bool {
        let mut info = http::Extensions::new();
        if let Some(connected) = error.connect_info() {
            connected.get_extras(&mut info);
        }
        let connection = info.get::<HttpInfo>().map(HttpInfo::local_addr);
        let mut known = self.have_answered.lock().unwrap_or_else(PoisonError::into_inner);
        connection.is_some_and(|connection| known.remove(&connection)) && broke_off(error)
    }
}

/// Whether a connection ended before an answer began.
fn broke_off(error: &legacy::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<hyper::Error>().is_some_and(|cause| cause.is_incomplete_message() || cause.is_closed())
        {
            return true;
        }
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return matches!(
                cause.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::NotConnected
            );
        }
        source = cause.source();
    }
    false
}

/// A body that is all here, framed as it came: with a length, in chunks, or not at all.
pub(super) fn whole_body(bytes: Bytes, headers: &HeaderMap) -> Body {
    if headers.contains_key(CONTENT_LENGTH) || bytes.is_empty() {
        return Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    }
    let frame = futures_util::stream::once(async { Ok(Frame::data(bytes)) });
    StreamBody::new(frame).boxed_unsync()
}

/// A plain http upstream needs no certificates, and must work on a machine that has none.
fn tls(verified: bool) -> Result<rustls::ClientConfig, BoxError> {
    use hyper_rustls::ConfigBuilderExt;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = if verified {
        builder.try_with_platform_verifier()?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

/// Removes what RFC 9110 section 7.6.1 says is meant for one connection only.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let spelled = ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"];
    for name in named.into_iter().chain(fixed).chain(spelled.map(HeaderName::from_static)) {
        headers.remove(name);
    }
}

/// An error with its causes, the outermost left out where it only says that there is one.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.len() > 1 && parts.first().is_some_and(|first| first.starts_with("client error")) {
        parts.remove(0);
    }
    parts.join(": ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_kept_and_put_before_the_path_as_it_came() {
        let url: ForwardUrl = "https://events.launchdarkly.com/".parse().unwrap();
        assert_eq!(url.to_string(), "https://events.launchdarkly.com");
        assert_eq!(url.uri("//bulk?a=%7e&b='").unwrap().to_string(), "https://events.launchdarkly.com//bulk?a=%7e&b='");
        let url: ForwardUrl = "http://[::1]:9000/base/path/".parse().unwrap();
        assert_eq!(url.host_and_port(), ("::1", 9000));
        assert_eq!(url.uri("/a/../bulk").unwrap().to_string(), "http://[::1]:9000/base/path/a/../bulk");
    }

    #[test]
    fn what_is_no_upstream_is_refused_without_repeating_a_password() {
        for text in ["", "events.launchdarkly.com", "ftp://example.com", "https://", "/bulk", "http:///bulk"] {
            let error = text.parse::<ForwardUrl>().unwrap_err();
            assert_eq!(error, ForwardUrlError::NoAddress(text.into()), "{text}");
        }
        for text in ["https://ann:hunter2@example.com", "https://x/?key=1", "https://x/#top", "ann:hunter2@example.com"]
        {
            let error = text.parse::<ForwardUrl>().unwrap_err();
            assert!(matches!(error, ForwardUrlError::Surplus(_)), "{text}: {error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn headers_of_one_connection_are_removed_and_those_it_names_too() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic eA=="),
            ("authorization", "sdk-1"),
            ("x-stays", "1"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "x-stays"]);
    }
}
