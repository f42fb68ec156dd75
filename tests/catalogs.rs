//! The corpus of catalogs: what loads, and what is refused with which words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::catalog::load::{CatalogError, Format, from_text};
use exptap::catalog::{Aggregation, Arm, Catalog, Filter, Measure, MetricKind, Origin, Rule, UrlMatcher};
use proptest::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};

fn corpus(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogs").join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn load(path: &Path) -> Result<Catalog, CatalogError> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    from_text(&text, name, Format::of(name, &text), Origin::File)
}

fn valid(name: &str) -> Catalog {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogs/valid").join(name);
    load(&path).unwrap_or_else(|error| panic!("{error}"))
}

fn toml(text: &str) -> Result<Catalog, String> {
    from_text(text, "c.toml", Format::Toml, Origin::File).map_err(|error| error.to_string())
}

#[test]
fn every_valid_catalog_loads() {
    let files = corpus("valid");
    assert!(files.len() >= 5, "the corpus is there");
    for file in files {
        if let Err(error) = load(&file) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_invalid_catalog_is_refused_with_all_its_mistakes_in_the_words_beside_it() {
    let files = corpus("invalid");
    let catalogs: Vec<&PathBuf> = files.iter().filter(|file| file.extension().unwrap() != "expected").collect();
    assert_eq!(files.len(), catalogs.len() * 2, "every catalog has its .expected, and the other way round");
    assert!(catalogs.len() >= 16, "the corpus is there");
    for file in catalogs {
        let expected = std::fs::read_to_string(file.with_added_extension("expected")).unwrap();
        let error = load(file).expect_err(&format!("{} was accepted", file.display()));
        assert_eq!(format!("{error}\n"), expected, "{}", file.display());
    }
}

#[test]
fn the_catalog_of_the_benchmark_means_what_it_says() {
    let catalog = valid("bench.toml");
    assert_eq!(catalog.origin, Origin::File);
    assert_eq!(catalog.environment.project.as_deref(), Some("bench"));
    assert_eq!(catalog.metrics.len(), 4);
    assert_eq!(catalog.experiments.len(), 5);
    let search = &catalog.experiments[1];
    assert_eq!((search.key.as_str(), search.flag.as_str()), ("search-ranker", "search-ranker"));
    let iteration = &search.iterations[0];
    assert_eq!(iteration.id, "1");
    assert_eq!(iteration.rule, Some(Rule::Fallthrough));
    assert_eq!(iteration.started_at_ms, Some(1_767_225_600_000));
    assert_eq!(iteration.metrics, [1]);
    let arm = |variation, name: &str, allocation| Arm { variation, id: None, name: name.to_owned(), allocation };
    assert_eq!(iteration.arms, Some(vec![arm(0, "bm25", 34.0), arm(1, "vector", 33.0), arm(2, "hybrid", 33.0)]));
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let catalog = valid("everything.toml");
    let metric = |key: &str| catalog.metrics.iter().find(|metric| metric.key == key).unwrap();
    let conversion = metric("checkout-conversion");
    assert_eq!((conversion.kind, conversion.measure), (MetricKind::Custom, Measure::Occurrence));
    assert_eq!(conversion.aggregation, Aggregation::Average);
    assert_eq!(metric("items").aggregation, Aggregation::Sum, "count");
    assert_eq!(metric("latency").aggregation, Aggregation::Sum, "value");
    assert_eq!(metric("order-value").aggregation, Aggregation::Average, "as given");
    assert_eq!(metric("items").units, ["user"]);
    let restarted = &catalog.experiments[1];
    let arms = restarted.iterations[0].arms.as_ref().unwrap();
    assert_eq!(arms[1].name, "variation 1");
    assert_eq!(arms[0].allocation, arms[1].allocation, "equal shares");
    let draft = &catalog.experiments[2].iterations;
    assert_eq!(draft.len(), 1);
    assert_eq!(draft[0].randomization_unit, "user");
    assert_eq!((draft[0].started_at_ms, draft[0].arms.clone(), draft[0].rule.clone()), (None, None, None));
}

#[test]
fn an_iteration_takes_what_it_lacks_from_its_experiment() {
    let catalog = valid("everything.toml");
    let [first, second] = catalog.experiments[1].iterations.as_slice() else { panic!("two iterations") };
    assert_eq!((first.id.as_str(), second.id.as_str()), ("1", "second"));
    assert_eq!(first.started_at_ms, Some(1_767_222_000_000), "an offset is applied");
    assert_eq!((first.randomization_unit.as_str(), second.randomization_unit.as_str()), ("user", "organization"));
    assert_eq!((first.metrics.as_slice(), second.metrics.as_slice()), ([2].as_slice(), [1].as_slice()));
    assert_eq!(first.arms, second.arms);
    assert_eq!((first.rule.clone(), second.rule.clone()), (None, Some(Rule::Fallthrough)));
    assert_eq!((first.flag_config_version, second.flag_config_version), (None, Some(3)));
}

#[test]
fn the_members_of_a_group_are_metrics_of_the_iteration_each_once() {
    let catalog = valid("everything.toml");
    let iteration = &catalog.experiments[0].iterations[0];
    assert_eq!(iteration.metric_groups, [0]);
    assert_eq!(iteration.metrics, [0, 4, 5], "conversion and click as listed, then the page of the funnel");
    assert!(catalog.metric_groups[0].funnel);
    assert_eq!(catalog.metric_groups[0].metrics, [5, 4], "in the order of the funnel");
}

#[test]
fn pages_and_filters_are_read_as_the_rest_api_writes_them() {
    let catalog = valid("everything.toml");
    assert_eq!(
        catalog.metrics[4].urls,
        [
            UrlMatcher::Exact("https://shop.example/buy".to_owned()),
            UrlMatcher::Canonical("https://shop.example/checkout".to_owned()),
            UrlMatcher::Substring("/shop/".to_owned()),
            UrlMatcher::Regex(r"/orders/\d+$".to_owned()),
        ]
    );
    let attribute = |context_kind: Option<&str>, attribute: &str, op: &str, values: Vec<serde_json::Value>| {
        let context_kind = context_kind.map(str::to_owned);
        Filter::Attribute { context_kind, attribute: attribute.to_owned(), op: op.to_owned(), values, negate: false }
    };
    assert_eq!(catalog.metrics[0].filter, Some(attribute(Some("user"), "country", "in", vec![json!("US")])));
    let members = vec![
        attribute(None, "category", "in", vec![json!("widgets"), json!(1), json!(2.5), json!(true)]),
        attribute(Some("user"), "/address/city", "startsWith", vec![json!("Par")]),
    ];
    assert_eq!(catalog.metrics[1].filter, Some(Filter::Group { all: false, members, negate: true }));
}

#[test]
fn a_filter_of_a_type_not_known_yet_is_kept_as_unsupported_instead_of_refused() {
    let catalog = valid("everything.json");
    let Some(Filter::Group { members, .. }) = &catalog.metrics[0].filter else { panic!("a group") };
    assert_eq!(members[0], Filter::Unsupported { what: "warehouseColumn".to_owned() });
    assert!(matches!(&members[1], Filter::Attribute { op, negate: true, .. } if op == "someNewOperator"));
}

#[test]
fn the_format_goes_by_extension_and_else_by_content() {
    assert_eq!(Format::of("c.TOML", "{"), Format::Toml);
    assert_eq!(Format::of("c.json", "["), Format::Json);
    assert_eq!(Format::of("-", "\u{feff}\n  {\"metrics\": []}"), Format::Json);
    assert_eq!(Format::of("catalog", "[[metrics]]"), Format::Toml);
}

#[test]
fn lines_and_columns_are_those_an_editor_shows() {
    let error = toml("# é\n[environment]\nproject = \"é\"\nkéy = 1\n").unwrap_err();
    assert!(error.starts_with("c.toml:4:2: this is not TOML"), "{error}");
    let error = toml("metrics = [{ key = \"é\", event_key = \"e\", colour = 1 }]").unwrap_err();
    assert!(error.starts_with("c.toml:1:42: metric \"é\": unknown key \"colour\""), "{error}");
}

#[test]
fn a_deep_file_is_refused_and_not_followed_down() {
    let deep = format!("{{\"metrics\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let error = from_text(&deep, "c.json", Format::Json, Origin::File).unwrap_err();
    assert_eq!(error.to_string(), "c.json:1:140: this is nested deeper than 128 levels; expected fewer");
    let error = toml(&format!("metrics = {}{}", "[".repeat(5_000), "]".repeat(5_000))).unwrap_err();
    assert!(error.contains("this is not TOML"), "{error}");
}

proptest! {
    #[test]
    fn no_text_whatever_makes_reading_panic_and_every_refusal_names_a_place(text in r#"[\[\]{}",:=.a-z0-9 \n\\é-]{0,60}"#) {
        for format in [Format::Toml, Format::Json] {
            if let Err(error) = from_text(&text, "c", format, Origin::File) {
                prop_assert!(!error.problems.is_empty());
                prop_assert!(error.problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
            }
        }
    }
}

#[test]
fn a_catalog_that_is_printed_reads_back_as_the_same_catalog() {
    for file in corpus("valid") {
        let catalog = load(&file).unwrap();
        let printed = serde_json::to_string_pretty(&catalog.to_json()).unwrap();
        let again = from_text(&printed, "printed.json", Format::Json, Origin::File);
        assert_eq!(again, Ok(catalog), "{}", file.display());
    }
}
