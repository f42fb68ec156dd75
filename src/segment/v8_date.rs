//! Dates as `new Date(text)` reads them in V8: ISO 8601 first, and what is not that by the looser rules every browser
//! has had since the nineties ("Wed, 30 Mar 2022 17:24:58 GMT", "3/30/2022", even "12"). Local time is UTC.

use super::javascript::is_space;
use super::timestamp::{clipped_ms, from_parts};
use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Number {
        value: i32,
        length: usize,
    },
    /// One of `: - + . )`.
    Symbol(char),
    Word(Word),
    Space,
    Unknown,
    /// A beginning that is ISO 8601 and whose end is not: no date.
    Invalid,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Month(i32),
    /// Hours to add.
    HalfOfDay(i32),
    /// Hours from UTC.
    Zone(i32),
    Z,
    T,
    Other,
}

impl Word {
    /// Only the first three letters count, and only a month may have more.
    fn of(prefix: &str, length: usize) -> Self {
        const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        if let Some(month) = (1..).zip(MONTHS).find_map(|(month, name)| (name == prefix).then_some(month)) {
            return Self::Month(month);
        }
        if length > 3 {
            return Self::Other;
        }
        match prefix {
            "am" => Self::HalfOfDay(0),
            "pm" => Self::HalfOfDay(12),
            "ut" | "utc" | "gmt" => Self::Zone(0),
            "cst" => Self::Zone(-6),
            "cdt" | "est" => Self::Zone(-5),
            "mst" => Self::Zone(-7),
            "mdt" => Self::Zone(-6),
            "pst" => Self::Zone(-8),
            "pdt" => Self::Zone(-7),
            "edt" => Self::Zone(-4),
            "z" => Self::Z,
            "t" => Self::T,
            _ => Self::Other,
        }
    }
}

impl Token {
    fn is_fixed(self, digits: usize) -> bool {
        matches!(self, Self::Number { length, .. } if length == digits)
    }

    fn number(self) -> i32 {
        if let Self::Number { value, .. } = self { value } else { 0 }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Number { .. })
    }

    fn sign(self) -> Option<i32> {
        match self {
            Self::Symbol('+') => Some(1),
            Self::Symbol('-') => Some(-1),
            _ => None,
        }
    }
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    next: Token,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let mut scanner = Self { rest: text.chars().peekable(), next: Token::End };
        scanner.next = scanner.scan();
        scanner
    }

    fn take(&mut self) -> Token {
        let next = self.scan();
        std::mem::replace(&mut self.next, next)
    }

    fn skip(&mut self, symbol: char) -> bool {
        let is_there = self.next == Token::Symbol(symbol);
        if is_there {
            self.take();
        }
        is_there
    }

    fn scan(&mut self) -> Token {
        let Some(first) = self.rest.peek().copied() else { return Token::End };
        if first.is_ascii_digit() {
            return self.scan_number();
        }
        if matches!(first, ':' | '-' | '+' | '.' | ')') {
            self.rest.next();
            return Token::Symbol(first);
        }
        if first >= 'A' && !is_space(first) {
            let (mut prefix, mut length) = (String::new(), 0);
            while let Some(letter) = self.rest.next_if(|next| *next >= 'A' && !is_space(*next)) {
                if length < 3 {
                    prefix.push(char::from_u32(u32::from(letter) | 0x20).unwrap_or(letter));
                }
                length += letter.len_utf16();
            }
            return Token::Word(Word::of(&prefix, length));
        }
        if is_space(first) {
            self.rest.next();
            return Token::Space;
        }
        if first == '(' {
            let mut open = 0_i64;
            while let Some(character) = self.rest.next() {
                open += match character {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                // A NUL looks like the end to the loop that skips.
                if open == 0 || self.rest.peek() == Some(&'\0') {
                    break;
                }
            }
            return Token::Unknown;
        }
        self.rest.next();
        Token::Unknown
    }

    /// Zeros in front are not significant, and of the significant digits nine are.
    fn scan_number(&mut self) -> Token {
        let (mut value, mut length, mut significant) = (0_i32, 0, 0);
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit).and_then(|digit| digit.to_digit(10)) {
            length += 1;
            if significant > 0 || digit > 0 {
                significant += 1;
                if significant <= 9 {
                    value = value * 10 + digit.cast_signed();
                }
            }
        }
        Token::Number { value, length }
    }
}

#[derive(Default)]
struct Day {
    parts: Vec<i32>,
    named_month: Option<i32>,
    is_iso: bool,
}

impl Day {
    fn add(&mut self, number: i32) -> bool {
        let has_room = self.parts.len() < 3;
        if has_room {
            self.parts.push(number);
        }
        has_room
    }

    /// Year, month from 1, day.
    fn resolve(&self) -> Option<(i32, i32, i32)> {
        let is_day = |number: i32| (1..=31).contains(&number);
        let first = *self.parts.first()?;
        let second = self.parts.get(1).copied().unwrap_or(1);
        let third = self.parts.get(2).copied().unwrap_or(1);
        let (mut year, month, day) = match self.named_month {
            None if self.is_iso || !is_day(first) => (first, second, third),
            None => (third, first, second),
            Some(month) if !is_day(first) => (first, month, second),
            Some(month) => (second, month, first),
        };
        if !self.is_iso {
            match year {
                0..=49 => year += 2000,
                50..=99 => year += 1900,
                _ => {}
            }
        }
        ((1..=12).contains(&month) && is_day(day)).then_some((year, month, day))
    }
}

