//! [`LeaseCgroup`]: the cgroup that holds one lease's memory to its tier.
//!
//! `/lian-build/<lease>` has the tier's memory as its limit, with `runner` (`sshd`, `buildkitd`) and `build` (BuildKit's
//! steps, with a limit of their own) below it, so that a step that needs too much is killed and not the daemon. Nothing
//! outside of it is changed, but for controllers being switched on for it (cgroup v2).

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{CgroupVersion, MemoryLimit};

/// The directory of all our leases in every hierarchy.
const OURS: &str = "lian-build";

const MAKE_ATTEMPTS: u32 = 10;

/// How long the kernel may take to let go of an emptied cgroup.
const REMOVE_ATTEMPTS: u32 = 200;
const REMOVE_PAUSE: Duration = Duration::from_millis(25);

/// The cgroup of one lease. Its paths are also in the lease's record, for a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseCgroup {
    version: CgroupVersion,
    /// Where the hierarchies are mounted.
    root: PathBuf,
    /// Our directory below each hierarchy's root, without a leading slash: `lian-build`, or deeper when nested.
    parent: PathBuf,
    lease: LeaseId,
}

impl LeaseCgroup {
    /// Finds where a cgroup for the lease can be made. `own` is the text of `/proc/self/cgroup`.
    ///
    /// # Errors
    /// The reason, for the user, when memory cannot be limited here.
    pub(super) fn plan(root: &Path, own: &str, lease: &LeaseId) -> Result<Self, String> {
        let (version, hierarchy) = if root.join("memory/memory.limit_in_bytes").exists() {
            (CgroupVersion::V1, root.join("memory"))
        } else if read(&root.join("cgroup.controllers")).split_whitespace().any(|name| name == "memory") {
            (CgroupVersion::V2, root.to_owned())
        } else {
            return Err(format!("`{}` has no memory controller", root.display()));
        };
        let mut refusal = String::new();
        for base in bases(version, own) {
            match std::fs::create_dir(hierarchy.join(&base).join(OURS)) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => refusal = error.to_string(),
                _ => return Ok(Self { version, root: root.to_owned(), parent: base.join(OURS), lease: lease.clone() }),
            }
        }
        Err(format!("no cgroup can be made below `{}`: {refusal}", hierarchy.display()))
    }

    /// True when this is a cgroup that [`LeaseCgroup::plan`] could have named for `lease` below `root`.
    pub(super) fn is_of(&self, lease: &LeaseId, root: &Path) -> bool {
        self.root == root
            && self.lease == *lease
            && self.parent.ends_with(OURS)
            && self.parent.components().all(|part| matches!(part, Component::Normal(_)))
    }

    /// Makes the cgroup with its limits, in bytes. What was made before a failure stays, for [`LeaseCgroup::remove`].
    pub(super) fn create(&self, tier_bytes: u64, build_bytes: u64) -> Result<()> {
        match self.version {
            CgroupVersion::V1 => self.create_v1(tier_bytes, build_bytes),
            CgroupVersion::V2 => self.create_v2(tier_bytes, build_bytes),
        }
    }

    fn create_v1(&self, tier_bytes: u64, build_bytes: u64) -> Result<()> {
        let lease = self.hierarchy().join(self.path());
        make(&lease)?;
        for (dir, bytes) in [(lease.clone(), tier_bytes), (lease.join("build"), build_bytes)] {
            make(&dir)?;
            write(&dir.join("memory.limit_in_bytes"), &bytes.to_string())?;
            // Memory and swap together; missing where the kernel does not count swap.
            let both = dir.join("memory.memsw.limit_in_bytes");
            if both.exists() {
                write(&both, &bytes.to_string())?;
            } else if dir.join("memory.swappiness").exists() {
                write(&dir.join("memory.swappiness"), "0")?;
            }
        }
        for dir in self.to_join() {
            make(&dir)?;
        }
        Ok(())
    }

    fn create_v2(&self, tier_bytes: u64, build_bytes: u64) -> Result<()> {
        let hierarchy = self.hierarchy();
        let lease = hierarchy.join(self.path());
        make(&lease)?;
        // From the top: a controller reaches a cgroup only when every ancestor passes it on.
        let ours = hierarchy.join(&self.parent);
        for dir in [ours.parent().unwrap_or(&hierarchy), &ours, &lease] {
            enable_controllers(dir)?;
        }
        for (dir, bytes) in [(lease.clone(), tier_bytes), (lease.join("build"), build_bytes)] {
            make(&dir)?;
            write(&dir.join("memory.max"), &bytes.to_string())?;
            for (file, value) in [("memory.swap.max", "0"), ("memory.oom.group", "0")] {
                if dir.join(file).exists() {
                    write(&dir.join(file), value)?;
                }
            }
        }
        make(&lease.join("runner"))
    }

    /// The directories whose `cgroup.procs` the runner's first process is written to.
    pub(super) fn to_join(&self) -> Vec<PathBuf> {
        let runner = self.path().join("runner");
        let mut dirs = vec![self.hierarchy().join(&runner)];
        let cpuacct = self.root.join("cpuacct");
        if self.version == CgroupVersion::V1 && cpuacct.is_dir() {
            dirs.push(cpuacct.join(&runner));
        }
        dirs
    }

    /// How the endpoint tells of it. `bytes` is the limit of the build steps.
    pub(super) fn memory_limit(&self, bytes: u64) -> MemoryLimit {
        MemoryLimit::Cgroup {
            version: self.version,
            parent: format!("/{}", self.path().join("build").display()),
            bytes,
        }
    }

    /// Kills what is still in it and removes it from every hierarchy: BuildKit makes the same path in each of them.
    pub(super) async fn remove(&self) -> Result<()> {
        let mut left = self.directories();
        for _ in 0..REMOVE_ATTEMPTS {
            if left.is_empty() {
                self.remove_parents();
                return Ok(());
            }
            for dir in &left {
                kill_members(dir);
                remove_tree(dir);
            }
            left.retain(|dir| dir.exists());
            if !left.is_empty() {
                tokio::time::sleep(REMOVE_PAUSE).await;
            }
        }
        let names: Vec<String> = left.iter().map(|dir| format!("`{}`", dir.display())).collect();
        Err(Error::new(
            ErrorKind::ReleaseUnconfirmed,
            format!("the cgroup {} cannot be removed: processes are left in it", names.join(", ")),
        ))
    }

    /// Where the lease's cgroup exists.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.hierarchies().into_iter().map(|dir| dir.join(self.path())).filter(|dir| dir.is_dir()).collect()
    }

    /// Our common directory goes with the last lease; `rmdir` refuses while another one is in it.
    fn remove_parents(&self) {
        for hierarchy in self.hierarchies() {
            let _ = std::fs::remove_dir(hierarchy.join(&self.parent));
        }
    }

    /// Every hierarchy, not through the links that some machines have (`cpu` to `cpu,cpuacct`).
    fn hierarchies(&self) -> Vec<PathBuf> {
        if self.version == CgroupVersion::V2 {
            return vec![self.root.clone()];
        }
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
    }

    fn hierarchy(&self) -> PathBuf {
        match self.version {
            CgroupVersion::V1 => self.root.join("memory"),
            CgroupVersion::V2 => self.root.clone(),
        }
    }

    fn path(&self) -> PathBuf {
        self.parent.join(self.lease.as_str())
    }
}

