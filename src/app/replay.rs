//! A recording that is played: where it stands, and how the user moves through it.
//!
//! The position lies between two records: so many of them are in, the rest is still to come. What is drawn and what
//! keys do follow from [`ReplayView`] alone; reading the file, waiting and judging are the caller's, who is told what
//! is wanted by a [`ReplayCommand`].

use super::action::{Action, Transport};
use super::{App, Effect, Notice, layout};
use crate::reason::{ReasonCode, Severity};
pub use crate::recording::{Gap, Mark};

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speed {
    /// A tenth of the speed it was recorded at.
    Tenth,
    /// A fifth.
    Fifth,
    /// Half.
    Half,
    /// As it was recorded.
    #[default]
    One,
    /// Twice as fast.
    Two,
    /// Five times.
    Five,
    /// Ten times.
    Ten,
    /// Twenty times.
    Twenty,
    /// Fifty times.
    Fifty,
    /// A hundred times.
    Hundred,
    /// As fast as it can be judged, whatever the times between records.
    Max,
}

impl Speed {
    /// All of them, slowest first.
    pub const ALL: [Self; 11] = [
        Self::Tenth,
        Self::Fifth,
        Self::Half,
        Self::One,
        Self::Two,
        Self::Five,
        Self::Ten,
        Self::Twenty,
        Self::Fifty,
        Self::Hundred,
        Self::Max,
    ];

    /// The next faster one; the fastest stays.
    pub fn faster(self) -> Self {
        Self::ALL.into_iter().find(|speed| *speed > self).unwrap_or(self)
    }

    /// The next slower one; the slowest stays.
    pub fn slower(self) -> Self {
        Self::ALL.into_iter().rev().find(|speed| *speed < self).unwrap_or(self)
    }

    /// Milliseconds of the recording per millisecond of the viewer; none: it does not wait at all.
    pub fn factor(self) -> Option<f64> {
        match self {
            Self::Tenth => Some(0.1),
            Self::Fifth => Some(0.2),
            Self::Half => Some(0.5),
            Self::One => Some(1.0),
            Self::Two => Some(2.0),
            Self::Five => Some(5.0),
            Self::Ten => Some(10.0),
            Self::Twenty => Some(20.0),
            Self::Fifty => Some(50.0),
            Self::Hundred => Some(100.0),
            Self::Max => None,
        }
    }

    /// As it stands on screen.
    pub fn label(self) -> String {
        self.factor().map_or_else(|| "max".to_owned(), |factor| format!("{factor}×"))
    }
}

/// What a replay is asked to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReplayCommand {
    /// Play, or pause.
    TogglePlay,
    /// Play this fast.
    Speed(Speed),
    /// Go to where so many records are in.
    SeekRecord(u64),
    /// Go to where every record up to this instant (epoch ms) is in.
    SeekTime(i64),
    /// Go to a part of the recording's time, from 0 to 1; of its records, where it has no times.
    SeekFraction(f64),
    /// Go to where nothing is in.
    Start,
    /// Go to where everything is in.
    End,
    /// Move by so many records with events, back where negative.
    StepEvent(i32),
    /// Move by so many marks, back where negative.
    StepMark(i32),
    /// Move to where so many findings further were first seen, back where negative.
    StepFinding(i32),
    /// Stop the opening or the seeking that is under way.
    Cancel,
}

/// When a finding was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSeen {
    /// Epoch ms.
    pub t_ms: i64,
    /// Its code.
    pub code: ReasonCode,
    /// How much it matters.
    pub severity: Severity,
}

/// What takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The file is read for the first time.
    Opening,
    /// What lies before the position is judged.
    Seeking,
}

/// How far long work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which work.
    pub what: Work,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 where nobody knows.
    pub total: u64,
}

impl Progress {
    /// Percent done; none where the whole is not known.
    pub fn percent(&self) -> Option<u64> {
        let percent = u128::from(self.done) * 100 / u128::from(self.total).max(1);
        (self.total > 0).then(|| u64::try_from(percent).unwrap_or(100).min(100))
    }
}

