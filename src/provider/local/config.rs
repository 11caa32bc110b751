//! [`LocalConfig`]: where the `'local` provider puts things, and how much it may take.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::error::Result;
use crate::provider::host::cache_cap::cache_cap_bytes;
use crate::provider::host::runtime_dir::runtime_dir;

/// Where the provider puts things, and how much it may take. Tests point every directory elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalConfig {
    /// Where programs are looked for: `LIAN_BUILDKIT_DIR` first, then `PATH`, then the sbin directories.
    pub program_dirs: Vec<PathBuf>,
    /// Below it: kept BuildKit caches, and the data directories of leases.
    pub cache_dir: PathBuf,
    /// Private and short: lease records, sockets, the memory budget. Shared by all builds of this user on this machine.
    pub runtime_dir: PathBuf,
    /// Where the cgroup hierarchies are mounted: `/sys/fs/cgroup`.
    pub cgroup_root: PathBuf,
    /// The cap of each kept BuildKit cache, in bytes; 0 keeps none.
    pub cache_cap_bytes: u64,
    /// How long a build may wait for the machine's memory budget.
    pub queue_timeout: Duration,
    /// The memory all local builds share, in bytes; `None` for the machine's less a reserve.
    pub memory_budget_bytes: Option<u64>,
}

impl LocalConfig {
    /// How long a build waits for the memory budget where nothing is said.
    pub const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

    /// The configuration of this user on this machine.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for a `LIAN_LOCAL_CACHE_GB` that is not a whole number.
    pub fn from_environment(environment: &Environment, dirs: &Dirs) -> Result<Self> {
        Ok(Self {
            program_dirs: environment.program_dirs(),
            cache_dir: dirs.cache.clone(),
            runtime_dir: runtime_dir(environment),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            cache_cap_bytes: cache_cap_bytes(environment)?,
            queue_timeout: Self::DEFAULT_QUEUE_TIMEOUT,
            memory_budget_bytes: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs() -> Dirs {
        Dirs { state: "/s".into(), cache: "/c".into(), config: "/k".into(), system_config: "/e".into() }
    }

    #[test]
    fn buildkit_dir_comes_before_path_and_relative_entries_do_not_count() {
        let environment = Environment::from_pairs([("LIAN_BUILDKIT_DIR", "/opt/bk"), ("PATH", "/bin:.:/usr/bin")]);
        let config = LocalConfig::from_environment(&environment, &dirs()).unwrap();
        let expected: Vec<PathBuf> =
            ["/opt/bk", "/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from).into();
        assert_eq!(config.program_dirs, expected);
    }
}
