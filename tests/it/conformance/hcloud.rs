//! The harness of `'hcloud`, and its suite, with a simulated project whose servers answer on SSH.

use std::sync::Arc;

use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::provider::ComputeProvider;
use lian_simulators::faults::Fault;

use super::{Declared, Harness, Renewal, Second, conformance};
use crate::support::{HcloudWorld, LabelMap};

#[async_trait::async_trait]
impl Harness for HcloudWorld {
    fn declared(&self) -> Declared {
        Declared { second: Second::IsRefused, renewal: Renewal::Moves, enforces_memory: true }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(self.provider())
    }

    /// The server is made, and its making ends badly.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        let fault = Fault::action_fails("server_error", "it broke").on("POST", "/v1/servers");
        self.sim().faults().script(fault);
        Arc::new(self.provider())
    }

    fn request(&self) -> LeaseRequest {
        self.request()
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        self.traces(lease)
    }

    fn runners(&self) -> Vec<String> {
        self.names()
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        let servers = self.sim().servers();
        servers.into_iter().find(|server| server.name == lease.as_str()).map(|server| server.labels)
    }

    fn stop(&self, lease: &LeaseId) {
        let servers = self.sim().servers();
        let server = servers.iter().find(|server| server.name == lease.as_str()).unwrap();
        self.backend.end(&server.id.to_string());
    }

    async fn plant_foreign(&self) -> LeaseId {
        let lease = LeaseId::new();
        let labels = [("managed", "1"), ("lian-build", "1"), ("lian-managed", "no")];
        self.sim().plant(lease.as_str(), labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        lease
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        self.delete(lease.as_str());
    }

    fn plant_unreadable(&self) -> LeaseId {
        let lease = LeaseId::new();
        self.sim().plant(lease.as_str(), [("lian-managed".to_owned(), "1".to_owned())].into());
        lease
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        self.delete(lease.as_str());
    }
}

conformance!(HcloudWorld::new());
