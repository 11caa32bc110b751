//! [`verdict`]: whether a runner that a provider lists may be destroyed by a sweep. Pure.

use jiff::{SignedDuration, Timestamp};

use super::Timing;
use crate::lease::{HolderState, OwnerId, Recorded};
use crate::provider::{Listed, Scope};

/// What a sweep does with a runner, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is ours, and nobody needs it.
    Remove(String),
    /// Somebody may need it.
    Keep(String),
    /// It says it is ours and cannot be proven to be: it is shown and never touched.
    Suspicious(String),
}

/// What a sweep knows.
#[derive(Debug, Clone)]
pub struct SweepContext<'a> {
    /// Whose runners are swept.
    pub owner: &'a OwnerId,
    /// The time.
    pub now: Timestamp,
    /// What the provider's list shows.
    pub scope: Scope,
    /// The protocol's durations.
    pub timing: Timing,
}

/// Whether a runner may be destroyed. `recorded` is what this user's journal has on it.
pub fn verdict(listed: &Listed, recorded: Option<&Recorded>, context: &SweepContext<'_>) -> Verdict {
    let _ = recorded;
    let grace = SignedDuration::try_from(context.timing.grace).unwrap_or(SignedDuration::ZERO);
    if context.scope == Scope::ThisUser {
        return match listed.holder {
            HolderState::Dead => Verdict::Remove("the process that leased it is gone".to_owned()),
            _ => Verdict::Keep("the process that leased it lives".to_owned()),
        };
    }
    match &listed.labels {
        Err(why) => Verdict::Suspicious(why.clone()),
        Ok(labels) if labels.hard_deadline.saturating_add(grace).is_ok_and(|end| context.now > end) => {
            Verdict::Remove("its hard deadline has passed".to_owned())
        }
        Ok(_) => Verdict::Keep("it is in use".to_owned()),
    }
}
