//! The harness of `'proxmox`, and its suite: a simulated cluster whose machines are containers that really answer on SSH.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::provider::ComputeProvider;
use lian_simulators::faults::Fault;
use lian_simulators::proxmox::Options;

use super::{Declared, Harness, Renewal, Second, conformance};
use crate::support::{ContainerGuests, LabelMap, ProxmoxCluster};

/// A simulated cluster.
struct Proxmox {
    cluster: ProxmoxCluster,
    planted: AtomicU32,
}

impl Proxmox {
    async fn new() -> Self {
        let guests = Arc::new(ContainerGuests::new());
        Self { cluster: ProxmoxCluster::start(guests, Options::default()).await, planted: AtomicU32::new(700_000_000) }
    }

    /// Somebody's machine that has a lease's name.
    fn plant(&self, description: &str) -> LeaseId {
        let (lease, vmid) = (LeaseId::new(), self.planted.fetch_add(1, Ordering::Relaxed));
        let config =
            [("name", lease.as_str()), ("description", description), ("tags", "lian-build-docs"), ("cores", "2")];
        self.cluster.sim.plant(vmid, "pve1", &config);
        self.cluster.sim.set_pool(vmid, "builds");
        lease
    }

    fn uproot(&self, lease: &LeaseId) {
        let vmid = self.cluster.sim.named(lease.as_str()).unwrap().vmid;
        self.cluster.sim.uproot(vmid);
    }
}

#[async_trait::async_trait]
impl Harness for Proxmox {
    /// A second process of this user.
    fn declared(&self) -> Declared {
        Declared { second: Second::IsRefused, renewal: Renewal::Moves, enforces_memory: true }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(self.cluster.provider())
    }

    /// Its machine is made, and does not start.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        self.cluster.sim.core.faults.script(Fault::action_fails("", "no such bridge").on("POST", "/**/start"));
        self.provider()
    }

    fn request(&self) -> LeaseRequest {
        self.cluster.request()
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        self.cluster.traces(lease)
    }

    fn runners(&self) -> Vec<String> {
        self.cluster.names()
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        self.cluster.labels(lease)
    }

    fn stop(&self, lease: &LeaseId) {
        self.cluster.sim.power_off(self.cluster.sim.named(lease.as_str()).unwrap().vmid);
    }

    async fn plant_foreign(&self) -> LeaseId {
        self.plant("somebody's own\n{\"managed\":\"1\"}")
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        self.uproot(lease);
    }

    fn plant_unreadable(&self) -> LeaseId {
        self.plant("{\"lian-managed\":\"1\"}")
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        self.uproot(lease);
    }
}

conformance!(Proxmox::new().await);
