//! Room for so many connections, and whose turn it is to go when there is none.
//!
//! Connections cost memory, so there is a limit to them. If one more had to wait until another ends by itself, a
//! program that opens connections and says nothing would keep every SDK out for as long as a connection may rest, a
//! minute; and so would a few hundred SDKs that keep theirs alive between two flushes. So the one that has rested the
//! longest goes, those first that never asked for anything: for an SDK that is the same as a keep-alive that has
//! expired, and it connects anew.

use super::connection::{DAWDLING, Watch};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The places of one address.
pub(super) struct Places {
    limit: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    guests: HashMap<u64, Guest>,
    /// Connections that gave their places up and go on.
    beside: usize,
}

struct Guest {
    watch: Arc<Watch>,
    leave: Arc<Notify>,
    is_asked: bool,
}

/// The place of one connection, free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    /// What the connection says about itself.
    pub(super) watch: Arc<Watch>,
    leave: Arc<Notify>,
    is_beside: AtomicBool,
}

/// Streams of flag data that take no place from those who send events: every SDK may have one, for as long as it runs.
const BESIDE: usize = 1024;

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place for one who is at the door. Where all are taken, one is asked to leave; where all are in the middle of a
    /// request, it waits until one is not. Only one may wait at a time.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take() {
                return place;
            }
            // Time alone makes a head that is on its way one that dawdles.
            let _ = tokio::time::timeout(DAWDLING, freed).await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.lock();
        if taken.guests.len() >= self.limit {
            taken.ask_one_to_leave();
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        let (watch, leave) = (Arc::new(Watch::new()), Arc::new(Notify::new()));
        let guest = Guest { watch: Arc::clone(&watch), leave: Arc::clone(&leave), is_asked: false };
        taken.guests.insert(number, guest);
        Some(Place { places: Arc::clone(self), number, watch, leave, is_beside: AtomicBool::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn ask_one_to_leave(&mut self) {
        if self.guests.values().any(|guest| guest.is_asked) {
            return;
        }
        let turns = self.guests.values_mut().filter_map(|guest| Some((guest.watch.turn()?, guest)));
        if let Some((_, guest)) = turns.min_by_key(|(turn, _)| *turn) {
            guest.is_asked = true;
            guest.leave.notify_one();
        }
    }
}

impl Place {
    /// Waits until the place is wanted by another, and it is this connection's turn. One that has begun with a request
    /// meanwhile stays, and another is asked.
    pub(super) async fn is_wanted(&self) {
        loop {
            self.leave.notified().await;
            if self.watch.turn().is_some() {
                return;
            }
            if let Some(guest) = self.places.lock().guests.get_mut(&self.number) {
                guest.is_asked = false;
            }
            self.places.freed.notify_one();
        }
    }

    /// To be called when the connection is to last: it goes on without a place, unless too many do so already.
    pub(super) fn gives_up(&self) {
        let mut taken = self.places.lock();
        if taken.beside < BESIDE && taken.guests.remove(&self.number).is_some() {
            taken.beside += 1;
            self.is_beside.store(true, Ordering::Relaxed);
            self.places.freed.notify_one();
        }
    }

    /// To be called when the connection has come to rest: there may be one who waits for any that does.
    pub(super) fn rests(&self) {
        if self.places.lock().guests.len() >= self.places.limit {
            self.places.freed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if self.is_beside.load(Ordering::Relaxed) {
            taken.beside -= 1;
        }
        taken.guests.remove(&self.number);
        drop(taken);
        self.places.freed.notify_one();
    }
}
