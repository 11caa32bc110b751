//! [`Probe`]: the command line of the script that reads the evidence on the runner.

use crate::lease::{CgroupVersion, MemoryLimit};

/// The script, fed to `sh` on stdin. It needs `awk`, `dd` and `df`, writes nothing, and ends with 0.
pub const SCRIPT: &str = include_str!("probe.sh");

/// Where the script looks. All paths are the runner's.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// How the tier's memory is enforced, which names the build's cgroup.
    pub memory: &'a MemoryLimit,
    /// BuildKit's root directory: a full disk looks like many other faults.
    pub buildkit_root: &'a str,
    /// The file with buildkitd's process id.
    pub buildkitd_pid_file: &'a str,
    /// Only kernel messages after this one count: `before.kernel_log.last`. `None` for the first reading, which
    /// reports no kills but where the log ends.
    pub since: Option<u64>,
}

impl Probe<'_> {
    /// The command to run with [`SCRIPT`] on its stdin.
    pub fn argv(&self) -> Vec<String> {
        let (version, parent) = match self.memory {
            MemoryLimit::Cgroup { version: CgroupVersion::V1, parent, .. } => ("v1", parent.as_str()),
            MemoryLimit::Cgroup { version: CgroupVersion::V2, parent, .. } => ("v2", parent.as_str()),
            MemoryLimit::None { .. } => ("-", "-"),
        };
        let since = self.since.map_or_else(|| "-".to_owned(), |number| number.to_string());
        ["sh", "-s", "--", version, parent, self.buildkit_root, self.buildkitd_pid_file, &since]
            .map(str::to_owned)
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_group_and_where_to_start() {
        let memory = MemoryLimit::Cgroup { version: CgroupVersion::V1, parent: "/lb-1/build".to_owned(), bytes: 1 };
        let mut probe =
            Probe { memory: &memory, buildkit_root: "/var/b k", buildkitd_pid_file: "/run/pid", since: Some(7) };
        assert_eq!(probe.argv(), ["sh", "-s", "--", "v1", "/lb-1/build", "/var/b k", "/run/pid", "7"]);
        probe.since = None;
        assert_eq!(probe.argv().last().map(String::as_str), Some("-"));
    }

    #[test]
    fn without_a_group_nothing_is_looked_up() {
        let memory = MemoryLimit::None { reason: "rootless".to_owned() };
        let probe = Probe { memory: &memory, buildkit_root: "/b", buildkitd_pid_file: "/p", since: None };
        assert_eq!(probe.argv(), ["sh", "-s", "--", "-", "-", "/b", "/p", "-"]);
    }
}
