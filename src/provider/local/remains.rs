//! [`Remains`]: everything of a lease that may be left, removed and then looked for again.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cgroup::LeaseCgroup;
use super::lease_dirs::LeaseDirs;
use super::record::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::process::Cmd;

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
    /// What the record of a lease names, whose process died.
    pub(super) fn of_abandoned(lease: &LeaseId, mut dirs: LeaseDirs, rootlesskit: Option<PathBuf>) -> Self {
        let record = Record::read(&dirs.record());
        let recorded = record.as_ref().map(|record| &record.data);
        // Only a directory that is named like a lease's is ever removed.
        if let Some(data) = recorded.filter(|data| data.ends_with(Path::new("leases").join(lease.as_str()))) {
            data.clone_into(&mut dirs.data);
        }
        Self { dirs, cgroup: record.and_then(|record| record.cgroup), rootlesskit }
    }

    /// Removes everything, and looks again.
    ///
    /// # Errors
    /// [`ErrorKind::ReleaseUnconfirmed`] naming each thing that is left.
    pub(super) async fn remove(&self) -> Result<()> {
        let mut left = Vec::new();
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.remove().await
        {
            left.push(error.message());
        }
        self.wait_for_processes().await;
        let mounts = self.mounts();
        if mounts.is_empty() {
            // The runtime directory is the last: it holds the record.
            for dir in [&self.dirs.data, &self.dirs.runtime] {
                if let Err(error) = self.remove_tree(dir).await {
                    left.push(error.message());
                }
            }
        }
        left.extend(self.processes().into_iter().map(|name| format!("process {name}")));
        left.extend(mounts.into_iter().map(|mount| format!("mount `{mount}`")));
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
        let names = [self.dirs.runtime.as_os_str().as_bytes(), self.dirs.data.as_os_str().as_bytes()];
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let program = program_name(&arguments);
            let holds = |name: &[u8]| memchr::memmem::find(&arguments, name).is_some();
            let is_of_lease = names.iter().any(|name| holds(name)) || (program == "ssh" && holds(lease));
            if OURS.contains(&program.as_str()) && is_of_lease {
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

    /// Links are removed, never followed.
    async fn remove_tree(&self, dir: &Path) -> Result<()> {
        let owned = dir.to_owned();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(owned)).await;
        match removed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound && !dir.exists() => return Ok(()),
            _ => {}
        }
        if let Some(rootlesskit) = &self.rootlesskit {
            // Its files belong to subordinate users, who exist only in such a namespace.
            let _ = Cmd::new(rootlesskit, ErrorKind::ReleaseUnconfirmed)
                .args(["rm", "-rf", "--one-file-system", "--"])
                .arg(dir)
                .output()
                .await;
        }
        match dir.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            _ => {
                let why = match removed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "unknown".to_owned(),
                };
                Err(Error::new(ErrorKind::ReleaseUnconfirmed, format!("directory `{}` ({why})", dir.display())))
            }
        }
    }
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
