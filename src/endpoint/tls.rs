//! Connections where the endpoint speaks TLS, and clients that take it for what it is not: TLS to a plain address,
//! clear text to an encrypted one, and the commonest of all, a device that does not believe the certificate. Each of
//! them would otherwise look like an SDK that sends nothing, so each is counted and said.

use super::Limits;
use super::answer::Asked;
use super::connection::{self, Ended};
use super::handle::{Handler, now_ms};
use super::lifetime::{Lifetime, Phase};
use super::mask;
use super::places::Place;
use super::receive::Stream;
use crate::tls::{self, Failed, Identity, Name, Opened, Patience, Trust};
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// Where a device fetches the CA it is to trust: over clear text too, for it can trust nothing else yet. Whoever installs
/// it compares the fingerprint.
pub const AUTHORITY_PATH: &str = "/exptap-ca.pem";
/// A client that does not believe a certificate may finish the handshake first and leave then, without a word (Node
/// does). Browsers also leave connections they never used, but later.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Serves one connection, whatever it turns out to be.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    place: &Place,
    handler: &Handler,
    mut lifetime: Lifetime,
) {
    let peer = peer.ip().to_canonical();
    let Some(identity) = &handler.tls else {
        let answer = |request, framing| handler.answer(request, framing, lifetime.clone());
        let ended = connection::serve(stream, place, handler.limits, &handler.status, lifetime.clone(), answer).await;
        if ended.first_byte.is_some_and(tls::begins_tls) {
            handler.status.handshake_failed();
            handler.status.hinted(now_ms(), tls_to_a_plain_address(peer));
        }
        return;
    };
    let Limits { idle, header_read, .. } = handler.limits;
    let patience = Patience { idle, handshake: header_read };
    let accepted = tokio::select! {
        accepted = tls::accept(stream, identity, patience, now_ms()) => accepted,
        () = place.is_wanted() => return handler.status.connection_displaced(),
        () = lifetime.reached(Phase::Draining) => return,
    };
    match accepted {
        Ok(Opened::Secure(stream)) => {
            let answer = async |request: Request<Incoming>, framing| match authority(identity, &request) {
                Some(authority) => authority,
                None => handler.answer(request, framing, lifetime.clone()).await,
            };
            let ended =
                connection::serve(stream, place, handler.limits, &handler.status, lifetime.clone(), answer).await;
            if let Ended { first_byte: None, after, by_client: true } = ended
                && after < AT_ONCE
            {
                handler.status.handshake_failed();
                handler.status.hinted(now_ms(), left_without_a_request(peer, identity.trust()));
            }
        }
        Ok(Opened::Plain(stream)) => {
            let answer = |request, _| in_clear(request, peer, identity, handler);
            connection::serve(stream, place, handler.limits, &handler.status, lifetime.clone(), answer).await;
        }
        Err(Failed::Silent) => {}
        Err(failed) => {
            handler.status.handshake_failed();
            handler.status.hinted(now_ms(), sentence(&failed, peer, identity.trust()));
        }
    }
}

/// Answers a request in clear text to an encrypted address. What it carries is not taken: whoever asked for TLS did not
/// want keys and contexts to go over the network as they are, and an SDK tries again.
async fn in_clear(request: Request<Incoming>, peer: IpAddr, identity: &Identity, handler: &Handler) -> Response<Body> {
    if let Some(authority) = authority(identity, &request) {
        return authority;
    }
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers);
    let at = mask::mask_address(parts.uri.path());
    let hint = format!(
        "{} {at}: {peer} speaks plain http, and this address speaks TLS: its events URI must begin with https://",
        parts.method
    );
    handler.status.plain_request();
    handler.status.hinted(now_ms(), hint);
    // Read to the end, or the client may see a connection that breaks off instead of the answer.
    let _ = Stream::passing(body, handler.limits.idle).drain(&handler.status).await;
    let mut text = "this address speaks TLS, and nothing was taken: use https:// in front of it".to_owned();
    if identity.trust().pem.is_some() {
        text.push_str(&format!(
            ". {AUTHORITY_PATH} is the CA to trust; compare its fingerprint with the one exptap shows"
        ));
    }
    asked.last_sentence(StatusCode::BAD_REQUEST, &text)
}

