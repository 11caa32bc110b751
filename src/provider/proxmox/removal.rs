//! Removing a machine, verified: what it is, is read again immediately before each step, and it is looked for after.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::cluster::{self, Place, Search};
use super::failure::Failure;
use super::upid::Upid;
use super::{VmidRange, task};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;

/// How long one attempt may take: less than what a caller allows one.
const LIMIT: Duration = Duration::from_secs(50);
const PAUSE: Duration = Duration::from_millis(250);

/// Removes the lease's machine and waits until it is gone. False when there was none.
///
/// # Errors
/// `Provider` when the machine of this name is not the lease's; `ReleaseUnconfirmed` when it may still be there.
pub(super) async fn remove(client: &Client, vmids: VmidRange, lease: &LeaseId, known: &BTreeSet<u32>) -> Result<bool> {
    match cluster::find(client, vmids, lease, known).await.map_err(|failure| unconfirmed(lease, failure.words()))? {
        Search::Nothing => Ok(false),
        Search::Others(place, why) => Err(not_ours(lease, &place, &why)),
        Search::Ours(found) => {
            remove_at(client, lease, &found.place).await?;
            Ok(true)
        }
    }
}

async fn remove_at(client: &Client, lease: &LeaseId, place: &Place) -> Result<()> {
    let end = Instant::now() + LIMIT;
    let mut said = String::new();
    while Instant::now() < end {
        match step(client, lease, place).await {
            Ok(Step::Gone) => return Ok(()),
            Ok(Step::Done) => {}
            Ok(Step::Wait(why)) => {
                said = why;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(Step::Stuck(error)) => return Err(error),
            Err(failure) => {
                failure.words().clone_into(&mut said);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Err(unconfirmed(lease, &said))
}

enum Step {
    /// There is none of ours any more under this id.
    Gone,
    /// Something was done; look again.
    Done,
    /// It has to pass.
    Wait(String),
    /// It will not pass.
    Stuck(Error),
}

/// The next step towards its end. The configuration is the last thing that is read before something is done to it.
async fn step(client: &Client, lease: &LeaseId, place: &Place) -> Result<Step, Failure> {
    let vmid = place.vmid.to_string();
    let status = match client.get(&place.with(&vmid, &["status", "current"]), &[]).await {
        Ok(status) => status,
        Err(failure) if failure.is_missing() => Value::Null,
        Err(failure) => return Err(failure),
    };
    let Some(config) = cluster::config(client, place).await? else { return Ok(Step::Gone) };
    if config.is_of(lease).is_err() {
        // It went in between, and its id is somebody else's now.
        return Ok(Step::Gone);
    }
    if let Some(lock) = config.text("lock") {
        return Ok(Step::Wait(format!("it is locked ({})", crate::sanitise::short(&lock, 40))));
    }
    if config.is_on("protection") {
        if config.is_tagged() {
            // Somebody has protected it since: that is a decision, and not ours to take back.
            let error = unconfirmed(lease, "somebody has protected it against removal");
            return Ok(Step::Stuck(error.hint(format!("`qm set {vmid} --protection 0` takes the protection away"))));
        }
        // The template's, which the clone was born with.
        client.put(&place.with(&vmid, &["config"]), &[("protection", "0")]).await?;
        return Ok(Step::Done);
    }
    let runs = status.get("status").and_then(Value::as_str) == Some("running");
    let answer = if runs {
        client.post(&place.with(&vmid, &["status", "stop"]), &[]).await?
    } else {
        client.delete(&place.with(&vmid, &[]), &[("purge", "1"), ("destroy-unreferenced-disks", "1")]).await?
    };
    match task::wait(client, Upid::of(&answer)?, LIMIT).await {
        // It may have started, or stopped, in between.
        Err(failure) if failure.is_missing() || failure.is_busy() => Ok(Step::Wait(failure.words().to_owned())),
        ended => ended.map(|()| Step::Done),
    }
}

/// A machine that has the lease's name and is somebody else's is never touched.
pub(super) fn not_ours(lease: &LeaseId, place: &Place, why: &str) -> Error {
    Error::new(
        ErrorKind::Provider,
        format!("the machine {} is not the runner of the lease `{lease}`: {why}", place.shown()),
    )
    .hint("it is left alone")
}

pub(super) fn unconfirmed(lease: &LeaseId, why: &str) -> Error {
    let why = if why.is_empty() { "it did not go in time" } else { why };
    Error::new(ErrorKind::ReleaseUnconfirmed, format!("the machine `{lease}` of Proxmox VE may still exist: {why}"))
        .hint(format!("`qm list` shows it by its name, `{lease}`"))
}
