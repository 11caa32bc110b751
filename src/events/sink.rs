//! [`EventSink`]: a place that events go to.

use std::fmt;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::events::Message;

/// How many messages a sink takes in before it is slower than the run: far more than one run has.
pub(super) const QUEUE: usize = 64;

/// A place that events go to. Each works on its own, so a slow one does not hold up the others.
#[async_trait]
pub trait EventSink: fmt::Debug + Send {
    /// Takes a message; returns at once.
    fn push(&self, message: &Message);

    /// Ends at `deadline` or soon after it at the latest. Returns what the user should know.
    async fn finish(self: Box<Self>, deadline: Instant) -> Vec<String>;
}
