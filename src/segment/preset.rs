//! What Segment puts in when the destination is added: two mappings, every field filled in.

/// What stands for the client-side ID that is not known.
pub(super) const CLIENT_SIDE_ID: &str = "client-side-id";

/// The presets as a mapping file, all but the client-side ID.
pub(super) const PRESETS: &str = r#"{
  "settings": {"client_id": "client-side-id"},
  "mappings": [
    {
      "action": "trackEvent",
      "subscribe": "type = \"track\"",
      "mapping": {
        "context_kind": "user",
        "user_key": {"@if": {"exists": {"@path": "$.userId"}, "then": {"@path": "$.userId"}, "else": {"@path": "$.anonymousId"}}},
        "additional_context_keys": {"unauthenticatedUser": {"@path": "$.anonymousId"}},
        "event_name": {"@path": "$.event"},
        "metric_value": {"@if": {"exists": {"@path": "$.properties.revenue"}, "then": {"@path": "$.properties.revenue"}, "else": {"@path": "$.properties.value"}}},
        "event_properties": {"@path": "$.properties"},
        "timestamp": {"@path": "$.timestamp"}
      }
    },
    {
      "action": "aliasUser",
      "subscribe": "type = \"identify\" or type = \"alias\"",
      "mapping": {
        "user_key": {"@path": "$.userId"},
        "previous_key": {"@if": {"exists": {"@path": "$.previousId"}, "then": {"@path": "$.previousId"}, "else": {"@path": "$.anonymousId"}}},
        "timestamp": {"@path": "$.timestamp"}
      }
    }
  ]
}"#;
