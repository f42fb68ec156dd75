//! How JavaScript turns values into text, numbers and conditions (ECMA-262, 7.1).

use super::value::Value;
use super::{Problem, Work};
use std::fmt::Write;

/// White space and line ends, as `trim`, `\s` and `Number` know them: not the same as Unicode's.
pub(super) fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t'..='\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{feff}'
    )
}

/// The name of a member that is an array index: it comes before all others.
pub(super) fn array_index(key: &str) -> Option<u32> {
    let is_canonical = match key.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 10 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_canonical.then(|| key.parse().ok()).flatten().filter(|index| *index != u32::MAX)
}

/// `String(number)`.
pub(super) fn number_text(number: f64) -> String {
    let mut out = String::new();
    write_number(&mut out, number);
    out
}

/// Writes `String(number)`.
pub(super) fn write_number(out: &mut String, number: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 are exact in both")]
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        let _ = write!(out, "{}", number as i64);
    } else {
        out.push_str(ryu_js::Buffer::new().format(number));
    }
}

/// `Number(text)`.
pub(super) fn number(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    let radix = match text.as_bytes() {
        [] => return 0.0,
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => return decimal(text),
    };
    radix_number(text.get(2..).unwrap_or(""), radix)
}

fn decimal(text: &str) -> f64 {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Rust also reads inf, nan and infinity in any case; the rest of its grammar is the same.
    if unsigned != "Infinity" && !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return f64::NAN;
    }
    text.parse().unwrap_or(f64::NAN)
}

/// Digits of a radix that is a power of two, rounded to the nearest double, ties to even.
fn radix_number(digits: &str, radix: u32) -> f64 {
    let bits = radix.trailing_zeros();
    let (mut mantissa, mut exponent) = (0_u128, 0_i32);
    if digits.is_empty() {
        return f64::NAN;
    }
    for digit in digits.chars() {
        let Some(digit) = digit.to_digit(radix) else { return f64::NAN };
        if mantissa >> 100 == 0 {
            mantissa = (mantissa << bits) | u128::from(digit);
        } else {
            // The digits that no longer fit matter only by not all being zero: they break a tie.
            mantissa |= u128::from(digit != 0);
            exponent = exponent.saturating_add(bits.cast_signed());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "the cast rounds as it should")]
    let rounded = mantissa as f64;
    rounded * 2_f64.powi(exponent)
}

/// Whether a condition takes the value as true.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Undefined | Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Text(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// `String(value)`.
pub(super) fn text(value: &Value, work: &mut Work) -> Result<String, Problem> {
    let mut out = String::new();
    write_text(&mut out, value, 0, work)?;
    Ok(out)
}

fn write_text(out: &mut String, value: &Value, depth: u32, work: &mut Work) -> Result<(), Problem> {
    work.step(depth)?;
    match value {
        Value::Undefined => out.push_str("undefined"),
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(out, *number),
        Value::Text(text) => {
            work.take(text.len())?;
            out.push_str(text);
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                if !matches!(element, Value::Undefined | Value::Null) {
                    write_text(out, element, depth + 1, work)?;
                }
            }
        }
        // A member of this name hides the method, and no member that came as JSON can be called.
        Value::Object(object) if object.get("toString").is_some() => {
            return Err(Problem::Refused("Cannot convert object to primitive value".to_owned()));
        }
        Value::Object(_) => out.push_str("[object Object]"),
    }
    Ok(())
}

/// `value == ''`.
pub(super) fn is_loosely_empty(value: &Value, work: &mut Work) -> Result<bool, Problem> {
    Ok(match value {
        Value::Undefined | Value::Null => false,
        Value::Bool(value) => !value,
        Value::Number(number) => *number == 0.0,
        Value::Text(_) | Value::Array(_) | Value::Object(_) => text(value, work)?.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp)]
    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (-9_007_199_254_740_991.0, "-9007199254740991"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ];
        for (number, written) in cases {
            assert_eq!(number_text(number), written);
        }
    }

    #[test]
    fn text_is_read_as_a_number_as_javascript_reads_it() {
        let cases = [
            ("", 0.0),
            (" \u{feff}\n", 0.0),
            (" 12 ", 12.0),
            ("0x10", 16.0),
            ("0B11", 3.0),
            ("0o17", 15.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+4", 4.0),
            ("-0", 0.0),
            ("007", 7.0),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
            ("0x20000000000001", 9_007_199_254_740_992.0),
            // Halfway between two doubles, and one digit far behind decides for the upper one.
            ("0x200000000000010000000000000000000000000000", 9_007_199_254_740_992.0 * 2_f64.powi(112)),
            ("0x200000000000010000000000000000000000000001", 9_007_199_254_740_994.0 * 2_f64.powi(112)),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text:?}");
        }
        for text in [
            "abc", "NaN", "nan", "inf", "infinity", "1,000", "$5", "1_000", "0x", "-0x1", "1e", ".", "+", "\u{85}1",
            "0b2",
        ] {
            assert!(number(text).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn array_indexes_are_canonical_and_below_the_largest() {
        let indexes = ["0", "10", "4294967294"].map(array_index);
        assert_eq!(indexes, [Some(0), Some(10), Some(4_294_967_294)]);
        assert_eq!(["", "01", "-1", "1.0", "4294967295", "99999999999"].map(array_index), [None; 6]);
    }
}
