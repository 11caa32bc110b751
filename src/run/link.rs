//! [`Link`]: the way to a runner, made anew when it breaks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::patience::Patience;
use super::unreachable::Unreachable;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::remote::{ConnectionLost, Session};
use crate::report::progress::{Level, Progress};
use crate::solve::agents;

/// How often one command is begun before a connection that breaks each time counts as none.
const MAX_TRIES: u32 = 3;

/// The pause before the second try to connect; the first has none.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The way to one runner. Whoever works over a session holds it by its `Arc`: one that was replaced ends with the last of
/// them.
#[derive(Debug)]
pub(super) struct Link<'a> {
    endpoint: &'a Endpoint,
    /// The sockets of the caller's SSH agents, which every connection forwards.
    agents: &'a [PathBuf],
    progress: &'a Progress,
    patience: Patience,
    /// How many sessions there were, and the present one.
    current: Mutex<(u32, Arc<Session>)>,
}

impl<'a> Link<'a> {
    /// Connects. The provider has just seen the runner answer, but a first try may meet a full queue or a port that is only
    /// about to be forwarded.
    ///
    /// # Errors
    /// [`ErrorKind::Runner`] when the runner cannot be reached for [`Patience::reconnect`].
    pub(super) async fn connect(
        endpoint: &'a Endpoint,
        agents: &'a [PathBuf],
        progress: &'a Progress,
        patience: Patience,
    ) -> Result<Self> {
        let mut count = 0;
        let session = seek(endpoint, agents, progress, patience.reconnect, &mut count).await?;
        Ok(Self { endpoint, agents, progress, patience, current: Mutex::new((count, Arc::new(session))) })
    }

    /// Forwards the caller's agents from now on, where what they need on the runner was not there when it was connected to.
    ///
    /// # Errors
    /// As [`agents::forward`].
    pub(super) async fn take_agents(&mut self, sockets: &'a [PathBuf]) -> Result<()> {
        self.agents = sockets;
        let session = self.session().await;
        match agents::forward(&session, self.endpoint, sockets).await {
            // The next connection forwards them itself.
            Err(error) if ConnectionLost::is_cause_of(&error) => self.after(&session).await.map(drop),
            forwarded => forwarded,
        }
    }

    /// The present session.
    pub(super) async fn session(&self) -> Arc<Session> {
        Arc::clone(&self.current.lock().await.1)
    }

    /// The session after `lost`: made here, unless another one has made it.
    ///
    /// # Errors
    /// [`ErrorKind::Runner`] when the runner cannot be reached for [`Patience::reconnect`].
    pub(super) async fn after(&self, lost: &Arc<Session>) -> Result<Arc<Session>> {
        let mut current = self.current.lock().await;
        if !Arc::ptr_eq(&current.1, lost) {
            return Ok(Arc::clone(&current.1));
        }
        let _wait = self.progress.wait("the runner to answer again: its connection was lost");
        let limit = self.patience.reconnect;
        let session = Arc::new(seek(self.endpoint, self.agents, self.progress, limit, &mut current.0).await?);
        current.1 = Arc::clone(&session);
        self.progress.message(Level::Info, "the connection to the runner was lost and stands again");
        Ok(session)
    }

    /// Does `work`, again on a new session when the connection breaks: it must be safe to repeat.
    ///
    /// # Errors
    /// Those of `work`, and as [`Link::after`].
    pub(super) async fn repeat<T>(&self, mut work: impl AsyncFnMut(&Session) -> Result<T>) -> Result<T> {
        let mut session = self.session().await;
        for _ in 1..MAX_TRIES {
            match work(&session).await {
                Err(error) if ConnectionLost::is_cause_of(&error) => {
                    tracing::debug!(%error, "to be repeated");
                    session = self.after(&session).await?;
                }
                ended => return ended,
            }
        }
        work(&session).await
    }

    /// Ends the connection.
    pub(super) async fn close(self) {
        // Somebody who still works over it ends it: then it ends with them.
        let Ok(session) = Arc::try_unwrap(self.current.into_inner().1) else { return };
        // The connection's end says nothing about the build; the release ends it for certain.
        if let Err(error) = session.close().await {
            tracing::debug!(%error, "closing the connection");
        }
    }
}

/// One connection with everything that goes over it.
async fn open(endpoint: &Endpoint, agents: &[PathBuf], dir: &Path) -> Result<Session> {
    let session = Session::connect(endpoint, dir).await?;
    agents::forward(&session, endpoint, agents).await?;
    Ok(session)
}

/// Connects, again and again for as long as `limit`. `count` is how many connections were tried.
async fn seek(
    endpoint: &Endpoint,
    agents: &[PathBuf],
    progress: &Progress,
    limit: Duration,
    count: &mut u32,
) -> Result<Session> {
    let end = Instant::now() + limit;
    let pauses =
        ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).without_max_times();
    let mut pauses = pauses.build();
    let mut wait = None;
    loop {
        // A directory of its own: the sockets and files of an earlier one may still be in use.
        *count += 1;
        let dir = endpoint.session_dir.join(count.to_string());
        let error = match tokio::time::timeout_at(end, open(endpoint, agents, &dir)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) if ConnectionLost::is_cause_of(&error) => error,
            Ok(Err(error)) => return Err(error),
            Err(_) => Error::new(ErrorKind::Runner, "it does not answer over SSH"),
        };
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        if Instant::now() + pause >= end {
            let limit = limit.as_secs();
            return Err(Unreachable::error(format!("the runner could not be reached for {limit} s: {error}")));
        }
        tracing::debug!(%error, "connecting again");
        wait.get_or_insert_with(|| progress.wait("the runner to answer over SSH"));
        tokio::time::sleep(pause).await;
    }
}