/// Where our directory may be: at the hierarchy's root where that is ours to write, else below this process's own cgroup.
/// Not so with v2, where a cgroup with processes of its own cannot pass controllers on.
fn bases(version: CgroupVersion, proc_self_cgroup: &str) -> Vec<PathBuf> {
    let own = match version {
        CgroupVersion::V1 => own_cgroup(proc_self_cgroup, "memory"),
        CgroupVersion::V2 => None,
    };
    [PathBuf::new()].into_iter().chain(own).collect()
}

/// This process's cgroup in the hierarchy of `controller`, without the leading slash.
fn own_cgroup(proc_self_cgroup: &str, controller: &str) -> Option<PathBuf> {
    proc_self_cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|name| name == controller).then(|| PathBuf::from(path.trim_start_matches('/')))
    })
}

/// Passes on what build steps need. `memory` must be; the others are BuildKit's to miss.
fn enable_controllers(dir: &Path) -> Result<()> {
    let file = dir.join("cgroup.subtree_control");
    let on = read(&file);
    for controller in ["memory", "cpu", "pids"] {
        if on.split_whitespace().any(|name| name == controller) {
            continue;
        }
        let switched = write(&file, &format!("+{controller}"));
        if controller == "memory" {
            switched?;
        }
    }
    Ok(())
}

