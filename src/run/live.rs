//! A live source: the endpoint on threads of its own, so that answering an SDK never waits for judging or drawing.

use super::{COULD_NOT_BIND, say};
use crate::endpoint::{self, Bound, Caps, ForwardUrl, IntakeReceiver, Limits, ListenOn, Status};
use crate::segment::webhook::Secret;
use std::net::SocketAddr;
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
    serving: Serving,
}

/// The endpoint's thread. It is stopped, and waited for, when this is dropped.
pub(super) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What to serve.
#[derive(Default)]
pub(super) struct Wish {
    /// Where to listen.
    pub(super) listen: ListenOn,
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
}

impl Live {
    /// Begins to serve. What stands in the way is said, and the exit code given.
    ///
    /// # Errors
    /// The exit code to end with.
    pub(super) fn start(wish: Wish) -> Result<Self, ExitCode> {
        let runtime = runtime()?;
        let options = endpoint::Options {
            listen: wish.listen,
            public: wish.public,
            forward: wish.forward,
            forward_mobile: wish.forward_mobile,
            forward_segment: wish.forward_segment,
            segment_secret: wish.segment_secret,
            limits: Limits::default(),
        };
        let bound = runtime.block_on(endpoint::bind(options)).map_err(|error| {
            say(error);
            ExitCode::from(COULD_NOT_BIND)
        })?;
        if let Some(note) = bound.note() {
            say(note);
        }
        let (addresses, status) = (bound.addresses().to_vec(), bound.status());
        let (sender, intake) = endpoint::intake(Caps::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move |bound: Bound| {
            runtime.block_on(bound.serve(sender, async {
                // A dropped sender means the same as a message.
                let _ = stopped.await;
            }));
        };
        let thread =
            std::thread::Builder::new().name("endpoint".to_owned()).spawn(move || serve(bound)).map_err(|error| {
                say(format_args!("cannot start a thread for the endpoint: {error}"));
                ExitCode::from(COULD_NOT_BIND)
            })?;
        Ok(Self { addresses, intake, status, serving: Serving { stop: Some(stop), thread: Some(thread) } })
    }

    /// The parts, for one who takes requests from another thread; the endpoint serves until the last is dropped.
    pub(super) fn into_parts(self) -> (Vec<SocketAddr>, Arc<Status>, IntakeReceiver, Serving) {
        (self.addresses, self.status, self.intake, self.serving)
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
    fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The endpoint may have ended already.
            let _ = stop.send(());
        }
    }

    fn join(&mut self) {
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
