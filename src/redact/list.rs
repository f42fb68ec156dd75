//! What was replaced and what was kept, for the person who is about to share the file.

use std::collections::BTreeMap;
use std::fmt;

/// A sort of things that are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// Keys of contexts and users.
    ContextKey,
    /// Text in attributes.
    Attribute,
    /// Text in the data of events.
    Data,
    /// Text in flag values and defaults.
    FlagValue,
    /// Numbers in attributes, data, values.
    Number,
    /// Booleans in attributes and data.
    Boolean,
    /// Names of members that look like somebody's.
    Name,
    /// Text in fields that are not known, or are of no use to a verdict.
    Other,
    /// Parts of page addresses.
    Address,
    /// Selectors.
    Selector,
    /// Parts of request paths.
    Path,
    /// Values of headers.
    Header,
    /// Masked credentials.
    Credential,
    /// Client-side ids.
    ClientSideId,
    /// Notes and reasons.
    Note,
    /// Values a filter of the catalog compares with.
    FilterValue,
    /// What could not be read, and so not be proven harmless.
    Unreadable,
    /// Records that are damaged or of a later version.
    Record,
}

impl Sort {
    fn words(self) -> &'static str {
        match self {
            Self::ContextKey => "context keys",
            Self::Attribute => "texts in attributes",
            Self::Data => "texts in event data",
            Self::FlagValue => "texts in flag values and defaults",
            Self::Number => "numbers, by 0 (attributes, event data, flag values)",
            Self::Boolean => "booleans, by false (attributes, event data)",
            Self::Name => "member names that look like somebody's",
            Self::Other => "texts in fields no verdict needs",
            Self::Address => "parts of page addresses",
            Self::Selector => "selectors",
            Self::Path => "parts of request paths",
            Self::Header => "header values",
            Self::Credential => "masked credentials",
            Self::ClientSideId => "client-side ids",
            Self::Note => "notes and reasons",
            Self::FilterValue => "values the catalog's filters compare with",
            Self::Unreadable => "unreadable events or bodies, by filler that is as unreadable",
            Self::Record => "damaged or unknown lines of the recording, left out",
        }
    }
}

/// What was replaced, counted, and what was kept, with why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    replaced: BTreeMap<Sort, u64>,
    kept: BTreeMap<String, u64>,
    /// Events that were read.
    pub events: u64,
    /// What could not be read as one.
    pub unreadable: u64,
    /// Events of LaunchDarkly's exports and of ldcli, whose members are replaced like any others: the copy does not
    /// come to the same.
    pub exported: u64,
    /// Events and batches of Segment's.
    pub(super) of_segment: u64,
    /// Events of Segment's of which the destination makes something else in the copy, and what of the first.
    pub differing: Option<(u64, String)>,
}

/// What is always kept.
const ALWAYS: &str = "event kinds and keys, flag keys, experiment and metric keys, names of variations, context kinds, member names that are plain words, times, sizes, versions, variation numbers, reasons, rule ids, numeric metricValues, sampling, counts, names and versions of SDKs: verdicts and reports are made of them";

impl List {
    pub(super) fn replaced(&mut self, sort: Sort) {
        *self.replaced.entry(sort).or_default() += 1;
    }

    /// Notes that something was kept. The reason is written out the first time.
    pub(super) fn kept(&mut self, why: &str) {
        match self.kept.get_mut(why) {
            Some(count) => *count += 1,
            None => drop(self.kept.insert(why.to_owned(), 1)),
        }
    }

    /// Notes that a copy does not come to the same.
    pub(super) fn differs(&mut self, what: String) {
        self.differing.get_or_insert((0, what)).0 += 1;
    }

    /// How many of a sort were replaced.
    pub fn count(&self, sort: Sort) -> u64 {
        self.replaced.get(&sort).copied().unwrap_or_default()
    }
}

impl fmt::Display for List {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "replaced:")?;
        if self.replaced.is_empty() {
            writeln!(formatter, "  nothing: there is nothing in it but what is kept")?;
        }
        for (sort, count) in &self.replaced {
            writeln!(formatter, "  {count:>8}  {}", sort.words())?;
        }
        writeln!(formatter, "kept:")?;
        writeln!(formatter, "    always  {ALWAYS}")?;
        for (why, count) in &self.kept {
            writeln!(formatter, "  {count:>8}  {why}")?;
        }
        Ok(())
    }
}
