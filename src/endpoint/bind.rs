//! Taking the addresses to listen on, and saying what is in the way when that fails.

use super::forward::ForwardUrl;
use super::holder::{self, Holder};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use tokio::net::TcpListener;

/// The port exptap listens on when it is told nothing else.
pub const DEFAULT_PORT: u16 = 8033;
/// How far from a taken port a free one is looked for.
const PORTS_TRIED: u16 = 100;
/// With port 0 the second address family needs the number the first was given, and somebody may just have taken it.
const PAIRS_TRIED: usize = 20;

/// What to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenOn {
    /// 127.0.0.1 and `[::1]` at this port, so that `localhost` works whichever it means; port 0 is any free one.
    Loopback(u16),
    /// This address only.
    Address(SocketAddr),
}

impl Default for ListenOn {
    fn default() -> Self {
        Self::Loopback(DEFAULT_PORT)
    }
}

impl FromStr for ListenOn {
    type Err = ListenError;

    /// Reads `ADDR:PORT`, `localhost:PORT` or a bare `PORT`.
    fn from_str(text: &str) -> Result<Self, ListenError> {
        let text = text.trim();
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        port.parse().map(Self::Loopback).map_err(|_| ListenError(text.to_owned()))
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(port) => write!(formatter, "localhost:{port}"),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// A text that names nothing to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names nothing to listen on: expected ADDR:PORT with a numeric address, such as 127.0.0.1:8033 or [::1]:8033"
)]
pub struct ListenError(String);

/// Why the endpoint could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not loopback, and nobody said that this is meant.
    #[error(
        "{address} can be reached from other machines, and whoever reaches it can send events: add --public if that is \
         meant, or listen on 127.0.0.1:{port}", port = address.port()
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Somebody listens there already.
    #[error("{address} is taken{by}. {ask}{offer}", by = by(holder), ask = ask(*address, holder), offer = offer(free))]
    Taken {
        /// The address that is taken.
        address: SocketAddr,
        /// Who has it, where the system says so.
        holder: Option<Holder>,
        /// What is free instead.
        free: Option<ListenOn>,
    },
    /// The system refuses the address for another reason.
    #[error("cannot listen on {address}: {source}. {remedy}", remedy = remedy(source))]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Requests would go round in a circle.
    #[error(
        "{option} {url} leads back to {address}, where exptap itself listens: give the address {whose}",
        whose = match *option {
            "--forward-segment" => "Segment takes events at",
            "--forward-flags" | "--forward-stream" => "LaunchDarkly answers requests for flags at",
            _ => "LaunchDarkly takes events at",
        }
    )]
    ForwardsToItself {
        /// The option that says so.
        option: &'static str,
        /// Where to forward to.
        url: ForwardUrl,
        /// The listening address it means.
        address: SocketAddr,
    },
    /// There is no thread to read flag data along with.
    #[error("cannot start a thread for flag data: {0}")]
    Thread(io::Error),
    /// Requests cannot be kept where they are to be.
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
    /// The connection to the upstream cannot be made secure.
    #[error("cannot forward to {url}: {reason}. Install the system's certificates (Debian: ca-certificates)")]
    Certificates {
        /// Where to forward to.
        url: ForwardUrl,
        /// What is wrong.
        reason: String,
    },
}

fn by(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" by {} (process {})", holder.command, holder.process))
}

fn ask(address: SocketAddr, holder: &Option<Holder>) -> String {
    let port = address.port();
    match holder {
        Some(holder) => format!("Stop it (kill {})", holder.process),
        None if cfg!(target_os = "linux") => format!("`sudo ss -ltnp 'sport = :{port}'` says by whom"),
        None => format!("`sudo lsof -nP -iTCP:{port} -sTCP:LISTEN` says by whom"),
    }
}

fn offer(free: &Option<ListenOn>) -> String {
    free.map_or_else(|| ".".to_owned(), |free| format!(", or use --listen {free}, which is free."))
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied => "Ports below 1024 belong to the administrator: choose a higher one",
        ErrorKind::AddrNotAvailable => "This machine has no such address: choose one it has, or 127.0.0.1",
        _ => "Choose another address with --listen",
    }
}

/// Takes the addresses. Also says, where one family is missing on this machine, that it is.
pub(super) async fn listeners(listen: ListenOn, public: bool) -> Result<(Vec<TcpListener>, Option<String>), BindError> {
    match listen {
        ListenOn::Address(address) => {
            if !public && !address.ip().to_canonical().is_loopback() {
                return Err(BindError::NotLoopback { address });
            }
            match TcpListener::bind(address).await {
                Ok(listener) => Ok((vec![listener], None)),
                Err(error) => Err(explain(address, error, listen).await),
            }
        }
        ListenOn::Loopback(port) => loopback(port).await,
    }
}

/// Takes over sockets that are listened on already. It is asynchronous because the runtime must get to know them.
pub(super) async fn inherited(
    sockets: Vec<std::net::TcpListener>,
    public: bool,
) -> Result<Vec<TcpListener>, BindError> {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut listeners = Vec::new();
    for socket in sockets {
        let address = match socket.local_addr() {
            Ok(address) => address,
            Err(source) => return Err(BindError::Refused { address: nowhere, source }),
        };
        if !public && !address.ip().to_canonical().is_loopback() {
            return Err(BindError::NotLoopback { address });
        }
        match socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)) {
            Ok(listener) => listeners.push(listener),
            Err(source) => return Err(BindError::Refused { address, source }),
        }
    }
    Ok(listeners)
}

