//! [`Daemon`]: the connection to the Docker daemon, made when it is first needed.

use std::path::Path;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::OnceCell;

use super::address::{self, Address};
use super::config::DEFAULT_HOST;
use super::failure;
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};

/// How long one request may take, in seconds. A daemon that is busy with large images is slow.
const REQUEST_LIMIT: u64 = 60;

/// The connection to the Docker daemon. Its API version is negotiated once.
#[derive(Debug)]
pub(crate) struct Daemon {
    host: String,
    client: OnceCell<Docker>,
}

impl Daemon {
    /// The daemon at `host`. Asks nothing yet.
    pub(crate) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), client: OnceCell::new() }
    }

    /// The address, without a login.
    pub(super) fn shown(&self) -> String {
        address::shown(&self.host)
    }

    /// A client that speaks a version of the API which the daemon knows.
    ///
    /// # Errors
    /// `Usage` for an address that cannot be used, `NoCapacity` when no daemon answers.
    pub(crate) async fn client(&self) -> Result<&Docker> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    /// As [`Daemon::client`], for who asks which containers there are.
    ///
    /// # Errors
    /// `NoCapacity` only where there is no Docker: nobody said where it listens, and its usual socket does not exist. Any
    /// other silence may hide containers and is a fault.
    pub(super) async fn client_if_any(&self) -> Result<&Docker> {
        self.client().await.map_err(|error| {
            if error.kind() != ErrorKind::NoCapacity || self.is_absent() {
                error
            } else {
                error.of_kind(ErrorKind::Provider)
            }
        })
    }

    /// True where this machine has no Docker.
    fn is_absent(&self) -> bool {
        let is_missing =
            |path: &Path| path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        self.host == DEFAULT_HOST && matches!(Address::parse(&self.host), Ok(Address::Unix(path)) if is_missing(&path))
    }

    async fn connect(&self) -> Result<Docker> {
        let client = match Address::parse(&self.host)? {
            Address::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), REQUEST_LIMIT, API_DEFAULT_VERSION)
            }
            Address::Loopback(address) => {
                Docker::connect_with_http(&format!("tcp://{address}"), REQUEST_LIMIT, API_DEFAULT_VERSION)
            }
        };
        let client = client.map_err(|error| self.unreachable(&error))?;
        client.negotiate_version().await.map_err(|error| self.unreachable(&error))
    }

    /// Whether a daemon answers within `limit`; else why not.
    pub(super) async fn answers(&self, limit: Duration) -> Result<()> {
        match tokio::time::timeout(limit, self.client()).await {
            Ok(client) => client.map(drop),
            Err(_) => Err(Error::new(
                ErrorKind::NoCapacity,
                format!("the Docker daemon at `{}` does not answer", self.shown()),
            )),
        }
    }

    fn unreachable(&self, error: &DockerError) -> Error {
        let said = Error::new(
            ErrorKind::NoCapacity,
            format!("the Docker daemon at `{}` cannot be reached: {}", self.shown(), failure::words(error)),
        );
        let said = if io_kind(error) == Some(std::io::ErrorKind::PermissionDenied) {
            said.hint("this user may not use Docker: add it to the group `docker`")
        } else {
            said.hint(format!("start Docker, or set {} to the socket it listens on", env_vars::DOCKER_HOST))
        };
        said.hint("or choose another provider with `--provider`")
    }
}

/// What the operating system said, where that is the cause.
fn io_kind(error: &DockerError) -> Option<std::io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_daemon_may_have_containers() {
        let daemon = Daemon::new("unix:///nowhere/docker.sock");
        // For a build it is no capacity; for who asks what there is it is not the answer "nothing".
        assert_eq!(daemon.client().await.unwrap_err().kind(), ErrorKind::NoCapacity);
        let error = daemon.client_if_any().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Provider);
        assert!(!error.hints().is_empty() && error.message().contains("/nowhere/docker.sock"), "{error:?}");
    }
}
