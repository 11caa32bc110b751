//! [`verdict`]: whether a runner that a provider lists may be destroyed by a sweep. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Timing;
use crate::lease::{HolderState, Labels, LeaseState, OwnerId, Recorded};
use crate::provider::{Listed, RunnerStatus, Scope};

/// How long a runner that does not run may be young: making one passes through such a state.
const STOPPED_LIMIT: Duration = Duration::from_secs(15 * 60);

const HOLDER_GONE: &str = "the process that leased it is gone";
const HOLDER_LIVES: &str = "the process that leased it lives";

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

/// Whether a runner may be destroyed. `recorded` is what this user's journal has on it. The first rule that fits decides:
///
/// 1. What cannot be told whole to be ours is shown and left.
/// 2. Who lives keeps what is theirs, whatever a clock says: clocks jump, processes do not.
/// 3. What is kept after a failure stays until then.
/// 4. Past its hard deadline a runner goes, whoever owns it.
/// 5. What this user leased goes when its process is gone; another owner's stays.
/// 6. What our owner leased elsewhere goes when its holder is proven dead, or when its soft deadline passes.
pub fn verdict(listed: &Listed, recorded: Option<&Recorded>, context: &SweepContext<'_>) -> Verdict {
    let remove = |why: &str| Verdict::Remove(why.to_owned());
    let keep = |why: &str| Verdict::Keep(why.to_owned());
    let labels = match &listed.labels {
        // Nobody else could have made it, and a process killed in the middle has written no labels.
        Err(_) if context.scope == Scope::ThisUser && listed.lease_id.is_some() => {
            return if listed.holder == HolderState::Dead { remove(HOLDER_GONE) } else { keep(HOLDER_LIVES) };
        }
        Err(why) => return Verdict::Suspicious(why.clone()),
        Ok(labels) => labels,
    };
    if listed.name != labels.lease_id.as_str() || listed.lease_id.as_ref() != Some(&labels.lease_id) {
        return Verdict::Suspicious(format!("its labels are those of the lease `{}`", labels.lease_id));
    }
    if listed.holder == HolderState::Alive && !recorded.is_some_and(was_given_up) {
        return keep(HOLDER_LIVES);
    }
    if let Some(until) = recorded.and_then(kept_until).filter(|until| context.now < *until) {
        return Verdict::Keep(format!("it is kept after a failure, until {until}"));
    }
    if recorded.is_some_and(|recorded| recorded.held) {
        return keep("a process that lives has it locked");
    }
    if context.is_past(labels.hard_deadline) {
        return Verdict::Remove(format!("its hard deadline, {}, has passed", labels.hard_deadline));
    }
    if recorded.is_some() || (context.scope == Scope::ThisUser && listed.holder == HolderState::Dead) {
        return remove(HOLDER_GONE);
    }
    if labels.owner != *context.owner {
        return Verdict::Keep(format!(
            "it belongs to another owner, `{}`, at the latest until {}",
            labels.owner, labels.hard_deadline
        ));
    }
    of_our_owner(listed, labels, context)
}

/// Of a runner that is not on this user's record.
fn of_our_owner(listed: &Listed, labels: &Labels, context: &SweepContext<'_>) -> Verdict {
    if labels.may_be_kept {
        let until = labels.hard_deadline;
        return Verdict::Keep(format!("it may be kept after a failure, at the latest until {until}"));
    }
    if listed.holder == HolderState::Dead {
        return Verdict::Remove(HOLDER_GONE.to_owned());
    }
    let expires = listed.renewed_until.map_or(labels.expires_at, |renewed| renewed.max(labels.expires_at));
    if context.is_past(expires) {
        return Verdict::Remove(format!("nobody has renewed it since its deadline, {expires}"));
    }
    if listed.status == RunnerStatus::Stopped && context.is_later(labels.created_at, STOPPED_LIMIT) {
        return Verdict::Remove("it does not run any more".to_owned());
    }
    Verdict::Keep(format!("it is held on another machine until {expires}, unless renewed"))
}

/// True when its holder tried to release it, could not, and has let it go.
fn was_given_up(recorded: &Recorded) -> bool {
    !recorded.held && matches!(recorded.record.state, LeaseState::Releasing { .. })
}

fn kept_until(recorded: &Recorded) -> Option<Timestamp> {
    match recorded.record.state {
        LeaseState::Kept { until, .. } => Some(until),
        _ => None,
    }
}

impl SweepContext<'_> {
    /// True when a deadline has passed by any clock that is not wrong by more than the grace.
    fn is_past(&self, deadline: Timestamp) -> bool {
        self.is_later(deadline, self.timing.grace)
    }

    fn is_later(&self, than: Timestamp, by: Duration) -> bool {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        than.checked_add(by).is_ok_and(|than| self.now > than)
    }
}
