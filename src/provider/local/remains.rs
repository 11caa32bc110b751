//! [`Remains`]: everything of a lease that may be left, removed and then looked for again.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LocalConfig;
use super::cgroup::LeaseCgroup;
use super::lease_dirs::LeaseDirs;
use super::record::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::provider::host::remove_tree::remove_tree;

/// How long the last processes (an SSH master whose server is gone) may take to end.
const PROCESS_ATTEMPTS: u32 = 250;
const PROCESS_PAUSE: Duration = Duration::from_millis(20);

/// The programs a runner is made of, and those that talk to it; `exe` is how `rootlesskit` starts itself again.
const OURS: [&str; 10] =
    ["ssh", "sshd", "sh", "rsync", "unshare", "rootlesskit", "exe", "buildkitd", "buildctl", "runc"];

/// Everything of a lease that may be left.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) dirs: LeaseDirs,
    pub(super) cgroup: Option<LeaseCgroup>,
    /// Removes files of a rootless runner's other users.
    pub(super) rootlesskit: Option<PathBuf>,
}

impl Remains {
    /// What the record of a lease names, whose process died, as far as the provider could have made it.
    pub(super) fn of_abandoned(
        config: &LocalConfig,
        lease: &LeaseId,
        mut dirs: LeaseDirs,
        rootlesskit: Option<PathBuf>,
    ) -> Self {
        let record = Record::read(&dirs.record()).filter(|record| record.is_of(lease, &config.cgroup_root));
        if let Some(record) = &record {
            record.data.clone_into(&mut dirs.data);
        }
        Self { dirs, cgroup: record.and_then(|record| record.cgroup), rootlesskit }
    }

    /// True when anything of the lease is there but its locks.
    pub(super) fn exist(&self) -> bool {
        let there = |dir: &Path| dir.symlink_metadata().is_ok();
        there(&self.dirs.runtime)
            || there(&self.dirs.data)
            || self.cgroup.as_ref().is_some_and(|cgroup| !cgroup.directories().is_empty())
    }

    /// As [`Remains::remove`] after an attempt to end the runner: when that failed, killing what is in the lease's cgroup is
    /// all the more to do. Both failures are told.
    pub(super) async fn remove_after(&self, ended: Result<()>) -> Result<()> {
        match (self.remove().await, ended) {
            (Ok(()), ended) => ended,
            (Err(left), Ok(())) => Err(left),
            (Err(left), Err(error)) => Err(left.hint(error.message())),
        }
    }

    /// Removes everything, and looks again.
    ///
    /// # Errors
    /// [`ErrorKind::ReleaseUnconfirmed`] naming each thing that is left.
    pub(super) async fn remove(&self) -> Result<()> {
        let mut left = Vec::new();
        if let Some(cgroup) = &self.cgroup {
            // Ends the processes; what one of them still makes as it is killed goes when all have ended.
            let _ = cgroup.remove().await;
        }
        self.wait_for_processes().await;
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.remove().await
        {
            left.push(error.message());
        }
        left.extend(self.processes().into_iter().map(|name| format!("process {name}")));
        let mounts = self.mounts();
        if mounts.is_empty()
            && let Err(error) = remove_tree(&self.dirs.data, self.rootlesskit.as_deref()).await
        {
            left.push(error.message());
        }
        left.extend(mounts.into_iter().map(|mount| format!("mount `{mount}`")));
        // It holds the record, without which nobody would find the rest.
        if left.is_empty()
            && let Err(error) = remove_tree(&self.dirs.runtime, self.rootlesskit.as_deref()).await
        {
            left.push(error.message());
        }
        if left.is_empty() {
            return Ok(());
        }
        let left = crate::sanitise::line(&left.join(", "));
        Err(Error::new(ErrorKind::ReleaseUnconfirmed, format!("the local runner is not wholly gone: {left}"))
            .hint("end what is named; the next run removes the rest"))
    }

    async fn wait_for_processes(&self) {
        for _ in 0..PROCESS_ATTEMPTS {
            if self.processes().is_empty() {
                return;
            }
            tokio::time::sleep(PROCESS_PAUSE).await;
        }
    }

