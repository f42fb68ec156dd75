//! The token that opens the read side: from a file or the environment, never from the command line, which everybody on
//! the machine can read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// A shorter one could be guessed.
pub const MIN_TOKEN_BYTES: usize = 16;
/// A longer one is not a token but some other file.
const MAX_TOKEN_BYTES: usize = 1024;
/// Bytes of chance in one that is made here.
const MADE_BYTES: usize = 32;

/// A token. It cannot be printed by accident.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("the token file {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others can read it.
    #[error("the token file {path} can be read by others; make it yours alone: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    /// It is no token.
    #[error(
        "what {0} holds is no token: expected one line of {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES} visible characters"
    )]
    Unfit(String),
    /// There is no chance to be had.
    #[error("no token can be made: the system gives no random bytes")]
    NoChance,
}

impl Token {
    /// Takes one; `whence` is named where it is none.
    ///
    /// # Errors
    /// [`TokenError::Unfit`].
    pub fn of(text: &str, whence: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let is_fit = (MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit { Ok(Self(text.to_owned())) } else { Err(TokenError::Unfit(whence.to_owned())) }
    }

    /// Reads one from a file; none: there is no such file.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(path: &Path) -> Result<Option<Self>, TokenError> {
        let fault = |error| TokenError::File { path: path.to_owned(), error };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        if metadata.permissions().mode() & 0o077 != 0 && metadata.is_file() {
            return Err(TokenError::Open(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(fault)?;
        Self::of(&text, &path.display().to_string()).map(Some)
    }

    /// Makes one and keeps it in a new file that nobody else can read.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn make(path: &Path) -> Result<Self, TokenError> {
        let fault = |error| TokenError::File { path: path.to_owned(), error };
        let mut chance = [0; MADE_BYTES];
        getrandom::fill(&mut chance).map_err(|_| TokenError::NoChance)?;
        let text: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(fault)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
        file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
        Ok(Self(text))
    }

    /// Whether a header's value is `Bearer` and this token. How long that takes tells nothing of the token.
    pub fn opens(&self, authorization: &[u8]) -> bool {
        let Some((scheme, token)) = authorization.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.trim_ascii().ct_eq(self.0.as_bytes()))
    }

    /// The value of the header that carries it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The token itself, to be shown once to whoever has it made.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Where a token is looked for, and kept, where no file is named.
pub fn default_file(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let configuration = given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")));
    configuration.unwrap_or_default().join("exptap").join("token")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_made_once_is_long_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("token");
        assert!(Token::read(&path).unwrap().is_none());
        let made = Token::make(&path).unwrap();
        assert_eq!(made.reveal().len(), 2 * MADE_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::read(&path).unwrap().unwrap().reveal(), made.reveal());
        assert!(Token::make(&path).unwrap_err().to_string().contains("exists"));
        assert!(!format!("{made:?}").contains(made.reveal()));
    }

    #[test]
    fn a_file_that_others_can_read_or_that_holds_no_token_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "0123456789abcdef").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Token::read(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Token::read(&path).unwrap().is_some());
        for unfit in ["short", "two words are not one token", "0123456789abcdef\n0123456789abcdef", &"x".repeat(2_000)]
        {
            fs::write(&path, unfit).unwrap();
            assert!(Token::read(&path).unwrap_err().to_string().contains("expected one line"), "{unfit}");
        }
    }

    #[test]
    fn only_the_whole_token_behind_bearer_opens() {
        let token = Token::of("0123456789abcdef", "test").unwrap();
        assert!(token.opens(b"Bearer 0123456789abcdef") && token.opens(b"bearer  0123456789abcdef "));
        for wrong in [
            b"".as_slice(),
            b"Bearer ",
            b"Bearer 0123456789abcde",
            b"Bearer 0123456789abcdef0",
            b"Basic 0123456789abcdef",
            b"0123456789abcdef",
            b"Bearer \xff",
        ] {
            assert!(!token.opens(wrong), "{:?}", String::from_utf8_lossy(wrong));
        }
        assert!(token.opens(token.authorization().as_bytes()));
    }
}
