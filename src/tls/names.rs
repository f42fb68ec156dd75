//! The names and addresses a certificate is for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A name or an address others reach this machine by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A host name, in lower case; its first label may be `*`.
    Host(String),
    /// An address.
    Address(IpAddr),
}

/// A text that is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host name and no address: expected something like box.example, *.box.example or 192.168.1.20")]
pub struct NameError(String);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim().trim_end_matches('.');
        let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = address.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        let host = text.to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_host = host.len() <= 253 && host.strip_prefix("*.").unwrap_or(&host).split('.').all(is_label);
        if is_host { Ok(Self::Host(host)) } else { Err(NameError(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => formatter.write_str(host),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// What this machine is reached by, as far as it knows: loopback, the names that emulators and containers on it have for
/// it, its own name (with `.local`, as phones in the same network find it) and the addresses of its interfaces.
pub fn of_this_machine() -> Vec<Name> {
    let host = |name: &str| Name::Host(name.to_owned());
    let mut names = vec![
        host("localhost"),
        Name::Address(Ipv4Addr::LOCALHOST.into()),
        Name::Address(Ipv6Addr::LOCALHOST.into()),
        host("host.docker.internal"),
        host("host.containers.internal"),
        // The Android emulator's name for the machine it runs on.
        Name::Address(Ipv4Addr::new(10, 0, 2, 2).into()),
    ];
    if let Some(own) = own_name() {
        if !own.contains('.') {
            names.push(Name::Host(format!("{own}.local")));
        }
        names.push(Name::Host(own));
    }
    names.extend(addresses().into_iter().map(Name::Address));
    names.sort();
    names.dedup();
    names
}

/// This machine's name, if it can stand in a certificate.
pub(super) fn own_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    match name.parse() {
        Ok(Name::Host(name)) if !name.starts_with("*.") => Some(name),
        _ => None,
    }
}

/// The addresses others may reach this machine at. A link-local one means nothing without its interface, which no
/// certificate names.
fn addresses() -> Vec<IpAddr> {
    // A system that does not tell has none, and the user names them with --tls-name.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let is_reachable = |address: &IpAddr| {
        !address.is_loopback()
            && match address {
                IpAddr::V4(four) => !four.is_link_local(),
                IpAddr::V6(six) => !six.is_unicast_link_local(),
            }
    };
    interfaces.iter().map(if_addrs::Interface::ip).filter(is_reachable).collect()
}

/// The address others in the same network reach this machine at, as far as the system would choose one. Nothing is sent
/// for it: connecting a datagram socket only looks at the routes. The address asked for is one of those kept for
/// documentation.
pub(super) fn toward_others() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn host_names_and_addresses_are_names_and_the_rest_is_refused_with_examples() {
        for (text, shown) in [
            ("Box.Example.", "box.example"),
            ("*.box.example", "*.box.example"),
            ("192.168.1.20", "192.168.1.20"),
            ("[fe80::1]", "fe80::1"),
            ("my_laptop", "my_laptop"),
        ] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), shown);
        }
        for text in ["", "a b", "https://box", "box:8033", "-x", "a..b", "*", "bücher.example", &"x".repeat(64)] {
            assert!(text.parse::<Name>().unwrap_err().to_string().contains("box.example"), "{text}");
        }
    }

    #[test]
    fn a_machine_is_reached_by_what_the_guide_tells_people_to_type() {
        let names: Vec<String> = of_this_machine().iter().map(ToString::to_string).collect();
        for name in ["localhost", "127.0.0.1", "::1", "host.docker.internal", "10.0.2.2"] {
            assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
        }
    }
}
