//! A running endpoint, and a client that speaks HTTP byte by byte: an HTTP library would refuse to send half of what
//! has to be tested.
#![allow(dead_code, unreachable_pub, reason = "every test program uses its own part of this")]

pub mod upstream;

use exptap::endpoint::{self, Caps, IntakeReceiver, Limits, ListenOn, Options, Received, Status, Waited};
use exptap::envelope::Envelope;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long anything may take before a test is given up. Nothing is expected to take it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An endpoint on a free loopback port; stops when dropped.
pub struct Running {
    pub addresses: Vec<SocketAddr>,
    pub note: Option<String>,
    pub spool_notes: Vec<String>,
    pub status: Arc<Status>,
    receiver: IntakeReceiver,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub fn loopback_options() -> Options {
    Options { listen: ListenOn::Address(([127, 0, 0, 1], 0).into()), ..Options::default() }
}

pub fn start(options: Options) -> Running {
    start_with(options, Caps::default())
}

pub fn start_with(options: Options, caps: Caps) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bound = runtime.block_on(endpoint::bind(options)).unwrap();
    let (addresses, status) = (bound.addresses().to_vec(), bound.status());
    let note = bound.note().map(str::to_owned);
    let spool_notes = bound.spool_notes().to_vec();
    let (intake, receiver) = endpoint::intake(caps);
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        runtime.block_on(bound.serve(intake, async {
            let _ = stopped.await;
        }));
    });
    Running { addresses, note, spool_notes, status, receiver, stop: Some(stop), thread: Some(thread) }
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends one request on a connection of its own and reads the answer.
    pub fn ask(&self, request: &[u8]) -> Answer {
        let mut client = self.client();
        client.send(request);
        client.answer()
    }

    pub fn received(&mut self) -> Received {
        match self.receiver.next_within(PATIENCE) {
            Waited::Received(received) => received,
            other => panic!("nothing was received: {other:?}"),
        }
    }

    pub fn envelope(&mut self) -> Envelope {
        match self.received() {
            Received::Envelope(envelope) => envelope,
            other => panic!("expected an envelope, got {other:?}"),
        }
    }

    /// Stops serving and gives what is still in the intake.
    pub fn stop(mut self) -> Vec<Received> {
        self.end();
        std::iter::from_fn(|| self.receiver.next_blocking()).collect()
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What an upstream gets of a request's headers, in order of their names: all that were sent, and those of its own way.
pub fn handed_on(headers: &str, body: usize, upstream: SocketAddr) -> Vec<(String, String)> {
    let sent = headers.lines().map(|line| line.split_once(": ").unwrap());
    let mut expected: Vec<(String, String)> =
        sent.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    expected.push(("content-length".into(), body.to_string()));
    expected.push(("host".into(), upstream.to_string()));
    expected.sort();
    expected
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer, or one request: the same shape on the wire.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Answer {
    pub first_line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends what can be sent; the other side may have closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn no_more_to_send(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one message, whatever its framing.
    pub fn answer(&mut self) -> Answer {
        self.message().expect("the connection was closed before a whole message came")
    }

    pub fn message(&mut self) -> Option<Answer> {
        let mut message = self.head()?;
        let without_body = message.first_line.contains(" 204 ");
        if message.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            loop {
                let line = self.line()?;
                let length = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
                message.body.extend(self.exactly(length)?);
                assert_eq!(self.line()?, "");
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = message.header("content-length") {
            message.body = self.exactly(length.parse().unwrap())?;
        } else if message.first_line.starts_with("HTTP/") && !without_body {
            self.stream.read_to_end(&mut self.buffer).unwrap();
            message.body = std::mem::take(&mut self.buffer);
        }
        Some(message)
    }

    /// Reads a head only: an answer to HEAD has no body whatever its headers say.
    pub fn head(&mut self) -> Option<Answer> {
        let first_line = self.line()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(Answer { first_line, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// What comes next, whatever it is; none: the other side has closed.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() {
            self.more()?;
        }
        Some(std::mem::take(&mut self.buffer))
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.exactly(length).expect("the connection was closed before they came")
    }

    /// Whatever comes until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        // A reset is a close too.
        let _ = self.stream.read_to_end(&mut self.buffer);
        std::mem::take(&mut self.buffer)
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    fn more(&mut self) -> Option<()> {
        let mut piece = vec![0; 64 * 1024];
        let read = self.stream.read(&mut piece).ok()?;
        self.buffer.extend_from_slice(&piece[..read]);
        (read > 0).then_some(())
    }
}

/// A request with a length.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: events.example\r\n{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A request in chunks, as Node sends it.
pub fn post_chunked(path: &str, headers: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: events.example\r\n{headers}Transfer-Encoding: chunked\r\n\r\n")
            .into_bytes();
    for chunk in chunks {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn limits() -> Limits {
    Limits::default()
}
