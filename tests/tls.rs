//! The endpoint where it speaks TLS: who is believed, who is not and what is said then, and that nobody who gets it wrong
//! is in anybody's way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::endpoint::{AUTHORITY_PATH, Limits, Options, Received};
use exptap::tls::{Identity, Name, fingerprint, of_this_machine};
use loopback::{Client, PATIENCE, Running, loopback_options, post, start};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 2026-11-27T00:00:00Z.
const NOW_MS: i64 = 1_795_737_600_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Now, by the clock that certificates are believed by.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn made(folder: &Path) -> Arc<Identity> {
    let (identity, remarks) = Identity::made(folder.to_owned(), of_this_machine(), now_ms()).unwrap();
    assert_eq!(remarks, Vec::<String>::new());
    Arc::new(identity)
}

fn secure(identity: &Arc<Identity>) -> Options {
    Options { tls: Some(Arc::clone(identity)), ..loopback_options() }
}

/// A client that believes one CA, and speaks these versions.
fn client_of(pem: &str, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn believing(identity: &Identity) -> Arc<ClientConfig> {
    client_of(identity.trust().pem.as_deref().unwrap(), rustls::ALL_VERSIONS)
}

/// Sends bytes over TLS, and reads until the other side closes.
fn ask(address: SocketAddr, client: Arc<ClientConfig>, name: &str, request: &[u8]) -> io::Result<String> {
    let mut stream = shake(address, client, name)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    // Whoever closes without a goodbye has closed.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8(answer).unwrap())
}

fn shake(
    address: SocketAddr,
    client: Arc<ClientConfig>,
    name: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

const BODY: &[u8] = br#"[{"kind":"custom","key":"checkout","creationDate":1,"context":{"kind":"user","key":"u"}}]"#;

fn events() -> Vec<u8> {
    post("/bulk", "Connection: close\r\n", BODY)
}

/// Waits until the endpoint has said something new.
fn hint(running: &Running, before: u64) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let figures = running.status.figures();
        if figures.hints > before {
            return figures.last_hint.unwrap().text;
        }
        assert!(Instant::now() < until, "nothing was said");
        std::thread::yield_now();
    }
}

#[test]
fn sdks_that_trust_the_ca_are_taken_over_either_version_by_name_and_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let mut running = start(secure(&identity));
    let pem = identity.trust().pem.clone().unwrap();
    for (version, name) in [
        (&rustls::version::TLS12, "localhost"),
        (&rustls::version::TLS13, "127.0.0.1"),
        (&rustls::version::TLS13, "10.0.2.2"),
        (&rustls::version::TLS12, "host.docker.internal"),
    ] {
        let answer = ask(running.address(), client_of(&pem, &[version]), name, &events()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert_eq!(&*running.envelope().body, BODY);
    }
    let figures = running.status.figures();
    assert_eq!((figures.event_requests, figures.handshakes_failed, figures.hints), (4, 0, 0));
}

#[test]
fn a_connection_is_kept_for_several_requests_and_http_1_1_is_agreed_on() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let mut running = start(secure(&identity));
    let mut client = ClientConfig::clone(&believing(&identity));
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut stream = shake(running.address(), Arc::new(client), "localhost").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..3 {
        stream.write_all(&post("/bulk", "", BODY)).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 202");
        assert_eq!(&*running.envelope().body, BODY);
        // The rest of the head: the answer has no body.
        let mut head = answer.to_vec();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
    }
    assert_eq!(running.status.figures().connections, 1);
}

#[test]
fn a_device_that_does_not_believe_the_certificate_is_named_with_what_to_do_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(&folder.path().join("tls"));
    let mut running = start(secure(&identity));
    let stranger = made(&folder.path().join("another"));
    let error = ask(running.address(), believing(&stranger), "localhost", &events()).unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer") || error.contains("BadSignature"), "{error}");
    let said = hint(&running, 0);
    let ca = folder.path().join("tls/ca.pem");
    assert!(said.starts_with("127.0.0.1 does not believe exptap's certificate ("), "{said}");
    assert!(said.ends_with(&format!("): have it trust the CA {} (docs/sources.md#tls)", ca.display())), "{said}");
    // One that asks for a name the certificate is not for: trusting the CA would not help it.
    let error = ask(running.address(), believing(&identity), "shop.example", &events()).unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
    let said = hint(&running, 1);
    assert!(said.contains("it asked for shop.example") && said.contains("--tls-name shop.example"), "{said}");
    assert_eq!(running.status.figures().handshakes_failed, 2);
    assert!(ask(running.address(), believing(&identity), "localhost", &events()).unwrap().contains("202"));
    assert_eq!(&*running.envelope().body, BODY);
}

#[test]
fn one_that_leaves_right_after_the_handshake_as_node_does_is_told_of_too() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let running = start(secure(&identity));
    let mut stream = shake(running.address(), believing(&identity), "localhost").unwrap();
    stream.conn.send_close_notify();
    stream.conn.complete_io(&mut stream.sock).unwrap();
    drop(stream);
    let said = hint(&running, 0);
    assert!(said.starts_with("127.0.0.1 left right after the TLS handshake without a request"), "{said}");
}

