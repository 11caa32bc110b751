//! [`VmPoolProvider`]: leases of a vm-pool.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::held_pool_lease::HeldPoolLease;
use super::ownership::{Standing, labels};
use super::{DIR, PoolClient, VmPoolConfig};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HolderState, Labels, LeaseRequest};
use crate::lock_file::LockFile;
use crate::pool_api::PoolState;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::local::tools;
use crate::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};
use crate::report::envelope::Cost;

/// How long a pool may take to say that it is there.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// How long it may take to list its leases.
const LIST_LIMIT: Duration = Duration::from_secs(20);

/// For how long a renewal is tried again.
const RENEW_LIMIT: Duration = Duration::from_secs(20);

/// How long a pool that has taken a deletion may take to show that the runner is gone, and how often it is asked.
const VERIFY_LIMIT: Duration = Duration::from_secs(40);
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// How long a lease is looked for whose request a killed process sent without getting an answer.
const LATE_LIMIT: Duration = Duration::from_secs(10);
const LATE_PAUSE: Duration = Duration::from_millis(500);

/// Leases runners of one pool.
#[derive(Debug)]
pub struct VmPoolProvider {
    config: VmPoolConfig,
    client: Arc<PoolClient>,
    held: std::sync::Mutex<HashMap<LeaseId, Arc<Mutex<HeldPoolLease>>>>,
}

impl VmPoolProvider {
    /// A provider with this configuration. Asks nothing of the pool yet.
    pub fn new(config: VmPoolConfig) -> Self {
        Self { client: Arc::new(config.client()), config, held: std::sync::Mutex::default() }
    }

