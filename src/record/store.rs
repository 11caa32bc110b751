//! [`StateStore`]: where history is kept.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::Result;
use crate::ids::Workspace;
use crate::record::{Advice, AttemptRecord};
use crate::report::envelope::Cost;

/// How many attempts are looked at for what was spent: more than anybody makes in a day.
const MOST_SPENT: u32 = 10_000;

/// Keeps the history of attempts. Several processes may use one store at the same time.
#[async_trait]
pub trait StateStore: fmt::Debug + Send + Sync {
    /// Adds an attempt, or replaces the one of the same run and number.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when it cannot be kept; [`crate::error::ErrorKind::OverPolicy`] when the run is another
    /// workspace's.
    async fn record(&self, attempt: AttemptRecord) -> Result<()>;

    /// What the workspace's newest attempts on `platform` say about its size.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when the history cannot be read.
    async fn advice(&self, workspace: &Workspace, platform: &str) -> Result<Advice>;

    /// The newest attempts first, at most `limit`; of all workspaces when none is named.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when the history cannot be read.
    async fn history(&self, workspace: Option<&Workspace>, limit: u32) -> Result<Vec<AttemptRecord>>;

    /// What attempts of all workspaces cost that ended after `since`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when the history cannot be read.
    async fn spent(&self, since: Timestamp) -> Result<Vec<Cost>> {
        let attempts = self.history(None, MOST_SPENT).await?;
        Ok(attempts.into_iter().filter(|attempt| attempt.at > since).filter_map(|attempt| attempt.cost).collect())
    }
}
