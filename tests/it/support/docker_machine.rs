//! [`DockerMachine`]: private directories for one test's `'docker_local`, and what the tests' daemon has of a lease.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_build::provider::docker_local::{DockerLocalConfig, DockerLocalProvider};
use tempfile::TempDir;

use super::{Dockerd, Leftovers};

impl Dockerd {
    /// The path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(self.host().strip_prefix("unix://").unwrap())
    }

    /// Whether the command succeeds.
    pub(crate) fn succeeds(&self, args: &[&str]) -> bool {
        self.try_docker(args).status.success()
    }

    /// The names of all runners of a project, running or not.
    pub(crate) fn names(&self, label: &str) -> Vec<String> {
        let filter = format!("label={label}");
        let said = self.docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        let mut names: Vec<String> = said.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The runner image with another command, for as long as it is held.
    pub(crate) fn image_that_runs(&self, command: &[&str]) -> TestImage {
        let name = LeaseId::new().to_string();
        let command = format!("CMD {}", serde_json::to_string(command).unwrap());
        self.docker(&["create", "--name", &name, &lian_build::runner_image::name(), "true"]);
        self.docker(&["commit", "--change", &command, &name, &name]);
        self.docker(&["rm", "--volumes", &name]);
        TestImage { dockerd: self.clone(), name }
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
            found.extend(self.docker(args).lines().map(|line| format!("{what} {line}")));
        }
        found.sort();
        found.dedup();
        found
    }
}

/// An image of one test; goes with it.
pub(crate) struct TestImage {
    dockerd: Dockerd,
    pub(crate) name: String,
}

impl Drop for TestImage {
    fn drop(&mut self) {
        self.dockerd.succeeds(&["rmi", "--force", &self.name]);
    }
}

/// Private directories for the `'docker_local` of one test, and the tests' daemon.
pub(crate) struct DockerMachine {
    dir: TempDir,
    pub(crate) dockerd: Dockerd,
    /// May be changed before a provider is made.
    pub(crate) config: DockerLocalConfig,
}

impl DockerMachine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let dockerd = Dockerd::of_the_tests();
        let config = DockerLocalConfig {
            host: dockerd.host().to_owned(),
            image: lian_build::runner_image::name(),
            program_dirs: ["/usr/bin", "/bin"].map(PathBuf::from).into(),
            runtime_dir: dir.path().join("run"),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            queue_timeout: Duration::from_secs(60),
            memory_budget_bytes: None,
            cache: None,
        };
        Self { dir, dockerd, config }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn provider(&self) -> DockerLocalProvider {
        DockerLocalProvider::new(self.config.clone())
    }

    /// All that there is of a lease, at the daemon and here.
    pub(crate) fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let mut found = self.dockerd.traces(lease.as_str());
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
