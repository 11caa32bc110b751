//! [`Credential`]: what proves who we are to one registry, and the forms Docker writes it in.
//!
//! Nothing here prints or stores a login: [`secrecy`]'s types show `[REDACTED]`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A login of one registry.
#[derive(Debug)]
pub enum Login {
    /// A user name with a password or an access token.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// An OAuth2 refresh token, which only the registry's token server understands.
    IdentityToken(SecretString),
    /// A bearer token that is sent to the registry as it stands.
    RegistryToken(SecretString),
}

/// A login with the place it was found at.
#[derive(Debug)]
pub struct Credential {
    /// The login.
    pub login: Login,
    /// Where it came from, for errors: a file, a variable or a helper.
    pub source: String,
}

/// One entry of `auths` in Docker's configuration. An empty one only says that a helper knows the login.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FileEntry {
    #[serde(deserialize_with = "secret")]
    auth: Option<SecretString>,
    username: Option<String>,
    #[serde(deserialize_with = "secret")]
    password: Option<SecretString>,
    #[serde(rename = "identitytoken", deserialize_with = "secret")]
    identity_token: Option<SecretString>,
    #[serde(rename = "registrytoken", deserialize_with = "secret")]
    registry_token: Option<SecretString>,
}

/// What a credential helper answers to `get`.
#[derive(Debug, Deserialize)]
pub(super) struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret", deserialize_with = "secret")]
    secret: Option<SecretString>,
}

/// The entry's `auth` is not base64 of `user:password`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAuth;

impl FileEntry {
    /// The login of the entry, in Docker's order: a token goes before a password.
    pub(super) fn login(&self) -> Result<Option<Login>, NotAuth> {
        if let Some(token) = &self.registry_token {
            return Ok(Some(Login::RegistryToken(token.clone())));
        }
        if let Some(token) = &self.identity_token {
            return Ok(Some(Login::IdentityToken(token.clone())));
        }
        if let Some(auth) = &self.auth {
            return decode_basic(auth).map(Some);
        }
        Ok(match (&self.username, &self.password) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Some(Login::Basic { username: username.clone(), password: password.clone() })
            }
            _ => None,
        })
    }
}

impl HelperAnswer {
    /// The login; `None` for an answer that holds no secret. The user `<token>` marks a refresh token.
    pub(super) fn login(self) -> Option<Login> {
        let secret = self.secret?;
        Some(match self.username.as_str() {
            "<token>" => Login::IdentityToken(secret),
            _ => Login::Basic { username: self.username, password: secret },
        })
    }
}

impl Login {
    /// The login as one entry of `auths`, for [`super::DockerConfig::minimal_config`].
    pub(super) fn write_entry(&self, out: &mut Zeroizing<String>) {
        let (key, value) = match self {
            Self::Basic { username, password } => ("auth", encode_basic(username, password)),
            Self::IdentityToken(token) => ("identitytoken", Zeroizing::new(token.expose_secret().to_owned())),
            Self::RegistryToken(token) => ("registrytoken", Zeroizing::new(token.expose_secret().to_owned())),
        };
        out.push_str("{\"");
        out.push_str(key);
        out.push_str("\":");
        push_json_string(out, &value);
        out.push('}');
    }
}

/// Appends `text` as a JSON string.
pub(super) fn push_json_string(out: &mut Zeroizing<String>, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Base64 of `user:password`: `auth` in Docker's file, and the value of HTTP's basic scheme.
pub(super) fn encode_basic(username: &str, password: &SecretString) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

fn decode_basic(auth: &SecretString) -> Result<Login, NotAuth> {
    let bytes = Zeroizing::new(STANDARD.decode(auth.expose_secret().trim()).map_err(|_| NotAuth)?);
    let pair = std::str::from_utf8(&bytes).map_err(|_| NotAuth)?;
    let (username, password) = pair.split_once(':').filter(|(username, _)| !username.is_empty()).ok_or(NotAuth)?;
    // Old Docker versions padded the password with NUL bytes.
    let password = SecretString::from(password.trim_matches('\0'));
    Ok(Login::Basic { username: username.to_owned(), password })
}

/// Takes a string straight into a secret; an empty one counts as absent, as in Docker.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> FileEntry {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_auth_field_is_user_and_password() {
        // base64 of `user:pa:ss` with a NUL behind it.
        let Some(Login::Basic { username, password }) = entry(r#"{"auth":"dXNlcjpwYTpzcwA="}"#).login().unwrap() else {
            panic!("no login");
        };
        assert_eq!((username.as_str(), password.expose_secret()), ("user", "pa:ss"));
    }

    #[test]
    fn a_token_goes_before_a_password_and_an_empty_entry_is_no_login() {
        let both = entry(r#"{"auth":"dXNlcjpwYXNz","identitytoken":"T"}"#);
        assert!(matches!(both.login().unwrap(), Some(Login::IdentityToken(token)) if token.expose_secret() == "T"));
        assert!(entry("{}").login().unwrap().is_none());
        assert!(entry(r#"{"auth":""}"#).login().unwrap().is_none());
    }

    #[test]
    fn a_broken_auth_field_is_an_error() {
        for auth in ["%%%", "bm9jb2xvbg==", "OnBhc3M="] {
            assert_eq!(entry(&format!(r#"{{"auth":"{auth}"}}"#)).login().unwrap_err(), NotAuth, "{auth}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let entry = entry(r#"{"auth":"dXNlcjpwYXNz","password":"hunter2","username":"u"}"#);
        let shown = format!("{entry:?} {:?}", entry.login().unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("dXNlcjpwYXNz") && !shown.contains("pass\""), "{shown}");
    }

    #[test]
    fn a_written_entry_reads_back() {
        let login = Login::Basic { username: "a\"b".to_owned(), password: SecretString::from("p\\\n\u{e9}") };
        let mut text = Zeroizing::new(String::new());
        login.write_entry(&mut text);
        let Some(Login::Basic { username, password }) = entry(&text).login().unwrap() else { panic!("no login") };
        assert_eq!((username.as_str(), password.expose_secret()), ("a\"b", "p\\\n\u{e9}"));
    }
}
