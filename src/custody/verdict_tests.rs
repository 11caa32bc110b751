//! The verdict over lists made by hand, and over any list there may be.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{SweepContext, Timing, Verdict, verdict};
use crate::ids::{LeaseId, RunId};
use crate::lease::{Endpoint, HolderState, Labels, LeaseRecord, LeaseState, OwnerId, RECORD_VERSION, Recorded};
use crate::provider::{Listed, RunnerStatus, Scope};

const HOUR: i64 = 3600;
/// [`Timing::default`]'s grace, in seconds.
const GRACE: i64 = 300;
/// When the runners of these tests were asked for.
const CREATED: i64 = 1_800_000_000;
const EXPIRES: i64 = CREATED + HOUR / 3;
const HARD: i64 = CREATED + 2 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ours() -> OwnerId {
    OwnerId::derive("this project")
}

fn labels() -> Labels {
    Labels {
        owner: ours(),
        lease_id: LeaseId::new(),
        run_id: RunId::new(),
        workspace: "shop".parse().unwrap(),
        tier: "cax11".to_owned(),
        attempt: 1,
        created_at: at(CREATED),
        expires_at: at(EXPIRES),
        hard_deadline: at(HARD),
        holder: None,
        may_be_kept: false,
    }
}

/// A runner of another machine.
fn listed(labels: Labels) -> Listed {
    Listed {
        name: labels.lease_id.to_string(),
        lease_id: Some(labels.lease_id.clone()),
        labels: Ok(labels),
        status: RunnerStatus::Running,
        holder: HolderState::Unknown,
        renewed_until: None,
        cost: None,
    }
}

fn recorded(listed: &Listed, state: LeaseState, held: bool) -> Recorded {
    let labels = listed.labels.clone().unwrap();
    let record = LeaseRecord {
        version: RECORD_VERSION,
        provider: "fake".to_owned(),
        backend: "one".to_owned(),
        labels: Labels { holder: None, ..labels },
        reaper: None,
        state,
    };
    Recorded { record, held }
}

fn judge_in(scope: Scope, listed: &Listed, recorded: Option<&Recorded>, now: i64) -> Verdict {
    let owner = ours();
    verdict(listed, recorded, &SweepContext { owner: &owner, now: at(now), scope, timing: Timing::default() })
}

fn judge(listed: &Listed, recorded: Option<&Recorded>, now: i64) -> Verdict {
    judge_in(Scope::Credential, listed, recorded, now)
}

#[track_caller]
fn assert_removed(verdict: Verdict, why: &str) {
    assert!(matches!(&verdict, Verdict::Remove(said) if said.contains(why)), "{verdict:?}");
}

#[track_caller]
fn assert_kept(verdict: Verdict, why: &str) {
    assert!(matches!(&verdict, Verdict::Keep(said) if said.contains(why)), "{verdict:?}");
}

fn kept(until: i64) -> LeaseState {
    LeaseState::Kept { endpoint: Box::new(Endpoint::nowhere()), until: at(until) }
}

#[test]
fn what_is_not_whole_is_never_touched() {
    let unreadable = Listed { labels: Err("its label `x` is missing".to_owned()), ..listed(labels()) };
    for holder in [HolderState::Dead, HolderState::Unknown, HolderState::Alive] {
        let unreadable = Listed { holder, ..unreadable.clone() };
        assert_eq!(
            judge(&unreadable, None, HARD + 100 * HOUR),
            Verdict::Suspicious("its label `x` is missing".to_owned())
        );
    }
    // Only this user can have made it, and it died before it wrote them.
    let dead = Listed { holder: HolderState::Dead, ..unreadable.clone() };
    assert_removed(judge_in(Scope::ThisUser, &dead, None, CREATED), "is gone");
    let alive = Listed { holder: HolderState::Alive, ..unreadable };
    assert_kept(judge_in(Scope::ThisUser, &alive, None, HARD + 100 * HOUR), "lives");
}

#[test]
fn labels_of_another_lease_prove_nothing() {
    let other = LeaseId::new();
    let renamed = Listed { name: other.to_string(), lease_id: Some(other), ..listed(labels()) };
    let foreign_name = Listed { name: "database".to_owned(), lease_id: None, ..listed(labels()) };
    for odd in [renamed, foreign_name] {
        assert!(matches!(judge(&odd, None, HARD + 100 * HOUR), Verdict::Suspicious(_)));
        assert!(matches!(judge_in(Scope::ThisUser, &odd, None, HARD + 100 * HOUR), Verdict::Suspicious(_)));
    }
}

#[test]
fn who_lives_keeps_whatever_the_clock_says() {
    let alive = Listed { holder: HolderState::Alive, ..listed(labels()) };
    let held = recorded(&alive, LeaseState::Intent, true);
    for now in [0, CREATED, HARD + 10_000 * HOUR] {
        assert_kept(judge(&alive, None, now), "lives");
        assert_kept(judge(&alive, Some(&held), now), "lives");
        assert_kept(judge(&Listed { holder: HolderState::Unknown, ..alive.clone() }, Some(&held), now), "lives");
        // A lock that is gone proves nothing of a process that is there.
        assert_kept(judge(&alive, Some(&recorded(&alive, LeaseState::Intent, false)), now), "lives");
    }
    // It has tried to release it and has let it go.
    let releasing = LeaseState::Releasing { reason: "done".to_owned(), since: at(CREATED) };
    assert_kept(judge(&alive, Some(&recorded(&alive, releasing.clone(), true)), CREATED), "lives");
    assert_removed(judge(&alive, Some(&recorded(&alive, releasing, false)), CREATED), "gone");
}

