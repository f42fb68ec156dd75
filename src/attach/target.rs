//! Where a collector is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use url::{Host, Url};

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At a socket on this machine.
    Socket(PathBuf),
    /// At an address.
    Address {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Whether the connection is encrypted.
        secure: bool,
        /// What to ask for.
        path: String,
    },
    /// On another machine, at its usual socket, by the user's own ssh.
    Ssh {
        /// What ssh is told: a host, or an alias of one, and perhaps a user.
        destination: String,
        /// The port, where it is not the usual one.
        port: Option<u16>,
    },
}

/// A text that names no collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no collector: {why}. Expected ssh://HOST, ws://HOST:PORT, wss://HOST:PORT, or the path of a socket"
)]
pub struct TargetError {
    text: String,
    why: &'static str,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = |why| TargetError { text: text.to_owned(), why };
        let Some((scheme, rest)) = text.split_once("://") else {
            let is_path = text.contains('/') || text.ends_with(".sock");
            return if is_path { Ok(Self::Socket(text.into())) } else { Err(wrong("it has no scheme and is no path")) };
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Socket(rest.into())),
            "unix" => Err(wrong("a socket is named by its whole path: unix:///run/…")),
            "ssh" => ssh(rest).map_err(wrong),
            "ws" | "wss" => {
                let url: Url = text.parse().map_err(|_| wrong("it cannot be read as a URL"))?;
                if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
                    return Err(wrong("a token does not belong there, where everybody sees it: use --token-file"));
                }
                let host = match url.host() {
                    Some(Host::Ipv6(address)) => format!("[{address}]"),
                    Some(host) => host.to_string(),
                    None => return Err(wrong("there is no host in it")),
                };
                let secure = scheme == "wss";
                let port = url.port().unwrap_or(if secure { 443 } else { 80 });
                let path = match url.path() {
                    "" | "/" => crate::feed::PATH.to_owned(),
                    path => path.to_owned(),
                };
                Ok(Self::Address { host, port, secure, path })
            }
            _ => Err(wrong("the scheme is another")),
        }
    }
}

fn ssh(rest: &str) -> Result<Target, &'static str> {
    let rest = rest.trim_end_matches('/');
    if rest.contains('/') {
        return Err("what is behind the host has no meaning here");
    }
    // As ssh reads it: a colon behind the host begins a port, unless the host is an IPv6 address without brackets.
    let (destination, port) = match rest.rsplit_once(':') {
        Some((destination, port)) if !destination.contains(':') || destination.ends_with(']') => {
            (destination, Some(port.parse().map_err(|_| "its port is not a number up to 65535")?))
        }
        _ => (rest, None),
    };
    let destination = destination.replace(['[', ']'], "");
    let host = destination.rsplit('@').next().unwrap_or_default();
    // ssh would take such a name for an option, and an option can run anything.
    let is_option = destination.starts_with('-') || host.starts_with('-');
    if host.is_empty() || is_option || destination.contains(|it: char| it.is_whitespace() || it.is_control()) {
        return Err("there is no host in it");
    }
    Ok(Target::Ssh { destination, port })
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(formatter),
            Self::Address { host, port, secure, .. } => {
                write!(formatter, "{}://{host}:{port}", if *secure { "wss" } else { "ws" })
            }
            Self::Ssh { destination, port: None } => write!(formatter, "ssh://{destination}"),
            Self::Ssh { destination, port: Some(port) } => write!(formatter, "ssh://{destination}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sockets_addresses_and_hosts_are_told_apart() {
        let ssh = |destination: &str, port| Target::Ssh { destination: destination.into(), port };
        let address = |host: &str, port, secure, path: &str| Target::Address {
            host: host.into(),
            port,
            secure,
            path: path.into(),
        };
        for (text, target) in [
            ("ssh://staging", ssh("staging", None)),
            ("ssh://me@staging:2222/", ssh("me@staging", Some(2222))),
            ("ssh://me@[::1]:22", ssh("me@::1", Some(22))),
            ("ws://localhost:9000", address("localhost", 9000, false, "/feed")),
            ("wss://box.example/exptap/feed", address("box.example", 443, true, "/exptap/feed")),
            ("ws://[::1]:8034/", address("[::1]", 8034, false, "/feed")),
            ("unix:///run/a b.sock", Target::Socket("/run/a b.sock".into())),
            ("./collector.sock", Target::Socket("./collector.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        assert_eq!("ssh://me@staging:2222".parse::<Target>().unwrap().to_string(), "ssh://me@staging:2222");
    }

    #[test]
    fn what_could_be_taken_for_an_option_or_holds_a_secret_is_refused() {
        for text in [
            "staging",
            "http://staging",
            "ssh://",
            "ssh://-oProxyCommand=id",
            "ssh://me@-oProxyCommand=id",
            "ssh://a b",
            "ssh://a:port",
            "ssh://a/b",
            "ws://",
            "ws://me:secret@host",
            "ws://host?token=secret",
            "unix://relative",
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("ssh://HOST"), "{error}");
        }
    }
}
