//! [`LockFile`]: a file lock that says "my holder lives", and goes with it.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Context as _, ErrorKind, Result};

const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// A locked file. The kernel unlocks it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Locks the file, made if missing; `None` when a living process holds it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>> {
        Self::try_open(path).context(ErrorKind::State, || format!("cannot lock `{}`", path.display()))
    }

    /// As [`LockFile::try_take`], with the bare error.
    pub(crate) fn try_open(path: &Path) -> std::io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // A sweep may have removed the file between opening and locking it: then nobody else sees this lock.
            if file.metadata()?.nlink() > 0 {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// As [`LockFile::try_take`], tried again for `limit`: who only looks whether the lock is held, or sweeps, has it
    /// for a moment too.
    pub(crate) async fn take_within(path: &Path, limit: Duration) -> Result<Option<Self>> {
        let end = Instant::now() + limit;
        loop {
            match Self::try_take(path)? {
                None if Instant::now() < end => tokio::time::sleep(RETRY_PAUSE).await,
                taken => return Ok(taken),
            }
        }
    }

    /// True when a living process holds the lock. Makes nothing.
    pub(crate) fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Removes the file, then unlocks it.
    pub(crate) fn remove(self) {
        // Gone already is as good; an unlocked file that stays is a sweep's to remove.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Never through a link.
fn open(path: &Path) -> std::io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        assert!(!LockFile::is_held(&path));
        let lock = LockFile::try_take(&path).unwrap().unwrap();
        assert!(LockFile::is_held(&path));
        assert!(LockFile::try_take(&path).unwrap().is_none());
        drop(lock);
        assert!(!LockFile::is_held(&path));
        LockFile::try_take(&path).unwrap().unwrap().remove();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn who_only_looks_does_not_keep_the_lock_from_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let looking = LockFile::try_take(&path).unwrap();
        let long = Duration::from_secs(20);
        // Polled in this order: the first attempt fails.
        let (taken, ()) = tokio::join!(LockFile::take_within(&path, long), async { drop(looking) });
        let taken = taken.unwrap();
        assert!(taken.is_some());
        assert!(LockFile::take_within(&path, Duration::ZERO).await.unwrap().is_none());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(LockFile::try_take(&link).is_err());
        assert!(!target.exists());
    }
}
