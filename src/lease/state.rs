//! [`LeaseState`]: where a lease stands between intent and verified release, and which steps there are.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Where a lease stands.
///
/// ```text
/// intent ──► created ──► ready ──► kept
///    │           │          │        │
///    └───────────┴──────────┴────────┴──► releasing ──► released
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LeaseState {
    /// Written before the first request: something may exist under the lease's name.
    Intent,
    /// The provider confirmed that it makes the runner.
    Created {
        /// The provider's own id of it.
        remote_id: String,
    },
    /// The runner answers.
    Ready {
        /// How it is reached.
        endpoint: Box<Endpoint>,
    },
    /// Left standing after a failure because the caller asked for it.
    Kept {
        /// How it is reached.
        endpoint: Box<Endpoint>,
        /// Until when.
        until: Timestamp,
    },
    /// The request to destroy it goes out, or went out.
    Releasing {
        /// Why, in words.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// Verified gone.
    Released {
        /// When that was verified.
        verified_at: Timestamp,
    },
}

/// A step that the state it was tried from does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidStep {
    /// From which state.
    pub from: &'static str,
    /// To which one.
    pub to: &'static str,
}

impl fmt::Display for InvalidStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a lease that is `{}` cannot become `{}`", self.from, self.to)
    }
}

impl std::error::Error for InvalidStep {}

impl LeaseState {
    /// The state's name, as it stands in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Created { .. } => "created",
            Self::Ready { .. } => "ready",
            Self::Kept { .. } => "kept",
            Self::Releasing { .. } => "releasing",
            Self::Released { .. } => "released",
        }
    }

    /// Goes on to `next`.
    ///
    /// # Errors
    /// [`InvalidStep`] for a step that is not drawn above. `releasing` may be repeated: each attempt is one.
    pub fn step(&mut self, next: Self) -> Result<(), InvalidStep> {
        let allowed = matches!(
            (&*self, &next),
            (Self::Intent, Self::Created { .. } | Self::Ready { .. })
                | (Self::Created { .. }, Self::Ready { .. })
                | (Self::Ready { .. }, Self::Kept { .. })
                | (
                    Self::Intent
                        | Self::Created { .. }
                        | Self::Ready { .. }
                        | Self::Kept { .. }
                        | Self::Releasing { .. },
                    Self::Releasing { .. }
                )
                | (Self::Releasing { .. }, Self::Released { .. })
        );
        if !allowed {
            return Err(InvalidStep { from: self.name(), to: next.name() });
        }
        *self = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a state leads to, by name: the drawing above, written down once more.
    fn leads_to(from: &str) -> &'static [&'static str] {
        match from {
            "intent" => &["created", "ready", "releasing"],
            "created" => &["ready", "releasing"],
            "ready" => &["kept", "releasing"],
            "kept" => &["releasing"],
            "releasing" => &["releasing", "released"],
            _ => &[],
        }
    }

    fn any_state() -> impl Strategy<Value = LeaseState> {
        let endpoint = || Box::new(Endpoint::nowhere());
        let now = Timestamp::UNIX_EPOCH;
        prop::sample::select(vec![
            LeaseState::Intent,
            LeaseState::Created { remote_id: "7".to_owned() },
            LeaseState::Ready { endpoint: endpoint() },
            LeaseState::Kept { endpoint: endpoint(), until: now },
            LeaseState::Releasing { reason: "done".to_owned(), since: now },
            LeaseState::Released { verified_at: now },
        ])
    }

    proptest! {
        #[test]
        fn only_the_steps_that_are_drawn_are_taken(steps in prop::collection::vec(any_state(), 0..12)) {
            let mut state = LeaseState::Intent;
            let mut was_releasing = false;
            for next in steps {
                let (from, to) = (state.name(), next.name());
                match state.step(next) {
                    Ok(()) => prop_assert!(leads_to(from).contains(&to), "{} to {}", from, to),
                    Err(refused) => {
                        prop_assert_eq!(&refused, &InvalidStep { from, to });
                        prop_assert!(!leads_to(from).contains(&to), "{} to {}", from, to);
                        prop_assert_eq!(state.name(), from);
                    }
                }
                // Nothing comes back, and nothing is gone that was not asked to go.
                prop_assert!(!was_releasing || matches!(state.name(), "releasing" | "released"));
                was_releasing |= state.name() == "releasing";
                prop_assert!(state.name() != "released" || was_releasing);
            }
        }

        #[test]
        fn every_state_reads_back_from_the_journal(state in any_state()) {
            let text = serde_json::to_value(&state).unwrap();
            prop_assert_eq!(&text["state"], state.name());
            let back: LeaseState = serde_json::from_value(text.clone()).unwrap();
            prop_assert_eq!(serde_json::to_value(&back).unwrap(), text);
        }
    }
}
