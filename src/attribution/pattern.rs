//! JavaScript regular expressions on text that nobody vouches for.
//!
//! A metric's patterns are written for a browser, so JavaScript decides what they mean; the text they are run on
//! comes from events, so a search must end whatever the text is. No one engine gives both: [`regress`] speaks
//! JavaScript and backtracks without a limit, [`regex`] runs in linear time and speaks another dialect. Hence:
//!
//! * regress decides whether a pattern is valid at all;
//! * a pattern made only of what both dialects read alike is run by regex, on text where they also match alike
//!   (printable ASCII, which is what a browser's `location.href` is made of);
//! * anything else is run by regress, if an upper bound of its backtracking is small enough for that text; if it
//!   is not, the answer is [`UnsupportedPattern::TooCostly`] and the verdict says so, instead of a guess or a hang.

use std::iter::Peekable;
use std::str::Chars;

/// Patterns longer than this are not compiled.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// log2 of the backtracking steps a search may need at worst before it is refused: a fraction of a second.
const MAX_STEPS_LOG2: f64 = 24.0;

/// A pattern, or a pattern together with a text, that exptap cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedPattern {
    /// Not a JavaScript regular expression.
    #[error("{pattern:?} is not a JavaScript regular expression: {detail}; correct the pattern")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The pattern itself is too long.
    #[error("a pattern of {bytes} bytes is longer than the {MAX_PATTERN_BYTES} exptap compiles; split it into several")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Valid, but searching this text with it could take for ever.
    #[error(
        "{pattern:?} could backtrack without end on a text of {bytes} bytes; avoid repeats inside repeats, lookaround and backreferences"
    )]
    TooCostly {
        /// The pattern.
        pattern: String,
        /// Length of the text.
        bytes: usize,
    },
}

/// A compiled JavaScript regular expression without flags.
#[derive(Clone, Debug)]
pub struct JavaScriptPattern {
    source: String,
    backtracking: regress::Regex,
    linear: Option<regex::bytes::Regex>,
    cost: Cost,
}

impl JavaScriptPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`UnsupportedPattern::Syntax`] and [`UnsupportedPattern::TooLong`].
    pub fn compile(pattern: &str) -> Result<Self, UnsupportedPattern> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(UnsupportedPattern::TooLong { bytes: pattern.len() });
        }
        let backtracking = regress::Regex::new(pattern)
            .map_err(|error| UnsupportedPattern::Syntax { pattern: pattern.to_owned(), detail: error.to_string() })?;
        let survey = Survey::of(pattern);
        let linear = if survey.common_dialect {
            regex::bytes::RegexBuilder::new(pattern).unicode(false).build().ok()
        } else {
            None
        };
        Ok(Self { source: pattern.to_owned(), backtracking, linear, cost: survey.cost })
    }

    /// Whether the pattern is found anywhere in the text, as `RegExp.prototype.test` would tell.
    ///
    /// # Errors
    /// [`UnsupportedPattern::TooCostly`] where the search could not be bounded.
    pub fn found_in(&self, text: &str) -> Result<bool, UnsupportedPattern> {
        if let Some(linear) = self.linear.as_ref().filter(|_| text.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            return Ok(linear.is_match(text.as_bytes()));
        }
        if self.cost.steps_log2(text.len()) > MAX_STEPS_LOG2 {
            return Err(UnsupportedPattern::TooCostly { pattern: self.source.clone(), bytes: text.len() });
        }
        Ok(self.backtracking.find(text).is_some())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// What makes a backtracking search expensive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    /// `*`, `+`, `{…}`: each may try every length. A backreference walks as far. So does the place where the search
    /// starts, unless the pattern says where.
    loops: u32,
    /// `?` and `|`: each may try both ways.
    choices: u32,
    /// A repeated group that repeats or chooses inside: no bound but an exponential one.
    nested: bool,
}

impl Cost {
    fn steps_log2(self, bytes: usize) -> f64 {
        if self.nested {
            return f64::INFINITY;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate; texts are far shorter than 2^53 bytes")]
        let positions = (bytes.max(1) as f64).log2();
        f64::from(self.loops).mul_add(positions, f64::from(self.choices))
    }
}

/// One reading of a valid pattern: which dialects it is in, and what it may cost.
struct Survey {
    common_dialect: bool,
    cost: Cost,
}

impl Survey {
    fn of(pattern: &str) -> Self {
        let mut survey = Self { common_dialect: pattern.is_ascii(), cost: Cost::default() };
        // Per open group: whether anything in it repeats or chooses. The last one closed is kept for the quantifier
        // that may follow.
        let mut open = vec![false];
        let mut closed = None;
        let mut anchored = pattern.starts_with('^');
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let group = closed.take();
            match character {
                '\\' => survey.escape(characters.next(), false),
                '[' => survey.class(&mut characters),
                '(' => {
                    open.push(false);
                    if characters.next_if_eq(&'?').is_some() && characters.next_if_eq(&':').is_none() {
                        survey.common_dialect = false;
                    }
                }
                ')' => {
                    let inside = open.pop().unwrap_or_default();
                    if let Some(outer) = open.last_mut() {
                        *outer |= inside;
                    }
                    closed = Some(inside);
                }
                '|' => {
                    survey.cost.choices += 1;
                    anchored &= open.len() > 1;
                    if let Some(here) = open.last_mut() {
                        *here = true;
                    }
                }
                '?' | '*' | '+' | '{' => {
                    if character == '{' && !counted(&mut characters) {
                        survey.common_dialect = false;
                    }
                    // The lazy mark changes which match is found, not whether one is.
                    characters.next_if_eq(&'?');
                    if character == '?' {
                        survey.cost.choices += 1;
                    } else {
                        survey.cost.loops += 1;
                        survey.cost.nested |= group == Some(true);
                    }
                    if let Some(here) = open.last_mut() {
                        *here = true;
                    }
                }
                ']' | '}' => survey.common_dialect = false,
                _ => {}
            }
        }
        survey.cost.loops += u32::from(!anchored);
        survey
    }