#[derive(Default)]
struct Time {
    parts: Vec<i32>,
    hours_to_add: Option<i32>,
}

impl Time {
    fn is_expecting(&self, number: i32) -> bool {
        match self.parts.len() {
            1 | 2 => (0..60).contains(&number),
            3 => (0..1000).contains(&number),
            _ => false,
        }
    }

    fn add(&mut self, number: i32) -> bool {
        let has_room = self.parts.len() < 4;
        if has_room {
            self.parts.push(number);
        }
        has_room
    }

    fn add_final(&mut self, number: i32) {
        self.add(number);
        self.parts.resize(4, 0);
    }

    /// Hour, minute, second, millisecond.
    fn resolve(&self) -> Option<[i32; 4]> {
        let part = |at: usize| self.parts.get(at).copied().unwrap_or(0);
        let (mut hour, minute, second, ms) = (part(0), part(1), part(2), part(3));
        if let Some(more) = self.hours_to_add {
            if !(0..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + more;
        }
        let is_in_day = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..1000).contains(&ms);
        let is_midnight = (hour, minute, second, ms) == (24, 0, 0, 0);
        (is_in_day || is_midnight).then_some([hour, minute, second, ms])
    }
}

#[derive(Default)]
struct Zone {
    sign: Option<i32>,
    hour: Option<i32>,
    minute: Option<i32>,
}

impl Zone {
    fn set(&mut self, hours: i32) {
        *self = Self { sign: Some(if hours < 0 { -1 } else { 1 }), hour: Some(hours.abs()), minute: Some(0) };
    }

    fn is_utc(&self) -> bool {
        (self.hour, self.minute) == (Some(0), Some(0))
    }

    fn is_expecting(&self, number: i32) -> bool {
        self.hour.is_some() && self.minute.is_none() && (0..60).contains(&number)
    }

    /// Seconds from UTC.
    fn resolve(&self) -> Option<i64> {
        let Some(sign) = self.sign else { return Some(0) };
        let seconds = i64::from(self.hour.unwrap_or(0)) * 3600 + i64::from(self.minute.unwrap_or(0)) * 60;
        // V8 counts them in 32 bits, and refuses what is not a small integer of its own.
        let seconds = seconds.cast_unsigned() & 0xffff_ffff;
        (seconds <= 0x7fff_ffff).then(|| i64::from(sign) * seconds.cast_signed())
    }
}

/// The first three digits of a fraction, or fewer.
fn milliseconds(token: Token) -> i32 {
    let Token::Number { value, length } = token else { return 0 };
    match length {
        0 | 3 => value,
        1 => value * 100,
        2 => value * 10,
        longer => (4..=longer.min(9)).fold(value, |value, _| value / 10),
    }
}

/// `new Date(text)`, epoch ms; none: not a date.
pub(super) fn parse(text: &str) -> Option<f64> {
    let mut reader =
        Reader { scanner: Scanner::new(text), day: Day::default(), time: Time::default(), zone: Zone::default() };
    let token = reader.iso();
    reader.legacy(token)?;
    let (year, month, day) = reader.day.resolve()?;
    let time = reader.time.resolve()?;
    let zone_seconds = reader.zone.resolve()?;
    let [hour, minute, second, ms] = time.map(i64::from);
    let local = from_parts(year.into(), i64::from(month) - 1, day.into(), hour, minute, second, ms)?;
    clipped_ms(local - i128::from(zone_seconds) * 1000)
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    day: Day,
    time: Time,
    zone: Zone,
}

