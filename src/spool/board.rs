//! What is known of the spool at one moment, and what there is to say about it.

use super::{LANES, Lane};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// News that nobody has asked for yet: more than that and the oldest goes.
const NEWS: usize = 64;
/// Refusals that are told apart; a wrong key is one, however often it is refused.
const REFUSALS: usize = 64;

/// The spool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Where it is.
    pub folder: PathBuf,
    /// Requests that were answered and are still to be delivered.
    pub waiting_requests: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them came, epoch milliseconds.
    pub oldest_ms: Option<i64>,
    /// Bytes of the spool on the disk: of what waits, and of what was delivered and is not deleted yet.
    pub disk_bytes: u64,
    /// The most it may have.
    pub limit_bytes: u64,
    /// Requests delivered since the start.
    pub delivered: u64,
    /// Requests the upstream refused for good since the start, or failed over while it took others. They are put aside.
    pub refused: u64,
    /// Those of them that were not put aside, or are there no more, because there was no room.
    pub refused_not_kept: u64,
    /// Attempts that failed and are made again.
    pub retries: u64,
    /// Places in its files that could not be read since the start.
    pub damaged: u64,
    /// Requests it had no room for, or whose disk failed: they were passed on directly, or answered 503.
    pub turned_away: u64,
    /// Why nothing is delivered at the moment.
    pub trouble: Option<Trouble>,
    /// Why nothing can be written at the moment.
    pub disk_trouble: Option<String>,
    /// Whose requests were refused, the latest last.
    pub refusals: Vec<Refusal>,
}

/// Why nothing is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when, epoch milliseconds.
    pub since_ms: i64,
    /// Why: one sentence's end.
    pub why: String,
}

/// Whose requests were refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The upstream's status; `None`: it answered nothing, while others got through.
    pub status: Option<u16>,
    /// Who: the SDK, its masked credential, its instance.
    pub who: String,
    /// How often.
    pub requests: u64,
    /// When for the first time, epoch milliseconds.
    pub first_ms: i64,
}

/// Something to say, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether something is wrong.
    pub is_bad: bool,
    /// One sentence, or two.
    pub text: String,
}

/// Shared by all that write and read.
#[derive(Default)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Default)]
struct Inner {
    figures: Figures,
    oldest: [Option<i64>; LANES],
    trouble: [Option<Trouble>; LANES],
    news: VecDeque<News>,
    /// Whose refused requests were not put aside, as was said.
    lost: VecDeque<(Option<u16>, String)>,
}

impl Inner {
    fn say(&mut self, is_bad: bool, text: String) {
        if self.news.len() == NEWS {
            self.news.pop_front();
        }
        self.news.push_back(News { is_bad, text });
    }
}

