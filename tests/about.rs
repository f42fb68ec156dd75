//! What exptap says of itself is made from what it does: completions, manual pages, themes and keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use clap::CommandFactory;
use exptap::app::keymap::{BINDINGS, SCOPES};
use std::process::{Command, Output};

fn exptap(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_exptap")).args(words).output().unwrap()
}

fn printed(words: &[&str]) -> String {
    let output = exptap(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_shell_gets_completions_that_know_the_commands_and_their_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = printed(&["completions", shell]);
        for word in ["collect", "what-if", "tls-cert", "print-unit"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let bash = Command::new("bash").args(["-n", "-c", &printed(&["completions", "bash"])]).status().unwrap();
    assert!(bash.success());
    assert_eq!(exptap(&["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_page_of_the_manual_with_its_options() {
    fn walk(command: &clap::Command, words: &mut Vec<String>, pages: &mut u32) {
        let asked: Vec<&str> = ["man"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let page = printed(&asked);
        let name = ["exptap"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>();
        assert!(page.contains(&format!(".TH {} 1", name.join("-"))), "{asked:?}: {page}");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            let written = option.replace('-', "\\-");
            assert!(page.contains(&written), "{asked:?}: {option}");
        }
        *pages += 1;
        for inner in command.get_subcommands() {
            words.push(inner.get_name().to_owned());
            walk(inner, words, pages);
            words.pop();
        }
    }
    let mut pages = 0;
    walk(&exptap::cli::Cli::command(), &mut Vec::new(), &mut pages);
    assert!(pages > 20, "{pages}");
    let output = exptap(&["man", "catalog", "push"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no command `exptap catalog push`"));
}

#[test]
fn themes_are_listed_with_what_they_are_and_one_can_be_had_as_a_file() {
    let list = printed(&["themes"]);
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, exptap::ui::theme::Themes::built_in().names());
    assert!(list.lines().all(|line| line.split_whitespace().count() > 2), "{list}");
    let mut themes = exptap::ui::theme::Themes::built_in();
    assert_eq!(themes.add("mine", &printed(&["themes", "dusk"])), Vec::<String>::new());
    let output = exptap(&["themes", "dsuk"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no theme dsuk; there are default, dark"));
}

#[test]
fn every_key_is_listed_under_its_place() {
    let list = printed(&["keys"]);
    for binding in BINDINGS {
        assert!(SCOPES.contains(&binding.scope), "{:?}", binding.scope);
        assert!(list.contains(binding.description), "{}", binding.description);
    }
    assert!(list.starts_with("Panes\n"), "{list}");
}
