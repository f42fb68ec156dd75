//! The documentation cannot drift from the code: `docs/reasons.md` is the reason table, and every other page names
//! only what exists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use exptap::reason::{Category, REASONS, Reason, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Set to 1 to write `docs/reasons.md` instead of comparing it.
const UPDATE: &str = "EXPTAP_UPDATE_DOCS";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

fn sort_of(reason: &Reason) -> String {
    match reason.role {
        Role::Verdict(category) => format!("verdict, sorted under *{}*", category.name()),
        Role::Warning => "remark beside a verdict".to_owned(),
        Role::Finding => "finding".to_owned(),
    }
}

/// Rules as links to the page that explains them; rows of the failure catalogue have no rule of their own.
fn rules(reason: &Reason) -> String {
    let linked: Vec<String> = reason
        .rule
        .split(' ')
        .map(|rule| {
            let first = rule.split('-').next().unwrap_or(rule);
            if rule.starts_with('F') {
                "none: made from several verdicts".to_owned()
            } else {
                format!("[{rule}](attribution.md#{})", first.to_lowercase())
            }
        })
        .collect();
    linked.join(", ")
}

/// Title, meaning, and which roles belong to it.
type Section = (&'static str, &'static str, &'static dyn Fn(&Role) -> bool);

fn page() -> String {
    let mut page = String::from(
        "# Reason codes\n\n\
         <!-- Written from src/reason.rs by tests/docs.rs: EXPTAP_UPDATE_DOCS=1 cargo test --test docs -->\n\n\
         Every outcome exptap can give an event, and every fault it can name. Codes are spelled the same on screen, in\n\
         JSON and here. Words in braces are filled in with what the event is about. The rules are explained in\n\
         [attribution.md](attribution.md), where the marks DOC, CODE, CORR and CHOICE are explained too.\n",
    );
    let sections: [Section; 7] = [
        ("Conversions that count", "The conversion is credited to an arm.", &|role| {
            *role == Role::Verdict(Category::Counted)
        }),
        ("Exposures", "The evaluation puts a unit into an arm, or repeats it.", &|role| {
            *role == Role::Verdict(Category::Exposure)
        }),
        ("Not decided", "More may still arrive, or it cannot be told from what was observed.", &|role| {
            matches!(role, Role::Verdict(Category::Pending | Category::Unknown))
        }),
        ("Dropped", "It does not count, for a known reason.", &|role| *role == Role::Verdict(Category::Dropped)),
        ("Not judged", "No experiment asks, a retry, or not readable.", &|role| {
            matches!(role, Role::Verdict(Category::NotAbout | Category::Duplicate | Category::Undecodable))
        }),
        ("Remarks", "They stand beside a verdict and change nothing about it.", &|role| *role == Role::Warning),
        (
            "Findings",
            "Faults that only several verdicts together show. Most findings carry a verdict's code instead.",
            &|role| *role == Role::Finding,
        ),
    ];
    for (title, meaning, belongs) in sections {
        write!(page, "\n## {title}\n\n{meaning}\n").unwrap();
        for reason in REASONS.iter().filter(|reason| belongs(&reason.role)) {
            write!(page, "\n### {}\n\n{}\n\n", reason.name, reason.text).unwrap();
            if !reason.fix.is_empty() {
                write!(page, "**What to change:** {}\n\n", reason.fix).unwrap();
            }
            let grade = reason.grade;
            writeln!(
                page,
                "{} · severity {} · rule {} · {}: {}",
                sort_of(reason),
                reason.severity.word(),
                rules(reason),
                grade.mark(),
                grade.meaning()
            )
            .unwrap();
        }
    }
    page
}

/// Where a heading can be linked to, as Markdown renderers make it, and anchors that are spelled out.
fn anchors(page: &str) -> BTreeSet<String> {
    let spelled = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    heading_anchors(page).into_iter().chain(spelled).collect()
}

fn heading_anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(|it| it.is_alphanumeric() || "- _".contains(*it)).collect::<String>().replace(' ', "-")
    });
    headings.collect()
}

