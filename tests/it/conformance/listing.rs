//! Cases about what a provider says of its runners.

use std::time::Duration;

use jiff::SignedDuration;
use lian_build::ids::LeaseId;
use lian_build::lease::{HolderState, Labels};
use lian_build::provider::{ComputeProvider, Listed, Liveness, RunnerStatus};

use super::{Harness, Renewal};

/// The runner with this name in the provider's list.
async fn listed(provider: &dyn ComputeProvider, lease: &LeaseId) -> Option<Listed> {
    let mut found = provider.list().await.unwrap();
    found.retain(|listed| listed.name == lease.as_str());
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

pub(crate) async fn the_list_shows_whose_a_runner_is(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    assert_eq!(listed(&*provider, &request.lease_id).await, None);
    harness.lease(&*provider, &request).await;
    // A process that did not lease it sees the same.
    for provider in [&provider, &harness.provider()] {
        let seen = listed(&**provider, &request.lease_id).await.unwrap();
        assert_eq!(seen.lease_id.as_ref(), Some(&request.lease_id));
        // Labels hold whole seconds.
        assert_eq!(seen.labels.unwrap(), Labels::from_map(&request.labels().to_map()).unwrap().unwrap());
        assert_eq!((seen.status, seen.holder), (RunnerStatus::Running, HolderState::Alive));
    }
    provider.release(&request.lease_id).await.unwrap();
    assert_eq!(listed(&*provider, &request.lease_id).await, None);
}

pub(crate) async fn the_list_shows_what_cannot_be_read(harness: &dyn Harness) {
    let unreadable = harness.plant_unreadable();
    let seen = listed(&*harness.provider(), &unreadable).await.unwrap();
    assert!(seen.labels.is_err(), "{seen:?}");
    harness.uproot_unreadable(&unreadable);
}

pub(crate) async fn liveness_is_the_providers_word(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    assert!(matches!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Dead(_)));
    harness.lease(&*provider, &request).await;
    assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    harness.stop(&request.lease_id);
    let mut word = provider.liveness(&request.lease_id).await.unwrap();
    // The machine's own bookkeeping may need a moment.
    for _ in 0..200 {
        if word != Liveness::Alive {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        word = provider.liveness(&request.lease_id).await.unwrap();
    }
    let Liveness::Dead(why) = word else { panic!("it is said to live") };
    assert!(!why.is_empty());
    provider.release(&request.lease_id).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
}

pub(crate) async fn renewing_is_what_was_declared(harness: &dyn Harness) {
    let (provider, mut request) = (harness.provider(), harness.request());
    let until = request.expires_at;
    // What its labels say is over: now a renewal counts.
    request.expires_at = request.created_at - SignedDuration::from_mins(1);
    harness.lease(&*provider, &request).await;
    provider.renew(&request.lease_id, until).await.unwrap();
    let seen = listed(&*harness.provider(), &request.lease_id).await.unwrap();
    let labels = seen.labels.unwrap();
    let shown = seen.renewed_until.unwrap_or(labels.expires_at).max(labels.expires_at);
    match harness.declared().renewal {
        Renewal::Moves => assert_eq!(shown.as_second(), until.as_second()),
        Renewal::MovesAtLeast => assert!(shown >= until && shown < labels.hard_deadline, "{shown} for {until}"),
        Renewal::DoesNothing => assert_eq!(shown.as_second(), request.expires_at.as_second()),
    }
    // The hard deadline is never moved.
    assert_eq!(labels.hard_deadline.as_second(), request.hard_deadline.as_second());
    provider.release(&request.lease_id).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
}

pub(crate) async fn the_backend_is_the_same_for_all_processes(harness: &dyn Harness) {
    let backend = harness.provider().backend();
    assert!(!backend.is_empty());
    assert_eq!(backend, harness.provider().backend());
}
