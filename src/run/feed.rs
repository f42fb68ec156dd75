//! Opening a feed: its doors before anything is received, and the feed itself before anything can be missed by it.

use super::live::{self, Live, Serving};
use super::{BAD_INPUT, COULD_NOT_BIND, say};
use crate::cli;
use crate::endpoint::Caps;
use crate::feed::{self, Door, Feed, Hub, Options, Patience, Socket, Token, TokenError};
use crate::recorder::Snapshot;
use crate::recording::Header;
use crate::tls::{Identity, Trust};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// The variable that holds the token.
const TOKEN: &str = "EXPTAP_TOKEN";

/// How recording is doing, for whoever asks a feed.
#[derive(Clone, Default)]
pub(super) struct Recorded(Arc<Mutex<Option<Snapshot>>>);

impl Recorded {
    pub(super) fn set(&self, snapshot: Option<Snapshot>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    fn get(&self) -> Option<Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The doors of a feed, and where they are.
#[derive(Default)]
pub(super) struct Doors {
    doors: Vec<Door>,
    /// The socket.
    pub(super) socket: Option<PathBuf>,
    /// The address.
    pub(super) address: Option<SocketAddr>,
    /// What viewers at the address are to trust; none: it is not encrypted.
    pub(super) trust: Option<Trust>,
}

/// A feed that serves.
pub(super) struct Served {
    /// What it hands on.
    pub(super) hub: Arc<Hub>,
    serving: Serving,
}

impl Served {
    /// Stops: viewers get what is left first, for at most five seconds.
    pub(super) fn stop(&mut self) {
        self.serving.stop();
    }

    /// Waits until it has ended.
    pub(super) fn join(&mut self) {
        self.serving.join();
    }
}

/// The doors of a session with a screen: none, unless asked for.
///
/// # Errors
/// The exit code to end with; why is said.
pub(super) fn doors_of_listen(
    options: &cli::Feed,
    share: bool,
    public: bool,
    tls: Option<Arc<Identity>>,
) -> Result<Doors, ExitCode> {
    if share || options.socket.is_some() || options.feed.is_some() {
        return doors(options, public, tls);
    }
    Ok(Doors::default())
}

/// Takes the socket, and the address if there is to be one.
///
/// # Errors
/// The exit code to end with; why is said.
pub(super) fn doors(options: &cli::Feed, public: bool, tls: Option<Arc<Identity>>) -> Result<Doors, ExitCode> {
    let path = options.socket.clone().unwrap_or_else(|| feed::default_path(|name| std::env::var_os(name)));
    let socket = Socket::open(&path).map_err(|error| {
        say(error);
        ExitCode::from(COULD_NOT_BIND)
    })?;
    let mut taken = Doors { doors: vec![Door::Socket(socket)], socket: Some(path), ..Doors::default() };
    if let Some(address) = options.feed {
        let token = collectors_token(options.token_file.as_deref()).map_err(|error| {
            say(error);
            ExitCode::from(BAD_INPUT)
        })?;
        taken.trust = tls.as_ref().map(|identity| identity.trust().clone());
        let door = feed::open(address, public, token, options.feed_host.clone(), tls).map_err(|error| {
            say(error);
            ExitCode::from(COULD_NOT_BIND)
        })?;
        if let Door::Address { listener, .. } = &door {
            taken.address = listener.local_addr().ok();
        }
        taken.doors.push(door);
    }
    Ok(taken)
}

/// Hands on from now on what is received, and what waits already.
///
/// # Errors
/// The exit code to end with; why is said.
pub(super) fn open(
    doors: Doors,
    options: &cli::Feed,
    live: &Live,
    header: Header,
    recorded: Recorded,
) -> Result<Option<Served>, ExitCode> {
    if doors.doors.is_empty() {
        return Ok(None);
    }
    let cannot = |what: &dyn std::fmt::Display| {
        say(format_args!("nobody can look on: {what}"));
        ExitCode::from(COULD_NOT_BIND)
    };
    let mut chance = [0; 8];
    getrandom::fill(&mut chance).map_err(|error| cannot(&error))?;
    let epoch = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    let caps = Caps { bytes: options.backlog, ..Caps::default() };
    let hub = Arc::new(Hub::new(epoch, caps));
    live.intake.feed().open(Arc::<Hub>::clone(&hub));
    let feed = Feed::new(
        Options {
            hub: Arc::clone(&hub),
            header,
            status: Arc::clone(&live.status),
            recording: Box::new(move || recorded.get()),
            patience: Patience::default(),
        },
        doors.doors,
    );
    let serve = move |stopped: tokio::sync::oneshot::Receiver<()>| async move {
        // A dropped sender means the same as a message.
        if let Err(error) = feed.serve(async { drop(stopped.await) }).await {
            say(format_args!("nobody can look on: {error}"));
        }
    };
    let serving = Serving::start("feed", live::runtime()?, serve).map_err(|error| cannot(&error))?;
    Ok(Some(Served { hub, serving }))
}

fn token_of_environment() -> Option<Result<Token, TokenError>> {
    let text = std::env::var(TOKEN).ok().filter(|text| !text.is_empty())?;
    Some(Token::of(&text, TOKEN))
}

fn usual_file() -> PathBuf {
    feed::default_file(|name| std::env::var_os(name))
}

/// The token of a collector: from the file that is named, the environment, or the usual file; made where there is none.
fn collectors_token(file: Option<&Path>) -> Result<Token, TokenError> {
    if file.is_none()
        && let Some(token) = token_of_environment()
    {
        return token;
    }
    let path = file.map_or_else(usual_file, Path::to_owned);
    if let Some(token) = Token::read(&path)? {
        return Ok(token);
    }
    let token = Token::make(&path)?;
    // A log is read by others, and kept.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        say(format_args!("a token for viewers was made; it is in {}", path.display()));
    } else {
        say(format_args!("a token for viewers was made and is kept in {}: {}", path.display(), token.reveal()));
    }
    Ok(token)
}

/// The token of a viewer: from the file that is named, the environment, or the usual file; none where there is none.
pub(super) fn viewers_token(file: Option<&Path>) -> Result<Option<Token>, String> {
    if let Some(path) = file {
        return match Token::read(path) {
            Ok(Some(token)) => Ok(Some(token)),
            Ok(None) => Err(format!("the token file {} is not there", path.display())),
            Err(error) => Err(error.to_string()),
        };
    }
    match token_of_environment() {
        Some(token) => token.map(Some).map_err(|error| error.to_string()),
        None => Token::read(&usual_file()).map_err(|error| error.to_string()),
    }
}
