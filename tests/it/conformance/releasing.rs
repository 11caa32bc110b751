//! Cases about how a runner goes.

use lian_build::provider::{Liveness, Released};

use super::Harness;

pub(crate) async fn releasing_is_idempotent(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    harness.lease(&*provider, &request).await;
    assert!(!harness.traces(&request.lease_id).is_empty());
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    harness.assert_nothing_of(&request.lease_id);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    assert_eq!(harness.provider().release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
}

pub(crate) async fn what_is_not_ours_is_refused(harness: &dyn Harness) {
    let foreign = harness.plant_foreign().await;
    let traces = harness.traces(&foreign);
    let error = harness.provider().release(&foreign).await.unwrap_err();
    assert!(error.to_string().contains(foreign.as_str()), "{error}");
    assert_eq!(harness.traces(&foreign), traces);
    harness.uproot_foreign(&foreign).await;
}

/// Where runners can outlive their process another one must be able to release them; where they cannot, they must not.
pub(crate) async fn a_runner_lives_as_long_as_was_declared(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    harness.lease(&*provider, &request).await;
    let outlives = provider.capabilities().can_keep;
    drop(provider);
    let other = harness.provider();
    if outlives {
        assert!(!harness.traces(&request.lease_id).is_empty());
        assert_eq!(other.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
        assert_eq!(other.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    }
    harness.assert_nothing_of(&request.lease_id);
    assert_eq!(other.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
}

pub(crate) async fn a_stopped_runner_is_released(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    harness.lease(&*provider, &request).await;
    harness.stop(&request.lease_id);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    harness.assert_nothing_of(&request.lease_id);
}
