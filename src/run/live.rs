//! A live source: the endpoint on threads of its own, so that answering an SDK never waits for judging or drawing.

use super::{BAD_INPUT, COULD_NOT_BIND, say, secret, tls};
use crate::cli;
use crate::endpoint::{self, Caps, ForwardUrl, IntakeReceiver, Limits, ListenOn, Status};
use crate::segment::webhook::Secret;
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
    /// What Segment's webhooks are signed with.
    pub(super) segment_secret: Option<Secret>,
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
            segment_secret,
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
            segment_secret: wish.segment_secret,
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
        if let Some(note) = bound.note() {
            say(note);
        }
        let (addresses, status) = (bound.addresses().to_vec(), bound.status());
        let (sender, intake) = endpoint::intake(Caps::default());
        let serve = move |stopped: oneshot::Receiver<()>| {
            // A dropped sender means the same as a message.
            bound.serve(sender, async { drop(stopped.await) })
        };
        let serving = Serving::start("endpoint", runtime, serve).map_err(|error| {
            say(format_args!("cannot start a thread for the endpoint: {error}"));
            ExitCode::from(COULD_NOT_BIND)
        })?;
        Ok(Self { addresses, intake, status, trust, serving })
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

/// A runtime for sockets. Two threads: a request is some tens of microseconds of work.
pub(super) fn runtime() -> Result<Runtime, ExitCode> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| {
        say(format_args!("cannot start the network threads: {error}"));
        ExitCode::from(COULD_NOT_BIND)
    })
}
