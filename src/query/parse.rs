//! From text to a filter.

use super::{Expression, Field, Regex, Term, Value, verdict_words};
use crate::near_miss::nearest;
use crate::reason::{Category, REASONS};

/// Parentheses and negations deeper than this are refused.
const MAX_DEPTH: usize = 64;

const SINCE: &str = "since";
const UNTIL: &str = "until";
const DAY_MS: i64 = 86_400_000;

/// When and where a filter is written, for times such as `12:30` and `5m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// Now, epoch milliseconds.
    pub now_ms: i64,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset_seconds: i32,
}

/// Why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct QueryError {
    /// Column, from 1, in characters.
    pub column: usize,
    /// What was found, what was expected, and what to do.
    pub message: String,
}

/// Reads a filter; none where the text has nothing in it.
pub(super) fn parse(text: &str, situation: Situation) -> Result<Option<Expression>, QueryError> {
    let mut parser = Parser { text, at: 0, situation, depth: 0 };
    parser.skip_space();
    if parser.rest().is_empty() {
        return Ok(None);
    }
    let expression = parser.any()?;
    if parser.rest().starts_with(')') {
        return Err(
            parser.error_at(parser.at, "this parenthesis closes nothing; remove it or open one before".to_owned())
        );
    }
    Ok(Some(expression))
}

