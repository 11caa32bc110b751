//! [`LeaseDir`]: what one lease keeps on this machine: keys, and our end of the SSH connection.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::key_pair;
use super::remove_tree::remove_tree;
use super::runtime_dir::{check_runtime_dir, make_private};
use crate::error::{Context as _, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lock_file::LockFile;
use crate::private_dir::create_private;

/// How often, and how fast, a lock of our own is tried that a sweep looks at.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What one lease keeps on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provider) struct LeaseDir {
    path: PathBuf,
}

impl LeaseDir {
    /// Where it is: below a directory of the provider's, which has no name of a lease, so that `local` does not take it for
    /// one of its own.
    pub(in crate::provider) fn new(runtime_dir: &Path, provider: &str, lease: &LeaseId) -> Self {
        Self { path: runtime_dir.join(provider).join(lease.as_str()) }
    }

    /// Makes it. Its name is found by a sweep together with the backend's, for another backend knows nothing of the lease.
    pub(in crate::provider) fn create(&self, backend: &str) -> Result<()> {
        make_private(&self.path)?;
        self.write("backend", backend)
    }

    /// It stands from before the backend is asked until what was asked for is verified gone.
    pub(in crate::provider) fn path(&self) -> &Path {
        &self.path
    }

    /// Held by the process that leases: beside the directory, and there before it.
    pub(in crate::provider) fn lock(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// Takes the lock, which a sweep may look at for a moment; `None` when another process has it.
    pub(in crate::provider) async fn take_lock(&self) -> Result<Option<LockFile>> {
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

    pub(in crate::provider) fn client_key(&self) -> PathBuf {
        self.path.join("client_key")
    }

    fn host_key(&self) -> PathBuf {
        self.path.join("host_key")
    }

    /// Our end of the SSH connection.
    pub(in crate::provider) fn session(&self) -> PathBuf {
        self.path.join("ssh")
    }

    /// Makes both key pairs, unless they are there.
    pub(in crate::provider) async fn make_keys(&self) -> Result<()> {
        self.make_client_key().await?;
        make(&self.host_key()).await
    }

    /// Makes the client's key pair, unless it is there: for a runner that has a host key of its own.
    pub(in crate::provider) async fn make_client_key(&self) -> Result<()> {
        make(&self.client_key()).await
    }

    /// True when this machine has what it takes to be let into the runner.
    pub(in crate::provider) fn has_keys(&self) -> bool {
        self.client_key().exists() && self.host_key().with_extension("pub").exists()
    }

    pub(in crate::provider) async fn client_public(&self) -> Result<String> {
        key_pair::read_public(&self.client_key()).await
    }

    pub(in crate::provider) async fn host_public(&self) -> Result<String> {
        key_pair::read_public(&self.host_key()).await
    }

    /// The host's private key, for the container.
    pub(in crate::provider) async fn host_private(&self) -> Result<Vec<u8>> {
        let file = self.host_key();
        tokio::fs::read(&file).await.context(ErrorKind::State, || format!("cannot read `{}`", file.display()))
    }

    /// The host's private key has no business here once the container has it.
    pub(in crate::provider) fn forget_host_private(&self) {
        let _ = std::fs::remove_file(self.host_key());
    }

    /// Says, for whoever cleans up, that a request may be under way whose answer nobody got.
    pub(in crate::provider) fn set_creating(&self, creating: bool) -> Result<()> {
        if creating {
            return self.write("creating", "");
        }
        let _ = std::fs::remove_file(self.path.join("creating"));
        Ok(())
    }

    /// How long ago the request went out whose answer nobody got; `None` when there is none.
    pub(in crate::provider) fn creating_for(&self) -> Option<Duration> {
        let asked = self.path.join("creating").metadata().ok()?.modified().ok()?;
        // By a clock that went back it was just now.
        Some(asked.elapsed().unwrap_or_default())
    }

    /// The backend that the lease is of; `None` when there is no directory that says so.
    pub(in crate::provider) fn backend(&self) -> Option<String> {
        std::fs::read_to_string(self.path.join("backend")).ok()
    }

    /// Keeps an id under which the backend may have the runner, for whoever cleans up. It proves nothing: the id may be
    /// somebody else's.
    pub(in crate::provider) fn add_remote_id(&self, id: &str) -> Result<()> {
        let mut ids = self.remote_ids();
        ids.push(id.to_owned());
        self.write("remote-ids", &ids.join("\n"))
    }

    /// The ids under which the backend may have the runner.
    pub(in crate::provider) fn remote_ids(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path.join("remote-ids")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.path.join(name);
        std::fs::write(&file, text).context(ErrorKind::State, || format!("cannot write `{}`", file.display()))
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// [`ErrorKind::ReleaseUnconfirmed`] naming what is left.
    pub(in crate::provider) async fn remove(&self) -> Result<()> {
        remove_tree(&self.path, None).await
    }
}

async fn make(key: &Path) -> Result<()> {
    if key.exists() { Ok(()) } else { key_pair::generate(Path::new("ssh-keygen"), key).await }
}

/// The leases of this backend, or of none, that have a directory here and no living process that leases them. Locks of no
/// lease any more are removed.
pub(in crate::provider) fn unheld(
    runtime_dir: &Path,
    provider: &str,
    backend: &str,
) -> Result<Vec<(LeaseId, LockFile)>> {
    let mut found = Vec::new();
    if !check_runtime_dir(runtime_dir)? {
        return Ok(found);
    }
    let entries = std::fs::read_dir(runtime_dir.join(provider)).into_iter().flatten().flatten();
    let leases: BTreeSet<LeaseId> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            name.strip_suffix(".lock").unwrap_or(name).parse().ok()
        })
        .collect();
    for lease in leases {
        let dir = LeaseDir::new(runtime_dir, provider, &lease);
        // Without a backend's name nothing was asked of any, or all is gone but the directory.
        if dir.backend().is_some_and(|its| !its.is_empty() && its != backend) {
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
pub(in crate::provider) fn remove_parent(runtime_dir: &Path, provider: &str) {
    if matches!(check_runtime_dir(runtime_dir), Ok(true)) {
        let _ = std::fs::remove_dir(runtime_dir.join(provider));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_no_process_holds_of_this_backend_is_for_a_sweep() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let run = base.path().join("r");
        let leases: [LeaseId; 3] = std::array::from_fn(|_| LeaseId::new());
        let [held, free, elsewhere] = leases.each_ref().map(|lease| LeaseDir::new(&run, "p", lease));
        let lock = held.take_lock().await.unwrap();
        assert!(lock.is_some() && held.take_lock().await.unwrap().is_none());
        held.create("here").unwrap();
        free.create("here").unwrap();
        elsewhere.create("there").unwrap();
        let found: Vec<LeaseId> = unheld(&run, "p", "here").unwrap().into_iter().map(|(lease, _)| lease).collect();
        assert_eq!(found, [leases[1].clone()]);
        // A process that was killed before it wrote the backend's name, or after it removed all but its lock.
        let lone = LeaseDir::new(&run, "p", &LeaseId::new());
        drop(lone.take_lock().await.unwrap());
        std::fs::remove_file(free.path.join("backend")).unwrap();
        let found: Vec<LeaseId> = unheld(&run, "p", "here").unwrap().into_iter().map(|(lease, _)| lease).collect();
        assert_eq!(found, [leases[1].clone()]);
        assert!(!lone.lock().exists() && held.lock().exists());
    }

    #[tokio::test]
    async fn it_goes_whole_and_the_parent_with_the_last() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let run = base.path().join("r");
        let dir = LeaseDir::new(&run, "p", &LeaseId::new());
        dir.create("here").unwrap();
        dir.set_creating(true).unwrap();
        assert!(dir.creating_for().is_some());
        remove_parent(&run, "p");
        assert!(dir.creating_for().is_some(), "it is not empty");
        dir.remove().await.unwrap();
        dir.remove().await.unwrap();
        remove_parent(&run, "p");
        assert!(!run.join("p").exists());
    }
}
