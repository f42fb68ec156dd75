//! The whole vocabulary of the user: everything a key, the palette or a script can ask for.

use serde::{Deserialize, Serialize};
use tui_input::InputRequest;

/// A pane of the overview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pane {
    /// Every event as it arrives, with its verdict.
    Live,
    /// Context keys by need of attention.
    Contexts,
    /// Arms, rates, funnels.
    Experiments,
    /// Explained faults.
    Findings,
    /// Who sends.
    Sources,
}

impl Pane {
    /// All panes, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Live, Self::Contexts, Self::Experiments, Self::Findings, Self::Sources];

    /// The number that shows it, from 1.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).map_or(0, |index| index + 1)
    }

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Contexts => "Contexts",
            Self::Experiments => "Experiments",
            Self::Findings => "Findings",
            Self::Sources => "Sources",
        }
    }
}

/// Which events Live shows, in the words of LaunchDarkly's own Live events page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kinds {
    /// Every event.
    #[default]
    All,
    /// Evaluations and what sums them up.
    Flags,
    /// What announces contexts.
    Contexts,
    /// Conversions, and the evaluations that an experiment asks about.
    Experiments,
}

impl Kinds {
    /// The word on screen.
    pub fn title(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Flags => "Flags",
            Self::Contexts => "Contexts",
            Self::Experiments => "Experiments",
        }
    }
}

/// What moves a recording that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Plays, or pauses.
    Play,
    /// One event back.
    StepBack,
    /// One event forward.
    StepForward,
    /// To the mark before.
    PreviousMark,
    /// To the next mark.
    NextMark,
    /// To where the finding before was first seen.
    PreviousFinding,
    /// To where the next finding was first seen.
    NextFinding,
    /// One cell of the bar back.
    Left,
    /// One cell of the bar forward.
    Right,
    /// Ten cells of the bar back.
    FarLeft,
    /// Ten cells of the bar forward.
    FarRight,
    /// Slower.
    Slower,
    /// Faster.
    Faster,
    /// To where nothing is in yet.
    Start,
    /// To where everything is in.
    End,
    /// Asks where to go.
    GoTo,
}

/// An edit of a line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Types a character.
    Insert(char),
    /// Deletes the character before the cursor.
    DeletePrevious,
    /// Deletes the character under the cursor.
    DeleteNext,
    /// Deletes the word before the cursor.
    DeleteWord,
    /// Empties the line.
    DeleteLine,
    /// One character left.
    Left,
    /// One character right.
    Right,
    /// To the start of the line.
    Start,
    /// To the end of the line.
    End,
}

impl From<Edit> for InputRequest {
    fn from(edit: Edit) -> Self {
        match edit {
            Edit::Insert(character) => Self::InsertChar(character),
            Edit::DeletePrevious => Self::DeletePrevChar,
            Edit::DeleteNext => Self::DeleteNextChar,
            Edit::DeleteWord => Self::DeletePrevWord,
            Edit::DeleteLine => Self::DeleteLine,
            Edit::Left => Self::GoToPrevChar,
            Edit::Right => Self::GoToNextChar,
            Edit::Start => Self::GoToStart,
            Edit::End => Self::GoToEnd,
        }
    }
}

/// Something the user asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Ends the session.
    Quit,
    /// Hands the terminal back to the shell.
    Suspend,
    /// Paints the whole screen again.
    Redraw,
    /// Opens the help.
    Help,
    /// Opens the command palette.
    Palette,
    /// Opens the list of themes.
    Themes,
    /// Takes a theme.
    Theme(String),
    /// Moves the focus to a pane.
    Focus(Pane),
    /// Moves the focus to the next pane.
    FocusNext,
    /// Moves the focus to the previous pane.
    FocusPrevious,
    /// Gives the focused pane the whole screen, or takes it back.
    Zoom,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the first row.
    First,
    /// To the last row; in Live, follows from there.
    Last,
    /// Opens what is selected.
    Open,
    /// Leaves what was opened last, or clears the filter; goes back to where the filter was opened from.
    Back,
    /// Freezes the view, or lets it go on. What arrives is taken in either way.
    Pause,
    /// Shows some kinds of events only.
    Show(Kinds),
    /// Shows dropped events only, or all again.
    DroppedOnly,
    /// Shows LaunchDarkly's own traffic, or hides it.
    Noise,
    /// Opens the filter line.
    Filter,
    /// Filters the focused pane by an expression; an empty one shows everything.
    SetFilter(String),
    /// Tries the fix of the selected finding.
    TryFix,
    /// Lists other contexts: those never exposed, those that never convert, and so on.
    NextContexts,
    /// Starts a recording, or ends the one under way.
    Record,
    /// Sets a mark in the recording.
    Mark,
    /// Tries to go on with a recording that stopped.
    Retry,
    /// Copies what is selected.
    Copy,
    /// Writes what is selected to a file.
    Write,
    /// Explains the next event.
    NextEvent,
    /// Explains the previous event.
    PreviousEvent,
    /// Shows the events that have the same verdict.
    SameVerdict,
    /// Moves between the rules and the event.
    SwapSide,
    /// Moves the recording that is played.
    Replay(Transport),
    /// Edits the line that is being typed.
    Edit(Edit),
    /// Types several characters at once.
    Paste(String),
}

impl Action {
    /// The command's name, as the palette shows it: `focus live`, `dropped-only`.
    pub fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(serde_json::Value::Object(fields)) => fields
                .iter()
                .map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or_default()).trim_end().to_owned())
                .collect(),
            _ => String::new(),
        }
    }
}
