//! Creating the lease's server once and only once: its name is the idempotency key.

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::config::Pace;
use super::failure::Failure;
use super::server::{find, is_of, not_ours};
use super::wire::{Action, CreatedServer, Server};
use crate::error::{Error, ErrorKind};
use crate::ids::LeaseId;
use crate::lease::OwnerId;
use crate::provider::host::creating::NotCreated;

/// How often the request is sent when nobody knows what became of the one before.
const ATTEMPTS: u32 = 3;

/// A server that is there.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) server: Server,
    /// What has to end before it runs.
    pub(super) actions: Vec<Action>,
    pub(super) location: String,
}

/// Asks for one server.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) lease: LeaseId,
    pub(super) owner: OwnerId,
    pub(super) server_type: String,
    pub(super) locations: Vec<String>,
    /// The request but for its location.
    pub(super) body: Value,
    pub(super) pace: Pace,
    /// Cancelled by the first release: after it nothing that makes something is sent.
    pub(super) releasing: CancellationToken,
}

impl Creation {
    /// Asks in one location after the other; every one that has none is named in the end.
    pub(super) async fn create(&self, api: &Api) -> Result<Created, NotCreated> {
        let mut answers = Vec::new();
        for location in &self.locations {
            match self.create_in(api, location).await? {
                Ok(created) => return Ok(created),
                Err(failure) => answers.push(format!("`{}@{location}`: {failure}", self.server_type)),
            }
        }
        let message = format!("Hetzner Cloud has no such server now: {}", answers.join("; "));
        Err(NotCreated::Refused(Error::new(ErrorKind::NoCapacity, message).hint(
            "`--wait-capacity 30m` asks again until there is one; directives may name other types and locations",
        )))
    }

    /// The server; or, inside, why there is none in this location.
    async fn create_in(&self, api: &Api, location: &str) -> Result<Result<Created, Failure>, NotCreated> {
        let mut body = self.body.clone();
        if let Some(body) = body.as_object_mut() {
            body.insert("location".to_owned(), json!(location));
        }
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 && self.releasing.is_cancelled() {
                break;
            }
            let failure = match api.post::<CreatedServer>("/servers", &body).await {
                Ok(created) => {
                    let actions = created.action.into_iter().chain(created.next_actions).collect();
                    return Ok(Ok(Created { server: created.server, actions, location: location.to_owned() }));
                }
                Err(failure) => failure,
            };
            if failure.code() == "uniqueness_error" {
                match self.adopt(api).await.map_err(|found| found.refused(self))? {
                    Some(server) => return Ok(Ok(self.found(server, location))),
                    // It was removed in between.
                    None => continue,
                }
            }
            if failure.is_out_of_stock() {
                return Ok(Err(failure));
            }
            if !failure.is_unknown() {
                return Err(NotCreated::Refused(failure.into_error("make the runner's server")));
            }
            if let Some(server) = self.look(api).await? {
                return Ok(Ok(self.found(server, location)));
            }
            last = Some(failure);
        }
        Err(NotCreated::Unknown(last.map_or_else(
            || Error::new(ErrorKind::Provider, format!("the server `{}` vanishes again and again", self.lease)),
            |failure| failure.into_error("make the runner's server"),
        )))
    }

    /// One that was there before; what it waits for is seen by its state.
    fn found(&self, server: Server, location: &str) -> Created {
        let its = server.location.as_ref().map(|location| location.name.clone());
        let location = its.filter(|name| !name.is_empty()).unwrap_or_else(|| location.to_owned());
        Created { server, actions: Vec::new(), location }
    }

    /// Looks for a server whose request got no answer.
    async fn look(&self, api: &Api) -> Result<Option<Server>, NotCreated> {
        let end = Instant::now() + self.pace.look_limit;
        let mut pauses = api.pauses();
        loop {
            let answer = self.adopt(api).await;
            match answer {
                Ok(Some(server)) => return Ok(Some(server)),
                Err(NotAdopted::NotOurs(why)) => return Err(NotCreated::Refused(not_ours(&self.lease, &why))),
                Ok(None) if Instant::now() >= end || self.releasing.is_cancelled() => return Ok(None),
                Err(NotAdopted::NotAsked(failure)) if Instant::now() >= end || self.releasing.is_cancelled() => {
                    return Err(NotCreated::Unknown(failure.into_error("say whether it made the runner's server")));
                }
                Ok(None) | Err(NotAdopted::NotAsked(_)) => api.pause(pauses.next()).await,
            }
        }
    }

    /// The server with the lease's name, when it is the lease's and the owner's.
    async fn adopt(&self, api: &Api) -> Result<Option<Server>, NotAdopted> {
        let Some(server) = find(api, &self.lease).await.map_err(NotAdopted::NotAsked)? else { return Ok(None) };
        let labels = is_of(&server, &self.lease).map_err(NotAdopted::NotOurs)?;
        if labels.owner != self.owner {
            return Err(NotAdopted::NotOurs(format!("its owner is `{}`", labels.owner)));
        }
        Ok(Some(server))
    }
}

/// Why a server of the lease's name is not taken.
enum NotAdopted {
    NotOurs(String),
    NotAsked(Failure),
}

impl NotAdopted {
    fn refused(self, creation: &Creation) -> NotCreated {
        match self {
            Self::NotOurs(why) => NotCreated::Refused(not_ours(&creation.lease, &why)),
            Self::NotAsked(failure) => {
                NotCreated::Unknown(failure.into_error("say whose the server of the lease's name is"))
            }
        }
    }
}
