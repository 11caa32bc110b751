//! `runners gc`: what nobody needs any more goes, and everything else stays with a word on why.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::runners_list::{foreign_record, put};
use crate::support::{HeldBuild, Leftovers, Sandbox, assert_follows};

/// Runs `runners gc` with JSON results while other things of the sandbox may still be there.
fn gc(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    let arguments = ["runners", "gc", "--format=json"].iter().chain(arguments);
    let document = sandbox.beside(arguments).assert_code(code).envelope();
    assert_follows(&document, "runners-gc.v1.json");
    document
}

/// What is in these directories. Not what is below: processes of the runner may still be on their way out there.
fn entries(dirs: &[PathBuf]) -> BTreeSet<PathBuf> {
    dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_build_that_was_killed_with_its_reaper_is_removed_and_a_dry_run_touches_nothing() {
    let sandbox = Sandbox::on_own_machine();
    let record = HeldBuild::start(&sandbox).kill_with_reaper();
    let lease = record.labels.lease_id.as_str();
    let run_dir = sandbox.runtime_dir().join(lease);
    let leases = sandbox.path().join("cache/lian-build/leases");
    let places = [sandbox.state().join("leases"), leases.clone(), leases.join(lease), run_dir];
    let before = entries(&places);
    assert!(before.len() > 8, "{before:?}");

    let dry = gc(&sandbox, &["--dry-run"], 0);
    assert_eq!((&dry["dry_run"], &dry["items"][0]["action"]), (&json!(true), &json!("would_remove")));
    assert_eq!(dry["items"][0]["lease_id"], lease);
    assert_eq!(entries(&places), before, "a dry run touches nothing");

    let text = sandbox.beside(["runners", "gc"]);
    let text = &text.assert_code(0).stdout;
    assert!(text.starts_with("removed: 1 runner\n") && text.contains(lease), "{text}");
    Leftovers::of(
        lease,
        [sandbox.runtime_dir(), sandbox.state().join("leases"), sandbox.path().join("cache/lian-build/leases")],
    )
    .assert_none();
    let again = sandbox.run(["runners", "gc"]);
    assert_eq!(again.assert_code(0).stdout, "no runners: nothing to remove\n");
}

/// Both may be at the same runner in the same moment.
#[test]
fn beside_a_reaper_at_work_everything_is_confirmed() {
    let sandbox = Sandbox::on_own_machine();
    for _ in 0..4 {
        let build = HeldBuild::start(&sandbox);
        let lease = build.lease().to_owned();
        build.running.signal(rustix::process::Signal::KILL);
        assert_eq!(build.running.wait_unchecked().code, -1);
        // It is listed as long as there is something of it.
        let swept = gc(&sandbox, &[], 0);
        let actions: Vec<&Value> = swept["items"].as_array().unwrap().iter().map(|item| &item["action"]).collect();
        assert!(actions.is_empty() || actions == ["removed"] || actions == ["left"], "{swept}");
        let dirs = [sandbox.runtime_dir(), sandbox.state().join("leases")];
        Leftovers::of(lease, dirs).assert_none_soon();
    }
}

#[test]
fn a_build_that_lives_is_left_alone() {
    let sandbox = Sandbox::on_own_machine();
    let build = HeldBuild::start(&sandbox);
    let swept = gc(&sandbox, &[], 0);
    let item = &swept["items"][0];
    assert_eq!((&item["lease_id"], &item["action"]), (&json!(build.lease()), &json!("left")));
    assert!(item["reason"].as_str().unwrap().contains("lives"), "{item}");
    let text = sandbox.beside(["runners", "gc"]);
    assert!(text.assert_code(0).stdout.starts_with("left: 1 runner\n"), "{}", text.stdout);
    build.finish().assert_code(0);
}

#[test]
fn what_another_backend_leased_is_not_called_gone() {
    let sandbox = Sandbox::on_own_machine();
    let record = foreign_record();
    put(&sandbox, record.clone());
    let swept = gc(&sandbox, &[], 7);
    let item = &swept["items"][0];
    assert_eq!((&item["lease_id"], &item["action"]), (&json!(record.labels.lease_id.as_str()), &json!("unconfirmed")));
    assert_eq!(swept["error"]["kind"], "release_unconfirmed");
    assert!(sandbox.state().join(format!("leases/{}.json", record.labels.lease_id)).exists(), "it stays on record");
}

#[test]
fn what_is_on_record_and_gone_goes_off_the_record() {
    let sandbox = Sandbox::on_own_machine();
    let build = HeldBuild::start(&sandbox);
    let backend = build.record.backend.clone();
    build.finish().assert_code(0);
    let mut record = foreign_record();
    record.backend = backend;
    let file = sandbox.state().join(format!("leases/{}.json", record.labels.lease_id));
    put(&sandbox, record);
    assert!(file.exists());
    assert_eq!(gc(&sandbox, &["--dry-run"], 0)["items"][0]["action"], "would_remove");
    assert!(file.exists());
    assert_eq!(gc(&sandbox, &[], 0)["items"][0]["action"], "removed");
    assert!(!file.exists() && !file.with_extension("lock").exists());
}

#[test]
fn a_record_that_cannot_be_read_is_shown_and_never_touched() {
    let sandbox = Sandbox::on_own_machine();
    let leases = sandbox.state().join("leases");
    std::fs::create_dir_all(&leases).unwrap();
    let file = leases.join("lb-00000000000000000000000000000000.json");
    std::fs::write(&file, "{}").unwrap();
    let swept = gc(&sandbox, &[], 0);
    assert_eq!(swept["unreadable"][0]["path"], file.to_str().unwrap());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
}
