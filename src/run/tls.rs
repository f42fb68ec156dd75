//! Encryption as the user asks for it: one identity for every address, and what to say of it.

use super::{BAD_INPUT, now_ms, say};
use crate::cli;
use crate::endpoint::{AUTHORITY_PATH, ListenOn};
use crate::tls::{Identity, Name, Trust, default_folder, of_this_machine};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

/// Who to be at which door.
#[derive(Clone, Default)]
pub(super) struct Encryption {
    /// Where SDKs send to; none: plain HTTP.
    pub(super) events: Option<Arc<Identity>>,
    /// Where viewers look on; none: it is not encrypted.
    pub(super) feed: Option<Arc<Identity>>,
}

/// What the user asks for. What they should know of it is said.
///
/// # Errors
/// The exit code to end with; why is said.
pub(super) fn prepare(asked: &cli::Tls, receiving: &cli::Receiving, feed: &cli::Feed) -> Result<Encryption, ExitCode> {
    if !asked.tls && !asked.feed_tls {
        return Ok(Encryption::default());
    }
    let failed = |why: &dyn std::fmt::Display| {
        say(why);
        ExitCode::from(BAD_INPUT)
    };
    let made = match (&asked.tls_cert, &asked.tls_key) {
        (Some(certificate), Some(key)) => Identity::own(certificate.clone(), key.clone(), now_ms()),
        _ => {
            let folder = default_folder(|name| std::env::var_os(name)).ok_or_else(|| {
                failed(&"there is no folder to keep a certificate in: set XDG_DATA_HOME or HOME, or give one with --tls-cert and --tls-key")
            })?;
            Identity::made(folder, names(asked, receiving, feed), now_ms())
        }
    };
    let (identity, remarks) = made.map_err(|error| failed(&error))?;
    remarks.iter().for_each(say);
    let identity = Arc::new(identity);
    let events = asked.tls.then(|| Arc::clone(&identity));
    Ok(Encryption { events, feed: Some(identity) })
}

/// Everything the certificate is to be for.
fn names(asked: &cli::Tls, receiving: &cli::Receiving, feed: &cli::Feed) -> Vec<Name> {
    let mut names = of_this_machine();
    names.extend(asked.tls_name.iter().cloned());
    names.extend(feed.feed_host.iter().filter_map(|host| host.parse().ok()));
    let listening = receiving.listen.and_then(|listen| match listen {
        ListenOn::Address(address) => Some(address.ip()),
        ListenOn::Loopback(_) => None,
    });
    let addresses = listening.into_iter().chain(feed.feed.map(|address| address.ip()));
    names.extend(addresses.filter(|address| !address.is_unspecified()).map(Name::Address));
    names.sort();
    names.dedup();
    names
}

/// Lines for whoever starts it: what devices are to trust.
pub(super) fn told(trust: &Trust, address: Option<&SocketAddr>) -> Vec<String> {
    let Some(path) = &trust.authority else {
        return vec![format!("certificate SHA-256 {}", trust.fingerprint)];
    };
    let mut lines =
        vec![format!("devices must trust the CA {}", path.display()), format!("its SHA-256 is {}", trust.fingerprint)];
    if let Some(reached) = address.and_then(|address| trust.reached_at(*address)) {
        lines.push(format!("a phone fetches it from http://{reached}{AUTHORITY_PATH}"));
    }
    lines
}
