//! [`BuildkitRoot`]: where BuildKit keeps its snapshots: a cache that outlives the lease, or a directory that goes with
//! it.

use std::path::PathBuf;

use super::LocalConfig;
use super::lease_dirs::{LeaseDirs, make_private};
use super::lock_file::LockFile;
use crate::error::Result;
use crate::ids::{ActorId, Workspace};

/// BuildKit's root directory for one lease.
#[derive(Debug)]
pub(super) struct BuildkitRoot {
    pub(super) path: PathBuf,
    /// Held while a kept cache is in use; `None` for a private directory.
    lock: Option<LockFile>,
    /// Why it is private although a cache was wanted.
    pub(super) note: Option<String>,
}

impl BuildkitRoot {
    /// Takes the kept cache of this workspace and actor, or a private directory when another build has it or none is
    /// to be kept.
    pub(super) fn take(config: &LocalConfig, dirs: &LeaseDirs, workspace: &Workspace, actor: &ActorId) -> Result<Self> {
        let private = |note| {
            let path = dirs.private_buildkit_root();
            make_private(&path).map(|()| Self { path, lock: None, note })
        };
        if config.cache_cap_bytes == 0 {
            return private(None);
        }
        let parent = config.cache_dir.join("buildkit");
        make_private(&parent)?;
        // An actor id has no separator, so the name has one reading.
        let name = format!("{workspace}-{actor}");
        let Some(lock) = LockFile::try_take(&parent.join(format!("{name}.lock")))? else {
            return private(Some(format!(
                "another build of `{workspace}` uses its local BuildKit cache; this one starts without and keeps nothing"
            )));
        };
        let path = parent.join(name);
        make_private(&path)?;
        Ok(Self { path, lock: Some(lock), note: None })
    }

    /// True when it outlives the lease.
    pub(super) fn is_kept(&self) -> bool {
        self.lock.is_some()
    }
}
