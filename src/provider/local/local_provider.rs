//! [`LocalProvider`]: leases of this machine.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::LocalConfig;
use super::buildkit_root;
use super::held_lease::HeldLease;
use super::lease_dirs::{LeaseDirs, data_parent};
use super::record::Record;
use super::remains::Remains;
use super::rootless;
use super::tools::{self, Tools};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HolderState, Isolation, Labels, LeaseRequest};
use crate::lock_file::LockFile;
use crate::provider::host::fit::Fit;
use crate::provider::host::machine::{Machine, architecture, fingerprint};
use crate::provider::host::runtime_dir::check_runtime_dir;
use crate::provider::host::{budget, is_root};
use crate::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};

/// What became of a lease whose holder is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abandoned {
    /// What it left was removed.
    Removed,
    /// It had left nothing but, at most, a lock.
    Gone,
    /// Its holder lives.
    Held,
}

/// Leases runners on this machine: an `sshd` of our own in namespaces of its own.
#[derive(Debug)]
pub struct LocalProvider {
    config: LocalConfig,
    held: std::sync::Mutex<HashMap<LeaseId, Arc<Mutex<HeldLease>>>>,
}

impl LocalProvider {
    /// A provider with this configuration.
    pub fn new(config: LocalConfig) -> Self {
        Self { config, held: std::sync::Mutex::default() }
    }

    fn listed(&self, lease: LeaseId) -> Listed {
        let is_held = self.is_held(&lease);
        let record = Record::read(&LeaseDirs::new(&self.config, &lease).record());
        let labels = record.and_then(|record| Labels::from_map(&record.labels));
        Listed {
            name: lease.to_string(),
            labels: labels.unwrap_or_else(|| Err("it has no record that says whose it is".to_owned())),
            lease_id: Some(lease),
            // A local runner ends with its holder.
            status: if is_held { RunnerStatus::Running } else { RunnerStatus::Stopped },
            holder: if is_held { HolderState::Alive } else { HolderState::Dead },
            renewed_until: None,
            cost: None,
        }
    }

    /// The leases that have left a trace in our directories, which are checked to be ours first.
    fn known(&self) -> Result<BTreeSet<LeaseId>> {
        let mut known = BTreeSet::new();
        if check_runtime_dir(&self.config.runtime_dir)? {
            known.extend(lease_names(&self.config.runtime_dir));
        }
        known.extend(lease_names(&data_parent(&self.config)));
        Ok(known)
    }

    fn is_held(&self, lease: &LeaseId) -> bool {
        LeaseDirs::new(&self.config, lease).locks().iter().any(|path| LockFile::is_held(path))
    }

    /// Removes a lease that no living process holds.
    async fn remove_abandoned(&self, lease: &LeaseId) -> Result<Abandoned> {
        check_runtime_dir(&self.config.runtime_dir)?;
        let dirs = LeaseDirs::new(&self.config, lease);
        let rootlesskit = self.rootlesskit();
        let find = || Remains::of_abandoned(&self.config, lease, dirs.clone(), rootlesskit.clone());
        let paths: BTreeSet<PathBuf> = dirs.locks().into_iter().chain(find().dirs.locks()).collect();
        let mut locks = Vec::new();
        for path in paths {
            // A lock is made only beside something that it is to guard.
            let is_needed = find().exist() && path.parent().is_some_and(Path::is_dir);
            if !is_needed && path.symlink_metadata().is_err() {
                continue;
            }
            match LockFile::try_take(&path)? {
                Some(lock) => locks.push(lock),
                None => return Ok(Abandoned::Held),
            }
        }
        // What its holder left, now that nobody changes it any more: a lease that ended just now has left nothing.
        let remains = find();
        let existed = remains.exist();
        if existed {
            remains.remove().await?;
        }
        locks.into_iter().for_each(LockFile::remove);
        Ok(if existed { Abandoned::Removed } else { Abandoned::Gone })
    }

