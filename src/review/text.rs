//! A review in words and as JSON.

use super::{Concern, Review};
use crate::reason::Severity;
use crate::report::page::Page;
use crate::report::table::safe;
use crate::segment::{Action, MappingKinds};
use serde::Serialize;
use std::fmt::Write;

/// So many concerns of one code that are only worth knowing are told one by one; more are told together.
const TOLD: usize = 3;

/// The review as text, wrapped to so many columns. `file` is what the catalog is called.
pub fn text(review: &Review, file: &str, columns: Option<usize>) -> String {
    let mut text = Page::new(columns);
    if let Some(mappings) = &review.mappings {
        text.line("", "Segment can send these context kinds:");
        mappings.iter().for_each(|mapping| write_mapping(&mut text, mapping));
        text.line("", "");
    }
    let mut told: Vec<&str> = Vec::new();
    for concern in &review.concerns {
        let same: Vec<&Concern> = review.concerns.iter().filter(|it| it.code == concern.code).collect();
        if concern.severity == Severity::Info
            && same.len() > TOLD
            && same.iter().all(|it| it.severity == Severity::Info)
        {
            if !told.contains(&concern.code) {
                told.push(concern.code);
                write_together(&mut text, &same);
            }
            continue;
        }
        write_concern(&mut text, concern, file);
    }
    let (experiments, metrics) = review.looked_at;
    let count = |severity: Severity, what: &str| counted(review.count(severity), what);
    let mut sum = String::new();
    let _ = write!(
        sum,
        "{}, {}, {} in {} that {} or may yet, and {}.",
        count(Severity::Error, "mistake"),
        count(Severity::Warning, "warning"),
        count(Severity::Info, "remark"),
        counted(experiments, "experiment"),
        if experiments == 1 { "runs" } else { "run" },
        counted(metrics, "metric"),
    );
    text.line("", &sum);
    text.into_text()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn write_mapping(text: &mut Page, mapping: &MappingKinds) {
    let head = format!("  mapping {}  ", mapping.mapping);
    let sends = match (&mapping.refusal, mapping.action) {
        (Some(_), _) => "nothing, it is refused".to_owned(),
        (None, Action::AliasUser) => "none, it sends no conversions".to_owned(),
        (None, Action::TrackEvent) => {
            let named = mapping.kinds.iter().map(|it| format!("{} (from {})", it.kind, it.from));
            let open = mapping.open.iter().map(|it| format!("whatever {it} gives"));
            named.chain(open).collect::<Vec<_>>().join(", ")
        }
    };
    text.line(&head, &safe(&format!("{} of {}: {sends}", mapping.action.name(), mapping.trigger)));
}

fn write_concern(text: &mut Page, concern: &Concern, file: &str) {
    let place = concern.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    text.line("", &format!("{} {}  {}", concern.severity.word(), concern.code, safe(&place)));
    for words in [&concern.what, &concern.why].into_iter().filter(|words| !words.is_empty()) {
        text.line("  ", &safe(words));
    }
    if !concern.fix.is_empty() {
        text.line("  To change: ", &safe(&concern.fix));
    }
    text.line("", "");
}

fn write_together(text: &mut Page, concerns: &[&Concern]) {
    let Some(first) = concerns.first() else { return };
    let name = |concern: &&Concern| concern.metric.clone().or_else(|| concern.experiment.clone()).unwrap_or_default();
    let names: Vec<String> = concerns.iter().map(name).collect();
    text.line("", &format!("info {}  {} times", first.code, names.len()));
    text.line("  ", &safe(&names.join(", ")));
    text.line("  ", &safe(&first.why));
    text.line("", "");
}

/// The review for programs. Its fields are a contract: `docs/catalog.md`.
#[derive(Serialize)]
struct Json<'a> {
    exptap_catalog_check: u8,
    file: &'a str,
    errors: usize,
    warnings: usize,
    infos: usize,
    findings: &'a [Concern],
    mappings: Option<Vec<Mapping<'a>>>,
}

#[derive(Serialize)]
struct Mapping<'a> {
    mapping: usize,
    action: &'static str,
    trigger: &'a str,
    error: Option<&'a str>,
    kinds: Vec<Kind<'a>>,
    any_from: &'a [String],
}

#[derive(Serialize)]
struct Kind<'a> {
    kind: &'a str,
    from: &'a str,
}

/// The review as one JSON value.
///
/// # Errors
/// None that a review can cause.
pub fn json(review: &Review, file: &str) -> serde_json::Result<String> {
    serde_json::to_string(&Json {
        exptap_catalog_check: 1,
        file,
        errors: review.count(Severity::Error),
        warnings: review.count(Severity::Warning),
        infos: review.count(Severity::Info),
        findings: &review.concerns,
        mappings: review.mappings.as_ref().map(|mappings| mappings.iter().map(mapping_json).collect()),
    })
}

fn mapping_json(mapping: &MappingKinds) -> Mapping<'_> {
    Mapping {
        mapping: mapping.mapping,
        action: mapping.action.name(),
        trigger: &mapping.trigger,
        error: mapping.refusal.as_deref(),
        kinds: mapping.kinds.iter().map(|it| Kind { kind: &it.kind, from: &it.from }).collect(),
        any_from: &mapping.open,
    }
}
