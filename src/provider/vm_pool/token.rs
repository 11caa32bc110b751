//! [`Token`]: what proves to a pool who we are.

use std::fmt;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Error, ErrorKind, Result};

/// The longest token, in bytes: headers of that length pass everywhere.
const LONGEST: usize = 4096;

/// What stands for the token where somebody repeats it.
const HIDDEN: &str = "[token]";

/// What proves to a pool who we are. It is written out in two places only: in the header of a request, and in the message
/// that opens the provider in the reaper, which goes through a socket.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// A token that can stand in a header.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], without repeating it.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::usage(format!(
                "the pool's token is no token: it has to be 1 to {LONGEST} visible ASCII characters without spaces"
            )));
        }
        Ok(Self(SecretString::from(text)))
    }

    /// `Bearer …`, marked as what must not be shown.
    pub(super) fn header(&self) -> Result<HeaderValue> {
        let text = zeroize::Zeroizing::new(format!("Bearer {}", self.0.expose_secret()));
        let mut value = HeaderValue::from_str(&text)
            .context(ErrorKind::Usage, || "the pool's token cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `text` with the token in it made unreadable: a pool may repeat what it was sent.
    pub(super) fn hide_in(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), HIDDEN)
    }

    /// Tells two tokens apart for a pool, and tells nobody the token: too short to check a guess against.
    pub(super) fn fingerprint(&self, address: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(address.as_bytes());
        hash.update([0]);
        hash.update(self.0.expose_secret().as_bytes());
        hash.finalize().iter().take(3).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_nowhere_and_reads_back() {
        let token = Token::new("s3cret-t0ken\n").unwrap();
        assert_eq!(format!("{token:?} {:?}", token.header().unwrap()), "[token] Sensitive");
        assert_eq!(token.hide_in("no `Bearer s3cret-t0ken` here"), "no `Bearer [token]` here");
        let written = serde_json::to_string(&token).unwrap();
        let back: Token = serde_json::from_str(&written).unwrap();
        assert_eq!(back.fingerprint("a"), token.fingerprint("a"));
        assert_ne!(back.fingerprint("b"), token.fingerprint("a"));
        assert_ne!(Token::new("s3cret-t0keN").unwrap().fingerprint("a"), token.fingerprint("a"));
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        for bad in ["", " ", "two words", "new\nline", "größe", &"x".repeat(LONGEST + 1)] {
            let error = Token::new(bad).unwrap_err();
            assert!(bad.trim().is_empty() || !format!("{error:?}").contains(bad), "{error:?}");
            assert!(serde_json::from_value::<Token>(bad.into()).is_err());
        }
    }
}
