//! [`DockerLocalConfig`]: which Docker daemon, which image, and how much of the machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env_vars::{self, Environment};
use crate::error::Result;
use crate::provider::host::cache_cap::cache_cap_bytes;
use crate::provider::host::runtime_dir::runtime_dir;
use crate::provider::local::LocalConfig;
use crate::runner_image;

/// Where Docker listens when nothing is said.
pub(super) const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Where kept caches are locked, and how large each may become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheConfig {
    /// The user's cache directory.
    pub dir: PathBuf,
    /// The cap of each, in bytes.
    pub cap_bytes: u64,
}

/// Which Docker daemon, which image, and how much of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerLocalConfig {
    /// The daemon, as `DOCKER_HOST` writes it.
    pub host: String,
    /// The runner image.
    pub image: String,
    /// Where programs are looked for.
    pub program_dirs: Vec<PathBuf>,
    /// Private and short: keys and sockets of leases, the memory budget. Shared by all builds of this user on this machine.
    pub runtime_dir: PathBuf,
    /// Where the cgroup hierarchies of this machine are mounted.
    pub cgroup_root: PathBuf,
    /// How long a build may wait for the machine's memory budget.
    pub queue_timeout: Duration,
    /// The memory all builds of the machine share, in bytes; `None` for the machine's less a reserve.
    pub memory_budget_bytes: Option<u64>,
    /// The BuildKit caches that are kept at the daemon; `None` keeps none.
    pub cache: Option<CacheConfig>,
}

impl DockerLocalConfig {
    /// The configuration of this user on this machine, which keeps no cache.
    pub fn from_environment(environment: &Environment) -> Self {
        let text = |name: &str, default: &str| environment.text(name).unwrap_or(default).to_owned();
        Self {
            host: text(env_vars::DOCKER_HOST, DEFAULT_HOST),
            image: text(env_vars::BUILDKIT_RUNNER_IMAGE, &runner_image::name()),
            program_dirs: environment.program_dirs(),
            runtime_dir: runtime_dir(environment),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            queue_timeout: LocalConfig::DEFAULT_QUEUE_TIMEOUT,
            memory_budget_bytes: None,
            cache: None,
        }
    }

    /// The same with caches that are kept, below this cache directory, as the user wants.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for a `LIAN_LOCAL_CACHE_GB` that is not a whole number.
    pub fn with_cache(self, environment: &Environment, dir: &Path) -> Result<Self> {
        let cap_bytes = cache_cap_bytes(environment)?;
        let cache = (cap_bytes > 0).then(|| CacheConfig { dir: dir.to_owned(), cap_bytes });
        Ok(Self { cache, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_and_the_daemon_can_be_chosen() {
        let default = DockerLocalConfig::from_environment(&Environment::default());
        assert_eq!(default.host, "unix:///var/run/docker.sock");
        assert_eq!(default.image, format!("lian-build-runner:{}", env!("CARGO_PKG_VERSION")));
        let said = Environment::from_pairs([("DOCKER_HOST", "unix:///x"), ("BUILDKIT_RUNNER_IMAGE", "mine:1")]);
        let said = DockerLocalConfig::from_environment(&said);
        assert_eq!((said.host.as_str(), said.image.as_str()), ("unix:///x", "mine:1"));
    }
}
