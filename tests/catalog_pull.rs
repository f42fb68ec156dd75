//! Pulling a catalog, against a server on this machine that answers as LaunchDarkly's samples do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::catalog::load::{Format, from_text};
use exptap::catalog::{Catalog, Origin, Pulled, Rule, Serves};
use exptap::pull::{self, Client, Host, Pace, PullError, Secret, SecretKind};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "api-00000000-1111-2222-3333-444455556666";
const SDK_KEY: &str = "sdk-00000000-1111-2222-3333-444455556666";
const NOW_MS: i64 = 1_767_225_600_000;

fn sample(name: &str) -> Value {
    let path = format!("{}/tests/data/api/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    path: String,
    version: Option<String>,
    authorization: String,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn ok(body: &Value) -> Reply {
    Reply { status: 200, headers: Vec::new(), body: body.to_string() }
}

fn refusal(status: u16, name: &str) -> Reply {
    Reply { status, ..ok(&sample(name)) }
}

/// A server that answers each request by a function of its number, from 0, and what is asked. None: it never answers.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn new(mut answer: impl FnMut(usize, &Asked) -> Option<Reply> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            // Those that get no answer stay open, as a server that thinks does.
            let mut waiting = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                match answer(number, &request) {
                    Some(reply) => respond(stream, &reply),
                    None => waiting.push(stream),
                }
            }
        });
        Self { address, asked }
    }

    /// The samples as a whole API; `change` may answer first.
    fn samples(mut change: impl FnMut(usize, &Asked) -> Option<Reply> + Send + 'static) -> Self {
        Self::new(move |number, asked| change(number, asked).or_else(|| Some(by_samples(asked))))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut version, mut authorization) = (None, String::new());
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "ld-api-version" => version = Some(value.to_owned()),
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    Some(Asked { path, version, authorization })
}

fn respond(mut stream: TcpStream, reply: &Reply) {
    let Reply { status, headers, body } = reply;
    let mut text = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
}

fn by_samples(asked: &Asked) -> Reply {
    let path = asked.path.split('?').next().unwrap();
    let in_environment = "/api/v2/projects/shop/environments/production";
    let beta = |body: Value| {
        if asked.version.as_deref() == Some("beta") { ok(&body) } else { refusal(403, "error.403.beta.json") }
    };
    match path.strip_prefix(in_environment).unwrap_or(path) {
        "/api/v2/projects/shop/environments" => ok(&sample("environments.list.json")),
        "/experiments" => ok(&sample("experiments.list.json")),
        "/experiments/search-exp" => ok(&sample("experiments.list.json")["items"][1]),
        "/experiments/checkout-exp" => ok(&sample("experiment.expanded.json")),
        "/api/v2/metrics/shop" => ok(&sample("metrics.list.json")),
        "/api/v2/projects/shop/metric-groups" => {
            beta(json!({"items": [sample("metric-group.funnel.json")], "totalCount": 1}))
        }
        "/api/v2/flags/shop/checkout-flow" => ok(&sample("flag.json")),
        "/api/v2/projects/shop/layers" => ok(&sample("layers.list.json")),
        "/holdouts" => {
            beta(json!({"items": [{"_id": "f3b74309-d581-44e1-8a2b-bb2933b4fe40", "key": "global"}], "totalCount": 1}))
        }
        _ => refusal(404, "error.404.json"),
    }
}

/// Time that passes only when somebody waits, and chance that is always the same.
#[derive(Clone, Default)]
struct Still(Arc<Mutex<Vec<Duration>>>);

