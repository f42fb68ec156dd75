//! The door SDKs send events to, and Segment's libraries and webhooks: an HTTP endpoint that answers as LaunchDarkly
//! and Segment do, hands every request on to the core, and forwards it unchanged where it was told to.
//!
//! ```text
//!  SDK ──▶ connection ──▶ paths ──▶ receive ──▶ answer (202, a GIF, CORS)
//!                                      │   └──▶ forward ──▶ LaunchDarkly or Segment, whose answer goes back as it is
//!                                      ▼
//!                                   intake ──▶ the core
//! ```
//!
//! Nothing here may harm the application that is being watched. An SDK that is answered 401, 403, 404, 405 or 413
//! stops sending events until its process is restarted, so no such answer originates here on any path that might
//! be meant for their events (Segment's libraries are refused what Segment refuses); and no answer waits for judging, drawing or recording, which get copies through queues
//! that drop, and count, what does not fit: the core from the intake, a recorder from a [`Tap`] before it.

mod answer;
mod bind;
mod connection;
mod forward;
mod handle;
mod holder;
mod intake;
mod lifetime;
mod mask;
mod overheard;
mod paths;
mod receive;
mod segment;
mod status;
mod tap;

pub use bind::{BindError, DEFAULT_PORT, ListenError, ListenOn};
pub use forward::{ForwardUrl, ForwardUrlError};
pub use holder::Holder;
pub use intake::{Caps, Intake, IntakeReceiver, Loss, Missed, Received, Waited, intake};
pub use paths::{PathKind, hint};
pub use status::{Delivery, Figures, Note, Status};
pub use tap::{Tap, Taps};

use crate::segment::webhook::Secret;
use forward::Upstream;
use handle::Handler;
use lifetime::{Lifetime, Lifetimes, Phase};
use status::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long requests that are under way may take when the endpoint stops.
const DRAIN: Duration = Duration::from_secs(5);
/// A pause after the system refuses a connection, normally for want of file descriptors: at once it would refuse
/// the next one too.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// What an endpoint is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where to listen.
    pub listen: ListenOn,
    /// Whether other machines may reach it; without this, only loopback addresses are accepted.
    pub public: bool,
    /// Where to forward events to. `None`: exptap answers them itself.
    pub forward: Option<ForwardUrl>,
    /// Where to forward events of mobile SDKs to. `None`: where `forward` says.
    pub forward_mobile: Option<ForwardUrl>,
    /// Where to forward requests of Segment's libraries to. `None`: exptap answers them itself.
    pub forward_segment: Option<ForwardUrl>,
    /// What Segment's webhooks are signed with. `None`: signatures are not checked.
    pub segment_secret: Option<Secret>,
    /// Sizes and times beyond which the endpoint stops being patient.
    pub limits: Limits,
}

/// Sizes and times beyond which the endpoint stops being patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body that are kept for inspection. A larger one is answered, and forwarded, all the same.
    pub body_bytes: u64,
    /// Connections per address. A further one waits until one ends.
    pub connections: usize,
    /// How long the head of a request may take once it has begun.
    pub header_read: Duration,
    /// How long a connection may rest, and how long a sender may be silent in the middle of a body.
    pub idle: Duration,
    /// How long the upstream may take to begin its answer.
    pub upstream: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 10 * 1024 * 1024,
            connections: 256,
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            upstream: Duration::from_secs(120),
        }
    }
}

/// An endpoint that has its addresses and serves nobody yet.
pub struct Bound {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    note: Option<String>,
    upstreams: Upstreams,
    segment_secret: Option<Secret>,
    limits: Limits,
    status: Arc<Status>,
}

/// Where requests go on to, each kind of them to one place only.
struct Upstreams {
    launchdarkly: Option<Arc<Upstream>>,
    mobile: Option<Arc<Upstream>>,
    segment: Option<Arc<Upstream>>,
}

/// Takes the addresses and prepares the way to the upstreams.
///
/// # Errors
///
/// Why it cannot start, with what to do about it.
pub async fn bind(options: Options) -> Result<Bound, BindError> {
    let taken = bind::listeners(options.listen, options.public).await?;
    with_listeners(taken, options).await
}

