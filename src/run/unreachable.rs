//! [`Unreachable`]: the mark of an error that says that a runner was sought over SSH for as long as patience allows.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The cause of an error that says that a runner could not be reached; how it fares is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreachable;

impl Unreachable {
    /// An error of kind `Runner` that carries this mark.
    pub(super) fn error(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Runner, message).because(Self)
    }

    /// True for an error that carries it.
    pub(super) fn is_cause_of(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for Unreachable {
    /// Nothing: all is in the message.
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Unreachable {}