#[test]
fn clear_text_to_an_encrypted_address_is_answered_in_words_counted_and_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let running = start(secure(&identity));
    // More than fits in any buffer: the answer must come through all the same.
    let large = vec![b' '; 4 << 20];
    let answer = running.ask(&post("/bulk", "", &large));
    assert_eq!((answer.status(), answer.header("connection")), (400, Some("close")));
    assert!(answer.text().contains("use https://"), "{}", answer.text());
    let said = hint(&running, 0);
    assert_eq!(
        said,
        "POST /bulk: 127.0.0.1 speaks plain http, and this address speaks TLS: its events URI must begin with https://"
    );
    let figures = running.status.figures();
    assert_eq!((figures.plain_requests, figures.event_requests, figures.hints), (1, 0, 1));
    assert!(running.stop().is_empty());
}

#[test]
fn a_phone_that_trusts_nothing_yet_fetches_the_ca_in_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let running = start(secure(&identity));
    let request = format!("GET {AUTHORITY_PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = running.ask(request.as_bytes());
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/x-x509-ca-cert")));
    let certificate = CertificateDer::from_pem_slice(&answer.body).unwrap();
    assert_eq!(fingerprint(&certificate), identity.trust().fingerprint);
    assert!(!answer.text().contains("PRIVATE"));
    assert_eq!(running.status.figures().hints, 0);
    let over_tls = format!("GET {AUTHORITY_PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = ask(running.address(), believing(&identity), "localhost", over_tls.as_bytes()).unwrap();
    assert!(answer.ends_with(identity.trust().pem.as_deref().unwrap()), "{answer}");
}

#[test]
fn tls_to_a_plain_address_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let running = start(loopback_options());
    ask(running.address(), believing(&identity), "localhost", &events()).unwrap_err();
    assert_eq!(
        hint(&running, 0),
        "127.0.0.1 speaks TLS, and this address speaks plain http: give it http:// here, or start exptap with --tls"
    );
    assert_eq!(running.status.figures().handshakes_failed, 1);
}

#[test]
fn handshakes_that_do_not_get_on_are_cut_and_do_not_take_the_places_of_others_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let limits = Limits {
        connections: 2,
        header_read: Duration::from_millis(100),
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let running = start(Options { limits, ..secure(&identity) });
    // One says nothing, one begins a handshake and goes no further; both places are taken.
    let mut silent = running.client();
    let mut slow = running.client();
    slow.send(&[22, 3, 1, 2, 0, 1]);
    let answer = ask(running.address(), believing(&identity), "localhost", &events()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!((silent.rest(), slow.rest()), (Vec::new(), Vec::new()));
    assert!(hint(&running, 0).contains("took too long over the TLS handshake"));
    assert_eq!(running.status.figures().handshakes_failed, 1);
}

#[test]
fn bytes_that_only_look_like_tls_end_their_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let identity = made(folder.path());
    let running = start(secure(&identity));
    for bytes in [&[22_u8, 3, 1, 255, 255][..], &[22; 64], &[22, 3, 3, 0, 4, 1, 0, 0, 0]] {
        let mut client: Client = running.client();
        client.send(bytes);
        client.no_more_to_send();
        client.rest();
    }
    let answer = ask(running.address(), believing(&identity), "localhost", &events()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(running.stop().iter().filter(|it| matches!(it, Received::Envelope(_))).count(), 1);
}

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The files of an authority: name and content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    ["ca.key", "ca.pem", "server.key", "server.pem"]
        .iter()
        .map(|name| ((*name).to_owned(), fs::read(folder.join(name)).unwrap()))
        .collect()
}

#[test]
fn an_authority_is_made_once_for_its_owner_alone_and_a_start_later_shows_the_same_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep/tls");
    let (first, _) = Identity::made(folder.clone(), names(&["localhost", "192.168.1.20"]), NOW_MS).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(folder.clone()), mode(folder.join("ca.key")), mode(folder.join("server.key"))),
        (0o700, 0o600, 0o600)
    );
    let before = files(&folder);
    // Fewer names than it is for: nobody is asked again.
    let (again, remarks) = Identity::made(folder.clone(), names(&["localhost"]), NOW_MS + 300 * DAY_MS).unwrap();
    assert_eq!((again.trust().fingerprint.clone(), remarks), (first.trust().fingerprint.clone(), vec![]));
    assert_eq!(files(&folder), before);
}

/// What a certificate says of itself: days it is valid for, whether it is a CA, names.
fn said_by(path: PathBuf) -> (i64, bool, usize) {
    let der = CertificateDer::from_pem_file(path).unwrap();
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    let validity = read.validity();
    let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / (24 * 3_600);
    let names = read.subject_alternative_name().unwrap().map_or(0, |names| names.value.general_names.len());
    (days, read.is_ca(), names)
}

