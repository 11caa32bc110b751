//! [`Session`]: one multiplexed SSH connection to a runner.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::output::read_bounded;
use super::{
    ConnectionLost, MAX_STDERR, MAX_STDOUT, RemoteChild, RemoteOutput, RemoteShell, child, shell_line, ssh_config,
};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::process::Cmd;

/// The longest control socket path that works everywhere: macOS allows 104 bytes with the NUL, and `ssh` adds a dot
/// and 16 characters while it binds.
const MAX_CONTROL_PATH: usize = 104 - 1 - 17;

/// How long the connection may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// What `ssh` says of a host with another key than the pinned one. No later try makes it the right one.
const OTHER_HOST: &str = "Host key verification failed";

/// One multiplexed SSH connection. [`Session::close`] ends its master; dropping it asks the master to end too, without
/// waiting, and an idle master ends by itself within a minute.
#[derive(Debug)]
pub struct Session {
    shell: RemoteShell,
    open: bool,
}

impl Session {
    /// Connects with the lease's key and accepts its pinned host key only. `dir` is a private directory of the caller
    /// with a short path, made if missing; the configuration and the control socket go there.
    ///
    /// # Errors
    /// [`ConnectionLost`] when the runner does not answer; [`ErrorKind::Runner`] without that mark when it is another host;
    /// [`ErrorKind::State`] when `dir` is not usable.
    pub async fn connect(endpoint: &Endpoint, dir: &Path) -> Result<Self> {
        let session = Self {
            shell: RemoteShell {
                ssh_program: PathBuf::from("ssh"),
                config_file: dir.join("ssh_config"),
                control_socket: dir.join("ctl"),
                host_alias: endpoint.lease_id.to_string(),
            },
            open: false,
        };
        let length = session.shell.control_socket.as_os_str().len();
        if length > MAX_CONTROL_PATH {
            return Err(Error::new(
                ErrorKind::State,
                format!("`{}` is {length} bytes long, a socket's path may have {MAX_CONTROL_PATH}", dir.display()),
            ));
        }
        session.write_files(endpoint, dir).await?;
        session.start_master().await
    }

    async fn write_files(&self, endpoint: &Endpoint, dir: &Path) -> Result<()> {
        let place = || format!("cannot write the SSH configuration in `{}`", dir.display());
        let known_hosts = dir.join("known_hosts");
        let config = ssh_config::render(endpoint, &known_hosts, &self.shell.control_socket)?;
        let pinned = ssh_config::known_hosts(endpoint)?;
        tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).await.context(ErrorKind::State, place)?;
        tokio::fs::write(&known_hosts, pinned).await.context(ErrorKind::State, place)?;
        tokio::fs::write(&self.shell.config_file, config).await.context(ErrorKind::State, place)
    }

    async fn start_master(mut self) -> Result<Self> {
        // From here on there may be a master, also when this future is dropped.
        self.open = true;
        let output = Cmd::new(&self.shell.ssh_program, ErrorKind::Runner)
            .plain_env()
            .args(["-F".as_ref(), self.shell.config_file.as_os_str()])
            .args(["-o", "ControlMaster=yes", "-f", "-N", "-T", &self.shell.host_alias])
            .output_within(CONNECT_LIMIT)
            .await
            .map_err(|error| ConnectionLost::error("cannot reach the runner over SSH", &error.message()))?;
        if output.success() {
            return Ok(self);
        }
        let (message, said) = ("cannot reach the runner over SSH", output.stderr_text());
        if said.contains(OTHER_HOST) {
            return Err(Error::new(ErrorKind::Runner, format!("{message}: {said}")));
        }
        Err(ConnectionLost::error(message, &said))
    }

    /// Runs a command on the runner to its end. `stdin` is all it can read.
    ///
    /// # Errors
    /// [`ConnectionLost`] when that happened; [`ErrorKind::Runner`] when the command says more than
    /// [`MAX_STDOUT`]. A non-zero exit is not an error here.
    pub async fn run<S: AsRef<str>>(&self, argv: &[S], stdin: Option<&[u8]>) -> Result<RemoteOutput> {
        let mut child = self.command(argv).spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
        let input = child.stdin.take();
        let feed = async move {
            if let Some(mut input) = input {
                // A command that does not read all of its input says why on its own stderr.
                let _ = input.write_all(stdin.unwrap_or_default()).await;
                let _ = input.shutdown().await;
            }
            Ok(())
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // The first failure ends all: who says too much may also have stopped reading.
        let ((), stdout, stderr) =
            tokio::try_join!(feed, read_bounded(stdout, MAX_STDOUT), read_bounded(stderr, MAX_STDERR))?;
        let status = child.wait().await.context(ErrorKind::Runner, || "cannot wait for `ssh`".to_owned())?;
        let code = child::remote_code(status, &String::from_utf8_lossy(&stderr))?;
        Ok(RemoteOutput { code, stdout, stderr })
    }

    /// Starts a command on the runner with all three streams piped.
    ///
    /// # Errors
    /// [`ErrorKind::Runner`] when `ssh` cannot be started.
    pub fn spawn<S: AsRef<str>>(&self, argv: &[S]) -> Result<RemoteChild> {
        let child = self.command(argv).spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
        Ok(RemoteChild::new(child))
    }

    /// What rsync needs to go over the same connection.
    pub fn shell(&self) -> &RemoteShell {
        &self.shell
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// [`ErrorKind::Runner`] when the master does not end. A master that is gone already is success.
    pub async fn close(mut self) -> Result<()> {
        self.open = false;
        let output = self.control("exit").arg(&self.shell.host_alias).output_within(Duration::from_secs(10)).await?;
        if output.success() || !self.shell.control_socket.exists() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Runner, format!("the SSH master did not end: {}", output.stderr_text())))
    }

    /// The private directory of this connection's files.
    pub(super) fn directory(&self) -> &Path {
        self.shell.config_file.parent().unwrap_or(Path::new("/"))
    }

    pub(super) fn control(&self, what: &str) -> Cmd {
        self.base().args(["-O", what])
    }

    fn command<S: AsRef<str>>(&self, argv: &[S]) -> Cmd {
        self.base().args(["-T", &self.shell.host_alias, "--", &shell_line(argv)])
    }

    fn base(&self) -> Cmd {
        Cmd::new(&self.shell.ssh_program, ErrorKind::Runner).plain_env().args(self.shell.options())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // A detached word to the master; if it is lost, the master ends by itself when idle. Not through `tokio`, whose
        // runtime may be gone by now.
        let mut command = self.control("exit").arg(&self.shell.host_alias).into_command();
        let word = command.as_std_mut().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if let Err(error) = word {
            tracing::debug!(%error, "the SSH master could not be told to end");
        }
    }
}
