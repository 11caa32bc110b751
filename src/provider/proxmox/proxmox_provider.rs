//! [`ProxmoxProvider`]: leases of machines of a Proxmox VE cluster.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::check::Facts;
use super::client::Client;
use super::cluster::{self, Found, Search};
use super::held_vm::{HeldVm, known};
use super::removal::{not_ours, unconfirmed};
use super::upid::Upid;
use super::{DIR, ProxmoxConfig, description, removal, task};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HolderState, Isolation, Labels, LeaseRequest};
use crate::lock_file::LockFile;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::local::tools;
use crate::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};

/// How long a machine is looked for whose request a killed process sent without getting an answer.
const LATE_LIMIT: Duration = Duration::from_secs(10);
const LATE_PAUSE: Duration = Duration::from_millis(500);

/// How often a renewal is tried that somebody else's change came in between, and how long one may take.
const RENEWALS: u32 = 4;
const RENEW_LIMIT: Duration = Duration::from_secs(30);

/// Leases machines of one Proxmox VE cluster, with one token.
#[derive(Debug)]
pub struct ProxmoxProvider {
    config: ProxmoxConfig,
    client: Arc<Client>,
    held: std::sync::Mutex<HashMap<LeaseId, Arc<Mutex<HeldVm>>>>,
}

impl ProxmoxProvider {
    /// A provider with this configuration. Asks nothing of the API yet.
    pub fn new(config: ProxmoxConfig) -> Self {
        let client = Arc::new(Client::new(config.endpoint.clone(), config.token.clone(), config.trust.clone()));
        Self { client, config, held: std::sync::Mutex::default() }
    }

