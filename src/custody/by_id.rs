//! [`release`]: releases a lease by its id, whichever process leased it.

use std::time::Duration;

use super::retry::{LastFailure, release_until};
use crate::clock::Clock;
use crate::error::{Context as _, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Journal, JournalEntry, LeaseState};
use crate::provider::{ComputeProvider, Released};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Destroys the runner of a lease that no living process needs, and takes it off the record. Tried again for `limit`: a
/// reaper may be at it in this moment.
///
/// # Errors
/// `ReleaseUnconfirmed` when something may be left; then it stays on record.
pub async fn release(
    provider: &dyn ComputeProvider,
    journal: &Journal,
    lease: &LeaseId,
    reason: &str,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<Released> {
    let mut entry = adopt(journal, lease).await;
    if let Some(entry) = &mut entry {
        let releasing = LeaseState::Releasing { reason: reason.to_owned(), since: clock.now() };
        // What is to go goes, also when that cannot be written down.
        if let Err(error) = entry.step(releasing) {
            tracing::debug!(%error, "the journal");
        }
    }
    let released = release_until(provider, lease, limit, LONGEST_PAUSE, &LastFailure::new())
        .await
        .context(ErrorKind::ReleaseUnconfirmed, || format!("the runner `{lease}` may still exist"))?;
    let entry = match entry {
        Some(entry) => Some(entry),
        // Another process had it for a moment.
        None => adopt(journal, lease).await,
    };
    if let Some(entry) = entry {
        entry.remove();
    }
    Ok(released)
}

/// The record is a hint: without it the runner goes all the same.
async fn adopt(journal: &Journal, lease: &LeaseId) -> Option<JournalEntry> {
    journal.adopt(lease).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the journal");
        None
    })
}
