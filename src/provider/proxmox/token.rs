//! [`ApiToken`]: the credential of the API, with the part that may be shown apart from the one that may not.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::env_vars;
use crate::error::{Error, Result};

/// So many characters of a secret are told by nobody by chance.
const SHORTEST: usize = 6;

/// A token of the API: `USER@REALM!TOKENID=SECRET`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiToken {
    /// `USER@REALM!TOKENID`: names, which may be shown.
    id: String,
    secret: SecretString,
}

impl ApiToken {
    /// Reads what the environment has. What is refused is not shown.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for anything that is no token.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || {
            Error::usage(format!("{} is not an API token of Proxmox VE", env_vars::PROXMOX_VE_API_TOKEN))
                .hint("a token is written `USER@REALM!TOKENID=SECRET`, as `pveum user token add` shows it once")
        };
        let (id, secret) = text.trim().split_once('=').ok_or_else(refused)?;
        let (user, token) = id.split_once('!').ok_or_else(refused)?;
        let (name, realm) = user.rsplit_once('@').ok_or_else(refused)?;
        let is_word = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c) || more.contains(c))
        };
        let fits = is_word(name, "@+") && is_word(realm, "") && is_word(token, "") && is_word(secret, "");
        if !fits {
            return Err(refused());
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_owned().into() })
    }

    /// `USER@REALM!TOKENID`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The header's value. Never shown.
    pub(super) fn header(&self) -> SecretString {
        format!("PVEAPIToken={}={}", self.id, self.secret.expose_secret()).into()
    }

    /// `text` of the other side without the secret, should it quote it, or its beginning.
    pub(super) fn redact(&self, text: &str) -> String {
        let secret = self.secret.expose_secret();
        // The longest first: what is left of a shorter one would be shown.
        let beginnings = (SHORTEST.min(secret.len())..=secret.len()).rev().filter_map(|length| secret.get(..length));
        beginnings.fold(text.to_owned(), |text, part| text.replace(part, "[REDACTED]"))
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=[REDACTED]", self.id)
    }
}

impl TryFrom<String> for ApiToken {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

/// For the socket to another process, which is the only place it is written to.
impl From<ApiToken> for String {
    fn from(token: ApiToken) -> Self {
        format!("{}={}", token.id, token.secret.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "build@pve!ci=8b1d3b6e-0c7c-4a55-9a6d-0a2f1f3d5e77";

    #[test]
    fn the_secret_is_told_to_the_api_alone() {
        let token = ApiToken::parse(TOKEN).unwrap();
        assert_eq!(token.id(), "build@pve!ci");
        assert_eq!(token.header().expose_secret(), format!("PVEAPIToken={TOKEN}"));
        assert_eq!(format!("{token:?}"), "build@pve!ci=[REDACTED]");
        assert_eq!(token.redact(&format!("no: {TOKEN}")), "no: build@pve!ci=[REDACTED]");
        assert_eq!(token.redact("no: build@pve!ci=8b1d3b6e-0c7c-4"), "no: build@pve!ci=[REDACTED]");
        let text = serde_json::to_string(&token).unwrap();
        assert_eq!(
            serde_json::from_str::<ApiToken>(&text).unwrap().header().expose_secret(),
            token.header().expose_secret()
        );
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        for text in [
            "",
            "s3cret",
            "build@pve=s3cret",
            "build!ci=s3cret",
            "build@pve!ci",
            "build@pve!ci=s3cret\r\nX: y",
            "@pve!x=s3cret",
        ] {
            let error = ApiToken::parse(text).unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
