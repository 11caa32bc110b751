//! Removing a container, verified: its labels are read again before, and it is looked for after.

use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use tokio::time::Instant;

use super::container::is_of;
use super::{failure, volumes};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;

/// How long the daemon may take to let go of a container; it kills it, unmounts it and removes its volume.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The container of this name; `None` when there is none.
pub(super) async fn find(docker: &Docker, lease: &LeaseId) -> Result<Option<ContainerInspectResponse>> {
    match docker.inspect_container(lease.as_str(), None).await {
        Ok(container) => Ok(Some(container)),
        Err(error) if failure::is_not_found(&error) => Ok(None),
        Err(error) => Err(unconfirmed(lease, &failure::words(&error))),
    }
}

/// Removes the lease's container and its anonymous volume, and waits until both are gone. False when there was no
/// container.
///
/// # Errors
/// `Provider` when the container of this name is not the lease's; `ReleaseUnconfirmed` when it may still be there.
pub(super) async fn remove(docker: &Docker, lease: &LeaseId) -> Result<bool> {
    let Some(container) = find(docker, lease).await? else { return Ok(false) };
    is_of(&container, lease).map_err(|why| not_ours(lease, &why))?;
    // By its id: another one may get the name in between.
    let Some(id) = container.id else { return Err(unconfirmed(lease, "Docker does not name its id")) };
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let end = Instant::now() + LIMIT;
    loop {
        let said = match docker.remove_container(&id, Some(options.clone())).await {
            Err(error) if !failure::is_not_found(&error) => failure::words(&error),
            _ => String::new(),
        };
        match docker.inspect_container(&id, None).await {
            Err(error) if failure::is_not_found(&error) => break,
            Err(error) if Instant::now() >= end => return Err(unconfirmed(lease, &failure::words(&error))),
            Ok(_) if Instant::now() >= end => return Err(unconfirmed(lease, &said)),
            // Somebody else removes it at this moment, or a mount of it is busy.
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    volumes::remove(docker, lease).await?;
    Ok(true)
}

/// A container that has the lease's name and is somebody else's is never touched.
pub(super) fn not_ours(lease: &LeaseId, why: &str) -> Error {
    Error::new(ErrorKind::Provider, format!("the container `{lease}` is not a runner of this lease: {why}"))
        .hint("it is left alone")
}

pub(super) fn unconfirmed(lease: &LeaseId, why: &str) -> Error {
    Error::new(ErrorKind::ReleaseUnconfirmed, format!("the container `{lease}` may still exist: {why}"))
        .hint(format!("`docker rm --force --volumes {lease}` removes it"))
}
