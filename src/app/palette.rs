//! The command palette: every command, narrowed by what is typed.

use super::action::Action;
use super::keymap::{BINDINGS, Scope};
use crate::query::fuzzy_score;

/// A command as the palette lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it does when taken.
    pub action: Action,
    /// Its name.
    pub name: String,
    /// What it does, in words.
    pub description: String,
    /// The key that does the same, if any.
    pub key: String,
}

/// Every command that makes sense from the panes, and one for each theme.
pub fn commands(themes: &[String], replaying: bool) -> Vec<Command> {
    let of_the_panes = |scope| match scope {
        Scope::Live | Scope::Findings | Scope::Lists | Scope::Panes | Scope::Everywhere => true,
        Scope::Listening => !replaying,
        Scope::Replay | Scope::ReplayBar => replaying,
        _ => false,
    };
    let bound = BINDINGS
        .iter()
        .filter(|binding| of_the_panes(binding.scope))
        .filter(|binding| !matches!(binding.action, Action::Palette | Action::Back | Action::Open))
        .map(|binding| Command {
            action: binding.action.clone(),
            name: binding.action.name(),
            description: binding.description.to_owned(),
            key: binding.keys.first().map(|chord| chord.label()).unwrap_or_default(),
        });
    let themes = themes.iter().map(|theme| {
        let action = Action::Theme(theme.clone());
        Command { name: action.name(), action, description: format!("Take the theme {theme}"), key: String::new() }
    });
    let mut commands: Vec<Command> = Vec::new();
    for command in bound.chain(themes) {
        if !commands.iter().any(|known| known.action == command.action) {
            commands.push(command);
        }
    }
    commands
}

/// Indexes of the texts that fit what was typed, best first; all of them, in order, where nothing was typed.
pub fn narrow<'a>(typed: &str, texts: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let typed = typed.trim();
    if typed.is_empty() {
        return texts.enumerate().map(|(index, _)| index).collect();
    }
    let mut scored: Vec<(i64, usize)> =
        texts.enumerate().filter_map(|(index, text)| fuzzy_score(text, typed).map(|score| (score, index))).collect();
    scored.sort_by_key(|(score, index)| (std::cmp::Reverse(*score), *index));
    scored.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_few_letters_find_a_command_by_its_name() {
        let commands = commands(&["default".into(), "mono".into()], false);
        let found = narrow("drop", commands.iter().map(|command| command.name.as_str()));
        assert_eq!(commands[found[0]].action, Action::DroppedOnly);
        let found = narrow("thmono", commands.iter().map(|command| command.name.as_str()));
        assert_eq!(commands[found[0]].action, Action::Theme("mono".into()));
        assert!(narrow("zzzz", commands.iter().map(|command| command.name.as_str())).is_empty());
    }

    #[test]
    fn every_command_is_listed_once() {
        for replaying in [false, true] {
            let commands = commands(&[], replaying);
            for (index, command) in commands.iter().enumerate() {
                assert!(commands[..index].iter().all(|other| other.action != command.action), "{}", command.name);
                assert!(commands[..index].iter().all(|other| other.name != command.name), "{}", command.name);
            }
            let plays = commands.iter().any(|command| command.name == "replay play");
            let freezes = commands.iter().any(|command| command.action == Action::Pause);
            assert_eq!((plays, freezes), (replaying, !replaying));
        }
    }
}
