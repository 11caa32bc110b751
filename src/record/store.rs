//! [`StateStore`]: where history is kept.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::ids::Workspace;
use crate::record::{Advice, AttemptRecord};

/// Keeps the history of attempts. Several processes may use one store at the same time.
#[async_trait]
pub trait StateStore: fmt::Debug + Send + Sync {
    /// Adds an attempt, or replaces the one of the same run and number.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when it cannot be kept.
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
}
