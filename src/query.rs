//! The filter language: one for every pane and every command.
//!
//! ```text
//! checkout code:event-lacks-unit since:5m        three conditions, all of them
//! exp:checkout-* (verdict:dropped or /time.?out/) parentheses, `or`, a regular expression
//! not unit:device/* "exact words"                 negation, and text as it stands
//! ```
//!
//! * `field:value` compares a whole field; `*` in a value stands for anything. `field:"value"` compares exactly, and
//!   `field:/regex/` by regular expression. The fields are [`Field`]'s.
//! * A bare word is sought fuzzily in everything that names the row, `"text"` as it stands, `/regex/` as a regular
//!   expression.
//! * Smart case: what is written in lower case is found in any case; one capital letter, and case counts.
//! * Conditions side by side must all hold; `or` binds weaker; `not` binds tightest.
//! * An event has a verdict for every experiment and metric it is about. Beside `exp:` or `metric:`, a `code:`,
//!   `verdict:`, `metric:` or `exp:` speaks of that same verdict; on its own `code:` means any of the event's
//!   verdicts or warnings, and `verdict:` the best one, which is the one a row shows.

mod parse;

use crate::intake::SEGMENT;
use crate::reason::Category;
use crate::view::{EventRow, RowVerdict};
use fuzzy_matcher::FuzzyMatcher;
use fuzzy_matcher::skim::SkimMatcherV2;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

pub use parse::{QueryError, Situation};

/// What a condition may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Kind of event.
    Kind,
    /// Flag key or event key.
    Key,
    /// A context: its key, or `kind/key`.
    Unit,
    /// Experiment key.
    Experiment,
    /// Metric key.
    Metric,
    /// Category of a verdict: `counted`, `exposure`, `pending`, `unknown`, `dropped`, `not-about`, `duplicate`,
    /// `undecodable`, or `about` for any of the first five.
    Verdict,
    /// Reason code of a verdict or a warning.
    Code,
    /// SDK, with or without its version; `segment` for whatever comes from Segment.
    Source,
}

impl Field {
    /// Every field, with the name it is written by. `since` and `until` are written alike, but compare instants.
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Kind, "kind"),
        (Self::Key, "key"),
        (Self::Unit, "unit"),
        (Self::Experiment, "exp"),
        (Self::Metric, "metric"),
        (Self::Verdict, "verdict"),
        (Self::Code, "code"),
        (Self::Source, "source"),
    ];

    /// The name it is written by.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(field, _)| *field == self).map_or("", |(_, name)| name)
    }
}

/// A filter. The empty one lets everything through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    expression: Option<Expression>,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Term(Term),
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    /// A bare word.
    Word(String),
    /// `"text"`.
    Text(String),
    /// `/regex/`.
    Regex(Regex),
    /// `field:value`.
    Field(Field, Value),
    /// At this instant (epoch ms) or later.
    Since(i64),
    /// Before this instant (epoch ms).
    Until(i64),
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// The whole of it, `*` standing for anything.
    Glob(String),
    /// The whole of it, exactly.
    Exact(String),
    /// A part of it.
    Regex(Regex),
}

/// A regular expression, equal to another by its source. It is the `regex` crate's: what a person types for
/// themselves need not be JavaScript, and must not hang on an event's text.
#[derive(Clone, Debug)]
struct Regex {
    source: String,
    compiled: regex::Regex,
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// The names behind the indexes of a [`RowVerdict`].
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Experiment key of each iteration of the session.
    pub experiments: Vec<Arc<str>>,
    /// Metric key of each metric of the catalog.
    pub metrics: Vec<Arc<str>>,
}

impl Names {
    fn experiment(&self, verdict: &RowVerdict) -> Option<&str> {
        Some(self.experiments.get(usize::try_from(verdict.iteration).ok()?)?)
    }

    fn metric(&self, verdict: &RowVerdict) -> Option<&str> {
        Some(self.metrics.get(usize::try_from(verdict.metric?).ok()?)?)
    }
}

impl Query {
    /// Reads a filter. Times are resolved at once, so that what a filter lets through does not change by itself.
    ///
    /// # Errors
    /// [`QueryError`] with the column, what was expected there, and the nearest known name.
    pub fn parse(text: &str, situation: Situation) -> Result<Self, QueryError> {
        parse::parse(text, situation).map(|expression| Self { expression })
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }

    /// The first of some fields that a condition is about.
    pub fn first_of(&self, fields: &[Field]) -> Option<Field> {
        self.expression.as_ref().and_then(|expression| expression.first_of(fields))
    }

    /// Whether it lets an event through. `since` and `until` compare the instant on the judging clock, or the
    /// arrival where the event has none.
    pub fn matches(&self, row: &EventRow, names: &Names) -> bool {
        self.expression.as_ref().is_none_or(|expression| expression.holds(&Subject::Event(row, names), None))
    }

