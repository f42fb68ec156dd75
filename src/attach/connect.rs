//! Getting to a collector, whichever way, up to its greeting. On each way the same is spoken: a WebSocket over HTTP.

use super::{Target, Vouching};
use crate::feed::Token;
use crate::protocol::{self, Control, Hello, Line, MAX_TOLD_BYTES};
use crate::recording::Header;
use futures_util::StreamExt;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Uri};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How long a collector may take to answer and greet. ssh may ask for a password meanwhile, the first time.
const GREETING: Duration = Duration::from_secs(10);
const GREETING_BY_SSH: Duration = Duration::from_secs(120);
/// What of ssh's own words is kept.
const WORDS_BYTES: u64 = 4096;

/// Something that bytes go over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<Any: AsyncRead + AsyncWrite + Unpin + Send> Stream for Any {}

/// What messages go over.
pub type Connection = WebSocketStream<Box<dyn Stream>>;

/// What a collector says first.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Who it is and where it is.
    pub hello: Hello,
    /// What a recording of it begins with.
    pub header: Header,
}

/// Why a collector cannot be attached to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Trying again may help.
    #[error("{0}")]
    Unreachable(String),
    /// Trying again will not.
    #[error("{0}")]
    Refused(String),
}

/// Knows the way.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Where to.
    pub target: Target,
    /// What opens the door of an address.
    pub token: Option<Token>,
    /// Who vouches for it where the connection is encrypted.
    pub vouching: Vouching,
    /// The program that is run as ssh.
    pub ssh: PathBuf,
    /// What ssh runs on the other machine.
    pub remote_program: String,
}

