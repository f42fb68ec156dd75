//! Who may enter the read side.
//!
//! What listens on this machine can be reached by every web page that is open on it: a page may send requests to
//! 127.0.0.1, or have its own name point there. Either shows in what a browser cannot leave out: `Origin`, and `Host`.
//! No program that has business here sends an `Origin`, so any is refused.

use super::Token;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode};

/// What a door asks of a request.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// The token; none: whoever could connect may enter.
    pub token: Option<Token>,
    /// The names it may be asked by; none: it has none, being a file.
    pub hosts: Option<Vec<String>>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A web page made it.
    Origin,
    /// It asks for somebody else.
    Host,
    /// It lacks the token, or has another.
    Token,
}

impl Refusal {
    /// The answer's status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Origin | Self::Host => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// What is said.
    pub fn words(self) -> &'static str {
        match self {
            Self::Origin => "requests of web pages are not answered here\n",
            Self::Host => {
                "this is not the name this is reached by; start the collector with --feed-host NAME to allow another\n"
            }
            Self::Token => "the token is missing or wrong: send Authorization: Bearer TOKEN\n",
        }
    }
}

impl Guard {
    /// A guard of an address: its own names and loopback's, and more if others reach it by more.
    pub fn at(address: std::net::SocketAddr, token: Token, names: Vec<String>) -> Self {
        let ip = address.ip();
        let own = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
        hosts.extend(std::iter::once(own).chain(names).map(|name| name.to_ascii_lowercase()));
        Self { token: Some(token), hosts: Some(hosts) }
    }

    /// Whether a request can be one of a program that means this door.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(ORIGIN) {
            return Err(Refusal::Origin);
        }
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let mut asked = headers.get_all(HOST).iter();
        let (Some(host), None) = (asked.next(), asked.next()) else { return Err(Refusal::Host) };
        // What cannot be read as a name and a port is nobody's.
        let authority: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
        let name = authority.and_then(|authority| {
            let port = authority.as_str().strip_prefix(authority.host())?;
            let is_whole = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
            is_whole.then(|| authority.host().to_ascii_lowercase())
        });
        if name.is_some_and(|name| hosts.contains(&name)) { Ok(()) } else { Err(Refusal::Host) }
    }

    /// Whether a request has the token.
    ///
    /// # Errors
    /// It has not.
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (Some(given), None) if token.opens(given.as_bytes()) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;

    const TOKEN: &str = "0123456789abcdef";

    fn guard() -> Guard {
        let token = Token::of(TOKEN, "test").unwrap();
        Guard::at(([127, 0, 0, 1], 8034).into(), token, vec!["Staging.example".into()])
    }

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn own_names_are_let_in_with_any_port_since_a_tunnel_has_another() {
        for host in [
            "localhost",
            "localhost:9000",
            "127.0.0.1:8034",
            "[::1]:1",
            "LOCALHOST",
            "staging.example",
            "STAGING.example:443",
        ] {
            assert_eq!(guard().check(&headers(&[("host", host.as_bytes())])), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_that_point_here_malformed_ones_and_two_at_once_are_refused() {
        let hosts: [&[u8]; 12] = [
            b"evil.example",
            b"localhost.evil.example",
            b"127.0.0.1.evil.example:8034",
            b"",
            b":8034",
            b"localhost:x",
            b"[::1",
            b"local host",
            b"localhost@evil.example",
            b"evil@localhost",
            b"\xff\xfe",
            b"localhost/feed",
        ];
        for host in hosts {
            let checked = guard().check(&headers(&[("host", host)]));
            assert_eq!(checked, Err(Refusal::Host), "{}", String::from_utf8_lossy(host));
        }
        assert_eq!(guard().check(&HeaderMap::new()), Err(Refusal::Host));
        let two = headers(&[("host", b"localhost"), ("host", b"evil.example")]);
        assert_eq!(guard().check(&two), Err(Refusal::Host));
    }

    #[test]
    fn a_web_page_is_refused_whatever_it_calls_itself_also_at_a_socket() {
        let origins: [&[u8]; 5] = [b"null", b"http://localhost:8034", b"https://evil.example", b"", b"\xff"];
        for origin in origins {
            let headers = headers(&[("host", b"localhost"), ("origin", origin)]);
            assert_eq!(guard().check(&headers), Err(Refusal::Origin));
            assert_eq!(Guard::default().check(&headers), Err(Refusal::Origin));
        }
        assert_eq!(Guard::default().check(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn one_token_opens_and_two_do_not() {
        let given = format!("Bearer {TOKEN}");
        assert_eq!(guard().check_token(&headers(&[("authorization", given.as_bytes())])), Ok(()));
        let twice = headers(&[("authorization", given.as_bytes()), ("authorization", b"Bearer x")]);
        assert_eq!(guard().check_token(&twice), Err(Refusal::Token));
        assert_eq!(guard().check_token(&HeaderMap::new()), Err(Refusal::Token));
        assert_eq!(Guard::default().check_token(&HeaderMap::new()), Ok(()));
        assert_eq!((Refusal::Token.status().as_u16(), Refusal::Host.status().as_u16()), (401, 403));
    }
}
