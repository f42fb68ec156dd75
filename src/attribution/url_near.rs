//! By what an address that was visited is not the one that a metric asks for (F31).
//!
//! Only what people get wrong is looked for: the query, the fragment, a slash at the end, upper and lower case, the
//! scheme. An address that differs by anything else is another page.

use super::pattern::JavaScriptPattern;
use super::url::{Address, matches};
use crate::catalog::UrlMatcher;

/// What a visited address fails a matcher by; none where it matches, where the matcher cannot be run, and where it is
/// another page.
pub fn differs_by(matcher: &UrlMatcher, href: &str) -> Option<Vec<&'static str>> {
    if matches(matcher, href).unwrap_or(true) {
        return None;
    }
    let address = Address::of(href);
    let found = match matcher {
        UrlMatcher::Exact(url) => whole(&address, (address.search, address.hash), url),
        UrlMatcher::Canonical(url) => whole(&address, ("", ""), url),
        UrlMatcher::Substring(part) => part_of(&address, part),
        UrlMatcher::Regex(pattern) => found_by(&address, pattern),
    };
    found.filter(|found| !found.is_empty())
}

fn without_scheme(address: &str) -> (&str, &str) {
    address.split_once("://").unwrap_or(("", address))
}

fn whole(visited: &Address<'_>, (search, hash): (&str, &str), url: &str) -> Option<Vec<&'static str>> {
    let asked = Address::of(url);
    let ((own_scheme, own), (scheme, base)) = (without_scheme(visited.base), without_scheme(asked.base));
    let mut found = Vec::new();
    if own != base {
        let (own, base) = (own.trim_end_matches('/'), base.trim_end_matches('/'));
        match own == base {
            true => found.push("slash"),
            false if own.to_lowercase() == base.to_lowercase() => found.push("case"),
            false => return None,
        }
    }
    found.extend((search != asked.search).then_some("query"));
    found.extend((hash != asked.hash).then_some("hash"));
    found.extend((own_scheme != scheme).then_some("scheme"));
    Some(found)
}

fn part_of(visited: &Address<'_>, part: &str) -> Option<Vec<&'static str>> {
    let seen = visited.without_search(visited.path_like_hash());
    let is_in = |text: &str, part: &str| !part.is_empty() && text.contains(part);
    if let Some(place) = outside(visited, |text| text.contains(part)) {
        return Some(vec![place]);
    }
    let (lower, lower_part) = (seen.to_lowercase(), part.to_lowercase());
    if is_in(&lower, &lower_part) {
        return Some(vec!["case"]);
    }
    if is_in(&seen, part.trim_end_matches('/')) && part.ends_with('/') {
        return Some(vec!["slash"]);
    }
    if let Some((before, _)) = part.split_once('?')
        && is_in(&seen, before)
    {
        return Some(vec!["query"]);
    }
    let (scheme, rest) = without_scheme(part);
    (!scheme.is_empty() && without_scheme(&seen).1.starts_with(rest)).then(|| vec!["scheme"])
}

fn found_by(visited: &Address<'_>, pattern: &str) -> Option<Vec<&'static str>> {
    let compiled = JavaScriptPattern::compile(pattern).ok()?;
    if let Some(place) = outside(visited, |text| compiled.found_in(text).unwrap_or_default()) {
        return Some(vec![place]);
    }
    // `\D` is not `\d`: such a pattern has no other case.
    let has_classes =
        pattern.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', letter] if letter.is_ascii_uppercase()));
    if has_classes {
        return None;
    }
    let lower = JavaScriptPattern::compile(&pattern.to_lowercase()).ok()?;
    let seen = visited.without_search(visited.path_like_hash()).to_lowercase();
    lower.found_in(&seen).unwrap_or_default().then(|| vec!["case"])
}

/// Where something is that is not in what a matcher is shown of an address: in its fragment, or its query.
fn outside(visited: &Address<'_>, is_found: impl Fn(&str) -> bool) -> Option<&'static str> {
    if is_found(&visited.without_search(true)) {
        return Some("hash");
    }
    is_found(visited.href).then_some("query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_get_wrong_is_named_and_another_page_is_another_page() {
        let exact = |url: &str| UrlMatcher::Exact(url.to_owned());
        let canonical = |url: &str| UrlMatcher::Canonical(url.to_owned());
        let substring = |part: &str| UrlMatcher::Substring(part.to_owned());
        let regex = |pattern: &str| UrlMatcher::Regex(pattern.to_owned());
        let cases: &[(UrlMatcher, &str, Option<&[&str]>)] = &[
            (exact("https://x.example/buy"), "https://x.example/buy?step=2", Some(&["query"])),
            (exact("https://x.example/buy"), "https://x.example/buy#top", Some(&["hash"])),
            (exact("https://x.example/buy/"), "https://x.example/buy", Some(&["slash"])),
            (exact("https://x.example/buy"), "https://x.example/buy/?a", Some(&["slash", "query"])),
            (exact("https://x.example/buy"), "http://x.example/Buy", Some(&["case", "scheme"])),
            (exact("https://x.example/buy"), "https://x.example/buy/", None),
            (exact("https://x.example/buy"), "https://x.example/bought", None),
            (exact("https://x.example/buy"), "https://www.x.example/buy", None),
            (canonical("https://x.example/buy?step=2"), "https://x.example/buy?step=2", Some(&["query"])),
            (canonical("https://x.example/buy"), "https://x.example/buy?step=2#top", None),
            (canonical("https://x.example/buy/"), "https://x.example/buy?a", Some(&["slash"])),
            (canonical("https://x.example/#/buy"), "https://x.example/#/buy", Some(&["hash"])),
            (substring("step=2"), "https://x.example/buy?step=2", Some(&["query"])),
            (substring("/buy?step=2"), "https://x.example/buy?step=3", Some(&["query"])),
            (substring("#top"), "https://x.example/buy#top", Some(&["hash"])),
            (substring("/Buy"), "https://x.example/buy", Some(&["case"])),
            (substring("/buy/"), "https://x.example/buy", Some(&["slash"])),
            (substring("http://x.example/buy"), "https://x.example/buy/1", Some(&["scheme"])),
            (substring("/sell"), "https://x.example/buy", None),
            (regex("step=[0-9]"), "https://x.example/buy?step=2", Some(&["query"])),
            (regex("/BUY$"), "https://x.example/buy", Some(&["case"])),
            (regex(r"/BUY\D"), "https://x.example/buyx", None),
            (regex("("), "https://x.example/buy", None),
            (substring(""), "", None),
        ];
        for (matcher, href, expected) in cases {
            assert_eq!(differs_by(matcher, href).as_deref(), *expected, "{matcher:?} {href}");
        }
    }
}
