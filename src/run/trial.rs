//! Trying a fix beside the loop of the screens: on a thread of its own, which tells how far it is.

use crate::app::{TrialNews, TrialRequest, TrialResult, TrialState};
use crate::report::build;
use crate::what_if::Judgement;
use crate::what_if::judgement::{Held, Stopped};
use crate::what_if::plan;
use crate::what_if::remedy::Bench;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How far it is is told so often.
const TELL: Duration = Duration::from_millis(200);

/// The trial under way, if one is.
#[derive(Default)]
pub(super) struct Trials {
    under_way: Option<(UnboundedReceiver<TrialNews>, Arc<AtomicBool>)>,
}

impl Trials {
    /// Begins a trial; one that is under way ends.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn begin(&mut self, request: TrialRequest) -> io::Result<()> {
        self.stop();
        let (news, receiver) = unbounded_channel();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        std::thread::Builder::new().name("trial".to_owned()).spawn(move || {
            // Where nobody wants to know any more nobody is told.
            let _ = try_fix(&request, &news, &stopped);
        })?;
        self.under_way = Some((receiver, is_stopped));
        Ok(())
    }

    /// Ends the trial under way.
    pub(super) fn stop(&mut self) {
        if let Some((_, is_stopped)) = self.under_way.take() {
            is_stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Waits for news; for ever where nothing is under way.
    pub(super) async fn news(&mut self) -> TrialNews {
        let Some((receiver, _)) = &mut self.under_way else { return std::future::pending().await };
        match receiver.recv().await {
            Some(news) => news,
            None => {
                self.under_way = None;
                std::future::pending().await
            }
        }
    }
}

impl Drop for Trials {
    fn drop(&mut self) {
        self.stop();
    }
}

fn try_fix(request: &TrialRequest, news: &UnboundedSender<TrialNews>, is_stopped: &AtomicBool) -> Result<(), Stopped> {
    let tell = |state: TrialState| {
        let _ = news.send(TrialNews { number: request.number, state });
    };
    let is_done = Cell::new(false);
    let (judgement, told) = (Cell::new(0), Cell::new(Instant::now()));
    let of = request.requests.len() as u64;
    let goes_on = |judged: u64| {
        if judged == 1 {
            judgement.set(judgement.get() + 1);
        }
        if told.get().elapsed() >= TELL && !is_done.get() {
            told.set(Instant::now());
            tell(TrialState::Running { judgement: judgement.get(), judged, of });
        }
        !is_stopped.load(Ordering::Relaxed)
    };
    let events = Held { requests: &request.requests, observed_from_ms: request.observed_from_ms, goes_on: &goes_on };
    let base = Judgement::of(&events, request.catalog.clone(), request.clock)?;
    let report = build::report(&base.state, &base.catalog);
    // Of the events that are held the same fault may be told of fewer.
    let wanted = &request.finding;
    let is_same = |it: &&crate::report::Finding| {
        (it.code, &it.experiment, &it.metric) == (wanted.code, &wanted.experiment, &wanted.metric)
    };
    let of_same = || report.findings.iter().filter(is_same);
    let Some(finding) = of_same().find(|it| it.summary == wanted.summary).or_else(|| of_same().next()) else {
        tell(TrialState::Done(None));
        return Ok(());
    };
    let mut bench = Bench::new(&events, base);
    let tried = bench.try_fix(finding, &report)?;
    let Some(tried) = tried else {
        tell(TrialState::Done(None));
        return Ok(());
    };
    let mut result = TrialResult { fix: tried.fix(finding), difference: tried.difference };
    tell(TrialState::Done(Some(Box::new(result.clone()))));
    // Which fix to begin with takes longer, and is told when it is known.
    is_done.set(true);
    result.difference.fixes = Some(plan::make(&mut bench, &report)?.fixes);
    tell(TrialState::Done(Some(Box::new(result))));
    Ok(())
}
