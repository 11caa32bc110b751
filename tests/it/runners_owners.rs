//! What belongs to another owner, or cannot be proven to be ours, is told apart and left alone.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use jiff::{SignedDuration, Timestamp};
use lian_build::ids::{LeaseId, RunId};
use lian_build::lease::{Labels, OwnerId};
use serde_json::{Value, json};

use crate::support::{Dockerd, Finished, Sandbox, assert_follows};

/// A container that nothing runs in, with these labels; goes with the test.
struct Container {
    dockerd: Dockerd,
    name: String,
}

impl Container {
    fn new(name: &str, labels: &BTreeMap<String, String>) -> Self {
        let dockerd = Dockerd::of_the_tests();
        let image = lian_build::runner_image::name();
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("--label={key}={value}")).collect();
        let mut arguments = vec!["create", "--name", name];
        arguments.extend(labels.iter().map(String::as_str));
        arguments.extend([image.as_str(), "true"]);
        dockerd.docker(&arguments);
        Self { dockerd, name: name.to_owned() }
    }

    fn exists(&self) -> bool {
        self.dockerd.succeeds(&["inspect", &self.name])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.dockerd.succeeds(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// The labels of a lease of another project that its holder may still need.
fn labels_of_others() -> Labels {
    let now = Timestamp::now();
    Labels {
        owner: OwnerId::derive(&RunId::new().to_string()),
        lease_id: LeaseId::new(),
        run_id: RunId::new(),
        workspace: "other".parse().unwrap(),
        tier: "cax11".to_owned(),
        attempt: 1,
        created_at: now,
        expires_at: now + SignedDuration::from_mins(20),
        hard_deadline: now + SignedDuration::from_mins(90),
        holder: None,
        may_be_kept: false,
    }
}

fn run<S: AsRef<OsStr>>(sandbox: &Sandbox, arguments: impl IntoIterator<Item = S>) -> Finished {
    let mut command = sandbox.command();
    command.env("DOCKER_HOST", Dockerd::of_the_tests().host()).env("LIAN_OWNER", sandbox.path());
    command.arg("runners").args(arguments).arg("--provider=docker_local");
    sandbox.start(&mut command).wait()
}

fn list(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let said = run(sandbox, ["list", "--format=json"].iter().chain(arguments));
    let document = said.assert_code(0).envelope();
    assert_follows(&document, "runners-list.v1.json");
    document
}

fn find<'a>(items: &'a Value, name: &str) -> Option<&'a Value> {
    items.as_array().unwrap().iter().find(|item| item["name"] == name)
}

#[test]
fn another_owners_runner_is_hidden_left_and_released_only_when_that_is_said() {
    let sandbox = Sandbox::on_own_machine();
    let labels = labels_of_others();
    let lease = labels.lease_id.as_str();
    let container = Container::new(lease, &labels.to_map());

    let shown = list(&sandbox, &[]);
    assert!(find(&shown["runners"], lease).is_none() && shown["hidden"].as_u64().unwrap() >= 1, "{shown}");
    let shown = list(&sandbox, &["--all-owners"]);
    let runner = find(&shown["runners"], lease).unwrap();
    assert_eq!((&runner["ours"], &runner["owner"]), (&json!(false), &json!(labels.owner.as_str())));
    assert_eq!((&runner["gc"]["verdict"], &runner["state"]), (&json!("keep"), &Value::Null));
    let text = run(&sandbox, ["list", "--all-owners"]);
    assert!(text.stdout.contains(&format!("other (owner {})", labels.owner)), "{}", text.stdout);

    let swept = run(&sandbox, ["gc", "--format=json"]).assert_code(0).envelope();
    assert_eq!(find(&swept["items"], lease).unwrap()["action"], "left");
    let refused = run(&sandbox, ["release", lease]);
    assert!(refused.assert_code(2).stderr.contains("another owner"), "{}", refused.stderr);
    assert!(container.exists());
    let released = run(&sandbox, ["release", lease, "--all-owners"]);
    assert_eq!(released.assert_code(0).stdout, format!("released {lease}\n"));
    assert!(!container.exists());
}

#[test]
fn what_only_says_that_it_is_ours_is_shown_and_never_touched() {
    let sandbox = Sandbox::on_own_machine();
    let labels = labels_of_others();
    let lease = labels.lease_id.as_str();
    let mut map = labels.to_map();
    map.remove("lian-max");
    let container = Container::new(lease, &map);
    let shown = list(&sandbox, &[]);
    let runner = find(&shown["runners"], lease).unwrap();
    assert_eq!((&runner["gc"]["verdict"], &runner["owner"]), (&json!("suspicious"), &Value::Null));
    let swept = run(&sandbox, ["gc", "--format=json"]).assert_code(0).envelope();
    assert_eq!(find(&swept["items"], lease).unwrap()["action"], "suspicious");
    let refused = run(&sandbox, ["release", lease, "--all-owners"]);
    assert!(refused.assert_code(2).stderr.contains("cannot be proven"), "{}", refused.stderr);
    assert!(container.exists());
}

#[test]
fn a_container_of_somebody_else_is_not_even_seen() {
    let sandbox = Sandbox::on_own_machine();
    let lease = LeaseId::new();
    let container = Container::new(lease.as_str(), &BTreeMap::new());
    assert!(find(&list(&sandbox, &["--all-owners"])["runners"], lease.as_str()).is_none());
    let released = run(&sandbox, ["release", "--format=json", lease.as_str(), "--all-owners"]);
    let released = released.assert_code(0).envelope();
    assert_eq!(released["released"][0]["outcome"], "already_gone", "there is no runner of that name");
    run(&sandbox, ["gc"]).assert_code(0);
    assert!(container.exists());
}