/// As [`bind`], on sockets that somebody else listens on already, and goes on doing so while exptap is restarted.
///
/// # Errors
///
/// Why it cannot start, with what to do about it.
pub async fn bind_inherited(sockets: Vec<std::net::TcpListener>, options: Options) -> Result<Bound, BindError> {
    let listeners = bind::inherited(sockets, options.public).await?;
    with_listeners((listeners, None), options).await
}

async fn with_listeners(
    (listeners, note): (Vec<TcpListener>, Option<String>),
    options: Options,
) -> Result<Bound, BindError> {
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let limits = options.limits;
    let upstream = async |url, option, service| upstream(url, option, service, &addresses, limits).await;
    let launchdarkly = upstream(options.forward, "--forward", Service::LaunchDarkly).await?;
    let mobile = upstream(options.forward_mobile, "--forward-mobile", Service::LaunchDarkly).await?;
    let segment = upstream(options.forward_segment, "--forward-segment", Service::Segment).await?;
    let mobile = mobile.or_else(|| launchdarkly.clone());
    let upstreams = Upstreams { launchdarkly, mobile, segment };
    let segment_secret = options.segment_secret;
    Ok(Bound { listeners, addresses, note, upstreams, segment_secret, limits, status: Arc::default() })
}

async fn upstream(
    url: Option<ForwardUrl>,
    option: &'static str,
    service: Service,
    addresses: &[SocketAddr],
    limits: Limits,
) -> Result<Option<Arc<Upstream>>, BindError> {
    let Some(url) = url else { return Ok(None) };
    if let Some(address) = bind::own_address(&url, addresses).await {
        return Err(BindError::ForwardsToItself { option, url, address });
    }
    match Upstream::new(url.clone(), service, limits.upstream) {
        Ok(upstream) => Ok(Some(Arc::new(upstream))),
        Err(reason) => Err(BindError::Certificates { url, reason }),
    }
}

impl Bound {
    /// The addresses it listens on, the one to print first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What there is to say about them: that one address family is missing on this machine.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The counters, which go on counting while it serves.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Serves until `shutdown` resolves, then finishes what is under way, for at most five seconds. The intake ends
    /// with it.
    pub async fn serve(self, intake: Intake, shutdown: impl Future<Output = ()>) {
        let lifetimes = Lifetimes::new();
        let handler = Arc::new(Handler {
            intake,
            status: self.status,
            upstreams: self.upstreams,
            segment_secret: self.segment_secret,
            limits: self.limits,
            addresses: self.addresses,
        });
        for listener in self.listeners {
            tokio::spawn(accept(listener, Arc::clone(&handler), lifetimes.lifetime()));
        }
        drop(handler);
        shutdown.await;
        lifetimes.enter(Phase::Draining);
        if timeout(DRAIN, lifetimes.all_ended()).await.is_err() {
            lifetimes.enter(Phase::Stopped);
            lifetimes.all_ended().await;
        }
    }
}

async fn accept(listener: TcpListener, handler: Arc<Handler>, mut lifetime: Lifetime) {
    let places = Arc::new(Semaphore::new(handler.limits.connections.max(1)));
    loop {
        let accepted = async {
            // The place first: a connection that has none waits in the system's queue, not in memory here.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let (place, connection) = tokio::select! {
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                None => return,
            },
            () = lifetime.reached(Phase::Draining) => return,
        };
        let Ok((stream, _)) = connection else {
            tokio::time::sleep(REFUSED_PAUSE).await;
            continue;
        };
        // Without this a 202 may wait for an acknowledgement; a socket that refuses it works all the same.
        let _ = stream.set_nodelay(true);
        let (handler, lifetime) = (Arc::clone(&handler), lifetime.clone());
        tokio::spawn(async move {
            handler.status.connection_opened();
            let answer = |request, framing| handler.answer(request, framing, lifetime.clone());
            connection::serve(stream, handler.limits, &handler.status, lifetime.clone(), answer).await;
            handler.status.connection_closed();
            drop(place);
        });
    }
}
