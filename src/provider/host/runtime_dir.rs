//! The runtime directory: private, with a short name, and shared by all builds of this user on this machine.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::is_root;
use crate::env_vars::{self, Environment};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::private_dir::{MAKE_ATTEMPTS, create_private};

/// The longest runtime directory whose sockets fit: the longest of them is BuildKit's for a forwarded agent,
/// `/<lease>/r/t/.buildkit-ssh-sock<10 digits>/ssh_auth_sock`, and Linux allows 107 bytes.
pub(in crate::provider) const MAX_RUNTIME_DIR: usize = 24;

/// Root shares one directory machine-wide (`/tmp` serves where `/run` cannot be written to, in a container say). Others
/// have their own; never below the home directory, whose path may be too long for a socket.
pub(in crate::provider) fn runtime_dir(environment: &Environment) -> PathBuf {
    if is_root() && rustix::fs::access("/run", rustix::fs::Access::WRITE_OK).is_ok() {
        return PathBuf::from("/run/lian-build");
    }
    environment
        .path(env_vars::XDG_RUNTIME_DIR)
        .filter(|path| path.is_absolute() && path.is_dir())
        .map(|path| path.join("lian"))
        .filter(|path| path.as_os_str().len() <= MAX_RUNTIME_DIR)
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/lian-{}", rustix::process::getuid().as_raw())))
}

/// Makes a directory, with its parents, that only this user may enter.
pub(in crate::provider) fn make_private(dir: &Path) -> Result<()> {
    create_private(dir).context(ErrorKind::State, || format!("cannot make the directory `{}`", dir.display()))
}

/// Makes the runtime directory and checks that it can hold leases.
pub(in crate::provider) fn prepare_runtime_dir(dir: &Path) -> Result<()> {
    let unusable = |why: String| unusable(dir, &why);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    if !dir.as_os_str().as_encoded_bytes().iter().copied().all(plain) {
        return Err(unusable("its name has characters that sshd's configuration cannot hold".to_owned()));
    }
    if dir.as_os_str().len() > MAX_RUNTIME_DIR {
        return Err(unusable(format!("its name is longer than {MAX_RUNTIME_DIR} bytes, and sockets go below it")));
    }
    // The last lease of another build may take the empty directory away in between.
    for _ in 0..MAKE_ATTEMPTS {
        make_private(dir)?;
        if check_runtime_dir(dir)? {
            return Ok(());
        }
    }
    Err(unusable("it vanishes again and again".to_owned()))
}

/// Whether the runtime directory is there, and ours alone: its place may be writable for others (`/tmp`), and what
/// stands in it decides what a sweep removes and kills. Nothing in it may be read before.
///
/// # Errors
/// [`ErrorKind::State`] when it is anything but a directory of this user's that nobody else may enter.
pub(in crate::provider) fn check_runtime_dir(dir: &Path) -> Result<bool> {
    let metadata = match dir.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        metadata => {
            metadata.context(ErrorKind::State, || format!("cannot look at the directory `{}`", dir.display()))?
        }
    };
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(unusable(dir, "it belongs to somebody else"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(unusable(dir, "others may enter it"));
    }
    Ok(true)
}

fn unusable(dir: &Path, why: &str) -> Error {
    Error::new(ErrorKind::State, format!("`{}` cannot hold local leases: {why}", dir.display()))
        .hint("set XDG_RUNTIME_DIR to a private directory with a short name")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let dir = base.path().join("r");
        prepare_runtime_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(prepare_runtime_dir(&dir).unwrap_err().kind(), ErrorKind::State);
    }

    #[test]
    fn only_a_directory_of_our_own_is_trusted() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let dir = base.path().join("r");
        assert!(!check_runtime_dir(&dir).unwrap());
        std::fs::write(&dir, "").unwrap();
        assert_eq!(check_runtime_dir(&dir).unwrap_err().kind(), ErrorKind::State);
        std::fs::remove_file(&dir).unwrap();
        make_private(&dir).unwrap();
        assert!(check_runtime_dir(&dir).unwrap());
        // Only root can give a directory away; for others somebody else's is at hand.
        if std::os::unix::fs::chown(&dir, Some(65_534), None).is_ok() {
            assert!(check_runtime_dir(&dir).unwrap_err().to_string().contains("somebody else"));
        } else {
            assert!(check_runtime_dir(Path::new("/")).unwrap_err().to_string().contains("somebody else"));
        }
    }

    #[test]
    fn a_link_is_refused() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let (target, link) = (base.path().join("t"), base.path().join("l"));
        make_private(&target).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(prepare_runtime_dir(&link).is_err());
    }
}