async fn loopback(port: u16) -> Result<(Vec<TcpListener>, Option<String>), BindError> {
    let listen = ListenOn::Loopback(port);
    let mut tried = 0;
    loop {
        let [four, six] = both(port);
        let first = TcpListener::bind(four).await;
        let port = match &first {
            Ok(listener) => listener.local_addr().map_or(port, |address| address.port()),
            Err(error) if is_missing(error) => port,
            Err(_) => return Err(explain_result(four, first, listen).await),
        };
        let six = SocketAddr::new(six.ip(), port);
        let second = TcpListener::bind(six).await;
        return match (first, second) {
            (Ok(first), Ok(second)) => Ok((vec![first, second], None)),
            (Ok(first), Err(error)) if is_missing(&error) => {
                Ok((vec![first], Some(missing(six, SocketAddr::new(four.ip(), port)))))
            }
            (Err(_), Ok(second)) => {
                let address = second.local_addr().unwrap_or(six);
                Ok((vec![second], Some(missing(four, address))))
            }
            (Ok(_), Err(error))
                if listen == ListenOn::Loopback(0) && error.kind() == ErrorKind::AddrInUse && tried < PAIRS_TRIED =>
            {
                tried += 1;
                continue;
            }
            (_, Err(error)) => Err(explain(six, error, listen).await),
        };
    }
}

fn both(port: u16) -> [SocketAddr; 2] {
    [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
}

fn missing(absent: SocketAddr, present: SocketAddr) -> String {
    let family = if absent.is_ipv6() { "IPv6" } else { "IPv4" };
    format!("this machine has no {family} loopback address, so exptap listens on {present} only")
}

/// Whether an address family is not there at all, rather than taken or forbidden.
fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT].map(Errno::raw_os_error);
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        || error.raw_os_error().is_some_and(|code| unsupported.contains(&code))
}

async fn explain_result(address: SocketAddr, result: io::Result<TcpListener>, listen: ListenOn) -> BindError {
    match result {
        Err(error) => explain(address, error, listen).await,
        Ok(_) => BindError::Refused { address, source: ErrorKind::Other.into() },
    }
}

async fn explain(address: SocketAddr, source: io::Error, listen: ListenOn) -> BindError {
    if source.kind() != ErrorKind::AddrInUse {
        return BindError::Refused { address, source };
    }
    BindError::Taken { address, holder: holder::of(address), free: free(listen, address.port()).await }
}

/// The next port at which the same can be listened on.
async fn free(listen: ListenOn, taken: u16) -> Option<ListenOn> {
    for port in (1..=PORTS_TRIED).map_while(|step| taken.checked_add(step)) {
        let (offer, addresses) = match listen {
            ListenOn::Loopback(_) => (ListenOn::Loopback(port), both(port).to_vec()),
            ListenOn::Address(address) => {
                let address = SocketAddr::new(address.ip(), port);
                (ListenOn::Address(address), vec![address])
            }
        };
        let mut bound = 0;
        let mut in_the_way = false;
        for address in addresses {
            match TcpListener::bind(address).await {
                Ok(_) => bound += 1,
                Err(error) => in_the_way |= !is_missing(&error),
            }
        }
        if bound > 0 && !in_the_way {
            return Some(offer);
        }
    }
    None
}

/// Whether an upstream is one of the addresses just taken.
pub(super) async fn own_address(url: &ForwardUrl, addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let (host, port) = url.host_and_port();
    let ours: Vec<SocketAddr> = addresses.iter().copied().filter(|address| address.port() == port).collect();
    if ours.is_empty() {
        return None;
    }
    // A name that cannot be resolved now is not ours; requests to it will be answered 503 with the reason.
    let meant: Vec<IpAddr> = tokio::net::lookup_host((host, port)).await.ok()?.map(|meant| meant.ip()).collect();
    ours.into_iter().find(|ours| {
        meant.iter().any(|meant| {
            let (meant, bound) = (meant.to_canonical(), ours.ip().to_canonical());
            // Only an address of this machine can be bound, so binding to it is the question whether it is one.
            meant == bound
                || meant.is_unspecified()
                || (bound.is_unspecified() && std::net::UdpSocket::bind((meant, 0)).is_ok())
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn listen_takes_addresses_localhost_and_ports_and_refuses_the_rest_with_an_example() {
        assert_eq!("8034".parse(), Ok(ListenOn::Loopback(8034)));
        assert_eq!("localhost:8034".parse(), Ok(ListenOn::Loopback(8034)));
        assert_eq!("127.0.0.1:0".parse(), Ok(ListenOn::Address(([127, 0, 0, 1], 0).into())));
        assert_eq!("[::1]:8033".parse(), Ok(ListenOn::Address((Ipv6Addr::LOCALHOST, 8033).into())));
        for text in ["", "127.0.0.1", "example.com:80", "127.0.0.1:99999", "::1:8033x"] {
            let error = text.parse::<ListenOn>().unwrap_err();
            assert!(error.to_string().contains("127.0.0.1:8033"), "{error}");
        }
    }
}
