//! The harness of `'docker_local`, and its suite, with a real daemon.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use lian_build::ids::LeaseId;
use lian_build::lease::{LeaseRequest, OwnerId};
use lian_build::provider::ComputeProvider;
use lian_build::provider::docker_local::{DockerLocalConfig, DockerLocalProvider};

use super::{Declared, Harness, Renewal, Second, conformance};
use crate::support::{DockerMachine, LabelMap, TestImage, request};

/// The tests' daemon, with directories and an owner of its own.
struct DockerLocal {
    machine: DockerMachine,
    owner: String,
    images: Mutex<Vec<TestImage>>,
}

impl DockerLocal {
    fn new() -> Self {
        Self { machine: DockerMachine::new(), owner: LeaseId::new().to_string(), images: Mutex::default() }
    }

    /// A container under a lease's name that is never started.
    fn plant(&self, labels: &[&str]) -> LeaseId {
        let lease = LeaseId::new();
        let mut args = vec!["create", "--name", lease.as_str()];
        for label in labels {
            args.extend(["--label", label]);
        }
        args.extend([self.machine.config.image.as_str(), "true"]);
        self.machine.dockerd.docker(&args);
        lease
    }

    fn uproot(&self, lease: &LeaseId) {
        self.machine.dockerd.docker(&["rm", "--force", "--volumes", lease.as_str()]);
    }
}

#[async_trait::async_trait]
impl Harness for DockerLocal {
    /// A second process of this user; one of another home adopts, which has a test of its own.
    fn declared(&self) -> Declared {
        Declared { second: Second::IsRefused, renewal: Renewal::Moves, enforces_memory: true }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(self.machine.provider())
    }

    /// Its container is made, and what it starts ends at once.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        let image = self.machine.dockerd.image_that_runs(&["/bin/false"]);
        let config = DockerLocalConfig { image: image.name.clone(), ..self.machine.config.clone() };
        self.images.lock().unwrap().push(image);
        Arc::new(DockerLocalProvider::new(config))
    }

    fn request(&self) -> LeaseRequest {
        request(&self.owner, 0.5, Timestamp::now())
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        self.machine.traces(lease)
    }

    fn runners(&self) -> Vec<String> {
        self.machine.dockerd.names(&format!("lian-owner={}", OwnerId::derive(&self.owner)))
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        let found = self.machine.dockerd.succeeds(&["inspect", lease.as_str()]);
        let ask = || self.machine.dockerd.docker(&["inspect", "--format", "{{json .Config.Labels}}", lease.as_str()]);
        found.then(|| {
            let all: LabelMap = serde_json::from_str(&ask()).unwrap();
            // The image has labels, too.
            all.into_iter().filter(|(key, _)| !key.starts_with("lian-runner-")).collect()
        })
    }

    fn stop(&self, lease: &LeaseId) {
        self.machine.dockerd.docker(&["kill", lease.as_str()]);
    }

    async fn plant_foreign(&self) -> LeaseId {
        self.plant(&[])
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        self.uproot(lease);
    }

    fn plant_unreadable(&self) -> LeaseId {
        self.plant(&["lian-managed=1"])
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        self.uproot(lease);
    }
}

conformance!(DockerLocal::new());
