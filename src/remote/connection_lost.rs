//! [`ConnectionLost`]: the mark of an error that a new connection may cure.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The cause of an error that says nothing of the runner or of what runs on it: only the way there broke. What was asked
/// may have been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLost {
    /// What `ssh` or rsync said of it; may be empty.
    said: String,
}

impl ConnectionLost {
    /// An error of kind `Runner` that carries this mark. `said` is foreign text.
    pub fn error(message: impl Into<String>, said: &str) -> Error {
        Error::new(ErrorKind::Runner, message).because(Self { said: crate::sanitise::lines(said.trim()) })
    }

    /// True for an error that carries it.
    pub fn is_cause_of(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for ConnectionLost {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_errors_carry_the_mark() {
        let lost = ConnectionLost::error("it broke", "Broken pipe\n");
        assert!(ConnectionLost::is_cause_of(&lost));
        assert_eq!(lost.to_string(), "it broke: Broken pipe");
        assert!(!ConnectionLost::is_cause_of(&Error::new(ErrorKind::Runner, "it broke")));
    }

    #[test]
    fn what_was_not_said_leaves_no_trace() {
        assert_eq!(ConnectionLost::error("it broke", "").to_string(), "it broke");
    }
}
