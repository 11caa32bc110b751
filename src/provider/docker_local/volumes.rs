//! The volumes of leases: a container that has no kept cache has one for BuildKit's state, with the lease's labels. It goes
//! with its container, unless something comes in between.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::Volume;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use jiff::Timestamp;
use tokio::time::Instant;

use super::container::labels_of;
use super::{failure, removal};
use crate::clock::{Clock as _, SystemClock};
use crate::error::Result;
use crate::ids::LeaseId;
use crate::lease::{LEASE_LABEL, Labels, MANAGED_LABEL};

/// How long the daemon may take to let go of a volume whose container is gone.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Removes the volumes of a lease that has no container any more, and waits until they are gone. False when there was none.
///
/// # Errors
/// `ReleaseUnconfirmed` when one may still be there.
pub(super) async fn remove(docker: &Docker, lease: &LeaseId) -> Result<bool> {
    let mut found = false;
    let end = Instant::now() + LIMIT;
    loop {
        let volumes = list(docker, &format!("{LEASE_LABEL}={lease}"))
            .await
            .map_err(|error| removal::unconfirmed(lease, &failure::words(&error)))?;
        let ours: Vec<Volume> = volumes
            .into_iter()
            .filter(|volume| labels(volume).is_some_and(|labels| labels.lease_id == *lease))
            .collect();
        if ours.is_empty() {
            return Ok(found);
        }
        found = true;
        let mut said = String::new();
        for volume in ours {
            match docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await {
                Err(error) if !failure::is_not_found(&error) => said = failure::words(&error),
                _ => {}
            }
        }
        if Instant::now() >= end {
            return Err(removal::unconfirmed(lease, &format!("its volume is left: {said}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes the volumes of leases that are over and whose containers went without them. The daemon refuses to remove one
/// that is used.
///
/// # Errors
/// When the daemon cannot be asked.
pub(super) async fn remove_orphans(docker: &Docker) -> Result<()> {
    let volumes = list(docker, &format!("{MANAGED_LABEL}=1"))
        .await
        .map_err(|error| failure::fault("list its volumes", &error))?;
    let now = SystemClock.now();
    for volume in volumes {
        if let Some(labels) = labels(&volume)
            && is_over(&labels, now)
            && removal::find(docker, &labels.lease_id).await?.is_none()
        {
            // One that is used after all stays; the next sweep looks again.
            let _ = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
        }
    }
    Ok(())
}

async fn list(docker: &Docker, label: &str) -> std::result::Result<Vec<Volume>, bollard::errors::Error> {
    let filters = HashMap::from([("label", vec![label.to_owned()])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    Ok(docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default())
}

/// Whose it is, by its own labels.
fn labels(volume: &Volume) -> Option<Labels> {
    Labels::from_map(&labels_of(Some(&volume.labels)))?.ok()
}

/// Before the hard deadline only the lease's own machine knows that nobody makes a container for it.
fn is_over(labels: &Labels, now: Timestamp) -> bool {
    labels.hard_deadline < now
}
