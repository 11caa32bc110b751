//! [`HeldBuild`]: a build that stands still in a step, and the lease it has on record.

use lian_build::lease::{Holder, Journal, LeaseRecord};
use rustix::process::{Pid, Signal};

use super::{Finished, Gate, Running, Sandbox};

/// A build that stands still in a step until the test lets it go.
pub(crate) struct HeldBuild<'a> {
    pub(crate) running: Running<'a>,
    /// Its lease as it was on record when the step began.
    pub(crate) record: LeaseRecord,
    gate: Gate,
}

impl<'a> HeldBuild<'a> {
    pub(crate) fn start(sandbox: &'a Sandbox) -> Self {
        Self::start_with(sandbox, &[])
    }

    /// As [`HeldBuild::start`], with these arguments besides.
    pub(crate) fn start_with(sandbox: &'a Sandbox, arguments: &[&str]) -> Self {
        let gate = Gate::new();
        sandbox.dockerfile_on_base(&format!("RUN echo the-$((40 + 2))th-step-runs; {}", gate.wait()));
        let mut command = sandbox.build_command();
        command.args(arguments);
        let mut running = sandbox.start(&mut command);
        running.wait_for("the-42th-step-runs");
        let (mut records, unreadable) = Journal::new(&sandbox.state()).read().unwrap();
        assert!(unreadable.is_empty() && records.len() == 1, "{records:?} {unreadable:?}");
        let record = records.remove(0).record;
        Self { running, record, gate }
    }

    /// The lease's id.
    pub(crate) fn lease(&self) -> &str {
        self.record.labels.lease_id.as_str()
    }

    /// Lets the build go on, to its end.
    pub(crate) fn finish(self) -> Finished {
        self.gate.open();
        self.running.wait()
    }

    /// Kills the command and its reaper, so that neither has a moment left, and yields what was on record.
    pub(crate) fn kill_with_reaper(self) -> LeaseRecord {
        self.running.signal(Signal::STOP);
        let reaper = self.record.reaper.as_ref().map(Holder::pid).unwrap();
        let reaper = Pid::from_raw(i32::try_from(reaper).unwrap()).unwrap();
        rustix::process::kill_process(reaper, Signal::KILL).unwrap();
        self.running.signal(Signal::KILL);
        assert_eq!(self.running.wait_unchecked().code, -1);
        self.record
    }
}
