//! A signal in the middle of `runners gc` and `runners release`: it ends the command at once, nothing is said of what is not
//! confirmed, and that stays on record for the next one.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use lian_build::lease::{Journal, LeaseRecord};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{HeldBuild, Leftovers, Running, Sandbox, assert_follows, wait_until};

/// A process that stands for one of a runner's which does not end: who releases the runner waits for it.
struct Straggler(Child);

impl Straggler {
    #[expect(clippy::disallowed_methods, reason = "any process will do")]
    fn of(dir: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r _", "sh"]).arg(dir).stdin(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Straggler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A lease that a killed build left, and whose release cannot come to its end.
struct Stuck<'a> {
    sandbox: &'a Sandbox,
    record: LeaseRecord,
    _straggler: Straggler,
}

impl<'a> Stuck<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let record = HeldBuild::start(sandbox).kill_with_reaper();
        let data = sandbox.path().join("cache/lian-build/leases").join(record.labels.lease_id.as_str());
        assert!(data.is_dir(), "{}", data.display());
        Self { sandbox, record, _straggler: Straggler::of(&data) }
    }

    fn lease(&self) -> &str {
        self.record.labels.lease_id.as_str()
    }

    fn state(&self) -> &'static str {
        let (records, _) = Journal::new(&self.sandbox.state()).read().unwrap();
        let [recorded] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(recorded.record.labels.lease_id, self.record.labels.lease_id);
        recorded.record.state.name()
    }

    /// Starts a command, and yields it in the middle of the release.
    fn start(&self, arguments: &[&str]) -> Running<'a> {
        let mut command = self.sandbox.command();
        let running = self.sandbox.start(command.args(arguments));
        wait_until("the release has begun", || self.state() == "releasing");
        running
    }

    /// What had to go is still on record and goes now, by this command.
    fn assert_goes_with(self, arguments: &[&str]) {
        assert_eq!(self.state(), "releasing");
        let Self { sandbox, record, _straggler: straggler } = self;
        drop(straggler);
        sandbox.beside(arguments).assert_code(0);
        assert!(Journal::new(&sandbox.state()).read().unwrap().0.is_empty());
        let dirs = [sandbox.runtime_dir(), sandbox.path().join("cache/lian-build/leases")];
        Leftovers::of(record.labels.lease_id.as_str(), dirs).assert_none();
    }
}

/// Ended by a signal, and not a word on any runner.
fn assert_says_nothing(document: &Value, schema: &str, list: &str) {
    assert_follows(document, schema);
    assert_eq!((&document["status"], &document[list]), (&json!("cancelled"), &json!([])), "{document}");
    assert_eq!(document["error"]["kind"], "cancelled", "{document}");
}

#[test]
fn a_sweep_that_a_signal_ends_leaves_what_it_began_on_record() {
    let sandbox = Sandbox::on_own_machine();
    let stuck = Stuck::new(&sandbox);
    let running = stuck.start(&["runners", "gc", "--format=json"]);
    running.signal(Signal::TERM);
    let document = running.wait_unchecked().assert_code(143).envelope();
    assert_says_nothing(&document, "runners-gc.v1.json", "items");
    stuck.assert_goes_with(&["runners", "gc"]);
}

#[test]
fn a_release_that_a_signal_ends_leaves_what_it_began_on_record() {
    let sandbox = Sandbox::on_own_machine();
    let stuck = Stuck::new(&sandbox);
    let arguments = ["runners", "release", stuck.lease(), "--format=json"];
    let running = stuck.start(&arguments);
    running.signal(Signal::HUP);
    let document = running.wait_unchecked().assert_code(129).envelope();
    assert_says_nothing(&document, "runners-release.v1.json", "released");
    let lease = stuck.lease().to_owned();
    stuck.assert_goes_with(&["runners", "release", &lease]);
}

/// On a terminal there is the ending, and no list.
#[test]
fn what_a_signal_ended_is_said_in_words() {
    let sandbox = Sandbox::on_own_machine();
    let stuck = Stuck::new(&sandbox);
    let running = stuck.start(&["runners", "gc"]);
    running.signal(Signal::INT);
    let finished = running.wait_unchecked();
    finished.assert_code(130);
    assert!(
        !finished.stdout.contains(stuck.lease()) && finished.stderr.contains("ended by SIGINT"),
        "{}",
        finished.stderr
    );
    stuck.assert_goes_with(&["runners", "gc"]);
}
