//! How to get traffic in, with the address filled in.
//!
//! The empty screen, `exptap help sources` and the docs say the same because they all read this.

use crate::endpoint::AUTHORITY_PATH;
use crate::tls::Trust;
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

/// Where SDKs send to, and what they are to trust there.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// The address that is listened on.
    pub address: SocketAddr,
    /// What is to be trusted; none: plain HTTP is spoken.
    pub trust: Option<&'a Trust>,
}

impl From<SocketAddr> for Door<'_> {
    fn from(address: SocketAddr) -> Self {
        Self { address, trust: None }
    }
}

impl Door<'_> {
    fn scheme(&self) -> &'static str {
        if self.trust.is_some() { "https" } else { "http" }
    }
}

/// Where SDKs on this machine reach a door.
pub fn events_uri(door: Door<'_>) -> String {
    let address = door.address;
    let reached = match address.ip() {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("{}://{}", door.scheme(), SocketAddr::new(reached, address.port()))
}

fn code(name: &'static str, code: String) -> GuideLine {
    GuideLine::Code { name, code }
}

/// The events URI option of each SDK (names as in LaunchDarkly's service endpoint configuration page).
pub fn sdks(door: Door<'_>) -> Vec<GuideLine> {
    let uri = events_uri(door);
    vec![
        code("Node", format!("init(sdkKey, {{ eventsUri: '{uri}' }})")),
        code("Python", format!("Config(sdk_key, events_uri='{uri}')")),
        code("Java", "new LDConfig.Builder().serviceEndpoints(".to_owned()),
        code("", format!("  Components.serviceEndpoints().events(\"{uri}\"))")),
        code("Go", "config.ServiceEndpoints = interfaces.ServiceEndpoints{".to_owned()),
        code("", format!("  Events: \"{uri}\"}}")),
        code(".NET", "Configuration.Builder(sdkKey).ServiceEndpoints(".to_owned()),
        code("", format!("  Components.ServiceEndpoints().Events(\"{uri}\"))")),
        code("Browser", format!("createClient(id, context, {{eventsUri: '{uri}'}})")),
        code("", "(eventsUrl, not eventsUri, before version 4)".to_owned()),
    ]
}

/// One event to send by hand.
pub fn try_it(door: Door<'_>) -> Vec<GuideLine> {
    let uri = events_uri(door);
    vec![
        code("Try it", format!("curl {uri}/bulk -d '[{{\"kind\":\"custom\",\"key\":")),
        code("", "  \"checkout\",\"context\":{\"kind\":\"user\",\"key\":\"u-1\"},".to_owned()),
        code("", "  \"creationDate\":'$(date +%s)000'}]'".to_owned()),
    ]
}

/// How to reach this machine from somewhere else.
pub fn from_elsewhere(door: Door<'_>) -> Vec<GuideLine> {
    let (scheme, port) = (door.scheme(), door.address.port());
    vec![
        code("Container", format!("{scheme}://host.docker.internal:{port}, or run it with --network host")),
        code("Emulator", format!("{scheme}://10.0.2.2:{port}, or adb reverse tcp:{port} tcp:{port}")),
    ]
}

/// What is to be trusted: the CA, from where a device gets it, and its fingerprint, as wide as a narrow screen.
fn to_trust(trust: &Trust, door: Door<'_>) -> Vec<GuideLine> {
    let mut lines = Vec::new();
    match (&trust.authority, trust.reached_at(door.address)) {
        (Some(_), Some(reached)) => {
            lines.push(code("Trust", format!("http://{reached}{AUTHORITY_PATH} (exptap help sources)")));
        }
        (Some(path), None) => lines.push(code("Trust", format!("the CA {}", path.display()))),
        (None, _) => lines.push(code("Trust", "the certificate is your own".to_owned())),
    }
    let pairs: Vec<&str> = trust.fingerprint.split(':').collect();
    let halves = pairs.chunks(16).zip(["SHA-256", ""]);
    lines.extend(halves.map(|(pairs, name)| code(name, pairs.join(":"))));
    lines
}

/// When to expect the first events.
pub fn next_flush() -> GuideLine {
    GuideLine::Text("The next batch is due in 5 s (server SDKs), 2 s (browsers) or 30 s (phones).".to_owned())
}

/// The first screen: short enough for 80 columns and 24 rows.
pub fn first_screen(door: Door<'_>) -> Vec<GuideLine> {
    let mut lines =
        vec![GuideLine::Heading(format!("Listening on {}. Nothing has arrived yet.", events_uri(door))), next_flush()];
    lines.extend(ways_in(door));
    lines.push(code("Segment", format!("its library's host: {} (exptap help sources)", events_uri(door))));
    lines
}

/// From this machine, and from what runs on it.
fn ways_in(door: Door<'_>) -> Vec<GuideLine> {
    let heading = "Point an SDK's events URI here. Flags still come from LaunchDarkly.".to_owned();
    let mut lines = vec![GuideLine::Heading(heading)];
    lines.extend(sdks(door));
    match door.trust {
        Some(trust) => lines.extend(to_trust(trust, door)),
        None => lines.extend(try_it(door)),
    }
    lines.extend(from_elsewhere(door));
    lines
}

/// Everything there is to say about getting traffic in.
pub fn sources(door: Door<'_>) -> Vec<GuideLine> {
    let mut lines = ways_in(door);
    let port = door.address.port();
    lines.extend([
        code("Phone", format!("a LAN address: --listen ADDRESS:{port} --public, behind TLS")),
        code("", "(iOS and Android block clear text)".to_owned()),
        GuideLine::Blank,
        GuideLine::Text(
            "An SDK that is given one of its three URIs logs a warning and keeps its own for the others.".to_owned(),
        ),
        GuideLine::Text("In Go, .WithPartialSpecification() on ServiceEndpoints silences it.".to_owned()),
        GuideLine::Blank,
        GuideLine::Heading("TLS".to_owned()),
        GuideLine::Text("With --tls exptap makes a CA, once, and says where it is, with its SHA-256.".to_owned()),
        code("Phone", format!("fetch http://THIS-MACHINE:{port}{AUTHORITY_PATH} and compare the SHA-256")),
        code("iOS", "install the profile; then General > About > Certificate Trust Settings".to_owned()),
        code("Android", "install it; the app's network security config must trust user CAs".to_owned()),
        code("Node", "NODE_EXTRA_CA_CERTS=ca.pem".to_owned()),
        code("Python", "cat $(python -m certifi) ca.pem > all.pem; HTTPConfig(ca_certs='all.pem')".to_owned()),
        code("Java", "keytool -importcert -cacerts -alias exptap -file ca.pem".to_owned()),
        code("Go, .NET", "the system's store: update-ca-certificates on Debian".to_owned()),
        GuideLine::Text("A certificate of your own: --tls-cert FILE --tls-key FILE.".to_owned()),
        GuideLine::Blank,
        GuideLine::Heading("Relay Proxy".to_owned()),
        GuideLine::Text("Put exptap between the SDK and Relay: behind Relay, the SDK's name is lost.".to_owned()),
        GuideLine::Text(format!("Give the SDK {} and start exptap with --forward RELAY_URL.", events_uri(door))),
        GuideLine::Blank,
        GuideLine::Heading("Segment".to_owned()),
        code("Node", format!("new Analytics({{ writeKey, host: '{}' }})", events_uri(door))),
        code("Python", format!("analytics.host = '{}'", events_uri(door))),
        code("Browser", format!("AnalyticsBrowser.load({{ writeKey, cdnURL: '{}' }})", events_uri(door))),
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
    plain(&sources(SocketAddr::from(([127, 0, 0, 1], crate::endpoint::DEFAULT_PORT)).into()))
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

    fn at(address: &str) -> Door<'static> {
        address.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn the_bound_address_stands_wherever_something_is_pasted() {
        let address: SocketAddr = "127.0.0.1:9100".parse().unwrap();
        let text = plain(&sources(address.into()));
        assert_eq!(text.matches("http://127.0.0.1:9100").count(), 11);
        assert!(!text.contains("8033"));
    }

    #[test]
    fn an_address_that_means_every_interface_is_reached_over_loopback() {
        assert_eq!(events_uri(at("0.0.0.0:8033")), "http://127.0.0.1:8033");
        assert_eq!(events_uri(at("[::]:8033")), "http://127.0.0.1:8033");
        assert_eq!(events_uri(at("[::1]:8033")), "http://[::1]:8033");
    }

    #[test]
    fn the_first_screen_fits_80_columns_and_24_rows() {
        let path = "/home/somebody/.local/share/exptap/tls/ca.pem";
        let fingerprint = vec!["AB"; 32].join(":");
        let reached_at = Some([192, 168, 100, 200].into());
        let trust = Trust { authority: Some(path.into()), fingerprint, pem: None, reached_at, names: Vec::new() };
        let secure = |address: &str| Door { trust: Some(&trust), ..at(address) };
        for door in [at("127.0.0.1:65535"), secure("127.0.0.1:65535"), secure("0.0.0.0:65535")] {
            let lines = first_screen(door);
            // Header, tabs, footer and the border take 5 rows and 2 columns.
            assert!(lines.len() <= 24 - 5, "{} lines", lines.len());
            for line in plain(&lines).lines() {
                assert!(line.chars().count() <= 80 - 2, "{} columns: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn where_tls_is_spoken_every_address_says_so_and_what_to_trust_is_filled_in() {
        let reached_at = Some([192, 168, 1, 20].into());
        let names = Vec::new();
        let trust = Trust {
            authority: Some("/data/ca.pem".into()),
            fingerprint: vec!["AB"; 32].join(":"),
            pem: None,
            reached_at,
            names,
        };
        let text = |address: &str| plain(&first_screen(Door { trust: Some(&trust), ..at(address) }));
        let loopback = text("127.0.0.1:9100");
        assert!(loopback.contains("the CA /data/ca.pem") && !loopback.contains("http://"), "{loopback}");
        let everywhere = text("0.0.0.0:9100");
        assert!(everywhere.contains("Trust     http://192.168.1.20:9100/exptap-ca.pem"), "{everywhere}");
    }
}
