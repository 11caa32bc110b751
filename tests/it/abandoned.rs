//! What a build left that was killed together with its reaper goes at the start of the next one.

use lian_build::lease::Journal;

use crate::support::{HeldBuild, Leftovers, Sandbox};

#[test]
fn the_next_build_removes_what_a_killed_one_left_and_says_so() {
    let sandbox = Sandbox::on_own_machine();
    let left = HeldBuild::start(&sandbox).kill_with_reaper().labels.lease_id;
    let dirs = [sandbox.runtime_dir(), sandbox.state().join("leases"), sandbox.path().join("cache/lian-build/leases")];
    let leftovers = Leftovers::of(left.as_str(), dirs);
    assert!(!leftovers.find().is_empty(), "there is nothing to remove");

    sandbox.dockerfile_on_base("RUN true");
    let mut command = sandbox.build_command();
    // However slow this machine is.
    command.env("LIAN_FAILPOINT", "120@sweep");
    let finished = sandbox.start(&mut command).wait();
    let envelope = finished.assert_code(0).envelope();
    let said = format!("removed abandoned runners: {left}\n");
    assert!(finished.stderr.contains(&said), "{}", finished.stderr);
    assert_eq!(envelope["warnings"], serde_json::json!([]), "{envelope}");
    leftovers.assert_none();
    assert!(Journal::new(&sandbox.state()).read().unwrap().0.is_empty());
}
