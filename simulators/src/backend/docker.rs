//! [`Docker`]: the `docker` command for one daemon.

use std::process::{Command, Output, Stdio};

use tokio::io::AsyncWriteExt as _;

use crate::error::{Error, Result};

/// The `docker` command for one daemon.
#[derive(Debug, Clone)]
pub(super) struct Docker {
    /// Where it listens, as `DOCKER_HOST` says it.
    pub(super) host: String,
}

impl Docker {
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate starts processes")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host]).args(args).stdin(Stdio::null());
        command
    }

    /// Runs `docker ARGS…` and yields what it printed, trimmed.
    pub(super) async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, None).await
    }

    /// The same with `input` on its standard input.
    pub(super) async fn run_with(&self, args: &[&str], input: Option<&[u8]>) -> Result<String> {
        let printed = self.bytes(args, input).await?;
        Ok(String::from_utf8_lossy(&printed).trim().to_owned())
    }

    /// The same, as bytes.
    pub(super) async fn bytes(&self, args: &[&str], input: Option<&[u8]>) -> Result<Vec<u8>> {
        let mut command = tokio::process::Command::from(self.command(args));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let failed = |error: std::io::Error| Error::new(format!("docker {}: {error}", args.join(" ")));
        let mut child = command.spawn().map_err(failed)?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input).await.map_err(failed)?;
        }
        judge(args, child.wait_with_output().await.map_err(failed)?)
    }

    /// The same without a runtime: it waits.
    pub(super) fn run_blocking(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().map_err(|error| Error::new(format!("docker: {error}")))?;
        Ok(String::from_utf8_lossy(&judge(args, output)?).trim().to_owned())
    }
}

/// What it printed, or what it complained of.
fn judge(args: &[&str], output: Output) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("docker {}: {}", args.join(" "), said.trim())))
}