impl Still {
    fn waits(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

impl Pace for Still {
    fn now_ms(&self) -> i64 {
        NOW_MS + i64::try_from(self.waits().iter().sum::<Duration>().as_millis()).unwrap()
    }

    fn jitter(&mut self) -> Duration {
        Duration::from_millis(250)
    }

    async fn wait(&mut self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

struct Attempt {
    result: Result<Pulled, PullError>,
    said: Vec<String>,
    waits: Vec<Duration>,
}

impl Attempt {
    fn error(self) -> String {
        self.result.expect_err("it was pulled").to_string()
    }
}

fn attempt(server: &Server, kind: SecretKind, timeout: Duration) -> Attempt {
    let secret = Secret::new(if kind == SecretKind::ApiToken { TOKEN } else { SDK_KEY }, kind).unwrap();
    let host: Host = server.address.parse().unwrap();
    let (still, said) = (Still::default(), Arc::new(Mutex::new(Vec::new())));
    let telling = Arc::clone(&said);
    let progress = move |what: &str| telling.lock().unwrap().push(what.to_owned());
    let mut client = Client::new(&host, secret, timeout, still.clone(), progress).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        match kind {
            SecretKind::ApiToken => pull::project(&mut client, "shop", "production").await,
            SecretKind::SdkKey => pull::flags(&mut client).await,
        }
    });
    let said = said.lock().unwrap().clone();
    Attempt { result, said, waits: still.waits() }
}

fn pull(server: &Server) -> Attempt {
    attempt(server, SecretKind::ApiToken, Duration::from_secs(20))
}

/// The catalog a file of it reads back as.
fn read_back(pulled: &Pulled) -> Catalog {
    let text = pulled.catalog.to_toml(&pulled.remarks());
    from_text(&text, "pulled.toml", Format::Toml, Origin::File).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_samples_make_the_catalog_they_describe() {
    let server = Server::samples(|_, _| None);
    let pulled = pull(&server).result.unwrap();
    let catalog = &pulled.catalog;
    assert_eq!(catalog.environment.client_side_id.as_deref(), Some("57be1db38b75bf0772d11384"));
    let keys: Vec<&str> = catalog.metrics.iter().map(|metric| metric.key.as_str()).collect();
    assert_eq!(keys, ["checkout-conv", "order-value", "pricing-view", "buy-click", "latency-p95"]);
    assert_eq!(catalog.metrics[0].units, ["user", "device"]);
    assert!(catalog.metrics[1].exclude_units_without_events && catalog.metrics[1].filter.is_some());
    assert_eq!(catalog.metrics[4].percentile, Some(95.0));
    let [checkout, search] = catalog.experiments.as_slice() else { panic!("two experiments") };
    assert_eq!((checkout.key.as_str(), checkout.flag.as_str()), ("checkout-exp", "checkout-flow"));
    assert_eq!((checkout.layer.as_deref(), checkout.holdout.as_deref()), (Some("checkout-layer"), Some("global")));
    let [previous, current] = checkout.iterations.as_slice() else { panic!("two iterations") };
    assert_eq!((previous.started_at_ms, previous.ended_at_ms), (Some(1_763_856_000_000), Some(1_767_139_200_000)));
    assert_eq!((current.started_at_ms, current.ended_at_ms), (Some(1_767_225_600_000), None));
    assert_eq!((&current.rule, current.flag_config_version), (&Some(Rule::Fallthrough), Some(12)));
    assert_eq!(current.metrics, [0, 1, 2, 3]);
    let rollout = current.rollout.as_ref().expect("the flag says how it deals out");
    assert_eq!((rollout.seed, rollout.salt.as_deref()), (Some(61), Some("8f3c")));
    let shares: Vec<_> = rollout.variations.iter().map(|it| (it.variation, it.weight, it.untracked)).collect();
    assert_eq!(shares, [(0, 30_000, false), (1, 30_000, false), (0, 40_000, true)]);
    assert_eq!(previous.rollout, None, "a restart deals anew");
    assert_eq!(current.metric_versions[0], (0, "checkout-conv-v1".to_owned()));
    let arms = current.arms.as_ref().unwrap();
    assert_eq!(
        arms.iter().map(|arm| (arm.variation, arm.name.as_str(), arm.allocation)).collect::<Vec<_>>(),
        [(0, "Control", 50.0), (1, "New checkout", 50.0)]
    );
    assert_eq!(search.iterations[0].started_at_ms, None, "a draft has no start");
    let flag = catalog.flag("checkout-flow").unwrap();
    assert_eq!((flag.on, flag.version), (Some(true), Some(12)));
    let serves: Vec<_> = flag.rules.as_ref().unwrap().iter().map(|rule| (rule.rule.name(), rule.serves)).collect();
    assert_eq!(
        serves,
        [("d5b69278-8b6e-4c1f-9a3c-2f0c9f0f1a10", Serves::Variation), ("fallthrough", Serves::Experiment)]
    );
    assert!(catalog.metric_groups[0].funnel);
    assert_eq!(read_back(&pulled), *catalog);
}

#[test]
fn the_version_is_always_sent_the_token_stands_alone_and_beta_is_asked_for_only_where_the_other_is_refused() {
    let server = Server::samples(|_, _| None);
    assert!(pull(&server).result.is_ok());
    for asked in server.asked() {
        assert_eq!(asked.authorization, TOKEN, "no Bearer");
        let is_beta = asked.version.as_deref() == Some("beta");
        assert!(is_beta || asked.version.as_deref() == Some("20240415"), "{asked:?}");
        assert!(!is_beta || asked.path.contains("metric-groups") || asked.path.contains("holdouts"), "{asked:?}");
    }
    let metrics: Vec<String> = server.paths().into_iter().filter(|path| path.starts_with("/api/v2/metrics")).collect();
    assert_eq!(metrics, ["/api/v2/metrics/shop?limit=50"]);
}

#[test]
fn neither_the_keys_of_the_environment_nor_the_token_are_in_what_is_written_or_said() {
    let server = Server::samples(|_, asked| {
        asked.path.contains("/environments?").then(|| {
            let mut answer = sample("environments.list.json");
            answer["items"][0]["apiKey"] = SDK_KEY.into();
            answer["items"][0]["mobileKey"] = "mob-00000000-1111-2222-3333-444455556666".into();
            ok(&answer)
        })
    });
    let attempt = pull(&server);
    let pulled = attempt.result.unwrap();
    let written = format!(
        "{}{}{:?}{:?}",
        pulled.catalog.to_toml(&pulled.remarks()),
        pulled.catalog.to_json(),
        pulled,
        attempt.said
    );
    assert!(written.contains("57be1db38b75bf0772d11384"));
    assert!(!written.contains("444455556666"), "{written}");
}

#[test]
fn pages_are_followed_by_their_links_or_else_by_counting() {
    let metric =
        |number: usize| json!({"key": format!("m{number}"), "kind": "custom", "eventKey": format!("e{number}")});
    let page = move |from: usize, to: usize| (from..to).map(metric).collect::<Vec<_>>();
    let server = Server::samples(move |_, asked| {
        let path = asked.path.strip_prefix("/api/v2/metrics/shop?")?;
        Some(ok(&match path {
            "limit=50" => {
                json!({"items": page(0, 50), "totalCount": 120, "_links": {"next": {"href": "/api/v2/metrics/shop?limit=50&offset=50&by=link"}}})
            }
            "limit=50&offset=50&by=link" => json!({"items": page(50, 100), "totalCount": 120}),
            "limit=50&offset=100" => json!({"items": page(100, 120), "totalCount": 120}),
            other => panic!("{other}"),
        }))
    });
    let attempt = pull(&server);
    assert_eq!(attempt.result.unwrap().catalog.metrics.len(), 120);
    let progress: Vec<&String> = attempt.said.iter().filter(|it| it.starts_with("metrics")).collect();
    assert_eq!(progress, ["metrics: 50 of 120", "metrics: 100 of 120", "metrics: 120 of 120"]);
}

#[test]
fn a_next_page_elsewhere_is_not_asked_for_and_pages_in_a_circle_end() {
    let leading_to = |next: &'static str| {
        Server::samples(move |_, asked| {
            let is_metrics = asked.path.starts_with("/api/v2/metrics");
            is_metrics.then(|| ok(&json!({"items": [{"key": "m"}], "_links": {"next": {"href": next}}})))
        })
    };
    let error = pull(&leading_to("https://elsewhere.example/api/v2/metrics/shop")).error();
    assert!(error.contains("names a next page at another host"), "{error}");
    let error = pull(&leading_to("/api/v2/metrics/shop?limit=50")).error();
    assert!(error.contains("lead round in a circle"), "{error}");
}

#[test]
fn a_limit_is_waited_for_as_long_as_either_header_says_and_a_little_longer() {
    let limited = |headers: Vec<(&'static str, &'static str)>| {
        let server = Server::samples(move |number, _| {
            let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            (number == 1).then(|| Reply { headers, ..refusal(429, "error.429.json") })
        });
        let attempt = pull(&server);
        assert!(attempt.result.is_ok());
        assert!(
            attempt.said.iter().any(|it| it.contains("limits this account's requests; going on in")),
            "{:?}",
            attempt.said
        );
        attempt.waits
    };
    let reset = ("X-Ratelimit-Reset", "1767225603000");
    assert_eq!(limited(vec![reset, ("X-Ratelimit-Route-Remaining", "0")]), [Duration::from_millis(3250)]);
    assert_eq!(limited(vec![reset, ("Retry-After", "7")]), [Duration::from_millis(7250)]);
    assert_eq!(limited(vec![]), [Duration::from_millis(10_250)], "a window");
}

#[test]
fn the_last_request_of_a_window_is_the_last_until_it_is_over() {
    let server = Server::samples(|number, asked| {
        (number == 0).then(|| Reply {
            headers: vec![
                ("X-Ratelimit-Global-Remaining", "0".to_owned()),
                ("X-Ratelimit-Reset", (NOW_MS + 4000).to_string()),
            ],
            ..by_samples(asked)
        })
    });
    assert_eq!(pull(&server).waits, [Duration::from_millis(4250)]);
}

#[test]
fn a_limit_without_end_is_given_up() {
    let always = Server::new(|_, _| Some(refusal(429, "error.429.json")));
    let attempt = pull(&always);
    assert_eq!(attempt.waits.len(), 7);
    assert!(attempt.error().contains("refused 8 times in a row"));
    let tomorrow = Server::new(|_, _| {
        Some(Reply { headers: vec![("Retry-After", "86400".to_owned())], ..refusal(429, "error.429.json") })
    });
    let attempt = pull(&tomorrow);
    assert!(attempt.waits.is_empty(), "{:?}", attempt.waits);
    let error = attempt.result.unwrap_err();
    assert!(!error.is_for_the_user() && error.to_string().contains("it asks to wait 86400 s"), "{error}");
}

#[test]
fn a_server_in_trouble_is_asked_again_and_not_for_ever() {
    let once = Server::samples(|number, _| (number == 0).then(|| Reply { status: 503, ..ok(&json!({})) }));
    let attempt = pull(&once);
    assert!(attempt.result.is_ok());
    assert_eq!(attempt.waits, [Duration::from_millis(1250)]);
    let always = Server::new(|_, _| Some(Reply { status: 502, ..ok(&json!({})) }));
    let error = pull(&always).error();
    assert!(error.contains("answered 502 Bad Gateway to /api/v2/projects/shop/environments"), "{error}");
}

#[test]
fn what_is_refused_is_said_in_a_sentence_that_says_what_to_do() {
    let all = |status, name: &'static str| Server::new(move |_, _| Some(refusal(status, name)));
    let error = pull(&all(401, "error.401.json")).result.unwrap_err();
    assert!(error.is_for_the_user());
    assert!(
        error.to_string().contains("does not know this API access token (401: Invalid access token): check"),
        "{error}"
    );
    let error = pull(&all(403, "error.403.beta.json")).error();
    assert!(
        error.contains("may not read /api/v2/projects/shop/environments (403") && error.contains("reader role"),
        "{error}"
    );
    let error = pull(&all(404, "error.404.json")).error();
    assert!(error.contains("there is no project shop, or this token may not see it"), "{error}");
    let other = Server::samples(|number, _| {
        (number == 0).then(|| ok(&json!({"items": [{"key": "test"}, {"key": "staging"}], "totalCount": 2})))
    });
    assert_eq!(pull(&other).error(), "the project shop has no environment production; it has: staging, test");
}

#[test]
fn an_answer_that_repeats_the_token_does_not_get_it_printed() {
    let server =
        Server::new(|_, _| Some(Reply { status: 401, ..ok(&json!({"message": format!("unknown token {TOKEN}")})) }));
    let error = pull(&server).result.unwrap_err();
    assert!(error.to_string().contains("unknown token api-"), "{error}");
    assert!(!format!("{error} {error:?}").contains("444455556666"), "{error:?}");
}

#[test]
fn what_is_nice_to_have_and_cannot_be_had_is_noted_by_name() {
    let server = Server::samples(|_, asked| {
        let is_refused = ["metric-groups", "layers", "holdouts"].iter().any(|it| asked.path.contains(it));
        let is_gone = asked.path.contains("/flags/");
        if is_refused {
            Some(refusal(403, "error.403.beta.json"))
        } else {
            is_gone.then(|| refusal(404, "error.404.json"))
        }
    });
    let pulled = pull(&server).result.unwrap();
    let notes: Vec<&str> = pulled.notes.iter().map(|note| note.text.as_str()).collect();
    for expected in [
        "metric groups are missing: this API access token may not read",
        "layers are missing",
        "holdouts are missing",
        "the flag checkout-flow cannot be read: which index its variations have is not known",
        "experiment checkout-exp: the flag checkout-flow has no variation that its treatment Control names",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(expected)), "{expected}: {notes:#?}");
    }
    assert_eq!(pulled.catalog.experiments[0].iterations[1].arms, None);
    assert_eq!(pulled.catalog.experiments[0].holdout.as_deref(), Some("f3b74309-d581-44e1-8a2b-bb2933b4fe40"));
    assert_eq!(read_back(&pulled), pulled.catalog);
}

