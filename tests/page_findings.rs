//! Pages that were visited and that no matcher of a metric matches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::catalog::load::{self, Format};
use exptap::catalog::{Catalog, Origin};
use exptap::intake;
use exptap::report::build;
use serde_json::{Value, json};
use std::sync::Arc;

/// When everything begins: 2026-11-21 08:00:00 UTC.
const START: i64 = 1_795_248_000_000;

fn catalog() -> Catalog {
    let text = r#"
        [[metrics]]
        key = "thanks"
        kind = "pageview"
        urls = [ { kind = "exact", url = "https://shop.example/thanks" }, { kind = "substring", substring = "/danke" } ]
        [[metrics]]
        key = "buys"
        kind = "click"
        selector = ".buy"
        urls = [ { kind = "canonical", url = "https://shop.example/cart" }, { kind = "exact", url = "https://shop.example/" } ]
        [[experiments]]
        key = "x"
        flag = "f"
        metrics = ["thanks", "buys"]
        started_at = 2026-01-01T00:00:00Z
    "#;
    load::from_text(text, "shop.toml", Format::Toml, Origin::File).unwrap()
}

fn found(events: &[Value]) -> Vec<(Value, Value)> {
    let catalog = catalog();
    let mut state = State::new(Arc::new(Judge::new(&catalog)), Options::default());
    intake::plain(&mut state, "events.json", &json!(events).to_string(), |_, _| {});
    let findings = serde_json::to_value(build::report(&state, &catalog).findings).unwrap();
    let of_pages = findings.as_array().unwrap().iter().filter(|finding| finding["code"] == "url-no-match");
    of_pages.map(|finding| (finding["metric"].clone(), finding["summary"].clone())).collect()
}

fn at(kind: &str, url: &str) -> Value {
    json!({"kind": kind, "key": "anything", "creationDate": START, "url": url, "selector": ".other",
        "context": {"kind": "user", "key": "u"}})
}

#[test]
fn a_page_that_fails_a_matcher_by_its_query_is_told_with_both() {
    let events = [at("custom", "https://shop.example/thanks?order=7"), at("custom", "https://shop.example/")];
    assert_eq!(
        found(&events),
        [(
            json!("thanks"),
            json!(
                "https://shop.example/thanks?order=7 was visited, and nothing has arrived for thanks: the page is not the \
                 exact “https://shop.example/thanks”, by its query."
            )
        )]
    );
    // Old SDKs tell of a page for its click metrics, and clicks and page views of another metric tell of theirs.
    for kind in ["click_pageview", "click", "pageview"] {
        let found = found(&[at(kind, "http://shop.example/Cart")]);
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!(found[0].0, "buys");
        assert!(found[0].1.as_str().unwrap().ends_with("“https://shop.example/cart”, by its case and scheme."));
    }
}

#[test]
fn other_pages_and_pages_that_match_are_no_fault_of_a_matcher() {
    assert!(found(&[at("custom", "https://shop.example/"), at("custom", "https://shop.example/thank-you")]).is_empty());
    // That one of its pages matches and nothing arrives has another cause.
    let events = [at("custom", "https://shop.example/thanks?order=7"), at("custom", "https://shop.example/thanks")];
    assert!(found(&events).is_empty());
    // What arrives needs no explanation.
    let events = [at("custom", "https://shop.example/thanks?order=7"), at("pageview", "https://shop.example/thanks/")];
    assert!(found(&events).is_empty());
    // A page that leads to one, or came from one, is another; and every page is near the first.
    for page in ["login?returnTo=/danke", "about?utm_campaign=/cart", "about?from=/danke", "?utm_source=mail"] {
        assert!(found(&[at("custom", &format!("https://shop.example/{page}"))]).is_empty(), "{page}");
    }
    assert!(
        found(&[json!({"kind": "custom", "key": "k", "creationDate": START, "context": {"kind": "user", "key": "u"}})])
            .is_empty()
    );
}
