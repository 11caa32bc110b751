//! [`RemoteChild`]: a running remote command with its three streams.

use std::process::ExitStatus;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::ConnectionLost;
use crate::error::{Context as _, ErrorKind, Result};

/// A running remote command. Dropping it ends the local `ssh`, which closes the remote's standard input and output; the
/// remote process ends then only if it reads or writes.
#[derive(Debug)]
pub struct RemoteChild {
    child: Child,
}

impl RemoteChild {
    pub(super) fn new(child: Child) -> Self {
        Self { child }
    }

    /// The remote's standard input; `None` once taken. What is not taken is closed by [`RemoteChild::wait`].
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The remote's standard output; `None` once taken.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The remote's standard error; `None` once taken.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for the end and yields the remote exit code.
    ///
    /// # Errors
    /// [`ConnectionLost`] when that happened.
    pub async fn wait(&mut self) -> Result<i32> {
        let status = self.child.wait().await.context(ErrorKind::Runner, || "cannot wait for `ssh`".to_owned())?;
        remote_code(status, "")
    }

    /// Ends the local `ssh` at once.
    pub fn kill(&mut self) {
        // It may have ended by itself in this moment: that is what is wanted.
        let _ = self.child.start_kill();
    }
}

/// The remote exit code. 255 is what `ssh` says for itself; an `ssh` that a signal ended says nothing of the remote command.
pub(super) fn remote_code(status: ExitStatus, said: &str) -> Result<i32> {
    match status.code() {
        Some(code) if code != 255 => Ok(code),
        _ => Err(ConnectionLost::error("the SSH connection to the runner was lost", said)),
    }
}
