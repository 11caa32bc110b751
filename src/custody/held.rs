//! [`HeldLease`]: one lease from its intent to its verified release.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
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
use crate::lease::{Endpoint, JournalEntry, Labels, LeaseRequest, LeaseState, Made};
use crate::provider::{AcquireWatch, ComputeProvider, Liveness, Released, Watch};
use crate::report::envelope::Cost;

/// The longest pause between two attempts to release a runner.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long the provider may take to hear that a runner is kept.
const KEEP_LIMIT: Duration = Duration::from_secs(30);

/// How long the provider may take to hear of a renewal.
const RENEW_LIMIT: Duration = Duration::from_secs(60);

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
    /// Set once the provider confirmed the runner.
    made: OnceLock<Made>,
    /// Ended by the release.
    renewals: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Records what the provider confirms, and passes on what is shown.
struct Recorder<'a> {
    entry: &'a SharedEntry,
    made: &'a OnceLock<Made>,
    shown: Watch<'a>,
}

#[async_trait]
impl AcquireWatch for Recorder<'_> {
    fn waiting(&self, what: &str) {
        self.shown.waiting(what);
    }

    async fn created(&self, made: &Made) {
        // A set one is of the same lease: the provider took up what an earlier request had made.
        let _ = self.made.set(made.clone());
        crate::failpoint::reach("created-unrecorded");
        self.entry.created(&made.remote_id).await;
        crate::failpoint::reach("created-recorded");
        self.shown.created(made).await;
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
            renewals: Mutex::new(custodian.renews.then(|| renewals.start(&request))),
            request,
            entry,
            ready,
            made: OnceLock::new(),
        }
    }

    /// The lease.
    pub fn id(&self) -> &LeaseId {
        &self.request.lease_id
    }

    /// What the runner carries since it was made: deadlines that renewals have moved since are not in it.
    pub fn labels(&self) -> Labels {
        self.request.labels()
    }

    /// What the runner has cost until now, where its provider says what it costs. After the release: what it cost.
    pub fn cost(&self) -> Option<Cost> {
        let made = self.made.get()?;
        Some(made.price.as_ref()?.between(made.since, self.clock.now()))
    }

    /// Leases the runner.
    ///
    /// # Errors
    /// As [`ComputeProvider::acquire`].
    pub async fn acquire(&self, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let recorder = Recorder { entry: &self.entry, made: &self.made, shown: watch };
        let endpoint = self.provider.acquire(&self.request, &recorder, cancel).await?;
        crate::failpoint::reach("ready-unrecorded");
        // A directory that hangs holds up nobody who wants to end.
        if cancel.run_until_cancelled(self.entry.ready(&endpoint)).await.is_some() {
            crate::failpoint::reach("ready-recorded");
        }
        self.ready.notify_one();
        Ok(endpoint)
    }

    /// The runner answers, as an earlier process of this holder has seen.
    pub(super) async fn is_ready(&self, endpoint: &Endpoint) {
        self.entry.taken_up(endpoint).await;
    }

    /// Moves the soft deadline, at the provider and on record.
    ///
    /// # Errors
    /// When the provider does not take it, or gives no answer in time: its labels then say less than what holds.
    pub async fn renew(&self, until: Timestamp) -> Result<()> {
        let until = until.min(self.request.hard_deadline);
        self.entry.renew(until, None).await;
        // Before it stands there is nothing at the provider that could be renewed.
        if self.entry.endpoint().is_none() {
            return Ok(());
        }
        tokio::time::timeout(RENEW_LIMIT, self.provider.renew(self.id(), until)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Provider, "the lease could not be renewed: the provider gave no answer in time"))
        })
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
        let endpoint = self.entry.endpoint().cloned().ok_or_else(|| cannot("it is not ready"))?;
        self.end_renewals();
        // The runner itself, and sweeps from elsewhere, go by the provider's word: without it nothing would stand that long.
        let renewed = tokio::time::timeout(KEEP_LIMIT, self.provider.renew(self.id(), until)).await;
        renewed
            .map_err(|_| cannot("its provider gave no answer in time"))?
            .map_err(|error| cannot(&error.message()))?;
        // In this order: killed in between, it is released at once rather than forgotten.
        self.entry.step(LeaseState::Kept { endpoint: Box::new(endpoint), until }).await;
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
        let recorded = self.entry.step(LeaseState::Releasing { reason: reason.to_owned(), since: self.clock.now() });
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
        self.entry.step(LeaseState::Released { verified_at: self.clock.now() }).await;
        crate::failpoint::reach("released-recorded");
        self.entry.remove().await;
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
