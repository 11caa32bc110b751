//! [`Machine`]: what this machine has, as far as this process may use it.

use std::path::Path;

use sha2::Digest as _;

use crate::error::{Context as _, Error, ErrorKind, Result};

/// What a machine has, as far as runners may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider) struct Machine {
    /// Memory in bytes: the machine's, or the limit this process runs under when that is less.
    pub(in crate::provider) memory_bytes: u64,
    /// CPUs that may be used.
    pub(in crate::provider) cpus: u32,
    /// What messages call it.
    pub(in crate::provider) name: &'static str,
}

impl Machine {
    /// Reads `/proc` and the cgroup of this process below `cgroup_root`.
    pub(in crate::provider) fn read(cgroup_root: &Path) -> Result<Self> {
        let meminfo = std::fs::read_to_string("/proc/meminfo")
            .context(ErrorKind::Provider, || "cannot read `/proc/meminfo`".to_owned())?;
        let total =
            mem_total(&meminfo).ok_or_else(|| Error::new(ErrorKind::Provider, "`/proc/meminfo` names no MemTotal"))?;
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limit = own_limit(cgroup_root, &own).unwrap_or(u64::MAX);
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { memory_bytes: total.min(limit), cpus: u32::try_from(cpus).unwrap_or(u32::MAX), name: "this machine" })
    }

    /// What all local builds share: the memory less max(512 MiB, 5 %) for everything else on the machine.
    pub(in crate::provider) fn budget_bytes(&self) -> u64 {
        let reserve = (512 << 20).max(self.memory_bytes / 20);
        self.memory_bytes.saturating_sub(reserve)
    }
}

/// Which machine this is, as a short digest: the same directory, address or user elsewhere is not the same backend. Where a
/// machine has no id of its own (a container, say), this boot of its kernel stands for it.
pub(in crate::provider) fn fingerprint() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    fingerprint_of(&read("/etc/machine-id"), &read("/proc/sys/kernel/random/boot_id"))
}

fn fingerprint_of(machine: &str, boot: &str) -> String {
    let known = Some(machine.trim()).filter(|id| id.len() >= 32).unwrap_or(boot.trim());
    // The id itself is not for records that may be shown.
    let digest = sha2::Sha256::digest(format!("lian-build:{known}").as_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The architecture as OCI names it.
pub(in crate::provider) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What `/proc/meminfo` says of the machine's memory, in bytes.
pub(in crate::provider) fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit on the way from this process's cgroup to the root, in either version of cgroups.
fn own_limit(root: &Path, proc_self_cgroup: &str) -> Option<u64> {
    let mut limits = Vec::new();
    for line in proc_self_cgroup.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (hierarchy, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            "memory" => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        for ancestor in Path::new(path.trim_start_matches('/')).ancestors() {
            let text = std::fs::read_to_string(hierarchy.join(ancestor).join(file)).unwrap_or_default();
            // `max`, or nothing where the controller is not on: no limit.
            limits.extend(text.trim().parse::<u64>());
        }
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart_by_their_id_and_without_one_by_the_boot() {
        let (one, other) = ("0123456789abcdef0123456789abcdef\n", "f123456789abcdef0123456789abcdef\n");
        assert_eq!(fingerprint_of(one, "a"), fingerprint_of(one, "b"));
        assert_ne!(fingerprint_of(one, "a"), fingerprint_of(other, "a"));
        for none in ["", "uninitialized\n"] {
            assert_ne!(fingerprint_of(none, "a"), fingerprint_of(none, "b"));
        }
        assert_eq!(fingerprint(), fingerprint());
        assert!(!one.contains(&fingerprint_of(one, "a")));
    }

    #[test]
    fn mem_total_is_read_in_kib() {
        assert_eq!(mem_total("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_smallest_limit_above_this_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("memory/a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        std::fs::write(root.path().join("memory/a/memory.limit_in_bytes"), "1000\n").unwrap();
        std::fs::create_dir_all(root.path().join("c")).unwrap();
        std::fs::write(root.path().join("c/memory.max"), "max\n").unwrap();
        assert_eq!(own_limit(root.path(), "4:memory:/a/b\n0::/c\n"), Some(1000));
        std::fs::write(root.path().join("c/memory.max"), "500\n").unwrap();
        assert_eq!(own_limit(root.path(), "4:memory:/a/b\n0::/c\n"), Some(500));
        assert_eq!(own_limit(root.path(), "0::/\n"), None);
    }

    #[test]
    fn the_budget_leaves_the_machine_something() {
        let machine = |memory_bytes| Machine { memory_bytes, cpus: 1, name: "this machine" };
        assert_eq!(machine(4 << 30).budget_bytes(), (4 << 30) - (512 << 20));
        assert_eq!(machine(100 << 30).budget_bytes(), 95 << 30);
        assert_eq!(machine(1 << 20).budget_bytes(), 0);
    }
}