/// The CA, where it is asked for and is exptap's own.
fn authority(identity: &Identity, request: &Request<Incoming>) -> Option<Response<Body>> {
    // What downloads files on a phone looks with HEAD first.
    let is_asked_for =
        |method: &Method, uri: &Uri| matches!(*method, Method::GET | Method::HEAD) && uri.path() == AUTHORITY_PATH;
    let pem = identity.trust().pem.clone().filter(|_| is_asked_for(request.method(), request.uri()))?;
    let mut response = Response::new(Body::from(pem));
    // What phones know as a certificate to be installed.
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-x509-ca-cert"));
    Some(response)
}

fn tls_to_a_plain_address(peer: IpAddr) -> String {
    format!("{peer} speaks TLS, and this address speaks plain http: give it http:// here, or start exptap with --tls")
}

fn left_without_a_request(peer: IpAddr, trust: &Trust) -> String {
    format!("{peer} left right after the TLS handshake without a request: if it is an SDK, {}", believe(trust))
}

fn sentence(failed: &Failed, peer: IpAddr, trust: &Trust) -> String {
    match failed {
        Failed::Silent => format!("{peer} said nothing"),
        Failed::Slow => format!("{peer} was let go: it took too long over the TLS handshake"),
        Failed::Left { asked } => {
            let remedy = other_name(asked.as_deref(), trust).unwrap_or_else(|| believe(trust));
            format!(
                "{peer} left in the middle of the TLS handshake, as apps do that do not believe a certificate: {remedy}"
            )
        }
        Failed::Distrusts { alert, .. } if alert == "certificate_expired" => format!(
            "{peer} says that the certificate has ended ({alert}): look at its clock, and whether the certificate is valid"
        ),
        Failed::Distrusts { alert, asked } => {
            let remedy = other_name(asked.as_deref(), trust).unwrap_or_else(|| believe(trust));
            format!("{peer} does not believe exptap's certificate ({alert}): {remedy}")
        }
        Failed::Broken { why } => format!("{peer} and exptap cannot agree on TLS: {why}. exptap speaks 1.2 and 1.3"),
    }
}

/// What to do so that a certificate is believed.
fn believe(trust: &Trust) -> String {
    match &trust.authority {
        Some(path) => format!("have it trust the CA {} (docs/sources.md#tls)", path.display()),
        None => "its CA is unknown there, or --tls-cert lacks the certificates in between".to_owned(),
    }
}

/// What to do where the certificate is for other names than the one a client asked for.
fn other_name(asked: Option<&str>, trust: &Trust) -> Option<String> {
    let asked = asked?;
    let fits = |name: &Name| match name {
        Name::Host(host) => match host.strip_prefix("*.") {
            Some(rest) => asked.split_once('.').is_some_and(|(_, behind)| behind.eq_ignore_ascii_case(rest)),
            None => host.eq_ignore_ascii_case(asked),
        },
        Name::Address(_) => false,
    };
    if trust.names.is_empty() || trust.names.iter().any(fits) {
        return None;
    }
    Some(format!("it asked for {asked}, which the certificate is not for: start exptap with --tls-name {asked}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(names: &[&str]) -> Trust {
        let names = names.iter().map(|name| Name::Host((*name).to_owned())).collect();
        Trust { authority: Some("/data/ca.pem".into()), fingerprint: "AB".into(), pem: None, reached_at: None, names }
    }

    #[test]
    fn a_client_that_asks_for_another_name_is_told_of_the_name_and_not_of_the_authority() {
        let peer = IpAddr::from([192, 168, 1, 7]);
        let said = |asked: Option<&str>| {
            let failed = Failed::Distrusts { alert: "bad_certificate".into(), asked: asked.map(str::to_owned) };
            sentence(&failed, peer, &trust(&["localhost", "*.box.example"]))
        };
        let of_the_authority = "192.168.1.7 does not believe exptap's certificate (bad_certificate): have it trust the CA \
                                /data/ca.pem (docs/sources.md#tls)";
        for asked in [None, Some("localhost"), Some("LOCALHOST"), Some("a.box.example")] {
            assert_eq!(said(asked), of_the_authority, "{asked:?}");
        }
        assert_eq!(
            said(Some("my-box")),
            "192.168.1.7 does not believe exptap's certificate (bad_certificate): it asked for my-box, which the \
             certificate is not for: start exptap with --tls-name my-box"
        );
    }
}
