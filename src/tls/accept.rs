//! Taking a connection: TLS where the client speaks it, and otherwise a reason a person can act on.

use super::Identity;
use rustls::AlertDescription;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The first byte of a TLS connection: a record with a handshake in it. No request in clear text begins so.
const HANDSHAKE: u8 = 22;

/// How long to wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For its first byte: browsers connect before they know what for.
    pub idle: Duration,
    /// For the whole handshake from then on.
    pub handshake: Duration,
}

/// A connection that can be used.
#[derive(Debug)]
pub enum Opened {
    /// Encrypted.
    Secure(Box<TlsStream<TcpStream>>),
    /// The client speaks something else, of which nothing was read yet.
    Plain(TcpStream),
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Nothing came at all: somebody looked whether the port is open.
    Silent,
    /// It took too long over the handshake.
    Slow,
    /// It left in the middle of it, having seen the certificate.
    Left {
        /// The name it asked for.
        asked: Option<String>,
    },
    /// It does not believe the certificate.
    Distrusts {
        /// What it says, in TLS's words.
        alert: String,
        /// The name it asked for.
        asked: Option<String>,
    },
    /// Both speak TLS and find nothing in common, or it breaks the rules.
    Broken {
        /// What is wrong.
        why: String,
    },
}

/// Takes a connection.
///
/// # Errors
/// See [`Failed`].
pub async fn accept(stream: TcpStream, identity: &Identity, patience: Patience, now_ms: i64) -> Result<Opened, Failed> {
    let mut first = [0];
    match timeout(patience.idle, stream.peek(&mut first)).await {
        Err(_) | Ok(Ok(0) | Err(_)) => return Err(Failed::Silent),
        Ok(Ok(_)) if first != [HANDSHAKE] => return Ok(Opened::Plain(stream)),
        Ok(Ok(_)) => {}
    }
    let deadline = Instant::now() + patience.handshake;
    let mut asked = None;
    let shaken = tokio::time::timeout_at(deadline, async {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        asked = start.client_hello().server_name().map(str::to_owned);
        start.into_stream(identity.config(now_ms)).await
    })
    .await;
    match shaken {
        Err(_) => Err(Failed::Slow),
        Ok(Ok(stream)) => Ok(Opened::Secure(Box::new(stream))),
        Ok(Err(error)) => Err(failed(&error, asked)),
    }
}

/// Whether the first byte a client sent begins TLS.
pub fn begins_tls(first: u8) -> bool {
    first == HANDSHAKE
}

fn failed(error: &io::Error, asked: Option<String>) -> Failed {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) if distrusts(*alert) => {
            Failed::Distrusts { alert: words(*alert), asked }
        }
        Some(rustls::Error::AlertReceived(alert)) => Failed::Broken { why: format!("it says {}", words(*alert)) },
        Some(error) => Failed::Broken { why: error.to_string() },
        None => Failed::Left { asked },
    }
}

/// What clients say of a certificate they do not take. Which of them they choose differs: OpenSSL says `unknown_ca`,
/// Java and phones `certificate_unknown`, Go `bad_certificate`.
fn distrusts(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            // Said of a signature by another authority of the same name.
            | AlertDescription::DecryptError
    )
}

/// The name of an alert as TLS has it, which is what people search for.
fn words(alert: AlertDescription) -> String {
    let mut words = String::new();
    let name = format!("{alert:?}").replace("CA", "Ca");
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_named_as_everybody_names_them() {
        assert_eq!(
            [AlertDescription::UnknownCA, AlertDescription::CertificateUnknown, AlertDescription::ProtocolVersion]
                .map(words),
            ["unknown_ca", "certificate_unknown", "protocol_version"]
        );
    }
}