    fn held(&self, lease: &LeaseId) -> Option<Arc<Mutex<HeldVm>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(lease).cloned()
    }

    fn dir(&self, lease: &LeaseId) -> LeaseDir {
        LeaseDir::new(&self.config.runtime_dir, DIR, lease)
    }

    async fn find(&self, lease: &LeaseId) -> Result<Search> {
        let known = known(&self.dir(lease));
        let found = cluster::find(&self.client, self.config.vmids, lease, &known).await;
        found.map_err(|failure| failure.into_error("list its machines"))
    }

    async fn remove(&self, lease: &LeaseId) -> Result<bool> {
        removal::remove(&self.client, self.config.vmids, lease, &known(&self.dir(lease))).await
    }

    /// That this API, or this token, does not see the machine proves nothing about a lease of another one.
    fn is_of_this_backend(&self, lease: &LeaseId) -> Result<()> {
        match self.dir(lease).backend() {
            Some(backend) if !backend.is_empty() && backend != self.backend() => Err(unconfirmed(
                lease,
                &format!(
                    "it was made through `{}`, and `{}` was asked",
                    crate::sanitise::line(&backend),
                    self.backend()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A request whose sender was killed may be carried out after we looked.
    async fn remove_late(&self, lease: &LeaseId) -> Result<bool> {
        let (dir, limit) = (self.dir(lease), crate::failpoint::seconds("look", LATE_LIMIT));
        loop {
            // In this order: what comes later than this is found.
            let is_late = dir.creating_for().is_none_or(|asked| asked > limit);
            if self.remove(lease).await? {
                return Ok(true);
            }
            if is_late {
                return Ok(false);
            }
            tokio::time::sleep(LATE_PAUSE).await;
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
}

#[async_trait]
impl ComputeProvider for ProxmoxProvider {
    fn name(&self) -> &'static str {
        "proxmox"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Which of them a node has, it is asked before each lease.
            architectures: ["amd64", "arm64"].map(str::to_owned).to_vec(),
            isolation: Isolation::Vm,
            shared_machine: None,
            scope: Scope::Credential,
            can_keep: true,
        }
    }

    fn backend(&self) -> String {
        self.client.fingerprint()
    }

    async fn check(&self, request: &LeaseRequest) -> Result<()> {
        tools::check_ssh_client(&self.config.program_dirs)?;
        Facts::read(&self.client, &self.config, request).await.map(drop)
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let held = {
            let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(HeldVm::new(&self.config, &request.lease_id)));
            Arc::clone(all.entry(request.lease_id.clone()).or_insert_with(new))
        };
        let work = async {
            let mut held = held.lock().await;
            held.acquire(&self.config, &self.client, request, watch).await
        };
        cancel.run_until_cancelled(work).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Provider, format!("lease `{}` was cancelled", request.lease_id)))
        })
    }

    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()> {
        let cannot =
            |why: &str| Error::new(ErrorKind::Provider, format!("lease `{lease_id}` cannot be renewed: {why}"));
        for _ in 0..RENEWALS {
            let found = match self.find(lease_id).await? {
                Search::Ours(found) => found,
                Search::Others(place, why) => return Err(not_ours(lease_id, &place, &why)),
                Search::Nothing => return Err(cannot("its machine is gone")),
            };
            let labels = found.config.is_of(lease_id).map_err(|why| cannot(&why))?;
            let before = found.config.text("description").unwrap_or_default();
            let text = description::replace(&before, &Labels { expires_at, ..labels });
            let digest = found.config.text("digest").unwrap_or_default();
            let mut form = vec![("description", text.as_str())];
            // What was changed since it was read is refused.
            if !digest.is_empty() {
                form.push(("digest", &digest));
            }
            let vmid = found.place.vmid.to_string();
            let ended = async {
                let answer = self.client.put(&found.place.with(&vmid, &["config"]), &form).await?;
                task::wait(&self.client, Upid::of(&answer)?, RENEW_LIMIT).await
            };
            match ended.await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_outdated() || failure.is_busy() => tokio::time::sleep(LATE_PAUSE).await,
                Err(failure) => return Err(failure.into_error("renew the lease")),
            }
        }
        Err(cannot("somebody else changes its machine all the time"))
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        let found = match self.find(lease_id).await? {
            Search::Ours(found) => found,
            Search::Others(place, _) => {
                return Ok(Liveness::Dead(format!("the machine {} has its name and is not it", place.shown())));
            }
            Search::Nothing => return Ok(Liveness::Dead("its machine is gone".to_owned())),
        };
        let vmid = found.place.vmid.to_string();
        match self.client.get(&found.place.with(&vmid, &["status", "current"]), &[]).await {
            Ok(status) => Ok(match status.get("status").and_then(Value::as_str) {
                Some("stopped") => Liveness::Dead("its machine is stopped".to_owned()),
                _ => Liveness::Alive,
            }),
            Err(failure) if failure.is_missing() => Ok(Liveness::Dead("its machine is gone".to_owned())),
            Err(failure) => Err(failure.into_error("say how the machine is")),
        }
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        let held = self.held(lease_id);
        // Before it is waited for: an acquisition that was dropped goes on making its machine.
        let mut held = match &held {
            Some(held) => Some(held.lock().await),
            None => None,
        };
        if let Some(held) = &held {
            held.releasing.cancel();
        }
        let mut destroyed = false;
        if held.as_ref().is_none_or(|held| held.asked) {
            if held.is_none() {
                self.is_of_this_backend(lease_id)?;
            }
            destroyed = self.remove(lease_id).await?;
            if let Some(held) = held.as_mut()
                && let Some(creating) = &mut held.creating
            {
                // Carried out now, refused or told to end: it has an end, and after it the machine is looked for again. It
                // stays known until then: this attempt may be dropped, and the next one has to wait for it as well.
                let _ = creating.await;
                held.creating = None;
                destroyed |= self.remove(lease_id).await?;
            }
            if !destroyed && self.dir(lease_id).creating_for().is_some() {
                destroyed = self.remove_late(lease_id).await?;
            }
        }
        match &mut held {
            Some(held) => held.forget(&self.config).await?,
            None => self.forget(lease_id).await?,
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lease_id);
        Ok(if destroyed { Released::Destroyed } else { Released::AlreadyGone })
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let found = cluster::ours(&self.client, self.config.vmids).await;
        let found = found.map_err(|failure| failure.into_error("list its machines"))?;
        Ok(found.into_iter().map(listed).collect())
    }

    async fn tidy(&self) -> Result<()> {
        for (lease, lock) in lease_dir::unheld(&self.config.runtime_dir, DIR, &self.backend())? {
            let dir = self.dir(&lease);
            if dir.creating_for().is_some() {
                self.remove_late(&lease).await?;
            }
            if let Search::Nothing = self.find(&lease).await? {
                dir.remove().await?;
                lock.remove();
            }
        }
        lease_dir::remove_parent(&self.config.runtime_dir, DIR);
        Ok(())
    }
}

fn listed(found: Found) -> Listed {
    let name = found.config.text("name").unwrap_or_else(|| found.place.vmid.to_string());
    let labels = found.config.labels().unwrap_or_else(|| Err("its description says nothing of lian-build".to_owned()));
    let holder = labels.as_ref().ok().and_then(|labels| labels.holder.as_ref());
    Listed {
        lease_id: name.parse().ok(),
        name,
        holder: holder.map_or(HolderState::Unknown, crate::lease::Holder::state),
        status: match (found.config.text("lock").as_deref(), found.status.as_str()) {
            (Some("clone" | "create"), _) => RunnerStatus::Starting,
            (_, "running") => RunnerStatus::Running,
            (_, "stopped") => RunnerStatus::Stopped,
            _ => RunnerStatus::Unknown,
        },
        labels,
        renewed_until: None,
        cost: None,
    }
}
