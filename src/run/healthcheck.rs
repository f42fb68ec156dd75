//! `healthcheck`: ask a collector's socket whether somebody is there, for what looks after containers, where there is no
//! curl.

use super::{CHECK_FAILED, say};
use crate::cli;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How long one step may take. Whoever asks gives up after some seconds, and should learn why.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is read of an answer.
const ANSWER_BYTES: u64 = 4096;

/// Asks. The exit code is 1 where nobody is well: Docker keeps the others for itself.
pub(super) fn run(options: &cli::Healthcheck) -> ExitCode {
    let path = options.socket.clone().unwrap_or_else(|| crate::feed::default_path(|name| std::env::var_os(name)));
    match ask(&path) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => {
            let first = answer.lines().next().unwrap_or_default();
            say(format_args!("what serves {} is no collector, or not well: it says `{first}`", path.display()));
            CHECK_FAILED.into()
        }
        Err(error) => {
            say(format_args!("no collector serves {}: {error}", path.display()));
            CHECK_FAILED.into()
        }
    }
}

fn ask(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
