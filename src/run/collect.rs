//! `collect`: receive for as long as the machine runs, record, and let others look on. Nothing is judged here.

use super::feed::{self, Doors, Recorded, Served};
use super::live::{self, Live};
use super::recording::Desk;
use super::service::{self, Level, Notifier, log};
use super::{BAD_INPUT, COULD_NOT_BIND, now_ms, say};
use crate::cli;
use crate::endpoint::Received;
use crate::feed::Counters;
use crate::recorder::Rotate;
use crate::silenced::Silence;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// How long after a fault of the file recording is tried again. Nobody is there to press a key.
const RETRY: Duration = Duration::from_secs(5);
/// The exit code after a second signal, as a shell has it for an interrupt.
const INTERRUPTED: u8 = 130;

/// Collects until a signal.
pub(super) fn run(options: cli::Collect) -> ExitCode {
    if options.print_unit {
        return print_units(&options);
    }
    // First of all: the variables that tell of sockets are taken away, and there must be no threads yet.
    let inherited = match service::inherited() {
        Ok(inherited) => inherited,
        Err(why) => {
            say(why);
            return COULD_NOT_BIND.into();
        }
    };
    if !inherited.is_empty() && options.receiving.listen.is_some() {
        say("systemd gives the sockets to listen on: leave --listen out, and change ListenStream= of the socket unit");
        return BAD_INPUT.into();
    }
    let judging = cli::Judging {
        catalog: options.catalog.clone(),
        mapping: options.mapping.clone(),
        flags: None,
        clock: cli::ClockName::Creation,
        segment_delivery: crate::attribution::state::SEGMENT_DELIVERY_PERCENT,
    };
    let given = match super::given(&judging) {
        Ok(given) => given,
        Err(code) => return code,
    };
    let observed_from_ms = options.receiving.observed_from.unwrap_or_else(now_ms);
    let encryption = match super::tls::prepare(&options.tls, &options.receiving, &options.feed) {
        Ok(encryption) => encryption,
        Err(code) => return code,
    };
    // The doors first: whoever starts a second collector by mistake is to learn it before SDKs do.
    let doors = match feed::doors(&options.feed, options.receiving.public, encryption.feed) {
        Ok(doors) => doors,
        Err(code) => return code,
    };
    let wish = match live::Wish::new(&options.receiving, inherited, encryption.events) {
        Ok(wish) => wish,
        Err(code) => return code,
    };
    let live = match Live::start(wish) {
        Ok(live) => live,
        Err(code) => return code,
    };
    let mut desk = Desk::new(live.intake.taps(), given.0, options.recording.record_note);
    if live.flags.is_some() {
        desk.expect_flags();
    }
    desk.rotate(Rotate { bytes: options.rotate, age: options.rotate_every });
    if let Some(path) = options.recording.record
        && let Err(code) = desk.record(path, Some(observed_from_ms))
    {
        return code;
    }
    let recorded = Recorded::default();
    recorded.set(desk.snapshot());
    let told = told(&doors, live.trust.is_some());
    let served = match feed::open(doors, &options.feed, &live, desk.header(Some(observed_from_ms)), recorded.clone()) {
        Ok(Some(served)) => served,
        // There is a socket in any case.
        Ok(None) => return COULD_NOT_BIND.into(),
        Err(code) => return code,
    };
    let silence = Silence::default();
    let collecting = Collecting { live, served, desk, recorded, silence, requests: 0, lost: 0, hints: 0 };
    match live::runtime() {
        Ok(runtime) => runtime.block_on(collecting.run(told)),
        Err(code) => code,
    }
}

/// Where viewers can look on.
fn told(doors: &Doors, is_trust_told: bool) -> Vec<String> {
    let socket = doors.socket.iter().map(|path| format!("viewers at {}", path.display()));
    let scheme = if doors.trust.is_some() { "wss" } else { "ws" };
    let address = doors.address.iter().map(|address| format!("viewers at {scheme}://{address}, with the token"));
    let trust = doors.trust.iter().filter(|_| !is_trust_told).flat_map(|trust| super::tls::told(trust, None));
    socket.chain(address).chain(trust).collect()
}

fn print_units(options: &cli::Collect) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            say(format_args!("what this program is called is not known: {error}"));
            return BAD_INPUT.into();
        }
    };
    match io::stdout().lock().write_all(service::units(&program, options).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
    }
}

