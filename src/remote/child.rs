//! [`RemoteChild`]: a running remote command with its three streams.

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::process::exit_code;

/// A running remote command. Dropping it ends the local `ssh`, which closes the remote's standard input and output;
/// a remote process that must end then is started with [`super::Session::spawn_tied`].
#[derive(Debug)]
pub struct RemoteChild {
    child: Child,
    /// Of a tied command: open until this is dropped. `wait` would close what is still in the child.
    tie: Option<ChildStdin>,
}

impl RemoteChild {
    pub(super) fn new(child: Child) -> Self {
        Self { child, tie: None }
    }

    pub(super) fn tied(mut child: Child) -> Self {
        let tie = child.stdin.take();
        Self { child, tie }
    }

    /// The remote's standard input; `None` once taken, and for a tied command.
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
    /// [`ErrorKind::Runner`] when the connection was lost.
    pub async fn wait(&mut self) -> Result<i32> {
        let status = self.child.wait().await.context(ErrorKind::Runner, || "cannot wait for `ssh`".to_owned())?;
        connection_code(exit_code(status))
    }

    /// Lets a tied command end by SIGTERM; [`RemoteChild::wait`] then says how it did.
    pub fn untie(&mut self) {
        self.tie = None;
    }

    /// Ends the local `ssh` at once.
    pub fn kill(&mut self) {
        // It may have ended by itself in this moment: that is what is wanted.
        let _ = self.child.start_kill();
    }
}

/// 255 is what `ssh` says for itself.
pub(super) fn connection_code(code: i32) -> Result<i32> {
    if code == 255 { Err(Error::new(ErrorKind::Runner, "the SSH connection to the runner was lost")) } else { Ok(code) }
}