/// Another lease's release may remove the empty parent in between: then it is made again.
fn make(dir: &Path) -> Result<()> {
    let mut made = std::fs::create_dir_all(dir);
    for _ in 0..MAKE_ATTEMPTS {
        match &made {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => made = std::fs::create_dir_all(dir),
            _ => break,
        }
    }
    made.context(ErrorKind::Provider, || format!("cannot make the cgroup `{}`", dir.display()))
}

fn write(file: &Path, value: &str) -> Result<()> {
    std::fs::write(file, value)
        .context(ErrorKind::Provider, || format!("cannot write `{value}` to `{}`", file.display()))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The process ids in a cgroup and below it.
pub(super) fn members(dir: &Path) -> Vec<i32> {
    // Everything else in such a file would be no process of a lease: 0 is one outside of this PID namespace.
    let pids = read(&dir.join("cgroup.procs"));
    let mut pids: Vec<i32> = pids.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).collect();
    for child in children(dir) {
        pids.extend(members(&child));
    }
    pids
}

/// Kills all processes in a cgroup and below it. One by one a fork may slip through, which the next round gets; cgroup v2
/// has a switch (Linux 5.14) that nothing slips through.
fn kill_members(dir: &Path) {
    let all = dir.join("cgroup.kill");
    if all.exists() && std::fs::write(&all, "1").is_ok() {
        return;
    }
    for pid in members(dir) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // Gone in between is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Removes the cgroup and those below it, the deepest first, as far as the kernel lets go.
fn remove_tree(dir: &Path) {
    for child in children(dir) {
        remove_tree(&child);
    }
    let _ = std::fs::remove_dir(dir);
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> LeaseId {
        "lb-00000000000000000000000000000001".parse().unwrap()
    }

    /// A directory tree that looks like a cgroup v2 mount; plain files stand for the kernel's.
    fn fake_v2() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        std::fs::write(root.path().join("cgroup.subtree_control"), "memory pids\n").unwrap();
        let dir = root.path().join("lian-build").join(lease().as_str());
        for dir in [dir.clone(), dir.join("build")] {
            std::fs::create_dir_all(&dir).unwrap();
            for file in ["memory.max", "memory.swap.max", "memory.oom.group"] {
                std::fs::write(dir.join(file), "").unwrap();
            }
        }
        root
    }

    #[test]
    fn v2_limits_stand_on_the_lease_and_on_its_build() {
        let root = fake_v2();
        let cgroup = LeaseCgroup::plan(root.path(), "0::/user.slice\n", &lease()).unwrap();
        cgroup.create(4 << 30, 3 << 30).unwrap();
        let dir = root.path().join("lian-build").join(lease().as_str());
        assert_eq!(read(&dir.join("memory.max")), (4_u64 << 30).to_string());
        assert_eq!(read(&dir.join("build/memory.max")), (3_u64 << 30).to_string());
        assert_eq!(read(&dir.join("build/memory.swap.max")), "0");
        assert_eq!(read(&dir.join("build/memory.oom.group")), "0");
        // Each write replaces the fake file, so the last controller shows; what was on is not written again.
        assert_eq!(read(&root.path().join("cgroup.subtree_control")), "+cpu");
        assert_eq!(read(&dir.join("cgroup.subtree_control")), "+pids");
        assert_eq!(cgroup.to_join(), [dir.join("runner")]);
        assert!(dir.join("runner").is_dir());
        assert_eq!(
            cgroup.memory_limit(7),
            MemoryLimit::Cgroup {
                version: CgroupVersion::V2,
                parent: format!("/lian-build/{}/build", lease()),
                bytes: 7
            }
        );
    }

    #[test]
    fn v1_counts_cpu_where_the_controller_is() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("memory")).unwrap();
        std::fs::create_dir_all(root.path().join("cpuacct")).unwrap();
        std::fs::write(root.path().join("memory/memory.limit_in_bytes"), "").unwrap();
        let cgroup = LeaseCgroup::plan(root.path(), "", &lease()).unwrap();
        cgroup.create(10, 5).unwrap();
        let below = |name: &str| root.path().join(name).join("lian-build").join(lease().as_str());
        assert_eq!(read(&below("memory").join("memory.limit_in_bytes")), "10");
        assert_eq!(read(&below("memory").join("build/memory.limit_in_bytes")), "5");
        assert_eq!(cgroup.to_join(), [below("memory").join("runner"), below("cpuacct").join("runner")]);
    }

    #[test]
    fn without_a_memory_controller_the_reason_is_given() {
        let root = tempfile::tempdir().unwrap();
        let reason = LeaseCgroup::plan(root.path(), "", &lease()).unwrap_err();
        assert!(reason.contains("no memory controller"), "{reason}");
    }

    #[test]
    fn the_own_cgroup_is_found_in_either_version() {
        let text = "5:cpu,cpuacct:/a\n4:memory:/b/c\n0::/d\n";
        assert_eq!(own_cgroup(text, "memory"), Some("b/c".into()));
        assert_eq!(own_cgroup(text, "cpuacct"), Some("a".into()));
        assert_eq!(own_cgroup(text, ""), Some("d".into()));
        assert_eq!(own_cgroup("", "memory"), None);
    }

    #[test]
    fn neither_the_first_process_nor_foreign_ones_are_members() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "0\n1\n-1\n-42\n42\n").unwrap();
        assert_eq!(members(dir.path()), [42]);
    }

    #[test]
    fn v2_kills_at_one_stroke() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.kill"), "").unwrap();
        kill_members(dir.path());
        assert_eq!(read(&dir.path().join("cgroup.kill")), "1");
    }

    #[test]
    fn only_v1_can_limit_memory_below_a_cgroup_with_processes() {
        let own = "4:memory:/b/c\n0::/d\n";
        assert_eq!(bases(CgroupVersion::V1, own), [PathBuf::new(), "b/c".into()]);
        assert_eq!(bases(CgroupVersion::V2, own), [PathBuf::new()]);
    }

    #[tokio::test]
    async fn removal_takes_every_hierarchy_and_the_empty_parent() {
        let root = tempfile::tempdir().unwrap();
        for hierarchy in ["memory", "pids"] {
            let dir = root.path().join(hierarchy);
            std::fs::create_dir_all(dir.join("lian-build").join(lease().as_str()).join("build/buildkit")).unwrap();
        }
        std::fs::write(root.path().join("memory/memory.limit_in_bytes"), "").unwrap();
        let cgroup = LeaseCgroup::plan(root.path(), "", &lease()).unwrap();
        assert_eq!(cgroup.directories().len(), 2);
        cgroup.remove().await.unwrap();
        assert!(!root.path().join("memory/lian-build").exists() && !root.path().join("pids/lian-build").exists());
    }
}
