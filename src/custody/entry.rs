//! [`SharedEntry`]: a lease's place in the journal, shared by all who write it down.
//!
//! Writing never decides over a runner: what cannot be written is noted, and what is done is done all the same. The
//! labels and the reaper know of the lease, too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::Notes;
use crate::error::Result;
use crate::lease::{Endpoint, Holder, JournalEntry, LeaseState};

/// How long a write may take until nobody waits for it any more: the directory may be on a file system that hangs.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// A lease's place in the journal; `None` in it once it is off the record, or left to others.
#[derive(Debug, Clone)]
pub(super) struct SharedEntry {
    entry: Arc<Mutex<Option<JournalEntry>>>,
    notes: Notes,
}

impl SharedEntry {
    pub(super) fn new(entry: JournalEntry, notes: Notes) -> Self {
        Self { entry: Arc::new(Mutex::new(Some(entry))), notes }
    }

    fn lock(&self) -> MutexGuard<'_, Option<JournalEntry>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: impl FnOnce(&mut JournalEntry) -> Result<()>) {
        if let Some(Err(error)) = self.lock().as_mut().map(change) {
            self.notes.add(format!("the lease's record could not be kept up to date: {error}"));
        }
    }

    /// Goes on to `state`.
    pub(super) fn step(&self, state: LeaseState) {
        self.write(|entry| entry.step(state));
    }

    /// As [`SharedEntry::step`], begun at once on another thread; what is returned waits for it.
    pub(super) fn step_aside(&self, state: LeaseState) -> impl Future<Output = ()> + use<> {
        let shared = self.clone();
        aside(move || shared.step(state))
    }

    /// Moves the soft deadline, and names the reaper where it is another one now.
    pub(super) fn renew_aside(
        &self,
        expires_at: Timestamp,
        reaper: Option<Holder>,
    ) -> impl Future<Output = ()> + use<> {
        let shared = self.clone();
        aside(move || {
            shared.write(|entry| {
                if reaper.is_some() && entry.record().reaper != reaper {
                    entry.set_reaper(reaper)?;
                }
                entry.renew(expires_at)
            });
        })
    }

    /// How the runner is reached, once it is ready.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        self.lock().as_ref().and_then(|entry| entry.endpoint().cloned())
    }

    /// Takes the lease off the record.
    pub(super) fn remove_aside(&self) -> impl Future<Output = ()> + use<> {
        let shared = self.clone();
        aside(move || {
            if let Some(entry) = shared.lock().take() {
                entry.remove();
            }
        })
    }

    /// Leaves the record to whoever takes it up. A write that hangs is not waited for: the record goes with it then.
    pub(super) fn let_go(&self) {
        if let Ok(mut entry) = self.entry.try_lock() {
            entry.take();
        }
    }
}

/// Begins `work` on a thread where it may block; what is returned waits for it, within a limit.
fn aside(work: impl FnOnce() + Send + 'static) -> impl Future<Output = ()> {
    let work = tokio::task::spawn_blocking(work);
    async {
        let _ = tokio::time::timeout(WRITE_LIMIT, work).await;
    }
}
