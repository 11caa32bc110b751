//! [`Harness`]: what the suite needs to know of a provider, and its view from outside.

use std::sync::Arc;

use lian_build::ids::LeaseId;
use lian_build::lease::{Endpoint, LeaseRequest};
use lian_build::provider::ComputeProvider;
use tokio_util::sync::CancellationToken;

use crate::support::LabelMap;

/// What becomes of the same lease asked for by a second process while the first one holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// It gets the same runner.
    Adopts,
    /// It is refused.
    IsRefused,
}

/// What a renewal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It moves the soft deadline that the list shows.
    Moves,
    /// The same, to a time that is not before the one that was meant: the backend counts from when it hears of it.
    MovesAtLeast,
    /// The backend cannot hold one: nothing happens.
    DoesNothing,
}

/// What a provider declares beyond its capabilities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) second: Second,
    pub(crate) renewal: Renewal,
    /// Whether a tier's memory is a limit here.
    pub(crate) enforces_memory: bool,
}

/// A world with one provider in it. Everything but [`Harness::provider`] is independent of the provider.
#[async_trait::async_trait]
pub(crate) trait Harness: Send + Sync {
    /// What the provider declares.
    fn declared(&self) -> Declared;

    /// The provider, as one more process opens it.
    fn provider(&self) -> Arc<dyn ComputeProvider>;

    /// The same, with a backend that begins to make a runner and then fails.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider>;

    /// A request for a new lease.
    fn request(&self) -> LeaseRequest;

    /// All that there is of a lease, one line each, so that a change shows; empty when there is nothing.
    fn traces(&self, lease: &LeaseId) -> Vec<String>;

    /// The names of all runners there are.
    fn runners(&self) -> Vec<String>;

    /// The labels of a runner, as the backend has them.
    fn labels(&self, lease: &LeaseId) -> Option<LabelMap>;

    /// Stops a runner behind the provider's back.
    fn stop(&self, lease: &LeaseId);

    /// Puts something there that is not ours to release, under a name that a lease could have.
    async fn plant_foreign(&self) -> LeaseId;

    /// Takes it away again.
    async fn uproot_foreign(&self, lease: &LeaseId);

    /// Puts something there that says it is ours, and not whose.
    fn plant_unreadable(&self) -> LeaseId;

    /// Takes it away again.
    fn uproot_unreadable(&self, lease: &LeaseId);
}

impl dyn Harness + '_ {
    /// Leases a runner that nobody watches.
    pub(crate) async fn lease(&self, provider: &dyn ComputeProvider, request: &LeaseRequest) -> Endpoint {
        provider.acquire(request, &|_: &str| (), &CancellationToken::new()).await.unwrap()
    }

    /// Nothing of the lease is there.
    #[track_caller]
    pub(crate) fn assert_nothing_of(&self, lease: &LeaseId) {
        let left = self.traces(lease);
        assert!(left.is_empty(), "left of `{lease}`: {left:#?}");
    }
}

/// Runs a case in a world where somebody else has something, too: that must look the same at the end, and beside it
/// nothing may be left.
pub(crate) async fn in_world<H: Harness>(harness: H, case: impl AsyncFnOnce(&dyn Harness)) {
    let foreign = harness.plant_foreign().await;
    let (traces, runners) = (harness.traces(&foreign), harness.runners());
    assert!(!traces.is_empty(), "the foreign thing is not seen from outside");
    case(&harness).await;
    assert_eq!(harness.traces(&foreign), traces, "what is not ours was touched");
    assert_eq!(harness.runners(), runners);
    harness.uproot_foreign(&foreign).await;
    (&harness as &dyn Harness).assert_nothing_of(&foreign);
}
