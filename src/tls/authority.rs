//! The certificate authority exptap is for its user: made once, kept, and installed on a device a single time.
//!
//! The certificate that is shown to clients is another one, signed by it, because phones take none that signs itself or
//! lasts for years; it is kept as well, so that whoever accepted it in a browser is not asked again at every start.

use super::identity::RENEW_MS;
use super::{Name, fingerprint, names};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustix::fs::{FlockOperation, flock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// A device trusts it once for so long.
const AUTHORITY_DAYS: i64 = 3_650;
/// Phones take no certificate that is valid for more than 398 days.
const SERVER_DAYS: i64 = 396;
/// Clocks differ: a phone's or an emulator's may be behind.
const EARLIER_DAYS: i64 = 1;

const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
const LOCK: &str = ".lock";

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("the certificate of exptap's own cannot be kept: {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A key that others can read is nobody's.
    #[error(
        "{path} can be read by others, who could then pass for any site to a device that trusts this CA: chmod 600 {path}, \
         or, if somebody did read it, remove the folder, and the CA from your devices",
        path = .0.display()
    )]
    Open(PathBuf),
    /// What is there is not what exptap writes there.
    #[error("{}: {why}; put it right, or remove the folder to have a new CA made, which devices must trust anew", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("no certificate can be made: {0}")]
    Make(String),
}

/// Where the authority of this user is kept; none: there is no place for files of theirs.
pub fn default_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = given("XDG_DATA_HOME").or_else(|| given("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("exptap").join("tls"))
}

/// An authority, and the folder it is kept in, which is locked meanwhile.
pub(super) struct Authority {
    folder: PathBuf,
    key: KeyPair,
    pem: String,
    certificate: CertificateDer<'static>,
    not_after_ms: i64,
    _lock: File,
}

impl Authority {
    /// Opens the one in a folder, or makes one there. With it comes what the user should know.
    pub(super) fn open(folder: &Path, now_ms: i64) -> Result<(Self, Vec<String>), AuthorityError> {
        let cannot = |path: &Path| {
            let path = path.to_owned();
            move |error| AuthorityError::File { path, error }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot(folder))?;
        let lock_path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(cannot(&lock_path))?;
        // Two that start at once would otherwise make two, and one of them would be trusted by no device.
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| cannot(&lock_path)(error.into()))?;
        let mut remarks = Vec::new();
        // Without its certificate a key is the rest of an attempt that was cut off: no device can trust it yet.
        if let Some(pem) = read(&folder.join(AUTHORITY))? {
            let (key, certificate, not_after_ms) = kept(folder, &pem)?;
            if not_after_ms.saturating_sub(now_ms) > RENEW_MS {
                let it = Self { folder: folder.to_owned(), key, pem, certificate, not_after_ms, _lock: lock };
                return Ok((it, remarks));
            }
            remarks
                .push("the CA that was there ends soon, and a new one was made: devices must trust it anew".to_owned());
        }
        let key = KeyPair::generate().map_err(make)?;
        let made = authority_params(&key, now_ms).self_signed(&key).map_err(make)?;
        write(folder, AUTHORITY_KEY, &key.serialize_pem(), 0o600)?;
        write(folder, AUTHORITY, &made.pem(), 0o644)?;
        let not_after_ms = now_ms.saturating_add(AUTHORITY_DAYS * DAY_MS);
        let (pem, certificate) = (made.pem(), made.der().clone());
        Ok((Self { folder: folder.to_owned(), key, pem, certificate, not_after_ms, _lock: lock }, remarks))
    }

    /// The file of its certificate.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    /// Its certificate.
    pub(super) fn der(&self) -> &[u8] {
        &self.certificate
    }

    /// Its certificate as PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for these names with its key, and when it ends: the one that is kept where it will do.
    pub(super) fn server(&self, names: &[Name], now_ms: i64) -> Result<(CertifiedKey, i64), AuthorityError> {
        if let Some(kept) = self.kept_server(names, now_ms)? {
            return Ok(kept);
        }
        let key = KeyPair::generate().map_err(make)?;
        // None outlasts whoever vouches for it.
        let not_after_ms = now_ms.saturating_add(SERVER_DAYS * DAY_MS).min(self.not_after_ms);
        let params = server_params(names, now_ms, not_after_ms)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key).map_err(make)?;
        let made = params.signed_by(&key, &issuer).map_err(make)?;
        let key_pem = key.serialize_pem();
        write(&self.folder, SERVER_KEY, &key_pem, 0o600)?;
        write(&self.folder, SERVER, &made.pem(), 0o644)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(make)?;
        Ok((certified(made.der().clone(), key).map_err(make)?, not_after_ms))
    }

    /// The one that is kept, if it is for all these names, from this authority, and lasts.
    fn kept_server(&self, names: &[Name], now_ms: i64) -> Result<Option<(CertifiedKey, i64)>, AuthorityError> {
        let (Some(pem), Some(key)) = (read(&self.folder.join(SERVER))?, read(&self.folder.join(SERVER_KEY))?) else {
            return Ok(None);
        };
        // Whatever is wrong with it, a new one is as good: devices trust the authority.
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok();
        let Some((certificate, key)) = certificate.zip(key) else { return Ok(None) };
        let not_after_ms = {
            let Ok((_, read)) = x509_parser::parse_x509_certificate(&certificate) else { return Ok(None) };
            let Ok((_, ours)) = x509_parser::parse_x509_certificate(&self.certificate) else { return Ok(None) };
            let (not_before_ms, not_after_ms) = validity_ms(&read);
            let lasts = not_before_ms <= now_ms && not_after_ms.saturating_sub(now_ms) > RENEW_MS;
            let is_ours = read.verify_signature(Some(ours.public_key())).is_ok();
            if !lasts || !is_ours || !names.iter().all(|name| is_for(&read, name)) {
                return Ok(None);
            }
            not_after_ms
        };
        Ok(certified(certificate, key).ok().map(|key| (key, not_after_ms)))
    }
}