impl Reader<'_> {
    /// Reads as much as is ISO 8601, and gives the first token that is not: the end, if everything is.
    fn iso(&mut self) -> Token {
        let is_in = |token: Token, digits: usize, range: std::ops::RangeInclusive<i32>| {
            token.is_fixed(digits) && range.contains(&token.number())
        };
        if let Some(sign) = self.scanner.next.sign() {
            let token = self.scanner.take();
            if !self.scanner.next.is_fixed(6) {
                return token;
            }
            let year = self.scanner.take().number();
            if sign < 0 && year == 0 {
                return token;
            }
            self.day.add(sign * year);
        } else if self.scanner.next.is_fixed(4) {
            let year = self.scanner.take().number();
            self.day.add(year);
        } else {
            return self.scanner.take();
        }
        for range in [1..=12, 1..=31] {
            if !self.scanner.skip('-') {
                break;
            }
            if !is_in(self.scanner.next, 2, range) {
                return self.scanner.take();
            }
            let number = self.scanner.take().number();
            self.day.add(number);
        }
        if self.scanner.next == Token::Word(Word::T) {
            if self.iso_time().is_none() || self.scanner.next != Token::End {
                return Token::Invalid;
            }
        } else if self.scanner.next != Token::End {
            return self.scanner.take();
        }
        if self.zone.hour.is_none() && self.time.parts.is_empty() {
            self.zone.set(0);
        }
        self.day.is_iso = true;
        Token::End
    }

    fn fixed(&mut self, digits: usize, range: std::ops::RangeInclusive<i32>) -> Option<i32> {
        let next = self.scanner.next;
        (next.is_fixed(digits) && range.contains(&next.number())).then(|| self.scanner.take().number())
    }

    fn iso_time(&mut self) -> Option<()> {
        self.scanner.take();
        let hour = self.fixed(2, 0..=24)?;
        // The end of a day may be written as 24:00.
        let most = if hour == 24 { 0 } else { 59 };
        self.time.add(hour);
        self.scanner.skip(':').then_some(())?;
        let minute = self.fixed(2, 0..=most)?;
        self.time.add(minute);
        if self.scanner.skip(':') {
            let second = self.fixed(2, 0..=most)?;
            self.time.add(second);
            if self.scanner.skip('.') {
                let next = self.scanner.next;
                if !next.is_number() || (hour == 24 && next.number() > 0) {
                    return None;
                }
                let ms = milliseconds(self.scanner.take());
                self.time.add(ms);
            }
        }
        if self.scanner.next == Token::Word(Word::Z) {
            self.scanner.take();
            self.zone.set(0);
        } else if let Some(sign) = self.scanner.next.sign() {
            self.scanner.take();
            self.zone.sign = Some(sign);
            if self.scanner.next.is_fixed(4) {
                let number = self.scanner.take().number();
                ((0..24).contains(&(number / 100)) && number % 100 < 60).then_some(())?;
                (self.zone.hour, self.zone.minute) = (Some(number / 100), Some(number % 100));
            } else {
                self.zone.hour = Some(self.fixed(2, 0..=23)?);
                self.scanner.skip(':').then_some(())?;
                self.zone.minute = Some(self.fixed(2, 0..=59)?);
            }
        }
        Some(())
    }

    /// Reads the rest by the loose rules: words before the first number and everything in parentheses are ignored.
    fn legacy(&mut self, first: Token) -> Option<()> {
        let mut token = first;
        let mut has_number = !self.day.parts.is_empty();
        loop {
            match token {
                Token::End => return Some(()),
                Token::Invalid => return None,
                Token::Number { value, .. } => {
                    has_number = true;
                    self.legacy_number(value)?;
                }
                Token::Word(word) => match word {
                    Word::HalfOfDay(hours) if !self.time.parts.is_empty() => self.time.hours_to_add = Some(hours),
                    Word::Month(month) => {
                        self.day.named_month = Some(month);
                        self.scanner.skip('-');
                    }
                    Word::Zone(hours) if has_number => self.zone.set(hours),
                    Word::Z if has_number => self.zone.set(0),
                    _ if has_number || self.scanner.next.is_number() => return None,
                    _ => {}
                },
                Token::Symbol(symbol) => match token.sign() {
                    Some(sign) if self.zone.is_utc() || !self.time.parts.is_empty() => {
                        has_number = true;
                        self.legacy_zone(sign)?;
                    }
                    Some(_) if has_number => return None,
                    None if symbol == ')' && has_number => return None,
                    _ => {}
                },
                Token::Space | Token::Unknown => {}
            }
            token = self.scanner.take();
        }
    }

    fn legacy_number(&mut self, number: i32) -> Option<()> {
        if self.scanner.skip(':') {
            if self.scanner.skip(':') {
                self.time.parts.is_empty().then_some(())?;
                self.time.add(number);
                self.time.add(0);
            } else {
                self.time.add(number).then_some(())?;
                self.scanner.skip('.');
            }
        } else if self.scanner.skip('.') && self.time.is_expecting(number) {
            self.time.add(number);
            self.scanner.next.is_number().then_some(())?;
            let ms = milliseconds(self.scanner.take());
            self.time.add_final(ms);
        } else if self.zone.is_expecting(number) {
            self.zone.minute = Some(number);
        } else if self.time.is_expecting(number) {
            self.time.add_final(number);
            let next = self.scanner.next;
            let may_follow = matches!(next, Token::End | Token::Space | Token::Word(Word::Z)) || next.sign().is_some();
            may_follow.then_some(())?;
        } else {
            self.day.add(number).then_some(())?;
            self.scanner.skip('-');
        }
        Some(())
    }

    fn legacy_zone(&mut self, sign: i32) -> Option<()> {
        self.zone.sign = Some(sign);
        let (number, length) = match self.scanner.next {
            Token::Number { value, length } => {
                self.scanner.take();
                (value, length)
            }
            _ => (0, 0),
        };
        if self.scanner.next == Token::Symbol(':') {
            (self.zone.hour, self.zone.minute) = (Some(number), None);
            return Some(());
        }
        (self.zone.hour, self.zone.minute) = match length {
            1 | 2 => (Some(number), Some(0)),
            3 | 4 => (Some(number / 100), Some(number % 100)),
            _ => return None,
        };
        Some(())
    }
}
