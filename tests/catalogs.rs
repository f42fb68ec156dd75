//! The corpus of catalogs: what loads, and what is refused with which words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::bucketing::{Rollout, Share};
use exptap::catalog::layout::{Part, Remark};
use exptap::catalog::load::{CatalogError, Format, from_text};
use exptap::catalog::{
    Aggregation, Arm, Catalog, Environment, Experiment, Filter, Flag, FlagRule, Iteration, Measure, Metric,
    MetricGroup, MetricKind, Origin, Rule, Serves, UrlMatcher,
};
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
fn flags_and_versions_are_kept_as_they_are_given() {
    let catalog = valid("everything.toml");
    let versions = [(0, "checkout-conversion-v1".to_owned()), (4, "buy-click-v3".to_owned())];
    assert_eq!(catalog.experiments[0].iterations[0].metric_versions, versions);
    let flag = catalog.flag("checkout-cta").unwrap();
    assert_eq!((flag.on, flag.archived, flag.version), (Some(true), false, Some(13)));
    let rules = flag.rules.as_ref().unwrap();
    assert_eq!((rules[0].serves, rules[0].unit.as_deref()), (Serves::Experiment, Some("device")));
    assert_eq!(rules[2].rule, Rule::Fallthrough);
    let banner = catalog.flag("banner").unwrap();
    assert_eq!((banner.on, banner.rules.as_ref()), (None, None), "not known is not off");
}

#[test]
fn a_catalog_that_is_printed_reads_back_as_the_same_catalog() {
    for file in corpus("valid") {
        let catalog = load(&file).unwrap();
        let printed = catalog.to_toml(&[]);
        let again = from_text(&printed, "printed.toml", Format::Toml, Origin::File);
        // TOML has no null, which one of the JSON files holds among the values of a filter.
        if file.extension().unwrap() == "toml" {
            assert_eq!(again, Ok(catalog.clone()), "{}\n{printed}", file.display());
        } else {
            assert!(again.is_ok(), "{again:?}");
        }
        let printed = serde_json::to_string_pretty(&catalog.to_json()).unwrap();
        let again = from_text(&printed, "printed.json", Format::Json, Origin::File);
        assert_eq!(again, Ok(catalog), "{}", file.display());
    }
}

/// Names with what a notation may trip over.
fn name() -> impl Strategy<Value = String> {
    r#"[a-zA-Z0-9_ ."'\\#=\[\]é\n-]{1,8}"#
}

fn filter() -> impl Strategy<Value = Filter> {
    let value = prop_oneof![
        any::<i64>().prop_map(|it| json!(it)),
        (-1e6..1e6_f64).prop_map(|it| json!(it)),
        any::<bool>().prop_map(|it| json!(it)),
        name().prop_map(|it| json!(it)),
        name().prop_map(|it| json!([it, {"key": [1.0]}])),
    ];
    let attribute =
        (proptest::option::of(name()), name(), name(), proptest::collection::vec(value, 0..3), any::<bool>());
    let leaf = prop_oneof![
        4 => attribute.prop_map(|(context_kind, attribute, op, values, negate)| Filter::Attribute { context_kind, attribute, op, values, negate }),
        1 => name().prop_map(|what| Filter::Unsupported { what }),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        (any::<bool>(), proptest::collection::vec(inner, 1..3), any::<bool>())
            .prop_map(|(all, members, negate)| Filter::Group { all, members, negate })
    })
}

fn metric() -> impl Strategy<Value = Metric> {
    let looks = (
        prop_oneof![Just(MetricKind::Custom), Just(MetricKind::Click), Just(MetricKind::PageView)],
        prop_oneof![Just(Measure::Occurrence), Just(Measure::Count), Just(Measure::Value)],
        prop_oneof![Just(Aggregation::Average), Just(Aggregation::Sum)],
    );
    let rest = (
        proptest::collection::vec(prop_oneof![Just("user".to_owned()), name()], 1..3),
        proptest::option::of(1..100_u8),
        proptest::option::of(filter()),
        proptest::option::of(name()),
        any::<bool>(),
    );
    (name(), name(), looks, rest).prop_map(
        |(key, text, (kind, measure, aggregation), (units, percentile, filter, version, flip))| {
            let custom = Metric::custom(&key, &text);
            Metric {
                event_key: (kind == MetricKind::Custom).then(|| text.clone()),
                urls: if kind == MetricKind::Custom || flip {
                    Vec::new()
                } else {
                    vec![
                        UrlMatcher::Exact(text.clone()),
                        UrlMatcher::Substring(text.clone()),
                        UrlMatcher::Canonical(text.clone()),
                    ]
                },
                selector: (kind == MetricKind::Click).then(|| text.clone()),
                id: (kind != MetricKind::Custom).then(|| text.clone()),
                exclude_units_without_events: flip,
                percentile: percentile
                    .map(|it| f64::from(it) - if flip { 0.5 } else { 0.0 })
                    .filter(|it| *it > 0.0 && *it < 100.0),
                data_source: version.clone(),
                kind,
                measure,
                aggregation,
                units,
                filter,
                version,
                ..custom
            }
        },
    )
}

