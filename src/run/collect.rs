//! `listen --no-tui`: receive until interrupted, then say what it came to. For scripts and CI.

use super::live::{self, Live};
use super::{BAD_INPUT, now_ms, say};
use crate::attribution::judge::Judge;
use crate::attribution::state::{Clock, Options, State};
use crate::catalog::Catalog;
use crate::catalog::infer::Inference;
use crate::endpoint::Received;
use crate::envelope::Envelope;
use crate::event::{Item, body};
use crate::intake;
use crate::report::{build, table};
use crate::verdicts::{self, Judged};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What to do with what is received.
pub(super) struct Wish {
    /// Catalog; none: inferred at the end.
    pub(super) catalog: Option<Catalog>,
    /// The clock that judges.
    pub(super) clock: Clock,
    /// Since when everything is observed; none: since the start.
    pub(super) observed_from_ms: Option<i64>,
    /// Where to write verdicts.
    pub(super) verdicts: Option<PathBuf>,
}

/// Requests, and how many were lost between them.
type Collected = (Vec<Envelope>, u64);

/// Receives until a signal, then judges everything.
pub(super) fn run(mut live: Live, wish: Wish) -> ExitCode {
    let started_ms = now_ms();
    let verdicts =
        match wish.verdicts.as_ref().map(|path| File::create(path).map_err(|error| (path, error))).transpose() {
            Ok(file) => file,
            Err((path, error)) => {
                say(format_args!("{}: verdicts cannot be written there: {error}", path.display()));
                return BAD_INPUT.into();
            }
        };
    let (envelopes, lost) = match collect(&mut live) {
        Ok(collected) => collected,
        Err(code) => return code,
    };
    let catalog = wish.catalog.unwrap_or_else(|| infer(&envelopes));
    let options = Options {
        clock: wish.clock,
        observed_from_ms: Some(wish.observed_from_ms.unwrap_or(started_ms)),
        ..Options::default()
    };
    let mut state = State::new(Arc::new(Judge::new(&catalog)), options);
    let mut judged = Vec::new();
    let mut first_unreadable = None;
    for envelope in &envelopes {
        intake::envelope(&mut state, &catalog.environment, envelope, |state, received| {
            if let (None, intake::Received::Unreadable { unreadable, .. }) = (&first_unreadable, &received) {
                first_unreadable =
                    Some(format!("request {}, byte {}: {}", envelope.request, unreadable.offset, unreadable.reason));
            }
            if verdicts.is_some() {
                judged.push(Judged::new(state, &received, Some(envelope.request), Some(envelope.arrival_ms)));
            }
        });
    }
    if lost > 0 {
        state.lost(lost);
    }
    if let Some(first) = first_unreadable {
        let count = state.totals().undecodable;
        say(format_args!("{count} of the events could not be read; the first: {first}"));
    }
    match write(&state, &catalog, &judged, verdicts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
    }
}

fn write(state: &State, catalog: &Catalog, judged: &[Judged], verdicts: Option<File>) -> io::Result<()> {
    if let Some(file) = verdicts {
        let mut file = BufWriter::new(file);
        for event in judged {
            for row in verdicts::rows(state, catalog, event) {
                serde_json::to_writer(&mut file, &row)?;
                file.write_all(b"\n")?;
            }
        }
        file.flush()?;
    }
    let mut output = io::stdout().lock();
    output.write_all(table::text(&build::report(state, catalog)).as_bytes())?;
    output.flush()
}

/// Takes in requests until a signal comes and what was under way is finished.
fn collect(live: &mut Live) -> Result<Collected, ExitCode> {
    let runtime = live::runtime()?;
    let (mut envelopes, mut lost) = (Vec::new(), 0);
    runtime.block_on(async {
        let (mut terminate, mut interrupt, mut hangup) = signals().map_err(|error| {
            say(format_args!("cannot listen for signals: {error}"));
            ExitCode::from(BAD_INPUT)
        })?;
        // Whoever starts this waits for these lines; a signal that comes right after them must find us ready.
        for address in &live.addresses {
            say(format_args!("listening on http://{address}"));
        }
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv(), if !stopping => { stopping = true; live.stop(); }
                _ = interrupt.recv(), if !stopping => { stopping = true; live.stop(); }
                _ = hangup.recv(), if !stopping => { stopping = true; live.stop(); }
                received = live.intake.next() => match received {
                    Some(Received::Envelope(envelope)) => envelopes.push(envelope),
                    Some(Received::Lost(loss)) => lost += loss.requests,
                    None => return Ok::<(), ExitCode>(()),
                },
            }
        }
    })?;
    live.join();
    Ok((envelopes, lost))
}

/// SIGTERM, SIGINT, SIGHUP.
fn signals() -> io::Result<(Signal, Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?))
}

fn infer(envelopes: &[Envelope]) -> Catalog {
    let mut inference = Inference::default();
    for text in envelopes.iter().filter_map(|envelope| body::text(envelope).ok()) {
        body::batch(&text, |item| {
            if let Item::Event { event, .. } = item {
                inference.observe(&event);
            }
        });
    }
    inference.catalog()
}
