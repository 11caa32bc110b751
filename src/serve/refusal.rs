//! [`Refusal`]: why a request was not carried out, as it is answered.

use crate::error::{Error, ErrorKind};
use crate::pool_api::Code;
use crate::sanitise;

/// The longest reason that is answered, in characters.
const LONGEST: usize = 1000;

/// Why a request was not carried out, as it is answered. It holds nothing that is for the operator only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people.
    pub why: String,
    /// The HTTP status, where it is another one than the code's.
    pub status: Option<u16>,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, why: impl AsRef<str>) -> Self {
        Self { code, why: sanitise::short(why.as_ref(), LONGEST), status: None }
    }

    /// The request itself is wrong.
    pub fn invalid(why: impl AsRef<str>) -> Self {
        Self::new(Code::Invalid, why)
    }

    /// There is no such lease of this token.
    pub fn unknown_lease() -> Self {
        Self::new(Code::UnknownLease, "there is no such lease")
    }

    /// Something failed that is none of the caller's business.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "the pool has a fault; its own log says which")
    }

    /// The same with another HTTP status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// What an error of a provider means to the caller. A fault's text may hold what is the operator's alone: it is logged, and
    /// not answered.
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::NoCapacity => Self::new(Code::NoCapacity, error.message()),
            ErrorKind::OverPolicy => Self::new(Code::OverPolicy, error.message()),
            _ => {
                tracing::warn!(%error, "a provider");
                Self::internal()
            }
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_its_text_to_itself() {
        let error = Error::new(ErrorKind::Provider, "token lbp_x was refused");
        assert_eq!(Refusal::of(&error), Refusal::internal());
        assert!(!Refusal::internal().why.contains("lbp_x"));
        let full = Refusal::of(&Error::new(ErrorKind::NoCapacity, "no \u{1b}[31mcax41"));
        assert_eq!((full.code, full.status()), (Code::NoCapacity, 503));
        assert!(!full.why.contains('\u{1b}'));
    }
}
