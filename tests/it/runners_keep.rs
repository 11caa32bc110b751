//! `--on-failure keep=…`: a runner whose build failed stands until then, and no longer.

use std::ffi::OsStr;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use lian_build::lease::{Holder, HolderState, Journal, LeaseRecord, LeaseState};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Dockerd, Finished, Sandbox, assert_follows, wait_until};

/// A world whose runners are containers, of an owner that no other test has.
struct World {
    sandbox: Sandbox,
    dockerd: Dockerd,
}

impl World {
    fn new() -> Self {
        Self { sandbox: Sandbox::on_own_machine(), dockerd: Dockerd::of_the_tests() }
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.sandbox.command();
        command.envs(self.dockerd.environment()).env("LIAN_OWNER", self.sandbox.path()).args(arguments);
        command
    }

    /// Runs a command, after which a runner may be there.
    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        self.sandbox.start(&mut self.command(arguments)).wait_unchecked()
    }

    /// A build that keeps its runner when it fails.
    fn build(&self, keep: &str) -> Command {
        let mut command = self.command(["build", "context", "--provider=docker_local", "--format=json"]);
        command.args(["--progress=plain", &format!("--on-failure=keep={keep}")]);
        command
    }

    fn records(&self) -> Vec<LeaseRecord> {
        let (records, unreadable) = Journal::new(&self.sandbox.state()).read().unwrap();
        assert!(unreadable.is_empty(), "{unreadable:?}");
        records.into_iter().map(|recorded| recorded.record).collect()
    }

    /// Nothing of the lease is left anywhere.
    fn assert_gone(&self, lease: &str) {
        assert_eq!(self.dockerd.traces(lease), [""; 0]);
        assert_eq!(self.records().len(), 0);
        self.sandbox.assert_nothing_left("");
    }
}

/// A test that failed keeps nothing.
impl Drop for World {
    fn drop(&mut self) {
        for recorded in Journal::new(&self.sandbox.state()).read().unwrap_or_default().0 {
            self.run(["runners", "release", recorded.record.labels.lease_id.as_str()]);
        }
    }
}

fn reaper_lives(record: &LeaseRecord) -> bool {
    record.reaper.as_ref().map(Holder::state) == Some(HolderState::Alive)
}

#[test]
fn a_failed_builds_runner_stands_can_be_entered_and_goes_when_it_is_told_to() {
    let world = World::new();
    world.sandbox.dockerfile_on_base("RUN --mount=type=secret,id=token test -s /run/secrets/token; exit 3");
    let before = Timestamp::now();
    let mut command = world.build("30m");
    let failed = world.sandbox.start(command.args(["--secret=id=token"]).env("LIAN_SECRET_TOKEN", "hidden"));
    let failed = failed.wait_unchecked();
    let envelope = failed.assert_code(1).envelope();
    let attempt = &envelope["attempts"][0];
    let lease = attempt["lease_id"].as_str().unwrap();
    assert_eq!((&attempt["outcome"], &attempt["released"]), (&json!("failed"), &json!(false)));
    let until: Timestamp = attempt["kept_until"].as_str().unwrap().parse().unwrap();
    let kept = until.duration_since(before);
    assert!(kept > SignedDuration::from_mins(29) && kept < SignedDuration::from_mins(40), "{kept}");
    for said in [format!("`lian-build runners ssh {lease}`"), format!("`lian-build runners release {lease}`")] {
        assert!(envelope["error"]["hints"].to_string().contains(&said), "{envelope}");
        assert!(failed.stderr.contains(&said), "{}", failed.stderr);
    }
    let own = world.dockerd.docker(&["exec", lease, "cat", "/var/lib/lian-build/expires"]);
    assert_eq!(own, until.as_second().to_string(), "the runner's own deadman is told, too");
    let record = world.records().remove(0);
    assert!(reaper_lives(&record) && record.state.name() == "kept", "{record:?}");

    let list = world.run(["runners", "list", "--format=json", "--provider=docker_local"]).assert_code(0).envelope();
    assert_follows(&list, "runners-list.v1.json");
    let shown = list["runners"].as_array().unwrap().iter().find(|runner| runner["lease_id"] == lease).unwrap();
    assert_eq!((&shown["state"], &shown["kept_until"]), (&json!("kept"), &attempt["kept_until"]));
    assert_eq!((&shown["holder"], &shown["reaper"]), (&json!("dead"), &json!("alive")));
    assert_eq!((&shown["gc"]["verdict"], &shown["status"]), (&json!("keep"), &json!("running")));
    let swept = world.run(["runners", "gc", "--provider=docker_local"]);
    assert!(swept.assert_code(0).stdout.contains("left: "), "{}", swept.stdout);

    let LeaseState::Kept { endpoint, .. } = &record.state else { panic!("{record:?}") };
    let inside = |command: &[&str]| world.run(["runners", "ssh", lease, "--"].iter().chain(command));
    let dockerfile = inside(&["cat", &format!("{}/Dockerfile", endpoint.paths.context)]);
    assert!(dockerfile.assert_code(0).stdout.contains("exit 3"), "{}", dockerfile.stderr);
    let secrets = inside(&["find", &endpoint.paths.secrets]);
    assert_eq!(secrets.assert_code(0).stdout.trim(), endpoint.paths.secrets, "secrets do not stay");

    let released = world.run(["runners", "release", lease]);
    assert_eq!(released.assert_code(0).stdout, format!("released {lease}\n"), "{}", released.stderr);
    wait_until("its reaper has ended", || !reaper_lives(&record));
    world.assert_gone(lease);
    let gone = world.run(["runners", "ssh", lease]);
    assert!(gone.assert_code(5).stderr.contains("is gone"), "{}", gone.stderr);
}

