//! The live layer itself, through its own entry, against a simulated account: what it is trusted with has to be shown without one.

use std::process::Command;
use std::time::Duration;

use lian_build::env_vars::Environment;
use lian_build::provider::hcloud::{HcloudConfig, Pace};
use lian_simulators::faults::Fault;
use serde_json::json;

use super::cases::{CASES, Case};
use super::run::{Outcome, suite, sweep_only};
use super::settings::{ENDPOINT, MOST, Settings, TOKEN};
use super::sweep::{PLANTED, owner};
use crate::support::{HcloudWorld, LabelMap, environment};

/// What a user would say of this account, with less patience.
fn settings(world: &HcloudWorld, most: &str) -> Settings {
    let path = environment().text("PATH").unwrap().to_owned();
    let (url, token) = (world.sim().url(), world.sim().token());
    let pairs = [
        ("PATH", path.as_str()),
        (ENDPOINT, &url),
        (TOKEN, &token),
        (MOST, most),
        ("LIAN_HCLOUD_SSH_FROM", "203.0.113.7"),
    ];
    let settings = Settings::from_environment(&Environment::from_pairs(pairs)).unwrap();
    let millis = Duration::from_millis;
    let pace =
        Pace { first_pause: millis(5), longest_pause: millis(40), look_limit: millis(400), ..settings.config.pace };
    let config = HcloudConfig { pace, ..settings.config };
    Settings { config, sweep_limit: millis(300), late: millis(50), pause: millis(10), ..settings }
}

fn labels(pairs: &[(&str, &str)]) -> LabelMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// An account in which somebody has a server.
fn account() -> HcloudWorld {
    let world = HcloudWorld::new();
    world.sim().plant("somebody-elses", labels(&[("lian-managed", "no"), ("lian-owner", "0123456789ab")]));
    world
}

#[track_caller]
fn assert_only_somebody_elses(world: &HcloudWorld, outcome: &Outcome) {
    assert_eq!(world.names(), ["somebody-elses"], "{outcome:#?}");
    assert!(world.sim().leftovers().iter().all(|(_, count)| *count == 0), "{:?}", world.sim().leftovers());
    assert_eq!(world.sim().bill().running().count(), 0);
    let token = &world.sim().token()[..10];
    assert!(!format!("{outcome:?}").contains(token), "the token was said");
}

#[tokio::test]
async fn the_whole_suite_passes_and_costs_no_more_than_it_said() {
    let world = account();
    let outcome = suite(settings(&world, "0.50"), CASES).await;
    outcome.result.as_ref().unwrap_or_else(|why| panic!("{why}: {:#?}", outcome.said));
    let planned = CASES.iter().map(|case| case.servers).sum::<u32>() + 1;
    let bill = world.sim().bill();
    let made = u32::try_from(bill.servers().count()).unwrap();
    assert_eq!(outcome.asked, planned, "what a case asks for is what it says");
    assert!(made <= planned && made > planned / 2 && bill.hours() == u64::from(made), "{bill:?}");
    for case in CASES {
        assert!(outcome.said.contains(&format!("{}: ok", case.name)), "{:#?}", outcome.said);
    }
    assert_only_somebody_elses(&world, &outcome);
}

#[tokio::test]
async fn what_may_cost_too_much_is_refused_before_anything_is_made() {
    let world = account();
    for most in ["0.05", "0.000001"] {
        let outcome = suite(settings(&world, most), CASES).await;
        let why = outcome.result.as_ref().unwrap_err();
        assert!(why.starts_with("refused: 17 servers at ") && why.contains(most), "{why}");
        assert_only_somebody_elses(&world, &outcome);
    }
    assert!(world.sim().audit().entries().iter().all(|entry| entry.method == "GET"), "something was changed");
}

#[tokio::test]
async fn it_stops_at_the_cap_whatever_the_cases_do() {
    let greedy = Case {
        name: "greedy",
        servers: 1,
        run: |harness| Box::pin(async move { while !harness.request().lease_id.as_str().is_empty() {} }),
    };
    let world = account();
    // Enough for two and not for three.
    let outcome = suite(settings(&world, "0.03"), &[greedy]).await;
    let why = outcome.result.as_ref().unwrap_err();
    assert!(why.contains("greedy: stopped: one more server would make it"), "{why}");
    assert!(world.sim().bill().servers().count() <= 2, "{:?}", world.sim().bill());
    assert_only_somebody_elses(&world, &outcome);
}