/// A recording and where it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplayView {
    /// The file, as it was named.
    pub file: String,
    /// Records in all that carry events.
    pub records: u64,
    /// How many of them are in.
    pub position: u64,
    /// The instant that is shown, epoch ms: that of the last record that is in, or, between two of them, as far as
    /// the clock of the recording has come. None where nothing is in, or the records carry no times.
    pub t_ms: Option<i64>,
    /// The instant of the earliest record, epoch ms.
    pub first_ms: Option<i64>,
    /// The instant of the latest record, epoch ms.
    pub last_ms: Option<i64>,
    /// Whether it is being played.
    pub playing: bool,
    /// How fast.
    pub speed: Speed,
    /// Events per slice of the recording's time, all slices equally long.
    pub density: Vec<u32>,
    /// The bookmarks.
    pub marks: Vec<Mark>,
    /// What is known to be missing.
    pub gaps: Vec<Gap>,
    /// When each finding was first seen.
    pub findings: Vec<FirstSeen>,
    /// Long work under way.
    pub progress: Option<Progress>,
    /// Remarks about the file, each one sentence.
    pub notes: Vec<String>,
}

impl ReplayView {
    /// The time the recording covers, epoch ms; none where it has no times.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.first_ms.zip(self.last_ms).filter(|(first, last)| first <= last)
    }

    /// The instant that everything shown is as of; before the first record, its own.
    pub fn now_ms(&self) -> Option<i64> {
        self.t_ms.or(self.first_ms)
    }

    /// Whether nothing is in yet.
    pub fn is_at_start(&self) -> bool {
        self.position == 0
    }

    /// The cell, of so many, that an instant falls in; the nearest one for an instant outside. None where the
    /// recording has no length in time.
    pub fn cell_of(&self, t_ms: i64, cells: u16) -> Option<u16> {
        let (first, last) = self.span().filter(|(first, last)| first < last)?;
        let passed = i128::from(t_ms.clamp(first, last)) - i128::from(first);
        let length = i128::from(last) - i128::from(first);
        let cell = passed * i128::from(cells) / length;
        Some(u16::try_from(cell).unwrap_or(u16::MAX).min(cells.saturating_sub(1)))
    }

    /// The cell, of so many, that the position stands in: the first one where nothing is in, the last one where
    /// everything is.
    pub fn cursor(&self, cells: u16) -> u16 {
        let last = cells.saturating_sub(1);
        if self.position == 0 {
            return 0;
        }
        if self.position >= self.records {
            return last;
        }
        let by_record = || {
            let cell = u128::from(self.position) * u128::from(cells) / u128::from(self.records.max(1));
            u16::try_from(cell).unwrap_or(last).min(last)
        };
        self.t_ms.and_then(|t_ms| self.cell_of(t_ms, cells)).unwrap_or_else(by_record)
    }

    /// The events in each of so many cells. A cell that is narrower than a slice shows the slice it lies in.
    pub fn density_in(&self, cells: u16) -> Vec<u64> {
        let slices = self.density.len();
        let edge = |cell: usize| cell * slices / usize::from(cells.max(1));
        (0..usize::from(cells))
            .map(|cell| {
                let end = edge(cell + 1).max(edge(cell) + 1);
                let slices = self.density.get(edge(cell)..end.min(slices)).unwrap_or_default();
                slices.iter().map(|events| u64::from(*events)).sum()
            })
            .collect()
    }
}

/// The part of a recording that a cell of the bar stands for: its middle, but the very ends for the outer cells.
pub fn part_of(cell: u16, cells: u16) -> f64 {
    match cell {
        0 => 0.0,
        cell if cell.saturating_add(1) >= cells => 1.0,
        cell => (f64::from(cell) + 0.5) / f64::from(cells),
    }
}

