//! Where LaunchDarkly is asked.

use std::fmt;
use std::str::FromStr;
use url::{Host as UrlHost, Url};

/// LaunchDarkly's instances: what they are called here, where their API is, and where their SDKs go.
const INSTANCES: [(&str, &str, &str); 3] = [
    ("default", "app.launchdarkly.com", "sdk.launchdarkly.com"),
    ("eu", "app.eu.launchdarkly.com", "sdk.eu.launchdarkly.com"),
    ("federal", "app.launchdarkly.us", "sdk.launchdarkly.us"),
];

/// Where LaunchDarkly is asked: its API, and the address SDKs fetch flags from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    api: Url,
    sdk: Url,
}

/// Why a text is no [`Host`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is no name of a host.
    #[error("expected a host such as app.launchdarkly.com, or eu, or federal")]
    NoHost,
    /// It is an address with more than a host and a port.
    #[error("expected a host and no {0}: leave it off")]
    Surplus(&'static str),
    /// Anybody on the way could read the token.
    #[error("plain http would show the token to anybody on the way: use https (http is for this machine only)")]
    PlainText,
}

impl Host {
    /// The address of the REST API.
    pub fn api(&self) -> &Url {
        &self.api
    }

    /// The address SDKs fetch flags from.
    pub fn sdk(&self) -> &Url {
        &self.sdk
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        let is_called = |(name, api, sdk): &&(&str, &str, &str)| {
            let host = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
            [*name, *api, *sdk].contains(&host)
        };
        if let Some((_, api, sdk)) = INSTANCES.iter().find(is_called) {
            return Ok(Self { api: address(api)?, sdk: address(sdk)? });
        }
        let address = address(text)?;
        Ok(Self { api: address.clone(), sdk: address })
    }
}

fn address(text: &str) -> Result<Url, HostError> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url: Url = whole.parse().map_err(|_| HostError::NoHost)?;
    if url.host().is_none() || !["http", "https"].contains(&url.scheme()) {
        return Err(HostError::NoHost);
    }
    let surplus = [
        (!url.username().is_empty() || url.password().is_some(), "user or password"),
        (url.path() != "/", "path"),
        (url.query().is_some(), "query"),
        (url.fragment().is_some(), "fragment"),
    ];
    if let Some((_, what)) = surplus.iter().find(|(is_there, _)| *is_there) {
        return Err(HostError::Surplus(what));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(HostError::PlainText);
    }
    Ok(url)
}

/// Whether an address means this machine, which no proxy reaches on anybody's behalf.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name == "localhost",
        Some(UrlHost::Ipv4(ip)) => ip.is_loopback(),
        Some(UrlHost::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.api.as_str().trim_end_matches('/').trim_start_matches("https://"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn addresses(text: &str) -> Result<[String; 2], HostError> {
        text.parse().map(|host: Host| [host.api().to_string(), host.sdk().to_string()])
    }

    #[test]
    fn an_instance_goes_by_its_name_or_by_either_of_its_hosts() {
        for (name, api, sdk) in INSTANCES {
            let expected = Ok([format!("https://{api}/"), format!("https://{sdk}/")]);
            for text in [name, api, sdk, &format!("https://{api}/")] {
                assert_eq!(addresses(text), expected, "{text}");
            }
        }
        assert_eq!("default".parse::<Host>().unwrap().to_string(), "app.launchdarkly.com");
    }

    #[test]
    fn another_host_is_asked_for_everything_and_in_plain_text_only_on_this_machine() {
        let both = |address: &str| Ok([address.to_owned(), address.to_owned()]);
        assert_eq!(addresses("ld.example"), both("https://ld.example/"));
        assert_eq!(addresses("http://127.0.0.1:8080"), both("http://127.0.0.1:8080/"));
        assert_eq!(addresses("http://[::1]:8080/"), both("http://[::1]:8080/"));
        assert_eq!(addresses("http://localhost:1"), both("http://localhost:1/"));
        assert_eq!(addresses("http://app.launchdarkly.com"), Err(HostError::PlainText));
        assert_eq!(addresses("http://10.0.0.1"), Err(HostError::PlainText));
        assert_eq!(addresses("https://me:secret@ld.example"), Err(HostError::Surplus("user or password")));
        assert_eq!(addresses("https://ld.example/api/v2"), Err(HostError::Surplus("path")));
        assert_eq!(addresses("https://ld.example?x"), Err(HostError::Surplus("query")));
        for text in ["", "ftp://ld.example", "https://", "a b"] {
            assert_eq!(addresses(text), Err(HostError::NoHost), "{text}");
        }
    }
}
