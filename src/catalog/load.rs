//! Reading a catalog from TOML or JSON, with every mistake named by file, line and column.
//!
//! A catalog is taken whole or not at all: judging by half of one would show verdicts that are wrong for a reason
//! nobody sees. So reading goes on after a mistake only to find the others.

use super::read::read_catalog;
use super::tree::{Fault, Node, read_json, read_toml};
use super::{Catalog, Origin};
use std::fmt;
use std::path::Path;

/// The notation of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML, as people write it.
    Toml,
    /// JSON of the same shape, as recordings hold it.
    Json,
}

impl Format {
    /// By the file's extension; where that says nothing, by its first character, which only JSON has as a brace.
    pub fn of(file: &str, text: &str) -> Self {
        match Path::new(file)
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("toml") => Self::Toml,
            Some("json") => Self::Json,
            _ if text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{') => Self::Json,
            _ => Self::Toml,
        }
    }
}

/// One mistake in a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What was found, what was expected, and what to do.
    pub message: String,
}

/// Why a catalog was refused: all its mistakes, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CatalogError {
    /// The file, as the user named it.
    pub file: String,
    /// Its mistakes; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for CatalogError {
    /// One line per mistake: `file:line:column: message`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_problems(formatter, &self.file, &self.problems)
    }
}

/// Writes one line per mistake: `file:line:column: message`.
pub(crate) fn write_problems(formatter: &mut fmt::Formatter<'_>, file: &str, problems: &[Problem]) -> fmt::Result {
    for (index, Problem { line, column, message }) in problems.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        write!(formatter, "{separator}{file}:{line}:{column}: {message}")?;
    }
    Ok(())
}

/// Reads a catalog. `file` is only named in errors; `origin` is recorded in the catalog.
///
/// # Errors
/// [`CatalogError`] with every mistake that can be found: if the notation itself is broken, only what is wrong with
/// that.
pub fn from_text(text: &str, file: &str, format: Format, origin: Origin) -> Result<Catalog, CatalogError> {
    let text = without_mark(text);
    read_tree(text, format)
        .and_then(|tree| read_catalog(&tree, origin))
        .map_err(|faults| CatalogError { file: file.to_owned(), problems: problems(text, faults) })
}

/// The text without a byte order mark: editors that write one mean nothing by it, and JSON has no place for one.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads a text in its notation.
pub(crate) fn read_tree(text: &str, format: Format) -> Result<Node, Vec<Fault>> {
    match format {
        Format::Toml => read_toml(text),
        Format::Json => read_json(text),
    }
}

/// Places faults in the text, in its order, each once.
pub(crate) fn problems(text: &str, mut faults: Vec<Fault>) -> Vec<Problem> {
    faults.sort_by(|one, other| (one.at, &one.message).cmp(&(other.at, &other.message)));
    faults.dedup();
    let place = |Fault { at, message }| {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Problem { line, column, message }
    };
    faults.into_iter().map(place).collect()
}
