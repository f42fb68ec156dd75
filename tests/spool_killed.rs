//! The real program: killed while requests wait, started again, told to stop; and upstreams behind a proxy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use base64::Engine;
use loopback::upstream::Upstream;
use loopback::{Answer, Client, PATIENCE, post};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// `exptap collect`, or another command that listens, on a free port.
struct Program {
    child: Child,
    address: SocketAddr,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    fn start(arguments: &[&str], folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exptap"));
        command.args(arguments).args(["--listen", "127.0.0.1:0"]).current_dir(folder);
        command
            .env_clear()
            .env("XDG_RUNTIME_DIR", folder)
            .env("XDG_CONFIG_HOME", folder)
            .envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut program = Self { child, address: ([0, 0, 0, 0], 0).into(), lines, said: Vec::new() };
        let line = program.wait_for("listening on http://");
        program.address = line.rsplit('/').next().unwrap().parse().unwrap();
        program
    }

    /// Waits for a line with this in it.
    fn wait_for(&mut self, wanted: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("no `{wanted}` in {:?}", self.said) };
            self.said.push(line.clone());
            if line.contains(wanted) {
                return line;
            }
        }
    }

    fn ask(&self, request: &[u8]) -> Answer {
        let mut client = Client::connect(self.address);
        client.send(request);
        client.answer()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop; gives what it said and its exit code.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        let code = self.child.wait().unwrap().code();
        (std::mem::take(&mut self.said), code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn payload_id(request: &Answer) -> String {
    request.header("x-launchdarkly-payload-id").unwrap().to_owned()
}

fn send(client: &mut Client, number: usize) {
    let headers = format!("Authorization: sdk-0000-{}\r\nX-LaunchDarkly-Payload-ID: p-{number}\r\n", "a1b2c3d4");
    client.send(&post("/bulk", &headers, b"[{\"kind\":\"index\"}]"));
    assert_eq!(client.answer().status(), 202);
}

fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn accepted(_: &Answer) -> Vec<u8> {
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()
}

#[test]
fn five_hundred_requests_survive_a_kill_while_the_upstream_is_down_and_arrive_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let down = format!("http://{}", nobody());
    let program = Program::start(&["collect", "--spool", "spool", "--forward", &down], folder.path(), &[]);
    let mut client = Client::connect(program.address);
    (0..500).for_each(|number| send(&mut client, number));
    program.kill();
    let upstream = Upstream::start(accepted);
    let up = format!("http://{}", upstream.address);
    let mut program = Program::start(&["collect", "--spool", "spool", "--forward", &up], folder.path(), &[]);
    let found = program.said.iter().find(|line| line.contains("from before")).unwrap();
    assert!(
        found.starts_with("requests from before wait in spool, the oldest since")
            && found.ends_with(&format!("500 go to {up}"))
    );
    let got: Vec<String> = (0..500).map(|_| payload_id(&upstream.request())).collect();
    assert_eq!(got, (0..500).map(|number| format!("p-{number}")).collect::<Vec<_>>());
    // It goes on as if nothing had been.
    send(&mut Client::connect(program.address), 500);
    assert_eq!(payload_id(&upstream.request()), "p-500");
    let (said, code) = {
        program.said.clear();
        program.end()
    };
    assert_eq!(code, Some(0));
    assert!(!said.iter().any(|line| line.contains("stay")), "{said:?}");
}

#[test]
fn a_kill_in_the_middle_of_delivering_costs_no_request_and_none_overtakes_another() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, arrived) = channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Upstream::start(move |request| {
        let _ = tell.lock().unwrap().send(payload_id(request));
        accepted(request)
    });
    let up = format!("http://{}", upstream.address);
    let mut got = Vec::new();
    let mut sent = 0;
    for round in 0..4 {
        let program = Program::start(&["collect", "--spool", "spool", "--forward", &up], folder.path(), &[]);
        let mut client = Client::connect(program.address);
        for _ in 0..100 {
            send(&mut client, sent);
            sent += 1;
        }
        // Not before something is delivered, and seldom after everything is.
        got.push(arrived.recv_timeout(PATIENCE).unwrap());
        if round < 3 {
            program.kill();
        } else {
            let (said, code) = program.end();
            assert_eq!(code, Some(0), "{said:?}");
        }
    }
    got.extend(arrived.try_iter());
    // Some may come twice: from the first one that was not known to be delivered, on.
    let numbers: Vec<usize> = got.iter().map(|id| id[2..].parse().unwrap()).collect();
    let mut next = 0;
    for number in &numbers {
        assert!(*number <= next, "{number} came before {next}: {numbers:?}");
        next = next.max(number + 1);
    }
    assert_eq!(next, sent);
}