impl Board {
    pub(super) fn new(folder: &Path, limit_bytes: u64) -> Self {
        let figures = Figures { folder: folder.to_owned(), limit_bytes, ..Figures::default() };
        Self { inner: Mutex::new(Inner { figures, ..Inner::default() }), arrived: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave the figures half changed, so a poisoned lock is still right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn figures(&self) -> Figures {
        let inner = self.inner();
        let mut figures = inner.figures.clone();
        figures.oldest_ms = inner.oldest.iter().flatten().min().copied();
        figures.trouble = inner.trouble.iter().flatten().min_by_key(|trouble| trouble.since_ms).cloned();
        figures
    }

    pub(super) async fn news(&self) -> News {
        loop {
            let arrived = self.arrived.notified();
            if let Some(news) = self.inner().news.pop_front() {
                return news;
            }
            arrived.await;
        }
    }

    pub(super) fn say(&self, is_bad: bool, text: String) {
        self.inner().say(is_bad, text);
        self.arrived.notify_one();
    }

    /// Takes room; false: there is none.
    pub(super) fn take_room(&self, bytes: u64) -> bool {
        let mut inner = self.inner();
        let after = inner.figures.disk_bytes.saturating_add(bytes);
        let fits = after <= inner.figures.limit_bytes;
        if fits {
            inner.figures.disk_bytes = after;
        }
        fits
    }

    /// Takes room for what is there already.
    pub(super) fn has_taken(&self, bytes: u64) {
        self.inner().figures.disk_bytes += bytes;
    }

    pub(super) fn give_room(&self, bytes: u64) {
        let mut inner = self.inner();
        inner.figures.disk_bytes = inner.figures.disk_bytes.saturating_sub(bytes);
    }

    pub(super) fn turned_away(&self) {
        self.inner().figures.turned_away += 1;
    }

    pub(super) fn written(&self, lane: Lane, requests: u64, bytes: u64, first_ms: i64) {
        let mut inner = self.inner();
        inner.figures.waiting_requests += requests;
        inner.figures.waiting_bytes += bytes;
        if let Some(oldest) = inner.oldest.get_mut(lane as usize) {
            oldest.get_or_insert(first_ms);
        }
        if inner.figures.disk_trouble.take().is_some() {
            let text = format!("spool {}: it can be written again", inner.figures.folder.display());
            inner.say(false, text);
            drop(inner);
            self.arrived.notify_one();
        }
    }

    pub(super) fn cannot_write(&self, why: &str) {
        let mut inner = self.inner();
        if inner.figures.disk_trouble.replace(why.to_owned()).is_none() {
            let folder = inner.figures.folder.display();
            let text = format!(
                "spool {folder}: cannot be written: {why}. Until it can, requests are passed on directly, or answered 503 \
                 where the upstream cannot be reached"
            );
            inner.say(true, text);
            drop(inner);
            self.arrived.notify_one();
        }
    }

    /// Requests are off the queue, whatever became of them; the oldest that is left came then, as far as that is known.
    pub(super) fn gone(&self, lane: Lane, requests: u64, bytes: u64, oldest_ms: Option<i64>, is_empty: bool) {
        let mut inner = self.inner();
        inner.figures.waiting_requests = inner.figures.waiting_requests.saturating_sub(requests);
        inner.figures.waiting_bytes = inner.figures.waiting_bytes.saturating_sub(bytes);
        if let Some(oldest) = inner.oldest.get_mut(lane as usize) {
            *oldest = if is_empty { None } else { oldest_ms.or(*oldest) };
        }
    }

    pub(super) fn delivered(&self) {
        self.inner().figures.delivered += 1;
    }

    pub(super) fn retried(&self) {
        self.inner().figures.retries += 1;
    }

    /// A request was refused. `lost`: why it is not put aside.
    pub(super) fn refused(&self, status: Option<u16>, who: &str, lost: Option<&str>, now_ms: i64) {
        let mut inner = self.inner();
        inner.figures.refused += 1;
        let refusals = &mut inner.figures.refusals;
        let known = refusals.iter_mut().find(|known| known.status == status && known.who == who);
        let is_known = known.is_some();
        match known {
            Some(known) => known.requests += 1,
            None => {
                if refusals.len() == REFUSALS {
                    refusals.remove(0);
                }
                refusals.push(Refusal { status, who: who.to_owned(), requests: 1, first_ms: now_ms });
            }
        }
        let is_said = match lost {
            None => is_known,
            Some(_) if inner.lost.iter().any(|(lost, whose)| *lost == status && whose == who) => true,
            Some(_) => {
                if inner.lost.len() == REFUSALS {
                    inner.lost.pop_front();
                }
                inner.lost.push_back((status, who.to_owned()));
                false
            }
        };
        if is_said {
            return;
        }
        let did = match status {
            Some(status @ (408 | 429 | 500..)) => format!("answered {status} again and again, while it took others,"),
            Some(status) => format!("answered {status}"),
            None => "gave no answer again and again, while it took others,".to_owned(),
        };
        let kept = match lost {
            Some(why) => format!("{why}: not kept, and it is lost"),
            None => format!(
                "it is put aside in {}, and so is each further one that is refused",
                inner.figures.folder.display()
            ),
        };
        inner.say(true, format!("the upstream {did} to a request of {who}: {kept}"));
        drop(inner);
        self.arrived.notify_one();
    }

    pub(super) fn refused_not_kept(&self, requests: u64) {
        self.inner().figures.refused_not_kept += requests;
    }

    pub(super) fn damaged(&self, text: String) {
        self.inner().figures.damaged += 1;
        self.say(true, text);
    }

    /// Nothing is delivered.
    pub(super) fn failing(&self, lane: Lane, now_ms: i64, why: &str) {
        let mut inner = self.inner();
        let Some(trouble) = inner.trouble.get_mut(lane as usize) else { return };
        let is_new = trouble.is_none();
        trouble.get_or_insert_with(|| Trouble { since_ms: now_ms, why: String::new() }).why = why.to_owned();
        if is_new {
            let waiting = inner.figures.waiting_requests;
            inner.say(true, format!("{} in the spool: {why}", wait(waiting)));
            drop(inner);
            self.arrived.notify_one();
        }
    }

    /// It is delivered again.
    pub(super) fn recovered(&self, lane: Lane) {
        let mut inner = self.inner();
        if inner.trouble.get_mut(lane as usize).and_then(Option::take).is_some() {
            let waiting = inner.figures.waiting_requests;
            inner.say(false, format!("the upstream takes requests again; {} in the spool", wait(waiting)));
            drop(inner);
            self.arrived.notify_one();
        }
    }

    /// What could not be delivered waits no more.
    pub(super) fn nothing_waits(&self, lane: Lane) {
        if let Some(trouble) = self.inner().trouble.get_mut(lane as usize) {
            *trouble = None;
        }
    }

    pub(super) fn is_failing(&self, lane: Lane) -> bool {
        self.inner().trouble.get(lane as usize).is_some_and(Option::is_some)
    }
}

/// So many requests wait, in words.
pub(super) fn wait(requests: u64) -> String {
    if requests == 1 { "1 request waits".to_owned() } else { format!("{requests} requests wait") }
}