fn certified(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(vec![certificate], key, &rustls::crypto::ring::default_provider())
}

/// The authority that is kept: its key, its certificate, and when it ends.
fn kept(folder: &Path, pem: &str) -> Result<(KeyPair, CertificateDer<'static>, i64), AuthorityError> {
    let unfit = |name: &str, why: &str| AuthorityError::Unfit { path: folder.join(name), why: why.to_owned() };
    let key_path = folder.join(AUTHORITY_KEY);
    let key = read(&key_path)?.ok_or_else(|| unfit(AUTHORITY_KEY, "the key of the CA beside it is gone"))?;
    let mode = fs::metadata(&key_path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Open(key_path));
    }
    let key = KeyPair::from_pem(&key).map_err(|_| unfit(AUTHORITY_KEY, "it holds no private key"))?;
    let certificate =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unfit(AUTHORITY, "it holds no certificate"))?;
    let not_after_ms = {
        let (_, read) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| unfit(AUTHORITY, "its certificate cannot be read"))?;
        if read.public_key().raw != key.subject_public_key_info() {
            return Err(unfit(AUTHORITY_KEY, "it is not the key of the CA beside it"));
        }
        validity_ms(&read).1
    };
    Ok((key, certificate, not_after_ms))
}

fn authority_params(key: &KeyPair, now_ms: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    set_validity(&mut params, now_ms - EARLIER_DAYS * DAY_MS, now_ms.saturating_add(AUTHORITY_DAYS * DAY_MS));
    // Which machine's it is must be told apart in a phone's list, where several may stand. Two of the same name would be
    // taken for one another, and the newer one's signatures for forged ones, so that it is not the machine's name alone.
    let machine = names::own_name().unwrap_or_else(|| "this machine".to_owned());
    let own: String = fingerprint(&key.subject_public_key_info()).replace(':', "").chars().take(8).collect();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "exptap");
    name.push(DnType::CommonName, format!("exptap on {} {own}", machine.chars().take(40).collect::<String>()));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(names: &[Name], now_ms: i64, not_after_ms: i64) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    set_validity(&mut params, now_ms - EARLIER_DAYS * DAY_MS, not_after_ms);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "exptap");
    params.distinguished_name = name;
    for name in names {
        params.subject_alt_names.push(match name {
            Name::Host(host) => SanType::DnsName(host.as_str().try_into().map_err(make)?),
            Name::Address(address) => SanType::IpAddress(*address),
        });
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Lets a certificate begin and end with a day, UTC.
fn set_validity(params: &mut CertificateParams, from_ms: i64, to_ms: i64) {
    let [from, to] = [from_ms, to_ms].map(|epoch_ms| {
        let date = jiff::Timestamp::from_millisecond(epoch_ms).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
        let part = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    });
    (params.not_before, params.not_after) = (from, to);
}

fn validity_ms(certificate: &X509Certificate<'_>) -> (i64, i64) {
    let ms = |seconds: i64| seconds.saturating_mul(1_000);
    let validity = certificate.validity();
    (ms(validity.not_before.timestamp()), ms(validity.not_after.timestamp()))
}

fn is_for(certificate: &X509Certificate<'_>, name: &Name) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|given| match (given, name) {
        (GeneralName::DNSName(given), Name::Host(host)) => given == host,
        (GeneralName::IPAddress(given), Name::Address(IpAddr::V4(address))) => *given == address.octets(),
        (GeneralName::IPAddress(given), Name::Address(IpAddr::V6(address))) => *given == address.octets(),
        _ => false,
    })
}

fn make(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Make(error.to_string())
}

/// What a file holds; none: there is no such file.
fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AuthorityError::File { path: path.to_owned(), error }),
    }
}

/// Writes a file as a whole or not at all, at no moment open to others than it is meant to be.
fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let path = folder.join(name);
    let written = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    written().map_err(|error| AuthorityError::File { path: path.clone(), error })
}
