//! [`LeaseDirs`]: where everything of one lease is. Both trees are the lease's own and go with it.

use std::path::PathBuf;

use super::LocalConfig;
use crate::error::Result;
use crate::ids::LeaseId;
use crate::provider::host::runtime_dir::make_private;

/// Where everything of one lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseDirs {
    /// Short: keys, sockets, generated configuration, the record and its lock.
    pub(super) runtime: PathBuf,
    /// Large: context, results, a private BuildKit root.
    pub(super) data: PathBuf,
}

impl LeaseDirs {
    pub(super) fn new(config: &LocalConfig, lease: &LeaseId) -> Self {
        Self { runtime: config.runtime_dir.join(lease.as_str()), data: data_parent(config).join(lease.as_str()) }
    }

    /// The locks its holder keeps while the lease lives: beside the trees, so that each is there before its tree.
    pub(super) fn locks(&self) -> [PathBuf; 2] {
        [self.runtime.with_extension("lock"), self.data.with_extension("lock")]
    }

    /// The record that a sweep reads.
    pub(super) fn record(&self) -> PathBuf {
        self.runtime.join("lease.json")
    }

    pub(super) fn sshd(&self) -> PathBuf {
        self.runtime.join("sshd")
    }

    pub(super) fn client_key(&self) -> PathBuf {
        self.runtime.join("client_key")
    }

    /// Our end of the SSH connection.
    pub(super) fn session(&self) -> PathBuf {
        self.runtime.join("ssh")
    }

    pub(super) fn bin(&self) -> PathBuf {
        self.runtime.join("bin")
    }

    /// A short name: BuildKit's socket of a forwarded agent is four levels below it.
    pub(super) fn run(&self) -> PathBuf {
        self.runtime.join("r")
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.runtime.join("secrets")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.runtime.join("home")
    }

    pub(super) fn context(&self) -> PathBuf {
        self.data.join("context")
    }

    pub(super) fn extra_contexts(&self) -> PathBuf {
        self.data.join("extra-contexts")
    }

    pub(super) fn output(&self) -> PathBuf {
        self.data.join("output")
    }

    pub(super) fn private_buildkit_root(&self) -> PathBuf {
        self.data.join("buildkit")
    }

    /// Makes both trees.
    pub(super) fn create(&self) -> Result<()> {
        for dir in [self.sshd(), self.bin(), self.run(), self.secrets(), self.home()] {
            make_private(&dir)?;
        }
        for dir in [self.context(), self.extra_contexts(), self.output()] {
            make_private(&dir)?;
        }
        Ok(())
    }
}

/// Below it, the data directories of all leases.
pub(super) fn data_parent(config: &LocalConfig) -> PathBuf {
    config.cache_dir.join("leases")
}
