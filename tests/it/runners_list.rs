//! `runners list`: what there is, whose it is, and what would become of it.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use lian_build::ids::LeaseId;
use lian_build::lease::{Journal, LeaseRecord};
use serde_json::{Value, json};

use crate::support::{Finished, HeldBuild, Sandbox, assert_follows, request};

/// The document of a command that was run with `--format json`.
fn document(finished: &Finished, code: i32) -> Value {
    let document = finished.assert_code(code).envelope();
    let name = document["schema"].as_str().unwrap().strip_prefix("lian-build/").unwrap().replace("/v", ".v");
    assert_follows(&document, &format!("{name}.json"));
    document
}

/// A record as a build of another machine, or of long ago, may have left it.
pub(crate) fn foreign_record() -> LeaseRecord {
    let now = Timestamp::now();
    let mut request = request("another project", 1.0, now - SignedDuration::from_hours(3));
    request.expires_at = now - SignedDuration::from_hours(2);
    request.tier.name = "\u{1b}[31mred\nline".to_owned();
    request.holder = None;
    LeaseRecord::of(&request, "local", "another".to_owned(), None)
}

/// Puts a record where no process holds it.
pub(crate) fn put(sandbox: &Sandbox, record: LeaseRecord) {
    drop(Journal::new(&sandbox.state()).begin(record).unwrap());
}

#[test]
fn a_machine_without_runners() {
    let sandbox = Sandbox::on_own_machine();
    let listed = sandbox.run(["runners", "ls", "--provider=local"]);
    assert_eq!((listed.assert_code(0).stdout.as_str(), listed.stderr.as_str()), ("no runners\n", ""));
    let list = document(&sandbox.run(["runners", "list", "--format=json"]), 0);
    assert_eq!(list["schema"], "lian-build/runners-list/v1");
    assert_eq!((&list["command"], &list["runners"]), (&json!("runners list"), &json!([])));
    // There is no Docker, which nobody asked for.
    assert!(list["warnings"][0].as_str().unwrap().contains("`docker_local` cannot be asked"), "{list}");
    assert!(!sandbox.state().exists(), "looking makes nothing");
}

