//! How to get traffic in, with the address filled in.
//!
//! The empty screen, `exptap help sources` and the docs say the same because they all read this.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One line of the guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuideLine {
    /// A heading.
    Heading(String),
    /// A sentence.
    Text(String),
    /// Something to paste, under a name (a language, a tool); the name is empty where the line before goes on.
    Code {
        /// What it is for.
        name: &'static str,
        /// What to paste.
        code: String,
    },
    /// Nothing.
    Blank,
}

/// Where SDKs on this machine reach an address.
pub fn events_uri(address: SocketAddr) -> String {
    let reached = match address.ip() {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(reached, address.port()))
}

fn code(name: &'static str, code: String) -> GuideLine {
    GuideLine::Code { name, code }
}

/// The events URI option of each SDK (names as in LaunchDarkly's service endpoint configuration page).
pub fn sdks(address: SocketAddr) -> Vec<GuideLine> {
    let uri = events_uri(address);
    vec![
        code("Node", format!("init(sdkKey, {{ eventsUri: '{uri}' }})")),
        code("Python", format!("Config(sdk_key, events_uri='{uri}')")),
        code("Java", "new LDConfig.Builder().serviceEndpoints(".to_owned()),
        code("", format!("  Components.serviceEndpoints().events(\"{uri}\"))")),
        code("Go", "config.ServiceEndpoints = interfaces.ServiceEndpoints{".to_owned()),
        code("", format!("  Events: \"{uri}\"}}")),
        code(".NET", "Configuration.Builder(sdkKey).ServiceEndpoints(".to_owned()),
        code("", format!("  Components.ServiceEndpoints().Events(\"{uri}\"))")),
        code("Browser", format!("createClient(id, context, {{ eventsUri: '{uri}' }})")),
        code("", "(eventsUrl, not eventsUri, before version 4)".to_owned()),
    ]
}

/// One event to send by hand.
pub fn try_it(address: SocketAddr) -> Vec<GuideLine> {
    let uri = events_uri(address);
    vec![
        code("Try it", format!("curl {uri}/bulk -d '[{{\"kind\":\"custom\",\"key\":")),
        code("", "  \"checkout\",\"context\":{\"kind\":\"user\",\"key\":\"u-1\"},".to_owned()),
        code("", "  \"creationDate\":'$(date +%s)000'}]'".to_owned()),
    ]
}

/// How to reach this machine from somewhere else.
pub fn from_elsewhere(address: SocketAddr) -> Vec<GuideLine> {
    let port = address.port();
    vec![
        code("Container", format!("http://host.docker.internal:{port}, or run it with --network host")),
        code("Emulator", format!("http://10.0.2.2:{port}, or adb reverse tcp:{port} tcp:{port}")),
    ]
}

/// When to expect the first events.
pub fn next_flush() -> GuideLine {
    GuideLine::Text("The next batch is due in 5 s (server SDKs), 2 s (browsers) or 30 s (phones).".to_owned())
}

/// The first screen: short enough for 80 columns and 24 rows.
pub fn first_screen(address: SocketAddr) -> Vec<GuideLine> {
    let mut lines = vec![
        GuideLine::Heading(format!("Listening on {}. Nothing has arrived yet.", events_uri(address))),
        next_flush(),
    ];
    lines.extend(ways_in(address));
    lines.push(code("Segment", format!("its library's host: {} (exptap help sources)", events_uri(address))));
    lines
}

/// From this machine, and from what runs on it.
fn ways_in(address: SocketAddr) -> Vec<GuideLine> {
    let heading = "Point an SDK's events URI here. Flags still come from LaunchDarkly.".to_owned();
    let mut lines = vec![GuideLine::Heading(heading)];
    lines.extend(sdks(address));
    lines.extend(try_it(address));
    lines.extend(from_elsewhere(address));
    lines
}

