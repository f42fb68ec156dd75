//! `listen --no-tui`: receive until interrupted, then say what it came to. For scripts and CI.

use super::live::{self, Live};
use super::recording::Desk;
use super::{BAD_INPUT, say};
use crate::attribution::judge::Judge;
use crate::attribution::state::{Options, State};
use crate::catalog::infer::Inference;
use crate::catalog::{Catalog, Given};
use crate::endpoint::{Delivery, Received};
use crate::envelope::Envelope;
use crate::intake;
use crate::report::{build, table};
use crate::silenced::Silence;
use crate::verdicts::{self, Judged};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What to do with what is received.
pub(super) struct Wish {
    /// What to judge by; a catalog that is not given is inferred at the end.
    pub(super) given: Given,
    /// How to judge.
    pub(super) judging: Options,
    /// Where to write verdicts.
    pub(super) verdicts: Option<PathBuf>,
}

/// How long after a fault of the file recording is tried again. Nobody is there to press a key.
const RETRY: Duration = Duration::from_secs(5);

/// Requests, and how many were lost between them.
type Collected = (Vec<Envelope>, u64);

/// Receives until a signal, then judges everything.
pub(super) fn run(mut live: Live, wish: Wish, mut desk: Desk) -> ExitCode {
    let verdicts =
        match wish.verdicts.as_ref().map(|path| File::create(path).map_err(|error| (path, error))).transpose() {
            Ok(file) => file,
            Err((path, error)) => {
                say(format_args!("{}: verdicts cannot be written there: {error}", path.display()));
                return BAD_INPUT.into();
            }
        };
    let (envelopes, lost) = match collect(&mut live, &mut desk) {
        Ok(collected) => collected,
        Err(code) => return code,
    };
    let figures = live.status.figures();
    for (name, delivery) in [("the upstream", &figures.upstream), ("Segment's upstream", &figures.segment_upstream)] {
        undelivered(name, delivery).iter().for_each(say);
    }
    let flags = &figures.flags_upstream;
    if let (1.., Some(failure)) = (flags.unanswered, &flags.last_failure) {
        say(format_args!("{} requests for flags were left unanswered; the latest: {}", flags.unanswered, failure.text));
    }
    live::stays(&figures).iter().for_each(say);
    if let Some(hint) = &figures.last_hint {
        let others = figures.hints.saturating_sub(1);
        let before = if others > 0 { format!(" ({others} such before)") } else { String::new() };
        say(format_args!("{}{before}", hint.text));
    }
    let (recorded, is_recorded) = desk.finish();
    recorded.iter().for_each(say);
    let mut given = wish.given;
    if let Some(known) = live.flags.as_ref().map(|flags| flags.known()) {
        known.fault.iter().for_each(say);
        given.flags = Some(Arc::new(known.seen));
        given.remarks_on_flags().iter().for_each(say);
    }
    let catalog = given.catalog().unwrap_or_else(|inference| infer(&envelopes, inference));
    let mut state = State::new(Arc::new(Judge::new(&catalog)), wish.judging);
    let mut judged = Vec::new();
    let mut first_unreadable = None;
    for envelope in &envelopes {
        intake::envelope(&mut state, &catalog.environment, envelope, |state, received| {
            if let (None, intake::Received::Unreadable { unreadable, .. }) = (&first_unreadable, &received) {
                first_unreadable =
                    Some(format!("request {}, byte {}: {}", envelope.request, unreadable.offset, unreadable.reason));
            }
            if verdicts.is_some() {
                judged.push(Judged::new(state, &received, envelope.number(), envelope.arrival()));
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
        // Whoever asked for a recording goes on with it, and must not take a part for the whole.
        Ok(()) if !is_recorded => BAD_INPUT.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
    }
}

/// What an upstream did not take, in words; none: it took everything, or there is none.
fn undelivered(name: &str, delivery: &Delivery) -> Option<String> {
    let delivered = delivery.delivered();
    let requests = delivery.answered() + delivery.unanswered;
    if requests == delivered {
        return None;
    }
    let mut note = format!("of {requests} requests {name} took {delivered}");
    for (status, count) in delivery.refused() {
        note.push_str(&format!(", answered {count} with {status}"));
    }
    if delivery.unanswered > 0 {
        note.push_str(&format!(", left {} unanswered", delivery.unanswered));
    }
    if let Some(failure) = &delivery.last_failure {
        note.push_str(&format!("; the latest: {}", failure.text));
    }
    Some(note)
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
fn collect(live: &mut Live, desk: &mut Desk) -> Result<Collected, ExitCode> {
    let runtime = live::runtime()?;
    let (mut envelopes, mut lost) = (Vec::new(), 0);
    let (mut silence, status) = (Silence::default(), Arc::clone(&live.status));
    runtime.block_on(async {
        let (mut terminate, mut interrupt, mut hangup) = signals().map_err(|error| {
            say(format_args!("cannot listen for signals: {error}"));
            ExitCode::from(BAD_INPUT)
        })?;
        // Whoever starts this waits for these lines; a signal that comes right after them must find us ready.
        live.told().iter().for_each(say);
        let mut stopping = false;
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv(), if !stopping => { stopping = true; live.stop(); }
                _ = interrupt.recv(), if !stopping => { stopping = true; live.stop(); }
                _ = hangup.recv(), if !stopping => { stopping = true; live.stop(); }
                () = desk.changed() => desk.tell(),
                () = live::flags_changed(live.flags.as_deref()) => take_flags(live, desk),
                _ = retry.tick(), if desk.is_stopped() => desk.retry(),
                news = status.spool_news() => say(news.text),
                received = live.intake.next() => match received {
                    Some(Received::Envelope(envelope)) => {
                        silence.note(&envelope).iter().for_each(say);
                        envelopes.push(envelope);
                    }
                    Some(Received::Lost(loss)) => lost += loss.requests,
                    Some(Received::Missed(missed)) => lost += missed.requests.unwrap_or(0),
                    None => return Ok::<(), ExitCode>(()),
                },
            }
        }
    })?;
    live.join();
    // What was read while the rest ended.
    take_flags(live, desk);
    Ok((envelopes, lost))
}

/// Records the flags that passed by so far.
fn take_flags(live: &Live, desk: &mut Desk) {
    let known = live.flags.as_ref().map(|flags| flags.known());
    if let Some(known) = known.filter(|known| !known.seen.is_empty()) {
        desk.take_flags(&known.seen, known.latest_ms.unwrap_or_default());
    }
}

/// SIGTERM, SIGINT, SIGHUP.
fn signals() -> io::Result<(Signal, Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?))
}

fn infer(envelopes: &[Envelope], mut inference: Inference) -> Catalog {
    envelopes.iter().for_each(|envelope| inference.observe_request(envelope));
    inference.catalog()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Note;
    use std::collections::BTreeMap;

    #[test]
    fn what_the_upstream_did_not_take_is_told_at_the_end() {
        let mut delivery = Delivery { answers: BTreeMap::from([(202, 7)]), ..Delivery::default() };
        assert_eq!(undelivered("the upstream", &delivery), None);
        delivery.answers.insert(401, 2);
        delivery.unanswered = 1;
        delivery.last_failure = Some(Note { at_ms: 0, text: "it could not be reached".into() });
        assert_eq!(
            undelivered("the upstream", &delivery).as_deref(),
            Some(
                "of 10 requests the upstream took 7, answered 2 with 401, left 1 unanswered; the latest: it could not be \
                 reached"
            )
        );
    }
}
