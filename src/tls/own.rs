//! A certificate of the user's own.

use rustls::SignatureScheme;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// A file cannot be read.
    #[error("{option} {}: {error}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds something else.
    #[error("{option} {}: {why}", path.display())]
    Unfit {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// Certificate and key are of different pairs.
    #[error(
        "the key in {} is not the key of the certificate in {}: the first certificate of the chain must be the server's own",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// Two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What the two files come to.
pub(super) struct Own {
    pub(super) key: CertifiedKey,
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// What the user should know.
    pub(super) remarks: Vec<String>,
}

impl Files {
    /// When they were written last; another answer means that they are to be read again.
    pub(super) fn stamp(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
    }

    /// Reads them. `now_ms` is for remarks about a certificate that is not valid now.
    pub(super) fn read(&self, now_ms: i64) -> Result<Own, OwnError> {
        let chain = self.read_chain()?;
        let key = self.read_key()?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                OwnError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => {
                unfit("--tls-cert", &self.certificate, format!("its first certificate cannot be used: {error:?}"))
            }
            error => unfit(
                "--tls-key",
                &self.key,
                format!("the key cannot be used: {error}; expected RSA of 2048 bits or more, ECDSA (P-256, P-384) or Ed25519"),
            ),
        })?;
        let mut remarks = remarks(&chain, now_ms);
        if is_open_to_others(&self.key) {
            remarks.push(format!(
                "the key {} can be read by others: chmod 600 {0} unless that is meant",
                self.key.display()
            ));
        }
        // A phone offers the schemes it knows; with an odd key there may be none in common, which shows only there.
        if key.key.choose_scheme(&[SignatureScheme::ED25519]).is_some() {
            remarks.push("the key is an Ed25519 one, which browsers and phones do not take".to_owned());
        }
        Ok(Own { key, chain, remarks })
    }

    fn read_chain(&self) -> Result<Vec<CertificateDer<'static>>, OwnError> {
        let option = "--tls-cert";
        let bytes = read(option, &self.certificate)?;
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) => {
                let why = format!(
                    "there is no certificate in it{}; expected PEM: -----BEGIN CERTIFICATE-----",
                    holds(&bytes)
                );
                Err(unfit(option, &self.certificate, why))
            }
            Err(error) => Err(unfit(option, &self.certificate, format!("its PEM is damaged: {error}"))),
        }
    }

    fn read_key(&self) -> Result<PrivateKeyDer<'static>, OwnError> {
        let option = "--tls-key";
        let bytes = read(option, &self.key)?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let why = match error {
                pem::Error::NoItemsFound => format!(
                    "there is no private key in it{}; expected PEM without a password: -----BEGIN PRIVATE KEY-----",
                    holds(&bytes)
                ),
                error => format!("its PEM is damaged: {error}"),
            };
            unfit(option, &self.key, why)
        })
    }
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, OwnError> {
    fs::read(path).map_err(|error| OwnError::File { option, path: path.to_owned(), error })
}

fn unfit(option: &'static str, path: &Path, why: String) -> OwnError {
    OwnError::Unfit { option, path: path.to_owned(), why }
}

/// What a file holds instead: the commonest mix-ups, by their own headings.
fn holds(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        " but one with a password (openssl pkey takes it away)"
    } else if text.contains("PRIVATE KEY-----") {
        " but a private key"
    } else if text.contains("BEGIN CERTIFICATE REQUEST") {
        " but a request for one"
    } else if text.contains("BEGIN CERTIFICATE-----") {
        " but a certificate"
    } else {
        ""
    }
}

/// Whether others than the owner may read a file. A group may be the very one that renews certificates, so it is a
/// matter for a remark and not for a refusal.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

/// What devices will find fault with.
fn remarks(chain: &[CertificateDer<'static>], now_ms: i64) -> Vec<String> {
    let mut remarks = Vec::new();
    let Some((_, own)) = chain.first().and_then(|own| x509_parser::parse_x509_certificate(own).ok()) else {
        return remarks;
    };
    let day = |seconds: i64| {
        jiff::Timestamp::from_second(seconds)
            .map_or_else(|_| "?".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
    };
    let (from, to) = (own.validity().not_before.timestamp(), own.validity().not_after.timestamp());
    let now = now_ms / 1_000;
    if now > to {
        remarks.push(format!("the certificate ended on {}; nobody will take it", day(to)));
    } else if now < from {
        remarks.push(format!("the certificate is valid only from {}", day(from)));
    }
    if !matches!(own.subject_alternative_name(), Ok(Some(_))) {
        remarks.push("the certificate has no subject alternative name; clients do not look at any other".to_owned());
    }
    if own.is_ca() {
        remarks.push(
            "the certificate is one of a CA (openssl req -x509 makes such); Go, Rust and some phones take it for no server's"
                .to_owned(),
        );
    }
    remarks
}
