//! The views that fill the screen when something is opened: why an event counts or not, one experiment in full.

use super::action::{Action, Pane};
use super::course::{Course, course};
use super::export;
use super::keymap::Scope;
use super::listing::Scroll;
use super::{App, Effect, Narrowing, Trial, TrialState, Unit};
use crate::view::Explanation;

/// From so many columns on the Why view shows the event beside everything else.
pub const BOTH_SIDES: u16 = 110;

/// A side of the Why view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The rules, in the order judged.
    #[default]
    Rules,
    /// The event as received, or as Segment delivers it.
    Event,
    /// What the mapping of Segment's destination makes of it; with the rules where there is room for both sides.
    Mapping,
}

/// The explanation of one event.
#[derive(Debug)]
pub struct Why {
    /// What is known.
    pub explanation: Explanation,
    /// The side that scrolls.
    pub side: Side,
    /// How far the rules are scrolled.
    pub rules: Scroll,
    /// How far the event is scrolled.
    pub event: Scroll,
    /// How far the mapping is scrolled, where it has a side of its own.
    pub mapping: Scroll,
    /// The recording stands before the event: it was explained further on, and is not there yet.
    pub to_come: bool,
}

impl Why {
    fn new(explanation: Explanation) -> Self {
        Self {
            explanation,
            side: Side::default(),
            rules: Scroll::default(),
            event: Scroll::default(),
            mapping: Scroll::default(),
            to_come: false,
        }
    }

    /// The side that scrolls, on a screen with room for both sides or for one.
    pub fn side_in(&self, is_wide: bool) -> Side {
        match self.side {
            // Another event may have been opened meanwhile, or the screen may have become wider.
            Side::Mapping if is_wide || self.explanation.segment.is_none() => Side::Rules,
            side => side,
        }
    }

    /// The side after one, from the event to its verdict and round again; a mapping has a side where there is room for
    /// one side only.
    pub fn after(side: Side, has_mapping: bool) -> Side {
        match side {
            Side::Event if has_mapping => Side::Mapping,
            Side::Event | Side::Mapping => Side::Rules,
            Side::Rules => Side::Event,
        }
    }

    fn scroll(&mut self, is_wide: bool) -> &mut Scroll {
        match self.side_in(is_wide) {
            Side::Rules => &mut self.rules,
            Side::Event => &mut self.event,
            Side::Mapping => &mut self.mapping,
        }
    }
}

/// One experiment in full.
#[derive(Debug)]
pub struct Detail {
    /// Experiment key.
    pub experiment: String,
    /// Iteration id.
    pub iteration: String,
    /// How far it is scrolled.
    pub scroll: Scroll,
    /// How it went, of the events still held.
    pub course: Course,
}

/// What fills the screen.
#[derive(Debug)]
pub enum View {
    /// The panes.
    Panes,
    /// Why an event counts or not.
    Why(Why),
    /// One experiment.
    Experiment(Detail),
    /// What the fix of a finding comes to.
    Trial(Box<Trial>),
    /// One context.
    Unit(Unit),
}

