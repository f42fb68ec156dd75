//! What ssh runs on the other machine: bytes from standard input to the collector's socket, and back.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Relays until either side ends.
///
/// # Errors
/// Where nobody serves the socket.
pub fn run(socket: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    let mut to = stream.try_clone()?;
    // Not waited for: it may be in the middle of waiting for a viewer that says nothing, and the process ends with this.
    std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
        // Whatever ends it, the collector is to know that nobody asks any more.
        let _ = copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Both);
    })?;
    // A viewer that has gone is no fault.
    let _ = copy(&mut (&stream), &mut io::stdout().lock());
    Ok(())
}

/// As the library's, but for output that waits for the end of a line.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let bytes = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(buffer.get(..bytes).unwrap_or_default())?;
        to.flush()?;
    }
}