    /// Whether it lets something else through: a context, an experiment, a finding. `fields` are its names and
    /// values by the names of [`Field`] (`unit` as `kind/key`, `verdict` as a category's name), as often as needed;
    /// `t` is its instant in epoch milliseconds; any other name is only text to be found. A condition on a field it
    /// does not have does not hold.
    pub fn matches_text(&self, fields: &[(&str, &str)]) -> bool {
        self.expression.as_ref().is_none_or(|expression| expression.holds(&Subject::Fields(fields), None))
    }
}

/// What a filter is held against.
enum Subject<'a> {
    Event(&'a EventRow, &'a Names),
    Fields(&'a [(&'a str, &'a str)]),
}

impl Expression {
    /// `scope` is the verdict that conditions on verdicts speak of, where `exp:` or `metric:` has chosen one.
    fn holds(&self, subject: &Subject<'_>, scope: Option<&RowVerdict>) -> bool {
        match self {
            Self::All(members) => match (subject, scope) {
                (Subject::Event(row, _), None) if members.iter().any(Self::chooses_verdict) => {
                    row.verdicts.iter().any(|verdict| members.iter().all(|member| member.holds(subject, Some(verdict))))
                }
                _ => members.iter().all(|member| member.holds(subject, scope)),
            },
            Self::Any(members) => members.iter().any(|member| member.holds(subject, scope)),
            Self::Not(inner) => !inner.holds(subject, scope),
            Self::Term(term) => term.holds(subject, scope),
        }
    }

    fn first_of(&self, fields: &[Field]) -> Option<Field> {
        match self {
            Self::All(members) | Self::Any(members) => members.iter().find_map(|member| member.first_of(fields)),
            Self::Not(inner) => inner.first_of(fields),
            Self::Term(Term::Field(field, _)) => Some(*field).filter(|field| fields.contains(field)),
            Self::Term(_) => None,
        }
    }

    fn chooses_verdict(&self) -> bool {
        matches!(self, Self::Term(Term::Field(Field::Experiment | Field::Metric, _)))
    }
}

impl Term {
    fn holds(&self, subject: &Subject<'_>, scope: Option<&RowVerdict>) -> bool {
        match self {
            Self::Word(word) => subject.any_text(|text| contains(text, word) || fuzzy_score(text, word).is_some()),
            Self::Text(wanted) => subject.any_text(|text| contains(text, wanted)),
            Self::Regex(regex) => subject.any_text(|text| regex.compiled.is_match(text)),
            Self::Field(field, value) => subject.any_value(*field, scope, |text| value.matches(text)),
            Self::Since(instant_ms) => subject.any_instant(|t_ms| t_ms >= *instant_ms),
            Self::Until(instant_ms) => subject.any_instant(|t_ms| t_ms < *instant_ms),
        }
    }
}

impl Subject<'_> {
    /// Whether any text that names it passes a test.
    fn any_text(&self, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Event(row, names) => {
                let verdict_names = |verdict: &RowVerdict| {
                    test(verdict.code.name())
                        || names.experiment(verdict).is_some_and(&test)
                        || names.metric(verdict).is_some_and(&test)
                };
                [&row.kind, &row.key, &row.source].into_iter().any(|text| test(text))
                    || row.units.iter().any(|(kind, key)| test(&format!("{kind}/{key}")))
                    || test(row.code.name())
                    || row.verdicts.iter().any(verdict_names)
                    || row.note.as_deref().is_some_and(&test)
            }
            Self::Fields(fields) => fields.iter().any(|(name, text)| *name != "t" && test(text)),
        }
    }

    /// Whether any value of a field passes a test.
    fn any_value(&self, field: Field, scope: Option<&RowVerdict>, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Event(row, names) => match field {
                Field::Kind => test(&row.kind),
                Field::Key => test(&row.key),
                Field::Unit => row.units.iter().any(|(kind, key)| test(key) || test(&format!("{kind}/{key}"))),
                Field::Source => any_source(&row.source, test),
                Field::Experiment | Field::Metric => {
                    let passes = |verdict| {
                        let name =
                            if field == Field::Metric { names.metric(verdict) } else { names.experiment(verdict) };
                        name.is_some_and(&test)
                    };
                    scope.map_or_else(|| row.verdicts.iter().any(passes), passes)
                }
                Field::Verdict => {
                    let category = scope.map_or(row.category(), |verdict| verdict.code.category());
                    verdict_words(category).any(test)
                }
                Field::Code => {
                    let codes = || row.verdicts.iter().map(|verdict| verdict.code).chain([row.code]);
                    row.warnings.iter().any(|code| test(code.name()))
                        || scope
                            .map_or_else(|| codes().any(|code| test(code.name())), |verdict| test(verdict.code.name()))
                }
            },
            Self::Fields(fields) => {
                let mut values = fields.iter().filter(|(name, _)| *name == field.name()).map(|(_, value)| *value);
                values.any(|value| match field {
                    Field::Unit => test(value) || value.split_once('/').is_some_and(|(_, key)| test(key)),
                    Field::Source => any_source(value, &test),
                    Field::Verdict => match Category::ALL.into_iter().find(|category| category.name() == value) {
                        Some(category) => verdict_words(category).any(&test),
                        None => test(value),
                    },
                    _ => test(value),
                })
            }
        }
    }

    fn any_instant(&self, test: impl Fn(i64) -> bool) -> bool {
        match self {
            Self::Event(row, _) => row.seen_ms().is_some_and(test),
            Self::Fields(fields) => fields.iter().any(|(name, value)| *name == "t" && value.parse().is_ok_and(&test)),
        }
    }
}

