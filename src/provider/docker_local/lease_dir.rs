//! [`LeaseDir`]: what one lease keeps on this machine: keys, and our end of the SSH connection.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context as _, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lock_file::LockFile;
use crate::private_dir::create_private;
use crate::provider::host::key_pair;
use crate::provider::host::remove_tree::remove_tree;
use crate::provider::host::runtime_dir::{check_runtime_dir, make_private};

/// Where it is in the runtime directory. No name of a lease, so that `local` does not take it for one of its own.
const DIR: &str = "docker";

/// How often, and how fast, a lock of our own is tried that a sweep looks at.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What one lease keeps on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseDir {
    path: PathBuf,
}

impl LeaseDir {
    pub(super) fn new(runtime_dir: &Path, lease: &LeaseId) -> Self {
        Self { path: runtime_dir.join(DIR).join(lease.as_str()) }
    }

    /// Makes it. Its name is found by a sweep together with the daemon's, for another daemon knows nothing of the lease.
    pub(super) fn create(&self, daemon_id: &str) -> Result<()> {
        make_private(&self.path)?;
        self.write("daemon", daemon_id)
    }

    /// Held by the process that leases: beside the directory, and there before it.
    pub(super) fn lock(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// Takes the lock, which a sweep may look at for a moment; `None` when another process has it.
    pub(super) async fn take_lock(&self) -> Result<Option<LockFile>> {
        let path = self.lock();
        let mut attempts = 0;
        loop {
            let parent = path.parent().unwrap_or(&path);
            match create_private(parent).and_then(|()| LockFile::try_open(&path)) {
                Ok(Some(lock)) => return Ok(Some(lock)),
                Ok(None) if attempts < LOCK_ATTEMPTS => tokio::time::sleep(LOCK_PAUSE).await,
                Ok(None) => return Ok(None),
                // The last lease of another build took the empty directory away in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && attempts < LOCK_ATTEMPTS => {}
                Err(error) => {
                    return Err(error).context(ErrorKind::State, || format!("cannot lock `{}`", path.display()));
                }
            }
            attempts += 1;
        }
    }

    pub(super) fn client_key(&self) -> PathBuf {
        self.path.join("client_key")
    }

    fn host_key(&self) -> PathBuf {
        self.path.join("host_key")
    }

    /// Our end of the SSH connection.
    pub(super) fn session(&self) -> PathBuf {
        self.path.join("ssh")
    }

    /// Makes both key pairs, unless they are there.
    pub(super) async fn make_keys(&self) -> Result<()> {
        for key in [self.client_key(), self.host_key()] {
            if !key.exists() {
                key_pair::generate(Path::new("ssh-keygen"), &key).await?;
            }
        }
        Ok(())
    }

    /// True when this machine has what it takes to be let into the runner.
    pub(super) fn has_keys(&self) -> bool {
        self.client_key().exists() && self.host_key().with_extension("pub").exists()
    }

    pub(super) async fn client_public(&self) -> Result<String> {
        key_pair::read_public(&self.client_key()).await
    }

    pub(super) async fn host_public(&self) -> Result<String> {
        key_pair::read_public(&self.host_key()).await
    }

    /// The host's private key, for the container.
    pub(super) async fn host_private(&self) -> Result<Vec<u8>> {
        let file = self.host_key();
        tokio::fs::read(&file).await.context(ErrorKind::State, || format!("cannot read `{}`", file.display()))
    }

    /// The host's private key has no business here once the container has it.
    pub(super) fn forget_host_private(&self) {
        let _ = std::fs::remove_file(self.host_key());
    }

    /// Says, for whoever cleans up, that a request may be under way whose answer nobody got.
    pub(super) fn set_creating(&self, creating: bool) -> Result<()> {
        if creating {
            return self.write("creating", "");
        }
        let _ = std::fs::remove_file(self.path.join("creating"));
        Ok(())
    }

    /// How long ago the request went out whose answer nobody got; `None` when there is none.
    pub(super) fn creating_for(&self) -> Option<Duration> {
        let asked = self.path.join("creating").metadata().ok()?.modified().ok()?;
        // By a clock that went back it was just now.
        Some(asked.elapsed().unwrap_or_default())
    }

    /// The id of the daemon that the lease is of; `None` when there is no directory that says so.
    pub(super) fn daemon(&self) -> Option<String> {
        std::fs::read_to_string(self.path.join("daemon")).ok()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.path.join(name);
        std::fs::write(&file, text).context(ErrorKind::State, || format!("cannot write `{}`", file.display()))
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// [`ErrorKind::ReleaseUnconfirmed`] naming what is left.
    pub(super) async fn remove(&self) -> Result<()> {
        remove_tree(&self.path, None).await
    }
}

/// The leases of this daemon, or of none, that have a directory here and no living process that leases them. Locks of no
/// lease any more are removed.
pub(super) fn unheld(runtime_dir: &Path, daemon_id: &str) -> Result<Vec<(LeaseId, LockFile)>> {
    let mut found = Vec::new();
    if !check_runtime_dir(runtime_dir)? {
        return Ok(found);
    }
    let entries = std::fs::read_dir(runtime_dir.join(DIR)).into_iter().flatten().flatten();
    let leases: BTreeSet<LeaseId> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            name.strip_suffix(".lock").unwrap_or(name).parse().ok()
        })
        .collect();
    for lease in leases {
        let dir = LeaseDir::new(runtime_dir, &lease);
        // Without a daemon's name nothing was asked of any, or all is gone but the directory.
        if dir.daemon().is_some_and(|id| !id.is_empty() && id != daemon_id) {
            continue;
        }
        let Some(lock) = LockFile::try_take(&dir.lock())? else { continue };
        if dir.path.symlink_metadata().is_ok() {
            found.push((lease, lock));
        } else {
            // Nothing but a lock: at once, for a lease that begins just now waits for it.
            lock.remove();
        }
    }
    Ok(found)
}

