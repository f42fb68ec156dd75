//! `exptap report` and `exptap verdicts`, and what the commands without a screen share.

use super::{BAD_INPUT, judged, now_ms, say};
use crate::cli::{self, Format};
use crate::headless::{self, Read};
use crate::query::{Query, Situation};
use crate::report::markdown::{self, Watched};
use crate::report::table;
use crate::untrusted::Untrusted;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// `exptap report`.
pub(super) fn report(options: cli::Report) -> ExitCode {
    let names = options.sources.clone();
    judged(&options.judging, options.sources, options.observed_from, |request| {
        let read = headless::read(request)?;
        let mut report = read.report();
        headless::try_fixes(request, &read, &mut report)?;
        let mut output = BufWriter::new(io::stdout().lock());
        match options.format {
            Format::Json => {
                serde_json::to_writer(&mut output, &report).map_err(io::Error::from)?;
                output.write_all(b"\n")?;
            }
            Format::Table => output.write_all(table::text(&report).as_bytes())?,
            Format::Markdown => output.write_all(markdown::text(&report, &watched(names, &read)).as_bytes())?,
        }
        output.flush()?;
        Ok(read)
    })
}

/// A source's name for others. A path says where somebody keeps their files; its last part is enough to know it by.
pub(super) fn short_name(source: &str) -> String {
    match source {
        "-" => "standard input".to_owned(),
        path => std::path::Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy().into_owned()),
    }
}

/// What the report's Markdown says beside the report.
fn watched(sources: Vec<String>, read: &Read) -> Watched {
    Watched {
        sources: sources.iter().map(|source| short_name(source)).collect(),
        span_ms: read.state.totals().span_ms,
        first_unreadable: read.unreadable.as_ref().map(|unreadable| unreadable.first.to_string()),
    }
}

/// `exptap verdicts`.
pub(super) fn verdicts(options: cli::Verdicts) -> ExitCode {
    let filter = match filter(options.filter.as_deref()) {
        Ok(filter) => filter,
        Err(code) => return code,
    };
    judged(&options.judging, options.sources, options.observed_from, |request| {
        let mut output = BufWriter::new(io::stdout().lock());
        if filter.is_empty() {
            headless::verdicts(request, &mut output)
        } else {
            headless::verdicts_matching(request, &filter, &mut output)
        }
    })
}

/// Reads a filter. What is printed without a screen is in UTC, and so are the times of day in it.
pub(super) fn filter(text: Option<&str>) -> Result<Query, ExitCode> {
    let text = text.unwrap_or_default();
    Query::parse(text, Situation { now_ms: now_ms(), utc_offset_seconds: 0 }).map_err(|error| {
        mistake("--filter", text, error.column, &error.message);
        ExitCode::from(BAD_INPUT)
    })
}

/// Says what is wrong with an expression, and shows where.
pub(super) fn mistake(place: &str, text: &str, column: usize, message: &str) {
    let before: String = text.chars().take(column.saturating_sub(1)).collect();
    let columns = Untrusted::from(before.as_str()).columns();
    say(format_args!("{place}, column {column}: {message}"));
    // Several lines would not be where the caret says.
    if !text.contains(['\n', '\r']) {
        say(format_args!("    {text}"));
        say(format_args!("    {}^", " ".repeat(columns)));
    }
}

/// The columns to wrap to: a terminal's, and in a pipe none.
pub(super) fn columns() -> Option<usize> {
    let size =
        || crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0);
    io::stdout().is_terminal().then(size).flatten()
}