#[test]
fn another_address_or_an_end_that_is_near_has_a_new_certificate_made_by_the_same_authority() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (first, _) = Identity::made(folder.to_owned(), names(&["localhost"]), NOW_MS).unwrap();
    assert_eq!(
        (said_by(folder.join("ca.pem")), said_by(folder.join("server.pem"))),
        ((3_651, true, 0), (397, false, 1))
    );
    let begun = files(folder);
    Identity::made(folder.to_owned(), names(&["localhost", "10.1.2.3"]), NOW_MS).unwrap();
    let moved = files(folder);
    assert_eq!((&moved[..2], moved[2] == begun[2], moved[3] == begun[3]), (&begun[..2], false, false));
    assert_eq!(said_by(folder.join("server.pem")), (397, false, 2));
    Identity::made(folder.to_owned(), names(&["localhost"]), NOW_MS + 370 * DAY_MS).unwrap();
    let renewed = files(folder);
    assert_eq!((&renewed[..2], renewed[3] == moved[3]), (&begun[..2], false));
    // The authority itself ends after ten years, and that is said.
    let (last, remarks) = Identity::made(folder.to_owned(), names(&["localhost"]), NOW_MS + 3_640 * DAY_MS).unwrap();
    assert_ne!(last.trust().fingerprint, first.trust().fingerprint);
    assert_eq!(remarks, ["the CA that was there ends soon, and a new one was made: devices must trust it anew"]);
}

#[test]
fn an_authority_that_is_damaged_or_open_to_others_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let open =
        || Identity::made(folder.to_owned(), names(&["localhost"]), NOW_MS).map(|_| ()).map_err(|it| it.to_string());
    open().unwrap();
    let key = folder.join("ca.key");
    let pem = fs::read(&key).unwrap();
    let set_mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o640);
    let error = open().unwrap_err();
    assert!(error.contains("chmod 600") && error.contains("ca.key"), "{error}");
    set_mode(0o600);
    fs::copy(folder.join("server.key"), &key).unwrap();
    set_mode(0o600);
    let error = open().unwrap_err();
    assert!(error.contains("ca.key: it is not the key of the CA beside it"), "{error}");
    fs::remove_file(&key).unwrap();
    let error = open().unwrap_err();
    assert!(error.contains("the key of the CA beside it is gone") && error.contains("remove the folder"), "{error}");
    fs::write(&key, &pem).unwrap();
    set_mode(0o600);
    // A server's certificate is made anew, whatever became of it.
    fs::write(folder.join("server.pem"), "no certificate").unwrap();
    open().unwrap();
    assert_eq!(said_by(folder.join("server.pem")), (397, false, 1));
}

/// A certificate of the user's own, in two files.
fn own(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (certificate, key)
}

#[test]
fn a_certificate_of_ones_own_is_shown_and_read_again_when_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = own(folder.path(), "box.example");
    let (identity, remarks) = Identity::own(certificate.clone(), key, now_ms()).unwrap();
    assert_eq!((remarks, identity.trust().authority.as_ref()), (vec![], None));
    let identity = Arc::new(identity);
    let mut running = start(secure(&identity));
    let pem = fs::read_to_string(certificate).unwrap();
    let answer = ask(running.address(), client_of(&pem, rustls::ALL_VERSIONS), "box.example", &events()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(&*running.envelope().body, BODY);
    // There is no CA of exptap's to be fetched.
    let request = format!("GET {AUTHORITY_PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(running.ask(request.as_bytes()).status(), 400);
}

#[test]
fn what_is_wrong_with_ones_own_files_is_said_by_file_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = own(folder.path(), "a.example");
    let (_, other_key) = own(folder.path(), "b.example");
    let missing = folder.path().join("missing.pem");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let protected = folder.path().join("protected.key");
    fs::write(&protected, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    let why = |certificate: &Path, key: &Path| {
        Identity::own(certificate.to_owned(), key.to_owned(), NOW_MS).map(|_| ()).unwrap_err().to_string()
    };
    for (error, expected) in [
        (why(&missing, &key), "--tls-cert /…/missing.pem: No such file"),
        (why(&empty, &key), "empty.pem: there is no certificate in it; expected PEM: -----BEGIN CERTIFICATE-----"),
        (why(&key, &key), "a.example.key: there is no certificate in it but a private key; expected PEM"),
        (
            why(&certificate, &certificate),
            "a.example.pem: there is no private key in it but a certificate; expected PEM",
        ),
        (why(&certificate, &protected), "there is no private key in it but one with a password"),
        (why(&certificate, &other_key), "b.example.key is not the key of the certificate in"),
    ] {
        let error = error.replace(&folder.path().display().to_string(), "/…");
        assert!(error.contains(expected), "{expected}: {error}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, remarks) = Identity::own(certificate, key, NOW_MS).unwrap();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert!(remarks[0].contains("can be read by others: chmod 600"), "{remarks:?}");
}
