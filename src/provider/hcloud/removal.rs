//! Taking the lease's server away, and everything that was made with it; and looking whether it is gone.

use serde_json::Value;
use tokio::time::Instant;

use super::api::Api;
use super::config::Pace;
use super::failure::Failure;
use super::server::{find, get, is_of, not_ours, unconfirmed};
use super::wire::{Firewall, MaybeAction, PrimaryIp, Server};
use crate::error::Result;
use crate::ids::LeaseId;
use crate::lease::{LEASE_LABEL, MANAGED_LABEL};

/// Removes the lease's server, and waits until the API does not know it any more. False when there was none.
///
/// # Errors
/// `Provider` when the server of this name is not the lease's; `ReleaseUnconfirmed` when it may still be there.
pub(super) async fn remove(api: &Api, pace: &Pace, lease: &LeaseId) -> Result<bool> {
    let asked = |failure: Failure| unconfirmed(lease, &failure.to_string());
    let Some(found) = find(api, lease).await.map_err(asked)? else { return Ok(false) };
    // Read again by its id: what is removed is what was looked at.
    let Some(server) = get(api, found.id).await.map_err(asked)? else { return Ok(true) };
    is_of(&server, lease).map_err(|why| not_ours(lease, &why))?;
    delete(api, pace, lease, server.id).await?;
    remove_addresses(api, lease, &server).await?;
    Ok(true)
}

/// Sends the request until it is carried out, and believes only that the server is not found any more.
async fn delete(api: &Api, pace: &Pace, lease: &LeaseId, id: u64) -> Result<()> {
    let end = Instant::now() + pace.delete_limit;
    let mut pauses = api.pauses();
    loop {
        let said = match api.delete::<MaybeAction>(&format!("/servers/{id}")).await {
            Ok(answer) => api.wait(answer.action).await.err(),
            Err(failure) if failure.is_not_found() => None,
            Err(failure) => Some(failure),
        };
        match get(api, id).await {
            Ok(None) => return Ok(()),
            seen if Instant::now() >= end => {
                let why = said.or(seen.err()).map_or_else(|| "it is still there".to_owned(), |why| why.to_string());
                return Err(unconfirmed(lease, &why));
            }
            // Something else is being done to it, or it is on its way out.
            _ => api.pause(pauses.next()).await,
        }
    }
}

/// The addresses that were made with the server go with it. One that stayed would be billed, and has no label of ours: it is
/// known by its id, and taken away only when it is nobody's.
async fn remove_addresses(api: &Api, lease: &LeaseId, server: &Server) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Answer {
        primary_ip: PrimaryIp,
    }
    let net = &server.public_net;
    for id in [&net.ipv4, &net.ipv6].into_iter().flatten().filter_map(|address| address.id) {
        let path = format!("/primary_ips/{id}");
        let address = match api.get::<Answer>(&path, &[]).await {
            Ok(answer) => answer.primary_ip,
            Err(failure) if failure.is_not_found() => continue,
            // The server is gone; that is what a release confirms.
            Err(failure) => {
                tracing::debug!(%failure, "asking for an address");
                continue;
            }
        };
        if address.id != id || address.assignee_id.is_some() || !address.auto_delete {
            continue;
        }
        match api.delete::<Value>(&path).await {
            Err(failure) if !failure.is_not_found() => {
                return Err(unconfirmed(
                    lease,
                    &format!("its address, the primary IP {id}, could not be removed: {failure}"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the lease's firewall. A server must not be using it any more.
///
/// # Errors
/// `ReleaseUnconfirmed` when it stays.
pub(super) async fn remove_firewall(api: &Api, pace: &Pace, lease: &LeaseId) -> Result<bool> {
    let selector = format!("{MANAGED_LABEL}==1,{LEASE_LABEL}=={lease}");
    let asked = |failure: Failure| unconfirmed(lease, &format!("its firewall is not known: {failure}"));
    let found: Vec<Firewall> =
        api.list("/firewalls", "firewalls", &[("label_selector", selector.as_str())]).await.map_err(asked)?;
    let mut removed = false;
    for firewall in found.iter().filter(|firewall| firewall.name == lease.as_str()) {
        let end = Instant::now() + pace.delete_limit;
        let mut pauses = api.pauses();
        loop {
            match api.delete::<Value>(&format!("/firewalls/{}", firewall.id)).await {
                // A moment ago the server still had it.
                Err(failure) if failure.is_busy() && Instant::now() < end => api.pause(pauses.next()).await,
                Err(failure) if !failure.is_not_found() => {
                    return Err(unconfirmed(lease, &format!("its firewall could not be removed: {failure}")));
                }
                _ => break,
            }
        }
        removed = true;
    }
    Ok(removed)
}
