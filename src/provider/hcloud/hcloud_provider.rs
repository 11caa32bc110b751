//! [`HcloudProvider`]: leases of servers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::HcloudConfig;
use super::api::Api;
use super::failure::Failure;
use super::held_server::{self, DIR, HeldServer};
use super::server::{find, is_of, not_ours};
use super::stock::{self, Offer, oci_architecture};
use super::wire::{Firewall, Pricing, Server};
use super::{removal, snapshot};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HolderState, HourlyPrice, Isolation, Labels, LeaseRequest, MANAGED_LABEL};
use crate::lock_file::LockFile;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::local::tools;
use crate::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};
use crate::runner_image::Release;

/// How long a server is looked for whose request a killed process sent without getting an answer.
const LATE_LIMIT: Duration = Duration::from_secs(40);

/// A server that is switched off may be one that is only being made, for this long.
const YOUTH: SignedDuration = SignedDuration::from_mins(5);

/// How long a firewall of no server is let be: the server may come.
const FIREWALL_YOUTH: SignedDuration = SignedDuration::from_mins(10);

/// Leases servers of one project.
#[derive(Debug)]
pub struct HcloudProvider {
    config: HcloudConfig,
    api: Arc<Api>,
    held: std::sync::Mutex<HashMap<LeaseId, Arc<Mutex<HeldServer>>>>,
    /// When each lease's server was last seen alive.
    seen_alive: std::sync::Mutex<HashMap<LeaseId, Instant>>,
}

impl HcloudProvider {
    /// A provider with this configuration. Asks nothing of Hetzner yet.
    pub fn new(config: HcloudConfig) -> Self {
        Self {
            api: Arc::new(Api::new(&config)),
            config,
            held: std::sync::Mutex::default(),
            seen_alive: std::sync::Mutex::default(),
        }
    }

    /// The architecture of a server type, as OCI names it.
    ///
    /// # Errors
    /// `NoCapacity` when there is no such type.
    pub async fn architecture(&self, server_type: &str) -> Result<String> {
        let server_type = stock::find_type(&self.api, server_type).await?;
        Ok(oci_architecture(&server_type.architecture).to_owned())
    }

    /// Switches the lease's server off and keeps its disk as a snapshot, from which later servers can start: yields its id. The
    /// lease goes on until it is released.
    ///
    /// # Errors
    /// `Provider` when there is no snapshot.
    pub async fn snapshot(&self, lease: &LeaseId, description: &str, release: &Release) -> Result<u64> {
        snapshot::make(&self.api, lease, description, release).await
    }

