//! [`Failure`]: a call that went wrong, told apart by the API's code, and explained without what must not be repeated.

use secrecy::{ExposeSecret as _, SecretString};

use super::wire::ApiError;
use crate::env_vars;
use crate::error::{Error, ErrorKind};
use crate::sanitise;

/// The shortest beginning of the token that is taken for it.
const SHORTEST: usize = 6;

/// The longest part of the API's own words that is shown.
const LONGEST: usize = 200;

/// Why a call has no result.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The API said no; nothing was done, unless the code says that nobody knows.
    Refused {
        /// What it says in one word: everything is decided by it.
        code: String,
        /// Its own words, safe to show.
        said: String,
        /// The fields of the request that it did not like.
        fields: Vec<String>,
    },
    /// Nobody knows whether it was done: no answer came, or none of the API's own.
    Lost(String),
}

impl Failure {
    /// What an error of the API's means.
    pub(super) fn refused(error: ApiError, token: &SecretString) -> Self {
        let fields = error.details.as_ref().and_then(|details| details.get("fields")?.as_array().cloned());
        let name = |field: serde_json::Value| Some(field.get("name")?.as_str()?.to_owned());
        Self::Refused {
            code: sanitise::short(&sanitise::line(&error.code), 40),
            said: redact(&error.message, token),
            fields: fields.unwrap_or_default().into_iter().filter_map(name).collect(),
        }
    }

    /// The API's code; empty when it gave no answer.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Lost(_) => "",
        }
    }

    /// There is no such thing: for a deletion that is success.
    pub(super) fn is_not_found(&self) -> bool {
        self.code() == "not_found"
    }

    /// Nothing was done, and the same call may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.code(), "conflict" | "rate_limit_exceeded")
    }

    /// Nobody knows whether it was done. A call that may be repeated is; one that makes something is looked for first.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Lost(_)) || matches!(self.code(), "timeout" | "bad_gateway" | "unknown_error")
    }

    /// Something else is being done to it at this moment.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.code(), "locked" | "resource_locked" | "conflict" | "resource_in_use")
    }

    /// No such server can be had there now; elsewhere, or later, one may.
    pub(super) fn is_out_of_stock(&self) -> bool {
        match self {
            Self::Refused { code, fields, .. } => match code.as_str() {
                "resource_unavailable" | "placement_error" => true,
                // The type is not sold in the location.
                "invalid_input" => {
                    !fields.is_empty() && fields.iter().all(|field| field == "location" || field == "server_type")
                }
                _ => false,
            },
            Self::Lost(_) => false,
        }
    }

    /// The same for the user. `doing` continues "Hetzner Cloud did not".
    pub(super) fn into_error(self, doing: &str) -> Error {
        let message = format!("Hetzner Cloud did not {doing}: {self}");
        match self.code() {
            "unauthorized" | "forbidden" | "token_readonly" => Error::new(ErrorKind::Credentials, message)
                .hint(format!("`{}` must hold a token of the project that may read and write", env_vars::HCLOUD_TOKEN)),
            "resource_limit_exceeded" => Error::new(ErrorKind::NoCapacity, message).hint(
                "the project's own limit is reached: `lian-build runners gc` removes what is left of earlier builds, and a \
                 higher limit is asked for in the project's console, under Limits",
            ),
            "resource_unavailable" | "placement_error" => Error::new(ErrorKind::NoCapacity, message),
            "deprecated_api_endpoint" => {
                Error::new(ErrorKind::Provider, message).hint("a newer lian-build is needed for the API of today")
            }
            _ => Error::new(ErrorKind::Provider, message),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { code, said, .. } if said.is_empty() => write!(f, "{code}"),
            Self::Refused { code, said, .. } => write!(f, "{code} ({said})"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

/// The API's words without the token, of which it quotes the beginning when there were too many requests, and without anything
/// else that could be one.
fn redact(text: &str, token: &SecretString) -> String {
    let token = token.expose_secret().as_bytes();
    let text = sanitise::line(text);
    let bytes = text.as_bytes();
    let mut safe = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let common = rest.iter().zip(token).take_while(|(a, b)| a == b).count();
        let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let starts_word = at == 0 || !bytes.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
        if common >= SHORTEST.min(token.len()).max(1) {
            safe.push('…');
            at += common.max(word);
        } else if starts_word && word >= 24 {
            safe.push('…');
            at += word;
        } else {
            let character = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
            safe.push(character);
            at += character.len_utf8();
        }
    }
    sanitise::short(&safe, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str, message: &str) -> Failure {
        let token = SecretString::from("Abcdef0123456789abcdef0123456789Abcdef0123456789abcdef0123456789".to_owned());
        Failure::refused(ApiError { code: code.to_owned(), message: message.to_owned(), details: None }, &token)
    }

    #[test]
    fn the_token_is_never_repeated() {
        for said in [
            "Limit of '3600' requests per hour for token 'Abcdef0123456789abcdef0123456789' reached.",
            "Limit of '3600' requests per hour for token 'Abcdef01' reached.",
            "token=Abcdef0123456789abcdef0123456789Abcdef0123456789abcdef0123456789",
            "another: ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
        ] {
            let error = failure("rate_limit_exceeded", said).into_error("list its servers");
            let text = format!("{error:?}");
            for part in ["Abcdef", "abcdef0", "ZZZZ", "0123456"] {
                assert!(!text.contains(part), "{part} in {text}");
            }
        }
        let plain = failure("locked", "server is locked – größe").to_string();
        assert_eq!(plain, "locked (server is locked – größe)");
    }

    #[test]
    fn the_code_decides_and_not_the_words() {
        let kind = |code: &str| failure(code, "error during placement").into_error("x").kind();
        assert_eq!(kind("resource_unavailable"), ErrorKind::NoCapacity);
        assert_eq!(kind("resource_limit_exceeded"), ErrorKind::NoCapacity);
        assert_eq!(kind("unauthorized"), ErrorKind::Credentials);
        assert_eq!(kind("service_error"), ErrorKind::Provider);
        assert!(failure("placement_error", "").is_out_of_stock() && !failure("server_error", "").is_out_of_stock());
        assert!(failure("timeout", "").is_unknown() && failure("conflict", "").is_passing());
        let field = |name: &str| {
            let details = serde_json::json!({ "fields": [{ "name": name, "messages": [] }] });
            let error = ApiError { code: "invalid_input".into(), message: String::new(), details: Some(details) };
            Failure::refused(error, &SecretString::from("x".to_owned()))
        };
        assert!(field("location").is_out_of_stock() && !field("user_data").is_out_of_stock());
    }
}
