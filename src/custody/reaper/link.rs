//! [`ReaperLink`]: a build's reaper, started when it is first needed and again when it dies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::super::{Notes, Timing};
use super::client::{ReaperClient, this_program};
use super::wire::ToReaper;
use crate::error::Result;
use crate::ids::{LeaseId, RunId};
use crate::lease::Holder;
use crate::provider::ProviderConfig;

/// A build's reaper, started when it is first needed and again when it dies.
#[derive(Debug)]
pub(in super::super) struct ReaperLink {
    provider: ProviderConfig,
    journal: PathBuf,
    timing: Timing,
    program: Option<PathBuf>,
    notes: Notes,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    client: Option<ReaperClient>,
    /// What a reaper has been told to hold, and not that it is gone.
    held: BTreeMap<LeaseId, Timestamp>,
    /// True once a lease is kept: then the reaper goes on when the build ends.
    keeps: bool,
}

impl ReaperLink {
    /// Of which nothing is started yet. `program`, a `lian-build`, is started instead of this very program.
    pub(in super::super) fn new(
        provider: ProviderConfig,
        journal: PathBuf,
        timing: Timing,
        program: Option<PathBuf>,
        notes: Notes,
    ) -> Self {
        Self { provider, journal, timing, program, notes, state: Mutex::default() }
    }

    /// Sees to it that a reaper lives and knows of every lease that is held; yields its process.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when there is none: then nothing may be leased.
    pub(in super::super) async fn ensure(&self, run: RunId) -> Result<Option<Holder>> {
        let mut state = self.state.lock().await;
        if state.client.as_mut().is_some_and(|client| !client.is_alive()) {
            self.notes
                .add("the process that releases the runner when this one is killed had died; another was started");
            state.client = None;
        }
        if state.client.is_none() {
            let program = match &self.program {
                Some(program) => program.clone(),
                None => this_program()?,
            };
            let guard = ToReaper::Guard {
                provider: Box::new(self.provider.clone()),
                journal: self.journal.clone(),
                timing: self.timing,
            };
            let mut client = ReaperClient::start(&program, run, &guard).await?;
            for (lease_id, hard_deadline) in state.held.clone() {
                client.tell(&ToReaper::Hold { lease_id, hard_deadline }).await?;
            }
            state.client = Some(client);
        }
        Ok(state.client.as_ref().and_then(|client| client.holder.clone()))
    }

    /// Makes the reaper answerable for a lease. Returns once it is.
    ///
    /// # Errors
    /// When it is not: then the lease must not be asked for.
    pub(in super::super) async fn hold(&self, lease_id: LeaseId, hard_deadline: Timestamp) -> Result<()> {
        let mut state = self.state.lock().await;
        state.tell(&ToReaper::Hold { lease_id: lease_id.clone(), hard_deadline }).await?;
        state.held.insert(lease_id, hard_deadline);
        Ok(())
    }

    /// Tells the reaper that a lease is verified gone. One that does not hear it finds nothing to release.
    pub(in super::super) async fn released(&self, lease_id: LeaseId) {
        let mut state = self.state.lock().await;
        state.held.remove(&lease_id);
        if let Err(error) = state.tell(&ToReaper::Released { lease_id }).await {
            tracing::debug!(%error, "the reaper");
        }
    }

    /// Leaves a lease to the reaper until then, whatever becomes of this process.
    ///
    /// # Errors
    /// When the reaper did not take it.
    pub(in super::super) async fn keep(&self, lease_id: LeaseId, until: Timestamp) -> Result<()> {
        let mut state = self.state.lock().await;
        state.tell(&ToReaper::Keep { lease_id: lease_id.clone(), until }).await?;
        state.held.remove(&lease_id);
        state.keeps = true;
        Ok(())
    }

    /// Lets the reaper go. With nothing left to release it ends at once, which is waited for.
    pub(in super::super) async fn finish(&self) {
        let mut state = self.state.lock().await;
        let Some(client) = state.client.take() else { return };
        let pid = client.holder.as_ref().map_or_else(String::new, |holder| format!(" (process {})", holder.pid()));
        if !state.held.is_empty() {
            self.notes.add(format!("the reaper{pid} goes on until the release is confirmed"));
        } else if !state.keeps && !client.end().await {
            self.notes.add(format!("the reaper{pid} has nothing to do and did not end"));
        }
    }
}

impl State {
    async fn tell(&mut self, message: &ToReaper) -> Result<()> {
        match &mut self.client {
            Some(client) => client.tell(message).await,
            None => Err(crate::error::Error::new(crate::error::ErrorKind::State, "there is no reaper")),
        }
    }
}
