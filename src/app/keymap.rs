//! The key map: one table of key, command, footer word and description.
//!
//! The footer, the help and the command palette are made from it, so none of them can tell of a key that does
//! something else. Keys depend on where the user is; [`Scope`] says where.

use super::action::{Action, Edit, Kinds, Pane, Transport};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the Live pane.
    Live,
    /// In the Findings pane.
    Findings,
    /// In the other panes, Findings too.
    Lists,
    /// In the Contexts pane.
    Contexts,
    /// In any pane of the overview.
    Panes,
    /// In any pane, while exptap listens.
    Listening,
    /// Wherever a recording that is played is shown, opened views included.
    Replay,
    /// Where the left and right keys are free to move along the bar of a recording.
    ReplayBar,
    /// In the explanation of an event.
    Why,
    /// In the story of a context.
    Unit,
    /// In a view that was opened and fills the screen.
    Opened,
    /// In a pop-up that is only read.
    Popup,
    /// Wherever something can be scrolled or selected.
    List,
    /// The same, but not while a recording is played.
    Top,
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
            Self::Findings => "Findings",
            Self::Lists => "Contexts, Experiments, Findings, Sources",
            Self::Panes => "Panes",
            Self::Listening => "Panes, while listening",
            Self::Replay => "Replay of a recording",
            Self::ReplayBar => "Replay, in the panes: along the bar",
            Self::Contexts => "Contexts",
            Self::Why => "Why",
            Self::Unit => "One context",
            Self::Opened => "Opened views",
            Self::Popup => "Help",
            Self::List => "Moving",
            Self::Top => "Moving, except in a replay",
            Self::Line => "Typing",
            Self::Choice => "Choosing",
            Self::Everywhere => "Everywhere",
        }
    }
}

/// All places, in the order in which they are listed.
pub const SCOPES: [Scope; 17] = [
    Scope::Panes,
    Scope::Listening,
    Scope::Replay,
    Scope::ReplayBar,
    Scope::Live,
    Scope::Findings,
    Scope::Lists,
    Scope::Contexts,
    Scope::List,
    Scope::Top,
    Scope::Why,
    Scope::Unit,
    Scope::Opened,
    Scope::Line,
    Scope::Choice,
    Scope::Popup,
    Scope::Everywhere,
];

/// A key with its modifiers. Shift is part of the character it makes; it is told apart for the left and right keys
/// only, where a terminal reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    code: KeyCode,
    control: bool,
    shift: bool,
}

const fn char(character: char) -> Chord {
    Chord { code: KeyCode::Char(character), control: false, shift: false }
}

const fn control(character: char) -> Chord {
    Chord { code: KeyCode::Char(character), control: true, shift: false }
}

const fn key(code: KeyCode) -> Chord {
    Chord { code, control: false, shift: false }
}

const fn shifted(code: KeyCode) -> Chord {
    Chord { code, control: false, shift: true }
}