#[test]
fn a_build_is_listed_as_long_as_it_lives() {
    let sandbox = Sandbox::on_own_machine();
    let build = HeldBuild::start(&sandbox);
    let lease = build.lease().to_owned();

    let list = document(&sandbox.beside(["runners", "list", "--format=json", "--provider=local"]), 0);
    let runner = &list["runners"][0];
    assert_eq!((&runner["lease_id"], &runner["name"]), (&json!(lease), &json!(lease)));
    assert_eq!((&runner["provider"], &runner["workspace"]), (&json!("local"), &json!("context")));
    assert_eq!(runner["run_id"], build.record.labels.run_id.to_string());
    assert_eq!(runner["owner"], build.record.labels.owner.as_str());
    assert_eq!((&runner["state"], &runner["status"]), (&json!("ready"), &json!("running")));
    assert_eq!((&runner["holder"], &runner["reaper"]), (&json!("alive"), &json!("alive")));
    assert_eq!((&runner["ours"], &runner["gc"]["verdict"]), (&json!(true), &json!("keep")));
    let time = |name: &str| runner[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(time("since") < time("until") && time("until") < time("hard_deadline"), "{runner}");
    assert_eq!((&runner["kept_until"], &runner["cost"]), (&Value::Null, &Value::Null));

    let table = sandbox.beside(["runners", "list"]);
    let mut lines = table.assert_code(0).stdout.lines();
    assert!(lines.next().unwrap().starts_with("LEASE "), "{}", table.stdout);
    let line = lines.next().unwrap();
    assert!(line.starts_with(&lease) && line.contains("ready, running") && line.contains("keep: "), "{line}");

    build.finish().assert_code(0);
    assert_eq!(document(&sandbox.run(["runners", "list", "--format=json"]), 0)["runners"], json!([]));
}

#[test]
fn a_killed_build_is_listed_with_what_would_become_of_it() {
    let sandbox = Sandbox::on_own_machine();
    let record = HeldBuild::start(&sandbox).kill_with_reaper();
    let list = document(&sandbox.beside(["runners", "list", "--format=json"]), 0);
    let runner = &list["runners"][0];
    assert_eq!(runner["lease_id"], record.labels.lease_id.as_str());
    assert_eq!((&runner["holder"], &runner["reaper"]), (&json!("dead"), &json!("dead")));
    assert_eq!(runner["gc"]["verdict"], "remove");
    sandbox.run(["runners", "gc"]).assert_code(0);
}

#[test]
fn what_is_only_on_record_is_listed_and_drives_no_terminal() {
    let sandbox = Sandbox::on_own_machine();
    let record = foreign_record();
    put(&sandbox, record.clone());
    let unreadable = sandbox.state().join("leases/lb-00000000000000000000000000000000.json");
    std::fs::write(&unreadable, "{\u{1b}[31m").unwrap();

    let list = document(&sandbox.run(["runners", "list", "--format=json"]), 0);
    let runner = &list["runners"][0];
    assert_eq!((&runner["lease_id"], &runner["status"]), (&json!(record.labels.lease_id.as_str()), &Value::Null));
    assert_eq!((&runner["state"], &runner["holder"]), (&json!("intent"), &json!("unknown")));
    assert!(runner["gc"]["reason"].as_str().unwrap().contains("another backend"), "{runner}");
    assert_eq!(list["unreadable"][0]["path"], unreadable.to_str().unwrap());

    let table = sandbox.run(["runners", "list"]);
    table.assert_code(0);
    assert!(!table.stdout.contains('\u{1b}') && table.stdout.contains("red\\nline"), "{:?}", table.stdout);
    assert!(table.stdout.contains("cannot be read, left: "), "{}", table.stdout);
    assert!(table.stdout.contains("1h 00m ago") || table.stdout.contains("2h 00m ago"), "{}", table.stdout);
}

#[test]
fn a_provider_that_was_named_must_be_one() {
    let sandbox = Sandbox::on_own_machine();
    let list = document(&sandbox.run(["runners", "list", "--format=json", "--provider=locl"]), 2);
    assert_eq!((&list["status"], &list["error"]["kind"]), (&json!("refused"), &json!("usage")));
    assert!(list["error"]["hints"].to_string().contains("`local`"), "{list}");
    let list = document(&sandbox.run(["runners", "list", "--format=json", "--provider=docker_local"]), 5);
    assert_eq!((&list["status"], &list["error"]["kind"]), (&json!("failed"), &json!("provider")));
    // What keeps one from being asked is a fault beside what is known, and the end when it was named.
    let mut command = sandbox.command();
    command.args(["runners", "list", "--format=json"]).env("LIAN_LOCAL_CACHE_GB", "lots");
    let list = document(&sandbox.start(&mut command).wait(), 5);
    assert_eq!(list["error"]["kind"], "provider");
    assert!(list["warnings"][0].as_str().unwrap().contains("`local` cannot be asked"), "{list}");
    let mut command = sandbox.command();
    command.args(["runners", "list", "--format=json", "--provider=local"]).env("LIAN_LOCAL_CACHE_GB", "lots");
    assert_eq!(document(&sandbox.start(&mut command).wait(), 2)["runners"], json!([]));
}

#[test]
fn a_docker_that_is_said_to_be_there_and_is_silent_is_not_the_answer_that_there_is_none() {
    let sandbox = Sandbox::on_own_machine();
    let beside_silence = |arguments: &[&str]| {
        let mut command = sandbox.command();
        command.args(arguments).arg("--format=json").env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        sandbox.start(&mut command).wait()
    };
    for command in ["list", "gc"] {
        let said = document(&beside_silence(&["runners", command]), 5);
        assert_eq!((&said["status"], &said["error"]["kind"]), (&json!("failed"), &json!("provider")));
        assert!(said["warnings"][0].as_str().unwrap().contains("/nowhere/docker.sock"), "{said}");
    }
    let said = document(&beside_silence(&["runners", "release", LeaseId::new().as_str()]), 7);
    assert_eq!(said["released"][0]["outcome"], "unconfirmed");
    document(&beside_silence(&["runners", "list", "--provider=local"]), 0);
}

#[test]
fn a_workspace_that_is_not_one_is_refused_as_by_a_build() {
    let sandbox = Sandbox::on_own_machine();
    let mut command = sandbox.command();
    command.args(["runners", "list", "--format=json"]).env("BUILDKIT_WORKSPACE", "No Name!");
    assert_eq!(document(&sandbox.start(&mut command).wait(), 2)["error"]["kind"], "usage");
}

#[test]
fn a_state_directory_that_cannot_be_read_is_a_fault() {
    let sandbox = Sandbox::on_own_machine();
    let leases: PathBuf = sandbox.state().join("leases");
    std::fs::create_dir_all(sandbox.state()).unwrap();
    std::fs::write(&leases, "not a directory").unwrap();
    for command in ["list", "gc"] {
        let said = document(&sandbox.run(["runners", command, "--format=json"]), 5);
        assert_eq!((&said["status"], &said["error"]["kind"]), (&json!("failed"), &json!("state")));
        assert!(said["error"]["message"].as_str().unwrap().contains(leases.to_str().unwrap()), "{said}");
    }
    let lease = LeaseId::new();
    let said = document(&sandbox.run(["runners", "release", "--format=json", lease.as_str()]), 5);
    assert_eq!(said["error"]["kind"], "state");
}

#[test]
fn bad_usage_is_answered_in_the_commands_own_words() {
    let sandbox = Sandbox::on_own_machine();
    for (arguments, schema) in [
        (&["runners", "list", "--nonsense", "--format=json"][..], "lian-build/runners-list/v1"),
        (&["runners", "ls", "--provider", "--format=json"], "lian-build/runners-list/v1"),
        (&["runners", "gc", "--dry", "--format=json"], "lian-build/runners-gc/v1"),
        (&["runners", "release", "--format=json"], "lian-build/runners-release/v1"),
        (&["runners", "--format=json"], "lian-build/runners/v1"),
        (&["runners", "remove", "--format=json"], "lian-build/runners/v1"),
    ] {
        let said = sandbox.run(arguments).assert_code(2).envelope();
        assert_eq!((&said["schema"], &said["status"]), (&json!(schema), &json!("refused")), "{arguments:?}");
        assert!(!said["error"]["message"].as_str().unwrap().is_empty(), "{said}");
    }
    let human = sandbox.run(["runners"]);
    assert_eq!(human.assert_code(2).stdout, "refused: `runners` needs a command\n");
    let missing = sandbox.run(["runners", "release"]);
    assert!(missing.assert_code(2).stdout.contains("<ID>"), "{}", missing.stdout);
}