/// A sender is named with or without its version, and one of Segment's by `segment` or by its own name, too.
fn any_source(source: &str, test: impl Fn(&str) -> bool) -> bool {
    let any = |name: &str| test(name) || name.split_once('/').is_some_and(|(sdk, _)| test(sdk));
    any(source)
        || source.split_once(' ').is_some_and(|(front, sender)| front == SEGMENT && (test(front) || any(sender)))
}

/// The words a verdict's category goes by.
fn verdict_words(category: Category) -> impl Iterator<Item = &'static str> {
    let other = match category {
        Category::Counted | Category::Exposure | Category::Pending | Category::Unknown | Category::Dropped => "about",
        Category::NotAbout => "not-about",
        Category::Duplicate => "duplicate",
        Category::Undecodable => "undecodable",
    };
    [category.name(), other].into_iter()
}

impl Value {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Glob(pattern) => glob(&folded(pattern, pattern), &folded(text, pattern)),
            Self::Exact(wanted) => wanted == text,
            Self::Regex(regex) => regex.compiled.is_match(text),
        }
    }
}

/// Whether a text contains another, in smart case.
fn contains(text: &str, wanted: &str) -> bool {
    folded(text, wanted).contains(&*folded(wanted, wanted))
}

/// A text as smart case compares it with a pattern: as it is where the pattern has a capital letter, else in lower
/// case.
fn folded<'a>(text: &'a str, pattern: &str) -> Cow<'a, str> {
    if has_capital(pattern) { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

fn has_capital(pattern: &str) -> bool {
    pattern.chars().any(char::is_uppercase)
}

/// Whether a pattern in which `*` stands for anything is the whole text. Takes the earliest place for every part
/// between stars, which is never worse than a later one, so there is nothing to go back for.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

/// How well a pattern is found in a text, its letters in order but not side by side; more is better, none is not at
/// all. Smart case. The only place that names the fuzzy matcher.
pub fn fuzzy_score(text: &str, pattern: &str) -> Option<i64> {
    /// Longer texts are sentences or payloads: the letters of any word are in them somewhere, so that a match means
    /// nothing, and costs the product of both lengths.
    const LONGEST_BYTES: usize = 160;
    static MATCHER: LazyLock<SkimMatcherV2> = LazyLock::new(|| SkimMatcherV2::default().smart_case());
    if text.len() > LONGEST_BYTES || pattern.len() > text.len() {
        return None;
    }
    MATCHER.fuzzy_match(text, pattern)
}

impl fmt::Display for Query {
    /// Writes the filter so that it reads back as an equal one; times are written as epoch milliseconds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.as_ref().map_or(Ok(()), |expression| expression.fmt(formatter))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |formatter: &mut fmt::Formatter<'_>, members: &[Self], separator: &str| {
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    formatter.write_str(separator)?;
                }
                member.fmt_member(formatter)?;
            }
            Ok(())
        };
        match self {
            Self::All(members) => joined(formatter, members, " "),
            Self::Any(members) => joined(formatter, members, " or "),
            Self::Not(inner) => {
                formatter.write_str("not ")?;
                inner.fmt_member(formatter)
            }
            Self::Term(term) => term.fmt(formatter),
        }
    }
}

impl Expression {
    fn fmt_member(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(_) | Self::Any(_) => write!(formatter, "({self})"),
            Self::Not(_) | Self::Term(_) => write!(formatter, "{self}"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => formatter.write_str(word),
            Self::Text(text) => formatter.write_str(&quoted(text)),
            Self::Regex(regex) => regex.fmt(formatter),
            Self::Field(field, Value::Glob(pattern)) => write!(formatter, "{}:{pattern}", field.name()),
            Self::Field(field, Value::Exact(text)) => write!(formatter, "{}:{}", field.name(), quoted(text)),
            Self::Field(field, Value::Regex(regex)) => write!(formatter, "{}:{regex}", field.name()),
            Self::Since(instant_ms) => write!(formatter, "since:{instant_ms}"),
            Self::Until(instant_ms) => write!(formatter, "until:{instant_ms}"),
        }
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("/")?;
        let mut characters = self.source.chars();
        while let Some(character) = characters.next() {
            match character {
                '/' => formatter.write_str("\\/")?,
                '\\' => write!(formatter, "\\{}", characters.next().map(String::from).unwrap_or_default())?,
                _ => write!(formatter, "{character}")?,
            }
        }
        formatter.write_str("/")
    }
}

/// Text as the language quotes it, for filters that are put together by a program: `unit:` and `quoted(…)` finds
/// exactly that unit.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
