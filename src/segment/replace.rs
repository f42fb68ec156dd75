//! `@replace`: text for text.

use super::{Problem, Work};

/// The longest pattern and replacement, in UTF-16 units.
pub(super) const MAX_LENGTH: usize = 10;

/// How a pattern is looked for.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) everywhere: bool,
    pub(super) any_case: bool,
}

/// `text.replace(pattern, replacement)` with a pattern in which nothing is special, and a replacement in which `$` is.
pub(super) fn replace(
    text: &str,
    pattern: &str,
    replacement: &str,
    manner: Manner,
    work: &mut Work,
) -> Result<String, Problem> {
    for (what, value) in [("pattern", pattern), ("replacement", replacement)] {
        if value.encode_utf16().count() > MAX_LENGTH {
            return Err(Problem::Refused(format!("@replace requires a \"{what}\" less than {MAX_LENGTH} characters")));
        }
    }
    let mut out = String::new();
    let mut at = 0;
    while let Some((start, end)) = find(text, at, pattern, manner.any_case) {
        out.push_str(text.get(at..start).unwrap_or(""));
        let before = text.get(..start).unwrap_or("");
        let found = text.get(start..end).unwrap_or("");
        let after = text.get(end..).unwrap_or("");
        let length = out.len();
        expand(&mut out, replacement, before, found, after);
        work.take(out.len() - length + (end - at))?;
        at = end;
        if !manner.everywhere {
            break;
        }
    }
    out.push_str(text.get(at..).unwrap_or(""));
    Ok(out)
}

/// The first place at or after `from`, as offsets.
fn find(text: &str, from: usize, pattern: &str, any_case: bool) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    if !any_case {
        return rest.find(pattern).map(|at| (from + at, from + at + pattern.len()));
    }
    rest.char_indices().find_map(|(at, _)| {
        let mut text = rest.get(at..)?.char_indices();
        let is_here =
            pattern.chars().all(|wanted| text.next().is_some_and(|(_, found)| folded(found) == folded(wanted)));
        let end = text.next().map_or(rest.len(), |(length, _)| at + length);
        is_here.then_some((from + at, from + end))
    })
}

/// A character as expressions without the `u` flag compare it under `i`: in upper case, if that is one UTF-16 unit and
/// does not make ASCII of what was none.
fn folded(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None)
            if character.len_utf16() == 1 && one.len_utf16() == 1 && (character.is_ascii() || !one.is_ascii()) =>
        {
            one
        }
        _ => character,
    }
}

fn expand(out: &mut String, replacement: &str, before: &str, found: &str, after: &str) {
    let mut rest = replacement;
    while let Some((plain, special)) = rest.split_once('$') {
        out.push_str(plain);
        let insert = match special.chars().next() {
            Some('$') => "$",
            Some('&') => found,
            Some('`') => before,
            Some('\'') => after,
            // There are no groups for a digit to name.
            _ => {
                out.push('$');
                rest = special;
                continue;
            }
        };
        out.push_str(insert);
        rest = special.get(1..).unwrap_or("");
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, pattern: &str, replacement: &str, flags: &str) -> String {
        let manner = Manner { everywhere: flags.contains('g'), any_case: flags.contains('i') };
        replace(text, pattern, replacement, manner, &mut Work::default()).unwrap_or_default()
    }

    #[test]
    fn nothing_is_special_in_a_pattern_and_dollars_are_in_a_replacement() {
        assert_eq!(replaced("a.b.c", ".", "-", "g"), "a-b-c");
        assert_eq!(replaced("a.b.c", ".", "-", ""), "a-b.c");
        assert_eq!(replaced("a[b]", "[b]", "$&$&", "g"), "a[b][b]");
        assert_eq!(replaced("abc", "b", "$`$'$$$1$", "g"), "aac$$1$c");
        assert_eq!(replaced("aXbx", "x", "-", "gi"), "a-b-");
        assert_eq!(replaced("Straße ſ K", "SS", "-", "gi"), "Straße ſ K");
        assert_eq!(replaced("É", "é", "e", "gi"), "e");
        assert_eq!(replaced("ſk", "s", "-", "gi"), "ſk");
        assert_eq!(replaced("aaa", "aa", "b", "g"), "ba");
    }
}