#[test]
fn the_page_of_reason_codes_is_the_reason_table() {
    let (expected, path) = (page(), root().join("docs/reasons.md"));
    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        fs::write(&path, &expected).unwrap();
    }
    let found = read("docs/reasons.md");
    let differing = expected.lines().zip(found.lines()).position(|(expected, found)| expected != found);
    assert!(
        found == expected,
        "docs/reasons.md differs from src/reason.rs (line {}); run {UPDATE}=1 cargo test --test docs",
        differing.map_or_else(|| "count".to_owned(), |line| (line + 1).to_string())
    );
}

#[test]
fn every_reason_code_has_its_anchor_exactly_once() {
    let anchors = heading_anchors(&page());
    for reason in REASONS {
        // A second heading of the same name, in whatever case, would be given a number and take the first one's links.
        let same = anchors.iter().filter(|anchor| **anchor == reason.anchor()).count();
        assert_eq!(same, 1, "{}", reason.name);
    }
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let pages = [
        "README.md",
        "CHANGELOG.md",
        "docs/attribution.md",
        "docs/bucketing.md",
        "docs/catalog.md",
        "docs/check.md",
        "docs/diff.md",
        "docs/explain.md",
        "docs/failures.md",
        "docs/packages.md",
        "docs/reasons.md",
        "docs/redact.md",
        "docs/replay.md",
        "docs/report.md",
        "docs/segment.md",
        "docs/sources.md",
        "docs/what-if.md",
    ];
    let mut links = 0;
    for page in pages {
        let text = read(page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked =
                if file.is_empty() { root().join(page) } else { root().join(page).parent().unwrap().join(file) };
            assert!(linked.is_file(), "{page} links to {target}, which is not there");
            if !anchor.is_empty() {
                let there = fs::read_to_string(&linked).unwrap();
                assert!(anchors(&there).contains(anchor), "{page} links to {target}: no such anchor");
            }
        }
    }
    assert!(links > 50, "{links} links were found: is the search broken?");
}

#[test]
fn every_rule_of_the_reason_table_is_explained() {
    let explained = anchors(&read("docs/attribution.md"));
    for reason in REASONS {
        for rule in reason.rule.split([' ', '-']).filter(|rule| !rule.starts_with('F')) {
            assert!(explained.contains(&rule.to_lowercase()), "docs/attribution.md does not explain {rule}");
        }
    }
}

/// Names of all options, with those of every command.
/// Everything written in Rust below a folder.
fn rust(folder: &std::path::Path) -> String {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let texts = entries.into_iter().map(|path| match path.extension() {
        Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
        _ if path.is_dir() => rust(&path),
        _ => String::new(),
    });
    texts.collect()
}

#[test]
fn every_fault_has_a_row_and_a_test_that_is_there_or_a_reason() {
    let page = read("docs/faults.md");
    let tests = rust(&root().join("tests")) + &rust(&root().join("src"));
    let cases = read("tests/data/vectors/attribution.json");
    let mut numbers = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        let (number, says, seen_in): (u32, &str, &str) = (cells[0].parse().unwrap(), cells[2], cells[3]);
        assert!(numbers.insert(number), "row {number} is there twice");
        if says.is_empty() {
            assert!(seen_in.contains(' '), "row {number} says why there is no test");
        } else if seen_in.len() == 3 {
            assert!(cases.contains(&format!("\"{seen_in}\"")), "row {number}: no case {seen_in}");
        } else {
            assert!(tests.contains(&format!("fn {seen_in}(")), "row {number}: no test {seen_in}");
        }
    }
    assert_eq!(numbers, (1..=51).collect());
}

fn options(command: &clap::Command, names: &mut BTreeSet<String>) {
    let long = command.get_arguments().filter_map(|argument| argument.get_long());
    names.extend(long.filter(|name| !["help", "version"].contains(name)).map(|name| format!("--{name}")));
    for inner in command.get_subcommands() {
        options(inner, names);
    }
}

