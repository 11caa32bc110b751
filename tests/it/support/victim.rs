//! [`Victim`]: the lease of a running build of a sandbox, found from outside, and its processes, to be killed.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use super::{Leftovers, Sandbox, wait_until};

/// The lease of a running build.
pub(crate) struct Victim {
    lease: String,
}

impl Victim {
    /// The one lease that stands in the sandbox's journal.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        let names = Self::leases(sandbox);
        let [lease] = &names[..] else { panic!("not one lease: {names:?}") };
        Self { lease: lease.clone() }
    }

    /// The leases that stand in the sandbox's journal.
    pub(crate) fn leases(sandbox: &Sandbox) -> Vec<String> {
        let entries = std::fs::read_dir(sandbox.state().join("leases")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }

    pub(crate) fn lease(&self) -> &str {
        &self.lease
    }

    /// The lease's directory for what is short.
    pub(crate) fn runtime(&self) -> PathBuf {
        PathBuf::from("/run/lian-build").join(&self.lease)
    }

    /// The process ids and command lines of the lease's processes.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let directories = Leftovers::of(self.lease.as_str(), []).process_dirs();
        let process = |dir: PathBuf| {
            let words = std::fs::read(dir.join("cmdline")).ok()?;
            let pid = dir.file_name()?.to_str()?.parse().ok()?;
            Some((pid, String::from_utf8_lossy(&words).replace('\0', " ")))
        };
        directories.into_iter().filter_map(process).collect()
    }

    /// Stops the `sshd` of the connection that stands: the line is dead, and nobody says so.
    pub(crate) fn freeze_connection(&self) {
        self.signal(Signal::STOP, "sshd of a connection", |line| {
            line.starts_with("sshd: ") && !line.contains("[listener]")
        });
    }

    /// Kills each process whose command line fits; there must be one.
    pub(crate) fn kill(&self, what: &str, fits: impl Fn(&str) -> bool) {
        self.signal(Signal::KILL, what, fits);
    }

    fn signal(&self, signal: Signal, what: &str, fits: impl Fn(&str) -> bool) {
        let all = self.processes();
        let found: Vec<i32> = all.iter().filter(|(_, line)| fits(line)).map(|(pid, _)| *pid).collect();
        assert!(!found.is_empty(), "no {what} among {all:#?}");
        for pid in found {
            // One may end with another.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// Kills our end of the SSH connection: as when the network broke.
    pub(crate) fn kill_connection(&self) {
        wait_until("there is a connection", || self.processes().iter().any(|(_, line)| is_master(line)));
        self.kill("SSH master", is_master);
    }

    /// Kills the `sshd` that listens and all its sessions: the runner lives and answers no more.
    pub(crate) fn kill_sshd(&self) {
        self.kill("sshd", |line| line.starts_with("sshd: "));
    }

    /// Kills the runner's first process: as when the machine vanished.
    pub(crate) fn kill_runner(&self) {
        self.kill("first process", |line| line.contains("runner.sh") && line.starts_with("/bin/sh"));
    }
}

fn is_master(line: &str) -> bool {
    line.starts_with("ssh ") && line.contains("ControlMaster=yes")
}
