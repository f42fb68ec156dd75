//! `attach`: a collector on screen, as if its events came here.

use super::recording::Desk;
use super::{BAD_INPUT, COULD_NOT_BIND, feed, live, now_ms, say, screen};
use crate::app::Health;
use crate::attach::{Board, ConnectError, Connector, Follower, LinkState, Target, Vouching, Wanted, relay};
use crate::cli;
use crate::endpoint::{self, Caps};
use crate::session::{Session, SessionOptions};
use std::process::ExitCode;
use std::sync::Arc;

/// Attaches until the user quits.
pub(super) fn run(options: cli::Attach) -> ExitCode {
    let usual = || Target::Socket(crate::feed::default_path(|name| std::env::var_os(name)));
    let target = options.target.unwrap_or_else(usual);
    if options.stdio {
        return relay(&target);
    }
    if let Err(code) = screen::require() {
        return code;
    }
    let given = match super::given(&options.judging) {
        Ok(given) => given,
        Err(code) => return code,
    };
    if let Some(only) = &options.only
        && let Err(why) = crate::feed::only(only)
    {
        say(why);
        return BAD_INPUT.into();
    }
    let token = match &target {
        Target::Address { .. } => match feed::viewers_token(options.token_file.as_deref()) {
            Ok(token) => token,
            Err(why) => {
                say(why);
                return BAD_INPUT.into();
            }
        },
        _ => None,
    };
    let vouching = match (&options.ca, &target) {
        (None, _) => Vouching::default(),
        (Some(path), Target::Address { secure: true, .. }) => match Vouching::read(path) {
            Ok(vouching) => vouching,
            Err(why) => {
                say(why);
                return BAD_INPUT.into();
            }
        },
        (Some(_), _) => {
            say("--ca is for wss://; nothing else has a certificate");
            return BAD_INPUT.into();
        }
    };
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let (ssh, remote_program) = (options.ssh, options.remote_program);
    let connector = Connector { target: target.clone(), token, vouching, ssh, remote_program };
    let (connection, greeting) = match runtime.block_on(connector.connect(true)) {
        Ok(connected) => connected,
        Err(ConnectError::Unreachable(why) | ConnectError::Refused(why)) => {
            say(why);
            return COULD_NOT_BIND.into();
        }
    };
    let observed_from_ms = options.observed_from.or(greeting.header.observed_from_ms);
    // What is read anew later stands beside what the collector says; that is only known here.
    let given = given.0.or(greeting.header.given());
    let (sender, intake) = endpoint::intake(Caps::default());
    let mut desk = Desk::new(intake.taps(), given.clone(), options.recording.record_note);
    if let Some(path) = options.recording.record
        && let Err(code) = desk.record(path, observed_from_ms)
    {
        return code;
    }
    let session_options = SessionOptions {
        clock: options.judging.clock.into(),
        observed_from_ms,
        segment_delivery_percent: options.judging.segment_delivery,
        ..SessionOptions::from_now(now_ms())
    };
    let board = Arc::new(Board::default());
    // On this machine it costs more to compress than to send.
    let wanted = Wanted { only: options.only, compress: !matches!(target, Target::Socket(_)) };
    let follower = Follower::new(connector, sender, Arc::clone(&board), wanted, now_ms);
    runtime.spawn(follower.run((connection, greeting)));
    let asked = Arc::clone(&board);
    let health = move || {
        let link = asked.link();
        let trouble = match &link.state {
            LinkState::Attached => link.remark.clone(),
            LinkState::Waiting { why, .. } | LinkState::Connecting { why } | LinkState::Ended { why } => {
                Some(why.clone())
            }
        };
        Health { trouble, link: Some(link), ..Health::default() }
    };
    let session = Session::of(given, session_options);
    let (link, reading) = (Some(Arc::clone(&board)), target.to_string());
    let code =
        screen::show_read(session, intake, reading, options.screen, Box::new(health), link, screen::Beside::new(desk));
    if let LinkState::Ended { why } = board.link().state {
        say(format_args!("at the end it was not attached any more: {why}"));
    }
    // Not waited for: it may be in the middle of reaching a machine that does not answer.
    runtime.shutdown_background();
    code
}

/// Passes bytes on.
fn relay(target: &Target) -> ExitCode {
    let Target::Socket(path) = target else {
        say("--stdio passes on to a socket on this machine; name one, or none");
        return BAD_INPUT.into();
    };
    match relay::run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let path = path.display();
            say(format_args!("no collector serves {path} ({error}); start one with `exptap collect`"));
            COULD_NOT_BIND.into()
        }
    }
}