#[tokio::test]
async fn a_case_that_fails_with_a_server_standing_is_followed_by_a_sweep() {
    let failing = Case {
        name: "failing",
        servers: 1,
        run: |harness| {
            Box::pin(async move {
                let (provider, request) = (harness.provider(), harness.request());
                harness.lease(&*provider, &request).await;
                assert!(harness.traces(&request.lease_id).is_empty(), "a case fails");
            })
        },
    };
    let world = account();
    let outcome = suite(settings(&world, "0.50"), &[failing]).await;
    assert!(outcome.result.as_ref().unwrap_err().contains("failing: a case fails"), "{:#?}", outcome.said);
    let removed = |what: &str| {
        outcome.said.iter().filter(|line| line.starts_with(&format!("sweep after: removed {what}"))).count()
    };
    // The lease with its firewall, and what was planted as somebody else's.
    assert_eq!((removed("servers"), removed("firewalls")), (2, 1), "{:#?}", outcome.said);
    assert_only_somebody_elses(&world, &outcome);
}

#[tokio::test]
async fn a_sweep_removes_what_an_earlier_run_left_and_says_so() {
    let world = account();
    let owner = owner();
    world.sim().plant("of-a-lost-run", labels(&[("lian-owner", owner.as_str()), ("lian-managed", "1")]));
    world.sim().plant("planted-by-it", labels(&[(PLANTED, owner.as_str())]));
    let settings = settings(&world, "0.50");
    let account = super::account::Account::open(&settings);
    let firewall = json!({ "name": "of-a-lost-run", "labels": { "lian-owner": owner.as_str() }, "rules": [] });
    assert_eq!(account.send(&reqwest::Method::POST, "/firewalls", Some(&firewall)).0, 201);
    let outcome = sweep_only(&settings);
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.said.len(), 3, "{:#?}", outcome.said);
    for name in ["servers of-a-lost-run", "servers planted-by-it", "firewalls of-a-lost-run"] {
        assert!(outcome.said.iter().any(|line| line.contains(name)), "{name}: {:#?}", outcome.said);
    }
    assert_only_somebody_elses(&world, &outcome);
    assert_eq!(sweep_only(&settings).said, ["sweep: nothing of live runs is in the account"]);
}

#[tokio::test]
async fn what_cannot_be_removed_fails_the_run_and_is_named() {
    let world = account();
    let owner = owner();
    world.sim().plant("of-a-lost-run", labels(&[("lian-owner", owner.as_str())]));
    world.sim().faults().script(Fault::locked().on("DELETE", "/v1/servers/*").always());
    for outcome in [sweep_only(&settings(&world, "0.50")), suite(settings(&world, "0.50"), CASES).await] {
        let why = outcome.result.as_ref().unwrap_err();
        assert!(why.contains("STILL THERE") && why.contains("of-a-lost-run") && why.contains("locked"), "{why}");
    }
    assert_eq!(world.sim().bill().servers().count(), 0, "with something left, nothing new is made");
    world.sim().faults().heal();
    sweep_only(&settings(&world, "0.50")).result.unwrap();
}

#[test]
fn what_is_missing_is_said_and_is_exit_2() {
    for (pairs, words) in [
        (&[][..], TOKEN),
        (&[(TOKEN, "x")], MOST),
        (&[(TOKEN, "x"), (MOST, "much")], "much"),
        (&[(TOKEN, "x"), (MOST, "0.50"), ("CI", "true")], "CI"),
    ] {
        #[expect(clippy::disallowed_methods, reason = "as a user would")]
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/live"));
        let path = environment().text("PATH").unwrap().to_owned();
        let output = command.env_clear().env("PATH", path).envs(pairs.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.contains(words)), (Some(2), true), "{pairs:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    let none = Settings::from_environment(&Environment::default()).unwrap_err();
    assert!(none.contains(TOKEN), "{none}");
}
