//! [`Runner`]: a leased runner of this machine with a session to it.

use std::path::Path;

use lian_build::lease::{Endpoint, LeaseRequest};
use lian_build::provider::ComputeProvider as _;
use lian_build::provider::local::LocalProvider;
use lian_build::remote::Session;
use lian_build::solve::buildkitd::{self, BuildkitConfig};
use tokio_util::sync::CancellationToken;

use super::{LocalMachine, variable};

/// A leased runner of this machine with a session to it.
pub(crate) struct Runner {
    pub(crate) provider: LocalProvider,
    pub(crate) request: LeaseRequest,
    pub(crate) endpoint: Endpoint,
    pub(crate) session: Session,
}

impl Runner {
    /// Leases a runner with that much memory.
    pub(crate) async fn lease(machine: &LocalMachine, memory_gb: f64) -> Self {
        Self::lease_as(machine, machine.request(memory_gb)).await
    }

    pub(crate) async fn lease_as(machine: &LocalMachine, request: LeaseRequest) -> Self {
        let provider = machine.provider();
        let endpoint = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap();
        let session = Session::connect(&endpoint, &endpoint.session_dir).await.unwrap();
        Self { provider, request, endpoint, session }
    }

    /// As [`Runner::lease`], with `buildkitd` started.
    pub(crate) async fn start(machine: &LocalMachine, memory_gb: f64) -> Self {
        let runner = Self::lease(machine, memory_gb).await;
        buildkitd::start(&runner.session, &runner.endpoint, &BuildkitConfig::default()).await.unwrap();
        runner
    }

    /// What a shell on the runner prints.
    pub(crate) async fn shell(&self, script: &str) -> String {
        let output = self.session.run(&["sh", "-c", script], None).await.unwrap();
        assert!(output.success(), "`{script}`: {}", output.stderr_text());
        output.stdout_text()
    }

    /// Puts the small base image's tar into the context, for `ADD base.tar /`.
    pub(crate) fn add_base(&self) {
        let target = Path::new(&self.endpoint.paths.context).join("base.tar");
        std::fs::copy(variable("LIAN_TEST_BASE_TAR"), target).unwrap();
    }

    /// Builds what stands in the context, with `options` for buildctl, and yields its exit code and standard error.
    pub(crate) async fn build(&self, dockerfile: &str, options: &[&str]) -> (i32, String) {
        std::fs::write(Path::new(&self.endpoint.paths.context).join("Dockerfile"), dockerfile).unwrap();
        let context = format!("context={}", self.endpoint.paths.context);
        let source = format!("dockerfile={}", self.endpoint.paths.context);
        let address = buildkitd::address(&self.endpoint);
        let argv: Vec<&str> = ["buildctl", "--addr", &address, "build", "--progress", "plain"]
            .into_iter()
            .chain(["--frontend", "dockerfile.v0", "--local", &context, "--local", &source])
            .chain(options.iter().copied())
            .collect();
        let output = self.session.run(&argv, None).await.unwrap();
        (output.code, output.stderr_text())
    }

    /// Releases it and fails the test when anything is left.
    pub(crate) async fn release(self, machine: &LocalMachine) {
        self.session.close().await.unwrap();
        self.provider.release(&self.request.lease_id).await.unwrap();
        machine.leftovers(&self.request.lease_id).assert_none();
    }
}
