//! [`remove_tree`]: removes a directory of a lease, also where its files belong to a rootless runner's other users.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Cmd;

/// How often a tree is tried that gets new entries while it is removed: a killed process may have been about to write.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Removes a directory with all that is in it. Links are removed, never followed. One that is gone already is as good.
///
/// # Errors
/// [`ErrorKind::ReleaseUnconfirmed`] naming the directory when it is still there.
pub(in crate::provider) async fn remove_tree(dir: &Path, rootlesskit: Option<&Path>) -> Result<()> {
    let owned = dir.to_owned();
    let removed = attempt(move || std::fs::remove_dir_all(&owned)).await;
    if let (Err(_), Some(rootlesskit)) = (&removed, rootlesskit) {
        // Its files belong to subordinate users, who exist only in such a namespace.
        let _ = Cmd::new(rootlesskit, ErrorKind::ReleaseUnconfirmed)
            .plain_env()
            .args(["rm", "-rf", "--one-file-system", "--"])
            .arg(dir)
            .output()
            .await;
    }
    match (removed, dir.symlink_metadata()) {
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        (Err(why), _) => {
            Err(Error::new(ErrorKind::ReleaseUnconfirmed, format!("directory `{}` ({why})", dir.display())))
        }
        (Ok(()), _) => {
            Err(Error::new(ErrorKind::ReleaseUnconfirmed, format!("directory `{}` (it was made anew)", dir.display())))
        }
    }
}

async fn attempt(remove: impl Fn() -> io::Result<()> + Clone + Send + 'static) -> io::Result<()> {
    let mut attempts = 1;
    loop {
        let removed = tokio::task::spawn_blocking(remove.clone()).await.unwrap_or_else(|error| Err(error.into()));
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempts < ATTEMPTS => {
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
            }
            _ => return removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn entries_that_come_while_a_tree_goes_are_removed_too() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let remove = move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => Ok(()),
        };
        attempt(remove).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        let denied = attempt(|| Err(io::ErrorKind::PermissionDenied.into())).await.unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn what_stays_is_named() {
        let error = remove_tree(Path::new("/proc/self"), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
        assert!(error.to_string().contains("/proc/self"), "{error}");
        remove_tree(Path::new("/nowhere/at/all"), None).await.unwrap();
    }
}
