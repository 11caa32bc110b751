//! [`Cmd`]: one child process, with its argv logged, its own process group, and an end on every path.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::bounded::read_bounded;
use crate::env_vars;
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The most a command may say on each of its two streams, in bytes, where all of it is kept.
const MAX_SAID: usize = 1 << 20;

/// A command to run. Arguments are never joined into a shell line.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    clear_env: bool,
    current_dir: Option<std::path::PathBuf>,
    shown_as: Option<OsString>,
    outlives_us: bool,
    kind: ErrorKind,
}

/// What a finished command said.
#[derive(Debug)]
pub struct Output {
    /// The exit code, or 128 + signal.
    pub code: i32,
    /// Everything on standard output; wiped, because it may be a secret.
    pub stdout: Zeroizing<Vec<u8>>,
    /// Everything on standard error.
    pub stderr: Zeroizing<Vec<u8>>,
}

impl Output {
    /// True for exit code 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard error as text, trimmed and safe to show.
    pub fn stderr_text(&self) -> String {
        crate::sanitise::lines(String::from_utf8_lossy(&self.stderr).trim())
    }

    /// Standard output as text, trimmed.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

impl Cmd {
    /// A command whose failure to start is an error of `kind`.
    pub fn new(program: impl AsRef<OsStr>, kind: ErrorKind) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            clear_env: false,
            current_dir: None,
            shown_as: None,
            outlives_us: false,
            kind,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the child's environment. Never put a secret here: use standard input.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts from an empty environment.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// Starts from an environment of `PATH` and `LC_ALL=C` alone: for programs that live as long as a build, talk to a
    /// runner or are one. What the caller's environment holds (logins, secrets) is not theirs, and each of them would
    /// show it in `/proc`.
    #[must_use]
    pub fn plain_env(self) -> Self {
        let cmd = self.clear_env().env("LC_ALL", "C");
        match env_vars::search_path() {
            Some(path) => cmd.env(env_vars::PATH, path),
            None => cmd,
        }
    }

    /// Runs in `directory`.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.current_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// The name that the child is listed under, where the program's path is none that says anything.
    #[must_use]
    pub fn shown_as(mut self, name: impl AsRef<OsStr>) -> Self {
        self.shown_as = Some(name.as_ref().to_owned());
        self
    }

    /// For the one child that goes on when this process has ended: it is not killed when its handle is dropped, and it
    /// stays in our process group, so that it can begin a session of its own.
    #[must_use]
    pub fn outliving_us(mut self) -> Self {
        self.outlives_us = true;
        self
    }

    /// The program and its arguments, for logs and golden tests.
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(&self.program).chain(&self.args).map(|part| part.to_string_lossy().into_owned()).collect()
    }

    /// The `tokio` command: own process group and killed when its handle is dropped (unless it is to outlive us), nothing
    /// inherited on stdin.
    #[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
    pub fn into_command(self) -> Command {
        tracing::debug!(argv = ?self.argv(), "start");
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        if !self.outlives_us {
            command.process_group(0).kill_on_drop(true);
        }
        if let Some(name) = &self.shown_as {
            command.arg0(name);
        }
        if self.clear_env {
            command.env_clear();
        }
        command.envs(self.envs);
        if let Some(directory) = &self.current_dir {
            command.current_dir(directory);
        }
        command
    }

    /// Starts the child with the given standard streams.
    ///
    /// # Errors
    /// Of the command's kind when the program cannot be started.
    pub fn spawn(self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        let (kind, program) = (self.kind, self.program.clone());
        self.into_command()
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .context(kind, || format!("cannot start `{}`", program.to_string_lossy()))
    }

    /// Becomes the program: it has our streams, our terminal and our process id. Returns only when that fails.
    #[expect(clippy::disallowed_methods, reason = "the one place that becomes another program")]
    pub fn exec(self) -> Error {
        use std::os::unix::process::CommandExt as _;
        tracing::debug!(argv = ?self.argv(), "become");
        let mut command = std::process::Command::new(&self.program);
        if self.clear_env {
            command.env_clear();
        }
        command.args(&self.args).envs(self.envs);
        if let Some(directory) = &self.current_dir {
            command.current_dir(directory);
        }
        let fault = command.exec();
        Error::new(self.kind, format!("cannot start `{}`", self.program.to_string_lossy())).because(fault)
    }

    /// Runs to the end and collects what was said.
    ///
    /// # Errors
    /// When the program cannot be started, or says more than 1 MiB on a stream. A non-zero exit is not an error here.
    pub async fn output(self) -> Result<Output> {
        self.output_with_stdin(&[]).await
    }

    /// Runs to the end with `input` on standard input.
    ///
    /// # Errors
    /// As [`Cmd::output`].
    pub async fn output_with_stdin(self, input: &[u8]) -> Result<Output> {
        let (kind, program) = (self.kind, self.program.to_string_lossy().into_owned());
        let mut child = self.spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
        let mut stdin = child.stdin.take();
        let feed = async {
            if let Some(stdin) = stdin.as_mut() {
                // A child that does not read all of its input says why on its own stderr.
                let _ = stdin.write_all(input).await;
                let _ = stdin.shutdown().await;
            }
            drop(stdin);
            Ok(())
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // The first failure ends all: whoever says too much is killed when the handle is dropped.
        let ((), stdout, stderr) = tokio::try_join!(feed, said(stdout, &program, kind), said(stderr, &program, kind))?;
        let status = child.wait().await.context(kind, || format!("cannot wait for `{program}`"))?;
        Ok(Output { code: exit_code(status), stdout, stderr })
    }

    /// As [`Cmd::output`], given up after `limit`.
    ///
    /// # Errors
    /// Also when the limit is over; the child is killed then.
    pub async fn output_within(self, limit: Duration) -> Result<Output> {
        let (kind, program) = (self.kind, self.program.to_string_lossy().into_owned());
        tokio::time::timeout(limit, self.output())
            .await
            .map_err(|_| Error::new(kind, format!("`{program}` did not end within {} s", limit.as_secs())))?
    }
}

async fn said(stream: Option<impl AsyncRead + Unpin>, program: &str, kind: ErrorKind) -> Result<Zeroizing<Vec<u8>>> {
    let Some(stream) = stream else { return Ok(Zeroizing::default()) };
    read_bounded(stream, MAX_SAID)
        .await
        .context(kind, || format!("cannot read what `{program}` says"))?
        .ok_or_else(|| Error::new(kind, format!("`{program}` said more than {MAX_SAID} bytes")))
}

/// The exit code as a shell would say it.
pub fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh", ErrorKind::State).args(["-c", script])
    }

    #[tokio::test]
    async fn both_streams_and_the_code_are_told() {
        let output = sh("cat; echo err >&2; exit 3").output_with_stdin(b"in").await.unwrap();
        assert_eq!((output.code, output.stdout.as_slice(), output.stderr.as_slice()), (3, &b"in"[..], &b"err\n"[..]));
    }

    #[tokio::test]
    async fn a_program_that_never_stops_talking_is_ended() {
        for endless in ["exec yes", "exec yes >&2"] {
            let error = sh(endless).output().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State);
            assert!(error.message().contains("`sh` said more than"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_plain_environment_has_nothing_of_the_callers() {
        let output = Cmd::new("env", ErrorKind::State).plain_env().output().await.unwrap();
        let text = output.stdout_text();
        let names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(output.success() && names.len() == 2, "{names:?}");
        assert!(names.contains(&"PATH") && names.contains(&"LC_ALL"), "{names:?}");
    }
}
