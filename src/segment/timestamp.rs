//! When an event happened, as the destination takes it: dayjs 1.11.23 in UTC.
//!
//! dayjs reads most texts by an expression of its own, in local time (Segment's, taken to be UTC), and by other rules
//! than `Date`: overflowing parts roll over, and a fraction is so many milliseconds, `.5` being 5.

use super::javascript::{is_space, number, number_text};
use super::v8_date;
use super::value::Value;

/// The farthest a JavaScript date reaches from 1970, ms.
const MAX_MS: i128 = 8_640_000_000_000_000;

/// Epoch ms of a date, if JavaScript can hold it.
pub(super) fn clipped_ms(ms: i128) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the farthest date is below 2^53")]
    (ms.abs() <= MAX_MS).then_some(ms as f64)
}

/// Epoch ms of a date in UTC whose parts may overflow; `month` is counted from 0.
pub(super) fn from_parts(
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
) -> Option<i128> {
    let year = year.checked_add(month.div_euclid(12))?;
    let month = month.rem_euclid(12);
    let days = days_from_civil(year, month) + i128::from(day) - 1;
    let seconds = i128::from(hour) * 3600 + i128::from(minute) * 60 + i128::from(second);
    Some((days * 86_400 + seconds) * 1000 + i128::from(ms))
}

/// Days from 1970 to the first of a month, `month` from 0, in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64) -> i128 {
    // The year is taken to begin in March, so that the leap day is its last.
    let (year, month) = if month < 2 { (i128::from(year) - 1, month + 10) } else { (i128::from(year), month - 2) };
    let before = i128::from((153 * month + 2) / 5);
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + before - 719_468
}

/// `dayjs(text)`, epoch ms; none: invalid.
fn text_ms(text: &str) -> Option<f64> {
    if text.ends_with(['Z', 'z']) {
        return v8_date::parse(text);
    }
    match Parts::of(text) {
        Some(parts) => parts.ms(),
        None => v8_date::parse(text),
    }
}

/// Whether the destination takes a text for a date.
pub(super) fn is_date_like(text: &str) -> bool {
    let as_number = number(text);
    if number_text(as_number) == text {
        // Such a text is checked as seconds since 1970, and then read as something else.
        return (as_number * 1000.0).abs() <= 8.64e15;
    }
    text_ms(text).is_some()
}

/// The `creationDate` of a payload's timestamp, epoch ms: now where there is none, or none that dayjs can read.
pub(super) fn creation_ms(timestamp: &Value, now_ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "times are below 2^53")]
    let now = now_ms as f64;
    match timestamp {
        // `+ 0.0`: no date is -0.
        Value::Number(number) if number.abs() <= 8.64e15 => number.trunc() + 0.0,
        Value::Text(text) => text_ms(text).unwrap_or(now),
        _ => now,
    }
}

/// An event's own time, epoch ms, as Segment reads it before the destination does; none where it cannot be read.
pub(super) fn known_ms(time: &Value) -> Option<i64> {
    let ms = match time {
        Value::Number(number) => *number,
        // A text of digits is no date here: Segment's times are ISO 8601.
        Value::Text(text) if is_date_like(text) && number(text).is_nan() => text_ms(text)?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "dates are below 2^53")]
    (ms.abs() <= 8.64e15).then_some(ms as i64)
}

/// What dayjs' expression cuts a text into:
/// `^(\d{4})[-/]?(\d{1,2})?[-/]?(\d{0,2})[Tt\s]*(\d{1,2})?:?(\d{1,2})?:?(\d{1,2})?[.:]?(\d+)?$`
struct Parts<'a> {
    year: &'a str,
    month: Option<&'a str>,
    day: &'a str,
    hour: Option<&'a str>,
    minute: Option<&'a str>,
    second: Option<&'a str>,
    fraction: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// Every part takes as much as it can, which is also the only way that ever succeeds: what a part leaves over,
    /// the next part takes, and the last one takes any number of digits.
    fn of(text: &'a str) -> Option<Self> {
        let mut rest = text;
        let digits = |rest: &mut &'a str, most: usize| {
            let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
            let (taken, left) = rest.split_at(length);
            *rest = left;
            taken
        };
        let some = |digits: &'a str| (!digits.is_empty()).then_some(digits);
        let skip = |rest: &mut &'a str, separators: &[char]| *rest = rest.strip_prefix(separators).unwrap_or(rest);
        let year = Some(digits(&mut rest, 4)).filter(|year| year.len() == 4)?;
        skip(&mut rest, &['-', '/']);
        let month = some(digits(&mut rest, 2));
        skip(&mut rest, &['-', '/']);
        let day = digits(&mut rest, 2);
        rest = rest.trim_start_matches(|character| matches!(character, 'T' | 't') || is_space(character));
        let hour = some(digits(&mut rest, 2));
        skip(&mut rest, &[':']);
        let minute = some(digits(&mut rest, 2));
        skip(&mut rest, &[':']);
        let second = some(digits(&mut rest, 2));
        skip(&mut rest, &['.', ':']);
        let fraction = some(digits(&mut rest, usize::MAX));
        rest.is_empty().then_some(Self { year, month, day, hour, minute, second, fraction })
    }

    fn ms(&self) -> Option<f64> {
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<i64>().ok()).unwrap_or(0);
        let year = match number(Some(self.year)) {
            // The constructor of Date means the twentieth century by these.
            short @ 0..=99 => 1900 + short,
            year => year,
        };
        let month = self.month.map_or(0, |month| number(Some(month)) - 1);
        let day = if self.day.is_empty() { 1 } else { number(Some(self.day)) };
        let ms = number(self.fraction.and_then(|fraction| fraction.get(..3).or(Some(fraction))));
        from_parts(year, month, day, number(self.hour), number(self.minute), number(self.second), ms)
            .and_then(clipped_ms)
    }
}
