//! A live source: the endpoint on threads of its own, so that answering an SDK never waits for judging or drawing.

use super::{BAD_INPUT, COULD_NOT_BIND, say, secret, tls};
use crate::cli;
use crate::endpoint::{self, Caps, Figures, FlagBoard, ForwardUrl, IntakeReceiver, Limits, ListenOn, Status};
use crate::segment::webhook::Secret;
use crate::spool;
use crate::tls::{Identity, Trust};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// An endpoint that serves.
pub(super) struct Live {
    /// The addresses it listens on.
    pub(super) addresses: Vec<SocketAddr>,
    /// What it received.
    pub(super) intake: IntakeReceiver,
    /// Its counters.
    pub(super) status: Arc<Status>,
    /// The flags that pass by, where requests for them are passed on.
    pub(super) flags: Option<Arc<FlagBoard>>,
    /// What devices are to trust; none: it speaks plain HTTP.
    pub(super) trust: Option<Trust>,
    serving: Serving,
}

/// A thread that serves. It is stopped, and waited for, when this is dropped.
pub(super) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What to serve.
#[derive(Default)]
pub(super) struct Wish {
    /// Where to listen.
    pub(super) listen: ListenOn,
    /// Sockets that are listened on already, instead.
    pub(super) inherited: Vec<TcpListener>,
    /// Whether others may reach it.
    pub(super) public: bool,
    /// Where to forward.
    pub(super) forward: Option<ForwardUrl>,
    /// Where to forward mobile SDKs' events.
    pub(super) forward_mobile: Option<ForwardUrl>,
    /// Where to forward requests of Segment's libraries.
    pub(super) forward_segment: Option<ForwardUrl>,
    /// Where requests for flag data are passed on to.
    pub(super) forward_flags: Option<ForwardUrl>,
    /// Where those are passed on to whose answer streams.
    pub(super) forward_stream: Option<ForwardUrl>,
    /// What Segment's webhooks are signed with.
    pub(super) segment_secret: Option<Secret>,
    /// Where to keep requests until they are forwarded.
    pub(super) spool: Option<spool::Options>,
    /// Who to be where it speaks TLS.
    pub(super) tls: Option<Arc<Identity>>,
}

impl Wish {
    /// What the user asks for. A secret that cannot be read is said, and the exit code given.
    ///
    /// # Errors
    /// The exit code to end with.
    pub(super) fn new(
        asked: &cli::Receiving,
        inherited: Vec<TcpListener>,
        tls: Option<Arc<Identity>>,
    ) -> Result<Self, ExitCode> {
        let segment_secret = secret::read(asked.segment_secret_file.as_deref()).map_err(|why| {
            say(why);
            ExitCode::from(BAD_INPUT)
        })?;
        Ok(Self {
            listen: asked.listen.unwrap_or_default(),
            inherited,
            public: asked.public,
            forward: asked.forward.clone(),
            forward_mobile: asked.forward_mobile.clone(),
            forward_segment: asked.forward_segment.clone(),
            forward_flags: asked.forward_flags.clone(),
            forward_stream: asked.forward_stream.clone(),
            segment_secret,
            spool: asked.spool.clone().map(|folder| spool::Options {
                folder,
                limit_bytes: asked.spool_limit,
                pace: spool::Pace::default(),
            }),
            tls,
        })
    }
}

