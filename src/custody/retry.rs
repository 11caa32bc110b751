//! [`release_until`]: asks a provider again and again until a runner is verified gone.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::provider::{ComputeProvider, Released};

/// The pause after the first attempt; each later one is twice as long, up to the caller's limit.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How long one attempt may take: an answer that never comes must not keep the next attempt from being made.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(60);

/// Why the last attempt failed, also for who stops waiting in between.
#[derive(Debug)]
pub(super) struct LastFailure(watch::Sender<Option<String>>);

impl LastFailure {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    fn set(&self, error: &Error) {
        tracing::debug!(%error, "a release");
        self.0.send_replace(Some(error.message()));
    }

    /// Waits until an attempt has failed.
    pub(super) async fn happened(&self) {
        // The sender is ours: there is no other way for this to end.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// `what`, with the last failure where there was one.
    pub(super) fn explain(&self, what: &str) -> Error {
        let message = match &*self.0.borrow() {
            Some(last) => format!("{what}: {last}"),
            None => what.to_owned(),
        };
        Error::new(ErrorKind::ReleaseUnconfirmed, message)
    }
}

/// Releases a runner: at once, and again after every failure, with pauses of up to `longest_pause`, for `limit`.
///
/// # Errors
/// When the limit is over, with the last failure.
pub(super) async fn release_until(
    provider: &dyn ComputeProvider,
    lease: &LeaseId,
    limit: Duration,
    longest_pause: Duration,
    last: &LastFailure,
) -> Result<Released> {
    let pauses =
        ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(longest_pause).without_max_times();
    let attempt = || async {
        tokio::time::timeout(ATTEMPT_LIMIT, provider.release(lease)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Provider, format!("`{}` gave no answer in time", provider.name())))
        })
    };
    let releasing = attempt.retry(pauses).notify(|error, _| last.set(error));
    tokio::time::timeout(limit, releasing)
        .await
        .unwrap_or_else(|_| Err(last.explain(&format!("it was not confirmed within {} s", limit.as_secs()))))
}
