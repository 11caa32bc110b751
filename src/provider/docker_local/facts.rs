//! [`DaemonFacts`]: what the daemon says of the machine its containers run on, which may be a virtual one.

use bollard::Docker;
use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use super::failure;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::CgroupVersion;
use crate::provider::host::machine::{Machine, mem_total};

/// Why there is no limit.
pub(super) const NO_MEMORY_LIMIT: &str = "the kernel of Docker's machine has no memory controller";

/// What the daemon says of the machine its containers run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DaemonFacts {
    /// The daemon's own id.
    pub(super) id: String,
    /// Its memory and CPUs.
    pub(super) machine: Machine,
    /// Its cgroup hierarchy.
    pub(super) cgroup: CgroupVersion,
    /// True when its containers run on this machine's kernel: then builds with `local` use the same memory.
    pub(super) is_this_machine: bool,
    /// False when its kernel limits no memory: the daemon then discards limits with a warning.
    pub(super) limits_memory: bool,
    /// False when its kernel cannot keep a container from swapping.
    pub(super) limits_swap: bool,
    /// True when it maps containers' users to others.
    pub(super) remaps_users: bool,
}

impl DaemonFacts {
    /// Asks the daemon.
    ///
    /// # Errors
    /// `Provider` when it does not answer, `NoCapacity` when its containers are not Linux.
    pub(super) async fn read(docker: &Docker) -> Result<Self> {
        let info = docker.info().await.map_err(|error| failure::fault("say what it has", &error))?;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::of(&info, kernel.trim(), mem_total(&meminfo))
    }

    /// What a lease has to be told of limits that the daemon takes and does not keep.
    pub(super) fn limit_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.limits_memory {
            warnings.push(format!("the memory limit is not enforced: {NO_MEMORY_LIMIT}"));
        }
        if !self.limits_swap {
            warnings.push(
                "the kernel of Docker's machine does not count swap, so a runner may swap: builds get more than the \
                 tier's memory, and secrets may reach the swap space"
                    .to_owned(),
            );
        }
        warnings
    }

    fn of(info: &SystemInfo, kernel: &str, memory: Option<u64>) -> Result<Self> {
        if let Some(system) = info.os_type.as_deref().filter(|system| *system != "linux") {
            return Err(Error::new(
                ErrorKind::NoCapacity,
                format!(
                    "the Docker daemon runs `{}` containers, and a runner is a Linux one",
                    crate::sanitise::line(system)
                ),
            ));
        }
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        let memory_bytes = number(info.mem_total);
        let cpus = u32::try_from(number(info.ncpu)).unwrap_or(u32::MAX).max(1);
        let is_this_machine =
            !kernel.is_empty() && info.kernel_version.as_deref() == Some(kernel) && memory == Some(memory_bytes);
        let name = if is_this_machine { "this machine" } else { "Docker's machine" };
        let options = info.security_options.iter().flatten();
        Ok(Self {
            id: info.id.clone().unwrap_or_default(),
            machine: Machine { memory_bytes, cpus, name },
            cgroup: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_2) => CgroupVersion::V2,
                _ => CgroupVersion::V1,
            },
            is_this_machine,
            limits_memory: info.memory_limit != Some(false),
            limits_swap: info.swap_limit != Some(false),
            remaps_users: options.into_iter().any(|option| option.starts_with("name=userns")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SystemInfo {
        SystemInfo {
            id: Some("ABCD:EFGH".to_owned()),
            ncpu: Some(4),
            mem_total: Some(8 << 30),
            kernel_version: Some("6.1.0".to_owned()),
            os_type: Some("linux".to_owned()),
            cgroup_version: Some(SystemInfoCgroupVersionEnum::_2),
            security_options: Some(vec!["name=seccomp,profile=default".to_owned(), "name=userns".to_owned()]),
            ..SystemInfo::default()
        }
    }

    #[test]
    fn a_daemon_in_a_virtual_machine_is_told_from_this_one() {
        let here = DaemonFacts::of(&info(), "6.1.0", Some(8 << 30)).unwrap();
        assert!(here.is_this_machine && here.remaps_users && here.cgroup == CgroupVersion::V2);
        assert!(here.limits_memory && here.limits_swap && here.limit_warnings().is_empty());
        assert_eq!((here.machine.cpus, here.machine.memory_bytes), (4, 8 << 30));
        for (kernel, memory) in [("6.1.1", Some(8 << 30)), ("6.1.0", Some(16 << 30)), ("", None)] {
            let there = DaemonFacts::of(&info(), kernel, memory).unwrap();
            assert!(!there.is_this_machine && there.machine.name == "Docker's machine");
        }
    }

    #[test]
    fn limits_that_the_kernel_does_not_keep_are_said() {
        let without = SystemInfo { memory_limit: Some(false), swap_limit: Some(false), ..info() };
        let warnings = DaemonFacts::of(&without, "", None).unwrap().limit_warnings();
        assert!(warnings.len() == 2 && warnings[0].contains("memory controller") && warnings[1].contains("secrets"));
    }

    #[test]
    fn other_containers_than_linux_ones_are_no_runners() {
        let windows = SystemInfo { os_type: Some("windows".to_owned()), ..info() };
        assert_eq!(DaemonFacts::of(&windows, "", None).unwrap_err().kind(), ErrorKind::NoCapacity);
    }
}
