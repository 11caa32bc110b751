//! Looking whether a lease's runner lives, when its holder asks for the lease: what a dead runner is leased for is over.

use std::time::Duration;

use super::pool::Pool;
use super::refusal::Refusal;
use super::row::Stage;
use super::slot::Slot;
use crate::pool_api::Code;
use crate::provider::Liveness;

/// How long a provider's word is believed: whoever watches a runner asks every other second.
const BELIEVED: Duration = Duration::from_secs(1);

/// How long a provider may take to give it. After that the answer is what was known.
const LIMIT: Duration = Duration::from_secs(5);

impl Pool {
    /// Asks the provider whether a runner that was ready lives. One that does not has failed: its holder reads why, and what is
    /// left of it is destroyed, for a machine that is off is paid for all the same. That nobody says proves nothing.
    pub(super) async fn look(&self, slot: &Slot) {
        let (provider, lease, stage) = slot.with(|row| (row.provider.clone(), row.lease_id.clone(), row.stage));
        if stage != Stage::Ready || slot.end.is_cancelled() || !slot.begins_to_look(BELIEVED) {
            return;
        }
        let Some(custodian) = self.custodian(&provider) else { return };
        match tokio::time::timeout(LIMIT, custodian.provider().liveness(&lease)).await {
            Ok(Ok(Liveness::Alive)) => {}
            Ok(Ok(Liveness::Dead(why))) if !slot.end.is_cancelled() => {
                let why = format!("its runner died: {why}");
                tracing::warn!(%lease, why, "a lease");
                self.fail(slot, Refusal::new(Code::Internal, &why)).await;
                slot.ask_to_end(&why);
            }
            Ok(Ok(Liveness::Dead(_))) => {}
            Ok(Err(error)) => tracing::debug!(%error, %lease, "asking whether a runner lives"),
            Err(_) => tracing::debug!(%lease, "its provider does not say in time whether a runner lives"),
        }
    }
}
