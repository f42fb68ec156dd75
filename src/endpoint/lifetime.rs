//! Stopping: what is under way is finished, for a while, and then it ends.

use tokio::sync::watch;

/// How far an endpoint is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Nothing new is begun.
    Draining,
    /// Nothing goes on.
    Stopped,
}

/// Held by everything that runs; dropping the last one tells the endpoint that all is finished.
#[derive(Clone)]
pub(super) struct Lifetime(watch::Receiver<Phase>);

/// The endpoint's own end.
pub(super) struct Lifetimes(watch::Sender<Phase>);

impl Lifetimes {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub(super) fn lifetime(&self) -> Lifetime {
        Lifetime(self.0.subscribe())
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    /// Waits until nothing runs any more.
    pub(super) async fn all_ended(&self) {
        self.0.closed().await;
    }
}

impl Lifetime {
    /// Waits for a phase.
    pub(super) async fn reached(&mut self, phase: Phase) {
        // An error means that the endpoint itself is gone, which is the last phase.
        let _ = self.0.wait_for(|current| *current >= phase).await;
    }
}
