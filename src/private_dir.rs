//! Directories that only this user may enter.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// How often a directory is made that another build may remove while it is empty.
pub(crate) const MAKE_ATTEMPTS: u32 = 10;

/// Makes a directory with its parents, private to this user. One that is there is fine.
pub(crate) fn create_private(dir: &Path) -> std::io::Result<()> {
    let mut attempts = 0;
    loop {
        match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
            // The standard library finds the directory there, looks whether it is one, and another build's last lease
            // has taken it away in between.
            Err(error)
                if error.kind() == std::io::ErrorKind::AlreadyExists
                    && attempts < MAKE_ATTEMPTS
                    && dir.symlink_metadata().map_or(true, |metadata| metadata.is_dir()) =>
            {
                attempts += 1;
            }
            made => return made,
        }
    }
}
