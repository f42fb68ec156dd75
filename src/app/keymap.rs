//! The key map: one table of key, command, footer word and description.
//!
//! The footer, the help and the command palette are made from it, so none of them can tell of a key that does
//! something else. Keys depend on where the user is; [`Scope`] says where.

use super::action::{Action, Edit, Kinds, Pane};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the Live pane.
    Live,
    /// In the other panes.
    Lists,
    /// In any pane of the overview.
    Panes,
    /// In the explanation of an event.
    Why,
    /// In a view that was opened and fills the screen.
    Opened,
    /// In a pop-up that is only read.
    Popup,
    /// Wherever something can be scrolled or selected.
    List,
    /// Where a line of text is typed.
    Line,
    /// Where a line of text narrows a list (palette, themes).
    Choice,
    /// Everywhere.
    Everywhere,
}

impl Scope {
    /// The heading in the help.
    pub fn title(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Lists => "Contexts, Experiments, Findings, Sources",
            Self::Panes => "Panes",
            Self::Why => "Why",
            Self::Opened => "Opened views",
            Self::Popup => "Help",
            Self::List => "Moving",
            Self::Line => "Typing",
            Self::Choice => "Choosing",
            Self::Everywhere => "Everywhere",
        }
    }
}

/// A key with its modifiers. Shift is part of the character it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    code: KeyCode,
    control: bool,
}

const fn char(character: char) -> Chord {
    Chord { code: KeyCode::Char(character), control: false }
}

const fn control(character: char) -> Chord {
    Chord { code: KeyCode::Char(character), control: true }
}

const fn key(code: KeyCode) -> Chord {
    Chord { code, control: false }
}

impl From<KeyEvent> for Chord {
    fn from(event: KeyEvent) -> Self {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        let code = match event.code {
            // A terminal may report Ctrl with the letter in either case.
            KeyCode::Char(character) if control => KeyCode::Char(character.to_ascii_lowercase()),
            code => code,
        };
        Self { code, control }
    }
}

