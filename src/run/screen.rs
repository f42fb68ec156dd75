//! A live session on screen.

use super::live::{self, Live};
use super::recording::Desk;
use super::tui::{self, TuiOptions};
use super::watch::Watch;
use super::{BAD_INPUT, now_ms, say};
use crate::app::{Forwarding, Health};
use crate::attach::Board;
use crate::cli;
use crate::demo::Shop;
use crate::demo::sender::Sender;
use crate::endpoint::{Figures, FlagBoard, IntakeReceiver, Status};
use crate::input::Source;
use crate::session::Session;
use crate::terminal;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Whether there is a terminal to show anything on: asked before anything is bound or sent.
///
/// # Errors
/// The exit code to end with.
pub(super) fn require() -> Result<(), ExitCode> {
    terminal::require().map_err(|error| {
        say(error);
        ExitCode::from(BAD_INPUT)
    })
}

/// As [`require`], for what is shown of a source: standard input cannot give both the events and the keys.
///
/// # Errors
/// The exit code to end with.
pub(super) fn require_for(source: &Source) -> Result<(), ExitCode> {
    require()?;
    match source {
        Source::Stdin if io::stdin().is_terminal() => {
            say("standard input is this terminal, which the keys come from; name a file, or pipe something in");
            Err(ExitCode::from(BAD_INPUT))
        }
        Source::File(path) if path.is_dir() => {
            say(format_args!("{}: this is a folder; name a file of events", path.display()));
            Err(ExitCode::from(BAD_INPUT))
        }
        _ => Ok(()),
    }
}

/// What goes on beside the screens.
pub(super) struct Beside {
    /// Where recordings are started.
    pub(super) desk: Desk,
    /// The files that everything is judged by.
    pub(super) watch: Watch,
    /// Its traffic is sent to the endpoint meanwhile.
    pub(super) shop: Option<Shop>,
}

impl Beside {
    /// Only recordings.
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, watch: Watch::default(), shop: None }
    }
}

/// Shows a session until the user quits.
pub(super) fn show(
    session: Session,
    live: Live,
    forward: Forwarding,
    options: cli::Screen,
    beside: Beside,
) -> ExitCode {
    let Beside { desk, watch, shop } = beside;
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let flags = live.flags.clone();
    let (addresses, trust, status, intake, serving) = live.into_parts();
    let counters = Arc::clone(&status);
    let (_stop, stopped) = oneshot::channel::<()>();
    if let Some((shop, address)) = shop.zip(addresses.first().copied()) {
        runtime.spawn(send(shop, address, stopped));
    }
    let options = TuiOptions {
        session,
        intake: Some(intake),
        replaying: None,
        addresses,
        trust,
        reading: None,
        forward,
        hints: Some(Arc::clone(&status)),
        health: Some(Box::new({
            let flags = flags.clone();
            move || health(&status, flags.as_deref())
        })),
        link: None,
        flags,
        theme: options.theme,
        fps: options.fps,
        filter: options.filter,
        desk,
        watch,
    };
    let code = run(&runtime, options);
    drop(serving);
    live::stays(&counters.figures()).iter().for_each(say);
    code
}

/// Shows what is read from somewhere until the user quits.
pub(super) fn show_read(
    session: Session,
    intake: IntakeReceiver,
    reading: String,
    options: cli::Screen,
    health: Box<dyn Fn() -> Health>,
    link: Option<Arc<Board>>,
    beside: Beside,
) -> ExitCode {
    let Beside { desk, watch, .. } = beside;
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let options = TuiOptions {
        session,
        intake: Some(intake),
        replaying: None,
        addresses: Vec::new(),
        trust: None,
        reading: Some(reading),
        forward: Forwarding::default(),
        health: Some(health),
        hints: None,
        link,
        flags: None,
        theme: options.theme,
        fps: options.fps,
        filter: options.filter,
        desk,
        watch,
    };
    run(&runtime, options)
}

/// Runs the screens.
pub(super) fn run(runtime: &Runtime, options: TuiOptions) -> ExitCode {
    match runtime.block_on(tui::run(options)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error:#}"));
            BAD_INPUT.into()
        }
    }
}

async fn send(shop: Shop, address: SocketAddr, stopped: oneshot::Receiver<()>) {
    // What goes wrong shows on the screen as traffic that does not come; there is no other place to say it.
    if let Ok(sender) = Sender::new(address) {
        sender.run(shop, now_ms, async { drop(stopped.await) }).await;
    }
}

fn health(status: &Arc<Status>, flags: Option<&FlagBoard>) -> Health {
    let figures = status.figures();
    let flags = flags.map(FlagBoard::figures);
    let deliveries = [&figures.upstream, &figures.segment_upstream, &figures.flags_upstream];
    let failures = deliveries.map(|delivery| delivery.last_failure.as_ref());
    let latest = failures.into_iter().flatten().max_by_key(|note| note.at_ms);
    let trouble = latest.or(figures.last_hint.as_ref()).map(|note| note.text.clone());
    let trouble = trouble.or_else(|| flags.as_ref().and_then(|flags| flags.fault.clone()));
    // Why nothing is delivered the banner says; that nothing can be kept is said here.
    let disk = figures.spool.as_ref().and_then(|spool| spool.disk_trouble.as_ref());
    let trouble = disk.map(|why| format!("the spool cannot be written: {why}")).or(trouble);
    let Figures { upstream, segment_upstream, spool, .. } = figures;
    Health { upstream, segment_upstream, spool: spool.map(Box::new), trouble, link: None, flags }
}
