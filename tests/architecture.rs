//! Data goes one way, and the core stays a core: it names no terminal, no async runtime and no clock, touches no
//! file, socket, thread or environment variable, and knows nothing of the layers above it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the core. Each is `src/NAME.rs`, `src/NAME/`, or both.
const CORE: &[&str] = &[
    "attribution",
    "bucketing",
    "catalog",
    "check",
    "diff",
    "envelope",
    "event",
    "explain",
    "findings",
    "intake",
    "journal",
    "json",
    "near_miss",
    "probe",
    "protocol",
    "query",
    "recording",
    "reason",
    "redact",
    "report",
    "review",
    "segment",
    "session",
    "silenced",
    "statistics",
    "verdicts",
    "view",
    "what_if",
];

/// Modules that exist: one that vanishes is a rename that this list must follow, not a module that needs no guard.
const EXISTING: &[&str] = &[
    "attribution",
    "bucketing",
    "catalog",
    "check",
    "diff",
    "envelope",
    "event",
    "explain",
    "findings",
    "intake",
    "json",
    "near_miss",
    "protocol",
    "reason",
    "recording",
    "redact",
    "report",
    "review",
    "segment",
    "silenced",
    "statistics",
    "verdicts",
    "view",
    "what_if",
];

/// Paths the core must not name, and why not.
const FORBIDDEN: &[(&str, &str)] = &[
    ("ratatui", "the core knows no terminal"),
    ("crossterm", "the core knows no terminal"),
    ("tui_input", "the core knows no terminal"),
    ("tokio", "the core knows no async runtime"),
    ("axum", "the core serves nothing"),
    ("hyper", "the core serves nothing"),
    ("reqwest", "the core fetches nothing"),
    ("std::time::SystemTime", "time comes in with the data"),
    ("std::time::Instant", "time comes in with the data"),
    ("jiff::Timestamp::now", "time comes in with the data"),
    ("jiff::Zoned::now", "time comes in with the data"),
    ("Timestamp::now", "time comes in with the data"),
    ("Zoned::now", "time comes in with the data"),
    ("SystemTime::now", "time comes in with the data"),
    ("Instant::now", "time comes in with the data"),
    ("std::env", "options come in as values"),
    ("std::fs", "bytes come in as bytes"),
    ("std::net", "the core opens no socket"),
    ("std::thread", "the core starts no thread"),
    ("std::process", "the core starts and ends nothing"),
    ("crate::endpoint", "the endpoint is above the core"),
    ("crate::feed", "what is received is handed on above the core"),
    ("crate::attach", "a collector is a source"),
    ("crate::ui", "the screens are above the core"),
    ("crate::app", "the app is above the core"),
    ("crate::recorder", "files are written above the core"),
    ("crate::run", "the loop is above the core"),
    ("crate::spool", "what waits to be delivered lies above the core"),
    ("crate::terminal", "the terminal is above the core"),
    ("crate::replay", "replaying is above the core"),
    ("crate::demo", "the demo is a source"),
    ("crate::pull", "asking LaunchDarkly is above the core"),
    ("crate::tls", "certificates are made above the core"),
];