impl View {
    /// Where the user is, for the key map.
    pub fn scopes(&self, focus: Pane, replaying: bool) -> &'static [Scope] {
        let [live, findings, lists, contexts, why, unit, opened] =
            if replaying { Self::REPLAYING } else { Self::LISTENING };
        match self {
            Self::Panes if focus == Pane::Live => live,
            Self::Panes if focus == Pane::Findings => findings,
            Self::Panes if focus == Pane::Contexts => contexts,
            Self::Panes => lists,
            Self::Why(_) => why,
            Self::Unit(_) => unit,
            Self::Experiment(_) | Self::Trial(_) => opened,
        }
    }

    /// Where keys work while exptap listens: in Live, in Findings, in the other panes, in Contexts, in Why, in the story
    /// of a context, in other opened views.
    const LISTENING: [&'static [Scope]; 7] = [
        &[Scope::Live, Scope::Panes, Scope::Listening, Scope::List, Scope::Top, Scope::Everywhere],
        &[Scope::Findings, Scope::Lists, Scope::Panes, Scope::Listening, Scope::List, Scope::Top, Scope::Everywhere],
        &[Scope::Lists, Scope::Panes, Scope::Listening, Scope::List, Scope::Top, Scope::Everywhere],
        &[Scope::Lists, Scope::Contexts, Scope::Panes, Scope::Listening, Scope::List, Scope::Top, Scope::Everywhere],
        &[Scope::Why, Scope::Opened, Scope::List, Scope::Top, Scope::Everywhere],
        &[Scope::Unit, Scope::Opened, Scope::List, Scope::Top, Scope::Everywhere],
        &[Scope::Opened, Scope::List, Scope::Top, Scope::Everywhere],
    ];
    /// The same while a recording is played. It can be played on with an event explained: its verdicts are seen to
    /// change. Only the left and right keys mean the event before and after there.
    const REPLAYING: [&'static [Scope]; 7] = [
        &[Scope::Live, Scope::Panes, Scope::Replay, Scope::ReplayBar, Scope::List, Scope::Everywhere],
        &[Scope::Findings, Scope::Lists, Scope::Panes, Scope::Replay, Scope::ReplayBar, Scope::List, Scope::Everywhere],
        &[Scope::Lists, Scope::Panes, Scope::Replay, Scope::ReplayBar, Scope::List, Scope::Everywhere],
        &[Scope::Lists, Scope::Contexts, Scope::Panes, Scope::Replay, Scope::ReplayBar, Scope::List, Scope::Everywhere],
        &[Scope::Why, Scope::Opened, Scope::Replay, Scope::List, Scope::Everywhere],
        &[Scope::Unit, Scope::Opened, Scope::Replay, Scope::ReplayBar, Scope::List, Scope::Everywhere],
        &[Scope::Opened, Scope::Replay, Scope::ReplayBar, Scope::List, Scope::Everywhere],
    ];

    #[cfg(test)]
    pub(super) fn every_scope_list() -> Vec<&'static [Scope]> {
        [Self::LISTENING, Self::REPLAYING].concat()
    }
}

