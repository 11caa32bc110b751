//! [`Way`]: what is killed, and what cleans up after it.

use std::fmt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// What is killed, and what cleans up after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// The command alone: its reaper cleans up, and nobody does anything.
    Command,
    /// The command and its reaper: `runners gc`, or the next build, cleans up.
    CommandAndReaper,
    /// All processes, and then home, state, cache and configuration are deleted, as when a CI job's container goes:
    /// `runners gc` of a new, empty home cleans up.
    TreeAndHome,
    /// The machine with all that is on it: `runners gc` on another one cleans up, which cannot see who is dead and goes by the
    /// deadlines. Where runners are on machines of their own.
    Machine,
}

impl Way {
    /// Those of a runner that is on the caller's machine.
    pub(super) const HERE: &[Self] = &[Self::Command, Self::CommandAndReaper, Self::TreeAndHome];

    /// Those of a runner that is a machine of its own.
    pub(super) const REMOTE: &[Self] = &[Self::Command, Self::CommandAndReaper, Self::TreeAndHome, Self::Machine];

    /// What cleans up, if nothing else is said.
    pub(super) const fn cleaner(self) -> &'static str {
        match self {
            Self::Command => "its reaper",
            Self::CommandAndReaper => "`runners gc`",
            Self::TreeAndHome => "`runners gc` of a new home",
            Self::Machine => "`runners gc` elsewhere, later",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Command => "command",
            Self::CommandAndReaper => "command + reaper",
            Self::TreeAndHome => "tree + home",
            Self::Machine => "machine",
        })
    }
}

/// The processes of this mount namespace: a site's commands have one of their own each, and all they start begins in it.
pub(super) fn in_namespace(namespace: u64) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if namespace_of(pid) == Some(namespace) {
            found.push(pid);
        }
    }
    found
}

/// The mount namespace of a process; `None` when it is gone.
pub(super) fn namespace_of(pid: i32) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?.ino())
}

/// True for a process that runs our program.
pub(super) fn runs_our_program(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(env!("CARGO_BIN_EXE_lian-build")))
}

/// Sends a signal to each; one that is gone already is as good.
pub(super) fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        let _ = kill_process(Pid::from_raw(*pid).unwrap(), signal);
    }
}
