//! Watches over a runner by its provider's word, for what no connection tells in time.

use super::patience::Patience;
use crate::custody::HeldLease;
use crate::error::{Error, ErrorKind};
use crate::provider::Liveness;

/// Returns once the provider says that the runner does not run any more. A provider that cannot be asked has said
/// nothing.
pub(super) async fn until_dead(lease: &HeldLease, patience: Patience) -> Error {
    loop {
        tokio::time::sleep(patience.watch_every).await;
        match tokio::time::timeout(patience.watch_limit, lease.liveness()).await {
            Ok(Ok(Liveness::Alive)) => {}
            Ok(Ok(Liveness::Dead(why))) => {
                return Error::new(ErrorKind::Runner, format!("the runner is gone: {why}"));
            }
            Ok(Err(error)) => tracing::debug!(%error, "the provider cannot say whether the runner lives"),
            Err(_) => tracing::debug!("the provider does not say whether the runner lives"),
        }
    }
}