/// Removes the directories' parent with the last of them.
pub(super) fn remove_parent(runtime_dir: &Path) {
    if matches!(check_runtime_dir(runtime_dir), Ok(true)) {
        let _ = std::fs::remove_dir(runtime_dir.join(DIR));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_no_process_holds_of_this_daemon_is_for_a_sweep() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let run = base.path().join("r");
        let leases: [LeaseId; 3] = std::array::from_fn(|_| LeaseId::new());
        let [held, free, elsewhere] = leases.each_ref().map(|lease| LeaseDir::new(&run, lease));
        let lock = held.take_lock().await.unwrap();
        assert!(lock.is_some() && held.take_lock().await.unwrap().is_none());
        held.create("here").unwrap();
        free.create("here").unwrap();
        elsewhere.create("there").unwrap();
        let found: Vec<LeaseId> = unheld(&run, "here").unwrap().into_iter().map(|(lease, _)| lease).collect();
        assert_eq!(found, [leases[1].clone()]);
        // A process that was killed before it wrote the daemon's name, or after it removed all but its lock.
        let lone = LeaseDir::new(&run, &LeaseId::new());
        drop(lone.take_lock().await.unwrap());
        std::fs::remove_file(free.path.join("daemon")).unwrap();
        let found: Vec<LeaseId> = unheld(&run, "here").unwrap().into_iter().map(|(lease, _)| lease).collect();
        assert_eq!(found, [leases[1].clone()]);
        assert!(!lone.lock().exists() && held.lock().exists());
    }

    #[tokio::test]
    async fn it_goes_whole_and_the_parent_with_the_last() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let run = base.path().join("r");
        let dir = LeaseDir::new(&run, &LeaseId::new());
        dir.create("here").unwrap();
        dir.set_creating(true).unwrap();
        assert!(dir.creating_for().is_some());
        remove_parent(&run);
        assert!(dir.creating_for().is_some(), "it is not empty");
        dir.remove().await.unwrap();
        dir.remove().await.unwrap();
        remove_parent(&run);
        assert!(!run.join(DIR).exists());
    }
}
