//! Room for so many connections, and whose turn it is to go when there is none.
//!
//! Connections cost memory, so there is a limit to them. If one more had to wait until another ends by itself, a
//! program that opens connections and says nothing would keep every SDK out for as long as a connection may rest, a
//! minute; and so would a few hundred SDKs that keep theirs alive between two flushes. So the one that has rested the
//! longest goes, those first that never asked for anything: for an SDK that is the same as a keep-alive that has
//! expired, and it connects anew.

use super::connection::{DAWDLING, Watch};
use std::collections::HashMap;
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
}

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
        Some(Place { places: Arc::clone(self), number, watch, leave })
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

    /// To be called when the connection has come to rest: there may be one who waits for any that does.
    pub(super) fn rests(&self) {
        if self.places.lock().guests.len() >= self.places.limit {
            self.places.freed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().guests.remove(&self.number);
        self.places.freed.notify_one();
    }
}