#[test]
fn the_readme_lists_every_option_and_no_page_speaks_of_another() {
    use clap::CommandFactory;
    let mut names = BTreeSet::new();
    options(&exptap::cli::Cli::command(), &mut names);
    let readme = read("README.md");
    for name in &names {
        assert!(readme.contains(&format!("`{name}")), "README.md does not list {name}");
    }
    // Options of other programs that appear in the pages.
    names.extend(["--cacert", "--ignored", "--nocapture", "--release", "--test"].map(str::to_owned));
    for page in [
        "README.md",
        "docs/attribution.md",
        "docs/bucketing.md",
        "docs/catalog.md",
        "docs/check.md",
        "docs/diff.md",
        "docs/explain.md",
        "docs/failures.md",
        "docs/recordings.md",
        "docs/redact.md",
        "docs/replay.md",
        "docs/report.md",
        "docs/segment.md",
        "docs/sources.md",
        "docs/what-if.md",
    ] {
        let text = read(page);
        for rest in text.split("--").skip(1).filter(|rest| rest.starts_with(|it: char| it.is_ascii_lowercase())) {
            let name: String = rest.chars().take_while(|it| it.is_ascii_lowercase() || *it == '-').collect();
            assert!(names.contains(&format!("--{name}")), "{page} speaks of --{name}, which does not exist");
        }
    }
}

/// Which commands have which option; a command of a command is named with it, as it is typed.
fn commands_by_option(command: &clap::Command, within: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for inner in command.get_subcommands() {
        let name = format!("{within}{}", inner.get_name());
        for option in inner.get_arguments().filter_map(|argument| argument.get_long()).filter(|it| *it != "help") {
            found.entry(format!("--{option}")).or_default().insert(name.clone());
        }
        commands_by_option(inner, &format!("{name} "), found);
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_readme_says_of_every_option_which_commands_have_it() {
    use clap::CommandFactory;
    let mut actual = BTreeMap::new();
    commands_by_option(&exptap::cli::Cli::command(), "", &mut actual);
    let commands: BTreeSet<String> = actual.values().flatten().cloned().collect();
    let readme = read("README.md");
    let (_, judging) = readme.split_once("The judging commands are ").expect("README.md names the judging commands");
    let judging: BTreeSet<String> = quoted(judging.split_once(".\n").unwrap().0).map(str::to_owned).collect();

    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in readme.lines().filter(|line| line.starts_with("| `--")) {
        let row = row.replace("\\|", "/");
        let cells: Vec<&str> = row.split('|').collect();
        let named = |text| quoted(text).map(str::to_owned).filter(|name| commands.contains(name));
        let of: BTreeSet<String> = match cells[2].trim().strip_prefix("the judging ones") {
            None => named(cells[2]).collect(),
            Some(rest) => {
                let (but, and) = match rest.strip_prefix(" but ") {
                    Some(but) => but.split_once(',').unwrap_or((but, "")),
                    None => ("", rest),
                };
                let but: BTreeSet<String> = named(but).collect();
                judging.difference(&but).cloned().chain(named(and)).collect()
            }
        };
        for option in quoted(cells[1]) {
            let name = option.split_once(' ').map_or(option, |(name, _)| name);
            told.entry(name.to_owned()).or_default().extend(of.clone());
        }
    }
    assert_eq!(told, actual);
}

#[test]
fn the_catalogs_in_the_documentation_can_be_read() {
    use exptap::catalog::Origin;
    use exptap::catalog::load::{Format, from_text};
    for page in ["README.md", "docs/catalog.md"] {
        let text = read(page);
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let whole: Vec<&str> =
            blocks.filter(|it| it.contains("[[metrics]]") && it.contains("[[experiments]]")).collect();
        assert_eq!(whole.len(), 1, "{page}");
        let catalog = from_text(whole[0], page, Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(catalog.experiments[0].key, "checkout-button-test");
    }
    let text = read("docs/catalog.md");
    let after = text.split("iterations without an `id`").nth(1).unwrap();
    let iterations = after.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let metric = "[[metrics]]\nkey = \"checkout-conversion\"\nevent_key = \"checkout\"\n";
    let catalog = from_text(&format!("{metric}{iterations}"), "iterations", Format::Toml, Origin::File).unwrap();
    assert_eq!(catalog.experiments[0].iterations.len(), 2);
    assert_eq!(catalog.experiments[0].iterations[1].randomization_unit, "device");
}

#[test]
fn the_mapping_file_in_the_documentation_can_be_read_and_sends_what_is_shown() {
    use exptap::catalog::load::Format;
    use exptap::segment::mapping_file;
    let text = read("docs/segment.md");
    let block = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let file =
        mapping_file::from_text(block, "docs/segment.md", Format::Json).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(file.remarks, []);
    let row = text.lines().find(|line| line.starts_with("{\"input\":0")).unwrap();
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    assert_eq!(row["request"]["body"][0]["data"]["revenue"], "12.50");
}