impl Connector {
    /// Goes there. `is_first`: there is no screen yet, so that ssh may ask and explain.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, is_first: bool) -> Result<(Connection, Greeting), ConnectError> {
        let patience = if matches!(self.target, Target::Ssh { .. }) { GREETING_BY_SSH } else { GREETING };
        match timeout(patience, self.greet(is_first)).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(format!("{} does not answer", self.target))),
        }
    }

    async fn greet(&self, is_first: bool) -> Result<(Connection, Greeting), ConnectError> {
        let (stream, words) = self.open(is_first).await?;
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_TOLD_BYTES)).max_frame_size(Some(MAX_TOLD_BYTES));
        let shaken = client_async_with_config(self.request()?, stream, Some(limits)).await;
        let greeted = match shaken {
            Ok((mut connection, _)) => self.greeting(&mut connection).await.map(|greeting| (connection, greeting)),
            Err(error) => Err(self.explain(&error)),
        };
        match (greeted, words) {
            // What ssh says of it is what helps.
            (Err(ConnectError::Unreachable(what)), Some(words)) => {
                let said = words.await.unwrap_or_default();
                let said = said.lines().rfind(|line| !line.trim().is_empty()).map(str::trim).map(str::to_owned);
                Err(unreachable(said.unwrap_or(what)))
            }
            (greeted, _) => greeted,
        }
    }

    /// Opens the way; of ssh what it says while no screen must be disturbed.
    async fn open(
        &self,
        is_first: bool,
    ) -> Result<(Box<dyn Stream>, Option<tokio::task::JoinHandle<String>>), ConnectError> {
        match &self.target {
            Target::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok((Box::new(stream), None)),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                    let path = path.display();
                    Err(unreachable(format!("no collector serves {path}; start one with `exptap collect`")))
                }
                Err(error) => Err(unreachable(format!("the socket {}: {error}", path.display()))),
            },
            Target::Address { host, port, secure, .. } => {
                let cannot = |error: io::Error| unreachable(format!("{} cannot be reached: {error}", self.target));
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((name, *port)).await.map_err(cannot)?;
                // A socket that refuses it works all the same.
                let _ = stream.set_nodelay(true);
                if !secure {
                    return Ok((Box::new(stream), None));
                }
                let connector = self.vouching.connector().map_err(ConnectError::Refused)?;
                let name = rustls::pki_types::ServerName::try_from(name.to_owned())
                    .map_err(|_| ConnectError::Refused(format!("{name} is not the name of a host")))?;
                let secure = connector.connect(name, stream).await;
                Ok((Box::new(secure.map_err(|error| self.vouching.explain(&error, &self.target))?), None))
            }
            Target::Ssh { destination, port } => {
                let mut command = Command::new(&self.ssh);
                command.arg("-T");
                if !is_first {
                    // A question would be asked in the middle of the screen, where nobody can answer it.
                    command.args(["-o", "BatchMode=yes"]);
                }
                if let Some(port) = port {
                    command.args(["-p", &port.to_string()]);
                }
                command.arg("--").arg(destination).arg(&self.remote_program).args(["attach", "--stdio"]);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
                command.stderr(if is_first { Stdio::inherit() } else { Stdio::piped() });
                let program = self.ssh.display();
                let mut child = command
                    .spawn()
                    .map_err(|error| ConnectError::Refused(format!("{program} cannot be run: {error}")))?;
                let words = child.stderr.take().map(|mut stderr| {
                    tokio::spawn(async move {
                        let mut said = Vec::new();
                        let _ = (&mut stderr).take(WORDS_BYTES).read_to_end(&mut said).await;
                        // Whoever says more must not be held up by nobody listening.
                        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
                        String::from_utf8_lossy(&said).into_owned()
                    })
                });
                let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                    return Err(ConnectError::Refused(format!("{program} has no standard input and output")));
                };
                Ok((Box::new(Piped { stdin, stdout, _child: child }), words))
            }
        }
    }

    fn request(&self) -> Result<Request<()>, ConnectError> {
        let (authority, path) = match &self.target {
            Target::Address { host, port, path, .. } => (format!("{host}:{port}"), path.as_str()),
            _ => ("localhost".to_owned(), crate::feed::PATH),
        };
        let refused = |what: String| ConnectError::Refused(what);
        let uri = Uri::builder().scheme("ws").authority(authority).path_and_query(path).build();
        let uri = uri.map_err(|error| refused(format!("{}: {error}", self.target)))?;
        let mut request = uri.into_client_request().map_err(|error| refused(error.to_string()))?;
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&token.authorization())
                .map_err(|_| refused("the token cannot stand in a header".to_owned()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn greeting(&self, connection: &mut Connection) -> Result<Greeting, ConnectError> {
        let text = loop {
            match connection.next().await {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) | None => return Err(self.foreign("it says nothing")),
                Some(Err(error)) => return Err(self.explain(&error)),
            }
        };
        let mut lines = text.lines().map(protocol::parse);
        match (lines.next(), lines.next()) {
            (Some(Ok(Line::Control(Control::Hello(hello)))), Some(Ok(Line::Header(header)))) => {
                Ok(Greeting { hello, header: *header })
            }
            (Some(Err(error)), _) | (_, Some(Err(error))) => {
                Err(ConnectError::Refused(format!("{}: {error}", self.target)))
            }
            _ => Err(self.foreign("it says something else")),
        }
    }

    fn foreign(&self, what: &str) -> ConnectError {
        ConnectError::Refused(format!("what answers at {} is no exptap collector: {what}", self.target))
    }

    fn explain(&self, error: &Error) -> ConnectError {
        let target = &self.target;
        match error {
            Error::Http(response) => match response.status().as_u16() {
                401 if self.token.is_none() => ConnectError::Refused(format!(
                    "{target} wants a token: give the collector's with --token-file FILE, or in EXPTAP_TOKEN"
                )),
                401 => ConnectError::Refused(format!("{target} does not take this token")),
                403 => {
                    let words = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                    ConnectError::Refused(format!("{target} refuses: {}", words.lines().next().unwrap_or_default()))
                }
                400 if says_it_speaks_tls(response) => {
                    let secure = target.to_string().replacen("ws://", "wss://", 1);
                    ConnectError::Refused(format!("{target} speaks TLS: attach with {secure}"))
                }
                status @ 500.. => unreachable(format!("{target} answers {status}")),
                status => self.foreign(&format!("it answers {status}")),
            },
            Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) | Error::HttpFormat(_) => {
                unreachable(format!("{target} breaks off: {error}"))
            }
            _ => unreachable(format!("{target} is gone: {error}")),
        }
    }
}

fn says_it_speaks_tls(response: &http::Response<Option<Vec<u8>>>) -> bool {
    response.body().as_ref().is_some_and(|body| body.starts_with(crate::feed::SPEAKS_TLS.as_bytes()))
}

fn unreachable(what: String) -> ConnectError {
    ConnectError::Unreachable(what)
}

/// A program whose standard input and output are the connection. It ends with it.
struct Piped {
    stdin: ChildStdin,
    stdout: ChildStdout,
    _child: Child,
}

impl AsyncRead for Piped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

impl AsyncWrite for Piped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(context)
    }
}