    /// Programs of ours whose arguments name the lease's directories, and each `ssh` to it. A user's pager that shows
    /// a log of the lease is not ours to wait for.
    fn processes(&self) -> Vec<String> {
        let lease = self.dirs.runtime.file_name().unwrap_or_default().as_bytes();
        // Anybody can give a process such arguments: those of other users are not ours to wait for.
        let names = [self.dirs.runtime.as_os_str().as_bytes(), self.dirs.data.as_os_str().as_bytes()];
        let mut found = Vec::new();
        let uid = rustix::process::getuid().as_raw();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let program = program_name(&arguments);
            let holds = |name: &[u8]| memchr::memmem::find(&arguments, name).is_some();
            let is_of_lease = names.iter().any(|name| holds(name)) || (program == "ssh" && holds(lease));
            if OURS.contains(&program.as_str()) && is_of_lease && user_of(&entry.path()) == Some(uid) {
                found.push(format!("{pid} (`{program}`)"));
            }
        }
        found
    }

    /// Mounts of this mount namespace in the lease's directories: removing a tree must not descend into one.
    fn mounts(&self) -> Vec<String> {
        // Another mount's name may be no UTF-8; ours is.
        let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        String::from_utf8_lossy(&table)
            .lines()
            .filter_map(|line| line.split(' ').nth(4).map(unescape))
            .filter(|point| [&self.dirs.runtime, &self.dirs.data].iter().any(|dir| Path::new(point).starts_with(dir)))
            .collect()
    }
}

/// The real user of a process. Not the owner of its directory: that is root for who may not be traced.
fn user_of(process: &Path) -> Option<u32> {
    let status = std::fs::read(process.join("status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

/// The plain name of the program: of `/usr/bin/ssh`, and of `ssh: /path [mux]` as the master calls itself.
fn program_name(arguments: &[u8]) -> String {
    let first = arguments.split(|byte| matches!(byte, 0 | b':' | b' ')).next().unwrap_or_default();
    let name = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// A path of the mount table: space, tab, line break and backslash are written as three octal digits.
fn unescape(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                text.push(char::from(code));
                text.push_str(rest);
            }
            _ => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remains(dir: &Path, cgroup: Option<LeaseCgroup>) -> Remains {
        let dirs = LeaseDirs { runtime: dir.join("run/lb-x"), data: dir.join("leases/lb-x") };
        Remains { dirs, cgroup, rootlesskit: None }
    }

    #[tokio::test]
    async fn a_runner_that_does_not_end_is_told_and_its_cgroup_goes_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let lease = "lb-00000000000000000000000000000001".parse().unwrap();
        std::fs::create_dir_all(dir.path().join("memory")).unwrap();
        std::fs::write(dir.path().join("memory/memory.limit_in_bytes"), "").unwrap();
        let cgroup = LeaseCgroup::plan(dir.path(), "", &lease).unwrap();
        let group = dir.path().join("memory/lian-build").join(lease.as_str());
        std::fs::create_dir_all(&group).unwrap();
        let ended = Err(Error::new(ErrorKind::ReleaseUnconfirmed, "it does not end"));
        let error = remains(dir.path(), Some(cgroup)).remove_after(ended).await.unwrap_err();
        assert_eq!(error.to_string(), "it does not end");
        assert!(!group.exists());
    }

    #[test]
    fn a_process_is_known_by_its_real_user() {
        assert_eq!(user_of(Path::new("/proc/self")), Some(rustix::process::getuid().as_raw()));
        assert_eq!(user_of(Path::new("/proc/0")), None);
    }

    #[test]
    fn programs_are_known_by_their_plain_names() {
        assert_eq!(program_name(b"/usr/bin/unshare\0--pid\0"), "unshare");
        assert_eq!(program_name(b"ssh: /run/lian-build/x/ssh/ctl [mux]\0"), "ssh");
        assert_eq!(program_name(b""), "");
    }

    #[test]
    fn mount_points_are_read_as_they_are() {
        assert_eq!(unescape("/plain"), "/plain");
        assert_eq!(unescape(r"/a\040b\134c\012"), "/a b\\c\n");
        assert_eq!(unescape(r"/odd\9"), r"/odd\9");
    }
}