#[test]
fn what_a_catalog_cannot_hold_is_left_out_and_said_by_name() {
    let server = Server::samples(|_, asked| {
        asked.path.starts_with("/api/v2/metrics/shop?").then(|| {
            let mut answer = sample("metrics.list.json");
            let items = answer["items"].as_array_mut().unwrap();
            items[0]["kind"] = "trace".into();
            items[1]["filters"] = json!({"type": "eventProperty", "attribute": "a"});
            items[2]["urls"][1]["pattern"] = "(".into();
            items[3]["unitAggregationType"] = "count_distinct".into();
            items[4]["eventKey"] = Value::Null;
            items.push(json!({"name": "no key"}));
            answer["totalCount"] = 6.into();
            ok(&answer)
        })
    });
    let pulled = pull(&server).result.unwrap();
    let notes: Vec<&str> = pulled.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        notes[..5],
        [
            "metric checkout-conv is left out: exptap does not know metrics of kind trace, and cannot judge their events",
            "metric order-value: its filter cannot be read (incomplete eventProperty), so no event is judged by it",
            "metric pricing-view: the page pattern \"(\" is left out: it is no regular expression exptap can run",
            "metric buy-click: its aggregation, count_distinct, is not modelled: its events are judged, its means are not LaunchDarkly's",
            "metric latency-p95 is left out: metric \"latency-p95\": event_key is missing; expected text; add it",
        ]
    );
    assert!(notes.contains(&"a metric without a key is left out"));
    assert!(notes.contains(
        &"experiment checkout-exp: the metric checkout-conv is not in the catalog, so nothing is judged by it"
    ));
    let keys: Vec<&str> = pulled.catalog.metrics.iter().map(|metric| metric.key.as_str()).collect();
    assert_eq!(keys, ["order-value", "pricing-view", "buy-click"]);
    assert_eq!(read_back(&pulled), pulled.catalog);
}

