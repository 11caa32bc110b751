//! [`Custodian`]: takes leases of one provider into custody for one run.

use std::path::PathBuf;
use std::sync::Arc;

use super::reaper::ReaperLink;
use super::{HeldLease, Notes, Timing};
use crate::clock::SharedClock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::{Admit, Endpoint, Journal, JournalEntry, LeaseRecord, LeaseRequest};
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
    /// False where the holder moves the soft deadline itself.
    pub(super) renews: bool,
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
        Ok(Self {
            provider: config.open()?,
            journal,
            clock,
            timing,
            reaper: Some(Arc::new(reaper)),
            notes,
            renews: true,
        })
    }

    /// A custodian that nobody outlives: for a provider that another process cannot open, as those of tests are.
    pub fn without_reaper(
        provider: Arc<dyn ComputeProvider>,
        journal: Journal,
        clock: SharedClock,
        timing: Timing,
    ) -> Self {
        Self { provider, journal, clock, timing, reaper: None, notes: Notes::default(), renews: true }
    }

    /// The same, for leases that are held for somebody else: nothing moves their soft deadline but [`HeldLease::renew`].
    #[must_use]
    pub fn without_renewals(self) -> Self {
        Self { renews: false, ..self }
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
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
        self.begin_if(request, None).await
    }

    /// As [`Custodian::begin`], unless `admit` refuses when it sees the leases that are on record already.
    ///
    /// # Errors
    /// As [`Custodian::begin`], and what `admit` says.
    pub async fn begin_if(&self, request: LeaseRequest, admit: Option<Admit>) -> Result<HeldLease> {
        let reaper = match &self.reaper {
            Some(reaper) => reaper.ensure(request.run_id).await?,
            None => None,
        };
        let record = LeaseRecord::of(&request, self.provider.name(), self.provider.backend(), reaper);
        let entry = self.put_on_record(record, admit).await?;
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

    /// Takes up a lease that an earlier process of this holder had, as far as it was ready. What is not on record any more is
    /// put there again.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when the record cannot be read, locked or written: then the runner stays as it is.
    pub async fn take_up(&self, request: LeaseRequest, endpoint: &Endpoint) -> Result<HeldLease> {
        let entry = match self.journal.adopt(&request.lease_id).await? {
            Some(entry) => entry,
            None => {
                let record = LeaseRecord::of(&request, self.provider.name(), self.provider.backend(), None);
                self.put_on_record(record, None).await?
            }
        };
        let lease = HeldLease::new(self, request, entry);
        lease.is_ready(endpoint).await;
        Ok(lease)
    }

    /// Writes the intent on a thread where it may block: the directory may hang, and nobody who wants to end waits for that.
    async fn put_on_record(&self, record: LeaseRecord, admit: Option<Admit>) -> Result<JournalEntry> {
        let journal = self.journal.clone();
        let written = tokio::task::spawn_blocking(move || {
            crate::failpoint::reach("intent-writing");
            let entry = match admit {
                Some(admit) => journal.begin_if(record, &admit),
                None => journal.begin(record),
            };
            entry.map(Unclaimed::new)
        });
        let unclaimed =
            written.await.context(ErrorKind::State, || "the lease cannot be put on record".to_owned())??;
        unclaimed.claim().ok_or_else(|| Error::new(ErrorKind::State, "the lease cannot be put on record"))
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

/// An intent that nobody waits for any more is taken off the record: nothing was asked of the provider.
struct Unclaimed(Option<JournalEntry>);

impl Unclaimed {
    fn new(entry: JournalEntry) -> Self {
        Self(Some(entry))
    }

    fn claim(mut self) -> Option<JournalEntry> {
        self.0.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.remove();
        }
    }
}
