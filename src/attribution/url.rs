//! URL matching for click and page-view metrics (`docs/attribution.md`, section 5).
//!
//! LaunchDarkly's browser SDK compares a metric's matchers with `location.href`, `.search` and `.hash`. An event
//! carries only the href, so search and hash are derived from its text as a browser would give them. Everything
//! is case-sensitive, scheme and host included.

use super::pattern::JavaScriptPattern;
pub use super::pattern::UnsupportedPattern;
use crate::catalog::UrlMatcher;
use std::borrow::Cow;

/// The URL matchers of one metric, compiled once.
#[derive(Clone, Debug, Default)]
pub struct CompiledMatcher {
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact(String),
    Canonical(String),
    Substring(String),
    Regex(Result<JavaScriptPattern, UnsupportedPattern>),
}

impl CompiledMatcher {
    /// Compiles a metric's `urls`. A pattern that cannot be compiled is kept as what is wrong with it, and comes
    /// back from [`matches`](Self::matches) where it would have decided.
    pub fn new(urls: &[UrlMatcher]) -> Self {
        let compile = |url: &UrlMatcher| match url {
            UrlMatcher::Exact(url) => Matcher::Exact(url.clone()),
            UrlMatcher::Canonical(url) => Matcher::Canonical(url.clone()),
            UrlMatcher::Substring(part) => Matcher::Substring(part.clone()),
            UrlMatcher::Regex(pattern) => Matcher::Regex(JavaScriptPattern::compile(pattern)),
        };
        Self { matchers: urls.iter().map(compile).collect() }
    }

    /// Whether any of the matchers matches a visited address (rule M2).
    ///
    /// # Errors
    /// [`UnsupportedPattern`] where none matches and at least one could not be run: the answer is then not known.
    pub fn matches(&self, href: &str) -> Result<bool, UnsupportedPattern> {
        let address = Address::of(href);
        let mut unsupported = None;
        for matcher in &self.matchers {
            match matcher.matches(&address) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => unsupported = Some(error),
            }
        }
        unsupported.map_or(Ok(false), Err)
    }
}

impl Matcher {
    fn matches(&self, address: &Address<'_>) -> Result<bool, UnsupportedPattern> {
        match self {
            Self::Exact(url) => Ok(equal_but_for_a_slash(address.href, url)),
            Self::Canonical(url) => Ok(equal_but_for_a_slash(&address.without_search(false), url)),
            Self::Substring(part) => Ok(address.without_search(address.path_like_hash()).contains(part.as_str())),
            Self::Regex(Ok(pattern)) => pattern.found_in(&address.without_search(address.path_like_hash())),
            Self::Regex(Err(error)) => Err(error.clone()),
        }
    }
}

/// Whether one matcher matches a visited address. Compiles a pattern every time: for many events use
/// [`CompiledMatcher`].
///
/// # Errors
/// [`UnsupportedPattern`] where a pattern cannot be run.
pub fn matches(matcher: &UrlMatcher, href: &str) -> Result<bool, UnsupportedPattern> {
    CompiledMatcher::new(std::slice::from_ref(matcher)).matches(href)
}

/// One trailing slash is forgiven, and only on the visited address.
fn equal_but_for_a_slash(visited: &str, url: &str) -> bool {
    visited.strip_prefix(url).is_some_and(|rest| rest.is_empty() || rest == "/")
}

/// An href taken apart as `location` would.
pub(super) struct Address<'a> {
    pub(super) href: &'a str,
    /// From `#` on; empty where nothing follows it, which is also what a browser says.
    pub(super) hash: &'a str,
    /// From `?` up to the hash; empty where nothing follows it.
    pub(super) search: &'a str,
    /// What comes before both.
    pub(super) base: &'a str,
}

impl<'a> Address<'a> {
    pub(super) fn of(href: &'a str) -> Self {
        let (before_hash, hash) = href.split_at(href.find('#').unwrap_or(href.len()));
        let (base, search) = before_hash.split_at(before_hash.find('?').unwrap_or(before_hash.len()));
        // A browser's location has an empty search or hash for a bare `?` or `#`, and leaves the mark in the href.
        let (base, search) = if search == "?" { (before_hash, "") } else { (base, search) };
        Self { href, hash: if hash == "#" { "" } else { hash }, search, base }
    }

    /// A fragment with a slash in it is taken for the path of a single-page application.
    pub(super) fn path_like_hash(&self) -> bool {
        self.hash.contains('/')
    }

    /// The href without its search and, unless it is kept, without its hash.
    pub(super) fn without_search(&self, keep_hash: bool) -> Cow<'a, str> {
        let end = if keep_hash || self.hash.is_empty() { self.href.len() } else { self.href.len() - self.hash.len() };
        let tail_start = self.base.len() + self.search.len();
        let tail = self.href.get(tail_start..end).unwrap_or_default();
        if self.search.is_empty() {
            return Cow::Borrowed(self.href.get(..end).unwrap_or_default());
        }
        if tail.is_empty() { Cow::Borrowed(self.base) } else { Cow::Owned(format!("{}{tail}", self.base)) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn canonical(url: &str, href: &str) -> bool {
        matches(&UrlMatcher::Canonical(url.to_owned()), href).unwrap()
    }

    #[test]
    fn a_bare_question_mark_or_hash_stays_in_the_address_as_in_a_browser() {
        assert!(!canonical("https://x/a", "https://x/a?"));
        assert!(!canonical("https://x/a", "https://x/a#"));
        assert!(canonical("https://x/a?", "https://x/a?"));
        assert!(!canonical("https://x/a", "https://x/a?#top"));
        assert!(canonical("https://x/a#", "https://x/a?b#"));
    }

    #[test]
    fn a_question_mark_inside_the_fragment_is_not_a_search() {
        assert!(canonical("https://x/a", "https://x/a#/r?b=1"));
        assert!(matches(&UrlMatcher::Substring("b=1".to_owned()), "https://x/a#/r?b=1").unwrap());
        assert!(!matches(&UrlMatcher::Substring("b=1".to_owned()), "https://x/a?b=1#/r").unwrap());
    }

    #[test]
    fn any_matcher_of_a_metric_is_enough_even_beside_a_pattern_that_cannot_be_run() {
        let urls = [UrlMatcher::Regex("(".to_owned()), UrlMatcher::Substring("/buy".to_owned())];
        let compiled = CompiledMatcher::new(&urls);
        assert_eq!(compiled.matches("https://x/buy"), Ok(true));
        assert!(matches!(compiled.matches("https://x/"), Err(UnsupportedPattern::Syntax { .. })));
        assert_eq!(CompiledMatcher::default().matches("https://x/"), Ok(false), "no matcher matches nothing");
    }
}