    fn held(&self, lease: &LeaseId) -> Option<Arc<Mutex<HeldPoolLease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(lease).cloned()
    }

    fn dir(&self, lease: &LeaseId) -> LeaseDir {
        LeaseDir::new(&self.config.runtime_dir, DIR, lease)
    }

    /// Gives the lease back and looks until the pool has it no more; false when it was not there.
    async fn remove(&self, lease: &LeaseId, asked_from_here: bool) -> Result<bool> {
        match self.client.get::<Standing>(lease).await {
            Err(Failure::Unknown(_)) => return Ok(false),
            Ok(standing) if standing.is_gone() => return Ok(false),
            Ok(standing) => standing.check_owner(lease, asked_from_here).map_err(|why| {
                let why = format!("`{lease}` is not released, for it is not ours: {}", self.client.quote(&why));
                Error::new(ErrorKind::ReleaseUnconfirmed, why)
            })?,
            // Whatever stands there, nobody but us can have that name.
            Err(Failure::Unreadable(error)) if asked_from_here => tracing::debug!(%error, "where the lease stands"),
            Err(failure) => return Err(unconfirmed(lease, failure)),
        }
        let is_released = match self.client.delete(lease).await {
            Ok(is_released) => is_released,
            // Also when nobody said so, it may have been carried out: that is looked for.
            Err(Failure::Unknown(_) | Failure::Passing { .. } | Failure::Unreadable(_)) => false,
            Err(failure) => return Err(unconfirmed(lease, failure)),
        };
        self.verify(lease, is_released).await?;
        Ok(true)
    }

    /// Looks until the pool does not have the lease any more. With `is_released` the pool has said so once: then one that it
    /// calls failed is gone too, for why it failed is all that is left of it.
    async fn verify(&self, lease: &LeaseId, is_released: bool) -> Result<()> {
        let looking = async {
            let mut pause = FIRST_LOOK;
            loop {
                match self.client.get::<Standing>(lease).await {
                    Err(Failure::Unknown(_)) => return Ok(()),
                    Ok(standing) if standing.is_gone() => return Ok(()),
                    Ok(standing) if is_released && standing.state == PoolState::Failed => return Ok(()),
                    Ok(_) => {}
                    Err(failure) if failure.is_passing() => {}
                    Err(failure) => return Err(unconfirmed(lease, failure)),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_LOOK);
            }
        };
        tokio::time::timeout(VERIFY_LIMIT, looking).await.unwrap_or_else(|_| {
            let what = format!("still has the lease `{lease}` after it was told to release it");
            Err(self.client.error(ErrorKind::ReleaseUnconfirmed, &what))
        })
    }

    /// A request whose sender was killed may be carried out after we looked.
    async fn remove_late(&self, lease: &LeaseId) -> Result<bool> {
        let dir = self.dir(lease);
        loop {
            // In this order: what comes later than this is found.
            let is_late = dir.creating_for().is_none_or(|asked| asked > LATE_LIMIT);
            if self.remove(lease, true).await? {
                return Ok(true);
            }
            if is_late {
                return Ok(false);
            }
            tokio::time::sleep(LATE_PAUSE).await;
        }
    }

    /// That a pool does not have a lease proves nothing about one of another pool, or of another token.
    fn check_backend(&self, lease: &LeaseId) -> Result<()> {
        match self.dir(lease).backend() {
            Some(backend) if !backend.is_empty() && backend != self.config.backend() => Err(Error::new(
                ErrorKind::ReleaseUnconfirmed,
                format!(
                    "lease `{lease}` is of another pool, or of another token, than of `{}` now",
                    self.client.shown()
                ),
            )
            .hint(format!(
                "set {} and {} to what they were when it was leased",
                crate::env_vars::ORCHESTRATOR_URL,
                crate::env_vars::ORCHESTRATOR_TOKEN
            ))),
            _ => Ok(()),
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

    /// What a pool lists, as far as it can be read.
    fn listed(&self, value: &Value) -> Option<Listed> {
        let said = value.get("lease_id").and_then(Value::as_str).unwrap_or_default();
        let lease_id: Option<LeaseId> = said.parse().ok();
        let state = PoolState::deserialize(value.get("state").unwrap_or(&Value::Null)).unwrap_or(PoolState::Unknown);
        if state == PoolState::Released {
            return None;
        }
        let labels = match Labels::from_map(&labels(value.get("labels").unwrap_or(&Value::Null))) {
            None => Err("it has no label of lian-build".to_owned()),
            Some(Ok(labels)) if lease_id.as_ref() != Some(&labels.lease_id) => {
                Err(format!("its name is not the lease `{}` of its labels", labels.lease_id))
            }
            Some(labels) => labels,
        };
        let holder = labels.as_ref().ok().and_then(|labels| labels.holder.as_ref());
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        Some(Listed {
            name: lease_id.as_ref().map_or_else(|| self.client.quote(said), ToString::to_string),
            holder: holder.map_or(HolderState::Unknown, crate::lease::Holder::state),
            lease_id,
            labels,
            status: match state {
                PoolState::Pending => RunnerStatus::Starting,
                PoolState::Ready => RunnerStatus::Running,
                PoolState::Failed => RunnerStatus::Stopped,
                PoolState::Released | PoolState::Unknown => RunnerStatus::Unknown,
            },
            renewed_until: text("expires_at").and_then(|text| text.parse().ok()),
            cost: value.get("cost").and_then(|cost| Cost::deserialize(cost).ok()).filter(is_plain),
        })
    }
}

/// A cost that can be shown as it is.
fn is_plain(cost: &Cost) -> bool {
    cost.amount.parse::<rust_decimal::Decimal>().is_ok() && cost.currency.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[async_trait]
impl ComputeProvider for VmPoolProvider {
    fn name(&self) -> &'static str {
        "vm_pool"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            architectures: self.config.architectures(),
            isolation: self.config.isolation(),
            shared_machine: self.config.shared_machine(),
            scope: Scope::Credential,
            can_keep: true,
        }
    }

    fn backend(&self) -> String {
        self.config.backend()
    }

    async fn check(&self, _request: &LeaseRequest) -> Result<()> {
        tools::check_ssh_client(&self.config.program_dirs)?;
        self.client.list(CHECK_LIMIT).await.map(drop).map_err(Failure::into_error)
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let held = {
            let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(HeldPoolLease::new(&self.config, &request.lease_id)));
            Arc::clone(all.entry(request.lease_id.clone()).or_insert_with(new))
        };
        let work = async { held.lock().await.acquire(&self.config, &self.client, request, watch).await };
        cancel.run_until_cancelled(work).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Provider, format!("lease `{}` was cancelled", request.lease_id)))
        })
    }

    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()> {
        let left = || expires_at.duration_since(SystemClock.now());
        let renew = || async {
            // Rounded up: what it is renewed to is not before what was meant.
            let seconds = left().as_secs().saturating_add(1);
            self.client.renew(lease_id, u64::try_from(seconds).unwrap_or(1).max(1)).await
        };
        self.client.persist(RENEW_LIMIT, renew).await.map_err(Failure::into_error)
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        let standing = match self.client.get::<Standing>(lease_id).await {
            Ok(standing) => standing,
            Err(Failure::Unknown(_)) => return Ok(Liveness::Dead("the pool does not have it any more".to_owned())),
            Err(failure) => return Err(failure.into_error()),
        };
        let because = standing.reason().map(|reason| format!(": {}", self.client.quote(reason))).unwrap_or_default();
        Ok(match standing.state {
            PoolState::Ready | PoolState::Pending => Liveness::Alive,
            PoolState::Unknown => {
                let why = "the pool says a state of the lease that is not known here";
                return Err(Error::new(ErrorKind::Provider, why));
            }
            PoolState::Failed => Liveness::Dead(format!("the pool says that it failed{because}")),
            PoolState::Released => Liveness::Dead(format!("the pool has released it{because}")),
        })
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        let held = self.held(lease_id);
        let mut held = match &held {
            Some(held) => {
                let held = held.lock().await;
                held.releasing.cancel();
                Some(held)
            }
            None => None,
        };
        let mut destroyed = false;
        // Before the request went out, not even a pool is needed.
        if held.as_ref().is_none_or(|held| held.asked) {
            let asked_from_here = held.is_some() || self.dir(lease_id).client_key().exists();
            if held.is_none() {
                self.check_backend(lease_id)?;
            }
            destroyed = self.remove(lease_id, asked_from_here).await?;
            if let Some(held) = held.as_mut()
                && let Some(creating) = &mut held.creating
            {
                // Carried out now, refused or timed out: it has an end, and after it the name is looked for again. It stays
                // known until then: this attempt may be dropped, and the next one has to wait for it as well.
                let _ = creating.await;
                held.creating = None;
                destroyed |= self.remove(lease_id, true).await?;
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
        let leases = self.client.list(LIST_LIMIT).await.map_err(Failure::into_error)?;
        Ok(leases.iter().filter_map(|value| self.listed(value)).collect())
    }

    async fn tidy(&self) -> Result<()> {
        for (lease, lock) in lease_dir::unheld(&self.config.runtime_dir, DIR, &self.config.backend())? {
            let dir = self.dir(&lease);
            if dir.creating_for().is_some() {
                self.remove_late(&lease).await?;
            }
            let is_gone = match self.client.get::<Standing>(&lease).await {
                Err(Failure::Unknown(_)) => true,
                Ok(standing) => standing.is_gone(),
                Err(failure) => return Err(failure.into_error()),
            };
            if is_gone {
                dir.remove().await?;
                lock.remove();
            }
        }
        lease_dir::remove_parent(&self.config.runtime_dir, DIR);
        Ok(())
    }
}

/// The pool is not there to say that the lease is gone, or says something else.
fn unconfirmed(lease: &LeaseId, failure: Failure) -> Error {
    let error = failure.into_error();
    let said = Error::new(ErrorKind::ReleaseUnconfirmed, format!("lease `{lease}`: {}", error.message()));
    error.hints().iter().fold(said, |said, hint| said.hint(hint.clone()))
}
