//! The reaper: whatever kills a build, what it had leased goes within seconds, and so does the reaper.

use std::path::PathBuf;

use lian_build::lease::{Holder, HolderState, Journal, LeaseRecord};
use rustix::process::Signal;

use crate::support::{Leftovers, Running, Sandbox};

/// What the endless step prints; its command does not show it.
const RUNS: &str = " step 2 runs";

/// A build whose step runs until it is killed.
fn endless_build(sandbox: &Sandbox) -> Running<'_> {
    sandbox.dockerfile_on_base("RUN echo step $((1 + 1)) runs; sleep 600");
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).args(["--progress=plain", "--format=json"]);
    sandbox.start(&mut command)
}

/// The one lease on record.
fn recorded(sandbox: &Sandbox) -> LeaseRecord {
    let (mut records, unreadable) = Journal::new(&sandbox.state()).read().unwrap();
    assert!(unreadable.is_empty() && records.len() == 1, "{records:?} {unreadable:?}");
    let recorded = records.remove(0);
    assert!(recorded.held);
    recorded.record
}

/// What the lease, the run's reaper and the test's own world may have left.
fn leftovers(sandbox: &Sandbox, record: &LeaseRecord) -> Vec<Leftovers> {
    let dirs = [
        PathBuf::from("/run/lian-build"),
        sandbox.path().join("cache/lian-build/leases"),
        sandbox.state().join("leases"),
    ];
    vec![
        Leftovers::of(record.lease_id.as_str(), dirs),
        Leftovers::of(record.run_id.to_string(), []),
        Leftovers::of(sandbox.path().to_string_lossy(), [sandbox.path().join("tmp")]),
    ]
}

fn assert_none_soon(leftovers: &[Leftovers]) {
    leftovers.iter().for_each(Leftovers::assert_none_soon);
}

fn is_alive(holder: Option<&Holder>) -> bool {
    holder.is_some_and(|holder| holder.state() == HolderState::Alive)
}

#[test]
fn a_build_that_is_killed_leaves_nothing() {
    let sandbox = Sandbox::new();
    let mut running = endless_build(&sandbox);
    running.wait_for(RUNS);
    let record = recorded(&sandbox);
    assert!(is_alive(record.reaper.as_ref()) && is_alive(record.holder.as_ref()));
    assert_ne!(record.reaper, record.holder);
    let left = leftovers(&sandbox, &record);
    assert!(left.iter().all(|left| !left.find().is_empty()));
    running.signal(Signal::KILL);
    assert_none_soon(&left);
    assert_eq!(running.wait_unchecked().code, -1);
}
