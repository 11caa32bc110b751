//! What the lease protocol makes of a cloud that fails: never two servers for one lease, never one that nobody knows of.

use std::path::Path;
use std::time::Duration;

use lian_build::error::{ErrorKind, Result};
use lian_build::lease::Endpoint;
use lian_build::provider::{Liveness, Released};
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::support::Fault;

/// Nobody gives up.
fn never() -> CancellationToken {
    CancellationToken::new()
}

async fn acquire(lease: &lian_build::custody::HeldLease) -> Result<Endpoint> {
    lease.acquire(&|_: &str| (), &never()).await
}

#[tokio::test]
async fn a_lease_is_on_record_from_before_the_first_request_to_its_release() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    assert_eq!(world.home.state_of(&request.lease_id), Some("intent"));
    assert_eq!(world.cloud.names(), Vec::<String>::new());
    let seen = std::sync::Mutex::new(Vec::new());
    let look = |_: &str| seen.lock().unwrap().push(world.home.state_of(&request.lease_id));
    lease.acquire(&look, &never()).await.unwrap();
    // It is waited for only after the provider's word is on record.
    assert_eq!(seen.into_inner().unwrap(), [Some("created")]);
    assert_eq!(world.home.state_of(&request.lease_id), Some("ready"));
    assert!(world.home.records().iter().all(|found| found.held));
    assert_eq!(lease.liveness().await.unwrap(), Liveness::Alive);
    assert_eq!(lease.release("done", &never()).await.unwrap(), Released::Destroyed);
    assert_eq!(world.home.state_of(&request.lease_id), None);
    assert_eq!(world.cloud.names(), Vec::<String>::new());
    assert_eq!(world.cloud.bill().len(), 1);
}

