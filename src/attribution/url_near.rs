//! By what an address that was visited is not the one that a metric asks for (F31).
//!
//! Only what people get wrong is looked for: the query, the fragment, a slash at the end, upper and lower case, the
//! scheme. An address that differs by anything else is another page; so is one that only names, in its query or its
//! fragment, the page that is asked for, as a login that leads back to it does.

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

/// What stands in a pattern that means the query or the fragment. What has none of it means a page, and where it is found
/// in the query of another, that page is where somebody came from or is sent to.
const IN_A_QUERY: [char; 4] = ['?', '=', '&', '#'];

fn without_scheme(address: &str) -> (&str, &str) {
    address.split_once("://").unwrap_or(("", address))
}

/// Whether an address without its query and fragment names no page but the first: every other is near that.
fn is_root(base: &str) -> bool {
    let (scheme, rest) = without_scheme(base);
    let path = if scheme.is_empty() { rest } else { rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default() };
    path.trim_matches('/').is_empty()
}

/// Whether the query of one address has what is in that of another, and maybe more.
fn has_all_of(search: &str, asked: &str) -> bool {
    let parts = |search: &'_ str| search.trim_start_matches('?').split('&').map(str::to_owned).collect::<Vec<_>>();
    let own = parts(search);
    asked.is_empty() || parts(asked).iter().all(|part| own.contains(part))
}

fn whole(visited: &Address<'_>, (search, hash): (&str, &str), url: &str) -> Option<Vec<&'static str>> {
    let asked = Address::of(url);
    // The first page of a single-page application says by its fragment which it is.
    let is_said = !(asked.search.is_empty() && asked.hash.is_empty())
        && (visited.search, visited.hash) == (asked.search, asked.hash);
    if is_root(asked.base) && !is_said {
        return None;
    }
    let is_another_view = asked.hash.contains('/') && visited.hash != asked.hash;
    if is_another_view || !has_all_of(visited.search, asked.search) {
        return None;
    }
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
    if is_root(Address::of(part).base) && !part.contains(IN_A_QUERY) {
        return None;
    }
    if part.contains(IN_A_QUERY)
        && let Some(place) = outside(visited, |text| text.contains(part))
    {
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
        && !is_root(before)
        && is_in(&seen, before)
    {
        return Some(vec!["query"]);
    }
    let (scheme, rest) = without_scheme(part);
    (!scheme.is_empty() && without_scheme(&seen).1.starts_with(rest)).then(|| vec!["scheme"])
}

fn found_by(visited: &Address<'_>, pattern: &str) -> Option<Vec<&'static str>> {
    let compiled = JavaScriptPattern::compile(pattern).ok()?;
    // A mark of a group is none of a query; nor is one that says how often.
    let literal = pattern.replace("(?=", "").replace("(?<=", "");
    let is_of_a_query = literal.contains(['=', '&', '#']) || literal.contains("\\?") || literal.contains("[?]");
    if is_of_a_query && let Some(place) = outside(visited, |text| compiled.found_in(text).unwrap_or_default()) {
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
            (exact("https://x.example/buy?step=2"), "https://x.example/buy?step=2&from=mail", Some(&["query"])),
            (exact("https://x.example/buy?step=2"), "https://x.example/buy?step=3", None),
            (exact("https://x.example/app#/buy"), "https://x.example/app#/home", None),
            (exact("https://x.example/"), "https://x.example/?from=mail", None),
            (exact("https://x.example"), "http://x.example/#top", None),
            (exact("https://x.example/#/buy"), "https://x.example/", None),
            (substring("/checkout"), "https://x.example/login?returnTo=/checkout", None),
            (substring("/checkout"), "https://x.example/login#from=/checkout", None),
            (substring("/"), "about:blank?/", None),
            (substring("https://x.example/"), "http://x.example/buy", None),
            (substring("/?step=2"), "https://x.example/buy", None),
            (regex("/checkout$"), "https://x.example/login?returnTo=/checkout", None),
            (regex("^https?://.*/checkout"), "https://x.example/login?returnTo=/checkout", None),
            (regex("/checkout(?=/|$)"), "https://x.example/login?returnTo=/checkout", None),
            (regex(r"/buy\?step"), "https://x.example/buy?step=2", Some(&["query"])),
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
