//! [`LeaseRequest`]: what a provider is asked for.

use jiff::Timestamp;

use crate::ids::{ActorId, LeaseId, RunId, Workspace};
use crate::plan::Tier;

/// What a provider is asked for. The lease id is the idempotency key.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// The lease's id, chosen by us: the runner's name.
    pub lease_id: LeaseId,
    /// The run that asks.
    pub run_id: RunId,
    /// What is built.
    pub workspace: Workspace,
    /// Who builds.
    pub actor_id: ActorId,
    /// How large the runner must be.
    pub tier: Tier,
    /// True when the memory was asked for by the user (spec, override), not a default or advice: then it is never
    /// reduced to fit the machine.
    pub memory_is_explicit: bool,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the runner must be gone, whatever happens.
    pub hard_deadline: Timestamp,
}
