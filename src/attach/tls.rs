//! Whom a viewer believes, and what to do where it does not believe a collector.

use super::{ConnectError, Target};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Who vouches for a collector at `wss://`.
#[derive(Clone, Debug, Default)]
pub enum Vouching {
    /// The authorities this machine trusts.
    #[default]
    Machine,
    /// One, and no other.
    Authority {
        /// The file it was read from.
        path: PathBuf,
        /// What was in it.
        roots: Arc<RootCertStore>,
    },
}

impl Vouching {
    /// Reads an authority, or several, from a file.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|error| format!("--ca {shown}: {error}"))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| format!("--ca {shown}: its PEM is damaged: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("--ca {shown}: a certificate in it cannot be used: {error}"))?;
        }
        if roots.is_empty() {
            return Err(format!(
                "--ca {shown}: there is no certificate in it; expected PEM (-----BEGIN CERTIFICATE-----), such as the \
                 ca.pem a collector names when it starts"
            ));
        }
        Ok(Self::Authority { path: path.to_owned(), roots: Arc::new(roots) })
    }

    /// What makes encrypted connections.
    pub(super) fn connector(&self) -> Result<TlsConnector, String> {
        use hyper_rustls::ConfigBuilderExt;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.and_then(|builder| match self {
            Self::Machine => Ok(builder.try_with_platform_verifier()?.with_no_client_auth()),
            Self::Authority { roots, .. } => {
                Ok(builder.with_root_certificates(Arc::clone(roots)).with_no_client_auth())
            }
        });
        let config = config.map_err(|error| format!("no encrypted connection can be made: {error}"))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Why no encrypted connection came about. What is wrong with a certificate stays wrong: it is not tried again.
    pub(super) fn explain(&self, error: &io::Error, target: &Target) -> ConnectError {
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(error)) => {
                ConnectError::Refused(format!("{target} is not believed: {}", self.certificate(error)))
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                ConnectError::Refused(format!("{target} speaks no TLS: attach with ws:// if that is meant"))
            }
            Some(error) => ConnectError::Refused(format!("{target} and this program cannot agree on TLS: {error}")),
            None => ConnectError::Unreachable(format!("{target} breaks off: {error}")),
        }
    }

    fn certificate(&self, error: &CertificateError) -> String {
        match (error, self) {
            (CertificateError::UnknownIssuer, Self::Machine) => {
                "nobody this machine trusts vouches for its certificate; give the collector's CA with --ca FILE (the \
                 collector says at its start where it is)"
                    .to_owned()
            }
            (CertificateError::UnknownIssuer | CertificateError::BadSignature, Self::Authority { path, .. }) => {
                format!(
                    "the CA in {} does not vouch for its certificate; it is another collector's, or an older one",
                    path.display()
                )
            }
            (CertificateError::NotValidForName, _) => {
                "its certificate is for another name; start the collector with --tls-name and this one".to_owned()
            }
            (CertificateError::NotValidForNameContext { expected, presented }, _) => format!(
                "its certificate is not for {}, but for {}; start the collector with --tls-name and this one",
                expected.to_str(),
                presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
            ),
            (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
                "its certificate has ended, or this machine's clock is ahead".to_owned()
            }
            (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
                "its certificate is not valid yet, or this machine's clock is behind".to_owned()
            }
            (error, _) => format!("its certificate: {error}"),
        }
    }
}

/// A name as people write it: what the certificate's reader says is `DnsName("box")`.
fn plain(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')')).trim_matches('"')
}
