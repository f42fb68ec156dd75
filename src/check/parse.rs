//! From text to an expectation.

use super::{CheckError, Comparison, Expectation, Name, Of};
use crate::near_miss::nearest;
use crate::reason::{REASONS, ReasonCode, Severity};

/// Words that mean something of their own where a name could begin; as a name they are written in quotes.
pub(super) const KEYWORDS: [&str; 3] = ["no", "finding", "totals"];

const FORMS: &str = "[no] finding [of severity S] [code C], or EXPERIMENT[/METRIC[/ARM]] FIELD OP NUMBER";

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Slash,
    At,
    Comparison(Comparison),
    End,
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Quoted(text) => format!("{text:?}"),
            Self::Slash => "/".to_owned(),
            Self::At => "@".to_owned(),
            Self::Comparison(comparison) => comparison.sign().to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Whether a name needs no quotes.
pub(super) fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_character)
}

fn is_word_character(character: char) -> bool {
    !character.is_whitespace() && !matches!(character, '"' | '/' | '@' | '=' | '!' | '<' | '>')
}

/// Reads an expectation.
///
/// # Errors
/// [`CheckError`] with the column, what was expected there, and the nearest known word.
pub fn parse(text: &str) -> Result<Expectation, CheckError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let expectation = parser.expectation()?;
    match parser.peek() {
        (Token::End, _) => Ok(expectation),
        (token, column) => {
            let advice = match token {
                Token::Word(word) if matches!(word.as_str(), "and" | "or" | "&&" | "||") => {
                    "; one expectation says one thing: give several, all must hold"
                }
                _ => "",
            };
            Err(error(column, format!("found {}; expected the end of the expectation{advice}", token.shown())))
        }
    }
}

