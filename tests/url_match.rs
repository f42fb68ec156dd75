//! The URL matching vectors, made with LaunchDarkly's browser SDK.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use exptap::attribution::url::matches;
use exptap::catalog::UrlMatcher;

#[derive(serde::Deserialize)]
struct Vector {
    kind: String,
    pattern: String,
    url: String,
    #[serde(rename = "match")]
    matches: bool,
}

#[test]
fn every_url_vector_comes_out_as_in_the_browser() {
    let text = include_str!("data/vectors/url_match.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), 24);
    for Vector { kind, pattern, url, matches: expected } in vectors {
        let matcher = match kind.as_str() {
            "exact" => UrlMatcher::Exact(pattern.clone()),
            "canonical" => UrlMatcher::Canonical(pattern.clone()),
            "substring" => UrlMatcher::Substring(pattern.clone()),
            "regex" => UrlMatcher::Regex(pattern.clone()),
            // A kind the browser does not know never matches; here it cannot even be written down.
            unknown => {
                assert!(!expected, "{unknown} {pattern} {url}");
                continue;
            }
        };
        assert_eq!(matches(&matcher, &url), Ok(expected), "{kind} {pattern} {url}");
    }
}