#[test]
fn an_end_says_what_stays_and_a_failing_upstream_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let down = format!("http://{}", nobody());
    let mut program = Program::start(&["collect", "--spool", "spool", "--forward", &down], folder.path(), &[]);
    let mut client = Client::connect(program.address);
    send(&mut client, 1);
    let line = program.wait_for("in the spool: ");
    assert!(line.starts_with(&format!("1 request waits in the spool: {down} could not be reached")), "{line}");
    send(&mut client, 2);
    let metrics = curl(&folder.path().join("exptap/collector.sock"));
    for wanted in ["exptap_spool_waiting_requests 2\n", "exptap_spool_failing 1\n", "exptap_spool_delivered_total 0\n"]
    {
        assert!(metrics.contains(wanted), "{wanted}: {metrics}");
    }
    let second = Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(["listen", "--no-tui", "--listen", "127.0.0.1:0", "--spool", "spool", "--forward", &down])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3));
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(words.contains("--spool spool: another exptap delivers from this folder"), "{words}");
    let (said, code) = program.end();
    assert_eq!(code, Some(0));
    assert_eq!(said.iter().filter(|line| line.contains("could not be reached")).count(), 2, "{said:?}");
    let stays = said.iter().find(|line| line.contains("stay")).unwrap();
    assert!(
        stays.starts_with("2 requests stay in spool (") && stays.ends_with("starts again with --spool spool"),
        "{stays}"
    );
    assert!(!said.join("\n").contains("a1b2c3d4"), "no line has a key in it");
}

fn curl(socket: &Path) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn whom_an_answer_of_the_upstream_silences_is_said_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_| b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec());
    let up = format!("http://{}", upstream.address);
    let mut program = Program::start(&["collect", "--forward", &up], folder.path(), &[]);
    let headers = "Authorization: sdk-11111111-2222-3333-4444-55555555aaaa\r\nUser-Agent: PythonClient/9.18.2\r\n\
                   X-LaunchDarkly-Instance-Id: 5bd0c0ffee47110815\r\n";
    assert_eq!(program.ask(&post("/bulk", headers, b"[]")).status(), 401);
    let line = program.wait_for("has stopped sending");
    assert!(line.starts_with("the upstream answered 401: PythonClient/9.18.2 (sdk-…aaaa#"), "{line}");
    assert!(line.ends_with(", instance 5bd0c0ffee47…) has stopped sending until it is restarted"), "{line}");
}

/// A proxy that opens tunnels to one place, wherever it is asked to; gives the heads of the requests for them.
fn proxy(to: SocketAddr) -> (SocketAddr, Receiver<Answer>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heads) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut near = stream.unwrap();
                let head = Client::over(near.try_clone().unwrap()).head().unwrap();
                let _ = tell.send(head);
                let far = TcpStream::connect(to).unwrap();
                near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                let (mut from, mut back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || drop(std::io::copy(&mut from, &mut back)));
                let mut far = far;
                let _ = std::io::copy(&mut far, &mut near);
            });
        }
    });
    (address, heads)
}

