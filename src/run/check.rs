//! `exptap check`.

use super::answer::{columns, mistake};
use super::{BAD_INPUT, CHECK_FAILED, judged, say};
use crate::check::{self, Case, Expectation, junit};
use crate::cli;
use crate::headless::{self, Failure, Read, Request};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// An expectation, and where it was written.
struct Written {
    place: String,
    text: String,
    expectation: Expectation,
}

/// Checks events against expectations.
pub(super) fn run(options: cli::Check) -> ExitCode {
    let expectations = match expectations(&options) {
        Ok(expectations) => expectations,
        Err(code) => return code,
    };
    let mut result = None;
    let code = judged(&options.judging, options.sources.clone(), options.observed_from, |request| {
        check(request, &options, &expectations, &mut result)
    });
    result.map_or(code, ExitCode::from)
}

/// All expectations, or every mistake in them: a build that is mended line by line is run too often.
fn expectations(options: &cli::Check) -> Result<Vec<Written>, ExitCode> {
    let bad = ExitCode::from(BAD_INPUT);
    let mut texts: Vec<(String, String)> = Vec::new();
    for text in &options.expect {
        texts.push(("--expect".to_owned(), text.clone()));
    }
    if let Some(path) = &options.expect_file {
        let name = path.display();
        let content = std::fs::read_to_string(path).map_err(|error| {
            say(format_args!("{name}: the expectations cannot be read: {error}"));
            bad
        })?;
        let lines =
            content.trim_start_matches('\u{feff}').lines().zip(1..).map(|(line, number)| (number, line.trim_end()));
        texts.extend(
            lines
                .filter(|(_, line)| !line.trim_start().is_empty() && !line.trim_start().starts_with('#'))
                .map(|(number, line)| (format!("{name}, line {number}"), line.to_owned())),
        );
        if texts.is_empty() {
            // Checking something else than the file says would be worse than checking nothing.
            say(format_args!("{name}: there is no expectation in it; expected one a line"));
            return Err(bad);
        }
    }
    if texts.is_empty() {
        texts.push(("--expect".to_owned(), check::DEFAULT.to_owned()));
    }
    let mut written = Vec::new();
    let mut is_right = true;
    for (place, text) in texts {
        match check::parse(&text) {
            Ok(expectation) => written.push(Written { place, text, expectation }),
            Err(error) => {
                is_right = false;
                mistake(&place, &text, error.column, &error.message);
            }
        }
    }
    if is_right { Ok(written) } else { Err(bad) }
}

/// `result` is known before anything is printed: a reader that goes away must not turn a failure into a success.
fn check(
    request: &Request,
    options: &cli::Check,
    expectations: &[Written],
    result: &mut Option<u8>,
) -> Result<Read, Failure> {
    let read = headless::read(request)?;
    let report = read.report();
    let (mut cases, mut is_known) = (Vec::new(), true);
    for Written { place, text, expectation } in expectations {
        match check::evaluate(expectation, &report, &read.catalog) {
            Ok(outcome) => cases.push(Case {
                expectation: text.trim().to_owned(),
                failure: (!outcome.holds).then_some((outcome.found, outcome.because)),
            }),
            Err(error) => {
                is_known = false;
                mistake(place, text, error.column, &error.message);
            }
        }
    }
    if !is_known {
        *result = Some(BAD_INPUT);
        return Ok(read);
    }
    *result = cases.iter().any(|case| case.failure.is_some()).then_some(CHECK_FAILED);
    let text = check::text::text(&cases, columns());
    match &options.junit {
        Some(path) if path == Path::new("-") => {
            say(text);
            io::stdout().lock().write_all(junit::xml(&options.sources.join(", "), &cases).as_bytes())?;
        }
        Some(path) => {
            if let Err(error) = std::fs::write(path, junit::xml(&options.sources.join(", "), &cases)) {
                say(format_args!("{}: the result cannot be written: {error}", path.display()));
                *result = Some(BAD_INPUT);
            }
            io::stdout().lock().write_all(text.as_bytes())?;
        }
        None => io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(read)
}