impl Live {
    /// Begins to serve. What stands in the way is said, and the exit code given.
    ///
    /// # Errors
    /// The exit code to end with.
    pub(super) fn start(wish: Wish) -> Result<Self, ExitCode> {
        let runtime = runtime()?;
        let trust = wish.tls.as_ref().map(|identity| identity.trust().clone());
        let options = endpoint::Options {
            listen: wish.listen,
            public: wish.public,
            forward: wish.forward,
            forward_mobile: wish.forward_mobile,
            forward_segment: wish.forward_segment,
            forward_flags: wish.forward_flags,
            forward_stream: wish.forward_stream,
            segment_secret: wish.segment_secret,
            spool: wish.spool,
            tls: wish.tls,
            limits: Limits::default(),
        };
        let binding = async {
            match wish.inherited {
                sockets if sockets.is_empty() => endpoint::bind(options).await,
                sockets => endpoint::bind_inherited(sockets, options).await,
            }
        };
        let bound = runtime.block_on(binding).map_err(|error| {
            say(error);
            ExitCode::from(COULD_NOT_BIND)
        })?;
        bound.note().into_iter().chain(bound.spool_notes().iter().map(String::as_str)).for_each(say);
        let (addresses, status, flags) = (bound.addresses().to_vec(), bound.status(), bound.flags());
        let (sender, intake) = endpoint::intake(Caps::default());
        let serve = move |stopped: oneshot::Receiver<()>| {
            // A dropped sender means the same as a message.
            bound.serve(sender, async { drop(stopped.await) })
        };
        let serving = Serving::start("endpoint", runtime, serve).map_err(|error| {
            say(format_args!("cannot start a thread for the endpoint: {error}"));
            ExitCode::from(COULD_NOT_BIND)
        })?;
        Ok(Self { addresses, intake, status, flags, trust, serving })
    }

    /// What to say of where it listens: its addresses, and what devices are to trust.
    pub(super) fn told(&self) -> Vec<String> {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        let mut lines: Vec<String> =
            self.addresses.iter().map(|address| format!("listening on {scheme}://{address}")).collect();
        if let Some(trust) = &self.trust {
            lines.extend(tls::told(trust, self.addresses.first()));
        }
        lines
    }

    /// The parts, for one who takes requests from another thread; the endpoint serves until the last is dropped.
    pub(super) fn into_parts(self) -> (Vec<SocketAddr>, Option<Trust>, Arc<Status>, IntakeReceiver, Serving) {
        (self.addresses, self.trust, self.status, self.intake, self.serving)
    }

    /// Stops serving: what is under way is finished first, for at most five seconds.
    pub(super) fn stop(&mut self) {
        self.serving.stop();
    }

    /// Waits until the endpoint has ended.
    pub(super) fn join(&mut self) {
        self.serving.join();
    }
}

impl Serving {
    /// Serves on a thread of its own, until told to stop.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn start<Served>(
        name: &str,
        runtime: Runtime,
        serve: impl FnOnce(oneshot::Receiver<()>) -> Served + Send + 'static,
    ) -> std::io::Result<Self>
    where
        Served: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || runtime.block_on(async { serve(stopped).await });
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The endpoint may have ended already.
            let _ = stop.send(());
        }
    }

    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
        self.join();
    }
}

/// Waits until flags passed by that say something new; for ever where none are passed on.
pub(super) async fn flags_changed(flags: Option<&FlagBoard>) {
    match flags {
        Some(flags) => flags.changed().await,
        None => std::future::pending().await,
    }
}

/// What stays in the spool when the endpoint has ended; none: nothing does.
pub(super) fn stays(figures: &Figures) -> Option<String> {
    let spool = figures.spool.as_ref().filter(|spool| spool.waiting_requests > 0)?;
    let folder = spool.folder.display();
    let (stay, are) =
        if spool.waiting_requests == 1 { ("request stays", "it is") } else { ("requests stay", "they are") };
    let why = spool.trouble.as_ref().map(|trouble| format!(" ({})", trouble.why)).unwrap_or_default();
    Some(format!(
        "{} {stay} in {folder}{why}; {are} delivered when exptap starts again with --spool {folder}",
        spool.waiting_requests
    ))
}

/// A runtime for sockets. Two threads: a request is some tens of microseconds of work.
pub(super) fn runtime() -> Result<Runtime, ExitCode> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| {
        say(format_args!("cannot start the network threads: {error}"));
        ExitCode::from(COULD_NOT_BIND)
    })
}
