//! [`HeldLease`]: one lease from its intent to its verified release.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Timing;
use super::custodian::Custodian;
use super::entry::SharedEntry;
use super::reaper::ReaperLink;
use super::renewals::Renewals;
use super::retry::{LastFailure, release_until};
use crate::clock::SharedClock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, JournalEntry, LeaseRequest, LeaseState};
use crate::provider::{AcquireWatch, ComputeProvider, Liveness, Released, Watch};

/// The longest pause between two attempts to release a runner.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long the provider may take to hear that a runner is kept.
const KEEP_LIMIT: Duration = Duration::from_secs(30);

/// How long a request may take to go out, also when its confirmation is not waited for any more.
const REQUEST_TIME: Duration = Duration::from_secs(1);

/// One lease from its intent to its verified release. It must be released also when [`HeldLease::acquire`] failed.
#[derive(Debug)]
pub struct HeldLease {
    provider: Arc<dyn ComputeProvider>,
    clock: SharedClock,
    timing: Timing,
    reaper: Option<Arc<ReaperLink>>,
    request: LeaseRequest,
    entry: SharedEntry,
    ready: Arc<Notify>,
    /// Ended by the release.
    renewals: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Records what the provider confirms, and passes on what is shown.
struct Recorder<'a> {
    entry: &'a SharedEntry,
    shown: Watch<'a>,
}

impl AcquireWatch for Recorder<'_> {
    fn waiting(&self, what: &str) {
        self.shown.waiting(what);
    }

    fn created(&self, remote_id: &str) {
        crate::failpoint::reach("created-unrecorded");
        self.entry.step(LeaseState::Created { remote_id: remote_id.to_owned() });
        crate::failpoint::reach("created-recorded");
        self.shown.created(remote_id);
    }
}

impl HeldLease {
    pub(super) fn new(custodian: &Custodian, request: LeaseRequest, entry: JournalEntry) -> Self {
        let entry = SharedEntry::new(entry, custodian.notes.clone());
        let ready = Arc::new(Notify::new());
        let renewals = Renewals {
            provider: Arc::clone(&custodian.provider),
            clock: Arc::clone(&custodian.clock),
            timing: custodian.timing,
            reaper: custodian.reaper.clone(),
            entry: entry.clone(),
            notes: custodian.notes.clone(),
            ready: Arc::clone(&ready),
        };
        Self {
            provider: Arc::clone(&custodian.provider),
            clock: Arc::clone(&custodian.clock),
            timing: custodian.timing,
            reaper: custodian.reaper.clone(),
            renewals: Mutex::new(Some(renewals.start(&request))),
            request,
            entry,
            ready,
        }
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
        self.entry.step(LeaseState::Ready { endpoint: Box::new(endpoint.clone()) });
        crate::failpoint::reach("ready-recorded");
        self.ready.notify_one();
        Ok(endpoint)
    }

    /// Whether the runner lives, by its provider's word.
    ///
    /// # Errors
    /// As [`ComputeProvider::liveness`].
    pub async fn liveness(&self) -> Result<Liveness> {
        self.provider.liveness(self.id()).await
    }

    /// Leaves the runner standing until `until`, or its hard deadline where that is sooner, which is yielded: its reaper
    /// then releases it, or earlier on SIGTERM. After that there is nothing to be released here.
    ///
    /// # Errors
    /// When it cannot be kept: then it is to be released.
    pub async fn keep(&self, until: Timestamp) -> Result<Timestamp> {
        let until = until.min(self.request.hard_deadline);
        let cannot = |why: &str| Error::new(ErrorKind::State, format!("the runner cannot be kept: {why}"));
        let reaper = self.reaper.as_ref().ok_or_else(|| cannot("nobody would release it"))?;
        let endpoint = self.entry.endpoint().ok_or_else(|| cannot("it is not ready"))?;
        self.end_renewals();
        // The runner itself, and sweeps from elsewhere, go by the provider's word: without it nothing would stand that long.
        let renewed = tokio::time::timeout(KEEP_LIMIT, self.provider.renew(self.id(), until)).await;
        renewed
            .map_err(|_| cannot("its provider gave no answer in time"))?
            .map_err(|error| cannot(&error.message()))?;
        // In this order: killed in between, it is released at once rather than forgotten.
        self.entry.step_aside(LeaseState::Kept { endpoint: Box::new(endpoint), until }).await;
        crate::failpoint::reach("kept-recorded");
        reaper.keep(self.id().clone(), until).await?;
        self.entry.let_go();
        Ok(until)
    }

    /// Destroys the runner and verifies that it is gone. The request goes out before anything else is done, and again
    /// when it fails. It has a deadline of its own; `give_up` ends the wait for the confirmation, not the request.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` when something may be left; the journal and the reaper keep the lease then.
    pub async fn release(&self, reason: &str, give_up: &CancellationToken) -> Result<Released> {
        let started = tokio::time::Instant::now();
        self.end_renewals();
        let recorded =
            self.entry.step_aside(LeaseState::Releasing { reason: reason.to_owned(), since: self.clock.now() });
        let recorded = async {
            recorded.await;
            crate::failpoint::reach("releasing-recorded");
        };
        let last = LastFailure::new();
        let limit = self.timing.release_limit;
        let releasing = release_until(self.provider.as_ref(), self.id(), limit, LONGEST_PAUSE, &last);
        let given_up = async {
            give_up.cancelled().await;
            tokio::select! {
                () = last.happened() => {}
                () = tokio::time::sleep_until(started + REQUEST_TIME) => {}
            }
        };
        let released = async {
            tokio::select! {
                biased;
                released = releasing => released,
                () = given_up => Err(last.explain("its confirmation was not waited for")),
            }
        };
        let (released, ()) = tokio::join!(released, recorded);
        let released = released
            .context(ErrorKind::ReleaseUnconfirmed, || {
                format!("the runner `{}` of the provider `{}` may still exist", self.id(), self.provider.name())
            })
            .map_err(|error| error.hint(format!("`lian-build runners release {}` finishes the job", self.id())))?;
        crate::failpoint::reach("released-unrecorded");
        self.entry.step_aside(LeaseState::Released { verified_at: self.clock.now() }).await;
        crate::failpoint::reach("released-recorded");
        self.entry.remove_aside().await;
        if let Some(reaper) = &self.reaper {
            reaper.released(self.id().clone()).await;
        }
        Ok(released)
    }

    fn end_renewals(&self) {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for HeldLease {
    /// What was not released is for others to release: they must see at once that nobody holds it here.
    fn drop(&mut self) {
        self.end_renewals();
        self.entry.let_go();
    }
}