#[test]
fn a_proxy_named_in_the_environment_is_used_with_its_password_and_not_where_no_proxy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(accepted);
    let (proxy, heads) = proxy(upstream.address);
    // No name is looked up: the proxy is asked for it.
    let url = format!("http://ann:secret@{proxy}");
    let arguments = ["listen", "--no-tui", "--forward", "http://events.upstream.test"];
    let program = Program::start(&arguments, folder.path(), &[("HTTP_PROXY", &url)]);
    assert_eq!(program.ask(&post("/bulk", "Authorization: sdk-1\r\n", b"[1]")).status(), 202);
    let head = heads.recv_timeout(PATIENCE).unwrap();
    assert_eq!(head.first_line, "CONNECT events.upstream.test:80 HTTP/1.1");
    assert_eq!(head.header("proxy-authorization"), Some("Basic YW5uOnNlY3JldA=="));
    assert_eq!(head.header("authorization"), None);
    let got = upstream.request();
    assert_eq!((got.header("host"), got.header("authorization")), (Some("events.upstream.test"), Some("sdk-1")));
    assert_eq!(got.header("proxy-authorization"), None);
    drop(program);
    // The address that means this machine, without being a loopback one.
    let direct = format!("http://0.0.0.0:{}", upstream.address.port());
    let arguments = ["listen", "--no-tui", "--forward", &direct];
    let program =
        Program::start(&arguments, folder.path(), &[("HTTP_PROXY", &url), ("NO_PROXY", "other.test,0.0.0.0")]);
    assert_eq!(program.ask(&post("/bulk", "", b"[2]")).status(), 202);
    assert_eq!(upstream.request().text(), "[2]");
    assert!(heads.try_recv().is_err(), "the proxy was asked all the same");
    drop(program);
    let program = Program::start(&arguments, folder.path(), &[("HTTP_PROXY", &url)]);
    assert_eq!(program.ask(&post("/bulk", "", b"[3]")).status(), 202);
    assert!(heads.recv_timeout(PATIENCE).unwrap().first_line.starts_with("CONNECT 0.0.0.0:"));
}

#[cfg(target_os = "linux")]
fn pem(certificate: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// What stands at the other end of the tunnel is checked as if there were none: the proxy sees nothing of it.
#[cfg(target_os = "linux")]
#[test]
fn through_a_proxy_an_https_upstream_is_still_checked_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["events.upstream.test".into()]).unwrap();
    std::fs::write(folder.path().join("trusted.pem"), pem(cert.der())).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, secrets) = channel();
    std::thread::spawn(move || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let config = Arc::new(config);
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut got = vec![0; 4096];
            let read = stream.read(&mut got).unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&got[..read]).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.flush();
        }
    });
    let (proxy, heads) = proxy(address);
    let url = format!("http://{proxy}");
    let certificates = folder.path().join("trusted.pem").display().to_string();
    let environment = [("HTTPS_PROXY", url.as_str()), ("SSL_CERT_FILE", certificates.as_str())];
    let asked = |forward: &str, environment: &[(&str, &str)]| {
        let program = Program::start(&["listen", "--no-tui", "--forward", forward], folder.path(), environment);
        let answer = program.ask(&post("/bulk", "Authorization: sdk-1\r\n", b"[]"));
        (answer.status(), answer.text().to_owned(), heads.recv_timeout(PATIENCE).unwrap().first_line)
    };
    let (status, text, asked_for) = asked("https://events.upstream.test", &environment);
    assert_eq!((status, asked_for.as_str()), (202, "CONNECT events.upstream.test:443 HTTP/1.1"), "{text}");
    let got = secrets.recv_timeout(PATIENCE).unwrap();
    assert!(got.starts_with("POST /bulk HTTP/1.1\r\n") && got.contains("sdk-1"), "{got}");
    // Another name than the certificate has.
    let (status, text, asked_for) = asked("https://other.upstream.test", &environment);
    assert_eq!((status, asked_for.as_str()), (503, "CONNECT other.upstream.test:443 HTTP/1.1"));
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(secrets.recv_timeout(PATIENCE).unwrap(), "", "nothing was sent to it");
}
