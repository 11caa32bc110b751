//! What signals do when something does not come to its end: a release, or a write of the lease's record.

use lian_build::lease::Journal;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{Leftovers, Running, Sandbox};

/// A build whose release cannot end: the process that stands for the runner is stopped, so that it is not seen to end.
struct Stuck {
    pid: Pid,
}

impl Stuck {
    fn hold(running: &Running<'_>) -> Self {
        let parent = format!("\nPPid:\t{}\n", running.pid());
        let is_unshare = |pid: &u32| {
            let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            read("status").contains(&parent) && read("cmdline").starts_with("/usr/bin/unshare\0")
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids.find(is_unshare).expect("the runner's first process was not found");
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self { pid }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // It may be gone by now.
        let _ = kill_process(self.pid, Signal::CONT);
    }
}

fn start(sandbox: &Sandbox) -> Running<'_> {
    sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    let mut running = sandbox.start(&mut sandbox.build_command());
    running.wait_for(" the-step-runs");
    running
}

/// What `lian-build` says, and that its reaper finishes the job without any further command.
fn assert_unconfirmed(sandbox: &Sandbox, envelope: &Value, stuck: Stuck) {
    let lease = envelope["attempts"][0]["lease_id"].as_str();
    let error = &envelope["error"];
    let hints = error["hints"].to_string();
    let command = hints.split('`').find(|part| part.starts_with("lian-build runners release lb-"));
    let command = command.unwrap_or_else(|| panic!("no command finishes the job: {envelope}"));
    let named = command.rsplit(' ').next().unwrap();
    assert!(lease.is_none_or(|lease| lease == named), "{envelope}");
    drop(stuck);
    let dirs = ["/run/lian-build".into(), sandbox.path().join("cache/lian-build/leases")];
    Leftovers::of(named, dirs).assert_none_soon();
}

#[test]
fn a_second_signal_ends_the_wait_for_the_release() {
    let sandbox = Sandbox::new();
    let mut running = start(&sandbox);
    let stuck = Stuck::hold(&running);
    running.signal(Signal::INT);
    running.wait_for("release");
    running.signal(Signal::TERM);
    let finished = running.wait_unchecked();
    let envelope = finished.assert_code(7).envelope();
    assert_eq!(envelope["attempts"][0]["released"], false, "{envelope}");
    assert_eq!(envelope["attempts"][0]["outcome"], "cancelled", "{envelope}");
    assert_unconfirmed(&sandbox, &envelope, stuck);
    sandbox.assert_nothing_left_soon(&finished.stdout);
}

#[test]
fn a_third_signal_ends_the_program() {
    let sandbox = Sandbox::new();
    let running = start(&sandbox);
    let stuck = Stuck::hold(&running);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        running.signal(signal);
    }
    let finished = running.wait_unchecked();
    let envelope = finished.assert_code(7).envelope();
    assert_unconfirmed(&sandbox, &envelope, stuck);
    sandbox.assert_nothing_left_soon(&finished.stdout);
}

/// Its record is written no more from then on: the thread that writes stands still until the program ends.
#[test]
fn a_state_directory_that_hangs_does_not_keep_a_signal_from_releasing_the_runner() {
    for (place, on_record) in [("created-writing", "intent"), ("ready-writing", "created")] {
        let sandbox = Sandbox::new();
        sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
        let mut command = sandbox.build_command();
        let mut running = sandbox.start(command.env("LIAN_FAILPOINT", format!("stop@{place}")));
        running.wait_for(&format!("failpoint: stopped at {place}"));
        running.signal(Signal::TERM);
        // Which looks that nothing of the runner is left.
        let envelope = running.wait().assert_code(143).envelope();
        assert_eq!(envelope["attempts"][0]["outcome"], "cancelled", "{envelope}");
        assert_eq!(envelope["attempts"][0]["released"], true, "{envelope}");
        assert!(envelope["warnings"].to_string().contains("the journal's directory does not answer"), "{envelope}");
        let (records, _) = Journal::new(&sandbox.state()).read().unwrap();
        let [found] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((found.record.state.name(), found.held), (on_record, false));
        // What is on record and gone is off the record with the next sweep.
        sandbox.run(["runners", "gc", "--format=json"]).assert_code(0);
        assert!(Journal::new(&sandbox.state()).read().unwrap().0.is_empty());
    }
}

/// Nothing was asked of the provider yet, so there is nothing to release either.
#[test]
fn a_state_directory_that_hangs_at_the_intent_does_not_keep_a_signal_from_ending_the_build() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).args(["--progress=plain", "--format=json"]);
    let mut running = sandbox.start(command.env("LIAN_FAILPOINT", "stop@intent-writing"));
    running.wait_for("failpoint: stopped at intent-writing");
    running.signal(Signal::TERM);
    let envelope = running.wait().assert_code(143).envelope();
    assert_eq!(envelope["status"], "cancelled", "{envelope}");
    assert!(Journal::new(&sandbox.state()).read().unwrap().0.is_empty());
}
