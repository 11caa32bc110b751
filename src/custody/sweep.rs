//! [`sweep`]: looks at every runner a provider lists, and at what is on record of it, and destroys what nobody needs any
//! more.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;

use super::{SweepContext, Timing, Verdict, verdict};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Journal, JournalEntry, LeaseState, OwnerId, Recorded};
use crate::provider::{ComputeProvider, Listed, Released};

/// What came of a sweep.
#[derive(Debug)]
pub struct Sweep {
    /// Every runner that was looked at.
    pub runners: Vec<Swept>,
    /// Whether what else is left over could be tidied away. It says nothing of the runners.
    pub tidied: Result<()>,
}

/// How many runners are destroyed side by side.
const AT_ONCE: usize = 8;

/// What a sweep did with one runner.
#[derive(Debug)]
pub struct Swept {
    /// Its name at the provider.
    pub name: String,
    /// The lease, when the name is one.
    pub lease_id: Option<LeaseId>,
    /// As the provider lists it; `None` for one that is only on record.
    pub listed: Option<Listed>,
    /// What this user's journal has on it.
    pub recorded: Option<Recorded>,
    /// What was decided, and why.
    pub verdict: Verdict,
    /// How its removal ended; `None` when it was not removed.
    pub removed: Option<Result<Released>>,
}

/// Looks at every runner and destroys those that nobody needs any more, side by side; with `dry_run` it only says which.
/// One that cannot be destroyed, or hangs, does not stop the others. What is on record with this very backend and is not
/// listed any more is asked for by its name, and goes off the record.
///
/// # Errors
/// When the provider cannot be asked at all. A journal that cannot be read is none: then the labels decide.
pub async fn sweep(
    provider: &dyn ComputeProvider,
    journal: &Journal,
    owner: &OwnerId,
    clock: &dyn Clock,
    timing: Timing,
    dry_run: bool,
) -> Result<Sweep> {
    let listed = provider.list().await?;
    // After the list: what is on record and not in it was not begun since.
    let (records, _) = journal.read().unwrap_or_default();
    let of_provider = records.into_iter().filter(|recorded| recorded.record.provider == provider.name());
    let mut records: BTreeMap<LeaseId, Recorded> =
        of_provider.map(|recorded| (recorded.record.labels.lease_id.clone(), recorded)).collect();
    let context = SweepContext { owner, now: clock.now(), scope: provider.capabilities().scope, timing };

    let mut all: Vec<Swept> = Vec::with_capacity(listed.len());
    for listed in listed {
        let recorded = listed.lease_id.as_ref().and_then(|lease| records.remove(lease));
        let verdict = verdict(&listed, recorded.as_ref(), &context);
        let (name, lease_id) = (listed.name.clone(), listed.lease_id.clone());
        all.push(Swept { name, lease_id, listed: Some(listed), recorded, verdict, removed: None });
    }
    let backend = provider.backend();
    all.extend(records.into_values().filter(|recorded| recorded.record.backend == backend).map(only_on_record));

    if dry_run {
        return Ok(Sweep { runners: all, tidied: Ok(()) });
    }
    journal.tidy();
    let remover = Remover { provider, journal, clock, timing };
    let remover = &remover;
    let removing = all.into_iter().enumerate();
    let removing = removing.map(|(index, swept)| async move { (index, remover.carry_out(swept).await) });
    let mut all: Vec<(usize, Swept)> = futures_util::stream::iter(removing).buffer_unordered(AT_ONCE).collect().await;
    all.sort_by_key(|(index, _)| *index);
    let runners = all.into_iter().map(|(_, swept)| swept).collect();
    // Also when nothing was destroyed: who was killed after that left what only this machine has.
    Ok(Sweep { runners, tidied: provider.tidy().await })
}

/// A lease that its provider does not list.
fn only_on_record(recorded: Recorded) -> Swept {
    let verdict = if recorded.held {
        Verdict::Keep("a process that lives has it locked".to_owned())
    } else {
        Verdict::Remove("its provider does not have it any more".to_owned())
    };
    let lease = recorded.record.labels.lease_id.clone();
    Swept {
        name: lease.to_string(),
        lease_id: Some(lease),
        listed: None,
        recorded: Some(recorded),
        verdict,
        removed: None,
    }
}

/// What a removal works with.
struct Remover<'a> {
    provider: &'a dyn ComputeProvider,
    journal: &'a Journal,
    clock: &'a dyn Clock,
    timing: Timing,
}

impl Remover<'_> {
    async fn carry_out(&self, swept: Swept) -> Swept {
        match (&swept.verdict, &swept.lease_id) {
            (Verdict::Remove(why), Some(lease)) => match self.take_up(lease, swept.recorded.as_ref(), why).await {
                Ok(entry) => Swept { removed: Some(self.remove(lease, entry).await), ..swept },
                Err(verdict) => Swept { verdict, ..swept },
            },
            _ => swept,
        }
    }

    /// Takes the lease's record from the process that is gone, where there is one.
    async fn take_up(
        &self,
        lease: &LeaseId,
        recorded: Option<&Recorded>,
        why: &str,
    ) -> Result<Option<JournalEntry>, Verdict> {
        match self.journal.adopt(lease).await {
            Ok(None) if recorded.is_some() => Err(Verdict::Keep("another process is at it".to_owned())),
            Ok(Some(mut entry)) => {
                let releasing = LeaseState::Releasing { reason: why.to_owned(), since: self.clock.now() };
                if let Err(error) = entry.step(releasing) {
                    tracing::debug!(%error, "the journal");
                }
                Ok(Some(entry))
            }
            Ok(None) => Ok(None),
            // The record is a hint only.
            Err(error) => {
                tracing::debug!(%error, "the journal");
                Ok(None)
            }
        }
    }

    async fn remove(&self, lease: &LeaseId, entry: Option<JournalEntry>) -> Result<Released> {
        let limit = self.timing.release_limit;
        let released = tokio::time::timeout(limit, self.provider.release(lease)).await.unwrap_or_else(|_| {
            let why = format!("its release was not confirmed within {} s", limit.as_secs());
            Err(Error::new(ErrorKind::ReleaseUnconfirmed, why))
        })?;
        if let Some(mut entry) = entry {
            if let Err(error) = entry.step(LeaseState::Released { verified_at: self.clock.now() }) {
                tracing::debug!(%error, "the journal");
            }
            entry.remove();
        }
        Ok(released)
    }
}
