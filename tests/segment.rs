//! What the destination's settings, mappings and triggers mean for an event, rule by rule.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use exptap::catalog::load::Format;
use exptap::segment::mapping_file::{self, MappingFile};
use exptap::segment::{Action, Destination, Event, Line, Outcome, Resolved};
use serde_json::{Value, json};

const NOW_MS: i64 = 1_749_990_896_789;

fn outcome(destination: &Destination, event: &Value) -> Outcome {
    let event = Event::parse(&event.to_string()).unwrap();
    destination.map(&event, NOW_MS).swap_remove(0).outcome
}

/// The event LaunchDarkly gets, as text; or in brackets why it gets none.
fn sent(destination: &Destination, event: &Value) -> String {
    match outcome(destination, event) {
        Outcome::Sent(request) => request.body,
        Outcome::NotMatched => "(not matched)".to_owned(),
        Outcome::InvalidTrigger(words) => format!("(trigger) {words}"),
        Outcome::Refused(words) => format!("({words})"),
        Outcome::NotModelled { what, .. } => format!("(not modelled) {what}"),
    }
}

/// The presets' first mapping on a track event with these members.
fn track(members: &Value) -> Value {
    let mut event = json!({"type": "track", "event": "Order Completed", "userId": "user-1", "anonymousId": "anon-1",
        "timestamp": "2022-03-30T17:24:58.123Z", "properties": {}});
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    serde_json::from_str(&sent(&Destination::presets(), &event))
        .unwrap_or_else(|_| sent(&Destination::presets(), &event).into())
}

fn read(file: &Value) -> MappingFile {
    mapping_file::from_text(&file.to_string(), "m.json", Format::Json).unwrap_or_else(|error| panic!("{error}"))
}

/// A destination with one mapping for track events.
fn mapped(mapping: &Value) -> Destination {
    let mapping = json!({"action": "trackEvent", "subscribe": "type = \"track\"", "mapping": mapping});
    read(&json!({"settings": {"client_id": "c"}, "mappings": [mapping]})).destination
}

/// What a directive makes of properties, as the event's data; `gone` where it makes nothing.
fn directive(directive: &Value, properties: &Value) -> Value {
    let destination =
        mapped(&json!({"user_key": "u", "event_name": "e", "event_properties": {"it": directive}, "timestamp": 1}));
    let sent = sent(&destination, &json!({"type": "track", "event": "E", "properties": properties}));
    let Ok(body) = serde_json::from_str::<Value>(&sent) else { return sent.into() };
    body[0]["data"].get("it").cloned().unwrap_or_else(|| "gone".into())
}

