//! [`Failure`]: a request that went wrong, told apart by whether it is worth sending again, and explained.

use std::error::Error as StdError;

use reqwest::StatusCode;

use crate::error::{Error, ErrorKind};
use crate::registry::reference::is_loopback_host;
use crate::sanitise;

/// The longest answer of a registry that is read for its error message.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// The longest part of a registry's own words that is shown.
const MAX_SHOWN: usize = 300;

/// A failed request.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may pass: the connection broke, or the registry is overloaded.
    Passing(Error),
    /// Sending it again changes nothing.
    Final(Error),
}

impl Failure {
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Passing(_))
    }

    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Passing(error) | Self::Final(error) => error,
        }
    }

    /// A request that got no answer from `host`.
    pub(super) fn transport(host: &str, plain_http: bool, error: reqwest::Error) -> Self {
        let network = |why: &str| Error::new(ErrorKind::Network, format!("the registry `{host}` {why}"));
        let no_https = |error: Error| {
            Self::Final(error.hint(format!("if it speaks plain HTTP, say so: `--insecure-registry {host}`")))
        };
        match tls_error(&error) {
            Some(rustls::Error::InvalidMessage(_)) => no_https(network("does not speak HTTPS")),
            Some(tls) => Self::Final(network("has no certificate that is trusted here").because(tls.clone()).hint(
                "put the certificate of its authority into this machine's store, or name it in `SSL_CERT_FILE`",
            )),
            None if error.is_timeout() => Self::Final(network("did not answer in time").because(error.without_url())),
            None if error.is_connect() && ended_early(&error) => {
                no_https(network("ended the TLS handshake").because(error.without_url()))
            }
            None if error.is_connect() => {
                Self::Passing(network("cannot be reached").because(error.without_url()).hint(format!(
                    "is the name right, and is it running? The registry is the part of the image name before the first `/`: `{host}`"
                )))
            }
            // A TLS server that is spoken to in plain HTTP answers with an alert, which is no HTTP.
            None if plain_http && !error.is_body() => Self::Final(explain_plain_http(
                network("does not answer in plain HTTP").because(error.without_url()),
                host,
            )),
            None => Self::Passing(network("broke the connection").because(error.without_url())),
        }
    }

    /// An answer of `host` that is neither a success nor a refusal. `doing` says what was asked for.
    pub(super) fn status(host: &str, plain_http: bool, doing: &str, status: StatusCode, said: &str) -> Self {
        let error = Error::new(
            ErrorKind::Network,
            format!("the registry `{host}` answered {} when asked {doing}{said}", status.as_u16()),
        );
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Passing(error.hint("its rate limit is used up: log in, or wait")),
            _ if status.is_server_error() => Self::Passing(error),
            StatusCode::BAD_REQUEST if plain_http && said.contains("HTTPS") => {
                Self::Final(explain_plain_http(error, host))
            }
            _ => Self::Final(error),
        }
    }
}

fn explain_plain_http(error: Error, host: &str) -> Error {
    error.hint(if is_loopback_host(host) {
        format!("BuildKit speaks plain HTTP to registries on this machine; if `{host}` speaks HTTPS, use its host name")
    } else {
        format!("if `{host}` speaks HTTPS, leave out `--insecure-registry {host}`")
    })
}

/// The TLS error behind a failed request.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    causes(error).into_iter().find_map(|cause| cause.downcast_ref())
}

/// True when the other side closed the connection while we were still greeting.
fn ended_early(error: &reqwest::Error) -> bool {
    causes(error)
        .into_iter()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
}

/// Every cause, those included that `std` hides within I/O errors.
fn causes(error: &reqwest::Error) -> Vec<&(dyn StdError + 'static)> {
    let mut found = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        found.push(cause);
        let hidden = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = hidden.map(|hidden| hidden as &(dyn StdError + 'static)).or_else(|| cause.source());
    }
    found
}

/// What the registry itself says about an error, as `: CODE: message`; empty when it says nothing.
pub(super) async fn words(response: reqwest::Response) -> String {
    let body = match read_bounded(response, MAX_ERROR_BYTES).await {
        Ok(Some(body)) => body,
        Ok(None) | Err(_) => return String::new(),
    };
    let text = match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(json) => from_json(&json),
        Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    let shown: String = sanitise::line(&text).chars().take(MAX_SHOWN).collect();
    if shown.is_empty() || shown.starts_with('<') { String::new() } else { format!(": {shown}") }
}

/// `errors[0]` of the distribution specification, or OAuth2's `error_description`.
fn from_json(json: &serde_json::Value) -> String {
    let text = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_str).map(str::to_owned);
    let first = json.get("errors").and_then(|errors| errors.get(0));
    let parts = match first {
        Some(error) => [text(error.get("code")), text(error.get("message"))],
        None => [text(json.get("error")), text(json.get("error_description").or_else(|| json.get("details")))],
    };
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// The answer's body; `None` when it is longer than `limit`.
pub(super) async fn read_bounded(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_words_are_found_in_both_forms() {
        let json = serde_json::json!({"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]});
        assert_eq!(from_json(&json), "DENIED: no");
        assert_eq!(
            from_json(&serde_json::json!({"error":"invalid_grant","error_description":"old"})),
            "invalid_grant: old"
        );
        assert_eq!(from_json(&serde_json::json!([1, 2])), "");
    }

    #[test]
    fn overload_is_worth_another_try_and_a_bad_request_is_not() {
        let status = |code| Failure::status("h", false, "x", StatusCode::from_u16(code).unwrap(), "");
        assert!(status(503).is_passing() && status(429).is_passing());
        assert!(!status(400).is_passing() && !status(404).is_passing());
    }
}
