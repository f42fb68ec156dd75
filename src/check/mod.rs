//! `exptap check`: what a build expects of the events, in a line a person can read, and whether it is so.
//!
//! ```text
//! no finding of severity error                                nothing is lost for a known reason
//! finding code event-lacks-unit                               this very fault is there
//! checkout-cta-test units >= 100                              an experiment
//! checkout-cta-test sample_ratio p > 0.01                     its sample ratio
//! checkout-cta-test/checkout-conversion counted >= 1          a metric of it
//! checkout-cta-test/checkout-conversion event-lacks-unit = 0  … by reason code
//! checkout-cta-test@2/"order value"/treatment mean < 80       an arm, in iteration 2
//! totals events >= 1, lost = 0                                everything received (two expectations)
//! ```
//!
//! The fields are the report's (`docs/check.md`). Reading is [`parse`]: it knows the words of the language, the reason
//! codes and nothing else. Names are looked up in a report by [`evaluate`], which also says why something does not
//! hold. Either way a mistake has its column.

pub mod evaluate;
mod field;
pub mod junit;
pub mod parse;
pub mod text;

pub use evaluate::{Outcome, evaluate};
pub use parse::parse;

use crate::reason::{ReasonCode, Severity};
use std::cmp::Ordering;
use std::fmt;

/// What is checked where nothing is said.
pub const DEFAULT: &str = "no finding of severity error";

/// Why a text is not an expectation, or asks of something there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct CheckError {
    /// Column, from 1, in characters.
    pub column: usize,
    /// What was found, what was expected, and what to do.
    pub message: String,
}

/// One expectation and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The expectation, as it was written.
    pub expectation: String,
    /// What is there instead, and what is behind it, a line each; none where it holds.
    pub failure: Option<(String, Vec<String>)>,
}

/// A name, and where it stands. Two are equal by what they name.
#[derive(Clone, Debug)]
pub struct Name {
    /// What is named.
    pub text: String,
    /// Column, from 1, in characters.
    pub column: usize,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// How a figure is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=` or `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Whether an ordering of actual to expected fulfils it.
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// What a figure is of.
#[derive(Clone, Debug, PartialEq)]
pub enum Of {
    /// Everything received.
    Totals,
    /// An experiment, a metric of it, or the metric in an arm.
    Experiment {
        /// Experiment key.
        experiment: Name,
        /// Iteration id; none: the running one, else the last.
        iteration: Option<Name>,
        /// Metric key.
        metric: Option<Name>,
        /// Name of the arm, or its variation's index; only with a metric.
        arm: Option<Name>,
    },
}

/// Something that is expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// That there is a finding, or none.
    Finding {
        /// None is expected.
        none: bool,
        /// Of this severity.
        severity: Option<Severity>,
        /// With this code.
        code: Option<ReasonCode>,
    },
    /// That a figure compares so.
    Figure {
        /// What it is of.
        of: Of,
        /// The field.
        field: Name,
        /// A field within it: `sample_ratio p`, `by_kind custom`.
        part: Option<Name>,
        /// How it compares.
        comparison: Comparison,
        /// With what.
        number: f64,
    },
}

impl fmt::Display for Name {
    /// As the language reads it back.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parse::is_bare(&self.text) && !parse::KEYWORDS.contains(&self.text.as_str()) {
            formatter.write_str(&self.text)
        } else {
            formatter.write_str(&crate::query::quoted(&self.text))
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Totals => formatter.write_str("totals"),
            Self::Experiment { experiment, iteration, metric, arm } => {
                write!(formatter, "{experiment}")?;
                if let Some(iteration) = iteration {
                    write!(formatter, "@{iteration}")?;
                }
                [metric, arm].into_iter().flatten().try_for_each(|name| write!(formatter, "/{name}"))
            }
        }
    }
}

impl fmt::Display for Expectation {
    /// As the language reads it back.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finding { none, severity, code } => {
                formatter.write_str(if *none { "no finding" } else { "finding" })?;
                if let Some(severity) = severity {
                    write!(formatter, " of severity {}", severity.word())?;
                }
                code.map_or(Ok(()), |code| write!(formatter, " code {code}"))
            }
            Self::Figure { of, field, part, comparison, number } => {
                write!(formatter, "{of} {field}")?;
                if let Some(part) = part {
                    write!(formatter, " {part}")?;
                }
                write!(formatter, " {} {number}", comparison.sign())
            }
        }
    }
}
