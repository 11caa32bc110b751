//! Plug-ins that lease runners. Each yields an SSH endpoint; none knows the order of a run.

mod capabilities;
pub mod choice;
pub mod local;

use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use capabilities::Capabilities;

use crate::error::Result;
use crate::ids::LeaseId;
use crate::lease::{Endpoint, LeaseRequest};

/// How a release ended. Both are success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// It was there and is verified gone.
    Destroyed,
    /// There was nothing any more.
    AlreadyGone,
}

/// A runner that the provider knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its lease.
    pub lease_id: LeaseId,
    /// True while the process that leased it lives.
    pub held: bool,
}

/// Says what a wait is for; since when is the listener's business. Read after `waiting for`: `sshd to start`,
/// `3 GB of the machine's memory budget`.
pub type Waiting<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Leases runners from one compute backend.
#[async_trait]
pub trait ComputeProvider: fmt::Debug + Send + Sync {
    /// The provider's name as it is written in directives: `local`.
    fn name(&self) -> &'static str;

    /// Facts about this provider.
    fn capabilities(&self) -> Capabilities;

    /// Checks, without side effect, that a lease could be had: credentials, tools, quota.
    ///
    /// # Errors
    /// With what is missing and what else would work.
    async fn check(&self, request: &LeaseRequest) -> Result<()>;

    /// Leases a runner and returns once it answers on SSH. Safe to repeat with the same lease id. When it fails or is
    /// cancelled, [`ComputeProvider::release`] must still be called and cleans up what was begun.
    ///
    /// # Errors
    /// `NoCapacity` when such a runner cannot be had; `Provider` for faults.
    async fn acquire(
        &self,
        request: &LeaseRequest,
        waiting: Waiting<'_>,
        cancel: &CancellationToken,
    ) -> Result<Endpoint>;

    /// Destroys the runner and verifies that it is gone. Idempotent; never cancelled.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` when something may be left, naming it.
    async fn release(&self, lease_id: &LeaseId) -> Result<Released>;

    /// The runners this provider knows of, for sweeps.
    ///
    /// # Errors
    /// When the backend cannot be asked.
    async fn list(&self) -> Result<Vec<Listed>>;
}