    /// An escape both dialects read alike: a class of characters, a boundary, a control character, or punctuation
    /// (but for `\<` and `\>`, which are word boundaries elsewhere).
    fn escape(&mut self, escaped: Option<char>, in_class: bool) {
        self.cost.loops += u32::from(matches!(escaped, Some('1'..='9' | 'k')));
        self.common_dialect &= match escaped {
            Some('b' | 'B') => !in_class,
            Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 't' | 'n' | 'r' | 'f' | 'v') => true,
            Some('<' | '>') | None => false,
            Some(other) => other.is_ascii_punctuation(),
        };
    }

    fn class(&mut self, characters: &mut Peekable<Chars<'_>>) {
        characters.next_if_eq(&'^');
        // `[]` and `[^]` are empty here and errors elsewhere.
        if characters.peek() == Some(&']') {
            self.common_dialect = false;
        }
        let mut before = None;
        while let Some(character) = characters.next() {
            match character {
                ']' => return,
                '\\' => {
                    self.escape(characters.next(), true);
                    before = None;
                    continue;
                }
                '[' => self.common_dialect = false,
                '&' | '-' | '~' if before == Some(character) => self.common_dialect = false,
                _ => {}
            }
            before = Some(character);
        }
    }
}

/// Whether `{` begins a count (`{2}`, `{2,}`, `{2,5}`), which is then consumed; otherwise JavaScript reads a brace.
fn counted(characters: &mut Peekable<Chars<'_>>) -> bool {
    let mut ahead = characters.clone();
    let mut digits = 0;
    let mut commas = 0;
    loop {
        match ahead.next() {
            Some('0'..='9') => digits += 1,
            Some(',') if digits > 0 && commas == 0 => commas += 1,
            Some('}') if digits > 0 => {
                *characters = ahead;
                return true;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn found(pattern: &str, text: &str) -> Result<bool, UnsupportedPattern> {
        JavaScriptPattern::compile(pattern)?.found_in(text)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_javascript() {
        assert_eq!(found("(?=.*shop)buy", "https://shop/buy"), Ok(false));
        assert_eq!(found("(?!.*admin)/shop", "https://x/shop"), Ok(true));
        assert_eq!(found(r"(\w)\1", "https://x/aa"), Ok(true));
        assert_eq!(found(r"[^]$", "x"), Ok(true), "an empty negated class is any character");
        assert_eq!(found(r"a{,2}", "a{,2}"), Ok(true), "a brace that counts nothing is a brace");
        assert_eq!(found(r"\A", "A"), Ok(true), "an unknown escape is the letter");
        assert_eq!(found(r"\<b", "<b"), Ok(true));
        assert_eq!(found(r"^\/orders\/\d+$", "/orders/42"), Ok(true));
        assert_eq!(found(r"^caf.$", "café"), Ok(true), "text beyond ASCII goes by characters, not by bytes");
        assert_eq!(found(r"\d", "٣"), Ok(false), "digits are ASCII");
    }

    #[test]
    fn a_pattern_that_is_not_javascript_is_named_with_what_is_wrong() {
        assert!(matches!(found("a**", ""), Err(UnsupportedPattern::Syntax { .. })));
        assert!(matches!(found("(?i)a", ""), Err(UnsupportedPattern::Syntax { .. })));
        assert!(matches!(found("(", ""), Err(UnsupportedPattern::Syntax { .. })));
        assert_eq!(found(&"a".repeat(5000), ""), Err(UnsupportedPattern::TooLong { bytes: 5000 }));
    }

    #[test]
    fn a_hostile_url_cannot_make_a_search_run_for_ever() {
        let url = format!("https://x/{}!", "a/".repeat(10_000));
        assert_eq!(found(r"^https://x/(.*/)*checkout$", &url), Ok(false), "repeats in repeats are run in linear time");
        assert_eq!(found(r"(a+)+$", &format!("{}!", "a".repeat(10_000))), Ok(false));
        assert!(matches!(found(r"(a+)+$", &format!("{}é", "a".repeat(64))), Err(UnsupportedPattern::TooCostly { .. })));
        assert!(matches!(found(r"(?=(a+)+$)", &"a".repeat(64)), Err(UnsupportedPattern::TooCostly { .. })));
        assert!(matches!(
            found(&format!("(?=a){}{}", "a?".repeat(40), "a".repeat(40)), &"a".repeat(40)),
            Err(UnsupportedPattern::TooCostly { .. })
        ));
    }

    #[test]
    fn an_ordinary_pattern_with_lookahead_still_runs_on_an_ordinary_url() {
        let url = format!("https://shop.example/{}/checkout", "section".repeat(20));
        assert_eq!(found(r"^(?!.*/admin/).*checkout$", &url), Ok(true));
    }

    proptest! {
        // Both engines must agree wherever the linear one is used; regress is the judge of what JavaScript means.
        #[test]
        fn the_two_engines_agree_on_the_common_dialect(
            pattern in r"[ab./^$|()?:*+\\dws\[\]\-{}0-2,]{0,12}",
            text in r"[ab./12\- ]{0,8}",
        ) {
            if let Ok(compiled) = JavaScriptPattern::compile(&pattern)
                && compiled.linear.is_some()
                && !compiled.cost.nested
            {
                prop_assert_eq!(compiled.found_in(&text).unwrap(), compiled.backtracking.find(&text).is_some());
            }
        }
    }
}
