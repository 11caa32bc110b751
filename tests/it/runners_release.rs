//! `runners release`: what is named goes, unless it is in use or not ours.

use lian_build::ids::LeaseId;
use serde_json::{Value, json};

use crate::runners_list::{foreign_record, put};
use crate::support::{HeldBuild, Sandbox, assert_follows};

fn release(sandbox: &Sandbox, ids: &[&str], code: i32) -> Value {
    let arguments = ["runners", "release", "--format=json"].iter().chain(ids);
    let document = sandbox.beside(arguments).assert_code(code).envelope();
    assert_follows(&document, "runners-release.v1.json");
    document
}

#[test]
fn a_runner_in_use_is_refused_with_what_to_do() {
    let sandbox = Sandbox::on_own_machine();
    let build = HeldBuild::start(&sandbox);
    let said = release(&sandbox, &[build.lease()], 2);
    assert_eq!((&said["status"], &said["released"]), (&json!("refused"), &json!([])));
    let pid = build.running.pid().to_string();
    assert!(said["error"]["message"].as_str().unwrap().contains(&pid), "{said}");
    assert!(said["error"]["hints"][0].as_str().unwrap().contains("end that build"), "{said}");
    build.finish().assert_code(0);
}

#[test]
fn what_a_killed_build_left_is_released_by_the_beginning_of_its_id() {
    let sandbox = Sandbox::on_own_machine();
    let record = HeldBuild::start(&sandbox).kill_with_reaper();
    let lease = record.labels.lease_id.as_str();
    let beginning = &lease[..lease.len() - 4];
    let said = release(&sandbox, &[beginning], 0);
    assert_eq!(said["released"][0]["lease_id"], lease);
    assert_eq!(
        (&said["released"][0]["outcome"], &said["released"][0]["provider"]),
        (&json!("released"), &json!("local"))
    );
    // Repeating it is as good.
    let again = sandbox.run(["runners", "release", lease]);
    assert_eq!(again.assert_code(0).stdout, format!("already gone: {lease}\n"));
    assert!(!sandbox.state().join(format!("leases/{lease}.json")).exists());
}

#[test]
fn an_id_that_names_no_runner_is_refused_with_the_nearest_and_nothing_is_released() {
    let sandbox = Sandbox::on_own_machine();
    let record = HeldBuild::start(&sandbox).kill_with_reaper();
    let lease = record.labels.lease_id.as_str();
    let slip = format!("{}x", &lease[..lease.len() - 1]);
    let said = release(&sandbox, &[lease, &slip], 2);
    assert!(said["error"]["hints"][0].as_str().unwrap().contains(lease), "{said}");
    assert_eq!(said["released"], json!([]));
    assert!(sandbox.state().join(format!("leases/{lease}.json")).exists());
    release(&sandbox, &[lease, lease], 0);

    let none = release(&sandbox, &["lb-01"], 2);
    assert!(none["error"]["message"].as_str().unwrap().contains("there is no runner `lb-01`"), "{none}");
    assert_eq!(release(&sandbox, &[LeaseId::new().as_str()], 0)["released"][0]["outcome"], "already_gone");
}

#[test]
fn another_backends_lease_cannot_be_confirmed_here() {
    let sandbox = Sandbox::on_own_machine();
    let record = foreign_record();
    put(&sandbox, record.clone());
    let said = release(&sandbox, &[record.labels.lease_id.as_str()], 7);
    assert_eq!(said["released"][0]["outcome"], "unconfirmed");
    assert!(said["released"][0]["error"].as_str().unwrap().contains("another backend"), "{said}");
    assert!(sandbox.state().join(format!("leases/{}.json", record.labels.lease_id)).exists(), "it stays on record");
}