impl App<'_> {
    /// Takes where the recording stands.
    pub(super) fn take_replay(&mut self, view: ReplayView) -> bool {
        let before = self.replay.as_ref();
        let changed = before != Some(&view);
        // News is told once; the first screen keeps it.
        let told = before.map(|before| before.notes.as_slice()).unwrap_or_default();
        if let Some(note) = view.notes.iter().find(|note| !told.contains(note)) {
            self.notice = Some(Notice { text: note.clone(), bad: true });
        }
        if view.playing && view.progress.is_none() {
            self.aimed_cell = None;
        }
        if let Some(now_ms) = view.now_ms() {
            self.now_ms = now_ms;
        }
        self.replay = Some(view);
        changed
    }

    /// Rebuilds everything that was made of the session as it was. What the user chose stays chosen.
    pub(super) fn take_replacement(&mut self) {
        self.live.start_again(self.store);
        self.refreshed_revision = None;
        self.shown_revision = None;
        self.refresh();
    }

    /// The recording that is played, and where it stands; none: exptap listens.
    pub fn replay(&self) -> Option<&ReplayView> {
        self.replay.as_ref()
    }

    /// The cell of the bar that the cursor stands in: where the last key aimed, until the recording is there.
    pub fn replay_cursor(&self, cells: u16) -> u16 {
        let cursor = || self.replay.as_ref().map_or(0, |replay| replay.cursor(cells));
        self.aimed_cell.map_or_else(cursor, |cell| cell.min(cells.saturating_sub(1)))
    }

    /// Asks the replay for what a key means.
    pub(super) fn transport(&mut self, key: Transport, effects: &mut Vec<Effect>) {
        let cells = self.parts().and_then(|parts| parts.bar).map_or(0, |bar| layout::divide_bar(bar).cells.width);
        let cursor = self.replay_cursor(cells);
        let Some(replay) = &mut self.replay else { return };
        let command = match key {
            Transport::Play => ReplayCommand::TogglePlay,
            Transport::Slower | Transport::Faster => {
                let speed = replay.speed;
                // Shown and built upon at once: two quick keys are two steps, whoever answers when.
                replay.speed = if key == Transport::Slower { speed.slower() } else { speed.faster() };
                effects.push(Effect::Replay(ReplayCommand::Speed(replay.speed)));
                return;
            }
            Transport::PreviousMark | Transport::NextMark if replay.marks.is_empty() && replay.progress.is_none() => {
                self.notice = Some(Notice { text: "the recording has no marks".to_owned(), bad: false });
                return;
            }
            Transport::StepBack => ReplayCommand::StepEvent(-1),
            Transport::StepForward => ReplayCommand::StepEvent(1),
            Transport::PreviousMark => ReplayCommand::StepMark(-1),
            Transport::NextMark => ReplayCommand::StepMark(1),
            Transport::PreviousFinding => ReplayCommand::StepFinding(-1),
            Transport::NextFinding => ReplayCommand::StepFinding(1),
            Transport::Start => ReplayCommand::Start,
            Transport::End => ReplayCommand::End,
            Transport::GoTo => return self.open_overlay(Action::Replay(Transport::GoTo)),
            Transport::Left | Transport::Right | Transport::FarLeft | Transport::FarRight => {
                let by = match key {
                    Transport::Left => -1,
                    Transport::Right => 1,
                    Transport::FarLeft => -10,
                    _ => 10,
                };
                let cell = cursor.saturating_add_signed(by).min(cells.saturating_sub(1));
                // Aimed from where the last key aimed: a key held down must not wait for the answer to each press,
                // and a stretch without records must not hold the cursor back.
                self.aimed_cell = Some(cell);
                effects.push(Effect::Replay(ReplayCommand::SeekFraction(part_of(cell, cells))));
                return;
            }
        };
        self.send(command, effects);
    }

    /// Asks the replay for something. What it leads to is where the cursor belongs from now on.
    pub(super) fn send(&mut self, command: ReplayCommand, effects: &mut Vec<Effect>) {
        self.aimed_cell = None;
        effects.push(Effect::Replay(command));
    }

    /// Stops long work, where some is under way; whether there was.
    pub(super) fn stop_work(&mut self, effects: &mut Vec<Effect>) -> bool {
        let working = self.replay.as_ref().is_some_and(|replay| replay.progress.is_some());
        if working {
            self.send(ReplayCommand::Cancel, effects);
        }
        working
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn speeds_go_up_and_down_one_by_one_and_stop_at_the_ends() {
        let labels: Vec<String> = Speed::ALL.map(Speed::label).into();
        assert_eq!(labels.join(" "), "0.1× 0.2× 0.5× 1× 2× 5× 10× 20× 50× 100× max");
        for pair in Speed::ALL.windows(2) {
            let [slow, fast] = pair else { continue };
            assert_eq!((slow.faster(), fast.slower()), (*fast, *slow));
            assert!(slow.factor().unwrap() < fast.factor().unwrap_or(f64::INFINITY));
        }
        assert_eq!((Speed::Max.faster(), Speed::Tenth.slower()), (Speed::Max, Speed::Tenth));
    }

    #[test]
    fn a_coarse_density_is_spread_and_a_fine_one_added_up() {
        let view = ReplayView { density: vec![1, 2, 3, 4], ..ReplayView::default() };
        assert_eq!(view.density_in(2), [3, 7]);
        assert_eq!(view.density_in(8), [1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(view.density_in(3), [1, 2, 7]);
        assert_eq!(view.density_in(0), [0; 0]);
        assert_eq!(ReplayView::default().density_in(3), [0, 0, 0]);
    }

    #[test]
    fn progress_is_told_in_percent_of_what_is_known() {
        let progress = |done, total| Progress { what: Work::Opening, done, total }.percent();
        assert_eq!(progress(430, 1_000), Some(43));
        assert_eq!(progress(0, 0), None);
        assert_eq!(progress(9, 3), Some(100), "a file that grew meanwhile");
        assert_eq!(progress(u64::MAX, u64::MAX), Some(100));
    }

    /// A recording, in the middle of itself.
    fn recording(first: i64, length: i64) -> ReplayView {
        let last_ms = Some(first.saturating_add(length));
        ReplayView { records: 1_000, position: 500, first_ms: Some(first), last_ms, ..ReplayView::default() }
    }

    proptest! {
        #[test]
        fn every_cell_is_reached_by_the_part_that_stands_for_it(
            // Far from zero a float is coarser than a cell.
            first in -(1i64 << 50)..1 << 50, length in 1_000i64..1 << 50, cells in 1u16..1_000, cell in 0u16..1_000,
        ) {
            let mut view = recording(first, length);
            let cell = cell.min(cells - 1);
            view.t_ms = Some(first + (part_of(cell, cells) * length as f64) as i64);
            prop_assert_eq!(view.cursor(cells), cell);
        }

        #[test]
        fn the_cursor_is_never_outside_and_never_goes_back_as_time_goes_on(
            first in any::<i64>(), length in 0i64..i64::MAX, cells in 1u16..1_000, one in any::<i64>(), other in any::<i64>(),
        ) {
            let mut view = recording(first, length);
            let mut cell_at = |t_ms| {
                view.t_ms = Some(t_ms);
                view.cursor(cells)
            };
            let (earlier, later) = (cell_at(one.min(other)), cell_at(one.max(other)));
            prop_assert!(earlier <= later && later < cells);
        }

        #[test]
        fn without_times_the_cursor_follows_the_records(records in any::<u64>(), one in any::<u64>(), other in any::<u64>(), cells in 1u16..1_000) {
            let mut view = ReplayView { records, ..ReplayView::default() };
            let mut cell_at = |position| {
                view.position = position;
                view.cursor(cells)
            };
            let (earlier, later) = (cell_at(one.min(other)), cell_at(one.max(other)));
            prop_assert!(earlier <= later && later < cells);
            prop_assert_eq!(cell_at(0), 0);
            prop_assert_eq!(cell_at(records.max(1)), cells - 1);
        }

        #[test]
        fn no_event_is_lost_when_slices_are_added_up(density in prop::collection::vec(any::<u32>(), 0..500), cells in 1u16..300) {
            let view = ReplayView { density, ..ReplayView::default() };
            let shown = view.density_in(cells);
            prop_assert_eq!(shown.len(), usize::from(cells));
            if view.density.len() >= usize::from(cells) {
                prop_assert_eq!(shown.iter().sum::<u64>(), view.density.iter().map(|events| u64::from(*events)).sum::<u64>());
            }
        }
    }
}
