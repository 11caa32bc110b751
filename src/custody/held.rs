//! [`HeldLease`]: one lease from its intent to its verified release.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Timing;
use crate::clock::SharedClock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, JournalEntry, LeaseRequest, LeaseState};
use crate::provider::{AcquireWatch, ComputeProvider, Liveness, Released, Watch};

/// One lease from its intent to its verified release. It must be released also when [`HeldLease::acquire`] failed.
#[derive(Debug)]
pub struct HeldLease {
    provider: Arc<dyn ComputeProvider>,
    clock: SharedClock,
    timing: Timing,
    request: LeaseRequest,
    /// `None` once it is off the record.
    entry: Arc<Mutex<Option<JournalEntry>>>,
}

/// Records what the provider confirms, and passes on what is shown.
struct Recorder<'a> {
    entry: &'a Mutex<Option<JournalEntry>>,
    shown: Watch<'a>,
}

impl AcquireWatch for Recorder<'_> {
    fn waiting(&self, what: &str) {
        self.shown.waiting(what);
    }

    fn created(&self, remote_id: &str) {
        crate::failpoint::reach("created-unrecorded");
        step(self.entry, LeaseState::Created { remote_id: remote_id.to_owned() });
        crate::failpoint::reach("created-recorded");
        self.shown.created(remote_id);
    }
}

impl HeldLease {
    pub(super) fn new(
        provider: Arc<dyn ComputeProvider>,
        clock: SharedClock,
        timing: Timing,
        request: LeaseRequest,
        entry: JournalEntry,
    ) -> Self {
        Self { provider, clock, timing, request, entry: Arc::new(Mutex::new(Some(entry))) }
    }

    /// The lease.
    pub fn id(&self) -> &LeaseId {
        &self.request.lease_id
    }

    /// Leases the runner.
    ///
    /// # Errors
    /// As [`ComputeProvider::acquire`].
    pub async fn acquire(&self, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let recorder = Recorder { entry: &self.entry, shown: watch };
        let endpoint = self.provider.acquire(&self.request, &recorder, cancel).await?;
        crate::failpoint::reach("ready-unrecorded");
        step(&self.entry, LeaseState::Ready { endpoint: Box::new(endpoint.clone()) });
        crate::failpoint::reach("ready-recorded");
        Ok(endpoint)
    }

    /// Whether the runner lives, by its provider's word.
    ///
    /// # Errors
    /// As [`ComputeProvider::liveness`].
    pub async fn liveness(&self) -> Result<Liveness> {
        self.provider.liveness(self.id()).await
    }

    /// Destroys the runner and verifies that it is gone. The request goes out before anything else is done. It has a
    /// deadline of its own; `give_up` ends the wait for the confirmation.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` when something may be left; the journal keeps the lease then.
    pub async fn release(&self, reason: &str, give_up: &CancellationToken) -> Result<Released> {
        let limit = self.timing.release_limit;
        let releasing = async {
            step(&self.entry, LeaseState::Releasing { reason: reason.to_owned(), since: self.clock.now() });
            crate::failpoint::reach("releasing-recorded");
            self.provider.release(self.id()).await
        };
        let unconfirmed = |why: String| Error::new(ErrorKind::ReleaseUnconfirmed, why);
        let released = tokio::select! {
            biased;
            released = tokio::time::timeout(limit, releasing) => released
                .unwrap_or_else(|_| Err(unconfirmed(format!("it was not confirmed within {} s", limit.as_secs())))),
            () = give_up.cancelled() => Err(unconfirmed("its confirmation was not waited for".to_owned())),
        };
        let released = released
            .context(ErrorKind::ReleaseUnconfirmed, || {
                format!("the runner `{}` of the provider `{}` may still exist", self.id(), self.provider.name())
            })
            .map_err(|error| error.hint(format!("`lian-build runners release {}` finishes the job", self.id())))?;
        crate::failpoint::reach("released-unrecorded");
        step(&self.entry, LeaseState::Released { verified_at: self.clock.now() });
        crate::failpoint::reach("released-recorded");
        if let Some(entry) = self.entry.lock().unwrap_or_else(PoisonError::into_inner).take() {
            entry.remove();
        }
        Ok(released)
    }
}

/// What is done must not be undone because it cannot be written down: the labels and the reaper know it too.
fn step(entry: &Mutex<Option<JournalEntry>>, state: LeaseState) {
    let mut entry = entry.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = entry.as_mut()
        && let Err(error) = entry.step(state)
    {
        tracing::warn!(%error, "the journal");
    }
}