fn error(column: usize, message: String) -> CheckError {
    CheckError { column, message }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, CheckError> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().zip(1..).peekable();
    while let Some((character, column)) = characters.next() {
        let mut followed_by_equals = || characters.next_if(|(next, _)| *next == '=').is_some();
        let token = match character {
            _ if character.is_whitespace() => continue,
            '/' => Token::Slash,
            '@' => Token::At,
            '=' => {
                followed_by_equals();
                Token::Comparison(Comparison::Equal)
            }
            '<' => Token::Comparison(if followed_by_equals() { Comparison::AtMost } else { Comparison::Less }),
            '>' => Token::Comparison(if followed_by_equals() { Comparison::AtLeast } else { Comparison::Greater }),
            '!' if followed_by_equals() => Token::Comparison(Comparison::NotEqual),
            '!' => return Err(error(column, "found !; expected !=, or the name in quotes".to_owned())),
            '"' => {
                let mut name = String::new();
                loop {
                    match characters.next().map(|(character, _)| character) {
                        Some('"') => break,
                        Some('\\') => match characters.next().map(|(character, _)| character) {
                            Some(escaped @ ('"' | '\\')) => name.push(escaped),
                            Some(other) => name.extend(['\\', other]),
                            None => {}
                        },
                        Some(character) => name.push(character),
                        None => {
                            return Err(error(
                                column,
                                "this quote is never closed; expected \" at the end of the name".to_owned(),
                            ));
                        }
                    }
                }
                if name.is_empty() {
                    return Err(error(column, "there is nothing between these quotes; expected a name".to_owned()));
                }
                Token::Quoted(name)
            }
            _ => {
                let mut word = String::from(character);
                while let Some((character, _)) = characters.next_if(|(next, _)| is_word_character(*next)) {
                    word.push(character);
                }
                Token::Word(word)
            }
        };
        tokens.push((token, column));
    }
    // Where the text ends, trailing space left out, so that a caret points behind what is there.
    tokens.push((Token::End, text.trim_end().chars().count() + 1));
    Ok(tokens)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> (&Token, usize) {
        self.peek_after(0)
    }

    fn peek_after(&self, tokens: usize) -> (&Token, usize) {
        let last = self.tokens.last();
        self.tokens.get(self.at + tokens).or(last).map_or((&Token::End, 1), |(token, column)| (token, *column))
    }

    fn take(&mut self) -> (Token, usize) {
        let (token, column) = self.peek();
        let taken = (token.clone(), column);
        self.at += 1;
        taken
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek().0, Token::Word(have) if have.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expectation(&mut self) -> Result<Expectation, CheckError> {
        if *self.peek().0 == Token::End {
            return Err(error(1, format!("there is no expectation here; expected {FORMS}")));
        }
        let none = self.take_word("no");
        if self.take_word("finding") || (none && self.take_word("findings")) {
            return self.finding(none);
        }
        if none {
            let (token, column) = self.peek();
            return Err(error(column, format!("found {}; expected finding after no", token.shown())));
        }
        self.figure()
    }

    fn finding(&mut self, none: bool) -> Result<Expectation, CheckError> {
        let mut severity = None;
        if self.take_word("of") {
            if !self.take_word("severity") {
                let (token, column) = self.peek();
                return Err(error(column, format!("found {}; expected severity after of", token.shown())));
            }
            severity = Some(self.severity()?);
        }
        let mut code = None;
        if self.take_word("code") {
            code = Some(self.code()?);
        }
        if let (Token::Word(_) | Token::Quoted(_), column) = self.peek() {
            let expected = match (severity, code) {
                (None, None) => "of severity S, code C, or the end",
                (Some(_), None) => "code C, or the end",
                _ => "the end",
            };
            return Err(error(column, format!("found {}; expected {expected}", self.peek().0.shown())));
        }
        Ok(Expectation::Finding { none, severity, code })
    }

    fn severity(&mut self) -> Result<Severity, CheckError> {
        const ALL: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Info];
        let (token, column) = self.take();
        let word = match &token {
            Token::Word(word) | Token::Quoted(word) => word.as_str(),
            _ => "",
        };
        ALL.into_iter().find(|severity| severity.word() == word).ok_or_else(|| {
            let near = nearest(word, ALL.map(Severity::word)).map(did_you_mean).unwrap_or_default();
            error(column, format!("found {}; expected a severity: error, warning or info{near}", token.shown()))
        })
    }

    fn code(&mut self) -> Result<ReasonCode, CheckError> {
        let (token, column) = self.take();
        let word = match &token {
            Token::Word(word) | Token::Quoted(word) => word.as_str(),
            _ => "",
        };
        ReasonCode::from_name(word).ok_or_else(|| {
            let near = nearest(word, REASONS.iter().map(|reason| reason.name)).map(did_you_mean).unwrap_or_default();
            error(column, format!("found {}; expected a reason code, as in docs/reasons.md{near}", token.shown()))
        })
    }

    fn name(&mut self, what: &str) -> Result<Name, CheckError> {
        match self.take() {
            (Token::Word(text) | Token::Quoted(text), column) => Ok(Name { text, column }),
            (token, column) => Err(error(
                column,
                format!("found {}; expected {what}, in quotes if it holds spaces, slashes or signs", token.shown()),
            )),
        }
    }

    fn figure(&mut self) -> Result<Expectation, CheckError> {
        // `lost = 0`: a field without anything it is of is one of the totals.
        let is_alone = matches!((self.peek().0, self.peek_after(1).0), (Token::Word(_), Token::Comparison(_)));
        let of = if is_alone || self.take_word("totals") { Of::Totals } else { self.of()? };
        let field = self.name("a field of the report, or a reason code")?;
        let part = match self.peek().0 {
            Token::Word(_) | Token::Quoted(_) => Some(self.name("a field")?),
            _ => None,
        };
        let comparison = match self.take() {
            (Token::Comparison(comparison), _) => comparison,
            (token, column) => {
                return Err(error(column, format!("found {}; expected one of = != < <= > >=", token.shown())));
            }
        };
        let (token, column) = self.take();
        let number = match &token {
            Token::Word(word) => number(word),
            _ => None,
        };
        let number = number
            .ok_or_else(|| error(column, format!("found {}; expected a number, such as 1 or 0.05", token.shown())))?;
        Ok(Expectation::Figure { of, field, part, comparison, number })
    }

    fn of(&mut self) -> Result<Of, CheckError> {
        let experiment = self.name("the key of an experiment")?;
        let iteration = self.after(&Token::At, "the id of an iteration")?;
        let metric = self.after(&Token::Slash, "the key of a metric")?;
        let arm = self.after(&Token::Slash, "the name of an arm")?;
        Ok(Of::Experiment { experiment, iteration, metric, arm })
    }

    fn after(&mut self, sign: &Token, what: &str) -> Result<Option<Name>, CheckError> {
        if self.peek().0 != sign {
            return Ok(None);
        }
        self.at += 1;
        self.name(what).map(Some)
    }
}

/// Rust also takes `inf` and `NaN` for numbers.
fn number(word: &str) -> Option<f64> {
    let is_written_in_digits = word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    word.parse().ok().filter(|number: &f64| is_written_in_digits && number.is_finite())
}

pub(super) fn did_you_mean(near: &str) -> String {
    format!("; did you mean {near}?")
}
