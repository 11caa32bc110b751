//! Renewals: as long as a lease is held, and never a reason for anything to fail.

use std::time::Duration;

use jiff::SignedDuration;
use lian_build::lease::{HolderState, Labels};
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::support::Fault;

async fn wait_until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

fn often() -> World {
    let mut world = World::new();
    world.timing.renew_every = Duration::from_millis(10);
    world
}

#[tokio::test]
async fn a_lease_that_is_held_is_renewed_on_record_and_at_its_provider() {
    let world = often();
    let request = world.request();
    let lease = world.begin(&request).await;
    lease.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    world.clock.jump(SignedDuration::from_mins(7));
    let later = request.expires_at + SignedDuration::from_mins(7);
    let labels = || Labels::from_map(&world.cloud.look(request.lease_id.as_str()).unwrap().labels).unwrap().unwrap();
    wait_until("it is renewed", || {
        world.home.records()[0].record.expires_at == later && labels().expires_at.as_second() == later.as_second()
    })
    .await;
    // Never beyond its hard deadline, which does not move.
    world.clock.jump(SignedDuration::from_hours(24));
    wait_until("it is renewed", || world.home.records()[0].record.expires_at == request.hard_deadline).await;
    assert_eq!(labels().hard_deadline.as_second(), request.hard_deadline.as_second());
    lease.release("done", &CancellationToken::new()).await.unwrap();
    // Nothing renews what is gone.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(world.home.records().is_empty() && world.cloud.names().is_empty());
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
    wait_until("it is renewed on record", || world.home.records()[0].record.expires_at > request.expires_at).await;
    lease.release("done", &CancellationToken::new()).await.unwrap();
    let notes = custodian.finish().await;
    assert!(notes.len() == 1 && notes[0].contains("could not be renewed"), "{notes:?}");
    assert_eq!(request.holder.unwrap().state(), HolderState::Alive);
}
