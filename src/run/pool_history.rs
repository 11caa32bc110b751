//! The history of a pool that the runner is leased from, beside our own: what others built there counts too, and what was
//! built is told. Nothing here fails a build.

use crate::ids::Workspace;
use crate::provider::ProviderConfig;
use crate::record::{Advice, AttemptRecord, HttpStore, StateStore as _};

/// The history of the pool, where the runner is leased from one.
fn of(config: &ProviderConfig) -> Option<HttpStore> {
    match config {
        ProviderConfig::VmPool(config) => Some(HttpStore::new(config)),
        _ => None,
    }
}

/// Our own advice with the pool's, and what is to be said where the pool gives none.
pub(super) async fn complement(
    own: Option<Advice>,
    config: &ProviderConfig,
    workspace: &Workspace,
    platform: &str,
) -> (Option<Advice>, Option<String>) {
    let Some(store) = of(config) else { return (own, None) };
    match store.advice(workspace, platform).await {
        Ok(advice) => (Some(own.unwrap_or_default().with(advice)), None),
        Err(error) => (own, Some(format!("the pool's history does not count for the size: {error}"))),
    }
}

/// Tells the pool of an attempt; yields what is to be said where it did not hear it.
pub(super) async fn tell(config: &ProviderConfig, attempt: AttemptRecord) -> Option<String> {
    let error = of(config)?.record(attempt).await.err()?;
    Some(format!("the pool's history did not take the attempt: {error}"))
}
