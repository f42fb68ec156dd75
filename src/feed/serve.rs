//! The doors of a feed, and what is answered at them.

use super::{Counters, Guard, Hub, Refusal, Socket, Token, metrics, viewer};
use crate::endpoint::Status;
use crate::recorder::Snapshot;
use crate::recording::{self, Header};
use crate::tls::{self, Failed, Identity, Name, Opened};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Where the feed is.
pub const PATH: &str = "/feed";
/// How a feed begins its answer to clear text where TLS is spoken.
pub(crate) const SPEAKS_TLS: &str = "this address speaks TLS";
/// Connections per door. A further one waits until one ends.
const CONNECTIONS: usize = 64;
/// What the head of a request may come to.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// A pause after the system refuses a connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// How long viewers may take to take the rest when the feed stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a feed waits for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the head of a request, and for what a viewer wants.
    pub begin: Duration,
    /// How often a viewer is asked whether it is still there.
    pub ping: Duration,
    /// How long nothing may be heard of it, after a ping was sent to it.
    pub answer: Duration,
    /// How long it may take to take a message. One that has not is let go, and may come back.
    pub message: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            begin: Duration::from_secs(10),
            ping: Duration::from_secs(15),
            answer: Duration::from_secs(10),
            message: Duration::from_secs(120),
        }
    }
}

/// A way into a feed.
#[derive(Debug)]
pub enum Door {
    /// A socket, which only its owner can open.
    Socket(Socket),
    /// An address, which whoever has the token may use.
    Address {
        /// What is listened on.
        listener: std::net::TcpListener,
        /// What is asked of a request.
        guard: Guard,
        /// Who to be where it speaks TLS.
        tls: Option<Arc<Identity>>,
    },
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Not loopback, and nobody said that this is meant.
    #[error(
        "--feed {0} can be reached from other machines, and whoever has the token sees every event: add --public if that \
         is meant, or use 127.0.0.1:{port} and a tunnel (ssh -L)", port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The system refuses.
    #[error("the feed cannot listen on {address}: {error}; choose another address with --feed")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What it says.
        error: io::Error,
    },
}

/// Opens a door at an address. `names` are more names others may ask it by; those of a certificate that is made are, too.
///
/// # Errors
/// See [`FeedError`].
pub fn open(
    address: SocketAddr,
    public: bool,
    token: Token,
    mut names: Vec<String>,
    tls: Option<Arc<Identity>>,
) -> Result<Door, FeedError> {
    if !public && !address.ip().to_canonical().is_loopback() {
        return Err(FeedError::NotLoopback(address));
    }
    let refused = |error| FeedError::Refused { address, error };
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    names.extend(tls.iter().flat_map(|identity| &identity.trust().names).map(|name| match name {
        Name::Address(address @ IpAddr::V6(_)) => format!("[{address}]"),
        name => name.to_string(),
    }));
    Ok(Door::Address { listener, guard: Guard::at(address, token, names), tls })
}

/// What a feed tells of.
pub struct Options {
    /// What was received.
    pub hub: Arc<Hub>,
    /// What a recording of it begins with.
    pub header: Header,
    /// The endpoint's counters.
    pub status: Arc<Status>,
    /// How recording is doing.
    pub recording: Box<dyn Fn() -> Option<Snapshot> + Send + Sync>,
    /// How long to wait for others.
    pub patience: Patience,
}

/// What serves viewers.
pub struct Feed {
    shared: Arc<Shared>,
    doors: Vec<Door>,
}

pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    /// The line a recording begins with.
    pub(super) header: Vec<u8>,
    pub(super) patience: Patience,
    status: Arc<Status>,
    recording: Box<dyn Fn() -> Option<Snapshot> + Send + Sync>,
    stopping: watch::Sender<bool>,
}

impl Feed {
    /// A feed with its doors, which serves nobody yet.
    pub fn new(options: Options, doors: Vec<Door>) -> Self {
        let Options { hub, header, status, recording, patience } = options;
        let mut line = Vec::new();
        recording::write_header(&mut line, &header);
        let stopping = watch::Sender::new(false);
        Self { shared: Arc::new(Shared { hub, header: line, patience, status, recording, stopping }), doors }
    }

    /// Serves until `shutdown` resolves; then viewers get what is left, for at most five seconds.
    ///
    /// # Errors
    /// Where a door cannot be used.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { shared, doors } = self;
        // Removed when the feed has ended, and not while a viewer may still come back through it.
        let mut sockets = Vec::new();
        for door in doors {
            match door {
                Door::Socket(mut socket) => {
                    let Some(listener) = socket.take_listener() else { continue };
                    sockets.push(socket);
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::UnixListener::from_std(listener)?;
                    let accept = async move || listener.accept().await.map(|(stream, _)| Came::Socket(stream));
                    tokio::spawn(accept_all(accept, Guard::default(), None, Arc::clone(&shared)));
                }
                Door::Address { listener, guard, tls } => {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    let accept = async move || {
                        let (stream, _) = listener.accept().await?;
                        // A socket that refuses it works all the same.
                        let _ = stream.set_nodelay(true);
                        Ok(Came::Address(stream))
                    };
                    tokio::spawn(accept_all(accept, guard, tls, Arc::clone(&shared)));
                }
            }
        }
        shutdown.await;
        shared.hub.close();
        shared.stopping.send_replace(true);
        // Whoever holds a part of it is a connection that is not finished.
        let _ = timeout(DRAIN, shared.stopping.closed()).await;
        drop(sockets);
        Ok(())
    }
}

