//! `exptap probe`: keys that never existed before, followed until each is exposed and counted.

use super::answer::columns;
use super::live::{self, Live};
use super::recording::Desk;
use super::{BAD_INPUT, CHECK_FAILED, now_ms, say};
use crate::catalog::Given;
use crate::cli::{self, StoryFormat};
use crate::endpoint::Received;
use crate::probe::{
    CommandFailed, Ended, Mint, Outcome, Probe, Snippet, Standing, Wish, guide, mint, outcome, standing, variables,
};
use crate::session::{GRACE_MS, Session, SessionOptions};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long events are waited for when the commands have ended: an SDK sends what it could not send once more, after a
/// second, and nobody is left to send anything later.
const AFTER_COMMANDS: Duration = Duration::from_secs(5);

/// Follows probes.
pub(super) fn run(options: cli::Probe) -> ExitCode {
    let given = match super::given(&options.judging) {
        Ok((given, _)) => given,
        Err(code) => return code,
    };
    let Some(catalog) = &given.catalog else {
        say("what is to be probed? Name a catalog with --catalog; exptap catalog pull fetches one from LaunchDarkly");
        return BAD_INPUT.into();
    };
    let wish = Wish {
        experiments: options.experiment.clone(),
        metrics: options.metric.clone(),
        keys: options.keys.into(),
        attributes: options.attribute.clone(),
    };
    let started_ms = now_ms();
    let mut chance = [0; 4];
    if let Err(error) = getrandom::fill(&mut chance) {
        say(format_args!("no keys can be made that are sure to be new: {error}"));
        return BAD_INPUT.into();
    }
    let random: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    let Mint { probes, notes } = match mint(catalog, &wish, &random, started_ms) {
        Ok(mint) => mint,
        Err(why) => {
            say(why);
            return BAD_INPUT.into();
        }
    };
    notes.iter().for_each(say);
    let live = match live::Wish::new(&options.receiving, Vec::new(), None).and_then(Live::start) {
        Ok(live) => live,
        Err(code) => return code,
    };
    let observed_from_ms = options.receiving.observed_from;
    let mut desk = Desk::new(live.intake.taps(), given.clone(), options.recording.record_note);
    if live.flags.is_some() {
        desk.expect_flags();
    }
    if let Some(path) = options.recording.record
        && let Err(code) = desk.record(path, observed_from_ms)
    {
        return code;
    }
    // Of a key that did not exist before, nothing can have happened before.
    let session_options = SessionOptions {
        clock: options.judging.clock.into(),
        observed_from_ms,
        segment_delivery_percent: options.judging.segment_delivery,
        ..SessionOptions::from_now(started_ms)
    };
    let session = Session::of(given.clone(), session_options);
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let following = Following {
        standings: vec![Standing::default(); probes.len()],
        told: vec![Vec::new(); probes.len()],
        probes,
        live,
        desk,
        session,
        given,
        failed: Vec::new(),
        pause: Duration::ZERO,
    };
    let outcome = runtime.block_on(following.run(options.run, options.snippet.into(), options.timeout));
    match outcome {
        Ok((outcome, is_recorded)) => end(&outcome, is_recorded, options.format),
        Err(error) => {
            say(format_args!("cannot listen for signals: {error}"));
            BAD_INPUT.into()
        }
    }
}

fn end(outcome: &Outcome, is_recorded: bool, format: StoryFormat) -> ExitCode {
    let text = match format {
        StoryFormat::Json => serde_json::to_string(outcome).map_err(io::Error::from).map(|json| json + "\n"),
        StoryFormat::Text => Ok(outcome.text(columns())),
    };
    match text.and_then(|text| io::stdout().lock().write_all(text.as_bytes())) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
        _ if !is_recorded => BAD_INPUT.into(),
        _ if outcome.complete => ExitCode::SUCCESS,
        _ => CHECK_FAILED.into(),
    }
}

struct Following {
    probes: Vec<Probe>,
    standings: Vec<Standing>,
    /// The steps of each that were told.
    told: Vec<Vec<String>>,
    live: Live,
    desk: Desk,
    session: Session,
    given: Given,
    failed: Vec<CommandFailed>,
    /// How long after a request it is looked what came of it.
    pause: Duration,
}

