//! The one error type of the crate: a kind, a message, hints and a cause.
//!
//! The kind alone decides the exit code (see [`crate::exit`]); nothing branches on a message's text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sanitise;

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is. Each kind has exactly one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command line, an environment variable or the context is not usable.
    Usage,
    /// `.build-spec.ncl`, a tiers file, directives, a policy or a catalog is not valid.
    Spec,
    /// The build itself failed: a step's command, the Dockerfile, a missing base image.
    Build,
    /// The build ran out of memory and no retry is left.
    OutOfMemory,
    /// No machine of that size can be had, by the provider's or the machine's own word.
    NoCapacity,
    /// The operator's policy does not allow what was asked for.
    OverPolicy,
    /// The provider or its API failed.
    Provider,
    /// A network peer that is needed (a registry, say) could not be reached or broke the protocol.
    Network,
    /// The leased machine failed: unreachable, disk full, `buildkitd` died.
    Runner,
    /// The state or cache directory of this machine cannot be used.
    State,
    /// The attempt's time budget is used up.
    TimeBudget,
    /// A release could not be confirmed: something may still exist or be billed.
    ReleaseUnconfirmed,
    /// A secret or a registry login is missing or was refused.
    Credentials,
    /// The run was ended by a signal.
    Cancelled(Signal),
}

/// The signals that end a run in an orderly way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// The terminal went away.
    Sighup,
    /// Ctrl-C.
    Sigint,
    /// A polite request to end.
    Sigterm,
}

impl Signal {
    /// The signal's number, the same on every Unix.
    pub const fn number(self) -> u8 {
        match self {
            Self::Sighup => 1,
            Self::Sigint => 2,
            Self::Sigterm => 15,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sighup => "SIGHUP",
            Self::Sigint => "SIGINT",
            Self::Sigterm => "SIGTERM",
        })
    }
}

impl ErrorKind {
    /// The word that stands in the envelope's `error.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Spec => "spec",
            Self::Build => "build",
            Self::OutOfMemory => "out_of_memory",
            Self::NoCapacity => "no_capacity",
            Self::OverPolicy => "over_policy",
            Self::Provider => "provider",
            Self::Network => "network",
            Self::Runner => "runner",
            Self::State => "state",
            Self::TimeBudget => "time_budget",
            Self::ReleaseUnconfirmed => "release_unconfirmed",
            Self::Credentials => "credentials",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

/// What happened (`message`, with the value and the place), what caused it, and what to do (`hints`).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` is a lower-case fragment that names the value and the place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hints: Vec::new(), source: None }))
    }

    /// Bad usage: exit 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Adds one line that says what to do, made safe for a terminal.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(sanitise::lines(&hint.into()));
        self
    }

    /// Adds the underlying cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same fault, where it means something else.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind, which decides the exit code.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message with the chain of its causes, made safe for a terminal.
    pub fn message(&self) -> String {
        let mut text = self.0.message.clone();
        let mut cause: Option<&dyn std::error::Error> =
            self.0.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(source) = cause {
            let part = source.to_string();
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = source.source();
        }
        sanitise::lines(&text)
    }

    /// What the user can do, one line each.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.message())
            .field("hints", &self.0.hints)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Turns any error into ours, with the kind and the place said where it happened.
pub trait Context<T> {
    /// Wraps the error as the cause of a new one of `kind`.
    fn context(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(kind, message()).because(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_causes_once() {
        let error = Error::new(ErrorKind::State, "cannot open `x`").because(std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "cannot open `x`: disk on fire");
    }

    #[test]
    fn terminal_escapes_do_not_survive_in_a_message() {
        let error = Error::usage("bad \u{1b}[31mname");
        assert!(!error.to_string().contains('\u{1b}'));
        let hinted = Error::usage("bad").hint("did you mean `\u{1b}[31mname`?");
        assert!(!hinted.hints().concat().contains('\u{1b}'), "{hinted:?}");
    }
}
