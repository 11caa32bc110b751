//! Cloning the lease's machine once and only once. Its name is the idempotency key; its id is one that we choose by chance, and
//! that somebody else may take at the same moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::cluster::{self, Place, Search};
use super::failure::Failure;
use super::held_vm::known;
use super::removal::not_ours;
use super::upid::Upid;
use super::vm_config::VmConfig;
use super::{ProxmoxConfig, description, task};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::Labels;
use crate::provider::host::creating::NotCreated;
use crate::provider::host::lease_dir::LeaseDir;

/// How many ids are tried that turn out to be somebody else's.
const IDS: u32 = 20;

/// How often the request is sent for one id when nobody knows what became of the one before.
const SENDS: u32 = 3;

/// How long a machine is looked for whose request got no answer.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// How long a clone may take: a full one copies a whole disk.
const CLONE_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What is to be made. Owned, for it is made by a task of its own.
pub(super) struct Order {
    pub(super) client: Arc<Client>,
    pub(super) config: ProxmoxConfig,
    pub(super) template: Place,
    /// The node that it is made on.
    pub(super) node: String,
    pub(super) labels: Labels,
    pub(super) dir: LeaseDir,
    /// Once it is cancelled, nothing is begun any more, and a clone under way is told to end.
    pub(super) releasing: CancellationToken,
}

/// How the request for one id ended.
enum Outcome {
    Made(Place),
    /// The id is somebody else's.
    Taken,
}

/// Whose an id is.
enum Whose {
    Ours(Place),
    Others,
    Nobodys,
}

impl Order {
    fn lease(&self) -> &LeaseId {
        &self.labels.lease_id
    }

    /// Makes the machine, or finds the one that an earlier request of this lease made.
    pub(super) async fn carry_out(self) -> Result<Place, NotCreated> {
        let refuse = |failure: Failure| NotCreated::Refused(failure.into_error("list its machines"));
        let known = known(&self.dir);
        match cluster::find(&self.client, self.config.vmids, self.lease(), &known).await.map_err(refuse)? {
            Search::Ours(found) => return self.adopt(found.place, &found.config).await,
            Search::Others(place, why) => return Err(NotCreated::Refused(not_ours(self.lease(), &place, &why))),
            Search::Nothing => {}
        }
        let mut tried = BTreeSet::new();
        for _ in 0..IDS {
            if self.releasing.is_cancelled() {
                return Err(NotCreated::Refused(released(self.lease())));
            }
            let listings = cluster::list(&self.client).await.map_err(refuse)?;
            let mut taken = cluster::taken(&listings);
            taken.extend(&tried);
            let vmid = self.config.vmids.pick(&taken).ok_or_else(|| NotCreated::Refused(no_id(&self.config)))?;
            // Before the request: who cleans up after a kill has to look there.
            self.dir.add_remote_id(&vmid.to_string()).map_err(NotCreated::Refused)?;
            match self.make(&Place { node: self.node.clone(), vmid }).await? {
                Outcome::Made(place) => return Ok(place),
                Outcome::Taken => tried.insert(vmid),
            };
        }
        Err(NotCreated::Refused(
            Error::new(
                ErrorKind::Provider,
                format!("each of {IDS} ids that were free in Proxmox VE was somebody else's a moment later"),
            )
            .hint(format!("set {} to a range that nobody else uses", crate::env_vars::PROXMOX_VE_VMID_RANGE)),
        ))
    }

    /// Takes the machine that an earlier request of this lease made.
    async fn adopt(&self, place: Place, config: &VmConfig) -> Result<Place, NotCreated> {
        match config.is_of(self.lease()) {
            Ok(labels) if labels.owner == self.labels.owner => self.settled(place).await,
            Ok(labels) => {
                let why = format!("its owner is `{}`", labels.owner);
                Err(NotCreated::Refused(not_ours(self.lease(), &place, &why)))
            }
            Err(why) => Err(NotCreated::Refused(not_ours(self.lease(), &place, &why))),
        }
    }