impl Chord {
    /// How the key is written on screen.
    pub fn label(self) -> String {
        match self.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(character) if self.control => format!("^{}", character.to_ascii_uppercase()),
            KeyCode::Char(character) => character.to_string(),
            KeyCode::Enter => "↵".to_owned(),
            KeyCode::Esc => "esc".to_owned(),
            KeyCode::Tab => "tab".to_owned(),
            KeyCode::BackTab => "shift-tab".to_owned(),
            KeyCode::Backspace => "backspace".to_owned(),
            KeyCode::Delete => "del".to_owned(),
            KeyCode::PageUp => "pgup".to_owned(),
            KeyCode::PageDown => "pgdn".to_owned(),
            KeyCode::Home => "home".to_owned(),
            KeyCode::End => "end".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            other => format!("{other:?}"),
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// Where the keys work.
    pub scope: Scope,
    /// The keys; the first is the one shown.
    pub keys: &'static [Chord],
    /// What they do.
    pub action: Action,
    /// The word in the footer; empty: not in the footer.
    pub footer: &'static str,
    /// What it does, for the help and the palette.
    pub description: &'static str,
}

macro_rules! table {
    ($( $scope:ident [$($chord:expr),+] $action:expr, $footer:literal, $description:literal; )*) => {
        /// Every binding, in the order of the footer.
        pub static BINDINGS: &[Binding] = &[
            $( Binding { scope: Scope::$scope, keys: &[$($chord),+], action: $action, footer: $footer, description: $description }, )*
        ];
    };
}

use Action as Do;
use KeyCode as Key;

table! {
    Live [key(Key::Enter)] Do::Open, "why", "Say why the selected event counts or not, rule by rule";
    Lists [key(Key::Enter)] Do::Open, "open", "Open what is selected: one experiment in full, or the events of a finding, a context or a sender";
    Panes [char('/')] Do::Filter, "filter", "Filter the focused pane";
    Live [char('d')] Do::DroppedOnly, "dropped", "Show dropped events only, or all again";
    Panes [char(' ')] Do::Pause, "pause", "Freeze the view; what arrives is still taken in and judged";
    Panes [key(Key::Tab)] Do::FocusNext, "pane", "Go to the next pane";
    Panes [key(Key::BackTab)] Do::FocusPrevious, "", "Go to the previous pane";
    Panes [char(':')] Do::Palette, "commands", "Find a command by name";
    Live [char('a')] Do::Show(Kinds::All), "all", "Show events of every kind";
    Live [char('f')] Do::Show(Kinds::Flags), "flags", "Show evaluations and summaries only";
    Live [char('c')] Do::Show(Kinds::Contexts), "contexts", "Show index, identify and alias events only";
    Live [char('e')] Do::Show(Kinds::Experiments), "experiments", "Show conversions, and the evaluations an experiment asks about";
    Panes [char('z')] Do::Zoom, "zoom", "Give the focused pane the whole screen, or take it back";
    Panes [char('y')] Do::Copy, "copy", "Copy what is selected through the terminal (OSC 52)";
    Panes [char('w')] Do::Write, "write", "Write what is selected to a file: an event's explanation, or the report";
    Panes [char('R')] Do::Record, "record", "Record everything that is received to a file, or end the recording";
    Panes [char('m')] Do::Mark, "mark", "Set a mark with a note in the recording";
    Panes [char('r')] Do::Retry, "", "Go on with a recording that stopped because its file failed";
    Panes [char('t')] Do::Themes, "theme", "Choose a theme, with live preview";
    Panes [char('?')] Do::Help, "help", "Show every key";
    Panes [char('q')] Do::Quit, "quit", "Quit, and print the session's report";
    Live [char('$')] Do::Noise, "", "Show LaunchDarkly's own traffic ($ld: keys), or hide it again";
    Panes [char('1')] Do::Focus(Pane::Live), "", "Go to Live";
    Panes [char('2')] Do::Focus(Pane::Contexts), "", "Go to Contexts";
    Panes [char('3')] Do::Focus(Pane::Experiments), "", "Go to Experiments";
    Panes [char('4')] Do::Focus(Pane::Findings), "", "Go to Findings";
    Panes [char('5')] Do::Focus(Pane::Sources), "", "Go to Sources";
    Panes [key(Key::Esc)] Do::Back, "", "Clear the filter of the focused pane, or leave the zoom";

    Why [key(Key::Enter)] Do::SameVerdict, "events like this", "Show the events that have the same verdict for the same reason";
    Why [key(Key::Tab)] Do::SwapSide, "rules / event", "Move between the rules and the event";
    Why [key(Key::Left), char('h')] Do::PreviousEvent, "previous", "Explain the previous event";
    Why [key(Key::Right), char('l')] Do::NextEvent, "next", "Explain the next event";
    Opened [key(Key::Esc), char('q')] Do::Back, "back", "Leave this view";
    Opened [char('y')] Do::Copy, "copy", "Copy what is shown through the terminal (OSC 52)";
    Opened [char('w')] Do::Write, "write", "Write what is shown to a file";
    Opened [char('?')] Do::Help, "help", "Show every key";
    Popup [key(Key::Esc), char('q'), char('?')] Do::Back, "back", "Leave the help";

    List [key(Key::Up), char('k')] Do::Up, "", "One row up";
    List [key(Key::Down), char('j')] Do::Down, "", "One row down";
    List [key(Key::PageUp), control('u')] Do::PageUp, "", "One page up";
    List [key(Key::PageDown), control('d')] Do::PageDown, "", "One page down";
    List [key(Key::Home), char('g')] Do::First, "", "To the first row";
    List [key(Key::End), char('G')] Do::Last, "", "To the last row; Live follows again from there";

    Line [key(Key::Enter)] Do::Open, "take it", "Take the line";
    Line [key(Key::Esc)] Do::Back, "leave", "Leave the line as it was";
    Line [key(Key::Backspace), control('h')] Do::Edit(Edit::DeletePrevious), "", "Delete the character before the cursor";
    Line [key(Key::Delete)] Do::Edit(Edit::DeleteNext), "", "Delete the character under the cursor";
    Line [control('w')] Do::Edit(Edit::DeleteWord), "", "Delete the word before the cursor";
    Line [control('u')] Do::Edit(Edit::DeleteLine), "empty", "Empty the line";
    Line [key(Key::Left)] Do::Edit(Edit::Left), "", "One character left";
    Line [key(Key::Right)] Do::Edit(Edit::Right), "", "One character right";
    Line [key(Key::Home), control('a')] Do::Edit(Edit::Start), "", "To the start of the line";
    Line [key(Key::End), control('e')] Do::Edit(Edit::End), "", "To the end of the line";

    Choice [key(Key::Up), control('p')] Do::Up, "up", "One choice up";
    Choice [key(Key::Down), control('n')] Do::Down, "down", "One choice down";

    Everywhere [control('c')] Do::Quit, "", "Quit, and print the session's report";
    Everywhere [control('z')] Do::Suspend, "", "Hand the terminal back to the shell; fg returns";
    Everywhere [control('l')] Do::Redraw, "", "Paint the whole screen again";
}

/// The action of a key where the user is; none where the key means nothing there.
pub fn lookup(scopes: &[Scope], event: KeyEvent) -> Option<Action> {
    let chord = Chord::from(event);
    let bound = scopes
        .iter()
        .flat_map(|scope| BINDINGS.iter().filter(move |binding| binding.scope == *scope))
        .find(|binding| binding.keys.contains(&chord))
        .map(|binding| binding.action.clone());
    // What is typed is not a command: only unmodified characters are text, Alt and Ctrl chords are not.
    let text = scopes.contains(&Scope::Line) && !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match (bound, event.code) {
        (None, KeyCode::Char(character)) if text => Some(Action::Edit(Edit::Insert(character))),
        (bound, _) => bound,
    }
}

/// The bindings that work where the user is, in the order of the table.
pub fn active(scopes: &[Scope]) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| scopes.contains(&binding.scope))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::app::{App, View};
    use std::collections::HashSet;

    fn press(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for scopes in App::every_scope_list() {
            let mut seen = HashSet::new();
            for binding in active(scopes) {
                for chord in binding.keys {
                    assert!(seen.insert(format!("{chord:?}")), "{} is bound twice in {scopes:?}", chord.label());
                }
            }
        }
    }

    #[test]
    fn every_binding_can_be_reached_and_says_what_it_does() {
        for binding in BINDINGS {
            assert!(
                App::every_scope_list().iter().any(|scopes| scopes.contains(&binding.scope)),
                "{:?} is never active",
                binding.scope
            );
            assert!(binding.description.len() > 8, "{:?} has no description", binding.action);
            assert!(!binding.description.ends_with('.'), "{:?}", binding.description);
            assert!(!binding.action.name().is_empty(), "{:?} has no name", binding.action);
        }
    }

    #[test]
    fn one_action_has_one_description_in_each_scope() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            assert!(
                seen.insert((format!("{:?}", binding.scope), binding.action.name())),
                "{:?} has two lines",
                binding.action
            );
        }
    }

    #[test]
    fn letters_are_commands_in_the_panes_and_text_in_a_line() {
        let panes = View::Panes.scopes(Pane::Live);
        assert_eq!(lookup(panes, press(KeyCode::Char('d'))), Some(Action::DroppedOnly));
        let line = &[Scope::Line, Scope::Everywhere];
        assert_eq!(lookup(line, press(KeyCode::Char('d'))), Some(Action::Edit(Edit::Insert('d'))));
        assert_eq!(lookup(line, press(KeyCode::Char('?'))), Some(Action::Edit(Edit::Insert('?'))));
        let quit = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(lookup(line, quit), Some(Action::Quit));
        let unknown = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::ALT);
        assert_eq!(lookup(line, unknown), None);
    }

    #[test]
    fn actions_have_the_names_a_person_would_type() {
        assert_eq!(Action::DroppedOnly.name(), "dropped-only");
        assert_eq!(Action::Focus(Pane::Findings).name(), "focus findings");
        assert_eq!(Action::Theme("mono".into()).name(), "theme mono");
    }
}
