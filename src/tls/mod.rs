//! TLS where others connect to: SDKs at the endpoint, viewers at the feed.
//!
//! ```text
//!  --tls-cert, --tls-key ──▶ own ────────┐
//!  a folder of the user's ──▶ authority ─┴─▶ Identity ──▶ accept: a connection, or why there is none
//! ```
//!
//! Phones refuse clear text, so what they send to must show a certificate they believe. Without one of the user's own,
//! exptap is a certificate authority, once: it is installed on a device a single time, and vouches from then on for the
//! certificates exptap makes as addresses change and time passes.

mod accept;
mod authority;
mod identity;
mod names;
mod own;

pub use accept::{Failed, Opened, Patience, accept, begins_tls};
pub use authority::{AuthorityError, default_folder};
pub use identity::{Identity, IdentityError, Trust};
pub use names::{Name, NameError, of_this_machine};
pub use own::OwnError;

use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate in DER, as devices and `openssl x509 -fingerprint` show it.
pub fn fingerprint(certificate: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
