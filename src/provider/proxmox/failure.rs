//! [`Failure`]: a request that did not succeed, told apart by what is known of it. The API has no codes: what it says stands
//! in the HTTP reason phrase, in `message` and in `errors`, and older releases have the phrase alone.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::env_vars;
use crate::error::{Error, ErrorKind};

/// The longest part of the API's words that is shown.
const MAX_SHOWN: usize = 400;

/// In place of a status: the connection was ended before anything was asked, for its certificate.
pub(super) const CERTIFICATE: u16 = 0;

/// Statuses of the node that was spoken to, about another one that it did not reach, or of something in between.
const GATEWAY: [u16; 9] = [502, 503, 504, 595, 596, 597, 598, 599, 429];

/// A request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The API said no.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words, safe to show.
        words: String,
    },
    /// No answer, or none that says anything: it may have been carried out.
    Unknown(String),
    /// The connection was not made, so nothing was carried out.
    NotSent(String),
}

/// What is read of a refusal's body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    message: Option<String>,
    errors: Option<BTreeMap<String, serde_json::Value>>,
}

impl Failure {
    /// The refusal that an answer is. `redact` takes the token out of it.
    pub(super) fn of_answer(status: u16, reason: &str, body: &[u8], redact: impl Fn(&str) -> String) -> Self {
        let said: Said = serde_json::from_slice(body).unwrap_or_default();
        let mut words = reason.trim().to_owned();
        if let Some(message) = said.message.as_deref().map(str::trim)
            && !message.is_empty()
            && !words.contains(message)
        {
            words = if message.contains(&words) { message.to_owned() } else { format!("{words}: {message}") };
        }
        for (parameter, why) in said.errors.into_iter().flatten() {
            let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
            words = format!("{words}; {parameter}: {}", why.trim());
        }
        let words = crate::sanitise::short(&redact(&words), MAX_SHOWN);
        if GATEWAY.contains(&status) {
            Self::Unknown(format!("{status} {words}"))
        } else {
            Self::Refused { status, words }
        }
    }

    /// A refusal that something else than the HTTP status tells: how a task ended.
    pub(super) fn of_task(exit: &str) -> Self {
        Self::Refused { status: 500, words: crate::sanitise::short(exit, MAX_SHOWN) }
    }

    /// What was said, safe to show.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Refused { words, .. } | Self::Unknown(words) | Self::NotSent(words) => words,
        }
    }

    fn said(&self, part: &str) -> bool {
        matches!(self, Self::Refused { words, .. } if words.contains(part))
    }

    /// True when the API says that there is no such machine. It does so with status 500.
    pub(super) fn is_missing(&self) -> bool {
        self.said("does not exist") || matches!(self, Self::Refused { status: 404, .. })
    }

    /// True when somebody has the id already.
    pub(super) fn is_taken(&self) -> bool {
        self.said("already exists")
    }

    /// True when something else is being done to the machine: it passes.
    pub(super) fn is_busy(&self) -> bool {
        self.said("is locked") || self.said("can't lock file") || self.said("got timeout")
    }

    /// True when the configuration was changed since it was read.
    pub(super) fn is_outdated(&self) -> bool {
        self.said("detected modified configuration")
    }

    /// True when it may have been carried out all the same.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// True when asking again may help, and does no harm for what changes nothing.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::NotSent(_))
    }

    /// The failure as an error. `what` is read after `Proxmox VE cannot`.
    pub(super) fn into_error(self, what: &str) -> Error {
        let error = |kind| Error::new(kind, format!("Proxmox VE cannot {what}: {}", self.words()));
        match self {
            Self::Refused { status: 401, .. } => error(ErrorKind::Credentials)
                .hint("is the token right, and has it not expired? `pveum user token list USER` shows what there is"),
            Self::Refused { status: 403, .. } => {
                error(ErrorKind::Credentials).hint("docs/proxmox.md says which privileges the token needs, and where")
            }
            Self::Refused { status: CERTIFICATE, .. } => error(ErrorKind::Provider).hint(format!(
                "a Proxmox node signs its own certificate: {} names its authority (/etc/pve/pve-root-ca.pem), {} the one certificate",
                env_vars::PROXMOX_VE_CA_FILE,
                env_vars::PROXMOX_VE_FINGERPRINT
            )),
            _ => error(ErrorKind::Provider),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, reason: &str, body: &str) -> Failure {
        Failure::of_answer(status, reason, body.as_bytes(), |text| text.replace("s3cret", "[REDACTED]"))
    }

    #[test]
    fn all_places_of_words_are_read() {
        let taken = answer(
            400,
            "Parameter verification failed.",
            r#"{"data":null,"errors":{"newid":"VM 218 already exists\n"}}"#,
        );
        assert!(taken.is_taken(), "{taken:?}");
        assert_eq!(taken.words(), "Parameter verification failed.; newid: VM 218 already exists");
        let missing = answer(500, "Configuration file 'nodes/n/qemu-server/7.conf' does not exist", r#"{"data":null}"#);
        assert!(missing.is_missing() && !missing.is_taken() && !missing.is_passing());
        let new = answer(500, "VM is locked (clone)", r#"{"data":null,"message":"VM is locked (clone)\n"}"#);
        assert_eq!((new.words(), new.is_busy()), ("VM is locked (clone)", true));
        assert_eq!(answer(403, "no s3cret\u{1b}[31m", "").words(), "no [REDACTED]");
        assert_eq!(answer(595, "No route to host", "<html>"), Failure::Unknown("595 No route to host".to_owned()));
    }

    #[test]
    fn the_kind_of_a_refusal_is_the_exit_code() {
        let kind = |status| answer(status, "no", "").into_error("do it").kind();
        assert_eq!(
            [kind(401), kind(403), kind(500)],
            [ErrorKind::Credentials, ErrorKind::Credentials, ErrorKind::Provider]
        );
    }
}