struct Collecting {
    live: Live,
    served: Served,
    desk: Desk,
    recorded: Recorded,
    silence: Silence,
    requests: u64,
    lost: u64,
    /// How many hints were said already.
    hints: u64,
}

impl Collecting {
    async fn run(mut self, told: Vec<String>) -> ExitCode {
        let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else {
            say("cannot listen for signals");
            return BAD_INPUT.into();
        };
        let notifier = Notifier::new();
        let status = Arc::clone(&self.live.status);
        let mut alive = tokio::time::interval(notifier.interval());
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whoever starts this waits for these lines; a signal that comes right after them must find us ready.
        self.live.told().iter().chain(&told).for_each(|line| log(Level::Notice, line));
        notifier.ready(&self.status());
        let mut is_stopping = false;
        loop {
            let is_told = tokio::select! {
                biased;
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                _ = hangup.recv(), if !is_stopping => true,
                () = self.desk.changed() => {
                    self.recorded.set(self.desk.snapshot());
                    self.desk.tell();
                    false
                }
                () = live::flags_changed(self.live.flags.as_deref()) => {
                    self.take_flags();
                    false
                }
                _ = retry.tick(), if self.desk.is_stopped() => {
                    self.desk.retry();
                    false
                }
                _ = alive.tick() => {
                    self.hint();
                    notifier.alive(&self.status());
                    false
                }
                news = status.spool_news() => {
                    log(if news.is_bad { Level::Warning } else { Level::Notice }, news.text);
                    false
                }
                received = self.live.intake.next() => match received {
                    // Recorder and viewers have theirs already; that it comes as far as here says that all is well.
                    Some(Received::Envelope(envelope)) => {
                        self.requests += 1;
                        if let Some(silenced) = self.silence.note(&envelope) {
                            log(Level::Warning, silenced);
                        }
                        false
                    }
                    Some(Received::Lost(loss)) => {
                        self.lose(loss.requests);
                        false
                    }
                    Some(Received::Missed(missed)) => {
                        log(Level::Warning, format_args!("what was sent here is not known: {}", missed.why));
                        false
                    }
                    None => break,
                },
            };
            if is_told && is_stopping {
                log(Level::Warning, "told to stop a second time: what was under way is left");
                return INTERRUPTED.into();
            }
            if is_told {
                is_stopping = true;
                notifier.stopping();
                log(Level::Notice, "stopping: what is under way is finished first");
                self.live.stop();
            }
        }
        self.live.join();
        self.take_flags();
        self.end()
    }

    /// Records the flags that passed by so far.
    fn take_flags(&mut self) {
        let known = self.live.flags.as_ref().map(|flags| flags.known());
        if let Some(known) = known.filter(|known| !known.seen.is_empty()) {
            self.desk.take_flags(&known.seen, known.latest_ms.unwrap_or_default());
        }
    }

    fn lose(&mut self, requests: u64) {
        self.lost += requests;
        log(Level::Warning, format_args!("{requests} requests were answered and lost: there was no room for them"));
    }

    /// Says what came to nothing since the last time, by the latest of it: a phone tries again every few seconds.
    fn hint(&mut self) {
        let figures = self.live.status.figures();
        if let Some(hint) = figures.last_hint.filter(|_| figures.hints > self.hints) {
            log(Level::Warning, hint.text);
        }
        self.hints = figures.hints;
    }

    fn status(&self) -> String {
        let viewers = Counters::read(&self.served.hub.counters.viewers);
        let waiting = self.live.status.figures().spool.map(|spool| spool.waiting_requests);
        let waiting = waiting.map(|waiting| format!(", {waiting} wait in the spool")).unwrap_or_default();
        format!("{} requests, {} lost, {viewers} viewers{waiting}", self.requests, self.lost)
    }

    /// Nothing is received any more: what there is goes to the file and to viewers.
    fn end(mut self) -> ExitCode {
        self.hint();
        self.served.stop();
        let (recorded, is_recorded) = self.desk.finish();
        self.served.join();
        log(Level::Notice, format_args!("received {} requests, lost {}", self.requests, self.lost));
        live::stays(&self.live.status.figures()).iter().for_each(|line| log(Level::Notice, line));
        recorded.iter().for_each(|line| log(Level::Notice, line));
        if is_recorded { ExitCode::SUCCESS } else { BAD_INPUT.into() }
    }
}