/// An iteration that measures, of so many metrics and groups, those that the bits say.
fn iteration(groups: Vec<MetricGroup>, metrics: usize) -> impl Strategy<Value = Iteration> {
    let time = 1_600_000_000_000..1_700_000_000_000_i64;
    let shares = proptest::collection::vec(0.1..50.0_f64, 1..4);
    let rule = proptest::option::of(prop_oneof![Just(Rule::Fallthrough), name().prop_map(Rule::named)]);
    (
        name(),
        prop_oneof![Just("user".to_owned()), name()],
        rule,
        proptest::option::of((shares, any::<bool>())),
        proptest::option::of((time, proptest::option::of(1..1_000_000_000_i64))),
        proptest::option::of(any::<i64>()),
        any::<u8>(),
    )
        .prop_map(move |(id, randomization_unit, rule, arms, window, flag_config_version, bits)| {
            let mut measured: Vec<usize> = (0..metrics).filter(|index| bits & (1 << index) != 0).collect();
            let metric_groups: Vec<usize> = (0..groups.len()).filter(|index| bits & (16 << index) != 0).collect();
            for member in metric_groups.iter().flat_map(|index| &groups[*index].metrics) {
                if !measured.contains(member) {
                    measured.push(*member);
                }
            }
            let arms = arms.map(|(shares, equal)| {
                let arm = |(variation, share): (i64, f64)| Arm {
                    variation,
                    id: equal.then(|| format!("id{variation}")),
                    name: if equal { format!("variation {variation}") } else { id.clone() },
                    allocation: if equal { 1.0 } else { share.round().max(0.5) },
                };
                (0..).zip(shares).map(arm).collect()
            });
            let metric_versions = measured.iter().copied().take(1).map(|index| (index, id.clone())).collect();
            Iteration {
                randomization_unit,
                rule,
                arms,
                metrics: measured,
                metric_groups,
                flag_config_version,
                metric_versions,
                rollout: (bits & 64 != 0).then(|| Rollout {
                    seed: flag_config_version,
                    salt: Some(id.clone()),
                    variations: vec![
                        Share { variation: 0, weight: 60_000, untracked: false },
                        Share { variation: 1, weight: 40_000, untracked: true },
                    ],
                }),
                started_at_ms: window.map(|(start, _)| start),
                ended_at_ms: window.and_then(|(start, length)| Some(start + length?)),
                id,
            }
        })
}

fn unique<T>(members: Vec<T>, key: impl Fn(&T) -> String) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    members.into_iter().filter(|member| seen.insert(key(member))).collect()
}

fn catalog() -> impl Strategy<Value = Catalog> {
    let metrics =
        proptest::collection::vec(metric(), 0..4).prop_map(|metrics| unique(metrics, |metric| metric.key.clone()));
    let environment = proptest::option::of(name()).prop_map(|name| Environment {
        project: name.clone(),
        client_side_id: name,
        ..Environment::default()
    });
    let rule = (
        prop_oneof![Just(Rule::Fallthrough), name().prop_map(Rule::named)],
        prop_oneof![Just(Serves::Rollout), Just(Serves::Experiment)],
        proptest::option::of(name()),
    )
        .prop_map(|(rule, serves, unit)| FlagRule { rule, serves, unit });
    let rules =
        proptest::collection::vec(rule, 0..3).prop_map(|rules| unique(rules, |rule| rule.rule.name().to_owned()));
    let flag = (
        name(),
        proptest::option::of(any::<bool>()),
        any::<bool>(),
        proptest::option::of(any::<i64>()),
        proptest::option::of(rules),
    )
        .prop_map(|(key, on, archived, version, rules)| Flag { key, on, archived, version, rules });
    let flags = proptest::collection::vec(flag, 0..3).prop_map(|flags| unique(flags, |flag| flag.key.clone()));
    (environment, metrics, flags, proptest::collection::vec((name(), any::<bool>(), any::<u8>()), 0..3)).prop_flat_map(
        |(environment, metrics, flags, groups)| {
            let count = metrics.len();
            let group = |(key, funnel, bits): (String, bool, u8)| MetricGroup {
                key,
                funnel,
                metrics: (0..count).rev().filter(|index| bits & (1 << index) != 0).collect(),
            };
            let groups: Vec<MetricGroup> = unique(groups.into_iter().map(group).collect(), |group| group.key.clone());
            let iterations =
                proptest::collection::vec(iteration(groups.clone(), count), 1..4).prop_map(|mut iterations| {
                    for (index, iteration) in iterations.iter_mut().enumerate() {
                        // Those without a name of their own are called by their number.
                        iteration.id = if iteration.id.len() < 4 {
                            (index + 1).to_string()
                        } else {
                            format!("{}-{index}", iteration.id)
                        };
                    }
                    iterations
                });
            let experiment = (name(), iterations, proptest::option::of(name())).prop_map(|(key, iterations, layer)| {
                Experiment { flag: key.clone(), key, iterations, holdout: layer.clone(), data_source: None, layer }
            });
            let experiments = proptest::collection::vec(experiment, 0..3)
                .prop_map(|experiments| unique(experiments, |it| it.key.clone()));
            experiments.prop_map(move |experiments| Catalog {
                origin: Origin::File,
                environment: environment.clone(),
                metrics: metrics.clone(),
                metric_groups: groups.clone(),
                experiments,
                flags: flags.clone(),
                ..Catalog::default()
            })
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_measured_can_be_written_in_either_notation_and_read_back(catalog in catalog(), words in r#"[a-z#"\[=\n\u{1b}]{0,200}"#) {
        let about = catalog.metrics.first().map_or(Part::Whole, |metric| Part::Metric(metric.key.clone()));
        let remarks = [Remark { about, text: words.clone() }, Remark { about: Part::Whole, text: words }];
        let toml = catalog.to_toml(&remarks);
        prop_assert_eq!(from_text(&toml, "c", Format::Toml, Origin::File), Ok(catalog.clone()), "{}", toml);
        let json = catalog.to_json().to_string();
        prop_assert_eq!(from_text(&json, "c", Format::Json, Origin::File), Ok(catalog), "{}", json);
    }
}
