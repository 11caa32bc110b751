//! [`Custodian`]: takes leases of one provider into custody for one run.

use std::path::PathBuf;
use std::sync::Arc;

use super::reaper::ReaperLink;
use super::{HeldLease, Notes, Timing};
use crate::clock::SharedClock;
use crate::error::Result;
use crate::lease::{Journal, LeaseRecord, LeaseRequest};
use crate::provider::{ComputeProvider, ProviderConfig};

/// Takes leases of one provider into custody for one run. Its reaper lives as long as it does, and longer when this
/// process is killed.
#[derive(Debug)]
pub struct Custodian {
    pub(super) provider: Arc<dyn ComputeProvider>,
    journal: Journal,
    pub(super) clock: SharedClock,
    pub(super) timing: Timing,
    pub(super) reaper: Option<Arc<ReaperLink>>,
    pub(super) notes: Notes,
}

impl Custodian {
    /// A custodian for leases of the provider that `config` opens. Its reaper is started with the first lease: it is this
    /// very program.
    ///
    /// # Errors
    /// With what about the configuration cannot be used.
    pub fn new(config: &ProviderConfig, journal: Journal, clock: SharedClock, timing: Timing) -> Result<Self> {
        Self::with_reaper(config, journal, clock, timing, None)
    }

    /// As [`Custodian::new`], with `program` as the reaper: for a process that is no `lian-build`, as tests are.
    ///
    /// # Errors
    /// As [`Custodian::new`].
    pub fn with_reaper_program(
        config: &ProviderConfig,
        journal: Journal,
        clock: SharedClock,
        timing: Timing,
        program: PathBuf,
    ) -> Result<Self> {
        Self::with_reaper(config, journal, clock, timing, Some(program))
    }

    fn with_reaper(
        config: &ProviderConfig,
        journal: Journal,
        clock: SharedClock,
        timing: Timing,
        program: Option<PathBuf>,
    ) -> Result<Self> {
        let notes = Notes::default();
        let reaper = ReaperLink::new(config.clone(), journal.dir().to_owned(), timing, program, notes.clone());
        Ok(Self { provider: config.open()?, journal, clock, timing, reaper: Some(Arc::new(reaper)), notes })
    }

    /// A custodian that nobody outlives: for a provider that another process cannot open, as those of tests are.
    pub fn without_reaper(
        provider: Arc<dyn ComputeProvider>,
        journal: Journal,
        clock: SharedClock,
        timing: Timing,
    ) -> Self {
        Self { provider, journal, clock, timing, reaper: None, notes: Notes::default() }
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<dyn ComputeProvider> {
        &self.provider
    }

    /// The protocol's durations.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Puts a lease on record, durably, and makes the reaper answerable for it, before anything is asked of the provider.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`]: then nothing was asked for, and nothing is to be released.
    pub async fn begin(&self, request: LeaseRequest) -> Result<HeldLease> {
        let reaper = match &self.reaper {
            Some(reaper) => reaper.ensure(request.run_id).await?,
            None => None,
        };
        let record = LeaseRecord::of(&request, self.provider.name(), self.provider.backend(), reaper);
        let entry = self.journal.begin(record)?;
        crate::failpoint::reach("intent-recorded");
        if let Some(reaper) = &self.reaper
            && let Err(error) = reaper.hold(request.lease_id.clone(), request.hard_deadline).await
        {
            entry.remove();
            return Err(error);
        }
        crate::failpoint::reach("intent-guarded");
        Ok(HeldLease::new(self, request, entry))
    }

    /// Ends the reaper, which has nothing to do when every lease was released; otherwise it goes on. What should be known
    /// is returned.
    pub async fn finish(&self) -> Vec<String> {
        if let Some(reaper) = &self.reaper {
            reaper.finish().await;
        }
        self.notes.take()
    }
}
