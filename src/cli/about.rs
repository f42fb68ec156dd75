//! What exptap says of itself, in the words of `--help`.

use clap::Args;
use std::path::PathBuf;

/// Options of `healthcheck`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The exit code is 0 where a collector (or listen --share) answers, and 1 where none does.")]
pub struct Healthcheck {
    /// The collector's socket; without it, the usual one.
    #[arg(value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// Options of `completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  exptap completions bash > ~/.local/share/bash-completion/completions/exptap
  exptap completions zsh > ~/.zfunc/_exptap            # with fpath+=~/.zfunc before compinit
  exptap completions fish > ~/.config/fish/completions/exptap.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  exptap man listen | man -l -
  exptap man catalog pull > exptap-catalog-pull.1")]
pub struct Man {
    /// The command whose page it is; without it, exptap's own, which lists the commands.
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `themes`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  exptap themes dark > mine.toml               # change it, and then
  exptap --theme mine.toml")]
pub struct ThemesOf {
    /// Print the file of this one.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}
