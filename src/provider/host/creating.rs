//! What becomes of the request that makes a runner. A task of its own sends it, so that it is waited for even when nobody wants
//! the runner any more: whoever releases must know what may exist.

use tokio::task::JoinHandle;

use super::lease_dir::LeaseDir;
use crate::error::{Error, ErrorKind, Result};

/// Why there is no runner.
#[derive(Debug)]
pub(in crate::provider) enum NotCreated {
    /// The provider said so: nothing was made.
    Refused(Error),
    /// Nobody knows: something may exist, or come to exist.
    Unknown(Error),
}

/// A request under way.
pub(in crate::provider) type Creating<T> = JoinHandle<std::result::Result<T, NotCreated>>;

/// Waits for the request, for a `made` (a server, say), and takes note where it is certain that nothing was made. Dropping this
/// leaves the request under way.
///
/// # Errors
/// Why there is no runner.
pub(in crate::provider) async fn ended<T>(creating: &mut Option<Creating<T>>, dir: &LeaseDir, made: &str) -> Result<T> {
    let Some(request) = creating else {
        return Err(Error::new(ErrorKind::Provider, "the request was not sent"));
    };
    let ended = request.await;
    *creating = None;
    match ended {
        Ok(Ok(created)) => Ok(created),
        Ok(Err(NotCreated::Refused(error))) => {
            dir.set_creating(false)?;
            Err(error)
        }
        Ok(Err(NotCreated::Unknown(error))) => Err(error),
        Err(panic) => {
            Err(Error::new(ErrorKind::Provider, format!("the request to make the {made} died")).because(panic))
        }
    }
}