    fn held(&self, lease: &LeaseId) -> Option<Arc<Mutex<HeldLease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(lease).cloned()
    }

    /// Removes what belongs to a rootless runner's other users.
    fn rootlesskit(&self) -> Option<PathBuf> {
        tools::find(&self.config.program_dirs, "rootlesskit").filter(|_| !is_root())
    }

    fn find_tools(&self) -> Result<Tools> {
        let tools = Tools::find(&self.config.program_dirs, !is_root())?;
        if !is_root() {
            rootless::check()?;
        }
        Ok(tools)
    }
}

#[async_trait]
impl ComputeProvider for LocalProvider {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            architectures: vec![architecture().to_owned()],
            isolation: Isolation::None,
            shared_machine: Some("this machine"),
            scope: Scope::ThisUser,
            can_keep: false,
        }
    }

    /// This user's runners of this machine are all there is.
    fn backend(&self) -> String {
        format!("{}:{}@{}", rustix::process::geteuid().as_raw(), self.config.runtime_dir.display(), fingerprint())
    }

    async fn check(&self, request: &LeaseRequest) -> Result<()> {
        self.find_tools()?;
        let machine = Machine::read(&self.config.cgroup_root)?;
        let total = self.config.memory_budget_bytes.unwrap_or_else(|| machine.budget_bytes());
        Fit::new(&request.tier, &machine, total, request.memory_is_explicit).map(drop)
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let tools = self.find_tools()?;
        let lease = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(HeldLease::new(&self.config, &request.lease_id)));
            Arc::clone(held.entry(request.lease_id.clone()).or_insert_with(new))
        };
        let mut lease = lease.lock_owned().await;
        if let Some(endpoint) = &lease.endpoint {
            return Ok(endpoint.clone());
        }
        let work = lease.acquire(&self.config, &tools, request, watch);
        let error = match cancel.run_until_cancelled(work).await {
            Some(Ok(endpoint)) => return Ok(endpoint),
            Some(Err(error)) => error,
            None => Error::new(ErrorKind::Provider, format!("lease `{}` was cancelled", request.lease_id)),
        };
        drop(lease);
        // What was begun goes at once; when it does not, that is what matters most.
        self.release(&request.lease_id).await?;
        Err(error)
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        if let Some(lease) = self.held(lease_id) {
            lease.lock().await.release().await?;
            self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lease_id);
            return Ok(Released::Destroyed);
        }
        if !self.known()?.contains(lease_id) {
            return Ok(Released::AlreadyGone);
        }
        let abandoned = self.remove_abandoned(lease_id).await?;
        budget::tidy(&self.config.runtime_dir);
        match abandoned {
            Abandoned::Removed => Ok(Released::Destroyed),
            Abandoned::Gone => Ok(Released::AlreadyGone),
            Abandoned::Held => Err(Error::new(
                ErrorKind::Provider,
                format!("lease `{lease_id}` is held by another process of this machine"),
            )
            .hint("end that build; its runner goes with it")),
        }
    }

    /// A local runner ends with its holder, so there is nothing to renew.
    async fn renew(&self, _lease_id: &LeaseId, _expires_at: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        let dead = |why: &str| Ok(Liveness::Dead(why.to_owned()));
        let Some(lease) = self.held(lease_id) else { return dead("this process holds no such lease") };
        match lease.try_lock() {
            Ok(mut lease) => {
                if lease.is_alive() {
                    Ok(Liveness::Alive)
                } else {
                    dead("its processes have ended")
                }
            }
            // It is being made or released.
            Err(_) => Ok(Liveness::Alive),
        }
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        Ok(self.known()?.into_iter().map(|lease| self.listed(lease)).collect())
    }

    async fn tidy(&self) -> Result<()> {
        budget::tidy(&self.config.runtime_dir);
        buildkit_root::clean_unused(&self.config, self.rootlesskit().as_deref()).await
    }
}

/// The leases that a directory has an entry of, be it only a lock.
fn lease_names(dir: &Path) -> Vec<LeaseId> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            name.strip_suffix(".lock").unwrap_or(name).parse().ok()
        })
        .collect()
}
