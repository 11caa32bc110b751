//! What a sweep removes, what it leaves, and what it says about both.

use jiff::SignedDuration;
use lian_build::custody::{Swept, Verdict};
use lian_build::ids::LeaseId;
use lian_build::provider::Released;
use tokio_util::sync::CancellationToken;

use super::world::{Home, PROJECT, World, dead_holder, unknown_holder};
use crate::support::Fault;

/// What was decided about one runner.
fn verdict<'a>(swept: &'a [Swept], lease: &LeaseId) -> &'a Verdict {
    &swept.iter().find(|swept| swept.name == lease.as_str()).unwrap().verdict
}

#[tokio::test]
async fn a_new_empty_home_removes_what_a_dead_job_of_the_project_left() {
    let world = World::new();
    let mut request = world.request();
    request.holder = Some(dead_holder());
    world.leave(&request);
    let swept = world.sweep_from(&Home::new(), PROJECT, false).await.unwrap();
    assert!(matches!(verdict(&swept, &request.lease_id), Verdict::Remove(_)), "{swept:?}");
    assert_eq!(world.cloud.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_of_another_machine_is_left_until_its_soft_deadline_and_grace_are_past() {
    let world = World::new();
    let mut request = world.request();
    request.holder = Some(unknown_holder());
    world.leave(&request);
    // 20 minutes to live, 5 of grace.
    for (minutes, there) in [(0, true), (21, true), (3, true), (2, false)] {
        world.clock.jump(SignedDuration::from_mins(minutes));
        world.sweep_from(&Home::new(), PROJECT, false).await.unwrap();
        assert_eq!(!world.cloud.names().is_empty(), there, "{minutes} minutes later");
    }
}

#[tokio::test]
async fn a_renewed_lease_of_another_machine_is_left() {
    let world = World::new();
    let mut request = world.request();
    request.holder = Some(unknown_holder());
    world.leave(&request);
    let provider: &dyn lian_build::provider::ComputeProvider = &world.provider;
    provider.renew(&request.lease_id, request.expires_at + SignedDuration::from_mins(20)).await.unwrap();
    world.clock.jump(SignedDuration::from_mins(30));
    world.sweep().await.unwrap();
    assert_eq!(world.cloud.names(), [request.lease_id.as_str()]);
    world.clock.jump(SignedDuration::from_mins(16));
    world.sweep().await.unwrap();
    assert_eq!(world.cloud.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_living_lease_of_this_machine_is_left_to_its_holder() {
    let world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    lease.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    // Its holder lives, so a late renewal costs it nothing; the second jump goes past the hard deadline and its grace.
    for minutes in [60, 66] {
        world.clock.jump(SignedDuration::from_mins(minutes));
        for home in [&world.home, &Home::new()] {
            let swept = world.sweep_from(home, PROJECT, false).await.unwrap();
            assert!(matches!(verdict(&swept, &request.lease_id), Verdict::Keep(_)), "{minutes}: {swept:?}");
        }
    }
    assert_eq!(world.cloud.deletes(), Vec::<String>::new());
    lease.release("done", &CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn another_owners_runner_is_left_until_its_hard_deadline_and_grace_are_past() {
    let world = World::new();
    let mut theirs = world.request_of("another project");
    // Nothing else proves enough: not a dead holder, not a soft deadline.
    theirs.holder = Some(dead_holder());
    world.leave(&theirs);
    // 2 hours are its hard deadline, 5 minutes the grace.
    for (minutes, there) in [(0, true), (60, true), (61, true), (3, true), (2, false)] {
        world.clock.jump(SignedDuration::from_mins(minutes));
        let swept = world.sweep().await.unwrap();
        assert_eq!(matches!(verdict(&swept, &theirs.lease_id), Verdict::Keep(_)), there, "{minutes}: {swept:?}");
        assert_eq!(!world.cloud.names().is_empty(), there, "{minutes} minutes later");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_the_grace_destroys_nothing_of_anybody() {
    let world = World::new();
    for owner in [PROJECT, "another project"] {
        let mut request = world.request_of(owner);
        request.holder = Some(unknown_holder());
        world.leave(&request);
    }
    world.clock.jump(SignedDuration::from_mins(24));
    world.sweep().await.unwrap();
    world.clock.jump(SignedDuration::from_hours(-48));
    world.sweep().await.unwrap();
    assert_eq!(world.cloud.names().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_proven_ours_is_shown_and_never_touched() {
    let world = World::new();
    let (whole, mut broken) = (world.request(), Vec::new());
    for key in ["lian-owner", "lian-lease", "lian-max", "lian-expires", "lian-schema"] {
        let (lease, mut labels) = (LeaseId::new(), whole.labels().to_map());
        labels.insert("lian-lease".to_owned(), lease.to_string());
        labels.remove(key);
        world.cloud.plant(lease.as_str(), labels);
        broken.push(lease);
    }
    // Labels of one lease on a thing with another's name, and on one whose name is no lease's.
    let copied = LeaseId::new();
    world.cloud.plant(copied.as_str(), whole.labels().to_map());
    world.cloud.plant("database", whole.labels().to_map());
    world.cloud.plant("lian-build-of-ann", [("lian".to_owned(), "1".to_owned())].into());
    let names = world.cloud.names();
    // Long past any deadline.
    world.clock.jump(SignedDuration::from_hours(24 * 30));
    let swept = world.sweep().await.unwrap();
    for lease in broken.iter().chain([&copied]) {
        assert!(matches!(verdict(&swept, lease), Verdict::Suspicious(_)), "{:?}", verdict(&swept, lease));
    }
    let database = swept.iter().find(|swept| swept.name == "database").unwrap();
    assert!(matches!(database.verdict, Verdict::Suspicious(_)), "{database:?}");
    assert!(swept.iter().all(|swept| swept.name != "lian-build-of-ann"));
    assert_eq!(world.cloud.names(), names);
    assert_eq!(world.cloud.deletes(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_cannot_be_removed_does_not_stop_the_sweep() {
    let world = World::new();
    let mut leases = Vec::new();
    for _ in 0..3 {
        let mut request = world.request();
        request.holder = Some(dead_holder());
        world.leave(&request);
        leases.push(request.lease_id);
    }
    // Whichever is asked for first: its destruction fails, and the rest goes.
    world.cloud.script(Fault::DeleteFails, 1);
    let swept = world.sweep().await.unwrap();
    let failed = swept.iter().filter(|swept| matches!(swept.removed, Some(Err(_)))).count();
    let gone = swept.iter().filter(|swept| matches!(swept.removed, Some(Ok(Released::Destroyed)))).count();
    assert_eq!((failed, gone, world.cloud.names().len()), (1, 2, 1), "{swept:?}");
    // The next one finishes the job.
    world.sweep().await.unwrap();
    assert_eq!(world.cloud.names(), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_tidied_away_hides_nothing_of_what_was_removed() {
    let world = World::new();
    let mut request = world.request();
    request.holder = Some(dead_holder());
    world.leave(&request);
    world.cloud.script(Fault::TidyFails, 1);
    let swept = world.sweep_whole(&world.home, PROJECT, false).await.unwrap();
    assert!(matches!(swept.runners[0].removed, Some(Ok(Released::Destroyed))), "{swept:?}");
    swept.tidied.unwrap_err();
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_touches_nothing() {
    let world = World::new();
    let mut request = world.request();
    request.holder = Some(dead_holder());
    world.leave(&request);
    let swept = world.sweep_from(&world.home, PROJECT, true).await.unwrap();
    assert!(matches!(verdict(&swept, &request.lease_id), Verdict::Remove(_)), "{swept:?}");
    assert!(swept.iter().all(|swept| swept.removed.is_none()));
    assert_eq!((world.cloud.names().len(), world.cloud.deletes().len()), (1, 0));
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_an_error() {
    let world = World::new();
    world.cloud.script(Fault::ListFails, usize::MAX);
    world.sweep().await.unwrap_err();
}

#[tokio::test]
async fn a_record_of_another_account_is_not_ended_by_its_not_found() {
    let mut world = World::new();
    let request = world.request();
    let lease = world.begin(&request).await;
    lease.acquire(&|_: &str| (), &CancellationToken::new()).await.unwrap();
    drop(lease);
    // The same home, with another credential: its cloud has no such server.
    let first = std::mem::take(&mut world.cloud);
    world.provider = crate::support::FakeProvider { account: "two", ..crate::support::FakeProvider::new(&world.cloud) };
    world.sweep().await.unwrap();
    assert_eq!(world.home.state_of(&request.lease_id), Some("ready"));
    assert_eq!(first.names(), [request.lease_id.as_str()]);
}

#[tokio::test]
async fn a_record_whose_server_is_gone_is_removed() {
    let world = World::new();
    let mut request = world.request();
    request.holder = Some(dead_holder());
    drop(world.begin(&request).await);
    assert_eq!(world.home.state_of(&request.lease_id), Some("intent"));
    world.sweep().await.unwrap();
    assert_eq!(world.home.state_of(&request.lease_id), None);
}

#[tokio::test]
async fn a_runner_that_may_be_kept_is_left_although_its_holder_is_dead() {
    let world = World::new();
    let mut request = world.request();
    (request.holder, request.may_be_kept) = (Some(dead_holder()), true);
    world.leave(&request);
    world.sweep_from(&Home::new(), PROJECT, false).await.unwrap();
    assert_eq!(world.cloud.names(), [request.lease_id.as_str()]);
    // Its soft deadline says nothing: where it is kept, nobody renews it.
    world.clock.jump(SignedDuration::from_mins(26));
    world.sweep_from(&Home::new(), PROJECT, false).await.unwrap();
    assert_eq!(world.cloud.names(), [request.lease_id.as_str()]);
    world.clock.jump(SignedDuration::from_mins(100));
    world.sweep_from(&Home::new(), PROJECT, false).await.unwrap();
    assert_eq!(world.cloud.names(), Vec::<String>::new());
}
