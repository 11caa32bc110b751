//! [`RemoteOutput`]: what a short remote command said, bounded.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::{Context as _, Error, ErrorKind, Result};

/// The most a remote command may say on standard output before it is given up, in bytes: whatever the runner says is
/// foreign input. Streams of any length go through [`super::RemoteChild`].
pub const MAX_STDOUT: usize = 16 << 20;

/// The most that is kept of standard error, in bytes.
pub const MAX_STDERR: usize = 1 << 20;

/// What a finished remote command said.
#[derive(Debug)]
pub struct RemoteOutput {
    /// The remote exit code. 255 is `ssh`'s own word for a broken connection and never gets here.
    pub code: i32,
    /// Everything on standard output.
    pub stdout: Vec<u8>,
    /// Everything on standard error.
    pub stderr: Vec<u8>,
}

impl RemoteOutput {
    /// True for exit code 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text, trimmed; not yet safe to show.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Standard error as text, trimmed and safe to show.
    pub fn stderr_text(&self) -> String {
        crate::sanitise::lines(String::from_utf8_lossy(&self.stderr).trim())
    }

    /// The output when the command succeeded.
    ///
    /// # Errors
    /// [`ErrorKind::Runner`] with `what` and the remote's standard error otherwise.
    pub fn ok(self, what: &str) -> Result<Self> {
        if self.success() {
            return Ok(self);
        }
        let said = self.stderr_text();
        Err(Error::new(ErrorKind::Runner, format!("{what} failed on the runner with exit code {}: {said}", self.code)))
    }
}

/// Reads to the end, or fails once more than `limit` bytes came.
pub(super) async fn read_bounded(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(stream) = stream else { return Ok(bytes) };
    let mut limited = stream.take(limit as u64 + 1);
    limited.read_to_end(&mut bytes).await.context(ErrorKind::Runner, || "cannot read from the runner".to_owned())?;
    if bytes.len() > limit {
        return Err(Error::new(ErrorKind::Runner, format!("the runner said more than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_than_the_limit_is_an_error() {
        assert_eq!(read_bounded(Some(&b"12345"[..]), 5).await.unwrap(), b"12345");
        assert!(read_bounded(Some(&b"123456"[..]), 5).await.is_err());
    }
}