    /// Asks for the machine under this id until it is known what became of it.
    async fn make(&self, place: &Place) -> Result<Outcome, NotCreated> {
        let mut last = None;
        for attempt in 0..SENDS {
            if attempt > 0 && self.releasing.is_cancelled() {
                break;
            }
            let failure = self.send(place).await.err();
            let looks = if failure.as_ref().is_some_and(Failure::is_unknown) { LOOKS } else { 1 };
            match (self.look(place, looks).await?, failure) {
                (Whose::Others, _) => return Ok(Outcome::Taken),
                (Whose::Ours(place), None) => return Ok(Outcome::Made(place)),
                // An earlier request was carried out, or this one without an answer.
                (Whose::Ours(place), Some(failure)) if failure.is_taken() || failure.is_unknown() => {
                    return self.settled(place).await.map(Outcome::Made);
                }
                // The clone failed, and something of it is there.
                (Whose::Ours(_), Some(failure)) => return Err(NotCreated::Unknown(fault(failure))),
                (Whose::Nobodys, Some(failure)) if failure.is_taken() => return Ok(Outcome::Taken),
                (Whose::Nobodys, Some(failure)) if failure.is_passing() => last = Some(failure),
                (Whose::Nobodys, Some(failure)) => return Err(NotCreated::Refused(fault(failure))),
                (Whose::Nobodys, None) => {
                    last = Some(Failure::Unknown("it says that the machine was made, and there is none".to_owned()));
                }
            }
        }
        let failure = last.unwrap_or_else(|| Failure::Unknown(released(self.lease()).message()));
        Err(NotCreated::Unknown(fault(failure)))
    }

    async fn send(&self, place: &Place) -> Result<(), Failure> {
        let (vmid, description) = (place.vmid.to_string(), description::write(&self.labels));
        let mut form =
            vec![("newid", vmid.as_str()), ("name", self.lease().as_str()), ("description", description.as_str())];
        if let Some(pool) = &self.config.pool {
            form.push(("pool", pool));
        }
        if place.node != self.template.node {
            form.push(("target", &place.node));
        }
        if let Some(storage) = &self.config.storage {
            form.extend([("full", "1"), ("storage", storage.as_str())]);
        }
        let template = self.template.vmid.to_string();
        let answer = self.client.post(&self.template.with(&template, &["clone"]), &form).await?;
        task::wait_unless(&self.client, Upid::of(&answer)?, CLONE_LIMIT, &self.releasing).await
    }

    async fn look(&self, place: &Place, times: u32) -> Result<Whose, NotCreated> {
        for _ in 1..times {
            match self.whose(place).await {
                Ok(Whose::Nobodys) | Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
                Ok(whose) => return Ok(whose),
            }
        }
        self.whose(place).await.map_err(|failure| NotCreated::Unknown(fault(failure)))
    }

    /// Whose the id is: by the configuration, for the list may be behind.
    async fn whose(&self, place: &Place) -> Result<Whose, Failure> {
        match cluster::config(&self.client, place).await {
            Ok(None) => Ok(Whose::Nobodys),
            Ok(Some(config)) => Ok(match config.is_of(self.lease()) {
                Ok(labels) if labels.owner == self.labels.owner => Whose::Ours(place.clone()),
                _ => Whose::Others,
            }),
            // Not even to be looked at by us.
            Err(Failure::Refused { status: 403, .. }) => Ok(Whose::Others),
            Err(failure) => Err(failure),
        }
    }

    /// Waits until a machine of ours that is there is whole: an earlier request is still at it.
    async fn settled(&self, place: Place) -> Result<Place, NotCreated> {
        let end = tokio::time::Instant::now() + CLONE_LIMIT;
        loop {
            let config = cluster::config(&self.client, &place).await;
            match config.map_err(|failure| NotCreated::Unknown(fault(failure)))? {
                Some(config) if config.is_of(self.lease()).is_err() => {
                    return Err(NotCreated::Refused(not_ours(self.lease(), &place, "its id went to somebody else")));
                }
                Some(config) if config.text("lock").is_none() => return Ok(place),
                Some(_) if tokio::time::Instant::now() < end && !self.releasing.is_cancelled() => {
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                _ => {
                    let why = format!("the machine {} of an earlier request was not finished", place.shown());
                    return Err(NotCreated::Unknown(Error::new(ErrorKind::Provider, why)));
                }
            }
        }
    }
}

fn fault(failure: Failure) -> Error {
    failure.into_error("clone the template")
}

fn released(lease: &LeaseId) -> Error {
    Error::new(ErrorKind::Provider, format!("lease `{lease}` is being released"))
}

fn no_id(config: &ProxmoxConfig) -> Error {
    Error::new(ErrorKind::NoCapacity, format!("no id of {} is free in Proxmox VE", config.vmids))
        .hint(format!("{} says which ids runners may have", crate::env_vars::PROXMOX_VE_VMID_RANGE))
}
