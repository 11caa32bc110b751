//! [`LocalMachine`]: private directories for the `'local` provider of one test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use lian_build::clock::SystemClock;
use lian_build::custody::{Timing, sweep};
use lian_build::error::Result;
use lian_build::ids::LeaseId;
use lian_build::lease::{Journal, LeaseRequest, OwnerId};
use lian_build::plan::Tier;
use lian_build::provider::Released;
use lian_build::provider::local::{LocalConfig, LocalProvider};
use tempfile::TempDir;

use super::{Leftovers, request};

/// A variable that `ci/setup` prints; the tests with real parts cannot run without.
pub(crate) fn variable(name: &str) -> String {
    let environment = super::environment();
    let value = environment.text(name);
    value
        .unwrap_or_else(|| panic!("`{name}` is not set: run the tests through ci/test, or eval what ci/setup prints"))
        .to_owned()
}

/// A small tier for tests.
pub(crate) fn tier(memory_gb: f64) -> Tier {
    Tier { name: "test".to_owned(), cpu: 1, memory_gb, disk_gb: 1 }
}

/// Private directories for the `'local` provider of one test, removed at its end.
pub(crate) struct LocalMachine {
    /// Short: sockets are below it.
    dir: PathBuf,
    /// Removes it at the end, unless it is another process's.
    _own: Option<TempDir>,
    /// May be changed before a provider is made.
    pub(crate) config: LocalConfig,
}

impl LocalMachine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let mut machine = Self::at(dir.path());
        machine._own = Some(dir);
        machine
    }

    /// The directories of another process's test machine.
    pub(crate) fn at(dir: &Path) -> Self {
        let mut program_dirs = vec![PathBuf::from(variable("LIAN_TEST_BUILDKIT_DIR"))];
        program_dirs.extend(["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from));
        let config = LocalConfig {
            program_dirs,
            // An odd name: nothing below may be read by a shell.
            cache_dir: dir.join("c ac'he $x"),
            runtime_dir: dir.join("run"),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            cache_cap_bytes: 0,
            queue_timeout: Duration::from_secs(60),
            memory_budget_bytes: None,
        };
        Self { dir: dir.to_owned(), _own: None, config }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn provider(&self) -> LocalProvider {
        LocalProvider::new(self.config.clone())
    }

    /// Sweeps as a build does at its start, and yields what was removed.
    ///
    /// # Errors
    /// The first thing that could not be removed.
    pub(crate) async fn sweep(&self) -> Result<Vec<LeaseId>> {
        let (provider, journal) = (self.provider(), Journal::new(&self.dir.join("state")));
        let owner = OwnerId::derive("another project");
        let swept = sweep(&provider, &journal, &owner, &SystemClock, Timing::default(), false).await?;
        let mut removed = Vec::new();
        swept.tidied?;
        for runner in swept.runners {
            if let Some(ended) = runner.removed
                && ended? == Released::Destroyed
            {
                removed.extend(runner.lease_id);
            }
        }
        Ok(removed)
    }

    pub(crate) fn request(&self, memory_gb: f64) -> LeaseRequest {
        request("test", memory_gb, Timestamp::now())
    }

    /// Looks for whatever this lease may have left.
    pub(crate) fn leftovers(&self, lease: &LeaseId) -> Leftovers {
        let dirs = [self.config.runtime_dir.clone(), self.config.cache_dir.join("leases")];
        Leftovers::of(lease.as_str(), dirs)
    }
}