/// Everything there is to say about getting traffic in.
pub fn sources(address: SocketAddr) -> Vec<GuideLine> {
    let mut lines = ways_in(address);
    let port = address.port();
    lines.extend([
        code("Phone", format!("a LAN address: --listen ADDRESS:{port} --public, behind TLS")),
        code("", "(iOS and Android block clear text)".to_owned()),
        GuideLine::Blank,
        GuideLine::Text(
            "An SDK that is given one of its three URIs logs a warning and keeps its own for the others.".to_owned(),
        ),
        GuideLine::Text("In Go, .WithPartialSpecification() on ServiceEndpoints silences it.".to_owned()),
        GuideLine::Blank,
        GuideLine::Heading("Relay Proxy".to_owned()),
        GuideLine::Text("Put exptap between the SDK and Relay: behind Relay, the SDK's name is lost.".to_owned()),
        GuideLine::Text(format!("Give the SDK {} and start exptap with --forward RELAY_URL.", events_uri(address))),
        GuideLine::Blank,
        GuideLine::Heading("Segment".to_owned()),
        code("Node", format!("new Analytics({{ writeKey, host: '{}' }})", events_uri(address))),
        code("Python", format!("analytics.host = '{}'", events_uri(address))),
        code("Browser", format!("AnalyticsBrowser.load({{ writeKey, cdnURL: '{}' }})", events_uri(address))),
        code("Webhook", format!("let a TLS tunnel end at port {port}, and post to its /webhook")),
        code("By hand", "events copied from Segment's debugger, into exptap map".to_owned()),
        GuideLine::Text(
            "With --forward-segment https://api.segment.io what libraries send goes on to Segment.".to_owned(),
        ),
        GuideLine::Text(
            "The LaunchDarkly (Actions) destination sends to https without a port only: let a TLS".to_owned(),
        ),
        GuideLine::Text("tunnel end at exptap, and give its host name as the destination's events host.".to_owned()),
        GuideLine::Blank,
        GuideLine::Heading("Production".to_owned()),
        GuideLine::Text("With --forward https://events.launchdarkly.com every request goes on unchanged,".to_owned()),
        GuideLine::Text("so nothing is taken away from production results.".to_owned()),
    ]);
    lines
}

/// The guide for the address exptap listens on when it is told nothing else, as plain text.
pub fn usual() -> String {
    plain(&sources(SocketAddr::from(([127, 0, 0, 1], crate::endpoint::DEFAULT_PORT))))
}

/// The guide as plain text.
pub fn plain(lines: &[GuideLine]) -> String {
    let mut text = String::new();
    for line in lines {
        match line {
            GuideLine::Heading(words) | GuideLine::Text(words) => text.push_str(words),
            GuideLine::Code { name, code } => text.push_str(&format!("  {name:<9} {code}")),
            GuideLine::Blank => (),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_bound_address_stands_wherever_something_is_pasted() {
        let address: SocketAddr = "127.0.0.1:9100".parse().unwrap();
        let text = plain(&sources(address));
        assert_eq!(text.matches("http://127.0.0.1:9100").count(), 11);
        assert!(!text.contains("8033"));
    }

    #[test]
    fn an_address_that_means_every_interface_is_reached_over_loopback() {
        assert_eq!(events_uri("0.0.0.0:8033".parse().unwrap()), "http://127.0.0.1:8033");
        assert_eq!(events_uri("[::]:8033".parse().unwrap()), "http://127.0.0.1:8033");
        assert_eq!(events_uri("[::1]:8033".parse().unwrap()), "http://[::1]:8033");
    }

    #[test]
    fn the_first_screen_fits_80_columns_and_24_rows() {
        let lines = first_screen("127.0.0.1:65535".parse().unwrap());
        // Header, tabs, footer and the border take 5 rows and 2 columns.
        assert!(lines.len() <= 24 - 5, "{} lines", lines.len());
        for line in plain(&lines).lines() {
            assert!(line.chars().count() <= 80 - 2, "{} columns: {line}", line.chars().count());
        }
    }
}
