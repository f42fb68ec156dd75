//! `exptap demo`: a shop whose traffic goes through the real listener.
//!
//! [`Shop`] is a discrete-event simulation. Visitors come, look and buy; every step calls an SDK ([`sdk`]), which
//! queues events and flushes on its own timer, as the real ones do. Most of it is healthy. The rest are the faults
//! people really make, each from one application ([`stories`]), so that a finding has somebody to talk to.
//!
//! It is purely computed: time comes from the caller, chance from the seed. Two shops of the same seed send the same
//! requests, however often they are asked. [`sender`] posts them over HTTP; nothing else in exptap knows that they
//! are not real.

mod context;
mod events;
mod flags;
mod measured;
mod random;
mod sdk;
pub mod sender;

mod stories;
mod visits;

use crate::catalog::Catalog;
use bytes::Bytes;
use context::Context;
use flags::{Flags, Served};
use http::Method;
use random::Random;
use sdk::{Client, Tracked};
use std::collections::{BTreeMap, VecDeque};
use stories::{Service, Story};
use visits::Person;

/// How long the shop has been open when its first request goes out: the SDKs have that much to send at once, so
/// that there is something to see from the first second on.
pub const HISTORY_MS: i64 = 15_000;

/// The requests of the history go out spread over this.
const FIRST_BURST_MS: i64 = 900;
/// A caller who has been away for longer than this finds the shop where it was left, not hours of traffic at once.
const LONGEST_TICK_MS: i64 = 10_000;
/// How many people are remembered, who may come back.
const REMEMBERED_PEOPLE: usize = 300;

/// A request of the shop, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoRequest {
    /// HTTP method.
    pub method: Method,
    /// Path and query, from the leading slash.
    pub path: String,
    /// Headers as the SDK sets them, without those the HTTP client adds (host, length, transfer encoding).
    pub headers: Vec<(&'static str, String)>,
    /// Body, compressed where a `Content-Encoding` header says so.
    pub body: Bytes,
    /// Sent in chunks, without a length.
    pub chunked: bool,
}

/// The simulated shop.
#[derive(Debug)]
pub struct Shop {
    start_ms: i64,
    reached_ms: i64,
    random: Random,
    flags: Flags,
    /// What is going to happen, by time and then in the order it was decided.
    jobs: BTreeMap<(i64, u64), Job>,
    decided: u64,
    clients: BTreeMap<ClientId, Client>,
    people: VecDeque<Person>,
    people_met: u64,
    retry_next: bool,
    outbox: Vec<DemoRequest>,
}

/// Which SDK instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClientId {
    /// A service's, which runs all the time.
    Service(Service),
    /// A visitor's browser or phone.
    Visitor(u64),
}

