//! The edge: commands, files, sockets and the terminal meet the core here.

mod about;
mod answer;
mod attach;
mod bucket;
mod catalog;
mod check;
mod collect;
mod diff;
mod explain;
mod feed;
mod healthcheck;
mod live;
mod map;
mod pace;
mod probe;
mod receive;
pub mod recording;
mod redact;
mod replay;
mod screen;
mod secret;
mod service;
mod survey;
mod tail;
mod tls;
mod trial;
pub mod tui;
mod watch;
mod what_if;

use crate::app::Forwarding;
use crate::attribution::state::Options;
use crate::bucketing::fill::fill;
use crate::bucketing::payload::Payload;
use crate::catalog::Given;
use crate::cli::{self, Cli, Command};
use crate::demo::Shop;
use crate::endpoint::ListenOn;
use crate::guide;
use crate::headless::{self, Failure, Read, Request, Unreadable};
use crate::input::Source;
use crate::session::{Session, SessionOptions};
use crate::untrusted::Untrusted;
use clap::Parser;
use live::Live;
use recording::Desk;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use watch::Watch;

/// Exit code where an expectation does not hold.
pub const CHECK_FAILED: u8 = 1;
/// Exit code for bad use or input.
pub const BAD_INPUT: u8 = 2;
/// Exit code where an address cannot be reached or taken.
pub const COULD_NOT_BIND: u8 = 3;

/// Now, epoch ms.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Says something to the person, on standard error. It may quote what was received, the name of a file or its
/// content, so nothing in it is left for a terminal to obey. A closed standard error is no reason to stop.
pub fn say(text: impl std::fmt::Display) {
    // All of it at once: a command that is run may write to the same place, and lines are not to be mixed.
    let lines: String = text.to_string().lines().map(|line| format!("{}\n", Untrusted::from(line).display())).collect();
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Listen(cli.listen)) {
        Command::Report(options) => answer::report(options),
        Command::Verdicts(options) => answer::verdicts(options),
        Command::Explain(options) => explain::run(options),
        Command::Check(options) => check::run(options),
        Command::Listen(options) => listen(options),
        Command::Demo(options) => demo(options),
        Command::Collect(options) => collect::run(options),
        Command::Attach(options) => attach::run(options),
        Command::Replay(options) => replay::run(options),
        Command::Tail(options) => tail::run(options),
        Command::Diff(options) => diff::run(options),
        Command::Redact(options) => redact::run(&options),
        Command::Bucket(options) => bucket::run(&options),
        Command::Probe(options) => probe::run(options),
        Command::Map(options) => map::run(&options),
        Command::Catalog(options) => catalog::run(options.command),
        Command::WhatIf(options) => what_if::run(&options),
        Command::Sources => sources(),
        Command::Healthcheck(options) => healthcheck::run(&options),
        Command::Completions(options) => about::completions(&options),
        Command::Man(options) => about::man(&options),
        Command::Themes(options) => about::themes(&options),
        Command::Keys => about::keys(),
    }
}

/// What the user names to judge by.
fn named(judging: &cli::Judging) -> Result<Given, ExitCode> {
    let catalog = judging.catalog.as_deref().map(headless::read_catalog).transpose();
    let destination = judging.mapping.as_deref().map(map::read_mapping).transpose();
    match (catalog, destination) {
        (Ok(catalog), Ok(destination)) => Ok(Given { catalog, destination: destination.map(Arc::new), flags: None }),
        (catalog, destination) => {
            catalog.err().into_iter().chain(destination.err()).for_each(say);
            Err(ExitCode::from(BAD_INPUT))
        }
    }
}

fn read_flags(judging: &cli::Judging) -> Result<Option<Payload>, ExitCode> {
    judging.flags.as_deref().map(bucket::read_flags).transpose()
}

/// What a command that shows what comes in is to judge by: the catalog has the rollouts of the flags named beside it.
/// With it come the files that it was read from, to be watched.
fn given(judging: &cli::Judging) -> Result<(Given, Watch), ExitCode> {
    // What is written while they are read is seen to be another file later.
    let mut watch = Watch::new(judging);
    let mut given = named(judging)?;
    if let Some(flags) = read_flags(judging)? {
        let Some(catalog) = &mut given.catalog else {
            say("--flags gives rollouts to the experiments of a catalog; name the catalog with --catalog");
            return Err(ExitCode::from(BAD_INPUT));
        };
        fill(catalog, &flags).iter().for_each(say);
        watch.fill_with(flags);
    }
    watch.begin_with(given.clone());
    Ok((given, watch))
}