#[test]
fn the_presets_send_the_members_in_the_order_of_the_destination() {
    let event = json!({"type": "track", "event": "Order Completed", "userId": "user-1", "anonymousId": "anon-1",
        "timestamp": "2022-03-30T17:28:18.123Z", "properties": {"revenue": "12.50"}});
    assert_eq!(
        sent(&Destination::presets(), &event),
        "[{\"kind\":\"custom\",\"key\":\"Order Completed\",\"contextKeys\":{\"unauthenticatedUser\":\"anon-1\",\"user\":\"user-1\"},\
         \"creationDate\":1648661298123,\"metricValue\":12.5,\"data\":{\"revenue\":\"12.50\"}}]"
    );
    let event = Event::parse(r#"{"type":"identify","userId":"user-1","anonymousId":"anon-1","timestamp":0}"#).unwrap();
    let mapped = Destination::presets().map(&event, NOW_MS);
    assert_eq!(
        mapped.iter().map(|it| (it.action, it.is_matched())).collect::<Vec<_>>(),
        [(Action::TrackEvent, false), (Action::AliasUser, true)]
    );
    let Outcome::Sent(request) = &mapped[1].outcome else { panic!("{mapped:?}") };
    assert_eq!(
        request.body,
        "[{\"kind\":\"alias\",\"key\":\"user-1\",\"previousKey\":\"anon-1\",\"contextKind\":\"user\",\"previousContextKind\":\"anonymousUser\",\"creationDate\":0}]"
    );
}

#[test]
fn the_key_is_the_user_or_else_the_anonymous_one_but_never_an_empty_text() {
    assert_eq!(
        track(&json!({"userId": null}))[0]["contextKeys"],
        json!({"unauthenticatedUser": "anon-1", "user": "anon-1"})
    );
    assert_eq!(
        track(&json!({"userId": 5, "anonymousId": null}))[0]["contextKeys"],
        json!({"unauthenticatedUser": "null", "user": "5"})
    );
    assert_eq!(track(&json!({"userId": ""})), "(The root value is missing the required field 'user_key'.)");
    assert_eq!(track(&json!({"userId": [null]}))[0]["contextKeys"]["user"], "");
    assert_eq!(track(&json!({"userId": {"a": 1}})), "(Context Key must be a string but it was an object.)");
    assert_eq!(
        track(&json!({"userId": "", "event": null, "timestamp": []})),
        "(The root value is missing the required field 'user_key'. The root value is missing the required field 'event_name'. \
         Event timestamp must be a string or number but it was an array.)"
    );
}

#[test]
fn a_metric_value_is_a_number_or_costs_the_event() {
    let value = |properties: Value| {
        let sent = track(&json!({"properties": properties}));
        sent.get(0).map_or(sent.clone(), |event| event.get("metricValue").cloned().unwrap_or_else(|| "none".into()))
    };
    for (revenue, expected) in [
        (json!(0), json!(0)),
        (json!("0x10"), json!(16)),
        (json!(" "), json!(0)),
        (json!(true), json!(1)),
        (json!(["5"]), json!(5)),
        (json!("Infinity"), json!(null)),
        (json!("1,000"), json!("(Metric Value must be a number but it was a string.)")),
        (json!([1, 2]), json!("(Metric Value must be a number but it was an array.)")),
        // An empty text is there, so that `value` is not looked at, and then it is dropped.
        (json!(""), json!("none")),
        (json!(null), json!(7)),
    ] {
        assert_eq!(value(json!({"revenue": revenue, "value": 7})), expected, "{revenue}");
    }
    assert_eq!(value(json!({})), "none");
}

#[test]
fn nulls_and_empty_texts_are_dropped_from_fields_but_not_from_what_is_in_them() {
    let kept = json!({"a": null, "b": "", "c": [null, ""], "d": {}});
    assert_eq!(track(&json!({"properties": kept}))[0]["data"], kept);
    assert_eq!(track(&json!({"properties": null}))[0]["data"], json!({}));
    assert_eq!(track(&json!({"properties": [{}]})), "(Event Properties must be an object but it was an array.)");
    assert_eq!(track(&json!({"context": null})), "(Cannot destructure property 'personas' of '{}' as it is null.)");
}

#[test]
fn times_are_read_as_the_destination_reads_them() {
    let creation = |timestamp: Value| {
        let sent = track(&json!({"timestamp": timestamp}));
        sent.get(0).map_or(sent.clone(), |event| event["creationDate"].clone())
    };
    let refused = json!("(Event timestamp must be a valid date-like string but it was not.)");
    for (timestamp, expected) in [
        (json!(null), json!(NOW_MS)),
        (json!(""), json!(NOW_MS)),
        // Seconds are taken for milliseconds, and a text of them for a year.
        (json!(1_648_661_098), json!(1_648_661_098)),
        (json!("1648661098"), json!(-9_989_301_600_000_i64)),
        (json!(-1.9), json!(-1)),
        (json!(8.64e15 + 2.0), json!(NOW_MS)),
        (json!("2022-03-30T17:24:58.5Z"), json!(1_648_661_098_500_i64)),
        // Without a zone, a fraction is so many milliseconds, and what is too much rolls over.
        (json!("2022-03-30T17:24:58.5"), json!(1_648_661_098_005_i64)),
        (json!("2022-02-30"), json!(1_646_179_200_000_i64)),
        (json!("0050-01-01"), json!(-631_152_000_000_i64)),
        (json!("2022-00-00"), json!(1_638_230_400_000_i64)),
        (json!("2022-03-30T17:24:58-0700"), json!(1_648_686_298_000_i64)),
        (json!("Wed Mar 30 2022 17:24:58 GMT+0200 (CEST)"), json!(1_648_653_898_000_i64)),
        (json!("3/30/22 5:24 PM"), json!(1_648_661_040_000_i64)),
        (json!("12"), json!(1_007_164_800_000_i64)),
        (json!("2022-13-01T00:00:00Z"), refused.clone()),
        (json!("yesterday"), refused.clone()),
        (json!(false), refused.clone()),
        (json!([1_648_661_098_000_i64]), json!(-9_989_301_600_000_i64)),
        (json!(["1648661098000"]), json!(1_648_661_098_000_i64)),
        (json!(["2022-03-30"]), json!("(Event timestamp must be a string or number but it was a string.)")),
    ] {
        assert_eq!(creation(timestamp.clone()), expected, "{timestamp}");
    }
}

#[test]
fn a_mapping_without_a_field_gets_no_default_for_it() {
    let destination = mapped(&json!({"user_key": {"@path": "$.userId"}, "event_name": "e"}));
    let event =
        json!({"type": "track", "userId": "u", "anonymousId": "a", "properties": {"revenue": 1}, "timestamp": 5});
    let expected = format!(
        "[{{\"kind\":\"custom\",\"key\":\"e\",\"contextKeys\":{{\"user\":\"u\"}},\"creationDate\":{NOW_MS},\"data\":{{}}}}]"
    );
    assert_eq!(sent(&destination, &event), expected);
}

#[test]
fn the_base_key_wins_and_every_additional_one_is_text() {
    let destination = mapped(&json!({"context_kind": "org", "user_key": 7, "event_name": "e", "timestamp": 1,
        "additional_context_keys": {"org": "lost", "device": {"@path": "$.d"}, "list": [1, null, [2]], "9": true}}));
    let sent = sent(&destination, &json!({"type": "track", "d": {"a": 1}}));
    assert!(
        sent.contains(
            "\"contextKeys\":{\"9\":\"true\",\"device\":\"[object Object]\",\"list\":\"1,,2\",\"org\":\"7\"}"
        ),
        "{sent}"
    );
}

#[test]
fn directives_compute_values() {
    let properties = json!({"name": "Shoe", "n": 7, "zero": 0, "list": [{"sku": "a"}, {"sku": "b"}], "o": {"a": {"b": 1}, "e": {}, "l": [1]},
        "json": "{\"k\":[1]}", "bad": "{", "nil": null});
    let path = |path: &str| json!({"@path": path});
    for (it, expected) in [
        (path("$.properties.list[1].sku"), json!("b")),
        (path("$.properties.missing"), json!("gone")),
        (json!({"@template": "{{properties.name}}/{{properties.n}}/{{$.event}}"}), json!("Shoe/7/")),
        (json!({"@case": {"operator": "upper", "value": path("$.properties.name")}}), json!("SHOE")),
        (json!({"@case": {"operator": "lower", "value": path("$.properties.n")}}), json!(7)),
        (json!({"@if": {"exists": path("$.properties.zero"), "then": "there", "else": "not"}}), json!("there")),
        (json!({"@if": {"exists": path("$.properties.nil"), "then": "there", "else": 0}}), json!("gone")),
        (json!({"@if": {"blank": path("$.properties.zero"), "then": "filled", "else": "blank"}}), json!("blank")),
        (
            json!({"@replace": {"pattern": "o", "replacement": "[$&]", "value": path("$.properties.name")}}),
            json!("Sh[o]e"),
        ),
        (json!({"@replace": {"pattern": "7", "value": path("$.properties.n"), "replacement": "8"}}), json!("8")),
        (json!({"@arrayPath": ["$.properties.list", {"id": path("$.sku")}]}), json!([{"id": "a"}, {"id": "b"}])),
        (json!({"@flatten": {"value": path("$.properties.o"), "separator": "_"}}), json!({"a_b": 1, "l_0": 1})),
        (
            json!({"@flatten": {"value": path("$.properties.o"), "separator": "_", "omitArrays": true}}),
            json!({"a_b": 1, "l": [1]}),
        ),
        (
            json!({"@json": {"mode": "encode", "value": path("$.properties.o")}}),
            json!("{\"a\":{\"b\":1},\"e\":{},\"l\":[1]}"),
        ),
        (json!({"@json": {"mode": "decode", "value": path("$.properties.json")}}), json!({"k": [1]})),
        (json!({"@json": {"mode": "decode", "value": path("$.properties.bad")}}), json!("{")),
        (json!({"@json": {"mode": "ENCODE", "value": 1}}), json!("gone")),
        (json!({"@merge": {"direction": "left", "objects": [{"a": 1}, {"a": 2, "b": 3}]}}), json!({"a": 1, "b": 3})),
        (
            json!({"@merge": {"direction": "right", "objects": [{"a": 1}, {"@template": "xy"}]}}),
            json!({"a": 1, "0": "x", "1": "y"}),
        ),
        (json!({"@literal": path("$.event")}), json!("E")),
        (json!({"@transform": {"apply": {"x": path("$.event")}, "mapping": {"@template": "<{{x}}>"}}}), json!("<E>")),
        (json!({"@excludeWhenNull": {"a": null, "b": {"c": null, "d": [null]}}}), json!({"b": {"d": [null]}})),
        (json!({"@path": "$.event", "_metadata": {"label": "ignored"}}), json!("E")),
        (json!({"@liquid": "no liquid in it"}), json!("no liquid in it")),
        (json!({"@liquid": "{{ event | upcase }}"}), json!("(not modelled) @liquid")),
        (json!({"@nope": 1}), json!("(ValidationError: /event_properties/it has an invalid directive: @nope.)")),
        (json!({"@if": {"then": 1}}), json!("(@if requires an \"exists\" key or a \"blank\" key)")),
    ] {
        assert_eq!(directive(&it, &properties), expected, "{it}");
    }
}

#[test]
fn data_is_never_taken_for_a_directive() {
    let data = json!({"@path": "$.event", "x": {"@nope": 1}});
    assert_eq!(directive(&json!({"@path": "$.properties"}), &data), data);
}

#[test]
fn mappings_stand_alone_and_disabled_ones_are_left_out() {
    let mapping = |name: &str, enabled: bool| {
        json!({"action": "trackEvent", "subscribe": "type = track", "enabled": enabled,
        "mapping": {"user_key": "u", "event_name": name}})
    };
    let file = json!({"settings": {"client_id": "c"}, "mappings": [mapping("a", true), mapping("b", false), mapping("c", true)]});
    let destination = read(&file).destination;
    let mapped = destination.map(&Event::parse(r#"{"type":"track"}"#).unwrap(), 0);
    let keys = mapped.iter().map(|it| match &it.outcome {
        Outcome::Sent(request) => (it.mapping, serde_json::from_str::<Value>(&request.body).unwrap()[0]["key"].clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(keys.collect::<Vec<_>>(), [(0, json!("a")), (2, json!("c"))]);
    assert_eq!(serde_json::from_str::<Value>(&destination.to_json()).unwrap(), file);
}

#[test]
fn every_fault_of_a_refusal_stands_on_the_line_it_is_about() {
    let event = Event::parse(
        r#"{"type":"track","event":"","userId":{"id":1},"properties":{"revenue":"$5"},"timestamp":"soon"}"#,
    )
    .unwrap();
    let mapped = &Destination::presets().explain(&event, 0)[0];
    let faults: Vec<(&str, &str)> =
        mapped.lines.iter().filter_map(|line| Some((line.field.as_str(), line.fault.as_deref()?))).collect();
    let expected = [
        ("user_key", "Context Key must be a string but it was an object."),
        ("event_name", "The root value is missing the required field 'event_name'."),
        ("metric_value", "Metric Value must be a number but it was a string."),
        ("timestamp", "Event timestamp must be a valid date-like string but it was not."),
    ];
    assert_eq!(faults, expected);
    let Outcome::Refused(words) = &mapped.outcome else { panic!("{:?}", mapped.outcome) };
    for (_, fault) in expected {
        assert!(words.contains(fault), "{fault} is not in {words}");
    }
}

#[test]
fn an_explanation_has_a_line_for_every_field() {
    let destination = mapped(&json!({"user_key": {"@path": "$.userId"}, "event_name": {"@liquid": "{{ event }}"},
        "metric_value": {"@path": "$.properties.revenue"}, "timestamp": {"@if": {}}, "contxt_kind": "user"}));
    let event = Event::parse(r#"{"type":"page","userId":7,"properties":{"revenue":"1e2"}}"#).unwrap();
    let mapped = &destination.explain(&event, 0)[0];
    assert_eq!(mapped.outcome, Outcome::NotMatched);
    let line =
        |field: &str, label: Option<&'static str>, source: Option<&str>, resolved: Resolved, taken: Option<&str>| {
            let fault = match &resolved {
                Resolved::Failed(words) => Some(words.clone()),
                _ => None,
            };
            Line {
                field: field.to_owned(),
                label,
                source: source.map(str::to_owned),
                resolved,
                taken: taken.map(str::to_owned),
                fault,
            }
        };
    let unmapped = |field: &str, label: &'static str| line(field, Some(label), None, Resolved::Nothing, None);
    let mut lines = mapped.lines.clone();
    lines.sort_by(|one, other| (one.source.is_none(), &one.field).cmp(&(other.source.is_none(), &other.field)));
    assert_eq!(
        lines,
        [
            line("contxt_kind", None, Some("\"user\""), Resolved::Value("\"user\"".to_owned()), None),
            line(
                "event_name",
                Some("Event Name"),
                Some(r#"{"@liquid":"{{ event }}"}"#),
                Resolved::NotModelled("@liquid".to_owned()),
                None
            ),
            line(
                "metric_value",
                Some("Metric Value"),
                Some(r#"{"@path":"$.properties.revenue"}"#),
                Resolved::Value("\"1e2\"".to_owned()),
                Some("100")
            ),
            line(
                "timestamp",
                Some("Event timestamp"),
                Some(r#"{"@if":{}}"#),
                Resolved::Failed("@if requires an \"exists\" key or a \"blank\" key".to_owned()),
                None
            ),
            line(
                "user_key",
                Some("Context Key"),
                Some(r#"{"@path":"$.userId"}"#),
                Resolved::Value("7".to_owned()),
                Some("\"7\"")
            ),
            unmapped("additional_context_keys", "Additional Context Keys"),
            unmapped("context_kind", "Context Kind"),
            unmapped("event_properties", "Event Properties"),
        ]
    );
}

#[test]
fn a_mapping_file_is_refused_with_every_mistake_and_where_it_is() {
    let refused = |text: &str, format| mapping_file::from_text(text, "m", format).expect_err(text).to_string();
    let text = "[settings]\nclient_id = 'c'\n[[mappings]]\naction = 'track'\nenabled = 1\nmaping = {}\n[[mapping]]\n";
    assert_eq!(
        refused(text, Format::Toml),
        "m:3:1: mapping 0: mapping is missing; expected a table of fields; add it\n\
         m:3:1: mapping 0: subscribe is missing; expected a trigger such as \"type = \\\"track\\\"\"; add it\n\
         m:4:10: mapping 0: action is \"track\"; expected one of trackEvent, aliasUser\n\
         m:5:11: mapping 0: enabled is the number 1; expected true or false\n\
         m:6:1: mapping 0: unknown key \"maping\"; expected one of action, subscribe, enabled, mapping; did you mean mapping?\n\
         m:7:3: the mapping file: unknown key \"mapping\"; expected one of settings, mappings; did you mean mappings?"
    );
    assert_eq!(refused("{", Format::Json), "m:1:1: this is not JSON: EOF while parsing an object; correct the line");
    assert_eq!(
        refused(r#"{"settings":[]}"#, Format::Json),
        "m:1:13: settings is an array; expected a table with client_id"
    );
    let mapping = json!({"action": "aliasUser", "subscribe": "x", "mapping": {}});
    let many = json!({"mappings": vec![mapping; 51]}).to_string();
    assert_eq!(
        refused(&many, Format::Json),
        "m:1:13: there are 51 mappings; Segment takes 50 for a destination; remove some"
    );
}

#[test]
fn what_the_destination_will_refuse_or_drop_is_a_remark_with_its_place() {
    let text = r#"{
  "settings": {"client_id": "c", "event_host_name": "x"},
  "mappings": [{"action": "trackEvent", "subscribe": "type == ", "mapping": {
    "contextkind": "user",
    "event_name": {"@path": 5}
  }}]
}"#;
    let remarks = mapping_file::from_text(text, "m", Format::Json).unwrap().remarks;
    let shown: Vec<String> = remarks.iter().map(|it| format!("{}:{}: {}", it.line, it.column, it.message)).collect();
    assert_eq!(
        shown,
        [
            "2:34: the settings: \"event_host_name\" is not a setting and is dropped; did you mean events_host_name?",
            "4:5: mapping 0: \"contextkind\" is not a field of trackEvent and is dropped; did you mean context_kind?",
            "5:29: mapping 0: the destination refuses every event for this: /event_name/@path should be a string or a mapping directive but it is a number",
        ]
    );
}

#[test]
fn toml_and_json_mean_the_same() {
    let toml = "[settings]\nclient_id = 'c'\n[[mappings]]\naction = 'trackEvent'\nsubscribe = 'type = \"track\"'\n\
                [mappings.mapping]\nuser_key = 'u'\nevent_name = { '@path' = '$.event' }\ntimestamp = 1970-01-01T00:00:01Z\n\
                [mappings.mapping.additional_context_keys]\nz = 'first'\na = 'second'\n";
    let destination = mapping_file::from_text(toml, "m.toml", Format::Toml).unwrap().destination;
    assert_eq!(
        sent(&destination, &json!({"type": "track", "event": "e"})),
        "[{\"kind\":\"custom\",\"key\":\"e\",\"contextKeys\":{\"z\":\"first\",\"a\":\"second\",\"user\":\"u\"},\"creationDate\":1000,\"data\":{}}]"
    );
}
