//! [`Docker`]: the tests' daemon as its own command shows it, and [`DockerMachine`]: private directories for one test's
//! `'docker_local`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_build::provider::docker_local::{DockerLocalConfig, DockerLocalProvider};
use tempfile::TempDir;

use super::{Leftovers, variable};

/// The tests' daemon, asked by its own command and not by the product.
#[derive(Debug, Clone)]
pub(crate) struct Docker {
    host: String,
}

impl Docker {
    pub(crate) fn new() -> Self {
        Self { host: variable("LIAN_TEST_DOCKER_HOST") }
    }

    /// What `DOCKER_HOST` is to be.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(self.host.strip_prefix("unix://").unwrap())
    }

    /// What the command says; it must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Whether the command succeeds.
    pub(crate) fn succeeds(&self, args: &[&str]) -> bool {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    #[expect(clippy::disallowed_methods, reason = "the tests look from outside")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(&self.host).args(args).stdin(Stdio::null());
        command
    }

    /// The names of all runners of a project, running or not.
    pub(crate) fn names(&self, label: &str) -> Vec<String> {
        let filter = format!("label={label}");
        let said = self.ask(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        let mut names: Vec<String> = said.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The runner image with another command, for as long as it is held.
    pub(crate) fn image_that_runs(&self, command: &[&str]) -> TestImage {
        let name = LeaseId::new().to_string();
        let command = format!("CMD {}", serde_json::to_string(command).unwrap());
        self.ask(&["create", "--name", &name, &lian_build::runner_image::name(), "true"]);
        self.ask(&["commit", "--change", &command, &name, &name]);
        self.ask(&["rm", "--volumes", &name]);
        TestImage { docker: self.clone(), name }
    }

    /// Containers, volumes, processes and cgroups of a lease, one line each.
    pub(crate) fn traces(&self, lease: &str) -> Vec<String> {
        let (name, label) = (format!("name=^/?{lease}$"), format!("label=lian-lease={lease}"));
        let mut found = Vec::new();
        for (what, args) in [
            ("container", ["ps", "--all", "--no-trunc", "--filter", &name, "--format", "{{.ID}}"].as_slice()),
            ("container", &["ps", "--all", "--no-trunc", "--filter", &label, "--format", "{{.ID}}"]),
            ("volume", &["volume", "ls", "--filter", &label, "--format", "{{.Name}}"]),
        ] {
            found.extend(self.ask(args).lines().map(|line| format!("{what} {line}")));
        }
        found.sort();
        found.dedup();
        found
    }
}

/// An image of one test; goes with it.
pub(crate) struct TestImage {
    docker: Docker,
    pub(crate) name: String,
}

impl Drop for TestImage {
    fn drop(&mut self) {
        self.docker.succeeds(&["rmi", "--force", &self.name]);
    }
}

/// Private directories for the `'docker_local` of one test, and the tests' daemon.
pub(crate) struct DockerMachine {
    dir: TempDir,
    pub(crate) docker: Docker,
    /// May be changed before a provider is made.
    pub(crate) config: DockerLocalConfig,
}

impl DockerMachine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let docker = Docker::new();
        let config = DockerLocalConfig {
            host: docker.host().to_owned(),
            image: lian_build::runner_image::name(),
            runtime_dir: dir.path().join("run"),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            queue_timeout: Duration::from_secs(60),
            memory_budget_bytes: None,
        };
        Self { dir, docker, config }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn provider(&self) -> DockerLocalProvider {
        DockerLocalProvider::new(self.config.clone())
    }

    /// All that there is of a lease, at the daemon and here.
    pub(crate) fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let mut found = self.docker.traces(lease.as_str());
        let dirs = [self.config.runtime_dir.join("docker"), self.config.runtime_dir.join("budget")];
        found.extend(Leftovers::of(lease.as_str(), dirs).find());
        found
    }

    #[track_caller]
    pub(crate) fn assert_nothing_of(&self, lease: &LeaseId) {
        let left = self.traces(lease);
        assert!(left.is_empty(), "left of `{lease}`: {left:#?}");
    }

    /// The last lease takes the runtime directory with it.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert!(!self.config.runtime_dir.exists(), "the runtime directory is left");
    }
}