#[test]
fn an_answer_that_is_none_of_launchdarklys_is_said_to_be_one() {
    let html = Server::new(|_, _| Some(Reply { status: 200, headers: Vec::new(), body: "<html>Log in".to_owned() }));
    let error = pull(&html).error();
    assert!(error.contains("is not JSON (line 1, column 1); check --host, and that no proxy answers"), "{error}");
    let shape = Server::new(|_, _| Some(ok(&json!({"items": 7}))));
    assert!(pull(&shape).error().contains("is not of the expected shape"));
    let away = Server::new(|_, _| {
        Some(Reply {
            status: 302,
            headers: vec![("Location", "https://elsewhere.example/".to_owned())],
            body: String::new(),
        })
    });
    assert!(pull(&away).error().contains("leads to https://elsewhere.example/, and a token does not follow"));
}

#[test]
fn a_server_that_does_not_answer_and_one_that_is_not_there_are_told_apart() {
    let silent = Server::new(|_, _| None);
    let error = attempt(&silent, SecretKind::ApiToken, Duration::from_millis(100)).result.unwrap_err();
    assert!(!error.is_for_the_user());
    assert!(error.to_string().contains("gave no answer within 0.1 s"), "{error}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Server { address: format!("http://{free}"), asked: Arc::default() };
    let error = pull(&nobody).error();
    assert!(error.contains("cannot be reached") && error.contains("--host"), "{error}");
}

#[test]
fn an_sdk_key_gives_the_flags_and_the_units_of_their_experiments() {
    let payload = json!({"segments": {}, "flags": {
        "checkout": {"version": 7, "on": true, "variations": [false, true], "salt": "s",
            "fallthrough": {"rollout": {"kind": "experiment", "contextKind": "device", "seed": 61, "variations": [
                {"variation": 0, "weight": 30000}, {"variation": 1, "weight": 30000}, {"variation": 0, "weight": 40000, "untracked": true}]}},
            "rules": [{"id": "r1", "variation": 0}, {"id": "r2", "rollout": {"kind": "rollout", "variations": [{"variation": 0, "weight": 100_000}]}}]},
        "plain": {"version": 2, "on": false, "fallthrough": {"variation": 0}, "rules": []},
        "gone": {"version": 3, "deleted": true},
    }});
    let server = Server::new(move |_, _| Some(ok(&payload)));
    let pulled = attempt(&server, SecretKind::SdkKey, Duration::from_secs(20)).result.unwrap();
    let asked = server.asked();
    assert_eq!(
        (asked[0].path.as_str(), asked[0].authorization.as_str(), &asked[0].version),
        ("/sdk/latest-all", SDK_KEY, &None)
    );
    let [experiment] = pulled.catalog.experiments.as_slice() else { panic!("one experiment") };
    let iteration = &experiment.iterations[0];
    assert_eq!((experiment.key.as_str(), iteration.randomization_unit.as_str()), ("checkout", "device"));
    assert_eq!(iteration.rule, Some(Rule::Fallthrough));
    let arms = iteration.arms.as_ref().unwrap();
    assert_eq!(arms.iter().map(|arm| (arm.variation, arm.allocation)).collect::<Vec<_>>(), [(0, 30.0), (1, 30.0)]);
    assert_eq!(iteration.rollout.as_ref().and_then(|rollout| rollout.seed), Some(61));
    let flags: Vec<_> = pulled.catalog.flags.iter().map(|flag| (flag.key.as_str(), flag.on)).collect();
    assert_eq!(flags, [("checkout", Some(true)), ("plain", Some(false))]);
    let serves: Vec<_> = pulled.catalog.flags[0].rules.as_ref().unwrap().iter().map(|rule| rule.serves).collect();
    assert_eq!(serves, [Serves::Variation, Serves::Rollout, Serves::Experiment]);
    assert!(pulled.notes[0].text.contains("fill in key, metrics and started_at"));
    assert_eq!(read_back(&pulled), pulled.catalog);
}
