//! The fake cloud's harness, and its suite: with labels that change and with ones that do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::provider::ComputeProvider;

use super::{Declared, Harness, Renewal, Second, conformance};
use crate::support::{FakeCloud, FakeProvider, Fault, LabelMap, request};

/// A fake cloud with its provider.
struct Fake {
    cloud: Arc<FakeCloud>,
    labels_change: bool,
}

impl Fake {
    fn new(labels_change: bool) -> Self {
        Self { cloud: Arc::default(), labels_change }
    }
}

#[async_trait::async_trait]
impl Harness for Fake {
    fn declared(&self) -> Declared {
        let renewal = if self.labels_change { Renewal::Moves } else { Renewal::DoesNothing };
        Declared { second: Second::Adopts, renewal, enforces_memory: false }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(FakeProvider { labels_change: self.labels_change, ..FakeProvider::new(&self.cloud) })
    }

    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        self.cloud.script(Fault::CreateFailsAfterMaking, 1);
        self.provider()
    }

    fn request(&self) -> LeaseRequest {
        request("project", 1.0, Timestamp::now())
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        self.cloud.look(lease.as_str()).map(|server| format!("{server:?}")).into_iter().collect()
    }

    fn runners(&self) -> Vec<String> {
        self.cloud.names()
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        self.cloud.look(lease.as_str()).map(|server| server.labels)
    }

    fn stop(&self, lease: &LeaseId) {
        self.cloud.power_off(lease.as_str());
    }

    async fn plant_foreign(&self) -> LeaseId {
        let lease = LeaseId::new();
        // Somebody's own server, whose labels are much like ours.
        let labels = [("managed", "1"), ("lian-build", "1"), ("lian-managed", "no")];
        self.cloud.plant(lease.as_str(), labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        lease
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        self.cloud.uproot(lease.as_str());
    }

    fn plant_unreadable(&self) -> LeaseId {
        let lease = LeaseId::new();
        self.cloud.plant(lease.as_str(), BTreeMap::from([("lian-managed".to_owned(), "1".to_owned())]));
        lease
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        self.cloud.uproot(lease.as_str());
    }
}

conformance!(Fake::new(true));

mod immutable {
    use super::{Fake, conformance};

    conformance!(Fake::new(false));
}