/// What an application asks of its SDK.
#[derive(Clone, Debug)]
enum Action {
    Identify(Context),
    Evaluate { flag: &'static str, context: Context },
    Track { key: &'static str, context: Context, tracked: Tracked },
    Page { id: &'static str, context: Context, url: String, selector: Option<&'static str> },
}

#[derive(Debug)]
enum Job {
    Arrival,
    Act(ClientId, Action),
    Flush(ClientId),
    Close(ClientId),
    Post(DemoRequest),
    Story(Story),
    ChangeRollout,
}

impl Shop {
    /// A shop that sends its first requests from `start_ms` (epoch ms) on.
    pub fn new(seed: u64, start_ms: i64) -> Self {
        let mut shop = Self {
            start_ms,
            reached_ms: start_ms,
            random: Random::new(seed),
            flags: Flags::new(),
            jobs: BTreeMap::new(),
            decided: 0,
            clients: BTreeMap::new(),
            people: VecDeque::new(),
            people_met: 0,
            retry_next: false,
            outbox: Vec::new(),
        };
        let opened_at_ms = shop.opened_at_ms();
        shop.schedule(opened_at_ms, Job::Arrival);
        shop.open_services();
        for story in Story::ALL {
            shop.schedule(opened_at_ms + story.first_after_ms(), Job::Story(story));
        }
        // Early enough for visitors who were dealt out before to come back soon.
        shop.schedule(opened_at_ms + 6_000, Job::ChangeRollout);
        shop
    }

    /// When the shop opened, epoch ms. Nothing happened in it before, and everything since is sent, so this is the
    /// instant from which a session on it has observed everything.
    pub fn opened_at_ms(&self) -> i64 {
        self.start_ms - HISTORY_MS
    }

    /// What the shop's experiments measure. Those that run started when the shop opened.
    pub fn catalog(&self) -> Catalog {
        measured::catalog(self.opened_at_ms())
    }

    /// The requests due since the last call, up to and including `now_ms` (epoch ms), in the order they are sent.
    pub fn tick(&mut self, now_ms: i64) -> Vec<DemoRequest> {
        let away_ms = now_ms.saturating_sub(self.reached_ms);
        if away_ms > LONGEST_TICK_MS {
            self.postpone(away_ms - LONGEST_TICK_MS);
        }
        self.reached_ms = self.reached_ms.max(now_ms);
        while let Some(next) = self.jobs.first_entry() {
            let t_ms = next.key().0;
            if t_ms > now_ms {
                break;
            }
            let job = next.remove();
            self.run(t_ms, job);
        }
        std::mem::take(&mut self.outbox)
    }

    fn postpone(&mut self, by_ms: i64) {
        self.jobs = std::mem::take(&mut self.jobs)
            .into_iter()
            .map(|((t_ms, decided), job)| ((t_ms.saturating_add(by_ms), decided), job))
            .collect();
    }

    fn schedule(&mut self, t_ms: i64, job: Job) {
        self.decided += 1;
        self.jobs.insert((t_ms, self.decided), job);
    }

    fn act(&mut self, t_ms: i64, client: ClientId, action: Action) {
        self.schedule(t_ms, Job::Act(client, action));
    }

    /// When something is sent that became ready at `t_ms`: at once, but never before the first request.
    fn sent_at(&self, t_ms: i64) -> i64 {
        if t_ms >= self.start_ms { t_ms } else { self.start_ms + t_ms.rem_euclid(FIRST_BURST_MS) }
    }

    fn post(&mut self, t_ms: i64, request: DemoRequest) {
        self.schedule(self.sent_at(t_ms), Job::Post(request));
    }

    /// Lets an SDK instance run: its flush timer starts.
    fn open(&mut self, t_ms: i64, id: ClientId, client: Client) {
        let first_flush_ms = self.sent_at(t_ms + client.application.sdk.flush_ms());
        self.clients.insert(id, client);
        self.schedule(first_flush_ms, Job::Flush(id));
    }

    fn run(&mut self, t_ms: i64, job: Job) {
        match job {
            Job::Arrival => self.visitor_arrives(t_ms),
            Job::Act(id, action) => self.perform(t_ms, id, &action),
            Job::Flush(id) => {
                // A visitor's SDK is gone with the visitor; its timer ends here.
                let Some(flush_ms) = self.clients.get(&id).map(|client| client.application.sdk.flush_ms()) else {
                    return;
                };
                self.flush(t_ms, id);
                self.schedule(t_ms + flush_ms, Job::Flush(id));
            }
            Job::Close(id) => {
                self.flush(t_ms, id);
                self.clients.remove(&id);
            }
            Job::Post(request) => self.outbox.push(request),
            Job::Story(story) => {
                self.tell(t_ms, story);
                self.schedule(t_ms + story.every_ms(), Job::Story(story));
            }
            Job::ChangeRollout => self.flags.change_banner_rollout(),
        }
    }

    fn perform(&mut self, t_ms: i64, id: ClientId, action: &Action) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match action {
            Action::Identify(context) => client.identify(t_ms, context),
            Action::Evaluate { flag, context } => {
                let service = match id {
                    ClientId::Service(service) => Some(service),
                    ClientId::Visitor(_) => None,
                };
                let served = serve(&self.flags, service, flag, context);
                // These two log why they got what they got, so they ask for the reason.
                let detail = matches!(service, Some(Service::SmokeTests | Service::LegacyCart));
                client.evaluate(t_ms, context, &served, detail, &mut self.random);
            }
            Action::Track { key, context, tracked } => client.track(t_ms, key, context, tracked),
            Action::Page { id, context, url, selector } => client.page(t_ms, id, context, url, *selector),
        }
    }

    fn flush(&mut self, t_ms: i64, id: ClientId) {
        let Some(request) = self.clients.get_mut(&id).and_then(|client| client.flush(&mut self.random)) else {
            return;
        };
        if self.retry_next && matches!(id, ClientId::Visitor(_)) {
            // The answer got lost on the way back: the SDK sends the payload once more, under the same id.
            self.retry_next = false;
            self.post(t_ms + 1_000, request.clone());
        }
        self.post(t_ms, request);
    }
}

fn serve(flags: &Flags, service: Option<Service>, flag: &'static str, context: &Context) -> Served {
    if service == Some(Service::LegacyCart) { flags.serve_off(flag) } else { flags.serve(flag, context) }
}
