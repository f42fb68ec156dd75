//! Encryption, in the words of `--help`.

use crate::tls::Name;
use clap::Args;
use std::path::PathBuf;

/// Encryption, and who exptap says it is.
#[derive(Debug, Clone, Default, Args)]
pub struct Tls {
    /// Speak TLS: https:// where SDKs send to, and wss:// at --feed. Phones take nothing else. Without --tls-cert a
    /// certificate is made, with a CA that devices are to trust once; the address, the CA's file and its fingerprint are
    /// shown.
    #[arg(long, group = "encrypted")]
    pub tls: bool,
    /// Speak TLS at --feed alone, while SDKs go on sending to http://.
    #[arg(long, requires = "feed", group = "encrypted")]
    pub feed_tls: bool,
    /// A certificate of your own: PEM, the server's first and then those in between. It is read again when it is renewed.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "encrypted"])]
    pub tls_cert: Option<PathBuf>,
    /// Its key: PEM, without a password.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Another name or address the certificate that is made is for, beside this machine's. May be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "tls_cert", requires = "encrypted")]
    pub tls_name: Vec<Name>,
}
