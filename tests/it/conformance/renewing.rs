//! Renewals: as long as a lease is held, and never a reason for anything to fail.

use std::time::Duration;

use jiff::SignedDuration;
use lian_build::lease::{HolderState, Labels};
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::support::{Fault, wait_until_async};

fn often() -> World {
    let mut world = World::new();
    world.timing.renew_every = Duration::from_millis(10);
    world
}

#[tokio::test]
async fn a_lease_that_is_held_is_renewed_on_record_and_at_its_provider() {
    let world = often();
    let custodian = world.custodian();
    let request = world.request();
    let lease = custodian.begin(request.clone()).await.unwrap();
    lease.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    world.clock.jump(SignedDuration::from_mins(7));
    let later = request.expires_at + SignedDuration::from_mins(7);
    let labels = || Labels::from_map(&world.cloud.look(request.lease_id.as_str()).unwrap().labels).unwrap().unwrap();
    wait_until_async("it is renewed", || {
        world.home.records()[0].record.labels.expires_at == later
            && labels().expires_at.as_second() == later.as_second()
    })
    .await;
    // Never beyond its hard deadline, which does not move.
    world.clock.jump(SignedDuration::from_hours(24));
    wait_until_async("it is renewed", || world.home.records()[0].record.labels.expires_at == request.hard_deadline)
        .await;
    assert_eq!(labels().hard_deadline.as_second(), request.hard_deadline.as_second());
    lease.release("done", &CancellationToken::new()).await.unwrap();
    assert!(world.home.records().is_empty() && world.cloud.names().is_empty());
    // Nothing renews what is gone, while another one is renewed twice: it would fail, and be said.
    let request = world.request();
    let other = custodian.begin(request.clone()).await.unwrap();
    other.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    for minutes in [7, 14] {
        world.clock.jump(SignedDuration::from_mins(7));
        let later = request.expires_at + SignedDuration::from_mins(minutes);
        wait_until_async("it is renewed", || world.home.records()[0].record.labels.expires_at == later).await;
    }
    other.release("done", &CancellationToken::new()).await.unwrap();
    assert_eq!(custodian.finish().await, Vec::<String>::new());
}

/// As [`often`], but for the clocks: they alone make it renew.
fn by_clocks() -> World {
    let mut world = World::new();
    world.timing.renew_every = Duration::from_secs(24 * 60 * 60);
    world.timing.compare_every = Duration::from_millis(5);
    world
}

#[tokio::test]
async fn a_machine_that_was_suspended_or_set_renews_at_once() {
    let world = by_clocks();
    let request = world.request();
    let lease = world.begin(&request).await;
    lease.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    let labels = || Labels::from_map(&world.cloud.look(request.lease_id.as_str()).unwrap().labels).unwrap().unwrap();
    let mut expected = request.expires_at;
    // Forwards and back; and when its network is not up at first, until it is.
    for (minutes, failures) in [(31, 0), (-20, 0), (31, 3)] {
        world.cloud.script(Fault::UpdateFails, failures);
        world.clock.jump(SignedDuration::from_mins(minutes));
        expected += SignedDuration::from_mins(minutes);
        wait_until_async("it is renewed", || {
            world.home.records()[0].record.labels.expires_at == expected
                && labels().expires_at.as_second() == expected.as_second()
        })
        .await;
    }
    lease.release("done", &CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_fails_ends_nothing_and_is_said() {
    let world = often();
    world.cloud.script(Fault::UpdateFails, usize::MAX);
    let custodian = world.custodian();
    let request = world.request();
    let lease = custodian.begin(request.clone()).await.unwrap();
    lease.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    world.clock.jump(SignedDuration::from_mins(7));
    wait_until_async("it is renewed on record", || {
        world.home.records()[0].record.labels.expires_at > request.expires_at
    })
    .await;
    lease.release("done", &CancellationToken::new()).await.unwrap();
    let notes = custodian.finish().await;
    assert!(notes.len() == 1 && notes[0].contains("could not be renewed"), "{notes:?}");
    assert_eq!(request.holder.unwrap().state(), HolderState::Alive);
}
