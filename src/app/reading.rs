//! What drawing reads of the model.

use super::store::Store;
use super::{App, Health, Listing, Live, Notice, Overlay, Pane, Rate, Setting, View};
use crate::report::{Report, Totals};
use crate::view::{SourceRow, UnitRow};
use jiff::tz::TimeZone;

/// Seconds that the curve of a recording looks back.
const CURVE_SECONDS: i64 = 12;

impl App<'_> {
    /// The session.
    pub fn store(&self) -> &dyn Store {
        self.store
    }
    /// What does not change.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }
    /// The time zone that times are shown in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
    /// Now, as of the last tick, epoch ms.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }
    /// The focused pane.
    pub fn focus(&self) -> Pane {
        self.focus
    }
    /// The full-screen view.
    pub fn view(&self) -> &View {
        &self.view
    }
    /// What lies over it.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }
    /// The remark on the last line.
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref()
    }
    /// The theme to draw in: the one chosen, or the one being looked at.
    pub fn theme(&self) -> &str {
        self.overlay.as_ref().and_then(Overlay::previewed_theme).unwrap_or(&self.theme)
    }
    /// The Live pane.
    pub fn live(&self) -> &Live {
        &self.live
    }
    /// A pane's list; none for Live.
    pub fn listing(&self, pane: Pane) -> Option<&Listing> {
        match pane {
            Pane::Live => None,
            Pane::Contexts => Some(&self.contexts),
            Pane::Experiments => Some(&self.experiments),
            Pane::Findings => Some(&self.findings),
            Pane::Sources => Some(&self.sources),
        }
    }
    /// The report the panes show.
    pub fn report(&self) -> &Report {
        &self.report
    }
    /// The counters of the header.
    pub fn totals(&self) -> &Totals {
        &self.counted.totals
    }
    /// Contexts.
    pub fn unit_rows(&self) -> &[UnitRow] {
        &self.contexts().list().rows
    }
    /// Senders.
    pub fn source_rows(&self) -> &[SourceRow] {
        &self.source_rows
    }
    /// Events per second.
    pub fn rate(&self) -> &Rate {
        &self.rate
    }
    /// Events per second of the recording's own time, up to its position, however fast it is played; none where it
    /// has no times.
    pub fn recorded_rate(&self) -> Option<Rate> {
        let replay = self.replay()?;
        let (t_ms, first_ms) = (replay.t_ms?, replay.first_ms?);
        // Rows are in the order of arrival but for clocks set back, and there a rate means little.
        let arrived_by = |t_ms: i64| {
            let (mut low, mut high) = (self.store.first(), self.store.next());
            while low < high {
                let middle = low + (high - low) / 2;
                if self.store.row(middle).is_some_and(|row| row.arrival_ms <= t_ms) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        let seconds = t_ms.saturating_sub(first_ms).clamp(0, (CURVE_SECONDS - 1) * 1_000) / 1_000 + 1;
        let edges: Vec<u64> = (0..=seconds).rev().map(|back| arrived_by(t_ms.saturating_sub(back * 1_000))).collect();
        Some(Rate::of(edges.windows(2).map(|edge| match edge {
            [from, to] => to.saturating_sub(*from),
            _ => 0,
        })))
    }
    /// One of how many events is ever on screen, where `rows` follow the newest: at high rates most pass between two
    /// frames. The counters miss none.
    pub fn one_in(&self, rows: usize) -> u64 {
        let shown = self.frames.saturating_mul(rows as u64);
        if shown == 0 { 1 } else { self.rate.per_second().div_ceil(shown).max(1) }
    }
    /// How forwarding is doing.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Requests that found no room in the queue before the judge.
    pub fn lost_requests(&self) -> u64 {
        self.lost_requests
    }
    /// Whether nothing was received yet.
    pub fn is_empty(&self) -> bool {
        self.store.next() == 0 && self.totals().requests == 0
    }
    /// Takes a theme, as `--theme` does.
    pub fn take_theme(&mut self, name: String) {
        self.theme = name;
    }
}
