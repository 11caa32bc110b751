//! [`LeaseRequest`]: what a provider is asked for.

use jiff::Timestamp;

use super::{AuthorizedKey, Holder, Labels, OwnerId};
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
    /// The architecture of what is built, as OCI names it: `arm64`. A runner of another one is refused before it is paid for.
    pub architecture: String,
    /// True when the memory was asked for by the user (spec, override), not a default or advice: then it is never
    /// reduced to fit the machine.
    pub memory_is_explicit: bool,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Whose the runner is.
    pub owner: OwnerId,
    /// When it is asked for.
    pub created_at: Timestamp,
    /// Until when it is held, unless renewed.
    pub expires_at: Timestamp,
    /// When the runner must be gone, whatever happens.
    pub hard_deadline: Timestamp,
    /// The process that holds the lease.
    pub holder: Option<Holder>,
    /// True when the runner may be kept after a failure.
    pub may_be_kept: bool,
    /// Keys that open the runner besides the one that its provider makes for it: those of who it is leased for.
    pub authorized_keys: Vec<AuthorizedKey>,
}

impl LeaseRequest {
    /// The labels that the request to create the runner carries.
    pub fn labels(&self) -> Labels {
        Labels {
            owner: self.owner.clone(),
            lease_id: self.lease_id.clone(),
            run_id: self.run_id,
            workspace: self.workspace.clone(),
            tier: self.tier.name.clone(),
            attempt: self.attempt,
            created_at: self.created_at,
            expires_at: self.expires_at,
            hard_deadline: self.hard_deadline,
            holder: self.holder.clone(),
            may_be_kept: self.may_be_kept,
        }
    }
}