fn listen(options: cli::Listen) -> ExitCode {
    let (given, watch) = match given(&options.judging) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let started_ms = now_ms();
    if !options.no_tui
        && let Err(code) = screen::require()
    {
        return code;
    }
    let encryption = match tls::prepare(&options.tls, &options.receiving, &options.feed) {
        Ok(encryption) => encryption,
        Err(code) => return code,
    };
    let wish = match live::Wish::new(&options.receiving, Vec::new(), encryption.events.clone()) {
        Ok(wish) => wish,
        Err(code) => return code,
    };
    let forward = Forwarding {
        launchdarkly: wish.forward.as_ref().map(ToString::to_string),
        segment: wish.forward_segment.as_ref().map(ToString::to_string),
    };
    let doors = match feed::doors_of_listen(&options.feed, options.share, options.receiving.public, encryption.feed) {
        Ok(doors) => doors,
        Err(code) => return code,
    };
    let live = match Live::start(wish) {
        Ok(live) => live,
        Err(code) => return code,
    };
    let clock = options.judging.clock.into();
    let segment_delivery_percent = options.judging.segment_delivery;
    let observed_from_ms = options.receiving.observed_from.unwrap_or(started_ms);
    let mut desk = Desk::new(live.intake.taps(), given.clone(), options.recording.record_note);
    if live.flags.is_some() {
        desk.expect_flags();
    }
    if let Some(path) = options.recording.record
        && let Err(code) = desk.record(path, Some(observed_from_ms))
    {
        return code;
    }
    // Before anybody takes from the intake: what comes later, viewers get too, and what came before as well.
    let header = desk.header(Some(observed_from_ms));
    let _feed = match feed::open(doors, &options.feed, &live, header, feed::Recorded::default()) {
        Ok(feed) => feed,
        Err(code) => return code,
    };
    if options.no_tui {
        let judging =
            Options { clock, observed_from_ms: Some(observed_from_ms), segment_delivery_percent, ..Options::default() };
        return receive::run(live, receive::Wish { given, judging, verdicts: options.verdicts }, desk);
    }
    let session_options =
        SessionOptions { clock, segment_delivery_percent, ..SessionOptions::from_now(observed_from_ms) };
    let session = Session::of(given, session_options);
    screen::show(session, live, forward, options.screen, screen::Beside { watch, ..screen::Beside::new(desk) })
}

fn demo(options: cli::Demo) -> ExitCode {
    if let Err(code) = screen::require() {
        return code;
    }
    let wish = live::Wish { listen: options.listen.unwrap_or(ListenOn::Loopback(0)), ..live::Wish::default() };
    let live = match Live::start(wish) {
        Ok(live) => live,
        Err(code) => return code,
    };
    let shop = Shop::new(options.seed, now_ms());
    let given = Given { catalog: Some(shop.catalog()), ..Given::default() };
    let mut desk = Desk::new(live.intake.taps(), given, options.recording.record_note);
    if let Some(path) = options.recording.record
        && let Err(code) = desk.record(path, Some(shop.opened_at_ms()))
    {
        return code;
    }
    // Nothing happened in the shop before it opened, so what is seen is all there is.
    let session = Session::new(Some(shop.catalog()), SessionOptions::from_now(shop.opened_at_ms()));
    let beside = screen::Beside { shop: Some(shop), ..screen::Beside::new(desk) };
    screen::show(session, live, Forwarding::default(), options.screen, beside)
}

fn sources() -> ExitCode {
    match io::stdout().lock().write_all(guide::usual().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
    }
}

/// Runs a command that judges files, and says what could not be read.
fn judged(
    judging: &cli::Judging,
    sources: Vec<String>,
    observed_from_ms: Option<i64>,
    run: impl FnOnce(&Request) -> Result<Read, Failure>,
) -> ExitCode {
    let (given, flags) = match named(judging).and_then(|given| Ok((given, read_flags(judging)?))) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let sources: Vec<Source> = sources.iter().map(|source| Source::parse(source)).collect();
    if sources.contains(&Source::Stdin) && io::stdin().is_terminal() {
        say("reading events from the terminal; end with Ctrl-D");
    }
    let Given { catalog, destination: mapping, .. } = given;
    let request = Request {
        sources,
        catalog,
        mapping,
        flags,
        clock: judging.clock.into(),
        observed_from_ms,
        segment_delivery_percent: judging.segment_delivery,
    };
    match run(&request) {
        Ok(read) => {
            tell(&read);
            // The process ends here; giving millions of small pieces back one by one would only make the user wait.
            std::mem::forget(read);
            ExitCode::SUCCESS
        }
        Err(failure) => failed(failure),
    }
}

/// Says what a person should know of what was read.
fn tell(read: &Read) {
    read.notes.iter().for_each(say);
    if let Some(Unreadable { count, first }) = &read.unreadable {
        say(format_args!("{count} of the events could not be read; the first: {first}"));
    } else if read.state.totals().events == 0 {
        say("no events: the sources are empty");
    }
}

/// Says why a command cannot do its work.
fn failed(failure: Failure) -> ExitCode {
    match failure {
        // A reader that has seen enough closes the pipe; that is not a fault.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        failure => {
            say(failure);
            BAD_INPUT.into()
        }
    }
}
