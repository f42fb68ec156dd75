//! What exptap has to say of itself: completions for shells, manual pages, its themes and its keys.

use super::{BAD_INPUT, say};
use crate::app::keymap::{BINDINGS, SCOPES};
use crate::cli::{self, Cli};
use crate::ui::theme::built_in;
use clap::CommandFactory;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

/// Completions for a shell.
pub(super) fn completions(options: &cli::Completions) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "exptap", &mut text);
    print(&text)
}

/// A page of the manual: exptap's, or a command's.
pub(super) fn man(options: &cli::Man) -> ExitCode {
    let mut command = Cli::command();
    // Only once it is built does a command of a command know its whole name.
    command.build();
    let mut name = "exptap".to_owned();
    for word in &options.command {
        let Some(inner) = command.find_subcommand(word).cloned() else {
            say(format_args!("there is no command `{name} {word}`; exptap --help lists them"));
            return BAD_INPUT.into();
        };
        (command, name) = (inner, format!("{name} {word}"));
    }
    let mut text = Vec::new();
    match clap_mangen::Man::new(command).render(&mut text) {
        Ok(()) => print(&text),
        Err(error) => {
            say(format_args!("the page cannot be made: {error}"));
            BAD_INPUT.into()
        }
    }
}

/// The names of the themes, each with what its file says of it; or the file of one, to begin an own one with.
pub(super) fn themes(options: &cli::ThemesOf) -> ExitCode {
    let Some(name) = &options.name else {
        let mut text = String::new();
        for (name, file) in built_in() {
            let words = file.lines().next().and_then(|line| line.strip_prefix('#')).unwrap_or_default();
            let _ = writeln!(text, "{name:<14} {}", words.trim());
        }
        return print(text.as_bytes());
    };
    match built_in().find(|(built_in, _)| built_in == name) {
        Some((_, file)) => print(file.as_bytes()),
        None => {
            let names: Vec<&str> = built_in().map(|(name, _)| name).collect();
            say(format_args!("there is no theme {name}; there are {}", names.join(", ")));
            BAD_INPUT.into()
        }
    }
}

/// Every key, by place, as `?` shows it on screen.
pub(super) fn keys() -> ExitCode {
    let mut text = String::new();
    for (index, scope) in SCOPES.iter().enumerate() {
        let _ = writeln!(text, "{}{}", if index > 0 { "\n" } else { "" }, scope.title());
        for binding in BINDINGS.iter().filter(|binding| binding.scope == *scope) {
            let keys: Vec<String> = binding.keys.iter().map(|chord| chord.label()).collect();
            let _ = writeln!(text, "  {:<15} {}", keys.join(", "), binding.description);
        }
    }
    print(text.as_bytes())
}

/// Prints to standard output; a reader that has seen enough is no fault.
fn print(text: &[u8]) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
    }
}