#[tokio::test]
async fn a_record_that_cannot_be_written_means_that_nothing_is_asked_for() {
    let world = World::new();
    // The place of the journal's directory is taken, which stops root, too.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("leases"), "").unwrap();
    let journal = lian_build::lease::Journal::new(dir.path());
    let provider = std::sync::Arc::new(world.provider.clone());
    let custodian =
        lian_build::custody::Custodian::without_reaper(provider, journal, world.clock.clone(), world.timing);
    let error = custodian.begin(world.request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains("nothing is leased"), "{error}");
    assert_eq!(world.cloud.bill(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_whose_reply_was_lost_is_adopted() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    world.cloud.script(Fault::CreateReplyLost, 1);
    acquire(&lease).await.unwrap();
    assert_eq!(world.cloud.bill(), [request.lease_id.as_str()]);
    lease.release("done", &never()).await.unwrap();
    assert_eq!(world.cloud.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_shows_late_is_not_made_twice() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    world.cloud.script(Fault::CreateReplyLost, 1);
    world.cloud.script(Fault::GetIsStale, 2);
    acquire(&lease).await.unwrap();
    assert_eq!(world.cloud.bill(), [request.lease_id.as_str()]);
    lease.release("done", &never()).await.unwrap();
}

#[tokio::test]
async fn server_errors_are_retried_under_the_same_name() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    world.cloud.script(Fault::CreateFails, 3);
    acquire(&lease).await.unwrap();
    assert_eq!(world.cloud.bill(), [request.lease_id.as_str()]);
    lease.release("done", &never()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_made_and_then_failed_is_released() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    world.cloud.script(Fault::CreateFailsAfterMaking, 1);
    acquire(&lease).await.unwrap_err();
    assert_eq!(world.cloud.names(), [request.lease_id.as_str()]);
    assert_eq!(lease.release("it failed", &never()).await.unwrap(), Released::Destroyed);
    assert_eq!(world.cloud.names(), Vec::<String>::new());
    assert_eq!(world.home.state_of(&request.lease_id), None);
}

#[tokio::test]
async fn a_name_that_another_has_is_neither_used_nor_released() {
    let world = World::new();
    let (request, other) = (world.request(), world.request_of("another project"));
    let mut labels = other.labels().to_map();
    labels.insert("lian-lease".to_owned(), other.lease_id.to_string());
    world.cloud.plant(request.lease_id.as_str(), labels.clone());
    let lease = world.begin(&request).await;
    acquire(&lease).await.unwrap_err();
    let error = lease.release("it failed", &never()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert_eq!(world.cloud.look(request.lease_id.as_str()).unwrap().labels, labels);
    assert_eq!(world.cloud.deletes(), Vec::<String>::new());
    assert_eq!(world.cloud.bill(), Vec::<String>::new());
}

#[tokio::test]
async fn a_slow_server_can_be_cancelled() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    world.cloud.script(Fault::CreateIsSlow, 1);
    let cancel = never();
    let stop = cancel.clone();
    let waiting = move |_: &str| stop.cancel();
    lease.acquire(&waiting, &cancel).await.unwrap_err();
    assert_eq!(world.home.state_of(&request.lease_id), Some("created"));
    assert_eq!(lease.release("cancelled", &never()).await.unwrap(), Released::Destroyed);
    assert_eq!(world.cloud.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    world.cloud.script(Fault::CreateIsSlow, 1);
    let cloud = world.cloud.clone();
    let name = request.lease_id.to_string();
    let waiting = move |_: &str| cloud.start(&name);
    lease.acquire(&waiting, &never()).await.unwrap();
    lease.release("done", &never()).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_fails_is_repeated_until_it_is_verified() {
    for fault in [Fault::DeleteFails, Fault::DeleteIsOnlySaid, Fault::DeleteReplyLost] {
        let world = World::new();
        let request = world.request();
        let lease = world.begin(&request).await;
        acquire(&lease).await.unwrap();
        world.cloud.script(fault, 2);
        lease.release("done", &never()).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(world.cloud.names(), Vec::<String>::new(), "{fault:?}");
        assert_eq!(world.home.state_of(&request.lease_id), None, "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_stays_is_told_and_kept_on_record() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    acquire(&lease).await.unwrap();
    world.cloud.script(Fault::DeleteIsOnlySaid, usize::MAX);
    let error = lease.release("done", &never()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert!(error.to_string().contains(request.lease_id.as_str()), "{error}");
    let hint = format!("lian-build runners release {}", request.lease_id);
    assert!(error.hints().iter().any(|said| said.contains(&hint)), "{:?}", error.hints());
    assert!(world.cloud.deletes().len() > 1, "it was tried once only");
    drop(lease);
    // Nobody holds it any more, and the next one to come finds it.
    let records = world.home.records();
    assert_eq!(
        records.iter().map(|found| (found.record.state.name(), found.held)).collect::<Vec<_>>(),
        [("releasing", false)]
    );
    world.cloud.heal();
    world.sweep().await.unwrap();
    assert_eq!(world.cloud.names(), Vec::<String>::new());
    assert_eq!(world.home.state_of(&request.lease_id), None);
}

#[tokio::test]
async fn the_second_signal_ends_the_wait_and_the_record_stays() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    acquire(&lease).await.unwrap();
    world.cloud.script(Fault::DeleteFails, usize::MAX);
    let give_up = never();
    give_up.cancel();
    let error = lease.release("a signal", &give_up).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    // The request went out all the same.
    assert_eq!(world.cloud.deletes(), [request.lease_id.as_str()]);
    assert_eq!(world.home.state_of(&request.lease_id), Some("releasing"));
}

#[tokio::test]
async fn a_clock_that_jumps_does_not_end_a_lease() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    acquire(&lease).await.unwrap();
    for hours in [30, -60] {
        world.clock.jump(jiff::SignedDuration::from_hours(hours));
        assert_eq!(lease.liveness().await.unwrap(), Liveness::Alive);
        assert_eq!(world.cloud.names(), [request.lease_id.as_str()]);
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), lease.release("done", &never())).await;
    assert_eq!(ended.unwrap().unwrap(), Released::Destroyed);
}

#[tokio::test]
async fn nothing_secret_and_nothing_readable_by_others_is_on_record() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    acquire(&lease).await.unwrap();
    let dir = world.home.path().join("leases");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    lease.release("done", &never()).await.unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}
