//! How it stands between a viewer and its collector, for the screen.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether it is attached.
    pub state: LinkState,
    /// What the collector was asked to send only.
    pub only: Option<String>,
    /// Requests the collector did not send because they were not asked for.
    pub not_asked: u64,
    /// What is worth a remark: that its clock is another.
    pub remark: Option<String>,
}

/// Whether a viewer is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It is.
    #[default]
    Attached,
    /// It is not, and it is tried again.
    Waiting {
        /// In so many seconds.
        seconds: u64,
        /// Why it is not.
        why: String,
    },
    /// It is being tried again.
    Connecting {
        /// Why it is not attached.
        why: String,
    },
    /// It is not, and will not be.
    Ended {
        /// Why.
        why: String,
    },
}

/// Where how it stands is written, and read by the screen.
#[derive(Debug, Default)]
pub struct Board {
    link: Mutex<Link>,
    changed: Notify,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Link> {
        // What is changed under this lock is changed as a whole, so a poisoned lock is still right.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub fn link(&self) -> Link {
        self.lock().clone()
    }

    /// Changes it.
    pub fn change(&self, change: impl FnOnce(&mut Link)) {
        let mut link = self.lock();
        let before = link.clone();
        change(&mut link);
        let is_changed = *link != before;
        drop(link);
        if is_changed {
            self.changed.notify_one();
        }
    }

    /// Waits until it may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
