//! Plug-ins that lease runners. Each yields an SSH endpoint; none knows the order of a run.

mod candidates;
mod capabilities;
pub mod choice;
mod config;
pub mod docker_local;
pub mod hcloud;
mod host;
mod listed;
pub mod local;
pub mod proxmox;
pub mod vm_pool;
mod watch;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use candidates::{Candidates, Refusal};
pub use capabilities::{Capabilities, Scope};
pub use config::ProviderConfig;
pub use listed::{Listed, Liveness, RunnerStatus};
pub use watch::{AcquireWatch, Watch};

use crate::error::Result;
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HourlyPrice, LeaseRequest};

/// How a release ended. Both are success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// It was there and is verified gone.
    Destroyed,
    /// There was nothing any more.
    AlreadyGone,
}

/// Leases runners from one compute backend. It knows nothing of journals, renewals or retries: those are the same for
/// all providers and live in [`crate::custody`].
#[async_trait]
pub trait ComputeProvider: fmt::Debug + Send + Sync {
    /// The provider's name as it is written in directives: `local`.
    fn name(&self) -> &'static str;

    /// Facts about this provider.
    fn capabilities(&self) -> Capabilities;

    /// Which backend this is, and as whom: a fingerprint without secrets. Another backend's "not found" proves nothing.
    fn backend(&self) -> String;

    /// Checks, without side effect, that a lease could be had: credentials, tools, quota.
    ///
    /// # Errors
    /// With what is missing and what else would work.
    async fn check(&self, request: &LeaseRequest) -> Result<()>;

    /// What an hour of such a runner costs, asked of the backend without side effect; `None` where nothing is billed or nobody
    /// says what.
    ///
    /// # Errors
    /// When the backend cannot be asked, or has no such runner.
    async fn price(&self, request: &LeaseRequest) -> Result<Option<HourlyPrice>> {
        let _ = request;
        Ok(None)
    }

    /// Leases a runner and returns once it answers on SSH. The lease id is the runner's name and the idempotency key; the
    /// request that creates it carries all of [`LeaseRequest::labels`]. When it fails or is cancelled,
    /// [`ComputeProvider::release`] must still be called and cleans up what was begun.
    ///
    /// # Errors
    /// `NoCapacity` when such a runner cannot be had; `Provider` for faults.
    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint>;

    /// Moves the soft deadline of a lease, where the backend can hold one. Does nothing where a lease ends with its holder.
    ///
    /// # Errors
    /// When the backend does not take it; the build goes on.
    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()>;

    /// Whether the runner lives, asked of the backend.
    ///
    /// # Errors
    /// When the backend cannot be asked: that says nothing about the runner.
    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness>;

    /// Destroys the runner and verifies that it is gone. Name and labels are read again before it is destroyed; what is not
    /// ours is refused. Idempotent; may be dropped by the caller once the request is out.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` when something may be left, naming it.
    async fn release(&self, lease_id: &LeaseId) -> Result<Released>;

    /// Everything that is, or says it is, a runner of lian-build, whoever owns it.
    ///
    /// # Errors
    /// When the backend cannot be asked.
    async fn list(&self) -> Result<Vec<Listed>>;

    /// Removes what is left of no lease any more (empty directories, say), after a sweep. Most have nothing of the kind.
    ///
    /// # Errors
    /// When something cannot be removed.
    async fn tidy(&self) -> Result<()> {
        Ok(())
    }
}
