//! Creating the lease's container once and only once: its name is the idempotency key.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use tokio_util::sync::CancellationToken;

use super::container::is_of;
use super::{failure, removal};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::OwnerId;
use crate::provider::host::creating::NotCreated;

/// How often the request is sent when nobody knows what became of the one before.
const ATTEMPTS: u32 = 3;

/// How long a container is looked for whose request got no answer.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// A container that is there.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) id: String,
    /// What the daemon warns of (a limit that it does not keep, say), one line each. Nothing of one that was there already.
    pub(super) warnings: Vec<String>,
}

impl Created {
    fn before(id: String) -> Self {
        Self { id, warnings: Vec::new() }
    }
}

/// Creates the container; one of the same lease that is there is taken. Once it is being released, a request that got no
/// answer is not sent again.
pub(super) async fn create(
    docker: &Docker,
    lease: &LeaseId,
    owner: &OwnerId,
    body: &ContainerCreateBody,
    releasing: &CancellationToken,
) -> Result<Created, NotCreated> {
    let options = CreateContainerOptionsBuilder::default().name(lease.as_str()).build();
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 && releasing.is_cancelled() {
            break;
        }
        let error = match docker.create_container(Some(options.clone()), body.clone()).await {
            Ok(created) => {
                let warnings = created.warnings.iter().map(|warning| shown(warning)).collect();
                return Ok(Created { id: created.id, warnings });
            }
            Err(error) => error,
        };
        if failure::status(&error) == Some(409) {
            match adopt(docker, lease, owner).await.map_err(NotCreated::Refused)? {
                Some(id) => return Ok(Created::before(id)),
                // It was removed in between.
                None => continue,
            }
        }
        if !failure::is_unknown(&error) {
            return Err(NotCreated::Refused(refusal(&error)));
        }
        if let Some(id) = look(docker, lease, owner).await? {
            return Ok(Created::before(id));
        }
        if failure::status(&error).is_some() {
            // A fault that was said aloud, and nothing was made.
            return Err(NotCreated::Refused(refusal(&error)));
        }
        last = Some(error);
    }
    let error = last.map_or_else(
        || Error::new(ErrorKind::Provider, format!("the container `{lease}` vanishes again and again")),
        |error| failure::fault("make the runner's container", &error),
    );
    Err(NotCreated::Unknown(error))
}

/// Looks for a container whose request got no answer.
async fn look(docker: &Docker, lease: &LeaseId, owner: &OwnerId) -> Result<Option<String>, NotCreated> {
    let mut answer = None;
    for _ in 0..LOOKS {
        answer = Some(adopt(docker, lease, owner).await);
        match answer {
            Some(Ok(None)) | None => {}
            Some(Ok(found)) => return Ok(found),
            // Ours it is not, and will not be.
            Some(Err(error)) if error.kind() != ErrorKind::ReleaseUnconfirmed => {
                return Err(NotCreated::Refused(error));
            }
            Some(Err(ref _unreachable)) => {}
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    match answer {
        Some(Err(error)) => {
            Err(NotCreated::Unknown(Error::new(ErrorKind::Provider, error.message()).hint("is Docker running?")))
        }
        _ => Ok(None),
    }
}

/// The id of the container with the lease's name, when it is the lease's and the owner's.
async fn adopt(docker: &Docker, lease: &LeaseId, owner: &OwnerId) -> Result<Option<String>> {
    let Some(container) = removal::find(docker, lease).await? else { return Ok(None) };
    let labels = is_of(&container, lease).map_err(|why| removal::not_ours(lease, &why))?;
    if labels.owner != *owner {
        return Err(removal::not_ours(lease, &format!("its owner is `{}`", labels.owner)));
    }
    Ok(container.id)
}

fn shown(warning: &str) -> String {
    format!("Docker warns: {}", crate::sanitise::line(warning.trim()))
}

fn refusal(error: &DockerError) -> Error {
    failure::fault("make the runner's container", error)
}