/// A connection, as it came.
enum Came {
    Socket(UnixStream),
    Address(TcpStream),
}

/// Takes connections at a door until the feed stops.
async fn accept_all(
    accept: impl AsyncFn() -> io::Result<Came>,
    guard: Guard,
    tls: Option<Arc<Identity>>,
    shared: Arc<Shared>,
) {
    let guard = Arc::new(guard);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stopping = shared.stopping.subscribe();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, accept().await))
        };
        let (place, came) = tokio::select! {
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                None => return,
            },
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let Ok(came) = came else {
            tokio::time::sleep(REFUSED_PAUSE).await;
            continue;
        };
        let (guard, tls, shared) = (Arc::clone(&guard), tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let place = Arc::new(place);
            let answering = |request, shared| answer(request, &guard, shared, Arc::clone(&place));
            match (came, tls) {
                (Came::Socket(stream), _) => converse(stream, shared, answering).await,
                (Came::Address(stream), None) => converse(stream, shared, answering).await,
                (Came::Address(stream), Some(identity)) => {
                    let patience = tls::Patience { idle: shared.patience.begin, handshake: shared.patience.begin };
                    let mut stopping = shared.stopping.subscribe();
                    let accepted = tokio::select! {
                        accepted = tls::accept(stream, &identity, patience, now_ms()) => accepted,
                        _ = stopping.wait_for(|stopping| *stopping) => return,
                    };
                    match accepted {
                        Ok(Opened::Secure(stream)) => converse(stream, shared, answering).await,
                        Ok(Opened::Plain(stream)) => converse(stream, shared, |_, _| in_clear()).await,
                        // Somebody looked whether the port is open.
                        Err(Failed::Silent) => {}
                        Err(_) => Counters::add(&shared.hub.counters.refused_handshakes, 1),
                    }
                }
            }
        });
    }
}

/// Answers the requests of one connection.
async fn converse<Stream>(
    stream: Stream,
    shared: Arc<Shared>,
    answer: impl Fn(Request<Incoming>, Arc<Shared>) -> Answer,
) where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = answer(request, Arc::clone(&shared));
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.patience.begin)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut stopping = shared.stopping.subscribe();
    tokio::select! {
        // What went wrong is the other side's to know.
        _ = connection => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

/// What is said to clear text where TLS is spoken: nothing else, and to nobody with a token, which is not to be sent so.
fn in_clear() -> Answer {
    text(StatusCode::BAD_REQUEST, format!("{SPEAKS_TLS}: exptap attach wss://…\n"))
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

type Answer = Response<Full<Bytes>>;

/// Answers one request. A viewer's connection keeps its place for as long as it is attached.
fn answer(
    request: Request<Incoming>,
    guard: &Guard,
    shared: Arc<Shared>,
    place: Arc<tokio::sync::OwnedSemaphorePermit>,
) -> Answer {
    let counters = &shared.hub.counters;
    if let Err(refusal) = guard.check(request.headers()) {
        Counters::add(&counters.refused_pages, 1);
        return refused(refusal);
    }
    let path = request.uri().path();
    if path == "/healthz" {
        // Says that somebody is here, and nothing else: who looks after machines has no token.
        return text(StatusCode::OK, "ok\n");
    }
    if let Err(refusal) = guard.check_token(request.headers()) {
        Counters::add(&counters.refused_tokens, 1);
        return refused(refusal);
    }
    match path {
        "/metrics" if matches!(*request.method(), Method::GET | Method::HEAD) => {
            let recording = (shared.recording)();
            let (figures, kept) = (shared.status.figures(), shared.hub.kept());
            let page = metrics::page(&figures, kept, counters, recording.as_ref(), crate::run::now_ms());
            let mut response = text(StatusCode::OK, page);
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        PATH => upgrade(request, shared, place),
        _ => text(StatusCode::NOT_FOUND, "this is an exptap collector: there are /feed, /metrics and /healthz\n"),
    }
}

/// Makes a viewer of a request.
fn upgrade(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    place: Arc<tokio::sync::OwnedSemaphorePermit>,
) -> Answer {
    let upgrading = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let response = match create_response(&Request::from_parts(parts, ())) {
        Ok(response) => response.map(|()| Full::default()),
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("attach with `exptap attach`: {error}\n")),
    };
    tokio::spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(crate::protocol::MAX_ASKED_BYTES))
            .max_frame_size(Some(crate::protocol::MAX_ASKED_BYTES));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
        viewer::serve(socket, &shared).await;
        drop(place);
    });
    response
}

fn refused(refusal: Refusal) -> Answer {
    let mut response = text(refusal.status(), refusal.words());
    if refusal == Refusal::Token {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
