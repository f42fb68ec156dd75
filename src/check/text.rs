//! What was checked, for people.

use super::Case;
use crate::report::page::Page;
use crate::untrusted::Untrusted;

/// A line per expectation, under those that fail what is there instead, and a summary; wrapped to so many columns if
/// any are given.
pub fn text(cases: &[Case], columns: Option<usize>) -> String {
    let safe = |text: &str| Untrusted::from(text).escaped().to_string();
    let mut page = Page::new(columns);
    for case in cases {
        let Some((found, because)) = &case.failure else {
            page.line("ok    ", &safe(&case.expectation));
            continue;
        };
        page.line("FAIL  ", &safe(&case.expectation));
        page.line("      ", &safe(found));
        for line in because {
            match line.strip_prefix("  → ") {
                Some(fix) => page.line("        → ", &safe(fix)),
                None => page.line("      - ", &safe(line)),
            }
        }
    }
    let failed = cases.iter().filter(|case| case.failure.is_some()).count();
    let summary = match (cases.len(), failed) {
        (1, 0) => "the expectation holds".to_owned(),
        (1, _) => "the expectation does not hold".to_owned(),
        (all, 0) => format!("all {all} expectations hold"),
        (all, failed) => format!("{failed} of {all} expectations {} not hold", if failed == 1 { "does" } else { "do" }),
    };
    page.line("", &summary);
    page.into_text()
}
