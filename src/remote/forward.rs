//! Forwarding a socket of the caller's machine to the runner, over the connection that stands.

use std::path::Path;
use std::time::Duration;

use super::{ConnectionLost, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// How long the runner may take to say that it listens.
const LIMIT: Duration = Duration::from_secs(30);

impl Session {
    /// Makes the runner listen at `path`, and passes what connects there on to `socket` of this machine. It ends with this
    /// connection. What stands at `path` must be removed before: a lost connection may have left its socket there.
    ///
    /// # Errors
    /// [`ConnectionLost`] when that happened; [`ErrorKind::Provider`] when the runner's `sshd` does not allow it;
    /// [`ErrorKind::State`] when a path cannot be used.
    pub async fn forward(&self, path: &str, socket: &Path) -> Result<()> {
        // `ssh` has a syntax of its own for paths. The caller's may hold anything, so it stands behind a link.
        let name = Path::new(path).file_name().unwrap_or_default();
        let link = self.directory().join(name);
        tokio::fs::symlink(socket, &link)
            .await
            .context(ErrorKind::State, || format!("cannot make `{}`", link.display()))?;
        let spec = format!("{}:{}", plain(Path::new(path))?, plain(&link)?);
        let output = self.control("forward").args(["-R", &spec, &self.shell().host_alias]).output_within(LIMIT).await?;
        if output.success() {
            return Ok(());
        }
        let said = output.stderr_text();
        if !self.control("check").arg(&self.shell().host_alias).output_within(LIMIT).await?.success() {
            return Err(ConnectionLost::error("the connection to the runner was lost", &said));
        }
        Err(Error::new(ErrorKind::Provider, format!("the runner does not forward a socket: {said}"))
            .hint("its `sshd` needs `AllowStreamLocalForwarding` and `AllowTcpForwarding`, each `yes` or `remote`"))
    }
}

/// A path without any character that means something in `ssh`'s syntax of forwards.
fn plain(path: &Path) -> Result<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'+' | b'@');
    path.to_str().filter(|text| text.starts_with('/') && text.bytes().all(is_plain)).ok_or_else(|| {
        Error::new(ErrorKind::State, format!("`ssh` cannot forward to the path `{}`", path.display()))
            .hint("set XDG_RUNTIME_DIR to a directory with a plain name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_brings_no_syntax() {
        assert_eq!(
            plain(Path::new("/run/lian-build/lb-1/ssh/1/agent-0")).unwrap(),
            "/run/lian-build/lb-1/ssh/1/agent-0"
        );
        for bad in ["relative", "", "/a:b", "/a b", "/a%h", "/${HOME}", "/a\\b", "/[a]", "/a\nb"] {
            assert!(plain(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
