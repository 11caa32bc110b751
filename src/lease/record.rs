//! [`LeaseRecord`]: one lease as the journal keeps it. Holds no secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Holder, Labels, LeaseRequest, LeaseState, OwnerId};
use crate::ids::{LeaseId, RunId, Workspace};

/// The version of the record's format.
pub const RECORD_VERSION: u32 = 1;

/// One lease as the journal keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The lease: the runner's name and the idempotency key.
    pub lease_id: LeaseId,
    /// The provider's name.
    pub provider: String,
    /// A fingerprint of which backend, and with which credential, it was leased from: another one's "not found" proves
    /// nothing.
    pub backend: String,
    /// Whose it is.
    pub owner: OwnerId,
    /// The run that leased it.
    pub run_id: RunId,
    /// What is built.
    pub workspace: Workspace,
    /// The tier's name.
    pub tier: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The process that holds it.
    pub holder: Option<Holder>,
    /// The process that releases it when its holder dies.
    pub reaper: Option<Holder>,
    /// True when it may be kept after a failure.
    pub may_be_kept: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it is held, unless renewed.
    pub expires_at: Timestamp,
    /// When it must be gone whatever happens.
    pub hard_deadline: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: LeaseState,
}

impl LeaseRecord {
    /// The record of a lease before its first request. `backend` is the provider's fingerprint of it.
    pub fn of(request: &LeaseRequest, provider: &str, backend: String, reaper: Option<Holder>) -> Self {
        let Labels {
            owner,
            lease_id,
            run_id,
            workspace,
            tier,
            attempt,
            created_at,
            expires_at,
            hard_deadline,
            holder,
            may_be_kept,
        } = request.labels();
        Self {
            version: RECORD_VERSION,
            lease_id,
            provider: provider.to_owned(),
            backend,
            owner,
            run_id,
            workspace,
            tier,
            attempt,
            holder,
            reaper,
            may_be_kept,
            created_at,
            expires_at,
            hard_deadline,
            state: LeaseState::Intent,
        }
    }

    /// What the runner's labels say of this lease.
    pub fn labels(&self) -> Labels {
        Labels {
            owner: self.owner.clone(),
            lease_id: self.lease_id.clone(),
            run_id: self.run_id,
            workspace: self.workspace.clone(),
            tier: self.tier.clone(),
            attempt: self.attempt,
            created_at: self.created_at,
            expires_at: self.expires_at,
            hard_deadline: self.hard_deadline,
            holder: self.holder.clone(),
            may_be_kept: self.may_be_kept,
        }
    }
}
