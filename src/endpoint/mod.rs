//! The door SDKs send events to, and Segment's libraries and webhooks: an HTTP endpoint that answers as LaunchDarkly
//! and Segment do, hands every request on to the core, and forwards it unchanged where it was told to.
//!
//! ```text
//!  SDK ──▶ (tls) ──▶ connection ──▶ paths ──▶ receive ──▶ answer (202, a GIF, CORS)
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
mod clocks;
mod connection;
mod flags;
mod forward;
mod handle;
mod holder;
mod intake;
mod lifetime;
mod mask;
mod overheard;
mod paths;
mod places;
mod receive;
mod segment;
mod spooling;
mod status;
mod tap;
mod tls;

pub use bind::{BindError, DEFAULT_PORT, ListenError, ListenOn};
pub use flags::{FlagBoard, FlagFigures, FlagsKnown};
pub use forward::{ForwardUrl, ForwardUrlError};
pub use holder::Holder;
pub use intake::{Caps, Intake, IntakeReceiver, Loss, Missed, Received, Waited, intake};
pub use paths::{PathKind, hint};
pub use status::{Delivery, Figures, Note, Status};
pub use tap::{Tap, Taps};
pub use tls::AUTHORITY_PATH;

use crate::segment::webhook::Secret;
use crate::spool;
use crate::tls::Identity;
use forward::Upstream;
use handle::Handler;
use lifetime::{Lifetime, Lifetimes, Phase};
use places::Places;
use spooling::Spooling;
use status::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// How long requests that are under way may take when the endpoint stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the spool goes on delivering after that, as long as its upstream takes what it gets.
const SPOOL_DRAIN: Duration = Duration::from_secs(5);
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
    /// Where to pass requests for flag data on to. `None`: there is none here.
    pub forward_flags: Option<ForwardUrl>,
    /// Where to pass those on to whose answer streams. `None`: to the host that belongs to `forward_flags`.
    pub forward_stream: Option<ForwardUrl>,
    /// What Segment's webhooks are signed with. `None`: signatures are not checked.
    pub segment_secret: Option<Secret>,
    /// Where to keep requests until they are forwarded, instead of having their senders wait. `None`: nowhere.
    pub spool: Option<spool::Options>,
    /// Who to be where it speaks TLS. `None`: it speaks plain HTTP.
    pub tls: Option<Arc<Identity>>,
    /// Sizes and times beyond which the endpoint stops being patient.
    pub limits: Limits,
}

/// Sizes and times beyond which the endpoint stops being patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body that are kept for inspection. A larger one is answered, and forwarded, all the same.
    pub body_bytes: u64,
    /// Connections per address. For a further one the one that rests the longest is closed.
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
    flags: Option<(Arc<FlagBoard>, JoinHandle<()>)>,
    spooling: Option<Spooling>,
    segment_secret: Option<Secret>,
    tls: Option<Arc<Identity>>,
    limits: Limits,
    status: Arc<Status>,
}

/// Where requests go on to, each kind of them to one place only.
struct Upstreams {
    launchdarkly: Option<Arc<Upstream>>,
    mobile: Option<Arc<Upstream>>,
    segment: Option<Arc<Upstream>>,
    flags: Option<flags::FlagUpstreams>,
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
    let streaming = options.forward_stream.or_else(|| options.forward_flags.as_ref().map(flags::streaming_host));
    let polling = upstream(options.forward_flags, "--forward-flags", Service::Flags).await?;
    let streaming = upstream(streaming, "--forward-stream", Service::Flags).await?;
    let (flag_upstreams, flags) = match polling.zip(streaming) {
        None => (None, None),
        Some((polling, streaming)) => {
            let board = Arc::<FlagBoard>::default();
            let (reading, thread) = flags::Along::start(Arc::clone(&board)).map_err(BindError::Thread)?;
            (Some(flags::FlagUpstreams { polling, streaming, reading }), Some((board, thread)))
        }
    };
    let upstreams = Upstreams { launchdarkly, mobile, segment, flags: flag_upstreams };
    let status = Arc::<Status>::default();
    // After the addresses: whoever starts a second exptap by mistake is to read of these first.
    let spooling = match options.spool {
        Some(spool) => Some(Spooling::open(&spool, &upstreams, limits, &status)?),
        None => None,
    };
    let (segment_secret, tls) = (options.segment_secret, options.tls);
    Ok(Bound { listeners, addresses, note, upstreams, flags, spooling, segment_secret, tls, limits, status })
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

    /// What there is to say about the spool: what waits in it, and who can read it.
    pub fn spool_notes(&self) -> &[String] {
        self.spooling.as_ref().map_or(&[], |spooling| &spooling.notes)
    }

    /// The counters, which go on counting while it serves.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// What it reads of flag data that passes through; none where it passes none on.
    pub fn flags(&self) -> Option<Arc<FlagBoard>> {
        self.flags.as_ref().map(|(board, _)| Arc::clone(board))
    }

    /// Serves until `shutdown` resolves, then finishes what is under way, for at most five seconds. The intake ends
    /// with it.
    pub async fn serve(self, intake: Intake, shutdown: impl Future<Output = ()>) {
        let lifetimes = Lifetimes::new();
        let (spool, deliveries) = self.spooling.map_or((None, None), Spooling::start);
        let handler = Arc::new(Handler {
            intake,
            status: self.status,
            upstreams: self.upstreams,
            spool,
            segment_secret: self.segment_secret,
            tls: self.tls,
            limits: self.limits,
            addresses: self.addresses,
            vigil: clocks::Vigil::begin(),
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
        // Only now: what was under way until here is in the spool as well.
        if let Some(deliveries) = deliveries {
            deliveries.end(SPOOL_DRAIN).await;
        }
        // What was read along counts too, if it came before the end.
        if let Some((_, reading)) = self.flags {
            let _ = tokio::task::spawn_blocking(move || reading.join()).await;
        }
    }
}

async fn accept(listener: TcpListener, handler: Arc<Handler>, mut lifetime: Lifetime) {
    let places = Places::new(handler.limits.connections);
    loop {
        let accepted = async {
            let (stream, peer) = listener.accept().await?;
            // One at most is here without a place; any further one waits in the system's queue, not in memory here.
            std::io::Result::Ok((stream, peer, places.take().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = lifetime.reached(Phase::Draining) => return,
        };
        let Ok((stream, peer, place)) = accepted else {
            tokio::time::sleep(REFUSED_PAUSE).await;
            continue;
        };
        // Without this a 202 may wait for an acknowledgement; a socket that refuses it works all the same.
        let _ = stream.set_nodelay(true);
        let (handler, lifetime) = (Arc::clone(&handler), lifetime.clone());
        tokio::spawn(async move {
            handler.status.connection_opened();
            tls::serve(stream, peer, &place, &handler, lifetime).await;
            handler.status.connection_closed();
        });
    }
}
