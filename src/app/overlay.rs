//! What lies over a view: the help, the palette, the themes, a line that is being typed.

use super::action::{Action, Edit, Pane, Transport};
use super::destination::destination;
use super::keymap::Scope;
use super::listing::Scroll;
use super::palette::{self, Command};
use super::{App, Effect, export};
use tui_input::Input;

/// What a line is typed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinePurpose {
    /// To filter a pane.
    Filter(Pane),
    /// To name the file that a text is written to.
    Write(String),
    /// To name the file to record to.
    Record,
    /// To say what a mark is about.
    Mark,
    /// To say where in the recording to go.
    GoTo,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Where, in characters from 1, if it is one place.
    pub column: Option<usize>,
    /// One sentence.
    pub message: String,
}

/// A line that is being typed.
#[derive(Debug)]
pub struct Line {
    /// What for.
    pub purpose: LinePurpose,
    /// The text and the cursor.
    pub input: Input,
    /// What is wrong with it so far.
    pub error: Option<LineError>,
}

/// What lies over a view.
#[derive(Debug)]
pub enum Overlay {
    /// Every key.
    Help(Scroll),
    /// Commands, narrowed by what is typed.
    Palette {
        /// What was typed.
        input: Input,
        /// All commands.
        commands: Vec<Command>,
        /// Indexes of those that fit, best first.
        found: Vec<usize>,
        /// Position among them.
        selected: usize,
    },
    /// Themes, narrowed by what is typed; the selected one is shown at once.
    Themes {
        /// What was typed.
        input: Input,
        /// All themes.
        themes: Vec<String>,
        /// Indexes of those that fit, best first.
        found: Vec<usize>,
        /// Position among them.
        selected: usize,
    },
    /// A line is typed at the foot of the screen.
    Line(Line),
}

impl Overlay {
    /// Where the user is, for the key map.
    pub fn scopes(&self) -> &'static [Scope] {
        let [popup, choice, line] = Self::every_scope_list();
        match self {
            Self::Help(_) => popup,
            Self::Palette { .. } | Self::Themes { .. } => choice,
            Self::Line(_) => line,
        }
    }

    pub(super) fn every_scope_list() -> [&'static [Scope]; 3] {
        [
            &[Scope::Popup, Scope::List, Scope::Top, Scope::Everywhere],
            &[Scope::Choice, Scope::Line, Scope::Everywhere],
            &[Scope::Line, Scope::Everywhere],
        ]
    }

    /// The theme that is being looked at.
    pub fn previewed_theme(&self) -> Option<&str> {
        match self {
            Self::Themes { themes, found, selected, .. } => {
                found.get(*selected).and_then(|index| themes.get(*index)).map(String::as_str)
            }
            _ => None,
        }
    }
}

