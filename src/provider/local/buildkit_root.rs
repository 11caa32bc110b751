//! [`BuildkitRoot`]: where BuildKit keeps its snapshots: a cache that outlives the lease, or a directory that goes with
//! it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LocalConfig;
use super::lease_dirs::LeaseDirs;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ActorId, Workspace};
use crate::lock_file::LockFile;
use crate::provider::host::remove_tree::remove_tree;
use crate::provider::host::runtime_dir::make_private;

/// How long a sweep may hold a cache's lock that we want. Another build holds it for longer.
const LOCK_LIMIT: Duration = Duration::from_millis(100);

/// BuildKit's root directory for one lease.
#[derive(Debug)]
pub(super) struct BuildkitRoot {
    pub(super) path: PathBuf,
    /// Held while a kept cache is in use; `None` for a private directory.
    lock: Option<LockFile>,
    /// Why it is private although a cache was wanted.
    pub(super) note: Option<String>,
    /// What could not be removed of an earlier build.
    pub(super) warning: Option<String>,
}

impl BuildkitRoot {
    /// Takes the kept cache of this workspace and actor, or a private directory when another build has it or none is
    /// to be kept.
    pub(super) async fn take(
        config: &LocalConfig,
        dirs: &LeaseDirs,
        workspace: &Workspace,
        actor: &ActorId,
        rootlesskit: Option<&Path>,
    ) -> Result<Self> {
        let private = |note| {
            let path = dirs.private_buildkit_root();
            make_private(&path).map(|()| Self { path, lock: None, note, warning: None })
        };
        if config.cache_cap_bytes == 0 {
            return private(None);
        }
        let parent = config.cache_dir.join("buildkit");
        make_private(&parent)?;
        // An actor id has no separator, so the name has one reading.
        let name = format!("{workspace}-{actor}");
        let Some(lock) = LockFile::take_within(&parent.join(format!("{name}.lock")), LOCK_LIMIT).await? else {
            return private(Some(format!(
                "another build of `{workspace}` uses its local BuildKit cache; this one starts without and keeps nothing"
            )));
        };
        let path = parent.join(name);
        make_private(&path)?;
        let cleaned = clean(&path, rootlesskit).await;
        let warning = cleaned.err().map(|error| {
            format!("an earlier build of `{workspace}` left files that may hold its secrets: {}", error.message())
        });
        Ok(Self { path, lock: Some(lock), note: None, warning })
    }

    /// True when it outlives the lease.
    pub(super) fn is_kept(&self) -> bool {
        self.lock.is_some()
    }
}

/// Removes what a killed `buildkitd` left of its running steps in a kept cache: their configuration holds the secrets
/// that were given as variables. Nobody may be using the cache.
///
/// # Errors
/// [`ErrorKind::ReleaseUnconfirmed`] naming what is left.
pub(super) async fn clean(root: &Path, rootlesskit: Option<&Path>) -> Result<()> {
    let mut left = Vec::new();
    let workers = std::fs::read_dir(root).into_iter().flatten().flatten();
    for step in workers.flat_map(|worker| std::fs::read_dir(worker.path().join("executor")).into_iter().flatten()) {
        let Ok(step) = step else { continue };
        if step.file_type().is_ok_and(|kind| kind.is_dir())
            && let Err(error) = remove_tree(&step.path(), rootlesskit).await
        {
            left.push(error.message());
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::ReleaseUnconfirmed, left.join(", "))) }
}

/// As [`clean`], for every kept cache that no build uses.
pub(super) async fn clean_unused(config: &LocalConfig, rootlesskit: Option<&Path>) -> Result<()> {
    let entries = std::fs::read_dir(config.cache_dir.join("buildkit")).into_iter().flatten().flatten();
    for root in entries.map(|entry| entry.path()).filter(|path| path.extension().is_none()) {
        if let Some(_unused) = LockFile::try_take(&root.with_extension("lock"))? {
            clean(&root, rootlesskit).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_of_steps_goes_and_the_cache_stays() {
        let root = tempfile::tempdir().unwrap();
        let executor = root.path().join("runc-overlayfs/executor");
        std::fs::create_dir_all(executor.join("step")).unwrap();
        std::fs::write(executor.join("step/config.json"), "s3cret").unwrap();
        std::fs::write(executor.join("resolv.conf"), "").unwrap();
        std::fs::create_dir_all(root.path().join("runc-overlayfs/snapshots")).unwrap();
        clean(root.path(), None).await.unwrap();
        assert!(!executor.join("step").exists());
        assert!(executor.join("resolv.conf").exists() && root.path().join("runc-overlayfs/snapshots").exists());
    }

    #[tokio::test]
    async fn what_cannot_be_removed_of_a_step_is_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("runc-overlayfs")).unwrap();
        // Directories that nobody can remove.
        std::os::unix::fs::symlink("/proc/self/task", root.path().join("runc-overlayfs/executor")).unwrap();
        let error = clean(root.path(), None).await.unwrap_err();
        assert!(error.to_string().contains("runc-overlayfs/executor/"), "{error}");
    }
}
