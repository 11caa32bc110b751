//! [`LocalProvider`]: leases of this machine.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::LocalConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, Isolation, LeaseRequest};
use crate::provider::{Capabilities, ComputeProvider, Listed, Released, Waiting};

/// Leases runners on this machine: an `sshd` of our own in namespaces of its own.
#[derive(Debug)]
pub struct LocalProvider {
    config: LocalConfig,
}

impl LocalProvider {
    /// A provider with this configuration.
    pub fn new(config: LocalConfig) -> Self {
        Self { config }
    }

    /// Removes what leases left behind whose process died. Called at the start of each run; touches only our own.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when the lease records cannot be read.
    pub async fn sweep_abandoned(&self) -> Result<Vec<LeaseId>> {
        Err(Error::new(ErrorKind::Provider, format!("not there yet: {:?}", self.config)))
    }
}

#[async_trait]
impl ComputeProvider for LocalProvider {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { architectures: vec![], isolation: Isolation::None, enforces_memory: true, shared_machine: true }
    }

    async fn check(&self, _request: &LeaseRequest) -> Result<()> {
        Err(Error::new(ErrorKind::Provider, "not there yet"))
    }

    async fn acquire(
        &self,
        _request: &LeaseRequest,
        _waiting: Waiting<'_>,
        _cancel: &CancellationToken,
    ) -> Result<Endpoint> {
        Err(Error::new(ErrorKind::Provider, "not there yet"))
    }

    async fn release(&self, _lease_id: &LeaseId) -> Result<Released> {
        Ok(Released::AlreadyGone)
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        Ok(Vec::new())
    }
}
