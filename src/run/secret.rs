//! The secret Segment's webhooks are signed with: from a file or the environment, never from the command line, which
//! everybody on the machine can read.

use crate::segment::webhook::Secret;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const VARIABLE: &str = "EXPTAP_SEGMENT_SECRET";
/// Nobody types more; a larger file is another one.
const MAX_BYTES: u64 = 4096;

/// Reads the secret, if there is one; a file beats the environment.
///
/// # Errors
/// The file cannot be read, or holds no secret.
pub(super) fn read(file: Option<&Path>) -> Result<Option<Secret>, String> {
    match file {
        Some(path) => from_file(path).map(Some),
        None => Ok(from_environment(std::env::var_os(VARIABLE))),
    }
}

fn from_file(path: &Path) -> Result<Secret, String> {
    let refused = |why: &str| {
        format!(
            "{}: {why}; expected a file with the shared secret of Segment's webhook, and nothing else",
            path.display()
        )
    };
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    read.map_err(|error| refused(&format!("the secret cannot be read: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(refused("this is too long for a secret"));
    }
    Secret::new(&text).ok_or_else(|| refused("there is no secret in it"))
}

/// An empty variable is how a script says that there is none.
fn from_environment(value: Option<OsString>) -> Option<Secret> {
    Secret::new(value?.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "shh-secret\n").unwrap();
        assert_eq!(read(Some(&path)), Ok(Secret::new(b"shh-secret")));
        assert_eq!(from_environment(Some(" shh-secret ".into())), Secret::new(b"shh-secret"));
        assert_eq!(from_environment(Some(" ".into())), None);
        assert_eq!(from_environment(None), None);
    }

    #[test]
    fn a_file_without_a_secret_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let refused = |words: &str| {
            let message = read(Some(&path)).unwrap_err();
            assert!(message.starts_with(&format!("{}: ", path.display())) && message.contains(words), "{message}");
        };
        refused("cannot be read");
        std::fs::write(&path, " \n").unwrap();
        refused("there is no secret in it");
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        refused("too long");
    }
}