impl From<KeyEvent> for Chord {
    fn from(event: KeyEvent) -> Self {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        let code = match event.code {
            // A terminal may report Ctrl with the letter in either case.
            KeyCode::Char(character) if control => KeyCode::Char(character.to_ascii_lowercase()),
            code => code,
        };
        let shift = event.modifiers.contains(KeyModifiers::SHIFT) && matches!(code, KeyCode::Left | KeyCode::Right);
        Self { code, control, shift }
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
            KeyCode::Left if self.shift => "shift-←".to_owned(),
            KeyCode::Right if self.shift => "shift-→".to_owned(),
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
    Lists [key(Key::Enter)] Do::Open, "open", "Open what is selected: an experiment in full, the story of a context, the events of a finding or a sender";
    Findings [char('x')] Do::TryFix, "try fix", "Try the fix of the selected finding on the events that are held: what would count then";
    Contexts [char('v')] Do::NextContexts, "others", "List other contexts: never exposed, never converting, crossover, placeholder, busiest";
    Panes [char('/')] Do::Filter, "filter", "Filter the focused pane";
    Replay [char(' ')] Do::Replay(Transport::Play), "play", "Play the recording, or pause it";
    ReplayBar [key(Key::Right)] Do::Replay(Transport::Right), "seek", "One cell of the bar forward";
    ReplayBar [key(Key::Left)] Do::Replay(Transport::Left), "", "One cell of the bar back";
    ReplayBar [shifted(Key::Right)] Do::Replay(Transport::FarRight), "", "Ten cells of the bar forward";
    ReplayBar [shifted(Key::Left)] Do::Replay(Transport::FarLeft), "", "Ten cells of the bar back";
    Replay [char('.')] Do::Replay(Transport::StepForward), "step", "One request forward";
    Replay [char(',')] Do::Replay(Transport::StepBack), "", "One request back";
    Replay [char(']')] Do::Replay(Transport::NextMark), "mark", "To the next mark";
    Replay [char('[')] Do::Replay(Transport::PreviousMark), "", "To the mark before";
    Replay [char('}')] Do::Replay(Transport::NextFinding), "finding", "To where the next finding was first seen";
    Replay [char('{')] Do::Replay(Transport::PreviousFinding), "", "To where the finding before was first seen";
    Replay [char('>')] Do::Replay(Transport::Faster), "faster", "Play faster";
    Replay [char('<')] Do::Replay(Transport::Slower), "", "Play slower";
    Replay [char('g')] Do::Replay(Transport::GoTo), "go to", "Go to a time, a part or a record: 12:03:04, +90s, 37%, #12";
    // Home and End belong to the list on screen, and `$`, the end of a line in vi, to LaunchDarkly's own events. The
    // digits begin with the panes, 1 to 5; of those left, the first and the last stand for the first and the last.
    Replay [char('0')] Do::Replay(Transport::Start), "", "To the start of the recording, where nothing is in yet";
    Replay [char('9')] Do::Replay(Transport::End), "", "To the end of the recording, where everything is in";
    Live [char('d')] Do::DroppedOnly, "dropped", "Show dropped events only, or all again";
    Listening [char(' ')] Do::Pause, "pause", "Freeze the view; what arrives is still taken in and judged";
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
    Panes [key(Key::Esc)] Do::Back, "", "Clear the filter of the focused pane, or leave the zoom; stops a recording that is opening or seeking first";

    Why [key(Key::Enter)] Do::SameVerdict, "events like this", "Show the events that have the same verdict for the same reason";
    Why [key(Key::Tab)] Do::SwapSide, "event / rules", "Move between the event, what Segment's mapping makes of it if it came that way, and the rules";
    Why [key(Key::Left), char('h')] Do::PreviousEvent, "previous", "Explain the previous event";
    Why [key(Key::Right), char('l')] Do::NextEvent, "next", "Explain the next event";
    Unit [key(Key::Enter)] Do::Open, "its events", "Show the events of this context in Live";
    Opened [key(Key::Esc), char('q')] Do::Back, "back", "Leave this view; stops a recording that is opening or seeking first";
    Opened [char('y')] Do::Copy, "copy", "Copy what is shown through the terminal (OSC 52)";
    Opened [char('w')] Do::Write, "write", "Write what is shown to a file";
    Opened [char('?')] Do::Help, "help", "Show every key";
    Popup [key(Key::Esc), char('q'), char('?')] Do::Back, "back", "Leave the help";

    List [key(Key::Up), char('k')] Do::Up, "", "One row up";
    List [key(Key::Down), char('j')] Do::Down, "", "One row down";
    List [key(Key::PageUp), control('u')] Do::PageUp, "", "One page up";
    List [key(Key::PageDown), control('d')] Do::PageDown, "", "One page down";
    List [key(Key::Home)] Do::First, "", "To the first row";
    Top [char('g')] Do::First, "", "To the first row";
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
    let bound_to = |chord: Chord| {
        scopes
            .iter()
            .flat_map(|scope| BINDINGS.iter().filter(move |binding| binding.scope == *scope))
            .find(|binding| binding.keys.contains(&chord))
            .map(|binding| binding.action.clone())
    };
    // Where shift makes no difference, the key is what it is without.
    let bound = bound_to(chord).or_else(|| bound_to(Chord { shift: false, ..chord }));
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
        let panes = View::Panes.scopes(Pane::Live, false);
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
    fn in_a_replay_space_plays_and_g_goes_to_a_time_and_while_listening_they_do_what_they_always_did() {
        let listening = View::Panes.scopes(Pane::Live, false);
        assert_eq!(lookup(listening, press(KeyCode::Char(' '))), Some(Action::Pause));
        assert_eq!(lookup(listening, press(KeyCode::Char('g'))), Some(Action::First));
        assert_eq!(lookup(listening, press(KeyCode::Char('.'))), None);
        for focus in [Pane::Live, Pane::Findings] {
            let replay = View::Panes.scopes(focus, true);
            assert_eq!(lookup(replay, press(KeyCode::Char(' '))), Some(Action::Replay(Transport::Play)));
            assert_eq!(lookup(replay, press(KeyCode::Char('g'))), Some(Action::Replay(Transport::GoTo)));
            assert_eq!(lookup(replay, press(KeyCode::Home)), Some(Action::First));
        }
    }

    #[test]
    fn shift_matters_along_the_bar_and_nowhere_else() {
        let shifted = KeyEvent::new(KeyCode::Left, KeyModifiers::SHIFT);
        let panes = View::Panes.scopes(Pane::Live, true);
        assert_eq!(lookup(panes, shifted), Some(Action::Replay(Transport::FarLeft)));
        assert_eq!(lookup(panes, press(KeyCode::Left)), Some(Action::Replay(Transport::Left)));
        assert_eq!(lookup(&[Scope::Line], shifted), Some(Action::Edit(Edit::Left)));
        let up = KeyEvent::new(KeyCode::Up, KeyModifiers::SHIFT);
        assert_eq!(lookup(panes, up), Some(Action::Up));
    }

    #[test]
    fn actions_have_the_names_a_person_would_type() {
        assert_eq!(Action::DroppedOnly.name(), "dropped-only");
        assert_eq!(Action::Focus(Pane::Findings).name(), "focus findings");
        assert_eq!(Action::Theme("mono".into()).name(), "theme mono");
        assert_eq!(Action::Replay(Transport::NextMark).name(), "replay next-mark");
    }
}
