//! A token or a key: read from a file or the environment, sent to LaunchDarkly, and shown to nobody.

use crate::envelope::Credential;
use std::fmt;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An API access token, for the REST API.
    ApiToken,
    /// A server-side SDK key, for the flag payload.
    SdkKey,
}

impl SecretKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiToken => "API access token",
            Self::SdkKey => "SDK key",
        }
    }
}

/// A secret. It cannot be printed: its debug form is masked, and it has no other.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    raw: String,
    kind: SecretKind,
}

/// Why a text is no secret of its kind. It never says the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is nothing.
    #[error("is empty; expected an {0}")]
    Empty(&'static str),
    /// It holds what no token and no key holds.
    #[error("holds more than one {0}: expected it alone, on one line, without quotes or Bearer")]
    Malformed(&'static str),
    /// An SDK key, where the REST API is asked.
    #[error(
        "holds an SDK key, a mobile key or a client-side id, which LaunchDarkly's REST API refuses; expected an API access token (api-…, a reader's is enough), or give the SDK key with --sdk-key-file for the flags alone"
    )]
    NotAToken,
    /// Something else, where the flag payload is asked.
    #[error(
        "holds no SDK key; expected the key of a server-side SDK (sdk-…): mobile keys and API access tokens get no flag payload"
    )]
    NotAnSdkKey,
}

impl Secret {
    /// Takes the text of a file or of a variable.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn new(text: &str, kind: SecretKind) -> Result<Self, SecretError> {
        let raw = text.trim();
        if raw.is_empty() {
            return Err(SecretError::Empty(kind.name()));
        }
        let begins = |kinds: &[&str]| kinds.iter().any(|kind| raw.starts_with(kind));
        match kind {
            SecretKind::ApiToken if begins(&["sdk-", "mob-"]) || is_client_side_id(raw) => {
                return Err(SecretError::NotAToken);
            }
            SecretKind::SdkKey if begins(&["api-", "mob-"]) || is_client_side_id(raw) => {
                return Err(SecretError::NotAnSdkKey);
            }
            _ => {}
        }
        let is_plain = raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte));
        if !is_plain {
            return Err(SecretError::Malformed(kind.name()));
        }
        Ok(Self { raw: raw.to_owned(), kind })
    }

    /// What it is for.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// For the header of a request, and nothing else.
    pub(super) fn reveal(&self) -> &str {
        &self.raw
    }

    /// A text of somebody else without it.
    pub(super) fn hide(&self, text: &str) -> String {
        text.replace(&self.raw, Credential::mask(&self.raw).as_str())
    }
}

/// Twenty-four hexadecimal digits.
fn is_client_side_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", Credential::mask(&self.raw).as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_of_the_wrong_kind_is_refused_before_it_is_sent_anywhere() {
        let token = |text: &str| Secret::new(text, SecretKind::ApiToken).map(|secret| secret.reveal().to_owned());
        assert_eq!(token(" api-0123456789abcdef\n"), Ok("api-0123456789abcdef".to_owned()));
        assert_eq!(token("sdk-0123-4567"), Err(SecretError::NotAToken));
        assert_eq!(token("mob-0123-4567"), Err(SecretError::NotAToken));
        assert_eq!(token("57be1db38b75bf0772d11384"), Err(SecretError::NotAToken));
        assert_eq!(token("\n"), Err(SecretError::Empty("API access token")));
        assert_eq!(token("Bearer api-0123"), Err(SecretError::Malformed("API access token")));
        assert_eq!(token("api-0123\nX-Other: 1"), Err(SecretError::Malformed("API access token")));
        let key = |text: &str| Secret::new(text, SecretKind::SdkKey).map(|_| ());
        assert_eq!(key("sdk-0123-4567"), Ok(()));
        assert_eq!(key("api-0123"), Err(SecretError::NotAnSdkKey));
        assert_eq!(key("mob-0123"), Err(SecretError::NotAnSdkKey));
    }

    #[test]
    fn a_secret_shows_itself_nowhere() {
        let secret = Secret::new("api-0123456789abcdef", SecretKind::ApiToken).unwrap();
        assert!(!format!("{secret:?}").contains("0123456789"), "{secret:?}");
        let echoed = secret.hide("unknown token api-0123456789abcdef");
        assert!(echoed.starts_with("unknown token api-") && !echoed.contains("0123456789"), "{echoed}");
    }
}
