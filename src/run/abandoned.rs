//! [`AbandonedSweep`]: what earlier runs left behind when they were killed, removed while this one prepares.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::Services;
use super::build::Run;
use crate::custody::{Custodian, Sweep, Verdict, sweep};
use crate::error::Result;
use crate::lease::{Journal, OwnerId};
use crate::provider::Released;
use crate::report::progress::Level;

/// A sweep that goes on while the run prepares. A failing one never stops a build, and a slow one is left to the next.
pub(super) struct AbandonedSweep {
    /// `None` when it took too long.
    sweeping: AbortOnDropHandle<Option<Result<Sweep>>>,
    journal: Journal,
}

impl AbandonedSweep {
    /// Begins to sweep.
    pub(super) fn start(custodian: &Custodian, journal: Journal, services: &Services, owner: &OwnerId) -> Self {
        let (provider, timing) = (Arc::clone(custodian.provider()), custodian.timing());
        let (owner, clock) = (owner.clone(), Arc::clone(&services.clock));
        let limit = crate::failpoint::seconds("sweep", timing.sweep_limit);
        let of = journal.clone();
        let sweeping = tokio::spawn(async move {
            let sweeping = sweep(provider.as_ref(), &of, &owner, clock.as_ref(), timing, false);
            tokio::time::timeout(limit, sweeping).await.ok()
        });
        Self { sweeping: AbortOnDropHandle::new(sweeping), journal }
    }

    /// Waits for its end, and says what should be known.
    pub(super) async fn report(self, run: &mut Run<'_>) {
        match self.journal.read() {
            Ok((_, unreadable)) => run.warn_all(
                unreadable.iter().map(|(path, why)| format!("the record `{}` cannot be read: {why}", path.display())),
            ),
            Err(error) => run.warn(format!("the leases on record cannot be read: {error}")),
        }
        let swept = match self.sweeping.await {
            Ok(Some(Ok(swept))) => swept,
            Ok(Some(Err(error))) => return run.warn(format!("abandoned runners could not be swept: {error}")),
            Ok(None) => {
                return run.warn(
                    "the sweep for abandoned runners took too long; `lian-build runners gc` finishes it".to_owned(),
                );
            }
            Err(error) => return tracing::debug!(%error, "the sweep"),
        };
        if let Err(error) = swept.tidied {
            run.warn(format!("what abandoned runners left behind could not be tidied away: {error}"));
        }
        let mut removed = Vec::new();
        for runner in swept.runners {
            match (runner.verdict, runner.removed) {
                (Verdict::Remove(_), Some(Ok(Released::Destroyed))) => removed.push(runner.name),
                (_, Some(Err(error))) => {
                    run.warn(format!("the abandoned runner `{}` could not be removed: {error}", runner.name));
                }
                (Verdict::Suspicious(why), _) => {
                    run.warn(format!("the runner `{}` may be one of ours and is left alone: {why}", runner.name));
                }
                _ => {}
            }
        }
        if !removed.is_empty() {
            run.progress.message(Level::Info, format!("removed abandoned runners: {}", removed.join(", ")));
        }
    }
}