#[test]
fn what_this_user_leased_goes_with_its_process() {
    for owner in [ours(), OwnerId::derive("another project of this user")] {
        let runner = listed(Labels { owner, may_be_kept: true, ..labels() });
        assert_removed(judge(&runner, Some(&recorded(&runner, LeaseState::Intent, false)), CREATED), "is gone");
    }
}

#[test]
fn what_is_kept_stays_until_then() {
    let runner = Listed { holder: HolderState::Dead, ..listed(Labels { may_be_kept: true, ..labels() }) };
    let until = recorded(&runner, kept(CREATED + HOUR), false);
    assert_kept(judge(&runner, Some(&until), CREATED + HOUR - 1), "after a failure");
    assert_removed(judge(&runner, Some(&until), CREATED + HOUR + 1), "is gone");
    // Where nobody knows until when, it is until its hard deadline.
    assert_kept(judge(&runner, None, HARD + GRACE), "at the latest until 2027-01-15T10:00:00Z");
    assert_removed(judge(&runner, None, HARD + GRACE + 1), "hard deadline");
}

#[test]
fn past_its_hard_deadline_anybody_removes_it() {
    let foreign = listed(Labels { owner: OwnerId::derive("another"), ..labels() });
    let owner = foreign.labels.as_ref().unwrap().owner.to_string();
    for holder in [HolderState::Dead, HolderState::Unknown] {
        let foreign = Listed { holder, status: RunnerStatus::Stopped, ..foreign.clone() };
        assert_kept(judge(&foreign, None, HARD + GRACE), &owner);
        assert_removed(judge(&foreign, None, HARD + GRACE + 1), "hard deadline");
    }
}

#[test]
fn what_our_owner_left_elsewhere_goes_by_proof_or_deadline() {
    let runner = listed(labels());
    assert_kept(judge(&runner, None, EXPIRES + GRACE), "unless renewed");
    assert_removed(judge(&runner, None, EXPIRES + GRACE + 1), "renewed");
    let renewed = Listed { renewed_until: Some(at(EXPIRES + HOUR)), ..runner.clone() };
    assert_kept(judge(&renewed, None, EXPIRES + HOUR + GRACE), "unless renewed");
    assert_removed(judge(&renewed, None, EXPIRES + HOUR + GRACE + 1), "renewed");
    let earlier = Listed { renewed_until: Some(at(CREATED)), ..runner.clone() };
    assert_kept(judge(&earlier, None, EXPIRES), "unless renewed");
    assert_removed(judge(&Listed { holder: HolderState::Dead, ..runner.clone() }, None, CREATED), "is gone");
    let stopped = Listed { status: RunnerStatus::Stopped, ..runner };
    assert_kept(judge(&stopped, None, CREATED + 900), "unless renewed");
    assert_removed(judge(&stopped, None, CREATED + 901), "does not run");
}

prop_compose! {
    fn any_runner()(
        foreign in any::<bool>(),
        may_be_kept in any::<bool>(),
        lives_for in 0..HOUR,
        hard_after in 0..24 * HOUR,
        whole in prop::bool::weighted(0.9),
        named in prop::bool::weighted(0.9),
        holder in prop::sample::select(vec![HolderState::Alive, HolderState::Dead, HolderState::Unknown]),
        status in prop::sample::select(vec![
            RunnerStatus::Starting, RunnerStatus::Running, RunnerStatus::Stopped, RunnerStatus::Unknown,
        ]),
        renewed in prop::option::of(-HOUR..24 * HOUR),
    ) -> Listed {
        let owner = if foreign { OwnerId::derive("another") } else { ours() };
        let labels = Labels {
            owner, may_be_kept, expires_at: at(CREATED + lives_for), hard_deadline: at(CREATED + hard_after), ..labels()
        };
        let mut listed = listed(labels);
        listed.holder = holder;
        listed.status = status;
        listed.renewed_until = renewed.map(|renewed| at(CREATED + renewed));
        if !named {
            listed.name = "database".to_owned();
            listed.lease_id = None;
        }
        if !whole {
            listed.labels = Err("its label `x` is missing".to_owned());
        }
        listed
    }
}

proptest! {
    #[test]
    fn nothing_foreign_goes_before_its_hard_deadline_and_grace(runner in any_runner(), now in -HOUR..30 * HOUR) {
        let now = CREATED + now;
        if let Verdict::Remove(why) = judge(&runner, None, now) {
            let labels = runner.labels.clone().expect("what has no labels is never touched");
            prop_assert_eq!(&runner.name, labels.lease_id.as_str());
            let is_past = at(now) > labels.hard_deadline + SignedDuration::from_secs(GRACE);
            prop_assert!(labels.owner == ours() || is_past, "{}", why);
        }
    }

    #[test]
    fn who_lives_is_never_robbed(runner in any_runner(), now in -HOUR..30 * HOUR, on_record in any::<bool>()) {
        prop_assume!(runner.labels.is_ok());
        let held = recorded(&runner, LeaseState::Intent, true);
        let held = Some(&held).filter(|_| on_record);
        if runner.holder == HolderState::Alive || on_record {
            for scope in [Scope::Credential, Scope::ThisUser] {
                let said = judge_in(scope, &runner, held, CREATED + now);
                prop_assert!(!matches!(said, Verdict::Remove(_)), "{:?}", said);
            }
        }
    }

    #[test]
    fn whatever_is_whole_and_unheld_goes_in_the_end(runner in any_runner()) {
        prop_assume!(runner.labels.is_ok() && runner.lease_id.is_some() && runner.holder != HolderState::Alive);
        let said = judge(&runner, None, CREATED + 26 * HOUR);
        prop_assert!(matches!(said, Verdict::Remove(_)), "{:?}", said);
    }
}
