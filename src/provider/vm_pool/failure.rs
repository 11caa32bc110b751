//! [`Failure`]: a request that was not carried out, told apart by what the client does next.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::pool_api::Code;

/// The longest pause that a pool may ask for before a request is sent again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A request that was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The pool has no such lease of ours, by its own word: that alone proves that a runner is gone.
    Unknown(Error),
    /// It may pass: the same request is sent again, at the earliest after so long.
    Passing {
        /// What was seen.
        error: Error,
        /// The pool's own wish.
        after: Option<Duration>,
    },
    /// The pool answered what cannot be read.
    Unreadable(Error),
    /// Refused by the pool's own word: nothing was done. Sending it again changes nothing.
    Refused(Error),
    /// Sending it again changes nothing.
    Final(Error),
}

/// What a pool said of a request that it did not carry out.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    /// The pool, as messages name it.
    pub(super) pool: &'a str,
    /// What it was asked to do: `lease a runner`.
    pub(super) doing: &'a str,
    /// The HTTP status.
    pub(super) status: u16,
    /// Why, for programs.
    pub(super) code: Option<Code>,
    /// Why, for people: safe to show, and empty or beginning with `: `.
    pub(super) said: String,
    /// After how long it wants to be asked again.
    pub(super) after: Option<Duration>,
    /// True when the request carried a token.
    pub(super) with_token: bool,
    /// True for a request that asks for a runner: then what is wrong about it is the caller's to mend.
    pub(super) creates: bool,
}

impl Failure {
    pub(crate) fn passing(error: Error) -> Self {
        Self::Passing { error, after: None }
    }

    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Passing { .. })
    }

    /// The pause before the next attempt: the usual one, or a longer one that the pool asked for.
    pub(crate) fn pause(&self, usual: Duration) -> Duration {
        match self {
            Self::Passing { after: Some(after), .. } => usual.max((*after).min(LONGEST_WAIT)),
            _ => usual,
        }
    }

    pub(crate) fn error(&self) -> &Error {
        match self {
            Self::Unknown(error)
            | Self::Passing { error, .. }
            | Self::Unreadable(error)
            | Self::Refused(error)
            | Self::Final(error) => error,
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Unknown(error)
            | Self::Passing { error, .. }
            | Self::Unreadable(error)
            | Self::Refused(error)
            | Self::Final(error) => error,
        }
    }

    /// By the pool's code, and by the HTTP status where it gives none: never by its words.
    pub(super) fn refused(refused: Refused<'_>) -> Self {
        let Refused { pool, doing, status, said, after, .. } = &refused;
        let error = |kind: ErrorKind, what: &str| Error::new(kind, format!("the pool `{pool}` {what}{said}"));
        let cannot = format!("did not {doing} (status {status})");
        match (refused.code, *status) {
            (Some(Code::NoCapacity), _) => Self::Refused(
                error(ErrorKind::NoCapacity, "has no such runner now").hint("`--wait-capacity DURATION` waits for one"),
            ),
            // With a time to come back it is only too fast.
            (Some(Code::Quota), _) | (None | Some(Code::Other), 429) if after.is_some() => {
                Self::Passing { error: error(ErrorKind::NoCapacity, "has had too many requests"), after: *after }
            }
            (Some(Code::Quota), _) => Self::Refused(
                error(ErrorKind::NoCapacity, "lets this token have no more")
                    .hint("wait until another build has ended, or ask the pool's operator for a larger quota"),
            ),
            (Some(Code::OverPolicy), _) => Self::Refused(
                error(ErrorKind::OverPolicy, "does not allow this token such a lease")
                    .hint("the pool's operator decides what a token may have"),
            ),
            (Some(Code::UnknownLease), _) => Self::Unknown(error(ErrorKind::Provider, "has no such lease")),
            (Some(Code::KeyReused), _) => {
                Self::Refused(error(ErrorKind::Provider, "has another request under this lease's name"))
            }
            (Some(Code::Invalid), _) if refused.creates => {
                Self::Refused(error(ErrorKind::Usage, "cannot lease what was asked for"))
            }
            (Some(Code::Unauthorized), _) | (_, 401) => Self::Refused(unauthorized(&refused)),
            (None, 403) => Self::Refused(unauthorized(&refused)),
            (_, 429 | 500..=599) => Self::Passing { error: error(ErrorKind::Provider, &cannot), after: *after },
            _ => Self::Final(error(ErrorKind::Provider, &cannot)),
        }
    }
}

fn unauthorized(refused: &Refused<'_>) -> Error {
    let Refused { pool, said, .. } = refused;
    let variable = crate::env_vars::ORCHESTRATOR_TOKEN;
    let (what, hint) = if refused.with_token {
        ("does not take the token", format!("{variable} has to be a token of this pool"))
    } else {
        ("wants a token", format!("set {variable} to a token of this pool"))
    };
    Error::new(ErrorKind::Credentials, format!("the pool `{pool}` {what}{said}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<Code>, after: Option<u64>, creates: bool) -> Failure {
        Failure::refused(Refused {
            pool: "https://pool.example",
            doing: "lease a runner",
            status,
            code,
            said: ": no".to_owned(),
            after: after.map(Duration::from_secs),
            with_token: true,
            creates,
        })
    }

    #[test]
    fn the_code_decides_and_the_status_where_there_is_none() {
        for (status, code, kind) in [
            (503, Some(Code::NoCapacity), ErrorKind::NoCapacity),
            (429, Some(Code::Quota), ErrorKind::NoCapacity),
            (403, Some(Code::OverPolicy), ErrorKind::OverPolicy),
            (409, Some(Code::KeyReused), ErrorKind::Provider),
            (400, Some(Code::Invalid), ErrorKind::Usage),
            (401, Some(Code::Unauthorized), ErrorKind::Credentials),
            (401, None, ErrorKind::Credentials),
            (403, None, ErrorKind::Credentials),
            (404, None, ErrorKind::Provider),
            (418, Some(Code::Other), ErrorKind::Provider),
        ] {
            let failure = refused(status, code, None, true);
            let is_refused = matches!(failure, Failure::Refused(_));
            assert_eq!(is_refused, !matches!(status, 404 | 418), "{status} {code:?}: {failure:?}");
            assert_eq!(failure.error().kind(), kind, "{status} {code:?}");
            assert!(failure.error().message().ends_with(": no"));
        }
        assert_eq!(refused(400, Some(Code::Invalid), None, false).error().kind(), ErrorKind::Provider);
        for (status, code) in
            [(500, Some(Code::Internal)), (502, None), (503, None), (429, None), (503, Some(Code::Other))]
        {
            assert!(refused(status, code, None, true).is_passing(), "{status} {code:?}");
        }
    }

    #[test]
    fn only_the_pools_own_word_is_proof_that_a_lease_is_gone() {
        assert!(matches!(refused(404, Some(Code::UnknownLease), None, false), Failure::Unknown(_)));
        assert!(matches!(refused(404, None, None, false), Failure::Final(_)));
    }

    #[test]
    fn who_is_asked_to_wait_waits_but_not_for_ever() {
        let second = Duration::from_secs(1);
        for (after, pause) in [(0, 1), (7, 7), (86_400, 60)] {
            let failure = refused(429, Some(Code::Quota), Some(after), true);
            assert!(failure.is_passing());
            assert_eq!(failure.pause(second), Duration::from_secs(pause));
        }
        assert_eq!(refused(502, None, None, true).pause(second), second);
    }
}
