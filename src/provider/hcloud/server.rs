//! Servers of the project: looking one up, and whose it is.

use super::api::Api;
use super::failure::Failure;
use super::wire::{Action, Server};
use crate::error::{Error, ErrorKind};
use crate::ids::LeaseId;
use crate::lease::Labels;

/// The server of this name; names are unique in a project.
pub(super) async fn find(api: &Api, lease: &LeaseId) -> Result<Option<Server>, Failure> {
    let found: Vec<Server> = api.list("/servers", "servers", &[("name", lease.as_str())]).await?;
    Ok(found.into_iter().find(|server| server.name == lease.as_str()))
}

/// The server with this id; `None` when it is gone.
pub(super) async fn get(api: &Api, id: u64) -> Result<Option<Server>, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        server: Server,
    }
    match api.get::<Answer>(&format!("/servers/{id}"), &[]).await {
        Ok(answer) => Ok(Some(answer.server)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether it was given power, and that has ended well.
pub(super) async fn was_started(api: &Api, id: u64) -> Result<bool, Failure> {
    let actions: Vec<Action> = api.list(&format!("/servers/{id}/actions"), "actions", &[]).await?;
    Ok(actions.iter().any(|action| action.command == "start_server" && action.status == "success"))
}

/// Whether the server is the one of this lease, by its name and its own labels; else why not.
pub(super) fn is_of(server: &Server, lease: &LeaseId) -> Result<Labels, String> {
    if server.name != lease.as_str() {
        return Err("it has another name".to_owned());
    }
    match Labels::from_map(&server.labels) {
        None => Err("it has no label of lian-build".to_owned()),
        Some(Err(why)) => Err(why),
        Some(Ok(labels)) if labels.lease_id == *lease => Ok(labels),
        Some(Ok(labels)) => Err(format!("its labels name the lease `{}`", labels.lease_id)),
    }
}

/// A server that has the lease's name and is somebody else's is never touched.
pub(super) fn not_ours(lease: &LeaseId, why: &str) -> Error {
    Error::new(ErrorKind::Provider, format!("the server `{lease}` is not a runner of this lease: {why}"))
        .hint("it is left alone")
}

/// Nobody confirmed that it is gone.
pub(super) fn unconfirmed(lease: &LeaseId, why: &str) -> Error {
    Error::new(ErrorKind::ReleaseUnconfirmed, format!("the server `{lease}` may still exist and be billed: {why}"))
        .hint(format!("`hcloud server delete {lease}`, or the project's console, removes it"))
}
