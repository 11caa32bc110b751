//! [`Holder`]: the process that holds a lease, so that a sweep on the same machine can prove that it is dead.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Whether the holder of a lease lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderState {
    /// It lives: nobody on its machine touches its lease, not even past the hard deadline, which it keeps itself. Whoever
    /// cannot see that it lives goes by the deadlines.
    Alive,
    /// It is proven dead.
    Dead,
    /// It ran on another machine, since another boot, or in another PID namespace: only deadlines count.
    Unknown,
}

/// A process, named so that no later one can be taken for it: the boot, the PID namespace, the PID, and when it started.
/// It stands in labels (`[0-9a-f.]`, at most 63 characters), so a sweep from an empty home can read it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Holder {
    /// The first 12 digits of the kernel's boot id.
    boot: String,
    /// The inode of the PID namespace.
    namespace: u64,
    pid: u32,
    /// Clock ticks after boot, from `/proc/<pid>/stat`.
    started: u64,
}

impl Holder {
    /// This process; `None` where the system does not say (no `/proc`).
    pub fn current() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The process with this PID, as long as it lives.
    pub fn of(pid: u32) -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        Some(Self { boot, namespace: pid_namespace()?, pid, started: start_time(pid)? })
    }

    /// The PID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it lives, as far as this process can tell.
    pub fn state(&self) -> HolderState {
        let Some(here) = Self::current() else { return HolderState::Unknown };
        if here.boot != self.boot || here.namespace != self.namespace {
            return HolderState::Unknown;
        }
        if start_time(self.pid) == Some(self.started) { HolderState::Alive } else { HolderState::Dead }
    }
}

impl Holder {
    /// True when it is certain that it does not live any more, of a process of this machine: it is dead, or was before the last
    /// boot. From another PID namespace nobody can tell.
    pub fn is_gone(&self) -> bool {
        match self.state() {
            HolderState::Alive => false,
            HolderState::Dead => true,
            HolderState::Unknown => Self::current().is_some_and(|here| here.boot != self.boot),
        }
    }
}

fn pid_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(Path::new("/proc/self/ns/pid").metadata().ok()?.ino())
}

/// When a process started, in clock ticks after boot; `None` when it is gone or a zombie.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything; what follows its last parenthesis may not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}.{}.{}", self.boot, self.namespace, self.pid, self.started)
    }
}

impl FromStr for Holder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::usage(format!("`{}` does not name a process", crate::sanitise::line(text)));
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(invalid);
        let (boot, namespace, pid, started) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() || boot.len() != 12 || !boot.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        Ok(Self {
            boot: boot.to_owned(),
            namespace: u64::from_str_radix(namespace, 16).map_err(|_| invalid())?,
            pid: pid.parse().map_err(|_| invalid())?,
            started: started.parse().map_err(|_| invalid())?,
        })
    }
}

impl TryFrom<String> for Holder {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Holder> for String {
    fn from(holder: Holder) -> Self {
        holder.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_its_name_reads_back() {
        let here = Holder::current().unwrap();
        assert_eq!(here.state(), HolderState::Alive);
        let text = here.to_string();
        assert!(text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.'), "{text}");
        assert_eq!(text.parse::<Holder>().unwrap(), here);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let here = Holder::current().unwrap();
        assert_eq!(Holder { started: here.started + 1, ..here.clone() }.state(), HolderState::Dead);
        assert_eq!(Holder { boot: "0".repeat(12), ..here.clone() }.state(), HolderState::Unknown);
        assert_eq!(Holder { namespace: 1, ..here }.state(), HolderState::Unknown);
    }

    #[test]
    fn nothing_else_is_taken_for_a_process() {
        for bad in ["", "a.b.c.d", "0123456789ab.1.2", "0123456789ab.1.2.3.4", "0123456789ag.1.2.3"] {
            assert!(bad.parse::<Holder>().is_err(), "{bad}");
        }
    }
}
