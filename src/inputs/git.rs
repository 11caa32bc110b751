//! What git knows of the context's directory. Never an error: without git, without a repository, or in a repository of
//! somebody else there is simply nothing to know.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env_vars::{self, Environment};
use crate::error::ErrorKind;
use crate::process::Cmd;

/// A repository that does not answer by then (a network drive, say) is as good as none.
const LIMIT: Duration = Duration::from_secs(2);

/// A directory that may belong to a git repository.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    path: std::ffi::OsString,
    directory: PathBuf,
}

impl Git {
    /// Git for `directory`; `None` when there is no `git` program.
    pub fn find(environment: &Environment, directory: &Path) -> Option<Self> {
        Some(Self {
            program: environment.find_program("git")?,
            path: environment.os(env_vars::PATH)?.to_owned(),
            directory: directory.to_owned(),
        })
    }

    /// The address of the remote `origin`, as it is configured.
    pub async fn remote_url(&self) -> Option<String> {
        self.ask(&["config", "--get", "remote.origin.url"]).await
    }

    async fn ask(&self, args: &[&str]) -> Option<String> {
        let output = self.command(args).output_within(LIMIT).await.ok()?;
        let text = output.success().then(|| output.stdout_text())?;
        (!text.is_empty()).then_some(text)
    }

    /// The environment is emptied: inside of a hook git's own variables would point at another repository.
    fn command(&self, args: &[&str]) -> Cmd {
        Cmd::new(&self.program, ErrorKind::Usage)
            .clear_env()
            .env("PATH", &self.path)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(&self.directory)
            .args(args)
    }
}