impl App<'_> {
    /// Whether the Why view shows the event beside the rules.
    pub fn is_wide(&self) -> bool {
        self.size.0 >= BOTH_SIDES
    }

    /// Opens what is selected in the focused pane.
    pub(super) fn open(&mut self) {
        match self.focus {
            Pane::Live => {
                if let Some(event) = self.live.selected() {
                    self.explain(event);
                }
            }
            Pane::Contexts => self.open_context(),
            Pane::Experiments => {
                if let Some(report) =
                    self.experiments.selected_index().and_then(|index| self.report.experiments.get(index))
                {
                    self.view = View::Experiment(Detail {
                        experiment: report.key.clone(),
                        iteration: report.iteration.clone(),
                        scroll: Scroll::default(),
                        course: Course::default(),
                    });
                    self.refresh_view();
                }
            }
            Pane::Findings => {
                if let Some(finding) = self.findings.selected_index().and_then(|index| self.report.findings.get(index))
                {
                    let filter = export::finding_filter(self.store, finding);
                    self.show_in_live(filter);
                }
            }
            Pane::Sources => {
                if let Some(source) = self.sources.selected_index().and_then(|index| self.source_rows.get(index)) {
                    self.show_in_live(export::term("source", &source.sdk));
                }
            }
        }
    }

    /// Filters Live to some events, whatever else narrows it, and goes there.
    fn show_in_live(&mut self, filter: String) {
        self.view = View::Panes;
        // Where this was opened from within what was opened before, the way back leads to the start.
        let (pane, narrowing) = self.opened_from.unwrap_or((Pane::Live, self.live.criteria().narrowing));
        self.opened_from = Some((if self.focus == Pane::Live { pane } else { self.focus }, narrowing));
        self.live.change(self.store, |criteria| criteria.narrowing = Narrowing::OFF);
        self.live.follow();
        self.set_filter(Pane::Live, filter);
    }

    /// Explains an event. One that was forgotten, or not read yet, cannot be explained.
    fn explain(&mut self, event: u64) {
        match self.store.explain(event) {
            Some(explanation) => self.view = View::Why(Why::new(explanation)),
            None => {
                self.notice = Some(super::Notice {
                    text: format!("event {event} has scrolled out of memory; only its counts are left"),
                    bad: true,
                });
            }
        }
    }

    pub(super) fn act_in_view(&mut self, action: Action, effects: &mut Vec<Effect>) {
        if action == Action::Back && self.stop_work(effects) {
            return;
        }
        let page = isize::try_from(self.size.1.saturating_sub(6).max(1)).unwrap_or(1);
        let is_wide = self.is_wide();
        let scroll = match &mut self.view {
            View::Panes => return,
            View::Why(why) => why.scroll(is_wide),
            View::Experiment(detail) => &mut detail.scroll,
            View::Trial(trial) => &mut trial.scroll,
            View::Unit(unit) => &mut unit.scroll,
        };
        match action {
            Action::Up => scroll.step(-1),
            Action::Down => scroll.step(1),
            Action::PageUp => scroll.step(-page),
            Action::PageDown => scroll.step(page),
            Action::First => scroll.first(),
            Action::Last => scroll.last(),
            Action::Back => {
                if let View::Trial(trial) = &self.view
                    && matches!(trial.state, TrialState::Running { .. })
                {
                    effects.push(Effect::StopTrying);
                }
                self.view = View::Panes;
            }
            Action::SwapSide => {
                if let View::Why(why) = &mut self.view {
                    why.side = Why::after(why.side_in(is_wide), !is_wide && why.explanation.segment.is_some());
                }
            }
            Action::NextEvent => self.explain_beside(1),
            Action::PreviousEvent => self.explain_beside(-1),
            Action::SameVerdict => {
                if let View::Why(why) = &self.view {
                    let filter = export::same_verdict_filter(&why.explanation);
                    self.show_in_live(filter);
                }
            }
            Action::Open => {
                if let View::Unit(unit) = &self.view {
                    let filter = export::term("unit", &unit.held.story.unit);
                    self.show_in_live(filter);
                }
            }
            Action::Copy => effects.extend(self.copied().map(Effect::Copy)),
            action => self.open_overlay(action),
        }
    }

    fn explain_beside(&mut self, events: isize) {
        let page = self.size.1.into();
        self.live.step(events, page);
        if let Some(event) = self.live.selected() {
            let side = match &self.view {
                View::Why(why) => why.side,
                View::Panes | View::Experiment(_) | View::Trial(_) | View::Unit(_) => Side::default(),
            };
            self.explain(event);
            if let View::Why(why) = &mut self.view {
                why.side = side;
            }
        }
    }

    /// Puts the opened view in step with the session.
    pub(super) fn refresh_view(&mut self) {
        match &mut self.view {
            // A trial tells of the events it was made with.
            View::Panes | View::Trial(_) => (),
            View::Why(why) => {
                // Stepping back and forth over an event must not close its explanation.
                why.to_come = why.explanation.row.event >= self.store.next();
                // An event that has been forgotten meanwhile stays explained as it was.
                if let Some(explanation) = self.store.explain(why.explanation.row.event) {
                    why.explanation = explanation;
                }
            }
            View::Experiment(detail) => {
                let arms: Vec<i64> = self
                    .report
                    .experiments
                    .iter()
                    .find(|report| report.key == detail.experiment && report.iteration == detail.iteration)
                    .map(|report| report.arms.iter().map(|arm| arm.variation).collect())
                    .unwrap_or_default();
                let iteration =
                    self.store.iterations().iter().position(|name| {
                        *name.experiment == *detail.experiment && *name.iteration == *detail.iteration
                    });
                detail.course = iteration.map(|index| course(self.store, index, &arms)).unwrap_or_default();
            }
            View::Unit(unit) => {
                // One whose events have been forgotten meanwhile stays as it was.
                if let Some(held) = self.store.story(&unit.held.story.kind, &unit.held.story.key) {
                    unit.held = held;
                }
            }
        }
    }
}
