//! What the daemon's refusals and silences mean.

use bollard::errors::Error as DockerError;

use crate::error::{Error, ErrorKind};

/// The status code of an answer that is a refusal.
pub(super) fn status(error: &DockerError) -> Option<u16> {
    match error {
        DockerError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// True when the daemon says that there is no such thing.
pub(super) fn is_not_found(error: &DockerError) -> bool {
    status(error) == Some(404)
}

/// True when the request may have been carried out all the same: no answer came, or one that says nothing certain.
pub(super) fn is_unknown(error: &DockerError) -> bool {
    status(error).is_none_or(|status| status >= 500)
}

/// What the daemon said, safe to show.
pub(super) fn words(error: &DockerError) -> String {
    match error {
        DockerError::DockerResponseServerError { message, .. } => crate::sanitise::line(message),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                let words = cause.to_string();
                if !text.contains(&words) {
                    text = format!("{text}: {words}");
                }
                source = cause.source();
            }
            crate::sanitise::line(&text)
        }
    }
}

/// A fault of the daemon while it did `what`.
pub(super) fn fault(what: &str, error: &DockerError) -> Error {
    Error::new(ErrorKind::Provider, format!("Docker cannot {what}: {}", words(error)))
}
