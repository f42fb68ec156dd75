//! A trigger's text, cut into tokens.

use std::iter::Peekable;
use std::str::Chars;

/// Names, numbers and texts of this length are refused.
const MAX_LENGTH: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ident,
    Dot,
    Operator,
    Conditional,
    Text,
    Number,
    Null,
    ParenLeft,
    ParenRight,
    /// Comma or square bracket, which mean nothing to a trigger.
    Other,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// As written; texts with their quotes.
    pub(super) text: String,
}

impl Token {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(super) fn end() -> Self {
        Self::new(Kind::End, "eos")
    }
}

/// The tokens, the last of them the end; none where the text cannot be cut into tokens.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut reader = Reader { rest: text.chars().peekable() };
    let mut tokens = Vec::new();
    while let Some(character) = reader.rest.next() {
        tokens.push(match character {
            ' ' | '\t' | '\n' => continue,
            '!' if reader.peek().is_some_and(|next| next.is_ascii_alphabetic() || next == '(') => {
                Token::new(Kind::Operator, "!")
            }
            '=' => Token::new(Kind::Operator, "="),
            '!' => reader.accept("=").then(|| Token::new(Kind::Operator, "!="))?,
            '<' | '>' if reader.accept("=") => Token::new(Kind::Operator, format!("{character}=")),
            '<' | '>' => Token::new(Kind::Operator, character),
            'a' if reader.accept("nd") => Token::new(Kind::Conditional, "and"),
            'o' if reader.accept("r") => Token::new(Kind::Conditional, "or"),
            'n' if reader.accept("ull") => Token::new(Kind::Null, "null"),
            first if first.is_ascii_alphabetic() || matches!(first, '\\' | '_') => reader.ident(first)?,
            first if first.is_ascii_digit() || matches!(first, '-' | '+') => reader.number(first)?,
            quote @ ('"' | '\'') => reader.text(quote)?,
            '.' => Token::new(Kind::Dot, "."),
            '(' => Token::new(Kind::ParenLeft, "("),
            ')' => Token::new(Kind::ParenRight, ")"),
            '[' | ']' | ',' => Token::new(Kind::Other, character),
            _ => return None,
        });
    }
    tokens.push(Token::end());
    Some(tokens)
}

fn is_terminator(character: Option<char>) -> bool {
    matches!(character, None | Some(' ' | '\t' | '\n' | ',' | ']' | ')'))
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    /// Takes a word if it stands here and ends here. If not, steps back to where it stood, except at the end of the
    /// text: there it is the destination's own reader that forgets to, and `type = an` compares with `a`.
    fn accept(&mut self, word: &str) -> bool {
        let start = self.rest.clone();
        let mut taken = String::new();
        for _ in word.chars() {
            let Some(character) = self.rest.next() else { return false };
            taken.push(character);
            if is_terminator(Some(character)) {
                break;
            }
        }
        if taken == word && is_terminator(self.peek()) {
            return true;
        }
        self.rest = start;
        false
    }

    fn ident(&mut self, first: char) -> Option<Token> {
        let mut text = String::new();
        let mut character = first;
        loop {
            if character == '\\' {
                character = self.rest.next()?;
                // Of a character that is two units in UTF-16 the escape takes one, and the other ends no name.
                if character.len_utf16() > 1 {
                    return None;
                }
            }
            text.push(character);
            if text.len() >= MAX_LENGTH {
                return None;
            }
            let is_part = |next: char| next.is_ascii_alphanumeric() || matches!(next, '_' | '-' | '\\');
            match self.rest.next_if(|next| is_part(*next)) {
                Some(next) => character = next,
                None => break,
            }
        }
        let next = self.peek();
        let ends = is_terminator(next) || matches!(next, Some('.' | '(' | '=' | '!'));
        ends.then(|| Token::new(Kind::Ident, text))
    }

    fn number(&mut self, first: char) -> Option<Token> {
        let mut text = String::from(first);
        let mut is_decimal = false;
        while let Some(next) = self.rest.next_if(|next| next.is_ascii_digit() || *next == '.') {
            text.push(next);
            if next == '.' && (is_terminator(self.peek()) || std::mem::replace(&mut is_decimal, true)) {
                return None;
            }
            if text.len() > MAX_LENGTH {
                return None;
            }
        }
        Some(Token::new(Kind::Number, text))
    }

    /// A text in quotes. There are no escapes. A closing quote that nothing ends is, a second time, an opening one.
    fn text(&mut self, quote: char) -> Option<Token> {
        let mut text = String::from(quote);
        let mut units = 0;
        while let Some(character) = self.rest.next_if(|next| *next != quote) {
            text.push(character);
            units += character.len_utf16();
            if units >= MAX_LENGTH {
                return None;
            }
        }
        self.peek()?;
        text.push(quote);
        self.accept(quote.encode_utf8(&mut [0; 4]));
        Some(Token::new(Kind::Text, text))
    }
}
