//! [`Renewals`]: moves a lease's soft deadline for as long as it is held.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::entry::SharedEntry;
use super::moment::Moment;
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
    ///
    /// A machine that was suspended, or whose clock was set, renews at once: by everybody else's clock the soft deadline may
    /// have passed long ago. It tries that again and again until the provider takes it, for its network may come up later.
    pub(super) fn start(self, request: &LeaseRequest) -> AbortOnDropHandle<()> {
        let request = request.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut expires_at = request.expires_at;
            let mut renewed = Moment::now(self.clock.as_ref());
            loop {
                tokio::select! {
                    () = self.until_due(renewed) => {}
                    // It was long in coming: what it was created with is out of date.
                    () = self.ready.notified(), if expires_at > request.expires_at => {}
                }
                let now = Moment::now(self.clock.as_ref());
                expires_at = soft_deadline(now.wall, self.timing).min(request.hard_deadline);
                if self.renew(&request, expires_at).await {
                    renewed = now;
                }
            }
        }))
    }

    /// Waits for the next time to renew: after a while, or as soon as the clocks went apart since it was `renewed`. Looks in
    /// between, because no timer counts the time that a machine was suspended.
    async fn until_due(&self, renewed: Moment) {
        let due = Instant::now() + self.timing.renew_every;
        while Instant::now() < due {
            tokio::time::sleep_until(due.min(Instant::now() + self.timing.compare_every)).await;
            if renewed.disagrees_with(Moment::now(self.clock.as_ref())) {
                return;
            }
        }
    }

    /// True when the provider took it.
    async fn renew(&self, request: &LeaseRequest, expires_at: Timestamp) -> bool {
        let taken = self.renew_at_provider(request, expires_at).await;
        let mut holder = None;
        if let Some(reaper) = &self.reaper {
            match reaper.ensure(request.run_id).await {
                Ok(now) => holder = now,
                Err(error) => self.notes.add(error.to_string()),
            }
        }
        self.entry.renew(expires_at, holder).await;
        taken
    }

    async fn renew_at_provider(&self, request: &LeaseRequest, expires_at: Timestamp) -> bool {
        // Before it stands there is nothing at the provider that could be renewed.
        if self.entry.endpoint().is_none() {
            return true;
        }
        let renewing = self.provider.renew(&request.lease_id, expires_at);
        match tokio::time::timeout(self.timing.renew_every, renewing).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => self.notes.add(format!("the lease could not be renewed: {error}")),
            Err(_) => self.notes.add("the lease could not be renewed: the provider gave no answer in time"),
        }
        false
    }
}

/// The soft deadline of a lease that is held now.
pub(super) fn soft_deadline(now: Timestamp, timing: Timing) -> Timestamp {
    let ahead = SignedDuration::try_from(timing.time_to_live).unwrap_or(SignedDuration::MAX);
    now.checked_add(ahead).unwrap_or(Timestamp::MAX)
}
