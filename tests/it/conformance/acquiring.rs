//! Cases about how a runner comes to be.

use std::sync::Mutex;

use lian_build::lease::{Endpoint, Made, MemoryLimit};
use lian_build::provider::AcquireWatch;
use tokio_util::sync::CancellationToken;

use super::{Harness, Second};
use crate::support::LabelMap;

/// What makes two endpoints the same runner.
fn identity(endpoint: &Endpoint) -> (&str, u16, &str) {
    (&endpoint.host, endpoint.port, &endpoint.host_key)
}

pub(crate) async fn the_same_name_is_the_same_runner(harness: &dyn Harness) {
    let (provider, request, before) = (harness.provider(), harness.request(), harness.runners().len());
    let first = harness.lease(&*provider, &request).await;
    let again = harness.lease(&*provider, &request).await;
    assert_eq!(identity(&first), identity(&again));
    assert_eq!(harness.runners().len(), before + 1);
    assert!(harness.runners().contains(&request.lease_id.to_string()));
    provider.release(&request.lease_id).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
}

pub(crate) async fn another_process_never_doubles_a_runner(harness: &dyn Harness) {
    let (provider, other, request) = (harness.provider(), harness.provider(), harness.request());
    let first = harness.lease(&*provider, &request).await;
    let runners = harness.runners();
    let second = other.acquire(&request, &|_: &str| (), &CancellationToken::new()).await;
    match harness.declared().second {
        Second::Adopts => assert_eq!(identity(&second.unwrap()), identity(&first)),
        Second::IsRefused => assert!(second.unwrap_err().to_string().contains(request.lease_id.as_str())),
    }
    assert_eq!(harness.runners(), runners);
    provider.release(&request.lease_id).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
}

/// Looks from outside at the moment when the provider says that the runner is being made.
struct Witness<'a, L: Fn() -> Option<LabelMap>> {
    look: &'a L,
    seen: Mutex<Vec<Option<LabelMap>>>,
}

#[async_trait::async_trait]
impl<L: Fn() -> Option<LabelMap> + Sync> AcquireWatch for Witness<'_, L> {
    fn waiting(&self, _what: &str) {}

    async fn created(&self, made: &Made) {
        assert!(!made.remote_id.is_empty());
        self.seen.lock().unwrap().push((self.look)());
    }
}

pub(crate) async fn labels_are_there_when_it_is_created(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    let look = || harness.labels(&request.lease_id);
    let witness = Witness { look: &look, seen: Mutex::default() };
    provider.acquire(&request, &witness, &CancellationToken::new()).await.unwrap();
    let seen = witness.seen.into_inner().unwrap();
    let [Some(at_first)] = seen.as_slice() else { panic!("not told once, with the runner in place: {seen:?}") };
    let at_last = harness.labels(&request.lease_id).unwrap();
    for (key, value) in request.labels().to_map() {
        // An image may have labels besides.
        assert_eq!((at_first.get(&key), at_last.get(&key)), (Some(&value), Some(&value)), "{key}");
    }
    provider.release(&request.lease_id).await.unwrap();
}

pub(crate) async fn the_endpoint_is_what_was_declared(harness: &dyn Harness) {
    let (provider, request) = (harness.provider(), harness.request());
    let (endpoint, declared) = (harness.lease(&*provider, &request).await, provider.capabilities());
    assert_eq!(endpoint.lease_id, request.lease_id);
    assert_eq!(endpoint.isolation, declared.isolation);
    assert_eq!(endpoint.shared, declared.shared_machine.is_some());
    assert!(declared.architectures.contains(&endpoint.architecture), "{}", endpoint.architecture);
    assert_eq!(matches!(endpoint.memory, MemoryLimit::Cgroup { .. }), harness.declared().enforces_memory);
    assert!(endpoint.host_key.starts_with("ssh-"), "{}", endpoint.host_key);
    provider.release(&request.lease_id).await.unwrap();
}

pub(crate) async fn a_check_changes_nothing(harness: &dyn Harness) {
    let (provider, request, before) = (harness.provider(), harness.request(), harness.runners());
    provider.check(&request).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
    assert_eq!(harness.runners(), before);
}

pub(crate) async fn a_failed_acquisition_leaves_nothing_after_its_release(harness: &dyn Harness) {
    let (provider, request) = (harness.failing_provider(), harness.request());
    let created = Mutex::new(false);
    let look = || {
        *created.lock().unwrap() = true;
        None
    };
    let witness = Witness { look: &look, seen: Mutex::default() };
    let error = provider.acquire(&request, &witness, &CancellationToken::new()).await.unwrap_err();
    provider.release(&request.lease_id).await.unwrap_or_else(|left| panic!("{left}, after {error}"));
    harness.assert_nothing_of(&request.lease_id);
}

/// Cancels at the moment when the provider says that the runner is being made.
struct Canceller(CancellationToken);

#[async_trait::async_trait]
impl AcquireWatch for Canceller {
    fn waiting(&self, _what: &str) {}

    async fn created(&self, _made: &Made) {
        self.0.cancel();
    }
}

pub(crate) async fn a_cancelled_acquisition_leaves_nothing_after_its_release(harness: &dyn Harness) {
    let (provider, request, cancel) = (harness.provider(), harness.request(), CancellationToken::new());
    let ended = provider.acquire(&request, &Canceller(cancel.clone()), &cancel).await;
    assert!(cancel.is_cancelled(), "it was never said to be created: {ended:?}");
    // Too late to be cancelled is fine: the release is the same.
    provider.release(&request.lease_id).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
}

pub(crate) async fn a_dropped_acquisition_leaves_nothing_after_its_release(harness: &dyn Harness) {
    let (provider, request, created) = (harness.provider(), harness.request(), CancellationToken::new());
    let watch = Canceller(created.clone());
    let never = CancellationToken::new();
    tokio::select! {
        biased;
        () = created.cancelled() => {}
        ended = provider.acquire(&request, &watch, &never) => drop(ended.unwrap()),
    }
    provider.release(&request.lease_id).await.unwrap();
    harness.assert_nothing_of(&request.lease_id);
}