impl Following {
    /// Follows them to the end. Also whether all of it was recorded, if anything was to be.
    async fn run(
        mut self,
        command: Option<String>,
        snippet: Snippet,
        timeout: Duration,
    ) -> io::Result<(Outcome, bool)> {
        let [mut terminate, mut interrupt, mut hangup] =
            [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
        let address = self.live.addresses.first().map_or_else(String::new, |address| format!("http://{address}"));
        // Whoever starts this waits for this line; a signal that comes right after it must find us ready.
        say(format_args!("listening on {address}"));
        if command.is_none() {
            say("");
            say(guide(&self.probes, &address, snippet));
        }
        let mut commands = command.map(|command| Commands::start(command, &self.probes, &address));
        let deadline = Instant::now() + timeout;
        let mut after_commands = None;
        let mut look_at: Option<Instant> = None;
        let ended = loop {
            if commands.is_none() && self.standings.iter().all(Standing::is_complete) {
                break Ended::Complete;
            }
            let until = after_commands.map_or(deadline, |after| deadline.min(after));
            // Whoever wants it to end comes before all traffic, however much of that there is.
            tokio::select! {
                biased;
                _ = terminate.recv() => break Ended::Interrupted,
                _ = interrupt.recv() => break Ended::Interrupted,
                _ = hangup.recv() => break Ended::Interrupted,
                () = sleep_until(until) => {
                    break if until < deadline { Ended::CommandsEnded } else { Ended::TimedOut };
                }
                ran = next_command(&mut commands) => match ran {
                    Some((index, ended)) => self.note_command(index, ended),
                    None => {
                        commands = None;
                        after_commands = Some(Instant::now() + AFTER_COMMANDS);
                    }
                },
                () = sleep_until(look_at.unwrap_or(until)), if look_at.is_some() => {
                    look_at = None;
                    self.look();
                }
                () = self.desk.changed() => self.desk.tell(),
                () = live::flags_changed(self.live.flags.as_deref()) => self.take_flags(),
                received = self.live.intake.next() => {
                    let Some(received) = received else { break Ended::Interrupted };
                    self.take(received);
                    // Looking goes through everything that is held, so under load it waits for more to look at.
                    look_at.get_or_insert_with(|| Instant::now() + self.pause);
                }
            }
        };
        drop(commands);
        self.live.stop();
        while let Some(received) = self.live.intake.next().await {
            self.take(received);
        }
        self.live.join();
        self.take_flags();
        // What waits for an exposure waits no longer.
        self.session.advance(now_ms().saturating_add(GRACE_MS).saturating_add(1));
        self.look();
        let ended = if self.standings.iter().all(Standing::is_complete) { Ended::Complete } else { ended };
        let report = self.session.report();
        let (recorded, is_recorded) = self.desk.finish();
        recorded.iter().for_each(say);
        Ok((outcome(&self.probes, &self.standings, &report, ended, self.failed), is_recorded))
    }

    fn take(&mut self, received: Received) {
        match received {
            Received::Envelope(envelope) => self.session.receive_owned(envelope),
            Received::Lost(loss) => self.session.lose(loss.requests),
            Received::Missed(missed) => self.session.lose(missed.requests.unwrap_or(0)),
        }
    }

    fn take_flags(&mut self) {
        let Some(known) = self.live.flags.as_ref().map(|flags| flags.known()) else { return };
        let seen = Arc::new(known.seen);
        if seen.is_empty() || self.given.flags.as_ref() == Some(&seen) {
            return;
        }
        self.desk.take_flags(&seen, known.latest_ms.unwrap_or_default());
        self.given.flags = Some(seen);
        self.given.remarks_on_flags().iter().for_each(say);
        self.session.take_given(self.given.clone());
        self.look();
    }

    /// Looks what has come of each, and tells what is new.
    fn look(&mut self) {
        let began = Instant::now();
        self.session.advance(now_ms());
        for ((probe, standing_now), told) in self.probes.iter().zip(&mut self.standings).zip(&mut self.told) {
            *standing_now = standing(&self.session, probe);
            for step in standing_now.steps(probe) {
                if !told.contains(&step) {
                    say(format_args!("{}: {step}", probe.unit()));
                    told.push(step);
                }
            }
        }
        // A quarter of the time at the most.
        self.pause = began.elapsed() * 3;
    }

    fn note_command(&mut self, index: usize, ended: Result<std::process::ExitStatus, io::Error>) {
        let how = match ended {
            Ok(status) if status.success() => return,
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("could not be run: {error}"),
        };
        let unit = self.probes.get(index).map(Probe::unit).unwrap_or_default();
        say(format_args!("the command for {unit} {how}"));
        self.failed.push(CommandFailed { unit, how });
    }
}

type Ran = (usize, Result<std::process::ExitStatus, io::Error>);

/// Commands that are run one after another. What still runs is told to end when this is dropped.
struct Commands {
    ran: mpsc::UnboundedReceiver<Ran>,
    task: tokio::task::JoinHandle<()>,
}

impl Commands {
    fn start(command: String, probes: &[Probe], address: &str) -> Self {
        let (tell, ran) = mpsc::unbounded_channel();
        let all: Vec<_> = probes.iter().map(|probe| variables(probe, address)).collect();
        let task = tokio::spawn(async move {
            for (index, variables) in all.into_iter().enumerate() {
                let ended = match spawn(&command, variables) {
                    Ok(mut running) => running.0.wait().await,
                    Err(error) => Err(error),
                };
                if tell.send((index, ended)).is_err() {
                    return;
                }
            }
        });
        Self { ran, task }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A command in a group of its own, so that what it started ends with it, also where it has ended before.
struct Running(Child, Option<Pid>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(id) = self.1 {
            // It may have ended this moment.
            let _ = kill_process_group(id, Signal::TERM);
        }
    }
}

fn spawn(command: &str, variables: Vec<(&'static str, String)>) -> io::Result<Running> {
    // Standard output is for what came of it all.
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let child = Command::new("sh")
        .args(["-c", command])
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(output)
        .process_group(0)
        .spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    Ok(Running(child, group))
}

/// The next command that ended; none: all have. Without any it waits for ever.
async fn next_command(commands: &mut Option<Commands>) -> Option<Ran> {
    match commands {
        Some(commands) => commands.ran.recv().await,
        None => std::future::pending().await,
    }
}
