//! [`SharedEntry`]: a lease's place in the journal, shared by all who write it down.
//!
//! Writing never decides over a runner: what cannot be written is noted, and what is done is done all the same. The
//! labels and the reaper know of the lease, too.
//!
//! Every change is begun in the order in which it is asked for, on a thread where it may block. What is returned waits for it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;

use super::Notes;
use super::write_queue::{Waited, WriteQueue};
use crate::error::Result;
use crate::lease::{Endpoint, Holder, JournalEntry, LeaseState};

/// A lease's place in the journal; `None` in it once it is off the record, or left to others.
#[derive(Debug, Clone)]
pub(super) struct SharedEntry {
    /// Locked while it is written, which may hang: only the queue waits for it.
    entry: Arc<Mutex<Option<JournalEntry>>>,
    endpoint: Arc<OnceLock<Endpoint>>,
    writes: WriteQueue,
    notes: Notes,
}

impl SharedEntry {
    pub(super) fn new(entry: JournalEntry, notes: Notes) -> Self {
        Self { entry: Arc::new(Mutex::new(Some(entry))), endpoint: Arc::default(), writes: WriteQueue::start(), notes }
    }

    /// The provider confirmed that it makes the runner.
    pub(super) fn created(&self, remote_id: &str) -> impl Future<Output = ()> + Send + use<> {
        let state = LeaseState::Created { remote_id: remote_id.to_owned() };
        self.write(|entry| {
            crate::failpoint::reach("created-writing");
            entry.step(state)
        })
    }

    /// The runner answers.
    pub(super) fn ready(&self, endpoint: &Endpoint) -> impl Future<Output = ()> + Send + use<> {
        let state = LeaseState::Ready { endpoint: Box::new(endpoint.clone()) };
        // There is one: a lease becomes ready once.
        let _ = self.endpoint.set(endpoint.clone());
        self.write(|entry| {
            crate::failpoint::reach("ready-writing");
            entry.step(state)
        })
    }

    /// The runner answers, which may be on record already.
    pub(super) fn taken_up(&self, endpoint: &Endpoint) -> impl Future<Output = ()> + Send + use<> {
        let state = LeaseState::Ready { endpoint: Box::new(endpoint.clone()) };
        let _ = self.endpoint.set(endpoint.clone());
        self.write(|entry| match entry.record().state {
            LeaseState::Intent | LeaseState::Created { .. } => entry.step(state),
            _ => Ok(()),
        })
    }

    /// Goes on to `state`.
    pub(super) fn step(&self, state: LeaseState) -> impl Future<Output = ()> + Send + use<> {
        self.write(|entry| entry.step(state))
    }

    /// Moves the soft deadline, and names the reaper where it is another one now.
    pub(super) fn renew(
        &self,
        expires_at: Timestamp,
        reaper: Option<Holder>,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.write(move |entry| {
            if reaper.is_some() && entry.record().reaper != reaper {
                entry.set_reaper(reaper)?;
            }
            entry.renew(expires_at)
        })
    }

    /// Takes the lease off the record.
    pub(super) fn remove(&self) -> impl Future<Output = ()> + Send + use<> {
        self.change(|entry, _| {
            if let Some(entry) = entry.take() {
                entry.remove();
            }
        })
    }

    /// How the runner is reached, once it is ready.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.get()
    }

    /// Leaves the record to whoever takes it up. A write that hangs is not waited for: the record goes with it then.
    pub(super) fn let_go(&self) {
        if let Ok(mut entry) = self.entry.try_lock() {
            entry.take();
        }
    }

    fn write<W>(&self, write: W) -> impl Future<Output = ()> + Send + use<W>
    where
        W: FnOnce(&mut JournalEntry) -> Result<()> + Send + 'static,
    {
        self.change(|entry, notes| {
            if let Some(Err(error)) = entry.as_mut().map(write) {
                notes.add(format!("the lease's record could not be kept up to date: {error}"));
            }
        })
    }

    fn change<C>(&self, change: C) -> impl Future<Output = ()> + Send + use<C>
    where
        C: FnOnce(&mut Option<JournalEntry>, &Notes) + Send + 'static,
    {
        let (entry, notes) = (Arc::clone(&self.entry), self.notes.clone());
        let changed = self.writes.add(move || change(&mut lock(&entry), &notes));
        let notes = self.notes.clone();
        async move {
            if changed.await == Waited::Hangs {
                notes.add("the lease's record could not be kept up to date: the journal's directory does not answer");
            }
        }
    }
}

fn lock(entry: &Mutex<Option<JournalEntry>>) -> MutexGuard<'_, Option<JournalEntry>> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}
