//! [`Renewals`]: moves a lease's soft deadline for as long as it is held.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::entry::SharedEntry;
use super::reaper::ReaperLink;
use super::{Notes, Timing};
use crate::clock::SharedClock;
use crate::lease::LeaseRequest;
use crate::provider::ComputeProvider;

/// What a renewal works with.
#[derive(Debug)]
pub(super) struct Renewals {
    pub(super) provider: Arc<dyn ComputeProvider>,
    pub(super) clock: SharedClock,
    pub(super) timing: Timing,
    pub(super) reaper: Option<Arc<ReaperLink>>,
    pub(super) entry: SharedEntry,
    pub(super) notes: Notes,
    /// Told when the runner stands.
    pub(super) ready: Arc<Notify>,
}

impl Renewals {
    /// Renews the lease at the provider and in the journal until the handle is dropped. A renewal that fails ends nothing.
    pub(super) fn start(self, request: &LeaseRequest) -> AbortOnDropHandle<()> {
        let request = request.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut expires_at = request.expires_at;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(self.timing.renew_every) => {}
                    // It was long in coming: what it was created with is out of date.
                    () = self.ready.notified(), if expires_at > request.expires_at => {}
                }
                expires_at = soft_deadline(self.clock.now(), self.timing).min(request.hard_deadline);
                self.renew(&request, expires_at).await;
            }
        }))
    }

    async fn renew(&self, request: &LeaseRequest, expires_at: Timestamp) {
        // Before it stands there is nothing at the provider that could be renewed.
        if self.entry.endpoint().is_some() {
            let renewing = self.provider.renew(&request.lease_id, expires_at);
            match tokio::time::timeout(self.timing.renew_every, renewing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.notes.add(format!("the lease could not be renewed: {error}")),
                Err(_) => self.notes.add("the lease could not be renewed: the provider gave no answer in time"),
            }
        }
        let mut holder = None;
        if let Some(reaper) = &self.reaper {
            match reaper.ensure(request.run_id).await {
                Ok(now) => holder = now,
                Err(error) => self.notes.add(error.to_string()),
            }
        }
        self.entry.renew_aside(expires_at, holder).await;
    }
}

/// The soft deadline of a lease that is held now.
pub(super) fn soft_deadline(now: Timestamp, timing: Timing) -> Timestamp {
    let ahead = SignedDuration::try_from(timing.time_to_live).unwrap_or(SignedDuration::MAX);
    now.checked_add(ahead).unwrap_or(Timestamp::MAX)
}