/// Every breach in a file's text: line and reason.
fn breaches(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, path) in named_paths(&without_tests(&without_comments_and_strings(source))) {
        for (forbidden, why) in FORBIDDEN {
            if starts_with_path(&path, forbidden) {
                found.push((line, format!("{path}: {why}")));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn starts_with_path(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The same text with comments and literals blanked out, lines kept: prose may name what code may not.
fn without_comments_and_strings(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut blanked = String::with_capacity(source.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let skipped = match rest {
            ['/', '/', ..] => rest.iter().position(|it| *it == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['r', ..] if raw_string_hashes(rest).is_some() && !ends_in_word(&blanked) => raw_string(rest),
            ['\'', '\\', ..] => 2 + rest[2..].iter().skip(1).position(|it| *it == '\'').map_or(1, |end| end + 2),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if skipped == 0 {
            blanked.push(characters[at]);
            at += 1;
        } else {
            let end = (at + skipped).min(characters.len());
            blanked.extend(characters[at..end].iter().map(|it| if *it == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    blanked
}

/// The same text with inline test modules blanked out, lines kept: a test may read its vectors from a file.
fn without_tests(blanked: &str) -> String {
    let Some((before, after)) = blanked.split_once("#[cfg(test)]\n") else { return blanked.to_owned() };
    let mut depth = 0;
    let end = after.char_indices().find(|(_, character)| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        // The item ends where its block closes, or at a semicolon if it has none.
        (*character == '}' || *character == ';') && depth == 0
    });
    let end = end.map_or(after.len(), |(at, _)| at + 1);
    let lines = "\n".repeat(1 + after[..end].matches('\n').count());
    format!("{before}{lines}{}", without_tests(&after[end..]))
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_')
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|it| **it == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = raw_string_hashes(rest).unwrap_or(0);
    let mut at = 2 + hashes;
    while at < rest.len() {
        let closed = rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|it| **it == '#').count() == hashes;
        at += 1;
        if closed {
            return at + hashes;
        }
    }
    at
}

/// Every path that is named, `use` groups taken apart, with its line.
fn named_paths(source: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut path = String::new();
    let mut line = 1;
    let mut flush = |path: &mut String, prefixes: &[String], line: usize| {
        let named = path.trim_matches(':');
        if !named.is_empty() {
            paths.push((line, format!("{}{named}", prefixes.concat())));
        }
        path.clear();
    };
    for character in source.chars() {
        match character {
            '{' if path.ends_with("::") => prefixes.push(std::mem::take(&mut path)),
            // A block, not a group: it closes with a brace of its own.
            '{' => {
                flush(&mut path, &prefixes, line);
                prefixes.push(String::new());
            }
            '}' => {
                flush(&mut path, &prefixes, line);
                prefixes.pop();
            }
            ':' => path.push(':'),
            it if it.is_alphanumeric() || it == '_' => {
                if path.ends_with(':') && !path.ends_with("::") {
                    path.clear();
                }
                path.push(it);
            }
            other => {
                flush(&mut path, &prefixes, line);
                if other == '\n' {
                    line += 1;
                }
            }
        }
    }
    flush(&mut path, &prefixes, line);
    paths
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of a module, its sub-modules' included; none where there is no such module.
fn files_of(module: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let single = source_folder().join(format!("{module}.rs"));
    if single.is_file() {
        files.push(single);
    }
    let mut folders = vec![source_folder().join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_core_names_no_terminal_runtime_clock_or_layer_above_it() {
    let mut found = Vec::new();
    for module in CORE {
        for file in files_of(module) {
            let source = fs::read_to_string(&file).unwrap();
            let name = file.strip_prefix(source_folder().parent().unwrap()).unwrap().display().to_string();
            found.extend(breaches(&source).into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
        }
    }
    assert!(found.is_empty(), "the core reaches outside itself:\n{}", found.join("\n"));
}

#[test]
fn the_modules_that_are_guarded_exist() {
    for module in EXISTING {
        assert!(CORE.contains(module), "{module} is not among the core's modules");
        assert!(!files_of(module).is_empty(), "src/{module}.rs or src/{module}/ is gone: rename it here as well");
    }
}

#[test]
fn the_guard_finds_every_forbidden_name_however_it_is_written() {
    for (forbidden, _) in FORBIDDEN {
        let direct = format!("fn f() {{\n    let x = {forbidden}::something();\n}}\n");
        assert!(breaches(&direct).iter().any(|(line, _)| *line == 2), "{forbidden} used in place");
        let imported = format!("//! Words.\n\nuse {forbidden};\n");
        assert!(breaches(&imported).iter().any(|(line, _)| *line == 3), "{forbidden} imported");
        if let Some((parent, child)) = forbidden.rsplit_once("::") {
            let grouped = format!("use {parent}::{{\n    Other,\n    {child},\n}};\n");
            assert!(breaches(&grouped).iter().any(|(line, _)| *line == 3), "{forbidden} imported in a group");
        }
    }
    let nested =
        "use std::{collections::HashMap, time::{Duration, Instant as Clock}};\nuse crate::{catalog, ui::theme};";
    assert_eq!(
        breaches(nested),
        [
            (1, "std::time::Instant: time comes in with the data".to_owned()),
            (2, "crate::ui::theme: the screens are above the core".to_owned()),
        ]
    );
}

#[test]
fn the_guard_leaves_prose_literals_and_names_that_only_look_alike_alone() {
    let innocent = r##"
        //! Speaks of tokio, std::fs and crate::ui without using them.
        /* nor ratatui /* nested */ crossterm */
        use std::time::Duration;
        use std::collections::{BTreeMap, BTreeSet};
        use crate::uid;
        const TEXT: &str = "std::net \" tokio";
        const RAW: &str = r#"crate::run "quoted" std::env"#;
        const QUOTE: char = '"'; const ESCAPED: char = '\'';
        fn tokio_like<'a>(hyperlink: &'a str) -> &'a str { hyperlink }
        struct Row { app: u8, run: u8 }
    "##;
    assert_eq!(breaches(innocent), []);
    let tested =
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() { if true {} }\n}\nuse std::net::SocketAddr;\n";
    assert_eq!(breaches(tested), [(6, "std::net::SocketAddr: the core opens no socket".to_owned())]);
    assert_eq!(breaches("#[cfg(test)]\nmod tests;\nuse std::fs;\n").len(), 1);
    assert_eq!(breaches("const QUOTE: char = '\"'; use tokio::spawn;").len(), 1);
    assert_eq!(breaches("const ESCAPED: char = '\\''; use tokio::spawn;").len(), 1);
}