#[test]
fn a_kept_runner_goes_by_itself_when_its_time_is_over() {
    let world = World::new();
    world.sandbox.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    let failed = world.sandbox.start(&mut world.build("1s")).wait_unchecked();
    let envelope = failed.assert_code(1).envelope();
    let lease = envelope["attempts"][0]["lease_id"].as_str().unwrap();
    assert_eq!(envelope["attempts"][0]["released"], false);
    wait_until("it is gone", || world.dockerd.traces(lease).is_empty() && world.records().is_empty());
    let left = crate::support::Leftovers::of(world.sandbox.path().to_string_lossy(), []);
    left.assert_none_soon();
    world.assert_gone(lease);
}

#[test]
fn a_kept_runner_without_its_reaper_is_released_all_the_same() {
    let world = World::new();
    world.sandbox.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    let failed = world.sandbox.start(&mut world.build("30m")).wait_unchecked();
    let envelope = failed.assert_code(1).envelope();
    let record = world.records().remove(0);
    let reaper = i32::try_from(record.reaper.as_ref().unwrap().pid()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(reaper).unwrap(), Signal::KILL).unwrap();
    wait_until("the reaper is dead", || !reaper_lives(&record));
    let lease = envelope["attempts"][0]["lease_id"].as_str().unwrap();
    let released = world.run(["runners", "release", lease]);
    assert_eq!(released.assert_code(0).stdout, format!("released {lease}\n"), "{}", released.stderr);
    world.assert_gone(lease);
}

#[test]
fn only_the_last_attempt_is_kept() {
    let world = World::new();
    world.sandbox.dockerfile_on_base("RUN dd if=/dev/zero of=/dev/null bs=1500M count=1");
    let tiers = world.sandbox.tiers(&[("small", 0.5), ("middle", 1.0)]);
    let mut command = world.build("30m");
    command.args(["--runner-type=small", "--tiers"]).arg(tiers);
    let envelope = world.sandbox.start(&mut command).wait_unchecked().assert_code(3).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{envelope}");
    assert_eq!((&attempts[0]["released"], &attempts[0]["kept_until"]), (&json!(true), &Value::Null));
    assert_eq!(attempts[1]["released"], false);
    assert!(attempts[1]["kept_until"].is_string(), "{envelope}");
    assert_eq!(world.dockerd.traces(attempts[0]["lease_id"].as_str().unwrap()), [""; 0]);
    let lease = attempts[1]["lease_id"].as_str().unwrap();
    assert!(!world.dockerd.traces(lease).is_empty());
    world.run(["runners", "release", lease]).assert_code(0);
    world.assert_gone(lease);
}

#[test]
fn a_signal_and_a_success_release_as_always() {
    let world = World::new();
    world.sandbox.dockerfile_on_base("RUN echo the-$((40 + 2))th-step-runs; sleep 600");
    let mut running = world.sandbox.start(&mut world.build("30m"));
    running.wait_for("the-42th-step-runs");
    running.signal(Signal::INT);
    let envelope = running.wait_unchecked().assert_code(130).envelope();
    assert_eq!(envelope["attempts"][0]["released"], true);
    world.assert_gone(envelope["attempts"][0]["lease_id"].as_str().unwrap());

    world.sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let envelope = world.sandbox.start(&mut world.build("30m")).wait_unchecked().assert_code(0).envelope();
    assert_eq!((&envelope["attempts"][0]["released"], &envelope["error"]), (&json!(true), &Value::Null));
    world.assert_gone(envelope["attempts"][0]["lease_id"].as_str().unwrap());
}

#[test]
fn a_runner_whose_time_budget_is_used_up_is_kept_beyond_it() {
    let world = World::new();
    world.sandbox.dockerfile_on_base("RUN sleep 600");
    world.sandbox.write(".build-spec.ncl", "{ schema_version = 1, time_budget_min = 0.15 }");
    let envelope = world.sandbox.start(&mut world.build("30m")).wait_unchecked().assert_code(6).envelope();
    let attempt = &envelope["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["released"]), (&json!("timed_out"), &json!(false)), "{envelope}");
    let lease = attempt["lease_id"].as_str().unwrap();
    world.run(["runners", "release", lease]).assert_code(0);
    world.assert_gone(lease);
}
