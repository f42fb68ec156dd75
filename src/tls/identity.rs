//! Who exptap says it is, to whoever connects.

use super::authority::{Authority, AuthorityError};
use super::names::toward_others;
use super::own::{Files, OwnError};
use super::{Name, fingerprint};
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// How often it is looked whether the certificate is due, at the most.
const LOOK_MS: i64 = 60_000;
/// So long before it ends a certificate is made anew.
pub(super) const RENEW_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Why exptap cannot say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The user's own certificate.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The one that is made.
    #[error(transparent)]
    Made(#[from] AuthorityError),
    /// Neither version of TLS is to be had.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What a person has to know to have exptap believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The file of the CA that devices are to trust; none: the certificate is the user's own.
    pub authority: Option<PathBuf>,
    /// SHA-256 of that CA, else of the certificate.
    pub fingerprint: String,
    /// The CA as PEM, for devices to fetch.
    pub pem: Option<String>,
    /// Where devices in the same network reach this machine, as far as it is known.
    pub reached_at: Option<IpAddr>,
    /// What the certificate is for; empty where it is the user's own.
    pub names: Vec<Name>,
}

impl Trust {
    /// Where a device in the same network reaches an address that is listened on; none: it cannot.
    pub fn reached_at(&self, address: SocketAddr) -> Option<SocketAddr> {
        match address.ip() {
            ip if ip.is_loopback() => None,
            ip if ip.is_unspecified() => self.reached_at.map(|ip| SocketAddr::new(ip, address.port())),
            _ => Some(address),
        }
    }
}

/// Who exptap says it is. While it runs the certificate is renewed before it ends, and one of the user's own is read
/// again when its files are written.
pub struct Identity {
    source: Source,
    trust: Trust,
    current: Mutex<Current>,
}

enum Source {
    Made { folder: PathBuf, names: Vec<Name> },
    Own(Files),
}

struct Current {
    config: Arc<ServerConfig>,
    looked_ms: i64,
    not_after_ms: i64,
    stamp: [Option<SystemTime>; 2],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing of a key.
        formatter.debug_tuple("Identity").field(&self.trust).finish()
    }
}

impl Identity {
    /// One that is made, or was made before, in a folder. With it comes what the user should know.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn made(folder: PathBuf, names: Vec<Name>, now_ms: i64) -> Result<(Self, Vec<String>), IdentityError> {
        let (authority, remarks) = Authority::open(&folder, now_ms)?;
        let (key, not_after_ms) = authority.server(&names, now_ms)?;
        let trust = Trust {
            authority: Some(authority.file()),
            fingerprint: fingerprint(authority.der()),
            pem: Some(authority.pem().to_owned()),
            reached_at: toward_others(),
            names: names.clone(),
        };
        let current = Current { config: config(key)?, looked_ms: now_ms, not_after_ms, stamp: [None; 2] };
        Ok((Self { source: Source::Made { folder, names }, trust, current: Mutex::new(current) }, remarks))
    }

    /// The user's own. With it comes what the user should know.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn own(certificate: PathBuf, key: PathBuf, now_ms: i64) -> Result<(Self, Vec<String>), IdentityError> {
        let files = Files { certificate, key };
        let stamp = files.stamp();
        let own = files.read(now_ms)?;
        let fingerprint = own.chain.first().map(|own| fingerprint(own)).unwrap_or_default();
        let trust = Trust { authority: None, fingerprint, pem: None, reached_at: None, names: Vec::new() };
        let current = Current { config: config(own.key)?, looked_ms: now_ms, not_after_ms: i64::MAX, stamp };
        Ok((Self { source: Source::Own(files), trust, current: Mutex::new(current) }, own.remarks))
    }

    /// What a person has to know.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What connections are made by now. Where a new certificate cannot be had the one there is goes on being shown: who
    /// does not take it any more says so, and it is asked for again a minute later.
    pub(super) fn config(&self, now_ms: i64) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms.saturating_sub(current.looked_ms) < LOOK_MS {
            return Arc::clone(&current.config);
        }
        current.looked_ms = now_ms;
        match &self.source {
            Source::Made { folder, names } if current.not_after_ms.saturating_sub(now_ms) < RENEW_MS => {
                let renewed = Authority::open(folder, now_ms).and_then(|(it, _)| it.server(names, now_ms));
                if let Ok((key, not_after_ms)) = renewed
                    && let Ok(config) = config(key)
                {
                    (current.config, current.not_after_ms) = (config, not_after_ms);
                }
            }
            Source::Own(files) if files.stamp() != current.stamp => {
                let stamp = files.stamp();
                if let Ok(own) = files.read(now_ms)
                    && let Ok(config) = config(own.key)
                {
                    (current.config, current.stamp) = (config, stamp);
                }
            }
            _ => {}
        }
        Arc::clone(&current.config)
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1, and no certificate asked of clients.
fn config(key: CertifiedKey) -> Result<Arc<ServerConfig>, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(IdentityError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    const NOW_MS: i64 = 1_795_737_600_000;
    const DAY_MS: i64 = 24 * 3_600 * 1_000;

    #[test]
    fn while_it_runs_a_certificate_is_made_anew_before_it_ends_and_not_sooner() {
        let folder = tempfile::tempdir().unwrap();
        let names = vec![Name::Host("localhost".into())];
        let (identity, _) = Identity::made(folder.path().to_owned(), names, NOW_MS).unwrap();
        let first = identity.config(NOW_MS);
        assert!(Arc::ptr_eq(&first, &identity.config(NOW_MS + 365 * DAY_MS)));
        let renewed = identity.config(NOW_MS + 367 * DAY_MS);
        assert!(!Arc::ptr_eq(&first, &renewed));
        assert!(Arc::ptr_eq(&renewed, &identity.config(NOW_MS + 368 * DAY_MS)));
        // Where none can be made the one there is goes on being shown.
        fs::remove_file(folder.path().join("ca.key")).unwrap();
        assert!(Arc::ptr_eq(&renewed, &identity.config(NOW_MS + 2_000 * DAY_MS)));
    }

    #[test]
    fn files_of_the_users_own_are_read_again_when_they_are_written_and_half_a_renewal_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("box.pem"), folder.path().join("box.key"));
        let made = || rcgen::generate_simple_self_signed(["box.example".to_owned()]).unwrap();
        let mut hour = 0;
        let mut write = |path: &PathBuf, text: String| {
            fs::write(path, text).unwrap();
            // Told apart by the time of writing, which must not depend on how fast this goes.
            hour += 1;
            let written = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(hour * 3_600);
            fs::File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
        };
        let first = made();
        write(&certificate, first.cert.pem());
        write(&key, first.signing_key.serialize_pem());
        let (identity, _) = Identity::own(certificate.clone(), key.clone(), NOW_MS).unwrap();
        let before = identity.config(NOW_MS + LOOK_MS);
        let second = made();
        write(&certificate, second.cert.pem());
        assert!(Arc::ptr_eq(&before, &identity.config(NOW_MS + 2 * LOOK_MS)), "the key is still the old one's");
        write(&key, second.signing_key.serialize_pem());
        assert!(Arc::ptr_eq(&before, &identity.config(NOW_MS + 2 * LOOK_MS + 1)), "it is not looked all the time");
        assert!(!Arc::ptr_eq(&before, &identity.config(NOW_MS + 3 * LOOK_MS)));
    }
}