struct Parser<'t> {
    text: &'t str,
    /// Byte offset of what is read next.
    at: usize,
    situation: Situation,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error_at(&self, at: usize, message: String) -> QueryError {
        let column = self.text.get(..at).unwrap_or(self.text).chars().count() + 1;
        QueryError { column, message }
    }

    /// The bare word that begins here: up to white space or a parenthesis.
    fn peek_word(&self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|character: char| character.is_whitespace() || matches!(character, '(' | ')'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Takes a keyword and the space after it, if it is the next word.
    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek_word().eq_ignore_ascii_case(keyword);
        if found {
            self.at += keyword.len();
            self.skip_space();
        }
        found
    }

    /// `all ("or" all)*`
    fn any(&mut self) -> Result<Expression, QueryError> {
        let first = self.all()?;
        let mut members = vec![first];
        while self.take_keyword("or") {
            members.push(self.all()?);
        }
        Ok(one_or(members, Expression::Any))
    }

    /// `unary ("and"? unary)*`
    fn all(&mut self) -> Result<Expression, QueryError> {
        let mut members = vec![self.unary()?];
        loop {
            if self.take_keyword("and") {
                members.push(self.unary()?);
            } else if self.rest().is_empty()
                || self.rest().starts_with(')')
                || self.peek_word().eq_ignore_ascii_case("or")
            {
                return Ok(one_or(members, Expression::All));
            } else {
                members.push(self.unary()?);
            }
        }
    }

    /// `"not" unary | "(" any ")" | term`
    fn unary(&mut self) -> Result<Expression, QueryError> {
        let at = self.at;
        if self.depth >= MAX_DEPTH {
            return Err(self.error_at(
                at,
                format!("more than {MAX_DEPTH} parentheses and negations inside one another; write it flatter"),
            ));
        }
        self.depth += 1;
        let expression = if self.take_keyword("not") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.rest().starts_with('(') {
            self.at += 1;
            self.skip_space();
            let inner = self.any()?;
            if !self.rest().starts_with(')') {
                return Err(self.error_at(at, "this parenthesis is never closed; expected ) at the end".to_owned()));
            }
            self.at += 1;
            inner
        } else {
            Expression::Term(self.term()?)
        };
        self.depth -= 1;
        self.skip_space();
        Ok(expression)
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let at = self.at;
        let rest = self.rest();
        if rest.starts_with('"') {
            return self.quoted_text().map(Term::Text);
        }
        if rest.starts_with('/') {
            return self.regex().map(Term::Regex);
        }
        let word = self.peek_word();
        if word.is_empty() || word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or") {
            let found = if rest.is_empty() {
                "the end".to_owned()
            } else {
                format!("{:?}", if word.is_empty() { ")" } else { word })
            };
            return Err(
                self.error_at(at, format!("found {found}; expected a word, field:value, \"text\", /regex/, not or ("))
            );
        }
        let Some((name, _)) = word.split_once(':').filter(|(name, _)| is_field_like(name)) else {
            self.at += word.len();
            return Ok(Term::Word(word.to_owned()));
        };
        self.field(name)
    }

    /// `name:` and its value.
    fn field(&mut self, name: &str) -> Result<Term, QueryError> {
        let at = self.at;
        let lower = name.to_ascii_lowercase();
        self.at += name.len() + 1;
        if matches!(lower.as_str(), SINCE | UNTIL) {
            let instant_ms = self.instant(&lower)?;
            return Ok(if lower == SINCE { Term::Since(instant_ms) } else { Term::Until(instant_ms) });
        }
        let Some((field, _)) = Field::NAMES.into_iter().find(|(_, known)| *known == lower) else {
            let known = || Field::NAMES.into_iter().map(|(_, name)| name).chain([SINCE, UNTIL]);
            let advice = match (lower.as_str(), nearest(&lower, known())) {
                ("experiment", _) => "did you mean exp?".to_owned(),
                (_, Some(near)) => format!("did you mean {near}?"),
                _ => "to find it as text, put it in quotes".to_owned(),
            };
            let known = known().collect::<Vec<_>>().join(", ");
            return Err(self.error_at(at, format!("there is no field {name:?}; expected one of {known}; {advice}")));
        };
        let value_at = self.at;
        let value = if self.rest().starts_with('"') {
            Value::Exact(self.quoted_text()?)
        } else if self.rest().starts_with('/') {
            Value::Regex(self.regex()?)
        } else {
            let word = self.peek_word();
            if word.is_empty() {
                return Err(self.error_at(value_at, format!("{name}: has no value; expected one right after the colon, in quotes if it holds spaces or parentheses")));
            }
            self.at += word.len();
            Value::Glob(word.to_owned())
        };
        self.check_known(field, &value, value_at)?;
        Ok(Term::Field(field, value))
    }

    /// Verdicts and codes are known words: a condition that none of them fulfils is a mistake, not an empty result.
    fn check_known(&self, field: Field, value: &Value, at: usize) -> Result<(), QueryError> {
        let known: Vec<&str> = match field {
            Field::Verdict => Category::ALL.into_iter().flat_map(verdict_words).collect(),
            Field::Code => REASONS.iter().map(|reason| reason.name).collect(),
            _ => return Ok(()),
        };
        if known.iter().any(|word| value.matches(word)) {
            return Ok(());
        }
        let written = match value {
            Value::Glob(text) | Value::Exact(text) => text.as_str(),
            Value::Regex(regex) => regex.source.as_str(),
        };
        let expected = if field == Field::Verdict {
            "counted, exposure, pending, unknown, dropped, about, not-about, duplicate or undecodable"
        } else {
            "a reason code, with * for any part of it"
        };
        let advice = nearest(written, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        Err(self.error_at(at, format!("there is no {} {written:?}; expected {expected}{advice}", field.name())))
    }

    /// `"…"`, in which `\"` is a quote and `\\` a backslash.
    fn quoted_text(&mut self) -> Result<String, QueryError> {
        let at = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' if text.is_empty() => {
                    return Err(self.error_at(at, "there is nothing between these quotes; expected text".to_owned()));
                }
                '"' => {
                    self.at += offset + 1;
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, other)) => text.extend(['\\', other]),
                    None => {}
                },
                _ => text.push(character),
            }
        }
        Err(self.error_at(at, "this quote is never closed; expected \" at the end of the text".to_owned()))
    }

    /// `/…/`, in which `\/` is a slash.
    fn regex(&mut self) -> Result<Regex, QueryError> {
        let at = self.at;
        let mut source = String::new();
        let mut capital = false;
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '/' if source.is_empty() => {
                    return Err(self.error_at(
                        at,
                        "there is nothing between these slashes; expected a regular expression".to_owned(),
                    ));
                }
                '/' => {
                    self.at += offset + 1;
                    return self.compile(source, capital, at);
                }
                '\\' => match characters.next() {
                    Some((_, '/')) => source.push('/'),
                    // The letter of an escape (\W) is not one the text must have.
                    Some((_, escaped)) => source.extend(['\\', escaped]),
                    None => {}
                },
                _ => {
                    capital |= character.is_uppercase();
                    source.push(character);
                }
            }
        }
        Err(self.error_at(
            at,
            "this regular expression is never closed; expected / at its end; to find a slash, put the text in quotes"
                .to_owned(),
        ))
    }

    fn compile(&self, source: String, capital: bool, at: usize) -> Result<Regex, QueryError> {
        const MAX_COMPILED_BYTES: usize = 1 << 20;
        let built = regex::RegexBuilder::new(&source).case_insensitive(!capital).size_limit(MAX_COMPILED_BYTES).build();
        match built {
            Ok(compiled) => Ok(Regex { source, compiled }),
            Err(error) => {
                let described = error.to_string();
                let cause = described.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err(self.error_at(
                    at,
                    format!("this is not a regular expression: {cause}; correct it, or put the text in quotes"),
                ))
            }
        }
    }

    /// The instant of `since:` or `until:`, in epoch milliseconds.
    fn instant(&mut self, name: &str) -> Result<i64, QueryError> {
        let at = self.at;
        let word = self.peek_word();
        self.at += word.len();
        let Situation { now_ms, .. } = self.situation;
        word.parse::<i64>()
            .ok()
            .or_else(|| Some(word.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
            .or_else(|| now_ms.checked_sub(span_ms(word)?))
            .or_else(|| self.clock_time(word))
            .ok_or_else(|| {
                let expected =
                    "a time of day (12:30 or 12:30:05), how long ago (30s, 5m, 2h, 1d), RFC 3339 or epoch milliseconds";
                self.error_at(at, format!("{name}: {word:?} is not a time; expected {expected}"))
            })
    }

    /// The last time the local clock showed `HH:MM` or `HH:MM:SS`: today, or yesterday if that is still to come.
    fn clock_time(&self, word: &str) -> Option<i64> {
        let mut parts = word.split(':');
        let mut part = |limit: i64| {
            let digits = parts.next()?;
            let number = digits.parse().ok().filter(|number| (0..limit).contains(number));
            number.filter(|_| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let (hours, minutes) = (part(24)?, part(60)?);
        let seconds = if word.matches(':').count() == 2 { part(60)? } else { 0 };
        if parts.next().is_some() {
            return None;
        }
        let of_day_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000;
        let Situation { now_ms, utc_offset_seconds } = self.situation;
        let local_now_ms = now_ms.checked_add(i64::from(utc_offset_seconds) * 1000)?;
        let today_ms = local_now_ms.checked_sub(local_now_ms.rem_euclid(DAY_MS))?;
        let candidate_ms = today_ms.checked_add(of_day_ms)?.checked_sub(i64::from(utc_offset_seconds) * 1000)?;
        if candidate_ms > now_ms { candidate_ms.checked_sub(DAY_MS) } else { Some(candidate_ms) }
    }
}

/// `30s`, `5m`, `2h`, `1d`.
fn span_ms(word: &str) -> Option<i64> {
    let unit = word.chars().last()?;
    let unit_ms = match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => DAY_MS,
        _ => return None,
    };
    let digits = word.get(..word.len() - 1)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()?.checked_mul(unit_ms)).flatten()
}

/// Whether what stands before a colon looks like a field's name, and not like a time or a part of some other text.
fn is_field_like(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
}

fn one_or(mut members: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match members.pop() {
        Some(only) if members.is_empty() => only,
        last => {
            members.extend(last);
            several(members)
        }
    }
}
