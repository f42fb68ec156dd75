//! The destination's settings, and the address they make.

use super::coerce::{Field, Type, fit};
use super::value::Value;
use super::{Problem, Work};
use std::fmt::Write;
use url::Url;

const DEFAULT_HOST: &str = "events.launchdarkly.com";

pub(super) const FIELDS: &[Field] = &[
    Field { name: "client_id", label: "LaunchDarkly client-side ID", is_required: true, of_type: Type::Text },
    Field {
        name: "events_host_name",
        label: "LaunchDarkly events host name",
        is_required: false,
        of_type: Type::HostName,
    },
];

/// The address events are sent to. The outer error are settings that do not fit, which the destination sees before it
/// looks at an event; the inner one is a host that is a name by its letters and no address, which it sees last.
pub(super) fn events_url(settings: &Value) -> Result<Result<String, String>, Problem> {
    let settings = fit(settings, FIELDS, &mut Work::default())?;
    let text = |name: &str| match settings.get(name) {
        Some(Value::Text(text)) => &**text,
        _ => "",
    };
    let host = Some(text("events_host_name")).filter(|host| !host.is_empty()).unwrap_or(DEFAULT_HOST);
    let url = format!("https://{host}/events/bulk/{}", text("client_id"));
    Ok(Url::parse(&url).map(|url| escaped(url.as_str())).map_err(|error| format!("Invalid URL {url}: {error}")))
}

/// What Segment's client escapes after the address is in its normal form: characters that WHATWG leaves in some parts.
fn escaped(url: &str) -> String {
    let mut escaped = String::with_capacity(url.len());
    for character in url.chars() {
        match character {
            '\'' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => {
                let _ = write!(escaped, "%{:02X}", u32::from(character));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::value::parse;
    use super::*;

    #[track_caller]
    fn url(settings: &str) -> Result<String, String> {
        match events_url(&parse(settings).unwrap()) {
            Ok(url) => url,
            Err(Problem::Refused(words)) => Err(words),
            Err(Problem::NotModelled(what)) => Err(format!("not modelled: {what}")),
        }
    }

    #[test]
    fn the_address_has_the_client_side_id_as_it_stands() {
        let bulk = |rest: &str| Ok(format!("https://events.launchdarkly.com/events/bulk/{rest}"));
        assert_eq!(url(r#"{"client_id":"abc"}"#), bulk("abc"));
        assert_eq!(url(r#"{"client_id":null}"#), bulk(""));
        assert_eq!(url(r#"{"client_id":12}"#), bulk("12"));
        assert_eq!(url(r#"{"client_id":["x"],"more":1}"#), bulk("x"));
        assert_eq!(url(r#"{"client_id":"a b/é"}"#), bulk("a%20b/%C3%A9"));
        assert_eq!(url(r#"{"client_id":"'a'?b|c"}"#), bulk("%27a%27?b%7Cc"));
        assert_eq!(url(r#"{"client_id":"../x"}"#), Ok("https://events.launchdarkly.com/events/x".to_owned()));
    }

    #[test]
    fn the_host_is_a_name_without_scheme_and_port() {
        let host = |name: &str| url(&format!(r#"{{"client_id":"c","events_host_name":{name}}}"#));
        for (name, shown) in [
            (r#""localhost""#, "localhost"),
            (r#""127.1""#, "127.0.0.1"),
            (r#""EVENTS.Example""#, "events.example"),
            ("5", "0.0.0.5"),
        ] {
            assert_eq!(host(name), Ok(format!("https://{shown}/events/bulk/c")));
        }
        for name in [r#""""#, "null", r#""a:80""#, r#""https://a""#, r#""-a""#, r#""a..b""#, r#""a_b""#, r#""é""#] {
            let expected = "LaunchDarkly events host name must be a valid hostname string but it was not.";
            assert_eq!(host(name), Err(expected.to_owned()), "{name}");
        }
        assert!(host(r#""999.1.1.1""#).is_err_and(|words| words.starts_with("Invalid URL")));
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_in_the_words_of_the_destination() {
        assert_eq!(url("{}"), Err("The root value is missing the required field 'client_id'.".to_owned()));
        assert_eq!(
            url(r#"{"client_id":{},"events_host_name":[]}"#),
            Err("LaunchDarkly client-side ID must be a string but it was an object. \
                 LaunchDarkly events host name must be a string but it was an array."
                .to_owned())
        );
    }
}
