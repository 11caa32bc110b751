//! [`sweep`]: looks at every runner a provider lists and destroys those that nobody needs any more.

use super::{SweepContext, Timing, Verdict, verdict};
use crate::clock::Clock;
use crate::error::Result;
use crate::lease::{Journal, OwnerId};
use crate::provider::{ComputeProvider, Listed, Released};

/// What a sweep did with one runner.
#[derive(Debug)]
pub struct Swept {
    /// The runner.
    pub listed: Listed,
    /// What was decided, and why.
    pub verdict: Verdict,
    /// How its removal ended; `None` when it was not removed.
    pub removed: Option<Result<Released>>,
}

/// Looks at every runner and destroys those that nobody needs any more; with `dry_run` it only says which. One that
/// cannot be destroyed does not stop the others.
///
/// # Errors
/// When the provider cannot be asked at all.
pub async fn sweep(
    provider: &dyn ComputeProvider,
    journal: &Journal,
    owner: &OwnerId,
    clock: &dyn Clock,
    timing: Timing,
    dry_run: bool,
) -> Result<Vec<Swept>> {
    let _ = journal;
    let context = SweepContext { owner, now: clock.now(), scope: provider.capabilities().scope, timing };
    let mut all = Vec::new();
    for listed in provider.list().await? {
        let verdict = verdict(&listed, None, &context);
        let removed = match (&verdict, &listed.lease_id) {
            (Verdict::Remove(_), Some(lease)) if !dry_run => Some(provider.release(lease).await),
            _ => None,
        };
        all.push(Swept { listed, verdict, removed });
    }
    if all.iter().any(|swept| matches!(swept.removed, Some(Ok(Released::Destroyed)))) {
        provider.tidy().await?;
    }
    Ok(all)
}