    fn held(&self, lease: &LeaseId) -> Option<Arc<Mutex<HeldServer>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(lease).cloned()
    }

    fn dir(&self, lease: &LeaseId) -> LeaseDir {
        LeaseDir::new(&self.config.runtime_dir, DIR, lease)
    }

    /// True when this process has seen the runner answer.
    async fn has_answered(&self, lease: &LeaseId) -> bool {
        match self.held(lease) {
            // While it is being acquired it has not.
            Some(held) => held.try_lock().is_ok_and(|held| held.endpoint.is_some()),
            None => false,
        }
    }

    /// Removes what this machine has of a lease that this process did not make.
    async fn forget(&self, lease: &LeaseId) -> Result<()> {
        let dir = self.dir(lease);
        dir.remove().await?;
        if dir.lock().exists()
            && let Some(lock) = LockFile::try_take(&dir.lock())?
        {
            lock.remove();
        }
        lease_dir::remove_parent(&self.config.runtime_dir, DIR);
        Ok(())
    }

    /// That a project does not have the server proves nothing about a lease of another one.
    fn is_of_this_project(&self, lease: &LeaseId) -> Result<()> {
        match self.dir(lease).backend() {
            Some(backend) if !backend.is_empty() && backend != self.config.backend() => Err(Error::new(
                ErrorKind::ReleaseUnconfirmed,
                format!("lease `{lease}` was made with another token, or at another address, than the ones of now"),
            )
            .hint("use the token that it was made with")),
            _ => Ok(()),
        }
    }

    /// A request whose sender was killed may be carried out after we looked.
    async fn remove_late(&self, lease: &LeaseId) -> Result<bool> {
        let mut pauses = self.api.pauses();
        loop {
            let limit = LATE_LIMIT.min(self.config.pace.look_limit);
            // In this order: what comes later than this is found.
            let is_late = self.dir(lease).creating_for().is_none_or(|asked| asked > limit);
            if removal::remove(&self.api, &self.config.pace, lease).await? {
                return Ok(true);
            }
            if is_late {
                return Ok(false);
            }
            self.api.pause(pauses.next()).await;
        }
    }

    fn listed(&self, server: &Server, pricing: Option<&Pricing>, now: Timestamp) -> Listed {
        let lease_id: Option<LeaseId> = server.name.parse().ok();
        let labels = match Labels::from_map(&server.labels) {
            None => Err("it has no label of lian-build".to_owned()),
            Some(Ok(labels)) if lease_id.as_ref() != Some(&labels.lease_id) => {
                Err(format!("its name is not the lease `{}` of its labels", labels.lease_id))
            }
            Some(labels) => labels,
        };
        let holder = labels.as_ref().ok().and_then(|labels| labels.holder.as_ref());
        let price = pricing.and_then(|pricing| held_server::price_of(server, pricing));
        Listed {
            name: crate::sanitise::line(&server.name),
            lease_id,
            holder: holder.map_or(HolderState::Unknown, crate::lease::Holder::state),
            labels,
            status: status(&server.status),
            renewed_until: None,
            cost: price.zip(held_server::created(server)).map(|(price, created)| price.between(created, now)),
        }
    }

    /// Removes the directories of leases whose server and process are gone.
    async fn sweep_dirs(&self) -> Result<()> {
        for (lease, lock) in lease_dir::unheld(&self.config.runtime_dir, DIR, &self.config.backend())? {
            let dir = self.dir(&lease);
            if dir.creating_for().is_some() {
                self.remove_late(&lease).await?;
            }
            let found = find(&self.api, &lease).await;
            if found.map_err(|failure| failure.into_error("say whether it has a runner's server"))?.is_none() {
                // Whoever made it is gone: it needs no time to be proven nobody's.
                removal::remove_firewall(&self.api, &self.config.pace, &lease).await?;
                dir.remove().await?;
                lock.remove();
            }
        }
        lease_dir::remove_parent(&self.config.runtime_dir, DIR);
        Ok(())
    }

    /// Removes firewalls of ours that no server has and that no lease can still want.
    async fn sweep_firewalls(&self) -> Result<()> {
        let doing = |failure: Failure| failure.into_error("list its firewalls");
        let selector = format!("{MANAGED_LABEL}==1");
        let query = [("label_selector", selector.as_str())];
        let firewalls: Vec<Firewall> = self.api.list("/firewalls", "firewalls", &query).await.map_err(doing)?;
        let now = SystemClock.now();
        for firewall in firewalls.iter().filter(|firewall| firewall.applied_to.is_empty()) {
            let Some(Ok(labels)) = Labels::from_map(&firewall.labels) else { continue };
            let is_young = now.duration_since(labels.created_at) < FIREWALL_YOUTH;
            if firewall.name != labels.lease_id.as_str() || is_young {
                continue;
            }
            if find(&self.api, &labels.lease_id).await.map_err(doing)?.is_none() {
                removal::remove_firewall(&self.api, &self.config.pace, &labels.lease_id).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ComputeProvider for HcloudProvider {
    fn name(&self) -> &'static str {
        "hcloud"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // What it is there for comes first.
            architectures: ["arm64", "amd64"].map(str::to_owned).to_vec(),
            isolation: Isolation::Vm,
            shared_machine: None,
            scope: Scope::Credential,
            can_keep: true,
        }
    }

    fn backend(&self) -> String {
        self.config.backend()
    }

    async fn check(&self, request: &LeaseRequest) -> Result<()> {
        tools::check_ssh_client(&self.config.program_dirs)?;
        let offer = Offer::find(&self.api, &self.config, request).await?;
        let architecture = oci_architecture(&offer.server_type.architecture);
        if self.config.is_stock() {
            self.config.supply.check(architecture)?;
        }
        stock::find_image(&self.api, &self.config.image, architecture).await?;
        if let Some(name) = &self.config.ssh_key {
            stock::find_ssh_key(&self.api, name).await?;
        }
        Ok(())
    }

    async fn price(&self, request: &LeaseRequest) -> Result<Option<HourlyPrice>> {
        let offer = Offer::find(&self.api, &self.config, request).await?;
        let pricing = stock::pricing(&self.api).await?;
        // Of the location that is asked first.
        Ok(offer.locations.first().and_then(|location| offer.price(&pricing, location)))
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let held = {
            let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(HeldServer::new(&self.config, &request.lease_id)));
            Arc::clone(all.entry(request.lease_id.clone()).or_insert_with(new))
        };
        let work = async { held.lock().await.acquire(&self.config, &self.api, request, watch).await };
        cancel.run_until_cancelled(work).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Provider, format!("lease `{}` was cancelled", request.lease_id)))
        })
    }

    /// A new set of labels takes the place of the old one, so all are sent.
    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()> {
        let doing = |failure: Failure| failure.into_error("move the runner's deadline");
        let Some(server) = find(&self.api, lease_id).await.map_err(doing)? else {
            return Err(Error::new(ErrorKind::Provider, format!("the server `{lease_id}` is gone")));
        };
        let labels = is_of(&server, lease_id).map_err(|why| not_ours(lease_id, &why))?;
        let mut map = server.labels.clone();
        map.extend(Labels { expires_at, ..labels }.to_map());
        let path = format!("/servers/{}", server.id);
        self.api.put::<Value>(&path, &json!({ "labels": map })).await.map(drop).map_err(doing)
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        let seen = self.seen_alive.lock().unwrap_or_else(PoisonError::into_inner).get(lease_id).copied();
        if seen.is_some_and(|seen| seen.elapsed() < self.config.pace.alive_for) {
            return Ok(Liveness::Alive);
        }
        let doing = |failure: Failure| failure.into_error("say how the runner's server is");
        let Some(server) = find(&self.api, lease_id).await.map_err(doing)? else {
            return Ok(Liveness::Dead("its server is gone".to_owned()));
        };
        let age = held_server::created(&server).map(|created| SystemClock.now().duration_since(created));
        let is_young = age.is_some_and(|age| age < YOUTH) && !self.has_answered(lease_id).await;
        Ok(match status(&server.status) {
            RunnerStatus::Stopped if !is_young => {
                Liveness::Dead(format!("its server is `{}`", crate::sanitise::line(&server.status)))
            }
            _ => {
                let mut seen = self.seen_alive.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(lease_id.clone(), Instant::now());
                Liveness::Alive
            }
        })
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        let held = self.held(lease_id);
        let mut held = match &held {
            Some(held) => Some(held.lock().await),
            None => None,
        };
        if let Some(held) = &held {
            held.releasing.cancel();
        }
        let (api, pace) = (&self.api, &self.config.pace);
        let mut destroyed = false;
        // Before the first request went out there is nothing to be asked for.
        if held.as_ref().is_none_or(|held| held.asked) {
            destroyed = removal::remove(api, pace, lease_id).await?;
            if let Some(held) = held.as_mut()
                && let Some(creating) = &mut held.creating
            {
                // Carried out now, refused or timed out: it has an end, and after it the name is looked for again. It stays
                // known until then: this attempt may be dropped, and the next one has to wait for it as well.
                let _ = creating.await;
                held.creating = None;
                destroyed |= removal::remove(api, pace, lease_id).await?;
            }
            if !destroyed && held.is_none() {
                self.is_of_this_project(lease_id)?;
            }
            if !destroyed && self.dir(lease_id).creating_for().is_some() {
                destroyed = self.remove_late(lease_id).await?;
            }
            if !self.config.sources.is_empty() {
                destroyed |= removal::remove_firewall(api, pace, lease_id).await?;
            }
        }
        match &mut held {
            Some(held) => held.forget(&self.config).await?,
            None => self.forget(lease_id).await?,
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lease_id);
        self.seen_alive.lock().unwrap_or_else(PoisonError::into_inner).remove(lease_id);
        Ok(if destroyed { Released::Destroyed } else { Released::AlreadyGone })
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let selector = format!("{MANAGED_LABEL}==1");
        let query = [("label_selector", selector.as_str())];
        let servers: Vec<Server> = self
            .api
            .list("/servers", "servers", &query)
            .await
            .map_err(|failure| failure.into_error("list its servers"))?;
        let pricing = if servers.is_empty() { None } else { stock::pricing(&self.api).await.ok() };
        let now = SystemClock.now();
        Ok(servers.iter().map(|server| self.listed(server, pricing.as_ref(), now)).collect())
    }

    async fn tidy(&self) -> Result<()> {
        self.sweep_dirs().await?;
        self.sweep_firewalls().await
    }
}

fn status(theirs: &str) -> RunnerStatus {
    match theirs {
        "initializing" | "starting" | "rebuilding" => RunnerStatus::Starting,
        "running" | "migrating" => RunnerStatus::Running,
        "off" | "stopping" | "deleting" => RunnerStatus::Stopped,
        _ => RunnerStatus::Unknown,
    }
}