impl App<'_> {
    /// Opens what an action asks for.
    pub(super) fn open_overlay(&mut self, action: Action) {
        let overlay = match action {
            Action::Help => Overlay::Help(Scroll::default()),
            Action::Palette => {
                let commands = palette::commands(&self.setting.themes, self.replay.is_some());
                Overlay::Palette {
                    found: (0..commands.len()).collect(),
                    input: Input::default(),
                    commands,
                    selected: 0,
                }
            }
            Action::Themes => {
                let themes = self.setting.themes.clone();
                let selected = themes.iter().position(|theme| *theme == self.theme).unwrap_or(0);
                Overlay::Themes { found: (0..themes.len()).collect(), input: Input::default(), themes, selected }
            }
            Action::Theme(name) => {
                self.theme = name;
                return;
            }
            Action::Filter => Overlay::Line(Line {
                purpose: LinePurpose::Filter(self.focus),
                input: Input::new(self.filter().to_owned()),
                error: None,
            }),
            Action::Replay(Transport::GoTo) => {
                Overlay::Line(Line { purpose: LinePurpose::GoTo, input: Input::default(), error: None })
            }
            Action::Write => match self.written() {
                Some((name, text)) => {
                    Overlay::Line(Line { purpose: LinePurpose::Write(text), input: Input::new(name), error: None })
                }
                None => return,
            },
            _ => return,
        };
        self.overlay = Some(overlay);
    }

    pub(super) fn act_in_overlay(&mut self, action: Action, effects: &mut Vec<Effect>) {
        let Some(overlay) = &mut self.overlay else { return };
        let rows = isize::try_from(self.size.1.saturating_sub(8).max(1)).unwrap_or(1);
        match (overlay, action) {
            (_, Action::Back) => self.overlay = None,
            (Overlay::Help(scroll), action) => match action {
                Action::Up => scroll.step(-1),
                Action::Down => scroll.step(1),
                Action::PageUp => scroll.step(-rows),
                Action::PageDown => scroll.step(rows),
                Action::First => scroll.first(),
                Action::Last => scroll.last(),
                _ => (),
            },
            (Overlay::Palette { found, selected, .. } | Overlay::Themes { found, selected, .. }, Action::Up) => {
                *selected = selected.checked_sub(1).unwrap_or(found.len().saturating_sub(1));
            }
            (Overlay::Palette { found, selected, .. } | Overlay::Themes { found, selected, .. }, Action::Down) => {
                *selected = if *selected + 1 < found.len() { *selected + 1 } else { 0 };
            }
            (Overlay::Palette { commands, found, selected, .. }, Action::Open) => {
                let chosen = found.get(*selected).and_then(|index| commands.get(*index));
                let action = chosen.map(|command| command.action.clone());
                self.overlay = None;
                if let Some(action) = action {
                    self.act(action, effects);
                }
            }
            (Overlay::Themes { .. }, Action::Open) => {
                self.theme = self.theme().to_owned();
                self.overlay = None;
            }
            (Overlay::Line(_), Action::Open) => self.take_line(effects),
            (_, Action::Edit(edit)) => self.edit(&[edit]),
            (_, Action::Paste(text)) => {
                let typed: Vec<Edit> =
                    text.chars().filter(|character| !character.is_control()).map(Edit::Insert).collect();
                self.edit(&typed);
            }
            _ => (),
        }
    }

    fn edit(&mut self, edits: &[Edit]) {
        match &mut self.overlay {
            Some(Overlay::Palette { input, commands, found, selected }) => {
                apply(input, edits);
                *found = palette::narrow(input.value(), commands.iter().map(|command| command.name.as_str()));
                *selected = 0;
            }
            Some(Overlay::Themes { input, themes, found, selected }) => {
                apply(input, edits);
                *found = palette::narrow(input.value(), themes.iter().map(String::as_str));
                *selected = 0;
            }
            Some(Overlay::Line(line)) => {
                apply(&mut line.input, edits);
                let text = line.input.value().to_owned();
                let is_filter = matches!(line.purpose, LinePurpose::Filter(_));
                let error = if is_filter { self.read_filter(&text).err() } else { None };
                if let Some(Overlay::Line(line)) = &mut self.overlay {
                    line.error = error.map(|error| LineError { column: Some(error.column), message: error.message });
                }
            }
            Some(Overlay::Help(_)) | None => (),
        }
    }

    fn take_line(&mut self, effects: &mut Vec<Effect>) {
        if matches!(&self.overlay, Some(Overlay::Line(Line { purpose: LinePurpose::GoTo, .. }))) {
            return self.take_destination(effects);
        }
        // A filter that cannot be read stays open, with its error in sight.
        if let Some(Overlay::Line(Line { error: Some(_), .. })) = &self.overlay {
            return;
        }
        let Some(Overlay::Line(line)) = self.overlay.take() else { return };
        let text = line.input.value().trim().to_owned();
        match line.purpose {
            LinePurpose::Filter(_) if text.is_empty() => self.clear_filter(),
            LinePurpose::Filter(pane) => self.set_filter(pane, text),
            LinePurpose::Write(content) if !text.is_empty() => {
                effects.push(Effect::Write { path: text, text: content });
            }
            LinePurpose::Record if !text.is_empty() => effects.push(Effect::Record(text)),
            LinePurpose::Mark => effects.push(Effect::Mark(text)),
            LinePurpose::Write(_) | LinePurpose::Record | LinePurpose::GoTo => (),
        }
    }

    /// Goes where the line says. Half of a time is no mistake yet, so it is read when it is complete, not while it is
    /// typed; what cannot be read stays open, with its error in sight.
    fn take_destination(&mut self, effects: &mut Vec<Effect>) {
        let (Some(Overlay::Line(line)), Some(replay)) = (&mut self.overlay, &self.replay) else { return };
        match destination(line.input.value(), replay, &self.zone) {
            Ok(command) => {
                self.overlay = None;
                self.send(command, effects);
            }
            Err(message) => line.error = Some(LineError { column: None, message }),
        }
    }

    /// What `copy` copies.
    pub(super) fn copied(&self) -> Option<String> {
        export::copied(self)
    }

    /// What `write` writes: a name to suggest, and the text.
    fn written(&self) -> Option<(String, String)> {
        export::written(self)
    }
}

fn apply(input: &mut Input, edits: &[Edit]) {
    for edit in edits {
        input.handle((*edit).into());
    }
}
